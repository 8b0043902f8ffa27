"""What the model card counts: every stage on its own, and caption to picture, on unseen captions."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import fmean

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from ..evaluation import (
    Bench,
    Share,
    fidelity,
    judge_accuracy,
    psnr,
    renders,
    same_facts,
    sharpness,
    told_apart,
    zero_shot,
)  # fmt: skip
from ..manipulations import as_image_embedding, decode, draw, fresh, gap_between
from ..scenes import Scenes, full_statement, phrase, render, to_tensor
from ..training import embeddings
from ..upsampler import upsample

Rows = dict[str, dict[str, Share | float]]


def judge_rows(bench: Bench) -> Rows:
    """The judge on renders that it has not seen, four times as many as there are captions."""
    scenes = Scenes("test", 4 * len(bench.items), seed=bench.seed + 1)
    truth, seen = [], []
    for start in tqdm(range(0, len(scenes), 100), desc="judge"):
        items = [scenes[i] for i in range(start, min(start + 100, len(scenes)))]
        truth += [item.scene for item in items]
        seen += bench.read(renders(items, 32))
    return {"the judge on unseen renders": judge_accuracy(truth, seen)}


def clip_rows(bench: Bench) -> Rows:
    """CLIP's zero-shot choices, scenes of one and of two things apart."""
    clip, rows = bench.cascade.clip, {}
    for things, name in ((1, "one thing"), (2, "two things")):
        if items := [bench.items[i] for i in bench.group(things)]:
            rows[f"CLIP zero-shot, {name}"] = zero_shot(clip, items)
    twos = [bench.items[i] for i in bench.group(2)]
    return rows | {"CLIP, a caption against one with a fact exchanged": told_apart(clip, twos)}


def caption_rows(bench: Bench) -> Rows:
    """Draw every caption at the decoder's size, and see what of it came true."""
    seen, side = [], bench.cascade.sizes[0]
    for number, part in enumerate(tqdm(list(bench.batches()), desc="captions")):
        captions = [item.caption for item in part]
        drawing = bench.cascade.sample(captions, seed=bench.seed + 50 * number, size=side)
        seen += bench.read(drawing.image)
    groups = {
        "one thing": bench.group(1), "two things and their relation": bench.group(2, related=True),
        "two things": bench.group(2), "three things": bench.group(3), "all": range(len(bench.items)),
    }  # fmt: skip
    return {
        f"caption fidelity, {name}": fidelity([bench.items[i].statement for i in rows], [seen[i] for i in rows])
        for name, rows in groups.items() if rows
    }  # fmt: skip


def decoder_rows(bench: Bench) -> Rows:
    """Encode a render, decode it, and compare the facts; without a caption, and with it."""
    scenes, found = [], {"": [], " and the caption": []}
    for number, part in enumerate(tqdm(list(bench.batches(len(bench.items) // 4)), desc="decoder")):
        z_i = bench.cascade.clip.encode_image(renders(part, 32).to(bench.cascade.device)).detach()
        scenes += [item.scene for item in part]
        for name, captions in (("", [""] * len(part)), (" and the caption", [item.caption for item in part])):
            images = decode(bench.cascade, z_i, captions, bench.seed + 50 * number)
            found[name] += bench.read(images)
    rows = {f"decoder from the true z_i{name}": same_facts(scenes, seen) for name, seen in found.items()}
    for things, name in ((1, "one thing"), (2, "two things"), (3, "three things")):
        if chosen := [i for i, scene in enumerate(scenes) if len(scene.things) == things]:
            copies = [found[""][i] for i in chosen]
            rows[f"decoder from the true z_i, {name}"] = same_facts([scenes[i] for i in chosen], copies)
    return rows


def upsampler_rows(bench: Bench) -> Rows:
    """True small pictures, enlarged: decibels against the true large ones, and the facts that the judge reads."""
    rows = {}
    for number, count in enumerate((100, 10)[: len(bench.cascade.upsamplers)]):
        upsampler = bench.cascade.upsamplers[number]
        low_side, side = upsampler.config.low_size, upsampler.config.size
        ours, cubic, sharp, small, large = [], [], [], [], []
        for number_, part in enumerate(tqdm(list(bench.batches(count, 10)), desc=f"to {side} px")):
            low, truth = renders(part, low_side), renders(part, side)
            enlarged = bench.cascade.upsample(low.to(bench.cascade.device), number, seed=bench.seed + 10 * number_)
            images = enlarged.finish().cpu()
            ours += psnr(images, truth).tolist()
            cubic += psnr(upsample(low, side).clamp(-1, 1), truth).tolist()
            sharp.append(sharpness(images) / sharpness(truth))
            small += bench.read(F.interpolate(low, 32, mode="area"))
            large += bench.read(images)
        rows[f"{low_side} to {side} pixels"] = {
            "PSNR in dB": fmean(ours), "of bicubic": fmean(cubic), "gain": fmean(ours) - fmean(cubic),
            "sharpness, of the render's": fmean(sharp),
            **{f"same {fact}": share for fact, share in same_facts(small, large).items() if fact == "scene"},
        }  # fmt: skip
    return rows


def text_rows(bench: Bench) -> Rows:
    """z_t in the place of z_i, as it is and moved over the gap, for captions that say all (section 5.1)."""
    cascade, words = bench.cascade, np.random.default_rng(bench.seed)
    train = Scenes("train", 2048, seed=bench.seed + 200)
    gap = gap_between(*embeddings(cascade.clip, train, len(train)))
    said, seen = [], {"z_t as z_i": [], "z_t as z_i, moved over the gap": []}
    for number, part in enumerate(tqdm(list(bench.batches(len(bench.items) // 4)), desc="z_t as z_i")):
        statements = [full_statement(item.scene, words) for item in part]
        captions, said = [phrase(statement, words) for statement in statements], said + statements
        z_t = cascade.encode_text(captions).embed
        for name, move in zip(seen, (None, gap), strict=True):
            images = decode(cascade, as_image_embedding(cascade, z_t, move), captions, bench.seed + 50 * number)
            seen[name] += bench.read(images)
    return {f"full captions, {name}": fidelity(said, scenes) for name, scenes in seen.items()}


def variation_rows(bench: Bench, copies: int = 8) -> Rows:
    """Pictures from one z_i and other noise (section 3.1): the facts that stay, and how far the things move.

    The world's own spread is that of renders of the same facts from other seeds.
    """
    kept, moved, own, rng = [], [], [], np.random.default_rng(bench.seed)
    for item in tqdm(bench.items[: max(10, len(bench.items) // 20)], desc="variations"):
        z_i = bench.cascade.clip.encode_image(renders([item], 32).to(bench.cascade.device)).detach().float()
        latent = fresh(bench.cascade, z_i, bench.seed).repeat(copies)
        drawn = draw(bench.cascade, latent, eta=1.0, seed=bench.seed, steps=25)
        others = [replace(item.scene, seed=int(rng.integers(2**31))) for _ in range(copies)]
        kept += zip([item.scene] * copies, bench.read(drawn), strict=True)
        moved.append(spread(bench, drawn, len(item.scene.things)))
        own.append(spread(bench, torch.stack([to_tensor(render(scene)) for scene in others]), len(item.scene.things)))
    rows = {"facts kept": everything_kept(kept), "spread of positions, of the world's": fmean(moved) / fmean(own)}
    return {"variations of a picture": rows}


def everything_kept(pairs: list) -> Share:
    """Of the facts of the first scene of each pair, those that are true in the second."""
    found = same_facts(*map(list, zip(*pairs, strict=True)))
    facts = [share for name, share in found.items() if name not in ("scene", "count")]
    return Share(sum(share.true for share in facts), sum(share.total for share in facts))


def spread(bench: Bench, images: Tensor, things: int) -> float:
    """How far things stand from their mean place in several pictures of the same facts: root mean square, 0 to 1."""
    places = bench.judge.places(images.to(bench.judge.device))[:, :things]              # (B, things, 2)
    return places.var(dim=0).sum(dim=-1).mean().sqrt().item()


def time_rows(bench: Bench) -> Rows:
    """Seconds for one caption, the models loaded."""
    rows = {}
    for side in bench.cascade.sizes:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            bench.cascade.sample(["a big red circle above a small blue square"], size=side)
            times.append(time.perf_counter() - start)
        rows[f"to {side} px"] = sorted(times)[1]
    return {"seconds for one picture, models loaded": rows}


PARTS_OF_THE_CARD = (judge_rows, clip_rows, caption_rows, decoder_rows, text_rows, variation_rows, upsampler_rows,
                     time_rows)  # fmt: skip
