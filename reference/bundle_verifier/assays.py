"""Cases whose tensors are not here: their numbers are the record's word, their extent and their words are not."""

import math
from collections.abc import Iterator
from typing import Any

from bundle_verifier import records
from bundle_verifier.assayed import Assayed, Comparison, Measurement, QuorumObservation
from bundle_verifier.case import Case, tensor_name
from bundle_verifier.checked import recorded_finding
from bundle_verifier.checks import JUDGED_OTHERWISE, Examination, Finding, concerned
from bundle_verifier.evidence import Evidence, file_name
from bundle_verifier.found import Found, recorded_numbers
from bundle_verifier.passed import Measured
from bundle_verifier.plan import Required
from bundle_verifier.problem import InvalidEvidenceError
from bundle_verifier.reader import read_record
from bundle_verifier.spelling import measured
from bundle_verifier.tasks import CHAINED, measures, pairs, tasks

LARGEST = 256 << 20


def assay_path(case: str) -> str:
    return f"data/assays/{file_name(case)}.json"


class RecordedAssay:
    """The assay of one case, each entry beside what it must be of."""

    def __init__(self, evidence: Evidence, case: Case) -> None:
        self._evidence, self._case, self._path = evidence, case, assay_path(case.id)
        record = read_record(self._path, evidence.bag.read(self._path, LARGEST), records.ASSAY, evidence.bag.version)
        self._record: dict[str, Any] = record["assay"]
        self._same("case", case.id, self._record["case"])
        self.assayed = Assayed(case)

    def read(self) -> Iterator[tuple[Comparison, dict[str, Any]]]:
        """The comparisons, each beside its observation; with the last one everything else has been read."""
        self.assayed.measurements = list(self._measurements())
        self.assayed.quorum = list(self._quorum())
        self.assayed.checks = dict(self._checks())
        unexpected = [tensor_name(name["step"], name["activation"]) for name in self._record["unexpected"]]
        self.assayed.unexpected = [Finding(self._case.id, name, "unexpected") for name in unexpected]
        for index, (task, entry) in self._beside("observations", list(tasks(self._evidence, self._case))):
            where = f"observations[{index}]"
            self._same(f"{where} required", _required(task.required), entry["required"])
            identity = (self._case.id, task.mode, task.reference)
            self._same(f"{where} of", identity, (entry["case"], entry["mode"], entry["reference"]))
            found = self._found(where, task.required, entry["outcome"])
            allowed = None if entry["chained_allowed"] is None else measured(entry["chained_allowed"])
            if task.mode != CHAINED:
                self._same(f"{where} chained_allowed", None, allowed)
            yield Comparison(self._case, task, found, allowed), entry

    def _measurements(self) -> Iterator[Measurement]:
        for index, (task, entry) in self._beside("measured", list(measures(self._evidence, self._case))):
            where = f"measured[{index}]"
            self._same(f"{where} required", _required(task.required), entry["required"])
            self._same(f"{where} of", (task.label, task.mode), (entry["implementation"], entry["mode"]))
            yield Measurement(task, Measured(self._found(where, task.required, entry["outcome"])))

    def _quorum(self) -> Iterator[QuorumObservation]:
        for index, (task, entry) in self._beside("quorum", list(pairs(self._evidence, self._case))):
            name = {"step": task.required.step, "activation": task.required.plain}
            self._same(f"quorum[{index}]", (name, task.between), (entry["name"], entry["between"]))
            yield QuorumObservation(task, Measured(recorded_numbers(entry["outcome"])))

    def _checks(self) -> Iterator[tuple[tuple[str, str], Examination]]:
        expected = [
            ((i, j), spec, requirement)
            for i, spec in enumerate(self._evidence.specs)
            for j, requirement in enumerate(spec.requirements)
            if requirement.check not in JUDGED_OTHERWISE
        ]
        for index, ((place, spec, requirement), entry) in self._beside("requirements", expected):
            required = len(concerned(self._evidence, self._case, spec.id, requirement))
            found = (entry["spec"], entry["requirement"], entry["required"])
            self._same(f"requirements[{index}] spec, requirement, required", (*place, required), found)
            examination = entry["examination"]
            findings = list(map(recorded_finding, examination["findings"]))
            yield (spec.id, requirement.id), Examination(examination["checked"], required, findings)

    def _found(self, where: str, required: Required, outcome: dict[str, Any]) -> Found:
        if outcome["kind"] == "compared":
            self._same(f"{where} shape", list(required.shape), outcome["shape"])
            elements, violations = (outcome["statistics"][name] for name in ("elements", "violations"))
            self._same(f"{where} elements", math.prod(required.shape), elements)
            if violations > elements:
                raise InvalidEvidenceError(f"{self._path} {where}", f"at most {elements} violations", f"{violations}")
        return recorded_numbers(outcome)

    def _beside(self, name: str, expected: list[Any]) -> Iterator[tuple[int, tuple[Any, Any]]]:
        self._same(f"{name}: how many", len(expected), len(self._record[name]))
        return enumerate(zip(expected, self._record[name], strict=True))

    def _same(self, where: str, expected: object, found: object) -> None:
        if expected != found:
            raise InvalidEvidenceError(f"{self._path} {where}", f"{expected!r}", f"{found!r}")


def _required(required: Required) -> dict[str, Any]:
    spec, activation = required.activation.place
    return {
        "spec": spec,
        "activation": activation,
        "name": {"step": required.step, "activation": required.plain},
        "layer": required.layer,
        "shape": list(required.shape),
        "dtype": required.dtype,
    }
