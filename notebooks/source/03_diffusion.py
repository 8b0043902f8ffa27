# %% [markdown]
# # 03 · Diffusion: from noise to a picture
#
# Nobody can say in a formula what a picture of a star looks like. To spoil one is easy: add noise, a little at a
# time, until nothing else is left. A *diffusion model* learns the way back. It looks at a spoiled picture and says
# what in it is noise. Whoever can do that for every amount of noise can begin with nothing but noise and end with
# a picture that never was.
#
# Prior, decoder and upsamplers of unCLIP are all diffusion models. In this notebook you build one, first for points in
# a plane, where everything can be seen and checked, then for pictures.

# %%
import os
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

import minunclip
from minunclip import plots
from minunclip.clip import CLIP
from minunclip.common import best_device
from minunclip.course import checks, claims
from minunclip.course.widgets.diffusion import FieldExplorer, NoiseExplorer, field_grid, noise_grid
from minunclip.diffusion import (Diffusion, DiffusionConfig, ddim, ddpm, generators, guided, guided_within, last,
                                 noise_stream, timesteps)
from minunclip.networks import UNet, UNetConfig, timestep_embedding
from minunclip.plots import Panel, lattice, plane
from minunclip.scenes import Scene, Scenes, Thing, render, to_tensor
from minunclip.training import TrainConfig, Trainer

# %%
torch.set_grad_enabled(False)                     # on again wherever something is trained
diffusion = Diffusion(DiffusionConfig(clip=None))
scene = Scene((Thing("heart", "red", "big"), Thing("fish", "blue", "small")), "column", "night", "crayon", seed=4)
picture = to_tensor(render(scene, 32))
noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
ts = torch.tensor([0, 100, 200, 350, 500, 700, 999])
spoiled = diffusion.q_sample(picture.expand(7, -1, -1, -1), ts, noise.expand(7, -1, -1, -1))
plots.show(spoiled, [f"t = {t}" for t in ts.tolist()], columns=7, side=96)

# %% [markdown]
# From left to right, a picture drowns in noise. From right to left is what the model has to learn.
#
# **What you will see**
#
# 1. Noise in small steps.
# 2. The same noise in one jump, and the *schedule* that says how much there is when.
# 3. What a network can be asked to predict, and the loss.
# 4. A first diffusion model, for points in a plane. You train it in seconds.
# 5. Two ways back from noise: DDIM and DDPM.
# 6. What happens if the data has the wrong size.
# 7. *Guidance*, drawn as a field of arrows.
# 8. The same loop on pictures. You train a U-Net.
# 9. The finished decoder, and too much guidance.
# 10. Why unCLIP's image embedding is no compressed picture.
#
# **What you need to know before:** how a network is trained in PyTorch, what a standard deviation is, and that the
# variances of independent numbers add up.
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("03_diffusion")

# %% [markdown]
# Reading takes about 45 minutes, the six exercises another 40. With the `cpu` profile the training in section 8 is
# short; with `gpu` it goes on for longer. The environment variable `MINUNCLIP_PROFILE` chooses.

# %%
device = best_device()
profile = os.environ.get("MINUNCLIP_PROFILE", "gpu" if device.type == "cuda" else "cpu")
print(f"pictures on {device.type}, profile {profile}; points in the plane on the CPU")

# %% [markdown]
# ## 1. Noise in small steps
#
# One step of the *forward process* shrinks $x$ a little and adds a little noise $\epsilon$, which is drawn from the
# normal distribution with standard deviation 1 (Ho et al., 2020, equation 2):
#
# $$x_t = \sqrt{1 - \beta_t}\; x_{t-1} + \sqrt{\beta_t}\; \epsilon$$
#
# With three numbers and a large step, $\beta = 0.36$, so that both roots come out even:

# %% tags=["nbval-check-output"]
x, eps, beta = torch.tensor([1.0, 0.0, -1.0]), torch.tensor([0.5, -1.0, 0.5]), 0.36
x_1 = (1 - beta) ** 0.5 * x + beta**0.5 * eps
print(f"{(1 - beta) ** 0.5:.1f} x + {beta**0.5:.1f} eps = {x_1.numpy().round(2)}")

# %% [markdown]
# Why shrink at all? Variances add up: with $x$ of variance 1, the sum has the variance $(1 - \beta) + \beta = 1$.
# However many steps we take, the numbers keep their size. Noise that is only added makes them grow without end:

# %% tags=["nbval-check-output"]
g = torch.Generator().manual_seed(0)
kept = added = torch.randn(100_000, generator=g)
for _ in range(200):
    eps = torch.randn(100_000, generator=g)
    kept, added = 0.98**0.5 * kept + 0.02**0.5 * eps, added + 0.02**0.5 * eps
print(f"standard deviation after 200 steps: {kept.std():.1f}, without shrinking {added.std():.1f}")

# %% [markdown]
# ## 2. The same in one jump
#
# Take two such steps, each with $\beta = 0.36$. The picture is multiplied by 0.8 twice. The first noise is multiplied
# by $0.6 \cdot 0.8$, the second by 0.6, and their variances add up:

# %% tags=["nbval-check-output"]
signal = 0.8 * 0.8
variance = (0.6 * 0.8) ** 2 + 0.6**2
print(f"signal {signal:.2f}, variance of the noise {variance:.4f}, and 1 - signal^2 = {1 - signal**2:.4f}")

# %% [markdown]
# The sum of two normal noises is again one normal noise. So there is no need to walk: any $t$ can be reached in one
# jump. With $\bar\alpha_t$ the product of all $1 - \beta_s$ up to $t$ (Ho et al., equation 4):
#
# $$x_t = \sqrt{\bar\alpha_t}\; x_0 + \sqrt{1 - \bar\alpha_t}\; \epsilon$$
#
# Let us walk, to be sure. 20,000 copies of the number 1.5 take 400 small steps, each with noise of its own. `betas` and
# `alphas_bar` are tables with a number for each $t$ from 0 to 999.

# %%
x = torch.full((20_000,), 1.5)
for beta in diffusion.betas[:400]:
    x = (1 - beta).sqrt() * x + beta.sqrt() * torch.randn(20_000, generator=g)
alpha_bar = diffusion.alphas_bar[399]
print(f"400 steps: mean {x.mean():.3f}, standard deviation {x.std():.3f}")
print(f"one jump:  mean {1.5 * alpha_bar.sqrt():.3f}, standard deviation {(1 - alpha_bar).sqrt():.3f}")

# %% [markdown]
# The two agree up to chance. That is why training is cheap: it never walks, it jumps to a random $t$.
#
# ### Exercise 1: The jump · ●○○ easy · 5 minutes
#
# Write the jump for a batch: `x_0` and `eps` are (B, ...) with any number of axes, `t` (B,) has a timestep for each
# row, and `alphas_bar` is the table. The next cell tries your function and says what is still wrong; as long as it is
# empty, the notebook runs on.

# %% tags=["exercise"]
def q_sample(x_0: torch.Tensor, t: torch.Tensor, eps: torch.Tensor, alphas_bar: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.q_sample(q_sample)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `alphas_bar[t]` is (B,). To multiply pictures (B, 3, 32, 32) it must be (B, 1, 1, 1), and points (B, 2) want (B, 1):
# `.view(-1, *[1] * (x_0.ndim - 1))`.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def q_sample(x_0: torch.Tensor, t: torch.Tensor, eps: torch.Tensor, alphas_bar: torch.Tensor) -> torch.Tensor:
#     alpha_bar = alphas_bar[t].view(-1, *[1] * (x_0.ndim - 1))
#     return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps
# ```
#
# </details>
#
# The library's version, for the picture from the top:

# %% tags=["nbval-check-output"]
ours = checks.q_sample.reference(picture[None], torch.tensor([350]), noise[None], diffusion.alphas_bar)
torch.testing.assert_close(diffusion.q_sample(picture[None], torch.tensor([350]), noise[None]), ours)
print("equal:", tuple(ours.shape))

# %% [markdown]
# **The schedule** says how $\bar\alpha_t$ falls from 1 to 0. Two are common. The *linear* one lets $\beta_t$ grow
# evenly from 0.0001 to 0.02 (Ho et al.). The *cosine* one starts from $\bar\alpha$ itself
# (Nichol & Dhariwal, 2021, equation 17):
#
# $$\bar\alpha(u) = \frac{f(u)}{f(0)}, \qquad f(u) = \cos^2\!\Big(\frac{u + 0.008}{1.008} \cdot \frac{\pi}{2}\Big),
# \qquad u = \frac{t + 1}{1000}$$
#
# (The last $\beta_t$ is cut off at 0.999. Otherwise $\bar\alpha$ would end at 0, and $\epsilon$ would say nothing of
# the picture there.)

# %% tags=["nbval-check-output"]
u = (torch.arange(1000) + 1) / 1000

def f(u):
    return torch.cos((u + 0.008) / 1.008 * torch.pi / 2) ** 2

by_hand = f(u) / f(torch.zeros(1))
torch.testing.assert_close(diffusion.alphas_bar, by_hand, atol=1e-5, rtol=0)
print("alpha_bar at t = 99, 499, 899:", *(f"{diffusion.alphas_bar[t]:.3f}" for t in (99, 499, 899)))

# %%
linear = Diffusion(DiffusionConfig(schedule="linear"))
tables = {"cosine": diffusion.alphas_bar, "linear": linear.alphas_bar}
plots.curves({name: (range(1000), table.tolist()) for name, table in tables.items()}, "t", "alpha_bar")

# %% [markdown]
# Easier to judge is the *signal-to-noise ratio*, $\bar\alpha_t / (1 - \bar\alpha_t)$. How many of the 1000 timesteps
# does each schedule spend where?

# %% tags=["nbval-check-output"]
print("          more picture than noise   more noise   hardly any picture left (ratio below 1/100)")
for name, table in tables.items():
    ratio = table / (1 - table)
    counts = [int(((low <= ratio) & (ratio < high)).sum()) for low, high in ((1, 1e9), (0.01, 1), (0, 0.01))]
    print(f"{name:10}{counts[0]:23}{counts[1]:13}{counts[2]:22}")

# %% [markdown]
# The linear schedule spends a great part of its time on pictures that are nearly pure noise, where there is little to
# learn. unCLIP takes the cosine schedule everywhere but in its last upsampler (Table 3 of the paper). Move the slider
# and compare the two pictures; their places on the curves are marked. No kernel is needed. When can you no longer tell
# the heart from the fish, under each schedule?

# %% tags=["nbval-ignore-output"]
noise_grid(picture)

# %% [markdown]
# With a kernel you can choose any $t$, another noise, and the same scene with more pixels:

# %% tags=["nbval-ignore-output"]
NoiseExplorer({f"{side} pixels": to_tensor(render(scene, side)) for side in (32, 128, 256)}, t=600)

# %% [markdown]
# The same $t$ spoils a large picture less. Neighbouring pixels show nearly the same, so the eye averages over them,
# and averages have less noise. Counted for blocks of 4 x 4 pixels:

# %% tags=["nbval-check-output"]
eps = torch.randn(1, 3, 128, 128, generator=g)
print(f"noise of 128 x 128 pixels: {eps.std():.2f}; averaged to 32 x 32: {F.avg_pool2d(eps, 4).std():.2f}")

# %% [markdown]
# So a large picture needs more noise before nothing can be seen in it, and a schedule that is right for one size is
# not right for all. That is a reason to give the last upsampler, with 1024 pixels, the schedule with more noise.
#
# ## 3. What the network should say
#
# The network gets $x_t$ and $t$. As $x_t$ is a mixture with known shares, it need only name one of the two parts; the
# other one follows. Three kinds of answer are in use. With *signal* $\sqrt{\bar\alpha_t}$ and *sigma*
# $\sqrt{1 - \bar\alpha_t}$:
#
# | answer | what it is | used by |
# | --- | --- | --- |
# | $\epsilon$ | the noise | Ho et al.; the decoder and the upsamplers of the paper |
# | $x_0$ | the clean picture | the prior of the paper (section 2.2); the networks of our scenes |
# | $v$ | $\text{signal} \cdot \epsilon - \text{sigma} \cdot x_0$, something of both | Salimans & Ho, 2022 |
#
# One number by hand, with signal 0.8, sigma 0.6, $x_0 = 2$ and $\epsilon = 1$:

# %% tags=["nbval-check-output"]
signal, sigma, x_0, eps = 0.8, 0.6, 2.0, 1.0
x_t, v = signal * x_0 + sigma * eps, signal * eps - sigma * x_0
print(f"x_t = {x_t:.1f}, v = {v:.1f}")
print(f"x_0 from eps: {(x_t - sigma * eps) / signal:.1f}, from v: {signal * x_t - sigma * v:.1f}")
print(f"eps from x_0: {(x_t - signal * x_0) / sigma:.1f}, from v: {sigma * x_t + signal * v:.1f}")

# %% [markdown]
# ### Exercise 2: The picture behind the noise · ●○○ easy · 3 minutes
#
# Given `x_t`, its noise `eps` and `alpha_bar` (already shaped to fit), return $x_0$.

# %% tags=["exercise"]
def x0_from_eps(x_t: torch.Tensor, eps: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.x0_from_eps(x0_from_eps)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Solve $x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon$ for $x_0$.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def x0_from_eps(x_t: torch.Tensor, eps: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
#     return (x_t - (1 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt()
# ```
#
# </details>
#
# In the library, `target_of` says what the network should answer, and `solve` gets both parts out of any answer. There
# and back, for all three:

# %% tags=["nbval-check-output"]
kinds = {target: Diffusion(DiffusionConfig(target=target, clip=None)) for target in ("eps", "x0", "v")}
t, x_0, eps = torch.tensor([100, 500, 900]), torch.randn(3, 2, generator=g), torch.randn(3, 2, generator=g)
for target, process in kinds.items():
    x_t = process.q_sample(x_0, t, eps)
    found = process.solve(process.target_of(x_0, t, eps), x_t, t)
    torch.testing.assert_close(found, (x_0, eps), atol=1e-4, rtol=1e-4)
    print(f"{target:3}: both parts found again")

# %% [markdown]
# If all three say the same, does it matter which one the network learns? It does, because a network is never quite
# right. Let every answer be wrong by 0.01. How wrong is the picture that we conclude from it?

# %% tags=["nbval-check-output"]
print("t     " + "".join(f"{target:>10}" for target in kinds))
for t in (0, 100, 300, 500, 700, 900, 999):
    at, zero = torch.tensor([t]), torch.zeros(1, 1)
    wrong = [process.solve(zero + 0.01, zero, at)[0].abs().item() for process in kinds.values()]
    print(f"{t:<5} " + "".join(f"{error:10.4f}" for error in wrong))

# %% [markdown]
# In nearly pure noise, a tiny mistake about $\epsilon$ is a huge one about the picture: it is divided by the signal,
# which is nearly zero there. With little noise, $\epsilon$ is the better answer. Keep the first column in mind, it will
# hit us in section 5.
#
# **The loss** is as simple as it could be. Draw $x_0$ from the data, $t$ and $\epsilon$ at random, jump, and compare
# what the network says with what is true (Ho et al., equation 14):
#
# $$L_\text{simple} = \mathbb{E}_{x_0,\, t,\, \epsilon}\, \big\| \epsilon - \epsilon_\theta(x_t, t) \big\|^2$$
#
# By hand and in the library, with a "network" that always answers zero. What loss do you expect?

# %% tags=["nbval-check-output"]
def says_zero(x_t, t):
    return torch.zeros_like(x_t)

x_0, eps, t = torch.randn(5000, 2, generator=g), torch.randn(5000, 2, generator=g), torch.arange(5000) % 1000
by_hand = ((says_zero(diffusion.q_sample(x_0, t, eps), t) - eps) ** 2).mean(dim=1)
torch.testing.assert_close(diffusion.loss(says_zero, x_0, t, eps), by_hand)
print(f"equal; the mean is {by_hand.mean():.1f}")

# %% [markdown]
# The noise has variance 1, so a network that always answers zero pays 1. (One with random weights pays more at first:
# its answers are not zero.)
#
# ## 4. A first model: points in a plane
#
# Now $x_0$ is no picture, but a point: two numbers. We invent a world of nine clusters of points. Each belongs to one
# of three captions, "blue", "red" and "green", with three clusters each: two far out, and one near the middle, where
# all captions meet. Section 7 will need the captions.

# %%
names, NOTHING = ["blue", "red", "green"], 3                             # 3 stands for "no caption"
angles = torch.tensor([[90, 62, 118], [210, 182, 238], [330, 302, 358]]).deg2rad()   # (caption, cluster)
radii, widths = torch.tensor([0.43, 1.66, 1.66]), torch.tensor([0.27, 0.18, 0.18]).repeat(3, 1)
centres = torch.stack([radii * angles.cos(), radii * angles.sin()], dim=-1)          # (caption, cluster, 2)

def draw(count, g):
    y, cluster = torch.randint(3, (count,), generator=g), torch.randint(3, (count,), generator=g)
    return centres[y, cluster] + widths[y, cluster][:, None] * torch.randn(count, 2, generator=g), y

print("angles of the clusters, a row for each caption:", angles.tolist())

# %%
g = torch.Generator().manual_seed(0)
data = draw(600, g)
points, labels = data
eps, ts = torch.randn(points.shape, generator=g), (0, 200, 400, 600, 999)
panels = {f"t = {t}": Panel(diffusion.q_sample(points, torch.full((600,), t), eps), labels) for t in ts}
plane(panels, columns=5, side=1.9)

# %% [markdown]
# The clusters melt into one round cloud. A network is to find the way back: a small one with two numbers in, two
# numbers out, which is also told $t$ and, later, the caption $y$.

# %%
class PointNet(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.x, self.t, self.y = nn.Linear(14, width), nn.Linear(32, width), nn.Embedding(4, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, 2)

    def forward(self, x_t, t, y=None):
        y = torch.full_like(t, NOTHING) if y is None else y
        angles = torch.cat([x_t, 2 * x_t, 4 * x_t], dim=1)                                # (N, 6)
        h = self.x(torch.cat([x_t, angles.sin(), angles.cos()], dim=1))
        h = h + self.t(timestep_embedding(t, 32)) + self.y(y)
        for layer in self.layers:
            h = h + layer(F.silu(h))
        return self.out(F.silu(h))

# %% [markdown]
# Time and place come as sines and cosines, too, as the positions in notebook 02: from these, a network tells values
# that are near each other apart more easily than from the bare number. The training loop is the loss from above and
# nothing else:

# %%
def fit(process, model, draw, steps, batch=256):
    """Train the model in place; yields (step, loss) after each step."""
    g = torch.Generator().manual_seed(1)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(1, steps + 1):
        x_0, y = draw(batch, g)
        t, eps = torch.randint(1000, (batch,), generator=g), torch.randn(batch, 2, generator=g)
        with torch.enable_grad():
            loss = process.loss(partial(model, y=y), x_0, t, eps).mean()
            loss.backward()
        optimiser.step()
        slower.step()
        optimiser.zero_grad()
        yield step, loss.item()

def smooth(losses, count=50):
    return [sum(losses[max(0, i + 1 - count) : i + 1]) / min(count, i + 1) for i in range(len(losses))]

# %% [markdown]
# The network predicts $\epsilon$, and for now there are no captions.

# %%
def without_captions(count, g):
    return draw(count, g)[0], None

torch.manual_seed(0)
predicts_eps = PointNet()
losses = [loss for _, loss in fit(diffusion, predicts_eps, without_captions, 1000)]
plots.curves({"this training": (range(1, 1001), smooth(losses))}, "step", "loss (mean of 50 steps)", log_x=True)

# %% [markdown]
# The loss falls, but nowhere near zero. Is the network bad? In this small world we can find out, because we know the
# distribution of the points at every $t$. It is a mixture of nine clusters again: their centres are multiplied by the
# signal, and their variances are those of the shrunk cluster plus the noise.

# %%
def log_density(x_t, t):
    """log p_t of each cluster at each point, up to the same constant: (N, 2), (N,) -> (N, 3, 3)."""
    signal, sigma = (scale[:, :, None] for scale in diffusion.scales(t, x_t))            # (N, 1, 1)
    variance = (signal * widths) ** 2 + sigma**2                                         # (N, 3, 3)
    square = ((x_t[:, None, None] - signal[..., None] * centres) ** 2).sum(dim=-1)       # (N, 3, 3)
    return -square / (2 * variance) - variance.log()

# %% [markdown]
# The best possible answer follows from it. What the network is asked for, the noise, points away from where the data
# is dense. Exactly: the mean noise in $x_t$ is the gradient of the log density, the *score*, times $-$sigma
# (Song et al., 2021):
#
# $$\mathbb{E}[\epsilon \mid x_t] = -\sqrt{1 - \bar\alpha_t}\; \nabla_{x_t} \log p_t(x_t)$$

# %%
def best_eps(x_t, t):
    with torch.enable_grad():
        x_t = x_t.clone().requires_grad_()
        total = log_density(x_t, t).flatten(1).logsumexp(dim=1).sum()
        (score,) = torch.autograd.grad(total, x_t)
    return -diffusion.scales(t, x_t)[1] * score

# %%
g = torch.Generator().manual_seed(2)
x_0, eps, t = draw(20_000, g)[0], torch.randn(20_000, 2, generator=g), torch.randint(1000, (20_000,), generator=g)
for name, denoiser in {"says zero": says_zero, "ours": predicts_eps, "the best": best_eps}.items():
    print(f"{name:10} loss {diffusion.loss(denoiser, x_0, t, eps).mean():.3f}")

# %% [markdown]
# The best loss is not zero: the same $x_t$ can come from many points with many noises, and no network can know from
# which. Ours is close to the best. Where does the loss come from? The same numbers for each tenth of the timesteps:

# %%
tenth = t // 100
by_tenth = {}
for name, denoiser in {"ours": predicts_eps, "the best": best_eps}.items():
    loss = diffusion.loss(denoiser, x_0, t, eps)
    by_tenth[name] = [loss[tenth == k].mean().item() for k in range(10)]
plots.curves({name: (range(50, 1000, 100), loss) for name, loss in by_tenth.items()}, "t", "loss")

# %% [markdown]
# With much noise, $x_t$ is nearly all $\epsilon$ and the task is easy. With little noise, nobody can tell noise from
# the scatter of the points themselves. So the mean loss says little by itself: compare it with trainings of the same
# kind only.
#
# **What the network has learned,** drawn as arrows: for each place of the plane, *minus* the predicted noise, the way
# out of it. Below, what would be best.

# %%
tails, ts = lattice(), (700, 200)
panels = {}
for name, denoiser in {"ours": predicts_eps, "the best": best_eps}.items():
    for t in ts:
        at = torch.full((len(tails),), t)
        noised = diffusion.q_sample(points, torch.full((600,), t), torch.randn(points.shape, generator=g))
        panels[f"{name}, t = {t}"] = Panel(noised, arrows=(tails, -denoiser(tails, at)))
plane(panels, columns=2, side=2.5)

# %% [markdown]
# In much noise all arrows point to the middle: no more is known than that the data is somewhere there. With less
# noise they part and point to the clusters. Compare the corners for small $t$, too: no training point ever came
# there, and the network has to guess.
#
# ## 5. The way back
#
# **DDIM** ([Song et al., 2020](https://arxiv.org/abs/2010.02502)) needs three lines for a step from $t$ to an
# earlier $t_\text{prev}$:
#
# 1. ask the network for $\epsilon$;
# 2. conclude what $x_0$ would be;
# 3. mix the two again, with the shares of $t_\text{prev}$: more picture, less noise (their equation 12):
#
# $$x_{t_\text{prev}} = \sqrt{\bar\alpha_{t_\text{prev}}}\; \hat x_0
# + \sqrt{1 - \bar\alpha_{t_\text{prev}}}\; \epsilon$$
#
# ### Exercise 3: One step of DDIM · ●●○ medium · 5 minutes
#
# You get $\epsilon$, and $\bar\alpha$ at both ends of the step. At the end of the last one it is 1.

# %% tags=["exercise"]
def ddim_step(
    x_t: torch.Tensor, eps: torch.Tensor, alpha_bar: torch.Tensor, alpha_bar_prev: torch.Tensor
) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.ddim_step(ddim_step)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Exercise 2 is the second line. The noise in the third is the same `eps`, only its share changes.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def ddim_step(
#     x_t: torch.Tensor, eps: torch.Tensor, alpha_bar: torch.Tensor, alpha_bar_prev: torch.Tensor
# ) -> torch.Tensor:
#     x_0 = (x_t - (1 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt()
#     return alpha_bar_prev.sqrt() * x_0 + (1 - alpha_bar_prev).sqrt() * eps
# ```
#
# </details>
#
# A sampler is that step in a loop. We do not visit all 1000 timesteps; 25 of them, evenly spread, will do:

# %% tags=["nbval-check-output"]
print(*timesteps(25))

# %%
def alpha_bar_at(t):
    return diffusion.alphas_bar[t] if t >= 0 else torch.ones(())         # -1 stands for clean data

def ddim_by_hand(process, denoiser, x_t, steps=25, clip=torch.inf):
    visited = [*timesteps(steps), -1]
    for t, t_prev in zip(visited[:-1], visited[1:], strict=True):
        now, then, at = alpha_bar_at(t), alpha_bar_at(t_prev), torch.full((len(x_t),), t)
        x_0, _ = process.solve(denoiser(x_t, at), x_t, at)
        x_0 = x_0.clamp(-clip, clip)                                     # what is this for? you will see
        eps = (x_t - now.sqrt() * x_0) / (1 - now).sqrt()                # the noise that goes with this x_0
        x_t = then.sqrt() * x_0 + (1 - then).sqrt() * eps
    return x_t

# %%
x_T = torch.randn(400, 2, generator=torch.Generator().manual_seed(3))
free = ddim_by_hand(diffusion, predicts_eps, x_T)
print(f"largest coordinate of the data {points.abs().max():.1f}, of the samples {free.abs().max():.1f}")

# %% [markdown]
# Something went wrong. The table in section 3 warned us: at $t = 999$ the signal is nearly zero, and what we conclude
# about $x_0$ is the network's small mistake, divided by it:

# %%
t = torch.full((400,), 999)
x_0 = diffusion.solve(predicts_eps(x_T, t), x_T, t)[0]
print(f"signal at t = 999: {diffusion.alphas_bar[999].sqrt():.6f}; first estimates of x_0 up to {x_0.abs().max():.0f}")

# %% [markdown]
# There are two remedies.
#
# 1. *Cut off the estimates.* No data lies beyond 2.5, so no estimate may. (For pictures the limits are -1 and 1.) That
#    is crude, but it works, and whoever predicts $\epsilon$ does it, Karlo for example. It is the `clip` of our loop
#    and of the library's `DiffusionConfig`.
# 2. *Ask for something else.* With $v$, the table shows no large errors anywhere. We train once more, and keep copies
#    of the network on the way, to look at later.

# %%
v_diffusion = Diffusion(DiffusionConfig(target="v", clip=None))
torch.manual_seed(0)
model, losses, copies = PointNet(), [], {}
for step, loss in fit(v_diffusion, model, without_captions, 1500):
    losses.append(loss)
    if step in (1, 30, 150, 1500):
        copies[step] = {name: value.clone() for name, value in model.state_dict().items()}
        print(f"step {step:4}: loss {smooth(losses)[-1]:.2f}")

# %%
cut = ddim_by_hand(diffusion, predicts_eps, x_T, clip=2.5)
x_0 = ddim_by_hand(v_diffusion, model, x_T)
plane({"the data": Panel(points), "eps": Panel(free), "eps, cut off at 2.5": Panel(cut), "v": Panel(x_0)})

# %% [markdown]
# We go on with $v$. Loop and library agree, with and without a limit:

# %%
torch.testing.assert_close(last(ddim(v_diffusion, model, [], 25, x_T=x_T)), x_0, atol=1e-3, rtol=1e-3)
clipped = Diffusion(DiffusionConfig(target="eps", clip=2.5))
torch.testing.assert_close(last(ddim(clipped, predicts_eps, [], 25, x_T=x_T)), cut, atol=1e-3, rtol=1e-3)
print("equal to the library's ddim")

# %% [markdown]
# **Samples on their way.** The library's samplers hand out every step, so that we can look inside. Above is $x_t$,
# below the estimate of $x_0$ at the same time:

# %%
steps = list(ddim(v_diffusion, model, [], 25, x_T=x_T))
chosen = [steps[i] for i in (0, 8, 14, 18, 21, 24)]
panels = {f"x_t after t = {step.t}": Panel(step.x_t) for step in chosen}
panels |= {f"x_0 at t = {step.t}": Panel(step.x_0) for step in chosen}
plane(panels, columns=6, side=1.75)

# %% [markdown]
# The first estimates crowd in the middle: nothing is known yet, and the mean of all points is the best guess. Then
# groups form, then clusters. And these are the ways of sixty points:

# %%
ways = torch.stack([x_T, *(step.x_t for step in steps)])[:, :60]
plane({"from noise to data": Panel(points, paths=ways)}, side=4.2)

# %% [markdown]
# **Loss too high means noise.** The copies that we kept, early to late, all asked to draw from the same noise:

# %%
early, panels = PointNet(), {}
for step, state in copies.items():
    early.load_state_dict(state)
    loss = smooth(losses)[step - 1]
    panels[f"step {step}: loss {loss:.2f}"] = Panel(last(ddim(v_diffusion, early, [], 25, x_T=x_T)))
plane(panels)

# %% [markdown]
# Between the last two, the loss gained less than before, and the samples far more. What decides about shapes are
# the timesteps with little noise, and the mean over all timesteps hardly shows them. Pictures will tell the same story.
#
# **DDPM** (Ho et al., 2020) is the older way. Suppose that we knew $x_0$. Then what was $x_{t_\text{prev}}$, one step
# before $x_t$? That is a normal distribution with a mean between $x_0$ and $x_t$ (equations 6 and 7). With
# $\alpha = \bar\alpha_t / \bar\alpha_{t_\text{prev}}$ for the step and $\beta = 1 - \alpha$:
#
# $$\text{mean} = \frac{\sqrt{\bar\alpha_{t_\text{prev}}}\; \beta}{1 - \bar\alpha_t}\, x_0
# + \frac{\sqrt{\alpha}\, (1 - \bar\alpha_{t_\text{prev}})}{1 - \bar\alpha_t}\, x_t, \qquad
# \text{variance } \tilde\beta = \frac{1 - \bar\alpha_{t_\text{prev}}}{1 - \bar\alpha_t}\, \beta$$
#
# DDPM puts the estimate in the place of $x_0$ and draws from it: at each step some noise goes and a little new noise
# comes.
#
# ### Exercise 4: The mean of a DDPM step · ●●● hard · 12 minutes
#
# Before you type the formula, derive it: $x_{t_\text{prev}} = \sqrt{\bar\alpha_{t_\text{prev}}}\, x_0 +
# \text{noise}$ is one source of knowledge, with the variance $1 - \bar\alpha_{t_\text{prev}}$.
# $x_t = \sqrt\alpha\, x_{t_\text{prev}} + \text{noise}$ is another, with the variance $\beta / \alpha$ once you
# have solved it for $x_{t_\text{prev}}$. Two measurements are combined by weighting each with 1 / variance.

# %% tags=["exercise"]
def posterior_mean(
    x_0: torch.Tensor, x_t: torch.Tensor, alpha_bar: torch.Tensor, alpha_bar_prev: torch.Tensor
) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.posterior_mean(posterior_mean)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The first measurement says $\sqrt{\bar\alpha_{t_\text{prev}}}\, x_0$ with weight
# $1 / (1 - \bar\alpha_{t_\text{prev}})$, the second $x_t / \sqrt\alpha$ with weight $\alpha / \beta$. The sum of the
# weights is
# $(1 - \bar\alpha_t) / \big((1 - \bar\alpha_{t_\text{prev}})\, \beta\big)$. In code, use the final formula: the first
# weight is infinite at the last step.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def posterior_mean(
#     x_0: torch.Tensor, x_t: torch.Tensor, alpha_bar: torch.Tensor, alpha_bar_prev: torch.Tensor
# ) -> torch.Tensor:
#     alpha = alpha_bar / alpha_bar_prev
#     towards_x_0 = alpha_bar_prev.sqrt() * (1 - alpha) / (1 - alpha_bar)
#     towards_x_t = alpha.sqrt() * (1 - alpha_bar_prev) / (1 - alpha_bar)
#     return towards_x_0 * x_0 + towards_x_t * x_t
# ```
#
# </details>
#
# The sampler by hand, with our version of the mean, against the library's. Both get the same noise:

# %%
def ddpm_by_hand(process, denoiser, noise, steps):
    visited, x_t = [*timesteps(steps), -1], noise[0]
    for i, (t, t_prev) in enumerate(zip(visited[:-1], visited[1:], strict=True)):
        now, then, at = alpha_bar_at(t), alpha_bar_at(t_prev), torch.full((len(x_t),), t)
        x_0, _ = process.solve(denoiser(x_t, at), x_t, at)
        x_t = checks.posterior_mean.reference(x_0, x_t, now, then)
        if t_prev >= 0:
            x_t = x_t + ((1 - then) / (1 - now) * (1 - now / then)).sqrt() * noise[i + 1]
    return x_t

# %%
g = torch.Generator().manual_seed(4)
noise_100 = [torch.randn(400, 2, generator=g) for _ in range(100)]
from_the_library = last(ddpm(v_diffusion, model, noise_100, 100))
by_hand = ddpm_by_hand(v_diffusion, model, noise_100, 100)
torch.testing.assert_close(by_hand, from_the_library, atol=2e-3, rtol=1e-3)
print("equal up to rounding")

# %% [markdown]
# (The tolerance is a thousandth: the library's tables have 32 bits, like those of the released models, and that is what
# the very last step loses by it.)
#
# **How much new noise?** DDIM and DDPM are two ends of one family. The number $\eta$ says how much of the noise is
# replaced at each step: $\eta = 0$ is DDIM, $\eta = 1$ is DDPM.

# %%
eta_1 = last(ddim(v_diffusion, model, noise_100, 100, eta=1))
torch.testing.assert_close(eta_1, from_the_library, atol=2e-3, rtol=1e-3)
print("eta = 1 is DDPM")

# %% [markdown]
# What difference does it make? Here 400 samples all begin at *one and the same* $x_T$:

# %%
one, panels = torch.tensor([[-0.3, 0.9]]).expand(400, 2), {}
for eta in (0, 0.2, 0.5, 1):
    noise_25 = [torch.randn(400, 2, generator=g) for _ in range(25)]
    panels[f"eta = {eta}"] = Panel(last(ddim(v_diffusion, model, noise_25, 25, eta=eta, x_T=one)))
plane(panels)

# %% [markdown]
# With $\eta = 0$ the way is fixed: one $x_T$, one result. The larger $\eta$, the farther samples stray from there. The
# paper draws *variations* of a picture in this way (section 3.1): find the $x_T$ that belongs to it, and go back with
# $\eta > 0$. Notebook 09 does so.
#
# **How many steps?** To compare, we need a number for how far two clouds of points are apart: from each point to the
# nearest one of the other cloud, on average. Samples that are where no data is count, and so does data to which no
# sample came.

# %%
def apart(a, b):
    distance = torch.cdist(a, b)
    return (distance.amin(dim=0).mean() + distance.amin(dim=1).mean()).item() / 2

fresh = draw(400, torch.Generator().manual_seed(5))[0]
print(f"two clouds of data: {apart(points, fresh):.3f}; data and pure noise: {apart(points, x_T):.3f}")

# %%
counts, found = (2, 3, 5, 10, 25, 50, 100), {"DDIM": [], "DDPM": []}
for count in counts:
    found["DDIM"].append(last(ddim(v_diffusion, model, noise_100, count)))
    found["DDPM"].append(last(ddpm(v_diffusion, model, noise_100, count)))
lines = {name: (counts, [apart(points, x) for x in samples]) for name, samples in found.items()}
lines["fresh data"] = ((2, 100), [apart(points, fresh)] * 2)
plots.curves(lines, "steps", "distance from the data", log_x=True)

# %%
plane({f"{name}, {count} steps": Panel(samples[counts.index(count)])
       for name, samples in found.items() for count in (2, 3, 5, 10, 50)}, columns=5, side=1.9)  # fmt: skip

# %% [markdown]
# Too few steps, and the samples do not get where they should: each step goes straight on along an arrow that is right
# only at its beginning. Beyond some number nothing is gained. The paper takes 64 steps for the prior, 250 for the
# decoder, and 27 and 15 with DDIM for the upsamplers (Table 3). A network can also learn how much new noise to add, the
# *learned variance* of the paper's decoder; that is for notebook 06.
#
# ## 6. Data of the wrong size
#
# The schedule mixes $x_0$ with noise of size 1. That makes sense only if the data has about that size, too. Suppose
# that somebody measures our points in metres and not in kilometres, or the other way round:

# %%
panels = {"x 1": Panel(x_0)}
for size in (0.02, 0.2, 5, 50):
    torch.manual_seed(0)
    scaled = PointNet()
    list(fit(v_diffusion, scaled, lambda count, g, size=size: (size * draw(count, g)[0], None), 600))
    panels[f"x {size}"] = Panel(last(ddim(v_diffusion, scaled, [], 25, x_T=x_T)) / size)
panels = {f"{name}: distance {apart(points, panel.dots):.2f}": panel for name, panel in panels.items()}
plane(panels, columns=5, side=1.9)

# %% [markdown]
# The noise does not know how large the data is. So the signal-to-noise ratio of section 2 is multiplied by the square
# of the size. Where it is above 100 the data is as good as clean, below 1/100 nothing is left to see; whatever is
# decided is decided between the two. How many of the 1000 timesteps lie there, and how many of the 25 that we visit?

# %% tags=["nbval-check-output"]
print("size   as large as the noise at t =   timesteps that decide   of 25 visited")
for size in (0.02, 0.2, 1, 5, 50):
    ratio = size**2 * diffusion.alphas_bar / (1 - diffusion.alphas_bar)
    decides = (ratio > 0.01) & (ratio < 100)
    print(f"{size:<5}{int((ratio > 1).sum()):29}{int(decides.sum()):24}{int(decides[timesteps(25)].sum()):16}")

# %% [markdown]
# Too small, and the data drowns at once: what matters happens in the last timesteps, over distances that are tiny for
# the network, and the loss, a mean over all timesteps, hardly hears of it. Too large, and the data is clean nearly
# everywhere: all is decided in very few steps. With a size near 1 the work is spread over the whole way.
#
# A CLIP embedding of length 1 with 1024 numbers has numbers of size $1/\sqrt{1024} \approx 0.03$. The paper therefore
# multiplies them by 17.2 (Appendix C); ours and Karlo's priors divide each axis by its own standard deviation, as axes
# differ, too. If a diffusion model refuses to learn, print `x_0.std()` first:

# %%
some = torch.stack([Scenes("train")[i].image() for i in range(64)])
z_i = CLIP.from_pretrained("scenes").encode_image(some)
print(f"our points {points.std():.2f}, our pictures {some.std():.2f}")
print(f"z_i {z_i.std():.2f}; one axis of it for all pictures {z_i.std(dim=0).max():.2f}, another "
      f"{z_i.std(dim=0).min():.4f}; brought to length 1 {F.normalize(z_i, dim=1).std():.2f}")  # fmt: skip

# %% [markdown]
# ## 7. Guidance
#
# Now the captions. The network is told $y$, and one time in five it is not: it then sees `NOTHING` in its place. So
# one network learns both, points of a caption and points in general. (The paper drops the image embedding 10% of the
# time and the caption 50%, section 2.1.)

# %%
def with_captions(count, g):
    x_0, y = draw(count, g)
    return x_0, torch.where(torch.rand(count, generator=g) < 0.2, NOTHING, y)

torch.manual_seed(0)
captioned, losses = PointNet(), []
for step, loss in fit(v_diffusion, captioned, with_captions, 2000):
    losses.append(loss)
    if step % 500 == 0:
        print(f"step {step}: loss {smooth(losses)[-1]:.3f}")

# %% [markdown]
# At every place of the plane there are now two answers: the way out of the noise in general, and the way that a blue
# point would take. **Classifier-free guidance** ([Ho & Salimans, 2022](https://arxiv.org/abs/2207.12598)) takes their
# difference and goes $w$ times as far:
#
# $$\hat\epsilon = \epsilon(x_t) + w\, \big(\epsilon(x_t \mid y) - \epsilon(x_t)\big)$$
#
# The same formula serves for $v$ and $x_0$ (a question at the end asks why).
#
# ### Exercise 5: Guidance · ●○○ easy · 2 minutes
#
# `uncond` is the prediction without the caption, `cond` the one with it.

# %% tags=["exercise"]
def guide(uncond: torch.Tensor, cond: torch.Tensor, w: float) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.guide(guide)

# %% [markdown]
# <details><summary>Hint</summary>
#
# At $w = 1$ nothing but `cond` must be left. (Some papers count from there and call our $w$ by $1 + w$.)
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
at, y = torch.full((len(tails),), 400), torch.zeros(len(tails), dtype=torch.int64)
uncond, cond = captioned(tails, at), captioned(tails, at, y)
way_out = {name: -v_diffusion.solve(v, tails, at)[1] for name, v in
           {"in general": uncond, "blue": cond, "w = 4": checks.guide.reference(uncond, cond, 4)}.items()}  # fmt: skip
way_out["blue - in general"] = way_out["blue"] - way_out["in general"]
noised = diffusion.q_sample(points, at[:1].expand(600), torch.randn(points.shape, generator=g))
plane({name: Panel(noised, labels, (tails, way_out[name])) for name in
       ("in general", "blue", "blue - in general", "w = 4")}, side=2.4)  # fmt: skip

# %% [markdown]
# (Each panel has its own scale for the arrows.) The difference points away from whatever speaks against blue. Where
# nothing but blue is, far up, it is small. Between the captions, it is large.
#
# The library wraps a network so that a sampler does not notice. `guided` asks both questions at once, in a batch of
# twice the size whose first half is without caption:

# %%
def guided_by(y, w):
    """A denoiser for the captions y (N,), guided with w."""
    both = torch.cat([torch.full_like(y, NOTHING), y])
    return guided(lambda x_t, t: captioned(x_t, t, both), w)

torch.testing.assert_close(guided_by(y, 4)(tails, at), uncond + 4 * (cond - uncond), atol=1e-4, rtol=1e-4)
print("equal")

# %% [markdown]
# Move the slider. Left and middle: the arrows at two noise levels, over the data with that much noise. Right: the
# samples for "blue", over all the data in grey. From which guidance on is the blue cluster near the middle given up,
# and what do the arrows do there? (From here on estimates are cut off at 2.5; strong guidance needs it.)

# %% tags=["nbval-ignore-output"]
limited = Diffusion(DiffusionConfig(target="v", clip=2.5))
field_grid(limited, guided_by, data, label=0, name=names[0], scales=(0, 1, 3, 8))

# %% [markdown]
# And with a kernel, for any caption, guidance, noise level and number of steps:

# %% tags=["nbval-ignore-output"]
FieldExplorer(limited, guided_by, data, names)

# %% [markdown]
# **Fidelity and diversity,** the two measures of notebook 01, can be had exactly here. A sample is true to its
# caption if that caption is the most probable one at its place, according to the density that we know. Its caption
# leaves open in which of three clusters it lies, so diversity is the effective number of these. And a sample lies *in
# a cluster* if it is within three of its widths.

# %%
def nearest(x):
    """The distance of each point to its nearest cluster, in widths, and which of the nine that is."""
    return ((x[:, None] - centres.flatten(0, 1)).norm(dim=2) / widths.flatten()).min(dim=1)

def in_a_cluster(x):
    return (nearest(x).values < 3).float().mean().item()

def fidelity(x, y):
    clean = torch.full((len(x),), -1)
    return (log_density(x, clean).logsumexp(dim=2).argmax(dim=1) == y).float().mean().item()

def diversity(x, y):
    return checks.effective_number.reference([int((nearest(x).indices == 3 * y + k).sum()) for k in range(3)])

blue = points[labels == 0]
print(f"the blue data itself: fidelity {fidelity(blue, 0):.2f}, diversity {diversity(blue, 0):.2f} of 3, "
      f"{in_a_cluster(blue):.0%} in a cluster")  # fmt: skip

# %%
scales, y = (0, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 10), torch.zeros(400, dtype=torch.int64)
samples = {w: last(ddim(limited, guided_by(y, w), [], 25, x_T=x_T)) for w in scales}
lines = {"fidelity": [fidelity(x, 0) for x in samples.values()],
         "diversity, share of 3": [diversity(x, 0) / 3 for x in samples.values()],
         "in a cluster": [in_a_cluster(x) for x in samples.values()]}  # fmt: skip
plots.curves({name: (scales, values) for name, values in lines.items()}, "guidance w", "share")

# %%
plane({f"w = {w}": Panel(samples[w], labels=y) for w in (0, 1, 2, 4, 10)}, columns=5, side=1.9)

# %% [markdown]
# That is the whole story of guidance in one figure:
#
# - A little above 1 it helps: samples that could be something else become rare.
# - Then diversity falls. The blue cluster in the middle is given up, because red and green are near. Most of its
#   samples were fine! Guidance prefers what could not possibly be something else.
# - Far beyond, samples leave the data: the difference of the two answers goes on pushing where nothing is left to push
#   away from, up to the limit at which estimates are cut off. For pictures, that limit is black and white.
#
# ## 8. Pictures
#
# A picture is a point with more coordinates, $3 \times 32 \times 32$ of them. Not a word of the theory changes. What
# changes is the network: the library's **U-Net** reads a picture at several sizes and says something about every pixel.
# Notebook 06 takes it apart. To keep it short we train without captions, and on scenes with a single thing only.

# %%
size = {"cpu": 3000, "gpu": 100_000}[profile]
items = (Scenes("train")[i] for i in range(size))
pictures = torch.stack([item.image() for item in items if item.scene.layout == "alone"])
print(f"{len(pictures)} pictures of {pictures[0].numel()} numbers each")

# %%
unet_config = UNetConfig(channels=48, mults=(1, 2), blocks=1, attention=(), context_width=None, patch=4, groups=8)
config = {"cpu": TrainConfig(steps=400, batch=32, lr=4e-3, warmup=20, ema=0.98, bf16=False),
          "gpu": TrainConfig(steps=20_000, batch=256)}[profile]  # fmt: skip

def batches(first_step):
    g = torch.Generator().manual_seed(first_step)
    while True:
        yield pictures[torch.randint(len(pictures), (config.batch,), generator=g)]

def loss_of(process):
    def loss(unet, images, rng):
        t = torch.randint(1000, (len(images),), generator=rng)
        eps = torch.randn(images.shape, generator=rng)
        return process.loss(unet, images.to(device), t.to(device), eps.to(device)).mean()
    return loss

print(f"{config.steps} steps with {config.batch} pictures each")

# %% [markdown]
# The loop is the library's `Trainer`, as in notebooks 01 and 02. It also keeps an average of the weights
# over the last steps (*EMA*). Samples are drawn with the average, which jitters less.
#
# First the paper's choice: the network predicts $\epsilon$. We stop after a fifth of the time.

# %%
def sample(process, unet, count=6):
    noise = noise_stream((count, 3, 32, 32), generators(0, count), device)
    return last(ddim(process, unet, noise, 25))

torch.set_grad_enabled(True)
torch.manual_seed(0)
eps_diffusion = Diffusion(DiffusionConfig(target="eps"))
trainer = Trainer(UNet(unet_config).to(device), config)
for record in trainer.run(loss_of(eps_diffusion), batches):
    if record.step == config.steps // 5:
        break
print(f"step {record.step}: loss {record.loss:.2f}")

# %%
plots.show(sample(eps_diffusion, trainer.ema), columns=6, side=96, title="predicts the noise", seed=0)

# %% [markdown]
# Noise. Nothing is broken: every training looks like this at first. "My decoder draws only noise" is the question most
# often asked about programs of this kind ([for example](https://github.com/lucidrains/DALLE2-pytorch/issues/164)).
# Sometimes the training went wrong, most often by a learning rate that is too high, and the loss tells; otherwise the
# answer is to wait. But for which loss? Networks that are wrong by a known amount would tell. We can make them, because
# for a limited set of pictures the best possible answer is known, as it was in the plane.
#
# ### Exercise 6: The best possible answer · ●●● hard · 10 minutes
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
checks.best_x0(best_x0)

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
# The noise follows from $x_0$. A share of it is left out, `short`, as by a network that is still too cautious, and the
# loss grows by the square of that share:

# %%
def best_picture(x_t, t):
    alpha_bar = diffusion.alphas_bar[t[0]].item()                        # one t for the whole batch
    return checks.best_x0.reference(x_t.flatten(1), pictures.flatten(1), alpha_bar).view_as(x_t)

def best_noise(x_t, t, short=0.0):
    signal, sigma = diffusion.scales(t, x_t)
    return (1 - short) * (x_t - signal * best_picture(x_t, t)) / sigma

def mean_loss(process, denoiser):
    g, losses = torch.Generator().manual_seed(6), []
    for t in range(5, 1000, 10):
        x_0 = pictures[torch.randint(len(pictures), (4,), generator=g)]
        losses.append(process.loss(denoiser, x_0, torch.full((4,), t), torch.randn(x_0.shape, generator=g)).mean())
    return torch.stack(losses).mean().item()

# %%
drawn = {}
for short in (0.7, 0.5, 0.3, 0.2, 0.1, 0):
    denoiser = partial(best_noise, short=short)
    noise = noise_stream((2, 3, 32, 32), generators(0, 2))
    drawn[f"loss {mean_loss(eps_diffusion, denoiser):.3f}"] = last(ddim(eps_diffusion, denoiser, noise, 25))
rows = [images[i] for i in range(2) for images in drawn.values()]
plots.show(rows, [*drawn] * 2, columns=6, side=96, seed=0)

# %% [markdown]
# In the first column half of the loss is gone that knowing nothing costs, and yet there is hardly anything but noise.
# Only when a small part of the loss is left do pictures come free of it. And these networks err in one way only; one in
# training is also wrong about the picture, and then still less may be left. In the thread above the advice is to wait
# until the loss is near 0.05. Between two losses that are ten times as high, you will see no difference.
#
# The last column is worth a second look. The best possible answer draws perfect pictures, but by its formula it can
# only mix what it was given, and as the noise goes, the weight of a single picture goes to 1: it draws copies. That a
# *network* draws anything new is due to its being unable to know all pictures by heart.
#
# Now a network that predicts $x_0$, for which the largest errors are those in much noise. It learns first what a
# picture looks like from afar, and fine detail later; for small networks and short trainings that is a good order.

# %%
torch.manual_seed(0)
x0_diffusion = Diffusion(DiffusionConfig(target="x0"))
trainer, records, early = Trainer(UNet(unet_config).to(device), config), [], {}
for record in trainer.run(loss_of(x0_diffusion), batches):
    records.append(record)
    if record.step in (config.steps // 8, config.steps // 3, config.steps):
        early[record.step] = sample(x0_diffusion, trainer.ema)
        print(f"step {record.step}: loss {record.loss:.3f}")

# %% [markdown]
# Two numbers to compare the loss with: what a network pays that always answers with the mean picture, and what the
# best possible answer pays, which knows all pictures by heart.

# %%
torch.set_grad_enabled(False)
seen, mean = [record.examples for record in records], pictures.mean(dim=0)
marks = {"always the mean picture": ((pictures - mean) ** 2).mean().item(),
         "the best possible": mean_loss(x0_diffusion, best_picture)}  # fmt: skip
lines = {"this training": (seen, plots.running_mean(records, 20))}
lines |= {name: ((seen[0], seen[-1]), (loss, loss)) for name, loss in marks.items()}
plots.curves(lines, "examples seen", "loss", log_x=True)

# %%
shown = [image for images in early.values() for image in images[:4]]
plots.show(shown, [f"step {step}" for step in early for _ in range(4)], columns=4, side=96, seed=0)

# %% [markdown]
# The mean picture is learned first, then the backgrounds, then that there is a thing in the middle and its colour.
# Shapes take much longer. Such blurs are what an honest minute looks like. From noise to picture, as the network sees
# it:

# %%
stream = noise_stream((1, 3, 32, 32), generators(1, 1), device)
plots.film_strip(list(ddim(x0_diffusion, trainer.ema, stream, 25))[::8], seed=1)

# %% [markdown]
# Compare with the points of section 5: the first guess is the middle of all pictures, then the groups separate
# (backgrounds), then what is within them.
#
# **Are they copies?** A network may learn its pictures by heart after all, if there are few of them and it is large.
# For each sample, the nearest of a thousand training pictures:

# %%
drawn = early[config.steps].cpu()
distance = (drawn[:, None] - pictures[None, :1000]).abs().mean(dim=(2, 3, 4))
twins = pictures[distance.argmin(dim=1)]
plots.show([*drawn, *twins], ["drawn"] * 6 + ["nearest in training"] * 6, columns=6, side=96)

# %% [markdown]
# ## 9. The finished decoder
#
# **Loading the finished weights.** From here on, the decoder that comes with this library: a larger U-Net of the same
# kind, trained for longer, which is also told of a picture's embedding $z_i$ and of its caption. We take the $z_i$ of
# two renders.

# %%
cascade = minunclip.load("scenes", device)
other = Scene((Thing("star", "yellow", "big"),), "alone", "meadow", "flat", seed=2)
captions = ["a big red heart above a small blue fish", "a big yellow star on a meadow"]
renders = torch.stack([to_tensor(render(one, 32)) for one in (scene, other)]).to(device)
z_i, text = cascade.clip.encode_image(renders), cascade.encode_text(captions)

def decode(w, seed=0):
    noise = noise_stream((2, 3, 32, 32), generators(seed, 2), device)
    return last(ddim(cascade.decoder.diffusion, cascade.decoder_denoiser(z_i, text, w), noise, 15))

print("z_i", tuple(z_i.shape), "z_t", tuple(text.embed.shape))

# %%
scales = (0, 1, 2, 4, 8, 20)
decoded = {w: decode(w) for w in scales}
plots.show([renders[0], *(decoded[w][0] for w in scales)], ["the render", *(f"w = {w}" for w in scales)], columns=7,
           side=96, seed=0)  # fmt: skip

# %% [markdown]
# At $w = 0$ the condition is ignored, and the decoder draws just any scene. At large $w$ colours become glaring. The
# reason is the same as in the plane: the difference of the two answers pushes estimates over the limit. How far, if
# nobody cuts them off?

# %%
x_t, t = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(5)).to(device), torch.tensor([800, 800])
for w in scales:
    output = cascade.decoder_denoiser(z_i, text, w)(x_t, t.to(device))
    x_0 = cascade.decoder.diffusion.solve(output[:, :3], x_t, t.to(device))[0]
    outside = (x_0.abs() > 1).float().mean()
    print(f"w = {w:2}: estimates of x_0 from {x_0.min():5.1f} to {x_0.max():4.1f}, {outside:.0%} outside -1 to 1")

# %%
def at_the_limit(images):
    return (images.abs() > 0.98).float().mean().item()

lines = {"decoded": (scales, [at_the_limit(decoded[w]) for w in scales]),
         "the renders": ((0, 20), [at_the_limit(renders)] * 2)}  # fmt: skip
plots.curves(lines, "guidance w", "share of colours at -1 or 1")

# %% [markdown]
# A share above that of the renders is *saturation*. The paper varies the guidance of its decoder from 1 to 4 (Figures
# 9 to 11), and its best FID comes at 1.25 (Table 2). Notebook 08 measures fidelity and diversity of whole pictures.
#
# Must it be so at every step? [Kynkäänniemi et al. (2024)](https://arxiv.org/abs/2404.07724) guide in the middle of the
# noise levels only: while there is hardly anything but noise, guidance drives all pictures to the same place, and at
# the end there is nothing left to decide. `guided_within` is `guided` with such an interval. The same noise, the same
# scales, guided from $t = 800$ to $200$ only:

# %%
plain = cascade.decoder_denoiser(z_i, text)

def decode_within(w, seed=0):
    noise = noise_stream((2, 3, 32, 32), generators(seed, 2), device)
    denoiser = guided_within(200, 800, cascade.decoder_denoiser(z_i, text, w), plain)
    return last(ddim(cascade.decoder.diffusion, denoiser, noise, 15)).clamp(-1, 1)

within = {w: decode_within(w) for w in scales}
plots.show([renders[0], *(within[w][0] for w in scales)], ["the render", *(f"w = {w}" for w in scales)], columns=7,
           side=96, seed=0)  # fmt: skip

# %%
saturated, calm = at_the_limit(decoded[20]), at_the_limit(within[20])
claims.check(f"At w = 20 {calm:.1%} of the colours lie at the limit, and {saturated:.1%} with guidance at every "
             "step.", calm < saturated / 2)

# %% [markdown]
# ## 10. Pixels or codes?
#
# Our decoder works on pixels, and so does the paper's. *Latent diffusion*
# ([Rombach et al., 2022](https://arxiv.org/abs/2112.10752), the method of Stable Diffusion) first compresses the
# picture: one network makes a code of it, another makes the picture again, nearly as it was. Diffusion then runs on
# the codes, which have far fewer numbers.

# %% tags=["nbval-check-output"]
print(f"a picture of 512 pixels: {3 * 512 * 512:7,} numbers")
print(f"its code there, 4 x 64 x 64: {4 * 64 * 64:4,} numbers")

# %%
print(f"a picture of 32 pixels: {renders[0].numel():,} numbers; z_i: {z_i.shape[1]} numbers")

# %% [markdown]
# $z_i$ has few numbers, too, and the prior runs a diffusion on it. Yet it is no code of that kind: the picture cannot
# be had back from it. CLIP was trained to tell what its caption would say, not to keep every pixel. Four pictures
# from the same $z_i$ and caption, with other noise, and two averages:

# %%
several = torch.stack([decode(2, seed=seed)[0] for seed in (0, 10, 20, 30)])
t = torch.full((2,), 999, device=device)
x_T = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(device)
at_once = cascade.decoder.diffusion.estimate(cascade.decoder_denoiser(z_i, text)(x_T, t), x_T, t)[0][0]
plots.show([renders[0], *several, several.mean(dim=0), at_once], ["the render", *["decoded"] * 4, "mean of the four",
           "first guess"], columns=7, side=96)  # fmt: skip

# %% [markdown]
# The four agree in what there is, and differ in where it stands. A network that had to answer with *one* picture at
# once would do best with the mean of all that is possible, a blur. The decoder's first guess, from pure noise, is that.
# And so a diffusion model stands here and not a plain network: it draws *one* of the many pictures that a $z_i$ allows.
#
# What is near in pixels need not be near in $z_i$. Four changes to our scene:

# %%
heart, fish = scene.things
changes = {"another seed": Scene((heart, fish), "column", "night", "crayon", seed=5),
           "star, not heart": Scene((Thing("star", "red", "big"), fish), "column", "night", "crayon", seed=4),
           "green fish": Scene((heart, Thing("fish", "green", "small")), "column", "night", "crayon", seed=4),
           "drawn flat": Scene((heart, fish), "column", "night", "flat", seed=4)}  # fmt: skip
for name, changed in changes.items():
    image = to_tensor(render(changed, 32))[None].to(device)
    cosine = cascade.clip.similarity(cascade.clip.encode_image(image), z_i[:1]).item()
    pixels = (image - renders[:1]).abs().mean()
    print(f"{name:16} mean difference of the pixels {pixels:.3f}, cosine of z_i {cosine:.3f}")

# %% [markdown]
# So the work is divided. The prior decides *what* there will be, in a space where nearness means that things are alike.
# The decoder decides where each pixel goes. Whatever $z_i$ does not say is the decoder's to invent, and in that freedom
# lie the variations of section 3.1 and notebook 09.
#
# ## Summary
#
# | | |
# | --- | --- |
# | forward process | $x_t = \text{signal} \cdot x_0 + \text{sigma} \cdot \epsilon$ in one jump; squares sum to 1 |
# | schedule | how $\bar\alpha_t = \text{signal}^2$ falls with $t$; cosine, or linear |
# | answer | $\epsilon$, $x_0$ or $v$: each gives the others, but mistakes weigh differently |
# | loss | mean squared error of the answer at a random $t$; 1 for knowing nothing of $\epsilon$, and never 0 |
# | best answer | for a limited set of pictures, a weighted mean of them; a sampler then draws copies |
# | arrows | $-\epsilon / \text{sigma}$ is the gradient of the log density of what is that noisy |
# | DDIM | estimate $x_0$, mix again with less noise; the start decides everything |
# | DDPM | draw from the posterior of the estimate; new noise at each step; DDIM with $\eta = 1$ |
# | clip | estimates are cut off at the limits of the data; needed for $\epsilon$ in much noise |
# | size | data must have about the size of the noise, 1 |
# | guidance | away from "anything", towards the caption, $w$ times; fidelity up, diversity down, then saturation |
#
# ## Questions
#
# <details><summary>Why may training jump to a random t, while sampling has to walk?</summary>
#
# In training $x_0$ is known, and $x_t$ is a mixture of it with known shares. In sampling $x_0$ is what we look for. The
# first estimate is the mean of all that is possible; only by walking, and asking again with less noise, does one of the
# possibilities win.
#
# </details>
#
# <details><summary>The loss of your model stands at 0.3 and does not move. Is it finished?</summary>
#
# It may be near the best possible loss, as in section 4, or far from it; the number alone cannot tell. Draw samples,
# and compare with trainings on the same data with the same answer and schedule.
#
# </details>
#
# <details><summary>You sample twice with DDIM and get the same picture. How do you get another one?</summary>
#
# Start from another $x_T$ (another seed), or take $\eta > 0$, so that new noise comes in on the way.
#
# </details>
#
# <details><summary>One model predicts eps, another v. Can both be guided by the same formula?</summary>
#
# Yes. For a given $x_t$ the answers follow from each other by adding a fixed amount and multiplying, and the guided
# answer is a mixture $(1 - w) \cdot \text{uncond} + w \cdot \text{cond}$ whose shares sum to 1. So it does not matter
# which of them is mixed.
#
# </details>
#
# <details><summary>Guidance of 8 drew no false point, and yet it spoiled the set. What was lost?</summary>
#
# A third of all right answers, the cluster in the middle. Fidelity cannot see that, only diversity can.
#
# </details>
#
# ## Where to read on
#
# - The code: [diffusion/process.py](../minunclip/diffusion/process.py) is sections 1 to 3,
#   [diffusion/samplers.py](../minunclip/diffusion/samplers.py) section 5 and
#   [diffusion/guidance.py](../minunclip/diffusion/guidance.py) section 7. Their tests compare them with diffusers, step
#   by step.
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125): section 2.1 for guidance and for what is dropped in
#   training, Appendix C and Table 3 for schedules, steps and the 17.2.
# - Ho et al., [Denoising diffusion probabilistic models](https://arxiv.org/abs/2006.11239) (2020): the loss and DDPM.
#   Nichol & Dhariwal, [Improved DDPM](https://arxiv.org/abs/2102.09672) (2021): the cosine schedule, fewer steps.
# - Song et al., [Denoising diffusion implicit models](https://arxiv.org/abs/2010.02502) (2020): DDIM. Song et al.,
#   [Score-based generative modeling](https://arxiv.org/abs/2011.13456) (2021): the arrows.
# - Salimans & Ho, [Progressive distillation](https://arxiv.org/abs/2202.00512) (2022): $v$, and what weighs how much.
#   Hoogeboom et al., [Simple diffusion](https://arxiv.org/abs/2301.11093) (2023): schedules for large pictures.
