"""Karlo's own checkpoints, written here and read back: the same networks, or an error that names the file."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import open_clip
import pytest
import torch
from helpers import normal, randomise, relative_error
from karlo_folder import CAPTIONS, LARGE, SIZE, WIDTH
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from original_folder import NAMES, decoder_state, prior_state, put_unet, save_program

import minunclip
from minunclip.clip import CLIPConfig
from minunclip.common import sha256
from minunclip.pretrained import LazyStage, checkpoint, kakao_checkpoints, translate, weight_files
from minunclip.pretrained.cascade import KARLO
from minunclip.pretrained.kakao_checkpoints import Sizes
from minunclip.pretrained.names import IGNORED, reverse

TINY_CLIP = CLIPConfig(
    embed_width=WIDTH, image_size=28, patch=14, image_width=48, image_layers=2, image_heads=4,
    text_width=WIDTH, text_layers=2, text_heads=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def their_clip():
    vision = CLIPVisionCfg(layers=2, width=48, head_width=12, patch_size=14, image_size=28)
    text = CLIPTextCfg(context_length=77, vocab_size=49408, width=WIDTH, heads=4, layers=2)
    theirs = randomise(open_clip.CLIP(WIDTH, vars(vision), vars(text), quick_gelu=True))
    return theirs.half().float()  # what the archive keeps of them


@pytest.fixture(scope="module")
def files(parts, their_clip, tmp_path_factory):
    """A folder of the original layout; the checkpoints hold what a training leaves besides the weights, too."""
    folder = tmp_path_factory.mktemp("original")
    sizes = {name: torch.tensor(1) for name in ("input_resolution", "context_length", "vocab_size")}
    clip = {name: tensor.half() for name, tensor in their_clip.state_dict().items() if name != "attn_mask"}
    save_program(folder / NAMES.clip, clip | sizes)
    torch.save((parts["prior"].clip_mean.data[0], parts["prior"].clip_std.data[0]), folder / NAMES.statistics)
    upsampler = {}
    put_unet(upsampler, "model_first_steps", parts["super_res_first"])
    put_unet(upsampler, "model_last_step", parts["super_res_last"])
    states = {NAMES.prior: prior_state(parts["prior"]), NAMES.upsampler: upsampler,
              NAMES.decoder: decoder_state(parts["decoder"], parts["text_proj"])}  # fmt: skip
    for name, state in states.items():
        torch.save({"state_dict": state, "epoch": 3}, folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weight_files, "KNOWN_PROGRAMS", {sha256(folder / NAMES.clip)})
        yield folder


@pytest.fixture(scope="module")
def sizes(loaded):
    return Sizes(TINY_CLIP, loaded.prior.config, loaded.decoder.config, loaded.upsamplers[0].config)


# -- equality: the other layout holds the same tensors, and what diffusers makes of them is tested there -----


def stage(folder, sizes, name) -> LazyStage:
    return LazyStage.of(kakao_checkpoints.parts(folder, sizes)[name])


def outputs(part, stage, text):
    if part == "prior":
        return stage.unwhiten(stage(normal(2, WIDTH), torch.tensor([7, 500]), text))
    if part == "decoder":
        x = normal(2, 3, SIZE, SIZE)
        return torch.cat([stage(x, torch.tensor([7, 500]), z_i, text) for z_i in (normal(2, WIDTH, seed=3), None)])
    x, low = normal(1, 3, LARGE, LARGE), normal(1, 3, SIZE, SIZE, seed=4)
    return torch.cat([stage(x, torch.tensor([t]), low) for t in (0, 500)])


def difference(part, files, loaded, sizes):
    """How far the outputs of a network of both layouts are apart, and whether any weight differs."""
    theirs = loaded.upsamplers[0] if part == "upsampler" else getattr(loaded, part)
    ours = stage(files, sizes, part).load()
    with torch.no_grad():
        text = loaded.encode_text(CAPTIONS)
        error = relative_error(outputs(part, ours, text), outputs(part, theirs, text))
    weights = theirs.state_dict()
    return error, any(not torch.equal(tensor, weights[name]) for name, tensor in ours.state_dict().items())


@pytest.mark.parametrize("part", ["prior", "decoder", "upsampler"])
def test_networks_are_those_of_the_other_layout(part, files, loaded, sizes):
    """Bit by bit the same weights; where they lie in memory may round a convolution another way."""
    error, differ = difference(part, files, loaded, sizes)
    assert error < 2e-6 and not differ


def contiguous(self, tensor, piece):
    return checkpoint.oriented(tensor, piece).chunk(piece.parts)[piece.part]


def keys_for_values(self, tensor, piece):
    other = replace(piece, part=1 - piece.part) if piece.parts == 2 else piece
    return checkpoint.Checkpoint.right(self, tensor, other)


@pytest.mark.parametrize("part, wrong", [("prior", contiguous), ("decoder", contiguous), ("decoder", keys_for_values)])
def test_a_wrong_split_of_the_heads_is_noticed(part, wrong, files, loaded, sizes, monkeypatch):
    monkeypatch.setattr(checkpoint.Checkpoint, "right", checkpoint.Checkpoint.cut, raising=False)
    monkeypatch.setattr(checkpoint.Checkpoint, "cut", wrong)
    error, differ = difference(part, files, loaded, sizes)
    assert error > 1e-2 and differ


@torch.no_grad()
def test_clip_is_open_clips(files, their_clip, sizes):
    clip = stage(files, sizes, "clip").load()
    images, ids = normal(2, 3, 28, 28), open_clip.tokenize(CAPTIONS)
    assert relative_error(clip.encode_image(images), their_clip.encode_image(images)) < 5e-6
    assert relative_error(clip.encode_text(CAPTIONS).embed, their_clip.encode_text(ids)) < 5e-6
    assert torch.equal(clip.log_scale, their_clip.logit_scale)


def test_the_whole_folder_draws(files, sizes, monkeypatch):
    """With the sizes of the tiny files in place of the published ones."""
    monkeypatch.setattr(kakao_checkpoints, "parts", partial(kakao_checkpoints.parts, sizes=sizes))
    cascade = minunclip.load(files, dtype=torch.bfloat16, memory="disk")
    assert cascade.settings == KARLO and cascade.sizes == [SIZE, LARGE] and cascade.memory == "disk"
    settings = replace(KARLO, prior_steps=2, decoder_steps=2, upsampler_steps=(2,))
    image = cascade.sample(CAPTIONS[:1], settings=settings).image
    assert image.shape == (1, 3, LARGE, LARGE) and image.isfinite().all()
    assert {p.dtype for p in cascade.decoder.parameters()} == {torch.bfloat16} and not cascade.decoder.training


def test_such_a_folder_is_recognised(files):
    """And has the published sizes, which the tiny files here do not have."""
    with pytest.raises(ValueError, match=r"ViT-L-14\.pt: the tensor .* has shape"):
        minunclip.load(files)


def test_names_come_back_from_ours(files, sizes):
    """Each table, read backwards, gives each of their names again."""
    for part in kakao_checkpoints.parts(files, sizes).values():
        for source in part.sources:
            with weight_files.tensors_of(source.path) as tensors:
                names = [name for name in tensors if not IGNORED.search(name)]
            ours = [translate(name, source.names) for name in names]
            assert [translate(name, reverse(source.names)) for name in ours] == names and not {*ours} & {*names}


def test_the_defaults_are_karlos():
    """The counts are those of its published files, whatever their layout."""
    with torch.device("meta"):
        decoder, upsampler = kakao_checkpoints.Decoder(Sizes().decoder), kakao_checkpoints.Upsampler(Sizes().upsampler)
        prior, clip = kakao_checkpoints.DiffusionPrior(Sizes().prior), kakao_checkpoints.CLIP(Sizes().clip)
    count = [sum(t.numel() for t in stage.state_dict().values()) for stage in (prior, decoder, upsampler, clip)]
    assert count == [1_022_030_080, 885_439_686 + 7_878_400, 2 * 691_579_523, 427_616_513]


# -- files that do not fit -----------------------------------------------------------------------------------


@pytest.fixture
def own(files, tmp_path):
    """The folder again, by links; `edit` replaces one file of it."""
    for file in files.iterdir():
        (tmp_path / file.name).symlink_to(file)

    def edit(name, change):
        state = torch.load(files / name, weights_only=True)["state_dict"]
        change(state)
        (tmp_path / name).unlink()
        torch.save({"state_dict": state}, tmp_path / name)

    return SimpleNamespace(folder=tmp_path, edit=edit)


QKV = "model.transformer.resblocks.1.attn.c_qkv.weight"
BROKEN = {
    "missing": (lambda s: s.pop(QKV), r"3 tensors are missing.*'transformer\.blocks\.1\.attention\.q\.weight'"),
    "extra": (lambda s: s.update({"model.padding_embedding": torch.zeros(3)}), "padding_embedding' has no place"),
    "misshapen": (lambda s: s.update({QKV: s[QKV][:97].clone()}), r"c_qkv.weight' has shape \(97, 64\).*\(192, 64\)"),
    "there twice": (lambda s: s.update({"z_in.bias": torch.zeros(64)}), r"'z_in\.bias' is there twice"),
}


@pytest.mark.parametrize("change, message", BROKEN.values(), ids=BROKEN)
def test_every_tensor_is_accounted_for(own, sizes, change, message):
    own.edit(NAMES.prior, change)
    with pytest.raises(ValueError, match=message) as error:
        stage(own.folder, sizes, "prior")
    assert NAMES.prior in str(error.value)


def test_attention_where_there_is_none_is_refused(own, sizes):
    own.edit(NAMES.decoder, lambda s: s.update({"model.input_blocks.1.1.norm.weight": torch.zeros(32)}))
    with pytest.raises(ValueError, match=r"'model\.input_blocks\.1\.1\.norm\.weight' has no place"):
        stage(own.folder, sizes, "decoder")


def all_stages(folder, sizes) -> dict[str, LazyStage | None]:
    return {name: part and LazyStage.of(part) for name, part in kakao_checkpoints.parts(folder, sizes).items()}


@pytest.mark.parametrize("name", vars(NAMES).values())
def test_a_truncated_or_absent_file_is_named(own, sizes, name):
    path = own.folder / name
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="is damaged") as error:
        all_stages(own.folder, sizes)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    path.unlink()
    if name == NAMES.prior:  # as in a folder for image variations
        assert all_stages(own.folder, sizes)["prior"] is None
    else:
        with pytest.raises(ValueError, match=r"has 0 files .*must be there, once"):
            all_stages(own.folder, sizes)


def test_two_files_for_one_part_are_refused(own, sizes):
    (own.folder / "prior-ckpt-step=2.ckpt").symlink_to(own.folder / NAMES.prior)
    with pytest.raises(ValueError, match=r"has 2 files prior-ckpt\*\.ckpt"):
        all_stages(own.folder, sizes)


def test_code_in_a_checkpoint_is_not_run(own, sizes, tmp_path):
    class Harm:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    (own.folder / NAMES.prior).unlink()
    torch.save({"state_dict": {}, "callbacks": Harm()}, own.folder / NAMES.prior)
    with pytest.raises(ValueError, match="holds more than tensors"):
        stage(own.folder, sizes, "prior")
    assert not (tmp_path / "harm").exists()
