import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_case

from trialplate_reference import open_session
from trialplate_reference.bench_forward import serve

IDS = [5, 9, 2, 250, 17, 3]


def test_the_pass_that_is_timed_is_the_one_that_is_judged(model: Path, tmp_path: Path) -> None:
    case = make_case(token_ids=[IDS], schedule=[len(IDS)])
    judged = open_session("torch", "f32", str(model), 1).run(case)["step0/logits"]
    path = tmp_path / "the logits"
    answers = [json.loads(line) for line in serve(model, 1, [f"{IDS}\n", f"logits {path}\n", "go\n", "go\n"])]
    assert (answers[0]["torch"], answers[0]["threads"]) == (torch.__version__, 1)
    assert answers[1] == list(judged.shape)
    assert np.array_equal(np.fromfile(path, "<f4").reshape(judged.shape), judged)
    assert len(answers) == 4 and all(seconds > 0 for seconds in answers[2:])


def test_other_commands_are_refused(model: Path) -> None:
    with pytest.raises(ValueError, match="expected `go`"):
        list(serve(model, 1, [f"{IDS}\n", "stop\n"]))
