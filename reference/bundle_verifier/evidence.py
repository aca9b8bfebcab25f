"""A bundle as it was read: records, cases, captures by implementation, and how a required tensor is had from them."""

import re
from dataclasses import dataclass, field
from typing import Any

from bundle_verifier.bag import Bag
from bundle_verifier.law import Case, Law
from bundle_verifier.plan import Plan, Required, Traits
from bundle_verifier.problem import InvalidEvidenceError
from bundle_verifier.tensor_file import Tensor, TensorFile

SUFFIXES = {"run": ".safetensors", "replay": ".replay.safetensors"}


def file_name(name: str) -> str:
    """A name of the record as a name of a file."""
    made = re.sub("[^A-Za-z0-9@._+-]", "-", name[:100])
    return made if made and not made.startswith(".") else f"_{made}"


@dataclass(frozen=True)
class Outcome:
    """Why there is nothing to compare; `kind` and fields as they are recorded."""

    kind: str
    side: str = ""
    expected: tuple[int, ...] | str = ()
    found: tuple[int, ...] | str = ()

    @property
    def reason(self) -> str:
        return {"shape_mismatch": "shape", "dtype_mismatch": "dtype"}.get(self.kind, self.kind)


@dataclass
class Evidence:
    bag: Bag
    law: Law
    plan: Plan
    results: dict[str, Any]
    materials: dict[str, Any]
    cases: list[Case]
    problems: list[Any] = field(default_factory=list)

    @property
    def subject(self) -> str:
        return label(self.results["subject"])

    @property
    def traits(self) -> Traits:
        return Traits(self.results["subject"]["name"] == "rust", True)

    @property
    def counted_traits(self) -> Traits:
        return Traits(self.traits.preallocated_cache, bool(self.materials["tokenizer"]))

    @property
    def references(self) -> list[str]:
        return [identity["name"] for identity in self.results["references"]]

    @property
    def oracle(self) -> str:
        return f"{self.references[0]}@f64"

    @property
    def peers(self) -> list[str]:
        """Labels of the f32 runs that judge: the references' that are not the subject itself."""
        return [f"{name}@f32" for name in self.references if f"{name}@f32" != self.subject]

    def folders(self) -> dict[str, set[str]]:
        """Folders of implementations, and whose captures may be in each."""
        allowed: dict[str, set[str]] = {file_name(f"subject-{self.subject}"): {self.subject}}
        for name in self.references:
            for precision in ("f32", "f64"):
                allowed.setdefault(file_name(f"{name}@{precision}"), set()).add(f"{name}@{precision}")
        return allowed


def label(identity: dict[str, Any]) -> str:
    return f"{identity['name']}@{identity['precision']}"


def capture_path(folder: str, case: str, mode: str) -> str:
    return f"data/captures/{file_name(folder)}/{file_name(case)}{SUFFIXES[mode]}"


class Captures:
    """The captures of one case, opened when they are first asked for."""

    def __init__(self, evidence: Evidence, case: Case) -> None:
        self._evidence, self._case = evidence, case
        self._open: dict[tuple[str, str], TensorFile | None] = {}

    def __enter__(self) -> "Captures":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            if file is not None:
                file.close()

    def file(self, side: str, mode: str) -> TensorFile | None:
        """`side`: `subject`, or the label of a reference."""
        if (side, mode) not in self._open:
            self._open[side, mode] = self._opened(side, mode)
        return self._open[side, mode]

    def fetch(self, side: str, mode: str, required: Required, tensor: str | None = None) -> Tensor | Outcome:
        name = tensor or required.tensor
        file = self.file(side, mode)
        if file is None or name not in file.entries:
            return Outcome("missing", side)
        entry = file.entries[name]
        if entry.shape != required.shape:
            return Outcome("shape_mismatch", side, required.shape, entry.shape)
        dtype = "F64" if required.activation.kind == "float" and side.endswith("@f64") else required.dtype
        if entry.dtype != dtype:
            return Outcome("dtype_mismatch", side, dtype, entry.dtype)
        return file.read(name)

    def _opened(self, side: str, mode: str) -> TensorFile | None:
        folder = f"subject-{self._evidence.subject}" if side == "subject" else side
        path = capture_path(folder, self._case.id, mode)
        if path not in self._evidence.bag.sizes:
            return None
        return open_capture(self._evidence, path)


def open_capture(evidence: Evidence, path: str) -> TensorFile:
    """The capture, once it says that it is of who its folder says."""
    expected = evidence.folders()[path.split("/")[2]]
    file = TensorFile(evidence.bag, path)
    if file.label not in expected:
        file.close()
        raise InvalidEvidenceError(path, f"the capture of {' or '.join(sorted(expected))}", f"one of {file.label}")
    return file
