"""The two knobs of notebook 09, without a browser: which page stands where, and where the dot is."""

import base64
import io

import ipywidgets as widgets
import numpy as np
import pytest
import torch
from helpers import normal, randomise, tiny_cascade
from PIL import Image
from test_widgets import bundle, linked

from minunclip.course.widgets.cascade import COUNT, Chart, Knobs, KnobsExplorer, crossed, knobs_grid, light
from minunclip.evaluation import Judge
from minunclip.evaluation.judge import JudgeConfig
from minunclip.plots import Picture
from minunclip.scenes import Scenes

DOT = (255, 214, 92)
KNOBS = Knobs((1, 2, 4), (1, 3), np.array([[0.2, 0.4], [0.4, 0.8], [0.6, 0.8]]), np.array([[9, 7], [8, 4], [5.0, 3]]))
ITEM = Scenes("test")[0]


@pytest.fixture(scope="module")
def judge():
    return randomise(Judge(JudgeConfig(width=8)))


def page(name):
    return Picture(Image.new("RGB", (20, 10), "white"), name)


TABLE = {row: {column: page(f"{row}{column}") for column in "xyz"} for row in "ab"}

# -- pages with two names each -------------------------------------------------------------------------------


def test_two_sliders_choose_a_page_in_the_browser_alone():
    box = crossed(TABLE, ("row", "column"), page("still"))
    (first, second), outer = [row.children for row in box.children[:2]], box.children[2]
    assert linked(first[0], "index", outer, "selected_index") and linked(first[0], "index", first[1], "index")
    assert all(linked(second[0], "index", inner, "selected_index") for inner in outer.children)
    assert [[html.value for html in inner.children] for inner in outer.children] == [
        [one.html() for one in row.values()] for row in TABLE.values()]  # fmt: skip
    assert [label for label, _ in second[1].options] == list("xyz") and first[1].description


def test_viewers_without_widgets_see_the_still():
    data, metadata = bundle(crossed(TABLE, ("row", "column"), page("a still picture")))
    assert metadata["image/png"]["alt"] == "a still picture" and "a still picture" in data["text/html"]


@pytest.mark.parametrize("pages", [{}, {"a": {}}, {"a": TABLE["a"], "b": {"x": page("bx")}}])
def test_rows_of_other_columns_are_an_error(pages):
    with pytest.raises(ValueError, match="the same columns"):
        crossed(pages, ("row", "column"), page("still"))


# -- the knobs' place ----------------------------------------------------------------------------------------


def test_measured_settings_are_themselves_and_others_lie_between():
    for i, p in enumerate(KNOBS.prior):
        for j, g in enumerate(KNOBS.decoder):
            assert KNOBS.at(p, g) == (KNOBS.fidelity[i, j], KNOBS.diversity[i, j])
    assert KNOBS.at(1, 2) == pytest.approx((0.3, 8)) and KNOBS.at(3, 1) == pytest.approx((0.5, 6.5))
    assert KNOBS.at(1.5, 2) == pytest.approx((0.45, 7))


def dots(image):
    """The middle of the dot: (x, y) in pixels, or None."""
    y, x = np.nonzero((np.asarray(image.convert("RGB")) == DOT).all(axis=-1))
    return (x.mean(), y.mean()) if len(x) else None


def test_the_dot_is_where_the_line_has_its_point():
    chart = Chart(KNOBS)
    assert dots(chart.image) is None
    left, right, low = dots(chart.marked(1, 1)), dots(chart.marked(2, 3)), dots(chart.marked(4, 3))
    assert left[0] < right[0] and left[1] < right[1] < low[1]           # fidelity to the right, diversity upward
    assert right[0] == pytest.approx(low[0], abs=1)                     # the same fidelity
    around = np.asarray(chart.image.convert("L"))[int(right[1]) - 4 : int(right[1]) + 5, int(right[0]) - 4 :][:, :9]
    assert around.min() < 200                                           # the line's own mark lies under it
    middle = dots(chart.marked(1, 2))
    assert middle[0] == pytest.approx((left[0] + dots(chart.marked(1, 3))[0]) / 2, abs=1)


def test_a_setting_without_a_number_has_no_dot():
    unknown = Knobs(KNOBS.prior, KNOBS.decoder, KNOBS.fidelity, np.full((3, 2), np.nan))
    assert dots(Chart(unknown).marked(1, 1)) is None


def stored():
    """Knobs as the paper suite leaves them: one line of the decoder's, and the prior's at a guidance of 3."""
    line = [{"model": "full stack", "guidance": w, "fidelity": f, "diversity": d}
            for w, f, d in ((1, 0.5, 9.0), (3, 0.7, 8.0), (8, 0.6, 7.0))]  # fmt: skip
    other = [{"model": "caption alone", "guidance": 1, "fidelity": 0.1, "diversity": 1.0}]
    points = [{"guidance": p, "fidelity": f, "diversity": d} for p, f, d in ((1, 0.7, 8.0), (2, 0.8, 5.0))]
    return Knobs.measured(other + line, points, 3.0)


def test_what_the_suite_measured_is_a_line_and_points():
    knobs = stored()
    assert (knobs.prior, knobs.decoder) == ((1, 2), (1, 3, 8))
    np.testing.assert_equal(knobs.fidelity, [[0.5, 0.7, 0.6], [np.nan, 0.8, np.nan]])
    np.testing.assert_equal(knobs.diversity, [[9, 8, 7], [np.nan, 5, np.nan]])
    assert knobs.at(1, 2) == pytest.approx((0.6, 8.5)) and knobs.at(2, 3) == (0.8, 5)
    assert knobs.at(1.5, 3) == pytest.approx((0.75, 6.5)) and np.isnan(knobs.at(2, 1)).all()
    assert np.isnan(knobs.at(1.5, 1)).all() and np.isnan(knobs.at(2, 2)).all()
    chart = Chart(knobs)
    assert dots(chart.marked(2, 3))[1] > dots(chart.marked(1, 3))[1] and dots(chart.marked(2, 1)) is None


def test_pages_may_be_fewer_than_what_was_measured(judge):
    pictures = {(p, w): normal(4, 3, 32, 32, seed=p + w).clamp(-1, 1) for p in (1, 2) for w in (1, 8)}
    box = knobs_grid(stored(), judge, ITEM, pictures)
    pages = [[html.value for html in inner.children] for inner in box.children[2].children]
    assert [len(row) for row in pages] == [2, 2]
    assert "fidelity of 0.60 and a diversity of 7.0" in pages[0][1] and "Over all measured" not in pages[1][0]


def test_the_grid_has_a_page_for_every_setting(judge):
    pictures = {(p, g): normal(4, 3, 32, 32, seed=10 * p + g).clamp(-1, 1) for p in KNOBS.prior for g in KNOBS.decoder}
    box = knobs_grid(KNOBS, judge, ITEM, pictures)
    pages = [[html.value for html in inner.children] for inner in box.children[2].children]
    assert [len(row) for row in pages] == [2, 2, 2] and len({page for row in pages for page in row}) == 6
    assert "Guidance of the prior 2, of the decoder 3." in pages[1][1] and "fidelity of 0.80" in pages[1][1]
    true = sum(ITEM.statement.holds_in(scene) for scene in judge.read(pictures[2, 3]))
    assert f"{true} of 4 true" in pages[1][1]
    data, _ = bundle(box)
    assert Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).height > 500


# -- live ----------------------------------------------------------------------------------------------------


@pytest.fixture
def explorer(judge):
    return KnobsExplorer(tiny_cascade(), judge, [ITEM, Scenes("test")[1]], KNOBS)


def test_both_knobs_reach_the_cascade(explorer, monkeypatch):
    calls, sample = [], explorer.cascade.sample

    def spy(*args, **how):
        calls.append((args, how))
        return sample(*args, **how)

    monkeypatch.setattr(explorer.cascade, "sample", spy)
    before = explorer.picture.value
    explorer.prior.value, explorer.decoder.value = 3, 2.5
    (captions, seed, size), how = calls[-1]
    assert (how["settings"].prior_guidance, how["settings"].decoder_guidance) == (3, 2.5)
    assert captions == [ITEM.caption] * COUNT and (seed, size) == (0, 32)
    assert explorer.picture.value != before and "prior 3, decoder 2.5" in explorer.status.value
    fidelity, diversity = KNOBS.at(3, 2.5)
    assert f"fidelity of {fidelity:.2f} and a diversity of {diversity:.1f}" in explorer.still.alt


def test_caption_and_seed_count(explorer):
    explorer.caption.value, explorer.seed.value = 1, 5
    assert Scenes("test")[1].caption in explorer.still.alt and "seeds 5 to 12" in explorer.status.value
    assert isinstance(explorer.prior, widgets.FloatSlider) and not explorer.prior.continuous_update
    assert (explorer.prior.min, explorer.prior.max, explorer.decoder.max) == (1, 4, 3)


def test_mistakes_are_shown_and_not_raised(explorer):
    explorer.cascade.prior = None
    explorer.seed.value = 9
    assert 'role="alert"' in explorer.status.value and "no prior" in explorer.status.value
    assert not explorer.button.disabled and not torch.is_inference_mode_enabled()


# -- few bytes -----------------------------------------------------------------------------------------------


def test_a_light_picture_keeps_its_rare_colours():
    image = Image.effect_noise((96, 96), 60).convert("RGB")
    image.paste((250, 140, 25), (40, 40, 44, 44))                       # an orange dot on grey noise
    made = light(Picture(image, "noise"))
    r, g, b = made.image.convert("RGB").getpixel((42, 42))
    assert abs(r - 250) + abs(g - 140) + abs(b - 25) < 60 and made.alt == "noise"
    assert made.image.mode == "P" and len(made.png()) < 0.6 * len(Picture(image, "noise").png())
