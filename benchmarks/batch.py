"""What `keras-pvt batch` costs beside the plain loop, and how soon a large job goes on.

    KERAS_BACKEND=torch python benchmarks/batch.py rates --variant pvt_small --random
    python benchmarks/batch.py rates --variant pvt_nano --engine onnxruntime --images 500
    python benchmarks/batch.py resume --ids 1000000
    python benchmarks/batch.py memory --images 70

`rates` draws photographs, and compares what `keras-pvt predict` does, by one thread and by two,
with as many workers on Ray of one thread each. They take turns for some rounds, each in a process
of its own, which goes over an equal share of the photographs; the table has medians. What comes
before a quarter of a share is done is not counted: imports, loading, compiling, Ray's start.
`resume` has a manifest of so many ids, of which 90 % are done, and a model that does next to
nothing, and prints how long it takes until the first new image is asked for. `memory` has the peak
of a process that reads large images, more of them than two batches.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
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


def random_weights(variant: str, folder: pathlib.Path) -> str:
    """A file of a variant with random weights, on which rates do not depend."""
    import keras_pvt
    from keras_pvt.models.classifier import classifier
    from keras_pvt.variants import VARIANTS

    model = classifier(VARIANTS[variant], include_preprocessing=True)
    path = folder / f"{variant}.keras"
    keras_pvt.save_model(model, path, classes=[str(n) for n in range(model.output_shape[-1])])
    return str(path)


def rates(options: argparse.Namespace) -> None:
    from keras_pvt.batch.on_ray import THREADS

    kinds = [(kind, count) for count in options.threads for kind in ("loop", "ray")]
    found: dict[tuple[str, int], list[float]] = {kind: [] for kind in kinds}
    least = BATCH * max(options.threads)  # whole batches, as many of each worker as of the others
    share = -(-options.images // (options.rounds * least)) * least
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        photos = folder / "photos"
        photos.mkdir()
        photographs(photos, share * options.rounds, options.side)
        files = sorted(photos.iterdir())
        model = random_weights(options.variant, folder) if options.random else options.variant
        start = time.perf_counter()
        for number in range(options.rounds):
            listed = folder / f"{number}.txt"
            some = files[number * share : (number + 1) * share]
            listed.write_text("".join(f"{file}\n" for file in some))
            for kind, count in kinds:
                words = [kind, count, model, listed, options.engine, options.size or 0]
                env = os.environ | dict.fromkeys(THREADS, str(count if kind == "loop" else 1))
                env["RAY_worker_niceness"] = "0"  # as the loop has it
                call = [sys.executable, __file__, "one", *words]
                done = subprocess.run(list(map(str, call)), env=env, stdout=subprocess.PIPE)
                if done.returncode:
                    sys.exit(f"{kind} of {count} failed")
                found[kind, count].append(json.loads(done.stdout.splitlines()[-1]))
            took = (time.perf_counter() - start) / (number + 1)
            left = took * (options.rounds - number - 1) / 60
            now = ", ".join(f"{kind} {n}: {found[kind, n][-1]:.2f}" for kind, n in kinds)
            print(f"round {number + 1}: {now} images/s; {left:.0f} minutes are left", flush=True)
    print("\n| threads | plain loop, images/s | workers of one thread, images/s | ratio |")
    print("|---|---|---|---|")
    for count in options.threads:
        loop, ray = found["loop", count], found["ray", count]
        ratios = [one / other for one, other in zip(ray, loop, strict=True)]
        print(f"| {count} | {_shown(loop)} | {_shown(ray)} | {_shown(ratios)} |")


def _shown(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


BATCH = 32  # images, and rows of a chunk


def one(options: argparse.Namespace) -> None:
    """Print the images per second of one kind, once it is steady."""
    marks: list[tuple[float, int]] = []  # when so many images had results

    def mark(done: int, _: int = 0) -> None:
        if done:
            marks.append((time.perf_counter(), done))

    files = options.listed.read_text().splitlines()
    if options.kind == "loop":
        from keras_pvt.engines.named import Wish, classifier
        from keras_pvt.utils.threads import share_processors

        share_processors(options.count)  # also of those that read images
        wish = Wish(options.engine, "float32", None, len(files))
        predictor = classifier(options.model, None, options.size or None, None, wish)
        for count, _ in enumerate(predictor.predict(files, BATCH)):
            if (count + 1) % BATCH == 0:
                mark(count + 1)
    else:
        from keras_pvt.batch import Job

        with tempfile.TemporaryDirectory() as out:
            job = Job(
                "classify",
                options.model,
                options.listed,
                out,
                size=options.size or None,
                batch_size=BATCH,
                rows=BATCH,
                workers=options.count,
                engine=options.engine,
            )
            job.run("here", mark)
    marks = marks[: len(files) // BATCH]  # of whole batches
    # As many of each worker as of the others.
    first = -(-len(marks) // (4 * options.count)) * options.count - 1
    (start, before), (end, after) = marks[first], marks[-1]
    print(json.dumps((after - before) / (end - start)))


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
    first = commands.add_parser("rates")
    first.set_defaults(run=rates)
    first.add_argument("--variant", default="pvt_nano", help="or a file of a model")
    first.add_argument("--random", action="store_true", help="with random weights")
    first.add_argument("--size", type=int, help="side of the crop (default: as trained)")
    first.add_argument("--engine", default="keras")
    first.add_argument("--images", type=int, default=2000, help="of all rounds (default: 2000)")
    first.add_argument("--rounds", type=int, default=5)
    first.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    first.add_argument("--side", type=int, default=375, help="shorter side of the photographs")
    single = commands.add_parser("one")  # of `rates`
    single.set_defaults(run=one)
    single.add_argument("kind", choices=("loop", "ray"))
    single.add_argument("count", type=int)
    single.add_argument("model")
    single.add_argument("listed", type=pathlib.Path)
    single.add_argument("engine")
    single.add_argument("size", type=int)
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
