"""Wrong answers to the exercises of notebooks 03 and 04, such as a learner might give."""

import torch


def column(table, t, like):
    return table[t].view(-1, *[1] * (like.ndim - 1))


def variances_as_scales(x_0, t, eps, alphas_bar):
    alpha_bar = column(alphas_bar, t, x_0)
    return alpha_bar * x_0 + (1 - alpha_bar) * eps


def signal_and_noise_exchanged(x_0, t, eps, alphas_bar):
    alpha_bar = column(alphas_bar, t, x_0)
    return (1 - alpha_bar).sqrt() * x_0 + alpha_bar.sqrt() * eps


def not_broadcast(x_0, t, eps, alphas_bar):
    return alphas_bar[t].sqrt() * x_0 + (1 - alphas_bar[t]).sqrt() * eps


def one_t_for_all(x_0, t, eps, alphas_bar):
    return alphas_bar[t[0]].sqrt() * x_0 + (1 - alphas_bar[t[0]]).sqrt() * eps


def noise_added_to_all_of_x_0(x_0, t, eps, alphas_bar):
    return x_0 + (1 - column(alphas_bar, t, x_0)).sqrt() * eps


def not_scaled_up(x_t, eps, alpha_bar):
    return x_t - (1 - alpha_bar).sqrt() * eps


def root_forgotten(x_t, eps, alpha_bar):
    return (x_t - (1 - alpha_bar) * eps) / alpha_bar


def noise_added_again(x_t, eps, alpha_bar):
    return (x_t + (1 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt()


def all_the_noise_at_full_strength(x_t, eps, alpha_bar):
    return (x_t - eps) / alpha_bar.sqrt()


def straight_to_x_0(x_t, eps, alpha_bar, alpha_bar_prev):
    return (x_t - (1 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt()


def noise_stays(x_t, eps, alpha_bar, alpha_bar_prev):
    x_0 = straight_to_x_0(x_t, eps, alpha_bar, alpha_bar_prev)
    return alpha_bar_prev.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps


def noise_forgotten(x_t, eps, alpha_bar, alpha_bar_prev):
    return alpha_bar_prev.sqrt() * straight_to_x_0(x_t, eps, alpha_bar, alpha_bar_prev)


def x_t_taken_for_x_0(x_t, eps, alpha_bar, alpha_bar_prev):
    return alpha_bar_prev.sqrt() * x_t + (1 - alpha_bar_prev).sqrt() * eps


def weights_exchanged(x_0, x_t, alpha_bar, alpha_bar_prev):
    alpha = alpha_bar / alpha_bar_prev
    towards_x_0 = alpha_bar_prev.sqrt() * (1 - alpha) / (1 - alpha_bar)
    towards_x_t = alpha.sqrt() * (1 - alpha_bar_prev) / (1 - alpha_bar)
    return towards_x_t * x_0 + towards_x_0 * x_t


def shares_that_sum_to_one(x_0, x_t, alpha_bar, alpha_bar_prev):
    share = (1 - alpha_bar / alpha_bar_prev) / (1 - alpha_bar)
    return share * x_0 + (1 - share) * x_t


def alpha_bar_for_alpha(x_0, x_t, alpha_bar, alpha_bar_prev):
    towards_x_0 = alpha_bar_prev.sqrt()
    towards_x_t = alpha_bar.sqrt() * (1 - alpha_bar_prev) / (1 - alpha_bar)
    return towards_x_0 * x_0 + towards_x_t * x_t


def ddim_instead(x_0, x_t, alpha_bar, alpha_bar_prev):
    eps = (x_t - alpha_bar.sqrt() * x_0) / (1 - alpha_bar).sqrt()
    return alpha_bar_prev.sqrt() * x_0 + (1 - alpha_bar_prev).sqrt() * eps


def from_the_conditional(uncond, cond, w):
    return cond + w * (cond - uncond)


def away_from_the_caption(uncond, cond, w):
    return uncond + w * (uncond - cond)


def mean_of_both(uncond, cond, w):
    return (uncond + w * cond) / (1 + w)


def caption_scaled(uncond, cond, w):
    return w * cond


def clamped(uncond, cond, w):
    return torch.lerp(uncond, cond, min(w, 1.0))


def weights(square, variance, dim=1):
    return (-square / variance).softmax(dim=dim)


def only_the_nearest(x_t, data, alpha_bar):
    return data[torch.cdist(x_t, alpha_bar**0.5 * data).argmin(dim=1)]


def data_not_shrunk(x_t, data, alpha_bar):
    return weights(torch.cdist(x_t, data) ** 2, 2 * (1 - alpha_bar)) @ data


def scale_for_variance(x_t, data, alpha_bar):
    return weights(torch.cdist(x_t, alpha_bar**0.5 * data) ** 2, 2 * (1 - alpha_bar) ** 0.5) @ data


def the_two_forgotten(x_t, data, alpha_bar):
    return weights(torch.cdist(x_t, alpha_bar**0.5 * data) ** 2, 1 - alpha_bar) @ data


def distance_not_squared(x_t, data, alpha_bar):
    return weights(torch.cdist(x_t, alpha_bar**0.5 * data), 2 * (1 - alpha_bar)) @ data


def softmax_over_the_batch(x_t, data, alpha_bar):
    return weights(torch.cdist(x_t, alpha_bar**0.5 * data) ** 2, 2 * (1 - alpha_bar), dim=0) @ data


def mean_of_the_shrunk_data(x_t, data, alpha_bar):
    return alpha_bar**0.5 * weights(torch.cdist(x_t, alpha_bar**0.5 * data) ** 2, 2 * (1 - alpha_bar)) @ data


def old_noise_kept(x_0, eps, noise, alpha_bar, alpha_bar_prev, eta):
    sigma = eta * ((1 - alpha_bar_prev) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_prev)).sqrt()
    return alpha_bar_prev.sqrt() * x_0 + (1 - alpha_bar_prev).sqrt() * eps + sigma * noise


def new_noise_forgotten(x_0, eps, noise, alpha_bar, alpha_bar_prev, eta):
    sigma = eta * ((1 - alpha_bar_prev) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_prev)).sqrt()
    return alpha_bar_prev.sqrt() * x_0 + (1 - alpha_bar_prev - sigma**2).sqrt() * eps


def halves_exchanged(both, w):
    cond, uncond = both.chunk(2)
    return uncond + w * (cond - uncond)


def rows_in_turn(both, w):
    uncond, cond = both[::2], both[1::2]
    return uncond + w * (cond - uncond)


WRONG = {  # {exercise: {a wrong answer: words of the hint that it gets, "" for none}}
    "q_sample": {
        variances_as_scales: "alpha_bar is a variance; what multiplies",
        signal_and_noise_exchanged: "signal and noise are exchanged",
        not_broadcast: "alphas_bar[t] is (B,); to multiply x_0 it",
        one_t_for_all: "every row is noised to the first row's t",
        noise_added_to_all_of_x_0: "x_0 is not multiplied by sqrt(alpha_bar)",
    },
    "x0_from_eps": {
        not_scaled_up: "the noise is gone, but what is left is",
        root_forgotten: "two roots are missing: signal and sigma are",
        noise_added_again: "the noise is added; it should be taken away",
        all_the_noise_at_full_strength: "all of eps is taken away; x_t has only",
    },
    "ddim_step": {
        straight_to_x_0: "this is the estimate of x_0; a step goes",
        noise_stays: "the noise stays at the level of t; it goes",
        noise_forgotten: "the noise of t_prev is not put back: add",
        x_t_taken_for_x_0: "x_t is taken for x_0; first estimate x_0",
    },
    "posterior_mean": {
        weights_exchanged: "the two weights are exchanged",
        shares_that_sum_to_one: "the weights need not sum to 1: each has a",
        alpha_bar_for_alpha: "alpha is that of the step, alpha_bar /",
        ddim_instead: "this is DDIM's step; DDPM's mean has less",
    },
    "eta_step": {
        old_noise_kept: "old and new noise together are too much",
        new_noise_forgotten: "no new noise comes in",
    },
    "guided_halves": {
        halves_exchanged: "the first half was asked without the",
        rows_in_turn: "odd and even rows are taken apart",
    },
    "best_x0": {
        only_the_nearest: "only the nearest point counts; all count",
        data_not_shrunk: "the data is not shrunk: x_t lies near",
        scale_for_variance: "a variance is asked for, 1 - alpha_bar; its",
        the_two_forgotten: "the 2 of the normal distribution is",
        distance_not_squared: "the distance is not squared",
        softmax_over_the_batch: "the softmax goes over the batch; for each",
        mean_of_the_shrunk_data: "the mean is taken of the shrunk points; it",
    },
    "guide": {
        from_the_conditional: "it starts from the prediction with the",
        away_from_the_caption: "it goes away from the caption: the",
        mean_of_both: "a mean lies between the two; guidance goes",
        caption_scaled: "only the prediction with the caption is",
        clamped: "w above 1 is cut off; going beyond is the",
    },
}
