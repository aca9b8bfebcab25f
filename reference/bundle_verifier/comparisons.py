"""What is compared with what, in which order, and the numbers of each comparison; of a subject at f32."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bundle_verifier.budget import budget
from bundle_verifier.case import Case, tensor_name
from bundle_verifier.derived import derived
from bundle_verifier.evidence import MODES, Captures, Evidence, Outcome
from bundle_verifier.found import Found, Numbers
from bundle_verifier.plan import NO_TRAITS, Required, Traits
from bundle_verifier.statistics import Rule, Statistics, compare
from bundle_verifier.systematic import Slice, U
from bundle_verifier.tensor import Tensor, spans

EXACT = Rule(None)
ITSELF = "itself"


@dataclass(frozen=True, slots=True)
class Task:
    """One comparison of a case that is to be made."""

    required: Required
    mode: str
    reference: str
    how: str


@dataclass(frozen=True, slots=True)
class PeerTask:
    label: str
    mode: str
    required: Required


@dataclass(slots=True)
class PeerObservation:
    task: PeerTask
    found: Found


def tasks(evidence: Evidence, case: Case) -> Iterator[Task]:
    for required in evidence.plan.required(case, "run", "f32", evidence.traits):
        for how, reference in _references(evidence, required):
            yield Task(required, "run", reference, how)
    if evidence.references:
        for required in evidence.plan.required(case, "replay", "f32", evidence.traits):
            yield Task(required, "replay", evidence.oracle, "replay")


def _references(evidence: Evidence, required: Required) -> list[tuple[str, str]]:
    rule = required.activation.rule
    if rule == "derived":
        return [("derived", ITSELF)]
    if rule == "tie":
        return [("tie", f"{name}@f64") for name in evidence.references]
    if evidence.half and required.activation.kind == "float":
        return [("half", evidence.oracle)] if evidence.references else []
    found = [(rule, label) for label in evidence.peers]
    if rule == "classic" and evidence.references:
        found.append((rule, evidence.oracle))
    return found


def peer_tasks(evidence: Evidence, case: Case) -> Iterator[PeerTask]:
    """Every reference measured as if it were the subject."""
    rules = ("classic", "exact") if evidence.half else ("classic",)
    traits = Traits(False, evidence.traits.tokenizer)
    for label in evidence.measured:
        for required in evidence.plan.required(case, "run", "f32", traits):
            floats = not evidence.half or required.activation.kind == "float"
            if required.activation.rule in rules and floats:
                yield PeerTask(label, "run", required)
        for required in evidence.plan.required(case, "replay", "f32", traits):
            if required.activation.kind == "float":
                yield PeerTask(label, "replay", required)


def quorum_tasks(evidence: Evidence, case: Case) -> Iterator[PeerTask]:
    """Every other reference with the first, at f64."""
    traits = Traits(NO_TRAITS.preallocated_cache, case.has_texts)
    for mode in MODES:
        for name in evidence.references[1:]:
            for required in evidence.plan.required(case, mode, "f64", traits):
                yield PeerTask(f"{name}@f64", mode, required)


def worst_peers(evidence: Evidence, observations: list[PeerObservation]) -> dict[str, float]:
    """By tensor of the run, the largest rmse among those who are not the subject; NaN raises nothing."""
    worst: dict[str, float] = {}
    for observation in observations:
        task, found = observation.task, observation.found
        if task.mode == "run" and task.label != evidence.subject and isinstance(found, Numbers):
            rmse = 0.0 if math.isnan(found.rmse) else found.rmse
            worst[task.required.tensor] = max(worst.get(task.required.tensor, 0.0), rmse)
    return worst


def chained_allowed(evidence: Evidence, task: Task, found: Found, worst: dict[str, float]) -> float | None:
    """A chained run may be off three times what the worst peer is, and one rounding of its largest value."""
    concerned = task.mode == "run" and bool(evidence.references) and task.reference == evidence.oracle
    if not concerned or task.required.tensor not in worst or not isinstance(found, Numbers) or not found.of_floats:
        return None
    return 3.0 * worst[task.required.tensor] + U * found.largest


class CaseComparer:
    """Makes the comparisons of one case."""

    def __init__(self, evidence: Evidence, case: Case, captures: Captures, confidence: float) -> None:
        self.evidence, self.plan, self.case, self.captures = evidence, evidence.plan, case, captures
        self._confidence = confidence
        self._logit_error: float | None = None

    def outcome(
        self, task: Task, worst: dict[str, float], claimed: float | None
    ) -> tuple[Statistics | Outcome, float | None]:
        """And what a chained run may be off, where the comparison takes it; `worst`: rmse of peers, by tensor."""
        required = task.required
        match task.how:
            case "derived":
                return self._with_itself(required), None
            case "tie":
                return self._tokens(required, task.reference), None
            case "exact":
                return self.pair(required, "subject", task.reference, "run", EXACT), None
            case "replay":
                return self.replay("subject", required), None
            case _:
                return self.pair(required, "subject", task.reference, "run", _run_rule(required)), None

    def observe(self, task: PeerTask) -> Statistics | Outcome:
        if task.mode == "replay":
            return self.replay(task.label, task.required)
        return self.pair(task.required, task.label, self.evidence.oracle, "run", _run_rule(task.required))

    def pair(self, required: Required, side: str, judge: str, mode: str, rule: Rule) -> Statistics | Outcome:
        actual = self.captures.fetch(side, mode, required)
        if isinstance(actual, Outcome):
            return actual
        expected = self.captures.fetch(judge, mode, required)
        if isinstance(expected, Outcome):
            return expected
        keep = required.activation.rule == "tie"
        return compare(actual, expected, rule, judge.endswith("@f64"), keep)

    def replay(self, side: str, required: Required) -> Statistics | Outcome:
        activation, oracle = required.activation, self.evidence.oracle
        if activation.kind != "float":
            return self.pair(required, side, oracle, "replay", EXACT)
        tolerances = {"exact": (0.0, U), "derived": (0.0, 0.0)}
        rule = Rule(tolerances.get(activation.rule, (activation.atol, activation.rtol)))
        actual = self.captures.fetch(side, "replay", required)
        expected = actual if isinstance(actual, Outcome) else self.captures.fetch(oracle, "replay", required)
        magnitude = expected
        if activation.slices is not None and not isinstance(expected, Outcome):
            magnitude = self.magnitude(required)
        if isinstance(actual, Outcome) or isinstance(expected, Outcome) or isinstance(magnitude, Outcome):
            return next(side for side in (actual, expected, magnitude) if isinstance(side, Outcome))
        statistics = compare(actual, expected, rule, against_oracle=True)
        if activation.slices is not None:
            slices = [Slice.of(text, activation.shape, required.shape) for text in activation.slices]
            shared, c = activation.shared_rows, self._confidence
            statistics.budget = budget(actual, expected, magnitude, slices, shared, c, U)
        return statistics

    def magnitude(self, required: Required) -> Tensor | Outcome:
        name = tensor_name(required.step, f"magnitude/{required.plain}")
        return self.captures.fetch(self.evidence.oracle, "replay", required, name)

    def _with_itself(self, required: Required) -> Statistics | Outcome:
        actual = self.captures.fetch("subject", "run", required)
        if isinstance(actual, Outcome):
            return actual
        expected = derived(self.plan, self.case, self.captures, required)
        return expected if isinstance(expected, Outcome) else compare(actual, expected, EXACT)

    def _tokens(self, required: Required, judge: str) -> Statistics | Outcome:
        """Ids that differ are ties where the oracle's logits of the two are closer than rounding can tell."""
        statistics = self.pair(required, "subject", judge, "run", EXACT)
        if isinstance(statistics, Outcome) or statistics.violations == 0:
            return statistics
        name = "generated.logits" if required.step is None else tensor_name(required.step, "logits.last")
        logits = self.captures.named(self.evidence.oracle, "run", name)
        vocabulary = self.plan.sizes["V"]
        if logits is None or logits.size != required.elements * vocabulary:
            return Outcome("missing", f"{self.evidence.oracle} (`{name}`)")
        bound = 6.0 * self._error_of_logits()
        for position in statistics.violating:
            pair = self.logits_of(logits, vocabulary, required, position, "run", judge)
            statistics.ties += pair is not None and abs(pair[0] - pair[1]) <= bound
        statistics.violations -= statistics.ties
        return statistics

    def logits_of(
        self, logits: Tensor, vocabulary: int, required: Required, position: int, mode: str, judge: str
    ) -> tuple[float, float] | None:
        """The oracle's logits of the two tokens that stand there, if they are tokens."""
        values: list[float] = []
        for side in ("subject", judge):
            ids = self.captures.fetch(side, mode, required)
            assert not isinstance(ids, Outcome)  # both were compared
            token = int(ids.part(position, position + 1)[0])
            if not 0 <= token < vocabulary:
                return None
            place = position * vocabulary + token
            values.append(float(logits.part(place, place + 1)[0]))
        return values[0], values[1]

    def _error_of_logits(self) -> float:
        if self._logit_error is None:
            name = tensor_name(self.case.last_step, "logits.last")
            oracle = self.captures.named(self.evidence.oracle, "run", name)
            errors = [0.0]
            for peer in self.evidence.peers:
                found = self.captures.named(peer, "run", name)
                if oracle is not None and found is not None and found.size == oracle.size:
                    errors.append(_largest_difference(found, oracle))
            self._logit_error = max(errors)
        return self._logit_error


def _largest_difference(a: Tensor, b: Tensor) -> float:
    """0 if it is not finite."""
    largest = 0.0
    with np.errstate(all="ignore"):
        for start, stop in spans(a.size):
            error = np.abs(a.part(start, stop).astype(np.float64) - b.part(start, stop).astype(np.float64)).max()
            if not np.isfinite(error):
                return 0.0
            largest = max(largest, float(error))
    return largest


def _run_rule(required: Required) -> Rule:
    activation = required.activation
    return Rule(activation.chained or (activation.atol, activation.rtol))
