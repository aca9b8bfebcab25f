"""What a run left out, and whether the model that it names is of the sizes that it says."""

import re
import tomllib
from pathlib import Path
from typing import Any

from bundle_verifier.case import fits
from bundle_verifier.evidence import Evidence
from bundle_verifier.problem import InvalidEvidenceError

SYNTHETIC = re.compile(
    r"synthetic:(?:(gpt2(?:-medium|-large|-xl)?)|((?:[0-9]{1,19},){4}[0-9]{1,19}))(?:@[0-9]+)?(?:\+outlier)?"
)
NAMED = {
    "gpt2": (12, 768, 12, 50257, 1024),
    "gpt2-medium": (24, 1024, 16, 50257, 1024),
    "gpt2-large": (36, 1280, 20, 50257, 1024),
    "gpt2-xl": (48, 1600, 25, 50257, 1024),
}


def left_out(evidence: Evidence, own_cases: Path) -> list[str]:
    """Checkpoints that are not reported, and own cases that fit the model and are not there in their own shape."""
    reported = {record["id"] for record in evidence.results["checkpoints"]}
    found = [f"checkpoint {spec.id}" for spec in evidence.specs if spec.id not in reported]
    there = {(case.id, case.batch, case.schedule, case.generate) for case in evidence.cases}
    context = evidence.plan.sizes.get("C", 0)
    for path in sorted(own_cases.glob("*.toml")):
        shape = _shape(tomllib.loads(path.read_text(encoding="utf-8")), context)
        if fits(sum(shape[2]), shape[3], context) and shape not in there:
            found.append(f"case {shape[0]}")
    return found


def _shape(own: dict[str, Any], context: int) -> tuple[str, int, tuple[int, ...], int]:
    length = context if own["length"] == "context" else int(own["length"])
    decode = int(own.get("decode", 0))
    prefill = int(own.get("prefill", length - decode))
    return own["id"], len(own["texts"]), (prefill, *[1] * decode), int(own.get("generate", 0))


def check_sizes(evidence: Evidence) -> None:
    """A synthetic model's name tells its architecture."""
    results = evidence.results
    said = SYNTHETIC.fullmatch(results["model"])
    if said is None:
        return
    layers, width, heads, vocabulary, context = NAMED[said[1]] if said[1] else map(int, said[2].split(","))
    architecture, head = results["architecture"], width // heads if heads else 0
    sizes = {"C": context, "D": width, "Dh": head, "F": 4 * width, "H": heads, "V": vocabulary}
    expected = {"layers": layers, "sizes": sizes, "constants": {"epsilon": 1e-5}}
    found = {name: architecture[name] for name in expected}
    if found != expected or head * heads != width:
        where = "data/results.json architecture"
        raise InvalidEvidenceError(where, f"{expected}, as `{results['model']}` says", f"{found}")
