"""What each operation's result may be off: the rules of `bounds`, put together for a result at f32."""

from dataclasses import dataclass

import numpy as np

from bundle_verifier import operations
from bundle_verifier.blocks import Floats
from bundle_verifier.bounds import Bounded, Rounding
from bundle_verifier.operations import Array


@dataclass(frozen=True)
class Rules:
    """Takes the inputs of an operation, with the errors that they carry, and its exact result; weights are exact."""

    rounding: Rounding

    def accept(self, value: Array) -> Bounded:
        """An input that was observed."""
        return Bounded.exact(value)

    def rows(self, value: Floats, table: Array, positions: Array | None) -> Bounded:
        return Bounded.exact(value) if positions is None else Bounded(value, self.rounding.add(value))

    def layer_norm(
        self, x: Bounded, value: Floats, epsilon: float, weight: Array | None, bias: Array | None
    ) -> Bounded:
        return Bounded(value, self.rounding.layer_norm(x, epsilon, weight, bias))

    def linear(self, x: Bounded, value: Floats, weight: Floats, bias: Array | None) -> Bounded:
        sizes = None if bias is None else np.abs(bias)
        return Bounded(value, self.rounding.product(x, np.abs(weight), value, bias=sizes))

    def scores(self, q: Bounded, k: Bounded, value: Floats) -> Bounded:
        return Bounded(value, self.rounding.scores(q.swapaxes(1, 2), k.swapaxes(1, 2), value))

    def softmax(self, z: Bounded, value: Floats, mask: Floats | None, temperature: float) -> Bounded:
        added = Bounded(operations.masked(z.value, mask), z.error, z.stored)
        return Bounded(value, self.rounding.softmax(self.rounding.tempered(added, temperature), value))

    def weighted_values(self, probs: Bounded, values: Bounded, value: Floats) -> Bounded:
        v = values.swapaxes(1, 2)
        errors = self.rounding.product(probs, v.size, value.swapaxes(1, 2), v.carried)
        return Bounded(value, errors.swapaxes(1, 2))

    def gelu(self, x: Bounded, value: Floats) -> Bounded:
        return Bounded(value, self.rounding.gelu(x))

    def add(self, x: Bounded, y: Bounded, value: Floats) -> Bounded:
        return Bounded(value, self.rounding.add(value, x.error, y.error))
