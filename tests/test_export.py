"""`minunclip export`: graphs that compute what PyTorch computes, and a manifest that tells the truth about them."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from helpers import tiny_cascade, tiny_folder
from torch import nn

from minunclip.__main__ import main
from minunclip.commands import export as command
from minunclip.commands.onnx_graphs import Graph, flat, graphs_of

with_onnx = pytest.mark.skipif(
    any(command.importlib.util.find_spec(name) is None for name in command.PACKAGES),
    reason="needs the packages of the group page: uv run --group page pytest tests/test_export.py",
)


def test_graphs_run_once_and_step_by_step_compute_what_the_stages_do():
    """Before any ONNX: the parts as modules, chained, against the stages' own denoisers."""
    cascade = tiny_cascade()
    graphs = {graph.name: graph for graph in graphs_of(cascade)}
    assert list(graphs) == ["clip.text", "prior.read", "prior.step", "decoder.read", "decoder.step", "upsampler-1.step",
                            "upsampler-2.step"]  # fmt: skip
    text = cascade.clip.encode_text(["a red circle", "a blue star"])
    x_t, t, z_i = torch.randn(2, 3, 32, 32), torch.tensor([700, 3]), torch.randn(2, 12)
    with torch.no_grad():
        past, seen = graphs["prior.read"].module(text.embed, text.tokens, text.mask)
        step = graphs["prior.step"].module(z_i, t, past, seen)
        torch.testing.assert_close(step, cascade.prior(z_i, t, text))
        added, kept, *keys_values = graphs["decoder.read"].module(z_i, text.embed, text.tokens, text.mask)
        step = graphs["decoder.step"].module(x_t, t, added, kept, keys_values=keys_values)
        torch.testing.assert_close(step, cascade.decoder(x_t, t, z_i, text))
        embed, tokens = graphs["clip.text"].module(cascade.clip.tokenizer(["a red circle"])[:, :5])
        torch.testing.assert_close(embed, text.embed[:1])
        torch.testing.assert_close(tokens, text.tokens[:1])


def test_lists_are_numbered():
    assert list(flat({"a": torch.ones(1), "b": [torch.ones(1), torch.ones(2)]})) == ["a", "b_0", "b_1"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tiny_folder(tmp_path_factory.mktemp("weights"))
    shutil.copytree(folder, folder.with_name("bare"), ignore=shutil.ignore_patterns("upsampler*"))
    out = folder.with_name("onnx")
    assert main(["export", "--model", str(folder.with_name("bare")), "--out", str(out)]) == 0
    return folder.with_name("bare"), out, json.loads((out / "manifest.json").read_text())


@pytest.mark.slow
@with_onnx
def test_the_manifest_tells_the_truth(exported):
    _, out, manifest = exported
    assert manifest["sizes"] == [32] and set(manifest["stages"]) == {"clip", "prior", "decoder"}
    for stage in manifest["stages"].values():
        for entry in (stage, *stage["graphs"].values()):
            content = (out / entry["file"]).read_bytes()
            assert entry["bytes"] == len(content) and entry["sha256"] == hashlib.sha256(content).hexdigest()
        for graph in stage["graphs"].values():
            assert 0 <= graph["difference"] < 1e-4 * (1 + graph["largest"])
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["manifest.json", *(e["file"] for s in manifest["stages"].values() for e in (s, *s["graphs"].values()))])


@pytest.mark.slow
@with_onnx
def test_weights_are_half_as_long_and_there_once(exported):
    """The files held float16, so float16 loses nothing; the prior's two graphs share most of their weights."""
    import onnx

    folder, out, manifest = exported
    graph = onnx.load(out / "prior.step.onnx", load_external_data=False).graph
    kinds = {tensor.data_type for tensor in graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL}
    assert kinds == {onnx.TensorProto.FLOAT16}
    assert (out / "prior.bin").stat().st_size < (folder / "prior.safetensors").stat().st_size
    assert "stack_trace" not in str(graph) and str(out.parent) not in str(graph)
    prior = command.load(folder).prior
    np.testing.assert_allclose(manifest["stages"]["prior"]["std"], prior.std[0].numpy(), rtol=1e-6)


@pytest.mark.slow
@with_onnx
def test_a_graph_that_computes_something_else_is_refused(tmp_path):
    class Fickle(nn.Module):
        """Traced it adds one; asked again it does not."""

        def forward(self, x):
            return x + 1 if torch.compiler.is_exporting() else x

    graph = Graph("odd", "step", Fickle(), lambda n: {"x": torch.ones(n, 2)}, {"x": {0: "batch"}}, ("output",))
    written = command.Written(tmp_path, "odd")
    written.add(graph, command.traced(graph))
    with pytest.raises(ValueError, match="odd.step.onnx computes something else than PyTorch: it is 1 off"):
        written.finish()


def test_what_it_refuses(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "PACKAGES", ("onnx_of_nobody", "torch"))
    assert main(["export", "--out", str(tmp_path / "a")]) == 2
    assert "export needs onnx_of_nobody: put `uv run --group page` in front" in capsys.readouterr().err
    monkeypatch.setattr(command, "PACKAGES", ("torch",))
    assert main(["export", "--model", "karlo", "--out", str(tmp_path / "a")]) == 2
    assert "export takes scenes, or a folder that `minunclip train` wrote, not karlo" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["export", "--out", str(tmp_path / "file")]) == 2
    assert "cannot write" in capsys.readouterr().err and not (tmp_path / "a").exists()
    folder = tiny_folder(tmp_path / "w")
    (folder / "prior.safetensors").unlink()
    assert main(["export", "--model", str(folder), "--out", str(tmp_path / "a")]) == 2
    assert "has no diffusion prior" in capsys.readouterr().err and not (tmp_path / "a").exists()
