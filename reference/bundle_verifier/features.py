"""What some models of a family have and others have not. This verifier computes models that have nothing beyond what
all have: it must know the others, so that it refuses them by name.
"""

from collections.abc import Iterable, Mapping
from typing import Any

FAMILIES = ("gpt2",)
"""Families whose operations this verifier computes."""

CONDITION = {"path", "otherwise", "is", "each", "present"}


def found(config: Mapping[str, Any], path: str) -> Any:
    """What is at `a.b`; of `a.b | c` the first that is not null. None where nothing is."""
    for alternative in path.split("|"):
        value: Any = config
        for field in alternative.strip().split("."):
            value = value.get(field) if isinstance(value, dict) else None
        if value is not None:
            return value
    return None


def absent(config: Mapping[str, Any], path: str) -> bool:
    """Whether nothing is there, not even null."""
    for alternative in path.split("|"):
        value: Any = config
        for field in alternative.strip().split("."):
            if not isinstance(value, dict) or field not in value:
                break
            value = value[field]
        else:
            return False
    return True


def holds(condition: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Whether everything that a condition asks of the configuration is so."""
    if not set(condition) <= CONDITION or len(set(condition) - {"path", "otherwise"}) == 0:
        raise ValueError(f"the condition {dict(condition)!r} asks for something else than {sorted(CONDITION)}")
    value = condition.get("otherwise") if absent(config, condition["path"]) else found(config, condition["path"])
    each = condition.get("each")
    return (
        ("is" not in condition or any(_same(value, wanted) for wanted in condition["is"]))
        and ("present" not in condition or (value is not None) == condition["present"])
        and (each is None or (isinstance(value, list) and value != [] and all(_same(one, each) for one in value)))
    )


def decided(table: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """The features that a model has, by its family's table and its configuration."""
    return [
        feature["name"]
        for feature in table.get("feature", ())
        if any(all(holds(condition, config) for condition in conditions) for conditions in feature["any"])
    ]


def plain(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that exist in a model without any feature, without what they say of others."""
    kept = [entry for entry in entries if not entry.get("when")]
    return [{name: value for name, value in entry.items() if name not in ("when", "unless")} for entry in kept]


def _same(x: object, y: object) -> bool:
    return x == y and isinstance(x, bool) == isinstance(y, bool)
