"""Wrong answers to the exercises of notebook 05, such as a learner might give."""

import torch
import torch.nn.functional as F


def one_too_few(variances, share):
    held = variances.cumsum(0)
    return int((held < share * held[-1]).sum())


def share_of_the_number(variances, share):
    return max(1, round(share * len(variances)))


def above_the_largest(variances, share):
    return int((variances >= (1 - share) * variances[0]).sum())


def of_the_standard_deviations(variances, share):
    held = variances.sqrt().cumsum(0)
    return int((held < share * held[-1]).sum()) + 1


def rounded(x, low, high, buckets):
    return ((x - low) / (high - low) * buckets).round().long().clamp(0, buckets - 1)


def last_bucket_missing(x, low, high, buckets):
    return ((x - low) / (high - low) * (buckets - 1)).floor().long().clamp(0, buckets - 1)


def no_ends(x, low, high, buckets):
    return ((x - low) / (high - low) * buckets).floor().long()


def one_range_for_all(x, low, high, buckets):
    return ((x - low.min()) / (high.max() - low.min()) * buckets).floor().long().clamp(0, buckets - 1)


def not_whole(x, low, high, buckets):
    return ((x - low) / (high - low) * buckets).floor().clamp(0, buckets - 1)


def cut_towards_zero(x, low, high, buckets):
    return ((x / (high - low) + 0.5) * buckets).long().clamp(0, buckets - 1)


def not_shifted(logits, tokens):
    tokens = tokens.clamp(max=logits.shape[2] - 1)
    return F.cross_entropy(logits.transpose(1, 2), tokens[:, :-1], reduction="none").mean(dim=1)


def shifted_twice(logits, tokens):
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 2:], reduction="none").mean(dim=1)


def places_as_classes(logits, tokens):
    return F.cross_entropy(logits, tokens[:, 1:], reduction="none").mean(dim=1)


def summed(logits, tokens):
    return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none").sum(dim=1)


def mean_of_all(logits, tokens):
    return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:])


def in_bits(logits, tokens):
    return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none").mean(dim=1) / 0.6931


def itself_unseen(q, k, v, past_k, past_v):
    answer = F.scaled_dot_product_attention(q[:, None], past_k, past_v)[:, 0]
    return answer, torch.cat([past_k, k[:, None]], dim=1), torch.cat([past_v, v[:, None]], dim=1)


def nothing_kept(q, k, v, past_k, past_v):
    keys, values = torch.cat([past_k, k[:, None]], dim=1), torch.cat([past_v, v[:, None]], dim=1)
    return F.scaled_dot_product_attention(q[:, None], keys, values)[:, 0], past_k, past_v


def put_in_front(q, k, v, past_k, past_v):
    keys, values = torch.cat([k[:, None], past_k], dim=1), torch.cat([v[:, None], past_v], dim=1)
    return F.scaled_dot_product_attention(q[:, None], keys, values)[:, 0], keys, values


def not_scaled(q, k, v, past_k, past_v):
    keys, values = torch.cat([past_k, k[:, None]], dim=1), torch.cat([past_v, v[:, None]], dim=1)
    return F.scaled_dot_product_attention(q[:, None], keys, values, scale=1.0)[:, 0], keys, values


def multiplied_by_the_temperature(logits, u, temperature):
    return inverse((logits * temperature).softmax(dim=1), u)


def temperature_of_the_probabilities(logits, u, temperature):
    p = logits.softmax(dim=1) / max(temperature, 1e-9)
    return inverse(p / p.sum(dim=1, keepdim=True), u)


def division_by_zero(logits, u, temperature):
    return inverse((logits / torch.tensor(temperature)).softmax(dim=1), u)


def always_the_likeliest(logits, u, temperature):
    return logits.argmax(dim=1)


def not_cumulative(logits, u, temperature):
    p = (logits / max(temperature, 1e-9)).softmax(dim=1)
    return (p < u[:, None]).long().argmin(dim=1)


def inverse(p, u):
    return (p.cumsum(dim=1) < u[:, None]).sum(dim=1)


WRONG = {
    "components_needed": [one_too_few, share_of_the_number, above_the_largest, of_the_standard_deviations],
    "to_buckets": [rounded, last_bucket_missing, no_ends, one_range_for_all, not_whole, cut_towards_zero],
    "next_token_loss": [not_shifted, shifted_twice, places_as_classes, summed, mean_of_all, in_bits],
    "one_more": [itself_unseen, nothing_kept, put_in_front, not_scaled],
    "pick_bucket": [multiplied_by_the_temperature, temperature_of_the_probabilities, division_by_zero,
                    always_the_likeliest, not_cumulative],
}  # fmt: skip
