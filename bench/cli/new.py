"""``anobench new``: working starting points for a method, a data set, or a folder with both."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import App, Json

app = App(
    help="Write a working starting point: a method, a data set, or a folder with both and a suite.",
    no_args_is_help=True,
)

METHOD = '''"""Distance to the nearest training images. Replace this, and name the method's paper."""

from bench import Images, Method, PositiveInt, Scores, nearest


class {title}(Method):
    """Mean distance to the k nearest training features.

    Parameters
    ----------
    k : int
        Neighbours.
    """

    # stochastic = True  # where chance plays a part: draw it from self.seed (bench.generator_for)

    def __init__(self, backbone: str = "default", k: PositiveInt = 2) -> None:
        self.backbone, self.k = backbone, k

    def fit(self, train: Images) -> None:
        self.bank = train.features(self.backbone)

    def score(self, test: Images) -> Scores:
        return Scores(nearest(test.features(self.backbone), self.bank, self.k).distances.mean(1))
'''

DATASET = '''"""Generated squares. Replace this by where the images come from, and under which licence."""

import numpy as np

from bench import ArraySource, Dataset, Images, PositiveInt, Task


class {title}(Dataset):
    """Grey noise; anomalous test images have a bright square."""

    synthetic = True

    def __init__(self, size: PositiveInt = 32) -> None:
        self.size = size

    def tasks(self) -> list[str]:
        return ["squares"]

    def fingerprint(self) -> str:
        return f"{name}-{{self.size}}-1"  # must change whenever an image does

    def task(self, name: str) -> Task:
        rng = np.random.default_rng(0)
        shape = (self.size, self.size, 3)
        train, test = (rng.integers(80, 120, (n, *shape), dtype=np.uint8) for n in (60, 40))
        labels = np.repeat([0, 1], 20).astype(np.uint8)
        test[20:, : self.size // 4, : self.size // 4] = 255
        sources = tuple(
            ArraySource(split, f"{{self.fingerprint()}}-{{split}}", len(pixels), lambda p=pixels: p)
            for split, pixels in (("train", train), ("test", test))
        )
        return Task(
            name=name,
            train=Images.of(sources[0]),
            test=Images.of(sources[1]),
            test_labels=labels,
            test_types=("good",) * 20 + ("square",) * 20,
            sources=sources,
        )
'''

SUITE = """title = "First look"
datasets = ["squares"]
methods = ["mine[k=[1,2]]", "dn2", "random"]
backbone = "pixels[size=16]"
"""

ABOUT = """# A bench of our own

```sh
anobench try mine
anobench run first
anobench pack first -o baseline.anobench
anobench run first && anobench check first --against baseline.anobench
python -m pytest -p bench.run.plugin --anobench methods methods
```
"""

Name = Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits and _: the file's name.")]


@app.command("method")
def method(name: Name, json: Json = False) -> None:
    """Write methods/NAME.py: a method that works, to be changed."""
    written = _written({_file("methods", name): METHOD.format(title=_title(name))})
    _next(
        json,
        "method",
        written,
        f"anobench try {name}",
        f"anobench run -d 'digits[task=3]' -m {name} -m random --name {name}",
    )


@app.command("dataset")
def dataset(name: Name, json: Json = False) -> None:
    """Write datasets/NAME.py: a data set that works, to be changed."""
    written = _written({_file("datasets", name): DATASET.format(title=_title(name), name=name)})
    _next(
        json,
        "dataset",
        written,
        f"anobench run -d {name} -m dn2 -m random --backbone 'pixels[size=16]' --name {name}",
    )


@app.command("bench")
def bench(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that does not exist, or is empty.")],
    json: Json = False,
) -> None:
    """Write a folder with a method, a data set, a suite, and what to do with them."""
    from bench.core.errors import AnobenchError

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise AnobenchError(f"{folder} exists and is not empty; name another folder")
    written = _written(
        {
            folder / "methods" / "mine.py": METHOD.format(title="Mine"),
            folder / "datasets" / "squares.py": DATASET.format(title="Squares", name="squares"),
            folder / "suites" / "first.toml": SUITE,
            folder / "README.md": ABOUT,
        }
    )
    _next(json, "bench", written, f"cd {folder}", "anobench try mine", "anobench run first")


def _file(folder: str, name: str) -> Path:
    """Return the file of an adapter's name; raise an `AnobenchError` for what can be none."""
    from keyword import iskeyword

    from bench.core.errors import AnobenchError

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or iskeyword(name):
        raise AnobenchError(
            f"{name!r} is no name: expected small letters, digits and _, such as my_{folder[:-1]}"
        )
    return Path(folder) / f"{name}.py"


def _title(name: str) -> str:
    return "".join(word.title() for word in name.split("_"))


def _written(files: dict[Path, str]) -> list[Path]:
    """Write files that are not there yet, and return them."""
    from bench.core.errors import AnobenchError
    from bench.core.files import write_atomically

    for path in files:
        if path.exists():
            raise AnobenchError(f"{path} exists already; choose another name, or move it away")
    for path, text in files.items():
        write_atomically(path, text.encode())
    return list(files)


def _next(json: bool, what: str, written: list[Path], *commands: str) -> None:
    """Say what was written, and what to do next."""
    from bench.cli.console import hand_json, out

    if json:
        hand_json(f"new {what}", {"files": written, "next": commands})
        return
    for path in written:
        out.print(f"{path}")
    out.print("\nNext:")
    for command in commands:
        out.print(f"  {command}")
