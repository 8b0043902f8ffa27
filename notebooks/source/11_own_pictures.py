# %% [markdown]
# # 11 · Your own pictures
#
# You have a folder of pictures and a caption for each. Can the same code learn to draw *them*? And how do you find out
# in the first ten minutes, and not after a week, that something is wrong? In this notebook every stage learns from
# real drawings: 818 things, each drawn by three studios.

# %%
import torch

import minunclip
from minunclip import plots
from minunclip.course import checks, claims
from minunclip.pictures import open_pictures

# %%
torch.set_grad_enabled(False)                     # on again wherever something is trained
cascade = minunclip.load("emoji")
captions = ["3d model of a cat", "cartoon of a rose", "flat drawing of a fish", "a red car, 3d model",
            "cartoon of a burger", "flat drawing of the moon"]
first = cascade.sample(captions, seed=0)
plots.show(first.image, captions, columns=6, side=96, title="caption, prior, z_i, decoder", seed=0)

# %% [markdown]
# Six captions, not chosen, drawn by a CLIP, a prior and a decoder of 64 pixels that learned from 2,199 pictures on one
# thread of a CPU. That is a thousandth of what a released model has seen. You will see what it knows, what it does not,
# and what it has learned by heart.
#
# **What you will see**
#
# 1. A set of pictures, and a folder of your own in six lines.
# 2. Words that no training caption has.
# 3. Pictures through a CLIP, and whether it sees more than colours.
# 4. Every stage trained on from half-way.
# 5. Sixteen pictures first, and what to do when that fails.
# 6. Which loss is normal.
# 7. The style of a thing under a slider; what is copied.
# 8. Stopped and resumed; two processes; COCO, and what it costs.
#
# **What you need to know before:** the notebooks on CLIP, the prior and the decoder, or what their summaries say.
#
# **What a whole run costs,** as measured when this notebook was last built:

# %% tags=["cost"]
plots.cost_table("11_own_pictures")

# %% [markdown]
# Reading takes about 35 minutes, the exercises another 30. The fast path, 15 minutes: sections 1, 5 and 8.
#
# ## 1. A set of pictures
#
# `open_pictures` takes `"emoji"`, which came with this copy, or a folder, COCO's folder, or tars. It gives a list.
# Each item has a key, its captions and its picture. Nothing is read before it is asked for.

# %%
train, val = open_pictures("emoji"), open_pictures("emoji", "val")
kinds = {"noto": "cartoon", "twemoji": "flat drawing", "fluent": "3d model"}
print(f"{len(train)} pictures to train on, {len(val)} kept from training")
print(train[4].key, *train[4].captions[:4], sep="\n  ")

# %%
things = ("tiger", "pineapple", "guitar", "rocket", "mushroom", "castle", "umbrella", "bread")
place = {entry.key.split("/", 1)[1]: (pictures, i)
         for pictures in (train, val) for i, entry in enumerate(pictures.entries)}
sheet = [pictures[i].image(64) for style in kinds
         for pictures, i in (place[f"{style}/{thing}"] for thing in things)]
plots.show(sheet, [f"{style}: {thing}" for style in kinds for thing in things], columns=8, side=84,
           title="A contact sheet: eight of 818 things, three styles")

# %% [markdown]
# Each thing is there three times: the same meaning in three *styles*. So this set can answer a question of the paper
# (section 5.2) that scenes could only play: what stays, and what varies, when one $z_i$ is drawn again and again?
#
# **Which pictures are kept from training?** A random choice would be another one each time the set grows. Here the name
# decides, by a checksum, so that a picture stays where it is whatever is added later.
#
# ### Exercise 1: A split that stays · ●○○ easy · 4 minutes
#
# A key is `"train/noto/red apple"`. The last part is the thing. Keep a picture from training (`True`) if
# `zlib.crc32(name.encode())` of its *thing* is divisible by 10. Why of the thing, and not of the whole key?

# %% tags=["exercise"]
def held_out(keys: list[str]) -> list[bool]:
    raise NotImplementedError

# %%
held_out = checks.mine(held_out)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `key.split("/")[-1]` is the thing. `import zlib` may stand inside the function.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def held_out(keys: list[str]) -> list[bool]:
#     import zlib
#
#     return [zlib.crc32(key.split("/")[-1].encode()) % 10 == 0 for key in keys]
# ```
#
# By the whole key, the tiger of one studio would be in training and that of another one in the test. The model would
# have seen what it is tested on. This is the commonest way to measure a success that is none.
#
# </details>

# %%
keys = [entry.key for pictures in (train, val) for entry in pictures.entries]
same_side = held_out(keys) == [key.startswith("val/") for key in keys]
claims.check(f"By this rule {sum(held_out(keys))} of {len(keys)} pictures are kept, the very ones of `val`.",
             same_side and len(val) == 255)

# %% [markdown]
# **A folder of your own in six lines.** A picture, and a text file beside it with the same name:

# %%
import tempfile
from pathlib import Path

from minunclip.common import to_pil

folder = Path(tempfile.mkdtemp()) / "mine"
folder.mkdir()
for number, item in enumerate(train[i] for i in range(0, 960, 20)):
    to_pil(item.image(64), 64).save(folder / f"{number:02}.png")
    (folder / f"{number:02}.txt").write_text("\n".join(item.captions))
mine = open_pictures(folder)
print(len(mine), "pictures to train on;", mine[0].key, "is", mine[0].captions[0])

# %%
pixels_equal = torch.equal(mine[0].image(64), train[20 * int(mine[0].key)].image(64))
claims.check("A picture out of the folder is the one out of the tar, pixel for pixel.", pixels_equal)

# %% [markdown]
# **Predict, then run.** Three mistakes. Which of them would let a program train for a night without a word?
#
# 1. A caption file is called `00.text`.
# 2. `metadata.jsonl` names `17.jpg`, and the picture is `17.png`.
# 3. `metadata.jsonl` is there, but its column is called `caption`.

# %%
import shutil

def with_mistake(number):
    spoilt = Path(tempfile.mkdtemp()) / "mine"
    shutil.copytree(folder, spoilt)
    if number == 1:
        (spoilt / "00.txt").rename(spoilt / "00.text")
    if number == 2:
        (spoilt / "metadata.jsonl").write_text('{"file_name": "17.jpg", "text": "a cat"}\n')
    if number == 3:
        (spoilt / "metadata.jsonl").write_text('{"file_name": "00.png", "caption": "a cat"}\n')
    return spoilt

told = []
for number in (1, 2, 3):
    try:
        open_pictures(with_mistake(number))
    except ValueError as error:
        told.append(str(error).partition(": ")[2])
        print(f"{number}. {told[-1]}")

# %%
claims.check(f"{len(told)} of 3 mistakes are told before anything is trained, each with the file's name.",
             len(told) == 3 and "00" in told[0] and "17" in told[1] and "metadata.jsonl" in told[2])

# %% [markdown]
# Elsewhere each of them has cost somebody days: captions that were not found, and training went on
# ([taggui #57](https://github.com/jhc13/taggui/issues/57)); a caption column of another name
# ([diffusers #6445](https://github.com/huggingface/diffusers/issues/6445)). `minunclip pictures check my/pictures`
# looks at every picture, too: damaged, tiny, twice there. It leaves a contact sheet. Look at it.
#
# ## 2. Words that no caption has
#
# The toy world has 80 words, and any other is an error. A set of your own has thousands, and a caption may hold one
# that was never seen. So CLIP reads **byte pairs**: frequent words are one token, all others fall into pieces, in the
# end into single letters.

# %%
tokenizer = cascade.clip.tokenizer
for word in ("cat", "rocket", "pineapple", "minunclip"):
    print(f"{word:10}", [tokenizer.decode([number]) for number in tokenizer.encode(word)])

# %% [markdown]
# How are pieces found? Training the tokenizer counted which two neighbours occur together most often, made them one,
# counted again, and so on 48,894 times. Reading a word replays these merges, the most frequent first.
#
# ### Exercise 2: One merge · ●●○ medium · 6 minutes
#
# Join every occurrence of the pair in a list of parts, from left to right. A part is used once:
# `["a", "a", "a"]` with the pair `("a", "a")` becomes `["aa", "a"]`.

# %% tags=["exercise"]
def merge_pair(parts: list[str], pair: tuple[str, str]) -> list[str]:
    raise NotImplementedError

# %%
merge_pair = checks.mine(merge_pair)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Walk with `while i < len(parts)`. Where `(parts[i], parts[i + 1])` is the pair, go on two places further.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def merge_pair(parts: list[str], pair: tuple[str, str]) -> list[str]:
#     merged, i = [], 0
#     while i < len(parts):
#         if tuple(parts[i : i + 2]) == pair:
#             merged.append(pair[0] + pair[1])
#             i += 2
#         else:
#             merged.append(parts[i])
#             i += 1
#     return merged
# ```
#
# </details>
#
# With it, CLIP's own list of merges cuts a word as CLIP does. `</w>` marks the end of a word.

# %%
from minunclip.text import clip_vocabulary

ranks = clip_vocabulary().bpe_ranks                                      # {pair: how early it was merged}

def cut(word):
    parts = [*word[:-1], word[-1] + "</w>"]
    while known := [pair for pair in zip(parts, parts[1:], strict=False) if pair in ranks]:
        parts = merge_pair(parts, min(known, key=ranks.get))
    return parts

some = ("tiger", "accordion", "wombat", "minunclip")
same_cut = all([clip_vocabulary().encoder[part] for part in cut(word)] == clip_vocabulary().encode(word)
               for word in some)
claims.check(f"Cut by hand, {len(some)} words are what CLIP's tokenizer makes of them, such as "
             f"{cut('wombat')} for wombat.", same_cut)

# %% [markdown]
# Our CLIP knows only those pieces that are in at least one of 1,500 captions. A rare one could not be learned from so
# few pictures. It reads all else letter by letter.

# %%
def spelled(name):
    """Whether a name has a letter that CLIP reads alone."""
    return any(number < 512 for word in name.split() for number in tokenizer.encode(word) if len(word) > 1)

names = {split: sorted({entry.key.split("/")[-1] for entry in pictures.entries})
         for split, pictures in (("train", train), ("val", val))}
shares = {split: sum(map(spelled, found)) / len(found) for split, found in names.items()}
claims.check(f"{shares['val']:.0%} of the held-out names hold a word that is spelled, and {shares['train']:.0%} of "
             f"those in training.", shares["val"] > 0.3 > shares["train"])

# %% [markdown]
# That is a limit no training removes: a thing whose name is spelled can be found by its tags alone, "instrument" or
# "animal".
#
# ## 3. Pictures through a CLIP
#
# The prior and the decoder learn from embeddings. Those do not change while they learn, so we compute them once and
# keep them: the command is `minunclip embed my/pictures --clip ...`. In a notebook it is a line. What it writes can be
# interrupted, and is refused if somebody changed the pictures, a caption or the CLIP since.

# %%
import time

from minunclip.training import Gallery

started = time.perf_counter()
made = {split: Gallery.at(folder.parent / split, pictures, 64, cascade.clip, workers=0)
        for split, pictures in (("train", train), ("val", val))}
took = time.perf_counter() - started
for file in sorted((folder.parent / "train").glob("*.npy")):
    print(f"{file.name:14}{file.stat().st_size / 1e6:7.2f} MB")

# %%
claims.check(f"{len(train) + len(val)} pictures are embedded in {took:.0f} s.", took < 300)

# %% [markdown]
# Now to the pictures that no training has seen. **Does CLIP see what is in them?** Three questions:
#
# - *name*: which of the 85 held-out names is it?
# - *style*: is it a cartoon, a flat drawing or a 3D model?
# - *across*: given a thing in one style, which of the 85 pictures in another style shows the same?
#
# The last one needs no words. So it can be asked of anything, of plain pixels, too: of pictures shrunk to 8 x 8
# colours.
#
# ### Exercise 3: The same thing in another style · ●●○ medium · 6 minutes
#
# Row $n$ of `a` (N, D) and of `b` (N, D) is the same thing in two styles. First take from each set its own mean, which
# is what all pictures of a style share. Then find for each row of `a` the row of `b` with the largest cosine. Return
# the share of rows that find their own.

# %% tags=["exercise"]
def found_across(a: torch.Tensor, b: torch.Tensor) -> float:
    raise NotImplementedError

# %%
found_across = checks.mine(found_across)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `torch.nn.functional.normalize(x, dim=1)` makes each row as long as 1. Then `a @ b.T` has all cosines, (N, N), and the
# right answer for row $n$ is column $n$.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def found_across(a: torch.Tensor, b: torch.Tensor) -> float:
#     a, b = (torch.nn.functional.normalize(x - x.mean(dim=0), dim=1) for x in (a, b))
#     return float(((a @ b.T).argmax(dim=1) == torch.arange(len(a))).float().mean())
# ```
#
# </details>

# %%
from itertools import permutations

import torch.nn.functional as F

def tensor(split, name, rows=slice(None)):
    """An array of a gallery in memory: pictures in -1 to 1, embeddings as they are."""
    values = torch.from_numpy(made[split].arrays[name][rows].copy()).float()
    return values / 127.5 - 1 if name == "pictures" else values

def across(rows):
    """The mean over all pairs of styles; rows (255, D) of the held-out pictures, style after style."""
    return sum(found_across(a, b) for a, b in permutations(rows.view(3, 85, -1), 2)) / 6

pictures_val, z_val = tensor("val", "pictures"), tensor("val", "z_i")
keys_val = [key.split("/")[1:] for key in made["val"].keys]              # [style, thing]
eight = F.adaptive_avg_pool2d(pictures_val, 8).flatten(1)

def z_of(captions):
    return cascade.clip.encode_text(captions).embed

def top(z_i, captions, truth, clip=None):
    return (cascade.clip.similarity(z_i, (clip or cascade.clip).encode_text(captions).embed).argmax(dim=1)
            == torch.tensor(truth)).float().mean().item()

# %%
def styles_told(z_i):
    """The share whose own style is the best of the three captions with its own name."""
    texts = z_of([f"{kind} of {thing}" for _, thing in keys_val for kind in kinds.values()]).view(255, 3, -1)
    best = F.cosine_similarity(z_i[:, None], texts, dim=2).argmax(dim=1)
    return (best == torch.tensor([[*kinds].index(style) for style, _ in keys_val])).float().mean().item()

truth = [names["val"].index(thing) for _, thing in keys_val]
seen = {"name of 85": top(z_val, names["val"], truth), "style of 3": styles_told(z_val),
        "across, CLIP": across(z_val), "across, 8 x 8 colours": across(eight)}
plots.bars(seen | {"chance for a name": 1 / 85}, "share of held-out pictures that are right")

# %%
claims.check(f"Of things that it never saw, CLIP names {seen['name of 85']:.0%} (chance: 1%), and tells the style of "
             f"{seen['style of 3']:.0%}.", seen["name of 85"] > 0.2 and seen["style of 3"] > 0.85)
claims.check(f"It finds {seen['across, CLIP']:.0%} of them in another style. Coarse colours alone find "
             f"{seen['across, 8 x 8 colours']:.0%}.", seen["across, CLIP"] > seen["across, 8 x 8 colours"] + 0.03)

# %% [markdown]
# Always print such a baseline. A tomato is red in every style; a high number by itself does not say that anybody
# understood the picture.
#
# ## 4. Every stage, trained on from half-way
#
# A training from nothing takes hours here. So we take the finished weights and spoil them: each matrix gets noise, a
# share of its own spread. What had been learned last is lost first. From there you train. It is the library's loop,
# with the loss that the stage is always trained with.

# %%
import copy

def spoiled(stage, share):
    """A copy of a stage, with noise of this share of its own spread in every matrix."""
    worse, rng = copy.deepcopy(stage), torch.Generator().manual_seed(0)
    for weights in worse.parameters():
        if weights.dim() > 1:
            weights.add_(share * weights.std() * torch.randn(weights.shape, generator=rng))
    return worse

# %%
from minunclip.training import TrainConfig, Trainer, pixels
from minunclip.training.recipes.pictures import moved

def clip_loss(model, batch, rng):
    images = moved(pixels(batch.images), rng)                            # shifted, enlarged, mirrored a little
    return model.compare(model.encode_image(images), model.embed_ids(batch.ids), rng)

def train_on(stage, loss, config, look=(), see=None):
    """Train a stage; the records, and what `see` says of its averaged weights at the steps in `look`."""
    torch.set_grad_enabled(True)
    trainer, records, strip = Trainer(stage, config, together=stage is not None), [], {}
    for record in trainer.run(loss, made["train"].batches(config)):
        records.append(record)
        if record.step in look:
            with torch.no_grad():
                strip[record.step] = see(trainer.ema.eval())
    torch.set_grad_enabled(False)
    return trainer.ema.eval(), records, strip

# %%
half_clip = spoiled(cascade.clip, 0.6)

def names_right(clip):
    z_i = clip.look(pictures_val)
    return (clip.similarity(z_i, clip.encode_text(names["val"]).embed).argmax(dim=1)
            == torch.tensor(truth)).float().mean().item()

shared = {"warmup": 3, "ema": 0.8, "bf16": False}
clip_steps = TrainConfig(24, batch=64, lr=5e-4, muon=0.005, **shared)
before = names_right(half_clip)
trained_clip, records, named = train_on(half_clip, clip_loss, clip_steps, (6, 12, 24), names_right)
plots.loss_curve(records, "clip", 5, minunclip.common.weights_folder("emoji"))

# %%
claims.check(f"Spoiled, CLIP names {before:.0%} of the held-out pictures. Trained for 6, 12 and 24 steps it names "
             f"{', '.join(f'{share:.0%}' for share in named.values())}; the finished one {seen['name of 85']:.0%}.",
             named[24] > before + 0.03)

# %% [markdown]
# **The prior.** It guesses $z_i$ from a caption. How near does it come? As a ruler: the cosine of the caption's own
# $z_t$ with the true $z_i$, and that of the mean of all $z_i$.

# %%
from minunclip.training import drop
from minunclip.training.recipes import random_timesteps

empty = cascade.clip.tokenizer([""])[0]

def prior_loss(model, batch, rng):
    with torch.no_grad():
        text = cascade.clip.encode_ids(drop(batch.ids, empty, 0.1, rng))
    t = random_timesteps(len(batch.z_i), 1000, rng, noisy=0.5)
    return model.loss(batch.z_i, model.prefix(text), t, torch.randn(batch.z_i.shape, generator=rng)).mean()

plain = [f"{kinds[style]} of {thing}" for style, thing in keys_val]
text_val = cascade.encode_text(plain)

def guess(prior, rows=slice(None), seed=0):
    whole = copy.copy(cascade)
    whole.prior = prior
    return whole.embed(text_val[rows], seed=seed).finish()

def nearness(z_i, true=z_val):
    """The mean cosine, measured from the mean of all pictures."""
    centre = tensor("train", "z_i").mean(dim=0)
    return F.cosine_similarity(z_i - centre, true - centre, dim=1).mean().item()

# %%
rows = torch.randperm(255, generator=torch.Generator().manual_seed(0))[:60]
half_prior = spoiled(cascade.prior, 0.8)
prior_steps = TrainConfig(60, batch=64, lr=1e-3, muon=0.01, **shared)

def near(prior):
    return nearness(guess(prior, rows), z_val[rows])

near_before = near(half_prior)
trained_prior, records, nearer = train_on(half_prior, prior_loss, prior_steps, (20, 60), near)
levels = {"z_t itself": nearness(text_val.embed), "spoiled": near_before,
          **{f"step {step}": value for step, value in nearer.items()}, "finished": near(cascade.prior)}
plots.bars(levels, "cosine with the true z_i, from the mean of all")

# %%
claims.check(f"Spoiled, the prior's guesses have a cosine of {near_before:.2f} with the truth, after "
             f"{prior_steps.steps} steps {nearer[60]:.2f}, and the finished prior's {levels['finished']:.2f}.",
             nearer[60] > near_before + 0.03)

# %% [markdown]
# **The decoder.** We give it the true $z_i$ of held-out pictures and no caption, and draw while it learns. The number
# beside it: CLIP looks at what was drawn, and searches among 100 true pictures for the one that was meant.

# %%
from minunclip.evaluation import found
from minunclip.training.recipes import picture_recipe

recipe = picture_recipe("decoder", train, cascade.clip, "cpu")

def decoder_loss(model, batch, rng):
    with torch.no_grad():
        text = cascade.clip.encode_ids(drop(batch.ids, empty, 0.5, rng))
    return recipe.diffusion(model, batch, text, rng)

wordless = cascade.clip.encode_text([""])

def drawn_by(decoder, z_i, seed=0, guidance=2.0):
    whole = copy.copy(cascade)
    whole.decoder = decoder
    settings = minunclip.unclip.Settings(decoder_steps=10, decoder_guidance=guidance)
    return whole.decode(z_i, wordless.repeat(len(z_i)), seed=seed, settings=settings).finish()

# %%
half_decoder = spoiled(cascade.decoder, 0.5)
decoder_steps = TrainConfig(40, batch=16, lr=3e-4, muon=0.005, **shared)
eight_rows = rows[:8]

def eight_drawn(decoder):
    return drawn_by(decoder, z_val[eight_rows])

strip = {0: eight_drawn(half_decoder)}
trained_decoder, records, later = train_on(half_decoder, decoder_loss, decoder_steps, (10, 40), eight_drawn)
strip |= later | {"finished": eight_drawn(cascade.decoder), "true": pictures_val[eight_rows]}
shown = [image for images in strip.values() for image in images]
labels = [f"step {step}" if isinstance(step, int) else step for step in strip for _ in range(8)]
plots.show(shown, labels, columns=8, side=76, title="held-out pictures from their true z_i", seed=0)

# %%
hundred = torch.randperm(255, generator=torch.Generator().manual_seed(1))[:100]

def recognised(decoder):
    images = drawn_by(decoder, z_val[hundred], guidance=1.0)
    return found(cascade.clip.look(images), z_val[hundred], 100).value

scores = {"spoiled": recognised(spoiled(cascade.decoder, 0.5)), "40 steps on": recognised(trained_decoder),
          "finished": recognised(cascade.decoder)}
claims.check("CLIP finds the right one of 100 true pictures for "
             + ", ".join(f"{share:.0%} ({name})" for name, share in scores.items()) + " of the drawings.",
             scores["40 steps on"] > scores["spoiled"] and scores["finished"] > 0.5)

# %% [markdown]
# ## 5. Sixteen pictures first
#
# Before you train for a night, train on 16 pictures until they are known by heart. That takes a minute, and it fails
# for every reason for which the long training would fail. We take a small decoder with fresh weights. The 16 $z_i$ tell
# it which picture is meant.
#
# **Find the bug.** Somebody writes the batches like this:

# %%
sixteen = torch.arange(0, 2199, 137)[:16]
kept, z_kept = torch.from_numpy(made["train"].arrays["pictures"][sixteen].copy()), tensor("train", "z_i", sixteen)
z_kept = (z_kept - z_kept.mean(dim=0)) / z_kept.std(dim=0)               # whitened, as in every recipe

def wrong_batch(pictures, z_i, order):
    return pictures[order].float() / 255, z_i[order.sort().values]

# %%
from minunclip.decoder import Decoder, DecoderConfig
from minunclip.diffusion import DiffusionConfig, generators, last, noise_stream
from minunclip.networks import UNetConfig

small = DecoderConfig(
    unet=UNetConfig(channels=32, mults=(1, 2), blocks=1, attention=(1,), head_width=32, context_width=64, patch=4),
    size=64, z_width=128, text_width=128, diffusion=DiffusionConfig(target="x0"))

def by_heart(batch_of, steps=140):
    """A small decoder trained on the 16 pictures, its losses, and what it draws of their z_i."""
    torch.manual_seed(0)
    config = TrainConfig(steps, batch=16, lr=3e-3, muon=0.04, warmup=10, ema=0.9, bf16=False)

    def batches(step):
        while True:
            yield torch.randperm(16)

    def loss(model, order, rng):
        x_0, z_i = batch_of(kept, z_kept, order)
        t, eps = torch.randint(1000, (16,), generator=rng), torch.randn(x_0.shape, generator=rng)
        return model.diffusion.loss(lambda x_t, t: model(x_t, t, z_i, wordless.repeat(16)), x_0, t, eps).mean()

    trainer = Trainer(Decoder(small), config)
    with torch.enable_grad():
        losses = [record.loss for record in trainer.run(loss, batches)]
    noise = noise_stream((16, 3, 64, 64), generators(0, 16))
    return losses, last(trainer.ema.eval().stream(z_kept, wordless.repeat(16), noise, steps=10)).clamp(-1, 1)

# %%
wrong_losses, wrong_drawn = by_heart(wrong_batch, 70)
plots.show([*pixels(kept)[:8], *wrong_drawn[:8]], ["wanted"] * 8 + ["drawn"] * 8, columns=8, side=76,
           title=f"70 steps: the loss fell from {wrong_losses[0]:.2f} to {wrong_losses[-1]:.2f}", seed=0)

# %% [markdown]
# The loss fell, nothing crashed, and the pictures are wrong: pale, and all of them alike.
#
# ### Exercise 4: Find the bug · ●●○ medium · 6 minutes
#
# Write the function as it should be. `pictures` (N, 3, S, S) are bytes, 0 to 255; `z_i` (N, D) belongs to them row by
# row; `order` (B,) says which rows are wanted. There are two bugs: each has one of the two symptoms.

# %% tags=["exercise"]
def paired_batch(
    pictures: torch.Tensor, z_i: torch.Tensor, order: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    raise NotImplementedError

# %%
paired_batch = checks.mine(paired_batch)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Diffusion works with pictures in -1 to 1; what the sampler draws is read in that range. And a picture must meet its
# own $z_i$: what does the decoder learn of $z_i$ if it does not?
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def paired_batch(
#     pictures: torch.Tensor, z_i: torch.Tensor, order: torch.Tensor
# ) -> tuple[torch.Tensor, torch.Tensor]:
#     return pictures[order].float() / 127.5 - 1, z_i[order]
# ```
#
# Black was 0, which is shown as grey: hence the paleness. And each picture met the $z_i$ of another one, a new one each
# time. The best answer is then to ignore $z_i$ and draw the mean.
#
# </details>

# %%
losses, drawn = by_heart(paired_batch)
plots.show([*pixels(kept)[:8], *drawn[:8]], ["wanted"] * 8 + ["drawn"] * 8, columns=8, side=76,
           title=f"140 steps: the loss fell from {losses[0]:.2f} to {losses[-1]:.2f}", seed=0)

# %%
def own_is_nearest(images):
    return (torch.cdist(images.flatten(1), pixels(kept).flatten(1)).argmin(dim=1) == torch.arange(16)).sum().item()

right, wrong = own_is_nearest(drawn), own_is_nearest(wrong_drawn)
claims.check(f"With the right batches {right} of 16 drawings are nearest to their own picture, with the wrong ones "
             f"{wrong}.", right >= 14 and wrong <= 8)

# %% [markdown]
# When sixteen pictures fail, go down this tree. Each step takes a minute.
#
# - **The loss does not fall.** Print `x_0.min(), x_0.max(), x_0.std()`: about -1, 1 and 0.5 to 1?
#   - No: the pictures are scaled wrongly.
#   - Yes: divide the learning rate by 10. Does it fall now? Else: is `loss.backward()` reached, do all weights have a
#     gradient?
# - **The loss falls and becomes NaN.** float16 without a scaler, or a learning rate without warm-up.
# - **The loss falls, the samples are noise.** Are you drawing with the averaged weights, and has the average had time
#   (EMA .999 needs some thousand steps)? Is the network in `eval()`? Is the sampler told the same target and schedule?
# - **The samples are all alike.** The condition does not arrive: draw with two very different $z_i$ and the same noise.
#   Equal? Then look at the pairs, as above.
# - **Sixteen work, sixteen hundred do not.** That is no bug. More steps, or a larger network.
#
# ## 6. Which loss is normal?
#
# "My loss is at .08 and I see only noise, is that normal?" is asked again and again
# ([for example](https://github.com/lucidrains/DALLE2-pytorch/issues/265)). Such a number is a mean over all timesteps
# of the error in $\epsilon$. We take decoders that are spoiled more and less, and measure that error at ten timesteps.

# %%
def eps_errors(decoder, timesteps=range(50, 1000, 100)):
    """The mean squared error of eps (T,), for held-out pictures."""
    process, x_0, errors = decoder.diffusion, pictures_val[hundred[:16]], []
    condition = decoder.condition(z_val[hundred[:16]], wordless.repeat(16))
    for t in timesteps:
        at = torch.full((16,), t)
        eps = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(t))
        x_t = process.q_sample(x_0, at, eps)
        output = process.split(decoder(x_t, at, condition=condition), x_t)[0]
        errors.append((process.solve(output, x_t, at)[1] - eps).square().mean().item())
    return errors

shares = (0.9, 0.5, 0.25, 0)
decoders = {share: spoiled(cascade.decoder, share) for share in shares}
errors = {share: eps_errors(decoder) for share, decoder in decoders.items()}
lines = {f"spoiled by {share:g}" if share else "finished": (range(50, 1000, 100), found_errors)
         for share, found_errors in errors.items()}
plots.curves(lines, "timestep", "error of eps")

# %%
means = {share: sum(values) / len(values) for share, values in errors.items()}
samples = {share: drawn_by(decoder, z_val[eight_rows[:4]]) for share, decoder in decoders.items()}
plots.show([image for images in samples.values() for image in images],
           [f"loss {means[share]:.3f}" for share in shares for _ in range(4)], columns=4, side=84, seed=0)

# %%
claims.check(f"At a mean loss of {means[0.5]:.3f} the pictures cannot be used; the finished decoder is at "
             f"{means[0]:.3f}. At t = 50 the loss is {errors[0][0]:.3f}, at t = 950 {errors[0][-1]:.4f}.",
             means[0] < means[0.5] and errors[0][0] > 5 * errors[0][-1])

# %% [markdown]
# So a loss says little by itself. It depends on the target, on the schedule, on how smooth the pictures are, and most
# of all on which timesteps were drawn. Compare it with trainings on the *same* pictures, at the *same* timesteps, and
# look at samples.
#
# ## 7. What it has learned, and what it has copied
#
# **From a caption to a picture.** All stages together, for held-out things. Two measures: does CLIP see the style that
# the caption asked for, and does it find the named thing among 20?

# %%
forty = hundred[:40]
z_guessed = cascade.embed(text_val[forty], seed=3).finish()
pictures_drawn = cascade.decode(z_guessed, text_val[forty], seed=3).finish()
z_drawn = cascade.clip.look(pictures_drawn)
styled = z_of([f"{kind} of {keys_val[i][1]}" for i in forty.tolist() for kind in kinds.values()]).view(40, 3, -1)
wanted = torch.tensor([[*kinds].index(keys_val[i][0]) for i in forty.tolist()])
right_style = (F.cosine_similarity(z_drawn[:, None], styled, dim=2).argmax(dim=1) == wanted).float().mean().item()
named_things = found(z_drawn, z_of([keys_val[i][1] for i in forty.tolist()]), 20).value
plots.show(pictures_drawn[:16], [plain[i] for i in forty[:16].tolist()], columns=8, side=76,
           title="held-out things, not chosen", seed=3)

# %%
claims.check(f"{right_style:.0%} of the drawings have the style of their caption, and the thing is found among 20 for "
             f"{named_things:.0%} (chance 5%).", right_style > 0.8 and named_things > 0.25)

# %% [markdown]
# **Style at fixed meaning.** The mean $z_i$ of all 3D models minus that of all cartoons is a direction: what the
# studios differ in, and no thing. Add it to the $z_i$ of a cartoon, step by step, and decode from the same noise.

# %% tags=["nbval-ignore-output"]
from minunclip.course.widgets.pictures import StyleExplorer, Styles, style_grid

z_train = tensor("train", "z_i")
of_style = [key.split("/")[1] for key in made["train"].keys]
means_of = {style: z_train[[i for i, other in enumerate(of_style) if other == style]].mean(dim=0)
            for style in kinds}
styles = Styles(cascade, means_of)
chosen = {thing: (pictures_val[i], "noto", z_val[i]) for i, (style, thing) in enumerate(keys_val)
          if style == "noto" and thing in ("penguin", "taxi", "cupcake", "telephone", "elephant", "star")}
style_grid(styles, {thing: chosen[thing] for thing in ("penguin", "taxi", "cupcake")}, "fluent", (0.0, 0.5, 1.0, 1.5))

# %% [markdown]
# With a kernel you can choose the thing, the style and the seed, and go too far:

# %% tags=["nbval-ignore-output"]
StyleExplorer(styles, chosen)

# %%
noto = [i for i, (style, _) in enumerate(keys_val) if style == "noto"]
shifted = z_val[noto] + means_of["fluent"] - means_of["noto"]
target = z_val[[i for i, (style, _) in enumerate(keys_val) if style == "fluent"]]
gain = {"as it is": nearness(z_val[noto], target), "moved": nearness(shifted, target)}
claims.check(f"Moved by that direction, the z_i of a cartoon has a cosine of {gain['moved']:.2f} with that of the 3D "
             f"model of the same held-out thing; before it was {gain['as it is']:.2f}.",
             gain["moved"] > gain["as it is"] + 0.05)

# %% [markdown]
# **Copies.** 2,199 pictures, seen again and again: does the decoder draw, or does it recite? Beside each drawing the
# training picture that is nearest in its pixels. First captions of training things, then of held-out things.

# %%
pixels_train = tensor("train", "pictures")
small_train = F.adaptive_avg_pool2d(pixels_train, 16).flatten(1)

def nearest(images):
    """The nearest training picture of each, and how far it is, in pixels of 16 x 16."""
    distance = torch.cdist(F.adaptive_avg_pool2d(images, 16).flatten(1), small_train)
    return distance.min(dim=1).indices, distance.min(dim=1).values

train_rows = torch.randperm(2199, generator=torch.Generator().manual_seed(4))[:8]
known = [f"{kinds[style]} of {thing}" for _, style, thing in
         (made["train"].keys[i].split("/") for i in train_rows.tolist())]
recited = cascade.sample(known, seed=5).image
sets = {"drawn, known": recited, "drawn, held out": pictures_drawn[:8]}
shown = [image for images in sets.values() for image in (*images, *pixels_train[nearest(images)[0]])]
plots.show(shown, [label for name in sets for label in [name] * 8 + ["nearest"] * 8], columns=8, side=76, seed=5)

# %%
far = {"known": nearest(recited)[1].mean().item(), "held out": nearest(pictures_drawn)[1].mean().item(),
       "true": nearest(pictures_val)[1].mean().item()}
claims.check(f"A drawing of a known thing is {far['known']:.1f} away from the nearest training picture, one of a "
             f"held-out thing {far['held out']:.1f}, and a true held-out picture {far['true']:.1f}.",
             far["known"] < far["true"])

# %% [markdown]
# A small set and many passes make copies. With your own pictures, look at this figure before you show anybody a sample.
# It is a matter of honesty, and with other people's pictures of law.
#
# **Design an experiment.** Does a model copy less if it has seen fewer passes, or if it has fewer weights? Write down
# what you change, what stays the same, and which number decides. Two trainings of a quarter of the steps are an hour.
#
# ## 8. Stop, resume, two processes, and large sets
#
# All randomness of a step comes from its number. So a checkpoint need not keep any, and a training that was killed goes
# on as if nothing had been:

# %%
def learnt(checkpoint, steps):
    """The prior's weights after some steps; a checkpoint that is there is taken up."""
    torch.manual_seed(0)
    config = TrainConfig(6, batch=16, lr=1e-3, warmup=2, ema=0.5, save_every=1, bf16=False)
    trainer = Trainer(copy.deepcopy(cascade.prior), config, checkpoint)
    with torch.enable_grad():
        for record in trainer.run(prior_loss, made["train"].batches(config)):
            if record.step == steps:
                break                                                    # as if it were killed here
    return trainer.ema.state_dict()

whole = learnt(folder.parent / "whole.checkpoint", 6)
learnt(folder.parent / "halves.checkpoint", 3)
resumed = learnt(folder.parent / "halves.checkpoint", 6)
claims.check(f"Stopped after 3 of 6 steps and resumed, all {len(whole)} tensors have the same bits.",
             all(torch.equal(whole[name], resumed[name]) for name in whole))

# %% [markdown]
# **Two processes** learn what one would learn. Each takes half of the batch, and their gradients are averaged. On a
# machine with two GPUs the command is the same. Here both run on the CPU, on the folder of section 1, for two steps:

# %%
import os
import subprocess
import sys

def trained(out, *launcher):
    """The weights of a prior that another command trained, alone or by torchrun."""
    options = ["--data", str(folder), "--clip", "emoji", "--steps", "2", "--batch", "8", "--streams", "2",
               "--workers", "0", "--profile", "cpu", "--out", str(folder.parent / out)]
    command = [sys.executable, *launcher, "-m", "minunclip", "train", "prior", *options]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return minunclip.prior.DiffusionPrior.from_pretrained(folder.parent / out).state_dict()

one = trained("one.safetensors")
two = trained("two.safetensors", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
most = max((one[name] - two[name]).abs().max().item() for name in one)
claims.check(f"One process and two: the weights differ by {most:.0e} at most.", most < 1e-3)

# %% [markdown]
# For your own pictures and one GPU, the whole is three commands:
#
# ```sh
# minunclip pictures check my/pictures
# minunclip train all --data my/pictures
# minunclip draw "a cat on a sofa" --model data/runs/pictures
# ```
#
# and for several GPUs, or several machines, stage by stage:
#
# ```sh
# torchrun --nproc_per_node 4 -m minunclip train decoder --data my/pictures --clip data/runs/pictures/clip.safetensors
# torchrun --nnodes 2 --nproc_per_node 4 --rdzv_backend c10d --rdzv_endpoint HOST:29500 -m minunclip train decoder ...
# ```
#
# **Unlike here**, do not train a CLIP from a few thousand captions if you want to draw what words say: take a released
# one, `--clip ViT-L-14/openai`, which has read 400 million. It knows "wombat". The prior and the decoder are then
# trained on your pictures.
#
# **COCO** is the step after that: 118,287 photographs with five captions each (`train2017`, `val2017` and `annotations`
# in one folder, 19 GB, from [cocodataset.org](https://cocodataset.org/#download)). What it takes on the disk can be
# computed exactly, from the shapes of section 3:

# %%
count, texts, side, width, context = 118_287, 5, 64, 768, 77
sizes = {"pictures, 64 pixels": count * 3 * side**2, "z_i": count * width * 2,
         "z_t": count * texts * width * 2, "captions' tokens": count * texts * context * 4}
plots.bars({name: size / 1e9 for name, size in sizes.items()}, "GB, for COCO's training pictures")

# %% [markdown]
# And the hours. These are **counted, not measured**: operations, divided by 15 (T4) and 60 (RTX 4090) thousand billion
# a second for the large products. Expect up to twice as much.
#
# | what | T4, 16 GB | RTX 4090 |
# | --- | --- | --- |
# | embedding 118,287 pictures with ViT-L/14 | 18 minutes | 4 minutes |
# | a prior of 27 million numbers, 50,000 steps of 1,024 | 3.3 hours | 0.7 hours |
# | a decoder of 111 million numbers at 64 pixels, 100,000 steps of 256 | 33 hours | 7 hours |
#
# Reading photographs is slow: one thread makes 80 a second of them small. So `minunclip pictures pack` writes them
# small, once.
#
# ## Summary
#
# | | |
# | --- | --- |
# | a set | pictures, captions and a key each; faults are told before anything is trained |
# | split | by a checksum of what must not be on both sides |
# | byte pairs | any word can be read; a rare one letter by letter |
# | gallery | pictures, $z_i$ and tokens, computed once; refused when anything changed |
# | baseline | 8 x 8 colours: what a number must beat before it means anything |
# | sixteen first | known by heart in a minute, or something is broken |
# | loss | a mean over timesteps; compare like with like, and look at samples |
# | copies | the nearest training picture beside each sample |
# | resume, processes | randomness from the step's number: the same bits, or rounding apart |
#
# **What you can do now:** bring pictures of your own into order, measure what a CLIP sees in them, train every stage on
# one GPU or several, and tell a bug from a training that is not done.
#
# ## Questions
#
# <details><summary>Why is a picture kept from training by its name, and not by a random number?</summary>
#
# Names stay when the set grows. With a random draw, pictures that a model was trained on would become test pictures of
# the next one.
#
# </details>
#
# <details><summary>Three styles of one thing: two in training, one in the test. What would be measured?</summary>
#
# How well the model carries a thing that it knows into another style. That is a fine question, but another one than
# whether it can draw things that it never saw.
#
# </details>
#
# <details><summary>A caption holds a word that no training caption had. What happens?</summary>
#
# It is cut into pieces, at worst into letters, and is read. The letters mean next to nothing to a small CLIP. The other
# words of the caption still count.
#
# </details>
#
# <details><summary>Why are z_i kept, and the vectors of all tokens not?</summary>
#
# A picture has one $z_i$ of 768 numbers. Its captions have 77 vectors of 768 each: for COCO that would be 70 GB.
# Computing them anew costs little.
#
# </details>
#
# <details><summary>You change one caption and train on with the old gallery. What does the library do?</summary>
#
# It refuses, and says that the pictures' fingerprint differs. Otherwise old embeddings would meet new captions, without
# an error.
#
# </details>
#
# <details><summary>Your CLIP finds 40% of things in another style. Is that good?</summary>
#
# Ask first what coarse colours find. If they find 35%, CLIP has learned little more than colours.
#
# </details>
#
# <details><summary>The loss on sixteen pictures falls, but the samples all look alike. Where do you look?</summary>
#
# At the condition. If all samples are the same mean picture, $z_i$ does not reach the network, or belongs to another
# picture.
#
# </details>
#
# <details><summary>Two people report losses of .03 and .08. Whose model is better?</summary>
#
# Nobody knows. Another target, another schedule, other pictures or other timesteps change the number more than the
# quality does.
#
# </details>
#
# <details><summary>Why does the nearest picture by pixels say more about copying than the nearest by CLIP?</summary>
#
# CLIP finds pictures that mean the same, which is what was asked for. A copy agrees in its pixels.
#
# </details>
#
# <details><summary>Two processes give weights that differ in the last digits. Is that a bug?</summary>
#
# No. Sums of floating point numbers depend on their order. If they differed from the second digit on, gradients would
# not be averaged.
#
# </details>
#
# ## Where to read on
#
# - The code: [pictures/](../minunclip/pictures) reads sets,
#   [training/gallery.py](../minunclip/training/gallery.py) keeps embeddings,
#   [training/parallel.py](../minunclip/training/parallel.py) is all there is to several GPUs, and
#   [recipes/pictures.py](../minunclip/training/recipes/pictures.py) has the sizes for each GPU.
# - `minunclip evaluate --data emoji` measures what this notebook samples: all held-out pictures, with intervals.
# - The paper, [arXiv:2204.06125](https://arxiv.org/abs/2204.06125), Appendix C: what the large models learned with.
# - Sennrich et al., [Neural machine translation of rare words with subword units](https://arxiv.org/abs/1508.07909)
#   (2016): byte pairs.
# - Somepalli et al., [Diffusion art or digital forgery?](https://arxiv.org/abs/2212.03860) (2023): copies.
# - Lin et al., [Microsoft COCO](https://arxiv.org/abs/1405.0312) (2014).
