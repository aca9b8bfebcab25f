"""The graph from the token ids on, at f64 or as a correct implementation computes it, and greedy generation with it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bundle_verifier.bounds import Bounded
from bundle_verifier.case import Case, tensor_name
from bundle_verifier.evaluation import Evaluation, Model, Operation
from bundle_verifier.operations import Array, argmax

Perform = Callable[[Operation], Bounded]


@dataclass(frozen=True)
class Generated:
    tokens: Array  # [B, N]
    logits: Array  # [B, N, V]


class Chain:
    """Of one case. The steps of its schedule come first, once, then generation as often as it is asked for."""

    def __init__(self, model: Model, roles: Mapping[str, Any], case: Case, perform: Perform | None = None) -> None:
        self._roles, self._case = roles, case
        self._ids: dict[str, Array] = {}
        self._evaluation = Evaluation(model, case, self._ids.get, perform=perform)
        self._last: Array | None = None

    def steps(self) -> Iterator[tuple[int, str, Array]]:
        """Every activation of every step of the schedule."""
        for index, step in enumerate(self._case.steps):
            rows = [row[step.past : step.keys] for row in self._case.token_ids]
            self._ids[tensor_name(index, self._roles["tokens"])] = np.array(rows, np.int64)
            for name, value in self._evaluation.of_step(index):
                if name == self._roles["last_logits"]:
                    self._last = value
                yield index, name, value

    def run(self) -> "Chain":
        for _ in self.steps():
            pass
        return self

    def generate(self, fed: list[int] | None = None) -> Generated:
        """From the last step on, fed its own tokens or those given. What it leaves is what was there."""
        assert self._last is not None
        evaluation = self._evaluation
        kept = evaluation.snapshot()
        logits, tokens = [self._last], [argmax(self._last)]
        while len(tokens) < self._case.generate:
            ids = self._fed(fed, len(tokens) - 1, tokens[-1])
            step = evaluation.extend(1)
            self._ids[tensor_name(step, self._roles["tokens"])] = np.asarray(ids, np.int64)[:, None]
            found = dict(evaluation.of_step(step))[self._roles["last_logits"]]
            logits.append(found)
            tokens.append(argmax(found))
        evaluation.restore(kept)
        return Generated(np.stack(tokens, axis=1), np.stack(logits, axis=1))

    def _fed(self, fed: list[int] | None, position: int, own: Array) -> Array:
        """What is fed, `[B, N]` row by row; the chain's own where there is nothing."""
        places = [row * self._case.generate + position for row in range(len(own))]
        given = [] if fed is None else fed
        return np.array([given[at] if at < len(given) else own[row] for row, at in enumerate(places)], np.int64)


def root_mean_square(exact: Array, found: Array) -> float:
    with np.errstate(all="ignore"):
        difference = found.astype(np.float64) - exact
        return float(np.sqrt((difference * difference).mean())) if difference.size else 0.0


def largest(values: Array) -> float:
    """Of the finite ones, without a sign; 0 if there is none."""
    finite = values[np.isfinite(values)]
    return float(np.abs(finite).max(initial=0.0))


def close_to_a_tie(logits: Array, apart: float) -> Array:
    """Rows whose two largest are so close that another order of summation may take the other one."""
    if logits.shape[-1] < 2:
        return np.zeros(logits.shape[:-1], np.bool_)
    two = np.partition(logits, logits.shape[-1] - 2, axis=-1)[..., -2:]
    return np.asarray(~(two[..., 1] - two[..., 0] > 2.0 * apart), np.bool_)
