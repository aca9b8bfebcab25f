"""One pass over the oracle's chain of a case: voices are held to it, and chained errors are measured against it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from bundle_verifier.case import Case
from bundle_verifier.chain import Chain, close_to_a_tie, largest
from bundle_verifier.evaluation import Model
from bundle_verifier.evidence import Captures, Evidence, Outcome
from bundle_verifier.found import Found, Numbers, numbers_of
from bundle_verifier.judged import CHAINED, of_array
from bundle_verifier.operations import Array
from bundle_verifier.plan import Required
from bundle_verifier.statistics import Rule, compare
from bundle_verifier.tensor import Tensor, spans

EXACT = Rule(None)


@dataclass(slots=True)
class Measured:
    """`apart`: by how much the errors may be others in another order of summation; `used_apart`: of a share."""

    found: Found
    apart: float = 0.0
    used_apart: float = 0.0


@dataclass
class Passed:
    quorum: dict[str, Measured] = field(default_factory=dict)
    measured: dict[tuple[str, str], Measured] = field(default_factory=dict)  # by tensor and label
    flips: dict[str, tuple[int, int]] = field(default_factory=dict)  # the least and the most
    generated: Array | None = None  # logits of the oracle, fed the subject's tokens


def agreement(actual: Tensor, expected: Tensor, roundings: float) -> Measured:
    """The numbers of two computations at f64."""
    if not expected.is_float:
        return Measured(numbers_of(compare(actual, expected, EXACT)))
    found = compare(actual, expected, Rule((_largest(expected) * roundings * 2.0**-53, 0.0)))
    return Measured(numbers_of(found))


class Pass:
    def __init__(self, evidence: Evidence, model: Model, case: Case, captures: Captures) -> None:
        self._evidence, self._model, self._case, self._captures = evidence, model, case, captures
        self._roles = evidence.specs.roles
        plan = evidence.plan.required(case, "f32", evidence.traits_in(case))
        self._required = {required.tensor: required for required in plan}
        self._found = Passed()

    def run(self) -> Passed:
        chain = Chain(self._model, self._roles, self._case)
        logits: Array | None = None
        for step, name, value in chain.steps():
            required = self._required.get(f"step{step}/{name}")
            logits = value if name == self._roles["last_logits"] else logits
            if required is None:
                continue
            self._hold_voice(required, value)
            if required.activation.kind == "float":
                for label in self._evidence.measured:
                    self._measure(label, required, value)
            else:
                assert logits is not None
                self._found.flips[required.tensor] = self._flips(required, value, logits)
        if self._case.generate > 0:
            self._generation(chain)
        return self._found

    def _generation(self, chain: Chain) -> None:
        tokens = self._required.get(self._roles["generated"])
        logits = self._required.get(self._roles["generated_logits"])
        if tokens is None or logits is None:
            return
        own = chain.generate()
        self._hold_voice(tokens, own.tokens)
        self._hold_voice(logits, own.logits)
        for index, label in enumerate(self._evidence.measured):
            fed = fed_tokens(self._captures, self._evidence.side(label), tokens.tensor)
            alike = fed is None or fed == own.tokens.reshape(-1).tolist()
            generated = own if alike else chain.generate(fed)
            self._measure(label, logits, generated.logits)
            if index == 0:
                self._found.generated = generated.logits
                self._found.flips[tokens.tensor] = self._flips(tokens, generated.tokens, generated.logits)

    def _hold_voice(self, required: Required, value: Array) -> None:
        if not self._evidence.voices:
            return
        actual = self._captures.fetch(self._evidence.voices[0], required)
        if isinstance(actual, Outcome):
            self._found.quorum[required.tensor] = Measured(actual)
            return
        expected = of_array(value) if required.activation.kind == "float" else of_tokens(value)
        roundings = self._evidence.specs.judging.roundings
        found = agreement(actual, expected, roundings)
        found.used_apart = CHAINED / (roundings * 2.0**-53) if expected.is_float else 0.0
        self._found.quorum[required.tensor] = found

    def _measure(self, label: str, required: Required, value: Array) -> None:
        actual = self._captures.fetch(self._evidence.side(label), required)
        found = Measured(actual) if isinstance(actual, Outcome) else self._measured(actual, required, value)
        self._found.measured[required.tensor, label] = found

    def _measured(self, actual: Tensor, required: Required, value: Array) -> Measured:
        ceiling = None if self._evidence.half else required.activation.ceiling
        numbers = errors(actual, of_array(value), ceiling)
        apart = CHAINED * largest(value)
        if ceiling is None:
            return Measured(numbers, apart)
        atol, rtol = ceiling
        share = apart / atol if atol > 0.0 else math.inf
        return Measured(numbers, apart, share * (1.0 + rtol * numbers.used))

    def _flips(self, required: Required, value: Array, logits: Array) -> tuple[int, int]:
        """How many of the subject's tokens are not the chain's, of which some may be either."""
        found = self._captures.named("subject", required.tensor)
        if found is None or found.is_float or found.size != value.size:
            return 0, 0
        differs = found.part(0, found.size).astype(np.int64) != value.reshape(-1)
        unclear = close_to_a_tie(logits, CHAINED * largest(logits)).reshape(-1)
        return int((differs & ~unclear).sum()), int((differs | unclear).sum())


def fed_tokens(captures: Captures, side: str, name: str) -> list[int] | None:
    """The tokens that an implementation generated, row by row, if they can be read."""
    found = captures.named(side, name)
    if found is None or found.dtype not in ("I64", "I32", "U8"):
        return None
    tokens: list[int] = found.part(0, found.size).astype(np.int64).tolist()
    return tokens


def of_tokens(ids: Array) -> Tensor:
    return Tensor.of("I64", ids.shape, np.ascontiguousarray(ids, "<i8").tobytes())


def errors(actual: Tensor, expected: Tensor, ceiling: tuple[float, float] | None) -> Numbers:
    """The largest error and the root of their mean square; of a ceiling the share that they come to."""
    tally = _Errors(ceiling)
    with np.errstate(all="ignore"):
        for a, e in _parts(actual, expected):
            tally.add(a, e)
    return tally.numbers(actual.size)


class _Errors:
    def __init__(self, ceiling: tuple[float, float] | None) -> None:
        self._ceiling = ceiling
        self._max_abs = self._used = self._squares = 0.0
        self._pairs = self._violations = 0

    def add(self, a: Array, e: Array) -> None:
        finite = np.isfinite(a) & np.isfinite(e)
        self._violations += int((~finite & ~(np.isinf(a) & (a == e))).sum())
        error, size = np.abs(a[finite] - e[finite]), np.abs(e[finite])
        self._pairs += error.size
        self._squares += float((error * error).sum())
        self._max_abs = max(self._max_abs, float(error.max(initial=0.0)))
        if self._ceiling is not None:
            allowed = self._ceiling[0] + self._ceiling[1] * size
            share = np.where(error == 0.0, 0.0, np.where(np.isinf(error), math.inf, error / allowed))
            self._used = max(self._used, float(share.max(initial=0.0)))
            self._violations += int((~(error <= allowed)).sum())

    def numbers(self, elements: int) -> Numbers:
        rmse = math.sqrt(self._squares / self._pairs) if self._pairs else 0.0
        return Numbers(
            elements=elements,
            violations=self._violations,
            ties=0,
            nan=False,
            infinities=0,
            masked=True,
            of_floats=True,
            max_abs=self._max_abs,
            rmse=rmse,
            used=self._used,
            budget_used=None,
            budget_violations=0,
            systematic=(),
        )


def _parts(actual: Tensor, expected: Tensor) -> Iterator[tuple[Array, Array]]:
    for start, stop in spans(actual.size):
        yield actual.part(start, stop).astype(np.float64), expected.part(start, stop).astype(np.float64)


def _largest(tensor: Tensor) -> float:
    found = (largest(values) for _, values in tensor.chunks())
    return max(found, default=0.0)
