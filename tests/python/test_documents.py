"""The examples of `docs/python.md`, run in their order. After ```python stand the packages that one needs beside NumPy."""

import contextlib
import importlib.util
import io
import os
import re
import tempfile
import unittest
from pathlib import Path

import riposte

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/python.md"


def is_there(package):
    """Whether a package is there; the element is a file of the wheel, which `cargo xtask element` makes."""
    if package == "element":
        return Path(riposte.__file__).with_name("element.html").is_file()
    return importlib.util.find_spec(package) is not None


class Examples(unittest.TestCase):
    def test_every_example_runs(self):
        text = DOCUMENT.read_text(encoding="utf-8")
        found = re.finditer(r"^```python *(.*)\n((?:.*\n)*?)^```$", text, re.MULTILINE)
        # As many empty lines before an example as lines in the document: errors name its own.
        blocks = [(block[1], "\n" * text[: block.start(2)].count("\n") + block[2]) for block in found]
        self.assertGreater(len(blocks), 5)
        names, printed = {}, io.StringIO()
        home = os.getcwd()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                for packages, code in blocks:
                    missing = [package for package in packages.split() if not is_there(package)]
                    if missing:
                        with self.subTest(code.strip().splitlines()[0]):
                            self.require(missing)
                        continue
                    with contextlib.redirect_stdout(printed):
                        exec(compile(code, str(DOCUMENT), "exec"), names)  # noqa: S102
            finally:
                os.chdir(home)
        print(printed.getvalue())
        self.check(printed.getvalue())

    def require(self, missing):
        if os.environ.get("RIPOSTE_REQUIRE_TORCH"):
            self.fail(f"RIPOSTE_REQUIRE_TORCH is set, and these packages are missing: {', '.join(missing)}")
        self.skipTest(f"needs {', '.join(missing)}; RIPOSTE_REQUIRE_TORCH=1 makes it fail")

    def check(self, printed):
        counts = {name: int(count) for name, count in re.findall(r"^(natural|attacked|answered)\D+(\d+)", printed, re.MULTILINE)}
        self.assertEqual(counts["natural"], 10)
        self.assertLess(counts["attacked"], 10, "the attack fools the model once")


if __name__ == "__main__":
    unittest.main()
