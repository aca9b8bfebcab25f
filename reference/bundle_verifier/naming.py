"""What a bundle is called: what makes it another or a weaker one than a full run is in its name."""

from collections.abc import Iterator

from bundle_verifier.bag import MANIFEST, Bag
from bundle_verifier.evidence import Evidence, file_name
from bundle_verifier.problem import InvalidEvidenceError

USUAL_SUBJECT, USUAL_REFERENCES = "rust@f32", ["torch", "tinygrad"]
LONGEST_LABEL = 24
INCOMPLETE = 4


def bundle_name(evidence: Evidence, manifest: str, without_cases: int, without_checkpoints: int) -> str:
    """`manifest`: the digest of the payload's manifest."""
    git = evidence.materials["git"]
    commit = file_name("no-commit" if git is None else git["commit"])[:12]
    parts = [commit, evidence.materials["specs"][:8], manifest[:8], *_who(evidence), *_how_much(evidence)]
    parts += [f"without-{without_cases}-cases"] if without_cases else []
    parts += [f"without-{without_checkpoints}-checkpoints"] if without_checkpoints else []
    return "-".join([*parts, "incomplete"] if evidence.results["exit_code"] == INCOMPLETE else parts)


def _who(evidence: Evidence) -> Iterator[str]:
    materials, references = evidence.materials, evidence.references
    if materials["git"] is not None and materials["git"]["dirty"]:
        yield "dirty"
    if evidence.subject != USUAL_SUBJECT:
        yield f"subject-{_label(evidence.subject)}"
    if materials["subject_weights"] is not None:
        yield "own-weights"
    if not references:
        yield "references-none"
    elif references != USUAL_REFERENCES:
        yield f"references-{_label('+'.join(references))}"


def _how_much(evidence: Evidence) -> Iterator[str]:
    extent, keep = evidence.results["faults"]["extent"], evidence.results["tensors"]["keep"]
    if extent != "all":
        yield f"faults-{extent}"
    if keep != "full":
        yield f"tensors-{keep}"
    if not evidence.materials["weights_in_bundle"]:
        yield "without-weights"


def _label(text: str) -> str:
    return file_name(text)[:LONGEST_LABEL]


def check_name(evidence: Evidence, bag: Bag, left_out: list[str]) -> None:
    cases = sum(what.startswith("case ") for what in left_out)
    name = bundle_name(evidence, bag.digest(MANIFEST), cases, len(left_out) - cases)
    if bag.name != name:
        raise InvalidEvidenceError("bag-info.txt", f"External-Identifier: {name}", bag.name)
