"""Arrays a block of rows at a time, so that no rule needs memory for more than a block of its steps."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_ELEMENTS = 1 << 18
"""Of a block: 2 MiB."""


def in_blocks(rule: Callable[..., Floats], first: Floats, *others: Floats | None) -> Floats:
    """What `rule` says of blocks of rows of operands with the same leading axes, put together in the shape of the
    first. An operand that is absent is absent from all blocks.
    """
    width = first.shape[-1]
    rows = [None if operand is None else operand.reshape(-1, operand.shape[-1]) for operand in (first, *others)]
    result = np.empty((math.prod(first.shape[:-1]), width))
    step = max(1, _ELEMENTS // max(width, 1))
    for start in range(0, len(result), step):
        block = slice(start, start + step)
        result[block] = rule(*(None if row is None else row[block] for row in rows))
    return result.reshape(first.shape)


def row_sum(x: Floats) -> Floats:
    return np.asarray(x.sum(-1, keepdims=True))


def dot(x: Floats, y: Floats) -> Floats:
    """Σxᵢyᵢ over rows."""
    return np.asarray(np.expand_dims(np.einsum("...i,...i->...", x, y), -1))


def nonzero(terms: NDArray[Any]) -> Floats:
    """How many elements of each row are not 0."""
    return np.asarray(np.count_nonzero(terms, axis=-1, keepdims=True), np.float64)
