"""Whole bundles: one that follows from its tensors is taken, every way to make one lie is seen."""

import copy
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_author import captures, list_captures, record, seal, write_bundle
from bundle_fixtures import Results, Verified, comparison, statistics
from record_author import measure

RESULTS = "data/results.json"
SUBJECT_RUN = "data/captures/subject-rust@f32/tiny.safetensors"


def test_a_bundle_that_follows_from_its_tensors_conforms(bundle: Path, verified: Verified) -> None:
    code, said = verified(bundle)
    assert code == 0, said
    assert "36 comparisons, every word again" in said
    assert "verdict        pass: conforming" in said


SUBJECT = "subject-rust@f32"


def _shifted(name: str, by: float, folder: str = SUBJECT) -> Callable[[Any], None]:
    def change(shipment: Any) -> None:
        shipment[folder][name] = (shipment[folder][name] + by).astype(shipment[folder][name].dtype)

    return change


def _without(name: str) -> Callable[[Any], None]:
    def change(shipment: Any) -> None:
        del shipment[SUBJECT][name]

    return change


def _the_same_nan_at_f32(shipment: Any) -> None:
    for folder, tensors in shipment.items():
        if folder.endswith("f32"):
            tensors["step0/h.1.out"] = tensors["step0/h.1.out"].copy()
            tensors["step0/h.1.out"][0, 0, 0] = np.nan


def _scaled(shipment: Any) -> None:
    shipment[SUBJECT]["step0/logits"] = shipment[SUBJECT]["step0/logits"] * np.float32(1.00001)


@pytest.mark.parametrize(
    ("change", "exit_code", "word"),
    [
        (_shifted("step0/h.1.out", 0.01), 1, "fail"),
        (_shifted("step0/embd", 1e-3), 1, "fail"),
        (_shifted("step1/h.0.cached", 1e-3), 1, "fail"),
        (_shifted("generated.logits", 1e-3), 1, "fail"),
        (_shifted("generated", 1), 1, "fail"),
        (_shifted("step1/token", 1), 1, "fail"),
        (_shifted("weights.h.0.fc.bias", 1), 1, "fail"),
        (_scaled, 1, "fail"),
        (_without("step0/logits"), 4, "incomplete"),
        (_without("step1/h.0.fc"), 4, "incomplete"),
        (_the_same_nan_at_f32, 1, "fail"),
        (_shifted("step1/h.0.out", 1e-6, "tinygrad@f64"), 4, "error"),
        (_shifted("step1/h.0.out", 1e-6, "torch@f64"), 4, "error"),
    ],
)
def test_an_honest_record_of_a_bad_run_is_valid_and_not_green(
    tmp_path: Path, specs: Path, verified: Verified, change: Callable[[Any], None], exit_code: int, word: str
) -> None:
    shipment = captures(specs)
    change(shipment)
    write_bundle(tmp_path / "bundle", specs, shipment)
    code, said = verified(tmp_path / "bundle")
    assert (code, f"verdict        {word}:" in said) == (exit_code, True), said


def _chained(**fields: Any) -> Callable[[Results], None]:
    return lambda results: comparison(results, "generated.logits").update(fields)


def _chained_number(name: str, value: Any) -> Callable[[Results], None]:
    return lambda results: comparison(results, "generated.logits")["outcome"]["statistics"].update({name: value})


def _number(name: str, value: Any) -> Callable[[Results], None]:
    return lambda results: statistics(results).update({name: value})


def _budget(name: str, value: Any) -> Callable[[Results], None]:
    return lambda results: statistics(results)["budget"].update({name: value})


def _systematic(name: str, value: Any) -> Callable[[Results], None]:
    return lambda results: statistics(results)["budget"]["systematic"][0].update({name: value})


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
    "a chained bound where there is none": lambda r: _first(r).update(chained_allowed=measure(1.0)),
    "a chained bound that no replica gives": _chained(chained_allowed=measure(1.0)),
    "a chained bound far below": _chained(chained_allowed=measure(1e-12)),
    "no chained bound": _chained(chained_allowed=None),
    "chained error": _chained_number("rmse", measure(1e-12)),
    "chained used": _chained_number("used", measure(0.0)),
    "isolated for chained": _chained(mode="isolated"),
    "a bound that is wider": lambda r: statistics(r)["budget"]["worst"].update(allowed=measure(1.0)),
    "another share": _budget("used", measure(0.3)),
    "the worst elsewhere": lambda r: statistics(r)["worst"][0].update(index=[1, 1, 7]),
    "voices": _set([], "quorum", "voices"),
    "another lineage": _set("its own", "quorum", "voices", 0, "lineage"),
    "growth left out": _set([], "growth"),
    "a row of growth left out": lambda r: r["growth"].pop(),
    "a chained error that grows less": lambda r: r["growth"][-1]["errors"][0].update(rmse=measure(0.0)),
    "a chained error of nobody": lambda r: r["growth"][0]["errors"].pop(),
    "a better ceiling": _set(measure(0.0), "peers", 3, "ceiling_used"),
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
    "a better peer": _set(measure(1.0), "peers", 1, "chained_max_abs"),
    "an invented reservation": _set([{"checkpoint": "00", "message": "none"}], "reservations"),
    "an invented divergence": _set(
        {"checkpoint": "00", "activation": "embd", "case": "tiny", "step": 0, "mode": "isolated", "reason": "exact"},
        "first_divergence",
    ),
    "verdict of the run": _set("conditional", "verdict"),
    "exit code": _set(1, "exit_code"),
    "layers": _set(1, "architecture", "layers"),
    "no layers": _set(0, "architecture", "layers"),
    "very many layers": _set(2**63, "architecture", "layers"),
    "a size left out": _delete("architecture", "sizes", "D"),
    "a constant left out": _delete("architecture", "constants", "epsilon"),
    "a huge size": _set(2**62, "architecture", "sizes", "D"),
    "another family": _set("gpt3", "architecture", "family"),
    "a family that the verifier has specs of and does not compute": _set("llama", "architecture", "family"),
    "a feature that the verifier does not compute": _set(["relu"], "architecture", "features"),
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


FORMATS = {
    "1.0": "trialplate 0.1",
    "3.0": "a later trialplate",
    "2.2": "newer",
    "2": "two numbers",
    "02.0": "two numbers",
}


@pytest.mark.parametrize(("version", "said"), FORMATS.items())
def test_another_version_is_refused_with_who_reads_it(
    bundle: Path, verified: Verified, version: str, said: str
) -> None:
    info = bundle / "bag-info.txt"
    info.write_text(re.sub(r"Format: \d\.\d", f"Format: {version}", info.read_text()))
    code, found = verified(bundle)
    assert (code, said in found) == (2, True), found


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
    "an id beyond the vocabulary": {"token_ids": [[1, 2, 12], [4, 5, 0]]},
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


def _empty(header: dict[str, Any]) -> dict[str, Any]:
    end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    return {"dtype": "U8", "shape": [0], "data_offsets": [end, end]}


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
    "a negative size": lambda h: h[EMBD].update(shape=[-2, -2, 8]),
    "a size that is no integer": lambda h: h[EMBD].update(shape=[2.0, 2, 8]),
    "2⁶³ elements": lambda h: h[EMBD].update(shape=[2**32, 2**31]),
    "2⁶³ elements beside a zero": lambda h: h[EMBD].update(shape=[0, 2**32, 2**31]),
    "very many dimensions": lambda h: h[EMBD].update(shape=[1] * 65),
    "a rest": lambda h: h.popitem(),
    "step01": lambda h: h.update({"step01/a": _empty(h)}),
    "a blank in a name": lambda h: h.update({"a b": _empty(h)}),
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
