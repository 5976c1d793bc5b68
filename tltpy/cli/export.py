"""tlt-export: the graph of a trained model, sealed or as plain ONNX."""

import json
from pathlib import Path
from typing import Any

import click

from tltpy import tasks
from tltpy.cli import boundary
from tltpy.cli.experiment import need_key, read_spec, task_argument
from tltpy.errors import UsageError

PROGRAM = "tlt-export"
FILE = click.Path(path_type=Path)
CALIBRATION = ("cal_image_dir", "cal_data_file", "cal_cache_file", "cal_json_file", "batches", "force_ptq")
TENSORRT = ("min_batch_size", "opt_batch_size", "max_workspace_size", "strict_type_constraints")
BESIDE = "beside the output"
OTHERS = ("onnx_route", "gpu_index")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@task_argument
@click.option("-m", "--model", type=FILE, required=True, metavar="MODEL", help="The trained model, a .tlt.")
@click.option("-o", "--output_file", "output", type=FILE, metavar="OUT",
              help="The file to write. [default: MODEL with .etlt or .onnx]")
@boundary.key_option
@click.option("-e", "--experiment_spec", "--experiment_spec_file", "spec", type=FILE, metavar="SPEC",
              help="Thresholds of the graph are taken from here. [default: the spec in the model file]")
@click.option("--format", "format_", type=click.Choice(["etlt", "onnx"]),
              help="Sealed, or plain ONNX that every runtime opens. [default: by the suffix of OUT, else etlt]")
@click.option("--batch_size", "--static_batch_size", "batch_size", type=int, default=-1, metavar="N",
              help="Make the graph for batches of N alone. [default: -1, any size]")
@click.option("--data_type", type=click.Choice(["fp32", "fp16", "int8"], case_sensitive=False), default="fp32",
              show_default=True,
              help="int8 writes a quantized model in integers. fp32, fp16: of --engine_file, the graph is fp32.")
@click.option("--engine_file", type=FILE, metavar="ENGINE", 
              help="Build an engine, too: of ONNX Runtime, or of TensorRT with --target tensorrt.")
@click.option("--target", type=click.Choice(["portable", "tensorrt"]), default="portable", show_default=True,
              help="portable: standard operators; tensorrt: suppression by one of its plugins.")
@click.option("--nms", type=click.Choice(["batched", "efficient"]), default="batched", show_default=True,
              help="The plugin of --target tensorrt: BatchedNMSDynamic_TRT as published, or EfficientNMS_TRT.")
@click.option("--gen_ds_config", "deepstream_dir", type=FILE, is_flag=False, flag_value=BESIDE, metavar="[DIR]",
              help="Write a folder for DeepStream, checked. [default: OUT without its suffix, and _deepstream]")
@click.option("--triton", "triton_dir", type=FILE, metavar="DIR",
              help="Add the model to a repository of Triton, for onnxruntime and for openvino, checked.")
@click.option("--self-check", "pictures", type=FILE, metavar="IMAGES",
              help="A picture or a folder to compare on. [default: validation pictures, else made-up ones]")
@click.option("--target_opset", type=int, default=18, show_default=True, metavar="N", help="ONNX operator set.")
@click.option("-r", "--results_dir", type=FILE, metavar="DIR", help="Where status.json goes.")
@click.option("--cal_image_dir", type=FILE, metavar="DIR", help="Of int8: pictures to calibrate with.")
@click.option("--cal_data_file", type=FILE, metavar="FILE", help="Of int8: calibration tensors.")
@click.option("--cal_cache_file", type=FILE, metavar="FILE", help="Of int8: calibration cache.")
@click.option("--cal_json_file", type=FILE, metavar="FILE", help="Of int8: scales of a quantized model.")
@click.option("--batches", type=int, metavar="N", help="Of int8: batches to calibrate with.")
@click.option("--force_ptq", is_flag=True, help="Of int8: calibrate even a quantized model.")
@click.option("--max_batch_size", type=click.IntRange(1), metavar="N",
              help="Batches of --gen_ds_config and --triton. [default: 1 and 8]")
@click.option("--min_batch_size", type=int, metavar="N", help="Of TensorRT engines: a flag of tlt-convert.")
@click.option("--opt_batch_size", type=int, metavar="N", help="Of TensorRT engines: a flag of tlt-convert.")
@click.option("--max_workspace_size", type=int, metavar="BYTES", help="Of TensorRT engines: a flag of tlt-convert.")
@click.option("-s", "--strict_type_constraints", is_flag=True, help="Of TensorRT engines: a flag of tlt-convert.")
@click.option("--onnx_route", metavar="NAME", help="Of the originals' converters; no effect here.")
@click.option("--gpu_index", type=int, metavar="N", help="Accepted as published; exporting works on the CPU.")
@boundary.overwrite_option
@boundary.log_options
def command(task: str, spec: Path | None, quiet: bool, verbose: bool, as_json: bool, **options: Any) -> None:
    """Write the graph of a model: network, decoding and suppression in standard ONNX operators.

    It is run once and compared with the model before it is written.
    """
    log = boundary.make_log(PROGRAM, quiet, verbose)
    precision = options["data_type"].lower()
    format_, output = _output(options["model"], options["output"], options["format_"])
    if options["batch_size"] == 0 or options["batch_size"] < -1:
        raise UsageError(f"--batch_size {options['batch_size']}: give 1 or more, or -1 for any size")
    reasons = dict.fromkeys(CALIBRATION, "it concerns calibration for int8")
    reasons |= dict.fromkeys(TENSORRT, "tlt-convert builds TensorRT engines, with flags for it")
    reasons |= dict.fromkeys(OTHERS, "exporting works on the CPU, by PyTorch's own exporter")
    if options["target"] == "portable":
        reasons["nms"] = "it is for --target tensorrt"
    if not options["deepstream_dir"] and not options["triton_dir"]:
        reasons["max_batch_size"] = "it is for --gen_ds_config and --triton"
    for name in _given(tuple(reasons)):
        log.warn(f"--{name} has no effect: {reasons[name]}")
    cfg = read_spec(task, spec, log) if spec else None

    from tltpy import artifact

    header = artifact.check_key(options["model"], need_key(options["key"]))
    if header.kind == "graph":
        raise UsageError(f"{options['model']}: this is an exported graph already", "give the .tlt it was made from")
    if precision == "fp16":
        log.info("the graph is fp32: --data_type decides the precision of the engine alone")

    from tltpy.steps import export

    request = export.ExportRequest(
        task=tasks.entry(task).name,
        cfg=cfg,
        model=options["model"],
        output=output,
        key=options["key"],
        format=format_,
        batch_size=options["batch_size"] if options["batch_size"] > 0 else None,
        opset=options["target_opset"],
        engine_file=options["engine_file"],
        precision=precision,
        results_dir=options["results_dir"],
        overwrite=options["overwrite"],
        target=options["target"],
        nms=options["nms"],
        deepstream_dir=_beside(options["deepstream_dir"], output),
        triton_dir=options["triton_dir"],
        max_batch_size=options["max_batch_size"],
        pictures=options["pictures"],
    )
    result = export.run(request, log)
    click.echo(json.dumps(result) if as_json else export.text(result))


def _given(names: tuple[str, ...]) -> list[str]:
    """Those of the options that stand on the command line."""
    context = click.get_current_context()
    return [name for name in names if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE]


def _beside(folder: Path | None, output: Path) -> Path | None:
    return output.with_name(f"{output.stem}_deepstream") if folder == Path(BESIDE) else folder


def _output(model: Path, output: Path | None, format_: str | None) -> tuple[str, Path]:
    """Format and file, each by the other where it is not given."""
    if format_ is None:
        format_ = "onnx" if output is not None and output.suffix.lower() == ".onnx" else "etlt"
    if output is None:
        output = model.with_suffix(f".{format_}")
    if format_ == "etlt" and output.suffix.lower() == ".onnx":
        raise UsageError(f"{output}: a sealed file that is called .onnx would mislead", "--format onnx, or OUT.etlt")
    return format_, output


def main() -> None:
    boundary.main(command, PROGRAM)
