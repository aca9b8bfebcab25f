"""tinygrad: GPT-2 written from its description on tinygrad's operations, with its own weight reader and tokenizer."""

import functools
import importlib.metadata
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from tinygrad.device import Device
from tinygrad.dtype import DType, dtypes
from tinygrad.helpers import NUM_CPU_THREADS
from tinygrad.tensor import Tensor

from trialplate_reference.arrays import Array
from trialplate_reference.bpe import BytePairEncoder
from trialplate_reference.config import ModelConfig
from trialplate_reference.gpt2 import GPT2
from trialplate_reference.half_precision import HALVES, rounded
from trialplate_reference.kernels import Function, Kernels, tensor
from trialplate_reference.session import Reference, digests
from trialplate_reference.tail import tail
from trialplate_reference.weights import read_weights

# What follows computes rows, one a token: the first axis R. Keys come padded to the context length C.


def _embed(token_ids: Tensor, positions: Tensor, wte: Tensor, wpe: Tensor) -> tuple[Tensor, ...]:
    return (wte[token_ids] + wpe[positions],)


def _layer_norm(epsilon: float, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    centred = x - x.mean(-1, keepdim=True)
    variance = (centred * centred).mean(-1, keepdim=True)
    normalized = (centred / (variance + epsilon).sqrt()).contiguous()
    return normalized, normalized * weight + bias


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    return (x @ weight + bias,)


def _scores(scale: float, q: Tensor, k: Tensor) -> tuple[Tensor, ...]:
    """`[R, H, Dh]` and `[C, H, Dh]` give `[R, H, C]`."""
    scores = q.permute(1, 0, 2) @ k.permute(1, 2, 0) * scale
    return (scores.permute(1, 0, 2),)


def _mask(context: int, dtype: DType, positions: Tensor) -> tuple[Tensor, ...]:
    """`[R]` gives `[R, C]`."""
    return ((Tensor.arange(context) > positions.unsqueeze(-1)).where(-math.inf, 0.0).cast(dtype),)


def _probs(scores: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
    """`[R, H, C]` and `[R, C]` give `[R, H, C]`."""
    return ((scores + mask.unsqueeze(1)).softmax(-1),)


def _context(probs: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    """`[R, H, C]` and `[C, H, Dh]` give `[R, D]`."""
    return ((probs.permute(1, 0, 2) @ v.permute(1, 0, 2)).permute(1, 0, 2).flatten(1),)


def _add(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    return (x + y,)


def _gelu(x: Tensor) -> tuple[Tensor, ...]:
    return (x.gelu(approximate="tanh"),)


def _relu(x: Tensor) -> tuple[Tensor, ...]:
    return (x.relu(),)


def _head(x: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    return (x @ weight.transpose(0, 1),)


def _argmax(logits: Tensor) -> tuple[Tensor, ...]:
    return (logits.argmax(-1).cast(dtypes.int64),)


def _softmax(logits: Tensor, temperature: Tensor) -> tuple[Tensor, ...]:
    return ((logits / temperature.unsqueeze(-1)).softmax(-1),)


# The erf of tinygrad is a polynomial, right to 1e-7 only, so that the GELU of the definition is not among these.
_ACTIVATIONS = {"gelu_new": _gelu, "gelu_pytorch_tanh": _gelu, "relu": _relu}


def _score_scales(config: ModelConfig) -> list[float]:
    """What the scores of each layer are multiplied by."""
    scale = 1 / math.sqrt(config.sizes["Dh"]) if config.options["scale_attn_weights"] else 1.0
    by_layer = config.options["scale_attn_by_inverse_layer_idx"]
    return [scale / (layer + 1) if by_layer else scale for layer in range(config.layers)]


class TinygradOperators:
    """Single operations, with arrays between them. Every float result goes through `store`, which rounds it to half
    precision where that is the implementation's: the kernels compute in f32.
    """

    def __init__(self, weights: dict[str, Tensor], config: ModelConfig, store: Callable[[Array], Array]):
        self._weights, self._config, self._store = weights, config, store
        self._kernels = Kernels()
        self._layer_norm = functools.partial(_layer_norm, config.epsilon)
        scales = _score_scales(config)
        by_scale = {scale: functools.partial(_scores, scale) for scale in scales}  # a kernel each
        self._scores = [by_scale[scale] for scale in scales]
        self._activation = _ACTIVATIONS[str(config.options["activation_function"])]
        self._mask = functools.partial(_mask, config.context, weights["wte.weight"].dtype)
        self.head_weight = weights["wte.weight" if config.tied_head else "lm_head.weight"]

    def _tokens(self, function: Function, *arrays: Array, weights: Sequence[Tensor] = ()) -> list[Array]:
        """`function` of the rows of arrays `[B, S, …]`."""
        leading = arrays[0].shape[:2]
        flat = [array.reshape(-1, *array.shape[2:]) for array in arrays]
        outputs = self._kernels.rows(function, flat, weights=weights)
        return [self._store(output.reshape(*leading, *output.shape[1:])) for output in outputs]

    def _attend(self, function: Function, per_query: Array, cached: Array) -> Array:
        """`function` of the queries of one row of the batch and that row's cache, for all rows."""
        padded = _pad(cached, 1, self._config.context)
        rows = zip(per_query, padded, strict=True)
        return self._store(np.stack([self._kernels.rows(function, [queries], [keys])[0] for queries, keys in rows]))

    def _module(self, name: str) -> tuple[Tensor, Tensor]:
        return self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]

    def embed(self, token_ids: Array, position: int) -> Array:
        tables = (self._weights["wte.weight"], self._weights["wpe.weight"])
        return self._tokens(
            _embed, token_ids, _positions(len(token_ids), token_ids.shape[1], position), weights=tables
        )[0]

    def layer_norm(self, name: str, x: Array) -> tuple[Array, Array]:
        normalized, output = self._tokens(self._layer_norm, x, weights=self._module(name))
        return normalized, output

    def qkv(self, name: str, x: Array) -> tuple[Array, Array, Array]:
        heads, head_width = self._config.sizes["H"], self._config.sizes["Dh"]
        fused = self.linear(name, x).reshape(*x.shape[:2], 3, heads, head_width)
        return fused[:, :, 0], fused[:, :, 1], fused[:, :, 2]

    def append(self, past: Array | None, new: Array) -> Array:
        return new if past is None else np.concatenate([past, new], axis=1)

    def scores(self, layer: int, q: Array, cached_k: Array) -> Array:
        return self._attend(self._scores[layer], q, cached_k)[..., : cached_k.shape[1]].swapaxes(1, 2)

    def mask(self, batch: int, position: int, length: int) -> Array:
        return self._tokens(self._mask, _positions(batch, length, position))[0][..., : position + length]

    def probs(self, scores: Array, mask: Array) -> Array:
        context = self._config.context
        padded = _pad(scores.swapaxes(1, 2), 3, context), _pad(mask, 2, context, fill=-math.inf)
        return self._tokens(_probs, *padded)[0][..., : scores.shape[-1]].swapaxes(1, 2)

    def context(self, probs: Array, cached_v: Array) -> Array:
        return self._attend(_context, _pad(probs.swapaxes(1, 2), 3, self._config.context), cached_v)

    def linear(self, name: str, x: Array) -> Array:
        return self._tokens(_linear, x, weights=self._module(name))[0]

    def add(self, x: Array, y: Array) -> Array:
        return self._tokens(_add, x, y)[0]

    def activation(self, x: Array) -> Array:
        return self._tokens(self._activation, x)[0]

    def head(self, x: Array) -> Array:
        return self._tokens(_head, x, weights=(self.head_weight,))[0]

    def last(self, logits: Array) -> Array:
        return logits[:, -1]

    def argmax(self, logits: Array) -> Array:
        return self._kernels.rows(_argmax, [logits])[0]

    def softmax(self, logits: Array, temperature: float) -> Array:
        return self._store(self._kernels.rows(_softmax, [logits, np.full(len(logits), temperature, logits.dtype)])[0])


class TinygradGPT2(Reference):
    name = "tinygrad"

    def __init__(self, model: str, precision: str, threads: int, compiler: str):
        super().__init__(Path(model), precision)
        _refuse_other_models(self.config)
        NUM_CPU_THREADS.value = threads
        self._compiler = compiler
        weights = read_weights(self.model, self.config)
        if precision in HALVES:
            self._digests = digests(weights.items())
            weights = {name: rounded(weight, precision) for name, weight in weights.items()}
        self._weights = {name: tensor(weight.astype(self.dtype, copy=False)) for name, weight in weights.items()}
        self._past: list[tuple[Array, Array]] = []
        self.operators: TinygradOperators = TinygradOperators(self._weights, self.config, self._store)
        self._encoder: BytePairEncoder | None = None

    def version(self) -> str:
        return f"{importlib.metadata.version('tinygrad')} ({self._compiler})"

    def device(self) -> str:
        return f"cpu ({Device['CPU'].renderer.target.arch})"

    def weights(self) -> Iterable[tuple[str, Array]]:
        for name, weight in self._weights.items():
            yield name, weight.numpy()

    def head_is_tied(self) -> bool:
        return self.operators.head_weight is self._weights["wte.weight"]

    def tokenize(self, text: str) -> list[int]:
        if self._encoder is None:
            self._encoder = BytePairEncoder(self.model / "tokenizer.json")
        return self._encoder.encode(text)

    def _store(self, array: Array) -> Array:
        return rounded(array, self.precision) if self.precision in HALVES else array

    def start(self, batch: int) -> None:
        self._past = []

    def step(self, token_ids: Array, position: int) -> dict[str, Array]:
        ops = self.operators
        mask = ops.mask(len(token_ids), position, token_ids.shape[1])
        x = ops.embed(token_ids, position)
        self.see("embd", x)
        present: list[tuple[Array, Array]] = []
        for layer in range(self.config.layers):
            past_k, past_v = self._past[layer] if self._past else (None, None)
            values = _block(ops, layer, x, past_k, past_v, mask)
            for name, value in values.items():
                self.see(f"h.{layer}.{name}", value)
            present.append((values["attn.cached_k"], values["attn.cached_v"]))
            x = values["out"]
        self._past = present
        normalized, ln_f = ops.layer_norm("ln_f", x)
        logits = ops.head(ln_f)
        return {"ln_f.normalized": normalized, "ln_f": ln_f, "logits": logits} | tail(ops, logits)


def _refuse_other_models(config: ModelConfig) -> None:
    if config.family is not GPT2:
        raise ValueError(
            f"the model is a {config.architecture}; tinygrad computes {', '.join(GPT2.architectures)} only"
        )
    if (activation := config.options["activation_function"]) not in _ACTIVATIONS:
        raise ValueError(f"activation_function is {activation!r}; tinygrad computes {', '.join(_ACTIVATIONS)} only")


def _block(
    ops: TinygradOperators, layer: int, x: Array, past_k: Array | None, past_v: Array | None, mask: Array
) -> dict[str, Array]:
    """All activations of a pre-norm block, by their names within the layer."""
    h = f"h.{layer}."
    normalized_1, ln_1 = ops.layer_norm(h + "ln_1", x)
    q, k, v = ops.qkv(h + "attn.c_attn", ln_1)
    cached_k, cached_v = ops.append(past_k, k), ops.append(past_v, v)
    scores = ops.scores(layer, q, cached_k)
    probs = ops.probs(scores, mask)
    context = ops.context(probs, cached_v)
    out = ops.linear(h + "attn.c_proj", context)
    mid = ops.add(x, out)
    normalized_2, ln_2 = ops.layer_norm(h + "ln_2", mid)
    fc = ops.linear(h + "mlp.c_fc", ln_2)
    act = ops.activation(fc)
    fed = ops.linear(h + "mlp.c_proj", act)
    return {
        "ln_1.normalized": normalized_1,
        "ln_1": ln_1,
        "attn.q": q,
        "attn.k": k,
        "attn.v": v,
        "attn.cached_k": cached_k,
        "attn.cached_v": cached_v,
        "attn.scores": scores,
        "attn.mask": mask,
        "attn.probs": probs,
        "attn.context": context,
        "attn.out": out,
        "mid": mid,
        "ln_2.normalized": normalized_2,
        "ln_2": ln_2,
        "mlp.fc": fc,
        "mlp.act": act,
        "mlp.out": fed,
        "out": ops.add(mid, fed),
    }


def _positions(batch: int, length: int, position: int) -> Array:
    """`[B, S]`: the position of each token."""
    return np.broadcast_to(np.arange(position, position + length, dtype=np.int64), (batch, length))


def _pad(array: Array, axis: int, size: int, fill: float = 0.0) -> Array:
    shape = list(array.shape)
    shape[axis] = size
    padded = np.full(shape, fill, dtype=array.dtype)
    padded[(slice(None),) * axis + (slice(array.shape[axis]),)] = array
    return padded
