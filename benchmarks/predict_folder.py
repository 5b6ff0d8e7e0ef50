"""Classifying a folder of JPEG files, next to the model alone on images that are ready.

    KERAS_BACKEND=jax python benchmarks/predict_folder.py

Both run in turns, in one process, on the same cores and with the same batches. The files are
500x375 cut-outs of the photographs under examples/images; the model has random weights.
"""

import argparse
import pathlib
import random
import statistics
import tempfile
import time

import timing

PHOTOGRAPHS = pathlib.Path(__file__).parents[1] / "examples" / "images"
SIZE = (500, 375)  # pixels, as most images of ImageNet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--variant", default="pvt_tiny")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="cores to use; by default all")
    options = parser.parse_args()
    threads = timing.limit_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        files = make_images(pathlib.Path(folder), options.images)
        alone, together = measure(options.variant, files, options.batch_size, options.rounds)
    print(
        f"| {options.variant}, {options.images} images, batch {options.batch_size}, "
        f"{threads} cores | images/s |\n|---|---|\n"
        f"| model alone | {alone:.1f} |\n| from files | {together:.1f} |\n"
        f"| ratio | {together / alone:.3f} |"
    )


def make_images(folder: pathlib.Path, count: int) -> list[pathlib.Path]:
    """Cut-outs of the photographs, all of them different."""
    from PIL import Image

    photographs = [Image.open(path).convert("RGB") for path in sorted(PHOTOGRAPHS.glob("*.jpg"))]
    place = random.Random(0)
    files = []
    for n in range(count):
        photograph = photographs[n % len(photographs)]
        width, height = (int(side * place.uniform(0.6, 1)) for side in photograph.size)
        left = place.randint(0, photograph.width - width)
        top = place.randint(0, photograph.height - height)
        cut = photograph.resize(SIZE, box=(left, top, left + width, top + height))
        files.append(folder / f"{n:05}.jpg")
        cut.save(files[-1], quality=90)
    return files


def measure(
    variant: str, files: list[pathlib.Path], batch_size: int, rounds: int
) -> tuple[float, float]:
    """Images a second, medians over the rounds: of the model alone, and from files."""
    import numpy as np

    import keras_pvt
    from keras_pvt.prediction import FileClassifier

    model = keras_pvt.classifier(variant, include_preprocessing=True)
    predictor = FileClassifier(model, size=224, resize_size=256)
    batch = np.stack([predictor.crop(files[n % len(files)]) for n in range(batch_size)])

    def alone() -> None:
        for _ in range(0, len(files), batch_size):
            model.predict_on_batch(batch)

    def together() -> None:
        for prediction in predictor.predict(files, batch_size):
            assert prediction.scores is not None

    model.predict_on_batch(batch)  # compiles
    seconds: dict = {alone: [], together: []}
    for n in range(rounds):
        for call in (alone, together) if n % 2 else (together, alone):
            start = time.perf_counter()
            call()
            seconds[call].append(time.perf_counter() - start)
    medians = (statistics.median(seconds[call]) for call in (alone, together))
    speed_alone, speed_together = (len(files) / median for median in medians)
    return speed_alone, speed_together


if __name__ == "__main__":
    main()
