"""A case: the token ids of a batch, and the steps in which they are consumed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trialplate_reference.arrays import Array
from trialplate_reference.config import ModelConfig

_FIELDS = {"id", "token_ids", "texts", "schedule", "generate", "forced"}


@dataclass(frozen=True)
class Step:
    index: int
    position: int
    """Tokens consumed by earlier steps (P)."""
    token_ids: Array
    """`[B, S]`, what this step consumes."""

    @property
    def prefix(self) -> str:
        return f"step{self.index}/"

    @property
    def length(self) -> int:
        return int(self.token_ids.shape[1])


@dataclass(frozen=True)
class Case:
    id: str
    token_ids: Array
    """`[B, T]` i64, consumed in steps of the lengths in `schedule`."""
    texts: tuple[str, ...] | None
    schedule: tuple[int, ...]
    generate: int
    forced: tuple[tuple[int, ...], ...] | None
    """Per row, the first generated tokens to feed in place of the implementation's own argmax."""

    @property
    def batch(self) -> int:
        return int(self.token_ids.shape[0])

    @property
    def length(self) -> int:
        return int(self.token_ids.shape[1])

    def steps(self) -> Iterator[Step]:
        position = 0
        for index, length in enumerate(self.schedule):
            yield Step(index, position, self.token_ids[:, position : position + length])
            position += length

    @staticmethod
    def parse(raw: Mapping[str, object], config: ModelConfig) -> "Case":
        """Read a case and check it against the limits of the model."""
        if raw.keys() != _FIELDS:
            missing, unknown = sorted(_FIELDS - raw.keys()), sorted(raw.keys() - _FIELDS)
            raise ValueError(f"case has missing fields {missing} and unknown fields {unknown}")
        name = raw["id"]
        if not isinstance(name, str):
            raise ValueError(f"case id is {name!r}; expected a string")

        def fail(what: str) -> ValueError:
            return ValueError(f"case {name!r}: {what}")

        def ids(rows: object, field: str) -> tuple[tuple[int, ...], ...]:
            parsed = tuple(integers(row, field) for row in sequence(rows, field))
            for row, values in enumerate(parsed):
                for value in values:
                    if not 0 <= value < config.vocabulary:
                        raise fail(f"{field}[{row}] has id {value}; expected 0 <= id < {config.vocabulary}")
            return parsed

        def integers(values: object, field: str) -> tuple[int, ...]:
            return tuple(integer(value, field) for value in sequence(values, field))

        def integer(value: object, field: str) -> int:
            if not isinstance(value, int) or isinstance(value, bool):
                raise fail(f"{field} holds {value!r}; expected integers")
            return value

        def sequence(values: object, field: str) -> Sequence[object]:
            if not isinstance(values, Sequence) or isinstance(values, str):
                raise fail(f"{field} is {values!r}; expected a list")
            return values

        rows = ids(raw["token_ids"], "token_ids")
        lengths = sorted({len(row) for row in rows})
        if len(lengths) != 1 or lengths[0] < 1:
            raise fail(f"token_ids has rows of lengths {lengths}; expected one length, at least 1")
        batch, length = len(rows), lengths[0]

        texts = None if raw["texts"] is None else sequence(raw["texts"], "texts")
        if texts is not None and (len(texts) != batch or not all(isinstance(text, str) for text in texts)):
            raise fail(f"texts is {texts!r}; expected {batch} strings, one a row")

        schedule = integers(raw["schedule"], "schedule")
        if any(step < 1 for step in schedule) or sum(schedule) != length:
            raise fail(f"schedule is {list(schedule)}; expected steps of at least 1 with the sum {length}")

        generate = integer(raw["generate"], "generate")
        if generate < 0:
            raise fail(f"generate is {generate}; expected at least 0")
        needed = length + max(generate - 1, 0)
        if needed > config.context:
            raise fail(
                f"{length} tokens and {generate} generated ones need {needed} positions; "
                f"the context limit of the model is {config.context}"
            )

        forced = None if raw["forced"] is None else ids(raw["forced"], "forced")
        if forced is not None and (len(forced) != batch or any(len(row) > generate for row in forced)):
            raise fail(
                f"forced has rows of lengths {[len(row) for row in forced]}; expected {batch} of at most {generate}"
            )

        return Case(
            id=name,
            token_ids=np.array(rows, dtype=np.int64),
            texts=None if texts is None else tuple(str(text) for text in texts),
            schedule=schedule,
            generate=generate,
            forced=forced,
        )
