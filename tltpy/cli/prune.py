"""tlt-prune: removes the filters of a trained model that matter least."""

import json
from pathlib import Path
from typing import Any

import click

from tltpy.cli import boundary
from tltpy.errors import UsageError

FILE = click.Path(path_type=Path)
SHARE = click.FloatRange(0.0, 1.0, min_open=True, max_open=True)
PROGRAM = "tlt-prune"


class ManyNames(click.Command):
    """Lets `-el` take several names, as published: -el A B C is read as -el A -el B -el C."""

    flags = ("-el", "--excluded_layers")

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        within = False  # behind a name of -el
        for index, word in enumerate(args):
            if within and not word.startswith("-") and args[index - 1] not in self.flags:
                spread.append(self.flags[0])
            elif word.startswith("-"):
                within = word in self.flags
            spread.append(word)
        return super().parse_args(context, spread)


@click.command(cls=ManyNames, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("-m", "--model", "-pm", "--pretrained_model", "model", type=FILE, required=True, metavar="MODEL",
              help="The trained model, a .tlt.")
@click.option("-o", "--output_file", "--output", "output", type=FILE, metavar="OUT",
              help="Where the pruned model goes.")
@boundary.key_option
@click.option("-n", "--normalizer", type=click.Choice(["max", "L2"], case_sensitive=False), default="max",
              show_default=True, metavar="[max|L2]", help="What a filter's norm is divided by, within its layer.")
@click.option("-eq", "--equalization_criterion", "equalization", default="union", show_default=True,
              type=click.Choice(["union", "intersection", "arithmetic_mean", "geometric_mean"]),
              help="How layers that must keep the same filters agree on a filter's worth.")
@click.option("-pg", "--pruning_granularity", "granularity", type=click.IntRange(1), default=8, show_default=True,
              help="The number of filters that stay is a multiple of this.")
@click.option("-pth", "--pruning_threshold", "threshold", type=click.FloatRange(0.0), default=0.1, show_default=True,
              help="Filters stay whose normalized norm is above this.")
@click.option("-nf", "--min_num_filters", "min_num_filters", type=click.IntRange(1), default=16, show_default=True,
              help="So many filters stay in every layer.")
@click.option("-el", "--excluded_layers", "excluded", multiple=True, metavar="NAME...",
              help="Layers, or parts of the network, that keep all their filters.")
@click.option("--target-params", type=SHARE, metavar="R",
              help="Find the threshold that leaves at most this share of the parameters, 0-1.")
@click.option("--target-flops", type=SHARE, metavar="R",
              help="Find the threshold that leaves at most this share of the FLOPs, 0-1.")
@click.option("--dry-run", is_flag=True, help="Only tell what would stay.")
@click.option("-e", "--experiment_spec_file", "spec", type=FILE, metavar="SPEC",
              help="The spec that the model was trained with. [default: the one in the model file]")
@click.option("-r", "--results_dir", "results_dir", type=FILE, metavar="DIR", help="Where status.json goes.")
@click.option("--gpu_index", type=int, help="Accepted as published; pruning works on the CPU.")
@boundary.overwrite_option
@boundary.log_options
def command(
    dry_run: bool, gpu_index: int | None, quiet: bool, verbose: bool, as_json: bool, **options: Any
) -> None:
    """Remove the filters of a trained model that matter least. Train the result again: -m OUT of tlt-train."""
    given = click.get_current_context().get_parameter_source("threshold")
    targets = [name for name in ("target_params", "target_flops") if options[name] is not None]
    if len(targets) > 1:
        raise UsageError("--target-params and --target-flops exclude each other", "give one of them")
    if targets and given is click.core.ParameterSource.COMMANDLINE:
        flag = targets[0].replace("_", "-")
        raise UsageError(f"-pth and --{flag} exclude each other", f"--{flag} searches the threshold itself")
    if options["output"] is None and not dry_run:
        raise UsageError("no output is named", "add -o OUT.tlt, or --dry-run to see only what would stay")
    log = boundary.make_log(PROGRAM, quiet, verbose)
    if gpu_index is not None:
        log.warn("--gpu_index has no effect: pruning works on the CPU")

    from tltpy.steps import prune

    request = prune.PruneRequest(**{**options, "output": None if dry_run else options["output"]})
    result = prune.run(request, log)
    click.echo(json.dumps(result) if as_json else prune.text(result))


def main() -> None:
    boundary.main(command, PROGRAM)
