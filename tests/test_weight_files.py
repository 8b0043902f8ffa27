"""Weight files of others: nothing in them runs, what is read does not hang on them, and damage is named."""

import os
import pickle
import random
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from minunclip.__main__ import main
from minunclip.common import sha256
from minunclip.pretrained import LazyStage, weight_files, write_karlo
from minunclip.pretrained.checkpoint import Checkpoint
from minunclip.pretrained.names import Part, Source
from minunclip.pretrained.weight_files import opened, read_pytorch

# -- programs ------------------------------------------------------------------------------------------------


class Harm(nn.Module):
    """To load it as a program is to write a file."""

    def __init__(self, place: str):
        super().__init__()
        self.place, self.weight = place, nn.Parameter(torch.arange(3.0))

    @torch.jit.export
    def __getstate__(self) -> tuple[str, Tensor, bool]:
        return (self.place, self.weight, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, Tensor, bool]) -> None:
        self.place, self.weight, self.training = state[0], state[1], state[2]
        torch.save(self.weight, self.place)

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """(a TorchScript archive, the file that it would write)."""
    folder = tmp_path_factory.mktemp("program")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                 # the format is an old one
        torch.jit.script(Harm(str(folder / "harm"))).save(folder / "program.pt")
        torch.jit.load(folder / "program.pt")
    assert (folder / "harm").is_file(), "it does harm when it is let"
    (folder / "harm").unlink()
    return folder / "program.pt", folder / "harm"


@pytest.mark.parametrize("name", ["ViT-L-14.pt", "prior-ckpt-step=1.ckpt", "ViT-L-14_stats.th", "open_clip_model.bin"])
def test_a_program_is_refused_before_it_runs(program, tmp_path, name):
    archive, harm = program
    path = tmp_path / name
    path.write_bytes(archive.read_bytes())
    with pytest.raises(ValueError, match=f"{name} is a program.*not OpenAI's ViT-L-14.pt") as error:
        read_pytorch(path)
    assert "\n" not in str(error.value) and not harm.exists()


def test_a_program_that_is_not_seen_to_be_one_does_not_run_either(program, monkeypatch):
    monkeypatch.setattr(weight_files, "is_program", lambda path: False)
    with pytest.raises(ValueError, match="is damaged or not whole"):
        read_pytorch(program[0])
    assert not program[1].exists()


def test_a_folder_with_a_program_is_refused(program, tmp_path, capsys):
    (tmp_path / "ViT-L-14.pt").write_bytes(program[0].read_bytes())
    for name in ("decoder-ckpt-1.ckpt", "improved-sr-ckpt-1.ckpt"):
        (tmp_path / name).touch()
    assert main(["draw", "a cat", "--model", str(tmp_path), "--out", str(tmp_path / "a.png"), "--device", "cpu"]) == 2
    told = capsys.readouterr().err
    assert "ViT-L-14.pt is a program" in told and "Traceback" not in told and not program[1].exists()


def test_the_one_known_program_is_read_and_none_that_differs_by_a_bit(program, tmp_path, monkeypatch):
    archive, harm = program
    monkeypatch.setattr(weight_files, "KNOWN_PROGRAMS", {sha256(archive)})
    assert torch.equal(read_pytorch(archive)["weight"], torch.arange(3.0))
    harm.unlink()
    other = tmp_path / "other.pt"
    other.write_bytes(archive.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="is a program"):
        read_pytorch(other)
    assert not harm.exists()


def test_the_known_program_is_openais():
    """Its sum stands in the address from which open_clip, too, fetches it."""
    from open_clip.pretrained import get_pretrained_cfg

    [known] = weight_files.KNOWN_PROGRAMS
    assert known in get_pretrained_cfg("ViT-L-14", "openai")["url"].split("/")


# -- tensors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrap", [dict, lambda state: {"state_dict": state, "epoch": 3}], ids=["plain", "checkpoint"])
def test_a_state_dict_is_read(tmp_path, wrap, legacy):
    state = {"a.weight": torch.randn(3, 2), "b": torch.ones(()), "lr": 0.1}
    torch.save(wrap(state), tmp_path / "ViT-L-14.pt", _use_new_zipfile_serialization=not legacy)
    found = read_pytorch(tmp_path / "ViT-L-14.pt")
    assert found.keys() == {"a.weight", "b"} and all(torch.equal(found[name], state[name]) for name in found)


ODD = {
    "a word": "hello", "a tensor": torch.zeros(3), "a number inside": {"state_dict": 3},
    "a name that is a number": {3: torch.zeros(3)}, "sparse": {"a": torch.eye(3).to_sparse()},
    "without data": {"a": torch.zeros(3, device="meta")},
}  # fmt: skip


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_what_is_no_weights_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"a\.ckpt.*(holds no weights|no plain block)") as error:
        read_pytorch(tmp_path / "a.ckpt")
    assert "\n" not in str(error.value)


def test_objects_are_refused(tmp_path):
    for content in ({"a": random.Random()}, [Path("a")]):
        torch.save(content, tmp_path / "a.ckpt")
        with pytest.raises(ValueError, match=r"a\.ckpt is damaged, or holds more than tensors"):
            read_pytorch(tmp_path / "a.ckpt")
    (tmp_path / "b.ckpt").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match=r"b\.ckpt is damaged"):
        read_pytorch(tmp_path / "b.ckpt")


@pytest.mark.parametrize("legacy", [False, True])
def test_damage_of_any_kind_is_one_error(tmp_path, legacy):
    path, rng, seen = tmp_path / "a.ckpt", random.Random(1), {ValueError: 0, None: 0}
    torch.save({f"a.{i}.weight": torch.randn(4) for i in range(9)}, path, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    for case in range(250):
        damaged = bytearray(whole if case % 3 else whole[: rng.randrange(len(whole))])
        for _ in range(rng.choice((1, 2, 20)) if damaged else 0):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            read_pytorch(path)
            seen[None] += 1
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            seen[ValueError] += 1
    assert seen[ValueError] > 100, "else this tests nothing"


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    monkeypatch.setattr(weight_files.os, "access", lambda *_: False)    # root may read everything
    for read in (lambda path: opened(path).__enter__(), read_pytorch):
        with pytest.raises(OSError, match="a.safetensors cannot be read: permission denied"):
            read(tmp_path / "a.safetensors")


# -- what was read does not hang on its file -----------------------------------------------------------------

# In processes of their own, since the system ends one that touches what a file no longer has (SIGBUS).
WHOLE = """
import os, sys
from pathlib import Path
import minunclip
from minunclip.unclip import Settings
cascade = minunclip.load(sys.argv[1], memory="resident")
for path in Path(sys.argv[1]).rglob("*.safetensors"):
    os.truncate(path, 0)
maps = Path("/proc/self/maps")
print(maps.exists() and "model.safetensors" in maps.read_text())
few = Settings(prior_steps=2, decoder_steps=2, upsampler_steps=(2,), candidates=1, sampler="ddpm")
print(bool(cascade.sample(["a cat"], settings=few).image.isfinite().all()))
"""


def run(program: str, *arguments: object) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout.split()


def test_a_resident_cascade_draws_after_its_files_were_cut(tmp_path):
    assert run(WHOLE, write_karlo(tmp_path)) == ["False", "True"]


class Layers(nn.Module):
    """Two layers of 4 MB, under the name of a network."""

    def __init__(self, config: str):
        super().__init__()
        self.config = config
        self.unet = nn.ModuleList(nn.Linear(1024, 1024, bias=False) for _ in range(2))


FILES = {"a.safetensors": Source, "a.ckpt": Checkpoint, "b.safetensors": Checkpoint}
LAYERS = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_weight_files import FILES, stage
for name in FILES:
    read = stage(Path(sys.argv[2], name)).read("unet")
    os.truncate(Path(sys.argv[2], name), 0)
    print(*[int(weight.sum()) for weight in read.values()])
"""


@pytest.fixture
def layers(tmp_path):
    """A folder with a file of each kind."""
    state = {f"unet.{i}.weight": torch.full((1024, 1024), float(i + 1)) for i in range(2)}
    for name in FILES:
        (save_file if name.endswith(".safetensors") else torch.save)(state, tmp_path / name)
    return tmp_path


def stage(path: Path) -> LazyStage:
    return LazyStage.of(Part(Layers, "", [FILES[path.name](path, [])]))


def test_weights_stay_what_they_were(layers):
    assert run(LAYERS, Path(__file__).parent, layers) == len(FILES) * [str(2**20), str(2**21)]


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_cut_before_it_is_read_is_named(layers, name):
    """In the mode "disk" a network is read when it runs, which may be hours after its file was found."""
    found = stage(layers / name)
    os.truncate(layers / name, 4_000_000)
    with pytest.raises(ValueError, match=f"{name} is damaged or not whole"):
        found.read("unet")


def test_a_file_that_is_cut_while_it_is_read_is_named(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(2**20), "b": torch.zeros(2**20)}, path)
    with pytest.raises(ValueError, match=r"a\.safetensors is damaged or not whole"), opened(path) as open_file:
        os.truncate(path, 5_000_000)
        [open_file.get_tensor(name) for name in "ab"]
