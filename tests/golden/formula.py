"""Tensors from a formula: the same bits in every language.

A name and a shape give a tensor. README.md in this folder states the formula; the Rust tests reimplement it.
"""

import numpy as np
import torch
from torch import nn

_MASK = (1 << 64) - 1


def fnv1a(name: str) -> int:
    """64-bit FNV-1a of the UTF-8 bytes of the name."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & _MASK
    return value


def stream(name: str, count: int) -> np.ndarray:
    """The first `count` outputs of splitmix64 whose state starts at fnv1a(name), uint64."""
    with np.errstate(over="ignore"):
        steps = np.arange(1, count + 1, dtype=np.uint64)
        z = np.uint64(fnv1a(name)) + steps * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def unit(name: str, shape) -> torch.Tensor:
    """u: float32 in [0, 1), multiples of 2^-24, row-major."""
    bits = stream(name, int(np.prod(shape))) >> np.uint64(40)
    return torch.from_numpy(bits.astype(np.float32) / np.float32(1 << 24)).reshape(shape)


def symmetric(name: str, shape, scale: float) -> torch.Tensor:
    """(2u - 1) * scale, in float32."""
    scaled = (np.float32(2) * unit(name, shape).numpy() - np.float32(1)) * np.float32(scale)
    return torch.from_numpy(scaled)


def sample_indices(name: str, count: int, samples: int = 64) -> np.ndarray:
    """Positions in the flattened parameter: all if there are at most `samples`, else outputs of stream("sample:" + name) mod count."""
    if count <= samples:
        return np.arange(count)
    return (stream("sample:" + name, samples) % np.uint64(count)).astype(np.int64)


def fill(net: nn.Module) -> nn.Module:
    """Sets every parameter and running statistic of the net by the formula, keyed by its state-dict name."""
    with torch.no_grad():
        for prefix, module in net.named_modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                fan_in = module.weight[0].numel()
                scale = np.float32(1) / np.sqrt(np.float32(fan_in))
                for key, tensor in module.named_parameters(recurse=False):
                    tensor.copy_(symmetric(f"{prefix}.{key}", tensor.shape, scale))
            elif isinstance(module, nn.BatchNorm2d):
                half = torch.tensor(0.5)
                shape = module.weight.shape
                module.weight.copy_(half + unit(f"{prefix}.weight", shape))
                module.bias.copy_(unit(f"{prefix}.bias", shape) - half)
                module.running_mean.copy_((unit(f"{prefix}.running_mean", shape) - half) * torch.tensor(0.2))
                module.running_var.copy_(half + unit(f"{prefix}.running_var", shape))
    return net.eval()
