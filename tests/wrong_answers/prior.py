"""Wrong answers to the exercises of notebook 05, such as a learner might give."""

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


WRONG = {  # {exercise: {a wrong answer: words of the hint that it gets, "" for none}}
    "prior_sequence": {
        positions_without_a_gap: "the positions go on without a gap; the four",
        time_last: "t stands last; the order is z_t, t, the",
        query_forgotten: "the query is missing",
        positions_forgotten: "the positions are not added",
    },
    "prior_mask": {
        padding_seen: "padding is seen; column j must be False",
        ahead_seen: "it looks ahead: row i may see the columns 0",
        padding_is_blind: "padding may not look, but it is still",
        not_itself: "a token does not see itself",
        caption_only: "the four new tokens are hidden; they are",
    },
    "prior_loss": {
        compared_with_the_noise: "the answer is compared with the noise; the",
        nothing_noised: "the network is shown x_0 itself; it should",
        mean_of_the_batch: "this is one number; there should be one for",
        summed: "the sum over the numbers of a row; it",
        absolute: "the error is not squared",
    },
    "centre_and_spread": {
        no_floor: "the floor is missing",
        floor_on_the_spread: "the floor is added to the spread; add it to",
        root_forgotten: "this is the variance; the spread is its root",
        one_for_all: "one mean and one spread for all axes; each",
        absolute_floor: "the floor does not depend on how long the",
        noise_not_squared: "noise is not squared",
        length_without_the_mean: "the length is measured from the mean; it is",
    },
    "keep_best": {
        largest_dot_product: "the dot product prefers long candidates",
        candidates_apart: "a caption's candidates stand next to each",
        the_first: "this is the first candidate of each",
        the_mean: "this is the mean of the candidates; keep",
        the_worst: "this is the worst candidate of each",
        best_of_all: "a caption may take another one's candidate",
        normalised: "the candidate comes back normalised; keep",
    },
}
