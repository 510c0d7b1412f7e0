"""Milliseconds of training and attack steps in PyTorch: the cases of `cargo run --release --example kernel_speed`.

    python pytorch_kernels.py [THREADS] [SECONDS] [NAME]

Defaults: 2 threads, 1 second per case, every case whose name contains NAME. Prints the fastest run and the median.
"""

import sys
import time

import torch
import torch.nn.functional as F


def main():
    threads, seconds, name = (sys.argv[1:] + [None] * 3)[:3]
    threads, seconds, only = int(threads or 2), float(seconds or 1), name or ""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    print(f"PyTorch {torch.__version__}, {threads} threads; milliseconds, fastest (median)")

    def clock(name, case):
        if only not in name:
            return
        case()
        times, start = [], time.perf_counter()
        while time.perf_counter() - start < seconds or len(times) < 3:
            begin = time.perf_counter()
            case()
            times.append((time.perf_counter() - begin) * 1e3)
        times.sort()
        print(f"{name:64} {times[0]:9.3f} ({times[len(times) // 2]:9.3f})", flush=True)

    for batch in [1, 32, 200, 256]:
        clock(f"mnist cnn, training step, batch {batch}", training(batch))
    for batch in [1, 500]:
        clock(f"mnist cnn, attack step, batch {batch}", attack(batch))
    layers = [
        (3, 32, 64, 3, 1),
        (64, 32, 64, 3, 1),
        (64, 32, 128, 3, 2),
        (64, 32, 128, 1, 2),
        (128, 16, 128, 3, 1),
        (256, 8, 256, 3, 1),
        (512, 4, 512, 3, 1),
    ]
    for channels, size, out, kernel, stride in layers:
        for batch in [1, 32]:
            name = f"conv {channels}->{out} {kernel}x{kernel} s{stride} {size}x{size}, batch {batch}"
            layer = Layer(batch, channels, size, out, kernel, stride)
            clock(f"{name}, forward", layer.forward)
            clock(f"{name}, forward and input gradient", lambda: layer.backward(True, False))
            clock(f"{name}, forward and both gradients", lambda: layer.backward(True, True))


def network():
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 4, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 4, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(1568, 100),
        torch.nn.ReLU(),
        torch.nn.Linear(100, 10),
    )


def images(batch):
    return torch.rand(batch, 1, 28, 28), torch.zeros(batch, dtype=torch.long)


def training(batch):
    model = network()
    x, labels = images(batch)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, nesterov=True)

    def step():
        optimizer.zero_grad()
        F.cross_entropy(model(x), labels).backward()
        optimizer.step()

    return step


def attack(batch):
    model = network().requires_grad_(False)
    origin, labels = images(batch)
    x = origin.clone()

    def step():
        nonlocal x
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(x), labels, reduction="sum"), x)
        moved = x.detach() + 0.01 * gradient.sign()
        x = torch.clamp(torch.min(torch.max(moved, origin - 0.3), origin + 0.3), 0, 1)

    return step


class Layer:
    def __init__(self, batch, channels, size, out, kernel, stride):
        self.x = torch.rand(batch, channels, size, size) * 2 - 1
        self.weight = torch.rand(out, channels, kernel, kernel) * 2 - 1
        self.options = {"stride": stride, "padding": kernel // 2}

    def forward(self):
        with torch.no_grad():
            F.conv2d(self.x, self.weight, None, **self.options)

    def backward(self, of_x, of_weight):
        x = self.x.detach().requires_grad_(of_x)
        weight = self.weight.detach().requires_grad_(of_weight)
        F.conv2d(x, weight, None, **self.options).sum().backward()


if __name__ == "__main__":
    main()
