"""Half precision: numbers stored in f16 or bf16, held as f32."""

import numpy as np

from trialplate_reference.arrays import Array

HALVES = ("f16", "bf16")


def rounded(array: Array, precision: str) -> Array:
    """The nearest numbers of a half precision, ties to even, as f32, which holds them exactly."""
    single = np.ascontiguousarray(array, dtype=np.float32)
    if precision == "f16":
        with np.errstate(over="ignore"):
            return single.astype(np.float16).astype(np.float32)
    bits = single.view(np.uint32)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(single), single, nearest.view(np.float32))
