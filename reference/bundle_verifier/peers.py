"""The subject beside its peers, and what may not be passed over in silence."""

import math
from dataclasses import dataclass
from typing import Any

from bundle_verifier.comparisons import Comparison, PeerObservation
from bundle_verifier.evidence import Evidence
from bundle_verifier.judge import JudgedCheckpoint
from bundle_verifier.quorum import worse
from bundle_verifier.statistics import Statistics


@dataclass
class Peer:
    checkpoint: str
    implementation: str
    run_max_abs: float = 0.0
    replay_max_abs: float = 0.0
    budget_used: float | None = None

    def add(self, mode: str, statistics: Statistics) -> None:
        if mode == "run" and worse(statistics.max_abs, self.run_max_abs):
            self.run_max_abs = statistics.max_abs
        if mode == "replay" and worse(statistics.max_abs, self.replay_max_abs):
            self.replay_max_abs = statistics.max_abs
        if statistics.budget is not None:
            used = 0.0 if self.budget_used is None else self.budget_used
            self.budget_used = statistics.budget.used if worse(statistics.budget.used, used) else used


class Peers:
    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._found: dict[tuple[str, str], Peer] = {}

    def add(self, comparisons: list[Comparison], observations: list[PeerObservation]) -> None:
        for c in comparisons:
            if c.reference.endswith("@f64") and isinstance(c.outcome, Statistics) and c.outcome.of_floats:
                self._peer(c.required.activation.spec, self._evidence.subject).add(c.mode, c.outcome)
        for o in observations:
            if o.label != self._evidence.subject:
                self._peer(o.required.activation.spec, o.label).add(o.mode, o.statistics)

    def in_order(self) -> list[Peer]:
        implementations = list(dict.fromkeys([self._evidence.subject, *self._evidence.peers]))
        keys = [(spec.id, name) for spec in self._evidence.law.specs for name in implementations]
        return [self._found[key] for key in keys if key in self._found]

    def _peer(self, checkpoint: str, implementation: str) -> Peer:
        return self._found.setdefault((checkpoint, implementation), Peer(checkpoint, implementation))


def reservations(evidence: Evidence, checkpoints: list[JudgedCheckpoint], peers: list[Peer]) -> list[dict[str, Any]]:
    """Those of the whole run are the record's; the others follow from requirements and budgets."""
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
            found.append({"checkpoint": peer.checkpoint, "message": _budget_message(used)})
    return found


def _budget_message(used: float) -> str:
    percent = math.floor(used * 100.0 + 0.5)
    return f"{percent} % of a rounding budget is used; a correct port uses less than half"
