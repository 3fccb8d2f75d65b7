"""An SVG figure as it is written: smaller, with alternative text, and at home on light and dark pages.

The figure brings its own paper, so that it can be read on any page. Where a page is dark, and says so,
paper, ink and colours change together: a style sheet inside the figure replaces each colour of
`bench.report.figures.draw.canvas` by its counterpart. Without support for it the light figure is shown.
"""

from __future__ import annotations

import re
from html import escape

from bench.report.figures.draw.canvas import DARK

_HEAD = re.compile(r"^.*?(?=<svg )", re.DOTALL)
_DROPPED = re.compile(r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*", re.DOTALL)
_SVG = re.compile(r"<svg ([^>]*)>")
_PLACED = re.compile(r'\b(d|x|y|x1|x2|y1|y2|points|transform|width|height)="([^"]*)"')
_NUMBER = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
_SCALE = re.compile(r"(scale|matrix)\([^)]*\)")
_GLYPH = re.compile(r'(id="|href="#)DejaVuSans-')
_MOVED = re.compile(r'(<use xlink:href="#g[^"]*") transform="translate\(([-\d.]+) 0\)"/>')
#: A group that does nothing: around one element, or around nothing.
_ALONE = re.compile(r'<g id="[^"]*">\s*(<(?:path|use)[^>]*/>)\s*</g>')
_EMPTY = re.compile(r'<g id="[^"]*"/>\s*|<g id="[^"]*">\s*</g>\s*')
_NAMED = re.compile(r'<g id="[^"]*">')
#: Level and upright edges: a rectangle says each coordinate once.
_BOX = re.compile(r"M (\S+) (\S+) L (\S+) \2 L \3 (\S+) L \1 \4 (?:L \1 \2 )?z")
#: The names of markers and clipping paths.
_HASHED = re.compile(r'(?<=["#])[mp][0-9a-f]{10}(?=[")])')
#: Two and more uses of one shape in one style.
_MARKERS = re.compile(
    r'<use xlink:href="(#[^"]*)" [^>]*style="([^"]*)"/>\s*(?:<use xlink:href="\1" [^>]*style="\2"/>\s*)+'
)


def finish(svg: str, *, title: str, description: str) -> str:
    """Return matplotlib's SVG with title, description and dark style, without what nobody needs.

    Parameters
    ----------
    svg : str
    title, description : str
        Plain text.

    Returns
    -------
    str
        With a newline at the end.
    """
    body = _DROPPED.sub("", _HEAD.sub("", svg))
    body = _PLACED.sub(lambda found: f'{found[1]}="{_rounded(found[2])}"', body)
    body = _lighter(body)
    words = (
        '\n<title id="title">' + escape(_xml(title)) + "</title>"
        '\n<desc id="description">' + escape(_xml(description)) + "</desc>"
    )
    about = 'role="img" aria-labelledby="title description"'
    styles = f"\n<style>{_dark(body)}</style>"
    body = _SVG.sub(lambda found: f"<svg {about} {found[1]}>{words}{styles}", body, count=1)
    return "\n".join(line.strip() for line in body.splitlines() if line.strip()) + "\n"


def _lighter(body: str) -> str:
    """Return a figure without the groups and the names that only make it longer: about half its size."""
    body = _MOVED.sub(r'\1 x="\2"/>', _GLYPH.sub(r"\1g", body)).replace("; stroke-linejoin: miter", "")
    body = _NAMED.sub("<g>", _ALONE.sub(r"\1", _EMPTY.sub("", body)))
    body = _BOX.sub(r"M\1 \2H\3V\4H\1z", _MARKERS.sub(_together, body))
    names = {name: f"{name[0]}{at}" for at, name in enumerate(dict.fromkeys(_HASHED.findall(body)))}
    return _HASHED.sub(lambda found: names[found[0]], body)


def _together(markers: re.Match[str]) -> str:
    """Return markers of one look as a group that has the look once."""
    style = f' style="{markers[2]}"'
    return f"<g{style}>\n{markers[0].replace(style, '')}</g>\n"


def _rounded(text: str) -> str:
    """Round coordinates to hundredths of a point; scales of glyphs keep all their digits."""
    kept = _SCALE.findall(text)
    if kept:
        return re.sub(r"translate\([^)]*\)", lambda found: _NUMBER.sub(_short, found[0]), text)
    return _NUMBER.sub(_short, " ".join(text.split()))


def _short(number: re.Match[str]) -> str:
    text = f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _dark(body: str) -> str:
    """Return the rules that replace the figure's colours on a dark page."""
    rules = [
        f'[style*="{what}: {light}"]{{{what}:{dark}!important}}'
        for light, dark in DARK.items()
        for what in ("fill", "stroke")
        if f"{what}: {light}" in body
    ]
    return f"@media (prefers-color-scheme: dark){{{''.join(rules)}}}"


def _xml(text: str) -> str:
    """Return text without the characters that XML does not allow."""
    return "".join(each for each in text if each in "\t\n" or (each >= " " and each not in "\ufffe\uffff"))
