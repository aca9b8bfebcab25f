"""Prepares tinygrad's CPU device before tinygrad is imported: a C compiler, a kernel cache, no way to fall back."""

import atexit
import functools
import importlib.util
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

CACHE_VARIABLE = "TRIALPLATE_CACHE"


@functools.cache
def prepare() -> str:
    """Set tinygrad's environment; the compiler's first line of `--version`, which belongs to the identity."""
    cache = _cache_directory()
    compiler = shutil.which("clang") or _zig_clang(cache)
    os.environ |= {
        "CC": compiler,
        "CACHEDB": str(cache / "kernels.db"),
        "DEV": "CPU:CLANG",  # named in full: without a compiler, tinygrad would choose another renderer in silence
        "PARALLEL": "0",  # no pool of processes: inside a worker `sys.executable` is not Python
    }
    try:
        said = subprocess.run([compiler, "--version"], check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(f"the C compiler {compiler} that tinygrad needs does not run: {error}") from error
    return said.splitlines()[0]


def _cache_directory() -> Path:
    if given := os.environ.get(CACHE_VARIABLE):
        path = Path(given).absolute()
        path.mkdir(parents=True, exist_ok=True)
        return path
    path = Path(tempfile.mkdtemp(prefix="trialplate-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def _zig_clang(cache: Path) -> str:
    """A wrapper script around the clang inside the `ziglang` package."""
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise RuntimeError(
            "tinygrad needs a C compiler and found neither `clang` on the PATH nor the Python package `ziglang`; "
            "install one of them (`ziglang` is in requirements.lock)"
        )
    zig, zig_cache = shlex.quote(str(Path(spec.origin).with_name("zig"))), shlex.quote(str(cache / "zig"))
    script = f"""#!/bin/sh
export ZIG_GLOBAL_CACHE_DIR={zig_cache} ZIG_LOCAL_CACHE_DIR={zig_cache}
exec {zig} clang "$@"
"""
    wrapper = cache / "clang"
    if not wrapper.is_file() or wrapper.read_text() != script:
        written = cache / f"clang.{os.getpid()}"
        written.write_text(script)
        written.chmod(0o755)
        written.replace(wrapper)
    return str(wrapper)
