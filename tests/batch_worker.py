"""A job that ends by kill -9 at a moment, for the tests: SOURCE OUT MOMENT ROWS ADDRESS.

The model gives the mean colour of each image, and Keras is not imported. Each image that is read
leaves a line in OUT.log. MOMENT is "never", or one of `MOMENTS`.
"""

import os
import pathlib
import signal
import sys

MOMENTS = ("listing", "computing", "writing", "moving", "moved")
AFTER = 3  # chunks that are finished before the kill


class MeanColours:
    """Stands in for a task."""

    network = None

    def __init__(self, log, pause=0.0):
        self._log, self._pause = log, pause

    def answers(self, sources, batch_size):
        import time

        import numpy as np

        from keras_pvt.utils.image_files import read_in_batches
        from keras_pvt.utils.images import load_image

        for files in read_in_batches(sources, load_image, batch_size):
            for file in files:
                time.sleep(self._pause)
                with open(self._log, "a") as log:
                    log.write(f"{file.path.name}\n")
                if file.error is not None:
                    yield None, file.error
                else:
                    mean = np.mean(file.image, axis=(0, 1), dtype="float64")
                    yield {"embedding": mean.astype("float16")}, None


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def patch(log, moment="never"):
    """Put the stand-in and the kill in their places."""
    from keras_pvt.batch import identity, job, plan, tasks

    identity.of_model = lambda options: options.model
    tasks.load = lambda options, images: MeanColours(log)
    written, moved = plan.write, job.commit

    def write(folder, name, rows, form):
        written(folder, name, rows, form)
        if moment == "writing" and name.split("/")[-1].startswith(f"{AFTER:06d}"):
            with folder.open(name, "rb") as file:
                half = file.read()
            with folder.open(name, "wb") as file:
                file.write(half[: len(half) // 2])
            die()

    def commit(own, part):
        if moment == "moving" and part.chunk == AFTER:
            die()
        moved(own, part)
        if moment == "moved" and part.chunk == AFTER:
            die()

    plan.write, job.commit = write, commit
    if moment == "listing":
        listed = job.read_manifest

        def read_manifest(*arguments):
            listed(*arguments)
            die()

        job.read_manifest = read_manifest
    if moment == "computing":
        compute = plan.Worker.compute

        def computed(self, chunk):
            if chunk != AFTER:
                return compute(self, chunk)
            answers = self._task.answers(map(self._contents.source, self._rows(chunk)), 2)
            next(answers)
            die()

        plan.Worker.compute = computed


if __name__ == "__main__":
    source, out, moment, rows, address = sys.argv[1:]
    sys.argv[0] = "keras-pvt"  # so that Keras stays away
    os.environ.setdefault("KERAS_BACKEND", "torch")
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
    from keras_pvt.batch import Job

    patch(f"{out}.log", moment)
    job = Job("embed", "a-model", source, out, rows=int(rows), batch_size=4, engine="keras")
    print(job.run(address))
