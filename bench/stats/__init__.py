"""Which differences are real: tests, intervals and corrections as pure functions on arrays.

May import nothing of ours.
Start at `variance` (what every test and interval is made of); `delong` (test images), `seeds` and
`overdatasets` say where it comes from, `multiple` what follows for many methods at once.
"""

import numpy as np
from numpy.typing import NDArray

#: An array of floating-point numbers, of any shape.
Floats = NDArray[np.float64]
