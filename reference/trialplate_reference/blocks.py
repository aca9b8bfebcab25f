"""How bounds are computed: block by block of rows, so that all steps of a rule stay in the cache, and in f32.

f32 is enough for a bound. Differences that may cancel are taken in f64; 1 − t² and 1 + t of GELU's tanh are not, whose
error is small beside the rest of that rule. So a bound is off by less than a thousandth of itself, which the rules
have to spare; what becomes zero in f32, 2⁻¹⁴⁹, is far below `FLUSHED`, which every bound has in it. What f32
does not hold is infinite or NaN there, and no rule makes a finite number of either but where that bounds the result:
such blocks are computed again in f64.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from trialplate_reference.arrays import Array

Precision = type[np.float32] | type[np.float64]
Bounds = tuple[Array, ...]

_ELEMENTS = 1 << 15
"""Of a block: 128 KiB in f32, of which a core's own cache has room for several."""


def narrowed(rule: Callable[..., Bounds]) -> Callable[..., Bounds]:
    """`rule`, whose first argument is a precision, in f32; in f64 where its results are not finite in f32."""

    @functools.wraps(rule)
    def run(*arguments: object) -> Bounds:
        with np.errstate(over="ignore", invalid="ignore"):
            bounds = rule(np.float32, *arguments)
            if all(math.isfinite(bound.max()) for bound in bounds):
                return bounds
            return rule(np.float64, *arguments)

    return run


def in_blocks(rule: Callable[..., Bounds], *operands: Array | None) -> Bounds:
    """What `rule` says of `blocks` of rows, put together in f64 if one of them needed that."""
    first = operands[0]
    assert first is not None
    results: list[Array] = []
    start = 0
    for block in blocks(first, *operands[1:]):
        parts = rule(*block)
        if not results:
            results = [np.empty((math.prod(first.shape[:-1]), first.shape[-1]), part.dtype) for part in parts]
        for index, part in enumerate(parts):
            if not np.can_cast(part.dtype, results[index].dtype):
                results[index] = results[index].astype(part.dtype)
            results[index][start : start + len(part)] = part
        start += len(parts[0])
    return tuple(result.reshape(first.shape) for result in results)


def blocks(first: Array, *others: Array | None) -> Iterator[tuple[Any, ...]]:
    """Blocks of rows of operands with the same leading axes; an absent one is absent from all blocks, one of a single
    row is the same in all of them. The first is not copied where its memory is in one piece.
    """
    rows = [None if operand is None else operand.reshape(-1, operand.shape[-1]) for operand in (first, *others)]
    step = max(1, _ELEMENTS // first.shape[-1])
    for start in range(0, math.prod(first.shape[:-1]), step):
        block = slice(start, start + step)
        yield tuple(row if row is None or len(row) == 1 else row[block] for row in rows)


def absolutes(array: Array, precision: Precision) -> Array:
    narrow: Array = array.astype(precision)
    return np.abs(narrow, out=narrow)


def sizes(array: Array, precision: Precision) -> Array:
    """The absolutes of `array`. What is not 0 stays so: it counts as a term."""
    narrow = absolutes(array, precision)
    if not narrow.min() > 0:
        narrow[(narrow == 0) & (array != 0)] = np.finfo(precision).smallest_subnormal
    return narrow


def row_sum(x: Array) -> Array:
    return np.asarray(np.einsum("...i->...", x))[..., None]


def dot(x: Array, y: Array) -> Array:
    """Σxᵢyᵢ over rows."""
    return np.asarray(np.einsum("...i,...i->...", x, y))[..., None]


def nonzero(sizes: Array) -> Array:
    """How many elements of each row are not 0, as `sizes`' own kind of number; one count where it is that of all."""
    if sizes.min() > 0:
        return np.full((1,) * sizes.ndim, sizes.shape[-1], sizes.dtype)
    return np.count_nonzero(sizes, axis=-1, keepdims=True).astype(sizes.dtype)
