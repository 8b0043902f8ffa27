"""Wrong answers to the exercises of notebook 12, such as a learner might give."""

import torch
from einops import rearrange


def one_after_another(packed, heads):
    return torch.stack(packed.chunk(3))


def every_third_row(packed, heads):
    return torch.stack([packed[part::3] for part in range(3)])


def rows_before_heads(packed, heads):
    return rearrange(packed, "(head part row) w -> part (row head) w", head=heads, part=3)


def every_third_row_by_head(packed, heads):
    return rearrange(packed, "(row head part) w -> part (head row) w", head=heads, part=3)


def keys_and_values_exchanged(packed, heads):
    return rearrange(packed, "(head part row) w -> part (head row) w", head=heads, part=3)[[0, 2, 1]]


def the_mean_of_the_ratios(found, expected):
    return float(((found - expected).abs() / expected.abs().clamp(min=1e-9)).mean())


def absolute(found, expected):
    return float((found - expected).pow(2).mean().sqrt())


def squares_without_the_root(found, expected):
    return float((found - expected).pow(2).mean() / expected.pow(2).mean())


def signs_cancel(found, expected):
    return float((found - expected).mean() / expected.mean())


def relative_to_what_was_found(found, expected):
    return float((found - expected).pow(2).mean().sqrt() / found.pow(2).mean().sqrt())


def no_z_t(tokens, steps, cached):
    return tokens + 3 * steps if cached else steps * (tokens + 3)


def no_query(tokens, steps, cached):
    return tokens + 1 + 2 * steps if cached else steps * (tokens + 3)


def never_cached(tokens, steps, cached):
    return steps * (tokens + 4)


def the_caption_at_no_cost(tokens, steps, cached):
    return 3 * steps if cached else steps * (tokens + 4)


def room_for_the_weights_only(sizes, working, gpu, ram):
    if sum(sizes) <= gpu:
        return "resident"
    return "none" if max(sizes) > gpu else "offload" if sum(sizes) <= ram else "disk"


def no_look_at_the_ram(sizes, working, gpu, ram):
    if sum(sizes) + working <= gpu:
        return "resident"
    return "offload" if max(sizes) + working <= gpu else "none"


def working_memory_in_ram(sizes, working, gpu, ram):
    if sum(sizes) + working <= gpu:
        return "resident"
    if max(sizes) + working > gpu:
        return "none"
    return "offload" if sum(sizes) + working <= ram else "disk"


def disk_needs_nothing(sizes, working, gpu, ram):
    if sum(sizes) + working <= gpu:
        return "resident"
    return "offload" if sum(sizes) <= ram and max(sizes) + working <= gpu else "disk"


WRONG = {  # {exercise: {a wrong answer: words of the hint that it gets, "" for none}}
    "unpack_qkv": {
        one_after_another: "all of q is looked for first; q, k and v of",
        every_third_row: "every third row is taken; the rows of one",
        rows_before_heads: "the heads come last in each matrix; all",
        every_third_row_by_head: "the numbers are right, but they stand in",
        keys_and_values_exchanged: "keys and values are exchanged",
    },
    "relative_rms": {
        the_mean_of_the_ratios: "the mean of the ratios is huge where a",
        absolute: "this is the error itself; divide it by the",
        squares_without_the_root: "the root is missing",
        signs_cancel: "errors of both signs cancel: square them",
        relative_to_what_was_found: "relative to what was found; it should be to",
    },
    "prior_positions": {
        no_z_t: "z_t is missing: it is computed once, like",
        no_query: "one of the three that change is missing: t",
        never_cached: "nothing is cached: the caption and z_t run",
        the_caption_at_no_cost: "the caption costs nothing here; it must run",
    },
    "fastest_mode": {
        room_for_the_weights_only: "computing takes room on the GPU besides the",
        no_look_at_the_ram: "offload keeps all networks in RAM: is there",
        working_memory_in_ram: "what computing takes is counted in RAM as",
        disk_needs_nothing: "disk needs the largest network on the GPU",
    },
}
