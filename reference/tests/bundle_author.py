"""Tiny proof bundles for the tests of the verifier: a law of two checkpoints, two references, captures made by hand."""

import hashlib
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import record_author

from bundle_verifier.bag import Bag
from bundle_verifier.case import Case
from bundle_verifier.evidence import Evidence
from bundle_verifier.plan import Plan
from bundle_verifier.specs import read_specs

Captured = dict[str, np.ndarray[Any, Any]]
Shipment = dict[tuple[str, str], Captured]  # by folder and mode

START = """
id = "00"
name = "start"
title = "Tokens and their embedding"
[false_alarm]
probability = 1e-9
[[activation]]
name = "token_ids"
shape = ["B", "S"]
kind = "token"
steps = "every"
rule = { kind = "derived", from = "scheduled-tokens" }
[[activation]]
name = "embd"
shape = ["B", "S", "D"]
kind = "float"
steps = "every"
inputs = ["token_ids"]
rule = { kind = "exact" }
budget = { slices = ["tensor", "last"] }
replay = true
range = [-100.0, 100.0]
[[requirement]]
id = "00.1"
text = "Tokens and embedding agree."
check = "agreement"
of = ["token_ids", "embd"]
[[requirement]]
id = "00.2"
text = "No NaN and no infinity."
check = "finite"
of = ["embd"]
[[requirement]]
id = "00.3"
text = "Nothing else is there."
check = "nothing-unexpected"
of = []
"""

END = """
id = "01"
name = "end"
title = "The stream and the next token"
[[activation]]
name = "h.{l}.out"
shape = ["B", "S", "D"]
kind = "float"
steps = "every"
inputs = ["embd | h.{l-1}.out"]
rule = { kind = "classic", atol = 1e-4, rtol = 1e-5 }
budget = { slices = ["tensor", "S"], shared_rows = true }
replay = true
range = [-1.0, 1.0]
[[activation]]
name = "logits.last"
shape = ["B", "V"]
kind = "float"
steps = "every"
inputs = ["h.{L-1}.out"]
rule = { kind = "classic", atol = 1e-4, rtol = 1e-5, chained = { atol = 1e-3, rtol = 1e-5 } }
[[activation]]
name = "token"
shape = ["B"]
kind = "token"
steps = "every"
inputs = ["logits.last"]
rule = { kind = "tie" }
replay = true
[[requirement]]
id = "01.1"
text = "All of it agrees."
check = "agreement"
of = ["h.{l}.out", "logits.last", "token"]
[[requirement]]
id = "01.2"
text = "Plausible size."
check = "plausible-range"
of = ["h.{l}.out"]
[[requirement]]
id = "01.3"
text = "The token is the argmax."
check = "argmax-of-own-logits"
of = ["token"]
[[fault]]
id = "token-off-by-one"
what = "the token after the chosen one"
reason = ["exact"]
fast = true
[[fault]]
id = "rows-mixed"
what = "rows read each other"
reason = ["ceiling", "budget"]
needs = ["batch", "heads"]
fast = true
[[fault]]
id = "same-positions"
what = "every row takes the positions of the first"
reason = ["ceiling"]
equivalent = "all rows are equally long"
[[law]]
id = "prefill-splits"
arithmetic = "other-shapes"
[[law]]
id = "causality"
arithmetic = "same"
[[law]]
id = "growth-to-the-limit"
arithmetic = "other-shapes"
subject_only = true
[[law]]
id = "past-the-limit"
arithmetic = "same"
"""

SIZES = {"C": 8, "D": 4, "V": 6}
SCHEDULE = (2, 1)
TOKENS = [[1, 2, 3], [4, 5, 0]]
CASE = {"id": "tiny", "token_ids": TOKENS, "texts": None, "schedule": list(SCHEDULE), "generate": 0, "forced": None}
DTYPES = {"float64": "F64", "float32": "F32", "int64": "I64", "uint8": "U8"}
ZERO = "0" * 64
COMMIT = "a" * 40
SCHEMAS = ("assay", "captures", "case", "materials", "results")


def write_specs(folder: Path) -> Path:
    (folder / "gpt2").mkdir(parents=True)
    (folder / "gpt2" / "00-start.toml").write_text(START)
    (folder / "gpt2" / "01-end.toml").write_text(END)
    return folder


def captures(precision: str = "f32") -> Shipment:
    """What everybody would have produced: the same values, rounded to the precision of each (kept as F32)."""
    random = np.random.default_rng(0)
    exact: Captured = {}
    for step, length in enumerate(SCHEDULE):
        for name in ("embd", "h.0.out", "h.1.out"):
            exact[f"step{step}/{name}"] = random.uniform(-0.9, 0.9, (2, length, 4))
        exact[f"step{step}/logits.last"] = random.uniform(-1.0, 1.0, (2, 6))
        exact[f"step{step}/token"] = exact[f"step{step}/logits.last"].argmax(axis=-1)
    tokens = {"step0/token_ids": np.array(TOKENS)[:, :2], "step1/token_ids": np.array(TOKENS)[:, 2:]}
    stored = {name for name in exact if "logits" not in name}
    shipment: Shipment = {}
    lower = [f"{name}@{p}" for p in dict.fromkeys([precision, "f32"]) for name in ("torch", "tinygrad")]
    for folder in (f"subject-rust@{precision}", *lower, "torch@f64", "tinygrad@f64"):
        rounded = {n: x if folder.endswith("f64") or x.dtype == np.int64 else x.astype("f4") for n, x in exact.items()}
        if folder.endswith("f16"):
            rounded |= {n: x.astype("f2").astype("f4") for n, x in rounded.items() if x.dtype != np.int64}
        shipment[folder, "run"] = {**tokens, **rounded}
        shipment[folder, "replay"] = {name: rounded[name] for name in sorted(stored)}
    if precision == "f16":  # of a token that differs the oracle's logits are looked at
        shipment["torch@f64", "replay"] |= {name: x for name, x in exact.items() if name.endswith("logits.last")}
    for name in stored:
        if "token" not in name:
            shipment["torch@f64", "replay"][name.replace("/", "/magnitude/")] = np.abs(exact[name]) * 2.0 + 1.0
    return shipment


def safetensors(tensors: Captured, label: str, not_contiguous: list[str] | None = None) -> bytes:
    name, _, precision = label.rpartition("@")
    identity = {"name": name, "version": "1", "precision": precision, "device": "cpu"}
    metadata = {"schema": "trialplate/capture/1", "identity": identity, "not_contiguous": not_contiguous or []}
    header: dict[str, Any] = {"__metadata__": {"trialplate": json.dumps(metadata)}}
    data = b""
    for tensor, values in tensors.items():
        end = len(data) + values.nbytes
        dtype = DTYPES[values.dtype.name]
        header[tensor] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [len(data), end]}
        data += values.tobytes()
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def write_bundle(
    folder: Path, specs: Path, shipment: Shipment, precision: str = "f32", keep: str = "full", extent: str = "all"
) -> None:
    """A bundle whose record follows from the captures."""
    own = read_specs(specs / "gpt2")
    files = {f"data/spec/{name}": data for name, data in own.files.items()}
    for (implementation, mode), tensors in shipment.items():
        suffix = ".safetensors" if mode == "run" else ".replay.safetensors"
        label = implementation.removeprefix("subject-")
        files[f"data/captures/{implementation}/tiny{suffix}"] = safetensors(tensors, label)
    files["data/cases/tiny.json"] = record(CASE)
    materials = _materials(own.digest())
    files["data/materials.json"] = record(materials)
    files |= {f"data/report.{name}": b"rendered\n" for name in ("html", "md")}
    files |= {f"data/schema/{name}.json": b"{}\n" for name in SCHEMAS}
    files["data/junit.xml"] = b"rendered\n"
    _write(folder, files)
    evidence = _evidence(folder, specs, materials, precision)
    results, assay = record_author.results(evidence, keep, extent)
    digest_only = results["tensors"]["digest_only"]
    _write(folder, {f"data/assays/{case}.json": record(assay) for case in digest_only})
    _write(folder, {"data/results.json": record(results)})
    _keep(folder, digest_only)
    seal(folder)


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def _keep(folder: Path, digest_only: list[str]) -> None:
    """Writes captures.json; without tensors where only their digests are kept."""
    entries = []
    for path in sorted((folder / "data/captures").rglob("*.safetensors"), key=str):
        stored = "tiny" not in digest_only
        size = path.stat().st_size
        entry = {"path": str(path.relative_to(folder)), "bytes": size, "sha256": _sha256(path), "stored": stored}
        entries.append(entry)
        if not stored:
            path.unlink()
    if digest_only:
        shutil.rmtree(folder / "data/captures")
    _write(folder, {"data/captures.json": record({"schema": "trialplate/captures/1", "captures": entries})})


def list_captures(folder: Path) -> None:
    """Makes captures.json fit what is there."""
    _keep(folder, [])
    seal(folder)


def seal(folder: Path) -> None:
    """Makes name and manifests fit what is there."""
    payload = sorted(path for path in (folder / "data").rglob("*") if path.is_file() and not path.is_symlink())
    (folder / "bagit.txt").exists() or (folder / "bagit.txt").write_text(
        "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
    )
    size = sum(path.stat().st_size for path in payload)
    lines = ["Bag-Software-Agent: trialplate 1", "Bagging-Date: 2026-01-02", f"External-Identifier: {name(folder)}"]
    (folder / "bag-info.txt").write_text("\n".join([*lines, f"Payload-Oxum: {size}.{len(payload)}\n"]))
    (folder / "manifest-sha256.txt").write_text(_manifest(folder, payload))
    tags = [path for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(folder / "data")]
    tags = [path for path in tags if path.name != "tagmanifest-sha256.txt"]
    (folder / "tagmanifest-sha256.txt").write_text(_manifest(folder, tags))


def name(folder: Path) -> str:
    """What the bundle must be called; of a record that cannot be read, anything."""
    try:
        if (folder / "data/results.json").stat().st_size > 1 << 24:
            return "unknown"
        results = json.loads((folder / "data/results.json").read_bytes())
        materials = json.loads((folder / "data/materials.json").read_bytes())
        cases = [json.loads((folder / f"data/cases/{case['id']}.json").read_bytes()) for case in results["cases"]]
        ids = [checkpoint["id"] for checkpoint in results["checkpoints"]]
        what = [materials, *(results[key] for key in ("model", "subject", "references")), cases, ids]
        run = hashlib.sha256(record([*what, results["tensors"]["keep"]])).hexdigest()
        commit = materials["git"]["commit"][:12] if materials["git"] else "no-commit"
        return f"{commit}-{materials['specs'][:8]}-{run[:8]}"
    except (ValueError, KeyError, TypeError, OSError, RecursionError):
        return "unknown"


def record(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(folder: Path, paths: list[Path]) -> str:
    lines = [f"{_sha256(path)}  {path.relative_to(folder)}\n" for path in paths]
    return "".join(sorted(lines, key=lambda line: line[66:]))


def _materials(specs: str) -> dict[str, Any]:
    git = {"commit": COMMIT, "tree": "b" * 40, "dirty": False}
    digests = {"cargo_lock": ZERO, "python_lock": ZERO, "reference_source": ZERO, "specs": specs}
    files: dict[str, Any] = {"weights": [], "tokenizer": [], "subject_weights": None}
    machine = {"toolchain": "rustc", "cpu": "one", "os": "Linux", "threads": 1}
    return {"schema": "trialplate/materials/1", "git": git, **digests, **files, **machine}


def _evidence(folder: Path, specs: Path, materials: dict[str, Any], precision: str) -> Evidence:
    def identity(name: str, precision: str) -> dict[str, str]:
        return {"name": name, "version": "1", "precision": precision, "device": "cpu"}

    own = read_specs(specs / "gpt2")
    architecture = {"family": "gpt2", "layers": 2, "sizes": dict(SIZES), "constants": {"epsilon": 0.5}}
    results = {
        "schema": "trialplate/results/1",
        "model": "tiny",
        "architecture": architecture,
        "subject": identity("rust", precision),
        "references": [identity("torch", "f64"), identity("tinygrad", "f64")],
        "cases": [{"id": "tiny", "about": "", "batch": 2, "tokens": 3, "steps": 2, "generate": 0}],
    }
    sizes = {str(p.relative_to(folder)): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
    case = Case("tiny", TOKENS, False, SCHEDULE, 0)
    return Evidence(Bag(folder, sizes, {}, ""), own, Plan(own, architecture), results, materials, [case])
