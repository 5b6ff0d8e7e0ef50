"""Results for image files, as `keras-pvt predict`, `detect` and `segment` print them."""

import argparse
import functools
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Sequence

Show = Callable[..., None]


def show_results(results: Iterable, count: int, show: Show) -> int:
    """Show each result; report the files that could not be read.

    Args:
        results: with a `path` and an `error`, which is None where all is well.
        count: of the results, for the progress bar on a terminal.
        show: prints one result.
    Returns:
        Exit status: 1 if a file could not be read.
    """
    failures = 0
    for result in _tracked(results, count):
        if result.error is None:
            show(result)
        else:
            failures += 1
            print(f"error: {result.error}; skipped", file=sys.stderr)
    if failures:
        print(f"error: {failures} of {count} images could not be read", file=sys.stderr)
    return int(failures > 0)


def say_where(count: int, **folders: pathlib.Path) -> None:
    """The last line, on stderr: in which folders pictures are, if any was drawn."""
    if count:
        named = (f"{what}: {os.path.join(folder, '')}" for what, folder in folders.items())
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
    files: Sequence[pathlib.Path], folder: pathlib.Path
) -> dict[pathlib.Path, pathlib.Path]:
    """A PNG in a folder for each file: all different, and none of them a file."""
    taken = {file.resolve() for file in files}
    pictures = {}
    for file in files:
        picture, count = folder / f"{file.stem}.png", 1
        while picture.resolve() in taken:
            count += 1
            picture = folder / f"{file.stem}-{count}.png"
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
