"""The official MNIST files (idx, gzipped or plain) as tensors."""

import gzip
import os
from pathlib import Path

import numpy as np
import torch


def test_set(directory) -> tuple[torch.Tensor, torch.Tensor]:
    """Images [10000, 1, 28, 28] in [0, 1] and labels [10000] of the test set."""
    return _images(directory, "t10k-images-idx3-ubyte"), _labels(directory, "t10k-labels-idx1-ubyte")


def training_set(directory) -> tuple[torch.Tensor, torch.Tensor]:
    """Images [60000, 1, 28, 28] in [0, 1] and labels [60000] of the training set."""
    return _images(directory, "train-images-idx3-ubyte"), _labels(directory, "train-labels-idx1-ubyte")


def add_data_argument(parser) -> None:
    """Adds `--data DIR`, by default the environment variable RIPOSTE_DATA."""
    default = os.environ.get("RIPOSTE_DATA")
    parser.add_argument(
        "--data",
        type=Path,
        default=default,
        required=default is None,
        help="folder with the MNIST files, or with a folder mnist that has them (default: RIPOSTE_DATA)",
    )


def _images(directory, name: str) -> torch.Tensor:
    raw = _read(directory, name, magic=2051, header=16).reshape(-1, 1, 28, 28)
    return torch.from_numpy(raw.copy()).to(torch.float32).div(255)


def _labels(directory, name: str) -> torch.Tensor:
    return torch.from_numpy(_read(directory, name, magic=2049, header=8).astype(np.int64))


def _read(directory, name: str, magic: int, header: int) -> np.ndarray:
    for folder in (Path(directory), Path(directory) / "mnist"):
        for path, opener in ((folder / f"{name}.gz", gzip.open), (folder / name, open)):
            if path.exists():
                with opener(path, "rb") as file:
                    content = file.read()
                if int.from_bytes(content[:4], "big") != magic:
                    raise ValueError(f"{path} is not an MNIST file: wrong magic number")
                return np.frombuffer(content, np.uint8, offset=header)
    raise FileNotFoundError(f"no {name}[.gz] in {directory} or {directory}/mnist")
