# %% [markdown]
# # 07 · The decoder: a picture from its embedding
#
# CLIP looks at a picture and answers with a short list of numbers, the image embedding $z_i$. The decoder goes the
# other way: it is given $z_i$ and draws a picture that CLIP would see as the same. This inversion gave unCLIP its name.
# In this notebook you build the decoder's network, the *U-Net*, from its smallest block up, put $z_i$ into it in two
# ways, teach it how much noise to add, train it, and then look at what the finished one does.

# %%
import os
from dataclasses import replace
from itertools import islice
from math import log, sqrt

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

# %%
import minunclip
from minunclip import plots
from minunclip.common import best_device
from minunclip.course import checks, claims
from minunclip.course.widgets.decoder import DecoderExplorer, decoded_grid
from minunclip.decoder import Condition, DecoderConfig
from minunclip.diffusion import (Diffusion, DiffusionConfig, ddim, ddpm, gaussian_kl, generators, last,
                                 log_likelihood_8bit, noise_stream, timesteps)
from minunclip.embeddings import Whitening, centre_and_spread
from minunclip.evaluation import Judge, psnr, same_facts
from minunclip.networks import AttentionBlock, ResBlock, UNet, UNetConfig, timestep_embedding
from minunclip.scenes import Scene, Scenes, Thing, render, to_tensor
from minunclip.training import TrainConfig, Trainer, batches, drop, encode, pixels
from minunclip.training.recipes import DecoderRecipe, random_timesteps

# %%
torch.set_grad_enabled(False)                     # on again for the training in section 7
device = best_device()
cascade = minunclip.load("scenes", device)
decoder, clip, side = cascade.decoder, cascade.clip, cascade.decoder.config.size
scenes = [Scene((Thing("flower", "pink", "big"),), "alone", "meadow", "outlined", seed=3),
          Scene((Thing("moon", "yellow", "big"), Thing("square", "teal", "small")), "row", "night", "striped", seed=5)]
renders = torch.stack([to_tensor(render(scene, side)) for scene in scenes]).to(device)
z_i, silence = clip.encode_image(renders), clip.encode_text([""])
print("renders", tuple(renders.shape), "z_i", tuple(z_i.shape))

# %%
def draw(denoiser, count, seed=0, steps=15, sampler=ddim):
    noise = noise_stream((count, 3, side, side), generators(seed, count), device)
    return last(sampler(decoder.diffusion, denoiser, noise, steps)).clamp(-1, 1)

drawn = draw(cascade.decoder_denoiser(z_i.repeat_interleave(5, dim=0), silence.repeat(10), 2), 10)
names = ["the picture", *(f"from z_i, seed {seed}" for seed in range(10))]
shown = [renders[0], *drawn[:5], renders[1], *drawn[5:]]
plots.show(shown, [*names[:6], names[0], *names[6:]], columns=6, side=112, title="no caption, guidance 2")

# %% [markdown]
# On the left two pictures, right of each five drawings from nothing but its $z_i$ and noise. The finished decoder,
# loaded with the shipped weights, drew them. What is the same in all five, $z_i$ knows. What differs, it does not know,
# and the decoder made it up.
#
# **What you will see**
#
# 1. What the decoder is given and what it answers.
# 2. A *ResBlock*, part by part: convolution, normalisation, and how it is told the time.
# 3. The *U-Net*: down, up, and the short cuts between them. Patches as channels.
# 4. Attention over caption and picture together.
# 5. $z_i$, put in two ways, and whitened before.
# 6. How much noise a step adds: the *learned variance*.
# 7. Training. You run one.
# 8. The finished decoder: what each way of putting $z_i$ in does, and what CLIP keeps of a picture.
# 9. Guidance, under a slider.
# 10. Few steps, and what the learned variance is good for.
#
# **What you need to know before:** diffusion as in notebook 03 ($x_t$, $x_0$, DDPM, guidance), attention as in notebook
# 02, and what a convolution is, roughly.
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("07_decoder")

# %% [markdown]
# Reading takes about 45 minutes, the five exercises another 35. With the `cpu` profile the training in section 7 is
# cut short; with `gpu` it runs to its end. The environment variable `MINUNCLIP_PROFILE` chooses.

# %%
profile = os.environ.get("MINUNCLIP_PROFILE", "gpu" if device.type == "cuda" else "cpu")
print(f"running on {device.type}, profile {profile}")

# %% [markdown]
# ## 1. What goes in, what comes out
#
# The decoder models $P(x \mid z_i, y)$: pictures $x$, given an image embedding and the caption $y$. It is a diffusion
# model, so its network is asked at every step. For one picture:

# %%
text = cascade.encode_text(["a yellow moon left of a small teal square"])
x_t, t = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device), torch.tensor([700])
output = decoder(x_t, t.to(device), z_i[1:], text)
inputs = {"x_t, the noisy picture": x_t, "t, the timestep": t, "z_i, the image embedding": z_i[1:],
          "z_t, the text embedding": text.embed, "the caption's tokens": text.tokens}  # fmt: skip
for name, tensor in inputs.items():
    print(f"in:  {name:25} {tuple(tensor.shape)}")
print(f"out: {'':25} {tuple(output.shape)}")

# %% [markdown]
# Three of the channels that come out say what in $x_t$ is picture and what is noise. The other three say how much noise
# the next step should add, a number for each pixel and colour; section 6 is about them.
#
# The network is that of GLIDE (Nichol et al., 2021), as the paper says in section 2.1. Ours is one class with a config;
# Karlo's, a released unCLIP, is the same class with the defaults:

# %%
def row(name, config):
    unet = config.unet
    widths = ", ".join(str(unet.channels * mult) for mult in unet.mults)
    print(f"{name:6} {config.size} px, patch {unet.patch}, channels {widths}; blocks per level {unet.blocks}, "
          f"attention at levels {unet.attention}, z_i of {config.z_width}")  # fmt: skip

row("ours", decoder.config)
row("Karlo", DecoderConfig())
print(f"ours has {sum(p.numel() for p in decoder.parameters()) / 1e6:.1f} million parameters")

# %% [markdown]
# The paper's own has 3.5 billion: 64 pixels, 512 channels at the first level (Table 3). Every word of that line will
# be explained by the end of section 4.
#
# ## 2. A ResBlock
#
# **Convolution.** Each new pixel is a weighted sum of the 3 x 3 old ones around it, with the same nine weights
# everywhere. This kernel takes the right neighbour minus the left one, so it answers where the picture changes from
# left to right:

# %% tags=["nbval-check-output"]
picture = torch.tensor([[0.0, 0, 9, 9]] * 4)
kernel = torch.tensor([[0.0, 0, 0], [-1, 0, 1], [0, 0, 0]])
edges = F.conv2d(picture[None, None], kernel[None, None], padding=1)[0, 0]
print(edges.int().numpy())
print("row 1, column 1 by hand:", int((picture[0:3, 0:3] * kernel).sum()))

# %% [markdown]
# (Outside the picture everything is taken to be 0, hence the -9 on the right.) A network has many channels: each new
# one has a kernel for every old one, and the sums are added up.
#
# **Normalisation.** Numbers that go through many layers grow or shrink. So each block first brings them to mean 0 and
# variance 1. *GroupNorm* (Wu & He, 2018) does so for each picture alone, over groups of neighbouring channels:

# %% tags=["nbval-check-output"]
x = torch.tensor([[1.0, 3], [5, 7], [10, 10], [10, 30]]).view(1, 4, 1, 2)     # 4 channels of 1 x 2 pixels
group = x[0, :2]
print("first group by hand:", ((group - group.mean()) / group.std(unbiased=False)).flatten().numpy().round(2))
print("the library's:      ", F.group_norm(x, 2)[0, :2].flatten().numpy().round(2))

# %% [markdown]
# Why not over the batch, as *BatchNorm* does? In a batch of a diffusion model one picture is nearly clean and the next
# one nearly noise. Their means have nothing to do with each other.
#
# ### Exercise 1: GroupNorm · ●●○ medium · 6 minutes
#
# `x` is (B, C, H, W), and `groups` divides C. Add $10^{-5}$ to the variance before you take the root. The next cell
# tries your function and says what is still wrong; as long as it is empty, the notebook runs on.

# %% tags=["exercise"]
def group_norm(x: torch.Tensor, groups: int) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.group_norm(group_norm)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `x.reshape(len(x), groups, -1)` puts each group into one row. Take mean and variance along it with `keepdim=True`. The
# variance wants `unbiased=False`.
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
# **The time.** A block must know how much noise there is: with little of it, edges are worth a look; with much, only
# large areas are. $t$ comes as sines and cosines of different speeds, like the positions of words in notebook 02. Four
# of these numbers for each $t$:

# %%
waves = timestep_embedding(torch.arange(1000), 32)                            # 16 cosines, then 16 sines
lines = {f"number {n}": (range(0, 1000, 5), waves[::5, n].tolist()) for n in (6, 8, 10, 13)}
plots.curves(lines, "t", "timestep embedding")

# %% [markdown]
# A small network turns these waves into a vector, the *time embedding*. How should a block listen to it? One could add
# it to the channels. *FiLM* (Perez et al., 2018; "AdaGN" in Dhariwal & Nichol, 2021) does more: from the embedding a
# linear layer computes a scale $s$ and a shift $b$ for each channel, and right after a normalisation
#
# $$h \leftarrow \text{GroupNorm}(h) \cdot (1 + s) + b$$
#
# With $s = -1$ a channel falls silent at this $t$, with $s = 1$ it counts twice. Two channels of one pixel each:

# %% tags=["nbval-check-output"]
h = torch.tensor([2.0, 4.0])
scale, shift = torch.tensor([-1.0, 0.5]), torch.tensor([0.0, 10.0])
print((h * (1 + scale) + shift).numpy())

# %% [markdown]
# ### Exercise 2: FiLM · ●○○ easy · 4 minutes
#
# `h` is (B, C, H, W), and `time` (B, 2 C) holds for each picture C scales, then C shifts.

# %% tags=["exercise"]
def film(h: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.film(film)

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
# **All together.** Normalise, bend (SiLU is $x \cdot \text{sigmoid}(x)$), convolve; again, with FiLM in between; and
# *add* the result to what came in. One small block of the library, and the same by hand. `awake` gives random values to
# the layers that start at zero, or there would be nothing to compare:

# %% tags=["nbval-check-output"]
def awake(module, seed=0):
    g = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        if not parameter.any():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=g))
    return module

small = UNetConfig(channels=8, mults=(1, 2), blocks=1, attention=(), context_width=None, groups=4)
g = torch.Generator().manual_seed(0)
block, x, emb = awake(ResBlock(small, 8, 16)), torch.randn(2, 8, 6, 6, generator=g), torch.randn(2, 32, generator=g)
h = block.conv1(F.silu(block.norm1(x)))                                       # (2, 16, 6, 6)
h = checks.film.reference(block.norm2(h), block.time(F.silu(emb)))
by_hand = block.skip(x) + block.conv2(F.silu(h))
torch.testing.assert_close(block(x, emb), by_hand)
print("equal:", tuple(by_hand.shape))

# %% [markdown]
# `skip` is there because 8 channels cannot be added to 16; where the widths agree it does nothing. And why do some
# layers start at zero? Then a new block passes on what it is given, unchanged, and so does a stack of a hundred:

# %% tags=["nbval-check-output"]
new = ResBlock(small, 8, 8)
print("a new block changes x by", (new(x, emb) - x).abs().max().item())

# %% [markdown]
# ## 3. The U-Net
#
# A 3 x 3 convolution lets a pixel know its neighbours, two of them the neighbours of neighbours. How far can knowledge
# travel? We change one pixel in the middle of a picture of 32, and count the columns in which something changes:

# %% tags=["nbval-check-output"]
def reach(network):
    picture = torch.zeros(1, 1, 32, 32)
    picture[..., 16, 16] = 1
    return int((network(picture) != 0).any(dim=2).sum())

layer = nn.Conv2d(1, 1, 3, padding=1, bias=False)
layer.weight.fill_(1.0)
half, double = nn.AvgPool2d(2), nn.Upsample(scale_factor=2)
print("4 convolutions:            ", reach(nn.Sequential(*[layer] * 4)), "columns")
print("2 of them at a quarter size:", reach(nn.Sequential(layer, half, half, layer, layer, double, double, layer)),
      "columns")  # fmt: skip

# %% [markdown]
# With the same number of layers, knowledge gets much further in a *small* picture. And convolutions cost less there: a
# picture of half the side has a quarter of the pixels, so it can have more channels. But a small picture has no fine
# detail, and the answer needs it. The **U-Net** (Ronneberger et al., 2015) does both: it makes the picture smaller
# step by step, then larger again, and on the way up each block also sees the state of the same size from the way
# down. Here is a tiny one, walked through by hand:

# %%
torch.manual_seed(0)
unet = awake(UNet(small))
x, t = torch.randn(1, 3, 8, 8, generator=g), torch.tensor([300])
emb = unet.time(timestep_embedding(t, 8))                                     # the time embedding, (1, 32)
print("the time embedding", tuple(emb.shape))

# %% tags=["nbval-check-output"]
(fine, coarse), (up_coarse, up_fine) = unet.down, unet.up
first = unet.conv_in(x)
a = fine.blocks[0](first, emb)
b = fine.resample(a, emb)                                                     # half the side
c = coarse.blocks[0](b, emb)
h = unet.middle.blocks[1](unet.middle.blocks[0](c, emb), emb)                 # the bottom of the U
print("down:", *(f"{s.shape[1]} x {s.shape[2]} x {s.shape[3]}" for s in (first, a, b, c)), sep="  ")
h = up_coarse.blocks[0](torch.cat([h, c], dim=1), emb)
h = up_coarse.blocks[1](torch.cat([h, b], dim=1), emb)
h = up_coarse.resample(h, emb)                                                # twice the side
h = up_fine.blocks[0](torch.cat([h, a], dim=1), emb)
h = up_fine.blocks[1](torch.cat([h, first], dim=1), emb)
out = unet.conv_out(F.silu(unet.norm_out(h)))
torch.testing.assert_close(out, unet(x, t))
print("up:   equal to the library's", tuple(out.shape))

# %% [markdown]
# Each state of the way down (`first`, `a`, `b`, `c`) is used once more on the way up, in reverse order. These are the
# **skip connections**. What are they worth? We cut them in the finished decoder: every block on the way up is shown
# zeros in their place. First one answer, for a render with some noise, then drawings from the start.

# %%
def cut_skips(unet):
    state, hooks = unet.middle.blocks[1].conv2.out_channels, []
    for block in (block for level in unet.up for block in level.blocks):
        def cut(block, args, state=state):                                    # args: [state; skip], time embedding
            return torch.cat([args[0][:, :state], 0 * args[0][:, state:]], dim=1), args[1]
        hooks.append(block.register_forward_pre_hook(cut))
        state = block.conv2.out_channels
    return hooks

def answer(x_t, t, denoiser):
    return decoder.diffusion.estimate(denoiser(x_t, t), x_t, t)[0]

# %%
plain, t = cascade.decoder_denoiser(z_i, silence.repeat(2)), torch.full((2,), 300, device=device)
x_t = decoder.diffusion.q_sample(renders, t, torch.randn(renders.shape, generator=g).to(device))
shown = [x_t, answer(x_t, t, plain), draw(plain, 2)]
hooks = cut_skips(decoder.unet)
shown += [answer(x_t, t, plain), draw(plain, 2)]
for hook in hooks:
    hook.remove()
names = ["x_t at t = 300", "estimate of x_0", "drawn", "estimate, no skips", "drawn, no skips"]
plots.show([images[i] for i in range(2) for images in shown], names * 2, columns=5, side=128)

# %%
noisy, whole, cut = (psnr(shown[i], renders).mean().item() for i in (0, 1, 3))
claims.check(f"The estimate is {whole:.1f} dB from the picture, and {cut:.1f} dB without the skips. $x_t$ itself, "
             f"with all its noise, is {noisy:.1f} dB from it.", cut < whole - 5)

# %% [markdown]
# (Decibels tell how alike two pictures are: 10 more for each factor of 10 by which the mean squared difference
# shrinks.) Without skips the network no longer knows which pixel carries which noise: the way through the bottom of
# the U has only a few positions. It learned to get all detail from the skips, and is lost when they are gone.
#
# **Patches as channels.** Most of the work is done where the picture is large. A trick for small computers: cut the
# picture into patches of 2 x 2 or 4 x 4 pixels and stack the pixels of a patch as channels (*pixel unshuffle*). Nothing
# is lost, and the side is smaller from the start:

# %% tags=["nbval-check-output"]
x = torch.arange(16).view(1, 1, 4, 4)
patches = F.pixel_unshuffle(x, 2)
print(x[0, 0].numpy())
print(tuple(patches.shape), "the upper left patch:", patches[0, :, 0, 0].numpy())

# %% tags=["nbval-check-output"]
assert torch.equal(patches, rearrange(x, "b c (h y) (w x) -> b (c y x) h w", y=2, x=2))
assert torch.equal(F.pixel_shuffle(patches, 2), x)
print("the same with einops; and back again without loss")

# %% [markdown]
# What it saves, counted by PyTorch for one run of the network that section 7 will train, with patches of different
# sizes:

# %%
recipe_unet = DecoderRecipe.config.unet
for patch in (1, 2, 4):
    unet = UNet(replace(recipe_unet, patch=patch))
    context = torch.zeros(1, 36, recipe_unet.context_width)
    with FlopCounterMode(display=False) as counter:
        unet(torch.zeros(1, 3, side, side), torch.zeros(1, dtype=torch.int64), context=context)
    print(f"patch {patch}: {counter.get_total_flops() / 2e6:7.0f} million multiplications")

# %% [markdown]
# The price is paid in detail: a patch of 4 x 4 pixels has 48 numbers, and they all have to go through one position.
# Neither GLIDE nor the paper does so; they have larger computers. It is also why our decoder predicts $x_0$ and not
# the noise, as theirs do. A patch of noise is any 12 numbers (for 2 x 2 pixels), all of which a narrow network would
# have to carry to its output. Patches of clean pictures are much alike, so a few numbers tell them
# ([Li & He, 2025](https://arxiv.org/abs/2511.13720)).
#
# ## 4. Attention over caption and picture
#
# Convolutions look at what is near. To tell each place of the picture about the caption, and about all other places,
# the U-Net has attention after some of its blocks. Notebook 02 has the formula:
# $\text{softmax}(q\,k^\top / \sqrt d)\, v$. Here each position of the picture asks ($q$), and two kinds of things
# answer ($k$, $v$): the *context*, which is the caption's tokens, and the positions of the picture themselves. GLIDE
# puts both into **one** softmax. Two positions, a context of two tokens, width 1:

# %%
q, k, v = torch.tensor([[2.0], [-1.0]]), torch.tensor([[1.0], [0.0]]), torch.tensor([[10.0], [20.0]])
context_k, context_v = torch.tensor([[1.5], [-2.0]]), torch.tensor([[100.0], [200.0]])
keys, values = torch.cat([context_k, k]), torch.cat([context_v, v])
print("keys:", keys.flatten().numpy(), "values:", values.flatten().numpy())

# %%
shares = (q @ keys.T / sqrt(1)).softmax(dim=1)
columns = ["token 1", "token 2", "pos. 1", "pos. 2"]
print("answers:", (shares @ values).flatten().numpy().round(1))
plots.heatmap(shares, ["position 1", "position 2"], columns, "share of its attention")

# %% [markdown]
# Since the shares of a row sum to 1, a position that listens to the caption listens less to the picture. Captions
# differ in length, so a batch has *padding*, and a mask says which tokens are real. The picture's positions always are.
#
# ### Exercise 3: One softmax for both · ●●○ medium · 8 minutes
#
# `q`, `k`, `v` are (B, N, d), `context_k` and `context_v` (B, M, d), and `mask` (B, M) is True where there is a token.
# Return (B, N, d). The context comes first.

# %% tags=["exercise"]
def joint_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
    context_k: torch.Tensor, context_v: torch.Tensor, mask: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    raise NotImplementedError

# %%
checks.joint_attention(joint_attention)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Join keys and values along axis 1. The scores are (B, N, M + N), and so must be the mask: `F.pad(mask, (0, N),
# value=True)[:, None]` is (B, 1, M + N). Set the scores that do not count to `-torch.inf` before the softmax.
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
#     scores = q @ keys.transpose(1, 2) / sqrt(q.shape[-1])
#     counts = F.pad(mask, (0, k.shape[1]), value=True)[:, None]
#     return scores.masked_fill(~counts, -torch.inf).softmax(dim=-1) @ values
# ```
#
# </details>
#
# The library's block around it: normalise, make $q$, $k$, $v$ of the picture and $k$, $v$ of the context by linear
# layers, attend (here with one head), and add the answer to what came in.

# %% tags=["nbval-check-output"]
attended = replace(small, attention=(0,), head_width=8, context_width=6)
block = awake(AttentionBlock(attended, 8))
x, tokens = torch.randn(2, 8, 3, 3, generator=g), torch.randn(2, 5, 6, generator=g)
mask = torch.tensor([[True] * 5, [True, True, False, False, False]])
h = rearrange(block.norm(x), "b c h w -> b (h w) c")
h = checks.joint_attention.reference(block.q(h), block.k(h), block.v(h), block.context_k(tokens),
                                     block.context_v(tokens), mask)  # fmt: skip
by_hand = x + rearrange(block.out(h), "b (h w) c -> b c h w", h=3)
print(tuple(by_hand.shape))

# %% [markdown]
# The keys and values of the context do not depend on $x_t$ or $t$. So a sampler computes them once and hands them over
# at every step; `Context` holds them:

# %% tags=["nbval-check-output"]
unet = UNet(attended)
unet.down[0].attentions[0] = block
context = unet.prepare(tokens, mask)
torch.testing.assert_close(block(x, context), by_hand)
print("equal")

# %% [markdown]
# ## 5. $z_i$, put in two ways
#
# GLIDE draws from captions. The paper adds $z_i$ to it twice (section 2.1):
#
# - **to the time embedding**: projected to the same width and added. So it reaches every ResBlock as scale and shift,
#   the same for all positions of the picture;
# - **as four extra tokens** in front of the caption's: projected to four times the width of a token. So every
#   position can ask for what it needs.
#
# (Karlo and we add the text embedding $z_t$ to the time embedding as well.) By hand, for our moon and its caption:

# %%
added = decoder.z_to_time(z_i[1:]) + decoder.text_to_time(text.embed)
print("added to the time embedding:", tuple(added.shape))

# %%
four = decoder.z_to_tokens(z_i[1:]).view(1, -1, decoder.config.extra_tokens).transpose(1, 2)
words = decoder.text_norm(decoder.text_to_tokens(text.tokens))
context, mask = torch.cat([four, words], dim=1), F.pad(text.mask, (four.shape[1], 0), value=True)
print("four", tuple(four.shape), "words", tuple(words.shape), "context", tuple(context.shape))

# %%
x_t, t = torch.randn(1, 3, side, side, generator=g).to(device), torch.tensor([700], device=device)
by_hand = decoder.unet(x_t, t, added, context, mask=mask)
torch.testing.assert_close(decoder(x_t, t, z_i[1:], text), by_hand, atol=1e-4, rtol=1e-4)
print("equal to the library's decoder")

# %% [markdown]
# Who listens to whom? For a picture on its way, at the first and the last attention of the finished decoder and those
# between: which share of the attention goes to the tokens of $z_i$, to the caption and to the picture itself?

# %%
condition, inputs = decoder.condition(z_i[1:], text), {}
blocks = [module for module in decoder.unet.modules() if isinstance(module, AttentionBlock)]
hooks = [block.register_forward_hook(lambda block, args, out: inputs.update({block: args[0]})) for block in blocks]
x_t = decoder.diffusion.q_sample(renders[1:], t, x_t)
decoder(x_t, t, condition=condition)
for hook in hooks:
    hook.remove()

# %%
def shares(block, x):
    h = rearrange(block.norm(x), "b c h w -> b (h w) c")
    q, k = block.split_heads(block.q(h)), block.split_heads(block.k(h))
    k = torch.cat([condition.context.keys_values[block][0], k], dim=2)
    counts = F.pad(condition.context.mask, (0, h.shape[1]), value=True)[:, None, None]
    scores = (q @ k.transpose(2, 3) / sqrt(q.shape[-1])).masked_fill(~counts, -torch.inf)
    each = scores.softmax(dim=-1).mean(dim=(0, 1, 2))                         # over heads and positions
    n, m = decoder.config.extra_tokens, condition.context.mask.shape[1]
    return torch.stack([each[:n].sum(), each[n:m].sum(), each[m:].sum()])

rows = [f"attention {n}, {x.shape[2]} x {x.shape[3]}" for n, x in enumerate(inputs.values(), start=1)]
table = torch.stack([shares(block, x) for block, x in inputs.items()])
plots.heatmap(table, rows, ["z_i", "caption", "picture"], "share of the attention at t = 700")

# %%
extra, keys = decoder.config.extra_tokens, condition.context.mask.shape[1]
even = sum(extra / (keys + x.shape[2] * x.shape[3]) for x in inputs.values()) / len(inputs)
claims.check(f"On average $z_i$ gets {table[:, 0].mean():.0%} of the attention. It has {extra} tokens; if all "
             f"tokens and positions got alike, that would be {even:.0%}.", table[:, 0].mean() > even)

# %% [markdown]
# **Whitening.** There is a trap in $z_i$: some of its directions vary much more than others. We encode some hundred
# pictures with one thing each, and turn the space so that its axes are those along which the cloud is widest, then next
# widest and so on (the *principal axes*; a rotation changes no cosine, and `ClipRecipe.finish` has done the same at the
# end of CLIP's training). How wide is the cloud along each?

# %%
alone = (item for item in (Scenes("train", seed=3)[i] for i in range(4000)) if item.scene.layout == "alone")
alone = list(islice(alone, 600))
many = encode(clip, torch.stack([item.image(side) for item in alone])).cpu()
print("embeddings:", tuple(many.shape))

# %%
many = many @ torch.linalg.eigh(many.T.cov()).eigenvectors.flip(1)
spread = many.std(dim=0)
plots.curves({"z_i": (range(1, len(spread) + 1), spread.tolist())}, "principal axis", "standard deviation")

# %% [markdown]
# Does it matter? For each fact: how far apart are the means of the pictures that differ in it, and in which axes? The
# line says how much of the distance is covered by so many axes.

# %%
def apart(labels):
    groups = [many[[label == value for label in labels]] for value in sorted(set(labels))]
    return torch.stack([group.mean(dim=0) for group in groups]).var(dim=0)     # (D,)

labels = {"background": [item.scene.background for item in alone], "style": [item.scene.style for item in alone],
          "kind": [item.scene.things[0].kind for item in alone], "size": [item.scene.things[0].size for item in alone]}
covered = {fact: (apart(values).cumsum(0) / apart(values).sum()).tolist() for fact, values in labels.items()}
plots.curves({fact: (range(1, len(line) + 1), line) for fact, line in covered.items()}, "so many axes",
               "share of what tells the values apart", log_x=True)  # fmt: skip

# %% [markdown]
# A fact whose line rises late lives in axes that vary little. A fresh linear layer weighs all axes alike, so what comes
# out of it is nearly all made of the wide ones, and it takes long until the others are heard. The remedy is to give it
# $(z - \text{mean}) / \text{std}$, axis by axis. Then every axis has its say from the first step on. Which share of
# what comes out is decided by the first axes, before and after?

# %%
mean, std = centre_and_spread(many, clip.config.noise)
variances = {"z_i as it is": many.var(dim=0), "whitened": ((many - mean) / std).var(dim=0)}
lines = {name: (v.cumsum(0) / v.sum()).tolist() for name, v in variances.items()}
plots.curves({name: (range(1, len(line) + 1), line) for name, line in lines.items()}, "so many axes",
               "their share of the variance")  # fmt: skip

# %% [markdown]
# (The whitened line bends a little: `centre_and_spread` raises the smallest deviations somewhat, or what is noise in
# the narrowest axes would count as much as facts.)
#
# Our decoder learns from whitened embeddings. Afterwards there need be no extra layer for this: the first thing that
# happens to $z_i$ is a linear layer anyway, and whitening can be *folded* into its weights. (Not before: in a layer
# that is given $z_i$ as it is, a step of the optimiser moves each weight by as much as any other, so what the narrow
# axes tell would be learned far more slowly. Which colour is where, for example: in pictures of two things,
# the axes that know it vary very little.) The recipe whitens captions too, for the same reason: notebook 05, section 6.
#
# ### Exercise 4: Folding · ●●○ medium · 6 minutes
#
# A layer computes `weight @ x + bias`, with `weight` (O, D) and `bias` (O,). Return the weight and bias of a layer that
# does the same to $(x - \text{mean}) / \text{std}$ when it is given $x$.

# %% tags=["exercise"]
def fold_whitening(
    weight: torch.Tensor, bias: torch.Tensor, mean: torch.Tensor, std: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    raise NotImplementedError

# %%
checks.fold_whitening(fold_whitening)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Write out $W (x - m) / s + b$ and collect what is multiplied by $x$ and what is not. Column $d$ of $W$ belongs to axis
# $d$.
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
#
# Ours against the library's `Whitening`, which the recipe of section 7 folds in when its decoder is finished:

# %%
torch.manual_seed(0)
layer = nn.Linear(many.shape[1], 4)
weight, bias = checks.fold_whitening.reference(layer.weight, layer.bias, mean, std)
expected = layer((many - mean) / std)
Whitening(mean, std).fold_into(layer)
torch.testing.assert_close((layer.weight, layer.bias), (weight, bias))
torch.testing.assert_close(layer(many), expected, atol=1e-4, rtol=1e-4)
print("equal, and the same answers as after whitening by hand")

# %% [markdown]
# ## 6. How much noise to add
#
# A step of DDPM (notebook 03) draws $x_{t_\text{prev}}$ from a normal distribution. Its mean follows from the estimate
# of $x_0$. And its variance? There are two extremes (Ho et al., 2020, section 3.2):
#
# - if $x_0$ is known for certain: $\tilde\beta$, the variance of the posterior;
# - if nothing is known but that the data is normal with variance 1: $\beta$.
#
# We test both with single numbers and a large step. In one world $x_0$ is always 1, in the other one it is drawn from
# the normal distribution. What is left uncertain of $x_{t_\text{prev}}$ once $x_t$ is known?

# %%
beta, before = 0.36, 0.75                                                     # before: alpha_bar at t_prev
after = before * (1 - beta)                                                   # alpha_bar at t
beta_tilde = (1 - before) / (1 - after) * beta
g = torch.Generator().manual_seed(0)
for name, x_0 in {"always 1": torch.ones(200_000), "normal": torch.randn(200_000, generator=g)}.items():
    x_prev = sqrt(before) * x_0 + sqrt(1 - before) * torch.randn(200_000, generator=g)
    x_t = sqrt(1 - beta) * x_prev + sqrt(beta) * torch.randn(200_000, generator=g)
    cov = torch.stack([x_prev, x_t]).cov()
    print(f"x_0 {name:8}: variance left {cov[0, 0] - cov[0, 1] ** 2 / cov[1, 1]:.3f}")
print(f"beta_tilde {beta_tilde:.3f}, beta {beta:.3f}")

# %% [markdown]
# Pictures lie in between, and it differs from pixel to pixel: the sky is certain early, the edge of a thing is not.
# Does it matter? That depends on how long the steps are. The ratio of the two extremes, as standard deviations:

# %%
diffusion, lines = Diffusion(DiffusionConfig(target="eps", learned_variance=True)), {}
for count in (1000, 100, 25, 10):
    visited = torch.tensor(timesteps(count))
    low, high = diffusion.step_variances(visited[:-1], visited[1:], torch.zeros(count - 1, 1))
    lines[f"{count} steps"] = (visited[:-1].tolist(), (low / high).sqrt().flatten().tolist())
plots.curves(lines, "t", "least noise / most noise")

# %% [markdown]
# With 1000 steps the two agree nearly everywhere, and it does not matter which one we take. With 10 steps they are far
# apart: one choice adds too much noise, the other one too little.
#
# So let the network say it (Nichol & Dhariwal, 2021, equation 15). For every pixel and colour it returns a number $v$
# that mixes the *logarithms* of the two:
#
# $$\Sigma = \exp\big(v \log \beta + (1 - v) \log \tilde\beta\big)$$
#
# ### Exercise 5: Between the extremes · ●○○ easy · 4 minutes
#
# The network returns `logits` that count from -1 ($\tilde\beta$) to 1 ($\beta$). Return the variance.

# %% tags=["exercise"]
def learned_variance(logits: torch.Tensor, beta_tilde: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.learned_variance(learned_variance)

# %% [markdown]
# <details><summary>Hint</summary>
#
# First bring the logits to $v$ from 0 to 1. For logits of 0, the result is the geometric mean: between 0.01 and 0.04 it
# is 0.02.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def learned_variance(logits: torch.Tensor, beta_tilde: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
#     v = (logits + 1) / 2
#     return (v * beta.log() + (1 - v) * beta_tilde.log()).exp()
# ```
#
# </details>
#
# The library's version returns the logarithm. A stride from $t = 500$ to 400:

# %% tags=["nbval-check-output"]
logits, t, t_prev = torch.tensor([[-1.0, 0.0, 0.5, 1.0]]), torch.tensor([500]), torch.tensor([400])
low, high = diffusion.step_variances(t, t_prev, logits)
ours = checks.learned_variance.reference(logits, low, high)
torch.testing.assert_close(diffusion.log_variance(logits, t, t_prev).exp(), ours)
print("equal:", ours.numpy().round(3))

# %% [markdown]
# **How is it learned?** The usual loss compares predictions and knows no variance. The *variational bound* does: at
# each step it asks how far the distribution from which we draw is from the true one, which is known in training. That
# distance is the Kullback-Leibler divergence of two normal distributions. For equal means and the true variance 1:

# %% tags=["nbval-check-output"]
for variance in (0.25, 0.5, 1.0, 2.0, 4.0):
    by_hand = 0.5 * (1 / variance - 1 + log(variance))
    kl = gaussian_kl(torch.zeros(1), torch.zeros(1), torch.zeros(1), torch.tensor([log(variance)])).item()
    print(f"we draw with variance {variance:4}: KL {kl:.3f} (by hand {by_hand:.3f})")

# %% [markdown]
# Too little noise is punished harder than too much. The loss is a sum (their equation 16, with $\lambda = 0.001$):
#
# $$L_\text{hybrid} = L_\text{simple} + \lambda\, L_\text{vlb}$$
#
# $L_\text{simple}$ shall go on deciding about the picture, so the prediction inside $L_\text{vlb}$ is *detached*: only
# the variance learns from it. We can see that in the gradients. A stand-in for the network, so that nothing is trained
# by accident: one tensor of six channels.

# %% tags=["nbval-check-output"]
says = (0.1 * torch.randn(1, 6, 4, 4, generator=g)).requires_grad_()
x_0, eps, t = torch.zeros(1, 3, 4, 4), torch.randn(1, 3, 4, 4, generator=g), torch.tensor([300])
with torch.enable_grad():
    x_t = diffusion.q_sample(x_0, t, eps)
    prediction, logits = diffusion.split(says, x_t)
    diffusion.vlb_term(x_0, x_t, t, prediction, logits=logits).sum().backward()
print("L_vlb moves the prediction:", bool(says.grad[:, :3].any()), "- the variance:", bool(says.grad[:, 3:].any()))

# %%
simple = ((prediction - diffusion.target_of(x_0, t, eps)) ** 2).mean()
hybrid = simple + 0.001 * 1000 * diffusion.vlb_term(x_0, x_t, t, prediction, logits=logits)[0]
torch.testing.assert_close(diffusion.loss(lambda x_t, t: says, x_0, t, eps)[0], hybrid)
print("equal to the library's loss")

# %% [markdown]
# (The 1000: the bound is a sum over all timesteps, of which one is drawn.)
#
# ## 7. Training
#
# A step of the training, then: take pictures and captions, let CLIP make $z_i$ and the tokens, drop some of both, jump
# to a random $t$, ask, compare. *Dropping* is for guidance (section 9), which needs a network that can also do without:
# the paper drops $z_i$ 10% of the time and the caption 50% of the time. What is left, in 10,000 draws?

# %%
ids, empty = clip.tokenizer(["a star"]).expand(10_000, -1), clip.tokenizer([""])[0]
lost_z, lost_text = torch.rand(10_000, generator=g) < 0.1, (drop(ids, empty, 0.5, g) == empty).all(dim=1)
for name, case in {"z_i and the caption": ~lost_z & ~lost_text, "z_i alone": ~lost_z & lost_text,
                   "the caption alone": lost_z & ~lost_text, "nothing": lost_z & lost_text}.items():  # fmt: skip
    print(f"{name:20} {case.float().mean():.1%}")

# %% [markdown]
# (Section 5.1 of the paper says that the decoder was trained on the caption alone 5% of the time. The two numbers
# agree: a tenth of a half.) A dropped caption is the empty one. A dropped $z_i$ is replaced by a vector of its own,
# which is learned like any weight. And half of the timesteps come from the noisiest four tenths: what stands where is
# settled there. A new decoder, and the loss of one batch by hand:

# %%
recipe = DecoderRecipe(clip)
recipe.statistics = 1024                                    # pictures for the whitening; the full training takes more
torch.manual_seed(0)
model = recipe.build().to(device)
config = {"cpu": TrainConfig(steps=100, batch=32, lr=2e-3, warmup=20, ema=0.98),
          "gpu": recipe.profiles["gpu"]}[profile]  # fmt: skip
batch = next(batches(recipe, config)(0))
plots.show(pixels(batch.images[:8]), columns=8, side=96, title="from the first batch")

# %%
def loss_by_hand(model, batch, rng):
    images = pixels(batch.images)
    text, _ = recipe.read(drop(batch.ids, recipe.empty, 0.5, rng))             # encoded, and whitened
    z = recipe.whiten_z(batch.z_i)                                             # CLIP's of these pictures
    lost = (torch.rand(len(z), generator=rng) < 0.1).to(device)
    z = torch.where(lost[:, None], model.null_z, z)
    t = random_timesteps(len(z), 1000, rng, noisy=0.5).to(device)
    eps = torch.randn(images.shape, generator=rng).to(device)
    return model.diffusion.loss(lambda x_t, t: model(x_t, t, z, text), images.to(device), t, eps).mean()

ours, theirs = (loss(model, batch, torch.Generator().manual_seed(1)) for loss in (loss_by_hand, recipe.loss))
torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
print(f"the loss of a new decoder: {ours:.3f}, equal to the recipe's")

# %% [markdown]
# The rest is the library's loop:

# %%
torch.set_grad_enabled(True)
trainer, records = Trainer(model, config), []
for record in trainer.run(recipe.loss, batches(recipe, config)):
    records.append(record)
    if record.step in (1, 10, config.steps // 4, config.steps // 2, config.steps):
        print(f"step {record.step:5}: loss {record.loss:.3f}")
torch.set_grad_enabled(False)

# %%
plots.loss_curve(records, "decoder")

# %% [markdown]
# What can such a decoder do? The whitening is folded in, and it is asked for our two scenes:

# %%
recipe.finish(trainer.ema)
young, condition = trainer.ema.eval(), trainer.ema.condition(z_i, silence.repeat(2))
noise = noise_stream((2, 3, side, side), generators(0, 2), device)
early = last(ddim(young.diffusion, lambda x_t, t: young(x_t, t, condition=condition), noise, 15)).clamp(-1, 1)
plots.show([renders[0], early[0], renders[1], early[1]], ["the picture", "after a short training"] * 2, seed=0)

# %% [markdown]
# That is all it has learned of $z_i$ so far:

# %%
day, night = early.mean(dim=(1, 2, 3)).tolist()
claims.check(f"The picture by day is lighter ({day:.2f} in the mean) than the one at night ({night:.2f}).",
             day > night + 0.1)

# %% [markdown]
# Areas of the right colour come next, and shapes later, when the loss hardly falls any more. That is normal; "my
# decoder draws noise" means at first that it needs more time, not another network.
#
# ## 8. The finished decoder
#
# **Loading the finished weights.** From here on, the decoder is the one that the notebook began with: the same kind of
# network, trained for thousands of steps. [data/README.md](../data/README.md) says how long.
#
# **What does each way of putting $z_i$ in do?** We take one of them away: the time embedding gets the real $z_i$ and
# the tokens the one that stands for "unknown", and the other way round. Forty unseen pictures with one thing each, no
# guidance. The judge reads which facts of the original are true of the drawing. (Training always dropped both ways at
# once, so two of these rows are inputs that the network has never met.)

# %%
judge, n = Judge.from_pretrained("scenes", device), 40
items = (Scenes("test", seed=3)[i] for i in range(1000))
items = list(islice((item for item in items if item.scene.layout == "alone"), n))
print(*(item.caption for item in items[:4]), "...", sep="\n")

# %%
originals, truth = torch.stack([item.image(side) for item in items]).to(device), [item.scene for item in items]
z, text, empty = clip.encode_image(originals), clip.encode_text([item.caption for item in items]), silence.repeat(n)
print(f"the judge on the originals themselves: {same_facts(truth, judge.read(originals))['scene']}")

# %%
known, unknown = decoder.condition(z, empty), decoder.condition(None, empty)
ways = {"z_i both ways": known, "z_i added only": Condition(known.added, unknown.context),
        "z_i as tokens only": Condition(unknown.added, known.context), "nothing": unknown,
        "caption only": decoder.condition(None, text), "z_i and caption": decoder.condition(z, text)}  # fmt: skip
found = {name: draw(lambda x_t, t, c=c: decoder(x_t, t, condition=c), n) for name, c in ways.items()}
shown, names = [originals[:7], *(images[:7] for images in found.values())], ["the originals", *found]
plots.show(torch.cat(shown), [word for name in names for word in (name, *[""] * 6)], columns=7, side=96, seed=0)

# %%
facts = ("kind", "colour", "size", "background", "style")
right = {name: same_facts(truth, judge.read(images)) for name, images in found.items()}
table = torch.tensor([[shares[fact].value for fact in facts] for shares in right.values()])
plots.heatmap(table, list(right), facts, "share of the drawings in which the fact is true")

# %% [markdown]
# an = {name: row.mean().item() for name, row in zip(right, table, strict=True)} aims.check(f"With both ways {mean['z_i
# both ways']:.0%} of the facts are right, with the added $z_i$ alone " f"{mean['z_i added only']:.0%}, with the tokens
# alone {mean['z_i as tokens only']:.0%}.", mean["z_i both ways"] > max(mean["z_i added only"], mean["z_i as tokens
# only"])) aims.check(f"With nothing {mean['nothing']:.0%} are right. Guessing has one kind in eight, one colour in
# eight, one size " f"in two, one background in five and one style in six: {(2 / 8 + 1 / 2 + 1 / 5 + 1 / 6) / 5:.0%} in
# the mean.", abs(mean["nothing"] - 0.22) < 0.15) aims.check(f"Here the caption adds hardly anything to $z_i$
# ({mean['z_i and caption']:.0%}): with one thing, $z_i$ tells " "it all.", abs(mean["z_i and caption"] - mean["z_i both
# ways"]) < 0.06)  # fmt: skip

# %% [markdown]
# What was added reaches all positions alike; to draw a shape, positions must do different things. The paper kept the
# caption in the hope that it would tell what CLIP forgets, such as which colour belongs to which thing, and found that
# it "offers little help" (section 2.1). Notebook 10 asks that with two things.
#
# **What CLIP keeps.** A drawing from the true $z_i$ shows what CLIP saw of the original. The facts, in the row "both
# ways", are one half of the answer. The other half is what is *not* kept: where exactly things stand. We measure it
# three times, between two drawings of the same $z_i$ and between drawings of different ones: in $z_i$, in pixels, and
# in the place of the thing as the judge reads it.

# %%
def differences(one, other):
    cosine = F.cosine_similarity(clip.encode_image(one), clip.encode_image(other)).mean().item()
    places = [judge.places(images)[:, 0] for images in (one, other)]
    return cosine, (one - other).abs().mean().item(), (places[0] - places[1]).norm(dim=1).mean().item()

again = draw(lambda x_t, t: decoder(x_t, t, condition=known), n, seed=100)
one = found["z_i both ways"]
pairs = {"same z_i, other noise": (one, again), "another z_i, same noise": (one, one.roll(1, dims=0)),
         "two true pictures": (originals, originals.roll(1, dims=0))}
for name, (a, b) in pairs.items():
    cosine, pixels_differ, moved = differences(a, b)
    print(f"{name:24} cosine of z_i {cosine:.2f}, pixels differ by {pixels_differ:.2f}, places by {moved:.2f}")

# %%
cosine, _, moved = differences(one, again)
usual = differences(*pairs["two true pictures"])[2]
claims.check(f"To CLIP two drawings of one $z_i$ are nearly the same picture (cosine {cosine:.2f}), but the thing "
             f"stands elsewhere: {moved:.2f} of a side away, where two pictures of the world differ by {usual:.2f}.",
             cosine > 0.9 and moved > 0.4 * usual)

# %% [markdown]
# ## 9. Guidance
#
# The decoder is asked twice, with $z_i$ and without, and goes on in the direction of the difference (section 2.1;
# notebook 03, section 7). Without means: the learned vector for "unknown", and the empty caption.
#
# $$\hat\epsilon = \epsilon(x_t) + w\, \big(\epsilon(x_t \mid z_i, y) - \epsilon(x_t)\big)$$
#
# By hand and with the library:

# %%
x_t, t, w = torch.randn(n, 3, side, side, generator=g).to(device), torch.full((n,), 600, device=device), 3
without, with_z = (decoder(x_t, t, condition=c)[:, :3] for c in (unknown, known))
by_hand = without + w * (with_z - without)
guided = cascade.decoder_denoiser(z, empty, w)(x_t, t)
torch.testing.assert_close(guided[:, :3], by_hand, atol=1e-3, rtol=1e-3)
print("equal; the three variance channels are those of the answer with z_i:",
      torch.allclose(guided[:, 3:], decoder(x_t, t, condition=known)[:, 3:], atol=1e-3))  # fmt: skip

# %% [markdown]
# Is more guidance better? For the forty pictures: the facts that are right, and how many colour values lie at the very
# limit, -1 or 1.

# %%
scales = (0, 1, 2, 4, 15)
guided = {w: draw(cascade.decoder_denoiser(z, empty, w), n) for w in scales}
shares = {w: same_facts(truth, judge.read(images)) for w, images in guided.items()}
print(*(f"w = {w:2}: all facts right {shares[w]['scene']}" for w in scales), sep="\n")

# %%
lines = {fact: (scales, [shares[w][fact].value for w in scales]) for fact in ("kind", "colour", "style")}
lines["values at the limit"] = (scales, [(guided[w].abs() > 0.98).float().mean().item() for w in scales])
lines["... in the originals"] = ((0, 15), [(originals.abs() > 0.98).float().mean().item()] * 2)
plots.curves(lines, "guidance w", "share")

# %% [markdown]

# %%
at_limit = dict(zip(scales, lines["values at the limit"][1], strict=True))
all_right = {w: shares[w]["scene"].value for w in scales}
claims.check(f"Without guidance {all_right[1]:.0%} of the pictures show all facts of the original, at w = 2 "
             f"{all_right[2]:.0%}, at w = 15 {all_right[15]:.0%}.", all_right[2] >= all_right[1] - 0.03)
claims.check(f"At w = 15 {at_limit[15]:.0%} of all values lie at the limit. In the originals "
             f"{lines['... in the originals'][1][0]:.0%} do.", at_limit[15] > 2 * lines["... in the originals"][1][0])

# %% [markdown]
# That is *saturation*: colours glare, and shading is gone. The difference of two answers goes on pushing where nothing
# is left to say. Compare by eye. The pages were drawn beforehand and need no kernel:

# %% tags=["nbval-ignore-output"]
decoded_grid(cascade, renders[0], "from the z_i of the flower")

# %% [markdown]
# With a kernel: another picture, another seed, and $z_i$ by one way only. Is strong guidance able to make up for
# a way that is missing?

# %% tags=["nbval-ignore-output"]
DecoderExplorer(cascade, {"a pink flower on a meadow": renders[0], "a moon and a square at night": renders[1],
                          **{f"test: {item.caption}": item.image(side) for item in items[:3]}})  # fmt: skip

# %% [markdown]
# ## 10. Few steps
#
# What is the learned variance worth when steps are few? First: what has the network learned? The mean of $v$, 0 for the
# least and 1 for the most noise, in the originals noised to each $t$:

# %%
diffusion = decoder.diffusion

def asked(t):
    t = torch.full((n,), t, device=device)
    x_t = diffusion.q_sample(originals, t, torch.randn(originals.shape, generator=g).to(device))
    return (diffusion.split(decoder(x_t, t, condition=known), x_t)[1].mean().item() + 1) / 2

ts = (1, 10, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 998)
plots.curves({"the finished decoder": (ts, [asked(t) for t in ts])}, "t", "v")

# %% [markdown]
# Nothing keeps the network's $v$ between 0 and 1, and some of its answers lie beyond. Then it asks for less noise than
# the least or for more than the most, which no true $x_0$ can need. So there is a fourth choice: the learned $v$, cut
# off at 0 and 1.
#
# Now the variational bound itself, in *bits per dimension*: how many bits one colour of one pixel would cost if the
# model were used to compress pictures. It measures the whole chain of steps, the less the better. We compute it for
# chains of different lengths, with all four choices:

# %%
def bits(count, rows=6):
    """Bits per dimension of a chain of `count` steps: (learned, cut off, least noise, most noise)."""
    x_0, total = originals[:rows], torch.zeros(4)
    condition = decoder.condition(z[:rows], empty[:rows])
    for now, then in zip(timesteps(count), [*timesteps(count)[1:], -1], strict=True):
        t, t_prev = (torch.full((rows,), at, device=device) for at in (now, then))
        x_t = diffusion.q_sample(x_0, t, torch.randn(x_0.shape, generator=g).to(device))
        output = decoder(x_t, t, condition=condition)
        logits, guess = output[:, 3:].float(), diffusion.estimate(output, x_t, t)[0]
        true, mean = (diffusion.posterior(x, x_t, t, t_prev)[0] for x in (x_0, guess))
        true_log = diffusion.log_variance(-torch.ones_like(logits), t, t_prev)
        choices = (logits, logits.clamp(-1, 1), -torch.ones_like(logits), torch.ones_like(logits))
        for number, chosen in enumerate(choices):
            ours = diffusion.log_variance(chosen, t, t_prev)
            last_step = -log_likelihood_8bit(x_0, mean, ours)
            term = gaussian_kl(true, true_log, mean, ours) if t_prev[0] >= 0 else last_step
            total[number] += term.mean().item() / log(2)
    return total

# %%
counts = (5, 10, 20, 40)
table = torch.stack([bits(count) for count in counts], dim=1)
names = ("learned", "learned, cut off", "least noise", "most noise")
for name, line in zip(names, table, strict=True):
    print(f"{name:16}", *(f"{count} steps {value:8.2f}" for count, value in zip(counts, line, strict=True)), sep="  ")
plots.curves({name: (counts, line.log2().tolist()) for name, line in zip(names, table, strict=True)}, "steps",
               "log2 of the bits per dimension", log_x=True)  # fmt: skip

# %% [markdown]
# The least noise is right only for someone who knows $x_0$. A network that is wrong about it and adds the least pays
# dearly, because it is sure of something false. The most noise is safe, but vague.

# %%
at_forty, at_five = (dict(zip(names, table[:, i].tolist(), strict=True)) for i in (-1, 0))
claims.check("With 40 steps the learned variance, cut off, is the best of the four: "
             f"{at_forty['learned, cut off']:.1f} bits, against {at_forty['most noise']:.1f} with the most noise "
             f"and {at_forty['least noise']:.1f} with the least.",
             at_forty["learned, cut off"] <= min(at_forty.values()))
claims.check(f"With 5 steps it is not: {at_five['learned, cut off']:.1f} bits, against {at_five['most noise']:.1f} "
             "with the most noise.", at_five["learned, cut off"] > at_five["most noise"])

# %% [markdown]
# $v$ was learned for steps of a single timestep, and over a long stride the network is less sure of $x_0$ than this $v$
# says. (In section 4 of Nichol & Dhariwal, 100 steps with the learned variance are nearly as good as thousands, and
# below 50 DDIM is better.)
#
# And in pictures? Ancestral sampling (DDPM) from the same noise with the three variances, by putting other logits in
# the place of the network's, and DDIM, which adds no noise at all:

# %%
def with_logits(denoiser, value):
    def changed(x_t, t):
        output = denoiser(x_t, t)
        return torch.cat([output[:, :3], torch.full_like(output[:, 3:], value)], dim=1)
    return changed

def from_z(x_t, t):
    return decoder(x_t, t, condition=few)

few = decoder.condition(z[:6], empty[:6])
choices = {"learned": from_z, "least noise": with_logits(from_z, -1.0), "most noise": with_logits(from_z, 1.0)}

# %%
drawn = {}
for steps in (6, 25):
    for name, denoiser in choices.items():
        drawn[f"{name} ({steps})"] = draw(denoiser, 6, steps=steps, sampler=ddpm)
    drawn[f"DDIM ({steps})"] = draw(from_z, 6, steps=steps)
shown = [image for images in drawn.values() for image in images[:4]]
plots.show(shown, [word for name in drawn for word in (name, *[""] * 3)], columns=4, side=104, seed=0,
           title="in brackets: the number of steps")  # fmt: skip

# %% [markdown]
# How grainy is a picture? Subtract from each pixel the mean of the nine around it, and take the size of what is left.
# Edges count, too, so compare with the originals:

# %%
def grain(images):
    return (images - F.avg_pool2d(images, 3, stride=1, padding=1)).abs()[..., 1:-1, 1:-1].mean().item()

grains = {"the originals": grain(originals[:6])} | {name: grain(images) for name, images in drawn.items()}
plots.bars(grains, "grain")

# %%
claims.check(f"With 6 steps the most noise leaves grain in the picture: {grains['most noise (6)']:.3f}, where the "
             f"originals have {grains['the originals']:.3f}. The least makes it smooth: "
             f"{grains['least noise (6)']:.3f}.",
             grains["most noise (6)"] > grains["the originals"] > grains["least noise (6)"])

# %% [markdown]
# With more steps all choices come closer, as the ratio of section 6 says. The paper's decoder takes 250 ancestral steps
# with the learned variance (Table 3). For our small one we use DDIM with few steps: a step without fresh noise has no
# variance to get wrong.
#
# ## Summary
#
# | | |
# | --- | --- |
# | ResBlock | normalise, bend, convolve, twice; added to what came in; told the time by scale and shift |
# | U-Net | down to few positions, up again; skips carry the detail across |
# | patches | pixels as channels: a smaller side, a fraction of the work |
# | attention | one softmax over context and picture; the context's keys and values are computed once |
# | $z_i$ | added to the time embedding, and as four tokens; whitened, so that small axes count |
# | dropping | $z_i$ 10%, caption 50%: one network with and without, which guidance compares |
# | learned variance | mixes the logarithms of $\tilde\beta$ and $\beta$; learned from $L_\text{vlb}$ alone |
# | few steps | the learned variance does not pay; DDIM, which adds no noise, draws well with 15 |
# | guidance | more facts come true, up to a point; then colours saturate |
#
# ## Questions
#
# <details><summary>Why is z_i added to the time embedding and not to the picture?</summary>
#
# The time embedding reaches every ResBlock at every size, as a scale and a shift of the channels. The picture passes
# only through the first layer. And $z_i$ has no places: nothing says which of its numbers belongs to which pixel.
#
# </details>
#
# <details><summary>Why tokens as well?</summary>
#
# A scale and a shift are the same at all positions. By attention, each position can take something else from $z_i$,
# depending on what is already there in $x_t$.
#
# </details>
#
# <details><summary>The decoder is given the true z_i and yet draws a wrong kind. Whose fault is it?</summary>
#
# CLIP's, if $z_i$ does not tell the kinds apart: ask it zero-shot (notebook 02). The decoder's, if it does: then $z_i$
# of the drawing differs from the one that was given. Section 8 prints that cosine.
#
# </details>
#
# <details><summary>Why is the variance not simply one more output, trained by its own squared error?</summary>
#
# There is no true variance to compare with: each training picture shows one outcome, not the spread of outcomes. The
# bound judges a whole distribution by the outcome that came. And a free number could be negative or far off; mixing two
# known extremes cannot.
#
# </details>
#
# <details><summary>Would guidance work if nothing had been dropped in training?</summary>
#
# No. The network would never have seen "unknown", and its answer there would be arbitrary. So would be the difference
# that guidance follows.
#
# </details>
#
# ## Where to read on
#
# - The code: [networks/unet.py](../minunclip/networks/unet.py) is sections 2 to 4,
#   [decoder.py](../minunclip/decoder.py) section 5, [diffusion/process.py](../minunclip/diffusion/process.py)
#   section 6, [training/recipes/decoder.py](../minunclip/training/recipes/decoder.py) section 7. Their tests compare
#   the network with diffusers', weight by weight.
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125): section 2.1 for the decoder, 5.1 for what happens
#   without a prior, Appendix C and Table 3 for sizes and steps.
# - Nichol et al., [GLIDE](https://arxiv.org/abs/2112.10741) (2021), section 2: the decoder before $z_i$ was put in.
# - Dhariwal & Nichol, [Diffusion models beat GANs](https://arxiv.org/abs/2105.05233) (2021), section 3: the U-Net, and
#   which of its parts matter. Nichol & Dhariwal, [Improved DDPM](https://arxiv.org/abs/2102.09672) (2021), sections 3.1
#   and 4: the learned variance, and few steps.
# - Ronneberger et al., [U-Net](https://arxiv.org/abs/1505.04597) (2015). Wu & He,
#   [Group normalization](https://arxiv.org/abs/1803.08494) (2018). Perez et al.,
#   [FiLM](https://arxiv.org/abs/1709.07871) (2018).
