"""Adds a step to plate signals, for studies on real or rendered noise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd


def inject_step(
    plates: pd.DataFrame, shares: Mapping[str, float], grams: float, t_s: float, *, ramp_s: float = 0.3
) -> pd.DataFrame:
    """A copy of `Recording.plates` in which the load changes by `grams` at a time.

    Args:
        shares: how the change is spread over plates; should sum to one.
        ramp_s: how long the change takes, seconds; its middle is at `t_s`.
    """
    changed = plates.copy()
    u = np.clip((plates.index.to_numpy(float) - t_s) / ramp_s + 0.5, 0.0, 1.0)
    ramp = u * u * (3 - 2 * u)
    for plate, share in shares.items():
        changed[plate] = changed[plate] + grams * share * ramp
    return changed
