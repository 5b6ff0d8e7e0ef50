"""`keras-pvt batch`: predictions for millions of images, as Parquet."""

import argparse
import contextlib
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from keras_pvt.cli import arguments
from keras_pvt.variants import VARIANTS

TASKS = ("classify", "embed", "detect", "segment")
# Options that no value follows.
FLAGS = ("--retry", "--json", "--flip", "--traceback")

DESCRIPTION = "Predict for any number of images, and go on where a run stopped."

EPILOG = (
    """\
examples:
  keras-pvt batch classify photos/ --out results/ --variant pvt_small      # [batch]
  keras-pvt batch embed manifest.parquet --id id --path path --out s3://bucket/run \\
      --workers 8 --gpus 1 --address auto
  keras-pvt batch detect shards/*.tar --model detector.keras --out results/
  keras-pvt batch segment photos/ --model segmenter.keras --out results/ --masks png
  keras-pvt batch classify urls.txt --out results/ --sorted results.parquet

A SOURCE is a folder, with all below it; an image; a .txt with a path or URL a line; a .parquet with
ids and paths, or the bytes of images; a .tar, as webdataset has it; a .tfrecord; here, or a URL
that fsspec reads. --out gets Parquet files, which pandas, pyarrow and DuckDB open as one table: id,
the columns of the task, and error, where an image could not be read. docs/batch.md has the columns.

The same command again goes on where a run stopped, by Ctrl-C or otherwise: each id gets one row. A
finished run adds nothing, a source that grew adds its new images, and another model, option or
source is refused in the same folder. Ids that several images have are refused too.

One worker is a loop in this process; more are Ray's, on this machine (--address here) or on a
cluster (--address auto). The last line, on stderr, counts; if images could not be read, the exit
status is 1, and --retry tries them again.

"""
    + arguments.ENGINES_EPILOG
)


def add_arguments_for(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Options of the task that is named; of all tasks where none is."""
    task = _task(words)
    add = parser.add_argument
    if task in (None, "classify", "embed"):
        add("--variant", choices=VARIANTS, help="model (default: pvt_tiny)")
        add("--weights", metavar="NAME|PATH|hf://OWNER/NAME", help="of the variant")
    if task in (None, "classify"):
        add(
            "--top",
            type=arguments.positive,
            default=5,
            metavar="N",
            help="classes for each image (default: %(default)s)",
        )
    if task in (None, "embed"):
        add(
            "--pooling",
            choices=("head", "token", "avg"),
            default="head",
            help="what an embedding is: the class token, the mean of P5, or that of the two which "
            "the head sees (default: %(default)s)",
        )
    if task != "embed":
        arguments.add_classes(parser)
    if task in (None, "detect"):
        add(
            "--threshold",
            type=arguments.fraction,
            default=0.5,
            metavar="SCORE",
            help="smallest score of a box, 0 to 1 (default: %(default)s)",
        )
    if task in (None, "detect", "segment"):
        add(
            "--masks",
            choices=("png", "rle"),
            help="of segment: gray PNGs or run lengths (default: png); of detect: rle adds those "
            "of the objects",
        )
    if task == "segment":
        arguments.add_predictor_options(parser)
    elif task != "detect":
        add("--size", type=arguments.positive, metavar="PIXELS", help="side of the crop")


def _task(words: list[str]) -> str | None:
    """The task that words name; not the value of an option, as in `--out embed classify`."""
    named = [n for n, word in enumerate(words) if word in TASKS]
    values = [
        n + 1
        for n, word in enumerate(words)
        if word.startswith("--") and "=" not in word and word not in FLAGS
    ]
    own = [n for n in named if n not in values] or named
    return words[own[0]] if own else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("task", choices=TASKS, metavar="TASK", help=", ".join(TASKS))
    add("sources", nargs="+", metavar="SOURCE", help="where images are, see below")
    add("--out", required=True, metavar="FOLDER|URL", help="of the results")
    add("--model", metavar="PATH|hf://OWNER/NAME", help="a model.keras, or a checkpoint")
    add(
        "--id", metavar="NAME", help="column or feature of ids (default: id; of .tfrecord a number)"
    )
    add("--path", metavar="NAME", help="column of paths or URLs (default: path or url)")
    add("--bytes", metavar="NAME", help="column or feature with the bytes of images")
    add(
        "--batch-size",
        type=arguments.positive,
        metavar="N",
        help="images that the model gets at once (default: 32; of detect 8)",
    )
    add(
        "--rows",
        type=arguments.positive,
        metavar="N",
        help="of a file of results, which a worker computes at a time (default: 1024; of segment "
        "64)",
    )
    add("--workers", type=arguments.positive, default=1, metavar="N", help="models (default: 1)")
    add("--cpus", type=arguments.positive, default=1, metavar="N", help="of a worker (default: 1)")
    add("--gpus", type=arguments.factor, metavar="N", help="of a worker (default: none)")
    add("--memory", type=arguments.factor, metavar="GIB", help="that a worker needs")
    add(
        "--address",
        metavar="local|here|auto|HOST:PORT",
        help="local: a loop without Ray; here: Ray on this machine; else Ray's cluster (default: "
        "local for one worker, else here)",
    )
    add("--retry", action="store_true", help="try again what could not be read")
    add("--sorted", type=pathlib.Path, metavar="FILE", help="in the end one .parquet, by id")
    add("--json", action="store_true", help="print the counts as JSON")
    arguments.add_engine_options(parser)


def run(options: argparse.Namespace) -> int:
    from keras_pvt.batch import Job
    from keras_pvt.cli.program import engine_log

    job = Job(
        options.task,
        _model(options),
        options.sources,
        options.out,
        id=options.id,
        path=options.path,
        content=options.bytes,
        batch_size=options.batch_size,
        rows=options.rows,
        workers=options.workers,
        cpus=options.cpus,
        gpus=options.gpus or 0,
        memory=options.memory,
        retry=options.retry,
        engine=options.engine,
        precision=options.precision,
        representative=options.representative and str(options.representative),
        **_of_task(options),
    )
    if options.sorted is not None:
        job.check_sorted(options.sorted)
    try:
        # Ray tells of workers that died on stdout, where the counts in JSON are to stand alone.
        with engine_log(), _bar() as show, contextlib.redirect_stdout(sys.stderr):
            summary = job.run(options.address, show)
        if options.sorted is not None:
            job.write_sorted(options.sorted)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        raise
    except RuntimeError as error:  # another run, or a worker that failed
        raise OSError(f"{error} The same command goes on from here.") from error
    if options.json:
        import dataclasses
        import json

        found = dataclasses.asdict(summary)
        print(json.dumps(found | {"images_per_second": summary.images_per_second}))
    print(summary, file=sys.stderr)
    if summary.failed:
        print(f"error: {summary.failed} images could not be read", file=sys.stderr)
    return int(summary.failed > 0)


def _model(options: argparse.Namespace) -> str:
    variant = getattr(options, "variant", None)
    if options.model is not None and variant is not None:
        raise ValueError("--variant or --model is wanted, not both.")
    if options.model is not None:
        return options.model
    if options.task in ("detect", "segment"):
        raise ValueError(f"{options.task} needs --model.")
    return variant or "pvt_tiny"


def _of_task(options: argparse.Namespace) -> dict[str, Any]:
    """The options that a task has of its own."""
    from keras_pvt.classification.decoding import read_classes

    found: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("weights", "top", "pooling", "threshold")
        if hasattr(options, name)
    }
    if getattr(options, "classes", None) is not None:
        found["classes"] = read_classes(options.classes)
    if options.task in ("classify", "embed"):
        found["size"] = options.size
    if options.task == "detect":
        found["masks"] = options.masks
    if options.task == "segment":
        found["masks"] = options.masks or "png"
        settings = arguments.predictor_options(options, None)
        if options.size is None:  # as the model was evaluated
            del settings["short_side"]
        found["segmenter"] = settings
    return found


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """Draw how many images have results, on terminals only; gives what draws it anew."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

    console = Console(stderr=True)
    columns = [*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn()]
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("images", total=None)
        # What is there when the total comes is no part of the speed.
        yield lambda done, total: bar.update(task, total=total, completed=done)
