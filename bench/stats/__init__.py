"""Which differences are real: tests, intervals and corrections as pure functions on arrays.

May import nothing of ours.
Start at `across` (tests over data sets), `bootstrap` and `delong` (on test images), `multiple` (corrections).
"""

import numpy as np
from numpy.typing import NDArray

#: An array of floating-point numbers, of any shape.
Floats = NDArray[np.float64]
