"""anobench: the benchmark harness and leaderboard for image anomaly detection.

What an adapter needs, and `run` and `load` for Python, stand in ``__init__.pyi``. Each name is loaded when it
is first used, so that ``import bench`` stays quick and listing adapters never imports torch.
"""

import importlib

import lazy_loader

__version__ = "0.1.0"

_attribute, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__", "run"]


def __getattr__(name: str) -> object:
    if name == "run":  # the package of that name, which can be called
        return importlib.import_module("bench.run")
    return _attribute(name)
