"""A folder that Keras loads: `keras.saving.load_model(folder)`, or "hf://OWNER/NAME".

It is what a .keras file has in it, as Keras has it on a hub.
"""

import pathlib
import tempfile
import zipfile

from keras_pvt.hub.subject import Subject
from keras_pvt.models.trained_model import bare_copy, save_model

TITLE = "Keras"


def write(subject: Subject, folder: pathlib.Path) -> None:
    """Write configuration and weights, and what `keras_pvt.load_model` wants to know.

    Args:
        subject: any model.
        folder: to write into.
    Raises:
        ValueError: names of classes for what tells none apart.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        file = pathlib.Path(place) / "model.keras"
        if subject.trained is not None:
            subject.trained.save(file)
        elif subject.classes is not None:
            save_model(subject.model, file, subject.classes)
        else:
            (bare_copy(subject.model) if subject.model.compiled else subject.model).save(file)
        with zipfile.ZipFile(file) as archive:
            archive.extractall(folder)


def usage(subject: Subject) -> str:
    """The lines of Python that load the folder, for its model card."""
    return (
        "import keras\n"
        "import keras_pvt  # which has the layers\n\n"
        'model = keras.saving.load_model("hf://OWNER/NAME")'
    )
