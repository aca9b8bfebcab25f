"""Whether the references agree with each other at f64: who disagrees may not judge."""

import math

import numpy as np

from bundle_verifier.assayed import Assayed, QuorumObservation
from bundle_verifier.checks import Finding
from bundle_verifier.comparisons import ITSELF, PeerTask
from bundle_verifier.evidence import Captures, Evidence, Outcome
from bundle_verifier.found import Numbers, numbers_of
from bundle_verifier.statistics import Rule, compare
from bundle_verifier.tensor import Tensor

ALLOWED = 2.0**16 * 2.0**-53  # of the largest value of a tensor


class Quorum:
    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self.compared = self.required = 0
        self.used = 0.0
        self.worst: str | None = None
        self.disagreement: Finding | None = None

    def add(self, assayed: Assayed) -> None:
        for observation in assayed.quorum:
            self.required += 1
            where = Finding(assayed.case.id, observation.task.required.tensor, "exact")
            found = observation.found
            if isinstance(found, Numbers):
                self.compared += found.elements > 0
                if found.of_floats and worse(found.used, self.used):
                    self.used, self.worst = found.used, f"{where.case}: {where.tensor}"
            if observation.disagrees:
                self.disagreement = self.disagreement or where

    def verdict(self, assayed: list[Assayed]) -> str:
        references = len(self._evidence.references)
        if references == 0:
            return "incomplete"
        if self.disagreement is not None:
            return "error"
        if not _as_claimed(self._evidence, assayed):
            return "incomplete"
        if references == 1:
            return "conditional"
        return "incomplete" if self.required == 0 or self.compared < self.required else "pass"


def observe(evidence: Evidence, captures: Captures, task: PeerTask) -> QuorumObservation:
    actual = captures.fetch(task.label, task.mode, task.required)
    if isinstance(actual, Outcome):
        return QuorumObservation(task, actual)
    expected = captures.fetch(evidence.oracle, task.mode, task.required)
    if isinstance(expected, Outcome):
        return QuorumObservation(task, expected)
    rule = Rule((_largest(expected) * ALLOWED, 0.0)) if expected.is_float else Rule(None)
    return QuorumObservation(task, numbers_of(compare(actual, expected, rule)))


def _largest(tensor: Tensor) -> float:
    found = (np.abs(values[np.isfinite(values)]).max(initial=0.0) for _, values in tensor.chunks())
    return float(max(found, default=0.0))


def _as_claimed(evidence: Evidence, assayed: list[Assayed]) -> bool:
    """Every reference judges in every case, nobody else does, and no two have one name."""
    names = evidence.references
    if len(set(names)) != len(names):
        return False
    known = {f"{name}@{precision}": name for name in names for precision in (evidence.peer_precision, "f64")}
    for case in assayed:
        labels = {c.task.reference for c in case.comparisons} - {ITSELF}
        if not labels <= set(known) or {known[label] for label in labels} != set(names):
            return False
    return True


def worse(a: float, b: float) -> bool:
    """NaN is worse than any number."""
    return (math.isnan(a) and not math.isnan(b)) or a > b
