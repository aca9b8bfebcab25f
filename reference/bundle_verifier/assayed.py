"""What is known of each case before anything is judged: comparisons, checks, surprises, quorum, measurements."""

from dataclasses import dataclass, field

from bundle_verifier.case import Case
from bundle_verifier.checks import Examination, Finding
from bundle_verifier.found import Found, Numbers
from bundle_verifier.passed import Measured
from bundle_verifier.tasks import Measure, Pair, Task


@dataclass(slots=True)
class Comparison:
    case: Case
    task: Task
    found: Found
    chained_allowed: float | None
    verdict: str = ""
    reason: str | None = None
    tainted: bool = False  # downstream, whatever its verdict
    unclear: bool = False  # another order of summation may give it another word
    apart: float = 0.0  # by how much the error may be another, of numbers that are no record's
    used_apart: float = 0.0  # and the share of a budget

    @property
    def diverges(self) -> bool:
        return self.verdict in ("fail", "missing")

    @property
    def downstream(self) -> bool:
        return self.tainted and self.verdict != "pass"

    @property
    def compared(self) -> bool:
        return isinstance(self.found, Numbers) and self.found.elements > 0


@dataclass(slots=True)
class QuorumObservation:
    """`measured` is None where the model is needed and not at hand."""

    task: Pair
    measured: Measured | None

    @property
    def disagrees(self) -> bool:
        if self.measured is None:
            return False
        found = self.measured.found
        return found.violations > 0 if isinstance(found, Numbers) else found.mismatch


@dataclass(slots=True)
class Measurement:
    task: Measure
    measured: Measured | None


@dataclass
class Assayed:
    """`checks`: by spec and requirement."""

    case: Case
    comparisons: list[Comparison] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    quorum: list[QuorumObservation] = field(default_factory=list)
    checks: dict[tuple[str, str], Examination] = field(default_factory=dict)
    unexpected: list[Finding] = field(default_factory=list)
