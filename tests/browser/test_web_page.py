"""The page of docs/page in a real browser: it draws what the library draws, and a reader can use it.

    uv run --group page pytest -m browser tests/browser/test_web_page.py

MINUNCLIP_PAGE_MODEL is the model to build it from, by default scenes, MINUNCLIP_PAGE_ONNX an export of it that is there
already, MINUNCLIP_PAGE_CAPTIONS how many captions are drawn. MINUNCLIP_SCREENSHOTS=folder keeps pictures of the page.
"""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from site_page import Page, builder, difference, serve

import minunclip
from minunclip.common import to_uint8
from minunclip.diffusion import ddim, last
from minunclip.embeddings import slerp
from minunclip.evaluation import Judge, fidelity
from minunclip.scenes import Scenes

pytestmark = pytest.mark.browser
MODEL = os.environ.get("MINUNCLIP_PAGE_MODEL", "scenes")
FAITHFUL = int(os.environ.get("MINUNCLIP_PAGE_CAPTIONS", 12))           # captions that both draw
DOWNLOAD = 36e6                                                         # bytes of the whole page, packed


@pytest.fixture(scope="module")
def cascade():
    return minunclip.load(MODEL)


@pytest.fixture(scope="module")
def folder(browser, tmp_path_factory):
    pytest.importorskip("onnxscript", reason="the page's packages are not installed: uv run --group page")
    from minunclip.commands.export import export

    made = tmp_path_factory.mktemp("page")
    onnx = os.environ.get("MINUNCLIP_PAGE_ONNX") or export(MODEL, made / "onnx").parent
    builder().build(made / "site", Path(onnx))
    return made / "site"


@pytest.fixture(scope="module")
def url(folder):
    server = serve(folder)
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture
def site(url, page):
    return Page(page, url)


def captions(n, seed):
    items = [Scenes("test", n, seed=seed)[i] for i in range(n)]
    return items, [item.caption for item in items]


def pixels(image):
    return to_uint8(image[0])


def test_it_draws_what_the_library_draws(site, cascade, note):
    """The same noise from the same seed: every pixel of every size. So the judge reads the same in both."""
    items, said = captions(FAITHFUL, seed=77)
    model = MODEL if MODEL == "scenes" else Path(MODEL) / Judge.file_name
    judge, ours, theirs, worst = Judge.from_pretrained(model), [], [], {32: 0, 128: 0}
    for seed, caption in enumerate(said):
        site.draw(caption, seed)
        drawing = cascade.sample(caption, seed, size=128)
        for side, canvas in ((32, "strip-small"), (128, "result")):
            worst[side] = max(worst[side], difference(site.picture(canvas), pixels(drawing.images[side])))
        ours.append(site.picture("strip-small") / 127.5 - 1)
        theirs.append(drawing.images[32][0])
    statements = [item.statement for item in items]
    shares = [fidelity(statements, judge.read(torch.stack(images)))["caption"] for images in (ours, theirs)]
    note(f"largest difference of {FAITHFUL} pictures, of 255: {worst}; fidelity {shares[0]} against {shares[1]}")
    assert worst[32] <= 2 and worst[128] <= 2
    assert shares[1].interval[0] <= shares[0].value <= shares[1].interval[1]


def test_every_knob_does_what_the_library_does(site, cascade):
    caption, seed = "a red star above a blue circle", 5
    site.draw(caption, seed)
    site.set(prior_guidance=2.5, prior_steps=9, decoder_guidance=4.5, decoder_steps=7, eta=0.6)
    s = replace(cascade.settings, prior_guidance=2.5, prior_steps=9, decoder_guidance=4.5, decoder_steps=7)
    text = cascade.encode_text(caption)
    z_i = cascade.embed(text, seed=seed, settings=s).finish()
    denoiser, noise = cascade.decoder_denoiser(z_i, text, 4.5), cascade.noise((1, 3, 32, 32), seed, "decoder")
    steps = list(ddim(cascade.decoder.diffusion, denoiser, noise, 7, eta=0.6))
    assert difference(site.picture("strip-small"), pixels(steps[-1].x_t)) <= 2
    for number in (1, 4, 7):                                            # and every step under the slider
        site.tab.locator("#scrub").fill(str(number))
        assert difference(site.picture("expected"), pixels(steps[number - 1].x_0)) <= 2
        assert difference(site.picture("noisy"), pixels(steps[number - 1].x_t)) <= 2
        assert f"Step {number} of 7, at timestep {steps[number - 1].t}" in site.text("decoder-text")
    site.set(prior_guidance=1, decoder_guidance=1, eta=0)               # the networks without their second half
    s = replace(s, prior_guidance=1.0, decoder_guidance=1.0)
    assert difference(site.picture("strip-small"), pixels(cascade.sample(caption, seed, 32, settings=s).image)) <= 2


def test_the_way_between_two_captions(site, cascade):
    here, there = "a big red circle", "a small yellow star at night"
    site.draw(here, 3)
    site.tab.locator("#other").fill(there)
    site.tab.locator("#way-form button").click()
    site.tab.locator("#way-strip li").nth(8).wait_for()
    ends = [cascade.embed(cascade.encode_text(caption), seed=3).finish() for caption in (here, there)]
    empty, s = cascade.clip.encode_text([""]), cascade.settings
    denoiser = cascade.decoder_denoiser(slerp(*ends, 0.5), empty, s.decoder_guidance)
    noise = cascade.noise((1, 3, 32, 32), 3, "decoder")
    halfway = last(ddim(cascade.decoder.diffusion, denoiser, noise, s.decoder_steps))
    assert difference(site.picture("between"), pixels(halfway)) <= 2
    site.tab.locator("#theta").press("End")
    site.tab.locator("#between-text", has_text=there).wait_for()


def test_a_slider_by_keyboard(site, note):
    site.draw("a green heart", 1)
    before, start = site.picture("strip-small"), time.perf_counter()
    site.tab.locator("#decoder-guidance").press("ArrowRight")
    site.tab.locator("#main[aria-busy=true]").wait_for()
    site.settle()
    note("guidance by a key, to the 128 px picture", round(1000 * (time.perf_counter() - start)))
    note(site.text("decoder-text"))
    assert site.tab.locator("#decoder-guidance").input_value() == site.text("decoder-guidance-value") == "3.5"
    assert difference(site.picture("strip-small"), before) > 2
    site.tab.locator("#decoder-guidance").press("ArrowLeft")            # back: the picture that was there
    site.settle()
    assert difference(site.picture("strip-small"), before) == 0


def test_it_works_without_the_network(site, page):
    page.locator("#loading").wait_for(state="hidden")                   # all that it ever fetches is here
    page.context.set_offline(True)
    site.draw("a purple moon", 2)
    site.tab.get_by_label("512 pixels").check()
    site.settle()
    assert site.picture("result").shape == (3, 512, 512)
    assert "512 × 512" in site.text("result-text")


def test_a_caption_that_the_library_refuses(site, cascade):
    for caption in ("a red elefant", "a bleu squar", " ?! "):
        site.tab.locator("#caption").fill(caption)
        site.tab.locator("#caption").press("Enter")
        with pytest.raises(ValueError) as error:
            cascade.encode_text(caption)
        assert site.text("caption-error") == " ".join(str(error.value).split())
        assert site.tab.locator("#caption").get_attribute("aria-invalid") == "true"
    site.draw("a red square", 0)
    assert not site.tab.locator("#caption-error").is_visible()


def test_words_are_offered(site):
    field = site.tab.locator("#caption")
    field.fill("")
    field.press_sequentially("a ci")
    assert site.tab.get_by_role("option").all_inner_texts() == ["circle"]
    assert field.get_attribute("aria-expanded") == "true"
    field.press("ArrowDown")
    assert field.get_attribute("aria-activedescendant") == "caption-words-0"
    field.press("Enter")
    assert field.input_value() == "a circle " and field.get_attribute("aria-expanded") == "false"
    field.press_sequentially("on p")
    field.press("Escape")
    assert not site.tab.locator("#caption-words").is_visible()
    field.press("Enter")
    assert site.tab.locator("#caption-error").is_visible()               # "p" is no word


@pytest.mark.parametrize("scheme, width", [("light", 1200), ("dark", 1200), ("light", 390), ("dark", 390)])
def test_everybody_can_read_it(url, page, scheme, width, tmp_path):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 900})
    site = Page(page, url)
    for block in page.locator("summary").all():
        block.click()
    page.locator("#way-form button").click()
    page.locator("#way-strip li").nth(8).wait_for()
    page.locator("#other").fill("a")
    assert site.axe((builder().from_npm("axe-core") / "axe.min.js").read_text(encoding="utf-8")) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    kept = Path(os.environ.get("MINUNCLIP_SCREENSHOTS", tmp_path))
    page.screenshot(path=kept / f"page-{scheme}-{width}.png", full_page=True)


def test_a_damaged_file_is_told(url, page):
    page.route("**/networks/decoder-*", lambda route: route.fulfill(body=b"no weights"))
    site = Page(page, url)
    assert "decoder.bin is not the file that belongs to this page" in site.text("caption-error")


def test_what_a_reader_downloads(folder, page, url, note):
    asked = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(url)))
    site = Page(page, url)
    page.locator("#loading").wait_for(state="hidden")
    build = builder()
    sizes = {name: build.weight(folder / (name or "index.html")) for name in asked}
    note(f"the page downloads {sum(sizes.values()) / 1e6:.1f} MB in {len(sizes)} files")
    packed = [name for name in asked if name.endswith(".xz")]
    assert len(packed) == len(set(packed)) and sum(sizes.values()) <= DOWNLOAD
    assert f"{sum(map(sizes.get, packed)) / 1e6:.1f} MB" in site.text("sizes-text")
