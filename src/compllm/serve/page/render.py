"""Turns templates into pages; whatever is put into one is text, never HTML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from compllm.explain import Explanation, clean
from compllm.serve.page import words
from compllm.serve.page.citations import cite

FOLDER = Path(__file__).parent
# Nothing but the page's own script runs, whatever a model writes; nothing is fetched from elsewhere.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Templates:
    """The templates of the page."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_plain,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(words=words, cited=self._cited)

    def page(self, name: str, status: int = 200, **values: Any) -> Response:
        """Return a whole page."""
        html = self._environment.get_template(f"{name}.html").render(**values)
        return protected(HTMLResponse(html, status))

    def part(self, name: str, **values: Any) -> Markup:
        """Return a part of a page that can be put into the page, and replaced there while it is shown."""
        # The template has escaped what was put into it.
        return Markup(self._environment.get_template(f"parts/{name}.html").render(**values))  # noqa: S704

    def _cited(self, text: str, run: Explanation, home: str = "") -> Markup:
        """Return an answer with links to the nodes that it cites, on this page or on that of the run."""
        pieces = cite(text, {node.node for node in run.nodes})
        return self.part("cited", pieces=pieces, home=home)


class Canvas:
    """Draws the parts of one page while it is shown, each again only when what it shows has changed."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self._drawn: dict[str, tuple[Mapping[str, Any], Markup]] = {}

    def draw(self, place: str, name: str, **values: Any) -> Markup:
        """Return the part that goes to the element `place`."""
        drawn = self._drawn.get(place)
        if drawn is None or drawn[0] != values:
            drawn = self._drawn[place] = (values, self._templates.part(name, **values))
        return drawn[1]


def protected(response: Response) -> Response:
    """Add the headers that keep a page from running or fetching what is not ours, and from being kept or framed."""
    response.headers.update(_HEADERS)
    return response


def _plain(value: object) -> object:
    """Make the characters visible that would show a text in another order than it is written."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value
