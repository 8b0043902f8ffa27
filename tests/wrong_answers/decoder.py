"""Wrong answers to the exercises of notebook 07, such as a learner might give."""

import torch
import torch.nn.functional as F


def normalised(x, dims, **options):
    return (x - x.mean(dim=dims, keepdim=True)) / (x.var(dim=dims, keepdim=True, **options) + 1e-5).sqrt()


def over_the_batch(x, groups):
    return normalised(x, (0, 2, 3), unbiased=False)


def each_channel_alone(x, groups):
    return normalised(x, (2, 3), unbiased=False)


def all_channels_together(x, groups):
    return normalised(x, (1, 2, 3), unbiased=False)


def one_number_less(x, groups):
    return normalised(x.reshape(len(x), groups, -1), (2,)).reshape(x.shape)


def variance_not_root(x, groups):
    parts = x.reshape(len(x), groups, -1)
    parts = (parts - parts.mean(dim=2, keepdim=True)) / (parts.var(dim=2, keepdim=True, unbiased=False) + 1e-5)
    return parts.reshape(x.shape)


def every_other_channel(x, groups):
    b, c, h, w = x.shape
    parts = x.reshape(b, c // groups, groups, h, w)
    return normalised(parts, (1, 3, 4), unbiased=False).reshape(x.shape)


def without_the_one(h, time):
    scale, shift = time[:, :, None, None].chunk(2, dim=1)
    return h * scale + shift


def shift_first(h, time):
    shift, scale = time[:, :, None, None].chunk(2, dim=1)
    return h * (1 + scale) + shift


def shifted_before_it_is_scaled(h, time):
    scale, shift = time[:, :, None, None].chunk(2, dim=1)
    return (h + shift) * (1 + scale)


def alternating(h, time):
    scale, shift = time[:, 0::2, None, None], time[:, 1::2, None, None]
    return h * (1 + scale) + shift


def the_first_picture_for_all(h, time):
    scale, shift = time[:1, :, None, None].chunk(2, dim=1)
    return h * (1 + scale) + shift


def not_broadcast(h, time):
    scale, shift = time.chunk(2, dim=1)
    return h * (1 + scale) + shift


def mask_ignored(q, k, v, context_k, context_v, mask):
    return F.scaled_dot_product_attention(q, torch.cat([context_k, k], 1), torch.cat([context_v, v], 1))


def two_softmaxes(q, k, v, context_k, context_v, mask):
    return (F.scaled_dot_product_attention(q, context_k, context_v, attn_mask=mask[:, None])
            + F.scaled_dot_product_attention(q, k, v))  # fmt: skip


def the_context_alone(q, k, v, context_k, context_v, mask):
    return F.scaled_dot_product_attention(q, context_k, context_v, attn_mask=mask[:, None])


def the_picture_alone(q, k, v, context_k, context_v, mask):
    return F.scaled_dot_product_attention(q, k, v)


def values_zeroed_not_masked(q, k, v, context_k, context_v, mask):
    return mask_ignored(q, k, v, context_k, context_v * mask[..., None], mask)


def the_mask_upside_down(q, k, v, context_k, context_v, mask):
    seen = F.pad(~mask, (0, k.shape[1]), value=True)[:, None]
    keys, values = torch.cat([context_k, k], dim=1), torch.cat([context_v, v], dim=1)
    return F.scaled_dot_product_attention(q, keys, values, attn_mask=seen)


def bias_forgotten(weight, bias, mean, std):
    return weight / std, bias


def rows_divided(weight, bias, mean, std):
    weight = weight / std[: len(weight), None] if len(weight) <= len(std) else weight / std
    return weight, bias - weight @ mean


def old_weight_in_the_bias(weight, bias, mean, std):
    return weight / std, bias - weight @ mean


def multiplied(weight, bias, mean, std):
    weight = weight * std
    return weight, bias - weight @ mean


def mean_added(weight, bias, mean, std):
    weight = weight / std
    return weight, bias + weight @ mean


def behind_the_caption(mask, extra):
    return F.pad(mask, (0, extra), value=True)


def all_shown(mask, extra):
    return torch.ones(len(mask), extra + mask.shape[1], dtype=torch.bool)


def hidden(mask, extra):
    return F.pad(mask, (extra, 0))


WRONG = {  # {exercise: {a wrong answer: words of the hint that it gets, "" for none}}
    "group_norm": {
        over_the_batch: "normalised over the batch; each picture is",
        each_channel_alone: "each channel is normalised alone; the",
        all_channels_together: "all channels of a picture are normalised",
        one_number_less: "the variance is divided by one number less",
        variance_not_root: "divided by the variance; it should be by",
        every_other_channel: "a group has every so-many-th channel; it",
    },
    "film": {
        without_the_one: "the 1 is missing: a scale of 0 should",
        shift_first: "the first half holds the scales; it is",
        shifted_before_it_is_scaled: "the shift is added before the scaling; it",
        alternating: "scales and shifts alternate here; the first",
        the_first_picture_for_all: "every picture gets the first one's scale",
        not_broadcast: "the scale is (B, C); to multiply h it must",
    },
    "joint_attention": {
        mask_ignored: "the mask is not used: where it is False the",
        two_softmaxes: "there are two softmaxes, and their answers",
        the_context_alone: "only the context is seen; the positions of",
        the_picture_alone: "only the picture is seen; the context is",
        values_zeroed_not_masked: "the values of hidden tokens are zero, but",
        the_mask_upside_down: "the mask is upside down: True means seen",
    },
    "fold_whitening": {
        bias_forgotten: "the bias stays as it was; the mean must go",
        rows_divided: "",
        old_weight_in_the_bias: "the bias takes the old weight times the",
        multiplied: "multiplied by std; divide by it",
        mean_added: "the mean is added; it is taken off",
    },
    "context_mask": {
        behind_the_caption: "the places of z_i stand behind the caption's",
        all_shown: "the padding of the caption counts as well",
        hidden: "the tokens of z_i are hidden",
    },
}
