"""The verifier's reader of checkpoints: all layouts give the same weights, and nothing unsound is read."""

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundle_verifier.operations import Array
from bundle_verifier.problem import InvalidEvidenceError
from bundle_verifier.weights import Weight, read_weights

RNG = np.random.default_rng(4)
WEIGHTS = {"wte.weight": RNG.normal(size=(300, 8)), "h.0.ln_1.bias": RNG.normal(size=8)}
WEIGHTS = {name: weight.astype(np.float32) for name, weight in WEIGHTS.items()}
Entries = dict[str, tuple[str, list[int], bytes]]


def bf16(array: Array) -> bytes:
    return (array.astype("<f4").view(np.uint32) >> 16).astype("<u2").tobytes()


SPELLINGS: dict[str, Callable[[Array], bytes]] = {
    "F32": lambda array: array.astype("<f4").tobytes(),
    "F16": lambda array: array.astype("<f2").tobytes(),
    "BF16": bf16,
}


def entries(dtype: str = "F32", prefix: str = "") -> Entries:
    return {prefix + name: (dtype, list(weight.shape), SPELLINGS[dtype](weight)) for name, weight in WEIGHTS.items()}


def write(path: Path, given: Entries, metadata: object = None, reverse: bool = False) -> None:
    header: dict[str, object] = {} if metadata is None else {"__metadata__": metadata}
    data = b""
    for name, (dtype, shape, content) in given.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    if reverse:
        header = dict(reversed(header.items()))
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.mark.parametrize("prefix", ["", "transformer."])
@pytest.mark.parametrize("dtype", SPELLINGS)
def test_every_float_is_read_as_f32_under_its_canonical_name(tmp_path: Path, dtype: str, prefix: str) -> None:
    write(tmp_path / "model.safetensors", entries(dtype, prefix), {"format": "pt"})
    found = read_weights(tmp_path)
    assert found.keys() == WEIGHTS.keys()
    for name, expected in WEIGHTS.items():
        array = found[name].array()
        assert array.dtype == np.float32
        assert np.allclose(array, expected, rtol={"F32": 0, "F16": 1e-3, "BF16": 1e-2}[dtype], atol=1e-7)
        assert found[name].digest() == hashlib.sha256(array.astype("<f4").tobytes()).hexdigest()


def test_rows_are_read_alone_and_in_any_order(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", entries())
    weight, table = read_weights(tmp_path)["wte.weight"], WEIGHTS["wte.weight"]
    assert np.array_equal(weight.rows(3, 7), table[3:7])
    ids = np.array([[7, 0, 299], [7, 7, 1]])
    assert np.array_equal(weight.take(ids), table[ids])
    large = RNG.normal(size=(3, 100_000)).astype(np.float32)
    assert np.array_equal(Weight.of(large).array(), large)
    for wrong in (-1, 300):
        with pytest.raises(IndexError):
            weight.take(np.array([wrong]))


def test_data_may_be_in_another_order_than_the_header(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", entries(), reverse=True)
    found = read_weights(tmp_path)
    assert all(np.array_equal(found[name].array(), weight) for name, weight in WEIGHTS.items())


def test_buffers_are_no_weights(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", entries() | {"h.0.attn.bias": ("U8", [1, 1, 2, 2], b"\1\0\1\1")})
    assert read_weights(tmp_path, buffers=[".attn.bias"]).keys() == WEIGHTS.keys()
    with pytest.raises(InvalidEvidenceError, match="a tensor of F32, F16, BF16"):
        read_weights(tmp_path)


def shards(folder: Path, places: dict[str, str]) -> None:
    for shard in ("a.safetensors", "b.safetensors"):
        held = {name: entry for name, entry in entries().items() if places.get(name) == shard}
        write(folder / shard, held)


def test_shards_are_read_as_one(tmp_path: Path) -> None:
    places = dict(zip(WEIGHTS, ("a.safetensors", "b.safetensors"), strict=True))
    shards(tmp_path, places)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    assert read_weights(tmp_path).keys() == WEIGHTS.keys()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"weight_map":{"wte.weight":"../a.safetensors"}}', "names of files beside it"),
        ('{"weight_map":{"wte.weight":"a.bin"}}', "names of files beside it"),
        ('{"weight_map":{"wte.weight":"a.safetensors","wte.weight":"b.safetensors"}}', "twice"),
        ('{"weight_map":{"wte.weight":"b.safetensors"}}', "exactly the tensors"),
        ('{"weight_map":{}}', "weight_map"),
        ("[" * 100_000, "a JSON object"),
    ],
)
def test_an_index_that_says_something_else_is_refused(tmp_path: Path, text: str, found: str) -> None:
    shards(tmp_path, dict(zip(WEIGHTS, ("a.safetensors", "b.safetensors"), strict=True)))
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(InvalidEvidenceError, match=found):
        read_weights(tmp_path)


def test_an_unsound_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write(path, entries() | {f"transformer.{name}": entry for name, entry in entries().items()})
    with pytest.raises(InvalidEvidenceError, match=r"wte\.weight twice"):
        read_weights(tmp_path)
    write(path, entries(), {"format": 3})
    with pytest.raises(InvalidEvidenceError, match="strings by name"):
        read_weights(tmp_path)
    write(path, entries())
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(InvalidEvidenceError, match="bytes of data listed"):
        read_weights(tmp_path)


def test_links_of_a_cache_are_followed_and_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"neither model\.safetensors nor"):
        read_weights(tmp_path)
    write(tmp_path / "blob", entries())
    (tmp_path / "model.safetensors").symlink_to("blob")
    assert read_weights(tmp_path).keys() == WEIGHTS.keys()
