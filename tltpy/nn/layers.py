"""The unit that the backbones and necks are built of: convolution, batch normalization, activation.

B batch, C channels, H W size.
"""

from collections.abc import Callable

from torch import Tensor, nn

BN_EPSILON = 1e-3
BN_MOMENTUM = 0.01  # Keras' momentum 0.99, said PyTorch's way

Activation = Callable[[], nn.Module]


def leaky_relu() -> nn.Module:
    return nn.LeakyReLU(0.1, inplace=True)


def relu() -> nn.Module:
    return nn.ReLU(inplace=True)


def relu6() -> nn.Module:
    return nn.ReLU6(inplace=True)


def silu() -> nn.Module:
    return nn.SiLU(inplace=True)


class ConvUnit(nn.Module):
    """Convolution (padding kernel // 2 on every side), batch normalization and an activation or none.

    The convolution has a bias only where it is not normalized.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        normalize: bool = True,
        activation: Activation | None = leaky_relu,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=not normalize
        )
        norm = nn.BatchNorm2d(out_channels, eps=BN_EPSILON, momentum=BN_MOMENTUM) if normalize else nn.Identity()
        self.norm: nn.Module = norm
        self.act = activation() if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, out_channels, ceil(H / stride), ceil(W / stride)]."""
        out: Tensor = self.act(self.norm(self.conv(x)))
        return out


def init_weights(module: nn.Module) -> None:
    """He's normal initialization of every convolution; normalization starts as the identity."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)


def set_momentum(module: nn.Module, momentum: float) -> None:
    """Share of a batch's statistics in the running ones, of every batch normalization below."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = momentum


def freeze_convolutions(block: nn.Module) -> None:
    """The convolutions of the block are not trained; its normalization is, as published."""
    for layer in block.modules():
        if isinstance(layer, nn.Conv2d):
            for parameter in layer.parameters():
                parameter.requires_grad_(False)


def freeze_normalization(module: nn.Module) -> None:
    """Keeps statistics and affine part of every batch normalization below as they are, also after `train()`."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
            for parameter in layer.parameters():
                parameter.requires_grad_(False)
