"""Builds the peers that speed is compared with, each by itself, and notes what building took.

    python3 setup.py [--only NAME ...] [--target FOLDER]

What is built already is left alone; what cannot be built is left out of the comparison.
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TORCH = ["torch==2.15.0", "numpy==2.4.6", "safetensors==0.8.0"]
# The crate of each library, and the flags that its own documentation asks for.
CRATES = {
    "candle": ("candle-nn", {"RUSTFLAGS": "-C target-cpu=native"}),
    "meganeura": ("meganeura", {}),
    "burn": ("burn", {}),
}


def default_target():
    return pathlib.Path(os.environ.get("PEERS_TARGET", ROOT / "target" / "peers"))


def crates(folder, package):
    """Crates in a library's tree, itself among them."""
    command = ["cargo", "tree", "--edges", "normal", "--prefix", "none", "--package", package]
    lines = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.splitlines()
    return len({line.removesuffix(" (*)") for line in lines if line.strip()})


def timed(command, folder, environment):
    """Seconds on the wall and on processors that a command took, or none if it failed."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=folder, env=os.environ | environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        return None
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": time.monotonic() - started, "cpu_s": cpu}


class Builds:
    """What is known of each build, in a file."""

    def __init__(self, target):
        self.file = target / "builds.json"
        self.known = json.loads(self.file.read_text()) if self.file.exists() else {}

    def note(self, name, **facts):
        self.known[name] = self.known.get(name, {}) | facts
        self.file.write_text(json.dumps(self.known, indent=1, sort_keys=True) + "\n")


def plimsoll(target, builds):
    build = ["cargo", "build", "--release", "--example", "workload"]
    if subprocess.run(build, cwd=ROOT).returncode != 0:
        sys.exit("plimsoll itself cannot be built")
    builds.note("plimsoll", crates=crates(ROOT, "plimsoll"))
    if builds.known["plimsoll"].get("cold"):
        return
    # The library alone, from nothing, in a folder of its own.
    cold = target / "cold"
    shutil.rmtree(cold, ignore_errors=True)
    took = timed(["cargo", "build", "--release", "--lib"], ROOT, {"CARGO_TARGET_DIR": str(cold)})
    shutil.rmtree(cold, ignore_errors=True)
    builds.note("plimsoll", cold=took)


def crate(name, target, builds):
    library, environment = CRATES[name]
    folder, into = HERE / name, target / name
    builds.note(name, crates=crates(folder, library))
    anew = not (into / "release").exists()
    command = ["cargo", "build", "--release", "--locked"]
    took = timed(command, folder, environment | {"CARGO_TARGET_DIR": str(into)})
    if took is None:
        print(f"{name} cannot be built and is left out", file=sys.stderr)
    elif anew:
        builds.note(name, cold=took)


def pytorch(target):
    python = target / "venv" / "bin" / "python"
    if python.exists() and subprocess.run([python, "-c", "import torch, safetensors"]).returncode == 0:
        return
    subprocess.run([sys.executable, "-m", "venv", target / "venv"], check=True)
    if subprocess.run([python, "-m", "pip", "install", "--quiet", *TORCH]).returncode != 0:
        print("PyTorch cannot be installed and is left out", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=["pytorch", *CRATES], default=["pytorch", *CRATES])
    parser.add_argument("--target", type=pathlib.Path, default=default_target(), help="where they are built")
    asked = parser.parse_args()
    asked.target.mkdir(parents=True, exist_ok=True)
    builds = Builds(asked.target)
    plimsoll(asked.target, builds)
    for name in asked.only:
        pytorch(asked.target) if name == "pytorch" else crate(name, asked.target, builds)


if __name__ == "__main__":
    main()
