"""The greedy model space attack on the riposte, adaptation included, in PyTorch.

    python tests/reference/gmsa.py --data DIR --weights FILE --images 50 --processes 2

F-MNIST's defense with the fixed perturbation. In each round Auto-PGD (from a random point and from the last round's point) climbs on the mean over
the base model and all copies so far of the margin divided by the spread of the logits; the defense adapts some times at the best point; its copies
join. The worst point by those answers is judged by adaptations with other draws. Writes the counts of right answers, image by image.
"""

import argparse
import copy
import json
import time
from multiprocessing import get_context
from pathlib import Path

import method
import mnist
import nets
import torch
from post_train import ITERATIONS, LEARNING_RATE, batches, generator_for

EPSILON = 0.3
VARIANT = "fixed-both"


def normalized_margin(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    ranked = logits.sort(1, descending=True).values
    return method.margin(logits, labels) / (ranked[:, 0] - ranked[:, 2] + 1e-12)


def mean_slope(models, points, labels):
    """Value [batch] and gradient of the mean over the models."""
    points = points.detach().requires_grad_(True)
    value = torch.stack([normalized_margin(model(points), labels) for model in models]).mean(0)
    (gradient,) = torch.autograd.grad(value.sum(), points)
    return value.detach(), gradient


def apgd(models, images, labels, starts, steps: int):
    """Auto-PGD (Croce & Hein 2020, Algorithm 1), image by image: the points of the highest value and these values."""

    def project(points):
        return torch.max(torch.min(points, images + EPSILON), images - EPSILON).clamp(0, 1)

    each = lambda values: values[:, None, None, None]
    eta = torch.full((len(images),), 2 * EPSILON)
    point = previous = starts
    value, gradient = mean_slope(models, point, labels)
    best, best_value, best_gradient = point, value, gradient
    last, rises = torch.zeros_like(value), torch.zeros_like(value)
    checked, halved = value.clone(), torch.ones(len(images), dtype=torch.bool)
    window, since = int(0.22 * steps), 0
    for step in range(steps):
        alpha = 1.0 if step == 0 else 0.75
        ahead = project(point + each(eta) * gradient.sign())
        moved = project(point + alpha * (ahead - point) + (1 - alpha) * (point - previous))
        previous, point = point, moved
        value, gradient = mean_slope(models, point, labels)
        rises += (value > last).float()
        last = value
        higher = value > best_value
        best = torch.where(each(higher), point, best)
        best_gradient = torch.where(each(higher), gradient, best_gradient)
        best_value = torch.where(higher, value, best_value)
        since += 1
        if since == window:
            halve = (rises <= 0.75 * window) | (~halved & (checked >= best_value))
            eta = torch.where(halve, eta / 2, eta)
            point = torch.where(each(halve), best, point)
            gradient = torch.where(each(halve), best_gradient, gradient)
            rises, checked, halved = torch.zeros_like(rises), best_value.clone(), halve
            window, since = max(window - int(0.03 * steps), int(0.06 * steps)), 0
    return best, best_value


class Worker:
    def __init__(self, settings) -> None:
        torch.set_num_threads(1)
        self.settings = settings
        self.net = nets.load(settings.architecture, settings.weights).requires_grad_(False)
        self.images, self.labels = mnist.test_set(settings.data)
        train_images, train_labels = mnist.training_set(settings.data)
        self.pools = [train_images[train_labels == label] for label in range(10)]

    def respond(self, point, generator):
        """The logits of one answer, and the copy that gave it; no copy where there is no neighbor."""
        found = method.find_neighbour(self.net, point, method.F_SEARCH)
        original, neighbour = found.original.item(), found.neighbour.item()
        if original == neighbour:
            return method.predict(self.net, point), None
        adapted = copy.deepcopy(self.net).requires_grad_(True)
        drawn = batches(self.pools, original, neighbour, VARIANT, generator)
        method.post_train(adapted, drawn, VARIANT, LEARNING_RATE, found.delta_fix)
        adapted.requires_grad_(False)
        return method.predict(adapted, point), adapted

    def responses(self, point, label, count: int, generator):
        """Wrong answers of so many, the mean margin, and the copies. An answer without a copy is always the same."""
        wrong, margins, copies = 0, [], []
        for _ in range(count):
            logits, adapted = self.respond(point, generator)
            wrong += int(logits.argmax(1).item() != label.item())
            margins.append(normalized_margin(logits, label).item())
            if adapted is None:
                return wrong * count, margins[0], []
            copies.append(adapted)
        return wrong, sum(margins) / count, copies

    def attack(self, index: int) -> dict:
        image, label = self.images[index : index + 1], self.labels[index : index + 1]
        draws, judges = (generator_for(self.settings.seed, index, purpose) for purpose in (3, 4))
        models, worst, last, falls = [self.net], None, None, 0
        for _ in range(self.settings.rounds):
            noise = torch.rand(image.shape, generator=draws) * 2 - 1
            starts = [(image + EPSILON * noise / noise.abs().max()).clamp(0, 1)] + ([] if last is None else [last])
            count = len(starts)
            points, values = apgd(models, image.repeat(count, 1, 1, 1), label.repeat(count), torch.cat(starts), self.settings.steps)
            last = points[values.argmax()][None]
            wrong, margin, copies = self.responses(last, label, self.settings.adaptations, draws)
            models += copies
            if worst is None or (wrong, margin) > worst[:2]:
                worst = (wrong, margin, last)
            falls = falls + 1 if wrong == self.settings.adaptations else 0
            if falls == 2:
                break
        of = self.settings.judges
        judged = [of - self.responses(point, label, of, judges)[0] for point in (image, worst[2])]
        base = [method.predict(self.net, point).argmax(1).item() == label.item() for point in (image, worst[2])]
        return {"index": index, "natural": judged[0], "attacked": judged[1], "base_natural": base[0], "base_attacked": base[1]}


worker: Worker


def start_worker(settings) -> None:
    global worker
    worker = Worker(settings)


def attack(index: int) -> dict:
    return worker.attack(index)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mnist.add_data_argument(parser)
    parser.add_argument("--weights", type=Path, required=True, help="PyTorch state dict")
    parser.add_argument("--architecture", choices=nets.ARCHITECTURES, default="fast-mnist-cnn")
    parser.add_argument("--images", type=int, default=50, help="the first so many test images")
    parser.add_argument("--steps", type=int, default=100, help="of each ascent")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--adaptations", type=int, default=4, help="answers by which a point is chosen")
    parser.add_argument("--judges", type=int, default=16, help="answers by which the chosen point is judged")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("gmsa.json"))
    settings = parser.parse_args()

    begin, lines = time.perf_counter(), []
    with get_context("spawn").Pool(settings.processes, start_worker, (settings,)) as pool:
        for line in pool.imap(attack, range(settings.images)):
            lines.append(line)
            print(f"{line} {time.perf_counter() - begin:.0f} s", flush=True)
    report = {
        "torch": torch.__version__.split("+")[0],
        "weights": settings.weights.name,
        "images": len(lines),
        "seed": settings.seed,
        "epsilon": EPSILON,
        "steps": settings.steps,
        "rounds": settings.rounds,
        "adaptations": settings.adaptations,
        "judges": settings.judges,
        "post_train": {"variant": VARIANT, "iterations": ITERATIONS, "learning_rate": LEARNING_RATE},
        "accuracy": {name: sum(line[name] for line in lines) / settings.judges / len(lines) for name in ("natural", "attacked")},
        "base_correct": {name: sum(line[f"base_{name}"] for line in lines) for name in ("natural", "attacked")},
    }
    rows = ",\n  ".join(json.dumps(line) for line in lines)
    settings.output.write_text(json.dumps(report, indent=1)[:-2] + f',\n "lines": [\n  {rows}\n ]\n}}\n')
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
