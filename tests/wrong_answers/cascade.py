"""Wrong answers to the exercises of notebook 09, such as a learner might give."""

import numpy as np
import torch.nn.functional as F


def length_of_each(z_t, z_i):
    return F.normalize(z_t, dim=1) * z_t.norm(dim=1, keepdim=True)


def mean_length(z_t, z_i):
    return F.normalize(z_t, dim=1) * z_i.norm(dim=1).mean()


def not_normalised(z_t, z_i):
    return z_t * z_i.square().sum(dim=1).mean().sqrt()


def one_sided(values, draws):
    means = [values[rows].mean() for rows in draws]
    return float(np.quantile(means, 0.05)), float(np.quantile(means, 0.95))


def two_deviations(values, draws):
    spread = 1.96 * values.std() / len(values) ** 0.5
    return float(values.mean() - spread), float(values.mean() + spread)


def of_the_values(values, draws):
    return float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))


def means_only(x, y):
    return float((x.mean(dim=0) - y.mean(dim=0)).square().sum())


def variances_not_deviations(x, y):
    return means_only(x, y) + float((x.var(dim=0) - y.var(dim=0)).square().sum())


def not_squared(x, y):
    return float((x.mean(dim=0) - y.mean(dim=0)).norm() + (x.std(dim=0) - y.std(dim=0)).norm())


def next_point(level, fidelity, diversity):
    return diversity[next(i for i, value in enumerate(fidelity) if value >= level)]


def sorted_first(level, fidelity, diversity):
    pairs = sorted(zip(fidelity, diversity, strict=True))
    return float(np.interp(level, [f for f, _ in pairs], [d for _, d in pairs]))


def the_other_way(level, fidelity, diversity):
    i = next(i for i, value in enumerate(fidelity) if value >= level)
    share = (level - fidelity[i - 1]) / (fidelity[i] - fidelity[i - 1]) if i else 0
    return (1 - share) * diversity[i] + share * diversity[i - 1]


def over_all_rows(x, y):
    return float((x.mean() - y.mean()) ** 2 + (x.std() - y.std()) ** 2)


def whole_norm(z_t, z_i):
    return z_t / z_t.norm() * z_i.square().sum(dim=1).mean().sqrt()


WRONG = {  # {exercise: {a wrong answer: words of the hint that it gets, "" for none}}
    "scaled_like": {
        length_of_each: "each z_t keeps its own length",
        mean_length: "the mean of the lengths; the root of their",
        not_normalised: "z_t is not normalised first",
        whole_norm: "the whole batch is divided by one length",
    },
    "bootstrap_interval": {
        one_sided: "5% lie below and 5% above: that leaves 90%",
        two_deviations: "this is 1.96 standard errors to each side",
        of_the_values: "these are quantiles of the values; they",
    },
    "frechet_diagonal": {
        means_only: "only the means are compared; the spreads",
        variances_not_deviations: "variances are compared; it should be",
        not_squared: "the differences are not squared",
        over_all_rows: "one mean and one spread for all axes; each",
    },
    "diversity_at": {
        next_point: "this is the next point's diversity; go only",
        sorted_first: "the points are sorted by fidelity; a curve",
        the_other_way: "the shares are exchanged: near the next",
    },
}
