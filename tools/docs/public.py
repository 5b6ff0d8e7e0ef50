"""The public names of the package, read from its source: nothing is imported.

Public is what `__all__` leads to from `keras_pvt`, and `keras_pvt.hub`, which is imported by
whoever needs it. tests/test_docstrings.py checks the same names in the imported package.
"""

import pathlib
import re
from collections.abc import Iterator

import griffe
import protocol

ROOT = pathlib.Path(__file__).parents[2]
ON_DEMAND = ("hub",)


def load() -> griffe.Module:
    """The package."""
    # As in mkdocs.yml.
    extensions = griffe.load_extensions(
        "dataclasses", pathlib.Path(__file__).with_name("docstrings.py")
    )
    package = griffe.load(
        "keras_pvt", search_paths=[str(ROOT)], extensions=extensions, resolve_aliases=True
    )
    assert isinstance(package, griffe.Module)
    return package


def target(value):
    """The object that a name stands for."""
    return value.final_target if value.is_alias else value


def names(module) -> list[str]:
    """What `__all__` of a module has, in its order."""
    return [str(name) for name in module.exports or ()]


def rooms(module, name: str = "keras_pvt") -> dict[str, griffe.Module]:
    """The public modules by their names, the package first."""
    found = {name: module}
    more = ON_DEMAND if name == "keras_pvt" else ()
    for key in sorted([*names(module), *more]):
        if module[key].is_module:
            found |= rooms(target(module[key]), f"{name}.{key}")
    return found


def undocumented(module, name: str) -> Iterator[str]:
    """Public classes, functions and methods of a module that have no docstring.

    Properties may be among the attributes in the docstring of their class.
    """
    if not module.has_docstring:
        yield name
    for key in names(module):
        value = target(module[key])
        if value.is_module or value.is_attribute:  # of a constant, its value says what it is
            continue
        if not value.has_docstring:
            yield f"{name}.{key}"
            continue
        for method, member in value.members.items() if value.is_class else ():
            shown = not member.is_alias and (member.is_function or "property" in member.labels)
            hidden = method.startswith("_") or re.fullmatch(protocol.NAMES, method)
            described = member.has_docstring or f"\n    {method}: " in value.docstring.value
            if shown and not hidden and not described:
                yield f"{name}.{key}.{method}"
