"""What cells cost: seconds and peak memory, learned from past records, else estimated from counts of images.

The one place that knows: the order of running, packing, the dry run and the simulation all ask here. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from bench.core.cell import Cell, Record

#: Of a method that nothing is known of, where no record says otherwise (seconds).
SECONDS_AN_IMAGE, SECONDS_A_CELL = 1e-4, 1.0
#: Of a backbone whose features were never extracted, and of reading features that are kept (seconds).
EXTRACTION_AN_IMAGE, LOADING_AN_IMAGE = 1e-2, 2e-5
#: Device memory that a process takes before torch counts any (bytes): the CUDA context and its libraries.
CONTEXT_BYTES = 600 * 2**20

_Level = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """What a task holds.

    Attributes
    ----------
    train, test : int
        Numbers of images.
    sources : dict
        Images by the fingerprint of the source that they lie in: tasks that share one share its features.
    """

    train: int
    test: int
    sources: Mapping[str, int] = field(default_factory=dict)

    @property
    def images(self) -> int:
        return self.train + self.test


#: Sizes of tasks by (data set, task).
Sizes = Mapping[tuple[str, str], Size]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds that a cell takes with its features at hand, and whether past cells of its method say so."""

    seconds: float
    learned: bool


class Costs:
    """What past records say, and what to believe where they say nothing.

    Parameters
    ----------
    past : iterable of Record
        Of any suite; failed ones say nothing.
    sizes : mapping, optional
        Sizes of tasks by (data set, task); those of tasks with records are known from there.
    device : str, optional
        ``"cpu"`` or ``"cuda"``: only records of such a device count. All by default.
    """

    def __init__(
        self, past: Iterable[Record] = (), *, sizes: Sizes | None = None, device: str | None = None
    ) -> None:
        self.sizes = dict(sizes or {})
        seconds: dict[_Level, list[float]] = defaultdict(list)
        rates: dict[_Level, list[float]] = defaultdict(list)
        self._peaks: dict[str, dict[_Level, int]] = {"device_peak_bytes": {}, "host_peak_bytes": {}}
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
            self._learn_peaks(record)
        self._seconds = {level: fmean(values) for level, values in seconds.items()}
        self._rates = {level: fmean(values) for level, values in rates.items()}
        methods = [rate for level, rate in self._rates.items() if level[0] == "method"]
        #: Seconds an image of a method that has no past.
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

    def _learn_peaks(self, record: Record) -> None:
        for kind, peaks in self._peaks.items():
            peak = record.memory.get(kind)
            for level in _levels(record.cell) if peak is not None else ():
                peaks[level] = max(peaks.get(level, 0), int(peak or 0))

    def cell(self, cell: Cell) -> Estimate:
        """Estimate a cell by those of its method: of the same parameters and data set, else of either."""
        images = self.images(cell)
        for level in _levels(cell):
            if level in self._seconds:
                # Over other data sets the seconds follow the number of images, where both are known.
                elsewhere = level[0] in ("method and parameters", "method")
                scaled = elsewhere and images and level in self._rates
                return Estimate(self._rates[level] * images if scaled else self._seconds[level], True)
        return Estimate(self._typical * images if images else SECONDS_A_CELL, False)

    def total(self, todo: Iterable[Cell]) -> tuple[float, int]:
        """Return the seconds of those cells whose method has a past, and how many have none."""
        estimates = [self.cell(cell) for cell in todo]
        return sum(e.seconds for e in estimates if e.learned), sum(not e.learned for e in estimates)

    def images(self, cell: Cell) -> int:
        """Return the number of images of a cell's task; 0 if nothing is known of it."""
        size = self.sizes.get((cell.dataset, cell.task))
        return size.images if size else 0

    def extraction(self, backbone_identity: str, images: int) -> float:
        """Return the seconds to push so many images through a backbone."""
        return images * self._rates.get(("extraction", backbone_identity), EXTRACTION_AN_IMAGE)

    def loading(self, backbone_identity: str, images: int) -> float:
        """Return the seconds to read the features of so many images from the store."""
        return images * self._rates.get(("loading", backbone_identity), LOADING_AN_IMAGE)

    def device_bytes(self, cells: Sequence[Cell]) -> int | None:
        """Return the largest peak of torch on the device that cells like these had; None if none is known.

        Of cells fitted together each one's record has the peak of all of them, so that the largest counts.
        """
        return self._peak("device_peak_bytes", cells)

    def host_bytes(self, cells: Sequence[Cell]) -> int | None:
        """Return the largest resident set that cells like these had; None if none is known."""
        return self._peak("host_peak_bytes", cells)

    def _peak(self, kind: str, cells: Sequence[Cell]) -> int | None:
        peaks = self._peaks[kind]
        found = [next((peaks[level] for level in _levels(cell) if level in peaks), None) for cell in cells]
        known = [peak for peak in found if peak is not None]
        return max(known) if known and len(known) == len(found) else None


def _levels(cell: Cell) -> tuple[_Level, ...]:
    """Return what past cells may have in common with this one, the most first."""
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
        Its learned peak, in bytes; None is unknown: it runs alone, so that its peak is learned.
    running : sequence of int or None
        The learned peaks of those there, each in a process of its own.
    total : int
        The device's memory, in bytes.
    margin : float
        Peaks are taken for larger by this share.
    context : int
        What each process takes beside them, in bytes.
    """
    if not running:
        return True  # alone it may try, whatever it needs: nothing would make more room
    if need is None:
        return False
    known = [peak for peak in running if peak is not None]
    if len(known) < len(running):
        return False
    return sum(peak * (1 + margin) + context for peak in (*known, need)) <= total
