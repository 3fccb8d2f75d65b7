"""anobench: the benchmark harness and leaderboard for image anomaly detection.

The names that an adapter needs stand in ``__init__.pyi``. Each is loaded when it is first used, so that
``import bench`` stays quick and listing adapters never imports torch.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
