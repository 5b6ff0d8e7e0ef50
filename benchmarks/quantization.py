"""Accuracy and size of a small model's TFLite files, quantized in each way, on photographs.

    KERAS_BACKEND=tensorflow python benchmarks/quantization.py cifar10/val
    KERAS_BACKEND=tensorflow python benchmarks/quantization.py cifar10/val --variant pvt_v2_nano

FOLDER has a folder for each class of CIFAR-10. The representative images are spread evenly over
all of them.
"""

import argparse
import pathlib
import tempfile

import numpy as np
import timing

REPRESENTATIVE = 100


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--variant", choices=("pvt_nano", "pvt_v2_nano"), default="pvt_nano")
    parser.add_argument("--threads", type=int, help="cores to use; by default all")
    options = parser.parse_args()
    threads = timing.limit_threads(options.threads)
    images, labels = photographs(options.folder)
    print(f"{options.variant}, {len(images)} images, {REPRESENTATIVE} of them representative\n")
    print(
        "| numbers | MB | top-1 | same class as float32 | cosine of all logits "
        "| smallest of an image |\n|---|---|---|---|---|---|"
    )
    expected = None
    with tempfile.TemporaryDirectory() as folder:
        for quantize in (None, "float16", "dynamic", "int8", "full-int8"):
            path = pathlib.Path(folder) / f"{quantize}.tflite"
            size, found = answers(options.variant, quantize, images, path, threads)
            expected = found if expected is None else expected
            top1, same = (np.mean(found.argmax(1) == y) for y in (labels, expected.argmax(1)))
            whole = cosines(found.reshape(1, -1), expected.reshape(1, -1))[0]
            print(
                f"| {quantize or 'float32'} | {size / 1e6:.1f} | {100 * top1:.2f} "
                f"| {100 * same:.2f} % | {whole:.5f} | {cosines(found, expected).min():.4f} |",
                flush=True,
            )


def photographs(folder: pathlib.Path):
    """Images as the model takes them, and their labels in the order of its classes."""
    import keras_pvt
    from keras_pvt.classification.decoding import class_table
    from keras_pvt.training.data.folder import FolderImages

    found = FolderImages(folder, [name for _, name in class_table("cifar10")])
    pixels = np.stack([found.read(number) for number in range(len(found))])
    return keras_pvt.preprocess_input(pixels), found.labels


def answers(variant, quantize, images, path, threads):
    """Bytes of the file that is written, and its logits, an image at a time as phones ask."""
    import keras_pvt
    from keras_pvt import runtimes

    chosen = np.linspace(0, len(images) - 1, REPRESENTATIVE).round().astype(int)
    model = keras_pvt.classifier(variant, weights="cifar10", classifier_activation=None)
    exported = keras_pvt.export(
        model, path, "tflite", quantize=quantize, representative=images[chosen], verify=False
    )
    run = runtimes.load("tflite", path, threads)
    return exported.size, np.concatenate([run(image[None])["predictions"] for image in images])


def cosines(a, b):
    """Of each row of one with that of the other."""
    a, b = (np.asarray(x, "float64") for x in (a, b))
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


if __name__ == "__main__":
    main()
