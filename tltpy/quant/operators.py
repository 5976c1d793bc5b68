"""What becomes of each operator of a captured graph.

WEIGHTED    weights per channel, the output quantized after a rectifier that follows
OWN         the output has a quantizer of its own
SHARE       values are moved or chosen, not changed: the codes of the input are those of the output
any other   computed on floats; its output is quantized only where a WEIGHTED one takes it
"""

import operator
from typing import Any

import torch
from torch import fx

A = torch.ops.aten

WEIGHTED: dict[Any, str] = {
    A.conv2d.default: "conv2d",
    A.conv2d.padding: "conv2d",
    A.conv_transpose2d.input: "conv_transpose2d",
    A.linear.default: "linear",
}
RECTIFIERS: dict[Any, str] = {A.relu.default: "relu", A.relu6.default: "relu6"}
NONNEGATIVE = {"relu", "relu6", "sigmoid", "softmax", "hardsigmoid"}
OWN: dict[Any, str] = {
    A.add.Tensor: "add",
    A.sub.Tensor: "sub",
    A.mul.Tensor: "mul",
    A.div.Tensor: "div",
    A.cat.default: "cat",
    A.matmul.default: "matmul",
    A.bmm.default: "matmul",
    A.scaled_dot_product_attention.default: "attention",
    A.leaky_relu.default: "leaky_relu",
    A.prelu.default: "prelu",
    A.relu.default: "relu",
    A.relu6.default: "relu6",
    A.hardtanh.default: "hardtanh",
    A.sigmoid.default: "sigmoid",
    A.hardsigmoid.default: "hardsigmoid",
    A.silu.default: "silu",
    A.hardswish.default: "hardswish",
    A.mish.default: "mish",
    A.elu.default: "elu",
    A.softplus.default: "softplus",
    A.tanh.default: "tanh",
    A.gelu.default: "gelu",
    A.softmax.int: "softmax",
    A.layer_norm.default: "layer_norm",
    A.group_norm.default: "group_norm",
    A.batch_norm.default: "batch_norm",
    A.mean.dim: "mean",
    A.avg_pool2d.default: "avg_pool2d",
    A.adaptive_avg_pool2d.default: "adaptive_avg_pool2d",
    A.upsample_bilinear2d.vec: "upsample_bilinear2d",
    A.grid_sampler.default: "grid_sample",
}
SHARE = {
    A.upsample_nearest2d.vec, A.max_pool2d.default, A.view.default, A.reshape.default, A.flatten.using_ints,
    A.unflatten.int, A.transpose.int, A.permute.default, A.contiguous.default, A.clone.default, A.slice.Tensor,
    A.select.int, A.unsqueeze.default, A.squeeze.dim, A.squeeze.dims, A.expand.default, A.repeat.default,
    A.pixel_shuffle.default, A.pixel_unshuffle.default, A.index_select.default, A.flip.default,
    A.chunk.default, A.split.Tensor, A.split_with_sizes.default, A.unbind.int, operator.getitem,
}  # fmt: skip
SEVERAL = {A.chunk.default, A.split.Tensor, A.split_with_sizes.default, A.unbind.int}  # these give lists
IN_PLACE: dict[Any, Any] = {
    A.add_.Tensor: A.add.Tensor,
    A.sub_.Tensor: A.sub.Tensor,
    A.mul_.Tensor: A.mul.Tensor,
    A.div_.Tensor: A.div.Tensor,
    A.leaky_relu_.default: A.leaky_relu.default,
    A.relu_.default: A.relu.default,
    A.relu6_.default: A.relu6.default,
    A.hardtanh_.default: A.hardtanh.default,
    A.sigmoid_.default: A.sigmoid.default,
    A.hardsigmoid_.default: A.hardsigmoid.default,
    A.silu_.default: A.silu.default,
    A.hardswish_.default: A.hardswish.default,
    A.mish_.default: A.mish.default,
    A.elu_.default: A.elu.default,
    A.tanh_.default: A.tanh.default,
}
DROPOUT = {A.dropout.default, A.dropout_.default, A.feature_dropout.default, A.alias.default, A.detach.default}


def kind_of(node: fx.Node) -> str:
    """What an operator is called in tables: aten.leaky_relu.default is leaky_relu."""
    if node.target in WEIGHTED:
        return WEIGHTED[node.target]
    if node.target in OWN:
        return OWN[node.target]
    return str(node.target).removeprefix("aten.").split(".")[0]


def rectifier(node: fx.Node) -> str | None:
    """relu or relu6, where the node is one."""
    if node.op != "call_function":
        return None
    if node.target is A.hardtanh.default and tuple(node.args[1:3]) == (0.0, 6.0):
        return "relu6"
    return RECTIFIERS.get(node.target)


def only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def is_float_tensor(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and bool(value.is_floating_point())
