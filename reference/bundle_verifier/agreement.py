"""Whether a recorded outcome is the computed one, field by field, as closely as the format asks."""

import math
from typing import Any

from bundle_verifier.elements import Element, recorded_element
from bundle_verifier.evidence import Outcome
from bundle_verifier.spelling import measured, spelled
from bundle_verifier.statistics import Statistics
from bundle_verifier.systematic import Systematic

SUMS = 1e-12
Difference = tuple[str, str, str]  # field, expected (computed), found (recorded)


def differences(computed: Statistics | Outcome, record: dict[str, Any]) -> list[Difference]:
    if isinstance(computed, Outcome):
        return _mismatch(computed, record)
    if record["kind"] != "compared":
        return [("kind", "compared", record["kind"])]
    shape = list(computed.shape)
    found = [] if shape == record["shape"] else [("shape", f"{shape}", f"{record['shape']}")]
    return found + _statistics(computed, record["statistics"])


def same(a: float, b: float) -> bool:
    """Bit for bit; NaN is NaN, whatever its payload."""
    return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1.0, a) == math.copysign(1.0, b))


def near(a: float, b: float, tolerance: float) -> bool:
    """Bit for bit, or finite and off by at most `tolerance` times the larger one."""
    finite = math.isfinite(a) and math.isfinite(b)
    return same(a, b) or (tolerance > 0.0 and finite and abs(a - b) <= tolerance * max(abs(a), abs(b)))


def same_measured(computed: float | None, record: str | None) -> bool:
    if computed is None or record is None:
        return computed is None and record is None
    return same(computed, measured(record))


def recorded_systematic(record: dict[str, Any]) -> Systematic:
    fields = ("scale", "scale_allowed", "offset", "offset_allowed", "used")
    values = [measured(record[name]) for name in fields]
    place = (record["axis"], record.get("paired", False), record["index"])
    return Systematic(*place, values[0], values[1], values[2], values[3], values[4])


def _mismatch(computed: Outcome, record: dict[str, Any]) -> list[Difference]:
    expected: dict[str, Any] = {"kind": computed.kind}
    if computed.kind != "unreadable":
        expected["side"] = computed.side
    if computed.mismatch:
        expected["expected"] = _listed(computed.expected)
        expected["found"] = _listed(computed.found)
    return [(name, repr(v), repr(record.get(name))) for name, v in expected.items() if record.get(name) != v]


def _listed(value: tuple[int, ...] | str) -> list[int] | str:
    return value if isinstance(value, str) else list(value)


def _statistics(computed: Statistics, record: dict[str, Any]) -> list[Difference]:
    counts = ("elements", "violations", "non_finite", "max_ulp", "buckets")
    found = [(n, repr(getattr(computed, n)), repr(record[n])) for n in counts if getattr(computed, n) != record[n]]
    least, most = computed.tie_bounds or (computed.ties, computed.ties)
    if not least <= record["ties"] <= most:
        found.append(("ties", f"{least} to {most}", repr(record["ties"])))
    tolerances = {"max_abs": 0.0, "max_rel": 0.0, "used": 0.0, "mean_abs": SUMS, "rmse": SUMS}
    for name, tolerance in tolerances.items():
        value: float = getattr(computed, name)
        if not near(value, measured(record[name]), tolerance):
            found.append((name, spelled(value), record[name]))
    if not _same_cosine(computed.cosine, record["cosine"]):
        found.append(("cosine", repr(computed.cosine), repr(record["cosine"])))
    recorded_range = record["range"] and tuple(map(measured, record["range"]))
    if computed.range != recorded_range:
        found.append(("range", repr(computed.range), repr(record["range"])))
    found += _elements("worst", computed.worst, record["worst"])
    if record["budget"] is not None:
        found.append(("budget", "None", repr(record["budget"])))
    return found


def _same_cosine(computed: float | None, record: str | None) -> bool:
    if computed is None or record is None:
        return computed is None and record is None
    return abs(computed - measured(record)) <= SUMS


def _elements(name: str, computed: list[Element], records: list[dict[str, Any]]) -> list[Difference]:
    recorded = [recorded_element(record) for record in records]
    if len(recorded) == len(computed) and all(map(_same_element, computed, recorded)):
        return []
    return [(name, repr(computed), repr(recorded))]


def _same_element(a: Element, b: Element) -> bool:
    pairs = [(a.actual, b.actual), (a.expected, b.expected), (a.error, b.error), (a.allowed, b.allowed)]
    return a.index == b.index and all(same(x, y) for x, y in pairs)
