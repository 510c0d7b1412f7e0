"""Robust accuracy and perturbation norms under attacks that others wrote: AutoAttack (its authors' code, packaged as
pyautoattack) and foolbox.

    python tests/reference/autoattack.py --data DIR --weights DIR --models fast --attacks apgd-ce apgd-t --seeds 0 1 2 3 4
    python tests/reference/autoattack.py --data DIR --weights DIR --models fast --attacks standard
    python tests/reference/autoattack.py --data DIR --weights DIR --models fast --attacks deepfool-l2 --images 100

Writes counts and medians as JSON, by default to autoattack.json beside this file; runs that are not done now are kept.
"""

import argparse
import importlib.metadata
import json
import logging
import re
import time
from pathlib import Path

import foolbox
import mnist
import nets
import torch
from evaluate import MODELS
from pyautoattack.autoattack import AutoAttack

EPSILON = 0.3
BATCH = 250
CW_STEPS = 1000
STANDARD = ["apgd-ce", "apgd-t", "fab-t", "square"]
NORMS = {
    "deepfool-l2": (foolbox.attacks.L2DeepFoolAttack(steps=50, candidates=10, overshoot=0.02), 2),
    "deepfool-linf": (foolbox.attacks.LinfDeepFoolAttack(steps=50, candidates=10, overshoot=0.02), torch.inf),
    "cw-l2": (foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=9, steps=CW_STEPS, stepsize=0.01), 2),
}


class Accuracies(logging.Handler):
    """Robust accuracy after each attack, as AutoAttack logs it: in percent with two decimals, exact up to 10,000 images."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.after: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if found := re.match(r"robust accuracy after (\S+): ([0-9.]+)%", record.getMessage()):
            self.after[found[1].lower()] = float(found[2]) / 100


def autoattack(net, images, labels, attacks: list[str], seed: int) -> dict[str, int]:
    """Images still right after each of the attacks in turn, with the settings of the standard version."""
    heard, logger = Accuracies(), logging.getLogger("auto-attack")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(heard)
    attacker = AutoAttack(net, norm="Linf", eps=EPSILON, version="standard", seed=seed)
    attacker.attacks_to_run = attacks
    attacker.run_standard_evaluation(images, labels, batch_size=BATCH)
    logger.removeHandler(heard)
    return {attack: round(accuracy * len(images)) for attack, accuracy in heard.after.items()}


def norms(net, images, labels, name: str) -> dict:
    """Median norm of the perturbations that foolbox's attack makes of the images that are right."""
    attack, order = NORMS[name]
    with torch.no_grad():
        right = net(images).argmax(1) == labels
    images, labels = images[right], labels[right]
    _, points, success = attack(foolbox.PyTorchModel(net, bounds=(0, 1)), images, labels, epsilons=None)
    distances = torch.linalg.vector_norm((points - images).flatten(1), ord=order, dim=1)[success]
    return {"right": len(images), "successes": int(success.sum()), "median": round(distances.median().item(), 5)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mnist.add_data_argument(parser)
    parser.add_argument("--weights", type=Path, required=True, help="folder with the weights files")
    parser.add_argument("--models", nargs="+", default=list(MODELS["mnist"]), choices=MODELS["mnist"])
    parser.add_argument("--attacks", nargs="+", default=[*STANDARD, "standard"], choices=[*STANDARD, "standard", *NORMS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--images", type=int, default=1000, help="the first so many test images")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("autoattack.json"))
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    images, labels = mnist.test_set(arguments.data)
    images, labels = images[: arguments.images], labels[: arguments.images]
    for attack in arguments.attacks:
        for model in arguments.models:
            architecture, file = MODELS["mnist"][model]
            net = nets.load(architecture, arguments.weights / file)
            for seed in arguments.seeds if attack in STANDARD or attack == "standard" else [0]:
                begin = time.perf_counter()
                key = {"model": model, "attack": attack, "images": len(images)}
                if attack in NORMS:
                    found = norms(net, images, labels, attack)
                else:
                    key["seed"] = seed
                    found = {"robust": autoattack(net, images, labels, STANDARD if attack == "standard" else [attack], seed)}
                print(f"{key} {found} {time.perf_counter() - begin:.0f} s", flush=True)
                keep(arguments.output, key, found)


def keep(path: Path, key: dict, found: dict) -> None:
    """Adds a run to the file, in place of an earlier one with the same key."""
    report = json.loads(path.read_text()) if path.exists() else {"runs": []}
    report |= {name: importlib.metadata.version(name) for name in ("torch", "pyautoattack", "foolbox")}
    report |= {"epsilon": EPSILON, "batch": BATCH, "cw_steps": CW_STEPS}
    others = [run for run in report["runs"] if {name: run.get(name) for name in key} != key]
    report["runs"] = sorted([*others, key | found], key=lambda run: [str(run.get(name)) for name in ("model", "attack", "images", "seed")])
    lines = ",\n".join("  " + json.dumps(run) for run in report.pop("runs"))
    path.write_text(json.dumps(report, indent=1)[:-2] + ',\n "runs": [\n' + lines + "\n ]\n}\n")


if __name__ == "__main__":
    main()
