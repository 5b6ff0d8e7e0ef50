"""An extension of Griffe: the package as its users see it."""

import ast
import re

import griffe

# Sections that Griffe has not, as it names them; tests/test_docstrings.py lists all that there are.
TITLES = {
    "Call arguments": "Other Parameters: Call arguments",
    "Labels to train on": "Note: Labels to train on",
    "Source": "Info: Source",
}
SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Attributes|Example|Examples|Note|"
                     + "|".join(TITLES) + r"):$", re.MULTILINE)  # fmt: skip


class PublicNames(griffe.Extension):
    """What docstrings, the constructors of models and functions named as modules are to users."""

    def on_package(self, *, pkg: griffe.Module, loader, **kwargs) -> None:
        """Change the package once it is read."""
        for value in _own(pkg):
            if value.docstring is not None:
                text = _markdown(value.docstring.value)
                # Griffe knows no constructor of a named tuple.
                fields = value.is_class and any(str(base) == "NamedTuple" for base in value.bases)
                if fields:
                    text = text.replace("Args:", "Attributes:")
                if value.is_class:  # what its call gives, which has no annotation to show
                    text = text.replace("\nReturns:\n", "\nInfo: Returns\n")
                value.docstring.value = text
        _add_constructors(pkg["models.classifier"])
        _add_members(pkg["hub"])
        _uncover_functions(pkg)


def _own(value):
    yield value
    for member in value.members.values():
        if not member.is_alias:
            yield from _own(member)


def _markdown(text: str) -> str:
    """A docstring with a blank line above each section, and without marks that it does not mean."""
    pieces = text.split("`")  # code is every other one
    pieces[::2] = [_plain(piece) for piece in pieces[::2]]
    return SECTION.sub(lambda match: f"\n{TITLES.get(match[1], match[1] + ':')}", "`".join(pieces))


def _plain(prose: str) -> str:
    """Stars of powers and products, and brackets such as NAME[@REVISION][/FILE], as they are."""
    starred = re.sub(r"(?<=[^\s*])( ?)(\*+)(?=[ \w])", lambda m: m[1] + r"\*" * len(m[2]), prose)
    return starred.replace("][", r"]\[")


def _add_constructors(module: griffe.Module) -> None:
    """`PVTTiny = _named("PVTTiny", ...)` as the function that it is."""
    whole = module["classifier"]
    constants = {}
    for name, member in list(module.members.items()):
        if member.is_alias or not member.is_attribute:
            continue
        value = member.value
        if not (isinstance(value, griffe.ExprCall) and str(value.function) == "_named"):
            constants[name] = str(value)
            continue
        call = ast.parse(str(value), mode="eval").body
        assert isinstance(call, ast.Call)
        _, _, weights, title = (_text(argument, constants) for argument in call.args)
        parameters = griffe.Parameters(
            *(
                griffe.Parameter(
                    p.name,
                    annotation=p.annotation,
                    kind=p.kind,
                    default=repr(weights) if p.name == "weights" else p.default,
                )
                for p in whole.parameters
                if p.name != "variant"
            )
        )
        function = griffe.Function(name, parameters=parameters, returns=whole.returns)
        function.lineno = function.endlineno = member.lineno
        same = "Its arguments, result and errors are those of [`classifier`][keras_pvt.classifier]"
        function.docstring = griffe.Docstring(
            f"{title}\n\n{same}, but for `variant`.", parent=function, parser="google"
        )
        module.set_member(name, function)


def _text(argument: ast.expr, constants: dict[str, str]):
    """Value of a literal, or of an f-string of literals."""
    known = {}
    for node in ast.walk(argument):
        if isinstance(node, ast.Name):
            known[node.id] = ast.literal_eval(constants[node.id])
    code = compile(ast.Expression(argument), "classifier.py", "eval")
    return eval(code, {"__builtins__": {}}, known)


def _add_members(hub: griffe.Module) -> None:
    """The classes that `keras_pvt.hub` has where KerasHub is installed, `__all__ += _MEMBERS`."""
    members = ast.literal_eval(str(hub["_MEMBERS"].value))
    for name in members:
        hub.members[name] = griffe.Alias(name, hub["members"][name], parent=hub)
    hub.exports = [*(name for name in hub.exports or () if isinstance(name, str)), *members]


def _uncover_functions(package: griffe.Module) -> None:
    """What a package takes from its module of the same name, which hides it in Griffe's tree."""
    for module in [
        *(m for m in package.members.values() if not m.is_alias and m.is_module),
        package,
    ]:
        for key in module.exports or ():
            member = module.members.get(key)
            if member is None:
                continue
            value = member.final_target if member.is_alias else member
            if value.is_module and value.exports is None and key in value.members:
                module.members[key] = griffe.Alias(key, value.members[key], parent=module)
