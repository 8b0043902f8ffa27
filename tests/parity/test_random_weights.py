"""A folder of random weights: diffusers and transformers take it for one of Karlo's, and so do we."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from helpers import normal, relative_error
from safetensors.torch import load_file
from test_full_size import ORACLES, PUBLISHED
from test_photos import noise
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionModelWithProjection

import minunclip
from minunclip.common import for_clip, for_decoder
from minunclip.manipulations import draw, invert, text_diff
from minunclip.pretrained import DEFAULT, MODES, NARROW, write_karlo
from minunclip.pretrained import random_karlo as random_weights
from minunclip.pretrained.random_karlo import contents, folders
from minunclip.unclip import Settings

CAPTION = ["a corgi playing a flame-throwing trumpet"]
ENCODERS = {"text_encoder": CLIPTextModelWithProjection, "image_encoder": CLIPVisionModelWithProjection}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    return write_karlo(tmp_path_factory.mktemp("narrow"))


@pytest.fixture(scope="module")
def ours(narrow):
    return minunclip.load(narrow)


def theirs(folder, part):
    """Their network, which must find every tensor that it asks for, and no other."""
    model, told = (ORACLES | ENCODERS)[part].from_pretrained(folder / part, output_loading_info=True)
    assert not any(told.get(what) for what in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"))
    return model.eval()


# -- what is written -----------------------------------------------------------------------------------------


def test_the_configs_come_back(ours):
    assert (ours.clip.config, ours.prior.config, ours.decoder.config) == (NARROW.clip, NARROW.prior, NARROW.decoder)
    found, wanted = vars(ours.upsamplers[0].config), vars(NARROW.upsampler)
    unet = vars(found["unet"]) | {"head_width": 64, "context_width": 1536}  # mean nothing without attention
    assert found | {"unet": 0} == wanted | {"unet": 0} and unet == vars(wanted["unet"])


@pytest.mark.parametrize("part", [*ORACLES, "text_encoder"])
def test_at_karlos_sizes_config_and_names_are_the_published_ones(part):
    written = folders(DEFAULT)[part]
    assert {name: written.config[name] for name in PUBLISHED[part] if name in written.config} == PUBLISHED[part]
    with torch.device("meta"):
        network = (CLIPTextModelWithProjection(CLIPTextConfig(**PUBLISHED[part])) if part == "text_encoder"
                   else ORACLES[part].from_config(PUBLISHED[part]))  # fmt: skip
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert contents(written, DEFAULT) == expected


def test_a_seed_writes_the_same_numbers_and_another_seed_others(narrow, tmp_path):
    file = "text_proj/diffusion_pytorch_model.safetensors"
    same, other = (write_karlo(tmp_path / str(seed), seed=seed) / file for seed in (0, 1))
    assert (narrow / file).read_bytes() == same.read_bytes() != other.read_bytes()


def test_no_two_tensors_are_alike(ours):
    """Or else a mix-up of two of them would go unnoticed."""
    for stage in (ours.clip, ours.prior, ours.decoder, ours.upsamplers[0]):
        starts = [tuple(tensor.flatten()[:4].tolist()) for tensor in stage.state_dict().values() if tensor.numel() > 3]
        assert len(set(starts)) == len(starts)


# -- the same network for them and for us --------------------------------------------------------------------


@torch.no_grad()
def test_each_network_equals_theirs(narrow, ours):
    t, text = torch.tensor([500]), ours.encode_text(CAPTION)
    z_i, x, low = normal(1, 32), normal(1, 3, 64, 64), normal(1, 3, 256, 256, seed=2)
    context, added = theirs(narrow, "text_proj")(
        image_embeddings=z_i, prompt_embeds=text.embed, text_encoder_hidden_states=text.tokens,
        do_classifier_free_guidance=False,
    )  # fmt: skip
    mask = F.pad(text.mask, (4, 0), value=True)
    ids = ours.clip.tokenizer(CAPTION)
    pairs = {
        "text_encoder": (text.embed, lambda net: net(ids).text_embeds),
        "image_encoder": (ours.clip.encode_image(x[..., :56, :56]), lambda net: net(x[..., :56, :56]).image_embeds),
        "decoder": (ours.decoder(x, t, z_i, text), lambda net: net(
            x, 500, encoder_hidden_states=context, class_labels=added, attention_mask=mask).sample),
        "super_res_last": (ours.upsamplers[0](low, 0 * t, x), lambda net: net(torch.cat([low, F.interpolate(
            x, 256, mode="bicubic", antialias=True)], 1), 0).sample),
    }  # fmt: skip
    for part, (actual, run) in pairs.items():
        assert relative_error(actual, run(theirs(narrow, part))) < 5e-6, part
    ids = F.pad(text.tokens, (0, 0, 0, 77 - text.tokens.shape[1]))
    expected = theirs(narrow, "prior")(z_i, 500, text.embed, ids, F.pad(text.mask, (0, 77 - text.mask.shape[1])))
    assert relative_error(ours.prior(z_i, t, text), expected.predicted_image_embedding) < 5e-6


def test_it_draws_in_every_mode(narrow):
    few = Settings(prior_steps=2, decoder_steps=2, upsampler_steps=(2,), candidates=1, sampler="ddpm")
    images = []
    for mode in MODES:
        cascade = minunclip.load(narrow, dtype=torch.bfloat16, memory=mode)
        images.append(cascade.sample(CAPTION, settings=few, size=64).image)
    assert images[0].std() > 0.1 and all(torch.equal(images[0], image) for image in images[1:])


def test_half_precision_files_and_no_image_encoder(tmp_path):
    sizes = replace(NARROW, clip=replace(NARROW.clip, image_layers=0))
    write_karlo(tmp_path, sizes, torch.bfloat16)
    assert not (tmp_path / "image_encoder").exists()
    cascade = minunclip.load(tmp_path)
    assert cascade.clip.image is None and cascade.prior.std.min() >= 0.49
    assert torch.equal(cascade.prior.z_in.weight, cascade.prior.z_in.weight.bfloat16().float())


def test_a_large_tensor_repeats_its_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(random_weights, "BLOCK", 5)
    random_weights.write_weights(tmp_path / "a.safetensors", {"x.weight": (3, 4), "y": (2,)}, torch.float32,
                                 torch.Generator().manual_seed(0))  # fmt: skip
    found = load_file(tmp_path / "a.safetensors")
    x = found["x.weight"].flatten()
    assert torch.equal(x[:5], x[5:10]) and torch.equal(x[:2], x[10:]) and found["y"].shape == (2,)


@torch.no_grad()
def test_what_is_done_with_a_picture_of_ones_own(narrow):
    """CLIP sees it at another size than the decoder draws it, and each network is fetched when it is needed."""
    cascade, picture = minunclip.load(narrow, memory="disk"), noise(90, 60)
    z_i = cascade.clip.encode_image(for_clip(picture, cascade.clip.config.image_size))
    latent = invert(cascade, for_decoder(picture, 64), steps=3, corrections=1, z_i=z_i)
    assert torch.equal(latent.z_i, z_i) and latent.x_T.shape == (1, 3, 64, 64) and latent.x_T.isfinite().all()
    changed = text_diff(cascade, latent, ["a winter landscape"], ["a landscape"], theta=torch.tensor([0.0, 0.5]))
    assert torch.allclose(changed.z_i[0], z_i[0], atol=1e-5)
    assert torch.allclose(changed.z_i.norm(dim=1), z_i.norm().expand(2)) and not torch.allclose(*changed.z_i)
    one, other = draw(cascade, changed, steps=2)
    assert one.shape == (3, 64, 64) and one.isfinite().all() and not torch.equal(one, other)
