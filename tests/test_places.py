"""The library runs with a learner's answers, in every place that takes one, and is what it was afterwards."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers import TINY_DECODER, TINY_PRIOR, normal, random_text, randomise, tiny_cascade
from mine_helpers import FUNCTIONS, LIBRARY, answer, library_kept, said
from torch import nn

from minunclip import ar_prior, clip
from minunclip.ar_prior import ARPrior, ARPriorConfig
from minunclip.course import checks
from minunclip.course.checks.substitution import PLACES
from minunclip.decoder import Decoder
from minunclip.diffusion import Diffusion, DiffusionConfig
from minunclip.embeddings import PCA, Whitening
from minunclip.evaluation import Judge, labels, places
from minunclip.evaluation.judge import JudgeConfig
from minunclip.prior import DiffusionPrior
from minunclip.scenes import Scenes


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_place_takes_an_answer_and_gives_it_back(name, capsys):
    found, text = said(answer(name), capsys)
    assert "From here on it is yours" in text and PLACES[name].now is not LIBRARY[name]
    checks.restore()
    assert PLACES[name].now is LIBRARY[name]


def all_of_them(calls):
    for name in FUNCTIONS:
        checks.mine(answer(name, calls))
    calls.clear()


def test_the_cascade_draws_the_same_with_all_of_them(capsys):
    cascade, calls = tiny_cascade(), []
    before = cascade.sample(["a red star", "a blue fish"], size=64)
    all_of_them(calls)
    after = cascade.sample(["a red star", "a blue fish"], size=64)
    assert (after.image - before.image).abs().max() < 0.03 and (before.image - before.image.mean()).abs().max() > 0.1
    assert {"ddim_step", "guide", "keep_best"} <= {*calls}


def losses():
    """Of one step of every training that has a place in it, and of what is measured before."""
    text, z, t = random_text([3, 5], 16, 12), normal(2, 12), torch.tensor([100, 900])
    prior = randomise(DiffusionPrior(TINY_PRIOR))
    config = ARPriorConfig(z_width=12, text_width=16, context=5, components=6, buckets=8, dot_buckets=8, width=16,
                           layers=1, heads=2)  # fmt: skip
    ar = randomise(ARPrior(config))
    ar.fit(normal(64, 12), normal(64, 12, seed=2))
    decoder = randomise(Decoder(TINY_DECODER))
    images, layer = normal(2, 3, 32, 32), nn.Linear(12, 3)
    with torch.no_grad():
        layer.weight.fill_(0.5), layer.bias.fill_(0.1)
    Whitening.of(normal(40, 12)).fold_into(layer)
    return [
        prior.loss(z, text, t, normal(2, 12, seed=3)), ar.loss(z, text),
        decoder.diffusion.loss(lambda x_t, t: decoder(x_t, t, z, text), images, t, normal(2, 3, 32, 32, seed=4)),
        clip.contrastive_loss(z, normal(2, 12, seed=5), torch.tensor(2.0)), layer.weight, layer.bias,
        torch.tensor(PCA.fit(normal(40, 12)).components_for(0.9)).float(),
        Diffusion(DiffusionConfig(clip=None)).estimate(normal(2, 5), normal(2, 5, seed=6), t)[0],
    ]  # fmt: skip


def test_trainings_lose_the_same_with_all_of_them(capsys):
    before, calls = losses(), []
    all_of_them(calls)
    for now, then in zip(losses(), before, strict=True):
        torch.testing.assert_close(now, then, atol=1e-4, rtol=1e-4)
    assert {"q_sample", "x0_from_eps", "posterior_mean", "learned_variance", "clip_loss", "centre_and_spread",
            "components_needed", "to_buckets", "next_token_loss", "fold_whitening"} <= {*calls}  # fmt: skip


def test_a_judge_learns_from_the_learners_loss(capsys):
    scenes = [Scenes("train")[i].scene for i in range(3)]
    judge, truth, calls = Judge(JudgeConfig(width=8, features=8)), labels(scenes), []
    before = judge.loss(normal(3, 3, 32, 32), truth, places(scenes))
    checks.mine(answer("question_loss", calls))
    calls.clear()
    torch.testing.assert_close(judge.loss(normal(3, 3, 32, 32), truth, places(scenes)), before)
    assert calls == ["question_loss"] * len(truth)


def test_nothing_in_the_library_knows_of_places():
    """So that nothing is slower, or harder to read, where no answer is put in."""
    for path in Path(ar_prior.__file__).parent.rglob("*.py"):
        if "course" not in path.parts:
            assert not re.search(r"^(from|import)\b.*\bcourse\b", path.read_text(encoding="utf-8"), re.M), path


def test_a_seated_answer_trains(capsys):
    """The loss falls the same way, step by step, with the learner's loss and jump."""
    def trained():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 32), nn.SiLU(), nn.Linear(32, 2))
        optimiser, diffusion = torch.optim.Adam(network.parameters(), lr=0.01), Diffusion(DiffusionConfig(clip=None))
        found = []
        for step in range(20):
            t = (torch.arange(16) * 61 + step) % 1000
            loss = diffusion.loss(lambda x, t: network(torch.cat([x, t[:, None] / 1000], 1)),
                                  F.normalize(normal(16, 2)), t, normal(16, 2, seed=step)).mean()  # fmt: skip
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            found.append(loss.item())
        return found

    before = trained()
    checks.mine(answer("q_sample"))
    assert trained() == pytest.approx(before, abs=1e-4) and before[-1] < before[0]
