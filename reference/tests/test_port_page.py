"""The code that `docs/my-port-differs.md` hands out does what it says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

PAGE = Path(__file__).parents[2] / "docs" / "my-port-differs.md"
PROGRAM = """
int main(int argc, char **argv) {
    const float values[6] = {0.5f, -1.0f, 2.0f, 3.0f, -4.0f, 1e-30f};
    const size_t shape[3] = {1, 2, 3};
    (void)argc;
    return dump_f32(argv[1], "h.0.ln_1", values, shape, 3) || dump_f32(argv[1], "scalar", values, shape, 0)
        || dump_f32(argv[1], "scalar", values, shape, 0) != -1 || dump_f32("absent", "a", values, shape, 3) != -1;
}
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_function_in_c_writes_arrays_of_numpy(tmp_path: Path) -> None:
    (function,) = blocks("c")
    (tmp_path / "program.c").write_text(function + PROGRAM)
    system = shutil.which("cc")
    compiler = [system] if system else [sys.executable, "-m", "ziglang", "cc"]
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1"]
    subprocess.run([*compiler, *flags, tmp_path / "program.c", "-o", tmp_path / "program"], check=True)
    subprocess.run([tmp_path / "program", tmp_path], cwd=tmp_path, check=True)
    found = np.load(tmp_path / "h.0.ln_1.npy")
    np.testing.assert_array_equal(found, np.array([[[0.5, -1, 2], [3, -4, 1e-30]]], dtype=np.float32))
    assert found.dtype == np.float32
    assert (tmp_path / "h.0.ln_1.npy").stat().st_size % 64 == 24
    assert np.load(tmp_path / "scalar.npy") == np.float32(0.5)


def test_every_report_is_cited_by_its_number() -> None:
    links = re.findall(
        r"\[([\w.-]+) (\d+)\]\((https://github\.com/[\w.-]+/([\w.-]+)/(?:pull|issues)/(\d+))\)", PAGE.read_text()
    )
    assert len(links) >= 25
    for name, number, _, repository, linked in links:
        assert (name.lower(), number) == (repository.lower(), linked)
    assert len({link for _, _, link, _, _ in links}) == len(links)
