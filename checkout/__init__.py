"""Perceiving: from pixels and grams to a receipt.

The public surface is small: open a recording, perceive it, judge it, and keep what was
learnt in a perception profile.

>>> from checkout import Catalog, Product
>>> Catalog([Product("milk-1l", weight_g=1030.0, weight_sd_g=4.0, price=1.29)])["milk-1l"].weight_g
1030.0
"""

from checkout.catalog import Catalog, Facing, Planogram, Product
from checkout.errors import InputError
from checkout.events import Receipt, ReceiptLine, ShelfEvent

__version__ = "0.1.0"

__all__ = [
    "Catalog",
    "Facing",
    "InputError",
    "Planogram",
    "Product",
    "Receipt",
    "ReceiptLine",
    "ShelfEvent",
    "__version__",
]
