# %% [markdown]
# # 08 · The upsamplers: from small to large
#
# The decoder draws small pictures, because a diffusion model that has to look at every pixel of a large one at every
# step is slow. Two more models make its picture large: 32 to 128 to 512 pixels here, 64 to 256 to 1024 in the paper.
# What the picture shows is already decided; what they add is sharpness. In this notebook you see why a formula cannot
# do that, train a network that can, and find out why it must see bad pictures to become good.

# %%
import copy
import os
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F

import minunclip
from minunclip import plots
from minunclip.commands.train import shortened
from minunclip.common import best_device
from minunclip.course import checks, claims
from minunclip.course.widgets.upsampler import FAULTS, DegradationExplorer, degraded_grid, enlarge
from minunclip.diffusion import ddim, generators, noise_stream
from minunclip.evaluation import Judge, psnr, same_facts, sharpness
from minunclip.plots import small as fewer_bytes
from minunclip.scenes import Scene, Scenes, Thing, render, to_tensor
from minunclip.training import TrainConfig, Trainer, batches, degrade, pixels
from minunclip.training.recipes import UpsamplerRecipe, diffusion_loss
from minunclip.upsampler import upsample

# %%
torch.set_grad_enabled(False)                     # on again wherever something is trained
device = best_device()
cascade = minunclip.load("scenes", device)
first, second = cascade.upsamplers
sizes = cascade.sizes
scene = Scene((Thing("star", "yellow", "big"), Thing("fish", "red", "small")), "row", "night", "outlined", seed=7)
low, middle, high = (to_tensor(render(scene, size)).to(device) for size in sizes)

# %%
ours = enlarge(second, enlarge(first, low[None]))[0]
shown = {f"{sizes[0]} pixels": low, f"bicubic to {sizes[2]}": upsample(low[None], sizes[2])[0].clamp(-1, 1),
         f"our two upsamplers, {sizes[2]}": ours, f"the render, {sizes[2]}": high}  # fmt: skip
corner = [image[:, : image.shape[1] // 2, : image.shape[2] // 2] for image in shown.values()]
fewer_bytes(plots.show([*shown.values(), *corner], [*shown, *["its upper left quarter"] * 4], columns=4, side=150), 160)

# %% [markdown]
# From left to right: a small picture; the same, enlarged by the usual formula; enlarged by our two upsamplers; and the
# truth, which only the renderer knows. Our upsamplers here are the finished ones, loaded with the shipped weights.
#
# **What you will see**
#
# 1. How bicubic enlargement works, and why it is blurry.
# 2. Decibels: how far a picture is from the truth.
# 3. The network: a U-Net that sees the small picture beside the noise.
# 4. Trained on crops, used at any size.
# 5. Training. You run one.
# 6. Why an upsampler must be trained on spoiled pictures, and what happens if it is not.
# 7. More faults for the second upsampler, under a slider.
# 8. Few steps are enough.
# 9. From 32 to 512 pixels, measured.
#
# **What you need to know before:** diffusion and DDIM as in notebook 03, and the U-Net of notebook 07.
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("08_upsamplers")

# %% [markdown]
# Reading takes about 35 minutes, the four exercises another 20. With the `cpu` profile the trainings are cut short;
# with `gpu` they run for longer. The environment variable `MINUNCLIP_PROFILE` chooses.

# %%
profile = os.environ.get("MINUNCLIP_PROFILE", "gpu" if device.type == "cuda" else "cpu")
print(f"running on {device.type}, profile {profile}")

# %% [markdown]
# ## 1. Bicubic, and why it is blurry
#
# To make a picture four times as large, three of four pixels in a row must be invented. The usual way: each new pixel
# is a weighted sum of the old ones around it. *Bicubic* takes the four nearest in a row, and of these rows again four.
# The weight depends on the distance $d$, in old pixels (Keys, 1981):
#
# $$k(d) = \begin{cases} \tfrac32 |d|^3 - \tfrac52 |d|^2 + 1 & |d| \le 1 \\
# -\tfrac12 |d|^3 + \tfrac52 |d|^2 - 4 |d| + 2 & 1 < |d| < 2 \\ 0 & \text{else} \end{cases}$$

# %%
def k(d):
    d = d.abs()
    near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return torch.where(d <= 1, near, torch.where(d < 2, far, 0.0))

d = torch.linspace(-2.5, 2.5, 101)
plots.curves({"k": (d.tolist(), k(d).tolist())}, "distance in old pixels", "weight")

# %% [markdown]
# A new pixel that lies at 0.375 between two old ones, one eighth of the way behind the quarter: the old pixels at -1,
# 0, 1 and 2 are 1.375, 0.375, 0.625 and 1.625 away.

# %% tags=["nbval-check-output"]
distances = 0.375 - torch.arange(-1.0, 3.0)
print("distances:", distances.numpy())
print("weights:  ", k(distances).numpy().round(4), "sum", round(k(distances).sum().item(), 4))

# %% [markdown]
# ### Exercise 1: Four weights · ●●○ medium · 6 minutes
#
# For a new pixel at `f`, from 0 (on the old pixel 0) to 1, return the weights of the old pixels at -1, 0, 1 and 2 as a
# tensor (4,). The next cell tries your function and says what is still wrong; as long as it is empty, the notebook
# runs on.

# %% tags=["exercise"]
def cubic_weights(f: float) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.cubic_weights(cubic_weights)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The two middle pixels are at most 1 away: the first line of the formula. The outer two need the second line. Mind
# that it takes $|d|$.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def cubic_weights(f: float) -> torch.Tensor:
#     d = torch.tensor([1 + f, f, 1 - f, 2 - f])
#     near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
#     return torch.where(d <= 1, near, far)
# ```
#
# </details>
#
# Where do the new pixels lie? Pixels are little squares, and what counts are their centres. New pixel $j$ has its
# centre at $(j + 0.5) / 4 - 0.5$ old pixels. A whole row with an edge in the middle, by hand and by the library:

# %% tags=["nbval-check-output"]
old = torch.tensor([0.0, 0, 0, 0, 1, 1, 1, 1])
new = []
for j in range(8, 24):                                                        # away from both ends
    place = (j + 0.5) / 4 - 0.5
    base = int(place)
    new.append(checks.cubic_weights.reference(place - base) @ old[base - 1 : base + 3])
new = torch.stack(new)
theirs = upsample(old.expand(1, 1, 8, 8), 32)[0, 0, 0, 8:24]
torch.testing.assert_close(new, theirs, atol=1e-5, rtol=0)
print(new.numpy().round(2) + 0.0)

# %% [markdown]
# The edge was sharp, from 0 to 1 between two pixels. Enlarged, it climbs over several pixels, and on both sides it
# goes too far: below 0 and above 1 (*ringing*). A row through our scene, with the truth beside it:

# %%
row, columns = 3 * sizes[1] // 8, range(sizes[1] // 4, sizes[1] // 2)
rows = {"the render": middle, "bicubic": upsample(low[None], sizes[1])[0],
        "our first upsampler": enlarge(first, low[None])[0]}  # fmt: skip
lines = {name: (columns, image[0, row, columns.start : columns.stop].tolist()) for name, image in rows.items()}
plots.curves(lines, f"column of {sizes[1]}", "red")

# %% [markdown]
# Could a cleverer formula be sharp? Not if it takes weighted sums, whatever the weights. The small picture does not say
# what the large one was. Here are three rows of four pixels that become the *same* small pixel:

# %% tags=["nbval-check-output"]
possible = torch.tensor([[0.0, 0, 1, 1], [1, 1, 0, 0], [0.5, 0.5, 0.5, 0.5]])
print("each as one pixel:", possible.mean(dim=1).numpy())
print("mean of the three:", possible.mean(dim=0).numpy())

# %% [markdown]
# Whoever has to name *one* row, and is punished by the squared error, names the mean of all possible ones: grey. Blur
# is the honest answer to an impossible question. To do better, one has to know which large pictures *exist*. In our
# world edges are sharp, outlines are dark and stars have five points; whoever knows that may *draw* one of the possible
# pictures. That is a job for a diffusion model.
#
# ## 2. Decibels
#
# How far is an enlarged picture from the truth? The usual measure is the *peak signal-to-noise ratio*: the mean
# squared error, compared with the largest possible one, on a logarithmic scale. Our pictures go from -1 to 1, so
#
# $$\text{PSNR} = 10 \log_{10} \frac{2^2}{\text{mean squared error}}$$
#
# in decibels (dB). Ten more means a tenth of the error, three more half of it. An error of 0.2 everywhere:

# %% tags=["nbval-check-output"]
images, truth = torch.full((1, 3, 4, 4), 0.2), torch.zeros(1, 3, 4, 4)
print(f"by hand 10 log10(4 / 0.04) = {10 * torch.log10(torch.tensor(100.0)):.1f} dB, "
      f"the library {psnr(images, truth).item():.1f} dB")  # fmt: skip

# %% [markdown]
# ### Exercise 2: Decibels · ●○○ easy · 3 minutes
#
# For pictures (B, C, H, W) in -1 to 1: one number for each picture, (B,).

# %% tags=["exercise"]
def decibels(images: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.decibels(decibels)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `.flatten(1).mean(dim=1)` takes the mean over everything but the batch.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def decibels(images: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
#     error = ((images - truth) ** 2).flatten(1).mean(dim=1)
#     return 10 * torch.log10(4 / error)
# ```
#
# </details>
#
# Eight unseen scenes at both sizes, and what the formulas get. (*Nearest* repeats each pixel.)

# %%
items = [Scenes("test", seed=3)[i] for i in range(8)]
lows, highs = (torch.stack([item.image(size) for item in items]).to(device) for size in sizes[:2])

def bicubic(low, size=None):
    return upsample(low, size or sizes[1]).clamp(-1, 1)

ways = {"nearest": partial(F.interpolate, scale_factor=4.0), "bicubic": bicubic,
        "our upsampler": partial(enlarge, first)}  # fmt: skip
decibel = {name: psnr(way(lows), highs).mean().item() for name, way in ways.items()}
plots.bars(decibel, "PSNR in dB")

# %%
claims.check(f"Bicubic comes to {decibel['bicubic']:.1f} dB, our upsampler to {decibel['our upsampler']:.1f} dB: "
             "the squared error is smaller by a factor of "
             f"{10 ** ((decibel['our upsampler'] - decibel['bicubic']) / 10):.1f}.",
             decibel["our upsampler"] > decibel["bicubic"] + 3)

# %% [markdown]
# ## 3. The network
#
# The upsampler is a diffusion model of the large picture, and its network is the U-Net of notebook 07 without what
# belongs to captions: no $z_i$, no text, no attention. Of the U one level is left: what is far away in the picture, the
# small picture tells. What it has instead is the small picture. That is enlarged by
# bicubic and laid **beside** the noisy one, as three more channels (Ho et al., 2021; Saharia et al., 2021):
#
# $$\hat x_0 = \text{U-Net}\big([\,x_t,\; \text{bicubic}(\text{low})\,],\; t\big)$$
#
# So each position sees, in the same place, what is there and how it should look from afar.

# %%
x_t = torch.randn(1, 3, sizes[1], sizes[1], generator=torch.Generator().manual_seed(0)).to(device)
t, enlarged = torch.tensor([600], device=device), upsample(low[None], sizes[1])
beside = torch.cat([x_t, enlarged], dim=1)
answer = first.unet(beside, t)
by_hand = enlarged + first.config.residual * answer
torch.testing.assert_close(first(x_t, t, low[None]), by_hand)
print("equal: in", tuple(beside.shape), "out", tuple(answer.shape), "residual:", first.config.residual)

# %% [markdown]
# With *residual* (Kim et al., 2016) the network's answer is added to the bicubic picture, so it need only say what
# that lacks. The paper does not speak of it. In a small network it saves work: GroupNorm removes how light a picture
# is, and whoever answers with the whole picture has to carry that past it. What bicubic lacks is little, so the answer
# counts in tenths: else much of the training would go into keeping the noise of $x_t$ out of it.
#
# There is no guidance either: the small picture says so much that nothing needs to be pushed. How much it says shows if
# we give the *same noise* another small picture, and what is missing without any: grey.

# %%
given = torch.stack([low, lows[0], torch.zeros_like(low)])
drawn = enlarge(first, given, seed=0)
names = ["given: our scene", "given: another one", "given: grey", *["drawn from it"] * 3]
fewer_bytes(plots.show([*given, *drawn], names, columns=3, side=128, seed=0), 160)

# %% [markdown]
# And what it knows before the first step. From pure noise, at $t = 999$, the network already has an estimate of the
# clean picture. In notebook 03 the first estimate of the decoder was a blur, the mean of everything possible:

# %%
t = torch.tensor([999], device=device)
estimate = first.diffusion.estimate(first(x_t, t, low[None]), x_t, t)[0].clamp(-1, 1)
shown = {"bicubic": bicubic(low[None]), "estimate from pure noise": estimate, "two steps": enlarge(first, low[None])}
below = [f"{name}: {psnr(image, middle[None]).item():.1f} dB" for name, image in shown.items()]
plots.show([image[0] for image in shown.values()] + [middle], [*below, "the render"], columns=4, side=128)

# %% [markdown]
# Little is left to decide, so the mean of everything possible is not so blurred here. That is why upsamplers need only
# few steps (section 8).
#
# ## 4. Trained on crops, used at any size
#
# A picture of 512 pixels is sixteen times the work of one of 128. The paper trains its upsamplers on *crops*, a quarter
# of the side (section 2.1), a sixteenth of the area. That is allowed because nothing in the network knows where in the
# picture it is, or how large the picture is: a convolution does the same everywhere. Attention would be different in
# two ways. It costs too much, as every position looks at every other one, and it would have learned from small pictures
# only:

# %% tags=["nbval-check-output"]
for size in (128, 512, 1024):
    positions = (size // 4) ** 2                                              # patches of 4 x 4 pixels
    print(f"{size:4} pixels: {positions:6,} positions, {positions**2:14,} pairs for attention")

# %% [markdown]
# ### Exercise 3: The same crop twice · ●○○ easy · 5 minutes
#
# For training, the large and the small picture must be cut so that both show the same. `top`, `left` and `side` count
# small pixels. `high` is a whole number of times larger than `low`. Return the crop of `high`, then that of `low`.

# %% tags=["exercise"]
def same_crop(
    high: torch.Tensor, low: torch.Tensor, top: int, left: int, side: int
) -> tuple[torch.Tensor, torch.Tensor]:
    raise NotImplementedError

# %%
checks.same_crop(same_crop)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `high.shape[-1] // low.shape[-1]` is how many times larger it is. Corner and side both grow by it. Rows (`top`) are
# the axis before the last one.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def same_crop(
#     high: torch.Tensor, low: torch.Tensor, top: int, left: int, side: int
# ) -> tuple[torch.Tensor, torch.Tensor]:
#     f = high.shape[-1] // low.shape[-1]
#     large = high[..., f * top : f * (top + side), f * left : f * (left + side)]
#     return large, low[..., top : top + side, left : left + side]
# ```
#
# </details>
#
# Our training data is drawn while we train, so we can be lazy: only the quarter that is needed is ever rendered. The
# result is what cutting would give:

# %% tags=["nbval-check-output"]
top, left, side = 10, 5, sizes[0] // 4
high_crop, low_crop = checks.same_crop.reference(middle[None], low[None], top, left, side)
rendered = to_tensor(render(scene, sizes[1], (4 * left, 4 * top, 4 * side)))
torch.testing.assert_close(high_crop[0].cpu(), rendered, atol=1e-5, rtol=0)
print("equal; low", tuple(low_crop.shape), "high", tuple(high_crop.shape))

# %% [markdown]
# Does a network that was trained on crops work on larger pictures? Ours was trained on crops of 8 small pixels a side.
# Here it enlarges pictures of 16 to 64 pixels, cut from or rendered at other sizes than it will ever be used for:

# %%
tests = {"16 x 16 to 64 x 64": (low[:, 8:24, 2:18], middle[:, 32:96, 8:72]),
         "24 x 32 to 96 x 128": (low[:, 4:28], middle[:, 16:112]),
         "32 x 32 to 128 x 128": (low, middle),
         "64 x 64 to 256 x 256": tuple(to_tensor(render(scene, n)).to(device) for n in (64, 256))}  # fmt: skip
for name, (small, large) in tests.items():
    ours = psnr(enlarge(first, small[None]), large[None]).item()
    theirs = psnr(bicubic(small[None], large.shape[-2:]), large[None]).item()
    print(f"{name:21} {ours:.1f} dB, bicubic {theirs:.1f} dB")

# %% [markdown]
# Is the answer for a crop the same as that part of the answer for the whole? Not quite, and it is worth knowing why.
# Same noise, same place:

# %%
beside = torch.cat([x_t, enlarged], dim=1)
whole, rows, columns = first.unet(beside, t), slice(32, 96), slice(8, 72)
difference = (first.unet(beside[:, :, rows, columns], t) - whole[:, :, rows, columns]).abs().mean(dim=1)[0]
print(f"mean difference along the border {difference[0].mean():.3f}, in the middle "
      f"{difference[24:40, 24:40].mean():.3f}; size of the answer {whole.abs().mean():.3f}")  # fmt: skip

# %% [markdown]
# Two things know of the rest of the picture. A convolution at the border sees zeros where its neighbours were cut off.
# And GroupNorm takes mean and variance over the *whole* picture that it is given. Both are small, and training
# on crops of all places teaches the network to live with them.
#
# ## 5. Training
#
# The recipe of the first upsampler: a crop of a scene at both sizes, the small one spoiled a little (section 6 says
# why), and the diffusion loss. Ours are half of the side, as the pictures are small. And they are not taken anywhere:
# most of a picture is smooth, and bicubic is right there. Of four random crops the recipe takes the one with the most
# to see. What the network sees in a batch:

# %%
recipe = UpsamplerRecipe(1)
config = recipe.profiles[profile]
if profile == "cpu":
    config = replace(shortened(config, steps=200), ema=0.97)
batch = next(batches(recipe, config)(0))
crops, small_crops = pixels(batch.high), pixels(batch.low)
names = [f"{image.shape[1]} x {image.shape[2]}" for images in (small_crops, crops) for image in images[:6]]
plots.show([*small_crops[:6], *crops[:6]], names, columns=6, side=104)

# %%
torch.manual_seed(0)
torch.set_grad_enabled(True)
model, records = recipe.build().to(device), []
trainer = Trainer(model, config)
for record in trainer.run(recipe.loss, batches(recipe, config)):
    records.append(record)
    if record.step in (1, 10, config.steps // 4, config.steps // 2, config.steps):
        print(f"step {record.step:5}: loss {record.loss:.4f}")
torch.set_grad_enabled(False)

# %%
plots.loss_curve(records, "upsampler-1")

# %% [markdown]
# A loss to compare with: what would bicubic pay, if it were the answer? (With *residual* that is where a new network
# begins: its last layer starts at zero, and so adds nothing.)

# %%
shortly = trainer.ema.eval()
of_bicubic = (upsample(small_crops, crops.shape[-1]) - crops).square().mean().item()
of_network = sum(record.loss for record in records[-20:]) / 20
claims.check(f"Bicubic as the answer costs {of_bicubic:.4f}. In its last 20 steps the network paid "
             f"{of_network:.4f}.", of_network < of_bicubic)
ways = {"bicubic": bicubic, "trained just now": partial(enlarge, shortly), "finished": partial(enlarge, first)}
plots.bars({name: psnr(way(lows), highs).mean().item() for name, way in ways.items()}, "PSNR in dB, unseen scenes")

# %%
shown = {name: way(lows[:2]) for name, way in ways.items()} | {"the render": highs[:2]}
fewer_bytes(plots.show([images[0] for images in shown.values()], list(shown), columns=4, side=128), 160)

# %% [markdown]
# With little noise in $x_t$ the answer can be read off it. What counts for samples is the answer in *much* noise: they
# take a few steps only, all of them noisy (section 8). So four in five timesteps of the recipe are from the noisiest
# four tenths.
#
# ## 6. Why it must see spoiled pictures
#
# **Loading the finished weights.** From here on, we start from the finished first upsampler.
#
# In training, the small pictures are exact. In the cascade they come from the decoder, and those are nearly right: a
# bit soft, a bit grainy. A network that has only ever seen exact pictures trusts every pixel. It takes grain for detail
# and makes it sharp. The remedy is *noise conditioning augmentation* (Ho et al., 2021): spoil the small pictures in
# training. The paper blurs them a little for the first upsampler, with a 3 x 3 kernel and a sigma of 0.6 (section 2.1,
# Appendix C, after Saharia et al., 2021).
#
# ### Exercise 4: The kernel · ●○○ easy · 4 minutes
#
# A Gaussian: $\exp(-d^2 / 2 \sigma^2)$ at the distances $d = -r, \dots, r$, divided by its sum. Return (2 r + 1,).

# %% tags=["exercise"]
def gaussian_kernel(sigma: float, radius: int) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.gaussian_kernel(gaussian_kernel)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `torch.arange(-radius, radius + 1)` are the distances. Divide at the very end.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def gaussian_kernel(sigma: float, radius: int) -> torch.Tensor:
#     d = torch.arange(-radius, radius + 1)
#     weights = torch.exp(-(d**2) / (2 * sigma**2))
#     return weights / weights.sum()
# ```
#
# </details>
#
# The kernel of the paper, and a picture blurred with it, by hand and by the library. A blur in two directions is a blur
# along the rows and then one along the columns:

# %% tags=["nbval-check-output"]
kernel = checks.gaussian_kernel.reference(0.6, 1)
print("sigma 0.6:", kernel.numpy().round(3))
dot = torch.zeros(1, 1, 5, 5)
dot[..., 2, 2] = 1
by_hand = F.conv2d(F.conv2d(dot, kernel.view(1, 1, 1, 3), padding=(0, 1)), kernel.view(1, 1, 3, 1), padding=(1, 0))
torch.testing.assert_close(degrade.blur(dot, torch.tensor([0.6]), radius=1), by_hand)
print(by_hand[0, 0, 1:4, 1:4].numpy().round(3))

# %% [markdown]
# Now the experiment. The finished network goes on learning for a while, twice, from the same point with the same scenes
# and the same noise. One copy sees exact small pictures only. For the other, half of them are spoiled.

# %%
more = {"cpu": TrainConfig(steps=100, batch=8, lr=8e-4, warmup=10, ema=0.97),
        "gpu": TrainConfig(steps=2000, batch=64, lr=8e-4)}[profile]  # fmt: skip

def answers(model, low, x_t, t):
    return model(x_t, t, low)

def go_on(spoil):
    def loss(model, batch, rng):
        high, low = pixels(batch.high), pixels(batch.low)
        return diffusion_loss(model, high, partial(answers, model, spoil(low, rng).to(device)), rng)

    with torch.enable_grad():
        model = copy.deepcopy(first)
        trainer = Trainer(model, more)
        last_losses = [record.loss for record in trainer.run(loss, batches(recipe, more))][-20:]
    print(f"loss {sum(last_losses) / 20:.4f}")
    return trainer.ema.eval()

# %%
def half_spoiled(low, rng):
    spoiled = torch.rand(len(low), 1, 1, 1, generator=rng) < 0.5
    return torch.where(spoiled, degrade.degrade(low, rng), low)

on_exact, on_spoiled = go_on(lambda low, rng: low), go_on(half_spoiled)

# %% [markdown]
# (`degrade` is the stronger spoiling that section 7 explains. The difference is then seen after a short training.) The
# loss of the second is higher: its task is harder. Now both meet small pictures that are exact, and others that are
# not:

# %%
g = torch.Generator().manual_seed(0)
noise = torch.randn(lows.shape, generator=g).to(device)
met = {"exact": lows, **{f"blur {x}": degrade.blur(lows, torch.full((8,), x), radius=3) for x in (0.6, 1.2)},
       **{f"noise {x}": (lows + x * noise).clamp(-1, 1) for x in (0.1, 0.2)},
       "all": degrade.degrade(lows, torch.Generator().manual_seed(2))}  # fmt: skip
ways = {"bicubic": bicubic, "on exact ones": partial(enlarge, on_exact),
        "on spoiled ones": partial(enlarge, on_spoiled)}  # fmt: skip
table = torch.tensor([[psnr(way(small), highs).mean() for small in met.values()] for way in ways.values()])
plots.heatmap(table, list(ways), list(met), "PSNR in dB; rows: trained on, columns: meets", digits=1)

# %%
shown, names = [], []
for name in ("exact", "noise 0.2", "blur 1.2"):
    small = met[name][1]
    shown += [small, *(way(small[None])[0] for way in ways.values())]
    names += [name, *ways]
fewer_bytes(plots.show(shown, names, columns=4, side=120, seed=0), 160)

# %% [markdown]
# In the pictures, look at areas that should be plain: what came in as grain comes out as blotches with edges.

# %%
on = {name: dict(zip(met, row, strict=True)) for name, row in zip(ways, table.tolist(), strict=True)}
trusting, careful = on["on exact ones"], on["on spoiled ones"]
claims.check(f"On exact pictures the network that has seen nothing else is the better one: {trusting['exact']:.1f} "
             f"dB against {careful['exact']:.1f}. With noise of 0.2 it is the worse one: "
             f"{trusting['noise 0.2']:.1f} dB against {careful['noise 0.2']:.1f}.",
             trusting["exact"] > careful["exact"] and trusting["noise 0.2"] < careful["noise 0.2"])

# %% [markdown]
# The case that counts is the decoder's own work. There is no truth to compare it with; judge by eye:

# %%
z_i, silence = cascade.clip.encode_image(lows[:3]), cascade.clip.encode_text([""]).repeat(3)
noise = noise_stream((3, 3, sizes[0], sizes[0]), generators(0, 3), device)
*_, last_step = ddim(cascade.decoder.diffusion, cascade.decoder_denoiser(z_i, silence, 2), noise, 15)
decoded = last_step.x_t.clamp(-1, 1)
shown = {"decoded": decoded, **{name: way(decoded) for name, way in ways.items()}}
shown = [images[i] for i in (0, 2) for images in shown.values()]
fewer_bytes(plots.show(shown, ["decoded", *ways] * 2, columns=4, side=128, seed=0), 160)

# %% [markdown]
# ## 7. More faults for the second
#
# The second upsampler gets what the first one made, with faults of its own kind: edges where none should be, textures
# that do not go on. A blur would not prepare for that. The paper takes a stronger spoiling for it, called *BSR* after
# Zhang et al. (2021): blur, a change of size, noise and JPEG compression, each of random strength and in random order.
# Ours is a light form of it. The four faults at full strength, and six draws of all of them:

# %%
piece = middle[None, :, :64, :64]
each = [FAULTS[name](piece, 1.0)[0] for name in FAULTS]
together = degrade.degrade(piece.expand(6, -1, -1, -1), torch.Generator().manual_seed(3))
names = ["exact", *FAULTS, *[f"all, draw {n}" for n in range(1, 7)]]
fewer_bytes(plots.show([piece[0], *each, *together], names, columns=6, side=104, seed=3), 160)

# %% [markdown]
# In which order they come matters: noise and then blur is soft noise, blur and then noise is grain. No later fault
# undoes an earlier one, so a network has to see them mixed.
#
# Move the slider from 0 to 1. In each row: the small picture with one fault, then the three ways to enlarge it that
# section 6 compared. The pages were drawn beforehand and need no kernel:

# %% tags=["nbval-ignore-output"]
degraded_grid(low, middle.cpu(), ways)

# %% [markdown]
# And with a kernel, for other pictures and any strength:

# %% tags=["nbval-ignore-output"]
pictures = {"a star and a fish at night": (low, middle.cpu())}
pictures |= {f"test: {item.caption}": (lows[i], highs[i].cpu()) for i, item in enumerate(items[:3])}
DegradationExplorer(pictures, ways)

# %% [markdown]
# Being ready for faults has a price, as the first column of the table above says. A network that does not trust its
# input irons out what was true as well: fine texture looks like noise. So three in four pictures of our second
# upsampler's training stay exact, and the network has to find out which kind it has got.
#
# ## 8. Few steps are enough
#
# The paper takes 27 steps for its first upsampler and 15 for the second, with DDIM (Table 3); the decoder takes 250.
# What do more steps bring here? Two numbers for each: decibels, and *sharpness*, the root mean square of the
# differences between neighbouring pixels, as a share of that of the renders. (The square counts: an edge that is spread
# over three pixels has the same sum of differences, but a third of the sum of squares.)

# %%
counts = (2, 3, 5, 10, 20)
drawn = {count: enlarge(first, lows[:4], count) for count in counts}
decibel = {f"{count} steps": psnr(images, highs[:4]).mean().item() for count, images in drawn.items()}
decibel = {"bicubic": psnr(bicubic(lows[:4]), highs[:4]).mean().item()} | decibel
plots.bars(decibel, "PSNR in dB")

# %%
sharp = {"bicubic": sharpness(bicubic(lows[:4])) / sharpness(highs[:4])}
sharp |= {f"{count} steps": sharpness(images) / sharpness(highs[:4]) for count, images in drawn.items()}
plots.bars({"the renders": 1.0} | sharp, "sharpness")

# %%
claims.check(f"Three steps come to {decibel['3 steps']:.1f} dB and a sharpness of {sharp['3 steps']:.2f}, twenty to "
             f"{decibel['20 steps']:.1f} dB and {sharp['20 steps']:.2f}. Bicubic has {decibel['bicubic']:.1f} dB "
             f"and {sharp['bicubic']:.2f}.",
             abs(decibel["20 steps"] - decibel["3 steps"]) < 0.5 and sharp["3 steps"] > sharp["bicubic"])

# %% [markdown]
# Do not take the larger number of decibels for the better picture. PSNR is highest for the mean of all possible
# pictures, a blur. Each step moves away from that mean and towards *one* picture, with sharp edges that may be half a
# pixel off, and an edge in the wrong place costs more than a soft one. Dahl et al. (2017) have a method that loses in
# decibels and whose pictures people took for real more often. Five steps, from noise to picture:

# %%
small = upsample(low[None], sizes[1])
stream = noise_stream((1, 3, sizes[1], sizes[1]), generators(0, 1), device)
steps = list(ddim(first.diffusion, lambda x_t, t: first(x_t, t, small), stream, 5))
fewer_bytes(plots.film_strip(steps, seed=0, side=96), 160)

# %% [markdown]
# Below are the estimates. The first one, from pure noise, is already nearly what comes out in the end: the small
# picture decides. Compare with the film strips of the decoder in notebooks 00 and 03, where the first estimates are a
# fog.
#
# ## 9. From 32 to 512 pixels
#
# Now both in a row, on three unseen scenes. The second upsampler can be given the true picture of 128 pixels or what
# the first one made. We also ask the judge (notebook 01), after making the result small again, whether all facts of the
# scene are still there.

# %%
three, larges = lows[:3], torch.stack([item.image(sizes[2]) for item in items[:3]]).to(device)
after_first = enlarge(first, three)
results = {"bicubic, 32 to 512": bicubic(three, sizes[2]), "both upsamplers": enlarge(second, after_first),
           "second on the true 128 px": enlarge(second, highs[:3]),
           "bicubic on the true 128 px": bicubic(highs[:3], sizes[2])}  # fmt: skip
decibel = {name: psnr(images, larges).mean().item() for name, images in results.items()}
plots.bars(decibel, "PSNR in dB")

# %%
judge, truth = Judge.from_pretrained("scenes", device), [item.scene for item in items[:3]]
sharp = {name: sharpness(images) / sharpness(larges) for name, images in results.items()}
for name, images in results.items():
    read = judge.read(F.interpolate(images, sizes[0], mode="area"))
    print(f"{name:27} sharpness {sharp[name]:.2f} of the renders', "
          f"facts kept in {same_facts(truth, read)['scene'].true} of 3")  # fmt: skip

# %%
def middle_half(images):
    quarter = images.shape[-1] // 4
    return images[..., quarter:-quarter, quarter:-quarter]

corner = {"32 px": three, "bicubic": results["bicubic, 32 to 512"], "both upsamplers": results["both upsamplers"],
          "the render": larges}  # fmt: skip
corner = {name: middle_half(images) for name, images in corner.items()}
shown = [images[i] for i in range(2) for images in corner.values()]
fewer_bytes(plots.show(shown, list(corner) * 2, columns=4, side=130, seed=0), 160)

# %% [markdown]
# (The middle of each picture. A sharpness above 1 would mean edges or grain that the render does not have.)

# %%
second_on, bicubic_on = (f"{way} on the true 128 px" for way in ("second", "bicubic"))
claims.check(f"On the true picture of 128 pixels the second upsampler comes to {decibel[second_on]:.1f} dB and a "
             f"sharpness of {sharp[second_on]:.2f}, bicubic to {decibel[bicubic_on]:.1f} dB and "
             f"{sharp[bicubic_on]:.2f}. In our flat world little is left to invent between 128 and 512 pixels.",
             decibel[second_on] > decibel[bicubic_on] and sharp[second_on] > sharp[bicubic_on])

# %% [markdown]
# With spoiled pictures of 128 pixels:

# %%
spoiled = degrade.degrade(highs[:3], torch.Generator().manual_seed(1))
found = {"the spoiled 128 px": F.interpolate(spoiled, sizes[2]), "bicubic": bicubic(spoiled, sizes[2]),
         "second upsampler": enlarge(second, spoiled)}  # fmt: skip
decibel = {name: psnr(images, larges).mean().item() for name, images in found.items()}
for name, value in decibel.items():
    print(f"{name:19} {value:.1f} dB")
pieces = {name: middle_half(images[:2]) for name, images in (found | {"the render": larges}).items()}
shown = [images[i] for i in range(2) for images in pieces.values()]
fewer_bytes(plots.show(shown, list(pieces) * 2, columns=4, side=130), 160)

# %% [markdown]

# %%
claims.check(f"Of spoiled pictures the second upsampler makes {decibel['second upsampler']:.1f} dB, bicubic "
             f"{decibel['bicubic']:.1f}.", decibel["second upsampler"] > decibel["bicubic"])

# %% [markdown]
# And the whole way, from a caption, with all that the stages before made wrong:

# %%
drawing = cascade.sample(["a big yellow star left of a small red fish at night"], seed=0)
fewer_bytes(plots.cascade_figure(drawing, side=200), 160)

# %% [markdown]
# ## Summary
#
# | | |
# | --- | --- |
# | bicubic | a weighted sum of 4 x 4 old pixels; blurs and rings, because it may not choose |
# | PSNR | decibels of the squared error; three more is half of it; prefers the mean, which is a blur |
# | conditioning | the enlarged small picture as three more channels beside $x_t$ |
# | crops | no attention, so what is learned on a quarter of the side works at any size |
# | augmentation | spoil the small pictures in training, or the network makes grain sharp |
# | the second | a stronger spoiling: blur, size, noise and JPEG in random order |
# | steps | few, as the small picture decides nearly everything |
#
# ## Questions
#
# <details><summary>Why not let the decoder draw 512 pixels at once?</summary>
#
# At 512 pixels each step works on 256 times as many pixels as at 32, and the decoder takes many steps, twice each with
# guidance. And what a picture shows can be decided on a small one. The upsamplers do the part that needs many pixels,
# in few steps, without attention and without guidance.
#
# </details>
#
# <details><summary>An upsampler gets the picture in two shapes, x_t and low. Could it do without x_t?</summary>
#
# Then it would be a plain network that has to answer at once, and the best it could do for the squared error is the
# mean of all that is possible. $x_t$ is where it reads what it has already decided.
#
# </details>
#
# <details><summary>The network was trained on crops. Name two things in it that would break at other sizes if they were
# there.</summary>
#
# Learned positions, one for each place of the picture: there would be none for the new places. And a layer that reads
# all pixels at once, of a fixed number. Attention without positions would run, but over far more positions than it has
# ever seen.
#
# </details>
#
# <details><summary>Your upsampler is excellent on the test set and its pictures in the cascade are full of specks.
# Why?</summary>
#
# The test set has exact small pictures. The decoder's are not exact, and the network was not trained to doubt them:
# section 6.
#
# </details>
#
# ## Where to read on
#
# - The code: [upsampler.py](../minunclip/upsampler.py) is section 3,
#   [training/degrade.py](../minunclip/training/degrade.py) sections 6 and 7,
#   [training/recipes/upsampler.py](../minunclip/training/recipes/upsampler.py) section 5.
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125): section 2.1 for the upsamplers, Appendix C and
#   Table 3 for their sizes, steps and schedules.
# - Ho et al., [Cascaded diffusion models](https://arxiv.org/abs/2106.15282) (2021): noise conditioning augmentation,
#   with experiments. Saharia et al., [SR3](https://arxiv.org/abs/2104.07636) (2021): the small picture beside the
#   noise.
# - Zhang et al., [A practical degradation model](https://arxiv.org/abs/2103.14006) (2021): BSR. Rombach et al.,
#   [Latent diffusion](https://arxiv.org/abs/2112.10752) (2022), section 4.4: the same for diffusion models.
# - Kim et al., [Very deep super-resolution](https://arxiv.org/abs/1511.04587) (2016): the residual.
#   Keys, *Cubic convolution interpolation for digital image processing* (1981). Dahl et al.,
#   [Pixel recursive super resolution](https://arxiv.org/abs/1702.00783) (2017): sharp against right.
