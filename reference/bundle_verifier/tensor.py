"""Tensors that stay where they are: elements are read in pieces, in their order."""

import hashlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle_verifier.problem import BeyondMeansError

WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}
NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "u1"}
CHUNK = 131_072  # elements: the chunk in which the format sums
LARGEST_ROW = 1 << 22  # elements that are looked at together
LARGEST_PART = 1 << 27  # bytes that are held together

Values = NDArray[Any]
Floats = NDArray[np.float64]


class Tensor:
    """`read(start, stop)` gives the bytes from start to stop, of a tensor that is there in full."""

    def __init__(self, dtype: str, shape: tuple[int, ...], read: Callable[[int, int], bytes]) -> None:
        self.dtype, self.shape = dtype, shape
        self.size, self.width = math.prod(shape), WIDTHS[dtype]
        self._read = read

    @classmethod
    def of(cls, dtype: str, shape: tuple[int, ...], data: bytes) -> "Tensor":
        return cls(dtype, shape, lambda start, stop: data[start:stop])

    @property
    def is_float(self) -> bool:
        return self.dtype in ("F64", "F32")

    def bytes(self, start: int, stop: int) -> bytes:
        """Of the elements from start to stop."""
        if (stop - start) * self.width > LARGEST_PART:
            raise BeyondMeansError(f"{stop - start} elements of a tensor of shape {list(self.shape)} at once")
        return self._read(start * self.width, stop * self.width)

    def part(self, start: int, stop: int) -> Values:
        return np.frombuffer(self.bytes(start, stop), dtype=NUMPY[self.dtype])

    def numbers(self, start: int, stop: int) -> Values:
        """The same as `part`, with half precision as f32, which holds it exactly."""
        part = self.part(start, stop)
        if self.dtype == "BF16":  # the upper half of an f32
            return (part.astype(np.uint32) << 16).view(np.float32)
        return part.astype(np.float32) if self.dtype == "F16" else part

    def array(self) -> Values:
        """All of it in its shape, half precision as f32."""
        whole = np.concatenate([self.numbers(start, stop) for start, stop in spans(self.size)] or [self.numbers(0, 0)])
        return whole.reshape(self.shape)

    def chunks(self) -> Iterator[tuple[int, Values]]:
        for start, stop in spans(self.size):
            yield start, self.part(start, stop)

    def rows(self) -> Iterator[tuple[int, Floats]]:
        """Whole rows along the last dimension as binary64, with the number of the first of them."""
        width = self.shape[-1] if self.shape else 1
        for start, stop in row_spans(self.size, width):
            yield start // width, self.part(start, stop).astype(np.float64).reshape(-1, width)

    def digest(self) -> str:
        """SHA-256 of dtype, shape and bytes."""
        dtype = "Bool" if self.dtype == "BOOL" else self.dtype
        digest = hashlib.sha256(f"{dtype} [{', '.join(map(str, self.shape))}]\n".encode())
        for start, stop in spans(self.size):
            digest.update(self.bytes(start, stop))
        return digest.hexdigest()


def spans(size: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + CHUNK, size)) for start in range(0, size, CHUNK))


def row_spans(size: int, width: int) -> Iterator[tuple[int, int]]:
    """Spans of whole rows, of about a chunk each."""
    if width > LARGEST_ROW:
        raise BeyondMeansError(f"rows of {width} elements; this verifier looks at no more than {LARGEST_ROW} together")
    step = max(CHUNK // max(width, 1), 1) * max(width, 1)
    return ((start, min(start + step, size)) for start in range(0, size, step))


def same_bytes(a: Tensor, b: Tensor) -> bool:
    """Of two tensors of as many bytes."""
    return all(a.bytes(start, stop) == b.bytes(start, stop) for start, stop in spans(a.size))
