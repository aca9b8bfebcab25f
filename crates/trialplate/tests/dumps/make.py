"""Makes the dumps in this folder with Hugging Face's own models: seeded, shrunken, and the bundled GPT-2.

    .venv/bin/python crates/trialplate/tests/dumps/make.py
"""

import shutil
from pathlib import Path

import numpy as np
import torch
from transformers import (
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.model_debugging_utils import model_addition_debugger_context

HERE = Path(__file__).parent
BUNDLED = HERE.parents[3] / "reference" / "models" / "gpt2-rustbook"
SHRUNKEN = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}


def hooked(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """What forward hooks on every module put down."""
    store: dict[str, np.ndarray] = {}

    def put(name: str, value: object) -> None:
        if isinstance(value, torch.Tensor):
            store[name] = value.detach().numpy().copy()
        elif isinstance(value, (tuple, list)):
            for index, part in enumerate(value):
                put(f"{name}.{index}", part)

    for name, module in model.named_modules():
        if name:
            module.register_forward_hook(lambda _module, _inputs, output, name=name: put(name, output))
    return store


def dump(name: str, model: torch.nn.Module, ids: list[int]) -> None:
    """One forward pass, put down in every way."""
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    model = model.eval()
    given = torch.tensor([ids])
    store = hooked(model)
    with torch.no_grad():
        result = model(given, output_hidden_states=True, output_attentions=True, use_cache=False)
    store["input_ids"] = given.numpy()
    np.savez_compressed(folder / "hooks.npz", **store)
    if name == "qwen3":
        torch.save({key: torch.from_numpy(value) for key, value in store.items()}, folder / "hooks.pt")
    states = {f"hidden_states.{index}": state.numpy() for index, state in enumerate(result.hidden_states)}
    np.savez_compressed(folder / "hidden.npz", logits=result.logits.numpy(), input_ids=given.numpy(), **states)


def debugged(folder: Path, model: torch.nn.Module, ids: list[int]) -> None:
    """What Hugging Face's own debugger leaves, but for the summary that nobody reads."""
    shutil.rmtree(folder, ignore_errors=True)
    with model_addition_debugger_context(model.eval(), debug_path=str(folder), do_prune_layers=False, use_repr=False):
        model(input_ids=torch.tensor([ids]))
    for summary in folder.glob("*_SUMMARY.json"):
        summary.unlink()


def main() -> None:
    """All of them."""
    torch.manual_seed(11)
    torch.set_num_threads(1)
    bundled = GPT2LMHeadModel.from_pretrained(BUNDLED, attn_implementation="eager")
    dump("gpt2", bundled, [464, 200, 7, 99, 512, 33, 1000])
    for name, config, model in (
        ("llama", LlamaConfig(**SHRUNKEN), LlamaForCausalLM),
        ("mistral", MistralConfig(**SHRUNKEN, sliding_window=5), MistralForCausalLM),
        ("qwen3", Qwen3Config(**SHRUNKEN, head_dim=12), Qwen3ForCausalLM),
    ):
        config._attn_implementation = "eager"
        made = model(config)
        made.save_pretrained(HERE / name / "model")
        (HERE / name / "model" / "generation_config.json").unlink(missing_ok=True)
        dump(name, made, [3, 20, 7, 9, 51, 33, 10, 5, 18])
        if name == "qwen3":
            debugged(HERE / name / "debugger", model.from_pretrained(HERE / name / "model"), [3, 20, 7, 9, 51])


if __name__ == "__main__":
    main()
