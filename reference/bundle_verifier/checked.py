"""Problems as they are found: what follows beside what the record says."""

from collections.abc import Iterable
from typing import Any

from bundle_verifier.agreement import same_measured
from bundle_verifier.checks import Finding
from bundle_verifier.problem import Problem
from bundle_verifier.spelling import spelled

RESULTS = "data/results.json"


class Problems(list[Problem]):
    def same(self, where: str, expected: object, found: object) -> bool:
        if expected != found:
            self.append(Problem(f"{RESULTS} {where}", f"{expected!r}", f"{found!r}"))
        return expected == found

    def same_float(self, where: str, expected: float | None, found: str | None) -> None:
        if not same_measured(expected, found):
            self.same(where, None if expected is None else spelled(expected), found)

    def same_finding(self, where: str, expected: Finding | None, found: dict[str, Any] | None) -> None:
        self.same(where, expected, found and recorded_finding(found))

    def same_findings(self, where: str, expected: list[Finding], found: Iterable[dict[str, Any]]) -> None:
        self.same(where, expected, [recorded_finding(record) for record in found])


def recorded_finding(record: dict[str, Any]) -> Finding:
    return Finding(record["case"], record["tensor"], record["reason"])
