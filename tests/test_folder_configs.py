"""The configs of a folder in Karlo's layout: whatever stands in them, they are read or refused in a line."""

import copy
import json
import random
from pathlib import Path

import psutil
import pytest
import torch

from minunclip.clip import CLIP
from minunclip.decoder import Decoder
from minunclip.pretrained import DEFAULT, NARROW, Weightless
from minunclip.pretrained.config_file import ConfigFile
from minunclip.pretrained.folder_configs import clip_config, decoder_config, prior_config, upsampler_config
from minunclip.pretrained.random_karlo import folders, scheduler, write_json
from minunclip.prior import DiffusionPrior
from minunclip.upsampler import Upsampler


def configs(sizes) -> dict[str, dict]:
    """All configs of a folder with networks of these sizes."""
    diffusions = {"prior": sizes.prior, "decoder": sizes.decoder, "super_res": sizes.upsampler}
    return ({name: folder.config for name, folder in folders(sizes).items()}
            | {f"{name}_scheduler": scheduler(stage.diffusion) for name, stage in diffusions.items()})  # fmt: skip


CONFIGS = configs(DEFAULT)
STAGES = {
    CLIP: (clip_config, ("text_encoder", "image_encoder")),
    DiffusionPrior: (prior_config, ("prior", "prior_scheduler")),
    Decoder: (decoder_config, ("decoder", "text_proj", "decoder_scheduler")),
    Upsampler: (lambda folder: upsampler_config(folder, 64), ("super_res_first", "super_res_scheduler")),
}
READ = {name: (stage, read) for stage, (read, names) in STAGES.items() for name in names}


def path_of(folder: Path, name: str) -> Path:
    return folder / name / ("scheduler_config.json" if name.endswith("scheduler") else "config.json")


@pytest.fixture
def folder(tmp_path):
    for name, values in CONFIGS.items():
        write_json(path_of(tmp_path, name), values)
    return tmp_path


def build(name: str, folder: Path):
    """The stage that this config belongs to, without memory for its weights."""
    stage, read = READ[name]
    with Weightless():
        return stage(read(folder))


def refusal(name: str, folder: Path) -> str:
    """Why the config is refused: one line of a bearable length that names its file."""
    with pytest.raises(ValueError) as error:
        build(name, folder)
    said = str(error.value)
    assert str(path_of(folder, name)) in said and "\n" not in said and len(said) < 500 + 3 * len(str(folder)), said
    return said


def test_untouched_each_of_them_is_read(folder):
    assert (clip_config(folder), prior_config(folder), decoder_config(folder)) == (
        DEFAULT.clip, DEFAULT.prior, DEFAULT.decoder)  # fmt: skip
    for _, (name, *_) in STAGES.values():
        with_memory = [weight for weight in build(name, folder).parameters() if not weight.is_meta]
        assert sum(weight.numel() for weight in with_memory) < 1000


# -- any value in any place ----------------------------------------------------------------------------------

NUMBERS = [0, -1, 1, 2, 3, 7, 48, 77, 10**5, 10**9, 2**40, 2**63, -(2**63), 10**400, 0.5, -0.0, 64.0, 1e308, -1e308,
           float("inf"), float("nan")]  # fmt: skip
WORDS = ["", "x", "64", "null", "epsilon", "sample", "learned_range", "scale_shift", "gelu", "é\n", 10**4 * "long "]
OTHERS = [None, True, False, {}, {"a": 1}, [], [[]], [1, 2], [None], ["x"] * 4, [0] * 10**4]


def spoiled(value: object, rng: random.Random) -> object:
    """Another value in place of this one, or, in a list, of one of its own."""
    if isinstance(value, list) and rng.random() < 0.5:
        value = copy.copy(value)
        value[rng.randrange(len(value))] = rng.choice(NUMBERS + WORDS + OTHERS)
        return value
    return rng.choice(rng.choice([NUMBERS, WORDS, OTHERS]))


def test_any_value_in_any_place_is_read_or_refused(folder):
    """500 times, without much memory: for some of these numbers gigabytes would have to be filled."""
    right = configs(NARROW)                                             # which are built sooner
    for name in READ:
        write_json(path_of(folder, name), right[name])
    for name in READ:
        build(name, folder)                                             # whose imports take memory, too
    rng, refused, before = random.Random(3), 0, psutil.Process().memory_info().rss
    for _ in range(500):
        name = rng.choice([*READ])
        values = dict(right[name])
        field = rng.choice([*values])
        values[field] = spoiled(values[field], rng)
        path_of(folder, name).write_text(json.dumps(values))
        try:
            build(name, folder)
        except ValueError:
            refusal(name, folder)
            refused += 1
        assert psutil.Process().memory_info().rss - before < 150e6, (name, field, values[field])
        write_json(path_of(folder, name), right[name])
    assert 250 < refused < 490, "or else most of it is not read, or all of it is refused"


@pytest.mark.parametrize("name, field, value, said", [
    ("prior_scheduler", "num_train_timesteps", 10**9, "must be a whole number from 2 to 10000$"),
    ("prior_scheduler", "prediction_type", "x", "prediction_type is 'x', but must be one of epsilon, sample"),
    ("prior_scheduler", "variance_type", "learned_range", "must be one of fixed_small_log, fixed_small"),
    ("decoder_scheduler", "clip_sample", "false", "must be true or false"),
    ("decoder_scheduler", "clip_sample_range", True, "must be a number from 0.01"),
    ("decoder", "layers_per_block", None, "layers_per_block is None, but must be a whole number"),
    ("decoder", "sample_size", 60, "60, which its U-Net cannot halve 3 times"),
    ("decoder", "out_channels", 3, "does not go with learned_variance"),
    ("decoder", "norm_num_groups", 33, "no multiple of groups=33"),
    ("decoder", "block_out_channels", [320, 640], r"block_out_channels \[320, 640\] and 4 down_block_types"),
    ("super_res_first", "sample_size", 200, "no multiple of the 64 pixels that it enlarges"),
    ("super_res_first", "in_channels", 3, "must be 6"),
    ("text_encoder", "num_attention_heads", 7, "must be a divisor of 768"),
    ("image_encoder", "patch_size", 500, "must be a whole number from 1 to 224"),
    ("image_encoder", "hidden_act", "gelu", r"text_encoder.config\.json have different activations"),
])  # fmt: skip
def test_what_is_wrong_is_said(folder, name, field, value, said):
    write_json(path_of(folder, name), CONFIGS[name] | {field: value})
    with pytest.raises(ValueError, match=said):
        build(name, folder)
    refusal(name, folder)


@pytest.mark.parametrize("name, field", [("decoder", "sample_size"), ("super_res_first", "block_out_channels")])
def test_a_value_without_a_default_must_be_there(folder, name, field):
    write_json(path_of(folder, name), {key: value for key, value in CONFIGS[name].items() if key != field})
    assert f"has no {field}: it must be" in refusal(name, folder)


# -- files that are no config --------------------------------------------------------------------------------

TEXT = json.dumps(CONFIGS["decoder"]).encode()
BROKEN = {
    "cut": TEXT[: len(TEXT) // 2], "empty": b"", "no JSON": b"<html>", "Latin-1": TEXT.replace(b"silu", b"\xe9"),
    "UTF-16": TEXT.decode().encode("utf-16"), "a list": b"[1, 2]", "a word": b'"decoder"', "null": b"null",
    "endlessly nested": b"[" * 10**5, "huge": TEXT + b" " * 10**6, "a number of 5000 digits": b"[" + b"1" * 5000 + b"]",
}  # fmt: skip


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("name", ["decoder", "prior_scheduler"])
def test_a_file_that_is_no_config_is_refused(folder, name, content):
    path_of(folder, name).write_bytes(content)
    refusal(name, folder)


def test_a_config_that_is_no_file_is_missing(folder):
    for name in READ:
        path = path_of(folder, name)
        path.unlink()
        assert "is missing" in refusal(name, folder)
        path.mkdir()
        assert "is missing" in refusal(name, folder)
        path.rmdir()
        write_json(path, CONFIGS[name])


def test_a_default_of_none_allows_null(tmp_path):
    write_json(tmp_path / "config.json", {"a": None})
    file = ConfigFile.read(tmp_path / "config.json")
    assert file.whole("a", None) is None and file.whole("b", None) is None and file.whole("b", 3) == 3
    with pytest.raises(ValueError, match="a is None, but must be a whole number from 1"):
        file.whole("a", 3)


def test_building_without_memory_draws_no_random_numbers():
    with Weightless():
        assert torch.randn(3, 2).is_meta and torch.randn((3, 2)).shape == (3, 2)
