"""The rules of the bounds, each beside computations that go right and wrong."""

import math

import numpy as np
import pytest
from tiny_graph import CONFIDENCE, ROUNDING
from variants import sequential, two_pass

from bundle_verifier.bounds import UNIT, Bounded, Rounding
from bundle_verifier.operations import Array

RULES = ROUNDING
EPSILON = 1e-5


def used(found: Array, exact: Array, bound: Array) -> float:
    return float(np.max(np.abs(found.astype(np.float64) - exact) / (UNIT * bound)))


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def norm_bound(x: Array) -> Array:
    return RULES.layer_norm(Bounded.exact(x.astype(np.float64)), EPSILON)


def normalized(x: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True, dtype=np.float64)
    return centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + EPSILON)


def test_an_accumulation_is_bounded_by_the_worst_case_and_the_square_root() -> None:
    assert RULES.of_terms(np.array([1.0, 2.0, 5000.0])).tolist() == [4, 6, CONFIDENCE * math.sqrt(5001)]


@pytest.mark.parametrize("confidence", [0.0, -1.0, math.inf, math.nan])
def test_a_confidence_that_bounds_nothing_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        Rounding(confidence, ROUNDING.functions)


def test_terms_lost_in_a_large_sum_are_charged() -> None:
    """50,000 tokens far below the first: added one after the other, each leaves the sum as it is."""
    logits = np.random.default_rng(1).normal(0, 1, (1, 50_257)).astype(np.float32)
    logits[:, 0] = 18
    exact = softmax(logits.astype(np.float64))
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    found = powers / sequential(powers)
    assert used(found, exact, RULES.softmax(Bounded.exact(logits.astype(np.float64)), exact)) < 1
    assert used(found, exact, exact * RULES.of_terms(np.array(float(logits.size)))) > 5


def test_equal_terms_are_charged_by_the_worst_case() -> None:
    terms = np.full((1, 4000), 0.7, np.float32)
    exact = terms.sum(-1, keepdims=True, dtype=np.float64)
    assert used(sequential(terms), exact, RULES.total(terms.astype(np.float64))) < 1
    assert used(sequential(terms), exact, exact * RULES.of_terms(np.array(float(terms.size)))) > 1


@pytest.mark.parametrize("value", [0.0, 1.0, 0.7, 49.3, 1e-40, 1e15])
@pytest.mark.parametrize("width", [1, 5, 768])
def test_constant_rows_have_finite_bounds_that_hold(width: int, value: float) -> None:
    rows = np.full((1, width), value, np.float32)
    bound = norm_bound(rows)
    assert np.isfinite(bound).all() and (bound > 0).all()
    assert used(two_pass(rows, sequential, np.float32(EPSILON)), normalized(rows), bound) < 1


@pytest.mark.parametrize("noise", [1e-7, 1e-6, 1e-5, 1e-4, 1e-2])
def test_nearly_constant_rows_stay_in_their_bound(noise: float) -> None:
    rows = (37 * (1 + noise * np.random.default_rng(2).normal(size=(16, 768)))).astype(np.float32)
    assert used(two_pass(rows, sequential, np.float32(EPSILON)), normalized(rows), norm_bound(rows)) < 0.5


def test_squares_lost_beside_an_outlier_are_charged() -> None:
    rows = np.random.default_rng(3).normal(size=(64, 1600)).astype(np.float32)
    rows[:, 3] += 3000
    assert used(two_pass(rows, sequential, np.float32(EPSILON)), normalized(rows), norm_bound(rows)) < 0.5


def test_equal_scores_and_probabilities_below_f32_have_finite_bounds() -> None:
    scores = np.array([[2.0, 2, 2, 2], [0, -90, -200, -2000], [0, 1e-40, -1e-40, 0]], np.float32)
    exact = softmax(scores.astype(np.float64))
    bound = RULES.softmax(Bounded.exact(scores.astype(np.float64)), exact)
    assert np.isfinite(bound).all()
    flushed = np.where(exact < 2.0**-126, 0, exact).astype(np.float32)
    assert used(flushed, exact, bound) < 1


def test_a_masked_score_is_exactly_zero() -> None:
    scores = np.array([[1.0, 3.0, -np.inf]])
    assert (RULES.softmax(Bounded.exact(scores), softmax(scores)) == 0).tolist() == [[False, False, True]]


def test_a_shift_of_all_scores_costs_nothing_and_a_carried_error_counts() -> None:
    scores = np.random.default_rng(4).normal(size=(3, 9))
    probs = softmax(scores)
    own = RULES.softmax(Bounded.exact(scores), probs)
    assert np.allclose(RULES.softmax(Bounded.exact(scores + 1000), probs), own)
    carried = RULES.softmax(Bounded(scores, np.full(scores.shape, 7.0)), probs)
    assert np.allclose(carried - own, probs * 14)


def test_a_temperature_that_is_a_power_of_two_rounds_nothing() -> None:
    logits = Bounded.exact(np.array([[3.0, -70.0]]))
    assert [RULES.tempered(logits, t).errors.max() for t in (0.5, 1.0, 2.0, 0.7)] == [0, 0, 0, 200]


def test_infinite_inputs_leave_other_rows_alone() -> None:
    rows = np.random.default_rng(5).normal(size=(3, 8))
    rows[1, 2] = np.inf
    with np.errstate(invalid="ignore"):
        bound = norm_bound(rows)
        product = RULES.product(Bounded.exact(rows), np.ones((8, 2)), rows @ np.ones((8, 2)))
    for result in (bound, product):
        assert np.isfinite(result).all(-1).tolist() == [True, False, True]


def test_a_product_carries_the_errors_of_both_sides() -> None:
    rng = np.random.default_rng(6)
    x, y, e_x, e_y = rng.normal(size=(2, 5)), rng.normal(size=(5, 3)), rng.random((2, 5)), rng.random((5, 3))
    own = RULES.product(Bounded.exact(x), np.abs(y), x @ y)
    carried = RULES.product(Bounded(x, e_x), np.abs(y), x @ y, e_y)
    assert np.allclose(carried - own, e_x @ np.abs(y) + np.abs(x) @ e_y)


@pytest.mark.parametrize("value", [1e-30, 1.0, 1e15, 1e25, 1e36])
def test_every_rule_is_finite_and_above_0(value: float) -> None:
    rows = np.random.default_rng(8).normal(size=(3, 40)) * value
    carried = Bounded(rows, np.abs(rows))
    shares = softmax(rows)
    ones, matrix = np.ones(40), np.ones((40, 2))
    bounds = [
        RULES.add(rows, carried.error),
        RULES.gelu(carried),
        RULES.softmax(carried, shares),
        RULES.product(carried, matrix, rows @ matrix),
        RULES.layer_norm(carried, EPSILON),
        RULES.layer_norm(carried, EPSILON, ones, ones),
    ]
    assert all(np.isfinite(bound).all() and (bound > 0).all() for bound in bounds)


def test_rows_of_blocks_are_bounded_alone() -> None:
    rows = np.random.default_rng(9).normal(size=(300, 2000))
    alone = np.concatenate([RULES.gelu(Bounded.exact(row)) for row in rows[:, None]])
    assert np.array_equal(RULES.gelu(Bounded.exact(rows)), alone)
    rows[7] = np.inf
    with np.errstate(invalid="ignore"):
        found = RULES.gelu(Bounded.exact(rows))
    assert np.array_equal(np.delete(found, 7, 0), np.delete(alone, 7, 0))


def test_a_scale_and_a_bias_are_two_roundings_more() -> None:
    x, weight, bias = Bounded.exact(np.random.default_rng(10).normal(size=(4, 9))), np.arange(9.0) - 4, np.arange(9.0)
    plain, both = RULES.layer_norm(x, EPSILON), RULES.layer_norm(x, EPSILON, weight, bias)
    n = np.abs(normalized(x.value))
    assert np.allclose(both, (plain + 2 * n) * np.abs(weight) + 2 * bias)
    assert np.allclose(RULES.layer_norm(x, EPSILON, weight), (plain + 2 * n) * np.abs(weight))


def test_terms_that_are_tiny_are_counted() -> None:
    probs = np.array([[1.0, *[1e-60] * 300]])
    count = RULES.of_terms(np.array(301.0))
    assert RULES.softmax(Bounded.exact(np.log(probs)), probs)[0, 0] == pytest.approx(4 + 4 + count + 2, rel=1e-6)


@pytest.mark.parametrize("shift", [1e-7, 1e-5])
def test_carried_errors_follow_the_derivatives(shift: float) -> None:
    rng = np.random.default_rng(7)
    x, delta = rng.normal(size=(50, 16)) * 3, rng.choice([-1, 1], (50, 16)) * shift
    carried = Bounded(x, np.full(x.shape, shift / UNIT))

    def gelu(x: Array) -> Array:
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    moved = np.abs(gelu(x + delta) - gelu(x)) / UNIT
    own = RULES.gelu(Bounded.exact(x))
    bound = RULES.gelu(carried)
    assert (moved <= (bound - own) * (1 + 1e-4) + 1e-6 * bound).all()

    moved = np.abs(normalized(x + delta) - normalized(x)) / UNIT
    own = RULES.layer_norm(Bounded.exact(x), EPSILON)
    assert (moved <= (RULES.layer_norm(carried, EPSILON) - own) * (1 + 1e-4) + 1e-6).all()
