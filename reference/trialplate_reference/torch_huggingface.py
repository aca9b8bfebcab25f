"""PyTorch: Hugging Face's own models, run by their own forward pass and observed through their hooks."""

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
from transformers import DynamicCache

from trialplate_reference import torch_widened
from trialplate_reference.activations import activation_shapes
from trialplate_reference.arrays import Array
from trialplate_reference.config import ModelConfig
from trialplate_reference.family import extent
from trialplate_reference.half_precision import HALVES
from trialplate_reference.session import Reference
from trialplate_reference.tail import tail
from trialplate_reference.torch_attention import observed_attention, registered
from trialplate_reference.torch_maps import MAPS, Shown

_DTYPES = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32, "f64": torch.float64}

Model = Any
"""A model with a head; the annotations of the library say `Tensor | Module` of every part of it."""


def load_model(model: Path, attention: str) -> Model:
    """Load in f32; a weight that is absent or left over is an error, never initialised at random."""
    config = ModelConfig.read(model)
    loaded, info = getattr(transformers, config.architecture).from_pretrained(
        model, dtype=torch.float32, attn_implementation=attention, local_files_only=True, output_loading_info=True
    )
    buffers = config.family.buffers
    info["unexpected_keys"] = [name for name in info["unexpected_keys"] if not name.endswith(buffers)]
    if problems := {kind: sorted(map(str, names)) for kind, names in info.items() if names}:
        raise ValueError(f"{model} does not hold exactly the weights of a {config.architecture}: {problems}")
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


class TorchReference(Reference):
    name = "torch"
    attention = registered("trialplate", observed_attention)

    def __init__(self, model: str, precision: str, threads: int):
        super().__init__(Path(model), precision)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
        self._map = MAPS[self.config.family.name]
        self._model = load_model(self.model, self.attention)
        if precision in HALVES:
            self._weight_digests()  # of what was read, before it is rounded
        self._model = self._model.to(_DTYPES[precision])
        self._compute_frequencies()
        self._cache = DynamicCache()
        self.operators = TorchOperators(self._model.dtype)
        self._observe()

    def version(self) -> str:
        return f"{torch.__version__} (transformers {transformers.__version__})"

    def device(self) -> str:
        return f"cpu ({torch.backends.cpu.get_cpu_capability()})"

    def weights(self) -> Iterable[tuple[str, Array]]:
        for name, parameter in self._model.named_parameters():  # a tied head is not named again
            yield name.removeprefix(self.config.family.prefix), _array(parameter)

    def head_is_tied(self) -> bool:
        head, embedding = self._model.get_output_embeddings(), self._model.get_input_embeddings()
        return bool(head.weight.data_ptr() == embedding.weight.data_ptr())

    def tokenize(self, text: str) -> list[int]:
        path = self.model / "tokenizer.json"
        return Tokenizer.from_file(str(path)).encode(text, add_special_tokens=False).ids

    def start(self, batch: int) -> None:
        # Told of no config, the cache keeps what has left a window: masks alone hide it.
        self._cache = DynamicCache()

    def step(self, token_ids: Array, position: int) -> dict[str, Array]:
        if (cached := self._cache.get_seq_length()) != position:
            raise RuntimeError(f"the cache holds {cached} tokens; expected {position}")
        with torch_widened.at(self.precision):
            logits = self._model(_tensor(token_ids), past_key_values=self._cache, use_cache=True).logits
        return tail(self.operators, _array(logits))

    def _compute_frequencies(self) -> None:
        """Rotary frequencies anew: the library computes them in f32, and casting the model rounds them to its type."""
        if path := self._map.rotary:
            with torch_widened.at(self.precision):
                rotary = type(self._model.get_submodule(path))(self._model.config)
            self._model.set_submodule(path, rotary)

    def _observe(self) -> None:
        """Hook every activation that a model of this config has."""
        expected = activation_shapes(self.config, batch=1, position=0, length=1)
        for shown in self._map.shown:
            for layer in range(self.config.layers if "{l}" in shown.module else 1):
                names = [name.replace("{l}", str(layer)) for name in shown.names]
                if expected.keys() >= set(names):
                    self._hook(self._module(shown.module, layer), shown, names)
        for layer in range(self.config.layers):
            attention = self._module(self._map.attention, layer)
            attention.softmax_dtype = self._map.softmax
            attention.observer = self._attention_observer(f"h.{layer}.attn.")

    def _module(self, path: str, layer: int) -> Any:
        return self._model.get_submodule(path.replace("{l}", str(layer)))

    def _hook(self, module: nn.Module, shown: Shown, names: list[str]) -> None:
        heads = [extent(axis, self.config.sizes) for axis in shown.heads.split()]

        def observe(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            for name, value in zip(names, shown.take(module, args, output), strict=True):
                self.see(name, _array(value.reshape(*value.shape[:-1], *heads) if heads else value))

        module.register_forward_hook(observe)

    def _attention_observer(self, prefix: str) -> Any:
        def observe(**values: torch.Tensor) -> None:
            for name in values.keys() & self._map.by_attention:
                self.see(prefix + name, _array(values[name]))

        return observe


def _tensor(array: Array) -> torch.Tensor:
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def _array(tensor: torch.Tensor) -> Array:
    """Half precision as f32, which holds it exactly."""
    array: Array = (tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor).numpy()
    return array
