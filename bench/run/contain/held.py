"""One thing of the process that code can change: how to read it, and how to put it back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Held:
    """One thing that all cells of a process share.

    Attributes
    ----------
    name : str
        In words, for the record: ``"torch's default dtype"``.
    read : callable
        Returns its value; compared with ``!=``.
    put : callable or None
        Puts a value back; None where that is impossible.
    by_imports : {"", "undo", "keep"}
        What to do, without a word, where importing a library may have changed it.
    """

    name: str
    read: Callable[[], Any]
    put: Callable[[Any], object] | None
    by_imports: Literal["", "undo", "keep"] = ""

    def value(self) -> Any:
        """Return its value; what cannot be read any more is another value than what could."""
        try:
            return self.read()
        except Exception as error:
            return f"unreadable: {type(error).__name__}"

    def restore(self, value: Any) -> bool:
        """Put a value back; return whether it is there again."""
        if self.put is None:
            return False
        try:
            self.put(value)
            return not differs(self.read(), value)
        except Exception:
            return False


def differs(one: object, other: object) -> bool:
    """Return whether two values differ; those that cannot be compared do."""
    try:
        return bool(one != other)
    except Exception:
        return True


class Same:
    """Objects that are compared by identity: functions, streams, lists that must stay the same lists."""

    __slots__ = ("objects",)

    def __init__(self, *objects: object) -> None:
        self.objects = objects

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Same) or len(self.objects) != len(other.objects):
            return False
        return all(mine is its for mine, its in zip(self.objects, other.objects, strict=True))

    __hash__ = None  # type: ignore[assignment]
