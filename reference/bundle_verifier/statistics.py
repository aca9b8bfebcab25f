"""The classic statistics of two tensors of the same shape, summed in the order that the format gives."""

import math
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle_verifier.budget import Budget
from bundle_verifier.elements import Element, element
from bundle_verifier.tensor_file import Tensor

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

BLOCK, LANES, BLOCKS_IN_CHUNK, MOST_WORST = 512, 16, 256, 5
STARTS = np.array([5e-324, *(float(f"1e{power}") for power in range(-11, 3))])
LEAST_SQUARES = sys.float_info.min / 2.0**-52


@dataclass(frozen=True)
class Rule:
    """Bit-exact if there is no tolerance."""

    tolerance: tuple[float, float] | None


@dataclass
class Statistics:
    elements: int
    violations: int
    non_finite: dict[str, int]
    max_abs: float
    mean_abs: float
    max_rel: float
    rmse: float
    cosine: float | None
    max_ulp: int | None
    used: float
    range: tuple[float, float] | None
    buckets: list[int]
    worst: list[Element]
    ties: int = 0
    budget: Budget | None = None
    violating: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp), repr=False, compare=False)

    @property
    def of_floats(self) -> bool:
        return self.max_ulp is not None


@dataclass(frozen=True)
class _Pairs:
    shape: tuple[int, ...]
    actual: Floats
    expected: Floats
    error: Floats
    finite: Mask
    satisfied: Mask
    allowed: Floats  # 0 under bit-exact
    ratio: Floats  # error / allowed; under bit-exact the error itself


def compare(actual: Tensor, expected: Tensor, rule: Rule, against_oracle: bool = False) -> Statistics:
    """`against_oracle`: F32 beside F64, ULP counted in F32; else the dtypes are the same."""
    with np.errstate(all="ignore"):
        pairs = _pairs(actual, expected, rule)
        violation = ~pairs.satisfied
        max_abs = float(pairs.error[pairs.finite].max(initial=0.0))
        used = max_abs and math.inf if rule.tolerance is None else float(pairs.ratio[pairs.finite].max(initial=0.0))
        violations = int(violation.sum())
        count = int(pairs.finite.sum())
        square = ordered_sum(pairs.error * pairs.error, pairs.finite)
        return Statistics(
            elements=pairs.actual.size,
            violations=violations,
            non_finite=_non_finite(pairs.actual, pairs.expected),
            max_abs=max_abs,
            mean_abs=ordered_sum(pairs.error, pairs.finite) / count if count else 0.0,
            max_rel=_max_rel(pairs),
            rmse=math.sqrt(square / count) if count else 0.0,
            cosine=_cosine(pairs),
            max_ulp=_max_ulp(actual, expected, pairs.finite, against_oracle),
            used=used,
            range=_range(pairs.actual),
            buckets=_buckets(pairs.error[pairs.finite]),
            worst=_worst(pairs, rule, violation, MOST_WORST if violations else 1),
            violating=np.flatnonzero(violation),
        )


def ordered_sum(values: Floats, chosen: Mask) -> float:
    """Blocks of 512, the chosen values of each moved together, dealt to 16 lanes; lanes, blocks, chunks in order."""
    if values.size == 0:
        return 0.0
    blocks = -(-values.size // BLOCK)
    padded = np.zeros((blocks, BLOCK))
    rows, columns = np.divmod(np.flatnonzero(chosen), BLOCK)
    if rows.size != values.size:
        mask = np.zeros((blocks, BLOCK), dtype=np.int64)
        mask[rows, columns] = 1
        columns = (np.cumsum(mask, axis=1) - 1)[rows, columns]
    padded[rows, columns] = values[chosen]
    lanes = _in_order(padded.reshape(blocks, BLOCK // LANES, LANES))
    sums = _in_order(lanes)
    chunks = np.zeros(-(-blocks // BLOCKS_IN_CHUNK) * BLOCKS_IN_CHUNK)
    chunks[:blocks] = sums
    total: float = _in_order(_in_order(chunks.reshape(-1, BLOCKS_IN_CHUNK))[None, :])[0]
    return float(total)


def _in_order(values: Floats) -> Floats:
    """Sums over axis 1, one after the other."""
    total: Floats = np.cumsum(values, axis=1)[:, -1]
    return total


def _pairs(actual: Tensor, expected: Tensor, rule: Rule) -> _Pairs:
    a, e = actual.reshape(-1).astype(np.float64), expected.reshape(-1).astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(e)
    error = np.abs(a - e) if actual.dtype.kind == "f" else _integer_error(actual.reshape(-1), expected.reshape(-1))
    if rule.tolerance is None:
        allowed, ratio = np.zeros(a.size), error
        same = _bits(actual) == _bits(expected)
    else:
        atol, rtol = rule.tolerance
        allowed = atol + rtol * np.abs(e)
        ratio = np.where(error == 0.0, 0.0, np.where(np.isinf(error), math.inf, error / allowed))
        same = (error <= allowed) & np.isfinite(error)
    satisfied = np.where(finite, same, np.isinf(a) & (a == e))
    return _Pairs(actual.shape, a, e, error, finite, satisfied, allowed, ratio)


def _integer_error(actual: Tensor, expected: Tensor) -> Floats:
    a, e = actual.astype(np.int64), expected.astype(np.int64)
    high, low = np.maximum(a, e).view(np.uint64), np.minimum(a, e).view(np.uint64)
    return (high - low).astype(np.float64)


def _bits(tensor: Tensor) -> NDArray[Any]:
    flat = np.ascontiguousarray(tensor).reshape(-1)
    return flat.view(f"u{flat.dtype.itemsize}")


def _non_finite(a: Floats, e: Floats) -> dict[str, int]:
    return {
        "actual_nan": int(np.isnan(a).sum()),
        "expected_nan": int(np.isnan(e).sum()),
        "actual_infinite": int(np.isinf(a).sum()),
        "expected_infinite": int(np.isinf(e).sum()),
        "same_infinity": int((np.isinf(a) & (a == e)).sum()),
    }


def _max_rel(pairs: _Pairs) -> float:
    chosen = pairs.finite & (pairs.expected != 0.0)
    return float((pairs.error[chosen] / np.abs(pairs.expected[chosen])).max(initial=0.0))


def _cosine(pairs: _Pairs) -> float | None:
    a, e, finite = pairs.actual, pairs.expected, pairs.finite
    both, aa, ee = ordered_sum(a * e, finite), ordered_sum(a * a, finite), ordered_sum(e * e, finite)
    product = math.sqrt(aa) * math.sqrt(ee)
    if aa < LEAST_SQUARES or ee < LEAST_SQUARES or not all(map(math.isfinite, (both, aa, ee, product))):
        return None
    return min(max(both / product, -1.0), 1.0)


def _max_ulp(actual: Tensor, expected: Tensor, finite: Mask, against_oracle: bool) -> int | None:
    if actual.dtype.kind != "f":
        return None
    if actual.dtype.itemsize != 4:
        return 0  # only the quorum compares F64 with F64, and it records no ULP
    a, e = actual.reshape(-1), expected.reshape(-1).astype(np.float32)
    if against_oracle:
        finite = finite & np.isfinite(a) & np.isfinite(e)
    return int(np.abs(_keys(a[finite]) - _keys(e[finite])).max(initial=0))


def _keys(values: NDArray[np.float32]) -> NDArray[np.int64]:
    bits = values.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(2**31) - bits, bits)


def _range(actual: Floats) -> tuple[float, float] | None:
    finite = actual[np.isfinite(actual)]
    return (float(finite.min()), float(finite.max())) if finite.size else None


def _buckets(error: Floats) -> list[int]:
    counts = np.bincount(np.searchsorted(STARTS, error, side="right"), minlength=STARTS.size + 1)
    return [int(count) for count in counts]


def _worst(pairs: _Pairs, rule: Rule, violation: Mask, most: int) -> list[Element]:
    aside = np.flatnonzero(violation & ~pairs.finite)
    violating = np.flatnonzero(violation & pairs.finite)
    others = np.flatnonzero(~violation & pairs.finite & (pairs.error > 0.0))
    chosen = list(aside[:most])
    for group in (violating, others):
        chosen += _highest(group, pairs.ratio, most - len(chosen))
    found: list[Element] = []
    for position in chosen:
        outside = rule.tolerance is None or not pairs.finite[position]
        allowed = 0.0 if outside else float(pairs.allowed[position])
        found.append(element(pairs.shape, int(position), pairs.actual, pairs.expected, pairs.error, allowed))
    return found


def _highest(group: NDArray[np.intp], ranks: Floats, most: int) -> list[np.intp]:
    """The positions of highest rank, the first ones where ranks are the same."""
    if most <= 0:
        return []
    values = ranks[group]
    if group.size > most:
        least = np.partition(values, group.size - most)[group.size - most]
        group, values = group[values >= least], values[values >= least]
    return list(group[np.argsort(-values, kind="stable")][:most])
