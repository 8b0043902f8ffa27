"""Wrong answers to the exercises of notebook 13, such as a learner might give."""

import torch


def other_direction(true_variance, variance):
    ratio = variance / true_variance
    return 0.5 * (ratio - 1 - ratio.log()) / torch.log(torch.tensor(2.0))


def in_nats(true_variance, variance):
    return 0.5 * (true_variance / variance - 1 - (true_variance / variance).log())


def squared_difference(true_variance, variance):
    return (true_variance - variance) ** 2


def variances_mixed(logits, beta_tilde, beta):
    v = (logits + 1) / 2
    return v * beta + (1 - v) * beta_tilde


def logits_as_they_are(logits, beta_tilde, beta):
    return (logits * beta.log() + (1 - logits) * beta_tilde.log()).exp()


def exchanged(logits, beta_tilde, beta):
    v = (logits + 1) / 2
    return (v * beta_tilde.log() + (1 - v) * beta.log()).exp()


def still_the_logarithm(logits, beta_tilde, beta):
    v = (logits + 1) / 2
    return v * beta.log() + (1 - v) * beta_tilde.log()


def squashed(logits, beta_tilde, beta):
    v = torch.sigmoid(logits)
    return (v * beta.log() + (1 - v) * beta_tilde.log()).exp()


def of_one_step(t, t_prev, alphas_bar):
    beta = 1 - alphas_bar[t] / alphas_bar[t - 1]
    return (1 - alphas_bar[t_prev]) / (1 - alphas_bar[t]) * beta, beta


def half_mended(t, t_prev, alphas_bar):
    single = 1 - alphas_bar[t] / alphas_bar[t - 1]
    return (1 - alphas_bar[t_prev]) / (1 - alphas_bar[t]) * single, 1 - alphas_bar[t] / alphas_bar[t_prev]


def most_twice(t, t_prev, alphas_bar):
    beta = 1 - alphas_bar[t] / alphas_bar[t_prev]
    return beta, beta


WRONG = {  # {exercise: {a wrong answer: words of the hint that it gets, "" for none}}
    "bits_lost": {
        other_direction: "the ratio is upside down",
        in_nats: "these are nats",
        squared_difference: "",
    },
    "learned_variance": {
        variances_mixed: "the variances are mixed; their logarithms",
        logits_as_they_are: "the logits are taken for the share v; -1 to",
        exchanged: "beta and beta_tilde are exchanged: 1 is beta",
        still_the_logarithm: "this is still the logarithm of the variance",
        squashed: "a sigmoid makes the share here; it is",
    },
    "stride_variances": {
        of_one_step: "beta is that of a single step, t to t - 1",
        half_mended: "beta_tilde still takes the beta of a single step",
        most_twice: "",
    },
}
