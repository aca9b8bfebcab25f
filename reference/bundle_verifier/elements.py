"""One element of a comparison, as it is recorded."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle_verifier.schema import measured


@dataclass(frozen=True)
class Element:
    index: tuple[int, ...]
    actual: float
    expected: float
    error: float
    allowed: float


def element(
    shape: tuple[int, ...],
    position: int,
    actual: NDArray[np.float64],
    expected: NDArray[np.float64],
    error: NDArray[np.float64],
    allowed: float,
) -> Element:
    index = tuple(int(i) for i in np.unravel_index(position, shape)) if shape else ()
    return Element(index, float(actual[position]), float(expected[position]), float(error[position]), allowed)


def recorded_element(record: dict[str, Any]) -> Element:
    values = [measured(record[name]) for name in ("actual", "expected", "error", "allowed")]
    return Element(tuple(record["index"]), values[0], values[1], values[2], values[3])
