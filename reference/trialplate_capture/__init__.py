"""Records what a model computes in one forward pass, for Trialplate to judge. Needs NumPy and nothing else."""

from trialplate_capture.recorder import CaptureError, Recorder
from trialplate_capture.recording import record

__all__ = ["CaptureError", "Recorder", "record"]
