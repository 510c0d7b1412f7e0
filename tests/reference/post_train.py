"""The whole method over the first test images, in PyTorch: attack, search, post-training, answer.

    python tests/reference/post_train.py --data DIR --weights FILE --images 200 --processes 2

F-MNIST's settings: eval mode, 100 + 100 training samples drawn without replacement for each of 50 iterations, SGD 0.001
with nesterov momentum 0.9. Writes counts as JSON, and per image the classes and predictions, so that any figure can be
recomputed. Draws of training samples and noise depend on the seed, the image and nothing else.
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

VARIANTS = ["fixed-both", "fast"]
PER_CLASS = 100
ITERATIONS = 50
LEARNING_RATE = 0.001


def adapt(net, point, pools, variant: str, generator) -> tuple[int, int, int]:
    """Answers one input [1, 1, 28, 28] as the riposte does: y', y'' and the adapted prediction (y' if there is no neighbor)."""
    found = method.find_neighbour(net, point, method.F_SEARCH)
    original, neighbour = found.original.item(), found.neighbour.item()
    if original == neighbour:
        return original, neighbour, original
    adapted = copy.deepcopy(net)
    method.post_train(adapted, batches(pools, original, neighbour, variant, generator), variant, LEARNING_RATE, found.delta_fix)
    return original, neighbour, method.predict(adapted, point).argmax(1).item()


def batches(pools, original: int, neighbour: int, variant: str, generator):
    """Training samples of y' first, of y'' second, with their labels and the noise that the variant needs."""
    labels = torch.tensor([original] * PER_CLASS + [neighbour] * PER_CLASS)
    for _ in range(ITERATIONS):
        samples = torch.cat([draw(pools[label], generator) for label in (original, neighbour)])
        noise = None
        if variant in ("fast", "pgd"):
            noise = (torch.rand(samples.shape, generator=generator) * 2 - 1) * method.FAST.epsilon
        yield samples, labels, noise


def draw(pool: torch.Tensor, generator) -> torch.Tensor:
    return pool[torch.randperm(len(pool), generator=generator)[:PER_CLASS]]


class Worker:
    """What one process holds: the net, the test images, the training images of each class."""

    def __init__(self, settings) -> None:
        torch.set_num_threads(1)
        self.settings = settings
        self.net = nets.load(settings.architecture, settings.weights)
        self.images, self.labels = mnist.test_set(settings.data)
        train_images, train_labels = mnist.training_set(settings.data)
        self.pools = [train_images[train_labels == label] for label in range(10)]

    def answer(self, index: int) -> dict:
        """Every kind of input and every variant for one test image."""
        image, label = self.images[index : index + 1], self.labels[index : index + 1]
        line = {"index": index, "label": label.item()}
        for number, (name, point) in enumerate(self.points(image, label, index).items()):
            entry = {}
            for variant in VARIANTS:
                generator = generator_for(self.settings.seed, index, 1 + number)
                entry["original"], entry["neighbour"], entry[variant] = adapt(self.net, point, self.pools, variant, generator)
            line[name] = entry
        return line

    def points(self, image, label, index: int) -> dict[str, torch.Tensor]:
        out = {"natural": image}
        for stop in ("never", "success"):
            start = None
            if self.settings.start == "uniform":
                start = uniform_start(image, generator_for(self.settings.seed, index, 0))
            end = method.pgd(self.net, image, label, method.F_MNIST_ATTACK, start=start, stop=stop == "success")
            out[f"stop {stop}"] = image + end.perturbation
        return out


worker: Worker


def start_worker(settings) -> None:
    global worker
    worker = Worker(settings)


def answer(index: int) -> dict:
    return worker.answer(index)


def generator_for(seed: int, index: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed * 100_000 + index) * 10 + purpose)


def uniform_start(image, generator) -> torch.Tensor:
    noise = (torch.rand(image.shape, generator=generator) * 2 - 1) * method.F_MNIST_ATTACK.epsilon
    return torch.max(torch.min(noise, 1 - image), 0 - image)


def summarize(lines: list[dict]) -> dict:
    """Counts for each kind of input: natural, and attacked with each stop mode."""
    out = {}
    for point in ("natural", "stop never", "stop success"):
        entries = [(line["label"], line[point]) for line in lines]
        out[point] = {
            "base_correct": sum(label == entry["original"] for label, entry in entries),
            "riposted": sum(entry["original"] != entry["neighbour"] for _, entry in entries),
            "neighbour_correct": sum(label in (entry["original"], entry["neighbour"]) for label, entry in entries),
        }
        for variant in VARIANTS:
            out[point][f"{variant}_correct"] = sum(label == entry[variant] for label, entry in entries)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mnist.add_data_argument(parser)
    parser.add_argument("--weights", type=Path, required=True, help="PyTorch state dict")
    parser.add_argument("--architecture", choices=nets.ARCHITECTURES, default="fast-mnist-cnn")
    parser.add_argument("--images", type=int, default=200, help="the first so many test images")
    parser.add_argument("--start", choices=["zero", "uniform"], default="zero", help="start of the attack")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("post_train.json"))
    settings = parser.parse_args()

    begin = time.perf_counter()
    lines = []
    with get_context("spawn").Pool(settings.processes, start_worker, (settings,)) as pool:
        for line in pool.imap(answer, range(settings.images)):
            lines.append(line)
            if len(lines) % 10 == 0:
                print(f"{len(lines)} images, {time.perf_counter() - begin:.0f} s", flush=True)
    report = {
        "torch": torch.__version__.split("+")[0],
        "weights": settings.weights.name,
        "images": len(lines),
        "seed": settings.seed,
        "attack": {"epsilon": 0.3, "step_size": 0.01, "steps": 40, "start": settings.start, "restarts": 1},
        "search": {"epsilon": 8 / 255, "step_size": 10 / 255, "steps": 20, "start": "zero"},
        "post_train": {"iterations": ITERATIONS, "samples_per_class": PER_CLASS, "learning_rate": LEARNING_RATE},
        "counts": summarize(lines),
    }
    text = json.dumps(report, indent=1)
    print(text)
    rows = ",\n  ".join(json.dumps(line) for line in lines)
    settings.output.write_text(text[:-2] + f',\n "lines": [\n  {rows}\n ]\n}}\n')


if __name__ == "__main__":
    main()
