# %% [markdown]
# # 06 · The autoregressive prior: an image embedding, told like a sentence
#
# Could you tell somebody a picture over the telephone, in two dozen words? If the words are well chosen: yes.
#
# Notebook 05 drew $z_i$ as a whole, out of noise. The paper has a second prior, which works like a language model. It
# writes $z_i$ as a row of tokens, one after the other, each from the caption and from what it has said so far. In this
# notebook you turn embeddings into sentences, write the loop that continues them, and let the two priors compete.

# %%
import torch
import torch.nn.functional as F

import minunclip
from minunclip import plots
from minunclip.course import checks, claims, draw

# %%
from minunclip.ar_prior import ARPrior
from minunclip.manipulations import decode
from minunclip.scenes import Scene, Thing, render, to_tensor

torch.set_grad_enabled(False)                     # on again for the training in section 7
cascade, prior = minunclip.load("scenes"), ARPrior.from_pretrained("scenes")
clip, K, buckets = cascade.clip, prior.config.components, prior.config.buckets
scene = Scene((Thing("star", "red", "big"),), "alone", "night", "crayon", seed=4)
picture = to_tensor(render(scene, 32))
sentence = prior.quantise(prior.whiten(clip.encode_image(picture[None])))      # (1, K)
print(*sentence[0].tolist())

# %%
def pictures_of(z_i, seed=0):
    """What the decoder makes of each z_i (B, D) alone: it is told no caption."""
    return decode(cascade, z_i, [""] * len(z_i), seed)

counts = [0, 1, 2, 4, 8, 16, K]
heard = torch.cat([prior.unwhiten(prior.dequantise(sentence)[:, :n]) for n in counts])
plots.show([picture, *pictures_of(heard)], ["the picture", *(f"{n} words" for n in counts)],
           columns=8, side=96, seed=0)

# %% [markdown]
# A picture, its $z_i$ as a sentence, and what the decoder draws when it has heard the first words only. The most
# telling words come first.
#
# **What you will see**
#
# 1. *Principal components*: the same embedding in numbers of which the first tell the most.
# 2. *Quantisation*: from numbers to words.
# 3. A token that says how well the picture fits its caption.
# 4. The sentence as the model reads it, and a loss that was too good to be true.
# 5. Keys and values that are kept.
# 6. The loop that writes a sentence. You build it.
# 7. Training: your own prior learns a small world in less than a minute.
# 8. Temperature, a good fit, and guidance.
# 9. Prior against prior.
#
# **What you need to know before:** causal attention (notebook 02), cross-entropy (01), and what a prior is for (05,
# sections 1 and 2). Of diffusion nothing.
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("06_ar_prior")

# %% [markdown]
# Reading takes about 40 minutes, the exercises another 35. The fast path, 15 minutes: sections 2, 6 and 7.
#
# ## 1. Principal components
#
# A sentence should be short. So before we make words of numbers, we look for the fewest numbers that will do. Take four
# points in a plane. In which direction do they differ most?

# %% tags=["nbval-check-output"]
points = torch.tensor([[3.0, 3], [-3, -3], [1, -1], [-1, 1]])
covariance = points.T @ points / (len(points) - 1)                             # their mean is 0
variances, directions = torch.linalg.eigh(covariance)                          # the smallest first
for variance, direction in zip(variances.flip(0), directions.T.flip(0), strict=True):
    print(f"variance {variance:5.2f} along ({abs(direction[0]):.2f}, {abs(direction[1]):.2f}), up to the sign")

# %%
from minunclip.plots import Panel, plane

arrows = directions.T.flip(0) * variances.flip(0).sqrt()[:, None]
shown = Panel(points, labels=torch.tensor([0, 0, 1, 1]), paths=torch.stack([-arrows, arrows]))
plane({"four points and their two directions": shown}, limit=3.6, side=2.6)

# %% [markdown]
# The *covariance* says how much each coordinate varies, and how much they vary together. Its *eigenvectors* are
# directions at right angles to each other in which the points vary independently; each *eigenvalue* is the variance in
# that direction. Whoever may keep one number only keeps the first. Here it holds 90% of the variance.
#
# ### Exercise 1: How many are needed? · ●○○ easy · 5 minutes
#
# `variances` (D,) are the eigenvalues, the largest first. Return the smallest number of components that hold at least
# the `share` of their sum, a number above 0 and up to 1.

# %% tags=["exercise"]
def components_needed(variances: torch.Tensor, share: float) -> int:
    raise NotImplementedError

# %%
components_needed = checks.mine(components_needed)

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
from minunclip.embeddings import PCA, typical_length
from minunclip.evaluation import renders
from minunclip.scenes import Scenes

def pairs(split, seed, count):
    found = [Scenes(split, seed=seed)[i] for i in range(count)]
    text = clip.encode_text([item.caption for item in found])
    return found, clip.encode_image(renders(found, 32)), text

_, known_i, known_text = pairs("train", 40, 1024)
items, z_i, text = pairs("test", 41, 240)
captions, known_t, z_t = [item.caption for item in items], known_text.embed, text.embed
pca = PCA.fit(known_i)
held = pca.variances.cumsum(dim=0) / pca.variances.sum()
loud = int((pca.variances > (clip.config.noise * typical_length(known_i)) ** 2).sum())
places = torch.arange(1, len(held) + 1)
plots.curves({"z_i of our CLIP": (places, held), "if all varied alike": (places, places / len(held))},
             "components kept", "share of the variance", log_x=True)

# %%
at_99 = components_needed(pca.variances, 0.99)
claims.check(f"{at_99} of {len(held)} components hold 99% of the variance. {loud} vary more "
             f"than the noise that CLIP was trained with, and hold {held[loud - 1]:.1%}.",
             at_99 < 35 and abs(loud - at_99) < 12 and held[loud - 1] > 0.985)

# %% [markdown]
# The paper keeps 319 of 1,024 components and loses less than 1% (section 2.2). **Unlike the paper:** its authors put
# the small number down to *SAM*, the optimiser of their CLIP. Ours was trained with noise on $z_i$, in a world with few
# facts. What varies less than that noise was never taught to say anything. So our prior keeps what is louder.
#
# But 99% of the variance need not be 99% of the facts. CLIP itself can tell: it reads kind, colour and size off a $z_i$
# by comparing it with captions (*zero-shot*, notebook 02). **Predict, then run:** how many components does it need?

# %%
from minunclip.evaluation import Share
from minunclip.scenes import THING_FACTS

def prompt(fact, value):
    return f"a {value}" if fact == "kind" else f"a {value} thing"

prompts = {fact: clip.encode_text([prompt(fact, value) for value in values]).embed
           for fact, values in THING_FACTS.items()}

def read_off(z, asked):
    """How many facts of the things that were asked for CLIP finds in z_i (B, D)."""
    found = {fact: clip.similarity(z, said).argmax(dim=1).tolist() for fact, said in prompts.items()}
    right = [THING_FACTS[fact][i] == getattr(thing, fact)
             for fact, places in found.items() for thing, i in zip(asked, places, strict=True)]
    return Share(sum(right), len(right))

alone = [i for i, item in enumerate(items) if len(item.scene.things) == 1]
single_z, single = z_i[alone], [items[i].scene.things[0] for i in alone]
kept_counts = [1, 2, 4, 8, 12, 16, 20, loud, len(held)]
by_count = {n: read_off(pca.back(pca.project(single_z)[:, :n]), single).value for n in kept_counts}
plots.curves({f"{len(single)} pictures of one thing": (list(by_count), list(by_count.values()))},
             "components kept", "share of facts that CLIP reads", log_x=True)

# %%
claims.check(f"From 4 components CLIP reads {by_count[4]:.0%} of the facts, from {loud} "
             f"{by_count[loud]:.0%}, and from all {len(held)} {by_count[len(held)]:.0%}.",
             by_count[4] < by_count[loud] - 0.1 and by_count[loud] > by_count[len(held)] - 0.03)

# %% [markdown]
# And pictures with two things, drawn from the first components only; three of sixty:

# %%
with_two = [item for item in items if len(item.scene.things) == 2][:60]
originals = renders(with_two, 32)
in_components, some_counts = pca.project(clip.encode_image(originals)), (8, 16, loud, len(held))
drawn = {n: pictures_of(pca.back(in_components[:, :n])) for n in some_counts}
plots.show([image for i in range(3) for image in (originals[i], *(images[i] for images in drawn.values()))],
           ["the picture", *(f"{n} components" for n in some_counts)] * 3, columns=5, side=104, seed=0)

# %%
from minunclip.evaluation import Judge, same_facts

judge = Judge.from_pretrained("scenes")
scenes_of_two = [item.scene for item in with_two]
whole = {n: same_facts(scenes_of_two, judge.read(images))["scene"] for n, images in drawn.items()}
claims.check(f"Of 60 pictures {whole[16].true} come back with all their facts from 16 "
             f"components, {whole[loud].true} from {loud} and {whole[len(held)].true} from all "
             f"{len(held)}.",
             whole[16].true < whole[loud].true and whole[loud].true > whole[len(held)].true - 6)  # drawn

# %% [markdown]
# ## 2. From numbers to words
#
# A language model chooses among the words of a vocabulary, so each number has to become one of a few. We cut the range
# of a component, from its smallest to its largest value, into equally wide *buckets*. From then on only the bucket
# counts, and whoever wants the number back takes the bucket's centre. With four buckets from -1 to 1:

# %% tags=["nbval-check-output"]
low, high = torch.tensor([-1.0]), torch.tensor([1.0])
line = torch.tensor([-1.0, -0.6, -0.1, 0.2, 0.99, 3.0])[:, None]
ids = checks.to_buckets.reference(line, low, high, 4)
centres = low + (ids + 0.5) / 4 * (high - low)
for number, bucket, centre in zip(line[:, 0], ids[:, 0], centres[:, 0], strict=True):
    print(f"{number:5.2f} falls into bucket {bucket}, whose centre is {centre:5.2f}")

# %% [markdown]
# ### Exercise 2: Buckets · ●●○ medium · 6 minutes
#
# `x` is (B, K), `low` and `high` (K,) are the ends of each component's range. Return the bucket of each number, int64
# (B, K), 0 to `buckets - 1`. A bucket holds its lower edge; numbers outside go to the first or the last one.

# %% tags=["exercise"]
def to_buckets(x: torch.Tensor, low: torch.Tensor, high: torch.Tensor, buckets: int) -> torch.Tensor:
    raise NotImplementedError

# %%
to_buckets = checks.mine(to_buckets)

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
#
# **How many buckets?** Few make short vocabularies and rough numbers. What is lost, of a component's variance and of
# the facts that CLIP can read?

# %%
known_x, unseen_x = pca.project(known_i)[:, :loud], pca.project(z_i)[:, :loud]
ends = known_x.amin(dim=0), known_x.amax(dim=0)

def rounded(x, count):
    """Components as they come back from so many buckets each."""
    return ends[0] + (to_buckets(x, *ends, count) + 0.5) / count * (ends[1] - ends[0])

sizes, lost, legible = (2, 4, 8, 16, 32, 64, 128), {}, {}
for count in sizes:
    error = (rounded(unseen_x, count) - unseen_x).square().mean(dim=0) / unseen_x.var(dim=0)
    lost[count] = error.mean().item()
    legible[count] = read_off(pca.back(rounded(unseen_x[alone], count)), single).value
plots.curves({"share of the variance that is lost": (sizes, list(lost.values())),
              "share of facts that CLIP reads": (sizes, list(legible.values()))}, "buckets", "share", log_x=True)

# %%
claims.check(f"With 2 buckets CLIP still reads {legible[2]:.0%} of the facts, with {buckets} "
             f"{legible[64]:.0%}, and {lost[64]:.2%} of the variance is lost. A sentence of "
             f"{loud} words has {loud * 6} bits; the picture has {32 * 32 * 3 * 8:,}.",
             lost[64] < 0.005 and legible[64] > by_count[loud] - 0.03)

# %% [markdown]
# Each component has buckets of its own, so a narrow one is told as exactly as a wide one. The paper takes 1,024 of
# them, we take 64.
#
# ## 3. How well does it fit?
#
# Some captions fit their picture well, others say next to nothing. A model that learns from all pairs draws both kinds.
# The paper has a neat remedy (section 2.2). It puts one more token in front of the sentence: the dot product $z_i \cdot
# z_t$ of the pair, in buckets. In training it is the true one. In drawing we are free to *ask for* a good one. Here are
# the pairs with the largest and the smallest dot product (of embeddings of length 1, so it is a cosine):

# %%
from minunclip.ar_prior import dot

fits = dot(z_i, z_t)
by_fit = fits.argsort(descending=True).tolist()
extremes = [*by_fit[:4], *by_fit[-4:]]
plots.show([items[i].image() for i in extremes], [f"{fits[i]:.2f}: {captions[i]}" for i in extremes], side=128)

# %%
lengths = torch.tensor([len(captions[i].split()) for i in by_fit]).float()
most, least = lengths[:60].mean().item(), lengths[-60:].mean().item()
claims.check(f"In the quarter of the pairs that fits best a caption has {most:.1f} words, in "
             f"the quarter that fits worst {least:.1f}.", most > least + 2)

# %% [markdown]
# These buckets are not equally wide: each holds equally many pairs. So the upper half of the tokens is the better half
# of the pairs. With eight pairs and four buckets:

# %% tags=["nbval-check-output"]
eight = torch.tensor([0.70, 0.20, 0.78, 0.74, 0.58, 0.80, 0.50, 0.72])
edges = torch.quantile(eight, torch.tensor([0.25, 0.5, 0.75]))
print("edges ", edges.numpy().round(2))
print("tokens", torch.bucketize(eight, edges, right=True).tolist(), "- the better half has 2 and 3")

# %% [markdown]
# ## 4. The sentence, and the loss
#
# The model is a causal Transformer. It reads the caption's tokens and $z_t$, then the dot, then the components. At each
# place it says what it expects *next*:

# %%
draw.ar_sentence()

# %% [markdown]
# What it says are *logits*, one for each bucket, and the loss is the cross-entropy of the true one. So it learns
#
# $$P(z_i \mid y) = \prod_{k=1}^{K} P(c_k \mid c_1, \dots, c_{k-1},\, \text{dot},\, z_t,\, y)$$
#
# which is nothing but the chain rule. All factors are trained at once: under the causal mask each place sees only what
# came before. One vocabulary serves all places, though bucket 7 is another value for each component. **Unlike the
# paper,** each place has *scales* of its own, which multiply the vector of the word that is read there, and once more
# what the logits are made of. That is far less to learn than a vocabulary for each component.
#
# **A loss that is too good.** A colleague wrote the loss below, and tries it on the smallest model there is: a table
# with a row of logits for each token, chosen by the token that was read last. It learns from 1,024 sentences.

# %%
def colleagues_loss(logits, tokens):
    return F.cross_entropy(logits[:, 1:].transpose(1, 2), tokens[:, 1:-1], reduction="none").mean(dim=1)

def table_trained_with(loss, steps=60):
    table = torch.zeros(buckets + prior.config.dot_buckets, buckets, requires_grad=True)
    optimiser = torch.optim.Adam([table], lr=0.3)
    with torch.enable_grad():
        for _ in range(steps):
            optimiser.zero_grad()
            loss(table[known_tokens[:, :-1]], known_tokens).mean().backward()
            optimiser.step()
    return table.detach()

known_tokens, tokens = prior.tokens(known_i, known_t), prior.tokens(z_i, z_t)  # (B, 1 + K): [dot, c_1, ...]
too_good = table_trained_with(colleagues_loss)
its_loss = colleagues_loss(too_good[tokens[:, :-1]], tokens).mean().item()
claims.check(f"After 60 steps the colleague's loss on unseen sentences is {its_loss:.2f}, "
             "though one word tells little about the next.", its_loss < 0.3)

# %% [markdown]
# ### Exercise 3: Find the bug · ●●○ medium · 7 minutes
#
# What did the table learn? Write the loss right. `tokens` (B, 1 + K) are $[\text{dot}, c_1, \dots, c_K]$. The model has
# read all of them but the last, and `logits` (B, K, buckets) are its answers at these. Return the mean cross-entropy of
# $c_1 \dots c_K$ for each row, (B,).

# %% tags=["exercise"]
def next_token_loss(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
next_token_loss = checks.mine(next_token_loss)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The colleague asks at $c_1$ for $c_1$: the table learned to repeat what it has just read. Who should be asked for
# $c_1$? `F.cross_entropy` wants the classes in the second axis; with `reduction="none"` it leaves the mean to you.
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
from math import log

honest = next_token_loss(table_trained_with(next_token_loss)[tokens[:, :-1]], tokens).mean().item()
claims.check(f"With the right loss the table pays {honest:.2f} nats a word. Knowing nothing "
             f"costs log({buckets}) = {log(buckets):.2f}, and the colleague's table now pays "
             f"{next_token_loss(too_good[tokens[:, :-1]], tokens).mean():.1f}.",
             2 < honest < log(buckets))

# %% [markdown]
# A loss far below what is plausible is a symptom, not a success: look whether the answer stands in the input. And how
# well does the finished prior do? We compare it with *histograms*: how often each bucket occurs for each component,
# whatever the caption says.

# %%
def histogram_loss(seen, unseen):
    """The loss of each component (K,) by the counts of the buckets of `seen` (N, K)."""
    counted = 0.1 + torch.stack([column.bincount(minlength=buckets) for column in seen.T])     # (K, buckets)
    shares = (counted / counted.sum(dim=1, keepdim=True)).log()
    return -shares[torch.arange(unseen.shape[1]), unseen].mean(dim=0)

by_counts = histogram_loss(known_tokens[:, 1:], tokens[:, 1:])
with_caption = next_token_loss(prior(tokens[:, :-1], text), tokens).mean().item()
torch.testing.assert_close(prior.loss(z_i, text).mean().item(), with_caption, atol=1e-4, rtol=1e-4)
nothing = clip.encode_text([""]).repeat(len(z_i))
without = next_token_loss(prior(tokens[:, :-1], nothing), tokens).mean().item()
claims.check(f"The histograms pay {by_counts.mean():.2f} nats a word, the finished prior "
             f"{with_caption:.2f}. With dot and words but the empty caption it pays "
             f"{without:.2f}.",
             with_caption < without - 0.1 and without < by_counts.mean())  # drawn ar

# %% [markdown]
# ## 5. Keys and values that are kept
#
# In drawing, the sentence grows by one token at a time. Under the causal mask nothing changes for the tokens before. A
# new token asks them for their keys and values only. So these are kept, and its own are added.
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
one_more = checks.mine(one_more)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `torch.cat([past_k, k[:, None]], dim=1)` has the new key at the end. Then attention as in notebook 02, with a single
# query `q[:, None]` and no mask: the new token is the last, it may see all of them.
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
# first)` reads on and hands out a longer prefix. Token by token it must come to the same as all at once:

# %%
def token_by_token(prior, tokens, text, counting=True):
    prefix, answers = prior.prefix(text), []
    for n in range(tokens.shape[1]):
        logits, prefix = prior.read(tokens[:, n : n + 1], prefix, first=n if counting else 0)
        answers.append(logits)
    return torch.cat(answers, dim=1)

few, begun = text[:40], tokens[:40, :-1]          # nothing follows the last word
step_by_step = token_by_token(prior, begun, few)
torch.testing.assert_close(step_by_step, prior(begun, few), atol=1e-3, rtol=1e-3)
length = few.mask.shape[1] + 1
print(f"equal; kept, a sentence of {K} words costs {length + K} tokens, anew for each word "
      f"{sum(length + n + 1 for n in range(K))}")

# %% [markdown]
# `first` tells `read` which word it is reading, so that it adds the right position. Forget to count, and nothing
# complains:

# %%
counted, uncounted = (next_token_loss(logits, tokens[:40]).mean().item() for logits in (
    step_by_step, token_by_token(prior, begun, few, counting=False)))
claims.check(f"With the right positions the loss is {counted:.2f} nats a word, without counting "
             f"{uncounted:.2f}.", uncounted > counted + 0.3)  # drawn ar

# %% [markdown]
# ## 6. The loop that writes
#
# To draw a sentence: choose a dot product; read it; pick a word from the answer; read that; and so on. A word is picked
# with a random number $u$ between 0 and 1. Lay the probabilities end to end, and take the bucket in which $u$ lies.
#
# The *temperature* $T$ divides the logits before the softmax. Below 1 it makes likely words more likely, above 1 it
# evens them out. At 0 the likeliest word always wins. On three words:

# %% tags=["nbval-check-output"]
three = torch.tensor([0.5, 0.3, 0.2]).log()
for temperature in (0.25, 0.5, 1.0, 2.0, 10.0):
    print(f"temperature {temperature:5}: {(three / temperature).softmax(dim=0).numpy().round(2)}")

# %% [markdown]
# ### Exercise 5: Pick a word · ●●○ medium · 7 minutes
#
# `logits` is (B, n), `u` (B,) has a number in 0 to 1 for each row. Return the first bucket at which the cumulative
# probability reaches u, int64 (B,). With temperature 0, the likeliest.

# %% tags=["exercise"]
def pick_bucket(logits: torch.Tensor, u: torch.Tensor, temperature: float) -> torch.Tensor:
    raise NotImplementedError

# %%
pick_bucket = checks.mine(pick_bucket)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `.softmax(dim=1).cumsum(dim=1)` rises from the first probability to 1. Count how many of its numbers in a row are
# below u. Treat temperature 0 first: one cannot divide by it.
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
# ### Exercise 6: Write a sentence · ●●○ medium · 8 minutes
#
# `follows(tokens)` takes the tokens so far, (B, n), and returns the logits of the next one, (B, buckets). `dot` (B,) is
# the first token of each sentence, and `u` (B, K) has a number for each word. Return $c_1 \dots c_K$, (B, K), without
# the dot. Use `pick_bucket`. If yours is right, every sentence in this notebook is written by your loop.

# %% tags=["exercise"]
def write_sentence(follows, dot: torch.Tensor, u: torch.Tensor, temperature: float) -> torch.Tensor:
    raise NotImplementedError

# %%
write_sentence = checks.mine(write_sentence)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Start with `tokens = dot[:, None]`. Each round asks `follows` about all tokens so far, picks with column k of `u`, and
# puts the new token at the end. How many rounds are there?
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def write_sentence(follows, dot: torch.Tensor, u: torch.Tensor, temperature: float) -> torch.Tensor:
#     tokens = dot[:, None]
#     for k in range(u.shape[1]):
#         word = pick_bucket(follows(tokens), u[:, k], temperature)
#         tokens = torch.cat([tokens, word[:, None]], dim=1)
#     return tokens[:, 1:]
# ```
#
# </details>
#
# Around the loop stand the model, which reads only what is new, and the way from words back to $z_i$. The dot product
# is drawn from the upper half of its tokens, all alike.

# %%
def reader(model, text):
    """follows(tokens): the logits of what comes next. Keys and values of what was read are kept."""
    kept = {"prefix": model.prefix(text), "seen": 0}
    def follows(tokens):
        new = tokens[:, kept["seen"] :]
        logits, kept["prefix"] = model.read(new, kept["prefix"], first=kept["seen"])
        kept["seen"] = tokens.shape[1]
        return logits[:, -1]
    return follows

def say(model, text, u, temperature=1.0):
    """A z_i for each caption, raw (B, D), with numbers u (B, 1 + K) in 0 to 1."""
    half = model.config.dot_buckets // 2
    first = model.config.buckets + half + (u[:, 0] * half).long()
    words = write_sentence(reader(model, text), first, u[:, 1:], temperature)
    return model.unwhiten(model.dequantise(words))

# %% [markdown]
# The library wants normal noise, as for the diffusion prior, and makes $u$ of it by the normal distribution function:

# %%
from minunclip.diffusion import generators, noise_stream

def noise_for(model, count, seed=0):
    return noise_stream((count, 1 + model.config.components), generators(seed, count))

def draw_z(captions, temperature=1.0, seed=0, **options):
    """A z_i for each caption, drawn by the finished prior: raw (B, D)."""
    options = {"empty": clip.encode_text([""]), "temperature": temperature} | options
    return prior.draw(clip.encode_text(captions), noise_for(prior, len(captions), seed), **options)

spoken = draw_z(captions)
u = torch.special.ndtr(next(noise_for(prior, len(captions))))
torch.testing.assert_close(say(prior, text, u), spoken, atol=1e-2, rtol=1e-2)
print("equal to the library's draw")

# %% [markdown]
# ## 7. Training
#
# We cut the world down, as in notebook 05: a single flat thing, of 8 kinds, 8 colours and 2 sizes, four pictures of
# each. Twelve words of 32 buckets are enough for it.

# %%
from itertools import product

import numpy as np

from minunclip.scenes import BACKGROUNDS, FACTS, describe

def one_thing(thing, seed):
    return Scene((thing,), "alone", BACKGROUNDS[seed % 5], "flat", seed=seed, roam=0)

things, rng = [Thing(*facts) for facts in product(*THING_FACTS.values())], np.random.default_rng(0)
small = [one_thing(thing, seed) for seed, thing in enumerate(4 * things)]
small = [one for one in small if not one.held_out]
says = [describe(one, rng, dict.fromkeys(FACTS, 0.8) | {"style": 0.0})[0] for one in small]
small_pictures = torch.stack([to_tensor(render(one, 32)) for one in small])
small_z, small_pca = clip.encode_image(small_pictures), PCA.fit(clip.encode_image(small_pictures))
claims.check("12 components hold "
             f"{small_pca.variances[:12].sum() / small_pca.variances.sum():.0%} of the variance "
             f"of these {len(small)} pictures.",
             small_pca.variances[:12].sum() > 0.95 * small_pca.variances.sum())

# %% [markdown]
# **Hidden words.** In training all words before are the true ones (*teacher forcing*). That is a trap: when the first
# words have shown a red star, the later ones need not be learned from the caption. In drawing, however, the words are
# the model's own guesses. So the recipe hides true words, which have to be predicted all the same: three sentences in
# ten are hidden wholly, four not at all, the others in part. (*Word dropout*, [Bowman et al.
# 2016](https://arxiv.org/abs/1511.06349); the paper does not speak of it.) Six sentences, each a row, a dot for a
# hidden word:

# %%
from minunclip.training.recipes.ar_prior import ARPriorRecipe, hide

for row in hide(6, 12, torch.Generator().manual_seed(0)).tolist():
    print("".join("." if hidden else "#" for hidden in row))

# %%
from copy import deepcopy
from dataclasses import replace

from minunclip.common import to_uint8
from minunclip.training import Bank, Embedded, TrainConfig, Trainer

recipe = ARPriorRecipe(clip)
recipe.statistics = 512                           # pictures that tell how to whiten captions
bank = Bank(Embedded(to_uint8(small_pictures), clip.tokenizer(says).int(), small_z))
config = TrainConfig(steps=150, batch=32, lr=3e-3, muon=0.02, warmup=20, ema=0.97, bf16=False)
torch.manual_seed(0)
yours = ARPrior(replace(recipe.build().config, components=12, buckets=32, dot_buckets=8))
yours.fit(small_z, clip.encode_text(says).embed)

def finished(model):
    model = deepcopy(model).eval()
    recipe.finish(model)                          # fold in the whitening of captions
    return model

# %%
asked = [thing for thing in things if not one_thing(thing, 0).held_out][::3]
wishes = [f"a {thing.size} {thing.colour} {thing.kind}" for thing in asked]
wish_text, trainer, records, strip = clip.encode_text(wishes), Trainer(yours, config), [], {}
u_12 = torch.special.ndtr(next(noise_for(yours, len(wishes))))
with torch.enable_grad():
    for record in trainer.run(recipe.loss, bank.batches(config)):
        records.append(record)
        if record.step in (1, 30, 60, 100, 150):
            with torch.no_grad():
                strip[record.step] = say(finished(trainer.ema), wish_text, u_12)

# %%
seen = [record.examples for record in records]
plots.curves({"this training": (seen, plots.running_mean(records, 10)),
              "log of the number of buckets": ((seen[0], seen[-1]), (log(32), log(32)))},
             "captions seen", "loss in nats", log_x=True)

# %%
from minunclip.course.widgets.prior import fit, variety

told = {step: (fit(z, wish_text.embed), read_off(z, asked)) for step, z in strip.items()}
for step, (near, facts) in told.items():
    print(f"step {step:3}: fit {near:.2f}, facts that CLIP reads {facts}")
(fit_before, facts_before), (fit_after, facts_after) = told[1], told[config.steps]
claims.check(f"The first loss is {records[0].loss:.2f}, and log(32) is {log(32):.2f}. In "
             f"{config.steps} steps the fit rises from {fit_before:.2f} to {fit_after:.2f}, and "
             f"CLIP reads {facts_before.value:.0%} of the facts before and "
             f"{facts_after.value:.0%} after.",
             abs(records[0].loss - log(32)) < 0.6 and fit_after > fit_before + 0.3
             and facts_after.value > 0.8 > facts_before.value + 0.2)

# %%
picked = [0, 5, 11, 20, 27, 35]
steps_of = [image for z in strip.values() for image in pictures_of(z[picked])]
names = [wishes[i] if step == config.steps else f"step {step}" for step in strip for i in picked]
plots.show(steps_of, names, columns=len(picked), side=88, seed=0)

# %%
from minunclip.evaluation import fidelity
from minunclip.scenes import Statement

def facts_true(statements, z):
    """The share of the stated facts that the judge sees in the pictures of z_i."""
    shares = fidelity(statements, judge.read(pictures_of(z)))
    found = [share for fact, share in shares.items() if fact not in ("caption", "count")]
    return Share(sum(share.true for share in found), sum(share.total for share in found))

wished = [Statement((thing,)) for thing in asked]
early, late = (facts_true(wished, strip[step]).value for step in (1, config.steps))
claims.check(f"The judge finds {early:.0%} of the facts in the pictures after one step, and "
             f"{late:.0%} after {config.steps}.", late > 0.7 > early + 0.2)  # drawn

# %% [markdown]
# **Design an experiment.** The components are ordered by variance, but the chain rule holds for any order. Does the
# order matter for what is drawn? Write down what you expect if a sentence is told backward, the least telling word
# first, what you would measure, and what else must stay the same.
#
# <details><summary>One way</summary>
#
# Turn `basis`, `variances`, `low` and `high` of a new prior round with `.flip(0)`, train it for the same steps from the
# same seed, and compare loss, fit and `read_off`. A perfect model would not mind. A real one makes mistakes, and a
# mistake in an early word is passed on to all that follow.
#
# </details>
#
# ## 8. Temperature, a good fit, and guidance
#
# **Loading the finished weights.** We did so at the top; they are `prior`. **Predict, then run.** We draw six $z_i$ for
# each of 24 captions. What does the temperature do to the variety *within* a caption, and to that *across* captions?

# %%
from minunclip.evaluation import inside

def within(z, count):
    """The mean variety of the z_i of one caption, `count` of them in a row."""
    return sum(variety(rows, known_i) for rows in z.split(count)) / (len(z) // count)

def measured(z):
    """Of six z_i for each of 24 captions."""
    return {"variety within a caption": within(z, 6), "variety across captions": variety(z, known_i),
            "fit": fit(z, goal), "among the known": inside(z, known_i).float().mean().item()}

sixfold = [caption for caption in captions[:24] for _ in range(6)]
goal = z_t[:24].repeat_interleave(6, dim=0)
by_heat = {T: measured(draw_z(sixfold, T)) for T in (0, 0.5, 1, 1.5, 2)}
inner, outer, near, among = by_heat[0]
plots.curves({name: (list(by_heat), [found[name] for found in by_heat.values()]) for name in by_heat[0]},
             "temperature", "")

# %%
cold, warm, hot = (by_heat[T] for T in (0, 1, 2))
claims.check(f"At temperature 0, 1 and 2 the variety within a caption is {cold[inner]:.2f}, "
             f"{warm[inner]:.2f} and {hot[inner]:.2f}. Across captions it hardly changes from 0 "
             f"to 1: {cold[outer]:.2f} and {warm[outer]:.2f}. At 2 the words no longer go "
             f"together: {hot[among]:.0%} of the draws lie among the known $z_i$, at 1 "
             f"{warm[among]:.0%}.",
             cold[inner] < 0.8 * warm[inner] < 0.8 * hot[inner]
             and abs(cold[outer] - warm[outer]) < 0.15 and hot[among] < warm[among] - 0.2)  # drawn ar

# %% [markdown]
# The two must not be confused. Different captions give different $z_i$ at any temperature; the temperature decides how
# different the draws of *one* caption are. See it on six draws of one caption. No kernel is needed.

# %% tags=["nbval-ignore-output"]
from minunclip.course.widgets.prior import PriorExplorer, prior_grid

prior_grid(cascade, draw_z, "a red star", (0, 0.5, 1, 1.5, 2), name="temperature", cloud=known_i[:400])

# %% [markdown]
# And with a caption of your own, with a running kernel:

# %% tags=["nbval-ignore-output"]
PriorExplorer(cascade, draw_z, known_i[:400], "temperature", caption="a big star at night", limits=(0, 3))

# %% [markdown]
# **Does it fit as it is asked to?** We choose from which quantile of the known pairs upwards the dot product is drawn.
# What do the drawn $z_i$ have?

# %%
known_fits, quantiles = dot(known_i, known_t), (0.0, 0.25, 0.5, 0.7, 0.85, 0.95)
asked_for = [known_fits[known_fits >= known_fits.quantile(q)].mean().item() for q in quantiles]
got = [fit(draw_z(captions, dot_from=q), z_t) for q in quantiles]
plots.curves({"pairs from that quantile up": (quantiles, asked_for), "what is drawn": (quantiles, got)},
             "the dot product is drawn from this quantile up", "mean dot product")

# %%
claims.check(f"We ask for {asked_for[0]:.2f} to {asked_for[-1]:.2f} and get {got[0]:.2f} to "
             f"{got[-1]:.2f}: it follows, but not all the way. For a caption that says little "
             "no picture fits well, whatever is asked for.",
             0.005 < got[-1] - got[0] < asked_for[-1] - asked_for[0])  # drawn ar

# %% [markdown]
# The authors tried the upper 50, 30, 15 and 5 percent, and chose the upper half. **Guidance** works on the logits,
# against the empty caption with the same dot product:

# %%
plain, double, strong = (measured(draw_z(sixfold, guidance=w)) for w in (1.0, 2.0, 4.0))
claims.check(f"Guidance of 1, 2 and 4 gives a fit of {plain[near]:.3f}, {double[near]:.3f} and "
             f"{strong[near]:.3f}, and a variety within a caption of {plain[inner]:.2f}, "
             f"{double[inner]:.2f} and {strong[inner]:.2f}.",
             strong[inner] < 0.85 * plain[inner])  # drawn ar

# %% [markdown]
# ## 9. Prior against prior
#
# Both priors learn from the same pairs, and take the same place in the cascade. The diffusion prior draws two
# candidates and keeps the better one; that is its way to ask for a good fit.

# %%
import time

start = time.perf_counter()
diffused = cascade.embed(text).finish()
halfway = time.perf_counter()
spoken = draw_z(captions)
end = time.perf_counter()
print(f"{len(captions)} embeddings: {halfway - start:.1f} s by diffusion, {end - halfway:.1f} s word by word")
rivals = {"diffusion, best of 2": diffused, "autoregressive": spoken}
print("                        fit   cosine with the true z_i   variety   among the known z_i")
for name, z in {"unseen pictures": z_i, **rivals}.items():
    among_known = inside(z, known_i).float().mean().item()
    print(f"{name:21} {fit(z, z_t):6.3f} {fit(z, z_i):20.3f} {variety(z, known_i):15.2f} {among_known:15.0%}")

# %%
alone_facts = {name: read_off(z[alone], single) for name, z in rivals.items()}
claims.check(f"Fit {fit(diffused, z_t):.2f} and {fit(spoken, z_t):.2f}, variety "
             f"{variety(diffused, known_i):.2f} and {variety(spoken, known_i):.2f}: in their "
             "$z_i$ the two priors are much alike.",
             abs(fit(diffused, z_t) - fit(spoken, z_t)) < 0.06
             and abs(variety(diffused, known_i) - variety(spoken, known_i)) < 0.1)  # drawn ar

# %%
chosen = [2, 6, 10, 14]
by_way = [pictures_of(z[chosen]) for z in rivals.values()]
truth = renders([items[i] for i in chosen], 32)
print(*(captions[i] for i in chosen), sep="\n")
plots.show([image for images in zip(truth, *by_way, strict=True) for image in images],
           ["the render", *rivals] * 4, columns=6, side=104, seed=0)

# %%
stated = [item.statement for item in items[:60]]
facts = {name: facts_true(stated, z[:60]).value for name, z in {"true": z_i, **rivals}.items()}
claims.check(f"From the true $z_i$ {facts['true']:.0%} of the facts come true, from the "
             f"diffusion prior's {facts['diffusion, best of 2']:.0%}, from the autoregressive "
             f"one's {facts['autoregressive']:.0%}.",
             facts["true"] > facts["autoregressive"] - 0.02
             and abs(facts["diffusion, best of 2"] - facts["autoregressive"]) < 0.1)  # drawn

# %% [markdown]
# In the paper the two are close as well. People preferred the pictures of the diffusion prior a little more often
# (Table 1, measured against GLIDE), and its FID is 10.39 against 10.63 (Table 2). Its authors prefer it as the more
# efficient one, with better samples (section 1). It takes 64 steps there (Table 3), each of them on *all* numbers of
# $z_i$; the other one takes a step for each number.
#
# More captions say more. `minunclip evaluate --suite paper` found on this copy:

# %%
from minunclip import experiments

experiments.table("two_priors", "the two priors")

# %% [markdown]
# The finest thing that a caption says is whose colour is whose. Both priors, on captions such as "a red star above a
# blue fish"; swapped: each thing is drawn in the other's colour.

# %%
experiments.table("two_priors", "colours of two things, from z_i alone")

# %% [markdown]
# Which words tell it? We exchange the two colours in the captions of true pictures. How much dearer does that make the
# words, all together up to here? Once with all true words before in sight, once with all of them hidden:

# %%
from minunclip.experiments import pair_of

twins = [pair_of(number, seed=0) for number in range(100)]
right, swapped = (clip.encode_text([getattr(twin, name) for twin in twins]) for name in ("caption", "swapped"))
twin_pictures = torch.stack([to_tensor(render(twin.scene, 32)) for twin in twins])
their_words = prior.tokens(clip.encode_image(twin_pictures), right.embed)      # (B, 1 + K)

def cost(read, caption):
    """Of each word, in nats: (B, K)."""
    return F.cross_entropy(prior(read, caption).transpose(1, 2), their_words[:, 1:], reduction="none")

reading = {"true words shown": their_words[:, :-1],
           "all words hidden": torch.full_like(their_words[:, :-1], -1)}
dearer = {name: cost(read, swapped) - cost(read, right) for name, read in reading.items()}
so_far = {name: gap.mean(dim=0).cumsum(dim=0).tolist() for name, gap in dearer.items()}
plots.curves({name: (range(1, K + 1), values) for name, values in so_far.items()},
             "word of the sentence", "nats dearer, so far")

# %%
cheaper = [(gap.sum(dim=1) > 0).float().mean().item() for gap in dearer.values()]
claims.check("With the true words in sight the right caption is the cheaper one for "
             f"{cheaper[0]:.0%} of the pictures, with all of them hidden for {cheaper[1]:.0%}.",
             min(cheaper) > 0.75)  # drawn ar

# %% [markdown]
# The cascade does not care which prior it has. From a caption to 128 pixels, with ours:

# %%
from minunclip.unclip import UnCLIP

other = UnCLIP(clip, prior, cascade.decoder, cascade.upsamplers)
two_wishes = ["a big red star at night", "a small blue fish in the sky"]
plots.show(other.sample(two_wishes, seed=0, size=128).image, two_wishes, side=192, seed=0)

# %%
checks.in_use()

# %% [markdown]
# ## Summary
#
# | | |
# | --- | --- |
# | principal components | directions of largest variance, uncorrelated; a few hold nearly all of it |
# | buckets | each component rounded to one of a few values: $z_i$ becomes a sentence |
# | dot token | how well picture and caption fit, in buckets of equally many pairs; ask for the upper half |
# | loss | cross-entropy of the *next* word; knowing nothing costs the log of the number of buckets |
# | hidden words | the model must not rely on true words alone, which it will not have when it draws |
# | keys and values | kept: a new token costs one token, not the whole sentence again |
# | temperature | divides the logits: the variety within a caption |
# | two priors | the same place in the cascade; one draws all numbers in steps, the other one number at a time |
#
# **What you can do now:** turn any vectors into sentences, write the loop of a language model, tell a loss that is too
# good from a good one, and choose a temperature by what it does within a caption.
#
# ## Questions
#
# <details><summary>Why are the components ordered by variance?</summary>
#
# A real model makes mistakes. Said first, the important words come while few words can have gone wrong before them. And
# the first words alone are a rough picture, as at the top.
#
# </details>
#
# <details><summary>The first word is off by one bucket. Is that worse than for the last word?</summary>
#
# In $z_i$, yes: its buckets are wider. For the loss it is the same: cross-entropy does not know that bucket 31 is a
# neighbour of 32. The model has to learn that; the diffusion prior has it for free.
#
# </details>
#
# <details><summary>Why not ask for the best dot product of all?</summary>
#
# Few training pairs had it, those whose captions say everything. Asked for it with a caption that says little, the
# model must leave what it knows. The paper found the upper half to be best.
#
# </details>
#
# <details><summary>Can the diffusion prior be asked for a dot product, too?</summary>
#
# It could be given such a token. The paper draws two candidates instead, which works for any prior.
#
# </details>
#
# <details><summary>Why can this prior say how likely a z_i is, and the diffusion prior not as easily?</summary>
#
# The product of its answers is the probability of the sentence. Diffusion knows only a bound, or needs an integral
# along the whole way from noise.
#
# </details>
#
# <details><summary>Your loss falls to 0.01 within minutes. What do you look for?</summary>
#
# The answer in the input: labels not shifted by one, a mask that lets tokens look ahead, or the test set in training.
#
# </details>
#
# <details><summary>At temperature 0, are all draws for one caption the same?</summary>
#
# Nearly. The dot product is still drawn at random, and each dot has a likeliest sentence of its own.
#
# </details>
#
# <details><summary>The components are uncorrelated. Why does it help to have read the earlier ones?</summary>
#
# Uncorrelated is not independent. If the first words say "star", some values of later words become impossible.
#
# </details>
#
# <details><summary>What would a sentence of 128 words cost, and what would it bring?</summary>
#
# Five times as many steps. The words beyond the noise say nothing that CLIP was taught to say.
#
# </details>
#
# <details><summary>Why hide true words in training, if the loss gets larger by it?</summary>
#
# Because the loss with all true words is not what drawing needs. There, a word has to be right after words that may be
# wrong.
#
# </details>
#
# ## Where to read on
#
# - The code: [ar_prior.py](../minunclip/ar_prior.py), [embeddings/pca.py](../minunclip/embeddings/pca.py), and the
#   [recipe](../minunclip/training/recipes/ar_prior.py).
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125): section 2.2 for components, buckets and dot product,
#   section 4 and Figure 7 for pictures from the first components, Tables 1 to 3.
# - Pictures as sentences: [Ramesh et al., 2021](https://arxiv.org/abs/2102.12092), the first DALL·E, and
#   [van den Oord et al., 2016](https://arxiv.org/abs/1601.06759), pixel after pixel.
# - Asking by a token in front: [Chen et al., 2021](https://arxiv.org/abs/2106.01345), Decision Transformer. SAM:
#   [Foret et al., 2021](https://arxiv.org/abs/2010.01412).
