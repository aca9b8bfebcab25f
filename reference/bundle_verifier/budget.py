"""The rounding budget: what every element may be off, and what a slice may be off together."""

import math
from dataclasses import dataclass, field

import numpy as np

from bundle_verifier.elements import Element, multi_index
from bundle_verifier.systematic import Fits, Slice, Systematic, U, fit
from bundle_verifier.tensor import Tensor, Values, spans


@dataclass
class Budget:
    used: float = 0.0
    violations: int = 0
    worst: Element | None = None
    systematic: list[Systematic] = field(default_factory=list)
    fits: list[Fits] = field(default_factory=list)  # of each slice that has a result


def budget(
    actual: Tensor,
    oracle: Tensor,
    magnitude: Tensor,
    slices: list[Slice],
    shared_rows: bool,
    c: float,
    allowance: float,
) -> Budget:
    found = Budget()
    with np.errstate(all="ignore"):
        for start, stop in spans(actual.size):
            _add(found, start, (actual.part(start, stop), oracle.part(start, stop), magnitude.part(start, stop)))
        for slice_ in slices if actual.size else []:
            fits = fit(actual, oracle, magnitude, slice_, shared_rows, c, allowance)
            worst = fits.worst()
            if worst is not None:
                found.systematic.append(worst)
                found.fits.append(fits)
    if found.worst is not None:
        position = found.worst.index[0]
        found.worst = Element(multi_index(actual.shape, position), *_numbers(found.worst))
    return found


def _add(found: Budget, start: int, values: tuple[Values, Values, Values]) -> None:
    a, e, m = (x.astype(np.float64) for x in values)
    error = np.where(a == e, 0.0, np.abs(a - e))
    allowed = U * m
    within = (error <= allowed) & np.isfinite(error) & np.isfinite(allowed)
    found.violations += int((~within).sum())
    share = np.where((error == 0.0) & (allowed >= 0.0), 0.0, error / allowed)
    nan = np.isnan(share)
    first = int(np.argmax(nan if nan.any() else share))
    used = float(share[first])
    if found.worst is None or (not math.isnan(found.used) and (math.isnan(used) or used > found.used)):
        found.used = used
        numbers = (float(a[first]), float(e[first]), float(error[first]), float(allowed[first]))
        found.worst = Element((start + first,), *numbers)


def _numbers(element: Element) -> tuple[float, float, float, float]:
    return element.actual, element.expected, element.error, element.allowed
