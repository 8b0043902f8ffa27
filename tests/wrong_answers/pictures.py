"""Wrong answers to the exercises on pictures of one's own, such as a learner might give."""

import zlib

import torch


def by_the_whole_key(keys):
    return [zlib.crc32(key.encode()) % 10 == 0 for key in keys]


def those_in_training(keys):
    return [zlib.crc32(key.rsplit("/", 1)[1].encode()) % 10 > 0 for key in keys]


def by_the_first_letter(keys):
    return [key.rsplit("/", 1)[1][0] in "az" for key in keys]


def the_first_only(parts, pair):
    for i in range(len(parts) - 1):
        if (parts[i], parts[i + 1]) == pair:
            return parts[:i] + ["".join(pair)] + parts[i + 2 :]
    return parts


def overlapping(parts, pair):
    merged = []
    for i, part in enumerate(parts):
        merged.append("".join(pair) if tuple(parts[i : i + 2]) == pair else part)
    return merged


def without_the_means(a, b):
    a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
    return ((a @ b.T).argmax(dim=1) == torch.arange(len(a))).float().mean().item()


def the_wrong_way_round(a, b):
    a, b = a - a.mean(0), b - b.mean(0)
    similar = (a / a.norm(dim=1, keepdim=True)) @ (b / b.norm(dim=1, keepdim=True)).T
    return (similar.argmax(dim=0) == torch.arange(len(a))).float().mean().item()


def zero_to_one(pictures, z_i, order):
    return pictures[order].float() / 255, z_i[order]


def another_order(pictures, z_i, order):
    return pictures[order] / 127.5 - 1, z_i[torch.sort(order)[0]]


def bytes_that_wrap(pictures, z_i, order):
    return (2 * pictures[order]).float() / 255 - 1, z_i[order]


WRONG = {
    "held_out": {by_the_whole_key: "another style may be in training", those_in_training: "those that training sees",
                 by_the_first_letter: ""},
    "merge_pair": {the_first_only: "at its first place only", overlapping: "two places further"},
    "found_across": {without_the_means: "means are still there", the_wrong_way_round: "the other way round"},
    "paired_batch": {zero_to_one: "0 to 1 here", another_order: "in another order", bytes_that_wrap: ""},
}
