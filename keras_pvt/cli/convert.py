"""`keras-pvt convert`: a checkpoint file from one kind to another."""

import argparse
import dataclasses
import json
import pathlib
import zipfile
from typing import Any

from keras_pvt import families, systems
from keras_pvt.cli import arguments
from keras_pvt.variants import VARIANTS

KERAS_SUFFIXES = (".weights.h5", ".keras")
TORCH_SUFFIXES = (".safetensors", ".npz", ".pth", ".h5")
# What also holds how the model is built, and the names of its classes.
WHOLE = (".safetensors", ".keras")

SYSTEMS = [system.title for system in systems.SYSTEMS.values() if system.names]
LAYOUTS = dict.fromkeys(
    [layout for family in families.FAMILIES.values() for layout in family.layouts]
    + [layout for system in systems.SYSTEMS.values() for layout in system.names]
)

DESCRIPTION = f"""\
Convert a checkpoint of PVT, or of a model on it ({", ".join(SYSTEMS)}).
SOURCE may be a .pth of torch, .safetensors, .npz, .weights.h5 or .keras, or the list of the shards
of one (.safetensors.index.json, .weights.json), or a repository on a hub. Its content tells the
layout of its names:
  official      whai362/PVT, mmsegmentation 0.13, mmdetection 2.13, xieenze/Trans2Seg
  Hugging Face  transformers
  mmdetection   2.17 to 3.x, for backbones
  timm, kecam   for PVTv2 (kecam as .h5)
  facebook      facebookresearch/detr, for DETR
The suffix of DEST selects the format to write. DEST is read back and compared before it gets its
name.

Some settings, such as the size of anchors, cannot be read off the weights. .keras files and the
.safetensors files that this command writes store them. For other files, give them with --set."""

EPILOG = """\
examples:
  keras-pvt convert pvt_tiny.pth pvt_tiny.weights.h5
  keras-pvt convert pvt_tiny.pth pvt_tiny.safetensors --dtype float16
  keras-pvt convert my_model.weights.h5 pytorch_model.safetensors --layout huggingface
  keras-pvt convert fpn_pvt_s_ade20k_40k.pth semantic_fpn.keras
  keras-pvt convert retinanet_pvt_t.pth retinanet.keras --set anchor_side=4
  keras-pvt convert detr_pvt_s.pth detr.safetensors --layout facebook --set num_heads=8
  keras-pvt convert run/last.pth averaged.safetensors --which ema
  keras-pvt convert mirror/model.safetensors.index.json pvt_v2_b5.keras
  keras-pvt convert hf://timm/pvt_v2_b2.in1k pvt_v2_b2.keras
  keras-pvt convert hf://OWNER/NAME@REVISION/last.pth last.safetensors"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="file to read, or hf://OWNER/NAME")
    parser.add_argument(
        "dest",
        metavar="DEST",
        type=pathlib.Path,
        help=f"file to write: {', '.join(KERAS_SUFFIXES + TORCH_SUFFIXES)}",
    )
    parser.add_argument(
        "--variant",
        choices=["auto", *VARIANTS],
        default="auto",
        help="architecture; by default recognised from keys and shapes",
    )
    parser.add_argument(
        "--size",
        type=arguments.size,
        metavar="HxW",
        help="image size, if the model has a fixed one (default: as SOURCE says; for Trans2Seg, a "
        "square)",
    )
    parser.add_argument(
        "--set",
        type=_setting,
        action="append",
        metavar="NAME=VALUE",
        help="a setting that SOURCE does not store: anchor_side, num_heads, ...; for the backbone "
        "backbone.NAME; may be repeated",
    )
    arguments.add_which(parser)
    parser.add_argument(
        "--layout",
        choices=LAYOUTS,
        help="names to write, unless DEST is a Keras file (default: official; kecam for an .h5). "
        "huggingface is for classifiers, backbones of PVTv2 and DETR, mmdetection and "
        "timm_features for backbones, timm and kecam for PVTv2, facebook for DETR",
    )
    parser.add_argument(
        "--dtype",
        choices=["float32", "float16", "bfloat16"],
        help="numbers to write, unless DEST is a Keras file (default: float32)",
    )


def _setting(text: str) -> tuple[str, Any]:
    """Name and value, from "num_heads=8" or "backbone.num_heads=1,2,5,8"."""
    name, equals, word = text.partition("=")
    if not name or not equals or not word:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE; got {text!r}")
    words = [_value(part) for part in word.split(",")]
    return name, words[0] if len(words) == 1 else words


def _value(word: str) -> Any:
    known = {"none": None, "null": None, "true": True, "false": False}
    if word.lower() in known:
        return known[word.lower()]
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def run(options: argparse.Namespace) -> int:
    """Convert; 0 once the file is written and compared.

    Raises:
        ValueError: options that contradict each other; a file that cannot be converted, or does
            not say what no weight tells.
        OSError: a file that cannot be read or written.
    """
    to_keras = options.dest.name.endswith(KERAS_SUFFIXES)
    if not to_keras and options.dest.suffix not in TORCH_SUFFIXES:
        raise ValueError(
            f"{options.dest}: the suffix must be one of "
            f"{', '.join(KERAS_SUFFIXES + TORCH_SUFFIXES)} to say what to write."
        )
    if to_keras and (options.layout or options.dtype):
        raise ValueError("--layout and --dtype are for files of torch's names, not for Keras's.")

    from keras_pvt import conversion
    from keras_pvt.conversion.fit import said_of_twin
    from keras_pvt.conversion.readers import pointing_to_info
    from keras_pvt.conversion.recognise import trunk, twin
    from keras_pvt.models.trained_model import named_file
    from keras_pvt.utils.files import replacing

    source = named_file(options.source)
    found = conversion.recognised(_state(source, options.which))
    given = dict(options.set or ())
    other = found.look_alike
    if other is not None and not _asks_for(other, options.variant, given):
        ratios = " ".join(
            f"--set backbone.{name}={','.join(map(str, value))}"
            for name, value in other.row.items()
        )
        raise ValueError(
            f"{options.source}: {found.unknown}; `--variant {other.variant} {ratios}` takes it as "
            "what it is."
        )
    if options.variant != "auto":
        found = found._replace(variant=options.variant, description=_without_row(found.description))
    if not found.known:
        what = "" if found.system is None else f"this is a {found.system} checkpoint, but of "
        raise ValueError(
            pointing_to_info(
                f"{options.source}: {what}no variant has these keys and widths; name one with "
                f"--variant to see how it differs: {', '.join(VARIANTS)}."
            )
        )
    try:
        model, report = conversion.model_from_checkpoint(found, options.size, options=given)
    except conversion.CheckpointError as error:
        raise conversion.CheckpointError(pointing_to_info(f"{options.source}: {error}")) from error
    description = conversion.describe(model)
    size = None
    if found.description is not None:
        size = options.size or found.description.size
    description = dataclasses.replace(description, classes=report.classes, size=size)
    if options.dest.suffix == ".keras":
        description = _with_size(description, model)
    with replacing(options.dest) as temporary:
        if not to_keras:
            usual = "kecam" if options.dest.suffix == ".h5" else "official"
            arrays = conversion.to_torch(model, options.layout or usual)
            arrays = conversion.cast(arrays, options.dtype or "float32")
            conversion.save_checkpoint(conversion.Checkpoint(arrays, description), temporary)
        elif temporary.suffix == ".keras":
            _save_keras(model, description, temporary)
        else:
            model.save_weights(temporary)
        _compare(model, description, temporary)
    for notice in report.notices:
        print(notice)
    for key, reason in report.skipped.items():
        print(f"skipped {key}: {reason}")
    if options.dest.suffix not in WHOLE:
        _tell_what_is_lost(options.dest, report.untold, description)
    variant = found.variant or f"a {description.backbone['variant']['family']} of its own"
    variant = variant if other is None else other.title
    if (doubt := twin(trunk(found.state)[0])) is not None and found.description is None:
        print(said_of_twin(doubt))
    name = variant if found.system is None else f"{found.system} on {variant}"
    print(f"{options.dest}: {name}, {model.count_params():,} parameters, read back and equal")
    return 0


def _asks_for(other, variant: str, given: dict[str, Any]) -> bool:
    """Whether options name a network of others by what it is."""
    said = all(given.get(f"backbone.{name}") == list(row) for name, row in other.row.items())
    return said and variant == other.variant


def _state(path: pathlib.Path, which: str | None):
    """What is in a file; of a .keras file of a model of ours with all that the model is."""
    from keras_pvt import conversion
    from keras_pvt.conversion.convert import unnamed_weights
    from keras_pvt.models.trained_model import WEIGHTS, is_described

    whole = path.is_dir() and is_described(path)
    state = conversion.read_checkpoint(path / WEIGHTS if whole else path, which)
    if not whole and not _is_keras(path):
        return state
    model, trained = _keras_model(path)
    if unnamed_weights(model):  # as a detector that ends in boxes has, which is known by its names
        return state
    state = conversion.to_torch(model)
    if trained is not None and state.description is not None:
        state.description = dataclasses.replace(
            state.description, classes=trained.classes, size=trained.size
        )
    return state


def _keras_model(path: pathlib.Path):
    """The model in a .keras file, and its description; None where it has none."""
    from keras_pvt.models.trained_model import is_described, load_keras, load_model

    if not is_described(path):
        return load_keras(path), None
    trained = load_model(path)
    return trained.model, trained


def _is_keras(path: pathlib.Path) -> bool:
    from keras_pvt.conversion.readers.keras_config import CONFIG_MEMBER

    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return CONFIG_MEMBER in archive.namelist()


def _without_row(description):
    """A description that leaves the row of the backbone to --variant."""
    if description is None:
        return None
    facts = {name: value for name, value in description.backbone.items() if name != "variant"}
    return dataclasses.replace(description, backbone=facts)


def _with_size(description, model):
    """A description with what a detector is to be shown, which its weights do not tell."""
    from keras_pvt.models.trained_checkpoint import DETECTOR_SIZE

    system = systems.SYSTEMS[description.system]
    known = description.size is not None or None not in model.inputs[0].shape[1:3]
    if description.classes is None or system.task != "detection" or known:
        return description
    print("weights do not tell the image size of a detector; 800x1333 is stored")
    return dataclasses.replace(description, size=DETECTOR_SIZE)


def _save_keras(model, description, path: pathlib.Path) -> None:
    """A file that names its classes, where they are known."""
    from keras_pvt.models.trained_model import save_model

    if description.classes is None:
        model.save(path)
    else:
        save_model(model, path, description.classes, size=description.size)


def _compare(model, description, path: pathlib.Path) -> None:
    """Raise ValueError where a file gives another model back: other weights, or built otherwise."""
    from keras_pvt import conversion

    written = conversion.read_checkpoint(path)
    different = conversion.differences(model, written)
    if different:
        raise ValueError(f"what was written differs from the source: {', '.join(different)}.")
    again = written.description
    if path.suffix == ".keras":
        found, trained = _keras_model(path)
        classes = None if trained is None else trained.classes
        again = dataclasses.replace(
            conversion.describe(found), classes=classes, size=description.size
        )
    if path.suffix in WHOLE and again != description:
        raise ValueError(f"what was written is built otherwise: {again}, not {description}.")


def _tell_what_is_lost(dest: pathlib.Path, untold: dict, description) -> None:
    """Print what of a model a file of weights alone does not hold."""
    lost = [f"{name}={json.dumps(value)}" for name, value in untold.items()]
    if description.classes is not None:
        lost.append(f"the names of {len(description.classes)} classes")
    if lost:
        print(f"{dest} stores only weights, not {', '.join(lost)}; {' and '.join(WHOLE)} do")
