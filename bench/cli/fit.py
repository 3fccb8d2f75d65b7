"""``anobench fit`` and ``anobench score``: a method fitted once, saved, and used on new images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import BenchFolders, Json, OutFile, registry
from bench.core.errors import AnobenchError

if TYPE_CHECKING:
    from bench.run.fitted import Verdicts

_Method = Annotated[
    str, typer.Argument(metavar="METHOD", help="A method's selector, such as dn2[k=5], or its file.")
]
_Data = Annotated[
    str,
    typer.Option("--data", "-d", metavar="DATASET", help="Whose training images: folder[path=images]."),
]
_Model = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where it is saved.")]
_Backbone = Annotated[str | None, typer.Option("--backbone", help="By default lite0.")]
_Backbones = Annotated[
    Path | None, typer.Option("--backbones", metavar="SUITE.toml", help="A suite whose [backbones] to use.")
]
_Rule = Annotated[
    str, typer.Option("--rule", help="How the threshold comes from scores of held-out normal images.")
]
_Rate = Annotated[float, typer.Option("--rate", help="Rate of false alarms that the threshold aims at.")]
_Folds = Annotated[
    int, typer.Option("--folds", help="Fits that hold a part of the images out; 0 for no threshold.")
]


def fit(
    method: _Method,
    data: _Data,
    out: _Model,
    backbone: _Backbone = None,
    backbones: _Backbones = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1.")] = "cpu",
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    rule: _Rule = "conformal",
    rate: _Rate = 0.05,
    folds: _Folds = 5,
    bench: BenchFolders = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Fit a method on the training images of a data set, with a threshold, and save it for anobench score.

    The folder holds JSON and safetensors, never pickles: what the method is, its data, backbone, weights and
    versions, and its tensors.
    """
    from bench.cli.console import err, hand_json
    from bench.cli.console import out as screen
    from bench.run.fitted import fit as fitted_on
    from bench.run.modelfolder import refuse_other
    from bench.suite.chosen import one_task

    refuse_other(out)  # before the time that fitting takes
    known = registry(bench)
    task, name, fingerprint = one_task(data, known)
    with err.status(f"fitting {method} on {len(task.train)} images of {name}"):
        made = fitted_on(
            method,
            task.train,
            backbone=backbone,
            backbones=backbones,
            device=device,
            seed=seed,
            rule=rule,
            rate=rate,
            folds=folds,
            labelled=task.labelled,
            data=name,
            fingerprint=fingerprint,
            folders=bench,
        )
        made.save(out)
    if json:
        hand_json("fit", {"folder": str(out), **made.about})
        return
    found = made.about["threshold"]
    screen.print(f"{out}: {made.about['method']['selector']}, fitted on {len(task.train)} images of {name}")
    if found is not None:
        screen.print(
            f"threshold {found['value']:.6g} ({found['rule']}, from {found['scores']} held-out scores, for "
            f"{100 * found['rate']:g} % false alarms)"
        )
    for note in made.about["notes"]:
        screen.print(f"note: {note}")


def score(
    model: Annotated[Path, typer.Argument(metavar="FOLDER", help="From anobench fit.")],
    images: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Image files, or folders of them.")],
    maps: Annotated[
        Path | None, typer.Option("--maps", metavar="DIR", help="Write each image's anomaly map as TIFF.")
    ] = None,
    file: Annotated[
        list[Path],
        typer.Option("--file", metavar="FILE", help="A method of your own, its file. Repeatable."),
    ] = [],  # noqa: B006
    backbones: _Backbones = None,
    device: Annotated[str | None, typer.Option("--device", help="cpu, cuda, cuda:1.")] = None,
    out: OutFile = None,
    json: Json = False,
) -> None:
    """Score images by a saved method: a line of CSV for each, with its verdict where there is a threshold.

    Exit status: 0 no image is above the threshold, or there is none; 1 some are.
    """
    from bench.cli.console import err, hand_json, hand_out
    from bench.run.savedmethod import load_method

    fitted = load_method(model, files=file, backbones=backbones, device=device)
    paths = _files(images)
    with err.status(f"scoring {len(paths)} images"):
        found = fitted.score(paths)
    written = [] if maps is None else _write_maps(found, paths, maps)
    if json:
        rows = found.frame().to_dict("records")
        files: Sequence[Path | None] = written or [None] * len(paths)
        for row, path, map_file in zip(rows, paths, files, strict=True):
            row |= {"image": str(path)} | ({} if map_file is None else {"map": str(map_file)})
        hand_json("score", {"threshold": found.threshold, "images": rows}, out)
    else:
        frame = found.frame()
        frame["image"] = [str(path) for path in paths]
        if written:
            frame["map"] = [str(path) for path in written]
        hand_out(frame.to_csv(index=False, lineterminator="\n"), out)
    raise typer.Exit(int(found.anomalous is not None and bool(found.anomalous.any())))


def _files(given: list[Path]) -> list[Path]:
    """Return image files: those given, and those in the folders given, in order of their names."""
    from bench.data.walk import list_images

    found: list[Path] = []
    for path in given:
        if path.is_dir():
            inside = [path / name for name in list_images(path, path)]
            if not inside:
                raise AnobenchError(f"{path}: there are no images in this folder")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise AnobenchError(f"{path}: there is no such file or folder")
    return found


def _write_maps(found: Verdicts, paths: list[Path], folder: Path) -> list[Path]:
    """Write each image's map at the image's size, float32; return the files."""
    import tifffile
    from PIL import Image

    if found.maps is None:
        raise AnobenchError("--maps: this method gives no anomaly maps; methods for localisation do")
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for number, path in enumerate(paths):
        with Image.open(path) as image:
            width, height = image.size
        written.append(folder / f"{number:05}-{path.stem}.tiff")
        tifffile.imwrite(written[-1], found.map_of(number, (height, width)), compression="zlib")
    return written
