"""What checks of values allow for rounding, in the subject's precision."""

from dataclasses import dataclass

import numpy as np

from bundle_verifier.blocks import Floats
from bundle_verifier.bounds import Rounding as Bounds
from bundle_verifier.evidence import ROUNDINGS, SMALLEST_NORMAL, SMALLEST_NORMALS, Evidence


@dataclass(frozen=True)
class Rounding:
    """`v` of a value, `s` of the terms of a sum, the smallest normal number, and the bounds of sums."""

    u: float
    v: float
    s: float
    small: float
    bounds: Bounds

    @classmethod
    def of(cls, evidence: Evidence, confidence: float) -> "Rounding":
        u = ROUNDINGS[evidence.precision]
        v = u + 2.0**-53
        s = 2.0**-24 + 2.0**-53 if evidence.half else v
        small = SMALLEST_NORMALS.get(evidence.precision, SMALLEST_NORMAL)
        return cls(u, v, s, small, Bounds(confidence, evidence.specs.judging.functions))

    def sum_off(self, rows: Floats) -> Floats:
        """How far the sum of each row of probabilities may be off from its whole."""
        return np.asarray(self.bounds.total(rows)[..., 0] * self.s)
