"""Checks of ``anobench try`` that concern training: stopped and resumed, and on a device."""

from __future__ import annotations

import ast
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

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
    if scores.tobytes() != tried.scores(test).tobytes():
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
    seen: list[int] = []
    with standin() as counts:

        def stepped(*_: object) -> None:
            seen.append(counts.totals()["waits"] + counts.totals()["to_host"])

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
    host = tried.scores(test)
    scale = float(np.ptp(host)) or 1.0
    drawn = tried.first(_draws_on_device)
    # Few images leave some methods at the mercy of a feature's last bits, which are other there.
    like = np.corrcoef(scores, host)[0, 1] > ALIKE if np.ptp(scores) and np.ptp(host) else not drawn
    if not np.allclose(scores, host, rtol=1e-2, atol=1e-2 * scale) and (drawn or not like):
        yield (
            "its scores on a GPU are others than on the CPU: draw on the host (bench.generator_for)",
            drawn or tried.line_of("fit"),
        )
    if len(seen) > 3 and (waits := float(np.median(np.diff(seen[1:])))) >= 1:
        yield (
            (
                f"each step of its training makes a GPU wait {waits:g} times: keep losses on the device, and "
                "read them once in a while"
            ),
            tried.first(_waits) or tried.line_of("fit"),
        )


def _draws_on_device(node: ast.AST) -> bool:
    named = isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2]
    return bool(named) and (named == "Generator" or str(named).startswith("rand"))


#: Functions for whose result the host waits.
_WAITING = ("item", "tolist", "float", "bool", "cpu", "numpy", "nonzero", "unique")


def _waits(node: ast.AST) -> bool:
    """Return whether this makes the host wait for the device."""
    return isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in _WAITING
