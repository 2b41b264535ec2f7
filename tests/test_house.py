"""The house keeps its own rules: what the documents promise about the repository itself is checked here."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import p2pchat
from p2pchat import errors
from p2pchat.core import contents

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "p2pchat"
MODULES = sorted(PACKAGE.rglob("*.py"))
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
MAX_LINES = 600
MAX_PUBLIC_METHODS = 16


def _run(*command: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def _tracked() -> list[Path]:
    """Every file of the repository; in a copy without git, every file that is not hidden or made."""
    listed = _run("git", "ls-files", "-z")
    if listed.returncode == 0:
        return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    folders = ("p2pchat", "tests", "docs", "requirements", "benchmarks")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    return [path for path in [*ROOT.glob("*.*"), ROOT / "Makefile", *found] if path.is_file()]


def _texts() -> Iterator[tuple[Path, str]]:
    for path in _tracked():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a vector, a picture


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


# --- import contracts --------------------------------------------------------------------------------------------


def _lint(folder: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    chosen = [argument for contract in contracts for argument in ("--contract", contract)]
    run = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return _run(sys.executable, "-c", run, "--no-logo", "--no-cache", *chosen, folder=folder)


def test_import_contracts_hold() -> None:
    result = _lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


BREAKS = [
    ("layers", "core/codec.py", "from p2pchat.store import database", "core.codec -> p2pchat.store.database"),
    ("layers", "sanitize.py", "from p2pchat.core import codec", "sanitize -> p2pchat.core.codec"),
    ("layers", "net/frames.py", "from p2pchat.engine import engine", "net.frames -> p2pchat.engine.engine"),
    ("layers", "net/frames.py", "from p2pchat.store import database", "net.frames -> p2pchat.store.database"),
    ("net-carries", "net/frames.py", "from p2pchat.core import content", "net.frames -> p2pchat.core.content"),
    ("engine-net", "ports.py", "from p2pchat.net import frames", "ports -> p2pchat.net.frames"),
    ("core-pure", "core/session.py", "import time", "core.session -> time"),
    ("core-pure", "core/session.py", "import trio", "core.session -> trio"),
    ("primitives", "core/session.py", "import nacl.bindings", "core.session -> nacl"),
    ("primitives", "net/frames.py", "import cryptography.hazmat", "net.frames -> cryptography"),
    ("sql", "ports.py", "import sqlcipher3", "ports -> sqlcipher3"),
    ("voice", "ports.py", "import miniaudio", "ports -> miniaudio"),
    ("libp2p", "ports.py", "import libp2p", "ports -> libp2p"),
    ("faces", "cli/output.py", "def late() -> None:\n    import trio", "cli.output -> trio"),
    ("faces", "cli/output.py", "from p2pchat.engine import engine", "cli.output -> p2pchat.engine.engine"),
    ("decoders", "ports.py", "from PIL import Image", "ports -> PIL"),
    ("decoders", "media/pictures.py", "def late() -> None:\n    import PIL.Image", "media.pictures -> PIL"),
    (
        "picture-process",
        "media/pictures.py",
        "from p2pchat.media import child",
        "media.pictures -> p2pchat.media.child",
    ),
    ("cycles", "core/codec.py", "from p2pchat.core import content", "- .content -> .codec"),
]
"""Contract, module, a line in it that the contract forbids, and how that is said."""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Contract → what is said of it where every one of these lines is in the code: graphs take long to build."""
    folder = tmp_path_factory.mktemp("broken")
    shutil.copytree(PACKAGE, folder / "p2pchat", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for _, module, line, _ in BREAKS:
        with (folder / "p2pchat" / module).open("a") as file:
            file.write(f"\n{line}\n")
    result = _lint(folder)
    assert result.returncode == 1, result.stdout + result.stderr
    contracts = _project()["tool"]["importlinter"]["contracts"]
    names = {row["name"]: row["id"] for row in contracts}
    broken, ident = dict[str, str](), ""
    for line in result.stdout.partition("Broken contracts")[2].splitlines():
        ident = names.get(line, ident)
        broken[ident] = broken.get(ident, "") + line + "\n"
    return broken


@pytest.mark.parametrize(("contract", "module", "line", "said"), BREAKS)
def test_import_contracts_can_fail(broken: dict[str, str], contract: str, module: str, line: str, said: str) -> None:
    assert f"{said} (" in broken[contract], f"{module}: {line}"


def test_every_face_is_under_the_contract() -> None:
    contracts = _project()["tool"]["importlinter"]["contracts"]
    faces = next(one for one in contracts if one["id"] == "faces")
    for face in ("cli", "tui", "bot"):
        if (PACKAGE / face).is_dir():
            assert f"p2pchat.{face}" in faces["source_modules"]


def test_every_contract_has_its_reason_above_it() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    blocks = text.split("[[tool.importlinter.contracts]]")
    assert len(blocks) > 5
    for before in blocks[:-1]:
        assert before.rstrip().splitlines()[-1].startswith("# ")


def test_a_verb_starts_without_the_heavy_libraries() -> None:
    heavy = (
        "trio",
        "libp2p",
        "nacl",
        "cryptography",
        "sqlcipher3",
        "multiaddr",
        "segno",
        "textual",
        "prometheus_client",
    )
    script = (
        "import sys, p2pchat.cli.main\n"
        f"print(*[name for name in {heavy!r} if name in sys.modules])\n"
        "print(*[name for name in sys.modules if name in ('p2pchat.engine', 'p2pchat.store', 'p2pchat.net')])"
    )
    result = _run(sys.executable, "-c", script)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


# --- the code ----------------------------------------------------------------------------------------------------


_ALIASES = {"core.primitives": "prim"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_keeps_the_habits(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES, "split it"
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", text)
    loops_too = path.relative_to(PACKAGE).parts[0] not in ("engine", "tui")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            _check_own_names(node)
        if loops_too and isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            names = {part.id for part in ast.walk(node.target) if isinstance(part, ast.Name)}
            assert not names & {"one", "some", "found"}, f"a loop variable names the thing: {ast.unparse(node.target)}"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: a bare except"
        if isinstance(node, ast.ClassDef):
            methods = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
            # What Textual calls by its name is not for others to know: handlers, actions, and what a widget draws.
            public = [
                one.name for one in methods if not one.name.startswith(("_", "on_", "action_", "render", "compose"))
            ]
            assert len(public) <= MAX_PUBLIC_METHODS, f"{node.name} is two classes"
        assert not isinstance(node, ast.Global), "state belongs to somebody"


def _check_own_names(node: ast.ImportFrom) -> None:
    """Modules of ours have their own names; docs/decisions/0048-names-at-import.md says which aliases are left."""
    if not (node.module or "").startswith("p2pchat"):
        return
    parent = (node.module or "").removeprefix("p2pchat").lstrip(".")
    for imported in node.names:
        allowed = {imported.name, _ALIASES.get(f"{parent}.{imported.name}")}
        if parent.split(".")[0] == "store":
            allowed.add(f"store_{imported.name}")
        assert imported.asname is None or imported.asname in allowed, f"line {node.lineno}: another name"


@pytest.mark.parametrize("init", sorted(PACKAGE.rglob("__init__.py")), ids=lambda init: init.parent.name)
def test_the_tour_of_a_package_names_every_module(init: Path) -> None:
    tour = ast.get_docstring(ast.parse(init.read_text())) or ""
    modules = {path.stem for path in init.parent.glob("*.py") if path != init}
    packages = {path.parent.name for path in init.parent.glob("*/__init__.py")}
    assert (modules | packages) - set(re.findall(r"\w+", tour)) == set()


_DOTTED = re.compile(r"`(?:p2pchat\.)?([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)`")
_FILES = (".db", ".json", ".md", ".new", ".py", ".sock", ".toml")


def _defined(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.id if isinstance(node, ast.Name) else node.attr)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
    return names


def test_a_dotted_name_in_a_text_of_the_code_is_there() -> None:
    """`module.name`, `room.module.name` or `Class.name`, where the first part is a module of ours or a class."""
    defined = {path: _defined(path) for path in MODULES}
    modules = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): names for path, names in defined.items()}
    modules = {name.removesuffix(".__init__"): names for name, names in modules.items()}
    heads = {part for name in modules for part in name.split(".")}

    def is_there(parts: list[str]) -> bool:
        if parts[0][0].isupper():
            return any(set(parts) <= names for names in defined.values())
        for count in range(1, len(parts) + 1):
            name, rest = ".".join(parts[:count]), set(parts[count:])
            if any(f".{module}".endswith(f".{name}") and rest <= names for module, names in modules.items()):
                return True
        return False

    missing = [
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in MODULES
        for name in _DOTTED.findall(path.read_text())
        if not name.endswith(_FILES)
        if name.split(".")[0] in heads or name[0].isupper()
        if not is_there(name.split("."))
    ]
    assert missing == []


def test_a_public_class_has_a_name_of_its_own() -> None:
    """So that a reader who meets it knows which one it is. Faces have names of their own, beside those of the node."""
    places: dict[str, list[str]] = {}
    for path in MODULES:
        if path.relative_to(PACKAGE).parts[0] not in ("bot", "cli", "tui"):
            for name in re.findall(r"^class ([A-Z]\w+)", path.read_text(), re.MULTILINE):
                places.setdefault(name, []).append(str(path.relative_to(PACKAGE)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def _all_errors(base: type[Exception]) -> Iterator[type[Exception]]:
    yield base
    for child in base.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _all_errors(child)


@pytest.mark.parametrize("error", list(_all_errors(errors.P2PChatError)), ids=lambda error: error.__name__)
def test_an_error_is_a_sentence_a_person_reads(error: type[errors.P2PChatError]) -> None:
    text = error.__doc__ or ""
    assert re.fullmatch(r"[A-Z][^\n]*\.", text), "one sentence, on one line"
    assert error.hint == "" or re.fullmatch(r"[A-Z`][^\n]*\.", error.hint)
    assert "\n" not in error().line()
    assert error.exit_code in range(1, 6)
    assert error.__name__ in (errors.__doc__ or ""), "the tree at the top of errors.py lacks it"


# --- the tests ---------------------------------------------------------------------------------------------------

TESTS = ROOT / "tests"


def test_every_module_is_tested_by_the_file_of_its_name_or_by_one_that_is_listed() -> None:
    lines = [line for line in (TESTS / "mirror.txt").read_text().splitlines() if line and not line.startswith("#")]
    elsewhere = {module: tests for module, *tests in (line.split() for line in lines if not line.startswith("- "))}
    across = {line.removeprefix("- ") for line in lines if line.startswith("- ")}
    assert len(lines) == len(elsewhere) + len(across), "something is listed twice"
    modules = {path.relative_to(PACKAGE) for path in MODULES if not path.name.startswith("__")}
    mirrored = {str(module): f"{module.parent / f'test_{module.stem}'}.py" for module in modules}
    without = {module for module, test in mirrored.items() if not (TESTS / test).is_file()}
    assert without == elsewhere.keys()
    assert all(tests and all((TESTS / test).is_file() for test in tests) for tests in elsewhere.values())
    stories = ("world", "process", "lab", "interop", "support")
    files = {path.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    assert {str(path) for path in files if path.parts[0] not in stories} - {*mirrored.values()} == across


def _test_functions(path: Path) -> set[str]:
    return set(re.findall(r"^(?:    )?(?:async def |def |class )?([Tt]est\w+)", path.read_text(), re.MULTILINE))


def test_every_test_that_a_text_names_exists() -> None:
    found = 0
    for path, text in _texts():
        if path.name == "CHANGELOG.md":  # it tells of its time
            continue
        for file, name in re.findall(r"\b(tests/[a-z0-9_/]+\.py)(?:::(\w+))?", text):
            found += 1
            assert (ROOT / file).is_file(), f"{path.relative_to(ROOT)}: {file}"
            assert not name or name in _test_functions(ROOT / file), f"{path.relative_to(ROOT)}: {file}::{name}"
    assert found > 100


# --- packaging ---------------------------------------------------------------------------------------------------


def test_version_is_one() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev0)?", p2pchat.__version__)
    assert importlib.metadata.version("p2pchat-tui") == p2pchat.__version__
    assert "version" in _project()["project"]["dynamic"]


def _requirements(name: str) -> dict[str, str]:
    """Package → the line's requirement, of an .in file; each line must say why."""
    wanted = {}
    for line in (ROOT / "requirements" / name).read_text().splitlines():
        if line and not line.startswith(("#", "-r")):
            requirement, _, reason = line.partition("#")
            assert len(reason.split()) >= 2, f"{name}: {line!r} has no reason"
            wanted[re.split(r"[<>=~! ]", requirement)[0].lower()] = requirement.strip()
    return wanted


_STANDINS = sorted(path.parent for path in (ROOT / "requirements/standins").glob("*/pyproject.toml"))


def test_dependencies_are_those_of_run_in_and_the_stand_ins_by_their_place() -> None:
    """An installer that resolves by itself takes every stand-in from the checkout, and looks for no real one."""
    listed = importlib.metadata.requires("p2pchat-tui") or []
    wanted = [*_requirements("run.in").values(), *(f"{folder.name} @ {folder.as_uri()}" for folder in _STANDINS)]
    assert sorted(line for line in listed if "extra ==" not in line) == sorted(wanted)
    assert len(_STANDINS) >= 1


def test_the_extras_are_the_files_of_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("setuptools.setup", lambda **arguments: given.update(arguments))
    runpy.run_path(str(ROOT / "setup.py"))
    extras = ("pictures", "voice")
    assert given["extras_require"] == {name: [*_requirements(f"{name}.in").values()] for name in extras}


def test_make_setup_installs_what_decodes_pictures() -> None:
    assert "requirements/pictures.in" in (ROOT / "Makefile").read_text()
    lock = (ROOT / "requirements/run.lock").read_text()
    assert all(re.search(rf"^{package}==", lock, re.MULTILINE) for package in _requirements("pictures.in"))


_DISTRIBUTION = {
    "PIL": "pillow",
    "nacl": "pynacl",
    "trio_typing": "trio-typing",
    "prometheus_client": "prometheus-client",
    "arabic_reshaper": "arabic-reshaper",
    "bidi": "python-bidi",
    "python_socks": "python-socks",
}


def _third_party() -> set[str]:
    found = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names = [node.module]
            found |= {name.split(".")[0] for name in names}
    return {_DISTRIBUTION.get(name, name) for name in found - sys.stdlib_module_names - {"p2pchat"}}


def test_what_is_imported_is_listed_and_what_is_listed_is_imported() -> None:
    run, dev, voice, pictures = (set(_requirements(f"{name}.in")) for name in ("run", "dev", "voice", "pictures"))
    used = _third_party()
    assert used <= run | voice | pictures | {"trio-typing"}
    assert "trio-typing" in dev  # only for type checkers
    assert run | voice | pictures <= used | {"opuslib-next-bundled"}  # of which only the C library is loaded


@pytest.mark.parametrize("lock", ["build", "run", "voice", "dev", "docs"])
def test_lock_pins_every_package_with_hashes(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    assert entries
    names = set()
    for entry in entries:
        pinned = re.match(r"([a-z0-9][a-z0-9._-]*)==([^\s;]+)", entry)
        assert pinned, entry[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), f"{pinned[1]} has no hash"
        names.add(pinned[1])
    missing = {name.replace("_", "-") for name in _requirements(f"{lock}.in")} - names
    assert not missing, "make lock"


def test_dev_lock_has_the_versions_of_the_other_locks() -> None:
    pins = [
        set(re.findall(r"^\S+==[^\s;]+", (ROOT / "requirements" / f"{name}.lock").read_text(), re.MULTILINE))
        for name in ("run", "voice", "dev")
    ]
    assert pins[0] | pins[1] <= pins[2]


@pytest.mark.parametrize("folder", _STANDINS, ids=lambda folder: folder.name)
def test_a_stand_in_satisfies_libp2p_and_refuses_to_work(folder: Path) -> None:
    version = importlib.metadata.version(folder.name)
    assert version.endswith("+standin"), "make setup installs the stand-in"
    demanded = [Requirement(line) for line in importlib.metadata.requires("libp2p") or []]
    assert any(version in one.specifier for one in demanded if one.name == folder.name), "nobody asks for it"
    assert not re.search(rf"^{folder.name}==", (ROOT / "requirements/run.lock").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    "use",
    [
        "from fastecdsa import curve, keys; keys.gen_private_key(curve.P256)",
        "import coincurve; coincurve.PrivateKey()",
        "import coincurve; coincurve.PublicKey(b'')",
        "import miniupnpc; miniupnpc.UPnP()",
    ],
)
def test_whoever_uses_a_stand_in_is_told_what_it_is(use: str) -> None:
    result = _run(sys.executable, "-c", use)
    assert "NotImplementedError: p2pchat installs a stand-in for" in result.stderr


# --- documents ---------------------------------------------------------------------------------------------------

# written in pieces, so that this file does not find itself
_FORBIDDEN = [
    "pypi." + "org",
    "files." + "pythonhosted",
    "registry." + "npmjs",
    "deb." + "debian",
    "/".join(["", "work", "main"]),
    "/".join(["..", "shared"]),
    "/".join(["", "tmp", "plan"]),
    "/".join(["", "opt", "pypi"]),
    "--index" + "-url ",
]


def test_no_file_names_a_registry_or_a_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {needle}" for path, text in _texts() for needle in _FORBIDDEN if needle in text
    ]
    assert not found


_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def _anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = [link.partition("#")[0] for link in _LINK.findall(page.read_text()) if "://" not in link]
        waiting += [(page.parent / link).resolve() for link in links if link]
    assert set(PAGES) <= reached


def test_every_page_is_in_the_contents_of_the_site() -> None:
    listed = re.findall(r"^   /(\S+)$", (ROOT / "docs/index.rst").read_text(), re.MULTILINE)
    pages = [str(page.relative_to(ROOT).with_suffix("")) for page in PAGES]
    assert [page for page in pages if not any(fnmatch(page, entry) for entry in listed)] == []


def test_glossary_is_in_order_and_its_words_are_used() -> None:
    rows = re.findall(r"^\| ([^|]+?) \| ", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    words = [row for row in rows if row not in ("word", "---")]
    assert len(words) > 30
    assert [word.casefold() for word in words] == sorted(word.casefold() for word in words)
    used = "\n".join(path.read_text() for path in [*MODULES, *PAGES] if path.name != "glossary.md").casefold()
    unused = [part for word in words for part in word.split(", ") if part.casefold() not in used]
    assert not unused
    kinds = {re.sub(r"(?<=ss)es$|(?<!s)s$", "", payload.KIND.name) for payload in contents.KINDS.values()}
    assert [kind for kind in kinds if kind.replace("_", " ") not in " ".join(words)] == []


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_make_commands_in_documents_exist() -> None:
    found = 0
    for page in PAGES:
        for target in re.findall(r"(?:`|^|[|;&] *)make ([a-z]+)(?=`| |$)(?: +#|`|$)", page.read_text(), re.MULTILINE):
            assert target in _targets(), f"{page.name}: make {target}"
            found += 1
    assert found > 5


def test_bare_make_tells_every_target() -> None:
    result = _run("make", "--no-print-directory")
    assert result.returncode == 0
    told = {line.split()[0] for line in result.stdout.splitlines()[1:]}
    assert {"setup", "chat", "demo", "quick", "test", "check", "lab", "bench", "soak", "fmt"} <= told


def test_ci_runs_the_lab_which_cannot_be_skipped() -> None:
    assert re.search(r"^exec .* make lab ", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    for path in sorted((ROOT / "tests/lab").glob("*.py")):
        assert not re.search(r"\b(skip|skipif|xfail|importorskip)\b", path.read_text()), path.name


def test_the_workflow_runs_the_same_check_with_pinned_actions_and_no_rights() -> None:
    for workflow in sorted((ROOT / ".github/workflows").glob("*.yml")):
        text = workflow.read_text()
        assert "- run: bash .ci/run" in text
        assert re.search(r"^permissions:\n  contents: read\n\n", text, re.MULTILINE)
        for action in re.findall(r"uses: (\S+)", text):
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action), action


def test_changelog_has_the_version_and_a_place_for_the_next() -> None:
    heads = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    number, development, _ = p2pchat.__version__.partition(".dev")
    this, last = ([int(part) for part in text.split(".")] for text in (number, heads[1]))
    assert heads[0] == "Unreleased"
    assert this > last if development else this == last


def test_a_container_is_built_from_what_is_listed_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    for rule in rules[1:]:
        assert not rule.startswith("!") or (ROOT / rule[1:]).exists(), rule


def test_readme_says_what_must_be_said() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "The protocol has had no independent review" in readme
    assert "Never `pip install p2pchat`" in readme


def test_readme_uses_verbs_that_exist() -> None:
    listed = _run(sys.executable, "-m", "p2pchat", "--help")
    assert listed.returncode == 0, listed.stderr
    verbs = set(re.findall(r"^\$ p2pchat ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert len(verbs) >= 6
    for verb in verbs:
        assert re.search(rf"\b{verb}\b", listed.stdout), verb


@pytest.mark.parametrize(
    "label", ["devcert", "bundle", "x3dh", "dr root", "dr msg", "inv key", "inv hello", "presence", "renew"]
)
def test_labels_of_the_code_are_in_the_encoding_page(label: str) -> None:
    code = "\n".join(path.read_text() for path in sorted((PACKAGE / "core").glob("*.py")))
    assert f'"{label}"' in code
    assert f"| `{label}` |" in (ROOT / "docs/protocol/encoding.md").read_text()


def test_code_has_no_label_that_the_page_lacks() -> None:
    page = (ROOT / "docs/protocol/encoding.md").read_text()
    for path in sorted((PACKAGE / "core").glob("*.py")):
        for call in re.finditer(
            r'\b(?:hkdf|sign|verify)\([^()]*(?:\([^()]*\))?[^()"]*"([a-z0-9 ]+)"', path.read_text()
        ):
            assert call[1] == "test" or f"| `{call[1]}` |" in page, f"{path.name}: {call[1]}"
        for person in re.findall(r'b"(p2pchat1 [a-z0-9 ]+)"', path.read_text()):
            assert person == "p2pchat1 test" or f"| `{person}` |" in page, f"{path.name}: {person}"


def test_frame_types_are_those_of_the_page() -> None:
    from p2pchat.core import frames

    page = (ROOT / "docs/protocol/direct.md").read_text()
    told = {int(number): name for number, name in re.findall(r"^\| (\d+) \| (\w+) \|", page, re.MULTILINE)}
    names = ["hello", "envelope", "acks", "refused", "ping", "pong", "renew", "bundle", "InitialMessage"]
    names += ["gone", "request", "full", "punch"]
    values = [
        frames.HELLO,
        frames.ENVELOPE,
        frames.ACKS,
        frames.REFUSED,
        frames.PING,
        frames.PONG,
        frames.RENEW,
        frames.BUNDLE,
        frames.INITIAL,
        frames.GONE,
        frames.REQUEST,
        frames.FULL,
        frames.PUNCH,
    ]
    assert told == dict(zip(values, names, strict=True))


def test_limits_of_the_pages_are_those_of_the_code() -> None:
    from p2pchat.core import envelope, invite, prekeys, ratchet, text
    from p2pchat.core.contents import receipt

    def told(page: str, number: int) -> bool:
        return f"{number:,}" in (ROOT / "docs/protocol" / page).read_text()

    assert told("encoding.md", envelope.MAX_CONTENT)
    assert told("encoding.md", invite.MAX_INVITE)
    assert told("encoding.md", prekeys.MAX_BUNDLE)
    assert told("content.md", text.MAX_TEXT_BYTES)
    assert told("encoding.md", receipt.MAX_RECEIPTS)
    assert told("ratchet.md", ratchet.MAX_SKIPPED)
    assert told("ratchet.md", envelope.HEADER_BYTES)
    assert all(told("envelope.md", bucket - envelope.OVERHEAD - 1) for bucket in envelope.BUCKETS)


def test_the_steps_of_the_schema_are_numbered_without_a_gap_and_none_twice() -> None:
    steps = sorted(path.name for path in (PACKAGE / "store" / "migrations").glob("*.sql"))
    assert [int(name[:4]) for name in steps] == list(range(1, len(steps) + 1))
