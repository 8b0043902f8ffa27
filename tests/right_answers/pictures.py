"""Other ways to be right in the exercises on pictures of one's own."""

import zlib

import torch


def held_with_rsplit(keys):
    names = [key.rsplit("/", 1)[1] for key in keys]
    return list(map(lambda name: zlib.crc32(bytes(name, "utf-8")) % 10 < 1, names))


def held_in_a_loop(keys):
    held = []
    for key in keys:
        *_, name = key.split("/")
        held.append(not zlib.crc32(name.encode("utf8")) % 10)
    return held


def merged_by_taking(parts, pair):
    rest, merged = list(parts), []
    while rest:
        part = rest.pop(0)
        if rest and (part, rest[0]) == pair:
            part += rest.pop(0)
        merged.append(part)
    return merged


def merged_on_the_list(parts, pair):
    merged = []
    skip = False
    for i in range(len(parts)):
        if skip:
            skip = False
        elif i + 1 < len(parts) and parts[i] == pair[0] and parts[i + 1] == pair[1]:
            merged.append(pair[0] + pair[1])
            skip = True
        else:
            merged.append(parts[i])
    return merged


def found_by_distance(a, b):
    a, b = ((x - x.mean(0)) / (x - x.mean(0)).norm(dim=1, keepdim=True) for x in (a, b))
    return (torch.cdist(a, b).argmin(dim=1) == torch.arange(len(a))).double().mean()


def found_in_a_loop(a, b):
    a, b = a - a.mean(0, keepdim=True), b - b.mean(0, keepdim=True)
    hits = sum(int(torch.cosine_similarity(row[None], b).argmax()) == i for i, row in enumerate(a))
    return hits / len(a)


def paired_in_another_way(pictures, z_i, order):
    return 2 * (pictures[order] / 255) - 1, z_i[order]


def paired_by_index_select(pictures, z_i, order):
    return pictures.index_select(0, order).double().sub(127.5).div(127.5).float(), torch.stack([z_i[i] for i in order])


RIGHT = {
    "held_out": [held_with_rsplit, held_in_a_loop, lambda keys: [zlib.crc32(k.split("/")[-1].encode()) % 10 == 0
                                                                 for k in keys]],
    "merge_pair": [merged_by_taking, merged_on_the_list],
    "found_across": [found_by_distance, found_in_a_loop],
    "paired_batch": [paired_in_another_way, paired_by_index_select],
}
