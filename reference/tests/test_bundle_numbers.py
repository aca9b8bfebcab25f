"""The numbers of the verifier, each beside a plain loop or a value worked out by hand."""

import math
import struct
from typing import Any

import numpy as np
import pytest

from bundle_verifier.agreement import near, same
from bundle_verifier.bounds import Functions
from bundle_verifier.budget import Budget
from bundle_verifier.budget import budget as rounding_budget
from bundle_verifier.case import Case
from bundle_verifier.family import Family
from bundle_verifier.judge import worst
from bundle_verifier.plan import Plan, Traits, check_extent
from bundle_verifier.problem import InvalidEvidenceError, harmless
from bundle_verifier.records import VERDICTS
from bundle_verifier.schema import Constant, Measured, MismatchError, Number
from bundle_verifier.specs import Activation, Judging, Requirement, Spec, Specs
from bundle_verifier.spelling import spelled
from bundle_verifier.statistics import Rule, Statistics, ordered_sums
from bundle_verifier.statistics import compare as compare_tensors
from bundle_verifier.systematic import Slice, U
from bundle_verifier.tensor import Tensor

CLASSIC = Rule((1e-4, 1e-5))


DTYPES = {"float32": "F32", "float64": "F64", "int64": "I64"}
Numbers = np.ndarray[Any, np.dtype[Any]]


def _tensor(values: Numbers) -> Tensor:
    return Tensor.of(DTYPES[values.dtype.name], values.shape, values.tobytes())


def compare(actual: Numbers, expected: Numbers, rule: Rule, against_oracle: bool = False) -> Statistics:
    return compare_tensors(_tensor(actual), _tensor(expected), rule, against_oracle)


def budget(actual: Numbers, oracle: Numbers, magnitude: Numbers, slices: list[str], shared_rows: bool) -> Budget:
    made = [Slice.of(text, (), actual.shape) for text in slices]
    tensors = (_tensor(actual), _tensor(oracle), _tensor(magnitude))
    return rounding_budget(*tensors, made, shared_rows, 5.0, 2.0)


@pytest.mark.parametrize("size", [1, 16, 511, 512, 513, 131_072])
@pytest.mark.parametrize("every", [1, 3])
def test_sums_of_a_chunk_are_taken_in_the_order_of_the_format(size: int, every: int) -> None:
    values = np.random.default_rng(size).lognormal(0.0, 8.0, size)
    chosen = np.arange(size) % every == 0
    total = 0.0
    for start in range(0, size, 512):
        block = slice(start, start + 512)
        lanes = [0.0] * 16
        for i, value in enumerate(values[block][chosen[block]]):
            lanes[i % 16] += float(value)
        of_block = 0.0
        for lane in lanes:
            of_block += lane
        total += of_block
    assert ordered_sums(values[None], chosen) == [total]


def test_a_tensor_of_several_chunks_is_summed_chunk_by_chunk() -> None:
    random = np.random.default_rng(2)
    expected = random.normal(size=300_000)
    actual = (expected + random.normal(size=300_000) * 1e-3).astype(np.float32)
    found = compare(actual, expected, Rule((1e-3, 0.0)), against_oracle=True)
    error = np.abs(actual - expected)
    total = 0.0
    for start in range(0, 300_000, 131_072):
        chunk = error[start : start + 131_072]
        total += ordered_sums(chunk[None], np.ones(chunk.size, dtype=bool))[0]
    assert found.mean_abs == total / 300_000
    assert found.violations == int((error > 1e-3).sum())
    assert [e.index[0] for e in found.worst] == list(np.argsort(-error, kind="stable")[:5])
    assert (found.max_abs, sum(found.buckets)) == (error.max(), 300_000)
    assert found.range == (actual.min(), actual.max())


def _f32(*values: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(values, dtype=np.float32)


def test_statistics_worked_out_by_hand() -> None:
    found = compare(_f32(1.0, 2.5, -3.0, 0.0), _f32(1.0, 2.0, -3.0, 4.0), CLASSIC)
    assert (found.elements, found.violations) == (4, 2)
    assert (found.max_abs, found.mean_abs, found.max_rel) == (4.0, 1.125, 1.0)
    assert found.rmse == math.sqrt((0.25 + 16.0) / 4.0)
    assert found.range == (-3.0, 2.5)
    assert found.buckets == [2, *[0] * 11, 1, 1, 0, 0]
    assert [e.index for e in found.worst] == [(3,), (1,)]
    assert found.used == 4.0 / (1e-4 + 1e-5 * 4.0)
    assert found.cosine == pytest.approx(15.0 / math.sqrt(16.25 * 30.0), abs=1e-15)


@pytest.mark.parametrize(
    ("actual", "expected", "violations"),
    [
        (math.nan, math.nan, 1),
        (math.nan, 1.0, 1),
        (1.0, math.nan, 1),
        (math.inf, math.inf, 0),
        (math.inf, -math.inf, 1),
        (math.inf, 1.0, 1),
    ],
)
@pytest.mark.parametrize("rule", [CLASSIC, Rule(None), Rule((math.inf, math.inf))])
def test_only_the_same_infinity_satisfies(actual: float, expected: float, violations: int, rule: Rule) -> None:
    found = compare(_f32(actual, 2.0), _f32(expected, 2.0), rule)
    assert found.violations == violations
    assert (found.max_abs, found.used) == (0.0, 0.0)


def test_zeros_of_two_signs_are_other_bits() -> None:
    found = compare(_f32(0.0), _f32(-0.0), Rule(None))
    assert (found.violations, found.max_abs, found.max_ulp) == (1, 0.0, 0)
    assert compare(_f32(0.0), _f32(-0.0), CLASSIC).violations == 0


def test_the_distance_in_ulp_goes_through_zero() -> None:
    least = np.nextafter(np.float32(0.0), np.float32(1.0))
    assert compare(_f32(least), _f32(-least), CLASSIC).max_ulp == 2
    oracle = np.array([1.0 + 2.0**-23])
    assert compare(_f32(1.0), oracle, CLASSIC, against_oracle=True).max_ulp == 1


def test_integers_differ_exactly() -> None:
    extremes = np.array([-(2**63), 2**53 + 1]), np.array([2**63 - 1, 2**53])
    found = compare(extremes[0], extremes[1], Rule(None))
    assert (found.violations, found.max_abs, found.max_ulp, found.used) == (2, 2.0**64, None, math.inf)


def test_nothing_is_allowed_where_the_magnitude_is_nothing() -> None:
    oracle, zero = np.array([1.0, 0.0]), np.zeros(2)
    moved = budget(_f32(1.0, 0.0), oracle, zero, ["tensor"], False)
    assert (moved.used, moved.violations, moved.systematic) == (0.0, 0, [])
    changed = budget(_f32(1.5, 0.0), oracle, zero, ["tensor"], False)
    assert (changed.used, changed.violations) == (math.inf, 1)
    unknown = budget(_f32(1.5, 0.0), oracle, np.array([math.nan, 1.0]), [], False)
    assert math.isnan(unknown.used)
    assert unknown.violations == 1


@pytest.mark.parametrize(("scale", "seen"), [(0.0, False), (2e-6, True)])
@pytest.mark.parametrize("shared_rows", [False, True])
def test_a_common_scale_is_seen_though_every_element_is_within(scale: float, seen: bool, shared_rows: bool) -> None:
    random = np.random.default_rng(1)
    oracle = random.uniform(0.5, 1.0, (64, 64))
    actual = (oracle * (1.0 + scale)).astype(np.float32)
    found = budget(actual, oracle, np.full(oracle.shape, 40.0), ["tensor", "last"], shared_rows)
    assert found.violations == 0
    assert [s.axis for s in found.systematic] == [None, 1]
    assert (found.systematic[0].used > 1.0) == seen
    assert found.systematic[0].scale == pytest.approx(scale, abs=1e-8)
    assert found.fits[1].there.all() and found.fits[1].there.size == 64


def test_a_fit_needs_three_points_with_an_error() -> None:
    two = np.array([1.0, 2.0])
    assert budget(_f32(1.5, 2.5), two, np.ones(2), ["tensor"], False).systematic == []
    three = np.array([1.0, 2.0, 3.0])
    assert budget(_f32(1.0, 2.0, 3.0), three, np.ones(3), ["tensor"], False).systematic == []
    (found,) = budget(_f32(1.5, 2.5, 3.5), three, np.ones(3), ["tensor"], False).systematic
    assert (found.scale, found.offset) == (0.0, 0.5)
    assert found.scale_allowed == 2.0 * U


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1e-4, "0.0001"),
        (9.9e-5, "9.9e-5"),
        (1e15, "1000000000000000.0"),
        (1e16, "1e16"),
        (5e-324, "5e-324"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "NaN"),
        (-0.82813262939453125, "-0.8281326293945313"),  # exactly between two shortest ones
    ],
)
def test_a_float_has_one_spelling(value: float, text: str) -> None:
    assert spelled(value) == text
    bits = struct.pack(">d", value).hex()
    Measured().check(f"{text}={bits}")
    for other in (f"+{text}={bits}", f"{text}={bits.upper()}0", f"{text} ={bits}", text, f"7.5={bits}"):
        with pytest.raises(MismatchError):
            Measured().check(other)


def test_a_constant_is_positional_from_1e_minus_5() -> None:
    Constant().check(Number.parse("0.00001"))
    for text in ("1e-5", "1e999", "0.000010"):
        with pytest.raises(MismatchError):
            Constant().check(Number.parse(text))


def test_equal_is_bit_for_bit_and_near_is_finite() -> None:
    assert same(math.nan, math.nan)
    assert not same(0.0, -0.0)
    assert not near(math.inf, 1.0, 1e-12)
    assert not near(1.0, math.nan, 1e-12)
    assert near(1.0, 1.0 + 1e-13, 1e-12)


def test_the_order_of_verdicts() -> None:
    assert worst(VERDICTS, ["incomplete", "conditional", "blocked"]) == "incomplete"
    assert worst(VERDICTS, ["error", "fail", "pass"]) == "fail"
    assert worst(VERDICTS, []) is None


def test_what_is_printed_steers_nothing() -> None:
    said = harmless("a\x1b[2J\n::error::b\r##[group]\u202e")
    assert not any(c in said for c in "\x1b\n\r\u202e")
    assert "::" not in said
    assert "##[" not in said


def _activation(name: str, *inputs: str, **fields: Any) -> Activation:
    given: dict[str, Any] = {"shape": ("B", "S"), "steps": "every", "judgement": "budget", **fields}
    return Activation(name=name, kind="float", inputs=inputs, spec="00", **given)


def _plan(*activations: Activation, steps: int = 3, layers: int = 2) -> Plan:
    spec = Spec("00", "all", "All", activations, (Requirement("00.1", "", "finite", ()),))
    architecture = {"layers": layers, "sizes": {"V": 9, "C": 9}, "constants": {}}
    check_extent({"architecture": architecture, "references": [], "cases": [{"steps": steps}]})
    return Plan(Specs({}, (spec,), JUDGING, Family({})), architecture)


JUDGING = Judging(1e-9, 4.0, 65536.0, 2.0, 0.5, Functions(4.0, 3.0, 6.0, 4.0))
CASE = Case("c", [[1, 2, 3, 4]], False, (2, 1, 1), 0)
TRAITS = Traits(preallocated_cache=False, tokenizer=True)


def test_the_required_set_is_in_the_order_of_computation() -> None:
    plan = _plan(
        _activation("last", "h.{L-1}.b"),
        _activation("h.{l}.b", "first | h.{l-1}.b", "previous:h.{l}.b"),
        _activation("first"),
        _activation("ends", steps="first-and-last"),
        _activation("cache", applies="preallocated-cache"),
        _activation("sum", "last", steps="case", shape=("B",)),
        _activation("weights", steps="case", shape=("B",)),
    )
    run = [required.tensor for required in plan.required(CASE, "f32", TRAITS)]
    middle = ["first", "h.0.b", "h.1.b", "last"]
    assert run == [
        "weights",
        *(f"step0/{name}" for name in ["first", "ends", *middle[1:]]),
        *(f"step1/{name}" for name in middle),
        *(f"step2/{name}" for name in ["first", "ends", *middle[1:]]),
        "sum",
    ]
    wide = plan.required(CASE, "f64", TRAITS)
    assert {required.dtype for required in wide} == {"F64"}
    by_tensor = {required.tensor: required for required in wide}
    assert plan.inputs(by_tensor["step1/h.0.b"], CASE) == ["step1/first", "step0/h.0.b"]
    assert plan.inputs(by_tensor["step0/h.1.b"], CASE) == ["step0/h.0.b"]
    assert plan.inputs(by_tensor["sum"], CASE) == ["step2/last"]
    assert by_tensor["step0/first"].shape == (1, 2)


@pytest.mark.parametrize("layers", [0, 2**21, 2**63])
def test_no_record_makes_a_plan_without_end(layers: int) -> None:
    with pytest.raises(InvalidEvidenceError):
        _plan(_activation("a"), layers=layers)


def test_a_symbol_without_a_size_is_invalid() -> None:
    with pytest.raises(InvalidEvidenceError):
        _plan(_activation("a", shape=("Z",))).required(CASE, "f32", TRAITS)
