"""One element of a comparison, as it is recorded."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bundle_verifier.spelling import measured


@dataclass(frozen=True, slots=True)
class Element:
    index: tuple[int, ...]
    actual: float
    expected: float
    error: float
    allowed: float


def multi_index(shape: tuple[int, ...], position: int) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(position, shape)) if shape else ()


def recorded_element(record: dict[str, Any]) -> Element:
    values = [measured(record[name]) for name in ("actual", "expected", "error", "allowed")]
    return Element(tuple(record["index"]), values[0], values[1], values[2], values[3])
