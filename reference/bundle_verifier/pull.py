"""JSON values out of bytes, one after the other: what is wrong at the start is found at the start."""

import json
from typing import Any

from bundle_verifier.problem import BeyondMeansError, InvalidEvidenceError, brief

FIRST_WINDOW, FACTOR = 1 << 12, 32
MOST_COST = 300 << 20  # of one value in memory; a bracket or a comma of few bytes becomes an object of many
COST_OF_A_VALUE = 72
NEAR_THE_END = 16  # how far from a cut the decoder may notice it
BLANKS = b" \t\n\r"


class Pull:
    def __init__(self, file: str, data: bytes, decoder: json.JSONDecoder) -> None:
        self.file, self.data, self.position = file, data, 0
        self._decoder = decoder

    def startswith(self, literal: bytes) -> bool:
        return self.data.startswith(literal, self.position)

    def take(self, literal: bytes) -> bool:
        found = self.startswith(literal)
        self.position += len(literal) * found
        return found

    def need(self, literal: bytes) -> None:
        if not self.take(literal):
            found = brief(repr(self.data[self.position : self.position + 60]))
            raise InvalidEvidenceError(self.file, f"{literal!r} at byte {self.position}", found)

    def skip_blanks(self) -> None:
        while self.position < len(self.data) and self.data[self.position] in BLANKS:
            self.position += 1

    def ended(self) -> bool:
        return self.position == len(self.data)

    def value(self) -> Any:
        """The next value; as little is decoded as holds it."""
        window = FIRST_WINDOW
        while True:
            text, whole = self._text(window)
            try:
                value, end = self._decoder.raw_decode(text)
            except RecursionError:
                raise self._invalid("nesting of at most 128", "more") from None
            except ValueError as error:
                if whole or not _may_be_cut(error, text):
                    raise self._invalid("JSON in UTF-8 without a byte order mark", str(error)) from None
            else:
                if whole or end < len(text):
                    self.position += end if text.isascii() else len(text[:end].encode(errors="surrogatepass"))
                    return value
            window *= FACTOR

    def _text(self, window: int) -> tuple[str, bool]:
        data = self.data[self.position : self.position + window]
        whole = self.position + window >= len(self.data)
        if len(data) > 1 << 20:
            self._afford(data)
        try:
            return data.decode(), whole
        except UnicodeDecodeError as error:
            if whole or error.start < len(data) - 3:
                raise self._invalid("JSON in UTF-8 without a byte order mark", str(error)) from None
            return data[: error.start].decode(), False

    def _afford(self, data: bytes) -> None:
        values = data.count(b",") + data.count(b"[") + data.count(b"{")
        cost = values * COST_OF_A_VALUE + len(data) * (1 if data.isascii() else 4)
        if cost > MOST_COST:
            raise BeyondMeansError(f"{self.file}: one value of {len(data)} bytes at {self.position}, or more")

    def _invalid(self, expected: str, found: str) -> InvalidEvidenceError:
        return InvalidEvidenceError(f"{self.file} at byte {self.position}", expected, found)


def _may_be_cut(error: ValueError, text: str) -> bool:
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.msg.startswith("Unterminated string") or error.pos >= len(text) - NEAR_THE_END


def no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice in one object")
    return found
