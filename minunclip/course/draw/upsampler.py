"""The upsamplers: trained on crops, of spoiled small pictures."""

from __future__ import annotations

from ...training.recipes import UpsamplerRecipe
from .examples import noised, scene
from .sheet import Drawing, Sheet


def crops() -> Drawing:
    """How an upsampler is trained and used: on crops, and on whole pictures."""
    recipe = UpsamplerRecipe(1)
    factor, crop = recipe.side // recipe.low, recipe.crop
    s = Sheet("crops", 880, 400, title="Training on crops, drawing whole pictures", alt=(
        f"Training: the same square is cut from a picture of {recipe.side} pixels and from its small version of "
        f"{recipe.low}. The large crop is noised to x_t. The small crop is spoiled a little, by a blur, and "
        f"enlarged {factor} times. Both go into the U-Net, which answers with the clean crop. Drawing: the same "
        "network takes the whole small picture, as it has only convolutions."))
    s.frame(14, 12, 852, 252, words="training, on crops")
    large, small, share = 132.0, 56.0, crop / recipe.low
    s.picture(34, 56, large, scene(side=64), kind="image")
    s.picture(34, 198, small, scene(side=32), kind="image")
    for side, x, y in ((large, 34, 56), (small, 34, 198)):
        s.shape(f"M{x + side / 4} {y}h{share * side}v{share * side}h{-share * side}z", kind="bad", filled=False)
    s.text(180, 180, f"{recipe.side} px", kind="image", size=13, anchor="start")
    s.text(98, 246, f"{recipe.low} px", kind="image", size=13, anchor="start")
    part = scene(side=64)[:32, 16:48]
    s.arrow((134, 88), (212, 96), kind="bad")
    s.picture(214, 62, 72, noised(part, 420, seed=2), kind="noise")
    s.text(250, 154, f"x_t, {factor * crop} px", kind="noise", size=13)
    s.arrow((77, 212), (212, 214), kind="bad")
    s.picture(214, 194, 40, scene(side=32)[:16, 8:24], kind="image")
    s.text(234, 252, f"{crop} px", kind="image", size=13)
    s.arrow((254, 214), (288, 214), kind="image")
    s.box(290, 192, 104, 44, kind="bad", words="spoil", note="blur a little")
    s.arrow((394, 214), (424, 214), kind="image")
    s.box(426, 192, 114, 44, words=f"enlarge × {factor}", size=14)
    s.arrow((286, 98), (590, 98), (590, 130), kind="noise")
    s.arrow((540, 214), (590, 214), (590, 184), kind="image")
    s.box(522, 132, 134, 50, words="U-Net", note="convolutions only", bold=True)
    s.arrow((656, 157), (694, 157), kind="good")
    s.picture(696, 121, 72, part, kind="good")
    s.text(732, 212, "the clean crop", kind="good", size=13)
    s.frame(14, 276, 852, 112, words="drawing, of whole pictures")
    s.picture(250, 308, 56, scene(side=32), kind="image")
    s.arrow((306, 336), (352, 336), kind="image")
    s.box(354, 312, 108, 48, words="U-Net", note="step by step", bold=True)
    s.arrow((462, 336), (508, 336), kind="good")
    s.picture(510, 284, 96, scene(side=64), kind="good")
    s.text(640, 330, "Convolutions do not mind\nthe size of a picture.", kind="soft", size=13, anchor="start")
    return s.done()
