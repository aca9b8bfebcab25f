"""The names and shapes of all activations of one step, and of the weights, derived from the model's config alone."""

from trialplate_reference.config import ModelConfig
from trialplate_reference.family import Shape, expanded

TEMPERATURES = (0.5, 1.0, 2.0)


def probs_name(temperature: float) -> str:
    return f"probs.t{temperature:g}"


_ENDS = {
    "logits": "B S V",
    "logits.last": "B V",
    "token": "B",
    **{probs_name(temperature): "B V" for temperature in TEMPERATURES},
}
"""What follows the last norm, in every family."""


def activation_shapes(config: ModelConfig, batch: int, position: int, length: int) -> dict[str, Shape]:
    """Shapes of a step of `length` tokens after `position` tokens."""
    templates = {"token_ids": "B S", **config.family.activations}
    for feature in config.features:
        templates |= feature.activations
    sizes = {**config.sizes, "B": batch, "S": length, "K": position + length}
    return expanded(templates | _ENDS, config.layers, sizes)


def weight_shapes(config: ModelConfig) -> dict[str, Shape]:
    """Canonical names (without the family's prefix) and shapes as a Hugging Face checkpoint stores them."""
    templates = dict(config.family.weights)
    for feature in config.features:
        templates |= feature.weights
    if not config.tied_head:
        templates["lm_head.weight"] = templates[config.family.embedding]
    return expanded(templates, config.layers, config.sizes)
