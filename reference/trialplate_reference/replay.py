"""Replay: every activation computed from its direct inputs alone, taken from a given capture."""

from collections.abc import Callable, Iterator, Mapping
from typing import Generic

import numpy as np
import numpy.typing as npt

from trialplate_reference.activations import TEMPERATURES, Shape, activation_shapes, probs_name
from trialplate_reference.arrays import Array
from trialplate_reference.case import Case, Step
from trialplate_reference.config import ModelConfig
from trialplate_reference.operators import Operators, V, attention, block, feed_forward


class StepInputs(Generic[V]):
    """The activations of one step of the given capture, at the precision of the implementation."""

    def __init__(
        self,
        inputs: Mapping[str, Array],
        prefix: str,
        shapes: Mapping[str, Shape],
        dtype: npt.DTypeLike,
        accept: Callable[[Array], V],
    ):
        self._inputs, self._prefix, self._shapes, self._dtype = inputs, prefix, shapes, np.dtype(dtype)
        self._accept = accept
        self._taken: dict[str, V] = {}

    def __getitem__(self, name: str) -> V:
        if name not in self._taken:
            self._taken[name] = self._accept(self._take(name))
        return self._taken[name]

    def _take(self, name: str) -> Array:
        full, expected = self._prefix + name, self._shapes[name]
        if (found := self._inputs.get(full)) is None:
            raise KeyError(f"replay needs the input {full!r}, which the given capture does not have")
        if found.shape != expected:
            raise ValueError(f"replay input {full!r} has the shape {list(found.shape)}; expected {list(expected)}")
        if not np.can_cast(found.dtype, self._dtype):
            raise ValueError(f"replay input {full!r} is {found.dtype}, which {self._dtype} does not hold exactly")
        return np.ascontiguousarray(found, dtype=self._dtype)


def replay(
    ops: Operators[V],
    config: ModelConfig,
    case: Case,
    inputs: Mapping[str, Array],
    dtype: npt.DTypeLike,
    accept: Callable[[Array], V],
) -> dict[str, V]:
    """All activations and composites of all steps, under the names of a capture.

    `accept` makes of an array of `inputs`, converted to `dtype`, what `ops` computes with.
    """
    outputs: dict[str, V] = {}
    previous: StepInputs[V] | None = None
    for step in case.steps():
        shapes = activation_shapes(config, case.batch, step.position, step.length)
        given = StepInputs(inputs, step.prefix, shapes, dtype, accept)
        outputs |= {step.prefix + name: value for name, value in _step(ops, config, step, given, previous)}
        previous = given
    return outputs


def _step(
    ops: Operators[V], config: ModelConfig, step: Step, given: StepInputs[V], previous: StepInputs[V] | None
) -> Iterator[tuple[str, V]]:
    mask = ops.mask(len(step.token_ids), step.position, step.length)
    yield "embd", ops.embed(step.token_ids, step.position)
    stream = "embd"
    for layer in range(config.layers):
        yield from _layer(ops, layer, stream, given, previous, mask)
        stream = f"h.{layer}.out"
    normalized, ln_f = ops.layer_norm("ln_f", given[stream])
    yield "ln_f.normalized", normalized
    yield "ln_f", ln_f
    yield "whole/logits", ops.head(ln_f)
    yield "logits", ops.head(given["ln_f"])
    yield from tail(ops, given["logits"], given["logits.last"])


def _layer(
    ops: Operators[V], layer: int, stream: str, given: StepInputs[V], previous: StepInputs[V] | None, mask: V
) -> Iterator[tuple[str, V]]:
    h = f"h.{layer}."
    x, ln_1, ln_2, mid = given[stream], given[h + "ln_1"], given[h + "ln_2"], given[h + "mid"]
    q, cached_k, cached_v = given[h + "attn.q"], given[h + "attn.cached_k"], given[h + "attn.cached_v"]
    past_k = None if previous is None else previous[h + "attn.cached_k"]
    past_v = None if previous is None else previous[h + "attn.cached_v"]

    norm = ops.layer_norm(h + "ln_1", x)
    yield h + "ln_1.normalized", norm[0]
    yield h + "ln_1", norm[1]
    for name, value in zip("qkv", ops.qkv(h + "attn.c_attn", ln_1), strict=True):
        yield f"{h}attn.{name}", value
    yield h + "attn.cached_k", ops.append(past_k, given[h + "attn.k"])
    yield h + "attn.cached_v", ops.append(past_v, given[h + "attn.v"])
    scores = ops.scores(q, cached_k)
    yield h + "attn.scores", scores
    yield h + "attn.mask", mask
    yield h + "attn.probs", ops.probs(given[h + "attn.scores"], mask)
    yield h + "attn.context", ops.context(given[h + "attn.probs"], cached_v)
    yield h + "attn.out", ops.linear(h + "attn.c_proj", given[h + "attn.context"])
    yield h + "mid", ops.add(x, given[h + "attn.out"])
    normalized, output = ops.layer_norm(h + "ln_2", mid)
    yield h + "ln_2.normalized", normalized
    yield h + "ln_2", output
    fc = ops.linear(h + "mlp.c_fc", ln_2)
    yield h + "mlp.fc", fc
    yield h + "mlp.act", ops.gelu(given[h + "mlp.fc"])
    yield h + "mlp.out", ops.linear(h + "mlp.c_proj", given[h + "mlp.act"])
    yield h + "out", ops.add(mid, given[h + "mlp.out"])

    yield f"whole/{h}attn.out", attention(ops, layer, scores, cached_v, mask)["attn.out"]
    yield f"whole/{h}mlp.out", feed_forward(ops, layer, fc)["mlp.out"]
    yield f"whole/{h}out", block(ops, layer, x, past_k, past_v, mask, norm)["out"]


def tail(ops: Operators[V], logits: V, last: V | None = None) -> Iterator[tuple[str, V]]:
    """What follows the logits; `last` replaces the last position of `logits` as the input of the rest."""
    selected = ops.last(logits)
    yield "logits.last", selected
    last = selected if last is None else last
    yield "token", ops.argmax(last)
    for temperature in TEMPERATURES:
        yield probs_name(temperature), ops.softmax(last, temperature)
