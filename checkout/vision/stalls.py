"""Notices cameras that stall, drop frames, freeze or end early, from their frames' times and pictures.

A picture that does not change is no fault by itself: nothing may be happening. It is one when,
meanwhile, something moves before another camera or a plate that the camera watches steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

GAP_FRAMES = 2.5
"""A pause longer than so many frame times is a gap (a rule of the project)."""
FROZEN_S = 2.0
"""A picture that stays the same for longer than this, while others move, is frozen (a rule of the project)."""
OTHERS_MOVE_SHARE = 0.5
"""Assumed: the share of the other cameras' frames in that time that must show motion at a shelf."""
SAME_END_S = 0.5
"""Assumed: cameras of one recording end within this time of each other."""
NAMED = 3
"""Stalls of one camera that are named; the others are counted."""


@dataclass
class _Eye:
    """What is known of one camera's frames so far."""

    frame_s: float
    last_s: float | None = None
    cells: np.ndarray | None = None
    same_since_s: float = 0.0
    others: int = 0
    others_moving: int = 0
    stalls: int = 0
    named: list[tuple[float, float]] = field(default_factory=list)
    backwards_s: float | None = None


class StallWatch:
    """Takes in all cameras' frames in time order and says which camera showed no new picture, and when.

    Args:
        fps: each camera's frame rate.
        steps_s: for each camera, when a plate that it watches stepped (start, end), seconds.
    """

    def __init__(
        self, fps: Mapping[str, float], steps_s: Mapping[str, Sequence[tuple[float, float]]] | None = None
    ) -> None:
        self._eyes = {camera: _Eye(1 / rate if rate > 0 else 0.1) for camera, rate in fps.items()}
        self._steps = {camera: np.array((steps_s or {}).get(camera, ())).reshape(-1, 2) for camera in fps}

    def update(self, camera: str, t_s: float, cells: np.ndarray, *, moves: bool) -> None:
        """Take in one frame.

        Args:
            cells: the picture's means over small cells, whole grey levels: they stay the same, all of them, in no
                picture that a sensor took anew.
            moves: whether something moves at a shelf.
        """
        eye = self._eyes[camera]
        if eye.last_s is not None:
            if t_s < eye.last_s and eye.backwards_s is None:
                eye.backwards_s = eye.last_s
            if t_s - eye.last_s > GAP_FRAMES * eye.frame_s:
                self._stalled(eye, eye.last_s, t_s)
        if eye.cells is None or not np.array_equal(eye.cells, cells):
            self._thaw(camera, t_s)
            eye.same_since_s, eye.others, eye.others_moving = t_s, 0, 0
        for name, other in self._eyes.items():
            if name != camera:
                other.others += 1
                other.others_moving += moves
        eye.cells, eye.last_s = cells, t_s

    def warnings(self) -> list[str]:
        """One line for each stall, or for what is more than `NAMED` of them; call once, at the end."""
        said = []
        ends = {name: eye.last_s for name, eye in self._eyes.items() if eye.last_s is not None}
        last = max(ends, key=ends.__getitem__, default="")
        for name, eye in self._eyes.items():
            if eye.last_s is None:
                continue
            self._thaw(name, eye.last_s)
            said += [
                f"camera {name} showed no new picture from {start:.1f} s to {end:.1f} s"
                for start, end in eye.named
            ]
            if eye.stalls > len(eye.named):
                said.append(f"camera {name} showed no new picture {eye.stalls - len(eye.named)} more times")
            if eye.backwards_s is not None:
                said.append(f"camera {name}'s frames go back in time at {eye.backwards_s:.1f} s")
            if ends[last] - eye.last_s > max(SAME_END_S, GAP_FRAMES * eye.frame_s):
                said.append(
                    f"camera {name} ends at {eye.last_s:.1f} s, {ends[last] - eye.last_s:.1f} s before {last}"
                )
        return said

    def _thaw(self, camera: str, t_s: float) -> None:
        """A picture that stayed the same until now was frozen, if something happened meanwhile."""
        eye = self._eyes[camera]
        if eye.cells is None or t_s - eye.same_since_s <= FROZEN_S:
            return
        steps = self._steps[camera]
        stepped = bool(((steps[:, 0] > eye.same_since_s) & (steps[:, 1] < t_s)).any())
        if stepped or (eye.others and eye.others_moving / eye.others >= OTHERS_MOVE_SHARE):
            self._stalled(eye, eye.same_since_s, t_s)

    @staticmethod
    def _stalled(eye: _Eye, start_s: float, end_s: float) -> None:
        eye.stalls += 1
        if len(eye.named) < NAMED:
            eye.named.append((start_s, end_s))
