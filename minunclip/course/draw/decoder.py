"""The decoder: its U-Net, a block of it, the two ways in for z_i, the learned variance."""

from __future__ import annotations

import math

import torch

from ...decoder import DecoderConfig
from ...diffusion import Diffusion, timesteps
from ...networks import UNetConfig
from ...training.recipes import DecoderRecipe
from .sheet import Drawing, Sheet


def u_net(config: DecoderConfig | None = None, name: str = "u_net") -> Drawing:
    """The U-Net of a decoder with its widths and sides, by default that of the toy world."""
    config = config or DecoderRecipe.config
    c, side = config.unet, config.size // config.unet.patch
    levels = [(c.channels * mult, side // 2**i, i in c.attention) for i, mult in enumerate(c.mults)]
    height = 100 + 88 * len(levels)
    told = "; ".join(f"{width} channels at {at} x {at}{', with attention' * seen}" for width, at, seen in levels)
    s = Sheet(name, 880, height, title="The U-Net of the decoder", alt=(
        f"A U-Net. On the left the picture gets smaller from level to level, on the right larger again: {told}. Skip "
        "connections lead across, from each level on the way down to the same level on the way up."))
    last = len(levels) - 1
    for i, (width, at, seen) in enumerate(levels):
        down, up, y = 132 + 46 * i, 748 - 46 * i, 54 + 88 * i
        note = f"{at} × {at}{', attention' * seen}"
        for x in (down, up - 148):
            s.box(x, y, 148, 54, words=f"{width} channels", note=note)
        s.arrow((down + 148, y + 27), (up - 150, y + 27), kind="image", dash=True)
        if i == 0:
            s.text(440, y + 20, f"skip connections, {c.blocks + 1} a level", kind="image", size=13)
        if i < last:
            s.arrow((down + 120, y + 54), (down + 120, y + 86), kind="plain")
            s.arrow((up - 120, y + 88), (up - 120, y + 56), kind="plain")
            s.text(down + 92, y + 76, "½", kind="soft", size=14)
            s.text(up - 94, y + 76, "2 ×", kind="soft", size=14)
    bottom(s, levels[-1], 54 + 88 * last)
    ends(s, config, c)
    return s.done()


def bottom(s: Sheet, level: tuple[int, int, bool], y: float) -> None:
    width, at, _ = level
    s.box(366, y + 70, 148, 40, words=f"middle, {width}", size=14)
    inner = 132 + 46 * round((y - 54) / 88)
    s.arrow((inner + 74, y + 54), (inner + 74, y + 90), (364, y + 90), kind="plain")
    s.arrow((514, y + 90), (880 - inner - 74, y + 90), (880 - inner - 74, y + 56), kind="plain")


def ends(s: Sheet, config: DecoderConfig, c: UNetConfig) -> None:
    """What goes in on the left, and what comes out on the right."""
    predicted = {"eps": "ε", "x0": "x_0", "v": "*v*"}[config.diffusion.target]
    s.box(20, 54, 82, 54, kind="noise", words="x_t", note=f"3 × {config.size} × {config.size}")
    s.arrow((102, 81), (130, 81), kind="noise")
    s.arrow((748, 81), (774, 81), kind="good")
    learned = config.diffusion.learned_variance
    s.box(776, 54, 84, 54, kind="good", words=predicted, note="+ variance" if learned else "")
    if c.patch > 1:
        s.text(20, 132, f"patches of {c.patch} × {c.patch}\nas channels", kind="soft", size=12.5, anchor="start")
    s.text(440, 30, f"{c.blocks} ResBlock{'s' * (c.blocks > 1)} a level on the way down, {c.blocks + 1} on the way up",
           kind="soft", size=13)  # fmt: skip


def u_net_released() -> Drawing:
    """The same of Karlo, a released unCLIP."""
    return u_net(DecoderConfig(), "u_net_released")


def res_block() -> Drawing:
    """A ResBlock with FiLM."""
    s = Sheet("res_block", 880, 268, title="A ResBlock", alt=(
        "A ResBlock: GroupNorm, SiLU and a convolution, then GroupNorm, FiLM, SiLU and a convolution. The time "
        "embedding gives FiLM a scale s and a shift b for each channel: h times one plus s, plus b. What came in "
        "is added at the end."))
    x, y = 66.0, 118.0
    s.text(30, y + 6, "*x*", kind="image", bold=True)
    s.arrow((42, y), (x, y), kind="image")
    for word, w, kind in (("GroupNorm", 96, "net"), ("SiLU", 54, "net"), ("conv 3×3", 84, "net"),
                          ("GroupNorm", 96, "net"), ("FiLM", 62, "noise"), ("SiLU", 54, "net"),
                          ("conv 3×3", 84, "net")):  # fmt: skip
        s.box(x, y - 24, w, 48, kind=kind, words=word, size=14, bold=word == "FiLM")
        if word == "FiLM":
            s.arrow((x + w / 2, 204), (x + w / 2, y + 26), kind="noise")
            s.text(x + w / 2 + 12, 172, "*s*, *b*", kind="noise", size=14, anchor="start")
            s.box(x - 69, 206, 200, 40, kind="noise", words="time embedding, linear", size=14)
            s.text(x + w + 84, 231, "*h* ← *h* (1 + *s*) + *b*", kind="noise", anchor="start")
        s.arrow((x + w, y), (x + w + 22, y))
        x += w + 22
    s.circle(x + 16, y, 16, kind="good", words="+")
    s.arrow((x + 32, y), (x + 60, y), kind="good")
    s.arrow((52, y), (52, 48), (x + 16, 48), (x + 16, y - 18), kind="image")
    s.text(430, 40, "shortcut (a 1×1 convolution where the widths differ)", kind="image", size=13)
    return s.done()


def two_ways() -> Drawing:
    """How z_i gets into the decoder: into the time embedding, and as tokens beside the caption's."""
    c = DecoderRecipe.config
    s = Sheet("two_ways", 880, 316, title="The two ways of z_i into the decoder", alt=(
        "The image embedding z_i enters the decoder twice. First, a linear layer makes a vector of it that is "
        f"added to the time embedding, which every ResBlock reads. Second, a linear layer makes {c.extra_tokens} "
        "extra tokens of it, which stand beside the caption's tokens as context for the attention."))
    s.box(24, 128, 72, 46, kind="image", words="z_i", bold=True)
    s.arrow((60, 128), (60, 84), (128, 84), kind="image")
    s.arrow((60, 174), (60, 232), (128, 232), kind="image")
    s.text(78, 56, "way 1", kind="image", size=13)
    s.text(78, 264, "way 2", kind="image", size=13)
    for y in (84, 232):
        s.box(130, y - 21, 76, 42, words="linear")
    s.arrow((206, 84), (264, 84), kind="image")
    s.circle(282, 84, 17, kind="noise", words="+")
    s.box(222, 20, 120, 32, kind="noise", words="timestep *t*", size=14)
    s.arrow((282, 52), (282, 65), kind="noise")
    s.box(222, 128, 120, 32, kind="text", words="z_t, linear", size=14)
    s.arrow((282, 128), (282, 103), kind="text")
    s.arrow((299, 84), (398, 84), kind="noise")
    s.box(400, 58, 150, 52, kind="noise", words="time embedding", note=f"{4 * c.unet.channels} numbers")
    s.arrow((206, 232), (236, 232), kind="image")
    for i in range(c.extra_tokens):
        s.box(238 + 30 * i, 212, 26, 40, kind="image", radius=4)
    tokens = 238 + 30 * c.extra_tokens + 6
    for i in range(5):
        s.box(tokens + 30 * i, 212, 26, 40, kind="text", radius=4)
    end = tokens + 150
    s.brace(238, 258, 30 * c.extra_tokens - 4, words=f"{c.extra_tokens} of z_i", kind="image")
    s.brace(tokens, 258, 146, words="the caption’s tokens", kind="text")
    s.box(600, 34, 256, 246, kind="soft")
    s.arrow((end, 232), (626, 232), kind="text")
    s.text(728, 60, "U-Net", bold=True)
    s.arrow((550, 84), (626, 97), kind="noise")
    s.box(628, 74, 200, 50, words="every ResBlock", note="scaled and shifted by it")
    s.box(628, 206, 200, 54, words="every attention", note="keys and values from it")
    return s.done()


def learned_variance() -> Drawing:
    """Between which two variances the network chooses, for 25 of 1000 steps."""
    diffusion, visited = Diffusion(), timesteps(25)                         # the last step, to x_0, adds none
    t, t_prev = torch.tensor(visited[:-1]), torch.tensor(visited[1:])
    low, high = ([math.log10(max(float(v), 1e-9)) for v in values.flatten()]
                 for values in diffusion.step_variances(t, t_prev, torch.zeros(24, 1)))  # fmt: skip
    s = Sheet("learned_variance", 880, 316, title="The learned variance", alt=(
        "Two curves over the timestep: beta tilde, the least noise that a step of 25 may add, and beta, the most. "
        "They agree at large t and part at small t. The network chooses between them: v = 0 gives beta tilde, v = "
        "1 beta, and their logarithms are mixed."))

    def place(i: int, value: float) -> tuple[float, float]:
        return 70 + 430 * float(t[i]) / 999, 52 - 48 * value

    upper, lower = [place(i, value) for i, value in enumerate(high)], [place(i, value) for i, value in enumerate(low)]
    between = [(a[0], (a[1] + b[1]) / 2) for a, b in zip(upper, lower, strict=True)]
    outline = "L".join(f"{x:.1f} {y:.1f}" for x, y in upper + lower[::-1])
    s.shape(f"M{outline}z", kind="soft", filled=True)
    s.line(*upper, kind="noise")
    s.line(*lower, kind="text")
    s.line(*between, kind="good", dash=True)
    s.arrow((60, 274), (516, 274), kind="soft")
    s.arrow((60, 274), (60, 36), kind="soft")
    s.text(290, 298, "timestep *t*, of 25 steps", kind="soft", size=13)
    s.text(24, 26, "variance of the noise that a step adds (logarithm)", kind="soft", size=13, anchor="start")
    s.text(540, 84, "β: the most", kind="noise", anchor="start")
    s.text(540, 116, "network: between them, by *v*", kind="good", anchor="start")
    s.text(540, 148, "β̃: the least", kind="text", anchor="start")
    s.box(540, 182, 316, 48, kind="plain", words="log σ² = *v* log β + (1 − *v*) log β̃", size=14)
    s.text(540, 258, "*v* = 0 adds the least, *v* = 1 the most.", kind="soft", size=14, anchor="start")
    return s.done()
