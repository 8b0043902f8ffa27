"""In which precision a step of training computes."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..common import best_dtype


class Precision:
    """Half precision for the matrix products, if asked for and if the hardware computes in it. A context.

    A CPU without such instructions takes twenty times as long over a convolution in bfloat16. On a CPU attention then
    takes its plain form, whose backward pass is six times faster there than the fused one's. Older GPUs have float16
    alone: its small gradients would become 0, so the loss is scaled up, and the gradients down again (Micikevicius et
    al. 2018).
    """

    def __init__(self, device: torch.device, half: bool):
        dtype = best_dtype(device) if half else torch.float32
        self.autocast = torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
        plain = device.type == "cpu" and dtype != torch.float32
        self.attention = sdpa_kernel(SDPBackend.MATH) if plain else nullcontext()
        self.scaler = torch.amp.GradScaler("cuda", enabled=dtype == torch.float16)

    def __enter__(self):
        self.autocast.__enter__()
        self.attention.__enter__()

    def __exit__(self, *error):
        self.attention.__exit__(*error)
        self.autocast.__exit__(*error)
