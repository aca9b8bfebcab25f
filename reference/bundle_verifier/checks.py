"""What the subject's own run must satisfy, whatever anybody else has: the checks that requirements are bound to."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundle_verifier.derived import after_the_query, argmax
from bundle_verifier.evidence import Captures, Evidence, Outcome
from bundle_verifier.law import Case, Requirement
from bundle_verifier.plan import Required, Traits
from bundle_verifier.tensor_file import Tensor

Floats = NDArray[np.float64]

LEAST_NORMAL_F32 = 2.0**-126
GELU_MINIMUM = -0.17004075057125405


@dataclass(frozen=True)
class Finding:
    case: str
    tensor: str
    reason: str


class _UnavailableError(Exception):
    def __init__(self, tensor: str, reason: str) -> None:
        super().__init__(tensor)
        self.tensor, self.reason = tensor, reason


class CaseChecker:
    """The subject's run of one case."""

    def __init__(self, evidence: Evidence, case: Case, captures: Captures) -> None:
        self._evidence, self._plan, self._case, self._captures = evidence, evidence.plan, case, captures
        self._required = self._plan.required(case, "run", "f32", evidence.traits)
        self._by_tensor = {required.tensor: required for required in self._required}

    def check(self, spec: str, requirement: Requirement) -> tuple[int, int, list[Finding]]:
        """How many were checked, how many must be, and what departs, in plan order."""
        if requirement.check == "nothing-unexpected":
            return 1, 1, self._unexpected()
        chosen = [r for r in self._required if r.activation.spec == spec and r.activation.name in requirement.of]
        concerned = [required for required in chosen if self._applies(requirement.check, required)]
        holds = CHECKS[requirement.check]
        checked, findings = 0, []
        for required in concerned:
            try:
                if requirement.check == "distinct":  # the other one is looked at first
                    self.look(_following(required, chosen))
                with np.errstate(all="ignore"):
                    held = holds(self, required, chosen, self.look(required))
                checked += 1
                if not held:
                    reason = "non_finite" if requirement.check == "finite" else "invariant"
                    findings.append(Finding(self._case.id, required.tensor, reason))
            except _UnavailableError as error:
                findings.append(Finding(self._case.id, error.tensor, error.reason))
        return checked, len(concerned), findings

    def look(self, required: Required) -> Tensor:
        found = self._captures.fetch("subject", "run", required)
        if isinstance(found, Outcome):
            raise _UnavailableError(required.tensor, found.reason)
        if found.size == 0:
            raise _UnavailableError(required.tensor, "empty")
        return found

    def _applies(self, check: str, required: Required) -> bool:
        last = len(self._case.schedule) - 1
        if check == "cache-zero-when-unused":
            return bool(self._case.steps[required.step or 0].keys < self._plan.sizes["C"])
        return check != "cache-append-only" or (last > 0 and required.step == last)

    def _unexpected(self) -> list[Finding]:
        found = []
        for mode in ("run", "replay"):
            file = self._captures.file("subject", mode)
            everybodys = Traits(True, self._case.has_texts)
            wanted = {r.tensor for r in self._plan.required(self._case, mode, "f32", everybodys)}
            names = [name for name in (file.entries if file else ()) if name not in wanted]
            found += [Finding(self._case.id, name, "unexpected") for name in sorted(names, key=_by_step)]
        return found

    def inputs(self, required: Required) -> list[Tensor]:
        return [self._named(name) for name in self._plan.inputs_of_the_step(required, self._case)]

    def _named(self, name: str) -> Tensor:
        if name not in self._by_tensor:
            raise _UnavailableError(name, "missing")
        return self.look(self._by_tensor[name])

    def finite(self, required: Required, _: list[Required], x: Tensor) -> bool:
        if not required.activation.masked:
            return bool(np.isfinite(x).all())
        after = np.broadcast_to(after_the_query(self._case, required), x.shape)
        return bool((np.isneginf(x) == after).all() and np.isfinite(x[~after]).all())

    def contiguous(self, required: Required, _: list[Required], x: Tensor) -> bool:
        file = self._captures.file("subject", "run")
        return file is not None and required.tensor not in file.not_contiguous

    def plausible_range(self, required: Required, _: list[Required], x: Tensor) -> bool:
        if required.activation.range is None:
            raise ValueError(f"{required.plain} has no range to be plausible in")
        low, high = required.activation.range
        return bool(((low <= x) & (x <= high)).all())

    def normalised_mean(self, required: Required, _: list[Required], x: Tensor) -> bool:
        norm = self._norm(required, x)
        bound = (norm.u * norm.v * norm.size + 8.0 * norm.v * norm.size) / norm.deviation + 4.0 * norm.v
        return bool((np.abs(_rows(x).mean(axis=1)) <= bound).all())

    def normalised_variance(self, required: Required, _: list[Required], x: Tensor) -> bool:
        norm, rows = self._norm(required, x), _rows(x)
        variance = ((rows - rows.mean(axis=1, keepdims=True)) ** 2).mean(axis=1)
        target = norm.variance / (norm.variance + self._plan.constants["epsilon"])
        energy = np.sqrt(norm.variance + norm.mean * norm.mean)
        bound = target * (norm.delta + 16.0 * norm.v) + 64.0 * norm.v * norm.v
        bound += 16.0 * norm.v * np.sqrt(target) * energy / norm.deviation
        return bool((np.abs(variance - target) <= bound).all())

    def pre_norm(self, required: Required, _: list[Required], x: Tensor) -> bool:
        norm = self._norm(required, x)
        mean, deviation = norm.mean[:, None], norm.deviation[:, None]
        z = (norm.input - mean) / deviation
        spread = norm.u * norm.v * norm.size[:, None] + 4.0 * norm.v * (np.abs(norm.input) + np.abs(mean))
        bound = spread / deviation + (norm.delta[:, None] / 2.0 + 8.0 * norm.v) * np.abs(z)
        return bool((np.abs(_rows(x) - z) <= bound).all())

    def distinct(self, required: Required, chosen: list[Required], x: Tensor) -> bool:
        return x.tobytes() != self.look(_following(required, chosen)).tobytes()

    def cache_zero_when_unused(self, required: Required, _: list[Required], x: Tensor) -> bool:
        axis = required.activation.shape.index("C")
        unused = np.moveaxis(x, axis, 0)[self._case.steps[required.step or 0].keys :]
        return not any(unused.tobytes())

    def cache_append_only(self, required: Required, chosen: list[Required], x: Tensor) -> bool:
        first = next(r for r in chosen if r.plain == required.plain and r.step == 0)
        axis = next(i for i, symbol in enumerate(required.activation.shape) if symbol in ("C", "K"))
        slots = self._case.schedule[0]
        then = np.moveaxis(self.look(first), axis, 0)[:slots]
        return np.moveaxis(x, axis, 0)[:slots].tobytes() == then.tobytes()

    def mask_before_softmax(self, required: Required, _: list[Required], x: Tensor) -> bool:
        after = np.broadcast_to(after_the_query(self._case, required), x.shape)
        return bool((x[after] == 0.0).all())

    def probabilities_in_unit_interval(self, _: Required, __: list[Required], x: Tensor) -> bool:
        wide = x.astype(np.float64)
        return bool(((wide >= 0.0) & (wide <= 1.0 + 2.0 * _rounding(x))).all())

    def probabilities_sum_to_one(self, _: Required, __: list[Required], x: Tensor) -> bool:
        rows = _rows(x)
        bound = (_gamma(rows) + 4.0) * _rounding(x) + rows.shape[1] * LEAST_NORMAL_F32
        return bool((np.abs(rows.sum(axis=1) - 1.0) <= bound).all())

    def temperature_flattens(self, required: Required, chosen: list[Required], x: Tensor) -> bool:
        rows, own = _rows(x), _temperature(required)
        hotter = [r for r in chosen if r.step == required.step and _temperature(r) > own]
        least: Floats | float = 1.0 / rows.shape[1]
        if hotter:
            least = _rows(self.look(min(hotter, key=_temperature))).max(axis=1)
        slack = 1.0 - 2.0 * (_gamma(rows) + 16.0) * _rounding(x)
        return bool((least * slack <= rows.max(axis=1)).all())

    def gelu_lower_bound(self, _: Required, __: list[Required], x: Tensor) -> bool:
        return bool((x.astype(np.float64) >= GELU_MINIMUM - 8.0 * _rounding(x)).all())

    def gelu_tanh_form(self, required: Required, _: list[Required], x: Tensor) -> bool:
        (given,) = self.inputs(required)
        i = given.astype(np.float64)
        form = 0.5 * i * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (i + 0.044715 * i * i * i)))
        return bool((np.abs(x - form) <= 8.0 * _rounding(x) * np.abs(i) + LEAST_NORMAL_F32).all())

    def residual_sum(self, required: Required, _: list[Required], x: Tensor) -> bool:
        terms = [term.astype(np.float64) for term in self.inputs(required)]
        bound = 2.0 * (len(terms) - 1) * _rounding(x) * sum(map(np.abs, terms))
        return bool((np.abs(x - sum(terms)) <= bound).all())

    def argmax_of_own_logits(self, required: Required, _: list[Required], x: Tensor) -> bool:
        (logits,) = self.inputs(required)
        rows = logits.reshape(x.size, -1)
        return bool((argmax(rows) == x.reshape(-1)).all()) and not np.isnan(rows).any()

    def generation_continues(self, required: Required, _: list[Required], x: Tensor) -> bool:
        activation = "token" if x.ndim == 2 else "logits.last"
        last = self._named(f"step{len(self._case.schedule) - 1}/{activation}")
        return x[:, 0].tobytes() == last.tobytes()

    def _norm(self, required: Required, x: Tensor) -> "_Norm":
        (given,) = self.inputs(required)
        return _Norm(_rows(given), _rounding(x), self._plan.constants["epsilon"])


class _Norm:
    """Per row of a norm's input: mean, variance, size, and what rounding may do to them."""

    def __init__(self, rows: Floats, v: float, epsilon: float) -> None:
        self.input, self.v = rows, v
        self.mean, self.size = rows.mean(axis=1), np.abs(rows).mean(axis=1)
        self.variance = ((rows - self.mean[:, None]) ** 2).mean(axis=1)
        self.deviation = np.sqrt(self.variance + epsilon)
        self.u = _gamma(rows) + 2.0
        a = 3.0 * self.u * v * (self.variance + self.mean * self.mean)
        divisor = self.variance + epsilon - a
        self.delta: Floats = np.where(divisor > 0.0, a / divisor, sys.float_info.max)


def _following(required: Required, chosen: list[Required]) -> Required:
    """The next one of the same layer and step; after the last the first."""
    group = [r for r in chosen if (r.layer, r.step) == (required.layer, required.step)]
    return group[(group.index(required) + 1) % len(group)]


def _rows(x: Tensor) -> Floats:
    return x.reshape(-1, x.shape[-1]).astype(np.float64)


def _rounding(x: Tensor) -> float:
    return 2.0**-52 if x.dtype.itemsize == 8 else 2.0**-24 + 2.0**-53


def _gamma(rows: Floats) -> float:
    count, width = rows.shape
    return float(min(width, math.sqrt(width) * math.sqrt(2.0 * math.log(2.0 * max(count, 1) / 1e-9) / 3.0)))


def _temperature(required: Required) -> float:
    return float(required.activation.name.rpartition(".t")[2])


def _by_step(tensor: str) -> tuple[int, str]:
    if tensor.startswith("step"):
        step, name = tensor.removeprefix("step").split("/", 1)
        return int(step), name
    return -1, tensor


Holds = Callable[[CaseChecker, Required, list[Required], Tensor], bool]
CHECKS: dict[str, Holds] = {
    "finite": CaseChecker.finite,
    "contiguous": CaseChecker.contiguous,
    "plausible-range": CaseChecker.plausible_range,
    "normalised-mean": CaseChecker.normalised_mean,
    "normalised-variance": CaseChecker.normalised_variance,
    "pre-norm": CaseChecker.pre_norm,
    "distinct": CaseChecker.distinct,
    "cache-zero-when-unused": CaseChecker.cache_zero_when_unused,
    "cache-append-only": CaseChecker.cache_append_only,
    "mask-before-softmax": CaseChecker.mask_before_softmax,
    "probabilities-in-unit-interval": CaseChecker.probabilities_in_unit_interval,
    "probabilities-sum-to-one": CaseChecker.probabilities_sum_to_one,
    "temperature-flattens": CaseChecker.temperature_flattens,
    "gelu-lower-bound": CaseChecker.gelu_lower_bound,
    "gelu-tanh-form": CaseChecker.gelu_tanh_form,
    "residual-sum": CaseChecker.residual_sum,
    "argmax-of-own-logits": CaseChecker.argmax_of_own_logits,
    "generation-continues": CaseChecker.generation_continues,
}
