"""One verification from the folder to the exit code, a line for every room."""

import hashlib
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

from bundle_verifier.bag import LARGEST_TAG_FILE, TAG_MANIFEST, Bag, open_bag
from bundle_verifier.evidence import Evidence
from bundle_verifier.problem import InvalidEvidenceError, Problem, harmless
from bundle_verifier.recomputation import Recomputation
from bundle_verifier.rooms import REPORTS, check_payload, check_specs, read_records

MEANINGS = {0: "conforming", 1: "not conforming", 2: "invalid evidence", 4: "incomplete"}
MOST_PROBLEMS = 20
Say = Callable[[str], None]


def verify(folder: Path, specs: Path, say: Say = print) -> int:
    """0 conforming, 1 not conforming, 2 invalid evidence, 4 incomplete; an OSError is the caller's."""
    room = "bag"
    try:
        bag = open_bag(folder)
        say(harmless(f"bag            ok: {len(bag.sizes)} files, each with its digest; root {_root(bag)}"))
        room = "records"
        evidence = read_records(bag, specs)
        counts = f"{len(evidence.cases)} cases, {len(evidence.results['checkpoints'])} checkpoints"
        say(f"records        ok: each in its one spelling; {counts}")
        room = "payload"
        check_payload(evidence)
        say("payload        ok: what is called for and nothing else; every capture says who produced it")
        room = "specs"
        check_specs(evidence)
        say(f"specs          ok: {len(evidence.law.files)} files, byte for byte this verifier's own")
        say(f"reports        digests only: the rendering of {len(REPORTS)} files is not part of the format")
        room = "recomputation"
        return _recompute(evidence, specs.parent / "cases", say)
    except InvalidEvidenceError as error:
        return _invalid(room, [error.problem], say)
    except MemoryError:
        return _invalid(room, [Problem(str(folder), "sizes that this machine has memory for", "larger ones")], say)


def _recompute(evidence: Evidence, cases: Path, say: Say) -> int:
    recomputation = Recomputation(evidence, _progress)
    recomputation.run()
    if recomputation.problems:
        return _invalid("recomputation", recomputation.problems, say)
    say(f"recomputation  ok: {recomputation.counted} comparisons from the tensors, every word again from the numbers")
    for line in _left_out(evidence, cases):
        say(harmless(line))
    results = evidence.results
    exit_code: int = results["exit_code"]
    say(f"verdict        {results['verdict']}: {MEANINGS[exit_code]}")
    return exit_code


def _left_out(evidence: Evidence, cases: Path) -> list[str]:
    """A run of less than everything is evidence for just that."""
    reported = {record["id"] for record in evidence.results["checkpoints"]}
    found = [spec.id for spec in evidence.law.specs if spec.id not in reported]
    lines = [f"left out       checkpoints {', '.join(found)}"] if found else []
    bundled = [tomllib.loads(path.read_text())["id"] for path in sorted(cases.glob("*.toml"))]
    absent = [case for case in bundled if case not in {case.id for case in evidence.cases}]
    lines += [f"left out       cases {', '.join(absent)}"] if absent else []
    lines += [f"reservation    {entry['message']}" for entry in evidence.results["reservations"]]
    return lines


def _root(bag: Bag) -> str:
    return hashlib.sha256(bag.read(TAG_MANIFEST, LARGEST_TAG_FILE)).hexdigest()


def _invalid(room: str, problems: list[Problem], say: Say) -> int:
    for problem in problems[:MOST_PROBLEMS]:
        say(f"{room:<15}{problem.line()}")
    if len(problems) > MOST_PROBLEMS:
        say(f"{room:<15}and {len(problems) - MOST_PROBLEMS} more")
    say("verdict        invalid evidence")
    return 2


def _progress(line: str) -> None:
    print(harmless(line), file=sys.stderr)
