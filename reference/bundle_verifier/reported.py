"""The checkpoints of the record, and whether each word and count of theirs is the one that follows."""

from collections.abc import Iterator
from typing import Any

from bundle_verifier import judge
from bundle_verifier.assayed import Assayed
from bundle_verifier.checked import RESULTS, Problems
from bundle_verifier.evidence import Evidence
from bundle_verifier.judge import JudgedCheckpoint
from bundle_verifier.peers import Peer, reservations
from bundle_verifier.problem import InvalidEvidenceError
from bundle_verifier.quorum import Quorum
from bundle_verifier.specs import Spec


class Reported:
    def __init__(self, evidence: Evidence) -> None:
        self._evidence, self._results = evidence, evidence.results
        self.specs = self._reported_specs()
        self._ids = {spec.id for spec in self.specs}
        self._records = {record["id"]: record for record in self._results["checkpoints"]}
        self._spans = self._spans_by_case()

    def reports(self, spec: str) -> bool:
        return spec in self._ids

    def comparisons(self, spec: str, case: str) -> Iterator[dict[str, Any]]:
        """Those that are recorded of a case, in order."""
        start, stop = self._spans.get((spec, case), (0, 0))
        return (self._records[spec]["comparisons"][index] for index in range(start, stop))

    def check(self, assayed: list[Assayed], peers: list[Peer], quorum: str, problems: Problems) -> list[str]:
        """The verdicts of the checkpoints."""
        required = judge.required_comparisons(self._evidence)
        checkpoints = [self._judged(spec, assayed, required[spec.id], quorum) for spec in self.specs]
        for judged, record in zip(checkpoints, self._results["checkpoints"], strict=True):
            _check_checkpoint(judged, record, problems)
        divergence = judge.first_divergence(assayed, self._ids)
        problems.same("first_divergence", divergence, self._results["first_divergence"])
        self._check_peers(peers, problems)
        if not problems:
            expected = reservations(self._evidence, checkpoints, peers)
            problems.same("reservations", expected, self._results["reservations"])
        return [judged.verdict for judged in checkpoints]

    def check_quorum(self, quorum: Quorum, verdict: str, problems: Problems) -> None:
        record = self._results["quorum"]
        for name in ("compared", "required", "worst"):
            problems.same(f"quorum.{name}", getattr(quorum, name), record[name])
        problems.same_float("quorum.used", quorum.used, record["used"])
        problems.same_finding("quorum.disagreement", quorum.disagreement, record["disagreement"])
        problems.same("quorum.verdict", verdict, record["verdict"])

    def _judged(self, spec: Spec, assayed: list[Assayed], required: int, quorum: str) -> JudgedCheckpoint:
        comparisons = [c for case in assayed for c in case.comparisons if c.task.required.spec == spec.id]
        requirements = [judge.judge_requirement(requirement, spec, assayed) for requirement in spec.requirements]
        judged = JudgedCheckpoint(spec, comparisons, requirements, required)
        judge.judge_checkpoint(judged, quorum)
        return judged

    def _reported_specs(self) -> list[Spec]:
        own = {spec.id: spec for spec in self._evidence.specs}
        ids = [record["id"] for record in self._results["checkpoints"]]
        if not ids or not set(ids) <= set(own) or ids != sorted(set(ids)):
            expected = f"one or more of {list(own)}, in ascending order"
            raise InvalidEvidenceError(f"{RESULTS} checkpoints", expected, f"{ids}")
        for record in self._results["checkpoints"]:
            spec = own[record["id"]]
            if (record["name"], record["title"]) != (spec.name, spec.title):
                where = f"{RESULTS} checkpoint {spec.id}"
                raise InvalidEvidenceError(where, f"{spec.name}: {spec.title}", f"{record['name']}: {record['title']}")
        return [own[key] for key in ids]

    def _spans_by_case(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Where the comparisons of each case are, which come in the order of the cases."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        positions = {case.id: index for index, case in enumerate(self._evidence.cases)}
        for checkpoint in self._results["checkpoints"]:
            last = -1
            for index, record in enumerate(checkpoint["comparisons"]):
                position = positions.get(record["case"], -1)
                if position < last or position == -1:
                    where = f"{RESULTS} checkpoint {checkpoint['id']} comparison {index}"
                    raise InvalidEvidenceError(where, "cases of the results, in their order", record["case"])
                last = position
                key = (checkpoint["id"], record["case"])
                found[key] = (found.get(key, (index, index))[0], index + 1)
        return found

    def _check_peers(self, peers: list[Peer], problems: Problems) -> None:
        records = self._results["peers"]
        own = [(peer.checkpoint, peer.implementation) for peer in peers]
        if not problems.same("peers", own, [(entry["checkpoint"], entry["implementation"]) for entry in records]):
            return
        for peer, record in zip(peers, records, strict=True):
            for name in ("run_max_abs", "replay_max_abs", "budget_used"):
                where = f"peers {peer.checkpoint} {peer.implementation} {name}"
                problems.same_float(where, getattr(peer, name), record[name])


def _check_checkpoint(judged: JudgedCheckpoint, record: dict[str, Any], problems: Problems) -> None:
    where = f"checkpoint {judged.spec.id}"
    own = [(r.requirement.id, r.requirement.text) for r in judged.requirements]
    if own != [(r["id"], r["text"]) for r in record["requirements"]]:
        raise InvalidEvidenceError(f"{RESULTS} {where} requirements", f"{[key for key, _ in own]}", "others")
    for requirement, recorded in zip(judged.requirements, record["requirements"], strict=True):
        there = f"{where} requirement {recorded['id']}"
        for name in ("checked", "required", "verdict"):
            problems.same(f"{there} {name}", getattr(requirement, name), recorded[name])
        problems.same_findings(f"{there} findings", requirement.findings, recorded["findings"])
    for name in ("compared", "required", "ties", "verdict"):
        problems.same(f"{where} {name}", getattr(judged, name), record[name])
