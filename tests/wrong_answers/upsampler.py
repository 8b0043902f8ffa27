"""Wrong answers to the exercises of notebook 08, such as a learner might give."""

import math

import torch


def kernel(x, a):
    x = x.abs()
    near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0.0))


def another_cubic(f):
    return kernel(f - torch.arange(-1.0, 3.0), -0.75)


def linear(f):
    return torch.tensor([0.0, 1 - f, f, 0.0])


def from_the_other_side(f):
    return kernel(f - torch.arange(-1.0, 3.0), -0.5).flip(0)


def near_formula_everywhere(f):
    x = (f - torch.arange(-1.0, 3.0)).abs()
    return 1.5 * x**3 - 2.5 * x**2 + 1


def sign_left_in(f):
    x = f - torch.arange(-1.0, 3.0)
    return torch.where(x <= 1, 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2)


def error(images, truth):
    return (images - truth).square().flatten(1).mean(dim=1)


def for_pictures_from_0_to_1(images, truth):
    return 10 * torch.log10(1 / error(images, truth))


def one_number(images, truth):
    return 10 * torch.log10(4 / (images - truth).square().mean())


def twenty(images, truth):
    return 20 * torch.log10(4 / error(images, truth))


def upside_down(images, truth):
    return 10 * torch.log10(error(images, truth) / 4)


def natural_logarithm(images, truth):
    return 10 * torch.log(4 / error(images, truth))


def same_numbers(high, low, top, left, side):
    return high[:, :, top : top + side, left : left + side], low[:, :, top : top + side, left : left + side]


def corner_not_enlarged(high, low, top, left, side):
    f = high.shape[-1] // low.shape[-1]
    large = high[:, :, top : top + f * side, left : left + f * side]
    return large, low[:, :, top : top + side, left : left + side]


def columns_first(high, low, top, left, side):
    f = high.shape[-1] // low.shape[-1]
    large = high[:, :, f * left : f * (left + side), f * top : f * (top + side)]
    return large, low[:, :, left : left + side, top : top + side]


def always_four(high, low, top, left, side):
    large = high[:, :, 4 * top : 4 * (top + side), 4 * left : 4 * (left + side)]
    return large, low[:, :, top : top + side, left : left + side]


def small_one_first(high, low, top, left, side):
    f = high.shape[-1] // low.shape[-1]
    large = high[:, :, f * top : f * (top + side), f * left : f * (left + side)]
    return low[:, :, top : top + side, left : left + side], large


def offsets(radius):
    return torch.arange(-radius, radius + 1)


def not_normalised(sigma, radius):
    return torch.exp(-(offsets(radius) ** 2) / (2 * sigma**2))


def divided_by_the_integral(sigma, radius):
    return not_normalised(sigma, radius) / (sigma * math.sqrt(2 * math.pi))


def two_forgotten(sigma, radius):
    weights = torch.exp(-(offsets(radius) ** 2) / sigma**2)
    return weights / weights.sum()


def sigma_not_squared(sigma, radius):
    weights = torch.exp(-(offsets(radius) ** 2) / (2 * sigma))
    return weights / weights.sum()


def one_side_too_short(sigma, radius):
    weights = torch.exp(-(torch.arange(-radius, radius) ** 2) / (2 * sigma**2))
    return weights / weights.sum()


WRONG = {  # {exercise: {a wrong answer: words of the hint that it gets, "" for none}}
    "cubic_weights": {
        another_cubic: "this is the kernel with a = -3/4; here it",
        linear: "this is linear: two pixels count; of the",
        from_the_other_side: "the weights are in reverse order: the first",
        near_formula_everywhere: "the near formula is used for all four",
        sign_left_in: "the distance has a sign; take its absolute",
    },
    "decibels": {
        for_pictures_from_0_to_1: "the range is taken for 1; from -1 to 1 it",
        one_number: "this is one number for all pictures; there",
        twenty: "20 times the logarithm goes with the error",
        upside_down: "the fraction is upside down: the error",
        natural_logarithm: "this is the natural logarithm; it should be",
    },
    "same_crop": {
        same_numbers: "both are cut with the same numbers; in the",
        corner_not_enlarged: "the large crop is large enough, but its",
        columns_first: "rows and columns are exchanged: top goes",
        always_four: "the factor is not always 4: take it from",
        small_one_first: "the small crop comes first; the large one",
    },
    "gaussian_kernel": {
        not_normalised: "the weights do not sum to 1: divide by",
        divided_by_the_integral: "divided by the integral of the Gaussian",
        two_forgotten: "the 2 is missing: exp(-x^2 / (2 sigma^2))",
        sigma_not_squared: "sigma is not squared",
        one_side_too_short: "one weight is missing on the right: the",
    },
}
