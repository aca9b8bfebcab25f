"""The package that records: what it sees is what the model computed, under the names it promises."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_case
from llama_models import MODELS, VOCABULARY, write_model
from safetensors import safe_open
from safetensors.numpy import load_file
from torch import nn

import trialplate_capture
from trialplate_capture import CaptureError, record
from trialplate_reference import Session, open_session
from trialplate_reference.torch_huggingface import load_model


class Twice(nn.Module):
    """A module that calls a child twice, and writes to what the child returned."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> dict[str, Any]:
        first = self.part(x)
        kept = first.clone()
        second = self.part(first)
        first.zero_()
        return {"pair": (kept, second), "cache": object()}


def test_every_module_shows_what_it_is_given_and_returns(tmp_path: Path) -> None:
    model, x = Twice(), torch.randn(2, 4)
    with record(tmp_path / "dump.safetensors", model) as dump:
        outputs = model(x)
        dump.put("extra", np.float64(1.5))
    found = load_file(tmp_path / "dump.safetensors")
    first, second = (output.detach().numpy() for output in outputs["pair"])
    expected = {
        "x": x.numpy(),
        "part.input.0": x.numpy(),
        "part": first,
        "part.input.0.call2": first,
        "part.call2": second,
        "pair.0": first,
        "pair.1": second,
        "extra": np.float64(1.5),
    }
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_hooks_are_gone_after_the_block_and_nothing_is_written_of_a_failure(tmp_path: Path) -> None:
    model = Twice()
    with pytest.raises(ZeroDivisionError), record(tmp_path / "dump.safetensors", model):
        model(torch.randn(2, 4))
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    for module in model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks


def test_calls_of_the_model_are_steps(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    with record(tmp_path / "dump.npz", model, inputs=False):
        first, second = model(torch.zeros(1, 2)), model(torch.ones(1, 2))
    found = np.load(tmp_path / "dump.npz")
    assert sorted(found) == ["step0/output", "step1/output"]
    np.testing.assert_array_equal(found["step0/output"], first.detach())
    np.testing.assert_array_equal(found["step1/output"], second.detach())


class Exotic:
    """An array of another library, which offers `__dlpack__` alone."""

    def __init__(self, array: np.ndarray[Any, Any]):
        self._array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


def test_arrays_of_anything_are_taken_in(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    with record(tmp_path / "dump.safetensors") as dump:
        dump.put("transposed", values.T)
        dump.put("big_endian", values.astype(">f4"))
        dump.put("dlpack", Exotic(values))
        dump.put("list", [[1, 2], [3, 4]])
        dump.put("flags", values > 2)
        dump.put("scalar", 2.5)
        dump.put("bf16", torch.tensor([1.5, -2.0], dtype=torch.bfloat16))
        dump.put("parameter", nn.Parameter(torch.from_numpy(values)))
        dump.put("empty", np.zeros((2, 0)))
    with safe_open(tmp_path / "dump.safetensors", framework="pt") as found:
        assert torch.equal(found.get_tensor("bf16"), torch.tensor([1.5, -2.0], dtype=torch.bfloat16))
        for name, expected in [
            ("transposed", values.T),
            ("big_endian", values),
            ("dlpack", values),
            ("list", np.array([[1, 2], [3, 4]])),
            ("flags", values > 2),
            ("scalar", np.float64(2.5)),
            ("parameter", values),
            ("empty", np.zeros((2, 0))),
        ]:
            array = found.get_tensor(name).numpy()
            np.testing.assert_array_equal(array, expected, err_msg=name)
            assert array.dtype == expected.dtype, name


def test_an_npz_holds_bfloat16_as_float32(tmp_path: Path) -> None:
    values = torch.tensor([1.5, -2.0, float("inf")], dtype=torch.bfloat16)
    with record(tmp_path / "dump.npz") as dump:
        dump.put("h.0", values)
    found = np.load(tmp_path / "dump.npz")["h.0"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values.float().numpy())


def test_what_is_written_to_later_stays_as_it_was(tmp_path: Path) -> None:
    values = torch.ones(3)
    with record(tmp_path / "dump.safetensors") as dump:
        dump.put("a", values)
        values.zero_()
    np.testing.assert_array_equal(load_file(tmp_path / "dump.safetensors")["a"], np.ones(3))


def test_what_was_overwritten_is_an_error_that_names_it(tmp_path: Path) -> None:
    values, kept = torch.ones(3), np.ones(3)
    with pytest.raises(CaptureError, match=r"^h\.0: overwritten"), record(tmp_path / "dump", copy=False) as dump:
        dump.put("h.0", values)
        dump.put("h.1", kept)
        values[1] = 2.0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a", "a"], "recorded before"),
        ([""], "no name"),
        (["../a"], "no name"),
        (["a\n"], "no name"),
        ([], "nothing was"),
    ],
)
def test_a_dump_that_could_not_be_read_is_not_written(tmp_path: Path, names: list[str], says: str) -> None:
    with pytest.raises(CaptureError, match=says), record(tmp_path / "dump.safetensors") as dump:
        for name in names:
            dump.put(name, [1.0])
    assert list(tmp_path.iterdir()) == []


def test_what_holds_no_numbers_is_refused(tmp_path: Path) -> None:
    for value in ["text", object(), [1, [2, 3]], 1j]:
        with pytest.raises(CaptureError, match="'a'"), record(tmp_path / "dump.safetensors") as dump:
            dump.put("a", value)


def test_a_model_of_another_library_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="a dict is no"), record(tmp_path / "dump.safetensors", {"weight": 1}):
        pass


def test_a_map_and_a_function_name_what_is_recorded(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    path = tmp_path / "dump.safetensors"
    with record(path, model, names={"{l}": "h.{l}.out", "{l}.input.0": "h.{l}.in"}):
        model(torch.ones(1, 2))
    assert sorted(load_file(path)) == ["h.0.in", "h.0.out", "h.1.in", "h.1.out", "input", "output"]
    with record(path, model, names=lambda name: f"mine.{name}" if name == "1" else None):
        model(torch.ones(1, 2))
    assert list(load_file(path)) == ["mine.1"]
    with pytest.raises(ValueError, match="huggingface-gpt2"), record(path, model, names="huggingface"):
        pass


def recorded(path: Path, model: Any, ids: Any, **options: Any) -> tuple[dict[str, Any], Any]:
    with torch.no_grad(), record(path, model, **options):
        logits = model(torch.tensor(ids)).logits
    return load_file(path), logits


def assert_as_captured(found: dict[str, Any], capture: dict[str, Any], least: int) -> None:
    """Everything that was recorded is, bit for bit, what the reference's own hooks show."""
    shared = {name: array for name, array in found.items() if name != "token_ids"}
    assert len(shared) >= least
    for name, array in shared.items():
        np.testing.assert_array_equal(array, capture[f"step0/{name}"], err_msg=name)


def test_gpt2_shows_under_the_names_of_the_specs_what_the_reference_shows(
    session: Callable[[str, str], Session], model: Path, tmp_path: Path
) -> None:
    case = make_case(schedule=[10])
    ids = case["token_ids"]
    capture = session("torch", "f32").run(case)
    eager = load_model(model, "eager")
    plain = eager(torch.tensor(ids)).logits
    found, logits = recorded(tmp_path / "dump.safetensors", eager, ids, names="huggingface-gpt2")
    assert torch.equal(plain, logits)
    assert eager.config._attn_implementation == "eager"
    assert_as_captured(found, capture, 2 * 16 + 3)
    unseen = {name for name in capture if name.startswith("step0/")} - {f"step0/{name}" for name in found}
    assert {name.split(".")[-1] for name in unseen} <= {
        "normalized",
        "last",
        "mask",
        "token",
        "step0/token",
        "5",
        "t1",
        "t2",
    }


@pytest.mark.parametrize("name", [name for name in MODELS if " " not in name])
def test_the_llama_family_shows_what_the_reference_shows(name: str, tmp_path: Path) -> None:
    path = write_model(tmp_path / "model", name, 5)
    ids = np.random.default_rng(1).integers(0, VOCABULARY, (2, 7)).tolist()
    capture = open_session("torch", "f32", str(path), 1).run(make_case(token_ids=ids, schedule=[7]))
    found, _ = recorded(tmp_path / "dump.safetensors", load_model(path, "eager"), ids, names="huggingface-llama")
    assert_as_captured(found, capture, 2 * 19 + 5)


def test_attention_that_runs_another_way_shows_its_inside_only_where_that_is_asked_for(
    model: Path, tmp_path: Path
) -> None:
    fused = load_model(model, "sdpa")
    ids = [[1, 2, 3]]
    found, logits = recorded(tmp_path / "dump.safetensors", fused, ids)
    assert torch.equal(fused(torch.tensor(ids)).logits, logits)
    assert not any(name.endswith(".scores") for name in found)
    found, _ = recorded(tmp_path / "dump.safetensors", fused, ids, attention=True)
    assert found["transformer.h.0.attn.scores"].shape == found["transformer.h.0.attn.probs"].shape
    assert fused.config._attn_implementation == "sdpa"
    with pytest.raises(CaptureError, match="offers no attention"), record(tmp_path / "a", Twice(), attention=True):
        pass


def test_the_package_is_installed_by_itself_and_needs_no_pytorch(tmp_path: Path) -> None:
    source = shutil.copytree(Path(trialplate_capture.__file__).parent, tmp_path / "source")
    options = ["--quiet", "--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", tmp_path / "site", source], check=True
    )
    program = (
        "import sys; from trialplate_capture import record\n"
        "with record('dump.safetensors') as dump: dump.put('a', [1.0])\n"
        "print(*sorted({'torch', 'transformers', 'safetensors'} & sys.modules.keys()))"
    )
    environment = {"PYTHONPATH": str(tmp_path / "site")}
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, check=True
    )
    assert told.stdout == b"\n"
    np.testing.assert_array_equal(load_file(tmp_path / "dump.safetensors")["a"], [1.0])
