"""Which suite, and which of its cells, a command line means."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.core.cell import Cell
    from bench.core.plan import Plan
    from bench.run.remaining import State
    from bench.suite.registry import Registry
    from bench.suite.suite import Suite


def the_suite(name: str | None, found: Registry, datasets: list[str], methods: list[str]) -> Suite:
    """Return the suite that a name or path means, or one made of selectors.

    Raises
    ------
    SuiteError
        Neither is given, or the file is not a suite.
    """
    from bench.core.errors import SuiteError
    from bench.suite.suite import adhoc_suite, load_suite

    if name is not None:
        return load_suite(found.suite_path(name))
    if not (datasets and methods):
        raise SuiteError(
            "give a suite (anobench list suites shows them), or both --dataset and --method, "
            "e.g. anobench run -d digits -m 'dn2[backbone=pixels]'"
        )
    return adhoc_suite(datasets, methods)


def narrowed(plan: Plan, state: State, datasets: list[str], methods: list[str]) -> State:
    """Keep the cells that the selectors mean: names are globs, parameters must be equal as text.

    Raises
    ------
    SelectorError
        No cell of the suite is meant.
    """
    import fnmatch
    from dataclasses import replace

    from bench.core.errors import SelectorError
    from bench.core.selector import Selector, parse

    def means(selector: Selector, name: str, params: dict[str, str]) -> bool:
        return fnmatch.fnmatchcase(name, selector.name) and all(
            fnmatch.fnmatchcase(params.get(key, ""), value) for key, value in selector.params.items()
        )

    def of_dataset(selector: Selector, cell: Cell) -> bool:
        known = parse(cell.dataset)
        return means(selector, known.name, {**known.params, "task": cell.task})

    def of_method(selector: Selector, cell: Cell) -> bool:
        params = {
            key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in cell.params
        }
        return means(selector, cell.method, {**params, "backbone": cell.backbone})

    chosen = [entry.cell for entry in plan.entries]
    for texts, test, option in ((datasets, of_dataset, "--dataset"), (methods, of_method, "--method")):
        selectors = [parse(text) for text in texts]
        if selectors:
            chosen = [cell for cell in chosen if any(test(selector, cell) for selector in selectors)]
            if not chosen:
                raise SelectorError(f"{option} {' '.join(texts)}: no cell of this suite is meant")
    keys = {cell.key for cell in chosen}
    return replace(state, todo=tuple(cell for cell in state.todo if cell.key in keys))
