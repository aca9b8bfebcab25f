"""Makes the dumps of this folder with the real libraries, and `expected.json`, which says what is in them.

Run it in the project's Python environment, in this folder: `python make.py`. The values follow from a seed, and
archives hold no times: the same versions give the same bytes, but for the addresses in PyTorch's old format.
"""

import json
import os
import pickle
import shutil
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.model_debugging_utils import model_addition_debugger_context

HERE = Path(__file__).parent
NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
expected: dict[str, Any] = {}


def expect(file: str, tensors: dict[str, Any]) -> None:
    """The dtype, shape and values of every tensor that a reader must find in `file`."""
    expected[file] = {
        name: {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "values": [float(value) for value in tensor.double().flatten().tolist()],
        }
        for name, tensor in ((name, torch.as_tensor(tensor)) for name, tensor in tensors.items())
    }


def numpy_arrays() -> None:
    values = np.random.default_rng(1).standard_normal((2, 3, 4)).astype(np.float32)
    for name, array in [
        ("c_order.npy", values),
        ("fortran_order.npy", np.asfortranarray(values)),
        ("view.npy", values.transpose(2, 0, 1)),
        ("big_endian.npy", values.astype(">f4")),
        ("half.npy", values.astype(np.float16)),
        ("double.npy", values.astype(np.float64)),
        ("scalar.npy", np.float32(1.5)),
        ("empty.npy", values[:, :0]),
        ("tokens.npy", np.array([[464, 3290]], dtype=np.int32)),
    ]:
        np.save(HERE / name, array)
        expect(name, {Path(name).stem: np.array(array, dtype=array.dtype.newbyteorder("="), order="C")})
    arrays = {"h.0.attn.q": values, "mask": values > 0, "tokens": np.array([[464, 3290]]), "cache": np.zeros((4, 50))}
    text = {"prompt": np.array("The dog")}
    np.savez(HERE / "arrays.npz", **arrays, **text)
    np.savez_compressed(HERE / "compressed.npz", **arrays, **text)
    expect("arrays.npz", arrays)
    expect("compressed.npz", arrays)
    # The 3.0 header, which NumPy writes for names of fields alone, is not made here.
    with (HERE / "version_2.npy").open("wb") as file:
        np.lib.format.write_array(file, values, version=(2, 0))
    expect("version_2.npy", {"version_2": values})
    values.tofile(HERE / "raw_2x3x4.f32")
    expect("raw_2x3x4.f32", {"raw_2x3x4": values})


def some_tensors() -> dict[str, torch.Tensor]:
    values = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(2))
    return {
        "f32": values,
        "f64": values.double(),
        "f16": values.half(),
        "bf16": values.bfloat16(),
        "i64": torch.tensor([[464, -3290]]),
        "i32": torch.tensor([7], dtype=torch.int32),
        "i16": torch.tensor([-300], dtype=torch.int16),
        "i8": torch.tensor([-3], dtype=torch.int8),
        "u8": torch.tensor([255], dtype=torch.uint8),
        "bool": values > 0,
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(2, 0, 3),
    }


def safetensors_files() -> None:
    tensors = some_tensors()
    save_file(tensors, HERE / "plain.safetensors", metadata={"made": "by save_file"})
    expect("plain.safetensors", tensors)
    folder = HERE / "sharded"
    folder.mkdir()
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[:6], "model-00002-of-00002.safetensors": names[6:]}
    for shard, held in shards.items():
        save_file({name: tensors[name] for name in held}, folder / shard)
    weight_map = {name: shard for shard, held in shards.items() for name in held}
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    expect("sharded", tensors)


def torch_files() -> None:
    tensors = some_tensors()
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    views = {
        "transposed": base.transpose(0, 2),
        "slice": base[1, 1:, ::2],
        "expanded": base[:, :1, :1].expand(2, 3, 5),
        "same": base,
        "parameter": torch.nn.Parameter(base[0]),
        "needs_grad": base.clone().requires_grad_(True),
        "u16": torch.tensor([[1, 2], [3, 65535]], dtype=torch.uint16).T,
        "u64": torch.tensor([1 << 40], dtype=torch.uint64),
        "every_tenth": torch.arange(70, dtype=torch.uint8)[::10],
    }
    torch.save({**tensors, **views}, HERE / "dict.pt")
    expect("dict.pt", {**tensors, **{name: tensor.detach() for name, tensor in views.items()}})
    nested = OrderedDict(
        embd=base[0],
        layers=[{"out": base[0], "cache": (base[0, 0], base[0, 1])}, {"out": base[1]}],
        step=3,
        prompt="The dog",
        nothing=None,
        dtype=torch.bfloat16,
        size=base.shape,
        device=torch.device("cpu"),
    )
    torch.save(nested, HERE / "nested.pt")
    flat = {
        "embd": base[0],
        "layers.0.out": base[0],
        "layers.0.cache.0": base[0, 0],
        "layers.0.cache.1": base[0, 1],
        "layers.1.out": base[1],
    }
    expect("nested.pt", flat)
    torch.save(nested, HERE / "protocol_4.pt", pickle_protocol=4)
    expect("protocol_4.pt", flat)
    torch.save(base.transpose(0, 1), HERE / "one_tensor.pt")
    expect("one_tensor.pt", {"one_tensor": base.transpose(0, 1)})
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    state = {name: torch.ones_like(weight) for name, weight in model.state_dict().items()}
    model.load_state_dict(state)
    torch.save(model.state_dict(), HERE / "state_dict.pt")
    expect("state_dict.pt", state)
    torch.save({"dumped": {"h.0": base}}, HERE / "sglang_old.pt")
    expect("sglang_old.pt", {"dumped.h.0": base})
    torch.save({"value": base, "meta": {"name": "q", "layer_id": 0}}, HERE / "sglang.pt")
    expect("sglang.pt", {"value": base})
    folder = HERE / "sglang_dumper"
    folder.mkdir()
    for index, (name, layer) in enumerate([("attn_output", 0), ("attn_output", 1), ("logits", None)]):
        tags = {"step": 3, "rank": 0, "dump_index": index, "name": name, "recompute_status": "disabled"}
        tags |= {} if layer is None else {"layer_id": layer}
        file = "___".join(f"{key}={value}" for key, value in tags.items()) + ".pt"
        value = base + index
        torch.save(value if layer == 1 else {"value": value, "meta": tags | {"world_size": 1}}, folder / file)
    expect("sglang_dumper", {"attn_output.0": base, "attn_output.1": base + 1, "logits": base + 2})
    torch.save({"a": base}, HERE / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(model, HERE / "whole_module.pt")


class Executes:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed",)


def pickles_that_execute() -> None:
    torch.save({"a": torch.ones(2), "b": Executes()}, HERE / "executes.pt")
    (HERE / "executes.pkl").write_bytes(pickle.dumps({"a": Executes()}))


def debugger_folder(name: str, model: Any, **options: Any) -> None:
    """What Hugging Face's debugger writes; the tensors in its files are the expectation, under the modules' paths."""
    folder = HERE / name
    with model_addition_debugger_context(model, debug_path=str(folder), **options):
        model.forward(input_ids=torch.tensor([[1, 2, 3]]))


def huggingface_debugger() -> None:
    torch.manual_seed(3)
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=16, n_positions=8, n_embd=4, n_layer=3, n_head=2, **ends)).eval()
    debugger_folder("debugger_gpt2", gpt2, use_repr=False)
    small = GPT2LMHeadModel(GPT2Config(vocab_size=4, n_positions=4, n_embd=2, n_layer=1, n_head=1, **ends)).eval()
    debugger_folder("debugger_printed", small, use_repr=True)
    sizes = {"hidden_size": 4, "intermediate_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2}
    llama = LlamaForCausalLM(LlamaConfig(vocab_size=16, num_key_value_heads=1, max_position_embeddings=8, **sizes))
    debugger_folder("debugger_llama", llama.eval(), use_repr=False, do_prune_layers=False)


def seeds() -> None:
    """What fuzzing starts from: dumps, and pickles without the archive, whose checksum would hide every change."""
    corpus = HERE.parent / "corpus"
    for folder in ("dump", "pickle"):
        shutil.rmtree(corpus / folder, ignore_errors=True)
        (corpus / folder).mkdir()
    for name in ("big_endian.npy", "fortran_order.npy", "compressed.npz", "nested.pt", "plain.safetensors"):
        shutil.copy(HERE / name, corpus / "dump" / name)
    for name in ("dict", "nested", "protocol_4", "state_dict", "executes"):
        with zipfile.ZipFile(HERE / f"{name}.pt") as archive:
            (corpus / "pickle" / f"{name}.pkl").write_bytes(archive.read(f"{name}/data.pkl"))


def main() -> None:
    for made in HERE.iterdir():
        if made.is_dir():
            shutil.rmtree(made)
        elif made.suffix != ".py":
            made.unlink()
    for make in (numpy_arrays, safetensors_files, torch_files, pickles_that_execute, huggingface_debugger, seeds):
        make()
    for folder in ("debugger_printed", "debugger_gpt2"):  # the one of Llama stays
        (HERE / folder / "GPT2LMHeadModel_debug_tree_SUMMARY.json").unlink()
    (HERE / "expected.json").write_text(json.dumps(expected, indent=None) + "\n")


if __name__ == "__main__":
    main()
