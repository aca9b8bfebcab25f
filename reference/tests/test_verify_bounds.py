"""No bundle makes the verifier take much memory: what a file claims is not believed before it is read."""

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bundle_author import captures, list_captures, seal, write_bundle, write_specs

from bundle_verifier.problem import BeyondMeansError, InvalidEvidenceError
from bundle_verifier.pull import Pull
from bundle_verifier.reader import DECODER, Stored, read_record
from bundle_verifier.schema import Array, Integer, Record, Text
from bundle_verifier.tensor import LARGEST_ROW, Tensor, row_spans, spans

SCRIPT = Path(__file__).parent.parent / "verify_bundle.py"
MOST = 512 << 20
RESULTS, SUBJECT_RUN = "data/results.json", "data/captures/subject-rust@f32/tiny.safetensors"


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_specs(tmp_path_factory.mktemp("law") / "specs")


@pytest.fixture
def bundle(tmp_path: Path, specs: Path) -> Path:
    sound = specs.parent / "sound"
    if not sound.exists():
        write_bundle(sound, specs, captures(specs))
    return Path(shutil.copytree(sound, tmp_path / "bundle"))


WRAPPED = """
import atexit, runpy, sys
atexit.register(lambda: print(open("/proc/self/status").read(), file=sys.stderr))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def _confined(specs: Path, bundle: Path) -> tuple[int, int]:
    """Exit code and the most memory in bytes, of a process of its own."""
    options = ["--historical", "--specs", specs, "--cases", specs.parent, bundle]
    command = [sys.executable, "-c", WRAPPED, SCRIPT, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    peak = next(line for line in done.stderr.splitlines() if line.startswith("VmHWM:"))
    return done.returncode, int(peak.split()[1]) * 1024


def _in_results(text: str) -> Callable[[Path], None]:
    """Puts the text in place of the notes."""

    def change(bundle: Path) -> None:
        path = bundle / RESULTS
        path.write_text(path.read_text().replace('"notes":[]', f'"notes":{text}'))

    return change


def _header(text: bytes) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        (bundle / SUBJECT_RUN).write_bytes(struct.pack("<Q", len(text)) + text)

    return change


def _sparse(path: str, length: int) -> Callable[[Path], None]:
    return lambda bundle: os.truncate(bundle / path, length)


HOSTILE: dict[str, tuple[Callable[[Path], None], set[int]]] = {
    "empty lists": (_in_results("[" + "[]," * (6 << 20) + "[]]"), {2, 70}),
    "empty objects": (_in_results("[" + "{}," * (8 << 20) + "{}]"), {2, 70}),
    "numbers": (_in_results("[" + "1.5," * (4 << 20) + "1]"), {2, 70}),
    "notes without end": (_in_results('["' + "x" * (40 << 20) + '"]'), {2, 70}),
    "brackets": (_in_results("[" * (1 << 20)), {2}),
    "a string without end": (_in_results('"' + "x" * (20 << 20)), {2}),
    "a header of brackets": (_header(b'{"a":' + b"[" * (10 << 20) + b"}"), {2}),
    "a header of one name": (_header(b"{" + b'"a":[],' * (1 << 20) + b'"a":[]}'), {2}),
    "a header of names": (
        _header(
            b"{" + b",".join(b'"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % i for i in range(50_000)) + b"}"
        ),
        {2},
    ),
    "results of 3 GiB": (_sparse(RESULTS, 3 << 30), {2}),
    "a case of 20 MiB": (_sparse("data/cases/tiny.json", 20 << 20), {2}),
    "a capture that is sparse": (_sparse(SUBJECT_RUN, 1 << 28), {2}),
}


@pytest.mark.parametrize(("change", "expected"), HOSTILE.values(), ids=HOSTILE)
def test_memory_is_bounded_whatever_a_bundle_holds(
    bundle: Path, specs: Path, change: Callable[[Path], None], expected: set[int]
) -> None:
    change(bundle)
    list_captures(bundle)
    code, memory = _confined(specs, bundle)
    assert code in expected
    assert memory < MOST


@pytest.mark.parametrize("path", ["bagit.txt", "bag-info.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt"])
def test_a_tag_file_of_a_tebibyte_is_not_read(bundle: Path, specs: Path, path: str) -> None:
    os.truncate(bundle / path, 1 << 40)
    code, memory = _confined(specs, bundle)
    assert (code, memory < MOST) == (2, True)


def test_a_value_is_decoded_no_further_than_it_goes() -> None:
    pull = Pull("x", b'{"a":[1,2.5]}' + b"x" * 100_000, DECODER)
    assert pull.value() == {"a": [1, 2.5]}
    assert pull.position == 13


@pytest.mark.parametrize("size", [1, 4090, 4094, 4095, 4096, 4097, 131_070, 131_072, 200_000])
@pytest.mark.parametrize("character", ["x", "é", "𝄞", "\\n", "\\u00e9"])
def test_a_value_across_the_end_of_a_window_is_whole(size: int, character: str) -> None:
    data = f'["{character * size}",-1.25e-7,true,null]'.encode()
    pull = Pull("x", data + b",", DECODER)
    assert pull.value() == json.loads(data)
    assert pull.position == len(data)


@pytest.mark.parametrize("text", ["", "[", '"', '"\\', "-", "tru", "{]", "[1,]", "\ufeff1", "NaN", "[" * 10_000])
def test_what_is_no_json_is_invalid(text: str) -> None:
    with pytest.raises(InvalidEvidenceError):
        Pull("x", text.encode(), DECODER).value()


def test_a_value_that_takes_too_much_is_beyond_means_and_not_invalid() -> None:
    with pytest.raises(BeyondMeansError):
        Pull("x", b"[" + b"[]," * (8 << 20), DECODER).value()


def test_a_stream_is_checked_once_and_parsed_again_when_asked() -> None:
    kind = Record(name=Text(), items=Array(Record(n=Integer()), stream=True), end=Integer())
    value = read_record("x", b'{"name":"a","items":[{"n":0},{"n":1},{"n":2}],"end":7}\n', kind, "2.1")
    assert isinstance(value["items"], Stored)
    assert [item["n"] for item in value["items"]] == [0, 1, 2]
    assert (value["items"][1:], len(value["items"]), value["end"]) == ([{"n": 1}, {"n": 2}], 3, 7)
    for wrong in (
        b'{"name":"a","items":[{"n":0},{"n":-1}],"end":7}\n',
        b'{"name":"a","items":[{"n":0},],"end":7}\n',
        b'{"name":"a","items":[{"n":0} ],"end":7}\n',
        b'{"name":"a","items":[,{"n":0}],"end":7}\n',
        b'{"name":"a","items":[{"n":0}{"n":1}],"end":7}\n',
        b'{"name":"a","items":[{"n":0}],"end":7}',
        b'{"name":"a","items":[{"n":0}],"end":7}\n\n',
        b'{"items":[],"name":"a","end":7}\n',
    ):
        with pytest.raises(InvalidEvidenceError):
            read_record("x", wrong, kind, "2.1")


def test_a_tensor_is_read_in_pieces_of_whole_rows() -> None:
    assert list(spans(300_000)) == [(0, 131_072), (131_072, 262_144), (262_144, 300_000)]
    assert list(row_spans(10, 5)) == [(0, 10)]
    assert [stop - start for start, stop in row_spans(3 * 100_000, 100_000)] == [100_000] * 3
    assert list(row_spans(0, 0)) == []
    with pytest.raises(BeyondMeansError):
        row_spans(2 * LARGEST_ROW, LARGEST_ROW + 1)
    with pytest.raises(BeyondMeansError):
        Tensor("F64", (1 << 40,), lambda start, stop: b"").bytes(0, 1 << 40)


def test_a_bundle_within_its_bounds_takes_little(bundle: Path, specs: Path) -> None:
    code, memory = _confined(specs, bundle)
    assert (code, memory < 160 << 20) == (0, True)
    seal(bundle)
