"""Executes a graph at f64: one activation from what an implementation observed, or a whole case from its token ids."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bundle_verifier import operations
from bundle_verifier.blocks import Floats
from bundle_verifier.bounds import Bounded
from bundle_verifier.case import Case, Step, tensor_name
from bundle_verifier.family import Dimensions
from bundle_verifier.graph import Graph, Node, Place, resolved, shape_of
from bundle_verifier.operations import Array
from bundle_verifier.rules import Rules
from bundle_verifier.weights import Weight

COLUMNS = 1 << 20
"""Elements of a matrix that are multiplied together, 8 MiB."""

Key = tuple[int, str]
Observed = Callable[[str], Array | None]
RulesOf = Callable[[Node], Rules]
Snapshot = tuple[list[Step], dict[Key, Bounded], set[Key]]


@dataclass(frozen=True)
class Model:
    graph: Graph
    dimensions: Dimensions
    weights: Mapping[str, Weight]


@dataclass
class Evaluation:
    """Of one case. `observed` gives a tensor of a capture by its full name, `step0/h.0.attn.q`, and None where there is
    none. Without `rules` values have no bounds.
    """

    model: Model
    case: Case
    observed: Observed
    rules: RulesOf | None = None
    perform: "Callable[[Operation], Bounded] | None" = None
    """In place of the operation's exact result."""
    _known: dict[Key, Bounded] = field(default_factory=dict)
    _seen: set[Key] = field(default_factory=set)
    """What of the known was observed: who computes with it says what its storage costs."""
    _places: dict[str, Place] = field(init=False)

    def __post_init__(self) -> None:
        self._places = self.model.graph.places(self.model.dimensions.layers)
        self._steps: list[Step] = self.case.steps

    @property
    def names(self) -> list[str]:
        """Of all activations that have an operation."""
        return list(self._places)

    def inputs(self, step: int, name: str) -> list[Key]:
        """Step and name of what an activation is computed from; a cache is, of itself in the step before."""
        place = self._places[name]
        layers = self.model.dimensions.layers
        found = [(step, resolved(text, place.layer, layers)) for _, text in place.node.inputs()]
        return [(step - 1, name), *found] if place.node.operation == "cache" and step else found

    def activation(self, step: int, name: str) -> Bounded:
        """The activation, computed from its inputs as they were observed; what was not is computed in their place, with
        the errors that it carries.
        """
        self._forget()
        try:
            return self._compute((step, name))
        finally:
            self._forget()

    def chain(self) -> Iterator[tuple[str, Array]]:
        """All activations of all steps, each from those that were computed before it; only token ids are observed."""
        for step in range(len(self._steps)):
            for name, value in self.of_step(step):
                yield tensor_name(step, name), value
        self._forget()

    def of_step(self, step: int) -> Iterator[tuple[str, Array]]:
        """The activations of a step in order, once those of the steps before it were computed."""
        for name in self._places:
            yield name, self._compute((step, name)).value
        self._known = {key: value for key, value in self._known.items() if key[0] == step}

    def extend(self, length: int) -> int:
        """One step more than the case has; its number."""
        self._steps.append(Step(self._steps[-1].keys, length))
        return len(self._steps) - 1

    def snapshot(self) -> Snapshot:
        return list(self._steps), dict(self._known), set(self._seen)

    def restore(self, snapshot: Snapshot) -> None:
        self._steps, self._known, self._seen = snapshot

    def _forget(self) -> None:
        self._known.clear()
        self._seen.clear()

    def _compute(self, wanted: Key) -> Bounded:
        """By a stack of its own: a chain of layers is deeper than the interpreter's."""
        path = {wanted: None}
        while path:
            key = next(reversed(path))
            missing = next((other for other in self.inputs(*key) if not self._is_known(other)), None)
            if missing is None:
                if key not in self._known:
                    with np.errstate(all="ignore"):  # of inputs that are not finite, or far out
                        self._known[key] = self._apply(*key)
                path.popitem()
            elif missing in path:
                raise ValueError(f"{missing[1]} depends on itself")
            else:
                path[missing] = None
        return self._known[wanted]

    def _is_known(self, key: Key) -> bool:
        if key in self._known:
            return True
        found = self.observed(tensor_name(*key))
        if found is not None:
            self._known[key] = self._accept(key, found)
            self._seen.add(key)
        elif key[1] not in self._places:
            raise KeyError(f"{tensor_name(*key)} was not observed and has no operation")
        return found is not None

    def _accept(self, key: Key, value: Array) -> Bounded:
        step, name = key
        place = self._places.get(name)
        if place is not None and value.shape != (expected := self._shape(step, place)):
            raise ValueError(f"{tensor_name(step, name)} has the shape {list(value.shape)}; expected {list(expected)}")
        if place is not None and place.node.operation != "argmax" and value.dtype.kind != "f":
            raise ValueError(f"{tensor_name(step, name)} holds {value.dtype.name}; expected floats")
        return Bounded.exact(value.astype(np.float64) if value.dtype.kind == "f" else value)

    def _shape(self, step: int, place: Place) -> tuple[int, ...]:
        return shape_of(place.node.shape, self.case.batch, self._steps[step], self.model.dimensions)

    def _apply(self, step: int, name: str) -> Bounded:
        place = self._places[name]
        layers = self.model.dimensions.layers
        rules = None if self.rules is None else self.rules(place.node)

        def given_to(key: Key) -> Bounded:
            known = self._known[key]
            return known if rules is None or key not in self._seen else rules.accept(known.value)

        given = {
            argument: given_to((step, resolved(text, place.layer, layers))) for argument, text in place.node.inputs()
        }
        before = given_to((step - 1, name)) if place.node.operation == "cache" and step else None
        operation = Operation(self.model, place, self._steps[step], self.case.batch, given, before, self.rules)
        result = operation.result() if self.perform is None else self.perform(operation)
        return result.moved(lambda array: array.reshape(self._shape(step, place)))


def token_ids(case: Case, name: str = "token_ids") -> Observed:
    """Observes nothing but the ids of the case."""
    ids = {
        tensor_name(index, name): np.array([row[step.past : step.keys] for row in case.token_ids], np.int64)
        for index, step in enumerate(case.steps)
    }
    return ids.get


@dataclass(frozen=True)
class Operation:
    """One operation on its inputs."""

    model: Model
    place: Place
    step: Step
    batch: int
    given: Mapping[str, Bounded]
    before: Bounded | None
    """The result of the step before."""
    rules_of: RulesOf | None

    def result(self) -> Bounded:
        match self.place.node.operation:
            case "cache":
                new = self.given["new"]
                return new if self.before is None else self.before.append(new)
            case "mask":
                return Bounded.exact(operations.causal_mask(self.batch, self.step.past, self.step.length))
            case "last":
                return self.given["x"].moved(operations.last)
            case "argmax":
                return Bounded.exact(operations.argmax(self.given["x"].value))
            case "linear":
                return self._linear()
            case "rows":
                return self._rows()
            case "layer_norm":
                return self._layer_norm()
            case "softmax":
                return self._softmax()
        return self._of_activations()

    def _of_activations(self) -> Bounded:
        given, rules = self.given, self._rules
        match self.place.node.operation:
            case "scores":
                q, k = given["q"], given["k"]
                value = operations.scores(q.value, k.value)
                return rules.scores(q, k, value) if rules else Bounded.exact(value)
            case "weighted_values":
                probs, values = given["probs"], given["values"]
                value = operations.weighted_values(probs.value, values.value)
                return rules.weighted_values(probs, values, value) if rules else Bounded.exact(value)
            case "gelu":
                value = operations.gelu(given["x"].value)
                return rules.gelu(given["x"], value) if rules else Bounded.exact(value)
            case "add":
                value = given["x"].value + given["y"].value
                return rules.add(given["x"], given["y"], value) if rules else Bounded.exact(value)
        raise ValueError(f"no operation {self.place.node.operation}")

    @property
    def _rules(self) -> Rules | None:
        return None if self.rules_of is None else self.rules_of(self.place.node)

    def weight(self, argument: str) -> Weight | None:
        name = self.place.node.weight(argument, self.place.layer, self.model.dimensions.layers)
        return None if name is None else self.model.weights[name]

    @property
    def epsilon(self) -> float:
        return self.model.dimensions.constants[self.place.node.arguments["epsilon"]]

    def _vector(self, argument: str) -> Array | None:
        weight = self.weight(argument)
        return None if weight is None else weight.array().astype(np.float64)

    def _rows(self) -> Bounded:
        table, positions = self.weight("table"), self.weight("positions")
        assert table is not None
        chosen = table.take(self.given["ids"].value)
        offset = None if positions is None else positions.take(np.arange(self.step.past, self.step.keys))
        value = operations.rows(chosen, offset)
        return self._rules.rows(value, chosen, offset) if self._rules else Bounded.exact(value)

    def _layer_norm(self) -> Bounded:
        x, weight, bias = self.given["x"], self._vector("weight"), self._vector("bias")
        epsilon = self.epsilon
        value = operations.layer_norm(x.value, epsilon, weight, bias)
        return self._rules.layer_norm(x, value, epsilon, weight, bias) if self._rules else Bounded.exact(value)

    def _softmax(self) -> Bounded:
        x, temperature = self.given["x"], float(self.place.node.arguments.get("temperature", 1.0))
        mask = self.given["mask"].value if "mask" in self.given else None
        value = operations.softmax(x.value, mask, temperature)
        return self._rules.softmax(x, value, mask, temperature) if self._rules else Bounded.exact(value)

    def _linear(self) -> Bounded:
        """A block of columns at a time: a matrix at f64 may be larger than everything else."""
        arguments = self.place.node.arguments
        matrix = self.weight("weight")
        assert matrix is not None
        by_rows = arguments["layout"] == "out-in"
        n_out, n_in = matrix.shape if by_rows else matrix.shape[::-1]
        part, parts = arguments.get("part", (0, 1))
        first, end = n_out * part // parts, n_out * (part + 1) // parts
        x = self.given["x"].moved(lambda array: array.reshape(-1, n_in))
        whole, bias, step = None if by_rows else matrix.array(), self._vector("bias"), max(1, COLUMNS // n_in)
        blocks = []
        for start in range(first, end, step):
            stop = min(start + step, end)
            columns = matrix.rows(start, stop).T if whole is None else whole[:, start:stop]
            blocks.append(self._columns(x, columns.astype(np.float64), None if bias is None else bias[start:stop]))
        return _beside(blocks)

    def _columns(self, x: Bounded, columns: Floats, bias: Array | None) -> Bounded:
        value = operations.linear(x.value, columns, bias)
        return self._rules.linear(x, value, columns, bias) if self._rules else Bounded.exact(value)


def _beside(blocks: Sequence[Bounded]) -> Bounded:
    value = np.concatenate([block.value for block in blocks], axis=-1)
    if all(block.is_exact and block.stored is None for block in blocks):
        return Bounded.exact(value)
    error = np.concatenate([block.errors for block in blocks], axis=-1)
    stored = [block.stored for block in blocks if block.stored is not None]
    return Bounded(value, error, np.concatenate(stored, axis=-1) if stored else None)
