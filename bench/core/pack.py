"""A pack: what a suite gave, in one file that can be sent, kept as a baseline, and read from strangers.

::

    pack.json            schema, suite, and the sha256 of every other member
    plan.json            the suite's plan
    records.jsonl        its records, one a line
    scores/<key>.npz     scores
    tests/<truth>.npz    labels and images of the test sets
    methods/<name>.py    in a submission: methods that do not come with anobench, as text

It is a zip file, read member by member and never unpacked: only these names, of bounded size, stored or
deflated, each with its checksum; JSON, arrays of numbers and texts, no pickles, and reading it runs nothing.
Equal content gives equal bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from bench.core import checks
from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.errors import ArchiveError, said
from bench.core.files import is_file, write_atomically
from bench.core.plan import Plan
from bench.core.truth import Truth

#: How a pack's name ends.
ENDING = ".anobench"
#: Schema of a pack, and of one that holds methods, which older versions refuse.
PACK_VERSION, WITH_METHODS = 1, 2
#: Upper limits: members, bytes of a text, of a file of arrays packed and unpacked, and of all of them.
MEMBERS, TEXT_BYTES, ARRAY_BYTES, TOTAL_BYTES = 1_000_000, 2**30, 2**28, 2**33
METHOD_BYTES = 2**20

_TEXTS = ("plan.json", "records.jsonl")
_ARRAYS = re.compile(r"(scores|tests)/[0-9a-f]{32}\.npz")
_METHOD = re.compile(r"methods/([a-zA-Z][a-zA-Z0-9_]{0,99})\.py")
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, NotImplementedError,
    KeyError, TypeError, AttributeError, RecursionError, MemoryError,
)  # fmt: skip
#: The earliest time that a zip file can name.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


def write_pack(
    path: Path,
    archive: Archive,
    plan: Plan,
    records: Mapping[str, Record],
    methods: Mapping[str, str] | None = None,
) -> None:
    """Write the pack of a suite.

    Parameters
    ----------
    path : Path
    archive : Archive
        Where the records' scores and labels are.
    plan : Plan
    records : mapping of str to Record
        By key.
    methods : mapping of str to str, optional
        The text of methods' files, by the methods' names.

    Raises
    ------
    ArchiveError
        Scores or labels of a record cannot be read, or the file cannot be written.
    """
    members: dict[str, bytes] = {"plan.json": plan.to_json().encode()}
    lines = [records[key].to_json(indent=None) for key in sorted(records)]
    members["records.jsonl"] = "".join(lines).encode()
    for key in sorted(records):
        record = records[key]
        if record.scores_sha256:
            members[f"scores/{key}.npz"] = archive.packed_scores(record)
        if record.truth and (name := f"tests/{record.truth}.npz") not in members:
            members[name] = archive.truth(record).to_bytes()
    members |= {f"methods/{name}.py": text.encode() for name, text in sorted((methods or {}).items())}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    about = {"schema": WITH_METHODS if methods else PACK_VERSION, "suite": plan.suite, "sha256": digests}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, content in {"pack.json": json.dumps(about, indent=1).encode(), **members}.items():
            file.writestr(zipfile.ZipInfo(name, _NO_TIME), content, zipfile.ZIP_DEFLATED, 9)
    write_atomically(path, packed.getvalue())


def is_pack(path: Path) -> bool:
    """Return whether a file is meant to be a pack: by its name, or as it begins like a zip file."""
    if not is_file(path):
        return False
    try:
        with path.open("rb") as file:
            return path.name.endswith(ENDING) or file.read(4) == b"PK\x03\x04"
    except OSError:
        return path.name.endswith(ENDING)


def open_archive(path: Path) -> Archive:
    """Return the archive of a results folder, of a folder of records, or of a pack.

    Raises
    ------
    ArchiveError
        It is none of them, or a pack that cannot be read.
    """
    if is_pack(path):
        return PackedArchive(path)
    found = Archive(path)
    if not found.root.is_dir() and (path / "plans").is_dir():
        found = Archive(path.parent, path)
    if not found.root.is_dir():
        raise ArchiveError(
            f"{path} has no archive; expected a results folder, with records/ in it, a folder of records, "
            f"or a pack (made by anobench pack)"
        )
    return found


class PackedArchive(Archive):
    """The archive in a pack; it cannot be written.

    Parameters
    ----------
    path : Path
        Of the pack.
    results : Path, optional
        Where reports of it are written.

    Raises
    ------
    ArchiveError
        It is no pack, is damaged, or holds what no pack holds.
    """

    def __init__(self, path: Path, results: Path | None = None) -> None:
        super().__init__(path if results is None else results)
        self.path, self._digests = path, dict[str, str]()
        self._tests: dict[str, Truth] = {}
        try:
            content = path.read_bytes()
            #: Of the file: the pack's name among all packs.
            self.sha256 = hashlib.sha256(content).hexdigest()
            self._file = zipfile.ZipFile(io.BytesIO(content))
            self._sizes = self._listed(self._file.infolist())
            about = json.loads(self._member("pack.json"))
            if about["schema"] not in (PACK_VERSION, WITH_METHODS):
                raise ArchiveError(
                    f"its schema is not version {WITH_METHODS} or older; use the anobench that wrote it"
                )
            self._digests |= about["sha256"]
            if self._digests.keys() != self._sizes.keys() - {"pack.json"}:
                raise ValueError("its list of members is not what it holds")
            self._plan = Plan.from_json(self._member("plan.json").decode())
            lines = self._member("records.jsonl").decode().split("\n")
            self._loaded = {each.cell.key: each for each in map(Record.from_json, filter(None, lines))}
        except PermissionError:
            raise ArchiveError(
                f"{path} cannot be read: permission denied; ask its owner, or copy it"
            ) from None
        except (ArchiveError, *_DAMAGE) as error:
            raise ArchiveError(
                f"{path}: not a pack, or a damaged one ({said(error)}); get it again, or make one with "
                "anobench pack"
            ) from None

    def _listed(self, infos: list[zipfile.ZipInfo]) -> dict[str, int]:
        """Return the size of each member; raise ValueError unless all may be in a pack."""
        found: dict[str, int] = {}
        if len(infos) > MEMBERS:
            raise ValueError(f"more than {MEMBERS:,} members")
        for info in infos:
            name = info.orig_filename
            most = TEXT_BYTES if name in ("pack.json", *_TEXTS) else ARRAY_BYTES
            most = METHOD_BYTES if _METHOD.fullmatch(name) else most
            if most == ARRAY_BYTES and not _ARRAYS.fullmatch(name):
                raise ValueError(f"it holds {checks.short(name)}, which is no member of a pack")
            if name in found:
                raise ValueError(f"it holds {name} twice")
            if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"its {name} is encrypted, or compressed in another way than deflate")
            if info.file_size > most:
                raise ValueError(f"its {name} has {info.file_size:,} bytes; at most {most:,} are read")
            found[name] = info.file_size
        if sum(found.values()) > TOTAL_BYTES:
            raise ValueError(f"it unpacks to more than {TOTAL_BYTES:,} bytes")
        return found

    def _member(self, name: str) -> bytes:
        """Return a member's bytes; raise one of `_DAMAGE` where they are not what the pack says."""
        with self._file.open(name) as member:
            content = member.read(self._sizes[name] + 1)
        if len(content) != self._sizes[name]:
            raise ValueError(f"its {name} has another size than it says")
        if name != "pack.json" and hashlib.sha256(content).hexdigest() != self._digests[name]:
            raise ValueError(f"its {name} does not match its checksum")
        return content

    def _arrays_of(self, name: str) -> bytes:
        """Return a member that is an npz file, if it does not unpack to more than it may."""
        try:
            content = self._member(name)
            with zipfile.ZipFile(io.BytesIO(content)) as inner:
                size = sum(info.file_size for info in inner.infolist())
            if size > ARRAY_BYTES:
                raise ValueError(f"its {name} unpacks to {size:,} bytes; at most {ARRAY_BYTES:,} are read")
            return content
        except _DAMAGE as error:
            raise ArchiveError(f"{self.path}: {said(error)}; get the pack again") from None

    def methods(self) -> dict[str, str]:
        """Return the text of the methods' files that it holds, by the methods' names; none of it is run.

        Raises
        ------
        ArchiveError
            One does not match its checksum, or is no text.
        """
        names = {name: match[1] for name in sorted(self._sizes) if (match := _METHOD.fullmatch(name))}
        try:
            return {of: self._member(name).decode() for name, of in names.items()}
        except _DAMAGE as error:
            raise ArchiveError(f"{self.path}: {said(error)}; get the pack again") from None

    def check_writable(self) -> None:
        raise ArchiveError(f"{self.path} is a pack, which is only read; choose a results folder")

    def _write(self, record: Record, packed: bytes, truth: Truth | None) -> Record:
        del record, packed, truth
        self.check_writable()
        raise AssertionError

    def write_plan(self, plan: Plan) -> None:
        del plan
        self.check_writable()

    def has(self, key: str) -> bool:
        return key in self._loaded

    def load(self, key: str) -> Record | None:
        return self._loaded.get(key)

    def keys(self) -> set[str]:
        return set(self._loaded)

    def stamp(self, record: Record) -> str:
        """Return nothing: whether numbers are those of the scores is asked anew for each reading."""
        del record
        return ""

    def packed_scores(self, record: Record) -> bytes:
        if not record.scores_sha256:
            raise ArchiveError(f"{record.cell} has no scores: it failed")
        content = self._arrays_of(f"scores/{record.cell.key}.npz")
        if hashlib.sha256(content).hexdigest() != record.scores_sha256:
            raise ArchiveError(f"{self.path}: scores of {record.cell} do not match its record (checksum)")
        return content

    def truth(self, record: Record) -> Truth:
        if not record.truth:
            raise ArchiveError(f"{record.cell}: no labels were kept; run the cell again with --fresh")
        if record.truth not in self._tests:
            found = Truth.from_bytes(self._arrays_of(f"tests/{record.truth}.npz"))
            if found.identity != record.truth:
                raise ArchiveError(f"{self.path}: labels are not those of {record.cell}")
            self._tests[record.truth] = found
        return self._tests[record.truth]

    def plan(self, suite: str) -> Plan:
        if suite != self._plan.suite:
            raise ArchiveError(f"{self.path} is a pack of the suite {self._plan.suite!r}, not of {suite!r}")
        return self._plan

    def suites(self) -> list[str]:
        return [self._plan.suite]
