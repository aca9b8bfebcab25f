"""What is compared with what, in which order, and the numbers of each comparison."""

import math
from dataclasses import dataclass

import numpy as np

from bundle_verifier import budget as rounding
from bundle_verifier.derived import derived
from bundle_verifier.evidence import Captures, Evidence, Outcome
from bundle_verifier.law import Case
from bundle_verifier.plan import Required, Traits
from bundle_verifier.statistics import Rule, Statistics, compare
from bundle_verifier.tensor_file import Tensor

EXACT = Rule(None)


@dataclass
class Comparison:
    case: Case
    required: Required
    mode: str
    reference: str
    outcome: Statistics | Outcome
    chained_allowed: float | None = None
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
        return isinstance(self.outcome, Statistics) and self.outcome.elements > 0


@dataclass(frozen=True)
class PeerObservation:
    label: str
    mode: str
    required: Required
    statistics: Statistics


class CaseComparer:
    """All comparisons of one case."""

    def __init__(self, evidence: Evidence, case: Case, captures: Captures, confidence: float) -> None:
        self._evidence, self._plan, self._case, self._captures = evidence, evidence.plan, case, captures
        self._confidence = confidence
        self._logit_error: float | None = None

    def comparisons(self) -> tuple[list[Comparison], list[PeerObservation]]:
        observations = self._observe_peers()
        found: list[Comparison] = []
        for required in self._plan.required(self._case, "run", "f32", self._evidence.traits):
            found += self._of_a_run(required)
        if self._evidence.references:
            for required in self._plan.required(self._case, "replay", "f32", self._evidence.traits):
                outcome = self._replay("subject", required)
                found.append(Comparison(self._case, required, "replay", self._evidence.oracle, outcome))
        self._bound_chains(found, observations)
        return found, observations

    def _of_a_run(self, required: Required) -> list[Comparison]:
        def made(reference: str, outcome: Statistics | Outcome) -> Comparison:
            return Comparison(self._case, required, "run", reference, outcome)

        evidence = self._evidence
        match required.activation.rule:
            case "derived":
                return [made("itself", self._with_itself(required))]
            case "tie":
                labels = [f"{name}@f64" for name in evidence.references]
                return [made(label, self._tokens(required, label)) for label in labels]
            case "exact":
                return [made(label, self._pair(required, "subject", label, "run", EXACT)) for label in evidence.peers]
            case _:
                rule = _run_rule(required)
                found = [made(label, self._pair(required, "subject", label, "run", rule)) for label in evidence.peers]
                if evidence.references:
                    found.append(made(evidence.oracle, self._pair(required, "subject", evidence.oracle, "run", rule)))
                return found

    def _pair(self, required: Required, side: str, judge: str, mode: str, rule: Rule) -> Statistics | Outcome:
        actual = self._captures.fetch(side, mode, required)
        if isinstance(actual, Outcome):
            return actual
        expected = self._captures.fetch(judge, mode, required)
        if isinstance(expected, Outcome):
            return expected
        return compare(actual, expected, rule, against_oracle=judge.endswith("@f64"))

    def _with_itself(self, required: Required) -> Statistics | Outcome:
        actual = self._captures.fetch("subject", "run", required)
        if isinstance(actual, Outcome):
            return actual
        expected = derived(self._plan, self._case, self._captures, required)
        return expected if isinstance(expected, Outcome) else compare(actual, expected, EXACT)

    def _replay(self, side: str, required: Required) -> Statistics | Outcome:
        activation, oracle = required.activation, self._evidence.oracle
        if activation.kind != "float":
            return self._pair(required, side, oracle, "replay", EXACT)
        tolerances = {"exact": (0.0, rounding.U), "derived": (0.0, 0.0)}
        rule = Rule(tolerances.get(activation.rule, (activation.atol, activation.rtol)))
        statistics = self._pair(required, side, oracle, "replay", rule)
        if activation.slices is None or isinstance(statistics, Outcome):
            return statistics
        magnitude = self._captures.fetch(oracle, "replay", required, f"step{required.step}/magnitude/{required.plain}")
        if isinstance(magnitude, Outcome):
            return magnitude
        actual = self._captures.fetch(side, "replay", required)
        expected = self._captures.fetch(oracle, "replay", required)
        assert not isinstance(actual, Outcome) and not isinstance(expected, Outcome)  # both were compared above
        axes = [_axis(activation.shape, text) for text in activation.slices]
        statistics.budget = rounding.budget(actual, expected, magnitude, axes, activation.shared_rows, self._confidence)
        return statistics

    def _tokens(self, required: Required, judge: str) -> Statistics | Outcome:
        """Ids that differ are ties where the oracle's logits of the two are closer than f32 can tell."""
        statistics = self._pair(required, "subject", judge, "run", EXACT)
        if isinstance(statistics, Outcome) or statistics.violations == 0:
            return statistics
        name = "generated.logits" if required.step is None else f"step{required.step}/logits.last"
        logits = self._logits(self._evidence.oracle, name)
        vocabulary = self._plan.sizes["V"]
        if logits is None or logits.size != required.elements * vocabulary:
            return Outcome("missing", f"{self._evidence.oracle} (`{name}`)")
        actual, expected = (self._captures.fetch(side, "run", required) for side in ("subject", judge))
        assert not isinstance(actual, Outcome) and not isinstance(expected, Outcome)  # both were compared above
        rows, bound = logits.reshape(-1, vocabulary), 6.0 * self._error_of_logits()
        for position in statistics.violating:
            ids = int(actual.reshape(-1)[position]), int(expected.reshape(-1)[position])
            if all(0 <= i < vocabulary for i in ids):
                gap = abs(float(rows[position, ids[0]]) - float(rows[position, ids[1]]))
                statistics.ties += gap <= bound
        statistics.violations -= statistics.ties
        return statistics

    def _logits(self, side: str, name: str) -> Tensor | None:
        file = self._captures.file(side, "run")
        return file.read(name) if file is not None and name in file.entries else None

    def _error_of_logits(self) -> float:
        if self._logit_error is None:
            name = f"step{len(self._case.schedule) - 1}/logits.last"
            oracle = self._logits(self._evidence.oracle, name)
            self._logit_error = 0.0
            for peer in self._evidence.peers:
                found = self._logits(peer, name)
                if oracle is not None and found is not None and found.size == oracle.size:
                    error = np.abs(found.reshape(-1).astype(np.float64) - oracle.reshape(-1)).max(initial=0.0)
                    self._logit_error = max(self._logit_error, float(error) if np.isfinite(error) else 0.0)
        return self._logit_error

    def _observe_peers(self) -> list[PeerObservation]:
        """Every reference's f32 measured as if it were the subject."""
        found: list[PeerObservation] = []
        traits = Traits(False, self._evidence.traits.tokenizer)
        runs = self._plan.required(self._case, "run", "f32", traits)
        replays = self._plan.required(self._case, "replay", "f32", traits)
        for label in [f"{name}@f32" for name in self._evidence.references]:
            for required in runs:
                if required.activation.rule == "classic":
                    outcome = self._pair(required, label, self._evidence.oracle, "run", _run_rule(required))
                    if isinstance(outcome, Statistics):
                        found.append(PeerObservation(label, "run", required, outcome))
            for required in replays:
                if required.activation.kind == "float":
                    outcome = self._replay(label, required)
                    if isinstance(outcome, Statistics):
                        found.append(PeerObservation(label, "replay", required, outcome))
        return found

    def _bound_chains(self, found: list[Comparison], observations: list[PeerObservation]) -> None:
        """A chained run may be off three times what the worst peer is, and one rounding of its largest value."""
        worst: dict[str, float] = {}
        for observation in observations:
            if observation.mode == "run" and observation.label != self._evidence.subject:
                name, rmse = observation.required.tensor, observation.statistics.rmse
                worst[name] = max(worst.get(name, 0.0), 0.0 if math.isnan(rmse) else rmse)
        for comparison in found:
            outcome, name = comparison.outcome, comparison.required.tensor
            if comparison.mode != "run" or comparison.reference != self._evidence.oracle or name not in worst:
                continue
            if isinstance(outcome, Statistics) and outcome.of_floats:
                largest = max(map(abs, outcome.range)) if outcome.range else 0.0
                comparison.chained_allowed = 3.0 * worst[name] + rounding.U * largest


def _run_rule(required: Required) -> Rule:
    activation = required.activation
    return Rule(activation.chained or (activation.atol, activation.rtol))


def _axis(shape: tuple[str, ...], text: str) -> tuple[bool, int | None]:
    if text == "tensor":
        return True, None
    return False, len(shape) - 1 if text == "last" else shape.index(text)
