"""Walking folders: each real folder once, and what is left by tools is passed over and told."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from bench import DataError
from bench.data import walk
from bench.data.walk import OnDisk, list_images, on_disk, passed_over, subfolders

from ..datasets.trees import picture, write_mvtec, write_picture


@pytest.fixture(autouse=True)
def _nothing_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "_passed", type(walk._passed)(walk._passed.default_factory))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a data set with 5 train, 3 good and 5 defective images."""
    return write_mvtec(tmp_path / "set")


def train(root: Path) -> list[str]:
    return list_images(root / "train" / "good", root)


PLAIN = [f"train/good/{i:03d}.png" for i in range(5)]


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("train/good/good", "../good"),
        ("train/good/up", ".."),
        ("train/good/top", "../.."),
        ("train/good/out", "../../.."),
        ("train/good/all", "/"),
        ("train/good/gone", "nowhere"),
        ("train/good/one.png", "001.png"),
        ("train/good/self", "self"),
    ],
)
def test_links_that_add_nothing_are_passed_over_and_told(root: Path, link: str, target: str) -> None:
    (root / link).symlink_to(target)
    assert train(root) == PLAIN
    assert link in "".join(passed_over(root))


def test_two_links_to_one_folder_count_once(root: Path) -> None:
    write_picture(root / "more" / "x.png", picture(99))
    for name in ("a", "b"):
        (root / "train" / "good" / name).symlink_to("../../more")
    assert train(root) == [*PLAIN, "train/good/a/x.png"]
    assert "train/good/b (a link to a folder that is there already)" in passed_over(root)[0]


def test_links_in_circles_end(root: Path) -> None:
    for one, other in (("p", "q"), ("q", "p")):
        (root / one).mkdir()
        (root / one / "to").symlink_to(f"../{other}")
    write_picture(root / "q" / "x.png", picture(99))
    (root / "train" / "good" / "round").symlink_to("../../p")
    assert train(root) == [*PLAIN, "train/good/round/to/x.png"]


def test_a_link_out_of_the_set_adds_only_what_is_not_there(root: Path, tmp_path: Path) -> None:
    backup, other = tmp_path / "backup", tmp_path / "other"
    for i in range(5):
        write_picture(backup / f"b{i}.png", picture(i))
    write_picture(other / "copy.png", picture(2))
    write_picture(other / "new.png", picture(98))
    (root / "train" / "good" / "backup").symlink_to(backup)
    (root / "train" / "good" / "other").symlink_to(other)
    assert train(root) == [*PLAIN, "train/good/other/new.png"]
    told = "\n".join(passed_over(root))
    assert "train/good/backup (a link out of the data set's folder that adds no image)" in told
    assert "images behind a link that are there already" in told


def test_links_are_a_way_to_make_a_data_set(tmp_path: Path) -> None:
    """Of images in a store, as git-annex has them: two of one content are two images."""
    store, root = tmp_path / "store", tmp_path / "set"
    for i in range(3):
        write_picture(store / f"{i}.png", picture(i))
    (root / "train" / "good").mkdir(parents=True)
    for name, kept in (("a", 0), ("b", 1), ("c", 1)):
        (root / "train" / "good" / f"{name}.png").symlink_to(store / f"{kept}.png")
    assert len(train(root)) == 3
    (root / "train" / "bad").symlink_to(store)
    assert len(list_images(root / "train" / "bad", root)) == 3
    assert passed_over(root) == []


def test_hard_links_are_copies(root: Path) -> None:
    os.link(root / "train/good/000.png", root / "train/good/again.png")
    assert len(train(root)) == 6


def test_a_link_to_an_image_that_is_gone_is_missed_where_it_is_read(root: Path) -> None:
    (root / "train" / "good" / "009.png").symlink_to("/nowhere/009.png")
    assert train(root) == [*PLAIN, "train/good/009.png"]


@pytest.mark.parametrize(
    "name",
    [
        *("@eaDir", "@Recycle", "@tmp", ".@__thumb", "#recycle", "#snapshot", ".snapshot", "~snapshot"),
        *("__MACOSX", ".AppleDouble", ".Trashes", ".Spotlight-V100", "Network Trash Folder"),
        *("$RECYCLE.BIN", "System Volume Information", "RECYCLER", "lost+found", ".Trash-1000"),
        *(".thumbnails", ".ipynb_checkpoints", ".stversions", "__pycache__", "LOST+FOUND"),
    ],
)
@pytest.mark.parametrize("where", ["train/good", "test/hole", "test", "train"])
def test_what_tools_leave_is_no_image_and_no_defect(root: Path, name: str, where: str) -> None:
    from bench import mvtec_listing

    plain = mvtec_listing(root)
    write_picture(root / where / name / "000.png" / "x.png", picture(1))
    write_picture(root / where / name / "y.jpg", picture(2))
    found = mvtec_listing(root)
    assert (found.train, found.test) == (plain.train, plain.test)
    if where.count("/"):
        assert f"{where}/{name}" in "".join(passed_over(root))


def test_hidden_files_thumbnails_and_kinds_that_are_not_read_are_told(root: Path) -> None:
    for name in (
        "._000.png",
        "SYNOPHOTO_THUMB_M.jpg",
        "Thumbs.db",
        ".DS_Store",
        "a.gif",
        "b.HEIC",
        "note.txt",
    ):
        (root / "train" / "good" / name).write_bytes(b"x")
    assert train(root) == PLAIN
    told = "\n".join(passed_over(root))
    assert "train/good/._000.png and 1 more" in told
    assert "train/good/a.gif (.gif is not read; save such images as PNG)" in told
    assert ".heic is not read" in told
    assert "Thumbs" not in told
    assert "note" not in told


def test_git_is_nothing_to_tell(root: Path) -> None:
    write_picture(root / "train" / "good" / ".git" / "x.png", picture(1))
    assert train(root) == PLAIN
    assert passed_over(root) == []


def test_a_folder_that_cannot_be_read_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "train" / "good" / "locked").mkdir()
    scan = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"locked: cannot be read \(Permission denied\)"):
        train(root)


def test_subfolders_are_those_of_the_user(tmp_path: Path) -> None:
    for name in ("b", "a", "@eaDir", ".git", "__MACOSX"):
        (tmp_path / name).mkdir()
    assert [path.name for path in subfolders(tmp_path)] == ["a", "b"]


# --- names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("have", ["NFC", "NFD"])
@pytest.mark.parametrize("ask", ["NFC", "NFD"])
@pytest.mark.parametrize("name", ["fêlure/ü.png", "kaputt/öl/ß.png", "한/각.png", "plain.png"])
def test_a_name_is_found_in_either_form(tmp_path: Path, have: str, ask: str, name: str) -> None:
    kept = unicodedata.normalize(have, name)
    (tmp_path / kept).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / kept).touch()
    asked = unicodedata.normalize(ask, name)
    assert OnDisk(tmp_path).find(asked) == kept
    assert on_disk(tmp_path / asked) == tmp_path / kept
    assert OnDisk(tmp_path).find(asked.replace("/", "\\")) == kept


def test_a_name_that_two_files_have_is_taken_as_it_is_written(tmp_path: Path) -> None:
    both = [unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD")]
    for name in both:
        (tmp_path / name).touch()
    assert [OnDisk(tmp_path).find(name) for name in both] == both


@pytest.mark.parametrize("name", ["absent.png", "é/absent.png", "a\0b.png", "x" * 300, "é" * 300])
def test_a_name_that_is_nowhere_is_none(tmp_path: Path, name: str) -> None:
    assert OnDisk(tmp_path).find(name) is None
