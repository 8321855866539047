"""Self-checkout: shop, queue for a station, scan everything oneself, be helped now and then, pay."""

from __future__ import annotations

import numpy as np
import simpy

from sim.flows.base import per_day_usd, staffed
from sim.flows.staffed_lanes import Tills
from sim.store import Store, Story


class SelfCheckoutFlow(Tills):
    """A store with scanning stations, and attendants who help where a station calls."""

    name = "self-checkout"
    served_by = 2

    def __init__(self, store: Store, seed: np.random.SeedSequence) -> None:
        settings = self._settings = store.scenario.self_checkout
        scanning, helping = seed.spawn(2)
        super().__init__(
            store, scanning, settings.stations, settings.scan_s, settings.weigh_s, settings.pay_s
        )
        self._helping = np.random.default_rng(helping)

    def opens(self) -> None:
        super().opens()
        self._attendants = simpy.Resource(self._store.env, capacity=self._settings.attendants)
        self._calls = self._helping.binomial(
            np.array(self._units, np.int64), self._settings.help_share
        ).tolist()
        self._help_waits_s = [0.0] * len(self._units)
        self._helped_s = 0.0

    def takes(self, number: int) -> bool:
        most = self._settings.most_units
        return most is None or self._units[number] <= most

    def serve(self, number: int) -> Story:
        """Scan, with a pause for each call of an attendant, and pay."""
        env, calls = self._store.env, self._calls[number]
        for _ in range(calls):
            yield env.timeout(self.service_s[number] / (calls + 1))
            asked = env.now
            with self._attendants.request() as turn:
                yield turn
                self._help_waits_s[number] += env.now - asked
                yield env.timeout(self._settings.help_s)
            self._helped_s += self._settings.help_s
        yield env.timeout(self.service_s[number] / (calls + 1))

    def closes(self) -> None:
        settings, store, table = self._settings, self._store, self._store.table
        self._fill(settings.unscanned, settings.charged_twice)
        table.has.add("interventions")
        paid = np.flatnonzero(self._paid)
        helped = np.array(self._calls)[paid]
        waits_s = np.array(self._help_waits_s)[paid]
        table["interventions"][paid] = helped
        table["help_wait_s"][paid] = waits_s
        table["wait_s"][paid] += waits_s
        table["time_to_receipt_s"][paid] += waits_s + helped * settings.help_s
        paid_s = staffed((store.opens_s, store.closes_s), settings.attendants)
        table.employs("attendants", paid_s, self._helped_s, settings.wage_usd_per_hour)
        year = store.scenario.economics.open_days_per_year
        table.costs_usd["hardware"] += settings.stations * per_day_usd(
            settings.station_usd, settings.station_years, year
        )
