"""What a rendered picture shows: the box and the visible share of everything in it."""

from __future__ import annotations

from checkout.render.pictures import boxes_of
from checkout.render.scene import HAND, ITEM, PERSON, Scene, View

LEAST_PX = 6
LEAST_PERSON_PX = 40
LEAST_VISIBLE = {ITEM: 0.35, HAND: 0.25, PERSON: 0.05}
"""Assumed: what shows less than this share is not labelled in a training frame."""


def visible_boxes(scene: Scene, view: View) -> list[tuple[int, str, tuple[int, int, int, int], float]]:
    """Label, id, box (pixels) and visible share of everything in the present picture.

    The visible share is the mask's pixels over those that the thing would fill were nothing before it.
    """
    found = []
    for instance, (x1, y1, x2, y2, pixels) in boxes_of(scene.instances()).items():
        label, name = scene.owner(instance)
        least = LEAST_PERSON_PX if label == PERSON else LEAST_PX
        if x2 - x1 < least or y2 - y1 < least:
            continue
        visible = min(1.0, pixels / max(1.0, scene.outline_px(instance, view)))
        found.append((label, name, (x1, y1, x2, y2), visible))
    return found
