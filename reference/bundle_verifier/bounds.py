"""Bounds: how far a correct f32 result may lie from the exact one, element by element.

Beside each exact result y stands a bound M in units of u = 2⁻²⁴: a correct f32 implementation has
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

**Elementary functions** are assumed to be within what `Functions` says, in units: exp, and what exp2(x·log₂e) adds for
each unit of |x|; tanh, absolute, as 2σ(2x) − 1 is; √ and its reciprocal together. exp2 and rsqrt are as good as they.

**Half precision**: `half_bounds` derives the bounds of results that are stored in f16 or bf16 from these.

**Not covered**: products in TF32, or whose sums are kept in f16 or bf16; Strassen's and Winograd's products, which have
no elementwise bound; the textbook variance E[x²] − μ² where μ² is far above the variance (Chan, Golub & LeVeque, *The
American Statistician* 37(3), 1983: its condition number is the square of the updating algorithms').
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bundle_verifier import operations
from bundle_verifier.blocks import Floats, dot, in_blocks, nonzero, row_sum
from bundle_verifier.operations import CUBIC, SQRT_2_OVER_PI, Array

UNIT = 2.0**-24
FLUSHED = 2.0**-126 / UNIT

_SPREAD = 1e-4
"""Of terms that may be equal: the square of their relative deviation, well above what rounding makes of it."""
_FARTHEST = 1e30
"""Below the largest score: exp of that is 0 many times over."""


@dataclass(frozen=True)
class Bounded:
    """Exact values, and the bounds on the errors that a correct implementation's carry, in units of `UNIT`."""

    value: Array
    error: Floats
    """Of the shape of `value`, or one 0 for all of it."""
    stored: Floats | None = None
    """What one rounding to half precision costs, where each element was stored in it; `error` holds it twice."""

    @staticmethod
    def exact(value: Array) -> "Bounded":
        return Bounded(value, np.zeros(()))

    @property
    def is_exact(self) -> bool:
        return self.error.ndim == 0

    @property
    def carried(self) -> Floats | None:
        return None if self.is_exact else self.error

    @property
    def errors(self) -> Floats:
        return np.broadcast_to(self.error, self.value.shape)

    @property
    def allowed(self) -> Floats:
        """How far each element may be off."""
        return np.asarray(UNIT * self.errors)

    @functools.cached_property
    def size(self) -> Floats:
        return np.abs(self.value)

    def moved(self, move: Callable[[Array], Array]) -> "Bounded":
        """The same numbers elsewhere: nothing is rounded."""
        error = self.error if self.is_exact else move(self.error)
        return Bounded(move(self.value), error, None if self.stored is None else move(self.stored))

    def swapaxes(self, first: int, second: int) -> "Bounded":
        return self.moved(lambda array: array.swapaxes(first, second))

    def append(self, new: "Bounded") -> "Bounded":
        """`new` behind this, along the sequence."""
        exact = self.is_exact and new.is_exact
        error = self.error if exact else operations.append(self.errors, new.errors)
        stored = None
        if self.stored is not None or new.stored is not None:
            parts = (np.zeros(part.value.shape) if part.stored is None else part.stored for part in (self, new))
            stored = operations.append(*parts)
        return Bounded(operations.append(self.value, new.value), error, stored)


@dataclass(frozen=True)
class Functions:
    """What elementary functions may be off, in units; the specs say it."""

    exponential: float
    """exp, relative."""
    exponent: float
    """exp(x), relative, for each unit of |x|."""
    hyperbolic: float
    """tanh, absolute."""
    square_root: float
    """A root and its reciprocal together, relative."""
    addition: float = 2.0
    """One addition, relative to its result."""
    division: float = 2.0
    """A division, or a reciprocal and a product, relative."""


@dataclass(frozen=True)
class Rounding:
    """The rules, for one confidence c."""

    confidence: float
    functions: Functions

    def __post_init__(self) -> None:
        if not (math.isfinite(self.confidence) and self.confidence > 0):
            raise ValueError(f"the confidence of the bounds is {self.confidence}; expected a finite number above 0")

    def of_terms(self, count: Floats) -> Floats:
        """γ(n): the units that an accumulation of n terms may be off, relative to its reach."""
        return np.minimum(self.confidence * np.sqrt(count + 1), 2 * (count + 1))

    def total(self, terms: Floats) -> Floats:
        """Σxᵢ over the last axis: γ(n)·R. Zeros are added exactly and are not counted.

        The square root law needs roundings of mean 0. Two kinds of sums do not have them, and are recognised:

        - Terms below the resolution of the sum leave it as it is, all of them with an error of the same sign
          (stagnation: Higham 2002, §4.2). Adding x to s costs at most min(|x|, u·|s|), since s itself is a candidate;
          so terms below 2u·R are charged at most themselves, in any order. Squares of a residual stream with an outlier
          channel and the tails of a softmax over a vocabulary are such sums.
        - Terms equal to within 2u·R meet the same rounding at every addition, as in constant rows: the certain bound.
        """
        return self._total(np.abs(terms), np.abs(terms.sum(-1, keepdims=True)))

    def _total(self, terms: Floats, sum_: Floats | None = None) -> Floats:
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

    def add(self, sum_: Floats, *carried: Floats) -> Floats:
        """s = x + y: one rounding of the result, and the errors that x and y carry.

        IEEE addition costs u|s|. Twice as much is allowed (one ulp), for another rounding mode or a rounding to f32
        of a wider sum, and so that a correct sum uses half of it.
        """
        return np.asarray(self.functions.addition * np.abs(sum_) + FLUSHED + sum(carried))

    def product(
        self,
        x: Bounded,
        y: Floats,
        result: Floats,
        carried: Floats | None = None,
        bias: Floats | None = None,
        scale: float | None = None,
    ) -> Floats:
        """z = x·y + b with n terms: γ(n)·R, where R = (|x||y| + |b| + |z|)/2; the bias is a term.

        Of y and b the sizes are given, and `carried` is E_y. Terms with an x of 0 are exact and are not counted.
        Errors that x and y carry become E_x|y| + |x|E_y. Each of the products may be flushed. Of z = s·(x·y + b) the
        bound is s times that, and two roundings more: of s, and of the product with it.
        """
        count = nonzero(x.value) + (bias is not None)
        factor = self.of_terms(count) / 2
        bound = np.matmul(factor * x.size + x.error, y)
        if carried is not None:
            bound += np.matmul(x.size, carried)
        rest = (count + 1) * FLUSHED
        if bias is not None:
            rest = rest + factor * bias
        if scale is not None:
            bound *= scale
            rest, factor = scale * rest + 2 * FLUSHED, factor + 2
        return np.asarray(bound + np.abs(result) * factor + rest)

    def scores(self, q: Bounded, k: Bounded, result: Floats) -> Floats:
        """s·(q·k) with s = 1/√Dh, per head: `[B, H, S, Dh]` and `[B, H, K, Dh]`."""
        k = k.swapaxes(-1, -2)
        return self.product(q, k.size, result, k.carried, scale=1 / math.sqrt(q.value.shape[-1]))

    def layer_norm(self, x: Bounded, epsilon: float, weight: Array | None = None, bias: Array | None = None) -> Floats:
        """The bound of n = (x − μ)·r with r = 1/√(v + ε), over rows of D, or of y = n·g + b where there is a g or a b.

        d = x − μ: μ is a sum over D (`total`) and two roundings (1/D and the product with it), μ·r and x·r may be
        rounded before they are subtracted: E_d = total(x)/D + 3|μ| + |x| + |d|.

        v: the error that all d share cancels, as Σd = 0, up to its square, which counts where v is tiny. Squares, sum
        and 1/D: total(d²)/D + 5v. Updating and pairwise algorithms (Welford, Chan) have the condition number
        κ = √(1 + μ²/v) in place of 1: γ(D)·κ·v = γ(D)·√(v(v + μ²)). The larger counts. v + ε: two roundings, of ε and
        of the sum. With E_v relative to v + ε, r and n have E_v/2, and the root with its reciprocal ρ, the product 1:
        E_n = E_d·r + |n|·(E_v/2 + ρ + 1).

        y: the product with g and the sum, E_n·|g| + 2|n·g| + |b|; a second |b| where b − μ·r·g is rounded first.

        Errors in x: dn = r·(dx − mean(dx)) − n·r·mean(n·dx), and dv has mean(dx²) in addition.
        """
        rule = functools.partial(self._layer_norm, epsilon, weight, bias)
        return in_blocks(rule, x.value, x.carried)

    def _layer_norm(
        self, epsilon: float, weight: Array | None, bias: Array | None, x: Floats, error: Floats | None
    ) -> Floats:
        width = x.shape[-1]
        mean = row_sum(x) / width
        centred = x - mean
        variance = dot(centred, centred) / width
        inverse = 1 / np.sqrt(variance + epsilon)
        mean, centred = np.abs(mean), np.abs(centred)

        shared = self._total(np.abs(x), mean * width) / width + 3 * mean
        updating = self.of_terms(np.array(float(width))) * np.sqrt(variance * (variance + mean * mean))
        spread = np.maximum(self._total(centred * centred) / width, updating) + 5 * variance + UNIT * shared * shared
        relative = spread * inverse * inverse / 2 + 1 + self.functions.square_root + 1
        errors = centred * (1 + relative) + np.abs(x) + shared + FLUSHED
        normalized = centred * inverse
        if error is not None:
            common = (dot(normalized, error) + UNIT / 2 * inverse * dot(error, error)) / width
            errors += error + row_sum(error) / width + normalized * common
        errors *= inverse
        if weight is None and bias is None:
            return np.asarray(errors + FLUSHED)
        scaled = errors + 2 * normalized
        if weight is not None:
            scaled = scaled * np.abs(weight)
        return np.asarray(scaled + 2 * FLUSHED if bias is None else scaled + 2 * (np.abs(bias) + FLUSHED))

    def softmax(self, z: Bounded, probs: Floats) -> Floats:
        """p = exp(t)/Σexp(t) with t = z − max z, over rows; z = −∞ is masked.

        Relative to itself, exp(t) has the subtraction's |t|, e|t| for exp2 and the function's f: a = (1 + e)|t| + f.
        The denominator has the mean of those, Σp·a, and the additions, total(p); division, or reciprocal and product,
        2: E_p = p·(a + Σp·a + total(p) + 2). An error in the maximum is shared by all t and cancels in p, so errors in
        z count as p·(E_z + Σp·E_z). Probabilities in f32 may be flushed, before the division and after it.
        A masked element is exactly 0: the bound is 0 too.
        """
        return in_blocks(self._softmax, z.value, probs, z.carried)

    def _softmax(self, z: Floats, probs: Floats, error: Floats | None) -> Floats:
        function = self.functions.exponential
        relative = np.minimum(z.max(-1, keepdims=True) - z, _FARTHEST) * (1 + self.functions.exponent)
        if error is not None:
            relative += error
        whole = row_sum(probs)
        relative += function + function * whole + dot(relative, probs) + self._total(probs) + self.functions.division
        return np.where(z == -np.inf, 0.0, relative * probs + 2 * FLUSHED)

    def tempered(self, logits: Bounded, temperature: float) -> Bounded:
        """l/T: exact where T is a power of two; else the reciprocal and the product are rounded."""
        value = logits.value / temperature
        rounded = 0.0 if math.frexp(temperature)[0] == 0.5 else 2 * np.abs(value)
        return Bounded(value, np.asarray(logits.error / temperature + rounded))

    def gelu(self, x: Bounded) -> Floats:
        """y = ½x(1 + tanh w), w = √(2/π)·(x + 0.044715x³).

        w: the constant √(2/π), its product and the sum, 3 roundings, and one more where it is x(1 + 0.044715x²); the
        cube has in addition its constant, that product, and 4 where x³ is a power function: 9 in all.
        E_w = √(2/π)·(4|x| + 9·0.044715|x|³). With t = tanh w, E_t = (1 − t²)·E_w + h. Of h = 6 the form 2σ(2w) − 1
        needs 2(1 + |t|) for sum and division and |t| for the subtraction; its exp2 has (1 − t²)(2 + 2|w|).
        The sum 1 + t and the product with x are relative to y: E = ½|x|·E_t + 2|y|. x·σ(2w) stays below that. With
        2|y| = |x|(1 + t), E = |x|(1 + h/2 + t) + x²·(1 − t²)·√(2/π)·(2 + 4.5·0.044715x²).

        Errors in x: the derivative here, and the curvature, below 0.8, times half the error; nowhere above 1.13.
        """
        return in_blocks(self._gelu, x.value, x.carried)

    def _gelu(self, x: Floats, error: Floats | None) -> Floats:
        square = x * x
        cubic = SQRT_2_OVER_PI * CUBIC * square
        tanh = np.tanh((cubic + SQRT_2_OVER_PI) * x)
        slope = 1 - tanh * tanh
        bound = (tanh + 1 + self.functions.hyperbolic / 2) * np.abs(x) + 2 * FLUSHED
        bound += slope * square * (4.5 * cubic + 2 * SQRT_2_OVER_PI)
        if error is not None:
            derivative = np.abs(slope * (3 * cubic + SQRT_2_OVER_PI) * x + tanh + 1) + error * (0.8 * UNIT)
            bound += np.minimum(derivative, 2 * 1.13) * error / 2
        return np.asarray(bound)
