# %% [markdown]
# # 00 · The tour: a caption becomes a picture
#
# DALL·E 2 turns a sentence into a picture in three steps. Its authors call the method *unCLIP*
# ([Ramesh et al., 2022](https://arxiv.org/abs/2204.06125)). In this notebook you take one sentence through all three
# and look at what comes out of each. The models are small and their world is a toy, so a laptop without a GPU will do.

# %%
from collections import Counter
from dataclasses import replace

import torch

import minunclip
from minunclip import plots
from minunclip.common import best_device
from minunclip.course.widgets.base import GuidanceExplorer, guidance_grid
from minunclip.evaluation import Judge, true_facts
from minunclip.scenes import Statement, Thing

torch.set_grad_enabled(False)  # nothing is trained in this notebook
device = best_device()
print(f"running on {device.type}")

# %% [markdown]
# The first picture takes three lines: load the models, say what to draw, look.

# %%
caption, seed = "a big red heart above a small blue fish", 0
cascade = minunclip.load("scenes", device)
drawing = cascade.sample([caption], seed=seed, keep_steps=True)
plots.show(drawing.image, [caption], seed=seed)

# %% [markdown]
# Change the caption or the seed and run the cell again. The rest of the notebook follows your caption.
#
# Do not expect a masterpiece: the shipped models were trained on single threads of a small CPU. One thing comes out
# right nearly always, and two nine times in ten; three do once in three. Section 5 counts, and
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
# **What you need to know before:** some Python. No mathematics beyond adding and multiplying lists of numbers.
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("00_tour")

# %% [markdown]
# The way that every caption takes (Figure 2 of the paper), with the sizes of our models:
#
# ```
# caption ──CLIP text──▶ z_t, tokens ──prior──▶ z_i ──decoder──▶ 32 px ──upsampler──▶ 128 px ──upsampler──▶ 512 px
# ```
#
# The paper's models draw 64, 256 and 1024 pixels. How large are ours?

# %% tags=["nbval-check-output"]
networks = {"CLIP": cascade.clip, "prior": cascade.prior, "decoder": cascade.decoder,
            "upsampler-1": cascade.upsamplers[0], "upsampler-2": cascade.upsamplers[1]}  # fmt: skip
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
similarity = cascade.clip.similarity(z_t[:1], z_t)[0]
plots.bars(dict(zip([caption, *others], similarity.tolist(), strict=True)), "cosine with z_t of our caption")

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
cosines = cascade.clip.similarity(candidates, text.embed)[:, 0]
for number, cosine in enumerate(cosines.tolist(), start=1):
    print(f"candidate {number}: cosine with z_t {cosine:.3f}")

# %% tags=["nbval-check-output"]
kept = candidates[cosines.argmax()]
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
# Above is the sample, below the estimate that the step was based on. The early estimates come from almost pure noise,
# so they are an average of what the picture could be. Here is how far each estimate still is from the final picture:

# %%
final = steps[-1].x_t
for step in steps[::4]:
    print(f"t = {step.t:3}: mean difference {(step.x_0 - final).abs().mean():.3f}")

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
            "a big red star above a small blue fish", "a small blue fish"]  # fmt: skip
z_i = cascade.clip.encode_image(drawing.images[32])
similarity = cascade.clip.similarity(z_i, cascade.encode_text(captions).embed)[0]
plots.bars(dict(zip(captions, similarity.tolist(), strict=True)), "cosine with the picture")

# %% [markdown]
# **Ask the judge.** The judge is a small classifier that reads the facts off a picture: what is there, in which
# colour and size, how it is arranged, and in which style it is drawn. It learned from pictures whose facts are known
# and has never seen a drawing of these models, so it has no reason to be kind to them. How often it errs is in
# [data/README.md](../data/README.md).

# %%
judge = Judge.from_pretrained("scenes", device)
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
print(f"all true in {marks.count('all true')} of {len(marks)} pictures")
print("backgrounds:", dict(Counter(scene.background for scene in scenes)))
print("styles:", dict(Counter(scene.style for scene in scenes)))

# %% [markdown]
# ## 6. Guidance
#
# At every step the decoder can be asked twice: what does it predict for $x_t$ given our caption $y$ and $z_i$, and what
# if nothing is known? Call its answer $v$. *Classifier-free guidance* (section 2.1) takes the difference of the two
# answers and goes further in that direction, $w$ times as far:
#
# $$\hat v = v(x_t) + w \, \big(v(x_t \mid z_i, y) - v(x_t)\big)$$
#
# With $w = 0$ the caption is ignored, with $w = 1$ there is no guidance, and the larger $w$, the harder the picture is
# pushed towards the caption. By hand, for one noisy picture:

# %%
x_t = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed)).to(device)
t = torch.tensor([600], device=device)

def predict(w):
    return cascade.decoder_denoiser(drawing.z_i, drawing.text, w)(x_t, t)[:, :3]  # v; the rest is its variance

nothing_known, caption_known = predict(0), predict(1)
by_hand = nothing_known + 3 * (caption_known - nothing_known)
print(f"largest difference to the library at w = 3: {(predict(3) - by_hand).abs().max():.6f}")

# %% [markdown]
# Now feel it. The pictures below start from the same noise and the same $z_i$, so that only the guidance differs. Move
# the slider; the pictures were drawn beforehand, and no kernel is needed.

# %% tags=["nbval-ignore-output"]
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
# ## Try it
#
# **1. Turn it round** (2 minutes). Put the fish above the heart: change the caption, and what it states, so that the
# judge can confirm it.

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
# **2. Guidance and truth** (3 minutes). The function below counts how many of eight pictures show all that the caption
# states. Compare guidance 0, 1, 2 and 8.

# %%
def share_true(**changes):
    settings = replace(cascade.settings, **changes)
    pictures = cascade.sample([caption] * 8, size=32, settings=settings).image
    return sum(statement.holds_in(scene) for scene in judge.read(pictures)) / len(pictures)

print(share_true(decoder_guidance=1))

# %% [markdown]
# <details><summary>Solution</summary>
#
# `for w in (0, 1, 2, 8): print(w, share_true(decoder_guidance=w))`. At 0 the decoder knows neither caption nor $z_i$,
# so a true picture is a matter of luck. Eight pictures are few: a true share of 0.9 may well show up as 6 of 8 or 8 of
# 8. For a fair comparison draw at least a hundred.
#
# </details>
#
# **3. In a hurry** (3 minutes). `share_true(decoder_steps=...)` takes any number of steps from 2 up. How few will do?

# %%
print(share_true(decoder_steps=5))

# %% [markdown]
# <details><summary>Solution</summary>
#
# `for n in (2, 3, 5, 10, 25): print(n, share_true(decoder_steps=n))`. Time grows with the number of steps, while the
# share stops growing at some point. The judge sees facts only, so look at the pictures as well:
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
# ## Questions
#
# <details><summary>Why is there a prior at all, if the decoder could be given z_t?</summary>
#
# The decoder was trained on embeddings of pictures. $z_t$ is the embedding of a text, and it says nothing of what the
# caption leaves open, such as the background. The paper tries this and finds it worse than the prior's $z_i$
# (section 5.1).
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
# Time: the decoder answers two questions in each step instead of one. And variety: strongly guided pictures of one
# caption tend to look alike, which is what section 5.3 of the paper measures.
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
# ## Where to read on
#
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125): section 2 for the method, 2.1 for the decoder and
#   the upsamplers, 2.2 for the prior, section 5 for what was measured.
# - The code: [unclip.py](../minunclip/unclip.py) is the way you just took,
#   [diffusion/](../minunclip/diffusion) holds the steps and the guidance, [scenes/](../minunclip/scenes) is the toy
#   world.
# - What these weights can and cannot do, with numbers: [data/README.md](../data/README.md).
