"""What must be there: from specs, architecture, case, traits, mode and precision alone, never from what was found."""

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bundle_verifier.law import Activation, Case, Law, Step
from bundle_verifier.problem import InvalidEvidenceError

RESULTS = "data/results.json"
MOST_PLANNED = 2**22  # layers × steps × activations: a record claims layers in one number


@dataclass(frozen=True)
class Node:
    activation: Activation
    layer: int | None
    name: str  # the activation with its layer


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Traits:
    preallocated_cache: bool
    tokenizer: bool


class Plan:
    def __init__(self, law: Law, architecture: dict[str, Any], summaries: list[dict[str, Any]]) -> None:
        """`summaries`: of the cases, as the results have them."""
        self.law, self.layers = law, architecture["layers"]
        self.sizes: dict[str, int] = architecture["sizes"]
        self.constants: dict[str, float] = architecture["constants"]
        self._check_extent(max((summary["steps"] for summary in summaries), default=1))
        self._whole = law.whole_case_names()
        nodes = self._nodes()
        self._before = self._ordered([n for n in nodes if n.activation.steps == "case" and not n.activation.inputs])
        self._within = self._ordered([n for n in nodes if n.activation.steps != "case"])
        self._after = self._ordered([n for n in nodes if n.activation.steps == "case" and n.activation.inputs])

    def _check_extent(self, steps: int) -> None:
        planned = self.layers * max(steps, 1) * sum(len(spec.activations) for spec in self.law.specs)
        if self.layers < 1 or planned > MOST_PLANNED:
            expected = f"at least 1, and layers × steps × activations at most {MOST_PLANNED}"
            raise InvalidEvidenceError(f"{RESULTS} architecture.layers", expected, f"{self.layers}, so {planned}")

    def required(self, case: Case, mode: str, precision: str, traits: Traits) -> list[Required]:
        chosen = [(node, None) for node in self._before]
        last = len(case.schedule) - 1
        placed: list[tuple[Node, int | None]] = [*chosen]
        for step in range(len(case.schedule)):
            placed += [(n, step) for n in self._within if n.activation.steps == "every" or step in (0, last)]
        placed += [(node, None) for node in self._after]
        steps = case.steps
        wanted = [(n, s) for n, s in placed if _is_required(n.activation, case, mode, traits)]
        return [self._required(case, n, s, steps[s] if s is not None else None, precision) for n, s in wanted]

    def inputs(self, required: Required, case: Case) -> list[str]:
        """Tensor names of the direct inputs; `previous:` ones are left out in step 0."""
        return [tensor for tensor, _ in self._inputs(required, case)]

    def inputs_of_the_step(self, required: Required, case: Case) -> list[str]:
        return [tensor for tensor, previous in self._inputs(required, case) if not previous]

    def _inputs(self, required: Required, case: Case) -> list[tuple[str, bool]]:
        found: list[tuple[str, bool]] = []
        step = required.step if required.step is not None else len(case.schedule) - 1
        for text in required.activation.inputs:
            previous, form = _form(text, required.layer)
            name = _filled(form, required.layer, self.layers)
            if form in self._whole:
                found.append((name, False))
            elif not previous:
                found.append((f"step{step}/{name}", False))
            elif step > 0:
                found.append((f"step{step - 1}/{name}", True))
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
        """c: how many deviations the budget's slices may be away, for one false alarm in 1/p runs."""
        elements = 1
        for case in cases:
            for required in self.required(case, "replay", "f64", Traits(False, case.has_texts)):
                if required.activation.slices is not None:
                    elements += required.elements
        power = 1
        while power < elements:
            power *= 10
        exact = math.sqrt(2.0 * math.log(2.0 * power / self.law.false_alarm) / 3.0)
        return math.ceil(exact * 1000.0) / 1000.0

    def _required(self, case: Case, node: Node, index: int | None, step: Step | None, precision: str) -> Required:
        activation = node.activation
        shape = tuple(self.size(symbol, case, step) for symbol in activation.shape)
        dtype = {"float": precision.upper(), "token": "I64", "byte": "U8"}[activation.kind]
        tensor = node.name if index is None else f"step{index}/{node.name}"
        return Required(activation, node.layer, node.name, index, tensor, shape, dtype)

    def _nodes(self) -> list[Node]:
        """In ascending order of priority: no layer before layer 0, then as the specs list them."""
        activations = [a for spec in self.law.specs for a in spec.activations]
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


def _is_required(activation: Activation, case: Case, mode: str, traits: Traits) -> bool:
    if activation.composite if mode == "run" else not activation.replay:
        return False
    conditions = {
        "always": True,
        "preallocated-cache": traits.preallocated_cache,
        "generation": case.generate > 0,
        "tokenizer": case.has_texts and traits.tokenizer,
    }
    return conditions[activation.applies]
