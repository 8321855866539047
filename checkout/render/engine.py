"""The one place that loads MuJoCo, so that it draws without a screen."""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Any


def load_mujoco() -> Any:
    """MuJoCo, set to draw through EGL unless the user chose another way.

    triton, where torch has brought it, is imported first: both hold an LLVM; loaded in the other
    order they clash and the process dies.
    """
    os.environ.setdefault("MUJOCO_GL", "egl")
    if importlib.util.find_spec("triton") is not None:
        importlib.import_module("triton")
    return importlib.import_module("mujoco")
