"""Which version of the format a bundle is in."""

import re

from bundle_verifier.problem import InvalidEvidenceError

MAJOR, NEWEST_MINOR = 2, 1
VERSION = re.compile(r"(0|[1-9][0-9]{0,4})\.(0|[1-9][0-9]{0,4})")
READERS = {1: "trialplate 0.1"}
LATER = "a later trialplate, such as the one that wrote it"
WHERE = "bag-info.txt Trialplate-Format"


def check_version(text: str) -> None:
    """That this verifier reads it; who does, where it does not."""
    expected = f"{MAJOR}.0 to {MAJOR}.{NEWEST_MINOR}, which this verifier reads"
    found = VERSION.fullmatch(text)
    if found is None or any(int(number) >= 1 << 16 for number in found.groups()):
        raise InvalidEvidenceError(WHERE, f"two numbers such as {MAJOR}.0", text)
    major, minor = map(int, found.groups())
    if major != MAJOR:
        raise InvalidEvidenceError(WHERE, expected, f"{text}, which is read by {READERS.get(major, LATER)}")
    if minor > NEWEST_MINOR:
        raise InvalidEvidenceError(WHERE, expected, f"{text}, which is newer: {LATER} reads it")
