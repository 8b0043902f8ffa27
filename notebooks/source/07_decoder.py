# %% [markdown]
# # 07 · The decoder: a picture from its embedding
#
# CLIP looked at a picture and kept 128 numbers of it, the image embedding $z_i$. How do you get a picture back? The
# decoder draws one that CLIP would see as the same. This inversion gave unCLIP its name.

# %%
import torch
import torch.nn.functional as F

import minunclip
from minunclip import plots
from minunclip.course import checks, claims, draw

# %%
from minunclip.diffusion import ddim, generators, last, noise_stream
from minunclip.scenes import Scene, Thing, render, to_tensor

torch.set_grad_enabled(False)                     # on again for the training in section 6
cascade = minunclip.load("scenes")
pair = [Scene((Thing("flower", "pink", "big"),), "alone", "meadow", "outlined", seed=3),
        Scene((Thing("moon", "yellow", "big"), Thing("square", "teal", "small")), "row",
              "night", "striped", seed=5)]
renders = torch.stack([to_tensor(render(scene, 32)) for scene in pair])
z_i, silence = cascade.clip.encode_image(renders), cascade.clip.encode_text([""])
print("pictures", tuple(renders.shape), "z_i", tuple(z_i.shape))

# %%
def sample(denoiser, count, seed=0):
    noise = noise_stream((count, 3, 32, 32), generators(seed, count))
    return last(ddim(cascade.decoder.diffusion, denoiser, noise, 15)).clamp(-1, 1)

def four_of_each():
    each = z_i.repeat_interleave(4, dim=0)
    return sample(cascade.decoder_denoiser(each, silence.repeat(8), 2), 8)

opening = four_of_each()
seeds = [f"from z_i, seed {seed}" for seed in range(8)]
plots.show([renders[0], *opening[:4], renders[1], *opening[4:]],
           ["the picture", *seeds[:4], "the picture", *seeds[4:]], columns=5, side=120,
           title="no caption, guidance 2")

# %% [markdown]
# Left: two pictures. Right of each: four drawings, made from nothing but its $z_i$ and noise. What is the same in all
# four, $z_i$ knows. What differs, $z_i$ does not know, and the noise decided it.
#
# **What you will see**
#
# 1. What the decoder is given and what it answers.
# 2. Its smallest block, which you build.
# 3. The *U-Net* made of such blocks: down, up, and the short cuts in between. You build its walk.
# 4. Attention over caption and picture together.
# 5. $z_i$, put in two ways.
# 6. A decoder of your own. It ends with things that can be named.
# 7. The finished decoder: what $z_i$ keeps, and what the noise decides.
# 8. Guidance, under a slider.
#
# **What you need to know before:** diffusion and guidance (notebooks 03 and 04), attention (02), and roughly what a
# convolution is.
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("07_decoder")

# %% [markdown]
# Reading takes about 35 minutes, the exercises another 45. The fast path, 20 minutes: sections 1, 5, 6 and 7.
#
# ## 1. What goes in, what comes out
#
# The decoder models $P(x \mid z_i, y)$: pictures $x$, given an image embedding and a caption $y$ (the paper's section
# 2.1). It is a diffusion model, so at each step of sampling its network is asked once:

# %%
text = cascade.encode_text(["a yellow moon left of a small teal square"])
rng = torch.Generator().manual_seed(0)
x_700, t_700 = torch.randn(1, 3, 32, 32, generator=rng), torch.tensor([700])
answer = cascade.decoder(x_700, t_700, z_i[1:], text)
shapes = {"x_t, the noisy picture": x_700, "t, the timestep": t_700, "z_i": z_i[1:],
          "z_t, the caption's embedding": text.embed, "the caption's tokens": text.tokens,
          "the answer": answer}
for name, tensor in shapes.items():
    print(f"{name:28} {tuple(tensor.shape)}")

# %% [markdown]
# Of the six channels of the answer three say what the picture behind the noise is. The other three say how much noise
# the next step should add. They have a notebook of their own, *Learned variance*.
#
# Nearly all of the network is a **U-Net**. Its parts are explained by the end of section 4:

# %%
draw.u_net()

# %%
from minunclip.decoder import Decoder, DecoderConfig

def weights(module):
    return sum(parameter.numel() for parameter in module.parameters())

with torch.device("meta"):                        # sizes only, no memory
    released = weights(Decoder(DecoderConfig()))  # the defaults: Karlo, a released unCLIP
whole, in_unet = weights(cascade.decoder), weights(cascade.decoder.unet)
print(f"ours {whole / 1e6:.1f} million weights, Karlo's {released / 1e6:.0f} million")
claims.check(f"{in_unet / whole:.0%} of our decoder's weights are those of the U-Net.",
             in_unet > 0.9 * whole)

# %% [markdown]
# **Unlike the paper.** Its decoder has 3.5 billion weights and a Transformer of its own for the caption, predicts the
# noise, and draws 64 pixels. Ours draws 32 pixels, predicts $x_0$, sees the picture in patches (section 3), and reads
# the caption through CLIP, as Karlo's does.
#
# ## 2. The smallest block
#
# A **ResBlock** reads a state of some channels and *adds* to it what it has found out:

# %%
draw.res_block()

# %% [markdown]
# **Convolution.** Each new pixel is a weighted sum of the 3 x 3 old ones around it, with the same nine weights
# everywhere. These weights answer where the picture changes from left to right:

# %% tags=["nbval-check-output"]
edge = torch.tensor([[0.0, 0, 9, 9, 9]] * 4)
kernel = torch.tensor([[0.0, 0, 0], [-1, 0, 1], [0, 0, 0]])
print(F.conv2d(edge[None, None], kernel[None, None])[0, 0].int().numpy())

# %% [markdown]
# **GroupNorm** ([Wu & He, 2018](https://arxiv.org/abs/1803.08494)) brings the numbers to mean 0 and variance 1 before
# each convolution, or they would grow from layer to layer. It does so for each picture alone, over groups of
# neighbouring channels. In a batch of a diffusion model one picture is nearly clean and the next one nearly noise, so a
# mean over the batch would say nothing about either.
#
# ### Exercise 1: GroupNorm · ●●○ medium · 6 minutes
#
# `x` is (B, C, H, W), and `groups` divides C. Add $10^{-5}$ to the variance before you take the root. The next cell
# tries your function. If it is right, the notebook goes on with yours.

# %% tags=["exercise"]
def group_norm(x: torch.Tensor, groups: int) -> torch.Tensor:
    raise NotImplementedError

# %%
group_norm = checks.mine(group_norm)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `x.reshape(len(x), groups, -1)` puts each group into one row. The variance wants `unbiased=False`.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def group_norm(x: torch.Tensor, groups: int) -> torch.Tensor:
#     rows = x.reshape(len(x), groups, -1)
#     variance = rows.var(dim=2, keepdim=True, unbiased=False)
#     rows = (rows - rows.mean(dim=2, keepdim=True)) / (variance + 1e-5).sqrt()
#     return rows.reshape(x.shape)
# ```
#
# </details>
#
# **The time.** A block must know how much noise there is. With little noise edges are worth a look, with much only
# large areas are. $t$ comes as sines and cosines, like the positions of words in notebook 02. A small network makes the
# *time embedding* of them. From it, a linear layer in each block computes a scale $s$ and a shift $b$ for each channel:
#
# $$h \leftarrow \text{GroupNorm}(h) \cdot (1 + s) + b$$
#
# This is **FiLM** ([Perez et al., 2018](https://arxiv.org/abs/1709.07871)). With $s = -1$ a channel falls silent, with
# $s = 1$ it counts twice. What the finished decoder does with it, in four channels of its first block:

# %%
from minunclip.networks import ResBlock, UNet, UNetConfig, timestep_embedding

first_block, times = cascade.decoder.unet.down[0].blocks[0], torch.arange(0, 1000, 50)
time_embedding = cascade.decoder.unet.time(timestep_embedding(times, 64))     # (times, 256)
time_embedding = time_embedding + cascade.decoder.condition(z_i[1:], silence).added
channel_scales = first_block.time(F.silu(time_embedding)).chunk(2, dim=1)[0]
widest = channel_scales.std(dim=0).topk(4).indices.tolist()
moves = channel_scales.amax(dim=0) - channel_scales.amin(dim=0)
claims.check(f"Over the timesteps the scale of a channel moves by {moves.median():.2f} in the "
             f"median, and by up to {moves.max():.2f}.", moves.max() > 0.3)  # drawn
lines = {f"channel {n}": (times.tolist(), channel_scales[:, n].tolist()) for n in widest}
plots.curves(lines, "t", "scale s")

# %% [markdown]
# ### Exercise 2: FiLM · ●○○ easy · 4 minutes
#
# `h` is (B, C, H, W). `time` is (B, 2 C): for each picture C scales, then C shifts.

# %% tags=["exercise"]
def film(h: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
film = checks.mine(film)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `time[:, :, None, None]` is (B, 2 C, 1, 1), and `.chunk(2, dim=1)` cuts it in two.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def film(h: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
#     scale, shift = time[:, :, None, None].chunk(2, dim=1)
#     return h * (1 + scale) + shift
# ```
#
# </details>
#
# The two together, in the finished block. (Its GroupNorm also has a learned weight and bias for each channel.)

# %%
norm, h = first_block.norm2, torch.randn(len(times), 64, 4, 4, generator=rng)
its_time = first_block.time(F.silu(time_embedding))
normed = group_norm(h, 32) * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)
scale, shift = its_time[:, :, None, None].chunk(2, dim=1)
torch.testing.assert_close(film(normed, its_time), norm(h) * (1 + scale) + shift, atol=1e-3, rtol=1e-3)
print("equal:", tuple(h.shape))

# %% [markdown]
# ### Exercise 3: A ResBlock of your own · ●●○ medium · 10 minutes
#
# Now the whole block, as in the drawing. Your class inherits our layers, so `self.norm1`, `self.conv1`, `self.time`,
# `self.norm2`, `self.conv2` and `self.skip` are there. SiLU is `F.silu`; the time embedding goes through SiLU and
# `self.time`. If `self.resample` is `"down"`, the side is halved after the first SiLU, in `h` and in `x`, by
# `F.avg_pool2d(..., 2)`. If it is `"up"`, it is doubled by `F.interpolate(..., scale_factor=2.0)`.

# %% tags=["exercise"]
class MyResBlock(ResBlock):
    def forward(self, x: torch.Tensor, emb: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

# %%
MyResBlock = checks.mine(MyResBlock)

# %% [markdown]
# <details><summary>Hint</summary>
#
# First half: `h = self.conv1(...)` of the normalised, bent and perhaps resampled x. Second half: normalise, FiLM, SiLU,
# `self.conv2`. At the end add `self.skip(x)`.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# class MyResBlock(ResBlock):
#     def forward(self, x: torch.Tensor, emb: torch.Tensor) -> torch.Tensor:
#         h = F.silu(self.norm1(x))
#         if self.resample == "down":
#             h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
#         if self.resample == "up":
#             h, x = (F.interpolate(each, scale_factor=2.0) for each in (h, x))
#         scale, shift = self.time(F.silu(emb))[:, :, None, None].chunk(2, dim=1)
#         h = self.norm2(self.conv1(h)) * (1 + scale) + shift
#         return self.skip(x) + self.conv2(F.silu(h))
# ```
#
# </details>
#
# `self.skip` makes the widths agree where they differ. `conv2` starts at zero. So a new block hands on what it was
# given, and so does a new stack of a hundred:

# %% tags=["nbval-check-output"]
small = UNetConfig(channels=8, mults=(1, 2), blocks=1, attention=(), context_width=None,
                   groups=4)
state, at_time = torch.randn(2, 8, 6, 6, generator=rng), torch.randn(2, 32, generator=rng)
new_block = ResBlock(small, 8, 8)
change = (new_block(state, at_time) - state).abs().max().item()
print("a new block changes its state by", change)

# %% [markdown]
# ## 3. The U-Net
#
# A 3 x 3 convolution tells a pixel about its neighbours, two of them about the neighbours of neighbours. **Predict,
# then run:** one pixel in the middle of 32 changes. How many columns change after four convolutions? And if two of the
# four work on a picture of a quarter of the side?

# %% tags=["nbval-check-output"]
def reach(*layers):
    picture = torch.zeros(1, 1, 32, 32)
    picture[..., 16, 16] = 1
    return int((torch.nn.Sequential(*layers)(picture) != 0).any(dim=2).sum())

conv = torch.nn.Conv2d(1, 1, 3, padding=1, bias=False)
conv.weight.fill_(1.0)
half, double = torch.nn.AvgPool2d(2), torch.nn.Upsample(scale_factor=2)
plain_reach = reach(conv, conv, conv, conv)
small_reach = reach(conv, half, half, conv, conv, double, double, conv)
print(f"4 convolutions: {plain_reach} columns; 2 of them at a quarter size: {small_reach}")

# %% [markdown]
# Knowledge gets further in a small picture, and convolutions cost less there. But a small picture has no fine detail.
# The **U-Net** ([Ronneberger et al., 2015](https://arxiv.org/abs/1505.04597)) has both. It makes the picture smaller,
# then larger again. On the way up each block also sees the state of the same size from the way down: these are the
# *skip connections*.
#
# ### Exercise 4: Down and up · ●●● hard · 12 minutes
#
# Write the walk. `h` is the state after the first convolution. A level of `self.down` or `self.up` has `level.blocks`;
# `level.step(i, h, emb, context)` is its block number i, with the attention after it. `level.resample` is the block
# that halves or doubles the side, called with `(h, emb)`, or None. On the way down keep every state: `h` as it came,
# and `h` after each step and each `resample`. Then `self.middle` takes steps 0 and 1. On the way up each step is given
# `h` and the state kept last, one behind the other as channels.

# %% tags=["exercise"]
class MyUNet(UNet):
    def down_and_up(self, h: torch.Tensor, emb: torch.Tensor, context: object) -> torch.Tensor:
        raise NotImplementedError

# %%
MyUNet = checks.mine(MyUNet)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A list `kept = [h]`: `kept.append(h)` on the way down, `kept.pop()` on the way up, and `torch.cat([h, kept.pop()],
# dim=1)`. At the end the list is empty.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# class MyUNet(UNet):
#     def down_and_up(self, h: torch.Tensor, emb: torch.Tensor, context: object) -> torch.Tensor:
#         kept = [h]
#         for level in self.down:
#             for i in range(len(level.blocks)):
#                 h = level.step(i, h, emb, context)
#                 kept.append(h)
#             if level.resample is not None:
#                 h = level.resample(h, emb)
#                 kept.append(h)
#         h = self.middle.step(1, self.middle.step(0, h, emb, context), emb, context)
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
# **Loading again.** The shipped weights go into a decoder that is built anew. If your two classes are right it is built
# of yours, and it draws the same pictures:

# %%
cascade = minunclip.load("scenes")
yours = isinstance(cascade.decoder.unet.middle.blocks[0], MyResBlock)
apart = (four_of_each() - opening).abs().max().item()
claims.check(f"Made of {'your' if yours else 'our'} blocks, it draws the pictures from the top "
             f"again: no colour differs by more than {max(apart, 1e-6):.0e}.", apart < 0.05)

# %% [markdown]
# **What are the skips worth?** We cut them in the finished decoder: on the way up every block sees zeros in their
# place.

# %%
def cut_skips(unet):
    state, hooks = unet.middle.blocks[1].conv2.out_channels, []
    for block in (block for level in unet.up for block in level.blocks):
        def cut(block, args, state=state):        # args: the state and the skip behind it; emb
            return torch.cat([args[0][:, :state], 0 * args[0][:, state:]], dim=1), args[1]
        hooks.append(block.register_forward_pre_hook(cut))
        state = block.conv2.out_channels
    return hooks

# %%
process, t_300 = cascade.decoder.diffusion, torch.full((2,), 300)
x_300 = process.q_sample(renders, t_300, torch.randn(2, 3, 32, 32, generator=rng))
plain = cascade.decoder_denoiser(z_i, silence.repeat(2))

def estimate_and_drawing():
    return [process.estimate(plain(x_300, t_300), x_300, t_300)[0], sample(plain, 2)]

skips = {"x_t at t = 300": x_300}
skips["estimate of x_0"], skips["drawn"] = estimate_and_drawing()
hooks = cut_skips(cascade.decoder.unet)
skips["estimate, no skips"], skips["drawn, no skips"] = estimate_and_drawing()
for hook in hooks:
    hook.remove()
both_rows = [images[i] for i in range(2) for images in skips.values()]
plots.show(both_rows, [*skips] * 2, columns=5, side=120)

# %%
from minunclip.evaluation import psnr

decibels = {name: psnr(images, renders).mean().item() for name, images in skips.items()}
claims.check(f"The estimate is {decibels['estimate of x_0']:.1f} dB from the picture, and "
             f"{decibels['estimate, no skips']:.1f} dB without skips. $x_t$ itself is "
             f"{decibels['x_t at t = 300']:.1f} dB from it.",
             decibels["estimate, no skips"] < decibels["estimate of x_0"] - 5)  # drawn

# %% [markdown]
# (Decibels: 10 more for a tenth of the mean squared error.) The way through the bottom has only few positions. The
# network learned to take all detail from the skips.
#
# **Patches as channels.** Most work is done where the picture is large. Our network first stacks the pixels of each
# patch of 2 x 2 as channels (*pixel unshuffle*). Nothing is lost, and the side is halved from the start:

# %% tags=["nbval-check-output"]
grid = torch.arange(16).view(1, 1, 4, 4)
patches = F.pixel_unshuffle(grid, 2)
print(grid[0, 0].numpy())
print(tuple(patches.shape), "the upper left patch:", patches[0, :, 0, 0].numpy())
assert torch.equal(F.pixel_shuffle(patches, 2), grid)

# %%
from dataclasses import replace
from torch.utils.flop_counter import FlopCounterMode

work = {}
for patch in (1, 2, 4):
    other = UNet(replace(cascade.decoder.config.unet, patch=patch))
    with FlopCounterMode(display=False) as counter:
        other(torch.zeros(1, 3, 32, 32), t_700, context=torch.zeros(1, 36, 128))
    work[patch] = counter.get_total_flops() / 2e6
    print(f"patches of {patch} x {patch}: {work[patch]:6.0f} million multiplications")

# %%
claims.check(f"Patches of 2 x 2 save {1 - work[2] / work[1]:.0%} of the work.",
             work[2] < 0.35 * work[1])

# %% [markdown]
# Patches are also a reason why ours predicts $x_0$. A patch of noise is any 12 numbers, which a narrow network would
# have to carry to its answer. Patches of clean pictures are much alike ([Li & He,
# 2025](https://arxiv.org/abs/2511.13720)).
#
# ## 4. Attention over caption and picture
#
# Convolutions look at what is near. After some blocks the U-Net has attention, as in notebook 02:
# $\text{softmax}(q\,k^\top / \sqrt d)\, v$. Each position of the picture asks ($q$). The tokens of the *context*, which
# is the caption, and all positions of the picture answer ($k$, $v$), in **one** softmax, as in GLIDE ([Nichol et al.,
# 2021](https://arxiv.org/abs/2112.10741)). So a position that listens to the caption listens less to the picture.
# Captions differ in length, and a mask says which tokens are real.
#
# ### Exercise 5: One softmax for both · ●●○ medium · 8 minutes
#
# `q`, `k`, `v` are (B, N, d), `context_k` and `context_v` (B, M, d), and `mask` (B, M) is True where there is a token.
# Return (B, N, d). The context comes first.

# %% tags=["exercise"]
def joint_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
    context_k: torch.Tensor, context_v: torch.Tensor, mask: torch.Tensor,
) -> torch.Tensor:
    raise NotImplementedError

# %%
joint_attention = checks.mine(joint_attention)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Join keys and values along axis 1. The scores are (B, N, M + N), and `F.pad(mask, (0, N), value=True)[:, None]` is the
# mask that goes with them. Set what does not count to `-torch.inf` before the softmax.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def joint_attention(
#     q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
#     context_k: torch.Tensor, context_v: torch.Tensor, mask: torch.Tensor,
# ) -> torch.Tensor:
#     keys, values = torch.cat([context_k, k], dim=1), torch.cat([context_v, v], dim=1)
#     scores = q @ keys.transpose(1, 2) / q.shape[-1] ** 0.5
#     counts = F.pad(mask, (0, k.shape[1]), value=True)[:, None]
#     return scores.masked_fill(~counts, -torch.inf).softmax(dim=-1) @ values
# ```
#
# </details>
#
# The library's block: normalise, make $q$, $k$, $v$ by linear layers, attend, and add the answer to what came in. The
# keys and values of the context depend on neither $x_t$ nor $t$. A sampler computes them once (`prepare`):

# %% tags=["nbval-check-output"]
from einops import rearrange

torch.manual_seed(0)
attended = UNet(replace(small, attention=(0,), head_width=8, context_width=6))
attention = attended.down[0].attentions[0]
attention.out.weight.normal_()                    # it starts at zero, too
tokens = torch.randn(2, 5, 6, generator=rng)
real = torch.tensor([[True] * 5, [True, True, False, False, False]])
positions = rearrange(attention.norm(state), "b c h w -> b (h w) c")
heard = joint_attention(
    attention.q(positions), attention.k(positions), attention.v(positions),
    attention.context_k(tokens), attention.context_v(tokens), real)
expected = state + rearrange(attention.out(heard), "b (h w) c -> b c h w", h=6)
torch.testing.assert_close(attention(state, attended.prepare(tokens, real)), expected)
print("equal:", tuple(expected.shape))

# %% [markdown]
# ## 5. $z_i$, put in two ways
#
# GLIDE draws from captions. The paper adds $z_i$ to it twice (section 2.1):

# %%
draw.two_ways()

# %% [markdown]
# What is added to the time embedding reaches every ResBlock, the same for all positions. The four tokens can be asked
# by each position for what it needs. (Karlo and we add the text embedding $z_t$ as well.) By hand:

# %%
decoder = cascade.decoder

def two_ways(said):
    """What z_i and captions add to the time embedding, and the context that they make."""
    added = decoder.z_to_time(z_i[1:]) + decoder.text_to_time(said.embed)
    four = rearrange(decoder.z_to_tokens(z_i[1:]), "b (d k) -> b k d", k=4)
    words = decoder.text_norm(decoder.text_to_tokens(said.tokens))
    return added, torch.cat([four.expand(len(said), -1, -1), words], dim=1)

for name, tensor in zip(("added", "context"), two_ways(text), strict=True):
    print(name, tuple(tensor.shape))

# %% [markdown]
# The context needs a mask, too. Somebody wrote the function below. Nothing crashes, and all shapes are right. One
# caption alone is answered correctly. Then three captions are drawn in one batch:

# %%
def somebodys_mask(mask, extra):                  # (B, L) of the captions -> (B, extra + L)
    return F.pad(mask, (0, extra), value=True)

def wrong_by(captions):
    said, n = cascade.clip.encode_text(captions), len(captions)
    noisy, at = x_700.expand(n, -1, -1, -1), t_700.expand(n)
    answer = decoder.unet(noisy, at, *two_ways(said), mask=somebodys_mask(said.mask, 4))
    true = decoder(noisy, at, z_i[1:].expand(n, -1), said)
    return (answer - true).abs().mean(dim=(1, 2, 3)).tolist()

captions = ["", "a star", "a big red star above a small blue fish at night"]
one_by_one, together = [wrong_by([caption])[0] for caption in captions], wrong_by(captions)
for caption, *wrong in zip(captions, one_by_one, together, strict=True):
    print(f"wrong by {wrong[0]:.4f} alone, {wrong[1]:.4f} in the batch: {caption!r}")

# %%
claims.check("Alone all three are right. In one batch only the longest is; the empty one is wrong "
             f"by {together[0]:.3f} a number.",
             max(one_by_one + together[2:]) < 1e-4 < together[0] / 10)

# %% [markdown]
# ### Exercise 6: Find the bug · ●●○ medium · 6 minutes
#
# Why do the others of a batch matter? Write the mask right. `mask` is (B, L), True where a caption has a token; there
# are `extra` tokens of $z_i$.

# %% tags=["exercise"]
def context_mask(mask: torch.Tensor, extra: int) -> torch.Tensor:
    raise NotImplementedError

# %%
context_mask = checks.mine(context_mask)

# %% [markdown]
# <details><summary>Hint</summary>
#
# In a batch, shorter captions are padded. Look at the order in which the context is joined, and which places the wrong
# mask hides. `F.pad(x, (left, right))` pads the last axis.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def context_mask(mask: torch.Tensor, extra: int) -> torch.Tensor:
#     return F.pad(mask, (extra, 0), value=True)
# ```
#
# </details>
#
# With it, what we did by hand is the library's decoder:

# %%
by_hand = decoder.unet(x_700, t_700, *two_ways(text), mask=context_mask(text.mask, 4))
theirs = decoder(x_700, t_700, z_i[1:], text)
torch.testing.assert_close(theirs, by_hand, atol=1e-4, rtol=1e-4)
print("equal")

# %% [markdown]
# **Whitening.** Some directions of $z_i$ vary much more than others. A fresh linear layer weighs all alike, so it would
# hear little but the wide ones. How wide is each axis, over a thousand pictures? The dashed line is the noise with
# which this CLIP was trained (notebook 02): what lies below it, CLIP itself was taught not to rely on.

# %%
from minunclip.embeddings import Whitening, centre_and_spread
from minunclip.scenes import Scenes
from minunclip.training import embeddings

many = embeddings(cascade.clip, Scenes("train", seed=3), 1000)[0]
axes, floor = many.std(dim=0), (cascade.clip.config.noise * many.norm(dim=1).mean()).item()
lines = {"z_i": (range(1, 129), axes.tolist()), "the noise": ((1, 128), (floor, floor))}
plots.curves(lines, "axis", "standard deviation", log_x=True)

# %%
above, held = int((axes > floor).sum()), axes.square().cumsum(dim=0) / axes.square().sum()
claims.check(f"{above} of the 128 axes are wider than the noise. The first ten have {held[9]:.0%} "
             "of the variance.", above < 100 and held[9] > 0.5)

# %% [markdown]
# So the layer is given $(z - \text{mean}) / \text{std}$, axis by axis, where the noise counts as part of the deviation:
# what is narrower than it is not made loud. After the training the whitening is *folded* into the layer's weights.
#
# ### Exercise 7: Folding · ●●○ medium · 6 minutes
#
# A layer computes `weight @ x + bias`, with `weight` (O, D) and `bias` (O,). Return the weight and bias of a layer that
# does the same to $(x - \text{mean}) / \text{std}$ when it is given $x$.

# %% tags=["exercise"]
def fold_whitening(
    weight: torch.Tensor, bias: torch.Tensor, mean: torch.Tensor, std: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    raise NotImplementedError

# %%
fold_whitening = checks.mine(fold_whitening)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Write out $W (x - m) / s + b$, and collect what is multiplied by $x$. Column $d$ of $W$ belongs to axis $d$.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def fold_whitening(
#     weight: torch.Tensor, bias: torch.Tensor, mean: torch.Tensor, std: torch.Tensor
# ) -> tuple[torch.Tensor, torch.Tensor]:
#     weight = weight / std
#     return weight, bias - weight @ mean
# ```
#
# </details>

# %%
torch.manual_seed(0)
mean, std = centre_and_spread(many, cascade.clip.config.noise)
layer = torch.nn.Linear(128, 4)
weight, bias = fold_whitening(layer.weight, layer.bias, mean, std)
whitened = layer((many - mean) / std)
torch.testing.assert_close(F.linear(many, weight, bias), whitened, atol=1e-4, rtol=1e-4)
print("equal: folded, and whitened by hand")

# %% [markdown]
# ## 6. A decoder of your own
#
# The full training takes many hours. So that two minutes are enough, we take a small part of the world: one big flat
# thing in the middle of a sheet of paper, in 8 kinds and 8 colours, each in three pictures that differ in turns and
# tints. Three combinations, such as a purple star, are kept back.

# %%
from itertools import product
from minunclip.scenes import COLOURS, KINDS

def flat_things(seeds, held_out=False):
    things = [Thing(kind, colour, "big") for kind, colour in product(KINDS, COLOURS)]
    scenes = [Scene((thing,), "alone", "paper", "flat", seed=n, roam=0) for thing in things
              for n in seeds]
    scenes = [scene for scene in scenes if scene.held_out == held_out]
    return scenes, torch.stack([to_tensor(render(scene, 32)) for scene in scenes])

shown = flat_things(range(3))[1]                  # in training
shown_z = cascade.clip.encode_image(shown)
whiten = Whitening.of(shown_z, cascade.clip.config.noise)
plots.show(shown[::16], columns=12, side=64, title=f"{len(shown)} pictures, some of them")

# %% [markdown]
# A step: take pictures, let CLIP make $z_i$, jump to a random $t$, ask, compare. One $z_i$ in ten is *dropped*,
# replaced by a vector `null_z` that is learned like any weight. Guidance needs an answer without $z_i$. (The paper
# drops the caption half of the time as well. Ours here has no captions.) Half of the timesteps come from the noisiest
# four tenths: there it is settled what stands where.

# %%
from minunclip.diffusion import DiffusionConfig
from minunclip.training import TrainConfig, Trainer
from minunclip.training.recipes import random_timesteps

shape = UNetConfig(channels=32, mults=(1, 2), blocks=1, attention=(1,), head_width=32,
                   context_width=64, patch=2, groups=8)
own_config = DecoderConfig(unet=shape, size=32, z_width=128, text_width=128,
                           diffusion=DiffusionConfig(target="x0", weighting="capped"))
config = TrainConfig(steps=300, batch=16, lr=2e-3, muon=0.02, warmup=20, ema=0.97, bf16=False)

def batches(first_step):
    rng = torch.Generator().manual_seed(first_step)
    while True:
        rows = torch.randint(len(shown), (config.batch,), generator=rng)
        yield shown[rows], whiten(shown_z[rows])

def loss(model, batch, rng):
    x_0, z = batch
    z = model.with_dropped(z, torch.rand(len(z), generator=rng) < 0.1)
    given = model.condition(z, silence.repeat(len(z)))
    t = random_timesteps(len(z), 1000, rng, noisy=0.5)
    eps = torch.randn(x_0.shape, generator=rng)
    return model.diffusion.loss(lambda x_t, t: model(x_t, t, condition=given), x_0, t, eps).mean()

# %%
unseen_scenes, unseen = flat_things([1000])       # other turns and tints
unseen_z = whiten(cascade.clip.encode_image(unseen))

def drawn_by(model, z, w=1.0):
    denoiser = model.eval().denoiser(z, silence.repeat(len(z)), silence, w)
    noise = noise_stream((len(z), 3, 32, 32), generators(0, len(z)))
    return last(ddim(model.diffusion, denoiser, noise, 15)).clamp(-1, 1)

def errors_of(model):
    """Squared errors of x_0 for 16 unseen pictures, at t = 50, 150, ... 950."""
    x_0, given, found = unseen[::4], model.condition(unseen_z[::4], silence.repeat(16)), []
    for t in range(50, 1000, 100):
        at, rng = torch.full((16,), t), torch.Generator().manual_seed(t)
        x_t = model.diffusion.q_sample(x_0, at, torch.randn(x_0.shape, generator=rng))
        found.append((model(x_t, at, condition=given) - x_0).square().mean().item())
    return found

# %%
torch.manual_seed(0)
trainer, records, strip, errors = Trainer(Decoder(own_config), config), [], {}, {}
torch.set_grad_enabled(True)
for record in trainer.run(loss, batches):
    records.append(record)
    if record.step in (50, 100, 200, config.steps):
        with torch.no_grad():
            strip[f"step {record.step}"] = drawn_by(trainer.ema, unseen_z[::8])
            errors[f"after {record.step} steps"] = errors_of(trainer.ema)
torch.set_grad_enabled(False)
examples = [record.examples for record in records]
plots.curves({"this training": (examples, plots.running_mean(records, 20))}, "examples seen",
             "loss", log_x=True)

# %%
def in_rows(rows, columns, **options):
    """Some pictures of each row, under its name."""
    images = [image for row in rows.values() for image in row[:columns]]
    below = [word for name in rows for word in (name, *[""] * (columns - 1))]
    return plots.show(images, below, columns=columns, **options)

in_rows({"given: its z_i": unseen[::8]} | strip, 8, side=96, seed=0)

# %% [markdown]
# The paper comes first, then the colour, then the shape. The judge of notebook 01 names what it sees:

# %%
from minunclip.evaluation import Judge

judge = Judge.from_pretrained("scenes")

def right_things(images, scenes):
    """The share of drawings whose thing has the kind, the colour and the size it should."""
    pairs = zip(judge.read(images), scenes, strict=True)
    return sum(one.things == scene.things for one, scene in pairs) / len(images)

halves = drawn_by(trainer.ema, unseen_z[::2])
early = right_things(strip["step 50"], unseen_scenes[::8])
late = right_things(halves, unseen_scenes[::2])
claims.check(f"After {config.steps} steps {late:.0%} of {len(halves)} drawings show the thing whose "
             "$z_i$ was given, in its kind, colour and size. After 50 steps it is "
             f"{early:.0%} of {len(strip['step 50'])}, by chance one in 64.",
             late > 0.6 > early + 0.2)

# %%
plots.curves({name: (range(50, 1000, 100), line) for name, line in errors.items()}, "t",
             "squared error of x_0")

# %%
before, after = errors["after 100 steps"], errors[f"after {config.steps} steps"]
claims.check(f"After 100 steps the error is {before[0]:.3f} at t = 50 and {before[9]:.3f} at t = 950, "
             f"in the end {after[0]:.3f} and {after[9]:.3f}. In much noise the answer must come from "
             "$z_i$.", before[9] > 1.2 * before[0] and after[9] < 0.7 * before[9])

# %% [markdown]
# **New things.** No purple star was ever drawn in this training. Is its $z_i$ enough?

# %%
new_scenes, new = flat_things(range(1000, 1006), held_out=True)
new_drawn = drawn_by(trainer.ema, whiten(cascade.clip.encode_image(new)))
kinds = sum(one.things[0].kind == scene.things[0].kind
            for one, scene in zip(judge.read(new_drawn), new_scenes, strict=True)) / len(new)
never_seen = right_things(new_drawn, new_scenes)
claims.check(f"{kinds:.0%} of {len(new)} drawings show the right kind, {never_seen:.0%} also the right "
             "colour and size, though none like them was in the training.", never_seen > 0.2)
in_rows({"given: its z_i": new[::2], "drawn": new_drawn[::2]}, 9, side=84, seed=0)

# %% [markdown]
# The full training (`DecoderRecipe`) has all scenes, captions, the learned variance, and a second loss: from the middle
# of the U-Net it must be told what CLIP sees in each patch of the clean picture (*representation alignment*, [Yu et
# al., 2024](https://arxiv.org/abs/2410.06940)). Shapes are learned sooner by it.
#
# ## 7. What $z_i$ keeps, and what the noise decides
#
# **Loading the finished weights.** From here on it is the decoder from the top again. Which way of putting $z_i$ in
# does what? We take one away: the time embedding gets the real $z_i$ and the tokens the `null_z`, and the other way
# round. (Training always dropped both at once. So two of these rows are inputs that the network has never met.)

# %%
from itertools import islice
from minunclip.decoder import Condition

items = (Scenes("test", seed=3)[i] for i in range(1000))
items = list(islice((item for item in items if item.scene.layout == "alone"), 24))
truth = [item.scene for item in items]
originals = torch.stack([item.image(32) for item in items])
z, silent = cascade.clip.encode_image(originals), silence.repeat(24)
captioned = cascade.encode_text([item.caption for item in items])
known, unknown = decoder.condition(z, silent), decoder.condition(None, silent)

def drawn_from(condition, seed=0):
    count = len(condition.added)
    return sample(lambda x_t, t: decoder(x_t, t, condition=condition), count, seed)

ways = {"z_i both ways": known, "z_i added only": Condition(known.added, unknown.context),
        "z_i as tokens only": Condition(unknown.added, known.context), "nothing": unknown,
        "the caption only": decoder.condition(None, captioned)}
found = {name: drawn_from(condition) for name, condition in ways.items()}
in_rows({"the originals": originals} | found, 7, side=96, seed=0)

# %%
from minunclip.evaluation import same_facts

facts = ("kind", "colour", "size", "background", "style")
shares = [same_facts(truth, judge.read(images)) for images in found.values()]
table = torch.tensor([[share[fact].value for fact in facts] for share in shares])
plots.heatmap(table, list(found), facts, "share of the drawings in which the fact is true")

# %%
both, added, as_tokens, nothing, caption = table.mean(dim=1).tolist()
claims.check(f"With both ways {both:.0%} of the facts are right, with one {added:.0%} (added) and "
             f"{as_tokens:.0%} (tokens), with nothing {nothing:.0%}.",
             both > max(added, as_tokens) > nothing)  # drawn
claims.check(f"From the caption alone it is {caption:.0%}: captions leave facts unsaid.",
             nothing < caption < both)  # drawn

# %% [markdown]
# **Unlike the paper,** whose caption "offers little help" beside $z_i$ (section 2.1): what it adds here, and with two
# things, is measured in the notebook on the whole cascade.
#
# **Predict, then run.** A thing stands somewhere near the middle, and no caption says where. We draw once more from the
# same $z_i$, with other noise. Does the thing stand in the same place? And does it stand where the original's does?

# %%
first, other_noise = found["z_i both ways"], drawn_from(known, seed=100)

def alike(one, other):
    """The correlation of the places of things, as the judge reads them."""
    a, b = (judge.places(images)[:, 0] for images in (one, other))
    a, b = a - a.mean(dim=0), b - b.mean(dim=0)
    return F.cosine_similarity(a.flatten(), b.flatten(), dim=0).item()

same_places = {"the same drawing": 1.0, "same z_i, other noise": alike(first, other_noise),
               "the original": alike(first, originals)}
plots.bars(same_places, "correlation of places with those of the first drawing")

# %%
kept, copied = same_places["same z_i, other noise"], same_places["the original"]
claims.check(f"Places correlate by {kept:.2f} with those drawn from the same $z_i$, by {copied:.2f} "
             "with the originals'. Where a thing stands, mostly the noise decides.",
             max(kept, copied) < 0.7)  # drawn
seen = [cascade.clip.encode_image(images) for images in (first, other_noise)]
cosine = F.cosine_similarity(*seen).mean().item()
claims.check("To CLIP two drawings from one $z_i$ are nearly the same picture: their cosine is "
             f"{cosine:.2f}.", cosine > 0.8)  # drawn

# %% [markdown]
# So the work is divided. $z_i$ keeps the facts. The noise decides places, turns, tints, clouds and stars: the paper's
# "non-essential details" (section 3). One $z_i$ drawn 16 times; where the spread is light, the drawings differ:

# %%
sixteen = drawn_from(decoder.condition(z[:1].repeat(16, 1), silence.repeat(16)))
spread = sixteen.std(dim=0)
plots.show([originals[0], *sixteen[:4], sixteen.mean(dim=0), spread / spread.max() * 2 - 1],
           ["the picture", *["drawn"] * 4, "mean of 16", "spread of 16"], columns=7, side=100,
           seed=0)

# %%
part = (sixteen.var(dim=0).mean() / first.var(dim=0).mean()).item()
claims.check(f"Drawings from one $z_i$ have {part:.0%} of the variance of drawings from many.",
             0.005 < part < 0.5)  # drawn

# %% [markdown]
# ## 8. Guidance
#
# The decoder is asked twice, with $z_i$ and without, and goes on in the direction of the difference (notebook 04).
# Without means `null_z` and the empty caption. By hand and with the library:

# %%
x_600, t_600 = torch.randn(24, 3, 32, 32, generator=rng), torch.full((24,), 600)
without_z, with_z = (decoder(x_600, t_600, condition=c)[:, :3] for c in (unknown, known))
three_times = cascade.decoder_denoiser(z, silent, 3)(x_600, t_600)[:, :3]
by_hand = without_z + 3 * (with_z - without_z)
torch.testing.assert_close(three_times, by_hand, atol=1e-3, rtol=1e-3)
print("equal")

# %%
def at_the_limit(images):
    return (images.abs() > 0.98).float().mean().item()

scales = (1, 2, 4, 12)
guided = {w: sample(cascade.decoder_denoiser(z[:16], silent[:16], w), 16) for w in scales}
facts_right = {w: same_facts(truth[:16], judge.read(images)) for w, images in guided.items()}
limits = {w: at_the_limit(images) for w, images in guided.items()}
true = at_the_limit(originals)
lines = {name: (scales, [facts_right[w][fact].value for w in scales])
         for name, fact in (("kind", "kind"), ("all facts", "scene"))}
lines |= {"at the limit": (scales, [*limits.values()]),
          "... in originals": ((1, 12), (true, true))}
plots.curves(lines, "guidance w", "share", log_x=True)

# %%
plain_right, guided_right = (facts_right[w]["scene"].value for w in (1, 2))
claims.check(f"All facts are right in {plain_right:.0%} of the drawings at w = 1, and in "
             f"{guided_right:.0%} at w = 2.", guided_right >= plain_right - 0.1)  # drawn
claims.check(f"At w = 12 {limits[12]:.0%} of all values lie at -1 or 1, in the originals "
             f"{true:.0%}.", limits[12] > 1.5 * true)  # drawn

# %% [markdown]
# That is *saturation*. Compare by eye; these pages need no kernel:

# %% tags=["nbval-ignore-output"]
from minunclip.course.widgets.decoder import DecoderExplorer, decoded_grid

decoded_grid(cascade, renders[0], "from the z_i of the flower", (0, 1, 2, 4, 12), count=4)

# %% [markdown]
# With a kernel: another picture, another seed, and $z_i$ by one way only.

# %% tags=["nbval-ignore-output"]
choices = {"a pink flower on a meadow": renders[0], "a moon and a square": renders[1]}
choices |= {f"test: {item.caption}": item.image(32) for item in items[:3]}
DecoderExplorer(cascade, choices)

# %% [markdown]
# **Design an experiment.** Can strong guidance make up for a way of $z_i$ that is missing? Write down what you expect
# for each way, which number you will read, and how many pictures you need to tell 80% from 90%. Then draw.
#
# What of all this was yours?

# %%
checks.in_use()

# %% [markdown]
# ## Summary
#
# | | |
# | --- | --- |
# | ResBlock | normalise, bend, convolve, twice; added to what came in; FiLM tells it the time |
# | U-Net | down to few positions, up again; skips carry the detail across |
# | patches | pixels as channels: a smaller side, a fraction of the work |
# | attention | one softmax over context and picture |
# | $z_i$ | added to the time embedding, and as four tokens; whitened down to CLIP's noise |
# | dropping | one network with and without $z_i$, which guidance compares |
# | learned first | large areas, colours; shapes come last |
# | what $z_i$ keeps | facts; the noise decides the rest |
#
# **What you can do now:** build a U-Net, put a condition into it in two ways, train it until its drawings can be named,
# and say what an embedding keeps of a picture.
#
# ## Questions
#
# <details><summary>Why is z_i added to the time embedding and not to the picture?</summary>
#
# The time embedding reaches every ResBlock at every size. And $z_i$ has no places: nothing says which of its numbers
# belongs to which pixel.
#
# </details>
#
# <details><summary>Why tokens as well?</summary>
#
# A scale and a shift are the same at all positions. By attention each position can take something else from $z_i$.
#
# </details>
#
# <details><summary>What would happen without the shortcut in a ResBlock?</summary>
#
# `conv2` starts at zero, so every block would hand on zeros at first. With the shortcut a deep stack starts as if it
# were shallow.
#
# </details>
#
# <details><summary>Why GroupNorm and not BatchNorm?</summary>
#
# A batch mixes clean pictures with nearly pure noise. Means over it depend on who else is there.
#
# </details>
#
# <details><summary>What do skip connections carry?</summary>
#
# Detail: which pixel holds which value. The bottom of the U has too few positions for it.
#
# </details>
#
# <details><summary>The mask of exercise 6 crashed nothing. Which test finds such a bug?</summary>
#
# One that changes what must not matter: another padding must give the same answer, and another $z_i$ another one.
#
# </details>
#
# <details><summary>The decoder is given the true z_i and draws a wrong kind. Whose fault is it?</summary>
#
# CLIP's, if $z_i$ does not tell the kinds apart: ask it zero-shot (notebook 02). The decoder's, if it does.
#
# </details>
#
# <details><summary>Why is whitening not carried on down to the narrowest axis?</summary>
#
# Below the noise with which CLIP was trained an axis holds nothing that CLIP relies on. Made loud, it would tell the
# decoder what captions, and so the prior, can never say.
#
# </details>
#
# <details><summary>Would guidance work if no z_i had been dropped in training?</summary>
#
# No. `null_z` would never have been learned, so the answer without $z_i$, and the difference, would be arbitrary.
#
# </details>
#
# <details><summary>How do you get a variation of a picture?</summary>
#
# Draw from its $z_i$ with other noise. The facts stay, and what the noise decides changes.
#
# </details>
#
# ## Where to read on
#
# - The code: [networks/unet.py](../minunclip/networks/unet.py) is sections 2 to 4,
#   [decoder.py](../minunclip/decoder.py) section 5,
#   [training/recipes/decoder.py](../minunclip/training/recipes/decoder.py) the full training. Tests compare the network
#   with diffusers', weight by weight.
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125): section 2.1 for the decoder, 3 for what $z_i$
#   keeps, Table 3 for sizes.
# - Dhariwal & Nichol, [Diffusion models beat GANs](https://arxiv.org/abs/2105.05233) (2021), section 3: which parts of
#   the U-Net matter.
# - The notebook *Learned variance*: the other three channels.
