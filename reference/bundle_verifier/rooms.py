"""The rooms before the recomputation: records, specs, payload; what one of them finds wrong ends the walk."""

from collections.abc import Callable
from typing import Any

from bundle_verifier import records
from bundle_verifier.assays import assay_path
from bundle_verifier.bag import Bag
from bundle_verifier.case import read_case
from bundle_verifier.evidence import SUFFIX, Evidence, file_name, open_capture
from bundle_verifier.model import FOLDER, check_model_files, files_of
from bundle_verifier.plan import Plan, check_extent
from bundle_verifier.problem import InvalidEvidenceError
from bundle_verifier.reader import read_record
from bundle_verifier.specs import Specs

LARGEST_RESULTS, LARGEST_RECORD, LARGEST_FILE = 256 << 20, 16 << 20, 64 << 20
REPORTS = ["data/junit.xml", "data/report.html", "data/report.md"]
SCHEMAS = [f"data/schema/{name}.json" for name in ("assay", "captures", "case", "materials", "results")]
RESULTS, MATERIALS, CAPTURES = "data/results.json", "data/materials.json", "data/captures.json"
DIFF, LARGEST_DIFF = "data/materials.diff", 8 << 20
DIRTY = "the work tree has uncommitted changes"

Choose = Callable[[dict[str, Any], dict[str, Any]], Specs]  # out of results and materials


def read_records(bag: Bag, choose: Choose) -> Evidence:
    """results.json, materials.json and the cases, each in its one spelling."""
    results = _record(bag, RESULTS, records.RESULTS, LARGEST_RESULTS)
    materials = _record(bag, MATERIALS, records.MATERIALS)
    _check_reservation(results, materials)
    _check_diff(bag, materials)
    check_model_files(materials)
    check_extent(results)
    specs = choose(results, materials)
    evidence = Evidence(bag, specs, Plan(specs, results["architecture"]), results, materials, [])
    evidence.cases.extend(_cases(evidence))
    _check_kept(evidence)
    return evidence


def check_payload(evidence: Evidence) -> None:
    """Every file below data/ is called for, and every one that is called for is there, captures excepted."""
    needed = {RESULTS, MATERIALS, CAPTURES, *SCHEMAS, *REPORTS}
    needed |= {_spec_path(name) for name in evidence.specs.files}
    needed |= _beside_materials(evidence.materials)
    needed |= {_case_path(case.id) for case in evidence.cases}
    needed |= {assay_path(case) for case in evidence.with_numbers}
    present = set(evidence.bag.payload())
    for path in sorted(needed - present):
        raise InvalidEvidenceError(path, "the file, which every bundle of this run has", "none")
    for path in [*REPORTS, *SCHEMAS]:
        if evidence.bag.sizes[path] > LARGEST_FILE:
            raise InvalidEvidenceError(path, f"at most {LARGEST_FILE} bytes", f"{evidence.bag.sizes[path]}")
    allowed = _capture_paths(evidence)
    for path in sorted(present - needed - set(allowed)):
        raise InvalidEvidenceError(path, "only files that specs, cases and implementations call for", "one more")
    captures = sorted(present & set(allowed))
    _check_captures(evidence, allowed, captures)
    for path in captures:
        open_capture(evidence, path).close()


def check_specs(evidence: Evidence) -> None:
    for name, expected in evidence.specs.files.items():
        path = _spec_path(name)
        if path not in evidence.bag.sizes:
            raise InvalidEvidenceError(path, "the verifier's own spec", "none")
        if evidence.bag.sizes[path] != len(expected) or evidence.bag.read(path, len(expected)) != expected:
            raise InvalidEvidenceError(path, "the verifier's own spec, byte for byte", "another one")
    if evidence.materials["specs"] != evidence.specs.digest():
        raise InvalidEvidenceError(f"{MATERIALS} specs", evidence.specs.digest(), evidence.materials["specs"])


def _spec_path(name: str) -> str:
    return f"data/spec/{file_name(name)}"


def _beside_materials(materials: dict[str, Any]) -> set[str]:
    model = {f"{FOLDER}/{file['name']}" for file in files_of(materials)} if materials["weights_in_bundle"] else set()
    diff = materials["diff"]["value"]
    return model | ({DIFF} if diff is not None and diff["in_bundle"] else set())


def check_model_in_bundle(evidence: Evidence) -> None:
    """The files of the model are those of the materials."""
    if not evidence.materials["weights_in_bundle"]:
        return
    for file in files_of(evidence.materials):
        path = f"{FOLDER}/{file['name']}"
        found = (evidence.bag.sizes[path], evidence.bag.digests[path])
        if found != (file["bytes"], file["sha256"]):
            expected = f"{file['bytes']} bytes, {file['sha256']}, as {MATERIALS} says"
            raise InvalidEvidenceError(path, expected, f"{found[0]} bytes, {found[1]}")


def _record(bag: Bag, path: str, kind: Any, most: int = LARGEST_RECORD) -> Any:
    if path not in bag.sizes:
        raise InvalidEvidenceError(path, "the record", "none")
    return read_record(path, bag.read(path, most), kind, bag.version)


def _check_reservation(results: dict[str, Any], materials: dict[str, Any]) -> None:
    reserved = {"checkpoint": None, "message": DIRTY} in results["reservations"]
    if (materials["git"] is None or materials["git"]["dirty"]) and not reserved:
        raise InvalidEvidenceError(f"{RESULTS} reservations", f"`{DIRTY}`, as {MATERIALS} says", "none")


def _check_diff(bag: Bag, materials: dict[str, Any]) -> None:
    diff, git = materials["diff"]["value"], materials["git"]
    if diff is None:
        return
    if git is None or not git["dirty"]:
        raise InvalidEvidenceError(f"{MATERIALS} diff", "none of a clean work tree", f"{diff['bytes']} bytes")
    if not diff["in_bundle"]:
        return
    if diff["bytes"] > LARGEST_DIFF:
        raise InvalidEvidenceError(f"{MATERIALS} diff", f"at most {LARGEST_DIFF} bytes", f"{diff['bytes']}")
    found = (bag.sizes.get(DIFF), bag.digests.get(DIFF))
    if found != (diff["bytes"], diff["sha256"]):
        raise InvalidEvidenceError(DIFF, f"{diff['bytes']} bytes, {diff['sha256']}", f"{found[0]} bytes, {found[1]}")


def _case_path(case: str) -> str:
    return f"data/cases/{file_name(case)}.json"


def _cases(evidence: Evidence) -> Any:
    seen: dict[str, str] = {}
    for summary in evidence.results["cases"]:
        path = _case_path(summary["id"])
        if path in seen:
            found = f"{seen[path]} and {summary['id']}"
            raise InvalidEvidenceError(f"{RESULTS} cases", f"a file of its own for each, {path}", found)
        seen[path] = summary["id"]
        yield read_case(path, _record(evidence.bag, path, records.CASE), summary, evidence.plan.sizes)


def _check_kept(evidence: Evidence) -> None:
    """Which cases may be without tensors; whether all of them passed is seen later."""
    keep, found = evidence.results["tensors"]["keep"], evidence.digest_only
    cases = [case.id for case in evidence.cases]
    expected = {"full": [], "digest": cases, "failing": [case for case in cases if case in found]}[keep]
    if found != expected:
        raise InvalidEvidenceError(f"{RESULTS} tensors.digest_only", f"{expected}, as {keep} says", f"{found}")


def _capture_paths(evidence: Evidence) -> dict[str, str]:
    """The case of every capture that may be there, by path."""
    return {
        f"data/captures/{folder}/{file_name(case.id)}{SUFFIX}": case.id
        for folder in evidence.folders
        for case in evidence.cases
    }


def _check_captures(evidence: Evidence, allowed: dict[str, str], present: list[str]) -> None:
    """captures.json lists what is here, and what is not because only its numbers are."""
    entries, bag = _record(evidence.bag, CAPTURES, records.CAPTURES)["captures"], evidence.bag
    paths = [entry["path"] for entry in entries]
    if paths != sorted(set(paths)) or not set(paths) <= set(allowed):
        found = next((b for a, b in zip(["", *paths], paths, strict=False) if b <= a or b not in allowed), "")
        raise InvalidEvidenceError(CAPTURES, "paths of captures in ascending order, each once", found)
    for entry in entries:
        path, expected = entry["path"], allowed[entry["path"]] not in evidence.digest_only
        if entry["stored"] != expected or expected != (path in bag.sizes):
            found = f"stored: {entry['stored']}, and {'there' if path in bag.sizes else 'not there'}"
            raise InvalidEvidenceError(f"{CAPTURES} {path}", f"stored: {expected}, and so it is", found)
        if expected and (bag.sizes[path], bag.digests[path]) != (entry["bytes"], entry["sha256"]):
            found = f"{entry['bytes']} bytes, {entry['sha256']}"
            raise InvalidEvidenceError(
                f"{CAPTURES} {path}", f"{bag.sizes[path]} bytes, {bag.digests[path]}, as it is here", found
            )
    for path in present:
        if path not in set(paths):
            raise InvalidEvidenceError(CAPTURES, f"an entry for {path}, which is here", "none")
