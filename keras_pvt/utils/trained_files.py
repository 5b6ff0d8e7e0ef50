""".keras files that also hold what has to be known to use the model."""

import importlib
import json
import os
import pathlib
import zipfile
from collections.abc import Mapping

import keras

from keras_pvt.utils.extras import needed_for
from keras_pvt.utils.files import replacing

# Libraries that a model may have layers of, which importing them registers, and the extras that
# bring them. A file does not decide what else is imported.
LIBRARIES = {"keras_cv": ("keras_cv", "tensorflow"), "keras_hub": ("keras_hub",)}


def bare_copy(model: keras.Model) -> keras.Model:
    """A copy that was never compiled: the optimizer's state is twice as large as the model."""
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy


def save_with_facts(
    model: keras.Model, path: str | os.PathLike, member: str, facts: Mapping[str, object]
) -> None:
    """Write a .keras file, in one step.

    Args:
        model: what is written is a copy, uncompiled.
        path: of the file.
        member: name of the facts in the .keras file, which is a zip file; Keras leaves it alone.
        facts: as JSON can hold them.
    """
    copy = bare_copy(model)
    with replacing(pathlib.Path(path)) as temporary:
        copy.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(member, json.dumps(dict(facts), indent=2))


def has_facts(path: str | os.PathLike, member: str) -> bool:
    """Whether `save_with_facts` wrote a file, with facts of this name."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return member in archive.namelist()


def load_with_facts(
    path: str | os.PathLike, member: str, keys: tuple[str, ...], what: str
) -> tuple[keras.Model, list]:
    """Read what `save_with_facts` wrote; nothing in the file is executed.

    Args:
        path: of the file.
        member: as it was written.
        keys: of the facts that are wanted.
        what: the file should be, for the message: "detector that ... has saved".
    Returns:
        The model, uncompiled, and the facts.
    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no such file.
        ImportError: a library that the model is built of is not installed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            facts = json.loads(archive.read(member))
            config = archive.read("config.json").decode()
        values = [facts[key] for key in keys]
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)} is no {what}: {error}") from error
    for library, extras in LIBRARIES.items():
        if f'"{library}' in config:
            with needed_for(f"the model in {os.fspath(path)}", *extras):
                importlib.import_module(library)
    return keras.saving.load_model(path, compile=False, safe_mode=True), values
