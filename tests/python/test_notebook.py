"""The notebook in `docs`, run from begin to end; it needs nbclient, ipykernel and matplotlib."""

import importlib.util
import os
import tempfile
import unittest
from pathlib import Path

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs/riposte.ipynb"
MISSING = [package for package in ["nbclient", "ipykernel", "matplotlib"] if importlib.util.find_spec(package) is None]


class TheNotebook(unittest.TestCase):
    def test_it_runs_from_begin_to_end(self):
        if MISSING:
            if os.environ.get("RIPOSTE_REQUIRE_NOTEBOOK"):
                self.fail(f"RIPOSTE_REQUIRE_NOTEBOOK is set, and these packages are missing: {', '.join(MISSING)}")
            self.skipTest(f"needs {', '.join(MISSING)}; RIPOSTE_REQUIRE_NOTEBOOK=1 makes it fail")
        import nbformat
        from nbclient import NotebookClient

        notebook = nbformat.read(NOTEBOOK, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            NotebookClient(notebook, timeout=300, resources={"metadata": {"path": folder}}).execute()
        outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
        kinds = {kind for output in outputs for kind in output.get("data", {})}
        self.assertTrue({"image/png", "text/html", "text/plain"} <= kinds, kinds)


if __name__ == "__main__":
    unittest.main()
