"""Wrong answers to the exercises of notebook 04, such as a learner might give."""

import torch
import torch.nn.functional as F


def positions_without_a_gap(tokens, z_t, time, x_t, query, positions):
    x = torch.cat([tokens, torch.stack([z_t, time, x_t, query.expand_as(z_t)], dim=1)], dim=1)
    return x + positions[: x.shape[1]]


def time_last(tokens, z_t, time, x_t, query, positions):
    rest = torch.stack([z_t, x_t, query.expand_as(z_t), time], dim=1)
    return torch.cat([tokens + positions[: tokens.shape[1]], rest + positions[-4:]], dim=1)


def query_forgotten(tokens, z_t, time, x_t, query, positions):
    rest = torch.stack([z_t, time, x_t], dim=1)
    return torch.cat([tokens + positions[: tokens.shape[1]], rest + positions[-4:-1]], dim=1)


def positions_forgotten(tokens, z_t, time, x_t, query, positions):
    return torch.cat([tokens, torch.stack([z_t, time, x_t, query.expand_as(z_t)], dim=1)], dim=1)


def there(text_mask):
    return torch.cat([text_mask, text_mask.new_ones(len(text_mask), 4)], dim=1)


def padding_seen(text_mask):
    n = text_mask.shape[1] + 4
    return torch.ones(len(text_mask), n, n).tril().bool()


def ahead_seen(text_mask):
    mask = there(text_mask)
    return mask[:, None].expand(-1, mask.shape[1], -1)


def padding_is_blind(text_mask):
    mask = there(text_mask)
    return torch.ones(mask.shape[1], mask.shape[1]).tril().bool() & mask[:, :, None]


def not_itself(text_mask):
    mask = there(text_mask)
    return torch.ones(mask.shape[1], mask.shape[1]).tril(-1).bool() & mask[:, None]


def caption_only(text_mask):
    mask = torch.cat([text_mask, text_mask.new_zeros(len(text_mask), 4)], dim=1)
    return torch.ones(mask.shape[1], mask.shape[1]).tril().bool() & mask[:, None]


def noised(x_0, t, eps, alphas_bar):
    alpha_bar = alphas_bar[t][:, None]
    return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps


def compared_with_the_noise(network, x_0, t, eps, alphas_bar):
    return (network(noised(x_0, t, eps, alphas_bar), t) - eps).square().mean(dim=1)


def nothing_noised(network, x_0, t, eps, alphas_bar):
    return (network(x_0, t) - x_0).square().mean(dim=1)


def mean_of_the_batch(network, x_0, t, eps, alphas_bar):
    return (network(noised(x_0, t, eps, alphas_bar), t) - x_0).square().mean()


def summed(network, x_0, t, eps, alphas_bar):
    return (network(noised(x_0, t, eps, alphas_bar), t) - x_0).square().sum(dim=1)


def absolute(network, x_0, t, eps, alphas_bar):
    return (network(noised(x_0, t, eps, alphas_bar), t) - x_0).abs().mean(dim=1)


def no_floor(z_i, noise):
    return z_i.mean(dim=0), z_i.std(dim=0)


def floor_of(z_i, noise):
    return noise**2 * z_i.square().sum(dim=1).mean()


def floor_on_the_spread(z_i, noise):
    return z_i.mean(dim=0), z_i.std(dim=0) + floor_of(z_i, noise).sqrt()


def root_forgotten(z_i, noise):
    return z_i.mean(dim=0), z_i.var(dim=0) + floor_of(z_i, noise)


def one_for_all(z_i, noise):
    return z_i.mean(), z_i.std()


def absolute_floor(z_i, noise):
    return z_i.mean(dim=0), (z_i.var(dim=0) + noise**2).sqrt()


def noise_not_squared(z_i, noise):
    return z_i.mean(dim=0), (z_i.var(dim=0) + noise * z_i.square().sum(dim=1).mean()).sqrt()


def length_without_the_mean(z_i, noise):
    return z_i.mean(dim=0), (z_i.var(dim=0) + noise**2 * z_i.var(dim=0).sum()).sqrt()


def largest_dot_product(z_i, z_t, n):
    z_i = z_i.unflatten(0, (-1, n))
    best = (z_i * z_t[:, None]).sum(dim=-1).argmax(dim=1)
    return z_i[torch.arange(len(z_i)), best]


def candidates_apart(z_i, z_t, n):
    z_i = z_i.unflatten(0, (n, -1)).transpose(0, 1)
    best = F.cosine_similarity(z_i, z_t[:, None], dim=-1).argmax(dim=1)
    return z_i[torch.arange(len(z_i)), best]


def the_first(z_i, z_t, n):
    return z_i[::n]


def the_mean(z_i, z_t, n):
    return z_i.unflatten(0, (-1, n)).mean(dim=1)


def the_worst(z_i, z_t, n):
    z_i = z_i.unflatten(0, (-1, n))
    return z_i[torch.arange(len(z_i)), F.cosine_similarity(z_i, z_t[:, None], dim=-1).argmin(dim=1)]


def best_of_all(z_i, z_t, n):
    return z_i[F.cosine_similarity(z_i[:, None], z_t[None], dim=-1).argmax(dim=0)]


def normalised(z_i, z_t, n):
    z_i = F.normalize(z_i, dim=1).unflatten(0, (-1, n))
    return z_i[torch.arange(len(z_i)), F.cosine_similarity(z_i, z_t[:, None], dim=-1).argmax(dim=1)]


WRONG = {
    "prior_sequence": [positions_without_a_gap, time_last, query_forgotten, positions_forgotten],
    "prior_mask": [padding_seen, ahead_seen, padding_is_blind, not_itself, caption_only],
    "prior_loss": [compared_with_the_noise, nothing_noised, mean_of_the_batch, summed, absolute],
    "centre_and_spread": [no_floor, floor_on_the_spread, root_forgotten, one_for_all, absolute_floor,
                          noise_not_squared, length_without_the_mean],
    "keep_best": [largest_dot_product, candidates_apart, the_first, the_mean, the_worst, best_of_all, normalised],
}
