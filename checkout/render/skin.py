"""Skinned meshes from capsules: one smooth surface around a skeleton, each vertex tied to its bones.

The surface is where the smooth union of the capsules' distance fields is zero, found by marching
cubes (scikit-image); a vertex follows the bones it lies closest to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Capsule(NamedTuple):
    """A round piece of a bone in the rest pose: ends and radii, metres; `paint` names its colour."""

    bone: int
    start: tuple[float, float, float]
    end: tuple[float, float, float]
    start_radius: float
    end_radius: float
    paint: int = 0


class SkinMesh(NamedTuple):
    """A surface in the rest pose.

    Attributes:
        vertices: [n, 3], metres.
        faces: [m, 3], outward.
        weights: [n, bones]; each row sums to one.
        paint: [n], of the nearest capsule.
    """

    vertices: np.ndarray
    faces: np.ndarray
    weights: np.ndarray
    paint: np.ndarray


def make_skin(
    capsules: Sequence[Capsule], *, spacing_m: float, blend_m: float, flatten_y: float = 1.0
) -> SkinMesh:
    """The surface around capsules.

    Args:
        spacing_m: distance of the sampling grid.
        blend_m: how widely neighbouring capsules melt into each other.
        flatten_y: depth of the body over the depth of round capsules.
    """
    from skimage.measure import marching_cubes

    ends = np.array([[c.start, c.end] for c in capsules])
    ends[:, :, 1] /= flatten_y
    reach = max(max(c.start_radius, c.end_radius) for c in capsules) + 3 * spacing_m
    low, high = ends.min(axis=(0, 1)) - reach, ends.max(axis=(0, 1)) + reach
    axes = [np.arange(a, b + spacing_m, spacing_m) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    total = np.zeros(grid.shape[:3])
    for capsule, (a, b) in zip(capsules, ends, strict=True):
        distance = _distance(grid, a, b, capsule.start_radius, capsule.end_radius)
        total += np.exp(-np.clip(distance, -20 * blend_m, 20 * blend_m) / blend_m)
    field = -blend_m * np.log(np.maximum(total, 1e-12))
    vertices, faces, _, _ = marching_cubes(field, 0.0, spacing=(spacing_m,) * 3)
    vertices = vertices + low
    near = np.stack(
        [
            _distance(vertices, a, b, c.start_radius, c.end_radius)
            for c, (a, b) in zip(capsules, ends, strict=True)
        ],
        axis=1,
    )
    bones = max(c.bone for c in capsules) + 1
    by_bone = np.full((len(vertices), bones), np.inf)
    for column, capsule in enumerate(capsules):
        by_bone[:, capsule.bone] = np.minimum(by_bone[:, capsule.bone], near[:, column])
    closeness = 1.0 / (np.maximum(by_bone, 0.0) + 0.5 * blend_m) ** 3
    closeness[closeness < 0.08 * closeness.max(axis=1, keepdims=True)] = 0.0
    paint = np.array([c.paint for c in capsules])[near.argmin(axis=1)]
    vertices[:, 1] *= flatten_y
    return SkinMesh(vertices, faces, closeness / closeness.sum(axis=1, keepdims=True), paint)


def mirrored(mesh: SkinMesh) -> SkinMesh:
    """The same surface with x turned round."""
    return SkinMesh(mesh.vertices * [-1, 1, 1], mesh.faces[:, ::-1], mesh.weights, mesh.paint)


def skin_xml(
    name: str, material: str, mesh: SkinMesh, bones: Sequence[tuple[str, np.ndarray]], texcoord: np.ndarray
) -> str:
    """MuJoCo's description; `bones` are the bodies with their origins [3] in the rest pose (axes along the world's)."""
    parts = []
    for index, (body, origin) in enumerate(bones):
        tied = np.flatnonzero(mesh.weights[:, index] > 1e-3)
        if len(tied):
            parts.append(
                f'<bone body="{body}" bindpos="{_flat(origin)}" bindquat="1 0 0 0" vertid="{" ".join(map(str, tied))}"'
                f' vertweight="{_flat(mesh.weights[tied, index], 3)}"/>'
            )
    return (
        f'<skin name="{name}" material="{material}" vertex="{_flat(mesh.vertices)}" texcoord="{_flat(texcoord, 3)}"'
        f' face="{" ".join(map(str, mesh.faces.ravel()))}">{"".join(parts)}</skin>'
    )


def _distance(points: np.ndarray, a: np.ndarray, b: np.ndarray, ra: float, rb: float) -> np.ndarray:
    """Distance of points [..., 3] from a capsule whose radius changes evenly along it."""
    axis = b - a
    along = np.clip((points - a) @ axis / max(float(axis @ axis), 1e-12), 0.0, 1.0)
    return np.asarray(
        np.linalg.norm(points - a - along[..., None] * axis, axis=-1) - (ra + (rb - ra) * along)
    )


def _flat(values: np.ndarray, digits: int = 5) -> str:
    return " ".join(f"{v:.{digits}g}" for v in np.ravel(values))
