"""Tables of images: what spreadsheets and scripts write is read, and what cannot be right is refused."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from bench import DataError, Listing, csv_listing, read_rows

from ..datasets.trees import write_mvtec


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_mvtec(tmp_path / "a")


def rows_of(root: Path) -> list[list[str]]:
    files = sorted(file.relative_to(root).as_posix() for file in root.glob("t*/*/*.png"))
    return [[file, *file.split("/")[:2]] for file in files]


def listed(place: Path, rows: list[list[str]], separator: str = ",", encoding: str = "utf-8") -> Listing:
    table = place / "t.csv"
    lines = [separator.join(row) for row in [["path", "split", "label"], *rows]]
    table.write_text("\n".join(lines) + "\n", encoding=encoding)
    return csv_listing(
        place, table, read_rows(table, ("path", "split", "label")), image_column="path", what="t"
    )


def counts(listing: Listing) -> tuple[int, int, int]:
    good = sum(sample.type == "good" for sample in listing.test)
    return len(listing.train), good, len(listing.test) - good


FORMS = {
    "numbers": lambda q, s, k: [q, s, "0" if k == "good" else "1"],
    "numbers as pandas writes them": lambda q, s, k: [q, s, "0.0" if k == "good" else "1.0"],
    "capitals": lambda q, s, k: [q, s.upper(), k.capitalize()],
    "blanks": lambda q, s, k: [f" {q} ", f"{s} ", f"  {k}"],
    "Windows": lambda q, s, k: [q.replace("/", "\\"), s, k],
    "a leading dot": lambda q, s, k: [f"./{q}", s, k],
    "a detour": lambda q, s, k: [f"train/../{q}", s, k],
    "words": lambda q, s, k: [q, s, "OK" if k == "good" else "NG"],
}


@pytest.mark.parametrize("form", FORMS)
def test_one_table_in_many_spellings_is_one_listing(root: Path, form: str) -> None:
    plain = listed(root, rows_of(root))
    found = listed(root, [FORMS[form](*row) for row in rows_of(root)])
    assert counts(found) == (5, 3, 5)
    assert found.train == plain.train
    assert [sample.file for sample in found.test] == [sample.file for sample in plain.test]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_separators_and_marks_of_spreadsheets(root: Path, separator: str, encoding: str) -> None:
    assert counts(listed(root, rows_of(root), separator, encoding)) == (5, 3, 5)


@pytest.mark.parametrize(
    ("row", "match"),
    [
        (["test/hole/000.png", "test", "hole"], r"lines 5 and 15: .*000\.png is listed twice"),
        (["./test/hole/000.png", "test", "hole"], r"lines 5 and 15: .*000\.png is listed twice"),
        (["test\\hole\\000.png", "test", "good"], r"lines 5 and 15: .* is labelled hole and good"),
        (
            ["train/../test/hole/000.png", "test", "scratch"],
            r"lines 5 and 15: .* is labelled hole and scratch",
        ),
        (
            ["test/../train/good/001.png", "test", "good"],
            r"lines 11 and 15: .*in the train split and in the test",
        ),
        (["link.png", "test", "good"], r"lines 11 and 15: .*in the train split and in the test"),
        (["folder/001.png", "train", "good"], r"lines 11 and 15: .* is listed twice"),
        (["test/hole/009.png", "test", "hole"], r"line 15: .*009\.png does not exist"),
        (["test/hole", "test", "hole"], r"line 15: .* does not exist"),
        (["test/hole/000.png", "dev", "hole"], r"line 15: expected the split train or test, found 'dev'"),
        (["test/hole/000.png", "test", ""], r"line 15: expected an image and a label"),
        (
            ["test/hole/000.png", "test", "hole", "more"],
            r"line 15: 1 values more than the header has columns",
        ),
    ],
)
def test_rows_that_cannot_be_right_are_refused_with_their_lines(
    root: Path, row: list[str], match: str
) -> None:
    (root / "link.png").symlink_to("train/good/001.png")
    (root / "folder").symlink_to("train/good")
    rows = rows_of(root)
    assert rows[3][0] == "test/hole/000.png"
    assert rows[9][0] == "train/good/001.png"
    with pytest.raises(DataError, match=match):
        listed(root, [*rows, row])


def test_lines_are_those_of_the_file(root: Path) -> None:
    rows = rows_of(root)
    with pytest.raises(DataError, match="line 17: "):
        listed(root, [[""], [""], *rows, ["gone.png", "test", "good"]])


@pytest.mark.parametrize("kind", ["beside", "absolute", "mixed"])
def test_images_outside_the_tables_folder(root: Path, kind: str) -> None:
    place = root.parent / "splits"
    place.mkdir()
    prefix = {"beside": "../a/", "absolute": f"{root}/"}.get(kind, "")
    rows = [
        [(prefix or (f"{root}/" if i % 2 else "../a/")) + file, split, label]
        for i, (file, split, label) in enumerate(rows_of(root))
    ]
    found = listed(place, rows)
    assert counts(found) == (5, 3, 5)
    assert found.root == root.parent
    assert all((found.root / file).is_file() for file in (*found.train, *found.more))
    with pytest.raises(DataError, match="is listed twice"):
        listed(place, [*rows, [os.path.relpath(root / "train/good/000.png", place), "train", "good"]])


@pytest.mark.parametrize("have", ["NFC", "NFD"])
@pytest.mark.parametrize("ask", ["NFC", "NFD"])
def test_letters_in_either_form_are_one_name(root: Path, have: str, ask: str) -> None:
    (root / "test" / "hole").rename(root / "test" / unicodedata.normalize(have, "fêlure"))
    rows = [[unicodedata.normalize(ask, cell) for cell in row] for row in rows_of(root)]
    found = listed(root, rows)
    assert counts(found) == (5, 3, 5)
    assert {sample.type for sample in found.test} == {"good", "fêlure", "scratch"}
    other = [unicodedata.normalize("NFC" if ask == "NFD" else "NFD", cell) for cell in rows[-1]]
    hole = next(row for row in rows if "lure" in row[0])
    again = [unicodedata.normalize("NFC" if ask == "NFD" else "NFD", cell) for cell in hole]
    assert other == rows[-1]
    with pytest.raises(DataError, match="is listed twice"):
        listed(root, [*rows, again])


def test_a_table_of_another_encoding_says_what_to_do(tmp_path: Path) -> None:
    for content in ("path,é".encode("cp1252"), "path,split".encode("utf-16")):
        (tmp_path / "t.csv").write_bytes(content)
        with pytest.raises(DataError, match=r"t\.csv: .*(save it in UTF-8|no column)"):
            read_rows(tmp_path / "t.csv", ("path",))


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label,label\na,b,c\n")
    with pytest.raises(DataError, match="the column 'label' is there 2 times"):
        read_rows(tmp_path / "t.csv", ("path", "label"))


def test_an_image_is_not_its_own_mask(root: Path) -> None:
    table = root / "t.csv"
    lines = [
        "path,split,label,mask",
        *(f"{q},{s},{k},{q if k != 'good' else ''}" for q, s, k in rows_of(root)),
    ]
    table.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"line 5: .* cannot be its own mask"):
        csv_listing(root, table, read_rows(table, ()), image_column="path", what="t")
