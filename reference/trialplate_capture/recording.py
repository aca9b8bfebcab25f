"""A block in which what is computed is recorded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trialplate_capture.names import Names, naming
from trialplate_capture.recorder import CaptureError, Recorder


@contextmanager
def record(
    path: str | os.PathLike[str],
    model: Any = None,
    names: Names = None,
    *,
    inputs: bool = True,
    attention: bool | None = None,
    copy: bool = True,
) -> Iterator[Recorder]:
    """Record what is computed in the block, and write it to `path` when the block ends.

    `model` is a `torch.nn.Module`, every module of which shows its outputs and, with `inputs`, what it is given. The
    names are the modules' paths, or follow from `names`. `attention` asks for the inside of Hugging Face's attention,
    and for its eager form where the model runs another, which changes its last bits; where nothing is said, it is shown
    by models that run eager. With `copy=False` arrays are held as they are, and one that was written to afterwards is
    an error.
    """
    recorder = Recorder(naming(names, getattr(model, "config", None)), copy)
    if model is None:
        yield recorder
    elif not hasattr(model, "register_forward_pre_hook"):
        raise CaptureError(f"a {type(model).__name__} is no torch.nn.Module: leave it out, and hand arrays over by put")
    else:
        from trialplate_capture.torch_hooks import observed

        with observed(model, recorder, inputs, attention):
            yield recorder
    recorder.write(Path(path))
