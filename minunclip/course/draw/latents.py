"""A picture in two halves, and what can be done to one of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ...scenes import render
from .examples import PAIR, noised, scene
from .sheet import Drawing, Sheet


def bipartite_latent() -> Drawing:
    """A picture as (z_i, x_T): CLIP's half, and what DDIM inversion finds for the rest."""
    s = Sheet("bipartite_latent", 880, 296, title="A picture in two halves", alt=(
        "A picture is written as two halves. CLIP's image encoder gives z_i, what CLIP sees. DDIM run backward "
        "with the decoder, given z_i, finds x_T, all the rest. The decoder, from both, draws the same picture "
        "again."))
    s.picture(24, 94, 108, scene(side=48), kind="image")
    s.arrow((132, 118), (180, 76), kind="image")
    s.box(182, 48, 150, 52, words="CLIP\nimage encoder", size=14)
    s.arrow((332, 74), (414, 74), kind="image")
    s.box(416, 46, 116, 56, kind="image", words="z_i", note="what CLIP sees", bold=True)
    s.arrow((132, 178), (180, 220), kind="image")
    s.box(182, 194, 150, 56, words="DDIM inversion", note="the decoder, backward", size=14)
    s.arrow((430, 102), (430, 146), (257, 146), (257, 192), kind="image", dash=True)
    s.text(344, 138, "given z_i", kind="image", size=13)
    s.arrow((332, 222), (414, 222), kind="noise")
    s.picture(416, 180, 84, noised(scene(side=24), 999, seed=3), kind="noise")
    s.text(458, 284, "x_T: all the rest", kind="noise")
    s.arrow((532, 74), (604, 130), kind="image")
    s.arrow((500, 222), (604, 172), kind="noise")
    s.box(606, 124, 104, 52, words="decoder", note="DDIM, η = 0", bold=True)
    s.arrow((710, 150), (744, 150), kind="image")
    s.picture(746, 96, 108, scene(side=48), kind="image")
    s.text(800, 226, "the same picture", kind="soft", size=13)
    return s.done()


def variations() -> Drawing:
    """Variations of a picture: z_i stays, the noise is new."""
    s = Sheet("variations", 880, 250, title="Variations", alt=(
        "One z_i and fresh noise, several times: the decoder draws pictures with the same facts, a red heart above "
        "a blue fish on a meadow, but with other places, turns and clouds."))
    s.picture(24, 72, 96, scene(side=48), kind="image")
    s.arrow((120, 120), (152, 120), kind="image")
    s.box(154, 98, 56, 44, kind="image", words="z_i", bold=True)
    s.arrow((210, 120), (262, 120), kind="image")
    s.box(264, 94, 104, 52, words="decoder", note="DDIM, η > 0", bold=True)
    s.box(264, 176, 104, 34, kind="noise", words="fresh noise", size=14)
    s.arrow((316, 176), (316, 148), kind="noise")
    s.arrow((368, 120), (410, 120), kind="image")
    for i, seed in enumerate((11, 12, 15, 16)):
        pixels = np.float64(render(replace(PAIR, seed=seed), 48))
        s.picture(412 + 113 * i, 68, 104, pixels, kind="image")
    s.text(634, 200, "the same facts; other places, turns, clouds", kind="soft", size=14)
    return s.done()


def text_diff() -> Drawing:
    """A text diff: z_i turned on the sphere towards the difference of two captions."""
    s = Sheet("text_diff", 880, 330, title="A text diff is a rotation", alt=(
        "On the sphere of directions z_i is turned towards z_d, the normalised difference of the new caption's "
        "embedding and the old one's. theta = 0 is the picture itself; the paper goes to theta between 0.25 and "
        "0.5 of the angle."))
    cx, cy, r, begin, end = 190.0, 280.0, 226.0, 16.0, 104.0

    def at(theta: float, length: float = 1) -> tuple[float, float]:
        angle = math.radians(begin + theta * (end - begin))
        return cx + length * r * math.cos(angle), cy - length * r * math.sin(angle)

    first, last, stop = at(0), at(1), at(0.5)
    s.shape(f"M{first[0]:.1f} {first[1]:.1f}A{r} {r} 0 0 0 {last[0]:.1f} {last[1]:.1f}", kind="soft", filled=False)
    s.shape(f"M{first[0]:.1f} {first[1]:.1f}A{r} {r} 0 0 0 {stop[0]:.1f} {stop[1]:.1f}", kind="good", filled=False)
    s.arrow((cx, cy), first, kind="image")
    s.arrow((cx, cy), last, kind="text")
    s.circle(cx, cy, 4, dot=True, kind="plain")
    for theta in (0.25, 0.5):
        s.line((cx, cy), at(theta), kind="good", dash=True)
        s.circle(*at(theta), 6, dot=True, kind="good")
        s.text(*at(theta, 1.06), f"θ = {theta}", kind="good", size=14, anchor="start")
    s.text(*at(-0.02, 1.07), "z_i", kind="image", bold=True)
    s.text(*at(1.02, 1.06), "z_d", kind="text", bold=True)
    s.box(500, 40, 356, 48, kind="text", words="z_d = norm(z_t − z_{t0})")
    s.text(500, 112, "the new caption less the old one", kind="text", size=14, anchor="start")
    s.box(500, 146, 356, 48, kind="good", words="z_θ = slerp(z_i, z_d, θ)")
    s.text(500, 218, "a rotation by the share θ of the angle", kind="good", size=14, anchor="start")
    s.text(500, 258, "x_T stays that of the picture, by inversion.", kind="noise", size=14, anchor="start")
    s.text(500, 284, "The paper ends between θ = 0.25 and 0.5.", kind="soft", size=14, anchor="start")
    return s.done()
