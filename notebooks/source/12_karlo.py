# %% [markdown]
# # 12 · Released cascades: from a caption to a photograph
#
# Everything so far was a toy: one world of scenes, a few million weights. Two unCLIPs of full size have been released,
# and this library runs both. *Karlo* ([Kakao Brain](https://github.com/kakaobrain/karlo), 2022) learned from 115
# million captioned pictures and draws 64 and 256 pixels. *Kandinsky 2.2* (Sber AI, 2023) draws 512 pixels and more. No
# class of this library changes for them. A config and a weight file do.
#
# **What it costs you.** Fetching is done once, and each network is halved as it comes:
#
# | | Karlo, 256 pixels | Karlo, 1024 | Kandinsky 2.2, 768 |
# | --- | --- | --- | --- |
# | to fetch | 13.7 GB | 15.4 GB | 15.9 GB |
# | disk, while it comes | 9.3 GB | 9.3 GB | 12.6 GB |
# | disk, afterwards | 6.8 GB | 8.5 GB | 9.8 GB |
# | licence | Open RAIL-M | Open RAIL-M, twice | Apache 2.0 |
# | besides this library | nothing | the extra `upscale` | the extra `upscale` |
#
# And a picture, by machine:
#
# | you have | precision | where the weights are | Karlo, a picture of 256 pixels |
# | --- | --- | --- | --- |
# | two CPU cores, 16 GB of RAM | bfloat16 | in RAM, or in their files (3 GB) | 2 minutes, measured |
# | older CPU cores | float32 | in their files (6 GB) | 4 minutes, measured |
# | a GPU of 16 GB, such as a free T4 | float16 | on the GPU | not run here; section 5 estimates |
# | a GPU of 6 or 8 GB | half precision | in RAM, one network on the GPU | not run here |
# | a Mac with 16 GB | float32 | in their files | not run here |
#
# The measured times are with random weights of the true sizes, on two cores of an AMD EPYC. Kandinsky has been run here
# with tiny networks only: how long it takes at full size is not known.

# %%
import json
import os
import time
from pathlib import Path

import torch

# %% [markdown]
# **Which weights?** Say so here, before you run the rest. `"karlo"` fetches Karlo's, once. The path of a folder takes
# what you have: a copy of Karlo's repository, or its makers' own checkpoints. With `None` this notebook takes Karlo if
# it has been fetched already. If it has not, it writes a **stand-in**: a folder of the same layout with the same kinds
# of networks, far narrower, whose weights are random numbers.

# %%
weights = None                                    # or "karlo", or "path/to/a/folder"
if weights:
    os.environ["MINUNCLIP_KARLO"] = weights       # what a shell would set before it starts Jupyter

# %%
import shutil
import tempfile
from minunclip.common import best_device
from minunclip.pretrained import RELEASES, cached, write_karlo

narrow = write_karlo(Path(tempfile.mkdtemp()) / "narrow")
model = os.environ.get("MINUNCLIP_KARLO") or cached(RELEASES["karlo"])
stand_in = not model
model, device = model or narrow, best_device()
torch.set_grad_enabled(False)                     # nothing is trained in this notebook
print(f"running on {device.type}, with", "the STAND-IN: random weights" if stand_in else model)

# %% [markdown]
# Random weights draw noise. But the stand-in runs each line that Karlo runs. So what does not depend on the weights
# (names, sizes, costs, memory, equality) is shown for real here, one picture shows the noise, labelled as such, and all
# others wait for your copy of the weights. **We have not run this notebook with the released weights.** Section 3 says
# what is proved instead, and how.
#
# **What you will see**
#
# 1. How Karlo differs from our scenes, and from the paper: a few numbers in a config.
# 2. Reading the weights of others: names, packed heads, and every tensor accounted for.
# 3. How one proves that a network is *the same*, and mistakes that no error message tells.
# 4. A caption drawn, stage by stage.
# 5. What each stage costs, counted.
# 6. Three ways to fit it into a small GPU, or none.
# 7. Beyond 256 pixels: an upscaler, and Kandinsky 2.2, the second released cascade.
# 8. A picture of your own: variations, a way between two pictures, a change put into words.
#
# **What you need to know before:** the stages and how they are sampled, notebooks 05, 07 and 08, or at least the tour.
#
# **What a whole run costs,** as measured when this notebook was last built (with the stand-in, if it was on a CPU):

# %% tags=["cost"]
from minunclip import plots

plots.cost_table("12_karlo")

# %% [markdown]
# Reading takes about 35 minutes, the four exercises another 25. If you are short of time, read sections 3 and 7.
#
# ## 1. The same code, other numbers
#
# The library can build a network without memory for its weights, to look at its shape. Here are Karlo's networks in
# full size, beside those that draw the scenes:

# %%
from dataclasses import replace

import minunclip
from minunclip.clip import CLIP
from minunclip.decoder import Decoder
from minunclip.pretrained import DEFAULT, Weightless
from minunclip.prior import DiffusionPrior
from minunclip.upsampler import Upsampler

with Weightless():
    karlo = {"text encoder": CLIP(replace(DEFAULT.clip, image_layers=0)), "prior": DiffusionPrior(DEFAULT.prior),
             "decoder": Decoder(DEFAULT.decoder), "upsampler": Upsampler(DEFAULT.upsampler)}
toy = minunclip.load("scenes")
scenes = {"text encoder": toy.clip.text, "prior": toy.prior, "decoder": toy.decoder, "upsampler": toy.upsamplers[0]}
for name in karlo:
    ours, theirs = (sum(p.numel() for p in net[name].parameters()) / 1e6 for net in (scenes, karlo))
    print(f"{name:13} scenes {ours:6.1f}   Karlo {theirs:8.1f} million weights")

# %% [markdown]
# The two are instances of the same classes. What makes the decoder a larger one:

# %%
wide, small = karlo["decoder"].config.unet, toy.decoder.config.unet
for field in vars(wide):
    if getattr(wide, field) != getattr(small, field):
        print(f"{field:14} scenes {getattr(small, field)!s:12} Karlo {getattr(wide, field)}")

# %% [markdown]
# And the diffusion processes. What a network predicts is a choice (notebook 03), and Karlo made its own:

# %%
for name in ("prior", "decoder", "upsampler"):
    for whose, network in (("scenes", scenes[name]), ("Karlo", karlo[name])):
        process = network.config.diffusion
        print(f"{name:10} {whose:6} x_0 clipped at {process.clip:g}, predicts {process.target}"
              + " and its variance" * process.learned_variance)

# %% [markdown]
# Nor is Karlo the paper's model. It is what a smaller budget made of the same plan:
#
# | | paper (Table 3) | Karlo |
# | --- | --- | --- |
# | CLIP | ViT-H/16, 256 px, trained for it | OpenAI's ViT-L/14, taken as it is |
# | prior | diffusion, 24 layers, 1B | diffusion, 20 layers, 1.0B |
# | decoder | 3.5B, with a text Transformer of its own | 0.9B, reads CLIP's tokens instead |
# | 64 → 256 | 700M, 27 steps of DDIM | 0.7B, 7 steps; a second network for the last one |
# | 256 → 1024 | 300M, 15 steps | none was released |
# | candidates of $z_i$ | two, the better one is kept | one |
# | prior guidance | found to hurt, so none | 4 |
#
# ## 2. Reading the weights of others
#
# A weight file is a dictionary: names and tensors. Karlo's uses the names of
# [diffusers](https://github.com/huggingface/diffusers), we use ours. A table of replacements for each network is all
# that lies between. For the prior:

# %% tags=["nbval-check-output"]
from minunclip.pretrained import PRIOR, LazyStage, prior_part, translate

for name in ("time_embedding.linear_1.weight", "embedding_proj.weight", "prd_embedding", "clip_std",
             "transformer_blocks.7.attn1.to_k.bias", "transformer_blocks.7.norm3.weight"):
    print(f"{name:38} is our  {translate(name, PRIOR)}")

# %% [markdown]
# The whole table is in [pretrained/diffusers_folder.py](../minunclip/pretrained/diffusers_folder.py). Watch the last
# line: the second norm of a block is called `norm3` there, because another kind of block has one in between. A name is
# what somebody called a thing.
#
# **Every tensor is accounted for.** It is tempting to load what fits and to ignore the rest; PyTorch's `strict=False`
# does so without a word, and a network with one random layer draws *almost* right. Here a missing, an unknown or a
# misshapen tensor is an error that names it. We ask for one layer more than the file has:

# %% tags=["nbval-check-output"]
config = narrow / "prior" / "config.json"
written = config.read_text()
config.write_text(json.dumps(json.loads(written) | {"num_layers": 4}))
try:
    LazyStage.of(prior_part(narrow))
except ValueError as error:
    print(str(error).partition("safetensors: ")[2])
config.write_text(written)
print("put right again:", len(LazyStage.of(prior_part(narrow)).load().transformer.blocks), "layers")

# %% [markdown]
# **Right name, right shape, wrong order.** The makers' own checkpoints (the loader reads those, too) keep queries,
# keys and values of an attention in *one* matrix. Ours does that as well: first all rows of $q$, then all of $k$, then
# all of $v$. Theirs goes head by head: $q$, $k$ and $v$ of the first head, then those of the second, and so on. Both
# have the same shape. No error will tell you.
#
# ### Exercise 1: Packed heads · ●●○ medium · 7 minutes
#
# `packed` is (3 D, W): for each head one after the other its rows of $q$, of $k$ and of $v$, all of the same number.
# Return $q$, $k$ and $v$ stacked, (3, D, W), each with its heads in order.

# %% tags=["exercise"]
from einops import rearrange
from minunclip.course import checks

def unpack_qkv(packed: torch.Tensor, heads: int) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.unpack_qkv(unpack_qkv)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The rows have three indices: which head, which of the three, which row in it. `rearrange` can split the first axis
# into `(head part row)`. Then bring `part` to the front and join the other two again.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def unpack_qkv(packed: torch.Tensor, heads: int) -> torch.Tensor:
#     return rearrange(packed, "(head part row) w -> part (head row) w", head=heads, part=3)
# ```
#
# </details>
#
# ## 3. Is it the same network?
#
# A picture that looks good proves little: a diffusion model forgives a lot. What proves it is equality. Fill another
# program with the same weights, give both the same input, compare the numbers. Two correct programs differ by rounding
# only. How large is that? Not a question for absolute numbers, so we divide by the size of what we expect:
#
# $$\text{relative error} = \frac{\sqrt{\text{mean}\,(y - \hat y)^2}}{\sqrt{\text{mean}\, \hat y^2}}$$
#
# ### Exercise 2: How close is equal? · ●○○ easy · 4 minutes
#
# The relative error of `found` against `expected`, tensors of any one shape, as a number.

# %% tags=["exercise"]
def relative_rms(found: torch.Tensor, expected: torch.Tensor) -> float:
    raise NotImplementedError

# %%
checks.relative_rms(relative_rms)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `.pow(2).mean().sqrt()` is the root mean square of a tensor. Square before you average: differences of both signs
# would cancel.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def relative_rms(found: torch.Tensor, expected: torch.Tensor) -> float:
#     return float((found - expected).pow(2).mean().sqrt() / expected.pow(2).mean().sqrt())
# ```
#
# </details>
#
# Now let us make mistakes on purpose, on the narrow networks, one at a time. None of them is an error for PyTorch.
# First the inputs, and what the right networks answer:

# %%
from copy import deepcopy
from minunclip.networks import QuickGELU

right = minunclip.load(narrow)
g = torch.Generator().manual_seed(0)
x, z_i, t = torch.randn(2, 3, 64, 64, generator=g), torch.randn(2, 32, generator=g), torch.tensor([500, 20])
captions = ["a corgi playing a flame-throwing trumpet", "two red cubes"]

def answers(networks):
    text = networks.encode_text(captions)
    return {"text encoder": text.embed, "prior": networks.prior(z_i, t, text),
            "decoder": networks.decoder(x, t, z_i, text)}

expected = answers(right)
print({name: tuple(answer.shape) for name, answer in expected.items()})

# %% [markdown]
# Then the mistakes. Each is one that somebody who writes such a loader makes sooner or later:

# %%
def other_gelu(c):                                # CLIP was trained with x * sigmoid(1.702 x), the prior with GELU
    for block in c.prior.transformer.blocks:
        block.mlp[1] = QuickGELU()

def tokens_in_a_row(c):                           # the four tokens of z_i are interleaved in one vector
    layer = c.decoder.z_to_tokens
    layer.weight.data = rearrange(layer.weight.data, "(k d) w -> (d k) w", k=4)

def sines_first(c):                               # cosines come first in the time embedding
    layer = c.decoder.unet.time[0]
    layer.weight.data = layer.weight.data.roll(layer.in_features // 2, 1)

def other_eps(c):                                 # a norm adds 1e-5 under its root, not 1e-6
    for module in c.prior.modules():
        module.eps = 1e-6

def heads_mixed(c):                               # exercise 1, forgotten in one of the blocks
    qkv = c.prior.transformer.blocks[1].attention.qkv
    qkv.weight.data = rearrange(qkv.weight.data, "(part head row) w -> (head part row) w", part=3, head=4)

# %%
def error_of(mistake, network):
    wrong = deepcopy(right, {id(right.clip.tokenizer): right.clip.tokenizer})
    mistake(wrong)
    return checks.relative_rms.reference(answers(wrong)[network], expected[network])

found = {"double precision, no mistake": error_of(lambda c: c.prior.double(), "prior")}
for mistake, network in ((other_eps, "prior"), (other_gelu, "prior"), (heads_mixed, "prior"),
                         (tokens_in_a_row, "decoder"), (sines_first, "decoder")):
    found[f"{mistake.__name__} ({network})"] = error_of(mistake, network)
for name, error in found.items():
    print(f"{name:30} {error:.0e}")

# %%
from minunclip.course import claims

rounding, *mistakes = found.values()
claims.check(f"Rounding moves the answer by {rounding:.0e}, and the smallest of these mistakes by "
             f"{min(mistakes):.0e}: the limit of 5e-6 lies between them.",
             rounding < 5e-6 < min(mistakes))

# %% [markdown]
# So there is a gap between rounding and the smallest mistake, and the limit goes into it. The tests of this library
# ([tests/parity](../tests/parity)) hold every network of both releases to 5e-6 against diffusers and transformers, at
# several $t$, and then each of these mistakes, and others, must break the limit. With random weights that leave
# nothing at zero this proves the code; a released weight file then has nothing left to prove but its own quality.
#
# **A whole picture is harder to compare.** Sampling is chaotic where an estimate meets the clip: a rounding error
# decides on which side of it a pixel lands, and the next 24 steps build on that. A few pixels may differ
# widely between two correct programs. So the whole run, with the same noise in both, is held to a limit that
# nine pixels in ten must keep.
#
# ## 4. A caption drawn
#
# Karlo's CLIP reads parts of words, *byte pairs*, from a list of 49,408, so it knows every word. It reads 75 of them.
# A longer caption is cut, and you are told where:

# %% tags=["nbval-check-output"]
import warnings

with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    right.encode_text(["a corgi " + "and another corgi " * 24 + "playing a trumpet"])
print(told[0].message)

# %% [markdown]
# Now load the model (on the GPU in half precision, if there is one) and draw. The makers' settings: DDPM in all three
# stages, guidance 4 in the prior and 8 in the decoder. The stand-in takes fewer steps, since more do not help noise.

# %%
from minunclip.common import best_dtype

dtype = torch.float32 if stand_in else best_dtype(device)
cascade = minunclip.load(model, device, dtype)
settings = cascade.settings
if stand_in:
    settings = replace(settings, prior_steps=6, decoder_steps=6, upsampler_steps=(3,))
print(cascade.sizes, "pixels, weights", cascade.memory)
print(settings)

# %%
caption, seed, seconds, start = "a corgi playing a flame-throwing trumpet", 0, {}, time.perf_counter()
stream, steps = cascade.stream([caption], seed, settings=settings), {}
for progress in stream:
    steps.setdefault(progress.stage, []).append(progress.step)
    seconds[progress.stage] = time.perf_counter() - start
drawing = stream.result
print({stage: f"done after {took:.1f} s" for stage, took in seconds.items()})

# %%
from PIL import Image, ImageDraw, ImageFont

def labelled(figure):
    """A figure, and across it that it is noise, if it is."""
    if not stand_in:
        return figure
    image, told = figure.image.convert("RGB"), "noise: the weights are random"
    where, font = (image.width / 2, image.height / 2), ImageFont.load_default(image.width // 18)
    pen = ImageDraw.Draw(image)
    pen.text(where, told, "white", font, "mm", stroke_width=4, stroke_fill="black")
    return plots.Picture(image, f"{told}; {figure.alt}")

labelled(plots.cascade_figure(drawing, side=192))

# %% [markdown]
# With Karlo this is the corgi of the paper's Figure 2, or should be. Random networks draw confetti: their guess of
# $\epsilon$ is no guess at all, so each estimate of $x_0$ is far outside of -1 to 1 and is clipped.
#
# **The prior**, from $z_t$ to $z_i$. Both are raw here, as CLIP makes them, and their lengths differ; CLIP compares
# directions only, but the decoder reads the raw numbers. Karlo's prior therefore works in a *whitened* space (mean 0,
# deviation 1 in each number) and undoes it at the end:

# %%
import torch.nn.functional as F

whitened = steps["prior"][-1].x_t
torch.testing.assert_close(cascade.prior.unwhiten(whitened), drawing.z_i)
print(f"length of z_t {drawing.text.embed.norm():.2f}, of z_i {drawing.z_i.norm():.2f}")
print(f"cosine of the two {F.cosine_similarity(drawing.text.embed.float(), drawing.z_i).item():.2f}")

# %% [markdown]
# With CLIP ViT-L/14, expect a cosine between a caption and its own picture of about 0.2 to 0.35, not the higher values
# of our toy CLIP: the two halves of a large CLIP keep to separate regions (notebook 02).
#
# Draw your own, now: several captions make a batch, and `minunclip draw "..." --model karlo --size 256` does the
# same from the terminal.
#
# ## 5. What each stage costs
#
# The time of a network is mostly that of its multiplications. PyTorch can count them without doing them, on networks
# without memory. The prior has two parts: what it makes of a caption once, and a step. A step is counted for one
# picture and without guidance, which takes two.

# %%
from torch.utils.flop_counter import FlopCounterMode
from minunclip.text import Text

def empty(*shape, dtype=torch.float32):
    return torch.empty(shape, device="meta", dtype=dtype)

def gflop(run):
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9

encoder, prior, decoder, upsampler = (network.to("meta") for network in karlo.values())
one, text = empty(1, dtype=torch.long), Text(empty(1, 768), empty(1, 77, 768), empty(1, 77, dtype=torch.bool))
prefix, condition = prior.prefix(text), decoder.condition(empty(1, 768), text)
work = {"text encoder": gflop(lambda: encoder.text.transformer(empty(1, 77, 768))),
        "prior, the caption": gflop(lambda: prior.prefix(text)),
        "prior, a step": gflop(lambda: prior(empty(1, 768), one, prefix)),
        "decoder, a step": gflop(lambda: decoder(empty(1, 3, 64, 64), one, condition=condition)),
        "upsampler, a step": gflop(lambda: upsampler.unet(empty(1, 6, 256, 256), one))}
for name, count in work.items():
    print(f"{name:19} {count:7,.0f} GFLOP")

# %% [markdown]
# (1 GFLOP is a thousand million multiplications or additions.) A whole picture, with the makers' steps and guidance:

# %%
calls = {"text encoder": 2, "prior, the caption": 2, "prior, a step": 25 * 2, "decoder, a step": 25 * 2,
         "upsampler, a step": 7}
total = {f"{calls[name]} x {name}": work[name] * calls[name] / 1000 for name in work}
plots.bars(total, "TFLOP for one picture of 256 pixels")

# %%
share = total["7 x upsampler, a step"] / sum(total.values())
claims.check(f"{share:.0%} of the work is the upsampler's, in 7 of all 57 steps.", share > 0.5)

# %% [markdown]
# A step at 256 pixels has sixteen times as many positions as one at 64. That is why
# the paper and Karlo give the upsamplers so few steps.
#
# **Why is the prior so cheap?** It has more weights than the decoder. A weight of the U-Net is used at every position
# of the picture, a weight of the prior at every position of its row, and the row is short: 77 tokens, $z_t$, the time,
# the noised $z_i$, a query. And most of the row is the same at every step. The mask is causal, so tokens and $z_t$,
# which stand first, never see what changes behind them: their keys and values can be computed once (`prior.prefix`,
# notebook 05). What does that save?

# %%
whole = gflop(lambda: prior(empty(1, 768), one, text))
saved = whole / work["prior, a step"]
claims.check(f"A step takes {whole:.0f} GFLOP with the caption run again, and "
             f"{work['prior, a step']:.0f} without: {saved:.0f} times less.", saved > 10)

# %%
from minunclip.networks import causal_mask, timestep_embedding

def in_one_go(p, x_t, t, text):                   # the whole row through the Transformer
    length, time = text.tokens.shape[1], p.time(timestep_embedding(t, p.config.width))
    row = torch.cat([p.tokens_in(text.tokens) + p.positions[:, :length],
                     p.embed_in(text.embed)[:, None] + p.positions[:, -4:-3],
                     torch.stack([time, p.z_in(x_t)], dim=1) + p.positions[:, -3:-1],
                     (p.query + p.positions[:, -1:]).expand(len(t), 1, -1)], dim=1)
    seen = F.pad(text.mask, (0, 4), value=True)[:, None, None]            # no padding
    x, _ = p.transformer(row, causal_mask(length + 4) & seen)
    return p.z_out(p.norm_out(x[:, -1]))

two = right.encode_text(captions)
difference = (in_one_go(right.prior, z_i, t, two) - right.prior(z_i, t, right.prior.prefix(two))).abs().max()
claims.check(f"The two answers differ by {difference:.0e} at most, which is rounding.", difference < 1e-4)

# %% [markdown]
# ### Exercise 3: Computed once · ●●○ medium · 6 minutes
#
# How many positions does the prior's Transformer run through for one unguided $z_i$? The row: the caption's tokens,
# $z_t$, the time, the noised $z_i$, the query. Without the cache the whole row runs at each step. With it, what does
# not change runs once, and what changes runs at each step.

# %% tags=["exercise"]
def prior_positions(tokens: int, steps: int, cached: bool) -> int:
    raise NotImplementedError

# %%
checks.prior_positions(prior_positions)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Two numbers are enough: how many positions stay the same (do not forget $z_t$), and how many change. One of them is 3.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def prior_positions(tokens: int, steps: int, cached: bool) -> int:
#     constant, changing = tokens + 1, 3
#     return constant + steps * changing if cached else steps * (constant + changing)
# ```
#
# With 77 tokens and 25 steps: 153 instead of 2,025.
#
# </details>
#
# **How long on your machine?** Measure how fast it computes a convolution like the decoder's, and divide. That is the
# best case: small layers, reading the weights and all else come on top.

# %%
def gflop_per_second(channels=320, side=64, runs=3):
    kind = best_dtype(device)
    conv, x = torch.nn.Conv2d(channels, channels, 3, padding=1).to(device, kind), torch.randn(2, channels, side, side)
    x, best = x.to(device, kind), float("inf")
    for _ in range(runs + 1):
        start = time.perf_counter()
        conv(x)[0, 0, 0, 0].item()                # a number that has to wait for the GPU
        best = min(best, time.perf_counter() - start)
    return 2 * 2 * side**2 * 9 * channels**2 / best / 1e9

speed = gflop_per_second()
print(f"{speed:,.0f} GFLOP a second on {device.type} in {str(best_dtype(device))[6:]}: "
      f"a picture of 256 pixels takes at least {1000 * sum(total.values()) / speed:,.0f} seconds")

# %% [markdown]
# Measured, on the machine that the table names, ours beside diffusers with the same weights (`python
# benchmarks/karlo.py` measures yours):

# %%
from IPython.display import Markdown, display

Markdown(plots.karlo_table())

# %% [markdown]
# ## 6. What fits where
#
# The weights of all networks, and the most that one picture of 256 pixels needs besides:

# %%
from minunclip.pretrained import MODES, network_of, working_memory

def gigabytes(network, dtype):
    return sum(p.numel() for p in network.parameters()) * dtype.itemsize / 1e9

networks = {"text encoder": encoder, "prior": prior, "decoder": decoder, "upsampler": upsampler.unet,
            "upsampler, last step": upsampler.last_unet}
for name, network in networks.items():
    print(f"{name:21} {gigabytes(network, torch.float16):5.2f} GB in half precision, "
          f"{gigabytes(network, torch.float32):5.2f} in float32")
print(f"besides               {working_memory(upsampler.config, torch.float16) / 1e9:5.2f} and "
      f"{working_memory(upsampler.config, torch.float32) / 1e9:.2f}")

# %% [markdown]
# All of it fits into a GPU of 8 GB, barely. But never do two networks run at the same time, so there are three modes:
#
# - `resident`: all networks on the device.
# - `offload`: all in RAM, and the one that runs on the GPU.
# - `disk`: all in their files, and the one that runs on the device. Without a GPU that is the way to save RAM.
#
# A network's weights come when its first layer is about to run, and go when another network's turn comes. Nothing else
# in the code knows of it ([pretrained/offload.py](../minunclip/pretrained/offload.py)). Look into the cascade while it
# draws in the mode `disk`: which networks have memory?

# %%
def here(cascade):
    stages = (cascade.clip, cascade.prior, cascade.decoder, *cascade.upsamplers)
    parts = [part for stage in stages for part in stage.named_children() if network_of(part[0])]
    return [name for name, part in parts if not any(p.is_meta for p in part.parameters())]

few = replace(cascade.settings, prior_steps=2, decoder_steps=2, upsampler_steps=(2,))
on_disk = minunclip.load(narrow, memory="disk")
for progress in on_disk.stream([caption], settings=few):
    print(f"{progress.stage:11} step {progress.done}: {', '.join(here(on_disk))}")

# %% [markdown]
# The last step of the upsampler has a U-Net of its own, and you can see it come. All modes draw the same picture, not
# nearly but exactly:

# %%
drawn = {mode: minunclip.load(narrow, memory=mode).sample([caption], settings=few, size=64).image
         for mode in MODES}
same = [torch.equal(image, drawn["resident"]) for image in drawn.values()]
claims.check(f"{sum(same)} of {len(same)} modes draw what `resident` draws, to the last bit.", all(same))

# %% [markdown]
# ### Exercise 4: Which mode? · ●●○ medium · 8 minutes
#
# Given the sizes of all networks, what computing needs besides (`working`, on the GPU), and what is free on the GPU and
# in RAM, all in GB: the name of the fastest mode that fits, `"resident"`, `"offload"` or `"disk"`, and `"none"` if none
# does. `resident` and `disk` take no RAM worth counting.

# %% tags=["exercise"]
def fastest_mode(sizes: list[float], working: float, gpu: float, ram: float) -> str:
    raise NotImplementedError

# %%
checks.fastest_mode(fastest_mode)

# %% [markdown]
# <details><summary>Hint</summary>
#
# What must be on the GPU: all networks in the mode `resident`, one of them in the others, and it may be the largest.
# What must be in RAM: all networks in the mode `offload`.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def fastest_mode(sizes: list[float], working: float, gpu: float, ram: float) -> str:
#     if sum(sizes) + working <= gpu:
#         return "resident"
#     if max(sizes) + working > gpu:
#         return "none"
#     return "offload" if sum(sizes) <= ram else "disk"
# ```
#
# </details>
#
# For some machines, with Karlo in half precision (a driver and a desktop take a part of each GPU, so count with less
# than what is printed on the box):

# %%
sizes = [gigabytes(network, torch.float16) for network in networks.values()]
working = working_memory(upsampler.config, torch.float16) / 1e9
for gpu, ram in ((24, 32), (12, 16), (7.5, 16), (4, 16), (4, 6), (2, 16)):
    print(f"{gpu:4} GB free on the GPU, {ram:2} GB of RAM: {checks.fastest_mode.reference(sizes, working, gpu, ram)}")

# %% [markdown]
# `minunclip.load` makes this choice itself, from what is free at the moment, and `--memory` or `memory=` overrules it.
# What the modes take when measured, all of the process included (`python benchmarks/memory.py` measures your machine):

# %%
Markdown(plots.memory_table())

# %% [markdown]
# ## 7. Beyond 256 pixels
#
# The paper has a third diffusion model for the step to 1024 pixels. It was never released, nor has Karlo one. The
# library can build it, and count:

# %%
from minunclip.upsampler import PAPER_1024

with Weightless():
    last_network = Upsampler(PAPER_1024)
millions = sum(p.numel() for p in last_network.parameters()) / 1e6
step = gflop(lambda: last_network.to("meta").unet(empty(1, 6, 1024, 1024), one))
print(f"{millions:.0f} million weights (the paper says 300M), {step:,.0f} GFLOP a step; "
      f"{15 * step / 1000:,.0f} TFLOP in 15 steps, "
      f"{15 * step / 1000 / sum(total.values()):.1f} times all before it")

# %% [markdown]
# Two things can be had instead.
#
# **An upscaler.** Stable Diffusion's *x4 upscaler* ([Rombach et al., 2022](https://arxiv.org/abs/2112.10752)) is a
# latent diffusion model: it denoises a code of the large picture, which has the side of the *small* one. So its steps
# cost like those at 256 pixels, and a decoder makes 1024 of the result. It reads the caption, too. It comes from
# diffusers (`pip install -e ".[upscale]"`) and 1.7 GB more of weights. `draw --model karlo --size 1024` takes it, and
# so does this cell:

# %%
from minunclip.pretrained import LateUpscaler

if stand_in:
    print("left out: with Karlo's weights, this cell draws 1024 pixels")
else:
    try:
        LateUpscaler.from_pretrained(device=device, dtype=dtype).add_to(cascade)
        large = cascade.sample([caption], seed, size=1024).image
        display(plots.show(large, [caption], seed=seed, side=512))
    except (ImportError, OSError, RuntimeError, MemoryError) as error:
        print("left out:", error)                 # the extra, its weights, or the room for them

# %% [markdown]
# **Another cascade.** Kandinsky 2.2 is an unCLIP, too: a caption, CLIP, a prior, $z_i$, a decoder. What its makers
# chose otherwise:
#
# | | Karlo | Kandinsky 2.2 |
# | --- | --- | --- |
# | CLIP | OpenAI's ViT-L/14 | LAION's ViT-bigG/14 |
# | numbers in $z_i$ | 768 | 1,280 |
# | prior | 20 layers of 2,048; $x_0$ clipped at 5 | the same; clipped at 10 |
# | decoder draws | a picture of 64 pixels | latents, an eighth of the picture's side |
# | decoder reads | $z_i$ and the caption's tokens | $z_i$ alone |
# | its guidance compares with | a learned "no $z_i$" | the $z_i$ of an empty picture |
# | then | two U-Nets make 256 pixels | MoVQ's decoder makes 512, 768 or 1024 |
#
# Its CLIP and its prior are networks of this library, with other numbers in their configs:

# %%
from minunclip.clip import CLIPConfig
from minunclip.pretrained import CASCADES

big_g = CLIPConfig(embed_width=1280, image_width=1664, image_layers=48, image_heads=16, image_inner=8192,
                   text_width=1280, text_layers=32, text_heads=20, activation="gelu")
with Weightless():
    its_clip = CLIP(big_g)
    its_prior = DiffusionPrior(replace(DEFAULT.prior, z_width=1280, text_width=1280))
counted = {"text encoder": its_clip.text, "image encoder": its_clip.image, "prior": its_prior}
counted = {name: sum(p.numel() for p in network.parameters()) for name, network in counted.items()}
decoder_files = CASCADES["kandinsky"][1].numbers.items()
for name, number in [*counted.items(), *((file.partition("/")[0], n) for file, n in decoder_files)]:
    print(f"{name:14} {number / 1e6:7,.0f} million weights")

# %% [markdown]
# Two of its choices are worth a thought. The decoder reads no caption. So whatever is in the caption and not in $z_i$
# cannot come into the picture: there the prior is not one way of two, as in the paper's Figure 8, but the only one. And
# an *image* encoder of 1.8 billion weights is needed to draw a *caption*, for one vector: the $z_i$ of an empty
# picture, from which guidance pushes away. It is computed once for as long as the cascade is loaded.
#
# With its weights, this cell draws. `minunclip fetch kandinsky` brings them; in the terminal it is `minunclip draw
# "..." --model kandinsky --size 768`. Its decoder comes from diffusers, so it takes the extra, too.

# %%
kandinsky = None                                  # or "kandinsky", or the folder with both of its folders
if not kandinsky and all(map(cached, CASCADES["kandinsky"])):
    kandinsky = "kandinsky"
if kandinsky:
    cascade_2 = minunclip.load(kandinsky, device, best_dtype(device))
    display(plots.show(cascade_2.sample([caption], seed, size=768).image, [caption], seed=seed, side=512))
else:
    print("left out: Kandinsky's weights are not here")

# %% [markdown]
# ## 8. A picture of your own
#
# Everything of notebook 10 works on pictures of yours. Files are full of surprises: cameras save the picture lying on
# its side with a note to turn it, PNGs have transparent parts, scans are grey or have 16 bits. `read_picture` sorts
# that out, and says in one line what is wrong with a file that it cannot read. Put the path of a picture in here;
# without one we take a render, saved lying on its side as a camera would:

# %%
import io
from minunclip.common import for_clip, for_decoder, read_picture
from minunclip.scenes import Scenes

path = None                                       # such as "holiday.jpg"
def render_of(number):
    return plots.to_pil(Scenes("test", seed=3)[number].image(300))

file, turned = io.BytesIO(), render_of(3).transpose(Image.Transpose.ROTATE_90)
exif = turned.getexif()
exif[0x0112] = 6                                  # the orientation: "turn me by a quarter to the right"
turned.save(file, "JPEG", exif=exif)
picture = read_picture(path or file)
plots.show([turned, picture], ["in the file", "as it was meant"], side=128)

# %% [markdown]
# CLIP looks at the middle of it, at its own size, with the colours brought to the mean and deviation of its training
# pictures. Karlo's folder has no image encoder, but Karlo's text encoder is one half of OpenAI's ViT-L/14, and
# open_clip has the other:

# %%
from minunclip.pretrained import load_openai_clip

z_i = None                                        # and so without the weights there is nothing to draw
if stand_in:
    print("The cells below draw when Karlo's weights are here; until then they do nothing.")
else:
    cascade.clip = load_openai_clip(device, dtype) if cascade.clip.image is None else cascade.clip
    seen = for_clip(picture, cascade.clip.config.image_size).to(device, dtype)
    z_i = cascade.clip.encode_image(seen).float()
    print(f"seen by CLIP: {tuple(seen.shape)}, z_i: {z_i.shape[1]} numbers of length {z_i.norm():.1f}")

# %% [markdown]
# **Variations** (section 3.1). The decoder draws what $z_i$ says, each time from other noise; the caption is empty. The
# upsampler needs no caption anyway. What stays is what CLIP sees, the things and the style. What moves is where exactly
# each of them is.

# %%
from minunclip.manipulations import decode, draw, fresh, interpolate, invert, text_diff

def variations(n=3):
    small = decode(cascade, z_i.repeat(n, 1), None, seed, settings=settings)
    return cascade.upsample(small, seed=seed, settings=settings).finish()

if z_i is not None:
    names = ["yours", *["variation"] * 3]
    display(plots.show([*for_decoder(picture, 256), *variations()], names, seed=seed, side=192))

# %% [markdown]
# **There and back.** To change *this* picture and not a variation of it, we need the noise that the decoder would have
# started from: DDIM run backward (notebook 10). $z_i$ and that $x_T$ together are the picture; the more steps, the more
# exactly it comes back.

# %%
if z_i is not None:
    mine = for_decoder(picture, cascade.sizes[0]).to(device)
    latent = invert(cascade, mine, steps=50, z_i=z_i)
    back = draw(cascade, latent, steps=50)
    names = ["yours, 64 px", "its x_T", "and back, 50 steps"]
    display(plots.show([mine[0], latent.x_T[0] / 3, back[0]], names, side=192))

# %% [markdown]
# **Between two pictures** (section 3.2): $z_i$ turns from one to the other at an even pace, while $x_T$ stays.

# %%
theta = torch.linspace(0, 1, 5)
if z_i is not None:
    z_other = cascade.clip.encode_image(for_clip(render_of(7), seen.shape[-1]).to(device, dtype)).float()
    between = interpolate(fresh(cascade, z_i, seed), fresh(cascade, z_other, seed), theta, latent.x_T)
    strip = draw(cascade, between, steps=50, guidance=settings.decoder_guidance)
    names = [f"{share:.2f}" for share in theta.tolist()]
    display(plots.show(list(strip), names, columns=5, title="from yours to another", side=128))

# %% [markdown]
# **A change put into words** (section 3.3): turn $z_i$ in the direction from what there is to what there should be, by
# a quarter to a half of the way. The words need not describe the picture well, since only the *difference* of the two
# captions counts. Put your own in.

# %%
there, wanted = "a photo of a landscape in summer", "a photo of a landscape in winter"
if z_i is not None:
    turned = [text_diff(cascade, latent, [wanted], [there], theta=share) for share in (0.0, 0.25, 0.5)]
    changed = torch.cat([draw(cascade, one_turn, steps=50) for one_turn in turned])
    names = ["0 of the way", "a quarter", "half"]
    display(plots.show(list(changed), names, title=f"{wanted}, not {there}", side=192))

# %%
shutil.rmtree(narrow.parent, ignore_errors=True)
print("the narrow networks' files are deleted:", not narrow.exists())

# %% [markdown]
# ## Summary
#
# | | |
# | --- | --- |
# | the same code | Karlo, Kandinsky's prior and the scenes are configs of the same classes |
# | loading | a table of names; every tensor accounted for; packed heads taken apart |
# | equality | relative error below 5e-6 for each network; nine pixels in ten for a whole picture |
# | the prior | three positions a step, once the caption's keys and values are there |
# | the time | goes into the upsampler, since work grows with the number of positions |
# | memory | one network at a time is enough: 3 GB in half precision in place of 8 |
# | 1024 pixels | a latent diffusion model stands in for a network that nobody released |
# | Kandinsky 2.2 | an unCLIP whose decoder reads $z_i$ alone, in latents |
# | your picture | $z_i$ from CLIP's image encoder, $x_T$ from DDIM run backward |
#
# ## What you can do now
#
# - Read the weights of others into a network of your own, and account for every tensor.
# - Prove that two programs compute the same, with a limit that rounding keeps and mistakes break.
# - Say what a picture costs before you draw it, and which of three modes your machine can afford.
# - Draw with two released cascades: `minunclip draw "..." --model karlo` or `--model kandinsky`.
#
# ## Questions
#
# <details><summary>Why compare with random weights, and not with the released ones?</summary>
#
# Random weights test more. In a trained network many weights are near zero, and what hardly matters hides a
# mistake. And 13.7 GB are no part of a test that runs in a minute. What random weights cannot show is whether a file
# holds what its makers trained; its checksum does.
#
# </details>
#
# <details><summary>The mode disk reads every weight for each picture. Why is it not much slower?</summary>
#
# Reading takes the time of a few GB from the disk, or less if they are still in the file cache: seconds. Drawing on a
# CPU takes minutes. And a network runs all its steps before the next one comes, so each is read once for a picture, and
# a batch of pictures shares it.
#
# </details>
#
# <details><summary>Guidance 4 in the prior, and the paper says that guiding the prior hurts. Who is right?</summary>
#
# Neither is refuted. It is another prior, trained on other data and judged by other people. A guidance of 1 also halves
# the prior's work.
#
# </details>
#
# <details><summary>Could the keys and values of the decoder be kept, like those of the prior?</summary>
#
# Those of the caption and of $z_i$ are (`decoder.condition`). Those of the picture's own positions cannot be: each of
# them sees all others, and they change at every step.
#
# </details>
#
# <details><summary>Kandinsky's prior and Karlo's have the same class. Could they change places?</summary>
#
# No. One speaks of the 768 numbers of OpenAI's ViT-L/14, the other of the 1,280 of LAION's ViT-bigG/14, and a decoder
# knows one CLIP only. `minunclip.load` refuses a prior of another width.
#
# </details>
#
# <details><summary>Why is each network compared alone, if the whole run is compared anyway?</summary>
#
# The run has a limit twenty times as wide, since rounding grows wherever a value meets the clip. A small mistake in a
# network hides below it. And a network that fails alone tells where to look.
#
# </details>
#
# <details><summary>The loader would rather stop than leave one tensor out. Is that not too strict?</summary>
#
# A network with one random layer draws *almost* right. Nobody would look for the cause in the loader.
#
# </details>
#
# <details><summary>Why does a latent diffusion model need fewer multiplications for the same picture?</summary>
#
# Work grows with the number of positions. Latents of an eighth of the side have a sixty-fourth of them; the decoder
# behind them, MoVQ here, works on all pixels, but once and not at every step.
#
# </details>
#
# <details><summary>A file is halved as it comes. How is it known that nothing else happened to it?</summary>
#
# Each number is compared with the one it was made from before the float32 file goes, and may differ by rounding only.
# The file has its SHA-256 on record, which `minunclip fetch` compares later.
#
# </details>
#
# <details><summary>An empty picture is all in one colour. Why compare with that?</summary>
#
# Guidance needs a prediction that knows nothing of what is wanted. Karlo learned a vector that says so, by training
# with one in ten $z_i$ dropped. Kandinsky takes the embedding of a picture on which there is nothing to see.
#
# </details>
#
# ## Where to read on
#
# - The code: [pretrained/cascade.py](../minunclip/pretrained/cascade.py) loads a folder, which
#   [diffusers_folder.py](../minunclip/pretrained/diffusers_folder.py) or, with the makers' own checkpoints,
#   [kakao_checkpoints.py](../minunclip/pretrained/kakao_checkpoints.py) describes;
#   [offload.py](../minunclip/pretrained/offload.py) has the memory modes,
#   [upscaler.py](../minunclip/pretrained/upscaler.py) 1024 pixels,
#   [kandinsky.py](../minunclip/pretrained/kandinsky.py) the second cascade, and
#   [common/images.py](../minunclip/common/images.py) reads your files.
# - The tests that compare: [tests/parity](../tests/parity).
# - Karlo: [its repository](https://github.com/kakaobrain/karlo), with what it was trained on.
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125): Appendix C for all sizes and steps, section 3 for
#   what section 8 does, section 7 for what such models get wrong.
