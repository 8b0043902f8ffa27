"""CLIP against open_clip with the same random weights, and its own promises."""

from dataclasses import replace

import open_clip
import pytest
import torch
from helpers import TINY_CLIP, normal, randomise
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from torch import Tensor, nn

from minunclip.clip import CLIP, CLIPConfig, contrastive_loss

CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # on values of about one
SMALL = CLIPConfig(
    embed_width=24, image_size=48, patch=16, image_width=32, image_layers=2, image_heads=4,
    text_width=32, text_layers=3, text_heads=4,
)  # fmt: skip
VIT_B_32 = CLIPConfig(
    embed_width=512, patch=32, image_width=768, image_layers=12, image_heads=12,
    text_width=512, text_layers=12, text_heads=8,
)  # fmt: skip
CAPTIONS = ["a red star above a blue fish", "moon", "a photo of a corgi wearing a hat, oil on canvas"]
RENAMES = {  # open_clip -> ours, in this order
    "visual.class_embedding": "image.class_token",
    "visual.positional_embedding": "image.positions",
    "visual.proj": "image.project.weight",
    "visual.conv1.": "image.patches.",
    "visual.ln_pre.": "image.norm_in.",
    "visual.ln_post.": "image.norm_out.",
    "visual.": "image.",
    "token_embedding.": "text.words.",
    "positional_embedding": "text.positions",
    "text_projection": "text.project.weight",
    "ln_final.": "text.norm_out.",
    "logit_scale": "log_scale",
    "resblocks.": "blocks.",
    "attn.in_proj_": "attention.qkv.",
    "attn.out_proj.": "attention.out.",
    "ln_1.": "norm_1.",
    "ln_2.": "norm_2.",
    "mlp.c_fc.": "mlp.0.",
    "mlp.c_proj.": "mlp.2.",
}


def renamed(state: dict) -> dict:
    result = {}
    for name, tensor in state.items():
        name = f"text.{name}" if name.startswith("transformer.") else name
        for theirs, ours in RENAMES.items():
            name = name.replace(theirs, ours) if "positions" not in name else name
        result[name] = tensor.T if name.endswith("project.weight") else tensor
    return result


def load(theirs: nn.Module, config: CLIPConfig) -> CLIP:
    ours = CLIP(config).eval()
    state = {name: tensor for name, tensor in theirs.state_dict().items() if name != "attn_mask"}
    ours.load_state_dict(renamed(state))
    return ours


@pytest.fixture(scope="module")
def reference() -> nn.Module:
    vision = CLIPVisionCfg(layers=2, width=32, head_width=8, patch_size=16, image_size=48)
    text = CLIPTextCfg(context_length=77, vocab_size=49408, width=32, heads=4, layers=3)
    theirs = open_clip.CLIP(24, vars(vision), vars(text), quick_gelu=True)
    return randomise(theirs)


@pytest.fixture
def clip(reference) -> CLIP:
    return load(reference, SMALL)


def pictures(n: int, size: int) -> Tensor:
    return normal(n, 3, size, size)


@torch.no_grad()
def their_tokens(theirs: nn.Module, ids: Tensor) -> Tensor:
    """Each token after open_clip's final LayerNorm, which `encode_text` computes and does not return."""
    caught = []
    hook = theirs.ln_final.register_forward_hook(lambda module, inputs, output: caught.append(output))
    theirs.encode_text(ids)
    hook.remove()
    return caught[0]


@torch.no_grad()
def compare(ours: CLIP, theirs: nn.Module, images: Tensor) -> None:
    torch.testing.assert_close(ours.encode_image(images), theirs.encode_image(images), **CLOSE)
    ids = open_clip.tokenize(CAPTIONS)
    text = ours.encode_text(CAPTIONS)
    torch.testing.assert_close(text.embed, theirs.encode_text(ids), **CLOSE)
    expected, length = their_tokens(theirs, ids), text.tokens.shape[1]
    torch.testing.assert_close(text.tokens, expected[:, :length], **CLOSE)
    torch.testing.assert_close(ours.text(ids).tokens, expected, **CLOSE)


def test_equals_open_clip(clip, reference):
    compare(clip, reference, pictures(3, 48))


def test_equals_open_clip_at_vit_b_32():
    theirs = open_clip.create_model("ViT-B-32-quickgelu", pretrained=None).eval()
    compare(load(theirs, VIT_B_32), theirs, pictures(1, 224))


def test_exact_gelu_is_noticed(reference):
    """The released weights want QuickGELU; the exact one loads just as well and is wrong."""
    clip = load(reference, replace(SMALL, activation="gelu"))
    with pytest.raises(AssertionError, match="not close"):
        compare(clip, reference, pictures(3, 48))


def test_the_mask_ends_with_the_end_token(clip):
    text = clip.encode_text(CAPTIONS)
    ids = open_clip.tokenize(CAPTIONS)
    assert torch.equal(text.mask, (ids != 0)[:, : text.mask.shape[1]])
    assert text.mask.sum(dim=1).max() == text.mask.shape[1]  # nothing but padding was cut


# -- our own promises ----------------------------------------------------------------------------------------

TOY = ["a red star", "", "a small blue fish above a big green moon in the sky"]


@pytest.fixture(scope="module")
def toy() -> CLIP:
    return randomise(CLIP(replace(TINY_CLIP, activation="quick_gelu")))


@torch.no_grad()
@pytest.mark.parametrize("captions", [TOY, TOY[:1], 5 * TOY + ["a moon"]])
def test_captions_of_like_length_are_read_together_and_come_back_in_order(toy, captions):
    expected = toy.encode_text(captions).embed
    torch.testing.assert_close(toy.embed_ids(toy.tokenizer(captions)), expected, **CLOSE)


@torch.no_grad()
def test_later_words_do_not_change_earlier_tokens(toy):
    short, long = toy.encode_text(["a red star"]), toy.encode_text(["a red star above a fish"])
    torch.testing.assert_close(long.tokens[:, :4], short.tokens[:, :4], **CLOSE)  # start, a, red, star
    assert not torch.allclose(long.tokens[:, 4], short.tokens[:, 4], atol=1e-2)   # the end token, and "above"


@torch.no_grad()
def test_padding_does_not_matter(toy):
    batch = toy.encode_text(TOY)
    for i, caption in enumerate(TOY):
        alone = toy.encode_text([caption])
        torch.testing.assert_close(batch.embed[i], alone.embed[0], **CLOSE)
        n = alone.tokens.shape[1]
        torch.testing.assert_close(batch.tokens[i, :n], alone.tokens[0], **CLOSE)
        assert batch.mask[i].tolist() == [True] * n + [False] * (batch.mask.shape[1] - n)


def test_an_unknown_word_is_refused(toy):
    with pytest.raises(ValueError, match="does not know the word 'elephant'"):
        toy.encode_text(["a red elephant"])


@torch.no_grad()
def test_a_convolutional_stem_keeps_the_number_of_patches():
    for stem in ((8, 16), (8, 8, 16, 16, 16)):
        clip = CLIP(replace(TINY_CLIP, stem=stem))
        assert clip.image.positions.shape[0] == (32 // 16) ** 2 + 1
        assert clip.encode_image(pictures(2, 32)).shape == (2, 12)


# -- the loss ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log_scale", [0.0, 2.66, 4.6])
def test_the_loss_equals_open_clip(log_scale):
    z_i, z_t, log_scale = normal(6, 8), normal(6, 8, seed=2), torch.tensor(log_scale)
    unit = nn.functional.normalize
    theirs = open_clip.ClipLoss()(unit(z_i, dim=-1), unit(z_t, dim=-1), log_scale.exp())
    torch.testing.assert_close(contrastive_loss(z_i, z_t, log_scale), theirs)
    torch.testing.assert_close(contrastive_loss(3 * z_i, 0.1 * z_t, log_scale), theirs)  # lengths do not count
    assert (contrastive_loss(z_i.flip(0), z_t, log_scale) - theirs).abs() > 1e-2


def test_the_temperature_stops_at_a_hundredth():
    z_i, z_t = normal(6, 8), normal(6, 8, seed=2)
    hot = contrastive_loss(z_i, z_t, torch.tensor(9.0))
    torch.testing.assert_close(hot, contrastive_loss(z_i, z_t, torch.tensor(100.0).log()), rtol=1e-4, atol=0)


def test_similarity_is_the_cosine(toy):
    z_i, z_t = normal(3, 12), normal(4, 12, seed=2)
    expected = torch.cosine_similarity(z_i[:, None], z_t[None], dim=-1)
    torch.testing.assert_close(toy.similarity(z_i, z_t), expected)


def test_every_parameter_gets_a_gradient():
    clip = randomise(CLIP(TINY_CLIP))
    clip.loss(pictures(3, 32), clip.tokenizer(TOY), torch.Generator()).backward()
    for name, parameter in clip.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_noise_on_z_i_is_as_strong_as_the_config_says():
    """The loss of noisy z_i is that of the clean ones plus `noise` times a normal number on each."""
    clip = randomise(CLIP(replace(TINY_CLIP, noise=0.3)))
    images, ids = pictures(3, 32), clip.tokenizer(TOY)
    with torch.no_grad():
        z_i, z_t = clip.encode_image(images), clip.encode_ids(ids).embed
        eps = torch.randn(z_i.shape, generator=torch.Generator().manual_seed(7))
        expected = contrastive_loss(nn.functional.normalize(z_i, dim=-1) + 0.3 * eps, z_t, clip.log_scale)
        found = clip.loss(images, ids, torch.Generator().manual_seed(7))
    torch.testing.assert_close(found, expected)
    assert (found - contrastive_loss(z_i, z_t, clip.log_scale)).abs() > 1e-3
    assert replace(TINY_CLIP).noise == 0                                # none unless asked for


def test_captions_as_numbers_are_read_as_their_words(toy):
    ours, theirs = toy.encode_ids(toy.tokenizer(TOY).int()), toy.encode_text(TOY)
    for name in ("embed", "tokens", "mask"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name))
