"""Results for image files, as `keras-pvt predict`, `detect` and `segment` print them."""

import argparse
import functools
import os
import pathlib
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

Show = Callable[..., None]
CLIP = ".mp4"  # of drawn videos


def show_results(results: Iterable, count: int | None, show: Show) -> int:
    """Show each result; report the files that could not be read.

    Args:
        results: with a `path`, a `frame`, which is None where the file is an image, and an
            `error`, which is None where all is well.
        count: of the results, for the progress bar on a terminal; None: not known.
        show: prints one result.
    Returns:
        Exit status: 1 if a file could not be read.
    """
    images = failures = videos = 0
    for result in _tracked(results, count):
        images += result.frame is None
        if result.error is None:
            show(result)
        elif result.frame is None:
            failures += 1
            print(f"error: {result.error}; skipped", file=sys.stderr)
        else:
            videos += 1
            print(f"error: {result.error}", file=sys.stderr)
    if failures:
        print(f"error: {failures} of {images} images could not be read", file=sys.stderr)
    return int(failures + videos > 0)


def columns(result: Any) -> tuple:
    """What a line begins with: the file, and of a video the number of the frame and seconds."""
    frame = result.frame
    return (result.path,) if frame is None else (result.path, frame.number, f"{frame.seconds:.3f}")


def entry(result: Any) -> dict[str, Any]:
    """The same for JSON."""
    frame = result.frame
    which = {} if frame is None else {"frame": frame.number, "time": round(frame.seconds, 3)}
    return {"image": str(result.path)} | which


def heading(console: Any, result: Any) -> None:
    """Print what stands above a table."""
    frame = result.frame
    which = "" if frame is None else f", frame {frame.number}, {frame.seconds:.3f} s"
    console.print(f"{result.path}{which}", style="bold", highlight=False, soft_wrap=True)


def say_where(count: int, **places: pathlib.Path) -> None:
    """The last line, on stderr: in which folders or file pictures are, if any was drawn."""
    if count:
        named = (
            f"{what}: {os.path.join(place, '') if place.is_dir() else place}"
            for what, place in places.items()
        )
        print(*named, sep="; ", file=sys.stderr)


def choose_show(
    options: argparse.Namespace, table: Show, lines: Show, show_json: Show | None = None
) -> Show:
    """JSON if asked for and there is such a function; a table on a terminal, by a function that
    takes rich's console before the result; lines otherwise."""
    from rich.console import Console

    console = Console()
    if options.json and show_json is not None:
        return show_json
    return functools.partial(table, console) if console.is_terminal else lines


def pictures_of(
    files: Sequence[pathlib.Path],
    folder: pathlib.Path,
    videos: Collection[pathlib.Path] = (),
) -> dict[pathlib.Path, pathlib.Path]:
    """A PNG in a folder for each file, an MP4 for a video: all different, and none of them a
    file."""
    taken = {file.resolve() for file in files}
    pictures = {}
    for file in files:
        ending = CLIP if file in videos else ".png"
        picture, count = folder / f"{file.stem}{ending}", 1
        while picture.resolve() in taken:
            count += 1
            picture = folder / f"{file.stem}-{count}{ending}"
        taken.add(picture.resolve())
        pictures[file] = picture
    return pictures


def _tracked(results, count):
    """The same results, with a progress bar on a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(
        console=console,
        transient=True,
        disable=not console.is_terminal or count == 1,
        # What goes to a file or pipe must not be drawn above the bar instead.
        redirect_stdout=sys.stdout.isatty(),
    ) as progress:
        yield from progress.track(results, total=count, description="images")
