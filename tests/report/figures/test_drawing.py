"""Figures: well-formed, the same bytes twice, readable on white and dark pages, nothing cut off."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab

from bench.report.figures import draw
from bench.report.figures.common import Choice, Drawing
from bench.report.figures.contamination import contamination_curves
from bench.report.figures.critical import critical_differences
from bench.report.figures.draw import canvas, heat, svg
from bench.report.figures.heatmap import heat_map
from bench.report.figures.scatter import pareto, reproduction
from tests.report.figures.samples import KINDS, ODD, board_of, drawing, published

WHITE, DARK_PAGE = "#ffffff", "#0d1117"
#: How colours look to eyes that lack one kind of cones: in linear RGB (Machado et al. 2009, table 1).
BLIND = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def rgb(colours: list[str]) -> NDArray[np.float64]:
    return np.array([[int(each[at : at + 2], 16) / 255 for at in (1, 3, 5)] for each in colours])


def linear(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21 (WCAG 2)."""
    low, high = sorted(linear(rgb([one, other])) @ [0.2126, 0.7152, 0.0722])
    return float((high + 0.05) / (low + 0.05))


def svg_of(data: Drawing) -> str:
    return draw.render(data, "svg").decode()


def figure_of(data: Drawing) -> Figure:
    with canvas.style():
        figure = draw._figure(data)
        figure.draw_without_rendering()
    return figure


def texts_of(figure: Figure) -> list[Text]:
    """Return the texts that are drawn; ticks beyond the ends of an axis are not."""
    every: list[Any] = figure.findobj(Text)
    axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) if ax.axison]
    ticks = {label for axis in axes for label in axis.get_ticklabels(which="both")}
    drawn = {label for axis in axes for tick in axis._update_ticks() for label in (tick.label1, tick.label2)}
    hidden = {
        text for ax in figure.axes if not ax.axison for text in (*ax.get_xticklabels(), *ax.get_yticklabels())
    }
    found = [each for each in every if each not in hidden and (each not in ticks or each in drawn)]
    return [each for each in found if each.get_visible() and each.get_text().strip()]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_in_every_format(kind: str) -> None:
    data = drawing(kind)
    assert draw.render(data, "png").startswith(b"\x89PNG\r\n")
    assert draw.render(data, "pdf").startswith(b"%PDF")
    root = ElementTree.fromstring(svg_of(data))
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    title, desc = root.find(f"{space}title"), root.find(f"{space}desc")
    assert title is not None
    assert desc is not None
    assert title.text == data.title
    assert desc.text == data.description
    assert root.get("role") == "img"
    names = {each.get("id") for each in (title, desc)}
    assert set((root.get("aria-labelledby") or "").split()) == names


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_stands_alone_and_is_drawn_in_lines(kind: str) -> None:
    text = svg_of(drawing(kind))
    root = ElementTree.fromstring(text)
    there = {each.get("id") for each in root.iter()}
    wanted = set(re.findall(r'href="#([^"]*)"', text)) | set(re.findall(r"url\(#([^)]*)\)", text))
    assert wanted <= there
    assert ("<image" in text) == (kind == "maps")
    assert "<script" not in text
    assert "http" not in text.replace("http://www.w3.org/", "")
    assert len(text.encode()) < 150_000


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_cut_off_or_covered(kind: str) -> None:
    figure = figure_of(drawing(kind))
    page = figure.bbox
    boxes = []
    for each in texts_of(figure):
        box = each.get_window_extent()
        assert page.x0 - 1 <= box.x0, each.get_text()
        assert box.x1 <= page.x1 + 1, each.get_text()
        assert page.y0 - 1 <= box.y0, each.get_text()
        assert box.y1 <= page.y1 + 1, each.get_text()
        if each.get_rotation() in (0, 90):
            boxes.append((each.get_text(), box.padded(-1)))
    for (one, first), (other, second) in itertools.combinations(boxes, 2):
        assert not first.overlaps(second), (one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_odd_and_long_names(kind: str) -> None:
    data = drawing(kind, ODD)
    text = svg_of(data)
    desc = ElementTree.fromstring(text).find("{http://www.w3.org/2000/svg}desc")
    assert desc is not None
    assert desc.text == data.description
    figure = figure_of(data)
    for each in texts_of(figure):
        box = each.get_window_extent()
        assert box.x0 >= -1, each.get_text()
        assert box.x1 <= figure.bbox.x1 + 1, each.get_text()
    for form in ("pdf", "png"):
        assert draw.render(data, form)  # type: ignore[arg-type]


def test_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    code = (
        "import hashlib, sys\n"
        "from tests.report.figures.samples import drawing\n"
        "from bench.report.figures.draw import render\n"
        "for kind in ('heatmap', 'pareto', 'reproduction'):\n"
        "    print(kind, hashlib.sha256(render(drawing(kind), 'svg')).hexdigest())\n"
        "print(hashlib.sha256(render(drawing('pareto'), 'pdf')).hexdigest())\n"
    )
    root = Path(__file__).resolve().parents[3]
    (tmp_path / "matplotlibrc").write_text("font.size: 20\nsvg.fonttype: none\nlines.linewidth: 9\n")
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={
                "PYTHONPATH": str(root),
                "PYTHONHASHSEED": seed,
                "HOME": str(tmp_path),
                "MPLCONFIGDIR": str(tmp_path / seed),
                "MATPLOTLIBRC": matplotlibrc,
            },
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        ).stdout
        for seed, matplotlibrc in (("1", ""), ("2", str(tmp_path)))
    }
    assert len(said) == 1, "neither the hash seed nor the user's settings change a figure"
    assert said.pop().count("\n") == 4


def test_colours_are_legible_on_white_and_dark_pages() -> None:
    for text in (canvas.INK, canvas.MUTED):
        assert contrast(text, WHITE) >= 4.5
        assert contrast(canvas.DARK[text], DARK_PAGE) >= 4.5
    for drawn in (canvas.FAINT, *(colour for colour, _, _ in canvas.SERIES)):
        assert contrast(drawn, WHITE) >= 3
        assert contrast(canvas.DARK[drawn], DARK_PAGE) >= 3
    assert (canvas.PAPER, canvas.DARK[canvas.PAPER]) == (WHITE, DARK_PAGE)


@pytest.mark.parametrize("blind", BLIND)
@pytest.mark.parametrize("dark", [False, True])
def test_colours_differ_to_all_eyes(blind: str, dark: bool) -> None:
    colours = [canvas.DARK[colour] if dark else colour for colour, _, _ in canvas.SERIES]
    seen = np.clip(linear(rgb(colours)) @ np.array(BLIND[blind]).T, 0, 1)
    lab = rgb2lab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055))
    apart = deltaE_ciede2000(lab[:, None], lab[None])[np.triu_indices(len(lab), 1)]
    assert apart.min() > 11, "ten is seen at a glance"


def test_no_colour_is_needed() -> None:
    assert len({marker for _, marker, _ in canvas.SERIES}) == len(canvas.SERIES)
    assert len({(marker, str(line)) for _, marker, line in canvas.SERIES}) == len(canvas.SERIES)


def test_numbers_on_the_heat_map_are_legible() -> None:
    for share in np.linspace(0, 1, 201):
        text = heat.LIGHT_TEXT if share > heat.LIGHT_FROM else heat.DARK_TEXT
        assert contrast(text, to_hex(heat.COLOURS(float(share)))) > 4
    light = linear(np.array([heat.COLOURS(each)[:3] for each in np.linspace(0, 1, 51)]))
    assert (np.diff(light @ [0.2126, 0.7152, 0.0722]) < 0).all(), "it prints in grey"


@pytest.mark.parametrize("kind", KINDS)
def test_every_colour_has_its_counterpart_on_dark_pages(kind: str) -> None:
    text = svg_of(drawing(kind))
    (rules,) = re.findall(r"@media \(prefers-color-scheme: dark\)\{(.*)\}</style>", text)
    swaps = dict(
        re.findall(r'\[style\*="((?:fill|stroke): #\w{6})"\]\{(?:fill|stroke):(#\w{6})!important\}', rules)
    )
    used = set(re.findall(r"(?:fill|stroke): #\w{6}", text.replace(rules, "")))
    cells = {heat.DARK_TEXT, heat.LIGHT_TEXT, heat.HOLE}
    scale = {to_hex(heat.COLOURS(each)) for each in range(256)}
    scale |= {to_hex(heat.COLOURS(each / heat.LEVELS)) for each in range(heat.LEVELS + 1)}
    for use in used:
        if kind != "heatmap" or use.split(" ")[1] not in cells | scale:
            assert use in swaps, f"{use} stays as it is on a dark page"
    assert set(swaps) <= used


def test_large_suites_stay_small_files() -> None:
    names = [f"method_{at:02}[backbone=pixels,k={at}]" for at in range(30)]
    eight = {f"data set {at}": ["0", "1"] for at in range(8)}
    curves = contamination_curves(board_of(names, eight, rates=(0.0, 0.05, 0.1, 0.2), stochastic=True))
    assert len(svg_of(curves)) < 200_000
    hundred = heat_map(board_of(names[:12], {"x": [f"class {at}" for at in range(100)]}, seeds=(0,)))
    figure = svg_of(hundred)
    assert len(figure) < 200_000
    width = float(re.findall(r'width="([\d.]+)pt"', figure)[0])
    assert width < 72 * 12, "the columns go on below one another"
    assert len(figure_of(hundred).axes) >= 3


def test_a_diagram_is_as_wide_as_its_names_and_ranks_need() -> None:
    def width(methods: int) -> float:
        labels = [f"{'W' * 30}{at}" for at in range(methods)]
        six = {f"data{at}": ["0", "1"] for at in range(6)}
        board = board_of(labels, six, lambda entry: 0.9 - 0.01 * entry.row)
        return float(figure_of(critical_differences(board)).get_figwidth())

    assert width(6) - width(4) == pytest.approx(2 * 0.14, abs=0.01)


@pytest.mark.parametrize("value", [0.005, 0.5, 0.9, 0.999])
def test_every_reproduction_lies_inside_its_square(value: float) -> None:
    board = board_of(["a", "b"], {"x": ["0"], "y": ["0"]}, lambda _: value)
    data = reproduction(board, published(board))
    ax = figure_of(data).axes[0]
    (low, high), across = ax.get_ylim(), ax.get_xlim()
    assert (low, high) == across
    shown = [100 * v for pair in data.pairs for v in (pair.theirs, pair.ours, *(pair.interval or ()))]
    assert low <= min(shown)
    assert max(shown) <= high <= 100
    assert high - max(shown) >= min(0.5, 100 - max(shown)), "room around the points, up to 100"


def test_every_method_lies_at_its_seconds_and_points() -> None:
    data = pareto(board_of(["a", "b"], {"x": ["0"]}, lambda entry: 0.9 - 0.1 * entry.row))
    ax = figure_of(data).axes[0]
    dots = sorted(np.ravel(line.get_xydata()).tolist() for line in ax.lines[: len(data.spots)])
    assert np.allclose(dots, [(spot.seconds, 100 * spot.auroc) for spot in data.spots])


def test_names_of_data_sets_stand_below_the_middle_of_their_tasks() -> None:
    data = heat_map(board_of(["a", "b"], {"x": ["0", "1", "2"], "y": ["0"]}))
    (below,) = figure_of(data).axes[0].child_axes
    middles = dict(
        zip((text.get_text() for text in below.get_xticklabels()), below.get_xticks(), strict=True)
    )
    assert middles == {"x": 1.5, "y": 3.5}


@pytest.mark.parametrize("rates", [(0.0, 0.02, 0.05, 0.1, 0.2, 0.4), (0.0, 0.001, 0.3, 0.399, 0.4)])
def test_rates_close_to_one_another_keep_their_labels_apart(rates: tuple[float, ...]) -> None:
    figure = figure_of(contamination_curves(board_of(["a"], {"x": ["0"], "y": ["0"]}, rates=rates)))
    for ax in figure.axes[:3]:
        ends = [text.get_window_extent() for text in ax.get_xticklabels() if text.get_text()]
        assert len(ends) >= 3
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(ends))


@pytest.mark.parametrize("datasets", [1, 2, 3, 4, 6])
def test_panels_are_of_about_the_same_size(datasets: int) -> None:
    data = contamination_curves(
        board_of(["a"], {f"data{at}": ["0"] for at in range(datasets)}, rates=(0.0, 0.1))
    )
    figure = figure_of(data)
    count = len(data.panels)
    rows = len({round(ax.get_position().y0, 3) for ax in figure.axes[:count]})
    plots = [ax.get_window_extent().height / figure.dpi for ax in figure.axes[:count]]
    assert rows == {1: 1, 3: 1, 4: 2, 5: 2, 7: 3}[count]
    assert max(plots) - min(plots) < 0.05
    assert 1.5 < min(plots) < 3, "inches: neither flat nor tall"


def test_heat_maps_of_one_and_of_nothing() -> None:
    one = heat_map(board_of(["a"], {"x": ["0"]}, lambda _: 0.875))
    assert "87.5" in [each.get_text() for each in texts_of(figure_of(one))]
    holes = heat_map(board_of(["a", "b"], {"x": ["0"]}), Choice())
    empty = type(holes)(
        **{**_fields(holes), "values": ((None,), (None,)), "holes": (("failed",), ("failed",))}
    )
    ElementTree.fromstring(svg_of(empty))


def _fields(data: Any) -> dict[str, Any]:
    return {name: getattr(data, name) for name in data.__dataclass_fields__ if name != "kind"}


def test_the_words_of_a_figure_are_xml() -> None:
    made = svg.finish('<svg width="1pt"></svg>', title="<a & b>\x00", description='"\x0b\uffff ok')
    root = ElementTree.fromstring(made)
    assert [each.text for each in root][:2] == ["<a & b>", '" ok']


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.001, "0.001"),
        (2.5, "2.5"),
        (1000, "1,000"),
        (1e6, "1,000,000"),
        (1e7, "10⁷"),
        (2e-9, "2 × 10⁻⁹"),
    ],
)
def test_plain_numbers(value: float, text: str) -> None:
    assert canvas.plain(value) == text
