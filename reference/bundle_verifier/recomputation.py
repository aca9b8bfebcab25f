"""Every number again from the tensors, every word again from the numbers, beside what the record says."""

from collections.abc import Callable, Iterator
from typing import Any

from bundle_verifier import judge
from bundle_verifier.agreement import SUMS, differences, near
from bundle_verifier.assayed import Assayed, Comparison
from bundle_verifier.assays import RecordedAssay
from bundle_verifier.case import Case
from bundle_verifier.checked import RESULTS, Problems
from bundle_verifier.checks import JUDGED_OTHERWISE, unexpected
from bundle_verifier.comparisons import (
    CaseComparer,
    PeerObservation,
    Task,
    chained_allowed,
    peer_tasks,
    quorum_tasks,
    tasks,
    worst_peers,
)
from bundle_verifier.determinism import check_determinism
from bundle_verifier.evidence import Captures, Evidence, Outcome
from bundle_verifier.examination import Examiner
from bundle_verifier.faults import check_faults
from bundle_verifier.found import numbers_of, recorded_numbers
from bundle_verifier.half import HalfComparer
from bundle_verifier.laws import check_laws
from bundle_verifier.peers import Peers
from bundle_verifier.problem import InvalidEvidenceError, Problem
from bundle_verifier.quorum import Quorum, observe
from bundle_verifier.reported import Reported
from bundle_verifier.specs import Spec
from bundle_verifier.spelling import measured, spelled
from bundle_verifier.statistics import Statistics

Entry = dict[str, Any]


class Recomputation:
    def __init__(self, evidence: Evidence, progress: Callable[[str], None]) -> None:
        self._evidence, self._progress = evidence, progress
        self._reported = Reported(evidence)
        self._quorum, self._peers = Quorum(evidence), Peers(evidence)
        self._assayed: list[Assayed] = []
        self._without_tensors: list[str] = []  # cases that may be, where only failing ones are kept
        self.problems = Problems()
        self.counted = 0

    def run(self) -> None:
        confidence = self._evidence.plan.confidence(self._evidence.cases)
        for case in self._evidence.cases:
            self._progress(f"recomputing case {case.id}")
            self._case(case, confidence)
            if self.problems:
                return
        quorum = self._quorum.verdict(self._assayed)
        self._reported.check_quorum(self._quorum, quorum, self.problems)
        words = self._reported.check(self._assayed, self._peers.in_order(), quorum, self.problems)
        words += [
            quorum,
            check_determinism(self._evidence, self.problems, self._progress),
            check_faults(self._evidence, self.problems),
            check_laws(self._evidence, self.problems),
        ]
        self._check_run(words)

    def _check_run(self, words: list[str]) -> None:
        results, problems = self._evidence.results, self.problems
        verdict, exit_code = judge.run_verdict(self._evidence, words)
        problems.same("verdict", verdict, results["verdict"])
        problems.same("exit_code", exit_code, results["exit_code"])
        if results["tensors"]["keep"] == "failing":
            problems.same("tensors.digest_only", self._without_tensors, self._evidence.digest_only)

    def _case(self, case: Case, confidence: float) -> None:
        matched: list[tuple[Comparison, Entry]] = []
        entries = {spec.id: self._reported.comparisons(spec.id, case.id) for spec in self._evidence.specs}
        if case.id in self._evidence.digest_only:
            assayed = self._from_record(case, entries, matched)
        else:
            with Captures(self._evidence, case) as captures:
                assayed = self._from_tensors(case, captures, confidence, entries, matched)
        for spec in self._reported.specs:
            rest = next(entries[spec.id], None)
            if rest is not None:
                where = f"{RESULTS} checkpoint {spec.id} case {case.id}"
                raise InvalidEvidenceError(where, "no more comparisons", _where(rest))
        self.counted += len(matched)
        for comparison in assayed.comparisons:
            judge.judge_comparison(self._evidence, comparison)
        judge.spread_taint(self._evidence, assayed)
        for comparison, entry in matched:
            for name in ("verdict", "reason", "downstream"):
                self.problems.same(f"{_where(entry)} {name}", getattr(comparison, name), entry[name])
        self._add(assayed)

    def _add(self, assayed: Assayed) -> None:
        self._peers.add(assayed)
        self._quorum.add(assayed)
        self._assayed.append(assayed)
        incident = any(entry["case"] in (None, assayed.case.id) for entry in self._evidence.results["incidents"])
        if not incident and _all_is_well(assayed):
            self._without_tensors.append(assayed.case.id)
        assayed.peers, assayed.quorum = [], []

    def _from_record(
        self, case: Case, entries: dict[str, Iterator[Entry]], matched: list[tuple[Comparison, Entry]]
    ) -> Assayed:
        assay = RecordedAssay(self._evidence, case)
        for comparison, observation in assay.read():
            entry = self._entry(comparison.task, case, entries)
            if entry is not None:
                for name in ("outcome", "chained_allowed"):
                    self.problems.same(f"{_where(entry)} {name}", observation[name], entry[name])
                matched.append((comparison, _words(entry)))
            assay.assayed.comparisons.append(comparison)
        return assay.assayed

    def _from_tensors(
        self,
        case: Case,
        captures: Captures,
        confidence: float,
        entries: dict[str, Iterator[Entry]],
        matched: list[tuple[Comparison, Entry]],
    ) -> Assayed:
        evidence, assayed = self._evidence, Assayed(case)
        comparer = (HalfComparer if evidence.half else CaseComparer)(evidence, case, captures, confidence)
        assayed.peers = [
            PeerObservation(task, numbers_of(comparer.observe(task))) for task in peer_tasks(evidence, case)
        ]
        worst = worst_peers(evidence, assayed.peers)
        for task in tasks(evidence, case):
            entry = self._entry(task, case, entries)
            claimed = _claimed(entry)
            outcome, chained = comparer.outcome(task, worst, claimed)
            comparison = Comparison(case, task, numbers_of(outcome), chained)
            if not evidence.half:
                comparison.chained_allowed = chained_allowed(evidence, task, comparison.found, worst)
            if entry is not None:
                self._match(comparison, outcome, entry, claimed)
                matched.append((comparison, _words(entry)))
            assayed.comparisons.append(comparison)
        assayed.quorum = [observe(evidence, captures, task) for task in quorum_tasks(evidence, case)]
        assayed.unexpected = unexpected(evidence, case, captures)
        self._examine(assayed, captures)
        return assayed

    def _examine(self, assayed: Assayed, captures: Captures) -> None:
        """Of the checkpoints that are reported; of all where it depends on them whether tensors are kept."""
        examiner = Examiner(self._evidence, assayed.case, captures)
        every = self._evidence.results["tensors"]["keep"] == "failing"
        specs: list[Spec] = list(self._evidence.specs) if every else self._reported.specs
        for spec in specs:
            for requirement in spec.requirements:
                if requirement.check not in JUDGED_OTHERWISE:
                    assayed.checks[spec.id, requirement.id] = examiner.examine(spec.id, requirement)

    def _entry(self, task: Task, case: Case, entries: dict[str, Iterator[Entry]]) -> Entry | None:
        """The next recorded comparison of the task's checkpoint, which must be this one; None: not reported."""
        required = task.required
        if not self._reported.reports(required.spec):
            return None
        where = f"{RESULTS} checkpoint {required.spec} case {case.id}"
        expected = (required.plain, required.layer, required.step, task.mode, task.reference)
        entry = next(entries[required.spec], None)
        if entry is None:
            raise InvalidEvidenceError(where, f"a comparison {expected}", "none")
        found = tuple(entry[name] for name in ("name", "layer", "step", "mode", "reference"))
        if expected != found:
            raise InvalidEvidenceError(where, f"the comparison {expected}", f"{found}")
        return entry

    def _match(
        self, comparison: Comparison, outcome: Statistics | Outcome, entry: Entry, claimed: float | None
    ) -> None:
        found = differences(outcome, entry["outcome"])
        own = comparison.chained_allowed
        if own is None or claimed is None or not near(own, claimed, SUMS):
            if own is not claimed:
                found.append(("chained_allowed", "null" if own is None else spelled(own), f"{claimed}"))
        else:
            comparison.chained_allowed = claimed
        for name, expected, said in found:
            where = f"{RESULTS} {_where(entry)} {name}"
            self.problems.append(Problem(where, f"{expected}, from the tensors", said))
        if not found:
            comparison.found = recorded_numbers(entry["outcome"])


def _claimed(entry: Entry | None) -> float | None:
    text = None if entry is None else entry["chained_allowed"]
    return None if text is None else measured(text)


def _words(entry: Entry) -> Entry:
    """Without the numbers, which have been looked at."""
    return {name: value for name, value in entry.items() if name != "outcome"}


def _all_is_well(assayed: Assayed) -> bool:
    return (
        all(comparison.verdict == "pass" for comparison in assayed.comparisons)
        and not any(examination.findings for examination in assayed.checks.values())
        and not assayed.unexpected
        and not any(observation.disagrees for observation in assayed.quorum)
    )


def _where(record: Entry) -> str:
    step = "" if record["step"] is None else f" step {record['step']}"
    return f"{record['name']}{step} of {record['case']}, {record['mode']} with {record['reference']}:"
