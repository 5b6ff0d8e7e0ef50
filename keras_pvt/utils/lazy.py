"""Names of a package that are imported when they are asked for."""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def importer(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose modules need Keras, though not all that is in it does.

    A command that needs none of those modules starts seconds sooner.

    Args:
        package: its `__name__`.
        homes: names by the module that has them, as "ops.masks"; a module without any is itself
            what its last part names.
    Returns:
        The function. It raises AttributeError for other names.
    """
    places = {name: module for module, names in homes.items() for name in names}
    modules = {module.rpartition(".")[2]: module for module, names in homes.items() if not names}

    def imported(name: str) -> Any:
        place = modules.get(name, places.get(name))
        if place is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = importlib.import_module(f"{package}.{place}")
        value = found if name in modules else getattr(found, name)
        setattr(sys.modules[package], name, value)
        return value

    return imported
