"""Every number again from the tensors, every word again from the numbers, beside what the record says."""

from collections.abc import Callable
from typing import Any

from bundle_verifier import judge
from bundle_verifier.agreement import SUMS, adopted, differences, near, same
from bundle_verifier.checks import CaseChecker, Finding
from bundle_verifier.comparisons import CaseComparer, Comparison
from bundle_verifier.evidence import Captures, Evidence, Outcome
from bundle_verifier.judge import JudgedCheckpoint, JudgedRequirement
from bundle_verifier.law import Case, Spec
from bundle_verifier.peers import Peer, Peers, reservations
from bundle_verifier.problem import InvalidEvidenceError, Problem
from bundle_verifier.quorum import Quorum
from bundle_verifier.schema import measured, spelled

RESULTS = "data/results.json"


class Recomputation:
    def __init__(self, evidence: Evidence, progress: Callable[[str], None]) -> None:
        self._evidence, self._progress = evidence, progress
        self._results = evidence.results
        self._quorum, self._peers = Quorum(evidence), Peers(evidence)
        self._comparisons: dict[str, list[Comparison]] = {}
        self._specs = self._reported_specs()
        self._requirements = {
            spec.id: [JudgedRequirement(requirement) for requirement in spec.requirements] for spec in self._specs
        }
        self._records = self._records_by_case()
        self.problems: list[Problem] = []
        self.counted = 0

    def run(self) -> None:
        confidence = self._evidence.plan.confidence(self._evidence.cases)
        for case in self._evidence.cases:
            with Captures(self._evidence, case) as captures:
                self._progress(f"recomputing case {case.id}")
                self._case(case, captures, confidence)
        checkpoints = [self._checkpoint(spec) for spec in self._specs]
        quorum = self._check_quorum()
        for judged, record in zip(checkpoints, self._results["checkpoints"], strict=True):
            judge.judge_checkpoint(judged, quorum)
            self._check_checkpoint(judged, record)
        divergence = judge.first_divergence(self._evidence, checkpoints)
        self._same("first_divergence", divergence, self._results["first_divergence"])
        peers = self._peers.in_order()
        self._check_peers(peers)
        expected = reservations(self._evidence, checkpoints, peers) if not self.problems else None
        if expected is not None:
            self._same("reservations", expected, self._results["reservations"])
        verdict, exit_code = judge.run_verdict(self._evidence, checkpoints, quorum)
        self._same("verdict", verdict, self._results["verdict"])
        self._same("exit_code", exit_code, self._results["exit_code"])

    def _reported_specs(self) -> list[Spec]:
        own = {spec.id: spec for spec in self._evidence.law.specs}
        ids = [record["id"] for record in self._results["checkpoints"]]
        if not set(ids) <= set(own) or ids != sorted(set(ids)):
            raise InvalidEvidenceError(f"{RESULTS} checkpoints", f"ids of {list(own)}, in ascending order", f"{ids}")
        for record in self._results["checkpoints"]:
            spec = own[record["id"]]
            if (record["name"], record["title"]) != (spec.name, spec.title):
                where = f"{RESULTS} checkpoint {spec.id}"
                raise InvalidEvidenceError(where, f"{spec.name}: {spec.title}", f"{record['name']}: {record['title']}")
        return [own[key] for key in ids]

    def _records_by_case(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """Recorded comparisons by checkpoint and case, which come in the order of the cases."""
        found: dict[tuple[str, str], list[dict[str, Any]]] = {}
        positions = {case.id: index for index, case in enumerate(self._evidence.cases)}
        for checkpoint in self._results["checkpoints"]:
            last = -1
            for index, record in enumerate(checkpoint["comparisons"]):
                position = positions.get(record["case"], -1)
                if position < last or position == -1:
                    where = f"{RESULTS} checkpoint {checkpoint['id']} comparison {index}"
                    raise InvalidEvidenceError(where, "cases of the results, in their order", record["case"])
                last = position
                found.setdefault((checkpoint["id"], record["case"]), []).append(record)
        return found

    def _case(self, case: Case, captures: Captures, confidence: float) -> None:
        comparisons, observations = CaseComparer(self._evidence, case, captures, confidence).comparisons()
        matched: list[tuple[Comparison, dict[str, Any]]] = []
        for spec in self._specs:
            own = [c for c in comparisons if c.required.activation.spec == spec.id]
            matched += self._match(spec, case, own)
        own_weights = self._evidence.materials["subject_weights"] is not None
        for comparison in comparisons:
            judge.judge_comparison(comparison, own_weights)
        judge.spread_taint(self._evidence, case, comparisons)
        for comparison, record in matched:
            for name in ("verdict", "reason", "downstream"):
                self._same(f"{_where(record)} {name}", getattr(comparison, name), record[name])
        self._comparisons[case.id] = comparisons
        self._peers.add(comparisons, observations)
        self._quorum.add(case, captures)
        self._check_subject(case, captures)

    def _match(self, spec: Spec, case: Case, own: list[Comparison]) -> list[tuple[Comparison, dict[str, Any]]]:
        records = self._records.get((spec.id, case.id), [])
        expected, found = list(map(_identity, own)), list(map(_recorded_identity, records))
        if expected != found:
            first = next((i for i, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), None)
            where = f"{RESULTS} checkpoint {spec.id} case {case.id}"
            if first is None:
                raise InvalidEvidenceError(where, f"{len(expected)} comparisons", f"{len(found)}")
            raise InvalidEvidenceError(f"{where} comparison {first}", f"{expected[first]}", f"{found[first]}")
        for comparison, record in zip(own, records, strict=True):
            self._check_numbers(comparison, record)
        return list(zip(own, records, strict=True))

    def _check_numbers(self, comparison: Comparison, record: dict[str, Any]) -> None:
        self.counted += 1
        found = differences(comparison.outcome, record["outcome"])
        if not isinstance(comparison.outcome, Outcome) and not found:
            shape = list(comparison.required.shape)
            if shape != record["outcome"]["shape"]:
                found.append(("shape", f"{shape}", f"{record['outcome']['shape']}"))
        own, recorded = comparison.chained_allowed, record["chained_allowed"]
        if own is None or recorded is None:
            self._same(f"{_where(record)} chained_allowed", own, recorded)
        elif near(own, measured(recorded), SUMS):
            comparison.chained_allowed = measured(recorded)
        else:
            found.append(("chained_allowed", spelled(own), recorded))
        for name, expected, said in found:
            self.problems.append(Problem(f"{RESULTS} {_where(record)} {name}", f"{expected}, from the tensors", said))
        if not found:
            comparison.outcome = adopted(comparison.outcome, record["outcome"])

    def _check_subject(self, case: Case, captures: Captures) -> None:
        checker = CaseChecker(self._evidence, case, captures)
        for spec in self._specs:
            for judged in self._requirements[spec.id]:
                if judged.requirement.check != "agreement":
                    checked, required, findings = checker.check(spec.id, judged.requirement)
                    judged.checked += checked
                    judged.required += required
                    judged.findings += findings

    def _checkpoint(self, spec: Spec) -> JudgedCheckpoint:
        comparisons = [
            c
            for case in self._evidence.cases
            for c in self._comparisons[case.id]
            if c.required.activation.spec == spec.id
        ]
        requirements = []
        for judged in self._requirements[spec.id]:
            if judged.requirement.check == "agreement":
                judged = judge.judge_agreement(judged.requirement, comparisons)
            else:
                judge.judge_findings(judged)
            requirements.append(judged)
        required = judge.required_comparisons(self._evidence, spec)
        return JudgedCheckpoint(spec, comparisons, requirements, required)

    def _check_quorum(self) -> str:
        record = self._results["quorum"]
        verdict = self._quorum.verdict(judge.as_claimed(self._evidence, self._comparisons))
        for name in ("compared", "required", "worst"):
            self._same(f"quorum.{name}", getattr(self._quorum, name), record[name])
        if not same(self._quorum.used, measured(record["used"])):
            self._same("quorum.used", spelled(self._quorum.used), record["used"])
        disagreement = record["disagreement"]
        self._same("quorum.disagreement", self._quorum.disagreement, disagreement and _finding(disagreement))
        self._same("quorum.verdict", verdict, record["verdict"])
        return verdict

    def _check_checkpoint(self, judged: JudgedCheckpoint, record: dict[str, Any]) -> None:
        where = f"checkpoint {judged.spec.id}"
        own = [(r.requirement.id, r.requirement.text) for r in judged.requirements]
        if own != [(r["id"], r["text"]) for r in record["requirements"]]:
            raise InvalidEvidenceError(f"{RESULTS} {where} requirements", f"{[key for key, _ in own]}", "others")
        for requirement, recorded in zip(judged.requirements, record["requirements"], strict=True):
            there = f"{where} requirement {recorded['id']}"
            for name in ("checked", "required", "verdict"):
                self._same(f"{there} {name}", getattr(requirement, name), recorded[name])
            self._same(f"{there} findings", requirement.findings, list(map(_finding, recorded["findings"])))
        for name in ("compared", "required", "ties", "verdict"):
            self._same(f"{where} {name}", getattr(judged, name), record[name])

    def _check_peers(self, peers: list[Peer]) -> None:
        records = self._results["peers"]
        own = [(peer.checkpoint, peer.implementation) for peer in peers]
        found = [(record["checkpoint"], record["implementation"]) for record in records]
        self._same("peers", own, found)
        if own != found:
            return
        for peer, record in zip(peers, records, strict=True):
            for name in ("run_max_abs", "replay_max_abs", "budget_used"):
                value, recorded = getattr(peer, name), record[name]
                if value is None or recorded is None or not same(value, measured(recorded)):
                    where = f"peers {peer.checkpoint} {peer.implementation} {name}"
                    self._same(where, None if value is None else spelled(value), recorded)

    def _same(self, where: str, expected: object, found: object) -> None:
        if expected != found:
            self.problems.append(Problem(f"{RESULTS} {where}", f"{expected!r}", f"{found!r}"))


def _identity(c: Comparison) -> tuple[str, int | None, int | None, str, str]:
    return c.required.plain, c.required.layer, c.required.step, c.mode, c.reference


def _recorded_identity(record: dict[str, Any]) -> tuple[str, int | None, int | None, str, str]:
    return record["name"], record["layer"], record["step"], record["mode"], record["reference"]


def _where(record: dict[str, Any]) -> str:
    step = "" if record["step"] is None else f" step {record['step']}"
    return f"{record['name']}{step} of {record['case']}, {record['mode']} with {record['reference']}:"


def _finding(record: dict[str, Any]) -> Finding:
    return Finding(record["case"], record["tensor"], record["reason"])
