"""The other commands, and what every command owes its user: quick help, nothing imported in vain."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Invoke


def run_python(code: str, cwd: Path) -> str:
    """Run code in a fresh interpreter in `cwd`; return what it prints."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True, timeout=120
    ).stdout


ROOT = Path(__file__).resolve().parents[2]


def test_help_and_listing_import_no_torch() -> None:
    code = (
        "import sys; from bench.cli import app\n"
        "for words in (['--help'], ['run', '--help'], ['list'], ['run', 'quickstart', '--dry-run']):\n"
        "    try: app(words)\n"
        "    except SystemExit as ended: assert not ended.code, (words, ended.code)\n"
        "    heavy = {'torch', 'sklearn', 'timm', 'pandas', 'datasets'} & set(sys.modules)\n"
        "    assert not heavy, (words, heavy)\n"
        "print('done')"
    )
    assert run_python(code, ROOT).endswith("done\n")


def test_datasets_is_hugging_faces_also_in_the_repository() -> None:
    where = Path(run_python("import datasets; print(datasets.__file__)", ROOT).strip())
    assert ROOT / "datasets" not in where.parents
    assert "load_dataset" in run_python("import datasets; print(dir(datasets))", ROOT)
    assert not (ROOT / "datasets" / "__init__.py").exists()
    assert not (ROOT / "methods" / "__init__.py").exists()


def test_help_names_every_command(anobench: Invoke) -> None:
    ended = anobench("--help")
    assert ended.code == 0
    for command in ("run", "list", "report", "export", "doctor", "cache"):
        assert f" {command} " in ended.out
    assert "cifar10[task=bird]" in anobench("run", "--help").out


def test_list_shows_parameters_and_problems(toy: Path, anobench: Invoke) -> None:
    (toy / "methods" / "misspelt.py").write_text("from bench import Method\nclass Broken(Method:\n    pass\n")
    (toy / "methods" / "dn2.py").write_text("from bench import Method\nclass Mine(Method):\n    pass\n")
    ended = anobench("list", "--bench", toy)
    assert ended.code == 0
    assert "brightness" in ended.out
    assert "level=0" in ended.out
    assert "k=10" in ended.out, "the stock methods are there too"
    assert "quickstart" in ended.out
    assert "line 2" in ended.err
    assert "hidden" in ended.err, "the toy's dn2 hides the stock one, and that is said"
    assert anobench("list", "methods", "k*").out.count("distance") >= 1
    assert anobench("list", "methods", "nothing").code == 2


def test_doctor_tells_what_is_here(toy: Path, anobench: Invoke) -> None:
    ended = anobench("doctor")
    assert ended.code == 0, ended.out
    for word in ("torch", "CPU", "ANOBENCH_DATA", "cache", "digits: 10 tasks", "textures", "(synthetic)"):
        assert word in ended.out
    (toy / "methods" / "broken.py").write_text(
        "from bench import Method\nimport no_such_module\nclass B(Method):\n    pass\n"
    )
    ended = anobench("doctor", "--bench", toy)
    assert ended.code == 1
    assert "broken.py, line 2" in ended.out


def test_version(anobench: Invoke) -> None:
    import bench

    assert anobench("--version").out == f"anobench {bench.__version__}\n"
