"""The kinds of values in a record: each can be checked, and written again in its one spelling."""

import json
import math
import re
from typing import Any, Protocol

from bundle_verifier.problem import brief
from bundle_verifier.spelling import is_measured, spelled_constant


class MismatchError(Exception):
    """A value that is not of its kind; the path grows on the way out."""

    def __init__(self, expected: str, value: object) -> None:
        super().__init__(expected)
        self.expected, self.found = expected, brief(repr(value))
        self.path: list[str] = []


class Kind(Protocol):
    plain: bool  # json.dumps writes it as the format does

    def check(self, value: Any) -> None: ...
    def write(self, value: Any) -> str: ...


class Number(float):
    """A JSON number with a point or an exponent, beside its own spelling."""

    __slots__ = ("text",)
    text: str

    @classmethod
    def parse(cls, text: str) -> "Number":
        number = cls(text)
        number.text = text
        return number


def dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class Plain:
    plain = True

    def write(self, value: Any) -> str:
        return dump(value)


class Text(Plain):
    def __init__(self, pattern: str | None = None) -> None:
        self._pattern = re.compile(pattern) if pattern else None

    def check(self, value: Any) -> None:
        if type(value) is not str:
            raise MismatchError("a string", value)
        if self._pattern and not self._pattern.fullmatch(value):
            raise MismatchError(f"a string of the form {self._pattern.pattern}", value)


class Word(Plain):
    def __init__(self, *words: str) -> None:
        self._words = words

    def check(self, value: Any) -> None:
        if type(value) is not str or value not in self._words:
            raise MismatchError(f"one of {', '.join(self._words)}", value)


class Integer(Plain):
    def __init__(self, low: int = 0, high: int = 2**64 - 1) -> None:
        self._low, self._high = low, high

    def check(self, value: Any) -> None:
        if type(value) is not int or not self._low <= value <= self._high:
            raise MismatchError(f"an integer from {self._low} to {self._high}", value)


class Boolean(Plain):
    def check(self, value: Any) -> None:
        if type(value) is not bool:
            raise MismatchError("true or false", value)


class Always(Plain):
    """A flag that is written only where it is true."""

    def check(self, value: Any) -> None:
        if value is not True:
            raise MismatchError("true, or no such field", value)


class Measured(Plain):
    def check(self, value: Any) -> None:
        if type(value) is not str or not is_measured(value):
            raise MismatchError("a float as `shortest decimal=16 hex digits`, the two agreeing", value)


class Constant(Plain):
    """A float that stands in the record as a JSON number."""

    plain = False

    def check(self, value: Any) -> None:
        if type(value) is not Number or not math.isfinite(value) or value.text != self.write(value):
            raise MismatchError("a JSON number in the shortest spelling of its float", value)

    def write(self, value: Any) -> str:
        return spelled_constant(float(value))


class Maybe:
    def __init__(self, kind: Kind) -> None:
        self._kind, self.plain = kind, kind.plain

    def check(self, value: Any) -> None:
        if value is not None:
            self._kind.check(value)

    def write(self, value: Any) -> str:
        return "null" if value is None else self._kind.write(value)


class Array:
    """`stream`: read one item at a time, and kept as bytes."""

    def __init__(self, kind: Kind, length: int | None = None, stream: bool = False) -> None:
        self.kind, self._length, self.plain, self.stream = kind, length, kind.plain, stream

    def check(self, value: Any) -> None:
        if type(value) is not list or self._length not in (None, len(value)):
            raise MismatchError("an array" if self._length is None else f"an array of {self._length}", value)
        for index, item in enumerate(value):
            try:
                self.kind.check(item)
            except MismatchError as mismatch:
                mismatch.path.append(f"[{index}]")
                raise

    def write(self, value: Any) -> str:
        return dump(value) if self.plain else f"[{','.join(map(self.kind.write, value))}]"


class Ascending(Array):
    """A list in ascending order of bytes, nothing twice."""

    def check(self, value: Any) -> None:
        super().check(value)
        if value != sorted(set(value), key=str.encode):
            raise MismatchError("an array in ascending order, nothing twice", value)


class Some(Array):
    """A list that is left out where nothing is in it."""

    def check(self, value: Any) -> None:
        super().check(value)
        if not value:
            raise MismatchError("an array that is not empty, or no such field", value)


class Map:
    def __init__(self, kind: Kind) -> None:
        self._kind, self.plain = kind, kind.plain

    def check(self, value: Any) -> None:
        if type(value) is not dict or list(value) != sorted(value, key=lambda key: key.encode(errors="surrogatepass")):
            raise MismatchError("an object with its keys in ascending order", value)
        for key, item in value.items():
            try:
                self._kind.check(item)
            except MismatchError as mismatch:
                mismatch.path.append(f".{key}")
                raise

    def write(self, value: Any) -> str:
        return "{" + ",".join(f"{dump(key)}:{self._kind.write(item)}" for key, item in value.items()) + "}"


class Record:
    """An object with exactly these fields in this order."""

    def __init__(self, **fields: Kind) -> None:
        self.fields, self._names = fields, list(fields)
        self.plain = all(kind.plain for kind in fields.values())

    def check(self, value: Any) -> None:
        if type(value) is not dict or list(value) != self._names:
            found = list(value) if type(value) is dict else value
            raise MismatchError(f"an object with the fields {', '.join(self._names)}, in this order", found)
        for name, kind in self.fields.items():
            try:
                kind.check(value[name])
            except MismatchError as mismatch:
                mismatch.path.append(f".{name}")
                raise

    def write(self, value: Any) -> str:
        if self.plain:
            return dump(value)
        return "{" + ",".join(f"{dump(name)}:{kind.write(value[name])}" for name, kind in self.fields.items()) + "}"


class Tagged(Plain):
    """An object whose first field, `kind`, says which fields follow."""

    def __init__(self, **records: Record) -> None:
        self._records = records

    def check(self, value: Any) -> None:
        word = value.get("kind") if type(value) is dict else None
        if type(word) is not str or word not in self._records:
            raise MismatchError(f"an object with a kind of {', '.join(self._records)}", value)
        self._records[word].check(value)


class Either:
    """An object of the first form if it has the key, else of the second."""

    def __init__(self, key: str, having: Record, lacking: Record) -> None:
        self._key, self._having, self._lacking = key, having, lacking
        self.plain = having.plain and lacking.plain

    def check(self, value: Any) -> None:
        self._of(value).check(value)

    def write(self, value: Any) -> str:
        return self._of(value).write(value)

    def _of(self, value: Any) -> Record:
        return self._having if type(value) is dict and self._key in value else self._lacking


class Known(Record):
    """A value, or the reason why it is not known."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(value=Maybe(kind), reason=Maybe(Text("(?s).+")))

    def check(self, value: Any) -> None:
        super().check(value)
        if (value["value"] is None) == (value["reason"] is None):
            raise MismatchError("either a value or the reason why there is none", value)


def streams(kind: Kind) -> bool:
    """Whether a list that is read one item at a time is anywhere in it."""
    if isinstance(kind, Array):
        return kind.stream or streams(kind.kind)
    return isinstance(kind, Record) and any(map(streams, kind.fields.values()))
