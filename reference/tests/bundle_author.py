"""Tiny proof bundles for the tests of the verifier: a law of two checkpoints, two references, captures made by hand."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from bundle_verifier import judge
from bundle_verifier.bag import Bag
from bundle_verifier.budget import Systematic
from bundle_verifier.checks import CaseChecker, Finding
from bundle_verifier.comparisons import CaseComparer, Comparison
from bundle_verifier.elements import Element
from bundle_verifier.evidence import Captures, Evidence, Outcome
from bundle_verifier.judge import JudgedCheckpoint, JudgedRequirement
from bundle_verifier.law import Case, read_law
from bundle_verifier.peers import Peers, reservations
from bundle_verifier.plan import Plan
from bundle_verifier.quorum import Quorum
from bundle_verifier.schema import spelled

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
"""

SIZES = {"C": 8, "D": 4, "V": 6}
SCHEDULE = (2, 1)
TOKENS = [[1, 2, 3], [4, 5, 0]]
CASE = {"id": "tiny", "token_ids": TOKENS, "texts": None, "schedule": list(SCHEDULE), "generate": 0, "forced": None}
DTYPES = {"float64": "F64", "float32": "F32", "int64": "I64", "uint8": "U8"}
ZERO = "0" * 64


def write_specs(folder: Path) -> Path:
    (folder / "gpt2").mkdir(parents=True)
    (folder / "gpt2" / "00-start.toml").write_text(START)
    (folder / "gpt2" / "01-end.toml").write_text(END)
    return folder


def captures() -> Shipment:
    """What everybody would have produced: the same values, rounded to the precision of each."""
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
    for folder in ("subject-rust@f32", "torch@f32", "tinygrad@f32", "torch@f64", "tinygrad@f64"):
        rounded = {n: x if folder.endswith("f64") or x.dtype == np.int64 else x.astype("f4") for n, x in exact.items()}
        if folder.endswith("f32"):  # the sum of two stored numbers has one rounding, so everybody's embedding is one
            rounded |= {name: exact[name].astype("f4") for name in exact if name.endswith("embd")}
        shipment[folder, "run"] = {**tokens, **rounded}
        shipment[folder, "replay"] = {name: rounded[name] for name in sorted(stored)}
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


def write_bundle(folder: Path, specs: Path, shipment: Shipment) -> None:
    """A bundle whose record follows from the captures."""
    law = read_law(specs / "gpt2")
    files = {f"data/spec/{name}": data for name, data in law.files.items()}
    for (implementation, mode), tensors in shipment.items():
        suffix = ".safetensors" if mode == "run" else ".replay.safetensors"
        label = implementation.removeprefix("subject-")
        files[f"data/captures/{implementation}/tiny{suffix}"] = safetensors(tensors, label)
    files["data/cases/tiny.json"] = record(CASE)
    materials = _materials(law.digest())
    files["data/materials.json"] = record(materials)
    for name in ("html", "md"):
        files[f"data/report.{name}"] = b"rendered\n"
    files["data/junit.xml"] = b"rendered\n"
    write_bag(folder, files)
    results = _results(_evidence(folder, specs, materials))
    write_bag(folder, {"data/results.json": record(results)})


def write_bag(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    seal(folder)


def seal(folder: Path) -> None:
    """Makes the manifests fit what is there."""
    payload = sorted(path for path in (folder / "data").rglob("*") if path.is_file())
    (folder / "bagit.txt").write_text("BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
    size = sum(path.stat().st_size for path in payload)
    (folder / "bag-info.txt").write_text(f"Payload-Oxum: {size}.{len(payload)}\n")
    (folder / "manifest-sha256.txt").write_text(_manifest(folder, payload))
    tags = [folder / name for name in ("bag-info.txt", "bagit.txt", "manifest-sha256.txt")]
    (folder / "tagmanifest-sha256.txt").write_text(_manifest(folder, tags))


def record(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def measure(value: float) -> str:
    return f"{spelled(value)}={struct.pack('>d', value).hex()}"


def _manifest(folder: Path, paths: list[Path]) -> str:
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in paths]
    return "".join(sorted(lines, key=lambda line: line[66:]))


def _materials(specs: str) -> dict[str, Any]:
    digests = {"cargo_lock": ZERO, "python_lock": ZERO, "reference_source": ZERO, "specs": specs}
    files: dict[str, Any] = {"weights": [], "tokenizer": [], "subject_weights": None}
    machine = {"toolchain": "rustc", "cpu": "one", "os": "Linux", "threads": 1}
    return {"schema": "trialplate/materials/1", "git": None, **digests, **files, **machine}


def _evidence(folder: Path, specs: Path, materials: dict[str, Any]) -> Evidence:
    def identity(name: str, precision: str) -> dict[str, str]:
        return {"name": name, "version": "1", "precision": precision, "device": "cpu"}

    law = read_law(specs / "gpt2")
    architecture = {"family": "gpt2", "layers": 2, "sizes": dict(SIZES), "constants": {"epsilon": 0.5}}
    results = {
        "schema": "trialplate/results/1",
        "model": "tiny",
        "architecture": architecture,
        "subject": identity("rust", "f32"),
        "references": [identity("torch", "f64"), identity("tinygrad", "f64")],
        "cases": [{"id": "tiny", "about": "", "batch": 2, "tokens": 3, "steps": 2, "generate": 0}],
        "reservations": [],
        "incidents": [],
    }
    sizes = {str(p.relative_to(folder)): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
    case = Case("tiny", TOKENS, False, SCHEDULE, 0)
    return Evidence(Bag(folder, sizes), law, Plan(law, architecture, results["cases"]), results, materials, [case])


def _results(evidence: Evidence) -> dict[str, Any]:
    case, results = evidence.cases[0], evidence.results
    quorum, peers = Quorum(evidence), Peers(evidence)
    with Captures(evidence, case) as opened:
        confidence = evidence.plan.confidence(evidence.cases)
        comparisons, observations = CaseComparer(evidence, case, opened, confidence).comparisons()
        for comparison in comparisons:
            judge.judge_comparison(comparison, own_weights=False)
        judge.spread_taint(evidence, case, comparisons)
        peers.add(comparisons, observations)
        quorum.add(case, opened)
        checker = CaseChecker(evidence, case, opened)
        checkpoints = [_checkpoint(evidence, checker, spec_id, comparisons) for spec_id in ("00", "01")]
    word = quorum.verdict(judge.as_claimed(evidence, {case.id: comparisons}))
    for checkpoint in checkpoints:
        judge.judge_checkpoint(checkpoint, word)
    found = peers.in_order()
    results["checkpoints"] = list(map(_recorded_checkpoint, checkpoints))
    results["reservations"] = reservations(evidence, checkpoints, found)
    verdict, exit_code = judge.run_verdict(evidence, checkpoints, word)
    return {
        **{name: results[name] for name in ("schema", "model", "architecture", "subject", "references", "cases")},
        "quorum": {
            **{"verdict": word, "compared": quorum.compared, "required": quorum.required},
            **{"used": measure(quorum.used), "worst": quorum.worst},
            "disagreement": quorum.disagreement and _finding(quorum.disagreement),
        },
        "checkpoints": results["checkpoints"],
        "first_divergence": judge.first_divergence(evidence, checkpoints),
        "peers": [
            {
                "checkpoint": peer.checkpoint,
                "implementation": peer.implementation,
                "run_max_abs": measure(peer.run_max_abs),
                "replay_max_abs": measure(peer.replay_max_abs),
                "budget_used": None if peer.budget_used is None else measure(peer.budget_used),
            }
            for peer in found
        ],
        **{"incidents": [], "reservations": results["reservations"], "notes": [], "options": []},
        **{"verdict": verdict, "exit_code": exit_code},
    }


def _checkpoint(
    evidence: Evidence, checker: CaseChecker, spec_id: str, comparisons: list[Comparison]
) -> JudgedCheckpoint:
    spec = next(spec for spec in evidence.law.specs if spec.id == spec_id)
    own = [c for c in comparisons if c.required.activation.spec == spec_id]
    requirements = []
    for requirement in spec.requirements:
        if requirement.check == "agreement":
            judged = judge.judge_agreement(requirement, own)
        else:
            judged = JudgedRequirement(requirement, *checker.check(spec_id, requirement)[:2])
            judged.findings = checker.check(spec_id, requirement)[2]
            judge.judge_findings(judged)
        requirements.append(judged)
    return JudgedCheckpoint(spec, own, requirements, judge.required_comparisons(evidence, spec))


def _recorded_checkpoint(judged: JudgedCheckpoint) -> dict[str, Any]:
    return {
        **{"id": judged.spec.id, "name": judged.spec.name, "title": judged.spec.title, "verdict": judged.verdict},
        **{"compared": judged.compared, "required": judged.required, "ties": judged.ties},
        "comparisons": list(map(_comparison, judged.comparisons)),
        "requirements": [
            {
                **{"id": r.requirement.id, "text": r.requirement.text, "checked": r.checked, "required": r.required},
                **{"verdict": r.verdict, "findings": list(map(_finding, r.findings))},
            }
            for r in judged.requirements
        ],
        "not_applicable": [],
    }


def _finding(finding: Finding) -> dict[str, str]:
    return {"case": finding.case, "tensor": finding.tensor, "reason": finding.reason, "message": "as measured"}


def _comparison(c: Comparison) -> dict[str, Any]:
    required = c.required
    return {
        **{"name": required.plain, "layer": required.layer, "step": required.step, "case": c.case.id, "mode": c.mode},
        **{"reference": c.reference, "outcome": _outcome(c), "verdict": c.verdict, "reason": c.reason},
        "chained_allowed": None if c.chained_allowed is None else measure(c.chained_allowed),
        "downstream": c.downstream,
    }


def _outcome(c: Comparison) -> dict[str, Any]:
    o = c.outcome
    if isinstance(o, Outcome):
        if o.kind == "missing":
            return {"kind": "missing", "side": o.side}
        plain = [list(x) if isinstance(x, tuple) else x for x in (o.expected, o.found)]
        return {"kind": o.kind, "expected": plain[0], "found": plain[1], "side": o.side}
    statistics: dict[str, Any] = {"elements": o.elements, "violations": o.violations, "non_finite": o.non_finite}
    statistics |= {name: measure(getattr(o, name)) for name in ("max_abs", "mean_abs", "max_rel", "rmse")}
    statistics |= {"cosine": None if o.cosine is None else measure(o.cosine), "max_ulp": o.max_ulp}
    statistics |= {"used": measure(o.used), "range": o.range and list(map(measure, o.range)), "buckets": o.buckets}
    statistics |= {"worst": list(map(_element, o.worst)), "ties": o.ties, "budget": None}
    if o.budget is not None:
        worst = None if o.budget.worst is None else _element(o.budget.worst)
        statistics["budget"] = {"used": measure(o.budget.used), "violations": o.budget.violations, "worst": worst}
        statistics["budget"]["systematic"] = list(map(_systematic, o.budget.systematic))
    return {"kind": "compared", "shape": list(c.required.shape), "statistics": statistics}


def _element(e: Element) -> dict[str, Any]:
    values = {name: measure(getattr(e, name)) for name in ("actual", "expected", "error", "allowed")}
    return {"index": list(e.index), **values}


def _systematic(s: Systematic) -> dict[str, Any]:
    names = ("scale", "scale_allowed", "offset", "offset_allowed", "used")
    return {"axis": s.axis, "index": s.index, **{name: measure(getattr(s, name)) for name in names}}
