"""Half precision, from own inputs: numbers of the format cost nothing, correct results use half of a bound."""

import functools

import numpy as np
import pytest
from tiny_graph import ROUNDING, case, dimensions, half_rules, model, random_weights
from variants import Variant

from bundle_verifier.bounds import UNIT, Bounded
from bundle_verifier.evaluation import Evaluation
from bundle_verifier.half_bounds import FORMATS, HalfRules
from bundle_verifier.operations import Array
from bundle_verifier.rules import Rules

every_half = pytest.mark.parametrize("precision", FORMATS)


def rounded(array: Array, precision: str) -> Array:
    single = np.asarray(array, np.float32)
    if precision == "f16":
        return single.astype(np.float16).astype(np.float32)
    bits = single.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


class Stored(Variant):
    """Stores every result, and weights, in half precision."""

    precision = "f16"

    def _store(self, array: Array) -> Array:
        return rounded(array, self.precision)

    def embed(self, token_ids: Array, position: int) -> Array:
        return self._store(super().embed(token_ids, position))

    def layer_norm(self, name: str, x: Array) -> tuple[Array, Array]:
        normalized, output = super().layer_norm(name, x)
        return self._store(normalized), self._store(output)

    def _product(self, x: Array, y: Array) -> Array:
        return self._store(super()._product(x, y))

    def linear(self, name: str, x: Array) -> Array:
        product = Variant._product(self, x, self.weights[f"{name}.weight"])
        return self._store(product + self.weights[f"{name}.bias"])

    def scores(self, q: Array, cached_k: Array) -> Array:
        return self._store(super().scores(q, cached_k))

    def _softmax(self, x: Array) -> Array:
        return self._store(super()._softmax(x))

    def add(self, x: Array, y: Array) -> Array:
        return self._store(super().add(x, y))


def capture_of(precision: str) -> dict[str, Array]:
    weights = {name: rounded(weight, precision) for name, weight in random_weights().items()}
    variant = Stored(weights, dimensions())
    variant.precision = precision
    variant.activation = lambda x: rounded(Variant(weights, dimensions()).activation(x), precision)
    return variant.run(case())


def used(capture: dict[str, Array], precision: str) -> dict[str, float]:
    judge, shares = (
        Evaluation(model(random_weights()), case(), capture.get, functools.partial(half_rules, precision)),
        {},
    )
    for step in range(4):
        for name in judge.names:
            exact, found = judge.activation(step, name), capture[f"step{step}/{name}"].astype(np.float64)
            error = np.subtract(found, exact.value, where=found != exact.value, out=np.zeros(found.shape))
            with np.errstate(divide="ignore"):  # of moved data, which may not be off at all
                share = np.divide(np.abs(error), exact.allowed, where=error != 0, out=np.zeros(found.shape))
            shares[f"step{step}/{name}"] = float(share.max())
    return shares


@every_half
def test_a_format_holds_what_it_rounds_to(precision: str) -> None:
    rng = np.random.default_rng(2)
    values = (rng.normal(size=4000) * 10.0 ** rng.integers(-9, 4, 4000)).astype(np.float32)
    values = np.concatenate([values, rounded(values, precision), np.float32([0, -0.0, np.inf, -np.inf, 65504, 1])])
    normal = (np.abs(values) >= 2.0 ** FORMATS[precision].least) | (values == 0)
    expected = ((rounded(values, precision) == values) & normal) | np.isinf(values)
    assert np.array_equal(FORMATS[precision].holds(values), expected) and 0 < expected.sum() < len(values)
    assert not FORMATS["f16"].holds(np.array(65536.0)) and FORMATS["bf16"].holds(np.array(65536.0))


@every_half
def test_an_input_costs_nothing_where_the_format_holds_it(precision: str) -> None:
    rules = HalfRules(ROUNDING, FORMATS[precision], frozenset({"inputs"}))
    found = rules.accept(np.array([1.5, 0.1]))
    assert found.errors[0] == 0
    assert found.errors[1] == 2 * FORMATS[precision].of(np.array(0.1))
    assert rules.accept(np.array([3])).is_exact


@every_half
def test_correct_results_use_half_of_their_bounds(precision: str) -> None:
    shares = used(capture_of(precision), precision)
    assert {name: share for name, share in shares.items() if not share < 0.6} == {}
    assert max(shares.values()) > 0.3


def test_results_stored_in_bf16_exceed_the_bounds_of_f16() -> None:
    shares = used(capture_of("bf16"), "f16")
    assert all(shares[f"step0/{end}"] > 1 for end in ("embd", "h.0.attn.q", "h.1.mid", "h.1.mlp.out", "logits"))


@pytest.mark.parametrize(("precision", "factor"), [("f16", 1.005), ("bf16", 1.04)])
@pytest.mark.parametrize("end", ["h.1.attn.q", "h.0.attn.out", "h.1.mlp.fc", "h.0.mlp.out", "logits", "h.1.ln_2"])
def test_a_scaled_result_exceeds_its_bound(precision: str, factor: float, end: str) -> None:
    capture, name = capture_of(precision), f"step0/{end}"
    assert used(capture | {name: capture[name] * np.float32(factor)}, precision)[name] > 1


@every_half
def test_an_implementation_that_stores_nothing_is_within_the_bounds_too(precision: str) -> None:
    """Its inputs are not of the format, and may have been: that store is allowed."""
    weights = {name: rounded(weight, precision) for name, weight in random_weights().items()}
    shares = used(Variant(weights, dimensions()).run(case()), precision)
    assert {name: share for name, share in shares.items() if not share < 0.75} == {}


def test_where_nothing_is_stored_the_bounds_are_those_of_f32() -> None:
    rng = np.random.default_rng(3)
    x, y = Bounded.exact(rng.normal(size=(2, 3, 8))), rng.normal(size=(8, 5))
    rules = HalfRules(ROUNDING, FORMATS["f16"], frozenset())
    assert np.array_equal(rules.linear(x, x.value @ y, y, None).errors, ROUNDING.product(x, np.abs(y), x.value @ y))
    assert np.array_equal(rules.gelu(x, x.value).errors, ROUNDING.gelu(x))


def test_equal_inputs_are_charged_by_the_worst_case() -> None:
    rules = HalfRules(ROUNDING, FORMATS["bf16"], frozenset({"inputs", "weights"}))
    ones = np.full((1, 4096), 0.1)
    spread = np.linspace(0.05, 0.15, 4096)[None]
    weight = np.full((4096, 1), 0.3)
    constant, varied = (rules.linear(rules.accept(x), x @ weight, weight, None).errors for x in (ones, spread))
    assert constant > 5 * varied
    assert constant * UNIT < 0.1 * (ones @ weight)


def test_a_place_that_nothing_is_stored_at_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rounds \['parts'\]"):
        HalfRules(ROUNDING, FORMATS["f16"], frozenset({"parts"}))


def test_what_the_format_holds_costs_nothing_as_a_weight() -> None:
    """One is held, 1.0001 is not, and neither is what may be flushed."""
    rules = HalfRules(ROUNDING, FORMATS["bf16"], frozenset({"inputs", "weights"}))
    x = Bounded.exact(np.array([[1.0, 2.0, 0.5]]))

    def error(weight: float) -> float:
        matrix = np.full((3, 1), weight)
        return float(rules.linear(x, x.value @ matrix, matrix, None).errors[0, 0])

    single = Rules(ROUNDING).linear(x, x.value @ np.ones((3, 1)), np.ones((3, 1)), None)
    assert error(1.0) == single.errors[0, 0]
    assert error(1.0001) > 1000.0 * error(1.0)
    assert error(2.0**-130) > 2.0 * error(2.0**-125)


def test_weights_alone_err_by_chance_where_the_inputs_are_exact() -> None:
    """A row of inputs without a store is not one of equal stores: the errors of many weights average out."""
    rules = HalfRules(ROUNDING, FORMATS["f16"], frozenset({"inputs", "weights"}))
    weight = np.random.default_rng(1).normal(size=(4096, 1))
    x = Bounded.exact(np.ones((1, 4096)))
    found = float(rules.linear(x, x.value @ weight, weight, None).errors[0, 0])
    assert found < 0.5 * float(2.0 * FORMATS["f16"].store(weight).sum())
