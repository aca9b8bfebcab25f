"""Whole bundles: one that follows from its tensors is taken, every way to make one lie is seen."""

import copy
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_author import captures, list_captures, record, seal, write_bundle, write_specs
from record_author import measure

from verify_bundle import main

Results = dict[str, Any]
RESULTS = "data/results.json"
SUBJECT_RUN = "data/captures/subject-rust@f32/tiny.safetensors"


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_specs(tmp_path_factory.mktemp("law") / "specs")


@pytest.fixture(scope="module")
def sound(specs: Path) -> Path:
    write_bundle(specs.parent / "sound", specs, captures())
    return specs.parent / "sound"


@pytest.fixture
def bundle(tmp_path: Path, sound: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "bundle"))


@pytest.fixture
def verified(specs: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[Path], tuple[int, str]]:
    def run(folder: Path) -> tuple[int, str]:
        code = main(["--historical", "--specs", str(specs), "--cases", str(specs.parent / "cases"), str(folder)])
        return code, capsys.readouterr().out

    return run


Verified = Callable[[Path], tuple[int, str]]


def test_a_bundle_that_follows_from_its_tensors_conforms(bundle: Path, verified: Verified) -> None:
    code, said = verified(bundle)
    assert code == 0, said
    assert "36 comparisons, every word again" in said
    assert "verdict        pass: conforming" in said


def _shifted(name: str, by: float) -> Callable[[Any], None]:
    def change(shipment: Any) -> None:
        shipment["subject-rust@f32", "run"][name] = shipment["subject-rust@f32", "run"][name] + np.float32(by)

    return change


def _without_replay(shipment: Any) -> None:
    del shipment["subject-rust@f32", "replay"]


def _the_same_nan_in_every_f32_run(shipment: Any) -> None:
    for (folder, mode), tensors in shipment.items():
        if mode == "run" and folder.endswith("f32"):
            tensors["step0/h.1.out"] = tensors["step0/h.1.out"].copy()
            tensors["step0/h.1.out"][0, 0, 0] = np.nan


def _disagreeing_references(shipment: Any) -> None:
    shipment["tinygrad@f64", "run"]["step1/h.0.out"] = shipment["tinygrad@f64", "run"]["step1/h.0.out"] + 1e-6


@pytest.mark.parametrize(
    ("change", "exit_code", "word"),
    [
        (_shifted("step0/h.1.out", 0.01), 1, "fail"),
        (_shifted("step0/embd", 1e-3), 1, "fail"),
        (_without_replay, 4, "incomplete"),
        (_the_same_nan_in_every_f32_run, 1, "fail"),
        (_disagreeing_references, 4, "error"),
    ],
)
def test_an_honest_record_of_a_bad_run_is_valid_and_not_green(
    tmp_path: Path, specs: Path, verified: Verified, change: Callable[[Any], None], exit_code: int, word: str
) -> None:
    shipment = captures()
    change(shipment)
    write_bundle(tmp_path / "bundle", specs, shipment)
    code, said = verified(tmp_path / "bundle")
    assert (code, f"verdict        {word}:" in said) == (exit_code, True), said


def _statistics(results: Results) -> dict[str, Any]:
    """Of h.0.out of step 0 in isolation, which has a budget and a systematic error."""
    own = [c for c in results["checkpoints"][1]["comparisons"] if c["mode"] == "replay" and c["name"] == "h.0.out"]
    statistics: dict[str, Any] = own[0]["outcome"]["statistics"]
    return statistics


def _number(name: str, value: Any) -> Callable[[Results], None]:
    return lambda results: _statistics(results).update({name: value})


def _budget(name: str, value: Any) -> Callable[[Results], None]:
    return lambda results: _statistics(results)["budget"].update({name: value})


def _systematic(name: str, value: Any) -> Callable[[Results], None]:
    return lambda results: _statistics(results)["budget"]["systematic"][0].update({name: value})


def _first(results: Results) -> dict[str, Any]:
    first: dict[str, Any] = results["checkpoints"][0]["comparisons"][0]
    return first


def _delete(*path: Any) -> Callable[[Results], None]:
    def change(results: Results) -> None:
        inner: Any = results
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]

    return change


def _set(value: Any, *path: Any) -> Callable[[Results], None]:
    def change(results: Results) -> None:
        inner: Any = results
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value

    return change


LIES: dict[str, Callable[[Results], None]] = {
    "elements": _number("elements", 17),
    "violations": _number("violations", 1),
    "max_abs": _number("max_abs", measure(1e-9)),
    "mean_abs": _number("mean_abs", measure(1e-9)),
    "max_rel": _number("max_rel", measure(1e-9)),
    "rmse": _number("rmse", measure(0.0)),
    "cosine": _number("cosine", measure(0.5)),
    "max_ulp": _number("max_ulp", 7),
    "used": _number("used", measure(0.0)),
    "range": _number("range", [measure(0.0), measure(1.0)]),
    "buckets": _number("buckets", [0] * 16),
    "worst": _number("worst", []),
    "ties": _number("ties", 1),
    "NaN in place of a number": _number("rmse", measure(float("nan"))),
    "infinity in place of a sum": _number("mean_abs", measure(float("inf"))),
    "no budget": _number("budget", None),
    "budget used": _budget("used", measure(0.0)),
    "budget violations": _budget("violations", 3),
    "budget worst": _budget("worst", None),
    "no systematic error": _budget("systematic", []),
    "scale": _systematic("scale", measure(1.0)),
    "scale allowed": _systematic("scale_allowed", measure(1.0)),
    "offset": _systematic("offset", measure(1.0)),
    "offset allowed": _systematic("offset_allowed", measure(1.0)),
    "systematic used": _systematic("used", measure(0.4)),
    "another slice": _systematic("axis", 1),
    "verdict of a comparison": lambda r: _first(r).update(verdict="fail"),
    "reason of a comparison": lambda r: _first(r).update(reason="tie"),
    "downstream": lambda r: _first(r).update(downstream=True),
    "chained bound": lambda r: _first(r).update(chained_allowed=measure(1.0)),
    "kind of an outcome": lambda r: _first(r).update(outcome={"kind": "missing", "side": "subject"}),
    "shape": lambda r: _first(r)["outcome"].update(shape=[4]),
    "a comparison left out": _delete("checkpoints", 0, "comparisons", 1),
    "all comparisons left out": _set([], "checkpoints", 0, "comparisons"),
    "a comparison twice": lambda r: r["checkpoints"][0]["comparisons"].append(copy.deepcopy(_first(r))),
    "a comparison of no case": lambda r: _first(r).update(case="other"),
    "compared": _set(9, "checkpoints", 0, "compared"),
    "required": _set(0, "checkpoints", 0, "required"),
    "verdict of a checkpoint": _set("conditional", "checkpoints", 0, "verdict"),
    "name of a checkpoint": _set("other", "checkpoints", 0, "name"),
    "checkpoint twice": lambda r: r["checkpoints"].append(r["checkpoints"][-1]),
    "unknown checkpoint": _set("77", "checkpoints", 1, "id"),
    "requirement left out": _delete("checkpoints", 0, "requirements", 0),
    "checked": _set(0, "checkpoints", 0, "requirements", 0, "checked"),
    "verdict of a requirement": _set("incomplete", "checkpoints", 0, "requirements", 1, "verdict"),
    "an invented finding": _set(
        [{"case": "tiny", "tensor": "x", "reason": "invariant", "message": ""}],
        *("checkpoints", 0, "requirements", 1, "findings"),
    ),
    "quorum compared": _set(0, "quorum", "compared"),
    "quorum used": _set(measure(0.5), "quorum", "used"),
    "quorum verdict": _set("conditional", "quorum", "verdict"),
    "peers left out": _set([], "peers"),
    "a better peer": _set(measure(1.0), "peers", 1, "run_max_abs"),
    "an invented reservation": _set([{"checkpoint": "00", "message": "none"}], "reservations"),
    "an invented divergence": _set(
        {"checkpoint": "00", "activation": "embd", "case": "tiny", "step": 0, "mode": "run", "reason": "exact"},
        "first_divergence",
    ),
    "verdict of the run": _set("conditional", "verdict"),
    "exit code": _set(1, "exit_code"),
    "layers": _set(1, "architecture", "layers"),
    "no layers": _set(0, "architecture", "layers"),
    "very many layers": _set(2**63, "architecture", "layers"),
    "a size left out": _delete("architecture", "sizes", "D"),
    "a huge size": _set(2**62, "architecture", "sizes", "D"),
    "another family": _set("gpt3", "architecture", "family"),
    "a family that is a path": _set("..", "architecture", "family"),
    "a case left out": _set([], "cases"),
    "a case twice": lambda r: r["cases"].append(r["cases"][0]),
    "another batch": _set(1, "cases", 0, "batch"),
    "a reference left out": _delete("references", 1),
    "another subject": _set("torch", "subject", "name"),
    "an unknown field": _set(1, "surprise"),
    "a field left out": _delete("notes"),
    "a float that is not the shortest": _number("rmse", "0.00=0000000000000000"),
    "decimal and bits apart": _number("rmse", "1.0=0000000000000000"),
    "a number in place of a measured value": _number("rmse", 0),
    "true in place of a count": _number("ties", False),
    "1.0 in place of 1": _number("ties", 0.0),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_record_that_does_not_follow_from_the_tensors_is_invalid(
    bundle: Path, verified: Verified, lie: Callable[[Results], None]
) -> None:
    results = json.loads((bundle / RESULTS).read_bytes())
    lie(results)
    (bundle / RESULTS).write_bytes(record(results))
    seal(bundle)
    code, said = verified(bundle)
    assert code == 2, said
    assert said.endswith("verdict        invalid evidence\n")


def test_a_tensor_changed_under_a_fitting_manifest_is_seen(bundle: Path, verified: Verified) -> None:
    data = bytearray((bundle / SUBJECT_RUN).read_bytes())
    data[-100] ^= 1
    (bundle / SUBJECT_RUN).write_bytes(data)
    assert verified(bundle)[0] == 2
    seal(bundle)
    code, said = verified(bundle)
    assert (code, "data/captures.json" in said) == (2, True), said
    list_captures(bundle)
    code, said = verified(bundle)
    assert (code, "from the tensors" in said) == (2, True), said


def test_a_capture_of_somebody_else_is_refused(bundle: Path, verified: Verified) -> None:
    other = (bundle / "data/captures/torch@f32/tiny.safetensors").read_bytes()
    (bundle / SUBJECT_RUN).write_bytes(other)
    list_captures(bundle)
    code, said = verified(bundle)
    assert (code, "expected the capture of rust@f32; found one of torch@f32" in said) == (2, True), said


def test_the_law_is_the_verifiers(bundle: Path, verified: Verified) -> None:
    path = bundle / "data/spec/01-end.toml"
    path.write_text(path.read_text().replace("1e-4", "1e+4"))
    seal(bundle)
    code, said = verified(bundle)
    assert (code, "specs          data/spec/01-end.toml" in said) == (2, True), said


REWRITINGS: dict[str, Callable[[bytes], bytes]] = {
    "trailing bytes": lambda data: data + b"\n",
    "no line feed": lambda data: data[:-1],
    "a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "a blank": lambda data: data.replace(b",", b", ", 1),
    "a key twice": lambda data: data.replace(b'"notes":[],', b'"notes":[],"notes":[],'),
    "keys in another order": lambda data: data.replace(b'"notes":[],"options":[]', b'"options":[],"notes":[]'),
    "a number beyond floats": lambda data: data.replace(b'"epsilon":0.5', b'"epsilon":1e999'),
    "NaN": lambda data: data.replace(b'"epsilon":0.5', b'"epsilon":NaN'),
    "another spelling of a float": lambda data: data.replace(b'"epsilon":0.5', b'"epsilon":5e-1'),
    "minus zero": lambda data: data.replace(b'"exit_code":0', b'"exit_code":-0'),
    "an escape without need": lambda data: data.replace(b'"model":"tiny"', b'"model":"\\u0074iny"'),
    "a lone surrogate": lambda data: data.replace(b'"model":"tiny"', b'"model":"\\ud800"'),
    "not UTF-8": lambda data: data.replace(b'"model":"tiny"', b'"model":"\xff"'),
    "deep nesting": lambda data: data.replace(b'"notes":[]', b'"notes":' + b"[" * 5000 + b"]" * 5000),
    "a very long integer": lambda data: data.replace(b'"exit_code":0', b'"exit_code":' + b"9" * 5000),
    "cut off": lambda data: data[: len(data) // 2],
    "nothing": lambda data: b"",
}


@pytest.mark.parametrize("rewrite", REWRITINGS.values(), ids=REWRITINGS)
def test_a_record_has_one_spelling(bundle: Path, verified: Verified, rewrite: Callable[[bytes], bytes]) -> None:
    data = (bundle / RESULTS).read_bytes()
    rewritten = rewrite(data)
    assert rewritten != data
    (bundle / RESULTS).write_bytes(rewritten)
    seal(bundle)
    code, said = verified(bundle)
    assert (code, "records        data/results.json" in said) == (2, True), said


CASES: dict[str, dict[str, Any]] = {
    "an id beyond the vocabulary": {"token_ids": [[1, 2, 6], [4, 5, 0]]},
    "a negative id": {"token_ids": [[1, 2, -1], [4, 5, 0]]},
    "rows of two lengths": {"token_ids": [[1, 2, 3], [4, 5]]},
    "no rows": {"token_ids": []},
    "a schedule that does not add up": {"schedule": [2, 2]},
    "an empty step": {"schedule": [2, 1, 0]},
    "beyond the context": {"generate": 9},
    "forced tokens": {"forced": [[], []]},
    "texts of other rows": {"texts": ["one"]},
    "another case": {"id": "other"},
}


@pytest.mark.parametrize("change", CASES.values(), ids=CASES)
def test_an_unsound_case_is_refused(bundle: Path, verified: Verified, change: dict[str, Any]) -> None:
    path = bundle / "data/cases/tiny.json"
    path.write_bytes(record({**json.loads(path.read_bytes()), **change}))
    seal(bundle)
    code, said = verified(bundle)
    assert (code, "records        data/cases/tiny.json" in said) == (2, True), said


def test_uncommitted_changes_cannot_be_passed_over(bundle: Path, verified: Verified) -> None:
    path = bundle / "data/materials.json"
    git = {"commit": "c", "tree": "t", "dirty": True}
    path.write_bytes(record({**json.loads(path.read_bytes()), "git": git}))
    seal(bundle)
    assert verified(bundle)[0] == 2


def test_the_exit_code_of_the_command_line(bundle: Path, specs: Path) -> None:
    script = Path(__file__).parent.parent / "verify_bundle.py"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=False)

    own = ("--specs", str(specs), "--cases", str(specs.parent / "cases"))
    assert run("--historical", *own, str(bundle)).returncode == 0
    assert run("--nonsense").returncode == 64
    assert run(str(bundle), "--specs", str(bundle / "nowhere")).returncode == 64
    assert run(*own, str(bundle)).returncode == 3
    absent = run(*own, str(bundle / "nowhere"))
    assert (absent.returncode, "Traceback" in absent.stderr) == (70, False)


def _header(bundle: Path, change: Callable[[dict[str, Any]], None] | bytes) -> None:
    """Writes the header of the subject's run again, or puts bytes in place of the whole file."""
    path = bundle / SUBJECT_RUN
    data = path.read_bytes()
    if isinstance(change, bytes):
        path.write_bytes(change)
    else:
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        change(header)
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    list_captures(bundle)


def _metadata(**fields: Any) -> Callable[[dict[str, Any]], None]:
    def change(header: dict[str, Any]) -> None:
        inner = json.loads(header["__metadata__"]["trialplate"])
        header["__metadata__"]["trialplate"] = json.dumps({**inner, **fields})

    return change


EMBD = "step0/embd"
HEADERS: dict[str, Callable[[dict[str, Any]], None] | bytes] = {
    "seven bytes": b"1234567",
    "a length of 8 EiB": struct.pack("<Q", 2**63) + b"{}",
    "a length beyond the file": struct.pack("<Q", 3) + b"{}",
    "a blank before": struct.pack("<Q", 3) + b" {}",
    "a key twice": struct.pack("<Q", 57) + b'{"a":{"dtype":"U8","shape":[0],"shape":[0],"data_offsets":[0,0]}}'[:57],
    "a dtype of nobody": lambda h: h[EMBD].update(dtype="F8"),
    "an unknown key": lambda h: h[EMBD].update(strides=[1]),
    "a hole": lambda h: h[EMBD].update(data_offsets=[x + 4 for x in h[EMBD]["data_offsets"]]),
    "an overlap": lambda h: h[EMBD].update(data_offsets=[x - 4 for x in h[EMBD]["data_offsets"]]),
    "a negative size": lambda h: h[EMBD].update(shape=[-2, -2, 4]),
    "a size that is no integer": lambda h: h[EMBD].update(shape=[2.0, 2, 4]),
    "2⁶³ elements": lambda h: h[EMBD].update(shape=[2**32, 2**31]),
    "2⁶³ elements beside a zero": lambda h: h[EMBD].update(shape=[0, 2**32, 2**31]),
    "very many dimensions": lambda h: h[EMBD].update(shape=[1] * 65),
    "a rest": lambda h: h.popitem(),
    "step01": lambda h: h.update({"step01/a": {"dtype": "U8", "shape": [0], "data_offsets": [560, 560]}}),
    "a blank in a name": lambda h: h.update({"a b": {"dtype": "U8", "shape": [0], "data_offsets": [560, 560]}}),
    "no metadata": lambda h: h.pop("__metadata__"),
    "more metadata": lambda h: h["__metadata__"].update(more=""),
    "another schema": _metadata(schema="trialplate/capture/2"),
    "more in the metadata": _metadata(more=1),
    "a tensor of nobody not contiguous": _metadata(not_contiguous=["nobody"]),
    "a tensor not contiguous twice": _metadata(not_contiguous=[EMBD, EMBD]),
    "an identity of too little": _metadata(identity={"name": "rust"}),
}


@pytest.mark.parametrize("change", HEADERS.values(), ids=HEADERS)
def test_a_header_is_not_believed(
    bundle: Path, verified: Verified, change: Callable[[dict[str, Any]], None] | bytes
) -> None:
    _header(bundle, change)
    code, said = verified(bundle)
    assert (code, f"payload        {SUBJECT_RUN}" in said) == (2, True), said


FOLDERS: dict[str, Callable[[Path], object]] = {
    "a file that nothing lists": lambda b: (b / "data/notes").write_text("x"),
    "a hidden file": lambda b: (b / ".hidden").write_text("x"),
    "an empty folder": lambda b: (b / "data/empty").mkdir(),
    "a symbolic link": lambda b: (b / "data/link").symlink_to("/etc/passwd"),
    "a symbolic link to a folder": lambda b: (b / "data/link").symlink_to("/etc"),
    "a FIFO": lambda b: os.mkfifo(b / "data/fifo"),
    "a blank in a name": lambda b: (b / "data/a b").write_text("x"),
    "a name of no encoding": lambda b: (b / "data" / os.fsdecode(b"\xff")).write_text("x"),
    "a deep folder": lambda b: (b / "data/captures/torch@f32/deeper").mkdir(),
    "a file left out": lambda b: (b / "data/junit.xml").unlink(),
    "a tag file left out": lambda b: (b / "bag-info.txt").unlink(),
    "another declaration": lambda b: (b / "bagit.txt").write_text("BagIt-Version: 0.97\n"),
    "another size": lambda b: (b / "bag-info.txt").write_text("Payload-Oxum: 1.1\n"),
    "a path twice": lambda b: _lines(b, lambda lines: [lines[0], *lines]),
    "paths in another order": lambda b: _lines(b, lambda lines: lines[::-1]),
    "a path out of the bag": lambda b: _lines(b, lambda lines: ["0" * 64 + "  data/../../x", *lines]),
    "an upper-case digest": lambda b: _lines(b, lambda lines: [lines[0].upper(), *lines[1:]]),
    "a line left out": lambda b: _lines(b, lambda lines: lines[1:]),
}


def _lines(bundle: Path, change: Callable[[list[str]], list[str]]) -> None:
    path = bundle / "manifest-sha256.txt"
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))


@pytest.mark.parametrize("change", FOLDERS.values(), ids=FOLDERS)
def test_the_bag_is_what_its_manifests_list(bundle: Path, verified: Verified, change: Callable[[Path], object]) -> None:
    change(bundle)
    code, said = verified(bundle)
    assert (code, said.startswith("bag")) == (2, True), said


def test_what_nothing_calls_for_is_refused_though_it_is_listed(bundle: Path, verified: Verified) -> None:
    (bundle / "data/captures/candle@f32").mkdir()
    (bundle / "data/captures/candle@f32/tiny.safetensors").write_bytes(b"x")
    seal(bundle)
    code, said = verified(bundle)
    assert (code, "payload" in said) == (2, True), said


def test_names_do_not_steer_the_terminal(bundle: Path, verified: Verified) -> None:
    (bundle / "data/a\x1b[31mb").write_text("x")
    said = verified(bundle)[1]
    assert "\x1b" not in said
