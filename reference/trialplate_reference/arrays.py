"""The one kind of value that crosses the borders of this package."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DTYPES: dict[str, npt.DTypeLike] = {"f16": np.float32, "bf16": np.float32, "f32": np.float32, "f64": np.float64}
"""Arrays by precision: numbers of half precision cross the borders as f32, which holds them exactly."""
