"""OpenAI's ViT-L/14, whose z_i and z_t Karlo knows, as open_clip builds it: "ViT-L-14-quickgelu"."""

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
from minunclip.common import for_clip
from minunclip.common.images import CLIP_MEAN, CLIP_STD
from minunclip.pretrained import load_openai_clip
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
