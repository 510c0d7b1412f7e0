"""Riposte against PyTorch, fairly: same machine, threads, net and batch, in alternating rounds.

    python tests/bench/compare.py --riposte target/release/riposte --rounds 5 --repeats 5 --threads 1 2
    python tests/bench/compare.py --riposte target/release/riposte --architecture preact-resnet18 --task train-step --batch-size 32

Each round runs, for every task and thread count, one process of each side, in an order that turns round with each round,
so that a machine that slows down or is shared slows both. Every process warms up first. Prints a table; `--output`
also writes every time measured as JSON.

`riposte bench-speed --task T --repeats R --threads N --json` prints {"task": T, "seconds": [...]}.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path

TASKS = ["post-train", "pgd-batch", "pgd-single", "train-step"]
PYTORCH_SCRIPT = Path(__file__).with_name("pytorch_speed.py")


def pytorch_seconds(task: str, threads: int, arguments) -> list[float]:
    command = [sys.executable, str(PYTORCH_SCRIPT), *flags(task, threads, arguments)]
    return output_of(command)["seconds"][task]


def riposte_seconds(task: str, threads: int, arguments) -> list[float]:
    command = [arguments.riposte, "bench-speed", *flags(task, threads, arguments), "--device", "cpu", "--json"]
    result = output_of(command)
    if result["task"] != task:
        raise SystemExit(f"asked riposte for {task}, got {result['task']}")
    return result["seconds"]


def flags(task: str, threads: int, arguments) -> list[str]:
    """What both sides take."""
    out = ["--task", task, "--threads", str(threads), "--repeats", str(arguments.repeats), "--architecture", arguments.architecture]
    if arguments.batch_size:
        out += ["--batch-size", str(arguments.batch_size)]
    return [*out, "--iterations", str(arguments.iterations)]


def output_of(command: list[str]) -> dict:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}")
    return json.loads(done.stdout)


SIDES = {"pytorch": pytorch_seconds, "riposte": riposte_seconds}


def measure(arguments) -> dict:
    """Seconds by (task, threads, side): one list for each round."""
    out = {}
    for round_number in range(arguments.rounds):
        sides = list(SIDES)[:: -1 if round_number % 2 else 1]
        for task in arguments.task:
            for count in arguments.threads:
                for side in sides:
                    print(f"round {round_number + 1} of {arguments.rounds}: {task}, threads {count}, {side}", file=sys.stderr)
                    times = SIDES[side](task, count, arguments)
                    out.setdefault((task, count, side), []).append(times)
    return out


def quartiles(times: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    if len(times) == 1:
        return times[0], times[0], times[0]
    return tuple(statistics.quantiles(times, n=4, method="inclusive"))


def summarize(measured: dict, task: str, threads: int) -> dict:
    """Medians and quartiles of all times of each side; PyTorch's over Riposte's median, overall and of each round."""
    row = {"task": task, "threads": threads}
    for side in SIDES:
        times = [time for part in measured[task, threads, side] for time in part]
        row[side] = dict(zip(("lower", "median", "upper"), quartiles(times), strict=True))
    pairs = zip(measured[task, threads, "pytorch"], measured[task, threads, "riposte"], strict=True)
    by_round = [statistics.median(a) / statistics.median(b) for a, b in pairs]
    row["ratio"] = row["pytorch"]["median"] / row["riposte"]["median"]
    row["ratio_by_round"] = {"least": min(by_round), "most": max(by_round)}
    return row


def table(rows: list[dict]) -> str:
    lines = [
        "| task | threads | PyTorch, ms (quartiles) | Riposte, ms (quartiles) | PyTorch / Riposte | least - most of the rounds |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["task"], str(row["threads"])]
        for side in SIDES:
            low, middle, high = (1000 * row[side][key] for key in ("lower", "median", "upper"))
            cells.append(f"{middle:.1f} ({low:.1f} - {high:.1f})")
        cells.append(f"{row['ratio']:.2f}")
        cells.append("{least:.2f} - {most:.2f}".format(**row["ratio_by_round"]))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--riposte", default="riposte", help="the binary, built with --release")
    parser.add_argument("--task", choices=TASKS, nargs="+", default=TASKS)
    parser.add_argument("--architecture", default="fast-mnist-cnn", metavar="NAME")
    parser.add_argument("--batch-size", type=int, help="default: that of the task")
    parser.add_argument("--iterations", type=int, default=50, help="of a post-training")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5, help="timed runs in each process")
    parser.add_argument("--output", type=Path, help="JSON file for all times")
    arguments = parser.parse_args()

    measured = measure(arguments)
    rows = [summarize(measured, task, count) for task in arguments.task for count in arguments.threads]
    print(table(rows))
    if arguments.output:
        times = [{"task": t, "threads": n, "side": side, "seconds": parts} for (t, n, side), parts in measured.items()]
        report = {"machine": platform.processor() or platform.machine(), "rows": rows, "times": times}
        arguments.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
