"""A fetch that is killed, at whatever moment, loses nothing: real processes, and a signal that cannot be caught."""

import os
import signal
import time
from random import Random

import pytest
from hub_helpers import Handler, hub_server, small_karlo, use_hub

from minunclip.common import sha256
from minunclip.pretrained import RELEASES, Store, cached, fetching

if not hasattr(os, "fork"):
    pytest.skip("this system has no fork, with which these tests start processes", allow_module_level=True)

KARLO = RELEASES["karlo"]


class Slow(Handler):
    """A hub with a narrow line, which notes what it is asked for."""

    def answer(self, data, headers=(), name="", status=200):
        if name and self.command == "GET":
            start = (self.headers.get("Range") or "bytes=0-")[6:].split("-")[0]
            with self.server.log.open("a") as log:
                log.write(f"{name} {start}\n")
        super().answer(data, headers, name, status)

    def setup(self):
        super().setup()
        write = self.wfile.write

        def slowly(data):
            for i in range(0, max(len(data), 1), 2**16):
                write(data[i : i + 2**16])
                time.sleep(0.001)

        self.wfile.write = slowly


def forked(work) -> int:
    """The number of a process that does some work. It shares what this one has imported, and so starts at once."""
    if number := os.fork():
        return number
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        work()
        status = 0
    finally:
        os._exit(status)


def ended(number: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """In a process of its own, for one with threads should not fork."""
    server = hub_server(small_karlo(tmp_path_factory.mktemp("release")), Slow)
    server.log = tmp_path_factory.mktemp("log") / "asked"
    number = forked(server.serve_forever)
    server.socket.close()
    yield server
    os.kill(number, signal.SIGKILL)
    ended(number)


def fetch_all() -> None:
    for _ in fetching(Store(KARLO)):
        pass


def asked(server) -> list[tuple[str, int]]:
    """The files that were asked for since the last call, and from which byte on."""
    lines = server.log.read_text().splitlines() if server.log.exists() else []
    server.log.write_text("")
    return [(name, int(start)) for name, start in map(str.split, lines)]


def state(store: Store) -> tuple[set[str], dict[str, int]]:
    """The files of the release that are whole, halved or not yet, and the bytes of the one that is not."""
    whole = {file for file in KARLO.files if store.kept(file) or (store.folder / file).is_file()}
    sizes = {file: path.stat().st_size for file in KARLO.files if (path := store.folder / f"{file}.part").is_file()}
    return whole, sizes


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_again_and_again_it_fetches_nothing_twice_but_the_file_under_way(server, tmp_path, monkeypatch, kills):
    use_hub(monkeypatch, server.address, tmp_path / "whole")
    start = time.monotonic()
    assert ended(forked(fetch_all)) == 0
    took, expected, random, done, runs = time.monotonic() - start, Store(KARLO), Random(0), 0, 0
    while done < kills:
        runs += 1
        use_hub(monkeypatch, server.address, tmp_path / str(runs))
        store, whole, parts = Store(KARLO), set(), {}
        while cached(KARLO) is None:
            asked(server)
            number = forked(fetch_all)
            time.sleep(random.uniform(0, took))
            os.kill(number, signal.SIGKILL)
            killed = ended(number) == -signal.SIGKILL
            done, names = done + killed, asked(server)
            assert len({name for name, _ in names}) == len(names) and whole.isdisjoint(name for name, _ in names)
            assert all(start == parts.get(name, 0) for name, start in names)
            whole, parts = state(store)
            assert len(parts) <= 1 and (killed or len(whole) == len(KARLO.files))
        assert store.record.sums == expected.record.sums                # the same bits as without a kill
        assert all(sha256(store.folder / name) == wanted for name, wanted in store.record.sums.items())
        assert ended(forked(fetch_all)) == 0                            # finished, it has nothing left to do but tidy
        assert {p.relative_to(store.folder) for p in store.folder.rglob("*") if p.is_file()} == {
            p.relative_to(expected.folder) for p in expected.folder.rglob("*") if p.is_file()}  # fmt: skip
