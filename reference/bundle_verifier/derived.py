"""Values that follow from the subject's own run: nothing is computed in them that could be rounded."""

import math

import numpy as np
from numpy.typing import NDArray

from bundle_verifier.case import Case, tensor_name
from bundle_verifier.evidence import Captures, Evidence, Outcome
from bundle_verifier.operations import argmax
from bundle_verifier.plan import Required
from bundle_verifier.problem import BeyondMeansError
from bundle_verifier.tensor import LARGEST_PART, NUMPY, WIDTHS, Tensor


class _MissingError(Exception):
    pass


def derived(
    evidence: Evidence, case: Case, captures: Captures, side: str, required: Required
) -> Tensor | Outcome | None:
    """Called once that side has a tensor of the required shape; None where the model is needed and not at hand."""
    if required.activation.derived_from == "weight-digest" and evidence.model is None:
        return None
    if required.elements * WIDTHS[required.dtype] > LARGEST_PART:
        raise BeyondMeansError(
            f"{required.tensor} of {case.id} follows from others and has {required.elements} elements"
        )
    try:
        data = _Source(evidence, case, captures, side, required).data()
    except _MissingError as missing:
        return Outcome("missing", f"{side} (`{missing}`, from which this follows)")
    if len(data) != required.elements * WIDTHS[required.dtype]:
        return Outcome("unreadable")
    return Tensor.of(required.dtype, required.shape, data)


class _Source:
    def __init__(self, evidence: Evidence, case: Case, captures: Captures, side: str, required: Required) -> None:
        self._evidence, self._case, self._captures = evidence, case, captures
        self._side, self._required = side, required

    def data(self) -> bytes:
        required = self._required
        dtype, width = NUMPY[required.dtype], WIDTHS[required.dtype]
        match required.activation.derived_from:
            case "one":
                return b"\1" * (required.elements * width)
            case "weight-digest":
                model = self._evidence.model
                weight = None if model is None else model.weights.get(required.plain.removeprefix("weights."))
                return b"" if weight is None else bytes.fromhex(weight.digest())
            case "scheduled-tokens":
                step = self._case.steps[required.step or 0]
                return np.array([row[step.past : step.keys] for row in self._case.token_ids], dtype=dtype).tobytes()
            case "cache-slots":
                row = math.prod(required.shape[2:]) * width
                rows = [part for name in self._inputs() for part in self._so_far(name)]
                return b"".join(data.ljust(row, b"\0") for data in rows)
            case "greedy":
                logits = self._own(self._inputs()[0])
                return b"".join(argmax(rows).astype(dtype).tobytes() for _, rows in logits.rows())
            case other:
                raise ValueError(f"{required.plain} is derived from {other}, which this verifier does not know")

    def _inputs(self) -> list[str]:
        """Direct inputs of the same step."""
        return self._evidence.plan.inputs_of_the_step(self._required, self._case)

    def _own(self, name: str) -> Tensor:
        found = self._captures.named(self._side, name)
        if found is None:
            raise _MissingError(name)
        return found

    def _so_far(self, name: str) -> list[bytes]:
        """Of each row of the batch, its bytes of all steps so far."""
        activation = name.split("/", 1)[1]
        rows: list[list[bytes]] = [[] for _ in range(self._case.batch)]
        for step in range((self._required.step or 0) + 1):
            tensor = self._own(tensor_name(step, activation))
            data = tensor.bytes(0, tensor.size)
            length = len(data) // self._case.batch
            for row, parts in enumerate(rows):
                parts.append(data[row * length : (row + 1) * length])
        return [b"".join(parts) for parts in rows]


def after_the_query(case: Case, required: Required) -> NDArray[np.bool_]:
    """`[S, K]`: which keys come after the query."""
    step = case.steps[required.step or 0]
    return np.arange(step.keys)[None, :] > step.past + np.arange(step.length)[:, None]
