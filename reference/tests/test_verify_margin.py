"""What another order of summation makes of a number is accepted, nothing else is, and between them is uncertain."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_author import captures, record, seal, write_bundle, write_specs
from record_author import measure
from tiny_law import CONFIG, case, dimensions, weights

from bundle_verifier import replicas
from bundle_verifier.bounds import UNIT
from bundle_verifier.budget import budget
from bundle_verifier.chain import Chain, close_to_a_tie, root_mean_square
from bundle_verifier.comparisons import _single
from bundle_verifier.evaluation import Model
from bundle_verifier.family import Family
from bundle_verifier.judged import UNBOUNDED, Judged, margin_of, of_array
from bundle_verifier.nearness import is_unclear
from bundle_verifier.replicas import WAYS
from bundle_verifier.specs import Specs, read_specs
from bundle_verifier.spelling import measured
from bundle_verifier.statistics import compare
from bundle_verifier.systematic import Slice
from bundle_verifier.tensor import Tensor
from bundle_verifier.weights import Weight
from verify_bundle import main

GOLDEN = Path(__file__).parents[2] / "proof-bundles" / "golden"
RESULTS = "data/results.json"
Verified = Callable[[Path], tuple[int, str]]


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_specs(tmp_path_factory.mktemp("law") / "specs")


@pytest.fixture(scope="module")
def sound(specs: Path) -> Path:
    write_bundle(specs.parent / "sound", specs, captures(specs))
    return specs.parent / "sound"


@pytest.fixture
def verified(specs: Path, capsys: pytest.CaptureFixture[str]) -> Verified:
    def run(folder: Path) -> tuple[int, str]:
        code = main(["--historical", "--specs", str(specs), "--cases", str(specs.parent / "cases"), str(folder)])
        return code, capsys.readouterr().out

    return run


def test_the_golden_bundle_conforms_by_another_implementation(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--historical", str(GOLDEN)])
    said = capsys.readouterr().out
    assert (code, "uncertain" in said) == (0, False), said


def _of(results: Any, name: str) -> Any:
    return next(c for c in results["checkpoints"][1]["comparisons"] if c["name"] == name)


def _times(text: str, factor: float) -> str:
    return measure(measured(text) * factor)


def _rewritten(sound: Path, folder: Path, change: Callable[[Any], None]) -> Path:
    bundle = Path(shutil.copytree(sound, folder))
    results = json.loads((bundle / RESULTS).read_bytes())
    change(results)
    (bundle / RESULTS).write_bytes(record(results))
    seal(bundle)
    return bundle


@pytest.mark.parametrize(("factor", "exit_code"), [(1.0 + 1e-9, 0), (1.0 + 1e-3, 2), (1.0 - 1e-3, 2)])
def test_an_error_may_differ_by_a_part_of_what_is_allowed(
    tmp_path: Path, sound: Path, verified: Verified, factor: float, exit_code: int
) -> None:
    def change(results: Any) -> None:
        statistics = _of(results, "h.0.fc")["outcome"]["statistics"]
        for name in ("mean_abs", "rmse"):
            statistics[name] = _times(statistics[name], factor)

    assert verified(_rewritten(sound, tmp_path / "bundle", change))[0] == exit_code


@pytest.mark.parametrize(("factor", "exit_code"), [(1.5, 0), (0.5, 0), (8.0, 2), (0.1, 2)])
def test_replicas_may_be_others_and_not_far_from_them(
    tmp_path: Path, sound: Path, verified: Verified, factor: float, exit_code: int
) -> None:
    """The subject's error is far below both bounds, so that its word hangs on neither."""

    def change(results: Any) -> None:
        comparison = _of(results, "generated.logits")
        statistics = comparison["outcome"]["statistics"]
        comparison["chained_allowed"] = _times(comparison["chained_allowed"], factor)
        worst = statistics["worst"][0]
        worst["allowed"] = _times(worst["allowed"], factor)
        statistics["used"] = measure(measured(worst["error"]) / measured(worst["allowed"]))

    assert verified(_rewritten(sound, tmp_path / "bundle", change))[0] == exit_code


def test_a_word_that_hangs_on_whose_replicas_are_taken_is_uncertain(
    tmp_path: Path, specs: Path, verified: Verified, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record allows twice what this verifier's replicas do, and the error lies between."""
    shipment = captures(specs)
    subject = shipment["subject-rust@f32"]
    exact = shipment["torch@f64"]["generated.logits"]
    allowed = 1.5 * _allowed(specs, exact)
    signs = np.where(np.arange(exact.size).reshape(exact.shape) % 2 == 0, 1.0, -1.0)
    moved = (exact + allowed * signs).astype(np.float32)
    first = exact[:, 0].astype(np.float32) == subject["generated.logits"][:, 0]
    assert first.any()
    subject["generated.logits"] = np.concatenate([subject["generated.logits"][:, :1], moved[:, 1:]], axis=1)
    with monkeypatch.context() as patch:
        patch.setattr("bundle_verifier.comparisons.root_mean_square", lambda a, b: 2.0 * root_mean_square(a, b))
        write_bundle(tmp_path / "bundle", specs, shipment)
    code, said = verified(tmp_path / "bundle")
    assert (code, "uncertain      generated.logits of tiny" in said) == (4, True), said


def _allowed(specs: Path, exact: np.ndarray[Any, Any]) -> float:
    own, model = _model(specs)
    worst = max(
        root_mean_square(exact, replicas.chain(model, own.roles, case(), way, None).run().generate(None).logits)
        for way in WAYS
    )
    return float(4.0 * worst + UNIT * np.abs(exact).max())


def _model(specs: Path) -> tuple[Specs, Model]:
    own = read_specs(specs, "gpt2")
    return own, Model(own.graph, dimensions(), {name: Weight.of(values) for name, values in weights().items()})


def test_replicas_are_different_and_correct(specs: Path) -> None:
    own, model = _model(specs)
    exact = Chain(model, own.roles, case()).run().generate()
    found = [replicas.chain(model, own.roles, case(), way, None).run().generate() for way in WAYS]
    errors = [root_mean_square(exact.logits, one.logits) for one in found]
    assert all(one.logits.dtype == np.float32 for one in found)
    assert all(0.0 < error < 1e-6 for error in errors)
    assert len(set(errors)) >= 6
    stored = replicas.chain(model, own.roles, case(), WAYS[0], "bf16").run().generate()
    assert 1e-4 < root_mean_square(exact.logits, stored.logits) < 0.1


def test_generation_leaves_the_chain_as_it_was(specs: Path) -> None:
    own, model = _model(specs)
    chain = Chain(model, own.roles, case()).run()
    first, other = chain.generate(), chain.generate([1, 2, 3, 4])
    assert np.array_equal(chain.generate().logits, first.logits)
    assert np.array_equal(other.logits[:, 0], first.logits[:, 0])
    assert not np.array_equal(other.logits[:, 1], first.logits[:, 1])
    assert np.array_equal(chain.generate(first.tokens.reshape(-1).tolist()).logits, first.logits)


@pytest.mark.parametrize(
    ("share", "unclear"), [(0.5, False), (0.999, False), (1.0 - 1e-5, True), (1.0 + 1e-5, True), (1.001, False)]
)
def test_a_share_close_to_its_budget_is_unclear(share: float, unclear: bool) -> None:
    expected = np.linspace(1.0, 2.0, 24)
    bound = np.full(24, 4096.0)
    actual = expected.copy()
    actual[7] += share * UNIT * 4096.0
    judged = _judged(actual.astype(np.float64), expected, bound)
    assert is_unclear(judged) == unclear


def _judged(actual: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], bound: np.ndarray[Any, Any]) -> Judged:
    tensor, judge, bounds = of_array(actual), of_array(expected), _single(bound)
    statistics = compare(tensor, judge, UNBOUNDED)
    slices: list[Slice] = []
    statistics.budget = budget(tensor, judge, bounds, slices, False, 5.0, 2.0)
    return Judged(statistics, tensor, judge, margin_of(bounds, UNIT), UNBOUNDED, bounds)


def test_intervals_hold_the_number_itself_and_no_more_than_the_margin() -> None:
    random = np.random.default_rng(3)
    expected = random.normal(size=1000)
    actual = (expected + random.normal(size=1000) * 1e-7).astype(np.float32)
    bound = np.full(1000, 16.0)
    tensor = Tensor.of("F32", actual.shape, actual.tobytes())
    statistics = compare(tensor, of_array(expected), UNBOUNDED, against_oracle=True)
    bounds = _single(bound)
    found = Judged(statistics, tensor, of_array(expected), margin_of(bounds, UNIT), UNBOUNDED, bounds).intervals()
    for name in ("max_abs", "mean_abs", "rmse", "max_rel"):
        low, high = getattr(found, name)
        assert low <= getattr(statistics, name) <= high
    apart = 2.0**-20 * UNIT * 16.0
    assert found.max_abs[1] - found.max_abs[0] <= 2.0 * apart * (1.0 + 1e-12)
    assert found.below[-1] == (1000, 1000)


def test_bounds_are_rounded_up_to_f32() -> None:
    wide = np.array([1.0, 1.0 + 2.0**-40, 3.0])
    narrow = _single(wide).part(0, 3)
    assert narrow.dtype == np.float32
    assert (narrow >= wide).all()
    assert narrow[0] == 1.0
    assert _single(np.array([1e300])).dtype == "F64"


def test_rows_whose_largest_are_close_may_take_either() -> None:
    rows = np.array([[1.0, 2.0, 2.0 - 1e-9], [1.0, 2.0, 3.0]])
    assert close_to_a_tie(rows, 1e-9).tolist() == [True, False]


def test_a_config_makes_the_architecture() -> None:
    family = Family.parse((GOLDEN / "data/spec/family.toml").read_bytes())
    with pytest.raises(ValueError, match="n_head"):
        family.dimensions(CONFIG)
