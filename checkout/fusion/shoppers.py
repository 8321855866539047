"""Who did it, for all events together.

Each event has a likelihood over shoppers (whose hand was there). Two kinds of ties make the events one
problem: a put-back is by whoever took that unit, unless it changed hands; and one pair of hands does
not do two things at one time. The posterior is found by loopy belief propagation (sum-product; Pearl
1988), which is exact where the ties make no loop.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ROUNDS = 12
"""Assumed: messages have settled after so many rounds; most groups of tied events are pairs."""


class Tie(NamedTuple):
    """Two events and how likely each pair of shoppers is, [n, n], up to a factor."""

    first: int
    second: int
    factor: np.ndarray


def same_unit(shoppers: int, probability: float, hand_over: float) -> np.ndarray:
    """Factor of a put-back and the pick that it comes from with a probability, [n, n]."""
    flat = np.full((shoppers, shoppers), 1 / shoppers)
    kept = (1 - hand_over) * np.eye(shoppers) + hand_over * flat
    return probability * kept + (1 - probability) * flat


def one_pair_of_hands(alone: np.ndarray, again: float) -> np.ndarray:
    """Factor of two events at one time: an account with one person did not do both; `alone` is bool [n]."""
    factor = np.ones((len(alone), len(alone)))
    factor[np.diag_indices(len(alone))] = np.where(alone, again, 1.0)
    return factor


def posterior(likelihood: np.ndarray, ties: Sequence[Tie]) -> np.ndarray:
    """Probability of each shopper for each event, [events, n]; rows sum to one."""
    belief = likelihood / likelihood.sum(axis=1, keepdims=True)
    if not ties:
        return belief
    into: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number, tie in enumerate(ties):
        into[tie.first].append((number, 0))
        into[tie.second].append((number, 1))
    shoppers = likelihood.shape[1]
    message = np.full((len(ties), 2, shoppers), 1 / shoppers)
    for _ in range(ROUNDS):
        new = message.copy()
        for number, tie in enumerate(ties):
            for side, (to, other) in enumerate(((tie.first, tie.second), (tie.second, tie.first))):
                there = belief[other].copy()
                for n, end in into[other]:
                    if n != number:
                        there *= message[n, end]
                factor = tie.factor if to == tie.first else tie.factor.T
                sent = factor @ there
                new[number, side] = sent / sent.sum()
        settled = np.abs(new - message).max() < 1e-6
        message = new
        if settled:
            break
    for event, ends in into.items():
        for n, end in ends:
            belief[event] = belief[event] * message[n, end]
        belief[event] /= belief[event].sum()
    return belief
