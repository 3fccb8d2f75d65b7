"""A stand-in for a GPU: tensors that compute on the host, but live on a device named ``cuda:0``.

For machines without one. Inside `standin`, code that asks for ``cuda`` gets it: tensors report that device,
mix with the host's only where CUDA lets them, refuse NumPy, and draw other random numbers from a generator of
the device than the host draws. Values are the host's otherwise. It counts what makes a GPU slow: kernels,
copies, and calls for which the host waits, each with the line of `bench` or of an adapter that asked.

Two modes of torch do it. One stands before Python's calls (devices, transfers, NumPy); the other below
autograd sees every operator, of backward passes too. The device's memory is the set of storages that were
made there. A stand-in knows nothing of speed, rounding, streams, or autocast's own kernels.

May import `bench.data` and torch. Start at `cuda.py`.
"""

from bench.run.standin.cuda import standin as standin
from bench.run.standin.memory import Counts as Counts
