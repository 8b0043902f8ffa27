"""A browser and a JupyterLab for the tests of this folder, started once. CONTRIBUTING.md says how to run them."""

import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from lab import Lab

CHROMIUMS = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "minunclip" / "browser-tests"
LIBRARIES = {  # what an exported page loads from the web, by a part of its address: the npm package and the file in it
    "html-manager": ("@jupyter-widgets/html-manager@1.0.15", "dist/embed-amd.js"),
    "require.js": ("requirejs@2.3.7", "require.js"),
}
TIMES = pytest.StashKey[list]()


def unavailable(reason):
    """Skip, unless a browser is required."""
    if os.environ.get("MINUNCLIP_BROWSER") == "required":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_configure(config):
    config.stash[TIMES] = []


def pytest_terminal_summary(terminalreporter, config):
    if times := config.stash.get(TIMES, []):
        terminalreporter.section("from key to picture")
        terminalreporter.write_line("\n".join(times))


@pytest.fixture
def note(request):
    """note(what, milliseconds) adds a line to the summary; the time may be missing. Times are told, never judged."""
    times = request.config.stash.setdefault(TIMES, [])

    def add(what, milliseconds=None):
        times.append(f"{request.node.name}: {what}" + ("" if milliseconds is None else f": {milliseconds} ms"))

    return add


@pytest.fixture(scope="session")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("playwright is not installed")
    with sync_playwright() as playwright:
        found = [path for name in CHROMIUMS if (path := shutil.which(name))]
        own = playwright.chromium.executable_path
        if not found and not Path(own).exists():
            unavailable(f"no browser on this machine: none of {', '.join(CHROMIUMS)}")
        browser = playwright.chromium.launch(executable_path=found[0] if found else own, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """A new page. Whatever its console calls an error, and a call to the web, fails the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    context.set_default_timeout(120_000)
    page, found = context.new_page(), []

    def refuse(route):
        found.append(f"asked for {route.request.url}")
        route.abort()

    context.route(re.compile(r"^https?://(?!127\.0\.0\.1)"), refuse)
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    yield page
    context.close()
    assert found == []


@pytest.fixture(scope="session")
def server(browser, tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("lab"))
    process = lab.start()
    yield lab
    process.terminate()
    process.wait(30)


@pytest.fixture
def lab(server):
    """The JupyterLab of all tests; the kernels of a test end with it."""
    yield server
    server.stop_kernels()


@pytest.fixture
def libraries(page):
    """Answer what an exported page asks of the web from files that npm fetched once. Formulas stay as they are."""
    files = {name: fetched(package, file) for name, (package, file) in LIBRARIES.items()} | {"mathjax": os.devnull}

    def answer(route):
        found = [file for name, file in files.items() if name in route.request.url]
        route.fulfill(path=found[0], content_type="text/javascript") if found else route.fallback()

    page.route(re.compile(r"^https://"), answer)


def fetched(package, file):
    target = CACHE / f"{Path(package).name}.js"
    if not target.is_file():
        if not shutil.which("npm"):
            unavailable(f"npm is not installed, and {target} is not there")
        CACHE.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(["npm", "pack", "--silent", package], cwd=CACHE, capture_output=True, text=True)
        if packed.returncode:
            unavailable(f"npm could not fetch {package}: {packed.stderr}")
        archive = CACHE / packed.stdout.split()[-1]
        with tarfile.open(archive) as tar:
            target.write_bytes(tar.extractfile(f"package/{file}").read())
        archive.unlink()
    return target
