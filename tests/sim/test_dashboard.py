"""The dashboard: its numbers against direct counts, its day against the simulation, and the page in a browser."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from checkout.errors import InputError
from checkout.profile import PerceptionProfile
from sim.dashboard.bills import Bills, Desk, bills_before_review
from sim.dashboard.day import ShopFloor, animated, shop_floor, store_plan
from sim.dashboard_cli import dashboard_command
from sim.layout import load_layout
from tests.sim.conftest import small

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
RUN = (sys.executable, "-c", "from checkout.cli import main; main()", "dashboard")
ANSWER_S = 0.1


@pytest.fixture(scope="module")
def bills(profile: PerceptionProfile) -> Bills:
    return bills_before_review(small(), profile, days=2, seed=3)


@pytest.fixture(scope="module", params=["just-walk-out", "dash-cart", "self-checkout"])
def floor(request: pytest.FixtureRequest, profile: PerceptionProfile) -> ShopFloor:
    return shop_floor(small(), request.param, profile, seed=2)


def test_sliders_count_what_is_under_any_threshold(bills: Bills) -> None:
    desk, sales = Desk(bills, small()), bills.sales
    for thresholds in ((0.0, 0.0, 0.0), (0.9, 0.5, 0.97), (0.95, 0.95, 0.95), (1.0, 1.0, 1.0)):
        found = desk.at(thresholds, 3)
        under = (sales.confidences < np.array(thresholds)).any(axis=1)
        assert found.reviews_per_1000_sales == pytest.approx(1000 * under.mean())
        assert sales.settled is not None
        passes = sales.wrong & ~under & (sales.settled >= min(thresholds))
        assert found.escapes_per_1000_sales == pytest.approx(1000 * passes.mean())
    assert desk.at((0.0, 0.0, 0.0), 3).reviews_per_1000_sales == 0
    assert desk.at((0.0, 0.0, 0.0), 3).escapes_per_1000_sales == pytest.approx(1000 * sales.wrong_share)


def test_more_reviewers_cost_more_and_never_lengthen_the_delay(bills: Bills) -> None:
    desk = Desk(bills, small())
    answers = [desk.at((0.9, 0.9, 0.9), reviewers) for reviewers in range(1, 12)]
    delays = [a.p95_s for a in answers]
    wages = [a.wages_usd_per_1000_sales for a in answers]
    assert all(later <= earlier for earlier, later in pairwise(delays))
    assert wages == sorted(wages)
    assert wages[0] < wages[-1]


def test_everybody_walks_from_the_door_to_the_exit_without_going_back_in_time(floor: ShopFloor) -> None:
    layout, plan = load_layout("convenience"), store_plan("convenience")
    day = animated(floor)
    assert len(day["visits"]) == (~np.isnan(floor.enters_s)).sum()
    for visit in day["visits"]:
        way = np.array(visit["w"]).reshape(-1, 3)
        assert (np.diff(way[:, 0]) >= 0).all()
        assert way[0, 1:].tolist() == (10 * plan.at_m[layout.entrance]).round().tolist()
        assert way[-1, 1:].tolist() == (10 * plan.at_m[layout.exit]).round().tolist()


def test_the_day_counts_the_persons_who_are_inside(floor: ShopFloor) -> None:
    day = animated(floor)
    inside = day["series"][0]["values"]
    for minute in (0, 200, 411, len(inside) - 1):
        at_s = day["opens_s"] + 60 * minute
        here = (floor.enters_s <= at_s) & (floor.leaves_s > at_s)
        assert inside[minute] == floor.plans.people[here].sum()
    assert all(min(row["values"]) >= 0 for row in day["series"])


def test_who_shops_in_a_zone_is_drawn_at_its_shelves(floor: ShopFloor) -> None:
    plan, layout = store_plan("convenience"), load_layout("convenience")
    distance_m = np.hypot(*(plan.shelf_m - plan.at_m[layout.shelf_zone]).T)
    reach_m = 0.5 * plan.size_m.max(axis=1)[layout.shelf_zone] + 1.0
    assert (distance_m <= reach_m).all()
    assert len(np.unique(plan.shelf_m.round(3), axis=0)) == layout.shelves


def test_a_missing_extra_is_said_in_one_line() -> None:
    without = "import sys; sys.modules['nicegui'] = None; " + RUN[2]
    done = subprocess.run(
        [RUN[0], RUN[1], without, RUN[3], "convenience"], capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 2
    assert (
        done.stderr == 'error: nicegui: is not installed; run: pip install "checkout-simulator[dashboard]"\n'
    )


def test_what_cannot_be_served_is_refused_before_anything_is_simulated(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        dashboard_command("convenience", recordings=tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no\.such\.host\.invalid:8080 cannot be used"):
        dashboard_command("convenience", host="no.such.host.invalid")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="name another --port"):
            dashboard_command("convenience", port=taken.getsockname()[1])


def test_the_process_in_the_background_ends_with_the_page_however_it_ends() -> None:
    page = "\n".join([
        "import asyncio, os, signal",
        "from sim.dashboard.worker import Worker",
        "if __name__ == '__main__':",
        "    print(asyncio.run(Worker().run('pid', os.getpid)), flush=True)",
        "    os.kill(os.getpid(), signal.SIGKILL)",
    ])  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-B", "-c", page], capture_output=True, text=True, timeout=30,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    # The output ends when nobody is left who could write to it, so this is reached when both have ended.
    assert done.returncode == -signal.SIGKILL
    assert int(done.stdout) > 0


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    pytest.importorskip("nicegui", reason="the extra 'dashboard' is not installed")
    pytest.importorskip("playwright", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no chromium here")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    recordings = Path(__file__).parents[2] / "videos"
    command = [*RUN, "convenience", "--days", "2", "--port", str(port), "--recordings", str(recordings),
               "--set", "calendar.days=1", "--set", "calendar.warm_up_days=0"]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "NICEGUI"))}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            assert line.startswith(f"http://127.0.0.1:{port} ")
            yield line.split()[0]
        finally:
            server.terminate()
            server.wait(20)


@pytest.mark.slow
def test_the_page_answers_plays_and_steps_and_asks_nobody_else(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from playwright.sync_api import sync_playwright

    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(color_scheme="dark")
        page.set_default_timeout(60_000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda web_socket: asked.append(web_socket.url))
        page.goto(address)

        reviews = page.locator(".number b").first
        page.locator(".js-plotly-plot .plot-container").wait_for()
        assert page.evaluate("document.body.classList.contains('body--dark')")
        before = float(reviews.inner_text().replace(",", ""))
        taken_s = _answers_s(page)
        assert len(taken_s) >= 3
        assert float(reviews.inner_text().replace(",", "")) < before
        with capsys.disabled():
            print(
                f"\na slider answered in {1000 * statistics.median(taken_s):.0f} ms (median of {len(taken_s)}, "
                f"least {1000 * min(taken_s):.0f}, target {1000 * ANSWER_S:.0f})"
            )
        # The least of them: the machine may be busy with other things, the page is not.
        assert min(taken_s) < ANSWER_S

        page.get_by_role("tab", name="A day in the store").click()
        page.locator(".store-day-floor circle").first.wait_for()
        clock = page.locator(".store-day-clock")
        paused = clock.inner_text()
        page.locator(".store-day button").press("Enter")
        page.wait_for_function(f"document.querySelector('.store-day-clock').innerText !== '{paused}'")
        page.locator(".store-day button").press("Enter")
        page.locator(".store-day-time").press("Home")
        assert clock.inner_text() == "07:00"

        page.get_by_role("tab", name="Ways of selling").click()
        page.get_by_label("replications of 1 days").fill("2")
        page.get_by_role("button", name="Simulate").press("Enter")
        page.locator("table.data").first.wait_for()
        assert "reviews per 1,000 sales" in page.locator("table.data").first.inner_text()
        page.get_by_text("With 2 replications the intervals are very wide").wait_for()

        page.get_by_role("tab", name="Recordings").click()
        page.locator(".pictures img").first.wait_for()
        page.get_by_role("button", name="Next").press("Enter")
        page.get_by_text("Event 2 of").wait_for()
        browser.close()
    host = address.removeprefix("http://")
    foreign = [
        url for url in asked if not url.startswith((f"http://{host}", f"ws://{host}", "data:", "blob:"))
    ]
    assert foreign == []
    assert len(asked) > 10


def _answers_s(page: Page, times: int = 15) -> list[float]:
    """From a key on the item slider until the shown number of reviews changes, measured in the page."""
    page.evaluate("""() => {
        window.taken = []; let begun = null;
        addEventListener("keydown", () => { begun = performance.now(); }, true);
        new MutationObserver(() => {
            if (begun !== null) window.taken.push((performance.now() - begun) / 1000);
            begun = null;
        }).observe(document.querySelector(".numbers"), { subtree: true, characterData: true, childList: true });
    }""")
    page.locator(".slide [tabindex='0']").first.focus()
    for _ in range(times):
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(200)
    return [float(taken) for taken in page.evaluate("window.taken")]
