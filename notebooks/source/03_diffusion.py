# %% [markdown]
# # 03 · Diffusion, in a plane
#
# How does a machine draw a picture that nobody has ever seen? It starts from pure noise and removes the noise, a
# little at a time. A network that does this is called a *diffusion model*. The prior, the decoder and the upsamplers
# of unCLIP are all diffusion models.
#
# In this notebook the "picture" is a point in a plane: two numbers. Everything can be drawn, and the best possible
# answer is known, so that we can check what a network learns. Notebook 04 does the same with real pixels.

# %%
import torch

from minunclip import plots
from minunclip.course import checks, claims
from minunclip.course.plane import PointNet, apart, best_eps, draw, fit, log_density
from minunclip.diffusion import Diffusion, DiffusionConfig, ddim, ddpm, last, timesteps
from minunclip.plots import Panel, lattice, plane

# %%
torch.set_grad_enabled(False)                     # `fit` switches it on where it trains
diffusion = Diffusion(DiffusionConfig(clip=None))
points, labels = draw(600, torch.Generator().manual_seed(0))
noise = torch.randn(points.shape, generator=torch.Generator().manual_seed(1))
panels = {f"t = {t}": Panel(diffusion.q_sample(points, torch.full((600,), t), noise), labels)
          for t in (0, 200, 400, 600, 999)}
plane(panels, columns=5, side=1.9)

# %% [markdown]
# Nine clusters of points drown in noise. From left to right that is easy: anybody can add noise. From right to left
# is what the model learns.
#
# **What you will see**
#
# 1. Noise in small steps.
# 2. The same noise in one jump, and the *schedule*: how much noise there is at each time.
# 3. What a network can be asked to predict, and the loss.
# 4. A first diffusion model. You train it in seconds and compare it with the best possible one.
# 5. Two ways back from noise: DDIM and DDPM.
# 6. What happens if the data has the wrong size.
#
# **What you need to know before:** how a network is trained in PyTorch, what a standard deviation is, and that the
# variances of independent numbers add up.
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("03_diffusion")

# %% [markdown]
# Reading takes about 30 minutes, the exercises another 40. The fast path, 15 minutes: sections 2, 3 and 5.
#
# ## 1. Noise in small steps
#
# One step of the *forward process* shrinks $x$ a little and adds a little noise $\epsilon$. The noise is drawn from
# the normal distribution with standard deviation 1 (Ho et al., 2020, equation 2):
#
# $$x_t = \sqrt{1 - \beta_t}\; x_{t-1} + \sqrt{\beta_t}\; \epsilon$$
#
# Here are three numbers and one large step, $\beta = 0.36$, so that both roots are round:

# %% tags=["nbval-check-output"]
beta, x = 0.36, torch.tensor([1.0, 0.0, -1.0])
x_1 = (1 - beta) ** 0.5 * x + beta**0.5 * torch.tensor([0.5, -1.0, 0.5])
print(f"{(1 - beta) ** 0.5:.1f} x + {beta**0.5:.1f} eps = {x_1.numpy().round(2)}")

# %% [markdown]
# **Predict, then run.** Why shrink at all? The next cell takes 200 steps with $\beta = 0.02$, once with shrinking and
# once without. Both start with a standard deviation of 1. Where do they end?

# %%
g = torch.Generator().manual_seed(0)
kept = added = torch.randn(100_000, generator=g)
for _ in range(200):
    step_noise = torch.randn(100_000, generator=g)
    kept, added = 0.98**0.5 * kept + 0.02**0.5 * step_noise, added + 0.02**0.5 * step_noise
claims.check(f"After 200 steps the standard deviation is {kept.std():.2f} with shrinking, and {added.std():.2f} "
             "without.", abs(kept.std() - 1) < 0.02 and added.std() > 2)

# %% [markdown]
# Variances add up. With shrinking the sum is $(1 - \beta) + \beta = 1$, so the numbers keep their size however many
# steps we take. Without it the variance grows by 0.02 each time, from 1 to 5.
#
# ## 2. The same in one jump
#
# Take two steps, each with $\beta = 0.36$. The data is multiplied by 0.8 twice. The first noise is multiplied by
# $0.6 \cdot 0.8$ and the second by 0.6. Their variances add up:

# %% tags=["nbval-check-output"]
signal, variance = 0.8 * 0.8, (0.6 * 0.8) ** 2 + 0.6**2
print(f"signal {signal:.2f}, variance of the noise {variance:.4f}, and 1 - signal^2 = {1 - signal**2:.4f}")

# %% [markdown]
# The sum of two normal noises is one normal noise. So we need not walk: we can jump to any $t$ at once. With
# $\bar\alpha_t$, the product of all $1 - \beta_s$ up to $t$ (Ho et al., equation 4):
#
# $$x_t = \sqrt{\bar\alpha_t}\; x_0 + \sqrt{1 - \bar\alpha_t}\; \epsilon$$
#
# To be sure, 20,000 copies of the number 1.5 walk 400 small steps, each with noise of its own:

# %%
x = torch.full((20_000,), 1.5)
for beta in diffusion.betas[:400]:
    x = (1 - beta).sqrt() * x + beta.sqrt() * torch.randn(20_000, generator=g)
mean, spread = 1.5 * diffusion.alphas_bar[399].sqrt(), (1 - diffusion.alphas_bar[399]).sqrt()
claims.check(f"400 steps: mean {x.mean():.3f}, standard deviation {x.std():.3f}. One jump: mean {mean:.3f}, "
             f"standard deviation {spread:.3f}.", abs(x.mean() - mean) < 0.02 and abs(x.std() - spread) < 0.02)

# %% [markdown]
# That is why training is cheap: it never walks, it jumps to a random $t$.
#
# ### Exercise 1: The jump · ●○○ easy · 5 minutes
#
# Write the jump for a batch. `x_0` and `eps` are (B, ...) with any number of axes, `t` (B,) has a timestep for each
# row, and `alphas_bar` is the table of all $\bar\alpha_t$. The next cell tries your function and says what is wrong.
# If it is right, it takes the place of the library's: every training from here on noises its data with *your* code. As
# long as it is empty, the notebook runs on with ours.

# %% tags=["exercise"]
def q_sample(x_0: torch.Tensor, t: torch.Tensor, eps: torch.Tensor, alphas_bar: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
q_sample = checks.mine(q_sample)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `alphas_bar[t]` is (B,). To multiply pictures (B, 3, 32, 32) it must be (B, 1, 1, 1), and points (B, 2) need (B, 1):
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
# The library calls it `diffusion.q_sample`. It gives the same as the formula:

# %% tags=["nbval-check-output"]
t = torch.full((600,), 350)
ours = q_sample(points, t, noise, diffusion.alphas_bar)
torch.testing.assert_close(diffusion.q_sample(points, t, noise), ours)
print("equal:", tuple(ours.shape))

# %% [markdown]
# **The schedule** says how $\bar\alpha_t$ falls from 1 to 0. Two schedules are common. In the *linear* one $\beta_t$
# grows evenly from 0.0001 to 0.02 (Ho et al.). The *cosine* one starts from $\bar\alpha$ itself (Nichol & Dhariwal,
# 2021, equation 17):
#
# $$\bar\alpha(u) = \frac{f(u)}{f(0)}, \qquad f(u) = \cos^2\!\Big(\frac{u + 0.008}{1.008} \cdot \frac{\pi}{2}\Big),
# \qquad u = \frac{t + 1}{1000}$$
#
# One number is changed by hand: no $\beta_t$ may be above 0.999. Without that limit $\bar\alpha$ would end at exactly
# 0, and the last $x_t$ would hold nothing of the data.

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
# The *signal-to-noise ratio*, $\bar\alpha_t / (1 - \bar\alpha_t)$, is easier to judge. How many of the 1000 timesteps
# does each schedule spend where?

# %% tags=["nbval-check-output"]
print("          more data than noise   more noise   hardly any data left (ratio below 1/100)")
for name, table in tables.items():
    ratio = table / (1 - table)
    counts = [int(((low <= ratio) & (ratio < high)).sum()) for low, high in ((1, 1e9), (0.01, 1), (0, 0.01))]
    print(f"{name:10}{counts[0]:20}{counts[1]:13}{counts[2]:20}")

# %% [markdown]
# The linear schedule spends a third of its steps on what is nearly pure noise, where there is little to learn. unCLIP
# takes the cosine schedule everywhere but in its last upsampler (Table 3 of the paper). Notebook 04 shows both on a
# picture, under a slider.
#
# ## 3. What the network should say
#
# The network sees $x_t$ and $t$. Since $x_t$ is a mixture with known shares, it need only name one of the two parts,
# and the other one follows. Three kinds of answer are in use. Write *signal* for $\sqrt{\bar\alpha_t}$ and *sigma* for
# $\sqrt{1 - \bar\alpha_t}$:
#
# | answer | what it is | used by |
# | --- | --- | --- |
# | $\epsilon$ | the noise | Ho et al.; the decoder and the upsamplers of the paper |
# | $x_0$ | the clean data | the prior of the paper (section 2.2); prior and decoder of our scenes |
# | $v$ | $\text{signal} \cdot \epsilon - \text{sigma} \cdot x_0$, some of both | Salimans & Ho, 2022; this notebook |
#
# One number by hand, with signal 0.8, sigma 0.6, $x_0 = 2$ and $\epsilon = 1$:

# %% tags=["nbval-check-output"]
signal, sigma = 0.8, 0.6
x_t, v = signal * 2.0 + sigma * 1.0, signal * 1.0 - sigma * 2.0
print(f"x_t = {x_t:.1f}, v = {v:.1f}")
print(f"x_0 from eps: {(x_t - sigma * 1.0) / signal:.1f}, from v: {signal * x_t - sigma * v:.1f}")
print(f"eps from x_0: {(x_t - signal * 2.0) / sigma:.1f}, from v: {sigma * x_t + signal * v:.1f}")

# %% [markdown]
# ### Exercise 2: The data behind the noise · ●○○ easy · 3 minutes
#
# Given `x_t`, its noise `eps` and `alpha_bar` (already shaped to fit), return $x_0$.

# %% tags=["exercise"]
def x0_from_eps(x_t: torch.Tensor, eps: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
x0_from_eps = checks.mine(x0_from_eps)

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
# In the library, `target_of` is what the network should answer, and `solve` finds both parts in any answer. There and
# back, for all three:

# %% tags=["nbval-check-output"]
kinds = {target: Diffusion(DiffusionConfig(target=target, clip=None)) for target in ("eps", "x0", "v")}
t = torch.randint(1000, (600,), generator=g)
for target, process in kinds.items():
    x_t = process.q_sample(points, t, noise)
    found = process.solve(process.target_of(points, t, noise), x_t, t)
    torch.testing.assert_close(found[0], points, atol=0.05, rtol=1e-3)
    print(f"{target:3}: the data found again")

# %% [markdown]
# If all three say the same, does it matter which one the network learns? It does, because a network is never quite
# right. Let every answer be wrong by 0.01. How wrong is the $x_0$ that we conclude from it?

# %% tags=["nbval-check-output"]
print("t     " + "".join(f"{target:>10}" for target in kinds))
for t in (0, 100, 300, 500, 700, 900, 999):
    at, zero = torch.tensor([t]), torch.zeros(1, 1)
    wrong = [process.solve(zero + 0.01, zero, at)[0].abs().item() for process in kinds.values()]
    print(f"{t:<5} " + "".join(f"{error:10.4f}" for error in wrong))

# %% [markdown]
# In nearly pure noise a tiny mistake about $\epsilon$ is a huge mistake about the data, because it is divided by the
# signal. At $t = 999$ it grows from 0.01 to 202.9. (Without the limit of 0.999 on $\beta$ it would be infinite.) With
# little noise, $\epsilon$ is the better answer. Section 5 will run into the last row.
#
# **The loss.** Draw $x_0$ from the data, $t$ and $\epsilon$ at random, jump, and compare what the network says with
# what is true. The loss is the mean of the squared differences (Ho et al., equation 14):
#
# $$L_\text{simple} = \operatorname{mean}\big(\epsilon - \epsilon_\theta(x_t, t)\big)^2$$
#
# **Predict, then run.** A "network" always answers zero. What is its loss?

# %%
def says_zero(x_t, t):
    return torch.zeros_like(x_t)

x_0, eps, t = draw(5000, g)[0], torch.randn(5000, 2, generator=g), torch.arange(5000) % 1000
by_hand = ((says_zero(diffusion.q_sample(x_0, t, eps), t) - eps) ** 2).mean(dim=1)
torch.testing.assert_close(diffusion.loss(says_zero, x_0, t, eps), by_hand)
claims.check(f"Always to answer zero costs {by_hand.mean():.2f}, the variance of the noise.",
             abs(by_hand.mean() - 1) < 0.05)

# %% [markdown]
# ## 4. A first model
#
# The nine clusters belong to three captions, "blue", "red" and "green". (Notebook 04 will need the captions; here we
# ignore them.) This small network gets two numbers and the time, and answers with two numbers:

# %%
plots.code(PointNet)

# %% [markdown]
# Place and time come as sines and cosines, like the positions in notebook 02. From these a network tells apart values
# that are near each other more easily than from the bare number. The training loop is the loss from above:

# %%
plots.code(fit)

# %% [markdown]
# The network predicts $\epsilon$:

# %%
def without_captions(count, rng):
    return draw(count, rng)[0], None

torch.manual_seed(0)
predicts_eps = PointNet()
losses = list(fit(diffusion, predicts_eps, without_captions, 1000))
plots.curves({"this training": (range(1, 1001), plots.running_mean(losses, 50))}, "step", "loss (mean of 50 steps)",
             log_x=True)

# %% [markdown]
# The loss falls, but it does not come near zero. Is the network bad? Here we can find out, because we know how dense
# the data lies at every place and every $t$. The best possible answer follows from that density. The mean of all
# noises that may be in $x_t$ is the gradient of the log density, called the *score*, times minus sigma (Song et al.,
# 2021):
#
# $$\mathbb{E}[\epsilon \mid x_t] = -\sqrt{1 - \bar\alpha_t}\; \nabla_{x_t} \log p_t(x_t)$$

# %%
plots.code(log_density, best_eps)

# %%
def best(x_t, t):
    return best_eps(x_t, t, diffusion)

g = torch.Generator().manual_seed(2)
x_0, eps, t = draw(20_000, g)[0], torch.randn(20_000, 2, generator=g), torch.randint(1000, (20_000,), generator=g)
loss = {"ours": diffusion.loss(predicts_eps, x_0, t, eps), "the best": diffusion.loss(best, x_0, t, eps)}
ours, least = loss["ours"].mean(), loss["the best"].mean()
claims.check(f"Our network's loss is {ours:.3f}. The best possible loss is {least:.3f}, not zero.",
             least < ours < 1.1 * least and least > 0.2)

# %% [markdown]
# Not zero, because the same $x_t$ can come from many points with many noises, and nobody can know from which. Where
# does the loss come from? Here it is for each tenth of the timesteps:

# %%
by_tenth = {name: [each[t // 100 == k].mean().item() for k in range(10)] for name, each in loss.items()}
plots.curves({name: (range(50, 1000, 100), tenths) for name, tenths in by_tenth.items()}, "t", "loss")

# %%
first, last_tenth = by_tenth["the best"][0], by_tenth["the best"][-1]
claims.check(f"In the tenth with the least noise the best loss is {first:.2f}, in the one with the most "
             f"{last_tenth:.3f}.", first > 0.5 and last_tenth < 0.05)

# %% [markdown]
# With much noise $x_t$ is nearly all $\epsilon$, and to name it is easy. With little noise nobody can tell the noise
# from the scatter of the data. So a mean loss says little by itself. Compare it only with that of another training on
# the same data, with the same answer and schedule.
#
# **What the network has learned,** drawn as arrows. At each place of the plane the arrow is *minus* the predicted
# noise: the way out of the noise.

# %%
tails, g = lattice(), torch.Generator().manual_seed(3)
panels = {}
for name, denoiser in {"ours": predicts_eps, "the best": best}.items():
    for t in (700, 200):
        noised = diffusion.q_sample(points, torch.full((600,), t), torch.randn(points.shape, generator=g))
        panels[f"{name}, t = {t}"] = Panel(noised, arrows=(tails, -denoiser(tails, torch.full((len(tails),), t))))
plane(panels, columns=2, side=2.5)

# %% [markdown]
# In much noise all arrows point to the middle: nothing more is known than that the data is somewhere there. With less
# noise they part and point to the clusters. At small $t$ no training point ever came to the corners. There the network
# has to guess, which is called *out of distribution*.
#
# ## 5. The way back
#
# **DDIM** ([Song et al., 2020](https://arxiv.org/abs/2010.02502)) takes a step from $t$ to an earlier $t_\text{prev}$
# in three lines:
#
# 1. Ask the network for $\epsilon$.
# 2. Conclude what $x_0$ would be.
# 3. Mix the two again, with the shares of $t_\text{prev}$: more data, less noise (their equation 12).
#
# $$x_{t_\text{prev}} = \sqrt{\bar\alpha_{t_\text{prev}}}\; \hat x_0
# + \sqrt{1 - \bar\alpha_{t_\text{prev}}}\; \epsilon$$
#
# ### Exercise 3: One step of DDIM · ●●○ medium · 5 minutes
#
# You get $\epsilon$, and $\bar\alpha$ at both ends of the step. At the end of the last step it is 1.

# %% tags=["exercise"]
def ddim_step(
    x_t: torch.Tensor, eps: torch.Tensor, alpha_bar: torch.Tensor, alpha_bar_prev: torch.Tensor
) -> torch.Tensor:
    raise NotImplementedError

# %%
ddim_step = checks.mine(ddim_step)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Exercise 2 is the second line. The noise in the third is the same `eps`; only its share changes.
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
# A sampler is that step in a loop. It need not visit all 1000 timesteps; 25 of them, evenly spread, will do:

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
        x_t = ddim_step(x_t, eps, now, then)
    return x_t

# %%
x_T = torch.randn(400, 2, generator=torch.Generator().manual_seed(3))
free = ddim_by_hand(diffusion, predicts_eps, x_T)
first_guess = diffusion.solve(predicts_eps(x_T, torch.full((400,), 999)), x_T, torch.full((400,), 999))[0]
claims.check(f"No data lies beyond {points.abs().max():.1f}. The samples reach {free.abs().max():.1f}, and the "
             f"first estimates of $x_0$ reach {first_guess.abs().max():.0f}.",
             free.abs().max() > 2 * points.abs().max())

# %% [markdown]
# Something went wrong. The table in section 3 warned us: at $t = 999$ the signal is nearly zero, and the estimate of
# $x_0$ is the network's small mistake divided by it. There are two remedies.
#
# 1. *Cut off the estimates.* No data lies beyond 2.5, so no estimate may. (For pictures the limits are -1 and 1.) That
#    is crude, but it works, and whoever predicts $\epsilon$ does it, Karlo for example. It is the `clip` of our loop
#    and of the library's `DiffusionConfig`.
# 2. *Ask for something else.* With $v$ the table shows no large errors anywhere. We train once more, and keep copies
#    of the network on the way, to look at later.

# %%
v_diffusion = Diffusion(DiffusionConfig(target="v", clip=None))
torch.manual_seed(0)
model, losses, copies = PointNet(), [], {}
for loss in fit(v_diffusion, model, without_captions, 1500):
    losses.append(loss)
    if len(losses) in (1, 30, 150, 1500):
        copies[len(losses)] = {name: value.clone() for name, value in model.state_dict().items()}
mean_losses = plots.running_mean(losses, 50)
print(*(f"step {step}: loss {mean_losses[step - 1]:.2f}" for step in copies), sep="\n")

# %%
cut = ddim_by_hand(diffusion, predicts_eps, x_T, clip=2.5)
samples = ddim_by_hand(v_diffusion, model, x_T)
plane({"the data": Panel(points), "eps": Panel(free), "eps, cut off at 2.5": Panel(cut), "v": Panel(samples)})

# %% [markdown]
# From here on we take $v$. Our loop and the library agree:

# %%
torch.testing.assert_close(last(ddim(v_diffusion, model, [], 25, x_T=x_T)), samples, atol=1e-3, rtol=1e-3)
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
plane(panels | {f"x_0 at t = {step.t}": Panel(step.x_0) for step in chosen}, columns=6, side=1.75)

# %% [markdown]
# The first estimates crowd in the middle. Nothing is known yet, and the best guess is the mean of all points. Then
# groups form, then clusters. And these are the paths of sixty points:

# %%
ways = torch.stack([x_T, *(step.x_t for step in steps)])[:, :60]
plane({"from noise to data": Panel(points, paths=ways)}, side=4.2)

# %% [markdown]
# **Predict, then run.** The four copies that we kept draw from the same noise. The loss fell from 1.9 to 0.5 in the
# first 150 steps, and little after that. Which of the four copies draw clusters?

# %%
early, drawn = PointNet(), {}
for step, state in copies.items():
    early.load_state_dict(state)
    drawn[step] = last(ddim(v_diffusion, early, [], 25, x_T=x_T))
plane({f"step {step}: loss {mean_losses[step - 1]:.2f}": Panel(x) for step, x in drawn.items()})

# %%
before, after = apart(points, drawn[150]), apart(points, drawn[1500])
claims.check(f"From step 150 to step 1500 the loss fell by {mean_losses[149] - mean_losses[1499]:.2f} only, and the "
             f"distance of the samples from the data fell from {before:.2f} to {after:.2f}.",
             mean_losses[149] - mean_losses[1499] < 0.25 and after < 0.7 * before)

# %% [markdown]
# (The distance is the mean way from each point to the nearest one of the other cloud, both ways.) Shapes are decided
# at the timesteps with little noise, and the mean loss over all timesteps hardly shows them. Pictures will tell the
# same story.
#
# **DDPM** (Ho et al., 2020) is the older way back. Suppose that we knew $x_0$. Then what was $x_{t_\text{prev}}$, one
# step before $x_t$? It has a normal distribution, with a mean between $x_0$ and $x_t$ (equations 6 and 7). With
# $\alpha = \bar\alpha_t / \bar\alpha_{t_\text{prev}}$ for the step, and $\beta = 1 - \alpha$:
#
# $$\text{mean} = \frac{\sqrt{\bar\alpha_{t_\text{prev}}}\; \beta}{1 - \bar\alpha_t}\, x_0
# + \frac{\sqrt{\alpha}\, (1 - \bar\alpha_{t_\text{prev}})}{1 - \bar\alpha_t}\, x_t, \qquad
# \text{variance } \tilde\beta = \frac{1 - \bar\alpha_{t_\text{prev}}}{1 - \bar\alpha_t}\, \beta$$
#
# DDPM puts its estimate in the place of $x_0$ and draws from that distribution. At each step some noise goes, and a
# little new noise comes.
#
# ### Exercise 4: The mean of a DDPM step · ●●● hard · 12 minutes
#
# Derive the formula before you type it. There are two sources of knowledge about $x_{t_\text{prev}}$.
# $\sqrt{\bar\alpha_{t_\text{prev}}}\, x_0$ is one, with the variance $1 - \bar\alpha_{t_\text{prev}}$.
# $x_t / \sqrt\alpha$ is the other, with the variance $\beta / \alpha$. Two measurements are combined by weighting each
# with 1 / variance.

# %% tags=["exercise"]
def posterior_mean(
    x_0: torch.Tensor, x_t: torch.Tensor, alpha_bar: torch.Tensor, alpha_bar_prev: torch.Tensor
) -> torch.Tensor:
    raise NotImplementedError

# %%
posterior_mean = checks.mine(posterior_mean)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The weights are $1 / (1 - \bar\alpha_{t_\text{prev}})$ and $\alpha / \beta$. Their sum is
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
# The sampler by hand, with the mean that you wrote (or ours), against the library's. Both get the same noise:

# %%
def ddpm_by_hand(process, denoiser, noise, steps):
    visited, x_t = [*timesteps(steps), -1], noise[0]
    for i, (t, t_prev) in enumerate(zip(visited[:-1], visited[1:], strict=True)):
        now, then, at = alpha_bar_at(t), alpha_bar_at(t_prev), torch.full((len(x_t),), t)
        x_0, _ = process.solve(denoiser(x_t, at), x_t, at)
        x_t = posterior_mean(x_0, x_t, now, then)
        if t_prev >= 0:
            x_t = x_t + ((1 - then) / (1 - now) * (1 - now / then)).sqrt() * noise[i + 1]
    return x_t

# %%
g = torch.Generator().manual_seed(4)
noise_100 = [torch.randn(400, 2, generator=g) for _ in range(100)]
from_the_library = last(ddpm(v_diffusion, model, noise_100, 100))
torch.testing.assert_close(ddpm_by_hand(v_diffusion, model, noise_100, 100), from_the_library, atol=2e-3, rtol=1e-3)
print("equal up to the rounding of the library's tables, which have 32 bits like those of the released models")

# %% [markdown]
# **How much new noise?** DDIM and DDPM are two ends of one family. The number $\eta$ says how much of the noise is
# new at each step: $\eta = 0$ is DDIM, and $\eta = 1$ is DDPM. The new noise has the standard deviation
#
# $$\sigma = \eta\, \sqrt{\frac{1 - \bar\alpha_{t_\text{prev}}}{1 - \bar\alpha_t}\,
# \Big(1 - \frac{\bar\alpha_t}{\bar\alpha_{t_\text{prev}}}\Big)}$$
#
# ### Exercise 5: Find the bug · ●●○ medium · 8 minutes
#
# Somebody wrote a step of that family. At $\eta = 0$ it is right. At $\eta = 1$ the samples scatter:

# %%
def scattering_step(x_0, eps, noise, alpha_bar, alpha_bar_prev, eta):
    sigma = eta * ((1 - alpha_bar_prev) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_prev)).sqrt()
    return alpha_bar_prev.sqrt() * x_0 + (1 - alpha_bar_prev).sqrt() * eps + sigma * noise

def walk(step, eta, noise):
    visited, x_t = [*timesteps(len(noise)), -1], noise[0]
    for i, (t, t_prev) in enumerate(zip(visited[:-1], visited[1:], strict=True)):
        at = torch.full((len(x_t),), t)
        x_0, eps = v_diffusion.solve(model(x_t, at), x_t, at)
        new = noise[i + 1] if t_prev >= 0 else torch.zeros_like(x_t)
        x_t = step(x_0, eps, new, alpha_bar_at(t), alpha_bar_at(t_prev), eta)
    return x_t

# %%
scattered = {eta: walk(scattering_step, eta, noise_100) for eta in (0, 1)}
plane({"the data": Panel(points)} | {f"eta = {eta}": Panel(x) for eta, x in scattered.items()})

# %% [markdown]
# What is wrong? Write the step as it should be. The sum of the *variances* of old and new noise must be
# $1 - \bar\alpha_{t_\text{prev}}$, the noise level of $t_\text{prev}$.

# %% tags=["exercise"]
def eta_step(
    x_0: torch.Tensor, eps: torch.Tensor, noise: torch.Tensor,
    alpha_bar: torch.Tensor, alpha_bar_prev: torch.Tensor, eta: float,
) -> torch.Tensor:
    raise NotImplementedError

# %%
eta_step = checks.mine(eta_step)

# %% [markdown]
# <details><summary>Hint</summary>
#
# $\sigma^2$ comes anew. So much must be taken from the variance of the old noise, below the root.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def eta_step(
#     x_0: torch.Tensor, eps: torch.Tensor, noise: torch.Tensor,
#     alpha_bar: torch.Tensor, alpha_bar_prev: torch.Tensor, eta: float,
# ) -> torch.Tensor:
#     sigma = eta * ((1 - alpha_bar_prev) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_prev)).sqrt()
#     return alpha_bar_prev.sqrt() * x_0 + (1 - alpha_bar_prev - sigma**2).sqrt() * eps + sigma * noise
# ```
#
# </details>
#
# Mended, it is the library's `ddim` with `eta=1`, and that is DDPM:

# %%
eta_1 = last(ddim(v_diffusion, model, noise_100, 100, eta=1))
torch.testing.assert_close(walk(eta_step, 1, noise_100), eta_1, atol=2e-3, rtol=1e-3)
torch.testing.assert_close(eta_1, from_the_library, atol=2e-3, rtol=1e-3)
bad, good = apart(points, scattered[1]), apart(points, eta_1)
claims.check(f"With the bug the samples are {bad:.2f} away from the data, without it {good:.2f}.", bad > 1.5 * good)

# %% [markdown]
# **Predict, then run.** Here 400 samples start from *one and the same* $x_T$. Where do they end, for each $\eta$?

# %%
one, ends = torch.tensor([[-0.3, 0.9]]).expand(400, 2), {}
for eta in (0, 0.2, 0.5, 1):
    noise_25 = [torch.randn(400, 2, generator=g) for _ in range(25)]
    ends[eta] = last(ddim(v_diffusion, model, noise_25, 25, eta=eta, x_T=one))
plane({f"eta = {eta}": Panel(x) for eta, x in ends.items()})

# %%
spread = {eta: x.std(dim=0).mean().item() for eta, x in ends.items()}
claims.check(f"The samples spread by {spread[0]:.2f} at eta 0, {spread[0.2]:.2f} at 0.2, {spread[0.5]:.2f} at 0.5 and "
             f"{spread[1]:.2f} at 1.", spread[0] < 1e-4 and spread[0.2] < spread[0.5] < spread[1])

# %% [markdown]
# With $\eta = 0$ the path is fixed: one $x_T$, one result. The larger $\eta$, the farther the samples stray. The paper
# draws *variations* of a picture in this way (section 3.1): it finds the $x_T$ that belongs to the picture, and goes
# back with $\eta > 0$. The notebook "Playing with z" does so.
#
# **How many steps?**

# %%
counts = (2, 3, 5, 10, 25, 50, 100)
found = {"DDIM": [last(ddim(v_diffusion, model, noise_100, count)) for count in counts],
         "DDPM": [last(ddpm(v_diffusion, model, noise_100, count)) for count in counts]}
fresh = apart(points, draw(400, torch.Generator().manual_seed(5))[0])
distances = {name: [apart(points, x) for x in samples] for name, samples in found.items()}
lines = {name: (counts, each) for name, each in distances.items()} | {"fresh data": ((2, 100), (fresh, fresh))}
plots.curves(lines, "steps", "distance from the data", log_x=True)

# %%
plane({f"{name}, {count} steps": Panel(samples[counts.index(count)])
       for name, samples in found.items() for count in (2, 3, 5, 10, 50)}, columns=5, side=1.9)

# %%
two, ten, hundred = (distances["DDIM"][counts.index(count)] for count in (2, 10, 100))
claims.check(f"DDIM is {two:.3f} away from the data with 2 steps, {ten:.3f} with 10 and {hundred:.3f} with 100. Fresh "
             f"data is {fresh:.3f} away.", two > 2 * ten and ten < 1.3 * hundred)

# %% [markdown]
# With too few steps the samples do not arrive: each step goes straight on along an arrow that is right only at its
# start. Beyond some number nothing is gained. The paper takes 64 steps for the prior, 250 for the decoder, and 27 and
# 15 with DDIM for the upsamplers (Table 3). A network can also learn how much new noise to add. That is the *learned
# variance* of the paper's decoder, and an optional notebook.
#
# ## 6. Data of the wrong size
#
# The schedule mixes $x_0$ with noise of size 1. That makes sense only if the data has about that size. **What if
# not?** Somebody measures our points in kilometres instead of metres, or the other way round. Nothing crashes. Here is
# what the samples look like, each trained for 600 steps and shown at the right scale again:

# %%
panels = {}
for size in (0.02, 0.2, 1, 5, 50):
    torch.manual_seed(0)
    scaled = PointNet()
    list(fit(v_diffusion, scaled, lambda count, g, size=size: (size * draw(count, g)[0], None), 600))
    panels[size] = last(ddim(v_diffusion, scaled, [], 25, x_T=x_T)) / size
plane({f"x {size}: distance {apart(points, x):.2f}": Panel(x) for size, x in panels.items()}, columns=5, side=1.9)

# %%
away = {size: apart(points, x) for size, x in panels.items()}
claims.check(f"At the right size the samples are {away[1]:.2f} away from the data, 50 times too small "
             f"{away[0.02]:.2f}, 50 times too large {away[50]:.2f}.",
             away[0.02] > 1.5 * away[1] and away[50] > 1.5 * away[1])

# %% [markdown]
# The noise does not know how large the data is. The signal-to-noise ratio of section 2 is multiplied by the square of
# the size. Where it is above 100 the data is as good as clean, below 1/100 nothing of it is left. Everything is
# decided between the two. How many of the 1000 timesteps lie there, and how many of the 25 that we visit?

# %% tags=["nbval-check-output"]
print("size   as large as the noise at t =   timesteps that decide   of 25 visited")
for size in (0.02, 0.2, 1, 5, 50):
    ratio = size**2 * diffusion.alphas_bar / (1 - diffusion.alphas_bar)
    decides = (ratio > 0.01) & (ratio < 100)
    print(f"{size:<5}{int((ratio > 1).sum()):29}{int(decides.sum()):24}{int(decides[timesteps(25)].sum()):16}")

# %% [markdown]
# If the data is too small, it drowns at once. What matters then happens in the last timesteps, over distances that are
# tiny for the network, and they hardly count in the loss. If it is too large, the data is clean nearly everywhere, and
# all is decided in very few steps. With a size near 1 the work is spread over the whole way.
#
# A CLIP embedding of length 1 with 1024 numbers has numbers of size $1/\sqrt{1024} \approx 0.03$. The paper therefore
# multiplies them by 17.2 (Appendix C). Our prior and Karlo's divide each axis by its own standard deviation, because
# axes differ, too. If a diffusion model refuses to learn, print `x_0.std()` first.
#
# ### Exercise 6: Design an experiment · ●●○ medium · 15 minutes
#
# All trainings so far drew fresh points at every step. How many different points does a network need to see? Write down
# what you expect for 9, 30, 100 and 1000 points, what you will measure, and what else must stay the same. What would
# tell you that the network has learned its points by heart? Then do it.
#
# <details><summary>One way to do it</summary>
#
# ```python
# for n in (9, 30, 100, 1000):
#     few = draw(n, torch.Generator().manual_seed(7))[0]
#     torch.manual_seed(0)
#     network = PointNet()
#     list(fit(v_diffusion, network,
#              lambda count, rng: (few[torch.randint(len(few), (count,), generator=rng)], None), 1500))
#     x = last(ddim(v_diffusion, network, [], 25, x_T=x_T))
#     to_few = torch.cdist(x, few).min(dim=1).values.mean()
#     print(f"{n:4} points: distance from fresh data {apart(points, x):.3f}, to the nearest of its own {to_few:.3f}")
# ```
#
# The network, the number of steps and the noise stay the same. Two distances are needed: one from fresh data, which
# says whether the samples are good, and one to the points that were learned, which says whether they are copies. Train
# with another seed before you believe a small difference.
#
# </details>
#
# ## Summary
#
# | | |
# | --- | --- |
# | forward process | $x_t = \text{signal} \cdot x_0 + \text{sigma} \cdot \epsilon$ in one jump; the squares sum to 1 |
# | schedule | how $\bar\alpha_t = \text{signal}^2$ falls with $t$: cosine, or linear |
# | answer | $\epsilon$, $x_0$ or $v$: each gives the others, but mistakes weigh differently |
# | loss | mean squared error of the answer at a random $t$; for $\epsilon$ it is 1 for knowing nothing, and never 0 |
# | score | $-\epsilon / \text{sigma}$ is the gradient of the log density of the noised data |
# | DDIM | estimate $x_0$, mix again with less noise; the start decides everything |
# | DDPM | draw from the posterior of the estimate; new noise at each step; DDIM with $\eta = 1$ |
# | clip | estimates are cut off at the limits of the data; needed for $\epsilon$ in much noise |
# | size | data must have about the size of the noise, 1 |
#
# **What you can do now:** train a diffusion model, say how far its loss is from the best one, sample from it with
# either sampler, and tell a model that is not finished from one whose data has the wrong size. Whose code was it?

# %% tags=["nbval-ignore-output"]
checks.in_use()

# %% [markdown]
# ## Questions
#
# <details><summary>Why may training jump to a random t, while sampling has to walk?</summary>
#
# In training $x_0$ is known, and $x_t$ is a mixture of it with known shares. In sampling $x_0$ is what we look for. The
# first estimate is the mean of all that is possible. Only by walking, and asking again with less noise, does one of the
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
# <details><summary>You sample twice with DDIM and get the same result. How do you get another one?</summary>
#
# Start from another $x_T$ (another seed), or take $\eta > 0$, so that new noise comes in on the way.
#
# </details>
#
# <details><summary>A network predicts eps. Why are its first estimates of x_0 cut off?</summary>
#
# At the largest $t$ the signal is nearly zero. The estimate divides the network's mistake by it, so the mistake grows
# by a factor of some 20,000.
#
# </details>
#
# <details><summary>Why does the best possible network have a loss at all?</summary>
#
# The same $x_t$ may have come about from different data with different noise. The best answer is the mean of all these
# noises, and the true one differs from its mean.
#
# </details>
#
# <details><summary>At which timesteps is eps easy to name, and at which is x_0?</summary>
#
# $\epsilon$ is easy in much noise, where $x_t$ is nearly nothing else. $x_0$ is easy in little noise, for the same
# reason.
#
# </details>
#
# <details><summary>What is the score, in one sentence?</summary>
#
# The direction in which the density of the noised data grows fastest: the way out of the noise.
#
# </details>
#
# <details><summary>DDIM with 1 step draws one blob in the middle. Why?</summary>
#
# Its only estimate is made from pure noise. Nothing is known there, so it is the mean of all data.
#
# </details>
#
# <details><summary>Your data are numbers between 0 and 255. What do you do before training?</summary>
#
# Bring them to about the size of the noise: pictures are usually scaled to -1 to 1.
#
# </details>
#
# <details><summary>Why is the best loss over all t a poor measure of how samples look?</summary>
#
# It is a mean over all timesteps. Shapes are decided at few of them, where a small gain in loss is a large gain in the
# samples.
#
# </details>
#
# ## Where to read on
#
# - The code: [diffusion/process.py](../minunclip/diffusion/process.py) is sections 1 to 3, and
#   [diffusion/samplers.py](../minunclip/diffusion/samplers.py) section 5. Their tests compare them with diffusers, step
#   by step. [course/plane.py](../minunclip/course/plane.py) is the world of this notebook.
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125): Appendix C and Table 3 for schedules, steps and the
#   17.2.
# - Ho et al., [Denoising diffusion probabilistic models](https://arxiv.org/abs/2006.11239) (2020): the loss and DDPM.
#   Nichol & Dhariwal, [Improved DDPM](https://arxiv.org/abs/2102.09672) (2021): the cosine schedule, fewer steps.
# - Song et al., [Denoising diffusion implicit models](https://arxiv.org/abs/2010.02502) (2020): DDIM. Song et al.,
#   [Score-based generative modeling](https://arxiv.org/abs/2011.13456) (2021): the arrows.
# - Salimans & Ho, [Progressive distillation](https://arxiv.org/abs/2202.00512) (2022): $v$, and what weighs how much.
