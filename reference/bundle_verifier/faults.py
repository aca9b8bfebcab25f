"""Declared faults: that each of the extent is told of, and that every word follows from what was observed.

The captures of faults are not in a bundle, so an observation is the record's word.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from bundle_verifier.case import Case
from bundle_verifier.checked import Problems
from bundle_verifier.evidence import Evidence
from bundle_verifier.specs import Fault

BAD = ("idle", "matters", "other_reason", "elsewhere", "survived")
PASSED = ("pass", "conditional")
Met = Callable[[Evidence, Case], bool]


def _size(evidence: Evidence, symbol: str) -> int:
    return evidence.plan.sizes.get(symbol, 0)


def _power_of_4(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0 and number.bit_length() % 2 == 1


def _rows(case: Case) -> int:
    """Of the longest step."""
    return case.batch * max(case.schedule)


NEEDS: dict[str, tuple[Met, str]] = {
    "layers": (lambda e, c: e.plan.layers > 1, "a second layer"),
    "heads": (lambda e, c: _size(e, "H") > 1, "a second head"),
    "batch": (lambda e, c: any(a != b for a, b in pairwise(c.token_ids)), "a second row that differs"),
    "tokens": (lambda e, c: c.schedule[0] > 1, "a first step of several tokens"),
    "decode": (lambda e, c: len(c.schedule) > 1, "a second step"),
    "generation": (lambda e, c: c.generate > 0, "generated tokens"),
    "room": (lambda e, c: c.tokens < _size(e, "C"), "unused cache slots"),
    "rounded-scale": (lambda e, c: not _power_of_4(_size(e, "Dh")), "a head dimension that is no power of four"),
    "many-elements": (
        lambda e, c: _rows(c) >= 8 and _rows(c) * _size(e, "D") >= 512,
        "enough elements to tell a few roundings from rounding",
    ),
}


def check_faults(evidence: Evidence, problems: Problems) -> str:
    """The verdict."""
    recorded = evidence.results["faults"]
    extent = recorded["extent"]
    case = _case(evidence) if extent != "none" else None
    problems.same("faults.case", case and case.id, recorded["case"])
    reported = {checkpoint["id"] for checkpoint in evidence.results["checkpoints"]}
    declared = [fault for spec in evidence.specs if spec.id in reported for fault in spec.faults]
    faults = [fault for fault in declared if extent == "all" or (extent == "fast" and fault.fast)]
    problems.same("faults: how many", len(faults), len(recorded["faults"]))
    words: list[str] = []
    for fault, record in zip(faults, recorded["faults"], strict=False):
        words.append(_check_row(evidence, case, fault, record, problems))
    counts = {word: words.count(word) for word in ("killed", "equivalent", "not_exercised")}
    required = len(faults) - counts["not_exercised"] - counts["equivalent"]
    for name, count in {"declared": len(declared), "required": required, **counts}.items():
        problems.same(f"faults.{name}", count, recorded[name])
    verdict = _verdict(extent, recorded["problem"], words)
    problems.same("faults.verdict", verdict, recorded["verdict"])
    return verdict


def _case(evidence: Evidence) -> Case | None:
    """The one that meets most needs, of those the smallest, of those the first."""

    def rank(case: Case) -> tuple[int, int]:
        met = sum(holds(evidence, case) for holds, _ in NEEDS.values())
        return -met, case.batch * (case.tokens + case.generate)

    return min(evidence.cases, key=rank, default=None)


def _lacking(evidence: Evidence, case: Case | None, fault: Fault) -> list[str]:
    needs = [NEEDS[need] for need in fault.needs]
    return [words for holds, words in needs if case is None or not holds(evidence, case)]


def _check_row(evidence: Evidence, case: Case | None, fault: Fault, record: dict[str, Any], problems: Problems) -> str:
    lacking = _lacking(evidence, case, fault)
    word = _word(fault, lacking, record["observation"])
    expected = {
        "id": fault.id,
        "checkpoint": fault.checkpoint,
        "what": fault.what,
        "by": fault.by,
        "reasons": list(fault.reasons),
        "word": word,
        "note": f"needs {' and '.join(lacking)}" if lacking else fault.equivalent,
    }
    for name, value in expected.items():
        problems.same(f"faults {fault.id} {name}", value, record[name])
    if record["observation"] is not None:
        problems.same(f"faults {fault.id} observation.id", fault.id, record["observation"]["id"])
    return word


def _word(fault: Fault, lacking: list[str], observation: dict[str, Any] | None) -> str:
    if lacking:
        return "not_exercised"
    if observation is None:
        return "missing"
    changed, killer = observation["changed"], observation["killer"]
    if fault.equivalent is not None:
        return "matters" if changed or killer is not None else "equivalent"
    if not changed:
        return "idle"
    if killer is None:
        return "survived"
    if killer["by"] != fault.by:
        return "elsewhere"
    if killer["reason"] not in fault.reasons:
        return "other_reason"
    return "survived" if observation["verdict"] in PASSED else "killed"


def _verdict(extent: str, problem: str | None, words: list[str]) -> str:
    ladder = [
        (extent == "none", "conditional"),
        (problem is not None or "missing" in words, "incomplete"),
        (any(word in BAD for word in words), "fail"),
        ("killed" in words, "pass"),
    ]
    return next((verdict for holds, verdict in ladder if holds), "incomplete")
