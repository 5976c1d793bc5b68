"""A folder that NVIDIA's DeepStream plays: nvinfer's configuration, labels, the graph, a pipeline, a README.

Keys as the Gst-nvinfer page of DeepStream's documentation names them. deploy.nvinfer reads the folder back.
"""

from typing import Any

from tltpy.errors import UsageError

CONFIG, LABELS, APP, README = "nvinfer_config.txt", "labels.txt", "deepstream_app_config.txt", "README.md"
GRAPH = "model.onnx"
COLORS = {"RGB": 0, "BGR": 1, "grey": 2}
MODES = {"fp32": 0, "int8": 1, "fp16": 2}
NO_CLUSTERING = 4  # 0 rectangles, 1 DBSCAN, 2 NMS, 3 DBSCAN and NMS: all of them would merge boxes once more
THRESHOLD = 0.3  # as published, and the default of tlt-infer


def bundle(metadata: dict[str, Any], graph: bytes, *, batch_size: int, precision: str) -> dict[str, bytes]:
    """File name -> content.

    Args:
        metadata: of the graph (tasks.contract.Graph), with "boxes" and "deepstream".
        graph: with TensorRT's plugin, and deploy.margin in front where pictures are letterboxed.

    Raises:
        UsageError: a graph that DeepStream has no parser for, or pictures that it cannot make.
    """
    require(metadata)
    texts = {
        CONFIG: _config(metadata, batch_size, precision),
        LABELS: "".join(f"{label}\n" for label in metadata["labels"]),
        APP: _app(batch_size),
        README: _readme(metadata),
    }
    return {GRAPH: graph, **{name: text.encode() for name, text in texts.items()}}


def require(metadata: dict[str, Any]) -> None:
    """UsageError where no folder can be written for a graph."""
    if "deepstream" not in metadata or "boxes" not in metadata:
        raise UsageError("DeepStream has no parser for the outputs of this task", "leave --gen_ds_config away")
    if metadata["input"].get("bits", 8) != 8:
        raise UsageError("DeepStream plays pictures of 8 bits, and the spec wants 16", "leave --gen_ds_config away")
    for label in metadata["labels"]:
        if "\n" in label or ";" in label:
            raise UsageError(f'the class "{label}" cannot stand in a labels file of DeepStream', "rename it")


def _config(metadata: dict[str, Any], batch_size: int, precision: str) -> str:
    picture, play = metadata["input"], metadata["deepstream"]
    channels, (height, width) = len(picture["mean"]), picture["size_hw"]
    letterbox = int(picture["fit"] == "letterbox")
    plan = f"{GRAPH}_b{batch_size}_gpu0_{precision}.engine"
    return f"""\
# Gst-nvinfer, primary detector. Written by tlt-export; checked against the model with the files beside it.
# Paths are taken from the folder of this file.
[property]
gpu-id=0
gie-unique-id=1
process-mode=1
network-type={play["network_type"]}

# the picture: y = net-scale-factor * (x - offset), channel by channel
net-scale-factor={picture["scale"]!r}
offsets={";".join(repr(float(value)) for value in picture["mean"])}
model-color-format={COLORS[picture["color"]]}
infer-dims={channels};{height};{width}
maintain-aspect-ratio={letterbox}
symmetric-padding={letterbox}
# bilinear
scaling-filter=1

# the network. DeepStream opens plain ONNX alone: tlt-encoded-model and tlt-model-key are for files of NVIDIA's own
onnx-file={GRAPH}
# written by nvinfer at the first start
model-engine-file={plan}
batch-size={batch_size}
network-mode={MODES[precision]}
interval=0

# the boxes. {play["library"]} comes from NVIDIA's deepstream_tao_apps
labelfile-path={LABELS}
num-detected-classes={len(metadata["labels"])}
output-blob-names={";".join(play["output_blobs"])}
parse-bbox-func-name={play["parser"]}
custom-lib-path={play["library"]}
# none: suppression is in the network
cluster-mode={NO_CLUSTERING}

[class-attrs-all]
pre-cluster-threshold={THRESHOLD}
roi-top-offset=0
roi-bottom-offset=0
detected-min-w=0
detected-min-h=0
detected-max-w=0
detected-max-h=0
"""


def _app(batch_size: int) -> str:
    return f"""\
# deepstream-app -c {APP}
[application]
enable-perf-measurement=1
perf-measurement-interval-sec=5

[source0]
enable=1
# 3: a file or a stream by its URI
type=3
num-sources=1
uri=file:///opt/nvidia/deepstream/deepstream/samples/streams/sample_720p.mp4
gpu-id=0

[streammux]
gpu-id=0
batch-size={batch_size}
batched-push-timeout=40000
# the size of the source: another one scales the pictures twice
width=1280
height=720
enable-padding=0
live-source=0

[primary-gie]
enable=1
gpu-id=0
gie-unique-id=1
batch-size={batch_size}
config-file={CONFIG}

[osd]
enable=1
gpu-id=0
border-width=2
text-size=14
text-color=1;1;1;1
text-bg-color=0.3;0.3;0.3;1
font=Sans

[sink0]
enable=1
# 1: nothing is shown, 2: a window, 3: a file
type=3
container=1
codec=1
output-file=out.mp4
sync=0
gpu-id=0

[tests]
file-loop=0
"""


def _readme(metadata: dict[str, Any]) -> str:
    picture, play = metadata["input"], metadata["deepstream"]
    height, width = picture["size_hw"]
    return f"""\
# A detector for DeepStream

| file | what it is |
|---|---|
| `{GRAPH}` | margins, network, decoding and TensorRT's plugin for suppression; plain ONNX, readable by anybody |
| `{CONFIG}` | the configuration of Gst-nvinfer |
| `{LABELS}` | the classes: {", ".join(metadata["labels"])} |
| `{APP}` | a pipeline for deepstream-app |

1. Build `{play["library"]}` from NVIDIA's `deepstream_tao_apps` (folder `post_processor`; later versions call it
   `libnvds_infercustomparser_tao.so`) for your DeepStream and copy it here, or set `custom-lib-path`.
2. Set `uri`, and `width` and `height` of `[streammux]`, in `{APP}`.
3. `deepstream-app -c {APP}`. The first start builds the engine, which takes minutes.

The input is {width}x{height}, {picture["color"]}, `{picture["scale"]} * (pixel - mean)` with the mean
{", ".join(f"{value:g}" for value in picture["mean"])}; {picture["resize"]}.
nvinfer fills the margin with black; operators in front of the network make the mean of it. The outputs are, per
picture: the number of boxes; boxes (xmin, ymin, xmax, ymax) as shares of the input; scores; class ids, the line of
`{LABELS}` counted from 0.

`tlt-bundle-check` plays this folder without DeepStream and compares its boxes with those of the model.
"""
