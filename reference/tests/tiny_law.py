"""A family of two checkpoints, and a tiny model of it: embedding, norm, product, cache, sum, head and generation."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from bundle_verifier.case import Case
from bundle_verifier.chain import Chain
from bundle_verifier.evaluation import Model
from bundle_verifier.family import Dimensions
from bundle_verifier.replicas import WAYS, chain
from bundle_verifier.specs import read_specs
from bundle_verifier.weights import Weight

FAMILIES = Path(__file__).parent.parent.parent / "crates" / "graph" / "families"
Captured = dict[str, np.ndarray[Any, Any]]

FAMILY = """
name = "gpt2"
layers = "n_layer"
prefixes = ["transformer."]
[tied]
"lm_head.weight" = "wte.weight"
[sizes]
C = { path = "n_positions" }
D = { path = "n_embd" }
V = { path = "vocab_size" }
[constants]
epsilon = { path = "layer_norm_epsilon" }
[roles]
tokens = "token_ids"
stream = ["embd", "h.{l}.out"]
logits = "logits"
last_logits = "logits.last"
token = "token"
generated = "generated"
generated_logits = "generated.logits"
[[weight]]
name = "wte.weight"
shape = ["V", "D"]
[[weight]]
name = "wpe.weight"
shape = ["C", "D"]
[[weight]]
name = "h.{l}.ln.weight"
shape = ["D"]
[[weight]]
name = "h.{l}.fc.weight"
shape = ["D", "D"]
[[weight]]
name = "h.{l}.fc.bias"
shape = ["D"]
"""

START = """
id = "00"
name = "start"
title = "Tokens and their embedding"
[[activation]]
name = "weights.{weight}"
shape = ["32"]
kind = "byte"
steps = "case"
rule = { kind = "derived", from = "weight-digest" }
[[activation]]
name = "token_ids"
shape = ["B", "S"]
kind = "token"
steps = "every"
rule = { kind = "derived", from = "scheduled-tokens" }
[[activation]]
name = "embd"
shape = ["B", "S", "D"]
kind = "float"
steps = "every"
op = { rows = { ids = "token_ids", table = "wte.weight", positions = "wpe.weight" } }
range = [-100.0, 100.0]
[[requirement]]
id = "00.1"
text = "Tokens and embedding agree."
check = "agreement"
of = ["weights.{weight}", "token_ids", "embd"]
[[requirement]]
id = "00.2"
text = "No NaN and no infinity."
check = "finite"
of = ["embd"]
[[requirement]]
id = "00.3"
text = "Nothing else is there."
check = "nothing-unexpected"
of = []
"""

END = """
id = "01"
name = "end"
title = "The stream and the next token"
[[activation]]
name = "h.{l}.ln"
shape = ["B", "S", "D"]
kind = "float"
steps = "every"
op = { layer_norm = { x = "embd | h.{l-1}.out", epsilon = "epsilon", weight = "h.{l}.ln.weight" } }
ceiling = { atol = 1e-4, rtol = 1e-5, reason = "what people ask for" }
[[activation]]
name = "h.{l}.fc"
shape = ["B", "S", "D"]
kind = "float"
steps = "every"
op = { linear = { x = "h.{l}.ln", weight = "h.{l}.fc.weight", bias = "h.{l}.fc.bias", layout = "in-out" } }
[[activation]]
name = "h.{l}.cached"
shape = ["B", "K", "D"]
kind = "float"
steps = "every"
op = { cache = { new = "h.{l}.fc" } }
[[activation]]
name = "h.{l}.out"
shape = ["B", "S", "D"]
kind = "float"
steps = "every"
op = { add = { x = "embd | h.{l-1}.out", y = "h.{l}.fc" } }
range = [-100.0, 100.0]
[[activation]]
name = "logits"
shape = ["B", "S", "V"]
kind = "float"
steps = "every"
op = { linear = { x = "h.{L-1}.out", weight = "wte.weight", layout = "out-in" } }
[[activation]]
name = "logits.last"
shape = ["B", "V"]
kind = "float"
steps = "every"
op = { last = { x = "logits" } }
[[activation]]
name = "token"
shape = ["B"]
kind = "token"
steps = "every"
op = { argmax = { x = "logits.last" } }
[[activation]]
name = "generated.logits"
shape = ["B", "N", "V"]
kind = "float"
steps = "case"
applies = "generation"
inputs = ["logits.last"]
rule = { kind = "chained" }
[[activation]]
name = "generated"
shape = ["B", "N"]
kind = "token"
steps = "case"
applies = "generation"
inputs = ["generated.logits"]
rule = { kind = "derived", from = "greedy" }
[[requirement]]
id = "01.1"
text = "All of it agrees."
check = "agreement"
of = ["h.{l}.ln", "h.{l}.fc", "h.{l}.cached", "h.{l}.out", "logits", "logits.last", "token"]
[[requirement]]
id = "01.2"
text = "Plausible size."
check = "plausible-range"
of = ["h.{l}.out"]
[[requirement]]
id = "01.3"
text = "Generation goes on."
check = "generation-continues"
of = ["generated.logits", "generated"]
[[fault]]
id = "token-off-by-one"
what = "the token after the chosen one"
reason = ["exact"]
fast = true
[[fault]]
id = "rows-mixed"
what = "rows read each other"
reason = ["systematic", "budget"]
needs = ["batch", "heads"]
fast = true
[[fault]]
id = "same-positions"
what = "every row takes the positions of the first"
reason = ["budget"]
equivalent = "all rows are equally long"
[[law]]
id = "prefill-splits"
arithmetic = "other-shapes"
[[law]]
id = "causality"
arithmetic = "same"
[[law]]
id = "growth-to-the-limit"
arithmetic = "other-shapes"
subject_only = true
[[law]]
id = "past-the-limit"
arithmetic = "same"
"""

SIZES = {"C": 8, "D": 8, "V": 12}
LAYERS, EPSILON = 2, 0.5
CONFIG = {"n_layer": LAYERS, "n_positions": 8, "n_embd": 8, "vocab_size": 12, "layer_norm_epsilon": EPSILON}
SCHEDULE = (2, 1)
TOKENS = [[1, 2, 3], [4, 5, 0]]
CASE = {"id": "tiny", "token_ids": TOKENS, "texts": None, "schedule": list(SCHEDULE), "generate": 2, "forced": None}


def write_specs(folder: Path) -> Path:
    """The families' folder: this family, with the judging and the operations of all."""
    (folder / "gpt2").mkdir(parents=True)
    for name, text in {"00-start": START, "01-end": END, "family": FAMILY}.items():
        (folder / "gpt2" / f"{name}.toml").write_text(text)
    shutil.copytree(FAMILIES / "operations", folder / "operations")
    shutil.copyfile(FAMILIES / "judging.toml", folder / "judging.toml")
    return folder


def case() -> Case:
    return Case("tiny", TOKENS, False, SCHEDULE, 2)


def dimensions() -> Dimensions:
    return Dimensions(LAYERS, dict(SIZES), {"epsilon": EPSILON})


def weights() -> Captured:
    random = np.random.default_rng(5)
    shapes: dict[str, tuple[int, ...]] = {"wte.weight": (12, 8), "wpe.weight": (8, 8)}
    for layer in range(LAYERS):
        shapes |= {f"h.{layer}.ln.weight": (8,), f"h.{layer}.fc.weight": (8, 8), f"h.{layer}.fc.bias": (8,)}
    return {name: random.normal(0.0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def config() -> str:
    return json.dumps(CONFIG)


def run(specs: Path, way: int | None, half: str | None = None) -> Captured:
    """Everything that one implementation observes: at f64 where there is no way, else as the replica of that number."""
    own = read_specs(specs, "gpt2")
    model = Model(own.graph, dimensions(), {name: Weight.of(values) for name, values in weights().items()})
    made = Chain(model, own.roles, case()) if way is None else chain(model, own.roles, case(), WAYS[way], half)
    found: Captured = {f"weights.{name}": _digest(values) for name, values in weights().items()}
    for index, step in enumerate(case().steps):
        found[f"step{index}/token_ids"] = np.array([row[step.past : step.keys] for row in TOKENS], np.int64)
    found |= {f"step{index}/{name}": np.ascontiguousarray(value) for index, name, value in made.steps()}
    generated = made.generate()
    return found | {"generated.logits": generated.logits, "generated": generated.tokens}


def _digest(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.frombuffer(bytes.fromhex(Weight.of(values).digest()), np.uint8)
