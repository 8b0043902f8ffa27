"""A release is fetched network by network, halved, compared and kept: small weights of Karlo's layout, a local hub."""

from types import SimpleNamespace

import pytest
from hub_helpers import COMMIT, hub_server, serve, small_karlo, use_hub, weights_of

from minunclip.common import sha256
from minunclip.pretrained import RELEASES, Store, cached, fetching, store
from minunclip.pretrained.fetching import fetch
from minunclip.pretrained.releases import most_room
from minunclip.pretrained.store import half_name

KARLO, PRIOR = RELEASES["karlo"], "prior/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    content = small_karlo(tmp_path_factory.mktemp("release"))
    assert {*content} == {*KARLO.files} and weights_of(content) == {*KARLO.numbers}
    return content


@pytest.fixture
def hub(content, tmp_path, monkeypatch):
    server = hub_server(dict(content))
    use_hub(monkeypatch, server.address, tmp_path)
    yield serve(server)
    server.shutdown()
    server.server_close()


@pytest.fixture
def karlo(hub) -> Store:
    """Its folder, not yet there."""
    return Store(KARLO)


def files_in(store: Store) -> set[str]:
    return {path.relative_to(store.folder).as_posix() for path in store.folder.rglob("*") if path.is_file()}


def asked(hub) -> list[str]:
    """The files that were asked for since the last call, in their order."""
    names, hub.asked[:] = [name for name, _ in hub.asked], []
    return names


def run(store: Store, **how) -> list:
    return list(fetching(store, **how))


# -- what comes, and what stays ------------------------------------------------------------------------------


def test_each_network_stays_in_half_and_the_rest_as_it_was(hub, karlo, content):
    run(karlo)
    assert sorted(asked(hub)) == sorted(KARLO.files)
    assert files_in(karlo) == {half_name(file) for file in content} | {"minunclip.json"}
    assert all((karlo.folder / file).read_bytes() == data for file, data in content.items()
               if file not in KARLO.numbers)  # fmt: skip
    record = karlo.record
    assert (record.listing.repository, record.listing.commit) == (KARLO.repository, KARLO.commit)
    assert record.sums == {half_name(file): sha256(karlo.folder / half_name(file)) for file in content}
    assert karlo.lacking() == karlo.lacking(False) == [] and {*karlo.lacking(True)} == {*KARLO.numbers}
    assert cached(KARLO) == karlo.folder == fetch(KARLO) and asked(hub) == [] == run(karlo)


def test_the_disk_takes_half_of_it_and_two_thirds_on_the_way(karlo, content):
    """Counted in bytes after every step; without the removal it would be one and a half times as much."""
    total = sum(map(len, content.values()))
    sizes = [karlo.size() for _ in fetching(karlo)]
    assert max(sizes) / total < 0.70 and karlo.size() / total < 0.51
    expected = most_room([(len(content[file]), len(content[file]) / 2)
                          for file in sorted(KARLO.numbers, key=lambda file: -len(content[file]))])  # fmt: skip
    assert max(sizes) == pytest.approx(expected, rel=0.02)


def test_karlos_own_sizes_fit_the_promise():
    assert KARLO.half < 7 and KARLO.peak < 9.5 and KARLO.gigabytes == round(2 * KARLO.half, 1)
    smallest_first = sorted(KARLO.numbers.values())
    assert most_room([(4 * n, 2 * n) for n in smallest_first]) / 1e9 > KARLO.peak + 1       # so the order matters


def test_float32_can_be_kept_and_halved_later_without_the_hub(hub, karlo, content):
    run(karlo, full=True)
    assert files_in(karlo) == {*content, "minunclip.json"} and cached(KARLO) == karlo.folder
    asked(hub), run(karlo, full=None)
    assert asked(hub) == [] and {*content} < files_in(karlo)                # as it is
    run(karlo)
    assert asked(hub) == [] and files_in(karlo) == {half_name(file) for file in content} | {"minunclip.json"}
    run(karlo, full=True)
    assert {*asked(hub)} == {*KARLO.numbers} and files_in(karlo) == {*content, "minunclip.json"}


def test_what_huggingface_hub_has_is_halved_and_left_alone(hub, karlo, content, tmp_path):
    snapshot = tmp_path / "hub" / "models--kakaobrain--karlo-v1-alpha" / "snapshots" / KARLO.commit
    for file in content.keys() - {"text_encoder/config.json"}:
        (snapshot / file).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / file).write_bytes(content[file])
    assert cached(KARLO) is None
    run(karlo)
    assert asked(hub) == ["text_encoder/config.json"] and cached(KARLO) == karlo.folder
    assert all((snapshot / file).read_bytes() == content[file] for file in KARLO.numbers)


def test_a_copy_of_the_repository(hub, karlo):
    run(karlo, origin="someone/copy")
    assert (karlo.record.listing.repository, karlo.record.listing.commit) == ("someone/copy", COMMIT)
    asked(hub), run(karlo), run(karlo, origin="someone/copy@main")
    assert asked(hub) == []                                                 # it is whole, wherever it is from
    run(karlo, origin=f"someone/copy@{KARLO.commit}")
    assert {*asked(hub)} == {*KARLO.files}
    del hub.content[PRIOR]
    with pytest.raises(ConnectionError, match=f"someone/other has no {PRIOR}"):
        run(karlo, origin="someone/other")
    assert cached(KARLO) == karlo.folder


# -- what may go wrong ---------------------------------------------------------------------------------------


def test_a_file_that_was_changed_is_noticed_and_fetched_anew(hub, karlo):
    run(karlo)
    asked(hub)
    half = karlo.folder / half_name(PRIOR)
    whole = half.read_bytes()
    half.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert cached(KARLO) and karlo.verify() == [half_name(PRIOR)] and cached(KARLO) is None
    run(karlo)
    assert asked(hub) == [PRIOR] and half.read_bytes() == whole and karlo.verify() == []


def test_a_damaged_record_means_that_nothing_is_known(hub, karlo):
    run(karlo)
    for text in ("{", "[]", '{"listing": 3}', '{"listing": {}, "licence": ""}'):
        (karlo.folder / "minunclip.json").write_text(text)
        assert karlo.record is None and cached(KARLO) is None
    asked(hub), run(karlo)
    assert {*asked(hub)} == {*KARLO.files} and cached(KARLO)


def test_too_little_room_is_said_before_anything_is_fetched(hub, karlo, content, monkeypatch):
    needed = karlo.room(SimpleNamespace(sizes={file: len(data) for file, data in content.items()}),
                        sorted(content, key=lambda file: -len(content[file])), False)  # fmt: skip
    assert 0.6 < needed / sum(map(len, content.values())) < 0.7
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: SimpleNamespace(free=needed - 1))
    with pytest.raises(OSError, match="karlo needs 0.0 GB more in .*karlo, and the disk has 0.0 GB.*HF_HOME"):
        run(karlo)
    assert asked(hub) == []
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: SimpleNamespace(free=needed))
    run(karlo)


def test_two_at_once(karlo):
    first = fetching(karlo)
    next(first)
    with pytest.raises(OSError, match="another process is fetching karlo: wait for it"):
        run(karlo)
    assert [*first] and cached(KARLO)


def test_removed_it_leaves_what_others_put_there(karlo):
    run(karlo)
    assert karlo.remove() == [] and not karlo.folder.exists() and cached(KARLO) is None
    run(karlo)
    (karlo.folder / "prior" / "notes.txt").touch()
    (karlo.folder / f"{PRIOR}.part").touch()
    assert karlo.remove() == [str(karlo.folder / "prior" / "notes.txt")]
    assert files_in(karlo) == {"prior/notes.txt"}
