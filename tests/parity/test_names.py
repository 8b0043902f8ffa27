"""The tables of names: from ours to theirs and back, for every tensor of every network."""

import pytest
import torch
from test_full_size import ORACLES
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModelWithProjection

from minunclip.pretrained import NARROW, Weightless, network_of, translate
from minunclip.pretrained.names import reverse, split_qkv
from minunclip.pretrained.random_karlo import folders

CONFIGS = {"text_encoder": (CLIPTextModelWithProjection, CLIPTextConfig),
           "image_encoder": (CLIPVisionModelWithProjection, CLIPVisionConfig)}  # fmt: skip
STAGES = {"text_encoder": NARROW.clip, "image_encoder": NARROW.clip, "prior": NARROW.prior,
          "text_proj": NARROW.decoder, "decoder": NARROW.decoder, "super_res_first": NARROW.upsampler,
          "super_res_last": NARROW.upsampler}  # fmt: skip


def our_names(name: str) -> list[str]:
    """What lies in a folder, in our words, without the name of the network."""
    folder = folders(NARROW)[name]
    with Weightless():
        state = folder.stage_class(STAGES[name]).state_dict()
    kept = split_qkv({key: tuple(tensor.shape) for key, tensor in state.items() if network_of(key) in folder.networks})
    return [key.removeprefix(f"{folder.networks[0]}.") for key in kept]


def their_names(name: str) -> set[str]:
    """Those of the network that diffusers or transformers builds from the folder's config."""
    config = folders(NARROW)[name].config
    with torch.device("meta"):
        if name in CONFIGS:
            network_class, config_class = CONFIGS[name]
            return {*network_class(config_class(**config)).state_dict()}
        return {*ORACLES[name].from_config(config).state_dict()}


def test_every_folder_is_compared():
    assert STAGES.keys() == folders(NARROW).keys() == CONFIGS.keys() | ORACLES.keys()


@pytest.mark.parametrize("name", STAGES)
def test_names_go_there_and_come_back(name):
    table, ours = folders(NARROW)[name].names, our_names(name)
    theirs = [translate(key, reverse(table)) for key in ours]
    assert [translate(key, table) for key in theirs] == ours
    assert {*theirs} == their_names(name) and len({*theirs}) == len(theirs)


# -- how a table is read -------------------------------------------------------------------------------------

TABLE = [("down.*.samplers.0", "lower.*.resample"), ("down", "lower"), ("norm", "norm.1"), ("1", "one")]


@pytest.mark.parametrize(("theirs", "ours"), [
    ("down.12.samplers.0.bias", "lower.12.resample.bias"),      # the first entry that fits, with its number
    ("down.x.samplers.0.bias", "lower.x.samplers.0.bias"),      # `*` is a number only
    ("down.12.samplers", "lower.12.samplers"),                  # a part of an entry is not enough
    ("breakdown.norms", "breakdown.norms"),                     # nor is a part of a word
    ("down.norm.1.1", "lower.norm.1.one.one"),                  # what is translated is not read again
    ("", ""), ("weight", "weight"),
])  # fmt: skip
def test_a_name_is_read_once_from_left_to_right(theirs, ours):
    assert translate(theirs, TABLE) == ours


def test_a_reversed_table_leads_back():
    assert reverse(reverse(TABLE)) == TABLE
    assert translate("lower.3.resample.lower.0", reverse(TABLE)) == "down.3.samplers.0.down.0"
