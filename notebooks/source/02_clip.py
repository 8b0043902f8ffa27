# %% [markdown]
# # 02 · CLIP: captions and pictures in one space
#
# "A red circle above a blue square" and "a blue circle above a red square": the same words, two different pictures. How
# can a machine know which caption belongs to which picture?
#
# CLIP ([Radford et al., 2021](https://arxiv.org/abs/2103.00020)) learns just that. It turns captions and pictures into
# lists of numbers of the same length, so that they can be compared. unCLIP is built on these lists: the *text
# embedding* $z_t$ is where a drawing begins, and the *image embedding* $z_i$ is what the decoder draws from.

# %%
import torch
import torch.nn.functional as F

from minunclip import plots
from minunclip.clip import CLIP
from minunclip.course import checks, claims, draw

# %%
from minunclip.scenes import Scene, Thing, render, to_tensor

torch.set_grad_enabled(False)                     # on again where something is trained

def scene(*things, layout="column", background="paper", style="flat"):
    return Scene(tuple(Thing(*words.split()) for words in things), layout, background, style)

four = {
    "a red circle above a blue square": scene("circle red big", "square blue big"),
    "a blue square above a red circle": scene("square blue big", "circle red big"),
    "a blue circle above a red square": scene("circle blue big", "square red big"),
    "a red square above a blue circle": scene("square red big", "circle blue big"),
}
plots.show([to_tensor(render(one, 128)) for one in four.values()], list(four), side=192)

# %%
finished = CLIP.from_pretrained("scenes")
four_images = torch.stack([to_tensor(render(one, 32)) for one in four.values()])
four_cosines = finished.similarity(
    finished.encode_image(four_images), finished.encode_text(list(four)).embed).T
others = four_cosines[~torch.eye(4, dtype=torch.bool)].mean()
claims.check(
    f"Each caption is most similar to its own picture: {four_cosines.diag().mean():.2f} in the "
    f"mean, and {others:.2f} for the other pictures.",
    bool((four_cosines.argmax(dim=1) == torch.arange(4)).all()))
plots.heatmap(four_cosines, list(four), four_images, "cosine of caption and picture")

# %% [markdown]
# **What you will see**
#
# 1. *Attention*. You write a whole layer of it, and CLIP runs with it.
# 2. From a caption to $z_t$.
# 3. From a picture to $z_i$.
# 4. The contrastive loss, on a table of three by three.
# 5. A CLIP of your own. After two minutes it finds the right one of 64 captions.
# 6. What CLIP is good for.
# 7. *Twins*: why a CLIP may read a caption as a bag of words, and what cures it.
# 8. What $z_i$ says loudly, what it whispers, and what is lost.
#
# **What you need to know before:** PyTorch tensors and modules, matrix products, softmax and cross-entropy (notebook 01
# has both on three numbers).
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("02_clip")

# %% [markdown]
# Reading takes about 40 minutes, the exercises another 45. The fast path, 20 minutes: sections 4, 5 and 7.
#
# ## 1. Attention
#
# To know what "circle" means in "red circle", a network must let one word take notice of another. In *attention* every
# word has three vectors: a **query** (what am I looking for?), a **key** (what am I?) and a **value** (what do I tell
# those who look at me?). Here they are, chosen by hand. The first number is about colours, the second about kinds.
# "circle" looks for a colour, the end token for both, "red" for nothing.

# %% tags=["nbval-check-output"]
from math import sqrt

words = ["red", "circle", "<end>"]
q = torch.tensor([[0.0, 0], [4, 0], [3, 3]])
k = torch.tensor([[1.0, 0], [0, 1], [0, 0]])
v = torch.tensor([[10.0, 0], [0, 10], [0, 0]])
scores = q @ k.T / sqrt(2)
print(scores.numpy().round(2))

# %% [markdown]
# Row $i$, column $j$ says how well the key of word $j$ fits the query of word $i$: their dot product. Softmax turns each
# row into weights that sum to 1. The answer for each word is the mean of all values, with these weights:

# %% tags=["nbval-check-output"]
weights = scores.softmax(dim=1)
answers = weights @ v
for word, row, answer in zip(words, weights, answers, strict=True):
    print(f"{word:7} weights {row.numpy().round(2)}  answer {answer.numpy().round(2)}")

# %% [markdown]
# "circle" gives 89% of its attention to "red", so it now knows about the red. The end token knows about both. In one
# line, with $d$ numbers in a key ([Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), equation 1):
#
# $$\text{Attention}(q, k, v) = \text{softmax}\!\left(\frac{q\,k^\top}{\sqrt d}\right) v$$

# %%
draw.attention()

# %% [markdown]
# **Why divide by $\sqrt d$?** A dot product is a sum of $d$ products. If the numbers are independent and of size 1, each
# product has variance 1, and variances add up: the sum has variance $d$, so its size is $\sqrt d$. Undivided, scores grow
# with the width, and softmax gives everything to the largest:

# %%
g = torch.Generator().manual_seed(0)
for d in (2, 32, 512):
    queries, keys = torch.randn(200, 1, d, generator=g), torch.randn(200, 100, d, generator=g)
    dots = (queries * keys).sum(dim=2)                                    # (200, 100)
    undivided, divided = (x.softmax(dim=1).amax(dim=1).mean() for x in (dots, dots / sqrt(d)))
    print(f"width {d:3}: dot products of size {dots.std():5.2f}, sqrt(d) = {sqrt(d):5.2f}; "
          f"largest of 100 weights {undivided:.2f}, with the division {divided:.2f}")
claims.check(
    f"At width 512 one word gets {undivided:.0%} of the attention if nothing is divided, and "
    f"{divided:.0%} with the division.", undivided > 0.8 and divided < 0.2)

# %% [markdown]
# A word that gets no attention gets no gradient either, so nothing could be learned about it.
#
# ### Exercise 1: Attention · ●○○ easy · 6 minutes
#
# For a batch: `q` is (B, N, d), `k` and `v` are (B, M, d), the answer is (B, N, d). The next cell tries your function
# and says what is wrong. As long as it is empty, the notebook runs on with ours.

# %% tags=["exercise"]
def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
attention = checks.mine(attention)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `k.transpose(1, 2)` is (B, d, M). The softmax runs over the keys, the last axis. The width is `q.shape[-1]`.
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
# **A layer** makes the three vectors from the word's own vector $x$, by one linear layer `qkv` whose weights are learned.
# And it looks in several ways at once: the numbers of $q$, $k$ and $v$ are divided among *heads*, each does its own
# attention, and a last linear layer `out` mixes the answers. Two heads of two numbers, by hand:

# %% tags=["nbval-check-output"]
from minunclip.networks import Attention, Block, causal_mask

layer, x = Attention(width=4, heads=2), torch.randn(1, 3, 4, generator=g)
parts = layer.qkv(x).chunk(3, dim=-1)                                     # q, k, v: (1, 3, 4)
heads = [attention(*(part[..., of_head] for part in parts)) for of_head in ([0, 1], [2, 3])]
torch.testing.assert_close(layer(x)[0], layer.out(torch.cat(heads, dim=-1)))
print("equal to the library's Attention")

# %% [markdown]
# A **block** adds a small network, the *MLP*, which works on each word alone. Both see $x$ normalised and *add* their answer
# to it, so that nothing is lost. A Transformer is a stack of blocks.

# %% tags=["nbval-check-output"]
block = Block(width=4, heads=2)
y = x + block.attention(block.norm_1(x))[0]
y = y + block.mlp(block.norm_2(y))
torch.testing.assert_close(block(x)[0], y)
print("equal to the library's Block")

# %% [markdown]
# **Attention has no idea of order.** No place occurs in its formula. We give two captions of the same words to CLIP's
# Transformer, first as words alone, then with a vector added to each word that stands for its **position**:

# %%
encoder, tokenizer = finished.text, finished.tokenizer

def end_of(caption, positions):
    tokens = tokenizer([caption])[:, : len(caption.split()) + 2]          # with start and end
    x = encoder.words(tokens) + positions[: tokens.shape[1]]
    return encoder.transformer(x)[0][0, -1]

one, two = "a red circle above a blue square", "a blue square above a red circle"
differ = [(end_of(one, positions) - end_of(two, positions)).abs().max().item()
          for positions in (0 * encoder.positions, encoder.positions)]
claims.check(
    f"The end token of the two captions differs by {differ[0]:.5f} without positions, and by "
    f"{differ[1]:.1f} with them.", differ[0] < 1e-3 and differ[1] > 0.1)

# %% [markdown]
# Vaswani et al. took sines and cosines of place for positions, as the diffusion models do for time. CLIP has a table
# instead, one vector for each position. It starts at random and is *learned*:

# %%
learned = F.normalize(encoder.positions[:20], dim=1)
alike = learned @ learned.T
places = [str(n) for n in range(20)]
plots.heatmap(alike, places, places, "cosine of two learned positions")

# %%
near, far = alike.diagonal(1).mean().item(), alike.diagonal(10).mean().item()
claims.check(
    "Nobody told CLIP which positions are neighbours, and it found out: their cosine is "
    f"{near:.2f} in the mean, that of positions ten places apart {far:.2f}.", near > far + 0.4)

# %% [markdown]
# **The causal mask.** In CLIP's text encoder a word may look at itself and at what came before. The other scores are set to
# $-\infty$ *before* the softmax, which makes their weights 0:

# %% tags=["nbval-check-output"]
print(scores.masked_fill(~causal_mask(3), -torch.inf).softmax(dim=1).numpy().round(2))

# %% [markdown]
# ### Exercise 2: A layer of attention · ●●● hard · 15 minutes
#
# Write the whole layer, for any number of heads, with a mask. `self.heads`, `self.qkv` and `self.out` are inherited. `x` is
# (B, N, width); `mask` is (N, N), True where row $i$ may look at column $j$. If yours is right, every Transformer from here
# on is made of it.

# %% tags=["exercise"]
class MyAttention(Attention):
    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        raise NotImplementedError

# %%
MyAttention = checks.mine(MyAttention)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A head has neighbouring numbers: `rearrange(part, "b n (h d) -> b h n d", h=self.heads)` gives (B, heads, N, d). Matrix
# products work on the last two axes, so heads need no loop. At the end, rearrange back.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# class MyAttention(Attention):
#     def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
#         q, k, v = (rearrange(part, "b n (h d) -> b h n d", h=self.heads)
#                    for part in self.qkv(x).chunk(3, dim=-1))
#         scores = q @ k.transpose(-1, -2) / sqrt(q.shape[-1])
#         if mask is not None:
#             scores = scores.masked_fill(~mask, -torch.inf)
#         y = scores.softmax(dim=-1) @ v
#         return self.out(rearrange(y, "b h n d -> b n (h d)"))
# ```
#
# </details>
#
# Ours and the one that we go on with, on the same weights. Then CLIP is loaded once more, now made of it:

# %%
from einops import rearrange

ours, mine, x = Attention(12, heads=3), MyAttention(12, heads=3), torch.randn(2, 6, 12)
mine.load_state_dict(ours.state_dict())
torch.testing.assert_close(mine(x, causal_mask(6)), ours(x, causal_mask(6))[0])
finished = CLIP.from_pretrained("scenes")
encoder, tokenizer = finished.text, finished.tokenizer
again = finished.similarity(
    finished.encode_image(four_images), finished.encode_text(list(four)).embed).T
change = (again - four_cosines).abs().max()
claims.check(f"The cosines at the top change by {change:.7f} at most.", change < 1e-4)

# %% [markdown]
# ## 2. From a caption to $z_t$
#
# A caption becomes numbers, one for each word, with a start and an end token around them. Each number picks a vector
# from a table, positions are added, the Transformer reads, and the vector of the end token is projected to $z_t$:

# %%
caption = "a red circle above a blue square at night"
names = ["<start>", *caption.split(), "<end>"]
ids = tokenizer([caption])[:, : len(names)]
print(*(f"{name} {number}" for name, number in zip(names, ids[0].tolist(), strict=True)), sep=", ")

def read(ids):
    x = encoder.words(ids) + encoder.positions[: ids.shape[1]]            # (B, L, width)
    x, _ = encoder.transformer(x, causal_mask(ids.shape[1]))
    return encoder.norm_out(x)

by_hand = encoder.project(read(ids)[:, -1])                               # (1, 128)
torch.testing.assert_close(by_hand, finished.encode_text([caption]).embed)
print("equal to encode_text:", tuple(by_hand.shape))

# %% [markdown]
# **Large models cut words into pieces.** Our world has 69 words, and any other is an error. The paper's CLIP must read
# everything. In *byte-pair encoding*, letters that often stand together are one token: a common word is one piece, a rare
# one several. (`_` marks the end of a word.)

# %%
from minunclip.text import BytePairTokenizer

pieces = BytePairTokenizer()
for text in ("a red circle above a blue square", "an axolotl reading a thesaurus"):
    print(*(pieces.decode([n]).replace(" ", "_") for n in pieces.encode(text)), sep=" | ")

# %% [markdown]
# So CLIP never sees how a word is spelled. The paper suspects this behind its unreadable signs (section 7).
#
# **Why the end token?** Because of the mask, it alone has read everything. What does it look at? Its weights in each head
# of the three blocks:

# %%
def end_weights(ids):
    h, rows = encoder.words(ids) + encoder.positions[: ids.shape[1]], []
    for block in encoder.transformer.blocks:
        q, k, _ = rearrange(block.attention.qkv(block.norm_1(h)),
                            "1 n (three h d) -> three h n d", three=3, h=4)
        rows.append((q[:, -1:] @ k.transpose(1, 2) / sqrt(q.shape[-1])).softmax(dim=-1)[:, 0])
        h, _ = block(h, causal_mask(ids.shape[1]))
    return torch.cat(rows)                                                # (12, L)

looks = end_weights(ids)
head_names = [f"block {n // 4 + 1}, head {n % 4 + 1}" for n in range(12)]
plots.heatmap(looks, head_names, names, "weights of the end token's attention")

# %%
sure = int((looks.amax(dim=1) > 0.9).sum())
claims.check(f"{sure} of the 12 heads give more than 90% of their attention to a single word.",
             sure >= 8)

# %% [markdown]
# **Find the bug.** In a batch, short captions are filled up with padding at the end. A colleague embeds captions like this.
# Nothing crashes, and pictures are found nearly as well as before. But each $z_t$ depends on its company:

# %%
def embed_wrongly(captions):
    ids = tokenizer(captions)
    ids = ids[:, : int(ids.argmax(dim=1).max()) + 1]                      # as long as the longest
    return encoder.project(read(ids)[:, -1])

long = ("a flat drawing of a tiny green fish and a big teal star both above a small orange moon "
        "at night")
alone, in_company = embed_wrongly(["a red circle"]), embed_wrongly(["a red circle", long])[:1]
wrong = F.cosine_similarity(alone, in_company).item()
claims.check(
    'Next to a longer caption, the cosine of "a red circle" with itself, embedded alone, is '
    f"{wrong:.2f}.", wrong < 0.97)

# %% [markdown]
# ### Exercise 3: Mend it · ●●○ medium · 6 minutes
#
# Write what is wrong as a function: from `tokens` (B, L, W) and `ids` (B, L) return each caption's end token, (B, W). Padding
# has the id 0, and the end token has the highest id of all.

# %% tags=["exercise"]
def end_tokens(tokens: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
end_tokens = checks.mine(end_tokens)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Where is the end of caption $b$? `tokens[rows, places]`, with two lists of B numbers, takes one vector of each row.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def end_tokens(tokens: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
#     return tokens[torch.arange(len(ids)), ids.argmax(dim=1)]
# ```
#
# </details>

# %%
both = tokenizer(["a red circle", long])
mended = F.cosine_similarity(alone, encoder.project(end_tokens(read(both), both))[:1]).item()
claims.check(f"Mended, the cosine is {mended:.4f}: padding does no harm, since no word looks ahead.",
             mended > 0.9999)

# %% [markdown]
# ## 3. From a picture to $z_i$
#
# A Transformer reads a row of vectors. To read a picture, cut it into patches and treat each as a word
# ([Dosovitskiy et al., 2021](https://arxiv.org/abs/2010.11929)). A patch of 8 x 8 pixels in three colours is a vector of
# 192 numbers:

# %%
image = four_images[0]
patches = rearrange(image, "c (h y) (w x) -> (h w) c y x", y=8, x=8)
plots.show(patches, [str(n) for n in range(1, 17)], columns=4, side=80,
           alt="the first picture, a red circle above a blue square, in 16 numbered patches")

# %% [markdown]
# ### Exercise 4: Patches · ●●● hard · 12 minutes
#
# From pictures (B, 3, S, S) to one row for each patch, (B, (S / patch)², 3 · patch²). The patches come in reading order.
# In a row, all of the red comes first, then green, then blue. No loops, and try it without `rearrange`.

# %% tags=["exercise"]
def patchify(images: torch.Tensor, patch: int) -> torch.Tensor:
    raise NotImplementedError

# %%
patchify = checks.mine(patchify)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `reshape` can split an axis: S becomes (S / patch, patch), which patch and where in it. Split both, then `permute` the six
# axes into the order in which you want to read them, and `reshape` again.
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
# </details>
#
# Code for ViT often shows a convolution here. It is the same: a kernel as large as a patch, moved by a whole patch each
# time, is a linear layer on patches.

# %% tags=["nbval-check-output"]
conv = torch.nn.Conv2d(3, 160, kernel_size=8, stride=8, bias=False)
linear = patchify(four_images, 8) @ conv.weight.flatten(1).T              # (4, 16, 160)
torch.testing.assert_close(rearrange(conv(four_images), "b d h w -> b (h w) d"), linear,
                           atol=1e-5, rtol=1e-4)
print("equal:", tuple(linear.shape))

# %%
draw.vision_transformer()

# %% [markdown]
# A learned *class token* goes in front. It has no patch of its own and collects what the others found. A picture has no
# order of reading, so nothing is masked.

# %%
def see(images, vit):
    h = rearrange(vit.patches(vit.stem(images)), "b d h w -> b (h w) d")  # (B, 16, width)
    h = torch.cat([vit.class_token.expand(len(h), 1, -1), h], dim=1)
    h, _ = vit.transformer(vit.norm_in(h + vit.positions))                # (B, 17, width)
    return vit.project(vit.norm_out(h[:, 0]))

by_parts = see(four_images, finished.image)
torch.testing.assert_close(by_parts, finished.encode_image(four_images), atol=1e-4, rtol=1e-4)
print("equal to encode_image:", tuple(by_parts.shape))

# %% [markdown]
# **Unlike the paper.** Its CLIP is larger: pictures of 256 x 256 in 256 patches, 32 blocks of width 1280 for pictures, 24 of
# width 1024 for text (Appendix C). Ours has 3 blocks each, of width 160 and 128, and a few ordinary convolutions in front,
# the *stem*, with which small models see edges sooner ([Xiao et al., 2021](https://arxiv.org/abs/2106.14881)).
#
# ## 4. The contrastive loss
#
# Nobody can say what the right numbers for $z_i$ and $z_t$ are. CLIP is asked something else: in this batch, *which
# caption belongs to which picture?*

# %%
draw.contrastive_matrix()

# %% [markdown]
# Three pictures and three captions, with embeddings of length 1. The dot product of two such vectors is the *cosine* of
# the angle between them. For a *choice* we multiply the cosines by a scale, here 5, and take the softmax: of each row to
# choose a caption, of each column to choose a picture.

# %% tags=["nbval-check-output"]
z_i = torch.tensor([[0.8, 0.6, 0.0], [0.0, 1.0, 0.0], [0.6, 0.0, 0.8]])
z_t = torch.eye(3)
table = z_i @ z_t.T                                                       # pictures in rows
by_picture, by_caption = (5 * table).softmax(dim=1), (5 * table).softmax(dim=0)
print(table.numpy(), by_picture.numpy().round(2), by_caption.numpy().round(2), sep="\n\n")

# %% [markdown]
# The pairs stand on the diagonal. Picture 1 gives its own caption 72%, caption 2 its own picture 88%. The loss is the mean of $-\log$ of all the
# right ones, in both directions (figure 3 of Radford et al.). With $s$ for the scale and $B$ pairs:
#
# $$L = -\frac{1}{2B} \sum_{n=1}^B \left( \log \frac{e^{s \cos(z_i^n,\, z_t^n)}}{\sum_m e^{s \cos(z_i^n,\, z_t^m)}}
# + \log \frac{e^{s \cos(z_i^n,\, z_t^n)}}{\sum_m e^{s \cos(z_i^m,\, z_t^n)}} \right)$$
#
# ### Exercise 5: The contrastive loss · ●●○ medium · 8 minutes
#
# For embeddings of any length: `z_i` and `z_t` are (B, D), pair by pair. Return a tensor with one number. If yours is
# right, your CLIP in section 5 is trained with it.

# %% tags=["exercise"]
def clip_loss(z_i: torch.Tensor, z_t: torch.Tensor, scale: float) -> torch.Tensor:
    raise NotImplementedError

# %%
clip_loss = checks.mine(clip_loss)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `F.normalize(z, dim=-1)` makes the length 1. `F.cross_entropy(table, answers)` is the mean over the rows; the answer of row
# $n$ is $n$. For the columns, transpose the table.
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
# **What the scale does.** A cosine is at most 1, so without a scale the model could never be sure. But a large scale has
# a price: where the order is wrong, the loss is huge. In the last column picture 1 is mistaken, with 0.6 for its own
# caption and 0.8 for the second one:

# %%
mistaken = z_i.clone()
mistaken[0] = torch.tensor([0.6, 0.8, 0.0])
cost = {s: (clip_loss(z_i, z_t, s).item(), clip_loss(mistaken, z_t, s).item())
        for s in (1, 5, 14.3, 100)}
for s, (all_right, one_mistake) in cost.items():
    print(f"scale {s:5}: all right {all_right:.3f}, with one mistake {one_mistake:.3f}")
scale = finished.log_scale.exp().item()
claims.check(
    f"At scale 100 being right costs {cost[100][0]:.3f}, and one mistake {cost[100][1]:.1f}. The "
    f"finished CLIP chose {scale:.0f}.",
    cost[100][0] < 0.01 and cost[100][1] > 2 and 15 < scale < 100)

# %% [markdown]
# So the scale is learned too, as its logarithm, which keeps it positive. It starts at 1 / 0.07 and may go up to 100. (One
# over the scale is called the *temperature*.)
#
# **Unlike the paper: noise.** In the training of our CLIP, Gaussian noise of size 0.02 is added to each number of the
# normalised $z_i$. What stands out less than the noise cannot help to find the pair. Section 8 shows why we want that.
#
# ## 5. A CLIP of your own
#
# The finished CLIP learned from 2,400 batches of 256 pairs, which takes an hour. For two minutes we cut the task down: one
# thing on paper, whose caption names colour and kind. Network and loss stay the same. Three combinations, such as the purple
# star, never occur in training.

# %%
import numpy as np

from minunclip.scenes import COLOURS, HELD_OUT, KINDS, SIZES, pick

pairs = [(colour, kind) for colour in COLOURS for kind in KINDS]
titles = [f"{'an' if colour == 'orange' else 'a'} {colour} {kind}" for colour, kind in pairs]
seen = [n for n, pair in enumerate(pairs) if pair not in HELD_OUT]

def pictures(numbers, rng):
    scenes = [Scene((Thing(pairs[n][1], pairs[n][0], pick(rng, SIZES)),), "alone", "paper",
                    "flat", seed=int(rng.integers(2**31))) for n in numbers]
    return torch.stack([to_tensor(render(one, 32)) for one in scenes])

examples = np.random.default_rng(1).permutation(seen)[:8]
plots.show(pictures(examples, np.random.default_rng(1)), [titles[n] for n in examples],
           columns=8, side=96)

# %% [markdown]
# A batch has each of the 61 captions once. On the way your CLIP must name 256 unseen pictures, and find the six that fit
# "a red star" best.
#
# **Predict, then run.** Which does it learn first, colours or kinds?

# %%
from dataclasses import replace

from minunclip.training import TrainConfig, Trainer
from minunclip.training.recipes import ClipRecipe

recipe = ClipRecipe()
config = replace(recipe.profiles["cpu"], steps=100, batch=len(seen), warmup=20)
torch.manual_seed(0)
yours, rng = recipe.build(), np.random.default_rng(0)
gallery = torch.arange(64).repeat(4)                                      # 4 pictures a caption
gallery_images = pictures(gallery.tolist(), np.random.default_rng(2))
known, found = {}, {}

def look(step):
    cosines = yours.similarity(
        yours.encode_image(gallery_images), yours.encode_text(titles).embed)
    named = cosines.argmax(dim=1)                                         # number = 8 colour + kind
    hits = {"colour": named // 8 == gallery // 8, "kind": named % 8 == gallery % 8,
            "both": named == gallery}
    known[step] = {what: hit.float().mean().item() for what, hit in hits.items()}
    found[step] = cosines[:, titles.index("a red star")].argsort(descending=True)[:6]

# %%
def loader(first_step):
    for _ in range(config.steps):
        numbers = rng.permutation(seen)
        yield pictures(numbers, rng), yours.tokenizer([titles[n] for n in numbers])

look(0)
records = []
with torch.enable_grad():
    for record in Trainer(yours, config).run(lambda m, batch, g: m.loss(*batch, g), loader):
        records.append(record)
        if record.step in (10, 25, 50, 75, 100):
            with torch.no_grad():
                look(record.step)
print(f"loss: guessing {np.log(len(seen)):.2f}, step 1 {records[0].loss:.2f}, "
      f"last ten steps {np.mean([record.loss for record in records[-10:]]):.2f}")

# %%
plots.curves({what: (list(known), [at[what] for at in known.values()])
              for what in ("colour", "kind", "both")}, "steps", "share of 256 pictures named right")

# %%
strip = torch.cat([gallery_images[numbers] for numbers in found.values()])
told = [f"step {step}" if n == 0 else "" for step in found for n in range(6)]
plots.show(strip, told, columns=6, side=80, title="the six pictures that fit 'a red star' best",
           alt="six pictures a row, by step: at first anything, then red things, then red stars")

# %%
new = torch.tensor([n for n, pair in enumerate(pairs) if pair in HELD_OUT]).repeat(20)
new_z = yours.encode_image(pictures(new.tolist(), np.random.default_rng(3)))
new_named = yours.similarity(new_z, yours.encode_text(titles).embed).argmax(dim=1)
held_out = (new_named == new).float().mean().item()
claims.check(
    f"Before the training {known[0]['both']:.0%} of the pictures get the right one of 64 "
    f"captions, afterwards {known[100]['both']:.0%}.",
    known[0]["both"] < 0.1 and known[100]["both"] > 0.6)
claims.check(
    f"Colours come first. At step 25 {known[25]['colour']:.0%} of the colours are right, and "
    f"{known[25]['kind']:.0%} of the kinds.", known[25]["colour"] > known[25]["kind"] + 0.3)
claims.check(
    f"Of purple stars, yellow fish and teal hearts, which it never saw, {held_out:.0%} are named "
    f"right. Guessing would be {1 / 64:.0%}.", held_out > 0.2)

# %% [markdown]
# A colour can be read off any patch; for a kind, patches must be put together. Yours did not learn names by heart, either:
# it put together words that it knew. The full training is `minunclip train clip`.
#
# **Loading the finished weights.** From here on we use the finished CLIP. For 120 unseen pictures each fact of the caption is
# replaced by all its other values in turn. How often is the true caption the most similar one?

# %%
from minunclip.evaluation import labels, renders, told_apart, zero_shot
from minunclip.scenes import Scenes

facts = zero_shot(finished, [Scenes("test", seed=1)[i] for i in range(120)])
for (fact, share), values in zip(facts.items(), (8, 8, 2, 4, 5, 6), strict=True):
    print(f"{fact:11} guess {1 / values:.2f}   finished {share}")
worst = min(facts, key=lambda fact: facts[fact].value)
claims.check(f"The finished CLIP knows every fact. The hardest, {worst}, is right in "
             f"{facts[worst].value:.0%} of the pictures.", facts[worst].value > 0.85)

# %% [markdown]
# ## 6. What it is good for
#
# **Zero-shot classification.** CLIP was never trained to sort pictures into kinds. Yet it can: write one caption for each
# kind, the *prompts*, and take the most similar one.

# %%
star = scene("star red big", layout="alone", background="night", style="crayon")
prompts = [f"a {kind}" for kind in KINDS]
star_z = finished.encode_image(to_tensor(render(star, 32))[None])
logits = scale * finished.similarity(star_z, finished.encode_text(prompts).embed)[0]
plots.bars(dict(zip(prompts, logits.softmax(dim=0).tolist(), strict=True)),
           "probability for a red star at night, in crayon")

# %%
def kinds_right(split):
    single = [item for item in (Scenes(split, seed=5)[i] for i in range(700))
              if len(item.scene.things) == 1][:200]
    cosines = finished.similarity(
        finished.encode_image(renders(single, 32)), finished.encode_text(prompts).embed)
    truth = labels([item.scene for item in single])["kind 0"]
    return (cosines.argmax(dim=1) == truth).float().mean().item()

usual, unusual = kinds_right("test"), kinds_right("held-out")
claims.check(
    f"The kind is right in {usual:.0%} of unseen pictures, and in {unusual:.0%} of purple stars, "
    "yellow fish and teal hearts.", usual > 0.9 and unusual > 0.8)

# %% [markdown]
# **Finding pictures.** The other direction: one caption, 400 pictures. In our world we can look up whether what was found
# is *true*.

# %%
album = [Scenes("test", seed=6)[i] for i in range(400)]
album_images = renders(album, 32)
album_z = F.normalize(finished.encode_image(album_images), dim=1)
album_t = F.normalize(finished.encode_text([item.caption for item in album]).embed, dim=1)
wish = "a crayon drawing of a yellow thing at night"
fit = finished.similarity(album_z, finished.encode_text([wish]).embed)[:, 0]
best = fit.argsort(descending=True)[:6]
first = (album_t @ album_z.T).argmax(dim=1).tolist()
true = sum(item.statement.holds_in(album[n].scene) for n, item in zip(first, album, strict=True))
claims.check(
    f"For {true / 400:.0%} of the album's 400 captions, all that is said holds in the picture that "
    "comes first. Below, the six that fit a wish of ours best.", true / 400 > 0.9)
plots.show(album_images[best], [f"{fit[n]:.2f}" for n in best], columns=6, title=wish)

# %% [markdown]
# unCLIP compares in the same way when it draws: of two candidates for $z_i$ it keeps the one with the larger dot product
# with $z_t$ (section 2.2).
#
# **Feel it.** Twelve pictures, each with its cosine; the best is framed. The slider works without a kernel, the field
# below needs one.

# %% tags=["nbval-ignore-output"]
from minunclip.course.widgets.clip import SimilarityExplorer, similarity_grid

shelf = {
    "red circle": scene("circle red big", layout="alone"),
    "red star at night": scene("star red big", layout="alone", background="night"),
    "blue star at night": scene("star blue big", layout="alone", background="night"),
    "small green fish": scene("fish green small", layout="alone"),
    "crayon star": scene("star blue big", layout="alone", background="sunset", style="crayon"),
    "outlined moon": scene("moon yellow big", layout="alone", background="meadow",
                           style="outlined"),
    **{name.removeprefix("a ").replace(" a ", " "): one for name, one in four.items()},
    "circle left of square": scene("circle red big", "square blue big", layout="row"),
    "three hearts": scene(*["heart red big"] * 3, layout="one above two", background="sky"),
}
shelf = {name: to_tensor(render(one, 32)) for name, one in shelf.items()}
similarity_grid(finished, shelf, [
    "a star", "a red star", "a blue star at sunset", "a heart and a heart and a heart", *four,
    "a circle above a square", "a red circle left of a blue square"])

# %% tags=["nbval-ignore-output"]
SimilarityExplorer(finished, shelf)

# %% [markdown]
# ## 7. Twins
#
# A reader who throws the words of a caption into a bag cannot tell "a red circle above a blue square" from "a blue circle
# above a red square". Large CLIPs turned out to be close to such readers ([Yuksekgonul et al.,
# 2023](https://arxiv.org/abs/2210.01936)), and the paper blames CLIP for colours that end up on the wrong thing (section 7).
# We test ours: the true caption against one in which two things have exchanged their kinds, colours, sizes or places.

# %%
of_two = [item for item in (Scenes("test", seed=7)[i] for i in range(400))
          if len(item.scene.things) == 2][:150]
apart = told_apart(finished, of_two)
for what, share in apart.items():
    print(f"{what:17} guess 0.50   finished {share}")
claims.check(
    f"Exchanged colours are told apart in {apart['colour exchanged'].value:.0%} of the pictures, "
    f"kinds in {apart['kind exchanged'].value:.0%}, sizes in {apart['size exchanged'].value:.0%}, "
    f"places in {apart['place exchanged'].value:.0%}.",
    min(share.value for share in apart.values()) > 0.95)

# %% [markdown]
# No bag of words. **Why did it learn that?** Imagine a reader who knows everything except who stands where. Where $n$ pictures
# of a batch fit a caption, the reader guesses among them, which costs $\log n$. What is the price of not knowing, in a batch
# of 128?

# %%
from minunclip.scenes import THOROUGH

def loss_of_reader(items, knows_places):
    said = [item.statement if knows_places else replace(item.statement, relations=())
            for item in items]
    fits = torch.tensor([[one.holds_in(item.scene) for item in items] for one in said])
    return ((fits.sum(dim=0).log().mean() + fits.sum(dim=1).log().mean()) / 2).item()

singles = Scenes("train", seed=8, chances=THOROUGH)
price = {}
for name, dataset in {"single scenes": singles, "families": recipe.dataset}.items():
    batch = [dataset[i] for i in range(128)]
    price[name] = loss_of_reader(batch, False) - loss_of_reader(batch, True)
claims.check(
    f"Among single scenes ignorance costs {price['single scenes']:.3f}: next to nothing. In the "
    f"batches of our recipe it costs {price['families']:.2f}.",
    price["single scenes"] < 0.05 and price["families"] > 0.2)

# %% [markdown]
# Hardly ever does a random batch hold a second picture of the same things in other places. What a model can do without, it
# need not learn. So our recipe draws *families* of eight. Each second picture is the **twin** of the one before: two things
# have exchanged their places, or only their colours, kinds or sizes.

# %%
family = [recipe.dataset[i] for i in range(32, 40)]
plots.show([item.image(128) for item in family], [item.caption for item in family])

# %% [markdown]
# **Do twins really make the difference?** We try it with a CLIP so small that a training takes seconds. It reads captions as
# in section 2, but sees no pictures: facts are handed over as numbers, so that reading is all there is to learn. All scenes
# are columns of two things.

# %%
from minunclip.clip import CLIPConfig, TextEncoder, contrastive_loss

class SmallCLIP(torch.nn.Module):
    def __init__(self):
        super().__init__()
        sizes = CLIPConfig(embed_width=64, text_width=64, text_layers=2, text_heads=4,
                           context=16, activation="gelu")
        self.text = TextEncoder(sizes, tokenizer.size)
        self.log_scale = torch.nn.Parameter(torch.tensor(14.3).log())
        self.facts = torch.nn.Sequential(
            torch.nn.Linear(32, 128), torch.nn.GELU(), torch.nn.Linear(128, 64))

    def forward(self, columns, captions):
        truth = labels([Scene(column, "column", "paper", "flat") for column in columns])
        asked = ("kind 0", "colour 0", "kind 1", "colour 1")
        numbers = torch.cat([F.one_hot(truth[name], 8) for name in asked], dim=1).float()
        return self.facts(numbers), self.text(tokenizer(captions)[:, :16]).embed

    def loss(self, batch, rng):
        return contrastive_loss(*self(*batch), self.log_scale)

# %% [markdown]
# Its batches hold 64 pairs. With twins, the second half repeats the first half with something exchanged:

# %%
from minunclip.scenes import draw_thing

def said(column, rng):
    high, low = (titles[pairs.index((thing.colour, thing.kind))] for thing in column)
    return f"{high} above {low}" if rng.random() < 0.5 else f"{low} below {high}"

def exchanged(column, fact):
    a, b = column
    return replace(a, **{fact: getattr(b, fact)}), replace(b, **{fact: getattr(a, fact)})

def batch_of(twins, rng, share=0.5):
    columns = [(draw_thing(rng), draw_thing(rng)) for _ in range(64)]
    if twins:
        for n in range(int(64 * share)):
            columns[63 - n] = exchanged(columns[n], twins[n % len(twins)])
    return columns, [said(column, rng) for column in columns]

columns, captions = batch_of(["colour"], np.random.default_rng(0))
print(captions[0], captions[63], sep="\n")

# %%
def share_apart(model, fact):
    rng = np.random.default_rng(1)
    drawn = [(draw_thing(rng), draw_thing(rng)) for _ in range(400)]
    two = [pair for pair in drawn if pair[0].kind != pair[1].kind and pair[0].colour != pair[1].colour]
    z_i, right = (F.normalize(z, dim=1) for z in model(two, [said(pair, rng) for pair in two]))
    swapped = [said(exchanged(pair, fact), rng) for pair in two]
    return (z_i * (right - F.normalize(model(two, swapped)[1], dim=1))).sum(dim=1).gt(0).float().mean()

def small_training(twins, share=0.5, seed=0):
    torch.manual_seed(seed)
    model, rng = SmallCLIP(), np.random.default_rng(seed)
    small = TrainConfig(steps=200, batch=64, lr=2e-3, warmup=20, bf16=False)

    def small_batches(first_step):
        return (batch_of(twins, rng, share) for _ in range(small.steps))

    with torch.enable_grad():
        list(Trainer(model, small).run(SmallCLIP.loss, small_batches))
    return torch.stack([share_apart(model, fact) for fact in ("colour", "kind")])

# %% [markdown]
# **Predict, then run.** Four trainings: the same network, the same number of pairs, only the twins differ. Which of the
# four can tell exchanged *kinds* apart?

# %%
trained = {"no twins": [], "twins in colour": ["colour"], "twins in kind": ["kind"],
           "both": ["colour", "kind"]}
results = torch.stack([small_training(twins) for twins in trained.values()])
plots.heatmap(results, list(trained), ["colours exchanged", "kinds exchanged"],
              "told apart (guess 0.50)")

# %%
none, in_colour, in_kind, in_both = results.tolist()
claims.check(f"Without twins it is a bag of words: {none[0]:.0%} and {none[1]:.0%}.", max(none) < 0.8)
claims.check(
    f"Each kind of twin teaches its own fact: with twins in colour {in_colour[0]:.0%} of the colours "
    f"are told apart and {in_colour[1]:.0%} of the kinds; with twins in kind {in_kind[1]:.0%} of the "
    f"kinds and {in_kind[0]:.0%} of the colours.",
    min(in_colour[0], in_kind[1]) > 0.9 and max(in_colour[1], in_kind[0]) < 0.85)
claims.check(f"With both it is {in_both[0]:.0%} and {in_both[1]:.0%}.", min(in_both) > 0.9)

# %% [markdown]
# What is exchanged is what is learned, and no more. An earlier CLIP of ours had twins in places only. To tell those apart
# it is enough to know where each *kind* stands, and exchanged colours were told apart in 56% of the cases.
#
# **Design an experiment.** How few twins are enough? `small_training(twins, share, seed)` is ready. Write down what you
# expect for a share of 0.02, 0.1 and 0.5, what you will measure, and what must stay the same.
#
# <details><summary>One way</summary>
#
# Network, steps, batch and test stay; only `share` changes. Take three seeds each: if two means differ by less than the
# seeds do, nothing was shown. Few twins may also only teach *later*, so try the smallest share with twice the steps.
#
# </details>
#
# ## 8. Loud, whispered, lost
#
# The loss asks only that a picture is nearer to its own caption than to others, and a caption leaves out what a picture must
# show. So $z_t$ is not $z_i$; the *prior*, notebook 05, makes the one from the other. What does $z_i$ itself say?
#
# Cosines do not change if all embeddings are turned together, so after training the axes point anywhere. Our recipe turns
# them: along the first axis pictures differ most, along the second they differ most in what is left, and so on. These are
# the *principal axes* of $z_i$:

# %%
from minunclip.embeddings import PCA

noise = finished.config.noise
pca = PCA.fit(album_z)
spread = pca.variances.sqrt()
plots.curves({"spread of 400 pictures": (range(1, 41), spread[:40].tolist()),
              "noise in training": (range(1, 41), [noise] * 40)}, "principal axis", "spread of z_i")

# %%
above, axes = int((spread > noise).sum()), pca.components_for(0.99)
claims.check(f"{above} of 128 axes spread more than the noise. {axes} axes hold 99% of the variance.",
             15 < above < 50 and 15 < axes < 50)

# %% [markdown]
# The paper, too, finds that a part is enough: it keeps 319 of 1,024 axes and loses less than 1% (section 2.2). The
# pictures of the album, each at its place on the first two axes:

# %%
on_axes = pca.project(album_z)[:, :2]
album_facts = labels([item.scene for item in album])

def explained_by(fact, x):
    means = torch.stack([x[album_facts[fact] == value].mean() for value in album_facts[fact]])
    return (means.var() / x.var()).item()

parts_of_1 = {fact: explained_by(fact, on_axes[:, 0])
              for fact in ("kind 0", "colour 0", "background", "style")}
claims.check(
    f"Axis 1 is about kinds: the kind of the first thing explains {parts_of_1['kind 0']:.0%} of it, "
    f"its colour {parts_of_1['colour 0']:.0%}, the background {parts_of_1['background']:.0%}.",
    parts_of_1["kind 0"] > 0.5)
plots.picture_map(album_images[:120], on_axes[:120], "principal axis 1", "principal axis 2")

# %% [markdown]
# No caption says where exactly a thing stands, how it is turned, or what its tint is. Can that be read from $z_i$, and what
# is left under the noise? We fit the best linear formula on 1,200 pictures with one thing and try it on 300 others. Facts
# are counted; for measures we take $R^2$, the share of the variance that is explained.

# %%
from minunclip.scenes import nuisance

alone_set = Scenes("train", seed=10, counts=(1.0, 0.0, 0.0), roam=1.0)    # anywhere in the picture
single = [alone_set[i] for i in range(1500)]
single_z = F.normalize(finished.encode_image(renders(single, 32)), dim=1)
single_facts = labels([item.scene for item in single])
poses = [nuisance(item.scene).poses[0] for item in single]
measures = {"place": torch.tensor([[pose.x, pose.y] for pose in poses]).float(),
            "turn": torch.tensor([[pose.turn] for pose in poses]).float(),
            "tint": torch.tensor([pose.tint for pose in poses]).float()}

def read_off(z, truth):
    z = torch.cat([z, torch.ones(len(z), 1)], dim=1)
    return z[1200:] @ torch.linalg.lstsq(z[:1200], truth[:1200]).solution

def readable(z):
    right = {fact: (read_off(z, F.one_hot(single_facts[fact]).float()).argmax(dim=1)
                    == single_facts[fact][1200:]).float().mean().item()
             for fact in ("colour 0", "background", "style", "size 0", "kind 0")}
    left = {name: 1 - (read_off(z, truth) - truth[1200:]).square().mean().item()
            / truth[1200:].var(dim=0, correction=0).mean().item() for name, truth in measures.items()}
    return right | {name: max(0.0, value) for name, value in left.items()}

# %%
noisy = single_z + noise * torch.randn(single_z.shape, generator=g)
clean, under_noise = readable(single_z), readable(noisy)
plots.heatmap(torch.tensor([list(clean.values()), list(under_noise.values())]),
              ["z_i as it is", f"with noise of {noise}"], list(clean),
              "facts: share right; place, turn, tint: R²")

# %%
claims.check(
    f"Said loudly: under the noise the colour can still be read in {under_noise['colour 0']:.0%} of "
    f"the pictures, the style in {under_noise['style']:.0%}, the kind in {under_noise['kind 0']:.0%}.",
    min(under_noise["colour 0"], under_noise["style"]) > 0.9 and under_noise["kind 0"] > 0.6)
claims.check(
    f"Whispered: the place can be read from z_i with an R² of {clean['place']:.2f}, and under the "
    f"noise with {under_noise['place']:.2f}.", clean["place"] > 0.4 and under_noise["place"] < 0.2)
claims.check(f"Lost: the turn ({clean['turn']:.2f}) and the tint ({clean['tint']:.2f}).",
             max(clean["turn"], clean["tint"]) < 0.2)

# %% [markdown]
# That is why we train with noise. Before we had it, and twins in colour, our CLIP wrote whose colour is whose as faintly as
# the places. A decoder that listened to the one heard the other as well, and all variations of a picture looked alike. Now
# it reads $z_i$ down to the noise and no further: facts get through, places do not. The decoder's own noise decides those,
# as the paper wants it (section 3.1). Notebooks 07 and 10 show it.

# %%
checks.in_use()

# %% [markdown]
# ## Summary
#
# | | |
# | --- | --- |
# | attention | $\text{softmax}(q k^\top / \sqrt d)\, v$: each word takes a weighted mean of what the others tell |
# | position | attention knows no order; a vector for each place is added to the words |
# | causal mask | a word sees itself and what came before; the end token has read all and becomes $z_t$ |
# | ViT | patches as words; a class token collects and becomes $z_i$ |
# | contrastive loss | find your caption in the batch, and find your picture; the scale is learned |
# | twins | something exchanged, in the same batch: what is exchanged is what is learned |
# | noise on $z_i$ | what is to be used must be said louder than the noise |
#
# **What you can do now:** write a layer of attention and run a model with it, train a CLIP, use it to name and find
# pictures, test whether it binds words to things, and say what its embedding keeps.
#
# ## Questions
#
# <details><summary>Why not train CLIP to make z_i and z_t of a pair equal, by their squared distance?</summary>
#
# Then everything could be mapped to one point. The other captions of the batch push embeddings apart.
#
# </details>
#
# <details><summary>Two captions in a batch are the same. What happens?</summary>
#
# Both pictures fit both, but the loss counts one as wrong. At best the model gives each one half, which costs log 2.
#
# </details>
#
# <details><summary>Why is the text encoder masked, and the image encoder not?</summary>
#
# A caption has an end, which can be the token that has read all. Patches have no first and last.
#
# </details>
#
# <details><summary>Without positions order is lost. Would the causal mask alone be enough?</summary>
#
# Partly: the first word sees itself, the second sees two words, so their vectors depend on their place.
#
# </details>
#
# <details><summary>Your keys have 64 numbers. By what are scores divided, and by what if there are 8 heads of 8?</summary>
#
# By 8, and by the root of 8: $d$ is the width of one head.
#
# </details>
#
# <details><summary>Is a loss of 1.2 better than one of 2.0?</summary>
#
# Only at the same batch size: guessing costs its logarithm.
#
# </details>
#
# <details><summary>CLIP sees only twins in colour. Which exchanged captions can it tell apart?</summary>
#
# Those with exchanged colours. It need not know which kind stands where, so it hardly does.
#
# </details>
#
# <details><summary>A caption never says how a thing is turned. Should z_i say it?</summary>
#
# It need not: no caption asks for it. The decoder is then free to choose, which is what we want of variations.
#
# </details>
#
# <details><summary>Why can CLIP name a purple star if it never saw one?</summary>
#
# It saw purple things and stars, and captions are read as words that combine.
#
# </details>
#
# <details><summary>Two pictures have the same z_i. Can the decoder still draw the right one?</summary>
#
# It sees the tokens of the caption as well, so it might. The paper finds that they help little (section 2.1).
#
# </details>
#
# ## Where to read on
#
# - The code: [networks/transformer.py](../minunclip/networks/transformer.py), [clip.py](../minunclip/clip.py),
#   [training/recipes/clip.py](../minunclip/training/recipes/clip.py); families and twins in
#   [scenes/dataset.py](../minunclip/scenes/dataset.py).
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125): section 2 for what CLIP is used for, 2.2 for the axes,
#   7 for limits, Appendix C for sizes. It trains CLIP with the optimiser *SAM*, which it holds responsible for the small
#   number of axes.
# - CLIP: [Radford et al., 2021](https://arxiv.org/abs/2103.00020), sections 2.3 to 2.5 and 3.1.
# - Attention: [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), sections 3.2 and 3.5.
# - Order: [Yuksekgonul et al., 2023](https://arxiv.org/abs/2210.01936), who mend a large CLIP with captions in a wrong order.
