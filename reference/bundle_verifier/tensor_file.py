"""Files of tensors: safetensors, read strictly; nothing is allocated on a header's word."""

import json
import re
import struct
from dataclasses import dataclass
from typing import Any

from bundle_verifier.bag import PIECE, Bag, OpenFile
from bundle_verifier.problem import InvalidEvidenceError, brief
from bundle_verifier.pull import Pull, no_constant, no_key_twice
from bundle_verifier.records import IDENTITY
from bundle_verifier.schema import MismatchError
from bundle_verifier.tensor import WIDTHS, Tensor

LONGEST_HEADER = 64 << 20
MOST_DIMENSIONS = 64
MOST_ELEMENTS = (2**63 - 1) // 8
NAME = re.compile(r"[\x21-\x7e]+")
OF_A_STEP = re.compile(r"step(0|[1-9][0-9]*)/.+")


@dataclass(frozen=True, slots=True)
class Entry:
    dtype: str
    shape: tuple[int, ...]
    start: int  # in the data, behind the header
    end: int


class SafetensorsFile:
    """Entries by name, whose data fill the file without gaps: in the order of the header where `ordered`."""

    ordered = True

    def __init__(self, bag: Bag, path: str) -> None:
        self.path = path
        self._file = OpenFile(bag, path)
        try:
            self.entries: dict[str, Entry] = {}
            self._metadata: Any = None
            self._read_header(self._header())
            self._check()
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        """What a kind of file asks for beyond a sound header."""

    def close(self) -> None:
        self._file.close()

    def tensor(self, name: str) -> Tensor:
        entry = self.entries[name]
        base = self._data + entry.start
        return Tensor(entry.dtype, entry.shape, lambda start, stop: self._file.read(base + start, stop - start))

    def _header(self) -> bytes:
        if self._file.size < 8:
            raise InvalidEvidenceError(self.path, "8 bytes with the length of the header", f"{self._file.size}")
        (length,) = struct.unpack("<Q", self._file.read(0, 8))
        most = min(self._file.size - 8, LONGEST_HEADER)
        if length > most:
            raise InvalidEvidenceError(self.path, f"a header of at most {most} bytes", f"{length}")
        self._data = 8 + length
        data = self._file.read(8, length).rstrip(b" ")
        if not data.startswith(b"{") or not data.endswith(b"}"):
            raise InvalidEvidenceError(self.path, "a header from { to }, with blanks after it only", repr(data[:40]))
        return data

    def _read_header(self, data: bytes) -> None:
        pull, names = Pull(self.path, data, DECODER), set[str]()
        pull.need(b"{")
        pull.skip_blanks()
        while not pull.take(b"}"):
            if names:
                pull.need(b",")
                pull.skip_blanks()
            name, value = self._pair(pull)
            if name in names:
                raise InvalidEvidenceError(self.path, "every name once", f"{name} twice")
            names.add(name)
            if name == "__metadata__":
                self._metadata = value
                continue
            self.entries[name] = self._entry(name, value)
        if not pull.ended():
            raise InvalidEvidenceError(self.path, "nothing but blanks after the header", "more")
        self._check_places()

    def _check_places(self) -> None:
        position = 0
        entries = self.entries if self.ordered else dict(sorted(self.entries.items(), key=lambda pair: pair[1].start))
        for name, entry in entries.items():
            if entry.start != position:
                raise InvalidEvidenceError(f"{self.path} {name}", f"data from {position}", f"from {entry.start}")
            position = entry.end
        if position != self._file.size - self._data:
            raise InvalidEvidenceError(self.path, f"{self._file.size - self._data} bytes of data listed", f"{position}")

    def _pair(self, pull: Pull) -> tuple[str, Any]:
        name = pull.value()
        if type(name) is not str:
            raise InvalidEvidenceError(self.path, "the name of a tensor", brief(repr(name)))
        pull.skip_blanks()
        pull.need(b":")
        pull.skip_blanks()
        value = pull.value()
        pull.skip_blanks()
        return name, value

    def _entry(self, name: str, value: Any) -> Entry:
        where = f"{self.path} {name}"
        if not _good_name(name):
            raise InvalidEvidenceError(where, "`step<i>/<activation>` or `<activation>`, printable ASCII", repr(name))
        if type(value) is not dict or set(value) != {"dtype", "shape", "data_offsets"}:
            raise InvalidEvidenceError(where, "an object with dtype, shape and data_offsets", brief(repr(value)))
        dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
        if type(dtype) is not str or dtype not in WIDTHS:
            raise InvalidEvidenceError(where, f"a dtype of {', '.join(WIDTHS)}", brief(repr(dtype)))
        if not _counts(shape) or len(shape) > MOST_DIMENSIONS:
            raise InvalidEvidenceError(where, f"a shape of at most {MOST_DIMENSIONS} counts", brief(repr(shape)))
        if not _counts(offsets) or len(offsets) != 2:
            raise InvalidEvidenceError(where, "two offsets", brief(repr(offsets)))
        elements = _elements(where, shape)
        if offsets[1] - offsets[0] != elements * WIDTHS[dtype]:
            raise InvalidEvidenceError(where, f"{elements * WIDTHS[dtype]} bytes for {dtype} {shape}", repr(offsets))
        return Entry(dtype, tuple(shape), offsets[0], offsets[1])


class TensorFile(SafetensorsFile):
    """One capture: the label of who produced it, and what was not contiguous where it was observed."""

    def _check(self) -> None:
        self.label, self.not_contiguous = self._identity()
        for entry in self.entries.values():
            self._check_booleans(entry)

    def _identity(self) -> tuple[str, frozenset[str]]:
        where, metadata = f"{self.path} __metadata__", self._metadata
        if type(metadata) is not dict or list(metadata) != ["trialplate"] or type(metadata["trialplate"]) is not str:
            raise InvalidEvidenceError(where, "exactly the key trialplate with a string", brief(repr(metadata)))
        try:
            value = INNER.decode(metadata["trialplate"])
            json.dumps(value, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise InvalidEvidenceError(where, "a JSON object in a string that UTF-8 can hold", str(error)) from None
        if type(value) is not dict or set(value) != {"schema", "identity", "not_contiguous"}:
            raise InvalidEvidenceError(where, "schema, identity and not_contiguous", brief(repr(value)))
        if value["schema"] != "trialplate/capture/1":
            raise InvalidEvidenceError(where, "the schema trialplate/capture/1", brief(repr(value["schema"])))
        return self._label(where, value["identity"]), self._scattered(where, value["not_contiguous"])

    def _label(self, where: str, identity: Any) -> str:
        fields = ["name", "version", "precision", "device"]
        if type(identity) is not dict or set(identity) != set(fields):
            raise InvalidEvidenceError(where, f"an identity with {', '.join(fields)}", brief(repr(identity)))
        try:
            IDENTITY.check({field: identity[field] for field in fields})
        except MismatchError as mismatch:
            raise InvalidEvidenceError(where, mismatch.expected, mismatch.found) from None
        return f"{identity['name']}@{identity['precision']}"

    def _scattered(self, where: str, names: Any) -> frozenset[str]:
        if type(names) is not list or not all(type(name) is str and name in self.entries for name in names):
            raise InvalidEvidenceError(where, "not_contiguous with tensors of this file", brief(repr(names)))
        if len(set(names)) != len(names):
            raise InvalidEvidenceError(where, "not_contiguous with no tensor twice", brief(repr(names)))
        return frozenset(names)

    def _check_booleans(self, entry: Entry) -> None:
        if entry.dtype != "BOOL":
            return
        for start in range(entry.start, entry.end, PIECE):
            data = self._file.read(self._data + start, min(PIECE, entry.end - start))
            if data.strip(b"\0\1"):
                raise InvalidEvidenceError(self.path, "bytes 0 and 1 in BOOL", "another one")


def _count(text: str) -> int:
    if text.startswith("-"):
        raise ValueError(f"{text} is no count")
    return int(text)


DECODER = json.JSONDecoder(parse_int=_count, parse_constant=no_constant, object_pairs_hook=no_key_twice)
INNER = json.JSONDecoder(parse_constant=no_constant, object_pairs_hook=no_key_twice)


def _counts(value: Any) -> bool:
    return type(value) is list and all(type(item) is int and item < 2**64 for item in value)


def _elements(where: str, shape: list[int]) -> int:
    product = 1
    for size in shape:
        product *= max(size, 1)
        if product > MOST_ELEMENTS:
            raise InvalidEvidenceError(where, f"at most {MOST_ELEMENTS} elements", f"the shape {shape}")
    return 0 if 0 in shape else product


def _good_name(name: str) -> bool:
    if not NAME.fullmatch(name):
        return False
    if not name.split("/", 1)[0].startswith("step"):
        return True
    parts = OF_A_STEP.fullmatch(name)
    return parts is not None and len(parts[1]) <= 20 and int(parts[1]) < 2**64
