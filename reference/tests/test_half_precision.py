"""Half precision: what is stored is the nearest number, everything is stored, and weights are known before that."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import make_case

from trialplate_reference import Session
from trialplate_reference.half_precision import HALVES, rounded

Sessions = Callable[[str, str], Session]
UNIT = {"f16": 2.0**-11, "bf16": 2.0**-8}
_TORCH = {"f16": torch.float16, "bf16": torch.bfloat16}
every_half = pytest.mark.parametrize("precision", HALVES)
every_implementation = pytest.mark.parametrize("implementation", ["torch", "tinygrad"])


@every_half
def test_numbers_are_rounded_as_torch_rounds_them(precision: str) -> None:
    generator = np.random.default_rng(3)
    values = generator.standard_normal(4096).astype(np.float32) * np.float32(10.0) ** generator.integers(-9, 4, 4096)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 65520.0, 1.00390625, 6e-8]
    values = np.concatenate([values, special]).astype(np.float32)
    expected = torch.from_numpy(values).to(_TORCH[precision]).float().numpy()
    np.testing.assert_array_equal(rounded(values, precision), expected)


@every_half
@every_implementation
def test_every_activation_is_a_number_of_the_format(session: Sessions, implementation: str, precision: str) -> None:
    capture = session(implementation, precision).run(make_case(generate=2))
    for name, array in capture.items():
        if array.dtype.kind == "f":
            assert array.dtype == np.float32 and np.array_equal(rounded(array, precision), array), name


@every_half
def test_the_references_are_a_few_roundings_apart(session: Sessions, precision: str) -> None:
    wide, narrow = session("torch", "f64").run(make_case()), session("tinygrad", precision).run(make_case())
    for name in ("step0/embd", "step3/h.0.ln_1", "step0/h.0.attn.q"):
        scale = np.abs(wide[name]).max()
        assert 0 < np.abs(narrow[name] - wide[name]).max() < 20 * UNIT[precision] * scale, name


@every_implementation
def test_weights_are_told_apart_before_they_are_rounded(session: Sessions, implementation: str) -> None:
    given, run = session("torch", "f32").run(make_case()), session(implementation, "bf16").run(make_case())
    digests = {name: array for name, array in given.items() if name.startswith("weights.")}
    assert digests and all(np.array_equal(run[name], digest) for name, digest in digests.items())
