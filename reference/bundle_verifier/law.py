"""The verifier's own specs, which nothing in a bundle can replace, and the cases of a bundle."""

import hashlib
import itertools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Activation:
    name: str  # with {l} if there is one in every layer
    shape: tuple[str, ...]
    kind: str
    steps: str
    inputs: tuple[str, ...]
    rule: str
    atol: float
    rtol: float
    chained: tuple[float, float] | None
    derived_from: str | None
    slices: tuple[str, ...] | None  # None: no budget
    shared_rows: bool
    replay: bool
    composite: bool
    applies: str
    masked: bool  # −∞ exactly after the query
    range: tuple[float, float] | None
    spec: str  # id of its checkpoint

    @property
    def layered(self) -> bool:
        return "{l}" in self.name


@dataclass(frozen=True)
class Requirement:
    id: str
    text: str
    check: str
    of: tuple[str, ...]


@dataclass(frozen=True)
class Spec:
    id: str
    name: str
    title: str
    activations: tuple[Activation, ...]
    requirements: tuple[Requirement, ...]


@dataclass(frozen=True)
class Law:
    files: dict[str, bytes]  # by file name, in ascending order
    specs: tuple[Spec, ...]
    false_alarm: float

    def digest(self) -> str:
        lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in self.files.items()]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def whole_case_names(self) -> frozenset[str]:
        return frozenset(a.name for spec in self.specs for a in spec.activations if a.steps == "case")


@dataclass(frozen=True)
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


def read_law(folder: Path) -> Law:
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.toml"))}
    if not files:
        raise FileNotFoundError(f"{folder}: no *.toml; expected the specs of a family")
    tables = [tomllib.loads(data.decode()) for data in files.values()]
    probability = next(float(table["false_alarm"]["probability"]) for table in tables if "false_alarm" in table)
    return Law(files, tuple(_spec(table) for table in tables), probability)


def _spec(table: dict[str, Any]) -> Spec:
    activations = tuple(_activation(table["id"], entry) for entry in table.get("activation", []))
    requirements = tuple(
        Requirement(entry["id"], entry["text"], entry["check"], tuple(entry["of"]))
        for entry in table.get("requirement", [])
    )
    return Spec(table["id"], table["name"], table["title"], activations, requirements)


def _activation(spec: str, entry: dict[str, Any]) -> Activation:
    rule, budget = entry["rule"], entry.get("budget")
    chained = rule.get("chained")
    return Activation(
        name=entry["name"],
        shape=tuple(entry["shape"]),
        kind=entry["kind"],
        steps=entry["steps"],
        inputs=tuple(entry.get("inputs", [])),
        rule=rule["kind"],
        atol=float(rule.get("atol", 0.0)),
        rtol=float(rule.get("rtol", 0.0)),
        chained=(float(chained["atol"]), float(chained["rtol"])) if chained else None,
        derived_from=rule.get("from"),
        slices=tuple(budget["slices"]) if budget else None,
        shared_rows=bool(budget and budget.get("shared_rows", False)),
        replay=entry.get("replay", False),
        composite=entry.get("composite", False),
        applies=entry.get("applies", "always"),
        masked=entry.get("non_finite", "never") == "negative-infinity-after-query",
        range=tuple(entry["range"]) if "range" in entry else None,
        spec=spec,
    )
