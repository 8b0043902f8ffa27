"""Weight files: what comes back is what was saved, and a bad file says which one it is."""

import json
from dataclasses import asdict, dataclass, replace

import pytest
import torch
from helpers import TINY_CLIP, TINY_DECODER, TINY_PRIOR, randomise, ship, tiny_folder, tiny_upsampler
from safetensors.torch import save_file

import minunclip
from minunclip.clip import CLIP, CLIPConfig
from minunclip.common import STAGES, checksum, read_weights, sha256, verify, weights_folder
from minunclip.common.stage import config_from
from minunclip.decoder import Decoder
from minunclip.evaluation import Judge
from minunclip.evaluation.judge import JudgeConfig
from minunclip.prior import DiffusionPrior
from minunclip.upsampler import Upsampler

KINDS = {
    CLIP: TINY_CLIP, DiffusionPrior: TINY_PRIOR, Decoder: TINY_DECODER,
    Upsampler: replace(tiny_upsampler(32, 64), last_step_unet=True), Judge: JudgeConfig(width=8),
}  # fmt: skip


@pytest.fixture
def prior() -> DiffusionPrior:
    prior = randomise(DiffusionPrior(TINY_PRIOR))
    prior.std.fill_(2.5)
    return prior


def one_line(error, path) -> str:
    text = str(error.value)
    assert "\n" not in text and path.name in text, text
    return text


# -- what comes back -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_stage_comes_back(kind, tmp_path):
    stage = randomise(kind(KINDS[kind])).train()
    back = kind.from_pretrained(stage.save(tmp_path / "stage.safetensors"))
    assert back.config == stage.config and not back.training
    ours, theirs = stage.state_dict(), back.state_dict()
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert theirs[name].dtype == torch.float32
        assert torch.equal(theirs[name], ours[name].half().float()), name  # to half precision, and no worse


def test_buffers_and_notes_are_saved(prior, tmp_path):
    path = prior.save(tmp_path / "new folder" / "prior.safetensors", minutes="3.5")
    assert (DiffusionPrior.from_pretrained(path).std == 2.5).all()
    assert read_weights(path)[0]["minutes"] == "3.5"
    assert [file.name for file in path.parent.iterdir()] == ["prior.safetensors"]


def test_a_config_survives_json():
    for config in KINDS.values():
        stored = json.loads(json.dumps(asdict(config)))
        assert config_from(type(config), stored) == config
        assert hash(config_from(type(config), stored)) == hash(config)  # every list became a tuple again


def test_an_unknown_setting_is_refused():
    with pytest.raises(ValueError, match="CLIPConfig has no setting 'colour'"):
        config_from(CLIPConfig, {"patch": 8, "colour": 3})


@dataclass(frozen=True)
class Outer:
    inner: CLIPConfig
    names: tuple[str, ...] = ()


def test_nested_settings_are_checked_too():
    assert config_from(Outer, {"inner": {"patch": 8}, "names": ["a"]}) == Outer(CLIPConfig(patch=8), ("a",))
    with pytest.raises(ValueError, match="CLIPConfig has no setting 'petals'"):
        config_from(Outer, {"inner": {"petals": 8}})


# -- bad files -----------------------------------------------------------------------------------------------


def test_a_missing_file(tmp_path):
    path = tmp_path / "nowhere.safetensors"
    with pytest.raises(FileNotFoundError) as error:
        CLIP.from_pretrained(path)
    assert "there is no weight file" in one_line(error, path)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_truncated_file(prior, tmp_path, share):
    path = prior.save(tmp_path / "prior.safetensors")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError) as error:
        DiffusionPrior.from_pretrained(path)
    assert "is damaged" in one_line(error, path)


def test_another_stage(prior, tmp_path):
    path = prior.save(tmp_path / "prior.safetensors")
    with pytest.raises(ValueError) as error:
        CLIP.from_pretrained(path)
    assert "holds DiffusionPrior, not CLIP" in one_line(error, path)


def test_a_file_of_somebody_else(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(ValueError) as error:
        CLIP.from_pretrained(path)
    assert "holds no stage of ours" in one_line(error, path)


def edited(stage, path, **changes):
    """A file whose stored config differs from the one that its weights were made for."""
    stage.save(path)
    metadata, weights = read_weights(path)
    metadata["config"] = json.dumps({**json.loads(metadata["config"]), **changes})
    save_file(weights, path, metadata | {"sum": checksum(metadata, weights)})
    return path


@pytest.mark.parametrize("changes", [{"width": 32}, {"layers": 3}])
def test_weights_that_do_not_fit_their_config(prior, tmp_path, changes):
    path = edited(prior, tmp_path / "prior.safetensors", **changes)
    with pytest.raises(ValueError) as error:
        DiffusionPrior.from_pretrained(path)
    assert "comes from another version of minunclip, train it anew" in one_line(error, path)


@pytest.mark.parametrize("changes", [{"diffusion": []}, {"layers": None}, {"width": "wide"}])
def test_a_setting_of_another_kind(prior, tmp_path, changes):
    path = edited(prior, tmp_path / "prior.safetensors", **changes)
    with pytest.raises(ValueError) as error:
        DiffusionPrior.from_pretrained(path)
    assert "comes from another version" in one_line(error, path)


@pytest.mark.parametrize("config", ["[]", "3", "{", "null"])
def test_a_config_that_is_no_object(prior, tmp_path, config):
    path = prior.save(tmp_path / "prior.safetensors")
    metadata, weights = read_weights(path)
    metadata["config"] = config
    save_file(weights, path, metadata | {"sum": checksum(metadata, weights)})
    with pytest.raises(ValueError) as error:
        DiffusionPrior.from_pretrained(path)
    assert "comes from another version" in one_line(error, path)


def test_a_file_of_another_version(prior, tmp_path):
    path = edited(prior, tmp_path / "prior.safetensors", petals=5)
    with pytest.raises(ValueError) as error:
        DiffusionPrior.from_pretrained(path)
    assert "PriorConfig has no setting 'petals'" in one_line(error, path)


# -- saving that fails ---------------------------------------------------------------------------------------


def test_a_failing_save_leaves_nothing_behind(prior, tmp_path, monkeypatch):
    def full(weights, path, metadata):
        path.write_bytes(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr("minunclip.common.stage.save_file", full)
    with pytest.raises(OSError, match="cannot write .*: the disk is full"):
        prior.save(tmp_path / "prior.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_failing_save_keeps_the_old_file(prior, tmp_path, monkeypatch):
    path = prior.save(tmp_path / "prior.safetensors")
    before = sha256(path)
    monkeypatch.setattr("minunclip.common.writing.os.replace", lambda *paths: (_ for _ in ()).throw(OSError("denied")))
    prior.std.fill_(1)
    with pytest.raises(OSError, match="denied"):
        prior.save(path)
    assert sha256(path) == before and list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(prior, tmp_path):
    path = tmp_path / "prior.safetensors"
    path.mkdir()
    with pytest.raises(OSError, match="cannot write .*prior.safetensors: it is a folder"):
        prior.save(path)
    assert list(tmp_path.iterdir()) == [path]


# -- shipped weights -----------------------------------------------------------------------------------------


def test_every_shipped_file_is_checked(tmp_path, monkeypatch):
    folder = tiny_folder(tmp_path)
    ship(monkeypatch, folder)
    assert len(minunclip.load("scenes").sizes) == 3
    for path in sorted(folder.glob("*.safetensors")):
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[-1] ^= 1  # one bit of one weight
        path.write_bytes(changed)
        with pytest.raises(ValueError) as error:
            minunclip.load("scenes") if path.stem != "judge" else Judge.from_pretrained("scenes")
        assert "its SHA-256 differs" in one_line(error, path)
        path.write_bytes(whole)
    minunclip.load("scenes")


def test_a_missing_shipped_file_is_named(tmp_path, monkeypatch):
    folder = tiny_folder(tmp_path)
    ship(monkeypatch, folder)
    (folder / "decoder.safetensors").unlink()
    with pytest.raises(FileNotFoundError) as error:
        minunclip.load("scenes")
    one_line(error, folder / "decoder.safetensors")
    (folder / "SHA256.json").unlink()
    with pytest.raises(FileNotFoundError) as error:
        minunclip.load("scenes")
    one_line(error, folder / "SHA256.json")


def test_an_unknown_name_is_refused_with_a_suggestion():
    with pytest.raises(ValueError, match="there is no model 'scene': did you mean 'scenes'"):
        minunclip.load("scene")
    with pytest.raises(ValueError, match="there is no model 'xyz': try 'scenes'"):
        minunclip.load("xyz")


def test_what_is_shipped_is_whole():
    for stage in STAGES:
        verify(weights_folder("scenes") / f"{stage}.safetensors")
