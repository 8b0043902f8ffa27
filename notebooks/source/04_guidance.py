# %% [markdown]
# # 04 · Pictures and guidance
#
# Why does a picture drawn "with guidance 8" look so sure of itself, and so much like the next one? In this notebook
# you train a diffusion model on real pixels, see why its first samples are noise, and turn the knob called *guidance*:
# first in the plane of notebook 03, where every arrow can be seen, then on the finished decoder.

# %%
import torch

import minunclip
from minunclip import plots
from minunclip.course import checks, claims
from minunclip.diffusion import Diffusion, DiffusionConfig, ddim, generators, guided, guided_within, last, noise_stream

# %%
torch.set_grad_enabled(False)                     # on again wherever something is trained
cascade = minunclip.load("scenes")
caption = "a big yellow star on a meadow"
text = cascade.encode_text([caption])
z_i = cascade.embed(text).finish()

def decode(w, seed=0):
    noise = noise_stream((1, 3, 32, 32), generators(seed, 1))
    return last(ddim(cascade.decoder.diffusion, cascade.decoder_denoiser(z_i, text, w), noise, 15)).clamp(-1, 1)

scales = (0, 1, 2, 4, 8, 20)
pictures = {w: decode(w)[0] for w in scales}
plots.show([*pictures.values()], [f"w = {w}" for w in scales], columns=6, side=96, title=caption, seed=0)

# %% [markdown]
# One caption, one seed, six values of the knob. What does $w$ do, and why is more of it not always better?
#
# **What you will see**
#
# 1. Guidance in the plane, drawn as a field of arrows.
# 2. Pictures, and what noise does to them.
# 3. A U-Net of your own. Its first samples are noise. What loss is low enough?
# 4. The finished decoder, and too much guidance.
# 5. Why unCLIP's image embedding is no compressed picture.
#
# **What you need to know before:** notebook 03, above all $x_t$, $x_0$ and DDIM.
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("04_guidance")

# %% [markdown]
# Reading takes about 30 minutes, the exercises another 20. The fast path, 15 minutes: sections 1 and 4.
#
# ## 1. Guidance in the plane
#
# Notebook 03 had nine clusters of points, three for each of the captions "blue", "red" and "green". Now the network is
# told the caption $y$, except one time in five, when it sees `NOTHING` in its place. So one network learns both: points
# of a caption, and points in general. (The paper drops the image embedding 10% of the time and the caption 50%,
# section 2.1.)

# %%
from minunclip.course.plane import NAMES, NOTHING, PointNet, draw, fidelity, fit, in_a_cluster, nearest
from minunclip.plots import Panel, lattice, plane

def with_captions(count, rng):
    x_0, y = draw(count, rng)
    return x_0, torch.where(torch.rand(count, generator=rng) < 0.2, NOTHING, y)

torch.manual_seed(0)
limited, model = Diffusion(DiffusionConfig(target="v", clip=2.5)), PointNet()
losses = list(fit(limited, model, with_captions, 2000))
print(f"mean loss of the last 100 steps {sum(losses[-100:]) / 100:.3f}")

# %% [markdown]
# At every place of the plane there are now two answers: the way out of the noise in general, and the way that a blue
# point would take. **Classifier-free guidance** ([Ho & Salimans, 2022](https://arxiv.org/abs/2207.12598)) takes their
# difference and goes $w$ times as far:
#
# $$\hat\epsilon = \epsilon(x_t) + w\, \big(\epsilon(x_t \mid y) - \epsilon(x_t)\big)$$
#
# The same formula serves for $v$ and $x_0$ (a question at the end asks why).
#
# ### Exercise 1: Guidance · ●○○ easy · 2 minutes
#
# `uncond` is the prediction without the caption, `cond` the one with it. If it is right, all guidance from here on is
# yours, that of the finished decoder too.

# %% tags=["exercise"]
def guide(uncond: torch.Tensor, cond: torch.Tensor, w: float) -> torch.Tensor:
    raise NotImplementedError

# %%
guide = checks.mine(guide)

# %% [markdown]
# <details><summary>Hint</summary>
#
# At $w = 1$ nothing but `cond` must be left. (Some papers write $1 + w$ for our $w$.)
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def guide(uncond: torch.Tensor, cond: torch.Tensor, w: float) -> torch.Tensor:
#     return uncond + w * (cond - uncond)
# ```
#
# </details>
#
# The arrows of both, their difference, and what comes of it at $w = 4$:

# %%
points, labels = draw(600, torch.Generator().manual_seed(0))
tails, at = lattice(), torch.full((144,), 400)
uncond, cond = model(tails, at), model(tails, at, torch.zeros(144, dtype=torch.int64))
way_out = {name: -limited.solve(v, tails, at)[1] for name, v in
           {"in general": uncond, "blue": cond, "w = 4": guide(uncond, cond, 4)}.items()}
way_out["blue - in general"] = way_out["blue"] - way_out["in general"]
noised = limited.q_sample(points, at[:1].expand(600), torch.randn(600, 2, generator=torch.Generator().manual_seed(1)))
plane({name: Panel(noised, labels, (tails, way_out[name])) for name in
       ("in general", "blue", "blue - in general", "w = 4")}, side=2.4)

# %% [markdown]
# (Each panel has its own scale for the arrows.) The difference points away from whatever speaks against blue. Where
# there is nothing but blue, far up, it is small. Between the captions it is large.
#
# The library wraps a network so that a sampler does not notice. `guided` asks both questions at once, in a batch of
# twice the size whose first half has no caption:

# %%
def guided_by(y, w):
    """A denoiser for the captions y (N,), guided with w."""
    both = torch.cat([torch.full_like(y, NOTHING), y])
    return guided(lambda x_t, t: model(x_t, t, both), w)

blue = torch.zeros(144, dtype=torch.int64)
torch.testing.assert_close(guided_by(blue, 4)(tails, at), uncond + 4 * (cond - uncond), atol=1e-4, rtol=1e-4)
print("equal")

# %% [markdown]
# ### Exercise 2: Find the bug · ●○○ easy · 5 minutes
#
# A batch of twice the size: it is easy to take the halves apart in the wrong way. Here is somebody's version. It does
# not crash, and at one value of $w$ between 0 and 1 it even gives the right answer. Here are its samples for "blue",
# and the share of them that is true to the caption:

# %%
def strange_halves(both, w):
    cond, uncond = both.chunk(2)
    return uncond + w * (cond - uncond)

def samples_of(halves, w):
    y = torch.cat([torch.full((400,), NOTHING), torch.zeros(400, dtype=torch.int64)])
    x_T = torch.randn(400, 2, generator=torch.Generator().manual_seed(3))
    return last(ddim(limited, lambda x_t, t: halves(model(x_t.repeat(2, 1), t.repeat(2), y), w), [], 25, x_T=x_T))

strange = {w: samples_of(strange_halves, w) for w in (0, 1, 2, 4)}
plane({f"w = {w}: {fidelity(x, 0, limited):.2f} blue": Panel(x, labels=torch.zeros(400, dtype=torch.int64))
       for w, x in strange.items()}, side=2.4)

# %%
blue_0, blue_2 = fidelity(strange[0], 0, limited), fidelity(strange[2], 0, limited)
claims.check(f"At w = 0, where the caption should be ignored, {blue_0:.0%} of the samples are blue, and at w = 2 "
             f"{blue_2:.0%}.", blue_0 > 0.9 and blue_2 < 0.2)

# %% [markdown]
# Write it as it should be. `both` is (2B, ...); its first half was asked without the caption.

# %% tags=["exercise"]
def guided_halves(both: torch.Tensor, w: float) -> torch.Tensor:
    raise NotImplementedError

# %%
guided_halves = checks.mine(guided_halves)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Which half is which? At $w = 1$ only the half that knows the caption must be left.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def guided_halves(both: torch.Tensor, w: float) -> torch.Tensor:
#     uncond, cond = both.chunk(2)
#     return uncond + w * (cond - uncond)
# ```
#
# </details>
#
# With the halves exchanged $w$ becomes $1 - w$. So at $w = 2$ it goes *away* from the caption, once. Mended:

# %%
mended = fidelity(samples_of(guided_halves, 2), 0, limited)
claims.check(f"Mended, {mended:.0%} of the samples are blue at w = 2.", mended > 0.9)

# %% [markdown]
# **Predict, then move the slider.** One of the three blue clusters lies near the middle, close to red and green. What
# happens to its samples as $w$ grows? Left and middle: the arrows at two noise levels. Right: the samples for "blue",
# over all the data in grey.

# %% tags=["nbval-ignore-output"]
from minunclip.course.widgets.diffusion import FieldExplorer, NoiseExplorer, field_grid, noise_grid

field_grid(limited, guided_by, (points, labels), label=0, name=NAMES[0], scales=(0, 1, 3, 8))

# %% [markdown]
# With a kernel you can choose any caption, guidance, noise level and number of steps:

# %% tags=["nbval-ignore-output"]
FieldExplorer(limited, guided_by, (points, labels), NAMES)

# %% [markdown]
# **Fidelity and diversity,** the two measures of notebook 01, can be had exactly here. A sample is true to its caption
# if that caption is the most probable one at its place. The caption leaves open which of three clusters a sample lies
# in, so diversity is the effective number of clusters. And a sample lies *in a cluster* if it is within three of its
# widths.

# %%
def diversity(x):
    return checks.effective_number.reference([int((nearest(x)[1] == k).sum()) for k in range(3)])

x_T, y = torch.randn(400, 2, generator=torch.Generator().manual_seed(3)), torch.zeros(400, dtype=torch.int64)
steps_of_w = (0, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 10)
samples = {w: last(ddim(limited, guided_by(y, w), [], 25, x_T=x_T)) for w in steps_of_w}
lines = {"fidelity": [fidelity(x, 0, limited) for x in samples.values()],
         "diversity, share of 3": [diversity(x) / 3 for x in samples.values()],
         "in a cluster": [in_a_cluster(x) for x in samples.values()]}
plots.curves({name: (steps_of_w, values) for name, values in lines.items()}, "guidance w", "share")

# %%
plane({f"w = {w}": Panel(samples[w], labels=y) for w in (0, 1, 2, 4, 10)}, columns=5, side=1.9)

# %%
fit_1, fit_3 = fidelity(samples[1], 0, limited), fidelity(samples[3], 0, limited)
wide_1, wide_3 = diversity(samples[1]), diversity(samples[3])
claims.check(f"From w = 1 to w = 3 fidelity rises from {fit_1:.2f} to {fit_3:.2f}, and diversity falls from "
             f"{wide_1:.2f} to {wide_3:.2f} clusters.", fit_3 > fit_1 and wide_3 < wide_1 - 0.5)
inside_1, inside_10 = in_a_cluster(samples[1]), in_a_cluster(samples[10])
claims.check(f"At w = 1 {inside_1:.0%} of the samples lie in a cluster, at w = 10 only {inside_10:.0%}.",
             inside_10 < 0.75 * inside_1)

# %% [markdown]
# That is the whole story of guidance in one figure:
#
# - A little above 1 it helps: samples that could be something else become rare.
# - Then diversity falls. The blue cluster in the middle is given up, because red and green are near. Most of its
#   samples were fine! Guidance prefers what could not possibly be something else.
# - Far beyond, samples leave the data. The difference of the two answers goes on pushing where nothing is left to push
#   away from, up to the limit at which estimates are cut off. For pictures, that limit is black and white.
#
# ## 2. Pictures
#
# A picture is a point with more coordinates, $3 \times 32 \times 32$ of them. Not a word of the theory changes. Move
# the slider, and compare the linear and the cosine schedule of notebook 03 on a picture. When can you no longer tell
# the heart from the fish?

# %% tags=["nbval-ignore-output"]
from minunclip.scenes import Scene, Thing, render, to_tensor

scene = Scene((Thing("heart", "red", "big"), Thing("fish", "blue", "small")), "column", "night", "crayon", seed=4)
noise_grid(to_tensor(render(scene, 32)))

# %% [markdown]
# With a kernel you can choose any $t$, another noise, and the same scene with more pixels:

# %% tags=["nbval-ignore-output"]
NoiseExplorer({f"{side} pixels": to_tensor(render(scene, side)) for side in (32, 128, 256)}, t=600)

# %% [markdown]
# The same $t$ spoils a large picture less. Neighbouring pixels show nearly the same, so the eye averages over them,
# and averages have less noise. Counted for blocks of 4 x 4 pixels:

# %% tags=["nbval-check-output"]
eps = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
averaged = torch.nn.functional.avg_pool2d(eps, 4)
print(f"noise of 128 x 128 pixels: {eps.std():.2f}; averaged to 32 x 32: {averaged.std():.2f}")

# %% [markdown]
# So a large picture needs more noise before nothing can be seen in it. A schedule that is right for one size is not
# right for all. That is a reason to give the last upsampler, with 1024 pixels, the schedule with more noise.
#
# ## 3. A U-Net of your own
#
# For pictures the network is a **U-Net**. It reads the picture at several sizes and says something about every pixel:

# %% tags=["nbval-ignore-output"]
from minunclip.course import draw as drawings

drawings.u_net()

# %% [markdown]
# On the way down *ResBlocks* (two convolutions each) read the picture, and after each level it is made half as large.
# So a single ResBlock at the bottom sees far. On the way up the state grows again. But what was where, exactly? That
# is kept in the states of the way down. The way up reads them back, the last one first, each beside its own state.
# (The blocks themselves are built in notebook 07.)
#
# ### Exercise 3: Down and up · ●●● hard · 15 minutes
#
# Build that way from the parts of the library's U-Net, and train with it in a moment. `h` (B, C, H, W) is the picture
# after the first convolution, `emb` (B, 4C) the embedding of the timestep, and `context` is handed on as it is.
#
# - `self.down` is a list of levels. A level has `len(level.blocks)` steps, `h = level.step(i, h, emb, context)`, and
#   then `h = level.resample(h, emb)` unless `level.resample` is `None`.
# - Keep the first `h`, and the state after every step and every `resample`.
# - `self.middle` has two steps.
# - `self.up` is a list of levels again. Before each of its steps, the last kept state goes beside `h`, along the
#   channels.

# %%
from minunclip.networks import UNet, UNetConfig

# %% tags=["exercise"]
class MyUNet(UNet):
    def down_and_up(self, h: torch.Tensor, emb: torch.Tensor, context: torch.Tensor | None) -> torch.Tensor:
        raise NotImplementedError

# %%
MyUNet = checks.mine(MyUNet)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A list and its `pop()` do it: what was kept last is read first. `torch.cat([h, kept.pop()], dim=1)` puts two states
# beside each other. At the end the list is empty.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# class MyUNet(UNet):
#     def down_and_up(self, h: torch.Tensor, emb: torch.Tensor, context: torch.Tensor | None) -> torch.Tensor:
#         kept = [h]
#         for level in self.down:
#             for i in range(len(level.blocks)):
#                 h = level.step(i, h, emb, context)
#                 kept.append(h)
#             if level.resample is not None:
#                 h = level.resample(h, emb)
#                 kept.append(h)
#         for i in range(2):
#             h = self.middle.step(i, h, emb, context)
#         for level in self.up:
#             for i in range(len(level.blocks)):
#                 h = level.step(i, torch.cat([h, kept.pop()], dim=1), emb, context)
#             if level.resample is not None:
#                 h = level.resample(h, emb)
#         return h
# ```
#
# </details>
#
# **A small world.** So that two minutes are enough, there is one flat thing in the middle of a sheet of paper, in 8
# kinds, 8 colours and 2 sizes.

# %%
from itertools import product

from minunclip.scenes import COLOURS, KINDS, SIZES

things = [Thing(kind, colour, size) for kind, colour, size in product(KINDS, COLOURS, SIZES)]
scenes = [Scene((thing,), "alone", "paper", "flat", roam=0) for thing in things]
scenes = [scene for scene in scenes if not scene.held_out]
known = torch.stack([to_tensor(render(scene, 32)) for scene in scenes])
plots.show(known[::5], columns=12, side=64, title=f"{len(known)} pictures: every fifth")

# %% [markdown]
# A few combinations, such as a purple star, are missing on purpose: see `HELD_OUT`. We shall look for them later.
#
# The network is `MyUNet`, yours or ours. The loop is the library's `Trainer`, as in notebooks 01 and 02. It keeps a
# running average of the weights (*EMA*). Samples are drawn with the average, which jitters less.

# %%
from minunclip.training import TrainConfig, Trainer

shape = UNetConfig(channels=32, mults=(1, 2), blocks=1, attention=(), context_width=None, patch=2, groups=8)
config = TrainConfig(steps=700, batch=16, lr=2e-3, muon=0.02, warmup=20, ema=0.97, bf16=False)

def batches(first_step):
    rng = torch.Generator().manual_seed(first_step)
    while True:
        yield known[torch.randint(len(known), (config.batch,), generator=rng)]

def loss_of(process):
    def loss(unet, images, rng):
        t, eps = torch.randint(1000, (len(images),), generator=rng), torch.randn(images.shape, generator=rng)
        return process.loss(unet, images, t, eps).mean()
    return loss

def sample(process, unet, count=10):
    noise = noise_stream((count, 3, 32, 32), generators(0, count))
    return last(ddim(process, unet, noise, 25)).clamp(-1, 1)

# %% [markdown]
# First the paper's choice: the network predicts $\epsilon$. We stop after a few steps.

# %%
torch.set_grad_enabled(True)
torch.manual_seed(0)
predicts_eps = Diffusion(DiffusionConfig(target="eps"))
trainer = Trainer(MyUNet(shape), config)
for record in trainer.run(loss_of(predicts_eps), batches):
    if record.step == 60:
        break
torch.set_grad_enabled(False)
print(f"step {record.step}: loss {record.loss:.2f}")

# %%
plots.show(sample(predicts_eps, trainer.ema), columns=10, side=64, title="predicts the noise, 60 steps", seed=0)

# %% [markdown]
# Noise. Is something broken? "My decoder draws only noise" is the question most often asked about programs of this kind
# ([for example](https://github.com/lucidrains/DALLE2-pytorch/issues/164)). There the first answer is: look whether the
# training diverged, and how high the learning rate is. If the loss falls, the other answer is to wait. But until which
# loss? We can find out, because for a limited set of pictures the best possible answer is known, as it was in the
# plane.
#
# ### Exercise 4: The best possible answer · ●●● hard · 10 minutes
#
# $x_0$ is one of $N$ points $x^{(1)} \ldots x^{(N)}$, each as likely as the others. You see $x_t$. The point $n$
# would have needed the noise $x_t - \sqrt{\bar\alpha_t}\, x^{(n)}$, which has the variance $1 - \bar\alpha_t$; the more
# of it, the less probable. So the mean of all that $x_0$ may be is
#
# $$\mathbb{E}[x_0 \mid x_t] = \sum_n w_n\, x^{(n)}, \qquad w = \operatorname{softmax}_n
# \Big(-\frac{\| x_t - \sqrt{\bar\alpha_t}\, x^{(n)} \|^2}{2\,(1 - \bar\alpha_t)}\Big)$$
#
# Write it for a batch `x_t` (B, D), the points `data` (N, D) and the number `alpha_bar`. The answer is (B, D).

# %% tags=["exercise"]
def best_x0(x_t: torch.Tensor, data: torch.Tensor, alpha_bar: float) -> torch.Tensor:
    raise NotImplementedError

# %%
best_x0 = checks.mine(best_x0)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `torch.cdist(a, b)` has the distance of each row of `a` from each row of `b`, (B, N). And you know this from notebook
# 02: weights from a softmax, then a weighted sum. It is attention, with the data as values.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def best_x0(x_t: torch.Tensor, data: torch.Tensor, alpha_bar: float) -> torch.Tensor:
#     square = torch.cdist(x_t, alpha_bar**0.5 * data) ** 2                      # (B, N)
#     return (-square / (2 * (1 - alpha_bar))).softmax(dim=1) @ data
# ```
#
# </details>
#
# The noise follows from $x_0$. To see what a loss means, we make the best answer worse: it leaves out a share of the
# noise, as a network does that is still too cautious. The loss grows by the square of that share.

# %%
def best_picture(x_t, t):
    alpha_bar = predicts_eps.alphas_bar[t[0]].item()                     # one t for the whole batch
    return best_x0(x_t.flatten(1), known.flatten(1), alpha_bar).view_as(x_t)

def cautious(short):
    def denoiser(x_t, t):
        signal, sigma = predicts_eps.scales(t, x_t)
        return (1 - short) * (x_t - signal * best_picture(x_t, t)) / sigma
    return denoiser

def mean_loss(process, denoiser):
    rng, losses = torch.Generator().manual_seed(6), []
    for t in range(5, 1000, 10):
        x_0 = known[torch.randint(len(known), (4,), generator=rng)]
        eps = torch.randn(x_0.shape, generator=rng)
        losses.append(process.loss(denoiser, x_0, torch.full((4,), t), eps).mean())
    return torch.stack(losses).mean().item()

# %%
shares = (0.7, 0.5, 0.3, 0.2, 0.1, 0)
drawn = {mean_loss(predicts_eps, cautious(short)): sample(predicts_eps, cautious(short), 2) for short in shares}
rows = [images[i] for i in range(2) for images in drawn.values()]
plots.show(rows, [f"loss {loss:.3f}" for loss in drawn] * 2, columns=6, side=96, seed=0)

# %%
def grain(images):
    """How far a pixel is from its right neighbour, on average."""
    return (images[..., 1:] - images[..., :-1]).abs().mean().item()

worst, middle = list(drawn)[0], list(drawn)[2]
claims.check(f"At a loss of {worst:.2f}, half of what it costs to know nothing, the samples are "
             f"{grain(drawn[worst]) / grain(known):.0f} times as grainy as the pictures; at {middle:.3f} still "
             f"{grain(drawn[middle]) / grain(known):.1f} times.",
             grain(drawn[worst]) > 3 * grain(known) and grain(drawn[middle]) > 1.3 * grain(known))

# %% [markdown]
# Only when a small part of the loss is left do pictures come free of noise. Between two losses that are ten times as
# high you will see no difference.
#
# The last column is worth a second look. The best possible answer draws perfect pictures. By its formula it can only
# mix what it was given, and as the noise goes, the weight of a single picture goes to 1: it draws copies. That a
# *network* draws anything new is due to its being unable to know all pictures by heart.
#
# Now a network that predicts $x_0$. Its largest errors are those in much noise. So it learns first what a picture looks
# like from afar, and fine detail later. For small networks and short trainings that is a good order.

# %%
torch.set_grad_enabled(True)
torch.manual_seed(0)
predicts_x0 = Diffusion(DiffusionConfig(target="x0"))
trainer, records, strip = Trainer(MyUNet(shape), config), [], {}
for record in trainer.run(loss_of(predicts_x0), batches):
    records.append(record)
    if record.step in (60, 150, 300, 700):
        with torch.no_grad():
            strip[record.step] = sample(predicts_x0, trainer.ema)
torch.set_grad_enabled(False)

# %%
seen, mean = [record.examples for record in records], known.mean(dim=0)
marks = {"always the mean picture": ((known - mean) ** 2).mean().item(),
         "the best possible": mean_loss(predicts_x0, best_picture)}
lines = {"this training": (seen, plots.running_mean(records, 20))}
lines |= {name: ((seen[0], seen[-1]), (loss, loss)) for name, loss in marks.items()}
plots.curves(lines, "examples seen", "loss", log_x=True)

# %%
shown = [image for images in strip.values() for image in images[:8]]
plots.show(shown, [f"step {step}" for step in strip for _ in range(8)], columns=8, side=80, seed=0)

# %% [markdown]
# The paper comes first, then that there is a thing in the middle, then its colour. Shapes come last. The judge of
# notebook 01 can say how far the network has come: it names what it sees, and we render that and compare.

# %%
from minunclip.evaluation import Judge

judge = Judge.from_pretrained("scenes")

def recognisable(images):
    """The share of pictures that are within .1 of a render of what the judge sees in them, on average over pixels."""
    again = torch.stack([to_tensor(render(Scene(one.things[:1], "alone", "paper", "flat", roam=0), 32))
                         for one in judge.read(images)])
    return ((images - again).abs().mean(dim=(1, 2, 3)) < 0.1).float().mean().item()

more = sample(predicts_x0, trainer.ema, 60)
claims.check(f"After {config.steps} steps {recognisable(more):.0%} of 60 samples show one thing that can be named; "
             f"after 60 steps {recognisable(strip[60]):.0%} of 10.",
             recognisable(more) > 0.6 > recognisable(strip[60]))

# %% [markdown]
# From noise to picture, as the network sees it:

# %%
stream = noise_stream((1, 3, 32, 32), generators(1, 1))
plots.film_strip(list(ddim(predicts_x0, trainer.ema, stream, 25))[::6], seed=1)

# %% [markdown]
# Compare with the points of notebook 03: the first guess is the middle of all pictures. Then the groups separate
# (colours), then what is within them (shapes).
#
# **Are they copies?** For each sample, the nearest of the training pictures:

# %%
distance = (more[:, None] - known[None]).abs().mean(dim=(2, 3, 4))
twins = known[distance.argmin(dim=1)]
plots.show([*more[:8], *twins[:8]], ["drawn"] * 8 + ["nearest in training"] * 8, columns=8, side=80)

# %% [markdown]
# A world of so few pictures is soon known by heart, and nearly all samples are copies.
#
# ### Exercise 5: Design an experiment · ●●○ medium · 10 minutes
#
# How would you show that a network draws something *new*? You have the trainer, `sample`, the judge, and a list of
# combinations that never occur in training. Write down what you would count, what you would compare it with, and which
# result would convince you.
#
# <details><summary>One way to do it</summary>
#
# ```python
# from minunclip.scenes import HELD_OUT
#
# names = [one.things[0] for one in judge.read(sample(predicts_x0, trainer.ema, 1000)) if one.things]
# new = sum((thing.colour, thing.kind) in HELD_OUT for thing in names)
# print(f"{new} of {len(names)} samples show what was never seen: {len(HELD_OUT)} of 64 pairs were held out")
# ```
#
# If kind and colour were drawn independently, the held-out pairs would come up in about their share of all pairs. A
# network that copies never draws them. The judge may err, so look at those pictures before you believe it. A thousand
# samples take a minute or two.
#
# </details>
#
# ## 4. The finished decoder, and too much guidance
#
# **Loading the finished weights.** From here on we use the decoder that comes with this library: a larger U-Net of the
# same kind, trained for longer, which is also told of a picture's embedding $z_i$ and of its caption. Here are the
# pictures from the top once more, beside what the guided estimates of $x_0$ would be if nobody cut them off:

# %%
x_t, t = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(5)), torch.tensor([800])
outside = {}
for w in scales:
    prediction = cascade.decoder_denoiser(z_i, text, w)(x_t, t)[:, :3]
    x_0 = cascade.decoder.diffusion.solve(prediction, x_t, t)[0]
    outside[w] = (x_0.abs() > 1).float().mean().item()
    print(f"w = {w:2}: estimates from {x_0.min():5.1f} to {x_0.max():4.1f}, {outside[w]:.0%} outside -1 to 1")

# %%
claims.check(f"At t = 800 guidance of 20 puts {outside[20]:.0%} of the estimates outside -1 to 1, and guidance of 1 "
             f"{outside[1]:.0%}.", outside[20] > 0.2 > 10 * outside[1])

# %% [markdown]
# At $w = 0$ the condition is ignored, and the decoder draws just any scene. At large $w$ colours become glaring, for
# the same reason as in the plane: the difference of the two answers pushes estimates over the limit. A share of colours
# at the limit above that of true pictures is called *saturation*.

# %%
def at_the_limit(image):
    return (image.abs() > 0.98).float().mean().item()

true = to_tensor(render(Scene((Thing("star", "yellow", "big"),), "alone", "meadow", "flat"), 32))
lines = {"drawn": (scales, [at_the_limit(picture) for picture in pictures.values()]),
         "a render": ((0, 20), [at_the_limit(true)] * 2)}
plots.curves(lines, "guidance w", "share of colours at -1 or 1")

# %% [markdown]
# The paper varies the guidance of its decoder from 1 to 4 (Figures 9 to 11), and its best FID comes at 1.25 (Table 2).
# The notebook on the whole cascade measures fidelity and diversity of pictures.
#
# Must guidance be the same at every step? [Kynkäänniemi et al. (2024)](https://arxiv.org/abs/2404.07724) guide in the
# middle of the noise levels only. While there is hardly anything but noise, guidance drives all pictures to the same
# place, and at the end there is nothing left to decide. `guided_within` does so, here from $t = 800$ to $200$:

# %%
plain = cascade.decoder_denoiser(z_i, text)

def decode_within(w, seed=0):
    noise = noise_stream((1, 3, 32, 32), generators(seed, 1))
    denoiser = guided_within(200, 800, cascade.decoder_denoiser(z_i, text, w), plain)
    return last(ddim(cascade.decoder.diffusion, denoiser, noise, 15)).clamp(-1, 1)

within = {w: decode_within(w)[0] for w in scales}
plots.show([*within.values()], [f"w = {w}" for w in scales], columns=6, side=96, title="guided from 800 to 200", seed=0)

# %%
saturated, calm = at_the_limit(pictures[20]), at_the_limit(within[20])
claims.check(f"At w = 20 {saturated:.1%} of the colours lie at the limit if every step is guided, and {calm:.1%} "
             "with the interval.", calm < saturated)

# %% [markdown]
# ## 5. Pixels or codes?
#
# Our decoder works on pixels, and so does the paper's. *Latent diffusion*
# ([Rombach et al., 2022](https://arxiv.org/abs/2112.10752), the method of Stable Diffusion) first compresses the
# picture: one network makes a code of it, and another makes the picture again, nearly as it was. Diffusion then runs on
# the codes, which have far fewer numbers.

# %% tags=["nbval-check-output"]
print(f"a picture of 512 pixels: {3 * 512 * 512:7,} numbers")
print(f"its code there, 4 x 64 x 64: {4 * 64 * 64:4,} numbers")

# %% [markdown]
# $z_i$ has few numbers, too, and the prior runs a diffusion on it. Yet it is no code of that kind: the picture cannot
# be had back from it. CLIP was trained to tell what a caption would say, not to keep every pixel. **Predict, then
# run.** The decoder draws from the $z_i$ of one picture four times, with other noise. What will be the same, and what
# not?

# %%
one = Scene((Thing("heart", "red", "big"), Thing("fish", "blue", "small")), "column", "night", "flat", seed=4)
image = to_tensor(render(one, 32))[None]
true_z, empty = cascade.clip.encode_image(image), cascade.clip.encode_text([""])
several = torch.cat([cascade.decode(true_z, empty, seed=seed).finish() for seed in (0, 10, 20, 30)])
plots.show([image[0], *several, several.mean(dim=0)], ["the render", *["decoded"] * 4, "mean of the four"], columns=6,
           side=96, seed=0)

# %%
same = sum(read.things == one.things for read in judge.read(several))
apart = (several[:, None] - several[None]).abs().mean().item()
claims.check(f"{same} of the 4 show the same things, and yet their colours differ by {apart:.2f} a pixel on "
             "average.", same >= 3 and apart > 0.01)

# %% [markdown]
# The four agree in what there is, and differ in where exactly it stands. A network that had to answer with *one*
# picture at once would do best with their mean, a blur. A diffusion model draws *one* of the many pictures that a $z_i$
# allows.
#
# What is near in pixels need not be near in $z_i$. Four changes to our scene:

# %%
from dataclasses import replace

heart, fish = one.things
star, green = replace(heart, kind="star"), replace(fish, colour="green")
changes = {"another seed": replace(one, seed=5), "star, not heart": replace(one, things=(star, fish)),
           "green fish": replace(one, things=(heart, green)), "outlined": replace(one, style="outlined")}
moved = {}
for name, changed in changes.items():
    other = to_tensor(render(changed, 32))[None]
    far = (other - image).abs().mean()
    moved[name] = cascade.clip.similarity(cascade.clip.encode_image(other), true_z).item()
    print(f"{name:16} mean difference of the pixels {far:.3f}, cosine of z_i {moved[name]:.3f}")

# %%
claims.check(f"Another seed leaves the cosine at {moved['another seed']:.2f}; another kind brings it down to "
             f"{moved['star, not heart']:.2f}.", moved["another seed"] > moved["star, not heart"])

# %% [markdown]
# So the work is divided. The prior decides *what* there will be, in a space where nearness means that things are alike.
# The decoder decides where each pixel goes. Whatever $z_i$ does not say is the decoder's to invent. In that freedom lie
# the variations of section 3.1.
#
# ## Summary
#
# | | |
# | --- | --- |
# | guidance | away from "anything", towards the caption, $w$ times |
# | a little of it | fidelity rises: what could be something else becomes rare |
# | more | diversity falls: what is near other captions is given up, right or not |
# | too much | estimates leave the data and are cut off: saturation |
# | loss and noise | samples are free of noise only when a small part of the loss is left |
# | best answer | for a limited set of pictures, a weighted mean of them; a sampler then draws copies |
# | $z_i$ | few numbers that say what there is, no compressed picture |
#
# **What you can do now:** train a diffusion model on pictures, tell an unfinished one from a broken one, and choose a
# guidance for a purpose. Whose code was it?

# %% tags=["nbval-ignore-output"]
checks.in_use()

# %% [markdown]
# ## Questions
#
# <details><summary>One model predicts eps, another v. Can both be guided by the same formula?</summary>
#
# Yes. For a given $x_t$ the answers follow from each other by adding a fixed amount and multiplying, and the guided
# answer is a mixture $(1 - w) \cdot \text{uncond} + w \cdot \text{cond}$ whose shares sum to 1. So it does not matter
# which of them is mixed.
#
# </details>
#
# <details><summary>In the plane, guidance of 8 drew no false point, and yet something was lost. What?</summary>
#
# The cluster in the middle, a third of all right answers. Fidelity cannot see that, only diversity can.
#
# </details>
#
# <details><summary>Why is a condition dropped now and then in training?</summary>
#
# Guidance needs the answer without it. One network that has learned both is cheaper than two.
#
# </details>
#
# <details><summary>A guided step asks two questions. What does that cost?</summary>
#
# Twice the computing: a batch of twice the size, or two runs of the network.
#
# </details>
#
# <details><summary>What does w = 0 draw, and what a negative w?</summary>
#
# $w = 0$ ignores the caption. A negative $w$ draws what the caption does not say.
#
# </details>
#
# <details><summary>Your samples are grainy, the loss falls slowly. What do you try first?</summary>
#
# More steps. Then see what part of the loss is left at each tenth of the timesteps, and compare with a training on very
# few pictures, which must come free of grain.
#
# </details>
#
# <details><summary>Why does the best possible denoiser draw copies only?</summary>
#
# Its answer is a weighted mean of the training pictures, and with little noise all the weight is on one of them.
#
# </details>
#
# <details><summary>Why do large pictures need a schedule with more noise?</summary>
#
# Neighbouring pixels say nearly the same. Averaging over them, eye and network see through noise that hides a small
# picture.
#
# </details>
#
# <details><summary>Saturation: where does it come from, and what helps?</summary>
#
# Guided estimates beyond black and white are cut off at every step. Less guidance helps, or guidance at the middle
# noise levels only, or a limit that follows the estimates (dynamic thresholding).
#
# </details>
#
# <details><summary>Could the decoder be trained to give the render back from z_i exactly?</summary>
#
# No. Many pictures have nearly the same $z_i$, and nothing in it says which of them it came from.
#
# </details>
#
# ## Where to read on
#
# - The code: [diffusion/guidance.py](../minunclip/diffusion/guidance.py) is section 1,
#   [networks/unet.py](../minunclip/networks/unet.py) the U-Net. [course/plane.py](../minunclip/course/plane.py) is the
#   world of points.
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125): section 2.1 for guidance and for what is dropped in
#   training.
# - Ho & Salimans, [Classifier-free diffusion guidance](https://arxiv.org/abs/2207.12598) (2022). Kynkäänniemi et al.,
#   [Applying guidance in a limited interval](https://arxiv.org/abs/2404.07724) (2024).
# - Hoogeboom et al., [Simple diffusion](https://arxiv.org/abs/2301.11093) (2023): schedules for large pictures.
# - Rombach et al., [High-resolution image synthesis with latent diffusion](https://arxiv.org/abs/2112.10752) (2022).
