"""How a program of this project ends."""

import argparse
import os
import sys
from collections.abc import Callable


def exit_status(run: Callable[[argparse.Namespace], int | None], options) -> int:
    """Run a program; what is wrong with its input is one line on stderr.

    Args:
        run: does the work; gives the exit status, None for 0.
        options: that it takes.
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
        print("error:", *str(error).split(), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
