"""Values that follow from the subject's own run: nothing is computed in them that could be rounded."""

import numpy as np
from numpy.typing import NDArray

from bundle_verifier.case import Case, tensor_name
from bundle_verifier.evidence import Captures, Outcome
from bundle_verifier.plan import Plan, Required
from bundle_verifier.problem import BeyondMeansError
from bundle_verifier.tensor import LARGEST_PART, NUMPY, WIDTHS, Floats, Tensor


class _MissingError(Exception):
    pass


def derived(plan: Plan, case: Case, captures: Captures, required: Required) -> Tensor | Outcome:
    """Called once the subject has a tensor of the required shape."""
    if required.elements * WIDTHS[required.dtype] > LARGEST_PART:
        raise BeyondMeansError(
            f"{required.tensor} of {case.id} follows from others and has {required.elements} elements"
        )
    try:
        data = _bytes(plan, case, captures, required)
    except _MissingError as missing:
        return Outcome("missing", f"subject (`{missing}`, from which this follows)")
    if len(data) != required.elements * WIDTHS[required.dtype]:
        return Outcome("unreadable")
    return Tensor.of(required.dtype, required.shape, data)


def _bytes(plan: Plan, case: Case, captures: Captures, required: Required) -> bytes:
    dtype, width = NUMPY[required.dtype], WIDTHS[required.dtype]
    match required.activation.derived_from:
        case "one":
            return b"\1" * (required.elements * width)
        case "scheduled-tokens":
            step = case.steps[required.step or 0]
            return np.array([row[step.past : step.keys] for row in case.token_ids], dtype=dtype).tobytes()
        case "keys-so-far":
            return b"".join(_so_far(case, captures, required, "k"))
        case "values-so-far":
            return b"".join(_so_far(case, captures, required, "v"))
        case "cache-slots":
            row = plan.sizes["C"] * plan.sizes["H"] * plan.sizes["Dh"] * width
            rows = [*_so_far(case, captures, required, "k"), *_so_far(case, captures, required, "v")]
            return b"".join(data.ljust(row, b"\0") for data in rows)
        case "causal-mask":
            return _causal_mask(case, required)
        case "last-position":
            return _last_position(case, captures, required)
        case "argmax":
            logits = _own(captures, tensor_name(required.step, "logits.last"))
            return b"".join(argmax(rows).astype(dtype).tobytes() for _, rows in logits.rows())
        case other:
            raise ValueError(f"{required.plain} is derived from {other}, which this verifier does not know")


def _causal_mask(case: Case, required: Required) -> bytes:
    after = after_the_query(case, required)
    values = np.where(after, -np.inf, 0.0).astype(NUMPY[required.dtype]).tobytes()
    return values * (required.elements // after.size)


def after_the_query(case: Case, required: Required) -> NDArray[np.bool_]:
    """`[S, K]`: which keys come after the query."""
    step = case.steps[required.step or 0]
    return np.arange(step.keys)[None, :] > step.past + np.arange(step.length)[:, None]


def argmax(rows: Floats) -> NDArray[np.int64]:
    """The lowest index of the largest of each row; −1 in a row with NaN."""
    found: NDArray[np.int64] = np.where(np.isnan(rows).any(axis=-1), -1, rows.argmax(axis=-1))
    return found


def _last_position(case: Case, captures: Captures, required: Required) -> bytes:
    logits = _own(captures, tensor_name(required.step, "logits"))
    length, width = case.steps[required.step or 0].length, required.shape[-1]
    if logits.size != case.batch * length * width:
        return b""
    ends = [(row * length + length) * width for row in range(case.batch)]
    return b"".join(logits.bytes(end - width, end) for end in ends)


def _own(captures: Captures, name: str) -> Tensor:
    found = captures.named("subject", "run", name)
    if found is None:
        raise _MissingError(name)
    return found


def _so_far(case: Case, captures: Captures, required: Required, which: str) -> list[bytes]:
    """Of each row of the batch, its bytes of all steps so far."""
    name = f"{required.plain.rpartition('.')[0]}.{which}"
    rows: list[list[bytes]] = [[] for _ in range(case.batch)]
    for step in range((required.step or 0) + 1):
        tensor = _own(captures, tensor_name(step, name))
        data = tensor.bytes(0, tensor.size)
        length = len(data) // case.batch
        for row, parts in enumerate(rows):
            parts.append(data[row * length : (row + 1) * length])
    return [b"".join(parts) for parts in rows]
