"""The operations of a graph at f64: what every activation is, given its inputs.

Orders of axes: `[batch, sequence, …]`, per head `[batch, head, query, key]`. Keys and values come as the cache keeps
them, `[batch, key, head, …]`. Nothing here rounds to less than f64, and nothing here knows a bound.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Array = NDArray[Any]

SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
CUBIC = 0.044715


def rows(table: Array, positions: Array | None = None) -> Floats:
    """The rows `[B, S, D]` that the ids choose from a table, plus the rows `[S, D]` of the positions."""
    chosen = table.astype(np.float64)
    return chosen if positions is None else chosen + positions


def normalized(x: Floats, epsilon: float) -> Floats:
    """(x − μ)/√(v + ε) over the last axis, with the biased variance v."""
    centred = x - x.mean(-1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + epsilon))


def layer_norm(x: Floats, epsilon: float, weight: Array | None = None, bias: Array | None = None) -> Floats:
    """`normalized`, times a weight, plus a bias, where there are any."""
    value = normalized(x, epsilon)
    if weight is not None:
        value = value * weight
    return value if bias is None else value + bias


def linear(x: Floats, weight: Floats, bias: Array | None = None) -> Floats:
    """x·W + b for W `[in, out]`."""
    value: Floats = np.matmul(x, weight)
    return value if bias is None else value + bias


def scores(q: Floats, k: Floats) -> Floats:
    """q·k/√Dh: `[B, S, H, Dh]` and `[B, K, H, Dh]` give `[B, H, S, K]`."""
    return np.asarray(np.matmul(q.swapaxes(1, 2), k.transpose(0, 2, 3, 1)) * (1 / math.sqrt(q.shape[-1])))


def causal_mask(batch: int, past: int, length: int) -> Floats:
    """`[B, S, K]`: 0 where the key's position is at most the query's, −∞ elsewhere."""
    future = np.arange(past + length) > (past + np.arange(length))[:, None]
    return np.broadcast_to(np.where(future, -np.inf, 0.0), (batch, *future.shape))


def masked(z: Floats, mask: Floats | None = None) -> Floats:
    """Scores `[B, H, S, K]` with the mask `[B, S, K]` added in every head."""
    return z if mask is None else z + mask[:, None]


def softmax(z: Floats, mask: Floats | None = None, temperature: float = 1.0) -> Floats:
    """exp(t)/Σexp(t) over the last axis, with t = (z − max z)/T once the mask is added."""
    shifted = masked(z, mask) / temperature
    powers = np.exp(shifted - shifted.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def weighted_values(probs: Floats, values: Floats) -> Floats:
    """Σ p·v over the keys: `[B, H, S, K]` and `[B, K, H, Dh]` give `[B, S, H, Dh]`."""
    return np.asarray(np.matmul(probs, values.swapaxes(1, 2)).swapaxes(1, 2))


def gelu(x: Floats) -> Floats:
    """½x(1 + tanh(√(2/π)·(x + 0.044715x³))), the tanh form."""
    return np.asarray(0.5 * x * (1 + np.tanh(SQRT_2_OVER_PI * (x + CUBIC * x * x * x))))


def append(past: Array | None, new: Array) -> Array:
    """The cache after a step: what it held along the sequence, then what is new."""
    return new if past is None else np.concatenate([past, new], axis=1)


def last(x: Array) -> Array:
    """The last position of `[B, S, …]`."""
    return x[:, -1]


def argmax(x: Array) -> NDArray[np.int64]:
    """The index of the largest of each row, the lowest where several are; −1 of a row that has a NaN."""
    return np.asarray(np.where(np.isnan(x).any(-1), -1, x.argmax(-1)), np.int64)
