"""Public docstrings, as a documentation tool reads them, against what the code takes and raises.

Public is what `__all__` leads to from `keras_pvt`. Conventions: Google style; a class documents
its constructor under "Args" and, where it is called, `call` under "Call arguments"; what a
constructor hands on to Keras as `**kwargs` (name, dtype, trainable) is Keras's to document.
"""

import ast
import builtins
import dataclasses
import functools
import inspect
import pathlib
import re
import sys
import textwrap
import types

import keras
import pytest
from docstring_parser.google import DEFAULT_SECTIONS, GoogleParser, Section, SectionType
from scripts import load_script

import keras_pvt

ROOT = pathlib.Path(__file__).parents[1]

PARSER = GoogleParser(
    [
        *DEFAULT_SECTIONS,
        Section("Call arguments", "call", SectionType.MULTIPLE),
        Section("Labels to train on", "labels", SectionType.SINGULAR),
        Section("Source", "source", SectionType.SINGULAR),
    ]
)
PROTOCOL = re.compile(load_script("tools/docs/protocol.py").NAMES)
# A description that sends the reader elsewhere, or to the entry before.
ELSEWHERE = re.compile(
    r"(see|as in|as of|as for|as given|as there|the same|likewise|ditto)\b", re.I
)
METHODS = (
    types.FunctionType, classmethod, staticmethod, property, functools.cached_property
)  # fmt: skip
CHECKS = {"check_positive", "check_rate", "check_map", "check_format"}  # each raises a ValueError


def modules(module=keras_pvt, seen=None) -> dict[str, types.ModuleType]:
    """The public modules by their names."""
    seen = {} if seen is None else seen
    if module.__name__ not in seen:
        seen[module.__name__] = module
        for name in module.__all__:
            if isinstance(getattr(module, name), types.ModuleType):
                modules(getattr(module, name), seen)
    return seen


def public_objects() -> dict[str, object]:
    """Public classes and functions, and the methods of those classes, by their names."""
    found = {}
    for module_name, module in modules().items():
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isroutine(value):
                found.setdefault(value, f"{module_name}.{name}")
    objects = {name: value for value, name in found.items()}
    for name, value in list(objects.items()):
        if inspect.isclass(value):
            for method in vars(value):
                member = inspect.getattr_static(value, method)
                hidden = method.startswith("_") or PROTOCOL.fullmatch(method)
                if isinstance(member, METHODS) and not hidden:
                    objects[f"{name}.{method}"] = member
    return objects


OBJECTS = public_objects()
pytestmark = pytest.mark.one_backend("reads docstrings")


def function_of(value):
    """The function behind a method, a property or itself."""
    if isinstance(value, property):
        return value.fget
    if isinstance(value, functools.cached_property):
        return value.func
    return inspect.unwrap(getattr(value, "__func__", value))


def parsed(value):
    text = value.__doc__ if inspect.isclass(value) else function_of(value).__doc__
    return PARSER.parse(text)


def named(document, key: str) -> list[str]:
    return [meta.args[1] for meta in document.meta if meta.args[0] == key]


def taken(function) -> list[str]:
    """Arguments that have to be documented."""
    parameters = inspect.signature(function).parameters.values()
    return [
        parameter.name
        for parameter in parameters
        if parameter.name not in ("self", "cls")
        and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]


def syntax(function) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]


def own_nodes(tree):
    """The nodes of a function, but for those of functions inside it."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            yield node
            yield from own_nodes(node)


def raised(function, owner=None, seen=()) -> set[str]:
    """Names of the errors that leave a function, by itself or by private functions beside it."""
    module = sys.modules[function.__module__]

    def within(node) -> set[str]:
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            return set()
        names = set()
        if isinstance(node, ast.Raise) and node.exc is not None:
            error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            names |= {error.id} if isinstance(error, ast.Name) else set()
        if isinstance(node, ast.Call):
            names |= by_call(node.func)
        for child in ast.iter_child_nodes(node):
            names |= within(child)
        if isinstance(node, ast.Try):
            tried = set().union(*map(within, node.body))
            kinds = [handler.type for handler in node.handlers]
            caught = {n.id for kind in kinds for n in ast.walk(kind) if isinstance(n, ast.Name)}
            others = (*node.handlers, *node.orelse, *node.finalbody)
            names = (tried - caught).union(*map(within, others))
        return names

    def by_call(called) -> set[str]:
        name = getattr(called, "attr", None) or getattr(called, "id", "")
        if name in CHECKS:
            return {"ValueError"}
        if not name.startswith("_") or name.startswith("__") or name in seen:
            return set()
        helper = getattr(module, name, None) or getattr(owner, name, None)
        helper = helper and function_of(helper)
        if not inspect.isfunction(helper) or helper.__module__ != module.__name__:
            return set()
        return raised(helper, owner, (*seen, name))

    names = set().union(*map(within, syntax(function).body))
    return names - {"NotImplementedError", "StopIteration"}


def covers(documented: list[str], name: str, module) -> bool:
    """Whether an error, or one that it is a kind of, is documented."""
    error = getattr(module, name, None) or getattr(builtins, name, None)
    if not inspect.isclass(error):
        return True  # a variable that holds an error which was caught
    return any(base.__name__ in documented for base in error.__mro__)


@pytest.mark.parametrize("name", OBJECTS)
def test_docstring_is_whole(name):
    value = OBJECTS[name]
    function = None if inspect.isclass(value) else function_of(value)
    text = inspect.cleandoc((value if function is None else function).__doc__ or "")
    assert text, f"{name} has no docstring"
    document = parsed(value)
    assert document.short_description.rstrip().endswith((".", ":")), "the first line is a sentence"
    titles = re.findall(r"^([A-Z][a-z]+(?: [a-z]+)*):(.*)$", text, flags=re.M)
    for title, rest in titles:
        assert (title in PARSER.sections) == (not rest.strip()), f"{title!r} is no section"
    for meta in document.meta:
        entry = ": ".join(meta.args[1:])
        assert meta.description, f"{meta.args} says nothing"
        assert not ELSEWHERE.match(meta.description.strip()), f"{entry} sends the reader elsewhere"
        assert "," not in entry, f"{entry!r} is two entries"


@pytest.mark.parametrize("name", OBJECTS)
def test_arguments_are_those_of_the_signature(name):
    value = OBJECTS[name]
    document = parsed(value)
    documented = [name for name in named(document, "param") if not name.startswith("**")]
    if inspect.isclass(value):
        if issubclass(value, BaseException):
            return
        assert documented == taken_by_constructor(value)
        if "call" in vars(value) and issubclass(value, keras.Layer | keras.losses.Loss):
            assert named(document, "call") == taken(value.call)
    elif not isinstance(value, property | functools.cached_property):
        assert documented == taken(function_of(value))


def taken_by_constructor(cls) -> list[str]:
    """Arguments that a class's docstring owes its reader."""
    if getattr(cls, "_is_protocol", False):
        return []
    if "__init__" not in vars(cls) and not hasattr(cls, "_fields"):
        owner = next(base for base in cls.__mro__ if "__init__" in vars(base))
        return taken(cls) if owner.__module__.startswith("keras_pvt.") else []
    names = taken(cls)
    if dataclasses.is_dataclass(cls):
        private = {field.name for field in dataclasses.fields(cls) if not field.init}
        names = [name for name in names if name not in private]
    return names


@pytest.mark.parametrize("name", OBJECTS)
def test_results_and_errors_are_documented(name):
    value = OBJECTS[name]
    document = parsed(value)
    errors = [error.type_name for error in document.raises]
    if inspect.isclass(value):
        functions = [
            vars(value)[key] for key in ("__init__", "__post_init__") if key in vars(value)
        ]
        functions = [function for function in functions if function.__module__ == value.__module__]
        functions = [f for f in functions if "<string>" not in f.__code__.co_filename]
        owner = value
    else:
        functions, owner = [function_of(value)], OBJECTS.get(name.rpartition(".")[0])
        tree = syntax(functions[0])
        annotation = inspect.signature(functions[0]).return_annotation
        interface = len(tree.body) == 1 and annotation not in (
            None,
            "None",
            inspect.Signature.empty,
        )
        returns = interface or any(
            isinstance(node, ast.Return)
            and node.value is not None
            and not (isinstance(node.value, ast.Constant) and node.value.value is None)
            for node in own_nodes(tree)
        )
        yields = any(isinstance(node, ast.Yield | ast.YieldFrom) for node in own_nodes(tree))
        if not isinstance(value, property | functools.cached_property):
            assert bool(document.many_returns) == (returns or yields)
    for function in functions:
        for error in raised(function, owner):
            assert covers(errors, error, sys.modules[function.__module__]), f"{error} is raised"


@pytest.mark.parametrize("name", modules())
def test_public_names_exist(name):
    module = modules()[name]
    assert module.__doc__
    assert len(set(module.__all__)) == len(module.__all__)
    for public in module.__all__:
        value = getattr(module, public)
        assert (
            isinstance(value, types.ModuleType | str | int | float | tuple | dict) or value.__doc__
        )


# Modules that are public, and imported by whoever needs them, as they need another library or
# are programs.
ON_DEMAND = {"keras_pvt.hub", "keras_pvt.cli"}


def mentioned() -> set[str]:
    """Dotted names of the package in the documents, also those that their code imports."""
    names = set()
    for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        text = document.read_text()
        names |= set(re.findall(r"\bkeras_pvt(?:\.[A-Za-z_]\w*)+", text))
        for module, imported in re.findall(r"from (keras_pvt[\w.]*) import ([\w, ]+)", text):
            names |= {f"{module}.{name.strip()}" for name in imported.split(",")}
    return names


@pytest.mark.parametrize("name", sorted(mentioned()))
def test_documents_use_public_names_only(name):
    if any(name == module or name.startswith(f"{module}.") for module in ON_DEMAND):
        assert (ROOT / "keras_pvt" / name.split(".")[1]).with_suffix(".py").exists() or (
            ROOT / "keras_pvt" / name.split(".")[1]
        ).is_dir()
        return
    value = keras_pvt
    for part in name.split(".")[1:]:
        if isinstance(value, types.ModuleType):
            assert part in value.__all__, f"{name}: {part} is not public in {value.__name__}"
        value = getattr(value, part)
