"""The weights of a model's folder, read when they are asked for and never held together."""

import hashlib
import json
import re
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bundle_verifier.bag import Bag
from bundle_verifier.problem import InvalidEvidenceError, brief
from bundle_verifier.pull import no_constant, no_key_twice
from bundle_verifier.tensor import CHUNK, Tensor
from bundle_verifier.tensor_file import SafetensorsFile

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
LARGEST_INDEX = 64 << 20
FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}\.safetensors")
FLOATS = ("F32", "F16", "BF16")

Single = NDArray[np.float32]


class Weight:
    """One matrix or vector, in f32 whatever it is stored in."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor, self.shape = tensor, tensor.shape

    @classmethod
    def of(cls, array: Single) -> "Weight":
        return cls(Tensor.of("F32", array.shape, np.ascontiguousarray(array, "<f4").tobytes()))

    def array(self) -> Single:
        return self.rows(0, self.shape[0])

    def rows(self, start: int, stop: int) -> Single:
        """Along the first axis."""
        width = self._tensor.size // max(self.shape[0], 1)
        result = np.empty((stop - start) * width, np.float32)
        for offset in range(0, len(result), CHUNK):
            end = min(offset + CHUNK, len(result))
            result[offset:end] = self._tensor.numbers(start * width + offset, start * width + end)
        return result.reshape(stop - start, *self.shape[1:])

    def take(self, indices: NDArray[np.int64]) -> Single:
        """The rows that the indices name, in the shape of the indices."""
        if indices.size and not (indices.min() >= 0 and indices.max() < self.shape[0]):
            raise IndexError(f"ids from {indices.min()} to {indices.max()}; expected some below {self.shape[0]}")
        unique, places = np.unique(indices, return_inverse=True)
        chosen = [self.rows(int(index), int(index) + 1) for index in unique]
        rows = np.concatenate(chosen) if chosen else np.empty((0, *self.shape[1:]), np.float32)
        return np.asarray(rows[places.reshape(indices.shape)], np.float32)

    def digest(self) -> str:
        """SHA-256 of its numbers in f32, as captures hold it."""
        digest, step = hashlib.sha256(), max(1, CHUNK * max(self.shape[0], 1) // max(self._tensor.size, 1))
        for start in range(0, self.shape[0], step):
            digest.update(self.rows(start, min(start + step, self.shape[0])).astype("<f4").tobytes())
        return digest.hexdigest()


class WeightFile(SafetensorsFile):
    """A checkpoint's: any strings as metadata, and data in any order."""

    ordered = False

    def _check(self) -> None:
        metadata = self._metadata
        texts = type(metadata) is dict and all(type(value) is str for value in metadata.values())
        if metadata is not None and not texts:
            raise InvalidEvidenceError(f"{self.path} __metadata__", "strings by name", brief(repr(metadata)))

    def weight(self, name: str) -> Weight:
        return Weight(self.tensor(name))


def read_weights(
    folder: Path, prefixes: Collection[str] = ("transformer.",), buffers: Collection[str] = ()
) -> dict[str, Weight]:
    """By canonical name, which is the stored one without the first of `prefixes` that it begins with.

    A name that ends with one of `buffers` is no weight. The files stay open as long as the weights are held.
    """
    weights: dict[str, Weight] = {}
    for file in _files(folder):
        for stored, entry in file.entries.items():
            if stored.endswith(tuple(buffers)):
                continue
            name = next((stored.removeprefix(prefix) for prefix in prefixes if stored.startswith(prefix)), stored)
            if name in weights:
                raise InvalidEvidenceError(f"{file.path} {stored}", "every weight once", f"{name} twice")
            if entry.dtype not in FLOATS or not entry.shape:
                expected = f"a tensor of {', '.join(FLOATS)}"
                raise InvalidEvidenceError(f"{file.path} {stored}", expected, f"{entry.dtype} {list(entry.shape)}")
            weights[name] = file.weight(stored)
    return weights


def _files(folder: Path) -> list[WeightFile]:
    if (folder / SINGLE).is_file():
        return [_open(folder / SINGLE)]
    if not (folder / INDEX).is_file():
        raise FileNotFoundError(f"{folder} has neither {SINGLE} nor {INDEX}")
    places = _index(folder / INDEX)
    files = []
    for shard in sorted(set(places.values())):
        file = _open(folder / shard)
        said = sorted(name for name, place in places.items() if place == shard)
        if said != sorted(file.entries):
            unlike = sorted(set(said) ^ set(file.entries))[:5]
            raise InvalidEvidenceError(shard, f"exactly the tensors that {INDEX} places there", f"others: {unlike}")
        files.append(file)
    return files


def _open(path: Path) -> WeightFile:
    """Through links, as caches of models have them."""
    real = path.resolve(strict=True)
    return WeightFile(Bag(real.parent, {real.name: real.stat().st_size}, {}, "", ""), real.name)


def _index(path: Path) -> dict[str, str]:
    if path.stat().st_size > LARGEST_INDEX:
        raise InvalidEvidenceError(path.name, f"at most {LARGEST_INDEX} bytes", f"{path.stat().st_size}")
    try:
        value = json.loads(path.read_bytes(), parse_constant=no_constant, object_pairs_hook=no_key_twice)
    except (ValueError, RecursionError) as error:
        raise InvalidEvidenceError(path.name, "a JSON object", str(error)) from None
    places = value.get("weight_map") if type(value) is dict else None
    if type(places) is not dict or not places:
        raise InvalidEvidenceError(path.name, "weight_map with files by name", brief(repr(places)))
    for file in places.values():
        if type(file) is not str or not FILE_NAME.fullmatch(file):
            raise InvalidEvidenceError(path.name, "names of files beside it", brief(repr(file)))
    return places
