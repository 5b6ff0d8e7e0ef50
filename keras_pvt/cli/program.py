"""What programs of this project have in common: how they start, and how they end."""

import argparse
import contextlib
import ctypes
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator

from keras_pvt import default_backend
from keras_pvt.registration import register_classes
from keras_pvt.utils.quiet import quiet_libraries

# What glibc's malloc.h calls M_MMAP_MAX, M_TRIM_THRESHOLD and M_TOP_PAD.
_MMAP_MAX, _TRIM_THRESHOLD, _TOP_PAD = -4, -1, -2


def start_keras() -> None:
    """What a command does before it uses Keras: register classes, and say where it computes."""
    _keep_memory()
    with quiet_libraries():
        register_classes()
        say_backend()


def _keep_memory() -> None:
    """Let the C library keep freed memory for the next call, where it can be told so.

    glibc gives large arrays back at once, and Linux clears every page of them when they come
    again, which is a tenth of an epoch at 224 pixels on a CPU.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_TOP_PAD, 2**26)


@contextlib.contextmanager
def engine_log() -> Iterator[None]:
    """Print on stderr what engines do that takes time, and where Keras computes instead."""
    logger = logging.getLogger("keras_pvt.engines")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = True


def say_backend(used: int = 1) -> None:
    """Print, on stderr if that is a terminal, which backend and device compute.

    Args:
        used: how many devices do.
    """
    if not sys.stderr.isatty():
        return
    from keras_pvt.ops import BACKEND, device

    others = [name for name in default_backend.OPEN if name != BACKEND]
    choice = f" (installed too: {', '.join(others)}; KERAS_BACKEND chooses)" if others else ""
    name, count = device()
    of = f", {used} of {count}" if used < count else f", {used} in all" if used > 1 else ""
    print(f"backend: {BACKEND}{choice}; device: {name}{of}", file=sys.stderr, flush=True)


def add_traceback_option(parser: argparse.ArgumentParser) -> None:
    """Add `--traceback`, which `exit_status` reads."""
    parser.add_argument(
        "--traceback",
        action="store_true",
        default=argparse.SUPPRESS,  # a command's default would undo what stands before it
        help="after an error, show where in the code it came from",
    )


def exit_status(run: Callable[[argparse.Namespace], int | None], options) -> int:
    """Run a program; what is wrong with its input is one line on stderr.

    Args:
        run: does the work; gives the exit status, None for 0.
        options: that it takes. With `traceback`, or KERAS_PVT_TRACEBACK=1 in the environment,
            an error shows its whole traceback.
    Returns:
        Exit status: 1 after an error, 130 after Ctrl-C.
    """
    try:
        return run(options) or 0
    except BrokenPipeError:
        # The reader has enough, as in `keras-pvt predict photos | head`. What is left must
        # not be written when Python closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ImportError) as error:
        show_error(error, options)
        return 1
    except KeyboardInterrupt:
        return 130


def show_error(error: Exception, options: argparse.Namespace) -> None:
    """Write an error to stderr, as one line unless its traceback is asked for."""
    wanted = os.environ.get("KERAS_PVT_TRACEBACK", "0") not in ("", "0")
    if wanted or getattr(options, "traceback", False):
        traceback.print_exception(error)
        return
    # Our own messages say what to do; those of other libraries can be hard to place.
    foreign = not isinstance(error, OSError) and not _raised_here(error)
    hint = ["(--traceback shows where)"] if foreign else []
    print("error:", *str(error).split(), *hint, file=sys.stderr)


def _raised_here(error: Exception) -> bool:
    """Whether this package raised the error, and not a library that it calls."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return frames[-1].f_globals.get("__name__", "").startswith("keras_pvt.")
