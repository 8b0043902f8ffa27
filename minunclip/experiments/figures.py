"""The numbers of the results as figures: for each part a function of its tables, {file name: Picture}."""

from __future__ import annotations

from collections.abc import Callable

from ..plots import COLOURS, Picture, curves, plotted
from ..scenes import FACTS
from .runner import Tables
from .study import VARIETIES


def figures_of(results: dict[str, Tables]) -> dict[str, dict[str, Picture]]:
    """All figures of some parts: by part, and by file name without its ending."""
    return {part: CHARTS[part](tables) for part, tables in results.items() if part in CHARTS}


def value(cell) -> float:
    """The number in a cell; NaN for none."""
    number = cell["value"] if isinstance(cell, dict) else cell
    return float("nan") if number is None else number


def line(rows: list[dict], x: str, y: str, **where) -> tuple[list[float], list[float]]:
    """Columns x and y of the rows in which the columns of `where` have these values."""
    chosen = [row for row in rows if all(row[name] == wanted for name, wanted in where.items())]
    return [value(row[x]) for row in chosen], [value(row[y]) for row in chosen]


# -- one function for each part ------------------------------------------------------------------------------


def guidance(tables: Tables) -> dict[str, Picture]:
    """Each variety against the fidelity, a line for each model along its guidance, and the most that there can be."""
    rows, most = tables["guidance of the decoder"], tables["the most that there can be"]
    ends = f"{rows[0]['guidance']:g} to {rows[-1]['guidance']:g}"
    models = list(dict.fromkeys(row["model"] for row in rows))

    def chart(kind: str) -> Picture:
        lines = {model: line(rows, "fidelity", kind, model=model) for model in models}
        lines["as varied as the world"] = line(most, "fidelity", kind)
        return curves(lines, "fidelity", f"{kind} (guidance {ends})")

    return {f"fidelity-{kind.split()[0]}": chart(kind) for kind in VARIETIES}


def guidance_ways(tables: Tables) -> dict[str, Picture]:
    """A line for what is strengthened and when, along the scale: fidelity, and the colours that are cut off."""
    rows = tables["what guidance strengthens"]
    ways = dict.fromkeys((row["strengthens"], row["guided"]) for row in rows)

    def chart(kind: str) -> Picture:
        lines = {f"{way}, {when}": line(rows, "guidance", kind, strengthens=way, guided=when) for way, when in ways}
        return curves(lines, "guidance", kind)

    return {"guidance-ways-fidelity": chart("fidelity"), "guidance-ways-limit": chart("colours at the limit")}


def routes(tables: Tables) -> dict[str, Picture]:
    """The fidelity and the variety of every route."""
    rows = tables["the routes from caption to z_i"]
    columns = {"routes-fidelity": "fidelity, one picture a caption", "routes-diversity": "diversity"}
    return {name: intervals({row["route"]: row[column] for row in rows}, column) for name, column in columns.items()}


def conditionings(tables: Tables) -> dict[str, Picture]:
    rows = tables["is the prior needed?"]
    cells = {f"{row['decoder sees']}, guidance {row['guidance']:g}": row["fidelity"] for row in rows}
    return {"prior-needed": intervals(cells, "fidelity")}


def rerank(tables: Tables) -> dict[str, Picture]:
    rows = tables["the best of several z_i"]
    return {"rerank": intervals({f"best of {row['candidates']}": row["fidelity"] for row in rows}, "fidelity")}


def prior_guidance(tables: Tables) -> dict[str, Picture]:
    rows = tables["guidance of the prior"]
    name = f"guidance of the prior, {rows[0]['guidance']:g} to {rows[-1]['guidance']:g}"
    return {"prior-guidance": curves({name: line(rows, "fidelity", "diversity")}, "fidelity", "diversity")}


def two_priors(tables: Tables) -> dict[str, Picture]:
    rows = tables["the two priors"]
    return {"two-priors": intervals({row["prior"]: row["fidelity"] for row in rows}, "fidelity")}


def variations(tables: Tables) -> dict[str, Picture]:
    """The facts that a guided variation keeps."""
    row = next(row for row in tables["facts kept by a variation"] if row["drawn"] == "a variation, guided")
    kept = {fact: row[fact] for fact in ("scene", *FACTS, "count") if fact in row}
    return {"variations-facts": intervals(kept, "share kept")}


def interpolations(tables: Tables) -> dict[str, Picture]:
    rows = tables["facts along an interpolation"]
    lines = {f"the {which} picture's": line(rows, "theta", f"the {which}'s") for which in ("first", "second")}
    return {"interpolations-facts": curves(lines, "theta", "share of the facts that differ")}


def text_diffs(tables: Tables) -> dict[str, Picture]:
    """How often the asked fact flips and the others stay, compared with the caption, for each way to a direction."""
    none, *rows = tables["text diffs"]                                  # the first, not turned, begins every line
    lines = {}
    for way in dict.fromkeys(row["difference of"] for row in rows):
        chosen = {"difference of": way, "compared with": "its caption"}
        lines |= {f"{name}, by {way}": line([none | chosen, *rows], "theta", name, **chosen)
                  for name in ("flipped", "others kept")}  # fmt: skip
    return {"text-diffs-angles": curves(lines, "theta", "share of facts")}


def probing(tables: Tables) -> dict[str, Picture]:
    rows = [row for row in tables["facts from the first components of z_i"] if row["components"] > 0]
    facts = [fact for fact in ("style", "background", "colour", "size", "kind", "relation") if fact in rows[0]]
    lines = {fact: line(rows, "components", fact) for fact in facts}
    return {"probing-facts": curves(lines, "components of z_i that are kept", "share recovered", log_x=True)}


def inversion(tables: Tables) -> dict[str, Picture]:
    rows = tables["pictures inverted and drawn again"]
    lines = {f"{n} correction{'s' * (n > 1)} a step": line(rows, "steps", "PSNR in dB", corrections=n)
             for n in dict.fromkeys(row["corrections"] for row in rows)}  # fmt: skip
    return {"inversion-psnr": curves(lines, "steps", "PSNR in dB", log_x=True)}


def attribute_binding(tables: Tables) -> dict[str, Picture]:
    rows = tables["colours of two things"]
    names = [f"z_i {row['z_i']}, {'with' if row['caption'] == 'yes' else 'without'} the caption" for row in rows]
    shares = {kind: [value(row[kind]) for row in rows] for kind in ("right", "swapped", "other")}
    return {"attribute-binding-shares": parts_of_bars(names, shares)}


def typographic_attack(tables: Tables) -> dict[str, Picture]:
    bets = {f"written: {row['written']}": row["CLIP's bet on the word"] for row in tables["a word on a picture"]}
    return {"typographic-attack-bets": intervals(bets, "CLIP's bet on the word")}


CHARTS: dict[str, Callable[[Tables], dict[str, Picture]]] = {
    part.__name__: part
    for part in (guidance, guidance_ways, conditionings, routes, rerank, prior_guidance, two_priors, variations,
                 interpolations, text_diffs, probing, inversion, attribute_binding, typographic_attack)
}  # fmt: skip


# -- two more kinds of figures -------------------------------------------------------------------------------


def intervals(cells: dict[str, dict], label: str) -> Picture:
    """A dot with its 95% interval for each name."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.4 * len(cells) + 0.9), layout="constrained")
    axis = figure.subplots()
    for row, cell in enumerate(cells.values()):
        low, high = (value(end) for end in cell["interval"])
        axis.plot([low, high], [row, row], color=COLOURS[0], linewidth=2, alpha=0.5)
        axis.plot(value(cell), row, "o", color=COLOURS[0], markersize=6)
    axis.set_yticks(range(len(cells)), cells)
    axis.set(xlabel=f"{label}, with 95% intervals", ylim=(len(cells) - 0.5, -0.5))
    axis.grid(axis="x", alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    told = "; ".join(f"{name} {value(cell):.3g}" for name, cell in cells.items())
    return plotted(figure, f"Dots of {label} with 95% intervals: {told}.")


def parts_of_bars(names: list[str], shares: dict[str, list[float]]) -> Picture:
    """A bar for each name, made of shares that add up to 1."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.42 * len(names) + 1.0), layout="constrained")
    axis, start = figure.subplots(), [0.0] * len(names)
    for kind, colour in zip(shares, (COLOURS[0], COLOURS[1], "#c9c9cf"), strict=True):
        axis.barh(names, shares[kind], left=start, color=colour, label=kind, height=0.65)
        start = [a + b for a, b in zip(start, shares[kind], strict=True)]
    axis.invert_yaxis()
    axis.set(xlabel="share of the pictures", xlim=(0, 1))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    told = "; ".join(f"{name}: " + ", ".join(f"{kind} {shares[kind][i]:.2f}" for kind in shares)
                     for i, name in enumerate(names))  # fmt: skip
    return plotted(figure, f"Bars of shares. {told}.")
