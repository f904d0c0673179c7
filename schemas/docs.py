"""What the source says of a class and of its fields, for whoever reads about events without reading code.

A field, or a member of an enumeration, is explained by the string that stands below it, as editors show it. Python
drops those strings, so they are read from the source; without it there is nothing to say.
"""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache

__all__ = ["meaning", "notes"]


def meaning(cls: type) -> str:
    """The first paragraph of the class's docstring, on one line; empty where it has none of its own."""
    return _first_paragraph(vars(cls).get("__doc__") or "")


def notes(cls: type) -> Mapping[str, str]:
    """Name of a field or member → what stands below it, on one line, for those that have something; bases' included."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        found |= _of_module(base.__module__).get(base.__qualname__, {})
    return found


@cache
def _of_module(name: str) -> dict[str, dict[str, str]]:
    try:
        source = inspect.getsource(sys.modules[name])
    except (OSError, TypeError):  # built in, or shipped without its source
        return {}
    return {node.name: dict(_notes(node)) for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}


def _notes(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in zip(node.body, node.body[1:], strict=False):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, _first_paragraph(text)
            case _:
                pass


def _first_paragraph(text: str) -> str:
    return " ".join(inspect.cleandoc(text).split("\n\n")[0].split())
