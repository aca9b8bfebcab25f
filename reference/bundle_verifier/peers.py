"""The subject beside its peers, and what may not be passed over in silence."""

from dataclasses import dataclass
from typing import Any

from bundle_verifier.assayed import Assayed
from bundle_verifier.evidence import Evidence
from bundle_verifier.found import Found, Numbers
from bundle_verifier.judge import JudgedCheckpoint
from bundle_verifier.quorum import worse

WITHOUT_FAULTS = {
    "checkpoint": "faults",
    "message": "no fault was put in: nothing shows on this model that the gate can fail",
}


@dataclass
class Peer:
    checkpoint: str
    implementation: str
    run_max_abs: float = 0.0
    replay_max_abs: float = 0.0
    budget_used: float | None = None

    def add(self, mode: str, numbers: Numbers) -> None:
        if mode == "run" and worse(numbers.max_abs, self.run_max_abs):
            self.run_max_abs = numbers.max_abs
        if mode == "replay" and worse(numbers.max_abs, self.replay_max_abs):
            self.replay_max_abs = numbers.max_abs
        if numbers.budget_used is not None:
            used = 0.0 if self.budget_used is None else self.budget_used
            self.budget_used = numbers.budget_used if worse(numbers.budget_used, used) else used


class Peers:
    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._found: dict[tuple[str, str], Peer] = {}

    def add(self, assayed: Assayed) -> None:
        subject = self._evidence.subject
        for c in assayed.comparisons:
            if c.task.reference.endswith("@f64"):
                self._add(c.task.required.spec, subject, c.task.mode, c.found)
        for observation in assayed.peers:
            task = observation.task
            if task.label != subject:
                self._add(task.required.spec, task.label, task.mode, observation.found)

    def _add(self, checkpoint: str, implementation: str, mode: str, found: Found) -> None:
        if isinstance(found, Numbers) and found.of_floats:
            key = (checkpoint, implementation)
            self._found.setdefault(key, Peer(checkpoint, implementation)).add(mode, found)

    def in_order(self) -> list[Peer]:
        implementations = list(dict.fromkeys([self._evidence.subject, *self._evidence.peers]))
        keys = [(spec.id, name) for spec in self._evidence.specs for name in implementations]
        return [self._found[key] for key in keys if key in self._found]


def reservations(evidence: Evidence, checkpoints: list[JudgedCheckpoint], peers: list[Peer]) -> list[dict[str, Any]]:
    """Those of the whole run are the record's; the others follow from requirements, budgets and faults."""
    found = [entry for entry in evidence.results["reservations"] if entry["checkpoint"] is None]
    for checkpoint, record in zip(checkpoints, evidence.results["checkpoints"], strict=True):
        for judged, recorded in zip(checkpoint.requirements, record["requirements"], strict=True):
            if judged.warns:
                message = f"{judged.requirement.id}: {recorded['findings'][0]['message']}"
                found.append({"checkpoint": checkpoint.spec.id, "message": message})
    reported = {checkpoint.spec.id for checkpoint in checkpoints}
    for peer in peers:
        used = peer.budget_used
        of_subject = peer.implementation == evidence.subject and peer.checkpoint in reported
        if of_subject and used is not None and 0.5 < used <= 1.0:
            message = f"{round(used * 100.0)} % of a rounding budget is used; a correct port uses less than half"
            found.append({"checkpoint": peer.checkpoint, "message": message})
    if evidence.results["faults"]["extent"] == "none":
        found.append(dict(WITHOUT_FAULTS))
    return found
