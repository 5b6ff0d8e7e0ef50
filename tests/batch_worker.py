"""A job that ends by kill -9 at a moment, for the tests: SOURCE OUT MOMENT ROWS ADDRESS [VICTIM].

The model gives the mean colour of each image, and Keras is not imported. Each image that is read
leaves a line in OUT.log. MOMENT is "never", or one of `MOMENTS`. On Ray (ADDRESS "here") VICTIM is
the driver, also where a worker computes or writes, or that worker.
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
    """Kill the victim, once: a worker that takes the place of another lives."""
    try:
        os.close(os.open(os.environ["BATCH_LOG"] + ".killed", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(int(os.environ.get("BATCH_DRIVER", os.getpid())), signal.SIGKILL)


def in_worker():
    """Prepare a worker of Ray's, before it gets its first task."""
    sys.argv[0] = "keras-pvt"
    patch(os.environ["BATCH_LOG"], os.environ["BATCH_MOMENT"])


def ray_options(log, moment="never", driver=None):
    """Of `ray.init`, for workers that are patched; they die, or the driver of this number does."""
    folder = pathlib.Path(__file__).parent
    env = {"PYTHONPATH": f"{folder}:{folder.parent}", "BATCH_LOG": log, "BATCH_MOMENT": moment}
    if driver is not None:
        env["BATCH_DRIVER"] = str(driver)
    hook = "batch_worker.in_worker"
    return {
        "runtime_env": {"env_vars": env, "worker_process_setup_hook": hook},
        "include_dashboard": False,
        "log_to_driver": False,
        "logging_level": "ERROR",
    }


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
            written(folder, name, rows, form)  # by the worker that took the place

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
            next(self._task.answers(map(self._contents.source, self._rows(chunk)), 2))
            die()
            return compute(self, chunk)

        plan.Worker.compute = computed


def hear_ctrl_c():
    """What a shell starts in the background ignores it, and hands that on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def command(log, pause, *words):
    """`keras-pvt` with the stand-in, which takes a while for each image."""
    hear_ctrl_c()
    sys.argv[0] = "keras-pvt"
    patch(log)
    from keras_pvt import cli
    from keras_pvt.batch import tasks

    cli.start_keras = lambda: None
    tasks.load = lambda options, images: MeanColours(log, float(pause))
    return cli.main(list(words))


def main(source, out, moment, rows, address, victim="driver"):
    log = f"{out}.log"
    os.environ["BATCH_LOG"] = log
    sys.argv[0] = "keras-pvt"  # so that Keras stays away
    os.environ.setdefault("KERAS_BACKEND", "torch")
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
    from keras_pvt.batch import Job

    patch(log, moment)
    if address != "local":
        import ray

        os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112, as Ray has it
        driver = os.getpid() if victim == "driver" else None
        ray.init("local", num_cpus=2, **ray_options(log, moment, driver))
    job = Job("embed", "a-model", source, out, rows=int(rows), batch_size=4, engine="keras")
    print(job.run(address))


if __name__ == "__main__":
    main(*sys.argv[1:])
