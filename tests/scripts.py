"""Programs of the project as modules, for the tests."""

import importlib.util
import pathlib
import types

ROOT = pathlib.Path(__file__).parents[1]


def load_script(path: str) -> types.ModuleType:
    """The module of a program, such as "examples/evaluate_segmenter.py"."""
    spec = importlib.util.spec_from_file_location(pathlib.Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
