"""Bounds of results that are stored in f16 or bf16, and computed in f32 between one store and the next.

Where the specs say that an implementation rounds to its format, its unit u_h = 2⁻¹¹ or 2⁻⁸ takes the place of u;
everything else has the bounds of `bounds`. What is rounded:

- `inputs`: what was observed is stored first, which costs nothing where the format holds it, as it does unless somebody
  computed in more; in a composite they are the stored outputs of the part before;
- `weights`: matrices, scales and biases, and the tables of the embedding;
- `intermediates`: results inside the operation that PyTorch's own kernels store, such as each step of GELU;
- `output`: the result.

One rounding costs s = u_h·|x| + η, where η is the smallest normal number (2⁻¹⁴ for f16), below which a result may be
flushed to zero. Twice that is allowed (one ulp), for another rounding mode, and so that a correct store uses half.

**Products.** The roundings of the n inputs and n weights of a product are independent of each other and of mean 0, so
the error Σ(δxᵢ·yᵢ + xᵢ·δyᵢ) exceeds c·√Σ((sx·y)² + (x·sy)²) with the probability that `bounds` derives c from, by
the same inequality; and it is never above twice the worst case Σ(sx·|y| + |x|·sy), of which the smaller is taken. Rows
of equal inputs have equal roundings, which are not independent: the worst case. The means of a norm are such sums, too.

**Softmax** turns an error E in z into a factor: p̂ ≤ p·exp(E)/Σp·exp(−E). First order in E is not enough here: bf16
has E = 0.4 at a logit of 100.
"""

from collections.abc import Set
from dataclasses import dataclass

import numpy as np

from bundle_verifier import operations
from bundle_verifier.blocks import Floats
from bundle_verifier.bounds import UNIT, Bounded
from bundle_verifier.operations import Array
from bundle_verifier.rules import Rules

_LARGEST_EXPONENT = 300.0
_PLACES = frozenset({"inputs", "weights", "intermediates", "output"})


@dataclass(frozen=True)
class Format:
    """A half precision, as f32 sees it."""

    bits: int
    """Of the significand."""
    least: int
    """The exponent of the smallest normal number."""
    largest: float

    @property
    def ratio(self) -> float:
        """One rounding to the format, in units of `UNIT`: 2¹³ for f16, 2¹⁶ for bf16."""
        return float(2.0**-self.bits / UNIT)

    @property
    def flushed(self) -> float:
        """What a number below the smallest normal one may lose, in units."""
        return float(2.0**self.least / UNIT)

    def of(self, size: Array) -> Floats:
        """What one rounding to the format costs numbers of this size, in units."""
        return np.asarray(self.ratio * np.abs(size) + self.flushed, np.float64)

    def store(self, value: Array) -> Floats:
        """What storing these numbers costs, in units: nothing where the format holds them."""
        return np.asarray(np.where(self.holds(value), 0.0, self.of(value)))

    def holds(self, value: Array) -> Array:
        """Where a number is one of the format's, and no subnormal, which may be flushed."""
        wide = np.asarray(value, np.float64)
        fraction, exponent = np.frexp(np.where(np.isfinite(wide), wide, 0.0))
        step = np.maximum(exponent, self.least + 1) - self.bits  # of the last bit
        steps = np.ldexp(fraction, exponent - step)
        normal = (np.abs(wide) >= 2.0**self.least) | (wide == 0.0)
        held = (steps == np.rint(steps)) & (np.abs(wide) <= self.largest) & normal
        return np.asarray(held | ~np.isfinite(wide))


FORMATS = {"f16": Format(11, -14, 65504.0), "bf16": Format(8, -126, float(2.0**128 - 2.0**120))}


@dataclass(frozen=True)
class HalfRules(Rules):
    """The rules of one operation, for an implementation that stores in `format` at the places in `rounds`."""

    format: Format
    rounds: Set[str]

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.rounds) - _PLACES):
            raise ValueError(f"the storage rounds {unknown}; expected some of {sorted(_PLACES)}")

    def accept(self, value: Array) -> Bounded:
        if value.dtype.kind != "f":
            return Bounded.exact(value)
        stored = self.format.store(value)
        if not stored.any():
            return Bounded.exact(value)
        return Bounded(value, 2 * stored, stored)

    def rows(self, value: Floats, table: Array, positions: Array | None) -> Bounded:
        error = super().rows(value, table, positions).error
        if "weights" in self.rounds:
            for part in (table, positions):
                error = error if part is None else error + 2 * self.format.store(part)
        return self._output(value, error)

    def layer_norm(
        self, x: Bounded, value: Floats, epsilon: float, weight: Array | None, bias: Array | None
    ) -> Bounded:
        error = self.rounding.layer_norm(Bounded.exact(x.value), epsilon, weight, bias)
        carried = self._of_norm_input(self._input(x), epsilon)
        error = error + (carried if weight is None else carried * np.abs(weight))
        if "weights" in self.rounds:
            sizes = np.abs(operations.normalized(x.value, epsilon))
            off = self.rounding.layer_norm(Bounded.exact(x.value), epsilon) + carried
            if weight is not None:
                error = error + 2 * (sizes + UNIT * off) * self.format.store(weight)
            if bias is not None:
                error = error + 2 * self.format.store(bias)
        return self._output(value, error)

    def _of_norm_input(self, x: Bounded, epsilon: float) -> Floats:
        """What errors in x do to n, as in `Rounding.layer_norm`: dn = r·(dx − mean(dx)) − n·r·mean(n·dx)."""
        inverse = 1 / np.sqrt(x.value.var(-1, keepdims=True) + epsilon)
        sizes = np.abs(operations.normalized(x.value, epsilon))
        curvature = UNIT / 2 * inverse * (x.errors**2).mean(-1, keepdims=True)
        common = self._mean(x, sizes) + curvature
        return np.asarray(inverse * (x.errors + self._mean(x, np.ones_like(sizes)) + sizes * common))

    def _mean(self, x: Bounded, factors: Floats) -> Floats:
        """The mean of factors·dx over rows."""
        worst = (factors * x.errors).mean(-1, keepdims=True)
        if x.stored is None:
            return np.asarray(worst)
        squares = ((factors * x.stored) ** 2).sum(-1, keepdims=True)
        chance = self.rounding.confidence * np.sqrt(squares) / x.value.shape[-1]
        rest = (factors * _rest(x).errors).mean(-1, keepdims=True)
        return np.asarray(np.where(_is_constant(x.stored), worst, np.minimum(worst, rest + chance)))

    def linear(self, x: Bounded, value: Floats, weight: Floats, bias: Array | None) -> Bounded:
        x = self._input(x)
        errors = super().linear(_rest(x), value, weight, bias).error
        errors = errors + self._products(x, self._weight(weight)) + self._intermediate(value)
        if bias is not None and "weights" in self.rounds:
            errors = errors + 2 * self.format.store(bias)
        return self._output(value, errors)

    def _weight(self, weight: Floats) -> Bounded:
        if "weights" not in self.rounds:
            return Bounded.exact(weight)
        stored = self.format.store(weight)
        return Bounded(weight, 2 * stored, stored)

    def _products(self, x: Bounded, y: Bounded) -> Floats:
        """What the stores of x and y do to x·y."""
        xs = np.zeros_like(x.value) if x.stored is None else x.stored
        ys = np.zeros_like(y.value) if y.stored is None else y.stored
        worst = 2 * (np.matmul(xs, y.size) + np.matmul(x.size, ys))
        squares = np.matmul(xs**2, y.size**2) + np.matmul(x.size**2, ys**2)
        chance = self.rounding.confidence * np.sqrt(squares)
        both = 4 * UNIT * np.matmul(xs, ys)
        return np.asarray(np.where(_is_constant(xs), worst, np.minimum(worst, chance)) + both)

    def scores(self, q: Bounded, k: Bounded, value: Floats) -> Bounded:
        q, k = self._input(q), self._input(k)
        errors = super().scores(_rest(q), _rest(k), value).error
        products = self._products(q.swapaxes(1, 2), k.moved(lambda array: array.transpose(0, 2, 3, 1)))
        errors = errors + products / np.sqrt(q.value.shape[-1]) + self._intermediate(value)
        return self._output(value, errors)

    def softmax(self, z: Bounded, value: Floats, mask: Floats | None, temperature: float) -> Bounded:
        z = self._input(z)
        tempered = self.rounding.tempered(Bounded(operations.masked(z.value, mask), z.error), temperature)
        alone = self.rounding.softmax(Bounded.exact(tempered.value), value)
        exponent = np.minimum(UNIT * tempered.errors, _LARGEST_EXPONENT)
        factor = np.exp(exponent) / (value * np.exp(-exponent)).sum(-1, keepdims=True) - 1
        output = self._output(value, np.minimum(alone * (1 + factor) + value * factor / UNIT, 1 / UNIT))
        shown = tempered.value != -np.inf
        return Bounded(value, output.error * shown, None if output.stored is None else output.stored * shown)

    def weighted_values(self, probs: Bounded, values: Bounded, value: Floats) -> Bounded:
        probs, values = self._input(probs), self._input(values)
        errors = super().weighted_values(_rest(probs), _rest(values), value).error
        return self._output(value, errors + self._products(probs, values.swapaxes(1, 2)).swapaxes(1, 2))

    def gelu(self, x: Bounded, value: Floats) -> Bounded:
        alone = self.rounding.gelu(Bounded.exact(x.value))
        carried = self.rounding.gelu(self._input(x)) - alone
        if "intermediates" in self.rounds:
            alone = self.format.ratio * alone + 2 * self.format.flushed
        return self._output(value, alone + carried)

    def add(self, x: Bounded, y: Bounded, value: Floats) -> Bounded:
        return self._output(value, super().add(self._input(x), self._input(y), value).error)

    def _intermediate(self, value: Floats) -> Floats:
        return 2 * self.format.of(value) if "intermediates" in self.rounds else np.zeros(())

    def _input(self, x: Bounded) -> Bounded:
        return x if "inputs" in self.rounds else _rest(x)

    def _output(self, value: Floats, error: Floats) -> Bounded:
        return self._store(value, error) if "output" in self.rounds else Bounded(value, error)

    def _store(self, value: Floats, error: Floats) -> Bounded:
        stored = self.format.of(np.abs(value) + UNIT * error)
        return Bounded(value, error + 2 * stored, stored)


def _rest(x: Bounded) -> Bounded:
    """Without the store."""
    return x if x.stored is None else Bounded(x.value, np.maximum(x.error - 2 * x.stored, 0))


def _is_constant(stored: Floats) -> Array:
    """Rows whose numbers, but for zeros, have the same size: their roundings may then be the same too."""
    largest = stored.max(-1, keepdims=True)
    smallest = np.where(stored < 1e-3 * largest, np.inf, stored).min(-1, keepdims=True)
    return np.asarray((largest > 0) & (largest <= smallest * (1 + 1e-6)))
