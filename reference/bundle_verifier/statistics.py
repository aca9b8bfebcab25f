"""The classic statistics of two tensors of one shape, chunk by chunk, summed in the order of the format."""

import math
import sys
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bundle_verifier.budget import Budget
from bundle_verifier.elements import Element, multi_index
from bundle_verifier.tensor import Floats, Tensor, Values, spans

Mask = NDArray[np.bool_]

BLOCK, LANES, MOST_WORST = 512, 16, 5
STARTS = np.array([5e-324, *(float(f"1e{power}") for power in range(-11, 3))])
LEAST_SQUARES = sys.float_info.min / 2.0**-52


@dataclass(frozen=True)
class Rule:
    """Bit-exact if there is no tolerance."""

    tolerance: tuple[float, float] | None


@dataclass
class Statistics:
    shape: tuple[int, ...]
    of_floats: bool
    elements: int = 0
    violations: int = 0
    non_finite: dict[str, int] = field(default_factory=dict)
    max_abs: float = 0.0
    mean_abs: float = 0.0
    max_rel: float = 0.0
    rmse: float = 0.0
    cosine: float | None = None
    max_ulp: int | None = None
    used: float = 0.0
    range: tuple[float, float] | None = None
    buckets: list[int] = field(default_factory=list)
    worst: list[Element] = field(default_factory=list)
    ties: int = 0
    tie_bounds: tuple[int, int] | None = None  # the least and the most that there may be
    budget: Budget | None = None


def compare(actual: Tensor, expected: Tensor, rule: Rule, against_oracle: bool = False) -> Statistics:
    """`against_oracle`: F32 beside F64, ULP counted in F32."""
    tally = _Tally(actual, rule, against_oracle)
    with np.errstate(all="ignore"):
        for start, stop in spans(actual.size):
            tally.add(start, actual.part(start, stop), expected.part(start, stop))
    return tally.statistics()


def ordered_sums(values: Floats, chosen: Mask) -> list[float]:
    """Of each row, one chunk: blocks of 512, the chosen values of each moved together, dealt to 16 lanes, in order."""
    rows, size = values.shape
    blocks = max(-(-size // BLOCK), 1)
    padded = np.zeros((rows, blocks, BLOCK))
    if chosen.all():
        padded.reshape(rows, -1)[:, :size] = values
    else:
        places, columns = np.divmod(np.flatnonzero(chosen), BLOCK)
        mask = np.zeros((blocks, BLOCK), dtype=np.int64)
        mask[places, columns] = 1
        padded[:, places, (np.cumsum(mask, axis=1) - 1)[places, columns]] = values[:, chosen]
    lanes = padded.reshape(rows, blocks, BLOCK // LANES, LANES).cumsum(axis=2)[:, :, -1]
    return [float(total) for total in lanes.cumsum(axis=2)[:, :, -1].cumsum(axis=1)[:, -1]]


@dataclass(frozen=True)
class _Pairs:
    """Of one chunk."""

    actual: Floats
    expected: Floats
    error: Floats
    finite: Mask
    satisfied: Mask
    allowed: Floats  # 0 under bit-exact
    ratio: Floats  # error / allowed; under bit-exact the error itself


Candidate = tuple[int, float, int, float, float, float, float]
"""Group, −rank and position (in ascending order the worst comes first); actual, expected, error, allowed."""


class _Tally:
    def __init__(self, actual: Tensor, rule: Rule, against_oracle: bool) -> None:
        self._rule, self._against_oracle = rule, against_oracle
        self._found = Statistics(actual.shape, actual.is_float, actual.size)
        self._found.non_finite = dict.fromkeys(NON_FINITE, 0)
        self._found.max_ulp = 0 if actual.is_float else None
        self._sums = dict.fromkeys(("error", "square", "both", "actual", "expected"), 0.0)
        self._buckets = np.zeros(STARTS.size + 1, dtype=np.int64)
        self._pairs = 0  # finite ones
        self._worst: list[Candidate] = []

    def add(self, start: int, actual: Values, expected: Values) -> None:
        found, pairs = self._found, _pairs(actual, expected, self._rule)
        violation, finite = ~pairs.satisfied, pairs.finite
        found.violations += int(violation.sum())
        for name, count in _non_finite(pairs.actual, pairs.expected, finite).items():
            found.non_finite[name] += count
        error = pairs.error if finite.all() else pairs.error[finite]
        self._pairs += error.size
        found.max_abs = max(found.max_abs, float(error.max(initial=0.0)))
        if self._rule.tolerance is None:
            found.used = math.inf if found.max_abs > 0.0 else 0.0
        else:
            found.used = max(found.used, float(pairs.ratio[finite].max(initial=0.0)))
        found.max_rel = max(found.max_rel, _max_rel(pairs))
        self._add_sums(pairs)
        if found.max_ulp is not None:
            found.max_ulp = max(found.max_ulp, _max_ulp(actual, expected, finite, self._against_oracle))
        found.range = _wider(found.range, pairs.actual)
        self._buckets += np.bincount(np.searchsorted(STARTS, error, side="right"), minlength=STARTS.size + 1)
        self._worst = sorted([*self._worst, *self._candidates(start, pairs, violation)], key=_rank)[:MOST_WORST]

    def _add_sums(self, pairs: _Pairs) -> None:
        a, e, error = pairs.actual, pairs.expected, pairs.error
        products = np.stack([error, error * error, a * e, a * a, e * e])
        for name, total in zip(self._sums, ordered_sums(products, pairs.finite), strict=True):
            self._sums[name] += total

    def _candidates(self, start: int, pairs: _Pairs, violation: Mask) -> list[Candidate]:
        groups = [
            np.flatnonzero(violation & ~pairs.finite),
            np.flatnonzero(violation & pairs.finite),
            np.flatnonzero(~violation & pairs.finite & (pairs.error > 0.0)),
        ]
        chosen: list[tuple[int, int]] = [(0, int(i)) for i in groups[0][:MOST_WORST]]
        for number in (1, 2):
            room = MOST_WORST - len(chosen)
            chosen += [(number, int(i)) for i in _highest(groups[number], pairs.ratio, room)]
        return [self._candidate(start, group, i, pairs) for group, i in chosen]

    def _candidate(self, start: int, group: int, i: int, pairs: _Pairs) -> Candidate:
        outside = group == 0 or self._rule.tolerance is None
        rank = 0.0 if group == 0 else -float(pairs.ratio[i])
        allowed = 0.0 if outside else float(pairs.allowed[i])
        return group, rank, start + i, float(pairs.actual[i]), float(pairs.expected[i]), float(pairs.error[i]), allowed

    def statistics(self) -> Statistics:
        found, sums = self._found, self._sums
        if self._pairs:
            found.mean_abs, found.rmse = sums["error"] / self._pairs, math.sqrt(sums["square"] / self._pairs)
        found.cosine = _cosine(sums["both"], sums["actual"], sums["expected"])
        found.buckets = [int(count) for count in self._buckets]
        kept = self._worst[: None if found.violations else 1]
        found.worst = [Element(multi_index(found.shape, place), *numbers) for _, _, place, *numbers in kept]
        return found


NON_FINITE = ("actual_nan", "expected_nan", "actual_infinite", "expected_infinite", "same_infinity")


def _rank(candidate: Candidate) -> tuple[int, float, int]:
    return candidate[:3]


def _pairs(actual: Values, expected: Values, rule: Rule) -> _Pairs:
    a, e = actual.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(e)
    error = np.abs(a - e) if actual.dtype.kind == "f" else _integer_error(actual, expected)
    if rule.tolerance is None:
        allowed, ratio = np.zeros(a.size), error
        same = _bits(actual) == _bits(expected)
    else:
        atol, rtol = rule.tolerance
        allowed = atol + rtol * np.abs(e)
        ratio = np.where(error == 0.0, 0.0, np.where(np.isinf(error), math.inf, error / allowed))
        same = (error <= allowed) & np.isfinite(error)
    satisfied = same if finite.all() else np.where(finite, same, np.isinf(a) & (a == e))
    return _Pairs(a, e, error, finite, satisfied, allowed, ratio)


def _integer_error(actual: Values, expected: Values) -> Floats:
    a, e = actual.astype(np.int64), expected.astype(np.int64)
    high, low = np.maximum(a, e).view(np.uint64), np.minimum(a, e).view(np.uint64)
    return (high - low).astype(np.float64)


def _bits(values: Values) -> Values:
    return values.view(f"u{values.dtype.itemsize}")


def _non_finite(a: Floats, e: Floats, finite: Mask) -> dict[str, int]:
    if finite.all():
        return {}
    masks = (np.isnan(a), np.isnan(e), np.isinf(a), np.isinf(e), np.isinf(a) & (a == e))
    return {name: int(mask.sum()) for name, mask in zip(NON_FINITE, masks, strict=True)}


def _max_rel(pairs: _Pairs) -> float:
    chosen = pairs.finite & (pairs.expected != 0.0)
    return float((pairs.error[chosen] / np.abs(pairs.expected[chosen])).max(initial=0.0))


def _cosine(both: float, aa: float, ee: float) -> float | None:
    if not all(map(math.isfinite, (both, aa, ee))) or aa < LEAST_SQUARES or ee < LEAST_SQUARES:
        return None
    product = math.sqrt(aa) * math.sqrt(ee)
    return min(max(both / product, -1.0), 1.0) if math.isfinite(product) else None


def _max_ulp(actual: Values, expected: Values, finite: Mask, against_oracle: bool) -> int:
    if actual.dtype.itemsize != 4:
        return 0  # only the quorum compares F64 with F64, and it records no ULP
    a, e = actual, expected.astype(np.float32)
    if against_oracle:
        finite = finite & np.isfinite(e)
    return int(np.abs(ulp_keys(a[finite]) - ulp_keys(e[finite])).max(initial=0))


def ulp_keys(values: NDArray[np.float32]) -> NDArray[np.int64]:
    bits = values.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(2**31) - bits, bits)


def _wider(range_: tuple[float, float] | None, actual: Floats) -> tuple[float, float] | None:
    finite = actual[np.isfinite(actual)]
    if finite.size == 0:
        return range_
    low, high = float(finite.min()), float(finite.max())
    return (low, high) if range_ is None else (min(low, range_[0]), max(high, range_[1]))


def _highest(group: NDArray[np.intp], ranks: Floats, most: int) -> list[np.intp]:
    """The positions of highest rank, the first ones where ranks are the same."""
    if most <= 0 or group.size == 0:
        return []
    values = ranks[group]
    if group.size > most:
        least = np.partition(values, group.size - most)[group.size - most]
        group, values = group[values >= least], values[values >= least]
    return list(group[np.argsort(-values, kind="stable")][:most])
