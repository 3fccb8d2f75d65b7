"""What cells cost: seconds and peak memory, learned from past records, else guessed from counts of images.

The order of running, packing, the dry run and simulations all ask here. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from bench.core.cell import Cell, Record

#: Of a method without records, if there are no records of any method (seconds).
SECONDS_AN_IMAGE, SECONDS_A_CELL = 1e-4, 1.0
#: Of a method without records that trains something, or reads maps: at least so long (seconds).
SECONDS_OF_TRAINING = 30.0
#: Device memory of a method without records that only reads pooled features: the features of all its images
#: so many times (as they are, prepared, and in products), each of so many bytes (2,048 numbers), and what its
#: work takes in parts (bytes). A guess that is too low costs a second try alone.
FEATURE_COPIES, FEATURE_BYTES, WORK_BYTES = 4, 8192, 2**30
#: Of a backbone without records: extracting features, and reading stored ones (seconds).
EXTRACTION_AN_IMAGE, LOADING_AN_IMAGE = 1e-2, 2e-5
#: Device memory of a process that torch does not count (bytes): the CUDA context and its libraries.
CONTEXT_BYTES = 600 * 2**20

_Level = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a task.

    Attributes
    ----------
    train, test : int
        Numbers of images.
    sources : dict
        Numbers of images by the source's fingerprint: tasks that share a source share its features.
    """

    train: int
    test: int
    sources: Mapping[str, int] = field(default_factory=dict)

    @property
    def images(self) -> int:
        return self.train + self.test


#: Sizes of tasks by (data set, task).
Sizes = Mapping[tuple[str, str], Size]


class Peaks:
    """Torch's largest peaks on the device of cells that have run."""

    def __init__(self) -> None:
        self._peaks: dict[_Level, int] = {}

    def learn(self, record: Record) -> None:
        peak = record.memory.get("device_peak_bytes")
        for level in _levels(record.cell) if peak is not None else ():
            self._peaks[level] = max(self._peaks.get(level, 0), int(peak or 0))

    def of(self, cells: Iterable[Cell]) -> int | None:
        """Return the largest peak of cells like these; None if unknown.

        Each record of cells fitted together has the peak of all of them.
        """
        found = [
            next((self._peaks[level] for level in _levels(cell) if level in self._peaks), None)
            for cell in cells
        ]
        known = [peak for peak in found if peak is not None]
        return max(known) if known and len(known) == len(found) else None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of a cell with its features in the store, and whether past cells of its method say so."""

    seconds: float
    learned: bool


class Costs:
    """Estimates learned from past records, with defaults where there are none.

    Parameters
    ----------
    past : iterable of Record
        Of any suite; failed ones are ignored.
    sizes : mapping, optional
        Sizes of tasks by (data set, task); others are learned from records.
    device : str, optional
        ``"cpu"`` or ``"cuda"``: only records of such a device count; by default all.
    only_reads : callable, optional
        Whether a cell's method only reads pooled features, and trains nothing; without it, nothing is guessed
        from what a method is.
    """

    def __init__(
        self,
        past: Iterable[Record] = (),
        *,
        sizes: Sizes | None = None,
        device: str | None = None,
        only_reads: Callable[[Cell], bool] | None = None,
    ) -> None:
        self.sizes, self._only_reads = dict(sizes or {}), only_reads
        seconds: dict[_Level, list[float]] = defaultdict(list)
        rates: dict[_Level, list[float]] = defaultdict(list)
        self._peaks = Peaks()
        for record in past:
            if record.timing is None or (device is not None and _device_type(record) != device):
                continue
            images = self._images_of(record)
            for level in _levels(record.cell):
                seconds[level].append(record.timing.warm)
                if images:
                    rates[level].append(record.timing.warm / images)
            if images:
                self._learn_features(record, images, rates)
            self._peaks.learn(record)
        self._seconds = {level: fmean(values) for level, values in seconds.items()}
        self._rates = {level: fmean(values) for level, values in rates.items()}
        methods = [rate for level, rate in self._rates.items() if level[0] == "method"]
        #: Seconds an image of a method without records.
        self._typical = median(methods) if methods else SECONDS_AN_IMAGE

    def _images_of(self, record: Record) -> int:
        counts, cell = record.counts, record.cell
        if "train" not in counts or "test" not in counts:
            return 0
        size = Size(int(counts["train"]), int(counts["test"]))
        self.sizes.setdefault((cell.dataset, cell.task), size)
        return size.images

    @staticmethod
    def _learn_features(record: Record, images: int, rates: dict[_Level, list[float]]) -> None:
        timing, cell = record.timing, record.cell
        if timing is None or timing.features_from == "none":
            return
        if timing.features_cold:
            rates["extraction", cell.backbone_identity].append(timing.features_cold / images)
        if timing.features_from == "store":
            rates["loading", cell.backbone_identity].append(timing.features / images)

    def cell(self, cell: Cell) -> Estimate:
        """Estimate a cell from past ones of its method: the same parameters and data set, else either."""
        images = self.images(cell)
        for level in _levels(cell):
            if level in self._seconds:
                # From other data sets, the seconds scale with the number of images, if both are known.
                elsewhere = level[0] in ("method and parameters", "method")
                scaled = elsewhere and images and level in self._rates
                return Estimate(self._rates[level] * images if scaled else self._seconds[level], True)
        typical = self._typical * images if images else SECONDS_A_CELL
        trains = self._only_reads is not None and not self._only_reads(cell)
        return Estimate(max(typical, SECONDS_OF_TRAINING) if trains else typical, False)

    def total(self, todo: Iterable[Cell]) -> tuple[float, int]:
        """Return the seconds of the cells whose method has records, and the number of those without."""
        estimates = [self.cell(cell) for cell in todo]
        return sum(e.seconds for e in estimates if e.learned), sum(not e.learned for e in estimates)

    def images(self, cell: Cell) -> int:
        """Return the number of images of a cell's task; 0 if unknown."""
        size = self.sizes.get((cell.dataset, cell.task))
        return size.images if size else 0

    def extraction(self, backbone_identity: str, images: int) -> float:
        """Return the seconds to push so many images through a backbone."""
        return images * self._rates.get(("extraction", backbone_identity), EXTRACTION_AN_IMAGE)

    def loading(self, backbone_identity: str, images: int) -> float:
        """Return the seconds to read the features of so many images from the store."""
        return images * self._rates.get(("loading", backbone_identity), LOADING_AN_IMAGE)

    def device_bytes(self, cells: Sequence[Cell]) -> int | None:
        """Return the largest peak on the device of past cells like these (`Peaks.of`)."""
        return self._peaks.of(cells)

    def guessed_bytes(self, cells: Sequence[Cell]) -> int | None:
        """Return what cells without records may take of a device; None if it takes one that ran to say."""
        images = [self.images(cell) for cell in cells]
        if self._only_reads is None or not all(map(self._only_reads, cells)) or not all(images):
            return None
        return WORK_BYTES + FEATURE_COPIES * FEATURE_BYTES * max(images)


def _levels(cell: Cell) -> tuple[_Level, ...]:
    """Return what past cells may have in common with this one, the most specific first."""
    return (
        ("all but the task", cell.method, cell.params, cell.backbone, cell.dataset),
        ("data set", cell.method, cell.backbone, cell.dataset),
        ("method and parameters", cell.method, cell.params, cell.backbone),
        ("method", cell.method, cell.backbone),
    )


def _device_type(record: Record) -> str:
    return str(record.environment.get("device", "cpu")).partition(":")[0]


def fits(
    need: int | None,
    running: Sequence[int | None],
    total: int,
    *,
    margin: float = 0.2,
    context: int = CONTEXT_BYTES,
) -> bool:
    """Return whether one more cell fits a device's memory beside those that run there.

    Parameters
    ----------
    need : int or None
        Its peak, learned or guessed, in bytes; None is unknown: it must run alone, which shows its peak.
    running : sequence of int or None
        The peaks of the running cells, each in a process of its own.
    total : int
        The device's memory, in bytes.
    margin : float
        Added to peaks, as a share of them.
    context : int
        Added for each process, in bytes.
    """
    if not running:
        return True  # nothing would make more room
    peaks = [peak for peak in (*running, need) if peak is not None]
    if len(peaks) <= len(running):
        return False
    return sum(peak * (1 + margin) + context for peak in peaks) <= total
