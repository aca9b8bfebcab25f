"""Reference implementations that observe every activation: PyTorch (Hugging Face) and, of GPT-2, tinygrad."""

from trialplate_reference import toolchain
from trialplate_reference.arrays import DTYPES
from trialplate_reference.session import Session

__all__ = ["Session", "open_session"]


def open_session(implementation: str, precision: str, model: str, threads: int) -> Session:
    """Open `implementation` ("torch" or "tinygrad") at `precision` on a model directory in HF format.

    A library is imported only when its implementation is opened.
    """
    if precision not in DTYPES:
        raise ValueError(f"precision is {precision!r}; expected one of {list(DTYPES)}")
    if threads < 1:
        raise ValueError(f"threads is {threads}; expected at least 1")
    match implementation:
        case "torch":
            from trialplate_reference.torch_huggingface import TorchReference

            return TorchReference(model, precision, threads)
        case "torch-sdpa":
            from trialplate_reference.torch_sdpa import TorchSdpa

            return TorchSdpa(model, precision, threads)
        case "tinygrad":
            compiler = toolchain.prepare()  # first: tinygrad reads its environment when it is imported
            from trialplate_reference.tinygrad_gpt2 import TinygradGPT2

            return TinygradGPT2(model, precision, threads, compiler)
    raise ValueError(f'implementation is {implementation!r}; expected "torch" or "tinygrad"')
