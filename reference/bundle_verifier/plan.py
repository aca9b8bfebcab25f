"""What must be there: from specs, architecture, case, traits and precision alone, never from what was found."""

import heapq
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bundle_verifier.case import Case, Step, tensor_name
from bundle_verifier.problem import InvalidEvidenceError
from bundle_verifier.specs import Activation, Specs

RESULTS = "data/results.json"
MOST_REFERENCES = MOST_CASES = 1_000
LARGEST_SIZE = 2**32
MOST_PLANNED = 20_000  # layers × steps of all cases: a record claims layers in one number
KEPT = 8  # required sets that are kept for the next who asks


@dataclass(frozen=True, slots=True)
class Node:
    activation: Activation
    layer: int | None
    name: str  # the activation with its layer


@dataclass(frozen=True, slots=True)
class Required:
    activation: Activation
    layer: int | None
    plain: str  # the activation with its layer
    step: int | None
    tensor: str  # the name in a capture
    shape: tuple[int, ...]
    dtype: str

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def spec(self) -> str:
        return self.activation.spec


@dataclass(frozen=True)
class Traits:
    preallocated_cache: bool
    tokenizer: bool


NO_TRAITS = Traits(preallocated_cache=False, tokenizer=False)


def check_extent(results: dict[str, Any]) -> None:
    """What a record asks to be planned, before anything is."""
    architecture = results["architecture"]
    for name, most in (("references", MOST_REFERENCES), ("cases", MOST_CASES)):
        if len(results[name]) > most:
            raise InvalidEvidenceError(f"{RESULTS} {name}", f"at most {most}", f"{len(results[name])}")
    for symbol, size in architecture["sizes"].items():
        if size > LARGEST_SIZE:
            raise InvalidEvidenceError(f"{RESULTS} architecture.sizes.{symbol}", f"at most {LARGEST_SIZE}", f"{size}")
    layers = architecture["layers"]
    planned = layers * sum(max(case["steps"], 1) for case in results["cases"])
    if layers < 1 or planned > MOST_PLANNED:
        expected = f"at least 1, and with the steps of all cases at most {MOST_PLANNED}"
        raise InvalidEvidenceError(f"{RESULTS} architecture.layers", expected, f"{layers}, so {planned}")


class Plan:
    """Of an architecture that `check_extent` has let through."""

    def __init__(self, specs: Specs, architecture: dict[str, Any]) -> None:
        self.specs, self.layers = specs, architecture["layers"]
        self.sizes: dict[str, int] = architecture["sizes"]
        self.constants: dict[str, float] = architecture["constants"]
        self._whole = specs.whole_case_names()
        nodes = self._nodes()
        self._before = self._ordered([n for n in nodes if n.activation.steps == "case" and not n.activation.inputs])
        self._within = self._ordered([n for n in nodes if n.activation.steps != "case"])
        self._after = self._ordered([n for n in nodes if n.activation.steps == "case" and n.activation.inputs])
        self._kept: dict[tuple[str, str, Traits], list[Required]] = {}

    def required(self, case: Case, precision: str, traits: Traits) -> list[Required]:
        key = (case.id, precision, traits)
        if key not in self._kept:
            if len(self._kept) == KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = list(self._all_required(case, precision, traits))
        return self._kept[key]

    def _all_required(self, case: Case, precision: str, traits: Traits) -> Iterator[Required]:
        steps = case.steps

        def chosen(nodes: list[Node], index: int | None) -> Iterator[Required]:
            step = None if index is None else steps[index]
            wanted = (node for node in nodes if _is_required(node.activation, case, traits))
            return (self._required(case, node, index, step, precision) for node in wanted)

        yield from chosen(self._before, None)
        ends = (0, case.last_step)
        for index in range(len(steps)):
            yield from chosen([n for n in self._within if n.activation.steps == "every" or index in ends], index)
        yield from chosen(self._after, None)

    def inputs(self, required: Required, case: Case) -> list[str]:
        """Tensor names of the direct inputs; `previous:` ones are left out in step 0."""
        return [tensor for tensor, _ in self._inputs(required, case)]

    def inputs_of_the_step(self, required: Required, case: Case) -> list[str]:
        return [tensor for tensor, previous in self._inputs(required, case) if not previous]

    def _inputs(self, required: Required, case: Case) -> list[tuple[str, bool]]:
        found: list[tuple[str, bool]] = []
        step = required.step if required.step is not None else case.last_step
        for text in required.activation.inputs:
            previous, form = _form(text, required.layer)
            name = _filled(form, required.layer, self.layers)
            if _form(text, None)[1] in self._whole:
                found.append((name, False))
            elif not previous:
                found.append((tensor_name(step, name), False))
            elif step > 0:
                found.append((tensor_name(step - 1, name), True))
        return found

    def size(self, symbol: str, case: Case, step: Step | None) -> int:
        if symbol.isdecimal():
            return int(symbol)
        own = {"B": case.batch, "T": case.tokens, "N": case.generate}
        if step is not None:
            own |= {"S": step.length, "P": step.past, "K": step.keys}
        size = own.get(symbol, self.sizes.get(symbol))
        if size is None:
            raise InvalidEvidenceError(f"{RESULTS} architecture.sizes", f"a size for {symbol}", f"{self.sizes}")
        return int(size)

    def confidence(self, cases: list[Case]) -> float:
        """c: how far a sum of independent roundings may go, for one false alarm in 1/p runs."""
        elements = 1
        for case in cases:
            for required in self.required(case, "f32", NO_TRAITS):
                if required.activation.judgement == "budget":
                    elements += required.elements
        power = 1
        while power < elements:
            power *= 10
        exact = math.sqrt(2.0 * math.log(2.0 * power / self.specs.judging.false_alarm) / 3.0)
        return math.ceil(exact * 1000.0) / 1000.0

    def _required(self, case: Case, node: Node, index: int | None, step: Step | None, precision: str) -> Required:
        activation = node.activation
        shape = tuple(self.size(symbol, case, step) for symbol in activation.shape)
        dtype = {"float": precision.upper(), "token": "I64", "byte": "U8"}[activation.kind]
        return Required(activation, node.layer, node.name, index, tensor_name(index, node.name), shape, dtype)

    def _nodes(self) -> list[Node]:
        """In ascending order of priority: no layer before layer 0, then as the specs list them."""
        activations = [a for spec in self.specs for a in spec.activations]
        nodes = [Node(a, None, a.name) for a in activations if not a.layered]
        for layer in range(self.layers):
            nodes += [Node(a, layer, a.name.replace("{l}", str(layer))) for a in activations if a.layered]
        return nodes

    def _ordered(self, group: list[Node]) -> list[Node]:
        """Again and again the node of lowest priority of those whose inputs within the group have been taken."""
        index = {node.name: i for i, node in enumerate(group)}
        needs = [{index[name] for name in self._names_needed(node) if name in index} for node in group]
        feeds: list[list[int]] = [[] for _ in group]
        for i, need in enumerate(needs):
            for j in need:
                feeds[j].append(i)
        ready = [i for i, need in enumerate(needs) if not need]
        taken: list[Node] = []
        while ready:
            i = heapq.heappop(ready)
            taken.append(group[i])
            for j in feeds[i]:
                needs[j].discard(i)
                if not needs[j]:
                    heapq.heappush(ready, j)
        if len(taken) != len(group):
            raise ValueError("the specs have activations that follow from each other in a circle")
        return taken

    def _names_needed(self, node: Node) -> Iterable[str]:
        for text in node.activation.inputs:
            previous, form = _form(text, node.layer)
            if not previous:
                yield _filled(form, node.layer, self.layers)


def _form(text: str, layer: int | None) -> tuple[bool, str]:
    """Whether it is of the step before, and of `a | b` the one for this layer."""
    previous = text.startswith("previous:")
    forms = text.removeprefix("previous:").split(" | ")
    return previous, forms[0] if layer == 0 else forms[-1]


def _filled(form: str, layer: int | None, layers: int) -> str:
    name = form.replace("{L-1}", str(layers - 1))
    return name if layer is None else name.replace("{l-1}", str(layer - 1)).replace("{l}", str(layer))


def _is_required(activation: Activation, case: Case, traits: Traits) -> bool:
    conditions = {
        "always": True,
        "preallocated-cache": traits.preallocated_cache,
        "generation": case.generate > 0,
        "tokenizer": case.has_texts and traits.tokenizer,
    }
    return conditions[activation.applies]
