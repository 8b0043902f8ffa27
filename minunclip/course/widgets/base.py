"""The ipywidgets of the notebooks. Each also shows a still picture where there is no kernel, as on GitHub.

Core ipywidgets only. Sliders have no name that a screen reader could find, so each is linked to a labelled field.
"""

from __future__ import annotations

import html
import time
from dataclasses import replace

import ipywidgets as widgets
from ipywidgets import jslink
from PIL import Image
from torch import Tensor

from ...common import to_pil
from ...plots import Picture, show
from ...unclip import UnCLIP

SIDE = 256  # of the one picture in a widget, in pixels on the page


class StillBox(widgets.VBox):
    """Widgets in a column, and the Picture `still` for viewers that cannot run them."""

    still: Picture

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        pictures, metadata = self.still._repr_mimebundle_()
        return {**bundle, **pictures}, metadata  # the box's own text/plain would list every child


# -- the grid: drawn beforehand, works without a kernel ------------------------------------------------------


def guidance_grid(pictures: dict[float, Tensor | Image.Image], label: str, seed: int | None = None) -> StillBox:
    """One picture per guidance, chosen with a slider. The links run in the browser, no kernel is needed.

    pictures: {guidance: (3, s, s) or (1, 3, s, s) in -1 to 1, or a PIL image}; label: the caption of all of them.
    Raises ValueError if there are none
    """
    if not pictures:
        raise ValueError("guidance_grid: there are no pictures; draw one for each guidance")
    images = {scale: to_pil(_single(image), SIDE) for scale, image in sorted(pictures.items())}
    pages = {f"{scale:g}": Picture(image, f"{label}, guidance {scale:g}") for scale, image in images.items()}
    box = StillBox([widgets.Label(label), *paged(pages, "guidance")])
    names = [f"guidance {scale:g}" for scale in images]
    box.still = show(list(images.values()), names, title=label, seed=seed, side=128)
    return box


def paged(pages: dict[str, Picture], description: str, width: int = 170) -> list[widgets.Widget]:
    """One of some pictures, chosen by name with a slider or in a field `width` pixels wide. Needs no kernel."""
    options = [(name, i) for i, name in enumerate(pages)]
    height = max(picture.size[1] for picture in pages.values()) + 12
    stack = widgets.Stack(
        [widgets.HTML(picture.html()) for picture in pages.values()], selected_index=0,
        layout={"min_height": f"{height}px"},
    )  # fmt: skip
    slider = widgets.SelectionSlider(options=options, description=description, readout=False)
    choice = widgets.Dropdown(options=options, description="or pick one:", layout={"width": f"{width}px"})
    jslink((slider, "index"), (stack, "selected_index"))
    jslink((slider, "index"), (choice, "index"))
    return [widgets.HBox([slider, choice]), stack]


def stacked(pages: list[Picture]) -> Picture:
    """Some pictures below each other, such as pages of a grid for its still picture."""
    size = max(page.image.width for page in pages), sum(page.image.height for page in pages)
    sheet, top = Image.new("RGB", size, "white"), 0
    for page in pages:
        sheet.paste(page.image, (0, top))
        top += page.image.height
    return Picture(sheet, " ".join(page.alt for page in pages), pages[0].colours, density=pages[0].density)


def light(picture: Picture) -> Picture:
    """The same in a third of the bytes: 256 colours, chosen so that rare ones stay, since a colour may be a fact."""
    image = picture.image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=4)
    return Picture(image, picture.alt, density=picture.density)


def _single(image: Tensor | Image.Image) -> Tensor | Image.Image:
    return image[0] if isinstance(image, Tensor) and image.ndim == 4 else image


# -- explorers: they draw when a button is pressed or a control is moved -------------------------------------


def knob(slider: widgets.IntSlider | widgets.FloatSlider) -> widgets.HBox:
    """A slider, and a labelled field for the same number, which a screen reader can find."""
    kind = widgets.BoundedIntText if isinstance(slider, widgets.IntSlider) else widgets.BoundedFloatText
    number = kind(slider.value, min=slider.min, max=slider.max, step=slider.step, description="or type it:",
                  layout={"width": "170px"})  # fmt: skip
    jslink((slider, "value"), (number, "value"))
    slider.readout = False                                              # the field tells the number
    return widgets.HBox([slider, number])


class Explorer(StillBox):
    """Controls, a button that starts `_draw`, and one picture that is replaced in place. Subclasses create them."""

    button: widgets.Button
    picture: widgets.Image
    status: widgets.HTML
    busy = "drawing ..."

    def draw(self) -> None:
        """Draw with the settings of the controls. An error is shown below the picture and never raised."""
        label, self.button.description, self.button.disabled = self.button.description, self.busy, True
        try:
            self._draw()
        except Exception as error:  # an exception in a callback would vanish without a trace
            self.status.value = f'<span role="alert" style="color: #b00020">{html.escape(str(error))}</span>'
        finally:
            self.button.description, self.button.disabled = label, False

    def _draw(self) -> None:
        """What a subclass draws and puts into `picture`, `status` and `still`."""
        raise NotImplementedError


class Live(Explorer):
    """An explorer that draws when one of the `watched` controls is moved, or its button is pressed.

    controls: what stands above the picture. height: of the picture, in pixels
    """

    def __init__(self, controls: list[widgets.Widget], watched: list[widgets.Widget], height: int):
        self.still = Picture(Image.new("RGB", (16, 16), "white"), "nothing is drawn yet")
        self.button = widgets.Button(description="Draw", button_style="primary", tooltip="draw it again")
        self.picture = widgets.Image(format="png", layout={"height": f"{height}px", "object_fit": "contain",
                                                           "object_position": "left top"})  # fmt: skip
        self.status = widgets.HTML(layout={"min_height": "48px", "width": "760px"})
        self.button.on_click(lambda _: self.draw())
        for control in watched:
            control.observe(lambda _: self.draw(), names="value")
        super().__init__([*controls, self.button, self.picture, self.status])
        self.draw()

    def show(self, page: Picture, told: str, start: float) -> None:
        """Show a page; `start` is the time.perf_counter() at which the work on it began."""
        self.still, self.picture.value = page, page.png()
        told = f"{html.escape(told)}: {time.perf_counter() - start:.1f} s"
        self.status.value = f'<span role="status">{told}</span>'


class GuidanceExplorer(Explorer):
    """A caption, a guidance, a seed and a button: the picture is drawn by the kernel and replaced in place."""

    def __init__(self, cascade: UnCLIP, caption: str = "a big red heart", size: int = 128, guidance: float = 2.0):
        self.cascade, self.size = cascade, size
        self.still = Picture(Image.new("RGB", (SIDE, SIDE), "white"), "nothing is drawn yet")
        self.caption = widgets.Text(caption, description="caption", layout={"width": "440px"})
        self.guidance = widgets.FloatSlider(
            guidance, min=1, max=8, step=0.5, description="guidance", continuous_update=False, readout=False
        )
        self.number = widgets.BoundedFloatText(guidance, min=1, max=8, step=0.5, description="or type it:",
                                               layout={"width": "170px"})  # fmt: skip
        self.seed = widgets.BoundedIntText(0, min=0, max=2**31, description="seed", layout={"width": "170px"})
        self.button = widgets.Button(description="Draw", button_style="primary", tooltip="draw this caption")
        self.picture = widgets.Image(format="png", layout={"width": f"{SIDE}px", "height": f"{SIDE}px"})
        self.status = widgets.HTML(layout={"min_height": "48px", "width": "600px"})
        jslink((self.guidance, "value"), (self.number, "value"))
        self.button.on_click(lambda _: self.draw())
        knobs = widgets.HBox([self.guidance, self.number])
        super().__init__([self.caption, knobs, widgets.HBox([self.seed, self.button]), self.picture, self.status])
        self.draw()

    def _draw(self) -> None:
        start, caption, seed, scale = time.perf_counter(), self.caption.value, self.seed.value, self.guidance.value
        settings = replace(self.cascade.settings, decoder_guidance=scale)
        drawing = self.cascade.sample([caption], seed=seed, size=self.size, settings=settings)
        told = f"{caption}, guidance {scale:g}, seed {seed}"
        self.picture.value = Picture(to_pil(drawing.image[0], SIDE), told).png()
        self.status.value = f'<span role="status">{html.escape(told)}: {time.perf_counter() - start:.1f} s</span>'
        self.still = show([drawing.image[0]], [told], side=SIDE)
