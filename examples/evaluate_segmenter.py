"""Measure a segmenter on images with label PNGs: mIoU, pixel accuracy, IoU of each class.

Counted over the whole set, at the images' own sizes. DATA is laid out as for `keras-pvt train`.
"""

import argparse
import json
import pathlib
import sys

from keras_pvt.cli import arguments
from keras_pvt.cli.program import exit_status

EXAMPLES = """examples:
  python examples/evaluate_segmenter.py runs/ade/model.keras --data ade20k --reduce-zero \\
      --size 512
  python examples/evaluate_segmenter.py model.keras --data camvid --ignore 11 \\
      --scales 0.5 0.75 1 1.25 1.5 1.75 --flip
"""


def parse(words) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", type=pathlib.Path, metavar="MODEL", help="a model.keras")
    add("--data", required=True, help="folder, or a set of tensorflow-datasets")
    add("--split", default="val", help="default val")
    add("--ignore", type=int, nargs="+", default=[255], metavar="ID", help="no class, default 255")
    add("--reduce-zero", action="store_true", help="id 0 has no class, 1 is the first")
    add("--json", action="store_true", help="write JSON")
    arguments.add_predictor_options(parser)
    return parser.parse_args(words)


def main(words=None) -> int:
    return exit_status(run, parse(words))


def run(options: argparse.Namespace) -> None:
    from keras_pvt.segmentation import Predictor, TrainedSegmenter
    from keras_pvt.segmentation.data.opening import open_split
    from keras_pvt.segmentation.data.samples import LabelRule
    from keras_pvt.segmentation.evaluation import evaluate

    segmenter = TrainedSegmenter.load(options.model)
    rule = LabelRule(tuple(options.ignore), options.reduce_zero)
    data = open_split(options.data, options.split, segmenter.classes, rule)
    for line in data.report.lines():
        print(line, file=sys.stderr)
    how = arguments.predictor_options(options, segmenter.size)
    results = evaluate(Predictor(segmenter.model, **how), data)
    if options.json:
        print(json.dumps(results))
        return
    for name, value in results.items():
        print(f"{name}\t{value:.4f}")


if __name__ == "__main__":
    sys.exit(main())
