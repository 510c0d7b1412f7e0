"""The architectures of Riposte's reference, in PyTorch.

Every net maps images [batch, channel, height, width] in [0, 1] to logits [batch, 10]; normalization is inside the net, so
epsilon is in pixel units. State-dict keys are those of the public weights, where there are any.
"""

import re
from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2471, 0.2435, 0.2616)


def fast_mnist_cnn() -> nn.Module:
    """The MNIST net of "Fast is better than free": keys 0, 2, 5, 7."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


class MadryMnistCnn(nn.Module):
    """The MNIST net of Madry et al. 2018: keys conv1, conv2, fc1, fc2."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 64, 5, padding=2)
        self.fc1 = nn.Linear(64 * 7 * 7, 1024)
        self.fc2 = nn.Linear(1024, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.conv1(images)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


def trades_mnist_cnn() -> nn.Module:
    """The small CNN of TRADES, without its dropout (the identity in eval mode, the only mode it is used in here)."""
    feature_extractor = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 32, 3),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(32, 32, 3),
            relu2=nn.ReLU(),
            maxpool1=nn.MaxPool2d(2),
            conv3=nn.Conv2d(32, 64, 3),
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(64, 64, 3),
            relu4=nn.ReLU(),
            maxpool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
        )
    )
    classifier = nn.Sequential(
        OrderedDict(
            fc1=nn.Linear(64 * 4 * 4, 200),
            relu1=nn.ReLU(),
            fc2=nn.Linear(200, 200),
            relu2=nn.ReLU(),
            fc3=nn.Linear(200, 10),
        )
    )
    return nn.Sequential(OrderedDict(feature_extractor=feature_extractor, classifier=classifier))


class PreActBlock(nn.Module):
    """Pre-activation residual block. The 1x1 shortcut takes the block's input, or with `activated` the activated value."""

    def __init__(self, inputs: int, outputs: int, stride: int, activated: bool = False) -> None:
        super().__init__()
        self.activated = activated
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(x))
        shortcut = self.shortcut(out if self.activated else x) if hasattr(self, "shortcut") else x
        x = self.conv1(out)
        return self.conv2(F.relu(self.bn2(x))) + shortcut


class PreActResNet(nn.Module):
    """PreActResNet for 32x32 CIFAR-10 images, keys as in locuslab/fast_adversarial; [2, 2, 2, 2] of width 64 is ResNet-18."""

    def __init__(self, width: int, blocks: list[int], activated: bool = False, bare: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        channels = width
        for stage, count in enumerate(blocks):
            outputs = width << stage
            strides = [1 if stage == 0 else 2] + [1] * (count - 1)
            layers = []
            for stride in strides:
                layers.append(PreActBlock(channels, outputs, stride, activated))
                channels = outputs
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        if not bare:
            self.bn = nn.BatchNorm2d(channels)
        self.linear = nn.Linear(channels, 10)
        self.register_buffer("mean", torch.tensor(CIFAR10_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(CIFAR10_STD).view(3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.conv1((images - self.mean) / self.std)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = F.relu(self.bn(x)) if hasattr(self, "bn") else x
        return self.linear(F.avg_pool2d(x, 4).flatten(1))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, or with `bottleneck` 1x1, 3x3 and 1x1 with four times the channels, each before a normalization."""

    def __init__(self, inputs: int, inner: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        outputs = 4 * inner if bottleneck else inner
        if bottleneck:
            self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
            self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, bias=False)
            self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(outputs)
        else:
            self.conv1 = nn.Conv2d(inputs, inner, 3, stride=stride, padding=1, bias=False)
            self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(inner), nn.BatchNorm2d(inner)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if hasattr(self, "conv3"):
            out = self.bn3(self.conv3(F.relu(out)))
        return F.relu(out + self.shortcut(x))


class ResNet(nn.Module):
    """ResNet for 32x32 images in raw pixels, keys as in most PyTorch code for CIFAR-10."""

    def __init__(self, width: int, blocks: list[int], bottleneck: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        channels = width
        for stage, count in enumerate(blocks):
            layers = []
            for index in range(count):
                layers.append(ResidualBlock(channels, width << stage, 2 if stage > 0 and index == 0 else 1, bottleneck))
                channels = (width << stage) * (4 if bottleneck else 1)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.linear = nn.Linear(channels, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(images)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.linear(F.avg_pool2d(x, 4).flatten(1))


def leaky(x: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x, 0.1)


ACTIVATIONS = {"relu": F.relu, "leaky": leaky, "silu": F.silu}


class WideBlock(nn.Module):
    """Pre-activation block. Where channels change, the shortcut takes the activated value."""

    def __init__(self, inputs: int, outputs: int, stride: int, pooling: bool, activation) -> None:
        super().__init__()
        self.activation = activation
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.padding = (outputs - inputs) // 2
        self.stride = stride
        if self.padding and not pooling:
            self.convShortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        activated = self.activation(self.bn1(x))
        out = self.conv2(self.activation(self.bn2(self.conv1(activated))))
        if not self.padding:
            return x + out
        if hasattr(self, "convShortcut"):
            return self.convShortcut(activated) + out
        # Two pairs of zeros for width and height, then half of the new channels on each side.
        return F.pad(F.avg_pool2d(activated, self.stride), (0, 0, 0, 0, self.padding, self.padding)) + out


class WideResNet(nn.Module):
    """WideResNet for 32x32 images in raw pixels, keys as in the PyTorch versions of Madry et al.'s CIFAR-10 model."""

    def __init__(self, depth: int, widen: int, pooling: bool, activation=leaky) -> None:
        super().__init__()
        self.activation = activation
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        channels = 16
        for stage in range(3):
            outputs = 16 * widen << stage
            layers = []
            for index in range((depth - 4) // 6):
                stride = 2 if stage > 0 and index == 0 else 1
                layers.append(WideBlock(channels, outputs, stride, pooling, activation))
                channels = outputs
            setattr(self, f"block{stage + 1}", nn.Sequential(OrderedDict(layer=nn.Sequential(*layers))))
        self.bn1 = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.block3(self.block2(self.block1(self.conv1(images))))
        x = F.avg_pool2d(self.activation(self.bn1(x)), 8)
        return self.fc(x.flatten(1))


class GroupedBlock(nn.Module):
    """WideBlock in the names and with the padding of Gowal et al.: a strided convolution is padded at the bottom and the right."""

    def __init__(self, inputs: int, outputs: int, stride: int, activation) -> None:
        super().__init__()
        self.activation, self.stride = activation, stride
        self.batchnorm_0, self.batchnorm_1 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv_0 = nn.Conv2d(inputs, outputs, 3, stride=stride, bias=False)
        self.conv_1 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        if inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        activated = self.activation(self.batchnorm_0(x))
        out = self.conv_0(F.pad(activated, (1, 1, 1, 1) if self.stride == 1 else (0, 1, 0, 1)))
        out = self.conv_1(self.activation(self.batchnorm_1(out)))
        return out + (self.shortcut(activated) if hasattr(self, "shortcut") else x)


class GroupedWideResNet(nn.Module):
    """WideResNet for 32x32 images, keys as in the PyTorch code of Gowal et al."""

    def __init__(self, depth: int, widen: int, activation) -> None:
        super().__init__()
        self.activation = activation
        self.init_conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        channels, groups = 16, []
        for stage in range(3):
            outputs = 16 * widen << stage
            blocks = []
            for index in range((depth - 4) // 6):
                blocks.append(GroupedBlock(channels, outputs, 2 if stage > 0 and index == 0 else 1, activation))
                channels = outputs
            groups.append(nn.Sequential(OrderedDict(block=nn.Sequential(*blocks))))
        self.layer = nn.Sequential(*groups)
        self.batchnorm = nn.BatchNorm2d(channels)
        self.logits = nn.Linear(channels, 10)
        self.register_buffer("mean", torch.tensor(CIFAR10_MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(CIFAR10_STD).view(3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.layer(self.init_conv((images - self.mean) / self.std))
        return self.logits(F.avg_pool2d(self.activation(self.batchnorm(x)), 8).flatten(1))


class PlainBlock(nn.Module):
    """Residual block without normalization, ReLU after the sum."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.shortcut(x))


class ResNet4b(nn.Module):
    """The ResNet-4b of alpha-beta-CROWN's CIFAR-10 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.layer1 = nn.Sequential(PlainBlock(16, 32, 2), PlainBlock(32, 32, 1))
        self.layer2 = nn.Sequential(PlainBlock(32, 32, 2), PlainBlock(32, 32, 1))
        self.linear1 = nn.Linear(512, 100)
        self.linear2 = nn.Linear(100, 10)
        self.register_buffer("mean", torch.tensor(CIFAR10_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(CIFAR10_STD).view(3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv1((images - self.mean) / self.std))
        x = self.layer2(self.layer1(x))
        return self.linear2(F.relu(self.linear1(x.flatten(1))))


class CnnA(nn.Sequential):
    """The CNN-A of alpha-beta-CROWN's CIFAR-10 weights: keys 0, 2, 5, 7, its own normalization."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 16, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 8 * 8, 100),
            nn.ReLU(),
            nn.Linear(100, 10),
        )
        self.register_buffer("mean", torch.tensor([125.3, 123.0, 113.9]).view(3, 1, 1) / 255, persistent=False)
        self.register_buffer("std", torch.tensor([63.0, 62.1, 66.7]).view(3, 1, 1) / 255, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward((images - self.mean) / self.std)


def tiny_preact_resnet() -> nn.Module:
    """A PreActResNet of width 4 with one block per stage: small enough to carry BatchNorm through every test."""
    return PreActResNet(4, [1, 1, 1, 1])


ARCHITECTURES = {
    "fast-mnist-cnn": fast_mnist_cnn,
    "madry-mnist-cnn": MadryMnistCnn,
    "trades-mnist-cnn": trades_mnist_cnn,
    "tiny-preact-resnet": tiny_preact_resnet,
    "tiny-wide-resnet": lambda: WideResNet(10, 2, pooling=True),
    "tiny-wide-resnet-conv": lambda: WideResNet(10, 2, pooling=False),
    "resnet4b": ResNet4b,
    "cnn-a": CnnA,
}


RESNETS = {"18": [2, 2, 2, 2], "34": [3, 4, 6, 3], "50": [3, 4, 6, 3], "101": [3, 4, 23, 3], "152": [3, 8, 36, 3]}


def build(architecture: str) -> nn.Module:
    """A net by its name on the command line, or one of those above."""
    if sizes := re.fullmatch(r"preact-resnet(?:18|-w(\d+)-b(\d+))(-activated)?(-bare)?", architecture):
        width, blocks = int(sizes[1] or 64), int(sizes[2] or 2)
        return PreActResNet(width, [blocks] * 4, activated=sizes[3] is not None, bare=sizes[4] is not None)
    if sizes := re.fullmatch(r"resnet(18|34|50|101|152)(?:-w(\d+))?", architecture):
        return ResNet(int(sizes[2] or 64), RESNETS[sizes[1]], bottleneck=int(sizes[1]) >= 50)
    if sizes := re.fullmatch(r"wrn-(\d+)-(\d+)(-conv)?(?:-(relu|leaky|silu))?", architecture):
        activation = ACTIVATIONS[sizes[4] or "leaky"]
        return WideResNet(int(sizes[1]), int(sizes[2]), pooling=sizes[3] is None, activation=activation)
    if sizes := re.fullmatch(r"dm-wrn-(\d+)-(\d+)-(relu|silu)", architecture):
        return GroupedWideResNet(int(sizes[1]), int(sizes[2]), ACTIVATIONS[sizes[3]])
    return ARCHITECTURES[architecture]()


def load(architecture: str, path) -> nn.Module:
    """The net with the weights of a PyTorch state-dict file, in eval mode."""
    net = build(architecture)
    stored = torch.load(path, map_location="cpu", weights_only=True)
    net.load_state_dict(stored.get("state_dict", stored))
    return net.eval()
