"""The checkpoints of the record, and whether each word and count of theirs is the one that follows."""

import math
from collections.abc import Iterator
from typing import Any

from bundle_verifier import judge
from bundle_verifier.agreement import SUMS, near, same
from bundle_verifier.assayed import Assayed
from bundle_verifier.checked import RESULTS, Problems, recorded_finding
from bundle_verifier.evidence import Evidence
from bundle_verifier.judge import JudgedCheckpoint
from bundle_verifier.peers import Figure, Peer, Peers, Row, reservations
from bundle_verifier.problem import InvalidEvidenceError
from bundle_verifier.quorum import Quorum
from bundle_verifier.specs import Spec
from bundle_verifier.spelling import measured


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

    def check(self, assayed: list[Assayed], peers: Peers, quorum: str, problems: Problems) -> list[str]:
        """The verdicts of the checkpoints."""
        required = judge.required_comparisons(self._evidence)
        checkpoints = [self._judged(spec, assayed, required[spec.id], quorum) for spec in self.specs]
        for judged, record in zip(checkpoints, self._results["checkpoints"], strict=True):
            _check_checkpoint(judged, record, problems)
        divergence = judge.first_divergence(assayed, self._ids)
        problems.same("first_divergence", divergence, self._results["first_divergence"])
        if not peers.unknown:
            self._check_peers(peers.in_order(), problems)
            self._check_growth(peers.rows, problems)
        if not problems:
            expected = reservations(self._evidence, checkpoints)
            problems.same("reservations", expected, self._results["reservations"])
        return [judged.verdict for judged in checkpoints]

    def check_quorum(self, quorum: Quorum, problems: Problems) -> str:
        """The verdict. What only the model could tell is the record's word where none is at hand."""
        record = self._results["quorum"]
        problems.same("quorum.voices", quorum.voices(), record["voices"])
        problems.same("quorum.required", quorum.required, record["required"])
        if quorum.unknown:
            quorum.compared = record["compared"]
            quorum.disagreement = quorum.disagreement or (
                record["disagreement"] and recorded_finding(record["disagreement"])
            )
        else:
            problems.same("quorum.compared", quorum.compared, record["compared"])
            self._check_share(quorum, record, problems)
        problems.same_finding("quorum.disagreement", quorum.disagreement, record["disagreement"])
        verdict = quorum.verdict()
        problems.same("quorum.verdict", verdict, record["verdict"])
        return verdict

    def _check_share(self, quorum: Quorum, record: dict[str, Any], problems: Problems) -> None:
        """The largest share, and where it is: a place that takes as much, but for what another order makes of it."""
        share = measured(record["used"])
        if _apart(quorum.used, share) > quorum.apart and not same(quorum.used, share):
            problems.same_float("quorum.used", quorum.used, record["used"])
        there = record["worst"]
        least = -1.0 if there is None else quorum.may_be_worst.get(there, -1.0)
        if (share == 0.0) != (there is None) or (there is not None and there != quorum.worst and not least >= share):
            problems.same("quorum.worst", quorum.worst, there)

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
            for name, figure in peer.figures().items():
                _check_figure(f"peers {peer.checkpoint} {peer.implementation} {name}", figure, record[name], problems)

    def _check_growth(self, rows: list[Row], problems: Problems) -> None:
        records = self._results["growth"]
        if not problems.same("growth: how many rows", len(rows), len(records)):
            return
        for row, record in zip(rows, records, strict=True):
            required = row.required
            place = (row.case, required.step, required.plain, required.layer, [label for label, *_ in row.errors])
            labels = [error["implementation"] for error in record["errors"]]
            said = (record["case"], record["step"], record["name"], record["layer"], labels)
            if not problems.same("growth", place, said):
                return
            for (label, rmse, most), error in zip(row.errors, record["errors"], strict=True):
                where = f"growth {row.case} {required.tensor} {label}"
                _check_figure(f"{where} rmse", rmse, error["rmse"], problems)
                _check_figure(f"{where} max_abs", most, error["max_abs"], problems)


def _check_figure(where: str, figure: Figure, text: str | None, problems: Problems) -> None:
    if figure.value is None or text is None:
        problems.same_float(where, figure.value, text)
        return
    recorded = measured(text)
    if not near(figure.value, recorded, SUMS) and not _apart(figure.value, recorded) <= figure.apart:
        problems.same_float(where, figure.value, text)


def _apart(a: float, b: float) -> float:
    return abs(a - b) if math.isfinite(a) and math.isfinite(b) else math.inf


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
