"""What `keras-pvt batch` costs beside the plain loop, and how soon a large job goes on.

    python benchmarks/batch.py rates --variant pvt_nano --images 500
    python benchmarks/batch.py rates --variant pvt_nano --images 500 --ray 1 2
    python benchmarks/batch.py resume --ids 1000000
    python benchmarks/batch.py memory --images 70

`rates` draws photographs, and prints images per second of `FileClassifier.predict`, of a job in one
process, and of jobs on Ray with so many workers: all of the run, and without the first file of
results, in which models are loaded. Each is the best of `--runs`, taken in turn, as others may use
the machine. `resume` has a manifest of so many ids, of which 90 % are done, and a model that does
next to nothing, and prints how long it takes until the first new image is asked for. `memory` has
the peak of a process that reads large images, more of them than two batches.
"""

import argparse
import pathlib
import resource
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))


def photographs(folder: pathlib.Path, count: int, side: int) -> None:
    """JPEGs of clouds of colour, which take as long to decode as photographs of the size."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(count):
        clouds = rng.integers(0, 256, (side // 8, side // 6, 3), "uint8")
        image = Image.fromarray(clouds).resize((side * 4 // 3, side), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:05d}.jpg", quality=90)


def rates(options: argparse.Namespace) -> None:
    from keras_pvt.batch import Job
    from keras_pvt.classification import FileClassifier

    with tempfile.TemporaryDirectory() as place:
        photos = pathlib.Path(place) / "photos"
        photos.mkdir()
        photographs(photos, options.images, options.side)
        files = sorted(photos.iterdir())
        found: dict[str, list[float]] = {}

        def loop() -> None:
            classifier = FileClassifier.named(options.variant, size=options.size)
            start = None
            for count, _ in enumerate(classifier.predict(files)):
                if count + 1 == options.rows:  # what a job's first file has
                    start = time.perf_counter()
            rate = (options.images - options.rows) / (time.perf_counter() - start)
            found.setdefault("plain loop", []).append(rate)

        def job(run: int, address: str, workers: int) -> None:
            came: list[tuple[float, int]] = []
            whole = Job(
                "classify",
                options.variant,
                photos,
                pathlib.Path(place) / f"{address}-{workers}-{run}",
                size=options.size,
                rows=options.rows,
                workers=workers,
                engine="keras",
            ).run(address, lambda done, _: came.append((time.perf_counter(), done)))
            (first, done), (last, all_) = came[1], came[-1]
            name = f"{address}, {workers} workers"
            found.setdefault(name, []).append((all_ - done) / (last - first))
            found.setdefault(f"{name}, whole run", []).append(whole.images_per_second)

        for run in range(options.runs):
            loop()
            job(run, "local", 1)
            for workers in options.ray:
                job(run, "here", workers)
    steady = max(found["plain loop"])
    for name, values in found.items():
        print(f"{name}: {max(values):.2f} images/s, {max(values) / steady:.2f} of the loop")


def resume(options: argparse.Namespace) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from keras_pvt.batch import Job, identity, tasks

    asked: list[tuple[float, float]] = []

    class Nothing:
        """Gives each image one number, and does not read it."""

        network = None

        def answers(self, sources, batch_size):
            for _ in sources:
                asked.append((time.perf_counter(), time.process_time()))
                yield {"embedding": [1.0]}, None

    identity.of_model = lambda _: "nothing"  # type: ignore[assignment]
    tasks.load = lambda *_: Nothing()  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        ids = [f"image-{number:09d}" for number in range(options.ids)]
        paths = [f"/photos/{number // 1000}/{number}.jpg" for number in range(options.ids)]
        manifest = folder / "manifest.parquet"
        pq.write_table(pa.table({"id": ids, "path": paths}), manifest)

        def job() -> Job:
            return Job("embed", "nothing", manifest, folder / "out", engine="keras")

        def stop(done: int, total: int) -> None:
            if done >= 0.9 * total:
                raise KeyboardInterrupt

        start = time.perf_counter()
        try:
            job().run("local", stop)
        except KeyboardInterrupt:
            print(f"90 % of {options.ids}: {time.perf_counter() - start:.1f} s")
        done = len(asked)
        asked.clear()
        start, used = time.perf_counter(), time.process_time()
        summary = job().run("local")
        wall, cpu = asked[0][0] - start, asked[0][1] - used
        print(f"until the first new image: {wall:.1f} s, of which {cpu:.1f} s computing; {summary}")
        assert len(asked) == options.ids - done
        start = time.perf_counter()
        job().run("local")
        print(f"a finished job: {time.perf_counter() - start:.1f} s")
        size = sum(file.stat().st_size for file in (folder / "out").iterdir())
        print(
            f"results: {size / 1e6:.1f} MB in {len(list((folder / 'out').glob('*.parquet')))} files"
        )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak memory: {memory:.2f} GB")


def memory(options: argparse.Namespace) -> None:
    import numpy as np
    from PIL import Image

    from keras_pvt.batch import Job, identity, tasks
    from keras_pvt.utils.image_files import read_in_batches
    from keras_pvt.utils.images import eval_transform
    from keras_pvt.utils.threads import processors

    class Crops:
        """Reads images as a classifier does, and gives the mean of the crop."""

        network = None

        def answers(self, sources, batch_size):
            for files in read_in_batches(sources, eval_transform, batch_size):
                for file in files:
                    yield {"embedding": [float(file.image.mean())]}, None

    identity.of_model = lambda _: "nothing"  # type: ignore[assignment]
    tasks.load = lambda *_: Crops()  # type: ignore[assignment]
    for megapixels in (0.1, *options.megapixels):
        with tempfile.TemporaryDirectory() as place:
            folder = pathlib.Path(place) / "photos"
            folder.mkdir()
            side = round((megapixels * 1e6 * 3 / 4) ** 0.5)
            colours = np.random.default_rng(0).integers(0, 256, (48, 64, 3), "uint8")
            first = folder / "0.jpg"
            Image.fromarray(colours).resize((side * 4 // 3, side)).save(first)
            for number in range(1, options.images):
                (folder / f"{number}.jpg").write_bytes(first.read_bytes())
            Job("embed", "nothing", folder, f"{place}/out", engine="keras").run("local")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(f"{megapixels} megapixels: peak {peak:.0f} MB, by {processors()} threads")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("rates")
    one.set_defaults(run=rates)
    one.add_argument("--variant", default="pvt_nano")
    one.add_argument("--size", type=int, help="side of the crop (default: as trained)")
    one.add_argument("--images", type=int, default=500)
    one.add_argument("--side", type=int, default=480, help="shorter side of the photographs")
    one.add_argument("--rows", type=int, default=128)
    one.add_argument("--runs", type=int, default=3)
    one.add_argument("--ray", type=int, nargs="*", default=[], metavar="WORKERS")
    two = commands.add_parser("resume")
    two.set_defaults(run=resume)
    two.add_argument("--ids", type=int, default=1_000_000)
    three = commands.add_parser("memory")
    three.set_defaults(run=memory)
    three.add_argument("--images", type=int, default=70)
    three.add_argument("--megapixels", type=float, nargs="+", default=[12, 48])
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
