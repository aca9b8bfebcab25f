"""What checks of values allow for rounding, in the subject's precision."""

import math
from dataclasses import dataclass

from bundle_verifier.evidence import ROUNDINGS, SMALLEST_NORMAL, SMALLEST_NORMALS, Evidence


@dataclass(frozen=True)
class Rounding:
    """`v` of a value, `s` of the terms of a sum, the smallest normal number, and the chance of a false alarm."""

    u: float
    v: float
    s: float
    small: float
    false_alarm: float

    @classmethod
    def of(cls, evidence: Evidence) -> "Rounding":
        u = ROUNDINGS[evidence.precision]
        v = u + 2.0**-53
        s = 2.0**-24 + 2.0**-53 if evidence.half else v
        small = SMALLEST_NORMALS.get(evidence.precision, SMALLEST_NORMAL)
        return cls(u, v, s, small, evidence.specs.judging.false_alarm)

    def gamma(self, width: int, rows: int) -> float:
        """How many roundings a sum of a row may be off."""
        return min(
            float(width), math.sqrt(width) * math.sqrt(2.0 * math.log(2.0 * max(rows, 1) / self.false_alarm) / 3.0)
        )
