"""What the test files of the paper suite share: a tiny study, and a judge that sees what it is told."""

from collections.abc import Iterable

from helpers import randomise, tiny_cascade
from torch import Tensor

from minunclip.evaluation import Bench, Judge
from minunclip.evaluation.judge import JudgeConfig
from minunclip.experiments import Study
from minunclip.experiments.study import Size
from minunclip.scenes import Scene, Scenes

TINY = Size(singles=6, groups=4, samples=3, guidances=(1, 4), few_guidances=(2,), prior_guidances=(1, 3), draws=5,
            edits=10, inversions=2, embeddings=40,
            route_steps=2)  # fmt: skip
FEW = Scenes("test", 24, seed=100)


def tiny_study() -> Study:
    items = [FEW[i] for i in range(len(FEW))]
    return Study(Bench(tiny_cascade(), randomise(Judge(JudgeConfig(width=8))), items, seed=3), TINY)


def told(monkeypatch, answers: Iterable[list[Scene]]) -> list[int]:
    """Make Study.read return the answers, one after the other; how many pictures it was shown each time."""
    answers, shown = iter(answers), []

    def read(self, pictures):
        shown.append(len(pictures) if isinstance(pictures, Tensor) else sum(map(len, pictures)))
        return next(answers)

    monkeypatch.setattr(Study, "read", read)
    return shown
