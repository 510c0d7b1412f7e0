"""Times the method's three costs in PyTorch on the CPU; needs no files. `riposte bench-speed` times the same.

    python tests/bench/pytorch_speed.py --task post-train --repeats 5 --threads 2

post-train   one post-training of the fast MNIST CNN: copy the net, 50 iterations of 100 + 100 samples drawn without
             replacement from two pools of 1,000, fixed perturbation (both), SGD 0.001 with nesterov momentum 0.9
pgd-batch    PGD-40 (epsilon 0.3, step 0.01, from zero, never stopping) on 500 images at once
pgd-single   the same on one image

Weights, images and pools come from the golden files' formula. Weights do not require gradients during an attack, so no
time goes into gradients that nobody reads. Prints {"threads": T, "torch": V, "seconds": {task: [per repeat]}}.
"""

import argparse
import copy
import json
import sys
import time
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / folder) for folder in ("golden", "reference")]

import formula  # noqa: E402
import method  # noqa: E402
import nets  # noqa: E402

POOL = 1000
PER_CLASS = 100
ITERATIONS = 50


def frozen_net():
    return formula.fill(nets.fast_mnist_cnn()).requires_grad_(False)


def post_train_task():
    net = frozen_net()
    pools = [formula.unit(f"pool{i}", (POOL, 1, 28, 28)) for i in range(2)]
    delta_fix = formula.symmetric("delta_fix", (1, 1, 28, 28), method.F_SEARCH.epsilon)
    labels = torch.tensor([3] * PER_CLASS + [8] * PER_CLASS)
    generator = torch.Generator().manual_seed(0)

    def batches():
        for _ in range(ITERATIONS):
            drawn = [pool[torch.randperm(POOL, generator=generator)[:PER_CLASS]] for pool in pools]
            yield torch.cat(drawn), labels, None

    def run() -> None:
        adapted = copy.deepcopy(net).requires_grad_(True)
        method.post_train(adapted, batches(), "fixed-both", 0.001, delta_fix)

    return run


def pgd_task(batch: int):
    net = frozen_net()
    images = formula.unit("images", (batch, 1, 28, 28))
    labels = torch.arange(batch) * 3 % 10

    def run() -> None:
        method.pgd(net, images, labels, method.F_MNIST_ATTACK)

    return run


TASKS = {
    "post-train": post_train_task,
    "pgd-batch": lambda: pgd_task(500),
    "pgd-single": lambda: pgd_task(1),
}


def seconds(run, repeats: int, warm_up: int) -> list[float]:
    for _ in range(warm_up):
        run()
    out = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        out.append(time.perf_counter() - begin)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, action="append", help="default: all; may be given more than once")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=1, help="runs before the first that is timed")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    measured = {name: seconds(TASKS[name](), arguments.repeats, arguments.warm_up) for name in arguments.task or TASKS}
    print(json.dumps({"threads": torch.get_num_threads(), "torch": torch.__version__.split("+")[0], "seconds": measured}))


if __name__ == "__main__":
    main()
