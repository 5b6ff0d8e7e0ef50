"""Without the log that C++ libraries write past Python."""

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

_ONE_AT_A_TIME = threading.RLock()


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Leave out what is written to the file descriptor of stderr, unless what runs here fails, and
    not by a ValueError, which says itself what is wrong.

    TensorFlow 2.21 tells of oneDNN and of missing GPUs there before it looks at
    TF_CPP_MIN_LOG_LEVEL, and LiteRT of each delegate. What Python writes to `sys.stderr` is shown
    as ever. Threads wait for each other, as a process has one descriptor.
    """
    with _ONE_AT_A_TIME, contextlib.ExitStack() as stack:
        sys.stderr.flush()
        shown = stack.enter_context(os.fdopen(os.dup(2), "w", buffering=1))
        log = stack.enter_context(tempfile.TemporaryFile())
        if _is_of_descriptor_2(sys.stderr):
            stack.enter_context(contextlib.redirect_stderr(shown))
        os.dup2(log.fileno(), 2)
        try:
            yield
        except ValueError:
            raise
        except BaseException:
            log.seek(0)
            os.write(shown.fileno(), log.read())
            raise
        finally:
            os.dup2(shown.fileno(), 2)


def _is_of_descriptor_2(stream) -> bool:
    try:
        return stream.fileno() == 2
    except (OSError, AttributeError, ValueError):  # such as what a test puts in its place
        return False
