"""The tiny Karlo: made once, run once by diffusers, loaded once by us."""

import copy
import functools

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_vocabulary():
    """Reading CLIP's vocabulary takes a second, and each cascade would do it again."""
    import open_clip

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_clip, "SimpleTokenizer", functools.cache(open_clip.SimpleTokenizer))
        yield


@pytest.fixture(scope="session")
def parts() -> dict:
    import karlo_folder  # here, since diffusers and transformers take seconds to import

    return karlo_folder.components()


@pytest.fixture(scope="session")
def folder(parts, tmp_path_factory):
    import karlo_folder

    folder = tmp_path_factory.mktemp("karlo")
    karlo_folder.write(folder, parts)
    return folder


@pytest.fixture(scope="session")
def kandinsky() -> dict[str, dict]:
    """The parts of its prior's repository, and of its decoder's."""
    import kandinsky_folder

    return {"prior": kandinsky_folder.prior_parts(), "decoder": kandinsky_folder.decoder_parts()}


@pytest.fixture(scope="session")
def kandinsky_place(kandinsky, tmp_path_factory):
    import kandinsky_folder

    folder = tmp_path_factory.mktemp("kandinsky")
    kandinsky_folder.write(folder, **kandinsky)
    return folder


@pytest.fixture(scope="session")
def reference(parts):
    import karlo_folder

    return karlo_folder.reference_run(parts)


@pytest.fixture(scope="session")
def loaded(folder):
    import minunclip

    return minunclip.load(folder)


@pytest.fixture
def cascade(loaded):
    """A copy that a test may spoil."""
    shared = loaded.clip.tokenizer
    return copy.deepcopy(loaded, {id(shared): shared})


@pytest.fixture(scope="module")
def no_gradients():
    import torch

    with torch.no_grad():
        yield
