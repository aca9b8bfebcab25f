"""tinygrad functions compiled once per shape, fed and read with arrays."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from tinygrad.dtype import DType, dtypes
from tinygrad.engine.jit import TinyJit
from tinygrad.tensor import Tensor

from trialplate_reference.arrays import Array
from trialplate_reference.family import Shape

Function = Callable[..., tuple[Tensor, ...]]

_DTYPES: dict[np.dtype[np.generic], DType] = {
    np.dtype(np.float32): dtypes.float32,
    np.dtype(np.float64): dtypes.float64,
    np.dtype(np.int64): dtypes.int64,
}
# A kernel is compiled for each number of rows, so rows go through in tiles of these sizes, the last one padded.
_TILES = (1, 32)


def tensor(array: Array) -> Tensor:
    return Tensor(array, dtype=_DTYPES[array.dtype]).realize()


class _Kernel:
    """One function at one shape: its input tensors stay, and are filled through views of their own memory."""

    def __init__(self, function: Function, inputs: Iterable[tuple[Shape, np.dtype[np.generic]]]):
        self._inputs: list[Tensor] = []
        self._views: list[Array] = []
        for shape, dtype in inputs:
            held = Tensor.empty(*shape, dtype=_DTYPES[dtype]).realize()
            self._inputs.append(held)
            self._views.append(
                np.frombuffer(held._buffer().as_memoryview(force_zero_copy=True), dtype=dtype).reshape(shape)
            )
        self._function = TinyJit(function)

    def __call__(self, arrays: Iterable[Array], weights: Iterable[Tensor]) -> list[Array]:
        for view, array in zip(self._views, arrays, strict=True):
            view[: len(array)] = array
            view[len(array) :] = 0
        return [output.numpy() for output in self._function(*self._inputs, *weights)]


class Kernels:
    def __init__(self) -> None:
        self._compiled: dict[object, _Kernel] = {}

    def rows(
        self, function: Function, rows: Sequence[Array], whole: Sequence[Array] = (), weights: Sequence[Tensor] = ()
    ) -> list[Array]:
        """`function(*rows, *whole, *weights)`, computed a tile of rows at a time.

        The arrays in `rows` have their first axis in common, and so have the outputs; `whole` and `weights` are the
        same for every tile.
        """
        count = len(rows[0])
        outputs: list[list[Array]] = []
        for start, size in _tiles(count):
            tile = [array[start : start + size] for array in rows]
            shapes = [((size, *array.shape[1:]), array.dtype) for array in tile]
            shapes += [(array.shape, array.dtype) for array in whole]
            kept = min(size, count - start)
            outputs.append(
                [output[:kept] for output in self._kernel(function, shapes, weights)([*tile, *whole], weights)]
            )
        return [np.concatenate(parts) for parts in zip(*outputs, strict=True)]

    def _kernel(
        self, function: Function, inputs: Sequence[tuple[Shape, np.dtype[np.generic]]], weights: Iterable[Tensor]
    ) -> _Kernel:
        key = (function, tuple(inputs), tuple(weight.shape for weight in weights))
        if (kernel := self._compiled.get(key)) is None:
            kernel = self._compiled[key] = _Kernel(function, inputs)
        return kernel


def _tiles(rows: int) -> Iterator[tuple[int, int]]:
    """Start and size of the tiles that cover `rows`."""
    start = 0
    while start < rows:
        size = next((size for size in _TILES if size >= rows - start), _TILES[-1])
        yield start, size
        start += size
