"""Files are whole or not there, and what would stand in the way is said before the work."""

import os
import threading

import pytest
import torch
from safetensors.torch import save_file

from minunclip.common import check_target, plain, replacing, write_text

posix = pytest.mark.skipif(os.name != "posix", reason="links, pipes and permissions as POSIX has them")


@pytest.fixture
def kept(tmp_path):
    path = tmp_path / "kept.txt"
    path.write_text("old")
    return path


def test_a_file_is_whole_or_not_there(tmp_path, kept):
    new = tmp_path / "deep" / "er" / "new.txt"
    write_text(new, "é")
    assert new.read_bytes() == "é".encode()
    for path in (kept, tmp_path / "failed.txt"):
        with pytest.raises(RuntimeError), replacing(path) as temporary:
            temporary.write_text("half of")
            raise RuntimeError
    assert kept.read_text() == "old"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deep", "er", "kept.txt", "new.txt"]


@posix
@pytest.mark.parametrize("depth", [1, 2])
def test_a_link_stays_a_link(tmp_path, kept, depth):
    names = [kept.name, *(f"link-{n}" for n in range(depth))]
    for name, other in zip(names[1:], names, strict=False):
        (tmp_path / name).symlink_to(other)
    write_text(tmp_path / names[-1], "new")
    assert (tmp_path / names[-1]).is_symlink() and kept.read_text() == "new"


@posix
def test_both_names_of_a_file_stay_names_of_one_file(tmp_path, kept):
    other = tmp_path / "other.txt"
    os.link(kept, other)
    write_text(other, "n")
    assert kept.read_text() == "n" and kept.samefile(other)


@posix
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
def test_permissions(tmp_path, kept, mode):
    before = os.umask(0o666 & ~mode)
    try:
        write_text(tmp_path / "new.txt", "")
    finally:
        os.umask(before)
    assert (tmp_path / "new.txt").stat().st_mode & 0o777 == mode    # as the user's umask wants it
    kept.chmod(mode)
    write_text(kept, "new")
    assert kept.stat().st_mode & 0o777 == mode                      # as they were


@pytest.mark.parametrize("text", ["n", "longer than it was"])
def test_what_may_not_be_replaced_is_written_in_place(kept, monkeypatch, text):
    def refused(*paths):
        raise PermissionError("sticky folder")

    monkeypatch.setattr("minunclip.common.writing.os.replace", refused)
    write_text(kept, text)
    assert kept.read_text() == text and list(kept.parent.iterdir()) == [kept]
    with pytest.raises(PermissionError, match="cannot write .*new.txt: permission denied"):
        write_text(kept.with_name("new.txt"), text)
    assert list(kept.parent.iterdir()) == [kept]


def test_two_that_write_one_file_do_not_meet(kept):
    texts, wait = ["a" * 10**6, "b" * 10**6], threading.Barrier(2)

    def write(text):
        with replacing(kept) as temporary:
            wait.wait()
            temporary.write_text(text)
            wait.wait()

    threads = [threading.Thread(target=write, args=[text]) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept.read_text() in texts and list(kept.parent.iterdir()) == [kept]


@posix
def test_a_full_disk(tmp_path):
    """A real one of a megabyte, where this user may mount it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.system(f"mount -t tmpfs -o size=1m tmpfs {disk} 2>/dev/null"):
        pytest.skip("mounting is not allowed here")
    try:
        write_text(disk / "kept.txt", "old")
        for write in (lambda path: path.write_bytes(bytes(2**21)), lambda path: torch.save(torch.ones(2**19), path),
                      lambda path: save_file({"x": torch.ones(2**19)}, path)):  # fmt: skip
            with pytest.raises(OSError, match="cannot write .*kept.txt: the disk is full"), \
                    replacing(disk / "kept.txt") as temporary:  # fmt: skip
                write(temporary)
            assert [path.name for path in disk.iterdir()] == ["kept.txt"] and (disk / "kept.txt").read_text() == "old"
    finally:
        os.system(f"umount {disk}")


# -- before the work -----------------------------------------------------------------------------------------

def test_a_good_target_leaves_no_trace(tmp_path, kept):
    for path in (kept, tmp_path / "new.txt", tmp_path / "no" / "such" / "folder" / "new.txt"):
        check_target(path)
    assert list(tmp_path.iterdir()) == [kept] and kept.read_text() == "old"


@pytest.mark.parametrize("name, reason", [("folder", "it is a folder"), ("kept.txt/a", "kept.txt is no folder"),
                                          ("kept.txt/a/b", "kept.txt is no folder")])  # fmt: skip
def test_what_is_no_place_for_a_file(tmp_path, kept, name, reason):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=f"^cannot write .*{name}: .*{reason}; choose another --out$"):
        check_target(tmp_path / name)
    with pytest.raises(OSError, match=reason):
        write_text(tmp_path / name, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "kept.txt"]


@posix
def test_devices_and_pipes_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to(os.devnull)
    for path in (tmp_path / "pipe", tmp_path / "null"):
        for write in (check_target, lambda path: write_text(path, "")):
            with pytest.raises(OSError, match="it is a device or a pipe, no file"):
                write(path)
    assert os.path.exists(os.devnull) and not os.path.isfile(os.devnull)


@posix
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc")
def test_a_folder_that_takes_no_files():
    with pytest.raises(OSError, match=r"^cannot write /proc/judge.safetensors: .* \(/proc\); choose another --out$"):
        check_target("/proc/judge.safetensors")


# -- the machine at its end ----------------------------------------------------------------------------------

@pytest.mark.parametrize("error, says", [
    (RuntimeError("CUDA out of memory. Tried to allocate\n2 GiB."), "the memory ran out"),
    (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"), "memory"),
    (RuntimeError("MPS backend out of memory (MPS allocated: 3 GB)"), "the memory ran out"),
    (OSError(28, "No space left on device", "d/j.safetensors"), "the disk is full"),
    (OSError(122, "Disk quota exceeded", "x"), "the disk is full, or its quota"),
    (RuntimeError("[enforce fail at inline_container.cc:659] . unexpected pos 64 vs 0"), "the disk is full"),
    (RuntimeError("CUDA error: no kernel image is available for execution on the device"), "--device cpu"),
    (RuntimeError("The NVIDIA driver on your system is too old (found version 11040)."), "renew the driver"),
    (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers "
                  "are out of shared memory. Please try to raise your shared memory limit."), "--workers 0"),
    (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), "--workers 0"),
    (RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"), ""),
    (OSError(2, "No such file or directory", "a"), ""),
])  # fmt: skip
def test_what_the_machine_says_becomes_a_line(error, says):
    line = plain(error)
    assert says in line and "\n" not in line and bool(line) == bool(says)
