"""Wrong answers to the exercises of notebook 01, such as a learner might give."""

import itertools
import math
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F


def hard_edge(distance, pixel):
    return (distance < 0).astype(float)


def inside_out(distance, pixel):
    return np.clip(0.5 + distance / pixel, 0, 1)


def pixel_forgotten(distance, pixel):
    return np.clip(0.5 - distance, 0, 1)


def not_cut_off(distance, pixel):
    return 0.5 - distance / pixel


def all_equal(stated, drawn):
    return stated == drawn


def any_will_do(stated, drawn):
    pairs = zip((stated.kind, stated.colour, stated.size), (drawn.kind, drawn.colour, drawn.size), strict=True)
    return any(said in (None, seen) for said, seen in pairs)


def size_forgotten(stated, drawn):
    return stated.kind in (None, drawn.kind) and stated.colour in (None, drawn.colour)


def somewhere(stated, drawn):
    return {said for said in stated for seen in drawn if said.fits(seen)} == set(stated)


def sorted_by_kind(stated, drawn):
    def kind(thing):
        return thing.kind or ""

    pairs = zip(sorted(stated, key=kind), sorted(drawn, key=kind), strict=False)
    return len(stated) == len(drawn) and all(said.fits(seen) for said, seen in pairs)


def as_named(stated, drawn):
    return len(stated) == len(drawn) and all(map(type(drawn[0]).fits, stated, drawn))


def first_come(stated, drawn):
    drawn = list(drawn)
    for said in stated:
        found = [seen for seen in drawn if said.fits(seen)]
        if not found:
            return False
        drawn.remove(found[0])
    return drawn == []


def left_over(stated, drawn):
    return any(all(said.fits(seen) for said, seen in zip(stated, order, strict=True))
               for order in itertools.permutations(drawn, len(stated)))


def the_entropy(counts):
    return -sum(n / sum(counts) * math.log(n / sum(counts)) for n in counts if n)


def bits_and_nats(counts):
    return 2 ** the_entropy(counts)


def how_many_kinds(counts):
    return len(Counter(i for i, n in enumerate(counts) for _ in range(n)))


def log_of_zero(counts):
    return math.exp(-sum(n / sum(counts) * math.log(n / sum(counts)) for n in counts))


def one_over_the_chance_to_meet(counts):
    return 1 / sum((n / sum(counts)) ** 2 for n in counts)


def absent_in_the_mean(logits, answers):
    return F.cross_entropy(logits, answers, reduction="sum") / len(answers)


def nothing_over_nothing(logits, answers):
    return F.cross_entropy(logits, answers)


def one_loss_each(logits, answers):
    return F.cross_entropy(logits, answers, reduction="none")


def absent_as_an_index(logits, answers):
    return -logits.log_softmax(dim=1)[torch.arange(len(answers)), answers].mean()


def probabilities_over_pictures(logits, answers):
    there = answers != -100
    rows = logits[there].log_softmax(dim=0)[torch.arange(int(there.sum())), answers[there]]
    return -rows.sum() / max(1, len(rows))


WRONG = {  # {exercise: {a wrong answer: words of the hint that it gets, "" for none}}
    "coverage": {
        hard_edge: "a pixel is either inside or outside here",
        inside_out: "inside and outside are exchanged: distances",
        pixel_forgotten: "the size of a pixel is not used: divide the",
        not_cut_off: "not cut off: a share lies between 0 and 1",
    },
    "fits": {
        all_equal: "what is not said (None) may be anything",
        any_will_do: "one true fact is not enough; every fact",
        size_forgotten: "the size is not looked at",
    },
    "each_its_own": {
        somewhere: "one drawn thing serves two stated ones here",
        sorted_by_kind: "a caption may name the things in any order",
        as_named: "things are compared in the order in which they",
        first_come: "the first stated thing takes what a later one",
        left_over: "a drawn thing may be left over here",
    },
    "effective_number": {
        the_entropy: "this is the entropy; the number is its",
        bits_and_nats: "the entropy is in nats, and 2 to that power",
        how_many_kinds: "this is how many kinds there are, however",
        log_of_zero: "a kind that never came counts; the",
        one_over_the_chance_to_meet: "this is one over the chance that two are",
    },
    "question_loss": {
        absent_in_the_mean: "pictures without this thing count in the",
        nothing_over_nothing: "where no picture has an answer this is 0 /",
        one_loss_each: "one loss for each picture; it should be",
        absent_as_an_index: "-100 marks a picture without an answer, and",
        probabilities_over_pictures: "the softmax goes over the pictures; it goes",
    },
}
