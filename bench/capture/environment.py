"""The virtual environment of the peers: `var/bench/peers`, made once and again when `peers.txt` changes.

Their dependencies must not come into the project's own lock, so they are installed apart, by pip with hashes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.base import FOLDER

OWN = sys.executable
PINNED = Path(__file__).with_name("peers.txt")


def python() -> Path:
    """Return the Python of the peers. Raises SystemExit when they cannot be installed."""
    folder = FOLDER / "peers"
    done, wanted = folder / "installed.txt", PINNED.read_text(encoding="utf-8")
    found = folder / "bin" / "python"
    if not done.exists() or done.read_text(encoding="utf-8") != wanted or not _runs(found):
        print(f"  installing the packages of {PINNED.name} into {folder} (once)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = ["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", str(PINNED)]
        if subprocess.run([str(found), *install], check=False).returncode:
            raise SystemExit("The audit packages cannot be installed: is there a package registry?")
        done.write_text(wanted, encoding="utf-8")
    return found


def _runs(program: Path) -> bool:
    return program.exists() and not subprocess.run([str(program), "-c", ""], check=False).returncode
