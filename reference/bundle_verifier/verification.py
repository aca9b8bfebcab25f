"""One verification from the folder to the exit code, a line for every room."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle_verifier.bag import TAG_MANIFEST, Bag, open_bag
from bundle_verifier.coverage import check_sizes, left_out
from bundle_verifier.evidence import Evidence
from bundle_verifier.features import FAMILIES
from bundle_verifier.model import FOLDER, load_model, other_files
from bundle_verifier.naming import check_name
from bundle_verifier.problem import BeyondMeansError, InvalidEvidenceError, Problem, harmless
from bundle_verifier.recomputation import Recomputation
from bundle_verifier.repository import Repository, stale
from bundle_verifier.rooms import REPORTS, check_model_in_bundle, check_payload, check_specs, read_records
from bundle_verifier.specs import FAMILY, Specs, read_specs

CONFORMING, NOT_CONFORMING, INVALID, STALE, INCOMPLETE, UNREADABLE = 0, 1, 2, 3, 4, 70
MEANINGS = {0: "conforming", 1: "not conforming", 2: "invalid evidence", 3: "stale evidence", 4: "incomplete"}
MOST_PROBLEMS = 20
Say = Callable[[str], None]


@dataclass(frozen=True)
class Question:
    """What is asked of a bundle, and by what it is judged."""

    specs: Path  # <family>/*.toml, operations/*.toml and judging.toml
    cases: Path
    repository: Repository
    historical: bool = False
    commit: str | None = None
    partial: bool = False
    model: Path | None = None  # a folder with the model that the bundle must be about
    on_records: Callable[[], None] = lambda: None  # once the records have been read


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
        room = "model"
        check_model_in_bundle(evidence)
        other = _find_model(evidence, question, say)
        question.on_records()
        room = "recomputation"
        return _recompute(evidence, question, other, say)
    except InvalidEvidenceError as error:
        return _refused(INVALID, room, [error.problem], say)
    except (MemoryError, BeyondMeansError) as error:
        say(harmless(f"{room:<15}{folder}: expected what this verifier has memory for; found {error or 'more'}"))
        say("verdict        none: it could not be read")
        return UNREADABLE


def _choose(bag: Bag, question: Question, results: dict[str, Any], materials: dict[str, Any]) -> Specs:
    """The own specs; of a historical bundle with others those of its commit, if the work tree comes from it."""
    family = results["architecture"]["family"]
    if family not in FAMILIES or not (question.specs / family / FAMILY).is_file():
        expected = f"a family that this verifier computes: {', '.join(FAMILIES)}"
        raise InvalidEvidenceError("data/results.json architecture.family", expected, family)
    if features := results["architecture"].get("features", []):
        expected = "none, for this verifier computes models without any feature"
        raise InvalidEvidenceError("data/results.json architecture.features", expected, ", ".join(features))
    own = read_specs(question.specs, family)
    if question.historical and materials["git"] is not None and materials["specs"] != own.digest():
        return question.repository.specs_of(materials["git"]["commit"], family) or own
    return own


def _recompute(evidence: Evidence, question: Question, other: str | None, say: Say) -> int:
    recomputation = Recomputation(evidence, _progress)
    recomputation.run()
    if recomputation.problems:
        return _refused(INVALID, "recomputation", recomputation.problems, say)
    say(f"recomputation  ok: {recomputation.counted} comparisons, every word again from the numbers")
    _say_recorded(evidence, recomputation, say)
    missing = left_out(evidence, question.cases)
    check_name(evidence, evidence.bag, missing)
    old = list(stale(evidence, None if question.historical else question.repository, question.commit))
    if other is not None:
        old.append(Problem("--model", "the model of the bundle", other))
    if old:
        return _refused(STALE, "staleness", old, say)
    if missing:
        say(harmless(f"left out       {', '.join(missing)}"))
    for entry in evidence.results["reservations"]:
        say(harmless(f"reservation    {entry['message']}"))
    for where in recomputation.unclear[:MOST_PROBLEMS]:
        say(harmless(f"uncertain      {where} too close to its bound for another order of summation to tell"))
    lacking = (bool(missing) and not question.partial) or recomputation.recorded > 0
    exit_code = INCOMPLETE if recomputation.unclear else _exit_code(evidence, lacking)
    say(f"verdict        {evidence.results['verdict']}: {MEANINGS[exit_code]}")
    return exit_code


def _exit_code(evidence: Evidence, lacking: bool) -> int:
    recorded: int = evidence.results["exit_code"]
    return INCOMPLETE if recorded == CONFORMING and (lacking or evidence.digest_only) else recorded


def _find_model(evidence: Evidence, question: Question, say: Say) -> str | None:
    """Loads the model where its weights are at hand; what is the matter with a folder that is another model's."""
    materials, given, other = evidence.materials, question.model, None
    folder = evidence.bag.folder / FOLDER if materials["weights_in_bundle"] else None
    if given is not None:
        other = other_files(given, materials)
        folder = folder or (given if other is None else None)
    if folder is None:
        say("model          not at hand: what only it could tell is the word of the record (--model DIR)")
        return other
    evidence.model = load_model(evidence, folder)
    say(f"model          ok: {len(evidence.model.weights)} weights, the files are those of the materials")
    return other


def _say_recorded(evidence: Evidence, recomputation: Recomputation, say: Say) -> None:
    """What has no tensors behind it, and so is the record's word."""
    results = evidence.results
    faults, laws = results["faults"], results["laws"]["numbers"]
    say(f"faults         {faults['killed']} of {faults['required']} killed, as recorded; every word follows")
    say(f"laws           {len(laws)} rows, as recorded; none is left out, every word follows")
    say("repeats        the first of each from the tensors; the others as recorded")
    if recomputation.recorded:
        say(f"digest only    {recomputation.recorded} comparisons that only the model could tell: numbers as recorded")
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
