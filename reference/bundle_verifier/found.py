"""What is kept of a comparison's numbers: all that words follow from."""

from dataclasses import dataclass
from typing import Any

from bundle_verifier.evidence import Outcome
from bundle_verifier.spelling import measured
from bundle_verifier.statistics import Statistics


@dataclass(slots=True)
class Numbers:
    elements: int
    violations: int
    ties: int
    nan: bool
    infinities: int  # on either side
    masked: bool  # every infinity of the actual side is the expected one
    of_floats: bool
    max_abs: float
    rmse: float
    used: float
    budget_used: float | None
    budget_violations: int
    systematic: tuple[float, ...]  # what each takes


Found = Numbers | Outcome


def numbers_of(outcome: Statistics | Outcome) -> Found:
    """Of computed statistics."""
    if isinstance(outcome, Outcome):
        return outcome
    budget = outcome.budget
    return Numbers(
        elements=outcome.elements,
        violations=outcome.violations,
        ties=outcome.ties,
        **_set_aside(outcome.non_finite),
        of_floats=outcome.of_floats,
        max_abs=outcome.max_abs,
        rmse=outcome.rmse,
        used=outcome.used,
        budget_used=None if budget is None else budget.used,
        budget_violations=0 if budget is None else budget.violations,
        systematic=() if budget is None else tuple(systematic.used for systematic in budget.systematic),
    )


def recorded_numbers(record: dict[str, Any]) -> Found:
    """Of a recorded outcome: no verdict hangs on the last digit of a sum, where two may differ."""
    kind = record["kind"]
    if kind != "compared":
        expected, found = (_frozen(record.get(name, ())) for name in ("expected", "found"))
        return Outcome(kind, record.get("side", ""), expected, found)
    statistics = record["statistics"]
    budget = statistics["budget"]
    return Numbers(
        elements=statistics["elements"],
        violations=statistics["violations"],
        ties=statistics["ties"],
        **_set_aside(statistics["non_finite"]),
        of_floats=statistics["max_ulp"] is not None,
        max_abs=measured(statistics["max_abs"]),
        rmse=measured(statistics["rmse"]),
        used=measured(statistics["used"]),
        budget_used=None if budget is None else measured(budget["used"]),
        budget_violations=0 if budget is None else budget["violations"],
        systematic=() if budget is None else tuple(measured(entry["used"]) for entry in budget["systematic"]),
    )


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _set_aside(counts: dict[str, int]) -> dict[str, Any]:
    return {
        "nan": bool(counts["actual_nan"] or counts["expected_nan"]),
        "infinities": counts["actual_infinite"] + counts["expected_infinite"],
        "masked": counts["actual_infinite"] == counts["same_infinity"],
    }
