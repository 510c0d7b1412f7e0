"""Exported images judged by PyTorch, beside what Riposte says of them.

    riposte eval --weights FILE --architecture fast-mnist-cnn --dataset mnist --preset f-mnist --images 1000 \\
        --out cell.jsonl --export cell.npz
    python tests/reference/judge.py --data DIR --weights FILE --images cell.npz --lines cell.jsonl --riposte 200

Counts the images, natural and attacked, of which the base model says the same class here and there; it must be all of them, but for
logits that are equal within rounding. With `--riposte N` the independent post-training of `post_train.py`, with F-MNIST's settings,
answers the first N attacked images with draws of its own: its accuracy should lie in the interval of Riposte's on the same images.
"""

import argparse
import json
import math
from pathlib import Path

import mnist
import nets
import numpy
import post_train
import torch


def records(path: Path) -> list[dict]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if "input" in line]


def classes(net, images: numpy.ndarray) -> list[int]:
    with torch.no_grad():
        return net(torch.from_numpy(images)).argmax(1).tolist()


def wilson(right: int, trials: int) -> tuple[float, float]:
    z, share = 1.959964, right / trials
    center = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return center - half, center + half


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mnist.add_data_argument(parser)
    parser.add_argument("--weights", type=Path, required=True, help="PyTorch state dict")
    parser.add_argument("--architecture", choices=nets.ARCHITECTURES, default="fast-mnist-cnn")
    parser.add_argument("--images", type=Path, required=True, help="the .npz file of --export")
    parser.add_argument("--lines", type=Path, required=True, help="the results file of --out")
    parser.add_argument("--riposte", type=int, default=0, help="answer the first so many attacked images")
    parser.add_argument("--variant", choices=post_train.VARIANTS, default="fixed-both")
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()

    arrays, lines = numpy.load(settings.images), {line["input"]: line for line in records(settings.lines)}
    lines = [lines[number] for number in arrays["numbers"].tolist()]
    net = nets.load(settings.architecture, settings.weights)
    for name in ("natural", "attacked"):
        here = classes(net, arrays[name])
        differing = [line["input"] for line, found in zip(lines, here, strict=True) if line[name] != found]
        rest = f"; not those of {differing}" if differing else ""
        print(f"{name}: {len(here) - len(differing)} of {len(here)} base verdicts are the same{rest}")
    if settings.riposte:
        worker = post_train.Worker(settings)
        count, right_here, right_there = settings.riposte, 0, 0
        for image, line in zip(torch.from_numpy(arrays["attacked"][:count]), lines, strict=False):
            generator = post_train.generator_for(settings.seed, line["input"], 2)
            _, _, answer = post_train.adapt(net, image[None], worker.pools, settings.variant, generator)
            right_here += answer == line["label"]
            right_there += line["riposte_attacked"]["answer"] == line["label"]
        low, high = wilson(right_there, count)
        inside = "inside" if low <= right_here / count <= high else "OUTSIDE"
        print(f"riposte: {right_here} of {count} right here, {right_there} there ({100 * low:.1f} to {100 * high:.1f} %): {inside}")


if __name__ == "__main__":
    main()
