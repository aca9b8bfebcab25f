"""Laws between cases: that none, of no implementation, is left out, and that every word follows from its numbers.

The captures of the laws' cases are not in a bundle, so how many parts were apart is the record's word.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bundle_verifier.case import Case
from bundle_verifier.checked import Problems
from bundle_verifier.checks import Finding
from bundle_verifier.evidence import Evidence
from bundle_verifier.judge import worst
from bundle_verifier.plan import NO_TRAITS, Plan, Required
from bundle_verifier.records import VERDICTS
from bundle_verifier.specs import Law

ROWS, MOST_TOKENS, GENERATED = 2, 6, 3
PAST_THE_LIMIT = "past-the-limit"


@dataclass(frozen=True)
class Pair:
    """A case that must give, at the positions, what the base gives there."""

    actual: Case
    positions: range


def check_laws(evidence: Evidence, problems: Problems) -> str:
    """The verdict."""
    recorded = evidence.results["laws"]
    expected = list(_rows(evidence))
    names = ("law", "implementation", "bound", "required")
    found = [tuple(record[name] for name in names) for record in recorded["numbers"]]
    problems.same("laws: how many rows", len(expected), len(found))
    verdicts, findings = [], []
    for row, key, record in zip(expected, found, recorded["numbers"], strict=False):
        where = f"laws {row[0]} of {row[1]}"
        problems.same(f"{where} {', '.join(names)}", row, key)
        verdict = _verdict(evidence, record)
        problems.same(f"{where} verdict", verdict, record["verdict"])
        verdicts.append(verdict)
        if verdict in ("fail", "error") and record["first"] is not None:
            findings.append(Finding(record["first"]["case"], record["first"]["tensor"], "invariant"))
    verdict = worst(VERDICTS, verdicts) or "incomplete"
    problems.same_findings("laws.findings", findings, recorded["findings"])
    problems.same("laws.verdict", verdict, recorded["verdict"])
    return verdict


def _rows(evidence: Evidence) -> Iterator[tuple[str, str, str, int]]:
    """Law, implementation, bound and how many parts there are to compare."""
    references = [f"{name}@f64" for name in evidence.references]
    base = base_case(evidence.plan)
    counts: dict[tuple[str, bool], int] = {}
    for label in [evidence.subject, *(name for name in references if name != evidence.subject)]:
        for law in [law for spec in evidence.specs for law in spec.laws]:
            if base is None or (law.subject_only and label != evidence.subject):
                continue
            bound = _bound(law, label)
            key = (law.id, bound == "replicas")
            if key not in counts:
                counts[key] = required_parts(evidence.plan, base, law.id, with_chosen=bound != "replicas")
            if counts[key] > 0:
                yield law.id, label, bound, counts[key]


def _bound(law: Law, label: str) -> str:
    if law.same_arithmetic or label == "rust@f32":
        return "bits"
    return "quorum" if label.endswith("@f64") else "replicas"


def base_case(plan: Plan) -> Case | None:
    vocabulary = plan.sizes.get("V", 0)
    tokens = min(MOST_TOKENS, plan.sizes.get("C", 0) - 2)
    if tokens < 2 or vocabulary < 2:
        return None
    rows = [[(7919 * row + 613 * i + 11) % vocabulary for i in range(tokens)] for row in range(ROWS)]
    return Case("law base", rows, False, (tokens,), GENERATED)


def required_parts(plan: Plan, base: Case, law: str, with_chosen: bool) -> int:
    if law == PAST_THE_LIMIT:
        return 1
    there = {(r.activation.name, r.layer, r.step) for r in plan.required(base, "f32", NO_TRAITS)}
    count = 0
    for pair in _pairs(plan, base, law):
        for required in plan.required(pair.actual, "f32", NO_TRAITS):
            chosen = required.activation.chosen and not with_chosen
            key = (required.activation.name, required.layer, None if required.step is None else 0)
            count += not chosen and key in there and _looked_at(required, pair, base)
    return count


def _pairs(plan: Plan, base: Case, law: str) -> Iterator[Pair]:
    """Only the shapes of the cases matter here, not their tokens."""
    t, rows = base.tokens, base.token_ids

    def pair(name: str, schedule: tuple[int, ...], positions: range, batch: int = ROWS, generate: int = 0) -> Pair:
        return Pair(Case(f"law {law} {name}", rows[:batch], False, schedule, generate), positions)

    match law:
        case "prefill-is-decodes":
            yield pair("decodes", (1,) * t, range(t))
        case "prefill-splits":
            yield from (pair(f"at {at}", (at, t - at), range(t)) for at in range(1, t))
        case "rows-are-independent":
            yield from (pair(f"row {row}", (t,), range(t)) for row in range(ROWS))
        case "batch-is-singles":
            yield from (pair(f"row {row}", (t,), range(t), batch=1) for row in range(ROWS))
        case "causality":
            yield from (pair(f"from {p}", (t,), range(p)) for p in range(1, t))
        case "generation-twice":
            yield pair("again", (t,), range(t), generate=GENERATED)
        case "growth-to-the-limit":
            yield pair("growth", (t,), range(0), batch=1, generate=plan.sizes["C"] + 1 - t)
        case other:
            raise ValueError(f"the specs declare the law {other}, which this verifier does not know")


def _looked_at(required: Required, pair: Pair, base: Case) -> bool:
    shape, actual = required.activation.shape, pair.actual
    if required.step is None:
        return "B" in shape and "N" in shape and actual.generate > 0 and base.generate > 0
    step, positions = actual.steps[required.step], pair.positions
    at_the_end = step.keys == base.tokens and len(positions) > 0 and positions[-1] == base.tokens - 1
    return (
        required.activation.steps == "every"
        and "B" in shape
        and ("S" in shape or "K" in shape or at_the_end)
        and any(step.past <= position < step.keys for position in positions)
    )


def _verdict(evidence: Evidence, record: dict[str, Any]) -> str:
    refused = _names(record["refusal"], evidence.plan.sizes.get("C", 0))
    unrefused = record["law"] == PAST_THE_LIMIT and record["compared"] > 0 and not refused
    if record["violations"] > 0 or record["first"] is not None or unrefused:
        return "fail" if record["implementation"] == evidence.subject else "error"
    return "pass" if record["compared"] == record["required"] else "incomplete"


def _names(text: str | None, number: int) -> bool:
    """Whether one of the runs of digits in the text is the number."""
    return text is not None and str(number) in re.split("[^0-9]+", text)
