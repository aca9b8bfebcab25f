"""Files of tensors: safetensors, and NumPy's archive. Each is there only once it is whole."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from trialplate_capture.arrays import Held

_SIZES = {"64": 8, "32": 4, "16": 2}


def write(path: Path, tensors: Mapping[str, Held]) -> None:
    """Write `.npz` where the path ends so, else safetensors."""
    form = _npz if path.suffix == ".npz" else _safetensors
    _replace(path, lambda file: form(file, tensors))


def _safetensors(file: IO[bytes], tensors: Mapping[str, Held]) -> None:
    """The length of a header, the header in JSON, and the values: <https://github.com/huggingface/safetensors#format>."""
    # The largest elements first: every tensor is aligned, and nothing lies between them.
    order = sorted(tensors, key=lambda name: (-_SIZES.get(tensors[name].dtype[-2:], 1), name))
    entries, position = {}, 0
    for name in order:
        held = tensors[name]
        end = position + held.array.nbytes
        entries[name] = {"dtype": held.dtype, "shape": list(held.array.shape), "data_offsets": [position, end]}
        position = end
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    file.write(len(header).to_bytes(8, "little"))
    file.write(header)
    for name in order:
        file.write(tensors[name].content())


def _npz(file: IO[bytes], tensors: Mapping[str, Held]) -> None:
    arrays: dict[str, Any] = {name: _nameable(held) for name, held in tensors.items()}
    np.savez(file, **arrays)


def _nameable(held: Held) -> np.ndarray[Any, Any]:
    """NumPy has no bfloat16; float32 holds it exactly."""
    if held.dtype != "BF16":
        return held.array
    return (held.array.astype(np.uint32) << 16).view(np.float32)


def _replace(path: Path, fill: Callable[[IO[bytes]], None]) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        try:
            fill(file)
            file.close()
            Path(file.name).chmod(0o666 & ~_umask())
            Path(file.name).replace(path)
        except BaseException:
            file.close()
            Path(file.name).unlink(missing_ok=True)
            raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
