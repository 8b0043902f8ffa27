# %% [markdown]
# # 01 · The scenes: a world where the truth is known
#
# Models that draw from captions learn from captioned pictures, and then somebody has to say whether their drawings
# are right. With photographs both are hard. So this course begins in a toy world: every picture is computed from a
# list of facts, its caption is made from the same facts, and "does the picture show what the caption says?" has an
# answer that a program can look up.

# %%
import os
from collections import Counter
from dataclasses import replace
from itertools import islice
from math import degrees, exp, log

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from minunclip import plots
from minunclip.commands.train import shortened
from minunclip.common import best_device
from minunclip.course import checks
from minunclip.evaluation import ABSENT, Judge, entropy, fidelity, heads, judge_accuracy, labels, same_facts
from minunclip.scenes import (BACKGROUNDS, COLOURS, HELD_OUT, KINDS, LAYOUTS, SIZES, STYLES, VOCABULARY, Scene, Scenes,
                              Statement, Thing, circle, describe, draw_scene, nuisance, render, star, to_tensor)
from minunclip.training import Trainer, batches, pixels
from minunclip.training.recipes import ClipRecipe, JudgeRecipe

# %%
train_set = Scenes("train")
items = [train_set[i] for i in range(8)]
plots.show([item.image(128) for item in items], [item.caption for item in items])

# %% [markdown]
# **What you will see**
#
# 1. What a scene is, and how many there are.
# 2. Why the same scene can be drawn at any size.
# 3. How captions say some facts and leave others open.
# 4. The data set: endless, with captions and combinations that training never meets.
# 5. *Fidelity* and *diversity*, the two things that a drawing model is measured by.
# 6. The *judge*, a network that reads the facts off a picture. You train one.
# 7. What fools the judge.
#
# **What you need to know before:** Python, NumPy arrays and PyTorch tensors. Section 6 trains a small
# convolutional network; what a convolution is will not be explained.
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("01_scenes")

# %% [markdown]
# Reading takes about 25 minutes, the four exercises another 20. With the `cpu` profile the training in section 6 is
# cut short; with `gpu` it runs to its end. The environment variable `MINUNCLIP_PROFILE` chooses.

# %%
device = best_device()
profile = os.environ.get("MINUNCLIP_PROFILE", "gpu" if device.type == "cuda" else "cpu")
print(f"running on {device.type}, profile {profile}")

# %% [markdown]
# ## 1. A scene is a list of facts
#
# A scene has one to three things, a layout that says where they stand, a background and a style. Here is one, written
# by hand.

# %%
scene = Scene(
    things=(Thing("heart", "red", "big"), Thing("fish", "blue", "small")),
    layout="column", background="night", style="crayon", seed=4,
)  # fmt: skip

def picture(scene, side=128):
    return to_tensor(render(scene, side))

plots.show([picture(scene)], ["a big red heart above a small blue fish, at night, in crayon"])

# %% [markdown]
# The things are listed in reading order, so in a column the first one is the upper one. The layout settles how any two
# of them stand to each other:

# %% tags=["nbval-check-output"]
print("the heart is", scene.relation(0, 1), "the fish")
print("the fish is", scene.relation(1, 0), "the heart")

# %% [markdown]
# What can be chosen for each fact:

# %% tags=["nbval-check-output"]
for fact, values in {"kind": KINDS, "colour": COLOURS, "size": SIZES, "layout": LAYOUTS}.items():
    print(f"{fact:7}", ", ".join(values))

# %% [markdown]
# The style changes how everything is drawn, the things and the ground that they stand on:

# %%
plots.show([picture(replace(scene, style=style)) for style in STYLES], STYLES, columns=6, title="one scene, six styles")

# %% [markdown]
# The five layouts, each on another of the five backgrounds:

# %%
things = (Thing("star", "yellow", "big"), Thing("moon", "green", "small"), Thing("flower", "pink", "big"))
examples = {f"{layout}, {background}": Scene(things[: len(places)], layout, background, "flat")
            for (layout, places), background in zip(LAYOUTS.items(), BACKGROUNDS, strict=True)}  # fmt: skip
pictures = [picture(example) for example in examples.values()]
plots.show(pictures, list(examples), columns=5, title="layouts and backgrounds")

# %% [markdown]
# A scene's `seed` is no fact. It decides all that no caption names, which statisticians call
# *nuisance*: where in its part of the picture a thing stands, how it is turned, whether it looks left or right, its
# exact size and tint, how stripes and dots lie, and where clouds, stars and hills are. So one list of facts has many
# pictures:

# %%
pictures = {f"seed {n}": picture(replace(scene, seed=n)) for n in range(6)}
plots.show(list(pictures.values()), list(pictures), columns=6, title="the same facts, six seeds")

# %% [markdown]
# How far a thing may stray from the middle of its part is the last entry, `roam`: at most 0.08 of the picture's side,
# unless we say otherwise, since a small network has to learn a shape for every place where it may stand. What only
# reads pictures, CLIP and the judge, learns from scenes where that is anywhere, so that it knows a thing wherever it
# stands:

# %%
pictures = {f"seed {n}": picture(replace(scene, seed=n, roam=1)) for n in range(6)}
plots.show(list(pictures.values()), list(pictures), columns=6, title="roam = 1: anywhere in its part of the picture")

# %% [markdown]
# Here is what two of these seeds decided about the heart. Lengths are shares of the picture's side.

# %%
for seed in (0, 1):
    pose = nuisance(replace(scene, seed=seed)).poses[0]
    side = "mirrored" if pose.mirrored else "not mirrored"
    turned = f"turned by {degrees(pose.turn):+.0f} degrees"
    print(f"seed {seed}: x {pose.x:.2f}, y {pose.y:.2f}, radius {pose.radius:.3f}, {turned}, {side}")

# %% [markdown]
# The paper calls such things the *non-essential details* of a picture (section 3.1). What becomes of them is a question
# that this course comes back to: CLIP forgets them (notebook 02), and the decoder makes them up anew (notebook 09).

# %% [markdown]
# Small as this world is, nobody could draw all of it beforehand. With $K$ different things, a layout of $n$ places can
# be filled in $K^n$ ways:

# %% tags=["nbval-check-output"]
K = len(KINDS) * len(COLOURS) * len(SIZES)
filled = {layout: K ** len(places) for layout, places in LAYOUTS.items()}
print(K, "things;", filled)
print(f"{sum(filled.values()) * len(BACKGROUNDS) * len(STYLES):,} scenes, without counting seeds")

# %% [markdown]
# ## 2. The same scene at any size
#
# Later in the course one model draws 32 pixels and two others enlarge the picture to 128 and 512. To teach them, we
# need the *same* picture at each size.

# %%
sides = (8, 16, 32, 128, 512)
pictures = [picture(scene, side) for side in sides]
plots.show(pictures, [f"{side} pixels" for side in sides], columns=5, title="one scene, five sizes", side=150)

# %% [markdown]
# That is possible because a shape is not stored as pixels. It is a function that says how far any point is from the
# shape's edge: negative inside, zero on the edge, positive outside. A circle with radius 0.92, asked at 7 x 7 points:

# %% tags=["nbval-check-output"]
across = np.linspace(-1.2, 1.2, 7)
u, v = np.meshgrid(across, across)
print(circle(u, v).round(2))

# %% [markdown]
# To draw it, we could paint each pixel whose centre is inside. The edge then becomes a staircase:

# %% tags=["nbval-check-output"]
print((circle(u, v) < 0).astype(int))

# %% [markdown]
# Better to paint each pixel by the *share* of it that the shape covers. For a straight edge through a pixel of width
# $w$, at a distance $d$ from the pixel's centre, that share is about
#
# $$\text{coverage} = \tfrac12 - \frac{d}{w}, \quad \text{cut off below 0 and above 1.}$$
#
# Check it by eye: an edge through the centre, $d = 0$, leaves one half. A centre half a pixel inside, $d = -w/2$,
# means that all of the pixel is covered.
#
# ### Exercise 1: An edge without steps · ●○○ easy · 3 minutes
#
# Write this formula for a whole array of distances. The next cell tries your function and tells you what is still
# wrong. As long as the function is empty it says so, and the notebook runs on.

# %% tags=["exercise"]
def coverage(distance: np.ndarray, pixel: float) -> np.ndarray:
    raise NotImplementedError

# %%
checks.coverage(coverage)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `np.clip(array, low, high)` cuts off below and above.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def coverage(distance: np.ndarray, pixel: float) -> np.ndarray:
#     return np.clip(0.5 - distance / pixel, 0, 1)
# ```
#
# </details>
#
# What it is good for, on a star of 24 x 24 pixels. In this cell, as in all that follow, we use the course's own
# version, so nothing breaks if you left the exercise out.

# %%
our_coverage = checks.coverage.reference
points = (np.arange(24) + 0.5) / 12 - 1                      # the centres of the pixels, from -1 to 1
distance = star(*np.meshgrid(1.1 * points, 1.1 * points))
shares = [distance < 0, our_coverage(distance, 1.1 / 12)]
stars = [torch.tensor(1 - 2.0 * share).expand(3, 24, 24) for share in shares]
plots.show(stars, ["centre inside?", "coverage"], title="a star of 24 x 24 pixels", side=192)

# %% [markdown]
# Everything in a scene is drawn like this. The library's version of the formula is `Canvas.inside` in
# [scenes/canvas.py](../minunclip/scenes/canvas.py). So the small picture should look like the large one, shrunk. We
# average each 4 x 4 pixels of the large one and compare with the small one. For scale: how far away is the same scene
# with another seed, whose things have moved? Colours go from -1 to 1.

# %%
print("          128 pixels, shrunk    another seed")
for style in STYLES:
    drawn = replace(scene, style=style)
    small, shrunk, moved = picture(drawn, 32), F.avg_pool2d(picture(drawn, 128), 4), picture(replace(drawn, seed=5), 32)
    print(f"{style:10} {(small - shrunk).abs().mean():17.4f} {(small - moved).abs().mean():15.4f}")

# %% [markdown]
# The first column is not zero. The formula is exact for a single edge that runs along a side of the pixel. For a
# slanted one it is close, and where a fine pattern puts several edges into one pixel, less so.
#
# ## 3. A caption says some of the facts
#
# Here are six captions of our scene.

# %%
rng = np.random.default_rng(1)
for _ in range(6):
    print(describe(scene, rng)[0])

# %% [markdown]
# Each caption names a random part of the facts, in words that vary: *huge* for big, *on top of* for above, and *thing*
# or *shape* where the kind is left open. Beside the words we keep what they state, because the words alone would be
# hard to check:

# %%
caption, statement = describe(scene, np.random.default_rng(19))
print(caption)
print(*statement.things, statement.relations, statement.background, statement.style, sep="\n")

# %% [markdown]
# `None` stands for what is not said, and (0, "below", 1) says that thing 0 of the statement is below thing 1. The
# statement *holds in* a scene if all that is said is true there:

# %%
heart, fish = scene.things
changed = {"as it is": scene, "in another style": replace(scene, style="flat"),
           "moon, not fish": replace(scene, things=(heart, replace(fish, kind="moon"))),
           "on a meadow": replace(scene, background="meadow"),
           "places swapped": replace(scene, things=(fish, heart)),
           "without the fish": replace(scene, things=(heart,), layout="alone")}  # fmt: skip
for name, other in changed.items():
    print(f"{name:16}", statement.holds_in(other))

# %% [markdown]
# ### Exercise 2: Is it the thing that was meant? · ●○○ easy · 4 minutes
#
# The heart of `holds_in` is to compare one stated thing with one drawn thing. Every property that is stated (`kind`,
# `colour`, `size`) must be true; `None` is true of anything.

# %% tags=["exercise"]
def fits(stated: Thing, drawn: Thing) -> bool:
    raise NotImplementedError

# %%
checks.fits(fits)

# %% [markdown]
# <details><summary>Hint</summary>
#
# For one property: `stated.kind is None or stated.kind == drawn.kind`. All three must be true.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def fits(stated: Thing, drawn: Thing) -> bool:
#     pairs = [(stated.kind, drawn.kind), (stated.colour, drawn.colour), (stated.size, drawn.size)]
#     return all(said is None or said == seen for said, seen in pairs)
# ```
#
# </details>
#
# What a caption leaves out is free. All of these are right for "a red star at night":

# %%
wanted = Statement((Thing("star", "red", None),), background="night")
rng = np.random.default_rng(2)

def scenes_for(statement):
    while True:
        drawn = draw_scene(rng)
        if statement.holds_in(drawn):
            yield drawn

plots.show([picture(drawn) for drawn in islice(scenes_for(wanted), 6)], title="a red star at night", columns=6)

# %% [markdown]
# A model that always drew the first of them would make no mistake, and yet something would be missing. Section 5 turns
# that into a number.
#
# How often is each fact said? Counted over a thousand captions:

# %%
statements = [train_set[i].statement for i in range(1000)]
facts = {fact: [getattr(s.things[0], fact) for s in statements] for fact in ("kind", "colour", "size")}
facts |= {fact: [getattr(s, fact) for s in statements] for fact in ("background", "style")}
said = {fact: np.mean([value is not None for value in values]) for fact, values in facts.items()}
plots.bars(said, "share of the captions that say it")

# %% [markdown]
# And how many words does one need?

# %% tags=["nbval-check-output"]
print(len(VOCABULARY), "words, among them:", *VOCABULARY[:12])

# %% [markdown]
# ## 4. The data set
#
# `Scenes` makes its items when they are asked for. Nothing is downloaded and nothing is stored: item $i$ is computed
# from the number $i$, and it is the same each time.

# %% tags=["nbval-check-output"]
print(train_set[123_456].caption)
print("the same again:", train_set[123_456] == Scenes("train")[123_456])

# %% [markdown]
# A model may know its training data by heart, so it is tested on something else. There are three *splits*. In `test`
# are captions that `train` never shows. No list of them is kept: a checksum of its letters puts each caption on one
# side, one in ten on the side of `test`.

# %% tags=["nbval-check-output"]
captions = {split: {Scenes(split)[i].caption for i in range(1000)} for split in ("train", "test")}
print({split: len(found) for split, found in captions.items()}, "different captions")
print("in both:", len(captions["train"] & captions["test"]))

# %% [markdown]
# The split `held-out` asks for more. Some combinations of colour and kind are never drawn for training. Models
# that have learned *purple* and *star* from other pictures might still draw a purple star; here one can test it.

# %% tags=["nbval-check-output"]
print("never in training:", *(f"{colour} {kind};" for colour, kind in sorted(HELD_OUT)))
for split in ("train", "test", "held-out"):
    shown = sum(Scenes(split)[i].scene.held_out for i in range(1000))
    print(f"{split:9} {shown:4} of 1000 scenes show such a combination")

# %%
held_out = [Scenes("held-out")[i] for i in range(6)]
plots.show([item.image(128) for item in held_out], [item.caption for item in held_out], columns=6)

# %% [markdown]
# For training, PyTorch's `DataLoader` puts items together into batches. A recipe knows what its stage asks of them:
# that of CLIP stacks pictures, as bytes, which need little room, and writes captions as numbers. Networks like
# numbers around zero, so `pixels` makes of the bytes colours from -1 to 1.

# %% tags=["nbval-check-output"]
batch = next(iter(DataLoader(train_set, batch_size=64, collate_fn=ClipRecipe().collate)))
colours = pixels(batch.images)
print("pictures:", tuple(batch.images.shape), batch.images.dtype)
print(f"colours from {colours.min():.1f} to {colours.max():.1f}")
print("captions:", tuple(batch.ids.shape), "the first one:", *(f"{n}" for n in batch.ids[0].tolist() if n))

# %% [markdown]
# ## 5. Fidelity and diversity
#
# Before any network draws, let us settle how to measure one. Take the caption "a big red star", and three painters.
# The *stubborn* one always draws the same scene. The *careless* one does not read the caption. The *faithful* one draws
# what is asked and chooses freely what is not.

# %%
claim = Statement((Thing("star", "red", "big"),))
usual = Scene(claim.things, "alone", "night", "flat")

def stubborn(rng):
    return replace(usual, seed=int(rng.integers(1000)))

def careless(rng):
    return draw_scene(rng)

def faithful(rng):
    return replace(stubborn(rng), background=rng.choice(BACKGROUNDS), style=rng.choice(STYLES))

# %%
rng = np.random.default_rng(0)
painters = {"stubborn": stubborn, "careless": careless, "faithful": faithful}
painted = {name: [painter(rng) for _ in range(400)] for name, painter in painters.items()}
first = {f"{name} {n}": scenes[n] for name, scenes in painted.items() for n in range(6)}
plots.show([picture(scene, 96) for scene in first.values()], list(first), columns=6, title="a big red star")

# %% [markdown]
# **Fidelity** is the share of pictures in which everything that the caption states is true. In brackets is the
# interval in which the true share lies with 95% confidence: 400 pictures are a sample, not the whole truth.

# %%
for name, scenes in painted.items():
    print(f"{name:9}", fidelity([claim] * len(scenes), scenes)["caption"])

# %% [markdown]
# By that number the stubborn painter is as good as the faithful one. What differs is in the facts that the caption
# leaves open, here background and style.
#
# **Diversity** counts how many different scenes there are, and a scene that hardly ever comes should hardly count.
# Take four pictures: two at night, one at sunset, one on paper. The shares are 1/2, 1/4 and 1/4, and their *entropy*
# is
#
# $$H = -\sum_k p_k \log p_k.$$

# %% tags=["nbval-check-output"]
shares = [2 / 4, 1 / 4, 1 / 4]
H = -sum(p * log(p) for p in shares)
print(f"entropy {H:.3f}, exp of it {exp(H):.2f}")

# %% [markdown]
# Its exponential is the **effective number**: these four pictures are as varied as 2.83 backgrounds that are all
# equally frequent. Some cases that you can check in your head:
#
# | pictures of each kind | effective number |
# | --- | --- |
# | 4 | 1: always the same |
# | 1, 1, 1, 1 | 4: four kinds, equally frequent |
# | 2, 2 | 2 |
# | 97, 1, 1, 1 | 1.18: four kinds, but nearly always the same |
#
# ### Exercise 3: The effective number of scenes · ●●○ medium · 6 minutes
#
# You get how often each kind came, for example `[2, 1, 1]`. Mind the kinds that never came: $\log 0$ does not exist,
# and they should add nothing.

# %% tags=["exercise"]
def effective_number(counts: list[int]) -> float:
    raise NotImplementedError

# %%
checks.effective_number(effective_number)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Three steps: the shares `count / sum(counts)` without the zeros, their entropy as in the cell above, `exp` of it.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def effective_number(counts: list[int]) -> float:
#     shares = [count / sum(counts) for count in counts if count > 0]
#     return exp(-sum(p * log(p) for p in shares))
# ```
#
# </details>
#
# Now the three painters. Background and style are open, which makes $5 \times 6 = 30$ combinations:

# %%
def diversity(scenes):
    open_facts = Counter((scene.background, scene.style) for scene in scenes)
    return checks.effective_number.reference(list(open_facts.values()))

plots.bars({name: diversity(scenes) for name, scenes in painted.items()}, "effective number of (background, style)")

# %% [markdown]
# The careless painter is as diverse as the faithful one, so neither number is enough alone. A good model has both: true
# where the caption speaks, free where it is silent. Notebook 08 follows them while *guidance* grows; the paper does
# so in section 5.3.
#
# One warning. The faithful painter uses all 30 combinations equally, but a small sample cannot show that: 8 pictures
# show 8 combinations at most. The library's `entropy` estimates what was missed from the combinations that came only
# once or twice ([evaluation/variety.py](../minunclip/evaluation/variety.py), after Chao, Wang and Jost, 2013):

# %%
for count in (8, 30, 100, 300, 3000):
    scenes = [faithful(rng) for _ in range(count)]
    estimate = exp(entropy([(scene.background, scene.style) for scene in scenes]))
    print(f"{count:4} pictures: {diversity(scenes):5.2f} by the formula, {estimate:5.2f} by the library")

# %% [markdown]
# Many pictures need no correction, and the two agree. Few pictures leave much to guess, whichever way one counts.
#
# ## 6. The judge
#
# The painters handed us scenes. A network hands us pixels, and somebody must read the facts off them. That is the
# *judge*: a small network that answers twelve questions about a picture.

# %% tags=["nbval-check-output"]
for question, answers in heads().items():
    print(f"{question:10} {len(answers)} answers: {', '.join(answers[:4])} ...")

# %% [markdown]
# The things have numbers in reading order, so "colour 1" asks for the colour of the second one. Our scene has only
# two things, so the questions about the third are not asked: their label is `ABSENT`.

# %% tags=["nbval-check-output"]
answers = {question: int(answer) for question, answer in labels([scene]).items()}
print(answers)
print("ABSENT is", ABSENT, "and not asked are:", *[question for question in answers if answers[question] == ABSENT])

# %% [markdown]
# For every question the network gives one number per answer, the *logits*. Softmax makes probabilities of them, and
# the loss is $-\log$ of the probability of the right answer. By hand, for three possible answers:

# %% tags=["nbval-check-output"]
logits = torch.tensor([2.0, 0.0, -1.0])
probabilities = logits.exp() / logits.exp().sum()
print([round(p, 3) for p in probabilities.tolist()])
print([round(loss, 3) for loss in (-probabilities.log()).tolist()], "if answer 0, 1 or 2 is right")

# %% [markdown]
# PyTorch calls this cross-entropy:

# %% tags=["nbval-check-output"]
print([round(F.cross_entropy(logits, torch.tensor(answer)).item(), 3) for answer in (0, 1, 2)])

# %% [markdown]
# ### Exercise 4: The loss of one question · ●●○ medium · 7 minutes
#
# For a batch of pictures: `logits` (B, A) holds a row per picture, `answers` (B,) the right answers. Return the mean
# loss as a tensor with one number. Pictures whose answer is `ABSENT` (-100) add nothing, and the mean leaves them out.
# If all of them are absent, the loss is zero.

# %% tags=["exercise"]
def question_loss(logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
checks.question_loss(question_loss)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `answers != ABSENT` tells which rows to keep. `logits.log_softmax(dim=1)` has the log-probabilities, and
# `table[torch.arange(n), column]` picks one number out of each row. The mean of nothing is not a number: divide the
# sum by the count, or by 1 if there is none.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def question_loss(logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
#     there = answers != ABSENT
#     logits, answers = logits[there], answers[there]
#     right = logits.log_softmax(dim=1)[torch.arange(len(answers)), answers]
#     return -right.sum() / max(1, len(answers))
# ```
#
# PyTorch can do it in one line, and so does the library:
# `F.cross_entropy(logits, answers, reduction="sum") / (answers != ABSENT).sum().clamp(min=1)`.
#
# </details>
#
# **Train a judge.** A recipe says how: the model, the data, the loss, and settings for each profile. It trains on
# renders only, never on what our models draw; a judge should not learn from those whom it grades. On a CPU we stop
# early here.

# %%
recipe = JudgeRecipe()
config = recipe.profiles[profile]
if profile == "cpu":
    config = replace(shortened(config, steps=200), batch=64)
print(f"{config.steps} steps with {config.batch} pictures each")

# %%
torch.manual_seed(0)
judge = recipe.build().to(device)
print(f"{sum(p.numel() for p in judge.parameters()) / 1e6:.1f} million parameters")

# %% [markdown]
# A `Trainer` hands out a record after each step, so the loop is ours: here it keeps the records and prints some.

# %%
records = []
workers = 0 if profile == "cpu" else os.cpu_count() - 1     # processes that draw scenes for the GPU
for record in Trainer(judge, config).run(recipe.loss, batches(recipe, config, workers)):
    records.append(record)
    if record.step % (config.steps // 5) == 0:
        print(f"step {record.step:4}: loss {record.loss:.2f}")

# %% [markdown]
# What should the loss be before the judge has learned anything? Whoever guesses among $n$ answers has a loss of
# $\log n$, on average over the questions:

# %%
guessing = sum(log(len(answers)) for answers in heads().values()) / len(heads())
print(f"guessing: {guessing:.2f}, the first step: {records[0].loss:.2f}, the last: {records[-1].loss:.2f}")

# %%
plots.loss_curve(records, "judge")

# %% [markdown]
# How good is it? We ask it about pictures that it has never seen:

# %%
unseen = [Scenes("test", seed=1)[i] for i in range(400)]
truth = [item.scene for item in unseen]
images = torch.stack([item.image() for item in unseen]).to(device)
for fact, share in judge_accuracy(truth, judge.read(images)).items():
    print(f"{fact:10} {share}")

# %% [markdown]
# Layout and background are learned first. The kind of a thing comes last: at 32 pixels it is a matter of a few of them.
#
# **Loading the finished weights.** From here on we use the judge that was trained to the end and comes with this
# library, whether yours had the time to become good or not.

# %%
finished = Judge.from_pretrained("scenes", device)
for fact, share in judge_accuracy(truth, finished.read(images)).items():
    print(f"{fact:10} {share}")

# %% [markdown]
# And on combinations that it has never seen either? If it had learned "stars are not purple", it would show here:

# %%
novel = [Scenes("held-out", seed=1)[i] for i in range(200)]
seen = finished.read(torch.stack([item.image() for item in novel]).to(device))
for fact, share in judge_accuracy([item.scene for item in novel], seen).items():
    print(f"{fact:10} {share}")

# %% [markdown]
# What happens if one measures with a poor judge? All these pictures are true to their captions: they are renders. A
# perfect judge would find a fidelity of 1, and whatever is missing is the judge's own fault.

# %%
statements = [item.statement for item in unseen]
for name, reader in {"your judge": judge, "finished": finished}.items():
    print(f"{name:10} finds a fidelity of", fidelity(statements, reader.read(images))["caption"])

# %% [markdown]
# That is why every table of this course that uses the judge also reports how often the judge errs.
#
# ## 7. What fools the judge
#
# **Hard pictures.** These are the six unseen renders on which the judge is least sure of the first thing, and what it
# takes that for:

# %%
sure = finished(images)["kind 0"].softmax(dim=1).amax(dim=1)
least = sure.argsort()[:6].tolist()
told = [f"{truth[i].things[0].kind}, read as {finished.read(images[i : i + 1])[0].things[0].kind}, sure to "
        f"{sure[i]:.0%}" for i in least]  # fmt: skip
plots.show(images[least], told, columns=6, title="the six renders that the judge is least sure of")

# %% [markdown]
# **Noise.** Its training pictures had a little noise added, with a standard deviation of at most 0.1. What beyond?

# %%
g = torch.Generator().manual_seed(0)
noise = torch.randn(images.shape, generator=g).to(device)
levels = (0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
right = [same_facts(truth, finished.read(images + level * noise))["scene"].value for level in levels]
plots.curves({"finished judge": (levels, right)}, "standard deviation of the noise", "scenes read without a mistake")

# %% [markdown]
# **Nothing to see.** The judge has no way to say "I do not know". Whatever it gets, it names a scene, and the
# probability that it gives to its own answer can be high all the same:

# %%
alone = [i for i, scene in enumerate(truth) if len(scene.things) == 1]
two_in_one = (images[alone[0]] + images[alone[1]]) / 2
strange = {"noise": noise[0], "grey": torch.zeros_like(noise[0]), "two in one": two_in_one}
for name, image in strange.items():
    answer, [read] = finished(image[None])["kind 0"].softmax(dim=1).max(), finished.read(image[None])
    print(f"{name:10} {read.things[0].colour} {read.things[0].kind}, {read.style}; sure to {answer:.0%}")

# %%
plots.show(list(strange.values()), list(strange), title="pictures of no scene")

# %% [markdown]
# **The world upside down.** In training the things are turned by 17 degrees at most, and mirrored from left to right
# only. Mirrored top to bottom, the shapes that look different on their heads are taken for others:

# %%
mirrored = [scene.things[0].kind for scene in finished.read(images[alone].flip(2))]
pairs = Counter(zip([truth[i].things[0].kind for i in alone], mirrored, strict=True))
total = Counter(truth[i].things[0].kind for i in alone)
plots.bars({kind: pairs[kind, kind] / total[kind] for kind in KINDS}, "share read correctly, upside down")

# %%
for (kind, read), count in pairs.most_common(12):
    if kind != read:
        print(f"{count} times a {kind} on its head was read as a {read}")

# %% [markdown]
# **On purpose.** The gradient of the loss says how each colour would have to change to make the judge err. One tiny
# step in that direction, 4 of 255 levels for each colour, can be enough
# ([Goodfellow et al., 2014](https://arxiv.org/abs/1412.6572)):

# %%
def nudged(images, answers, levels):
    images = images.clone().requires_grad_()
    loss = F.cross_entropy(finished(images)["kind 0"], answers)
    (gradient,) = torch.autograd.grad(loss, images)
    return (images + levels / 127.5 * gradient.sign()).clamp(-1, 1)

# %%
chosen, answers = images[alone], labels(truth)["kind 0"][alone].to(device)
for levels in (0, 1, 2, 4, 8):
    found = finished(nudged(chosen, answers, levels))["kind 0"].argmax(dim=1)
    print(f"nudged by {levels} of 255 levels: {(found != answers).float().mean():.0%} misread")

# %%
after = nudged(chosen, answers, 4)
i = int((finished(after)["kind 0"].argmax(dim=1) != answers).int().argmax())     # the first one that is misread
before_and_after = [chosen[i], 16 * (after[i] - chosen[i]), after[i]]
names = [f"read as {finished.read(image[None])[0].things[0].kind}" for image in (chosen[i], after[i])]
plots.show(before_and_after, [names[0], "the change, 16 times as strong", names[1]], title="one nudge", side=192)

# %% [markdown]
# To us the two pictures show the same thing. So a model must never be *trained* to please the judge: it would learn
# such nudges instead of shapes. And the judge's word counts only for pictures that look like renders; a blurred or
# noisy sample may be misread for reasons that have nothing to do with its caption.
#
# ## Summary
#
# | | |
# | --- | --- |
# | a scene | facts: things, layout, background, style; and nuisance, all that its seed decides and no caption names |
# | a render | distances to edges, so the same scene can be drawn at any size |
# | a caption | some of the facts in varied words; what it leaves out is free |
# | the splits | `train`; `test` with other captions; `held-out` with combinations that training never shows |
# | fidelity | the share of pictures in which all that is stated is true |
# | diversity | exp of the entropy of what is left open: an effective number of scenes |
# | the judge | reads the facts off a picture; trained on renders only; its own error is reported with every number |
#
# ## Questions
#
# <details><summary>Could a model reach fidelity 1 and diversity 30 in section 5 and still draw badly?</summary>
#
# Yes. Both numbers look at facts only, as the judge reads them. Ragged edges or wrong shadows change no fact. Later
# notebooks therefore look at the pictures, too.
#
# </details>
#
# <details><summary>Why does "a circle and a circle" need more than comparing things one by one?</summary>
#
# A caption does not say which of the two drawn things it names first. `holds_in` tries every way to match stated with
# drawn things and asks for *one* in which all is true at once.
#
# </details>
#
# <details><summary>Why not use CLIP as the judge? It compares pictures with captions as well.</summary>
#
# CLIP is part of the model that is graded. Its mistakes would then count as successes: a picture that CLIP takes for a
# red star is what the decoder was led to draw. The judge is an outsider.
#
# </details>
#
# <details><summary>A judge misreads one thing in a hundred. What can it say of a fidelity of 0.98?</summary>
#
# Nearly 2% of all pictures with two things have one that is misread, so even a perfect model may measure 0.98. This
# judge cannot tell 0.98 from 1.
#
# </details>
#
# ## Where to read on
#
# - The code: [scenes/facts.py](../minunclip/scenes/facts.py), [scenes/render.py](../minunclip/scenes/render.py),
#   [scenes/captions.py](../minunclip/scenes/captions.py), [evaluation/judge.py](../minunclip/evaluation/judge.py) and
#   [evaluation/scores.py](../minunclip/evaluation/scores.py).
# - The judge's accuracy on thousands of renders: [data/README.md](../data/README.md).
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125): section 5.2 measures with people as judges, section
#   5.3 compares diversity and fidelity.
# - The effective number: Hill, [Diversity and evenness](https://doi.org/10.2307/1934352), Ecology 54 (1973). Its
#   estimate from small samples: Chao, Wang and Jost, [Entropy and the species accumulation
#   curve](https://doi.org/10.1111/2041-210X.12108), Methods in Ecology and Evolution 4 (2013).
