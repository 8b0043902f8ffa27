# %% [markdown]
# # 10 · Playing with z: what a picture is made of
#
# unCLIP splits a picture in two. $z_i$ says what CLIP sees in it, and a lump of noise, $x_T$, holds everything that
# CLIP does not see. Both together give the picture back. Take them apart, and you can draw the same thing again in
# another way, walk from one picture to another, change a picture by saying so, and find out what CLIP sees at all,
# and what it mixes up.

# %%
from collections import Counter

import torch
import torch.nn.functional as F
from IPython.display import display

import minunclip
from minunclip import experiments, manipulations, plots
from minunclip.common import best_device
from minunclip.course import checks, claims
from minunclip.course.widgets import manipulations as play
from minunclip.course.widgets.cascade import crossed, light
from minunclip.diffusion import timesteps
from minunclip.embeddings import PCA, slerp
from minunclip.evaluation import Judge, Share, psnr, renders, same_facts
from minunclip.experiments import edit_of, pair_of, write
from minunclip.manipulations import Latent, decode, draw, fresh, interpolate, invert, probe, text_diff, turn
from minunclip.scenes import KINDS, Scene, Scenes, Thing, render, to_tensor
from minunclip.training import embeddings

# %%
torch.set_grad_enabled(False)                     # nothing is trained in this notebook
device = best_device()
cascade, judge = minunclip.load("scenes", device), Judge.from_pretrained("scenes", device)
scenes = {
    "a big red heart at night": Scene((Thing("heart", "red", "big"),), "alone", "night", "crayon", seed=1),
    "a big yellow star in a meadow": Scene((Thing("star", "yellow", "big"),), "alone", "meadow", "flat", seed=2),
    "a big blue moon in the sky": Scene((Thing("moon", "blue", "big"),), "alone", "sky", "outlined", seed=3),
    "a big green circle left of a small pink square at sunset": Scene(
        (Thing("circle", "green", "big"), Thing("square", "pink", "small")), "row", "sunset", "dotted", seed=3),
}  # fmt: skip
names = list(scenes)

def show(images, labels=None, **how):
    return light(plots.show(images, labels, **how))                      # fewer colours, a third of the bytes

pictures = torch.stack([to_tensor(render(scene, 32)) for scene in scenes.values()]).to(device)
latents = invert(cascade, pictures, steps=20)
heart, star, moon, two = (latents[i : i + 1] for i in range(4))
thetas = torch.linspace(0, 1, 9)
path = draw(cascade, interpolate(star, moon, thetas), steps=20)
show(path, [f"{theta:.2f}" for theta in thetas], columns=9, side=84, title=f"from {names[1]} to {names[2]}")

# %% [markdown]
# **What you will see**
#
# 1. The two halves of a picture, and how to find them: DDIM run backward.
# 2. Variations: the same $z_i$, other noise.
# 3. Interpolation, and why to walk on a sphere.
# 4. Text diffs: a change put into words.
# 5. Which numbers of $z_i$ hold what: principal components.
# 6. The typographic attack: a word on a picture.
# 7. Attribute binding: whose colour is it?
#
# **What you need to know before:** DDIM (notebook 03), and what the decoder does with $z_i$ (06). Cosines, and what
# an orthonormal basis is. The judge comes from notebook 01: a network that reads the facts off a picture.
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("10_playing_with_z")

# %% [markdown]
# Reading takes about 40 minutes, the five exercises another 30. Nothing is trained: the finished weights were loaded
# above. The decoder gets no captions in this notebook unless it says so, and no guidance; $z_i$ alone tells it what to
# draw.
#
# ## 1. The two halves of a picture
#
# The four pictures of this notebook, and how many numbers each of their halves has:

# %%
show(pictures, names, columns=4)

# %%
print(f"z_i: {latents.z_i.shape[1]} numbers; x_T: {latents.x_T[0].numel()} numbers, as many as the picture")

# %% [markdown]
# The first half is easy: $z_i$ is what CLIP's image encoder says. The second is the noise from which the decoder, given
# this $z_i$, would draw exactly this picture. DDIM without fresh noise is a fixed way from $x_T$ to $x_0$, so walk it
# backward (section 3 of the paper).
#
# One step of DDIM asks the network for $\epsilon$, concludes $x_0$, and mixes the two again with less noise
# ([Song et al., 2020](https://arxiv.org/abs/2010.02502), equation 12):
#
# $$x_{t_\text{prev}} = \sqrt{\bar\alpha_{t_\text{prev}}}\; x_0 + \sqrt{1 - \bar\alpha_{t_\text{prev}}}\; \epsilon,
# \qquad x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t}\; \epsilon}{\sqrt{\bar\alpha_t}}$$
#
# If we knew $\epsilon$, turning round would be school algebra. One number, with $\bar\alpha_t = 0.36$ and
# $\bar\alpha_{t_\text{prev}} = 0.64$, so that all roots come out even:

# %% tags=["nbval-check-output"]
x_t, eps = 2.0, 1.0
x_0 = (x_t - 0.8 * eps) / 0.6
x_prev = 0.8 * x_0 + 0.6 * eps
print(f"there: x_0 = {x_0:.1f}, x_prev = {x_prev:.1f}")
x_0 = (x_prev - 0.6 * eps) / 0.8
print(f"back:  x_0 = {x_0:.1f}, x_t = {0.6 * x_0 + 0.8 * eps:.1f}")

# %% [markdown]
# ### Exercise 1: A step back into the noise · ●●○ medium · 5 minutes
#
# The second half of that cell, for tensors. You get $x_{t_\text{prev}}$, $\epsilon$, and $\bar\alpha$ at both ends,
# shaped to fit. The next cell tries your function; as long as it is empty, the notebook runs on.

# %% tags=["exercise"]
def ddim_back(
    x_prev: torch.Tensor, eps: torch.Tensor, alpha_bar_prev: torch.Tensor, alpha_bar: torch.Tensor
) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.ddim_back(ddim_back)

# %% [markdown]
# <details><summary>Hint</summary>
#
# $x_0$ first, with the shares of $t_\text{prev}$. Then mix with the shares of $t$: signal $\sqrt{\bar\alpha}$, noise
# $\sqrt{1 - \bar\alpha}$.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def ddim_back(
#     x_prev: torch.Tensor, eps: torch.Tensor, alpha_bar_prev: torch.Tensor, alpha_bar: torch.Tensor
# ) -> torch.Tensor:
#     x_0 = (x_prev - (1 - alpha_bar_prev).sqrt() * eps) / alpha_bar_prev.sqrt()
#     return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps
# ```
#
# </details>
#
# There is a catch. $\epsilon$ is the network's answer at $x_t$, and $x_t$ is what we are looking for. The papers ask at
# $x_{t_\text{prev}}$ instead, hoping that the answer is nearly the same (Dhariwal & Nichol, 2021, appendix F). As a
# loop, from the clean picture up to pure noise:

# %%
def back_by_hand(z_i, x, steps):
    no_caption = cascade.clip.encode_text([""] * len(x))
    process, denoiser = cascade.decoder.diffusion, cascade.decoder_denoiser(z_i, no_caption)
    visited = [-1, *reversed(timesteps(steps))]
    for t_prev, t in zip(visited[:-1], visited[1:], strict=True):
        now, before = (torch.full((len(x),), at, device=x.device) for at in (t, t_prev))
        _, eps = process.estimate(denoiser(x, now), x, now)
        x = checks.ddim_back.reference(x, eps, process.alpha_bar(before, x), process.alpha_bar(now, x))
    return x

x_T = back_by_hand(latents.z_i, pictures, 20)
again = draw(cascade, Latent(latents.z_i, x_T), steps=20)
print("decibels between picture and picture again:", psnr(again, pictures).cpu().numpy().round(1))

# %% [markdown]
# The *peak signal-to-noise ratio* tells how alike two pictures are: 10 decibels for each factor of 10 by which the mean
# squared difference shrinks; from about 35 on the eye sees none. The library does better: it takes the guess for
# $x_t$, makes the DDIM step, sees by how much it misses $x_{t_\text{prev}}$, and corrects the guess. With three
# corrections to a step, against the loop above, for more and more steps:

# %%
found, counts = {"by hand": [], "three corrections": []}, (5, 10, 20, 40)
for count in counts:
    x_T = back_by_hand(latents.z_i, pictures, count)
    refined = invert(cascade, pictures, steps=count, corrections=3)
    for name, latent in {"by hand": Latent(latents.z_i, x_T), "three corrections": refined}.items():
        found[name].append(psnr(draw(cascade, latent, steps=count), pictures).mean().item())
plots.curves({name: (counts, values) for name, values in found.items()}, "steps", "decibels")

# %% [markdown]
# More steps make the hope truer, because neighbouring $x_t$ lie closer together.

# %%
plain, corrected = (dict(zip(counts, values, strict=True)) for values in found.values())
claims.check(f"With 20 steps the loop by hand brings the picture back to {plain[20]:.1f} dB, three corrections to "
             f"{corrected[20]:.1f} dB.", corrected[20] > plain[20] + 3)

# %% [markdown]
# With more steps and more pictures:

# %%
experiments.table("inversion", "pictures inverted and drawn again")

# %% [markdown]
# **Is $x_T$ noise?** A clean noise has mean 0, standard deviation 1, and neighbouring pixels have nothing to do with
# each other. In a picture, neighbours are nearly equal:

# %%
def neighbours(x):
    a, b = x[..., 1:].flatten(1), x[..., :-1].flatten(1)
    return F.cosine_similarity(a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)).mean()

pure = fresh(cascade, latents.z_i).x_T
for name, x in {"pictures": pictures, "their x_T": latents.x_T, "pure noise": pure}.items():
    print(f"{name:10} mean {x.mean():5.2f}, deviation {x.std():.2f}, correlation of neighbours {neighbours(x):.2f}")

# %%
claims.check(f"Neighbours in a picture have a correlation of {neighbours(pictures):.2f}, in its $x_T$ of "
             f"{neighbours(latents.x_T):.2f}; the deviation of $x_T$ is {latents.x_T.std():.2f}. It is nearly "
             "noise.", abs(neighbours(latents.x_T)) < 0.3 and abs(latents.x_T.std() - 1) < 0.15)

# %% [markdown]
# What is left of the picture in $x_T$ is what the decoder could not explain from $z_i$.
#
# **Swapped halves.** Each row has the $z_i$ of the picture at its left, each column the $x_T$ of the picture above it.
# On the diagonal both halves belong together.

# %%
mixed = Latent(latents.z_i.repeat_interleave(4, dim=0), latents.x_T.repeat(4, 1, 1, 1))
table = draw(cascade, mixed, steps=20).unflatten(0, (4, 4))
blank = torch.ones_like(pictures[0])
rows = [blank, *pictures, *(image for i in range(4) for image in (pictures[i], *table[i]))]
show(rows, columns=5, side=96, alt="Each row drawn with one z_i, each column with one x_T; the originals at the "
           "left and on top. The rows agree in what is shown.")  # fmt: skip

# %% [markdown]
# Do rows agree in facts, and columns in places?

# %%
seen, where = judge.read(table.flatten(0, 1)), judge.places(table.flatten(0, 1)).unflatten(0, (4, 4))[:, :, 0]
alike = same_facts([scene for scene in scenes.values() for _ in range(4)], seen)
in_row, in_column = (where[:3].std(dim=axis).mean().item() for axis in (1, 0))
print(f"spread of the places within a row {in_row:.3f} of a side, within a column {in_column:.3f}")
claims.check(f"In a row the facts are those of the picture at its left: {alike['kind'].value:.0%} of the kinds, "
             f"{alike['colour'].value:.0%} of the colours, {alike['background'].value:.0%} of the backgrounds.",
             min(alike[fact].value for fact in ("kind", "colour", "background")) > 0.8)

# %% [markdown]
# A column has little in common that has a name: where things stand, how light falls, and how each pixel comes out.
#
# A failure on purpose: invert the star with the *moon's* $z_i$. Drawn with the moon's again, does the star come back?
# And drawn with its own?

# %%
wrong = invert(cascade, pictures[1:2], steps=20, z_i=moon.z_i)
shown = [pictures[1], *draw(cascade, wrong, steps=20), *draw(cascade, Latent(star.z_i, wrong.x_T), steps=20)]
show(shown, ["the star", "there and back with the moon's z_i", "back with its own"], side=128)

# %%
back = psnr(shown[1][None], pictures[1:2]).item()
claims.check(f"With the wrong $z_i$, there and back, the star comes to {back:.1f} dB. Its $x_T$ pays for that: its "
             f"deviation is {wrong.x_T.std():.2f}, with the right $z_i$ {star.x_T.std():.2f}, that of noise 1.",
             abs(wrong.x_T.std() - 1) > abs(star.x_T.std() - 1))

# %% [markdown]
# What was done with one $z_i$ is undone with the same one, right or wrong, as far as the decoder can follow. But a
# wrong $z_i$ leaves the contradiction to $x_T$.
#
# ## 2. Variations
#
# DDIM with $\eta > 0$ replaces part of the noise at every step by fresh noise. Less of $x_T$ survives, while $z_i$
# stays (section 3.1, Figure 3). Notebook 03 did it with points.

# %%
etas = (0, 0.25, 0.5, 1)
rows = [image for eta in etas for image in draw(cascade, star.repeat(6), eta=eta, steps=20)]
show(rows, [f"eta {eta:g}" for eta in etas for _ in range(6)], columns=6, side=96, title=names[1], seed=0)

# %% [markdown]
# With $\eta = 0$ all are the picture itself. Where does the star stand, in thirty of each?

# %%
spread = {eta: judge.places(draw(cascade, star.repeat(30), eta=eta, steps=20))[:, 0].std(dim=0).mean().item()
          for eta in etas}  # fmt: skip
others = [Scene(scenes[names[1]].things, "alone", "meadow", "flat", seed=n) for n in range(30)]
of_world = judge.places(torch.stack([to_tensor(render(scene, 32)) for scene in others]).to(device))[:, 0]
claims.check(f"Its place has a spread of {spread[0]:.3f} of a side at eta 0, of {spread[0.5]:.3f} at 0.5 and of "
             f"{spread[1]:.3f} at 1. Renders of such a star have {of_world.std(dim=0).mean():.3f}.",
             spread[0] < 0.01 < spread[1])

# %% [markdown]
# The place is what the paper calls a non-essential detail: no caption tells it, CLIP forgets it, and so the decoder
# makes it up. What does CLIP keep? Pictures of the test set, varied, and the judge. *Another picture* says how many
# facts agree by chance.

# %%
items = [Scenes("test", seed=7)[i] for i in range(12)]
truth, originals = [item.scene for item in items], renders(items, 32).to(device)
halves = invert(cascade, originals, steps=20)
found = {"the picture again": draw(cascade, halves, steps=20),
         "eta = 1": draw(cascade, halves, eta=1, steps=20),
         "x_T anew": draw(cascade, fresh(cascade, halves.z_i, seed=5), steps=20)}  # fmt: skip
shares = {name: same_facts(truth, judge.read(images)) for name, images in found.items()}
shares["another picture"] = same_facts(truth, truth[1:] + truth[:1])
facts = ["kind", "colour", "size", "background", "style", "count"]
plots.heatmap(torch.tensor([[share[fact].value for fact in facts] for share in shares.values()]), list(shares), facts,
              "share of facts that are the original's")  # fmt: skip

# %% [markdown]
# A fact that falls from the first row to the second is one that $z_i$ does not hold firmly, or that the decoder does
# not draw reliably.

# %%
varied, chance = (sum(shares[name][fact].true for fact in facts) / sum(shares[name][fact].total for fact in facts)
                  for name in ("eta = 1", "another picture"))  # fmt: skip
claims.check(f"Varied with eta = 1 the pictures keep {varied:.0%} of their facts. Two different pictures share "
             f"{chance:.0%}.", varied > 0.85 > chance)

# %% [markdown]
# Twelve pictures give rough numbers. With many, on this copy:

# %%
experiments.table("variations", "facts kept by a variation")

# %% [markdown]
# **Move the sliders**: which picture, and how much fresh noise. No kernel is needed.

# %% tags=["nbval-ignore-output"]
shelf = dict(zip(names, pictures, strict=True))
three = dict(list(shelf.items())[:3])
pages = play.variation_pages(cascade, three, latents, etas)
sheet = draw(cascade, latents[:3].repeat(4), eta=1.0, steps=20)
still = show(sheet, ["eta 1"] * 12, columns=4, side=96, title="variations of three pictures", seed=0)
crossed(pages, ("picture", "eta"), still)

# %% [markdown]
# With a kernel, any seed:

# %% tags=["nbval-ignore-output"]
play.VariationExplorer(cascade, shelf, latents)

# %% [markdown]
# ## 3. Between two pictures
#
# To walk from one picture to another, walk from one $z_i$ to the other. Straight on? Two vectors of length 1 at a right
# angle, and the point halfway between them:

# %% tags=["nbval-check-output"]
a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
halfway = 0.5 * a + 0.5 * b
print("halfway", halfway[0].tolist(), f"length {halfway.norm():.2f}")

# %% [markdown]
# The straight line cuts through the inside of the circle, so the point is too short. *Slerp*
# ([Shoemake, 1985](https://doi.org/10.1145/325165.325242)) walks along the arc. With $\omega$ the angle between the
# directions $u$ and $v$, and $\theta$ from 0 to 1:
#
# $$\text{slerp}(u, v, \theta) = \frac{\sin((1 - \theta)\,\omega)}{\sin \omega}\, u
# + \frac{\sin(\theta\,\omega)}{\sin \omega}\, v$$

# %% tags=["nbval-check-output"]
omega = torch.tensor(torch.pi / 2)
for theta in (0.0, 0.25, 0.5, 1.0):
    shares = [torch.sin((1 - theta) * omega) / omega.sin(), torch.sin(theta * omega) / omega.sin()]
    point = shares[0] * a + shares[1] * b
    print(f"theta {theta:.2f}: {[round(x, 2) + 0.0 for x in point[0].tolist()]}, length {point.norm():.2f}")

# %% [markdown]
# Is the right angle a rare case? The angles between our pictures' $z_i$ and between their $x_T$, in degrees:

# %%
def degrees(x):
    x = F.normalize(x.flatten(1), dim=1)
    return (x @ x.T).clamp(-1, 1).arccos().rad2deg()

pairs = [(i, j) for i in range(4) for j in range(i)]
for name, x in {"z_i": latents.z_i, "x_T": latents.x_T}.items():
    print(name, [round(degrees(x)[i, j].item()) for i, j in pairs])

# %% [markdown]
# Two noises of 3072 numbers are nearly always at a right angle. So halfway on the straight line, $x_T$ has a deviation
# of 0.71, and the decoder was never shown such noise. A failure on purpose: the same picture from noise of other
# lengths.

# %%
factors = (0.3, 0.5, 0.71, 1.0, 1.4, 2.0)
scaled = Latent(star.z_i.repeat(6, 1), torch.cat([factor * pure[:1] for factor in factors]))
show(draw(cascade, scaled, steps=20), [f"{factor:g} x_T" for factor in factors], columns=6, side=96)

# %% [markdown]
# ### Exercise 2: Slerp · ●●○ medium · 9 minutes
#
# For `a` and `b` (B, D), whose lengths may differ: the direction turns along the arc, and the length goes evenly from
# that of `a` to that of `b`. Every row has an angle of its own.

# %% tags=["exercise"]
def slerp_rows(a: torch.Tensor, b: torch.Tensor, theta: float) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.slerp_rows(slerp_rows)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `a.norm(dim=1, keepdim=True)` are the lengths (B, 1); `F.normalize(a, dim=1)` the directions. The cosine of the angle
# is the sum of the products of two directions, and `.clamp(-1, 1).arccos()` makes an angle of it.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def slerp_rows(a: torch.Tensor, b: torch.Tensor, theta: float) -> torch.Tensor:
#     u, v = F.normalize(a, dim=1), F.normalize(b, dim=1)
#     omega = (u * v).sum(dim=1, keepdim=True).clamp(-1, 1).arccos()
#     direction = (torch.sin((1 - theta) * omega) * u + torch.sin(theta * omega) * v) / torch.sin(omega)
#     length = (1 - theta) * a.norm(dim=1, keepdim=True) + theta * b.norm(dim=1, keepdim=True)
#     return length * direction
# ```
#
# For two equal rows this divides zero by zero. The library's version goes straight on where the angle is tiny.
#
# </details>
#
# The formula with the library's `slerp`, for our pictures' $z_i$:

# %%
u, v = F.normalize(star.z_i, dim=1), F.normalize(moon.z_i, dim=1)
omega = (u * v).sum().arccos()
by_hand = (torch.sin(0.7 * omega) * u + torch.sin(0.3 * omega) * v) / omega.sin()
torch.testing.assert_close(slerp(u, v, 0.3), by_hand, atol=1e-5, rtol=1e-4)
walked = (slerp(u, v, 0.3) * u).sum().arccos()
print(f"equal; of {omega.rad2deg():.0f} degrees, {walked.rad2deg():.0f} are behind us at theta = 0.3")

# %% [markdown]
# **And $x_T$?** The paper has two answers (Figure 4). Slerp it as well: then the ends are the two pictures themselves.
# Or hold one random $x_T$ fast: then only what CLIP sees changes on the way, and the ends are variations of the two.

# %%
held = fresh(cascade, star.z_i, seed=4).x_T
strips = {"x_T between theirs": draw(cascade, interpolate(star, moon, thetas), steps=20),
          "one random x_T": draw(cascade, interpolate(star, moon, thetas, held), steps=20)}  # fmt: skip
rows = [image for images in strips.values() for image in images]
figure_4 = show(rows, [f"{theta:.2f}" for theta in thetas] * 2, columns=9, side=84, seed=4,
                      title="above: x_T between theirs; below: one random x_T")  # fmt: skip
display(figure_4)

# %%
for theta, scene in zip(thetas, judge.read(strips["one random x_T"]), strict=True):
    things = ", ".join(f"{thing.size} {thing.colour} {thing.kind}" for thing in scene.things)
    print(f"theta {theta:.2f}: {things}; {scene.background}, {scene.style}")

# %% [markdown]
# Each fact changes at a place of its own. Does CLIP, asked about the drawn pictures, agree that they lie on the way?

# %%
z = cascade.clip.encode_image(strips["one random x_T"])
near = {f"to {names[i]}": (thetas.tolist(), cascade.clip.similarity(z, latents.z_i[i : i + 1])[:, 0].tolist())
        for i in (1, 2)}  # fmt: skip
plots.curves(near, "theta", "cosine of z_i")

# %%
(_, to_star), (_, to_moon) = near.values()
crossing = next(theta for theta, a, b in zip(thetas.tolist(), to_star, to_moon, strict=True) if b > a)
claims.check(f"The drawn pictures start at a cosine of {to_star[0]:.2f} with the star, end at {to_moon[-1]:.2f} "
             f"with the moon, and are nearer to the moon from theta = {crossing:.2f} on.", 0.3 < crossing < 0.8)

# %% [markdown]
# **Move the sliders**, with no kernel, and then between any two pictures with one:

# %% tags=["nbval-ignore-output"]
pages = play.slerp_pages(pictures[1], pictures[2], strips, thetas.tolist())
crossed(pages, ("x_T", "theta"), figure_4)

# %% tags=["nbval-ignore-output"]
play.SlerpExplorer(cascade, shelf, latents)

# %% [markdown]
# ## 4. A change put into words
#
# CLIP puts words and pictures into one space. So a difference of words is a direction in which a picture can be
# changed (section 3.3, Figure 5). With $z_t$ the caption of what we want and $z_{t_0}$ the caption of what there is:
#
# $$z_d = \frac{z_t - z_{t_0}}{|z_t - z_{t_0}|}, \qquad z_\theta = \text{slerp}(z_i, z_d, \theta)$$
#
# $\theta$ grows from 0 to somewhere between 0.25 and 0.5, and $x_T$ stays as it was. By hand, in a plane:

# %% tags=["nbval-check-output"]
z_t, z_t0 = torch.tensor([[0.0, 3.0]]), torch.tensor([[2.0, 0.0]])
difference = F.normalize(z_t, dim=1) - F.normalize(z_t0, dim=1)
print("difference of the directions", difference[0].tolist())
print("z_d", [round(x, 2) for x in F.normalize(difference, dim=1)[0].tolist()])

# %% [markdown]
# The lengths 3 and 2 do not show: CLIP learned from directions only, and a caption's length means nothing.
#
# ### Exercise 3: The direction of a change · ●○○ easy · 3 minutes
#
# For captions `z_t` and `z_t0`, (B, D) each, as CLIP hands them out: not normalised.

# %% tags=["exercise"]
def text_direction(z_t: torch.Tensor, z_t0: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.text_direction(text_direction)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `F.normalize` three times.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def text_direction(z_t: torch.Tensor, z_t0: torch.Tensor) -> torch.Tensor:
#     return F.normalize(F.normalize(z_t, dim=1) - F.normalize(z_t0, dim=1), dim=1)
# ```
#
# </details>
#
# The library's `text_diff` from its parts. It also gives the result the length of $z_i$, which the decoder is used to:

# %%
base = "a flat drawing of a big yellow star in a meadow"
new = "a flat drawing of a big blue star in a meadow"
z_t, z_t0 = (cascade.encode_text([caption]).embed for caption in (new, base))
z_d = checks.text_direction.reference(z_t, z_t0)
by_hand = F.normalize(slerp(star.z_i, z_d, 0.3), dim=1) * star.z_i.norm()
torch.testing.assert_close(text_diff(cascade, star, [new], [base], theta=0.3).z_i, by_hand, atol=1e-4, rtol=1e-4)
print(f"equal; cosine of z_d with z_i {F.cosine_similarity(z_d, star.z_i).item():.2f}")

# %%
wishes = {"another colour": new, "another background": "a flat drawing of a big yellow star at night",
          "another style": "a striped drawing of a big yellow star in a meadow",
          "another thing": "a flat drawing of a big yellow heart in a meadow"}  # fmt: skip
angles = torch.linspace(0, 0.5, 6)

def wished(direction):
    """For each wish the star, turned by each angle."""
    return {wish: draw(cascade, text_diff(cascade, star, [caption], [base], theta=angles, direction=direction),
                       steps=20)
            for wish, caption in wishes.items()}  # fmt: skip

def show_wished(changed):
    rows = [image for images in changed.values() for image in images]
    return show(rows, [f"{wish}, {theta:.1f}" for wish in wishes for theta in angles], columns=6, side=96)

show_wished(wished(manipulations.between_texts))

# %% [markdown]
# Look for two things in each row: does the asked fact flip, and does everything else stay? The night and the stripes
# come about, more or less. A new colour or thing does not: the star falls apart before it gives way.
#
# **Is the direction wrong?** Here we can know. Twenty test pictures, in each of which one fact is to become another: we
# render the picture with that fact changed, and CLIP tells where its $z_i$ lies. That is the true change.

# %%
items = [Scenes("test", seed=8)[i] for i in range(20)]
edits = [edit_of(item, i, seed=0) for i, item in enumerate(items)]
before, after = ([edit.captions[i] for edit in edits] for i in (0, 1))
print(f"for example: {before[0]!r} -> {after[0]!r}")

# %%
def seen_by_clip(some: list[Scene]) -> torch.Tensor:
    images = torch.stack([to_tensor(render(scene, 32)) for scene in some])
    return F.normalize(cascade.clip.encode_image(images.to(device)), dim=1)

true = seen_by_clip([edit.after for edit in edits]) - seen_by_clip([edit.before for edit in edits])
by_text = manipulations.between_texts(cascade, after, before)
print(f"cosine with the true change: {F.cosine_similarity(by_text, true).mean():.2f} in the mean")

# %% [markdown]
# So the direction is nearly perfect! What breaks the star is the little that is left. Measure it axis by axis, along
# the directions in which pictures vary, those in which they vary most first (section 5 tells how they are found), and
# with a unit that suits each: its *spread*, the standard deviation of pictures along it.

# %%
cloud, _ = embeddings(cascade.clip, Scenes("train", seed=5), 1000)
pca = PCA.fit(F.normalize(cloud, dim=1))
basis, spread = pca.basis.to(device), (pca.variances + 1e-5 * pca.variances.max()).sqrt().to(device)

def strides(change):
    """How far changes (B, D) of the true ones' lengths go along each axis, root mean square, in spreads: (D,)."""
    change = F.normalize(change, dim=1) * true.norm(dim=1, keepdim=True)
    return (change @ basis.T / spread).square().mean(dim=0).sqrt().tolist()

by_picture = manipulations.between_pictures(cascade, after, before)
axes = range(1, len(spread) + 1)
plots.curves({"true change": (axes, strides(true)), "difference of two z_t": (axes, strides(by_text)),
                "difference of two z_i of the prior's": (axes, strides(by_picture))},
               "axis of z_i, the widest first", "stride, in spreads")  # fmt: skip

# %% [markdown]
# Pictures use about the first twenty axes, and there all three agree. Along the others pictures hardly differ, but
# captions do, and a step that is short for captions is several spreads for pictures. Nothing in CLIP's training forbids
# it: its loss knows only products $z_i \cdot z_t$, and where $z_i$ is always the same, $z_t$ may be anything. But the
# decoder has never seen such a $z_i$, and those narrow axes are not idle; some tell it what belongs to what.
#
# **Ask the prior.** It turns a caption into a $z_i$ that a picture could have. So take the difference *after* it
# instead of before, between the $z_i$ that it makes of the two captions from the same noise: that is
# `between_pictures`, the third line above. (This is ours; the paper's Figure 5 was drawn with the difference of two
# $z_t$.) Let both captions say everything: what they leave open the prior makes up, and perhaps not the same for both.

# %%
changed = wished(manipulations.between_pictures)
figure_5 = show_wished(changed)
display(figure_5)

# %% [markdown]
# **What there is** can be told in other ways. The paper also takes a dummy caption, or nothing at all ($z_{t_0} = 0$).
# The less is said of what there is, the more of the turn goes elsewhere: asked of the prior with nothing, $z_d$ is the
# $z_i$ of another picture, and the way there is an interpolation. And a failure on purpose, $\theta = 1$: then $z_d$
# takes the place of $z_i$, and of the picture hardly more than its $x_T$ is left.

# %%
bases = {"its caption": [base], "a dummy": ["a picture of a thing"], "nothing": None}
some = (0.0, 0.2, 0.3, 0.4, 0.5, 1.0)
rows = [image for said in bases.values() for image in draw(
    cascade, text_diff(cascade, star, [new], said, theta=torch.tensor(some), direction=manipulations.between_pictures),
    steps=20)]
show(rows, [f"{name}, {theta:g}" for name in bases for theta in some], columns=6, side=96)

# %% [markdown]
# **Counting,** with the twenty pictures. *Flipped*: the asked fact came true. *Kept*: of all others, how many are as
# they were.

# %%
halves = invert(cascade, renders(items, 32).to(device), steps=15)
for way, z_d in {"z_t": by_text, "the prior's z_i": by_picture}.items():
    for theta in (0.25, 0.375, 0.5):
        images = draw(cascade, turn(halves, z_d, theta), steps=15)
        results = [edit.outcome(scene) for edit, scene in zip(edits, judge.read(images), strict=True)]
        flipped = Share(sum(asked for asked, _, _ in results), len(results))
        kept = sum(kept for _, kept, _ in results) / sum(total for _, _, total in results)
        print(f"difference of {way}, theta {theta:5.3f}: flipped {flipped}, kept {kept:.2f}")

# %% [markdown]
# The larger the angle, the less is kept. With many pictures:

# %%
experiments.table("text_diffs", "text diffs")

# %% [markdown]
# **Move the sliders.** Then, with a kernel, say what you want; leave *from* empty for the zero vector.

# %% tags=["nbval-ignore-output"]
further = {wish: images[1:] for wish, images in changed.items()}          # at theta 0 all wishes look the same
pages = play.change_pages(pictures[1], further, [f"{theta:.1f}" for theta in angles[1:]], "theta")
crossed(pages, ("wish", "theta"), figure_5)

# %% tags=["nbval-ignore-output"]
play.TextDiffExplorer(cascade, shelf, latents, base="a big red heart at night", new="a big green heart at night")

# %% [markdown]
# ## 5. Which numbers hold what?
#
# $z_i$ has as many axes as numbers, but pictures do not use them evenly. *Principal component analysis* finds the
# directions in which a cloud of points varies most. In a plane, for points along a slanted line:

# %% tags=["nbval-check-output"]
g = torch.Generator().manual_seed(0)
points = torch.randn(1000, 1, generator=g) * torch.tensor([[3.0, 4.0]]) / 5 + 0.1 * torch.randn(1000, 2, generator=g)
plane = PCA.fit(points)
print("first axis ", [round(x, 1) for x in plane.basis[0].tolist()])
print("second axis", [round(abs(x), 1) for x in plane.basis[1].tolist()])
print("share of the variance along the first:", round((plane.variances[0] / plane.variances.sum()).item(), 2))

# %% [markdown]
# Now the $z_i$ of a thousand training pictures. How much of their variance do the first $k$ axes hold?

# %%
pca = PCA.fit(cloud)                                          # the cloud of section 4, raw as the decoder takes it
pca = PCA(pca.mean.to(device), pca.basis.to(device), pca.variances)
held = (pca.variances.cumsum(0) / pca.variances.sum()).tolist()
plots.curves({"variance held": (range(1, len(held) + 1), held)}, "components", "share of the variance", log_x=True)

# %%
print(f"99% of the variance: {pca.components_for(0.99)} of {len(pca.basis)} components")

# %% [markdown]
# (319 of 1024 in the paper's CLIP, section 2.2. There the autoregressive prior lives on it; see notebook 06.)
#
# ### Exercise 4: Keep a few components · ●●○ medium · 6 minutes
#
# `mean` (D,) is the middle of the cloud, `basis` (D, D) has an axis in each row, the longest first. Write each row of
# `z_i` (B, D) with its first `k` components only; along all other axes it is to lie where the mean lies.

# %% tags=["exercise"]
def keep_components(z_i: torch.Tensor, mean: torch.Tensor, basis: torch.Tensor, k: int) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.keep_components(keep_components)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Subtract the mean. `@ basis[:k].T` tells how far a row reaches along each of the first axes, (B, k); `@ basis[:k]`
# walks that far along them again. Add the mean.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def keep_components(z_i: torch.Tensor, mean: torch.Tensor, basis: torch.Tensor, k: int) -> torch.Tensor:
#     kept = (z_i - mean) @ basis[:k].T
#     return mean + kept @ basis[:k]
# ```
#
# </details>

# %%
by_hand = checks.keep_components.reference(latents.z_i, pca.mean, pca.basis, 20)
torch.testing.assert_close(probe(latents, pca, 20).z_i, by_hand, atol=1e-4, rtol=1e-4)
print("equal to the library's probe; with 20 components, cosine with the whole z_i:",
      F.cosine_similarity(by_hand, latents.z_i).cpu().numpy().round(2))  # fmt: skip

# %% [markdown]
# Figure 7 of the paper: the same picture from more and more components, always with the same random $x_T$.

# %%
counts = (0, 1, 2, 4, 8, 16, 32, len(pca.basis))
start = fresh(cascade, latents.z_i, seed=2, same=True)
growing = {name: torch.cat([draw(cascade, probe(start[i : i + 1], pca, k), steps=20, guidance=2.0) for k in counts])
           for i, name in enumerate(names)}  # fmt: skip
rows = [image for images in growing.values() for image in images]
figure_7 = show(rows, [f"{k}" for _ in names for k in counts], columns=8, side=96, seed=2,
                      title="components of z_i that are kept")  # fmt: skip
display(figure_7)

# %% [markdown]
# Without any component, the decoder draws from the mean of all pictures. Which fact comes first, which last? Counted on
# sixteen test pictures:

# %%
items = [Scenes("test", seed=9)[i] for i in range(16)]
start = fresh(cascade, cascade.clip.encode_image(renders(items, 32).to(device)), seed=0)
facts, lines = ("background", "style", "colour", "size", "kind"), {}
for k in (0, 4, 8, 16, 32, len(pca.basis)):
    images = draw(cascade, probe(start, pca, k), steps=8, guidance=2.0)
    shares = same_facts([item.scene for item in items], judge.read(images))
    for fact in facts:
        lines.setdefault(fact, ([], []))[0].append(k)
        lines[fact][1].append(shares[fact].value)
plots.curves(lines, "components kept", "share of facts right")

# %%
experiments.table("probing", "components that a fact needs")

# %% [markdown]
# What CLIP needed most to tell pictures apart lies along the first axes. In the paper, too, coarse things come first,
# and finer ones later (section 4).

# %%
from_four = {fact: lines[fact][1][1] for fact in facts}
from_all = {fact: lines[fact][1][-1] for fact in facts}
first, last = (choose(from_four, key=from_four.get) for choose in (max, min))
claims.check(f"From four components {from_four[first]:.0%} of the facts of the {first} are right and "
             f"{from_four[last]:.0%} of those of the {last}. From all of them every fact is right in at least "
             f"{min(from_all.values()):.0%}.",
             from_four[first] > from_four[last] + 0.2 and min(from_all.values()) > 0.75)

# %% [markdown]
# **Move the sliders:**

# %% tags=["nbval-ignore-output"]
pages, kept = {}, [f"{k}" for k in counts]
for name, picture in shelf.items():
    pages |= play.change_pages(picture, {name: growing[name]}, kept, "components")
crossed(pages, ("picture", "components"), figure_7)

# %% tags=["nbval-ignore-output"]
play.ProbeExplorer(cascade, shelf, latents, pca)

# %% [markdown]
# ## 6. A word on a picture
#
# The authors of CLIP put a note with the word "iPod" on an apple, and CLIP was sure to see an iPod: 0% apple, 99.98%
# iPod. That is the *typographic attack*. The paper hands the $z_i$ of such a picture to the decoder, and it draws
# apples all the same (Figure 6): $z_i$ still knew what there was, though CLIP's answer did not.
#
# What will ours do? It learned from renders without a single letter. To tell reading from mere spoiling, we write the
# word once as it is and once as in a mirror: the same ink, but nothing to read.

# %%
kinds = [f"a {kind}" for kind in KINDS]
clean = to_tensor(render(Scene((Thing("circle", "green", "big"),), "alone", "paper", "flat", seed=1), 32))
attacked = {"as it is": clean, "the word": write(clean, "fish"), "mirrored": write(clean, "fish", mirrored=True),
            "word below": write(clean, "fish", "below")}  # fmt: skip

def bets(images, captions):
    cosines = cascade.clip.similarity(cascade.clip.encode_image(images), cascade.encode_text(captions).embed)
    return (cascade.clip.log_scale.exp().clamp(max=100) * cosines).softmax(dim=1)

images = torch.stack(list(attacked.values())).to(device)
plots.heatmap(bets(images, kinds).T, kinds, images, "what CLIP would bet")

# %%
z = cascade.clip.encode_image(images)
drawn = draw(cascade, fresh(cascade, z.repeat_interleave(3, dim=0), seed=1), steps=20, guidance=2.0)
rows = [image for i in range(4) for image in (images[i], *drawn[3 * i : 3 * i + 3])]
labels = [name if k == 0 else "from its z_i" for name in attacked for k in range(4)]
show(rows, labels, columns=8, side=96, seed=1)

# %% [markdown]
# If the word moves CLIP's bets no more than its mirror image does, nothing was read. Then what would be an attack that
# *this* CLIP can read? It knows fish by their shape. So we stick a small picture of a fish into the corner:

# %%
def with_sticker(image, kind, side=13):
    sticker = Scene((Thing(kind, "red", "big"),), "alone", "paper", "flat", seed=0)
    image = image.clone()
    image[:, 1 : side + 1, 1 : side + 1] = to_tensor(render(sticker, 24, (5, 5, 14)))[:, :side, :side]
    return image

stuck = torch.stack([clean, *(with_sticker(clean, kind) for kind in ("fish", "star", "heart"))]).to(device)
plots.heatmap(bets(stuck, kinds).T, kinds, stuck, "what CLIP would bet")

# %%
z = cascade.clip.encode_image(stuck)
drawn = draw(cascade, fresh(cascade, z.repeat_interleave(3, dim=0), seed=1), steps=20, guidance=2.0)
rows = [image for i in range(4) for image in (stuck[i], *drawn[3 * i : 3 * i + 3])]
labels = [name if k == 0 else "from its z_i" for name in ("clean", "fish", "star", "heart") for k in range(4)]
show(rows, labels, columns=8, side=96, seed=1)

# %% [markdown]
# The decoder is the better witness: it shows all that $z_i$ holds, not only which caption wins. That is what unCLIP
# gives us for CLIP: a way to look at what it sees. Many pictures and four words, on this copy:

# %%
experiments.table("typographic_attack", "what the word does beyond its mirror image")

# %% [markdown]
# ## 7. Whose colour is it?
#
# "A red heart above a blue fish" and "a blue heart above a red fish" hold the same words. To tell them apart, an
# embedding must *bind* each colour to its thing. CLIP is not forced to: most other pictures of a batch can be told
# apart by what is in them (section 7 of the paper). For our CLIP:

# %%
pairs = [pair_of(i, seed=0) for i in range(24)]
images = torch.stack([to_tensor(render(pair.scene, 32)) for pair in pairs]).to(device)
z = cascade.clip.encode_image(images)
said = {name: [getattr(pair, name) for pair in pairs] for name in ("caption", "swapped", "recoloured")}
near = {name: F.cosine_similarity(z, cascade.encode_text(captions).embed) for name, captions in said.items()}
print(f"for example: {pairs[0].caption!r}, swapped: {pairs[0].swapped!r}, recoloured: {pairs[0].recoloured!r}")
for name in ("swapped", "recoloured"):
    nearer = int((near["caption"] > near[name]).sum())
    print(f"the right caption is nearer than the {name:10}:", Share(nearer, len(pairs)))

# %% [markdown]
# A share of one half is what guessing gives. Now let the decoder speak. From $z_i$ alone, three seeds each: in the
# paper's Figure 15, things come back with their colours and sizes mixed up.

# %%
drawn = draw(cascade, fresh(cascade, z[:4].repeat_interleave(3, dim=0), seed=2), steps=20, guidance=2.0)
rows = [image for i in range(4) for image in (images[i], *drawn[3 * i : 3 * i + 3])]
show(rows, ["the picture" if k == 0 else "from its z_i" for _ in range(4) for k in range(4)], columns=8, side=96)

# %% [markdown]
# ### Exercise 5: Swapped colours · ●●○ medium · 6 minutes
#
# `stated` are two things of different kinds and colours, `drawn` are the things of a picture, in any order and number.
# Return True if the picture has just two things, of the stated kinds, each in the *other's* colour. Sizes do not
# matter.

# %% tags=["exercise"]
def colours_swapped(stated: list[Thing], drawn: list[Thing]) -> bool:
    raise NotImplementedError

# %%
checks.colours_swapped(colours_swapped)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Make a set of pairs (kind, colour) of what is drawn, and compare it with the set that a swap would give.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def colours_swapped(stated: list[Thing], drawn: list[Thing]) -> bool:
#     a, b = stated
#     wanted = {(a.kind, b.colour), (b.kind, a.colour)}
#     return len(drawn) == 2 and {(thing.kind, thing.colour) for thing in drawn} == wanted
# ```
#
# </details>
#
# Where do colours get lost? Four sources for the decoder: the true $z_i$ alone, the same with the caption, the prior's
# $z_i$ with the caption, as in the whole cascade, and the caption alone.

# %%
captions, seed = said["caption"], 3
nothing = [""] * len(pairs)
drawn = {"true z_i": decode(cascade, z, nothing, seed), "true z_i, caption": decode(cascade, z, captions, seed),
         "prior, caption": cascade.sample(captions, seed, size=32).image,
         "caption alone": decode(cascade, None, captions, seed)}  # fmt: skip
table = {}
for name, pictures_drawn in drawn.items():
    outcomes = [pair.outcome(scene) for pair, scene in zip(pairs, judge.read(pictures_drawn), strict=True)]
    table[name] = [Counter(outcomes)[outcome] / len(pairs) for outcome in ("right", "swapped", "other")]
plots.heatmap(torch.tensor(list(table.values())), list(table), ["right", "swapped", "other"], "share of the pictures")

# %% [markdown]
# Figure 14 of the paper shows the same failure from a caption: "a red cube on top of a blue cube" comes out in every
# arrangement, more often than with GLIDE, whose decoder has nothing but the caption. unCLIP's decoder reads the
# caption, too; the authors hoped that it would help to bind, and found "little help in this area" (section 2.1).
# Compare *right* and *swapped* from row to row: does it help here? (Our prior and decoder learned from *whitened*
# embeddings and captions, so that directions are heard which hardly vary: notebooks 05 and 07.) With many pairs:

# %%
experiments.table("attribute_binding", "colours of two things")

# %% [markdown]
# ## Summary
#
# | | |
# | --- | --- |
# | $z_i$ | what CLIP sees: the first half of a picture |
# | $x_T$ | everything else: found by DDIM backward, with the same $z_i$ |
# | variation | the same $z_i$, fresh noise ($\eta > 0$) |
# | slerp | along the arc, because points between must have the usual length |
# | text diff | turn $z_i$ by 0.25 to 0.5 towards a difference of captions, better of what the prior makes of them |
# | principal components | what CLIP needed most comes first |
# | typographic attack | CLIP's answer can be fooled while $z_i$ still knows; only what was learned can be read |
# | attribute binding | two things and two colours: an embedding may hold all four words and not who owns which |
#
# ## Questions
#
# <details><summary>You invert a picture with 20 steps and draw with 50. Does it come back?</summary>
#
# Nearly, if both take small enough steps. $x_T$ was made for the way with 20; the way with 50 starts at the same point
# but takes other turns. Exactly only with the same steps.
#
# </details>
#
# <details><summary>Why is guidance switched off while inverting?</summary>
#
# The guided answer is another one, and its estimates are pushed to the limits and cut off. What has been cut off
# cannot be told from the result, so there is no way back.
#
# </details>
#
# <details><summary>A variation changed the kind of a thing. Whose fault is it, CLIP's or the decoder's?</summary>
#
# Encode the variation and compare: if its $z_i$ is about that of the original, CLIP does not see the difference, and
# the decoder did nothing wrong. If it is not, the decoder did not draw what $z_i$ said.
#
# </details>
#
# <details><summary>Could one interpolate between two captions in the same way?</summary>
#
# Yes: let the prior draw a $z_i$ for each, with the same noise, and slerp these. Between two $z_t$ there may be nothing
# that any caption says, and the prior was not trained on that.
#
# </details>
#
# <details><summary>Is a text diff with theta = 0.5 halfway between two pictures?</summary>
#
# No. $z_d$ is a *difference*, not the embedding of a picture: it says what to add and what to take away. At
# $\theta = 1$ nothing of the picture is left.
#
# </details>
#
# ## Where to read on
#
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125): section 3 for the bipartite latent, 3.1 variations
#   (Figure 3), 3.2 interpolations (Figure 4), 3.3 text diffs (Figure 5), section 4 for the probes (Figures 6 and 7),
#   section 7 for what fails (Figures 14 to 16).
# - The code: [manipulations.py](../minunclip/manipulations.py) is all of this notebook in one file;
#   [diffusion/inversion.py](../minunclip/diffusion/inversion.py) has `ddim_inverse`,
#   [embeddings/pca.py](../minunclip/embeddings/pca.py) the components.
# - Dhariwal & Nichol, [Diffusion models beat GANs](https://arxiv.org/abs/2105.05233) (2021), appendix F: DDIM backward.
# - Goh et al., [Multimodal neurons](https://distill.pub/2021/multimodal-neurons/) (2021): the typographic attack.
# - Yuksekgonul et al., [When and why vision-language models behave like
#   bags-of-words](https://arxiv.org/abs/2210.01936) (2023): why CLIP binds so badly.
