"""The model of a bundle: whether a folder holds its files, and how it is computed with."""

import hashlib
import json
from pathlib import Path
from typing import Any

from bundle_verifier.bag import PIECE
from bundle_verifier.evaluation import Model
from bundle_verifier.evidence import Evidence, file_name
from bundle_verifier.family import Dimensions, size
from bundle_verifier.graph import resolved
from bundle_verifier.problem import InvalidEvidenceError, brief
from bundle_verifier.pull import no_constant, no_key_twice
from bundle_verifier.weights import Weight, read_weights

LARGEST_MODEL, LARGEST_CONFIG = 64 << 20, 1 << 20
FOLDER, CONFIG = "data/model", "config.json"
OF_WEIGHTS = (".safetensors", ".safetensors.index.json")
RESULTS, MATERIALS = "data/results.json", "data/materials.json"
Files = list[dict[str, Any]]


def files_of(materials: dict[str, Any]) -> Files:
    return [*materials["weights"], *materials["tokenizer"]]


def check_model_files(materials: dict[str, Any]) -> None:
    """What comes with a bundle: not too large, and with names that a file of a bundle may have."""
    files = files_of(materials)
    if not materials["weights_in_bundle"]:
        return
    names = [file["name"] for file in files]
    total = sum(file["bytes"] for file in files)
    if not materials["weights"] or total > LARGEST_MODEL:
        expected = f"weights in the bundle of at most {LARGEST_MODEL} bytes"
        raise InvalidEvidenceError(f"{MATERIALS} weights", expected, f"{len(files)} files of {total}")
    if any(file_name(name) != name for name in names) or len({name.lower() for name in names}) != len(names):
        raise InvalidEvidenceError(f"{MATERIALS} weights", "names of files of a bundle, each once", f"{names}")


def other_files(folder: Path, materials: dict[str, Any]) -> str | None:
    """What makes a folder another model than the bundle's; None where it is the same."""
    files = files_of(materials)
    if not materials["weights"]:
        return "the materials name no file of it"
    for file in files:
        path = folder / file["name"]
        if file_name(file["name"]) != file["name"]:
            return f"{brief(repr(file['name']))} is not the name of a file"
        if not path.is_file():
            return f"{file['name']} is missing"
        if path.stat().st_size != file["bytes"] or _digest(path) != file["sha256"]:
            return f"{file['name']} is not of {file['bytes']} bytes with SHA-256 {file['sha256']}"
    known = {file["name"] for file in materials["weights"]}
    others = [path.name for path in folder.iterdir() if path.name.endswith(OF_WEIGHTS) and path.name not in known]
    return f"{others[0]} is there as well" if others else None


def load_model(evidence: Evidence, folder: Path) -> Model:
    """Out of a folder that holds the files of the bundle's model, once they are what the record says of them."""
    architecture, family = evidence.results["architecture"], evidence.specs.family
    dimensions = Dimensions(architecture["layers"], architecture["sizes"], dict(architecture["constants"]))
    lacking = sorted(set(family.table.get("constants", {})) - set(dimensions.constants))
    if lacking:
        raise InvalidEvidenceError(f"{RESULTS} architecture.constants", f"{lacking} as well", f"{dimensions.constants}")
    if not any(file["name"] == CONFIG for file in evidence.materials["weights"]):
        raise InvalidEvidenceError(f"{MATERIALS} weights", f"{CONFIG} among them", "no such file")
    if (folder / CONFIG).is_file():
        _check_config(evidence, folder / CONFIG, dimensions)
    try:
        weights = read_weights(folder, family.prefixes, family.buffers)
    except FileNotFoundError as error:
        raise InvalidEvidenceError(FOLDER, "weights", str(error)) from None
    kept: dict[str, Weight] = {}
    for name, shape in _shapes(evidence, dimensions).items():
        found = weights.get(name)
        if found is None or found.shape != shape:
            said = "none" if found is None else f"{list(found.shape)}"
            raise InvalidEvidenceError(f"{FOLDER} {name}", f"a weight of shape {list(shape)}", said)
        kept[name] = found
    for copy, original in family.table.get("tied", {}).items():
        if copy in weights and weights[copy].digest() != kept[original].digest():
            raise InvalidEvidenceError(f"{FOLDER} {copy}", f"the bits of {original}, to which it is tied", "others")
    return Model(evidence.specs.graph, dimensions, kept)


def _check_config(evidence: Evidence, path: Path, dimensions: Dimensions) -> None:
    where = f"{FOLDER}/{CONFIG}"
    if path.stat().st_size > LARGEST_CONFIG:
        raise InvalidEvidenceError(where, f"at most {LARGEST_CONFIG} bytes", f"{path.stat().st_size}")
    try:
        config = json.loads(path.read_bytes(), parse_constant=no_constant, object_pairs_hook=no_key_twice)
        found = evidence.specs.family.dimensions(config if isinstance(config, dict) else {})
    except (ValueError, RecursionError) as error:
        raise InvalidEvidenceError(where, "a model of the family", str(error)) from None
    if found != dimensions:
        raise InvalidEvidenceError(f"{RESULTS} architecture", f"{found}, as {where} says", f"{dimensions}")


def _shapes(evidence: Evidence, dimensions: Dimensions) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        for weight in evidence.specs.family.table["weight"]:
            shape = tuple(size(text, dimensions.sizes) for text in weight["shape"])
            layers = range(dimensions.layers) if "{l}" in weight["name"] else (None,)
            shapes |= {resolved(weight["name"], layer, dimensions.layers): shape for layer in layers}
    except ValueError as error:
        raise InvalidEvidenceError(f"{RESULTS} architecture.sizes", "sizes of every weight", str(error)) from None
    return shapes


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()
