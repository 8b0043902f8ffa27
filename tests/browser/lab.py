"""A JupyterLab of its own for the tests: on loopback, with a token, in a new folder, and a notebook in it."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
from exercises import NOTEBOOKS

SETTINGS = {  # without questions at the start, and without calls to the web
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Lab:
    def __init__(self, folder):
        self.folder, self.port, self.token = folder, free_port(), secrets.token_hex(16)
        self.root, self.settings, self.log = folder / "clone", folder / "settings", folder / "log"
        self.notebooks, pictures = self.root / "notebooks", self.root / "data"
        for made in (self.notebooks, pictures):
            made.mkdir(parents=True)
        for path in (NOTEBOOKS.parent / "data").glob("*.png"):  # the prose may show them
            shutil.copy(path, pictures)
        for name, values in SETTINGS.items():
            self.set(name, **values)

    def set(self, name, **values):
        """Write a setting of JupyterLab; pages that are opened later have it."""
        path = self.settings / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))

    def stop_kernels(self):
        with urllib.request.urlopen(self.url("api/kernels")) as answer:
            for kernel in json.load(answer):
                request = urllib.request.Request(self.url(f"api/kernels/{kernel['id']}"), method="DELETE")
                urllib.request.urlopen(request).close()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}/{path}?token={self.token}"

    def start(self):
        """The process of the server, once it answers."""
        options = {"ServerApp.root_dir": self.root, "IdentityProvider.token": self.token,
                   "LabApp.news_url": None, "LabApp.extension_manager": "readonly"}  # fmt: skip
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
                   f"--port={self.port}", "--ServerApp.port_retries=0"]  # fmt: skip
        command += [f"--{name}={value}" for name, value in options.items()]
        folders = {f"JUPYTER_{kind}_DIR": str(self.folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
        home = {"JUPYTERLAB_SETTINGS_DIR": self.settings, "JUPYTERLAB_WORKSPACES_DIR": self.folder / "workspaces",
                "IPYTHONDIR": self.folder / "ipython", "MINUNCLIP_PROFILE": "cpu"}  # fmt: skip
        environment = {**os.environ, **folders, **{name: str(value) for name, value in home.items()}}
        with self.log.open("w") as log:
            server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self.root)
        self.wait(server)
        return server

    def wait(self, server, seconds=120):
        for _ in range(10 * seconds):
            with contextlib.suppress(OSError), urllib.request.urlopen(self.url("api/status")):
                return
            if server.poll() is not None:
                break
            time.sleep(0.1)
        server.kill()
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()}")

    def add(self, name, notebook):
        """Put a notebook into the folder; returns the address of its page."""
        nbformat.write(notebook, self.notebooks / name)
        return self.url(f"doc/tree/notebooks/{name}")
