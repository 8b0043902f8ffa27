"""The cascade of tiny random networks: seeds, batches, replays, guidance and its errors."""

from dataclasses import replace

import pytest
import torch
from helpers import normal, randomise, tiny_cascade, tiny_upsampler

import minunclip
from minunclip.ar_prior import ARPrior, ARPriorConfig
from minunclip.unclip import Settings, UnCLIP, best_of
from minunclip.upsampler import Upsampler

CAPTIONS = ["a red star", "a big blue fish above a small green moon", "a heart at night"]
STAGES = ("prior", "decoder", "upsampler-1", "upsampler-2")
CLOSE = {"rtol": 1e-3, "atol": 1e-4}  # a batch sums in another order than a single row


@pytest.fixture(scope="module")
def cascade() -> UnCLIP:
    return tiny_cascade()


def same(a, b) -> None:
    """Two drawings, exactly equal in every intermediate."""
    assert torch.equal(a.text.embed, b.text.embed) and torch.equal(a.z_i, b.z_i)
    assert a.images.keys() == b.images.keys()
    assert all(torch.equal(a.images[side], b.images[side]) for side in a.images)


def test_what_comes_out(cascade):
    drawing = cascade.sample(CAPTIONS)
    assert drawing.z_i.shape == drawing.text.embed.shape == (3, 12)
    assert {side: tuple(image.shape) for side, image in drawing.images.items()} == {
        side: (3, 3, side, side) for side in (32, 64, 128)
    }
    assert drawing.image is drawing.images[128]
    for image in drawing.images.values():
        assert image.isfinite().all() and image.abs().max() <= 1 and image.std() > 0.1


def test_the_same_seed_draws_the_same_picture(cascade):
    torch.manual_seed(1)
    first = cascade.sample(CAPTIONS, seed=7)
    torch.manual_seed(2)
    same(first, cascade.sample(CAPTIONS, seed=7))  # the global generator has no say
    other = cascade.sample(CAPTIONS, seed=8)
    assert not torch.allclose(first.z_i, other.z_i, **CLOSE)
    assert not torch.allclose(first.images[32], other.images[32], **CLOSE)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_a_caption_alone_is_drawn_as_in_a_batch(cascade, sampler):
    settings = replace(cascade.settings, sampler=sampler, prior_guidance=1.5)
    batch = cascade.sample(CAPTIONS, seed=7, settings=settings)
    for i, caption in enumerate(CAPTIONS):
        alone = cascade.sample([caption], seed=7 + i, settings=settings)
        torch.testing.assert_close(alone.z_i[0], batch.z_i[i], **CLOSE)
        for side in batch.images:
            torch.testing.assert_close(alone.images[side][0], batch.images[side][i], **CLOSE)


def test_the_noise_of_a_stage_does_not_depend_on_other_settings(cascade):
    """More candidates or steps leave the first candidate's noise and the decoder's as they are."""
    one = next(cascade.noise((2, 12), 7, "prior", 1))
    three = next(cascade.noise((6, 12), 7, "prior", 3))
    assert torch.equal(one, three[::3])
    firsts = [next(cascade.noise((2, 12), 7, stage)) for stage in STAGES]
    assert len({tuple(row.tolist()) for noise in firsts for row in noise}) == 8


def recorded(cascade, captions, seed):
    """The noise that `sample` draws, by stage."""
    s, n, b = cascade.settings, cascade.settings.candidates, len(captions)
    shapes = [(n * b, 12), (b, 3, 32, 32), (b, 3, 64, 64), (b, 3, 128, 128)]
    streams = [cascade.noise(shape, seed, stage, n if stage == "prior" else 1)
               for stage, shape in zip(STAGES, shapes, strict=True)]  # fmt: skip
    counts = (s.prior_steps, s.decoder_steps, *s.upsampler_steps)
    return {stage: [next(stream) for _ in range(count)]
            for stage, stream, count in zip(STAGES, streams, counts, strict=True)}  # fmt: skip


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_a_replay_of_the_noise_draws_the_same_picture(cascade, sampler):
    settings = replace(cascade.settings, sampler=sampler)
    noise = recorded(cascade, CAPTIONS, 7)
    original = cascade.sample(CAPTIONS, seed=7, settings=settings)
    same(cascade.sample(CAPTIONS, seed=99, settings=settings, noise=noise), original)
    noise["decoder"] = [-tensor for tensor in noise["decoder"]]
    changed = cascade.sample(CAPTIONS, seed=99, settings=settings, noise=noise)
    assert torch.equal(changed.z_i, original.z_i)
    assert not torch.allclose(changed.images[32], original.images[32], **CLOSE)


def test_a_smaller_size_stops_early_and_changes_nothing_else(cascade):
    whole = cascade.sample(CAPTIONS, seed=7)
    for size in (32, 64):
        part = cascade.sample(CAPTIONS, seed=7, size=size)
        assert max(part.images) == part.image.shape[-1] == size
        assert all(torch.equal(part.images[side], whole.images[side]) for side in part.images)
    assert cascade.sizes == [32, 64, 128]


@pytest.mark.parametrize("size", [32, 64, None])
def test_stream_yields_once_per_step_of_each_stage(cascade, size):
    counts = {"prior": 3, "decoder": 4, "upsampler-1": 2, "upsampler-2": 3}
    counts = dict(list(counts.items())[: {32: 2, 64: 3, None: 4}[size]])
    found = [(p.stage, p.done, p.total) for p in cascade.stream(["a star"], size=size)]
    assert found == [(stage, i, n) for stage, n in counts.items() for i in range(1, n + 1)]


def test_a_stream_returns_the_drawing_when_it_ends(cascade):
    stream = cascade.stream(CAPTIONS, 7)
    assert not hasattr(stream, "result")
    progress = list(stream)
    same(stream.result, cascade.sample(CAPTIONS, seed=7))
    assert stream.result.steps == {} and len(progress) == sum(cascade.stages().values())


@torch.no_grad()
def test_the_stages_one_by_one_are_the_cascade(cascade):
    """Each stage's last step is what it returns, and the next stage takes it."""
    whole, text = cascade.sample(CAPTIONS, seed=7, keep_steps=True), cascade.encode_text(CAPTIONS)
    z_i = cascade.embed(text, seed=7).finish()
    assert torch.equal(z_i, whole.z_i)
    image = cascade.decode(z_i, text, seed=7).finish()
    assert torch.equal(image, whole.images[32])
    for number, side in enumerate((64, 128)):
        image = cascade.upsample(image, number, seed=7).finish()
        assert torch.equal(image, whole.images[side])
        assert torch.equal(image, whole.steps[f"upsampler-{number + 1}"][-1].x_t.clamp(-1, 1))


def test_a_third_upsampler_is_drawn_with_or_asked_for(cascade):
    third = randomise(Upsampler(tiny_upsampler(128, 256)), 5)
    more = UnCLIP(cascade.clip, cascade.prior, cascade.decoder, [*cascade.upsamplers, third])
    more.settings = replace(cascade.settings, upsampler_steps=(2, 3, 2))
    drawing = more.sample(["a star"], seed=7)
    assert drawing.image.shape[-1] == 256 and list(more.stages()) == [*STAGES, "upsampler-3"]
    torch.testing.assert_close(drawing.images[128], cascade.sample(["a star"], seed=7).image, **CLOSE)
    with pytest.raises(ValueError, match=r"upsampler_steps is \(2, 3\), and 256 pixels take 3 upsamplers"):
        more.sample(["a star"], settings=cascade.settings)
    assert more.sample(["a star"], size=128, settings=cascade.settings).image.shape[-1] == 128


def test_keep_steps_keeps_every_step(cascade):
    drawing = cascade.sample(["a star"], keep_steps=True)
    assert {stage: len(steps) for stage, steps in drawing.steps.items()} == dict(
        zip(STAGES, (3, 4, 2, 3), strict=True)
    )
    assert [step.t for step in drawing.steps["prior"]] == [999, 500, 0]
    for stage, side in (("decoder", 32), ("upsampler-1", 64), ("upsampler-2", 128)):
        assert torch.equal(drawing.steps[stage][-1].x_t.clamp(-1, 1), drawing.images[side])


# -- guidance ------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_guidance_of_one_is_the_unguided_network(cascade):
    text = cascade.encode_text(CAPTIONS)
    z_i, t = normal(3, 12), torch.tensor([999, 500, 3])
    x_t = normal(3, 12, seed=4)
    torch.testing.assert_close(cascade.prior_denoiser(text)(x_t, t), cascade.prior(x_t, t, text), **CLOSE)
    torch.testing.assert_close(cascade.prior_denoiser(text, 1 + 1e-6)(x_t, t), cascade.prior(x_t, t, text), **CLOSE)
    x_t = normal(3, 3, 32, 32, seed=5)
    expected = cascade.decoder(x_t, t, z_i, text)
    torch.testing.assert_close(cascade.decoder_denoiser(z_i, text)(x_t, t), expected, **CLOSE)
    torch.testing.assert_close(cascade.decoder_denoiser(z_i, text, 1 + 1e-6)(x_t, t), expected, **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("scale", [0.0, 2.0, 4.5])
def test_guidance_moves_away_from_the_empty_condition(cascade, scale):
    text, empty = cascade.encode_text(CAPTIONS), cascade.clip.encode_text([""] * 3)
    z_i, t, x_t = normal(3, 12), torch.tensor([999, 500, 3]), normal(3, 12, seed=4)
    cond, uncond = cascade.prior(x_t, t, text), cascade.prior(x_t, t, empty)
    guided = cascade.prior_denoiser(text, scale)(x_t, t)
    torch.testing.assert_close(guided, uncond + scale * (cond - uncond), **CLOSE)
    x_t = normal(3, 3, 32, 32, seed=5)
    cond, uncond = cascade.decoder(x_t, t, z_i, text), cascade.decoder(x_t, t, None, empty)
    guided = cascade.decoder_denoiser(z_i, text, scale)(x_t, t)
    torch.testing.assert_close(guided[:, :3], (uncond + scale * (cond - uncond))[:, :3], **CLOSE)
    torch.testing.assert_close(guided[:, 3:], cond[:, 3:], **CLOSE)  # the variance is never guided
    assert (cond - uncond)[:, :3].std() > 1e-3


# -- the best candidate --------------------------------------------------------------------------------------


def test_best_of_keeps_the_nearest():
    z_t = normal(3, 8)
    near, far, opposite = 5 * z_t + 0.1 * normal(3, 8, seed=2), 9 * normal(3, 8, seed=3), -z_t
    for order in ((near, far, opposite), (opposite, near, far), (far, opposite, near)):
        z_i = torch.stack(order, dim=1).flatten(0, 1)
        assert torch.equal(best_of(z_i, z_t, 3), near)
    assert torch.equal(best_of(far, z_t, 1), far)


def test_more_candidates_are_never_less_similar(cascade):
    cosine = []
    for n in (1, 2, 4):
        drawing = cascade.sample(CAPTIONS, seed=3, size=32, settings=replace(cascade.settings, candidates=n))
        cosine.append(torch.cosine_similarity(drawing.z_i, drawing.text.embed))
    assert (cosine[1] >= cosine[0] - 1e-5).all() and (cosine[2] >= cosine[1] - 1e-5).all()
    assert (cosine[2] > cosine[0] + 1e-3).any()


def test_z_i_leaves_the_whitened_space(cascade):
    settings = replace(cascade.settings, candidates=1)
    drawing = cascade.sample(CAPTIONS, size=32, settings=settings, keep_steps=True)
    torch.testing.assert_close(drawing.z_i, cascade.prior.unwhiten(drawing.steps["prior"][-1].x_t))


# -- bad input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder_guidance": -0.1}, "decoder_guidance is -0.1: choose 0"),
        ({"decoder_guidance": 51}, "decoder_guidance is 51"),
        ({"prior_guidance": float("nan")}, "prior_guidance is nan"),
        ({"prior_steps": 1}, "prior_steps is 1: choose 2 to 1000, a whole number"),
        ({"decoder_steps": 1001}, "decoder_steps is 1001"),
        ({"upsampler_steps": (4, 0)}, "upsampler_steps is 0"),
        ({"candidates": 0}, "candidates is 0: choose 1 to 100"),
        ({"sampler": "euler"}, "no sampler 'euler': choose one of .*ddim"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message) as error:
        Settings(**changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("captions", [[], [""], ["a star", "  "]])
def test_an_empty_caption_is_refused(cascade, captions):
    with pytest.raises(ValueError, match="the caption is empty"):
        cascade.sample(captions)


def test_a_size_that_does_not_exist_is_refused(cascade):
    with pytest.raises(ValueError, match=r"cannot draw at 100 pixels: choose one of \[32, 64, 128\]"):
        cascade.sample(["a star"], size=100)


def test_noise_that_runs_out_is_refused(cascade):
    settings = replace(cascade.settings, sampler="ddpm")
    with pytest.raises(ValueError, match="the noise ran out"):
        cascade.sample(["a star"], settings=settings, noise={"decoder": [normal(1, 3, 32, 32)]})


def test_the_shipped_cascade_draws_a_finite_picture():
    cascade = minunclip.load("scenes")
    settings = replace(cascade.settings, prior_steps=3, decoder_steps=3, upsampler_steps=(2, 2))
    drawing = cascade.sample(["a red star"], size=128, settings=settings)
    assert drawing.image.shape == (1, 3, 128, 128) and drawing.image.isfinite().all()


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_the_autoregressive_prior_fits_the_same_place(cascade, guidance):
    prior = ARPrior(ARPriorConfig(
        z_width=12, text_width=cascade.clip.config.text_width, context=cascade.clip.config.context, components=5,
        buckets=8, dot_buckets=4, width=16, layers=2, heads=2,
    ))  # fmt: skip
    prior.fit(normal(200, 12), normal(200, 12, seed=1))
    ours = UnCLIP(cascade.clip, randomise(prior), cascade.decoder, [])
    settings = replace(cascade.settings, candidates=1, prior_guidance=guidance)
    batch = ours.sample(CAPTIONS, seed=7, settings=settings)
    for i, caption in enumerate(CAPTIONS):
        alone = ours.sample([caption], seed=7 + i, settings=settings)
        torch.testing.assert_close(alone.z_i[0], batch.z_i[i], **CLOSE)
    assert len({tuple(z.tolist()) for z in batch.z_i}) > 1
    counts = [p.total for p in ours.stream(CAPTIONS, settings=settings) if p.stage == "prior"]
    assert counts == [5] * 5                                                    # a step for each component
