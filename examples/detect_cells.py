"""Find blood cells in photographs with a small RetinaNet that comes along, and draw them.

python examples/detect_cells.py --out demo_detection.png

The detector is built of the package's parts, and takes its weights from a checkpoint file: what
one does with a published detector too.
"""

import argparse
import pathlib

import keras_pvt
from keras_pvt.detection import RetinaNet
from keras_pvt.detection.detector import Detector
from keras_pvt.detection.drawing import draw_detections
from keras_pvt.utils.drawing import sheet, write_png
from keras_pvt.utils.image_files import image_files

CELLS = pathlib.Path(__file__).parent / "cells"
IMAGES = sorted(CELLS.glob("*.jpg"))
WEIGHTS = CELLS / "retinanet_pvt_nano.safetensors"
CLASSES = ["RBC", "WBC", "Platelets"]  # red, white blood cells
# As the recipe retinanet_bccd_nano has it: pixels of sides, and anchors in cells of 4 pixels.
SIZE = (192, 256)
ANCHOR_SIDE = 3.0


def load() -> Detector:
    """The detector that the weights are of."""
    backbone = keras_pvt.PVTBackbone(
        "pvt_nano", input_shape=(None, None, 3), include_preprocessing=True
    )
    model = RetinaNet(backbone, len(CLASSES), 64, 2, anchor_side=ANCHOR_SIDE)
    keras_pvt.conversion.load_checkpoint(model, WEIGHTS)
    return Detector(model, "keras_pvt", CLASSES, SIZE)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="*", default=IMAGES, help="files and folders")
    parser.add_argument("--out", default="demo_detection.png", help="picture to write")
    parser.add_argument("--threshold", type=float, default=0.5, help="smallest score")
    options = parser.parse_args(arguments)
    detector, pictures = load(), []
    files = image_files(options.images)
    for found in detector.detect(files, len(files), keep_images=True):
        if found.error is not None:
            raise SystemExit(found.error)
        found = found.above(options.threshold)
        counts = [(name, int((found.labels == n).sum())) for n, name in enumerate(CLASSES)]
        print(f"{found.path.name}: {', '.join(f'{count} {name}' for name, count in counts)}")
        pictures.append(draw_detections(detector, found))
    out = pathlib.Path(options.out)
    write_png(sheet(pictures, columns=2, width=640), out)
    print(f"\ndrawn in {out.resolve()}")


if __name__ == "__main__":
    main()
