"""Whether the voices agree with each other at f64: who disagrees may not judge."""

import math

from bundle_verifier.assayed import Assayed
from bundle_verifier.checks import Finding
from bundle_verifier.evidence import Evidence
from bundle_verifier.found import Numbers
from bundle_verifier.tasks import ORACLE

GRAPH = "the family's specs, executed"
LINEAGES = {"torch": "Hugging Face's code on PyTorch", "tinygrad": "GPT-2 in tinygrad's own operations"}
OTHER = "a program of its own"


class Quorum:
    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self.compared = self.required = 0
        self.used, self.apart = 0.0, 0.0  # by how much the share may be another in another order of summation
        self.worst: str | None = None
        self.disagreement: Finding | None = None
        self.unknown = False  # what the model would have to tell
        self.unclear: list[str] = []
        self.may_be_worst: dict[str, float] = {}

    def add(self, assayed: Assayed) -> None:
        for observation in assayed.quorum:
            self.required += 1
            where = Finding(assayed.case.id, observation.task.required.tensor, "exact")
            if observation.measured is None:
                self.unknown = True
                continue
            found, apart = observation.measured.found, observation.measured.used_apart
            if isinstance(found, Numbers):
                self.compared += found.elements > 0
                if found.of_floats:
                    self._add(found, apart, f"{where.case}: {where.tensor}")
            if observation.disagrees:
                self.disagreement = self.disagreement or where

    def _add(self, found: Numbers, apart: float, where: str) -> None:
        if apart > 0.0 and abs(found.used - 1.0) <= apart:
            self.unclear.append(where)
        if worse(found.used, self.used):
            self.used, self.worst = found.used, where
        self.apart = max(self.apart, apart)
        self.may_be_worst.setdefault(where, found.used + apart)

    def verdict(self) -> str:
        references = self._evidence.references
        if self.disagreement is not None:
            return "error"
        if len(set(references)) != len(references):
            return "incomplete"
        if len(references) == 1:
            return "conditional"
        return "incomplete" if self.required == 0 or self.compared < self.required else "pass"

    def voices(self) -> list[dict[str, str]]:
        of_references = [
            {"name": f"{name}@f64", "lineage": LINEAGES.get(name, OTHER)} for name in self._evidence.references
        ]
        return [*of_references, {"name": ORACLE, "lineage": GRAPH}]


def worse(a: float, b: float) -> bool:
    """NaN is worse than any number."""
    return (math.isnan(a) and not math.isnan(b)) or a > b
