"""Processes of which a test asks what they import."""

import os
import pathlib
import subprocess
import sys
import tempfile

AT_EXIT = """
import atexit, os, pathlib, sys
names = lambda: "\\n".join(sorted(sys.modules))
atexit.register(lambda: pathlib.Path(os.environ["MODULES_GO_TO"]).write_text(names()))
"""


def run_and_list(words) -> tuple[subprocess.CompletedProcess, set[str]]:
    """Run Python, which must succeed.

    The log of -X importtime lacks what is imported while stderr is kept quiet.

    Args:
        words: what follows `python` on the command line.
    Returns:
        The process, with its output as text, and the names of all modules that it has imported.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "sitecustomize.py").write_text(AT_EXIT)
        before = os.environ.get("PYTHONPATH")
        told = {
            "PYTHONPATH": os.pathsep.join([folder, *([before] if before else [])]),
            "MODULES_GO_TO": str(path / "modules"),
        }
        done = subprocess.run(
            [sys.executable, *words],
            env=os.environ | told,
            capture_output=True,
            text=True,
            check=True,
        )
        return done, set((path / "modules").read_text().split())
