"""The arithmetic of GPT-2, one activation at a time, and the block as their composition."""

from typing import Protocol, TypeVar

from trialplate_reference.arrays import Array

V = TypeVar("V")
"""An activation: an `Array`, or an array with the bounds of its errors."""


class Operators(Protocol[V]):
    """One implementation's own operations, at its own precision.

    Modules are addressed by their canonical names: `h.3.attn.c_proj`. Shapes are those of the activations.
    """

    def embed(self, token_ids: Array, position: int) -> V: ...

    def layer_norm(self, name: str, x: V) -> tuple[V, V]:
        """The normalized input before scale and bias, and the output."""
        ...

    def qkv(self, name: str, x: V) -> tuple[V, V, V]:
        """Queries, keys and values of this step, each `[B, S, H, Dh]`."""
        ...

    def append(self, past: V | None, new: V) -> V:
        """The cache after a step: `[B, P, H, Dh]` and `[B, S, H, Dh]` give `[B, K, H, Dh]`."""
        ...

    def scores(self, q: V, cached_k: V) -> V:
        """`q·k/√Dh` before the mask."""
        ...

    def mask(self, batch: int, position: int, length: int) -> V:
        """`[B, S, K]`: 0 where the key is visible, −inf where it is in the future."""
        ...

    def probs(self, scores: V, mask: V) -> V: ...

    def context(self, probs: V, cached_v: V) -> V:
        """`probs·v` with the heads merged."""
        ...

    def linear(self, name: str, x: V) -> V: ...

    def add(self, x: V, y: V) -> V: ...

    def gelu(self, x: V) -> V: ...

    def head(self, x: V) -> V: ...

    def last(self, logits: V) -> V:
        """The logits of the last token."""
        ...

    def argmax(self, logits: V) -> V:
        """The token of each row of `[B, V]`, the lowest on ties."""
        ...

    def softmax(self, logits: V, temperature: float) -> V: ...


def attention(ops: Operators[V], layer: int, scores: V, cached_v: V, mask: V) -> dict[str, V]:
    """From the scores to the output of `c_proj`."""
    probs = ops.probs(scores, mask)
    context = ops.context(probs, cached_v)
    out = ops.linear(f"h.{layer}.attn.c_proj", context)
    return {"attn.scores": scores, "attn.mask": mask, "attn.probs": probs, "attn.context": context, "attn.out": out}


def feed_forward(ops: Operators[V], layer: int, fc: V) -> dict[str, V]:
    """From the output of `c_fc` to that of `c_proj`."""
    act = ops.gelu(fc)
    return {"mlp.fc": fc, "mlp.act": act, "mlp.out": ops.linear(f"h.{layer}.mlp.c_proj", act)}


def block(
    ops: Operators[V],
    layer: int,
    x: V,
    past_k: V | None,
    past_v: V | None,
    mask: V,
    norm: tuple[V, V] | None = None,
) -> dict[str, V]:
    """All activations of a pre-norm block, by their names within the layer; `norm` is what `ln_1` gives, if known."""
    normalized_1, ln_1 = norm or ops.layer_norm(f"h.{layer}.ln_1", x)
    q, k, v = ops.qkv(f"h.{layer}.attn.c_attn", ln_1)
    cached_k, cached_v = ops.append(past_k, k), ops.append(past_v, v)
    attended = attention(ops, layer, ops.scores(q, cached_k), cached_v, mask)
    mid = ops.add(x, attended["attn.out"])
    normalized_2, ln_2 = ops.layer_norm(f"h.{layer}.ln_2", mid)
    fed = feed_forward(ops, layer, ops.linear(f"h.{layer}.mlp.c_fc", ln_2))
    return {
        "ln_1.normalized": normalized_1,
        "ln_1": ln_1,
        "attn.q": q,
        "attn.k": k,
        "attn.v": v,
        "attn.cached_k": cached_k,
        "attn.cached_v": cached_v,
        **attended,
        "mid": mid,
        "ln_2.normalized": normalized_2,
        "ln_2": ln_2,
        **fed,
        "out": ops.add(mid, fed["mlp.out"]),
    }
