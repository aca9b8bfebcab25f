"""Records have one spelling: parse, check the schema, write again, and the bytes must be the same."""

import json
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, overload

from bundle_verifier.problem import InvalidEvidenceError
from bundle_verifier.pull import Pull, no_constant
from bundle_verifier.schema import Array, Kind, MismatchError, Number, Record, Some, dump, streams

DECODER = json.JSONDecoder(parse_float=Number.parse, parse_constant=no_constant)


class Stored(Sequence[Any]):
    """The items of a list that have been checked and are parsed again when they are asked for."""

    def __init__(self, file: str, data: bytes, starts: "array[int]") -> None:
        self._pull, self._starts = Pull(file, data, DECODER), starts

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        self._pull.position = self._starts[index]
        return self._pull.value()

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))


def read_record(file: str, data: bytes, kind: Kind, version: str) -> Any:
    """The record, which must be of the bundle's version where it says one."""
    pull = Pull(file, data, DECODER)
    value = _read(pull, kind, "")
    pull.need(b"\n")
    if not pull.ended():
        raise InvalidEvidenceError(file, "nothing after the record", f"{len(data) - pull.position} bytes")
    schema = value.get("schema")
    if schema is not None and schema.rpartition("/")[2] != version:
        raise InvalidEvidenceError(f"{file} schema", f"version {version}, as the bundle is of", schema)
    return value


def _read(pull: Pull, kind: Kind, path: str) -> Any:
    if isinstance(kind, Record) and streams(kind):
        return _read_record(pull, kind, path)
    if isinstance(kind, Array) and streams(kind):
        return _read_items(pull, kind, path)
    return _read_whole(pull, kind, path)


def _read_record(pull: Pull, kind: Record, path: str) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for index, (name, field) in enumerate(kind.fields.items()):
        start = f"{',' if index else '{'}{dump(name)}:".encode()
        if isinstance(field, Some) and not pull.startswith(start):
            value[name] = []
            continue
        pull.need(start)
        value[name] = _read(pull, field, f"{path}.{name}")
    pull.need(b"}")
    return value


def _read_items(pull: Pull, kind: Array, path: str) -> Any:
    items: list[Any] = []
    starts = array("q")
    pull.need(b"[")
    while not pull.take(b"]"):
        if starts:
            pull.need(b",")
        starts.append(pull.position)
        item = _read(pull, kind.kind, f"{path}[{len(starts) - 1}]")
        if not kind.stream:
            items.append(item)
    return Stored(pull.file, pull.data, starts) if kind.stream else items


def _read_whole(pull: Pull, kind: Kind, path: str) -> Any:
    start = pull.position
    value = pull.value()
    found = pull.data[start : pull.position]
    where = f"{pull.file} {path.lstrip('.')}".rstrip()
    try:
        kind.check(value)
        again = kind.write(value).encode()
    except MismatchError as mismatch:
        inner = f"{path}{''.join(reversed(mismatch.path))}".lstrip(".")
        raise InvalidEvidenceError(f"{pull.file} {inner}".rstrip(), mismatch.expected, mismatch.found) from None
    except UnicodeEncodeError as error:
        raise InvalidEvidenceError(where, "strings that UTF-8 can hold", str(error)) from None
    if again != found:
        at = next(
            (i for i, (a, b) in enumerate(zip(again, found, strict=False)) if a != b), min(len(again), len(found))
        )
        expected = f"the one spelling of the record, at byte {start + at} {again[at : at + 40]!r}"
        raise InvalidEvidenceError(where, expected, repr(found[at : at + 40]))
    return value
