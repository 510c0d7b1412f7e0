"""Writes forms.safetensors: logits and input gradients of small nets of every form, with the weights of formula.py.

Of each net: logits with the running statistics and with those of the batch, and the gradient of the first image's margin: cross-entropy saturates.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

import formula

sys.path.insert(0, str(Path(__file__).parent.parent / "reference"))
import method  # noqa: E402
import nets  # noqa: E402

FORMS = [
    "preact-resnet-w2-b1-activated",
    "preact-resnet-w2-b1-bare",
    "preact-resnet-w2-b1-activated-bare",
    "resnet18-w8",
    "resnet34-w8",
    "resnet50-w8",
    "wrn-10-1-relu",
    "wrn-10-1-conv-relu",
    "wrn-10-1-conv-silu",
    "wrn-16-1-conv-leaky",
    "dm-wrn-10-1-relu",
    "dm-wrn-16-1-silu",
]


def main() -> None:
    torch.manual_seed(0)
    images = formula.unit("images", [4, 3, 32, 32]).double()
    out = {}
    for name in FORMS:
        net = formula.fill(nets.build(name)).double()
        image = images[:1].clone().requires_grad_()
        method.margin(net(image), torch.tensor([3])).sum().backward()
        out[f"{name}/gradient"] = image.grad.float()
        with torch.no_grad():
            out[f"{name}/logits"] = net(images).float()
            # The formula's running statistics move away; this comes last.
            out[f"{name}/batch_logits"] = net.train()(images).float()
    save_file(out, Path(__file__).parent / "forms.safetensors")


if __name__ == "__main__":
    main()
