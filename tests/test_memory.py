"""The three memory modes on tiny networks: the same picture, one network at a time, read piece by piece."""

import platform
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import TINY_CLIP, TINY_DECODER, TINY_PRIOR, normal, randomise, tiny_upsampler
from safetensors.torch import save_file
from torch import nn

from minunclip.clip import CLIP
from minunclip.decoder import Decoder
from minunclip.pretrained import MODES, LazyStage, network_of
from minunclip.pretrained.lazy import channels_last
from minunclip.pretrained.names import Part, Source, split_qkv
from minunclip.pretrained.offload import OneAtATime
from minunclip.prior import DiffusionPrior
from minunclip.unclip import Settings, UnCLIP
from minunclip.upsampler import Upsampler

CAPTIONS = ["a red star", "a big blue fish"]
SETTINGS = Settings(prior_steps=3, prior_guidance=2.0, decoder_steps=3, decoder_guidance=3.0, upsampler_steps=(3,))
LAYERS = (nn.Linear, nn.Conv2d, nn.Embedding, nn.LayerNorm, nn.GroupNorm)
PARTS = {"clip": (CLIP, TINY_CLIP), "prior": (DiffusionPrior, TINY_PRIOR), "decoder": (Decoder, TINY_DECODER),
         "upsampler": (Upsampler, replace(tiny_upsampler(32, 64), last_step_unet=True))}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One file for each stage, float32, under our own names."""
    folder = tmp_path_factory.mktemp("tiny")
    for seed, (name, (stage_class, config)) in enumerate(PARTS.items()):
        state = randomise(stage_class(config), seed).state_dict()
        for fused in [key for key in state if ".qkv." in key]:
            parts = zip("qkv", state.pop(fused).chunk(3), strict=True)
            state |= {fused.replace(".qkv.", f".{part}."): piece.clone() for part, piece in parts}
        save_file(state, folder / name)
    return folder


def lazy(folder) -> dict[str, LazyStage]:
    return {name: LazyStage.of(Part(*part, [Source(folder / name, [])])) for name, part in PARTS.items()}


def load(folder, mode, dtype=torch.float32):
    one_at_a_time = OneAtATime(mode, dtype=dtype)
    stages = [stage.load(dtype=dtype) if mode == "resident" else one_at_a_time.load(stage)
              for stage in lazy(folder).values()]  # fmt: skip
    cascade = UnCLIP(*stages[:3], stages[3:])
    cascade.settings = SETTINGS
    return cascade


def here(cascade) -> list[str]:
    """The networks that have memory."""
    stages = (cascade.clip, cascade.prior, cascade.decoder, *cascade.upsamplers)
    children = [child for stage in stages for child in stage.named_children() if network_of(child[0])]
    return [name for name, child in children if all(not p.is_meta for p in child.parameters())]


# -- one network at a time -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_all_modes_draw_the_same_picture(folder, dtype):
    expected = load(folder, "resident", dtype).sample(CAPTIONS, seed=3)
    assert expected.image.isfinite().all() and expected.image.std() > 0.1
    for mode in MODES[1:]:
        actual = load(folder, mode, dtype).sample(CAPTIONS, seed=3)
        assert torch.equal(actual.z_i, expected.z_i)
        assert all(torch.equal(actual.images[side], expected.images[side]) for side in (32, 64))


def test_disk_holds_the_network_that_runs_and_no_other(folder):
    cascade = load(folder, "disk")
    assert here(cascade) == []
    seen = [(progress.stage, progress.done, *here(cascade)) for progress in cascade.stream(CAPTIONS)]
    rows = {"prior": "transformer", "decoder": "unet", "upsampler-1": "unet"}
    assert seen == [(stage, i, "last_unet" if (stage, i) == ("upsampler-1", 3) else network)
                    for stage, network in rows.items() for i in (1, 2, 3)]  # fmt: skip


def test_all_else_is_ready_while_the_networks_are_away(folder):
    cascade = load(folder, "disk")
    assert cascade.device == torch.device("cpu") and cascade.sizes == [32, 64]
    for stage in (cascade.clip, cascade.prior, cascade.decoder):
        direct = {name: t for name, t in stage.state_dict().items() if not network_of(name)}
        assert direct and not any(tensor.is_meta for tensor in direct.values())
        assert not stage.training and not any(p.requires_grad for p in stage.parameters())


def test_a_run_reads_each_network_once(folder, monkeypatch):
    """But the text encoder: it reads the caption, and the empty one for the prior and later for the decoder."""
    cascade, read, reads = load(folder, "disk"), LazyStage.read, []
    monkeypatch.setattr(LazyStage, "read", lambda self, name, *rest: reads.append(name) or read(self, name, *rest))
    cascade.sample(CAPTIONS)
    assert reads == ["text", "transformer", "text", "unet", "unet", "last_unet"]


@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_the_order_of_use_is_free(folder, mode):
    """A stage may be held on to, and its condition kept, while others run."""
    cascade, t, x_t = load(folder, mode), torch.tensor([500, 3]), normal(2, 3, 32, 32)
    decoder, text = cascade.decoder, cascade.encode_text(CAPTIONS)
    denoiser = cascade.decoder_denoiser(normal(2, 12), text, guidance=3.0)
    first = denoiser(x_t, t)
    cascade.prior(normal(2, 12), t, text)
    assert torch.equal(denoiser(x_t, t), first)
    image = cascade.clip.encode_image(normal(2, 3, 32, 32))
    assert torch.equal(decoder(x_t, t, image, text), cascade.decoder(x_t, t, image, cascade.encode_text(CAPTIONS)))


def test_offload_keeps_the_weights_and_copies_none_back(folder):
    cascade = load(folder, "offload")
    before = [p.data_ptr() for p in cascade.decoder.unet.parameters()]
    cascade.sample(CAPTIONS)
    assert [p.data_ptr() for p in cascade.decoder.unet.parameters()] == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("mode", ["offload", "disk"])
def test_on_a_gpu_one_network_is_there(folder, mode):
    loader = OneAtATime(mode, "cuda")
    stages = [loader.load(stage) for stage in lazy(folder).values()]
    cascade = UnCLIP(*stages[:3], stages[3:])
    cascade.sample(CAPTIONS, settings=SETTINGS)
    devices = {p.device.type for p in cascade.decoder.unet.parameters()}
    assert devices == {"cpu" if mode == "offload" else "meta"}
    assert all(p.is_cuda for p in cascade.upsamplers[0].last_unet.parameters())


def test_what_a_stage_prepared_goes_with_it(folder, monkeypatch):
    """The prior's keys and values are gone when the decoder runs, the decoder's when the upsampler runs."""
    prepared = {}

    def noted(stage_class, method):
        original = getattr(stage_class, method)

        def call(self, *args):
            result = original(self, *args)
            prepared[method] = weakref.ref(result)
            return result

        monkeypatch.setattr(stage_class, method, call)

    noted(DiffusionPrior, "prefix")
    noted(Decoder, "condition")
    for progress in load(folder, "disk").stream(CAPTIONS):
        alive = [method for method, reference in prepared.items() if reference() is not None]
        if progress.done < progress.total:
            assert alive == {"prior": ["prefix"], "decoder": ["condition"]}.get(progress.stage, [])


def test_a_failed_read_leaves_no_network_half_there(folder, monkeypatch):
    cascade = load(folder, "disk")
    text = cascade.encode_text(CAPTIONS)
    with monkeypatch.context() as patch:
        patch.setattr(LazyStage, "read", lambda *_: (_ for _ in ()).throw(OSError("the disk is gone")))
        with pytest.raises(OSError, match="the disk is gone"):
            cascade.prior.prefix(text)
    assert here(cascade) == []
    cascade.sample(CAPTIONS)


# -- reading -------------------------------------------------------------------------------------------------


class Pile(nn.Module):
    """Layers of 4 MB each in float32."""

    def __init__(self, layers: int):
        super().__init__()
        self.unet = nn.ModuleList(nn.Linear(1024, 1024, bias=False) for _ in range(layers))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells the peak of a process")
def test_converting_takes_room_for_one_tensor_more(tmp_path):
    """Half of 96 MB stays, and only 4 MB of the file are in memory at any time."""
    save_file({name: torch.ones_like(t) for name, t in Pile(24).state_dict().items()}, tmp_path / "file")
    found = LazyStage.of(Part(Pile, 24, [Source(tmp_path / "file", [])]))

    def resident(kind):
        return int(Path("/proc/self/status").read_text().split(f"{kind}:")[1].split()[0]) / 1000

    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    weights = found.read("unet", dtype=torch.bfloat16)
    assert len(weights) == 24 and resident("VmHWM") - before < 48 * 1.05 + 20


def test_first_weights_are_not_drawn(folder):
    """Building a stage without memory gives it all its places, and leaves the global generator alone."""
    torch.manual_seed(0)
    made = lazy(folder)
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(0)))
    for name, (stage_class, config) in PARTS.items():
        expected = {key: tensor.shape for key, tensor in stage_class(config).state_dict().items()}
        assert {key: tensor.shape for key, tensor in made[name].stage.state_dict().items()} == expected
        layers = [layer for layer in made[name].stage.modules() if isinstance(layer, LAYERS)]
        assert layers and all(p.is_meta for layer in layers for p in layer.parameters())


def test_sizes_by_network(folder):
    made = lazy(folder)
    assert made["upsampler"].networks == ["unet", "last_unet"] and made["prior"].networks == ["transformer"]
    for name, (stage_class, config) in PARTS.items():
        numbers = sum(tensor.numel() for tensor in stage_class(config).state_dict().values())
        assert sum(made[name].sizes(torch.bfloat16).values()) == 2 * numbers
        assert len(split_qkv(dict.fromkeys(stage_class(config).state_dict(), (3,)))) == sum(
            len(names) for _, names in made[name].files)  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_convolutions_have_their_channels_last(dtype):
    weight = torch.randn(4, 6, 3, 3).to(dtype)
    assert channels_last(weight).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(channels_last(weight), weight) and channels_last(weight[0, 0]).is_contiguous()


@pytest.mark.parametrize("dtype, last", [(torch.float32, False), (torch.bfloat16, True)])
def test_a_narrow_network_has_them_last_in_half_precision_only(folder, dtype, last):
    made = lazy(folder)["decoder"]
    weights = made.read("unet", "cpu", dtype).values()
    kernels = [weight for weight in weights if weight.ndim == 4 and weight.shape[-1] > 1]
    assert kernels and not made.wide
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) == last for kernel in kernels)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has other habits")
@pytest.mark.parametrize("keep", [False, True])
def test_freed_memory_is_kept_when_asked_for(keep):
    """In a process of its own, because it lasts."""
    program = f"""
import psutil, torch
from minunclip.common import keep_freed_memory
if {keep}:
    keep_freed_memory()
block = torch.ones(50_000_000)
before = psutil.Process().memory_info().rss
del block
print(before - psutil.Process().memory_info().rss)
"""
    given_back = int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout)
    assert (given_back < 1e6) == keep and given_back < 2.1e8
