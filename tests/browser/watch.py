"""What a page shows of a widget, and how long a key takes to change it."""

# The pixels of every picture that can be seen in a widget.
PICTURES = """
root => [...root.querySelectorAll("img")].filter(image => image.offsetParent).map(image => {
    const canvas = Object.assign(document.createElement("canvas"),
                                 {width: image.naturalWidth, height: image.naturalHeight});
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL();
})
"""
FIELDS = "root => [...root.querySelectorAll('input, select')].map(field => field.value)"

# From the next key to the first frame that shows another picture; whether a frame showed the button as busy.
WATCH = """
root => {
    const images = () => [...root.querySelectorAll("img")].filter(image => image.offsetParent);
    const sources = () => images().map(image => image.src).join();
    const before = sources(), seen = root.seen = {start: null, milliseconds: null, busy: false};
    root.addEventListener("keydown", () => { seen.start = performance.now(); }, {capture: true, once: true});
    const look = now => {
        if (root.seen !== seen) return;
        seen.busy ||= Boolean(root.querySelector("button:disabled"));
        const changed = seen.start && sources() !== before && images().every(image => image.complete);
        if (changed) seen.milliseconds ??= Math.round(performance.now() - seen.start);
        requestAnimationFrame(look);
    };
    look();
}
"""
STARTED = "root => root.seen.busy || root.seen.milliseconds !== null"
CHANGED = "root => root.seen.milliseconds !== null && !root.querySelector('button:disabled')"


class Widget:
    """One widget on a page, by the element that holds it."""

    def __init__(self, element):
        self.element = element
        element.scroll_into_view_if_needed()
        element.locator("img").last.wait_for()
        self.button = element.get_by_role("button").first
        self.sliders = element.get_by_role("slider").all()
        self.texts = element.locator("input[type=text]").all()

    def see(self, script: str):
        return self.element.evaluate(script)

    def until(self, script: str, seconds: float) -> bool:
        """Wait until the script says yes; whether it did."""
        for _ in range(int(seconds * 20)):
            if self.see(script):
                return True
            self.element.page.wait_for_timeout(50)
        return False

    def move(self, slider, seconds: float = 60) -> dict:
        """Move a slider by one step, with a key, and see the picture change. What WATCH noted of it.

        Where the picture waits for a button, that is pressed too, with a key as well, and the time counts from there.
        """
        name, (pictures, fields) = self.name(slider), (self.see(PICTURES), self.see(FIELDS))
        at_end = slider.get_attribute("aria-valuenow") == slider.get_attribute("aria-valuemax")
        self.see(WATCH)
        slider.press("ArrowLeft" if at_end else "ArrowRight")
        if self.button.count() and not self.until(STARTED, 1):
            self.see(WATCH)
            self.button.press("Space")
        assert self.until(CHANGED, seconds), f"{name}: the same picture after {seconds} s"
        assert self.see(PICTURES) != pictures, f"{name}: another picture with the same pixels"
        assert self.see(FIELDS) != fields, f"{name}: no field tells the number"
        return self.see("root => root.seen")

    def refuse(self, text, words: str, seconds: float = 60) -> None:
        """Type words that must be answered with an error message."""
        text.fill(words)
        text.press("Enter")
        alert = "root => root.querySelector('[role=alert]') !== null"
        if not self.until(alert, 1):
            self.button.press("Space")
        assert self.until(alert, seconds), f"{words!r} was taken for a caption"

    def name(self, slider) -> str:
        return slider.evaluate("handle => handle.closest('.widget-slider').querySelector('label').textContent")
