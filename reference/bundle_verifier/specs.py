"""The verifier's own specs, which nothing in a bundle can replace."""

import hashlib
import tomllib
from collections.abc import Iterator
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
    place: tuple[int, int] = (0, 0)  # index of the spec, and in it

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
class Fault:
    id: str
    checkpoint: str
    what: str
    by: str
    reasons: tuple[str, ...]
    needs: tuple[str, ...]
    equivalent: str | None
    fast: bool


@dataclass(frozen=True)
class Law:
    id: str
    same_arithmetic: bool
    subject_only: bool


@dataclass(frozen=True)
class Spec:
    id: str
    name: str
    title: str
    activations: tuple[Activation, ...]
    requirements: tuple[Requirement, ...]
    faults: tuple[Fault, ...] = ()
    laws: tuple[Law, ...] = ()


@dataclass(frozen=True)
class Specs:
    files: dict[str, bytes]  # by file name, in ascending order
    specs: tuple[Spec, ...]
    false_alarm: float

    def __iter__(self) -> Iterator[Spec]:
        return iter(self.specs)

    def digest(self) -> str:
        lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in self.files.items()]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def whole_case_names(self) -> frozenset[str]:
        return frozenset(a.name for spec in self.specs for a in spec.activations if a.steps == "case")


def read_specs(folder: Path) -> Specs:
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.toml"))}
    if not files:
        raise FileNotFoundError(f"{folder}: no *.toml; expected the specs of a family")
    return parse_specs(files)


def parse_specs(files: dict[str, bytes]) -> Specs:
    tables = [tomllib.loads(data.decode()) for data in files.values()]
    probability = next(float(table["false_alarm"]["probability"]) for table in tables if "false_alarm" in table)
    return Specs(files, tuple(_spec(index, table) for index, table in enumerate(tables)), probability)


def _spec(index: int, table: dict[str, Any]) -> Spec:
    key = table["id"]
    activations = [_activation(key, (index, i), entry) for i, entry in enumerate(table.get("activation", []))]
    requirements = [
        Requirement(entry["id"], entry["text"], entry["check"], tuple(entry["of"]))
        for entry in table.get("requirement", [])
    ]
    faults = [_fault(key, entry) for entry in table.get("fault", [])]
    laws = [
        Law(entry["id"], entry["arithmetic"] == "same", entry.get("subject_only", False))
        for entry in table.get("law", [])
    ]
    name, title = table["name"], table["title"]
    return Spec(key, name, title, tuple(activations), tuple(requirements), tuple(faults), tuple(laws))


def _fault(spec: str, entry: dict[str, Any]) -> Fault:
    return Fault(
        id=entry["id"],
        checkpoint=spec,
        what=entry["what"],
        by=entry.get("by", spec),
        reasons=tuple(entry["reason"]),
        needs=tuple(entry.get("needs", [])),
        equivalent=entry.get("equivalent"),
        fast=entry.get("fast", False),
    )


def _activation(spec: str, place: tuple[int, int], entry: dict[str, Any]) -> Activation:
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
        place=place,
    )
