"""What everything is built on: whole files, devices, pictures, streams, and `Stage`, which saves and loads itself.

Its names are looked up when they are first asked for, so that what needs no PyTorch does not wait for it.
May import: no other part of minunclip.
"""

from importlib import import_module

_FILES = {
    "device": ("best_device", "best_dtype", "try_device"),
    "errors": ("out_of_memory", "plain"),
    "files": ("DATA", "PACKAGE", "SHIPPED", "STAGES", "checksum", "machine", "read_weights", "sha256",
              "verify", "weights_folder"),
    "images": ("CLIP_MEAN", "CLIP_STD", "for_clip", "for_decoder", "read_picture", "save_png", "to_pil", "to_uint8"),
    "memory": ("free_on", "free_ram", "keep_freed_memory"),
    "stage": ("Stage",),
    "stream": ("Stream", "streamed"),
    "writing": ("alone", "check_target", "replacing", "sweep", "write_text"),
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}
__all__ = sorted(_FILE_OF)  # noqa: PLE0605


def __getattr__(name: str):
    """A name of one of the files, which is imported now."""
    if name not in _FILE_OF:
        raise AttributeError(f"minunclip.common has no {name!r}")
    return getattr(import_module(f".{_FILE_OF[name]}", __name__), name)
