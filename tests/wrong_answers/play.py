"""Wrong answers to the exercises of notebook 10, such as a learner might give."""

import torch
import torch.nn.functional as F


def forward_again(x_prev, eps, alpha_bar_prev, alpha_bar):
    return alpha_bar_prev.sqrt() * x_prev + (1 - alpha_bar_prev).sqrt() * eps


def mixed_up(x_prev, eps, alpha_bar_prev, alpha_bar):
    x_0 = (x_prev - (1 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt()
    return alpha_bar_prev.sqrt() * x_0 + (1 - alpha_bar_prev).sqrt() * eps


def from_a_clean_picture(x_prev, eps, alpha_bar_prev, alpha_bar):
    return alpha_bar.sqrt() * x_prev + (1 - alpha_bar).sqrt() * eps


def straight(a, b, theta):
    return (1 - theta) * a + theta * b


def on_the_unit_sphere(a, b, theta):
    u, v = F.normalize(a, dim=1), F.normalize(b, dim=1)
    angle = (u * v).sum(dim=1, keepdim=True).clamp(-1, 1).arccos()
    return (torch.sin((1 - theta) * angle) * u + torch.sin(theta * angle) * v) / torch.sin(angle)


def straight_then_stretched(a, b, theta):
    length = (1 - theta) * a.norm(dim=1, keepdim=True) + theta * b.norm(dim=1, keepdim=True)
    return F.normalize((1 - theta) * F.normalize(a, dim=1) + theta * F.normalize(b, dim=1), dim=1) * length


def raw_difference(z_t, z_t0):
    return F.normalize(z_t - z_t0, dim=1)


def not_a_direction(z_t, z_t0):
    return F.normalize(z_t, dim=1) - F.normalize(z_t0, dim=1)


def mean_forgotten(z_i, mean, basis, k):
    return z_i @ basis[:k].T @ basis[:k]


def last_components(z_i, mean, basis, k):
    kept = basis[len(basis) - k :]
    return mean + (z_i - mean) @ kept.T @ kept


def first_numbers(z_i, mean, basis, k):
    return torch.cat([z_i[:, :k], mean.expand_as(z_i)[:, k:]], dim=1)


def any_colour_gone(stated, drawn):
    return {(thing.kind, thing.colour) for thing in stated} != {(thing.kind, thing.colour) for thing in drawn}


def by_place(stated, drawn):
    return len(drawn) == 2 and [d.colour for d in drawn] == [s.colour for s in reversed(stated)]


def all_words_there(stated, drawn):
    return {t.kind for t in stated} == {t.kind for t in drawn} and {t.colour for t in stated} == {
        t.colour for t in drawn
    }


WRONG = {  # {exercise: {a wrong answer: words of the hint that it gets, "" for none}}
    "ddim_back": {
        forward_again: "this goes forward, to t_prev; the way back",
        mixed_up: "t and t_prev are exchanged: x_0 is",
        from_a_clean_picture: "x_prev is taken for x_0; it has noise in it",
    },
    "slerp_rows": {
        straight: "this is the straight line; go along the",
        on_the_unit_sphere: "the length is 1 everywhere; it should",
        straight_then_stretched: "the straight line, stretched to the right",
    },
    "text_direction": {
        raw_difference: "the raw embeddings are subtracted, so the",
        not_a_direction: "the difference itself is no direction yet",
    },
    "keep_components": {
        mean_forgotten: "the mean is not taken off before, nor put",
        last_components: "these are the last k components; keep the",
        first_numbers: "the first k numbers of z_i are no",
    },
    "colours_swapped": {
        any_colour_gone: "any wrong colour counts; it should be",
        by_place: "whoever stands first does not matter",
        all_words_there: "all words are there, but so they are in the",
    },
}
