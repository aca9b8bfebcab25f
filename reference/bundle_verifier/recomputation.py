"""Every number again from the tensors, every word again from the numbers, beside what the record says."""

from collections.abc import Callable, Iterator
from typing import Any

from bundle_verifier import judge
from bundle_verifier.agreement import SUMS, differences, near
from bundle_verifier.assayed import Assayed, Comparison, Measurement, QuorumObservation
from bundle_verifier.assays import RecordedAssay
from bundle_verifier.case import Case
from bundle_verifier.checked import RESULTS, Problems
from bundle_verifier.checks import JUDGED_OTHERWISE, unexpected
from bundle_verifier.comparisons import CaseComparer, margins
from bundle_verifier.determinism import check_determinism
from bundle_verifier.evidence import Captures, Evidence, Outcome
from bundle_verifier.examination import Examiner
from bundle_verifier.faults import check_faults
from bundle_verifier.found import numbers_of, recorded_numbers
from bundle_verifier.judged import Judged
from bundle_verifier.laws import check_laws
from bundle_verifier.nearness import departures, is_unclear
from bundle_verifier.peers import Peers
from bundle_verifier.problem import InvalidEvidenceError, Problem
from bundle_verifier.quorum import Quorum
from bundle_verifier.reported import Reported
from bundle_verifier.specs import Spec
from bundle_verifier.spelling import measured, spelled
from bundle_verifier.tasks import CHAINED, Task, measures, pairs, tasks

Entry = dict[str, Any]
FACTOR = 4.0  # between what two sets of eight correct implementations say of a chain


class Recomputation:
    def __init__(self, evidence: Evidence, progress: Callable[[str], None]) -> None:
        self._evidence, self._progress = evidence, progress
        self._reported = Reported(evidence)
        self._quorum, self._peers = Quorum(evidence), Peers(evidence)
        self._assayed: list[Assayed] = []
        self._without_tensors: list[str] = []  # cases that may be, where only failing ones are kept
        self.problems = Problems()
        self.counted = 0
        self.recorded = 0  # comparisons that only a model could tell, and none is at hand
        self.unclear: list[str] = []

    def run(self) -> None:
        confidence = self._evidence.plan.confidence(self._evidence.cases)
        for case in self._evidence.cases:
            self._progress(f"recomputing case {case.id}")
            self._case(case, confidence)
            if self.problems:
                return
        quorum = self._reported.check_quorum(self._quorum, self.problems)
        self.unclear += [f"quorum {where}" for where in self._quorum.unclear]
        words = self._reported.check(self._assayed, self._peers, quorum, self.problems)
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
        entries = self._entries(case)
        if case.id in self._evidence.digest_only:
            assayed = self._from_record(case, entries, matched)
        else:
            if case.id in self._evidence.with_numbers:
                # Its numbers are the record's twice; what tensors alone tell is held to them all the same.
                self._from_record(case, self._entries(case), [])
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
            if comparison.unclear and comparison.reason in (None, "budget", "systematic", "chained"):
                self.unclear.append(_where(entry))
        self._add(assayed)

    def _entries(self, case: Case) -> dict[str, Iterator[Entry]]:
        return {spec.id: self._reported.comparisons(spec.id, case.id) for spec in self._evidence.specs}

    def _add(self, assayed: Assayed) -> None:
        self._peers.add(assayed)
        self._quorum.add(assayed)
        self._assayed.append(assayed)
        incident = any(entry["case"] in (None, assayed.case.id) for entry in self._evidence.results["incidents"])
        if not incident and _all_is_well(assayed):
            self._without_tensors.append(assayed.case.id)
        assayed.measurements, assayed.quorum = [], []

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
        comparer = CaseComparer(evidence, case, captures, confidence)
        for task in tasks(evidence, case):
            entry = self._entry(task, case, entries)
            comparison = self._compared(comparer, task, entry)
            if entry is not None:
                matched.append((comparison, _words(entry)))
            assayed.comparisons.append(comparison)
        assayed.measurements = [Measurement(task, comparer.measure(task)) for task in measures(evidence, case)]
        assayed.quorum = [QuorumObservation(task, comparer.pair(task)) for task in pairs(evidence, case)]
        assayed.unexpected = unexpected(evidence, case, captures)
        self._examine(assayed, captures, confidence)
        return assayed

    def _compared(self, comparer: CaseComparer, task: Task, entry: Entry | None) -> Comparison:
        """The comparison, its numbers those of the record once they have been found to match."""
        claimed = _claimed(entry)
        allowed = self._allowed(comparer, task, entry, claimed)
        found = comparer.outcome(task, claimed if allowed is not None else None)
        case = comparer.case
        if found is None:
            self.recorded += 1
            numbers = Outcome("missing", task.reference) if entry is None else recorded_numbers(entry["outcome"])
            return Comparison(case, task, numbers, claimed)
        statistics = found.statistics if isinstance(found, Judged) else found
        own = allowed if claimed is None else claimed
        chained = None if isinstance(found, Outcome) and found.of_subject else own
        comparison = Comparison(case, task, numbers_of(statistics), chained)
        if isinstance(found, Judged):
            comparison.apart, comparison.used_apart = margins(found)
            comparison.unclear = is_unclear(found) or self._hangs_on_replicas(comparer, found, allowed, claimed)
        if entry is not None:
            wrong = (
                departures(found, entry["outcome"])
                if isinstance(found, Judged)
                else differences(found, entry["outcome"])
            )
            for name, expected, said in wrong:
                where = f"{RESULTS} {_where(entry)} {name}"
                self.problems.append(Problem(where, f"{expected}, from the tensors", said))
            if not wrong:
                comparison.found = recorded_numbers(entry["outcome"])
                comparison.apart = comparison.used_apart = 0.0
        return comparison

    def _allowed(self, comparer: CaseComparer, task: Task, entry: Entry | None, claimed: float | None) -> float | None:
        """What this verifier's own replicas allow; what is claimed must be about that."""
        if task.mode != CHAINED or self._evidence.model is None:
            if claimed is not None and task.mode != CHAINED and entry is not None:
                self.problems.append(Problem(f"{RESULTS} {_where(entry)} chained_allowed", "null", spelled(claimed)))
            return None
        there = not isinstance(comparer.captures.fetch("subject", task.required), Outcome)
        own = comparer.replicas.allowed if there and comparer.replicas is not None else None
        if entry is None:
            return own
        if own is None or claimed is None:
            possible = own is None and claimed is None
        else:
            possible = near(own, claimed, SUMS) or own / FACTOR <= claimed <= own * FACTOR
        if not possible:
            expected = "null" if own is None else f"{own / FACTOR!r} to {own * FACTOR!r}, by own replicas"
            where = f"{RESULTS} {_where(entry)} chained_allowed"
            self.problems.append(Problem(where, expected, "null" if claimed is None else spelled(claimed)))
        return own

    def _hangs_on_replicas(
        self, comparer: CaseComparer, found: Judged, own: float | None, claimed: float | None
    ) -> bool:
        """Whether the word would be another one by this verifier's own replicas, or in another order of summation."""
        if own is None:
            return False
        intervals, words = found.intervals(), set()
        for allowed in (own, own if claimed is None else claimed):
            farthest = comparer.farthest(allowed, found.actual.size)
            for rmse, most in zip(intervals.rmse, intervals.max_abs, strict=True):
                words.add(rmse <= allowed and most <= farthest)
        return len(words) > 1

    def _examine(self, assayed: Assayed, captures: Captures, confidence: float) -> None:
        """Of the checkpoints that are reported; of all where it depends on them whether tensors are kept."""
        examiner = Examiner(self._evidence, assayed.case, captures, confidence)
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
