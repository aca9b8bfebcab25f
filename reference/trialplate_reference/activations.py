"""The names and shapes of all activations of one step, and of the weights, derived from the model's config alone."""

from trialplate_reference.config import ModelConfig

Shape = tuple[int, ...]

TEMPERATURES = (0.5, 1.0, 2.0)

# Ends of the names of the causal masks that older checkpoints carry among the weights.
MASK_BUFFERS = (".attn.bias", ".attn.masked_bias")


def probs_name(temperature: float) -> str:
    return f"probs.t{temperature:g}"


def activation_shapes(config: ModelConfig, batch: int, position: int, length: int) -> dict[str, Shape]:
    """Shapes of a step of `length` tokens after `position` tokens."""
    keys = position + length
    rows = (batch, length, config.width)
    per_head = (batch, length, config.heads, config.head_width)
    cached = (batch, keys, config.heads, config.head_width)
    pattern = (batch, config.heads, length, keys)
    inner = (batch, length, config.inner)
    shapes: dict[str, Shape] = {"token_ids": (batch, length), "embd": rows}
    for layer in range(config.layers):
        block: dict[str, Shape] = {
            "ln_1.normalized": rows,
            "ln_1": rows,
            "attn.q": per_head,
            "attn.k": per_head,
            "attn.v": per_head,
            "attn.cached_k": cached,
            "attn.cached_v": cached,
            "attn.scores": pattern,
            "attn.mask": (batch, length, keys),
            "attn.probs": pattern,
            "attn.context": rows,
            "attn.out": rows,
            "mid": rows,
            "ln_2.normalized": rows,
            "ln_2": rows,
            "mlp.fc": inner,
            "mlp.act": inner,
            "mlp.out": rows,
            "out": rows,
        }
        shapes |= {f"h.{layer}.{name}": shape for name, shape in block.items()}
    last = (batch, config.vocabulary)
    shapes |= {"ln_f.normalized": rows, "ln_f": rows, "logits": (batch, length, config.vocabulary)}
    shapes |= {"logits.last": last, "token": (batch,)}
    shapes |= {probs_name(temperature): last for temperature in TEMPERATURES}
    return shapes


def weight_shapes(config: ModelConfig) -> dict[str, Shape]:
    """Canonical names (without `transformer.`) and shapes as a Hugging Face checkpoint stores them."""
    width, inner = config.width, config.inner
    shapes: dict[str, Shape] = {"wte.weight": (config.vocabulary, width), "wpe.weight": (config.context, width)}
    for layer in range(config.layers):
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"h.{layer}.{norm}.weight": (width,), f"h.{layer}.{norm}.bias": (width,)}
        for name, (n_in, n_out) in {
            "attn.c_attn": (width, 3 * width),
            "attn.c_proj": (width, width),
            "mlp.c_fc": (width, inner),
            "mlp.c_proj": (inner, width),
        }.items():
            shapes |= {f"h.{layer}.{name}.weight": (n_in, n_out), f"h.{layer}.{name}.bias": (n_out,)}
    return shapes | {"ln_f.weight": (width,), "ln_f.bias": (width,)}
