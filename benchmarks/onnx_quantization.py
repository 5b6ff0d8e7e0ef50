"""PVTNano's ONNX file, quantized by onnxruntime and by nncf, on photographs: error and time.

    pip install nncf
    KERAS_BACKEND=torch python benchmarks/onnx_quantization.py cifar10/val

FOLDER is as for benchmarks/quantization.py. The error is the largest difference of a probability
from that of the file in float32, over all images; times are of one image, medians, in turns.
"""

import argparse
import functools
import pathlib
import tempfile

import numpy as np
import timing
from quantization import REPRESENTATIVE, photographs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--seconds", type=float, default=20, help="to time for, default 20")
    parser.add_argument("--threads", type=int, help="cores to use; by default all")
    options = parser.parse_args()
    threads = timing.limit_threads(options.threads)
    images, _ = photographs(options.folder)
    with tempfile.TemporaryDirectory() as folder:
        runs = contenders(pathlib.Path(folder), images, threads)
        expected = answers(runs["onnx float32"], images)
        calls = {name: functools.partial(run, images[:1]) for name, run in runs.items()}
        times = timing.interleave(calls, options.seconds)
        print(f"pvt_nano, {len(images)} images, {REPRESENTATIVE} of them representative\n")
        print("| file | largest error | distinct probabilities | ms |\n|---|---|---|---|")
        for name, run in runs.items():
            found = answers(run, images)
            error = np.abs(found - expected).max()
            distinct = len(np.unique(found))
            print(f"| {name} | {error:.3f} | {distinct} | {times[name]:.2f} |", flush=True)


def contenders(folder, images, threads):
    """Functions of a batch of one, by the name of what quantized the file."""
    import nncf
    import openvino
    from onnxruntime import quantization

    import keras_pvt
    from keras_pvt import runtimes

    plain = folder / "plain.onnx"
    model = keras_pvt.PVTNano(weights="cifar10")
    keras_pvt.export(model, plain, "onnx", batch_size=1)
    chosen = np.linspace(0, len(images) - 1, REPRESENTATIVE).round().astype(int)
    batches = [image[None] for image in images[chosen]]

    class Reader(quantization.CalibrationDataReader):
        rest = iter(())

        def get_next(self):
            return next(self.rest, None)

    reader = Reader()
    reader.rest = ({"images": batch} for batch in batches)
    quantization.quantize_dynamic(plain, folder / "dynamic.onnx")
    quantization.quantize_static(plain, folder / "static.onnx", reader)
    runs = {
        f"onnx {name}": runtimes.load("onnx", folder / file, threads)
        for name, file in (
            ("float32", "plain.onnx"),
            ("quantize_dynamic", "dynamic.onnx"),
            ("quantize_static", "static.onnx"),
        )
    }
    read = openvino.Core().read_model(plain)
    for name, kind in (("default", None), ("TRANSFORMER", nncf.ModelType.TRANSFORMER)):
        path = folder / f"{name}.xml"
        found = nncf.quantize(
            read.clone(), nncf.Dataset(batches), model_type=kind, subset_size=len(batches)
        )
        openvino.save_model(found, path, compress_to_fp16=False)
        runs[f"openvino, nncf {name}"] = runtimes.load("openvino", path, threads)
    openvino.save_model(read, folder / "plain.xml", compress_to_fp16=False)
    runs["openvino float32"] = runtimes.load("openvino", folder / "plain.xml", threads)
    return runs


def answers(run, images):
    """Probabilities `(N, classes)`."""
    return np.concatenate([run(image[None])["predictions"] for image in images])


if __name__ == "__main__":
    main()
