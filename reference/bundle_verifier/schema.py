"""Records have one spelling: parse, check the schema, write again, and the bytes must be the same."""

import json
import math
import re
import struct
from decimal import Decimal
from typing import Any, Protocol

from bundle_verifier.problem import InvalidEvidenceError, brief

MEASURED = re.compile(r"([^=]+)=([0-9a-f]{16})")


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


class Measured(Plain):
    def check(self, value: Any) -> None:
        parts = MEASURED.fullmatch(value) if type(value) is str else None
        if parts is None or parts[1] != spelled(measured(value)):
            raise MismatchError("a float as `shortest decimal=16 hex digits`, the two agreeing", value)


class Constant(Plain):
    """A float that stands in the record as a JSON number."""

    plain = False

    def check(self, value: Any) -> None:
        if type(value) is not Number or not math.isfinite(value) or value.text != self.write(value):
            raise MismatchError("a JSON number in the shortest spelling of its float", value)

    def write(self, value: Any) -> str:
        if 1e-5 <= abs(value) < 1e-4:
            return format(Decimal(repr(float(value))), "f")
        return spelled(float(value))


class Maybe:
    def __init__(self, kind: Kind) -> None:
        self._kind, self.plain = kind, kind.plain

    def check(self, value: Any) -> None:
        if value is not None:
            self._kind.check(value)

    def write(self, value: Any) -> str:
        return "null" if value is None else self._kind.write(value)


class Array:
    def __init__(self, kind: Kind, length: int | None = None) -> None:
        self._kind, self._length, self.plain = kind, length, kind.plain

    def check(self, value: Any) -> None:
        if type(value) is not list or self._length not in (None, len(value)):
            raise MismatchError("an array" if self._length is None else f"an array of {self._length}", value)
        for index, item in enumerate(value):
            try:
                self._kind.check(item)
            except MismatchError as mismatch:
                mismatch.path.append(f"[{index}]")
                raise

    def write(self, value: Any) -> str:
        return dump(value) if self.plain else f"[{','.join(map(self._kind.write, value))}]"


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
        self._fields, self._names = fields, list(fields)
        self.plain = all(kind.plain for kind in fields.values())

    def check(self, value: Any) -> None:
        if type(value) is not dict or list(value) != self._names:
            found = list(value) if type(value) is dict else value
            raise MismatchError(f"an object with the fields {', '.join(self._names)}, in this order", found)
        for name, kind in self._fields.items():
            try:
                kind.check(value[name])
            except MismatchError as mismatch:
                mismatch.path.append(f".{name}")
                raise

    def write(self, value: Any) -> str:
        if self.plain:
            return dump(value)
        return "{" + ",".join(f"{dump(name)}:{kind.write(value[name])}" for name, kind in self._fields.items()) + "}"


class Tagged(Plain):
    """An object whose first field, `kind`, says which fields follow."""

    def __init__(self, **records: Record) -> None:
        self._records = records

    def check(self, value: Any) -> None:
        word = value.get("kind") if type(value) is dict else None
        if type(word) is not str or word not in self._records:
            raise MismatchError(f"an object with a kind of {', '.join(self._records)}", value)
        self._records[word].check(value)


def measured(text: str) -> float:
    """The binary64 of a measured value that has been checked."""
    value: float = struct.unpack(">d", bytes.fromhex(text[-16:]))[0]
    return value


def spelled(value: float) -> str:
    """The shortest decimal that reads back as `value`; of two equally near ones the one further from 0."""
    if math.isnan(value):
        return "NaN"
    text = repr(value)
    exact = Decimal(value)
    if exact.is_finite() and exact.as_tuple().digits[-1] == 5 and len(text) >= 15:
        text = _away_from_zero(value, text, exact)
    return text.replace("e-0", "e-").replace("e+", "e")


def _away_from_zero(value: float, text: str, exact: Decimal) -> str:
    """Python rounds such a tie to an even digit, the format away from 0 (…03125 to …0313)."""
    digits, *exponent = text.split("e")
    other = digits[:-1] + chr(ord(digits[-1]) + 1)
    further = "e".join([other, *exponent])
    if digits[-1] in "02468" and float(further) == value and Decimal(further) - exact == exact - Decimal(text):
        return further
    return text


def read_record(file: str, data: bytes, kind: Kind) -> Any:
    value = parse(file, data)
    try:
        kind.check(value)
        again = (kind.write(value) + "\n").encode()
    except MismatchError as mismatch:
        where = "".join(reversed(mismatch.path)).lstrip(".")
        raise InvalidEvidenceError(f"{file} {where}".rstrip(), mismatch.expected, mismatch.found) from None
    except UnicodeEncodeError as error:
        raise InvalidEvidenceError(file, "strings that UTF-8 can hold", str(error)) from None
    if again != data:
        at = next((i for i, (a, b) in enumerate(zip(again, data, strict=False)) if a != b), min(len(again), len(data)))
        expected, found = repr(again[at : at + 40]), repr(data[at : at + 40])
        raise InvalidEvidenceError(file, f"the one spelling of the record, at byte {at} {expected}", found)
    return value


def parse(file: str, data: bytes, **hooks: Any) -> Any:
    try:
        return json.loads(data.decode(), parse_float=Number.parse, parse_constant=_no_constant, **hooks)
    except RecursionError:
        raise InvalidEvidenceError(file, "nesting of at most 128", "more") from None
    except ValueError as error:
        raise InvalidEvidenceError(file, "JSON in UTF-8 without a byte order mark", str(error)) from None


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")
