"""Follows README.md and docs/ from their first line in a new Debian that has nothing, as somebody without root.

python -m tools.clean_room [--keep]

Needs root, debootstrap and a network with Debian's and Python's packages. The room is a folder that ``unshare`` makes the root
of a mount and process namespace: what was begun in it ends with it. Of this machine it has only the way to the packages
(apt's sources, pip's settings, certificates) and the files that git knows.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tools.footage import REPOSITORY

PAGES = ("README.md", "docs/alerts.md", "docs/operations.md")
NEEDED = ("python3", "python3-venv", "make", "ca-certificates")
"""What README asks for, and certificates, which whoever downloads anything has."""
HOME = "/home/reader"
AS_THEY_ARE = ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/apt/sources.list", "/etc/apt/sources.list.d")
PIPX = "pipx install --pip-args '-c constraints.txt' . && ~/.local/bin/streamwatch --version"


def main() -> None:
    """Make the room, follow the pages in it, try pipx, and take it down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--keep", action="store_true", help="leave the room where it is")
    keep = parser.parse_args().keep
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        sys.exit("a clean room needs root and debootstrap")
    folder = Path(tempfile.mkdtemp(prefix="clean-room-"))
    root = folder / "root"
    try:
        furnish(root)
        follow = ["python3", "-m", "tools.documented", f"{HOME}/checkout", *PAGES]
        inside(root, shlex.join(follow), what="the pages", user="reader")
        inside(root, "apt-get install -y -qq --no-install-recommends pipx >/dev/null", what="pipx from Debian")
        inside(root, PIPX, what="pipx install", user="reader")
    finally:
        if keep:
            print(f"the room is in {root}")
        else:
            shutil.rmtree(folder)


def furnish(root: Path) -> None:
    """A minimal Debian of this machine's release at ``root``, with what README asks for, a user and the checkout."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    began_s = time.monotonic()
    output_of("debootstrap", "--variant=minbase", release["VERSION_CODENAME"], str(root), mirror())
    (root / "etc/apt/sources.list").unlink()
    for path in map(Path, AS_THEY_ARE):
        if path.is_dir():
            shutil.copytree(path, root / path.relative_to("/"), dirs_exist_ok=True)
        elif path.is_file():
            shutil.copyfile(path, root / path.relative_to("/"))
    shutil.copytree("/usr/local/share/ca-certificates", root / "usr/local/share/ca-certificates", dirs_exist_ok=True)
    (root / "etc/apt/apt.conf.d/00acquire").write_bytes(output_of("apt-config", "dump", "Acquire"))
    print(f"a Debian: {time.monotonic() - began_s:.0f} s", flush=True)
    install = f"apt-get update -qq; apt-get install -y -qq --no-install-recommends {' '.join(NEEDED)} >/dev/null"
    inside(root, f"{install}; useradd --create-home --shell /bin/bash reader", what=", ".join(NEEDED))
    checkout = root / HOME[1:] / "checkout"
    checkout.mkdir()
    packed = root / "tmp/checkout.tar"
    packed.write_bytes(output_of("git", "-C", str(REPOSITORY), "archive", "HEAD"))
    output_of("tar", "-x", "-C", str(checkout), "-f", str(packed))
    inside(root, f"chown -R reader: {HOME}/checkout", what="the checkout")


def mirror() -> str:
    """Where this machine has Debian's packages from."""
    sites = output_of("apt-get", "indextargets", "--format", "$(SITE)").decode().splitlines()
    return next(site for site in sites if site.rstrip("/").endswith("/debian"))


def output_of(*command: str) -> bytes:
    """What a command of this machine prints; fails if it does."""
    return subprocess.run(command, cwd="/", check=True, stdout=subprocess.PIPE).stdout


def inside(root: Path, script: str, *, what: str, user: str = "root") -> None:
    """Run a script in the room, in namespaces of its own."""
    home = HOME if user != "root" else "/root"
    where = f"{home}/checkout" if user != "root" else "/"
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", f"--root={root}"]
    becoming = ["/usr/bin/setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user != "root" else []
    began_s = time.monotonic()
    shell = ["/bin/bash", "-ec", f"cd {where}\n{script}"]
    done = subprocess.run([*command, *becoming, *shell], env=plain_environment(home, user), check=False)
    print(f"{what}: {time.monotonic() - began_s:.0f} s", flush=True)
    if done.returncode != 0:
        sys.exit(f"{what} failed in the clean room")


def plain_environment(home: str, user: str) -> Mapping[str, str]:
    """A new login's environment, with this machine's settings for downloads."""
    of_downloads = {
        name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_")) or name.endswith("_proxy")
    }
    return {
        "HOME": home,
        "USER": user,
        "LANG": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "PATH": "/usr/local/bin:/usr/bin:/usr/sbin:/bin",
        **of_downloads,
    }


if __name__ == "__main__":
    main()
