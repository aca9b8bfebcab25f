"""Words from numbers: the verdict of every comparison, requirement, checkpoint and of the run."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bundle_verifier.checks import Finding
from bundle_verifier.comparisons import Comparison
from bundle_verifier.evidence import Evidence, Outcome
from bundle_verifier.law import Case, Requirement, Spec
from bundle_verifier.records import COMPARISON_VERDICTS, VERDICTS

KEPT = 5


@dataclass
class JudgedRequirement:
    requirement: Requirement
    checked: int = 0
    required: int = 0
    verdict: str = ""
    findings: list[Finding] = field(default_factory=list)

    @property
    def warns(self) -> bool:
        return self.verdict == "pass" and any(finding.reason != "missing" for finding in self.findings)


@dataclass
class JudgedCheckpoint:
    spec: Spec
    comparisons: list[Comparison]
    requirements: list[JudgedRequirement]
    required: int
    verdict: str = ""

    @property
    def compared(self) -> int:
        return sum(comparison.compared for comparison in self.comparisons)

    @property
    def ties(self) -> int:
        return sum(c.outcome.ties for c in self.comparisons if not isinstance(c.outcome, Outcome))


def worst(order: list[str], words: Iterable[str]) -> str | None:
    found = list(words)
    return max(found, key=order.index) if found else None


def judge_comparison(comparison: Comparison, own_weights: bool) -> None:
    verdict, reason = _comparison(comparison)
    if own_weights and verdict == "fail" and comparison.required.activation.name.startswith("weights."):
        verdict = "pass"
    comparison.verdict, comparison.reason = verdict, reason


def _comparison(comparison: Comparison) -> tuple[str, str | None]:
    outcome = comparison.outcome
    if isinstance(outcome, Outcome):
        by_subject = outcome.side.startswith("subject")
        if outcome.kind == "missing":
            return ("missing" if by_subject else "incomplete"), "missing"
        return ("fail" if by_subject and outcome.kind != "unreadable" else "error"), outcome.reason
    counts = outcome.non_finite
    infinities = counts["actual_infinite"] + counts["expected_infinite"]
    masked = comparison.required.activation.masked and counts["actual_infinite"] == counts["same_infinity"]
    chained = comparison.chained_allowed
    budget = outcome.budget
    if outcome.elements == 0:
        return "incomplete", "empty"
    if counts["actual_nan"] or counts["expected_nan"] or (infinities and not masked):
        return "fail", "non_finite"
    if outcome.violations:
        return "fail", "ceiling" if comparison.required.activation.rule == "classic" else "exact"
    if budget is not None and budget.violations:
        return "fail", "budget"
    if budget is not None and not all(systematic.used <= 1.0 for systematic in budget.systematic):
        return "fail", "systematic"
    if chained is not None and not outcome.rmse <= chained:
        return "fail", "chained"
    return "pass", "tie" if outcome.ties else None


def spread_taint(evidence: Evidence, case: Case, comparisons: list[Comparison]) -> None:
    """What follows from something wrong is downstream: its verdict says nothing of itself."""
    plan, tainted, broken = evidence.plan, set[str](), set[str]()
    for comparison in comparisons:
        if comparison.mode == "run":
            comparison.tainted = any(name in tainted for name in plan.inputs(comparison.required, case))
            if comparison.tainted or comparison.diverges:
                tainted.add(comparison.required.tensor)
        elif comparison.diverges:
            broken.add(comparison.required.tensor)
    replays = {c.required.tensor: c for c in comparisons if c.mode == "replay"}
    for comparison in replays.values():
        if comparison.required.activation.composite and broken:
            comparison.tainted = bool(_parts(evidence, case, comparison, replays) & broken)


def _parts(evidence: Evidence, case: Case, whole: Comparison, replays: dict[str, Comparison]) -> set[str]:
    """The replayed tensors that the composite computes on its way from its own inputs."""
    stops = set(evidence.plan.inputs(whole.required, case))
    pending = [whole.required.tensor.replace("whole/", "", 1)]
    found: set[str] = set()
    while pending:
        name = pending.pop()
        if name not in found and name not in stops and name in replays:
            found.add(name)
            pending += evidence.plan.inputs(replays[name].required, case)
    return found


def required_comparisons(evidence: Evidence, spec: Spec) -> int:
    count = 0
    for case in evidence.cases:
        for mode in ("run", "replay"):
            for required in evidence.plan.required(case, mode, "f32", evidence.counted_traits):
                if required.activation.spec == spec.id:
                    rules = {"derived": 1, "tie": len(evidence.references), "exact": len(evidence.peers)}
                    in_run = rules.get(required.activation.rule, len(evidence.peers) + 1)
                    count += 1 if mode == "replay" else in_run
    return count


def judge_agreement(requirement: Requirement, comparisons: list[Comparison]) -> JudgedRequirement:
    concerned = [c for c in comparisons if c.required.activation.name in requirement.of]
    own = [c.verdict for c in concerned if not c.downstream]
    verdict = worst(COMPARISON_VERDICTS, own) or ("incomplete" if concerned else "pass")
    findings = [
        Finding(c.case.id, c.required.tensor, c.reason or "unreadable") for c in concerned if c.verdict != "pass"
    ]
    checked = sum(c.compared for c in concerned)
    return JudgedRequirement(requirement, checked, len(concerned), verdict, findings[:KEPT])


def judge_findings(judged: JudgedRequirement) -> None:
    """The verdict of a check from all of its findings, of which the first are kept."""
    reasons = {finding.reason for finding in judged.findings}
    if not reasons or judged.requirement.check == "plausible-range":
        judged.verdict = "pass"
    elif reasons == {"missing"}:
        judged.verdict = "missing"
    elif reasons <= {"missing", "unreadable"}:
        judged.verdict = "error"
    else:
        judged.verdict = "fail"
    judged.findings = judged.findings[:KEPT]


def judge_checkpoint(judged: JudgedCheckpoint, quorum: str) -> None:
    words = {c.verdict for c in judged.comparisons if not c.downstream} | {r.verdict for r in judged.requirements}
    compared, required, number = judged.compared, judged.required, len(judged.comparisons)
    short = any(r.checked < r.required or r.verdict == "missing" for r in judged.requirements)
    ladder = [
        (quorum == "error", "error"),
        ("fail" in words, "fail"),
        ("error" in words, "error"),
        (required == 0 or compared < required or number != required, "incomplete"),
        (quorum == "incomplete" or short, "incomplete"),
        (any(c.downstream for c in judged.comparisons), "blocked"),
        (any(r.warns for r in judged.requirements), "conditional"),
    ]
    judged.verdict = next((word for holds, word in ladder if holds), "pass")


def as_claimed(evidence: Evidence, comparisons: dict[str, list[Comparison]]) -> bool:
    """Every reference judges in every case, nobody else does, and no two have one name."""
    names = evidence.references
    if len(set(names)) != len(names):
        return False
    for case in evidence.cases:
        labels = {c.reference for c in comparisons[case.id]} - {"itself"}
        known = {f"{name}@{precision}" for name in names for precision in ("f32", "f64")}
        judging = {label.rpartition("@")[0] for label in labels}
        if not labels <= known or judging != set(names):
            return False
    return True


def run_verdict(evidence: Evidence, checkpoints: list[JudgedCheckpoint], quorum: str) -> tuple[str, int]:
    results = evidence.results
    words = [checkpoint.verdict for checkpoint in checkpoints] or ["incomplete"]
    words.append(quorum)
    if results["incidents"]:
        words.append("error")
    if not evidence.cases or not evidence.references:
        words.append("incomplete")
    if results["reservations"]:
        words.append("conditional")
    verdict = worst(VERDICTS, words) or "incomplete"
    return verdict, {"pass": 0, "conditional": 0, "fail": 1}.get(verdict, 4)


def first_divergence(evidence: Evidence, checkpoints: list[JudgedCheckpoint]) -> dict[str, Any] | None:
    """In the first case that has one, the earliest by position in the run; in isolation before chained."""
    for case in evidence.cases:
        reported = [c for checkpoint in checkpoints for c in checkpoint.comparisons if c.case is case]
        diverging = [c for c in reported if c.diverges]
        if not diverging:
            continue
        order: dict[str, int] = {}
        for position, required in enumerate(evidence.plan.required(case, "run", "f32", evidence.traits)):
            order.setdefault(required.tensor, position)
        first = min(
            diverging,
            key=lambda c: (order.get(c.required.tensor.replace("whole/", "", 1), math.inf), c.mode == "run"),
        )
        required = first.required
        return {
            "checkpoint": required.activation.spec,
            "activation": required.plain,
            "case": case.id,
            "step": required.step,
            "mode": first.mode,
            "reason": first.reason,
        }
    return None
