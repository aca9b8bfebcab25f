"""Times a model of Hugging Face's with its eager attention: the other side of `cargo xtask bench forward`.

`python -m trialplate_reference.bench_forward MODEL THREADS` reads lines and answers each with one line of JSON:

    [464, 3290, …]  token ids of the prompt, first and once: the versions, then threads and CPU capability in use
    logits PATH     writes the logits as raw little-endian f32 to PATH: their shape
    go              one forward pass: its seconds
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
import transformers

from trialplate_reference.torch_huggingface import Model, load_model

Forward = Callable[[], torch.Tensor]


def plain_forward(model: Model, token_ids: list[int]) -> Forward:
    """The forward pass and nothing else: no gradients, and no cache to fill."""
    ids = torch.tensor([token_ids])

    def forward() -> torch.Tensor:
        with torch.no_grad():
            logits: torch.Tensor = model(ids, use_cache=False).logits
        return logits

    return forward


def about() -> dict[str, object]:
    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }


def answer(command: str, forward: Forward) -> object:
    match command.split(maxsplit=1):
        case ["go"]:
            start = time.perf_counter()
            logits = forward()
            seconds = time.perf_counter() - start
            del logits  # not part of the pass
            return seconds
        case ["logits", path]:
            logits = forward()
            Path(path).write_bytes(logits.numpy().astype("<f4").tobytes())
            return list(logits.shape)
    raise ValueError(f"command {command!r}; expected `go` or `logits PATH`")


def serve(model: Path, threads: int, lines: Iterable[str]) -> Iterator[str]:
    """The answers to the lines."""
    torch.set_num_threads(threads)
    loaded = load_model(model, "eager")
    commands = (line.rstrip("\n") for line in lines)
    forward = plain_forward(loaded, json.loads(next(commands)))
    yield json.dumps(about())
    for command in commands:
        yield json.dumps(answer(command, forward))


def main(arguments: list[str]) -> None:
    model, threads = arguments
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # nothing that a library prints is an answer
        for line in serve(Path(model), int(threads), sys.stdin):
            print(line, file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
