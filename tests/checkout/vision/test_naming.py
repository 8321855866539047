"""Names from a gallery, on pictures with print and colours of their own."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from checkout.cli import app
from checkout.errors import InputError
from checkout.vision.naming import Gallery, Weights, look_of, pictures_in

NAMES = ("cola", "crisps", "milk", "tea", "water")


def label(index: int, view: int = 0) -> np.ndarray:
    """The same print for the same index; another light, noise and crop for another view."""
    print_rng, view_rng = np.random.default_rng(index), np.random.default_rng([7, index, view])
    picture = np.full((160, 110, 3), print_rng.integers(60, 220, 3), np.uint8)
    for _ in range(25):
        x, y, w, h = print_rng.integers([5, 5, 6, 6], [90, 140, 26, 26])
        colour = tuple(int(v) for v in print_rng.integers(0, 255, 3))
        cv2.rectangle(picture, (int(x), int(y)), (int(x + w), int(y + h)), colour, -1)
    left, top = view_rng.integers(0, 8, 2)
    noisy = picture[top:, left:] * view_rng.uniform(0.85, 1.15) + view_rng.normal(
        0, 4, picture[top:, left:].shape
    )
    return np.clip(noisy, 0, 255).astype(np.uint8)


def gallery(views: int = 3) -> Gallery:
    return Gallery({name: [look_of(label(i, v)) for v in range(views)] for i, name in enumerate(NAMES)})


@pytest.fixture(scope="module")
def shop() -> Gallery:
    return gallery()


@pytest.mark.parametrize(("index", "name"), list(enumerate(NAMES)))
def test_a_new_view_gets_its_products_name(shop: Gallery, index: int, name: str) -> None:
    shares = shop.name(label(index, view=9))
    assert max(shares, key=shares.__getitem__) == name
    assert sum(shares.values()) == pytest.approx(1.0)


def test_a_small_crop_is_named_by_its_colours(shop: Gallery) -> None:
    small = cv2.resize(label(2, view=9), (14, 20), interpolation=cv2.INTER_AREA)
    shares = shop.name(small)
    assert max(shares, key=shares.__getitem__) == "milk"


def test_only_what_it_may_be_is_named(shop: Gallery) -> None:
    shares = shop.name(label(0, view=9), among=["tea", "water"])
    assert set(shares) == {"tea", "water"}
    assert sum(shares.values()) == pytest.approx(1.0)
    with pytest.raises(InputError, match="colla: is not in the gallery; did you mean 'cola'"):
        shop.name(label(0), among=["colla", "tea"])


def test_a_product_is_added_without_training(shop: Gallery) -> None:
    more = shop.with_product("soap", [label(11, v) for v in range(2)])
    shares = more.name(label(11, view=9))
    assert max(shares, key=shares.__getitem__) == "soap"
    assert more.weights == shop.weights
    assert "soap" not in shop.products


def test_a_saved_gallery_names_alike(shop: Gallery, tmp_path: Path) -> None:
    shop.save(tmp_path / "g.npz")
    again = Gallery.load(tmp_path / "g.npz")
    assert again.products == shop.products
    before, after = shop.name(label(3, view=9)), again.name(label(3, view=9))
    assert after == pytest.approx(before, abs=0.05)


def test_a_part_left_out_is_not_compared_with_itself() -> None:
    pictures = {
        "a": [look_of(label(0))] * 2,
        "b": [look_of(label(1))],
        "c": [look_of(label(2)), look_of(label(0))],
    }
    trials = Gallery(pictures, Weights()).trials()
    assert [t.product for t in trials] == ["a", "a", "c", "c"]
    # The second picture of c shows what a is: without itself, the gallery can only call it a.
    assert trials[-1].named == "a"


def test_a_gallery_needs_two_products_with_pictures() -> None:
    with pytest.raises(InputError, match="holds 1 product"):
        Gallery({"cola": [look_of(label(0))]})
    with pytest.raises(InputError, match="cola: has no picture"):
        Gallery({"cola": [], "tea": [look_of(label(0))]})


def test_a_file_that_is_no_gallery_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.npz"
    path.write_bytes(b"no")
    with pytest.raises(InputError, match=re.escape(f"{path}: is not a gallery")):
        Gallery.load(path)


def folder_of(root: Path) -> Path:
    for i, name in enumerate(NAMES):
        (root / name).mkdir(parents=True)
        for view in range(3):
            cv2.imwrite(str(root / name / f"{view}.png"), label(i, view))
    return root


def test_the_command_makes_a_gallery_and_says_how_good_it_is(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["gallery", str(folder_of(tmp_path / "p")), "--out", str(tmp_path / "g.npz")]
    )
    assert result.exit_code == 0, result.output
    assert "5 products, 15 pictures" in result.output
    assert re.search(r"top-1 (1\.000|0\.9\d\d) of 15 pictures", result.output)


def test_faulty_folders_are_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "p")
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match="empty: has no picture"):
        list(pictures_in(folder))
    (folder / "empty" / "a.png").write_text("no picture")
    with pytest.raises(InputError, match=r"a\.png: is not a picture"):
        list(pictures_in(folder))
    with pytest.raises(InputError, match="holds no pictures"):
        list(pictures_in(folder / "cola"))
