"""Words from numbers: the verdict of every comparison, requirement, checkpoint and of the run."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bundle_verifier.assayed import Assayed, Comparison
from bundle_verifier.checks import Finding
from bundle_verifier.evidence import Evidence, Outcome
from bundle_verifier.found import Numbers
from bundle_verifier.records import COMPARISON_VERDICTS, VERDICTS
from bundle_verifier.specs import Requirement, Spec
from bundle_verifier.tasks import ISOLATED

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
        verdict, reason = _from_numbers(comparison, found)
    own_weights = evidence.materials["subject_weights"] is not None
    if own_weights and verdict == "fail" and comparison.task.required.activation.name.startswith("weights."):
        verdict = "pass"
    comparison.verdict, comparison.reason = verdict, reason


def _without_numbers(outcome: Outcome) -> tuple[str, str | None]:
    by_subject = outcome.of_subject
    if outcome.kind == "missing":
        return ("missing" if by_subject else "incomplete"), "missing"
    return ("fail" if by_subject and outcome.mismatch else "error"), outcome.reason


def _from_numbers(comparison: Comparison, found: Numbers) -> tuple[str, str | None]:
    activation, chained = comparison.task.required.activation, comparison.chained_allowed
    isolated = comparison.task.mode == ISOLATED
    chained_fails = chained is not None and not found.rmse <= chained
    ladder = [
        (found.elements == 0, "incomplete", "empty"),
        (found.nan or (found.infinities > 0 and not (activation.masked and found.masked)), "fail", "non_finite"),
        (found.violations > 0 and isolated, "fail", "exact"),
        (found.budget_violations > 0, "fail", "budget"),
        (not all(used <= 1.0 for used in found.systematic), "fail", "systematic"),
        (chained_fails or found.violations > 0, "fail", "chained"),
        (found.ties > 0, "pass", "tie"),
    ]
    return next(((verdict, reason) for holds, verdict, reason in ladder if holds), ("pass", None))


UNUSABLE = ("shape", "dtype", "non_finite", "missing", "unreadable", "empty")


def spread_taint(evidence: Evidence, assayed: Assayed) -> None:
    """What follows from something wrong is downstream: its verdict says nothing of itself.

    From an input that is not there, not of its shape or not finite nothing follows; what only a chain can judge follows
    from all of the steps.
    """
    unusable = {c.task.required.tensor for c in assayed.comparisons if c.reason in UNUSABLE}
    diverging = any(c.diverges and c.task.required.step is not None for c in assayed.comparisons)
    for comparison in assayed.comparisons:
        if comparison.task.mode == ISOLATED:
            inputs = evidence.plan.inputs(comparison.task.required, assayed.case)
            comparison.tainted = any(name in unusable for name in inputs)
        else:
            comparison.tainted = diverging


def required_comparisons(evidence: Evidence) -> dict[str, int]:
    """By spec, over all cases."""
    counts = dict.fromkeys((spec.id for spec in evidence.specs), 0)
    for case in evidence.cases:
        for required in evidence.plan.required(case, "f32", evidence.counted_traits):
            exact = required.activation.judgement == "exact"
            counts[required.spec] += len(evidence.references) if exact else 1
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
    """The first in the order of comparisons, of the first case that has one."""
    for case in assayed:
        for comparison in case.comparisons:
            required = comparison.task.required
            if comparison.diverges and required.spec in reported:
                return {
                    "checkpoint": required.spec,
                    "activation": required.plain,
                    "case": case.case.id,
                    "step": required.step,
                    "mode": comparison.task.mode,
                    "reason": comparison.reason,
                }
    return None
