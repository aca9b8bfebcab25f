"""The rounding budget: what every element may be off, and what a slice may be off together."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundle_verifier.elements import Element, element
from bundle_verifier.tensor_file import Tensor

Floats = NDArray[np.float64]

U = 2.0**-24
ROOT_THREE = math.sqrt(3.0)


@dataclass(frozen=True)
class Systematic:
    axis: int | None
    index: int | None
    scale: float
    scale_allowed: float
    offset: float
    offset_allowed: float
    used: float


@dataclass
class Budget:
    used: float
    violations: int
    worst: Element | None
    systematic: list[Systematic]
    by_slice: list[list[Systematic]]  # every index of each slice that has a result, in order


def budget(
    actual: Tensor,
    oracle: Tensor,
    magnitude: Tensor,
    axes: list[tuple[bool, int | None]],
    shared_rows: bool,
    confidence: float,
) -> Budget:
    """`axes`: of each slice in order, whether it is whole and else its axis."""
    with np.errstate(all="ignore"):
        a, e, m = (x.reshape(-1).astype(np.float64) for x in (actual, oracle, magnitude))
        error = np.where(a == e, 0.0, np.abs(a - e))
        allowed = U * m
        within = (error <= allowed) & np.isfinite(error) & np.isfinite(allowed)
        share = np.where((error == 0.0) & (allowed >= 0.0), 0.0, error / allowed)
        used, worst = 0.0, None
        if a.size:
            first = int(np.argmax(np.isnan(share))) if np.isnan(share).any() else int(np.argmax(share))
            used = float(share[first])
            worst = element(actual.shape, first, a, e, error, float(allowed[first]))
        slices = []
        for whole, axis in axes:
            slices.append(_slice((a, e, m), actual.shape, None if whole else axis, shared_rows, confidence))
        chosen = [found for found in map(_worst, slices) if found is not None]
        return Budget(used, int((~within).sum()), worst, chosen, slices)


def _worst(found: list[Systematic]) -> Systematic | None:
    worst: Systematic | None = None
    for systematic in found:
        if worst is None or not systematic.used <= worst.used:
            worst = systematic
    return worst


def _slice(
    values: tuple[Floats, Floats, Floats], shape: tuple[int, ...], axis: int | None, shared_rows: bool, c: float
) -> list[Systematic]:
    """One fit for every index of the axis, or for the whole: a column is an index, its points are in order."""
    indices = 1 if axis is None else shape[axis]
    if values[0].size == 0:
        return []
    columns = [_columns(v, shape, axis) for v in values]
    width = shape[-1] if shared_rows and shape and shape[-1] >= 2 and (axis is None or axis < len(shape) - 1) else None
    fits = _fit(columns[0], columns[1], columns[2], width, c)
    return [
        Systematic(axis, None if axis is None else index, *(float(x[index]) for x in fits[1:]))
        for index in range(indices)
        if fits[0][index]
    ]


def _columns(values: Floats, shape: tuple[int, ...], axis: int | None) -> Floats:
    if axis is None:
        return values.reshape(-1, 1)
    return np.moveaxis(values.reshape(shape), axis, -1).reshape(-1, shape[axis])


def _total(values: Floats) -> Floats:
    """Column sums, one point after the other."""
    total: Floats = np.cumsum(values, axis=0)[-1]
    return total


def _fit(
    actual: Floats, y: Floats, m: Floats, width: int | None, c: float
) -> tuple[NDArray[np.bool_], *tuple[Floats, ...]]:
    e = actual - y
    w = 1.0 / (m * m)
    point = np.isfinite(e) & (m > 0.0) & (w != 0.0) & np.isfinite(w)
    e, y, w = np.where(point, e, 0.0), np.where(point, y, 0.0), np.where(point, w, 0.0)
    n = point.sum(axis=0).astype(np.float64)
    weight, sum_y, yy, sum_e = _total(w), _total(w * y), _total((w * y) * y), _total(w * e)
    there = (n >= 3) & (yy > 0.0) & (e != 0.0).any(axis=0)
    mean_y, mean_e = sum_y / weight, sum_e / weight
    d = y - mean_y
    spread, both = _total((w * d) * d), _total((w * d) * (e - mean_e))
    line = spread > 1e-12 * yy
    center, mean = np.where(line, mean_y, 0.0), np.where(line, mean_e, 0.0)
    s = np.where(line, both / spread, (both + mean_y * sum_e) / yy)
    freedom = n - np.where(line, 2.0, 1.0)
    iw, inverse = np.where(line, 1.0 / weight, 0.0), np.where(line, 1.0 / spread, 1.0 / yy)
    d = y - center
    k = d * inverse
    rest = 1.0 - w * (iw + d * k)
    r = np.where(rest > 1e-9, (e - mean - s * d) / rest, U * m / ROOT_THREE)
    q = np.where(point, w * r, 0.0)
    vs, vo = _total((q * k) ** 2), _total((q * (iw - center * k)) ** 2)
    z = ROOT_THREE * c
    t = np.sqrt(freedom * np.expm1(z * z / freedom))
    shared_scale, shared_offset = _shared(point, d, w, y, m, width, iw, inverse, center)
    scale_allowed = 2.0 * U + np.fmin(t * np.sqrt(vs), c * U * np.sqrt(inverse)) + U * shared_scale
    typical = np.sqrt(yy / weight)
    free = np.fmin(t * np.sqrt(vo), c * U * np.sqrt(iw + center * center * inverse))
    offset_allowed = 2.0 * U * typical + free + U * shared_offset
    offset = mean - s * center
    by_scale, by_offset = np.abs(s) / scale_allowed, np.abs(offset) / offset_allowed
    used = np.where(by_scale > by_offset, by_scale, by_offset)
    return there, s, scale_allowed, offset, offset_allowed, used


def _shared(
    point: NDArray[np.bool_],
    d: Floats,
    w: Floats,
    y: Floats,
    m: Floats,
    width: int | None,
    iw: Floats,
    inverse: Floats,
    center: Floats,
) -> tuple[Floats, Floats]:
    """G and H: what rows whose elements share an error (of their mean, their variance) may add to scale and offset."""
    indices = point.shape[1]
    if width is None:
        return np.zeros(indices), np.zeros(indices)

    def rows(values: Floats) -> Floats:
        return values.reshape(-1, width, indices)

    def sums(values: Floats) -> Floats:
        total: Floats = np.cumsum(rows(values), axis=1)[:, -1]
        return total

    wd = w * d
    weights, a, b = sums(w), sums(wd), sums(wd * d)
    g = sums(np.where(point, np.abs(wd) * m, 0.0))
    rho = rows(np.where(point, m / np.abs(y), math.inf)).min(axis=1)
    least = rows(np.where(point, m, math.inf)).min(axis=1)
    there = weights > 0.0
    first = _total(np.where(there, np.fmin(b * rho, g) ** 2, 0.0))
    second = _total(np.where(there, (a * least) ** 2, 0.0))
    third = _total(np.where(there, (weights * least) ** 2, 0.0))
    scale = (np.sqrt(first) + np.sqrt(second)) * inverse
    return scale, np.sqrt(third) * iw + np.abs(center) * scale
