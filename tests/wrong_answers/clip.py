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


def last_of_the_batch(tokens, ids):
    return tokens[:, -1]


def first_token(tokens, ids):
    return tokens[:, 0]


def one_too_far(tokens, ids):
    return tokens[torch.arange(len(ids)), (ids != 0).sum(dim=1)]


def rows_forgotten(tokens, ids):
    return tokens[:, ids.argmax(dim=-1)]


def places_alone(tokens, ids):
    return ids.argmax(dim=1)


def second_to_last(tokens, ids):
    return tokens[:, -2]


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


WRONG = {  # {exercise: {a wrong answer: words of the hint that it gets, "" for none}}
    "attention": {
        not_scaled: "the scores are not divided by sqrt(d); d is",
        divided_by_the_width: "the scores are divided by d; it should be",
        softmax_over_queries: "the softmax goes over the queries; each",
        the_keys_as_values: "what is mixed is the keys; it should be the",
        without_softmax: "there is no softmax: the scores themselves",
    },
    "end_tokens": {
        last_of_the_batch: "this is the last token of the batch: of a short",
        first_token: "this is the start token; under the causal mask",
        one_too_far: "one too far, and out of the longest caption",
        rows_forgotten: "each caption gets the end tokens of all captions",
        places_alone: "these are the places of the end tokens; return",
        second_to_last: "",
    },
    "patchify": {
        cut_as_it_lies: "the picture is cut as it lies in memory; a",
        colours_last: "the colours come last in each patch; they",
        column_by_column: "the patches go column by column; in reading",
    },
    "clip_loss": {
        pictures_for_captions_only: "only pictures look for their captions",
        lengths_left_in: "the embeddings are not normalised: a cosine",
        summed: "the sum of both losses; it should be their",
        scale_as_temperature: "the cosines are divided by the scale",
        scale_forgotten: "the scale is forgotten",
    },
}
