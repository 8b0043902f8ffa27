# %% [markdown]
# # 02 · CLIP: captions and pictures in one space
#
# A caption is a row of words, a picture a grid of colours. CLIP
# ([Radford et al., 2021](https://arxiv.org/abs/2103.00020)) turns both into lists of numbers of the same length, so
# that they can be compared. unCLIP stands on it: the *text embedding* $z_t$ is where a drawing begins, and the *image
# embedding* $z_i$ is what the decoder draws from. In this notebook you build both encoders from their parts, write the
# loss that brings them together, and train them.

# %%
import os
from dataclasses import replace
from math import log, sqrt

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange

from minunclip import plots
from minunclip.clip import CLIP, CLIPConfig, TextEncoder, contrastive_loss
from minunclip.commands.train import shortened
from minunclip.common import best_device
from minunclip.course import checks, claims
from minunclip.course.widgets.clip import SimilarityExplorer, similarity_grid
from minunclip.embeddings import PCA
from minunclip.evaluation import Share, labels, renders, zero_shot
from minunclip.networks import Attention, Block, causal_mask, timestep_embedding
from minunclip.scenes import (KINDS, THOROUGH, Scene, Scenes, Statement, Thing, draw_thing, nuisance, phrase, render,
                              to_tensor)
from minunclip.training import TrainConfig, Trainer, batches
from minunclip.training.recipes import ClipRecipe

# %%
torch.set_grad_enabled(False)                     # on again for the training in section 5
finished = CLIP.from_pretrained("scenes")
items = [Scenes("test", seed=3)[i] for i in range(6)]
images, captions = torch.stack([item.image() for item in items]), [item.caption for item in items]
cosines = finished.similarity(finished.encode_image(images), finished.encode_text(captions).embed)
plots.heatmap(cosines.T, captions, images, "cosine of caption and picture")

# %% [markdown]
# Six captions and six pictures, none of which CLIP saw in training. The darker a cell, the better the two
# fit together, in CLIP's opinion. On the diagonal are the pairs that belong together.
#
# **What you will see**
#
# 1. *Attention*, by which words take notice of each other, and *positions*, without which it has no idea of order.
# 2. How a caption becomes $z_t$.
# 3. How a picture becomes $z_i$.
# 4. The contrastive loss, on a table of three by three.
# 5. Training. You run one.
# 6. What it is good for: naming what is in a picture without having learned names, and finding pictures.
# 7. What a CLIP gets wrong: it may read a caption as a bag of words.
# 8. The space of the embeddings, and its axes.
#
# **What you need to know before:** PyTorch tensors and modules, what a softmax and a cross-entropy are (notebook 01,
# section 6, has both on three numbers), and matrix products.
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("02_clip")

# %% [markdown]
# Reading takes about 40 minutes, the five exercises another 35. With the `cpu` profile the training in section 5 is
# cut short; with `gpu` it runs to its end. The environment variable `MINUNCLIP_PROFILE` chooses.

# %%
device = best_device()
profile = os.environ.get("MINUNCLIP_PROFILE", "gpu" if device.type == "cuda" else "cpu")
print(f"training on {device.type}, profile {profile}; everything else on the CPU")

# %% [markdown]
# ## 1. Attention
#
# To know what "circle" means in "red circle", a network must let one word take notice of another. In *attention*
# every word has three vectors:
#
# - a **query** $q$: what am I looking for?
# - a **key** $k$: what am I?
# - a **value** $v$: what do I tell those who look at me?
#
# Here they are for three tokens, two numbers each, chosen by hand. The first number is about colours, the second about
# kinds. "circle" looks for a colour, the end token for both, "red" for nothing.

# %% tags=["nbval-check-output"]
words = ["red", "circle", "<end>"]
q = torch.tensor([[0.0, 0], [4, 0], [3, 3]])
k = torch.tensor([[1.0, 0], [0, 1], [0, 0]])
v = torch.tensor([[10.0, 0], [0, 10], [0, 0]])
scores = q @ k.T / sqrt(2)
print(scores.numpy().round(2))

# %% [markdown]
# Row $i$, column $j$ says how well the key of word $j$ fits the query of word $i$: their dot product. (Why divide by
# $\sqrt2$? In a moment.) Softmax turns each row into shares that sum to 1:

# %%
weights = scores.softmax(dim=1)
plots.heatmap(weights, words, words, "share of its attention")

# %% [markdown]
# "circle" gives 89% of its attention to "red". The answer of each word is the mean of the values, weighted by these
# shares:

# %% tags=["nbval-check-output"]
answers = weights @ v
for word, answer in zip(words, answers, strict=True):
    print(f"{word:7}", answer.numpy().round(2))

# %% [markdown]
# Now "circle" knows about the red, and the end token about both. In one line
# ([Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), equation 1), with $d$ numbers in a key:
#
# $$\text{Attention}(q, k, v) = \text{softmax}\!\left(\frac{q\,k^\top}{\sqrt d}\right) v$$
#
# PyTorch has it as a function, which is what our [networks/transformer.py](../minunclip/networks/transformer.py) calls:

# %% tags=["nbval-check-output"]
torch.testing.assert_close(F.scaled_dot_product_attention(q, k, v), answers)
print("equal")

# %% [markdown]
# **Why divide by $\sqrt d$?** A dot product is a sum of $d$ products, so it grows with the width. A softmax of large
# numbers gives everything to the largest, and then the gradient for all others is nearly zero.

# %%
g = torch.Generator().manual_seed(0)
for d in (2, 32, 512):
    query, keys = torch.randn(d, generator=g), torch.randn(100, d, generator=g)
    plain, scaled = keys @ query, keys @ query / sqrt(d)
    print(f"width {d:3}: the largest of 100 shares is {plain.softmax(0).max():.2f}, with the division "
          f"{scaled.softmax(0).max():.2f}")  # fmt: skip

# %% [markdown]
# ### Exercise 1: Attention · ●○○ easy · 6 minutes
#
# For a batch: `q` is (B, N, d), `k` and `v` are (B, M, d), and the answer is (B, N, d). There may be fewer queries than
# keys. Write it without PyTorch's own function. The next cell tries yours and says what is still wrong; as long as it
# is empty, the notebook runs on.

# %% tags=["exercise"]
def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.attention(attention)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `k.transpose(1, 2)` is (B, d, M), so `q @ k.transpose(1, 2)` is (B, N, M). The softmax runs over the keys, the last
# axis. The width is `q.shape[-1]`.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
#     scores = q @ k.transpose(1, 2) / sqrt(q.shape[-1])
#     return scores.softmax(dim=-1) @ v
# ```
#
# </details>
#
# **Where do the three vectors come from?** From the word's own vector $x$, by one linear layer whose weights are
# learned. And each word looks in several ways at once: the *heads*. The numbers of $q$, $k$ and $v$ are divided among
# the heads, each head does its own attention, and a last linear layer mixes their answers. Here is `Attention`
# from the library with two heads of two numbers each, and the same by hand:

# %% tags=["nbval-check-output"]
layer, x = Attention(width=4, heads=2), torch.randn(1, 3, 4, generator=g)
q, k, v = layer.qkv(x).chunk(3, dim=-1)                                   # (1, 3, 4) each
heads = [F.scaled_dot_product_attention(q[..., part], k[..., part], v[..., part]) for part in ([0, 1], [2, 3])]
by_hand = layer.out(torch.cat(heads, dim=-1))
torch.testing.assert_close(layer(x)[0], by_hand)
print("equal:", tuple(by_hand.shape))

# %% [markdown]
# A **block** puts a small network after it, the *MLP*, which works on each word alone. Both *add* their answer to $x$,
# so that nothing is lost that a later block may want, and both see $x$ normalised. A Transformer is a stack of
# such blocks.

# %% tags=["nbval-check-output"]
block = Block(width=4, heads=2)
y = x + block.attention(block.norm_1(x))[0]
y = y + block.mlp(block.norm_2(y))
torch.testing.assert_close(block(x)[0], y)
print("equal:", tuple(y.shape))

# %% [markdown]
# **Attention has no idea of order.** In the formula above, no place occurs. Exchange two words, and the shares and
# values are exchanged with them. We take the Transformer out of the finished text encoder and give it two captions of
# the same words:

# %%
encoder, tokenizer = finished.text, finished.tokenizer

def end_token(caption, positions):
    ids = tokenizer([caption])[:, : len(caption.split()) + 2]             # with the start and the end
    return encoder.transformer(encoder.words(ids) + positions[: ids.shape[1]])[0][0, -1]

one, two = "a red circle above a blue square", "a blue square above a red circle"
for name, positions in {"words alone": 0 * encoder.positions, "with positions": encoder.positions}.items():
    difference = (end_token(one, positions) - end_token(two, positions)).abs().max()
    print(f"{name:15} the end token differs by {difference:.5f}")

# %% [markdown]
# From words alone, both captions are the same, up to rounding. So before the first block, a vector that stands for the
# **position** is added to each word's vector. Vaswani et al. took sines and cosines of falling frequency. For the
# positions 0, 1 and 2 and a width of 4, with the frequencies 1 and 1/100:

# %% tags=["nbval-check-output"]
place = torch.arange(3)[:, None]
waves = torch.cat([torch.cos(place * torch.tensor([1, 0.01])), torch.sin(place * torch.tensor([1, 0.01]))], dim=1)
print(waves.numpy().round(2))
torch.testing.assert_close(timestep_embedding(torch.arange(3), 4), waves)

# %% [markdown]
# The fast wave tells neighbours apart, the slow one tells early from late. (The library calls it
# `timestep_embedding`: the diffusion models use it to say *when* and not *where*.) How similar are the
# positions to each other at a width of 128?

# %%
places = [str(n) for n in range(32)]
sines = F.normalize(timestep_embedding(torch.arange(32), 128), dim=1)
plots.heatmap(sines @ sines.T, places, places, "cosine of two positions: sines and cosines")

# %% [markdown]
# Near places are similar, and only the distance counts. CLIP does without a formula: it has a table with one
# vector for each position, which starts at random and is *learned* like any other weight. After the training:

# %%
lengths = [len(Scenes("train")[i].caption.split()) + 2 for i in range(1000)]
print(f"tokens in a thousand captions: {np.mean(lengths):.1f} on average, at most {max(lengths)}")
learned = F.normalize(encoder.positions, dim=1)
plots.heatmap(learned @ learned.T, places, places, "cosine of two positions: learned")

# %% [markdown]
# Nobody told the model which positions are neighbours. It found out:

# %%
used = (learned @ learned.T)[:20, :20]
near, far = used.diagonal(1).mean().item(), used.diagonal(10).mean().item()
claims.check(f"Neighbours among the first 20 positions have a cosine of {near:.2f} in the mean, positions ten places "
             f"apart one of {far:.2f}.", near > 0.5 > 0 > far)

# %% [markdown]
# The last positions are hardly ever used, so the training had little to say about them.
#
# **The causal mask.** One thing is special about text in CLIP: a word may look at itself and at what came
# before, and never ahead. The other scores are set to $-\infty$, so that softmax gives them nothing. With the three
# words from above:

# %% tags=["nbval-check-output"]
allowed = causal_mask(3)
masked = scores.masked_fill(~allowed, -torch.inf).softmax(dim=1)
print(masked.numpy().round(2))

# %% [markdown]
# "red" can see nothing but itself. "circle" shares its attention between "red" and itself. For the end token nothing
# has changed, as there is nothing behind it.
#
# ### Exercise 2: No looking ahead · ●○○ easy · 5 minutes
#
# From scores (N, N) to the shares of attention under the causal mask. A batch (B, N, N) should work as well.

# %% tags=["exercise"]
def causal_weights(scores: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.causal_weights(causal_weights)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `torch.ones(n, n).tril()` has ones on and below the diagonal. Hide the others *before* the softmax: if you set shares
# to zero afterwards, the rows do not sum to 1 any more.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def causal_weights(scores: torch.Tensor) -> torch.Tensor:
#     ahead = torch.ones_like(scores).triu(1).bool()
#     return scores.masked_fill(ahead, -torch.inf).softmax(dim=-1)
# ```
#
# </details>
#
# ## 2. From a caption to $z_t$
#
# All the parts are there. A caption becomes numbers, one for each word, with a start and an end token around them:

# %% tags=["nbval-check-output"]
caption = "a red circle above a blue square at night"
ids = tokenizer([caption])[:, : len(caption.split()) + 2]
names = ["<start>", *caption.split(), "<end>"]
print(*(f"{name} {number}" for name, number in zip(names, ids[0].tolist(), strict=True)), sep=", ")

# %% [markdown]
# Each number picks a vector from a table. Positions are added, the Transformer reads, and the vector of the end token
# is projected to $z_t$:

# %%
def read(ids):
    x = encoder.words(ids) + encoder.positions[: ids.shape[1]]            # (1, tokens, width)
    x, _ = encoder.transformer(x, causal_mask(ids.shape[1]))
    return encoder.norm_out(x)

tokens = read(ids)
z_t = encoder.project(tokens[:, -1])
torch.testing.assert_close(z_t, finished.encode_text([caption]).embed)
print("tokens", tuple(tokens.shape), "z_t", tuple(z_t.shape), "equal to encode_text")

# %% [markdown]
# **Why the end token?** Because of the mask it is the only one that has read everything. We can see that: replace one
# word, and look which tokens change.

# %%
def moved(place):
    other = ids.clone()
    other[0, place] = tokenizer.ids["teal"]
    return (read(other) - tokens)[0].norm(dim=1)

changes = torch.stack([moved(place) for place in range(1, len(names) - 1)])
plots.heatmap(changes, [f"{name} replaced" for name in names[1:-1]], names, "how far each token moves", digits=1)

# %% [markdown]
# Whatever comes before the replaced word stays exactly as it was, the last column never does. That also
# answers two practical questions:
#
# - *What about padding?* In a batch, short captions are filled up at the end. No word looks there, so it does no harm.
# - *Why causal at all?* The start of a caption is encoded the same way whatever follows, so its keys and values can be
#   kept (the prior of notebook 05 does). CLIP's authors had another reason: they wanted to be able to
#   start from a language model, which predicts the next word and must not see it (their section 2.4).

# %% tags=["nbval-check-output"]
start = finished.encode_text(["a red circle"])
with_another = finished.encode_text(["a red circle", caption])
torch.testing.assert_close(with_another.embed[:1], start.embed, atol=1e-4, rtol=1e-4)
torch.testing.assert_close(with_another.tokens[1:, :4], start.tokens[:, :4], atol=1e-4, rtol=1e-4)
print("the same embedding with padding, and the same first four tokens in both captions")

# %% [markdown]
# What does the end token look at? Its shares of attention, in each head of the first two blocks:

# %%
def looks_at(block, x):
    qkv = rearrange(block.attention.qkv(block.norm_1(x)), "1 n (three h d) -> three h n d", three=3,
                    h=block.attention.heads)  # fmt: skip
    return (qkv[0][:, -1:] @ qkv[1].transpose(1, 2) / sqrt(qkv.shape[-1])).softmax(dim=-1)[:, 0]

x, shares = encoder.words(ids) + encoder.positions[: ids.shape[1]], []
for block in encoder.transformer.blocks[:2]:
    shares.append(looks_at(block, x))
    x, _ = block(x, causal_mask(ids.shape[1]))
heads = [f"block {n + 1}, head {h + 1}" for n in range(len(shares)) for h in range(len(shares[n]))]
plots.heatmap(torch.cat(shares), heads, names, "share of the end token's attention")

# %% [markdown]
# Nearly every head has chosen a single word of this caption:

# %%
chosen = {head: (names[row.argmax()], row.max().item()) for head, row in zip(heads, torch.cat(shares), strict=True)}
colours = [f"{head} looks at {word!r} ({share:.0%})" for head, (word, share) in chosen.items()
           if word in ("red", "blue") and share > 0.9]
sure = sum(share > 0.9 for _, share in chosen.values())
claims.check(f"{sure} of the {len(chosen)} heads give more than 90% of their attention to one word. Each colour has a "
             f"head: {', '.join(colours)}.", sure >= 6 and len(colours) == 2)

# %% [markdown]
# Be careful with stories about heads, though: in the second block a token no longer stands for its word alone.
#
# ## 3. From a picture to $z_i$
#
# A Transformer reads a row of vectors. To read a picture, cut it into patches and treat each as a word
# ([Dosovitskiy et al., 2021](https://arxiv.org/abs/2010.11929), the *Vision Transformer*, ViT):

# %%
image = images[3]
plots.show([image], [captions[3]], side=256)

# %%
patches = rearrange(image, "c (h y) (w x) -> (h w) c y x", y=8, x=8)
plots.show(patches, [str(n) for n in range(1, 17)], columns=8, side=64, alt="the same picture in 16 numbered patches")

# %% [markdown]
# A patch of 8 x 8 pixels in three colours is a vector of 192 numbers. One linear layer makes a word of it.
#
# ### Exercise 3: Patches · ●●● hard · 12 minutes
#
# From pictures (B, 3, S, S) to one row for each patch, (B, (S / patch)², 3 · patch²). The patches come in
# reading order. Within a row first all of the red, then the green, then the blue, each in reading order. No loops, and
# try it without `rearrange`.

# %% tags=["exercise"]
def patchify(images: torch.Tensor, patch: int) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.patchify(patchify)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `reshape` can split an axis in two: S becomes (S / patch, patch), which patch and where in it. Do so with both, then
# you have six axes: batch, colour, row of the patch, row in it, column of the patch, column in it. `permute` them into
# the order that you want to read them in, and `reshape` again.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def patchify(images: torch.Tensor, patch: int) -> torch.Tensor:
#     b, c, side, _ = images.shape
#     n = side // patch
#     split = images.reshape(b, c, n, patch, n, patch)
#     return split.permute(0, 2, 4, 1, 3, 5).reshape(b, n * n, c * patch * patch)
# ```
#
# With einops: `rearrange(images, "b c (h y) (w x) -> b (h w) (c y x)", y=patch, x=patch)`.
#
# </details>
#
# Code for ViT often shows a convolution in this place. It is the same: a kernel as large as a patch, moved by a whole
# patch each time, is a linear layer on patches.

# %% tags=["nbval-check-output"]
conv = torch.nn.Conv2d(3, 160, kernel_size=8, stride=8, bias=False)
linear = checks.patchify.reference(images, 8) @ conv.weight.flatten(1).T                # (6, 16, 160)
torch.testing.assert_close(rearrange(conv(images), "b d h w -> b (h w) d"), linear, atol=1e-5, rtol=1e-4)
print("equal:", tuple(linear.shape))

# %% [markdown]
# Ours does a little more before it cuts: five ordinary convolutions, the *stem*, three of which halve the side. In
# small models they see edges sooner than a single linear layer does ([Xiao et al.,
# 2021](https://arxiv.org/abs/2106.14881)). Then a patch is a single position, which still stands for 8 x 8 pixels.

# %%
vit = finished.image
stem = vit.stem(images)
patches = vit.patches(stem)
print("picture", tuple(images.shape), "-> stem", tuple(stem.shape), "-> patches", tuple(patches.shape))

# %% [markdown]
# One more token goes in front, the *class token*: a learned vector with no patch of its own, free to collect what the
# others found. There is no order of reading in a picture, so nothing is masked. The rest you know:

# %%
x = rearrange(patches, "b d h w -> b (h w) d")                            # (6, 16, width)
x = torch.cat([vit.class_token.expand(len(x), 1, -1), x], dim=1)
x, _ = vit.transformer(vit.norm_in(x + vit.positions))                    # (6, 17, width)
z_i = vit.project(vit.norm_out(x[:, 0]))
torch.testing.assert_close(z_i, finished.encode_image(images), atol=1e-4, rtol=1e-4)
print("z_i", tuple(z_i.shape), "equal to encode_image")

# %% [markdown]
# The paper's CLIP is the same thing, larger (Appendix C; 256 patches are 16 x 16 of 16 x 16 pixels each):

# %%
c = finished.config
ours = (c.image_size, (c.image_size // c.patch) ** 2, c.image_width, c.image_layers, c.text_width, c.text_layers)
sizes = ("side of a picture", "patches", "width for pictures", "blocks", "width for text", "blocks")
for what, here, there in zip(sizes, ours, (256, 256, 1280, 32, 1024, 24), strict=True):
    print(f"{what:20} ours {here:4}   the paper's {there:5}")

# %% [markdown]
# ## 4. The contrastive loss
#
# Nobody can say what the right numbers for $z_i$ and $z_t$ are. CLIP is asked something else: given a batch of pictures
# and their captions, *which caption belongs to which picture?*
#
# Three pictures and three captions, with embeddings of length 1, chosen so that the arithmetic is easy. The dot product
# of two vectors of length 1 is the *cosine* of the angle between them:

# %% tags=["nbval-check-output"]
z_i = torch.tensor([[0.8, 0.6, 0.0], [0.0, 1.0, 0.0], [0.6, 0.0, 0.8]])
z_t = torch.eye(3)
cosine = z_i @ z_t.T                                                       # pictures in rows, captions in columns
print(cosine.numpy())

# %% [markdown]
# The pairs stand on the diagonal. Picture 1 fits its own caption with 0.8 and the second one with 0.6. For a *choice*
# we take the softmax of each row, after multiplying with a scale, here 5:

# %% tags=["nbval-check-output"]
scale = 5.0
by_picture = (scale * cosine).softmax(dim=1)
print(by_picture.numpy().round(2))
print("-log of the right ones:", (-by_picture.diag().log()).numpy().round(3))

# %% [markdown]
# Picture 1 is not quite sure: it gives its own caption 72% and the second one 27%. The other direction is a question
# of its own: which picture belongs to caption 2? There softmax runs down the columns:

# %% tags=["nbval-check-output"]
by_caption = (scale * cosine).softmax(dim=0)
print(by_caption.numpy().round(2))
print("-log of the right ones:", (-by_caption.diag().log()).numpy().round(3))

# %% [markdown]
# The loss is the mean of both directions, over a batch of $B$ pairs
# (figure 3 of [Radford et al.](https://arxiv.org/abs/2103.00020)); $s$ is the scale:
#
# $$L = \frac{1}{2B} \sum_{n=1}^B \left( -\log \frac{e^{s \cos(z_i^n,\, z_t^n)}}{\sum_m e^{s \cos(z_i^n,\, z_t^m)}}
# -\log \frac{e^{s \cos(z_i^n,\, z_t^n)}}{\sum_m e^{s \cos(z_i^m,\, z_t^n)}} \right)$$

# %% tags=["nbval-check-output"]
by_hand = -(by_picture.diag().log().mean() + by_caption.diag().log().mean()) / 2
torch.testing.assert_close(contrastive_loss(z_i, z_t, torch.tensor(scale).log()), by_hand)
print(f"loss {by_hand:.4f}, equal to the library's")

# %% [markdown]
# ### Exercise 4: The contrastive loss · ●●○ medium · 8 minutes
#
# For embeddings of any length: `z_i` and `z_t` are (B, D), pair by pair. Return a tensor with one number.

# %% tags=["exercise"]
def clip_loss(z_i: torch.Tensor, z_t: torch.Tensor, scale: float) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.clip_loss(clip_loss)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `F.normalize(z, dim=-1)` makes the length 1. `F.cross_entropy(table, answers)` is the mean over the rows of a table;
# the answer of row $n$ is $n$. For the columns, hand it the table transposed.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def clip_loss(z_i: torch.Tensor, z_t: torch.Tensor, scale: float) -> torch.Tensor:
#     table = scale * F.normalize(z_i, dim=-1) @ F.normalize(z_t, dim=-1).T
#     pairs = torch.arange(len(table))
#     return (F.cross_entropy(table, pairs) + F.cross_entropy(table.T, pairs)) / 2
# ```
#
# </details>
#
# **What the scale does.** One over the scale is called the *temperature*. A cosine is at most 1, so without a scale
# the model could never be sure. The best that there is, pairs at 1 and everything else at -1, in a batch of 256:

# %% tags=["nbval-check-output"]
for s in (1, 5, 14.3, 100):
    best = log(1 + 255 * np.exp(-2 * s))
    print(f"scale {s:5}: the best loss is {best:.4f}; our three by three: "
          f"{contrastive_loss(z_i, z_t, torch.tensor(s).log()):.4f}")  # fmt: skip

# %% [markdown]
# A scale that is too large has its price: where the order is wrong, the loss is huge. So the model learns the scale
# together with everything else. It starts at 1 / 0.07 and may go up to 100. Its logarithm is the parameter, which keeps
# it positive. The finished model arrived at:

# %%
print(f"scale {finished.log_scale.exp():.1f}, temperature {1 / finished.log_scale.exp():.4f}")

# %% [markdown]
# **What ours adds: noise.** Whatever helps to find the pair, CLIP may use, however faintly it is written into $z_i$.
# Then a decoder would have to read faint signs as well, and a prior would have to guess them. So our recipe adds
# Gaussian noise to each number of the normalised $z_i$ before it is compared (`config.noise`). What stands out less
# than the noise is of no use any more: either it is said loudly, or not at all. Section 8 looks at what is left.

# %%
z_i = F.normalize(finished.encode_image(images), dim=1)
print(f"each of {z_i.shape[1]} numbers is {z_i.square().mean().sqrt():.3f} in size, the noise {finished.config.noise}")

# %% [markdown]
# ## 5. Training
#
# The recipe knows model, data and settings. On a CPU we stop early and take smaller batches.

# %%
recipe = ClipRecipe()
config = recipe.profiles[profile]
if profile == "cpu":
    config = replace(shortened(config, steps=200), batch=64)
print(f"{config.steps} steps with {config.batch} pairs each")

# %%
torch.manual_seed(0)
yours = recipe.build().to(device)
print(f"{sum(p.numel() for p in yours.parameters()) / 1e6:.1f} million parameters")

# %%
records = []
workers = 0 if profile == "cpu" else os.cpu_count() - 1     # processes that draw scenes for the GPU
with torch.enable_grad():
    for record in Trainer(yours, config).run(recipe.loss, batches(recipe, config, workers)):
        records.append(record)
        if record.step % (config.steps // 5) == 0:
            print(f"step {record.step:4}: loss {record.loss:.2f}")
yours = yours.cpu().eval()

# %% [markdown]
# Whoever guesses among $B$ captions has a loss of $\log B$:

# %%
last = np.mean([record.loss for record in records[-10:]])
print(f"guessing: {log(config.batch):.2f}, the first step: {records[0].loss:.2f}, the last ten: {last:.2f}")

# %%
plots.loss_curve(records, "clip")

# %% [markdown]
# Losses of different batch sizes cannot be compared: among more captions it is harder to find one's own. What can be
# compared is what the models know.
#
# **Loading the finished weights.** We did so at the top. Here are yours beside them. For 120 unseen pictures, each fact
# of the caption is replaced by all its other values in turn ("a red star", "a blue star", ...), and CLIP should find
# the true one most similar:

# %%
unseen = [Scenes("test", seed=1)[i] for i in range(120)]
models = {"yours": yours, "finished": finished}
known = {name: zero_shot(clip, unseen) for name, clip in models.items()}
guess = {"kind": 8, "colour": 8, "size": 2, "relation": 4, "background": 5, "style": 6}
for fact, answers in guess.items():
    print(f"{fact:11} guess {1 / answers:.2f}   yours {known['yours'][fact]}   finished {known['finished'][fact]}")

# %%
worst = min(known["finished"], key=lambda fact: known["finished"][fact].value)
claims.check(f"The finished CLIP knows every fact of a caption: even the {worst} is right in "
             f"{known['finished'][worst].value:.0%} of the pictures.", known["finished"][worst].value > 0.9)
large, small = known["yours"]["background"].value, known["yours"]["relation"].value
claims.check(f"What fills the picture is learned first. After {config.steps} steps yours names the background in "
             f"{large:.0%} of the pictures, and who stands where in {small:.0%}.", large > small + 0.2)

# %% [markdown]
# ## 6. What it is good for
#
# **Zero-shot classification.** CLIP was never trained to tell eight kinds of things apart. Yet it can: write one
# caption for each kind, the *prompts*, and take the one that is most similar to the picture.

# %%
prompts = [f"a {kind}" for kind in KINDS]
z_t = finished.encode_text(prompts).embed
star = to_tensor(render(Scene((Thing("star", "red", "big"),), "alone", "night", "crayon"), 32))
cosine = finished.similarity(finished.encode_image(star[None]), z_t)[0]
shares = (finished.log_scale.exp() * cosine).softmax(dim=0)
plots.bars(dict(zip(prompts, shares.tolist(), strict=True)), "probability for a red star at night, in crayon")

# %% [markdown]
# ### Exercise 5: Zero-shot choice · ●○○ easy · 4 minutes
#
# For raw embeddings of pictures (B, D) and of prompts (C, D), return the number of the best prompt for each picture,
# (B,). Only the direction of an embedding counts.

# %% tags=["exercise"]
def zero_shot_choice(z_i: torch.Tensor, z_t: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.zero_shot_choice(zero_shot_choice)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The table of cosines as in exercise 4, pictures in rows. `table.argmax(dim=1)` is the column of the largest number of
# each row.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def zero_shot_choice(z_i: torch.Tensor, z_t: torch.Tensor) -> torch.Tensor:
#     table = F.normalize(z_i, dim=-1) @ F.normalize(z_t, dim=-1).T
#     return table.argmax(dim=1)
# ```
#
# </details>
#
# How often is the choice right, and does the wording of the prompt matter? Pictures with one thing, unseen ones and
# combinations that training never showed, such as a purple star:

# %%
def alone(split):
    found = (item for item in (Scenes(split, seed=5)[i] for i in range(1000)) if len(item.scene.things) == 1)
    return [next(found) for _ in range(200)]

def right(clip, items, template):
    prompts = [template.format(kind) for kind in KINDS]
    z_i, z_t = clip.encode_image(renders(items, 32)), clip.encode_text(prompts).embed
    chosen = checks.zero_shot_choice.reference(z_i, z_t)
    return Share(sum(KINDS[n] == item.scene.things[0].kind for n, item in zip(chosen, items, strict=True)), len(items))

choices = {(split, template): right(finished, alone(split), template) for split in ("test", "held-out")
           for template in ("a {}", "a picture of a {}", "a big red {} at night")}
for (split, template), share in choices.items():
    print(f"{split:9} {template:23} {share}")

# %%
plain, never_seen, false = (choices[key].value for key in (("test", "a {}"), ("held-out", "a {}"),
                                                           ("test", "a big red {} at night")))
claims.check(f"The kind is right in {plain:.0%} of the pictures, and in {never_seen:.0%} of those whose combination of "
             "kind and colour training never showed.", plain > 0.93 and never_seen > 0.85)
claims.check(f"A prompt that says things which are false of most pictures costs something: {false:.0%}. They are false "
             "of all eight kinds alike, so the right kind still wins most of the time.", 0.7 < false < plain)

# %% [markdown]
# Published CLIPs gain a few percent from good prompts (section 3.1.4 of Radford et al.).
#
# **Finding pictures.** The other direction: one caption, many pictures.

# %%
album = [Scenes("test", seed=6)[i] for i in range(400)]
album_images = renders(album, 32)
album_z = {name: clip.encode_image(album_images) for name, clip in models.items()}
wish = "a crayon drawing of a yellow thing at night"
cosine = finished.similarity(album_z["finished"], finished.encode_text([wish]).embed)[:, 0]
best = cosine.argsort(descending=True)[:6]
plots.show(album_images[best], [f"{cosine[n]:.2f}" for n in best], columns=6, title=wish, side=96)

# %% [markdown]
# In our world we can look up whether what was found is *true*. For each of the 400 captions of the album: does all that
# it says hold in the picture that comes first?

# %%
found = {}
for name, clip in models.items():
    z_t = clip.encode_text([item.caption for item in album]).embed
    first = clip.similarity(album_z[name], z_t).argmax(dim=0)
    true = sum(item.statement.holds_in(album[n].scene) for n, item in zip(first, album, strict=True))
    found[name] = Share(true, len(album))
    print(f"{name:9} {found[name]}")

# %%
claims.check(f"The first picture that the finished CLIP finds fits the whole caption in "
             f"{found['finished'].value:.0%} of the cases.", found["finished"].value > 0.9)

# %% [markdown]
# unCLIP uses the same comparison when it draws: of two candidates for $z_i$, the one with the larger dot
# product with $z_t$ goes on (section 2.2 of the paper).
#
# **Feel it.** A shelf of twelve pictures. Below each is its cosine with the caption: a bar to the right is similar, a
# bar to the left dissimilar, and the best one is framed. Move the slider and see what one word does. These pages were
# made beforehand, no kernel is needed.

# %% tags=["nbval-ignore-output"]
def scene(*things, layout="alone", background="paper", style="flat"):
    return Scene(tuple(Thing(*words.split()) for words in things), layout, background, style)

circle, square, column = "circle red big", "square blue big", {"layout": "column"}
scenes = {
    "red circle": scene(circle), "red star at night": scene("star red big", background="night"),
    "blue star at night": scene("star blue big", background="night"), "small green fish": scene("fish green small"),
    "crayon star": scene("star blue big", background="sunset", style="crayon"),
    "outlined moon": scene("moon yellow big", background="meadow", style="outlined"),
    "red circle above blue square": scene(circle, square, **column),
    "blue square above red circle": scene(square, circle, **column),
    "red circle left of blue square": scene(circle, square, layout="row"),
    "blue circle above red square": scene("circle blue big", "square red big", **column),
    "flower above fish": scene("flower pink small", "fish teal small", background="sky", style="dotted", **column),
    "three hearts": scene(*["heart red big"] * 3, layout="one above two", background="sky"),
}
shown = {name: to_tensor(render(one, 32)) for name, one in scenes.items()}
similarity_grid(finished, shown, [
    "a star", "a red star", "a blue star", "a blue star at sunset", "a heart and a heart and a heart",
    "a circle above a square", one, two, "a blue circle above a red square", "a red circle left of a blue square"])

# %% [markdown]
# And with a caption of your own, which needs a running kernel. Try a word that it does not know, too.

# %% tags=["nbval-ignore-output"]
SimilarityExplorer(finished, shown)

# %% [markdown]
# ## 7. What a CLIP gets wrong: a bag of words
#
# "a red circle above a blue square" and "a blue square above a red circle" are made of the same words. A reader who
# throws the words into a bag and looks what is in it cannot tell them apart. Large CLIPs turned out to be close to such
# readers ([Yuksekgonul et al., 2023](https://arxiv.org/abs/2210.01936)), and section 7 of the unCLIP paper
# blames CLIP's embedding for pictures in which colours end up on the wrong thing.
#
# We test it. For 200 pictures with two things, CLIP compares the true caption with one of the same words in which the
# things have changed places, or their colours:

# %%
def told(one, two, relation, seed):
    things = (Thing(one.kind, one.colour, None), Thing(two.kind, two.colour, None))
    return phrase(Statement(things, ((0, relation, 1),)), np.random.default_rng(seed))

def exchanged(scene, what, seed):
    one, two = scene.things if what == "colours" else scene.things[::-1]
    if what == "colours":
        one, two = replace(one, colour=two.colour), replace(two, colour=one.colour)
    return told(one, two, scene.relation(0, 1), seed)

example = Scene((Thing("circle", "red", "big"), Thing("square", "blue", "big")), "column", "paper", "flat")
print(told(*example.things, "above", 0), *(exchanged(example, what, 0) for what in ("places", "colours")), sep="\n")

# %%
def clear(scene):
    kinds, colours = {thing.kind for thing in scene.things}, {thing.colour for thing in scene.things}
    return len(scene.things) == len(kinds) == len(colours) == 2

pairs = [item for item in (Scenes("test", seed=7)[i] for i in range(1000)) if clear(item.scene)][:200]
z_pairs = {name: F.normalize(clip.encode_image(renders(pairs, 32)), dim=1) for name, clip in models.items()}
print(len(pairs), "pictures with two things that differ in kind and colour")

# %%
def prefers_truth(name, what):
    true = [told(*item.scene.things, item.scene.relation(0, 1), n) for n, item in enumerate(pairs)]
    false = [exchanged(item.scene, what, n) for n, item in enumerate(pairs)]
    z_true, z_false = (F.normalize(models[name].encode_text(texts).embed, dim=1) for texts in (true, false))
    return Share(int((z_pairs[name] * (z_true - z_false)).sum(dim=1).gt(0).sum()), len(pairs))

order = {(name, what): prefers_truth(name, what) for what in ("places", "colours") for name in models}
for what in ("places", "colours"):
    print(f"{what:8} guess 0.50", *(f"  {name} {order[name, what]}" for name in models))

# %%
claims.check("A share near 0.50 is a bag of words. Yours is one still: "
             f"{order['yours', 'places'].value:.2f} and {order['yours', 'colours'].value:.2f}. The finished CLIP knows "
             f"what stands where ({order['finished', 'places'].value:.2f}), and whose colour is whose "
             f"({order['finished', 'colours'].value:.2f}).",
             max(order["yours", what].value for what in ("places", "colours")) < 0.65
             and min(order["finished", what].value for what in ("places", "colours")) > 0.95)

# %% [markdown]
# **Why would a CLIP not learn that by itself?** Because nothing asks for it. Imagine a reader who knows everything
# about pictures and captions, except who stands where. Where several pictures of a batch fit a caption, the reader
# guesses among them: with $n$ that fit, the loss is $\log n$. What does the missing knowledge cost in a batch of 128
# single scenes?

# %%
def knowing(items, order):
    statements = [item.statement if order else replace(item.statement, relations=()) for item in items]
    fits = torch.tensor([[said.holds_in(item.scene) for item in items] for said in statements])   # captions in rows
    return (fits.sum(dim=0).log().mean() + fits.sum(dim=1).log().mean()) / 2

for name, siblings in {"single scenes": 1, "families of eight": 8}.items():
    batch = [Scenes("train", seed=8, siblings=siblings, chances=THOROUGH)[i] for i in range(128)]
    print(f"{name:17} loss of a reader who knows the order {knowing(batch, True):.2f}, who does not "
          f"{knowing(batch, False):.2f}")  # fmt: skip

# %% [markdown]
# With single scenes it costs next to nothing: hardly ever does a batch hold a second picture of the same
# things in other places. Whatever a model can do without, it need not learn.
#
# The second line shows what to do about it. In the recipe, scenes come in *families* of eight, `Scenes(siblings=8)`.
# Each second one is the *twin* of the one before: two of its things have exchanged their places, or only their
# colours, kinds or sizes. The pairs differ in one or two facts. Now ignorance has a price, and the loss of the model
# falls when it learns to read:

# %%
family = [Scenes("train", seed=8, siblings=8, chances=THOROUGH)[i] for i in range(32, 40)]
plots.show([item.image(128) for item in family], [item.caption for item in family])

# %% [markdown]
# Their captions leave out less than others do: two siblings that differ in style have the same caption, as far as
# anyone can tell, if neither says its style.
#
# **Does that really make the difference?** We try it with a CLIP that is so small that two trainings take seconds. It
# reads captions with the text encoder of section 2. It does not see pictures; their facts are handed over as numbers,
# so that reading is all there is to learn. All scenes are columns of two things.

# %%
class SmallCLIP(torch.nn.Module):
    def __init__(self):
        super().__init__()
        sizes = CLIPConfig(embed_width=64, text_width=64, text_layers=2, text_heads=4, context=16, activation="gelu")
        self.text, self.log_scale = TextEncoder(sizes, tokenizer.size), torch.nn.Parameter(torch.tensor(14.3).log())
        self.facts = torch.nn.Sequential(torch.nn.Linear(32, 128), torch.nn.GELU(), torch.nn.Linear(128, 64))

    def forward(self, scenes, captions):
        answers = [labels(scenes)[question] for question in ("kind 0", "colour 0", "kind 1", "colour 1")]
        facts = torch.cat([F.one_hot(answer, 8) for answer in answers], dim=1).float()          # (B, 32)
        return self.facts(facts), self.text(tokenizer(captions)[:, :16]).embed

    def loss(self, batch, rng):
        return contrastive_loss(*self(*batch), self.log_scale)

print(f"{sum(p.numel() for p in SmallCLIP().parameters()) / 1e6:.2f} million parameters")

# %% [markdown]
# Its batches hold 64 pairs. With twins, the second half has the things of the first half in each other's places.

# %%
def columns(twins, rng, count=64):
    things = [(draw_thing(rng), draw_thing(rng)) for _ in range(count)]
    if twins:
        things[count // 2 :] = [(low, high) for high, low in things[: count // 2]]
    scenes = [Scene(pair, "column", "paper", "flat") for pair in things]
    captions = [told(high, low, "above", n) if rng.random() < 0.5 else told(low, high, "below", n)
                for n, (high, low) in enumerate(things)]  # fmt: skip
    return scenes, captions

print(*columns(True, np.random.default_rng(0), count=4)[1], sep="\n")

# %%
def reads_order(model):
    z_i, z_t = (F.normalize(z, dim=1) for z in model(*columns(True, np.random.default_rng(1), count=400)))
    table = z_i @ z_t.T                                                   # the twin's caption is 200 columns away
    return (table.diag() > table.roll(200, dims=1).diag()).float().mean().item()

def small_training(twins):
    torch.manual_seed(0)
    model, rng, curve = SmallCLIP(), np.random.default_rng(0), {}
    config = TrainConfig(steps=150, batch=64, lr=2e-3, warmup=20, bf16=False)

    def loader(first_step):
        return (columns(twins, rng) for _ in range(config.steps))

    with torch.enable_grad():
        for record in Trainer(model, config).run(SmallCLIP.loss, loader):
            if record.step % 15 == 0:
                curve[record.step] = reads_order(model)
    return list(curve), list(curve.values())

lines = {"batches without twins": small_training(False), "batches with twins": small_training(True)}
plots.curves(lines, "steps", "prefers the true caption to its twin's")

# %% [markdown]
# The same network, the same number of pairs; only the batches differ.

# %%
without, with_twins = (curve[-1] for _, curve in lines.values())
claims.check(f"At the end the CLIP that saw twins prefers the true caption in {with_twins:.0%} of the cases, the other "
             f"in {without:.0%}; guessing is 50%.", with_twins > 0.9 and with_twins > without + 0.2)

# %% [markdown]
# Yuksekgonul et al. mend a large CLIP in the same spirit: they add captions with the words in a wrong order to the
# batch.
#
# ## 8. The space, and its axes
#
# What does the space look like in which captions and pictures meet? First: do they *really* meet?

# %%
album_t = finished.encode_text([item.caption for item in album]).embed
z_i, z_t = F.normalize(album_z["finished"], dim=1), F.normalize(album_t, dim=1)
centres = F.cosine_similarity(z_i.mean(dim=0), z_t.mean(dim=0), dim=0)
own, others = (z_i * z_t).sum(dim=1).mean(), (z_i * z_t.roll(1, dims=0)).sum(dim=1).mean()
claims.check(f"A picture and its own caption have a cosine of {own:.2f}, a picture and another caption one of "
             f"{others:.2f}. The mean picture and the mean caption have {centres:.2f}; were the two alike distributed, "
             "it would be near 1.", 0.5 < own < 0.95 and abs(others) < 0.2 and centres < 0.9)

# %% [markdown]
# A picture is nearer to its own caption than to others, but the two are by no means the same: the loss asks only for
# "nearer than the rest". And a caption leaves out what the picture must show. In large CLIPs all pictures lie on one
# side and all captions on another ([Liang et al., 2022](https://arxiv.org/abs/2203.02053)). A decoder that learned to
# draw from $z_i$ therefore should not be handed a $z_t$. To get from one to the other is the task of the *prior*,
# notebook 05.
#
# **A rotation changes nothing.** Cosines depend on angles between embeddings only. Turn all of them together, and every
# similarity stays what it was:

# %%
turn, _ = torch.linalg.qr(torch.randn(z_i.shape[1], z_i.shape[1], generator=g))          # a random rotation
before, after = z_i @ z_t.T, (z_i @ turn) @ (z_t @ turn).T
print(f"largest change of a cosine: {(after - before).abs().max():.7f}")

# %% [markdown]
# So the loss does not care where the axes point, and after training they point anywhere. We may choose. The last step
# of the recipe, `ClipRecipe.finish`, turns the space so that the first axis is the direction in which pictures differ
# most, the second the one in which they differ most of what is left, and so on: the *principal axes* of $z_i$. Your
# CLIP has not been turned yet. How strongly are its first axes correlated, before and after?

# %%
def largest_correlation(z):
    table = torch.corrcoef(z[:, :8].T)
    return (table - torch.eye(8)).abs().max()

def cosines_of_yours():
    return yours.similarity(yours.encode_image(images), yours.encode_text(captions).embed)

before = cosines_of_yours()
recipe.statistics = 1024                          # so many pictures tell the axes here; the recipe takes 4096
recipe.finish(yours)
turned = yours.encode_image(album_images)
print(f"largest correlation of two of the first eight axes: {largest_correlation(album_z['yours']):.2f} before, "
      f"{largest_correlation(turned):.2f} after")  # fmt: skip
print(f"largest change of a cosine: {(cosines_of_yours() - before).abs().max():.6f}")

# %% [markdown]
# Uncorrelated axes with a spread of their own are what the prior and the decoder want: dividing each axis by its
# standard deviation is then enough to bring all directions to one size.
#
# **How many axes are in use?** All embeddings have 128 numbers. If they varied equally, 99% of the variance would take
# 127 of them, as it nearly does for random numbers:

# %%
spaces = {"yours": turned, "finished": album_z["finished"], "random": torch.randn(400, 128, generator=g)}
spectra = {name: PCA.fit(z) for name, z in spaces.items()}
for name, pca in spectra.items():
    print(f"{name:9} 99% of the variance in {pca.components_for(0.99):3} of {len(pca.variances)} axes")

# %%
held = {name: pca.variances.cumsum(dim=0) / pca.variances.sum() for name, pca in spectra.items()}
plots.curves({name: (range(1, len(share) + 1), share) for name, share in held.items()},
               "principal axes", "share of the variance", log_x=True)  # fmt: skip

# %%
axes = spectra["finished"].components_for(0.99)
claims.check(f"{axes} of 128 axes hold 99% of what the finished CLIP says about pictures.", 15 < axes < 40)

# %% [markdown]
# How many are needed? Five points span at most four dimensions, so a CLIP that can tell the five backgrounds apart and
# nothing else would do with four axes. The more facts it knows, the more it takes.
#
# The paper, too, finds that a part is enough: of 1,024 axes it keeps 319, and loses less than 1% (section 2.2). The
# autoregressive prior of notebook 06 lives on that, since each axis that is kept is one more number to predict.
#
# **What are the first axes about?** The pictures of the album, each at its place on the first two:

# %%
x_y = spectra["finished"].project(album_z["finished"])[:100, :2]
plots.picture_map(album_images[:100], x_y, "principal axis 1", "principal axis 2")

# %% [markdown]
# Notebook 09 takes axes away and
# looks at what the decoder then draws.
#
# **What it has forgotten.** No caption says where in its part of the picture a thing stands (notebook 01, section 1),
# so nothing asked CLIP to keep it. Can its place be read from $z_i$? We fit the best linear formula on 1,200 pictures
# with one thing, and try it on 300 others. $R^2$ is the share of the variance that it explains: 1 is all, 0 nothing.

# %%
single = [item for item in (Scenes("train", seed=10)[i] for i in range(5000)) if len(item.scene.things) == 1][:1500]
z_single = F.normalize(finished.encode_image(renders(single, 32)), dim=1)
poses = [nuisance(item.scene).poses[0] for item in single]
place = torch.tensor([(pose.x, pose.y) for pose in poses], dtype=torch.float32)
red = torch.tensor([[float(item.scene.things[0].colour == "red")] for item in single])

def explained(z, what):
    z = torch.cat([z, torch.ones(len(z), 1)], dim=1)
    error = what[1200:] - z[1200:] @ torch.linalg.lstsq(z[:1200], what[:1200]).solution
    return 1 - error.square().mean() / what[1200:].var(dim=0, correction=0).mean()

noisy = z_single + finished.config.noise * torch.randn(z_single.shape, generator=g)
for name, z in {"z_i": z_single, "z_i with the noise of its training": noisy}.items():
    print(f"{name:35} where the thing stands {explained(z, place):5.2f}, whether it is red {explained(z, red):5.2f}")

# %%
where, colour = explained(noisy, place), explained(noisy, red)
claims.check(f"Under that noise the colour can still be read ({colour:.2f}), the place hardly ({where:.2f}).",
             colour > 0.8 and where < 0.3)

# %% [markdown]
# What a caption may say is written loudly, the rest at most in a whisper. That is what the decoder's noise will be free
# to decide.
#
# ## Summary
#
# | | |
# | --- | --- |
# | attention | $\text{softmax}(q k^\top / \sqrt d)\, v$: each word takes a weighted mean of what the others tell |
# | position | attention knows no order; a vector for each place is added to the words |
# | causal mask | a word sees itself and what came before; the end token has read everything and becomes $z_t$ |
# | ViT | patches as words; a class token collects and becomes $z_i$ |
# | contrastive loss | find your caption among those of the batch, and find your picture; the scale is learned |
# | zero-shot | one prompt for each class; take the most similar one |
# | twins | the same things with something exchanged, in the same batch: without them, nothing asks for word order |
# | noise on z_i | what stands out less than the noise is of no use, and is forgotten |
# | principal axes | a rotation changes no similarity; a part of the axes holds nearly all of the variance |
#
# ## Questions
#
# <details><summary>Why not train CLIP to make z_i and z_t of a pair equal, by their squared distance?</summary>
#
# Then the best answer is to map everything to the same point: the distance is zero, and nothing has been learned. The
# other captions in the batch are what forces the embeddings apart.
#
# </details>
#
# <details><summary>Two captions in a batch are the same. What happens?</summary>
#
# Both pictures fit both captions, but the loss counts one of them as wrong. At best the model shares its probability
# between the two, and the loss cannot go below that of this guess. Captions that leave much open make the same
# trouble: "a red thing" fits many pictures. The first number of each line in section 7 is the size of it.
#
# </details>
#
# <details><summary>Why is the text encoder masked, and the image encoder not?</summary>
#
# A caption is read from start to end, and one token, the last, can be the one that has seen all. Patches have no first
# and last. The class token sees all patches in every block, and they see each other.
#
# </details>
#
# <details><summary>Without positions and mask, order is lost. Would the mask alone be enough?</summary>
#
# Partly, yes. Under the mask the first word sees itself alone and the second one sees two words, so their vectors
# depend on where they stand. Section 1 left out both, the mask and the positions, to show attention as it is.
#
# </details>
#
# <details><summary>CLIP gives two different pictures the same z_i. Can the decoder still draw the right one?</summary>
#
# It sees the tokens of the caption as well, so it might. But the paper finds that they offer little help (section
# 2.1), and blames a $z_i$ that does not say what is where for colours that end up on the wrong thing (section 7,
# figures 14 and 15).
#
# </details>
#
# ## Where to read on
#
# - The code: [networks/transformer.py](../minunclip/networks/transformer.py), [clip.py](../minunclip/clip.py), the
#   recipe in [training/recipes/clip.py](../minunclip/training/recipes/clip.py), and the families in
#   [scenes/dataset.py](../minunclip/scenes/dataset.py).
# - The accuracy of the shipped CLIP on a thousand captions: [data/README.md](../data/README.md).
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125): section 2 for what CLIP is used for, section 2.2
#   for the axes, section 7 for its limits, Appendix C for the sizes. It trains CLIP with the optimiser *SAM*, which
#   it holds responsible for the small number of axes.
# - CLIP: [Radford et al., 2021](https://arxiv.org/abs/2103.00020), sections 2.3 to 2.5 and 3.1.
# - Attention: [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), sections 3.2 and 3.5.
# - Order: [Yuksekgonul et al., 2023](https://arxiv.org/abs/2210.01936).
