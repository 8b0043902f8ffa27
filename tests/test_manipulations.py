"""What is done with pictures in CLIP's space: by closed forms, on tiny random networks and on the shipped weights."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from helpers import normal, tiny_cascade
from torch import Tensor
from torch.testing import assert_close

import minunclip
from minunclip import manipulations
from minunclip.diffusion import Step
from minunclip.embeddings import PCA
from minunclip.manipulations import (
    Latent,
    as_image_embedding,
    between_pictures,
    between_texts,
    decode,
    draw,
    fresh,
    interpolate,
    invert,
    probe,
    text_diff,
    three_ways,
)
from minunclip.scenes import Scenes
from minunclip.unclip import UnCLIP

CAPTIONS = ["a red star", "a big blue fish above a small green moon"]


@pytest.fixture(scope="module")
def cascade() -> UnCLIP:
    return tiny_cascade()


@pytest.fixture
def latent(cascade) -> Latent:
    return fresh(cascade, normal(2, 12, seed=3), seed=5)


def unit(x: Tensor) -> Tensor:
    return F.normalize(x.flatten(1), dim=1)


def angle(a: Tensor, b: Tensor) -> Tensor:
    """As exact for small angles as for others."""
    return 2 * torch.atan2((unit(a) - unit(b)).norm(dim=1), (unit(a) + unit(b)).norm(dim=1))


def decibels(found: Tensor, expected: Tensor) -> float:
    return (10 * torch.log10(4 / (found - expected).pow(2).mean())).item()


# -- latents -------------------------------------------------------------------------------------------------


def test_latents_are_batches(latent):
    assert len(latent.repeat(3)) == 6
    assert torch.equal(latent.repeat(3).z_i[:3], latent.z_i[:1].expand(3, -1))
    assert torch.equal(latent.repeat(3)[3:].x_T, latent[1:].x_T.expand(3, -1, -1, -1))


def test_fresh_latents_start_where_the_cascade_does(cascade):
    captions = [*CAPTIONS, "a heart"]
    drawing = cascade.sample(captions, seed=7, size=32)
    found = decode(cascade, drawing.z_i, captions, seed=7)
    assert torch.equal(found, drawing.images[32])
    s = cascade.settings
    latent = fresh(cascade, drawing.z_i, seed=7)
    assert torch.equal(draw(cascade, latent, captions, steps=s.decoder_steps, guidance=s.decoder_guidance), found)
    shared = fresh(cascade, drawing.z_i, seed=7, same=True).x_T
    assert torch.equal(shared, latent.x_T[:1].expand(3, -1, -1, -1))


def test_a_caption_for_each_picture_or_none(cascade, latent):
    empty, none = draw(cascade, latent, ["", ""], steps=3), draw(cascade, latent, steps=3)
    assert torch.equal(empty, none)
    assert not torch.allclose(draw(cascade, latent, CAPTIONS, steps=3), none, atol=1e-3)
    with pytest.raises(ValueError, match="3 captions for 2 pictures"):
        draw(cascade, latent, ["a star"] * 3, steps=3)


# -- inversion and variations --------------------------------------------------------------------------------


def test_the_shipped_decoder_draws_an_inverted_picture_again():
    """The closer, the more steps and the more corrections, and only with its own z_i."""
    cascade = minunclip.load("scenes")
    image = Scenes("test", 10, seed=5)[0].image(32)[None]
    found = {}
    for steps, corrections in ((8, 1), (8, 3), (25, 2)):
        latent = invert(cascade, image, steps=steps, corrections=corrections)
        found[steps, corrections] = decibels(draw(cascade, latent, steps=steps), image)
    assert found[8, 1] + 3 < found[8, 3] and found[8, 1] + 6 < found[25, 2] and found[25, 2] > 35
    other = Latent(latent.z_i.flip(1), latent.x_T)
    assert decibels(draw(cascade, other, steps=25), image) < found[25, 2] - 15


def test_inversion_takes_captions_and_a_given_z_i(cascade):
    images, z_i = normal(2, 3, 32, 32).clamp(-1, 1), normal(2, 12, seed=3)
    plain = invert(cascade, images, steps=3, corrections=1)
    assert_close(plain.z_i, cascade.clip.encode_image(images).detach())
    captioned = invert(cascade, images, CAPTIONS, steps=3, corrections=1)
    assert torch.equal(captioned.z_i, plain.z_i) and not torch.allclose(captioned.x_T, plain.x_T, atol=1e-2)
    given_z = invert(cascade, images, z_i=z_i, steps=3, corrections=1)
    assert torch.equal(given_z.z_i, z_i) and not torch.allclose(given_z.x_T, plain.x_T, atol=1e-2)


def test_no_variation_is_the_same_picture_and_more_is_less_alike(cascade, latent):
    plain = draw(cascade, latent, steps=6)
    assert torch.equal(draw(cascade, latent, eta=0.0, seed=9, steps=6), plain)
    near, far = (decibels(draw(cascade, latent, eta=eta, seed=9, steps=6), plain) for eta in (0.1, 1.0))
    assert far < near - 3
    assert torch.equal(draw(cascade, latent, eta=1.0, seed=9, steps=6), draw(cascade, latent, eta=1.0, seed=9, steps=6))
    assert not torch.allclose(draw(cascade, latent, eta=1.0, seed=8, steps=6), draw(cascade, latent, eta=1.0, seed=9,
                                                                                    steps=6), atol=1e-2)  # fmt: skip


def test_a_variation_depends_on_its_own_seed_only(cascade, latent):
    both = draw(cascade, latent, eta=1.0, seed=9, steps=4)
    assert_close(draw(cascade, latent[1:], eta=1.0, seed=10, steps=4), both[1:], rtol=1e-3, atol=1e-4)


def test_the_fresh_noise_is_never_x_T_itself(cascade, monkeypatch):
    """A latent made from a seed may be varied with that very seed."""
    seen = []

    def spy(diffusion, denoiser, noise, steps, eta, x_T):
        seen.append((next(noise), x_T))
        return iter([Step(x_T, x_T, 0)])

    monkeypatch.setattr(manipulations, "ddim", spy)
    draw(cascade, fresh(cascade, normal(2, 12), seed=4), eta=1.0, seed=4)
    assert not torch.allclose(*seen[0])


def test_pictures_of_another_side_say_so(cascade):
    with pytest.raises(ValueError, match=r"the decoder's are \(B, 3, 32, 32\)"):
        invert(cascade, normal(1, 3, 64, 64))


# -- interpolations, text diffs, probing ---------------------------------------------------------------------


def test_an_interpolation_starts_and_ends_at_its_pictures(cascade, latent):
    other, theta = fresh(cascade, normal(2, 12, seed=4), seed=15), torch.tensor([0.0, 1.0])
    ends = interpolate(latent, other, theta)
    for found, a, b in ((ends.z_i, latent.z_i, other.z_i), (ends.x_T, latent.x_T, other.x_T)):
        assert_close(found, torch.stack([a[0], b[1]]), rtol=1e-4, atol=1e-5)
    fixed = interpolate(latent, other, theta, x_T=latent.x_T)
    assert torch.equal(fixed.x_T, latent.x_T) and torch.equal(fixed.z_i, ends.z_i)


def test_strips_of_one_picture(cascade, latent):
    one, other, theta = latent[:1], latent[1:], torch.linspace(0, 1, 5)
    strip = interpolate(one, other, theta)
    assert_close(strip.x_T[0], one.x_T[0], rtol=1e-4, atol=1e-5)
    assert_close(strip.z_i[-1], other.z_i[0], rtol=1e-4, atol=1e-5)
    assert torch.equal(interpolate(one, other, theta, one.x_T).x_T, one.repeat(5).x_T)
    diffs = text_diff(cascade, one, CAPTIONS[:1], theta=theta)
    assert_close(diffs.z_i[2:3], text_diff(cascade, one, CAPTIONS[:1], theta=0.5).z_i)
    assert torch.equal(diffs.x_T, one.repeat(5).x_T)


def test_along_an_interpolation_one_end_gives_way_to_the_other(latent, cascade):
    other = fresh(cascade, normal(2, 12, seed=4), seed=15)
    away = [F.cosine_similarity(interpolate(latent, other, i / 8).z_i, latent.z_i) for i in range(9)]
    assert (torch.stack(away).diff(dim=0) < 0).all()


@pytest.mark.parametrize("base", [None, ["", ""], ["a star", "a fish"]])
def test_a_text_diff_turns_z_i_towards_the_difference_of_two_captions(cascade, latent, base):
    z_t = unit(cascade.clip.encode_text(CAPTIONS).embed)
    z_d = unit(z_t if base is None else z_t - unit(cascade.clip.encode_text(base).embed))
    for theta in (0.0, 0.25, 0.5, 1.0):
        found = text_diff(cascade, latent, CAPTIONS, base, theta=theta)
        assert_close(found.z_i.norm(dim=1), latent.z_i.norm(dim=1))
        assert_close(angle(found.z_i, z_d), (1 - theta) * angle(latent.z_i, z_d), rtol=1e-4, atol=1e-5)
        assert torch.equal(found.x_T, latent.x_T)
    assert_close(text_diff(cascade, latent, CAPTIONS, base, theta=0.0).z_i, latent.z_i)


@pytest.mark.parametrize("direction", [between_texts, between_pictures])
def test_a_text_diff_of_equal_captions_changes_nothing(cascade, latent, direction):
    assert_close(text_diff(cascade, latent, CAPTIONS, CAPTIONS, theta=0.5, direction=direction).z_i, latent.z_i)


def test_the_prior_is_asked_for_both_captions_with_the_same_noise(cascade, latent):
    one = replace(cascade.settings, candidates=1)
    z_i, z_i0 = (unit(cascade.sample(said, seed=7, settings=one).z_i) for said in (CAPTIONS, ["a star", "a fish"]))
    assert_close(between_pictures(cascade, CAPTIONS, ["a star", "a fish"], seed=7), unit(z_i - z_i0))
    assert_close(between_pictures(cascade, CAPTIONS, seed=7), z_i)
    common = between_pictures(cascade, CAPTIONS, ["a star"])            # one base for two captions, each with its noise
    assert_close(common, between_pictures(cascade, CAPTIONS, ["a star", "a star"]))
    assert between_pictures(cascade, CAPTIONS, [""]).isfinite().all()
    assert not any(way(cascade, CAPTIONS).requires_grad for way in (between_texts, between_pictures))
    turned = text_diff(cascade, latent, CAPTIONS, ["a star"], theta=0.5, direction=between_pictures)
    assert_close(angle(turned.z_i, common), 0.5 * angle(latent.z_i, common), rtol=1e-4, atol=1e-5)


def test_probing_keeps_the_first_components(latent):
    pca = PCA.fit(normal(50, 12, seed=8) * torch.linspace(3, 0.1, 12))
    kept = [probe(latent, pca, k) for k in range(13)]
    errors = torch.stack([(part.z_i - latent.z_i).norm(dim=1) for part in kept])
    assert (errors.diff(dim=0) < 1e-6).all() and errors[-1].max() < 1e-5
    assert_close(kept[0].z_i, pca.mean.expand(2, -1))
    assert_close(pca.project(kept[4].z_i)[:, :4], pca.project(latent.z_i)[:, :4])
    assert torch.equal(kept[4].x_T, latent.x_T)


# -- the decoder on its own ----------------------------------------------------------------------------------


def test_three_ways_differ_in_z_i_only(cascade, monkeypatch):
    seen, stream, denoiser = [], cascade.noise, cascade.decoder.denoiser
    monkeypatch.setattr(cascade.decoder, "denoiser", lambda z, *rest: seen.append(z) or denoiser(z, *rest))
    ways = three_ways(cascade, CAPTIONS, seed=3)
    text = cascade.encode_text(CAPTIONS)
    assert list(ways) == ["caption only", "z_t as z_i", "prior"]
    assert seen[0] is None                                              # the embedding of no image
    assert_close(unit(seen[1]), unit(text.embed))
    assert torch.equal(seen[2], cascade.sample(CAPTIONS, seed=3, size=32).z_i)
    assert torch.equal(ways["prior"], cascade.sample(CAPTIONS, seed=3, size=32).image)
    assert torch.equal(ways["prior"], decode(cascade, seen[2], CAPTIONS, seed=3))
    assert torch.equal(next(stream((2, 3, 32, 32), 3, "decoder")), fresh(cascade, seen[2], seed=3).x_T)
    assert all(image.abs().max() <= 1 for image in ways.values())


def test_the_settings_reach_all_three(cascade):
    changed = replace(cascade.settings, decoder_steps=2, decoder_guidance=1.0, sampler="dpm")
    before, after = three_ways(cascade, CAPTIONS), three_ways(cascade, CAPTIONS, settings=changed)
    assert all(not torch.allclose(before[way], after[way], atol=1e-3) for way in before)


def test_a_z_t_gets_the_length_of_a_z_i(cascade):
    many = cascade.prior.unwhiten(normal(4000, 12))
    found = as_image_embedding(cascade, normal(3, 12, seed=6))
    assert_close(found.norm(dim=1), many.norm(dim=1).square().mean().sqrt().expand(3), rtol=0.03, atol=0)
    assert_close(unit(found), unit(normal(3, 12, seed=6)))
