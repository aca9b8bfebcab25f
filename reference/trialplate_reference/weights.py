"""A reader of safetensors checkpoints on NumPy alone, which shares no code with the other reference."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trialplate_reference.activations import weight_shapes
from trialplate_reference.arrays import Array
from trialplate_reference.config import ModelConfig

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def read_weights(model: Path, config: ModelConfig) -> dict[str, Array]:
    """All weights in f32 under canonical names; `lm_head.weight` only where the head is not tied."""
    expected, buffers = weight_shapes(config), config.family.buffers
    weights: dict[str, Array] = {}
    for path in _files(model):
        for stored_name, weight in _tensors(path, buffers):
            name = stored_name.removeprefix(config.family.prefix)
            if name.endswith(buffers) or (name == "lm_head.weight" and config.tied_head):
                continue
            if name in weights:
                raise ValueError(f"{path}: {stored_name!r} is stored twice")
            if weight.shape != expected.get(name):
                raise ValueError(f"{path}: {stored_name!r} has the shape {weight.shape}; expected {expected.get(name)}")
            weights[name] = weight
    if missing := sorted(expected.keys() - weights.keys()):
        raise ValueError(f"{model} has no weights {missing}")
    return {name: weights[name] for name in expected}


def _files(model: Path) -> list[Path]:
    single, index = model / "model.safetensors", model / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if index.is_file():
        return [model / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    raise FileNotFoundError(f"{model} has neither model.safetensors nor model.safetensors.index.json")


def _tensors(path: Path, buffers: tuple[str, ...]) -> Iterator[tuple[str, Array]]:
    content = np.memmap(path, dtype=np.uint8, mode="r").view(np.ndarray)
    start = 8 + int(content[:8].view("<u8")[0])
    header = json.loads(content[8:start].tobytes())
    header.pop("__metadata__", None)
    for name, entry in header.items():
        if (stored := _DTYPES.get(entry["dtype"])) is None:
            if name.endswith(buffers):
                continue
            raise ValueError(f"{path}: {name!r} is {entry['dtype']}; expected one of {sorted(_DTYPES)}")
        begin, end = entry["data_offsets"]
        values = content[start + begin : start + end].view(stored).reshape(entry["shape"])
        if entry["dtype"] == "BF16":  # the upper half of an f32
            yield name, (values.astype(np.uint32) << 16).view(np.float32)
        else:
            yield name, values.astype(np.float32)
