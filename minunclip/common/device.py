"""What this machine computes with: which device, and in which precision."""

from __future__ import annotations

import torch


def best_device() -> torch.device:
    """CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def best_dtype(device: str | torch.device) -> torch.dtype:
    """bfloat16 where the hardware computes in it; else float16 on a CUDA GPU and float32 anywhere else."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    able = getattr(torch.cpu, "get_capabilities", dict)()               # older versions of PyTorch do not tell
    native = any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))    # Intel and AMD, Intel, ARM
    return torch.bfloat16 if kind == "cpu" and native else torch.float32


def try_device(device: torch.device) -> None:
    """Compute a little there. Raises RuntimeError, in PyTorch's words, for a device that cannot compute."""
    ones = torch.ones(2, 2, device=device)
    if (ones @ ones).sum().item() != 8:
        raise RuntimeError(f"a matrix product came out wrong on {device}: reinstall torch, or take another device")
