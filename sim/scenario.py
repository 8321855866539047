"""The whole input of a simulation: a store, its shoppers, its flows, checked field by field.

Every number says where it comes from: `published` (with its source), `measured` or `assumed`.
The sources are listed in docs/sources.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from checkout.catalog import check_schema, read_yaml
from checkout.errors import InputError, nearest

SCENARIO_SCHEMA = 1
BINOMIAL_MOST = 5
FLOWS = ("just-walk-out", "dash-cart", "self-checkout", "staffed-lanes")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Dollars = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Years = Annotated[float, Field(gt=0, le=50, allow_inf_nan=False)]
Staff = Annotated[int, Field(ge=0, le=100_000)]
Hours = dict[int, float]


class Part(BaseModel):
    """Base of all scenario parts: nothing unknown, nothing changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _hours_exist(hours: Hours, name: str) -> None:
    for hour, value in hours.items():
        if not 0 <= hour <= 23 or not 0 <= value < float("inf"):
            raise ValueError(f"{name} has {value} at hour {hour}, expected numbers from 0 at hours 0-23")


class Calendar(Part):
    """Which days one replication simulates."""

    days: int = Field(7, ge=1, le=3660, description="assumed: a week, so that every weekday counts once")
    warm_up_days: int = Field(
        1,
        ge=0,
        le=365,
        description="assumed: days before, whose sales are not counted but whose backlog stays",
    )
    first_weekday: Literal[WEEKDAYS] = "monday"  # type: ignore[valid-type]
    month: int | None = Field(
        None,
        ge=1,
        le=12,
        description="published: Complete Journey; busy as in this month, without it as in a mean month",
    )


class Items(Part):
    """Units in a basket.

    `supermarket` and `convenience` are the published shapes, filled from real baskets; another mean
    keeps the shape. `lognormal` needs the median besides the mean and rounds up; `poisson` is cut off
    at zero; `binomial` is one unit and up to four more.
    """

    distribution: Literal["supermarket", "convenience", "lognormal", "poisson", "binomial"] = "supermarket"
    mean: float = Field(10.7, gt=1.0, le=200.0, description="published: VideoMining, 10.7 items, supermarket")
    median: float | None = Field(
        None, gt=0.5, le=200.0, description="assumed by who sets it: of a lognormal basket"
    )

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        if self.distribution == "lognormal" and (self.median is None or self.median >= self.mean):
            raise ValueError("a lognormal basket needs a median below its mean")
        if self.distribution == "lognormal" and self.median is not None:
            from sim.shoppers import lognormal_sigma

            lognormal_sigma(self.mean, self.median)
        if self.distribution in ("supermarket", "convenience"):
            from sim.journey import size_shares

            size_shares(self.distribution, self.mean)
        if self.distribution == "binomial" and self.mean > BINOMIAL_MOST:
            raise ValueError(f"a binomial basket has at most {BINOMIAL_MOST} units, so its mean is too large")
        return self


class Budget(Part):
    """A sum in mind that a shopper does not want to pass, and how well a total is guessed."""

    share: Share = Field(0.3, description="assumed: shoppers with a budget")
    over_plan: float = Field(
        1.1, gt=0, le=100, description="assumed: median budget against the value of the planned basket"
    )
    spread: float = Field(0.25, ge=0, le=3, description="assumed: sd of the logarithm of the budget")
    guess_bias: float = Field(
        1.0, gt=0, le=10, description="assumed: median guess of a total against the true one"
    )
    guess_spread: float = Field(
        0.2, ge=0, le=3, description="assumed: sd of the logarithm of a guessed total, where no bill is shown"
    )


class Shoppers(Part):
    """Who comes and what they do."""

    visits_per_day: float = Field(1814.0, gt=0, le=200_000, description="published: FMI 2022, 12,700 a week")
    weekday_shares: dict[str, float] | None = Field(
        None, description="share of a week's visits; without it, of Complete Journey (published)"
    )
    hour_shares: Hours | None = Field(
        None, description="share of a day's visits in each hour; without it, of Complete Journey (published)"
    )
    opens_hour: int = Field(
        7, ge=0, le=23, description="assumed: first hour, where hour_shares are not given"
    )
    closes_hour: int = Field(22, ge=1, le=24, description="assumed: end of the last hour, as above")
    items: Items = Field(default_factory=Items)
    empty_share: float = Field(0.03, ge=0, lt=1, description="assumed: visits that take nothing")
    price_usd: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="mean price of a unit; without it, of Complete Journey, $2.2 (published)",
    )
    group_sizes: dict[int, float] = Field(
        {1: 0.70, 2: 0.22, 3: 0.05, 4: 0.03},
        description="assumed: share of visits by persons who pay together",
    )
    together_share: Share = Field(0.5, description="assumed: a companion stands at the same shelf")
    shelf_events_per_unit: float = Field(
        1.3, ge=0.3, le=5, description="assumed; published range 1.0-1.9 per kept unit (AutoCheckout: 1.9)"
    )
    units_per_reach: int = Field(2, ge=1, le=20, description="assumed: most units taken in one shelf event")
    misplaced_share: Share = Field(0.05, description="assumed: put-backs that end on another shelf")
    hand_over_share: Share = Field(
        0.002, description="assumed: kept lines handed to somebody of another group who stands there"
    )
    concealing_share: Share = Field(0.01, description="assumed: visits that conceal something")
    concealed_share: Share = Field(0.3, description="assumed: lines that such a visit conceals")
    budget: Budget = Field(default_factory=Budget)
    walk_m_per_s: float = Field(0.8, gt=0.05, le=5, description="assumed: walking with a cart or basket")
    at_shelf_s: float = Field(8.0, gt=0, le=600, description="assumed: time at the shelf for one shelf event")
    lingers_s: Seconds = Field(40.0, description="assumed: time looking at a shelf before taking")
    fixed_s: Seconds = Field(300.0, description="assumed: time that every visit has besides")
    per_line_s: Seconds = Field(160.0, description="assumed: looking around on the way to each line")
    queue_patience_s: Seconds = Field(
        900.0,
        description="assumed: mean wait (gamma of shape 4) after which a shopper leaves the basket and goes",
    )
    balks_at_s: Seconds = Field(
        900.0, description="assumed: a shopper who expects a longer wait at the tills does not queue at all"
    )

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> Self:
        for name, shares in (
            ("hour_shares", self.hour_shares),
            ("weekday_shares", self.weekday_shares),
            ("group_sizes", self.group_sizes),
        ):
            if shares is None:
                continue
            total = sum(shares.values())
            if not abs(total - 1) <= 0.01:
                raise ValueError(f"{name} sum to {total:.3f}, expected 1")
            if min(shares.values()) < 0:
                raise ValueError(f"{name} has a share below 0")
        if self.hour_shares is not None:
            _hours_exist(self.hour_shares, "hour_shares")
        for day in self.weekday_shares or {}:
            if day not in WEEKDAYS:
                raise ValueError(f"weekday_shares has {day!r}, expected {', '.join(WEEKDAYS)}")
        if not all(1 <= size <= 20 for size in self.group_sizes):
            raise ValueError("group_sizes has a size outside 1-20")
        if self.closes_hour <= self.opens_hour:
            raise ValueError(
                f"closes_hour is {self.closes_hour}, expected later than opens_hour {self.opens_hour}"
            )
        return self


class Shelves(Part):
    """The store's plan and what stands together."""

    layout: str = Field(
        "supermarket", description="a shipped layout (supermarket, convenience) or a YAML file"
    )
    look_alike_share: Share = Field(
        0.61, description="published: AutoCheckout, products with another within 10 g on the shelf"
    )


class Thresholds(Part):
    """An event under any of these goes to a human (US 11,030,541)."""

    item: Share = Field(0.9, description="assumed")
    action: Share = Field(0.9, description="assumed")
    shopper: Share = Field(0.9, description="assumed")


class Review(Part):
    """The human review desk."""

    thresholds: Thresholds = Field(default_factory=Thresholds)
    reviewers: Staff = Field(4, description="assumed: at work when the desk is fully staffed")
    shifts: Hours = Field(
        default_factory=lambda: dict.fromkeys(range(7, 24), 1.0),
        description="assumed: share of the reviewers at work in each hour; hours left out have none",
    )
    work_s: float = Field(
        180.0, gt=0, le=36_000, description="assumed; published bound: at most 5.7-10 minutes a review"
    )
    work_s_per_doubt: Seconds = Field(20.0, description="assumed: more work for each doubtful event")
    work_variation: float = Field(
        1.0, ge=0, le=5, description="assumed: sd of the work over its mean; 1 is exponential, 0 constant"
    )
    order: Literal["first_come", "fewest_doubts", "highest_value"] = Field(
        "first_come", description="assumed: which review is done first"
    )
    accuracy: Share = Field(0.97, description="assumed: a review makes a wrong receipt right")
    spoils: Share = Field(0.002, description="assumed: a review makes a right receipt wrong")
    wage_usd_per_hour: float = Field(8.0, ge=0, le=500, description="assumed")

    @model_validator(mode="after")
    def _somebody_reviews(self) -> Self:
        t = self.thresholds
        _hours_exist(self.shifts, "shifts")
        if self.shifts and max(self.shifts.values()) > 1:
            raise ValueError("shifts has a share above 1, expected shares of the reviewers")
        if max(t.item, t.action, t.shopper) > 0 and not any(
            round(self.reviewers * s) for s in self.shifts.values()
        ):
            raise ValueError(
                f"reviewers is {self.reviewers} and nobody is at work in any hour of shifts, while reviews are on; "
                "set all thresholds to 0 or employ somebody"
            )
        return self


class JustWalkOut(Part):
    """Take and leave; perception makes the bill."""

    zone: str | None = Field(None, description="where shoppers leave; without it, the layout's exit")
    gates: int = Field(4, ge=1, le=1000, description="assumed")
    gate_s: Seconds = Field(4.0, description="assumed: entry scan")
    receipt_s: Seconds = Field(60.0, description="assumed; published: 30 s at Tesco/Trigo, minutes at Go")
    exchange_minutes: float | None = Field(
        None,
        gt=0,
        le=10_000,
        description="assumed by who sets it: how long two exchanged identities stay so; else as the profile measured",
    )
    review: Review = Field(default_factory=Review)
    hardware_usd: Dollars = Field(1_000_000.0, description="published: RBC via Fox Business, a Go store")
    hardware_years: Years = Field(5.0, description="assumed")
    remodelling_usd: Dollars = Field(0.0, description="assumed: closing and rebuilding, beside the hardware")
    remodelling_years: Years = Field(10.0, description="assumed")
    cloud_usd_per_sale: Dollars = Field(0.05, description="assumed")
    attendants: Staff = Field(1, description="assumed: at the gates while the store is open")
    wage_usd_per_hour: float = Field(17.0, ge=0, le=500, description="assumed")
    dispute_usd: Dollars = Field(3.0, description="assumed: handling of one dispute")
    dispute_share: Share = Field(
        0.5, description="assumed: overcharged bills that the shopper notices and disputes"
    )
    false_claim_share: Share = Field(
        0.001, description="assumed: right bills of which the shopper disputes a line"
    )


class DashCart(Part):
    """Scan each item into a smart cart; the bill is shown while it grows."""

    zone: str | None = Field(None, description="where the exit lane is; without it, the layout's exit")
    carts: int = Field(160, ge=1, le=100_000, description="assumed")
    bags: int = Field(4, ge=1, le=20, description="published: aboutamazon.com, 4 bags (2022), 2 before")
    units_per_bag: int = Field(15, ge=1, le=200, description="assumed")
    too_large: Literal["lane", "leave", "trim"] = Field(
        "lane", description="assumed: a list over the bags is paid at a lane, not bought, or cut to what fits"
    )
    no_cart: Literal["wait", "lane", "leave"] = Field("lane", description="assumed: when no cart is free")
    dock_patience_s: Seconds = Field(120.0, description="assumed: how long a shopper waits for a cart")
    unlock_s: Seconds = Field(15.0, description="assumed")
    docks: int | None = Field(
        None, ge=1, le=100_000, description="assumed: chargers; without it, one for each cart"
    )
    charge_share: float = Field(
        0.25, ge=0, le=20, description="assumed: seconds of charging for a second of use"
    )
    scan_s: float = Field(4.0, gt=0, le=120, description="assumed")
    weigh_s: Seconds = Field(9.0, description="assumed: naming and weighing a line of loose produce")
    scan_fails: Share = Field(0.03, description="assumed: a unit that must be scanned again")
    unscanned: Share = Field(0.0058, description="published: ECR, 2.88 % of audits of 5 units fail; per unit")
    mismatch_seen: Share = Field(0.8, description="assumed: the cart's scale notices an unscanned unit")
    false_alarm: Share = Field(0.01, description="assumed: a good scan that the cart doubts")
    retry_s: Seconds = Field(8.0, description="assumed: take out and scan again")
    help_share: Share = Field(0.1, description="assumed: alarms that need an attendant")
    help_s: float = Field(45.0, gt=0, le=3600, description="assumed")
    attendants: int = Field(2, ge=1, le=1000, description="assumed")
    lanes: int = Field(3, ge=1, le=1000, description="assumed: exit lanes for carts")
    exit_s: Seconds = Field(8.0, description="assumed: passing the exit lane")
    audit_share: Share = Field(0.12, description="published: ECR, 12 % of scan-and-go transactions")
    audit_units: int = Field(5, ge=1, le=1000, description="assumed")
    audit_s_per_unit: Seconds = Field(4.0, description="assumed")
    return_s: Seconds = Field(240.0, description="assumed: to the car and back to the dock")
    fallback_lanes: Staff = Field(2, description="assumed: staffed lanes for those without a cart")
    cart_usd: Dollars = Field(5_000.0, description="assumed: no solid source")
    cart_years: Years = Field(4.0, description="assumed")
    remodelling_usd: Dollars = Field(20_000.0, description="assumed: docks and cart lanes")
    remodelling_years: Years = Field(10.0, description="assumed")
    cloud_usd_per_sale: Dollars = Field(0.02, description="assumed")
    wage_usd_per_hour: float = Field(17.0, ge=0, le=500, description="assumed")

    @model_validator(mode="after")
    def _lanes_are_there(self) -> Self:
        if self.fallback_lanes == 0 and "lane" in (self.too_large, self.no_cart):
            raise ValueError("fallback_lanes is 0 while shoppers without a cart go to a lane")
        return self


class SelfCheckout(Part):
    """Scan everything oneself at a station near the exit."""

    zone: str | None = Field(None, description="where the stations are; without it, the layout's exit")
    stations: int = Field(8, ge=1, le=1000, description="assumed")
    most_units: int | None = Field(None, ge=1, description="assumed: larger baskets are not let in")
    scan_s: Seconds = Field(10.0, description="published: about 4 times a cashier's 2.6 s")
    weigh_s: Seconds = Field(10.0, description="assumed: naming and weighing a line of loose produce")
    pay_s: Seconds = Field(30.0, description="published: payment about 30 s")
    help_share: Share = Field(0.02, description="assumed: units that need an attendant (age, weight, voids)")
    help_s: float = Field(30.0, gt=0, le=3600, description="assumed")
    attendants: int = Field(1, ge=1, le=1000, description="assumed")
    unscanned: Share = Field(0.0044, description="published: ECR 2018, 0.44 % of value")
    charged_twice: Share = Field(0.0005, description="assumed: a unit scanned twice")
    station_usd: Dollars = Field(20_000.0, description="assumed")
    station_years: Years = Field(7.0, description="assumed")
    wage_usd_per_hour: float = Field(17.0, ge=0, le=500, description="assumed")


class StaffedLanes(Part):
    """A cashier scans everything at a lane near the exit."""

    zone: str | None = Field(None, description="where the lanes are; without it, the layout's exit")
    lanes: int = Field(6, ge=1, le=1000, description="assumed: open when fully staffed")
    shifts: Hours | None = Field(
        None, description="share of the lanes open in each hour; without it, as the shoppers come (assumed)"
    )
    scan_s: Seconds = Field(3.0, description="published: cashier, 2.6 s (Kroger), 3.0 s (Aldi) an item")
    weigh_s: Seconds = Field(5.0, description="assumed: a line of loose produce")
    pay_s: Seconds = Field(30.0, description="published: payment about 30 s")
    unscanned: Share = Field(0.001, description="assumed")
    charged_twice: Share = Field(0.0005, description="assumed: a unit scanned twice")
    lane_usd: Dollars = Field(15_000.0, description="assumed")
    lane_years: Years = Field(10.0, description="assumed")
    wage_usd_per_hour: float = Field(17.0, ge=0, le=500, description="assumed")

    @model_validator(mode="after")
    def _somebody_serves(self) -> Self:
        if self.shifts is not None:
            _hours_exist(self.shifts, "shifts")
            if not self.shifts or not 0 < max(self.shifts.values()) <= 1:
                raise ValueError("shifts need a share above 0, none above 1")
        return self


class Choice(Part):
    """How shoppers choose where a store sells in several ways at once."""

    likes: dict[str, float] = Field(
        {"just-walk-out": 0.4, "dash-cart": 0.3, "self-checkout": 0.5, "staffed-lanes": 0.5},
        description="assumed: weight of each flow; at the tills, of self-checkout and lanes when the waits are equal",
    )
    wait_matters: float = Field(
        0.01,
        ge=0,
        le=10,
        description="assumed: how fast a till's appeal falls with a second of expected time",
    )

    @model_validator(mode="after")
    def _something_is_liked(self) -> Self:
        if any(not 0 <= weight < float("inf") for weight in self.likes.values()):
            raise ValueError("likes has a weight below 0")
        for name in self.likes:
            if name not in FLOWS:
                hint = nearest(name, FLOWS) or f"flows are {', '.join(FLOWS)}"
                raise ValueError(f"likes has {name!r}, which is not a flow; {hint}")
        return self


class Economics(Part):
    """What goods and mistakes are worth to the store."""

    margin_share: Share = Field(
        0.28, description="assumed: gross margin; a lost sale costs it, a stolen unit the rest"
    )
    open_days_per_year: float = Field(365.0, gt=0, le=366, description="assumed")


class Scenario(Part):
    """A store, its shoppers, and how it sells."""

    schema_version: Literal[1] = Field(1, alias="schema")
    name: str = Field(min_length=1, max_length=80)
    description: str = ""
    calendar: Calendar = Field(default_factory=Calendar)
    shoppers: Shoppers = Field(default_factory=Shoppers)
    shelves: Shelves = Field(default_factory=Shelves)
    just_walk_out: JustWalkOut = Field(default_factory=JustWalkOut)
    dash_cart: DashCart = Field(default_factory=DashCart)
    self_checkout: SelfCheckout = Field(default_factory=SelfCheckout)
    staffed_lanes: StaffedLanes = Field(default_factory=StaffedLanes)
    choice: Choice = Field(default_factory=Choice)
    economics: Economics = Field(default_factory=Economics)

    @model_validator(mode="after")
    def _zones_exist(self) -> Self:
        from sim.layout import load_layout

        layout = load_layout(self.shelves.layout)
        for flow in ("just_walk_out", "dash_cart", "self_checkout", "staffed_lanes"):
            zone = getattr(self, flow).zone
            if zone is not None and zone not in layout.zones:
                hint = nearest(zone, layout.zones) or f"zones are {', '.join(layout.zones)}"
                raise ValueError(f"{flow}.zone: {zone!r} is not a zone of the layout {layout.name}; {hint}")
        return self

    def with_values(self, values: Mapping[str, Any]) -> Scenario:
        """A copy with dotted fields changed, for example `{"shoppers.items.mean": 5}`; checked like a file."""
        document = self.model_dump(by_alias=True)
        for path, value in values.items():
            target = document
            *parents, last = path.split(".")
            for depth, key in enumerate(parents):
                where = ".".join(parents[: depth + 1])
                if key not in target:
                    raise InputError("--set", where, "unknown field", _meant(path, document))
                target = target[key]
                if not isinstance(target, dict) or not all(isinstance(known, str) for known in target):
                    raise InputError(
                        "--set", path, f"{where} has no fields of its own", f"set {where} as a whole"
                    )
            if last not in target:
                raise InputError("--set", path, "unknown field", _meant(path, document))
            target[last] = value
        return _checked("--set", document)


def fields_of(document: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of every field that has one value."""
    for key, value in document.items():
        if isinstance(value, dict) and all(isinstance(k, str) for k in value):
            yield from fields_of(value, f"{above}{key}.")
        elif not isinstance(value, dict | list | tuple):
            yield f"{above}{key}", value


def _meant(path: str, document: Mapping[str, Any]) -> str:
    """Which field an unknown dotted name may mean."""
    names = [name for name, _ in fields_of(document)]
    ends = [name for name in names if name.endswith(f".{path}")]
    return f"did you mean {ends[0]!r}?" if ends else nearest(path, names)


def shipped_scenarios() -> list[str]:
    """Names of the scenarios that come with the package."""
    folder = resources.files("sim") / "scenarios"
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def load_scenario(name: str | Path) -> Scenario:
    """A shipped scenario by name, or one from a YAML file; raises `InputError` for any fault.

    A layout that a file names by a relative path lies beside that file.
    """
    path = Path(name)
    if not path.suffix:
        if str(name) not in shipped_scenarios():
            known = shipped_scenarios()
            hint = nearest(str(name), known) or f"shipped ones are {', '.join(known)}"
            raise InputError(str(name), "", "is neither a shipped scenario nor a .yaml file", hint)
        path = Path(str(resources.files("sim") / "scenarios" / f"{name}.yaml"))
    document = read_yaml(path)
    check_schema(path, document, SCENARIO_SCHEMA)
    shelves = document.get("shelves")
    if isinstance(shelves, dict) and str(shelves.get("layout", "")).endswith((".yaml", ".yml")):
        document["shelves"] = shelves | {"layout": str(path.parent / shelves["layout"])}
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
