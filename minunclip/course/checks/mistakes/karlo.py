"""Mistakes in the exercises on the released cascade."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

UNPACK = {
    "all of q is looked for first; q, k and v of one head lie together": lambda packed, heads:
        torch.stack(packed.chunk(3)),
    "every third row is taken; the rows of one head's q lie next to each other": lambda packed, heads:
        torch.stack([packed[part::3] for part in range(3)]),
    "the heads come last in each matrix; all rows of the first head come first": lambda packed, heads:
        rearrange(packed, "(head part row) w -> part (row head) w", head=heads, part=3),
    "keys and values are exchanged": lambda packed, heads:
        rearrange(packed, "(head part row) w -> part (head row) w", head=heads, part=3)[[0, 2, 1]],
    "q and k are exchanged": lambda packed, heads:
        rearrange(packed, "(head part row) w -> part (head row) w", head=heads, part=3)[[1, 0, 2]],
    "the heads have an axis of their own; put them below each other, (3, D, W)": lambda packed, heads:
        rearrange(packed, "(head part row) w -> part head row w", head=heads, part=3),
    "the axes are (D, 3, W); it should be (3, D, W)": lambda packed, heads:
        rearrange(packed, "(head part row) w -> (head row) part w", head=heads, part=3),
    "every matrix is transposed": lambda packed, heads:
        rearrange(packed, "(head part row) w -> part w (head row)", head=heads, part=3),
    "the rows of the heads are dealt out like cards; all rows of a head lie together": lambda packed, heads:
        rearrange(packed, "(part row head) w -> part (head row) w", head=heads, part=3),
    "the parts go round the heads: row i belongs to part i % 3 of whole heads": lambda packed, heads:
        rearrange(packed, "(row part head) w -> part (head row) w", head=heads, part=3),
}  # fmt: skip


def rms(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()


RELATIVE = {
    "the mean of the ratios is huge where a value is nearly 0; divide one root mean square by another":
        lambda found, expected: float(((found - expected).abs() / expected.abs().clamp(min=1e-9)).mean()),
    "this is the error itself; divide it by the size of the expected values": lambda found, expected:
        float(rms(found - expected)),
    "the root is missing": lambda found, expected: float((rms(found - expected) / rms(expected)) ** 2),
    "errors of both signs cancel: square them before the mean": lambda found, expected:
        float((found - expected).mean() / expected.mean()),
    "relative to what was found; it should be to what is expected": lambda found, expected:
        float(rms(found - expected) / rms(found)),
    "the fraction is upside down": lambda found, expected: float(rms(expected) / rms(found - expected)),
    "the mean absolute error; the root of the mean square is asked for": lambda found, expected:
        float((found - expected).abs().mean() / expected.abs().mean()),
    "the largest error; the root mean square is asked for": lambda found, expected:
        float((found - expected).abs().max() / expected.abs().max()),
    "divided by the spread of the expected values; it should be by their root mean square": lambda found, expected:
        float(rms(found - expected) / expected.std()),
    "both are compared by their size alone; take the difference first": lambda found, expected:
        float(rms(found) / rms(expected) - 1),
    "the error is divided by the mean square; by its root": lambda found, expected:
        float(rms(found - expected) / rms(expected) ** 2),
}  # fmt: skip

POSITIONS = {
    "z_t is missing: it is computed once, like the caption": lambda tokens, steps, cached:
        tokens + 3 * steps if cached else steps * (tokens + 3),
    "one of the three that change is missing: t, the noised z_i, the query": lambda tokens, steps, cached:
        tokens + 1 + 2 * steps if cached else steps * (tokens + 3),
    "nothing is cached: the caption and z_t run once": lambda tokens, steps, cached: steps * (tokens + 4),
    "the caption costs nothing here; it must run once": lambda tokens, steps, cached:
        3 * steps if cached else steps * (tokens + 4),
    "z_t changes at no step: it runs once, with the caption": lambda tokens, steps, cached:
        tokens + 4 * steps if cached else steps * (tokens + 4),
    "cached and not cached are exchanged": lambda tokens, steps, cached:
        steps * (tokens + 4) if cached else tokens + 1 + 3 * steps,
    "the steps are forgotten": lambda tokens, steps, cached: tokens + 4,
    "one step too few: the first one runs the three as well": lambda tokens, steps, cached:
        tokens + 1 + 3 * (steps - 1) if cached else steps * (tokens + 4),
    "the query is computed once; it looks at the noised z_i, and so it changes": lambda tokens, steps, cached:
        tokens + 2 + 2 * steps if cached else steps * (tokens + 4),
    "without the cache four more than the caption run at every step, and five are counted": lambda tokens, steps,
        cached: tokens + 2 + 3 * steps if cached else steps * (tokens + 5),
}  # fmt: skip


def mode(resident: bool, one: bool, ram: bool) -> str:
    """The fastest mode if all fit on the GPU, if one network does, and if all fit into RAM."""
    return "resident" if resident else "none" if not one else "offload" if ram else "disk"


MODE = {
    "computing takes room on the GPU besides the weights, in every mode": lambda sizes, working, gpu, ram:
        mode(sum(sizes) <= gpu, max(sizes) <= gpu, sum(sizes) <= ram),
    "offload keeps all networks in RAM: is there room?": lambda sizes, working, gpu, ram:
        mode(sum(sizes) + working <= gpu, max(sizes) + working <= gpu, True),
    "what computing takes is counted in RAM as well; it is on the GPU": lambda sizes, working, gpu, ram:
        mode(sum(sizes) + working <= gpu, max(sizes) + working <= gpu, sum(sizes) + working <= ram),
    "disk needs the largest network on the GPU, too": lambda sizes, working, gpu, ram: mode(
        sum(sizes) + working <= gpu, True, sum(sizes) <= ram and max(sizes) + working <= gpu),
    "resident is not looked at": lambda sizes, working, gpu, ram:
        mode(False, max(sizes) + working <= gpu, sum(sizes) <= ram),
    "the smallest network must fit; it should be the largest": lambda sizes, working, gpu, ram:
        mode(sum(sizes) + working <= gpu, min(sizes) + working <= gpu, sum(sizes) <= ram),
    "offload is refused unless RAM and GPU together hold everything; it wants all in RAM": lambda sizes, working, gpu,
        ram: mode(sum(sizes) + working <= gpu, max(sizes) + working <= gpu, sum(sizes) <= ram + gpu),
    "the largest network counts without what computing takes": lambda sizes, working, gpu, ram:
        mode(sum(sizes) + working <= gpu, max(sizes) <= gpu, sum(sizes) <= ram),
    "what just fits does fit: <=, not <": lambda sizes, working, gpu, ram:
        mode(sum(sizes) + working < gpu, max(sizes) + working < gpu, sum(sizes) < ram),
    "resident wants RAM as well here; it needs the GPU alone": lambda sizes, working, gpu, ram: mode(
        sum(sizes) + working <= gpu and sum(sizes) <= ram, max(sizes) + working <= gpu, sum(sizes) <= ram),
}  # fmt: skip

MISTAKES = {"unpack_qkv": UNPACK, "relative_rms": RELATIVE, "prior_positions": POSITIONS, "fastest_mode": MODE}
