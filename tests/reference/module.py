"""AutoAttack, its authors' code in PyTorch, on a network of PyTorch and on the same weights in Riposte's Python module: whether both are right on
the same images after each of its attacks. And Square alone on the defense.

    python tests/reference/module.py --data DIR --weights FILE                                # writes module.json
    python tests/reference/module.py --data DIR --weights FILE --attacks square --defense 100      # Square on the defense, 100 queries an image

The module must be installed (docs/python.md).
"""

import argparse
import json
import time
from pathlib import Path

import mnist
import nets
import torch
from autoattack import EPSILON, STANDARD
from pyautoattack.autoattack import AutoAttack
from pyautoattack.square import SquareAttack

import riposte


class Logits(torch.autograd.Function):
    """Riposte's logits, with its products of vectors and Jacobians as the backward pass."""

    @staticmethod
    def forward(ctx, images, model):
        ctx.save_for_backward(images)
        ctx.model = model
        return torch.from_numpy(model(images))

    @staticmethod
    def backward(ctx, gradient):
        (images,) = ctx.saved_tensors
        return torch.from_numpy(ctx.model.vjp(images, gradient)), None


def verdicts(network, images, labels, attack: str) -> list[bool]:
    """Whether each image is still right after one attack with the standard version's settings."""
    attacker = AutoAttack(network, norm="Linf", eps=EPSILON, version="standard", seed=0)
    attacker.attacks_to_run = [attack]
    points, _ = attacker.run_standard_evaluation(images, labels, batch_size=len(images))
    with torch.no_grad():
        return (network(points).argmax(1) == labels).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mnist.add_data_argument(parser)
    parser.add_argument("--weights", type=Path, required=True, help="of the Fast-FGSM network, as mnist_fast_adversarial_fgsm.pth")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--attacks", nargs="*", default=STANDARD, choices=STANDARD)
    parser.add_argument("--defense", type=int, default=0, help="queries of Square on the defense for each image; none without it")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("module.json"))
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    images, labels = (part[: arguments.images] for part in mnist.test_set(arguments.data))
    network = nets.load("fast-mnist-cnn", arguments.weights)
    model = riposte.load(arguments.weights, architecture="fast-mnist-cnn", device="cpu", threads=arguments.threads)
    report = json.loads(arguments.output.read_text()) if arguments.output.exists() else {}
    for attack in arguments.attacks:
        begin = time.perf_counter()
        theirs = verdicts(network, images, labels, attack)
        between = time.perf_counter()
        ours = verdicts(lambda points: Logits.apply(points, model), images, labels, attack)
        differing = [index for index, (one, other) in enumerate(zip(theirs, ours)) if one != other]
        seconds = [round(between - begin), round(time.perf_counter() - between)]
        row = {"images": len(images), "pytorch": sum(theirs), "riposte": sum(ours), "differing": differing, "seconds": seconds}
        print(attack, row, flush=True)
        report[attack] = row
    if arguments.defense:
        report["square on the defense"] = row = on_defense(model, arguments, images, labels)
        print(row, flush=True)
    arguments.output.write_text(json.dumps(report, indent=1) + "\n")


def on_defense(model, arguments, images, labels) -> dict:
    """Square, with some queries for each image, on the model that adapts to each of them."""
    begin = time.perf_counter()
    defense = model.riposte("f-mnist", data=arguments.data)
    square = SquareAttack(
        lambda points: torch.from_numpy(defense(points)), norm="Linf", eps=EPSILON, n_queries=arguments.defense, n_restarts=1, seed=0, device="cpu", resc_schedule=False
    )
    points = square.perturb(images, labels)
    right = (torch.from_numpy(defense.predict(points)) == labels).sum().item()
    base = (torch.from_numpy(model.predict(points)) == labels).sum().item()
    natural = (torch.from_numpy(defense.predict(images)) == labels).sum().item()
    seconds = round(time.perf_counter() - begin)
    return {"images": len(images), "queries": arguments.defense, "natural": natural, "right": right, "model on the same points": base, "seconds": seconds}


if __name__ == "__main__":
    main()
