"""The page: four panels over one store. Each panel is built by one function and holds no state of another."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from nicegui import run, ui

from checkout.errors import InputError
from checkout.profile import PerceptionProfile
from sim.dashboard import replay
from sim.dashboard.bills import ASPECTS, Answer, Desk
from sim.dashboard.worker import Worker
from sim.experiment import FlowResult
from sim.flows import FLOWS
from sim.scenario import Scenario

GREY = "#8a8f98"
ACCENT, SECOND = "#d9772b", "#2f7fb8"
SHOWN_METRICS = {
    "reviews_per_1000_sales": "reviews per 1,000 sales",
    "interventions_per_1000_sales": "interventions per 1,000 sales",
    "escapes_per_1000_sales": "escapes per 1,000 sales",
    "time_to_receipt_p95_s": "time to receipt, 95 % quantile, s",
    "wait_p95_s": "wait, 95 % quantile, s",
    "lost_visits_per_1000_visits": "lost visits per 1,000",
    "labour_hours_per_1000_sales": "labour, hours per 1,000 sales",
    "cost_per_sale_usd": "cost of a sale, $",
}
STAFF = {
    "just-walk-out": ("just_walk_out.review.reviewers", "reviewers"),
    "dash-cart": ("dash_cart.carts", "carts"),
    "self-checkout": ("self_checkout.stations", "stations"),
    "staffed-lanes": ("staffed_lanes.lanes", "lanes"),
}
POINTS = 400
ENOUGH = 20
"""Replications from which on the table no longer says that its intervals are wide."""
FEW_SAID = (
    f"Four replications are a first look: their intervals are very wide. Ask for {ENOUGH} or more before you compare; "
    "what stays wide then comes from too few judged events in the profile."
)


class StoreDayView(ui.element, component="store_day.js"):
    """The animation of a day, which it loads from an address."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._props["url"] = url

    def shows(self, url: str) -> None:
        self._props["url"] = url
        self.update()


@dataclass
class Served:
    """What the page shows, prepared once for all who look.

    Attributes:
        recordings: the folder whose recordings can be stepped through.
        days: simulated days behind the thresholds.
    """

    scenario: Scenario
    profile: PerceptionProfile
    desk: Desk
    recordings: Path
    days: int
    seed: int
    worker: Worker
    drawn_days: dict[str, dict[str, Any]] = field(default_factory=dict)


def simulated(
    scenario: Scenario, flow: str, profile: PerceptionProfile, replications: int, seed: int
) -> FlowResult:
    """A job for the background: one flow."""
    from sim.dashboard.worker import tell
    from sim.experiment import simulate

    return simulate(scenario, flow, profile, replications=replications, seed=seed, progress=tell)


def drawn_day(scenario: Scenario, flow: str, profile: PerceptionProfile, seed: int) -> dict[str, Any]:
    """A job for the background: the day of one flow, ready for the browser."""
    from sim.dashboard.day import animated, shop_floor

    return animated(shop_floor(scenario, flow, profile, seed=seed))


def build(served: Served) -> None:
    """The whole page, for one who looks."""
    ui.add_css(Path(__file__).with_name("style.css"))
    dark = ui.dark_mode(None)
    scenario = served.scenario
    with ui.element("main").classes("page"):
        with ui.element("div").classes("top"):
            ui.html(f"<h1>Checkout simulator: {_text(scenario.name)}</h1>", sanitize=False)
            ui.select(
                {None: "as the system", False: "light", True: "dark"}, value=None, label="colours"
            ).props("dense outlined options-dense").on_value_change(lambda e: dark.set_value(e.value)).style(
                "min-width:10rem"
            ).props('aria-label="colours"')
        with ui.tabs().props("align=left no-caps inline-label").classes("wide") as tabs:
            names = [
                ui.tab(name) for name in ("Thresholds", "Ways of selling", "A day in the store", "Recordings")
            ]
        with ui.tab_panels(tabs, value=names[0], animated=False).classes("wide"):
            for name, panel in zip(names, (thresholds, ways_of_selling, store_day, recordings), strict=True):
                with ui.tab_panel(name):
                    panel(served)


def thresholds(served: Served) -> None:
    """Sliders that answer at once, from bills that were simulated beforehand."""
    desk, review = served.desk, served.scenario.just_walk_out.review
    start = tuple(getattr(review.thresholds, aspect) for aspect in ASPECTS)
    sliders: dict[str, Any] = {}
    shown: dict[str, Any] = {}

    with ui.element("div").classes("two"):
        with ui.element("div").classes("panel"):
            ui.html("<h2>Review a sale when an event is less sure than</h2>", sanitize=False)
            for aspect, value in zip(ASPECTS, start, strict=True):
                sliders[aspect], shown[aspect] = _slide(aspect, 0.0, 1.0, 0.005, value)
            together = ui.checkbox("move the three together", value=False)
            sliders["reviewers"], shown["reviewers"] = _slide(
                "reviewers", 1, max(40, 2 * review.reviewers), 1, max(1, review.reviewers)
            )
            ui.html(
                '<p class="soft small">Arrow keys move a slider that has the focus. Reviewers are at work in all '
                "opening hours.</p>",
                sanitize=False,
            )
        with ui.element("div"):
            with (
                ui.element("div")
                .classes("panel numbers")
                .props('role=status aria-label="what these come to"')
            ):
                numbers = {key: _number(text) for key, text in (
                    ("reviews", "reviews per 1,000 sales"), ("escapes", "escapes per 1,000 sales"),
                    ("delay", "time to receipt, 95 % quantile"), ("cost", "wages and losses per 1,000 sales"),
                )}  # fmt: skip
            chart = ui.plotly(_frontier_figure(desk, desk.at(start, max(1, review.reviewers)))).classes(
                "wide"
            )
            sales = desk.sales
            ui.html(
                f'<p class="soft small">{len(sales):,} sales of {served.days} simulated days (seed {served.seed}), '
                f"{1000 * sales.wrong_share:.0f} wrong per 1,000 before review; profile: "
                f"{_text(served.profile.detector)}, {len(served.profile.judged):,} judged events. Delay by Erlang C, "
                f"hour by hour, {desk.work.work_s:.0f} s a review, without bills "
                "held for a neighbour's review. Read off these sales, nothing is promised: <code>checkout tune</code> "
                "promises. "
                "Published: 20 to 50 reviews per 1,000 was the goal, 700 what there was in mid-2022 (The Batch, "
                "2024).</p>",
                sanitize=False,
            )

    def answer() -> None:
        chosen = tuple(float(sliders[aspect].value) for aspect in ASPECTS)
        found = desk.at(chosen, int(sliders["reviewers"].value))  # type: ignore[arg-type]
        numbers["reviews"].set_text(f"{found.reviews_per_1000_sales:,.0f}")
        numbers["escapes"].set_text(f"{found.escapes_per_1000_sales:,.1f}")
        numbers["delay"].set_text(_seconds(found.p95_s))
        numbers["cost"].set_text(f"${found.cost_usd_per_1000_sales:,.0f}")
        chart.run_plot_method(
            "restyle", {"x": [[found.reviews_per_1000_sales]], "y": [[found.escapes_per_1000_sales]]}, [1]
        )

    def moved(name: str) -> Callable[[Any], None]:
        def handle(event: Any) -> None:
            value = float(event.value)
            shown[name].set_text(f"{value:.0f}" if name == "reviewers" else f"{value:.3f}")
            if together.value and name != "reviewers":
                for other in ASPECTS:
                    if sliders[other].value != value:
                        sliders[other].set_value(value)
            answer()

        return handle

    for name, slider in sliders.items():
        slider.on_value_change(moved(name))
    found = desk.at(start, max(1, review.reviewers))  # type: ignore[arg-type]
    numbers["reviews"].set_text(f"{found.reviews_per_1000_sales:,.0f}")
    numbers["escapes"].set_text(f"{found.escapes_per_1000_sales:,.1f}")
    numbers["delay"].set_text(_seconds(found.p95_s))
    numbers["cost"].set_text(f"${found.cost_usd_per_1000_sales:,.0f}")


def _frontier_figure(desk: Desk, now: Answer) -> dict[str, Any]:
    frontier = desk.frontier
    rows = np.unique(np.linspace(0, len(frontier) - 1, min(POINTS, len(frontier))).round().astype(int))
    return {
        "data": [
            {"x": frontier.reviews_per_1000_sales[rows].tolist(), "y": frontier.escapes_per_1000_sales[rows].tolist(),
             "mode": "lines", "line": {"color": SECOND, "shape": "hv"}, "name": "best with one threshold for all"},
            {"x": [now.reviews_per_1000_sales], "y": [now.escapes_per_1000_sales], "mode": "markers",
             "marker": {"size": 13, "color": ACCENT}, "name": "the sliders"},
        ],
        "layout": _layout("reviews per 1,000 sales", "escapes per 1,000 sales")
        | {"shapes": [{"type": "rect", "xref": "x", "yref": "paper", "x0": 20, "x1": 50, "y0": 0, "y1": 1,
                       "line": {"width": 0}, "fillcolor": "rgba(47,127,111,.18)"}]},
        "config": {"displayModeBar": False, "responsive": True},
    }  # fmt: skip


def ways_of_selling(served: Served) -> None:
    """Flows side by side on the same shoppers, simulated in the background."""
    scenario = served.scenario
    columns: dict[tuple[str, float, int], FlowResult] = {}
    with ui.element("div").classes("two"):
        with ui.element("div").classes("panel"):
            ui.html("<h2>Simulate</h2>", sanitize=False)
            flow = ui.select(list(FLOWS), value="just-walk-out", label="way of selling").classes("wide")
            items = ui.number(
                "mean items in a basket", value=scenario.shoppers.items.mean, min=1.1, max=40, step=0.5
            )
            staff = ui.number(
                "reviewers", value=scenario.just_walk_out.review.reviewers, min=1, max=2000, step=1
            )
            visits = ui.number(
                "visits a day", value=scenario.shoppers.visits_per_day, min=10, max=20000, step=50
            )
            replications = ui.number(
                f"replications of {scenario.calendar.days} days", value=4, min=2, max=50, step=1
            )
            ui.html(f'<p class="soft small">{FEW_SAID}</p>', sanitize=False)
            for box in (items, staff, visits, replications):
                box.classes("wide")
            button = (
                ui.button("Simulate", color=None)
                .props("no-caps unelevated")
                .classes("wide act")
                .style("margin-top:1rem")
            )
            bar = ui.linear_progress(value=0, show_value=False).props('aria-label="progress"')
            bar.set_visibility(False)
        with ui.element("div").classes("panel"):
            table = ui.html('<p class="soft">Nothing simulated yet.</p>', sanitize=False).classes("scrolls")

    def staffed(_: Any) -> None:
        path, word = STAFF[flow.value]
        part: Any = scenario
        for name in path.split("."):
            part = getattr(part, name)
        staff.props(f'label="{word}"')
        staff.set_value(part)

    async def simulate() -> None:
        path, _ = STAFF[flow.value]
        values = (flow.value, items.value, staff.value, visits.value, replications.value)
        if any(value is None for value in values):
            ui.notify("fill in every number", type="warning")
            return
        button.disable()
        bar.set_value(0)
        bar.set_visibility(True)
        try:
            changed = scenario.with_values(
                {
                    "shoppers.items.mean": items.value,
                    path: int(staff.value),
                    "shoppers.visits_per_day": visits.value,
                }
            )
            key = ("flow", changed.model_dump_json(), flow.value, int(replications.value))
            result = await served.worker.run(
                key, simulated, changed, flow.value, served.profile, int(replications.value), served.seed,
                progress=bar.set_value,
            )  # fmt: skip
        except InputError as error:
            ui.notify(str(error), type="negative", multi_line=True, timeout=0, close_button="Close")
            return
        finally:
            bar.set_visibility(False)
            button.enable()
        columns[flow.value, float(items.value), int(staff.value)] = result
        table.set_content(_side_by_side(columns, served.seed))

    flow.on_value_change(staffed)
    button.on_click(simulate)


def _side_by_side(columns: dict[tuple[str, float, int], FlowResult], seed: int) -> str:
    from sim.cli import with_interval

    head = "".join(
        f"<th>{flow}<br><span class='soft small'>{items:g} items, {staff} {STAFF[flow][1]}</span></th>"
        for flow, items, staff in columns
    )
    rows = []
    for metric, text in SHOWN_METRICS.items():
        cells = [result.estimate(metric) for result in columns.values()]
        if any(cells):
            rows.append(
                f"<tr><td>{text}</td>"
                + "".join(f"<td>{with_interval(e) if e else '–'}</td>" for e in cells)
                + "</tr>"
            )
    sales = ", ".join(f"{result.sales:,}" for result in columns.values())
    few = min(result.replications for result in columns.values())
    wide = (
        f"<b>With {few} replications the intervals are very wide: a first look, no comparison.</b> "
        if few < ENOUGH
        else ""
    )
    return (
        f'<table class="data"><tr><th></th>{head}</tr>{"".join(rows)}</table><p class="soft small">{wide}'
        f"Mean and half of the 95 % interval over replications; {sales} sales; seed {seed}, the same shoppers where "
        "baskets and visits are the same. A dash: this way of selling does not have it.</p>"
    )


def store_day(served: Served) -> None:
    """A day as an animation; the browser plays it by itself."""
    with ui.element("div").classes("panel"):
        with ui.row().classes("items-center wide"):
            flow = ui.select(list(FLOWS), value="just-walk-out", label="way of selling").style(
                "min-width:12rem"
            )
            spinner = ui.spinner(size="1.6rem")
        place = ui.element("div").classes("wide")
    views: list[StoreDayView] = []

    async def show() -> None:
        spinner.set_visibility(True)
        name = str(flow.value)
        try:
            served.drawn_days[name] = await served.worker.run(
                ("day", name), drawn_day, served.scenario, name, served.profile, served.seed
            )
        except InputError as error:
            ui.notify(str(error), type="negative", timeout=0, close_button="Close")
            return
        finally:
            spinner.set_visibility(False)
        if views:
            views[0].shows(f"/day/{name}")
        else:
            with place:
                views.append(StoreDayView(f"/day/{name}"))

    flow.on_value_change(show)
    ui.timer(0.1, show, once=True)


def recordings(served: Served) -> None:
    """Step through the events of a recording."""
    names = replay.recordings_in(served.recordings)
    if not names:
        ui.html(
            f"<p>No recordings in {_text(str(served.recordings))}; name their folder with "
            "<code>--recordings</code>, or render some: <code>checkout render --set test-clean --out videos</code></p>",
            sanitize=False,
        )
        return
    state: dict[str, Any] = {"events": (), "at": 0}
    with ui.element("div").classes("panel"), ui.row().classes("items-center wide"):
        name = ui.select(names, value=names[0], label="recording").style("min-width:11rem")
        sensors = ui.select(
            {"plates": "load cells", "vision,plates": "video and load cells (minutes)"},
            value="plates",
            label="perceived by",
        ).style("min-width:15rem")
        before = ui.button("Previous", color=None).props("no-caps unelevated").classes("act")
        after = ui.button("Next", color=None).props("no-caps unelevated").classes("act")
        spinner = ui.spinner(size="1.6rem")
    said = ui.html("", sanitize=False).props("role=status")
    with ui.element("div").classes("two even"):
        table = ui.html("", sanitize=False).classes("panel scrolls tall")
        chart = ui.plotly(
            {"data": [], "layout": _layout("seconds", "grams"), "config": {"displayModeBar": False}}
        )
        chart.classes("wide")
    seen = ui.html("", sanitize=False).classes("pictures")

    async def load() -> None:
        spinner.set_visibility(True)
        folder = served.recordings / name.value
        try:
            found = await served.worker.run(
                ("perceived", name.value, sensors.value),
                replay.perceived,
                folder,
                tuple(sensors.value.split(",")),
            )
        except InputError as error:
            ui.notify(str(error), type="negative", timeout=0, close_button="Close")
            return
        finally:
            spinner.set_visibility(False)
        state.update(events=sorted(found.events, key=lambda e: e.t_s), at=0)
        await show()

    async def show() -> None:
        events, at = state["events"], state["at"]
        folder = served.recordings / name.value
        recording = await run.io_bound(replay.opened, folder)
        if recording is None:  # the page is being closed
            return
        table.set_content(_events_table(events, at))
        if not events:
            said.set_content("<p>No event was perceived in this recording.</p>")
            return
        event = events[at]
        said.set_content(_told(event, replay.true_event(recording, event), at, len(events)))
        chart.update_figure(_trace_figure(await run.io_bound(replay.trace_of, recording, event), event.t_s))
        try:
            shots = await run.io_bound(replay.pictures, folder, event.t_s)
        except InputError as error:
            seen.set_content(f"<p>{_text(str(error))}</p>")
            return
        seen.set_content(
            "".join(
                f'<figure><img src="{data}" alt="{_text(caption)} the event"><figcaption>{_text(caption)}</figcaption>'
                "</figure>"
                for caption, data in shots or ()
            )
        )

    async def step(by: int) -> None:
        if state["events"]:
            state["at"] = (state["at"] + by) % len(state["events"])
            await show()

    name.on_value_change(load)
    sensors.on_value_change(load)
    before.on_click(lambda: step(-1))
    after.on_click(lambda: step(1))
    ui.timer(0.1, load, once=True)


def _told(event: Any, truth: Any, at: int, count: int) -> str:
    word = "put back" if event.action == "put_back" else event.action
    right = ""
    if truth is not None:
        true_word = "put back" if truth.action == "put_back" else truth.action
        right = f" Truth: {_text(truth.shopper)}, {true_word} {truth.quantity} x {_text(truth.product)}."
    return (
        f"<p><b>Event {at + 1} of {count}, {event.t_s:.1f} s:</b> {_text(event.shopper)}, {word} {event.quantity} x "
        f"{_text(event.product)} at {_text(event.facing)}; confidence item {event.item_confidence:.2f}, action "
        f"{event.action_confidence:.2f}, shopper {event.shopper_confidence:.2f}.{right}</p>"
    )


def _events_table(events: Any, at: int) -> str:
    rows = "".join(
        f"<tr{' class=now aria-current=true' if i == at else ''}><td>{e.t_s:.1f}</td><td>{_text(e.shopper)}</td>"
        f"<td>{'+' if e.units > 0 else '−'}{e.quantity}</td><td class=word>{_text(e.product)}</td>"
        f"<td>{e.lowest_confidence:.2f}</td></tr>"
        for i, e in enumerate(events)
    )
    head = "<tr><th>s</th><th>shopper</th><th>units</th><th class=word>product</th><th>least sure</th></tr>"
    return f'<table class="data">{head}{rows}</table>'


def _trace_figure(trace: replay.Trace | None, t_s: float) -> dict[str, Any]:
    data = [] if trace is None else [
        {"x": trace.t_s.round(3).tolist(), "y": grams.round(1).tolist(), "mode": "lines", "name": plate}
        for plate, grams in trace.plates.items()
    ]  # fmt: skip
    layout = _layout("seconds", "change of the load, grams") | {"legend": {"orientation": "v"}}
    layout["shapes"] = [{"type": "line", "xref": "x", "yref": "paper", "x0": t_s, "x1": t_s, "y0": 0, "y1": 1,
                         "line": {"color": ACCENT, "dash": "dot"}}]  # fmt: skip
    return {"data": data, "layout": layout, "config": {"displayModeBar": False, "responsive": True}}


def _slide(name: str, low: float, high: float, step: float, value: float) -> tuple[Any, Any]:
    with ui.element("div").classes("slide"):
        ui.label(name)
        slider = ui.slider(min=low, max=high, step=step, value=value).props(f'aria-label="{name}"')
        shown = ui.label(f"{value:g}" if step >= 1 else f"{value:.3f}").classes("value")
    return slider, shown


def _number(text: str) -> Any:
    with ui.element("div").classes("number"):
        shown = ui.element("b")
        with shown:
            label = ui.label("")
        ui.html(f"<span>{text}</span>", sanitize=False)
    return label


def _layout(x: str, y: str) -> dict[str, Any]:
    grid = {"gridcolor": "rgba(138,143,152,.25)", "zeroline": False, "automargin": True}
    return {
        "height": 340, "margin": {"l": 60, "r": 20, "t": 30, "b": 50}, "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)", "font": {"color": GREY, "size": 13},
        "legend": {"orientation": "h", "y": 1.12}, "xaxis": grid | {"title": {"text": x}},
        "yaxis": grid | {"title": {"text": y}},
    }  # fmt: skip


def _seconds(value: float) -> str:
    if math.isinf(value):
        return "overloaded"
    return f"{value:.0f} s" if value < 600 else f"{value / 60:.0f} min"


def _text(value: str) -> str:
    from html import escape

    return escape(value)
