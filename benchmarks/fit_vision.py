"""Fits the weights by which the shipped detector's evidence is put together, to validation recordings.

python -m benchmarks.fit_vision RECORDING [RECORDING ...] [--keep FOLDER]

Prints, ready for the modules that hold them:

- `HAND_SCORE`, `BOX_SHARE` (checkout/vision/second_look.py): a logistic fit to what YOLO takes for hands, and the
  share whose boxes overlap the true ones most.
- `WEIGHTS` (checkout/vision/reaches.py): a softmax fit to reaches over facings and what was done there. A reach that
  saw the act of another one again is left out: as a touch it would teach that such reaches do nothing.
- `STANCE_TRUST`, `BODY_TRUST` (reaches.py), `MISTAKEN` (tracks.py): a softmax fit with a floor to whose a reach was.

Beside each: the share right, and that of each half of the recordings when fitted to the other. `--keep` is the folder
of `benchmarks.fusion_ablation`; it holds for one state of `HAND_SCORE` and `BOX_SHARE`: fit those first (`--hands`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import minimize

from benchmarks.fusion_ablation import recordings_parser, watched_once
from checkout.events import ShelfEvent
from checkout.recording import Recording
from checkout.vision.detector import Detector, overlaps
from checkout.vision.reaches import BODY_TRUST, STANCE_TRUST, WEIGHTS, Reach, _scores
from checkout.vision.second_look import SecondLook, _logit
from checkout.vision.tracks import MISTAKEN, STANCE_FLOOR

AROUND_S = 0.7
"""A reach this close to a true event may be it."""
LEAST_FACING = 0.01
SAME_HAND_IOU = 0.3
EVERY = 10
RIDGE = 0.02
BOX_SHARES = np.arange(0.0, 1.01, 0.1)


def fit_hands(recordings: Sequence[Recording]) -> None:
    """Print `HAND_SCORE` and `BOX_SHARE`."""
    detector, second = Detector(), SecondLook()
    rows, first, again, true_boxes = [], [], [], []
    for recording in recordings:
        true = recording.boxes
        true = true[true["label"] == "hand"]
        for camera in recording.cameras:
            of_camera = true[true["camera"] == camera.camera].groupby("frame")
            for index, (_, image) in enumerate(recording.frames(camera.camera)):
                if index % EVERY:
                    continue
                hands = detector.detect([image])[0].of("hand")
                if not len(hands):
                    continue
                looks = second.hands(image, hands.boxes_xyxy)
                there = of_camera.get_group(index) if index in of_camera.groups else true.iloc[:0]
                boxes = there[["x1", "y1", "x2", "y2"]].to_numpy(float)
                overlap = overlaps(hands.boxes_xyxy, boxes) if len(boxes) else np.zeros((len(hands), 1))
                hit = overlap.max(axis=1) >= SAME_HAND_IOU
                rows += list(zip(_logit(hands.confidence), _logit(looks.hand), hit, strict=True))
                first.append(hands.boxes_xyxy[hit])
                again.append(looks.boxes_xyxy[hit])
                true_boxes.append(boxes[overlap.argmax(axis=1)[hit]] if len(boxes) else np.zeros((0, 4)))
    table = np.array(rows, float)
    features, hit = np.column_stack([np.ones(len(table)), table[:, :2]]), table[:, 2]

    def loss(w: np.ndarray) -> float:
        z = features @ w
        return float(np.mean(np.logaddexp(0, z) - hit * z))

    fitted = minimize(loss, np.array([0.0, 1.0, 1.0])).x
    print(
        f"{len(table)} boxes, {hit.mean():.2f} of them hands; log loss {loss(fitted):.3f},"
        f" YOLO's score alone {loss(np.array([0.0, 1.0, 0.0])):.3f}"
    )
    print("HAND_SCORE =", dict(zip(("bias", "first", "second"), fitted.round(2).tolist(), strict=True)))
    one, two, boxes = (np.concatenate(part) for part in (first, again, true_boxes))
    for share in BOX_SHARES:
        overlap = np.diag(overlaps((1 - share) * one + share * two, boxes))
        print(
            f"BOX_SHARE {share:.1f}: mean overlap {overlap.mean():.3f}, over half {(overlap >= 0.5).mean():.3f}"
        )


def labelled(reaches: Sequence[Reach], events: Sequence[ShelfEvent]) -> list[tuple[Reach, ShelfEvent | None]]:
    """Reaches with the true event that each saw, or None where it saw a touch; repeats are left out."""
    pairs = sorted(
        (
            (-np.log(reach.facing[event.facing]) + abs(_middle(reach) - event.t_s), i, j)
            for i, reach in enumerate(reaches)
            for j, event in enumerate(events)
            if abs(_middle(reach) - event.t_s) <= AROUND_S
            and reach.facing.get(event.facing, 0.0) >= LEAST_FACING
        ),
    )
    of: dict[int, int] = {}
    for _, i, j in pairs:
        if i not in of and j not in of.values():
            of[i] = j
    repeats = {i for _, i, _ in pairs} - set(of)
    return [
        (reach, events[of[i]] if i in of else None) for i, reach in enumerate(reaches) if i not in repeats
    ]


def _middle(reach: Reach) -> float:
    return 0.5 * (reach.t_start_s + reach.t_end_s)


def reach_problem(reach: Reach, event: ShelfEvent | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of each explanation [n, weights], what does not depend on weights [n], and which are true [n]."""
    names = list(WEIGHTS)
    nothing = dict.fromkeys(names, 0.0)
    fixed, rows, true = [], [], []
    for facing, probability in reach.facing.items():
        still = _scores(reach, facing, probability, nothing)
        alone = [_scores(reach, facing, probability, {**nothing, name: 1.0}) for name in names]
        for action, value in still.items():
            fixed.append(value)
            rows.append([one[action] - value for one in alone])
            told = (facing, action) == (event.facing, event.action) if event else action == "touch"
            true.append(told)
    return np.array(rows), np.array(fixed), np.array(true)


def person_problem(reach: Reach, event: ShelfEvent) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same for whose a reach was of which a body was seen.

    The weights are `STANCE_TRUST`, `BODY_TRUST` and, as a floor, `MISTAKEN`.
    """
    people = list(reach.standing)
    features = [
        [np.log(reach.standing[p] + STANCE_FLOOR), reach.body.get(p, min(reach.body.values()))]
        for p in people
    ]
    return (
        np.array(features),
        np.zeros(len(people)),
        np.array([p == event.conditions["person"] for p in people]),
    )


Problem = tuple[np.ndarray, np.ndarray, np.ndarray]


def softmax_fit(problems: Sequence[Problem], start: np.ndarray) -> np.ndarray:
    """Weights under which the true explanations are likeliest, with a small ridge."""

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        total, slope = RIDGE * len(problems) * float(w @ w) / 100, RIDGE * len(problems) * w / 50
        for features, fixed, true in problems:
            score = features @ w + fixed
            p = np.exp(score - np.logaddexp.reduce(score))
            right = np.where(true, p, 0.0)
            total -= float(np.log(max(right.sum(), 1e-12)))
            slope += features.T @ (p - right / max(right.sum(), 1e-12))
        return total, slope

    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B").x)


def floored_fit(problems: Sequence[Problem], start: np.ndarray) -> np.ndarray:
    """The same where each of n is likely by 1/n with a probability, the last weight, and by the others else."""

    def loss(w: np.ndarray) -> float:
        total = 0.0
        for features, fixed, true in problems:
            score = features @ w[:-1] + fixed
            p = np.exp(score - np.logaddexp.reduce(score))
            total -= float(np.log(max(((1 - w[-1]) * p + w[-1] / len(p))[true].sum(), 1e-12)))
        return total

    bounds = [(None, None)] * (len(start) - 1) + [(1e-3, 0.5)]
    return np.asarray(minimize(loss, start, method="Nelder-Mead", bounds=bounds).x)


def share_right(problems: Sequence[Problem], w: np.ndarray) -> float:
    return float(
        np.mean(
            [true[np.argmax(features @ w[: features.shape[1]] + fixed)] for features, fixed, true in problems]
        )
    )


def report(
    problems: Sequence[Sequence[Problem]],
    names: Sequence[str],
    start: np.ndarray,
    fit: Callable[[Sequence[Problem], np.ndarray], np.ndarray] = softmax_fit,
) -> np.ndarray:
    """Fit to all recordings, print the weights and the shares right; returns the weights."""
    halves = [[p for rows in problems[i::2] for p in rows] for i in (0, 1)]
    every = [*halves[0], *halves[1]]
    fitted = fit(every, start)
    crossed = [share_right(halves[1 - i], fit(halves[i], start)) for i in (0, 1)]
    print(
        f"{len(every)} fitted: right {share_right(every, fitted):.3f} ({share_right(every, start):.3f} as shipped);"
        f" each half when fitted to the other {crossed[0]:.3f}, {crossed[1]:.3f}"
    )
    print(dict(zip(names, fitted.round(3).tolist(), strict=True)))
    return fitted


def main() -> None:
    parser = recordings_parser(__doc__)
    parser.add_argument("--hands", action="store_true", help="fit HAND_SCORE and BOX_SHARE only")
    args = parser.parse_args()
    recordings = [Recording.open(path) for path in args.recordings]
    if args.hands:
        fit_hands(recordings)
        return
    seen = [watched_once(recording, args.keep) for recording in recordings]
    found = [
        labelled(watch_.sight.reaches, recording.truth.events)
        for recording, watch_ in zip(recordings, seen, strict=True)
    ]
    print("WEIGHTS: facing and action of each reach")
    report(
        [[reach_problem(*row) for row in rows] for rows in found],
        list(WEIGHTS),
        np.array(list(WEIGHTS.values())),
    )
    print("STANCE_TRUST, BODY_TRUST, MISTAKEN: whose each reach was")
    people = [
        [person_problem(r, e) for r, e in rows if e is not None and r.standing and r.body] for rows in found
    ]
    report(
        people,
        ("STANCE_TRUST", "BODY_TRUST", "MISTAKEN"),
        np.array([STANCE_TRUST, BODY_TRUST, MISTAKEN]),
        floored_fit,
    )


if __name__ == "__main__":
    main()
