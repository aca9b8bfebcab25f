"""Magnitudes: how far a correct f32 result may lie from the exact one, element by element.

The oracle gives, beside each exact result y, a bound M in units of u = 2⁻²⁴: a correct f32 implementation has
|ŷ − y| ≤ u·M, whatever its order of summation. M is a running error bound (Wilkinson; Higham, *Accuracy and Stability
of Numerical Algorithms*, 2nd ed. 2002, §3.3): each rule here takes values together with the errors they already carry,
and adds what one operation rounds. All rules are of first order in u; terms of second order appear where they matter.

**Model** (Higham 2002, §2.2): fl(a op b) = (a op b)(1 + δ) + η with |δ| ≤ u, for + − × ÷ √ and for the fused
multiply-add, which rounds once where the model allows twice. η: a result below 2⁻¹²⁶ may be flushed to zero, so
|η| ≤ 2⁻¹²⁶ (`FLUSHED`, in units of u). A constant that f32 cannot hold is rounded once more.

**Accumulations.** The error of a sum of n terms is the sum of its roundings, each at most u times a partial sum. In any
order, blocked or as a tree, a partial sum is at most all positive or all negative terms, whichever is more: the reach
R = (Σ|xᵢ| + |Σxᵢ|)/2. n − 1 additions and the n products, if the terms are products, thus have roundings whose squares
sum up to at most (n + 1)·(u·R)², as Σxᵢ² ≤ 2R². Hence in every order:

- for certain, the error is at most (n + 1)·u·R (Higham 2002, §3.1 and §4.2), and twice that in any rounding mode;
- for independent roundings of mean 0 it exceeds λ·√(n + 1)·u·R with a probability of at most 2·exp(−λ²/2) (Higham &
  Mary, "A New Approach to Probabilistic Rounding Error Analysis", SIAM J. Sci. Comput. 41(5), 2019). That is
  Hoeffding's inequality for any |δ| ≤ u. Roundings are close to uniform in ±u, whose tails are below those of a
  Gaussian of the same variance u²/3, which makes it 2·exp(−3λ²/2).

`Rounding.of_terms` is the smaller of 2(n + 1) and c·√(n + 1). With N elements in a run and a probability p of one false
alarm in it, 2·exp(−3c²/2) = p/N gives c = √(2·ln(2N/p)/3).

**Elementary functions** are assumed within 2 ulp, that is 4u relative: exp, exp2, rsqrt (1/√x by two correct roundings
is within 2u); those of glibc, SLEEF, the vector libraries and CUDA are. exp(x) may be exp2(x·log₂e), whose constant and
product make it 2|x|u more; CUDA's `__expf` has 2.4|x|u. tanh may be 2σ(2x) − 1, whose error is small in absolute terms
only: 6u.

**Half precision**: `half` derives the bounds of results that are stored in f16 or bf16 from these.

**Not covered**: products in TF32, or whose sums are kept in f16 or bf16; Strassen's and Winograd's products, which have
no elementwise bound; the textbook variance E[x²] − μ² where μ² is far above the variance (Chan, Golub & LeVeque, *The
American Statistician* 37(3), 1983: its condition number is the square of the updating algorithms').
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trialplate_reference import compiled
from trialplate_reference.arrays import Array
from trialplate_reference.blocks import (
    Bounds,
    Precision,
    absolutes,
    blocks,
    dot,
    in_blocks,
    narrowed,
    nonzero,
    row_sum,
    sizes,
)

UNIT = 2.0**-24
FLUSHED = 2.0**-126 / UNIT

_SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
_CUBIC = 0.044715
_SPREAD = 1e-4
"""Of terms that may be equal: the square of their relative deviation, well above what f32 makes of it."""
_FARTHEST = 1e30
"""Below the largest score: exp of that is 0 many times over."""


@dataclass(frozen=True)
class Bounded:
    """Exact values, and the bounds on the errors that a correct implementation's carry, in units of `UNIT`."""

    value: Array
    error: Array
    """Of the shape of `value`, or one 0 for all of it."""
    stored: Array | None = None
    """What one rounding to half precision costs, where each element was stored in it; `error` holds it twice."""

    @staticmethod
    def exact(value: Array) -> "Bounded":
        return Bounded(value, np.zeros((), np.float32))

    @property
    def is_exact(self) -> bool:
        return self.error.ndim == 0

    @property
    def carried(self) -> Array | None:
        return None if self.is_exact else self.error

    @property
    def errors(self) -> Array:
        return np.broadcast_to(self.error, self.value.shape)

    @functools.cached_property
    def magnitude(self) -> Array:
        return np.abs(self.value)

    def swapaxes(self, first: int, second: int) -> "Bounded":
        error = self.error if self.is_exact else self.error.swapaxes(first, second)
        stored = None if self.stored is None else self.stored.swapaxes(first, second)
        return Bounded(self.value.swapaxes(first, second), error, stored)


class Rounding:
    """The rules, for one confidence c; `multiply` is the matrix product that they use."""

    def __init__(self, confidence: float, multiply: Callable[[Array, Array], Array] = np.matmul):
        if not (math.isfinite(confidence) and confidence > 0):
            raise ValueError(f"the confidence of the magnitudes is {confidence}; expected a finite number above 0")
        self._confidence, self.multiply = confidence, multiply

    def of_terms(self, count: Array) -> Array:
        """γ(n): the units that an accumulation of n terms may be off, relative to its reach."""
        bound: Array = np.minimum(self._confidence * np.sqrt(count + 1), 2 * (count + 1))
        return bound

    def total(self, terms: Array) -> Array:
        """Σxᵢ over the last axis: γ(n)·R. Zeros are added exactly and are not counted.

        The square root law needs roundings of mean 0. Two kinds of sums do not have them, and are recognised:

        - Terms below the resolution of the sum leave it as it is, all of them with an error of the same sign
          (stagnation: Higham 2002, §4.2). Adding x to s costs at most min(|x|, u·|s|), since s itself is a candidate;
          so terms below 2u·R are charged at most themselves, in any order. Squares of a residual stream with an outlier
          channel and the tails of a softmax over a vocabulary are such sums.
        - Terms equal to within 2u·R meet the same rounding at every addition, as in constant rows: the certain bound.
        """
        return self._total(np.abs(terms), np.abs(terms.sum(-1, keepdims=True)))

    def _total(self, terms: Array, sum_: Array | None = None) -> Array:
        """`total` of terms of these sizes, whose sum has this size, if it is not that of the sizes.

        Only rows with n·Σxᵢ² close to (Σ|xᵢ|)² may have equal terms: their difference is n² times the variance.
        """
        whole, count = row_sum(terms), nonzero(terms)
        reach = whole if sum_ is None else (whole + sum_) / 2
        resolution = 2 * UNIT * reach
        lost = dot(np.minimum(terms, resolution / 2), (terms <= resolution).astype(terms.dtype))
        certain = 2 * (count + 1) * reach
        bound = np.minimum(self.of_terms(count) * reach + lost / UNIT, certain)
        candidates = (count * dot(terms, terms) <= (1 + _SPREAD) * whole * whole + _SPREAD**8)[..., 0]
        if candidates.any():
            found = terms[candidates]
            smallest = np.where(found == 0, np.inf, found).min(-1, keepdims=True)
            equal = found.max(-1, keepdims=True) - smallest <= resolution[candidates]
            bound[candidates] = np.where(equal, certain[candidates], bound[candidates])
        return np.asarray(bound)

    def add(self, sum_: Array, *carried: Array) -> Array:
        """s = x + y: one rounding of the result, and the errors that x and y carry.

        IEEE addition costs u|s|. Twice as much is allowed (one ulp), for another rounding mode or a rounding to f32
        of a wider sum, and so that a correct sum uses half of it.
        """
        errors = [error for error in carried if error.ndim]
        bound = compiled.rule("add", compiled.activation(sum_), *map(compiled.single, errors))
        return in_blocks(narrowed(self._add), sum_, *errors)[0] if bound is None else bound

    @staticmethod
    def _add(precision: Precision, sum_: Array, *carried: Array) -> Bounds:
        bound = absolutes(sum_, precision)
        bound *= 2
        bound += FLUSHED
        for error in carried:
            bound += error.astype(precision, copy=False)
        return (bound,)

    def product(
        self,
        x: Bounded,
        y: Array,
        result: Array,
        carried: Array | None = None,
        bias: Array | None = None,
        scale: float | None = None,
    ) -> Array:
        """z = x·y + b with n terms: γ(n)·R, where R = (|x||y| + |b| + |z|)/2; the bias is a term.

        Of y and b the magnitudes are given, and `carried` is E_y. Terms with an x of 0 are exact and are not counted.
        Errors that x and y carry become E_x|y| + |x|E_y. Each of the products may be flushed. Of z = s·(x·y + b) the
        bound is s times that, and two roundings more: of s, and of the product with it.
        """
        bound = self._compiled_product(x, y, result, carried, bias, scale)
        return narrowed(self._product)(x, y, result, carried, bias, scale)[0] if bound is None else bound

    def _compiled_product(
        self,
        x: Bounded,
        y: Array,
        result: Array,
        carried: Array | None,
        bias: Array | None,
        scale: float | None,
    ) -> Array | None:
        value, error = compiled.activation(x.value), compiled.single(x.carried)
        weighed = compiled.rule("weigh", self._confidence, value, error, bias is not None)
        if weighed is None:
            return None
        weighted, counts = weighed
        with np.errstate(over="ignore", invalid="ignore"):
            bound = np.ascontiguousarray(self._multiplied(weighted, y))
            if carried is not None:
                bound += self._multiplied(sizes(x.value, np.float32), carried)
        z, bias = compiled.activation(result), compiled.single(bias)
        return bound if compiled.rule("complete", self._confidence, bound, z, counts, bias, scale) else None

    def _product(
        self,
        precision: Precision,
        x: Bounded,
        y: Array,
        result: Array,
        carried: Array | None,
        bias: Array | None,
        scale: float | None,
    ) -> Bounds:
        terms = sizes(x.value, precision)
        count = nonzero(terms) + (bias is not None)
        factor = self.of_terms(count) / 2
        weighted = factor * terms
        if not x.is_exact:
            weighted += x.error.astype(precision, copy=False)
        bound = np.ascontiguousarray(self._multiplied(weighted, y))  # so that blocks of it are it
        if carried is not None:
            bound += self._multiplied(terms, carried)
        rest = (count + 1) * FLUSHED
        if bias is not None:
            rest = rest + factor * bias
        if scale is not None:
            bound *= scale
            rest, factor = scale * rest + 2 * FLUSHED, factor + 2

        for of_rows, value, slope, constant in blocks(bound, result, factor, rest):
            added = absolutes(value, precision)
            added *= slope
            added += constant
            of_rows += added
        return (bound,)

    def _multiplied(self, x: Array, y: Array) -> Array:
        """x·y of magnitudes, in f32 where x or y is: no term cancels another. Rows of a wider x are brought into f32's
        range first.
        """
        if x.dtype == np.float32 or y.dtype != np.float32:
            return self.multiply(x, y.astype(x.dtype, copy=False))
        largest = x.max(-1, keepdims=True)
        scale = np.where(largest == 0, 1, largest)
        return np.asarray(np.multiply(self.multiply((x / scale).astype(np.float32), y), scale, dtype=np.float64))

    def scores(self, q: Bounded, k: Bounded, result: Array) -> Array:
        """s·(q·k) with s = 1/√Dh."""
        k = k.swapaxes(-1, -2)
        return self.product(q, k.magnitude, result, k.carried, scale=1 / math.sqrt(q.value.shape[-1]))

    def layer_norm(self, x: Bounded, epsilon: float, weight: Array, bias: Array) -> tuple[Array, Array]:
        """The bounds of n = (x − μ)·r with r = 1/√(v + ε), and of y = n·g + b, over rows of D.

        d = x − μ: μ is a sum over D (`total`) and two roundings (1/D and the product with it), μ·r and x·r may be
        rounded before they are subtracted: E_d = total(x)/D + 3|μ| + |x| + |d|.

        v: the error that all d share cancels, as Σd = 0, up to its square, which counts where v is tiny. Squares, sum
        and 1/D: total(d²)/D + 5v. Updating and pairwise algorithms (Welford, Chan) have the condition number
        κ = √(1 + μ²/v) in place of 1: γ(D)·κ·v = γ(D)·√(v(v + μ²)). The larger counts. v + ε: two roundings, of ε and
        of the sum. With E_v relative to v + ε, r and n have E_v/2, and the root with its reciprocal 4, the product 1:
        E_n = E_d·r + |n|·(E_v/2 + 5).

        y: the product with g and the sum, E_n·|g| + 2|n·g| + |b|; a second |b| where b − μ·r·g is rounded first.

        Errors in x: dn = r·(dx − mean(dx)) − n·r·mean(n·dx), and dv has mean(dx²) in addition.
        """
        weights = compiled.single(weight), compiled.single(bias)
        value, error = compiled.activation(x.value), compiled.single(x.carried)
        bounds = compiled.rule("layer_norm", self._confidence, epsilon, *weights, value, error)
        if bounds is None:
            rule = functools.partial(self._layer_norm, epsilon, weight, bias)
            bounds = in_blocks(narrowed(rule), x.value, x.carried)
        normalized, output = bounds
        return normalized, output

    def _layer_norm(
        self, epsilon: float, weight: Array, bias: Array, precision: Precision, x: Array, error: Array | None
    ) -> Bounds:
        width = x.shape[-1]
        mean = row_sum(x) / width
        centred = x - mean
        variance = dot(centred, centred) / width
        inverse = (1 / np.sqrt(variance + epsilon)).astype(precision)
        mean, variance = absolutes(mean, precision), variance.astype(precision)
        terms, centred = sizes(x, precision), absolutes(centred, precision)

        shared = self._total(terms, mean * width) / width + 3 * mean
        updating = self.of_terms(np.array(width, precision)) * np.sqrt(variance * (variance + mean * mean))
        spread = np.maximum(self._total(centred * centred) / width, updating) + 5 * variance + UNIT * shared * shared
        relative = spread * inverse * inverse / 2 + 1 + 5
        errors = centred * (1 + relative)
        errors += terms
        errors += shared + FLUSHED
        normalized = np.multiply(centred, inverse, out=centred)
        if error is not None:
            carried: Array = error.astype(precision, copy=False)
            common = (dot(normalized, carried) + UNIT / 2 * inverse * dot(carried, carried)) / width
            errors += carried
            errors += row_sum(carried) / width
            errors += normalized * common
        errors *= inverse
        normalized *= 2
        normalized += errors
        normalized *= weight
        normalized += 2 * (bias + FLUSHED)
        errors += FLUSHED
        return errors, normalized

    def softmax(self, z: Bounded, probs: Array) -> Array:
        """p = exp(t)/Σexp(t) with t = z − max z, over rows; z = −∞ is masked.

        Relative to itself, exp(t) has the subtraction's |t|, 3|t| for exp2 and the function's 4: a = 4|t| + 4. The
        denominator has the mean of those, Σp·a, and the additions, total(p); division, or reciprocal and product: 2.
        E_p = p·(a + Σp·a + total(p) + 2). An error in the maximum is shared by all t and cancels in p, so errors in z
        count as p·(E_z + Σp·E_z). Probabilities in f32 may be flushed, before the division and after it.
        A masked element is exactly 0: the bound is 0 too.
        """
        scores, error = compiled.activation(z.value), compiled.single(z.carried)
        bound = compiled.rule("softmax", self._confidence, scores, compiled.activation(probs), error)
        return in_blocks(narrowed(self._softmax), z.value, probs, z.carried)[0] if bound is None else bound

    def _softmax(self, precision: Precision, z: Array, probs: Array, error: Array | None) -> Bounds:
        relative = (z.max(-1, keepdims=True) - z).astype(precision)
        np.minimum(relative, _FARTHEST, out=relative)
        relative *= 4
        if error is not None:
            relative += error.astype(precision, copy=False)
        p = sizes(probs, precision)
        relative += 4 + 4 * row_sum(p) + dot(relative, p) + self._total(p) + 2
        relative *= p
        relative += 2 * FLUSHED
        masked = z == -np.inf
        if masked.any():
            relative[masked] = 0
        return (relative,)

    def tempered(self, logits: Bounded, temperature: float) -> Bounded:
        """l/T: exact where T is a power of two; else the reciprocal and the product are rounded."""
        value = logits.value / temperature
        rounded = 0.0 if math.frexp(temperature)[0] == 0.5 else 2 * np.abs(value)
        return Bounded(value, np.asarray(logits.error / temperature + rounded))

    def gelu(self, x: Bounded) -> Array:
        """y = ½x(1 + tanh w), w = √(2/π)·(x + 0.044715x³).

        w: the constant √(2/π), its product and the sum, 3 roundings, and one more where it is x(1 + 0.044715x²); the
        cube has in addition its constant, that product, and 4 where x³ is a power function: 9 in all.
        E_w = √(2/π)·(4|x| + 9·0.044715|x|³). With t = tanh w, E_t = (1 − t²)·E_w + 6: the form 2σ(2w) − 1 has
        (1 − t²)(2 + 2|w|) from its exp2, 2(1 + |t|) from sum and division, and |t| from the subtraction, at most 6.
        The sum 1 + t and the product with x are relative to y: E = ½|x|·E_t + 2|y|. x·σ(2w) stays below that. With
        2|y| = |x|(1 + t), E = |x|(4 + t) + x²·(1 − t²)·√(2/π)·(2 + 4.5·0.044715x²).

        Errors in x: the derivative here, and the curvature, below 0.8, times half the error; nowhere above 1.13.
        """
        bound = compiled.rule("gelu", compiled.activation(x.value), compiled.single(x.carried))
        return in_blocks(narrowed(self._gelu), x.value, x.carried)[0] if bound is None else bound

    @staticmethod
    def _gelu(precision: Precision, x: Array, error: Array | None) -> Bounds:
        x = x.astype(precision)
        square: Array = x * x
        cubic = (_SQRT_2_OVER_PI * _CUBIC) * square
        tanh = np.tanh((cubic + _SQRT_2_OVER_PI) * x)
        slope = 1 - tanh * tanh
        bound = (tanh + 4) * np.abs(x)
        if error is not None:
            carried: Array = error.astype(precision, copy=False)
            derivative = slope * (3 * cubic + _SQRT_2_OVER_PI)
            derivative *= x
            derivative += tanh
            derivative += 1
            np.abs(derivative, out=derivative)
            derivative += carried * (0.8 * UNIT)
            np.minimum(derivative, 2 * 1.13, out=derivative)
            derivative *= carried
            derivative /= 2
            bound += derivative
        slope *= square
        slope *= 4.5 * cubic + 2 * _SQRT_2_OVER_PI
        bound += slope
        bound += 2 * FLUSHED
        return (bound,)
