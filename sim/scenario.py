"""The whole input of a simulation: a store, its shoppers, its flows, checked field by field.

Every number says where it comes from: `published` (with its source), `measured` or `assumed`.
The sources are listed in docs/sources.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from checkout.catalog import check_schema, read_yaml
from checkout.errors import InputError, nearest

SCENARIO_SCHEMA = 1
BINOMIAL_MOST = 5


class Part(BaseModel):
    """Base of all scenario parts: nothing unknown, nothing changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Items(Part):
    """Units in a basket.

    `lognormal` needs the median besides the mean and rounds up; `poisson` is cut off at zero;
    `binomial` is one unit and up to four more, for small baskets without a tail.
    """

    distribution: Literal["lognormal", "poisson", "binomial"] = "lognormal"
    mean: float = Field(10.7, gt=1.0, le=200.0, description="published: VideoMining, 10.7 items, supermarket")
    median: float | None = Field(
        None, gt=0.5, le=200.0, description="published: VideoMining, half of visits 5 or fewer"
    )

    @model_validator(mode="after")
    def _median_fits(self) -> Self:
        if self.distribution == "lognormal" and (self.median is None or self.median >= self.mean):
            raise ValueError("a lognormal basket needs a median below its mean")
        if self.distribution == "lognormal" and self.median is not None:
            from sim.shoppers import lognormal_sigma

            lognormal_sigma(self.mean, self.median)
        if self.distribution == "binomial" and self.mean > BINOMIAL_MOST:
            raise ValueError(f"a binomial basket has at most {BINOMIAL_MOST} units, so its mean is too large")
        return self


class Shoppers(Part):
    """Who comes and what they do."""

    visits_per_day: float = Field(1814.0, gt=0, le=200_000, description="published: FMI 2022, 12,700 a week")
    hour_shares: dict[int, float] = Field(
        description="share of the visits that arrive in each hour of the day"
    )
    items: Items = Field(default_factory=Items)
    empty_share: float = Field(0.03, ge=0, lt=1, description="assumed: visits that take nothing")
    second_unit_share: float = Field(
        0.20, ge=0, le=1, description="published: Complete Journey, lines of several units"
    )
    shelf_events_per_line: float = Field(
        1.3, ge=1, le=5, description="assumed; published range 1.0-1.9 per kept unit"
    )
    price_usd: float = Field(
        2.2, gt=0, le=1000, description="published: Complete Journey, $29.6 over 13.45 units"
    )
    price_spread: float = Field(0.7, ge=0, le=3, description="assumed: sd of the logarithm of a unit's price")
    at_shelf_s: float = Field(8.0, gt=0, le=600, description="assumed: time at the shelf for one shelf event")
    lingers_s: float = Field(
        60.0, ge=0, le=3600, description="assumed: part of the walk spent looking, near that shelf"
    )
    fixed_s: float = Field(300.0, ge=0, le=7200, description="assumed: walking that every visit has")
    per_line_s: float = Field(200.0, ge=0, le=3600, description="assumed: walking and looking for each line")

    @model_validator(mode="after")
    def _hours_sum_to_one(self) -> Self:
        total = sum(self.hour_shares.values())
        if abs(total - 1) > 0.01:
            raise ValueError(f"hour_shares sum to {total:.3f}, expected 1")
        for hour, share in self.hour_shares.items():
            if not 0 <= hour <= 23 or share < 0:
                raise ValueError(f"hour_shares has {share} at hour {hour}, expected shares at hours 0-23")
        return self


class Shelves(Part):
    """Where crowding happens."""

    zones: int = Field(300, ge=1, le=100_000, description="assumed: stretches of shelf of 1.2 m")
    popularity: float = Field(0.6, ge=0, le=3, description="assumed: exponent of a zone's popularity by rank")
    look_alike_share: float = Field(
        0.6, ge=0, le=1, description="assumed: picks with a look-alike on the same shelf"
    )


class Thresholds(Part):
    """An event under any of these goes to a human (US 11,030,541)."""

    item: float = Field(0.9, ge=0, le=1, description="assumed")
    action: float = Field(0.9, ge=0, le=1, description="assumed")
    shopper: float = Field(0.9, ge=0, le=1, description="assumed")


class Review(Part):
    """The human review desk."""

    thresholds: Thresholds = Field(default_factory=Thresholds)
    reviewers: int = Field(4, ge=0, le=100_000, description="assumed")
    work_s: float = Field(
        240.0, gt=0, le=36_000, description="assumed; published bound: at most 5.7-10 minutes"
    )
    accuracy: float = Field(0.97, ge=0, le=1, description="assumed: a review makes a wrong receipt right")
    wage_usd_per_hour: float = Field(8.0, ge=0, le=500, description="assumed")

    @model_validator(mode="after")
    def _somebody_reviews(self) -> Self:
        t = self.thresholds
        if self.reviewers == 0 and max(t.item, t.action, t.shopper) > 0:
            raise ValueError(
                "reviewers is 0 while reviews are on; set all thresholds to 0 or employ somebody"
            )
        return self


class JustWalkOut(Part):
    """Take and leave; perception makes the bill."""

    gates: int = Field(4, ge=1, le=1000, description="assumed")
    gate_s: float = Field(4.0, ge=0, le=600, description="assumed: entry scan")
    receipt_s: float = Field(
        60.0, ge=0, le=86_400, description="assumed; published: 30 s at Tesco/Trigo, minutes at Go"
    )
    review: Review = Field(default_factory=Review)
    hardware_usd: float = Field(
        1_000_000.0, ge=0, le=1e9, description="published: RBC via Fox Business, a Go store"
    )
    hardware_years: float = Field(5.0, gt=0, le=50, description="assumed")
    cloud_usd_per_sale: float = Field(0.05, ge=0, le=100, description="assumed")
    dispute_usd: float = Field(3.0, ge=0, le=1000, description="assumed: handling of one disputed overcharge")
    dispute_share: float = Field(0.5, ge=0, le=1, description="assumed: overcharges that the shopper notices")


class DashCart(Part):
    """Scan each item into a smart cart; the bill is shown while it grows."""

    carts: int = Field(160, ge=1, le=100_000, description="assumed")
    unlock_s: float = Field(15.0, ge=0, le=600, description="assumed")
    scan_s: float = Field(4.0, gt=0, le=120, description="assumed")
    unscanned: float = Field(
        0.0058, ge=0, le=1, description="published: ECR, 2.88 % of audits of 5 units fail; per unit"
    )
    mismatch_seen: float = Field(
        0.8, ge=0, le=1, description="assumed: the cart's scale notices an unscanned unit"
    )
    false_alarm: float = Field(0.01, ge=0, le=1, description="assumed: a good scan that the cart doubts")
    retry_s: float = Field(8.0, ge=0, le=600, description="assumed: take out and scan again")
    help_share: float = Field(0.1, ge=0, le=1, description="assumed: alarms that need an attendant")
    help_s: float = Field(45.0, gt=0, le=3600, description="assumed")
    attendants: int = Field(2, ge=1, le=1000, description="assumed")
    lanes: int = Field(3, ge=1, le=1000, description="assumed: exit lanes for carts")
    exit_s: float = Field(8.0, ge=0, le=600, description="assumed: passing the exit lane")
    audit_share: float = Field(
        0.12, ge=0, le=1, description="published: ECR, 12 % of scan-and-go transactions"
    )
    audit_units: int = Field(5, ge=1, le=1000, description="assumed")
    audit_s_per_unit: float = Field(4.0, ge=0, le=120, description="assumed")
    return_s: float = Field(
        240.0, ge=0, le=7200, description="assumed: to the car, back to the dock, charging"
    )
    cart_usd: float = Field(5_000.0, ge=0, le=1e6, description="assumed: no solid source")
    cart_years: float = Field(4.0, gt=0, le=50, description="assumed")
    wage_usd_per_hour: float = Field(17.0, ge=0, le=500, description="assumed")


class Scenario(Part):
    """A store, its shoppers, and how it sells."""

    schema_version: Literal[1] = Field(1, alias="schema")
    name: str = Field(min_length=1, max_length=80)
    description: str = ""
    shoppers: Shoppers
    shelves: Shelves = Field(default_factory=Shelves)
    just_walk_out: JustWalkOut = Field(default_factory=JustWalkOut)
    dash_cart: DashCart = Field(default_factory=DashCart)

    def with_values(self, values: Mapping[str, Any]) -> Scenario:
        """A copy with dotted fields changed, for example `{"shoppers.items.mean": 5}`; checked like a file."""
        document = self.model_dump(by_alias=True)
        for path, value in values.items():
            target = document
            *parents, last = path.split(".")
            for depth, key in enumerate(parents):
                where = ".".join(parents[: depth + 1])
                if key not in target:
                    raise InputError("--set", where, "unknown field", nearest(key, target))
                target = target[key]
                if not isinstance(target, dict) or not all(isinstance(known, str) for known in target):
                    raise InputError(
                        "--set", path, f"{where} has no fields of its own", f"set {where} as a whole"
                    )
            if last not in target:
                raise InputError("--set", path, "unknown field", nearest(last, target))
            target[last] = value
        return _checked("--set", document)


def shipped_scenarios() -> list[str]:
    """Names of the scenarios that come with the package."""
    folder = resources.files("sim") / "scenarios"
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def load_scenario(name: str | Path) -> Scenario:
    """A shipped scenario by name, or one from a YAML file; raises `InputError` for any fault."""
    path = Path(name)
    if not path.suffix:
        if str(name) not in shipped_scenarios():
            known = shipped_scenarios()
            hint = nearest(str(name), known) or f"shipped ones are {', '.join(known)}"
            raise InputError(str(name), "", "is neither a shipped scenario nor a .yaml file", hint)
        path = Path(str(resources.files("sim") / "scenarios" / f"{name}.yaml"))
    document = read_yaml(path)
    check_schema(path, document, SCENARIO_SCHEMA)
    return _checked(path, document)


def _checked(file: str | Path, document: Mapping[str, Any]) -> Scenario:
    try:
        return Scenario.model_validate(document)
    except ValidationError as error:
        fault = error.errors()[0]
        keys = [str(key) for key in fault["loc"]]
        field, value = ".".join(keys), fault["input"]
        if fault["type"] == "extra_forbidden":
            hint = nearest(keys[-1], _fields_at(keys[:-1]))
            raise InputError(file, field, "unknown field", hint) from None
        shown = f"{value!r}: " if isinstance(value, int | float | str) else ""
        problem = fault["msg"].removeprefix("Value error, ")
        raise InputError(file, field, f"{shown}{problem[0].lower()}{problem[1:]}") from None


def _fields_at(keys: list[str]) -> list[str]:
    model: Any = Scenario
    for key in keys:
        model = model.model_fields[key].annotation
    return [f.alias or name for name, f in model.model_fields.items()]
