"""Words from numbers: the verdict of every comparison, requirement, checkpoint and of the run."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bundle_verifier.assayed import Assayed, Comparison
from bundle_verifier.checks import Finding
from bundle_verifier.evidence import Evidence, Outcome
from bundle_verifier.found import Numbers
from bundle_verifier.records import COMPARISON_VERDICTS, VERDICTS
from bundle_verifier.specs import Requirement, Spec

KEPT = 5
EXIT_CODES = {"pass": 0, "conditional": 0, "fail": 1, "blocked": 4, "incomplete": 4, "error": 4}


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
        return sum(c.found.ties for c in self.comparisons if isinstance(c.found, Numbers))


def worst(order: list[str], words: Iterable[str]) -> str | None:
    found = list(words)
    return max(found, key=order.index) if found else None


def judge_comparison(evidence: Evidence, comparison: Comparison) -> None:
    found = comparison.found
    if isinstance(found, Outcome):
        verdict, reason = _without_numbers(found)
    else:
        verdict, reason = _from_numbers(comparison, found, evidence.half)
    own_weights = evidence.materials["subject_weights"] is not None
    if own_weights and verdict == "fail" and comparison.task.required.activation.name.startswith("weights."):
        verdict = "pass"
    comparison.verdict, comparison.reason = verdict, reason


def _without_numbers(outcome: Outcome) -> tuple[str, str | None]:
    by_subject = outcome.side.startswith("subject")
    if outcome.kind == "missing":
        return ("missing" if by_subject else "incomplete"), "missing"
    return ("fail" if by_subject and outcome.mismatch else "error"), outcome.reason


def _from_numbers(comparison: Comparison, found: Numbers, half: bool) -> tuple[str, str | None]:
    activation, chained = comparison.task.required.activation, comparison.chained_allowed
    chained_fails = chained is not None and not found.rmse <= chained
    ladder = [
        (found.elements == 0, "incomplete", "empty"),
        (found.nan or (found.infinities > 0 and not (activation.masked and found.masked)), "fail", "non_finite"),
        (half and found.budget_violations > 0, "fail", "budget"),
        (half and chained_fails, "fail", "chained"),
        (found.violations > 0, "fail", "ceiling" if activation.rule == "classic" else "exact"),
        (found.budget_violations > 0, "fail", "budget"),
        (not all(used <= 1.0 for used in found.systematic), "fail", "systematic"),
        (chained_fails, "fail", "chained"),
        (found.ties > 0, "pass", "tie"),
    ]
    return next(((verdict, reason) for holds, verdict, reason in ladder if holds), ("pass", None))


def spread_taint(evidence: Evidence, assayed: Assayed) -> None:
    """What follows from something wrong is downstream: its verdict says nothing of itself."""
    plan, tainted, broken = evidence.plan, set[str](), set[str]()
    for comparison in assayed.comparisons:
        required = comparison.task.required
        if comparison.task.mode == "run":
            comparison.tainted = any(name in tainted for name in plan.inputs(required, assayed.case))
            if comparison.tainted or comparison.diverges:
                tainted.add(required.tensor)
        elif comparison.diverges:
            broken.add(required.tensor)
    if broken:
        replays = {c.task.required.tensor: c for c in assayed.comparisons if c.task.mode == "replay"}
        for comparison in replays.values():
            if comparison.task.required.activation.composite:
                comparison.tainted = bool(_parts(evidence, comparison, replays) & broken)


def _parts(evidence: Evidence, whole: Comparison, replays: dict[str, Comparison]) -> set[str]:
    """The replayed tensors that the composite computes on its way from its own inputs."""
    plan, required = evidence.plan, whole.task.required
    stops = set(plan.inputs(required, whole.case))
    pending = [required.tensor.replace("whole/", "", 1)]
    found: set[str] = set()
    while pending:
        name = pending.pop()
        if name not in found and name not in stops and name in replays:
            found.add(name)
            pending += plan.inputs(replays[name].task.required, whole.case)
    return found


def required_comparisons(evidence: Evidence) -> dict[str, int]:
    """By spec, over all cases and modes."""
    counts = dict.fromkeys((spec.id for spec in evidence.specs), 0)
    references, peers = len(evidence.references), len(evidence.peers)
    of_a_run = {"derived": 1, "tie": references, "exact": peers, "classic": peers + 1}
    for case in evidence.cases:
        for required in evidence.plan.required(case, "run", "f32", evidence.counted_traits):
            activation = required.activation
            once = evidence.half and activation.kind == "float" and activation.rule in ("classic", "exact")
            counts[required.spec] += 1 if once else of_a_run[activation.rule]
        for required in evidence.plan.required(case, "replay", "f32", evidence.counted_traits):
            counts[required.spec] += 1
    return counts


def judge_requirement(requirement: Requirement, spec: Spec, assayed: list[Assayed]) -> JudgedRequirement:
    if requirement.check == "agreement":
        return _judge_agreement(requirement, spec, assayed)
    if requirement.check == "nothing-unexpected":
        findings = [finding for case in assayed for finding in case.unexpected]
        verdict = "fail" if findings else "pass"
        return JudgedRequirement(requirement, len(assayed), len(assayed), verdict, findings[:KEPT])
    examined = [case.checks[spec.id, requirement.id] for case in assayed]
    findings = [finding for examination in examined for finding in examination.findings]
    checked, required = sum(e.checked for e in examined), sum(e.required for e in examined)
    return JudgedRequirement(requirement, checked, required, _of_findings(requirement, findings), findings[:KEPT])


def _judge_agreement(requirement: Requirement, spec: Spec, assayed: list[Assayed]) -> JudgedRequirement:
    concerned = [
        c
        for case in assayed
        for c in case.comparisons
        if c.task.required.spec == spec.id and c.task.required.activation.name in requirement.of
    ]
    own = [c.verdict for c in concerned if not c.downstream]
    verdict = worst(COMPARISON_VERDICTS, own) or ("incomplete" if concerned else "pass")
    findings = [
        Finding(c.case.id, c.task.required.tensor, c.reason or "unreadable") for c in concerned if c.verdict != "pass"
    ]
    checked = sum(c.compared for c in concerned)
    return JudgedRequirement(requirement, checked, len(concerned), verdict, findings[:KEPT])


def _of_findings(requirement: Requirement, findings: list[Finding]) -> str:
    """The verdict of a check from all of its findings, of which the first are kept."""
    reasons = {finding.reason for finding in findings}
    if not reasons or requirement.check == "plausible-range":
        return "pass"
    if reasons == {"missing"}:
        return "missing"
    return "error" if reasons <= {"missing", "unreadable"} else "fail"


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


def run_verdict(evidence: Evidence, words: list[str]) -> tuple[str, int]:
    """`words`: of the checkpoints, quorum, determinism, faults and laws."""
    results = evidence.results
    words = [*words]
    if not results["checkpoints"] or not evidence.cases or not evidence.references:
        words.append("incomplete")
    if results["incidents"]:
        words.append("error")
    if results["reservations"]:
        words.append("conditional")
    verdict = worst(VERDICTS, words) or "incomplete"
    return verdict, EXIT_CODES[verdict]


def first_divergence(assayed: list[Assayed], reported: set[str]) -> dict[str, Any] | None:
    """In the first case that has one, the earliest by position in the run; in isolation before chained."""
    for case in assayed:
        diverging = [c for c in case.comparisons if c.task.required.spec in reported and c.diverges]
        if not diverging:
            continue
        order: dict[str, int] = {}
        for comparison in case.comparisons:
            if comparison.task.mode == "run":
                order.setdefault(comparison.task.required.tensor, len(order))
        first = min(diverging, key=lambda c: _position(c, order))
        required = first.task.required
        return {
            "checkpoint": required.spec,
            "activation": required.plain,
            "case": case.case.id,
            "step": required.step,
            "mode": first.task.mode,
            "reason": first.reason,
        }
    return None


def _position(comparison: Comparison, order: dict[str, int]) -> tuple[float, bool]:
    name = comparison.task.required.tensor.replace("whole/", "", 1)
    return order.get(name, math.inf), comparison.task.mode == "run"
