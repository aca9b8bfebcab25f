"""Arrays of any library, as NumPy's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}
"""What safetensors calls them."""


@dataclass(frozen=True)
class Held:
    """An array, and the digest that its bytes had when it was handed over."""

    dtype: str
    """As safetensors names it."""
    array: np.ndarray[Any, Any]
    """Little-endian; of bfloat16, the bits as 16-bit integers."""
    digest: bytes

    def content(self) -> bytes:
        """The bytes in row-major order, as they are now."""
        return np.ascontiguousarray(self.array).tobytes()

    def was_overwritten(self) -> bool:
        return digest_of(self.array) != self.digest


def digest_of(array: np.ndarray[Any, Any]) -> bytes:
    # Of a scalar there is no view as bytes: it is given one axis.
    return hashlib.blake2b(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, digest_size=16).digest()


def hold(value: Any, copy: bool) -> Held:
    """Take in an array of anything: NumPy, PyTorch, what has `__array__`, `__dlpack__` or `numpy()`, nested lists.

    Raises `TypeError` for what holds no numbers.
    """
    array = _as_numpy(value)
    dtype = DTYPES.get("bfloat16" if isinstance(array, _Bits) else array.dtype.name)
    if dtype == "BF16":
        array = array.view(np.uint16)
    if dtype is None:
        raise TypeError(f"the dtype is {array.dtype}, expected one of {', '.join(DTYPES)}")
    array = np.asarray(array, dtype=array.dtype.newbyteorder("<"))
    if copy:
        array = np.array(array, order="C", copy=True)
    return Held(dtype, array.view(np.ndarray), digest_of(array))


class _Bits(np.ndarray[Any, Any]):
    """Bits of bfloat16, which NumPy has no name for."""


def _as_numpy(value: Any) -> np.ndarray[Any, Any]:
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        return _of_torch(value)
    if isinstance(value, np.ndarray) or hasattr(value, "__array__"):
        return np.asarray(value)
    if hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    if hasattr(value, "numpy"):
        return np.asarray(value.numpy())
    return np.asarray(value)


def _of_torch(tensor: Any) -> np.ndarray[Any, Any]:
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    if str(tensor.dtype) == "torch.bfloat16":
        import torch

        bits: np.ndarray[Any, Any] = tensor.view(torch.int16).numpy().view(_Bits)
        return bits
    array: np.ndarray[Any, Any] = tensor.numpy()
    return array
