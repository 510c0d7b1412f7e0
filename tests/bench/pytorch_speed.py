"""Times the method's costs in PyTorch on the CPU or a CUDA GPU; needs no files. `riposte bench-speed` times the same.

    python tests/bench/pytorch_speed.py --task post-train --repeats 5 --threads 2

post-train   one post-training: copy the net, 50 iterations (`--iterations`) of 200 samples, half of each class, drawn
             without replacement from two pools, fixed perturbation (both), SGD 0.001 with nesterov momentum 0.9;
             batch normalization frozen
pgd-batch    PGD-40 (`--steps`; epsilon 0.3, step 0.01, from zero, never stopping) on 500 images at once
pgd-single   the same on one image
train-step   forward, backward and update on a batch of 256, batch normalization in training
fast-step    a batch of Fast-FGSM: one step of the attack from a random start, then the update; Adam and 100 samples on
             MNIST, SGD and 128 on CIFAR-10, whose attack is in training mode, as in the authors' code
trades-step  a batch of TRADES: `--steps` steps on the divergence, the network resting, then the update

`--batch-size` sets another batch. Weights, images and pools come from the golden files' formula. Weights do not require
gradients during an attack, so no time goes into gradients that nobody reads. On a GPU, `--precision tf32` lets products
round their factors to TF32, `amp` runs networks in 16-bit floats where autocast finds them good enough, with channels last, and `--compile`
runs networks through torch.compile. Prints
{"threads": T, "torch": V, "seconds": {task: [per repeat]}, "peak_bytes": {task: most that tensors held on the GPU}}.
"""

import argparse
import contextlib
import copy
import dataclasses
import json
import sys
import time
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / folder) for folder in ("golden", "reference")]

import formula  # noqa: E402
import method  # noqa: E402
import nets  # noqa: E402


class Bench:
    """What is timed: an architecture and, for some tasks, a batch size and numbers of iterations and steps other than the usual."""

    def __init__(
        self, architecture: str, batch_size: int | None, iterations: int, steps: int, device: str, compiled: bool, amp: bool
    ) -> None:
        self.device = device
        self.compile = torch.compile if compiled else lambda net: net
        self.context = (lambda: torch.autocast(device, torch.bfloat16)) if amp else contextlib.nullcontext
        self.net = formula.fill(nets.build(architecture)).requires_grad_(False).to(device)
        if amp:
            self.net = self.net.to(memory_format=torch.channels_last)
        self.shape = (1, 28, 28) if "mnist" in architecture else (3, 32, 32)
        self.batch_size = batch_size
        self.iterations = iterations
        self.attack = dataclasses.replace(method.F_MNIST_ATTACK, steps=steps)

    def unit(self, name: str, shape) -> torch.Tensor:
        return formula.unit(name, shape).to(self.device)

    def post_train(self):
        half = (self.batch_size or 200) // 2
        pool_size = max(1000, 2 * half)
        pools = [self.unit(f"pool{i}", (pool_size, *self.shape)) for i in range(2)]
        delta_fix = formula.symmetric("delta_fix", (1, *self.shape), method.F_SEARCH.epsilon).to(self.device)
        labels = torch.tensor([3] * half + [8] * half, device=self.device)
        generator = torch.Generator(self.device).manual_seed(0)
        adapted = copy.deepcopy(self.net).requires_grad_(True)
        compiled = self.compile(adapted)

        def batches():
            for _ in range(self.iterations):
                drawn = [pool[torch.randperm(pool_size, generator=generator, device=self.device)[:half]] for pool in pools]
                yield torch.cat(drawn), labels, None

        def run() -> None:
            adapted.load_state_dict(self.net.state_dict())
            method.post_train(compiled, batches(), "fixed-both", 0.001, delta_fix)

        return run

    def pgd(self, batch: int):
        images = self.unit("images", (batch, *self.shape))
        labels = torch.arange(batch, device=self.device) * 3 % 10
        net = self.compile(self.net)
        return lambda: method.pgd(net, images, labels, self.attack)

    def train_step(self):
        batch = self.batch_size or 256
        images, labels = self.unit("images", (batch, *self.shape)), torch.arange(batch, device=self.device) % 10
        net = self.compile(copy.deepcopy(self.net).requires_grad_(True).train())
        optimizer = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9, nesterov=True)

        def run() -> None:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(images), labels).backward()
            optimizer.step()

        return run

    def recipe(self):
        """Images, labels, net, optimizer and radius of the published recipes."""
        colored = self.shape[0] > 1
        batch = self.batch_size or (128 if colored else 100)
        images, labels = self.unit("images", (batch, *self.shape)), torch.arange(batch, device=self.device) % 10
        net = copy.deepcopy(self.net).requires_grad_(True).train()
        if colored:
            optimizer = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4)
        else:
            optimizer = torch.optim.Adam(net.parameters(), lr=0.0001)
        return images, labels, self.compile(net), optimizer, 8 / 255 if colored else 0.3

    def fast_step(self):
        images, labels, net, optimizer, epsilon = self.recipe()

        def run() -> None:
            delta = (images + torch.empty_like(images).uniform_(-epsilon, epsilon)).clamp(0, 1) - images
            delta.requires_grad_()
            (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(net(images + delta), labels), delta)
            delta = (delta.detach() + 1.25 * epsilon * gradient.sign()).clamp(-epsilon, epsilon)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net((images + delta).clamp(0, 1)), labels).backward()
            optimizer.step()

        return run

    def trades_step(self):
        images, labels, net, optimizer, epsilon = self.recipe()
        functional = torch.nn.functional

        def divergence(natural, moved):
            said = functional.softmax(natural, dim=1)
            return functional.kl_div(functional.log_softmax(moved, dim=1), said, reduction="sum")

        def run() -> None:
            net.eval()
            moved = images + 0.001 * torch.randn_like(images)
            with torch.no_grad():
                natural = net(images)
            for _ in range(self.attack.steps):
                moved.requires_grad_()
                (gradient,) = torch.autograd.grad(divergence(natural, net(moved)), moved)
                moved = moved.detach() + 0.03 * epsilon * gradient.sign()
                moved = torch.max(torch.min(moved, images + epsilon), images - epsilon).clamp(0, 1)
            net.train()
            optimizer.zero_grad()
            natural = net(images)
            loss = functional.cross_entropy(natural, labels) + divergence(natural, net(moved)) / len(images)
            loss.backward()
            optimizer.step()

        return run

    def task(self, name: str):
        run = {
            "post-train": self.post_train,
            "pgd-batch": lambda: self.pgd(self.batch_size or 500),
            "pgd-single": lambda: self.pgd(1),
            "train-step": self.train_step,
            "fast-step": self.fast_step,
            "trades-step": self.trades_step,
        }[name]()

        def in_context() -> None:
            with self.context():
                run()

        return in_context


TASKS = ["post-train", "pgd-batch", "pgd-single", "train-step", "fast-step", "trades-step"]


def seconds(run, repeats: int, warm_up: int, device: str) -> list[float]:
    def once() -> float:
        begin = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    for _ in range(warm_up):
        once()
    return [once() for _ in range(repeats)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, action="append", help="default: all; may be given more than once")
    parser.add_argument("--architecture", default="fast-mnist-cnn", help="as nets.py and riposte name it")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--iterations", type=int, default=50, help="of a post-training")
    parser.add_argument("--steps", type=int, default=40, help="of an attack")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=1, help="runs before the first that is timed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["f32", "tf32", "amp"], default="f32", help="of the products on a GPU")
    parser.add_argument("--compile", action="store_true", help="run networks through torch.compile")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = arguments.precision != "f32"
    torch.backends.cudnn.benchmark = True
    measured, peaks = {}, {}
    counts = (arguments.batch_size, arguments.iterations, arguments.steps)
    bench = Bench(arguments.architecture, *counts, arguments.device, arguments.compile, arguments.precision == "amp")
    for name in arguments.task or TASKS:
        if arguments.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        measured[name] = seconds(bench.task(name), arguments.repeats, arguments.warm_up, arguments.device)
        if arguments.device == "cuda":
            peaks[name] = torch.cuda.max_memory_allocated()
    version = torch.__version__.split("+")[0]
    print(json.dumps({"threads": torch.get_num_threads(), "torch": version, "seconds": measured, "peak_bytes": peaks}))


if __name__ == "__main__":
    main()
