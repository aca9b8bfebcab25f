"""The one kind of value that crosses the borders of this package."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DTYPES: dict[str, npt.DTypeLike] = {"f32": np.float32, "f64": np.float64}
