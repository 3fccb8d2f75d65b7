"""What README.md, CONTRIBUTING.md and docs/ show works as it stands: commands, suites, programs, links.

The blocks of a page run from top to bottom in a folder of the page's own, where small suites stand in for the
stock ones of the same name. An HTML comment before a block says what is special about it:

``<!-- file: PATH -->``
    The block is also a file, which later blocks use.
``<!-- needs data -->``
    It runs where ANOBENCH_DATA is set.
``<!-- not run: WHY -->``
    Its commands and their options exist; nothing runs.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
from PIL import Image
from safetensors.torch import save_file

import bench
from bench.suite.grid import make_plan
from bench.suite.registry import Registry
from bench.suite.suite import load_suite
from tests.cli.conftest import Invoke

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]
QUICKSTART = """
datasets = ["digits[task=3]", "textures[task=wood]"]
methods = ["random", "mean_distance", { name = "dn2", backbone = ["hog", "pixels[size=16]"] }, "mahalanobis"]
backbone = "pixels[size=16]"
contamination = [0.0, 0.1]
"""
#: Commands that install something or test the checkout.
OUTSIDE = (["python", "-m", "pip"], ["tox"])


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language, its text, and the comment before it."""

    where: str
    language: str
    text: str
    note: str

    @property
    def needs_data(self) -> bool:
        return self.note == "needs data"

    @property
    def file(self) -> str:
        return self.note.removeprefix("file: ") if self.note.startswith("file: ") else ""

    def commands(self) -> Iterator[tuple[list[str], int]]:
        """Yield each ``anobench`` command's words and the exit status that its comment announces."""
        for line in self.text.splitlines():
            status = int((re.findall(r"# .*exit status (\d+)", line) or ["0"])[0])
            for part in line.split(" && "):
                words = shlex.split(part, comments=True)
                if words and not any(words[: len(start)] == start for start in OUTSIDE):
                    assert words[0] == "anobench", f"{self.where}: a command that no test runs: {line}"
                    yield words[1:], status


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    text = read(page)
    found = re.finditer(r"^(?:<!-- (.*?) -->\n)?```(\w*)\n(.*?)^```$", text, re.S | re.M)
    return [
        Block(f"{page}:{text[: each.start(2)].count(chr(10)) + 1}", each[2], each[3], each[1] or "")
        for each in found
    ]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as it is after a small ``anobench run quickstart``, with images of one's own."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "suites").mkdir()
    (folder / "suites" / "quickstart.toml").write_text(QUICKSTART)
    rng = np.random.default_rng(0)
    for place in ("train/good", "test/good", "test/scratch"):
        (folder / "my-images" / place).mkdir(parents=True)
        for number in range(4):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "my-images" / place / f"{number}.png")
    (folder / "my-weights").mkdir()
    save_file(timm.create_model("resnet18").state_dict(), folder / "my-weights" / "resnet18.safetensors")
    bench.run("quickstart", results=folder / "results", folders=[folder], executor="inline", show=False)
    return folder


@pytest.fixture
def run_blocks(prepared: Path, here: Path, anobench: Invoke) -> Any:
    """Return a function that runs blocks one after the other, in a copy of the prepared folder."""
    shutil.copytree(prepared, here, dirs_exist_ok=True)
    names: dict[str, Any] = {"__name__": "page"}

    def run(block: Block) -> None:
        if block.file:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(block.text)
        if block.note.startswith("not run: "):
            for words, _ in block.commands():
                exists(words, anobench)
        elif block.language == "sh":
            for words, status in block.commands():
                ended = anobench(*words)
                assert ended.code == status, f"{block.where}: anobench {shlex.join(words)}: {ended.err}"
        elif block.language == "toml":
            path = Path(block.file or "suite.toml")
            path.write_text(block.text)
            plan = make_plan(load_suite(path), Registry([], Path.cwd()))
            assert plan.entries, block.where
            assert not plan.problems, block.where
        elif block.language == "python":
            exec(compile(block.text, block.where, "exec"), names)
        else:
            assert block.language == "text" or block.file, f"{block.where}: a block that no test looks at"

    return lambda some: [run(block) for block in some]


def exists(words: list[str], anobench: Invoke) -> None:
    """Make sure that there is such a command and that it has these options."""
    options = [word for word in words if word.startswith("-")]
    before = words[: words.index(options[0])] if options else words
    helped = anobench(*before, "--help")
    assert helped.code == 0, f"anobench {shlex.join(words)}: {helped.err}"
    assert not [option for option in options if option not in helped.out.split()], words


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_runs(page: str, run_blocks: Any) -> None:
    run_blocks([block for block in blocks(page) if not block.needs_data])


@pytest.mark.data
@pytest.mark.parametrize("page", [page for page in PAGES if any(b.needs_data for b in blocks(page))])
def test_what_a_page_shows_of_real_data_runs(page: str, run_blocks: Any, real_data: Path) -> None:
    assert real_data
    run_blocks([block for block in blocks(page) if block.needs_data])


def test_the_example_method_is_on_the_leaderboard(run_blocks: Any) -> None:
    own, call = [block for block in blocks("README.md") if "farthest" in block.text]
    run_blocks([own, call])
    assert "farthest[k=1]" in Path("results/farthest.md").read_text()


def test_images_and_weights_of_ones_own_are_on_a_leaderboard_by_name(run_blocks: Any) -> None:
    shown = blocks("README.md")
    first = next(at for at, block in enumerate(shown) if block.file == "tiles.toml")
    run_blocks(shown[first - 1 : first + 2])
    page = Path("results/tiles.md").read_text()
    for name in ("Tiles", "Nearest neighbours[k=1]", "Nearest neighbours[k=2]"):
        assert name in page.partition("<details>")[0]
    assert Path("results/first-look.md").exists()


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text_exist(page: str, anobench: Invoke) -> None:
    for command in re.findall(r"`anobench ([^`]+)`", read(page)):
        exists(shlex.split(command), anobench)


def anchors(page: Path) -> set[str]:
    """Return a page's headings as links name them."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.S | re.M), re.M
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_its_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", read(page)):
        path, _, anchor = target.partition("#")
        to = (ROOT / page).parent / path if path else ROOT / page
        assert to.exists(), target
        assert not anchor or anchor in anchors(to), target


@pytest.mark.parametrize("page", PAGES)
def test_the_files_that_it_names_are_there(page: str) -> None:
    made = {block.file for block in blocks(page)}
    for name in re.findall(r"`((?:bench|datasets|docs|methods|suites|tests)/[\w./*-]*)`", read(page)):
        assert name in made or any(ROOT.glob(name)), name


def test_every_page_is_linked_from_the_readme() -> None:
    assert set(PAGES) - {"README.md"} <= set(re.findall(r"\]\(([^)#]+)", read("README.md")))
