"""tlt-convert, also installed as tlt-converter: an engine of an exported graph, and how fast it is."""

import json
from pathlib import Path
from typing import Any

import click

from tltpy.cli import boundary
from tltpy.errors import UsageError

PROGRAM = "tlt-convert"
FILE = click.Path(path_type=Path)
PERF = {"out_dir": "--out-dir", "against": "--against", "threads": "--threads"}
NO_EFFECT = {
    "calibration_batch_size": ("-b", "it concerns calibration for int8"),
    "cache": ("-c", "it concerns calibration for int8"),
}
TENSORRT = {
    "workspace": ("-w", "only TensorRT is given a workspace"),
    "strict": ("-s", "only TensorRT picks another precision than the one asked for"),
    "dla_core": ("-u", "only TensorRT runs on a DLA"),
}


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("source", type=FILE, metavar="INPUT")
@boundary.key_option
@click.option("-d", "dims", metavar="C,H,W", help="Shape of the input; it is in the graph, and checked.")
@click.option("-o", "nodes", metavar="NODES", help="Outputs, separated by commas; they are in the graph, and checked.")
@click.option("-e", "engine", type=FILE, metavar="ENGINE", help="The engine. [default: ./saved.engine, ./saved.xml]")
@click.option("-t", "precision", type=click.Choice(["fp32", "fp16", "int8"]), default="fp32", show_default=True,
              help="Precision of the layers.")
@click.option("--backend", type=click.Choice(["onnxruntime", "openvino", "tensorrt"]), default="onnxruntime",
              show_default=True, help="The library that will run the engine.")
@click.option("-i", "layout", type=click.Choice(["nchw", "nhwc", "nc"]), default="nchw", show_default=True,
              help="Order of the input's dimensions; it is checked.")
@click.option("-p", "profiles", multiple=True, metavar="NAME,MIN,OPT,MAX",
              help="Shapes such as 8x3x384x1248; where MIN is MAX the engine is made for that batch size.")
@click.option("-m", "max_batch_size", type=click.IntRange(1), metavar="N",
              help="The largest batch of a TensorRT engine without -p [default: 16]; with --perf, measure it, too.")
@click.option("--perf", is_flag=True, help="Measure latency, frames per second and every operator.")
@click.option("--against", type=FILE, metavar="OTHER",
              help="With --perf: measure this engine or graph, too, in turns with the new one, and compare.")
@click.option("--threads", type=click.IntRange(1), metavar="N",
              help="With --perf: of one run [default: as many as there are cores].")
@click.option("--out-dir", type=FILE, metavar="DIR", help="Where --perf writes. [default: ENGINE.perf]")
@click.option("-b", "calibration_batch_size", type=int, metavar="N", help="Of int8 calibration; no effect.")
@click.option("-c", "cache", type=FILE, metavar="CACHE", help="Of int8 calibration; no effect.")
@click.option("-w", "workspace", type=click.IntRange(1), metavar="BYTES",
              help="Of TensorRT: memory for a layer's work.")
@click.option("-s", "strict", is_flag=True, help="Of TensorRT up to 10: no layer in another precision than asked for.")
@click.option("-u", "dla_core", type=click.IntRange(0), metavar="N", help="Of TensorRT: run on this DLA core.")
@boundary.overwrite_option
@boundary.log_options
def command(source: Path, quiet: bool, verbose: bool, as_json: bool, **options: Any) -> None:
    """Build an engine of an exported graph, an .etlt or .onnx INPUT, and measure it."""
    log = boundary.make_log(PROGRAM, quiet, verbose)
    context = click.get_current_context()
    for name, (flag, reason) in {**NO_EFFECT, **({} if options["backend"] == "tensorrt" else TENSORRT)}.items():
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            log.warn(f"{flag} has no effect: {reason}")
    for name, flag in PERF.items():
        if options[name] is not None and not options["perf"]:
            raise UsageError(f"{flag} is for the measurement of --perf", "add --perf")
    dims = _shape("-d", options["dims"], ",") if options["dims"] else None
    profiles = [_profile(text) for text in options["profiles"]]

    from tltpy import artifact

    for path in filter(None, (source, options["against"])):
        if artifact.flavour(path) == "graph":
            artifact.check_key(path, options["key"])

    from tltpy.steps import convert

    default = Path("saved.xml" if options["backend"] == "openvino" else "saved.engine")
    request = convert.ConvertRequest(
        source=source,
        engine=options["engine"] or default,
        key=options["key"],
        backend=options["backend"],
        precision=options["precision"],
        dims=dims,
        nodes=tuple(filter(None, (options["nodes"] or "").split(","))),
        layout=options["layout"],
        profiles=tuple(convert.Profile(*profile) for profile in profiles),
        max_batch_size=options["max_batch_size"],
        workspace=options["workspace"],
        strict=options["strict"],
        dla_core=options["dla_core"],
        perf=options["perf"],
        against=options["against"],
        threads=options["threads"],
        out_dir=options["out_dir"],
        overwrite=options["overwrite"],
    )
    result = convert.run(request, log)
    click.echo(json.dumps(result) if as_json else convert.text(result))


def _profile(text: str) -> tuple[str, tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """name,1x3x384x1248,8x3x384x1248,16x3x384x1248."""
    name, *shapes = text.split(",")
    if len(shapes) != 3:
        example = "-p Input,1x3x384x1248,8x3x384x1248,16x3x384x1248"
        raise UsageError(f"-p {text}: expected a name and three shapes", example)
    least, usual, most = (_shape(f"-p {text}", shape, "x") for shape in shapes)
    same = len(least) == len(usual) == len(most)
    if not same or any(not a <= b <= c for a, b, c in zip(least, usual, most, strict=True)):
        raise UsageError(f"-p {text}: the shapes must grow from the smallest to the largest")
    return name, least, usual, most


def _shape(flag: str, text: str, separator: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(part) for part in text.split(separator))
    except ValueError:
        raise UsageError(f'{flag}: "{text}" is no list of whole numbers separated by "{separator}"') from None
    if min(shape) < 1:
        raise UsageError(f'{flag}: "{text}" has a size below 1')
    return shape


def main() -> None:
    boundary.main(command, PROGRAM)
