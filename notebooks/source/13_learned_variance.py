# %% [markdown]
# # 13 · Learned variance: how much noise a step adds
#
# A sampler takes noise away, and adds fresh noise at each step. How much? With too little all samples come out alike,
# with too much they stay grainy. The paper's decoder *learns* the amount. When does that pay, and when does it fail?
# This notebook is optional.

# %%
import torch

from minunclip import plots
from minunclip.course import checks, claims, draw
from minunclip.diffusion import Diffusion, DiffusionConfig, ddpm, last, timesteps

# %%
from minunclip.course import plane
from minunclip.plots import Panel

torch.set_grad_enabled(False)
process = Diffusion(DiffusionConfig(target="x0", learned_variance=True, clip=None))
noise = [torch.randn(400, 2, generator=torch.Generator().manual_seed(n)) for n in range(10)]

def with_logits(logits):
    """The best possible network of the plane, which always asks for the same variance."""
    def denoiser(x_t, t):
        x_0 = plane.known_x0(x_t, t, process)[0]
        return torch.cat([x_0, torch.full_like(x_0, logits)], dim=1)
    return denoiser

points = plane.draw(400, torch.Generator().manual_seed(7))[0]
shown = {"the data": points, "least noise": last(ddpm(process, with_logits(-1.0), noise, 8)),
         "most noise": last(ddpm(process, with_logits(1.0), noise, 8))}
plots.plane({name: Panel(x) for name, x in shown.items()}, columns=3)

# %% [markdown]
# The points of notebook 03, and samples drawn in 8 steps with a network that makes no mistakes. Only the noise that a
# step adds differs.

# %%
far = {name: plane.nearest(x)[0].mean().item() for name, x in shown.items()}
claims.check(f"Points of the data are {far['the data']:.2f} widths from the middle of their cluster, "
             f"with the least noise {far['least noise']:.2f}, with the most {far['most noise']:.2f}.",
             far["least noise"] < far["the data"] < far["most noise"])

# %% [markdown]
# **What you will see**
#
# 1. The least and the most noise that a step may add.
# 2. The right amount, which is known exactly in the plane.
# 3. What a wrong amount costs, in bits.
# 4. A network that learns it.
# 5. The finished decoder.
#
# **What you need to know before:** notebook 03, above all DDPM, and section 1 of notebook 07.
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("13_learned_variance")

# %% [markdown]
# Reading takes about 20 minutes, the exercises another 15. The fast path, 8 minutes: sections 1 and 3.
#
# ## 1. The least and the most
#
# A step of DDPM draws $x_{t_\text{prev}}$ from a normal distribution. Its mean follows from the estimate of $x_0$. For
# its variance there are two extremes ([Ho et al., 2020](https://arxiv.org/abs/2006.11239), section 3.2):
#
# - $\tilde\beta$, if $x_0$ is known for certain;
# - $\beta$, if nothing is known but that $x_0$ is normal with variance 1.
#
# We try both with single numbers. In one world $x_0$ is always 1, in the other it is normal. What is left uncertain of
# $x_{t_\text{prev}}$ once $x_t$ is known?

# %% tags=["nbval-check-output"]
beta, before = 0.36, 0.75                         # before: alpha_bar at t_prev
after = before * (1 - beta)                       # alpha_bar at t
rng = torch.Generator().manual_seed(0)
worlds = {"always 1": torch.ones(400_000), "normal": torch.randn(400_000, generator=rng)}
for name, x_0 in worlds.items():
    x_prev = before**0.5 * x_0 + (1 - before) ** 0.5 * torch.randn(400_000, generator=rng)
    x_t = (1 - beta) ** 0.5 * x_prev + beta**0.5 * torch.randn(400_000, generator=rng)
    cov = torch.stack([x_prev, x_t]).cov()
    print(f"x_0 {name:8}: variance left {cov[0, 0] - cov[0, 1] ** 2 / cov[1, 1]:.2f}")
print(f"beta_tilde {(1 - before) / (1 - after) * beta:.2f}, beta {beta:.2f}")

# %% [markdown]
# Does the choice matter? That depends on how long the steps are:

# %%
lines = {}
for count in (1000, 100, 25, 10):
    visited = torch.tensor(timesteps(count))
    low, high = process.step_variances(visited[:-1], visited[1:], torch.zeros(count - 1, 1))
    lines[f"{count} steps"] = (visited[:-1].tolist(), (low / high).sqrt().flatten().tolist())
plots.curves(lines, "t", "least noise / most noise")

# %% [markdown]
# With 1000 steps the two agree nearly everywhere. With 10 they are far apart.
#
# Somebody wrote the two variances as below. With 1000 steps the samples are fine. With 20 they collapse:

# %%
def somebodys_variances(t, t_prev, alphas_bar):
    beta = 1 - alphas_bar[t] / alphas_bar[t - 1]
    return (1 - alphas_bar[t_prev]) / (1 - alphas_bar[t]) * beta, beta

def walk(variances, count):
    """Samples of the plane in `count` steps; each adds the larger of the two variances."""
    x_t, visited, g = noise[0], timesteps(count), torch.Generator().manual_seed(1)
    for t, t_prev in zip(visited[:-1], visited[1:], strict=True):
        at, then = (torch.full((400,), step) for step in (t, t_prev))
        mean = process.posterior(plane.known_x0(x_t, at, process)[0], x_t, at, then)[0]
        most = variances(at, then, process.alphas_bar)[1]
        x_t = mean + most[:, None].sqrt() * torch.randn(400, 2, generator=g)
    return x_t

wrong = {f"{count} steps": walk(somebodys_variances, count) for count in (1000, 20)}
plots.plane({name: Panel(x) for name, x in wrong.items()}, columns=2)

# %%
sizes = [x.std().item() for x in (points, *wrong.values())]
claims.check(f"The data spreads by {sizes[0]:.2f}, the samples by {sizes[1]:.2f} with 1000 steps and "
             f"by {sizes[2]:.2f} with 20.", abs(sizes[1] - sizes[0]) < 0.1 < sizes[0] - sizes[2])

# %% [markdown]
# ### Exercise 1: Find the bug · ●●○ medium · 6 minutes
#
# Write them right. `t` and `t_prev` are (B,), `alphas_bar` (T,). Return $\tilde\beta$ and $\beta$, (B,) each.

# %% tags=["exercise"]
def stride_variances(
    t: torch.Tensor, t_prev: torch.Tensor, alphas_bar: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    raise NotImplementedError

# %%
stride_variances = checks.mine(stride_variances)

# %% [markdown]
# <details><summary>Hint</summary>
#
# $1 - \beta$ is the factor by which $\bar\alpha$ falls *in this step*. From where to where does the step go?
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def stride_variances(
#     t: torch.Tensor, t_prev: torch.Tensor, alphas_bar: torch.Tensor
# ) -> tuple[torch.Tensor, torch.Tensor]:
#     beta = 1 - alphas_bar[t] / alphas_bar[t_prev]
#     return (1 - alphas_bar[t_prev]) / (1 - alphas_bar[t]) * beta, beta
# ```
#
# </details>

# %%
mended = walk(stride_variances, 20)
claims.check(f"Mended, the samples of 20 steps spread by {mended.std():.2f}.",
             mended.std() > sizes[2] + 0.3)

# %% [markdown]
# ## 2. The right amount
#
# The truth lies between, and differs from place to place. So a network may answer, for each number of the sample, a $v$
# that mixes the *logarithms* of the two ([Nichol & Dhariwal, 2021](https://arxiv.org/abs/2102.09672), equation 15):

# %%
draw.learned_variance()

# %% [markdown]
# ### Exercise 2: Between the extremes · ●○○ easy · 4 minutes
#
# The network returns `logits` that count from -1 ($\tilde\beta$, $v = 0$) to 1 ($\beta$, $v = 1$). Return the variance.

# %% tags=["exercise"]
def learned_variance(
    logits: torch.Tensor, beta_tilde: torch.Tensor, beta: torch.Tensor
) -> torch.Tensor:
    raise NotImplementedError

# %%
learned_variance = checks.mine(learned_variance)

# %% [markdown]
# <details><summary>Hint</summary>
#
# First bring the logits to $v$ from 0 to 1. Logits of 0 give the geometric mean: between 0.01 and 0.04 it is 0.02.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def learned_variance(
#     logits: torch.Tensor, beta_tilde: torch.Tensor, beta: torch.Tensor
# ) -> torch.Tensor:
#     v = (logits + 1) / 2
#     return (v * beta.log() + (1 - v) * beta_tilde.log()).exp()
# ```
#
# </details>
#
# In the plane we know the density of the data, so we know the right variance: $\tilde\beta$, and on top of it what is
# still open about $x_0$, as far as the mean of the step follows $x_0$. **Predict, then run:** at $t = 200$, on the way
# to 100, where in the plane is $v$ near 0, where is it large, and can it be above 1?

# %%
def right_step(x_t, t, t_prev):
    """The exact variance of x at t_prev given x_t, per number, and the least and the most."""
    at, then = (torch.full((len(x_t),), step) for step in (t, t_prev))
    slope, low, high = process.posterior(torch.ones_like(x_t), torch.zeros_like(x_t), at, then)
    return low + slope**2 * plane.known_x0(x_t, at, process)[1], low, high

def v_of(variance, low, high):
    return (variance.log() - low.log()) / (high.log() - low.log())

across = torch.linspace(-2.2, 2.2, 12)
lattice = torch.cartesian_prod(across, across)    # x of each place, then y
v = v_of(*right_step(lattice, 200, 100)).mean(dim=1).view(12, 12).T.flip(0)
places = [f"{place:.1f}" for place in across]
plots.heatmap(v, places[::-1], places, "v at t = 200, on the way to 100", digits=1)

# %%
data = plane.draw(4000, torch.Generator().manual_seed(1))[0]

def noised(t):
    eps = torch.randn(data.shape, generator=torch.Generator().manual_seed(t + 1))
    return process.q_sample(data, torch.full((4000,), t), eps)

v = v_of(*right_step(noised(400), 400, 300))
low_v, high_v, beyond = v.quantile(0.1), v.quantile(0.9), (v > 1).float().mean()
claims.check(f"At t = 400 one tenth of the noised data has a right v below {low_v:.2f}, another tenth "
             f"one above {high_v:.2f}. {beyond:.0%} lie above 1.", low_v < 0.8 and beyond > 0.3)

# %% [markdown]
# Where two clusters are equally possible, more is open than in a normal distribution, and even the "most" noise is too
# little. That is why nothing keeps the network's $v$ between 0 and 1.
#
# ## 3. What a wrong amount costs
#
# The *variational bound* says how many bits the data would cost if the model were used to compress it. A step with a
# wrong variance adds to it the Kullback-Leibler divergence of two normal distributions. With the ratio $r = \text{true
# variance} / \text{ours}$ it is $\tfrac12 (r - 1 - \ln r)$ for each number, in *nats*.
#
# ### Exercise 3: Bits lost · ●○○ easy · 4 minutes
#
# Return it in bits: a bit is $\ln 2$ nats.

# %% tags=["exercise"]
def bits_lost(true_variance: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
bits_lost = checks.mine(bits_lost)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `torch.log` is the natural logarithm. `math.log(2)` is 0.693.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def bits_lost(true_variance: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
#     r = true_variance / variance
#     return 0.5 * (r - 1 - r.log()) / torch.log(torch.tensor(2.0))
# ```
#
# </details>

# %%
factors = torch.tensor([0.01, 0.25, 0.5, 1.0, 2.0, 4.0, 100.0])
price = dict(zip(factors.tolist(), bits_lost(torch.ones(7), factors).tolist(), strict=True))
for factor, bits in price.items():
    print(f"{factor:6.2f} times the right variance costs {bits:6.2f} bits a number")
dear, cheap = price[min(price)], price[max(price)]
claims.check(f"A hundredth of the right variance costs {dear:.0f} bits, a hundred times as much "
             f"{cheap:.1f}: too little is dear, too much is cheap.", dear > 10 * cheap)

# %% [markdown]
# Now whole chains of steps. There are four ways to choose: the least, the most, the exact variance, and a fourth one,
# which is what a network learns. Training knows steps of one timestep only. So the network learns the $v$ of a *single*
# step, and a sampler with few steps uses this $v$ over a long stride. **Predict, then run:** with how many steps does
# that pay?

# %%
def lost_in_chain(count):
    """Bits a number that each step of a chain loses: (3 choices, steps)."""
    found, visited = [], timesteps(count)
    for t, t_prev in zip(visited[:-1], visited[1:], strict=True):
        x_t = noised(t)
        true, low, high = right_step(x_t, t, t_prev)
        single = v_of(*right_step(x_t, t, t - 1))
        learned = learned_variance(2 * single - 1, low, high)
        found.append([bits_lost(true, each).mean() for each in (low, high, learned)])
    return torch.tensor(found).T

counts = (4, 6, 10, 20, 40, 100)
chains = {count: lost_in_chain(count) for count in counts}
lost = torch.stack([chains[count].sum(dim=1) for count in counts])
names = ("least noise", "most noise", "v of single steps")
lines = {name: (counts, lost[:, i].log10().tolist()) for i, name in enumerate(names)}
plots.curves(lines, "steps", "bits lost a number, as a power of 10", log_x=True)

# %%
least, most, single = (dict(zip(counts, column.tolist(), strict=True)) for column in lost.T)
claims.check(f"With 100 steps the learned v loses {single[100]:.4f} bits a number, the most noise "
             f"{most[100]:.3f}. With 10 steps it is {single[10]:.1f} and {most[10]:.2f}.",
             single[100] < 0.2 * most[100] and single[10] > 3 * most[10])
claims.check(f"The least noise is the worst at every length: {least[100]:.0f} bits with 100 steps.",
             all(least[count] > max(most[count], single[count]) for count in counts))

# %% [markdown]
# So even a network that knows the right $v$ of every single step does harm when steps are few. Where? The bits that
# each of ten steps loses:

# %%
ten = [f"{t} to {then}" for t, then in zip(timesteps(10)[:-1], timesteps(10)[1:], strict=True)]
lost_at = dict(zip(ten, chains[10][2].tolist(), strict=True))
plots.bars(lost_at, "bits lost a number")

# %%
def mean_v(t, stride):
    return v_of(*right_step(noised(t), t, t - stride)).mean().item()

strides = {stride: {t: mean_v(t, stride) for t in range(25, 1000, 25) if t >= stride}
           for stride in (1, 25, 100)}
plots.curves({f"stride {stride}": ([*line], [*line.values()]) for stride, line in strides.items()},
             "t", "the right v, mean")

# %%
end = sum([*lost_at.values()][-2:]) / sum(lost_at.values())
claims.check(f"{end:.0%} of the loss comes from the last two steps. At t = 100 the right v is "
             f"{strides[1][100]:.2f} for a single step, and {strides[100][100]:.2f} for a stride to 0.",
             end > 0.8 and strides[100][100] > strides[1][100] + 0.1)

# %% [markdown]
# Near $t = 0$ a long stride leads from noise to nearly clean data. Its $\tilde\beta$ is tiny, $\beta$ is not, and an
# error of 0.2 in $v$ is a large factor.
#
# ## 4. A network that learns it
#
# There is no true variance to compare with: a training example shows one outcome. The bound judges a distribution by
# the outcome. So the loss is a sum (equation 16):
#
# $$L_\text{hybrid} = L_\text{simple} + 0.001\, L_\text{vlb}$$
#
# In $L_\text{vlb}$ the prediction is *detached*, so that only the variance learns from it. A stand-in for a network
# shows it: six channels, and which of them get a gradient.

# %% tags=["nbval-check-output"]
six = torch.randn(1, 6, 4, 4, generator=rng).requires_grad_()
grey, at = torch.zeros(1, 3, 4, 4), torch.tensor([300])
eps = torch.randn(1, 3, 4, 4, generator=rng)
with torch.enable_grad():
    x_300 = process.q_sample(grey, at, eps)
    prediction, logits = process.split(six, x_300)
    process.vlb_term(grey, x_300, at, prediction, logits=logits).sum().backward()
moved = [bool(part.any()) for part in six.grad.chunk(2, dim=1)]
print("L_vlb moves the prediction:", moved[0], "- the variance:", moved[1])

# %% [markdown]
# The small network of notebook 03 has four answers here, two for the point and two for its variance. The library's loss
# is the hybrid one:

# %%
torch.manual_seed(0)
trained = Diffusion(DiffusionConfig(target="v", learned_variance=True, clip=2.5))
net = plane.PointNet()
net.out = torch.nn.Linear(128, 4)
losses = list(plane.fit(trained, net, lambda count, g: (plane.draw(count, g)[0], None), 2000))
print(f"mean loss of the last 100 steps {sum(losses[-100:]) / 100:.3f}")

# %%
def learned_v(t):
    x_t = noised(t)
    return (net(x_t, torch.full((4000,), t))[:, 2:] + 1) / 2, v_of(*right_step(x_t, t, t - 1))

visited = range(25, 1000, 25)
pairs = [[v.mean().item() for v in learned_v(t)] for t in visited]
ours, exact = zip(*pairs, strict=True)
plots.curves({"the network's v": (visited, ours), "the right v": (visited, exact)}, "t",
             "v of a single step, mean")

# %%
gains = {t: bits_lost(true, high).mean().item() for t in (50, 700)
         for true, low, high in [right_step(noised(t), t, t - 1)]}
gap = sum(abs(our - right) for our, right in pairs[1:8]) / 7
claims.check(f"From t = 50 to 200 the network's mean v is {gap:.2f} from the right one. In a single "
             f"step the right v gains {gains[50]:.0e} bits over the most noise at t = 50, and "
             f"{gains[700]:.0e} at 700.", gap < 0.3 and gains[50] > 10 * gains[700])

# %% [markdown]
# In much noise there is next to nothing to gain in single steps. So a network has no reason to be exact there, and long
# strides would need it.
#
# **Design an experiment.** How would you train a network for strides of 100? Say what changes in the loss, which curve
# of section 3 should move, and where to.
#
# ## 5. The finished decoder
#
# **Loading the finished weights.** What has the decoder of notebook 07 learned? The mean of its $v$:

# %%
import minunclip
from minunclip.scenes import Scenes

cascade = minunclip.load("scenes")
decoder, items = cascade.decoder, [Scenes("test", seed=3)[i] for i in range(6)]
pictures = torch.stack([item.image(32) for item in items])
z_i, silence = cascade.clip.encode_image(pictures), cascade.clip.encode_text([""]).repeat(6)
condition = decoder.condition(z_i, silence)

def ask(t):
    """x_t of the six pictures, and what the decoder answers."""
    at, g = torch.full((6,), t), torch.Generator().manual_seed(t)
    x_t = decoder.diffusion.q_sample(pictures, at, torch.randn(pictures.shape, generator=g))
    return x_t, at, decoder(x_t, at, condition=condition)

answers = {t: (ask(t)[2][:, 3:] + 1) / 2 for t in (1, 10, 50, 100, 200, 400, 600, 800, 998)}
means = [v.mean().item() for v in answers.values()]
plots.curves({"the finished decoder": ([*answers], means)}, "t", "v, mean")

# %%
all_v = torch.stack([*answers.values()])
outside, near, far_off = ((all_v < 0) | (all_v > 1)).float().mean(), means[0], means[6]
claims.check(f"{outside:.0%} of its v lie outside of 0 to 1. The mean is {near:.1f} at t = 1, and "
             f"{far_off:.1f} at t = 600.", outside > 0.1 and near > 1.5)  # drawn

# %% [markdown]
# Why so much more than the "most"? The network's own errors count, too. $\beta$ is right for someone who knows nothing
# but makes no mistakes. Here is the right $v$ of a single step for a network that is off by 0.05 about an $x_0$ that is
# certain:

# %% tags=["nbval-check-output"]
for t in (2, 10, 50, 200, 600):
    at = torch.tensor([t])
    slope, low, high = process.posterior(torch.ones(1, 1), torch.zeros(1, 1), at, at - 1)
    print(f"t = {t:3}: v = {v_of(low + slope**2 * 0.05**2, low, high).item():6.2f}")

# %% [markdown]
# Our decoder predicts $x_0$ and never copies a nearly clean $x_t$ exactly. So near $t = 0$ it is right to ask for a
# lot. In much noise any $v$ will do for a single step, and the network's is what is left over.
#
# What is it good for? We compare it with a $v$ that is cut off at 0 and 1, and with the two extremes. The whole bound,
# in bits a number (an 8-bit colour is one number):

# %%
from minunclip.diffusion import gaussian_kl, log_likelihood_8bit

def bits(count):
    """Of a chain of `count` steps: (as it is, cut off, least noise, most noise)."""
    total = torch.zeros(4)
    for t, t_prev in zip(timesteps(count), [*timesteps(count)[1:], -1], strict=True):
        x_t, at, output = ask(t)
        then, logits = torch.full_like(at, t_prev), output[:, 3:]
        guess = decoder.diffusion.estimate(output, x_t, at)[0]
        true, mean = (decoder.diffusion.posterior(x, x_t, at, then)[0] for x in (pictures, guess))
        one = torch.ones_like(logits)
        variances = [decoder.diffusion.log_variance(each, at, then)
                     for each in (logits, logits.clamp(-1, 1), -one, one)]
        for n, ours in enumerate(variances):
            kl = gaussian_kl(true, variances[2], mean, ours)
            term = kl if t_prev >= 0 else -log_likelihood_8bit(pictures, mean, ours)
            total[n] += term.mean().item() / 0.6931
    return total

# %%
lengths, ways = (5, 10, 20, 40), ("as it is", "cut off", "least noise", "most noise")
whole = torch.stack([bits(count) for count in lengths], dim=1)
plots.heatmap(whole, ways, [f"{count} steps" for count in lengths], "bits a number", digits=1)

# %%
few, many = (dict(zip(ways, whole[:, n].tolist(), strict=True)) for n in (0, -1))
claims.check(f"With 40 steps the decoder's v costs {many['as it is']:.1f} bits, cut off "
             f"{many['cut off']:.1f}, the most noise {many['most noise']:.1f} and the least "
             f"{many['least noise']:.1f}.", many["as it is"] == min(many.values()))  # drawn
claims.check(f"With 5 steps these are {few['as it is']:.1f}, {few['cut off']:.1f}, "
             f"{few['most noise']:.1f} and {few['least noise']:.1f}.",
             few["least noise"] == max(few.values()))  # drawn

# %% [markdown]
# The bound gains in the last step, where the network errs. But it asks about noised *true* pictures. A sampler lives
# with the noise that it added before. **Predict, then run:** six steps, from the same noise:

# %%
from minunclip.diffusion import ddim, generators, noise_stream

def changed(change):
    """The decoder with other variance logits."""
    def denoiser(x_t, t):
        output = decoder(x_t, t, condition=condition)
        return torch.cat([output[:, :3], change(output[:, 3:])], dim=1)
    return denoiser

def six_steps(sampler, change=lambda logits: logits):
    stream = noise_stream((6, 3, 32, 32), generators(0, 6))
    return last(sampler(decoder.diffusion, changed(change), stream, 6)).clamp(-1, 1)

drawn = {"the originals": pictures, "as it is": six_steps(ddpm),
         "cut off": six_steps(ddpm, lambda logits: logits.clamp(-1, 1)),
         "least noise": six_steps(ddpm, lambda logits: 0 * logits - 1),
         "most noise": six_steps(ddpm, lambda logits: 0 * logits + 1),
         "DDIM, none": six_steps(ddim)}
plots.show(torch.cat([images[:5] for images in drawn.values()]),
           [name if n == 0 else "" for name in drawn for n in range(5)], columns=5, side=104,
           seed=0)

# %%
from minunclip.evaluation import sharpness

as_it_is, cut_off = ((drawn[name] - drawn["DDIM, none"]).abs().mean().item()
                     for name in ("as it is", "cut off"))
claims.check(f"Over long strides the decoder's own v ruins the pictures: they are {as_it_is:.2f} a "
             f"colour from those of DDIM, cut off {cut_off:.2f}.", as_it_is > 1.5 * cut_off)  # drawn
grain = {name: sharpness(images) for name, images in drawn.items()}
claims.check(f"Neighbouring pixels differ by {grain['most noise']:.2f} with the most noise, and by "
             f"{grain['least noise']:.2f} with the least.",
             grain["most noise"] > grain["least noise"])  # drawn

# %% [markdown]
# It is the plane once more: a $v$ that costs nothing in single steps is a disaster over long strides. The paper takes
# 250 steps with the learned variance (Table 3), strides of four. Nichol & Dhariwal (section 4) find it good from about
# 100 steps on, and DDIM better below 50. **Unlike the paper,** we draw with 15 steps, and so by DDIM: where no noise is
# added there is no variance to get wrong.
#
# ## Summary
#
# | | |
# | --- | --- |
# | $\tilde\beta$, $\beta$ | the variance of a step if $x_0$ is known, and if it is only known to be normal |
# | $v$ | mixes their logarithms, number by number |
# | the right $v$ | small where all is decided, above 1 between clusters |
# | the price | too little noise is dear, too much is cheap |
# | it pays | with many steps |
# | it fails | with few: the $v$ of single steps is not that of long strides |
# | learned from | the bound alone; the prediction is detached |
#
# **What you can do now:** choose the variance of a sampler, say what a wrong one costs, and know when to take DDIM.
#
# ## Questions
#
# <details><summary>Why are logarithms mixed and not the variances?</summary>
#
# The two can be far apart, by factors of a thousand. In logarithms a small error of $v$ is a small factor everywhere.
#
# </details>
#
# <details><summary>Why is the variance not trained by a squared error?</summary>
#
# Each example shows one outcome, not the spread of outcomes. The bound judges a distribution by what came out.
#
# </details>
#
# <details><summary>Why detach the prediction in the bound?</summary>
#
# The bound weighs the steps near $t = 0$ most. The picture would be learned worse from it.
#
# </details>
#
# <details><summary>Why is too little noise so dear?</summary>
#
# It is being sure of something false: the true outcome lies many of our standard deviations away.
#
# </details>
#
# <details><summary>Can the right v be above 1?</summary>
#
# Yes: between clusters, where more is open than in a normal distribution; and for a network that errs.
#
# </details>
#
# <details><summary>Can it be below 0?</summary>
#
# No. What is left open about $x_0$ only adds to $\tilde\beta$.
#
# </details>
#
# <details><summary>Why does DDIM ignore the learned variance?</summary>
#
# It adds no noise.
#
# </details>
#
# <details><summary>The 1000 steps of training agree about beta and beta_tilde. Why learn anything?</summary>
#
# For small $t$ they do not agree, and there most of the bits are.
#
# </details>
#
# <details><summary>Analytic-DPM, which the paper's prior uses, computes the variance. From what?</summary>
#
# From the mean square of the predicted noise: the more of the noise a network can name, the less is open.
#
# </details>
#
# <details><summary>You guide with w = 3. Whose variance do you take?</summary>
#
# That of the answer with the condition. Guidance changes the mean only.
#
# </details>
#
# ## Where to read on
#
# - The code: [diffusion/process.py](../minunclip/diffusion/process.py) has the two variances and the hybrid loss,
#   [diffusion/likelihood.py](../minunclip/diffusion/likelihood.py) the two facts about normal distributions that it
#   needs.
# - Nichol & Dhariwal, [Improved DDPM](https://arxiv.org/abs/2102.09672) (2021), sections 3.1 and 4.
# - Bao et al., [Analytic-DPM](https://arxiv.org/abs/2201.06503) (2022): the best variance without learning it.
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125), Table 3.
