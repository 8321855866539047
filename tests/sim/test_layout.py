"""The store's plan: routes, what stands where, and what is said about a plan that cannot be."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import yaml

from checkout.errors import InputError
from sim.journey import journey
from sim.layout import Layout, load_layout, shipped_layouts

ZONES = {
    "door": {"at": [0, 0]},
    "left": {"at": [0, 3], "shelves": 4, "sections": ["produce", "bakery", "deli", "meat", "dairy", "frozen"]},
    "right": {"at": [4, 3], "shelves": 20,
              "sections": ["pantry", "drinks", "snacks", "breakfast", "household", "health", "checkout"]},
}  # fmt: skip
SQUARE: dict[str, object] = {
    "schema": 1, "name": "square", "entrance": "door", "exit": "door",
    "zones": ZONES,
    "paths": [["door", "left", "right"]],
}  # fmt: skip


def layout_of(folder: Path, **changes: object) -> Layout:
    file = folder / "plan.yaml"
    file.write_text(yaml.safe_dump(SQUARE | changes))
    load_layout.cache_clear()
    return load_layout(str(file))


@pytest.mark.parametrize("name", shipped_layouts())
def test_every_product_stands_on_a_shelf_of_its_section(name: str) -> None:
    layout = load_layout(name)
    assert layout.product_shelf.min() >= 0
    assert len(np.unique(layout.product_shelf)) == layout.shelves
    assert np.isfinite(layout.distance_m).all()
    assert sorted(layout.shelf_rank.tolist()) == list(range(layout.shelves))


def test_the_way_is_along_the_paths(tmp_path: Path) -> None:
    layout = layout_of(tmp_path)
    assert layout.distance_m[layout.zone("door"), layout.zone("right")] == pytest.approx(3 + 4)
    assert layout.zone(None) == layout.zone("door")


def test_a_list_is_walked_nearly_as_short_as_can_be() -> None:
    """Zones in the order of one short tour, against the best order of each list: 4 % longer in the mean."""
    layout, rng = load_layout("supermarket"), np.random.default_rng(0)
    counts = np.bincount(layout.shelf_zone[layout.product_shelf], minlength=len(layout.zones))

    def length(order: tuple[int, ...]) -> float:
        walk = [layout.entrance, *order, layout.exit]
        return float(layout.distance_m[walk[:-1], walk[1:]].sum())

    excess = []
    for _ in range(60):
        zones = rng.choice(len(counts), rng.integers(2, 7), replace=False, p=counts / counts.sum())
        mine = tuple(sorted(zones.tolist(), key=lambda z: layout.tour_rank[z]))
        excess.append(length(mine) / min(map(length, itertools.permutations(zones.tolist()))))
    assert 1.0 <= np.mean(excess) < 1.06


def test_a_product_beside_another_stands_on_the_same_shelf() -> None:
    layout = load_layout("convenience")
    shelf = np.arange(layout.shelves)
    for uniform in (0.0, 0.5, 0.999999):
        assert (
            layout.product_shelf[layout.beside(shelf, np.full(layout.shelves, uniform))].tolist()
            == shelf.tolist()
        )


def test_what_sells_more_has_more_space() -> None:
    shop, layout = journey(), load_layout("supermarket")
    sold = np.bincount(layout.product_shelf, shop.product_units, layout.shelves)
    products = np.bincount(layout.product_shelf, minlength=layout.shelves)
    assert np.corrcoef(sold / products, products)[0, 1] < 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"paths": [["door", "left"]]}, "zones.right: its 20 shelves cannot be reached from the entrance 'door'"),
        ({"paths": [["door", "lefd", "right"]]}, "paths[0]: 'lefd' is not a zone; did you mean 'left'?"),
        ({"exit": "dor"}, "exit: 'dor' is not a zone; did you mean 'door'?"),
        ({"zones": ZONES | {"left": ZONES["left"] | {"at": [float("nan"), 3]}}}, "zones.left.at.0: nan"),
        ({"schema": 3}, "schema: 3 is not the version"),
        ({"colour": "red"}, "colour: 'red': extra inputs are not permitted"),
        ({"zones": ZONES | {"left": {"at": [0, 3], "shelves": 4}}}, "zones.left: has shelves without sections"),
        (
            {"zones": ZONES | {"left": {"at": [0, 3], "shelves": 4, "sections": ["produce"]}}},
            "zones: no zone sells 'bakery'; add it to the sections of a zone",
        ),
        (
            {"zones": ZONES | {"left": {"at": [0, 3], "shelves": 4, "sections": ["prodduce"]}}},
            "zones.left.sections: 'prodduce' is not a section; did you mean 'produce'?",
        ),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        layout_of(tmp_path, **change)
    assert f"plan.yaml: {message}" in str(caught.value)


def test_a_scenario_finds_the_plan_beside_its_file(tmp_path: Path) -> None:
    from sim.scenario import load_scenario

    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(SQUARE))
    (tmp_path / "mine.yaml").write_text(
        yaml.safe_dump({"schema": 1, "name": "mine", "shelves": {"layout": "plan.yaml"}})
    )
    assert load_layout(load_scenario(tmp_path / "mine.yaml").shelves.layout).name == "square"
