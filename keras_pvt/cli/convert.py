"""`keras-pvt convert`: a checkpoint file from one kind to another."""

import argparse
import pathlib

from keras_pvt import families, systems
from keras_pvt.cli import arguments
from keras_pvt.variants import VARIANTS

KERAS_SUFFIXES = (".weights.h5", ".keras")
TORCH_SUFFIXES = (".safetensors", ".npz", ".pth")

SYSTEMS = [system.title for system in systems.SYSTEMS.values() if system.names]
LAYOUTS = dict.fromkeys(
    [layout for family in families.FAMILIES.values() for layout in family.layouts]
    + [layout for system in systems.SYSTEMS.values() for layout in system.names]
)

DESCRIPTION = f"""\
Convert a checkpoint of PVT, or of a model on it ({", ".join(SYSTEMS)}).
SOURCE may be torch's .pth, .safetensors, .npz, .weights.h5 or .keras, with official (whai362/PVT,
mmsegmentation 0.13, mmdetection 2.13, xieenze/Trans2Seg) or Hugging Face names, of a DETR also
facebookresearch/detr's; its content tells which. The suffix of DEST says what to write. DEST is
read back and compared before it gets its name."""

EPILOG = """\
examples:
  keras-pvt convert pvt_tiny.pth pvt_tiny.weights.h5
  keras-pvt convert pvt_tiny.pth pvt_tiny.safetensors --dtype float16
  keras-pvt convert my_model.weights.h5 pytorch_model.safetensors --layout huggingface
  keras-pvt convert fpn_pvt_s_ade20k_40k.pth semantic_fpn.keras
  keras-pvt convert detr_pvt_s.pth detr.safetensors --layout facebook"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", type=pathlib.Path, help="file to read")
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
        help="architecture; by default told from keys and shapes",
    )
    parser.add_argument(
        "--size",
        type=arguments.size,
        metavar="HxW",
        help="of the images of a Trans2Seg, where they are no square",
    )
    parser.add_argument(
        "--layout",
        choices=LAYOUTS,
        help="names to write, unless DEST is Keras's (default: official); huggingface is for "
        "classifiers and DETR, facebook for DETR",
    )
    parser.add_argument(
        "--dtype",
        choices=["float32", "float16", "bfloat16"],
        help="numbers to write, unless DEST is Keras's (default: float32)",
    )


def run(options: argparse.Namespace) -> int:
    """Convert; 0 once the file is written and compared.

    Raises:
        ValueError: options that contradict each other; a file that cannot be converted.
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
    from keras_pvt.utils.files import replacing

    found = conversion.recognised(conversion.read_checkpoint(options.source))
    if options.variant != "auto":
        found = found._replace(variant=options.variant)
    if found.variant is None:
        what = "" if found.system is None else f"this is a {found.system} checkpoint, but of "
        raise ValueError(
            f"{options.source}: {what}no variant has these keys and widths; name one with "
            f"--variant to see how it differs: {', '.join(VARIANTS)}."
        )
    model, report = conversion.model_from_checkpoint(found, options.size)
    with replacing(options.dest) as temporary:
        if not to_keras:
            arrays = conversion.to_torch(model, options.layout or "official")
            arrays = conversion.cast(arrays, options.dtype or "float32")
            conversion.save_checkpoint(arrays, temporary)
        elif temporary.suffix == ".keras":
            model.save(temporary)
        else:
            model.save_weights(temporary)
        different = conversion.differences(model, conversion.read_checkpoint(temporary))
        if different:
            raise ValueError(f"what was written differs from the source: {', '.join(different)}.")
    for key, reason in report.skipped.items():
        print(f"skipped {key}: {reason}")
    name = found.variant if found.system is None else f"{found.system} on {found.variant}"
    print(f"{options.dest}: {name}, {model.count_params():,} parameters, read back and equal")
    return 0
