"""Claims: one driver a cell, whatever becomes of the driver."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.core.archive import Archive
from bench.run.claims import LOOK_EVERY, Claims, PeerRuns, lives
from tests.factory import make_cell, make_record

KEY, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2

#: Another driver: claims a cell, says its name, and ends when its input does.
ANOTHER = f"""
import sys
from pathlib import Path
from bench.run.claims import Claims
claims = Claims(Path(sys.argv[1]))
print(claims.take("{KEY}"), claims.name, flush=True)
sys.stdin.read()
"""


def another(file: Path) -> tuple[subprocess.Popen[str], str]:
    """Start another driver that holds `KEY`; return it and its name."""
    driver = subprocess.Popen(
        [sys.executable, "-c", ANOTHER, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout is not None
    taken, name = driver.stdout.readline().split()
    assert taken == "True"
    return driver, name


def test_a_cell_is_its_drivers_until_that_one_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "records" / "claims"
    driver, name = another(file)
    claims = Claims(file)
    assert not claims.take(KEY)
    assert claims.take(OTHER)
    assert claims.take(OTHER), "one's own can be taken again"
    assert lives(file, name)
    driver.kill()
    driver.communicate()
    assert claims.take(KEY)
    assert not lives(file, name)
    claims.close()
    assert file.stat().st_size == 0


def test_a_released_cell_is_anyones(tmp_path: Path) -> None:
    file = tmp_path / "claims"
    claims = Claims(file)
    assert claims.take(KEY)
    claims.release(KEY)
    driver, _ = another(file)
    driver.communicate("")
    assert driver.returncode == 0
    assert claims.take(KEY)
    claims.close()


def test_only_a_look_at_peers_finds_their_records_and_cells(tmp_path: Path) -> None:
    archive, cells = Archive(tmp_path), [make_cell("0"), make_cell("1")]
    peers = PeerRuns(archive, Claims(archive.root / "claims"), {})
    assert peers.poll() == ([], [])
    assert peers.claimed((cells[0],)) == (cells[0],)
    archive.write(make_record(cells[1]), None)
    assert peers.claimed((cells[1],)) == ()
    assert peers.waiting == {cells[1].key: cells[1]}
    assert peers.poll() == ([], []), "looked a moment ago"
    peers._looked -= 2 * LOOK_EVERY
    done, left = peers.poll()
    assert [record.cell for record in done] == [cells[1]]
    assert (left, peers.waiting) == ([], {})
    peers.close()
