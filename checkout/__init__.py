"""Perceiving: from pixels and grams to a receipt.

The public surface is small: open a recording, perceive it, judge it, and keep what was
learnt in a perception profile.

>>> from checkout import Catalog, Product
>>> Catalog([Product("milk-1l", weight_g=1030.0, weight_sd_g=4.0, price=1.29)])["milk-1l"].weight_g
1030.0
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from checkout.catalog import Catalog, Facing, Planogram, Product
    from checkout.errors import InputError
    from checkout.events import Receipt, ReceiptLine, ShelfEvent
    from checkout.pipeline import perceive, perceive_video
    from checkout.profile import PerceptionProfile
    from checkout.recording import Recording

__version__ = "0.1.0"

_PUBLIC = {
    "Catalog": "checkout.catalog",
    "Facing": "checkout.catalog",
    "InputError": "checkout.errors",
    "PerceptionProfile": "checkout.profile",
    "Planogram": "checkout.catalog",
    "Product": "checkout.catalog",
    "Receipt": "checkout.events",
    "ReceiptLine": "checkout.events",
    "Recording": "checkout.recording",
    "ShelfEvent": "checkout.events",
    "perceive": "checkout.pipeline",
    "perceive_video": "checkout.pipeline",
}
__all__ = [
    "Catalog",
    "Facing",
    "InputError",
    "PerceptionProfile",
    "Planogram",
    "Product",
    "Receipt",
    "ReceiptLine",
    "Recording",
    "ShelfEvent",
    "__version__",
    "perceive",
    "perceive_video",
]


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used, so that the command line starts at once."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'checkout' has no attribute {name!r}")
