"""The rooms of a verification in their order; what one of them finds wrong ends the walk."""

from pathlib import Path
from typing import Any

from bundle_verifier import records
from bundle_verifier.bag import Bag
from bundle_verifier.evidence import SUFFIXES, Evidence, file_name, open_capture
from bundle_verifier.law import Case, Law, read_law
from bundle_verifier.plan import Plan
from bundle_verifier.problem import InvalidEvidenceError
from bundle_verifier.schema import read_record

LARGEST_RECORD = 2 << 30
REPORTS = ["data/junit.xml", "data/report.html", "data/report.md"]
RESULTS, MATERIALS = "data/results.json", "data/materials.json"
DIRTY = "the work tree has uncommitted changes"


def read_records(bag: Bag, specs: Path) -> Evidence:
    """results.json, materials.json and the cases, each in its one spelling; the specs are those of `specs/<family>`."""
    results = _record(bag, RESULTS, records.RESULTS)
    materials = _record(bag, MATERIALS, records.MATERIALS)
    _check_reservation(results, materials)
    law = _law(specs, results["architecture"]["family"])
    plan = Plan(law, results["architecture"], results["cases"])
    seen: set[str] = set()
    cases: list[Case] = []
    for summary in results["cases"]:
        if summary["id"] in seen:
            raise InvalidEvidenceError(f"{RESULTS} cases", "every case once", f"{summary['id']} twice")
        seen.add(summary["id"])
        cases.append(_case(bag, plan, summary))
    return Evidence(bag, law, plan, results, materials, cases)


def check_payload(evidence: Evidence) -> None:
    """Every file below data/ is called for, and every one that is called for is there, captures excepted."""
    needed = {RESULTS, MATERIALS, *REPORTS}
    needed |= {f"data/spec/{name}" for name in evidence.law.files}
    needed |= {_case_path(case.id) for case in evidence.cases}
    allowed = {
        f"data/captures/{folder}/{file_name(case.id)}{suffix}"
        for folder in evidence.folders()
        for case in evidence.cases
        for suffix in SUFFIXES.values()
    }
    present = set(evidence.bag.payload())
    for path in sorted(needed - present):
        raise InvalidEvidenceError(path, "the file, which every bundle of this run has", "none")
    for path in sorted(present - needed - allowed):
        raise InvalidEvidenceError(path, "only files that specs, cases and implementations call for", "one more")
    for path in sorted(present & allowed):
        open_capture(evidence, path).close()


def check_specs(evidence: Evidence) -> None:
    for name, expected in evidence.law.files.items():
        path = f"data/spec/{name}"
        if evidence.bag.sizes[path] != len(expected) or evidence.bag.read(path, len(expected)) != expected:
            raise InvalidEvidenceError(path, "the verifier's own spec, byte for byte", "another one")
    if evidence.materials["specs"] != evidence.law.digest():
        raise InvalidEvidenceError(f"{MATERIALS} specs", evidence.law.digest(), evidence.materials["specs"])


def _record(bag: Bag, path: str, kind: Any) -> Any:
    if path not in bag.sizes:
        raise InvalidEvidenceError(path, "the record", "none")
    return read_record(path, bag.read(path, LARGEST_RECORD), kind)


def _check_reservation(results: dict[str, Any], materials: dict[str, Any]) -> None:
    reserved = {"checkpoint": None, "message": DIRTY} in results["reservations"]
    if materials["git"] and materials["git"]["dirty"] and not reserved:
        raise InvalidEvidenceError(f"{RESULTS} reservations", f"`{DIRTY}`, as {MATERIALS} says", "none")


def _law(specs: Path, family: str) -> Law:
    if not (specs / family).is_dir():
        raise InvalidEvidenceError(f"{RESULTS} architecture.family", "a family that the verifier has specs of", family)
    return read_law(specs / family)


def _case_path(case: str) -> str:
    return f"data/cases/{file_name(case)}.json"


def _case(bag: Bag, plan: Plan, summary: dict[str, Any]) -> Case:
    path = _case_path(summary["id"])
    record = _record(bag, path, records.CASE)
    _check_sound(path, record, plan)
    case = Case(
        record["id"], record["token_ids"], record["texts"] is not None, tuple(record["schedule"]), record["generate"]
    )
    found = (case.id, case.batch, case.tokens, len(case.schedule), case.generate)
    expected = tuple(summary[name] for name in ("id", "batch", "tokens", "steps", "generate"))
    if found != expected:
        raise InvalidEvidenceError(
            path, f"id, batch, tokens, steps, generate {expected}, as the results say", f"{found}"
        )
    return case


def _check_sound(path: str, record: dict[str, Any], plan: Plan) -> None:
    rows, schedule, generate = record["token_ids"], record["schedule"], record["generate"]
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or lengths == {0}:
        raise InvalidEvidenceError(
            f"{path} token_ids", "rows of one length of at least 1", f"lengths {sorted(lengths)}"
        )
    (tokens,) = lengths
    for name in ("texts", "forced"):
        if record[name] is not None and len(record[name]) != len(rows):
            raise InvalidEvidenceError(f"{path} {name}", f"{len(rows)} entries", f"{len(record[name])}")
    if record["forced"] is not None:
        raise InvalidEvidenceError(f"{path} forced", "null, as in every bundle", "something")
    if min(schedule, default=0) < 1 or sum(schedule) != tokens:
        raise InvalidEvidenceError(f"{path} schedule", f"steps of at least 1 with the sum {tokens}", f"{schedule}")
    sizes = {symbol: plan.sizes.get(symbol, 0) for symbol in "VC"}
    if not all(0 <= token < sizes["V"] for row in rows for token in row):
        raise InvalidEvidenceError(f"{path} token_ids", f"ids from 0 to below {sizes['V']}", "another one")
    if tokens + max(generate, 1) - 1 > sizes["C"]:
        needed = tokens + max(generate, 1) - 1
        raise InvalidEvidenceError(path, f"at most {sizes['C']} positions, the context", f"{needed}")
