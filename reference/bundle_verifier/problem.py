"""What can be wrong with a bundle, and how it is said."""

from dataclasses import dataclass

LONGEST = 300


@dataclass(frozen=True)
class Problem:
    """One departure: where, what the format or the tensors call for, and what is there."""

    file: str
    expected: str
    found: str

    def line(self) -> str:
        return harmless(f"{self.file}: expected {brief(self.expected)}; found {brief(self.found)}")


class InvalidEvidenceError(Exception):
    """Raised where nothing after the problem could be read in any meaningful way."""

    def __init__(self, file: str, expected: str, found: str) -> None:
        super().__init__(file, expected, found)
        self.problem = Problem(file, expected, found)


class BeyondMeansError(Exception):
    """The format allows it, but this verifier cannot hold it: nothing is verified then, nor found invalid."""


def brief(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"


def harmless(text: str) -> str:
    """Nothing in a bundle may steer the terminal or the CI that shows this line."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return shown.replace("::", ":\\u200b:").replace("##[", "#\\u200b#[")
