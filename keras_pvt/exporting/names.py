"""What an artifact keeps beside its network: the names of classes, and the facts of its use."""

import json
import pathlib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

CLASSES, FACTS = "classes", "keras_pvt"
# Names of files, for the formats that keep files: of classes a name a line, as TensorFlow's own
# metadata library has it.
FILES = {CLASSES: "labels.txt", FACTS: "keras_pvt.json"}
# The folder that SavedModel leaves to others; and the element of OpenVINO's.
EXTRA, ROOM = "assets.extra", "keras_pvt"
LARGEST = 1 << 24  # bytes of a text


class Keeper(NamedTuple):
    """How a format keeps texts.

    Args:
        lines: whether names of classes are lines of text; else they are a list in JSON.
        write: `(path, texts)`, into an artifact, by their keys.
        read: `(path, key)`, the text in an artifact; None where it has none.
    """

    lines: bool
    write: Callable[[pathlib.Path, Mapping[str, str]], None]
    read: Callable[[pathlib.Path, str], str | None]


def _to_tflite(path: pathlib.Path, texts: Mapping[str, str]) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        for key, text in texts.items():
            archive.writestr(FILES[key], text)


def _of_tflite(path: pathlib.Path, key: str) -> str | None:
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        if FILES[key] not in archive.namelist():
            return None
        if archive.getinfo(FILES[key]).file_size > LARGEST:
            raise ValueError(f"{path}: its {FILES[key]} has more than {LARGEST:,} bytes.")
        return archive.read(FILES[key]).decode()


def _to_saved_model(path: pathlib.Path, texts: Mapping[str, str]) -> None:
    (path / EXTRA).mkdir(exist_ok=True)
    for key, text in texts.items():
        (path / EXTRA / FILES[key]).write_text(text, "utf-8")


def _of_saved_model(path: pathlib.Path, key: str) -> str | None:
    file = path / EXTRA / FILES[key]
    return file.read_text("utf-8") if file.is_file() else None


def _to_onnx(path: pathlib.Path, texts: Mapping[str, str]) -> None:
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {**_properties(model), **texts})
    onnx.save(model, path)


def _of_onnx(path: pathlib.Path, key: str) -> str | None:
    import onnx

    return _properties(onnx.load(path)).get(key)


def _properties(model) -> dict[str, str]:
    return {prop.key: prop.value for prop in model.metadata_props}


def _to_openvino(path: pathlib.Path, texts: Mapping[str, str]) -> None:
    tree = ElementTree.parse(path)  # of our own writing
    place = tree.getroot().find("rt_info")
    if place is None:
        place = ElementTree.SubElement(tree.getroot(), "rt_info")
    room = ElementTree.SubElement(place, ROOM)
    for key, text in texts.items():
        ElementTree.SubElement(room, key, value=text)
    tree.write(path, encoding="utf-8", xml_declaration=True)


def _of_openvino(path: pathlib.Path, key: str) -> str | None:
    found = ElementTree.parse(path).getroot().find("/".join(("rt_info", ROOM, key)))
    return None if found is None else found.get("value")


KEEPERS = {
    "saved_model": Keeper(True, _to_saved_model, _of_saved_model),
    "tflite": Keeper(True, _to_tflite, _of_tflite),
    "onnx": Keeper(False, _to_onnx, _of_onnx),
    "openvino": Keeper(False, _to_openvino, _of_openvino),
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


def keep(format: str, path: pathlib.Path, facts: str, names: Sequence[str] | None) -> None:
    """Put facts and the names of classes into an artifact, and read them back.

    Args:
        format: name of the format.
        path: of the artifact.
        facts: JSON.
        names: in the order of the outputs; None: not known.
    Raises:
        ValueError: something else came back.
    """
    keeper, texts = KEEPERS[format], {FACTS: facts}
    if names is not None:
        lines = "".join(f"{name}\n" for name in names)
        texts[CLASSES] = lines if keeper.lines else json.dumps(list(names))
    keeper.write(path, texts)
    if keeper.read(path, FACTS) != facts:
        raise ValueError(f"the {format} gives other facts back than were written.")
    found = class_names(path)
    if names is not None and found != tuple(names):
        raise ValueError(f"the {format} gives other names of classes back: {found[:8]}.")


def format_of(path: pathlib.Path) -> str | None:
    """The format that the path of an artifact shows; None: it is none."""
    formats = {".tflite": "tflite", ".onnx": "onnx", ".xml": "openvino"}
    if path.is_dir():
        return "saved_model" if (path / "saved_model.pb").is_file() else None
    return formats.get(path.suffix)


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
    text, keeper = _kept(pathlib.Path(path), CLASSES)
    if text is None:
        return ()
    return tuple(text.split("\n")[:-1] if keeper.lines else json.loads(text))


def facts_of(path: str | pathlib.Path) -> str | None:
    """The facts in an artifact of `keras_pvt.export`, JSON; None where it has none.

    Args:
        path: of the file or folder.
    Raises:
        ValueError, OSError: see `class_names`.
    """
    return _kept(pathlib.Path(path), FACTS)[0]


def _kept(path: pathlib.Path, key: str) -> tuple[str | None, Keeper]:
    name = "saved_model" if path.is_dir() else format_of(path)
    if name is None:
        raise ValueError(f"{path}: an artifact is a folder, or ends in .tflite, .onnx, .xml.")
    return KEEPERS[name].read(path, key), KEEPERS[name]
