"""Values that follow from the subject's own run: nothing is computed in them that could be rounded."""

import numpy as np

from bundle_verifier.evidence import Captures, Outcome
from bundle_verifier.law import Case
from bundle_verifier.plan import Plan, Required
from bundle_verifier.tensor_file import NUMPY, Tensor


class _MissingError(Exception):
    pass


def derived(plan: Plan, case: Case, captures: Captures, required: Required) -> Tensor | Outcome:
    try:
        data = _bytes(plan, case, captures, required)
    except _MissingError as missing:
        return Outcome("missing", f"subject (`{missing}`, from which this follows)")
    dtype = np.dtype(NUMPY[required.dtype])
    if len(data) != required.elements * dtype.itemsize:
        return Outcome("unreadable")
    return np.frombuffer(data, dtype=dtype).reshape(required.shape)


def _bytes(plan: Plan, case: Case, captures: Captures, required: Required) -> bytes:
    dtype = NUMPY[required.dtype]
    match required.activation.derived_from:
        case "one":
            return b"\1" * (required.elements * np.dtype(dtype).itemsize)
        case "scheduled-tokens":
            step = case.steps[required.step or 0]
            return np.array([row[step.past : step.keys] for row in case.token_ids], dtype=dtype).tobytes()
        case "keys-so-far":
            return b"".join(_so_far(case, captures, required, "k"))
        case "values-so-far":
            return b"".join(_so_far(case, captures, required, "v"))
        case "cache-slots":
            row = plan.sizes["C"] * plan.sizes["H"] * plan.sizes["Dh"] * np.dtype(dtype).itemsize
            rows = [*_so_far(case, captures, required, "k"), *_so_far(case, captures, required, "v")]
            return b"".join(data.ljust(row, b"\0") for data in rows)
        case "causal-mask":
            return causal_mask(case, required).tobytes()
        case "last-position":
            return _own(captures, required, "logits")[:, -1].tobytes()
        case "argmax":
            return argmax(_own(captures, required, "logits.last")).astype(dtype).tobytes()
        case other:
            raise ValueError(f"{required.plain} is derived from {other}, which this verifier does not know")


def causal_mask(case: Case, required: Required) -> Tensor:
    after = after_the_query(case, required)
    values = np.where(after, -np.inf, 0.0).astype(NUMPY[required.dtype])
    return np.broadcast_to(values, required.shape)


def after_the_query(case: Case, required: Required) -> Tensor:
    """`[S, K]`: which keys come after the query."""
    step = case.steps[required.step or 0]
    return np.arange(step.keys)[None, :] > step.past + np.arange(step.length)[:, None]


def argmax(rows: Tensor) -> Tensor:
    """The lowest index of the largest of each row; −1 in a row with NaN."""
    found: Tensor = np.where(np.isnan(rows).any(axis=-1), -1, rows.argmax(axis=-1))
    return found


def _own(captures: Captures, required: Required, activation: str, step: int | None = None) -> Tensor:
    name = f"step{required.step if step is None else step}/{activation}"
    file = captures.file("subject", "run")
    if file is None or name not in file.entries:
        raise _MissingError(name)
    return file.read(name)


def _so_far(case: Case, captures: Captures, required: Required, which: str) -> list[bytes]:
    """Of each row of the batch, its bytes of all steps so far."""
    name = f"{required.plain.rpartition('.')[0]}.{which}"
    tensors = [_own(captures, required, name, step) for step in range((required.step or 0) + 1)]
    rows: list[list[bytes]] = [[] for _ in range(case.batch)]
    for tensor in tensors:
        data = tensor.tobytes()
        length = len(data) // case.batch
        for row, parts in enumerate(rows):
            parts.append(data[row * length : (row + 1) * length])
    return [b"".join(parts) for parts in rows]
