"""The rules of magnitudes, compiled, in a process that has them: the worker's. In any other, NumPy's stand for them.

Both are the same rules. A compiled one goes over the memory once where NumPy's goes once for each operation, and has no
answer where f32 does not hold it.
"""

import sys
from typing import Any

import numpy as np

from trialplate_reference.arrays import Array

MODULE = "trialplate_magnitude"


def rule(name: str, *arguments: Any) -> Any:
    """What the compiled rule answers; None where there is none."""
    rules = sys.modules.get(MODULE)
    return None if rules is None else getattr(rules, name)(*arguments)


def activation(array: Array) -> Array:
    return np.ascontiguousarray(array, np.float64)


def single(array: Array | None) -> Array | None:
    """Errors and weights, as f32; what it does not hold becomes infinite, which no rule answers to."""
    if array is None or (array.dtype == np.float32 and array.flags.c_contiguous):
        return array
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float32)
