"""What is measured: the judge that reads facts off a picture, fidelity, diversity, distances, and their intervals.

May import: the paper's parts, and the rooms below them.
"""

from .bench import Bench, renders
from .binding import told_apart
from .distances import frechet_distance, inside, kernel_distance
from .judge import ABSENT, Judge, heads, labels, mean_loss, places
from .retrieval import found
from .scores import everything, fidelity, judge_accuracy, psnr, same_facts, sharpness, true_facts, zero_shot
from .statistics import Estimate, Share, average, bootstrap, resamples
from .variety import complete, effective_number, entropies, entropy, open_style

__all__ = [
    "ABSENT", "Bench", "Estimate", "Judge", "Share", "average", "bootstrap", "complete", "effective_number",
    "entropies", "entropy", "everything", "fidelity", "found", "frechet_distance", "heads", "inside",
    "judge_accuracy", "kernel_distance", "labels", "mean_loss", "open_style", "places", "psnr", "renders",
    "resamples", "same_facts", "sharpness", "told_apart", "true_facts", "zero_shot",
]  # fmt: skip
