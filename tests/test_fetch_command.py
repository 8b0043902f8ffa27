"""`minunclip fetch`, and what `draw` says and asks before it fetches: small weights of Karlo's layout, a local hub."""

import io
import sys

import pytest
from hub_helpers import hub_server, serve, small_karlo, use_hub
from PIL import Image

import minunclip
from minunclip.__main__ import main
from minunclip.commands import draw
from minunclip.pretrained import RELEASES, UPSCALERS, Store, cached
from minunclip.pretrained.store import half_name

KARLO, PRIOR = RELEASES["karlo"], "prior/diffusion_pytorch_model.safetensors"
FEW = ["--steps", "2", "--prior-steps", "2", "--size", "64", "--device", "cpu", "--dtype", "float32"]


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return {file: b"{}" for file in UPSCALERS["fp16"].files} | small_karlo(tmp_path_factory.mktemp("release"))


@pytest.fixture
def hub(content, tmp_path, monkeypatch):
    server = hub_server(content)
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


def test_fetch_list_and_remove(hub, capsys):
    folder = Store(KARLO).folder
    out, _ = said(capsys, "fetch", "--list")
    assert "karlo             not here, 13.7 GB to fetch" in out and "kakaobrain/karlo-v1-alpha, commit 5ee4529" in out
    out, err = said(capsys, "fetch", "karlo")
    assert out == f"{folder}: karlo is here, 0.0 GB\n"
    assert all(word in err for word in ("13.7 GB to fetch", "6.8 GB in half precision, 9.3 GB on the way",
                                        "--keep-float32", "CreativeML Open RAIL-M", "are free"))  # fmt: skip
    assert len([line for line in err.splitlines() if line.endswith("MB kept")]) == len(KARLO.numbers)
    hub.asked.clear()
    assert "every file has its SHA-256" in said(capsys, "fetch", "karlo")[0] and hub.asked == []
    out, _ = said(capsys, "fetch", "--list")
    assert "karlo             here, 0.0 GB, in half precision" in out and str(folder) in out
    assert said(capsys, "fetch", "--remove", "karlo")[0] == f"karlo: 0.0 GB removed from {folder}\n"
    assert not folder.exists() and said(capsys, "fetch", "--remove", "karlo")[0] == "karlo is not here\n"


def test_fetch_mends_what_was_changed(hub, capsys):
    said(capsys, "fetch", "karlo")
    half = Store(KARLO).folder / half_name(PRIOR)
    half.write_bytes(half.read_bytes()[:-1] + b"x")
    _, err = said(capsys, "fetch", "karlo")
    assert f"{half_name(PRIOR)} is not what was fetched: it comes again" in err and cached(KARLO)


def test_a_part_is_listed_as_one(hub, capsys):
    hub.refuse = lambda handler: (404, {}, b"{}") if "super_res_last/" in handler.path else None
    assert "cannot download" in said(capsys, "fetch", "karlo", status=2)[1]
    assert f"of {len(KARLO.files)} files to come" in said(capsys, "fetch", "--list")[0]


def test_the_upscaler_stays_as_it_is(hub, capsys):
    _, err = said(capsys, "fetch", "upscaler")
    assert "disk        1.7 GB" in err and cached(UPSCALERS["fp16"])
    assert "upscaler-float32  not here, 3.5 GB to fetch" in said(capsys, "fetch", "--list")[0]


@pytest.mark.parametrize(("arguments", "message"), [
    (["fetch", "karla"], "under the name 'karla': choose karlo, kandinsky, upscaler, upscaler-float32"),
    (["fetch", "--remove", "karla"], "nothing to fetch under the name 'karla'"),
    (["fetch", "--list", "--keep-float32"], "--keep-float32 and --from are for what is to be fetched: name it"),
])  # fmt: skip
def test_mistakes(hub, capsys, arguments, message):
    assert message in said(capsys, *arguments, status=2)[1]


@pytest.mark.parametrize("arguments", [["fetch"], ["fetch", "karlo", "--list"]])
def test_what_cannot_be_parsed(arguments):
    with pytest.raises(SystemExit):
        main(arguments)


# -- from draw -----------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_draw_shows_the_choice_before_anything_is_fetched(hub, capsys, monkeypatch):
    """The licence and the sizes are on the screen when the first file is asked for."""
    shown = []
    hub.refuse = lambda handler: shown.append(sys.stderr.getvalue())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    status = main(["draw", "a corgi", "--model", "karlo", *FEW])
    assert status == 0, sys.stderr.getvalue()
    assert "CreativeML Open RAIL-M" in shown[0] and "13.7 GB" in shown[0] and cached(KARLO)
    with Image.open("picture.png") as picture:
        assert picture.size == (64, 64)


@pytest.mark.parametrize(("answer", "fetched"), [("y\n", True), ("\n", True), ("n\n", False), ("no\n", False)])
def test_in_a_terminal_it_asks(hub, capsys, monkeypatch, answer, fetched):
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(draw, "draw_all", lambda *_, **__: (_ for _ in ()).throw(ValueError("it would draw")))
    _, err = said(capsys, "draw", "a corgi", "--model", "karlo", *FEW, status=2)
    assert "fetch it now? [Y/n]" in err and bool(cached(KARLO)) == bool(hub.asked) == fetched
    assert ("it would draw" if fetched else "nothing was fetched; `minunclip fetch karlo` does it, too") in err


def test_yes_is_not_asked(hub, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    monkeypatch.setattr(draw, "draw_all", lambda *_, **__: (_ for _ in ()).throw(ValueError("it would draw")))
    _, err = said(capsys, "draw", "a corgi", "--model", "karlo", "--yes", *FEW, status=2)
    assert "[Y/n]" not in err and "CreativeML" in err and cached(KARLO)


def test_a_program_that_loads_it_fetches_it_half(hub):
    assert minunclip.load("karlo").decoder.config.size == 64 and not Store(KARLO).lacking(False)
