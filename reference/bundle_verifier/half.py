"""The comparisons of a subject in half precision, where they are others than those of one at f32."""

import math
import sys

import numpy as np

from bundle_verifier.agreement import SUMS, near
from bundle_verifier.budget import budget
from bundle_verifier.case import tensor_name
from bundle_verifier.comparisons import EXACT, CaseComparer, PeerTask, Task
from bundle_verifier.evidence import ROUNDINGS, SMALLEST_NORMAL, SMALLEST_NORMALS, Outcome
from bundle_verifier.plan import Required
from bundle_verifier.statistics import Rule, Statistics, compare
from bundle_verifier.tensor import Tensor


class HalfComparer(CaseComparer):
    def outcome(
        self, task: Task, worst: dict[str, float], claimed: float | None
    ) -> tuple[Statistics | Outcome, float | None]:
        if task.how == "half":
            return self._chained(task.required, worst, claimed)
        return super().outcome(task, worst, claimed)

    def observe(self, task: PeerTask) -> Statistics | Outcome:
        if task.mode == "replay":
            return self.replay(task.label, task.required)
        rule = Rule((sys.float_info.max, 0.0))
        return self.pair(task.required, task.label, self.evidence.oracle, "run", rule)

    def replay(self, side: str, required: Required) -> Statistics | Outcome:
        oracle, activation = self.evidence.oracle, required.activation
        u, smallest = self._rounding()
        if activation.rule == "tie":
            return self._replayed_tokens(side, required)
        if activation.kind != "float":
            return self.pair(required, side, oracle, "replay", EXACT)
        if activation.slices is None:
            return self.pair(required, side, oracle, "replay", Rule((smallest, 2.0 * u)))
        actual = self.captures.fetch(side, "replay", required)
        expected = actual if isinstance(actual, Outcome) else self.captures.fetch(oracle, "replay", required)
        magnitude = expected if isinstance(expected, Outcome) else self.magnitude(required)
        if isinstance(actual, Outcome) or isinstance(expected, Outcome) or isinstance(magnitude, Outcome):
            return next(side for side in (actual, expected, magnitude) if isinstance(side, Outcome))
        rule = Rule((u * _largest(magnitude), 0.0))
        statistics = compare(actual, expected, rule, against_oracle=True)
        statistics.budget = budget(actual, expected, magnitude, [], False, 0.0, u)
        return statistics

    def _chained(
        self, required: Required, worst: dict[str, float], claimed: float | None
    ) -> tuple[Statistics | Outcome, float | None]:
        """One bound for the whole: what peers are off, and a rounding of the largest value and of the bound of all.

        Where the bound that is claimed differs in the last digits only, it is taken: sums may be taken in any order.
        """
        actual = self.captures.fetch("subject", "run", required)
        if isinstance(actual, Outcome):
            return actual, None
        expected = self.captures.fetch(self.evidence.oracle, "run", required)
        if isinstance(expected, Outcome):
            return expected, None
        if required.tensor not in worst:
            return Outcome("missing", f"a reference at {self.evidence.precision} beside the subject"), None
        typical = 0.0
        if required.activation.slices is not None:
            magnitude = self.magnitude(required)
            if isinstance(magnitude, Outcome):
                return magnitude, None
            typical = _root_mean_square(magnitude)
        allowed = 3.0 * worst[required.tensor] + self._rounding()[0] * (_largest(expected) + typical)
        if claimed is not None and near(allowed, claimed, SUMS):
            allowed = claimed
        atol = allowed * math.sqrt(actual.size)
        if not math.isfinite(atol):
            return Outcome("unreadable"), allowed
        return compare(actual, expected, Rule((atol, 0.0)), against_oracle=True), allowed

    def _replayed_tokens(self, side: str, required: Required) -> Statistics | Outcome:
        """A flip is a tie where the oracle's logits of the two tokens round to the same."""
        oracle, (u, smallest) = self.evidence.oracle, self._rounding()
        name = tensor_name(required.step, "logits.last")
        statistics = self.pair(required, side, oracle, "replay", EXACT)
        if isinstance(statistics, Outcome):
            return statistics
        logits = self.captures.named(oracle, "replay", name)
        if logits is None:
            return Outcome("missing", f"{oracle} (`{name}`)")
        vocabulary = logits.size // max(required.elements, 1)
        for position in statistics.violating:
            pair = self.logits_of(logits, vocabulary, required, position, "replay", oracle)
            if pair is not None:
                bound = 2.0 * (u * (abs(pair[0]) + abs(pair[1])) + smallest)
                statistics.ties += abs(pair[0] - pair[1]) <= bound
        statistics.violations -= statistics.ties
        return statistics

    def _rounding(self) -> tuple[float, float]:
        """u of the subject's precision, and its smallest normal number."""
        precision = self.evidence.precision
        return ROUNDINGS[precision], SMALLEST_NORMALS.get(precision, SMALLEST_NORMAL)


def _largest(tensor: Tensor) -> float:
    """Of the finite values, as they are without a sign; 0 if there is none."""
    largest = 0.0
    for _, values in tensor.chunks():
        largest = max(largest, float(np.abs(values[np.isfinite(values)]).max(initial=0.0)))
    return largest


def _root_mean_square(tensor: Tensor) -> float:
    """Summed in the order of the elements."""
    total = 0.0
    with np.errstate(all="ignore"):
        for _, chunk in tensor.chunks():
            values = chunk.astype(np.float64)
            total = float(np.cumsum(np.concatenate([[total], values * values]))[-1])
    return math.sqrt(total / tensor.size) if tensor.size else 0.0
