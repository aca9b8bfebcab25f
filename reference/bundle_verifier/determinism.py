"""Repeats: the first of each is computed from the captures of the bundle, the others left no tensors."""

import hashlib
from collections.abc import Callable
from typing import Any

from bundle_verifier.case import Case, tensor_name
from bundle_verifier.checked import Problems
from bundle_verifier.checks import Finding
from bundle_verifier.evidence import Captures, Evidence
from bundle_verifier.plan import Required, Traits

PROCESSES = {(1, 2): 3, (2, 1): 1}  # by process and threads, how many repeats at least


def check_determinism(evidence: Evidence, problems: Problems, progress: Callable[[str], None]) -> str:
    """The verdict."""
    recorded = evidence.results["determinism"]
    for entry in recorded["implementations"]:
        progress(f"repeats of {entry['implementation']}")
        _check_entry(evidence, entry, problems)
    own = [entry for entry in recorded["implementations"] if entry["implementation"] == evidence.subject]
    verdict, finding = "incomplete", None
    if len(own) == 1:
        verdict, finding = _verdict(evidence, own[0]), _finding(own[0]["first_difference"])
    problems.same("determinism.verdict", verdict, recorded["verdict"])
    problems.same_finding("determinism.finding", finding, recorded["finding"])
    return verdict


def _check_entry(evidence: Evidence, entry: dict[str, Any], problems: Problems) -> None:
    name, where = entry["implementation"], f"determinism {entry['implementation']}"
    side = "subject" if name == evidence.subject else name
    if side != "subject" and name not in [f"{reference}@f32" for reference in evidence.references]:
        problems.same(f"{where} implementation", "the subject, or a reference at f32", name)
        return
    traits = _traits(evidence, name)
    repeated = [case for case in evidence.cases if case.id in entry["cases"]]
    counted = evidence.cases if side == "subject" else repeated
    problems.same(
        f"{where} required", sum(len(_required(evidence, case, traits)) for case in counted), entry["required"]
    )
    if not entry["repeats"]:
        problems.same(f"{where} repeats", "one at least", "none")
    elif not set(entry["cases"]) & set(evidence.digest_only):
        digest = _digest(evidence, side, traits, repeated)
        problems.same(f"{where} repeats[0].sha256, of its tensors,", digest, entry["repeats"][0]["sha256"])


def _traits(evidence: Evidence, name: str) -> Traits:
    if name == evidence.subject:
        return evidence.counted_traits
    return Traits(name.split("@", 1)[0] == "rust", evidence.counted_traits.tokenizer)


def _required(evidence: Evidence, case: Case, traits: Traits) -> list[Required]:
    return evidence.plan.required(case, "f32", traits)


def _digest(evidence: Evidence, side: str, traits: Traits, cases: list[Case]) -> str:
    digest = hashlib.sha256()
    for case in cases:
        with Captures(evidence, case) as captures:
            for required in _required(evidence, case, traits):
                tensor = captures.named(side, required.tensor)
                found = "none" if tensor is None else tensor.digest()
                digest.update(f"{found}  {case.id} {required.tensor}\n".encode())
    return digest.hexdigest()


def _verdict(evidence: Evidence, entry: dict[str, Any]) -> str:
    repeats = entry["repeats"]
    if any(repeat["sha256"] != repeats[0]["sha256"] for repeat in repeats) or entry["first_difference"] is not None:
        return "fail"
    processes = [(repeat["process"], repeat["threads"]) for repeat in repeats]
    whole = (
        bool(repeats)
        and [i for i, (process, _) in enumerate(processes) if process == 0] == [0]
        and all(processes.count(kind) >= least for kind, least in PROCESSES.items())
        and entry["cases"] == [case.id for case in evidence.cases]
        and 0 < entry["required"] == entry["compared"]
    )
    return "pass" if whole else "incomplete"


def _finding(difference: dict[str, Any] | None) -> Finding | None:
    if difference is None:
        return None
    tensor = tensor_name(difference["step"], difference["activation"])
    return Finding(difference["case"], tensor, "determinism")
