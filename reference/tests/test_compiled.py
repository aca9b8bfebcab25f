"""The compiled rules say what NumPy's say."""

import sys
from collections.abc import Callable

import numpy as np
import pytest

from trialplate_reference import compiled
from trialplate_reference.arrays import Array
from trialplate_reference.magnitude import Bounded, Rounding

SAME = 1e-4
RULES = Rounding(4.7)
EPSILON = 1e-5
Rule = Callable[[Bounded], tuple[Array, ...]]


def softmax(z: Array) -> Array:
    powers = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def norm(x: Bounded) -> tuple[Array, ...]:
    width = x.value.shape[-1]
    weight, bias = np.linspace(0.01, 12, width), np.linspace(0, 2, width)
    return RULES.layer_norm(x, EPSILON, weight, bias)


def product(x: Bounded, **options: object) -> Array:
    y = np.abs(np.random.default_rng(3).normal(size=(x.value.shape[-1], 7)))
    return RULES.product(x, y.astype(np.float32), x.value @ y, **options)  # type: ignore[arg-type]


def masked(z: Bounded) -> tuple[Array, ...]:
    value = z.value.copy()
    value[..., 1:] = np.where(value[..., 1:] > 2, -np.inf, value[..., 1:])
    return (RULES.softmax(Bounded(value, z.error), softmax(value)),)


def scores(q: Bounded) -> tuple[Array, ...]:
    return (RULES.scores(q, q, q.value @ q.value.swapaxes(-1, -2)),)


CASES: dict[str, Rule] = {
    "add": lambda x: (RULES.add(x.value, x.error, 2 * x.errors),),
    "gelu": lambda x: (RULES.gelu(x),),
    "layer_norm": norm,
    "softmax": lambda z: (RULES.softmax(z, softmax(z.value)),),
    "masked softmax": masked,
    "product": lambda x: (product(x),),
    "product with a bias": lambda x: (product(x, bias=np.arange(7, dtype=np.float32)),),
    "product with a bias and a scale": lambda x: (product(x, bias=np.arange(7, dtype=np.float32), scale=0.125),),
    "scores": scores,
}
ROWS: dict[str, Callable[[np.random.Generator], Array]] = {
    "normal": lambda rng: rng.normal(size=(2, 9, 48)) * 3,
    "long": lambda rng: rng.normal(size=(2, 1, 5000)) * 4,
    "one element": lambda rng: rng.normal(size=(3, 1)),
    "many zeros": lambda rng: rng.normal(size=(4, 33)) * (rng.random((4, 33)) < 0.3),
    "zeros": lambda rng: np.zeros((2, 20)),
    "constant": lambda rng: np.full((3, 50), 0.7),
    "nearly constant": lambda rng: 49.3 + rng.normal(size=(3, 50)) * 1e-7,
    "outlier": lambda rng: rng.normal(size=(4, 64)) * np.where(np.arange(64) == 5, 1e4, 1e-3),
    "subnormal in f32": lambda rng: rng.normal(size=(4, 30)) * 1e-42,
    "zero in f32": lambda rng: rng.normal(size=(4, 30)) * 1e-200,
    "strided": lambda rng: rng.normal(size=(6, 5, 16)).swapaxes(0, 1),
}


def found(rule: Rule, x: Bounded, monkeypatch: pytest.MonkeyPatch) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    assert compiled.MODULE in sys.modules, "run the tests by `cargo xtask test --only pytest`"
    with monkeypatch.context() as patch, np.errstate(invalid="ignore"):
        fast = rule(x)
        patch.delitem(sys.modules, compiled.MODULE)
        return fast, rule(x)


@pytest.mark.parametrize("carried", [0.0, 1.0, 1e4], ids=lambda carried: f"carried {carried:g}")
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("case", CASES)
def test_both_give_the_same_bounds(case: str, rows: str, carried: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(11)
    value = ROWS[rows](rng)
    x = Bounded(value, np.abs(rng.normal(size=value.shape)) * carried) if carried else Bounded.exact(value)
    for fast, slow in zip(*found(CASES[case], x, monkeypatch), strict=True):
        assert fast.shape == slow.shape and np.isfinite(fast).all()
        # Where GELU's derivative is next to 0, NumPy's rule has 1 − tanh² cancel.
        assert np.allclose(fast, slow, rtol=SAME, atol=1e-6 * x.errors.max())


@pytest.mark.parametrize("wrong", [1e20, 1e300, np.inf, np.nan])
@pytest.mark.parametrize("case", sorted(CASES.keys() - {"masked softmax"}))
def test_what_f32_does_not_hold_is_numpys(case: str, wrong: float, monkeypatch: pytest.MonkeyPatch) -> None:
    value = np.random.default_rng(12).normal(size=(3, 16))
    value[1, 4] = wrong
    with np.errstate(over="ignore", divide="ignore"):
        for fast, slow in zip(*found(CASES[case], Bounded.exact(value), monkeypatch), strict=True):
            assert np.allclose(fast, slow, rtol=SAME, atol=0, equal_nan=True)


def test_operands_of_other_shapes_are_refused() -> None:
    rows = np.ones((2, 3))
    single = np.ones((3, 2), np.float32)
    with pytest.raises(ValueError, match=r"shape \[3, 2\]; expected \[2, 3\]"):
        compiled.rule("gelu", rows, single)
    with pytest.raises(ValueError, match="confidence"):
        compiled.rule("softmax", float("nan"), rows, rows, None)
    with pytest.raises(ValueError, match="weight and bias"):
        compiled.rule("layer_norm", 5.0, EPSILON, np.ones(2, np.float32), np.ones(3, np.float32), rows, None)
    with pytest.raises(ValueError, match="operand"):
        bounds = np.ones((2, 3), np.float32)
        compiled.rule("complete", 5.0, bounds, rows, np.ones(3, np.float32), None, None)
