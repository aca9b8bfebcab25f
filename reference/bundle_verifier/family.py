"""What a family says of all its models, and what one model's `config.json` makes of it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bundle_verifier.features import absent, decided, found, holds, plain


@dataclass(frozen=True)
class Dimensions:
    """Of one model."""

    layers: int
    sizes: Mapping[str, int]
    """By symbol: `{"D": 768, "H": 12}`."""
    constants: Mapping[str, float]
    """By name: `{"epsilon": 1e-5}`."""


@dataclass(frozen=True)
class Family:
    table: Mapping[str, Any]

    @staticmethod
    def parse(text: bytes) -> "Family":
        table = tomllib.loads(text.decode())
        constants = {name: source for name, source in table.get("constants", {}).items() if not source.get("when")}
        return Family(table | {"weight": plain(table.get("weight", ())), "constants": constants})

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the names of weights may begin with beyond the canonical ones."""
        return tuple(self.table.get("prefixes", ()))

    @property
    def buffers(self) -> tuple[str, ...]:
        """Ends of the names of stored tensors that are no weights."""
        return tuple(self.table.get("buffers", ()))

    def dimensions(self, config: Mapping[str, Any]) -> Dimensions:
        """Of the model with this `config.json`; a `ValueError` says which option this family does not compute."""
        features = decided(self.table, config)
        if features:
            raise ValueError(f"{', '.join(features)}: features that this verifier does not compute")
        for option in self.table.get("option", ()):
            _check_option(option, config)
        sizes: dict[str, int] = {}
        derived: dict[str, str] = {}
        for symbol, source in self.table["sizes"].items():
            given = found(config, source["path"]) if "path" in source else None
            if given is not None:
                sizes[symbol] = _positive(source["path"], given)
            elif "otherwise" in source:
                derived[symbol] = source["otherwise"]
            else:
                raise ValueError(f"config.json has no {source['path']}")
        for symbol, expression in derived.items():
            sizes[symbol] = size(expression, sizes)
        constants = {
            name: _number(source["path"], _given(source, config))
            for name, source in self.table.get("constants", {}).items()
        }
        path = self.table["layers"]
        return Dimensions(_positive(path, found(config, path)), sizes, constants)


def _check_option(option: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    if not all(holds(condition, config) for condition in option.get("if", ())):
        return
    value = _given(option, config)
    one = value[0] if isinstance(value, list) and value and all(other == value[0] for other in value) else value
    if value is not None and value not in option["allowed"] and one not in option["allowed"]:
        raise ValueError(f"{option['path']} is {value!r}; expected {option['allowed']}: {option['reason']}")


def _given(source: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    return source.get("otherwise") if absent(config, source["path"]) else found(config, source["path"])


def size(expression: str, sizes: Mapping[str, int]) -> int:
    """The value of `D`, `4*D`, `D/H` or `3`."""
    for sign in "*/":
        if sign in expression:
            left, right = (size(part, sizes) for part in expression.split(sign, 1))
            if sign == "*":
                return left * right
            if right == 0 or left % right:
                raise ValueError(f"{expression} is {left}/{right}; expected a whole number")
            return left // right
    symbol = expression.strip()
    if symbol in sizes:
        return sizes[symbol]
    if not (symbol.isascii() and symbol.isdigit()):
        raise ValueError(f"{symbol!r} has no size; expected one of {sorted(sizes)}")
    return int(symbol)


def _positive(path: str, value: object) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"config.json has {path} {value!r}; expected a whole number above 0")
    return value


def _number(path: str, value: object) -> float:
    if type(value) not in (int, float) or not isinstance(value, int | float):
        raise ValueError(f"config.json has {path} {value!r}; expected a number")
    return float(value)
