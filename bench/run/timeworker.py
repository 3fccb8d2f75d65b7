"""A process that times cells on request: one side of `bench.run.interleaved`, in its own checkout's code.

It speaks lines of JSON over its standard input and output, so that both ends may be of different versions::

    -> {"protocol": 1, "suite": …, "bench": […], "options": {…}, "device": "cpu"}
    <- {"clock": "processor"}              or  {"error": "unknown suite …"}
    -> {"cell": ["digits", "3", "dn2", "k=2", "lite0", "0.0", ""], "times": 4}
    <- {"seconds": 0.0123}                 or  {"error": "FitError: …"}

Seconds are those to fit and to score, without getting features, of so many runs. On a CPU they are
processor seconds of this process, which do not depend on what else runs there; waiting (for a disk, say)
costs none. On a GPU they are seconds of a clock on the wall, with the device synchronised.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bench.core.errors import AnobenchError

if TYPE_CHECKING:
    from bench.core.cell import Cell
    from bench.run.runner import Runner

#: Version of what both sides say.
PROTOCOL = 1
#: Clocks by their name.
CLOCKS = {"processor": time.process_time, "wall": time.perf_counter}
#: What names a cell: data set, task, method, parameters, backbone, rate, seed (`report.export.place_fields`).
Place = tuple[str, ...]


def prepared(asked: dict[str, Any]) -> tuple[Runner, dict[Place, Cell], str]:
    """Return a runner for a suite, its cells by place, and the name of the clock.

    Raises
    ------
    AnobenchError
        Another protocol, no such suite, or one that cannot be planned or run here.
    """
    from bench.core.archive import Archive
    from bench.core.files import working_directory
    from bench.features.device import tune_allocator
    from bench.report.export import place_fields
    from bench.run.executors.choose import Options, pick_devices
    from bench.run.prepare import prepare
    from bench.run.setup import Setup
    from bench.suite.registry import Registry

    if asked["protocol"] != PROTOCOL:
        raise AnobenchError(f"it times cells by protocol {PROTOCOL}, not {asked['protocol']}")
    device = pick_devices(Options(device=asked["device"]))[0]
    registry = Registry([Path(each) for each in asked["bench"]], working_directory())
    with TemporaryDirectory() as empty:
        found = prepare(asked["suite"], registry, Archive(Path(empty)), **asked["options"])
    setup = Setup.of(
        found.suite,
        registry.folders,
        device=device,
        path_folders=tuple(str(folder) for folder in registry.path_folders),
    )
    runner = setup.runner()
    runner.evaluates, runner.calibration = False, None
    tune_allocator()  # else only the side that happens to build a network has it tuned
    clock = "processor" if runner.device.type == "cpu" else "wall"
    runner.provider.clock = CLOCKS[clock]
    cells = {place_fields(found.plan, entry)[1:]: entry.cell for entry in found.plan.entries}
    return runner, cells, clock


def timed(runner: Runner, cell: Cell | None, times: int) -> dict[str, Any]:
    """Return the seconds of so many runs of a cell, or why there are none."""
    if cell is None:
        return {"error": "its suite does not have this cell"}
    seconds = 0.0
    for _ in range(times):
        runner.forget()
        record = runner.run(cell)[0]
        if record.timing is None:
            error = record.error or {}
            return {"error": f"{error.get('kind', 'it failed')}: {error.get('reason', '')}"}
        seconds += record.timing.warm
    return {"seconds": seconds}


def main() -> None:
    """Answer until nobody asks any more."""
    # What methods print goes elsewhere: the answers have the standard output to themselves.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(data: dict[str, Any]) -> None:
        answers.write(json.dumps(data) + "\n")
        answers.flush()

    try:
        runner, cells, clock = prepared(json.loads(sys.stdin.readline()))
    except AnobenchError as error:
        answer({"error": str(error)})
        return
    answer({"clock": clock})
    for line in sys.stdin:
        asked = json.loads(line)
        answer(timed(runner, cells.get(tuple(asked["cell"])), asked["times"]))


if __name__ == "__main__":
    main()
