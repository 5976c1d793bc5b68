"""How many parameters the published widths and kernel sizes make, worked out without a look at the modules."""


def unit(inside: int, outside: int, kernel: int, groups: int = 1) -> int:
    return inside * outside * kernel**2 // groups + 2 * outside  # convolution, then scale and shift


def plain(inside: int, outside: int, kernel: int) -> int:
    return inside * outside * kernel**2 + outside  # convolution with a bias


def resnet(depths: tuple[int, ...], bottleneck: bool) -> int:
    total, width_in = unit(3, 64, 7), 64
    for depth, width in zip(depths, (64, 128, 256, 512), strict=True):
        for _ in range(depth):
            out = 4 * width if bottleneck else width
            inner = (
                (unit(width_in, width, 1) + unit(width, width, 3) + unit(width, out, 1))
                if bottleneck
                else (unit(width_in, width, 3) + unit(width, width, 3))
            )
            total += inner + unit(width_in, out, 1)
            width_in = out
    return total


def darknet53() -> int:
    total, width_in = unit(3, 32, 3), 32
    for width, repeats in zip((64, 128, 256, 512, 1024), (1, 2, 8, 8, 4), strict=True):
        total += unit(width_in, width, 3) + repeats * (unit(width, width // 2, 1) + unit(width // 2, width, 3))
        width_in = width
    return total


def chain(widths: list[int], kernels: list[int]) -> int:
    return sum(unit(a, b, k) for a, b, k in zip(widths[:-1], widths[1:], kernels, strict=True))


def darknet19() -> int:
    widths = [3, 32, 64, 128, 64, 128, 256, 128, 256, 512, 256, 512, 256, 512, 1024, 512, 1024, 512, 1024]
    return chain(widths, [3, 3, 3, 1, 3, 3, 1, 3, 3, 1, 3, 1, 3, 3, 1, 3, 1, 3])


def vgg(repeats: int) -> int:
    """`repeats` convolutions in each of the three last blocks."""
    widths = [3, 64, 64, 128, 128, *[256] * repeats, *[512] * (2 * repeats)]
    return chain(widths, [3] * (len(widths) - 1))


def googlenet() -> int:
    """Rows of the paper's table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj."""
    rows = [
        (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128), (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
    ]  # fmt: skip
    total, width = unit(3, 64, 7) + unit(64, 64, 1) + unit(64, 192, 3), 192
    for one, reduce3, three, reduce5, five, pool in rows:
        total += unit(width, one, 1) + unit(width, reduce3, 1) + unit(reduce3, three, 3)
        total += unit(width, reduce5, 1) + unit(reduce5, five, 5) + unit(width, pool, 1)
        width = one + three + five + pool
    return total


def mobilenet_v1() -> int:
    total, width = unit(3, 32, 3), 32
    for out in (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512):
        total += unit(width, width, 3, groups=width) + unit(width, out, 1)
        width = out
    return total


def mobilenet_v2() -> int:
    total, width = unit(3, 32, 3) + unit(32, 32, 3, groups=32) + unit(32, 16, 1), 16
    for out in (24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96):
        inner = 6 * width
        total += unit(width, inner, 1) + unit(inner, inner, 3, groups=inner) + unit(inner, out, 1)
        width = out
    return total


def squeezenet() -> int:
    total, width = plain(3, 96, 7), 96
    for squeeze, expand in ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)):
        total += plain(width, squeeze, 1) + plain(squeeze, expand, 1) + plain(squeeze, expand, 3)
        width = 2 * expand
    return total


def efficientnet_b0() -> int:
    total, width = unit(3, 32, 3), 32
    stages = ((3, 16, 1), (3, 24, 2), (5, 40, 2), (3, 80, 3), (5, 112, 3), (5, 192, 4), (3, 320, 1))
    for kernel, out, repeats in stages:
        for _ in range(repeats):
            inner, squeezed = width * (1 if out == 16 else 6), width // 4
            total += unit(width, inner, 1) if inner > width else 0
            total += unit(inner, inner, kernel, groups=inner) + unit(inner, out, 1)
            total += plain(inner, squeezed, 1) + plain(squeezed, inner, 1)
            width = out
    return total + unit(320, 1280, 1)


BACKBONES = {
    ("resnet", 10): resnet((1, 1, 1, 1), False),
    ("resnet", 18): resnet((2, 2, 2, 2), False),
    ("resnet", 34): resnet((3, 4, 6, 3), False),
    ("resnet", 50): resnet((3, 4, 6, 3), True),
    ("resnet", 101): resnet((3, 4, 23, 3), True),
    ("darknet", 19): darknet19(),
    ("darknet", 53): darknet53(),
    ("vgg", 16): vgg(3),
    ("vgg", 19): vgg(4),
    ("googlenet", 0): googlenet(),
    ("mobilenet_v1", 0): mobilenet_v1(),
    ("mobilenet_v2", 0): mobilenet_v2(),
    ("squeezenet", 0): squeezenet(),
    ("efficientnet_b0", 0): efficientnet_b0(),
}
