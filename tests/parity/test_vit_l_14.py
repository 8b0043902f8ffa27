"""OpenAI's ViT-L/14, whose z_i and z_t Karlo knows, as open_clip builds it: "ViT-L-14-quickgelu"."""

from contextlib import suppress

import open_clip
import pytest
import torch
from helpers import randomise
from karlo_folder import tokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file
from test_clip import compare, load
from test_photos import noise

from minunclip.clip import CLIP, CLIPConfig
from minunclip.common import for_clip, for_decoder
from minunclip.common.images import CLIP_MEAN, CLIP_STD
from minunclip.pretrained import load_open_clip, load_openai_clip
from minunclip.pretrained.openai_clip import config_of
from minunclip.text import BytePairTokenizer

NAME = "ViT-L-14-quickgelu"
TINY = CLIPConfig(
    embed_width=64, image_size=56, image_width=128, image_layers=2, image_heads=2,
    text_width=128, text_layers=2, text_heads=2,
)  # fmt: skip


def their_config():
    return open_clip.get_model_config(NAME)


def shrunk():
    """Their config with less of everything but what makes it ViT-L/14: the patch, the heads' width, QuickGELU."""
    config = their_config()
    vision = {**config["vision_cfg"], "image_size": 56, "width": 128, "layers": 2}
    text = {**config["text_cfg"], "width": 128, "heads": 2, "layers": 2}
    return {**config, "embed_dim": 64, "vision_cfg": vision, "text_cfg": text}


def test_our_defaults_are_its_config():
    theirs, ours = their_config(), CLIPConfig()
    vision, text = theirs["vision_cfg"], theirs["text_cfg"]
    assert theirs["quick_gelu"] and ours.activation == "quick_gelu" and ours.embed_width == theirs["embed_dim"]
    assert (ours.image_size, ours.patch) == (vision["image_size"], vision["patch_size"])
    assert (ours.image_width, ours.image_layers, ours.image_heads) == (vision["width"], vision["layers"], 1024 // 64)
    assert (ours.text_width, ours.text_layers, ours.text_heads) == (text["width"], text["layers"], text["heads"])
    assert ours.context == text["context_length"]


def test_parameters_to_the_digit():
    with torch.device("meta"):
        ours, theirs = CLIP(CLIPConfig()), open_clip.CLIP(**their_config())
    counts = [sum(parameter.numel() for parameter in model.parameters()) for model in (ours, theirs)]
    assert counts == [427_616_513] * 2


def test_equals_open_clip():
    """Text tokens, text and image embeddings, of a picture and captions as a user has them."""
    theirs = randomise(open_clip.CLIP(**shrunk()))
    compare(load(theirs, TINY), theirs, for_clip(noise(90, 60), 56))


@pytest.mark.slow
def test_equals_open_clip_at_full_size():
    """4 GB of memory."""
    theirs = open_clip.create_model(NAME, pretrained=None).eval()
    compare(load(theirs, CLIPConfig()), theirs, for_clip(noise(300, 400)))


def test_pictures_are_prepared_as_for_the_released_weights():
    release = open_clip.get_pretrained_cfg(NAME, "openai")
    theirs = PreprocessCfg(size=224, **{name: release[name] for name in ("mean", "std") if name in release})
    assert (tuple(theirs.mean), tuple(theirs.std)) == (CLIP_MEAN, CLIP_STD)
    image = Image.radial_gradient("L").resize((300, 260)).convert("RGB")
    assert torch.equal(for_clip(image), image_transform_v2(theirs, is_train=False)(image)[None])


# -- tokens --------------------------------------------------------------------------------------------------

PLAIN = ["a corgi playing a flame-throwing trumpet", "", "two red cubes, one blue sphere", "I'VE 1234 DOGS", "日本語",
         "a corgi 🐕‍🦺 on the moon", "word " * 100]  # fmt: skip


@pytest.mark.filterwarnings("ignore:this caption has")
def test_ids_are_those_of_karlos_tokenizer():
    ours = BytePairTokenizer()(PLAIN)
    theirs = tokenizer()(PLAIN, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    assert torch.equal(ours, theirs)


def test_except_that_an_exclamation_mark_means_what_it_says():
    """In Karlo's tokenizer it is the padding, 0: what stands there then depends on the mask alone."""
    ours = BytePairTokenizer()(["!", "wow !"])[:, :4].tolist()
    theirs = tokenizer()(["!", "wow !"], padding="max_length", max_length=77).input_ids
    assert [row[:4] for row in theirs] == [[49406, 0, 49407, 0], [49406, ours[1][1], 0, 49407]]
    assert ours == [[49406, 256, 49407, 0], [49406, ours[1][1], 256, 49407]]


# -- with both encoders, from open_clip's cache --------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_openais_clip_comes_with_both_encoders(suffix, tmp_path, monkeypatch):
    theirs, path = randomise(open_clip.CLIP(**shrunk())), tmp_path / f"open_clip_model{suffix}"
    state = {name: tensor.contiguous() for name, tensor in theirs.state_dict().items()}
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    asked = []
    monkeypatch.setattr("open_clip.pretrained.download_pretrained", lambda cfg: asked.append(cfg) or str(path))
    ours = load_openai_clip(config=TINY)
    compare(ours, theirs, for_clip(noise(90, 60), 56))
    assert asked == [open_clip.get_pretrained_cfg(NAME, "openai")] and not ours.training
    assert load_openai_clip(dtype=torch.bfloat16, config=TINY).image.project.weight.dtype == torch.bfloat16


def test_openais_clip_that_cannot_be_fetched_is_one_line(monkeypatch):
    def fail(cfg):
        raise FileNotFoundError("Failed to download file\nLast error: offline")

    monkeypatch.setattr("open_clip.pretrained.download_pretrained", fail)
    with pytest.raises(ConnectionError, match="both encoders.*connect to the internet once.*offline") as error:
        load_openai_clip()
    assert "\n" not in str(error.value)


# -- other CLIPs by their names ------------------------------------------------------------------------------


def test_open_clips_models_have_their_sizes_here():
    """Every plain one, to the number of its parameters."""
    sizes = {}
    for model, training in open_clip.list_pretrained():
        if model.startswith(("ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-H-14")) and model not in sizes:
            with suppress(ValueError), torch.device("meta"):
                sizes[model] = CLIP(config_of(model, open_clip.get_pretrained_cfg(model, training)))
    assert {"ViT-B-32", "ViT-B-16", "ViT-L-14-336", "ViT-H-14-quickgelu"} <= set(sizes) and len(sizes) > 10
    for model, ours in sizes.items():
        with torch.device("meta"):
            theirs = open_clip.CLIP(**open_clip.get_model_config(model))
        assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters()), model
        assert ours.tokenizer.context == 77


def test_one_of_them_looks_at_pictures_as_open_clip_does(tmp_path, monkeypatch):
    """Its own transform and its own activation: the colours of a photograph, on our scale, give their embedding."""
    config = open_clip.get_model_config("ViT-B-32")
    vision, text = config["vision_cfg"] | {"layers": 1, "width": 64}, config["text_cfg"] | {"layers": 1}
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: {**config, "vision_cfg": vision, "text_cfg": text})
    theirs, path = randomise(open_clip.CLIP(512, vision, text)).eval(), tmp_path / "open_clip_model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in theirs.state_dict().items()}, path)
    monkeypatch.setattr("open_clip.pretrained.download_pretrained", lambda cfg: str(path))
    ours, photo = load_open_clip("ViT-B-32/laion2b_s34b_b79k"), noise(300, 260)
    transform = image_transform_v2(PreprocessCfg(size=224), is_train=False)
    with torch.no_grad():
        expected = theirs.encode_image(transform(photo)[None])
        torch.testing.assert_close(ours.look(for_decoder(photo, 224)), expected, atol=1e-4, rtol=1e-4)
    assert ours.config.activation == "gelu" and ours.config.mean == CLIP_MEAN


@pytest.mark.parametrize(("name", "message"), [
    ("ViT-B-33/openai", "open_clip has no CLIP 'ViT-B-33/openai': choose MODEL/TRAINING, such as ViT-B-32/openai"),
    ("RN50/openai", "RN50 is built otherwise than the paper's CLIP .a ResNet.: take a plain one"),
    ("ViT-B-16-SigLIP/webli", "ViT-B-16-SigLIP is built otherwise than the paper's CLIP .*custom_text"),
])  # fmt: skip
def test_other_names_are_refused_in_a_line(name, message):
    with pytest.raises(ValueError, match=message) as error:
        load_open_clip(name)
    assert "\n" not in str(error.value)
