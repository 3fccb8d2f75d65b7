"""The card of a data set: what it is, its layout, what is checked, and how to obtain it."""

from __future__ import annotations

from bench.core.errors import DataError
from bench.data.copies import MissingData
from bench.data.dataset import Dataset
from bench.data.get.download import download_method, expected_counts, sets_conditions
from bench.data.get.facts import facts_of
from bench.data.official import CLASSES, CONTENT


def card(dataset: Dataset, name: str, selector: str = "") -> list[tuple[str, str]]:
    """Return a data set's description as (what, text) pairs, without reading or downloading images.

    Parameters
    ----------
    name : str
        The adapter's name, by which official fingerprints are known.
    selector : str
        Its name in commands, with parameters.
    """
    where, tasks = _here(dataset)
    # Not the base's default: SPARK has one task of its own.
    protocol = vars(dataset).get("protocol", "")
    given = [
        ("title", dataset.title),
        ("licence", dataset.licence),
        ("citation", dataset.citation),
        ("home", dataset.home),
        ("layout", dataset.layout),
        ("expected", expected_counts(dataset)),
        ("tasks", "; ".join(filter(None, (protocol, tasks)))),
        ("contamination", _pool(dataset)),
        ("checked", _checked(dataset, name)),
        ("obtained", _obtained(dataset, selector or name)),
        ("where", where),
        *(
            ("fact", f"{what} ({source}; {held})")
            for what, source, held in facts_of({"facts": dataset.facts})
        ),
    ]
    return [(what, text) for what, text in given if text]


def _here(dataset: Dataset) -> tuple[str, str]:
    """Return where the data is, and its tasks as far as they are known without it."""
    every = getattr(dataset, "categories", ()) or getattr(dataset, "classes", ()) if _listed(dataset) else ()
    try:
        place, found = dataset.place(), dataset.tasks()
    except MissingData:
        return "absent", f"{len(every)}: {', '.join(every)}" if every else ""
    except DataError as error:
        return f"damaged: {error}", f"{len(every)}: {', '.join(every)}" if every else ""
    of = f" of {len(every)}" if len(every) > len(found) else ""
    return str(place or "embedded"), f"{len(found)}{of}: {', '.join(found)}"


def _listed(dataset: Dataset) -> bool:
    """Return whether the names of all tasks are known without the data."""
    return any(isinstance(getattr(type(dataset), what, None), tuple) for what in ("categories", "classes"))


def _pool(dataset: Dataset) -> str:
    official = ", ".join(f"{rate:g}" for rate in dataset.official_rates)
    default = (
        "by default from the train split's labelled anomalies (holdout)"
        if dataset.has_anomaly_pool
        else "by default from the test set, which they leave"
    )
    return default + (f"; official noisy splits: {official}" if official else "")


def _checked(dataset: Dataset, name: str) -> str:
    checks = ["counts"] if dataset.expected else []
    checks += ["every image and mask", "duplicates between train and test"]
    if torchvision := dataset.torchvision or CLASSES.get(name, ""):
        checks.append(f"official files by the MD5 that torchvision publishes ({torchvision})")
    if name in CONTENT:
        checks.append("whole splits by their content")
    if dataset.download is not None:
        checks.append("the official archive by its sha256, when it is downloaded")
    return "; ".join(checks)


def _obtained(dataset: Dataset, name: str) -> str:
    how = download_method(dataset)
    if not how:
        return f"by hand, from {dataset.home}" if dataset.home and dataset.layout else ""
    accept = " --accept-licence" if sets_conditions(dataset) else ""
    through = {"hub": "from the Hugging Face hub", "torchvision": "through torchvision"}.get(how, "")
    if how == "hub" and not accept:
        through += "; by itself when a suite needs it"
    if how == "archive" and dataset.download is not None:
        through = f"from {dataset.download.url}, about {dataset.download.gigabytes:g} GB"
    return f"anobench data get {name}{accept} ({through})"
