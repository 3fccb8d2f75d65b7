"""``anobench try``: what is wrong with a method, in plain words and with the line, before it costs anything.

Each check is a function that yields what is wrong, if anything, and where. The tests of the stock methods and
the pytest plug-in (`bench.run.plugin`) ask the same ones.
"""

from __future__ import annotations

import ast
import gc
import inspect
import time
import tracemalloc
from collections.abc import Callable, Collection, Sequence

import numpy as np
import torch

from bench.core.errors import AnobenchError, BackboneError, DataError, kind_of, said
from bench.data.images import Images
from bench.features.backbone import Backbones
from bench.features.device import deterministic, seed_everything
from bench.metrics.image import auroc
from bench.run.contain.containment import Containment
from bench.run.trial import TEST, TRAIN, Found, Problem, Trial, good, to_be_scored
from bench.run.trialtraining import device, resume
from bench.suite.resolve import ResolvedMethod

#: Backbones that a trial gives to a method that takes one, the cheapest first: not all have maps.
BACKBONES = ("pixels[size=8]", "lite0[resize=64,crop=64]")
#: Fits over which memory is watched, after as many; and bytes a fit from which it counts as growing:
#: libraries renew some 6,000 of their own, the training features are 30,000.
FITS, GROWTH = 4, 8192
#: Below this AUROC, on images that any method tells apart, its scores point the wrong way.
FLIPPED = 0.3


def trial(
    method: ResolvedMethod,
    checks: Collection[str] | None = None,
    *,
    backbones: Backbones | None = None,
    names: Sequence[str] = BACKBONES,
) -> tuple[list[Problem], Trial]:
    """Return what is wrong with a method, and the trial with its times.

    Parameters
    ----------
    method : ResolvedMethod
    checks : collection of str, optional
        Names of those of `CHECKS` to ask; by default all. One fit and its scores are always asked for.
    backbones : Backbones, optional
        Those that can be named; by default the built-in ones.
    names : sequence of str
        Backbones to give to a method that takes one: the first with which it works.

    Raises
    ------
    AnobenchError
        It cannot be tried: its adapter cannot be read, or a library is missing.
    """
    deterministic()
    if method.problem:
        raise AnobenchError(method.problem)
    tried, containment = Trial(method, backbones or Backbones()), Containment()
    # What a method changes for good it changes when it is first fitted.
    with containment.around(method.adapter.name) as contained:
        first = _begins(tried, names)
    tried.changes = contained.changes.flags
    if first is not None:
        return [first], tried
    found = []
    with containment.around(method.adapter.name):
        for name, check in CHECKS.items():
            if checks is not None and name not in checks:
                continue
            try:
                problems = list(check(tried))
            except Exception as error:
                problems = [(f"{kind_of(error)}: {said(error)}", tried.place(error))]
            found += [Problem(name, *problem) for problem in problems]
    return found, tried


def _begins(tried: Trial, names: Sequence[str]) -> Problem | None:
    """Fit and score once, with the cheapest backbone that the method can use; return what is wrong."""
    takes = "backbone" in tried.method.innermost.params
    error: Exception | None = None
    for backbone in names if takes else ("",):
        tried.backbone = backbone
        try:
            method, begun = tried.made(), time.perf_counter()
            method.fit(tried.images(good(TRAIN)))
            between = time.perf_counter()
            tried.reference, tried.fitted = tried.scored(method, to_be_scored()[0]), method
            tried.seconds = {"fit": between - begun, "score": time.perf_counter() - between}
            return None
        except (BackboneError, DataError) as unusable:  # pixels have no maps and are no network
            error = unusable
        except Exception as failed:
            return Problem("scores", f"{kind_of(failed)}: {said(failed)}", tried.place(failed))
    assert error is not None
    return Problem("scores", said(error), tried.place(error))


def finite(tried: Trial) -> Found:
    """Scores are finite on ordinary, two, equal and grey images."""
    train, (test, _) = good(TRAIN), to_be_scored()
    grey = np.repeat(train.mean(3, keepdims=True).astype(np.uint8), 3, axis=3)
    sets = {"two": train[:2], "equal": np.repeat(train[:1], TRAIN, 0), "grey": grey}
    if not np.isfinite(tried.reference).all():
        yield "a score is infinite", tried.line_of("score")
    for what, given in sets.items():
        try:
            if not np.isfinite(tried.scores(test, given)).all():
                yield f"a score is infinite after training on {what} images", tried.line_of("score")
        except Exception as error:
            if isinstance(error, AnobenchError) and what == "two" and "training images" in str(error):
                continue  # it says that there are too few
            yield f"on {what} training images: {kind_of(error)}: {said(error)}", tried.place(error)


def direction(tried: Trial) -> Found:
    """Higher is more anomalous."""
    value = auroc(to_be_scored()[1], tried.reference)
    if value < FLIPPED and tried.method.setting != "control":
        yield (
            (
                f"its scores point the wrong way (AUROC {100 * value:.0f} on images with bright squares): "
                "higher must be more anomalous"
            ),
            tried.line_of("score"),
        )


def determinism(tried: Trial) -> Found:
    """Equal seeds give equal bits, and `stochastic` says whether others do not."""
    test, _ = to_be_scored()
    first, again, other = (tried.scores(test, seed=seed) for seed in (1, 1, 2))
    if first.tobytes() != again.tobytes():
        yield (
            (
                "two fits with one seed give different scores: all chance must come from self.seed "
                "(bench.generator_for)"
            ),
            tried.first(_unseeded) or tried.line_of("fit"),
        )
    elif first.tobytes() != other.tobytes() and not tried.method.stochastic:
        yield (
            "its scores change with the seed, but its class does not say stochastic = True",
            tried.first(lambda node: isinstance(node, ast.ClassDef)),
        )
    elif first.tobytes() == other.tobytes() and tried.method.adapter.stochastic(tried.method.params):
        yield (
            "its class says stochastic = True, but no seed changes its scores",
            tried.first(_says_stochastic),
        )


def _says_stochastic(node: ast.AST) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else ()
    return any(getattr(target, "id", "") == "stochastic" for target in targets)


def _unseeded(node: ast.AST) -> bool:
    """Return whether a call draws from a library's global generator or an unseeded one, or tells the time."""
    if not isinstance(node, ast.Call):
        return False
    name = ast.unparse(node.func)
    bare = name.endswith("default_rng") and not node.args
    start = ("np.random.", "numpy.random.", "random.", "time.")
    drawn = name in ("torch.rand", "torch.randn", "torch.randint", "torch.randperm")
    free = drawn and not any(each.arg == "generator" for each in node.keywords)
    return bare or free or (name.startswith(start) and not name.endswith("default_rng"))


def company(tried: Trial) -> Found:
    """A score depends on its image alone, not on which others are scored with it or in which order."""
    if tried.method.setting == "control":
        return
    test, _ = to_be_scored()
    method, together = tried.fitted, tried.reference
    assert method is not None
    scale = float(np.ptp(together)) or 1.0
    turned = tried.scored(method, test[::-1])[::-1]
    alone = np.concatenate([tried.scored(method, test[at : at + 1]) for at in (0, 1, TEST - 1)])
    if not np.allclose(turned, together, rtol=1e-4, atol=1e-4 * scale):
        yield "an image's score depends on the order of the test images", tried.line_of("score")
    elif not np.allclose(alone, together[[0, 1, -1]], rtol=1e-4, atol=1e-4 * scale):
        yield (
            (
                "an image's score depends on which others are scored with it: use nothing of the test set as "
                "a whole"
            ),
            tried.line_of("score"),
        )


def reach(tried: Trial) -> Found:
    """The adapter keeps to what `bench` exports, out of reach of labels."""
    inside = {*Images.__slots__, "_gather", "_source", "_OPEN", "_TICKETS"}

    def wrong(node: ast.AST) -> bool:
        imported = isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bench.")
        named = isinstance(node, ast.Import) and any(each.name.startswith("bench.") for each in node.names)
        private = (
            isinstance(node, ast.Attribute)
            and node.attr in inside
            and ast.unparse(node.value) != "self"  # its own attributes
        )
        return (
            imported or named or private or (isinstance(node, ast.Attribute) and node.attr == "get_objects")
        )

    if where := tried.first(wrong):
        yield "it reaches inside of anobench, from where labels can be found: import from bench alone", where


def surroundings(tried: Trial) -> Found:
    """The process is as it was: threads, settings, working directory, environment."""
    for flag in tried.changes:
        yield f"it {flag}", tried.first(_changes) or tried.line_of("fit")


def _changes(node: ast.AST) -> bool:
    """Return whether this sets something of a library or of the process."""
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func).rpartition(".")[2]
        return name.startswith(
            ("set_", "seed", "manual_seed", "chdir", "filterwarnings", "simplefilter", "putenv")
        )
    targets = node.targets if isinstance(node, ast.Assign) else ()
    return any(ast.unparse(each).startswith(("os.environ", "torch.", "sys.", "np.")) for each in targets)


def memory(tried: Trial) -> Found:
    """Many fits need no more memory than a few."""
    held = []
    for _ in range(FITS):  # until caches are full
        _fit_and_forget(tried)
    tracemalloc.start()  # fits take some ten times as long from here on
    try:
        for _ in range(FITS):
            _fit_and_forget(tried)
            held.append(tracemalloc.get_traced_memory()[0] + _tensor_bytes())
    finally:
        tracemalloc.stop()
    steps = np.diff(held)
    if (steps > GROWTH).all():
        yield (
            f"every fit keeps {int(np.median(steps)):,} more bytes: something outlives its method",
            _where_memory_stays(tried) or tried.line_of("fit"),
        )


def _fit_and_forget(tried: Trial) -> None:
    tried.sources.clear()
    tried.scores(to_be_scored()[0])
    tried.sources.clear()
    gc.collect()


def _where_memory_stays(tried: Trial) -> str:
    """Return the adapter's line that most of what one fit keeps comes from; empty if none does."""
    tracemalloc.start(16)  # slow: many times the fit's own time
    try:
        before = tracemalloc.take_snapshot()
        _fit_and_forget(tried)
        after = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    lines = [
        (each.size_diff, frame.lineno)
        for each in after.compare_to(before, "traceback")
        for frame in each.traceback
        if frame.filename == tried.file
    ]
    return tried.at(tried.file, max(lines)[1]) if lines else ""


def _tensor_bytes() -> int:
    held = (each for each in gc.get_objects() if issubclass(type(each), torch.Tensor))
    return sum(each.untyped_storage().nbytes() for each in held)


def refit(tried: Trial) -> Found:
    """Fitting the same object again is as fitting a new one."""
    test, _ = to_be_scored()
    method = tried.made()
    method.fit(tried.images(good(TRAIN, seed=5)))
    seed_everything(0)
    method.fit(tried.images(good(TRAIN)))
    if not np.allclose(tried.scored(method, test), tried.reference, rtol=1e-5, equal_nan=True):
        yield "a second fit remembers the first: start anew in fit", tried.line_of("fit")


#: By the name that a problem shows.
CHECKS: dict[str, Callable[[Trial], Found]] = {
    each.__name__: each
    for each in (
        *(finite, direction, determinism, company, reach, surroundings, memory, refit),
        *(resume, device),
    )
}


def summary(check: str) -> str:
    """Return what a check asks, in a sentence."""
    return (inspect.getdoc(CHECKS[check]) or "").splitlines()[0]
