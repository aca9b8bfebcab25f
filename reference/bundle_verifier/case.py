"""Cases: what every implementation was given."""

import itertools
from dataclasses import dataclass
from typing import Any

from bundle_verifier.problem import InvalidEvidenceError


@dataclass(frozen=True, slots=True)
class Step:
    past: int
    length: int

    @property
    def keys(self) -> int:
        return self.past + self.length


@dataclass(frozen=True)
class Case:
    id: str
    token_ids: list[list[int]]
    has_texts: bool
    schedule: tuple[int, ...]
    generate: int

    @property
    def steps(self) -> list[Step]:
        ends = itertools.accumulate(self.schedule)
        return [Step(end - length, length) for end, length in zip(ends, self.schedule, strict=True)]

    @property
    def batch(self) -> int:
        return len(self.token_ids)

    @property
    def tokens(self) -> int:
        return len(self.token_ids[0])

    @property
    def last_step(self) -> int:
        return len(self.schedule) - 1


def tensor_name(step: int | None, activation: str) -> str:
    return activation if step is None else f"step{step}/{activation}"


def fits(tokens: int, generate: int, context: int) -> bool:
    return tokens > 0 and tokens + max(generate, 1) - 1 <= context


def read_case(path: str, record: dict[str, Any], summary: dict[str, Any], sizes: dict[str, int]) -> Case:
    """The case of a record that has the fields of the format, once it is sound and that of the results."""
    _check_sound(path, record, sizes)
    schedule = tuple(record["schedule"])
    case = Case(record["id"], record["token_ids"], record["texts"] is not None, schedule, record["generate"])
    found = (case.id, case.batch, case.tokens, len(case.schedule), case.generate)
    expected = tuple(summary[name] for name in ("id", "batch", "tokens", "steps", "generate"))
    if found != expected:
        said = f"id, batch, tokens, steps, generate {expected}, as the results say"
        raise InvalidEvidenceError(path, said, f"{found}")
    return case


def _check_sound(path: str, record: dict[str, Any], sizes: dict[str, int]) -> None:
    rows, schedule, generate = record["token_ids"], record["schedule"], record["generate"]
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or lengths == {0}:
        found = f"lengths {sorted(lengths)}"
        raise InvalidEvidenceError(f"{path} token_ids", "rows of one length of at least 1", found)
    (tokens,) = lengths
    for name in ("texts", "forced"):
        if record[name] is not None and len(record[name]) != len(rows):
            raise InvalidEvidenceError(f"{path} {name}", f"{len(rows)} entries", f"{len(record[name])}")
    if record["forced"] is not None:
        raise InvalidEvidenceError(f"{path} forced", "null, as in every bundle", "something")
    if min(schedule, default=0) < 1 or sum(schedule) != tokens:
        raise InvalidEvidenceError(f"{path} schedule", f"steps of at least 1 with the sum {tokens}", f"{schedule}")
    vocabulary, context = sizes.get("V", 0), sizes.get("C", 0)
    if not all(0 <= token < vocabulary for row in rows for token in row):
        raise InvalidEvidenceError(f"{path} token_ids", f"ids from 0 to below {vocabulary}", "another one")
    if not fits(tokens, generate, context):
        needed = tokens + max(generate, 1) - 1
        raise InvalidEvidenceError(path, f"at most {context} positions, the context", f"{needed}")
