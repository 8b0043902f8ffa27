# %% [markdown]
# # 09 · The whole cascade: does it need all of its parts?
#
# You have met every stage on its own. Now all of them run in one go, and we ask what the paper asks in its section 5:
# what is the prior good for, what does guidance cost, and how would one know? A toy world helps here. The paper had to
# pay people to compare photographs. We have the judge, who reads off every picture whether its caption came true.

# %%
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from IPython.display import Markdown

import minunclip
from minunclip import experiments, plots
from minunclip.common import best_device
from minunclip.course import checks, claims
from minunclip.course.widgets.cascade import Knobs, KnobsExplorer, knobs_grid, light
from minunclip.diffusion import SAMPLERS, generators, last, noise_stream
from minunclip.evaluation import (Bench, Judge, Share, bootstrap, effective_number, frechet_distance, judge_accuracy,
                                  renders, resamples, same_facts)
from minunclip.experiments import QUICK, Study, all_true, equal_fidelity, possible, table_of, with_ar_prior
from minunclip.manipulations import as_image_embedding, decode, draw, fresh, three_ways
from minunclip.scenes import BACKGROUNDS, STYLES, Item, Scene, Scenes, Statement, Thing, render, to_tensor
from minunclip.unclip import best_of
from minunclip.upsampler import upsample

# %%
torch.set_grad_enabled(False)                     # nothing is trained in this notebook
device = best_device()
cascade, judge = minunclip.load("scenes", device), Judge.from_pretrained("scenes", device)
caption, seed = "a big yellow star above a small blue moon at night", 1
drawing = cascade.sample([caption], seed=seed, keep_steps=True)
light(plots.cascade_figure(drawing))                            # fewer colours, a third of the bytes

# %% [markdown]
# **What you will see**
#
# 1. One caption on its way through all stages, with everything that comes up in between; and the same by hand.
# 2. Why there are several small models and not one large one.
# 3. Is the prior needed? Captions drawn without it, and with something else in its place.
# 4. Fidelity against diversity as guidance grows: the full stack, and the decoder with the caption alone.
# 5. Two knobs, the prior's guidance and the decoder's, under two sliders.
# 6. Several candidates for $z_i$, and the best of them.
# 7. The cascade in two tables, like Tables 1 and 3 of the paper.
#
# **What you need to know before:** what CLIP, the prior and the decoder do (notebooks 02, 05 and 07; the tour tells it
# in short), what guidance is (03), and what fidelity and diversity mean here (01).
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("09_cascade")

# %% [markdown]
# Reading takes about 35 minutes, the four exercises another 30. Nothing is trained: the finished weights of all stages
# were loaded above, so you may start here.
#
# ## 1. All stages in one go
#
# What the cascade does with a caption, and what comes up on the way:

# %%
s, text = drawing.settings, drawing.text
print("z_t   ", tuple(text.embed.shape), "and", text.tokens.shape[1], "tokens of", text.tokens.shape[2], "numbers")
print("z_i   ", tuple(drawing.z_i.shape), f"the better one of {s.candidates}, after {s.prior_steps} steps")
for side, images in drawing.images.items():
    print(f"{side:3} px", tuple(images.shape))

# %% [markdown]
# **The prior's steps** are lists of numbers. To see them, we hand its estimate of $z_i$ after some of the steps to the
# decoder, always with the same noise and without a caption. Below each picture is the cosine of that estimate with
# $z_t$.

# %%
steps, z_t = drawing.steps["prior"], text.embed
finished = cascade.clip.similarity(cascade.prior.unwhiten(steps[-1].x_t), z_t)[:, 0]
kept = int(finished.argmax())                                            # the candidate that went on
chosen = [steps[i] for i in torch.linspace(0, len(steps) - 1, 7).round().int().tolist()]
estimates = torch.cat([cascade.prior.unwhiten(step.x_0[kept : kept + 1]) for step in chosen])
cosines = cascade.clip.similarity(estimates, z_t)[:, 0].tolist()
images = draw(cascade, fresh(cascade, estimates, seed, same=True), steps=10, guidance=2.0)
names = [f"t = {step.t}: {cosine:.2f}" for step, cosine in zip(chosen, cosines, strict=True)]
plots.show(images, names, columns=7, side=96, title="what the prior has in mind", seed=seed)

# %% [markdown]
# The first estimate is made from pure noise and the caption. It is the mean of all $z_i$ that would fit, and the
# decoder draws something that is nothing in particular where the caption is silent. Later estimates settle for one of
# them.
#
# **The decoder's steps**, above the sample and below the estimate:

# %%
light(plots.film_strip(drawing.steps["decoder"], seed, side=96))

# %% [markdown]
# **The upsampler's steps** are few, because most of the picture is given. At the left is what it gets, enlarged by a
# formula (bicubic); then what it has after each of its steps.

# %%
given = upsample(drawing.images[32], 128)[0]
after = [step.x_t[0] for step in drawing.steps["upsampler-1"]]
labels = ["enlarged, no network", *(f"after step {i + 1}" for i in range(len(after)))]
light(plots.show([given, *after], labels, columns=3, side=200, seed=seed))

# %% [markdown]
# **By hand.** All of it is four samplers in a row, each with a network that has its conditions closed over. The seeds
# of the noise are the library's: a hundred apart for each stage, so that a caption, a seed and a stage settle
# everything.

# %%
def noise(shape, first):
    return noise_stream(shape, generators(1000 * seed + first, shape[0]), device)

def run(stage, denoiser, shape, first, steps):
    return last(SAMPLERS[s.sampler](stage.diffusion, denoiser, noise(shape, first), steps))

text, n = cascade.encode_text([caption]), s.candidates
candidates = run(cascade.prior, cascade.prior_denoiser(text.repeat(n), s.prior_guidance),
                 (n, cascade.prior.config.z_width), 0, s.prior_steps)  # fmt: skip
z_i = best_of(cascade.prior.unwhiten(candidates), text.embed, n)
image = run(cascade.decoder, cascade.decoder_denoiser(z_i, text, s.decoder_guidance), (1, 3, 32, 32), 100,
            s.decoder_steps).clamp(-1, 1)  # fmt: skip
for number, upsampler in enumerate(cascade.upsamplers):
    shape, low = (1, 3, upsampler.config.size, upsampler.config.size), image
    image = run(upsampler, upsampler.denoiser(low), shape, 200 + 100 * number,
                s.upsampler_steps[number]).clamp(-1, 1)  # fmt: skip
torch.testing.assert_close(image, drawing.image, atol=1e-3, rtol=1e-3)
print("equal to the library's picture:", tuple(image.shape))

# %% [markdown]
# Did it become true? The judge reads the facts off the small picture:

# %%
scene = judge.read(drawing.images[32])[0]
print(*scene.things, scene.layout, scene.background, scene.style, sep="\n")

# %% [markdown]
# ## 2. Why a hierarchy?
#
# The title of the paper begins with "hierarchical". First a few numbers are settled, $z_i$, then a small picture, then
# larger ones. Why not draw the large picture at once?
#
# **It would cost too much.** How long does one step of each network take, and how many steps are there?

# %%
def milliseconds(denoiser, shape):
    x_t, t = torch.randn(shape, device=device), torch.full((shape[0],), 500, device=device)
    denoiser(x_t, t)                                                     # once to warm up
    start = time.perf_counter()
    denoiser(x_t, t).sum().item()                                        # .item() waits for a GPU
    return 1000 * (time.perf_counter() - start)

calls = {"prior": (cascade.prior_denoiser(text.repeat(n)), (n, z_i.shape[1]), s.prior_steps),
         "decoder, guided": (cascade.decoder_denoiser(z_i, text, 2.0), (1, 3, 32, 32), s.decoder_steps)}  # fmt: skip
for number, (low, side) in enumerate(zip(cascade.sizes[:-1], cascade.sizes[1:], strict=True)):
    denoiser = cascade.upsamplers[number].denoiser(drawing.images[low])
    calls[f"to {side} px"] = denoiser, (1, 3, side, side), s.upsampler_steps[number]
for name, (denoiser, shape, count) in calls.items():
    print(f"{name:16} {np.prod(shape):8,} numbers, {count:2} steps of {milliseconds(denoiser, shape):6.1f} ms")

# %% [markdown]
# The decoder is a U-Net, so it can be run on a larger sheet of noise. That would draw nothing sensible, but it shows
# the price:

# %%
denoiser, base = cascade.decoder_denoiser(z_i, text), None
for side in (32, 64, 128):
    cost = milliseconds(denoiser, (1, 3, side, side))
    base = base or cost
    print(f"{side:3} px: {cost:6.1f} ms a step, {cost / base:5.1f} times; pixels {(side / 32) ** 2:4.0f} times")

# %% [markdown]
# At 512 pixels there are 256 times as many pixels, and attention, which compares every place with every other one,
# grows with the square of that. So the many steps are taken where they are cheap, and the upsamplers, which need few,
# work without attention (section 2.1 of the paper).
#
# **What a picture shows is settled while it is small.** If the upsamplers changed what there is, the judge would see
# other facts in the large pictures. Shrunk to 32 pixels again, so that it can read them:

# %%
items = [item for item in (Scenes("test", seed=100)[i] for i in range(200)) if len(item.scene.things) < 3]
captions = [item.caption for item in items]
low, high = cascade.sizes[:2]
six = cascade.sample(captions[:6], seed=seed, size=high).images
shares = same_facts(judge.read(six[low]), judge.read(six[high]))
print({fact: f"{share.true} of {share.total}" for fact, share in shares.items()})

# %%
claims.check(f"{shares['scene'].true} of the six large pictures show what the small one did, fact by fact.",
             shares["scene"].true >= 5)

# %% [markdown]
# **One caption fits many pictures, and their mean is none of them.** That is the reason for $z_i$. Here are thirty
# renders that fit "a big red star", with every background and style. In the space of pixels, their mean is a blur. We
# also take the mean of their $z_i$, and let the decoder draw it, with four seeds:

# %%
wanted = Thing("star", "red", "big")
fitting = [Scene((wanted,), "alone", background, style, seed=n)
           for n, (background, style) in enumerate((b, s) for b in BACKGROUNDS for s in STYLES)]  # fmt: skip
pictures = torch.stack([to_tensor(render(scene, 32)) for scene in fitting]).to(device)
mean_z = cascade.clip.encode_image(pictures).mean(dim=0, keepdim=True)
decoded = decode(cascade, mean_z.repeat(4, 1), None, seed)
plots.show([*pictures[[0, 8, 22]], pictures.mean(dim=0), *decoded],
           ["one", "another", "a third", "mean of the pixels", *["from the mean z_i"] * 4], columns=8,
           side=96)  # fmt: skip

# %%
sure = judge.read(decode(cascade, mean_z.repeat(40, 1), None, seed))
kept = sum(wanted in scene.things for scene in sure)
settings = Counter((scene.background, scene.style) for scene in sure)
claims.check(f"{kept} of 40 drawings from the mean $z_i$ show a big red star: what the thirty have in common "
             f"survives. About the rest the decoder makes up its mind: {len(settings)} pairs of a background and a "
             "style.", kept >= 30)

# %% [markdown]
# A mean of pixels has to be everywhere at once. In CLIP's space, directions mean facts, so a mean of points there is
# still a point that says something.
#
# Written down, with $y$ the caption and $x$ the picture (section 2 of the paper):
#
# $$P(x \mid y) = P(x \mid z_i, y) \; P(z_i \mid y)$$
#
# It holds because $z_i$ is computed from $x$, so whoever knows $x$ knows both. The prior draws from the second factor:
# *what* should there be? The decoder draws from the first: *how* does that look, pixel by pixel?
#
# ## 3. Is the prior needed?
#
# The decoder reads the caption as well, so it can draw without any $z_i$: in training $z_i$ is dropped one time in ten
# and the caption every second time. How often both at once, and how often $z_i$ alone?

# %% tags=["nbval-check-output"]
z_dropped, caption_dropped = 0.1, 0.5
print(f"caption alone: {z_dropped * (1 - caption_dropped):.2f}, nothing at all: {z_dropped * caption_dropped:.2f}")

# %% [markdown]
# The paper compares three ways to draw a caption (section 5.1, Figure 8):
#
# - *caption only*: no $z_i$;
# - *$z_t$ as $z_i$*: the text embedding in the place of the image embedding. CLIP was trained to make the two similar;
# - *prior*: the full stack.
#
# All three from the same noise:

# %%
cascade.settings = replace(cascade.settings, prior_steps=8, decoder_steps=6, decoder_guidance=2.0)   # quick
ways = three_ways(cascade, captions[:6], seed)
rows = [image for images in ways.values() for image in images]
light(plots.show(rows, [name for name in ways for _ in range(6)], columns=6, side=96, seed=seed,
                 title="; ".join(captions[:6])))  # fmt: skip

# %% [markdown]
# How similar are the two kinds of embedding? We take the true pictures of sixty captions.

# %%
def cosine(a, b):
    return torch.cosine_similarity(a, b).mean().item()

sixty = items[:60]
z_t = cascade.encode_text([item.caption for item in sixty]).embed
true_z = cascade.clip.encode_image(renders(sixty, 32).to(device))
own, another = cosine(z_t, true_z), cosine(z_t, true_z.roll(1, 0))
print(f"cosine of z_t with its picture's z_i {own:.2f}, another's {another:.2f}")
print(f"mean length: z_t {z_t.norm(dim=1).mean():.1f}, z_i {true_z.norm(dim=1).mean():.1f}")

# %% [markdown]
# CLIP compares directions, so it never cared for lengths. The decoder sees the raw numbers. What happens to a $z_i$ of
# the wrong length? A failure on purpose: the true $z_i$ of two scenes, multiplied by some factors.

# %%
factors, originals = (0.1, 0.5, 1, 2, 4), renders(sixty[:2], 32)
shown = [decode(cascade, factor * true_z[:2], None, seed) for factor in factors]
rows = [image for i in range(2) for image in (originals[i], *(images[i] for images in shown))]
labels = ["the render", *(f"{factor:g} z_i" for factor in factors)] * 2
light(plots.show(rows, labels, columns=6, side=96, seed=seed))

# %% [markdown]
# So a fair comparison gives $z_t$ the length that the decoder is used to.
#
# ### Exercise 1: The right length · ●○○ easy · 4 minutes
#
# Keep the direction of each row of `z_t` (B, D), and give all of them one length: that which the rows of `z_i` (N, D)
# usually have, the root of their mean *squared* length.

# %% tags=["exercise"]
def scaled_like(z_t: torch.Tensor, z_i: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.scaled_like(scaled_like)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `z_t / z_t.norm(dim=1, keepdim=True)` has rows of length 1. The squared length of a row is `z.square().sum(dim=1)`.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def scaled_like(z_t: torch.Tensor, z_i: torch.Tensor) -> torch.Tensor:
#     length = z_i.square().sum(dim=1).mean().sqrt()
#     return z_t / z_t.norm(dim=1, keepdim=True) * length
# ```
#
# </details>
#
# The library's version takes the length from the prior, which knows mean and standard deviation of every axis of $z_i$.
# The mean square of an axis is mean$^2$ + std$^2$, and the squares of all axes add up:

# %%
ours, library = checks.scaled_like.reference(z_t, true_z), as_image_embedding(cascade, z_t)
assert torch.cosine_similarity(ours, library).min() > 0.9999
print(f"same directions; lengths {ours[0].norm():.2f} from sixty pictures, {library[0].norm():.2f} from the prior")

# %% [markdown]
# **Counting.** A few dozen captions that training never saw, one picture of each in each way, and the judge. `Study`
# is the helper with which `minunclip evaluate --suite paper` measures many more.

# %%
few = replace(QUICK, singles=60, groups=8, samples=6, guidances=(1, 2, 4, 8), draws=200)
study = Study(Bench(cascade, judge, items, seed), few)
said = [item.caption for item in study.singles]
codes = {"caption only": None, "z_t as z_i": as_image_embedding(cascade, z_t), "prior": study.embed(said)}
drawn = {name: torch.cat(list(study.pictures(said, z, name))) for name, z in codes.items()}
hits = {name: all_true(study.singles, study.read(images)) for name, images in drawn.items()}
shares = {name: Share(int(true.sum()), len(true)) for name, true in hits.items()}
for name, share in shares.items():
    print(f"{name:14} fidelity {share}")

# %%
by_prior, by_z_t, by_caption = (shares[name].value for name in ("prior", "z_t as z_i", "caption only"))
claims.check(f"With the prior {by_prior:.0%} of the captions come true, with $z_t$ as $z_i$ {by_z_t:.0%}, with the "
             f"caption only {by_caption:.0%}.", by_prior > by_z_t)

# %% [markdown]
# The brackets are 95% intervals, and with so few captions they are wide. But all three ways drew the *same* captions,
# and a hard caption is hard for all. So take the difference, caption by caption: 1 if only the prior got it right, -1
# if only the other did, 0 if there is nothing to choose.
#
# How sure is the mean of such numbers? The *bootstrap* (Efron, 1979) asks: if we had met other captions, how might it
# have come out? We have no others, so we draw sixty from our sixty, some twice and some not at all, take the mean, and
# do it a thousand times. The interval holds the middle 95% of these means. Six numbers by hand:

# %% tags=["nbval-check-output"]
values = np.array([1.0, 0.0, 0.0, 1.0, -1.0, 0.0])
for rows in resamples(6, seed=0, draws=4):
    print(rows, values[rows], f"mean {values[rows].mean():.2f}")

# %% [markdown]
# ### Exercise 2: An interval from the data itself · ●●○ medium · 7 minutes
#
# You get the values (n,) and a list of draws, each with n row numbers. Return the two ends between which 95% of the
# means lie: 2.5% are below the first, 2.5% above the second.

# %% tags=["exercise"]
def bootstrap_interval(values: np.ndarray, draws: list[np.ndarray]) -> tuple[float, float]:
    raise NotImplementedError

# %%
checks.bootstrap_interval(bootstrap_interval)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `values[rows].mean()` for each draw, and `np.quantile(means, (0.025, 0.975))`.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def bootstrap_interval(values: np.ndarray, draws: list[np.ndarray]) -> tuple[float, float]:
#     means = [values[rows].mean() for rows in draws]
#     low, high = np.quantile(means, (0.025, 0.975))
#     return float(low), float(high)
# ```
#
# </details>
#
# The library's `bootstrap` takes any statistic, not just the mean:

# %%
for name in ("caption only", "z_t as z_i"):
    gain = hits["prior"].astype(float) - hits[name]
    found = bootstrap(lambda rows, gain=gain: gain[rows].mean(), len(gain), seed=0)
    assert np.allclose(found.interval, checks.bootstrap_interval.reference(gain, resamples(len(gain), 0)))
    print(f"prior minus {name:14} {found}")

# %% [markdown]
# If an interval lies above zero, the prior wins by more than chance; if it holds zero, sixty captions cannot tell.
#
# **Another yardstick.** The judge's facts are not all that there is to a picture. The paper compares *sets* of
# pictures, with the FID: describe each picture by a list of features, fit a normal distribution to the features of the
# drawn set and one to those of true pictures, and measure how far the two are apart. For one feature (Fréchet, 1957):
#
# $$d = (\mu_1 - \mu_2)^2 + (\sigma_1 - \sigma_2)^2$$
#
# By hand, for a set that is shifted and one that is too narrow:

# %% tags=["nbval-check-output"]
for name, (mu, sigma) in {"the same": (0, 2), "shifted by 3": (3, 2), "too narrow": (0, 0.5)}.items():
    print(f"{name:13} {(mu - 0) ** 2 + (sigma - 2) ** 2:.2f}")

# %% [markdown]
# ### Exercise 3: The distance of two sets · ●●○ medium · 6 minutes
#
# For features `x` (N, D) and `y` (M, D), treat every axis on its own and add up all of them. Return a plain number.

# %% tags=["exercise"]
def frechet_diagonal(x: torch.Tensor, y: torch.Tensor) -> float:
    raise NotImplementedError

# %%
checks.frechet_diagonal(frechet_diagonal)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `x.mean(dim=0)` and `x.std(dim=0)` are (D,). `float(...)` makes a number of a tensor.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def frechet_diagonal(x: torch.Tensor, y: torch.Tensor) -> float:
#     means, stds = x.mean(dim=0) - y.mean(dim=0), x.std(dim=0) - y.std(dim=0)
#     return float(means.square().sum() + stds.square().sum())
# ```
#
# </details>
#
# Axes are seldom independent. The full formula has whole covariance matrices,
# $|\mu_1 - \mu_2|^2 + \mathrm{tr}(\Sigma_1 + \Sigma_2 - 2 (\Sigma_1 \Sigma_2)^{1/2})$, and that is the library's. With
# a single axis the two must agree:

# %%
g = torch.Generator().manual_seed(0)
x, y = torch.randn(50, 1, generator=g), 2 * torch.randn(40, 1, generator=g) + 1
assert abs(frechet_distance(x, y) - checks.frechet_diagonal.reference(x, y)) < 1e-4
print(f"one axis: {frechet_distance(x, y):.4f} by both")

# %% [markdown]
# FID takes the features of a network that was trained on photographs. Ours come from the judge. For scale, we also
# measure the distance of other true pictures: a small set is never at zero.

# %%
def features(images):
    return judge.features(images.to(device)).cpu()

truth, others = features(renders(study.singles, 32)), features(renders(items[60:120], 32))
distances = {name: frechet_distance(features(images), truth) for name, images in drawn.items()}
plots.bars(distances | {"other true pictures": frechet_distance(others, truth)}, "Frechet distance, judge's features")

# %% [markdown]
# The paper finds: 7.99 for the full stack, 16.55 for $z_t$ as $z_i$ (FID, smaller is better), and 9.16 for a decoder
# that was *trained* on $z_t$; people prefer the full stack to that one by 57 to 43. So the prior is needed, though the
# gain is no miracle. More captions say more. `minunclip evaluate --suite paper` found on this copy:

# %%
experiments.table("conditionings", "is the prior needed?")

# %% [markdown]
# Why should $z_t$ be a poor $z_i$ at all? For one, the two kinds of embedding do not lie in the same place:

# %%
of_pictures = cosine(true_z[::2], F.normalize(true_z[1::2], dim=1).mean(dim=0, keepdim=True))
of_captions = cosine(z_t, F.normalize(true_z, dim=1).mean(dim=0, keepdim=True))
claims.check(f"A picture has a cosine of {of_pictures:.2f} with the middle of other pictures, a caption one of "
             f"{of_captions:.2f}.", of_captions < of_pictures)

# %% [markdown]
# And $z_t$ says nothing of what the caption leaves open, as the mean of section 2 does; but no picture had such an
# embedding in training.
#
# ## 4. Fidelity against diversity
#
# Guidance of weight $w$ pushes every step away from what the decoder would draw without any condition
# (section 2.1; notebook 03 has the arrows):
#
# $$\hat x = x_\text{uncond} + w \, \big(x_\text{cond} - x_\text{uncond}\big)$$
#
# A caption with much freedom, "a red star", four seeds in each row. On the left the full stack, whose $z_i$ are drawn
# once and stay fixed while $w$ grows; on the right the decoder with the caption alone. This is the paper's Figure 9.

# %%
free, scales = ["a red star"] * 4, (1, 2, 4, 8, 16)
z_free, rows = study.embed(free), []
for w in scales:
    at = replace(cascade.settings, decoder_guidance=w)
    rows += [*decode(cascade, z_free, free, seed, settings=at), *decode(cascade, None, free, seed, settings=at)]
names = [f"{kind}, w = {w}" for w in scales for kind in ("stack", "caption") for _ in range(4)]
light(plots.show(rows, names, columns=8, side=96, seed=seed))

# %% [markdown]
# Guidance too high *saturates*: estimates are pushed beyond what a picture can be, and cut off. How many of the colour
# values lie at the limit?

# %%
strips = torch.stack(rows).unflatten(0, (len(scales), 2, 4))
limit = (strips.abs() > 0.98).float().mean(dim=(2, 3, 4, 5))
for w, (stack, alone) in zip(scales, limit.tolist(), strict=True):
    print(f"w = {w:2}: full stack {stack:.0%}, caption alone {alone:.0%}")

# %%
claims.check(f"At w = 16 {limit[-1, 0]:.0%} of the values of the full stack's pictures lie at the limit, at w = 1 "
             f"{limit[0, 0]:.0%}.", limit[-1, 0] > 2 * limit[0, 0])

# %% [markdown]
# With the caption alone, guidance sharpens the decoder's choice *among everything that the caption allows*: the typical
# wins. With $z_i$ the choice of background, style and so on has been made already, by the prior, which is not guided
# here. Guidance can only make the decoder truer to it.
#
# **Now in numbers.** Eight captions, six pictures of each, at four weights, for both. First, how good is the judge
# itself? Any picture that it misreads counts as false.

# %%
unseen = [Scenes("test", seed=1)[i] for i in range(200)]
read = judge.read(renders(unseen, 32).to(device))
print({fact: f"{share.value:.3f}" for fact, share in judge_accuracy([item.scene for item in unseen], read).items()})
print("fidelity that it finds in true pictures:", Share(int(all_true(unseen, read).sum()), len(unseen)))

# %%
weights = few.guidances
z_by_prior = {p: study.embed(study.group_captions, prior_guidance=p) for p in (1, 2, 4)}

def at_each(z_i, name):
    return [study.variety(z_i, f"{name}, {w:g}", decoder_guidance=w) for w in weights]

found = {"full stack": at_each(z_by_prior[1], "full stack"), "caption alone": at_each(None, "caption alone")}
rows = [{"model": name, "guidance": w, **{k: str(v) for k, v in point.row(seed).items()}}
        for name, curve in found.items() for w, point in zip(weights, curve, strict=True)]  # fmt: skip
Markdown(table_of("guidance of the decoder", rows))

# %% [markdown]
# Diversity is the effective number of different scenes per caption, in what the caption leaves open; style variability
# is that of the style alone. (There are six styles. The estimate corrects for the small number of pictures and may
# exceed that.) What would a perfect model reach with as few pictures?

# %%
most = possible(study)
print({name: str(estimate) for name, estimate in most.row(seed).items()})

# %%
def fidelities(curve):
    return [point.fidelity.mean() for point in curve]

def diversities(curve):
    return [effective_number(point.facts) for point in curve]

lines = {name: (fidelities(curve), diversities(curve)) for name, curve in found.items()}
plots.curves(lines | {"a perfect model": ([most.fidelity.mean()], diversities([most]))}, "fidelity",
             "diversity (guidance 1 to 8)")  # fmt: skip

# %% [markdown]
# Each line runs along the guidance. The best place is at the top right: to the right is what we pay guidance for, down
# is what it costs.

# %%
ends = {name: (diversities(curve)[0], diversities(curve)[-1]) for name, curve in found.items()}
lost = {name: 1 - last / first for name, (first, last) in ends.items()}
claims.check(f"From w = {weights[0]} to {weights[-1]} the diversity of the full stack falls from "
             f"{ends['full stack'][0]:.1f} to {ends['full stack'][1]:.1f}, that of the caption alone from "
             f"{ends['caption alone'][0]:.1f} to {ends['caption alone'][1]:.1f}.",
             lost["full stack"] < lost["caption alone"])

# %% [markdown]
# **To compare two models, compare them at the same fidelity.** A model that is more diverse because it does not listen
# is no better; notebook 01 had a painter like that. So find the weight at which each one reaches the same fidelity,
# and read off the diversity there. In the paper's Figure 10, GLIDE, a decoder with the caption alone, needs a guidance
# of 2.0 to be as good as unCLIP, and is then less varied.
#
# ### Exercise 4: The diversity at a level of fidelity · ●●● hard · 10 minutes
#
# `fidelity` and `diversity` are the points of one line, along its guidance. Find where the line *first* comes up to the
# level, going straight from point to point, and return the diversity there. A line may begin above the level; then
# return its first diversity. You may rely on it that some point reaches the level. Mind that fidelity may fall again.

# %% tags=["exercise"]
def diversity_at(level: float, fidelity: list[float], diversity: list[float]) -> float:
    raise NotImplementedError

# %%
checks.diversity_at(diversity_at)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Find the first point `i` with `fidelity[i] >= level`. The line crosses the level between the points `i - 1` and `i`;
# which share of the way from one to the other? Go the same share of the way in diversity.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def diversity_at(level: float, fidelity: list[float], diversity: list[float]) -> float:
#     i = next(i for i, value in enumerate(fidelity) if value >= level)
#     if i == 0:
#         return diversity[0]
#     share = (level - fidelity[i - 1]) / (fidelity[i] - fidelity[i - 1])
#     return diversity[i - 1] + share * (diversity[i] - diversity[i - 1])
# ```
#
# </details>
#
# The level: the highest fidelity that both reach, but at most 0.98.

# %%
level = min(0.98, *(max(fidelities(curve)) for curve in found.values()))
for name, curve in found.items():
    diversity = checks.diversity_at.reference(level, fidelities(curve), diversities(curve))
    print(f"{name:14} at fidelity {level:.2f}: diversity {diversity:.1f}")

# %% [markdown]
# The library does the same inside a bootstrap over the captions, so that the ratio has an interval as well:

# %%
for name, estimate in equal_fidelity(found, weights, seed).items():
    if name == "level" or "ratio" in name:
        print(f"{name:28} {estimate}")

# %% [markdown]
# A ratio above 1 says that the full stack is more varied at equal fidelity. Eight captions are few. What a hundred say:

# %%
experiments.table("guidance", "at equal fidelity")

# %% [markdown]
# ## 5. Two knobs
#
# The prior is a diffusion model as well, so it can be guided, too: towards $z_i$ that fit the caption better than
# most. The paper does not, because "guiding the prior hurt results" (section 5.5). Karlo, its best known copy, guides
# both. Let us see what each knob does. The same eight captions, now with three weights of the prior:

# %%
grid = {p: found["full stack"] if p == 1 else at_each(z_by_prior[p], f"prior {p}") for p in z_by_prior}
knobs = Knobs(tuple(grid), weights, np.array([fidelities(curve) for curve in grid.values()]),
              np.array([diversities(curve) for curve in grid.values()]))  # fmt: skip
plots.heatmap(torch.tensor(knobs.fidelity), [f"prior {p}" for p in grid], [f"{w}" for w in weights],
              "fidelity, by the decoder's guidance")  # fmt: skip

# %%
plots.heatmap(torch.tensor(knobs.diversity), [f"prior {p}" for p in grid], [f"{w}" for w in weights],
              "diversity, by the decoder's guidance", digits=1)  # fmt: skip

# %% [markdown]
# **Move both sliders.** Left, eight pictures of one caption and what the judge says of each. Right, where the two knobs
# stand on the measured lines. All of it was drawn beforehand; no kernel is needed.

# %% tags=["nbval-ignore-output"]
star = Item(fitting[0], "a red star", Statement((Thing("star", "red", None),)))
pictures = {}
for p in grid:
    z_star = study.embed(["a red star"] * 8, prior_guidance=p)
    for w in weights:
        at = replace(cascade.settings, decoder_guidance=w)
        pictures[p, w] = decode(cascade, z_star, ["a red star"] * 8, seed, settings=at)
knobs_grid(knobs, judge, star, pictures)

# %% [markdown]
# Follow one line: the decoder's knob. Jump between lines: the prior's. Then the live one, which needs a kernel. Choose
# a caption and set both knobs; between measured weights the dot goes straight from one to the next.

# %% tags=["nbval-ignore-output"]
KnobsExplorer(cascade, judge, [star, *study.groups[:5]], knobs)

# %% [markdown]
# Guiding the prior makes its $z_i$ more typical of the caption, and it is the prior that decides about everything
# which is left open.

# %%
unguided, strong = (knobs.diversity[i].mean() for i in (0, -1))
claims.check(f"With the prior guided by {max(grid)} the diversity is {strong:.1f} in the mean, unguided "
             f"{unguided:.1f}.", strong < unguided)

# %% [markdown]
# With many captions:

# %%
experiments.table("prior_guidance", "guidance of the prior")

# %% [markdown]
# ## 6. The best of several
#
# The paper has another way to make the prior listen: draw *two* candidates and keep the one with the larger
# $z_i \cdot z_t$ (section 2.2). With more candidates the similarity must rise. Does fidelity rise with it? Each set of
# candidates holds all smaller ones, and the gain is counted caption by caption, as in section 3.

# %%
first, z_t, near, gains = None, cascade.encode_text(said).embed, {}, {}
for n in (1, 2, 4, 8):
    z_i = study.embed(said, candidates=n)
    true = all_true(study.singles, study.read(study.pictures(said, z_i, f"best of {n}"))).astype(float)
    first = true if first is None else first
    near[n], gains[n] = cosine(z_i, z_t), bootstrap(lambda rows, gain=true - first: gain[rows].mean(), len(true), seed)
    print(f"best of {n}: cosine with z_t {near[n]:.3f}, fidelity {true.mean():.3f}, gain {gains[n]}")

# %%
claims.check(f"With eight candidates the cosine rises from {near[1]:.3f} to {near[8]:.3f}. The fidelity changes by "
             f"{gains[8].value:+.2f}, and its interval is {gains[8].interval[0]:+.2f} to "
             f"{gains[8].interval[1]:+.2f}: sixty captions are few.", near[8] > near[4] > near[2] > near[1])

# %% [markdown]
# Choosing works like guidance: it picks what is typical. CLIP can also be fooled by what only looks right to it, which
# notebook 10 shows; that is another reason to stop at two.
#
# ## 7. The cascade in tables
#
# Table 3 of the paper lists how each stage was built. Ours, read from the weights that are loaded:

# %%
def row_of(name, stage, steps, variance):
    config, process = stage.config, stage.config.diffusion
    width = f"{config.unet.channels} x {config.unet.mults}" if hasattr(config, "unet") else f"{config.width}"
    return {"stage": name, "parameters": f"{sum(p.numel() for p in stage.parameters()) / 1e6:.2f} M",
            "schedule": process.schedule, "steps in training": process.steps, "in sampling": steps, "sampler": variance,
            "predicts": process.target, "width": width}  # fmt: skip

rows = [row_of("prior", cascade.prior, s.prior_steps, s.sampler)]
rows += [row_of("decoder", cascade.decoder, s.decoder_steps, s.sampler)]
rows += [row_of(f"to {stage.config.size} px", stage, count, s.sampler)
         for stage, count in zip(cascade.upsamplers, s.upsampler_steps, strict=True)]  # fmt: skip
Markdown(table_of("this cascade", rows))

# %% [markdown]
# The paper's has 1 billion parameters in the prior, 3.5 billion in the decoder, 700 and 300 million in the upsamplers.
# It takes 64 steps (Analytic-DPM), 250 (learned variance), 27 and 15 (DDIM).
#
# Table 1 of the paper lets people compare unCLIP with GLIDE, once with each kind of prior. They found unCLIP's pictures
# about as photorealistic (48.9% of the votes with the diffusion prior, 47.1% with the autoregressive one), a little
# less true to the caption (45.3% and 41.1%), and far more diverse (70.5% and 62.6%). Our rows: the Fréchet distance
# stands for how real pictures look, the judge for the rest.

# %%
stacks = {"diffusion prior": study, "autoregressive prior": with_ar_prior(study), "caption alone": study}
print("not shipped:", [name for name, stack in stacks.items() if stack is None] or "nothing is missing")

# %%
rows = []
for name, stack in stacks.items():
    if stack is None:
        continue
    how = {"candidates": 1 if name.startswith("auto") else 2}            # the AR prior is told to draw a good fit
    start = time.perf_counter()
    one, many = [stack.embed(captions, **how) for captions in (said, stack.group_captions)]
    seconds = (time.perf_counter() - start) / (len(one) + len(many))
    one, many = (None, None) if name == "caption alone" else (one, many)
    images = torch.cat(list(stack.pictures(said, one, name)))
    rows.append({"z_i from": name, "Frechet distance": frechet_distance(features(images), truth),
                 **{k: str(v) for k, v in stack.variety(many, name).row(seed).items()},
                 "milliseconds for a z_i": 1000 * seconds if one is not None else None})  # fmt: skip
Markdown(table_of(f"at a decoder guidance of {cascade.settings.decoder_guidance:g}", rows))

# %% [markdown]
# ## Summary
#
# | | |
# | --- | --- |
# | hierarchy | a few numbers with a meaning, then a small picture, then large ones: $P(x \mid z_i, y)\,P(z_i \mid y)$ |
# | the mean of many pictures | a blur in pixels; in CLIP's space still something that can be drawn |
# | $z_t$ as $z_i$ | needs the right length, and even then is no picture's embedding |
# | same captions | compare models caption by caption; the bootstrap gives the interval |
# | Fréchet distance | how far two sets of pictures are apart; never zero for few |
# | decoder guidance | truer to $z_i$ and the caption; with the caption alone it costs variety |
# | prior guidance | variety is lost at its source |
# | fair comparison | diversity at the same fidelity |
# | best of $n$ | closer to $z_t$; a mild guidance without another network call in the decoder |
#
# ## Questions
#
# <details><summary>The full stack is guided 8-fold and still varied. Where does the variety come from?</summary>
#
# From the prior, which draws another $z_i$ for each picture and is not guided. The decoder's guidance works on
# $P(x \mid z_i, y)$ only, and makes each picture truer to its own $z_i$.
#
# </details>
#
# <details><summary>Model A has a fidelity of 0.9 and a diversity of 12, model B 0.8 and 15. Which is better?</summary>
#
# One cannot say. Give B more guidance until it reaches 0.9, and look what is left of its diversity.
#
# </details>
#
# <details><summary>Why is the interval of a difference narrower than that of each model alone?</summary>
#
# Much of the scatter comes from the captions: some are hard for every model. In a difference taken caption by caption
# this part cancels.
#
# </details>
#
# <details><summary>The Fréchet distance of a model is 20, that of other true pictures 15. Is the model bad?</summary>
#
# Not by these numbers. A distance between small sets has a large part that is due to their size, which is why true
# pictures are not at zero. Only sets of one size compare.
#
# </details>
#
# <details><summary>Why not train the decoder on z_t and save the prior?</summary>
#
# The paper tries it (section 5.1): FID 9.16 against 7.99 for the full stack. One $z_t$ belongs to many pictures, so the
# decoder has to choose among them by itself, and guidance then costs variety, as with the caption alone.
#
# </details>
#
# ## Where to read on
#
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125): section 2 for the two factors, 5.1 for the prior
#   (Figure 8), 5.2 for what people said (Table 1), 5.3 and 5.4 for diversity and FID (Figures 9 to 11, Table 2), 5.5
#   for guided priors, Table 3 for the sizes.
# - The code: [unclip.py](../minunclip/unclip.py) is section 1, [evaluation/](../minunclip/evaluation) has the
#   yardsticks, and [experiments/](../minunclip/experiments) measures all of it at full length.
# - Ho & Salimans, [Classifier-free diffusion guidance](https://arxiv.org/abs/2207.12598) (2022): the trade of variety
#   for fidelity. Nichol et al., [GLIDE](https://arxiv.org/abs/2112.10741) (2021): the decoder with the caption alone.
# - Heusel et al., [GANs trained by a two time-scale update rule](https://arxiv.org/abs/1706.08500) (2017): FID.
#   Efron, "Bootstrap methods: another look at the jackknife" (1979).
# - Ho et al., [Cascaded diffusion models](https://arxiv.org/abs/2106.15282) (2021): small pictures first.
# - [Notebook 10](10_playing_with_z.ipynb) plays with $z_i$ and what it leaves out.
