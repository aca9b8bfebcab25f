"""A bundle as it was read: records, cases, captures by implementation, and how a required tensor is had from them."""

import re
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bundle_verifier.bag import Bag
from bundle_verifier.case import Case
from bundle_verifier.evaluation import Model
from bundle_verifier.plan import Plan, Required, Traits
from bundle_verifier.problem import InvalidEvidenceError
from bundle_verifier.specs import Specs
from bundle_verifier.tensor import Tensor
from bundle_verifier.tensor_file import TensorFile

SUFFIX = ".safetensors"
HALVES = ("f16", "bf16")
ROUNDINGS = {"f32": 2.0**-24, "f16": 2.0**-11, "bf16": 2.0**-8, "f64": 2.0**-53}
SMALLEST_NORMALS = {"f16": 2.0**-14}
SMALLEST_NORMAL = 2.0**-126
MOST_OPEN = 32  # captures; each holds its header


def file_name(name: str) -> str:
    """A name of the record as a name of a file."""
    made = re.sub("[^A-Za-z0-9@._+-]", "-", name[:100])
    return made if made and not made.startswith(".") else f"_{made}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Why there is nothing to compare; `kind` and fields as they are recorded."""

    kind: str
    side: str = ""
    expected: tuple[int, ...] | str = ()
    found: tuple[int, ...] | str = ()

    @property
    def reason(self) -> str:
        return {"shape_mismatch": "shape", "dtype_mismatch": "dtype"}.get(self.kind, self.kind)

    @property
    def mismatch(self) -> bool:
        return self.kind.endswith("_mismatch")

    @property
    def of_subject(self) -> bool:
        """Whether it is about the subject's tensor; a reference may be called `subject-x`."""
        own, through = "subject", "`, from which this follows)"
        return self.side == own or (self.side.startswith(f"{own} (`") and self.side.endswith(through))


@dataclass
class Evidence:
    bag: Bag
    specs: Specs
    plan: Plan
    results: dict[str, Any]
    materials: dict[str, Any]
    cases: list[Case]
    model: Model | None = None  # where its weights are at hand

    @cached_property
    def subject(self) -> str:
        return label(self.results["subject"])

    @property
    def precision(self) -> str:
        precision: str = self.results["subject"]["precision"]
        return precision

    @property
    def half(self) -> bool:
        return self.precision in HALVES

    @property
    def peer_precision(self) -> str:
        return self.precision if self.half else "f32"

    @cached_property
    def counted_traits(self) -> Traits:
        """The subject's, as far as the materials say it."""
        return Traits(self.results["subject"]["name"] == "rust", bool(self.materials["tokenizer"]))

    def traits_in(self, case: Case) -> Traits:
        """The subject's in a case."""
        return Traits(self.counted_traits.preallocated_cache, case.has_texts)

    @cached_property
    def references(self) -> list[str]:
        return [identity["name"] for identity in self.results["references"]]

    @cached_property
    def voices(self) -> list[str]:
        return [f"{name}@f64" for name in self.references]

    @cached_property
    def peers(self) -> list[str]:
        """Labels of the references at the peer precision, but for the subject itself."""
        labels = [f"{name}@{self.peer_precision}" for name in self.references]
        return [label for label in labels if label != self.subject]

    @cached_property
    def measured(self) -> list[str]:
        """Whose chained errors are measured, the subject first."""
        return [self.subject, *self.peers]

    def side(self, label: str) -> str:
        return "subject" if label == self.subject else label

    @property
    def digest_only(self) -> list[str]:
        cases: list[str] = self.results["tensors"]["digest_only"]
        return cases

    @property
    def with_numbers(self) -> list[str]:
        """Cases whose numbers the bundle has: those without tensors, and all where the weights are not in it."""
        elsewhere = not self.materials["weights_in_bundle"]
        return [case.id for case in self.cases if elsewhere or case.id in self.digest_only]

    @cached_property
    def folders(self) -> dict[str, str]:
        """Folders of implementations, and whose captures are in each."""
        precisions = ["f32", "f64", *([self.precision] if self.half else [])]
        labels = [f"{name}@{precision}" for name in self.references for precision in precisions]
        subject = f"subject-{self.subject}"
        found = {file_name(subject): (subject, self.subject)}
        for name in labels:
            if found.setdefault(file_name(name), (name, name)) != (name, name):
                expected = f"every implementation in a folder of its own, {file_name(name)}"
                raise InvalidEvidenceError("data/results.json", expected, f"{found[file_name(name)][0]} and {name}")
        return {folder: producer for folder, (_, producer) in found.items()}


def label(identity: dict[str, Any]) -> str:
    return f"{identity['name']}@{identity['precision']}"


def capture_path(folder: str, case: str) -> str:
    return f"data/captures/{file_name(folder)}/{file_name(case)}{SUFFIX}"


class Captures:
    """The captures of one case, opened when they are asked for."""

    def __init__(self, evidence: Evidence, case: Case) -> None:
        self._evidence, self._case = evidence, case
        self._open: OrderedDict[str, TensorFile | None] = OrderedDict()

    def __enter__(self) -> "Captures":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            if file is not None:
                file.close()

    def file(self, side: str) -> TensorFile | None:
        """`side`: `subject`, or the label of a reference. A file is closed when many others have been asked for."""
        if side in self._open:
            self._open.move_to_end(side)
            return self._open[side]
        if len(self._open) == MOST_OPEN:
            _, oldest = self._open.popitem(last=False)
            if oldest is not None:
                oldest.close()
        self._open[side] = self._opened(side)
        return self._open[side]

    def fetch(self, side: str, required: Required) -> Tensor | Outcome:
        """What is required."""
        name, file = required.tensor, self.file(side)
        if file is None or name not in file.entries:
            return Outcome("missing", side)
        entry = file.entries[name]
        if entry.shape != required.shape:
            return Outcome("shape_mismatch", side, required.shape, entry.shape)
        wide = required.activation.kind == "float" and side.endswith("@f64")
        dtype = "F64" if wide else required.dtype
        if entry.dtype != dtype:
            return Outcome("dtype_mismatch", side, dtype, entry.dtype)
        return file.tensor(name)

    def named(self, side: str, name: str) -> Tensor | None:
        file = self.file(side)
        return file.tensor(name) if file is not None and name in file.entries else None

    def _opened(self, side: str) -> TensorFile | None:
        folder = f"subject-{self._evidence.subject}" if side == "subject" else side
        path = capture_path(folder, self._case.id)
        if path not in self._evidence.bag.sizes:
            return None
        return open_capture(self._evidence, path)


def open_capture(evidence: Evidence, path: str) -> TensorFile:
    """The capture, once it says that it is of who its folder says."""
    expected = evidence.folders[path.split("/")[2]]
    file = TensorFile(evidence.bag, path)
    if file.label != expected:
        file.close()
        raise InvalidEvidenceError(path, f"the capture of {expected}", f"one of {file.label}")
    return file


def everybodys(case: Case) -> Traits:
    """Of an implementation that has whatever any may have."""
    return Traits(preallocated_cache=True, tokenizer=case.has_texts)
