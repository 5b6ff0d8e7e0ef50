"""`keras-pvt app`: a page in the browser that shows what models make of images."""

import argparse

from keras_pvt.cli import arguments

DESCRIPTION = """\
Open a page in the browser. Drop images on it to see classes with attention maps, boxes, masks or
the classes of pixels. You can set a threshold, choose classes, compare two models, and export a
model. No data leave this machine, and only this machine can reach the page.

MODEL is a variant with its weights, a .keras file, a checkpoint, a repository on a hub, or an
artifact of `keras-pvt export`."""

EPILOG = """\
examples:
  keras-pvt app                                     # PVTNano, which comes with the package
  keras-pvt app pvt_small --beside pvt_v2_b2
  keras-pvt app runs/boxes/model.keras --port 8000
  keras-pvt app model.keras --beside model.tflite   # what quantization changes
  keras-pvt app hf://timm/pvt_v2_b2.in1k --no-browser

The page needs Gradio: pip install "keras-pvt[app]". The server listens on 127.0.0.1. To see the
page of another machine, run ssh -L 7860:127.0.0.1:7860 THAT-MACHINE, and open
http://127.0.0.1:7860 here.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "model",
        nargs="?",
        default="pvt_nano",
        metavar="MODEL",
        help="a variant, a file, or an exported artifact (default: %(default)s)",
    )
    add("--beside", metavar="MODEL", help="a second model, to compare")
    add(
        "--classes",
        metavar="NAME|FILE",
        help="class names for models that store none: imagenet, cifar10, or a file with one name a "
        "line, in the order of the outputs",
    )
    add(
        "--port",
        type=arguments.positive,
        metavar="N",
        help="port to listen on (default: the first free one from 7860)",
    )
    add(
        "--no-browser",
        action="store_true",
        help="only print the address of the page, do not open it",
    )


def run(options: argparse.Namespace) -> int:
    from keras_pvt.app.models import open_model
    from keras_pvt.app.page import serve
    from keras_pvt.classification.decoding import read_classes

    classes = None if options.classes is None else read_classes(options.classes)
    models = [open_model(one, classes) for one in (options.model, options.beside) if one]
    serve(models, options.port, browser=not options.no_browser)
    return 0
