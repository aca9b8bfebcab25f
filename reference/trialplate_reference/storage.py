"""Half precision: numbers stored in f16 or bf16, and what that costs, in units of `UNIT`, f32's."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from trialplate_reference.arrays import Array
from trialplate_reference.magnitude import UNIT
from trialplate_reference.operators import Operators

_BITS = {"f16": (11, -14), "bf16": (8, -126)}
"""Bits of the significand, and the exponent of the smallest normal number."""

HALVES = tuple(_BITS)


def rounded(array: Array, precision: str) -> Array:
    """The nearest numbers of a half precision, ties to even, as f32, which holds them exactly."""
    single = np.ascontiguousarray(array, dtype=np.float32)
    if precision == "f16":
        with np.errstate(over="ignore"):
            return single.astype(np.float16).astype(np.float32)
    bits = single.view(np.uint32)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(single), single, nearest.view(np.float32))


@dataclass(frozen=True)
class Storage:
    """Where an implementation that stores in half precision rounds to it: what the specs say, by activation."""

    precision: str
    rounds: Mapping[str, Collection[str]]
    """By template: `{"h.{l}.attn.q": ["inputs", "weights", "output"]}`."""

    @staticmethod
    def parse(given: Mapping[str, object]) -> "Storage":
        precision, rounds = given.get("precision"), given.get("rounds")
        if precision not in _BITS or not isinstance(rounds, Mapping) or given.keys() != {"precision", "rounds"}:
            raise ValueError(f"storage is {given!r}; expected a precision of {list(_BITS)} and `rounds`")
        return Storage(str(precision), rounds)

    @property
    def ratio(self) -> float:
        """One rounding to the format, in units: 2¹³ for f16, 2¹⁶ for bf16."""
        return float(2.0 ** -_BITS[self.precision][0] / UNIT)

    @property
    def flushed(self) -> float:
        """What a number below the smallest normal one may lose, in units."""
        return float(2.0 ** _BITS[self.precision][1] / UNIT)

    def at(self, activation: str) -> Collection[str]:
        if (found := self.rounds.get(activation)) is None:
            raise KeyError(f"the storage says nothing of {activation!r}")
        return found

    def of(self, value: Array) -> Array:
        """What one rounding to the format costs, in units."""
        return self.ratio * np.abs(value) + self.flushed


class StoredOperators:
    """Computes by `operators` at f32, and stores every result in half precision."""

    def __init__(self, operators: Operators[Array], precision: str):
        self._ops, self._precision = operators, precision

    def _store(self, array: Array) -> Array:
        return rounded(array, self._precision)

    def embed(self, token_ids: Array, position: int) -> Array:
        return self._store(self._ops.embed(token_ids, position))

    def layer_norm(self, name: str, x: Array) -> tuple[Array, Array]:
        normalized, output = self._ops.layer_norm(name, self._store(x))
        return self._store(normalized), self._store(output)

    def qkv(self, name: str, x: Array) -> tuple[Array, Array, Array]:
        q, k, v = self._ops.qkv(name, self._store(x))
        return self._store(q), self._store(k), self._store(v)

    def append(self, past: Array | None, new: Array) -> Array:
        return self._ops.append(None if past is None else self._store(past), self._store(new))

    def scores(self, q: Array, cached_k: Array) -> Array:
        return self._store(self._ops.scores(self._store(q), self._store(cached_k)))

    def mask(self, batch: int, position: int, length: int) -> Array:
        return self._ops.mask(batch, position, length)

    def probs(self, scores: Array, mask: Array) -> Array:
        return self._store(self._ops.probs(self._store(scores), mask))

    def context(self, probs: Array, cached_v: Array) -> Array:
        return self._store(self._ops.context(self._store(probs), self._store(cached_v)))

    def linear(self, name: str, x: Array) -> Array:
        return self._store(self._ops.linear(name, self._store(x)))

    def add(self, x: Array, y: Array) -> Array:
        return self._store(self._ops.add(self._store(x), self._store(y)))

    def gelu(self, x: Array) -> Array:
        return self._store(self._ops.gelu(self._store(x)))

    def head(self, x: Array) -> Array:
        return self._store(self._ops.head(self._store(x)))

    def last(self, logits: Array) -> Array:
        return self._ops.last(self._store(logits))

    def argmax(self, logits: Array) -> Array:
        return self._ops.argmax(self._store(logits))

    def softmax(self, logits: Array, temperature: float) -> Array:
        return self._store(self._ops.softmax(self._store(logits), temperature))
