"""Find blood cells in photographs with a small RetinaNet that comes along, and draw them.

python examples/detect_cells.py --out demo_detection.png

The file of its weights says how it is built, and what its classes and its image size are; so
`keras-pvt detect IMAGE --model examples/cells/retinanet_pvt_v2_nano.safetensors` works too.
"""

import argparse
import pathlib

from keras_pvt.detection import Detector, draw_detections
from keras_pvt.utils.drawing import sheet, write_png
from keras_pvt.utils.image_files import image_files

CELLS = pathlib.Path(__file__).parent / "cells"
IMAGES = sorted(CELLS.glob("*.jpg"))
WEIGHTS = CELLS / "retinanet_pvt_v2_nano.safetensors"


def load() -> Detector:
    """The detector that the weights are of: red and white blood cells, and platelets."""
    return Detector.load(WEIGHTS)


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
        counts = [(name, int((found.labels == n).sum())) for n, name in enumerate(detector.classes)]
        print(f"{found.path.name}: {', '.join(f'{count} {name}' for name, count in counts)}")
        pictures.append(draw_detections(detector, found))
    out = pathlib.Path(options.out)
    write_png(sheet(pictures, columns=2, width=640), out)
    print(f"\ndrawn in {out.resolve()}")


if __name__ == "__main__":
    main()
