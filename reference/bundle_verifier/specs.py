"""The verifier's own specs, which nothing in a bundle can replace."""

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bundle_verifier.bounds import Functions
from bundle_verifier.family import Family
from bundle_verifier.features import plain
from bundle_verifier.graph import INPUTS, Graph

FAMILY, JUDGING, OPERATIONS = "family.toml", "judging.toml", "operations/"
MOVES = ("cache", "mask", "last", "argmax")
EACH_WEIGHT = "{weight}"


@dataclass(frozen=True)
class Activation:
    """`judgement`: `budget` or `bits` where there is an operation, else the kind of the rule."""

    name: str  # with {l} if there is one in every layer
    shape: tuple[str, ...]
    kind: str
    steps: str
    inputs: tuple[str, ...]
    judgement: str
    spec: str  # id of its checkpoint
    operation: str | None = None
    derived_from: str | None = None
    ceiling: tuple[float, float] | None = None
    slices: tuple[str, ...] = ()
    shared_rows: bool = False
    applies: str = "always"
    masked: bool = False  # −∞ exactly after the query
    range: tuple[float, float] | None = None
    place: tuple[int, int] = (0, 0)  # index of the spec, and in it

    @property
    def layered(self) -> bool:
        return "{l}" in self.name

    @property
    def chosen(self) -> bool:
        """Whether it is a token that is taken by its logit."""
        return self.operation == "argmax" or self.derived_from == "greedy"

    @property
    def of_graph(self) -> bool:
        """Whether a chain gives it: from an operation, or as what is generated."""
        return self.judgement in ("budget", "bits", "chained") or self.derived_from == "greedy"


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
class Judging:
    """The numbers that decide, in every family."""

    false_alarm: float
    kappa: float
    roundings: float  # of f64, of the largest value, that two voices may be apart
    allowance: float  # units of systematic error beside chance
    reservation: float  # from which share of a budget on a pass has a reservation
    functions: Functions

    @classmethod
    def parse(cls, data: bytes) -> "Judging":
        table = tomllib.loads(data.decode())
        constants: dict[str, float] = table["functions"]["constants"]
        return cls(
            false_alarm=float(table["false_alarm"]["probability"]),
            kappa=float(table["chained"]["kappa"]),
            roundings=float(table["quorum"]["roundings"]),
            allowance=float(table["systematic"]["allowance"]),
            reservation=float(table["reservation"]["used"]),
            functions=Functions(
                exponential=constants["exp"],
                exponent=constants["exp2-slope"],
                hyperbolic=constants["tanh"],
                square_root=constants["inverse-root"],
                addition=constants["add"],
                division=constants["division"],
            ),
        )


@dataclass(frozen=True)
class Specs:
    files: dict[str, bytes]  # by file name, in ascending order
    specs: tuple[Spec, ...]
    judging: Judging
    family: Family

    def __iter__(self) -> Iterator[Spec]:
        return iter(self.specs)

    def digest(self) -> str:
        lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in self.files.items()]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def whole_case_names(self) -> frozenset[str]:
        return frozenset(a.name for spec in self.specs for a in spec.activations if a.steps == "case")

    @cached_property
    def graph(self) -> Graph:
        return Graph.parse(_checkpoints(self.files), _operations(self.files))

    @property
    def roles(self) -> Mapping[str, Any]:
        roles: Mapping[str, Any] = self.family.table["roles"]
        return roles


def read_specs(folder: Path, family: str) -> Specs:
    """`folder` holds what is common to all families, and each family in a folder of its own."""
    found = {path.name: path for path in (folder / family).glob("*.toml")}
    if not found:
        raise FileNotFoundError(f"{folder / family}: no *.toml; expected the specs of a family")
    found |= {f"{OPERATIONS}{path.name}": path for path in (folder / OPERATIONS).glob("*.toml")}
    found[JUDGING] = folder / JUDGING
    return parse_specs({name: path.read_bytes() for name, path in found.items()})


def parse_specs(files: dict[str, bytes]) -> Specs:
    files = dict(sorted(files.items()))
    family = Family.parse(files[FAMILY])
    laws = {law["operation"]: law for law in map(_table, _operations(files).values())}
    tables = [_table(data) for data in _checkpoints(files).values()]
    specs = tuple(_spec(index, table, family, laws) for index, table in enumerate(tables))
    return Specs(files, specs, Judging.parse(files[JUDGING]), family)


def _table(data: bytes) -> dict[str, Any]:
    return tomllib.loads(data.decode())


def _checkpoints(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name not in (FAMILY, JUDGING) and "/" not in name}


def _operations(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name.startswith(OPERATIONS)}


def _spec(index: int, table: dict[str, Any], family: Family, laws: dict[str, Any]) -> Spec:
    key = table["id"]
    entries = [e | {"name": name} for e in plain(table.get("activation", [])) for name in _each(e["name"], family)]
    requirements = [
        Requirement(e["id"], e["text"], e["check"], tuple(name for of in e["of"] for name in _each(of, family)))
        for e in plain(table.get("requirement", []))
    ]
    faults = [_fault(key, entry) for entry in plain(table.get("fault", []))]
    between = [
        Law(entry["id"], entry["arithmetic"] == "same", entry.get("subject_only", False))
        for entry in table.get("law", [])
    ]
    activations = [_activation(key, (index, i), entry, laws) for i, entry in enumerate(entries)]
    name, title = table["name"], table["title"]
    return Spec(key, name, title, tuple(activations), tuple(requirements), tuple(faults), tuple(between))


def _each(text: str, family: Family) -> list[str]:
    """What is said of every weight, weight by weight."""
    if EACH_WEIGHT not in text:
        return [text]
    return [text.replace(EACH_WEIGHT, weight["name"]) for weight in family.table["weight"]]


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


def _activation(spec: str, place: tuple[int, int], entry: dict[str, Any], laws: dict[str, Any]) -> Activation:
    rule, ceiling = entry.get("rule", {}), entry.get("ceiling")
    operation = next(iter(entry["op"]), None) if "op" in entry else None
    law: dict[str, Any]
    if operation is None:
        judgement, law = rule["kind"], {"slices": []}
    else:
        judgement = "bits" if operation in MOVES else "budget"
        law = {"slices": []} if operation in MOVES else laws[operation]
    return Activation(
        name=entry["name"],
        shape=tuple(entry["shape"]),
        kind=entry["kind"],
        steps=entry["steps"],
        inputs=_inputs(entry, operation),
        judgement=judgement,
        spec=spec,
        operation=operation,
        derived_from=None if operation else rule.get("from"),
        ceiling=(float(ceiling["atol"]), float(ceiling["rtol"])) if ceiling else None,
        slices=tuple(entry.get("budget", law)["slices"]),
        shared_rows=law.get("shared_rows", False),
        applies=entry.get("applies", "always"),
        masked=entry.get("non_finite", "never") == "negative-infinity-after-query",
        range=tuple(entry["range"]) if "range" in entry else None,
        place=place,
    )


def _inputs(entry: dict[str, Any], operation: str | None) -> tuple[str, ...]:
    if operation is None:
        return tuple(entry.get("inputs", []))
    arguments = entry["op"][operation]
    own = [f"previous:{entry['name']}"] if operation == "cache" else []
    return (*own, *(arguments[name] for name in INPUTS[operation] if name in arguments))
