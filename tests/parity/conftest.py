"""The tiny Karlo: made once, run once by diffusers, loaded once by us."""

import copy

import pytest


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
def reference(parts):
    import karlo_folder

    return karlo_folder.reference_run(parts)


@pytest.fixture(scope="session")
def loaded(folder):
    from minunclip.unclip import UnCLIP

    return UnCLIP.from_pretrained(folder)


@pytest.fixture
def cascade(loaded):
    """A copy that a test may spoil."""
    return copy.deepcopy(loaded)
