"""Every check of a case: how many tensors were looked at, and what departs."""

import numpy as np

from bundle_verifier.case import Case
from bundle_verifier.checks import Examination, Finding, Look, UnavailableError, concerned, looked_at
from bundle_verifier.conditions import CONDITIONS
from bundle_verifier.evidence import Captures, Evidence
from bundle_verifier.rounding import Rounding
from bundle_verifier.specs import Requirement


class Examiner:
    """Of the subject's run of one case."""

    def __init__(self, evidence: Evidence, case: Case, captures: Captures, confidence: float) -> None:
        self._evidence, self._case, self._captures = evidence, case, captures
        self._rounding = Rounding.of(evidence, confidence)
        required = evidence.plan.required(case, "f32", evidence.traits_in(case))
        self._by_name = {r.tensor: r for r in required}

    def examine(self, spec: str, requirement: Requirement) -> Examination:
        chosen = looked_at(self._evidence, self._case, spec, requirement)
        tensors = concerned(self._evidence, self._case, spec, requirement)
        checked, findings = 0, []
        for required in tensors:
            evidence, case, captures = self._evidence, self._case, self._captures
            look = Look(evidence, case, captures, required, chosen, self._by_name, self._rounding)
            try:
                with np.errstate(all="ignore"):
                    held = CONDITIONS[requirement.check](look)
            except UnavailableError as error:
                findings.append(Finding(self._case.id, error.tensor, error.reason))
                continue
            checked += 1
            if not held:
                reason = "non_finite" if requirement.check == "finite" else "invariant"
                findings.append(Finding(self._case.id, required.tensor, reason))
        return Examination(checked, len(tensors), findings)
