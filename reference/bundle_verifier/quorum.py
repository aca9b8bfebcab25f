"""Whether the references agree with each other at f64: who disagrees may not judge."""

import math
from typing import Any

import numpy as np

from bundle_verifier.checks import Finding
from bundle_verifier.evidence import Captures, Evidence, Outcome
from bundle_verifier.law import Case
from bundle_verifier.plan import Traits
from bundle_verifier.statistics import Rule, compare

ALLOWED = 2.0**16 * 2.0**-53  # of the largest value of a tensor


class Quorum:
    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self.compared = self.required = 0
        self.used = 0.0
        self.worst: str | None = None
        self.disagreement: Finding | None = None

    def add(self, case: Case, captures: Captures) -> None:
        references = [f"{name}@f64" for name in self._evidence.references]
        for mode in ("run", "replay"):
            for other in references[1:]:
                traits = Traits(False, case.has_texts)
                for required in self._evidence.plan.required(case, mode, "f64", traits):
                    self.required += 1
                    actual = captures.fetch(other, mode, required)
                    expected = actual if isinstance(actual, Outcome) else captures.fetch(references[0], mode, required)
                    where = Finding(case.id, required.tensor, "exact")
                    if isinstance(actual, Outcome) or isinstance(expected, Outcome):
                        outcome = actual if isinstance(actual, Outcome) else expected
                        assert isinstance(outcome, Outcome)  # one of the two is
                        if outcome.kind.endswith("_mismatch"):
                            self.disagreement = self.disagreement or where
                    else:
                        self._compare(where, actual, expected)

    def _compare(self, where: Finding, actual: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> None:
        rule = Rule(None)
        if expected.dtype.kind == "f":
            finite = np.abs(expected[np.isfinite(expected)])
            rule = Rule((float(finite.max(initial=0.0)) * ALLOWED, 0.0))
        statistics = compare(actual, expected, rule)
        self.compared += statistics.elements > 0
        if statistics.of_floats and worse(statistics.used, self.used):
            self.used, self.worst = statistics.used, f"{where.case}: {where.tensor}"
        if statistics.violations:
            self.disagreement = self.disagreement or where

    def verdict(self, as_claimed: bool) -> str:
        references = len(self._evidence.references)
        if references == 0:
            return "incomplete"
        if self.disagreement is not None:
            return "error"
        if not as_claimed:
            return "incomplete"
        if references == 1:
            return "conditional"
        return "incomplete" if self.required == 0 or self.compared < self.required else "pass"


def worse(a: float, b: float) -> bool:
    """NaN is worse than any number."""
    return (math.isnan(a) and not math.isnan(b)) or a > b
