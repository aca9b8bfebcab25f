"""The inside of Hugging Face's attention, shown by its own eager function while that runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.overrides import TorchFunctionMode

from trialplate_capture.recorder import CaptureError, Recorder

NAME = "trialplate_capture"
"""By which the library knows the function."""

_SHOWN = "_trialplate_capture"
"""The attribute of an attention module that says where it shows what, while it does."""


@contextmanager
def shown_attention(model: nn.Module, recorder: Recorder, wanted: bool | None) -> Iterator[None]:
    """Let attention show its queries, keys, values, mask, scores and probabilities while the block runs.

    Where nothing is said of it, models that run eager do, since their eager function is called as it would have been.
    """
    before = getattr(getattr(model, "config", None), "_attn_implementation", None)
    offered = before is not None and hasattr(model, "set_attn_implementation")
    if wanted and not offered:
        raise CaptureError(
            f"{type(model).__name__} offers no attention function of its own: attention=False records the rest"
        )
    if wanted is False or not offered or (wanted is None and before != "eager"):
        if wanted is None and offered:
            recorder.notes.append(
                f"attention runs {before!r}, which shows nothing of its inside; attention=True runs it eager"
            )
        yield
        return
    _register()
    attentions = [(path, module) for path, module in model.named_modules() if _eager(module) is not None]
    for path, module in attentions:
        setattr(module, _SHOWN, (path, recorder))
    model.set_attn_implementation(NAME)  # type: ignore[operator]
    try:
        yield
    finally:
        model.set_attn_implementation(before)  # type: ignore[operator]
        for _, module in attentions:
            delattr(module, _SHOWN)


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(NAME, _observed)
    AttentionMaskInterface.register(NAME, eager_mask)


def _eager(module: nn.Module) -> Any:
    """The eager function of the file that the module's class is from; None where it has none."""
    return getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)


def _observed(module: nn.Module, query: Any, key: Any, value: Any, mask: Any, *args: Any, **kwargs: Any) -> Any:
    path, recorder = getattr(module, _SHOWN)
    for name, tensor in {"query": query, "key": key, "value": value, "mask": mask}.items():
        if isinstance(tensor, torch.Tensor):
            recorder.observe(f"{path}.{name}", tensor)
    recorder.observe(f"{path}.new_key", key[:, :, -query.shape[2] :])
    with _Softmax(mask) as seen:
        output, probs = _eager(module)(module, query, key, value, mask, *args, **kwargs)
    if seen.scores is not None:
        recorder.observe(f"{path}.scores", seen.scores)
    recorder.observe(f"{path}.probs", probs)
    return output, probs


class _Softmax(TorchFunctionMode):
    """Sees the scores: what the mask is added to, or, without a mask, what softmax is given."""

    def __init__(self, mask: Any):
        super().__init__()
        self.scores: torch.Tensor | None = None
        self._mask = mask.untyped_storage().data_ptr() if isinstance(mask, torch.Tensor) else None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.Tensor.add, torch.Tensor.__add__, torch.add) and self._is_mask(args[1]):
            self.scores = args[0].clone()
        if func in (F.softmax, torch.softmax) and self.scores is None:
            self.scores = args[0].clone()
        return func(*args, **(kwargs or {}))

    def _is_mask(self, value: Any) -> bool:
        return isinstance(value, torch.Tensor) and value.untyped_storage().data_ptr() == self._mask
