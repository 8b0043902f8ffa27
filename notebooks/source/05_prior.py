# %% [markdown]
# # 05 · The diffusion prior: from a caption to an image embedding
#
# The decoder of unCLIP draws from $z_i$, the embedding that CLIP makes of a *picture*. But whoever writes a caption has
# no picture yet. All that CLIP can make of a caption is $z_t$, the embedding of a *text*. In between stands the
# *prior*: it reads a caption and invents the $z_i$ of a picture that would go with it. In this notebook you build one,
# train it, and see what becomes of pictures without it.

# %%
import os
import time
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

import minunclip
from minunclip import plots
from minunclip.common import best_device
from minunclip.course import checks, claims
from minunclip.course.widgets.prior import PriorExplorer, fit, prior_grid, variety
from minunclip.diffusion import ddim, generators, last, noise_stream
from minunclip.evaluation import Judge, Share, complete, fidelity, inside, renders
from minunclip.manipulations import as_image_embedding, decode
from minunclip.networks import timestep_embedding
from minunclip.prior import DiffusionPrior, PriorConfig
from minunclip.scenes import Scenes, Statement, Thing, render, to_tensor
from minunclip.text import Text
from minunclip.training import Trainer, batches
from minunclip.training.recipes import PriorRecipe
from minunclip.unclip import best_of

# %%
torch.set_grad_enabled(False)                     # on again for the training in section 6
cascade = minunclip.load("scenes")
clip, prior = cascade.clip, cascade.prior
width = prior.config.z_width                      # how many numbers z_i and z_t have

# %%
def draw_z(captions, w=1.0, seed=0, steps=15):
    """A z_i for each caption (B,), drawn by the finished prior with guidance w: raw, (B, D)."""
    denoiser = cascade.prior_denoiser(clip.encode_text(captions), w)
    noise = noise_stream((len(captions), width), generators(seed, len(captions)))
    return prior.unwhiten(last(ddim(prior.diffusion, denoiser, noise, steps)))

def pictures_of(z_i, seed=0):
    """What the decoder makes of each z_i (B, D) alone: it is told no caption."""
    return decode(cascade, z_i, [""] * len(z_i), seed)

# %%
plots.show(pictures_of(draw_z(["a big star"] * 6)), columns=6, title="a big star", seed=0, side=104)

# %% [markdown]
# One caption, six times. It says nothing of colour, background and style. The prior has decided about these, each time
# anew, and the decoder saw its decision only: in this notebook the decoder is never told a caption. Whatever a picture
# shows comes from its $z_i$.
#
# **What you will see**
#
# 1. Why $z_t$ cannot stand in for $z_i$.
# 2. What a prior has to do, and why the best guess is not good enough.
# 3. The sequence that the prior reads, built by hand.
# 4. Who may look at whom, and what need be computed only once.
# 5. What it learns to answer, and how large its numbers should be.
# 6. Training. You run one.
# 7. The finished prior: three ways from a caption to a picture.
# 8. Dropped captions and *prior guidance*, under a slider.
# 9. The better of two.
#
# **What you need to know before:** what CLIP's embeddings are (notebook 02), attention with a causal mask (02, section
# 1), and diffusion with its schedule, loss, DDIM and guidance (03).
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("05_prior")

# %% [markdown]
# Reading takes about 40 minutes, the five exercises another 30. With the `cpu` profile the training in section 6 is
# cut short; with `gpu` it runs to its end. The environment variable `MINUNCLIP_PROFILE` chooses.

# %%
device = best_device()
profile = os.environ.get("MINUNCLIP_PROFILE", "gpu" if device.type == "cuda" else "cpu")
print(f"training on {device.type}, profile {profile}; everything else on the CPU")

# %% [markdown]
# ## 1. A text embedding is no image embedding
#
# A caption is true of many pictures. Here are some for "a red star":

# %%
said, rng = Statement((Thing("star", "red", None),)), np.random.default_rng(0)
stars = torch.stack([to_tensor(render(complete(said, rng), 32)) for _ in range(200)])
plots.show(stars[:10], columns=10, title="a red star", side=80)

# %% [markdown]
# So there are many right $z_i$, one for each of these pictures, but a single $z_t$. Where is it, among them?

# %%
z_stars, z_star = clip.encode_image(stars), clip.encode_text(["a red star"]).embed
to_caption = clip.similarity(z_stars, z_star)
among = clip.similarity(z_stars, z_stars)[~torch.eye(200, dtype=torch.bool)]
middle = F.normalize(z_stars, dim=1).mean(dim=0, keepdim=True)
print(f"cosine of two of the pictures:               {among.mean():.2f} in the mean, up to {among.max():.2f}")
print(f"cosine of a picture and the caption:         {to_caption.mean():.2f} in the mean, up to {to_caption.max():.2f}")
print(f"cosine of the middle of them all and the caption: {clip.similarity(middle, z_star).item():.2f}")

# %% [markdown]
# CLIP's loss asks a caption to be near to all pictures that go with it, and nothing is nearer to many directions at
# once than their mean:

# %%
of_middle = clip.similarity(middle, z_star).item()
nearer = int((to_caption > of_middle).sum())
claims.check(f"The caption is nearer to the middle of its pictures ({of_middle:.2f}) than to the pictures "
             f"themselves ({to_caption.mean():.2f} in the mean; {nearer} of 200 are nearer).", nearer < 20)

# %% [markdown]
# The middle of many $z_i$ is no $z_i$, just as the mean of these 200 pictures is no picture.
#
# Let us look at more captions: pairs from training, from which we may learn something, and unseen ones to test it.

# %%
def pairs(split, seed, count):
    items = [Scenes(split, seed=seed)[i] for i in range(count)]
    return items, clip.encode_image(renders(items, 32)), clip.encode_text([item.caption for item in items])

_, known_i, known_text = pairs("train", 40, 1024)
items, z_i, text = pairs("test", 41, 240)
known_t, z_t = known_text.embed, text.embed
print(f"{len(known_i)} known pairs, {len(z_i)} unseen ones, {width} numbers in each embedding")

# %% [markdown]
# **Can a plane tell the two kinds apart?** If $z_t$ were distributed like $z_i$, nobody could say of an embedding
# whether it belongs to a picture or to a caption. We fit a plane that is to have the known pictures on one side and the
# known captions on the other, by least squares, and try it on unseen ones. As a control, two halves of the pictures:

# %%
def with_one(z):
    return torch.cat([F.normalize(z, dim=1), torch.ones(len(z), 1)], dim=1)             # (B, D + 1)

def told_apart(a, b, new_a, new_b):
    side = torch.cat([torch.ones(len(a)), -torch.ones(len(b))])[:, None]
    plane = torch.linalg.lstsq(with_one(torch.cat([a, b])), side).solution              # (D + 1, 1)
    right = int((with_one(new_a) @ plane > 0).sum() + (with_one(new_b) @ plane < 0).sum())
    return Share(right, len(new_a) + len(new_b))

half, new = len(known_i) // 2, len(z_i) // 2
kinds_apart = told_apart(known_i, known_t, z_i, z_t)
halves_apart = told_apart(known_i[:half], known_i[half:], z_i[:new], z_i[new:])
print(f"pictures and captions: {kinds_apart}", f"pictures and pictures: {halves_apart}", sep="\n")

# %%
claims.check(f"A plane is right about {kinds_apart.value:.0%} of the unseen pictures and captions. Two halves of "
             f"the pictures cannot be told apart: {halves_apart.value:.0%}, about as good as a coin.",
             kinds_apart.value > 0.95 and abs(halves_apart.value - 0.5) < 0.12)

# %% [markdown]
# Pictures and captions live in different parts of the space. This is the *modality gap* ([Liang et al.,
# 2022](https://arxiv.org/abs/2203.02053)). The decoder was trained on $z_i$ alone: to it, a $z_t$ is something that it
# has never seen. What does it draw then? (`as_image_embedding` gives $z_t$ the usual length of a $z_i$, so that we are
# fair to it.)

# %%
four = [1, 5, 9, 13]                              # four of the unseen pairs
truth = renders([items[i] for i in four], 32)
drawn = [*pictures_of(z_i[four]), *pictures_of(as_image_embedding(cascade, z_t[four]))]
names = ["the true picture"] * 4 + ["from its z_i"] * 4 + ["from the caption's z_t"] * 4
plots.show([*truth, *drawn], names, columns=4, side=112, seed=0)

# %% [markdown]
# In each column, a picture and what the decoder makes of two embeddings. The captions are:

# %%
print(*(items[i].caption for i in four), sep="\n")

# %% [markdown]
# Section 7 counts over more captions how much is lost in the last row. The paper makes a similar comparison in section
# 5.1 and Figure 8, where the decoder reads the caption besides; there $z_t$ in the place of $z_i$ "does produce
# reasonable results".
#
# ## 2. What a prior has to do
#
# unCLIP splits the task in two (section 2 of the paper): for a picture $x$ and a caption $y$,
#
# $$P(x \mid y) = P(x \mid z_i, y)\; P(z_i \mid y)$$
#
# The first factor is the decoder. The second is the prior: not a function from captions to $z_i$, but a distribution,
# from which one *draws*. Is that much ado about nothing? The plainest thing to try is a function: the matrix that turns
# $z_t$ into $z_i$ with the smallest squared error, by least squares.

# %%
matrix = torch.linalg.lstsq(with_one(known_t), known_i).solution                         # (D + 1, D)
guess = with_one(z_t) @ matrix

def squared_error(z):
    return (prior.whiten(z) - prior.whiten(z_i)).square().mean()

errors = {"always the mean picture": squared_error(known_i.mean(dim=0)), "the best matrix": squared_error(guess),
          "z_t itself": squared_error(as_image_embedding(cascade, z_t))}  # fmt: skip
for name, error in errors.items():
    print(f"{name:24} {error:.3f}")

# %%
claims.check(f"The matrix has the smallest error, {errors['the best matrix']:.2f}; it was made for that. $z_t$ "
             f"itself is worse than an answer that is always the same: {errors['z_t itself']:.2f} against "
             f"{errors['always the mean picture']:.2f}.",
             errors["the best matrix"] < errors["always the mean picture"] < errors["z_t itself"])

# %% [markdown]
# (The errors are measured in *whitened* space, where each axis counts according to its spread; section 5 explains it.)
#
# But *where* are the guesses of the matrix? The less a caption says, the more pictures go with it, and the nearer to
# the middle of the whole world is their mean:

# %%
centre = known_i.mean(dim=0)
usual = (known_i - centre).norm(dim=1).mean()
growing = ("a thing", "a star", "a red star", "a red star at night", "a crayon drawing of a big red star at night")
away = (with_one(clip.encode_text(growing).embed) @ matrix - centre).norm(dim=1) / usual
for caption, far in zip(growing, away, strict=True):
    print(f"{far:.2f} of the usual distance from the middle: {caption}")

# %%
claims.check(f"For {growing[0]!r} the guess lies at {away[0]:.2f} of the usual distance, for the longest caption at "
             f"{away[-1]:.2f}.", away[0] < 0.5 * away[-1])

# %% [markdown]
# A guess with the smallest squared error is a mean, and a mean is not a sample. The $z_i$ of real pictures lie as far
# out as "usual" says; a guess lies further in when the caption says less. `variety` measures the same for a whole set,
# as a share of the spread of true $z_i$:

# %%
drawn = draw_z([item.caption for item in items])
spreads = {"unseen pictures": z_i, "guesses of the matrix": guess, "draws of the finished prior": drawn}
for name, z in spreads.items():
    print(f"{name:28} variety {variety(z, known_i):.2f}, cosine with z_t {fit(z, z_t):.2f}")

# %%
of_pictures, of_guesses, of_draws = (variety(z, known_i) for z in spreads.values())
claims.check(f"The draws of the prior are as varied as true pictures ({of_draws:.2f} and {of_pictures:.2f}), the "
             f"guesses are not ({of_guesses:.2f}).",
             abs(of_draws - of_pictures) < 0.1 and of_guesses < of_pictures - 0.1)

# %% [markdown]
# So the prior has to draw: for each fact that the caption leaves open it must decide on something. We know a machine
# that draws from a distribution, given a condition: diffusion. The rest of this notebook is notebook 03 with another
# kind of data. $x_0$ is now $z_i$, a list of numbers without up and down, left and right, so no U-Net is called for.
# The condition is a text. A Transformer can take both.
#
# ## 3. The sequence that it reads
#
# The network gets a noised $z_i$, the timestep $t$ and the caption, and has to say what the clean $z_i$ is. The
# paper's network (section 2.2) is a Transformer that reads all of it in one row of tokens:
#
# | | token | where it comes from |
# | --- | --- | --- |
# | 1 ... L | the caption | what CLIP's text encoder says of each word, `text.tokens` |
# | | $z_t$ | the embedding of the whole caption, `text.embed` |
# | | $t$ | cosines and sines, as in notebook 03, through a small network |
# | | noised $z_i$ | $x_t$ |
# | last | *query* | a learned vector: where the answer will be |
#
# All have to become vectors of one width first, each kind by a matrix of its own. We build the row for a tiny prior
# with weights that can be followed by eye. Embeddings have two numbers, vectors in the network four. What belongs to
# the text goes into the first two of them, $x_t$ into the last two.

# %%
torch.manual_seed(0)
tiny = DiffusionPrior(PriorConfig(z_width=2, text_width=2, context=3, width=4, layers=2, heads=2)).eval()
first_two, last_two = torch.eye(4)[:, :2], torch.eye(4)[:, 2:]
for layer, weight in ((tiny.tokens_in, first_two), (tiny.embed_in, first_two), (tiny.z_in, last_two)):
    layer.weight.copy_(weight)
    layer.bias.zero_()
tiny.query.fill_(7)
tiny.positions.copy_(0.1 * torch.arange(7)[None, :, None].expand(1, 7, 4))

# %% [markdown]
# The caption has two words, room is for three (`context=3`). A vector for each place is added, as in notebook 02: here
# simply 0.1 times the number of the place. The four tokens after the caption keep the last four places, 3 to 6, however
# short the caption is: the network should find $z_t$ where it always is.

# %%
words = Text(embed=torch.tensor([[5.0, 6]]), tokens=torch.tensor([[[1.0, 2], [3, 4]]]), mask=torch.ones(1, 2).bool())
x_t, t = torch.tensor([[8.0, 9]]), torch.tensor([500])
time_token = tiny.time(timestep_embedding(t, 4))[0]                                      # (4,)
row = torch.stack([
    torch.tensor([1.0, 2, 0, 0]) + 0.0,           # "a"
    torch.tensor([3.0, 4, 0, 0]) + 0.1,           # "star"
    torch.tensor([5.0, 6, 0, 0]) + 0.3,           # z_t
    time_token + 0.4,                             # t
    torch.tensor([0.0, 0, 8, 9]) + 0.5,           # the noised z_i
    torch.tensor([7.0, 7, 7, 7]) + 0.6,           # the query
])  # fmt: skip
plots.heatmap(row, ["a", "star", "z_t", "t", "noised z_i", "query"], ["0", "1", "2", "3"], "six tokens of width 4")

# %% [markdown]
# ### Exercise 1: The sequence · ●●○ medium · 7 minutes
#
# Write it for a batch. All parts have their final width W already: `tokens` is (B, L, W), `z_t`, `time` and `x_t` are
# (B, W), `query` is (W,) and `positions` (context + 4, W). The caption gets the first L positions, the others the last
# four. The next cell tries your function and says what is still wrong; as long as it is empty, the notebook runs on.

# %% tags=["exercise"]
def prior_sequence(
    tokens: torch.Tensor, z_t: torch.Tensor, time: torch.Tensor, x_t: torch.Tensor, query: torch.Tensor,
    positions: torch.Tensor,
) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.prior_sequence(prior_sequence)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `torch.stack([...], dim=1)` makes (B, 4, W) of four (B, W). The query is the same for all rows:
# `query.expand_as(z_t)`. Add the positions to both parts before you join them with `torch.cat`.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def prior_sequence(
#     tokens: torch.Tensor, z_t: torch.Tensor, time: torch.Tensor, x_t: torch.Tensor, query: torch.Tensor,
#     positions: torch.Tensor,
# ) -> torch.Tensor:
#     rest = torch.stack([z_t, time, x_t, query.expand_as(z_t)], dim=1)
#     return torch.cat([tokens + positions[: tokens.shape[1]], rest + positions[-4:]], dim=1)
# ```
#
# </details>
#
# Ours, for the tiny prior, is the row from above:

# %% tags=["nbval-check-output"]
def sequence_of(prior, x_t, t, text):
    time = prior.time(timestep_embedding(t, prior.config.width))
    return checks.prior_sequence.reference(prior.tokens_in(text.tokens), prior.embed_in(text.embed), time,
                                           prior.z_in(x_t), prior.query[0, 0], prior.positions[0])  # fmt: skip

torch.testing.assert_close(sequence_of(tiny, x_t, t, words)[0], row)
print("equal:", tuple(row.shape))

# %% [markdown]
# ## 4. Who may look at whom
#
# The mask is *causal*: a token sees itself and what stands before it. And nobody looks at padding, the empty places
# that fill up short captions of a batch.
#
# ### Exercise 2: The mask · ●●○ medium · 6 minutes
#
# `text_mask` is (B, L), True where the caption has a token. Return (B, L + 4, L + 4), True where row i may look at
# column j. The four tokens behind the caption are always there.

# %% tags=["exercise"]
def prior_mask(text_mask: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.prior_mask(prior_mask)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Two conditions, joined by `&`: $j \le i$ is `torch.ones(n, n).tril().bool()`, (n, n). That column j is no padding is
# `text_mask` with four times True behind it, (B, n); `[:, None]` makes it say the same for each row.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def prior_mask(text_mask: torch.Tensor) -> torch.Tensor:
#     there = torch.cat([text_mask, text_mask.new_ones(len(text_mask), 4)], dim=1)
#     n = there.shape[1]
#     return torch.ones(n, n).tril().bool() & there[:, None]
# ```
#
# </details>
#
# For the two words, padded to three. Dark is "may look":

# %%
padded = words.padded(3)
allowed = checks.prior_mask.reference(padded.mask)
row_names = ["a", "star", "(padding)", "z_t", "t", "noised z_i", "query"]
plots.heatmap(allowed[0].float(), row_names, row_names, "row may look at column", digits=0)

# %% [markdown]
# The query is last, so it sees everything. It has nothing to say of its own, the same vector for all captions and all
# $t$. It collects, block by block, and what has become of it in the end is turned into the answer. Here is the whole
# network in one go. The library's must give the same, with padding and without:

# %% tags=["nbval-check-output"]
def in_one_go(prior, x_t, t, text):
    mask = checks.prior_mask.reference(text.mask)[:, None]                               # (B, 1, L + 4, L + 4)
    x, _ = prior.transformer(sequence_of(prior, x_t, t, text), mask)                     # (B, L + 4, width)
    return prior.z_out(prior.norm_out(x[:, -1]))                                         # the query: (B, D)

torch.testing.assert_close(tiny(x_t, t, words), in_one_go(tiny, x_t, t, words))
torch.testing.assert_close(in_one_go(tiny, x_t, t, words), in_one_go(tiny, x_t, t, padded))
print("equal to the library's, and padding makes no difference")

# %% [markdown]
# **Why causal?** Nobody has to be kept from cheating here, as a language model has. But think of what changes from one
# step of the sampler to the next: $t$ and $x_t$, near the end of the row. Which tokens notice? With the causal mask,
# and for comparison with one under which all see all:

# %% tags=["nbval-check-output"]
rows = [sequence_of(tiny, other, t - 100 * n, words) for n, other in enumerate((x_t, x_t + 1))]
print("              ", *(f"{name:>10}" for name in ("a", "star", "z_t", "t", "noised z_i", "query")))
for name, mask in {"causal": checks.prior_mask.reference(words.mask)[:, None], "all see all": None}.items():
    before, after = (tiny.transformer(x, mask)[0] for x in rows)
    changed = (before - after).abs().amax(dim=-1)[0] > 1e-6
    print(f"{name:14}", *(f"{'changes' if change else 'stays':>10}" for change in changed))

# %% [markdown]
# Under the causal mask, caption and $z_t$ are the same at every step, in every block. Attention asks of them only their
# keys and values. So we compute these *once for each caption*, keep them, and then run three tokens a step: $t$, noised
# $z_i$ and query. In the library this is `prior.prefix(text)`, and `prior(x_t, t, prefix)` goes on from it. With the
# finished prior and sixty captions:

# %%
some = text[:60]
x_t = torch.randn(60, width, generator=torch.Generator().manual_seed(0))
prefix = prior.prefix(some)
for t in (999, 500, 0):
    t = torch.full((60,), t)
    torch.testing.assert_close(prior(x_t, t, prefix), in_one_go(prior, x_t, t, some), atol=1e-4, rtol=1e-4)
print("equal at three timesteps, to rounding")

# %%
def going_on_from(prefix):
    return lambda x_t, t: prior(x_t, t, prefix)

def clocked(prepare):
    start = time.perf_counter()
    step = prepare()
    for t in range(999, -1, -71):
        step(x_t, torch.full((60,), t))
    return time.perf_counter() - start

length = some.mask.shape[1] + 4
anew = clocked(lambda: lambda x_t, t: in_one_go(prior, x_t, t, some))
kept = clocked(lambda: going_on_from(prior.prefix(some)))
print(f"{length} tokens in each of 15 steps: {anew:.2f} s; {length - 3} once and 3 in each: {kept:.2f} s")

# %% [markdown]
# Nothing is lost: it is the same sum in another order. The longer the captions, the more it saves; Karlo, a released
# unCLIP, pads all of them to 77 tokens.
#
# ## 5. The answer, and the right size
#
# In notebook 03 a network could answer with the noise, with $x_0$, or with $v$. The prior answers with $x_0$, the
# clean $z_i$: its authors found that this works better than to predict the noise. With $f_\theta$ for the network,
# $z_i^{(t)}$ for the noised embedding and $y$ for the caption (section 2.2):
#
# $$L_\text{prior} = \mathbb{E}_{t,\; z_i^{(t)} \sim q_t}\; \big\| f_\theta(z_i^{(t)}, t, y) - z_i \big\|^2$$
#
# ### Exercise 3: The loss · ●○○ easy · 5 minutes
#
# `network(x_t, t)` answers with an $x_0$; the caption is closed over. For `x_0` (B, D), `t` (B,), `eps` (B, D) and the
# table `alphas_bar`, return the mean squared error of each row, (B,).

# %% tags=["exercise"]
def prior_loss(
    network: torch.nn.Module, x_0: torch.Tensor, t: torch.Tensor, eps: torch.Tensor, alphas_bar: torch.Tensor
) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.prior_loss(prior_loss)

# %% [markdown]
# <details><summary>Hint</summary>
#
# First the jump from notebook 03: `alphas_bar[t][:, None]` is the share of the signal's variance for each row. Then ask
# the network, subtract, square, and take the mean over the last axis.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def prior_loss(
#     network: torch.nn.Module, x_0: torch.Tensor, t: torch.Tensor, eps: torch.Tensor, alphas_bar: torch.Tensor
# ) -> torch.Tensor:
#     alpha_bar = alphas_bar[t][:, None]
#     x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps
#     return (network(x_t, t) - x_0).square().mean(dim=1)
# ```
#
# </details>
#
# Try to find it in [prior.py](../minunclip/prior.py): `loss` there first whitens $z_i$, of which more below.

# %%
g = torch.Generator().manual_seed(1)
t, eps = torch.randint(1000, (60,), generator=g), torch.randn(60, width, generator=g)
network = going_on_from(prior.prefix(some))
by_hand = checks.prior_loss.reference(network, prior.whiten(z_i[:60]), t, eps, prior.diffusion.alphas_bar)
torch.testing.assert_close(prior.loss(z_i[:60], some, t, eps), by_hand, atol=1e-4, rtol=1e-4)
print("equal to the library's loss")

# %% [markdown]
# **How large are the numbers of $z_i$?** Diffusion mixes data with noise of size 1. Data of another size meets the
# wrong noise: this was section 6 of notebook 03, for points in a plane. Here is the spread of each axis of $z_i$. (Our
# CLIP was turned so that its axes are the principal axes, the longest first; notebook 02, section 8.)

# %%
spread = known_i.std(dim=0)
plots.curves({"spread of z_i": (range(1, width + 1), spread.tolist()), "spread of the noise": ((1, width), (1, 1))},
               "axis", "standard deviation")  # fmt: skip

# %% [markdown]
# The first axes are far larger than the noise, the last ones far smaller. *Whitening* brings them to one size: subtract
# each axis's mean, divide by its spread. But the last axes hardly vary at all. Divided by their tiny spread they would
# count as much as the others, and the network would spend most of its loss on them. So the variance gets a *floor*
# before its root is taken. How high? This CLIP was trained with noise on $z_i$, so what varies less than that noise
# says nothing that it was taught to say (`clip.config.noise`, as a share of the typical length $\ell$ of a $z_i$):
#
# $$\text{spread}_d = \sqrt{\text{var}_d + (\text{noise} \cdot \ell)^2}, \qquad \ell^2 = \text{mean of } |z_i|^2$$
#
# ### Exercise 4: Centre and spread · ●○○ easy · 4 minutes
#
# For embeddings (N, D) and a noise such as 0.02, return the mean and the spread of each axis, (D,) each.

# %% tags=["exercise"]
def centre_and_spread(z_i: torch.Tensor, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    raise NotImplementedError

# %%
checks.centre_and_spread(centre_and_spread)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `z_i.var(dim=0)` has the variance of each axis. `z_i.square().sum(dim=1)` are the squared lengths.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def centre_and_spread(z_i: torch.Tensor, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
#     length = z_i.square().sum(dim=1).mean().sqrt()
#     return z_i.mean(dim=0), (z_i.var(dim=0) + (noise * length) ** 2).sqrt()
# ```
#
# </details>
#
# A network that knows nothing and always answers with the mean pays the mean square of the whitened numbers. How much
# of that is paid for the sixteen longest axes, with a high floor, with ours and with hardly any?

# %%
share = {}
for noise in (0.1, clip.config.noise, 1e-4):
    mean, std = checks.centre_and_spread.reference(known_i, noise)
    squares = ((known_i - mean) / std).square().mean(dim=0)
    share[noise] = squares[:16].sum() / squares.sum()
    print(f"noise {noise:g}: knowing nothing costs {squares.mean():.3f}, of which {share[noise]:.0%} for the first 16")

# %%
claims.check(f"With hardly any floor all axes count alike, and the first 16 are {share[1e-4]:.0%} of the loss, "
             f"whatever they say. With ours they are {share[clip.config.noise]:.0%} of it.",
             share[clip.config.noise] > 3 * share[1e-4] > 0.3)

# %% [markdown]
# The paper multiplies its embeddings by 17.2 instead (Appendix C), "to match the empirical variance of RGB pixel values
# of ImageNet images". Karlo, like ours, whitens each axis.
#
# **What if one forgets?** A network that is trained on numbers of a wrong size is bad, but it could be bad for other
# reasons. We can do better: for data that is normally distributed, the best possible answer can be written down. Of
# each axis with mean $m$ and variance $s^2$, noised with signal $a$ and sigma $b$,
#
# $$\mathbb{E}[x_0 \mid x_t] = m + \frac{a\, s^2}{a^2 s^2 + b^2}\,(x_t - a\, m)$$
#
# So here is a *perfect* network for embeddings of any size. Whatever goes wrong now is the fault of the size.

# %%
def perfect(diffusion, mean, variance):
    def denoiser(x_t, t):
        a, b = diffusion.scales(t, x_t)
        return mean + a * variance / (a**2 * variance + b**2) * (x_t - a * mean)
    return denoiser

def drawn_at(shift, scale, count=400, steps=15):
    """z_i drawn by 15 steps of DDIM with the perfect network for (z_i - shift) * scale."""
    network = perfect(prior.diffusion, (known_i.mean(dim=0) - shift) * scale, known_i.var(dim=0) * scale**2)
    x_T = torch.randn(count, width, generator=torch.Generator().manual_seed(0))
    return last(ddim(prior.diffusion, network, [], steps, x_T=x_T)) / scale + shift

# %%
mean, std = checks.centre_and_spread.reference(known_i, clip.config.noise)
length = known_i.norm(dim=1).mean()
sizes = {"whitened": (mean, 1 / std), "raw": (0, torch.ones(width)), "raw, 10 times": (0, torch.full((width,), 10.0)),
         "length 1": (0, torch.full((width,), 1 / length))}  # fmt: skip
by_size = {name: drawn_at(*size) for name, size in sizes.items()}
for name, z in by_size.items():
    off = (z.mean(dim=0) - mean).norm() / (known_i - mean).norm(dim=1).mean()
    cut = ((known_i - sizes[name][0]) * sizes[name][1]).abs().gt(5).float().mean()
    print(f"{name:14} variety {variety(z, known_i):.2f}, mean off by {off:.2f}; beyond 5 and cut off: {cut:.1%}")

# %%
spreads = {name: variety(z, known_i) for name, z in by_size.items()}
claims.check(f"Whitened, the samples are as varied as true embeddings ({spreads['whitened']:.2f}; the right number "
             f"is 1). With vectors of length 1 the variety is {spreads['length 1']:.2f}, with numbers ten times as "
             f"large {spreads['raw, 10 times']:.2f}.",
             abs(spreads["whitened"] - 1) < 0.1 and all(abs(spreads[name] - 1) > 0.15
             for name in ("length 1", "raw, 10 times")))

# %% [markdown]
# Large numbers are cut off at 5, the limit of this process. Small ones drown: what they are is decided in the last few
# of the timesteps, and 15 steps hardly stop there. The decoder shows what that means:

# %%
shown = {name: by_size[name][:4] for name in ("whitened", "raw, 10 times", "length 1")}
plots.show(pictures_of(torch.cat([*shown.values()])), [name for name in shown for _ in range(4)], columns=4, side=96,
           title="a perfect network, numbers of three sizes", seed=0)  # fmt: skip

# %% [markdown]
# Only the normal distribution with the right mean and spread, and no caption: do not expect much of the first row
# either. The most common mistake of all, though, is to forget the way back, and to hand whitened numbers to the
# decoder:

# %%
z = draw_z(["a big star"] * 20)
both = pictures_of(torch.cat([z, prior.whiten(z)]))
plots.show([*both[:4], *both[20:24]], ["unwhitened"] * 4 + ["forgotten"] * 4, columns=4, side=96, title="a big star",
           seed=0)  # fmt: skip

# %%
judge, star = Judge.from_pretrained("scenes"), Statement((Thing("star", None, "big"),))
right = [star.holds_in(scene) for scene in judge.read(both)]
claims.check(f"Of 20 pictures {sum(right[:20])} show one big star, and {sum(right[20:])} of those whose $z_i$ was "
             "never unwhitened. No error and no warning told us.", sum(right[:20]) > 15 > 10 > sum(right[20:]))

# %% [markdown]
# ## 6. Training
#
# The recipe knows model, data and settings. It encodes pictures and captions with the frozen CLIP, replaces one caption
# in ten by the empty one (section 8 says why), adds noise, and compares. Half of the timesteps are drawn from the
# noisiest four tenths: where $x_t$ shows little, the caption has to be read.
#
# It also whitens the *captions*, their tokens and their $z_t$. What does CLIP's text encoder say loudly, and what with
# a small voice? We exchange the two colours of a caption, or put another colour in, and see how far the vectors of
# three of its tokens move:

# %%
versions = ["a red star above a blue fish", "a blue star above a red fish", "a red star above a green fish"]
ours, swapped, other = clip.encode_text(versions).tokens[:, [3, 7, 8]]      # those of "star", "fish" and the end
print(f"                      star   fish   the end      (length of a token: {ours.norm(dim=1).mean():.1f})")
moved = {"colours exchanged": (swapped - ours).norm(dim=1), "green for blue": (other - ours).norm(dim=1)}
for name, distances in moved.items():
    print(f"{name:20}" + "".join(f"{far:7.2f}" for far in distances))

# %%
exchanged, another = (far[2] for far in moved.values())
claims.check(f"At the end of the caption an exchange moves the vector by {exchanged:.1f}, another colour by "
             f"{another:.1f}.", exchanged < another)

# %% [markdown]
# Now the training. A network that takes whitened captions is of no use to others, who have raw ones. So at the end
# `finish` folds the whitening into the first linear layers, whose weights then do both (notebook 07 shows how).

# %%
recipe = PriorRecipe(clip.to(device))
recipe.statistics = 1024 if profile == "cpu" else recipe.statistics          # pictures that tell mean and spread
config = recipe.profiles[profile]
if profile == "cpu":
    config = replace(config, steps=220, batch=48, warmup=20, ema=0.97)
print(f"{config.steps} steps with {config.batch} captions each")

# %%
torch.manual_seed(0)
yours = recipe.build().to(device)
sizes = yours.config
print(f"{sum(p.numel() for p in yours.parameters()) / 1e6:.2f} million parameters: "
      f"{sizes.layers} layers of width {sizes.width} with {sizes.heads} heads")  # fmt: skip

# %%
trainer, records = Trainer(yours, config), []
workers = 0 if profile == "cpu" else os.cpu_count() - 1     # processes that draw scenes for the GPU
with torch.enable_grad():
    for record in trainer.run(recipe.loss, batches(recipe, config, workers)):
        records.append(record)
        if record.step % max(1, config.steps // 5) == 0:
            print(f"step {record.step:4}: loss {record.loss:.3f}")
yours, clip = trainer.ema.cpu().eval(), clip.cpu()
recipe.finish(yours)

# %%
plots.loss_curve(records, "prior")

# %% [markdown]
# What do these losses mean? At the top of the curve is what it costs to know nothing. The bottom is not zero, for two
# reasons that change with $t$. With much noise only the caption is left, and what it does not say cannot be known: the
# best answer is the mean of all that is possible. With little noise, $x_t$ itself gives the answer away. Here is the
# loss of unseen pairs for each $t$, of your prior and of the finished one.
#
# **Loading the finished weights.** We did so at the top; they are `prior`. The `matrix` is the one from section 2,
# which sees no $x_t$ and therefore has one error for all $t$.

# %%
def loss_at(model, t):
    eps = torch.randn(len(z_i), width, generator=torch.Generator().manual_seed(t))
    x_0, at = prior.whiten(z_i), torch.full((len(z_i),), t)
    guess = model(model.diffusion.q_sample(model.whiten(z_i), at, eps), at, text)
    return (prior.whiten(model.unwhiten(guess)) - x_0).square().mean().item()

ts = (0, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 999)
lines = {name: (ts, [loss_at(model, t) for t in ts]) for name, model in {"yours": yours, "finished": prior}.items()}
plots.curves(lines | {"the matrix": ((0, 999), [squared_error(guess).item()] * 2)}, "t", "mean squared error")

# %% [markdown]
# At the right end stands the pure guess from the caption, at the left end the answer is nearly in the input.

# %%
from_caption, from_z_t = lines["finished"][1][-1], squared_error(guess).item()
claims.check(f"Where $x_t$ shows nothing (t = 999) the finished prior pays {from_caption:.2f}, the matrix "
             f"{from_z_t:.2f}: the prior has read the words, the matrix only $z_t$.", from_caption < from_z_t)
claims.check(f"Yours, after {config.steps} steps, pays {lines['yours'][1][-1]:.2f} there.",
             lines["yours"][1][-1] > from_caption)

# %% [markdown]
# ## 7. From noise to an embedding, and to a picture
#
# Sampling is the loop from notebook 03, with the prior as the network and its own limit of 5 for the estimates. By
# hand, for the unseen captions:

# %%
def sample_by_hand(model, text, x_t, steps=15):
    prefix, table = model.prefix(text), torch.cat([model.diffusion.alphas_bar, torch.ones(1)])
    visited = [round(i * 999 / (steps - 1)) for i in reversed(range(steps))] + [-1]       # -1 stands for clean
    for t, t_prev in zip(visited[:-1], visited[1:], strict=True):
        x_0 = model(x_t, torch.full((len(x_t),), t), prefix).clamp(-5, 5)
        eps = (x_t - table[t].sqrt() * x_0) / (1 - table[t]).sqrt()                       # the noise that goes with x_0
        x_t = table[t_prev].sqrt() * x_0 + (1 - table[t_prev]).sqrt() * eps
    return model.unwhiten(x_t)

x_T = next(noise_stream((len(z_i), width), generators(0, len(z_i))))
z_yours, z_prior = (sample_by_hand(model, text, x_T) for model in (yours, prior))

# %%
captions = [item.caption for item in items]
torch.testing.assert_close(z_prior, draw_z(captions), atol=1e-2, rtol=1e-2)
print("equal to the library's ddim and prior_denoiser, to rounding")

# %% [markdown]
# **What happens on the way?** After each step, how near is the estimate to the caption, and how near to the true
# picture's $z_i$, which the prior has never seen?

# %%
denoiser = cascade.prior_denoiser(text)
steps = list(ddim(prior.diffusion, denoiser, [], 15, x_T=x_T))
near = {"z_t of the caption": [fit(prior.unwhiten(step.x_0), z_t) for step in steps],
        "z_i of the true picture": [fit(prior.unwhiten(step.x_0), z_i) for step in steps]}
lines = {name: ([step.t for step in steps], cosines) for name, cosines in near.items()}
plots.curves(lines, "t (the run goes from right to left)", "cosine of the estimate with")

# %% [markdown]
# The first estimate, at the right, is the best guess from the caption alone. It is a mean. Then the sampler decides
# about what the caption left open. It cannot know what the true picture shows there:

# %%
of_first, of_last = (near["z_i of the true picture"][i] for i in (0, -1))
claims.check(f"The first estimate has a cosine of {of_first:.2f} with the true picture's $z_i$, the finished sample "
             f"one of {of_last:.2f}. There are many pictures that fit, and the true one is one of them.",
             of_last < of_first)

# %% [markdown]
# **Three ways.** Now all that we have tried, for four captions and as pictures:

# %%
chosen = [2, 6, 10, 14]
ways = {"the true z_i": z_i, "the finished prior": z_prior, "your prior": z_yours, "the matrix": guess,
        "z_t as z_i": as_image_embedding(cascade, z_t)}  # fmt: skip
truth, columns = renders([items[i] for i in chosen], 32), len(ways) + 1
by_way = [pictures_of(z[chosen]) for z in ways.values()]
plots.show([image for images in zip(truth, *by_way, strict=True) for image in images],
           ["the render", *ways] * 4, columns=columns, side=104, seed=0)  # fmt: skip

# %%
print(*(items[i].caption for i in chosen), sep="\n")

# %% [markdown]
# Pictures persuade, and mislead. So we count. First in the space itself. `inside` asks of each embedding
# whether it lies among the known $z_i$: nearer to one of them than that one's third neighbour is
# (Kynkäänniemi et al., 2019).

# %%
spreads = {name: variety(z, known_i) for name, z in ways.items()}
among = {name: Share(int(inside(z, known_i).sum()), len(z)) for name, z in ways.items()}
print("                     cosine with z_t   cosine with the true z_i   variety   among the known z_i")
for name, z in ways.items():
    print(f"{name:20} {fit(z, z_t):15.2f} {fit(z, z_i):26.2f} {spreads[name]:9.2f}   {among[name]}")

# %% [markdown]
# Read it column by column. $z_t$ has a cosine of 1 with itself, which does not help it. The matrix comes near to the
# true $z_i$; that is what a mean is good at.

# %%
claims.check("The draws of the finished prior look like the first line: their variety is "
             f"{spreads['the finished prior']:.2f} ({spreads['the true z_i']:.2f} of the true ones), and "
             f"{among['the finished prior'].value:.0%} of them lie among the known $z_i$ "
             f"({among['the true z_i'].value:.0%}). Of the $z_t$ {among['z_t as z_i'].value:.0%} do.",
             abs(spreads["the finished prior"] - spreads["the true z_i"]) < 0.1 and among["z_t as z_i"].value
             < among["the finished prior"].value - 0.2)

# %% [markdown]
# Second, in pictures. The *judge* reads 80 of them for each way, and we count how many of the facts that the caption
# states are true. The first line shows what the decoder can do at best.

# %%
few = slice(0, 80)
said, facts_true = [item.statement for item in items[few]], {}
for name, z in ways.items():
    found = fidelity(said, judge.read(pictures_of(z[few])))
    facts = [share for fact, share in found.items() if fact not in ("caption", "count")]
    facts_true[name] = Share(sum(share.true for share in facts), sum(share.total for share in facts))
    print(f"{name:20} facts true {facts_true[name]}   whole captions {found['caption']}")

# %%
best, by_prior, by_z_t = (facts_true[name].value for name in ("the true z_i", "the finished prior", "z_t as z_i"))
claims.check(f"From the prior's $z_i$ {by_prior:.0%} of the stated facts come true, from the true $z_i$ {best:.0%}, "
             f"and from $z_t$ {by_z_t:.0%}.", by_z_t < by_prior <= best + 0.02)

# %% [markdown]
# The paper asks the same question with thousands of captions (section 5.1): a decoder that is handed $z_t$ has an FID
# of 16.55, the full stack 7.99. A decoder that was *trained* on $z_t$ is not far behind, 9.16. So one can do without a
# prior; but not by just putting one embedding in the other's place.
#
# ## 8. Dropped captions and guidance
#
# In training one caption in ten is replaced by the empty one. (The decoder loses half of its captions; for the prior
# the paper drops 10%.) So the same network also knows how to draw *any* picture, and at the end of the training,
# guidance costs nothing but a second answer (notebook 03, section 7):
#
# $$\hat z = f(x_t, t, \varnothing) + w\,\big(f(x_t, t, y) - f(x_t, t, \varnothing)\big)$$

# %% tags=["nbval-check-output"]
nothing = clip.encode_text([""])
print(f"the empty caption still has {nothing.mask.sum()} tokens, its start and its end")

# %%
at, x = torch.full((60,), 700), x_T[:60]
without, with_caption = prior(x, at, nothing.repeat(60)), prior(x, at, some)
by_hand = without + 3 * (with_caption - without)
torch.testing.assert_close(cascade.prior_denoiser(some, 3.0)(x, at), by_hand, atol=1e-3, rtol=1e-3)
print("equal to the library's guided denoiser, w = 3")

# %% [markdown]
# What does it do? For three captions that say more and more, 24 draws each and several $w$: do the $z_i$ fit better,
# and how varied are they?

# %%
wishes = ("a red star", "a big red star at night", "a crayon drawing of a big red star at night")
scales = (0, 1, 2, 3, 5, 8)
swept = {wish: [draw_z([wish] * 24, w) for w in scales] for wish in wishes}
goal = {wish: clip.encode_text([wish]).embed for wish in wishes}
plots.curves({wish: (scales, [fit(z, goal[wish]) for z in swept[wish]]) for wish in wishes},
               "guidance w of the prior", "cosine with z_t")  # fmt: skip

# %%
plots.curves({wish: (scales, [variety(z, known_i) for z in swept[wish]]) for wish in wishes},
               "guidance w of the prior", "variety")  # fmt: skip

# %% [markdown]
# At $w = 0$ the caption is ignored, and variety is that of all pictures. The more the caption says, the less variety is
# left, and rightly so. Beyond $w = 1$ the draws of a caption that says much move closer together; those of one that
# leaves much open may even spread, but where to? The whitened numbers are of size 1 in training, and true $z_i$ lie
# among the known ones:

# %%
for w, *draws in zip(scales, *swept.values(), strict=True):
    z = torch.cat(draws)
    white = prior.whiten(z)
    print(f"w = {w}: largest whitened number {white.abs().max():.1f}, {white.abs().gt(3).float().mean():.1%} beyond 3, "
          f"among the known z_i: {Share(int(inside(z, known_i).sum()), len(z))}")  # fmt: skip

# %% [markdown]
# That is guidance as in the plane of notebook 03: what fits badly becomes rare, and then samples leave the data. The
# authors write that "guiding the prior hurt results" (section 5.5) and guide the decoder only. Karlo's default for the
# prior, on the other hand, is 4. Our cascade leaves it at 1.
#
# **Feel it.** Six draws for one caption and where they lie, among all $z_i$, on the two longest axes. Move the slider;
# these pages were made beforehand, no kernel is needed.

# %% tags=["nbval-ignore-output"]
prior_grid(cascade, draw_z, "a red star", (0, 1, 2, 4, 8), name="guidance", cloud=known_i[:400])

# %% [markdown]
# And with a caption of your own, which needs a running kernel:

# %% tags=["nbval-ignore-output"]
PriorExplorer(cascade, draw_z, known_i[:400], "guidance", caption="a big star at night", value=2)

# %% [markdown]
# ## 9. The better of two
#
# There is a cheaper way to a better fit, and the paper takes it (section 2.2): draw *two* $z_i$ and keep the one with
# the larger $z_i \cdot z_t$. No gradient, no guidance, only a choice among honest samples.
#
# ### Exercise 5: Keep the best · ●●○ medium · 6 minutes
#
# `z_i` is (B n, D): n candidates for the first caption, then n for the second, and so on. `z_t` is (B, D). Return the
# candidate with the largest *cosine* for each caption, (B, D), as it is.

# %% tags=["exercise"]
def keep_best(z_i: torch.Tensor, z_t: torch.Tensor, n: int) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.keep_best(keep_best)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `z_i.unflatten(0, (-1, n))` is (B, n, D). `F.cosine_similarity(a, b, dim=-1)` compares it with `z_t[:, None]`; its
# `argmax(dim=1)` is the number of the best of each row. `x[torch.arange(B), best]` picks one of each row.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def keep_best(z_i: torch.Tensor, z_t: torch.Tensor, n: int) -> torch.Tensor:
#     candidates = z_i.unflatten(0, (-1, n))
#     best = F.cosine_similarity(candidates, z_t[:, None], dim=-1).argmax(dim=1)
#     return candidates[torch.arange(len(candidates)), best]
# ```
#
# </details>
#
# Why the cosine, if the paper speaks of a dot product? CLIP's training normalises both, so length carries no meaning;
# with raw embeddings the longest candidate would win too often. Eight candidates for one caption, the best fit first:

# %%
wish = "a small blue fish at sunset"
candidates, target = draw_z([wish] * 8, seed=100), clip.encode_text([wish]).embed
order = clip.similarity(candidates, target)[:, 0].argsort(descending=True)
cosines = clip.similarity(candidates, target)[order, 0]
plots.show(pictures_of(candidates[order]), [f"{cosine:.2f}" for cosine in cosines], columns=8, side=96, title=wish,
           seed=100)  # fmt: skip

# %% [markdown]
# Do the first ones show more of what was asked for than the last ones? For the unseen captions, with 1, 2, 4 and
# 8 candidates:

# %%
count = 100
eight = draw_z([caption for caption in captions[:count] for _ in range(8)], seed=200).unflatten(0, (count, 8))
kept = {n: best_of(eight[:, :n].flatten(0, 1), z_t[:count], n) for n in (1, 2, 4, 8)}
print("candidates   cosine with z_t   cosine with the true z_i   variety   among the known z_i")
for n, z in kept.items():
    print(f"{n:10} {fit(z, z_t[:count]):17.3f} {fit(z, z_i[:count]):26.3f} {variety(z, known_i):9.2f}   "
          f"{Share(int(inside(z, known_i).sum()), count)}")  # fmt: skip

# %% [markdown]
# The first column must rise: it is what we chose by. The others tell whether the choice is worth it. Whoever fits a
# caption best is also a rather typical picture, so the variety may fall; but each one is still a sample of the prior,
# not pushed anywhere. And each further candidate gains less than the one before: the best of eight is three doublings
# away from the first. As pictures, with one candidate and with eight:

# %%
for n in (1, 8):
    found = fidelity(said, judge.read(pictures_of(kept[n][few])))
    print(f"best of {n}: kinds {found['kind']}   colours {found['colour']}   whole captions {found['caption']}")

# %% [markdown]
# With two candidates the cost is small: the prior is the cheapest stage, and both share the prefix. That is the
# cascade's default.
#
# ## Summary
#
# | | |
# | --- | --- |
# | modality gap | $z_t$ is near to the middle of its pictures, and none of them; a plane tells $z_t$ from $z_i$ |
# | prior | $P(z_i \mid y)$, a distribution: a mean of $z_i$ is not a $z_i$ |
# | sequence | caption, $z_t$, $t$, noised $z_i$, query; the answer is read off the query |
# | prefix | under the causal mask caption and $z_t$ see neither $t$ nor $x_t$: keys and values computed once |
# | target | $x_0$, the clean $z_i$, with the mean squared error |
# | whitening | each axis minus its mean, over its spread with a floor; and back again for the decoder |
# | guidance | one caption in ten dropped; raises the fit, costs variety, leaves the data when large |
# | rerank | draw two, keep the one with the larger cosine to $z_t$ |
#
# ## Questions
#
# <details><summary>The decoder is handed z_t as well, beside the caption. Why then is z_t not enough as z_i?</summary>
#
# It was trained with both, each in its own place: $z_i$ is where it learned to look for what a picture shows, and all
# of the $z_i$ there came from pictures. In that place a $z_t$ is a vector of a kind that it has never met.
#
# </details>
#
# <details><summary>Your prior's loss stands still at a value well above zero. Is it finished?</summary>
#
# Perhaps. The loss cannot fall below what the captions leave open, see the right end of the curve in section 6. Compare
# with the loss of a matrix on the same whitened numbers, and look whether the *variety* of its samples is that of true
# $z_i$.
#
# </details>
#
# <details><summary>May one keep the prefix if the caption's tokens come after t and x_t?</summary>
#
# No. Then they see what changes at each step, and so do their keys and values. The order of the sequence is what makes
# it possible.
#
# </details>
#
# <details><summary>Why whiten with a mean and a spread for each axis, and not with the full covariance?</summary>
#
# Because the axes are principal axes here, hence uncorrelated: both are the same. For a CLIP that was not turned, the
# spread of each axis leaves correlations, which the network has to learn; the paper's single factor leaves more. The
# axes of tokens and of $z_t$ are no principal axes, and there the recipe takes the full covariance.
#
# </details>
#
# <details><summary>With a thousand candidates, would the best have the cosine of z_t with itself, 1?</summary>
#
# No. The candidates are samples of true-looking $z_i$, and no picture's embedding comes near to a caption's. The best
# of many is a most typical picture. What one gains is limited, and what one loses is variety.
#
# </details>
#
# ## Where to read on
#
# - The code: [prior.py](../minunclip/prior.py), the recipe in
#   [training/recipes/prior.py](../minunclip/training/recipes/prior.py), and `best_of` in
#   [unclip.py](../minunclip/unclip.py). Tests compare the prior with diffusers' `PriorTransformer`, number by number.
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125): section 2.2 for both priors, 5.1 for whether one
#   is needed at all, 5.5 for guiding it, Appendix C and Table 3 for the sizes and for the 17.2.
# - Notebook 06 builds the other prior of the paper, which says $z_i$ number by number.
# - The gap: [Liang et al., 2022](https://arxiv.org/abs/2203.02053). `inside`, which is *precision*:
#   [Kynkäänniemi et al., 2019](https://arxiv.org/abs/1904.06991).
# - How small a prior can be: [Patel et al., 2023](https://arxiv.org/abs/2312.04655), ECLIPSE.
