"""The house: which room may import which, no circles, and that names have one meaning."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter, defaultdict

import pytest

from tests.house import ROOMS, ROOT, circles, drawing, imports, modules, room_of

ARROWS = imports()


def test_nothing_lies_flat_in_the_engine() -> None:
    flat = {path.name for path in (ROOT / "bench").iterdir() if path.is_file()}
    assert flat == {"__init__.py", "__init__.pyi", "__main__.py", "py.typed"}
    rooms = {path.name for path in (ROOT / "bench").iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(ROOMS)


def test_arrows_lead_downwards_only() -> None:
    wrong = [
        f"{name} -> {other}"
        for name, others in ARROWS.items()
        for other in others
        if room_of(name) and room_of(other) not in ("", room_of(name), *ROOMS[room_of(name)][0])
    ]
    assert not wrong


def test_what_a_room_may_import_lies_below_it() -> None:
    order = list(ROOMS)
    for name, (below, _) in ROOMS.items():
        assert all(order.index(other) > order.index(name) for other in below)


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(ARROWS) == []


def test_an_arrow_upwards_and_a_circle_would_be_seen() -> None:
    assert "bench.core.cell" in ARROWS["bench.core.archive"]
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c"]]
    assert "run" not in ROOMS["report"][0]


@pytest.mark.parametrize("room", [*ROOMS, "report.figures", "run.executors", "data.get"])
def test_each_room_says_what_it_is(room: str) -> None:
    text = ast.get_docstring(ast.parse(modules()[f"bench.{room}"].read_text(encoding="utf-8"))) or ""
    assert "May import" in text
    assert "Start at" in text


def test_core_names_no_torch_and_neither_listing_nor_planning_loads_it() -> None:
    for name, path in modules().items():
        if room_of(name) in ("core", "metrics", "stats"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            named = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
            named |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
            assert not {each for each in named if each.split(".")[0] == "torch"}, name
    code = (
        "import sys; from bench.suite.registry import Registry; from bench.suite.grid import make_plan;"
        "from bench.suite.suite import load_suite; found = Registry();"
        "make_plan(load_suite(found.suite_path('quickstart')), found); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_no_public_name_is_defined_twice() -> None:
    places = defaultdict(list)
    for name, path in modules().items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_file_name_stands_three_times() -> None:
    names = Counter(path.name for path in modules().values() if path.name != "__init__.py")
    assert {name: n for name, n in names.items() if n > 2} == {}


def test_contributing_shows_the_rooms_as_they_are() -> None:
    assert drawing() in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
