"""What has no tensors behind it: faults, laws, repeats and cases without tensors; each lie about them is seen."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundle_author import captures, record, seal, write_bundle, write_specs
from record_author import measure

from bundle_verifier.evidence import Outcome
from verify_bundle import main

Results = dict[str, Any]
Verified = Callable[..., tuple[int, str]]
RESULTS, ASSAY = "data/results.json", "data/assays/tiny.json"


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_specs(tmp_path_factory.mktemp("law") / "specs")


@pytest.fixture
def verified(specs: Path, capsys: pytest.CaptureFixture[str]) -> Verified:
    def run(folder: Path, *options: str) -> tuple[int, str]:
        own = ["--historical", "--specs", str(specs), "--cases", str(specs.parent / "cases")]
        code = main([*own, *options, str(folder)])
        return code, capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def made(specs: Path) -> Callable[..., Path]:
    """Bundles, each made once."""

    def make(precision: str = "f32", keep: str = "full", extent: str = "all") -> Path:
        folder = specs.parent / f"{precision}-{keep}-{extent}"
        if not folder.exists():
            write_bundle(folder, specs, captures(specs, precision), precision, keep, extent)
        return folder

    return make


@pytest.fixture
def bundle(tmp_path: Path, made: Callable[..., Path]) -> Path:
    return Path(shutil.copytree(made(), tmp_path / "bundle"))


@pytest.fixture
def digest(tmp_path: Path, made: Callable[..., Path]) -> Path:
    return Path(shutil.copytree(made(keep="digest"), tmp_path / "digest"))


def _rewritten(folder: Path, path: str, lie: Callable[[Any], object]) -> Path:
    value = json.loads((folder / path).read_bytes())
    lie(value)
    (folder / path).write_bytes(record(value))
    seal(folder)
    return folder


@pytest.mark.parametrize(
    ("what", "exit_code", "word"),
    [
        ({}, 0, "pass: conforming"),
        ({"extent": "none"}, 0, "conditional: conforming"),
        ({"extent": "fast"}, 0, "pass: conforming"),
        ({"keep": "digest"}, 4, "pass: incomplete"),
        ({"keep": "failing"}, 4, "pass: incomplete"),
        ({"precision": "f16"}, 0, "pass: conforming"),
        ({"precision": "f16", "keep": "digest"}, 4, "pass: incomplete"),
    ],
)
def test_an_honest_bundle_of_every_kind_is_valid(
    made: Callable[..., Path], verified: Verified, what: dict[str, str], exit_code: int, word: str
) -> None:
    code, said = verified(made(**what))
    assert (code, f"verdict        {word}" in said) == (exit_code, True), said


def _fault(**fields: Any) -> Callable[[Results], None]:
    """Of the first row, the one that is killed."""
    return lambda results: results["faults"]["faults"][0].update(fields)


def _observation(row: int, **fields: Any) -> Callable[[Results], None]:
    return lambda results: results["faults"]["faults"][row]["observation"].update(fields)


def _killer(**fields: Any) -> Callable[[Results], None]:
    return lambda results: results["faults"]["faults"][0]["observation"]["killer"].update(fields)


def _faults(**fields: Any) -> Callable[[Results], None]:
    return lambda results: results["faults"].update(fields)


def _repeat(row: int, **fields: Any) -> Callable[[Results], None]:
    return lambda results: results["determinism"]["implementations"][0]["repeats"][row].update(fields)


def _entry(row: int, **fields: Any) -> Callable[[Results], None]:
    return lambda results: results["determinism"]["implementations"][row].update(fields)


def _law(row: int, **fields: Any) -> Callable[[Results], None]:
    return lambda results: results["laws"]["numbers"][row].update(fields)


PLACE = {"case": "law-x", "tensor": "step0/embd", "position": 0, "message": "apart"}
DIFFERENCE = {"case": "tiny", "step": 0, "activation": "embd", "between": [0, 1]}
LIES: dict[str, Callable[[Results], object]] = {
    "a fault left out": lambda r: r["faults"]["faults"].pop(0),
    "a fault twice": lambda r: r["faults"]["faults"].append(r["faults"]["faults"][0]),
    "what a fault is": _fault(what="something harmless"),
    "the checkpoint of a fault": _fault(checkpoint="00"),
    "by whom": _fault(by="00"),
    "the reasons": _fault(reasons=["budget"]),
    "the word": _fault(word="equivalent"),
    "the note": _fault(note="needs a second layer"),
    "no observation": _fault(observation=None),
    "an observation of another": _observation(0, id="other"),
    "idle": _observation(0, changed=False),
    "survived": _observation(0, killer=None),
    "passed": _observation(0, verdict="conditional"),
    "elsewhere": _killer(by="00"),
    "for another reason": _killer(reason="budget"),
    "an equivalent one that matters": _observation(2, changed=True),
    "the case of faults": _faults(case="other"),
    "declared": _faults(declared=1),
    "required": _faults(required=0),
    "killed": _faults(killed=2),
    "not exercised": _faults(not_exercised=0),
    "a problem": _faults(problem="the panel ended early"),
    "another extent": _faults(extent="fast"),
    "no extent": _faults(extent="none"),
    "the verdict of faults": _faults(verdict="conditional"),
    "the first repeat": _repeat(0, sha256="0" * 64),
    "another repeat": _repeat(2, sha256="0" * 64),
    "no first repeat": _repeat(0, process=1),
    "a thread less": _repeat(1, threads=1),
    "no repeats": _entry(0, repeats=[]),
    "a difference": _entry(0, first_difference=DIFFERENCE),
    "fewer repeated": _entry(0, compared=1),
    "fewer to be repeated": _entry(0, compared=1, required=1),
    "no cases repeated": _entry(0, cases=[]),
    "repeats of nobody": _entry(1, implementation="candle@f32"),
    "repeats of a reference": _entry(1, repeats=[{"process": 0, "threads": 1, "sha256": "none"}]),
    "subject not repeated": lambda r: r["determinism"]["implementations"].pop(0),
    "verdict of repeats": lambda r: r["determinism"].update(verdict="conditional"),
    "finding of repeats": lambda r: r["determinism"].update(
        finding={"case": "tiny", "tensor": "x", "reason": "determinism", "message": ""}
    ),
    "a law left out": lambda r: r["laws"]["numbers"].pop(0),
    "a law twice": lambda r: r["laws"]["numbers"].append(r["laws"]["numbers"][-1]),
    "laws in another order": lambda r: r["laws"]["numbers"].reverse(),
    "a law for another": _law(0, implementation="torch@f64"),
    "another bound": _law(0, bound="replicas"),
    "fewer parts": _law(0, compared=1, required=1),
    "fewer compared": _law(0, compared=1),
    "violations": _law(0, violations=1),
    "a first violation": _law(0, first=PLACE),
    "a limit that is not named": _law(3, refusal="no more than 80"),
    "a limit that is not refused": _law(3, refusal=None),
    "verdict of a law": _law(0, verdict="conditional"),
    "verdict of laws": lambda r: r["laws"].update(verdict="conditional"),
    "findings of laws": lambda r: r["laws"].update(
        findings=[{"case": "law-x", "tensor": "x", "reason": "invariant", "message": ""}]
    ),
    "tensors that are said to be kept": lambda r: r["tensors"].update(keep="digest"),
    "a case without tensors": lambda r: r["tensors"].update(keep="failing", digest_only=["tiny"]),
    "a case that is nowhere": lambda r: r["tensors"].update(keep="failing", digest_only=["other"]),
    "false that is written": lambda r: r["checkpoints"][1]["comparisons"][0]["outcome"]["statistics"].update(
        budget={
            "used": measure(0.0),
            "violations": 0,
            "worst": None,
            "systematic": [{"axis": 0, "paired": False, "index": 0}],
        }
    ),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_word_that_does_not_follow_is_invalid(
    bundle: Path, verified: Verified, lie: Callable[[Results], object]
) -> None:
    code, said = verified(_rewritten(bundle, RESULTS, lie))
    assert (code, said.endswith("verdict        invalid evidence\n")) == (2, True), said


def _observed(index: int, **fields: Any) -> Callable[[Any], None]:
    return lambda assay: assay["assay"]["observations"][index].update(fields)


def _number(part: str, index: int, **fields: Any) -> Callable[[Any], None]:
    return lambda assay: assay["assay"][part][index]["outcome"]["statistics"].update(fields)


ASSAYS: dict[str, Callable[[Any], object]] = {
    "another case": lambda a: a["assay"].update(case="other"),
    "an observation left out": lambda a: a["assay"]["observations"].pop(),
    "another reference": _observed(0, reference="torch@f64"),
    "another mode": _observed(0, mode="chained"),
    "another shape": lambda a: a["assay"]["observations"][0]["required"].update(shape=[1]),
    "fewer elements": _number("observations", 0, elements=1),
    "more violations than elements": _number("observations", 0, violations=1000),
    "another number": _number("observations", -1, max_abs=measure(1.0)),
    "a number that is worse": _number("observations", -1, violations=1),
    "a chained bound": _observed(0, chained_allowed=measure(1.0)),
    "a requirement left out": lambda a: a["assay"]["requirements"].pop(),
    "fewer required": lambda a: a["assay"]["requirements"][0].update(required=0),
    "fewer checked": lambda a: a["assay"]["requirements"][0]["examination"].update(checked=0),
    "something unexpected": lambda a: a["assay"].update(unexpected=[{"step": None, "activation": "x"}]),
    "quorum left out": lambda a: a["assay"].update(quorum=[]),
    "another quorum": lambda a: a["assay"]["quorum"][0].update(between="torch@f64 against tinygrad@f64"),
    "a disagreement": _number("quorum", 0, violations=1),
    "measurements left out": lambda a: a["assay"].update(measured=[]),
    "a worse peer": _number("measured", 0, rmse=measure(1.0), max_abs=measure(1.0)),
    "another peer": lambda a: a["assay"]["measured"][0].update(implementation="tinygrad@f32"),
}


@pytest.mark.parametrize("lie", ASSAYS.values(), ids=ASSAYS)
def test_an_assay_must_fit_the_results_and_the_plan(
    digest: Path, verified: Verified, lie: Callable[[Any], object]
) -> None:
    code, said = verified(_rewritten(digest, ASSAY, lie))
    assert (code, said.endswith("verdict        invalid evidence\n")) == (2, True), said


CAPTURES: dict[str, Callable[[Any], object]] = {
    "a capture left out": lambda c: c["captures"].pop(),
    "a capture twice": lambda c: c["captures"].append(c["captures"][-1]),
    "another order": lambda c: c["captures"].reverse(),
    "not stored": lambda c: c["captures"][0].update(stored=False),
    "another digest": lambda c: c["captures"][0].update(sha256="0" * 64),
    "another size": lambda c: c["captures"][0].update(bytes=1),
    "a path of nobody": lambda c: c["captures"][0].update(path="data/captures/a@f32/tiny.safetensors"),
}


@pytest.mark.parametrize("lie", CAPTURES.values(), ids=CAPTURES)
def test_the_list_of_captures_is_of_what_is_here(
    bundle: Path, verified: Verified, lie: Callable[[Any], object]
) -> None:
    code, said = verified(_rewritten(bundle, "data/captures.json", lie))
    assert (code, "payload        data/captures.json" in said) == (2, True), said


OWN_CASE = 'id = "{}"\nabout = ""\ntexts = ["a", "b"]\nlength = 3\ndecode = 1\ngenerate = 2\n'


@pytest.mark.parametrize(("key", "exit_code"), [("tiny", 0), ("other", 4)])
def test_what_was_left_out_makes_a_run_incomplete_unless_a_part_is_enough(
    tmp_path: Path, bundle: Path, verified: Verified, key: str, exit_code: int
) -> None:
    seal(bundle, without_cases=int(key == "other"))
    (tmp_path / "one.toml").write_text(OWN_CASE.format(key))
    (tmp_path / "two.toml").write_text('id = "two"\nabout = ""\ntexts = ["a"]\nlength = 9\n')  # does not fit the model
    assert verified(bundle, "--cases", str(tmp_path))[0] == exit_code
    assert verified(bundle, "--cases", str(tmp_path), "--partial")[0] == 0


def test_an_own_case_of_another_shape_is_left_out(tmp_path: Path, bundle: Path, verified: Verified) -> None:
    seal(bundle, without_cases=1)
    (tmp_path / "one.toml").write_text(OWN_CASE.format("tiny").replace("generate = 2", "generate = 3"))
    code, said = verified(bundle, "--cases", str(tmp_path))
    assert (code, "left out       case tiny" in said) == (4, True), said


@pytest.mark.parametrize(("commit", "exit_code"), [("aaaa", 0), ("a" * 40, 0), ("ab", 3)])
def test_a_bundle_of_another_commit_is_stale(
    made: Callable[..., Path], verified: Verified, commit: str, exit_code: int
) -> None:
    assert verified(made(), "--expect-commit", commit)[0] == exit_code


@pytest.mark.parametrize("git", [None, {"commit": "a" * 40, "tree": "b", "dirty": True}])
def test_uncommitted_changes_must_be_told_and_are_stale_for_who_asks(
    bundle: Path, verified: Verified, git: dict[str, Any] | None
) -> None:
    _rewritten(bundle, "data/materials.json", lambda materials: materials.update(git=git))
    assert verified(bundle)[0] == 2
    told = {"checkpoint": None, "message": "the work tree has uncommitted changes"}
    lie = {"reservations": [told], "verdict": "conditional"}
    _rewritten(bundle, RESULTS, lambda results: results.update(lie))
    assert verified(bundle)[0] == 0
    assert verified(bundle, "--expect-commit", "aaaa")[0] == 3


@pytest.mark.parametrize(
    ("model", "exit_code"),
    [
        ("synthetic:2,8,1,12,8", 2),  # Dh and F are not there
        ("synthetic:gpt2", 2),
        ("synthetic:gpt2@7+outlier", 2),
        ("synthetic:2,4", 0),
        ("hf:gpt2", 0),
    ],
)
def test_a_model_whose_name_tells_its_sizes_has_them(
    bundle: Path, verified: Verified, model: str, exit_code: int
) -> None:
    assert verified(_rewritten(bundle, RESULTS, lambda results: results.update(model=model)))[0] == exit_code


def test_the_name_is_of_what_was_judged(bundle: Path, verified: Verified) -> None:
    path = bundle / "data/results.json"
    path.write_bytes(path.read_bytes().replace(b'"model":"tiny"', b'"model":"tall"'))
    said = (bundle / "bag-info.txt").read_text()
    seal(bundle)
    assert verified(bundle)[0] == 0
    assert said != (bundle / "bag-info.txt").read_text()
    path.write_bytes(path.read_bytes().replace(b'"model":"tall"', b'"model":"tiny"'))
    info = (bundle / "bag-info.txt").read_text()
    seal(bundle)
    (bundle / "bag-info.txt").write_text(info)
    tags = bundle / "tagmanifest-sha256.txt"
    lines = [line for line in tags.read_text().splitlines() if not line.endswith("bag-info.txt")]
    tags.write_text(f"{hashlib.sha256(info.encode()).hexdigest()}  bag-info.txt\n" + "".join(f"{x}\n" for x in lines))
    code, found = verified(bundle)
    assert (code, "bag-info.txt: expected External-Identifier" in found) == (2, True), found


def test_a_reference_named_like_the_subject_is_no_subject() -> None:
    own = ["subject", "subject (`step0/embd`, from which this follows)"]
    assert all(Outcome("missing", side).of_subject for side in own)
    others = ["subject-x@f64", "subject-x@f64 (`step0/embd`, from which this follows)", "subjects", "torch@f64"]
    assert not any(Outcome("missing", side).of_subject for side in others)
