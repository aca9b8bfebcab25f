"""One verification from the folder to the exit code, a line for every room."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle_verifier.bag import TAG_MANIFEST, Bag, open_bag
from bundle_verifier.coverage import check_sizes, left_out
from bundle_verifier.evidence import Evidence
from bundle_verifier.problem import BeyondMeansError, InvalidEvidenceError, Problem, harmless
from bundle_verifier.recomputation import Recomputation
from bundle_verifier.repository import Repository, stale
from bundle_verifier.rooms import REPORTS, check_payload, check_specs, read_records
from bundle_verifier.specs import Specs, read_specs

CONFORMING, NOT_CONFORMING, INVALID, STALE, INCOMPLETE, UNREADABLE = 0, 1, 2, 3, 4, 70
MEANINGS = {0: "conforming", 1: "not conforming", 2: "invalid evidence", 3: "stale evidence", 4: "incomplete"}
MOST_PROBLEMS = 20
Say = Callable[[str], None]


@dataclass(frozen=True)
class Question:
    """What is asked of a bundle, and by what it is judged."""

    specs: Path  # specs/<family>/*.toml
    cases: Path
    repository: Repository
    historical: bool = False
    commit: str | None = None
    partial: bool = False


def verify(folder: Path, question: Question, say: Say = print) -> int:
    """The exit code; an OSError is the caller's."""
    room = "bag"
    try:
        bag = open_bag(folder)
        say(harmless(f"bag            ok: {len(bag.sizes)} files, each with its digest; root {_root(bag)}"))
        room = "records"
        evidence = read_records(bag, lambda results, materials: _choose(bag, question, results, materials))
        counts = f"{len(evidence.cases)} cases, {len(evidence.results['checkpoints'])} checkpoints"
        say(harmless(f"records        ok: each in its one spelling; {counts}; {bag.name}"))
        room = "specs"
        check_specs(evidence)
        check_sizes(evidence)
        say(f"specs          ok: {len(evidence.specs.files)} files, byte for byte this verifier's own")
        room = "payload"
        check_payload(evidence)
        say("payload        ok: what is called for and nothing else; every capture says who produced it")
        say(f"reports        digests only: the rendering of {len(REPORTS)} files is not part of the format")
        room = "recomputation"
        return _recompute(evidence, question, say)
    except InvalidEvidenceError as error:
        return _refused(INVALID, room, [error.problem], say)
    except (MemoryError, BeyondMeansError) as error:
        say(harmless(f"{room:<15}{folder}: expected what this verifier has memory for; found {error or 'more'}"))
        say("verdict        none: it could not be read")
        return UNREADABLE


def _choose(bag: Bag, question: Question, results: dict[str, Any], materials: dict[str, Any]) -> Specs:
    """The own specs; of a historical bundle with others those of its commit, if the work tree comes from it."""
    family = results["architecture"]["family"]
    if not (question.specs / family).is_dir():
        expected = "a family that the verifier has specs of"
        raise InvalidEvidenceError("data/results.json architecture.family", expected, family)
    own = read_specs(question.specs / family)
    if question.historical and materials["git"] is not None and materials["specs"] != own.digest():
        return question.repository.specs_of(materials["git"]["commit"], family) or own
    return own


def _recompute(evidence: Evidence, question: Question, say: Say) -> int:
    recomputation = Recomputation(evidence, _progress)
    recomputation.run()
    if recomputation.problems:
        return _refused(INVALID, "recomputation", recomputation.problems, say)
    say(f"recomputation  ok: {recomputation.counted} comparisons, every word again from the numbers")
    _say_recorded(evidence, say)
    old = list(stale(evidence, None if question.historical else question.repository, question.commit))
    if old:
        return _refused(STALE, "staleness", old, say)
    missing = left_out(evidence, question.cases)
    if missing:
        say(harmless(f"left out       {', '.join(missing)}"))
    for entry in evidence.results["reservations"]:
        say(harmless(f"reservation    {entry['message']}"))
    exit_code = _exit_code(evidence, bool(missing) and not question.partial)
    say(f"verdict        {evidence.results['verdict']}: {MEANINGS[exit_code]}")
    return exit_code


def _exit_code(evidence: Evidence, lacking: bool) -> int:
    recorded: int = evidence.results["exit_code"]
    return INCOMPLETE if recorded == CONFORMING and (lacking or evidence.digest_only) else recorded


def _say_recorded(evidence: Evidence, say: Say) -> None:
    """What has no tensors behind it, and so is the record's word."""
    results = evidence.results
    faults, laws = results["faults"], results["laws"]["numbers"]
    say(f"faults         {faults['killed']} of {faults['required']} killed, as recorded; every word follows")
    say(f"laws           {len(laws)} rows, as recorded; none is left out, every word follows")
    say("repeats        the first of each from the tensors; the others as recorded")
    if evidence.digest_only:
        say(harmless(f"digest only    {', '.join(evidence.digest_only)}: numbers as recorded"))


def _root(bag: Bag) -> str:
    return bag.digest(TAG_MANIFEST)


def _refused(exit_code: int, room: str, problems: list[Problem], say: Say) -> int:
    for problem in problems[:MOST_PROBLEMS]:
        say(f"{room:<15}{problem.line()}")
    if len(problems) > MOST_PROBLEMS:
        say(f"{room:<15}and {len(problems) - MOST_PROBLEMS} more")
    say(f"verdict        {MEANINGS[exit_code]}")
    return exit_code


def _progress(line: str) -> None:
    print(harmless(line), file=sys.stderr)
