# %% [markdown]
# # 01 · The scenes: a world where the truth is known
#
# You ask a model for "a big red star at night", and it draws something. Is the picture right? And who decides?
#
# With photographs only people can say, and they disagree. So this course begins in a toy world. Every picture is
# computed from a list of facts, and its caption is made from the same facts. Whether a picture shows what a caption
# says can be looked up.

# %%
from dataclasses import replace

import torch
import torch.nn.functional as F

from minunclip import plots
from minunclip.course import checks, claims, draw
from minunclip.scenes import Scene, Scenes, Thing, render, to_tensor

# %%
train_set = Scenes("train")
items = [train_set[i] for i in range(8)]
plots.show([item.image(128) for item in items], [item.caption for item in items])

# %% [markdown]
# **What you will see**
#
# 1. What a scene is: facts, and what no caption names.
# 2. The same scene at any size.
# 3. Captions, which say some facts and leave others open.
# 4. An endless data set, and what is kept from training.
# 5. *Fidelity* and *diversity*, the two measures of a model that draws.
# 6. The *judge*, a network that reads facts off a picture. You train one.
# 7. What fools the judge.
#
# **What you need to know before:** Python and PyTorch tensors. For section 6: how a network is trained.
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("01_scenes")

# %% [markdown]
# Reading takes about 20 minutes, the exercises another 40. The fast path, 10 minutes: sections 1, 3 and 5. If you came
# for DALL·E 2 itself, that is enough to go on to notebook 02.
#
# ## 1. A scene is a list of facts
#
# A scene has one to three things, a layout that says where they stand, a background and a style. Here is one, written
# by hand:

# %%
scene = Scene(things=(Thing("heart", "red", "big"), Thing("fish", "blue", "small")),
              layout="column", background="night", style="crayon", seed=4)

def picture(scene, side=128):
    return to_tensor(render(scene, side))

plots.show([picture(scene)], ["a big red heart above a small blue fish, at night, in crayon"])

# %% [markdown]
# Things are listed in reading order, so in a column the first one is the upper one. What can be chosen:

# %% tags=["nbval-check-output"]
from minunclip.scenes import BACKGROUNDS, COLOURS, KINDS, LAYOUTS, SIZES, STYLES

choices = {"kind": KINDS, "colour": COLOURS, "size": SIZES, "layout": LAYOUTS,
           "background": BACKGROUNDS, "style": STYLES}
for fact, values in choices.items():
    print(f"{fact:10}", ", ".join(values))

# %% [markdown]
# The style changes how everything is drawn, things and ground:

# %%
plots.show([picture(replace(scene, style=style)) for style in STYLES], STYLES, columns=6)

# %% [markdown]
# The five layouts, each on another of the five backgrounds:

# %%
trio = (Thing("star", "yellow", "big"), Thing("moon", "green", "small"), Thing("flower", "pink", "big"))
laid_out = {f"{layout}, {background}": Scene(trio[: len(places)], layout, background, "flat")
            for (layout, places), background in zip(LAYOUTS.items(), BACKGROUNDS, strict=True)}
plots.show([picture(one) for one in laid_out.values()], list(laid_out), columns=5)

# %% [markdown]
# **Predict, then run.** How many different scenes are there? Guess the number of digits. With $K$ different things, a
# layout of $n$ places can be filled in $K^n$ ways.

# %% tags=["nbval-check-output"]
K = len(KINDS) * len(COLOURS) * len(SIZES)
filled = sum(K ** len(places) for places in LAYOUTS.values())
print(f"{K} things, {filled * len(BACKGROUNDS) * len(STYLES):,} scenes")

# %% [markdown]
# So nobody can draw all of them beforehand, and a model cannot know them by heart.
#
# **Nuisance.** A scene's `seed` is no fact. It decides all that no caption names: where exactly a thing stands, how it
# is turned, whether it looks left or right, its exact size and tint, how stripes and dots lie, where clouds, stars and
# hills are. Statisticians call such things *nuisance*. So one list of facts has many pictures:

# %%
seeds = range(6)
plots.show([picture(replace(scene, seed=n)) for n in seeds], [f"seed {n}" for n in seeds], columns=6)

# %% [markdown]
# How far a thing may stray from the middle of its part of the picture is called `roam`: 0.08 of the side, unless we say
# otherwise. With 1 it stands anywhere in its part:

# %%
lonely = Scene((Thing("fish", "orange", "small"),), "alone", "sky", "flat")
ranges = [(roam, n) for roam in (0.08, 1) for n in range(3)]
straying = [picture(replace(lonely, seed=n, roam=roam)) for roam, n in ranges]
plots.show(straying, [f"roam = {roam}, seed {n}" for roam, n in ranges], columns=6)

# %% [markdown]
# CLIP and the judge, which read pictures, learn from scenes with `roam = 1`, so that they know a thing wherever it
# stands. The decoder learns from the smaller value, or it would have to learn every shape at every place.
#
# The paper calls nuisance the *non-essential details* of a picture (section 3.1). Who decides what in the cascade that
# we shall build: the caption, the image embedding $z_i$, or the noise $x_T$?

# %%
draw.facts()

# %% [markdown]
# ## 2. The same scene at any size
#
# Later one model draws 32 pixels, and two others enlarge the picture to 128 and 512. To teach them we need the *same*
# picture at each size:

# %%
sides = (8, 16, 32, 128, 512)
in_all = [picture(scene, side) for side in sides]
plots.show(in_all, [f"{side} pixels" for side in sides], columns=5, side=150)

# %% [markdown]
# Is the small one the large one, shrunk? We average each 4 x 4 pixels of the large picture, and compare. Colours go
# from -1 to 1. For scale, the same facts with another seed:

# %%
shrunk, moved = {}, {}
for style in STYLES:
    drawn = replace(scene, style=style)
    small = picture(drawn, 32)
    averaged = F.avg_pool2d(picture(drawn, 128), 4)
    shrunk[style] = (small - averaged).abs().mean().item()
    moved[style] = (small - picture(replace(drawn, seed=5), 32)).abs().mean().item()
most, least = max(shrunk.values()), min(moved.values())
claims.check(f"In every style the shrunk picture differs from the small one by {most:.3f} or "
             f"less a pixel. Another seed differs by {least:.3f} or more.",
             most < 0.03 and least > 0.06)

# %% [markdown]
# How this is done, with distances instead of pixels, is shown in the appendix.
#
# ## 3. A caption says some of the facts
#
# Six captions of our scene:

# %%
import numpy as np

from minunclip.scenes import describe

wording = np.random.default_rng(1)
for _ in range(6):
    print(describe(scene, wording)[0])

# %% [markdown]
# Each names a random part of the facts, in words that vary: *huge* for big, *on top of* for above, *thing* where the
# kind is left open. Words alone are hard to check. So we keep beside them what they state:

# %%
caption, statement = describe(scene, np.random.default_rng(19))
print(caption)
print(*statement.things, statement.relations, statement.background, statement.style, sep="\n")

# %% [markdown]
# `None` means "not said". (0, "above", 1) says that stated thing 0 is above stated thing 1. The statement *holds in* a
# scene if all that is said is true there:

# %%
heart, fish = scene.things
variants = {"as it is": scene, "in another style": replace(scene, style="flat"),
            "moon, not fish": replace(scene, things=(heart, replace(fish, kind="moon"))),
            "on a meadow": replace(scene, background="meadow"),
            "places exchanged": replace(scene, things=(fish, heart))}
for name, variant in variants.items():
    print(f"{name:16}", statement.holds_in(variant))

# %% [markdown]
# ### Exercise 1: Is it the thing that was meant? · ●○○ easy · 4 minutes
#
# Compare one stated thing with one drawn thing. Every property that is stated (`kind`, `colour`, `size`) must be true.
# `None` is true of anything. The next cell tries your function. If it is right, the notebook goes on with yours, else
# with ours. As long as it is empty, nothing breaks.

# %% tags=["exercise"]
def fits(stated: Thing, drawn: Thing) -> bool:
    raise NotImplementedError

# %%
fits = checks.mine(fits)

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
# With several things it is less simple. This is somebody's check of a whole picture: every stated thing must be found
# in it. It accepts the first picture, and rightly so. It accepts the second one, too:

# %%
def found_somewhere(stated, drawn):
    return all(any(fits(said, seen) for seen in drawn) for said in stated)

asked = [Thing("star", None, None), Thing(None, "red", None)]     # "a star and a red thing"
shown = [Scene((Thing(*one.split(), "big"), Thing(*other.split(), "big")), "row", "paper", "flat")
         for one, other in (("star blue", "heart red"), ("star red", "fish green"))]
verdicts = [f"found: {found_somewhere(asked, one.things)}" for one in shown]
plots.show([picture(one) for one in shown], verdicts, title="a star and a red thing")

# %% [markdown]
# ### Exercise 2: Find the bug · ●●○ medium · 8 minutes
#
# The second picture has a star and a fish, and there is no other red thing beside the star. Yet the check is content.
# What does it overlook? Write it anew: `stated` and `drawn` are lists of things, and the order in a caption is free.

# %% tags=["exercise"]
def each_its_own(stated: list[Thing], drawn: list[Thing]) -> bool:
    raise NotImplementedError

# %%
each_its_own = checks.mine(each_its_own)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The red star is counted twice, once as the star and once as the red thing. Each stated thing needs a drawn one *of its
# own*, and none may be left over. To take the first that fits is not enough, since a later one may need it.
# `itertools.permutations(drawn)` has every order of the drawn things.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def each_its_own(stated: list[Thing], drawn: list[Thing]) -> bool:
#     from itertools import permutations
#
#     def in_this_order(order):
#         return all(fits(said, seen) for said, seen in zip(stated, order, strict=True))
#
#     return len(stated) == len(drawn) and any(in_this_order(order) for order in permutations(drawn))
# ```
#
# </details>

# %%
for name, one in zip(("star and heart", "star and fish"), shown, strict=True):
    print(f"{name:14}", each_its_own(asked, list(one.things)))

# %% [markdown]
# Which property belongs to which thing is called *attribute binding*. It will return: the paper's model itself paints
# "a red cube on top of a blue cube" wrongly (section 7).
#
# What a caption leaves out is free. All of these are right for "a red star at night":

# %%
from minunclip.evaluation import complete
from minunclip.scenes import Statement

star_at_night = Statement((Thing("star", "red", None),), background="night")
choosing = np.random.default_rng(2)
completed = [complete(star_at_night, choosing) for _ in range(6)]
plots.show([picture(one) for one in completed], title="a red star at night", columns=6)

# %% [markdown]
# How often is each fact said?

# %%
stated = [train_set[i].statement for i in range(500)]
told = {fact: [one.things[0].facts[fact] for one in stated] for fact in ("kind", "colour", "size")}
told |= {fact: [getattr(one, fact) for one in stated] for fact in ("background", "style")}
said = {fact: 1 - words.count(None) / len(words) for fact, words in told.items()}
claims.check(f"Captions name the kind {said['kind']:.0%} of the time, the colour "
             f"{said['colour']:.0%}. Size, background and style come about half the time: "
             f"{said['size']:.0%}, {said['background']:.0%}, {said['style']:.0%}.",
             min(said["kind"], said["colour"]) > 0.8 and 0.4 < said["size"] < 0.65)

# %% [markdown]
# ## 4. The data set
#
# Nothing is downloaded and nothing is stored. Item $i$ is computed from the number $i$, the same each time. There are
# three *splits*:
#
# - `train`;
# - `test`: captions that training never shows. A checksum of its letters puts one caption in ten on this side;
# - `held-out`: combinations of colour and kind that training never shows. A model that knows *purple* and *star* from
#   other pictures may still draw a purple star, and here one can find out.

# %%
from minunclip.scenes import HELD_OUT

captions = {split: {Scenes(split)[i].caption for i in range(500)} for split in ("train", "test")}
known = sum(train_set[i].scene.held_out for i in range(500))
in_both = len(captions["train"] & captions["test"])
kept_out = ", ".join(f"{colour} {kind}" for colour, kind in sorted(HELD_OUT))
claims.check(f"Of 500 captions of each side {in_both} are in both. Of 500 scenes for training "
             f"{known} show one of the combinations {kept_out}.", in_both == known == 0)

# %%
unheard = [Scenes("held-out")[i] for i in range(6)]
plots.show([item.image(128) for item in unheard], [item.caption for item in unheard], columns=6)

# %% [markdown]
# ## 5. Fidelity and diversity
#
# How shall we measure a model that draws? Take the caption "a big red star", and three painters. The *stubborn* one
# always draws the same scene. The *careless* one does not read the caption. The *faithful* one draws what is asked, and
# chooses freely what is not.

# %%
from minunclip.scenes import draw_scene

wanted = Statement((Thing("star", "red", "big"),))
usual = Scene(wanted.things, "alone", "night", "flat")
painters = {
    "stubborn": lambda rng: replace(usual, seed=int(rng.integers(1000))),
    "careless": draw_scene,
    "faithful": lambda rng: replace(usual, background=rng.choice(BACKGROUNDS),
                                    style=rng.choice(STYLES), seed=int(rng.integers(1000))),
}
chance = np.random.default_rng(0)
painted = {name: [paint(chance) for _ in range(400)] for name, paint in painters.items()}

# %%
six = {f"{name} {n}": picture(scenes[n]) for name, scenes in painted.items() for n in range(6)}
plots.show(list(six.values()), list(six), columns=6, title="a big red star")

# %% [markdown]
# **Fidelity** is the share of pictures in which everything that the caption states is true. By that measure the
# stubborn painter is as good as the faithful one. What differs is what the caption leaves open, background and style.
#
# **Diversity** counts how many different scenes there are, and a scene that hardly ever comes should hardly count.
# Take four pictures: two at night, one at sunset, one on paper. The shares are 1/2, 1/4 and 1/4. Their *entropy* is
#
# $$H = -\sum_k p_k \log p_k$$

# %% tags=["nbval-check-output"]
from math import exp, log

H = -sum(p * log(p) for p in (2 / 4, 1 / 4, 1 / 4))
print(f"entropy {H:.3f}, exp of it {exp(H):.2f}")

# %% [markdown]
# Its exponential is the **effective number**: these pictures are as varied as 2.83 backgrounds that come equally often.
# Four equal shares give 4. Shares of 97%, 1%, 1% and 1% give 1.18.
#
# ### Exercise 3: The effective number of scenes · ●●○ medium · 6 minutes
#
# You get how often each kind came, for example `[2, 1, 1]`. Kinds that never came should add nothing, but $\log 0$ does
# not exist.

# %% tags=["exercise"]
def effective_number(counts: list[int]) -> float:
    raise NotImplementedError

# %%
effective_number = checks.mine(effective_number)

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
# Both measures of the three painters, with your functions where they are right:

# %%
from collections import Counter

def fidelity_of(scenes):
    return sum(each_its_own(list(wanted.things), list(one.things)) for one in scenes) / len(scenes)

def diversity_of(scenes):
    counts = Counter((one.background, one.style) for one in scenes)
    return effective_number(list(counts.values()))

fidelities = {name: fidelity_of(scenes) for name, scenes in painted.items()}
diversities = {name: diversity_of(scenes) for name, scenes in painted.items()}
plots.bars(diversities, "effective number of (background, style)")

# %%
measures = "; ".join(f"{name}: fidelity {fidelities[name]:.2f}, diversity {diversities[name]:.1f}"
                     for name in painters)
claims.check(f"{measures}. Only the faithful painter has both.",
             fidelities["faithful"] == fidelities["stubborn"] == 1 > 0.1 > fidelities["careless"]
             and diversities["stubborn"] < 1.01 and diversities["careless"] > 25
             and diversities["faithful"] > 25)

# %% [markdown]
# A good model has both: true where the caption speaks, free where it is silent. Notebook 09 follows them while
# *guidance* grows, as the paper does in section 5.3.
#
# **Predict, then run.** The faithful painter uses all $5 \times 6 = 30$ combinations equally. How many does the formula
# find in 8 pictures, in 30, in 300?

# %%
found = {count: diversity_of(painted["faithful"][:count]) for count in (8, 30, 300)}
claims.check(f"It finds {found[8]:.1f}, {found[30]:.1f} and {found[300]:.1f}.",
             found[8] <= 8 and found[30] < 25 < found[300])

# %% [markdown]
# Eight pictures show eight combinations at most. The library estimates what was missed, from the combinations that came
# only once or twice ([evaluation/variety.py](../minunclip/evaluation/variety.py), after Chao, Wang and Jost, 2013).
#
# ## 6. The judge
#
# The painters handed us scenes. A network hands us pixels, and somebody must read the facts off them. That is the
# *judge*: a small network that answers twelve questions about a picture.

# %% tags=["nbval-check-output"]
from minunclip.evaluation import ABSENT, heads, labels

answers = {question: int(answer) for question, answer in labels([scene]).items()}
for question, possible in list(heads().items())[:6]:
    print(f"{question:10} {len(possible)} answers, here {answers[question]}, {possible[answers[question]]}")
absent = [question for question, answer in answers.items() if answer == ABSENT]
print("not asked, as there are two things only:", ", ".join(absent))

# %% [markdown]
# "kind 0" asks for the kind of the first thing in reading order, "kind 2" for that of the third. For each question the
# network gives one number per answer, its *logits*. Softmax makes probabilities of them. The loss, *cross-entropy*, is
# $-\log$ of the probability of the right answer. By hand, for three possible answers:

# %% tags=["nbval-check-output"]
logits = torch.tensor([2.0, 0.0, -1.0])
probabilities = logits.exp() / logits.exp().sum()
print("probabilities", probabilities.numpy().round(3))
print("loss, if answer 0, 1 or 2 is right", (-probabilities.log()).numpy().round(3))

# %% [markdown]
# ### Exercise 4: The loss of one question · ●●○ medium · 7 minutes
#
# For a batch of pictures: `logits` (B, A) has a row per picture, `answers` (B,) the right answers. Return the mean
# loss. Pictures whose answer is `ABSENT` (-100) add nothing, and the mean leaves them out. If all are absent, the loss
# is zero. A right answer becomes the loss that the judge below is trained with.

# %% tags=["exercise"]
def question_loss(logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError

# %%
question_loss = checks.mine(question_loss)

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
# </details>
#
# **Train a judge.** It trains on renders only, never on what our models draw: a judge should not learn from those whom
# it grades. The whole world takes more than half an hour. A part of it, one flat thing near the middle, takes about a
# minute, with a network of half the width.

# %%
from minunclip.evaluation import Judge, judge_accuracy
from minunclip.evaluation.judge import JudgeConfig
from minunclip.training import Bank, TrainConfig, Trainer
from minunclip.training.recipes import JudgeRecipe

class OneFlatThing(Scenes):
    def __getitem__(self, i):
        item = super().__getitem__(i)
        return replace(item, scene=replace(item.scene, style="flat"))

recipe = JudgeRecipe()
recipe.dataset = OneFlatThing("train", seed=1, counts=(1, 0, 0))
bank = Bank.of(recipe, 1500, workers=0)                     # 1,500 pictures, drawn once
new = [OneFlatThing("test", seed=1, counts=(1, 0, 0))[i] for i in range(200)]
new_images, new_scenes = torch.stack([item.image() for item in new]), [item.scene for item in new]

# %% [markdown]
# A `Trainer` hands out a record after each step. Now and then we look what the judge reads in new pictures.

# %%
torch.manual_seed(0)
config = TrainConfig(steps=300, batch=32, lr=4e-3, muon=0.04, warmup=20, ema=0.97,
                     bf16=False)
trainer = Trainer(Judge(JudgeConfig(width=16, features=128)), config)
records, reads = [], {}
for record in trainer.run(recipe.loss, bank.batches(config)):
    records.append(record)
    if record.step in (20, 60, 150, 300):
        reads[record.step] = trainer.ema.read(new_images)

# %%
by_fact = {step: judge_accuracy(new_scenes, read) for step, read in reads.items()}
by_step = {fact: (list(by_fact), [shares[fact].value for shares in by_fact.values()])
           for fact in ("background", "colour", "size", "kind")}
plots.curves(by_step, "step", "share read correctly")

# %%
def in_words(read):
    return f"{read.things[0].size} {read.things[0].colour} {read.things[0].kind}"

below = [f"step {step}: {in_words(read[n])}" for step, read in reads.items() for n in range(6)]
plots.show([*new_images[:6]] * len(reads), below, columns=6, side=104)

# %%
early, late = ({fact: share.value for fact, share in by_fact[step].items()} for step in (20, 300))
claims.check(f"From step 20 to step 300 the share of kinds read correctly rises from "
             f"{early['kind']:.2f} to {late['kind']:.2f}, that of colours from "
             f"{early['colour']:.2f} to {late['colour']:.2f}. Backgrounds were already at "
             f"{early['background']:.2f}.",
             late["kind"] > 0.65 and early["kind"] < 0.35 and late["colour"] > 0.9)

# %% [markdown]
# Large areas come first, then colours. The kind comes last: at 32 pixels it is a matter of a few of them.
#
# **Loading the finished weights.** From here on we use the judge that comes with this library. It was trained on the
# whole world. How good is it, on pictures that it has never seen, and on combinations that it has never seen?

# %%
judge = Judge.from_pretrained("scenes")
unseen = [Scenes("test", seed=1)[i] for i in range(300)]
truth, images = [item.scene for item in unseen], torch.stack([item.image() for item in unseen])
novel = [Scenes("held-out", seed=1)[i] for i in range(150)]
novel_images = torch.stack([item.image() for item in novel])
right = {"unseen": judge_accuracy(truth, judge.read(images)),
         "held-out": judge_accuracy([item.scene for item in novel], judge.read(novel_images))}
for fact in right["unseen"]:
    print(f"{fact:10} unseen {right['unseen'][fact]}, held-out {right['held-out'][fact]}")

# %%
worst = {name: min(share.value for share in shares.values()) for name, shares in right.items()}
claims.check(f"Its worst question is right {worst['unseen']:.1%} of the time, and "
             f"{worst['held-out']:.1%} on combinations that it has never seen.",
             min(worst.values()) > 0.97)

# %% [markdown]
# What does a poor judge do to a measurement? All these pictures are renders, true to their captions. A perfect judge
# finds a fidelity of 1. What is missing is the judge's own fault.

# %%
from minunclip.evaluation import everything, fidelity

statements = [everything(one) for one in new_scenes]         # all facts of each scene
by_early, by_late, by_finished = (fidelity(statements, read)["caption"].value for read in
                                  (reads[60], reads[300], judge.read(new_images)))
claims.check(f"The same true pictures have a fidelity of {by_early:.2f} by the judge after 60 "
             f"steps, of {by_late:.2f} after 300, and of {by_finished:.2f} by the finished one.",
             by_early < by_late < by_finished and by_finished > 0.97)

# %% [markdown]
# That is why every table of this course that uses the judge also says how often the judge errs.
#
# ## 7. What fools the judge
#
# **Blur and noise.** A sample of a model may be soft or grainy. The judge learned from sharp renders with a little
# noise, of at most 0.1. **Predict, then run:** which fact is lost first when a picture is blurred?

# %%
from minunclip.evaluation import same_facts
from minunclip.training import blur

sigmas = (0.01, 0.5, 0.8, 1, 1.5, 2)
softened = [judge.read(blur(images, torch.full((len(images),), sigma), radius=5)) for sigma in sigmas]
shares_of = [same_facts(truth, read) for read in softened]
in_focus = {fact: (sigmas, [share[fact].value for share in shares_of])
            for fact in ("background", "colour", "kind", "style")}
plots.curves(in_focus, "sigma of the blur, in pixels", "share read correctly")

# %%
noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
grainy = [same_facts(truth, judge.read(images + level * noise))["scene"].value for level in (0.1, 0.5)]
style, kind = (in_focus[fact][1][3] for fact in ("style", "kind"))
claims.check(f"Blurred by one pixel, {kind:.0%} of the kinds are read correctly, and {style:.0%} of "
             "the styles.", kind > style + 0.2)
claims.check(f"With noise of 0.1 the judge reads {grainy[0]:.0%} of the scenes without a mistake, "
             f"with noise of 0.5 {grainy[1]:.0%}.", grainy[0] > 0.9 and grainy[1] < 0.5)

# %% [markdown]
# **Nothing to see.** The judge cannot say "I do not know". **Predict, then run:** what does it answer to pure noise, to
# grey, and to two pictures laid over each other, and how sure is it?

# %%
alone = [i for i, one in enumerate(truth) if len(one.things) == 1]
strange = {"noise": noise[0], "grey": torch.zeros_like(noise[0]),
           "two in one": images[alone[:2]].mean(dim=0)}
odd = torch.stack(list(strange.values()))
certain = judge(odd)["kind 0"].softmax(dim=1).amax(dim=1).tolist()
named = [f"{name}: {in_words(read)}, sure to {share:.0%}"
         for name, read, share in zip(strange, judge.read(odd), certain, strict=True)]
plots.show(odd, named, columns=3)

# %%
claims.check("It names a thing in all three, and is sure of its kind to "
             f"{max(certain):.0%} in one of them.", max(certain) > 0.5)

# %% [markdown]
# **The world upside down.** In training things are turned by 17 degrees at most. Which kinds does the judge still know
# when they stand on their heads? **Predict, then run.**

# %%
turned = [read.things[0].kind for read in judge.read(images[alone].flip(2))]
pairs = Counter(zip([truth[i].things[0].kind for i in alone], turned, strict=True))
total = Counter(truth[i].things[0].kind for i in alone)
upright = {kind: pairs[kind, kind] / total[kind] for kind in KINDS}
plots.bars(upright, "share read correctly, upside down")

# %%
wrong = Counter({pair: n for pair, n in pairs.items() if pair[0] != pair[1]})
((shown_kind, read_as), times), *_ = wrong.most_common()
claims.check(f"Circles and squares look the same upside down: {upright['circle']:.0%} and "
             f"{upright['square']:.0%} are known. Of hearts it is {upright['heart']:.0%}. The "
             f"commonest mistake: {times} times a {shown_kind} was read as a {read_as}.",
             min(upright["circle"], upright["square"]) > 0.9 and upright["heart"] < 0.6)

# %% [markdown]
# **On purpose.** The gradient of the loss says how each pixel would have to change to make the judge err. One tiny step
# in that direction can be enough ([Goodfellow et al., 2014](https://arxiv.org/abs/1412.6572)):

# %%
def nudged(images, answers, levels):
    images = images.clone().requires_grad_()
    loss = F.cross_entropy(judge(images)["kind 0"], answers)
    (gradient,) = torch.autograd.grad(loss, images)
    return (images + levels / 127.5 * gradient.sign()).clamp(-1, 1)

single, kinds = images[alone], labels([truth[i] for i in alone])["kind 0"]
misread = {by: judge(nudged(single, kinds, by))["kind 0"].argmax(dim=1) != kinds for by in (0, 8)}
share = {by: fooled.float().mean().item() for by, fooled in misread.items()}
claims.check(f"Untouched, {share[0]:.0%} of the things are misread. With every colour changed by "
             f"8 of 255 levels it is {share[8]:.0%}.", share[0] < 0.05 and share[8] > 0.25)

# %%
victim = int(misread[8].int().argmax())                     # the first one that is misread
both = torch.stack([single[victim], nudged(single, kinds, 8)[victim]])
seen_as = [f"read as {read.things[0].kind}" for read in judge.read(both)]
plots.show([both[0], 8 * (both[1] - both[0]), both[1]],
           [seen_as[0], "the change, 8 times as strong", seen_as[1]], side=192)

# %% [markdown]
# To us both pictures show the same thing. So a model must never be *trained* to please the judge: it would learn such
# nudges instead of shapes. The judge's word counts only for pictures that look like renders.
#
# **Design an experiment.** How many different pictures does a judge need? Write down what you expect for 50, 300 and
# 1,500 pictures (`Bank.of(recipe, count, workers=0)`), what you will measure and on which pictures, and what must stay
# the same. Then do it.
#
# What is yours so far:

# %%
checks.in_use()

# %% [markdown]
# ## Summary
#
# | | |
# | --- | --- |
# | a scene | facts: things, layout, background, style |
# | nuisance | what the seed decides and no caption names: places, turns, sizes, tints, clouds, patterns |
# | a caption | some of the facts in varied words; what it leaves out is free |
# | the splits | `train`; `test` with other captions; `held-out` with combinations that training never shows |
# | fidelity | the share of pictures in which all that is stated is true |
# | diversity | exp of the entropy of what is left open: an effective number of scenes |
# | the judge | reads the facts off a picture; trained on renders only; its own error is told with every number |
#
# **What you can do now:** make captioned scenes with a known truth, measure fidelity and diversity, train a judge, and
# say when not to trust it.
#
# ## Questions
#
# <details><summary>Could a model reach fidelity 1 and diversity 30 in section 5 and still draw badly?</summary>
#
# Yes. Both numbers look at facts only. Ragged edges or wrong shadows change no fact. So look at the pictures, too.
#
# </details>
#
# <details><summary>Two pictures have the same facts. Why are they not the same picture?</summary>
#
# Nuisance: places, turns, tints, clouds. The seed decides them, and no caption names them.
#
# </details>
#
# <details><summary>Why does "a circle and a circle" need more than comparing things one by one?</summary>
#
# Each stated circle needs a drawn circle of its own. One circle would pass the simple check twice.
#
# </details>
#
# <details><summary>Why not use CLIP as the judge?</summary>
#
# CLIP is part of the model that is graded. A picture that CLIP wrongly takes for a red star is just what the decoder
# was led to draw, and would count as a success.
#
# </details>
#
# <details><summary>A judge misreads one thing in a hundred. What can it say of a fidelity of 0.98?</summary>
#
# In nearly 2% of all pictures with two things it misreads one, so even a perfect model may measure 0.98. This judge
# cannot tell 0.98 from 1.
#
# </details>
#
# <details><summary>What is the difference between `test` and `held-out`?</summary>
#
# `test` has new captions of familiar scenes. `held-out` has combinations of colour and kind that were never drawn for
# training.
#
# </details>
#
# <details><summary>The stubborn painter has fidelity 1. For which captions would that fail?</summary>
#
# For any that states a background or a style other than its own: "a big red star on paper".
#
# </details>
#
# <details><summary>Sixteen pictures have an effective number of 16. Is 16 the truth?</summary>
#
# It is the most that 16 pictures can show. All are different, so there may be many more.
#
# </details>
#
# <details><summary>An untrained judge guesses. What is its loss on a question with 8 answers?</summary>
#
# $\log 8 = 2.08$: every answer has the probability 1/8.
#
# </details>
#
# <details><summary>The judge is 90% sure that pure noise shows a heart. What went wrong?</summary>
#
# Nothing in its training. It never saw a picture of no scene, and its answers must sum to 1. Such a picture is *out of
# distribution*.
#
# </details>
#
# ## Where to read on
#
# - The code: [scenes/facts.py](../minunclip/scenes/facts.py), [scenes/nuisance.py](../minunclip/scenes/nuisance.py),
#   [scenes/captions.py](../minunclip/scenes/captions.py), [evaluation/judge.py](../minunclip/evaluation/judge.py).
# - The judge's accuracy on thousands of renders: [data/README.md](../data/README.md).
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125): in section 5.2 people are the judges, section 5.3
#   compares diversity and fidelity.
# - The effective number: Hill, [Diversity and evenness](https://doi.org/10.2307/1934352), Ecology 54 (1973). Its
#   estimate from small samples: Chao, Wang and Jost, [Entropy and the species accumulation
#   curve](https://doi.org/10.1111/2041-210X.12108), Methods in Ecology and Evolution 4 (2013).

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## Appendix, optional: shapes from distances
#
# How can the same scene be drawn at any size? A shape is not stored as pixels. It is a function that says how far a
# point is from the shape's edge: negative inside, zero on the edge, positive outside. A circle of radius 0.92, asked at
# 7 x 7 points:

# %% tags=["nbval-check-output"]
from minunclip.scenes import circle, star

u, v = np.meshgrid(np.linspace(-1.2, 1.2, 7), np.linspace(-1.2, 1.2, 7))
print(circle(u, v).round(2))

# %% [markdown]
# To draw it, we could paint each pixel whose centre is inside. The edge then becomes a staircase. Better to paint each
# pixel by the *share* of it that the shape covers. For a straight edge through a pixel of width $w$, at a distance $d$
# from the pixel's centre, that share is about
#
# $$\text{coverage} = \tfrac12 - \frac{d}{w}, \quad \text{cut off below 0 and above 1.}$$
#
# An edge through the centre, $d = 0$, leaves one half. A centre half a pixel inside, $d = -w/2$, means that all of the
# pixel is covered.
#
# ### Exercise 5: An edge without steps · ●○○ easy · 3 minutes
#
# Write this formula for a whole array of distances.

# %% tags=["exercise"]
def coverage(distance: np.ndarray, pixel: float) -> np.ndarray:
    raise NotImplementedError

# %%
coverage = checks.mine(coverage)

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
# What it is good for, on a star of 24 x 24 pixels. Everything in a scene is drawn like this
# ([scenes/canvas.py](../minunclip/scenes/canvas.py)).

# %%
centres = (np.arange(24) + 0.5) / 12 - 1                     # of the pixels, from -1 to 1
distance = star(*np.meshgrid(1.1 * centres, 1.1 * centres))
shares = [(distance < 0).astype(float), coverage(distance, 1.1 / 12)]
stars = [torch.tensor(1 - 2 * one).expand(3, 24, 24) for one in shares]
plots.show(stars, ["centre inside?", "coverage"], side=192)
