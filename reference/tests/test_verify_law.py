"""Law and model: the verifier judges by its own specs, and by the weights that the materials name."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from bundle_author import record, seal
from bundle_fixtures import Verified, statistics

from bundle_verifier.specs import read_specs

RESULTS = "data/results.json"
SUBJECT_RUN = "data/captures/subject-rust@f32/tiny.safetensors"
SUBJECT = "subject-rust@f32"


def test_the_law_is_the_verifiers(bundle: Path, verified: Verified) -> None:
    path = bundle / "data/spec/01-end.toml"
    path.write_text(path.read_text().replace("1e-4", "1e+4"))
    seal(bundle)
    code, said = verified(bundle)
    assert (code, "specs          data/spec/01-end.toml" in said) == (2, True), said


CHANGES = {
    "kappa": ("judging.toml", "kappa = 4.0", "kappa = 40.0"),
    "quorum": ("judging.toml", "roundings = 65536.0", "roundings = 1e9"),
    "a constant": ("judging.toml", "exp = 4.0", "exp = 5.0"),
    "slices": ("operations-linear.toml", 'slices = ["tensor", "last"]', "slices = []"),
    "an edge": ("01-end.toml", 'y = "h.{l}.fc"', 'y = "h.{l}.ln"'),
    "the constant of the norm": ("family.toml", "layer_norm_epsilon", "another_epsilon"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_no_number_and_no_edge_of_the_law_comes_from_a_bundle(
    bundle: Path, verified: Verified, change: tuple[str, str, str]
) -> None:
    name, before, after = change
    path = bundle / "data/spec" / name
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    seal(bundle)
    code, said = verified(bundle)
    assert (code, f"specs          data/spec/{name}" in said) == (2, True), said


@pytest.mark.parametrize("change", [CHANGES["kappa"], CHANGES["an edge"], CHANGES["slices"]], ids=lambda c: c[0])
def test_what_was_judged_by_another_law_is_invalid(
    tmp_path: Path, specs: Path, sound: Path, verified: Verified, change: tuple[str, str, str]
) -> None:
    """The verifier has the other law, and the bundle brings it; the record is of the first one."""
    name, before, after = change
    own = Path(shutil.copytree(specs, tmp_path / "specs"))
    place = {"judging.toml": "judging.toml", "operations-linear.toml": "operations/linear.toml"}
    path = own / place.get(name, f"gpt2/{name}")
    path.write_text(path.read_text().replace(before, after))
    bundle = Path(shutil.copytree(sound, tmp_path / "bundle"))
    shutil.copyfile(path, bundle / "data/spec" / name)
    digest = read_specs(own, "gpt2").digest()
    materials = bundle / "data/materials.json"
    materials.write_bytes(record({**json.loads(materials.read_bytes()), "specs": digest}))
    seal(bundle)
    code, said = verified(bundle, "--specs", str(own))
    assert (code, "recomputation  data/results.json" in said) == (2, True), said


def _changed_weight(bundle: Path) -> bytes:
    path = bundle / "data/model/model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    return bytes(data)


def test_a_changed_weight_is_seen(bundle: Path, verified: Verified) -> None:
    data = _changed_weight(bundle)
    seal(bundle)
    code, said = verified(bundle)
    assert (code, "model          data/model/model.safetensors" in said) == (2, True), said
    path = bundle / "data/materials.json"
    materials = json.loads(path.read_bytes())
    materials["weights"][1]["sha256"] = hashlib.sha256(data).hexdigest()
    path.write_bytes(record(materials))
    seal(bundle)
    code, said = verified(bundle)
    assert (code, "weights.h.1.fc.bias of tiny" in said) == (2, True), said


def test_another_epsilon_is_not_that_of_the_model(bundle: Path, verified: Verified) -> None:
    path = bundle / RESULTS
    path.write_bytes(path.read_bytes().replace(b'"epsilon":0.5', b'"epsilon":0.25'))
    seal(bundle)
    code, said = verified(bundle)
    assert (code, "data/results.json architecture" in said) == (2, True), said


def _without_weights(bundle: Path, specs: Path) -> Path:
    """The same bundle, whose model is elsewhere now and whose numbers came in its place."""
    (bundle / "data/assays").mkdir()
    shutil.copyfile(specs.parent / "sound-assay.json", bundle / "data/assays/tiny.json")
    model = bundle.parent / "model"
    shutil.move(bundle / "data/model", model)
    path = bundle / "data/materials.json"
    path.write_bytes(record({**json.loads(path.read_bytes()), "weights_in_bundle": False}))
    seal(bundle)
    return model


def test_a_model_that_is_elsewhere_is_taken_where_it_is_the_same(bundle: Path, specs: Path, verified: Verified) -> None:
    model = _without_weights(bundle, specs)
    code, said = verified(bundle)
    assert (code, "numbers as recorded" in said) == (4, True), said
    assert verified(bundle, "--model", str(model))[0] == 0
    (model / "more.safetensors").write_bytes(b"")
    assert verified(bundle, "--model", str(model))[0] == 3


def test_without_a_model_what_follows_from_tensors_alone_is_still_held_to_them(
    bundle: Path, specs: Path, verified: Verified
) -> None:
    _without_weights(bundle, specs)
    path = bundle / RESULTS
    text = path.read_bytes()
    results = json.loads(text)
    tokens = next(c for c in results["checkpoints"][0]["comparisons"] if c["name"] == "token_ids")
    tokens["outcome"]["statistics"]["elements"] = 7
    path.write_bytes(record(results))
    seal(bundle)
    assert verified(bundle)[0] == 2
    results = json.loads(text)
    statistics(results)["budget"]["violations"] = 1  # the record's word, from which another word follows
    path.write_bytes(record(results))
    seal(bundle)
    assert verified(bundle)[0] == 2
