"""One file a stage: its model, its data, its loss and how long it trains, at the scale of the scenes."""

from ...clip import CLIP
from ...common import STAGES
from .ar_prior import ARPriorRecipe
from .base import CROWDED, SIDES, CaptionRecipe, Recipe, diffusion_loss, random_timesteps
from .clip import ClipRecipe
from .decoder import DecoderRecipe
from .judge import JudgeRecipe
from .pictures import EMBEDDED, PROFILES, picture_recipe
from .prior import PriorRecipe
from .upsampler import UpsamplerRecipe

NEED_CLIP = {"prior": PriorRecipe, "ar-prior": ARPriorRecipe, "decoder": DecoderRecipe}  # a trained one


def recipe_for(stage: str, clip: CLIP | None = None) -> Recipe:
    """The recipe of one of STAGES; the priors and the decoder need a trained CLIP."""
    if stage in NEED_CLIP:
        return NEED_CLIP[stage](clip)
    if stage.startswith("upsampler-"):
        return UpsamplerRecipe(int(stage.removeprefix("upsampler-")))
    return {"clip": ClipRecipe, "judge": JudgeRecipe}[stage]()


__all__ = [
    "CROWDED", "EMBEDDED", "NEED_CLIP", "PROFILES", "SIDES", "STAGES", "ARPriorRecipe", "CaptionRecipe", "ClipRecipe",
    "DecoderRecipe", "JudgeRecipe", "PriorRecipe", "Recipe", "UpsamplerRecipe", "diffusion_loss", "picture_recipe",
    "random_timesteps", "recipe_for",
]  # fmt: skip
