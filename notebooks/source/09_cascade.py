# %% [markdown]
# # 09 · The whole cascade: does it need all of its parts?
#
# A caption goes in, a picture comes out, and five networks stand in between. What would be lost without the prior?
# What does guidance cost? The paper had to pay people to compare photographs (section 5). Here the judge of notebook 01
# reads off every picture whether its caption came true.

# %%
import torch

import minunclip
from minunclip import experiments, plots
from minunclip.course import checks, claims
from minunclip.course import draw as drawings

# %%
torch.set_grad_enabled(False)                     # nothing is trained in this notebook
cascade, seed = minunclip.load("scenes"), 1
caption = "a big yellow star above a small blue moon at night"
drawing = cascade.sample([caption], seed=seed, keep_steps=True)
plots.cascade_figure(drawing)

# %% [markdown]
# **What you will see**
#
# 1. One caption on its way through all stages, and the same by hand.
# 2. Why there are several small models and not one large one.
# 3. Is the prior needed? Captions drawn without it, and with something else in its place.
# 4. Fidelity against diversity as guidance grows.
# 5. Two knobs, the prior's guidance and the decoder's, under two sliders.
# 6. The findings of the paper beside ours, in one table.
#
# **What you need to know before:** what CLIP, the prior and the decoder do (notebooks 02, 05 and 07; the tour tells it
# in short), what guidance is (04), and what fidelity and diversity mean here (01).
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("09_cascade")

# %% [markdown]
# Reading takes about 35 minutes, the exercises another 45. The fast path, 20 minutes: sections 1, 3 and 4, without the
# exercises.
#
# The large counts below come from `minunclip evaluate --suite paper`, which drew thousands of pictures with these
# weights. Small counts are made on the spot.

# %% tags=["nbval-ignore-output"]
drawings.cascade()

# %% [markdown]
# ## 1. All stages in one go
#
# What comes up on the way of our caption:

# %% tags=["nbval-check-output"]
s, text = drawing.settings, drawing.text
print("z_t   ", tuple(text.embed.shape), "and", text.tokens.shape[1], "tokens of", text.tokens.shape[2], "numbers")
print("z_i   ", tuple(drawing.z_i.shape), f"the better one of {s.candidates}, after {s.prior_steps} steps")
for side, images in drawing.images.items():
    print(f"{side:3} px", tuple(images.shape))

# %% [markdown]
# **The prior's steps** are lists of numbers. To see them, we hand its estimate of $z_i$ after some of the steps to the
# decoder, always with the same noise and without a caption. Below each picture is the cosine of that estimate with the
# $z_i$ that went on in the end.

# %%
from minunclip.evaluation import Judge, renders, same_facts, sharpness
from minunclip.manipulations import decode, draw, fresh

steps, z_t = drawing.steps["prior"], text.embed
ends = cascade.prior.unwhiten(steps[-1].x_t)
kept = int(cascade.clip.similarity(ends, z_t)[:, 0].argmax())             # the candidate that went on
chosen = [steps[i] for i in torch.linspace(0, len(steps) - 1, 7).round().int().tolist()]
estimates = torch.cat([cascade.prior.unwhiten(step.x_0[kept : kept + 1]) for step in chosen])
on_the_way = cascade.clip.similarity(estimates, drawing.z_i)[:, 0].tolist()
in_mind = draw(cascade, fresh(cascade, estimates, seed, same=True), steps=10, guidance=2.0)
told = [f"t = {step.t}: {cosine:.2f}" for step, cosine in zip(chosen, on_the_way, strict=True)]
plots.show(in_mind, told, columns=7, side=96, title="what the prior has in mind", seed=seed)

# %%
claims.check(f"The first estimate has a cosine of {on_the_way[0]:.2f} with the final $z_i$, the middle one "
             f"{on_the_way[3]:.2f}, the last {on_the_way[-1]:.2f}.",
             on_the_way[0] < on_the_way[3] - 0.02 and on_the_way[-1] > 0.99)
sharp = [sharpness(one[None]) for one in in_mind]
claims.check(f"The drawing from the first estimate is no blur: its neighbouring pixels differ by {sharp[0]:.2f}, "
             f"those of the last drawing by {sharp[-1]:.2f}.", sharp[0] > 0.7 * sharp[-1])  # drawn

# %% [markdown]
# The first estimate is made from pure noise and the caption: it is the mean of all $z_i$ that would fit. The decoder
# chooses by itself what the mean leaves open. Section 2 comes back to this.
#
# **The decoder's steps**, above the sample and below the estimate:

# %%
from minunclip.course.widgets.base import light                       # a picture in a third of the bytes

light(plots.film_strip(drawing.steps["decoder"], seed, side=96))

# %% [markdown]
# **The upsampler's steps** are few, because most of the picture is given. At the left is what it gets, enlarged by a
# formula (bicubic); then what it has after each of its steps.

# %%
from minunclip.upsampler import upsample

given = upsample(drawing.images[32], 128)[0]
after = [step.x_t[0] for step in drawing.steps["upsampler-1"]]
labels = ["enlarged, no network", *(f"after step {i + 1}" for i in range(len(after)))]
light(plots.show([given, *after], labels, columns=3, side=200, seed=seed))

# %% [markdown]
# **By hand.** All of it is four samplers in a row, with the seeds of the library: a hundred apart for each stage, so
# that caption, seed and stage decide everything.

# %%
from minunclip.diffusion import SAMPLERS, generators, last, noise_stream
from minunclip.unclip import best_of

def run(stage, denoiser, shape, first, count):
    noise = noise_stream(shape, generators(1000 * seed + first, shape[0]))
    return last(SAMPLERS[s.sampler](stage.diffusion, denoiser, noise, count))

n, width = s.candidates, cascade.prior.config.z_width
prior, decoder = cascade.prior_denoiser(text.repeat(n), s.prior_guidance), cascade.decoder_denoiser
candidates = run(cascade.prior, prior, (n, width), 0, s.prior_steps)
z_i = best_of(cascade.prior.unwhiten(candidates), z_t, n)
image = run(cascade.decoder, decoder(z_i, text, s.decoder_guidance), (1, 3, 32, 32), 100, s.decoder_steps).clamp(-1, 1)
for number, upsampler in enumerate(cascade.upsamplers):
    side, enlarge = upsampler.config.size, upsampler.denoiser(image)
    image = run(upsampler, enlarge, (1, 3, side, side), 200 + 100 * number, s.upsampler_steps[number]).clamp(-1, 1)
torch.testing.assert_close(image, drawing.image, atol=1e-3, rtol=1e-3)
print("equal to the library's picture:", tuple(image.shape))

# %% [markdown]
# Did the caption come true? The judge reads the facts off the small picture:

# %%
judge = Judge.from_pretrained("scenes")
scene = judge.read(drawing.images[32])[0]
print(*scene.things, scene.layout, scene.background, scene.style, sep="\n")

# %% [markdown]
# For all that follows: captions of one and two things that training never saw, and fewer steps, to be quick.

# %%
from dataclasses import replace

from minunclip.scenes import Scene, Scenes, Thing, render, to_tensor

items = [item for item in (Scenes("test", seed=100)[i] for i in range(200)) if len(item.scene.things) < 3]
captions = [item.caption for item in items]
cascade.settings = replace(s, prior_steps=8, decoder_steps=6, decoder_guidance=2.0)
print(len(captions), "captions, the first:", captions[0])

# %% [markdown]
# ## 2. Why a hierarchy?
#
# The title of the paper begins with "hierarchical". First a few numbers are settled, $z_i$, then a small picture, then
# larger ones. Why not draw the large picture at once?
#
# **It would cost too much.** How long does one step of each network take, and how many steps are there?

# %%
import time

def milliseconds(denoiser, shape):
    x_t, t = torch.randn(shape), torch.full((shape[0],), 500)
    denoiser(x_t, t)                                                     # once to warm up
    start = time.perf_counter()
    denoiser(x_t, t)
    return 1000 * (time.perf_counter() - start)

calls = {"prior": (cascade.prior_denoiser(text.repeat(n)), (n, width), s.prior_steps),
         "decoder, guided": (cascade.decoder_denoiser(z_i, text, 2.0), (1, 3, 32, 32), s.decoder_steps)}
for number, side in enumerate(cascade.sizes[1:]):
    denoiser = cascade.upsamplers[number].denoiser(drawing.images[cascade.sizes[number]])
    calls[f"to {side} px"] = denoiser, (1, 3, side, side), s.upsampler_steps[number]
for name, (denoiser, shape, count) in calls.items():
    numbers = torch.Size(shape).numel()
    print(f"{name:16} {numbers:8,} numbers, {count:2} steps of {milliseconds(denoiser, shape):6.1f} ms")

# %% [markdown]
# The decoder is a U-Net, so it also runs on a larger sheet of noise. It would draw nothing sensible there, but it shows
# the price:

# %%
for side in (32, 64, 128):
    price = milliseconds(decoder(z_i, text), (1, 3, side, side))
    print(f"{side:3} px, {(side // 32) ** 2:2} times the pixels: {price:6.1f} ms a step")

# %% [markdown]
# At 512 pixels there are 256 times as many. And attention compares every place with every other one, so its cost grows
# with the square of that. So the many steps are taken where they are cheap, and the upsamplers work without attention
# (section 2.1 of the paper).
#
# **What a picture shows is settled while it is small.** If the upsamplers changed what there is, the judge would see
# other facts in the large pictures (shrunk to 32 pixels again, so that it can read them):

# %%
six = cascade.sample(captions[:6], seed=seed, size=128).images
same = same_facts(judge.read(six[32]), judge.read(six[128]))
claims.check(f"{same['scene'].true} of the six large pictures show what the small one did, fact by fact.",
             same["scene"].true >= 5)  # drawn

# %% [markdown]
# **One caption fits many pictures, and their mean is none of them.** Here are thirty renders that fit "a big red star",
# with every background and style. The mean of their pixels is a blur. We also take the mean of their $z_i$, and let the
# decoder draw that, with four seeds:

# %%
from minunclip.scenes import BACKGROUNDS, STYLES

wanted = Thing("star", "red", "big")
fitting = [Scene((wanted,), "alone", background, style, seed=10 * i + j)
           for i, background in enumerate(BACKGROUNDS) for j, style in enumerate(STYLES)]
pictures = torch.stack([to_tensor(render(scene, 32)) for scene in fitting])
mean_z = cascade.clip.encode_image(pictures).mean(dim=0, keepdim=True)
from_mean = decode(cascade, mean_z.repeat(40, 1), None, seed)
plots.show([*pictures[[0, 8, 22]], pictures.mean(dim=0), *from_mean[:4]],
           ["one", "another", "a third", "mean of the pixels", *["from the mean z_i"] * 4], columns=8, side=96)

# %%
sure = judge.read(from_mean)
stars = sum(wanted in scene.things for scene in sure)
settings = {(scene.background, scene.style) for scene in sure}
claims.check(f"{stars} of 40 drawings from the mean $z_i$ show a big red star, which all thirty have in common. "
             f"Together they have {len(settings)} pairs of a background and a style.",
             stars >= 30 and len(settings) > 2)  # drawn

# %% [markdown]
# A mean of pixels shows a little of everything. In CLIP's space directions mean facts, so a mean of points there still
# says what all have in common, and the decoder is free in the rest.
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
# The decoder reads the caption as well, so it can draw without any $z_i$. In training $z_i$ was dropped one time in
# ten, and the caption every second time, each for itself. So one picture in twenty was drawn from the caption alone.
#
# The paper compares three ways to draw a caption (section 5.1, Figure 8). We add a fourth:
#
# - *the caption alone*: no $z_i$.
# - *z_t as z_i*: the text embedding in the place of the image embedding. CLIP was trained to make the two similar.
# - *z_t, moved*: captions and pictures lie in two different regions of CLIP's space. The vector from one middle to the
#   other is the *modality gap* (notebook 05). It is added to $z_t$.
# - *the prior*: the full stack.

# %% tags=["nbval-ignore-output"]
drawings.modality_gap()

# %%
import torch.nn.functional as F

from minunclip.manipulations import as_image_embedding, gap_between
from minunclip.training import embeddings

sixty, others = items[:60], items[60:120]
said = [item.caption for item in sixty]
z_texts = cascade.encode_text(said).embed
true_z = cascade.clip.encode_image(renders(sixty, 32))
own, another = (F.cosine_similarity(z_texts, z).mean().item() for z in (true_z, true_z.roll(1, 0)))
centre = F.normalize(cascade.clip.encode_image(renders(others, 32)), dim=1).mean(dim=0, keepdim=True)
of_z_i, of_z_t = (F.cosine_similarity(z, centre).mean().item() for z in (true_z, z_texts))
claims.check(f"A caption's cosine with its own picture is {own:.2f}, with another's {another:.2f}. A picture's cosine "
             f"with the middle of other pictures is {of_z_i:.2f}, a caption's only {of_z_t:.2f}.",
             own > another + 0.4 and of_z_i > of_z_t + 0.1)

# %% [markdown]
# CLIP compares directions, so it never cared for lengths. But the decoder sees the raw numbers. What does it do with a
# $z_i$ of the wrong length? The true $z_i$ of two scenes, multiplied by some factors:

# %%
factors, originals = (0.1, 0.5, 1, 2, 4), renders(sixty[:2], 32)
shown = [decode(cascade, factor * true_z[:2], None, seed) for factor in factors]
two_rows = [one for i in range(2) for one in (originals[i], *(each[i] for each in shown))]
light(plots.show(two_rows, ["the render", *(f"{factor:g} z_i" for factor in factors)] * 2, columns=6, side=96,
                 seed=seed))

# %%
right = {factor: same_facts([item.scene for item in sixty[:20]], judge.read(
    decode(cascade, factor * true_z[:20], None, seed)))["kind"].value for factor in (0.1, 1, 4)}
claims.check(f"At the true length {right[1]:.0%} of the kinds are right, at a tenth of it {right[0.1]:.0%}, at four "
             f"times the length {right[4]:.0%}.", right[1] > max(right[0.1], right[4]) + 0.2)  # drawn

# %% [markdown]
# So a fair comparison gives $z_t$ the length that the decoder is used to.
#
# ### Exercise 1: The right length · ●○○ easy · 4 minutes
#
# Keep the direction of each row of `z_t` (B, D), and give all rows one length: the one which the rows of `z_i` (N, D)
# usually have, the root of their mean *squared* length. The comparison below is drawn with it.

# %% tags=["exercise"]
def scaled_like(z_t: torch.Tensor, z_i: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
scaled_like = checks.mine(scaled_like)

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
# The library takes the usual length from the prior, which knows mean and spread of every axis of $z_i$:

# %%
as_z_i, library = scaled_like(z_texts, true_z), as_image_embedding(cascade, z_texts)
torch.testing.assert_close(F.normalize(as_z_i, dim=1), F.normalize(library, dim=1), atol=1e-4, rtol=1e-4)
print(f"same directions; lengths {as_z_i[0].norm():.2f} from sixty pictures, {library[0].norm():.2f} from the prior")

# %% [markdown]
# ### Exercise 2: Predict, then run · ●○○ easy · 3 minutes
#
# Put the four ways in order: which one makes most captions come true, and which one fewest? Write down your order and
# one reason. The next cells draw sixty captions that training never saw, one picture of each in each way, and let the
# judge count. `Study` is the helper that measures the paper suite.

# %%
from minunclip.evaluation import Bench
from minunclip.experiments import QUICK, Study, all_true

study = Study(Bench(cascade, judge, sixty, seed), replace(QUICK, singles=60))
gap = gap_between(*embeddings(cascade.clip, Scenes("train", seed=5), 500))
codes = {"the caption alone": None, "z_t as z_i": as_z_i,
         "z_t, moved": scaled_like(F.normalize(z_texts, dim=1) + gap, true_z), "the prior": study.embed(said)}
drawn = {name: torch.cat(list(study.pictures(said, z, name))) for name, z in codes.items()}
four_rows = [one for each in drawn.values() for one in each[:6]]
light(plots.show(four_rows, [name for name in drawn for _ in range(6)], columns=6, side=96, seed=seed,
                 title="; ".join(said[:6])))

# %%
from minunclip.evaluation import Share

hits = {name: all_true(sixty, study.read(images)) for name, images in drawn.items()}
counts = {name: Share(int(true.sum()), len(true)) for name, true in hits.items()}
for name, share in counts.items():
    print(f"{name:18} fidelity {share}")

# %% [markdown]
# The brackets are 95% intervals, and with so few captions they are wide. But all four ways drew the *same* captions,
# and a hard caption is hard for all. So take the difference, caption by caption: 1 if only the prior got it right, -1
# if only the other did, 0 if there is nothing to choose.
#
# How sure is the mean of such numbers? The *bootstrap* (Efron, 1979) asks: if we had met other captions, how might it
# have come out? We have no others, so we draw sixty from our sixty, some twice and some not at all, and take the mean.
# We do it a thousand times. The interval holds the middle 95% of these means. Six numbers by hand:

# %% tags=["nbval-check-output"]
import numpy as np

from minunclip.evaluation import bootstrap, resamples

values = np.array([1.0, 0.0, 0.0, 1.0, -1.0, 0.0])
for redrawn in resamples(6, seed=0, draws=4):
    print(redrawn, values[redrawn], f"mean {values[redrawn].mean():.2f}")

# %% [markdown]
# ### Exercise 3: An interval from the data itself · ●●○ medium · 7 minutes
#
# You get the values (n,) and a list of draws, each with n row numbers. Return the two ends between which 95% of the
# means lie: 2.5% are below the first, 2.5% above the second.

# %% tags=["exercise"]
def bootstrap_interval(values: np.ndarray, draws: list[np.ndarray]) -> tuple[float, float]:
    raise NotImplementedError

# %%
bootstrap_interval = checks.mine(bootstrap_interval)

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
# The prior's gain over the other ways, with your intervals. The library's `bootstrap` takes any statistic, not just the
# mean, and must agree:

# %%
intervals = {}
for name in ("the caption alone", "z_t as z_i", "z_t, moved"):
    gain = hits["the prior"].astype(float) - hits[name]
    low, high = intervals[name] = bootstrap_interval(gain, resamples(60, seed=0))
    assert np.allclose((low, high), bootstrap(lambda rows, gain=gain: gain[rows].mean(), 60, seed=0).interval)
    verdict = "more than chance" if low > 0 else "sixty captions cannot tell"
    print(f"the prior's gain over {name:18} {gain.mean():+.2f} ({low:+.2f} to {high:+.2f}): {verdict}")

# %% [markdown]
# **Another measure.** The judge's facts are not all that there is to a picture. The paper compares *sets* of pictures,
# with the FID. Each picture is described by a list of features. One normal distribution is fitted to the features of
# the drawn set and one to those of true pictures. For one feature, their distance is (Fréchet, 1957):
#
# $$d = (\mu_1 - \mu_2)^2 + (\sigma_1 - \sigma_2)^2$$

# %% tags=["nbval-check-output"]
for name, (mu, sigma) in {"the same": (0, 2), "shifted by 3": (3, 2), "too narrow": (0, 0.5)}.items():
    print(f"{name:13} {(mu - 0) ** 2 + (sigma - 2) ** 2:.2f}")

# %% [markdown]
# ### Exercise 4: The distance of two sets · ●●○ medium · 6 minutes
#
# For features `x` (N, D) and `y` (M, D), treat every axis on its own and add up all of them. Return a plain number.

# %% tags=["exercise"]
def frechet_diagonal(x: torch.Tensor, y: torch.Tensor) -> float:
    raise NotImplementedError

# %%
frechet_diagonal = checks.mine(frechet_diagonal)

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
# a single axis the two agree:

# %%
from minunclip.evaluation import complete, frechet_distance

g = torch.Generator().manual_seed(0)
x, y = torch.randn(50, 1, generator=g), 2 * torch.randn(40, 1, generator=g) + 1
assert abs(frechet_distance(x, y) - frechet_diagonal(x, y)) < 1e-4
print(f"one axis: {frechet_distance(x, y):.4f} by both")

# %% [markdown]
# **Predict, then run.** FID takes the features of a network that was trained on photographs. Ours come from the judge.
# What distance would a *perfect* model have? Not zero: it draws other pictures than the true ones. We let it draw the
# sixty captions, too. It renders scenes in which the caption is true, and picks at random whatever the caption leaves
# open. And true pictures of sixty *other* captions: will they be nearer or farther?

# %%
rng = np.random.default_rng(seed)
perfect = torch.stack([to_tensor(render(complete(item.statement, rng), 32)) for item in sixty])
truth = judge.features(renders(sixty, 32))
sets = {**drawn, "a perfect model": perfect, "true, of other captions": renders(others, 32)}
far = {name: frechet_distance(judge.features(images), truth) for name, images in sets.items()}
plots.bars(far, "Frechet distance from sixty true pictures, judge's features")

# %%
floor, strangers = far["a perfect model"], far["true, of other captions"]
claims.check(f"A perfect model is {floor:.0f} away from the true pictures of the same captions. True pictures of "
             f"other captions are {strangers:.0f} away.", 0.1 * strangers < floor < strangers)

# %% [markdown]
# So the floor of this measure is the perfect model, and not "true pictures": those show other things. And a distance
# only means something beside another one, of sets of the same size.
#
# **With many captions.** The suite took these ways, and some more:
#
# - *a decoder trained with noise*: the finished decoder went on learning, from $z_i$ with as much noise as $z_t$ is
#   away from its picture.
# - *regression*: the prior's network answers at once with the mean $z_i$ of a caption, as in
#   [ECLIPSE](https://arxiv.org/abs/2312.04655) (Patel et al., 2023).
# - *the autoregressive prior* of notebook 06.

# %%
experiments.table("routes", "the routes from caption to z_i")

# %%
def route(name, column="fidelity, one picture a caption"):
    return experiments.number("routes", "the routes from caption to z_i", column, route=name)

alone, raw, over_gap = route("the caption alone"), route("z_t"), route("z_t, moved over the gap")
best = route("diffusion prior, best of 2")
claims.check(f"With the prior {best:.0%} of the captions come true, with the caption alone {alone:.0%}, with $z_t$ as "
             f"$z_i$ {raw:.0%}, and with $z_t$ moved over the gap {over_gap:.0%}.",
             best > max(alone, raw, over_gap) and min(alone, raw, over_gap) > 0.3)  # drawn

# %%
claims.check(f"The diversity is {route('diffusion prior, best of 2', 'diversity'):.1f} with the prior, "
             f"{route('the caption alone', 'diversity'):.1f} with the caption alone and "
             f"{route('z_t', 'diversity'):.1f} with $z_t$ as $z_i$.",
             route("diffusion prior, best of 2", "diversity") > 1.1 * route("the caption alone", "diversity"))  # drawn

# %% [markdown]
# The paper measured the FID of small models: 7.99 for the full stack, 16.55 for $z_t$ as $z_i$, and 9.16 for a decoder
# that was *trained* on $z_t$. People found the full stack more photorealistic than that one 57% of the time. So the
# prior is needed, though the gain is no miracle. Finding by finding, with our numbers from the table:

# %%
experiments.beside_the_paper("5.1")

# %% [markdown]
# ## 4. Fidelity against diversity
#
# Guidance of weight $w$ pushes every step away from what the decoder would draw without any condition (section 2.1;
# notebook 04 has the arrows):

# %% tags=["nbval-ignore-output"]
drawings.guidance()

# %% [markdown]
# **Predict, then run.** A caption with much freedom, "a red star", four seeds in each row. At the left the full stack:
# its $z_i$ are drawn once and stay fixed while $w$ grows. At the right the decoder with the caption alone. Which side
# will become monotonous first? The paper's Figure 9 does this from $w = 1$ to 4; we go on to 16.

# %%
free, scales = ["a red star"] * 4, (1, 2, 4, 8, 16)
z_free, strips = study.embed(free), []
for w in scales:
    at = replace(cascade.settings, decoder_guidance=w)
    strips += [decode(cascade, z_free, free, seed, settings=at), decode(cascade, None, free, seed, settings=at)]
below = [f"{kind}, {w}" for w in scales for kind in ("stack", "caption") for _ in range(4)]
light(plots.show(torch.cat(strips), below, columns=8, side=96, seed=seed))

# %%
limit = (torch.stack(strips).abs() > 0.98).float().mean(dim=(1, 2, 3, 4)).view(len(scales), 2)
claims.check(f"At w = 16 {limit[-1, 0]:.0%} of the colours of the full stack are cut off at the limit, at w = 1 "
             f"{limit[0, 0]:.0%}. With the caption alone it is {limit[-1, 1]:.0%} and {limit[0, 1]:.0%}.",
             limit[-1, 0] > 1.5 * limit[0, 0])  # drawn

# %% [markdown]
# Guidance too high *saturates*: estimates are pushed beyond what a picture can be, and cut off. The full stack breaks
# first. Its condition says more than a caption, so the difference that $w$ multiplies is larger.
#
# With the caption alone, guidance sharpens the decoder's choice *among everything that the caption allows*, so the
# typical wins. With $z_i$ the choice of background and style has been made already, by the prior, which is not guided
# here. Guidance can only make the decoder truer to it.
#
# **In numbers**: a hundred captions, sixteen pictures of each. Diversity is the effective number of different scenes
# per caption, in what the caption leaves open. How much could there be? The suite also counts the scenes of a perfect
# model, in the same way.

# %%
def curve(model, column):
    rows = experiments.rows("guidance", "guidance of the decoder")
    return [row[column] for row in rows if row["model"] == model]

models = ("full stack", "caption alone")
weights = curve("full stack", "guidance")
fidelities, diversities = ({model: curve(model, column) for model in models} for column in ("fidelity", "diversity"))
[most] = experiments.rows("guidance", "the most that there can be")
lines = {model: (fidelities[model], diversities[model]) for model in models}
plots.curves(lines | {"a perfect model": ([most["fidelity"]], [most["diversity"]])}, "fidelity",
             f"diversity (guidance {weights[0]} to {weights[-1]})")

# %% [markdown]
# Each line runs along the guidance. The best place is at the top right: to the right is what guidance is for, down is
# what it costs.

# %%
lost = {model: 1 - line[-1] / line[0] for model, line in diversities.items()}
claims.check(f"From w = {weights[0]} to {weights[-1]} the full stack loses {lost['full stack']:.0%} of its diversity, "
             f"the caption alone {lost['caption alone']:.0%}.",
             lost["full stack"] < lost["caption alone"] - 0.1)  # drawn
peak, end = max(fidelities["full stack"]), fidelities["full stack"][-1]
claims.check(f"The fidelity of the full stack is {peak:.2f} at its best, and {end:.2f} at w = {weights[-1]}.",
             end > peak - 0.05)  # drawn

# %%
experiments.beside_the_paper("5.3")

# %% [markdown]
# **To compare two models, compare them at the same fidelity.** A model that is more diverse because it does not listen
# is no better; notebook 01 had a painter like that. So find the weight at which each one reaches the same fidelity, and
# read off the diversity there. In the paper's Figure 10, GLIDE, a decoder with the caption alone, needs a guidance of
# 2.0 to be as good as unCLIP, and is then less varied.
#
# Somebody reads the diversity off a line with one call. The points are those of a model whose fidelity rises with
# guidance, and falls again when there is too much of it:

# %% tags=["nbval-check-output"]
def by_interpolation(level, fidelity, diversity):
    return float(np.interp(level, fidelity, diversity))

rises_and_falls, falls = [0.60, 0.80, 0.70], [10.0, 6.0, 3.0]
for level in (0.60, 0.65, 0.70, 0.75, 0.80):
    print(f"fidelity {level:.2f}: diversity {by_interpolation(level, rises_and_falls, falls):.1f}")

# %% [markdown]
# Up to 0.70 that is right. At 0.75 the line has a diversity of 7, and at 0.80 of 6, and the call says 3.
#
# ### Exercise 5: Find the bug · ●●● hard · 10 minutes
#
# What is wrong? Write it as it should be: find where the line *first* comes up to the level, going straight from point
# to point, and return the diversity there. A line may begin above the level; then return its first diversity. You may
# rely on it that some point reaches the level.

# %% tags=["exercise"]
def diversity_at(level: float, fidelity: list[float], diversity: list[float]) -> float:
    raise NotImplementedError

# %%
diversity_at = checks.mine(diversity_at)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `np.interp` wants its points in rising order, and gives nonsense without a word if they are not. Find the first point
# `i` with `fidelity[i] >= level`. The line crosses the level between the points `i - 1` and `i`. Which share of the way
# is that? Go the same share of the way in diversity.
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
# With your function: the level is the highest fidelity that both models reach, but at most 0.98.

# %%
level = min(0.98, *(max(line) for line in fidelities.values()))
there = {model: diversity_at(level, fidelities[model], diversities[model]) for model in models}
claims.check(f"At a fidelity of {level:.2f} the full stack shows {there['full stack']:.1f} scenes per caption, the "
             f"caption alone {there['caption alone']:.1f}.",
             there["full stack"] > 1.2 * there["caption alone"])  # drawn

# %% [markdown]
# The suite does the same inside a bootstrap over the captions, so that every number has an interval:

# %%
experiments.table("guidance", "at equal fidelity")

# %% [markdown]
# ## 5. Two knobs
#
# The prior is a diffusion model as well, so it can be guided, too: towards $z_i$ that fit the caption better than
# most. The paper does not do it, because "guiding the prior hurt results" (section 5.5). Karlo, its best known copy,
# guides both.
#
# **Predict, then move both sliders.** Left, eight pictures of one caption and what the judge says of each. Which knob
# makes them alike? Right, what the suite measured: a line for the decoder's knob with the prior unguided, and points
# for the prior's knob. All of it was drawn beforehand; no kernel is needed.

# %% tags=["nbval-ignore-output"]
from minunclip.course.widgets.cascade import Knobs, KnobsExplorer, knobs_grid
from minunclip.scenes import Item, Statement

by_prior = experiments.rows("prior_guidance", "guidance of the prior")
knobs = Knobs.measured(experiments.rows("guidance", "guidance of the decoder"), by_prior, s.decoder_guidance)
star = Item(fitting[0], "a red star", Statement((Thing("star", "red", None),)))
pages = {}
for p in knobs.prior:
    z_star = study.embed(["a red star"] * 8, prior_guidance=p)
    for w in (1, 3, 8):
        at = replace(cascade.settings, decoder_guidance=w)
        pages[p, w] = decode(cascade, z_star, ["a red star"] * 8, seed, settings=at)
knobs_grid(knobs, judge, star, pages)

# %% [markdown]
# With a kernel you can choose a caption and set both knobs:

# %% tags=["nbval-ignore-output"]
KnobsExplorer(cascade, judge, [star, *sixty[:5]], knobs)

# %%
experiments.table("prior_guidance", "guidance of the prior")

# %%
weak, strong = by_prior[0], by_prior[-1]
claims.check(f"Guiding the prior from {weak['guidance']} to {strong['guidance']} takes the diversity from "
             f"{weak['diversity']:.1f} to {strong['diversity']:.1f}, and the fidelity from {weak['fidelity']:.2f} to "
             f"{strong['fidelity']:.2f}.", strong["diversity"] < 0.9 * weak["diversity"])  # drawn

# %%
experiments.beside_the_paper("5.5")

# %% [markdown]
# Guiding the prior makes its $z_i$ more typical of the caption. It decides about everything that the caption leaves
# open, so variety is lost at its source.
#
# ### Exercise 6: Design an experiment · ●●○ medium · 15 minutes
#
# The paper makes the prior listen in another way. It draws *two* candidates and keeps the one with the larger
# $z_i \cdot z_t$ (section 2.2). Would eight be better than two? `study.embed(said, candidates=n)` draws them. Write
# down what you would measure besides fidelity, what must stay the same, how you would know that a difference is no
# chance, and what speaks against a large $n$. Then do it.
#
# <details><summary>One way to do it</summary>
#
# ```python
# first = None
# for n in (1, 2, 4, 8):
#     z_i = study.embed(said, candidates=n)
#     true = all_true(sixty, study.read(study.pictures(said, z_i, f"best of {n}"))).astype(float)
#     first = true if first is None else first
#     low, high = bootstrap_interval(true - first, resamples(60, seed=0))
#     near = F.cosine_similarity(z_i, z_texts).mean()
#     print(f"best of {n}: cosine {near:.3f}, gain {(true - first).mean():+.2f} ({low:+.2f} to {high:+.2f})")
# ```
#
# Captions, seeds and the decoder's noise stay the same, and each set of candidates holds all smaller ones. The gain is
# counted caption by caption. Diversity should be measured, too: choosing works like guidance, it picks what is typical.
# And a large $n$ looks for what CLIP likes best, which need not be the best picture.
#
# </details>
#
# The cosine must rise, because the choice goes by it. With the suite's 500 captions:

# %%
near = {n: F.cosine_similarity(study.embed(said, candidates=n), z_texts).mean().item() for n in (1, 2, 4)}
claims.check(f"The cosine with $z_t$ is {near[1]:.3f} for one candidate, {near[2]:.3f} for the better of two and "
             f"{near[4]:.3f} for the best of four.", near[1] < near[2] < near[4])

# %%
experiments.table("rerank", "the best of several z_i")

# %% [markdown]
# ## 6. The findings in one table
#
# Table 1 of the paper lets people compare unCLIP with GLIDE, once with each kind of prior. They found unCLIP's pictures
# about as photorealistic (48.9% of the votes with the diffusion prior, 47.1% with the autoregressive one), a little
# less true to the caption (45.3% and 41.1%), and far more diverse (70.5% and 62.6%). Our two priors on one decoder:

# %%
experiments.table("two_priors", "the two priors")

# %% [markdown]
# And everything that can be compared. The last column says why a toy may differ:

# %%
experiments.signs_table()

# %% [markdown]
# Table 3 of the paper lists how each stage was built. Ours, read from the weights that are loaded:

# %% tags=["nbval-check-output"]
stages = {"prior": cascade.prior, "decoder": cascade.decoder, "to 128 px": cascade.upsamplers[0],
          "to 512 px": cascade.upsamplers[1]}
steps_of = (s.prior_steps, s.decoder_steps, *s.upsampler_steps)
for (name, network), count in zip(stages.items(), steps_of, strict=True):
    process, size = network.config.diffusion, sum(p.numel() for p in network.parameters()) / 1e6
    print(f"{name:10} {size:.2f} M parameters, {process.schedule} schedule, predicts {process.target}, {count} of "
          f"{process.steps} steps")

# %% [markdown]
# The paper's has 1 billion parameters in the prior, 3.5 billion in the decoder, 700 and 300 million in the upsamplers.
# It takes 64 steps (Analytic-DPM), 250 (learned variance), 27 and 15 (DDIM).
#
# ## Summary
#
# | | |
# | --- | --- |
# | hierarchy | a few numbers with a meaning, then a small picture, then large ones: $P(x \mid z_i, y)\,P(z_i \mid y)$ |
# | the mean of many pictures | a blur in pixels; in CLIP's space still something that can be drawn |
# | $z_t$ as $z_i$ | needs the right length, and even then lies where no picture's embedding is |
# | same captions | compare models caption by caption; the bootstrap gives the interval |
# | Fréchet distance | how far two sets of pictures are apart; its floor is a perfect model's, not zero |
# | decoder guidance | truer to $z_i$ and the caption; with the caption alone it costs variety |
# | prior guidance | variety is lost at its source |
# | fair comparison | diversity at the same fidelity |
#
# **What you can do now:** run the cascade stage by stage, say what each stage is good for, and compare two models so
# that the comparison means something. Whose code was it?

# %% tags=["nbval-ignore-output"]
checks.in_use()

# %% [markdown]
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
# <details><summary>The Fréchet distance of a model is 20, that of a perfect model 15. Is the model bad?</summary>
#
# No. A distance between small sets has a large part that is due to their size, which is why a perfect model is not at
# zero. Of the 20, at most 5 are the model's fault.
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
# <details><summary>The decoder is given z_t in the place of z_i and draws nonsense. Name two possible causes.</summary>
#
# $z_t$ may have another length than $z_i$. And it may differ along axes on which pictures hardly vary: there the
# decoder, which learned from pictures only, sees numbers that it has never met.
#
# </details>
#
# <details><summary>P(x | y) = P(x | z_i, y) P(z_i | y). Why is there no sum over all z_i?</summary>
#
# Because $z_i$ follows from $x$. For a given picture only one $z_i$ is possible.
#
# </details>
#
# <details><summary>Which stage would you guide if you wanted many different pictures that are all true?</summary>
#
# The decoder. Its guidance works on one $z_i$ at a time, and leaves the choice among them alone.
#
# </details>
#
# <details><summary>The bootstrap draws captions, not pictures. Why?</summary>
#
# A second picture of the same caption tells less than one of another caption. The question is how other captions might
# have come out, so captions must be redrawn, with all of their pictures.
#
# </details>
#
# <details><summary>The caption names two things, and the picture shows three. Which stage erred?</summary>
#
# Let the decoder draw the same $z_i$ several times. If all pictures show three things, it was the prior, and if only
# some do, the decoder. The upsamplers keep what they are given.
#
# </details>
#
# ## Where to read on
#
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125): section 2 for the two factors, 5.1 for the prior
#   (Figure 8), 5.2 for what people said (Table 1), 5.3 and 5.4 for diversity and FID (Figures 9 to 11, Table 2), 5.5
#   for guided priors, Table 3 for the sizes.
# - The code: [unclip.py](../minunclip/unclip.py) is section 1, [evaluation/](../minunclip/evaluation) has the measures,
#   and [experiments/](../minunclip/experiments) is the paper suite.
# - Ho & Salimans, [Classifier-free diffusion guidance](https://arxiv.org/abs/2207.12598) (2022): the trade of variety
#   for fidelity. Nichol et al., [GLIDE](https://arxiv.org/abs/2112.10741) (2021): the decoder with the caption alone.
# - Heusel et al., [GANs trained by a two time-scale update rule](https://arxiv.org/abs/1706.08500) (2017): FID.
#   Efron, "Bootstrap methods: another look at the jackknife" (1979).
# - Ho et al., [Cascaded diffusion models](https://arxiv.org/abs/2106.15282) (2021): small pictures first. Liang et al.,
#   [Mind the gap](https://arxiv.org/abs/2203.02053) (2022): where captions and pictures lie.
# - [Notebook 10](10_playing_with_z.ipynb) plays with $z_i$ and what it leaves out.
