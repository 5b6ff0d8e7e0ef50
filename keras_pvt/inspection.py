"""What a checkpoint file is, told from its names and shapes: no model is built, nothing is run,
and neither Keras nor a backend is imported."""

import collections
import dataclasses
import json
import os
import pathlib
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from keras_pvt import families, systems
from keras_pvt.conversion.maps.entries import Entry, as_stored, classifier_map
from keras_pvt.conversion.prefixes import said_of
from keras_pvt.conversion.readers import open_checkpoint
from keras_pvt.conversion.readers.shards import LISTS, lists_of
from keras_pvt.conversion.readers.trained_file import VERBS
from keras_pvt.conversion.recognise import (
    Found,
    State,
    keras_array,
    layout_of,
    recognised,
    swapped,
    told_of_state,
    trunk,
    twin,
)
from keras_pvt.download.hub_names import is_hub_name
from keras_pvt.download.local import local_file
from keras_pvt.utils.files import sha256_of
from keras_pvt.variants import VARIANTS, WEIGHTS, PVTConfig

# Who has the names of a layout.
LIBRARIES = {
    "official": "whai362/PVT",
    "huggingface": "transformers",
    "timm_features": "timm, features_only=True",
    "kecam": "keras-cv-attention-models",
    "facebook": "facebookresearch/detr",
    "keras": "keras_pvt",
}
# Classes of a head that can be taken for ImageNet's.
IMAGENET = 1000
GIVES = {"classification": "probabilities", "detection": "boxes", "segmentation": "classes"}
# The argument of a backbone that says whether it normalises images itself.
PREPROCESSING = "include_preprocessing"
# A file that has less of a variant's keys is of none.
NEAREST = 0.3


@dataclasses.dataclass(frozen=True)
class Inspection:
    """Description of a checkpoint file; None where the file does not tell.

    Args:
        path: of the file.
        size: in bytes, with those of its shards.
        kind: of file, such as ".safetensors file".
        writer: the program that wrote it.
        part: the state dict in it that all this is about, where there are several.
        others: names of the others.
        system: "classifier", "backbone", "retinanet" and so on, see `keras_pvt.systems`.
        family: "pvt" or "pvt_v2".
        variant: name of the row of the backbone; None: it has widths of its own.
        widths: of the backbone, as far as shapes tell, by the fields of `PVTConfig`.
        layout: of the names, such as "official".
        library: that has this layout.
        prefix: before all names.
        classes: how many the model tells apart.
        names: of the classes.
        image_size: side in pixels of the images that its position tables are for.
        tensors: how many.
        parameters: how many numbers they have.
        dtypes: of the tensors, with how many have it.
        missing: names that a model of this kind has beside these.
        unexpected: names that it does not have.
        sha256: of the file; None: it was not asked for, or there are several.
        published: whether it is the file that was published, in words.
        note: what else there is to know.
        task: what a whole model is for, where the file says it.
        trained_size: (height, width) in pixels that such a model sees.
        images: what it takes, in words.
        gives: what such a model gives, in words.
        python: that loads it.
        shell: that uses or converts it.
    """

    path: str
    size: int
    kind: str
    writer: str | None = None
    part: str | None = None
    others: tuple[str, ...] = ()
    system: str | None = None
    family: str | None = None
    variant: str | None = None
    widths: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    layout: str | None = None
    library: str | None = None
    prefix: str = ""
    classes: int | None = None
    names: tuple[str, ...] | None = None
    image_size: int | None = None
    tensors: int = 0
    parameters: int = 0
    dtypes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    sha256: str | None = None
    published: str | None = None
    note: str | None = None
    task: str | None = None
    trained_size: tuple[int, int] | None = None
    images: str | None = None
    gives: str | None = None
    python: str | None = None
    shell: str | None = None

    def as_json(self) -> str:
        """All fields, as `keras-pvt info --json` prints them.

        Returns:
            JSON in a line.
        """
        return json.dumps(dataclasses.asdict(self))


def inspect_file(
    path: str | os.PathLike, which: str | None = None, hashed: bool = True
) -> Inspection:
    """Describe a checkpoint file without building a model.

    Args:
        path: file that `keras_pvt.conversion.read_checkpoint` reads.
        which: state dict of a torch file, as in `read_checkpoint`.
        hashed: whether to compute the sha256 of the file.
    Returns:
        What the file is.
    Raises:
        CheckpointError: the kind of file is unknown, or the file is damaged or hostile.
        OSError: the file cannot be opened.
    Example:
        >>> keras_pvt.inspect_file("pvt_v2_b2.pth").variant
        'pvt_v2_b2'
    """
    state = open_checkpoint(_local(path), which)
    found = recognised(state)
    file = pathlib.Path(state.source or path)
    digest = None
    if hashed and not file.name.endswith(LISTS):
        digest = sha256_of(file)
    origin = state.origin
    model = {} if origin is None or origin.model is None else origin.model
    dtypes = collections.Counter(array.dtype.name for array in state.values())
    facts: dict[str, Any] = {
        "path": str(file),
        "size": _bytes(file, state),
        "kind": "file" if origin is None else origin.kind,
        "writer": None if origin is None else origin.writer,
        "part": None if origin is None else origin.part,
        "others": () if origin is None else origin.others,
        "prefix": found.prefix,
        "names": found.classes,
        "tensors": len(state),
        "parameters": sum(array.size for array in state.values()),
        "dtypes": dict(dtypes.most_common()),
        "sha256": digest,
        "published": None if digest is None else _published(digest, found.variant),
        "task": model.get("task"),
        "trained_size": model.get("size"),
        "images": _images(model, found),
        "gives": _gives(model),
    }
    facts |= _architecture(found)
    if model.get("system"):
        facts["system"] = model["system"]
    if model.get("library") not in (None, "keras_pvt"):
        facts["library"] = model["library"]
    if found.prefix:
        facts["unexpected"] = (*facts.get("unexpected", ()), *found.left)
    if found.classes is not None and len(found.classes) != facts.setdefault(
        "classes", len(found.classes)
    ):
        has = "has no head for them" if facts["classes"] is None else "its weights are of others"
        facts["note"] = f"it names {len(found.classes)} classes, and {has}"
    if facts.get("note") is None and (buffers := swapped(state)):
        facts["note"] = f"{len(buffers)} buffers of mmcv's EMAHook are not read"
    if facts.get("note") is None and (lists := lists_of(file)):
        facts["note"] = f"it is a shard, a part of a model; {', '.join(lists)} beside it lists all"
    named = os.fspath(path) if is_hub_name(path) else str(file)
    facts |= _lines(str(file), named, facts, found, which)
    return Inspection(**facts)


def _images(model: Mapping[str, Any], found: Found) -> str | None:
    """What a model takes, where its file says it."""
    inside = None if found.description is None else found.description.backbone.get(PREPROCESSING)
    if model.get("preprocessing") is not None:
        inside = model["preprocessing"] == "inside"
    if inside is None:
        return None
    return "RGB 0..255" if inside else "normalised by keras_pvt.preprocess_input"


def _gives(model: Mapping[str, Any]) -> str | None:
    """What a whole model gives, where its file says it."""
    return "logits" if model.get("logits") else GIVES.get(str(model.get("task")))


def _local(path: str | os.PathLike) -> pathlib.Path:
    """Where a file that a user names lies."""
    local = local_file(path)
    if not local.exists():
        raise FileNotFoundError(f"there is no file {os.fspath(path)!r}.")
    return local


def _bytes(file: pathlib.Path, state: State) -> int:
    """Bytes of a file; of a list of shards, those of the arrays in them."""
    if file.name.endswith(LISTS):
        return sum(array.nbytes for array in state.values())
    return file.stat().st_size


def _published(digest: str, variant: str | None) -> str:
    for (owner, name), weights in WEIGHTS.items():
        if weights.sha256 == digest:
            return f'yes: {owner}, weights="{name}", of {weights.source}'
    known = [weights.sha256 for (owner, _), weights in WEIGHTS.items() if owner == variant]
    if variant is not None and not any(known):
        return f"not known: no sha256 of {variant} was ever published"
    return "no" if variant is None else f"no: that of {variant} is {next(filter(None, known))}"


def _architecture(found: Found) -> dict[str, Any]:
    """What names and shapes tell of the model."""
    body, _ = trunk(found.state)
    layout = layout_of(found.state)
    config = _row(found, body)
    if config is None:
        return {"system": found.system, "note": _unlike(found, body)}
    family = families.named(config.family)
    entries = classifier_map(config, layout_of(body))
    told = told_of_state(body, config)
    facts: dict[str, Any] = {
        "family": config.family,
        "variant": found.variant,
        "widths": {name: told[name] for name in told if name not in ("classes", "image_size")},
        "layout": layout,
        "library": LIBRARIES.get(layout, layout),
        "note": _doubt(found, body),
    }
    if keras_array(entries, body, "stage1_position/table") is not None:
        facts["image_size"] = told.get("image_size")
    if found.system is not None:
        return facts | _of_system(found, config, layout)
    marks = ("head/kernel", family.token)
    whole = [mark for mark in marks if mark and _has(entries, body, mark)]
    facts["system"] = _said(found) or ("classifier" if whole else "backbone")
    facts["classes"] = told.get("classes")
    expected = [
        entry
        for entry in entries
        if entry.keras[-1].startswith("stage")
        or (whole and ("head/kernel" in whole or not entry.keras[-1].startswith("head/")))
    ]
    return facts | _compared(expected, entries, body)


def _said(found: Found) -> str | None:
    """The system that the file says it is of, where that is no matter of names of weights."""
    said = None if found.description is None else found.description.system
    return None if said not in systems.SYSTEMS or systems.named(str(said)).names else said


def _row(found: Found, body: State) -> PVTConfig | None:
    """The row of the backbone: the variant's, or what shapes tell, or that of the nearest."""
    if found.variant is not None:
        return VARIANTS[found.variant]
    if found.look_alike is not None:
        return found.look_alike.config
    for name, family in families.FAMILIES.items():
        row = next((row for row in VARIANTS.values() if row.family == name), None)
        if row is None or layout_of(body) not in (*family.layouts, "keras"):
            continue
        told = told_of_state(body, row)
        if "depths" in told:
            try:  # with heads that divide any width, as no name of a weight depends on them
                return dataclasses.replace(row, **{**told, "num_heads": (1,) * 4})
            except ValueError:  # of no possible model; the nearest tells what is wrong
                continue
    likeness, name = max((_likeness(body, row), name) for name, row in VARIANTS.items())
    return VARIANTS[name] if likeness >= NEAREST else None


def _likeness(body: State, row: PVTConfig) -> float:
    """Share of the names that a state dict and a row have in common."""
    layout = layout_of(body)
    if layout not in (*families.named(row.family).layouts, "keras"):
        return 0.0
    keys = {key for entry in classifier_map(row, layout) for key in entry.torch}
    return len(keys & body.keys()) / len(keys | body.keys())


def _of_system(found: Found, config: PVTConfig, layout: str) -> dict[str, Any]:
    """What is told of a segmenter or detector."""
    system = systems.named(str(found.system))
    entries = system.key_map(layout, config)
    entries = as_stored(entries) if layout == "keras" else entries

    def get(path: str) -> np.ndarray:
        array = keras_array(entries, found.state, path)
        if array is None or not array.ndim:
            raise ValueError(path)
        return array

    try:
        classes = None if system.classes is None else system.load("classes")(get)
    except ValueError:  # the weights that tell it are missing
        classes = None
    # How many layers of a kind there are, and which heads, no map knows: of those nothing is
    # missing but what the rest of a layer wants.
    there = {
        _layer(path)
        for entry in entries
        for path in entry.keras
        if all(key in found.state for key in entry.torch)
    }
    token = str(families.named(config.family).token).split("/")[0]  # which no pyramid has
    expected = [
        entry
        for entry in entries
        if any(
            path.startswith("stage")
            or _layer(path) in there
            or (_is_sure(path) and _layer(path) != token)
            for path in entry.keras
        )
    ]
    return {"system": system.name, "classes": classes, **_compared(expected, entries, found.state)}


def _layer(path: str) -> str:
    """The layer of a variable; of what is numbered, the outermost."""
    parts = path.split("/")
    numbers = (n for n, part in enumerate(parts, start=1) if part[-1].isdigit())
    return "/".join(parts[: next(numbers, -1)])


def _is_sure(path: str) -> bool:
    """Whether every model of a system has a variable: of a layer of its own, without a number."""
    return path.count("/") == 1 and not _layer(path)[-1].isdigit()


def _compared(
    expected: Iterable[Entry], entries: Iterable[Entry], state: State
) -> dict[str, tuple[str, ...]]:
    """The names that a state dict lacks, and those that it has too many."""
    wanted = dict.fromkeys(key for entry in expected for key in entry.torch)
    known = {key for entry in entries for key in entry.torch}
    return {
        "missing": tuple(key for key in wanted if key not in state),
        "unexpected": tuple(key for key in state if key not in known),
    }


def _has(entries: list[Entry], state: State, path: str) -> bool:
    return keras_array(entries, state, path) is not None


def _doubt(found: Found, body: State) -> str | None:
    """What else a file may be."""
    if found.look_alike is not None:
        return f"{found.unknown}; `keras_pvt.PVTConfig` builds it as what it is"
    other = twin(body)
    if other is not None and found.description is None:
        return f"it may be {other.title}, which has the same names and shapes"
    return None


def _unlike(found: Found, body: State) -> str:
    """What there is to say of names that are no PVT's."""
    prefix = said_of(body)
    first = ", ".join(repr(name[:60]) for name in list(found.state)[:3])
    said = f"these are no names of a PVT: {first} and so on"
    return f"{said}; {prefix}" if prefix else said


def _lines(
    path: str, named: str, facts: Mapping[str, Any], found: Found, which: str | None
) -> dict[str, str | None]:
    """The line of Python that loads a file, and that of a shell that uses or converts it.

    Of several state dicts, only `read_checkpoint` and `keras-pvt convert` take one by its name;
    `read_checkpoint` alone takes no name on a hub, as `named` may be, but the path of the file.
    """
    quoted, word = json.dumps(named), shlex.quote(named)
    chosen = "" if which is None else f", which={json.dumps(which)}"
    asks = "" if which is None else f" --which {shlex.quote(which)}"
    arrays = f"keras_pvt.conversion.read_checkpoint({json.dumps(path)}{chosen})"
    system, variant, task = (facts.get(name) for name in ("system", "variant", "task"))
    if task is not None:
        python = f"keras_pvt.load_model({quoted})"
        return {"python": python, "shell": f"keras-pvt {VERBS[task]} IMAGE --model {word}"}
    if found.look_alike is not None:
        other = found.look_alike
        fields = "".join(
            f" --set backbone.{name}={','.join(map(str, value))}"
            for name, value in other.row.items()
        )
        shell = f"keras-pvt convert {word} {other.name}.keras --variant {other.variant}{fields}"
        return {"python": arrays, "shell": f"{shell}{asks}"}
    if system is None or not found.known:
        return {"python": arrays, "shell": None}
    predict = None
    if system == "classifier" and facts.get("classes") is not None and not which:
        names = "imagenet" if facts["classes"] == IMAGENET else "NAMES.txt"
        named = "" if found.classes else f" --classes {names}"
        predict = f"keras-pvt predict IMAGE --model {word}{named}"
    if found.system is None and found.description is None and not which:
        function = "PVTBackbone" if system == "backbone" else "classifier"
        python = f'keras_pvt.{function}("{variant}", weights={quoted})'
        return {"python": python, "shell": predict or f"keras-pvt convert {word} {variant}.keras"}
    said = {} if found.description is None else found.description.options
    asked = {
        name: value for name, value in systems.named(system).untold.items() if name not in said
    }
    options = f", options={asked!r}" if asked else ""
    told = "".join(f" --set {name}={value}" for name, value in asked.items())
    return {
        "python": "keras_pvt.conversion.model_from_checkpoint("
        f"keras_pvt.conversion.recognised({arrays}){options})[0]",
        "shell": predict or f"keras-pvt convert {word} {system}.keras{told}{asks}",
    }
