"""Hugging Face's code at f64: its casts to f32, in norms, rotary positions and softmax, go to f64 instead."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class Widened(TorchFunctionMode):
    """Reads every `torch.float32` that is asked for as `torch.float64`."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.Tensor.float:
            return args[0].double()
        named = {name: _widened(value) for name, value in (kwargs or {}).items()}
        return func(*map(_widened, args), **named)


def _widened(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value


def at(precision: str) -> AbstractContextManager[object]:
    """What the library's code runs in: f64 is widened, every other precision is left as it is."""
    return Widened() if precision == "f64" else nullcontext()
