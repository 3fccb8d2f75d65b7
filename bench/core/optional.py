"""Optional libraries, imported when they are first used."""

from __future__ import annotations

import importlib
from types import ModuleType

from bench.core.errors import AnobenchError


def optional_import(module: str, name: str, purpose: str) -> ModuleType:
    """Import a library that one of the package's extras installs.

    Parameters
    ----------
    module : str
    name : str
        The extra: ``pip install 'anobench[NAME]'``.
    purpose : str
        What needs it, for the message.

    Raises
    ------
    AnobenchError
        It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise AnobenchError(
            f"{purpose} needs {module}, which is not installed ({error}); pip install 'anobench[{name}]'"
        ) from None
