"""The names of classes in an artifact, where its format keeps such things."""

import json
import pathlib
import zipfile
from collections.abc import Callable, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

# Where ONNX and OpenVINO have them, as a list in JSON.
ONNX_KEY = "classes"
OPENVINO_KEYS = ("keras_pvt", "classes")
# In a TFLite file, as TensorFlow's own metadata library adds files: a zip file at its end, a name a
# line; and in the folder that SavedModel leaves to others.
LABELS = "labels.txt"
EXTRA = pathlib.PurePath("assets.extra", LABELS)


class Keeper(NamedTuple):
    """How a format keeps names.

    Args:
        write: `(path, names)`, into an artifact.
        read: `(path)`, the names in an artifact; none where it has none.
    """

    write: Callable[[pathlib.Path, Sequence[str]], None]
    read: Callable[[pathlib.Path], list[str]]


def _to_tflite(path: pathlib.Path, names: Sequence[str]) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(LABELS, _lines(names))


def _of_tflite(path: pathlib.Path) -> list[str]:
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        return _names(archive.read(LABELS).decode())


def _to_saved_model(path: pathlib.Path, names: Sequence[str]) -> None:
    (path / EXTRA).parent.mkdir(exist_ok=True)
    (path / EXTRA).write_text(_lines(names), "utf-8")


def _of_saved_model(path: pathlib.Path) -> list[str]:
    file = path / EXTRA
    return _names(file.read_text("utf-8")) if file.is_file() else []


def _to_onnx(path: pathlib.Path, names: Sequence[str]) -> None:
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {**_properties(model), ONNX_KEY: json.dumps(list(names))})
    onnx.save(model, path)


def _of_onnx(path: pathlib.Path) -> list[str]:
    import onnx

    return json.loads(_properties(onnx.load(path)).get(ONNX_KEY, "[]"))


def _properties(model) -> dict[str, str]:
    return {prop.key: prop.value for prop in model.metadata_props}


def _to_openvino(path: pathlib.Path, names: Sequence[str]) -> None:
    tree = ElementTree.parse(path)  # of our own writing
    place = tree.getroot().find("rt_info")
    if place is None:
        place = ElementTree.SubElement(tree.getroot(), "rt_info")
    room, key = OPENVINO_KEYS
    ElementTree.SubElement(ElementTree.SubElement(place, room), key, value=json.dumps(list(names)))
    tree.write(path, encoding="utf-8", xml_declaration=True)


def _of_openvino(path: pathlib.Path) -> list[str]:
    found = ElementTree.parse(path).getroot().find("/".join(("rt_info", *OPENVINO_KEYS)))
    return [] if found is None else json.loads(found.get("value", "[]"))


def _lines(names: Sequence[str]) -> str:
    return "".join(f"{name}\n" for name in names)


def _names(text: str) -> list[str]:
    return text.split("\n")[:-1]


KEEPERS = {
    "saved_model": Keeper(_to_saved_model, _of_saved_model),
    "tflite": Keeper(_to_tflite, _of_tflite),
    "onnx": Keeper(_to_onnx, _of_onnx),
    "openvino": Keeper(_to_openvino, _of_openvino),
}


def check_names(names: Sequence[str], count: int | None) -> tuple[str, ...]:
    """The names, if an artifact can have them.

    Args:
        names: in the order of the outputs.
        count: how many classes the model tells apart; None: it does not say.
    Raises:
        ValueError: no different names, or with a line break; more or fewer than the model has.
    """
    names = tuple(map(str, names))
    if len(set(names)) != len(names) or not all(names) or any("\n" in name for name in names):
        raise ValueError(f"`classes` must be different names; got {', '.join(map(repr, names))}.")
    if count not in (None, len(names)):
        raise ValueError(f"the model gives {count} classes; got {len(names)} names.")
    return names


def keep_names(format: str, path: pathlib.Path, names: Sequence[str]) -> None:
    """Put the names of classes into an artifact, and read them back.

    Args:
        format: name of the format.
        path: of the artifact.
        names: in the order of the outputs.
    Raises:
        ValueError: other names came back.
    """
    keeper = KEEPERS[format]
    keeper.write(path, names)
    found = keeper.read(path)
    if found != list(names):
        raise ValueError(f"the {format} gives other names of classes back: {found[:8]}.")


def class_names(path: str | pathlib.Path) -> tuple[str, ...]:
    """The names of classes in an artifact of `keras_pvt.export`.

    Args:
        path: of the file or folder.
    Returns:
        Names, in the order of the outputs; none where it has none.
    Raises:
        ValueError: an artifact of no known format.
        OSError: a file that cannot be opened.
    """
    path = pathlib.Path(path)
    formats = {".tflite": "tflite", ".onnx": "onnx", ".xml": "openvino"}
    name = "saved_model" if path.is_dir() else formats.get(path.suffix)
    if name is None:
        raise ValueError(f"{path}: an artifact is a folder, or ends in {', '.join(formats)}.")
    return tuple(KEEPERS[name].read(path))
