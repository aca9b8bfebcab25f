"""Systematic error: a scale and an offset that all elements of an index share, and what rounding may give them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundle_verifier.tensor import Floats, Tensor, row_spans, spans

Indices = NDArray[np.intp]

U = 2.0**-24
ROOT_THREE = math.sqrt(3.0)


@dataclass(frozen=True, slots=True)
class Systematic:
    axis: int | None
    paired: bool
    index: int | None
    scale: float
    scale_allowed: float
    offset: float
    offset_allowed: float
    used: float


@dataclass(frozen=True)
class Slice:
    """Index of an element: its position // stride, modulo count."""

    axis: int | None
    paired: bool
    stride: int
    count: int

    @classmethod
    def of(cls, text: str, symbols: tuple[str, ...], shape: tuple[int, ...]) -> "Slice":
        if text == "tensor":
            return cls(None, False, 1, 1)
        if text == "columns":
            return cls(len(shape) - 2, True, 1, shape[-2] * shape[-1])
        axis = len(shape) - 1 if text == "last" else symbols.index(text)
        return cls(axis, False, math.prod(shape[axis + 1 :]), shape[axis])

    def indices(self, positions: Indices) -> Indices:
        if self.axis is None:
            return np.zeros(positions.size, dtype=np.intp)
        return (positions // self.stride) % self.count

    def whole_rows(self, shape: tuple[int, ...]) -> bool:
        """Whether each index consists of whole rows of the last dimension."""
        return not self.paired and bool(shape) and shape[-1] >= 2 and (self.axis is None or self.axis < len(shape) - 1)


@dataclass
class Fits:
    """Of every index of a slice: whether there is a result, and its numbers."""

    slice_: Slice
    there: NDArray[np.bool_]
    scale: Floats
    scale_allowed: Floats
    offset: Floats
    offset_allowed: Floats
    used: Floats

    def at(self, index: int) -> Systematic | None:
        if not 0 <= index < self.slice_.count or not self.there[index]:
            return None
        values = (self.scale, self.scale_allowed, self.offset, self.offset_allowed, self.used)
        shown = None if self.slice_.axis is None else index
        return Systematic(self.slice_.axis, self.slice_.paired, shown, *(float(value[index]) for value in values))

    def worst(self) -> Systematic | None:
        """A later one replaces the one so far unless it takes less or as much."""
        candidates = np.flatnonzero(self.there)
        if candidates.size == 0:
            return None
        used = self.used[candidates]
        if not np.isnan(used).any():
            return self.at(int(candidates[int(np.argmax(used))]))
        best = 0
        for later in range(1, used.size):
            if not used[later] <= used[best]:
                best = later
        return self.at(int(candidates[best]))


@dataclass(frozen=True)
class _Points:
    """The elements of one chunk that count, with their indices."""

    index: Indices
    row: Indices  # of the last dimension, from the first of the chunk
    e: Floats
    y: Floats
    m: Floats
    w: Floats


class _Source:
    def __init__(self, actual: Tensor, oracle: Tensor, magnitude: Tensor, slice_: Slice, by_rows: bool) -> None:
        self.actual, self.oracle, self.magnitude, self.slice_ = actual, oracle, magnitude, slice_
        self.width = actual.shape[-1] if by_rows else 1
        self.by_rows = by_rows
        self._only: _Points | None = None  # of a tensor of one chunk

    def chunks(self) -> "list[tuple[int, int]]":
        size = self.actual.size
        return list(row_spans(size, self.width) if self.by_rows else spans(size))

    def points(self, start: int, stop: int) -> _Points:
        if self._only is not None:
            return self._only
        y, m = self.oracle.part(start, stop), self.magnitude.part(start, stop).astype(np.float64)
        e = self.actual.part(start, stop).astype(np.float64) - y
        w = 1.0 / (m * m)
        point = np.isfinite(e) & (m > 0.0) & (w != 0.0) & np.isfinite(w)
        positions = np.flatnonzero(point)
        index = self.slice_.indices(positions + start)
        points = _Points(index, positions // self.width, e[point], y[point], m[point], w[point])
        if stop - start == self.actual.size:
            self._only = points
        return points


def fit(
    actual: Tensor, oracle: Tensor, magnitude: Tensor, slice_: Slice, shared_rows: bool, c: float, allowance: float
) -> Fits:
    by_rows = shared_rows and slice_.whole_rows(actual.shape)
    source = _Source(actual, oracle, magnitude, slice_, by_rows)
    line = _line(source)
    vs, vo = np.zeros(slice_.count), np.zeros(slice_.count)
    shared = np.zeros((3, slice_.count))
    for start, stop in source.chunks():
        points = source.points(start, stop)
        _add_variance(line, points, vs, vo)
        if by_rows:
            _add_shared(line, points, shared, source.slice_.indices(np.arange(start, stop, source.width)))
    return _fits(line, slice_, vs, vo, shared, c, allowance)


@dataclass
class _Line:
    """Pass 1 and 2: per index the weighted line through its points, or the one through the origin."""

    there: NDArray[np.bool_]
    freedom: Floats
    center: Floats
    mean: Floats
    scale: Floats
    iw: Floats
    inverse: Floats
    typical: Floats


def _line(source: _Source) -> _Line:
    count = source.slice_.count
    n, weight, sum_y, yy, sum_e = np.zeros((5, count))
    errors = np.zeros(count, dtype=np.bool_)
    for start, stop in source.chunks():
        p = source.points(start, stop)
        for total, values in ((n, np.ones(p.w.size)), (weight, p.w), (sum_y, p.w * p.y), (sum_e, p.w * p.e)):
            np.add.at(total, p.index, values)
        np.add.at(yy, p.index, (p.w * p.y) * p.y)
        errors[p.index[p.e != 0.0]] = True
    mean_y, mean_e = sum_y / weight, sum_e / weight
    spread, both = np.zeros((2, count))
    for start, stop in source.chunks():
        p = source.points(start, stop)
        d = p.y - mean_y[p.index]
        np.add.at(spread, p.index, (p.w * d) * d)
        np.add.at(both, p.index, (p.w * d) * (p.e - mean_e[p.index]))
    line = spread > 1e-12 * yy
    return _Line(
        there=(n >= 3) & (yy > 0.0) & errors,
        freedom=n - np.where(line, 2.0, 1.0),
        center=np.where(line, mean_y, 0.0),
        mean=np.where(line, mean_e, 0.0),
        scale=np.where(line, both / spread, (both + mean_y * sum_e) / yy),
        iw=np.where(line, 1.0 / weight, 0.0),
        inverse=np.where(line, 1.0 / spread, 1.0 / yy),
        typical=np.sqrt(yy / weight),
    )


def _add_variance(line: _Line, p: _Points, vs: Floats, vo: Floats) -> None:
    """Pass 3: the residuals, each as if its own point had not been fitted (HC3)."""
    i = p.index
    d = p.y - line.center[i]
    k = d * line.inverse[i]
    rest = 1.0 - p.w * (line.iw[i] + d * k)
    r = np.where(rest > 1e-9, (p.e - line.mean[i] - line.scale[i] * d) / rest, U * p.m / ROOT_THREE)
    q = p.w * r
    np.add.at(vs, i, (q * k) ** 2)
    np.add.at(vo, i, (q * (line.iw[i] - line.center[i] * k)) ** 2)


def _add_shared(line: _Line, p: _Points, shared: Floats, index_of_row: Indices) -> None:
    """A, B, C: of rows whose elements share an error (of their mean, their variance)."""
    rows = index_of_row.size
    weights, a, b, g = np.zeros((4, rows))
    rho, least = np.full((2, rows), math.inf)
    d = p.y - line.center[p.index]
    wd = p.w * d
    for total, values in ((weights, p.w), (a, wd), (b, wd * d), (g, np.abs(wd) * p.m)):
        np.add.at(total, p.row, values)
    np.minimum.at(rho, p.row, p.m / np.abs(p.y))
    np.minimum.at(least, p.row, p.m)
    there = weights > 0.0
    index = index_of_row[there]
    terms = (np.fmin(b * rho, g) ** 2, (a * least) ** 2, (weights * least) ** 2)
    for total, values in zip(shared, terms, strict=True):
        np.add.at(total, index, values[there])


def _fits(line: _Line, slice_: Slice, vs: Floats, vo: Floats, shared: Floats, c: float, allowance: float) -> Fits:
    z = ROOT_THREE * c
    t = np.sqrt(line.freedom * np.expm1(z * z / line.freedom))
    rows_scale = (np.sqrt(shared[0]) + np.sqrt(shared[1])) * line.inverse
    rows_offset = np.sqrt(shared[2]) * line.iw + np.abs(line.center) * rows_scale
    scale_allowed = allowance * U + np.fmin(t * np.sqrt(vs), c * U * np.sqrt(line.inverse)) + U * rows_scale
    spread = np.sqrt(line.iw + line.center * line.center * line.inverse)
    offset_allowed = allowance * U * line.typical + np.fmin(t * np.sqrt(vo), c * U * spread) + U * rows_offset
    offset = line.mean - line.scale * line.center
    by_scale, by_offset = np.abs(line.scale) / scale_allowed, np.abs(offset) / offset_allowed
    used = np.where(by_scale > by_offset, by_scale, by_offset)
    return Fits(slice_, line.there, line.scale, scale_allowed, offset, offset_allowed, used)
