"""What is compared with what, and in which order."""

from collections.abc import Iterator
from dataclasses import dataclass

from bundle_verifier.case import Case
from bundle_verifier.evidence import Evidence
from bundle_verifier.plan import Required, Traits

ITSELF, ORACLE = "itself", "graph@f64"
ISOLATED, CHAINED = "isolated", "chained"


@dataclass(frozen=True, slots=True)
class Task:
    """One comparison of a case that is to be made."""

    required: Required
    mode: str
    reference: str


@dataclass(frozen=True, slots=True)
class Measure:
    """One activation of the subject or a peer beside the oracle's: it decides nothing."""

    label: str
    mode: str
    required: Required


@dataclass(frozen=True, slots=True)
class Pair:
    """One activation of two voices."""

    label: str
    judge: str
    required: Required

    @property
    def between(self) -> str:
        return f"{self.label} against {self.judge}"


def tasks(evidence: Evidence, case: Case) -> Iterator[Task]:
    for required in _plan(evidence, case):
        match required.activation.judgement:
            case "budget":
                yield Task(required, ISOLATED, ORACLE)
            case "bits" | "derived":
                yield Task(required, ISOLATED, ITSELF)
            case "chained":
                yield Task(required, CHAINED, ORACLE)
            case "exact":
                yield from (Task(required, ISOLATED, voice) for voice in evidence.voices)


def measures(evidence: Evidence, case: Case) -> Iterator[Measure]:
    """Chained errors, the subject's first; then the peers from their own inputs."""
    plan = _plan(evidence, case)
    floats = [r for r in plan if r.activation.kind == "float" and r.activation.of_graph]
    for label in evidence.measured:
        yield from (Measure(label, CHAINED, required) for required in floats)
    for label in evidence.peers:
        yield from (Measure(label, ISOLATED, r) for r in plan if r.activation.judgement == "budget")


def pairs(evidence: Evidence, case: Case) -> Iterator[Pair]:
    """Every other reference with the first, and the first with the graph, at f64."""
    if not evidence.voices:
        return
    first, *others = evidence.voices
    traits = Traits(preallocated_cache=False, tokenizer=case.has_texts)
    for other in others:
        yield from (Pair(other, first, required) for required in evidence.plan.required(case, "f64", traits))
    yield from (Pair(first, ORACLE, r) for r in _plan(evidence, case) if r.activation.of_graph)


def _plan(evidence: Evidence, case: Case) -> list[Required]:
    return evidence.plan.required(case, "f32", evidence.traits_in(case))
