"""The numbers of each comparison of a case: the subject, and whoever is measured beside it, from its own inputs."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bundle_verifier.bounds import UNIT, Bounded, Rounding
from bundle_verifier.budget import budget
from bundle_verifier.case import Case, tensor_name
from bundle_verifier.chain import largest, root_mean_square
from bundle_verifier.derived import derived
from bundle_verifier.evaluation import Evaluation, Model, Observed
from bundle_verifier.evidence import ROUNDINGS, Captures, Evidence, Outcome
from bundle_verifier.found import numbers_of
from bundle_verifier.graph import Node
from bundle_verifier.half_bounds import FORMATS, HalfRules
from bundle_verifier.judged import BOUNDS, CHAINED, UNBOUNDED, VALUES, Judged, margin_of, of_array
from bundle_verifier.operations import Array
from bundle_verifier.passed import EXACT, Measured, Pass, Passed, agreement, fed_tokens, of_tokens
from bundle_verifier.plan import Required
from bundle_verifier.problem import InvalidEvidenceError
from bundle_verifier.replicas import WAYS, chain
from bundle_verifier.rules import Rules
from bundle_verifier.specs import MOVES
from bundle_verifier.statistics import Rule, Statistics, compare
from bundle_verifier.systematic import Slice
from bundle_verifier.tasks import CHAINED as OF_A_CHAIN
from bundle_verifier.tasks import ORACLE, Measure, Pair, Task
from bundle_verifier.tensor import Tensor

Numbered = Statistics | Judged | Outcome


@dataclass(frozen=True)
class Replicas:
    """What eight correct implementations say of generated logits: what the error may be as a root mean square."""

    exact: Array
    allowed: float


class CaseComparer:
    """Makes the comparisons of one case. Without a model at hand, what needs one is None: nobody can tell it."""

    def __init__(self, evidence: Evidence, case: Case, captures: Captures, confidence: float) -> None:
        self.evidence, self.plan, self.case, self.captures = evidence, evidence.plan, case, captures
        self._rounding = Rounding(confidence, evidence.specs.judging.functions)
        self._confidence = confidence

    @cached_property
    def passed(self) -> Passed | None:
        model = self.evidence.model
        if model is None:
            return None
        try:
            return Pass(self.evidence, model, self.case, self.captures).run()
        except IndexError as error:
            raise InvalidEvidenceError("data/captures", "ids that the model has rows for", str(error)) from None

    @cached_property
    def replicas(self) -> Replicas | None:
        """Fed the subject's tokens."""
        evidence, model, roles = self.evidence, self.evidence.model, self.evidence.specs.roles
        if model is None or self.passed is None or self.passed.generated is None:
            return None
        exact = self.passed.generated
        fed = fed_tokens(self.captures, "subject", roles["generated"])
        half = evidence.precision if evidence.half else None
        worst = 0.0
        for way in WAYS:
            with np.errstate(all="ignore"):
                replica = chain(model, roles, self.case, way, half).run().generate(fed)
            found = root_mean_square(exact, replica.logits)
            worst = found if found > worst else worst
        unit = ROUNDINGS[evidence.precision]
        return Replicas(exact, evidence.specs.judging.kappa * worst + unit * largest(exact))

    def farthest(self, allowed: float, elements: int) -> float:
        """What the worst element may be off where the root mean square may be `allowed`."""
        terms = 2.0 * elements / self.evidence.specs.judging.false_alarm
        return allowed * math.sqrt(2.0 * math.log(terms))

    def outcome(self, task: Task, claimed: float | None = None) -> Numbered | None:
        """`claimed`: what the record allows a chained error to be, once that is known to be possible."""
        required = task.required
        if task.mode == OF_A_CHAIN:
            return self._by_replicas(required, claimed)
        if required.activation.judgement == "exact":
            return self._same_as(required, task.reference)
        found = self.isolated("subject", required)
        return self._with_ties(required, found) if isinstance(found, Statistics) else found

    def isolated(self, side: str, required: Required, with_fits: bool = True) -> Numbered | None:
        actual = self.captures.fetch(side, required)
        if isinstance(actual, Outcome):
            return actual
        if required.activation.judgement == "derived":
            expected = derived(self.evidence, self.case, self.captures, side, required)
            return expected if expected is None or isinstance(expected, Outcome) else compare(actual, expected, EXACT)
        if self.evidence.model is None:
            return None
        return self._from_own_inputs(self.evidence.model, side, required, actual, with_fits)

    def measure(self, task: Measure) -> Measured | None:
        if task.mode == OF_A_CHAIN:
            missing = Measured(Outcome("missing", ORACLE))
            return (
                None if self.passed is None else self.passed.measured.get((task.required.tensor, task.label), missing)
            )
        found = self.isolated(self.evidence.side(task.label), task.required, with_fits=False)
        if not isinstance(found, Judged):
            return None if found is None else Measured(numbers_of(found))
        return Measured(numbers_of(found.statistics), *margins(found))

    def pair(self, task: Pair) -> Measured | None:
        if task.judge == ORACLE:
            missing = Measured(Outcome("missing", ORACLE))
            return None if self.passed is None else self.passed.quorum.get(task.required.tensor, missing)
        actual = self.captures.fetch(task.label, task.required)
        expected = actual if isinstance(actual, Outcome) else self.captures.fetch(task.judge, task.required)
        if isinstance(actual, Outcome) or isinstance(expected, Outcome):
            missing_side = actual if isinstance(actual, Outcome) else expected
            assert isinstance(missing_side, Outcome)
            return Measured(missing_side)
        return agreement(actual, expected, self.evidence.specs.judging.roundings)

    def _same_as(self, required: Required, voice: str) -> Statistics | Outcome:
        actual = self.captures.fetch("subject", required)
        if isinstance(actual, Outcome):
            return actual
        expected = self.captures.fetch(voice, required)
        return expected if isinstance(expected, Outcome) else compare(actual, expected, EXACT)

    def _with_ties(self, required: Required, found: Statistics) -> Statistics:
        # How many tokens are not the chain's is the record's word where there is no model to run the chain.
        anything = None if found.of_floats else (0, found.elements)
        flips = anything if self.passed is None else self.passed.flips.get(required.tensor)
        if self.passed is None and flips is not None:
            found.tie_bounds = flips
        elif flips is not None and found.violations == 0:
            found.ties, found.tie_bounds = flips[0], flips
        return found

    def _from_own_inputs(
        self, model: Model, side: str, required: Required, actual: Tensor, with_fits: bool
    ) -> Statistics | Judged | Outcome:
        evaluation = Evaluation(model, self.case, self._observed(side), self._rules)
        try:
            found = evaluation.activation(required.step or 0, required.plain)
        except (ValueError, IndexError):
            return Outcome("unreadable")
        if found.value.dtype.kind != "f":
            return compare(actual, of_tokens(found.value), EXACT)
        if found.is_exact:
            narrow = found.value.astype("<f4")
            return compare(actual, Tensor.of("F32", narrow.shape, narrow.tobytes()), EXACT)
        return self._under_budget(required, actual, found, with_fits)

    def _under_budget(self, required: Required, actual: Tensor, found: Bounded, with_fits: bool) -> Judged:
        activation = required.activation
        names = activation.slices if with_fits and not self.evidence.half else ()
        slices = [Slice.of(text, activation.shape, required.shape) for text in names]
        expected, bound = of_array(found.value), _single(found.errors)
        statistics = compare(actual, expected, UNBOUNDED, against_oracle=True)
        allowance = self.evidence.specs.judging.allowance
        shared, c = activation.shared_rows, self._confidence
        statistics.budget = budget(actual, expected, bound, slices, shared, c, allowance)
        return Judged(statistics, actual, expected, margin_of(bound, UNIT), UNBOUNDED, bound)

    def _observed(self, side: str) -> Observed:
        tokens = self.evidence.specs.roles["tokens"]
        scheduled = {
            tensor_name(index, tokens): np.array([row[step.past : step.keys] for row in self.case.token_ids], np.int64)
            for index, step in enumerate(self.case.steps)
        }

        def observed(name: str) -> Array | None:
            if name in scheduled:
                return scheduled[name]
            found = self.captures.named(side, name)
            return None if found is None else found.array()

        return observed

    def _rules(self, node: Node) -> Rules:
        if not self.evidence.half or node.operation in MOVES:
            return Rules(self._rounding)
        return HalfRules(self._rounding, FORMATS[self.evidence.precision], node.rounds)

    def _by_replicas(self, required: Required, claimed: float | None) -> Judged | Outcome | None:
        actual = self.captures.fetch("subject", required)
        if isinstance(actual, Outcome):
            return actual
        if self.replicas is None:
            return None if self.evidence.model is None else Outcome("missing", ORACLE)
        exact = self.replicas.exact
        allowed = self.replicas.allowed if claimed is None else claimed
        farthest = self.farthest(allowed, exact.size)
        if not math.isfinite(farthest):
            return Outcome("unreadable")
        rule, expected = Rule((farthest, 0.0)), of_array(exact)
        statistics = compare(actual, expected, rule, against_oracle=True)
        return Judged(statistics, actual, expected, CHAINED * largest(exact), rule)


def margins(found: Judged) -> tuple[float, float]:
    """By how much the largest error may be another in another order of summation, and the share of the budget."""
    if found.statistics.budget is None or found.bound is None:
        return (found.margin if isinstance(found.margin, float) else 0.0), 0.0
    apart = VALUES * UNIT * max((largest(values) for _, values in found.bound.chunks()), default=0.0)
    return apart, VALUES + BOUNDS * found.statistics.budget.used


def _single(bounds: Array) -> Tensor:
    """Bounds at f32, rounded up, or as they are where f32 does not hold one."""
    wide = np.ascontiguousarray(bounds)
    with np.errstate(over="ignore"):
        single = wide.astype(np.float32)
    if not np.isfinite(single).all():
        return of_array(wide)
    up = np.where(single < wide, np.nextafter(single, np.float32(np.inf)), single)
    return Tensor.of("F32", wide.shape, up.astype("<f4").tobytes())
