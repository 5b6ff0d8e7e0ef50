"""Classify photographs with PVT-Tiny and draw the result.

python examples/classify_images.py --out demo.png

Where the published weights cannot be had, the small model that ships with the package is used:
it knows CIFAR-10's ten classes, and looks at 32 pixels only.
"""

import argparse
import pathlib

from keras_pvt.classification.attention_drawing import draw_predictions
from keras_pvt.classification.decoding import decode_predictions
from keras_pvt.classification.predictor import FileClassifier
from keras_pvt.download import DownloadError
from keras_pvt.utils.image_files import image_files
from keras_pvt.utils.images import load_image

IMAGES = sorted((pathlib.Path(__file__).parent / "images").glob("*.jpg"))
BUNDLED = ("pvt_v2_nano", "cifar10")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="*", default=IMAGES, help="files and folders")
    parser.add_argument("--out", default="demo.png", help="picture to write")
    parser.add_argument("--variant", default="pvt_tiny")
    parser.add_argument("--weights", default="imagenet", help="name, or a checkpoint file")
    parser.add_argument("--classes", help="of a file that does not name them: imagenet or cifar10")
    options = parser.parse_args(arguments)

    variant, weights = options.variant, options.weights
    try:
        predictor = FileClassifier.load(variant, weights, classes=options.classes)
    except DownloadError as error:
        variant, weights = BUNDLED
        print(
            f"{options.variant}'s weights cannot be had ({type(error).__name__}): "
            f"going on with the bundled {variant}, which knows the ten classes of CIFAR-10 only.\n"
        )
        predictor = FileClassifier.load(variant, weights)
    files = image_files(options.images)
    pictures = []
    for prediction in predictor.predict(files, batch_size=len(files)):
        if prediction.scores is None:
            raise SystemExit(prediction.error)
        (decoded,) = decode_predictions(prediction.scores[None], classes=predictor.classes)
        best = [(name, value) for _, name, value in decoded]
        pictures.append((load_image(prediction.path), best))
        print(prediction.path.name)
        for name, value in best:
            print(f"  {value:6.1%}  {name}")
    draw_predictions(pictures, options.out, f"{variant}, weights {pathlib.Path(weights).name}")
    print(f"\ndrawn in {pathlib.Path(options.out).resolve()}")


if __name__ == "__main__":
    main()
