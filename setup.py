"""List the dependencies: those of requirements/run.in and voice.in, and the stand-ins by their place in this checkout.

Everything else about the package is in pyproject.toml. This part cannot be there: a dependency on a folder needs its
absolute path, which is known only when the package is built. Hence a wheel of p2pchat can be installed only where the
checkout is; what is passed on is the source.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import setup

REQUIREMENTS = Path(__file__).resolve().parent / "requirements"


def listed(name: str) -> list[str]:
    """Return the requirements of an .in file without their comments."""
    lines = (REQUIREMENTS / name).read_text(encoding="utf-8").splitlines()
    return [requirement for line in lines if (requirement := line.partition("#")[0].strip())]


def dependencies() -> list[str]:
    """Return the requirements of run.in, and `NAME @ file://…` for every stand-in."""
    folders = sorted(project.parent for project in REQUIREMENTS.glob("standins/*/pyproject.toml"))
    return [*listed("run.in"), *(f"{folder.name} @ {folder.as_uri()}" for folder in folders)]


setup(install_requires=dependencies(), extras_require={"voice": listed("voice.in")})
