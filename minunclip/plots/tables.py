"""What was measured, as Markdown tables: the cost of a notebook, and the benchmarks of the released cascade.

`notebooks/build.py`, `benchmarks/karlo.py` and `benchmarks/memory.py` write the numbers, and these functions read them
from their files, so that no number in a table is copied by hand.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..common import DATA

RESULTS = DATA / "results"
NETWORKS = ("prior", "decoder", "upsampler")


def karlo_table(folder: Path = RESULTS) -> str:
    """Seconds of each network and of a whole picture, ours beside diffusers'."""
    found = measured(folder / "karlo.json")
    rows = [row for kind in ("float32", "bfloat16") for row in network_rows(kind, found.get(kind, {}))]
    rows += pipeline_rows(found.get("pipeline", {}))
    head = ["what", "ours, s", "diffusers, s", "ratio", "difference"]
    return table(head, rows, found.get("machine"))


def network_rows(kind: str, networks: dict) -> list[list[str]]:
    """One step of each network in one dtype, ours beside diffusers'."""
    return [[f"{name}, a step in {kind}", f"{one['ours']:.2f}", f"{one['diffusers']:.2f}",
             f"{one['ours'] / one['diffusers']:.2f}", f"{one['difference']:.0e}"]
            for name in NETWORKS if (one := networks.get(name))]  # fmt: skip


def pipeline_rows(runs: dict) -> list[list[str]]:
    """Whole pictures against diffusers in float32, and how long a cascade takes to load. Empty without diffusers."""
    if "diffusers" not in runs:
        return []
    theirs, rows = runs["diffusers"]["seconds"], []
    for kind in ("float32", "bfloat16"):
        if one := runs.get(kind):
            off = " / ".join(f"{difference:.0e}" for difference in one["differences"].values())
            rows.append([f"a picture in {kind}, diffusers in float32", f"{one['seconds']:.0f}", f"{theirs:.0f}",
                         f"{one['seconds'] / theirs:.2f}", off])  # fmt: skip
            rows.append([f"from_pretrained in {kind}", f"{one['ready']:.1f}", "", "", ""])
    return rows


def memory_table(folder: Path = RESULTS) -> str:
    """The peak of each memory mode, and in which stage it comes, on every kind of device that was measured."""
    found = measured(folder / "memory.json")
    rows = []
    for run in found.get("runs", {}).values():
        fewer = f" ({run['steps']} steps a stage)" if run.get("steps") else ""
        for mode, stages in run["modes"].items():
            highest = max(stages, key=lambda stage: stage["ram"])
            gpu = max(stage["gpu"] for stage in stages)
            rows.append([mode, run["device"], run["dtype"], f"{highest['ram']:.1f} GB, {highest['what']}",
                         f"{gpu:.1f} GB" if gpu else "", f"{sum(stage['seconds'] for stage in stages):.0f}{fewer}"])
    return table(["mode", "on", "networks in", "peak RAM, and where", "peak GPU", "seconds"], rows,
                 found.get("machine"))  # fmt: skip


def samplers_table(folder: Path = RESULTS) -> str:
    """The share of captions that came true, by sampler and by the steps of the decoder or of the prior."""
    found = measured(folder / "samplers.json")
    rows = [[f"{stage}, {sampler}", *(f"{true / total:.3f}" for true, total in counts.values())]
            for stage in ("decoder", "prior") for sampler, counts in found.get(stage, {}).items()]  # fmt: skip
    steps = list(next(iter(found.get("decoder", {}).values()), {}))
    used = {stage: found["settings"][stage] for stage in ("decoder", "prior")} if rows else {}
    note = ", ".join(f"the {stage} takes {n} steps" for stage, n in used.items())
    where = f"{found['machine']}, {found['captions']} unseen captions; as a rule {note}" if rows else None
    return table(["stage, sampler", *(f"{n} steps" for n in steps)], rows, where)


def measured(path: Path) -> dict:
    """The content of a JSON file; empty if it is not there."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def table(head: list[str], rows: list[list[str]], machine: str | None) -> str:
    """Markdown, with the machine below; a sentence if nothing was measured."""
    if not rows:
        return "*Not measured yet on this copy.*"
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n*Measured on {machine}.*"


# -- what a notebook costs ------------------------------------------------------------------------------------

COSTS = RESULTS / "notebooks.json"


def cost_table(notebook: str, path: Path = COSTS):
    """Minutes and memory of a whole run of a notebook, as `notebooks/build.py` measured them: a Markdown table.

    Raises ValueError for a damaged file.
    """
    from IPython.display import Markdown

    lines = ["| profile | minutes | peak memory | machine |", "| --- | --- | --- | --- |"]
    try:
        runs = json.loads(path.read_text(encoding="utf-8")).get(notebook, {}) if path.is_file() else {}
        lines += [f"| {profile} | {run['minutes']:.1f} | {run['peak_memory_gb']:.1f} GB | {run['machine']} |"
                  for profile, run in sorted(runs.items())]  # fmt: skip
    except (ValueError, TypeError, LookupError, AttributeError):
        raise ValueError(f"{path} is damaged: measure again with notebooks/build.py") from None
    return Markdown("\n".join(lines) if runs else "*Not measured yet on this copy.*")
