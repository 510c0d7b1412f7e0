"""The official CIFAR-10 batches in their binary form as tensors."""

from pathlib import Path

import numpy as np
import torch


def test_set(directory) -> tuple[torch.Tensor, torch.Tensor]:
    """Images [10000, 3, 32, 32] in [0, 1] and labels [10000] of the test set."""
    return _batch(directory, "test_batch.bin")


def training_set(directory) -> tuple[torch.Tensor, torch.Tensor]:
    """Images [50000, 3, 32, 32] in [0, 1] and labels [50000] of the training set."""
    batches = [_batch(directory, f"data_batch_{number}.bin") for number in range(1, 6)]
    return torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])


def _batch(directory, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    for folder in ("", "cifar10", "cifar-10-batches-bin"):
        path = Path(directory) / folder / name
        if path.exists():
            records = np.fromfile(path, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
            images = torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).copy()).to(torch.float32).div(255)
            return images, torch.from_numpy(records[:, 0].astype(np.int64))
    raise FileNotFoundError(f"no {name} in {directory}")
