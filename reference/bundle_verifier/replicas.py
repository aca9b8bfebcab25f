"""Eight correct implementations at f32: what a chain of them may be off where nothing nearer can judge.

Each adds up in an order of its own and takes its own of equal formulas. Matrix products are NumPy's at f32, of blocks
of terms in a given order, whose sums are added one after the other or as a tree. With a half precision, weights and
results are stored in it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bundle_verifier import operations
from bundle_verifier.bounds import Bounded
from bundle_verifier.case import Case, Step
from bundle_verifier.chain import Chain
from bundle_verifier.evaluation import Model, Operation
from bundle_verifier.operations import CUBIC, SQRT_2_OVER_PI, Array

F32 = np.float32
LOG2_E = F32(math.log2(math.e))
MOST_BLOCKS = 256
Terms = Callable[[int], list[Array]]
"""The blocks in which so many terms are added."""


@dataclass(frozen=True)
class Way:
    blocks: Terms
    tree: bool = False
    exp2: bool = False
    sigmoid: bool = False  # ½(1 + tanh w) as σ(2w)
    scaled_queries: bool = False
    reciprocal: bool = False
    updating: bool = False  # n is x·r − μ·r

    def product(self, x: Array, y: Array) -> Array:
        parts: list[Array] = []
        for index, block in enumerate(self.blocks(x.shape[-1])):
            parts.append(np.matmul(x[..., block], y[..., block, :]))
            # As a tree: two parts of one size become one, as often as there are ones at the end of the number.
            joined = (~index & (index + 1)).bit_length() - 1 if self.tree else int(index > 0)
            for _ in range(joined):
                last = parts.pop()
                parts[-1] = parts[-1] + last
        while len(parts) > 1:
            last = parts.pop()
            parts[-1] = parts[-1] + last
        return parts[0]

    def sum(self, x: Array) -> Array:
        one = np.ones((x.shape[-1], 1), F32)
        return self.product(x, one)

    def over(self, x: Array, y: Array) -> Array:
        return x * (F32(1) / y) if self.reciprocal else x / y

    def exp(self, x: Array) -> Array:
        return np.exp2(x * LOG2_E) if self.exp2 else np.exp(x)


def _first_to_last(count: int) -> list[Array]:
    return [np.arange(count)]


def _last_to_first(count: int) -> list[Array]:
    return [np.arange(count)[::-1]]


def _blocks_of(size: int) -> Terms:
    return lambda count: [np.arange(start, min(start + size, count)) for start in range(0, count, size)]


def _lanes(number: int) -> Terms:
    return lambda count: [np.arange(lane, count, number) for lane in range(min(number, count))]


def _shuffled(seed: int) -> Terms:
    return lambda count: [np.random.default_rng(seed).permutation(count)]


def _one_by_one(count: int) -> list[Array]:
    """Of long sums a few at a time: a matrix of one column takes as long as one of many."""
    return _blocks_of(-(-count // MOST_BLOCKS))(count) if count else [np.arange(0)]


LOOSE: dict[str, Any] = {"exp2": True, "scaled_queries": True, "reciprocal": True}
WAYS = (
    Way(_one_by_one),
    Way(_last_to_first, **LOOSE),
    Way(_blocks_of(32)),
    Way(_blocks_of(8), sigmoid=True, **LOOSE),
    Way(_lanes(16), reciprocal=True),
    Way(_shuffled(1), updating=True, **LOOSE),
    Way(_shuffled(2), sigmoid=True),
    Way(_blocks_of(8), tree=True, sigmoid=True, updating=True),
)


def chain(model: Model, roles: Mapping[str, Any], case: Case, way: Way, half: str | None) -> Chain:
    """A chain that computes at f32 in that way."""
    return Chain(model, roles, case, lambda operation: _Replica(way, half, operation).result())


class _Replica:
    def __init__(self, way: Way, half: str | None, operation: Operation) -> None:
        self._way, self._half, self._operation = way, half, operation
        self._given = operation.given

    def result(self) -> Bounded:
        value = self._value()
        return Bounded.exact(self._stored(value) if value.dtype == F32 else value)

    def _stored(self, value: Array) -> Array:
        if self._half == "f16":
            return value.astype(np.float16).astype(F32)
        if self._half == "bf16":
            bits = value.view(np.uint32)
            rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
            return np.where(np.isfinite(value), rounded.view(F32), value).astype(F32)
        return value

    def _of(self, argument: str) -> Array:
        return self._given[argument].value.astype(F32)

    def _weight(self, argument: str) -> Array | None:
        weight = self._operation.weight(argument)
        return None if weight is None else self._stored(weight.array())

    def _value(self) -> Array:
        way, operation = self._way, self._operation
        match operation.place.node.operation:
            case "rows":
                return self._rows()
            case "layer_norm":
                return self._layer_norm()
            case "linear":
                return self._linear()
            case "scores":
                q, k = self._of("q").swapaxes(1, 2), self._of("k").transpose(0, 2, 3, 1)
                scale = F32(1 / math.sqrt(q.shape[-1]))
                return way.product(q * scale, k) if way.scaled_queries else way.product(q, k) * scale
            case "softmax":
                return self._softmax()
            case "weighted_values":
                return way.product(self._of("probs"), self._of("values").swapaxes(1, 2)).swapaxes(1, 2)
            case "gelu":
                return self._gelu(self._of("x"))
            case "add":
                return self._of("x") + self._of("y")
            case "mask":
                return operations.causal_mask(operation.batch, operation.step.past, operation.step.length).astype(F32)
            case "argmax":
                return operations.argmax(self._of("x"))
            case "last":
                return operations.last(self._of("x"))
            case "cache":
                before = operation.before
                return operations.append(None if before is None else before.value, self._of("new"))
        raise ValueError(f"no operation {operation.place.node.operation}")

    def _rows(self) -> Array:
        table, positions = self._operation.weight("table"), self._operation.weight("positions")
        assert table is not None
        chosen = self._stored(table.take(self._given["ids"].value))
        if positions is None:
            return chosen
        step: Step = self._operation.step
        return chosen + self._stored(positions.take(np.arange(step.past, step.keys)))

    def _layer_norm(self) -> Array:
        way, x = self._way, self._of("x")
        width = F32(x.shape[-1])
        epsilon = F32(self._operation.epsilon)
        mean = way.over(way.sum(x), np.asarray(width))
        centred = x - mean
        inverse = F32(1) / np.sqrt(way.over(way.sum(centred * centred), np.asarray(width)) + epsilon)
        value = x * inverse - mean * inverse if way.updating else centred * inverse
        weight, bias = self._weight("weight"), self._weight("bias")
        value = value if weight is None else value * weight
        return value if bias is None else value + bias

    def _linear(self) -> Array:
        arguments = self._operation.place.node.arguments
        weight, bias, x = self._weight("weight"), self._weight("bias"), self._of("x")
        assert weight is not None
        matrix = weight.T if arguments["layout"] == "out-in" else weight
        part, parts = arguments.get("part", (0, 1))
        columns = slice(matrix.shape[1] * part // parts, matrix.shape[1] * (part + 1) // parts)
        value = self._way.product(x.reshape(-1, matrix.shape[0]), matrix[:, columns])
        value = value if bias is None else value + bias[columns]
        return value.reshape(*x.shape[: x.ndim - 1], -1)

    def _softmax(self) -> Array:
        way, x = self._way, self._of("x")
        mask = self._of("mask") if "mask" in self._given else None
        shifted = operations.masked(x, mask)
        shifted = shifted * F32(1 / float(self._operation.place.node.arguments.get("temperature", 1.0)))
        powers = way.exp(shifted - shifted.max(-1, keepdims=True))
        return way.over(powers, way.sum(powers))

    def _gelu(self, x: Array) -> Array:
        way = self._way
        w = F32(SQRT_2_OVER_PI) * (x + F32(CUBIC) * x * x * x)
        if way.sigmoid:
            return x * way.over(np.ones_like(x), F32(1) + way.exp(F32(-2) * w))
        return np.asarray(F32(0.5) * x * (F32(1) + np.tanh(w)))
