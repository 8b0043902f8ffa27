"""Wrong answers to the exercises of notebook 06, such as a learner might give."""

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


WRONG = {  # {exercise: {a wrong answer: words of the hint that it gets, "" for none}}
    "components_needed": {
        one_too_few: "one too few: with the components before it",
        share_of_the_number: "this is that share of the number of",
        above_the_largest: "this counts large components; add up the",
        of_the_standard_deviations: "the roots of the variances are added up; it",
    },
    "to_buckets": {
        rounded: "rounded; a number belongs to the bucket in",
        last_bucket_missing: "there are only buckets - 1 of them",
        no_ends: "numbers below and above get buckets that do",
        one_range_for_all: "all components share one range; each has",
        not_whole: "a bucket is a whole number: .long()",
        cut_towards_zero: "",
    },
    "next_token_loss": {
        not_shifted: "not shifted: the first logits are about",
        shifted_twice: "shifted twice: all K logits have a token",
        places_as_classes: "the components are taken for the classes",
        summed: "the sum over the components; it should be",
        mean_of_all: "this is one number; there should be one for",
        in_bits: "every number is 1.443 times what it should",
    },
    "one_more": {
        itself_unseen: "the new token does not see itself: its own",
        nothing_kept: "the keys and values come back as they were",
        put_in_front: "the new key and value stand in front; they",
        not_scaled: "the scores are not divided by sqrt(d)",
    },
    "pick_bucket": {
        multiplied_by_the_temperature: "multiplied by the temperature; divide by it",
        temperature_of_the_probabilities: "the probabilities are divided by the",
        division_by_zero: "temperature 0 divides by zero; take the",
        always_the_likeliest: "this is always the likeliest bucket; u",
        not_cumulative: "u is compared with each probability; it",
    },
}
