"""What is recorded, from the first tensor to the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trialplate_capture import files
from trialplate_capture.arrays import Held, hold
from trialplate_capture.names import Naming


class CaptureError(ValueError):
    """What was recorded is no dump that could be judged."""


class Recorder:
    """Tensors by name, each as it was when it was handed over."""

    def __init__(self, name: Naming, copy: bool):
        self.notes: list[str] = []
        """What was seen and not recorded, and why."""
        self._name, self._copy = name, copy
        self._held: dict[tuple[int, str], Held] = {}
        self._steps = 0

    def put(self, name: str, value: Any) -> None:
        """Take in an array of anything under a name that is written as it is."""
        self._add(name, self._hold(name, value))

    def observe(self, name: str, value: Any) -> None:
        """Take in what a hook sees, under the names that it is shown by.

        A second call of a module in one step is another tensor.
        """
        for shown, held in self._name(name, self._hold(name, value)):
            call, unique = 1, shown
            while (self._step, unique) in self._held:
                call += 1
                unique = f"{shown}.call{call}"
            self._add(unique, held)

    def begin_step(self) -> None:
        """The model is called once more."""
        self._steps += 1

    def write(self, path: Path) -> None:
        """Write everything; an error where there is nothing, or where something was overwritten in the meantime."""
        if not self._held:
            raise CaptureError("nothing was recorded: was the model called inside the block?")
        overwritten = [self._label(key) for key, held in self._held.items() if held.was_overwritten()]
        if overwritten:
            raise CaptureError(
                f"{', '.join(overwritten)}: overwritten after it was recorded, so that nobody knows what it was; "
                "record with copy=True"
            )
        files.write(path, {self._label(key): held for key, held in self._held.items()})

    @property
    def _step(self) -> int:
        return max(self._steps - 1, 0)

    def _label(self, key: tuple[int, str]) -> str:
        step, name = key
        return f"step{step}/{name}" if self._steps > 1 else name

    def _hold(self, name: str, value: Any) -> Held:
        try:
            return hold(value, self._copy)
        except (TypeError, ValueError, BufferError, RuntimeError) as error:
            raise CaptureError(f"{name!r} is no array of numbers that NumPy could hold: {error}") from error

    def _add(self, name: str, held: Held) -> None:
        if not name or name == "__metadata__" or not name.isprintable() or ".." in name.split("/"):
            raise CaptureError(f"{name!r} is no name of a tensor")
        if (self._step, name) in self._held:
            raise CaptureError(f"{name!r} was recorded before")
        self._held[self._step, name] = held
