"""A family as specs say it: GPT-2, with a tiny model of it whose weights are random."""

import math

import numpy as np

from bundle_verifier.bounds import Functions, Rounding
from bundle_verifier.case import Case
from bundle_verifier.evaluation import Model
from bundle_verifier.family import Dimensions, Family
from bundle_verifier.graph import Graph, Node
from bundle_verifier.half_bounds import FORMATS, HalfRules
from bundle_verifier.operations import Array
from bundle_verifier.rules import Rules
from bundle_verifier.weights import Weight

FAMILY = b"""
name = "gpt2"
layers = "n_layer"
prefixes = ["transformer."]
buffers = [".attn.bias", ".attn.masked_bias"]
[sizes]
C = { path = "n_positions" }
D = { path = "n_embd" }
Dh = { otherwise = "D/H" }
F = { path = "n_inner", otherwise = "4*D" }
H = { path = "n_head" }
V = { path = "vocab_size" }
[constants]
epsilon = { path = "layer_norm_epsilon" }
[[option]]
path = "activation_function"
allowed = ["gelu_new"]
reason = "the feed-forward half applies the tanh form of GELU"
"""
CONFIG = {"n_layer": 2, "n_embd": 24, "n_head": 3, "n_positions": 40, "vocab_size": 300, "layer_norm_epsilon": 1e-5}
CONFIG |= {"activation_function": "gelu_new"}

_ROWS, _HEADS, _CACHE = '["B", "S", "D"]', '["B", "S", "H", "Dh"]', '["B", "K", "H", "Dh"]'
_PATTERN, _INNER, _LAST = '["B", "H", "S", "K"]', '["B", "S", "F"]', '["B", "V"]'
_STREAM = "embd | h.{l-1}.out"


def _norm(x: str, module: str | None = None) -> str:
    scale = "" if module is None else f', weight = "{module}.weight", bias = "{module}.bias"'
    return f'layer_norm = {{ x = "{x}", epsilon = "epsilon"{scale} }}'


def _linear(x: str, module: str, rest: str = "") -> str:
    return f'linear = {{ x = "{x}", weight = "{module}.weight", bias = "{module}.bias", layout = "in-out"{rest} }}'


def _third(index: int) -> str:
    return _linear("h.{l}.ln_1", "h.{l}.attn.c_attn", f", part = [{index}, 3]")


ACTIVATIONS = {
    "embd": (_ROWS, 'rows = { ids = "token_ids", table = "wte.weight", positions = "wpe.weight" }'),
    "h.{l}.ln_1.normalized": (_ROWS, _norm(_STREAM)),
    "h.{l}.ln_1": (_ROWS, _norm(_STREAM, "h.{l}.ln_1")),
    "h.{l}.ln_2.normalized": (_ROWS, _norm("h.{l}.mid")),
    "h.{l}.ln_2": (_ROWS, _norm("h.{l}.mid", "h.{l}.ln_2")),
    "ln_f.normalized": (_ROWS, _norm("h.{L-1}.out")),
    "ln_f": (_ROWS, _norm("h.{L-1}.out", "ln_f")),
    **{f"h.{{l}}.attn.{name}": (_HEADS, _third(index)) for index, name in enumerate("qkv")},
    "h.{l}.attn.cached_k": (_CACHE, 'cache = { new = "h.{l}.attn.k" }'),
    "h.{l}.attn.cached_v": (_CACHE, 'cache = { new = "h.{l}.attn.v" }'),
    "h.{l}.attn.scores": (_PATTERN, 'scores = { q = "h.{l}.attn.q", k = "h.{l}.attn.cached_k" }'),
    "h.{l}.attn.mask": ('["B", "S", "K"]', "mask = {}"),
    "h.{l}.attn.probs": (_PATTERN, 'softmax = { x = "h.{l}.attn.scores", mask = "h.{l}.attn.mask" }'),
    "h.{l}.attn.context": (_ROWS, 'weighted_values = { probs = "h.{l}.attn.probs", values = "h.{l}.attn.cached_v" }'),
    "h.{l}.attn.out": (_ROWS, _linear("h.{l}.attn.context", "h.{l}.attn.c_proj")),
    "h.{l}.mlp.fc": (_INNER, _linear("h.{l}.ln_2", "h.{l}.mlp.c_fc")),
    "h.{l}.mlp.act": (_INNER, 'gelu = { x = "h.{l}.mlp.fc", form = "tanh" }'),
    "h.{l}.mlp.out": (_ROWS, _linear("h.{l}.mlp.act", "h.{l}.mlp.c_proj")),
    "h.{l}.mid": (_ROWS, f'add = {{ x = "{_STREAM}", y = "h.{{l}}.attn.out" }}'),
    "h.{l}.out": (_ROWS, 'add = { x = "h.{l}.mid", y = "h.{l}.mlp.out" }'),
    "logits": ('["B", "S", "V"]', 'linear = { x = "ln_f", weight = "wte.weight", layout = "out-in" }'),
    "logits.last": (_LAST, 'last = { x = "logits" }'),
    "token": ('["B"]', 'argmax = { x = "logits.last" }'),
    "probs.t0.5": (_LAST, 'softmax = { x = "logits.last", temperature = 0.5 }'),
    "probs.t1": (_LAST, 'softmax = { x = "logits.last" }'),
    "probs.t2": (_LAST, 'softmax = { x = "logits.last", temperature = 2.0 }'),
}
ROUNDS = {
    "rows": ["weights", "output"],
    "layer_norm": ["inputs", "weights", "output"],
    "linear": ["inputs", "weights", "output"],
    "scores": ["inputs", "intermediates", "output"],
    "softmax": ["inputs", "output"],
    "weighted_values": ["inputs", "output"],
    "gelu": ["inputs", "intermediates", "output"],
    "add": ["inputs", "output"],
}
CONFIDENCE = math.sqrt(2 * math.log(2 * 1e6 / 1e-9) / 3)
ROUNDING = Rounding(CONFIDENCE, Functions(exponential=4.0, exponent=3.0, hyperbolic=6.0, square_root=4.0))
SCHEDULE = (6, 1, 2, 1)
Weights = dict[str, Array]


def entry(name: str, shape: str, operation: str) -> str:
    return f'[[activation]]\nname = "{name}"\nshape = {shape}\nop = {{ {operation} }}\n'


def graph() -> Graph:
    specs = "".join(entry(name, shape, operation) for name, (shape, operation) in ACTIVATIONS.items())
    laws = {
        f"{operation}.toml": f'operation = "{operation}"\nhalf = {{ rounds = {rounds} }}\n'.encode()
        for operation, rounds in ROUNDS.items()
    }
    return Graph.parse({"00.toml": specs.encode()}, laws)


def dimensions() -> Dimensions:
    return Family.parse(FAMILY).dimensions(CONFIG)


def case() -> Case:
    """Two rows of ten tokens: a prefill of six, then decoding."""
    rows = np.random.default_rng(3).integers(0, CONFIG["vocab_size"], (2, 10)).tolist()
    return Case("two-rows", rows, False, SCHEDULE, 0)


def random_weights() -> Weights:
    found = dimensions()
    width, inner = found.sizes["D"], found.sizes["F"]
    shapes: dict[str, tuple[int, ...]] = {
        "wte.weight": (found.sizes["V"], width),
        "wpe.weight": (found.sizes["C"], width),
    }
    for layer in range(found.layers):
        matrices = {"attn.c_attn": (width, 3 * width), "attn.c_proj": (width, width)}
        for name, shape in (matrices | {"mlp.c_fc": (width, inner), "mlp.c_proj": (inner, width)}).items():
            shapes |= {f"h.{layer}.{name}.weight": shape, f"h.{layer}.{name}.bias": shape[1:]}
        for name in ("ln_1", "ln_2"):
            shapes |= {f"h.{layer}.{name}.weight": (width,), f"h.{layer}.{name}.bias": (width,)}
    shapes |= {"ln_f.weight": (width,), "ln_f.bias": (width,)}
    rng = np.random.default_rng(7)
    centres = {name: 1.0 if "ln_" in name and name.endswith("weight") else 0.0 for name in shapes}
    return {name: rng.normal(centres[name], 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def model(weights: Weights) -> Model:
    return Model(graph(), dimensions(), {name: Weight.of(weight) for name, weight in weights.items()})


def single_rules(_: Node) -> Rules:
    return Rules(ROUNDING)


def half_rules(precision: str, node: Node) -> Rules:
    return HalfRules(ROUNDING, FORMATS[precision], node.rounds)
