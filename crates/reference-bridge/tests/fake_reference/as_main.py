"""Run by the worker's `-m`: says what it was given, and ends as it is told."""

import sys

import trialplate_magnitude  # the worker's own

assert __name__ == "__main__"
print(sys.argv[1:], sorted(name for name in vars(trialplate_magnitude) if not name.startswith("_")))
with open(__file__) as file:  # as a package does that leaves the encoding to the locale
    print(file.encoding)
ends: dict[str, object] = {"none": None, "three": 3, "words": "gave up"}
if sys.argv[1] == "raise":
    raise ValueError("seven is not a number")
if sys.argv[1] in ends:
    sys.exit(ends[sys.argv[1]])  # type: ignore[arg-type]
