"""Real-IAD: 30 industrial objects from five views each, with masks and eight kinds of defects.

The official JSON files decide: ``split=multi`` (all views, ``realiad_jsons``), ``split=single`` (the top
view, ``realiad_jsons_sv``) or ``split=fuiad``, whose train splits are noisy
(``realiad_jsons_fuiad_<rate>``); its rate 0 is the clean task. ``size`` names the folder of images:
``realiad_1024``, ``_512``, ``_256``, ``_raw``.

In the noisy splits the official rate is the share of images *of defective objects* (``NG``) among the
train images. An object's defect is not seen from each of its views; those where it is not are ``OK`` in
the JSON files and normal here. So the share of anomalous images is lower: over all categories 6.5, 13.1
and 26.5 % at the rates 0.1, 0.2 and 0.4 (as published counts of the files have it). Both are checked: the
first against the rate, the second is what a record calls the realised rate.

Folders and keys are those of the authors' readme and loader. A defective image without a mask is refused
here; that loader takes one for normal. Expected are totals over all 30 categories.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal, NamedTuple

from bench import DataError, InspectionSet, Listing, Sample, Task

#: Codes of the defects in the JSON files.
DEFECTS = {
    "AK": "pit",
    "BX": "deformation",
    "CH": "abrasion",
    "HS": "scratch",
    "PS": "damage",
    "QS": "missing_parts",
    "YW": "foreign_object",
    "ZW": "contamination",
}
FOLDERS = {"multi": "realiad_jsons", "single": "realiad_jsons_sv", "fuiad": "realiad_jsons_fuiad_0.0"}
#: Train, good test and anomalous test images of all categories.
TOTALS = {
    "multi": (36_465, 63_256, 51_329),
    "single": (10_408, 10_387, 9_415),
    "fuiad": (57_840, 20_157, 9_843),
}
RATES = (0.1, 0.2, 0.4)
SIZES = ("1024", "512", "256", "raw")
#: A noisy split whose share of defective objects is further than this from its rate is not the official one.
TOLERANCE = 0.05


class _Split(NamedTuple):
    """One JSON file: its name, train and test images, and the train images of defective objects."""

    file: str
    train: list[Sample]
    test: list[Sample]
    of_defective: int

    @property
    def rate(self) -> float:
        return self.of_defective / max(1, len(self.train))


class RealIAD(InspectionSet):
    title = "Real-IAD"
    licence = "CC BY-NC-SA 4.0, on request to the authors"
    citation = (
        "C. Wang et al., Real-IAD: A Real-World Multi-View Dataset for Benchmarking Versatile Industrial "
        "Anomaly Detection, CVPR 2024"
    )
    home = "https://realiad4ad.github.io/Real-IAD/"
    layout = (
        "real_iad/{realiad_1024/<object>/{OK, NG/<defect>}/<sample>/*.jpg, "
        "realiad_jsons/{realiad_jsons, realiad_jsons_sv, realiad_jsons_fuiad_<rate>}/<object>.json}"
    )
    folders = ("real_iad", "Real-IAD", "realiad")
    has_anomaly_pool = False
    official_rates = RATES
    facts = (
        (
            "multi: 36,465 train, 63,256 good and 51,329 anomalous test images",
            "the JSON files",
            "confirmed counts",
        ),
        (
            "fuiad: 6.5, 13.1 and 26.5 % of anomalous images at 0.1, 0.2 and 0.4",
            "the JSON files",
            "confirmed counts",
        ),
        (
            "single: 10,408 train, 10,387 good and 9,415 anomalous test images",
            "others' count of the files",
            "",
        ),
        ("fuiad at rate 0: 57,840 train, 20,157 good and 9,843 anomalous", "others' count of the files", ""),
        ("folders, keys and codes of defects", "the authors' readme and loader", ""),
    )
    categories = (
        "audiojack",
        "bottle_cap",
        "button_battery",
        "end_cap",
        "eraser",
        "fire_hood",
        "mint",
        "mounts",
        "pcb",
        "phone_battery",
        "plastic_nut",
        "plastic_plug",
        "porcelain_doll",
        "regulator",
        "rolled_strip_base",
        "sim_card_set",
        "switch",
        "tape",
        "terminalblock",
        "toothbrush",
        "toy",
        "toy_brick",
        "transistor1",
        "u_block",
        "usb",
        "usb_adaptor",
        "vcpill",
        "wooden_beads",
        "woodstick",
        "zipper",
    )
    expected: ClassVar = {"all": TOTALS["multi"]}

    def __init__(
        self,
        split: Literal["multi", "single", "fuiad"] = "multi",
        size: Literal["1024", "512", "256", "raw"] = "1024",
        unified: bool = False,
    ) -> None:
        self.split, self.size, self.unified = split, size, unified
        # The other splits have test sets of their own: a curve over rates must start from FUIAD's clean one.
        self.official_rates = RATES if split == "fuiad" else ()
        self.expected = {"all": TOTALS[split]}

    @property
    def pictures(self) -> str:
        return f"realiad_{self.size}"

    def holds(self, root: Path, category: str) -> bool:
        return (root / self.pictures / category).is_dir()

    def tasks(self) -> list[str]:
        there = [name for name in self.categories if any(self.holds(root, name) for root in self.roots)]
        if not there:
            found = sorted(path.name for path in self.root.iterdir())
            sizes = [size for size in SIZES if f"realiad_{size}" in found]
            mend = f"this copy is real_iad[size={sizes[0]}]" if sizes else self._how()
            raise DataError(
                f"{self.root}: expected {self.pictures}/<object>/, "
                f"found {', '.join(found) or 'nothing'}; {mend}"
            )
        return there

    def listing(self, category: str) -> Listing:
        clean = self._read(FOLDERS[self.split], category)
        wrong = [sample.file for sample in clean.train if sample.type != "good"]
        if wrong:
            raise DataError(
                f"{self.root / clean.file}: {wrong[0]} is anomalous but in the clean train split; "
                "get the JSON files again"
            )
        more = [clean.file]
        if self.split == "fuiad":
            for rate in RATES:
                noisy = self._read(f"realiad_jsons_fuiad_{rate:g}", category, optional=True)
                more += [noisy.file, *(sample.file for sample in noisy.train)] if noisy else []
        known = {sample.file for sample in (*clean.train, *clean.test)}
        more = [file for file in dict.fromkeys(more) if file not in known]
        train = [sample.file for sample in clean.train]
        return Listing(self.root, train, clean.test, more=tuple(more)).checked(f"Real-IAD {category}")

    def noisy_task(self, name: str, rate: float) -> Task:
        if rate not in self.official_rates:
            hint = "" if self.split == "fuiad" else "; the noisy splits are real_iad[split=fuiad]'s"
            try:
                return super().noisy_task(name, rate)
            except DataError as error:
                raise DataError(f"{error}{hint}") from None
        here = self.at(self._known(name, self.tasks()))
        noisy = here._read(f"realiad_jsons_fuiad_{rate:g}", name)
        assert noisy is not None
        if abs(noisy.rate - rate) > TOLERANCE:
            raise DataError(
                f"{here.root / noisy.file}: expected {rate:.0%} of the train pictures to be of defective "
                f"objects, found {noisy.rate:.1%} ({noisy.of_defective} of {len(noisy.train)}); "
                "get the JSON files again"
            )
        files = [sample.file for sample in noisy.train]
        listing = Listing(here.root, files, noisy.test).checked(f"Real-IAD {name}")
        anomalous = {sample.file for sample in noisy.train if sample.type != "good"}
        return self.noisy_of(name, listing, anomalous, what=f"/fuiad_{rate:g}")

    def differences(self) -> list[str]:
        notes = super().differences()
        there = self.tasks()
        if len(there) == len(self.categories):
            splits = [self.at(name)._read(FOLDERS[self.split], name) for name in there]
            bad = sum(sample.type != "good" for split in splits for sample in split.test)
            found = (
                sum(len(split.train) for split in splits),
                sum(len(split.test) for split in splits) - bad,
                bad,
            )
            if found != TOTALS[self.split]:
                notes.append(
                    f"{self.root}: {found[0]:,} train, {found[1]:,} good and {found[2]:,} anomalous test "
                    "pictures in all, officially {:,}, {:,} and {:,}".format(*TOTALS[self.split])
                )
        if self.split == "fuiad":
            for name in there:
                notes += [note for rate in RATES for note in self.at(name)._noise_notes(name, rate)]
        return notes

    def _noise_notes(self, name: str, rate: float) -> list[str]:
        noisy = self._read(f"realiad_jsons_fuiad_{rate:g}", name, optional=True)
        if noisy is None:
            return [f"{self.root}: {name} has no noisy split of rate {rate:g}"]
        clean = self._read(FOLDERS["fuiad"], name)
        notes = []
        if abs(noisy.rate - rate) > 0.01:
            notes.append(
                f"{self.root / noisy.file}: {noisy.rate:.1%} of the train pictures are of defective objects, "
                f"officially {rate:.0%}"
            )
        if {sample.file for sample in noisy.test} != {sample.file for sample in clean.test}:
            notes.append(f"{self.root / noisy.file}: its test pictures are not those of the clean split")
        return notes

    def _read(self, folder: str, category: str, *, optional: bool = False) -> Any:
        """Return one JSON file as a `_Split`; None if it is missing and may be."""
        places = (f"realiad_jsons/{folder}/{category}.json", f"{folder}/{category}.json")
        file = next((place for place in places if (self.root / place).is_file()), None)
        if file is None:
            if optional:
                return None
            raise DataError(
                f"{self.root}: expected {places[0]} or {places[1]}, which is missing; {self._how()}"
            )
        try:
            content = json.loads((self.root / file).read_bytes())
            meta = content.get("meta", {})
            prefix, normal = meta.get("prefix", f"{category}/"), meta.get("normal_class", "OK")
            train, test = (
                [self._sample(row, prefix, normal) for row in content[key]] for key in ("train", "test")
            )
            of_defective = sum(str(row["image_path"]).startswith("NG/") for row in content["train"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{self.root / file}: expected train and test lists of image_path, mask_path and "
                f"anomaly_class, found something else ({type(error).__name__}: {error}); get it again"
            ) from None
        return _Split(file, train, test, of_defective)

    def _sample(self, row: dict[str, Any], prefix: str, normal: str) -> Sample:
        def path(name: str) -> str:
            inside = PurePosixPath(prefix) / name
            if inside.is_absolute() or ".." in inside.parts:
                raise ValueError(f"{name!r} leads out of the folder")
            return f"{self.pictures}/{inside.as_posix()}"

        code, mask = str(row["anomaly_class"]), row["mask_path"]
        kind = "good" if code == normal else DEFECTS.get(code, code)
        masks = (path(mask),) if mask and kind != "good" else ()
        return Sample(path(row["image_path"]), kind, masks)
