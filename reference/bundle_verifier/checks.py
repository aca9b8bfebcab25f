"""What the subject's own run must satisfy, whatever anybody else has: which tensors a check looks at."""

from dataclasses import dataclass

from bundle_verifier.case import Case, tensor_name
from bundle_verifier.evidence import Captures, Evidence, Outcome, everybodys
from bundle_verifier.plan import Required
from bundle_verifier.rounding import Rounding
from bundle_verifier.specs import Requirement
from bundle_verifier.tensor import Tensor

JUDGED_OTHERWISE = ("agreement", "nothing-unexpected")


@dataclass(frozen=True, slots=True)
class Finding:
    case: str
    tensor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Examination:
    checked: int
    required: int
    findings: list[Finding]


class UnavailableError(Exception):
    """A tensor that a check needs cannot be looked at."""

    def __init__(self, tensor: str, reason: str) -> None:
        super().__init__(tensor)
        self.tensor, self.reason = tensor, reason


def concerned(evidence: Evidence, case: Case, spec: str, requirement: Requirement) -> list[Required]:
    """The tensors that a requirement with a check of its own looks at."""
    chosen = looked_at(evidence, case, spec, requirement)
    return [required for required in chosen if _applies(evidence, case, requirement.check, required)]


def looked_at(evidence: Evidence, case: Case, spec: str, requirement: Requirement) -> list[Required]:
    required = evidence.plan.required(case, "f32", evidence.traits_in(case))
    return [r for r in required if r.spec == spec and r.activation.name in requirement.of]


def _applies(evidence: Evidence, case: Case, check: str, required: Required) -> bool:
    if check == "cache-zero-when-unused":
        return bool(case.steps[required.step or 0].keys < evidence.plan.sizes["C"])
    return check != "cache-append-only" or (case.last_step > 0 and required.step == case.last_step)


@dataclass
class Look:
    """One tensor that is checked, and what else the check may look at."""

    evidence: Evidence
    case: Case
    captures: Captures
    required: Required
    chosen: list[Required]  # all that the requirement looks at
    by_name: dict[str, Required]  # all of the run
    rounding: Rounding

    def tensor(self, required: Required | None = None) -> Tensor:
        required = required or self.required
        found = self.captures.fetch("subject", required)
        if isinstance(found, Outcome):
            raise UnavailableError(required.tensor, found.reason)
        if found.size == 0:
            raise UnavailableError(required.tensor, "empty")
        return found

    def named(self, name: str) -> Tensor:
        found = self.by_name.get(name)
        if found is None:
            raise UnavailableError(name, "missing")
        return self.tensor(found)

    def of_last_step(self, activation: str) -> Tensor:
        return self.named(tensor_name(self.case.last_step, activation))

    def following(self) -> Required | None:
        """The next one of the same layer and step; after the last the first."""
        place = (self.required.layer, self.required.step)
        group = [r for r in self.chosen if (r.layer, r.step) == place]
        following = group[(group.index(self.required) + 1) % len(group)]
        return None if following is self.required else following


def unexpected(evidence: Evidence, case: Case, captures: Captures) -> list[Finding]:
    """What the subject has that nobody is asked for."""
    file = captures.file("subject")
    wanted = {r.tensor for r in evidence.plan.required(case, "f32", everybodys(case))}
    names = [name for name in (file.entries if file else ()) if name not in wanted]
    return [Finding(case.id, name, "unexpected") for name in sorted(names, key=_by_step)]


def _by_step(tensor: str) -> tuple[int, str]:
    if tensor.startswith("step"):
        step, name = tensor.removeprefix("step").split("/", 1)
        return int(step), name
    return -1, tensor
