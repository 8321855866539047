"""Plates that lie or fall silent: a clear error or a counted warning, and nobody is charged for what did not happen."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from checkout.catalog import Catalog
from checkout.errors import InputError
from checkout.events import ShelfMoment
from checkout.pipeline import ConfidenceMap, Perceived, fuse, perceive, unweighed_moments, weigh
from checkout.recording import Recording


def with_plates(recording: Recording, plates: pd.DataFrame) -> Recording:
    changed = dataclasses.replace(recording)
    changed.__dict__["plates"] = plates
    return changed


def charged(seen: Perceived) -> dict[str, int]:
    """Units of each product on all receipts together."""
    units: dict[str, int] = {}
    for receipt in seen.receipts:
        for product, count in receipt.quantities.items():
            units[product] = units.get(product, 0) + count
    return units


def taken(recording: Recording) -> dict[str, int]:
    """Units of each product that were ever picked."""
    units: dict[str, int] = {}
    for event in recording.truth.events:
        if event.action == "pick":
            units[event.product] = units.get(event.product, 0) + event.quantity
    return units


def test_a_catalogue_in_kilograms_is_named(weighed: Recording) -> None:
    kilograms = Catalog(
        dataclasses.replace(p, weight_g=p.weight_g / 1000, weight_sd_g=p.weight_sd_g / 1000)
        for p in weighed.catalog.values()
    )
    changed = dataclasses.replace(weighed)
    changed.__dict__["catalog"] = kilograms
    changed.__dict__["planogram"] = weighed.planogram
    with pytest.raises(InputError, match=r"catalog\.csv: weight_g: .*look like kilograms"):
        weigh(changed)


def test_plates_in_kilograms_are_named(weighed: Recording) -> None:
    with pytest.raises(InputError, match=r"plates\.parquet: grams: .*look like kilograms"):
        weigh(with_plates(weighed, weighed.plates / 1000))


def test_steps_on_plates_that_the_planogram_does_not_name_are_counted_and_charge_nobody(
    weighed: Recording,
) -> None:
    event = weighed.truth.events[0]
    own = weighed.planogram[event.facing].plates
    renamed = weighed.plates.rename(columns={p: f"{p}{i}9" for i, p in enumerate(own)})
    seen = perceive(with_plates(weighed, renamed), sensors=["plates"])
    assert any("weight steps on plates that planogram.yaml does not name" in w for w in seen.warnings)
    assert all(n <= taken(weighed).get(p, 0) for p, n in charged(seen).items())


def test_a_clock_that_jumps_is_said_and_charges_nobody_wrongly(weighed: Recording) -> None:
    plates = weighed.plates.copy()
    t_s = plates.index.to_numpy(float)
    plates.index = pd.Index(np.where(t_s > 0.5 * t_s[-1], t_s + 60.0, t_s), name="t_s")
    seen = perceive(with_plates(weighed, plates), sensors=["plates"])
    assert any("gaps in its samples" in w for w in seen.warnings)
    assert all(n <= taken(weighed).get(p, 0) for p, n in charged(seen).items())


def test_plates_full_of_holes_are_said_and_charge_nobody_wrongly(weighed: Recording) -> None:
    rng = np.random.default_rng(3)
    plates = weighed.plates.mask(rng.uniform(size=weighed.plates.shape) < 0.1)
    seen = perceive(with_plates(weighed, plates), sensors=["plates"])
    assert any("lost" in w and "samples" in w for w in seen.warnings)
    assert all(n <= taken(weighed).get(p, 0) for p, n in charged(seen).items())


def test_a_reach_to_a_dead_plate_is_left_to_the_cameras(weighed: Recording) -> None:
    event = weighed.truth.events[0]
    plates = weighed.plates.copy()
    plates[list(weighed.planogram[event.facing].plates)] = np.nan
    broken = with_plates(weighed, plates)
    result = weigh(broken)
    pick = {"pick": 0.8, "put_back": 0.1, "touch": 0.1}
    reach = ShelfMoment(
        event.t_start_s, event.t_end_s, "cam0", {event.facing: 1.0}, pick, {event.shopper: 1.0}
    )
    elsewhere = next(f for f in weighed.planogram if f != event.facing)
    beside = dataclasses.replace(reach, facing={elsewhere: 1.0})
    assert unweighed_moments(broken, result, [reach, beside]) == (reach,)
    assert unweighed_moments(weighed, weigh(weighed), [reach]) == ()


def test_dead_plates_never_make_an_event_surer(weighed: Recording) -> None:
    """Half of a facing's plates are gone: what is still seen of its events is believed less."""
    event = next(e for e in weighed.truth.events if len(weighed.planogram[e.facing].plates) > 1)
    plates = weighed.plates.copy()
    plates[weighed.planogram[event.facing].plates[0]] = np.nan
    broken = with_plates(weighed, plates)

    def sure(recording: Recording) -> float:
        seen = fuse(recording, None, weigh(recording), sensors=["plates"], confidence=ConfidenceMap())
        there = [
            e.item_confidence for e in seen.events if e.facing == event.facing and abs(e.t_s - event.t_s) < 1
        ]
        return max(there, default=0.0)

    assert sure(broken) <= sure(weighed)
