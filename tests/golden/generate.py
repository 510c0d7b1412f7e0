"""Writes the golden files: what PyTorch computes, for Riposte's tests to compare with. README.md says what is in them.

    python tests/golden/generate.py synthetic                            # from formulas, needs no files
    python tests/golden/generate.py imported --data DIR --weights DIR    # the public weights on the official MNIST and CIFAR-10 files

`--check` writes nothing and compares with the files that are there.
"""

import argparse
import copy
import json
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "reference"))

import cifar10  # noqa: E402
import formula  # noqa: E402
import method  # noqa: E402
import mnist  # noqa: E402
import nets  # noqa: E402
from method import Ball  # noqa: E402

ITERATIONS = 3
BATCH = 8
LEARNING_RATES = {"lr0.001": 0.001, "lr0.05": 0.05}
VARIANTS = ["normal", "fixed-pos", "fixed-neg", "fixed-both", "fast", "pgd"]
FEW_VARIANTS = ["fixed-both", "fast"]  # of nets that add a layer to test, not a variant of the method
SEARCHES = {"small": method.F_SEARCH, "large": method.F_MNIST_ATTACK}
CIFAR10_ATTACK = Ball(8 / 255, 2 / 255, 20)
SYNTHETIC = [
    "fast-mnist-cnn",
    "madry-mnist-cnn",
    "trades-mnist-cnn",
    "tiny-preact-resnet",
    "tiny-wide-resnet",
    "tiny-wide-resnet-conv",
]
IMPORTED = {
    "imported-fast-mnist-cnn": ("fast-mnist-cnn", "mnist_fast_adversarial_fgsm.pth", mnist, method.F_MNIST_ATTACK),
    "imported-trades-mnist-cnn": ("trades-mnist-cnn", "mnist_trades_smallcnn.pt", mnist, method.F_MNIST_ATTACK),
    "imported-resnet4b": ("resnet4b", "abcrown_resnet4b.pth", cifar10, CIFAR10_ATTACK),
    "imported-cnn-a": ("cnn-a", "abcrown_cifar_cnn_a_mix.model", cifar10, CIFAR10_ATTACK),
}


class Inputs:
    """What one golden file is computed from."""

    def __init__(self, net, images, labels, ball, gradients, walks, attacked, original, neighbour, batches, delta_fix, variants=VARIANTS):
        self.net = net
        self.images = images  # [8, channel, height, width]
        self.labels = labels  # [8]
        self.ball = ball  # of the five PGD steps
        self.gradients = gradients  # number of images whose gradients and delta_fix are kept in full
        self.walks = walks  # number of images whose PGD steps are kept
        self.attacked = attacked  # x' for the searches and for the logits after post-training
        self.original = original  # y' and y'' of the post-training batches
        self.neighbour = neighbour
        self.batches = batches  # list of [8, channel, height, width]
        self.delta_fix = delta_fix  # [1, channel, height, width]; None: that of the small search for the first of `attacked`
        self.variants = variants


def quantities(inputs: Inputs, dtype, forced: dict | None = None) -> dict[str, torch.Tensor]:
    """Every golden tensor, computed in `dtype`.

    With `forced` (the float32 result), PGD gradients are taken at its perturbations and post-training uses its delta_fix,
    so that the difference from it is rounding, not the walk having gone elsewhere.
    """
    net = copy.deepcopy(inputs.net).to(dtype)
    images, labels = inputs.images.to(dtype), inputs.labels
    out = losses_and_gradients(net, images, labels, inputs.gradients)
    out |= walk(net, images[: inputs.walks], labels[: inputs.walks], inputs.ball, forced)
    attacked = inputs.attacked.to(dtype)
    for name, ball in SEARCHES.items():
        out |= search(net, attacked, ball, f"search/{name}", inputs.gradients)
    for name, ball in SEARCHES.items():
        out |= targeted_search(net, attacked, ball, f"targeted/{name}", inputs.gradients)
    delta_fix = inputs.delta_fix
    if delta_fix is None:
        delta_fix = (forced or out)["search/small/delta_fix"][:1]
    out |= trajectories(net, inputs, attacked, delta_fix.to(dtype))
    return out


def losses_and_gradients(net, images, labels, kept: int) -> dict[str, torch.Tensor]:
    out = {}
    targets = (labels + 1) % 10
    for name, wanted, loss in (
        ("ce", labels, method.cross_entropy),
        ("margin", labels, method.margin),
        ("target-ce", targets, method.cross_entropy),
    ):
        logits, losses, gradient = method.input_gradient(net, images, wanted, loss)
        out[f"{name}/loss"] = losses
        out[f"{name}/gradient"] = gradient[:kept]
        out[f"{name}/gradient_norm"] = gradient.double().flatten(1).norm(dim=1).to(images.dtype)
    out["logits"] = logits
    return out


def walk(net, images, labels, ball: Ball, forced: dict | None) -> dict[str, torch.Tensor]:
    perturbation, gradients, perturbations = torch.zeros_like(images), [], []
    for step in range(ball.steps):
        _, _, gradient = method.input_gradient(net, images + perturbation, labels, method.cross_entropy)
        gradients.append(gradient)
        perturbations.append(method.take_step(perturbation, gradient, images, ball))
        perturbation = perturbations[-1] if forced is None else forced["pgd/perturbation"][step].to(images.dtype)
    return {"pgd/gradient": torch.stack(gradients), "pgd/perturbation": torch.stack(perturbations)}


def search(net, attacked, ball: Ball, prefix: str, kept: int) -> dict[str, torch.Tensor]:
    found = method.find_neighbour(net, attacked, ball)
    return {
        f"{prefix}/original": found.original,
        f"{prefix}/neighbour": found.neighbour,
        f"{prefix}/moves": found.moves,
        f"{prefix}/logits": found.logits,
        f"{prefix}/neighbour_logits": found.neighbour_logits,
        f"{prefix}/delta_fix": found.delta_fix[:kept],
    }


def targeted_search(net, attacked, ball: Ball, prefix: str, kept: int) -> dict[str, torch.Tensor]:
    out = {}
    for stop in (True, False):
        found = method.find_neighbour_targeted(net, attacked, ball, stop)
        name = f"{prefix}/{'stop' if stop else 'full'}"
        out[f"{name}/target"] = found.target
        out[f"{name}/neighbour"] = found.neighbour
        out[f"{name}/losses"] = found.losses
        if stop:
            out[f"{name}/delta_fix"] = found.delta_fix[:kept]
    return out


def trajectories(net, inputs: Inputs, attacked, delta_fix) -> dict[str, torch.Tensor]:
    has_batch_norm = any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())
    half = BATCH // 2
    labels = torch.tensor([inputs.original] * half + [inputs.neighbour] * half)
    batches = []
    for iteration, samples in enumerate(inputs.batches):
        noise = formula.symmetric(f"noise{iteration}", samples.shape, method.FAST.epsilon)
        batches.append((samples.to(delta_fix.dtype), labels, noise.to(delta_fix.dtype)))

    out = {"post_train/before": sampled(net)}
    if has_batch_norm:
        out |= batch_statistics(net, inputs.images.to(delta_fix.dtype))
    for mode in ("frozen", "batch") if has_batch_norm else ("frozen",):
        for variant in inputs.variants:
            for rate_name, rate in LEARNING_RATES.items():
                adapted = copy.deepcopy(net).train(mode == "batch")
                losses = method.post_train(adapted, batches, variant, rate, delta_fix)
                adapted.eval()
                prefix = f"post_train/{mode}/{variant}/{rate_name}"
                pairs = zip(adapted.parameters(), net.parameters(), strict=True)
                out[f"{prefix}/losses"] = torch.tensor(losses, dtype=delta_fix.dtype)
                out[f"{prefix}/change_norm"] = torch.stack([(a - b).detach().double().norm() for a, b in pairs]).to(delta_fix.dtype)
                out[f"{prefix}/after"] = sampled(adapted)
                out[f"{prefix}/logits"] = method.predict(adapted, attacked)
                if mode == "batch":
                    out |= running_statistics(adapted, prefix)
    return out


def batch_statistics(net, images) -> dict[str, torch.Tensor]:
    """One forward in train mode: its logits, and the running statistics it leaves."""
    trained = copy.deepcopy(net).train()
    return {"batch/logits": method.predict(trained, images)} | running_statistics(trained, "batch")


def running_statistics(net, prefix: str) -> dict[str, torch.Tensor]:
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    return {
        f"{prefix}/running_mean": torch.cat([norm.running_mean for norm in norms]),
        f"{prefix}/running_var": torch.cat([norm.running_var for norm in norms]),
    }


def sampled(net) -> torch.Tensor:
    """The sampled entries of every parameter, one after the other."""
    entries = []
    for name, parameter in net.named_parameters():
        flat = parameter.detach().flatten()
        entries.append(flat[torch.from_numpy(formula.sample_indices(name, len(flat)))])
    return torch.cat(entries)


def synthetic_inputs(architecture: str) -> Inputs:
    net = formula.fill(nets.ARCHITECTURES[architecture]())
    shape = (3, 32, 32) if "resnet" in architecture else (1, 28, 28)
    images = formula.unit("images", (BATCH, *shape))
    small = shape[0] == 1
    return Inputs(
        net=net,
        images=images,
        labels=torch.arange(BATCH) * 3 % 10,
        ball=Ball(0.1, 0.03, 5),
        gradients=4 if small else 1,
        walks=2 if small else 1,
        attacked=images,
        original=3,
        neighbour=8,
        batches=[formula.unit(f"batch{i}", (BATCH, *shape)) for i in range(ITERATIONS)],
        delta_fix=formula.symmetric("delta_fix", (1, *shape), method.F_SEARCH.epsilon),
        variants=FEW_VARIANTS if "wide" in architecture else VARIANTS,
    )


def imported_inputs(architecture: str, weights: Path, dataset, attack: Ball, data: Path) -> tuple[Inputs, dict[str, torch.Tensor]]:
    """Inputs from a dataset by index, and the tensors that name them. The search starts from four images fooled by the attack."""
    net = nets.load(architecture, weights)
    test_images, test_labels = dataset.test_set(data)
    train_images, train_labels = dataset.training_set(data)
    small = dataset is mnist

    indices, perturbation = fooled_images(net, test_images, test_labels, attack)
    attacked = test_images[indices] + perturbation
    first = method.find_neighbour(net, attacked[:1], method.F_SEARCH)
    original, neighbour = first.original.item(), first.neighbour.item()

    half = BATCH // 2
    rows = [torch.nonzero(train_labels == label).flatten()[: half * ITERATIONS] for label in (original, neighbour)]
    chosen = torch.stack([torch.cat([row[i * half : (i + 1) * half] for row in rows]) for i in range(ITERATIONS)])
    inputs = Inputs(
        net=net,
        images=test_images[:BATCH],
        labels=test_labels[:BATCH],
        ball=Ball(attack.epsilon, attack.step_size, 5),
        gradients=4 if small else 1,
        walks=2 if small else 1,
        attacked=attacked,
        original=original,
        neighbour=neighbour,
        batches=[train_images[row] for row in chosen],
        delta_fix=None,
        variants=VARIANTS if small else FEW_VARIANTS,
    )
    named = {
        "attacked/test_indices": indices,
        "attacked/perturbation": perturbation,
        "post_train/training_indices": chosen,
        "post_train/classes": torch.tensor([original, neighbour]),
    }
    return inputs, named


def fooled_images(net, images, labels, attack: Ball, wanted: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """The first test images that PGD (stop at success, zero start) fools and that have a neighbor: indices, perturbations."""
    found, perturbations = [], []
    for start in range(0, len(images), 50):
        chunk, truth = images[start : start + 50], labels[start : start + 50]
        end = method.pgd(net, chunk, truth, attack, stop=True)
        neighbour = method.find_neighbour(net, chunk + end.perturbation, method.F_SEARCH)
        right = method.predict(net, chunk).argmax(1) == truth
        for i in torch.nonzero(right & (neighbour.original != truth) & (neighbour.neighbour != neighbour.original)).flatten():
            found.append(start + i.item())
            perturbations.append(end.perturbation[i])
            if len(found) == wanted:
                return torch.tensor(found), torch.stack(perturbations)
    raise RuntimeError(f"the attack fools only {len(found)} images")


def deviations(single: dict, double: dict) -> dict[str, dict[str, float]]:
    """How far float32 is from float64, tensor by tensor."""
    out = {}
    for name, value in single.items():
        if name not in double:
            continue
        a, b = value.double(), double[name].double()
        finite = torch.isfinite(a)
        difference = (a - b)[finite].abs()
        out[name] = {
            "max_abs_difference": float(f"{difference.max().item():.2e}"),
            "max_abs_value": float(f"{a[finite].abs().max().item():.2e}"),
        }
        if "perturbation" in name or "delta_fix" in name or not value.is_floating_point():
            # 1e-4 is far above rounding (1e-8) and far below the smallest step (0.01).
            out[name]["entries_that_differ"] = int((difference > 1e-4).sum())
            out[name]["entries"] = value.numel()
    return out


def facts(inputs: Inputs, architecture: str, extra: dict) -> dict:
    """What the file's metadata tell."""
    ball = inputs.ball
    return {
        "architecture": architecture,
        "torch": torch.__version__.split("+")[0],
        "parameters": [name for name, _ in inputs.net.named_parameters()],
        "batch_norms": [name for name, module in inputs.net.named_modules() if isinstance(module, torch.nn.BatchNorm2d)],
        "pgd": {"epsilon": ball.epsilon, "step_size": ball.step_size, "steps": ball.steps},
        "classes": [inputs.original, inputs.neighbour],
    } | extra


def build(inputs: Inputs, architecture: str, named: dict, extra: dict) -> tuple[dict, dict, dict]:
    """The tensors, the facts and the deviations of one golden file."""
    single = quantities(inputs, torch.float32)
    double = quantities(inputs, torch.float64, forced=single)
    tensors = {"labels": inputs.labels} | named | single
    return tensors, facts(inputs, architecture, extra), deviations(single, double)


def formula_tensors() -> dict[str, torch.Tensor]:
    """A few entries for checking a reimplementation of the formula before anything else."""
    return {
        "images": formula.unit("images", (16,)),
        "delta_fix": formula.symmetric("delta_fix", (16,), method.F_SEARCH.epsilon),
        "noise0": formula.symmetric("noise0", (16,), method.FAST.epsilon),
        "5.weight": fill_entry("fast-mnist-cnn", "5.weight"),
        "5.bias": fill_entry("fast-mnist-cnn", "5.bias"),
        "bn.weight": fill_entry("tiny-preact-resnet", "bn.weight"),
        "bn.bias": fill_entry("tiny-preact-resnet", "bn.bias"),
        "bn.running_mean": fill_entry("tiny-preact-resnet", "bn.running_mean"),
        "bn.running_var": fill_entry("tiny-preact-resnet", "bn.running_var"),
        "sample_indices/5.weight": torch.from_numpy(formula.sample_indices("5.weight", 156800)[:16].copy()),
    }


def recipe_tensors() -> dict[str, torch.Tensor]:
    """Losses of the training recipes on one batch of formula images and their perturbed form, and the gradients of the parameters.

    Each loss is written as its authors' code computes it.
    """
    net = formula.fill(nets.ARCHITECTURES["fast-mnist-cnn"]()).train()
    natural = formula.unit("images", (6, 1, 28, 28))
    perturbed = (natural + formula.symmetric("recipes", (6, 1, 28, 28), 0.3)).clamp(0, 1)
    labels = torch.tensor([0, 1, 2, 3, 4, 5])
    F = torch.nn.functional

    def trades() -> torch.Tensor:
        clean = net(natural)
        robust = F.kl_div(F.log_softmax(net(perturbed), dim=1), F.softmax(clean, dim=1), reduction="batchmean")
        return F.cross_entropy(clean, labels) + 6.0 * robust

    def kurakin() -> torch.Tensor:
        k, weight = 3, 0.3
        losses = F.cross_entropy(net(torch.cat([perturbed[:k], natural[k:]])), labels, reduction="none")
        return (losses[k:].sum() + weight * losses[:k].sum()) / ((6 - k) + weight * k)

    def pairing() -> torch.Tensor:
        clean, robust = net(natural), net(perturbed)
        both = F.cross_entropy(torch.cat([clean, robust]), torch.cat([labels, labels]))
        return both + 0.5 * (clean - robust).pow(2).sum(dim=1).mean()

    def average() -> torch.Tensor:
        other = (natural + formula.symmetric("others", (6, 1, 28, 28), 0.1)).clamp(0, 1)
        return F.cross_entropy(net(torch.cat([perturbed, other])), torch.cat([labels, labels]))

    def uat(online: bool, fixed: bool) -> torch.Tensor:
        """The first four samples have labels; a teacher takes the last two for 7 and 8."""
        robust, weight = net(perturbed), 5.0
        loss = F.cross_entropy(robust[:4], labels[:4], reduction="sum") / 6
        if fixed:
            loss = loss + weight * F.cross_entropy(robust[4:], torch.tensor([7, 8]), reduction="sum") / 6
        if online:
            said = F.softmax(net(natural), dim=1).detach()
            loss = loss + weight * F.kl_div(F.log_softmax(robust, dim=1), said, reduction="batchmean")
        return loss

    def yopo() -> torch.Tensor:
        """Two passes, three steps of 0.02 in 0.3 after each. Its gradients are summed as it goes."""
        first, rest = net[:2], net[2:]
        eta = perturbed - natural
        for _ in range(2):
            with torch.no_grad():
                maps = first(natural + eta)
            maps.requires_grad_()
            loss = F.cross_entropy(rest(maps), labels)
            loss.backward()
            slope = maps.grad.detach()
            for _ in range(3):
                eta = eta.detach().requires_grad_()
                (moved,) = torch.autograd.grad((first(natural + eta) * slope).sum(), eta)
                eta = (eta + 0.02 * moved.sign()).clamp(-0.3, 0.3)
                eta = ((natural + eta).clamp(0, 1) - natural).detach()
            (first(natural + eta) * slope).sum().backward()
        return loss

    def perturbed_weights() -> torch.Tensor:
        """The gradient where each tensor of weights is moved up the loss by a hundredth of its length."""
        F.cross_entropy(net(perturbed), labels).backward()
        kept = {key: parameter.detach().clone() for key, parameter in net.named_parameters()}
        with torch.no_grad():
            for parameter in net.parameters():
                if parameter.dim() > 1:
                    parameter += 0.01 * parameter.norm() / (parameter.grad.norm() + 1e-12) * parameter.grad
        net.zero_grad()
        loss = F.cross_entropy(net(perturbed), labels)
        loss.backward()
        with torch.no_grad():
            for key, parameter in net.named_parameters():
                parameter.copy_(kept[key])
        return loss

    recipes = {
        "trades": trades,
        "kurakin": kurakin,
        "alp": pairing,
        "adversarial": lambda: F.cross_entropy(net(perturbed), labels),
        "avg": average,
        "uat-online": lambda: uat(True, False),
        "uat-fixed": lambda: uat(False, True),
        "uat-both": lambda: uat(True, True),
        "yopo": yopo,
        "awp": perturbed_weights,
    }
    tensors = {}
    for name, loss in recipes.items():
        net.zero_grad()
        value = loss()
        if name not in ("yopo", "awp"):
            value.backward()
        tensors[f"{name}/loss"] = value.detach().reshape(1)
        for key, parameter in net.named_parameters():
            indices = torch.from_numpy(formula.sample_indices(key, parameter.numel()).copy())
            tensors[f"{name}/{key}"] = parameter.grad.flatten()[indices].clone()
    return tensors


def fill_entry(architecture: str, key: str) -> torch.Tensor:
    net = formula.fill(nets.ARCHITECTURES[architecture]())
    return net.state_dict()[key].flatten()[:16].clone()


def store(name: str, tensors: dict, info: dict) -> None:
    contiguous = {key: tensor.contiguous() for key, tensor in tensors.items()}
    path = HERE / f"{name}.safetensors"
    # One key only: the library writes several in an order that changes from run to run.
    save_file(contiguous, path, metadata={"golden": json.dumps(info)})
    path.chmod(0o644)


def compare(name: str, tensors: dict) -> None:
    """Fails where a stored tensor is missing, or differs by more than another CPU's summation order explains."""
    with safe_open(HERE / f"{name}.safetensors", "pt") as file:
        if set(file.keys()) != set(tensors):
            raise SystemExit(f"{name}: other tensors: {sorted(set(file.keys()) ^ set(tensors))}")
        for key, tensor in tensors.items():
            stored = file.get_tensor(key)
            close = torch.isclose(stored.double(), tensor.double(), rtol=1e-4, atol=1e-5)
            walked = "perturbation" in key or "delta_fix" in key
            # A sign gradient of size 1e-9 may turn over: up to one entry in a thousand of a perturbation may differ.
            if (~close).double().mean() > (1e-3 if walked else 0):
                raise SystemExit(f"{name}: {key} differs: {(stored.double() - tensor.double()).abs().max():.3e}")
    print(f"{name}: same")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="this file alone; may be given more than once")
    parser.add_argument("--check", action="store_true", help="compare with the stored files, write nothing")
    groups = parser.add_subparsers(dest="group", required=True)
    groups.add_parser("synthetic", help="from formulas")
    imported = groups.add_parser("imported", help="public weights on the official files")
    mnist.add_data_argument(imported)
    imported.add_argument("--weights", type=Path, required=True, help="folder with " + ", ".join(file for _, file, _, _ in IMPORTED.values()))
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    wanted = lambda name: not arguments.only or name in arguments.only
    results = {}
    if arguments.group == "synthetic":
        if wanted("formula"):
            results["formula"] = (formula_tensors(), {}, {})
        if wanted("recipes"):
            results["recipes"] = (recipe_tensors(), {}, {})
        for architecture in filter(wanted, SYNTHETIC):
            results[architecture] = build(synthetic_inputs(architecture), architecture, {}, {})
    else:
        for name, (architecture, file, dataset, attack) in IMPORTED.items():
            if wanted(name):
                inputs, named = imported_inputs(architecture, arguments.weights / file, dataset, attack, arguments.data)
                results[name] = build(inputs, architecture, named, {"weights": file})

    for name, (tensors, info, _) in results.items():
        if arguments.check:
            compare(name, tensors)
        else:
            store(name, tensors, info)
    if not arguments.check:
        merge_deviations({name: deviation for name, (_, _, deviation) in results.items() if deviation})


def merge_deviations(new: dict) -> None:
    path = HERE / "deviations.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | new, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
