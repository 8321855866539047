"""Shelves in contact: a load is the weight of what stands there, and changes by what is taken and put."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from checkout.catalog import Facing, Planogram, shelf_of
from checkout.render.people import Build
from checkout.render.products import PACKAGES, DrawnProduct, draw_products
from checkout.render.recordings import Plot, make_plot
from checkout.render.scene import DEPTH_M, PLATE_M, WIDTH_M, Unit
from checkout.render.script import Deed, Hold, Key, Person, Script, Stage
from checkout.render.shelf_physics import AFTER_S, BEFORE_S, ShelfMotion, simulate_shelves, unit_poses
from checkout.render.specs import RecordingSpec

SPECS = (
    RecordingSpec(id="calm", seed=42, people=("s1", "s2"), duration_s=14.0),
    RecordingSpec(id="rough", seed=46, people=("s1", "s2"), duration_s=16.0, confusing=0.5),
)


@pytest.fixture(scope="module", params=SPECS, ids=lambda spec: spec.id)
def plot(request: pytest.FixtureRequest) -> Plot:
    return make_plot(request.param)


def shelf_load(motion: ShelfMotion, shelf: str) -> np.ndarray:
    return np.sum([g for p, g in motion.grams.items() if shelf_of(p) == shelf], axis=0)


def standing(plot: Plot, shelf: str, t_s: float) -> float:
    """Weight of the units that the script has on a shelf, grams."""
    total = 0.0
    for unit, holds in plot.script.holds.items():
        hold = next(h for h in reversed(holds) if h.t_s <= t_s or h is holds[0])
        if hold.where == "slot" and shelf_of(hold.facing) == shelf:
            total += plot.units[unit].weight_g
    return total


def shelf_deeds(plot: Plot, shelf: str) -> list[Deed]:
    return sorted((d for d in plot.script.deeds if shelf_of(d.facing) == shelf), key=lambda d: d.moved_s)


def lone(product: DrawnProduct, x_m: float, weight_g: float) -> tuple[Script, Planogram, list[Unit]]:
    """One unit on an otherwise empty shelf, with nobody there."""
    plates = tuple(f"g1.s1.p{i}" for i in range(1, 13))
    facing = Facing(
        "g1.s1.f1", product.product.product, plates, (-WIDTH_M / 2, 0.0, 1.0), (WIDTH_M / 2, DEPTH_M, 1.4)
    )
    holds = {0: [Hold(0.0, "slot", facing="g1.s1.f1", at_m=(x_m, 0.2, 1.0))]}
    person = Person("s1", Build.draw(np.random.default_rng(0)))
    script = Script(2.0, (person,), [[(0.0, -2.0, -1.0), (2.0, -2.0, -1.0)]], [[Key(0.0, "rest")]], holds)
    return script, Planogram([facing]), [Unit(0, weight_g)]


def resting_g(product: DrawnProduct, x_m: float, weight_g: float) -> np.ndarray:
    """Load of the twelve plates under one unit at rest."""
    script, planogram, units = lone(product, x_m, weight_g)
    rng = np.random.default_rng(0)
    motion = simulate_shelves(script, Stage(script), planogram, [product], units, rng)
    return np.array([motion.grams[f"g1.s1.p{i}"][-1] for i in range(1, 13)])


def package(name: str) -> DrawnProduct:
    number = next(i for i, p in enumerate(PACKAGES) if p.name == name)
    return draw_products(np.random.default_rng(2), 1, test=False, packages=[number])[0]


def test_a_resting_shelf_bears_the_weight_of_what_stands_on_it(plot: Plot) -> None:
    for shelf in {f.shelf for f in plot.planogram.values()}:
        load = shelf_load(plot.motion, shelf)
        assert load[0] == pytest.approx(standing(plot, shelf, 0.0), abs=3.0)
        assert load[-1] == pytest.approx(standing(plot, shelf, plot.script.duration_s), abs=3.0)


def test_an_isolated_reach_changes_the_load_by_the_weight_of_its_units(plot: Plot) -> None:
    isolated = 0
    for shelf in {f.shelf for f in plot.planogram.values()}:
        load, deeds = shelf_load(plot.motion, shelf), shelf_deeds(plot, shelf)
        for deed in deeds:
            low, high = deed.marks[1] - BEFORE_S - 1.0, deed.marks[3] + AFTER_S
            near = [d for d in deeds if d is not deed and d.marks[1] - 2.0 < high and d.marks[3] + 2.0 > low]
            if near or high > plot.script.duration_s - 0.1:
                continue
            isolated += 1
            units = {"pick": -1.0, "put_back": 1.0, "touch": 0.0}[deed.kind]
            wanted = units * sum(plot.units[u].weight_g for u in deed.units)
            rows = [int(t * 60) for t in (low - 0.1, high + 0.05)]
            assert load[rows[1]] - load[rows[0]] == pytest.approx(wanted, abs=3.0)
    assert isolated >= 2


def test_every_shelf_is_at_rest_between_reaches(plot: Plot) -> None:
    assert plot.motion.settled_g < 3.0


@pytest.mark.xfail(
    strict=True,
    reason="a 2 kg bottle over two plates chatters; what cures it would change the plates of every seed",
)
def test_a_heavy_bottle_over_two_plates_is_at_rest_too() -> None:
    spec = RecordingSpec(id="bottle", seed=43, people=("s1", "s2"), duration_s=16.0, confusing=0.5)
    assert make_plot(spec).motion.settled_g < 3.0


def test_nothing_tips_over_or_sinks_in(plot: Plot) -> None:
    heights = {f.shelf: f.box_min_m[2] for f in plot.planogram.values() if f.box_min_m is not None}
    for t_s in np.arange(0.0, plot.script.duration_s, 0.5):
        poses = unit_poses(plot.script, plot.stage, plot.motion, plot.products, plot.units, float(t_s))
        for unit, holds in plot.script.holds.items():
            hold = next(h for h in reversed(holds) if h.t_s <= t_s or h is holds[0])
            pose = poses[unit]
            if hold.where != "slot":
                continue
            assert pose is not None
            at, (w, x, y, z) = pose
            up = 1 - 2 * (x * x + y * y)
            assert up > np.cos(np.radians(8)), (unit, t_s)
            assert w * w + x * x + y * y + z * z == pytest.approx(1.0, abs=1e-6)
            assert at[2] == pytest.approx(heights[shelf_of(hold.facing)], abs=0.012)
            assert np.hypot(*(at[:2] - hold.at_m[:2])) < 0.05


def test_a_unit_moves_without_jumps_from_the_shelf_into_the_hand(plot: Plot) -> None:
    """No farther in a sixtieth of a second than a hand at 4 m/s would carry it."""
    for deed in plot.script.deeds:
        if deed.kind == "touch":
            continue
        times = np.arange(deed.marks[1] - 0.1, deed.marks[3] + 0.2, 1 / 60)
        tracks = [
            unit_poses(plot.script, plot.stage, plot.motion, plot.products, plot.units, float(t))
            for t in times
        ]
        for unit in deed.units:
            places = [pose[0] for t in tracks if (pose := t[unit]) is not None]
            steps = [float(np.linalg.norm(b - a)) for a, b in itertools.pairwise(places)]
            assert max(steps) < 4.0 / 60, (deed, unit)


def test_one_seed_gives_one_motion_bit_for_bit() -> None:
    spec = RecordingSpec(id="twice", seed=44, people=("s1",), duration_s=9.0, confusing=0.5)
    one, two = make_plot(spec).motion, make_plot(spec).motion
    assert one.grams.keys() == two.grams.keys()
    assert all(one.grams[p].tobytes() == two.grams[p].tobytes() for p in one.grams)
    assert one.placed.keys() == two.placed.keys()
    for unit, (times, poses) in one.placed.items():
        assert times.tobytes() == two.placed[unit][0].tobytes()
        assert poses.tobytes() == two.placed[unit][1].tobytes()


@pytest.mark.parametrize("name", ["milk", "seltzer", "cola"])
def test_a_unit_on_two_plates_loads_both(name: str) -> None:
    """In the middle of a plate it loads that one alone, over an edge both alike; their sum is its weight."""
    product = package(name)
    edge = -WIDTH_M / 2 + 5 * PLATE_M
    whole = resting_g(product, edge + PLATE_M / 2, 1000.0)
    shared = resting_g(product, edge, 1000.0)
    for load in (whole, shared):
        assert load.sum() == pytest.approx(1000.0, abs=3.0)
    if product.half_m[0] < PLATE_M / 2 - 0.002:
        assert whole[5] == pytest.approx(1000.0, abs=3.0)
    assert shared[4] == pytest.approx(shared[5], rel=0.1)
    assert shared[4] + shared[5] == pytest.approx(1000.0, abs=3.0)
    off = [p for i, p in enumerate(shared) if i not in (4, 5)]
    assert np.abs(off).max() < 3.0


def test_a_heavier_unit_loads_as_much_more() -> None:
    milk = package("milk")
    loads = [resting_g(milk, 0.04, grams).sum() for grams in (40.0, 400.0, 2000.0)]
    assert loads == pytest.approx([40.0, 400.0, 2000.0], abs=3.0)


def test_a_touch_presses_and_leaves_the_load_as_it_was() -> None:
    mix = dict.fromkeys(
        ("misplace", "pick_misplaced", "swap", "slow", "quick", "hide", "leave_on_floor"), 0.0
    )
    spec = RecordingSpec(
        id="touch", seed=9, people=("s1",), duration_s=16.0, confusing=0.9, mix=mix | {"touch": 50.0}
    )
    plot = make_plot(spec)
    touches = [d for d in plot.script.deeds if d.kind == "touch"]
    assert len(touches) >= 1
    for deed in touches:
        shelf = shelf_of(deed.facing)
        load = shelf_load(plot.motion, shelf)
        others = [d for d in shelf_deeds(plot, shelf) if d is not deed]
        if any(
            d.marks[1] - 2.0 < deed.marks[3] + AFTER_S and d.marks[3] + 2.0 > deed.marks[1] - 1.0
            for d in others
        ):
            continue
        before = load[int((deed.marks[1] - 0.5) * 60)]
        pressed = load[int(deed.marks[1] * 60) : int(deed.marks[3] * 60)]
        after = load[int((deed.marks[3] + AFTER_S) * 60)]
        assert np.abs(pressed - before).max() > 5.0
        assert after == pytest.approx(before, abs=3.0)
