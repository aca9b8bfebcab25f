"""What is known of each case before anything is judged: comparisons, checks, what is unexpected, quorum, peers."""

from dataclasses import dataclass, field

from bundle_verifier.case import Case
from bundle_verifier.checks import Examination, Finding
from bundle_verifier.comparisons import PeerObservation, PeerTask, Task
from bundle_verifier.found import Found, Numbers


@dataclass(slots=True)
class Comparison:
    case: Case
    task: Task
    found: Found
    chained_allowed: float | None
    verdict: str = ""
    reason: str | None = None
    tainted: bool = False  # downstream, whatever its verdict

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
    task: PeerTask
    found: Found

    @property
    def disagrees(self) -> bool:
        return self.found.violations > 0 if isinstance(self.found, Numbers) else self.found.mismatch


@dataclass
class Assayed:
    """`checks`: by spec and requirement."""

    case: Case
    comparisons: list[Comparison] = field(default_factory=list)
    peers: list[PeerObservation] = field(default_factory=list)
    quorum: list[QuorumObservation] = field(default_factory=list)
    checks: dict[tuple[str, str], Examination] = field(default_factory=dict)
    unexpected: list[Finding] = field(default_factory=list)
