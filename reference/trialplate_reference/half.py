"""Magnitudes of results that are stored in f16 or bf16, and computed in f32 between one store and the next.

Where the specs say that a subject rounds to its format, its unit u_h = 2⁻¹¹ or 2⁻⁸ takes the place of u; everything
else has the bounds of `magnitude`. What is rounded:

- `inputs`: a replay is fed f32 numbers, which the subject stores first; in a composite they are the stored outputs of
  the part before;
- `weights`: matrices, scales and biases, and the tables of the embedding;
- `intermediates`: results inside the operation that PyTorch's own kernels store, such as each step of GELU;
- `output`: the result.

One rounding costs s = u_h·|x| + η, where η is the smallest normal number (2⁻¹⁴ for f16), below which a result may be
flushed to zero. Twice that is allowed (one ulp), for another rounding mode, and so that a correct store uses half.

**Products.** The roundings of the n inputs and n weights of a product are independent of each other and of mean 0, so
the error Σ(δxᵢ·yᵢ + xᵢ·δyᵢ) exceeds c·√Σ((sx·y)² + (x·sy)²) with the probability that `magnitude` derives c from, by
the same inequality; and it is never above twice the worst case Σ(sx·|y| + |x|·sy), of which the smaller is taken. Rows
of equal inputs have equal roundings, which are not independent: the worst case. The means of a norm are such sums, too.

**Softmax** turns an error E in z into a factor: p̂ ≤ p·exp(E)/Σp·exp(−E). First order in E is not enough here: bf16
has E = 0.4 at a logit of 100.
"""

import re
from collections.abc import Callable, Collection, Mapping

import numpy as np

from trialplate_reference.activations import probs_name
from trialplate_reference.arrays import Array
from trialplate_reference.config import ModelConfig
from trialplate_reference.magnitude import UNIT, Bounded
from trialplate_reference.operators import Operators
from trialplate_reference.oracle import OracleOperators
from trialplate_reference.storage import Storage

_LARGEST_EXPONENT = 300.0
_LINEAR = {"attn.c_attn": "attn.q", "attn.c_proj": "attn.out", "mlp.c_fc": "mlp.fc", "mlp.c_proj": "mlp.out"}
"""The activation that comes out of each module of a block."""


class HalfOracleOperators(OracleOperators):
    """Values by the operators, unchanged; errors of a subject that stores in half precision. `magnitudes` has the
    tables of the embedding, too."""

    def __init__(
        self,
        operators: Operators[Array],
        magnitudes: Mapping[str, Array],
        config: ModelConfig,
        confidence: float,
        multiply: Callable[[Array, Array], Array],
        storage: Storage,
    ):
        super().__init__(operators, magnitudes, config, confidence, multiply)
        self._storage, self._confidence = storage, confidence
        if len({frozenset(storage.at(f"h.{{l}}.attn.{name}")) for name in "qkv"}) != 1:
            raise ValueError("the storage has q, k and v rounded in different places; they come out of one product")
        if set(storage.at("h.{l}.mid")) != set(storage.at("h.{l}.out")):
            raise ValueError("the storage has the two sums of a block rounded in different places")

    def given(self, value: Array) -> Bounded:
        """An f32 input, which the subject stores."""
        return self._store(value, np.zeros(()))

    def embed(self, token_ids: Array, position: int) -> Bounded:
        value = self._ops.embed(token_ids, position)
        error = self._rounding.add(value)
        if "weights" in self._storage.at("embd"):
            rows = slice(position, position + token_ids.shape[1])
            for table in (self._magnitudes["wte.weight"][token_ids], self._magnitudes["wpe.weight"][rows]):
                error = error + 2 * self._storage.of(table)
        return self._output(value, error, self._storage.at("embd"))

    def layer_norm(self, name: str, x: Bounded) -> tuple[Bounded, Bounded]:
        normalized, output = self._ops.layer_norm(name, x.value)
        weight, bias = self._module(name)
        of_f32 = self._rounding.layer_norm(Bounded.exact(x.value), self._config.epsilon, weight, bias)
        before, after = self._storage.at(_template(name) + ".normalized"), self._storage.at(_template(name))
        error = of_f32[0] + self._of_norm_input(_input(x, before), normalized)
        scaled = of_f32[1] + self._of_norm_input(_input(x, after), normalized) * weight
        if "weights" in after:
            scaled = scaled + 2 * (np.abs(normalized) + UNIT * error) * self._storage.of(weight)
            scaled = scaled + 2 * self._storage.of(bias)
        return self._output(normalized, error, before), self._output(output, scaled, after)

    def _of_norm_input(self, x: Bounded, normalized: Array) -> Array:
        """What errors in x do to n, as in `Rounding.layer_norm`: dn = r·(dx − mean(dx)) − n·r·mean(n·dx)."""
        inverse = 1 / np.sqrt(x.value.var(-1, keepdims=True) + self._config.epsilon)
        sizes = np.abs(normalized)
        ones = np.ones_like(sizes)
        curvature = UNIT / 2 * inverse * (x.errors**2).mean(-1, keepdims=True)
        common = self._mean(x, sizes) + curvature
        error: Array = inverse * (x.errors + self._mean(x, ones) + sizes * common)
        return error

    def _mean(self, x: Bounded, factors: Array) -> Array:
        """The mean of factors·dx over rows."""
        worst = (factors * x.errors).mean(-1, keepdims=True)
        if x.stored is None:
            return np.asarray(worst)
        chance = self._confidence * np.sqrt(((factors * x.stored) ** 2).sum(-1, keepdims=True)) / x.value.shape[-1]
        rest = (factors * _rest(x).errors).mean(-1, keepdims=True)
        return np.asarray(np.where(_is_constant(x.stored), worst, np.minimum(worst, rest + chance)))

    def qkv(self, name: str, x: Bounded) -> tuple[Bounded, Bounded, Bounded]:
        rounds = self._storage.at("h.{l}.attn.q")
        values = self._ops.qkv(name, x.value)
        fused = np.stack(values, axis=2)
        errors = self._stored_linear(name, x, fused.reshape(*x.value.shape[:2], -1), rounds).reshape(fused.shape)
        q, k, v = (self._output(value, errors[:, :, third], rounds) for third, value in enumerate(values))
        return q, k, v

    def append(self, past: Bounded | None, new: Bounded) -> Bounded:
        joined = super().append(past, new)
        stored = [part.stored for part in (past, new) if part is not None and part.stored is not None]
        return Bounded(joined.value, joined.error, np.concatenate(stored, axis=1) if stored else None)

    def scores(self, q: Bounded, cached_k: Bounded) -> Bounded:
        rounds = self._storage.at("h.{l}.attn.scores")
        value = self._ops.scores(q.value, cached_k.value)
        q, k = (_input(x, rounds).swapaxes(1, 2) for x in (q, cached_k))
        errors = self._rounding.scores(_rest(q), _rest(k), value)
        errors = errors + self._products(q, k.swapaxes(-1, -2)) / np.sqrt(q.value.shape[-1])
        return self._output(value, errors + self._intermediate(value, rounds), rounds)

    def probs(self, scores: Bounded, mask: Bounded) -> Bounded:
        value = self._ops.probs(scores.value, mask.value)
        masked = Bounded(scores.value + mask.value[:, None], scores.error, scores.stored)
        return self._softmax(masked, value, self._storage.at("h.{l}.attn.probs"))

    def context(self, probs: Bounded, cached_v: Bounded) -> Bounded:
        rounds = self._storage.at("h.{l}.attn.context")
        value = self._ops.context(probs.value, cached_v.value)
        per_head = value.reshape(*value.shape[:2], self._config.heads, -1).swapaxes(1, 2)
        probs, v = _input(probs, rounds), _input(cached_v, rounds).swapaxes(1, 2)
        errors = self._rounding.product(_rest(probs), v.magnitude, per_head, _rest(v).carried)
        errors = (errors + self._products(probs, v)).swapaxes(1, 2).reshape(value.shape)
        return self._output(value, errors, rounds)

    def linear(self, name: str, x: Bounded) -> Bounded:
        layer, _, module = _template(name).rpartition("{l}.")
        rounds = self._storage.at(f"{layer}{{l}}.{_LINEAR[module]}")
        value = self._ops.linear(name, x.value)
        return self._output(value, self._stored_linear(name, x, value, rounds), rounds)

    def _stored_linear(self, name: str, x: Bounded, value: Array, rounds: Collection[str]) -> Array:
        weight, bias = self._module(name)
        x = _input(x, rounds)
        errors = self._rounding.product(_rest(x), weight, value, bias=bias)
        errors = errors + self._products(x, self._weight(weight, rounds)) + self._intermediate(value, rounds)
        return errors + 2 * self._storage.of(bias) if "weights" in rounds else errors

    def _weight(self, weight: Array, rounds: Collection[str]) -> Bounded:
        exact = Bounded.exact(weight.astype(np.float64))
        return self._store(exact.value, exact.error) if "weights" in rounds else exact

    def _products(self, x: Bounded, y: Bounded) -> Array:
        """What the stores of x and y do to x·y."""
        xs = np.zeros_like(x.value) if x.stored is None else x.stored
        ys = np.zeros_like(y.value) if y.stored is None else y.stored
        multiply = self._rounding.multiply
        worst = 2 * (multiply(xs, y.magnitude) + multiply(x.magnitude, ys))
        squares = multiply(xs**2, y.magnitude**2) + multiply(x.magnitude**2, ys**2)
        chance = self._confidence * np.sqrt(squares)
        both = 4 * UNIT * multiply(xs, ys)
        return np.asarray(np.where(_is_constant(xs), worst, np.minimum(worst, chance)) + both)

    def add(self, x: Bounded, y: Bounded) -> Bounded:
        rounds = self._storage.at("h.{l}.mid")
        value = self._ops.add(x.value, y.value)
        errors = self._rounding.add(value, _input(x, rounds).error, _input(y, rounds).error)
        return self._output(value, errors, rounds)

    def gelu(self, x: Bounded) -> Bounded:
        rounds = self._storage.at("h.{l}.mlp.act")
        value = self._ops.gelu(x.value)
        alone = self._rounding.gelu(Bounded.exact(x.value))
        carried = self._rounding.gelu(_input(x, rounds)) - alone
        if "intermediates" in rounds:
            alone = self._storage.ratio * alone + 2 * self._storage.flushed
        return self._output(value, alone + carried, rounds)

    def head(self, x: Bounded) -> Bounded:
        rounds = self._storage.at("logits")
        value = self._ops.head(x.value)
        weight, x = self._magnitudes["lm_head.weight"], _input(x, rounds)
        errors = self._rounding.product(_rest(x), weight, value) + self._products(x, self._weight(weight, rounds))
        return self._output(value, errors, rounds)

    def last(self, logits: Bounded) -> Bounded:
        stored = None if logits.stored is None else self._ops.last(logits.stored)
        last = super().last(logits)
        return Bounded(last.value, last.error, stored)

    def softmax(self, logits: Bounded, temperature: float) -> Bounded:
        rounds = self._storage.at(probs_name(temperature))
        value = self._ops.softmax(logits.value, temperature)
        return self._softmax(self._rounding.tempered(_input(logits, rounds), temperature), value, rounds)

    def _softmax(self, z: Bounded, probs: Array, rounds: Collection[str]) -> Bounded:
        masked = np.isneginf(z.value)
        alone = self._rounding.softmax(Bounded.exact(z.value), probs)
        exponent = np.minimum(UNIT * _input(z, rounds).errors, _LARGEST_EXPONENT)
        factor = np.exp(exponent) / (probs * np.exp(-exponent)).sum(-1, keepdims=True) - 1
        errors = np.minimum(alone * (1 + factor) + probs * factor / UNIT, 1 / UNIT)
        output = self._output(probs, errors, rounds)
        stored = None if output.stored is None else np.where(masked, 0, output.stored)
        return Bounded(probs, np.where(masked, 0, output.error), stored)

    def _intermediate(self, value: Array, rounds: Collection[str]) -> Array:
        return 2 * self._storage.of(value) if "intermediates" in rounds else np.zeros(())

    def _output(self, value: Array, error: Array, rounds: Collection[str]) -> Bounded:
        return self._store(value, error) if "output" in rounds else Bounded(value, error)

    def _store(self, value: Array, error: Array) -> Bounded:
        stored = self._storage.of(np.abs(value) + UNIT * error)
        return Bounded(value, error + 2 * stored, stored)


def _template(module: str) -> str:
    """`h.3.ln_1` gives `h.{l}.ln_1`."""
    return re.sub(r"^h\.\d+\.", "h.{l}.", module)


def _input(x: Bounded, rounds: Collection[str]) -> Bounded:
    return x if "inputs" in rounds else _rest(x)


def _rest(x: Bounded) -> Bounded:
    """Without the store."""
    return x if x.stored is None else Bounded(x.value, np.maximum(x.error - 2 * x.stored, 0))


def _is_constant(stored: Array) -> Array:
    """Rows whose numbers, but for zeros, have the same size."""
    largest = stored.max(-1, keepdims=True)
    smallest = np.where(stored < 1e-3 * largest, np.inf, stored).min(-1, keepdims=True)
    return np.asarray(largest <= smallest * (1 + 1e-6))
