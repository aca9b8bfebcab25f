"""What the three checks of a norm need of its input, row by row, and the rounding that checks allow for."""

import math
import sys
from dataclasses import dataclass

import numpy as np

from bundle_verifier.evidence import ROUNDINGS, SMALLEST_NORMAL, SMALLEST_NORMALS, Evidence
from bundle_verifier.tensor import Floats


@dataclass(frozen=True)
class Rounding:
    """Of the subject's precision: `v` of a value, `s` of the terms of a sum, the smallest normal number."""

    u: float
    v: float
    s: float
    small: float

    @classmethod
    def of(cls, evidence: Evidence) -> "Rounding":
        u = ROUNDINGS[evidence.precision]
        v = u + 2.0**-53
        s = 2.0**-24 + 2.0**-53 if evidence.half else v
        return cls(u, v, s, SMALLEST_NORMALS.get(evidence.precision, SMALLEST_NORMAL))


def gamma(width: int, rows: int) -> float:
    """How many roundings a sum of a row may be off, for one false alarm in 10⁹ tensors."""
    return min(float(width), math.sqrt(width) * math.sqrt(2.0 * math.log(2.0 * max(rows, 1) / 1e-9) / 3.0))


class Norm:
    """Of rows of a norm's input; `count`: of all rows of the tensor."""

    def __init__(self, rows: Floats, count: int, rounding: Rounding, epsilon: float) -> None:
        self.input = rows
        self.mean, self.size = rows.mean(axis=1), np.abs(rows).mean(axis=1)
        self.variance = ((rows - self.mean[:, None]) ** 2).mean(axis=1)
        self.deviation = np.sqrt(self.variance + epsilon)
        self.share = self.variance / (self.variance + epsilon)
        u = gamma(rows.shape[1], count) + 2.0
        self.energy = self.variance + self.mean * self.mean
        a = 3.0 * u * rounding.s * self.energy
        divisor = self.variance + epsilon - a
        self.delta: Floats = np.where(divisor > 0.0, a / divisor, sys.float_info.max)
        self.sum_error = u * rounding.s * self.size


def mean_holds(x: Floats, norm: Norm, v: float) -> bool:
    bound = (norm.sum_error + 8.0 * v * norm.size) / norm.deviation + 4.0 * v
    return bool((np.abs(x.mean(axis=1)) <= bound).all())


def variance_holds(x: Floats, norm: Norm, v: float) -> bool:
    variance = ((x - x.mean(axis=1, keepdims=True)) ** 2).mean(axis=1)
    t = norm.share
    bound = t * (norm.delta + 16.0 * v) + 64.0 * v * v
    bound += 16.0 * v * np.sqrt(t) * np.sqrt(norm.energy) / norm.deviation
    return bool((np.abs(variance - t) <= bound).all())


def element_holds(x: Floats, norm: Norm, v: float) -> bool:
    mean, deviation = norm.mean[:, None], norm.deviation[:, None]
    z = (norm.input - mean) / deviation
    spread = norm.sum_error[:, None] + 4.0 * v * (np.abs(norm.input) + np.abs(mean))
    bound = spread / deviation + (norm.delta[:, None] / 2.0 + 8.0 * v) * np.abs(z)
    return bool((np.abs(x - z) <= bound).all())
