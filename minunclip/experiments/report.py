"""The results in words, tables and figures: a page beside them, and single pieces for notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..common import DATA, read_picture
from ..plots import Picture
from .runner import read_result, table_of
from .signs import signs

RESULTS = DATA / "results" / "paper"
SIGNS_TOLD = ("Which way each finding of the paper points, and which way it points here. Two numbers within 3% of each "
              "other count as about the same. The numbers are those of the tables below.")  # fmt: skip
NONE = "*Not measured yet on this copy.*"


@dataclass(frozen=True)
class Section:
    """The words about one part of the results."""

    title: str
    paper: str                              # what the paper found
    here: str                               # how it is measured here


SECTIONS = {
    "guidance": Section(
        "Guidance, fidelity and diversity",
        "Guidance makes a text-only decoder repeat itself; with an image embedding it costs hardly any variety "
        "(figures 9 to 11, Table 1).",
        "Fidelity is the share of pictures in which all is true that the caption states. Diversity is the effective "
        "number of scenes among the pictures of one caption, in what it leaves open; style variability is that of the "
        "style alone. The full stack has z_i from the unguided prior; the caption alone is the same decoder with z_i "
        "dropped, as in training. Both are compared where they reach the same fidelity: 0.98, or the highest that "
        "both reach. An effective number from few pictures is too small where much is open, for both and for the "
        "world itself."),
    "guidance_ways": Section(
        "What guidance strengthens",
        "Guidance compares with a decoder that gets neither z_i nor caption (section 2.1).",
        "The compared prediction may keep z_i, and guidance then strengthens the caption alone; or keep the caption, "
        "and it strengthens z_i alone. Guidance may also act in a part of the noise levels only (Kynkaanniemi et al. "
        "2024). Colours at the limit are the share of a picture's numbers that are as large or as small as they may "
        "be."),
    "conditionings": Section(
        "Is the prior needed?",
        "A decoder that gets the caption alone, or z_t in the place of z_i, draws worse than the full stack (section "
        "5.1).",
        "The same captions, noise and guidance. The distances are to the true pictures, in the judge's features, less "
        "what the small number of pictures adds to a distance."),
    "routes": Section(
        "The routes from caption to z_i",
        "The caption alone and z_t in the place of z_i are worse than the prior's z_i (section 5.1). Later work asks "
        "whether the prior has to be a diffusion (Patel et al. 2023, ECLIPSE).",
        "One decoder, the same captions, noise and guidance. Over the gap: z_t moved by the mean difference of "
        "pictures and captions. Trained with noise: the decoder went on learning from z_i with as much noise as z_t is "
        "away. Regression: the prior's network, trained to answer with the mean z_i of a caption, near z_t. Fidelity, "
        "diversity and style variability are measured as above; the distance is to the true pictures, in the judge's "
        "features."),
    "rerank": Section(
        "The best of several z_i",
        "The prior draws two z_i, and the one nearer to z_t is kept (section 2.2).",
        "The gain is over the first z_i, for the same captions."),
    "prior_guidance": Section(
        "Guidance of the prior",
        "The paper leaves the prior unguided, because guidance hurt its pictures (section 5.5).",
        "The decoder's guidance stays the same."),
    "two_priors": Section(
        "Diffusion prior and autoregressive prior",
        "People find the pictures of both about as good, and those of the diffusion prior a little better (Table 1).",
        "The diffusion prior draws two z_i and keeps the better; the autoregressive one is told to draw one that "
        "fits. Whose colour is whose is the finest thing that a caption says. In training, an autoregressive model "
        "could read it off the true components before instead of the caption, so a part of these is hidden from it."),
    "variations": Section(
        "Variations",
        "A variation keeps what CLIP sees, and changes the rest (figure 3).",
        "True pictures are inverted to z_i and x_T and drawn with fresh noise (eta = 1), without a caption; the judge "
        "says which facts came back. \"Another picture\" is the share that two unrelated pictures have in common."),
    "interpolations": Section(
        "Interpolations",
        "Between two z_i one picture turns into the other, step by step (figure 4).",
        "Two pictures of the same layout, one x_T. Each fact in which they differ should change once and not turn "
        "back."),
    "text_diffs": Section(
        "Text diffs",
        "z_i is turned towards a change in words (figure 5), by the difference of two z_t.",
        "One fact of a true picture is to become another. Flipped is the share of pictures in which it did; others "
        "kept, the share of all other facts that stayed. The difference is taken between two z_t, as in the paper, or "
        "between what the prior makes of the two captions. The last table tells why that matters: both point where "
        "the picture's own z_i would go, but two z_t also differ along axes on which the z_i of pictures hardly vary, "
        "and there a step is many times too long. A stride of 1 is one standard deviation of pictures on the mean "
        "axis."),
    "probing": Section(
        "Principal components of z_i",
        "The first components hold what a picture shows roughly, the later ones its details (figure 7).",
        "Pictures are drawn from the first components alone, without a caption. The second table says how many "
        "components bring a fact halfway from what none recover to what all do."),
    "attribute_binding": Section(
        "Attribute binding",
        "Asked for a red cube on a blue cube, unCLIP often mixes up the colours (figure 15).",
        "Captions that training never saw name two things of different kinds and colours. Swapped: each is drawn in "
        "the other's colour."),
    "typographic_attack": Section(
        "The typographic attack",
        "A word written on an apple makes CLIP say the word, and the decoder still draws apples (figure 6).",
        "This CLIP has never seen a letter, so it cannot have learned to read: the name of another kind is written on "
        "the picture, and as a control its mirror image, which covers as much and says nothing. Where CLIP errs with "
        "both alike, it does not read, it sees less of the thing."),
    "inversion": Section(
        "Inversion",
        "z_i and x_T together give the picture back (section 3).",
        "Without guidance and without a caption. A correction is one more look of the network at a step; with one "
        "alone, inversion is what the papers do. The spread of x_T should be that of noise, 1."),
}  # fmt: skip


def page(folder: Path, size: dict, figures: dict[str, dict[str, Picture]]) -> str:
    """The whole page, in Markdown, of the results in a folder. figures: those by part that `figures_of` drew."""
    contents = {part: read_result(folder / f"{part}.json") for part in figures}
    minutes = sum(content["seconds"] for content in contents.values()) / 60
    made_with = next(iter(contents.values()))["made_with"]
    machines = sorted({content["machine"] for content in contents.values()})
    head = [
        "# The paper's findings, measured", "",
        "Written by `minunclip evaluate --suite paper`. What unCLIP's evaluation found (Ramesh et al. 2022), measured "
        "on the toy world, where the truth is known: a small classifier, the judge, reads the facts off every picture.",
        "",
        f"Seed {made_with['seed']}, {'; '.join(machines)}, {minutes:.0f} minutes. {amounts(size)} In brackets are 95% "
        "intervals: for proportions Wilson's, otherwise where the number falls when the captions are drawn anew.",
        "", "",
    ]  # fmt: skip
    results = {part: content["tables"] for part, content in contents.items()}
    if found := signs(results):                                         # none, if only a few parts were measured
        head += ["## The signs", "", SIGNS_TOLD, "", table_of("which way a finding points", found), "", ""]
    return "\n".join(head) + "\n".join(section(part, contents[part], figures[part]) for part in figures)


def amounts(size: dict) -> str:
    """How much was drawn, in words."""
    return (f"Fidelity and distances: {size['singles']} captions, one picture each; diversity: {size['groups']} "
            f"captions, {size['samples']} pictures each; changed pictures: {size['edits']}.")  # fmt: skip


def section(part: str, content: dict, figures: dict[str, Picture]) -> str:
    """What the paper says, what was measured, its figures and its tables."""
    told = SECTIONS[part]
    alts = {f"{name}.png": picture.alt for name, picture in figures.items()} | content["pictures"]
    pictures = [f"![{alt.replace('[', '(').replace(']', ')')}]({file})\n" for file, alt in alts.items()]
    tables = [table_of(title, rows) + "\n" for title, rows in content["tables"].items()]
    words = [f"## {told.title}\n", f"*The paper:* {told.paper}\n", f"*Here:* {told.here}\n"]
    return "\n".join([*words, *pictures, *tables])


# -- for notebooks -------------------------------------------------------------------------------------------


def table(part: str, title: str, folder: Path = RESULTS):
    """One table of a part's results as Markdown; if it was not measured, a line that says so.

    Raises ValueError for a damaged file.
    """
    from IPython.display import Markdown

    path = folder / f"{part}.json"
    tables = read_result(path)["tables"] if path.is_file() else {}
    return Markdown(table_of(title, tables[title]) if title in tables else NONE)


def figure(name: str, folder: Path = RESULTS):
    """One figure of the results, with its description; if it was not drawn, a line that says so.

    Raises ValueError for a damaged file.
    """
    from IPython.display import Markdown

    path = folder / f"{name}.png"
    if not path.is_file():
        return Markdown(NONE)
    try:
        picture = read_picture(path)
    except ValueError as error:
        raise ValueError(f"{error}; or measure again with minunclip evaluate --suite paper --fresh") from None
    with Image.open(path) as image:
        return Picture(picture, image.info.get("Description", name))
