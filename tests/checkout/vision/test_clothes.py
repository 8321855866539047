"""Clothes: colours of a box against the picture that the entry took."""

from __future__ import annotations

import numpy as np
import pytest

from checkout.vision.clothes import look_of, palette_of, resemblance

RED, BLUE, GREY = (20, 20, 200), (200, 40, 20), (120, 120, 120)


def person(shirt: tuple[int, int, int], trousers: tuple[int, int, int] = GREY) -> np.ndarray:
    picture = np.full((200, 80, 3), 90, np.uint8)
    picture[30:100, 15:65], picture[100:, 20:60] = shirt, trousers
    return picture


def look(colour: tuple[int, int, int], share: float = 1.0) -> np.ndarray:
    """A box of which the left share is in a colour, on a grey floor."""
    image = np.full((100, 100, 3), 150, np.uint8)
    image[:, : int(100 * share)] = colour
    return look_of(image, (0, 0, 100, 100))


def test_a_palette_is_shares_of_colours() -> None:
    assert palette_of(person(RED)).sum() == pytest.approx(1.0)
    assert (palette_of(person(RED)) >= 0).all()


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_a_box_resembles_who_wears_its_colours(share: float) -> None:
    palettes = [palette_of(person(RED)), palette_of(person(BLUE))]
    score = resemblance(palettes, [look(RED, share), look(BLUE, share)])
    assert score[0, 0] > 0 > score[1, 0]
    assert score[1, 1] > 0 > score[0, 1]
    assert score.sum(axis=0) == pytest.approx([0.0, 0.0])


def test_the_less_of_a_person_a_box_shows_the_less_it_says() -> None:
    palettes = [palette_of(person(RED)), palette_of(person(BLUE))]
    whole, part = (resemblance(palettes, [look(RED, share)])[0, 0] for share in (1.0, 0.4))
    assert whole > part > 0


def test_people_dressed_alike_are_not_told_apart() -> None:
    palettes = [palette_of(person(RED)), palette_of(person(RED))]
    assert resemblance(palettes, [look(RED)]) == pytest.approx(np.zeros((2, 1)))


def test_who_was_not_photographed_may_be_the_one_in_a_colour_that_nobody_else_wears() -> None:
    score = resemblance([palette_of(person(RED)), None], [look(BLUE), look(RED)])
    assert score[1, 0] > 0
    assert score[0, 1] > 0
