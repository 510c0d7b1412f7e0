"""Writes the tables of speed into the documents, from the data files in docs/benchmarks.

    python tests/bench/tables.py           # writes them
    python tests/bench/tables.py --check   # fails where a document has not what the files say

A table stands in a document between `<!-- speed: NAME -->` and `<!-- end -->`; `--list` prints the names. Standard library alone.
"""

import argparse
import csv
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "docs" / "benchmarks"
DOCUMENTS = ["README.md", "CHANGELOG.md", "docs/**/*.md", "tests/bench/README.md"]
BLOCK = re.compile(r"(?P<open><!-- speed: (?P<name>[\w-]+) -->\n).*?(?P<close><!-- end -->)", re.DOTALL)

NETWORKS = {
    "fast-mnist-cnn": "Fast-FGSM MNIST",
    "madry-mnist-cnn": "Madry MNIST",
    "trades-mnist-cnn": "TRADES MNIST",
    "cnn-a": "CNN-A",
    "resnet4b": "ResNet-4b",
    "preact-resnet-w16": "PreActResNet, width 16",
    "preact-resnet18": "PreActResNet18",
}
TASKS = {
    "train-step": "training step",
    "pgd-step": "step of PGD",
    "pgd-20": "PGD-20",
    "post-train": "post-training, 50 x 256",
    "post-train-step": "step of post-training",
    "fast-step": "Fast-FGSM",
    "trades-step": "TRADES",
}
Row = dict[str, str]


@dataclass
class Column:
    """A column of a table: what `cell` makes of the first row of data that agrees with `of`."""

    heading: str
    of: Row
    cell: Callable[[Row], str]


@dataclass
class Table:
    """One line for each different value of `keys` in the rows of `file` that agree with `of`; a line without any cell is left out."""

    file: str
    keys: dict[str, str]
    columns: list[Column]
    of: Row = field(default_factory=dict)

    def markdown(self) -> str:
        rows = [row for row in read(self.file) if agrees(row, self.of)]
        if not rows:
            raise SystemExit(f"{self.file} has no row for {self.of}")
        lines = ["| " + " | ".join([*self.keys, *(column.heading for column in self.columns)]) + " |"]
        lines.append("|" + "---|" * (len(self.keys) + len(self.columns)))
        for key in dict.fromkeys(tuple(row[name] for name in self.keys.values()) for row in rows):
            of_key = [row for row in rows if tuple(row[name] for name in self.keys.values()) == key]
            cells = [next((c.cell(row) for row in of_key if agrees(row, c.of)), "") for c in self.columns]
            if any(cells):
                lines.append("| " + " | ".join([*(NETWORKS.get(k) or TASKS.get(k) or k for k in key), *cells]) + " |")
        return "\n".join(lines) + "\n"


def read(file: str) -> list[Row]:
    with (DATA / file).open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def agrees(row: Row, of: Row) -> bool:
    return all(row[name] == value for name, value in of.items())


def spread(middle: str, low: str, high: str, unit: str = "") -> str:
    """The middle and, where they are known, the least and the most."""
    if not middle:
        return f"{low} to {high}{unit}" if low else ""
    return f"{middle}{unit} ({low} to {high})" if low else middle + unit


def ours(row: Row) -> str:
    return spread(row["ours_ms"], row["ours_low_ms"], row["ours_high_ms"])


def reference(row: Row) -> str:
    return spread(row["reference_ms"], row["reference_low_ms"], row["reference_high_ms"])


def ratio(row: Row) -> str:
    return spread(row["ratio"], row["ratio_low"], row["ratio_high"])


def seconds(row: Row) -> str:
    return f"{float(row['ours_ms']) / 1000:g} s"


def epoch(row: Row) -> float:
    """Seconds of an epoch of the whole training set, in full batches."""
    samples = 60_000 if "mnist" in row["architecture"] else 50_000
    return samples // int(row["batch"]) * float(row["ours_ms"]) / 1000


def ratio_and_seconds(row: Row) -> str:
    return f"{row['ratio']} ({seconds(row)})" if row["ratio"] else seconds(row)


def of(task: str, against: str, device: str | None = None) -> Row:
    return {"task": task, "reference": against} | ({"device": device} if device else {})


def gpu(card: str, others: dict[str, str], vulkan: str, cuda: str) -> list[Column]:
    """Both ways to the card, then the others' times; with the ratio of the first of them where the data has one."""
    first = next(iter(others))
    columns = [Column("Vulkan", {"device": f"{card}, Vulkan", "reference": first}, ours)]
    columns.append(Column("CUDA", {"device": f"{card}, CUDA", "reference": first}, ours))
    columns += [Column(heading, {"device": f"{card}, Vulkan", "reference": name}, reference) for name, heading in others.items()]
    if vulkan:
        columns.append(Column(vulkan, {"device": f"{card}, Vulkan", "reference": first}, ratio))
        columns.append(Column(cuda, {"device": f"{card}, CUDA", "reference": first}, ratio))
    return columns


BURN, PYTORCH = "Burn", "PyTorch 2.15"
ZEN4, EMERALD_RAPIDS = "2026-11-25-zen4.csv", "2026-11-27-emerald-rapids.csv"
H200, H100 = "2026-11-26-h200.csv", "2026-11-26-h100.csv"
F32 = "PyTorch 2.11, f32"
NETWORK_AND_BATCH = {"network": "architecture", "batch": "batch"}

TABLES = {
    "zen4": Table(
        ZEN4,
        NETWORK_AND_BATCH,
        [
            Column("training step, ms", of("train-step", PYTORCH), ours),
            Column("Burn", of("train-step", BURN), ratio),
            Column("PyTorch", of("train-step", PYTORCH), ratio),
            Column("step of PGD, ms", of("pgd-step", PYTORCH), ours),
            Column("Burn", of("pgd-step", BURN), ratio),
            Column("PyTorch", of("pgd-step", PYTORCH), ratio),
        ],
    ),
    "zen4-post-training": Table(
        ZEN4,
        {"network": "architecture"},
        [
            Column("seconds", of("post-train", PYTORCH), seconds),
            Column("Burn", of("post-train", BURN), ratio),
            Column("PyTorch", of("post-train", PYTORCH), ratio),
        ],
    ),
    "emerald-rapids": Table(
        EMERALD_RAPIDS,
        NETWORK_AND_BATCH,
        [
            Column("training step, ms", of("train-step", PYTORCH), ours),
            Column("PyTorch", of("train-step", PYTORCH), ratio),
            Column("step of PGD, ms", of("pgd-step", PYTORCH), ours),
            Column("PyTorch", of("pgd-step", PYTORCH), ratio),
        ],
        {"threads": ""},
    ),
    "emerald-rapids-post-training": Table(
        EMERALD_RAPIDS,
        {"network": "architecture", "threads": "threads"},
        [Column("seconds", of("post-train", PYTORCH), seconds), Column("PyTorch", of("post-train", PYTORCH), ratio)],
    ),
    "training": Table(
        "2026-11-29-emerald-rapids-training.csv",
        {"network": "architecture", "recipe": "task", "batch": "batch", "threads": "threads"},
        [
            Column("a batch, ms", {}, ours),
            Column("an epoch", {}, lambda row: f"{epoch(row):.0f} s"),
            Column("PyTorch", {}, ratio),
            Column("", {}, lambda row: row["remark"]),
        ],
    ),
    "attacks": Table(
        "2026-11-29-emerald-rapids-attacks.csv",
        {"attack": "task", "threads": "threads"},
        [
            Column("256 images", {}, seconds),
            Column("the authors' code in PyTorch", {}, ratio),
            Column("", {}, lambda row: row["remark"]),
        ],
    ),
    "h200": Table(
        H200,
        {"network": "architecture", "task": "task", "batch": "batch"},
        gpu("NVIDIA H200", {F32: "PyTorch, f32", "PyTorch 2.11, TF32": "PyTorch, TF32"}, "f32 / Vulkan", "f32 / CUDA"),
    ),
    "h100": Table(
        H100,
        {"network": "architecture", "task": "task", "batch": "batch"},
        gpu(
            "NVIDIA H100",
            {
                F32: "PyTorch, f32",
                "PyTorch 2.11, f32, torch.compile": "compiled, f32",
                "PyTorch 2.11, TF32": "TF32",
                "PyTorch 2.11, TF32, torch.compile": "compiled, TF32",
            },
            "",
            "",
        ),
    ),
    "readme-gpu": Table(
        H200,
        {"network": "architecture", "task": "task", "batch": "batch"},
        [
            Column("through Vulkan, ms", of("post-train", F32, "NVIDIA H200, Vulkan"), ours),
            Column("through CUDA, ms", of("post-train", F32, "NVIDIA H200, CUDA"), ours),
            Column("PyTorch / Vulkan", of("post-train", F32, "NVIDIA H200, Vulkan"), ratio),
            Column("PyTorch / CUDA", of("post-train", F32, "NVIDIA H200, CUDA"), ratio),
        ],
    ),
    "choices": Table(
        "choices.csv",
        {"choice": "choice", "taken": "chosen", "instead of": "other", "measured by": "what"},
        [
            Column("with it", {}, lambda row: spread(row["with_chosen"], row["chosen_low"], row["chosen_high"])),
            Column("without", {}, lambda row: spread(row["with_other"], row["other_low"], row["other_high"])),
            Column("unit", {}, lambda row: row["unit"]),
            Column("on", {}, lambda row: ", ".join(part for part in (row["device"], row["processor"]) if part)),
        ],
    ),
    "other": Table(
        "other.csv",
        {"what": "what", "on": "device", "remark": "remark"},
        [
            Column("Riposte", {}, lambda row: spread(row["ours"], row["ours_low"], row["ours_high"])),
            Column("unit", {}, lambda row: row["unit"]),
            Column("beside", {}, lambda row: row["reference"]),
            Column("its", {}, lambda row: spread(row["reference_value"], row["reference_low"], row["reference_high"])),
        ],
    ),
}


def summary() -> str:
    """The two processors side by side: how many times as long PyTorch takes, and Riposte's seconds where they are worth telling."""
    batch = {"architecture": "preact-resnet18", "task": "train-step"}
    lines = {
        "Fast-FGSM MNIST, post-training of 50 x 256": ({"architecture": "fast-mnist-cnn", "task": "post-train"}, ratio_and_seconds),
        "PreActResNet of width 16, post-training of 50 x 256": ({"architecture": "preact-resnet-w16", "task": "post-train"}, ratio_and_seconds),
        "PreActResNet18, training step with 256 samples": (batch | {"batch": "256"}, lambda row: row["ratio"]),
        "with 32 samples": (batch | {"batch": "32"}, lambda row: row["ratio"]),
        "with one": (batch | {"batch": "1"}, lambda row: row["ratio"]),
    }
    out = ["| | AMD, Zen 4 | Intel, Emerald Rapids |", "|---|---|---|"]
    for heading, (which, cell) in lines.items():
        cells = []
        for file in (ZEN4, EMERALD_RAPIDS):
            # The most threads that were measured.
            found = [row for row in read(file) if agrees(row, which | {"reference": PYTORCH})]
            cells.append(cell(max(found, key=lambda row: int(row["threads"] or 0))))
        out.append("| " + " | ".join([heading, *cells]) + " |")
    steps = []
    for file in (ZEN4, EMERALD_RAPIDS):
        rows = [row for row in read(file) if agrees(row, of("pgd-step", PYTORCH))]
        ratios = sorted(float(row["ratio"]) for row in rows)
        steps.append(f"{ratios[0]:g} to {ratios[-1]:g} ({len({row['architecture'] for row in rows})} networks)")
    out.append("| " + " | ".join(["step of PGD", *steps]) + " |")
    return "\n".join(out) + "\n"


def table(name: str) -> str:
    if name == "readme-cpu":
        return summary()
    if name not in TABLES:
        raise SystemExit(f"no table is named {name}: there are {', '.join(names())}")
    return TABLES[name].markdown()


def names() -> list[str]:
    return [*TABLES, "readme-cpu"]


def filled(text: str) -> str:
    return BLOCK.sub(lambda block: block["open"] + table(block["name"]) + block["close"], text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a document differs")
    parser.add_argument("--list", action="store_true", help="print the names of the tables")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(names()))
        return
    stale = []
    for document in sorted(path for pattern in DOCUMENTS for path in ROOT.glob(pattern)):
        text = document.read_text(encoding="utf-8")
        if (new := filled(text)) != text:
            stale.append(document.relative_to(ROOT))
            if not arguments.check:
                document.write_text(new, encoding="utf-8")
    if stale and arguments.check:
        sys.exit(f"run `python tests/bench/tables.py`: the data files say otherwise than {', '.join(map(str, stale))}")


if __name__ == "__main__":
    main()
