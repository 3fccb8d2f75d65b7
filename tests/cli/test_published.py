"""``anobench published``: printed with their sources, rows of one's own included."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Invoke


def test_it_prints_numbers_with_their_sources(anobench: Invoke) -> None:
    ended = anobench("published", "dn2", "--dataset", "cifar10", "--task", "mean")
    assert ended.code == 0
    assert "PANDA paper, Table 1" in ended.out
    assert "92.5" in ended.out
    assert ended.out.rstrip().endswith("2 numbers; percent unless they count something")


def test_rows_of_ones_own(anobench: Invoke, toy: Path) -> None:
    (toy / "results").mkdir()
    (toy / "results" / "published.csv").write_text(
        "source,label,dataset,task,metric,value\nMy thesis,Brightness,toy,mean,auroc,81.0\n"
    )
    ended = anobench("published", "brightness", "--bench", toy)
    assert ended.code == 0
    assert "My thesis" in ended.out
    (toy / "results" / "published.csv").write_text(
        "source,label,dataset,task,metric,value\nM,B,toy,a,auroc,x\n"
    )
    ended = anobench("published", "brightness", "--bench", toy)
    assert ended.code == 2
    assert "line 2, value: got 'x'" in ended.err
    assert "Traceback" not in ended.err


def test_an_unknown_method_gets_the_nearest(anobench: Invoke) -> None:
    ended = anobench("published", "patchcor")
    assert ended.code == 2
    assert "did you mean 'patchcore'?" in ended.err
