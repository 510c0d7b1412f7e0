"""Riposte against PyTorch and against Burn's own operations, fairly: same machine, threads, net and batch, in alternating rounds.

    python tests/bench/compare.py --riposte target/release/riposte --rounds 5 --repeats 5 --threads 1 2
    python tests/bench/compare.py --riposte target/release/riposte --architecture fast-mnist-cnn resnet4b --task train-step pgd-batch \\
        --batch-size 1 32 256 --steps 4 --side kernels stock pytorch
    python tests/bench/compare.py --riposte target/release/riposte --architecture preact-resnet18 --task train-step pgd-batch \\
        --device wgpu --pytorch-device cuda --side kernels pytorch pytorch-tf32

Sides: `kernels` and `stock` are `riposte bench-speed --layers ..` on `--device`, with `-mixed` their activations are stored in 16 bits;
`pytorch` is pytorch_speed.py on `--pytorch-device`, where on a GPU `-tf32` rounds the factors of products, `-amp` is autocast to 16 bits
with channels last, and `-compiled` goes through torch.compile. A side that cannot do a task is left out there. Each round
runs, for every case, one process of each side, in an order that turns round with each round, so that a machine that slows down or is
shared slows all. Every process warms up first; how long its first run took is printed for Riposte's. A process that takes longer than
`--timeout` is stopped, and the table says so. Prints a table; `--output` also writes every time measured as JSON, and `--record` a data
file for docs/benchmarks.
"""

import argparse
import csv
import datetime
import itertools
import json
import platform
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

TASKS = ["post-train", "pgd-batch", "pgd-single", "train-step", "fast-step", "trades-step"]
# What each side of PyTorch's adds to the command.
PYTORCH = {
    "pytorch": [],
    "pytorch-tf32": ["--precision", "tf32"],
    "pytorch-compiled": ["--compile"],
    "pytorch-compiled-tf32": ["--compile", "--precision", "tf32"],
    "pytorch-amp": ["--precision", "amp"],
    "pytorch-compiled-amp": ["--compile", "--precision", "amp"],
}
# What each side of Riposte's adds.
RIPOSTE = {
    "kernels": ["--layers", "kernels"],
    "kernels-mixed": ["--layers", "kernels", "--precision", "mixed"],
    "stock": ["--layers", "stock"],
}
SIDES = [*RIPOSTE, *PYTORCH]
PYTORCH_SCRIPT = Path(__file__).with_name("pytorch_speed.py")
# Of a data file in docs/benchmarks.
COLUMNS = [
    *("date", "processor", "device", "task", "architecture", "batch", "threads"),
    *("ours_ms", "ours_low_ms", "ours_high_ms", "ours_first_ms"),
    *("reference", "reference_ms", "reference_low_ms", "reference_high_ms", "reference_first_ms"),
    *("ratio", "ratio_low", "ratio_high", "rounds", "command", "remark"),
]


@dataclass(frozen=True)
class Case:
    """What every side does."""

    architecture: str
    task: str
    batch_size: int | None
    threads: int

    def flags(self, arguments) -> list[str]:
        out = ["--task", self.task, "--architecture", self.architecture, "--threads", str(self.threads)]
        if self.batch_size:
            out += ["--batch-size", str(self.batch_size)]
        out += ["--repeats", str(arguments.repeats)]
        # What a task does not take is refused.
        if self.task == "post-train":
            out += ["--iterations", str(arguments.iterations)]
        if self.task in ("pgd-batch", "pgd-single", "trades-step"):
            out += ["--steps", str(arguments.steps)]
        return out


@dataclass
class Times:
    """Of one process: seconds of each run, and of the first one, where it is told."""

    seconds: list[float]
    first: float | None = None


def run(side: str, case: Case, arguments) -> Times | None:
    """None: it took too long, or 16-bit floats are not for this task."""
    if side == "kernels-mixed" and case.task.startswith("pgd"):
        return None
    if side in PYTORCH:
        command = [sys.executable, str(PYTORCH_SCRIPT), *case.flags(arguments), "--device", arguments.pytorch_device, *PYTORCH[side]]
    else:
        command = [arguments.riposte, "bench-speed", *case.flags(arguments), *RIPOSTE[side], "--device", arguments.device, "--json"]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=arguments.timeout)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}")
    result = json.loads(done.stdout)
    if side in PYTORCH:
        return Times(result["seconds"][case.task])
    if (result["task"], result["layers"]) != (case.task, RIPOSTE[side][1]):
        raise SystemExit(f"asked for {case.task} by {side}, got {result['task']} by {result['layers']}")
    return Times(result["seconds"], result["first_seconds"])


def measure(cases: list[Case], arguments) -> dict[tuple[Case, str], list[Times | None]]:
    """One entry for each round. A side that took too long once is not asked again."""
    out = {(case, side): [] for case in cases for side in arguments.side}
    for round_number in range(arguments.rounds):
        sides = arguments.side[:: -1 if round_number % 2 else 1]
        for case, side in itertools.product(cases, sides):
            print(f"round {round_number + 1} of {arguments.rounds}: {side}, {case}", file=sys.stderr)
            before = out[case, side]
            before.append(None if None in before else run(side, case, arguments))
    return out


def milliseconds(rounds: list[Times | None], timeout: float) -> str:
    """Median and quartiles of all runs, and the median of the first ones."""
    if None in rounds:
        return f"none, or over {timeout:.0f} s"
    seconds = [second for times in rounds for second in times.seconds]
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else seconds * 3
    firsts = [times.first for times in rounds if times.first is not None]
    first = f"; first {1000 * statistics.median(firsts):.4g}" if firsts else ""
    return f"{1000 * middle:.4g} ({1000 * low:.4g} to {1000 * high:.4g}{first})"


def ratio(others: list[Times | None], ours: list[Times | None]) -> str:
    """The others' median over ours in each round: the median of these ratios, the least and the most."""
    if not (ratios := by_round(others, ours)):
        return "-"
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def by_round(others: list[Times | None], ours: list[Times | None]) -> list[float]:
    """The ratio of the medians in each round; empty where one took too long."""
    if None in others or None in ours:
        return []
    medians = [[statistics.median(times.seconds) for times in side] for side in (others, ours)]
    return [other / own for other, own in zip(*medians, strict=True)]


def table(cases: list[Case], measured: dict, arguments) -> str:
    sides = arguments.side
    rivals = [side for side in sides if side != sides[0]]
    heads = ["network", "task", "batch", "threads", *(f"{side}, ms" for side in sides), *(f"{side} / {sides[0]}" for side in rivals)]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for case in cases:
        cells = [case.architecture, case.task, str(case.batch_size or "usual"), str(case.threads)]
        cells += [milliseconds(measured[case, side], arguments.timeout) for side in sides]
        cells += [ratio(measured[case, side], measured[case, sides[0]]) for side in rivals]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def record(cases: list[Case], measured: dict, arguments) -> None:
    """Writes a row for each case and rival of the first side, as docs/benchmarks/README.md describes them."""

    def times(prefix: str, rounds: list[Times | None]) -> dict[str, str]:
        if None in rounds:
            return {}
        seconds = [second for times in rounds for second in times.seconds]
        firsts = [times.first for times in rounds if times.first is not None]
        found = {"_ms": statistics.median(seconds), "_low_ms": min(seconds), "_high_ms": max(seconds)}
        found |= {"_first_ms": statistics.median(firsts)} if firsts else {}
        return {prefix + name: f"{1000 * value:.4g}" for name, value in found.items()}

    def ratios(values: list[float]) -> dict[str, str]:
        found = {"ratio": statistics.median(values), "ratio_low": min(values), "ratio_high": max(values)} if values else {}
        return {name: f"{value:.2f}" for name, value in found.items()}

    first, *rivals = arguments.side
    with arguments.record.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for case, rival in itertools.product(cases, rivals):
            ours, others = measured[case, first], measured[case, rival]
            row = {
                "date": datetime.date.today().isoformat(),
                "processor": arguments.processor,
                "device": arguments.device,
                "task": case.task,
                "architecture": case.architecture,
                "batch": case.batch_size or "",
                "threads": case.threads,
                "reference": rival,
                "rounds": arguments.rounds,
                "command": " ".join(["tests/bench/compare.py", *sys.argv[1:]]),
            }
            writer.writerow(row | times("ours", ours) | times("reference", others) | ratios(by_round(others, ours)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--riposte", default="riposte", help="the binary, built with --release")
    parser.add_argument("--side", choices=SIDES, nargs="+", default=["kernels", "pytorch"], help="ratios are to the first one")
    parser.add_argument("--device", default="cpu", help="of Riposte's sides")
    parser.add_argument("--pytorch-device", choices=["cpu", "cuda"], default="cpu", help="of PyTorch's sides")
    parser.add_argument("--task", choices=TASKS, nargs="+", default=TASKS)
    parser.add_argument("--architecture", nargs="+", default=["fast-mnist-cnn"], metavar="NAME")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[None], metavar="N", help="default: that of the task")
    parser.add_argument("--iterations", type=int, default=50, help="of a post-training")
    parser.add_argument("--steps", type=int, default=40, help="of an attack")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5, help="timed runs in each process")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for a process")
    parser.add_argument("--output", type=Path, help="JSON file for all times")
    parser.add_argument("--record", type=Path, help="CSV file for docs/benchmarks")
    parser.add_argument("--processor", default=platform.processor() or platform.machine(), help="its name, for `--record`")
    arguments = parser.parse_args()

    product = itertools.product(arguments.architecture, arguments.task, arguments.batch_size, arguments.threads)
    # One image has one batch size.
    cases = list(dict.fromkeys(Case(net, task, 1 if task == "pgd-single" else size, threads) for net, task, size, threads in product))
    measured = measure(cases, arguments)
    print(table(cases, measured, arguments))
    if arguments.record:
        record(cases, measured, arguments)
    if arguments.output:
        times = [
            {**asdict(case), "side": side, "rounds": [times and asdict(times) for times in rounds]}
            for (case, side), rounds in measured.items()
        ]
        report = {"machine": platform.processor() or platform.machine(), "times": times}
        arguments.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
