"""What a run keeps, to go on after it was stopped."""

import json
import pathlib

from keras_pvt.conversion.files import replacing


def epochs_done(backup: pathlib.Path, history: pathlib.Path) -> int:
    """Whole epochs that `keras.callbacks.BackupAndRestore` has kept in a folder.

    What the log has beyond them, from an epoch that ended but was not kept, is cut off.
    """
    state = backup / "training_metadata.json"
    done = json.loads(state.read_text())["epoch"] if state.exists() else 0
    if history.exists():
        lines = history.read_text().splitlines(keepends=True)
        with replacing(history) as temporary:
            temporary.write_text("".join(lines[: done + 1] if done else []))
    return done
