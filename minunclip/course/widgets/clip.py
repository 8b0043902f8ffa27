"""The embedding explorer of notebook 02: one caption against a shelf of pictures."""

from __future__ import annotations

import html

import ipywidgets as widgets
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ...clip import CLIP
from ...common import to_pil
from ...plots import GAP, INK, MARGIN, Picture
from .base import Explorer, StillBox, paged, stacked

SIDE, BAR, TITLE = 96, 22, 24  # a picture on the shelf, the strip with its bar, the line with the caption
LIKE, UNLIKE = (44, 95, 148), (193, 84, 60)


def shelf(pictures: dict[str, Tensor], cosines: Tensor, caption: str, columns: int = 6) -> Picture:
    """Pictures (3, s, s) in -1 to 1 by name, below each its cosine with the caption; the best one is framed.

    A bar starts in the middle of its strip, for a cosine of 0, and ends at the right for 1, at the left for -1.
    """
    rows, best = -(-len(pictures) // columns), int(cosines.argmax())
    step_x, step_y = SIDE + 2 * GAP, SIDE + BAR + GAP
    sheet = Image.new("RGB", (columns * step_x + 2 * MARGIN - GAP, TITLE + rows * step_y + 2 * MARGIN), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN), caption, INK, font_size=15)
    for i, (image, cosine) in enumerate(zip(pictures.values(), cosines.tolist(), strict=True)):
        x, y = MARGIN + GAP // 2 + i % columns * step_x, TITLE + 2 * MARGIN + i // columns * step_y
        if i == best:
            pen.rectangle((x - 4, y - 4, x + SIDE + 3, y + SIDE + BAR - 2), fill=(255, 214, 92))
        sheet.paste(to_pil(image, SIDE), (x, y))
        _bar(pen, x, y + SIDE + 2, cosine)
    told = "; ".join(f"{name} {cosine:.2f}" for name, cosine in zip(pictures, cosines.tolist(), strict=True))
    return Picture(sheet, f"Cosines with the caption {caption!r}: {told}. The highest: {list(pictures)[best]}.")


def _bar(pen: ImageDraw.ImageDraw, x: int, y: int, cosine: float) -> None:
    zero, end = x + SIDE // 2, x + round(SIDE / 2 * (1 + cosine))
    pen.rectangle((x, y, x + SIDE - 1, y + 15), fill=(236, 238, 242))
    pen.rectangle((min(zero, end), y, max(zero, end), y + 15), fill=LIKE if cosine > 0 else UNLIKE)
    left, words = x + (4 if cosine > 0 else SIDE - 36), f"{cosine:.2f}"
    pen.text((left, y + 1), words, INK, font_size=12)


@torch.no_grad()
def cosines(clip: CLIP, pictures: dict[str, Tensor], captions: list[str]) -> Tensor:
    """(captions, pictures): how similar CLIP finds each of them. Raises ValueError for unknown words."""
    z_t = clip.encode_text(captions).embed
    z_i = clip.encode_image(torch.stack(list(pictures.values())).to(clip.device))
    return clip.similarity(z_i, z_t).T.float().cpu()


def similarity_grid(clip: CLIP, pictures: dict[str, Tensor], captions: list[str]) -> StillBox:
    """The shelf for each of some captions, chosen with a slider. The links run in the browser, no kernel is needed.

    pictures: {name: (3, s, s) in -1 to 1}, in the size that CLIP reads
    """
    if not pictures or not captions:
        raise ValueError(f"similarity_grid: {len(pictures)} pictures and {len(captions)} captions; give some of both")
    rows = cosines(clip, pictures, captions)
    pages = {caption: shelf(pictures, row, caption) for caption, row in zip(captions, rows, strict=True)}
    box = StillBox(paged(pages, "caption", width=460))
    box.still = stacked(list(pages.values())[:3])
    return box


class SimilarityExplorer(Explorer):
    """A caption of your own against the shelf: press the button, or Enter in the field."""

    busy = "comparing ..."

    def __init__(self, clip: CLIP, pictures: dict[str, Tensor], caption: str = "a red circle above a blue square"):
        self.clip, self.pictures = clip, pictures
        self.still = Picture(Image.new("RGB", (SIDE, SIDE), "white"), "nothing is compared yet")
        self.caption = widgets.Text(caption, description="caption", continuous_update=False, layout={"width": "520px"})
        self.button = widgets.Button(description="Compare", button_style="primary", tooltip="compare this caption")
        height = shelf(pictures, torch.zeros(len(pictures)), "").image.height
        self.picture = widgets.Image(format="png", layout={"height": f"{height}px", "object_fit": "contain",
                                                           "object_position": "left top"})  # fmt: skip
        self.status = widgets.HTML(layout={"min_height": "48px", "width": "640px"})
        self.button.on_click(lambda _: self.draw())
        self.caption.observe(lambda _: self.draw(), names="value")
        super().__init__([widgets.HBox([self.caption, self.button]), self.picture, self.status])
        self.draw()

    def _draw(self) -> None:
        caption = self.caption.value
        [row] = cosines(self.clip, self.pictures, [caption])
        self.still = shelf(self.pictures, row, caption)
        self.picture.value = self.still.png()
        best = sorted(zip(row.tolist(), self.pictures, strict=True), reverse=True)[:3]
        told = "; ".join(f"{name} {cosine:.2f}" for cosine, name in best)
        self.status.value = f'<span role="status">{html.escape(caption)}. Nearest: {html.escape(told)}</span>'
