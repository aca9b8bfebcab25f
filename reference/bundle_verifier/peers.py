"""The subject beside its peers, how chained errors grow, and what may not be passed over in silence."""

from dataclasses import dataclass, field
from typing import Any

from bundle_verifier.assayed import Assayed
from bundle_verifier.evidence import Evidence
from bundle_verifier.found import Numbers
from bundle_verifier.judge import JudgedCheckpoint
from bundle_verifier.passed import Measured
from bundle_verifier.plan import Required
from bundle_verifier.quorum import worse
from bundle_verifier.spelling import measured
from bundle_verifier.tasks import CHAINED, ISOLATED

WITHOUT_FAULTS = {
    "checkpoint": "faults",
    "message": "no fault was put in: nothing shows on this model that the gate can fail",
}


@dataclass(slots=True)
class Figure:
    """The worst of some numbers; `apart`: by how much it may be another in another order of summation."""

    value: float | None = None
    apart: float = 0.0

    def add(self, value: float, apart: float) -> None:
        if self.value is None or worse(value, self.value):
            self.value = value
        self.apart = max(self.apart, apart)

    @property
    def or_zero(self) -> "Figure":
        return self if self.value is not None else Figure(0.0)


@dataclass
class Peer:
    checkpoint: str
    implementation: str
    chained: Figure = field(default_factory=Figure)
    isolated: Figure = field(default_factory=Figure)
    budget: Figure = field(default_factory=Figure)
    ceiling: Figure = field(default_factory=Figure)

    def figures(self) -> dict[str, Figure]:
        return {
            "chained_max_abs": self.chained.or_zero,
            "isolated_max_abs": self.isolated.or_zero,
            "budget_used": self.budget,
            "ceiling_used": self.ceiling,
        }


@dataclass
class Row:
    """Of the growth of chained errors: by implementation, rmse and the largest error."""

    case: str
    required: Required
    errors: list[tuple[str, Figure, Figure]] = field(default_factory=list)


class Peers:
    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._found: dict[tuple[str, str], Peer] = {}
        self.rows: list[Row] = []
        self.unknown = False  # what the model would have to tell

    def add(self, assayed: Assayed) -> None:
        for c in assayed.comparisons:
            if c.task.mode == ISOLATED and isinstance(c.found, Numbers) and c.found.of_floats:
                own = Measured(c.found, c.apart, c.used_apart)
                self._add(c.task.required, self._evidence.subject, ISOLATED, c.found, own)
        places: dict[str, Row] = {}
        for observation in assayed.measurements:
            task, found = observation.task, observation.measured
            if found is None:
                self.unknown = True
            elif isinstance(found.found, Numbers) and found.found.of_floats:
                self._add(task.required, task.label, task.mode, found.found, found)
                if task.mode == CHAINED and self._is_shown(task.required):
                    self._grow(assayed.case.id, places, task.required, task.label, found.found, found.apart)

    def _add(self, required: Required, implementation: str, mode: str, numbers: Numbers, found: Measured) -> None:
        key = (required.spec, implementation)
        peer = self._found.setdefault(key, Peer(*key))
        if mode == ISOLATED:
            peer.isolated.add(numbers.max_abs, found.apart)
        else:
            peer.chained.add(numbers.max_abs, found.apart)
            if required.activation.ceiling is not None and not self._evidence.half:
                peer.ceiling.add(numbers.used, found.used_apart)
        if numbers.budget_used is not None:
            peer.budget.add(numbers.budget_used, found.used_apart)

    def _is_shown(self, required: Required) -> bool:
        roles, name = self._evidence.specs.roles, required.activation.name
        return name in roles["stream"] or name in (roles["logits"], roles["generated_logits"])

    def _grow(
        self, case: str, places: dict[str, Row], required: Required, label: str, numbers: Numbers, apart: float
    ) -> None:
        if required.tensor not in places:
            places[required.tensor] = Row(case, required)
            self.rows.append(places[required.tensor])
        figures = (Figure(numbers.rmse, apart), Figure(numbers.max_abs, apart))
        places[required.tensor].errors.append((label, *figures))

    def in_order(self) -> list[Peer]:
        keys = [(spec.id, name) for spec in self._evidence.specs for name in self._evidence.measured]
        return [self._found[key] for key in keys if key in self._found]


def reservations(evidence: Evidence, checkpoints: list[JudgedCheckpoint]) -> list[dict[str, Any]]:
    """Those of the whole run are the record's; the others follow from requirements, budgets and faults."""
    found = [entry for entry in evidence.results["reservations"] if entry["checkpoint"] is None]
    for checkpoint, record in zip(checkpoints, evidence.results["checkpoints"], strict=True):
        for judged, recorded in zip(checkpoint.requirements, record["requirements"], strict=True):
            if judged.warns:
                message = f"{judged.requirement.id}: {recorded['findings'][0]['message']}"
                found.append({"checkpoint": checkpoint.spec.id, "message": message})
    reported = {checkpoint.spec.id for checkpoint in checkpoints}
    most = evidence.specs.judging.reservation
    for peer in evidence.results["peers"]:
        of_subject = peer["implementation"] == evidence.subject and peer["checkpoint"] in reported
        used = 0.0 if peer["budget_used"] is None else measured(peer["budget_used"])
        if of_subject and most < used <= 1.0:
            of_budget = f"{round(used * 100.0)} % of a rounding budget is used"
            message = f"{of_budget}; a correct port uses at most {round(most * 100.0)} %"
            found.append({"checkpoint": peer["checkpoint"], "message": message})
    if evidence.results["faults"]["extent"] == "none":
        found.append(dict(WITHOUT_FAULTS))
    return found
