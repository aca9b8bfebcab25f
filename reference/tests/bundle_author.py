"""Tiny proof bundles for the tests of the verifier: a law of two checkpoints, a tiny model of it, two references."""

import hashlib
import json
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import record_author
from tiny_law import CASE, EPSILON, LAYERS, SIZES, Captured, case, config, run, weights, write_specs

from bundle_verifier.bag import Bag
from bundle_verifier.evidence import Evidence
from bundle_verifier.model import load_model
from bundle_verifier.plan import Plan
from bundle_verifier.specs import read_specs

__all__ = ["captures", "list_captures", "model_files", "record", "seal", "write_bundle", "write_specs"]

Shipment = dict[str, Captured]  # by folder

DTYPES = {"float64": "F64", "float32": "F32", "int64": "I64", "uint8": "U8"}
ZERO = "0" * 64
COMMIT = "a" * 40
SCHEMAS = ("assay", "captures", "case", "materials", "results")


def captures(specs: Path, precision: str = "f32") -> Shipment:
    """What everybody produces: correct implementations in ways of their own (kept as F32), and the voices at f64."""
    half = None if precision == "f32" else precision
    shipment = {f"subject-rust@{precision}": run(specs, 0, half)}
    for p in dict.fromkeys([precision, "f32"]):
        of_peer = None if p == "f32" else p
        shipment |= {f"torch@{p}": run(specs, 1, of_peer), f"tinygrad@{p}": run(specs, 2, of_peer)}
    return shipment | {"torch@f64": run(specs, None), "tinygrad@f64": run(specs, None)}


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
    folder: Path,
    specs: Path,
    shipment: Shipment,
    precision: str = "f32",
    keep: str = "full",
    extent: str = "all",
    own_weights: Captured | None = None,
) -> None:
    """A bundle whose record follows from the captures and the weights."""
    own = read_specs(specs, "gpt2")
    files = {f"data/spec/{name.replace('/', '-')}": data for name, data in own.files.items()}
    for implementation, tensors in shipment.items():
        label = implementation.removeprefix("subject-")
        files[f"data/captures/{implementation}/tiny.safetensors"] = safetensors(tensors, label)
    files["data/cases/tiny.json"] = record(CASE)
    model = model_files(own_weights or weights())
    materials = _materials(own.digest(), model)
    files |= {f"data/model/{name}": data for name, data in model.items()}
    files["data/materials.json"] = record(materials)
    files |= {f"data/report.{name}": b"rendered\n" for name in ("html", "md")}
    files |= {f"data/schema/{name}.json": b"{}\n" for name in SCHEMAS}
    files["data/junit.xml"] = b"rendered\n"
    _write(folder, files)
    evidence = _evidence(folder, specs, materials, precision)
    evidence.model = load_model(evidence, folder / "data/model")
    results, assay = record_author.results(evidence, keep, extent)
    digest_only = results["tensors"]["digest_only"]
    _write(folder, {f"data/assays/{case}.json": record(assay) for case in digest_only})
    (folder.parent / f"{folder.name}-assay.json").write_bytes(record(assay))
    _write(folder, {"data/results.json": record(results)})
    _keep(folder, digest_only)
    seal(folder)


def model_files(own: Captured) -> dict[str, bytes]:
    header: dict[str, Any] = {}
    data = b""
    for name, values in own.items():
        offsets = [len(data), len(data) + values.nbytes]
        header[f"transformer.{name}"] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": offsets}
        data += values.tobytes()
    text = json.dumps(header).encode()
    return {"config.json": config().encode(), "model.safetensors": struct.pack("<Q", len(text)) + text + data}


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
    _write(folder, {"data/captures.json": record({"schema": "trialplate/captures/2.0", "captures": entries})})


def list_captures(folder: Path) -> None:
    """Makes captures.json fit what is there."""
    _keep(folder, [])
    seal(folder)


def seal(folder: Path, without_cases: int = 0) -> None:
    """Makes name and manifests fit what is there."""
    payload = sorted(path for path in (folder / "data").rglob("*") if path.is_file() and not path.is_symlink())
    (folder / "bagit.txt").exists() or (folder / "bagit.txt").write_text(
        "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
    )
    size = sum(path.stat().st_size for path in payload)
    (folder / "manifest-sha256.txt").write_text(_manifest(folder, payload))
    lines = ["Bag-Software-Agent: trialplate 1", "Trialplate-Format: 2.0", "Bagging-Date: 2026-01-02"]
    lines.append(f"External-Identifier: {name(folder, without_cases)}")
    (folder / "bag-info.txt").write_text("\n".join([*lines, f"Payload-Oxum: {size}.{len(payload)}\n"]))
    tags = [path for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(folder / "data")]
    tags = [path for path in tags if path.name != "tagmanifest-sha256.txt"]
    (folder / "tagmanifest-sha256.txt").write_text(_manifest(folder, tags))


def name(folder: Path, without_cases: int = 0) -> str:
    """What the bundle must be called; of a record that cannot be read, anything."""
    try:
        if (folder / "data/results.json").stat().st_size > 1 << 24:
            return "unknown"
        results = json.loads((folder / "data/results.json").read_bytes())
        materials = json.loads((folder / "data/materials.json").read_bytes())
        commit = materials["git"]["commit"][:12] if materials["git"] else "no-commit"
        digests = [commit, materials["specs"][:8], _sha256(folder / "manifest-sha256.txt")[:8]]
        return "-".join([*digests, *_words(results, materials, without_cases)])
    except (ValueError, KeyError, TypeError, OSError, RecursionError, AttributeError):
        return "unknown"


def _words(results: dict[str, Any], materials: dict[str, Any], without_cases: int) -> Iterator[str]:
    subject, references = results["subject"], [reference["name"] for reference in results["references"]]
    if materials["git"] and materials["git"]["dirty"]:
        yield "dirty"
    if (subject["name"], subject["precision"]) != ("rust", "f32"):
        yield f"subject-{subject['name']}@{subject['precision']}"
    if references != ["torch", "tinygrad"]:
        yield f"references-{'+'.join(references)}" if references else "references-none"
    if results["faults"]["extent"] != "all":
        yield f"faults-{results['faults']['extent']}"
    if results["tensors"]["keep"] != "full":
        yield f"tensors-{results['tensors']['keep']}"
    if not materials["weights_in_bundle"]:
        yield "without-weights"
    if without_cases:
        yield f"without-{without_cases}-cases"
    if results["exit_code"] == 4:
        yield "incomplete"


def record(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(folder: Path, paths: list[Path]) -> str:
    lines = [f"{_sha256(path)}  {path.relative_to(folder)}\n" for path in paths]
    return "".join(sorted(lines, key=lambda line: line[66:]))


def _materials(specs: str, model: dict[str, bytes]) -> dict[str, Any]:
    def known(value: object) -> dict[str, Any]:
        return {"value": value, "reason": None}

    files = [{"name": n, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for n, data in model.items()]
    build = {
        "profile": "release",
        "rustc": "rustc",
        "target": "x",
        "opt_level": "3",
        "target_features": ["fxsr", "sse"],
    }
    return {
        "schema": "trialplate/materials/2.0",
        "git": {"commit": COMMIT, "tree": "b" * 40, "dirty": False},
        "diff": {"value": None, "reason": "the work tree is clean"},
        **{"cargo_lock": ZERO, "python_lock": ZERO, "reference_source": ZERO, "specs": specs},
        **{"weights": files, "tokenizer": [], "weights_in_bundle": True, "subject_weights": None},
        "subject_executable": known({"name": "trialplate", "bytes": 1, "sha256": ZERO}),
        "subject_build": known(build),
        "toolchain": known("rustc"),
        "cpu": {"model": known("one"), "features": known(["avx2", "fma"])},
        "os": known("Linux"),
        "threads": 1,
    }


def _evidence(folder: Path, specs: Path, materials: dict[str, Any], precision: str) -> Evidence:
    def identity(name: str, precision: str) -> dict[str, str]:
        return {"name": name, "version": "1", "precision": precision, "device": "cpu"}

    own = read_specs(specs, "gpt2")
    architecture = {"family": "gpt2", "layers": LAYERS, "sizes": dict(SIZES), "constants": {"epsilon": EPSILON}}
    results = {
        "schema": "trialplate/results/2.0",
        "model": "tiny",
        "architecture": architecture,
        "subject": identity("rust", precision),
        "references": [identity("torch", "f64"), identity("tinygrad", "f64")],
        "cases": [{"id": "tiny", "about": "", "batch": 2, "tokens": 3, "steps": 2, "generate": 2}],
    }
    sizes = {str(p.relative_to(folder)): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
    return Evidence(Bag(folder, sizes, {}, "", "2.0"), own, Plan(own, architecture), results, materials, [case()])
