"""The graph of a family, read from its specs: which operation gives each activation, and of what."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bundle_verifier.case import Step
from bundle_verifier.family import Dimensions, size
from bundle_verifier.features import plain

INPUTS: dict[str, tuple[str, ...]] = {
    "rows": ("ids",),
    "layer_norm": ("x",),
    "linear": ("x",),
    "cache": ("new",),
    "scores": ("q", "k"),
    "mask": (),
    "softmax": ("x", "mask"),
    "weighted_values": ("probs", "values"),
    "gelu": ("x",),
    "add": ("x", "y"),
    "last": ("x",),
    "argmax": ("x",),
}
"""The arguments of each operation that are activations."""

WEIGHTS: dict[str, tuple[str, ...]] = {
    "rows": ("table", "positions"),
    "layer_norm": ("weight", "bias"),
    "linear": ("weight", "bias"),
}
SETTINGS: dict[str, tuple[str, ...]] = {
    "layer_norm": ("epsilon",),
    "linear": ("layout", "part"),
    "softmax": ("temperature",),
    "gelu": ("form",),
}
OPTIONAL = {"positions", "weight", "bias", "mask", "temperature", "part"}
NEEDED = {("linear", "weight")}
LAYOUTS, FORMS = ("in-out", "out-in"), ("tanh",)


@dataclass(frozen=True)
class Node:
    """An activation and its operation, with `{l}` if there is one in every layer."""

    name: str
    shape: tuple[str, ...]
    operation: str
    arguments: Mapping[str, Any]
    rounds: frozenset[str] = frozenset()
    """Where an implementation in half precision stores."""

    @property
    def layered(self) -> bool:
        return "{l}" in self.name

    def inputs(self) -> Iterator[tuple[str, str]]:
        """Arguments that are activations, as the spec writes them."""
        return ((name, self.arguments[name]) for name in INPUTS[self.operation] if name in self.arguments)

    def weight(self, argument: str, layer: int | None, layers: int) -> str | None:
        """The canonical name of a weight, if there is one."""
        template = self.arguments.get(argument)
        return None if template is None else resolved(template, layer, layers)


@dataclass(frozen=True)
class Place:
    """One activation of one layer."""

    node: Node
    layer: int | None


@dataclass(frozen=True)
class Graph:
    nodes: tuple[Node, ...]

    @staticmethod
    def parse(specs: Mapping[str, bytes], operations: Mapping[str, bytes] | None = None) -> "Graph":
        """From the specs of the checkpoints, in ascending order of their names, and what is said of each operation."""
        laws = [tomllib.loads(text.decode()) for text in (operations or {}).values()]
        stored = {law["operation"]: law["half"]["rounds"] for law in laws if "half" in law}
        tables = [tomllib.loads(specs[name].decode()) for name in sorted(specs)]
        entries = [entry for table in tables for entry in plain(table.get("activation", ())) if "op" in entry]
        return Graph(tuple(_node(entry, stored) for entry in entries))

    def places(self, layers: int) -> dict[str, Place]:
        """By name, all activations of all layers."""
        found: dict[str, Place] = {}
        for node in self.nodes:
            for layer in range(layers) if node.layered else (None,):
                found[resolved(node.name, layer, layers)] = Place(node, layer)
        return found


def _node(entry: Mapping[str, Any], stored: Mapping[str, Sequence[str]]) -> Node:
    name, operation = entry["name"], entry["op"]
    if not isinstance(operation, dict) or len(operation) != 1:
        raise ValueError(f"{name}: op is {operation!r}; expected one operation with its arguments")
    ((kind, arguments),) = operation.items()
    if kind not in INPUTS:
        raise ValueError(f"{name}: no operation {kind!r}; expected one of {', '.join(INPUTS)}")
    known = [*INPUTS[kind], *WEIGHTS.get(kind, ()), *SETTINGS.get(kind, ())]
    needed = {argument for argument in known if argument not in OPTIONAL or (kind, argument) in NEEDED}
    if not needed <= set(arguments) <= set(known):
        raise ValueError(f"{name}: {kind} has {sorted(arguments)}; expected {sorted(needed)} of {sorted(known)}")
    if arguments.get("layout", LAYOUTS[0]) not in LAYOUTS or arguments.get("form", FORMS[0]) not in FORMS:
        raise ValueError(f"{name}: {arguments!r}; expected a layout of {LAYOUTS}, a form of {FORMS}")
    half = entry.get("budget", {}).get("half", {})
    rounds = frozenset(half.get("rounds", stored.get(kind, ())))
    return Node(name, tuple(entry["shape"]), kind, arguments, rounds)


def resolved(text: str, layer: int | None, layers: int) -> str:
    """A name as it is in a layer: of `a | b`, a in layer 0; `{l}`, `{l-1}` and `{L-1}` filled in."""
    first, separator, others = text.partition("|")
    name = (first if not separator or layer == 0 else others).strip()
    name = name.replace("{L-1}", str(layers - 1))
    if layer is not None:
        name = name.replace("{l-1}", str(layer - 1)).replace("{l}", str(layer))
    if "{" in name:
        raise ValueError(f"{text!r} names a layer where there is none")
    return name


def shape_of(shape: Sequence[str], batch: int, step: Step, dimensions: Dimensions) -> tuple[int, ...]:
    """The shape of an activation in a step."""
    of_step = {"B": batch, "S": step.length, "P": step.past, "K": step.keys, "L": dimensions.layers}
    return tuple(size(part, {**dimensions.sizes, **of_step}) for part in shape)
