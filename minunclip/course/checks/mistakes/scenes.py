"""Mistakes in the exercises on the toy world."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

COVERAGE = {
    "a pixel is either inside or outside here; at the edge it is covered in part": lambda distance, pixel:
        (distance < 0).astype(float),
    "inside and outside are exchanged: distances are negative inside": lambda distance, pixel:
        np.clip(0.5 + distance / pixel, 0, 1),
    "the size of a pixel is not used: divide the distance by it": lambda distance, pixel: np.clip(0.5 - distance, 0, 1),
    "not cut off: a share lies between 0 and 1": lambda distance, pixel: 0.5 - distance / pixel,
    "multiplied by the size of a pixel; divide by it": lambda distance, pixel: np.clip(0.5 - distance * pixel, 0, 1),
    "the half is missing: with its centre on the edge a pixel is half covered": lambda distance, pixel:
        np.clip(-distance / pixel, 0, 1),
    "a whole pixel stands where half a pixel should: with its centre on the edge it is half covered":
        lambda distance, pixel: np.clip(1 - distance / pixel, 0, 1),
    "the edge is two pixels wide; a pixel reaches half a pixel to each side of its centre": lambda distance, pixel:
        np.clip(0.5 - distance / (2 * pixel), 0, 1),
    "the edge is half a pixel wide; a pixel reaches half a pixel to each side of its centre": lambda distance, pixel:
        np.clip(0.5 - 2 * distance / pixel, 0, 1),
    "the sign of the distance is dropped": lambda distance, pixel: np.clip(0.5 - np.abs(distance) / pixel, 0, 1),
    "an S-shaped curve; along a straight edge the share falls in a straight line": lambda distance, pixel:
        1 / (1 + np.exp(distance / pixel)),
}  # fmt: skip


def pairs(stated, drawn, *facts: str) -> list[tuple]:
    return [(getattr(stated, fact), getattr(drawn, fact)) for fact in facts or ("kind", "colour", "size")]


FITS = {
    "what is not said (None) may be anything": lambda stated, drawn: stated == drawn,
    "one true fact is not enough; every fact that is said must be true": lambda stated, drawn:
        any(said in (None, seen) for said, seen in pairs(stated, drawn)),
    "the size is not looked at": lambda stated, drawn:
        all(said in (None, seen) for said, seen in pairs(stated, drawn, "kind", "colour")),
    "the colour is not looked at": lambda stated, drawn:
        all(said in (None, seen) for said, seen in pairs(stated, drawn, "kind", "size")),
    "the kind is not looked at": lambda stated, drawn:
        all(said in (None, seen) for said, seen in pairs(stated, drawn, "colour", "size")),
    "this is True where something is false: it is turned round": lambda stated, drawn:
        not all(said in (None, seen) for said, seen in pairs(stated, drawn)),
    "this is always True": lambda stated, drawn: True,
    "a single false fact is let through here": lambda stated, drawn:
        sum(said not in (None, seen) for said, seen in pairs(stated, drawn)) <= 1,
    "two of three are not enough; every fact that is said must be true": lambda stated, drawn:
        sum(said in (None, seen) for said, seen in pairs(stated, drawn)) == 2,
    "only what is not said is let through": lambda stated, drawn: all(said is None for said, _ in pairs(stated, drawn)),
}  # fmt: skip


def fit_in_order(stated, drawn) -> bool:
    return all(said.fits(seen) for said, seen in zip(stated, drawn, strict=False))


def greedy(stated, drawn) -> bool:
    left = list(drawn)
    for said in stated:
        taken = next((i for i, seen in enumerate(left) if said.fits(seen)), None)
        if taken is None:
            return False
        left.pop(taken)
    return not left


OWN = {
    "one drawn thing serves two stated ones here: each needs one of its own": lambda stated, drawn:
        all(any(said.fits(seen) for seen in drawn) for said in stated),
    "the numbers agree, but one drawn thing may still serve two stated ones": lambda stated, drawn:
        len(stated) == len(drawn) and all(any(said.fits(seen) for seen in drawn) for said in stated),
    "each side finds something on the other one, and yet two stated things may share a drawn one": lambda stated, drawn:
        len(stated) == len(drawn) and all(any(said.fits(seen) for seen in drawn) for said in stated)
        and all(any(said.fits(seen) for said in stated) for seen in drawn),
    "things are compared in the order in which they are named; a caption may name them in any order":
        lambda stated, drawn: len(stated) == len(drawn) and fit_in_order(stated, drawn),
    "only the order of the caption and its reverse are tried; three things have six orders": lambda stated, drawn:
        len(stated) == len(drawn) and (fit_in_order(stated, drawn) or fit_in_order(stated, drawn[::-1])),
    "the first stated thing takes what a later one needs: try every way to match them": greedy,
    "a drawn thing may be left over here: there must be as many drawn things as stated ones": lambda stated, drawn:
        any(fit_in_order(stated, order) for order in permutations(drawn, len(stated))),
    "too few drawn things are let through: there must be as many as stated ones": lambda stated, drawn:
        len(stated) >= len(drawn) and any(fit_in_order(stated, order) for order in permutations(drawn)),
    "one pair that fits is not enough; every stated thing must have one": lambda stated, drawn:
        any(said.fits(seen) for said in stated for seen in drawn),
    "stated and drawn are exchanged: it is the stated thing that may leave something open": lambda stated, drawn:
        len(stated) == len(drawn) and any(fit_in_order(order, stated) for order in permutations(drawn)),
    "a set keeps only one of two things that are alike": lambda stated, drawn:
        len(stated) == len(set(drawn)) and any(fit_in_order(stated, order) for order in permutations(set(drawn))),
    "this is True where something is false: it is turned round": lambda stated, drawn: not (len(stated) == len(drawn)
        and any(fit_in_order(stated, order) for order in permutations(drawn))),
    "only the numbers of things are compared": lambda stated, drawn: len(stated) == len(drawn),
    "this is always False: is one way to match them enough for it?": lambda stated, drawn: False,
}  # fmt: skip


def entropy(counts: list[int]) -> float:
    return -sum(n / sum(counts) * math.log(n / sum(counts)) for n in counts if n)


EFFECTIVE = {
    "this is the entropy; the number is its exponential": entropy,
    "the entropy is in nats, and 2 to that power wants bits: take exp": lambda counts: 2 ** entropy(counts),
    "this is how many kinds there are, however rare": lambda counts: sum(n > 0 for n in counts),
    "a kind that never came counts; the logarithm of 0 is no number": lambda counts:
        math.exp(-sum(n / sum(counts) * math.log(n / sum(counts)) for n in counts)),
    "this is one over the chance that two are alike, another measure; exp of the entropy is asked for":
        lambda counts: 1 / sum((n / sum(counts)) ** 2 for n in counts),
    "the minus is missing": lambda counts: math.exp(-entropy(counts)),
    "counts are taken for shares: divide by their sum": lambda counts:
        math.exp(-sum(n * math.log(n) for n in counts if n)),
    "this is the length of the list, kinds that never came included": lambda counts: len(counts),
    "the entropy is in bits, and exp wants nats: the natural logarithm": lambda counts:
        math.exp(entropy(counts) / math.log(2)),
    "the logarithms are not weighted by their shares": lambda counts:
        math.exp(-sum(math.log(n / sum(counts)) for n in counts if n)),
    "this is the mean of the entropy over the kinds; it is a sum": lambda counts:
        math.exp(entropy(counts) / len(counts)),
}  # fmt: skip


def losses(logits: Tensor, answers: Tensor) -> Tensor:
    return F.cross_entropy(logits, answers, reduction="none")


QUESTION = {
    "pictures without this thing count in the mean; leave them out of it": lambda logits, answers:
        losses(logits, answers).sum() / len(answers),
    "where no picture has an answer this is 0 / 0; the loss is 0 there": lambda logits, answers:
        F.cross_entropy(logits, answers),
    "one loss for each picture; it should be their mean": losses,
    "-100 marks a picture without an answer, and is no class": lambda logits, answers:
        -logits.log_softmax(dim=1)[torch.arange(len(answers)), answers].mean(),
    "the softmax goes over the pictures; it goes over the possible answers, dim=1": lambda logits, answers:
        -(kept := logits[answers >= 0].log_softmax(dim=0))[torch.arange(len(kept)), answers[answers >= 0]].sum()
        / max(1, len(kept)),
    "the sum over the pictures; it should be the mean": lambda logits, answers: losses(logits, answers).sum(),
    "the minus is missing": lambda logits, answers:
        -losses(logits, answers).sum() / max(1, int((answers >= 0).sum())),
    "this is the logit of the answer; the softmax is missing": lambda logits, answers:
        -logits[answers >= 0].gather(1, answers[answers >= 0, None]).sum() / max(1, int((answers >= 0).sum())),
    "this is the probability of the answer; the loss is minus its logarithm": lambda logits, answers:
        (-losses(logits, answers)).exp()[answers >= 0].sum() / max(1, int((answers >= 0).sum())),
    "pictures without this thing are taken for answer 0": lambda logits, answers:
        F.cross_entropy(logits, answers.clamp(min=0)),
}  # fmt: skip

MISTAKES = {
    "coverage": COVERAGE, "fits": FITS, "each_its_own": OWN, "effective_number": EFFECTIVE, "question_loss": QUESTION,
}  # fmt: skip
