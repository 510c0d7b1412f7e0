"""The method in PyTorch: attack, neighbor search, post-training.

Images are [batch, channel, height, width] in [0, 1]; perturbations have the same shape; labels are int64 [batch].
Written from the paper (arXiv 2112.12431) and the settings of its public code. Nothing here draws random numbers:
starts, noise and training samples are arguments.
"""

from dataclasses import dataclass
from typing import Callable, Iterable, Iterator, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Ball:
    """An L-infinity ball in pixel units and how to walk in it."""

    epsilon: float
    step_size: float
    steps: int


F_MNIST_ATTACK = Ball(0.3, 0.01, 40)
F_SEARCH = Ball(8 / 255, 10 / 255, 20)
FAST = Ball(8 / 255, 10 / 255, 1)
PGD_7 = Ball(8 / 255, 2 / 255, 7)


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each sample, [batch]."""
    return F.cross_entropy(logits, labels, reduction="none")


def margin(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Largest other logit minus the label's logit of each sample, [batch]; positive where the label is not predicted."""
    label = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.amax(1) - label.squeeze(1)


def input_gradient(net: nn.Module, images: torch.Tensor, labels: torch.Tensor, loss: Loss):
    """Logits [batch, class], losses [batch] and the gradient of the *summed* loss with respect to the images."""
    images = images.detach().requires_grad_(True)
    logits = net(images)
    losses = loss(logits, labels)
    (gradient,) = torch.autograd.grad(losses.sum(), images)
    return logits.detach(), losses.detach(), gradient


def take_step(perturbation, gradient, images, ball: Ball, pixel_range: bool = True):
    """One signed step up the gradient, then back into the ball and, if asked, into the pixel range."""
    moved = (perturbation + ball.step_size * gradient.sign()).clamp(-ball.epsilon, ball.epsilon)
    if pixel_range:
        moved = torch.max(torch.min(moved, 1 - images), 0 - images)
    return moved


class Step(NamedTuple):
    """A point of an attack: the perturbation, the logits there, and the gradient it will be moved along."""

    perturbation: torch.Tensor
    logits: torch.Tensor
    gradient: torch.Tensor


def pgd_steps(net, images, labels, ball: Ball, start=None, stop=False, loss: Loss = cross_entropy, target=False) -> Iterator[Step]:
    """The points of an L-infinity PGD before each of its steps; the last point is what `take_step` makes of the last item.

    `stop`: a sample is not moved once it is predicted wrongly (as its target, if `target`). With `target`, labels are
    targets and the loss is descended.
    """
    perturbation = torch.zeros_like(images) if start is None else start
    for _ in range(ball.steps):
        logits, _, gradient = input_gradient(net, images + perturbation, labels, loss)
        if target:
            gradient = -gradient
        yield Step(perturbation, logits, gradient)
        moved = take_step(perturbation, gradient, images, ball)
        if stop:
            done = (logits.argmax(1) == labels) if target else (logits.argmax(1) != labels)
            moved = torch.where(done[:, None, None, None], perturbation, moved)
        perturbation = moved
    yield Step(perturbation, predict(net, images + perturbation), None)


def pgd(net, images, labels, ball: Ball, **options) -> Step:
    """The last point of `pgd_steps`."""
    for step in pgd_steps(net, images, labels, ball, **options):
        pass
    return step


def predict(net, images) -> torch.Tensor:
    """Logits without a graph."""
    with torch.no_grad():
        return net(images)


class Neighbour(NamedTuple):
    """Per sample: predicted class y', class after the search y'', delta_fix, moves made, logits at both points."""

    original: torch.Tensor
    neighbour: torch.Tensor
    delta_fix: torch.Tensor
    moves: torch.Tensor
    logits: torch.Tensor
    neighbour_logits: torch.Tensor


def find_neighbour(net, images, ball: Ball) -> Neighbour:
    """Untargeted search from zero: PGD away from the predicted class, each sample stopping at its first flip."""
    logits = predict(net, images)
    original = logits.argmax(1)
    moves = torch.zeros_like(original)
    delta_fix, active = torch.zeros_like(images), torch.arange(len(images))
    end = logits.clone()
    for iteration in range(ball.steps + 1):
        # Samples that have flipped leave the batch: every net here treats the samples of a batch independently.
        if len(active) == 0:
            break
        current, _, gradient = input_gradient(net, images[active] + delta_fix[active], original[active], cross_entropy)
        end[active] = current
        stays = current.argmax(1) == original[active]
        active, gradient = active[stays], gradient[stays]
        if iteration < ball.steps and len(active) > 0:
            delta_fix[active] = take_step(delta_fix[active], gradient, images[active], ball)
            moves[active] += 1
    return Neighbour(original, end.argmax(1), delta_fix, moves, logits, end)


class TargetedNeighbour(NamedTuple):
    """Per sample: y', y'', the target chosen, delta_fix, and the final cross-entropies [batch, target] (infinite at y')."""

    original: torch.Tensor
    neighbour: torch.Tensor
    target: torch.Tensor
    delta_fix: torch.Tensor
    losses: torch.Tensor


def find_neighbour_targeted(net, images, ball: Ball, stop: bool) -> TargetedNeighbour:
    """Nine targeted PGDs from zero, one per class other than y'; the one with the lowest final cross-entropy is kept."""
    original = predict(net, images).argmax(1)
    losses = torch.full((len(images), 10), torch.inf, dtype=images.dtype)
    deltas = torch.zeros(10, *images.shape, dtype=images.dtype)
    classes = torch.zeros(len(images), 10, dtype=torch.int64)
    for target in range(10):
        labels = torch.full_like(original, target)
        end = pgd(net, images, labels, ball, stop=stop, target=True)
        deltas[target] = end.perturbation
        classes[:, target] = end.logits.argmax(1)
        losses[:, target] = torch.where(original == target, torch.inf, cross_entropy(end.logits, labels))
    chosen, rows = losses.argmin(1), torch.arange(len(images))
    return TargetedNeighbour(original, classes[rows, chosen], chosen, deltas[chosen, rows], losses)


def perturb(net, samples, labels, variant: str, delta_fix=None, noise=None) -> torch.Tensor:
    """The training samples as post-training perturbs them; never clamped to the pixel range.

    variant: normal; fixed-pos, fixed-neg, fixed-both (+delta_fix on the first half of the batch, the samples of y', and
    -delta_fix on the second); fast and pgd, from `noise` in the ball, on the gradient of `net` as it is now, in the
    mode it is now in.
    """
    if variant == "normal":
        return samples
    if variant == "fixed-pos":
        return samples + delta_fix
    if variant == "fixed-neg":
        return samples - delta_fix
    if variant == "fixed-both":
        half = len(samples) // 2
        return torch.cat([samples[:half] + delta_fix, samples[half:] - delta_fix])
    ball = {"fast": FAST, "pgd": PGD_7}[variant]
    perturbation = noise
    for _ in range(ball.steps):
        _, _, gradient = input_gradient(net, samples + perturbation, labels, cross_entropy)
        perturbation = take_step(perturbation, gradient, samples, ball, pixel_range=False)
    return samples + perturbation


def post_train(net, batches: Iterable, variant: str, learning_rate: float, delta_fix=None) -> list[float]:
    """Adapts `net` in place, in the mode it is in: one nesterov SGD step per item (samples, labels, noise); the losses."""
    optimizer = torch.optim.SGD(net.parameters(), lr=learning_rate, momentum=0.9, nesterov=True)
    losses = []
    for samples, labels, noise in batches:
        perturbed = perturb(net, samples, labels, variant, delta_fix, noise)
        optimizer.zero_grad()
        loss = F.cross_entropy(net(perturbed.detach()), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
