# %% [markdown]
# # 00 · The tour: a caption becomes a picture
#
# How does a machine draw a sentence that nobody has ever drawn? DALL·E 2 does it in three steps, and its authors call
# the method *unCLIP* ([Ramesh et al., 2022](https://arxiv.org/abs/2204.06125)). In this notebook you take one sentence
# through all three and look at what comes out of each. The models are small and their world is a toy, so a laptop
# without a GPU will do.

# %%
import torch

import minunclip
from minunclip import plots
from minunclip.course import checks, claims
from minunclip.course import draw as drawings

# %% [markdown]
# The first picture takes three lines: load the models, say what to draw, look.

# %%
torch.set_grad_enabled(False)                     # nothing is trained in this notebook
caption, seed = "a big red heart above a small blue fish", 0
cascade = minunclip.load("scenes")
drawing = cascade.sample([caption], seed=seed, keep_steps=True)
plots.show(drawing.image, [caption], seed=seed)

# %% [markdown]
# Change the caption or the seed and run the cell again. The rest of the notebook follows your caption. Do not expect a
# masterpiece: the models were trained on single threads of a small CPU. Section 5 counts how often they are right, and
# [data/README.md](../data/README.md) has the numbers.
#
# **What you will see**
#
# 1. The caption becomes numbers: tokens, and the *text embedding* $z_t$.
# 2. The **prior** turns $z_t$ into an *image embedding* $z_i$.
# 3. The **decoder** turns noise into a picture of 32 x 32 pixels, led by $z_i$.
# 4. Two **upsamplers** enlarge it to 128 and then 512 pixels.
# 5. How to measure whether the picture is right.
# 6. What *guidance* does, with a slider.
#
# **What you need to know before:** some Python. There is one formula, in section 6, and it only adds and multiplies.
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("00_tour")

# %% [markdown]
# Reading takes about 20 minutes, the exercises another 15.
#
# **The course.** Twelve more notebooks take the same way slowly, and you build each part yourself. Whoever has three
# hours takes the *fast path*: this tour, then in notebooks 02 to 05 and 07 to 10 the sections that each names in its
# first lines.
#
# | | notebook | you build |
# | --- | --- | --- |
# | 01 | the scenes | the measures: fidelity and diversity |
# | 02 | CLIP | attention, the contrastive loss |
# | 03, 04 | diffusion, and guidance | noise, samplers, a small U-Net |
# | 05, 06 | the two priors | the sequence of a prior; a sentence of numbers |
# | 07 | the decoder | a ResBlock that listens to $z_i$ |
# | 08 | the upsamplers | an upsampler |
# | 09, 10 | the whole cascade, playing with z | experiments |
# | 11, 12 | your own pictures, the released cascade | a model of your own |
# | 13 | learned variance (optional) | |
#
# **Before the course:** ten questions. Tick what you believe, now, without looking anything up. The same questions
# come again at the end of notebook 10. The score stays on this machine.

# %% tags=["nbval-ignore-output"]
from minunclip.course.selftest import Selftest

Selftest("before")

# %% [markdown]
# **The way of every caption** (Figure 2 of the paper):

# %% tags=["nbval-ignore-output"]
drawings.cascade()

# %% [markdown]
# The paper's models draw 64, 256 and 1024 pixels. How large are ours?

# %% tags=["nbval-check-output"]
networks = {"CLIP": cascade.clip, "prior": cascade.prior, "decoder": cascade.decoder,
            "upsampler-1": cascade.upsamplers[0], "upsampler-2": cascade.upsamplers[1]}
for name, network in networks.items():
    print(f"{name:12} {sum(p.numel() for p in network.parameters()) / 1e6:5.2f} million parameters")

# %% [markdown]
# ## 1. The caption becomes numbers
#
# A network reads numbers, so each word is replaced by its place in a list of known words. One number marks the start
# and one the end. Together they are the *tokens*.

# %% tags=["nbval-check-output"]
tokenizer = cascade.clip.tokenizer
tokens = [tokenizer.start, *tokenizer.encode(caption), tokenizer.end]
for word, token in zip(["<start>", *caption.split(), "<end>"], tokens, strict=True):
    print(f"{token:3} {word}")

# %% [markdown]
# Our list is short, because our world is small. A word that is missing from it is an error:

# %% tags=["nbval-check-output"]
try:
    cascade.encode_text(["a red hart above a blue fish"])
except ValueError as error:
    print(error)

# %% [markdown]
# CLIP is a pair of networks. One reads captions, the other looks at pictures, and both answer with a list of numbers,
# an *embedding*. They were trained together on pictures with their captions: the embedding of a caption should be
# close to that of its own picture and far from those of other pictures.
#
# What the text network makes of our caption is the text embedding $z_t$. It also keeps one vector per token, which
# later stages may read as well.

# %% tags=["nbval-check-output"]
text = drawing.text
print("z_t:    1 caption x", text.embed.shape[1], "numbers")
print("tokens: 1 caption x", text.tokens.shape[1], "tokens x", text.tokens.shape[2], "numbers")

# %%
print("z_t starts with", text.embed[0, :6].cpu().numpy().round(2))

# %% [markdown]
# No single number of $z_t$ means "heart". What counts is the direction of the whole list: two captions that call for
# similar pictures should point in similar directions. The *cosine* measures that. It is 1 for the same direction, 0
# for unrelated ones and -1 for opposite ones.

# %%
others = ["a large red heart over a tiny blue fish", "a small blue fish above a big red heart", "a green moon at night"]
z_t = cascade.encode_text([caption, *others]).embed
cosines = dict(zip([caption, *others], cascade.clip.similarity(z_t[:1], z_t)[0].tolist(), strict=True))
plots.bars(cosines, "cosine with z_t of our caption")

# %%
said_otherwise, exchanged, another = (cosines[other] for other in others)
claims.check(f"Said in other words, the caption has a cosine of {said_otherwise:.2f} with ours. With the two things in "
             f"each other's place it has {exchanged:.2f}, and another caption {another:.2f}.",
             said_otherwise > 0.9 and exchanged < 0.6 and another < 0.6)

# %% [markdown]
# ## 2. The prior: from $z_t$ to $z_i$
#
# $z_t$ describes the words. The decoder wants the embedding of a *picture*, as CLIP's image network would have made
# it. One caption fits many pictures (ours says nothing of the background), so there is no single right answer. The
# prior draws one of the possible $z_i$ at random. Like the decoder below, it starts from random numbers and cleans
# them up step by step.
#
# As in the paper, it draws two candidates, and the one more similar to $z_t$ is kept.

# %%
candidates = cascade.prior.unwhiten(drawing.steps["prior"][-1].x_t)
fits = cascade.clip.similarity(candidates, text.embed)[:, 0]
for number, cosine in enumerate(fits.tolist(), start=1):
    print(f"candidate {number}: cosine with z_t {cosine:.3f}")

# %% tags=["nbval-check-output"]
kept = candidates[fits.argmax()]
print("the better one went on:", torch.equal(kept, drawing.z_i[0]))

# %% [markdown]
# Side by side, in the same units. A text embedding and an image embedding of the same scene are similar without
# being equal:

# %%
plots.embedding_bars({"z_t": text.embed[0], "candidate 1": candidates[0], "candidate 2": candidates[1]})

# %% [markdown]
# ## 3. The decoder: from noise to a picture
#
# The decoder is a *diffusion model*. It was trained on pictures that had been mixed with noise, and learned to tell
# the noise from the picture. At time $t = 999$ everything is noise, at $t = 0$ nothing is.
#
# To draw, we start from pure noise $x_{999}$. At each step the network estimates the clean picture $x_0$, we move a
# little towards its estimate, and ask again with less noise. $z_i$ and the tokens tell it what the picture should be.

# %% tags=["nbval-check-output"]
steps = drawing.steps["decoder"]
print(len(steps), "steps, at t =", *[step.t for step in steps])

# %%
plots.film_strip(steps, seed=seed)

# %% [markdown]
# Above is the sample, below the estimate that the step was based on. The first estimates come from almost pure noise,
# where little is settled. How far is each from the final picture?

# %%
final = steps[-1].x_t
distances = [(step.x_0 - final).abs().mean().item() for step in steps]
for step, distance in list(zip(steps, distances, strict=True))[::4]:
    print(f"t = {step.t:3}: mean difference {distance:.3f}")

# %%
claims.check(f"The first estimate is {distances[0]:.2f} away from the final picture, the middle one "
             f"{distances[len(distances) // 2]:.2f}.", distances[0] > 2 * distances[len(distances) // 2])  # drawn

# %% [markdown]
# ## 4. The upsamplers: larger pictures
#
# Two more diffusion models enlarge the picture. Each sees the smaller picture and adds the detail that belongs to it;
# neither reads the caption. They need only a few steps, because most of the picture is already there.

# %% tags=["nbval-check-output"]
for size, images in drawing.images.items():
    print(f"{size:3} pixels: {tuple(images.shape)}")
print("steps of the upsamplers:", *cascade.settings.upsampler_steps)

# %%
plots.cascade_figure(drawing)

# %% [markdown]
# ## 5. Is it the right picture?
#
# **Ask CLIP.** Its image network turns the picture into an embedding, which we compare with several captions. The
# captions contain almost the same words.

# %%
captions = [caption, "a big blue heart above a small red fish", "a big red heart below a small blue fish",
            "a big red star above a small blue fish", "a small blue fish"]
z_i = cascade.clip.encode_image(drawing.images[32])
seen = cascade.clip.similarity(z_i, cascade.encode_text(captions).embed)[0].tolist()
plots.bars(dict(zip(captions, seen, strict=True)), "cosine with the picture")

# %%
claims.check(f"The picture is closest to its own caption: {seen[0]:.2f}, and {max(seen[1:]):.2f} to the next.",
             seen[0] > max(seen[1:]))  # drawn

# %% [markdown]
# **Ask the judge.** The judge is a small classifier that reads the facts off a picture: what is there, in which
# colour and size, how it is arranged, and in which style it is drawn. It learned from pictures whose facts are known
# and has never seen a drawing of these models, so it has no reason to be kind to them. How often it errs is in
# [data/README.md](../data/README.md).

# %%
from minunclip.evaluation import Judge, true_facts
from minunclip.scenes import Statement, Thing

judge = Judge.from_pretrained("scenes")
scene = judge.read(drawing.images[32])[0]
print(*scene.things, f"layout: {scene.layout}", f"background: {scene.background}", f"style: {scene.style}", sep="\n")

# %% [markdown]
# What the caption claims, in the same terms (write down your own if you changed the caption), and which of it came
# true:

# %%
statement = Statement((Thing("heart", "red", "big"), Thing("fish", "blue", "small")), relations=((0, "above", 1),))
print("everything is true:", statement.holds_in(scene))
print({fact: values for fact, values in true_facts(statement, scene).items() if values})

# %% [markdown]
# **Ask more than once.** One picture proves little. The seed sets the random numbers: same caption, other seeds,
# other pictures.

# %%
many = cascade.sample([caption] * 8, seed=0, size=32)
scenes = judge.read(many.image)
marks = ["all true" if statement.holds_in(scene) else "wrong" for scene in scenes]
plots.show(many.image, [f"seed {i}: {mark}" for i, mark in enumerate(marks)], title=caption)

# %% [markdown]
# Two things can be counted now. *Fidelity*: how many pictures show all that the caption states. *Diversity*: how much
# differs in what it leaves open.

# %%
backgrounds, styles = {one.background for one in scenes}, {one.style for one in scenes}
claims.check(f"All is true in {marks.count('all true')} of {len(marks)} pictures. They have {len(backgrounds)} "
             f"backgrounds and {len(styles)} styles, of which the caption says nothing.",
             marks.count("all true") >= 6 and len(backgrounds) > 1 and len(styles) > 1)  # drawn

# %% [markdown]
# ## 6. Guidance
#
# At every step the decoder can be asked twice: what is the clean picture $x_0$ behind $x_t$, given the caption $y$ and
# $z_i$, and what is it if nothing is known? *Classifier-free guidance* (section 2.1) takes the difference of the two
# answers and goes $w$ times as far in that direction:
#
# $$\hat x_0 = x_0(x_t) + w \, \big(x_0(x_t \mid z_i, y) - x_0(x_t)\big)$$

# %% tags=["nbval-ignore-output"]
drawings.guidance()

# %% [markdown]
# With $w = 0$ the caption is ignored, with $w = 1$ there is no guidance, and the larger $w$, the harder the picture is
# pushed towards the caption. By hand, for one noisy picture:

# %%
x_t, t = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed)), torch.tensor([600])

def predict(w):
    return cascade.decoder_denoiser(drawing.z_i, drawing.text, w)(x_t, t)[:, :3]  # the rest is about its variance

nothing_known, caption_known = predict(0), predict(1)
by_hand = nothing_known + 3 * (caption_known - nothing_known)
torch.testing.assert_close(predict(3), by_hand, atol=1e-4, rtol=1e-4)
print("equal to the library at w = 3")

# %% [markdown]
# Now feel it. The pictures below start from the same noise and the same $z_i$, so that only the guidance differs. Move
# the slider; the pictures were drawn beforehand, and no kernel is needed.

# %% tags=["nbval-ignore-output"]
from dataclasses import replace

from minunclip.course.widgets.base import GuidanceExplorer, guidance_grid

pictures = {}
for guidance in (1, 1.5, 2, 3, 4, 6, 8):
    settings = replace(cascade.settings, decoder_guidance=guidance)
    pictures[guidance] = cascade.sample([caption], seed=seed, size=128, settings=settings).image
guidance_grid(pictures, caption, seed)

# %% [markdown]
# The next one draws for real, so it needs a running kernel. Type a caption, choose a guidance, press *Draw*. Try a
# word that it does not know, too.

# %% tags=["nbval-ignore-output"]
GuidanceExplorer(cascade, caption="a crayon drawing of a yellow star at night")

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: Try it: turn it round · ●○○ easy · 2 minutes
#
# Put the fish above the heart: change the caption, and what it states, so that the judge can confirm it.

# %%
turned = cascade.sample(["a big red heart above a small blue fish"], seed=seed, size=32)  # change the caption
expected = Statement(statement.things, relations=((0, "above", 1),))                      # and what it states
print("everything is true:", expected.holds_in(judge.read(turned.image)[0]))

# %% [markdown]
# <details><summary>Solution</summary>
#
# `"a big red heart below a small blue fish"` (or `"a small blue fish above a big red heart"`) and
# `relations=((0, "below", 1),)`: thing 0 of the statement, the heart, is below thing 1, the fish. If the judge
# disagrees, the picture may be wrong: look at it with `plots.show(turned.image)`, and try other seeds.
#
# </details>
#
# ### Exercise 2: Predict, then run · ●○○ easy · 3 minutes
#
# The function counts how many of sixteen pictures show all that the caption states. What do you expect for a guidance
# of 0, 1 and 3? Write down three numbers, then run the cell.

# %%
def share_true(**changes):
    settings = replace(cascade.settings, **changes)
    drawn = cascade.sample([caption] * 16, size=32, settings=settings).image
    return sum(statement.holds_in(scene) for scene in judge.read(drawn)) / 16

true_at = {w: share_true(decoder_guidance=w) for w in (0, 1, 3)}
claims.check(f"All is true in {true_at[0]:.0%} of the pictures at w = 0, in {true_at[1]:.0%} at w = 1 and in "
             f"{true_at[3]:.0%} at w = 3.", true_at[0] < 0.1 and true_at[3] > 0.7)  # drawn

# %% [markdown]
# At 0 the decoder knows neither caption nor $z_i$, so a true picture is a matter of luck. Between 1 and 3 sixteen
# pictures cannot decide: for a fair comparison draw at least a hundred.
#
# ### Exercise 3: Find the bug · ●○○ easy · 3 minutes
#
# Somebody wrote guidance like this:
#
# ```python
# def guide(uncond, cond, w):
#     return cond + w * (cond - uncond)
# ```
#
# At $w = 0$ it still draws the caption, and at $w = 1$ its colours are more glaring than ours. Write it as it should
# be. `uncond` is the answer if nothing is known, `cond` the one that knows the caption.

# %% tags=["exercise"]
def guide(uncond: torch.Tensor, cond: torch.Tensor, w: float) -> torch.Tensor:
    raise NotImplementedError

# %%
guide = checks.mine(guide)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Put $w = 0$ in. What should be left?
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def guide(uncond: torch.Tensor, cond: torch.Tensor, w: float) -> torch.Tensor:
#     return uncond + w * (cond - uncond)
# ```
#
# It starts from `uncond`. The wrong version is one step of guidance ahead: its $w$ is our $w + 1$.
#
# </details>
#
# If yours is right, the library guides with it from here on. The same picture once more, with your code or ours:

# %%
again = cascade.sample([caption], seed=seed, size=32)
torch.testing.assert_close(again.image, drawing.images[32], atol=1e-3, rtol=1e-3)
plots.show(again.image, [caption], seed=seed, side=128)

# %% [markdown]
# ### Exercise 4: Design an experiment · ●●○ medium · 10 minutes
#
# How few steps of the decoder will do? `share_true(decoder_steps=...)` takes any number from 2 up. Write down what you
# would vary, what must stay the same, how many pictures you need, and what the judge cannot see. Then do it.
#
# <details><summary>One way to do it</summary>
#
# ```python
# for n in (2, 3, 5, 10, 25):
#     print(n, share_true(decoder_steps=n))
# ```
#
# Caption, seeds and guidance stay the same. The share rises with the number of steps and then stops. With sixteen
# pictures a difference of one or two is chance, so draw a hundred where it matters. The judge sees facts only. Look at
# the pictures as well, for example those of 3 steps:
# `plots.show(cascade.sample([caption], settings=replace(cascade.settings, decoder_steps=3)).image)`.
#
# </details>
#
# ## Summary
#
# | stage | from | to | kind of network |
# | --- | --- | --- | --- |
# | CLIP, text side | caption | $z_t$, tokens | Transformer |
# | prior | $z_t$, tokens | $z_i$ | diffusion model, a Transformer |
# | decoder | noise, $z_i$, tokens | 32 px | diffusion model, a U-Net |
# | upsamplers | noise, the smaller picture | 128 px, 512 px | diffusion models, U-Nets |
#
# Everything random comes from the seed. Guidance pushes the picture towards the caption. The judge counts how much
# of a caption came true.
#
# **What you can do now:** draw a caption, say which stage made what of it, and count how often the picture is right.
#
# ## Questions
#
# <details><summary>Why is there a prior at all, if the decoder could be given z_t?</summary>
#
# The decoder was trained on embeddings of pictures. $z_t$ is the embedding of a text, and it says nothing of what the
# caption leaves open, such as the background. The paper tries it: the pictures are reasonable, but those with the
# prior's $z_i$ are better (section 5.1, Figure 8).
#
# </details>
#
# <details><summary>You run the same cell twice. Why is the picture the same, although it starts from noise?</summary>
#
# The noise comes from a random number generator that starts at the seed. The same seed gives the same noise.
#
# </details>
#
# <details><summary>What does guidance cost?</summary>
#
# Time: the decoder answers two questions in each step instead of one. Other models pay with variety, too: their
# pictures of one caption become alike. In unCLIP what a picture shows is fixed in $z_i$ already, and the paper finds
# that guiding the decoder does not make pictures alike in the same way (section 5.3).
#
# </details>
#
# <details><summary>Why not draw 512 pixels at once?</summary>
#
# There are 256 times as many pixels as at 32, and each step of the decoder would cost accordingly. What the picture
# shows is settled while it is small and cheap; the upsamplers add detail in a few steps.
#
# </details>
#
# <details><summary>What is an embedding?</summary>
#
# A list of numbers that stands for a caption or a picture. Its direction carries the meaning: things that are alike
# point in similar directions.
#
# </details>
#
# <details><summary>Why does the prior draw two candidates?</summary>
#
# Drawing is random, and some candidates fit better than others. CLIP can tell: the one that is more similar to $z_t$
# is kept.
#
# </details>
#
# <details><summary>The caption says nothing of a background. Where does it come from?</summary>
#
# The prior draws one of the $z_i$ that fit the caption, and $z_i$ says which background there is. Another seed gives
# another one.
#
# </details>
#
# <details><summary>Which stages read the caption?</summary>
#
# CLIP's text network, the prior and the decoder. The upsamplers see only the smaller picture.
#
# </details>
#
# <details><summary>The judge says that all is true. May it be wrong?</summary>
#
# Yes, though rarely: it is a network, and it was trained on true pictures, not on drawn ones. Notebook 01 measures how
# often it errs, and shows what fools it.
#
# </details>
#
# <details><summary>Fidelity is 1. Is the model perfect?</summary>
#
# Not by that number alone. A model that draws the same right picture for every seed has a fidelity of 1 and no
# diversity. Both must be measured.
#
# </details>
#
# ## Where to read on
#
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125): section 2 for the method, 2.1 for the decoder and
#   the upsamplers, 2.2 for the prior, section 5 for what was measured.
# - The code: [unclip.py](../minunclip/unclip.py) is the way you just took,
#   [diffusion/](../minunclip/diffusion) holds the steps and the guidance, [scenes/](../minunclip/scenes) is the toy
#   world.
# - What these weights can and cannot do, with numbers: [data/README.md](../data/README.md).
