"""Names products from a gallery: a few pictures of each product, and no training when one is added.

A crop of an item is compared with the gallery in two ways. Local features (RootSIFT: Arandjelovic and
Zisserman 2012) vote for the products whose pictures hold their nearest neighbours, each by how much
nearer it is than the first neighbour that is not counted (local naive Bayes nearest neighbour: McCann
and Lowe 2012): print and logos. Colours laid out over the crop are compared with the most alike picture
of each product: what a crop too small for features still shows. What the two are worth is fitted on the
gallery itself, parts of it left out in turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from checkout.errors import InputError, nearest
from checkout.output import new_file

SCHEMA = 1
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
FEATURE_SIDE_PX = 256
"""Longer side to which pictures are scaled before features are taken; small crops are enlarged to it."""
MOST_FEATURES = 500
LEAST_CONTRAST = 0.02
NEIGHBOURS = 10
"""Published: McCann and Lowe (CVPR 2012) find ten neighbours enough."""
TREES, LEAVES = 4, 96
"""Of the approximate search for neighbours."""
COLOUR_SIDE_PX = 48
COLOUR_GRIDS = (1, 2, 4)
COLOUR_BINS = (4, 6, 6)
COLOUR_RANGES = ((0, 256), (80, 176), (80, 176))
"""Bins of CIELAB's lightness and its two colour axes (8 bit; 128 is grey)."""
FOLDS = 5
"""Parts of each product's pictures, in their order, that are left out together: photos taken in a row are alike."""
RIDGE = 1e-3


class Look(NamedTuple):
    """What is compared of a picture: features of unit length [n, 128], square roots of colour shares [m]."""

    features: np.ndarray
    colours: np.ndarray


@dataclass(frozen=True)
class Weights:
    """What the two comparisons are worth, as log odds; the defaults are assumed and serve galleries too small to fit.

    Attributes:
        features: for each per cent of the votes.
        colours: for each per cent of likeness of colours (Bhattacharyya's coefficient).
    """

    features: float = 0.3
    colours: float = 0.3


@dataclass(frozen=True)
class Trial:
    """A picture whose product is known, and the name that it was given.

    Attributes:
        probability: of every product, in the gallery's order.
    """

    product: str
    named: str
    probability: np.ndarray


class Gallery:
    """Pictures of products, and the names that they give to crops.

    Attributes:
        products: ids, sorted.
        owner: index of its product for each picture, int [n].
    """

    def __init__(self, looks: Mapping[str, Sequence[Look]], weights: Weights | None = None) -> None:
        """Take in what pictures of each product look like.

        Raises:
            InputError: fewer than two products, or one without a picture.
        """
        self.products = tuple(sorted(looks))
        if len(self.products) < 2:
            raise InputError(
                "gallery", "", f"holds {len(self.products)} product(s), expected two or more to tell apart"
            )
        for product in self.products:
            if not looks[product]:
                raise InputError("gallery", product, "has no picture", "add one, or take the product out")
        self._looks = [look for product in self.products for look in looks[product]]
        self.owner = np.repeat(np.arange(len(self.products)), [len(looks[p]) for p in self.products])
        self.weights = weights or self._fitted()

    @classmethod
    def from_folder(cls, folder: Path) -> Gallery:
        """Read pictures that lie in a folder each product, whose name is the product's id, at any depth."""
        looks: dict[str, list[Look]] = {}
        for product, _, picture in pictures_in(folder):
            looks.setdefault(product, []).append(look_of(picture))
        return cls(looks)

    def with_product(self, product: str, pictures: Sequence[np.ndarray]) -> Gallery:
        """This gallery and one more product, or more pictures of one; what the comparisons are worth stays."""
        looks = self._by_product()
        looks.setdefault(product, []).extend(look_of(picture) for picture in pictures)
        return Gallery(looks, self.weights)

    def name(self, crop: np.ndarray, *, among: Collection[str] | None = None) -> dict[str, float]:
        """Probability of each product, or of those `among` which it must be, that a crop shows it.

        Args:
            crop: uint8 [height, width, 3], BGR.

        Raises:
            InputError: `among` names a product that has no picture, or none.
        """
        wanted = self.products if among is None else tuple(dict.fromkeys(among))
        for product in wanted:
            if product not in self.products:
                raise InputError(
                    "gallery",
                    product,
                    "is not in the gallery",
                    nearest(product, self.products) or "add pictures of it",
                )
        if not wanted:
            raise InputError("gallery", "among", "names no product")
        signs = self._signs(look_of(crop), np.ones(len(self._looks), bool))
        columns = [self.products.index(p) for p in wanted]
        shares = _shares(self._score(signs)[columns])
        return {product: float(p) for product, p in zip(wanted, shares, strict=True)}

    def trials(self) -> list[Trial]:
        """What each picture is named by the gallery without its part of its product's pictures."""
        found = []
        for index, signs in self._left_out():
            shares = _shares(self._score(signs))
            product = self.products[self.owner[index]]
            found.append(Trial(product, self.products[int(shares.argmax())], shares))
        return found

    def save(self, path: Path, *, force: bool = False) -> None:
        """Write one `.npz`; features are kept as bytes, which costs no accuracy that was seen."""
        with new_file(path, force=force) as draft, draft.open("wb") as file:
            np.savez_compressed(
                file,
                schema=SCHEMA,
                products=np.array(self.products),
                owner=self.owner,
                weights=[self.weights.features, self.weights.colours],
                features=np.round(255 * np.concatenate([look.features for look in self._looks])).astype(
                    np.uint8
                ),
                counts=[len(look.features) for look in self._looks],
                colours=np.array([look.colours for look in self._looks], np.float16),
            )

    @classmethod
    def load(cls, path: Path) -> Gallery:
        """Read a gallery; raises `InputError` when the file is none."""
        if not path.is_file():
            raise InputError(
                path, "", "does not exist, expected a gallery", "make one with: checkout gallery FOLDER"
            )
        try:
            with np.load(path, allow_pickle=False) as stored:
                if int(stored["schema"]) != SCHEMA:
                    raise InputError(
                        path, "schema", f"{int(stored['schema'])}, expected {SCHEMA}", "make it anew"
                    )
                products, owner = stored["products"].tolist(), stored["owner"]
                parts = np.split(
                    stored["features"].astype(np.float32) / 255, np.cumsum(stored["counts"])[:-1]
                )
                colours, weights = (
                    stored["colours"].astype(np.float32),
                    Weights(*map(float, stored["weights"])),
                )
        except (ValueError, KeyError, OSError) as error:
            raise InputError(
                path, "", f"is not a gallery ({error})", "make one with: checkout gallery FOLDER"
            ) from None
        looks: dict[str, list[Look]] = {p: [] for p in products}
        for index, features, look in zip(owner, parts, colours, strict=True):
            looks[products[index]].append(Look(features, look))
        return cls(looks, weights)

    def _by_product(self) -> dict[str, list[Look]]:
        return {
            p: [self._looks[i] for i in np.flatnonzero(self.owner == n)] for n, p in enumerate(self.products)
        }

    @cached_property
    def _search(self) -> Any:
        import cv2

        cv2.setRNGSeed(1)
        search = cv2.FlannBasedMatcher({"algorithm": 1, "trees": TREES}, {"checks": LEAVES})
        search.add([np.concatenate([look.features for look in self._looks])])
        search.train()
        return search

    @cached_property
    def _picture_of(self) -> np.ndarray:
        return np.repeat(np.arange(len(self._looks)), [len(look.features) for look in self._looks])

    def _signs(self, look: Look, counted: np.ndarray) -> np.ndarray:
        """Per cent of the votes and of likeness in colour, [2, products], from the counted pictures, bool [n]."""
        votes = np.zeros(len(self.products))
        extra = 0 if counted.all() else 2 * NEIGHBOURS
        if len(look.features) and len(self._picture_of) > NEIGHBOURS + extra:
            matches = self._search.knnMatch(look.features, k=NEIGHBOURS + 1 + extra)
            for row in matches:
                near = [(m.distance**2, self._picture_of[m.trainIdx]) for m in row]
                near = [(d, self.owner[i]) for d, i in near if counted[i]][: NEIGHBOURS + 1]
                if len(near) < 2:
                    continue
                first: dict[int, float] = {}
                for distance, product in near[:-1]:
                    first.setdefault(int(product), distance)
                for product, distance in first.items():
                    votes[product] += near[-1][0] - distance
        alike = self._colours @ look.colours
        best = np.zeros(len(self.products))
        np.maximum.at(best, self.owner[counted], alike[counted])
        return np.array([100 * votes / max(votes.sum(), 1e-9), 100 * best / sum(n * n for n in COLOUR_GRIDS)])

    @cached_property
    def _colours(self) -> np.ndarray:
        return np.array([look.colours for look in self._looks])

    def _score(self, signs: np.ndarray) -> np.ndarray:
        return np.asarray(self.weights.features * signs[0] + self.weights.colours * signs[1])

    def _left_out(self) -> Iterator[tuple[int, np.ndarray]]:
        """Each picture whose product has others, and its signs from the pictures outside its part."""
        for product in range(len(self.products)):
            own = np.flatnonzero(self.owner == product)
            part = np.arange(len(own)) * min(FOLDS, len(own)) // len(own)
            for index, mine in zip(own, part, strict=True) if len(own) > 1 else ():
                counted = np.ones(len(self._looks), bool)
                counted[own[part == mine]] = False
                yield int(index), self._signs(self._looks[index], counted)

    def _fitted(self) -> Weights:
        """The weights under which pictures left out are named best (maximum likelihood), with a slight ridge."""
        from scipy.optimize import minimize

        rows = list(self._left_out())
        if len(rows) < 10:
            return Weights()
        signs = np.array([s for _, s in rows])
        true = self.owner[[i for i, _ in rows]]

        def loss(w: np.ndarray) -> float:
            score = w[0] * signs[:, 0] + w[1] * signs[:, 1]
            score -= score.max(axis=1, keepdims=True)
            likelihood = score[np.arange(len(true)), true] - np.log(np.exp(score).sum(axis=1))
            return float(-likelihood.mean() + RIDGE * (w**2).sum())

        start = Weights()
        best = minimize(loss, [start.features, start.colours], method="Nelder-Mead").x
        return Weights(*(float(max(v, 0.0)) for v in best))


def named_by(gallery: Gallery, folder: Path) -> list[Trial]:
    """What a gallery calls the pictures below another folder; raises `InputError` for a product it does not know."""
    found = []
    for product, file, picture in pictures_in(folder):
        if product not in gallery.products:
            raise InputError(
                file, "", f"{product!r} is not in the gallery", nearest(product, gallery.products) or "add it"
            )
        shares = gallery.name(picture)
        found.append(Trial(product, max(shares, key=shares.__getitem__), np.array(list(shares.values()))))
    return found


def trials_summary(gallery: Gallery, trials: Sequence[Trial]) -> dict[str, Any]:
    """The shape that `gallery --json` prints: top-1 and confidence of all, top-1 by product, what is confused."""
    wrong = Counter((t.product, t.named) for t in trials if t.product != t.named)
    by_product: dict[str, list[bool]] = {}
    for trial in trials:
        by_product.setdefault(trial.product, []).append(trial.product == trial.named)
    return {
        "products": len(gallery.products),
        "pictures": len(trials),
        "top1": float(np.mean([t.product == t.named for t in trials])) if trials else None,
        "mean_confidence": float(np.mean([t.probability.max() for t in trials])) if trials else None,
        "by_product": {p: float(np.mean(right)) for p, right in sorted(by_product.items())},
        "confusions": [
            {"product": product, "named": named, "pictures": count}
            for (product, named), count in wrong.most_common()
        ],
    }


def look_of(picture: np.ndarray) -> Look:
    """What is compared of a picture, uint8 [height, width, 3], BGR."""
    return Look(_features(picture), _colours(picture))


def pictures_in(folder: Path) -> Iterator[tuple[str, Path, np.ndarray]]:
    """Product, file and picture of each picture below a folder; the innermost folder names the product.

    Raises:
        InputError: the folder holds no picture in a folder of its own, an empty folder, or a file that is no picture.
    """
    import cv2

    if not folder.is_dir():
        raise InputError(
            folder, "", "does not exist, expected a folder with a folder of pictures for each product"
        )
    files = sorted(
        p for p in folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES and p.parent != folder
    )
    if not files:
        raise InputError(
            folder, "", "holds no pictures", "expected PRODUCT/picture.jpg, one folder for each product"
        )
    for inner in sorted(p for p in folder.rglob("*") if p.is_dir()):
        if not any(inner.iterdir()):
            raise InputError(inner, "", "has no picture", "add one, or take the product out")
    for file in files:
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if picture is None:
            raise InputError(file, "", "is not a picture that can be read", "save it as JPEG or PNG")
        yield file.parent.name, file, picture


def _features(picture: np.ndarray) -> np.ndarray:
    import cv2

    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    scale = FEATURE_SIDE_PX / max(grey.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=how)
    finder = cv2.SIFT_create(nfeatures=MOST_FEATURES, contrastThreshold=LEAST_CONTRAST)  # type: ignore[attr-defined]
    _, found = finder.detectAndCompute(grey, None)
    if found is None:
        return np.zeros((0, 128), np.float32)
    found = found[:MOST_FEATURES]
    return np.sqrt(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-9)).astype(np.float32)


def _colours(picture: np.ndarray) -> np.ndarray:
    import cv2

    small = cv2.resize(picture, (COLOUR_SIDE_PX, COLOUR_SIDE_PX), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_BGR2LAB).astype(float)
    cells = []
    for grid in COLOUR_GRIDS:
        for row in np.array_split(lab, grid, axis=0):
            for cell in np.array_split(row, grid, axis=1):
                inside = [np.clip(cell[..., i], lo, hi - 1e-6) for i, (lo, hi) in enumerate(COLOUR_RANGES)]
                counts, _ = np.histogramdd(
                    np.stack(inside, axis=-1).reshape(-1, 3), COLOUR_BINS, COLOUR_RANGES
                )
                cells.append(np.sqrt(counts.ravel() / counts.sum()))
    return np.concatenate(cells).astype(np.float32)


def _shares(score: np.ndarray) -> np.ndarray:
    weight = np.exp(score - score.max())
    return np.asarray(weight / weight.sum())
