"""How Sphinx makes the site: the pages of this repository as they are, and a reference from the docstrings.

`make docs` runs it with the root of the repository as the source, so that links lead where they lead on any other
reader of Markdown. Nothing is fetched: no fonts, no scripts, no other project's inventory.
"""

from __future__ import annotations

import re

from docutils.nodes import Node
from docutils.utils import new_document
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx
from sphinx.domains.python import ObjectEntry, PythonDomain
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

import p2pchat

project = "p2pchat"
author = "p2pchat contributors"
project_copyright = author
version = release = p2pchat.__version__

extensions = ["myst_parser", "sphinx.ext.apidoc", "sphinx.ext.autodoc"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**", "build/reference/**", "requirements/standins/README.md"]
exclude_patterns = [".*", "build/site", "dist", "p2pchat", "tests", "benchmarks", "**/__pycache__"]

# Every page lists all pages, and Sphinx makes that list anew for each: with a page for every module, and every function
# in the list, that alone takes minutes. So a page has a whole package, and its own list the modules.
toc_object_entries = False
apidoc_modules = [
    {"path": "../p2pchat", "destination": "build/reference", "separate_modules": False, "module_first": True},
]
autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "member-order": "bysource",
    "exclude-members": "AUTO_FOCUS",  # Sphinx shows Textual's words for it, with links into Textual's own pages
}
autodoc_typehints = "signature"
autodoc_use_type_comments = False  # there are none, and looking for them parses the source of every function
autodoc_inherit_docstrings = False
add_module_names = False
suppress_warnings = ["ref.python"]  # two modules may have a class of one name; a signature then links to the first

myst_heading_anchors = 6

html_theme = "furo"
html_title = f"p2pchat {release}"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False


class IndexedPythonDomain(PythonDomain):
    """Look for a name only if some object here ends in it.

    Sphinx compares a name that it does not find at once, such as the `int` of a signature, with every object there is.
    """

    _last_names: frozenset[str] = frozenset()
    _size = 0

    def find_obj(
        self,
        env: BuildEnvironment,
        modname: str | None,
        classname: str | None,
        name: str,
        type: str | None,
        searchmode: int = 0,
    ) -> list[tuple[str, ObjectEntry]]:
        if self._size != len(self.objects):
            self._size = len(self.objects)
            self._last_names = frozenset(known.rpartition(".")[2] for known in self.objects)
        if name.removesuffix("()").rpartition(".")[2] not in self._last_names:
            return []
        return super().find_obj(env, modname, classname, name, type, searchmode)


class MarkdownDirective(SphinxDirective):
    """Parse the content as Markdown, which is what the docstrings are written in."""

    has_content = True

    def run(self) -> list[Node]:
        document = new_document(self.get_source_info()[0], self.state.document.settings)
        MystParser().parse("\n".join(self.content), document)
        return list(document.children)


_SENTENCE = re.compile(r"(?:[^\W\d_]|`)[^*\\\[<&]*|")
"""A line of a paragraph with no markup but code spans: it begins no list, table or indented block."""


def _as_markdown(_app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    if all(map(_SENTENCE.fullmatch, lines)):  # most docstrings: a Markdown parser for each takes a sixth of the time
        lines[:] = [*_as_rst("\n".join(lines)).split("\n"), ""]
    else:
        lines[:] = ["", ".. markdown::", "", *("   " + line for line in lines), ""]


def _as_rst(text: str) -> str:
    """Return sentences with code spans as reStructuredText, which reads `code` and some signs in another way."""
    parts = re.split(r"(`+[^`]+`+)", text)
    parts[::2] = [re.sub(r"([_|:`])", r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [rf"\ ``{part.strip('`').strip()}``\ " for part in parts[1::2]]
    return "".join(parts)


def setup(app: Sphinx) -> None:
    """Have Sphinx read docstrings as Markdown, and find names by an index."""
    app.add_domain(IndexedPythonDomain, override=True)
    app.add_directive("markdown", MarkdownDirective)
    app.connect("autodoc-process-docstring", _as_markdown)
