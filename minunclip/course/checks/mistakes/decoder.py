"""Mistakes in the exercises on the decoder."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def norm(x: Tensor, dims: tuple[int, ...], unbiased: bool = False, eps: float = 1e-5) -> Tensor:
    variance = x.var(dim=dims, keepdim=True, unbiased=unbiased)
    return (x - x.mean(dim=dims, keepdim=True)) / (variance + eps).sqrt()


def in_groups(x: Tensor, groups: int) -> Tensor:
    return x.reshape(len(x), groups, -1)                                    # (B, groups, numbers)


def centred(x: Tensor, groups: int) -> Tensor:
    rows = in_groups(x, groups)
    return rows - rows.mean(dim=2, keepdim=True)


def spread(x: Tensor, groups: int) -> Tensor:
    return in_groups(x, groups).var(dim=2, keepdim=True, unbiased=False)


GROUP_NORM = {
    "normalised over the batch; each picture is normalised alone": lambda x, groups: norm(x, (0, 2, 3)),
    "each channel is normalised alone; the channels of a group go together": lambda x, groups: norm(x, (2, 3)),
    "all channels of a picture are normalised together; each group is normalised alone": lambda x, groups:
        norm(x, (1, 2, 3)),
    "the variance is divided by one number less; it should be by all of them: unbiased=False": lambda x, groups:
        norm(in_groups(x, groups), (2,), unbiased=True).reshape(x.shape),
    "divided by the variance; it should be by its root": lambda x, groups:
        (centred(x, groups) / (spread(x, groups) + 1e-5)).reshape(x.shape),
    "a group has every so-many-th channel; it should have neighbouring ones": lambda x, groups:
        norm(x.reshape(len(x), -1, groups, *x.shape[2:]), (1, 3, 4)).reshape(x.shape),
    "eps is added to the standard deviation; it belongs under the root, to the variance": lambda x, groups:
        (centred(x, groups) / (spread(x, groups).sqrt() + 1e-5)).reshape(x.shape),
    "eps is forgotten: where a group is nearly constant it matters": lambda x, groups:
        (centred(x, groups) / spread(x, groups).sqrt()).reshape(x.shape),
    "the mean is not taken off": lambda x, groups:
        (in_groups(x, groups) / (spread(x, groups) + 1e-5).sqrt()).reshape(x.shape),
    "only the mean is taken off; divide by the standard deviation, too": lambda x, groups:
        centred(x, groups).reshape(x.shape),
    "groups is taken for the number of channels in a group": lambda x, groups:
        F.group_norm(x, x.shape[1] // groups),
    "the shape is that of the groups; turn it back: .reshape(x.shape)": lambda x, groups:
        norm(in_groups(x, groups), (2,)),
}  # fmt: skip


def halves(time: Tensor) -> tuple[Tensor, Tensor]:
    return time[:, :, None, None].chunk(2, dim=1)                           # (B, C, 1, 1) each


FILM = {
    "the 1 is missing: a scale of 0 should change nothing": lambda h, time: h * halves(time)[0] + halves(time)[1],
    "the first half holds the scales; it is taken for the shifts": lambda h, time:
        h * (1 + halves(time)[1]) + halves(time)[0],
    "the shift is added before the scaling; it comes after": lambda h, time:
        (h + halves(time)[1]) * (1 + halves(time)[0]),
    "scales and shifts alternate here; the first C numbers are scales, the last C shifts": lambda h, time:
        h * (1 + time[:, 0::2, None, None]) + time[:, 1::2, None, None],
    "every picture gets the first one's scale and shift; each has its own": lambda h, time:
        h * (1 + halves(time[:1])[0]) + halves(time[:1])[1],
    "the scale is (B, C); to multiply h it must be (B, C, 1, 1)": lambda h, time:
        h * (1 + time.chunk(2, dim=1)[0]) + time.chunk(2, dim=1)[1],
    "the shift is forgotten": lambda h, time: h * (1 + halves(time)[0]),
    "the scale is forgotten": lambda h, time: h + halves(time)[1],
    "the 1 is added to the shift as well": lambda h, time: (h + 1) * (1 + halves(time)[0]) + halves(time)[1] - h * 0,
    "the scale is applied as its exponential; here it is 1 + scale": lambda h, time:
        h * halves(time)[0].exp() + halves(time)[1],
    "time is cut along the batch; cut it along the channels, dim=1": lambda h, time:
        h * (1 + time[:, :, None, None].chunk(2, dim=0)[0]) + time[:, :, None, None].chunk(2, dim=0)[1],
}  # fmt: skip


def attend(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None = None, **options) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=None if seen is None else seen[:, None], **options)


def seen_by_all(mask: Tensor, k: Tensor) -> Tensor:
    return F.pad(mask, (0, k.shape[1]), value=True)                         # (B, M + N)


def both(first: Tensor, second: Tensor) -> Tensor:
    return torch.cat([first, second], dim=1)


JOINT_ATTENTION = {
    "the mask is not used: where it is False the context must not be seen": lambda q, k, v, context_k, context_v, mask:
        attend(q, both(context_k, k), both(context_v, v)),
    "there are two softmaxes, and their answers are added; join the keys, and take one": lambda q, k, v, context_k,
        context_v, mask: attend(q, context_k, context_v, mask) + attend(q, k, v),
    "there are two softmaxes, and the mean of their answers; join the keys, and take one": lambda q, k, v, context_k,
        context_v, mask: (attend(q, context_k, context_v, mask) + attend(q, k, v)) / 2,
    "only the context is seen; the positions of the picture see each other as well": lambda q, k, v, context_k,
        context_v, mask: attend(q, context_k, context_v, mask),
    "only the picture is seen; the context is missing": lambda q, k, v, context_k, context_v, mask: attend(q, k, v),
    "the values of hidden tokens are zero, but their keys still take weight; hide the scores": lambda q, k, v,
        context_k, context_v, mask: attend(q, both(context_k, k), both(context_v * mask[..., None], v)),
    "hidden keys are zero, and a score of 0 still gets weight; set the scores to -inf": lambda q, k, v, context_k,
        context_v, mask: attend(q, both(context_k * mask[..., None], k), both(context_v, v)),
    "the mask is upside down: True means seen": lambda q, k, v, context_k, context_v, mask:
        attend(q, both(context_k, k), both(context_v, v), seen_by_all(~mask, k)),
    "keys and values stand in different orders: context first in both, or last in both": lambda q, k, v, context_k,
        context_v, mask: attend(q, both(context_k, k), both(v, context_v), seen_by_all(mask, k)),
    "the mask hides the first keys, but the context stands last: keep one order": lambda q, k, v, context_k, context_v,
        mask: attend(q, both(k, context_k), both(v, context_v), seen_by_all(mask, k)),
    "the scores are not divided by sqrt(d)": lambda q, k, v, context_k, context_v, mask:
        attend(q, both(context_k, k), both(context_v, v), seen_by_all(mask, k), scale=1.0),
}  # fmt: skip

FOLD_WHITENING = {
    "the bias stays as it was; the mean must go into it": lambda weight, bias, mean, std: (weight / std, bias),
    "the rows are divided by std; a column of the weight belongs to one axis of x": lambda weight, bias, mean, std: (
        new := weight / std[: len(weight), None], bias - new @ mean),
    "the bias takes the old weight times the mean; it should be the new one": lambda weight, bias, mean, std:
        (weight / std, bias - weight @ mean),
    "multiplied by std; divide by it": lambda weight, bias, mean, std: (weight * std, bias - (weight * std) @ mean),
    "the mean is added; it is taken off": lambda weight, bias, mean, std: (weight / std, bias + (weight / std) @ mean),
    "the weight stays as it was; divide its columns by std": lambda weight, bias, mean, std:
        (weight, bias - weight @ mean),
    "the bias is divided by std: it has an entry for each output, not for each axis of x": lambda weight, bias, mean,
        std: (weight / std, (bias - (weight / std) @ mean) / std[: len(bias)]),
    "the mean is divided by std twice": lambda weight, bias, mean, std:
        (weight / std, bias - (weight / std) @ (mean / std)),
    "divided by the variance, std^2; it should be by std": lambda weight, bias, mean, std:
        (weight / std**2, bias - (weight / std**2) @ mean),
    "these are bias and weight; the weight comes first": lambda weight, bias, mean, std:
        (bias - (weight / std) @ mean, weight / std),
}  # fmt: skip




def shown(mask: Tensor, extra: int) -> Tensor:
    return mask.new_ones(len(mask), extra)


CONTEXT_MASK = {
    "the places of z_i stand behind the caption's; its tokens stand in front": lambda mask, extra:
        torch.cat([mask, shown(mask, extra)], dim=1),
    "the tokens of z_i are hidden: they always count": lambda mask, extra:
        torch.cat([~shown(mask, extra), mask], dim=1),
    "the padding of the caption counts as well": lambda mask, extra:
        torch.cat([shown(mask, extra), torch.ones_like(mask)], dim=1),
    "the caption's mask is turned upside down: True means that a token counts": lambda mask, extra:
        torch.cat([shown(mask, extra), ~mask], dim=1),
    "the whole mask is upside down: True means that a token counts": lambda mask, extra:
        torch.cat([~shown(mask, extra), ~mask], dim=1),
    "the first places of the caption are used for z_i; it has places of its own": lambda mask, extra:
        torch.cat([shown(mask, extra), mask[:, extra:]], dim=1),
    "nothing is added: z_i has places as well": lambda mask, extra: mask,
    "these are rows for more pictures; z_i has more places in each row, dim=1": lambda mask, extra:
        torch.cat([mask.new_ones(extra, mask.shape[1]), mask], dim=0),
    "there are places in front and behind": lambda mask, extra: F.pad(mask, (extra, extra), value=True),
    "only the places of z_i are there; the caption's follow": shown,
    "these are numbers; a mask holds True and False": lambda mask, extra: F.pad(mask, (extra, 0), value=True).float(),
    "one place for z_i, whatever `extra` says": lambda mask, extra: F.pad(mask, (1, 0), value=True),
}  # fmt: skip

MISTAKES = {
    "group_norm": GROUP_NORM, "film": FILM, "joint_attention": JOINT_ATTENTION, "context_mask": CONTEXT_MASK,
    "fold_whitening": FOLD_WHITENING,
}  # fmt: skip
