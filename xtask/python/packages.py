"""Compares what is installed beside this interpreter with lock files given as arguments. Prints JSON."""

import importlib.metadata
import json
import sys
from pathlib import Path

from packaging.requirements import Requirement

checked, missing, different = 0, [], []
for lock in sys.argv[1:]:
    for line in Path(lock).read_text(encoding="utf-8").splitlines():
        if not line or line[0] in " #":
            continue
        wanted = Requirement(line.rstrip(" \\"))
        if wanted.marker and not wanted.marker.evaluate():
            continue
        checked += 1
        version = str(wanted.specifier).removeprefix("==")
        try:
            installed = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(f"{wanted.name} {version}")
            continue
        if installed.partition("+")[0] != version:
            different.append(f"{wanted.name} {installed} (locked: {version})")
print(json.dumps({"checked": checked, "missing": missing, "different": different}))
