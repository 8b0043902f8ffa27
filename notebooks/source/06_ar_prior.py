# %% [markdown]
# # 06 · The autoregressive prior: an image embedding, told like a sentence
#
# Notebook 05 drew $z_i$ as a whole, out of noise. The paper has a second prior, and it works like a language model: it
# writes $z_i$ as a row of tokens, a few dozen of them for our toy world, and says one after the other, each from the
# caption and from what it has said so far. In this notebook you turn embeddings into sentences, train a model that
# continues them, and let the two priors compete.

# %%
import os
import time
from dataclasses import replace
from math import log, log2

import torch
import torch.nn.functional as F

import minunclip
from minunclip import experiments, manipulations, plots
from minunclip.ar_prior import ARPrior, dot
from minunclip.common import best_device
from minunclip.course import checks, claims
from minunclip.course.widgets.prior import PriorExplorer, fit, prior_grid, variety
from minunclip.diffusion import ddim, generators, last, noise_stream
from minunclip.embeddings import PCA
from minunclip.evaluation import Judge, Share, fidelity, inside, renders, same_facts
from minunclip.experiments import pair_of
from minunclip.networks import causal_mask
from minunclip.plots import Panel, plane
from minunclip.scenes import Scene, Scenes, Thing, render, to_tensor
from minunclip.training import Trainer, batches
from minunclip.training.recipes.ar_prior import ARPriorRecipe, hide
from minunclip.unclip import UnCLIP, best_of

# %%
torch.set_grad_enabled(False)                     # on again for the training in section 6
cascade = minunclip.load("scenes")
clip, prior = cascade.clip, ARPrior.from_pretrained("scenes")
K, buckets = prior.config.components, prior.config.buckets
print(f"z_i has {prior.config.z_width} numbers; as a sentence it has {K} words, each one of {buckets}")

# %%
scene = Scene((Thing("star", "red", "big"),), "alone", "night", "crayon", seed=4)
picture = to_tensor(render(scene, 32))
sentence = prior.quantise(prior.whiten(clip.encode_image(picture[None])))                # (1, K)
print(*sentence[0].tolist())

# %%
def pictures_of(z_i, seed=0):
    """What the decoder makes of each z_i (B, D) alone: it is told no caption."""
    return manipulations.decode(cascade, z_i, [""] * len(z_i), seed)

said = [n for n in (0, 1, 2, 4, 8, 16) if n < K] + [K]
heard = torch.cat([prior.unwhiten(prior.dequantise(sentence)[:, :n]) for n in said])
plots.show([picture, *pictures_of(heard)], ["the picture", *(f"{n} words" for n in said)], columns=8, side=96, seed=0)

# %% [markdown]
# A picture of a star, its $z_i$ as a sentence, and what the decoder draws when it has heard the first words only. The
# most telling words come first.
#
# **What you will see**
#
# 1. *Principal components*: an embedding in other coordinates, of which the first ones tell the most.
# 2. *Quantisation*: from numbers to tokens.
# 3. A token that says how well the picture fits its caption.
# 4. The sentence as the model reads it, and the loss.
# 5. Keys and values that are kept.
# 6. Training. You run one.
# 7. Drawing: temperature, a good fit, guidance.
# 8. Prior against prior.
#
# **What you need to know before:** attention with a causal mask (notebook 02, section 1), cross-entropy (01, section
# 6), and what a prior is for (05, sections 1 and 2). Of diffusion nothing.
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("06_ar_prior")

# %% [markdown]
# Reading takes about 35 minutes, the five exercises another 30. With the `cpu` profile the training in section 6 is
# cut short; with `gpu` it runs to its end. The environment variable `MINUNCLIP_PROFILE` chooses.

# %%
device = best_device()
profile = os.environ.get("MINUNCLIP_PROFILE", "gpu" if device.type == "cuda" else "cpu")
print(f"training on {device.type}, profile {profile}; everything else on the CPU")

# %% [markdown]
# ## 1. Principal components
#
# A sentence should be short. So before we make words of numbers, we look for the fewest numbers that will do. Take four
# points in a plane. In which direction do they differ most?

# %% tags=["nbval-check-output"]
points = torch.tensor([[3.0, 3], [-3, -3], [1, -1], [-1, 1]])
centred = points - points.mean(dim=0)
covariance = centred.T @ centred / (len(points) - 1)
print(covariance.numpy().round(2))

# %% [markdown]
# The *covariance* says how much each coordinate varies (on the diagonal) and how much they vary together (beside it).
# Its *eigenvectors* are directions, at right angles to each other, in which the points vary independently; the
# *eigenvalue* is the variance in that direction.

# %% tags=["nbval-check-output"]
variances, directions = torch.linalg.eigh(covariance)                    # the smallest first
for variance, direction in zip(variances.flip(0), directions.T.flip(0), strict=True):
    print(f"variance {variance:5.2f} along ({abs(direction[0]):.2f}, {abs(direction[1]):.2f}), up to the sign")

# %%
ways = directions.T.flip(0) * variances.flip(0).sqrt()[:, None]
shown = Panel(points, labels=torch.tensor([0, 0, 1, 1]), paths=torch.stack([-ways, ways]))
plane({"four points and their two directions": shown}, limit=3.6, side=2.6)

# %% [markdown]
# In these coordinates the four points are $(\pm 4.2, 0)$ and $(0, \pm 1.4)$. Whoever may keep one number only keeps the
# first. It holds 90% of the variance, and the mean squared error of leaving out the other is the other 10%. The
# library's version:

# %% tags=["nbval-check-output"]
pca = PCA.fit(points)
print(pca.project(points).abs().numpy().round(2), "up to the signs")
error = (pca.back(pca.project(points)[:, :1]) - points).square().sum() / centred.square().sum()
print(f"share of the variance lost without the second: {error:.2f}")

# %% [markdown]
# ### Exercise 1: How many are needed? · ●○○ easy · 5 minutes
#
# `variances` (D,) are the eigenvalues, the largest first. Return the smallest number of components that hold at least
# the `share` of their sum, a number above 0 and up to 1.

# %% tags=["exercise"]
def components_needed(variances: torch.Tensor, share: float) -> int:
    raise NotImplementedError

# %%
checks.components_needed(components_needed)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `held = variances.double().cumsum(0)` has at place $n$ what the first $n + 1$ hold together. How many of its numbers
# are not yet enough?
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def components_needed(variances: torch.Tensor, share: float) -> int:
#     held = variances.double().cumsum(0)
#     return int((held < share * held[-1]).sum()) + 1
# ```
#
# </details>
#
# Now CLIP's $z_i$: pairs of a picture and a caption from training, and unseen ones.

# %%
def pairs(split, seed, count):
    items = [Scenes(split, seed=seed)[i] for i in range(count)]
    return items, clip.encode_image(renders(items, 32)), clip.encode_text([item.caption for item in items])

_, known_i, known_text = pairs("train", 40, 1024)
items, z_i, text = pairs("test", 41, 150)
captions, known_t, z_t = [item.caption for item in items], known_text.embed, text.embed
print(f"{len(known_i)} known pairs, {len(z_i)} unseen ones, {z_i.shape[1]} numbers in each embedding")

# %%
pca = PCA.fit(known_i)
held = pca.variances.cumsum(dim=0) / pca.variances.sum()
for share in (0.5, 0.9, 0.95, 0.99, 0.999):
    needed = checks.components_needed.reference(pca.variances, share)
    kept = pca.back(pca.project(z_i)[:, :needed])
    lost = (kept - z_i).square().sum() / (z_i - pca.mean).square().sum()
    print(f"{share:.1%} of the variance: {needed:3} of {len(held)} components; unseen pictures lose {lost:.2%}")

# %%
numbers = torch.arange(1, len(held) + 1)
plots.curves({"z_i of our CLIP": (numbers, held), "if all varied alike": (numbers, numbers / len(held))},
               "components kept", "share of the variance", log_x=True)  # fmt: skip

# %% [markdown]
# The paper keeps 319 of 1,024 components and loses less than 1% (section 2.2). Its authors put the small number down to
# *SAM*, the optimiser that their CLIP was trained with; ours was trained without, on a world with few facts.
#
# But 99% of the variance is not 99% of the facts. Here is what the decoder draws of pictures with two things, from the
# components that hold so much; three of sixty:

# %%
with_two = [item for item in items if len(item.scene.things) == 2][:60]
originals = torch.stack([item.image() for item in with_two])
shares, x = (0.9, 0.99, 0.999, 0.99999, 1.0), pca.project(clip.encode_image(originals))
kept = [checks.components_needed.reference(pca.variances, share) for share in shares]
drawn = {n: pictures_of(pca.back(x[:, :n])) for n in kept}
names = ["the picture", *(f"{100 * share:g}%: {n}" for share, n in zip(shares, kept, strict=True))]
shown = [image for i in range(3) for image in (originals[i], *(images[i] for images in drawn.values()))]
plots.show(shown, names * 3, columns=len(names), side=104, seed=0)

# %%
judge = Judge.from_pretrained("scenes")
alike = {n: same_facts([item.scene for item in with_two], judge.read(images)) for n, images in drawn.items()}
for n, found in alike.items():
    print(f"{n:3} components: backgrounds {found['background']}   colours {found['colour']}   all {found['scene']}")

# %%
paper, ours = (alike[checks.components_needed.reference(pca.variances, share)]["scene"] for share in (0.99, 0.99999))
claims.check(f"From the components that hold 99% of the variance {paper.true} of {paper.total} pictures come back "
             f"with all their facts, from those that hold 99.999% {ours.true}.", ours.true > paper.true)

# %% [markdown]
# So the finished prior keeps more of them than the paper's rule would: those that hold 99.999%.
#
# ## 2. From numbers to tokens
#
# A language model chooses among words of a vocabulary, so each number has to become one of a few. We cut the range of a
# component, from its smallest to its largest value, into equally wide *buckets*. From then on only the bucket counts,
# and whoever wants the number back takes the bucket's centre. With four buckets from -1 to 1:

# %% tags=["nbval-check-output"]
low, high = torch.tensor([-1.0]), torch.tensor([1.0])
x = torch.tensor([-1.0, -0.6, -0.1, 0.2, 0.99, 3.0])[:, None]
ids = checks.to_buckets.reference(x, low, high, 4)
centres = low + (ids + 0.5) / 4 * (high - low)
for number, bucket, centre in zip(x[:, 0], ids[:, 0], centres[:, 0], strict=True):
    print(f"{number:5.2f} falls into bucket {bucket}, whose centre is {centre:5.2f}")

# %% [markdown]
# ### Exercise 2: Buckets · ●●○ medium · 6 minutes
#
# `x` is (B, K), `low` and `high` (K,) are the ends of each component's range. Return the bucket of each number,
# int64 (B, K), 0 to `buckets - 1`. A bucket holds its lower edge; numbers outside go to the first or the last one.

# %% tags=["exercise"]
def to_buckets(x: torch.Tensor, low: torch.Tensor, high: torch.Tensor, buckets: int) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.to_buckets(to_buckets)

# %% [markdown]
# <details><summary>Hint</summary>
#
# First the place within the range, 0 at `low` and 1 at `high`. Times `buckets`, rounded *down*. `.long()` alone cuts
# towards zero, which is another thing for negative numbers; `.floor()` comes first. What happens at `high` itself?
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def to_buckets(x: torch.Tensor, low: torch.Tensor, high: torch.Tensor, buckets: int) -> torch.Tensor:
#     place = (x - low) / (high - low)
#     return (place * buckets).floor().long().clamp(0, buckets - 1)
# ```
#
# </details>

# %%
x = prior.whiten(z_i)                             # the components that are kept, (B, K)
assert torch.equal(prior.quantise(x), checks.to_buckets.reference(x, prior.low, prior.high, buckets))
off = (prior.dequantise(prior.quantise(x)) - x).abs() / (prior.high - prior.low) * buckets
print(f"equal; half of the numbers move by less than {off.median():.2f} of a bucket, the farthest by {off.max():.2f}")

# %% [markdown]
# Within the range nothing moves by more than half a bucket; an unseen picture may lie a little outside.
#
# **How many buckets?** Few make short vocabularies and rough numbers:

# %%
def rounded(x, count):
    ids = checks.to_buckets.reference(x, prior.low, prior.high, count)
    return prior.low + (ids + 0.5) / count * (prior.high - prior.low)

counts = (2, 4, 8, 16, 32, 64, 128, 256)
lost = [((rounded(x, count) - x).square().mean(dim=0) / x.var(dim=0)).tolist() for count in counts]      # for each word
words = {"the first word": 0, f"word {K // 2}": K // 2 - 1, f"word {K}": K - 1}
plots.curves({name: (counts, [row[k] for row in lost]) for name, k in words.items()}, "buckets",
               "share of its variance lost", log_x=True)  # fmt: skip

# %%
some = (2, 4, 8, 64)
exact = prior.whiten(clip.encode_image(picture[None]))
rough = pictures_of(torch.cat([prior.unwhiten(rounded(exact, count)) for count in some]))
names = ["the picture", *(f"{count} buckets" for count in some)]
plots.show([picture, *rough], names, columns=5, side=112, seed=0)

# %% [markdown]
# Each component has buckets of its own, so a narrow one is told as exactly as a wide one. The paper takes 1,024, we
# take 64. What does a sentence hold, in bits?

# %%
print(f"{K} words, one of {buckets} each: {K * log2(buckets):.0f} bits")
print(f"the picture, 32 x 32 pixels, three colours of 8 bits: {32 * 32 * 3 * 8} bits")

# %% [markdown]
# ## 3. How well does it fit?
#
# In the data some captions fit their picture well, others say next to nothing. A model that learns from all of them
# draws both kinds. The paper has a neat remedy (section 2.2). It puts one more token in front of the sentence: the dot
# product $z_i \cdot z_t$ of the pair, in buckets. In training it is the true one. In drawing we are free to *ask for* a
# good one. Pairs with the largest and the smallest dot product (of embeddings of length 1, so it is a cosine):

# %%
fits = dot(z_i, z_t)
order = fits.argsort(descending=True)
extremes = [*order[:4].tolist(), *order[-4:].tolist()]
plots.show([items[i].image() for i in extremes], [f"{fits[i]:.2f}: {items[i].caption}" for i in extremes], side=128)

# %% [markdown]
# How much do the captions say?

# %%
lengths = torch.tensor([len(item.caption.split()) for item in items]).float()[order]
best, worst = lengths[: len(items) // 4].mean().item(), lengths[-(len(items) // 4) :].mean().item()
claims.check(f"In the quarter of the pairs that fits best a caption has {best:.1f} words, in the quarter that fits "
             f"worst {worst:.1f}.", best > worst + 2)

# %% [markdown]
# These buckets are not equally wide: each holds equally many pairs. So the upper half of the tokens is the better half
# of the pairs. With eight pairs and four buckets:

# %% tags=["nbval-check-output"]
eight = torch.tensor([0.70, 0.20, 0.78, 0.74, 0.58, 0.80, 0.50, 0.72])
edges = torch.quantile(eight, torch.tensor([0.25, 0.5, 0.75]))
tokens = torch.bucketize(eight, edges, right=True)
print("edges ", edges.numpy().round(2))
print("tokens", tokens.tolist(), "- two pairs in each; the better half has 2 and 3")

# %% [markdown]
# In the library the dot's tokens come after the buckets' in one vocabulary. The mean dot product of the known pairs of
# each token:

# %%
known_fits = dot(known_i, known_t)
token = prior.quantise_dot(known_fits) - buckets
there = [k for k in range(prior.config.dot_buckets) if (token == k).any()]
means = [known_fits[token == k].mean().item() for k in there]
plots.curves({"known pairs": (there, means)}, "token of the dot product", "mean dot product")

# %% [markdown]
# ## 4. The sentence, and the loss
#
# The model is a causal Transformer, as in CLIP's text encoder. It reads the caption's tokens and $z_t$, then the dot,
# then the components; and at each place it says what it expects *next*:

# %%
said = prior.tokens(z_i[:1], z_t[:1])[0].tolist()
print("reads   ", "caption, z_t,", *(f"{token:4}" for token in said[:8]), " ...")
print("expects ", "             ", *(f"{token:4}" for token in said[1:9]), " ...")

# %% [markdown]
# What it says are *logits*, one for each bucket, and the loss is the cross-entropy of the true one. So it learns
#
# $$P(z_i \mid y) = \prod_{k=1}^{K} P(c_k \mid c_1, \dots, c_{k-1},\, \text{dot},\, z_t,\, y)$$
#
# which is nothing but the chain rule. No assumption is made about $z_i$, except for the rounding. All factors are
# trained at once: under the causal mask each place sees only what came before.
#
# One vocabulary serves all places, though bucket 7 is another value for each component. So each place has *scales* of
# its own, one for every channel, which multiply the vector of the word that is read there, and once more what the
# logits are made of. That is far less to learn than a vocabulary for each component:

# %%
numbers = {name: sum(p.numel() for p in parts) for name, parts in {
    "one vocabulary": [*prior.bucket_in.parameters(), *prior.bucket_out.parameters()],
    "the scales of all places": [prior.scales_in, prior.scales_out]}.items()}  # fmt: skip
print(numbers, f"{K} vocabularies: {K * numbers['one vocabulary']}", sep="\n")

# %% [markdown]
# ### Exercise 3: The next token · ●●○ medium · 6 minutes
#
# `tokens` (B, 1 + K) are $[\text{dot}, c_1, \dots, c_K]$. The model has read all of them but the last, since nothing
# follows it, and `logits` (B, K, buckets) are its answers at these. Return the mean cross-entropy of $c_1 \dots c_K$
# for each row, (B,). Who predicts whom?

# %% tags=["exercise"]
def next_token_loss(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.next_token_loss(next_token_loss)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The answer at the dot is for $c_1$, the one at $c_1$ for $c_2$, and so on; nobody has to predict the dot.
# `F.cross_entropy` wants the classes in the second axis: `.transpose(1, 2)`; with `reduction="none"` it leaves the mean
# to you.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def next_token_loss(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
#     return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none").mean(dim=1)
# ```
#
# </details>

# %%
tokens = prior.tokens(z_i, z_t)                                                          # (B, 1 + K)
logits = prior(tokens[:, :-1], text)                                                     # (B, K, buckets)
by_hand = checks.next_token_loss.reference(logits, tokens)
torch.testing.assert_close(prior.loss(z_i, text), by_hand, atol=1e-4, rtol=1e-4)
print(f"equal to the library's loss; its mean is {by_hand.mean():.2f} nats a word")

# %% [markdown]
# What is that worth? A model that knows nothing gives every bucket the same probability and pays $\log$ of their
# number. One that knows how often each bucket occurs for each component, but reads neither caption nor sentence, pays
# the cross-entropy of that histogram:

# %%
def histogram_loss(seen, unseen):
    """The loss of each component (K,) by the counts of the buckets of `seen` (N, K)."""
    counts = 0.1 + torch.stack([column.bincount(minlength=buckets) for column in seen.T])          # (K, buckets)
    shares = (counts / counts.sum(dim=1, keepdim=True)).log()
    return -shares[torch.arange(unseen.shape[1]), unseen].mean(dim=0)

counted = histogram_loss(prior.tokens(known_i, known_t)[:, 1:], tokens[:, 1:])
print(f"knowing nothing {log(buckets):.2f}, the histograms {counted.mean():.2f}, the prior {by_hand.mean():.2f}")

# %%
claims.check(f"Reading the caption and the words before saves {counted.mean() - by_hand.mean():.2f} nats a word.",
             by_hand.mean() < counted.mean() - 0.2)

# %% [markdown]
# ## 5. Keys and values that are kept
#
# In drawing, the sentence grows by one token at a time. To run the whole of it again for each would be a waste: under
# the causal mask nothing changes for the tokens before. A new token asks them for their keys and values only. So keep
# these, and add its own.
#
# ### Exercise 4: One more · ●●○ medium · 7 minutes
#
# The new token has query, key and value (B, d) each; `past_k` and `past_v` (B, M, d) belong to the M tokens before it.
# Return its answer (B, d), which also sees itself, and the keys and values with its own behind them, (B, M + 1, d)
# each.

# %% tags=["exercise"]
def one_more(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, past_k: torch.Tensor, past_v: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    raise NotImplementedError

# %%
checks.one_more(one_more)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `torch.cat([past_k, k[:, None]], dim=1)` has the new key at the end. Then attention as in notebook 02, exercise 1,
# with a single query `q[:, None]` and no mask: the new token is the last, it may see all of them.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def one_more(
#     q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, past_k: torch.Tensor, past_v: torch.Tensor
# ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
#     keys, values = torch.cat([past_k, k[:, None]], dim=1), torch.cat([past_v, v[:, None]], dim=1)
#     answer = F.scaled_dot_product_attention(q[:, None], keys, values)
#     return answer[:, 0], keys, values
# ```
#
# </details>
#
# In the library, `prior.prefix(text)` reads the caption and keeps its keys and values, and `prior.read(tokens, prefix,
# first)` reads on and hands out a longer prefix. Token by token, all at once, and everything anew without keeping
# anything:

# %%
def in_one_go(prior, tokens, text):
    """Caption, z_t and all tokens in one pass, nothing kept: logits (B, n, buckets)."""
    context, n, (_, length) = prior.config.context, tokens.shape[1], text.mask.shape
    words = prior.bucket_in(tokens) * prior.scales_in[:, :n]
    parts = [prior.tokens_in(text.tokens), prior.embed_in(text.embed)[:, None], words]
    places = [*range(length), *range(context, context + 1 + n)]
    there = torch.cat([text.mask, text.mask.new_ones(len(tokens), 1 + n)], dim=1)
    allowed = causal_mask(length + 1 + n) & there[:, None, None]
    x, _ = prior.transformer(torch.cat(parts, dim=1) + prior.positions[:, places], allowed)
    return prior.bucket_out(prior.norm_out(x[:, length + 1 :]) * prior.scales_out[:, :n])

def token_by_token(prior, tokens, text):
    prefix, answers = prior.prefix(text), []
    for first in range(tokens.shape[1]):
        logits, prefix = prior.read(tokens[:, first : first + 1], prefix, first)
        answers.append(logits)
    return torch.cat(answers, dim=1)

few = text[:40]
sentences = tokens[:40, :-1]                      # nothing follows the last word
anew = in_one_go(prior, sentences, few)
for answer in (prior(sentences, few), token_by_token(prior, sentences, few)):
    torch.testing.assert_close(answer, anew, atol=1e-3, rtol=1e-3)
print("three times the same, to rounding")

# %%
def clocked(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start

length = few.mask.shape[1] + 1
anew = clocked(lambda: [in_one_go(prior, sentences[:, : n + 1], few) for n in range(K)])
kept = clocked(lambda: token_by_token(prior, sentences, few))
print(f"all anew for each word: {sum(length + n + 1 for n in range(K)):4} tokens, {anew:.2f} s")
print(f"kept:                   {length + K:4} tokens, {kept:.2f} s")

# %% [markdown]
# **What goes wrong easily.** `first` tells `read` which word it is reading, so that it can add the right position.
# Forget to count, and nothing complains:

# %%
def without_counting(prior, tokens, text):
    prefix, answers = prior.prefix(text), []
    for n in range(tokens.shape[1]):
        logits, prefix = prior.read(tokens[:, n : n + 1], prefix)                         # first=0 each time
        answers.append(logits)
    return torch.cat(answers, dim=1)

losses = [F.cross_entropy(way(prior, sentences, few).transpose(1, 2), tokens[:40, 1:]).item()
          for way in (token_by_token, without_counting)]  # fmt: skip
claims.check(f"With the right positions the loss is {losses[0]:.2f} nats a word, without counting {losses[1]:.2f}, "
             "and no error tells you.", losses[1] > losses[0] + 0.3)

# %% [markdown]
# ## 6. Training
#
# The recipe takes the diffusion prior's pictures and captions. One caption in ten is dropped, for guidance; the dot
# product then is still that of the true pair. With the `cpu` profile your prior learns shorter sentences, of the
# components that hold 99%, and not for long.
#
# **Hidden words.** In training all words before are the true ones (*teacher forcing*). That is a trap: when the first
# words have shown a red star, the later ones need not be learnt from the caption, for the words tell. In drawing,
# however, the words are the model's own guesses. So the recipe hides true words from the model, which has to predict
# them all the same: three sentences in ten are hidden wholly, four not at all, and of the others a part. Language
# models know this remedy as *word dropout* ([Bowman et al. 2016](https://arxiv.org/abs/1511.06349)); the paper does not
# speak of it. Six sentences, each a row, a dot for a hidden word:

# %%
for row in hide(6, K, torch.Generator().manual_seed(0)).tolist():
    print("".join("." if hidden else "#" for hidden in row))

# %%
recipe = ARPriorRecipe(clip.to(device))
config = recipe.profiles[profile]
if profile == "cpu":
    recipe.statistics, recipe.share = 1024, 0.99            # pictures for components and buckets; and how many to keep
    config = replace(config, steps=180, lr=3e-3, warmup=20, ema=0.97)
print(f"{config.steps} steps with {config.batch} sentences each")

# %%
torch.manual_seed(0)
yours = recipe.build().to(device)
sizes = yours.config
millions = sum(p.numel() for p in yours.parameters()) / 1e6
print(f"{millions:.2f} million parameters: {sizes.layers} layers of width {sizes.width}")
print(f"{sizes.components} components, {sizes.buckets} buckets for each, {sizes.dot_buckets} for the dot product")

# %%
trainer, records = Trainer(yours, config), []
workers = 0 if profile == "cpu" else os.cpu_count() - 1     # processes that draw scenes for the GPU
with torch.enable_grad():
    for record in trainer.run(recipe.loss, batches(recipe, config, workers)):
        records.append(record)
        if record.step % max(1, config.steps // 5) == 0:
            print(f"step {record.step:4}: loss {record.loss:.2f}")
yours, clip = trainer.ema.cpu().eval(), clip.cpu()
recipe.finish(yours)                        # fold in the whitening of captions, as in notebook 05, section 6

# %%
plots.loss_curve(records, "ar-prior")

# %% [markdown]
# The curve begins at the logarithm of the number of buckets:

# %%
first, final = records[0].loss, sum(record.loss for record in records[-10:]) / 10
claims.check(f"The first loss is {first:.2f}, and log({buckets}) is {log(buckets):.2f}. After {config.steps} steps "
             f"it is {final:.2f}.", abs(first - log(buckets)) < 0.6 and final < first - 0.5)

# %% [markdown]
# **Loading the finished weights.** We did so at the top; they are `prior`. The loss of each word of unseen sentences,
# yours and the finished one's, beside the histograms:

# %%
def loss_of_each_word(model):
    tokens = model.tokens(z_i, z_t)
    logits = model(tokens[:, :-1], text)
    return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none").mean(dim=0).tolist()

lines = {name: (range(1, model.config.components + 1), loss_of_each_word(model))
         for name, model in {"yours": yours, "finished": prior}.items()}  # fmt: skip
plots.curves(lines | {"histograms": (range(1, K + 1), counted.tolist())}, "word of the sentence", "loss in nats")

# %% [markdown]
# The distance to the histograms is what caption and earlier words tell about a word. The words are uncorrelated, being
# principal components, but that does not make them independent: knowing some may still tell about others. How much does
# the caption tell, and how much the words before? The same once more with the empty caption, which training knows:

# %%
nothing = clip.encode_text([""]).repeat(len(z_i))
with_caption, without = (prior.loss(z_i, read, z_t).mean() for read in (text, nothing))
claims.check(f"With caption, dot and words the prior pays {with_caption:.2f} nats a word, with dot and words "
             f"{without:.2f}, and the histograms {counted.mean():.2f}.", with_caption < without < counted.mean())

# %% [markdown]
# ## 7. Drawing
#
# To draw a sentence: choose a dot product; read it; draw a word from the answer; read that; and so on. A word is drawn
# with a random number $u$ between 0 and 1. Lay the probabilities end to end, and take the bucket in which $u$ lies.
#
# The *temperature* $T$ divides the logits before the softmax. Below 1 it makes likely words more likely, above 1 it
# evens them out. At 0 the likeliest word always wins. On three words:

# %% tags=["nbval-check-output"]
logits = torch.tensor([0.5, 0.3, 0.2]).log()
for temperature in (0.25, 0.5, 1.0, 2.0, 10.0):
    print(f"temperature {temperature:5}: {(logits / temperature).softmax(dim=0).numpy().round(2)}")

# %% [markdown]
# ### Exercise 5: Pick a word · ●●○ medium · 7 minutes
#
# `logits` is (B, n), `u` (B,) has a number in 0 to 1 for each row. Return the first bucket at which the cumulative
# probability reaches u, int64 (B,). With temperature 0, the likeliest.

# %% tags=["exercise"]
def pick_bucket(logits: torch.Tensor, u: torch.Tensor, temperature: float) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.pick_bucket(pick_bucket)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `.softmax(dim=1).cumsum(dim=1)` rises from the first probability to 1. Count how many of its numbers in a row are
# below u. Treat temperature 0 first: dividing by it makes no numbers.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def pick_bucket(logits: torch.Tensor, u: torch.Tensor, temperature: float) -> torch.Tensor:
#     if temperature == 0:
#         return logits.argmax(dim=1)
#     cumulative = (logits / temperature).softmax(dim=1).cumsum(dim=1)
#     return (cumulative < u[:, None]).sum(dim=1).clamp(max=logits.shape[1] - 1)
# ```
#
# </details>
#
# Now the whole loop, with everything from above. The dot product is drawn from the upper half of its tokens, all alike:

# %%
def say(model, text, u, temperature=1.0):
    """A z_i for each caption, raw (B, D), with a number u (B, 1 + K) in 0 to 1 for each token."""
    half = model.config.dot_buckets // 2
    token = model.config.buckets + half + (u[:, :1] * half).long()
    prefix, words = model.prefix(text), []
    for k in range(model.config.components):
        logits, prefix = model.read(token, prefix, first=k)
        token = checks.pick_bucket.reference(logits[:, -1], u[:, k + 1], temperature)[:, None]
        words.append(token)
    return model.unwhiten(model.dequantise(torch.cat(words, dim=1)))

# %% [markdown]
# The library wants normal noise, as for the diffusion prior, and makes $u$ of it by the normal distribution function.

# %%
def noise_for(model, count, seed=0):
    return noise_stream((count, 1 + model.config.components), generators(seed, count))

def draw_z(captions, temperature=1.0, seed=0, **options):
    options = {"empty": clip.encode_text([""]), "temperature": temperature} | options
    return prior.draw(clip.encode_text(captions), noise_for(prior, len(captions), seed), **options)

u = torch.special.ndtr(next(noise_for(prior, len(captions))))
torch.testing.assert_close(say(prior, text, u), draw_z(captions), atol=1e-2, rtol=1e-2)
print("equal to the library's draw")

# %%
wish = "a big star"
shown = {temperature: draw_z([wish] * 6, temperature) for temperature in (0.0, 1.0, 2.0)}
names = [f"temperature {T:g}" for T in shown for _ in range(6)]
plots.show(pictures_of(torch.cat([*shown.values()])), names, columns=6, side=104, title=wish, seed=0)

# %% [markdown]
# At temperature 0 all six would be the same if it were not for the dot product, which is drawn all the same. How varied
# are the draws *of one caption*? As a share of the spread of all true $z_i$:

# %%
within = {T: variety(draw_z([wish] * 100, T), known_i) for T in (0.0, 0.5, 1.0, 2.0)}
claims.check(f"A hundred draws for {wish!r} have a variety of {within[0.0]:.2f} at temperature 0, {within[1.0]:.2f} "
             f"at 1, and {within[2.0]:.2f} at 2.", within[0.0] < within[1.0] < within[2.0])

# %% [markdown]
# Over all unseen captions, with the measures of notebook 05: the fit, the variety as a share of that of true $z_i$
# (across captions, now), and how many lie among the known ones (`inside`):

# %%
def measured(name, z):
    among = Share(int(inside(z, known_i).sum()), len(z))
    print(f"{name:26} {fit(z, z_t):13.3f} {fit(z, z_i):22.3f} {variety(z, known_i):9.2f}   {among}")
    return among.value

heading = "cosine with z_t   with the true z_i   variety   among the known z_i"
print(f"{'':26} {heading}")
of_pictures = measured("unseen pictures", z_i)
by_heat = {temperature: measured(f"temperature {temperature}", draw_z(captions, temperature))
           for temperature in (0.0, 0.5, 0.8, 1.0, 1.3, 2.0)}  # fmt: skip

# %%
claims.check(f"At temperature 1 {by_heat[1.0]:.0%} of the draws lie among the known $z_i$, and {of_pictures:.0%} of "
             f"the pictures do. At 2 the words no longer go together: {by_heat[2.0]:.0%}.",
             by_heat[2.0] < by_heat[1.0] - 0.3)

# %% [markdown]
# **Does it do as it is asked?** We ask for a dot product, by choosing from which quantile upwards it is drawn. What do
# the drawn $z_i$ have?

# %%
quantiles = (0.0, 0.25, 0.5, 0.7, 0.85, 0.95)
asked = [known_fits[known_fits >= known_fits.quantile(q)].mean().item() for q in quantiles]
got = [fit(draw_z(captions, dot_from=q), z_t) for q in quantiles]
plots.curves({"pairs from that quantile up": (quantiles, asked), "what is drawn": (quantiles, got)},
               "the dot product is drawn from this quantile up", "mean dot product")  # fmt: skip

# %% [markdown]
# If the model obeyed, both lines would rise together.

# %%
claims.check(f"We ask for {asked[0]:.2f} to {asked[-1]:.2f} and get {got[0]:.2f} to {got[-1]:.2f}: it follows, but "
             "not all the way. For a caption that says little no picture fits well, whatever is asked for.",
             0 < got[-1] - got[0] < asked[-1] - asked[0])

# %% [markdown]
# The authors tried the upper 50, 30, 15 and 5 percent, and chose the upper half.
#
# **Guidance** works on the logits, against the empty caption with the same dot product:

# %%
guided = {w: draw_z(captions, guidance=w) for w in (0.0, 1.0, 1.5, 2.0, 4.0)}
for w, z in guided.items():
    measured(f"guidance {w}", z)

# %%
fits_at, within = ({w: measure(w) for w in (1.0, 4.0)} for measure in (
    lambda w: fit(guided[w], z_t), lambda w: variety(draw_z([wish] * 100, guidance=w), known_i)))
claims.check(f"Guidance of 4 moves the cosine with $z_t$ from {fits_at[1.0]:.2f} to {fits_at[4.0]:.2f}, and the "
             f"variety of the draws for {wish!r} from {within[1.0]:.2f} to {within[4.0]:.2f}.",
             within[4.0] < within[1.0])

# %% [markdown]
# At 0 the caption is ignored, but not the dot product. See what the temperature does: six draws for one caption, where
# they lie among all $z_i$, and their pictures. No kernel is needed.

# %% tags=["nbval-ignore-output"]
prior_grid(cascade, draw_z, "a red star", (0, 0.5, 1, 1.5, 2), name="temperature", cloud=known_i[:400])

# %% [markdown]
# And with a caption of your own, which needs a running kernel:

# %% tags=["nbval-ignore-output"]
PriorExplorer(cascade, draw_z, known_i[:400], "temperature", caption="a big star at night", limits=(0, 3))

# %% [markdown]
# ## 8. Prior against prior
#
# Both have the same pairs to learn from, and both take the same place in the cascade. The diffusion prior draws two
# candidates and keeps the better one; that is its way to ask for a good fit.

# %%
def diffused(captions, candidates=2, seed=0, steps=15):
    text = clip.encode_text(captions).repeat(candidates)
    noise = noise_stream((len(text), z_i.shape[1]), generators(seed, len(text)))
    z = cascade.prior.unwhiten(last(ddim(cascade.prior.diffusion, cascade.prior_denoiser(text), noise, steps)))
    return best_of(z, clip.encode_text(captions).embed, candidates)

start = time.perf_counter()
by_diffusion = diffused(captions)
middle = time.perf_counter()
one_by_one = draw_z(captions)
end = time.perf_counter()
print(f"{len(captions)} embeddings: {middle - start:.1f} s by diffusion, {end - middle:.1f} s one word at a time")

# %%
print(f"{'':26} {heading}")
rivals = {"diffusion, best of 2": by_diffusion, "autoregressive": one_by_one,
          "yours": say(yours, text, torch.special.ndtr(next(noise_for(yours, len(captions)))))}  # fmt: skip
for name, z in {"unseen pictures": z_i, **rivals}.items():
    measured(name, z)

# %%
chosen = [2, 6, 10, 14]
truth = renders([items[i] for i in chosen], 32)
by_way = [pictures_of(z[chosen]) for z in rivals.values()]
plots.show([image for images in zip(truth, *by_way, strict=True) for image in images], ["the render", *rivals] * 4,
           columns=1 + len(rivals), side=104, seed=0)  # fmt: skip

# %%
print(*(captions[i] for i in chosen), sep="\n")

# %% [markdown]
# And in facts, as the judge reads them in 40 pictures for each:

# %%
few, true = slice(0, 40), {}
stated = [item.statement for item in items[few]]
for name, z in {"the true z_i": z_i, **rivals}.items():
    found = fidelity(stated, judge.read(pictures_of(z[few])))
    true[name] = found["caption"]
    print(f"{name:21} kinds {found['kind']}   colours {found['colour']}   whole captions {found['caption']}")

# %%
one, other = true["diffusion, best of 2"], true["autoregressive"]
claims.check(f"{one.true} of {one.total} captions come true with the diffusion prior and {other.true} with the "
             "other. With so few captions the intervals overlap.",
             max(one.interval[0], other.interval[0]) <= min(one.interval[1], other.interval[1]))

# %% [markdown]
# In the paper the two are close as well. People preferred the pictures of the diffusion prior a little more often
# (Table 1, measured against GLIDE), and its FID is 10.39 against 10.63 (Table 2). Its authors prefer it as the more
# efficient one, with better samples (section 1). It takes 64 steps there (Table 3), each of them on *all* numbers of
# $z_i$; the other has to take a step for each number.
#
# More captions say more. `minunclip evaluate --suite paper` found on this copy:

# %%
experiments.table("two_priors", "the two priors")

# %% [markdown]
# The finest thing that a caption says is whose colour is whose. Both priors, on captions such as "a red star above a
# blue fish"; swapped: each thing is drawn in the other's colour.

# %%
experiments.table("two_priors", "colours of two things, from z_i alone")

# %% [markdown]
# Which words tell it? Take true pictures, and exchange the two colours in their captions. How much dearer does that
# make the words of the picture, all together up to here? Once with all true words before in sight, once with all of
# them hidden:

# %%
pairs = [pair_of(number, seed=0) for number in range(200)]
right, swapped = (clip.encode_text([getattr(pair, name) for pair in pairs]) for name in ("caption", "swapped"))
pictures = torch.stack([to_tensor(render(pair.scene, 32)) for pair in pairs])
words = prior.tokens(clip.encode_image(pictures), right.embed)                           # (B, 1 + K)

def cost(read, said):
    """Of each word, in nats: (B, K)."""
    return F.cross_entropy(prior(read, said).transpose(1, 2), words[:, 1:], reduction="none")

reading = {"true words shown": words[:, :-1], "all words hidden": torch.full_like(words[:, :-1], -1)}
dearer = {name: cost(read, swapped) - cost(read, right) for name, read in reading.items()}
plots.curves({name: (range(1, K + 1), gap.mean(dim=0).cumsum(dim=0).tolist()) for name, gap in dearer.items()},
               "word of the sentence", "nats dearer, so far")  # fmt: skip

# %%
cheaper = [(gap.sum(dim=1) > 0).float().mean().item() for gap in dearer.values()]
by_word = dearer["all words hidden"].mean(dim=0)
claims.check(f"With the true words in sight the right caption is the cheaper one for {cheaper[0]:.0%} of the "
             f"pictures, with all of them hidden for {cheaper[1]:.0%}. The first eight words say "
             f"{by_word[:8].sum() / by_word.sum():.0%} of it.", min(cheaper) > 0.75)

# %% [markdown]
# The cascade does not care which prior it has. From a caption to 128 pixels, with ours:

# %%
other = UnCLIP(clip, prior, cascade.decoder, cascade.upsamplers)
wishes = ["a big red star at night", "a small blue fish in the sky"]
plots.show(other.sample(wishes, seed=0, size=128).image, wishes, side=192, seed=0)

# %% [markdown]
# ## Summary
#
# | | |
# | --- | --- |
# | principal components | directions of largest variance, uncorrelated; a few hold 99% of the variance, not all facts |
# | buckets | each component rounded to one of a few values: $z_i$ becomes a sentence |
# | dot token | how well picture and caption fit, in buckets of equally many pairs; ask for the upper half |
# | loss | cross-entropy of the next word; a model that knows nothing pays $\log$ of the buckets |
# | hidden words | the model must not rely on true words alone, which it will not have when it draws |
# | keys and values | kept: a new token costs one token, not the whole sentence again |
# | temperature | divides the logits; 0 is the likeliest word, large is chaos |
# | two priors | the same place in the cascade; one draws all numbers at once in steps, the other one number at a time |
#
# ## Questions
#
# <details><summary>Why are the components ordered by variance? The chain rule holds for any order.</summary>
#
# For a perfect model it would not matter. A real one says the important things first, while few words can have gone
# wrong before them, and fills in details afterwards, where a mistake costs little. It also helps a reader: the first
# words alone are a rough picture, as at the top of this notebook.
#
# </details>
#
# <details><summary>The first word is off by one bucket. Is that worse than for the last word?</summary>
#
# In $z_i$, yes: its buckets are wider, because its range is. For the loss it is the same: cross-entropy does not know
# that bucket 31 is a neighbour of 32. The model has to learn that from data; the diffusion prior has it for free.
#
# </details>
#
# <details><summary>Why not ask for the best dot product of all?</summary>
#
# Few training pairs had it, and they are of a kind: pictures whose captions say everything. Asked for it with a caption
# that says little, the model must leave what it knows. The paper found the upper half to be best.
#
# </details>
#
# <details><summary>Can the diffusion prior be asked for a dot product, too?</summary>
#
# It could be given such a token. The paper does without, and draws two candidates instead, which works for any prior.
#
# </details>
#
# <details><summary>Why can this prior say how likely a z_i is, and the diffusion prior not as easily?</summary>
#
# The product of its answers is the probability of the sentence; the loss is its logarithm, divided by $-K$. Diffusion
# knows only a bound, or needs an integral along the whole way from noise.
#
# </details>
#
# ## Where to read on
#
# - The code: [ar_prior.py](../minunclip/ar_prior.py), [embeddings/pca.py](../minunclip/embeddings/pca.py), and the
#   recipe in [training/recipes/ar_prior.py](../minunclip/training/recipes/ar_prior.py).
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125): section 2.2 for the components, the buckets and the
#   dot product, section 4 and Figure 7 for pictures from the first components, Tables 1 to 3.
# - Pictures as sentences: [Ramesh et al., 2021](https://arxiv.org/abs/2102.12092), the first DALL·E, and
#   [van den Oord et al., 2016](https://arxiv.org/abs/1601.06759), pixel after pixel.
# - Asking a model for a result by a token in front: [Chen et al., 2021](https://arxiv.org/abs/2106.01345), Decision
#   Transformer.
# - SAM: [Foret et al., 2021](https://arxiv.org/abs/2010.01412).
