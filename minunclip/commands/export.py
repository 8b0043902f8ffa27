"""`minunclip export`: every stage of a cascade as ONNX, for programs that have no PyTorch, such as a page in a browser.

A stage becomes one file of weights, STAGE.bin, and a small graph for each of its parts, STAGE.PART.onnx (see
`onnx_graphs`). manifest.json lists them with their sums, and holds what else a program needs in order to draw: the
configs, the settings, the words. Needs onnx, onnxscript and onnxruntime, which the library itself does without.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..common import DATA, check_target, replacing, write_text
from ..pretrained import is_ours, load
from ..prior import DiffusionPrior
from ..text import WordTokenizer
from ..unclip import UnCLIP
from .onnx_graphs import Graph, flat, graphs_of

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
WEIGHTS = 256                               # a tensor of so many numbers or more goes into the file of weights
TOLERANCE = 1e-3                            # how far a graph may be from PyTorch, as a share of 1 + the largest number


def export(model: str = "scenes", out: Path | None = None) -> Path:
    """Write the graphs, weights and manifest of a model of ours into a folder; the manifest, which comes last.

    Prints how large each graph is and how far its output is from PyTorch's. Raises ImportError without the packages,
    ValueError for a model that is not ours or has no diffusion prior, and for a graph that computes something else.
    """
    if missing := [name for name in PACKAGES if not importlib.util.find_spec(name)]:
        raise ImportError(f"export needs {', '.join(missing)}: put `uv run --group page` in front, or install "
                          "them with pip")  # fmt: skip
    if not is_ours(model):
        raise ValueError(f"export takes scenes, or a folder that `minunclip train` wrote, not {model}")
    out = out or DATA / "onnx" / Path(model).name
    check_target(out / "manifest.json")
    cascade = load(model)
    check_parts(cascade, model)
    stages: dict[str, Written] = {}
    for graph in graphs_of(cascade):
        stage = stages.setdefault(graph.stage, Written(out, graph.stage))
        stage.add(graph, traced(graph))
    (out / "manifest.json").unlink(missing_ok=True)                     # an export that breaks off is not a whole one
    entries = {name: {**stage.finish(), **facts_of(cascade, name)} for name, stage in stages.items()}
    text = json.dumps({**about(cascade, model), "stages": entries}, indent=1)
    write_text(out / "manifest.json", text + "\n")
    return out / "manifest.json"


def check_parts(cascade: UnCLIP, model: str) -> None:
    if not isinstance(cascade.prior, DiffusionPrior):
        raise ValueError(f"{model} has no diffusion prior, and export takes no other: train one with `minunclip train "
                         "prior`")  # fmt: skip
    if any(upsampler.config.last_step_unet for upsampler in cascade.upsamplers):
        raise ValueError(f"{model} has an upsampler with a second network for its last step, which export does not "
                         "know: train one without `last_step_unet`")  # fmt: skip


# -- what stands in the manifest -----------------------------------------------------------------------------


def about(cascade: UnCLIP, model: str) -> dict:
    """What concerns the cascade as a whole."""
    tokenizer = cascade.clip.tokenizer
    words = list(tokenizer.vocabulary) if isinstance(tokenizer, WordTokenizer) else None  # None: CLIP's byte pairs
    return {"format": 1, "model": Path(model).name, "packages": {name: version(name) for name in ("torch", *PACKAGES)},
            "settings": asdict(cascade.settings), "sizes": cascade.sizes, "vocabulary": words,
            "context": tokenizer.context}  # fmt: skip


def facts_of(cascade: UnCLIP, stage: str) -> dict:
    """What a program must know of a stage besides its graphs: the config, and numbers that are used outside of them."""
    if stage == "clip":
        return {"config": {"embed_width": cascade.clip.config.embed_width}}
    if stage == "prior":
        numbers = {"mean": listed(cascade.prior.mean), "std": listed(cascade.prior.std)}
        return {"config": asdict(cascade.prior.config), **numbers}
    if stage == "decoder":
        return {"config": asdict(cascade.decoder.config), "null_z": listed(cascade.decoder.null_z)}
    return {"config": asdict(cascade.upsamplers[int(stage.split("-")[1]) - 1].config)}


def listed(numbers: Tensor) -> list[float]:
    """As many digits as tell a float32 apart from its neighbours."""
    return [float(f"{number:.9g}") for number in numbers.detach().flatten().tolist()]


# -- a graph -------------------------------------------------------------------------------------------------


def traced(graph: Graph):
    """The graph as onnx's ModelProto, float32, its weights inside."""
    inputs = graph.inputs(2)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")                                 # of PyTorch's own code, which it says is old
        program = torch.onnx.export(
            graph.module.eval(), kwargs=inputs, input_names=list(flat(inputs)), output_names=list(graph.outputs),
            dynamic_shapes=graph.axes, dynamo=True, verbose=False,
        )  # fmt: skip
    return bare(program.model_proto)


def bare(model):
    """Without what tracing noted for those who look for faults: lines of source, paths of this machine, shapes."""
    model.graph.ClearField("value_info")
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    return model


def difference(graph: Graph, path: Path) -> tuple[float, float]:
    """How far onnxruntime is from PyTorch with other inputs than it was traced with, and the largest number."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst = largest = 0.0
    for n in (1, 3):
        inputs = graph.inputs(n)
        with torch.no_grad():
            wanted = graph.module(**inputs)
        given = session.run(list(graph.outputs), {name: x.detach().numpy() for name, x in flat(inputs).items()})
        for ours, theirs in zip(given, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
            worst = max(worst, float(np.abs(ours.astype(np.float64) - theirs.numpy()).max()))
            largest = max(largest, float(theirs.float().abs().max()))
    return worst, largest


@dataclass
class Written:
    """The files of one stage while they are written: weights that two graphs share are there once."""

    folder: Path
    stage: str
    models: list[tuple[Graph, object]] = field(default_factory=list)
    weights: bytearray = field(default_factory=bytearray)
    places: dict[bytes, int] = field(default_factory=dict)  # by sum: where in `weights`

    def add(self, graph: Graph, model) -> None:
        """Take the weights of a graph into the stage's file, in float16 where no digit is lost by that."""
        for tensor in list(model.graph.initializer):
            if np.prod(tensor.dims) >= WEIGHTS:
                self.move(model.graph, tensor)
        self.models.append((graph, model))

    def move(self, onnx_graph, tensor) -> None:
        """Replace a weight by a note where it lies; a half one is followed by its cast to float32."""
        from onnx import TensorProto, helper, numpy_helper

        name, numbers = tensor.name, numpy_helper.to_array(tensor)
        if numbers.dtype == np.float32 and np.array_equal(numbers.astype(np.float16), numbers):
            numbers = numbers.astype(np.float16)
            tensor.name, tensor.data_type = f"{name}.half", TensorProto.FLOAT16
            onnx_graph.node.insert(0, helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
        data = numbers.tobytes()
        place = self.places.setdefault(hashlib.sha256(data).digest(), len(self.weights))
        self.weights += data if place == len(self.weights) else b""
        for part in ("raw_data", "float_data", "int64_data", "int32_data"):
            tensor.ClearField(part)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": f"{self.stage}.bin", "offset": place, "length": len(data)}.items():
            tensor.external_data.add(key=key, value=str(value))

    def finish(self) -> dict:
        """Write the files, compare them with PyTorch, and say what the manifest is to say of them."""
        entry = written(self.folder / f"{self.stage}.bin", bytes(self.weights))
        return {**entry, "graphs": {graph.part: entry for graph, entry in self.write_graphs()}}

    def write_graphs(self) -> Iterator[tuple[Graph, dict]]:
        for graph, model in self.models:
            path = self.folder / f"{graph.name}.onnx"
            entry = written(path, model.SerializeToString())
            worst, largest = difference(graph, path)
            print(f"{graph.name:18} {entry['bytes'] / 1e3:6.0f} kB  largest difference {worst:.1e} of {largest:.3g}")
            if not worst <= TOLERANCE * (1 + largest):
                raise ValueError(f"{path} computes something else than PyTorch: it is {worst:.3g} off")
            names = {"inputs": list(flat(graph.inputs(1))), "outputs": list(graph.outputs)}
            yield graph, {**entry, **names, "difference": worst, "largest": largest}


def written(path: Path, data: bytes) -> dict:
    """Write a file, whole; what the manifest says of it."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return {"file": path.name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
