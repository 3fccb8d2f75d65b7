"""Checks of ``anobench try`` that concern training: stopped and resumed, and on a device."""

from __future__ import annotations

import ast
import math
import tempfile
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
from torch.optim.optimizer import register_optimizer_step_post_hook

from bench.core.errors import Interruption, kind_of, said
from bench.core.files import temporary_prefix
from bench.run.trial import TEST, TRAIN, Found, Trial, good, to_be_scored
from bench.train.checkpoint import Checkpoints
from bench.train.method import returned_scores

#: Mini-batches after which a training is stopped.
STOPPED = 2
#: Correlation of scores below which they are others, where no line is known that draws on a device.
ALIKE = 0.5


def resume(tried: Trial) -> Found:
    """A training that was stopped goes on from its checkpoint with the same bits."""
    test, _ = to_be_scored()
    with tempfile.TemporaryDirectory(prefix=temporary_prefix()) as folder:
        stopped = tried.made()
        stopped.checkpoints, stopped.progress = Checkpoints(Path(folder), every=0.0), _stop_after(STOPPED)
        try:
            stopped.fit(tried.images(good(TRAIN)))
            return  # it trains nothing with bench.Training, or less than that
        except _Stopped:
            pass
        again = tried.made()
        again.checkpoints = Checkpoints(Path(folder), every=math.inf)
        again.fit(tried.images(good(TRAIN)))
        scores = tried.scored(again, test)
    if scores.tobytes() != tried.reference.tobytes():
        yield (
            (
                "a training that was stopped and resumed gives other scores: name all that it changes in "
                "Training(state=...), and draw by the step's number (bench.generator_for)"
            ),
            tried.first(_trains) or tried.line_of("fit"),
        )


class _Stopped(Interruption):
    """Ends a trial's training."""


def _stop_after(steps: int) -> Callable[[str, int, int], None]:
    def progress(what: str, done: int, total: int) -> None:
        del what, total
        if done > steps:
            raise _Stopped

    return progress


def _trains(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "Training"


def device(tried: Trial) -> Found:
    """On a GPU, for which a stand-in stands here, it scores as on the CPU, and no step waits for it."""
    from bench.run.standin import standin

    test, _ = to_be_scored()
    seen: list[Counter[str]] = []
    with standin(watched=tried.files) as counts:

        def stepped(*_: object) -> None:
            seen.append(counts.waits + counts.to_host)

        handle = register_optimizer_step_post_hook(stepped)
        try:
            method = tried.made(device="cuda")
            method.fit(tried.images(good(TRAIN), tried.provider("cuda")))
            scores = returned_scores(method.score(tried.images(test, tried.provider("cuda")))).checked(TEST)
        except Exception as error:
            yield f"on a GPU: {kind_of(error)}: {said(error)}", tried.place(error)
            return
        finally:
            handle.remove()
    host = tried.reference
    scale = float(np.ptp(host)) or 1.0
    drawn = tried.first(_draws_on_device)
    # Few images leave some methods at the mercy of a feature's last bits, which are other there.
    like = np.corrcoef(scores, host)[0, 1] > ALIKE if np.ptp(scores) and np.ptp(host) else not drawn
    if not np.allclose(scores, host, rtol=1e-2, atol=1e-2 * scale) and (drawn or not like):
        yield (
            "its scores on a GPU are others than on the CPU: draw on the host (bench.generator_for)",
            drawn or tried.line_of("fit"),
        )
    yield from _waits(tried, seen)


def _waits(tried: Trial, seen: list[Counter[str]]) -> Found:
    """Say where steps wait for lines of the method's own; what the engine waits for is no fault of its."""
    steps = [after - before for before, after in pairwise(seen[1:])]
    of = {key: median(step[key] for step in steps) for key in (seen[-1] if len(seen) > 3 else ())}
    own = {key: times for key, times in of.items() if times >= 1 and _line(key)[0] in tried.files}
    if own:
        yield (
            (
                f"each step of its training makes a GPU wait {sum(own.values()):g} times: keep losses on the "
                "device, and read them once in a while"
            ),
            tried.at(*_line(max(own, key=own.__getitem__))),
        )


def _line(key: str) -> tuple[str, int]:
    """Return file and line of a count, ``item methods/mine.py:80``; of none of ours 0."""
    file, _, line = key.partition(" ")[2].rpartition(":")
    return file, int(line or 0)


def _draws_on_device(node: ast.AST) -> bool:
    """Return whether this makes random numbers elsewhere than on the host: it names a device."""
    if not isinstance(node, ast.Call):
        return False
    named = ast.unparse(node.func).rpartition(".")[2]
    if named == "Generator":
        return bool(node.args or node.keywords)
    return named.startswith("rand") and (
        named.endswith("_like") or any(each.arg == "device" for each in node.keywords)
    )
