"""What a reader would stumble over in a saved notebook: defects, missing parts, links that lead nowhere."""

import json
import re

from exercises import code, tags

VIEW, STATE = "application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"
STILL = {"image/png", "text/markdown"}      # what a page shows that cannot run a widget
PARTS = [  # what every notebook says, in this order
    r"\A# \d\d · ", r"^\*\*What you will see\*\*$", r"^\*\*What you need to know before:?\*\*",
    r"^\*\*What a whole run costs,?\*\*", r"^## Summary$", r"^## Questions$", r"^## Where to read on$",
]  # fmt: skip


def outputs(notebook):
    return [output for cell in code(notebook) for output in cell.outputs]


def prose(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def defects(notebook):
    """Everything about the saved state of a notebook that a reader would stumble over."""
    found, shown = [], [cell for cell in code(notebook) if "exercise" not in tags(cell)]  # a stub shows nothing
    if [cell.execution_count for cell in code(notebook)] != list(range(1, len(code(notebook)) + 1)):
        found.append("not run in order in a fresh kernel")
    if any(tags(cell) and not cell.outputs for cell in shown):
        found.append("a tagged cell without output")
    if sum(bool(cell.outputs) for cell in shown) < 0.9 * len(shown):
        found.append("cells without output")
    if any(output.output_type == "error" for output in outputs(notebook)):
        found.append("a saved error")
    if any(output.get("name") == "stderr" for output in outputs(notebook)):
        found.append("a saved warning")
    return found + widget_defects(notebook) + picture_defects(notebook)


def widget_defects(notebook):
    views = [output.data for output in outputs(notebook) if VIEW in output.get("data", {})]
    saved = notebook.metadata.get("widgets", {})
    if saved and "state" not in saved.get(STATE, {}):
        return ["metadata.widgets without state"]
    models = saved.get(STATE, {}).get("state", {})
    wanted = [data[VIEW]["model_id"] for data in views] + re.findall(r"IPY_MODEL_(\w+)", json.dumps(models))
    found = ["a widget without its model"] if set(wanted) - set(models) else []
    return found + ["a widget without a still picture"] * any(not STILL & {*data} for data in views)


def picture_defects(notebook):
    """A figure has alt text in its HTML form; so have the pictures in the prose and in tables."""
    shown = [output.data for output in outputs(notebook) if "data" in output]
    figures = [data for data in shown if any(kind.startswith("image/") for kind in data)]
    mute = [data for data in figures if not re.search(r'<img alt="[^"]{10,}"', data.get("text/html", ""))]
    html = "\n".join([prose(notebook), *(data.get("text/html", "") for data in shown)])
    mute += [image for image in re.findall(r"<img[^>]*>", html) if not re.search(r'alt="[^"]+"', image)]
    mute += [words for words in re.findall(r"!\[(.*?)\]", prose(notebook)) if not words]
    return ["a picture without alt text"] if mute else []


def missing_parts(notebook):
    """The parts that a notebook has not, or not in their order."""
    at, text, missing = 0, prose(notebook), []
    for part in PARTS:
        if found := re.compile(part, re.M).search(text, at):
            at = found.end()
        else:
            missing.append(part)
    if [tags(cell) for cell in code(notebook)].count(["cost"]) != 1:
        missing.append("one cell with the tag cost")
    questions = text.partition("\n## Questions\n")[2].partition("\n## ")[0]
    return missing + ["two questions with folded answers"] * (questions.count("</summary>") < 2)


def dead_links(notebook, folder):
    """The relative links and #anchors of the prose that lead nowhere."""
    titles = {title.replace(" ", "-") for title in re.findall(r"^#+ (.+)$", prose(notebook), re.M)}
    links = re.findall(r"\]\(([^)\s]+)\)", prose(notebook)) + re.findall(r'(?:href|src)="([^"]+)"', prose(notebook))
    local = [link.partition("#") for link in links if not re.match(r"https?:|mailto:|data:", link)]
    return [path or f"#{anchor}" for path, _, anchor in local
            if not ((folder / path).exists() if path else anchor in titles)]  # fmt: skip
