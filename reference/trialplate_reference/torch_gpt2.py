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
from trialplate_reference.config import ModelConfig
from trialplate_reference.replay import tail
from trialplate_reference.session import Reference
from trialplate_reference.storage import HALVES

_ATTENTION = "trialplate"
_DTYPES = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32, "f64": torch.float64}

Model = Any
"""A `GPT2LMHeadModel`; the annotations of the library say `Tensor | Module` of every part of it."""


def _scores(query: torch.Tensor, key: torch.Tensor, scaling: float) -> torch.Tensor:
    return torch.matmul(query, key.transpose(-1, -2)) * scaling


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
    scores = _scores(query, key, scaling)
    probs = F.softmax(scores + mask, dim=-1)
    context = torch.matmul(probs, value).transpose(1, 2)
    module.observer(cached_k=key.transpose(1, 2), cached_v=value.transpose(1, 2), scores=scores, mask=mask, probs=probs)
    return context, probs


AttentionInterface.register(_ATTENTION, _observed_attention)
AttentionMaskInterface.register(_ATTENTION, eager_mask)


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
    """Single operations by the model's own modules."""

    def __init__(self, model: Model, config: ModelConfig):
        self._model, self._config = model, config
        self._scaling = model.transformer.h[0].attn.scaling
        self._dtype = model.dtype

    def _module(self, name: str) -> Any:
        return self._model.transformer.get_submodule(name)

    def _stored(self, array: Array) -> torch.Tensor:
        return _tensor(array).to(self._dtype)

    def embed(self, token_ids: Array, position: int) -> Array:
        positions = torch.arange(position, position + token_ids.shape[1])
        return _array(self._model.transformer.wte(_tensor(token_ids)) + self._model.transformer.wpe(positions)[None])

    def layer_norm(self, name: str, x: Array) -> tuple[Array, Array]:
        taken = self._stored(x)
        return _array(self.normalized(taken)), _array(self._module(name)(taken))

    def normalized(self, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, (self._config.width,), eps=self._config.epsilon)

    def qkv(self, name: str, x: Array) -> tuple[Array, Array, Array]:
        q, k, v = self.split_heads(self._module(name)(self._stored(x)))
        return _array(q), _array(k), _array(v)

    def split_heads(self, fused: torch.Tensor) -> list[torch.Tensor]:
        shape = (*fused.shape[:2], self._config.heads, self._config.head_width)
        return [part.reshape(shape) for part in torch.split(fused, self._config.width, dim=2)]

    def append(self, past: Array | None, new: Array) -> Array:
        """Through the cache class that the model itself uses, for one tensor as both keys and values."""
        cache = DynamicCache()
        for part in (past, new):
            if part is not None:
                heads_first = self._stored(part).transpose(1, 2)
                cached, _ = cache.update(heads_first, heads_first, 0)
        return _array(cached.transpose(1, 2))

    def scores(self, q: Array, cached_k: Array) -> Array:
        return _array(_scores(self._stored(q).transpose(1, 2), self._stored(cached_k).transpose(1, 2), self._scaling))

    def mask(self, batch: int, position: int, length: int) -> Array:
        mask = eager_mask(batch, length, position + length, q_offset=position, dtype=self._dtype)
        return _array(_additive(mask, batch))

    def probs(self, scores: Array, mask: Array) -> Array:
        return _array(F.softmax(self._stored(scores) + self._stored(mask)[:, None], dim=-1))

    def context(self, probs: Array, cached_v: Array) -> Array:
        return _array(
            torch.matmul(self._stored(probs), self._stored(cached_v).transpose(1, 2)).transpose(1, 2).flatten(2)
        )

    def linear(self, name: str, x: Array) -> Array:
        return _array(self._module(name)(self._stored(x)))

    def add(self, x: Array, y: Array) -> Array:
        return _array(self._stored(x) + self._stored(y))

    def gelu(self, x: Array) -> Array:
        return _array(self._model.transformer.h[0].mlp.act(self._stored(x)))

    def head(self, x: Array) -> Array:
        return _array(self._model.lm_head(self._stored(x)))

    def last(self, logits: Array) -> Array:
        return _array(self._stored(logits[:, -1]))

    def argmax(self, logits: Array) -> Array:
        return _array(self._stored(logits).argmax(dim=-1))

    def softmax(self, logits: Array, temperature: float) -> Array:
        return _array(F.softmax(self._stored(logits) / temperature, dim=-1))


class TorchGPT2(Reference):
    name = "torch"

    def __init__(self, model: str, precision: str, threads: int):
        super().__init__(Path(model), precision)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
        self._model = load_model(self.model, _ATTENTION)
        if precision in HALVES:
            self._weight_digests()  # of what was read, before it is rounded
        self._model = self._model.to(_DTYPES[precision])
        self._observed: dict[str, torch.Tensor] = {}
        self._cache = DynamicCache()
        self.operators: TorchOperators = TorchOperators(self._model, self.config)
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

    def multiply(self, x: Array, y: Array) -> Array:
        return _array(torch.matmul(*(torch.from_numpy(np.require(factor, requirements="W")) for factor in (x, y))))

    def tokenize(self, text: str) -> list[int]:
        path = self.model / "tokenizer.json"
        return Tokenizer.from_file(str(path)).encode(text, add_special_tokens=False).ids

    def start(self, batch: int) -> None:
        self._cache = DynamicCache()

    def step(self, token_ids: Array, position: int) -> dict[str, Array]:
        if (cached := self._cache.get_seq_length()) != position:
            raise RuntimeError(f"the cache holds {cached} tokens; expected {position}")
        self._observed.clear()
        self._model(_tensor(token_ids), past_key_values=self._cache, use_cache=True)
        activations = {name: _array(value) for name, value in self._observed.items()}
        return activations | dict(tail(self.operators, activations["logits"]))

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
        def observe(_: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            self._observed[name + ".normalized"] = self.operators.normalized(args[0])
            self._observed[name] = output

        module.register_forward_hook(observe)

    def _on_qkv(self, attention: Any, prefix: str) -> None:
        def observe(_: nn.Module, __: Any, output: torch.Tensor) -> None:
            for name, value in zip("qkv", self.operators.split_heads(output), strict=True):
                self._observed[prefix + name] = value

        attention.c_attn.register_forward_hook(observe)

    def _attention_observer(self, prefix: str) -> Any:
        def observe(mask: torch.Tensor, **values: torch.Tensor) -> None:
            self._observed[prefix + "mask"] = _additive(mask, values["scores"].shape[0])
            self._observed |= {prefix + name: value for name, value in values.items()}

        return observe


def _tensor(array: Array) -> torch.Tensor:
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def _array(tensor: torch.Tensor) -> Array:
    """Half precision as f32, which holds it exactly."""
    array: Array = (tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor).numpy()
    return array
