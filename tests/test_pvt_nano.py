"""The weights that ship with the package, measured again on images they never saw."""

import io
import pathlib
import zipfile

import numpy as np
from PIL import Image

import keras_pvt
from keras_pvt.decoding import class_table

IMAGES = pathlib.Path(__file__).parent / "data" / "cifar10_val.zip"
WEIGHTS = pathlib.Path(keras_pvt.__file__).parent / "data" / "pvt_nano_cifar10.safetensors"
CORRECT = 344  # of 400; docs/pvt_nano.md has the whole validation set


def test_bundled_weights_reach_the_recorded_accuracy():
    names = [name for _, name in class_table("cifar10")]
    images, labels = [], []
    with zipfile.ZipFile(IMAGES) as archive:
        for member in archive.namelist():
            images.append(np.asarray(Image.open(io.BytesIO(archive.read(member)))))
            labels.append(names.index(member.split("/")[0]))
    model = keras_pvt.PVTNano(weights="cifar10")
    y = model.predict(keras_pvt.preprocess_input(np.stack(images)), batch_size=100, verbose=0)
    correct = int((y.argmax(-1) == np.array(labels)).sum())
    assert len(images) == 400
    # Backends round differently: an image on the edge may fall either way.
    assert abs(correct - CORRECT) <= 2


def test_bundled_weights_are_small():
    assert WEIGHTS.stat().st_size <= 4_000_000
