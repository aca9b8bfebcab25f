"""What a model directory's `config.json` says, reduced to what a forward pass of its family depends on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trialplate_reference.family import Family, Feature, Sizes
from trialplate_reference.gpt2 import GPT2
from trialplate_reference.llama import LLAMA

_FAMILIES = (GPT2, LLAMA)

Raw = Mapping[str, object]


@dataclass(frozen=True)
class ModelConfig:
    family: Family
    architecture: str
    options: Mapping[str, object]
    """The values of the family's options."""
    layers: int
    sizes: Sizes
    epsilon: float
    tied_head: bool
    features: tuple[Feature, ...]
    """Those of the family that the model has."""

    @property
    def context(self) -> int:
        return self.sizes["C"]

    @property
    def vocabulary(self) -> int:
        return self.sizes["V"]

    @staticmethod
    def read(model: Path) -> "ModelConfig":
        path = model / "config.json"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; expected a model directory in Hugging Face format")
        try:
            return _parse(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def _parse(raw: Raw) -> ModelConfig:
    family, architecture = _family(raw)
    allowed = {"model_type": (family.architectures[architecture],), **family.options}
    return ModelConfig(
        family=family,
        architecture=architecture,
        options={path: _option(raw, path, values) for path, values in allowed.items()},
        layers=_whole(raw, family.layers),
        sizes=_sizes(raw, family),
        epsilon=_number(raw, family.epsilon),
        tied_head=bool(_find(raw, "tie_word_embeddings", family.tied_head)),
        features=tuple(feature for feature in family.features.values() if _has(raw, architecture, feature)),
    )


def _family(raw: Raw) -> tuple[Family, str]:
    """By the architecture, or, where none is named, by the type of the model."""
    found, model_type = raw.get("architectures") or [], raw.get("model_type")
    known = [(family, *pair) for family in _FAMILIES for pair in family.architectures.items()]
    for family, architecture, type_ in known:
        if found == [architecture] or (not found and model_type == type_):
            return family, architecture
    expected = [architecture for _, architecture, _ in known]
    raise ValueError(f"architectures is {found!r} and model_type {model_type!r}; expected one of {expected}")


def _option(raw: Raw, path: str, allowed: tuple[object, ...]) -> object:
    if (found := _find(raw, path, allowed[0])) not in allowed:
        raise ValueError(f"{path} is {found!r}; this reference computes {', '.join(map(repr, allowed))} only")
    return found


def _sizes(raw: Raw, family: Family) -> Sizes:
    sizes: dict[str, int] = {}
    for symbol, size in family.sizes.items():
        if size.otherwise and (size.path is None or _find(raw, size.path) is None):
            sizes[symbol] = size.otherwise(sizes)
        else:
            sizes[symbol] = _whole(raw, str(size.path))
    return sizes


def _has(raw: Raw, architecture: str, feature: Feature) -> bool:
    return architecture in feature.architectures or bool(feature.option and _find(raw, feature.option))


def _whole(raw: Raw, path: str) -> int:
    if not isinstance(found := _required(raw, path), int):
        raise ValueError(f"{path} is {found!r}; expected a whole number")
    return found


def _number(raw: Raw, path: str) -> float:
    if not isinstance(found := _required(raw, path), int | float):
        raise ValueError(f"{path} is {found!r}; expected a number")
    return found


def _required(raw: Raw, path: str) -> object:
    if (found := _find(raw, path)) is None:
        raise ValueError(f"{path} is missing")
    return found


def _find(raw: Raw, path: str, otherwise: object = None) -> object:
    """What stands at a path of keys joined by dots; null is as good as nothing."""
    found: object = raw
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return otherwise if found is None else found
