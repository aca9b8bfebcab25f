"""The record of a tiny bundle, out of the verifier's own parts: what it must say if it is honest."""

import struct
from typing import Any

from bundle_verifier import determinism, faults, judge, laws
from bundle_verifier.assayed import Assayed, Comparison, Measurement, QuorumObservation
from bundle_verifier.assays import _required
from bundle_verifier.checks import JUDGED_OTHERWISE, Finding, unexpected
from bundle_verifier.comparisons import CaseComparer
from bundle_verifier.elements import Element
from bundle_verifier.evidence import Captures, Evidence, Outcome
from bundle_verifier.examination import Examiner
from bundle_verifier.found import Found, Numbers, numbers_of
from bundle_verifier.judge import JudgedCheckpoint
from bundle_verifier.judged import Judged
from bundle_verifier.peers import Peers, reservations
from bundle_verifier.plan import Required
from bundle_verifier.quorum import Quorum
from bundle_verifier.spelling import spelled
from bundle_verifier.statistics import Rule, Statistics, compare
from bundle_verifier.systematic import Systematic
from bundle_verifier.tasks import CHAINED, measures, pairs, tasks

Record = dict[str, Any]


def results(evidence: Evidence, keep: str, extent: str) -> tuple[Record, Record]:
    """results.json, and the assay of the only case."""
    author = _Author(evidence, keep, extent)
    return author.results(), author.assay()


class _Author:
    def __init__(self, evidence: Evidence, keep: str, extent: str) -> None:
        self.evidence, self.case, self.keep = evidence, evidence.cases[0], keep
        self.outcomes: list[Record] = []
        self.measured: list[Record] = []
        self.quorum: list[Record] = []
        with Captures(evidence, self.case) as captures:
            self.assayed = self._assayed(captures)
        start = evidence.results
        start |= {"incidents": [], "reservations": [], "checkpoints": [{"id": spec.id} for spec in evidence.specs]}
        start |= {"faults": self._faults(extent), "determinism": self._determinism(), "laws": self._laws()}

    def _assayed(self, captures: Captures) -> Assayed:
        evidence, case, assayed = self.evidence, self.case, Assayed(self.case)
        confidence = evidence.plan.confidence(evidence.cases)
        comparer = CaseComparer(evidence, case, captures, confidence)
        for task in tasks(evidence, case):
            found = comparer.outcome(task)
            assert found is not None
            statistics = found.statistics if isinstance(found, Judged) else found
            replicas = comparer.replicas if task.mode == CHAINED and not isinstance(found, Outcome) else None
            allowed = None if replicas is None else replicas.allowed
            assayed.comparisons.append(Comparison(case, task, numbers_of(statistics), allowed))
            self.outcomes.append(_outcome(statistics))
        for measure_ in measures(evidence, case):
            measured = comparer.measure(measure_)
            assert measured is not None
            assayed.measurements.append(Measurement(measure_, measured))
            side = evidence.side(measure_.label)
            entry = {"implementation": measure_.label, "required": _required(measure_.required), "mode": measure_.mode}
            self.measured.append({**entry, "outcome": _as_measured(captures, side, measure_.required, measured.found)})
        for pair in pairs(evidence, case):
            agreed = comparer.pair(pair)
            assert agreed is not None
            assayed.quorum.append(QuorumObservation(pair, agreed))
            name = {"step": pair.required.step, "activation": pair.required.plain}
            outcome = _as_measured(captures, pair.label, pair.required, agreed.found)
            self.quorum.append({"name": name, "between": pair.between, "outcome": outcome})
        assayed.unexpected = unexpected(evidence, case, captures)
        examiner = Examiner(evidence, case, captures, confidence)
        for spec in evidence.specs:
            for requirement in spec.requirements:
                if requirement.check not in JUDGED_OTHERWISE:
                    assayed.checks[spec.id, requirement.id] = examiner.examine(spec.id, requirement)
        for comparison in assayed.comparisons:
            judge.judge_comparison(evidence, comparison)
        judge.spread_taint(evidence, assayed)
        return assayed

    def results(self) -> Record:
        evidence, start = self.evidence, self.evidence.results
        quorum, peers = Quorum(evidence), Peers(evidence)
        well = all(c.verdict == "pass" for c in self.assayed.comparisons) and not self.assayed.unexpected
        well &= not any(e.findings for e in self.assayed.checks.values())
        quorum.add(self.assayed)
        peers.add(self.assayed)
        digest_only = [self.case.id] if self.keep == "digest" or (self.keep == "failing" and well) else []
        word = quorum.verdict()
        judged = [self._checkpoint(index, word) for index in range(len(evidence.specs.specs))]
        start["checkpoints"] = list(map(self._recorded_checkpoint, judged))
        start["peers"] = [
            {
                "checkpoint": peer.checkpoint,
                "implementation": peer.implementation,
                **{n: None if f.value is None else measure(f.value) for n, f in peer.figures().items()},
            }
            for peer in peers.in_order()
        ]
        start["reservations"] = reservations(evidence, judged)
        words = [*(checkpoint.verdict for checkpoint in judged), word]
        verdict, code = judge.run_verdict(evidence, [*words, *(start[k]["verdict"] for k in PARTS)])
        reported = {spec.id for spec in evidence.specs}
        return {
            **{name: start[name] for name in ("schema", "model", "architecture", "subject", "references", "cases")},
            "quorum": {
                "voices": quorum.voices(),
                **{"verdict": word, "compared": quorum.compared, "required": quorum.required},
                **{"used": measure(quorum.used), "worst": quorum.worst},
                "disagreement": quorum.disagreement and _finding(quorum.disagreement),
            },
            "checkpoints": start["checkpoints"],
            "first_divergence": judge.first_divergence([self.assayed], reported),
            "faults": start["faults"],
            "peers": start["peers"],
            "growth": [
                {
                    **{"case": row.case, "step": row.required.step, "name": row.required.plain},
                    "layer": row.required.layer,
                    "errors": [
                        {
                            "implementation": label,
                            "rmse": measure(rmse.or_zero.value),
                            "max_abs": measure(most.or_zero.value),
                        }
                        for label, rmse, most in row.errors
                    ],
                }
                for row in peers.rows
            ],
            **{name: start[name] for name in ("determinism", "laws", "incidents", "reservations")},
            **{"notes": [], "options": [], "tensors": {"keep": self.keep, "digest_only": digest_only}},
            **{"verdict": verdict, "exit_code": code},
        }

    def assay(self) -> Record:
        observations = [
            {
                "required": _required(c.task.required),
                "case": c.case.id,
                "mode": c.task.mode,
                "reference": c.task.reference,
                "outcome": outcome,
                "chained_allowed": None if c.chained_allowed is None else measure(c.chained_allowed),
            }
            for c, outcome in zip(self.assayed.comparisons, self.outcomes, strict=True)
        ]
        requirements = [
            {
                **{"spec": i, "requirement": j, "required": self.assayed.checks[spec.id, requirement.id].required},
                "examination": {
                    "checked": self.assayed.checks[spec.id, requirement.id].checked,
                    "findings": list(map(_finding, self.assayed.checks[spec.id, requirement.id].findings)),
                },
            }
            for i, spec in enumerate(self.evidence.specs)
            for j, requirement in enumerate(spec.requirements)
            if requirement.check not in JUDGED_OTHERWISE
        ]
        lists = {"observations": observations, "requirements": requirements, "unexpected": []}
        assay = {"case": self.case.id, **lists, "quorum": self.quorum, "measured": self.measured}
        return {"schema": "trialplate/assay/2.0", "assay": assay}

    def _checkpoint(self, index: int, quorum: str) -> JudgedCheckpoint:
        spec = self.evidence.specs.specs[index]
        own = [c for c in self.assayed.comparisons if c.task.required.spec == spec.id]
        requirements = [judge.judge_requirement(r, spec, [self.assayed]) for r in spec.requirements]
        required = judge.required_comparisons(self.evidence)[spec.id]
        judged = JudgedCheckpoint(spec, own, requirements, required)
        judge.judge_checkpoint(judged, quorum)
        return judged

    def _recorded_checkpoint(self, judged: JudgedCheckpoint) -> Record:
        outcomes = dict(zip(map(id, self.assayed.comparisons), self.outcomes, strict=True))
        return {
            **{"id": judged.spec.id, "name": judged.spec.name, "title": judged.spec.title, "verdict": judged.verdict},
            **{"compared": judged.compared, "required": judged.required, "ties": judged.ties},
            "comparisons": [_comparison(c, outcomes[id(c)]) for c in judged.comparisons],
            "requirements": [
                {
                    **{"id": r.requirement.id, "text": r.requirement.text},
                    **{"checked": r.checked, "required": r.required, "verdict": r.verdict},
                    "findings": list(map(_finding, r.findings)),
                }
                for r in judged.requirements
            ],
            "not_applicable": [],
        }

    def _faults(self, extent: str) -> Record:
        declared = [fault for spec in self.evidence.specs for fault in spec.faults]
        rows = [self._fault(fault) for fault in declared if extent == "all" or (extent == "fast" and fault.fast)]
        words = [row["word"] for row in rows]
        counts = {word: words.count(word) for word in ("killed", "equivalent", "not_exercised")}
        required = len(rows) - counts["equivalent"] - counts["not_exercised"]
        case = None if extent == "none" else self.case.id
        verdict = faults._verdict(extent, None, words)
        head = {"extent": extent, "case": case, "declared": len(declared), "required": required, **counts}
        return {**head, "problem": None, "verdict": verdict, "faults": rows}

    def _fault(self, fault: Any) -> Record:
        lacking = faults._lacking(self.evidence, self.case, fault)
        observation: Record | None = None
        if fault.equivalent:
            observation = {"id": fault.id, "changed": False, "killer": None, "refusals": {}, "verdict": "pass"}
        elif not lacking:
            killer = {"by": fault.by, "reason": fault.reasons[0], "tensor": None, "mode": None, "margin": None}
            observation = {"id": fault.id, "changed": True, "killer": {**killer, "message": "seen"}}
            observation |= {"refusals": {fault.by: "fail"}, "verdict": "fail"}
        word = faults._word(fault, lacking, observation)
        note = f"needs {' and '.join(lacking)}" if lacking else fault.equivalent
        head = {"id": fault.id, "checkpoint": fault.checkpoint, "what": fault.what, "by": fault.by}
        return {**head, "reasons": list(fault.reasons), "word": word, "note": note, "observation": observation}

    def _determinism(self) -> Record:
        entries = []
        for name, side in ((self.evidence.subject, "subject"), ("torch@f32", "torch@f32")):
            traits = determinism._traits(self.evidence, name)
            digest = determinism._digest(self.evidence, side, traits, [self.case])
            kinds = [(0, 1), (1, 2), (1, 2), (1, 2), (2, 1)]
            repeats = [{"process": process, "threads": threads, "sha256": digest} for process, threads in kinds]
            count = len(determinism._required(self.evidence, self.case, traits))
            head = {"implementation": name, "cases": [self.case.id], "repeats": repeats}
            entries.append({**head, "compared": count, "required": count, "first_difference": None})
        return {"verdict": "pass", "finding": None, "implementations": entries}

    def _laws(self) -> Record:
        rows = []
        for law, implementation, bound, required in laws._rows(self.evidence):
            head = {"law": law, "implementation": implementation, "bound": bound, "compared": required}
            numbers = {"required": required, "violations": 0, "max_abs": measure(0.0), "worst": None, "first": None}
            refusal = "the context limit is 8" if law == laws.PAST_THE_LIMIT else None
            rows.append({**head, **numbers, "refusal": refusal, "problem": None, "verdict": "pass"})
        return {"verdict": "pass", "findings": [], "numbers": rows}


PARTS = ("determinism", "faults", "laws")


def _as_measured(captures: Captures, side: str, required: Required, found: Found) -> Record:
    """The outcome of a comparison of which the numbers are kept that words and figures follow from."""
    actual = captures.fetch(side, required)
    if isinstance(actual, Outcome) or not isinstance(found, Numbers):
        return _outcome(actual if isinstance(actual, Outcome) else found)  # type: ignore[arg-type]
    outcome = _outcome(compare(actual, actual, Rule((0.0, 0.0))))
    numbers = {name: measure(getattr(found, name)) for name in ("max_abs", "rmse", "used")}
    outcome["statistics"] |= {**numbers, "violations": found.violations}
    if found.budget_used is not None:
        budget = {"used": measure(found.budget_used), "violations": found.budget_violations}
        outcome["statistics"]["budget"] = {**budget, "worst": None, "systematic": []}
    return outcome


def measure(value: float | None) -> str:
    assert value is not None
    return f"{spelled(value)}={struct.pack('>d', value).hex()}"


def _finding(finding: Finding) -> dict[str, str]:
    return {"case": finding.case, "tensor": finding.tensor, "reason": finding.reason, "message": "as measured"}


def _comparison(c: Comparison, outcome: Record) -> Record:
    required = c.task.required
    head = {"name": required.plain, "layer": required.layer, "step": required.step, "case": c.case.id}
    return {
        **{**head, "mode": c.task.mode, "reference": c.task.reference, "outcome": outcome},
        **{"verdict": c.verdict, "reason": c.reason},
        "chained_allowed": None if c.chained_allowed is None else measure(c.chained_allowed),
        "downstream": c.downstream,
    }


def _outcome(o: Statistics | Outcome) -> Record:
    if isinstance(o, Outcome):
        if o.kind == "missing":
            return {"kind": "missing", "side": o.side}
        if o.kind == "unreadable":
            return {"kind": "unreadable", "problem": "as found"}
        plain = [list(x) if isinstance(x, tuple) else x for x in (o.expected, o.found)]
        return {"kind": o.kind, "expected": plain[0], "found": plain[1], "side": o.side}
    statistics: Record = {"elements": o.elements, "violations": o.violations, "non_finite": o.non_finite}
    statistics |= {name: measure(getattr(o, name)) for name in ("max_abs", "mean_abs", "max_rel", "rmse")}
    statistics |= {"cosine": None if o.cosine is None else measure(o.cosine), "max_ulp": o.max_ulp}
    statistics |= {"used": measure(o.used), "range": o.range and list(map(measure, o.range)), "buckets": o.buckets}
    statistics |= {"worst": list(map(_element, o.worst)), "ties": o.ties, "budget": None}
    if o.budget is not None:
        worst = None if o.budget.worst is None else _element(o.budget.worst)
        statistics["budget"] = {"used": measure(o.budget.used), "violations": o.budget.violations, "worst": worst}
        statistics["budget"]["systematic"] = list(map(_systematic, o.budget.systematic))
    return {"kind": "compared", "shape": list(o.shape), "statistics": statistics}


def _element(e: Element) -> Record:
    values = {name: measure(getattr(e, name)) for name in ("actual", "expected", "error", "allowed")}
    return {"index": list(e.index), **values}


def _systematic(s: Systematic) -> Record:
    names = ("scale", "scale_allowed", "offset", "offset_allowed", "used")
    paired = {"paired": True} if s.paired else {}
    return {"axis": s.axis, **paired, "index": s.index, **{name: measure(getattr(s, name)) for name in names}}
