"""Families of models as data: what their config says, and what one step of them shows."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Sizes = Mapping[str, int]
"""Sizes of a model by symbol: `D`, `H`."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Size:
    """Where `config.json` says a size, and what it is where that says nothing."""

    path: str | None = None
    otherwise: Callable[[Sizes], int] | None = None
    """Computed from the sizes before it."""


@dataclass(frozen=True)
class Feature:
    """What some models of a family have: those of an architecture, or those whose config says so."""

    architectures: tuple[str, ...] = ()
    option: str | None = None
    activations: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """Models that one set of names and shapes describes.

    Activations and weights stand with their axes: `"h.{l}.attn.q": "B S H Dh"` is there once a layer. An axis is a
    symbol or a product, `H*Dh`. B is the batch, S the new tokens, K those and the past ones; the rest are sizes.
    """

    name: str
    architectures: Mapping[str, str]
    """Architectures with their `model_type`."""
    prefix: str
    """What Hugging Face's names of weights begin with, and canonical names do not."""
    buffers: tuple[str, ...]
    """Ends of the names of what checkpoints carry among the weights and no model reads."""
    options: Mapping[str, tuple[object, ...]]
    """Options that change the computation, with the values that are described here; the first where one is absent."""
    layers: str
    sizes: Mapping[str, Size]
    epsilon: str
    tied_head: bool
    """Whether the head is the token embedding where the config does not say."""
    embedding: str
    activations: Mapping[str, str]
    weights: Mapping[str, str]
    features: Mapping[str, Feature] = field(default_factory=dict)


def expanded(templates: Mapping[str, str], layers: int, sizes: Sizes) -> dict[str, Shape]:
    """Names and shapes; what is there once a layer, for each of them."""
    shapes: dict[str, Shape] = {}
    for template, axes in templates.items():
        shape = tuple(extent(axis, sizes) for axis in axes.split())
        layered = range(layers) if "{l}" in template else [0]
        shapes |= {template.replace("{l}", str(layer)): shape for layer in layered}
    return shapes


def extent(axis: str, sizes: Sizes) -> int:
    """`3*D` is three times the width."""
    return math.prod(int(factor) if factor.isdigit() else sizes[factor] for factor in axis.split("*"))


def head_width(sizes: Sizes) -> int:
    """The width shared out among the heads."""
    if sizes["D"] % sizes["H"]:
        raise ValueError(f"the width {sizes['D']} is not a multiple of {sizes['H']} heads")
    return sizes["D"] // sizes["H"]
