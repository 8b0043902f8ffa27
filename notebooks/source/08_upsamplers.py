# %% [markdown]
# # 08 · The upsamplers: from small to large
#
# The decoder draws 32 pixels a side. You want 512. Where do the missing pixels come from, when for each one that there
# is, 255 have to be invented? In unCLIP two more diffusion models do that: 32 to 128 to 512 pixels here, 64 to 256 to
# 1024 in the paper.

# %%
import torch
import torch.nn.functional as F

import minunclip
from minunclip import plots
from minunclip.course import checks, claims, draw
from minunclip.scenes import Scene, Thing, render, to_tensor

# %%
from minunclip.course.widgets.upsampler import enlarge
from minunclip.upsampler import Upsampler, upsample

torch.set_grad_enabled(False)                     # on again wherever something is trained
cascade = minunclip.load("scenes")
first, second = cascade.upsamplers
scene = Scene((Thing("star", "yellow", "big"), Thing("heart", "red", "big")),
              "row", "night", "striped", seed=7)
low, middle, high = (to_tensor(render(scene, side)) for side in (32, 128, 512))

def bicubic(low, side=128):
    return upsample(low, side).clamp(-1, 1)

# %%
opening = {"32 pixels": low, "enlarged by a formula (bicubic)": bicubic(low[None], 512)[0],
           "our two upsamplers": enlarge(second, enlarge(first, low[None]))[0],
           "the render": high}
quarters = [image[:, : image.shape[1] // 2, : image.shape[2] // 2] for image in opening.values()]
told = [*opening, *["its upper left quarter"] * 4]
plots.small(plots.show([*opening.values(), *quarters], told, columns=4, side=190), 160)

# %% [markdown]
# From left to right: a small picture; the same, enlarged by the usual formula; enlarged by our two upsamplers; and the
# truth, which only the renderer knows. What the picture shows is decided already. What is added is sharpness. Why can a
# formula not add it, and what can a network know that a formula does not?
#
# **What you will see**
#
# 1. How bicubic enlargement works, and why it blurs.
# 2. Decibels and sharpness: two measures, and what fools them.
# 3. The network. You build it.
# 4. Trained on crops, used on whole pictures.
# 5. Training. Yours turns blur into edges in a minute.
# 6. Why an upsampler must see spoiled pictures.
# 7. More faults for the second upsampler, under a slider.
# 8. Few steps are enough.
# 9. From 32 to 512 pixels, measured.
#
# **What you need to know before:** diffusion and DDIM (notebook 03), and the U-Net (notebook 07).
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("08_upsamplers")

# %% [markdown]
# Reading takes about 30 minutes, the exercises another 40. The fast path, 15 minutes: sections 3, 5 and 6.
#
# ## 1. Bicubic, and why it blurs
#
# The usual way: each new pixel is a weighted sum of the old ones around it. *Bicubic* takes the four nearest in a row,
# and does the same along the columns. The weight depends on the distance $d$, in old pixels (Keys, 1981):
#
# $$k(d) = \begin{cases} \tfrac32 |d|^3 - \tfrac52 |d|^2 + 1 & |d| \le 1 \\
# -\tfrac12 |d|^3 + \tfrac52 |d|^2 - 4 |d| + 2 & 1 < |d| < 2 \\ 0 & \text{else} \end{cases}$$

# %%
def k(d):
    d = d.abs()
    near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return torch.where(d <= 1, near, torch.where(d < 2, far, 0.0))

axis = torch.linspace(-2.5, 2.5, 101)
plots.curves({"k": (axis.tolist(), k(axis).tolist())}, "distance in old pixels", "weight")

# %% [markdown]
# A new pixel may lie at 0.375 between two old ones. The old pixels at -1, 0, 1 and 2 are 1.375, 0.375, 0.625 and 1.625
# away from it:

# %% tags=["nbval-check-output"]
weights = k(0.375 - torch.arange(-1.0, 3.0))
print("weights", weights.numpy().round(4), "sum", round(weights.sum().item(), 4))

# %% [markdown]
# ### Exercise 1: Four weights · ●●○ medium · 6 minutes
#
# For a new pixel at `f`, from 0 (on the old pixel 0) to 1, return the weights of the old pixels at -1, 0, 1 and 2 as a
# tensor (4,). If your answer is right, the notebook goes on with it. As long as it is empty, nothing breaks.

# %% tags=["exercise"]
def cubic_weights(f: float) -> torch.Tensor:
    raise NotImplementedError

# %%
cubic_weights = checks.mine(cubic_weights)

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
# Where do the new pixels lie? What counts are the centres of these little squares. New pixel $j$ has its centre at
# $(j + 0.5) / 4 - 0.5$ old pixels. A whole row with an edge in the middle, by your weights and by the library:

# %% tags=["nbval-check-output"]
old, new = torch.tensor([0.0, 0, 0, 0, 1, 1, 1, 1]), []
for j in range(8, 24):                                          # away from both ends
    place = (j + 0.5) / 4 - 0.5
    base = int(place)
    new.append(cubic_weights(place - base) @ old[base - 1 : base + 3])
new = torch.stack(new)
torch.testing.assert_close(new, upsample(old.expand(1, 1, 8, 8), 32)[0, 0, 0, 8:24], atol=1e-5, rtol=0)
print(new.numpy().round(2) + 0.0)

# %% [markdown]
# The edge was sharp, from 0 to 1 between two pixels. Enlarged, it climbs over several pixels. On both sides it goes too
# far, below 0 and above 1. That is called *ringing*. A row through our scene, with the truth beside it:

# %%
row, columns = 60, range(20, 64)
rows = {"the render": middle, "bicubic": upsample(low[None], 128)[0],
        "our first upsampler": enlarge(first, low[None])[0]}
reds = {name: (columns, image[0, row, 20:64].tolist()) for name, image in rows.items()}
plots.curves(reds, "column of 128", "red")

# %% [markdown]
# Could a cleverer formula be sharp? Not as long as it takes weighted sums. The small picture does not say what the
# large one was. Here are three rows of four pixels that become the *same* small pixel:

# %% tags=["nbval-check-output"]
possible = torch.tensor([[0.0, 0, 1, 1], [1, 1, 0, 0], [0.5, 0.5, 0.5, 0.5]])
print("each as one pixel:", possible.mean(dim=1).numpy())
print("mean of the three:", possible.mean(dim=0).numpy())

# %% [markdown]
# If you must name *one* row and the squared error is counted, your best answer is the mean of all possible rows: grey.
# That is why a formula blurs. To do better one has to know which large pictures *exist*. In our world edges are sharp,
# outlines are dark, and stars have five points. A network that knows this can *draw* one of the possible pictures.
# That is work for a diffusion model.
#
# ## 2. Decibels and sharpness
#
# How far is an enlarged picture from the truth? The usual measure is the *peak signal-to-noise ratio*, PSNR. It
# compares the mean squared error with the largest possible one, on a logarithmic scale. Our pictures go from -1 to 1:
#
# $$\text{PSNR} = 10 \log_{10} \frac{2^2}{\text{mean squared error}} \text{ decibels (dB)}$$
#
# Ten more means a tenth of the error, three more half of it. An error of 0.2 everywhere gives
# $10 \log_{10} (4 / 0.04) = 20$ dB.
#
# ### Exercise 2: Decibels · ●○○ easy · 3 minutes
#
# For pictures (B, C, H, W) in -1 to 1: one number for each picture, (B,). The notebook measures with it from then on.

# %% tags=["exercise"]
def decibels(images: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
decibels = checks.mine(decibels)

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
# Eight unseen scenes at both sizes, and what each way gets. (*Nearest* repeats each pixel.)

# %%
from functools import partial

from minunclip.scenes import Scenes

items = [Scenes("test", seed=3)[i] for i in range(8)]
lows, highs = (torch.stack([item.image(side) for item in items]) for side in (32, 128))
of_first = enlarge(first, lows)
by_way = {"nearest": F.interpolate(lows, scale_factor=4.0), "bicubic": bicubic(lows),
          "our upsampler": of_first}
gets = {name: decibels(images, highs).mean().item() for name, images in by_way.items()}
plots.bars(gets, "PSNR in dB")

# %%
fewer = 10 ** ((gets["our upsampler"] - gets["bicubic"]) / 10)
claims.check(f"Bicubic comes to {gets['bicubic']:.1f} dB, our upsampler to "
             f"{gets['our upsampler']:.1f} dB: its squared error is {fewer:.1f} times smaller.",
             fewer > 2)

# %% [markdown]
# **Sharpness** is about edges: how much do neighbouring pixels differ? One could add up the *absolute* differences
# (total variation), or take the root of the mean *square* (RMS). **Predict, then run.** We blur the renders. What does
# each measure make of that?

# %%
from minunclip.training import blur

def total_variation(images):
    return images.diff(dim=-1).abs().mean() + images.diff(dim=-2).abs().mean()

def sharpness(images):
    return (images.diff(dim=-1).square().mean() + images.diff(dim=-2).square().mean()).sqrt()

blurred = blur(highs, torch.ones(8), radius=4)                 # by one pixel
of_tv, of_rms = (float(measure(blurred) / measure(highs)) for measure in (total_variation, sharpness))
claims.check(f"The blurred pictures keep {of_tv:.0%} of their total variation, and {of_rms:.0%} of "
             "their RMS difference.", of_tv > of_rms + 0.1)

# %% [markdown]
# An edge that climbs from 0 to 1 in one step has the absolute sum 1. Spread over four steps of 1/4 the sum is still 1,
# but the sum of squares falls from 1 to 1/4. So total variation hardly notices a soft edge. We use the RMS.
#
# ## 3. The network
#
# The upsampler is a diffusion model of the large picture. Its network is the U-Net of notebook 07 without what belongs
# to captions: no $z_i$, no text, no attention. What it has instead is the small picture. That is enlarged by bicubic
# and laid **beside** the noisy one, as three more channels (Saharia et al., 2021). So each position sees, in the same
# place, what is there and how it should look from afar.
#
# The network then says what the bicubic picture lacks. That is called a *residual* (Kim et al., 2016):
#
# $$\hat x_0 = \text{low}_\uparrow + r \cdot \text{U-Net}\big([\,x_t,\; \text{low}_\uparrow\,],\; t\big)$$
#
# $\text{low}_\uparrow$ is the enlarged small picture and $r = 0.1$ a fixed number, since little is lacking.
#
# **Unlike the paper.** It does not speak of a residual, and Karlo, a released model of this kind, predicts the noise.
# Ours predicts the clean picture, has one level instead of four and 1.3 million weights instead of 700 million, and
# looks at patches of 4 x 4 pixels. All this saves time: the small picture already tells what is far away.
#
# ### Exercise 3: Build it · ●●○ medium · 10 minutes
#
# Write the `forward` of an upsampler. `x_t` is (B, 3, H, W), `t` (B,), and `low_res` (B, 3, h, w) is smaller, or has
# that size already. `upsample(low_res, size)` enlarges it to the size (H, W). `self.unet(six_channels, t)` is the
# U-Net, and the noisy picture comes first. `self.config.residual` is $r$; where it is 0, the answer of the U-Net is
# returned as it is. If yours is right, every upsampler of this notebook is called your way, with the shipped weights.

# %% tags=["exercise"]
class MyUpsampler(Upsampler):
    def forward(self, x_t: torch.Tensor, t: torch.Tensor, low_res: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

# %%
MyUpsampler = checks.mine(MyUpsampler)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Three lines: enlarge, `torch.cat([..., ...], dim=1)` and the call of `self.unet`, then the sum.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# class MyUpsampler(Upsampler):
#     def forward(self, x_t: torch.Tensor, t: torch.Tensor, low_res: torch.Tensor) -> torch.Tensor:
#         enlarged = upsample(low_res, x_t.shape[-2:])
#         answer = self.unet(torch.cat([x_t, enlarged], dim=1), t)
#         r = self.config.residual
#         return enlarged + r * answer if r else answer
# ```
#
# </details>
#
# Drawn with it, the same as before:

# %%
again = enlarge(first, lows[:4])
torch.testing.assert_close(again, of_first[:4], atol=1e-3, rtol=1e-3)
print("the same pictures, drawn with", "yours" if "MyUpsampler" in checks.in_use().data else "ours")

# %% [markdown]
# There is no guidance, because the small picture says so much that nothing needs to be pushed. How much it says shows
# when the *same noise* gets another small picture, and what is missing shows when it gets none, only grey:

# %%
given = torch.stack([low, lows[0], torch.zeros_like(low)])
of_noise = enlarge(first, given, seed=0)
said = ["given: our scene", "given: another one", "given: grey", *["drawn from it"] * 3]
plots.small(plots.show([*given, *of_noise], said, columns=3, side=150, seed=0), 160)

# %% [markdown]
# **Predict, then run.** From pure noise, at $t = 999$, the network already has an estimate of the clean picture. In
# notebook 04 the first estimate was a fog, the mean of all pictures. Is this one?

# %%
x_t = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
at_999 = torch.tensor([999])
estimate = first.diffusion.estimate(first(x_t, at_999, low[None]), x_t, at_999)[0].clamp(-1, 1)
looks = {"bicubic": bicubic(low[None]), "estimate from pure noise": estimate,
         "two steps": enlarge(first, low[None]), "the render": middle[None]}
plots.show([image[0] for image in looks.values()], list(looks), columns=4, side=190)

# %%
in_db = {name: decibels(image, middle[None]).item() for name, image in looks.items() if name != "the render"}
claims.check(f"The estimate from pure noise has {in_db['estimate from pure noise']:.1f} dB, the "
             f"picture after two steps {in_db['two steps']:.1f} dB, bicubic {in_db['bicubic']:.1f} dB.",
             in_db["estimate from pure noise"] > in_db["bicubic"] + 2)

# %% [markdown]
# Little is left to decide. That is why upsamplers need few steps (section 8).
#
# ## 4. Trained on crops, used on whole pictures
#
# A picture of 512 pixels is sixteen times the work of one of 128. So the paper trains its upsamplers on *crops*, a
# quarter of the side, and draws whole pictures with them (section 2.1).

# %%
draw.crops()

# %% [markdown]
# That works because nothing in the network knows where in the picture it is, or how large the picture is. A convolution
# does the same everywhere. Attention would have learned from small pictures only, and would cost too much:

# %% tags=["nbval-check-output"]
for side in (128, 512, 1024):
    positions = (side // 4) ** 2                                # patches of 4 x 4 pixels
    print(f"{side:4} pixels: {positions:6,} positions, {positions**2:14,} pairs for attention")

# %% [markdown]
# **Unlike the paper.** Our crops are half of the side, since the pictures are small. And of four random crops the
# recipe takes the one with the most to see: most of a picture is smooth, and bicubic is right there.
#
# The large and the small picture must be cut so that both show the same. Here is somebody's function for it. It passed
# its test, which cut the corner at the upper left. Elsewhere something is wrong:

# %%
def crop_of_both(high, low, top, left, side):
    f = high.shape[-1] // low.shape[-1]                         # how many times larger
    large = high[..., top : top + f * side, left : left + f * side]
    return large, low[..., top : top + side, left : left + side]

def shown(crop, places=((0, 0), (8, 12), (10, 3))):
    pairs = [crop(middle[None], low[None], top, left, 12) for top, left in places]
    told = [f"at {place}: {decibels(bicubic(small, 48), large).item():.1f} dB"
            for place, (large, small) in zip(places, pairs, strict=True)]
    return plots.show([image[0] for pair in zip(*pairs, strict=True) for image in pair],
                      ["large"] * 3 + told, columns=3, side=150)

shown(crop_of_both)

# %% [markdown]
# The number below each small crop says how near its bicubic enlargement comes to the large crop.
#
# ### Exercise 4: Find the bug · ●○○ easy · 5 minutes
#
# Write it anew. `top`, `left` and `side` count small pixels, and `high` is a whole number of times larger than `low`.
# Return the crop of `high`, then that of `low`.

# %% tags=["exercise"]
def same_crop(
    high: torch.Tensor, low: torch.Tensor, top: int, left: int, side: int
) -> tuple[torch.Tensor, torch.Tensor]:
    raise NotImplementedError

# %%
same_crop = checks.mine(same_crop)

# %% [markdown]
# <details><summary>Hint</summary>
#
# In the upper left corner `top` and `left` are 0. What happens to them elsewhere? The side is enlarged, the corner is
# not.
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

# %%
shown(same_crop)

# %% [markdown]
# Does a network that was trained on crops of 16 small pixels work on other sizes?

# %%
tests = {"16 x 16": (low[:, 8:24, 2:18], middle[:, 32:96, 8:72]),
         "24 x 32": (low[:, 4:28], middle[:, 16:112]), "32 x 32": (low, middle),
         "64 x 64": tuple(to_tensor(render(scene, side)) for side in (64, 256))}
ahead = {}
for name, (small, large) in tests.items():
    ours, theirs = enlarge(first, small[None]), upsample(small[None], large.shape[-2:]).clamp(-1, 1)
    ahead[name] = (decibels(ours, large[None]) - decibels(theirs, large[None])).item()
plots.bars(ahead, "dB more than bicubic")

# %%
claims.check(f"It is ahead of bicubic by {ahead['16 x 16']:.1f} dB on 16 x 16 pixels and by "
             f"{ahead['64 x 64']:.1f} dB on 64 x 64, a size that it has never seen.",
             min(ahead.values()) > 1)

# %% [markdown]
# Two kinds of layer still notice how the picture was cut, a little. A convolution at the border sees zeros where its
# neighbours were cut off, and GroupNorm takes mean and variance over the whole picture that it is given.
#
# ## 5. Training
#
# To see something after a minute, we make the network small and the world smaller: everything is drawn flat. What is
# left to learn is that edges are sharp. The crops and the loss are those of the finished model's recipe.

# %%
from dataclasses import replace

from minunclip.training import Bank, TrainConfig, Trainer, pixels
from minunclip.training.recipes import UpsamplerRecipe

class Flat(Scenes):
    def __getitem__(self, i):
        item = super().__getitem__(i)
        return replace(item, scene=replace(item.scene, style="flat"))

recipe = UpsamplerRecipe(1)
recipe.dataset = Flat("train", seed=4, roam=1)
bank = Bank.of(recipe, 640, workers=0)                      # 640 pairs of crops, made once
pairs = bank.examples[:6]
sides = [f"{side} x {side}" for side in (16, 64) for _ in range(6)]
plots.show([*pixels(pairs.low), *pixels(pairs.high)], sides, columns=6, side=128)

# %%
flat_items = [Flat("test", seed=3)[i] for i in range(6)]
flat_lows, flat_highs = (torch.stack([one.image(side) for one in flat_items]) for side in (32, 128))
torch.manual_seed(0)
small_unet = replace(recipe.config.unet, channels=32, blocks=2)
config = TrainConfig(steps=240, batch=16, lr=3e-3, muon=0.04, warmup=20, ema=0.97, bf16=False)
trainer = Trainer(MyUpsampler(replace(recipe.config, unet=small_unet)), config)
records, strip = [], {}
with torch.enable_grad():
    for record in trainer.run(recipe.loss, bank.batches(config)):
        records.append(record)
        if record.step in (1, 30, 80, 240):
            strip[record.step] = enlarge(trainer.ema, flat_lows)

# %% [markdown]
# What would bicubic pay, if it were the answer? With a residual that is where a new network begins: its last layer
# starts at zero, and so adds nothing.

# %%
crops, small_crops = pixels(bank.examples.high), pixels(bank.examples.low)
of_bicubic = (upsample(small_crops, 64) - crops).square().mean().item()
losses = {"this training": ([one.examples for one in records], plots.running_mean(records, 20)),
          "bicubic as the answer": ((16, records[-1].examples), (of_bicubic, of_bicubic))}
plots.curves(losses, "examples seen", "loss", log_x=True)

# %%
def middle_half(images):
    quarter = images.shape[-1] // 4
    return images[..., quarter:-quarter, quarter:-quarter]

by_step = {"bicubic": bicubic(flat_lows)}
by_step |= {f"step {step}": images for step, images in strip.items() if step > 1}
by_step["the render"] = flat_highs
cut = [middle_half(images[i]) for i in (0, 1, 2) for images in by_step.values()]
plots.small(plots.show(cut, [*by_step] * 3, columns=5, side=150, seed=0), 160)

# %%
def ahead_of_bicubic(images):
    return (decibels(images, flat_highs) - decibels(bicubic(flat_lows), flat_highs)).mean().item()

gain = {step: ahead_of_bicubic(images) for step, images in strip.items()}
sharp = {name: float(sharpness(images) / sharpness(flat_highs)) for name, images in by_step.items()}
claims.check(f"Ahead of bicubic by {gain[1]:.1f} dB after 1 step, by {gain[80]:.1f} after 80 and by "
             f"{gain[240]:.1f} after 240. Sharpness rose from {sharp['bicubic']:.0%} of the "
             f"renders' to {sharp['step 240']:.0%}.",
             gain[240] > 1.5 > gain[1] + 1 and sharp["step 240"] > sharp["bicubic"] + 0.1)

# %% [markdown]
# Edges are the first thing that it learns. (The middle of each picture is shown.) The finished network is larger, was
# trained 20 times as long, and on all styles.
#
# With little noise in $x_t$ the answer can be read off it. Samples are drawn in a few steps, nearly all in *much*
# noise. So four in five timesteps of the recipe come from the noisiest four tenths.
#
# ## 6. Why it must see spoiled pictures
#
# **The finished weights.** From here on we use the finished first upsampler, `first`, from the top.
#
# In training the small pictures are exact. In the cascade they come from the decoder, and those are nearly right: a bit
# soft, a bit grainy. A network that has only seen exact pictures trusts every pixel. The remedy is *noise conditioning
# augmentation* (Ho et al., 2021): spoil the small pictures in training. The paper blurs them for the first upsampler,
# with a 3 x 3 kernel and a sigma of 0.6 (section 2.1, Appendix C).
#
# ### Exercise 5: The kernel · ●○○ easy · 4 minutes
#
# A Gaussian: $\exp(-d^2 / 2 \sigma^2)$ at the distances $d = -r, \dots, r$, divided by its sum. Return (2 r + 1,).

# %% tags=["exercise"]
def gaussian_kernel(sigma: float, radius: int) -> torch.Tensor:
    raise NotImplementedError

# %%
gaussian_kernel = checks.mine(gaussian_kernel)

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
# The paper's kernel. A blur in two directions is a blur along the rows and then one along the columns:

# %% tags=["nbval-check-output"]
kernel, dot = gaussian_kernel(0.6, 1), torch.zeros(1, 1, 5, 5)
dot[..., 2, 2] = 1
along_rows = F.conv2d(dot, kernel.view(1, 1, 1, 3), padding=(0, 1))
by_hand = F.conv2d(along_rows, kernel.view(1, 1, 3, 1), padding=(1, 0))
torch.testing.assert_close(blur(dot, torch.tensor([0.6]), radius=1), by_hand)
print("sigma 0.6:", kernel.numpy().round(3))

# %% [markdown]
# **Unlike the paper.** There every small picture is blurred. Our first upsampler saw half of its pictures exact and
# half blurred, with a sigma of 0.4 to 0.6. So it knows a blur, but no noise.
#
# Now the experiment. A copy of the finished network goes on learning for a short while. Half of its small pictures get
# noise, with a standard deviation of up to 0.3.

# %%
import copy

from minunclip.training import batches
from minunclip.training.recipes.base import diffusion_loss

def noised(model, batch, rng):
    clean, small = pixels(batch.high), pixels(batch.low)
    level, half = torch.rand(2, len(small), 1, 1, 1, generator=rng)
    noise = 0.3 * level * torch.randn(small.shape, generator=rng)
    small = torch.where(half < 0.5, (small + noise).clamp(-1, 1), small)
    return diffusion_loss(model, clean, lambda x_t, t: model(x_t, t, small), rng, noisy=0.8)

more = TrainConfig(steps=80, batch=8, lr=8e-4, muon=0.01, warmup=10, ema=0.95, bf16=False)
learns_on = Trainer(copy.deepcopy(first), more)
with torch.enable_grad():
    last_losses = [one.loss for one in learns_on.run(noised, batches(UpsamplerRecipe(1), more))][-20:]
careful = learns_on.ema.eval()
print(f"loss of the last 20 steps {sum(last_losses) / 20:.4f}")

# %% [markdown]
# Both networks meet small pictures that are exact, and others that are not. **Predict, then run:** where is the
# *trusting* one, which has seen no noise, the better of the two, and where the worse?

# %%
grain = torch.randn(lows.shape, generator=torch.Generator().manual_seed(0))
met = {"exact": lows, "blur 0.6": blur(lows, torch.full((8,), 0.6), radius=3),
       "noise 0.1": (lows + 0.1 * grain).clamp(-1, 1), "noise 0.2": (lows + 0.2 * grain).clamp(-1, 1)}
ways = {"bicubic": bicubic, "trusting": partial(enlarge, first), "careful": partial(enlarge, careful)}
made = {name: {what: way(small) for what, small in met.items()} for name, way in ways.items()}
table = {name: {what: decibels(images, highs).mean().item() for what, images in of.items()}
         for name, of in made.items()}
plots.heatmap(torch.tensor([[*of.values()] for of in table.values()]), list(ways), list(met),
              "PSNR in dB; columns: what it meets", digits=1)

# %%
kinds = ("exact", "noise 0.2")
grid = [image for what in kinds for image in (met[what][1], *(made[way][what][1] for way in ways))]
plots.small(plots.show(grid, [name for what in kinds for name in (what, *ways)], columns=4, side=190), 160)

# %%
trusting, cautious = table["trusting"], table["careful"]
claims.check(f"On exact pictures the trusting network is ahead, {trusting['exact']:.1f} dB against "
             f"{cautious['exact']:.1f}. With noise of 0.2 it is behind, {trusting['noise 0.2']:.1f} dB "
             f"against {cautious['noise 0.2']:.1f}.", trusting["exact"] > cautious["exact"]
             and trusting["noise 0.2"] < cautious["noise 0.2"] - 1)

# %% [markdown]
# Look at areas that should be plain. In the trusting network's picture, grain has become blotches with edges. It takes
# noise for detail and makes it sharp. Being ready for faults has a price: on exact pictures the careful network is
# behind.
#
# ## 7. More faults for the second
#
# The second upsampler gets what the first one made. Its faults are of another kind: edges where none should be,
# textures that do not go on. The paper takes a stronger spoiling for it, called *BSR* after Zhang et al. (2021): blur,
# a change of size, noise and JPEG, each of random strength and in random order. The four at full strength, and six
# draws of all of them:

# %%
from minunclip.course.widgets.upsampler import FAULTS, DegradationExplorer, degraded_grid
from minunclip.training import degrade

piece = middle[None, :, 32:96, :64]
each = [FAULTS[name](piece, 1.0)[0] for name in FAULTS]
drawn = degrade.degrade(piece.expand(6, -1, -1, -1), torch.Generator().manual_seed(3))
below = ["exact", *FAULTS, *[f"all, draw {n}" for n in range(1, 7)]]
plots.small(plots.show([piece[0], *each, *drawn], below, columns=6, side=128, seed=3), 160)

# %% [markdown]
# The order matters. Noise and then blur is soft noise. Blur and then noise is grain.
#
# **Unlike the paper.** Ours is a light form of BSR, and three in four small pictures stay exact.
#
# Move the slider from 0 to 1. In each row: the small picture with one fault, then the three ways of section 6. The
# pages were drawn beforehand and need no kernel:

# %% tags=["nbval-ignore-output"]
degraded_grid(low, middle, ways)

# %% [markdown]
# With a kernel, for other pictures and any strength:

# %% tags=["nbval-ignore-output"]
choices = {"a star and a heart at night": (low, middle)}
choices |= {f"test: {item.caption}": (lows[i], highs[i]) for i, item in enumerate(items[:3])}
DegradationExplorer(choices, ways)

# %% [markdown]
# ## 8. Few steps are enough
#
# The paper takes 27 steps for its first upsampler and 15 for the second, with DDIM (Table 3). Its decoder takes 250.
# **Predict, then run.** What do more steps bring here, in decibels and in sharpness?

# %%
counts = (2, 5, 20)
with_steps = {"bicubic": bicubic(lows[:4])}
with_steps |= {f"{count} steps": enlarge(first, lows[:4], count) for count in counts}
db = {name: decibels(images, highs[:4]).mean().item() for name, images in with_steps.items()}
edges = {name: float(sharpness(images) / sharpness(highs[:4])) for name, images in with_steps.items()}
plots.bars(edges, "sharpness, share of the renders'")

# %%
claims.check(f"Two steps come to {db['2 steps']:.1f} dB, twenty to {db['20 steps']:.1f} dB, and their "
             f"sharpness is {edges['2 steps']:.2f} and {edges['20 steps']:.2f} of the renders'. Bicubic has "
             f"{db['bicubic']:.1f} dB and {edges['bicubic']:.2f}.",
             abs(db["20 steps"] - db["2 steps"]) < 1 and edges["2 steps"] > edges["bicubic"] + 0.1)

# %% [markdown]
# More decibels need not be the better picture. PSNR is highest for the mean of all possible pictures, a blur. An edge
# that is sharp but half a pixel off costs more than a soft one. Dahl et al. (2017) have a method that loses in
# decibels, and whose pictures people took for real more often.
#
# Five steps from noise to picture. Below are the estimates:

# %%
from minunclip.diffusion import ddim, generators, noise_stream

stream = noise_stream((1, 3, 128, 128), generators(0, 1))
five = list(ddim(first.diffusion, first.denoiser(low[None]), stream, 5))
plots.small(plots.film_strip(five, seed=0, side=150), 160)

# %% [markdown]
# ## 9. From 32 to 512 pixels
#
# Both in a row, on four unseen scenes. The judge of notebook 01 reads the result, made small again: are all facts of
# the scene still there?

# %%
from minunclip.evaluation import Judge, same_facts

four, larges = lows[:4], torch.stack([item.image(512) for item in items[:4]])
large_of = {"bicubic, 32 to 512": bicubic(four, 512),
            "both upsamplers": enlarge(second, enlarge(first, four)),
            "bicubic on the true 128": bicubic(highs[:4], 512),
            "second on the true 128": enlarge(second, highs[:4])}
scores = {name: decibels(images, larges).mean().item() for name, images in large_of.items()}
plots.bars(scores, "PSNR in dB")

# %%
keen = {name: float(sharpness(images) / sharpness(larges)) for name, images in large_of.items()}
way, other = "both upsamplers", "bicubic, 32 to 512"
claims.check(f"From 32 to 512 pixels both upsamplers come to {scores[way]:.1f} dB and {keen[way]:.0%} "
             f"of the renders' sharpness, bicubic to {scores[other]:.1f} dB and {keen[other]:.0%}.",
             scores[way] > scores[other] + 1 and keen[way] > keen[other] + 0.1)
way, other = "second on the true 128", "bicubic on the true 128"
claims.check(f"On the true picture of 128 the second alone comes to {scores[way]:.1f} dB and "
             f"{keen[way]:.0%}, bicubic to {scores[other]:.1f} dB and {keen[other]:.0%}.",
             scores[way] > scores[other] and keen[way] > keen[other])

# %%
read = Judge.from_pretrained("scenes").read(F.interpolate(large_of["both upsamplers"], 32, mode="area"))
kept = same_facts([item.scene for item in items[:4]], read)["scene"]
claims.check(f"In {kept.true} of {kept.total} large pictures the judge still reads every fact of the scene.",
             kept.true >= 3)

# %%
closer = {"32 px": four, "bicubic": large_of["bicubic, 32 to 512"],
          "both upsamplers": large_of["both upsamplers"], "the render": larges}
halves = [middle_half(images[i]) for i in range(3) for images in closer.values()]
plots.small(plots.show(halves, list(closer) * 3, columns=4, side=190, seed=0), 160)

# %% [markdown]
# (The middle of each picture.) And the second one on spoiled pictures of 128 pixels:

# %%
spoiled = degrade.degrade(highs[:3], torch.Generator().manual_seed(1))
mended = {"spoiled": F.interpolate(spoiled, 512), "bicubic": bicubic(spoiled, 512),
          "second upsampler": enlarge(second, spoiled)}
after = {name: decibels(images, larges[:3]).mean().item() for name, images in mended.items()}
halves = [middle_half(images[i]) for i in range(2) for images in (*mended.values(), larges)]
plots.small(plots.show(halves, [*mended, "the render"] * 2, columns=4, side=190, seed=0), 160)

# %%
claims.check(f"Of spoiled pictures the second upsampler makes {after['second upsampler']:.1f} dB, "
             f"bicubic {after['bicubic']:.1f} dB.", after["second upsampler"] > after["bicubic"] + 0.5)

# %% [markdown]
# And in the cascade, from a caption:

# %%
drawing = cascade.sample(["a big yellow star on a meadow"], seed=0)
plots.small(plots.cascade_figure(drawing, side=256), 160)

# %% [markdown]
# **Design an experiment.** What share of the small pictures should be spoiled in training: none, a quarter, half, all?
# Write down what you expect, on which pictures you will measure (exact ones, spoiled ones, the decoder's), and what
# must stay the same. `noised` of section 6 is a start.
#
# What is yours so far:

# %%
checks.in_use()

# %% [markdown]
# ## Summary
#
# | | |
# | --- | --- |
# | bicubic | a weighted sum of 4 x 4 old pixels; blurs and rings, because it may not choose |
# | PSNR | decibels of the squared error; three more is half of it; prefers the mean, which is a blur |
# | sharpness | RMS difference of neighbours; total variation hardly notices a soft edge |
# | conditioning | the enlarged small picture as three more channels beside $x_t$ |
# | crops | no attention, so what is learned on crops works at any size |
# | augmentation | spoil the small pictures in training, or the network makes grain sharp |
# | the second | a stronger spoiling: blur, size, noise and JPEG in random order |
# | steps | few, as the small picture decides nearly everything |
#
# **What you can do now:** build an upsampler, train it on crops, measure it by decibels and sharpness, and say why it
# works in the laboratory and fails in the cascade, or the reverse.
#
# ## Questions
#
# <details><summary>Why not let the decoder draw 512 pixels at once?</summary>
#
# Each step would work on 256 times as many pixels, and the decoder takes many steps, twice each with guidance. What a
# picture shows can be decided on a small one.
#
# </details>
#
# <details><summary>The upsampler gets the picture in two shapes, x_t and low. Could it do without x_t?</summary>
#
# Then it would have to answer at once, and for the squared error the mean of all that is possible is best: a blur.
# $x_t$ is where it reads what it has already decided.
#
# </details>
#
# <details><summary>Name two layers that would break when a network trained on crops meets a larger picture.</summary>
#
# Learned positions: there are none for the new places. A linear layer over all pixels: it has a fixed number of them.
#
# </details>
#
# <details><summary>Your upsampler is excellent on the test set, and full of specks in the cascade. Why?</summary>
#
# The test set has exact small pictures. The decoder's have a little grain, and the network was not trained to doubt it.
#
# </details>
#
# <details><summary>Method A has 28 dB, method B 27 dB, and people prefer B. How can that be?</summary>
#
# A may draw the mean, soft everywhere. B draws sharp edges, some of them half a pixel off, which costs decibels.
#
# </details>
#
# <details><summary>The error halves. What happens to the decibels?</summary>
#
# If the squared error halves, they rise by 3. If every difference halves, the squared error is a quarter: 6 more.
#
# </details>
#
# <details><summary>Why does the small picture go in as channels, and not as a token or an embedding?</summary>
#
# It says something about each place. As channels, each convolution sees it at its own place.
#
# </details>
#
# <details><summary>Why have the upsamplers no guidance?</summary>
#
# Guidance strengthens what a condition says. The small picture says nearly everything already.
#
# </details>
#
# <details><summary>At its start the network with the residual draws the bicubic picture. Why?</summary>
#
# Its last layer starts at zero, so it adds nothing to the enlarged small picture.
#
# </details>
#
# <details><summary>Crops with the wrong corner: would the training stop with an error?</summary>
#
# No, all shapes fit. The small picture then says nothing reliable of the large one, and the best answer ignores it.
# Only looking at pairs of crops, or at samples, shows it.
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
# - Ho et al., [Cascaded diffusion models](https://arxiv.org/abs/2106.15282) (2021): noise conditioning augmentation.
#   Saharia et al., [SR3](https://arxiv.org/abs/2104.07636) (2021): the small picture beside the noise.
# - Zhang et al., [A practical degradation model](https://arxiv.org/abs/2103.14006) (2021): BSR. Rombach et al.,
#   [Latent diffusion](https://arxiv.org/abs/2112.10752) (2022), section 4.4: the same for diffusion models.
# - Kim et al., [Very deep super-resolution](https://arxiv.org/abs/1511.04587) (2016): the residual. Keys, *Cubic
#   convolution interpolation for digital image processing* (1981). Dahl et al., [Pixel recursive super
#   resolution](https://arxiv.org/abs/1702.00783) (2017): sharp against right.
