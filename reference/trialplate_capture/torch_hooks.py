"""Hooks on every module of a PyTorch model."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from trialplate_capture.recorder import Recorder
from trialplate_capture.torch_attention import shown_attention


@contextmanager
def observed(model: nn.Module, recorder: Recorder, inputs: bool, attention: bool | None) -> Iterator[None]:
    """Let every module of the model show what it is given and returns, while the block runs."""
    with ExitStack() as stack:
        stack.enter_context(shown_attention(model, recorder, attention))
        stack.callback(model.register_forward_pre_hook(_root_hook(recorder), with_kwargs=True, prepend=True).remove)
        for path, module in model.named_modules():
            if inputs:
                hook = _input_hook(recorder, path)
                stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
            stack.callback(module.register_forward_hook(_output_hook(recorder, path)).remove)
        yield


def tensors(name: str, value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a value, its name joined with positions and keys by dots. A cache shows none."""
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from tensors(_joined(name, str(key)), item)
    elif isinstance(value, (tuple, list)):
        for position, item in enumerate(value):
            yield from tensors(_joined(name, str(position)), item)


def _joined(name: str, part: str) -> str:
    return f"{name}.{part}" if name else part


def _root_hook(recorder: Recorder) -> Any:
    def begin(module: nn.Module, args: Any, kwargs: Any) -> None:
        recorder.begin_step()

    return begin


def _input_hook(recorder: Recorder, path: str) -> Any:
    """What a module is given is seen before it is called, since it may write to it."""

    def see(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # What the model itself is given keeps the names of its parameters: `input_ids`.
        given = _by_parameter(module, args, kwargs) if not path else {**_by_position(args), **kwargs}
        for name, tensor in tensors(f"{path}.input" if path else "", given):
            recorder.observe(name, tensor)

    return see


def _by_position(args: tuple[Any, ...]) -> dict[str, Any]:
    return {str(position): value for position, value in enumerate(args)}


def _by_parameter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    names = list(inspect.signature(module.forward).parameters)
    named = {names[i] if i < len(names) else str(i): value for i, value in enumerate(args)}
    return {**named, **kwargs}


def _output_hook(recorder: Recorder, path: str) -> Any:
    def see(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        found = list(tensors(path, output))
        for name, tensor in found:
            recorder.observe(name or "output", tensor)
        if not found and output is not None:
            recorder.notes.append(f"{path or 'the model'} returned a {type(output).__name__}, which shows no tensor")

    return see
