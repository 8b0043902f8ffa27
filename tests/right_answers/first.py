"""Right answers to the exercises on scenes, CLIP and diffusion, written in other ways than ours."""

import itertools
import math

import numpy as np
import torch
from einops import einsum, rearrange, reduce

# -- scenes --------------------------------------------------------------------------------------------------


def coverage(distance, pixel):
    share = 0.5 - distance / pixel
    share[share < 0], share[share > 1] = 0, 1
    return share


def fits(stated, drawn):
    for fact in ("kind", "colour", "size"):
        said = getattr(stated, fact)
        if said is not None and said != getattr(drawn, fact):
            return False
    return True


def each_its_own(stated, drawn):
    """One after the other, going back where nothing is left."""
    if not stated or not drawn:
        return len(stated) == len(drawn)
    return any(stated[0].fits(seen) and each_its_own(stated[1:], [*drawn[:i], *drawn[i + 1 :]])
               for i, seen in enumerate(drawn))


def each_its_own_by_orders(stated, drawn):
    for order in itertools.permutations(range(len(drawn))):
        if [stated[i].fits(drawn[n]) for i, n in enumerate(order) if i < len(stated)] == [True] * len(drawn):
            return len(stated) == len(drawn)
    return False


def effective_number(counts):
    counts = np.array([n for n in counts if n > 0], dtype=float)
    return np.prod((counts / counts.sum()) ** -(counts / counts.sum()))


def question_loss(logits, answers):
    total, count = 0.0, 0
    for row, answer in zip(logits, answers, strict=True):
        if answer >= 0:
            total += torch.logsumexp(row, 0) - row[answer]
            count += 1
    return torch.as_tensor(total / max(count, 1))


# -- CLIP ----------------------------------------------------------------------------------------------------


def attention(q, k, v):
    weights = einsum(q, k, "b n d, b m d -> b n m").div(math.sqrt(q.shape[2])).exp()
    return einsum(weights / weights.sum(dim=2, keepdim=True), v, "b n m, b m d -> b n d")


def attention_loops(q, k, v):
    answer = torch.zeros_like(q)
    for b in range(len(q)):
        for n in range(q.shape[1]):
            scores = torch.stack([q[b, n] @ key for key in k[b]]) / q.shape[2] ** 0.5
            answer[b, n] = sum(w * value for w, value in zip(scores.softmax(0), v[b], strict=True))
    return answer


def end_tokens(tokens, ids):
    return torch.gather(tokens, 1, ids.argmax(dim=1)[:, None, None].expand(-1, 1, tokens.shape[2]))[:, 0]


def end_tokens_loops(tokens, ids):
    lengths = [sum(n > 0 for n in numbers) for numbers in ids.tolist()]
    return torch.stack([row[length - 1] for row, length in zip(tokens, lengths, strict=True)])


def patchify(images, patch):
    rows = range(0, images.shape[2], patch)
    return torch.stack([images[:, :, y : y + patch, x : x + patch].flatten(1) for y in rows for x in rows], dim=1)


def patchify_unfold(images, patch):
    return torch.nn.functional.unfold(images, patch, stride=patch).transpose(1, 2)


def clip_loss(z_i, z_t, scale):
    z_i, z_t = z_i / z_i.norm(dim=1, keepdim=True), z_t / z_t.norm(dim=1, keepdim=True)
    logits = scale * einsum(z_i, z_t, "i d, j d -> i j")
    pairs = logits.diagonal()
    return -0.5 * ((pairs - logits.logsumexp(1)).mean() + (pairs - logits.logsumexp(0)).mean())


# -- diffusion -----------------------------------------------------------------------------------------------


def q_sample(x_0, t, eps, alphas_bar):
    rows = [alphas_bar[i] ** 0.5 * x + (1 - alphas_bar[i]) ** 0.5 * e for x, i, e in zip(x_0, t, eps, strict=True)]
    return torch.stack(rows)


def q_sample_einsum(x_0, t, eps, alphas_bar):
    return torch.einsum("b...,b->b...", x_0, alphas_bar[t].sqrt()) + torch.einsum(
        "b...,b->b...", eps, (1 - alphas_bar[t]).sqrt())


def x0_from_eps(x_t, eps, alpha_bar):
    return alpha_bar.rsqrt() * x_t - (1 / alpha_bar - 1).sqrt() * eps


def ddim_step(x_t, eps, alpha_bar, alpha_bar_prev):
    ratio = (alpha_bar_prev / alpha_bar).sqrt()
    return ratio * x_t + ((1 - alpha_bar_prev).sqrt() - ratio * (1 - alpha_bar).sqrt()) * eps


def posterior_mean(x_0, x_t, alpha_bar, alpha_bar_prev):
    beta = 1 - alpha_bar / alpha_bar_prev
    return (beta * alpha_bar_prev.sqrt() * x_0 + (1 - beta).sqrt() * (1 - alpha_bar_prev) * x_t) / (1 - alpha_bar)


def posterior_mean_derived(x_0, x_t, alpha_bar, alpha_bar_prev):
    """The product of two Gaussians, as one derives it."""
    alpha = alpha_bar / alpha_bar_prev
    from_x_t, from_x_0 = alpha / (1 - alpha), 1 / (1 - alpha_bar_prev)
    return (from_x_t * x_t / alpha.sqrt() + from_x_0 * alpha_bar_prev.sqrt() * x_0) / (from_x_t + from_x_0)


def guide(uncond, cond, w):
    return (1 - w) * uncond + w * cond


def eta_step(x_0, eps, noise, alpha_bar, alpha_bar_prev, eta):
    """DDPM's variance, and what is left of the old noise."""
    alpha = alpha_bar / alpha_bar_prev
    new = eta**2 * (1 - alpha_bar_prev) * (1 - alpha) / (1 - alpha_bar)
    return torch.sqrt(alpha_bar_prev) * x_0 + torch.sqrt(1 - alpha_bar_prev - new) * eps + torch.sqrt(new) * noise


def guided_halves(both, w):
    half = len(both) // 2
    return torch.stack([(1 - w) * both[i] + w * both[half + i] for i in range(half)])


def best_x0(x_t, data, alpha_bar):
    answers = []
    for x in x_t:
        log_p = torch.stack([-(x - alpha_bar**0.5 * point).square().sum() / (2 * (1 - alpha_bar)) for point in data])
        p = (log_p - log_p.max()).exp()
        answers.append((p[:, None] * data).sum(dim=0) / p.sum())
    return torch.stack(answers)


# -- the decoder ---------------------------------------------------------------------------------------------


def group_norm(x, groups):
    x = rearrange(x, "b (g c) h w -> b g c h w", g=groups)
    mean = reduce(x, "b g c h w -> b g 1 1 1", "mean")
    square = reduce((x - mean) ** 2, "b g c h w -> b g 1 1 1", "mean")
    return rearrange((x - mean) / (square + 1e-5) ** 0.5, "b g c h w -> b (g c) h w")


def film(h, time):
    c = h.shape[1]
    return h + torch.einsum("bchw,bc->bchw", h, time[:, :c]) + rearrange(time[:, c:], "b c -> b c 1 1")


def joint_attention(q, k, v, context_k, context_v, mask):
    scores = torch.cat([q @ context_k.mT, q @ k.mT], dim=2) / q.shape[2] ** 0.5
    hidden = torch.cat([~mask, torch.zeros(len(mask), k.shape[1], dtype=torch.bool)], dim=1)
    weights = scores.masked_fill(hidden[:, None], -math.inf).softmax(dim=2)
    return weights[..., : mask.shape[1]] @ context_v + weights[..., mask.shape[1] :] @ v


def fold_whitening(weight, bias, mean, std):
    new = torch.stack([row / std for row in weight])
    return new, torch.stack([b - (row * mean).sum() for b, row in zip(bias, new, strict=True)])


def learned_variance(logits, beta_tilde, beta):
    return beta_tilde * (beta / beta_tilde) ** ((logits + 1) / 2)


def context_mask(mask, extra):
    return torch.cat([mask.new_ones(len(mask), extra), mask], dim=1)


def bits_lost(true_variance, variance):
    share = variance / true_variance
    return (1 / share - 1 + share.log()) / (2 * torch.log(torch.tensor(2.0)))


def stride_variances(t, t_prev, alphas_bar):
    after, before = alphas_bar[t], alphas_bar[t_prev]
    return (1 - before) * (before - after) / (before * (1 - after)), (before - after) / before


RIGHT = {
    "coverage": [coverage], "fits": [fits], "each_its_own": [each_its_own, each_its_own_by_orders],
    "effective_number": [effective_number], "question_loss": [question_loss],
    "attention": [attention, attention_loops], "end_tokens": [end_tokens, end_tokens_loops],
    "patchify": [patchify, patchify_unfold], "clip_loss": [clip_loss], "q_sample": [q_sample, q_sample_einsum],
    "x0_from_eps": [x0_from_eps], "ddim_step": [ddim_step], "guide": [guide],
    "eta_step": [eta_step], "guided_halves": [guided_halves],
    "posterior_mean": [posterior_mean, posterior_mean_derived], "best_x0": [best_x0],
    "group_norm": [group_norm], "film": [film], "joint_attention": [joint_attention],
    "fold_whitening": [fold_whitening], "learned_variance": [learned_variance],
    "context_mask": [context_mask], "bits_lost": [bits_lost], "stride_variances": [stride_variances],
}  # fmt: skip
