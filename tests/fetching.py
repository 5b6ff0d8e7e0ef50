"""What the tests of downloads share: weights to serve, and how a cache is left."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest
import recipe
from safetensors.numpy import save

from keras_pvt.conversion.maps.stages import official_shapes
from keras_pvt.download import DownloadError, fetch
from keras_pvt.variants import PVTConfig

# What is in the cache after "pvt_test" was fetched.
WHOLE = {"pvt_test.pth", "pvt_test.pth.sha256", "pvt_test.pth.lock"}
NOBODY = 65534


def checkpoint(config: PVTConfig, seed: int = 0) -> bytes:
    """An official checkpoint of a small variant, in the bytes of a .safetensors file."""
    shapes = official_shapes(config)
    return save({key: recipe.tensor(key, shape, seed) for key, shape in shapes.items()})


def left_in(folder: pathlib.Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def failure() -> str:
    with pytest.raises(DownloadError) as caught:
        fetch("pvt_test")
    return str(caught.value)


@contextlib.contextmanager
def started(words: list, count: int, env: dict[str, str] | None = None):
    """Processes of Python that do their work as soon as all are ready; they are ended in any case.

    Each prints "ready" and waits for a line.
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": env}
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen([sys.executable, *words], **pipes))
            for _ in range(count)
        ]
        for process in processes:
            stack.callback(process.kill)
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * count
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        yield processes


@contextlib.contextmanager
def open_folder():
    """A folder that others than root may enter, which pytest's own are not."""
    folder = pathlib.Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def closed(*folders: pathlib.Path):
    """Folders that nothing can be written into, by root neither."""
    with contextlib.ExitStack() as stack:
        for folder in folders:
            stack.callback(folder.chmod, folder.stat().st_mode & 0o777)
            folder.chmod(0o555)
        if os.geteuid() == 0:
            os.seteuid(NOBODY)
            stack.callback(os.seteuid, 0)
        yield
