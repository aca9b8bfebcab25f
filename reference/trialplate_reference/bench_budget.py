"""Times what the oracle's replay and its magnitudes cost, in f64 forward passes: `cargo xtask bench budget`.

`python -m trialplate_reference.bench_budget MODEL THREADS TOKENS REPETITIONS` prints one line of JSON: the seconds of
each repetition of a forward pass, a replay, and a replay with magnitudes, all by PyTorch at f64 on the same prompt.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from trialplate_reference import open_session
from trialplate_reference.config import ModelConfig

_CONFIDENCE = 5.0
"""Any will do; the time does not depend on it."""


def measure(model: Path, threads: int, tokens: int, repetitions: int) -> dict[str, list[float]]:
    ids = np.arange(tokens) * 7919 % ModelConfig.read(model).vocabulary
    case = {"id": "bench", "token_ids": [ids.tolist()], "texts": None, "schedule": [tokens], "generate": 0}
    case["forced"] = None
    given = open_session("torch", "f32", str(model), threads).run(case)
    oracle = open_session("torch", "f64", str(model), threads)
    tasks: dict[str, Callable[[], object]] = {
        "forward": lambda: oracle.run(case),
        "replay": lambda: oracle.replay(case, given, None),
        "magnitudes": lambda: oracle.replay(case, given, _CONFIDENCE),
    }
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for repetition in range(repetitions + 1):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if repetition:  # the first warms up
                seconds[name].append(time.perf_counter() - start)
    return seconds


def main(arguments: list[str]) -> None:
    model, threads, tokens, repetitions = arguments
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # nothing that a library prints is an answer
        seconds = measure(Path(model), int(threads), int(tokens), int(repetitions))
    print(json.dumps(seconds), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
