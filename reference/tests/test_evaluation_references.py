"""The references and the graph hold each other to account: none of them has the other's code."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import distance, make_case
from tiny_graph import FAMILY, graph, half_rules, single_rules

from bundle_verifier.case import Case
from bundle_verifier.evaluation import Evaluation, Model, RulesOf, token_ids
from bundle_verifier.family import Family
from bundle_verifier.operations import Array
from bundle_verifier.weights import read_weights
from trialplate_reference import Session

Sessions = Callable[[str, str], Session]
every_implementation = pytest.mark.parametrize("implementation", ["torch", "tinygrad"])
CASE = Case("two-rows", make_case()["token_ids"], False, (6, 1, 2, 1), 0)  # type: ignore[arg-type]


@pytest.fixture
def own(model: Path) -> Model:
    """The model, as the verifier reads it."""
    dimensions = Family.parse(FAMILY).dimensions(json.loads((model / "config.json").read_text()))
    return Model(graph(), dimensions, read_weights(model))


def used(own: Model, capture: dict[str, Array], rules: RulesOf) -> dict[str, float]:
    judge, shares = Evaluation(own, CASE, capture.get, rules), {}
    for step in range(4):
        for name in judge.names:
            exact, found = judge.activation(step, name), capture[f"step{step}/{name}"].astype(np.float64)
            error = np.subtract(found, exact.value, where=found != exact.value, out=np.zeros(found.shape))
            with np.errstate(divide="ignore"):
                share = np.divide(np.abs(error), exact.allowed, where=error != 0, out=np.zeros(found.shape))
            shares[f"step{step}/{name}"] = float(share.max())
    return shares


@every_implementation
def test_the_chain_is_the_references_at_f64(session: Sessions, own: Model, implementation: str) -> None:
    capture = session(implementation, "f64").run(make_case())
    for name, value in Evaluation(own, CASE, token_ids(CASE)).chain():
        assert distance(np.asarray(capture[name]), value) <= 1e-12, name


@every_implementation
def test_a_reference_stays_within_half_of_its_bounds(session: Sessions, own: Model, implementation: str) -> None:
    shares = used(own, session(implementation, "f32").run(make_case()), single_rules)
    assert {name: share for name, share in shares.items() if not share <= 0.5} == {}


@pytest.mark.parametrize("precision", ["f16", "bf16"])
@every_implementation
def test_a_reference_in_half_precision_does_too(
    session: Sessions, own: Model, implementation: str, precision: str
) -> None:
    capture = session(implementation, precision).run(make_case())
    shares = used(own, capture, functools.partial(half_rules, precision))
    assert {name: share for name, share in shares.items() if not share < 0.6} == {}
