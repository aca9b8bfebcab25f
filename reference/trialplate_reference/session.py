"""A session: one implementation at one precision on one model. References share this protocol and no arithmetic."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from trialplate_reference.activations import activation_shapes, magnitude_name
from trialplate_reference.arrays import DTYPES, Array
from trialplate_reference.case import Case, Step
from trialplate_reference.config import ModelConfig
from trialplate_reference.half import HalfOracleOperators
from trialplate_reference.magnitude import Bounded
from trialplate_reference.operators import Operators
from trialplate_reference.oracle import OracleOperators
from trialplate_reference.replay import replay
from trialplate_reference.storage import Storage


class Session(Protocol):
    def identity(self) -> dict[str, str]:
        """`name`, `version`, `precision` and `device`."""
        ...

    def run(self, case: Mapping[str, object]) -> dict[str, Array]:
        """The whole forward pass, chained: all tensors of a capture, C-contiguous."""
        ...

    def replay(
        self,
        case: Mapping[str, object],
        inputs: dict[str, Array],
        magnitudes: float | None,
        storage: Mapping[str, object] | None = None,
    ) -> dict[str, Array]:
        """Each activation alone, from its direct inputs in `inputs`.

        `magnitudes` is the confidence c of the rounding budget: then the bounds of correct results come along (at f64
        only), named `step0/magnitude/embd`; none for the mask. They are those of f32 results, in units of 2⁻²⁴, or,
        with a `storage`, those of results stored in that half precision, in units of its own; and they are in f32, or
        in f64 where f32 does not hold them.
        """
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
    """What an implementation brings: its weights, its tokenizer, its chained step and its single operations."""

    name: str
    operators: Operators[Array]

    def __init__(self, model: Path, precision: str):
        self.model, self.precision, self.dtype = model, precision, np.dtype(DTYPES[precision])
        self.config = ModelConfig.read(model)
        self._digests: dict[str, Array] | None = None
        self._magnitudes: dict[str, Array] | None = None

    @abstractmethod
    def version(self) -> str: ...

    @abstractmethod
    def device(self) -> str: ...

    @abstractmethod
    def weights(self) -> Iterable[tuple[str, Array]]:
        """The weights as held in memory, in the checkpoint's shapes, under canonical names."""

    @abstractmethod
    def head_weight(self) -> Array:
        """`[V, D]`"""

    @abstractmethod
    def head_is_tied(self) -> bool:
        """Whether the output head is the same storage as `wte`."""

    @abstractmethod
    def tokenize(self, text: str) -> list[int]: ...

    @abstractmethod
    def start(self, batch: int) -> None:
        """Empty the KV cache."""

    @abstractmethod
    def step(self, token_ids: Array, position: int) -> dict[str, Array]:
        """Consume `[B, S]` ids after `position` earlier ones; all activations of the step."""

    def multiply(self, x: Array, y: Array) -> Array:
        """x·y of magnitudes. An implementation whose library has threads of its own does it there: two pools that wait
        for work in the same cores slow each other down tenfold."""
        return np.asarray(np.matmul(x, y))

    def identity(self) -> dict[str, str]:
        return {"name": self.name, "version": self.version(), "precision": self.precision, "device": self.device()}

    def run(self, case: Mapping[str, object]) -> dict[str, Array]:
        parsed = Case.parse(case, self.config)
        capture = dict(self._weight_digests())
        capture["head.tied"] = np.array([self.head_is_tied()], dtype=np.uint8)
        if parsed.texts is not None:
            capture["prompt.ids"] = self._prompt_ids(parsed, parsed.texts)
        self.start(parsed.batch)
        last = np.empty(0)
        for step in parsed.steps():
            activations = {"token_ids": step.token_ids, **self.step(step.token_ids, step.position)}
            self._check(parsed, step, activations)
            capture |= {step.prefix + name: np.ascontiguousarray(value) for name, value in activations.items()}
            last = activations["logits.last"]
        if parsed.generate:
            capture |= self._generate(parsed, last)
        return capture

    def replay(
        self,
        case: Mapping[str, object],
        inputs: dict[str, Array],
        magnitudes: float | None,
        storage: Mapping[str, object] | None = None,
    ) -> dict[str, Array]:
        parsed = Case.parse(case, self.config)
        if magnitudes is not None:
            halves = None if storage is None else Storage.parse(storage)
            return self._replay_with_magnitudes(parsed, inputs, magnitudes, halves)
        outputs = replay(self.operators, self.config, parsed, inputs, self.dtype, lambda array: array)
        return {name: np.ascontiguousarray(value) for name, value in outputs.items()}

    def _replay_with_magnitudes(
        self, case: Case, inputs: dict[str, Array], confidence: float, storage: Storage | None
    ) -> dict[str, Array]:
        if self.precision != "f64":
            raise ValueError(f"magnitudes need an oracle at f64; this session of {self.name} is {self.precision}")
        oracle = OracleOperators(self.operators, self._weight_magnitudes(), self.config, confidence, self.multiply)
        accept: Callable[[Array], Bounded] = Bounded.exact
        unit = 1.0
        if storage is not None:
            tables = {name: np.abs(weight) for name, weight in self.weights() if name.startswith(("wte.", "wpe."))}
            oracle = HalfOracleOperators(
                self.operators, self._weight_magnitudes() | tables, self.config, confidence, self.multiply, storage
            )
            accept, unit = oracle.given, storage.ratio
        outputs: dict[str, Array] = {}
        with np.errstate(over="ignore", invalid="ignore"):  # of infinite inputs; what follows is inf or NaN
            for name, bounded in replay(oracle, self.config, case, inputs, self.dtype, accept).items():
                outputs[name] = np.ascontiguousarray(bounded.value)
                if not name.endswith((".mask", "/token")):
                    errors = bounded.errors if unit == 1 else bounded.errors / unit
                    outputs[magnitude_name(name)] = np.ascontiguousarray(errors)
        return outputs

    def _weight_magnitudes(self) -> dict[str, Array]:
        """Absolutes of the weights of norms and products, in f32, which holds them exactly; the head is `[D, V]`."""
        if self._magnitudes is None:
            weights = {name: weight for name, weight in self.weights() if not name.startswith(("wte.", "wpe."))}
            weights["lm_head.weight"] = self.head_weight().T
            self._magnitudes = {
                name: np.abs(weight, dtype=np.float32, casting="same_kind") for name, weight in weights.items()
            }
        return self._magnitudes

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

    def _check(self, case: Case, step: Step, activations: Mapping[str, Array]) -> None:
        """A hook that no longer fires or a changed layout must not go unseen."""
        found = {name: value.shape for name, value in activations.items()}
        expected = activation_shapes(self.config, case.batch, step.position, step.length)
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
