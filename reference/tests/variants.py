"""GPT-2 in f32 on NumPy, in the many ways that are correct, and some that are not."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bundle_verifier.case import Case, tensor_name
from bundle_verifier.family import Dimensions
from bundle_verifier.operations import Array

F32 = np.float32
Sum = Callable[[Array], Array]
"""Over the last axis, which stays with length 1."""


def sequential(x: Array) -> Array:
    return np.add.accumulate(x, axis=-1, dtype=F32)[..., -1:]


def reversed_(x: Array) -> Array:
    return sequential(x[..., ::-1])


def blocked(x: Array) -> Array:
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -x.shape[-1] % 16)])
    return sequential(sequential(padded.reshape(*x.shape[:-1], -1, 16))[..., 0])


def pairwise(x: Array) -> Array:
    return x.sum(-1, keepdims=True, dtype=F32)


def two_pass(x: Array, sum_: Sum, epsilon: np.float32) -> Array:
    width = F32(x.shape[-1])
    centred = x - sum_(x) / width
    return centred / np.sqrt(sum_(centred * centred) / width + epsilon)


def one_pass(x: Array, sum_: Sum, epsilon: np.float32) -> Array:
    share = F32(1) / F32(x.shape[-1])
    mean = sum_(x) * share
    variance = np.maximum(sum_(x * x) * share - mean * mean, 0)
    return (x - mean) * (F32(1) / np.sqrt(variance + epsilon))


def welford(x: Array, _: Sum, epsilon: np.float32) -> Array:
    mean = squares = np.zeros(x.shape[:-1], F32)
    for index in range(x.shape[-1]):
        step = x[..., index] - mean
        mean = mean + step / F32(index + 1)
        squares = squares + step * (x[..., index] - mean)
    inverse = F32(1) / np.sqrt(squares / F32(x.shape[-1]) + epsilon)
    return x * inverse[..., None] - (mean * inverse)[..., None]


def unbiased(x: Array, sum_: Sum, epsilon: np.float32) -> Array:
    centred = x - sum_(x) / F32(x.shape[-1])
    return centred / np.sqrt(sum_(centred * centred) / F32(x.shape[-1] - 1) + epsilon)


def exp2(x: Array) -> Array:
    return np.exp2(x * F32(math.log2(math.e)))


def by_tanh(x: Array) -> Array:
    return F32(0.5) * x * (1 + np.tanh(F32(math.sqrt(2 / math.pi)) * (x + F32(0.044715) * x * x * x)))


def by_sigmoid(x: Array) -> Array:
    return x / (1 + exp2(F32(-2 * math.sqrt(2 / math.pi)) * x * (1 + F32(0.044715) * x * x)))


def by_sigmoid_tanh(x: Array) -> Array:
    w = F32(math.sqrt(2 / math.pi)) * (x + F32(0.044715) * x * x * x)
    return F32(0.5) * x * (1 + (2 / (1 + exp2(F32(-2) * w)) - 1))


def by_erf(x: Array) -> Array:
    erf = np.vectorize(math.erf, otypes=[np.float64])(x.astype(np.float64) / math.sqrt(2))
    return (0.5 * x * (1 + erf)).astype(F32)


@dataclass
class Variant:
    """A model in f32. `fma`: one rounding for a product and its addition."""

    weights: Mapping[str, Array]
    dimensions: Dimensions
    sum: Sum = sequential
    norm: Callable[[Array, Sum, np.float32], Array] = two_pass
    exp: Callable[[Array], Array] = np.exp
    activation: Callable[[Array], Array] = by_tanh
    fma: bool = False
    epsilon: float = 1e-5
    scale: np.float32 | None = None
    half_softmax: bool = False

    def _product(self, x: Array, y: Array) -> Array:
        if not self.fma:
            return self.sum(x[..., :, None, :] * y.swapaxes(-1, -2)[..., None, :, :])[..., 0]
        total = np.zeros((*x.shape[:-1], y.shape[-1]), F32)
        for index in range(x.shape[-1]):
            exact = x[..., index, None].astype(np.float64) * y[..., index, None, :]
            total = (exact + total).astype(F32)
        return total

    def embed(self, token_ids: Array, position: int) -> Array:
        length = token_ids.shape[1]
        return self.weights["wte.weight"][token_ids] + self.weights["wpe.weight"][position : position + length]

    def layer_norm(self, name: str, x: Array) -> tuple[Array, Array]:
        normalized = self.norm(x, self.sum, F32(self.epsilon))
        return normalized, normalized * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def qkv(self, name: str, x: Array) -> tuple[Array, Array, Array]:
        fused = self.linear(name, x).reshape(*x.shape[:2], 3, self.dimensions.sizes["H"], -1)
        return fused[:, :, 0], fused[:, :, 1], fused[:, :, 2]

    def append(self, past: Array | None, new: Array) -> Array:
        return new if past is None else np.concatenate([past, new], axis=1)

    def scores(self, q: Array, cached_k: Array) -> Array:
        scale = F32(1 / math.sqrt(q.shape[-1])) if self.scale is None else self.scale
        return self._product(q.swapaxes(1, 2), cached_k.transpose(0, 2, 3, 1)) * scale

    def mask(self, batch: int, position: int, length: int) -> Array:
        future = np.arange(position + length) > (position + np.arange(length))[:, None]
        return np.broadcast_to(np.where(future, F32(-np.inf), F32(0)), (batch, *future.shape))

    def _softmax(self, x: Array) -> Array:
        shifted = x - x.max(-1, keepdims=True)
        if self.half_softmax:
            powers = np.exp(shifted.astype(np.float16))
            return (powers / powers.sum(-1, keepdims=True)).astype(F32)
        powers = self.exp(shifted)
        return powers / self.sum(powers)

    def context(self, probs: Array, cached_v: Array) -> Array:
        merged = self._product(probs, cached_v.swapaxes(1, 2)).swapaxes(1, 2)
        return merged.reshape(*merged.shape[:2], -1)

    def linear(self, name: str, x: Array) -> Array:
        return self._product(x, self.weights[f"{name}.weight"]) + self.weights[f"{name}.bias"]

    def add(self, x: Array, y: Array) -> Array:
        return x + y

    def run(self, case: Case) -> dict[str, Array]:
        """Every activation of every step, each from those before it."""
        capture: dict[str, Array] = {}
        cache: dict[str, Array] = {}
        for index, step in enumerate(case.steps):
            ids = np.array([row[step.past : step.keys] for row in case.token_ids], np.int64)
            with np.errstate(over="ignore", under="ignore"):
                activations = {"token_ids": ids, **self._step(ids, step.past, cache)}
            capture |= {tensor_name(index, name): value for name, value in activations.items()}
            cache = {name: value for name, value in activations.items() if "cached" in name}
        return capture

    def _step(self, ids: Array, past: int, cache: Mapping[str, Array]) -> dict[str, Array]:
        x = self.embed(ids, past)
        found = {"embd": x}
        mask = self.mask(len(ids), past, ids.shape[1])
        for layer in range(self.dimensions.layers):
            block = self._block(f"h.{layer}.", x, mask, cache)
            found |= {f"h.{layer}.{name}": value for name, value in block.items()}
            x = block["out"]
        normalized, ln_f = self.layer_norm("ln_f", x)
        logits = self._product(ln_f, self.weights["wte.weight"].T)
        last = logits[:, -1]
        found |= {"ln_f.normalized": normalized, "ln_f": ln_f, "logits": logits, "logits.last": last}
        found["token"] = last.argmax(-1)
        return found | {f"probs.t{t:g}": self._softmax(last / F32(t)) for t in (0.5, 1.0, 2.0)}

    def _block(self, h: str, x: Array, mask: Array, cache: Mapping[str, Array]) -> dict[str, Array]:
        normalized_1, ln_1 = self.layer_norm(h + "ln_1", x)
        q, k, v = self.qkv(h + "attn.c_attn", ln_1)
        cached_k, cached_v = (
            self.append(cache.get(h + "attn.cached_k"), k),
            self.append(cache.get(h + "attn.cached_v"), v),
        )
        scores = self.scores(q, cached_k)
        probs = self._softmax(scores + mask[:, None])
        context = self.context(probs, cached_v)
        attended = self.linear(h + "attn.c_proj", context)
        mid = self.add(x, attended)
        normalized_2, ln_2 = self.layer_norm(h + "ln_2", mid)
        fc = self.linear(h + "mlp.c_fc", ln_2)
        act = self.activation(fc)
        fed = self.linear(h + "mlp.c_proj", act)
        norms = {"ln_1.normalized": normalized_1, "ln_1": ln_1, "ln_2.normalized": normalized_2, "ln_2": ln_2}
        heads = {"attn.q": q, "attn.k": k, "attn.v": v, "attn.cached_k": cached_k, "attn.cached_v": cached_v}
        pattern = {"attn.scores": scores, "attn.mask": mask, "attn.probs": probs, "attn.context": context}
        halves = {
            "attn.out": attended,
            "mid": mid,
            "mlp.fc": fc,
            "mlp.act": act,
            "mlp.out": fed,
            "out": self.add(mid, fed),
        }
        return norms | heads | pattern | halves


CORRECT: dict[str, dict[str, object]] = {
    "sequential": {},
    "reversed": {"sum": reversed_, "norm": one_pass, "exp": exp2, "activation": by_sigmoid_tanh},
    "blocked": {"sum": blocked, "norm": welford, "activation": by_sigmoid},
    "pairwise": {"sum": pairwise, "exp": exp2},
    "fused": {"fma": True},
}
