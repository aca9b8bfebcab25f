"""PyTorch: Hugging Face's own `GPT2LMHeadModel`, run by its own forward pass and observed through its hooks."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # never ask a network, whatever the model directory lacks
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F  # noqa: N812
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache
from transformers.masking_utils import eager_mask
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from trialplate_reference.activations import MASK_BUFFERS
from trialplate_reference.arrays import Array
from trialplate_reference.half_precision import HALVES
from trialplate_reference.session import Reference
from trialplate_reference.tail import tail

_DTYPES = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32, "f64": torch.float64}

Model = Any
"""A `GPT2LMHeadModel`; the annotations of the library say `Tensor | Module` of every part of it."""


def _observed_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    scaling: float,
    **_: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hugging Face's eager attention, expression by expression, handing each result to the module's observer."""
    scores = torch.matmul(query, key.transpose(-1, -2)) * scaling
    probs = F.softmax(scores + mask, dim=-1)
    context = torch.matmul(probs, value).transpose(1, 2)
    module.observer(cached_k=key.transpose(1, 2), cached_v=value.transpose(1, 2), scores=scores, mask=mask, probs=probs)
    return context, probs


def register_attention(name: str, function: Any) -> None:
    """Makes the library call `function` for models loaded with `attn_implementation=name`."""
    AttentionInterface.register(name, function)
    AttentionMaskInterface.register(name, eager_mask)


register_attention("trialplate", _observed_attention)


def _additive(mask: torch.Tensor, batch: int) -> torch.Tensor:
    """`[B, S, K]` with −inf where Hugging Face writes the lowest finite number, its spelling of −inf."""
    lowest = torch.finfo(mask.dtype).min
    return mask[:, 0].masked_fill(mask[:, 0] == lowest, -torch.inf).expand(batch, -1, -1)


def load_model(model: Path, attention: str) -> Model:
    """Load in f32; a weight that is absent or left over is an error, never initialised at random."""
    load: Any = GPT2LMHeadModel.from_pretrained  # its annotation knows no loading info
    loaded, info = load(
        model, dtype=torch.float32, attn_implementation=attention, local_files_only=True, output_loading_info=True
    )
    info["unexpected_keys"] = [name for name in info["unexpected_keys"] if not name.endswith(MASK_BUFFERS)]
    if problems := {kind: sorted(map(str, names)) for kind, names in info.items() if names}:
        raise ValueError(f"{model} does not hold exactly the weights of a GPT-2: {problems}")
    return loaded.eval().requires_grad_(False)


class TorchOperators:
    """What follows the logits, at the precision of the model."""

    def __init__(self, dtype: torch.dtype):
        self._dtype = dtype

    def _stored(self, array: Array) -> torch.Tensor:
        return _tensor(array).to(self._dtype)

    def last(self, logits: Array) -> Array:
        return _array(self._stored(logits[:, -1]))

    def argmax(self, logits: Array) -> Array:
        return _array(self._stored(logits).argmax(dim=-1))

    def softmax(self, logits: Array, temperature: float) -> Array:
        return _array(F.softmax(self._stored(logits) / temperature, dim=-1))


class _Observed:
    """Hands each tensor on where it is observed, so that none is held longer than the model itself holds it."""

    def __init__(self, reference: Reference):
        self._reference = reference

    def __setitem__(self, name: str, value: torch.Tensor) -> None:
        self._reference.see(name, _array(value))


class TorchGPT2(Reference):
    name = "torch"
    attention = "trialplate"

    def __init__(self, model: str, precision: str, threads: int):
        super().__init__(Path(model), precision)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
        self._model = load_model(self.model, self.attention)
        if precision in HALVES:
            self._weight_digests()  # of what was read, before it is rounded
        self._model = self._model.to(_DTYPES[precision])
        self._observed = _Observed(self)
        self._cache = DynamicCache()
        self.operators = TorchOperators(self._model.dtype)
        self._observe()

    def version(self) -> str:
        return f"{torch.__version__} (transformers {transformers.__version__})"

    def device(self) -> str:
        return f"cpu ({torch.backends.cpu.get_cpu_capability()})"

    def weights(self) -> Iterable[tuple[str, Array]]:
        for name, parameter in self._model.transformer.named_parameters():
            yield name, _array(parameter)

    def head_weight(self) -> Array:
        return _array(self._model.lm_head.weight)

    def head_is_tied(self) -> bool:
        return bool(self._model.lm_head.weight.data_ptr() == self._model.transformer.wte.weight.data_ptr())

    def tokenize(self, text: str) -> list[int]:
        path = self.model / "tokenizer.json"
        return Tokenizer.from_file(str(path)).encode(text, add_special_tokens=False).ids

    def start(self, batch: int) -> None:
        self._cache = DynamicCache()

    def step(self, token_ids: Array, position: int) -> dict[str, Array]:
        if (cached := self._cache.get_seq_length()) != position:
            raise RuntimeError(f"the cache holds {cached} tokens; expected {position}")
        logits = self._model(_tensor(token_ids), past_key_values=self._cache, use_cache=True).logits
        return tail(self.operators, _array(logits))

    def _observe(self) -> None:
        """Hook every activation: at the input or the output of the module that computes or consumes it."""
        transformer = self._model.transformer
        self._on_input(transformer.h[0], "embd")
        for layer, block in enumerate(transformer.h):
            h = f"h.{layer}."
            self._on_norm(block.ln_1, h + "ln_1")
            self._on_qkv(block.attn, h + "attn.")
            block.attn.observer = self._attention_observer(h + "attn.")
            self._on_input(block.attn.c_proj, h + "attn.context")
            self._on_output(block.attn.c_proj, h + "attn.out")
            self._on_input(block.ln_2, h + "mid")
            self._on_norm(block.ln_2, h + "ln_2")
            self._on_output(block.mlp.c_fc, h + "mlp.fc")
            self._on_output(block.mlp.act, h + "mlp.act")
            self._on_output(block.mlp.c_proj, h + "mlp.out")
            self._on_output(block, h + "out")
        self._on_norm(transformer.ln_f, "ln_f")
        self._on_output(self._model.lm_head, "logits")

    def _on_input(self, module: nn.Module, name: str) -> None:
        module.register_forward_pre_hook(lambda _, args: self._observed.__setitem__(name, args[0]))

    def _on_output(self, module: nn.Module, name: str) -> None:
        module.register_forward_hook(lambda _, __, output: self._observed.__setitem__(name, output))

    def _on_norm(self, module: nn.Module, name: str) -> None:
        width, epsilon = self.config.width, self.config.epsilon

        def observe(_: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            self._observed[name + ".normalized"] = F.layer_norm(args[0], (width,), eps=epsilon)
            self._observed[name] = output

        module.register_forward_hook(observe)

    def _on_qkv(self, attention: Any, prefix: str) -> None:
        def observe(_: nn.Module, __: Any, output: torch.Tensor) -> None:
            shape = (*output.shape[:2], self.config.heads, self.config.head_width)
            for name, part in zip("qkv", torch.split(output, self.config.width, dim=2), strict=True):
                self._observed[prefix + name] = part.reshape(shape)

        attention.c_attn.register_forward_hook(observe)

    def _attention_observer(self, prefix: str) -> Any:
        def observe(mask: torch.Tensor, **values: torch.Tensor) -> None:
            self._observed[prefix + "mask"] = _additive(mask, values["cached_k"].shape[0])
            for name, value in values.items():
                self._observed[prefix + name] = value

        return observe


def _tensor(array: Array) -> torch.Tensor:
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def _array(tensor: torch.Tensor) -> Array:
    """Half precision as f32, which holds it exactly."""
    array: Array = (tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor).numpy()
    return array
