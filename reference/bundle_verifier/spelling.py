"""Floats as records spell them: a measured one as `decimal=bits`, a constant as a JSON number."""

import functools
import math
import re
import struct
from decimal import Decimal

MEASURED = re.compile(r"[^=]{1,32}=[0-9a-f]{16}")


def measured(text: str) -> float:
    """The binary64 of a measured value that has been checked."""
    value: float = struct.unpack(">d", bytes.fromhex(text[-16:]))[0]
    return value


def is_measured(text: str) -> bool:
    return len(text) <= 64 and _is_measured(text)


@functools.lru_cache(maxsize=1 << 14)
def _is_measured(text: str) -> bool:
    return MEASURED.fullmatch(text) is not None and text[:-17] == spelled(measured(text))


def spelled(value: float) -> str:
    """The shortest decimal that reads back as `value`; of two equally near ones the one further from 0."""
    if math.isnan(value):
        return "NaN"
    text = repr(value)
    if math.isfinite(value) and len(text) >= 15 and _may_tie(value, text):
        text = _away_from_zero(value, text)
    return text.replace("e-0", "e-").replace("e+", "e")


def spelled_constant(value: float) -> str:
    if 1e-5 <= abs(value) < 1e-4:
        return format(Decimal(repr(value)), "f")
    return spelled(value)


def _may_tie(value: float, text: str) -> bool:
    """Whether the exact decimal can have one digit more than the shortest: m/2ᵏ has k digits after the point."""
    places = value.as_integer_ratio()[1].bit_length() - 1
    digits, _, exponent = text.partition("e")
    return places == 0 or places == len(digits.partition(".")[2]) - int(exponent or 0) + 1


def _away_from_zero(value: float, text: str) -> str:
    """Python rounds such a tie to an even digit, the format away from 0 (…03125 to …0313)."""
    digits, *exponent = text.split("e")
    if digits[-1] not in "02468":
        return text
    exact, further = Decimal(value), "e".join([digits[:-1] + chr(ord(digits[-1]) + 1), *exponent])
    if float(further) == value and Decimal(further) - exact == exact - Decimal(text):
        return further
    return text
