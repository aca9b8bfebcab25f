"""Records what a model computes in one forward pass, for Trialplate to judge. Needs NumPy and nothing else."""

from trialplate_capture.recorder import CaptureError, Recorder, record

__all__ = ["CaptureError", "Recorder", "record"]
