"""What follows the logits: the last position, its token and its probabilities."""

from typing import Protocol

from trialplate_reference.activations import TEMPERATURES, probs_name
from trialplate_reference.arrays import Array


class TailOperators(Protocol):
    """One implementation's own operations, at its own precision."""

    def last(self, logits: Array) -> Array:
        """The logits of the last token: `[B, S, V]` gives `[B, V]`."""
        ...

    def argmax(self, logits: Array) -> Array:
        """The token of each row of `[B, V]`, the lowest on ties."""
        ...

    def softmax(self, logits: Array, temperature: float) -> Array: ...


def tail(operators: TailOperators, logits: Array) -> dict[str, Array]:
    """The activations after `logits`."""
    last = operators.last(logits)
    probs = {probs_name(temperature): operators.softmax(last, temperature) for temperature in TEMPERATURES}
    return {"logits.last": last, "token": operators.argmax(last), **probs}
