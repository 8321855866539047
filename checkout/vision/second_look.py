"""A second, closer look at single places: does this hand hold something, did this facing change, who reaches where?

YOLO sees a whole picture at once and says where hands and items are. Five small networks look again at cut-outs
in the picture's own resolution. One sees a hand: whether it is one, where its box ends, and whether it holds an
item. One sees a hand before a shelf or in it: how far in (`hand_depth`). One sees a facing before and after a reach:
whether a unit went, came, or neither. Two see an arm that reaches: where its body is, and into which facing
(`reach_looks`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from checkout.catalog import Planogram
from checkout.errors import InputError
from checkout.recording import Camera
from checkout.vision.detector import CLASSES, Detections
from checkout.vision.hand_depth import (
    DEPTH_SIDE,
    Depth,
    ShelfFaces,
    cut_face,
    depth_input,
    depth_network,
)
from checkout.vision.reach_looks import (
    BODY_SIDE,
    PLACE_SIDE,
    Body,
    Space,
    Window,
    body_network,
    drawn,
    layer,
    place_input,
    place_network,
    space_of,
)

if TYPE_CHECKING:
    import torch

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "second-look.pt"
SIDE = 64
"""Side of a hand's cut-out as the network sees it, pixels."""
FACING_SIDE = 96
"""The same of a facing's: items at its far end are small."""
HAND_ROOM, LEAST_HAND_PX = 2.2, 44.0
"""Assumed: a hand's cut-out is this many times its box's longer side, and at least so many pixels."""
FACING_ROOM = 1.12
"""Assumed: a facing's cut-out is this many times the longer side of where its space appears."""
FACINGS_AT_ONCE = 8
"""Facings that the network is shown at once."""
LEAST_FACING_PX = 12.0
"""Assumed: a facing that a camera sees smaller than this is not looked at."""
HAND_SCORE = {"bias": 0.91, "first": 1.34, "second": 0.82}
"""Measured (`benchmarks.fit_vision --hands`: logistic fit to what the shipped YOLO took for hands in 24 validation
recordings at 640 pixels): log odds of a hand from those of YOLO's score ("first") and of the second look. At 768
pixels the fit is 0.71, 1.28, 0.87 and a share of 0.7, with which no more events there came out right."""
BOX_SHARE = 0.8
"""Measured on the same: the share of the second look in a hand's box; 0.7 to 0.9 overlap the true boxes best."""
LOG_SPREAD = (-4.0, 2.0)
"""Assumed: the logarithm of a body's spread is within these."""
CHANGES = ("none", "pick", "put_back")
GREY = (114, 114, 114)
STEP = ".step"
"""End of the name under which the steps of stored weights lie."""


class HandLooks(NamedTuple):
    """What the second look says of boxes taken for hands.

    Attributes:
        hand: probability that it is one, [n].
        holding: probability that it holds an item, given that it is a hand, [n].
        boxes_xyxy: where the hand's box is, pixels, [n, 4].
    """

    hand: np.ndarray
    holding: np.ndarray
    boxes_xyxy: np.ndarray


class SecondLook:
    """The five networks, ready to look.

    Args:
        weights: written by `checkout train-second-look`; None for the shipped ones.

    Raises:
        InputError: the file is missing or is not such weights.
    """

    def __init__(self, weights: Path | None = None) -> None:
        self._hand, self._facing, self._body, self._place, self._depth = _networks(weights or SHIPPED)

    def hands(self, image: np.ndarray, boxes_xyxy: np.ndarray) -> HandLooks:
        """Look at boxes, pixels [n, 4], of a picture, uint8 [height, width, 3], BGR."""
        if not len(boxes_xyxy):
            return HandLooks(np.zeros(0), np.zeros(0), np.zeros((0, 4), np.float32))
        windows = hand_windows(boxes_xyxy)
        said = _run(self._hand, as_input(np.stack([cut_square(image, window) for window in windows])))
        return HandLooks(_sigmoid(said[:, 0]), _sigmoid(said[:, 1]), boxes_in(windows, said[:, 2:]))

    def depths(self, image: np.ndarray, faces: ShelfFaces, pixels: np.ndarray) -> list[Depth | None]:
        """How far in hands are at some pixels [n, 2] of a picture, as in `hands`; None where no shelf is behind."""
        import torch

        behind = faces.behind(pixels)
        found: list[Depth | None] = [None] * len(behind)
        there = {i: face for i, face in enumerate(behind) if face is not None}
        if not there:
            return found
        cuts = [smooth_cut(image, face.window, DEPTH_SIDE) for face in there.values()]
        shapes = [cut_face(faces.picture, face.window, DEPTH_SIDE) for face in there.values()]
        said = _run(self._depth, torch.from_numpy(depth_input(np.stack(cuts), np.stack(shapes))))
        for (i, face), (inward, spread) in zip(there.items(), said, strict=True):
            # The standard deviation of a Laplace density.
            sd = float(np.sqrt(2) * np.exp(np.clip(spread, *LOG_SPREAD)))
            found[i] = face.depth(float(inward), sd)
        return found

    def facings(self, before: np.ndarray, after: np.ndarray, shape: np.ndarray) -> np.ndarray:
        """Probability of each of `CHANGES` [n, 3].

        Args:
            before, after: cut-outs of facings, see `cut_facing`, uint8 [n, FACING_SIDE, FACING_SIDE, 3].
            shape: where in them the facings are, see `FacingView`, likewise.
        """
        if not len(before):
            return np.zeros((0, len(CHANGES)))
        seen = np.concatenate([before, after, shape], axis=3)
        # Always as many at once: the library keeps what it prepares for each number of pictures that it meets.
        more = -len(seen) % FACINGS_AT_ONCE
        full = np.concatenate([seen, np.zeros((more, *seen.shape[1:]), np.uint8)])
        parts = [full[i : i + FACINGS_AT_ONCE] for i in range(0, len(full), FACINGS_AT_ONCE)]
        said = np.concatenate([_run(self._facing, as_input(part)) for part in parts])[: len(seen)]
        weight = np.exp(said - said.max(axis=1, keepdims=True))
        return np.asarray(weight / weight.sum(axis=1, keepdims=True))

    def body(self, image: np.ndarray, window: Window) -> Body:
        """Where the body is whose hand is at the middle of a window of a picture, uint8 [height, width, 3], BGR."""
        said = _run(self._body, as_input(smooth_cut(image, window, BODY_SIDE)[None]))[0]
        return Body(said[:2], float(np.exp(np.clip(said[2], *LOG_SPREAD))))

    def places(self, image: np.ndarray, window: Window, spaces: Sequence[Space]) -> np.ndarray:
        """Log probability of each of some facings [facings] that the hand at the middle of a window is at it."""
        cut = cut_square(image, window, PLACE_SIDE)
        return _likelier(self._place, place_input(cut, window, spaces))


def refined(found: Detections, looks: HandLooks) -> Detections:
    """Detections whose hands have the boxes and scores of both looks together."""
    hands = found.label == CLASSES.index("hand")
    boxes, confidence = found.boxes_xyxy.copy(), found.confidence.copy()
    boxes[hands] = (1 - BOX_SHARE) * boxes[hands] + BOX_SHARE * looks.boxes_xyxy
    weigh = HAND_SCORE
    said = weigh["bias"] + weigh["first"] * _logit(confidence[hands]) + weigh["second"] * _logit(looks.hand)
    confidence[hands] = _sigmoid(said)
    return Detections(boxes, confidence, found.label)


def hand_windows(boxes_xyxy: np.ndarray) -> np.ndarray:
    """The square around each box that is cut out: middle x, middle y, side, pixels [n, 3]."""
    low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    side = np.maximum(HAND_ROOM * (high - low).max(axis=1), LEAST_HAND_PX)
    return np.column_stack([0.5 * (low + high), side])


def boxes_in(windows: np.ndarray, placed: np.ndarray) -> np.ndarray:
    """Boxes, pixels [n, 4], from where a network placed them in windows.

    Args:
        windows: middle x, middle y, side, [n, 3].
        placed: offset of the box's middle from the window's (x, y), in sides; log width and height, in sides; [n, 4].
    """
    middle = windows[:, :2] + placed[:, :2] * windows[:, 2:]
    half = 0.5 * np.exp(np.minimum(placed[:, 2:], 0.0)) * windows[:, 2:]
    return np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)


def placed_in(windows: np.ndarray, boxes_xyxy: np.ndarray) -> np.ndarray:
    """The inverse of `boxes_in`, [n, 4]."""
    side = windows[:, 2:]
    middle = 0.5 * (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:])
    size = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 1.0)
    return np.concatenate([(middle - windows[:, :2]) / side, np.log(size / side)], axis=1)


def cut_square(image: np.ndarray, window: Sequence[float] | np.ndarray, side: int = SIDE) -> np.ndarray:
    """A square of a picture, scaled to `side` pixels; grey beyond the picture's border."""
    import cv2

    x, y, wide = (float(v) for v in window)
    scale = side / wide
    matrix = np.array([[scale, 0.0, -(x - wide / 2) * scale], [0.0, scale, -(y - wide / 2) * scale]])
    return np.asarray(
        cv2.warpAffine(
            image,
            matrix,
            (side, side),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=GREY,
        )
    )


class FacingView(NamedTuple):
    """A facing as a camera sees it.

    Attributes:
        window: what is cut out of the camera's picture.
        space: outlines of the facing there.
    """

    window: Window
    space: Space

    def shape(self, side: int = FACING_SIDE, wider: float = 1.0) -> np.ndarray:
        """The facing's whole space, its front and its base, 255 in a channel each, uint8 [side, side, 3].

        Args:
            wider: show so many times as much around.
        """
        drawn_ = drawn(self.space, self.window._replace(side=wider * self.window.side), side)
        return np.asarray(255 * drawn_.transpose(1, 2, 0)).astype(np.uint8)


def facing_views(planogram: Planogram, camera: Camera) -> dict[str, FacingView]:
    """How a calibrated camera sees each facing; those out of the picture, or too small in it, are left out."""
    views: dict[str, FacingView] = {}
    for facing in planogram.values():
        if facing.box_min_m is None or facing.box_max_m is None:
            continue
        seen = camera.box_seen(facing.box_min_m, facing.box_max_m)
        if seen is not None and (seen[2:] - seen[:2] >= LEAST_FACING_PX).all():
            x, y = 0.5 * (seen[:2] + seen[2:])
            window = Window(float(x), float(y), FACING_ROOM * float((seen[2:] - seen[:2]).max()))
            box = np.array([facing.box_min_m, facing.box_max_m])
            views[facing.facing] = FacingView(window, space_of(camera, box, np.array(facing.front)))
    return views


def cut_facing(
    image: np.ndarray, view: FacingView, side: int = FACING_SIDE, *, wider: float = 1.0, shrunk: int = 1
) -> np.ndarray:
    """A facing's cut-out of a picture, uint8 [side, side, 3].

    Args:
        wider: show so many times as much around.
        shrunk: the picture is so many times smaller than the camera's.
    """
    x, y, across = view.window
    return smooth_cut(image, np.array([x, y, wider * across]) / shrunk, side)


def smooth_cut(image: np.ndarray, window: Sequence[float] | np.ndarray, side: int) -> np.ndarray:
    """As `cut_square`, by way of one of twice the size, so that no pixel of a finer picture is left out."""
    import cv2

    twice = cut_square(image, window, 2 * side)
    return np.asarray(cv2.resize(twice, (side, side), interpolation=cv2.INTER_AREA))


def hand_network() -> torch.nn.Module:
    """[n, 3, SIDE, SIDE] -> [n, 6]: logits of hand and holding, and the box as in `boxes_in`."""
    from torch import nn

    return nn.Sequential(
        *layer(3, 16, 2), *layer(16, 32, 2), *layer(32, 32, 1), *layer(32, 64, 2), *layer(64, 64, 1),
        *layer(64, 96, 2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(96 * (SIDE // 16) ** 2, 128), nn.SiLU(),
        nn.Linear(128, 6),
    )  # fmt: skip


def facing_network() -> torch.nn.Module:
    """[n, 9, FACING_SIDE, FACING_SIDE], before, after and the shape -> [n, 3] logits of `CHANGES`."""
    from torch import nn

    return nn.Sequential(
        *layer(9, 24, 2), *layer(24, 32, 2), *layer(32, 32, 1), *layer(32, 64, 2), *layer(64, 64, 1),
        *layer(64, 96, 2), *layer(96, 96, 1), *layer(96, 96, 2), nn.Flatten(), nn.Dropout(0.2),
        nn.Linear(96 * (FACING_SIDE // 32) ** 2, 64), nn.SiLU(), nn.Linear(64, len(CHANGES)),
    )  # fmt: skip


def as_input(cuts: np.ndarray, device: str = "cpu") -> torch.Tensor:
    """Cut-outs, uint8 [n, SIDE, SIDE, channels], as the networks take them: float32 [n, channels, SIDE, SIDE]."""
    import torch

    return torch.from_numpy(cuts).to(device).permute(0, 3, 1, 2).float() / 255 - 0.5


def _folded(network: Any) -> torch.nn.Module:
    """The network with each normalisation folded into the convolution before it: the same answers in fewer steps."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    layers: list[nn.Module] = []
    for part in network:
        if isinstance(part, nn.BatchNorm2d):
            layers[-1] = fuse_conv_bn_eval(cast("nn.Conv2d", layers[-1]), part)
        elif not isinstance(part, nn.Dropout):
            layers.append(part)
    return nn.Sequential(*layers).eval()


def _likelier(network: Any, seen: np.ndarray) -> np.ndarray:
    """Log probability of each candidate of a reach, from what the network sees of each."""
    import torch

    said = _run(network, torch.from_numpy(seen))[:, 0]
    return np.asarray(said - np.logaddexp.reduce(said))


def _run(network: Any, seen: torch.Tensor) -> np.ndarray:
    import torch

    with torch.inference_mode():
        return np.asarray(network(seen).numpy(), float)


def packed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A network's state as it is stored: weights as whole numbers of 8 bits, the rest in half precision.

    Each output channel of a weight has its own step, `NAME.step`, [channels], so that the largest weight is 127 steps.
    """
    import torch

    stored = {}
    for name, value in state.items():
        if value.ndim < 2:
            stored[name] = value.half() if value.is_floating_point() else value
            continue
        step = (value.flatten(1).abs().amax(dim=1) / 127).clamp(min=1e-6).half()
        stored[name] = (value.flatten(1) / step.float()[:, None]).round().reshape(value.shape).to(torch.int8)
        stored[f"{name}{STEP}"] = step
    return stored


def unpacked(stored: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A network's state again, single precision."""
    state = {}
    for name, value in stored.items():
        if f"{name}{STEP}" in stored:
            step = stored[f"{name}{STEP}"].float()
            state[name] = value.float() * step.reshape(-1, *[1] * (value.ndim - 1))
        elif not name.endswith(STEP):
            state[name] = value.float()
    return state


@cache
def _networks(weights: Path) -> tuple[Any, ...]:
    import torch

    if not weights.exists():
        raise InputError(weights, "", "does not exist", "run: checkout train-second-look")
    try:
        state: Mapping[str, Any] = torch.load(weights, map_location="cpu", weights_only=True)
        made = []
        for name, network in (
            ("hand", hand_network()),
            ("facing", facing_network()),
            ("body", body_network()),
            ("place", place_network()),
            ("depth", depth_network()),
        ):
            network.load_state_dict(unpacked(state[name]))
            made.append(_folded(network.eval()))
    except Exception as error:  # whatever a broken file makes torch raise
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(weights, "", f"is not weights of the second look ({why})") from error
    return tuple(made)


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(p / (1 - p)))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))
