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
# What Keras calls by itself: the class says what goes in and what comes out.
PROTOCOL = {
    "build", "call", "compute_loss", "compute_mask", "compute_output_shape", "compute_output_spec",
    "from_config", "get_config", "result", "update_state", "update_step",
}  # fmt: skip
# A description that sends the reader elsewhere, or to the entry before.
ELSEWHERE = re.compile(
    r"(see|as in|as of|as for|as given|as there|the same|likewise|ditto)\b", re.I
)
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
                if not method.startswith("_") and method not in PROTOCOL:
                    member = inspect.getattr_static(value, method)
                    if isinstance(member, property | functools.cached_property) or callable(
                        getattr(value, method)
                    ):
                        objects[f"{name}.{method}"] = member
    return objects


OBJECTS = public_objects()


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
    """Names of the errors that a function raises, itself or by private functions beside it."""
    module = sys.modules[function.__module__]
    names = set()
    for node in own_nodes(syntax(function)):
        if isinstance(node, ast.Raise) and node.exc is not None:
            error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(error, ast.Name):
                names.add(error.id)
        if not isinstance(node, ast.Call):
            continue
        called = (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        )
        if called in CHECKS:
            names.add("ValueError")
        elif called.startswith("_") and not called.startswith("__") and called not in seen:
            helper = getattr(module, called, None) or getattr(owner, called, None)
            helper = helper and function_of(helper)
            if inspect.isfunction(helper) and helper.__module__ == module.__name__:
                names |= raised(helper, owner, (*seen, called))
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
        assert title in PARSER.sections, f"no section {title!r} is known"
        assert not rest.strip(), f"{title!r} stands alone on its line"
    for meta in document.meta:
        entry = ": ".join(meta.args[1:])
        assert meta.description, f"{meta.args} says nothing"
        assert not ELSEWHERE.match(meta.description.strip()), f"{entry} sends the reader elsewhere"
        assert "," not in entry, f"{entry!r} is two entries"


@pytest.mark.parametrize("name", OBJECTS)
def test_arguments_are_those_of_the_signature(name):
    value = OBJECTS[name]
    document = parsed(value)
    documented = [parameter for parameter in named(document, "param") if parameter != "**kwargs"]
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
    if "__init__" not in vars(cls) and not dataclasses.is_dataclass(cls):
        if not hasattr(cls, "_fields"):  # it is its base's constructor, which is documented there
            return [] if cls.__init__ is object.__init__ else inherited(cls)
    names = taken(cls)
    if dataclasses.is_dataclass(cls):
        private = {field.name for field in dataclasses.fields(cls) if not field.init}
        names = [name for name in names if name not in private]
    return names


def inherited(cls) -> list[str]:
    owner = next(base for base in cls.__mro__ if "__init__" in vars(base))
    return taken(cls) if owner.__module__.startswith("keras_pvt") else []


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
        functions, owner = [function_of(value)], None
        if "." in name and not isinstance(value, types.FunctionType | types.ModuleType):
            owner = None
        returns = any(
            isinstance(node, ast.Return)
            and node.value is not None
            and not (isinstance(node.value, ast.Constant) and node.value.value is None)
            for node in own_nodes(syntax(functions[0]))
        )
        yields = any(
            isinstance(node, ast.Yield | ast.YieldFrom) for node in own_nodes(syntax(functions[0]))
        )
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
