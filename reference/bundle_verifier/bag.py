"""The folder: only regular files with harmless names, exactly those that the manifests list, with their digests."""

import dataclasses
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bundle_verifier.format_version import check_version
from bundle_verifier.problem import InvalidEvidenceError, brief

MOST_FILES = 100_000
DEEPEST = 3
LARGEST_TAG_FILE = 64 << 20
LARGEST_RECORD = 256 << 20  # of any file that is no capture
PIECE = 1 << 20
PART = re.compile(rb"[A-Za-z0-9@_+-][A-Za-z0-9@._+-]{0,99}")
MANIFEST_LINE = re.compile(rb"([0-9a-f]{64})  ([A-Za-z0-9@._+/-]+)\n")
DECLARATION = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
NAME = r"[A-Za-z0-9@_+-][A-Za-z0-9@._+-]{0,99}"
BUNDLE_NAME = r"[A-Za-z0-9@_+-][A-Za-z0-9@._+-]{0,219}"
FORMAT_1 = re.compile(rf"Bag-Software-Agent: trialplate {NAME}\nBagging-Date: .*", re.ASCII | re.DOTALL)
FORMAT = re.compile(
    rf"Bag-Software-Agent: trialplate {NAME}\nTrialplate-Format: ([^\n]{{0,40}})\n.*", re.ASCII | re.DOTALL
)
INFO = re.compile(
    rf"Bag-Software-Agent: trialplate {NAME}\nTrialplate-Format: [0-9.]+\nBagging-Date: \d{{4}}-\d{{2}}-\d{{2}}\n"
    rf"External-Identifier: ({BUNDLE_NAME})\nPayload-Oxum: (\d{{1,20}}\.\d{{1,20}})\n",
    re.ASCII,
)
MANIFEST = "manifest-sha256.txt"
TAGGED = ["bag-info.txt", "bagit.txt", "manifest-sha256.txt"]
TAG_MANIFEST = "tagmanifest-sha256.txt"


@dataclass(frozen=True)
class Bag:
    folder: Path
    sizes: dict[str, int]  # bytes of every file, by its path in the bag, as the walk saw it
    digests: dict[str, str]  # SHA-256 of every file that a manifest lists, as found
    name: str  # as bag-info.txt says it
    version: str  # of the format, as bag-info.txt says it

    def payload(self) -> list[str]:
        return sorted(path for path in self.sizes if path.startswith("data/"))

    def read(self, path: str, most: int) -> bytes:
        """The whole file, which is as long as the walk saw it and no longer than `most`."""
        if self.sizes[path] > most:
            raise InvalidEvidenceError(path, f"at most {most} bytes", f"{self.sizes[path]}")
        return b"".join(self.pieces(path))

    def pieces(self, path: str) -> Iterator[bytes]:
        """The file in pieces; one that has changed its length since the walk is refused, and no more of it is read."""
        with OpenFile(self, path) as file:
            for start in range(0, file.size, PIECE):
                yield file.read(start, min(PIECE, file.size - start))
            file.must_end()

    def digest(self, path: str) -> str:
        digest = hashlib.sha256()
        for piece in self.pieces(path):
            digest.update(piece)
        return digest.hexdigest()


class OpenFile:
    """A regular file of the bag, read in ranges (a mapped file that is cut short would end the process)."""

    def __init__(self, bag: Bag, path: str) -> None:
        self.path, self.size = path, bag.sizes[path]
        self._descriptor = os.open(bag.folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        found = os.fstat(self._descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size != self.size:
            os.close(self._descriptor)
            raise InvalidEvidenceError(path, f"the regular file of {self.size} bytes that the walk saw", "another one")

    def __enter__(self) -> "OpenFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._descriptor)

    def read(self, start: int, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            piece = os.pread(self._descriptor, length - len(data), start + len(data))
            if not piece:
                raise InvalidEvidenceError(self.path, f"{self.size} bytes", f"an end after {start + len(data)}")
            data += piece
        return bytes(data)

    def must_end(self) -> None:
        if os.pread(self._descriptor, 1, self.size):
            raise InvalidEvidenceError(self.path, f"{self.size} bytes", "more: it has grown while it was read")


def open_bag(folder: Path) -> Bag:
    """Walks the folder, then checks tag files, manifests, set equality and every digest."""
    sizes: dict[str, int] = {}
    for path, size in _walk(os.fsencode(folder), b"", 0):
        sizes[path] = size
        if len(sizes) > MOST_FILES:
            raise InvalidEvidenceError(str(folder), f"at most {MOST_FILES} files", "more")
    bag = Bag(folder, dict(sorted(sizes.items())), {}, "", "")
    _check_case(bag)
    name, version = _check_tag_files(bag)
    bag = dataclasses.replace(bag, name=name, version=version)
    tagged = _manifest(bag, TAG_MANIFEST)
    payload = _manifest(bag, "manifest-sha256.txt")
    _same_set(TAG_MANIFEST, TAGGED, tagged)
    _same_set("manifest-sha256.txt", bag.payload(), payload)
    _same_set("the bag", sorted([*payload, *TAGGED, TAG_MANIFEST]), bag.sizes)
    for path in payload:  # before anything large is read for its digest
        if not path.startswith("data/captures/") and bag.sizes[path] > LARGEST_RECORD:
            raise InvalidEvidenceError(path, f"at most {LARGEST_RECORD} bytes", f"{bag.sizes[path]}")
    for path, expected in {**tagged, **payload}.items():
        found = bag.digest(path)
        if found != expected:
            raise InvalidEvidenceError(path, f"SHA-256 {expected}, as its manifest says", found)
        bag.digests[path] = found
    return bag


def _walk(folder: bytes, prefix: bytes, depth: int) -> Iterator[tuple[str, int]]:
    entries = 0
    with os.scandir(folder) as listing:
        for entry in listing:
            entries += 1
            path = prefix + entry.name
            shown = repr(path)[2:-1]
            if not PART.fullmatch(entry.name):
                raise InvalidEvidenceError(shown, "a name of [A-Za-z0-9@._+-], up to 100, not hidden", "another one")
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                if depth == DEEPEST:
                    raise InvalidEvidenceError(shown, f"folders at most {DEEPEST} deep", "a deeper one")
                yield from _walk(entry.path, path + b"/", depth + 1)
            elif stat.S_ISREG(found.st_mode):
                yield shown, found.st_size
            else:
                raise InvalidEvidenceError(shown, "a regular file or a folder", _kind(found.st_mode))
    if entries == 0:
        raise InvalidEvidenceError(repr(prefix)[2:-1] or ".", "files in every folder", "an empty folder")


def _kind(mode: int) -> str:
    kinds = [(stat.S_ISLNK, "a symbolic link"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket")]
    return next((name for test, name in kinds if test(mode)), "a device")


def _check_case(bag: Bag) -> None:
    seen: dict[str, str] = {}
    for path in bag.sizes:
        other = seen.setdefault(path.lower(), path)
        if other != path:
            raise InvalidEvidenceError(path, "paths that differ in more than case", f"{other} as well")


def _check_tag_files(bag: Bag) -> tuple[str, str]:
    """The name of the bundle and the version of its format, as bag-info.txt says them."""
    for path in [*TAGGED, TAG_MANIFEST]:
        if path not in bag.sizes:
            raise InvalidEvidenceError(path, "the tag file", "none")
        if bag.sizes[path] > LARGEST_TAG_FILE:
            raise InvalidEvidenceError(path, f"at most {LARGEST_TAG_FILE} bytes", f"{bag.sizes[path]}")
    found = bag.read("bagit.txt", LARGEST_TAG_FILE)
    if found != DECLARATION:
        raise InvalidEvidenceError("bagit.txt", repr(DECLARATION), repr(found[:200]))
    data = bag.read("bag-info.txt", LARGEST_TAG_FILE)
    payload = bag.payload()
    oxum = f"{sum(bag.sizes[path] for path in payload)}.{len(payload)}"
    text = _text("bag-info.txt", data)
    version = FORMAT.fullmatch(text)
    if version is not None or FORMAT_1.fullmatch(text):
        check_version("1.0" if version is None else version[1])
    said = INFO.fullmatch(text)
    if said is None:
        names = "Bag-Software-Agent, Trialplate-Format, Bagging-Date, External-Identifier and Payload-Oxum"
        expected = f"five lines: {names}"
        raise InvalidEvidenceError("bag-info.txt", expected, brief(repr(data[:400])))
    if said[2] != oxum:
        raise InvalidEvidenceError("bag-info.txt", f"Payload-Oxum: {oxum}", said[2])
    return said[1], version[1] if version is not None else ""


def _text(path: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidEvidenceError(path, "UTF-8", str(error)) from None


def _manifest(bag: Bag, path: str) -> dict[str, str]:
    """Digests by path: in ascending order, each path once and of the form of the walk."""
    data = bag.read(path, LARGEST_TAG_FILE)
    digests: dict[str, str] = {}
    position, before = 0, b""
    while position < len(data):
        line = MANIFEST_LINE.match(data, position)
        if line is None:
            shown = repr(data[position : position + 160])
            raise InvalidEvidenceError(path, "lines of a digest, two blanks and a path", shown)
        digest, name = line[1], line[2]
        if not all(PART.fullmatch(part) for part in name.split(b"/")):
            raise InvalidEvidenceError(path, "paths of the allowed form", repr(name))
        if name <= before:
            raise InvalidEvidenceError(path, f"paths in ascending order, each once, after {before!r}", repr(name))
        if len(digests) == MOST_FILES:
            raise InvalidEvidenceError(path, f"at most {MOST_FILES} lines", "more")
        digests[name.decode()] = digest.decode()
        position, before = line.end(), name
    return digests


def _same_set(file: str, expected: list[str], found: dict[str, str] | dict[str, int]) -> None:
    missing, extra = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or extra:
        said = f"{len(missing)} not there {missing[:5]}, {len(extra)} too many {extra[:5]}"
        raise InvalidEvidenceError(file, f"exactly the {len(set(expected))} files called for", said)
