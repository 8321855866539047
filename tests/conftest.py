"""What several test modules share: the real data's folder, one small rendered recording, one small profile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from checkout.profile import CONFIDENCES, OUTCOMES, PerceptionProfile
from checkout.recording import Recording

PROJECT = Path(__file__).resolve().parents[1]
REAL_DATA = PROJECT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The real data beside the project; the test is skipped where it is missing."""
    if not REAL_DATA.is_dir():
        pytest.skip("../shared/data is not here")
    return REAL_DATA


@pytest.fixture(scope="session")
def shipped() -> Path:
    """The folder of the shipped recordings."""
    return PROJECT / "videos"


@pytest.fixture(scope="session")
def weighed(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A rendered recording of two shoppers without pictures."""
    from checkout.render.recordings import render_recording
    from checkout.render.specs import RecordingSpec

    folder = tmp_path_factory.mktemp("weighed") / "two"
    spec = RecordingSpec(id="two", seed=42, people=("s1", "s2"), duration_s=30.0)
    return render_recording(spec, folder, video=False)


def make_profile(
    shares: tuple[float, ...] = (0.94, 0.03, 0.01, 0.01, 0.01),
    *,
    size: int = 300,
    seed: int = 0,
    phantoms: int = 1,
) -> PerceptionProfile:
    """A made-up profile whose outcomes have these shares and whose confidences tell right from wrong."""
    rng = np.random.default_rng(seed)
    outcome = rng.choice(OUTCOMES, size, p=shares)
    table = pd.DataFrame(
        {
            "recording": "made-up",
            "action": rng.choice(["pick", "put_back"], size, p=[0.75, 0.25]),
            "quantity": rng.choice([1, 2], size, p=[0.85, 0.15]),
            "people_near": rng.integers(0, 3, size),
            "look_alikes": rng.integers(0, 3, size),
            "same_weight": 0,
            "occlusion": 0.0,
            "outcome": outcome,
        }
    )
    for name in CONFIDENCES:
        sure = np.where(outcome == "right", rng.beta(40, 1, size), rng.beta(4, 2, size))
        table[name] = np.where(outcome == "missed", np.nan, sure)
    ghosts = pd.DataFrame([["made-up", 0.5, 0.6, 0.7]] * phantoms, columns=["recording", *CONFIDENCES])
    return PerceptionProfile("made-up", ({"id": "made-up", "sha256": "0" * 64},), table, ghosts, 60.0)


@pytest.fixture(scope="session")
def profile() -> PerceptionProfile:
    return make_profile()
