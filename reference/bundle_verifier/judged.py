"""The numbers of one comparison with what the oracle gives, and how far another order of summation may move them.

The oracle's values and bounds are computed in this verifier's own order. Beside each expected value stands its
`margin`, so that every number of a record is held to an interval.
"""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from bundle_verifier.budget import Budget
from bundle_verifier.operations import Array
from bundle_verifier.statistics import STARTS, Rule, Statistics, ulp_keys
from bundle_verifier.tensor import Floats, Tensor, spans

VALUES = 2.0**-20  # of the allowed error: sums at f64 in any order
BOUNDS = 2.0**-12  # relative: a bound is three digits, of products at f32 in any order
FITS = 2.0**-10  # of what is allowed: points weighted by such bounds
CHAINED = 2.0**12 * 2.0**-53  # of the largest value: a chain at f64 in another order
SUMS = 1e-12
UNBOUNDED = Rule((sys.float_info.max, 0.0))

Interval = tuple[float, float]


@dataclass
class Judged:
    """A float tensor beside the oracle's.

    `statistics` are this verifier's own numbers; `margin` is one for each element, or one for all; `bound` is what each
    may be off, where there is a budget.
    """

    statistics: Statistics
    actual: Tensor
    expected: Tensor
    margin: Tensor | float
    rule: Rule
    bound: Tensor | None = None

    def intervals(self) -> "Intervals":
        return Intervals.of(self)


def of_array(array: Array) -> Tensor:
    """An f64 array as a tensor that is read in pieces."""
    flat = np.ascontiguousarray(array, "<f8").reshape(-1)
    return Tensor("F64", array.shape, lambda start, stop: flat[start // 8 : stop // 8].tobytes())


def margin_of(bound: Tensor, unit: float) -> Tensor:
    return Tensor(
        "F64",
        bound.shape,
        lambda start, stop: (VALUES * unit * bound.part(start // 8, stop // 8).astype(np.float64)).tobytes(),
    )


@dataclass
class Intervals:
    """From the least to the most that each number may be."""

    elements: int
    non_finite: dict[str, int]
    range: tuple[float, float] | None
    max_abs: Interval = (0.0, 0.0)
    mean_abs: Interval = (0.0, 0.0)
    rmse: Interval = (0.0, 0.0)
    max_rel: Interval = (0.0, 0.0)
    max_ulp: Interval = (0.0, 0.0)
    used: Interval = (0.0, 0.0)
    violations: tuple[int, int] = (0, 0)
    below: list[tuple[int, int]] = field(default_factory=list)  # elements with an error below each start of a bucket
    budget_used: Interval = (0.0, 0.0)
    budget_violations: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, judged: Judged) -> "Intervals":
        tally = _Tally(judged)
        with np.errstate(all="ignore"):
            for start, stop in spans(judged.actual.size):
                tally.add(start, stop)
        return tally.intervals()


class _Tally:
    def __init__(self, judged: Judged) -> None:
        self._judged = judged
        own: Budget | Statistics = judged.statistics
        assert isinstance(own, Statistics)
        self._found = Intervals(judged.actual.size, dict(own.non_finite), own.range)
        self._sums = np.zeros((2, 2))  # of errors and squares, least and most
        self._pairs = 0
        self._below = np.zeros((2, STARTS.size), dtype=np.int64)

    def add(self, start: int, stop: int) -> None:
        judged, found = self._judged, self._found
        a, e, m = (x.astype(np.float64) for x in self._parts(start, stop))
        finite = np.isfinite(a) & np.isfinite(e)
        if judged.bound is not None:
            self._add_budget(a, e, m, judged.bound.part(start, stop).astype(np.float64))
        outside = self._outside(a, e, finite)
        found.violations = (found.violations[0] + outside, found.violations[1] + outside)
        a, e, m = a[finite], e[finite], m[finite]
        if a.size == 0:
            return
        error = np.abs(a - e)
        low, high = np.maximum(error - m, 0.0), error + m
        self._pairs += a.size
        found.max_abs = _wider(found.max_abs, low, high)
        for index, bound in enumerate((low, high)):
            self._sums[:, index] += (bound.sum(), (bound * bound).sum())
        self._below += [[(high < s).sum() for s in STARTS], [(low < s).sum() for s in STARTS]]
        size = np.abs(e)
        least = np.maximum(size - m, 0.0)
        there = size > 0.0
        relative_high = np.where(least > 0.0, high / least, np.where(high > 0.0, math.inf, 0.0))
        found.max_rel = _wider(found.max_rel, np.where(there & (least > 0.0), low / (size + m), 0.0), relative_high)
        self._add_used(low, high, size, least, m)
        found.max_ulp = _wider(found.max_ulp, *_ulps(a, e, m))

    def _parts(self, start: int, stop: int) -> Iterator[Array]:
        judged = self._judged
        yield judged.actual.part(start, stop)
        yield judged.expected.part(start, stop)
        margin = judged.margin
        yield margin.part(start, stop) if isinstance(margin, Tensor) else np.full(stop - start, margin)

    def _outside(self, a: Floats, e: Floats, finite: Array) -> int:
        """Violations among what is not finite."""
        return int((~finite & ~(np.isinf(a) & (a == e))).sum())

    def _add_used(self, low: Floats, high: Floats, size: Floats, least: Floats, m: Floats) -> None:
        tolerance, found = self._judged.rule.tolerance, self._found
        assert tolerance is not None
        atol, rtol = tolerance
        most, few = atol + rtol * (size + m), atol + rtol * least
        shares = (_share(low, most), _share(high, few))
        found.used = _wider(found.used, *shares)
        counts = (int((~(low <= most)).sum()), int((~(high <= few)).sum()))
        found.violations = (found.violations[0] + counts[0], found.violations[1] + counts[1])

    def _add_budget(self, a: Floats, e: Floats, m: Floats, bound: Floats) -> None:
        found, allowed = self._found, U * bound
        error = np.where(a == e, 0.0, np.abs(a - e))
        exact = (a == e) & (m == 0.0)
        low, high = np.where(exact, 0.0, np.maximum(error - m, 0.0)), np.where(exact, 0.0, error + m)
        low_share, high_share = _share(low, allowed * (1.0 + BOUNDS)), _share(high, allowed * (1.0 - BOUNDS))
        found.budget_used = _wider(found.budget_used, low_share, high_share)
        out = ~((error <= allowed) & np.isfinite(error) & np.isfinite(allowed))
        clear, near = ~(low_share <= 1.0), ~(high_share <= 1.0)
        not_finite = out & ~(np.isfinite(error) & np.isfinite(allowed))
        least = int((clear | not_finite).sum())
        most = int((near | not_finite).sum())
        found.budget_violations = (found.budget_violations[0] + least, found.budget_violations[1] + most)

    def intervals(self) -> Intervals:
        found = self._found
        if self._pairs:
            means = self._sums / self._pairs
            found.mean_abs = (float(means[0, 0]), float(means[0, 1]))
            found.rmse = (math.sqrt(means[1, 0]), math.sqrt(means[1, 1]))
        found.below = [(int(low), int(high)) for low, high in self._below.T]
        return found


U = 2.0**-24


def _wider(interval: Interval, low: Floats, high: Floats) -> Interval:
    return _worse(interval[0], low), _worse(interval[1], high)


def _worse(so_far: float, found: Floats) -> float:
    if math.isnan(so_far) or np.isnan(found).any():
        return math.nan
    return max(so_far, float(found.max(initial=0.0)))


def _share(error: Floats, allowed: Floats) -> Floats:
    return np.asarray(np.where((error == 0.0) & (allowed >= 0.0), 0.0, error / allowed))


def _ulps(a: Floats, e: Floats, m: Floats) -> tuple[Floats, Floats]:
    own = ulp_keys(a.astype(np.float32))
    low, high = (e - m).astype(np.float32), (e + m).astype(np.float32)
    there = np.isfinite(low) & np.isfinite(high)
    least, most = ulp_keys(low), ulp_keys(high)
    farthest = np.maximum(np.abs(own - least), np.abs(own - most))
    nearest = np.where((least <= own) & (own <= most), 0, np.minimum(np.abs(own - least), np.abs(own - most)))
    return np.where(there, nearest, 0).astype(np.float64), np.where(there, farthest, 0).astype(np.float64)
