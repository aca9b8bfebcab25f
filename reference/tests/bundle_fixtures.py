"""A bundle that follows from its tensors, and the second verifier with the specs that it was judged by."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundle_author import captures, write_bundle, write_specs

from verify_bundle import main

Results = dict[str, Any]
Verified = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_specs(tmp_path_factory.mktemp("law") / "specs")


@pytest.fixture(scope="module")
def sound(specs: Path) -> Path:
    write_bundle(specs.parent / "sound", specs, captures(specs))
    return specs.parent / "sound"


@pytest.fixture
def bundle(tmp_path: Path, sound: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "bundle"))


@pytest.fixture
def verified(specs: Path, capsys: pytest.CaptureFixture[str]) -> Verified:
    def run(folder: Path, *options: str) -> tuple[int, str]:
        own = ["--historical", "--specs", str(specs), "--cases", str(specs.parent / "cases")]
        code = main([*own, *options, str(folder)])
        return code, capsys.readouterr().out

    return run


def comparison(results: Results, name: str) -> dict[str, Any]:
    """Of step 0, or of the whole case."""
    own = [c for c in results["checkpoints"][1]["comparisons"] if c["step"] in (0, None) and c["name"] == name]
    found: dict[str, Any] = own[0]
    return found


def statistics(results: Results) -> dict[str, Any]:
    """Of h.0.fc of step 0, which has a budget and a systematic error."""
    statistics: dict[str, Any] = comparison(results, "h.0.fc")["outcome"]["statistics"]
    return statistics
