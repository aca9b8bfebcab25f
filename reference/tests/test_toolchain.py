import subprocess
import sys
from pathlib import Path

from trialplate_reference import toolchain

PREPARE = "from trialplate_reference import toolchain; print(toolchain.prepare())"


def prepare_elsewhere(setup: str, cache: Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own, since the environment is set once."""
    return subprocess.run(
        [sys.executable, "-c", setup + "; " + PREPARE],
        cwd=Path(toolchain.__file__).parents[1],
        env={"PATH": "/usr/bin:/bin", toolchain.CACHE_VARIABLE: str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_system_compiler_the_packaged_clang_is_used(tmp_path: Path) -> None:
    found = prepare_elsewhere("import shutil; shutil.which = lambda _: None", tmp_path / "with space")
    assert "clang version" in found.stdout, found.stderr
    wrapper = tmp_path / "with space" / "clang"
    compiled = subprocess.run(
        [wrapper, "-c", "-x", "c", "-", "-o", "-"], input=b"int f;", capture_output=True, check=True
    )
    assert compiled.stdout.startswith(b"\x7fELF")


def test_without_any_compiler_the_error_says_what_to_install(tmp_path: Path) -> None:
    found = prepare_elsewhere(
        "import shutil, importlib.util; shutil.which = lambda _: None; importlib.util.find_spec = lambda _: None",
        tmp_path,
    )
    assert (
        found.returncode != 0 and "found neither `clang` on the PATH nor the Python package `ziglang`" in found.stderr
    )


def test_a_compiler_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    found = prepare_elsewhere("import shutil; shutil.which = lambda _: '/nonexistent/clang'", tmp_path)
    assert found.returncode != 0 and "/nonexistent/clang that tinygrad needs does not run" in found.stderr
