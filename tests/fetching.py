"""What the tests of downloads share: weights to serve, and how a cache is left."""

import pathlib

import pytest
import recipe
from safetensors.numpy import save

from keras_pvt.conversion.maps.pvt import official_shapes
from keras_pvt.download import DownloadError, fetch
from keras_pvt.variants import PVTConfig

# What is in the cache after "pvt_test" was fetched.
WHOLE = {"pvt_test.pth", "pvt_test.pth.sha256", "pvt_test.pth.lock"}


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
