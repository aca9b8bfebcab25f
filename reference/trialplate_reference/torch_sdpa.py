"""PyTorch's fused attention, as a correct implementation for benches: it tells no scores and no probabilities."""

from collections.abc import Mapping

import torch
from torch.nn import functional as F  # noqa: N812

from trialplate_reference.activations import activation_shapes
from trialplate_reference.arrays import Array
from trialplate_reference.case import Case
from trialplate_reference.replay import StepInputs
from trialplate_reference.torch_gpt2 import TorchGPT2


class TorchSdpa(TorchGPT2):
    name = "torch-sdpa"

    def replay(
        self,
        case: Mapping[str, object],
        inputs: dict[str, Array],
        magnitudes: float | None,
        storage: Mapping[str, object] | None = None,
    ) -> dict[str, Array]:
        """The composites `whole/h.{l}.attn.out`, each from the queries and the cache in `inputs`, and nothing else."""
        if magnitudes is not None:
            raise ValueError("magnitudes need every operation; fused attention has one")
        parsed = Case.parse(case, self.config)
        outputs: dict[str, Array] = {}
        for step in parsed.steps():
            shapes = activation_shapes(self.config, parsed.batch, step.position, step.length)
            given = StepInputs(inputs, step.prefix, shapes, self.dtype, lambda array: array)
            visible = torch.from_numpy(self.operators.mask(parsed.batch, step.position, step.length) == 0)
            for layer in range(self.config.layers):
                attn = f"h.{layer}.attn."
                q, k, v = (
                    torch.from_numpy(given[attn + name]).transpose(1, 2) for name in ("q", "cached_k", "cached_v")
                )
                context = F.scaled_dot_product_attention(q, k, v, attn_mask=visible[:, None])
                merged = context.transpose(1, 2).flatten(2).numpy()
                outputs[f"{step.prefix}whole/{attn}out"] = self.operators.linear(attn + "c_proj", merged)
        return outputs
