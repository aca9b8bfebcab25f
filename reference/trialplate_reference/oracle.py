"""The oracle: an f64 implementation's operations, whose results carry the magnitude of each element."""

from collections.abc import Callable, Mapping

import numpy as np

from trialplate_reference.arrays import Array
from trialplate_reference.config import ModelConfig
from trialplate_reference.magnitude import Bounded, Rounding
from trialplate_reference.operators import Operators


class OracleOperators:
    """Values by `operators`, unchanged; errors by the rules. Weights are exact, and only their `magnitudes` count."""

    def __init__(
        self,
        operators: Operators[Array],
        magnitudes: Mapping[str, Array],
        config: ModelConfig,
        confidence: float,
        multiply: Callable[[Array, Array], Array],
    ):
        self._ops, self._magnitudes, self._config = operators, magnitudes, config
        self._rounding = Rounding(confidence, multiply)

    def _module(self, name: str) -> tuple[Array, Array]:
        return self._magnitudes[f"{name}.weight"], self._magnitudes[f"{name}.bias"]

    def embed(self, token_ids: Array, position: int) -> Bounded:
        value = self._ops.embed(token_ids, position)
        return Bounded(value, self._rounding.add(value))

    def layer_norm(self, name: str, x: Bounded) -> tuple[Bounded, Bounded]:
        normalized, output = self._ops.layer_norm(name, x.value)
        errors = self._rounding.layer_norm(x, self._config.epsilon, *self._module(name))
        return Bounded(normalized, errors[0]), Bounded(output, errors[1])

    def qkv(self, name: str, x: Bounded) -> tuple[Bounded, Bounded, Bounded]:
        q, k, v = (
            Bounded(value, self._linear(name, x, value.reshape(x.value.shape), third).reshape(value.shape))
            for third, value in enumerate(self._ops.qkv(name, x.value))
        )
        return q, k, v

    def append(self, past: Bounded | None, new: Bounded) -> Bounded:
        """Data moves: nothing is rounded."""
        if past is None:
            return Bounded(self._ops.append(None, new.value), new.error)
        return Bounded(self._ops.append(past.value, new.value), np.concatenate([past.errors, new.errors], axis=1))

    def scores(self, q: Bounded, cached_k: Bounded) -> Bounded:
        value = self._ops.scores(q.value, cached_k.value)
        return Bounded(value, self._rounding.scores(q.swapaxes(1, 2), cached_k.swapaxes(1, 2), value))

    def mask(self, batch: int, position: int, length: int) -> Bounded:
        return Bounded.exact(self._ops.mask(batch, position, length))

    def probs(self, scores: Bounded, mask: Bounded) -> Bounded:
        value = self._ops.probs(scores.value, mask.value)
        masked = Bounded(scores.value + mask.value[:, None], scores.error)
        return Bounded(value, self._rounding.softmax(masked, value))

    def context(self, probs: Bounded, cached_v: Bounded) -> Bounded:
        value = self._ops.context(probs.value, cached_v.value)
        per_head = value.reshape(*value.shape[:2], self._config.heads, -1).swapaxes(1, 2)
        v = cached_v.swapaxes(1, 2)
        errors = self._rounding.product(probs, v.magnitude, per_head, v.carried)
        return Bounded(value, errors.swapaxes(1, 2).reshape(value.shape))

    def linear(self, name: str, x: Bounded) -> Bounded:
        value = self._ops.linear(name, x.value)
        return Bounded(value, self._linear(name, x, value))

    def _linear(self, name: str, x: Bounded, value: Array, part: int = 0) -> Array:
        """Of the columns of the module that are `value`, the `part`-th of parts of that width."""
        columns = slice(part * value.shape[-1], (part + 1) * value.shape[-1])
        weight, bias = self._module(name)
        return self._rounding.product(x, weight[:, columns], value, bias=bias[columns])

    def add(self, x: Bounded, y: Bounded) -> Bounded:
        value = self._ops.add(x.value, y.value)
        return Bounded(value, self._rounding.add(value, x.error, y.error))

    def gelu(self, x: Bounded) -> Bounded:
        value = self._ops.gelu(x.value)
        return Bounded(value, self._rounding.gelu(x))

    def head(self, x: Bounded) -> Bounded:
        value = self._ops.head(x.value)
        return Bounded(value, self._rounding.product(x, self._magnitudes["lm_head.weight"], value))

    def last(self, logits: Bounded) -> Bounded:
        return Bounded(self._ops.last(logits.value), logits.error if logits.is_exact else self._ops.last(logits.error))

    def argmax(self, logits: Bounded) -> Bounded:
        return Bounded.exact(self._ops.argmax(logits.value))

    def softmax(self, logits: Bounded, temperature: float) -> Bounded:
        value = self._ops.softmax(logits.value, temperature)
        return Bounded(value, self._rounding.softmax(self._rounding.tempered(logits, temperature), value))
