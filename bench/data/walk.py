"""Walking folders of images: each real folder once, without what cameras, NAS and archives leave in them.

What is passed over is kept, to be told (`passed_over`). Links are followed only where they add images:

- a link to a folder that the walk has been in, or that holds the walked one, is passed over;
- of a link out of the data set's folder only the images are taken that are not there already, by content;
- a link to an image is passed over where the image itself is there.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from bench.core.errors import DataError
from bench.data.fingerprint import file_sha256

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
#: Images too, but not read: to be told rather than forgotten.
UNREAD_ENDINGS = (
    ".gif", ".jfif", ".jpe", ".jp2", ".j2k", ".heic", ".heif", ".avif", ".jxl", ".pnm", ".pbm", ".tga",
    ".dng", ".cr2", ".cr3", ".nef", ".arw", ".dcm", ".exr", ".hdr", ".psd",
)  # fmt: skip
#: Folders that archives, file systems, NAS and cameras leave, in lower case; see also `is_leftover`.
LEFTOVERS = frozenset({
    "__macosx", "__pycache__", "lost+found", "found.000", "recycler", "recycled", "recycle bin",
    "system volume information", "network trash folder", "temporary items", "thevolumesettingsfolder",
    "#recycle", "#snapshot", "#trash", "#tmp", "thmbnl", "canonmsc",
})  # fmt: skip
#: Hidden folders that nobody misses.
UNTOLD = frozenset({".git", ".hg", ".svn", ".dvc", ".idea", ".vscode", ".cache"})

#: What was passed over: by root and by what it is, the paths relative to the root.
_passed: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))


def is_leftover(name: str) -> bool:
    """Return whether a folder is hidden (``.thumbnails``) or left by a tool (``@eaDir``, ``__MACOSX``)."""
    return name[:1] in (".", "@", "$", "~") or name.casefold() in LEFTOVERS


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted, without those that tools leave.

    Raises
    ------
    DataError
        It cannot be read.

    Examples
    --------
    >>> (folder / "bottle").mkdir()
    >>> [path.name for path in bench.subfolders(folder)]
    ['bottle']
    """
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not is_leftover(path.name))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror or error})") from None


def list_images(folder: Path, root: Path) -> list[str]:
    """Return the image files anywhere under a folder, sorted, as posix paths relative to `root`.

    Raises
    ------
    DataError
        A folder in it cannot be read.

    Examples
    --------
    >>> for name in ("a/1.png", "a/notes.txt", "b/2.png"):
    ...     (folder / name).parent.mkdir(exist_ok=True)
    ...     _ = (folder / name).write_bytes(b"")
    >>> bench.list_images(folder, folder)
    ['a/1.png', 'b/2.png']
    """
    if not folder.is_dir():
        return []
    return sorted(_Walk(folder, root).files())


def passed_over(root: Path) -> list[str]:
    """Return what `list_images` has passed over in a folder, one sentence for each kind of thing."""
    found: dict[str, set[str]] = defaultdict(set)
    for walked, kinds in _passed.items():
        if _inside(walked, os.fspath(root)):
            for what, paths in kinds.items():
                found[what] |= {os.path.join(walked, path) for path in paths}  # noqa: PTH118
    sentences = []
    for what, paths in sorted(found.items()):
        first, *more = sorted(paths)
        sentences.append(f"passed over {first}{f' and {len(more)} more' if more else ''} ({what})")
    return sentences


class _Walk:
    """One walk; paths are texts, for speed."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder, self._start = os.fspath(folder), len(os.path.join(os.fspath(root), ""))  # noqa: PTH118
        self._passed = _passed[os.fspath(root)]
        self._root, self._top = os.path.realpath(root), os.path.realpath(folder)
        self._seen: set[tuple[int, int]] = set()
        #: Links met in the last folders visited, which come after all that really is there.
        self._links: list[str] = []

    def files(self) -> list[str]:
        """Return the images."""
        found = self._visit(self._folder)
        while self._links:
            links, self._links = sorted(self._links), []
            real = {os.path.realpath(self._absolute(file)) for file in found}
            for link in links:
                found += self._follow(link, found, real)
        return found

    def _absolute(self, file: str) -> str:
        return os.path.join(self._folder[: self._start], file)  # noqa: PTH118

    def _name(self, path: str) -> str:
        return path[self._start :].replace(os.sep, "/")

    def _tell(self, what: str, path: str) -> None:
        self._passed[what].add(self._name(path))

    def _visit(self, top: str) -> list[str]:
        """Return the images under a folder that are no links; keep the links for later."""
        found: list[str] = []
        waiting = [top]
        while waiting:
            path = waiting.pop()
            try:
                status = os.stat(path)  # noqa: PTH116
                if (status.st_dev, status.st_ino) in self._seen:
                    continue
                self._seen.add((status.st_dev, status.st_ino))
                with os.scandir(path) as entries:
                    for entry in entries:
                        self._sort(entry, found, waiting)
            except OSError as error:
                raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
        return found

    def _sort(self, entry: os.DirEntry[str], found: list[str], waiting: list[str]) -> None:
        name, ending = entry.name, os.path.splitext(entry.name)[1].lower()  # noqa: PTH122
        if entry.is_symlink():
            if not (name.startswith(".") or is_leftover(name)):
                self._links.append(entry.path)
        elif entry.is_dir():
            if not is_leftover(name):
                waiting.append(entry.path)
            elif name not in UNTOLD:
                self._tell("hidden, or left by a camera, a NAS or an archive", entry.path)
        elif ending in IMAGE_ENDINGS:
            if name.startswith((".", "~$", "SYNOPHOTO_THUMB", "SYNOFILE_THUMB")):
                self._tell("hidden, or left by a camera, a NAS or an archive", entry.path)
            else:
                found.append(self._name(entry.path))
        elif ending in UNREAD_ENDINGS and not name.startswith("."):
            self._tell(f"{ending} is not read; save such images as PNG", entry.path)

    def _follow(self, link: str, found: list[str], real: set[str]) -> list[str]:
        """Return what a link adds to the images found so far, whose real paths are given."""
        target = os.path.realpath(link)
        try:
            status = os.stat(target)  # noqa: PTH116
        except OSError:
            # A broken link to an image is listed, so that the image is missed where it is read.
            if link.lower().endswith(IMAGE_ENDINGS):
                return [self._name(link)]
            self._tell("a link that leads nowhere", link)
            return []
        if not os.path.isdir(target):  # noqa: PTH112
            if not link.lower().endswith(IMAGE_ENDINGS):
                return []
            if target in real and _inside(target, self._root):
                self._tell("a link to an image that is there already", link)
                return []
            return [self._name(link)]
        if (status.st_dev, status.st_ino) in self._seen:
            self._tell("a link to a folder that is there already", link)
            return []
        if _inside(self._top, target) or _inside(self._root, target):
            self._tell("a link to a folder that holds this one", link)
            return []
        added = self._visit(link)
        return added if _inside(target, self._root) else self._new(added, found, link)

    def _new(self, added: list[str], found: list[str], link: str) -> list[str]:
        """Return those images behind a link that are not there already: sizes first, then contents."""
        sizes = defaultdict(list)
        for file in found:
            sizes[_size(self._absolute(file))].append(file)
        new = []
        for file in added:
            there = sizes.get(_size(self._absolute(file)), [])
            digests = {file_sha256(Path(self._absolute(other))) for other in there}
            if digests and file_sha256(Path(self._absolute(file))) in digests:
                self._tell("images behind a link that are there already", self._absolute(file))
            else:
                new.append(file)
        if added and not new:
            self._tell("a link out of the data set's folder that adds no image", link)
        return new


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))  # noqa: PTH118


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except OSError:
        return -1


def composed(text: str) -> str:
    """Return a name in Unicode's composed form (NFC): two spellings of one name become equal."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def on_disk(path: Path) -> Path:
    """Return how the disk spells a path, in whichever of Unicode's forms; the path itself if it is absent."""
    found = None if path.exists() else OnDisk(Path()).find(path.as_posix())
    return path if found is None else Path(found)


class OnDisk:
    """Files by name, whichever of Unicode's forms (NFC, NFD) the disk has them in.

    Parameters
    ----------
    root : Path
        Relative names start here.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names: dict[Path, dict[str, list[str]]] = {}

    def find(self, name: str) -> str | None:
        """Return how the disk spells an existing file's or folder's posix path; None if there is none.

        Backslashes separate folders too, where no file has such a name.
        """
        for spelled in dict.fromkeys((name, name.replace("\\", "/"))):
            found = self._exact(spelled) or self._other_form(spelled)
            if found is not None:
                return found
        return None

    def _exact(self, name: str) -> str | None:
        try:
            return name if (self._root / name).exists() else None
        except (OSError, ValueError):  # a name that is too long, or holds a zero byte
            return None

    def _other_form(self, name: str) -> str | None:
        if name.isascii():
            return None
        path, parts = self._root, []
        for part in PurePosixPath(name).parts:
            if part not in ("/", "..") and OnDisk(path)._exact(part) is None:
                same = self._listed(path).get(composed(part), [])
                if len(same) != 1:
                    return None
                part = same[0]
            parts.append(part)
            path = path / part
        return PurePosixPath(*parts).as_posix()

    def _listed(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._names:
            names: Iterable[str] = os.listdir(folder) if folder.is_dir() else ()  # noqa: PTH208
            found: dict[str, list[str]] = {}
            self._names[folder] = found
            for name in names:
                found.setdefault(composed(name), []).append(name)
        return self._names[folder]
