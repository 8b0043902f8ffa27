"""Settings for every test and every notebook run by pytest: it lies at the root so that both see it."""

import os
from collections import Counter

# A notebook's kernel inherits these, so they stand before anything that reads them is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads sleep: pytest and the kernel share cores
os.environ.setdefault("TQDM_MININTERVAL", "5")  # nbval loses a cell's end behind thousands of bar updates
os.environ.setdefault("MINUNCLIP_CLAIMS", "strict")  # a notebook that says what its numbers do not is a failure
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that would download something fails at once

import hypothesis  # noqa: E402
import matplotlib  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)  # this process only: the kernels keep every core that OMP_NUM_THREADS gives them
matplotlib.use("Agg")  # this process only: the variable MPLBACKEND would take the kernels' inline figures
hypothesis.settings.register_profile("minunclip", deadline=None, derandomize=True)
hypothesis.settings.load_profile("minunclip")

# Output that differs between machines although the cell is right: warnings and bars, styled tables.
NOT_COMPARED = ("stderr", "text/html")


def pytest_configure(config):
    """Let pytest run from any folder of the clone: nbval would look for its file in the current one."""
    config.option.nbval_sanitize_with = str(config.rootpath / "tests" / "nbval_sanitize.cfg")


def pytest_collectstart(collector):
    """nbval compares only what a cell tagged nbval-check-output must print everywhere."""
    if collector.path.suffix == ".ipynb" and hasattr(collector, "skip_compare"):
        collector.skip_compare += NOT_COMPARED


def pytest_runtest_setup(item):
    """One failure is one failure: behind a cell that ran out of time, the notebook's others lack its names."""
    if getattr(item.parent, "timed_out", False):                        # which nbval notes
        pytest.skip("a cell before this one ran out of time")


def pytest_terminal_summary(terminalreporter):
    """The seconds that each notebook took, the start of its kernel included."""
    seconds = Counter()
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        if isinstance(report, pytest.TestReport) and report.fspath.endswith(".ipynb"):
            seconds[report.fspath] += report.duration
    if seconds:
        terminalreporter.section("notebooks")
        for path, duration in sorted(seconds.items()):
            terminalreporter.write_line(f"{duration:6.1f} s  {path}")
        terminalreporter.write_line(f"{seconds.total():6.1f} s  all of them")
