"""Classifying a folder of JPEG files, next to the model alone on images that are ready.

    KERAS_BACKEND=jax python benchmarks/predict_folder.py

Both run in turns, in one process, on the same cores and with the same batches. The files are
500x375 cut-outs of the photographs under examples/images; the model has random weights. On a
machine that others use too, the CPU time says more than the clock.
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
    title = f"{options.variant}, {len(files)} images, batch {options.batch_size}, {threads} cores"
    print(f"| {title} | images/s | CPU ms an image |\n|---|---|---|")
    for name, (wall, cpu) in (("model alone", alone), ("from files", together)):
        print(f"| {name} | {len(files) / wall:.1f} | {1000 * cpu / len(files):.1f} |")
    ratios = (alone[n] / together[n] for n in (0, 1))
    print("| speed, of the model alone | {:.3f} | {:.3f} |".format(*ratios))


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
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Seconds of time and of CPU, medians over the rounds: the model alone, and from files."""
    import numpy as np

    import keras_pvt
    from keras_pvt.classification.predictor import FileClassifier

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
    clocks = time.perf_counter, time.process_time
    spent: dict = {alone: [], together: []}
    for n in range(rounds):
        for call in (alone, together) if n % 2 else (together, alone):
            start = [clock() for clock in clocks]
            call()
            spent[call].append([clock() - then for clock, then in zip(clocks, start, strict=True)])
    wall_and_cpu = [
        tuple(map(statistics.median, zip(*spent[call], strict=True))) for call in (alone, together)
    ]
    return wall_and_cpu[0], wall_and_cpu[1]


if __name__ == "__main__":
    main()
