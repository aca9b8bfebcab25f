"""The golden bundle under stock tools: the Library of Congress's bagit, and coreutils' sha256sum."""

import shutil
import subprocess
from pathlib import Path

import bagit
import pytest

GOLDEN = Path(__file__).parents[2] / "proof-bundles" / "golden"
MANIFESTS = ("manifest-sha256.txt", "tagmanifest-sha256.txt")


def accepted_by_sha256sum(bundle: Path) -> bool:
    checks = [subprocess.run(["sha256sum", "--quiet", "--strict", "-c", name], cwd=bundle) for name in MANIFESTS]
    return all(check.returncode == 0 for check in checks)


def test_the_golden_bundle_is_a_complete_and_valid_bag() -> None:
    bag = bagit.Bag(str(GOLDEN))
    bag.validate()
    assert (bag.version_info, bag.encoding, bag.algorithms) == ((1, 0), "UTF-8", ["sha256"])
    assert not list(bag.compare_manifests_with_fs()[0]) and not list(bag.compare_manifests_with_fs()[1])
    assert accepted_by_sha256sum(GOLDEN)


@pytest.mark.parametrize("changed", ["data/results.json", "data/materials.json", "bag-info.txt"])
def test_both_refuse_a_flipped_bit(tmp_path: Path, changed: str) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(GOLDEN, bundle)
    content = bytearray((bundle / changed).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / changed).write_bytes(content)
    with pytest.raises(bagit.BagValidationError):
        bagit.Bag(str(bundle)).validate()
    assert not accepted_by_sha256sum(bundle)


def test_bagit_refuses_a_file_that_no_manifest_names(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(GOLDEN, bundle)
    (bundle / "data" / "extra.txt").write_text("not mine")
    with pytest.raises(bagit.BagValidationError):
        bagit.Bag(str(bundle)).validate()
