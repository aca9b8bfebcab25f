"""The work tree that a bundle is held against, and the specs of older commits out of its history."""

import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bundle_verifier.evidence import Evidence
from bundle_verifier.problem import Problem
from bundle_verifier.specs import FAMILY, JUDGING, OPERATIONS, Specs, parse_specs

MATERIALS = "data/materials.json"
COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
LOCKS = {"cargo_lock": "Cargo.lock", "python_lock": "reference/requirements.lock"}
SPECS, CASES = Path("crates/graph/families"), Path("crates/checkpoint-spec/cases")
PATIENCE = 60.0  # seconds for one question


class Repository:
    def __init__(self, root: Path) -> None:
        self._root = root

    def head(self) -> str | None:
        said = self._git("rev-parse", "--verify", "--quiet", "HEAD")
        return None if said is None else said.decode().strip()

    def specs_of(self, commit: str, family: str) -> Specs | None:
        """As they were in a commit that the work tree comes from: nobody else's commit brings a law."""
        if not COMMIT.fullmatch(commit) or self._git("merge-base", "--is-ancestor", commit, "HEAD") is None:
            return None
        places = {f"{SPECS}/{family}/": "", f"{SPECS}/{OPERATIONS}": OPERATIONS, f"{SPECS}/{JUDGING}": ""}
        files: dict[str, bytes | None] = {}
        for place, folder in places.items():
            listed = self._git("ls-tree", "-z", "--name-only", commit, place)
            paths = [path for path in (listed or b"").decode().split("\0") if path.endswith(".toml")]
            files |= {f"{folder}{path.rpartition('/')[2]}": self._git("show", f"{commit}:{path}") for path in paths}
        if not {FAMILY, JUDGING} <= set(files) or None in files.values():
            return None
        return parse_specs({name: data for name, data in files.items() if data is not None})

    def digest(self, path: str) -> str | None:
        try:
            return hashlib.sha256((self._root / path).read_bytes()).hexdigest()
        except FileNotFoundError:
            return None

    def _git(self, *arguments: str) -> bytes | None:
        command = ["git", "-C", str(self._root), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE)
        except (FileNotFoundError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None


def stale(evidence: Evidence, repository: Repository | None, commit: str | None) -> Iterator[Problem]:
    """What is not as in the work tree (None: that is not asked), and whether it is of the commit that is asked for."""
    git: dict[str, Any] | None = evidence.materials["git"]
    if commit is not None and (git is None or git["dirty"] or not git["commit"].startswith(commit)):
        yield Problem(f"{MATERIALS} git", f"a clean work tree at {commit}, which was asked for", f"{git}")
    if repository is None:
        return
    head = repository.head()
    if git is None or git["dirty"] or git["commit"] != head:
        yield Problem(f"{MATERIALS} git", f"a clean work tree at {head}, as here (or --historical)", f"{git}")
    for name, path in LOCKS.items():
        own = repository.digest(path)
        if evidence.materials[name] != own:
            yield Problem(f"{MATERIALS} {name}", f"{own}, of {path}", evidence.materials[name])
