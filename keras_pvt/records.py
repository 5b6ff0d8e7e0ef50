"""What the records of systems and of families share. Standard library only.

A record names code as "package.module:name", which is imported when it is used. So a module that
reads the records imports nothing of what they are about, and imports go one way.
"""

import pkgutil
from typing import Any, Protocol, TypeVar

# An object, or where it is: "package.module:name".
Reference = Any


def resolve(reference: Reference) -> Any:
    """The object that a reference names; an object stands for itself."""
    return pkgutil.resolve_name(reference) if isinstance(reference, str) else reference


class Record(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str: ...


R = TypeVar("R", bound=Record)


class Registry(dict[str, R]):
    """Records by their names.

    Args:
        kind: what a record is of, for messages: "family".
    """

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind

    def register(self, record: R) -> R:
        """Add a record.

        Raises:
            ValueError: there is one of this name.
        """
        if record.name in self:
            raise ValueError(
                f"there is a {self.kind} {record.name!r} already; give yours another name."
            )
        self[record.name] = record
        return record

    def named(self, name: str) -> R:
        """The record of a name.

        Raises:
            ValueError: there is none.
        """
        if not isinstance(name, str) or name not in self:
            raise ValueError(f"no {self.kind} {name!r}; there are {', '.join(self)}.")
        return self[name]
