"""tlt-train: an experiment spec in, trained models out."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from tltpy import tasks
from tltpy.cli import boundary
from tltpy.cli.experiment import need_key, read_spec, spec_option, task_argument
from tltpy.errors import UsageError
from tltpy.spec.stages import STAGES


@click.command()
@task_argument
@spec_option
@click.option(
    "-r", "--results_dir", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder of the results."
)
@boundary.key_option
@click.option(
    "-m", "--model", type=click.Path(path_type=Path), metavar="WEIGHTS", help="A trained or pruned .tlt to start from."
)
@click.option(
    "--pretrained-torchvision",
    "pretrained",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Start the backbone from a checkpoint of torchvision's, a .pth or .safetensors.",
)
@click.option(
    "--stage",
    type=click.Choice(STAGES),
    default="float",
    show_default=True,
    help="calibration observes the float model, qat trains on with integers in mind, int_infer converts to integers.",
)
@click.option(
    "--gpus", type=click.IntRange(1), default=1, show_default=True, help="Processes on this machine, one a GPU."
)
@click.option(
    "--gpu_index", type=click.IntRange(0), default=0, show_default=True, help="The GPU of a run with one process."
)
@click.option("--num_nodes", type=click.IntRange(1), default=1, show_default=True, help="Machines that take part.")
@click.option("--rdzv_endpoint", metavar="HOST:PORT", help="Where the machines meet; needed with --num_nodes.")
@click.option("--use_amp", is_flag=True, help="Mixed precision (training_config.amp_dtype).")
@click.option("--resume", is_flag=True, help="Go on with the run in DIR, from the very step where it stopped.")
@click.option(
    "--initial_epoch", type=click.IntRange(1), default=1, show_default=True, help="Number of the first epoch."
)
@click.option("--log_file", type=click.Path(path_type=Path), help="Write the log there, too.")
@click.option("--dry-run", is_flag=True, help="One step on the real data, nothing is written.")
@boundary.overwrite_option
@boundary.log_options
def command(task: str, spec: Path, as_json: bool, quiet: bool, verbose: bool, **options: Any) -> None:
    """Train the network of an experiment spec.

    TASK is the kind of network. Weights go to DIR/weights: one file every checkpoint_interval epochs, the best by
    validation (..._best.tlt), and the state to resume from (..._last.tlt).
    """
    log = boundary.make_log("tlt-train", quiet, verbose)
    if options["log_file"]:
        log.copy_to(options["log_file"])
    cfg = read_spec(task, spec, log)
    key = options["key"] if options["dry_run"] and not options["model"] else need_key(options["key"])
    if options["resume"] and (options["model"] or options["overwrite"] or options["pretrained"]):
        raise UsageError(
            "--resume goes on with the run as it is: it takes neither -m nor --pretrained-torchvision nor --overwrite"
        )
    if options["model"] and options["pretrained"]:
        raise UsageError("-m and --pretrained-torchvision both give the first weights", "leave one of them out")
    if options["model"]:
        from tltpy.steps import models

        models.check_key(options["model"], key)
    _refuse_stage(options)
    _spread(options)

    from tltpy.steps import train

    result = train.run(
        train.TrainRequest(
            task=tasks.entry(task).name,
            cfg=cfg,
            results_dir=options["results_dir"],
            key=key,
            model=options["model"],
            pretrained=options["pretrained"],
            resume=options["resume"],
            initial_epoch=options["initial_epoch"],
            use_amp=options["use_amp"],
            gpu_index=options["gpu_index"],
            overwrite=options["overwrite"],
            dry_run=options["dry_run"],
            stage=options["stage"],
        ),
        log,
    )
    if log.rank == 0:
        click.echo(json.dumps(result) if as_json else _text(result))


def _refuse_stage(options: dict[str, Any]) -> None:
    """UsageError for flags that the stage has no use for."""
    if options["stage"] == "float":
        return
    if options["pretrained"]:
        raise UsageError(f"--stage {options['stage']} starts from a trained model, not from a published backbone")
    if options["stage"] == "qat":
        return
    for name in ("resume", "dry_run"):
        if options[name]:
            raise UsageError(f"--stage {options['stage']} is no training: --{name.replace('_', '-')} is not for it")
    if options["gpus"] * options["num_nodes"] > 1:
        raise UsageError(f"--stage {options['stage']} runs in one process", "leave out --gpus and --num_nodes")


def _text(result: dict[str, Any]) -> str:
    if result.get("table"):
        return f"{result['stage']}  {result['model']}\n{result['table']}"
    if result.get("dry_run"):
        speed = f"{result['seconds_per_step']:.2f} s a step, {result['steps_per_epoch']} steps an epoch"
        return f"dry run: loss {result['loss']:.4f}, {speed}"
    best = "" if result["best_value"] is None else f"  ({result['best_value']:.4f} after epoch {result['best_epoch']})"
    return f"best  {result['best']}{best}\nlast  {result['last']}"


def _spread(options: dict[str, Any]) -> None:
    """Runs torchrun instead where several processes are asked for; one that torchrun started goes on."""
    if options["gpus"] * options["num_nodes"] == 1 or "LOCAL_RANK" in os.environ:
        return
    if options["num_nodes"] > 1 and not options["rdzv_endpoint"]:
        raise UsageError("--num_nodes needs --rdzv_endpoint HOST:PORT", "the same on every machine")
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // options["gpus"], 1)))
    from tltpy.steps.launch import launch

    nodes, endpoint = options["num_nodes"], options["rdzv_endpoint"]
    code, words = launch("tltpy.cli.train", sys.argv[1:], processes=options["gpus"], nodes=nodes, endpoint=endpoint)
    click.echo(words, err=True, nl=False)
    sys.exit(code)


def main() -> None:
    boundary.main(command, "tlt-train")


if __name__ == "__main__":
    main()
