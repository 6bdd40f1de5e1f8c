"""The image built by buildah on a base made by debootstrap, and run on a read-only root."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.conftest import DEPLOY, REPOSITORY

TOOLS = ("buildah", "debootstrap", "unshare", "chroot")
USER = "10001:10001"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
_NAME = "artscraper-gateway"
_TIMEOUT_S = 900
# What a runtime does for read_only: true, tmpfs: [/tmp] and a volume at /data.
_ENTER = """
mount --bind "$0" "$0"
mount -o remount,bind,ro "$0"
mount --bind "$1" "$0/data"
mount -t tmpfs tmpfs "$0/tmp"
mount --rbind /dev "$0/dev"
mount -t proc proc "$0/proc"
root=$0; shift
exec chroot --userspec="$USER" "$root" sh -c 'cd /data && exec "$@"' sh "$@"
"""


@dataclass(frozen=True)
class BuiltImage:
    """An image as a folder with its root file system, and its configuration."""

    root: Path
    config: dict[str, Any]

    def command(self, data: Path, *arguments: str) -> list[str]:
        """Return a command that runs the image's entry point with `data` mounted at /data."""
        inside = [*self.config["Entrypoint"], *arguments]
        return self._isolated(data, inside)

    def shell(self, data: Path, script: str) -> list[str]:
        """Return a command that runs a script as the entry point would run."""
        return self._isolated(data, ["sh", "-c", script])

    def environment(self) -> dict[str, str]:
        """Return the image's variables."""
        return dict(each.split("=", 1) for each in self.config["Env"])

    def _isolated(self, data: Path, inside: list[str]) -> list[str]:
        namespaces = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
        script = _ENTER.replace("$USER", self.config["User"])
        return [*namespaces, "sh", "-euc", script, str(self.root), str(data), *inside]


@dataclass(frozen=True)
class Builder:
    """buildah with images and containers of its own below `folder`."""

    folder: Path

    def build(self) -> BuiltImage:
        """Build deploy/Dockerfile as it stands. Takes minutes."""
        text = (DEPLOY / "Dockerfile").read_text()
        (base,) = re.findall(r"^ARG BASE=([^@\s]+)", text, re.M)
        self._make_base(f"localhost/{base}", suite=base.rpartition("-")[2])
        self._buildah(
            *("build", "--pull-never", "--isolation", "chroot", "--network", "host"),
            *("--build-arg", f"BASE=localhost/{base}", "--format", "docker"),
            *("--file", str(DEPLOY / "Dockerfile")),
            *("--ignorefile", str(DEPLOY / "Dockerfile.dockerignore")),
            *("--tag", _NAME, str(REPOSITORY)),
        )
        container = self._buildah("from", "--pull-never", _NAME)
        root = Path(self._buildah("mount", container))
        described = json.loads(self._buildah("inspect", "--type", "image", _NAME))
        return BuiltImage(root, described["Docker"]["config"])

    def remove(self) -> None:
        """Remove all containers and images, then the folder."""
        self._buildah("rm", "--all")
        self._buildah("rmi", "--all", "--force")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make_base(self, name: str, *, suite: str) -> None:
        """Make what stands for the official image: its Debian release with its Python and pip."""
        root = self.folder / "base"
        variant = ("--variant=minbase", f"--include={_PACKAGES}")
        for attempts_left in (2, 1, 0):  # one of a hundred downloads may fail; what came is kept
            try:
                _run("debootstrap", *variant, suite, str(root))
                break
            except AssertionError:
                if not attempts_left:
                    raise
        (root / "usr/bin/python").symlink_to("python3")
        for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            marker.unlink()  # the official image has none either
        if _CERTIFICATES.exists():  # this machine's, so that packages can be fetched as here
            shutil.copy(_CERTIFICATES, root / _CERTIFICATES.relative_to("/"))
        container = self._buildah("from", "scratch")
        self._buildah("add", "--quiet", container, str(root), "/")
        self._buildah("config", "--env", f"SSL_CERT_FILE={_CERTIFICATES}", container)
        self._buildah("commit", "--quiet", "--rm", container, name)
        shutil.rmtree(root)

    def _buildah(self, *arguments: str) -> str:
        places = ("--root", f"{self.folder}/storage", "--runroot", f"{self.folder}/run")
        return _run("buildah", *places, *arguments).strip()


def _run(*command: str) -> str:
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        env={**os.environ, "TMPDIR": "/var/tmp"},
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout
