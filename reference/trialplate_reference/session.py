"""A session: one implementation at one precision on one model. References share this protocol and no arithmetic."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from trialplate_reference.activations import activation_shapes
from trialplate_reference.arrays import DTYPES, Array
from trialplate_reference.case import Case, Step
from trialplate_reference.config import ModelConfig
from trialplate_reference.family import Shape
from trialplate_reference.tail import TailOperators

Put = Callable[[str, Array], None]
"""Takes in one tensor of a capture. The array is read before it returns, and may be written to afterwards."""


class Session(Protocol):
    def identity(self) -> dict[str, str]:
        """`name`, `version`, `precision` and `device`."""
        ...

    def show(self, case: Mapping[str, object], put: Put) -> None:
        """The whole forward pass, chained: all tensors of a capture, C-contiguous, each as soon as it is computed."""
        ...

    def run(self, case: Mapping[str, object]) -> dict[str, Array]:
        """The same, held in memory."""
        ...


def digests(weights: Iterable[tuple[str, Array]]) -> dict[str, Array]:
    """The SHA-256 of each weight's bytes in f32, under the names of a capture."""
    return {
        f"weights.{name}": np.frombuffer(
            hashlib.sha256(np.ascontiguousarray(weight, dtype="<f4").data).digest(), dtype=np.uint8
        )
        for name, weight in weights
    }


class Reference(ABC):
    """What an implementation brings: its weights, its tokenizer, its step and what follows its logits."""

    name: str
    operators: TailOperators
    unobserved: tuple[str, ...] = ()
    """Ends of the names of the activations that it computes without showing them."""

    def __init__(self, model: Path, precision: str):
        self.model, self.precision, self.dtype = model, precision, np.dtype(DTYPES[precision])
        self.config = ModelConfig.read(model)
        self._digests: dict[str, Array] | None = None
        self._seen: _Seen | None = None

    @abstractmethod
    def version(self) -> str: ...

    @abstractmethod
    def device(self) -> str: ...

    @abstractmethod
    def weights(self) -> Iterable[tuple[str, Array]]:
        """The weights as held in memory, in the checkpoint's shapes, under canonical names."""

    @abstractmethod
    def head_is_tied(self) -> bool:
        """Whether the output head is the same storage as the token embedding."""

    @abstractmethod
    def tokenize(self, text: str) -> list[int]: ...

    @abstractmethod
    def start(self, batch: int) -> None:
        """Empty the KV cache."""

    @abstractmethod
    def step(self, token_ids: Array, position: int) -> dict[str, Array]:
        """Consume `[B, S]` ids after `position` earlier ones; all activations of the step that it did not `see`,
        `logits.last` among them.
        """

    def see(self, name: str, value: Array) -> None:
        """Hand over an activation of the step while it is computed; while tokens are generated nobody looks."""
        if self._seen is not None:
            self._seen(name, value)

    def identity(self) -> dict[str, str]:
        return {"name": self.name, "version": self.version(), "precision": self.precision, "device": self.device()}

    def run(self, case: Mapping[str, object]) -> dict[str, Array]:
        capture: dict[str, Array] = {}
        self.show(case, lambda name, array: capture.__setitem__(name, array.copy()))
        return capture

    def show(self, case: Mapping[str, object], put: Put) -> None:
        parsed = Case.parse(case, self.config)
        for name, digest in self._weight_digests().items():
            put(name, digest)
        put("head.tied", np.array([self.head_is_tied()], dtype=np.uint8))
        if parsed.texts is not None:
            put("prompt.ids", self._prompt_ids(parsed, parsed.texts))
        self.start(parsed.batch)
        last = np.empty(0)
        for step in parsed.steps():
            last = self._show_step(parsed, step, put)
        if parsed.generate:
            for name, array in self._generate(parsed, last).items():
                put(name, array)

    def _show_step(self, case: Case, step: Step, put: Put) -> Array:
        """The logits of the step's last position."""
        self._seen = seen = _Seen(put, step.prefix)
        try:
            self.see("token_ids", step.token_ids)
            rest = self.step(step.token_ids, step.position)
            for name, value in rest.items():
                self.see(name, value)
        finally:
            self._seen = None
        self._check(case, step, seen.shapes)
        return rest["logits.last"]

    def _weight_digests(self) -> dict[str, Array]:
        if self._digests is None:
            self._digests = digests(self.weights())
        return self._digests

    def _prompt_ids(self, case: Case, texts: Iterable[str]) -> Array:
        rows = [self.tokenize(text) for text in texts]
        for row, ids in enumerate(rows):
            if len(ids) < case.length:
                raise ValueError(
                    f"case {case.id!r}: texts[{row}] has {len(ids)} tokens; "
                    f"expected at least the {case.length} of token_ids"
                )
        return np.array([ids[: case.length] for ids in rows], dtype=np.int64)

    def _check(self, case: Case, step: Step, found: Mapping[str, Shape]) -> None:
        """A hook that no longer fires or a changed layout must not go unseen."""
        shapes = activation_shapes(self.config, case.batch, step.position, step.length)
        expected = {name: shape for name, shape in shapes.items() if not name.endswith(self.unobserved)}
        if found != expected:
            names = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
            details = ", ".join(f"{name}: found {found.get(name)}, expected {expected.get(name)}" for name in names[:5])
            raise RuntimeError(f"{self.name} {self.version()} gave unexpected activations ({len(names)}): {details}")

    def _generate(self, case: Case, last: Array) -> dict[str, Array]:
        """Greedy tokens, each the implementation's own argmax, on a path that `forced` may prescribe."""
        tokens: list[Array] = []
        logits: list[Array] = []
        for index in range(case.generate):
            if index:
                fed = tokens[-1].copy()
                for row, forced in enumerate(case.forced or ()):
                    if index <= len(forced):
                        fed[row] = forced[index - 1]
                last = self.step(fed[:, None], case.length + index - 1)["logits.last"]
            logits.append(last)
            tokens.append(self.operators.argmax(last))
        return {"generated": np.stack(tokens, axis=1), "generated.logits": np.stack(logits, axis=1)}


class _Seen:
    """Hands the activations of a step over, and keeps their shapes alone."""

    def __init__(self, put: Put, prefix: str):
        self._put, self._prefix = put, prefix
        self.shapes: dict[str, Shape] = {}

    def __call__(self, name: str, value: Array) -> None:
        if name in self.shapes:
            raise RuntimeError(f"{self._prefix}{name} was observed twice")
        self.shapes[name] = value.shape
        self._put(self._prefix + name, np.ascontiguousarray(value))
