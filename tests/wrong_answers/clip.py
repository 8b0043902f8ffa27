"""Wrong answers to the exercises of notebook 02, such as a learner might give."""

import torch
import torch.nn.functional as F


def not_scaled(q, k, v):
    return (q @ k.transpose(1, 2)).softmax(dim=-1) @ v


def divided_by_the_width(q, k, v):
    return (q @ k.transpose(1, 2) / q.shape[-1]).softmax(dim=-1) @ v


def softmax_over_queries(q, k, v):
    return (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(dim=1) @ v


def the_keys_as_values(q, k, v):
    return F.scaled_dot_product_attention(q, k, k)


def without_softmax(q, k, v):
    return q @ k.transpose(1, 2) / q.shape[-1] ** 0.5 @ v


def zero_after_softmax(scores):
    return scores.softmax(dim=-1).tril()


def zero_before_softmax(scores):
    return scores.tril().softmax(dim=-1)


def looks_ahead(scores):
    return scores.masked_fill(torch.ones_like(scores).tril(-1).bool(), -torch.inf).softmax(dim=-1)


def not_itself(scores):
    return scores.masked_fill(torch.ones_like(scores).triu().bool(), -torch.inf).softmax(dim=-1)


def over_the_rows(scores):
    return scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf).softmax(dim=-2)


def cut_as_it_lies(images, patch):
    return images.reshape(len(images), -1, 3 * patch * patch)


def colours_last(images, patch):
    b, c, s, _ = images.shape
    cut = images.reshape(b, c, s // patch, patch, s // patch, patch)
    return cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def column_by_column(images, patch):
    b, c, s, _ = images.shape
    cut = images.reshape(b, c, s // patch, patch, s // patch, patch)
    return cut.permute(0, 4, 2, 1, 3, 5).flatten(3).flatten(1, 2)


def pictures_for_captions_only(z_i, z_t, scale):
    logits = scale * F.normalize(z_i, dim=-1) @ F.normalize(z_t, dim=-1).T
    return F.cross_entropy(logits, torch.arange(len(logits)))


def lengths_left_in(z_i, z_t, scale):
    logits = scale * z_i @ z_t.T
    pairs = torch.arange(len(logits))
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


def summed(z_i, z_t, scale):
    return 2 * right_loss(z_i, z_t, scale)


def scale_as_temperature(z_i, z_t, scale):
    return right_loss(z_i, z_t, 1 / scale)


def scale_forgotten(z_i, z_t, scale):
    return right_loss(z_i, z_t, 1.0)


def right_loss(z_i, z_t, scale):
    logits = scale * F.normalize(z_i, dim=-1) @ F.normalize(z_t, dim=-1).T
    pairs = torch.arange(len(logits))
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


def by_dot_product(z_i, z_t):
    return (z_i @ z_t.T).argmax(dim=1)


def a_picture_for_each_class(z_i, z_t):
    return (F.normalize(z_i, dim=-1) @ F.normalize(z_t, dim=-1).T).argmax(dim=0)


def the_cosine_itself(z_i, z_t):
    return (F.normalize(z_i, dim=-1) @ F.normalize(z_t, dim=-1).T).amax(dim=1)


WRONG = {
    "attention": [not_scaled, divided_by_the_width, softmax_over_queries, the_keys_as_values, without_softmax],
    "causal_weights": [zero_after_softmax, zero_before_softmax, looks_ahead, not_itself, over_the_rows],
    "patchify": [cut_as_it_lies, colours_last, column_by_column],
    "clip_loss": [pictures_for_captions_only, lengths_left_in, summed, scale_as_temperature, scale_forgotten],
    "zero_shot_choice": [by_dot_product, a_picture_for_each_class, the_cosine_itself],
}
