"""The conditions that checks are named after, each over the tensor in pieces."""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from bundle_verifier.checks import Look, UnavailableError
from bundle_verifier.derived import after_the_query
from bundle_verifier.plan import Required
from bundle_verifier.tensor import Floats, Tensor, row_spans, same_bytes, spans

Mask = NDArray[np.bool_]


def finite(look: Look) -> bool:
    x = look.tensor()
    if look.required.activation.masked:
        pairs = ((values, after) for values, after in _masked(look, x))
        return all(
            bool((np.isneginf(values) == after).all() and np.isfinite(values[~after]).all()) for values, after in pairs
        )
    return all(bool(np.isfinite(values).all()) for _, values in x.chunks())


def contiguous(look: Look) -> bool:
    """Whether the name is there is all that is asked of the tensor."""
    file = look.captures.file("subject")
    if file is None or look.required.tensor not in file.entries:
        raise UnavailableError(look.required.tensor, "missing")
    return look.required.tensor not in file.not_contiguous


def plausible_range(look: Look) -> bool:
    range_ = look.required.activation.range
    if range_ is None:
        raise ValueError(f"{look.required.plain} has no range to be plausible in")
    low, high = range_
    x = look.tensor()
    return all(bool(((low <= values) & (values <= high)).all()) for values in _wide(x))


def distinct(look: Look) -> bool:
    following = look.following()
    if following is None:
        raise UnavailableError(look.required.tensor, "unreadable")
    other, x = look.tensor(following), look.tensor()
    alike = (x.dtype, x.shape) == (other.dtype, other.shape)
    return not (alike and same_bytes(x, other))


def cache_zero_when_unused(look: Look) -> bool:
    """`[…, C, …]`: in each row of what comes before C, what comes after slot K is zero bits."""
    x = look.tensor()
    axis = look.required.activation.shape.index("C")
    inner, slots = math.prod(x.shape[axis + 1 :]), x.shape[axis]
    keys = look.case.steps[look.required.step or 0].keys
    rows = (row * slots * inner for row in range(x.size // (slots * inner)))
    return not any(
        any(x.bytes(row + keys * inner + start, row + keys * inner + stop))
        for row in rows
        for start, stop in spans((slots - keys) * inner)
    )


def cache_append_only(look: Look) -> bool:
    x, required = look.tensor(), look.required
    first = next(r for r in look.chosen if r.plain == required.plain and r.step == 0)
    then = look.tensor(first)
    axis = next(i for i, symbol in enumerate(required.activation.shape) if symbol in ("C", "K"))
    inner, kept = math.prod(x.shape[axis + 1 :]), look.case.schedule[0]
    for row in range(x.size // (x.shape[axis] * inner)):
        now, before = row * x.shape[axis] * inner, row * then.shape[axis] * inner
        for start, stop in spans(kept * inner):
            if x.bytes(now + start, now + stop) != then.bytes(before + start, before + stop):
                return False
    return True


def mask_before_softmax(look: Look) -> bool:
    return all(bool((values[after] == 0.0).all()) for values, after in _masked(look, look.tensor()))


def probabilities_in_unit_interval(look: Look) -> bool:
    x, most = look.tensor(), 1.0 + 2.0 * look.rounding.v
    return all(bool(((values >= 0.0) & (values <= most)).all()) for values in _wide(x))


def probabilities_sum_to_one(look: Look) -> bool:
    x, rounding = look.tensor(), look.rounding
    for _, rows in x.rows():
        lost = np.where(rows == 0.0, rounding.small, 0.0)
        lost += np.where((rows != 0.0) & (np.abs(rows) < rounding.small), rounding.small * rounding.u, 0.0)
        bound = rounding.sum_off(rows) + 4.0 * rounding.v + lost.sum(axis=1)
        if not (np.abs(rows.sum(axis=1) - 1.0) <= bound).all():
            return False
    return True


def temperature_flattens(look: Look) -> bool:
    x, own = look.tensor(), _temperature(look.required)
    hotter = [r for r in look.chosen if r.step == look.required.step and _temperature(r) > own]
    hot = look.tensor(min(hotter, key=_temperature)) if hotter else None
    width = x.shape[-1]
    for start, stop in row_spans(x.size, width):
        rows = _rows(x, start, stop)
        slack = _off(look, rows)
        least = np.full(slack.shape, 1.0 / width)
        if hot is not None:
            hotter_rows = _rows(hot, start, stop)
            slack, least = slack + _off(look, hotter_rows), hotter_rows.max(axis=1)
        if not (least * (1.0 - slack) <= rows.max(axis=1)).all():
            return False
    return True


def generation_continues(look: Look) -> bool:
    x = look.tensor()
    last = look.of_last_step("token" if len(look.required.shape) == 2 else "logits.last")
    width = last.size // look.case.batch
    per_row = x.size // look.case.batch
    return all(
        x.bytes(row * per_row, row * per_row + width) == last.bytes(row * width, (row + 1) * width)
        for row in range(look.case.batch)
    )


def _masked(look: Look, x: Tensor) -> Iterator[tuple[Floats, Mask]]:
    """`[…, S, K]`: values, and which of them are after the query."""
    after = after_the_query(look.case, look.required)
    for first, rows in x.rows():
        yield rows, after[np.arange(first, first + rows.shape[0]) % after.shape[0]]


def _wide(x: Tensor) -> Iterator[Floats]:
    return (values.astype(np.float64) for _, values in x.chunks())


def _rows(x: Tensor, start: int, stop: int) -> Floats:
    return x.part(start, stop).astype(np.float64).reshape(-1, x.shape[-1])


def _off(look: Look, rows: Floats) -> Floats:
    """How far the largest of each row may be off, relative to itself."""
    return np.asarray(look.rounding.sum_off(rows) + 16.0 * look.rounding.v)


def _temperature(required: Required) -> float:
    return float(required.activation.name.rpartition(".t")[2])


Condition = Callable[[Look], bool]
CONDITIONS: dict[str, Condition] = {
    "finite": finite,
    "contiguous": contiguous,
    "plausible-range": plausible_range,
    "distinct": distinct,
    "cache-zero-when-unused": cache_zero_when_unused,
    "cache-append-only": cache_append_only,
    "mask-before-softmax": mask_before_softmax,
    "probabilities-in-unit-interval": probabilities_in_unit_interval,
    "probabilities-sum-to-one": probabilities_sum_to_one,
    "temperature-flattens": temperature_flattens,
    "generation-continues": generation_continues,
}
