"""Diffusion: noise in, noise out, what a network may predict, a step back, guidance, averaged weights."""

from __future__ import annotations

import math
import random

from ...training.recipes import DecoderRecipe
from .examples import noised, scene
from .sheet import Drawing, Sheet


def diffusion() -> Drawing:
    """Forward and reverse: noise is added without learning, and taken away by a network."""
    times = (-1, 200, 400, 600, 800, 999)
    s = Sheet("diffusion", 880, 268, title="Forward and reverse diffusion", alt=(
        "Six pictures of one scene with more and more noise, from the clean x_0 on the left to pure noise x_T on the "
        "right. Arrows to the right: the forward process q adds noise. Arrows to the left: the reverse process p, a "
        "trained network, takes a little of it away, step by step."))
    for i, t in enumerate(times):
        x = 24 + 147 * i
        s.picture(x, 86, 97, noised(scene(side=24), t), kind="image" if t < 0 else "noise")
        name = {-1: "x_0", 999: "x_T"}.get(t, f"x_{{{t}}}")
        s.text(x + 48, 206, name, kind="image" if t < 0 else "noise")
        if i < 5:
            s.curve((x + 60, 80), (x + 122, 46), (x + 184, 80), kind="soft")
            s.arrow((x + 145, 134), (x + 99, 134), kind="good")
    s.text(440, 34, "forward *q*: add noise, a little at a time; nothing to learn", kind="soft", size=14)
    s.text(440, 246, "reverse *p*: a network takes a little noise away at every step", kind="good", size=14)
    return s.done()


def targets() -> Drawing:
    """What a network may predict: eps, x_0 or v, on a quarter circle."""
    s = Sheet("targets", 880, 330, title="eps, x_0 and v", alt=(
        "A quarter circle with x_0 to the right and the noise eps upward. x_t lies on it at an angle that grows "
        "with t: root alpha-bar along x_0, root of one minus alpha-bar along eps. v stands at right angles to x_t. "
        "Knowing x_t and any one of eps, x_0 and v, one can compute the others."))
    ox, oy, r, angle = 190.0, 272.0, 210.0, math.radians(42)
    cos, sin = math.cos(angle), math.sin(angle)
    s.shape(f"M{ox + r} {oy}A{r} {r} 0 0 0 {ox} {oy - r}", kind="soft", filled=False)
    s.arrow((ox, oy), (ox + r, oy), kind="image")
    s.arrow((ox, oy), (ox, oy - r), kind="noise")
    x, y = ox + r * cos, oy - r * sin
    s.line((x, oy), (x, y), (ox, y), kind="soft", dash=True)
    s.arrow((ox, oy), (x, y))
    s.arrow((ox, oy), (ox - 0.72 * r * sin, oy - 0.72 * r * cos), kind="good")
    s.text(ox + r + 24, oy + 6, "x_0", kind="image", bold=True)
    s.text(ox, oy - r - 12, "ε", kind="noise", bold=True)
    s.text(x + 20, y - 4, "x_t", bold=True)
    s.text(ox - 0.76 * r * sin - 12, oy - 0.76 * r * cos, "*v*", kind="good", bold=True)
    s.text(ox + r * cos / 2, oy + 24, "√ᾱ", kind="image", size=14)
    s.text(ox + 10, oy - r * sin / 2 - 22, "√(1 − ᾱ)", kind="noise", size=14, anchor="start")
    s.text(ox + r * 0.99, oy - r * 0.46, "*t* grows ↑", kind="soft", size=13, anchor="start")
    s.box(500, 36, 356, 48, words="x_t = √ᾱ x_0 + √(1 − ᾱ) ε", kind="plain")
    rows = (("noise", "ε", "the noise"), ("image", "x_0", "the clean picture"),
            ("good", "*v*", "√ᾱ ε − √(1 − ᾱ) x_0"))  # fmt: skip
    for i, (kind, name, told) in enumerate(rows):
        s.box(500, 112 + 52 * i, 70, 40, kind=kind, words=name, bold=True)
        s.text(586, 137 + 52 * i, told, kind=kind, anchor="start")
    s.text(500, 294, "One of them and x_t give the other two.", kind="soft", size=14, anchor="start")
    return s.done()


def sampling_step() -> Drawing:
    """A step back: DDIM goes straight on, DDPM goes farther and adds fresh noise."""
    s = Sheet("sampling_step", 880, 318, title="A step of DDIM and of DDPM", alt=(
        "Two panels. In both the network estimates x_0 from x_t. DDIM goes a part of the way on the straight line "
        "towards that estimate and arrives at x_{t-1}. DDPM goes farther along the same line, to the mean mu, and then "
        "adds fresh noise, so x_{t-1} lies somewhere around mu."))
    for left, name in ((24, "DDIM: no fresh noise"), (452, "DDPM: farther, then fresh noise")):
        s.box(left, 24, 404, 250, kind="soft")
        s.text(left + 202, 52, name, bold=True)
        s.line((left + 344, 92), (left + 66, 226), kind="soft", dash=True)
        s.circle(left + 344, 92, 6, kind="noise", dot=True)
        s.text(left + 366, 90, "x_t", kind="noise")
        s.circle(left + 66, 226, 6, kind="good", dot=True)
        s.text(left + 66, 254, "estimate of x_0", kind="good", size=13)
    s.arrow((362, 95), (278, 135.5), kind="plain")
    s.circle(274, 137.5, 5, kind="plain", dot=True)
    s.text(280, 168, "x_{t−1}")
    s.circle(652, 161.5, 40, kind="noise")
    s.arrow((790, 95), (656, 159.6), kind="plain")
    s.circle(652, 161.5, 4, kind="plain", dot=True)
    s.text(636, 156, "μ", size=14)
    s.arrow((652, 161.5), (676, 190), kind="noise")
    s.circle(678, 192, 5, kind="plain", dot=True)
    s.text(708, 206, "x_{t−1}")
    s.text(440, 300, "The line is straight when everything is divided by √ᾱ.", kind="soft", size=13)
    return s.done()


def guidance() -> Drawing:
    """Classifier-free guidance: from the prediction without the caption past the one with it."""
    s = Sheet("guidance", 880, 300, title="Classifier-free guidance", alt=(
        "From x_t two arrows start: the prediction without the caption and the one with it. Guidance goes from the "
        "first to the second and on along the same line, w times as far: w = 0 ignores the caption, w = 1 follows it, "
        "w = 3 goes beyond."))
    origin, plain = (70.0, 236.0), (190.0, 66.0)
    step = (76.0, 27.0)
    at = [(plain[0] + w * step[0], plain[1] + w * step[1]) for w in range(4)]
    s.line(at[0], (at[3][0] + 46, at[3][1] + 16.3), kind="soft", dash=True)
    s.arrow(origin, at[0], kind="noise")
    s.arrow(origin, at[1], kind="text")
    s.arrow(origin, at[3], kind="good")
    s.circle(*origin, 6, dot=True, kind="plain")
    s.text(56, 262, "x_t")
    s.text(at[0][0] - 12, at[0][1] - 4, "without the caption", kind="noise", size=14, anchor="end")
    for w, (x, y) in enumerate(at):
        s.circle(x, y, 4.5, dot=True, kind=("noise", "text", "soft", "good")[w])
        s.text(x + 14, y - 12, f"*w* = {w}", kind=("noise", "text", "soft", "good")[w], size=14, anchor="start")
    s.box(500, 116, 356, 50, kind="plain", words="ε_w = ε + *w* (ε_y − ε)")
    s.text(500, 192, "ε without the caption, ε_y with it", kind="soft", size=14, anchor="start")
    s.text(500, 218, "above 1 the caption counts more than in the data", kind="soft", size=14, anchor="start")
    return s.done()


def average_weights() -> Drawing:
    """The exponential moving average: the weights jump about, their average does not."""
    ema = DecoderRecipe.profiles["cpu"].ema
    s = Sheet("average_weights", 880, 280, title="Averaged weights", alt=(
        "A weight over the steps of a training: it jumps about. Its exponential moving average follows smoothly, a "
        "little behind. Pictures are drawn with the averaged weights."))
    rng, raw, mean = random.Random(3), [], []
    for i in range(150):
        target = 1 - math.exp(-i / 38)
        raw.append(target + 0.16 * rng.uniform(-1, 1) * (0.4 + 0.6 * target))
        mean.append(raw[0] if not mean else 0.93 * mean[-1] + 0.07 * raw[-1])
    s.arrow((50, 240), (560, 240), kind="soft")
    s.text(305, 264, "steps of the training", kind="soft", size=13)
    s.text(24, 32, "one of the weights", kind="soft", size=13, anchor="start")
    for values, kind in ((raw, "noise"), (mean, "good")):
        s.line(*((56 + 3.25 * i, 220 - 150 * value) for i, value in enumerate(values)), kind=kind)
    s.text(590, 96, "the weights, as trained", kind="noise", size=14, anchor="start")
    s.text(590, 134, "their moving average", kind="good", size=14, anchor="start", bold=True)
    s.text(590, 172, f"average ← {ema} average\n            + {1 - ema:.3f} weights".replace("            ", ""),
           size=14, anchor="start")  # fmt: skip
    s.text(590, 222, "it draws the pictures", kind="good", size=14, anchor="start")
    return s.done()
