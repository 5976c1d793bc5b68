"""What TensorRT takes, as its documentation lists it: for machines where the library itself cannot be asked.

From the table of operators of onnx-tensorrt for TensorRT 10 ("Supported ONNX Operators") and the chapter on explicit
quantization of the developer guide. A table ages; where tensorrt is installed its parser is asked instead.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx as library

SOURCE = "the documented operators of TensorRT 10 (tensorrt is not installed here)"
PLUGINS = {"BatchedNMS_TRT", "BatchedNMSDynamic_TRT", "EfficientNMS_TRT"}
_LISTED = """
Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BlackmanWindow Cast
CastLike Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DeformConv DepthToSpace
DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND
Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization GRU
HammingWindow HannWindow Hardmax HardSigmoid HardSwish Identity If ImageScaler InstanceNormalization IsInf IsNaN
LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization LpPool LRN LSTM MatMul Max MaxPool
Mean MeanVarianceNormalization Min Mish Mod Mul Neg NonMaxSuppression NonZero Not OneHot Or Pad PRelu Pow
QuantizeLinear RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2
ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize
ReverseSequence RNN RoiAlign Round Scan ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice
Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze STFT Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose
Trilu Unsqueeze Upsample Where Xor
"""
OPERATORS = frozenset(_LISTED.split())
QUANTIZED_TYPES = ("int8", "int4", "float8_e4m3fn")
TOP_K = 3840  # greatest K of TopK, a limit of the layer


def refused(model: "library.ModelProto") -> "Iterator[tuple[library.NodeProto, str]]":
    """Nodes that the documentation does not list, or that break a condition it names."""
    from onnx import helper, numpy_helper

    weights = {weight.name: weight for weight in model.graph.initializer}
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") and node.op_type not in PLUGINS:
            yield node, f"an operator of {node.domain}"
        elif node.op_type not in OPERATORS | PLUGINS:
            yield node, "not listed"
        elif node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) > 2:
            zero = weights.get(node.input[2])
            if zero is None:
                continue
            kind = str(helper.tensor_dtype_to_np_dtype(zero.data_type))
            bias = node.op_type == "DequantizeLinear" and kind == "int32"
            if kind not in QUANTIZED_TYPES and not bias:
                yield node, f"values of {kind}: it takes int8 with the zero point 0"
            elif np.any(numpy_helper.to_array(zero)):
                yield node, "a zero point that is not 0"
        elif node.op_type == "TopK" and _most(weights.get(node.input[1])) > TOP_K:
            yield node, f"a K above {TOP_K}"


def _most(weight: "library.TensorProto | None") -> int:
    from onnx import numpy_helper

    return 0 if weight is None else int(numpy_helper.to_array(weight).max())
