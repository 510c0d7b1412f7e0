"""Installs the wheel into a fresh virtual environment, away from the repository, and runs the command it carries.

    python tests/wheel/test.py                    # builds the wheel first; maturin must be installed, and `cargo xtask element` have run
    python tests/wheel/test.py dist/NAME.whl      # tests this one
    python tests/wheel/test.py dist/NAME.whl --python PROGRAM

Only the standard library is needed, and no network. With an interpreter that has NumPy, the module is tested by `tests/python`, too; an example of
`docs/python.md` that needs a package which that interpreter lacks (torch, pyautoattack, foolbox, sklearn) is skipped, and says so.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# The models that come with the project are half of it, the page's element a tenth. PyPI takes no file above 100 MB.
LARGEST = 66 * 10**6


def build(folder):
    """The wheel, built from this checkout with the profile and the features of `cargo build --release`."""
    subprocess.run(["maturin", "build", "--release", "--out", folder], cwd=ROOT, check=True)
    (wheel,) = Path(folder).glob("*.whl")
    return wheel


def install(wheel, folder):
    """A fresh environment with the wheel and nothing else. Returns the folder of its commands."""
    venv.create(folder, with_pip=True)
    commands = Path(folder) / ("Scripts" if os.name == "nt" else "bin")
    subprocess.run([commands / "python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel], check=True)
    return commands


def module(wheel, folder, python):
    """Tests the module of the wheel with another interpreter, whose own packages stay as they are."""
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", folder, wheel], check=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RIPOSTE_") or "REQUIRE" in name}
    tests = [python, "-m", "unittest", "discover", "-v", "-s", ROOT / "tests/python"]
    subprocess.run(tests, env={**environment, "PYTHONPATH": str(folder)}, check=True)


def run(commands, folder, *arguments):
    """What `riposte ARGUMENTS` prints, in an empty folder and without settings from the environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RIPOSTE_")}
    program = commands / ("riposte.exe" if os.name == "nt" else "riposte")
    print("riposte", *arguments, flush=True)
    command = [program, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, nargs="?", help="the wheel; without it, one is built")
    parser.add_argument("--python", help="an interpreter with NumPy, to test the module with")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel = given.wheel.resolve() if given.wheel else build(folder / "wheel")
        size = wheel.stat().st_size
        print(f"{wheel.name}: {size / 1e6:.1f} MB")
        assert size <= LARGEST, f"the wheel is larger than {LARGEST / 1e6:.0f} MB"
        commands = install(wheel, folder / "environment")
        work = folder / "work"
        work.mkdir()

        version = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
        assert run(commands, work, "--version").split() == ["riposte", version]

        # The opening image of the model that comes with the program shows a 7; the model sees it, until it is attacked.
        duel = json.loads(run(commands, work, "duel", "--device", "cpu", "--out", "none", "--json"))
        assert (duel["label"], duel["natural"]["class"]) == (7, 7), duel["verdict"]
        assert duel["attacked"]["class"] != 7 and duel["perturbation"] <= 0.3 + 1e-6, duel["verdict"]

        table = run(commands, work, "eval", "--device", "cpu", "--images", "5")
        rows = ["base, natural", "base, attacked", "riposte, natural", "riposte, attacked"]
        assert all(row in table for row in rows), table
        assert not any(work.iterdir()), "a run wrote files that nobody asked for"
        # Both are one library. NumPy is not here, and is needed for arrays alone.
        libraries = [path for path in (folder / "environment").rglob("*") if path.stat().st_size > 10**7 and "riposte" in str(path)]
        assert len(libraries) == 1, libraries
        # What notebooks show, which `cargo xtask element` makes before the wheel is built.
        assert any(path.name == "element.html" for path in (folder / "environment").rglob("*")), "the wheel has no element"
        printed = [commands / "python", "-c", "import riposte; print(riposte.__version__, len(riposte.models()))"]
        module_version, models = subprocess.run(printed, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        assert module_version == version and int(models) > 3
        if given.python:
            module(wheel, folder / "module", given.python)
    print("The wheel installs, its command runs, and its module loads.")


if __name__ == "__main__":
    main()
