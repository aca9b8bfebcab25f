"""Whether recorded numbers are within what another order of summation may make of the computed ones, and whether a word
that follows from them may be another one too.
"""

import math
from typing import Any

import numpy as np

from bundle_verifier.agreement import Difference, near, recorded_systematic, same
from bundle_verifier.elements import Element, recorded_element
from bundle_verifier.judged import BOUNDS, FITS, SUMS, UNBOUNDED, VALUES, Interval, Intervals, Judged
from bundle_verifier.spelling import measured
from bundle_verifier.systematic import Fits, Systematic
from bundle_verifier.tensor import Tensor

MOST_WORST = 5
Record = dict[str, Any]


def departures(judged: Judged, record: Record) -> list[Difference]:
    """What no order of summation explains."""
    if record["kind"] != "compared":
        return [("kind", "compared", record["kind"])]
    shape = list(judged.actual.shape)
    if shape != record["shape"]:
        return [("shape", f"{shape}", f"{record['shape']}")]
    return _Comparer(judged, record["statistics"]).differences()


def is_unclear(judged: Judged) -> bool:
    """Whether the budget's words may be others in another order of summation."""
    budget = judged.statistics.budget
    if budget is None:
        return False
    least, most = judged.intervals().budget_violations
    if least > 0:
        return False
    used = [systematic.used for systematic in budget.systematic]
    if any(value > 1.0 + FITS or math.isnan(value) for value in used):
        return most > 0
    return most > 0 or any(value > 1.0 - FITS for value in used)


class _Comparer:
    def __init__(self, judged: Judged, record: Record) -> None:
        self._judged, self._record, self._own = judged, record, judged.statistics
        self._intervals: Intervals = judged.intervals()
        self._found: list[Difference] = []

    def differences(self) -> list[Difference]:
        record, found = self._record, self._intervals
        for name in ("elements", "non_finite", "ties"):
            self._same(name, getattr(self._own, name), record[name])
        for name in ("max_abs", "mean_abs", "rmse", "max_rel"):
            self._within(name, getattr(found, name), measured(record[name]))
        self._within("max_ulp", found.max_ulp, math.nan if record["max_ulp"] is None else float(record["max_ulp"]))
        recorded_range = record["range"] and tuple(map(measured, record["range"]))
        self._same("range", self._own.range, recorded_range)
        self._between("violations", found.violations, record["violations"])
        self._used()
        self._cosine()
        self._buckets()
        self._worst()
        self._budget()
        return self._found

    def _same(self, name: str, own: object, recorded: object) -> None:
        if own != recorded:
            self._found.append((name, repr(own), repr(recorded)))

    def _within(self, name: str, interval: Interval, recorded: float) -> None:
        low, high = interval
        nan = math.isnan(low) or math.isnan(high)
        if not (math.isnan(recorded) if nan else low * (1.0 - SUMS) <= recorded <= high * (1.0 + SUMS)):
            self._found.append((name, f"{low!r} to {high!r}", repr(recorded)))

    def _between(self, name: str, interval: tuple[int, int], recorded: int) -> None:
        if not interval[0] <= recorded <= interval[1]:
            self._found.append((name, f"{interval[0]} to {interval[1]}", repr(recorded)))

    def _used(self) -> None:
        """Without a bound it is what follows from the largest error."""
        recorded = measured(self._record["used"])
        if self._judged.rule == UNBOUNDED:
            expected = measured(self._record["max_abs"]) / UNBOUNDED.tolerance[0] if UNBOUNDED.tolerance else 0.0
            self._same("used", expected, recorded)
        else:
            self._within("used", self._intervals.used, recorded)

    def _cosine(self) -> None:
        own, text = self._own.cosine, self._record["cosine"]
        if own is None or text is None:
            self._same("cosine", own, text)
        elif not abs(own - measured(text)) <= VALUES:
            self._found.append(("cosine", repr(own), text))

    def _buckets(self) -> None:
        counts: list[int] = self._record["buckets"]
        for index, interval in enumerate(self._intervals.below):
            self._between(f"buckets below {index + 1}", interval, sum(counts[: index + 1]))
        pairs = sum(self._own.buckets)
        self._same("buckets", pairs, sum(counts))

    def _worst(self) -> None:
        record = self._record
        elements = [recorded_element(entry) for entry in record["worst"]]
        aside = not all(map(math.isfinite, (e for el in elements for e in (el.actual, el.expected))))
        some = bool(elements) or (self._intervals.max_abs[0] == 0.0 and record["violations"] == 0)
        most = MOST_WORST if record["violations"] else 1
        if (
            not some
            or len(elements) > most
            or (record["violations"] and len(elements) < min(most, record["violations"]))
        ):
            self._found.append(("worst", f"the worst {most}", repr(elements)))
            return
        shares = [self._share_of(element) for element in elements]
        if not all(share is not None for share in shares) or (elements and not aside and not self._leads(elements[0])):
            self._found.append(("worst", repr(self._own.worst), repr(elements)))

    def _leads(self, first: Element) -> bool:
        share = 0.0 if first.error == 0.0 else first.error / first.allowed
        return same(share, measured(self._record["used"]))

    def _share_of(self, element: Element) -> float | None:
        """What the element takes; None where it is not one of the two tensors."""
        if not self._is_there(element):
            return None
        if not (math.isfinite(element.actual) and math.isfinite(element.expected)):
            return math.inf if element.allowed == 0.0 else None
        tolerance = self._judged.rule.tolerance
        assert tolerance is not None
        if not near(element.allowed, tolerance[0] + tolerance[1] * abs(element.expected), SUMS):
            return None
        return element.error / element.allowed

    def _is_there(self, element: Element) -> bool:
        """Whether the element is that of the two tensors, and its error that of its values."""
        judged, shape = self._judged, self._judged.actual.shape
        if len(element.index) != len(shape) or not all(i < n for i, n in zip(element.index, shape, strict=True)):
            return False
        at = int(np.ravel_multi_index(element.index, shape)) if shape else 0
        actual, expected = _at(judged.actual, at), _at(judged.expected, at)
        margin = _at(judged.margin, at) if isinstance(judged.margin, Tensor) else judged.margin
        close = same(expected, element.expected) or abs(expected - element.expected) <= margin
        with np.errstate(all="ignore"):
            error = float(np.abs(np.float64(element.actual) - np.float64(element.expected)))
        equal = element.actual == element.expected
        return (
            same(actual, element.actual) and close and (same(error, element.error) or (equal and element.error == 0.0))
        )

    def _budget(self) -> None:
        own, record = self._own.budget, self._record["budget"]
        if own is None or record is None:
            if (own is None) != (record is None):
                self._found.append(("budget", repr(own), repr(record)))
            return
        used = measured(record["used"])
        low, high = self._intervals.budget_used
        nan = math.isnan(low) or math.isnan(high)
        if not (math.isnan(used) if nan else low <= used <= high):
            self._found.append(("budget.used", f"{low!r} to {high!r}", record["used"]))
        self._between("budget.violations", self._intervals.budget_violations, record["violations"])
        if not self._budget_worst(record, used):
            self._found.append(("budget.worst", repr(own.worst), repr(record["worst"])))
        recorded = [recorded_systematic(entry) for entry in record["systematic"]]
        if len(recorded) != len(own.systematic):
            self._found.append(("budget.systematic", f"{len(own.systematic)} results", f"{len(recorded)}"))
            return
        for worst, fits, entry in zip(own.systematic, own.fits, recorded, strict=True):
            if not _same_systematic(worst, fits, entry):
                self._found.append(("budget.systematic", repr(worst), repr(entry)))

    def _budget_worst(self, record: Record, used: float) -> bool:
        if record["worst"] is None:
            return self._judged.actual.size == 0
        element = recorded_element(record["worst"])
        if not self._is_there(element):
            return False
        assert self._judged.bound is not None
        at = int(np.ravel_multi_index(element.index, self._judged.actual.shape)) if element.index else 0
        allowed = 2.0**-24 * _at(self._judged.bound, at)
        with np.errstate(all="ignore"):
            share = float(np.float64(element.error) / np.float64(element.allowed))
        share = 0.0 if element.error == 0.0 and element.allowed >= 0.0 else share
        return near(allowed, element.allowed, BOUNDS) and same(share, used)


def _at(tensor: Tensor, place: int) -> float:
    return float(tensor.part(place, place + 1)[0])


def _same_systematic(worst: Systematic, fits: Fits, recorded: Systematic) -> bool:
    """The recorded fit is the one computed for its index, and none takes more than it by more than the margin."""
    whole = worst.index is None
    if (worst.axis, worst.paired, whole) != (recorded.axis, recorded.paired, recorded.index is None):
        return False
    own = fits.at(recorded.index or 0)
    return own is not None and (
        _of_allowed(own.scale, recorded.scale, own.scale_allowed)
        and _of_allowed(own.offset, recorded.offset, own.offset_allowed)
        and near(own.scale_allowed, recorded.scale_allowed, FITS)
        and near(own.offset_allowed, recorded.offset_allowed, FITS)
        and _as_used(own.used, recorded.used)
        and _as_used(worst.used, recorded.used)
    )


def _of_allowed(a: float, b: float, unit: float) -> bool:
    return near(a, b, FITS) or (math.isfinite(unit) and abs(a - b) <= FITS * unit)


def _as_used(a: float, b: float) -> bool:
    return near(a, b, FITS) or abs(a - b) <= FITS
