"""Strong attacks in Riposte against their authors' code in PyTorch (pyautoattack): same weights, images, threads, numbers of steps.

    python tests/bench/attacks.py --riposte target/release/riposte --data DIR --weights mnist_fast_adversarial_fgsm.pth --threads 1 2

The first 256 MNIST test images at once. Riposte's time is that of `riposte eval` without that of the same command with the shortest attack, so
that neither side's time has the loading of data in it. Sides take turns in each round; prints medians of the rounds, the median, least and
most of their ratios (above 1 Riposte is faster), and how many images each leaves right. `--record` writes a data file for docs/benchmarks.
"""

import argparse
import csv
import datetime
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reference"))

import mnist  # noqa: E402
import nets  # noqa: E402
import torch  # noqa: E402
from compare import COLUMNS  # noqa: E402
from pyautoattack.autoattack import AutoAttack  # noqa: E402

IMAGES, EPSILON, QUERIES = 256, 0.3, 1000
# What Riposte's side adds to the command.
ATTACKS = {"apgd-ce": [], "apgd-t": [], "fab-t": [], "square": ["--queries", str(QUERIES)]}


def authors(net, images, labels, attack: str) -> tuple[float, int]:
    """Seconds, and how many images are still right."""
    attacker = AutoAttack(net, norm="Linf", eps=EPSILON, version="standard", seed=0)
    attacker.attacks_to_run = [attack]
    attacker.square.n_queries = QUERIES
    begin = time.perf_counter()
    points, *_ = attacker.run_standard_evaluation(images, labels, batch_size=IMAGES)
    seconds = time.perf_counter() - begin
    with torch.no_grad():
        return seconds, int((net(points).argmax(1) == labels).sum())


def ours(arguments, threads: int, attack: list[str]) -> tuple[float, int]:
    """Seconds of the whole process, and how many images are still right."""
    command = [arguments.riposte, "eval", "--weights", str(arguments.weights), "--architecture", "fast-mnist-cnn", "--dataset", "mnist"]
    command += ["--data", str(arguments.data), "--device", "cpu", "--riposte", "none", "--images", str(IMAGES)]
    command += ["--batch", str(IMAGES), "--epsilon", str(EPSILON), "--threads", str(threads), "--json", "--attack", *attack]
    begin = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return time.perf_counter() - begin, json.loads(done.stdout)["robust_correct"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mnist.add_data_argument(parser)
    parser.add_argument("--riposte", default="riposte", help="the binary, built with --release")
    parser.add_argument("--weights", type=Path, required=True, help="of the Fast-FGSM MNIST network")
    parser.add_argument("--attacks", nargs="+", choices=ATTACKS, default=list(ATTACKS))
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--record", type=Path, help="CSV file for docs/benchmarks")
    parser.add_argument("--processor", default=platform.processor() or platform.machine(), help="its name, for `--record`")
    arguments = parser.parse_args()

    images, labels = (part[:IMAGES] for part in mnist.test_set(arguments.data))
    net = nets.load("fast-mnist-cnn", arguments.weights)
    rows = []
    print("| attack | threads | Riposte, s | PyTorch, s | PyTorch / Riposte | right, Riposte | right, PyTorch |\n" + "|---" * 7 + "|")
    for attack in arguments.attacks:
        for threads in arguments.threads:
            torch.set_num_threads(threads)
            mine, theirs, right = [], [], []
            for round_number in range(arguments.rounds):
                for side in ["ours", "authors"][:: -1 if round_number % 2 else 1]:
                    if side == "ours":
                        before, _ = ours(arguments, threads, ["fgsm"])
                        seconds, ours_right = ours(arguments, threads, [attack, *ATTACKS[attack]])
                        mine.append(seconds - before)
                    else:
                        seconds, theirs_right = authors(net, images, labels, attack)
                        theirs.append(seconds)
            ratios = [their / my for my, their in zip(mine, theirs, strict=True)]
            spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            cells = [attack, threads, f"{statistics.median(mine):.2f}", f"{statistics.median(theirs):.2f}", spread, ours_right, theirs_right]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)
            rows.append((attack, threads, mine, theirs, ratios))
    if arguments.record:
        record(rows, arguments)


def record(rows, arguments) -> None:
    """Writes a row for each attack and number of threads, as docs/benchmarks/README.md describes them."""

    def times(prefix: str, seconds: list[float]) -> dict[str, str]:
        found = {"_ms": statistics.median(seconds), "_low_ms": min(seconds), "_high_ms": max(seconds)}
        return {prefix + name: f"{1000 * value:.4g}" for name, value in found.items()}

    version = ".".join(torch.__version__.split("+")[0].split(".")[:2])
    with arguments.record.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for attack, threads, mine, theirs, ratios in rows:
            row = {
                "date": datetime.date.today().isoformat(),
                "processor": arguments.processor,
                "device": "cpu",
                "task": attack,
                "architecture": "fast-mnist-cnn",
                "batch": IMAGES,
                "threads": threads,
                "reference": f"AutoAttack in PyTorch {version}",
                "ratio": f"{statistics.median(ratios):.2f}",
                "ratio_low": f"{min(ratios):.2f}",
                "ratio_high": f"{max(ratios):.2f}",
                "rounds": arguments.rounds,
                "command": "tests/bench/attacks.py --threads " + " ".join(map(str, arguments.threads)),
                "remark": f"{QUERIES} queries" if attack == "square" else "",
            }
            writer.writerow(row | times("ours", mine) | times("reference", theirs))


if __name__ == "__main__":
    main()
