"""Capture files: safetensors, read strictly; nothing is allocated on a header's word."""

import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle_verifier.bag import PIECE, Bag, OpenFile
from bundle_verifier.problem import InvalidEvidenceError
from bundle_verifier.records import IDENTITY
from bundle_verifier.schema import MismatchError, parse

LONGEST_HEADER = 64 << 20
MOST_DIMENSIONS = 64
MOST_ELEMENTS = (2**63 - 1) // 8
WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}
NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "u1"}
NAME = re.compile(r"[\x21-\x7e]+")
OF_A_STEP = re.compile(r"step(0|[1-9][0-9]*)/.+")

Tensor = NDArray[Any]


@dataclass(frozen=True)
class Entry:
    dtype: str
    shape: tuple[int, ...]
    start: int  # in the data, behind the header
    end: int


class TensorFile:
    """One capture: entries by name, the label of who produced it, and what was not contiguous where it was observed."""

    def __init__(self, bag: Bag, path: str) -> None:
        self.path = path
        self._file = OpenFile(bag, path)
        try:
            header = self._header()
            self.entries = self._entries(header)
            self.label, self.not_contiguous = self._metadata(header)
            for entry in self.entries.values():
                self._check_booleans(entry)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()

    def read(self, name: str) -> Tensor:
        entry = self.entries[name]
        data = self._file.read(self._data + entry.start, entry.end - entry.start)
        return np.frombuffer(data, dtype=NUMPY[entry.dtype]).reshape(entry.shape)

    def _header(self) -> dict[str, Any]:
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
        header = parse(self.path, data, object_pairs_hook=_no_key_twice, parse_int=_count)
        assert isinstance(header, dict)  # it begins with {
        return header

    def _entries(self, header: dict[str, Any]) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        position = 0
        for name, value in header.items():
            if name == "__metadata__":
                continue
            entry = self._entry(name, value)
            if entry.start != position:
                raise InvalidEvidenceError(f"{self.path} {name}", f"data from {position}", f"from {entry.start}")
            entries[name], position = entry, entry.end
        if position != self._file.size - self._data:
            raise InvalidEvidenceError(self.path, f"{self._file.size - self._data} bytes of data listed", f"{position}")
        return entries

    def _entry(self, name: str, value: Any) -> Entry:
        where = f"{self.path} {name}"
        if not _good_name(name):
            raise InvalidEvidenceError(where, "`step<i>/<activation>` or `<activation>`, printable ASCII", repr(name))
        if type(value) is not dict or set(value) != {"dtype", "shape", "data_offsets"}:
            raise InvalidEvidenceError(where, "an object with dtype, shape and data_offsets", repr(value))
        dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
        if type(dtype) is not str or dtype not in WIDTHS:
            raise InvalidEvidenceError(where, f"a dtype of {', '.join(WIDTHS)}", repr(dtype))
        if not _counts(shape) or len(shape) > MOST_DIMENSIONS:
            raise InvalidEvidenceError(where, f"a shape of at most {MOST_DIMENSIONS} counts", repr(shape))
        if not _counts(offsets) or len(offsets) != 2:
            raise InvalidEvidenceError(where, "two offsets", repr(offsets))
        elements = _elements(where, shape)
        if offsets[1] - offsets[0] != elements * WIDTHS[dtype]:
            raise InvalidEvidenceError(where, f"{elements * WIDTHS[dtype]} bytes for {dtype} {shape}", repr(offsets))
        return Entry(dtype, tuple(shape), offsets[0], offsets[1])

    def _metadata(self, header: dict[str, Any]) -> tuple[str, frozenset[str]]:
        where = f"{self.path} __metadata__"
        metadata = header.get("__metadata__")
        if type(metadata) is not dict or list(metadata) != ["trialplate"] or type(metadata["trialplate"]) is not str:
            raise InvalidEvidenceError(where, "exactly the key trialplate with a string", repr(metadata))
        try:
            text = metadata["trialplate"].encode()
        except UnicodeEncodeError as error:
            raise InvalidEvidenceError(where, "a string that UTF-8 can hold", str(error)) from None
        value = parse(where, text, object_pairs_hook=_no_key_twice)
        if type(value) is not dict or set(value) != {"schema", "identity", "not_contiguous"}:
            raise InvalidEvidenceError(where, "schema, identity and not_contiguous", repr(value))
        if value["schema"] != "trialplate/capture/1":
            raise InvalidEvidenceError(where, "the schema trialplate/capture/1", repr(value["schema"]))
        return self._label(where, value["identity"]), self._scattered(where, value["not_contiguous"])

    def _label(self, where: str, identity: Any) -> str:
        fields = ["name", "version", "precision", "device"]
        if type(identity) is not dict or set(identity) != set(fields):
            raise InvalidEvidenceError(where, f"an identity with {', '.join(fields)}", repr(identity))
        try:
            IDENTITY.check({field: identity[field] for field in fields})
        except MismatchError as mismatch:
            raise InvalidEvidenceError(where, mismatch.expected, mismatch.found) from None
        return f"{identity['name']}@{identity['precision']}"

    def _scattered(self, where: str, names: Any) -> frozenset[str]:
        if type(names) is not list or not all(type(name) is str and name in self.entries for name in names):
            raise InvalidEvidenceError(where, "not_contiguous with tensors of this file", repr(names))
        if len(set(names)) != len(names):
            raise InvalidEvidenceError(where, "not_contiguous with no tensor twice", repr(names))
        return frozenset(names)

    def _check_booleans(self, entry: Entry) -> None:
        if entry.dtype != "BOOL":
            return
        for start in range(entry.start, entry.end, PIECE):
            data = self._file.read(self._data + start, min(PIECE, entry.end - start))
            if data.strip(b"\0\1"):
                raise InvalidEvidenceError(self.path, "bytes 0 and 1 in BOOL", "another one")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice in one object")
    return found


def _count(text: str) -> int:
    if text.startswith("-"):
        raise ValueError(f"{text} is no count")
    return int(text)


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
