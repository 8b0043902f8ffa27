"""`fetch kandinsky`, and `draw` and `load` by its name: two repositories of its layout, on a hub that runs here."""

import io
import sys
from copy import deepcopy

import pytest
import torch
from hub_helpers import Handler, hub_server, serve, use_hub
from kandinsky_folder import SIZE, write
from karlo_folder import CAPTIONS
from PIL import Image
from safetensors.torch import load_file

import minunclip
from minunclip.__main__ import main
from minunclip.commands import draw
from minunclip.pretrained import CASCADES, Store, cached

RELEASES = CASCADES["kandinsky"]
FEW = ["--steps", "2", "--prior-steps", "2", "--size", str(SIZE), "--device", "cpu", "--dtype", "float32"]


class TwoRepositories(Handler):
    @property
    def content(self):
        return self.server.content["decoder" if "kandinsky-2-2-decoder" in self.path else "prior"]


@pytest.fixture(scope="module")
def content(kandinsky, tmp_path_factory):
    """The files of both; the image encoder's weights are in float16, as the makers have them."""
    folder, half = tmp_path_factory.mktemp("release"), deepcopy(kandinsky["prior"]["image_encoder"]).half()
    write(folder, kandinsky["prior"] | {"image_encoder": half}, kandinsky["decoder"])
    return {part.name: {path.relative_to(part).as_posix(): path.read_bytes()
                        for path in part.rglob("*") if path.is_file()} for part in folder.iterdir()}  # fmt: skip


@pytest.fixture
def hub(content, tmp_path, monkeypatch):
    server = hub_server(content, TwoRepositories)
    use_hub(monkeypatch, server.address, tmp_path)
    monkeypatch.chdir(tmp_path)
    yield serve(server)
    server.shutdown()
    server.server_close()


def said(capsys, *arguments, status=0) -> tuple[str, str]:
    """What a command leaves on stdout and on stderr."""
    capsys.readouterr()
    assert main([*arguments]) == status
    return capsys.readouterr()


def dtypes(store, file) -> set[torch.dtype]:
    return {tensor.dtype for tensor in load_file(store.folder / file).values() if tensor.ndim > 1}


def test_fetch_brings_both_and_halves_them(hub, capsys):
    stores = [Store(release) for release in RELEASES]
    out, _ = said(capsys, "fetch", "--list")
    assert "kandinsky/prior   not here, 10.6 GB to fetch" in out
    assert "kandinsky/decoder not here, 5.3 GB to fetch" in out
    out, err = said(capsys, "fetch", "kandinsky")
    assert [line.partition(" is here")[0] for line in out.splitlines()] == [
        f"{store.folder}: {store.release.name}" for store in reversed(stores)]  # fmt: skip
    assert err.count("Apache 2.0") == 2 and "7.1 GB in half precision, 9.9 GB on the way" in err
    assert not any(store.lacking(False) for store in stores)
    assert dtypes(stores[0], "prior/diffusion_pytorch_model.fp16.safetensors") == {torch.float16}
    assert dtypes(stores[0], "image_encoder/model.safetensors") == {torch.float16}      # as it came
    hub.asked.clear()
    assert said(capsys, "fetch", "kandinsky")[0].count("every file has its SHA-256") == 2 and hub.asked == []
    out, _ = said(capsys, "fetch", "--remove", "kandinsky")
    assert "kandinsky/prior: " in out and "kandinsky/decoder: " in out and not any(map(cached, RELEASES))


def test_a_part_can_be_fetched_alone_and_from_a_copy(hub, capsys):
    said(capsys, "fetch", "kandinsky/decoder", "--from", "someone/kandinsky-2-2-decoder")
    assert [bool(cached(release)) for release in RELEASES] == [False, True]
    message = "in 2 repositories: say of which someone/copy is a copy, kandinsky/prior or kandinsky/decoder"
    assert message in said(capsys, "fetch", "kandinsky", "--from", "someone/copy", status=2)[1]


def test_draw_shows_both_and_asks_once(hub, capsys, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("n\ny\n"))
    _, err = said(capsys, "draw", "a corgi", "--model", "kandinsky", *FEW, status=2)
    assert err.count("[Y/n]") == 1 and err.count("comes from") == 2 and hub.asked == []
    assert "`minunclip fetch kandinsky/decoder` and `minunclip fetch kandinsky/prior` does it, too" in err
    said(capsys, "draw", "a corgi", "--model", "kandinsky", *FEW)
    assert all(map(cached, RELEASES))
    with Image.open("picture.png") as picture:
        assert picture.size == (SIZE, SIZE)


def test_1024_pixels_are_its_own():
    assert draw.needed("kandinsky", 1024, torch.float32) == [*RELEASES]
    assert len(draw.needed("karlo", 1024, torch.float32)) == 2


def test_what_is_fetched_draws_nearly_what_the_full_files_draw(hub, kandinsky_place):
    """float16 rounds each weight by up to 0.05 %."""
    full, half = minunclip.load(kandinsky_place), minunclip.load("kandinsky")
    assert not any(Store(release).lacking(False) for release in RELEASES)
    z_full, z_half = (cascade.clip.encode_text(CAPTIONS).embed for cascade in (full, half))
    assert 1e-5 < float((z_full - z_half).abs().max() / z_full.std()) < 5e-3
    with pytest.raises(ValueError, match=r"no model 'kandinski': did you mean 'kandinsky'\?"):
        minunclip.load("kandinski")
