"""The first table of the results: which way each finding of the paper points, which way it points here, and why not.

Every number is read from the results that follow, so the table cannot say what they do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Results = dict[str, dict[str, list[dict]]]      # part: title: rows, as JSON has them


@dataclass(frozen=True)
class Sign:
    """A finding as a comparison of two numbers."""

    finding: str                            # what the paper found, in a few words
    where: str                              # in the paper
    paper: str                              # its sign: "more", "less" or "about the same"
    numbers: Callable[[Results], tuple[float, float]]  # here: of what it is about, and of what that is compared with
    reason: str                             # why it may be otherwise here

    def row(self, results: Results) -> dict:
        a, b = self.numbers(results)
        ours = sign(a, b)
        return {"the paper found": self.finding, "in": self.where, "its sign": self.paper, "ours": ours,
                "the numbers": f"{a:.3g} against {b:.3g}",
                "the reason, if they differ": "" if ours == self.paper else self.reason}  # fmt: skip


def sign(a: float, b: float) -> str:
    """The sign of a compared with b; within 3% of the larger they are about the same."""
    if abs(a - b) <= 0.03 * max(abs(a), abs(b)):
        return "about the same"
    return "more" if a > b else "less"


def signs(results: Results) -> list[dict]:
    """One row for each finding whose numbers have been measured."""
    return [finding.row(results) for finding in SIGNS if measured(finding, results)]


def measured(finding: Sign, results: Results) -> bool:
    try:
        finding.numbers(results)
    except (KeyError, IndexError):
        return False
    return True


def at(results: Results, part: str, title: str, column: str, **where) -> float:
    """A number in the row of a table in which the other columns are as given, spaces written as underscores."""
    for row in results[part][title]:
        if all(row[name if name in row else name.replace("_", " ")] == value for name, value in where.items()):
            cell = row[column]
            return cell["value"] if isinstance(cell, dict) else cell
    raise KeyError(f"{part}, {title}: no row with {where}")


def equal(column: str) -> Callable[[Results], tuple[float, float]]:
    """A measure of the full stack against that of the caption alone, at equal fidelity."""
    def numbers(results: Results) -> tuple[float, float]:
        return tuple(at(results, "guidance", "at equal fidelity", f"{column}, {model}")
                     for model in ("full stack", "caption alone"))  # fmt: skip

    return numbers


def route(column: str, a: str, b: str) -> Callable[[Results], tuple[float, float]]:
    """A measure of one route from caption to z_i against that of another."""
    def numbers(results: Results) -> tuple[float, float]:
        return tuple(at(results, "routes", "the routes from caption to z_i", column, route=name) for name in (a, b))

    return numbers


FIDELITY, BEST = "fidelity, one picture a caption", "diffusion prior, best of 2"


def guided_stack(results: Results) -> tuple[float, float]:
    table = results["guidance"]["guidance of the decoder"]
    scales = [row["guidance"] for row in table]
    return tuple(at(results, "guidance", "guidance of the decoder", "diversity", model="full stack", guidance=scale)
                 for scale in (max(scales), min(scales)))  # fmt: skip


def guided_prior(results: Results) -> tuple[float, float]:
    scales = [row["guidance"] for row in results["prior_guidance"]["guidance of the prior"]]
    return tuple(at(results, "prior_guidance", "guidance of the prior", "fidelity", guidance=scale)
                 for scale in (max(scales), min(scales)))  # fmt: skip


def two_priors(results: Results) -> tuple[float, float]:
    return tuple(at(results, "two_priors", "the two priors", "fidelity", prior=name)
                 for name in ("diffusion, best of 2", "autoregressive"))  # fmt: skip


def flipped(results: Results) -> tuple[float, float]:
    rows = [row for row in results["text_diffs"]["text diffs"]
            if (row["difference of"], row["compared with"]) == ("z_t", "its caption")]  # fmt: skip
    return max(row["flipped"]["value"] for row in rows), 0.5


def bound(results: Results) -> tuple[float, float]:
    title = "colours of two things"
    return tuple(at(results, "attribute_binding", title, "swapped", z_i=name, caption=said)
                 for name, said in (("of the prior", "no"), ("none", "yes")))  # fmt: skip


def attacked(results: Results) -> tuple[float, float]:
    return tuple(at(results, "typographic_attack", "a word on a picture", "CLIP says the word",
                    written=f"{name}, over the thing") for name in ("the word", "its mirror image"))  # fmt: skip


SIGNS = (
    Sign("with the prior's z_i the pictures of a caption are more varied than from the caption alone", "5.3, fig. 10",
         "more", equal("diversity"), "the caption alone leaves the decoder as free here"),
    Sign("and so are their styles", "5.3", "more", equal("style variability"),
         "the style is named in more than half of all captions here"),
    Sign("guidance hardly costs the full stack any variety", "5.3, fig. 9", "about the same", guided_stack,
         "guidance also strengthens what the decoder takes from the caption, and so the commonest pictures of it"),
    Sign("the full stack draws truer pictures than the caption alone", "5.1, fig. 8", "more",
         route(FIDELITY, BEST, "the caption alone"), "the caption says here all that is asked of a picture"),
    Sign("z_t in the place of z_i gives reasonable pictures, but worse ones than the prior's z_i", "5.1, fig. 8",
         "less", route(FIDELITY, "z_t", BEST), "z_t says all that is asked of a picture, and the judge asks no more"),
    Sign("people judge both priors about alike", "2.2, table 1", "about the same", two_priors,
         "one prior is smaller, or learned for less time, than the other"),
    Sign("guiding the prior does not make better pictures", "5.5", "about the same", guided_prior,
         "what the caption says must be true here, which guidance of the prior does help"),
    Sign("text diffs by z_t flip what they ask for", "3.3, fig. 5", "more", flipped,
         "the gap between z_t and z_i is wide along axes on which pictures hardly differ"),
    Sign("colours are mixed up from z_i more than by a decoder that reads the caption", "7, fig. 15", "more", bound,
         "this CLIP was trained with captions in which colours are exchanged, and that one was not"),
    Sign("a written word makes CLIP say the word", "4, fig. 6", "more", attacked,
         "this CLIP has never seen a letter"),
)  # fmt: skip
