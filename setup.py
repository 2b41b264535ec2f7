"""List the dependencies: those of requirements/run.in, the stand-ins by their place in this checkout, and the extras.

Everything else about the package is in pyproject.toml. This part cannot be there: a dependency on a folder needs its
absolute path, which is known only when the package is built. Hence a wheel of p2pchat can be installed only where the
checkout is; what is passed on is the source.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import setup

REQUIREMENTS = Path(__file__).resolve().parent / "requirements"


EXTRAS = ("pictures", "voice")
"""Each has a file of its name beside run.in."""


def listed(name: str) -> list[str]:
    """Return the requirements of an .in file without their comments."""
    lines = (REQUIREMENTS / f"{name}.in").read_text(encoding="utf-8").splitlines()
    return [requirement for line in lines if (requirement := line.partition("#")[0].strip())]


def dependencies() -> list[str]:
    """Return the requirements of run.in, and `NAME @ file://…` for every stand-in."""
    folders = sorted(project.parent for project in REQUIREMENTS.glob("standins/*/pyproject.toml"))
    return [*listed("run"), *(f"{folder.name} @ {folder.as_uri()}" for folder in folders)]


setup(install_requires=dependencies(), extras_require={name: listed(name) for name in EXTRAS})
