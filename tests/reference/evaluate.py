"""Evaluates public weights over the test set: attack, and the neighbor search on what it makes. No randomness.

    python tests/reference/evaluate.py --data DIR --weights DIR
    python tests/reference/evaluate.py --data DIR --weights DIR --dataset cifar10

Writes counts as JSON, by default to mnist.json or cifar10.json beside this file; entries of models not evaluated now are kept.
"""

import argparse
import json
import time
from pathlib import Path

import cifar10
import method
import mnist
import nets
import torch

MODELS = {
    "mnist": {
        "fast": ("fast-mnist-cnn", "mnist_fast_adversarial_fgsm.pth"),
        "pgd": ("fast-mnist-cnn", "mnist_fast_adversarial_pgd_madry.pth"),
        "trades": ("trades-mnist-cnn", "mnist_trades_smallcnn.pt"),
    },
    "cifar10": {
        "resnet4b": ("resnet4b", "abcrown_resnet4b.pth"),
        "cnn-a": ("cnn-a", "abcrown_cifar_cnn_a_mix.model"),
    },
}
READERS = {"mnist": mnist, "cifar10": cifar10}
ATTACKS = {"mnist": method.F_MNIST_ATTACK, "cifar10": method.Ball(8 / 255, 2 / 255, 20)}
SEARCHES = {
    "mnist": {"f-mnist": method.F_SEARCH, "attack": ATTACKS["mnist"]},
    "cifar10": {"f-cifar": method.F_SEARCH, "attack": ATTACKS["cifar10"]},
}


def attack_both(net, images, labels, ball: method.Ball) -> dict[str, torch.Tensor]:
    """Perturbations of PGD from zero, for both stop modes from one walk.

    From the same start, a sample that stops at success walks as one that never stops, up to its first wrong prediction;
    so its end is the first wrong point of the walk, or the last point.
    """
    stopped = torch.zeros_like(images)
    walking = torch.ones(len(images), dtype=torch.bool)
    for step in method.pgd_steps(net, images, labels, ball):
        stopped[walking] = step.perturbation[walking]
        walking &= step.logits.argmax(1) == labels
    return {"never": step.perturbation, "success": stopped}


def counts(net, images, labels, attack: method.Ball, searches: dict[str, method.Ball]) -> dict:
    """Counts over one batch of images."""
    natural = method.predict(net, images).argmax(1)
    out = {"images": len(images), "natural_correct": int((natural == labels).sum())}
    for search, ball in searches.items():
        out[f"natural/search {search}"] = neighbours(net, images, labels, ball)
    for stop, perturbation in attack_both(net, images, labels, attack).items():
        attacked = images + perturbation
        wrong = method.predict(net, attacked).argmax(1) != labels
        out[f"stop {stop}"] = {
            "robust_correct": int((~wrong).sum()),
            "nan_count": int((~torch.isfinite(attacked)).sum()),
        }
        for search, ball in searches.items():
            out[f"stop {stop}/search {search}"] = neighbours(net, attacked, labels, ball)
    return out


def neighbours(net, points, labels, ball) -> dict[str, int]:
    found = method.find_neighbour(net, points, ball)
    return {
        "with_neighbour": int((found.neighbour != found.original).sum()),
        "neighbour_correct": int(((found.original == labels) | (found.neighbour == labels)).sum()),
    }


def add(total: dict, part: dict) -> dict:
    """Sums counts of the same nested keys."""
    if not total:
        return part
    return {key: add(total[key], value) if isinstance(value, dict) else total[key] + value for key, value in part.items()}


def as_json(ball: method.Ball) -> dict:
    return {"epsilon": ball.epsilon, "step_size": ball.step_size, "steps": ball.steps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mnist.add_data_argument(parser)
    parser.add_argument("--weights", type=Path, required=True, help="folder with the weights files")
    parser.add_argument("--dataset", choices=MODELS, default="mnist")
    parser.add_argument("--models", nargs="+", help="default: all of the dataset")
    parser.add_argument("--images", type=int, default=10_000, help="the first so many test images")
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, help="default: DATASET.json beside this file")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    attack, searches = ATTACKS[arguments.dataset], SEARCHES[arguments.dataset]
    output = arguments.output or Path(__file__).with_name(f"{arguments.dataset}.json")
    images, labels = READERS[arguments.dataset].test_set(arguments.data)
    images, labels = images[: arguments.images], labels[: arguments.images]
    report = json.loads(output.read_text()) if output.exists() else {"models": {}}
    report |= {
        "torch": torch.__version__.split("+")[0],
        "attack": as_json(attack) | {"start": "zero", "restarts": 1, "loss": "cross-entropy"},
        "searches": {name: as_json(ball) for name, ball in searches.items()},
    }
    for name in arguments.models or MODELS[arguments.dataset]:
        architecture, file = MODELS[arguments.dataset][name]
        net = nets.load(architecture, arguments.weights / file)
        begin, total = time.perf_counter(), {}
        for i in range(0, len(images), arguments.batch):
            total = add(total, counts(net, images[i : i + arguments.batch], labels[i : i + arguments.batch], attack, searches))
            print(f"{name}: {total['images']} images, {time.perf_counter() - begin:.0f} s", flush=True)
        report["models"][name] = {"architecture": architecture, "weights": file} | total
        output.write_text(json.dumps(report, indent=1) + "\n")
        print(json.dumps(report["models"][name], indent=1))


if __name__ == "__main__":
    main()
