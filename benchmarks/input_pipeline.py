"""Images a second that training can be fed with: files decoded, augmented and mixed, no model.

The files are 500x375 cut-outs of the photographs under examples/images, unless --data is given,
and come from the system's cache. Rows take turns; medians are shown. tf.data does the work of the
row above it, with TensorFlow's operations. On a machine that others use too, the CPU time says
more than the clock.
"""

import argparse
import functools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable

from predict_folder import make_images

EXAMPLES = """examples:
  KERAS_BACKEND=jax python benchmarks/input_pipeline.py
  KERAS_BACKEND=jax python benchmarks/input_pipeline.py --workers 1 4 16 --need 2500 \\
      --data imagenet/val --images 2048
"""
RECIPE = "rand-m9-mstd0.5-inc1"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder of class folders, instead of the cut-outs")
    parser.add_argument("--images", type=int, default=256, help="for each figure (256)")
    parser.add_argument("--size", type=int, default=224, help="pixels (224)")
    parser.add_argument("--batch-size", type=int, default=64, help="(64)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="(1 2)")
    parser.add_argument("--need", type=float, default=1000, help="images/s of a model (1000)")
    parser.add_argument("--rounds", type=int, default=5, help="(5)")
    parser.add_argument("--tf-data", action="store_true", help="also tf.data")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.data is None:
            for name in ("one", "other"):
                (pathlib.Path(folder) / name).mkdir()
                make_images(pathlib.Path(folder) / name, options.images // 2)
        show(options, measure(rows(options, options.data or folder), options.rounds))


def rows(options, folder) -> dict[tuple[str, int], Callable[[], int]]:
    """For each row and number of workers what passes over the images and counts them."""
    from keras_pvt.training.augmentation import MixUpCutMix, TrainTransform
    from keras_pvt.training.data import FolderImages, ImageBatches

    images = FolderImages(folder)
    steps = options.images // options.batch_size
    if not 0 < steps <= len(images) // options.batch_size:
        raise SystemExit(f"error: no {options.images} images in batches of {options.batch_size}")
    make = functools.partial(TrainTransform, options.size)
    transforms = {
        "decode": lambda image, rng: image[:1, :1],
        "+ resized crop, flip, normalise": make(),
        "+ RandAugment": make(rand_augment=RECIPE),
        "+ erasing": make(rand_augment=RECIPE, erasing=0.25),
        "+ MixUp or CutMix": make(rand_augment=RECIPE, erasing=0.25),
    }

    def ours(name, workers):
        mix = MixUpCutMix() if "MixUp" in name else None
        batches = ImageBatches(
            images, options.batch_size, transforms[name], mix=mix, workers=workers
        )
        done = sum(len(batches[index][0]) for index in range(steps))
        batches.on_epoch_end()
        return done

    calls = {
        (name, workers): functools.partial(ours, name, workers)
        for name in transforms
        for workers in options.workers
    }
    if options.tf_data:
        files = [images.name(n) for n in range(options.images)]
        for workers in options.workers:
            calls["tf.data: crop, flip, normalise", workers] = functools.partial(
                tf_data, files, options.size, options.batch_size, workers
            )
    return calls


def tf_data(files, size, batch_size, workers) -> int:
    """Decoded where the crop is only, which Pillow cannot; resized bicubic with antialias."""
    import tensorflow as tf

    def load(path):
        content = tf.io.read_file(path)
        begin, shape, _ = tf.image.sample_distorted_bounding_box(
            tf.image.extract_jpeg_shape(content),
            tf.zeros((1, 0, 4)),
            area_range=(0.08, 1.0),
            aspect_ratio_range=(3 / 4, 4 / 3),
            max_attempts=10,
            use_image_if_no_bounding_boxes=True,
        )
        box = tf.concat([begin[:2], shape[:2]], 0)
        image = tf.image.decode_and_crop_jpeg(content, box, channels=3)
        image = tf.image.resize(image, (size, size), "bicubic", antialias=True)
        return tf.image.random_flip_left_right(image) / 127.5 - 1

    options = tf.data.Options()
    options.threading.private_threadpool_size = workers
    options.threading.max_intra_op_parallelism = 1
    data = tf.data.Dataset.from_tensor_slices(files).shuffle(len(files))
    data = data.map(load, num_parallel_calls=workers).batch(batch_size).prefetch(2)
    return sum(len(batch) for batch in data.with_options(options).as_numpy_iterator())


def measure(calls, rounds) -> dict[tuple[str, int], tuple[float, float]]:
    """Median seconds an image, of time and of CPU."""
    clocks = time.perf_counter, time.process_time
    spent: dict = {key: [] for key in calls}
    for call in calls.values():  # compiles, and fills the cache
        call()
    for _ in range(rounds):
        for key, call in calls.items():
            start = [clock() for clock in clocks]
            count = call()
            spent[key].append(
                [(clock() - then) / count for clock, then in zip(clocks, start, strict=True)]
            )
    return {
        key: (statistics.median(wall), statistics.median(cpu))
        for key, (wall, cpu) in ((key, zip(*times, strict=True)) for key, times in spent.items())
    }


def show(options, figures) -> None:
    """Images/s by workers, CPU time, and the cores that the need takes by it."""
    title = f"to {options.size} pixels, batch {options.batch_size}, images/s"
    columns = [f"{title} by workers: {options.workers[0]}", *map(str, options.workers[1:])]
    columns += ["CPU ms an image", f"cores for {options.need:.0f} images/s"]
    print("| " + " | ".join(["", *columns]) + " |\n" + "|---" * (len(columns) + 1) + "|")
    for name in dict.fromkeys(name for name, _ in figures):
        cpu = min(figures[name, workers][1] for workers in options.workers)
        cells = [f"{1 / figures[name, workers][0]:.0f}" for workers in options.workers]
        cells += [f"{1000 * cpu:.2f}", f"{cpu * options.need:.1f}"]
        print("| " + " | ".join([name, *cells]) + " |")


if __name__ == "__main__":
    main()
