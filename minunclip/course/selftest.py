"""A test of ten questions, before the course and after it. It is scored here; nothing leaves the machine.

    selftest.Selftest("before")
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets

from ..common import DATA, write_text

SCORES = DATA / "runs" / "selftest.json"
MOMENTS = ("before", "after")


@dataclass(frozen=True)
class Question:
    text: str
    choices: tuple[str, ...]
    right: int                              # which of the choices
    why: str


QUESTIONS = (
    Question("What does the prior of unCLIP make out of a caption?",
             ("a small picture", "an image embedding", "a longer caption", "the noise to start from"), 1,
             "The prior draws z_i, the embedding that CLIP's image network could have made of a fitting picture. The "
             "decoder makes the picture of it."),
    Question("CLIP is trained with a batch of captioned pictures. What does it learn to do?",
             ("write the caption of each picture", "draw the picture of each caption",
              "tell which caption belongs to which picture", "tell good pictures from bad ones"), 2,
             "Each picture is compared with all captions of the batch. Its own should be the most similar."),
    Question("A diffusion model is trained on a picture. Why need it not walk through all noise levels?",
             ("any noise level can be reached in one jump", "it only ever sees pure noise",
              "the network remembers the levels before", "it learns one level a day"), 0,
             "Noise added in many steps is the same as noise added once, with known shares."),
    Question("A network that predicts the noise has a loss of 0.1, and it is the best possible network. Why not 0?",
             ("it was not trained for long enough", "its learning rate is too high",
              "the loss is an average over colours", "the same noisy picture can come from different noises"), 3,
             "What cannot be known cannot be predicted. The best answer is a mean, and the truth differs from it."),
    Question("Classifier-free guidance of w = 1 means",
             ("the caption is ignored", "the network's answer with the caption, unchanged",
              "the answer is pushed twice as far", "only the caption counts, and no noise"), 1,
             "w multiplies the difference between the answers with and without the caption, and 1 adds it as it is."),
    Question("As guidance grows, what is the usual price?",
             ("more memory for each step", "the pictures become smaller", "less variety, and glaring colours",
              "the caption counts less and less"), 2,
             "What could be something else is given up, right or not, and estimates leave the range of the data."),
    Question("Two pictures have nearly the same z_i. In what may they differ?",
             ("in nothing", "in the things that they show", "in the words of their captions",
              "in where exactly things stand, and other detail"), 3,
             "z_i says what a caption would say. The rest is the decoder's to invent."),
    Question("You sample twice with DDIM at eta = 0, with the same x_T. What do you get?",
             ("the same picture twice", "two pictures of the same caption", "a picture and its negative",
              "two pictures that have nothing in common"), 0,
             "At eta = 0 no new noise comes in, so the start decides everything."),
    Question("An upsampler is trained on small pictures that were spoiled on purpose. Why?",
             ("to save computing", "so that it ignores the small picture",
              "so that small faults of the decoder do no harm", "because clean pictures are hard to get"), 2,
             "What it enlarges later is drawn, not photographed. It must have seen faults of that kind."),
    Question("A text diff turns a picture of a red heart into one of a blue heart. What is moved?",
             ("z_i, along the difference of two captions", "the pixels, towards blue",
              "the weights of the decoder", "the noise level t"), 0,
             "z_i turns in the direction from one caption's embedding to the other's, and x_T stays."),
)  # fmt: skip


class Selftest(widgets.VBox):
    """Ten questions and a button that counts the right answers. moment: "before" or "after" the course.

    The score is kept in `file`, so that the one after the course can be set beside the one before. Raises ValueError
    for another moment.
    """

    def __init__(self, moment: str, file: Path = SCORES):
        if moment not in MOMENTS:
            raise ValueError(f"Selftest: {moment!r} is no moment; choose from: {', '.join(MOMENTS)}")
        self.moment, self.file = moment, file
        self.answers = [widgets.RadioButtons(options=question.choices, value=None, layout={"width": "max-content"})
                        for question in QUESTIONS]  # fmt: skip
        self.reasons = [widgets.HTML() for _ in QUESTIONS]
        self.total = widgets.HTML()
        button = widgets.Button(description="How many are right?", button_style="primary", layout={"width": "200px"})
        button.on_click(lambda _: self.mark())
        asked = [widgets.VBox([widgets.HTML(f"<b>{i}. {html.escape(question.text)}</b>"), answer, reason])
                 for i, (question, answer, reason)
                 in enumerate(zip(QUESTIONS, self.answers, self.reasons, strict=True), start=1)]  # fmt: skip
        super().__init__([*asked, button, self.total])

    def mark(self) -> None:
        """Count the right answers, say why they are right, and keep the score."""
        right = [answer.index == question.right for question, answer in zip(QUESTIONS, self.answers, strict=True)]
        for question, reason, hit in zip(QUESTIONS, self.reasons, right, strict=True):
            told = "Right." if hit else f"It is: {question.choices[question.right]}."
            reason.value = html.escape(f"{told} {question.why}")
        scores = known(self.file) | {self.moment: sum(right)}
        self.total.value = f'<span role="status">{said(scores, self.moment)}</span>'
        write_text(self.file, json.dumps(scores, indent=1) + "\n")

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        return bundle | {"text/markdown": on_paper(), "text/plain": f"a test of {len(QUESTIONS)} questions"}


def known(file: Path) -> dict[str, int]:
    """The scores so far; none if the file is not there or is not ours."""
    try:
        scores = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return {moment: scores[moment] for moment in MOMENTS if isinstance(scores, dict) and moment in scores}


def said(scores: dict[str, int], moment: str) -> str:
    """The score as a sentence, after the course beside the one before it."""
    text = f"{scores[moment]} of {len(QUESTIONS)} are right."
    compared = moment == "after" and "before" in scores
    return f"{text} Before the course it was {scores['before']}." if compared else text


def on_paper() -> str:
    """The test for a page that cannot run it: questions, with answers that unfold."""
    lines = []
    for i, question in enumerate(QUESTIONS, start=1):
        choices = "\n".join(f"   - {choice}" for choice in question.choices)
        lines.append(f"{i}. {question.text}\n{choices}\n\n   <details><summary>Answer</summary>"
                     f"{question.choices[question.right]}. {question.why}</details>\n")  # fmt: skip
    return "\n".join(lines)
