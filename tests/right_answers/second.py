"""Right answers to the exercises on the priors, the upsamplers and the cascade, written in other ways than ours."""

import math
from bisect import bisect_left
from itertools import accumulate

import numpy as np
import torch
import torch.nn.functional as F
from einops import einsum, rearrange, repeat

# -- the priors ----------------------------------------------------------------------------------------------


def prior_sequence(tokens, z_t, time, x_t, query, positions):
    n, b = tokens.shape[1], len(tokens)
    parts = [tokens, *(rearrange(x, "b w -> b 1 w") for x in (z_t, time, x_t)), repeat(query, "w -> b 1 w", b=b)]
    return torch.cat(parts, dim=1) + torch.cat([positions[:n], positions[-4:]])


def prior_mask(text_mask):
    b, n = text_mask.shape
    allowed = torch.zeros(b, n + 4, n + 4, dtype=torch.bool)
    for i in range(n + 4):
        for j in range(i + 1):
            allowed[:, i, j] = text_mask[:, j] if j < n else True
    return allowed


def prior_loss(network, x_0, t, eps, alphas_bar):
    signal, sigma = (repeat(x.sqrt(), "b -> b d", d=x_0.shape[1]) for x in (alphas_bar[t], 1 - alphas_bar[t]))
    off = network(signal * x_0 + sigma * eps, t) - x_0
    return einsum(off, off, "b d, b d -> b") / x_0.shape[1]


def centre_and_spread(z_i, noise):
    n, mean = len(z_i), z_i.sum(dim=0) / len(z_i)
    floor = noise**2 * sum(float(z @ z) for z in z_i) / n
    return mean, (((z_i - mean) ** 2).sum(dim=0) / (n - 1) + floor) ** 0.5


def keep_best(z_i, z_t, n):
    best = []
    for i, caption in enumerate(z_t):
        candidates = z_i[n * i : n * (i + 1)]
        best.append(candidates[int((F.normalize(candidates, dim=1) @ caption).argmax())])
    return torch.stack(best)


def components_needed(variances, share):
    held = list(accumulate(variances.double().tolist()))
    return bisect_left(held, share * held[-1]) + 1


def to_buckets(x, low, high, buckets):
    edges = [np.linspace(float(a), float(b), buckets + 1)[1:-1] for a, b in zip(low, high, strict=True)]
    columns = zip(x.T.double().numpy(), edges, strict=True)
    return np.stack([np.digitize(column, edge) for column, edge in columns], axis=1)


def next_token_loss(logits, tokens):
    chosen = logits.log_softmax(dim=2).gather(2, tokens[:, 1:, None])
    return -chosen.squeeze(2).mean(dim=1)


def one_more(q, k, v, past_k, past_v):
    keys, values = (torch.cat([past, rearrange(x, "b d -> b 1 d")], dim=1) for past, x in ((past_k, k), (past_v, v)))
    weights = (einsum(q, keys, "b d, b m d -> b m") / q.shape[1] ** 0.5).softmax(dim=1)
    return einsum(weights, values, "b m, b m d -> b d"), keys, values


def pick_bucket(logits, u, temperature):
    picked = []
    for row, number in zip(logits, u.tolist(), strict=True):
        if temperature == 0:
            picked.append(int(row.argmax()))
        else:
            cumulative = (row.double() / temperature).softmax(0).cumsum(0)
            picked.append(next(i for i, c in enumerate(cumulative.tolist()) if c >= number or i == len(row) - 1))
    return torch.tensor(picked)


def write_sentence(follows, dot, u, temperature):
    tokens = [dot]
    for numbers in u.T:
        tokens.append(pick_bucket(follows(torch.stack(tokens, dim=1)), numbers, temperature))
    return torch.stack(tokens[1:], dim=1)


# -- the upsamplers ------------------------------------------------------------------------------------------


def cubic_weights(f):
    """In float64, from a list."""
    found = []
    for place in (-1, 0, 1, 2):
        x = abs(f - place)
        found.append(1.5 * x**3 - 2.5 * x**2 + 1 if x <= 1 else max(0, 2 - x) ** 2 * (x - 1) * -0.5)
    return torch.tensor(found, dtype=torch.float64)


def decibels(images, truth):
    errors = [float(((a - b) / 2).square().mean()) for a, b in zip(images, truth, strict=True)]
    return torch.tensor([-10 * math.log10(error) for error in errors])


def same_crop(high, low, top, left, side):
    f = high.shape[2] // low.shape[2]
    return tuple(x.narrow(2, g * top, g * side).narrow(3, g * left, g * side) for x, g in ((high, f), (low, 1)))


def gaussian_kernel(sigma, radius):
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return weights / weights.sum()


# -- the cascade, and playing with z -------------------------------------------------------------------------


def scaled_like(z_t, z_i):
    length = math.sqrt(sum(float(z @ z) for z in z_i) / len(z_i))
    return torch.stack([length * z / z.norm() for z in z_t])


def bootstrap_interval(values, draws):
    means = np.stack([values[rows] for rows in draws]).mean(axis=1)
    return tuple(np.percentile(means, [2.5, 97.5]))


def frechet_diagonal(x, y):
    x, y = x.double().numpy(), y.double().numpy()
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + ((x.std(0, ddof=1) - y.std(0, ddof=1)) ** 2).sum()


def diversity_at(level, fidelity, diversity):
    if fidelity[0] >= level:
        return diversity[0]
    for i in range(1, len(fidelity)):
        if fidelity[i] >= level:
            return float(np.interp(level, fidelity[i - 1 : i + 1], diversity[i - 1 : i + 1]))


def ddim_back(x_prev, eps, alpha_bar_prev, alpha_bar):
    ratio = (alpha_bar / alpha_bar_prev).sqrt()
    return ratio * x_prev + ((1 - alpha_bar).sqrt() - ratio * (1 - alpha_bar_prev).sqrt()) * eps


def slerp_rows(a, b, theta):
    turned = []
    for u, v in zip(a, b, strict=True):
        cos = float(u @ v / (u.norm() * v.norm()))
        angle = math.acos(max(-1.0, min(1.0, cos)))
        mixed = math.sin((1 - theta) * angle) * u / u.norm() + math.sin(theta * angle) * v / v.norm()
        turned.append(mixed / math.sin(angle) * ((1 - theta) * u.norm() + theta * v.norm()))
    return torch.stack(turned)


def text_direction(z_t, z_t0):
    d = z_t / z_t.norm(dim=1, keepdim=True) - z_t0 / z_t0.norm(dim=1, keepdim=True)
    return d / (d * d).sum(dim=1, keepdim=True).sqrt()


def keep_components(z_i, mean, basis, k):
    kept = mean.expand_as(z_i).clone()
    for axis in basis[:k]:
        kept += einsum(z_i - mean, axis, axis, "b d, d, e -> b e")
    return kept


def colours_swapped(stated, drawn):
    a, b = stated
    wanted = sorted([(a.kind, b.colour), (b.kind, a.colour)])
    return sorted((thing.kind, thing.colour) for thing in drawn) == wanted


# -- the released cascade ------------------------------------------------------------------------------------


def unpack_qkv(packed, heads):
    rows = len(packed) // heads // 3
    blocks = [packed[i : i + rows] for i in range(0, len(packed), rows)]
    return torch.stack([torch.cat(blocks[part::3]) for part in range(3)])


def relative_rms(found, expected):
    return (found - expected).norm() / expected.norm()


def prior_positions(tokens, steps, cached):
    total = 0
    for step in range(steps):
        total += 3 + (tokens + 1 if step == 0 or not cached else 0)
    return total


def fastest_mode(sizes, working, gpu, ram):
    modes = {"resident": gpu >= sum(sizes) + working, "offload": gpu >= max(sizes) + working and ram >= sum(sizes),
             "disk": gpu >= max(sizes) + working, "none": True}  # fmt: skip
    return next(name for name, fits in modes.items() if fits)


RIGHT = {name: [function] for name, function in (
    ("prior_sequence", prior_sequence), ("prior_mask", prior_mask), ("prior_loss", prior_loss),
    ("centre_and_spread", centre_and_spread), ("keep_best", keep_best), ("components_needed", components_needed),
    ("to_buckets", to_buckets), ("next_token_loss", next_token_loss), ("one_more", one_more),
    ("pick_bucket", pick_bucket), ("write_sentence", write_sentence), ("cubic_weights", cubic_weights),
    ("decibels", decibels), ("same_crop", same_crop), ("gaussian_kernel", gaussian_kernel),
    ("scaled_like", scaled_like), ("bootstrap_interval", bootstrap_interval), ("frechet_diagonal", frechet_diagonal),
    ("diversity_at", diversity_at), ("ddim_back", ddim_back), ("slerp_rows", slerp_rows),
    ("text_direction", text_direction), ("keep_components", keep_components), ("colours_swapped", colours_swapped),
    ("unpack_qkv", unpack_qkv), ("relative_rms", relative_rms), ("prior_positions", prior_positions),
    ("fastest_mode", fastest_mode),
)}  # fmt: skip
