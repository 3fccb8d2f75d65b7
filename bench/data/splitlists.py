"""Split lists of others: which images a published code trains and tests on, read without the images.

Kinds: ``csv``, any table with a column of paths; ``meds``, MeDS' tables; ``fuiad``, Real-IAD's JSON files;
``softpatch`` and ``softpatch-overlap``, the files of drawn indices that SoftPatch's code keeps.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from bench.core.errors import DataError
from bench.data.audit import Audit, AuditedImage, audit
from bench.data.fingerprint import file_sha256
from bench.data.rows import ANOMALY_WORDS, NORMAL_WORDS, read_rows

#: (train, good test, anomalous test) images by category, as `bench.InspectionSet.expected` has them.
Counts = Mapping[str, tuple[int, int, int]]

#: Names of columns, in the order in which they are looked for.
COLUMNS: dict[str, tuple[str, ...]] = {
    "path": ("path", "filename", "image_path", "image", "file"),
    "category": ("category", "clsname", "class", "object", "cls_name"),
    "split": ("split", "phase"),
    "label": ("label", "anomaly_class", "type"),
    "original": ("original", "copy_of"),
}


class SplitList(NamedTuple):
    """A train set and, where the list says it, a test set, by category.

    Attributes
    ----------
    rate : float or None
        Nominal, from the list's name.
    train : dict of str to list of AuditedImage
    test : dict of str to list of AuditedImage
        Empty where the list has no test images: then the official test set is meant, as it is.
    left : dict of str to list of AuditedImage
        What was taken out of the test set, where the list says so.
    """

    rate: float | None
    train: dict[str, list[AuditedImage]]
    test: dict[str, list[AuditedImage]]
    left: dict[str, list[AuditedImage]]


def read_split_list(path: Path, kind: str, counts: Counts, images: Path | None = None) -> SplitList:
    """Read a list.

    Parameters
    ----------
    path : Path
        A file, or a folder of files.
    kind : str
        One of `KINDS`, or ``"auto"``: by the file's ending.
    counts : mapping
        Official numbers of images; empty if not known.
    images : Path, optional
        Where the images lie: then they are the same where their files are, by sha256.

    Raises
    ------
    DataError
        It cannot be read, or is no such list; says what was expected.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    chosen = _guess(path) if kind == "auto" else kind
    return KINDS[chosen](path, counts, images)


def audits_of(found: SplitList, rate: float | None, counts: Counts) -> list[Audit]:
    """Count what the train sets of a list hold, by category.

    Where the list has no test images, `counts` give how many anomalies the official test set has, and an
    image whose path has a folder ``test`` is one of it.
    """
    made = []
    for name, train in sorted(found.train.items()):
        test, left = found.test.get(name, []), found.left.get(name, [])
        one = audit(name, rate, train, test, left)
        if not found.test:
            inside = {each.image for each in train if each.anomalous and _of_test(each.image)}
            bad = counts[name][2] if name in counts else None
            one = one.__class__(
                **{field: getattr(one, field) for field in one.__slots__}
                | {
                    "test_anomalies": bad,
                    "tested": bad,
                    "trained_on": len(inside),
                    "trained_and_tested": len(inside),
                    "test_changes": False,
                }
            )
        made.append(one)
    return made


def _of_test(image: object) -> bool:
    return isinstance(image, str) and "test" in PurePosixPath(image).parts


def _guess(path: Path) -> str:
    files = [path] if path.is_file() else sorted(path.iterdir())
    endings = {file.suffix for file in files}
    for ending, kind in ((".csv", "csv"), (".json", "fuiad"), (".pth", "softpatch")):
        if ending in endings:
            return kind
    raise DataError(f"{path}: expected a .csv or .json file or a folder of .json or .pth files")


def rate_in(name: str, pattern: str) -> float | None:
    """Return the rate that a file's name says: ``train_mvtec_nr40_seed_0.csv`` is 0.4."""
    found = re.search(pattern, name)
    if found is None:
        return None
    value = float(found[1])
    return value / 100 if value >= 1 else value


def _csv(path: Path, _counts: Counts, images: Path | None) -> SplitList:
    rows = read_rows(path, ())
    columns = {what: next((n for n in names if n in rows[0]), "") for what, names in COLUMNS.items()}
    if not columns["path"]:
        raise DataError(f"{path}: expected a column {' or '.join(COLUMNS['path'])} with the images' paths")
    found = SplitList(rate_in(path.name, r"nr(\d+)|rate(\d*\.\d+)"), {}, {}, {})
    for row in rows:
        given = {what: row[column] if column else "" for what, column in columns.items()}
        where = f"{path}, line {row['#']}"
        name = PurePosixPath(given["path"].replace("\\", "/")).as_posix()
        split = given["split"].lower() or "train"
        if not given["path"] or split not in ("train", "test"):
            raise DataError(f"{where}: expected a path and, if any, the split train or test, found {row}")
        kind = _kind(given["label"], name, where)
        image = _identity(given["original"] or name, images, where)
        category = given["category"] or (name.partition("/")[0] if "/" in name else path.stem)
        side = found.train if split == "train" else found.test
        side.setdefault(category, []).append(
            AuditedImage(image, bool(kind), kind, changed=bool(given["original"]))
        )
    return found


def _kind(label: str, name: str, where: str) -> str:
    """Return an image's defect type, empty for a normal one: by its label, else by its folder."""
    given = label or PurePosixPath(name).parent.name
    word = given.lower()
    if word in NORMAL_WORDS:
        return ""
    if not word or (not label and word in ("train", "test")):
        raise DataError(
            f"{where}: {name} does not say whether it is normal; give a column label with good or the "
            "defect's type, or paths such as train/good/000.png"
        )
    return "anomaly" if word in ANOMALY_WORDS else given


def _identity(name: str, images: Path | None, where: str) -> str:
    if images is None:
        return PurePosixPath(name.replace("\\", "/")).as_posix()
    try:
        return file_sha256(images / name)
    except OSError as error:
        raise DataError(f"{where}: {images / name} cannot be read ({error.strerror or error})") from None


def _meds(path: Path, counts: Counts, images: Path | None) -> SplitList:
    rows = read_rows(path, ("filename",))
    if not {"clsname", "class"} & set(rows[0]):
        raise DataError(f"{path}: expected the columns filename and clsname (or class) of MeDS' lists")
    return _csv(path, counts, images)


def _fuiad(path: Path, _counts: Counts, images: Path | None) -> SplitList:
    folder = path if path.is_dir() else path.parent
    found = SplitList(rate_in(folder.name, r"fuiad_(\d*\.\d+)"), {}, {}, {})
    for file in [path] if path.is_file() else sorted(path.glob("*.json")):
        try:
            content = json.loads(file.read_bytes())
            normal = content.get("meta", {}).get("normal_class", "OK")
            for side, rows in ((found.train, content["train"]), (found.test, content["test"])):
                for row in rows:
                    name = f"{row.get('category', file.stem)}/{row['image_path']}"
                    kind = "" if row["anomaly_class"] == normal else str(row["anomaly_class"])
                    image = _identity(name, images, str(file))
                    side.setdefault(file.stem, []).append(AuditedImage(image, bool(kind), kind))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{file}: expected train and test lists of image_path and anomaly_class, found something "
                f"else ({type(error).__name__}: {error})"
            ) from None
    return found


def _softpatch(path: Path, counts: Counts, *, overlap: bool) -> SplitList:
    import torch

    if not counts:
        raise DataError(
            f"{path}: indices alone do not say how many images there are; name the data set (--dataset mvtec)"
        )
    found = SplitList(rate_in(path.name, r"noise(\d*\.\d+)"), {}, {}, {})
    for file in [path] if path.is_file() else sorted(path.glob("*.pth")):
        name = file.stem.partition("-noise")[0]
        if name not in counts:
            raise DataError(f"{file}: the data set has no category {name!r}; it has {', '.join(counts)}")
        try:
            drawn = [int(index) for index in torch.load(file, weights_only=True)]
        except Exception as error:
            raise DataError(f"{file}: expected a list of whole numbers ({error})") from None
        normals, good, bad = counts[name]
        chosen = {f"test/{index}" for index in drawn}
        found.train[name] = [AuditedImage(f"train/{i}", False) for i in range(normals)]
        found.train[name] += [AuditedImage(f"test/{index}", True) for index in drawn]
        # Which of the indices are good images the list does not say, nor does it matter: none is drawn.
        rest = [f"test/{i}" for i in range(good + bad) if f"test/{i}" not in chosen]
        images = [AuditedImage(image, False) for image in rest[:good]]
        images += [AuditedImage(image, True) for image in rest[good:]]
        taken = [AuditedImage(image, True) for image in sorted(chosen)]
        found.test[name] = images + (taken if overlap else [])
        found.left[name] = [] if overlap else taken
    return found


#: The readers of lists by kind.
KINDS: dict[str, Callable[[Path, Counts, Path | None], SplitList]] = {
    "csv": _csv,
    "meds": _meds,
    "fuiad": _fuiad,
    "softpatch": lambda path, counts, _: _softpatch(path, counts, overlap=False),
    "softpatch-overlap": lambda path, counts, _: _softpatch(path, counts, overlap=True),
}


def tested_images(found: SplitList, name: str) -> frozenset[object] | None:
    """Return which images a category is tested on; None where the list leaves it to the official test set."""
    images: Sequence[AuditedImage] = found.test.get(name, [])
    return frozenset(each.image for each in images) if images else None
