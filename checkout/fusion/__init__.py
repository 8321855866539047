"""Explains sensor evidence as shelf events: which product, how many, pick or put-back, which shopper.

The model, its assumptions and its figures are written down in docs/fusion.md. In short:

* `evidence` says how likely grams on plates and moments before cameras are under one explanation;
* `stories` searches the joint explanation of all evidence: it follows units from the shelf into carts and
  back, so that a put-back comes from somewhere, and a misplaced item is known when it is taken;
* `shoppers` finds who did it, all events together;
* `engine` puts them into one: `Fusion.explain`.
"""

from checkout.fusion.engine import Explanation, Fusion, Ranked
from checkout.fusion.evidence import Nearness, Part, distinct
from checkout.fusion.settings import UNKNOWN_SHOPPER, FusionSettings

__all__ = [
    "UNKNOWN_SHOPPER",
    "Explanation",
    "Fusion",
    "FusionSettings",
    "Nearness",
    "Part",
    "Ranked",
    "distinct",
]
