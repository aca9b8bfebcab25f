"""Asked of an interpreter: which version it is, and whether a program can be linked against it. Prints JSON.

It must run on interpreters that are too old, so that they can be told so.
"""

import importlib.util
import json
import platform
import sys
import sysconfig
from pathlib import Path

known = sysconfig.get_config_vars()
framework = known.get("PYTHONFRAMEWORK")
folder = known.get("PYTHONFRAMEWORKPREFIX" if framework else "LIBDIR") or ""
library = Path(folder, known.get("LDLIBRARY") or "libpython")
told = {
    "version": platform.python_version(),
    "executable": getattr(sys, "_base_executable", None) or sys.executable,
    "library": str(library),
    "linkable": bool(framework or known.get("Py_ENABLE_SHARED")) and library.is_file(),
    "venv": all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")),
}
print(json.dumps(told))
