"""tlt-spec: check a spec, explain its fields, start one, bring an old one up to date, compare two."""

import json
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tltpy.cli import boundary
from tltpy.errors import QualityError

if TYPE_CHECKING:
    from tltpy.spec.explain import Entry
    from tltpy.steps.spec import Comparison

PROGRAM = "tlt-spec"
WIDTH = 100

kind_option = click.option(
    "--task", "kind", metavar="KIND",
    help="The kind of spec: a task, or dataset_convert, augment [default: found by its sections].",
)  # fmt: skip
spec_argument = click.argument("spec", type=click.Path(path_type=Path), metavar="SPEC")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")


@click.group()
def command() -> None:
    """Check, explain, start, update and compare the specs of all executables.

    KIND is a task (yolo), or the step that reads the spec: dataset_convert, augment.
    """


@command.command("check")
@spec_argument
@kind_option
@click.option("--no-paths", is_flag=True, help="Leave alone the data and models that the spec points to.")
@click.option("--all", "everything", is_flag=True, help="Read every label that it points to, not a sample.")
@json_option
def check_command(spec: Path, kind: str | None, no_paths: bool, everything: bool, as_json: bool) -> int:
    """Report everything that is wrong in a spec, and in the data it points to.

    Every field and its limits, fields that contradict each other, fields without effect; TFRecords that match nothing,
    folders and pictures that are missing, labels without pictures, classes without a key and keys without a class, the
    header of the model. Ends with 0 (fine, warnings or not), 3 (the spec) or 4 (what it points to).
    """
    from tltpy.steps.spec_check import check

    verdict = check(spec, kind, paths=not no_paths, everything=everything)
    if as_json:
        problems = [{"message": text, "hints": hints, "data": False} for text, hints in verdict.problems]
        problems += [{"message": text, "hints": hints, "data": True} for text, hints in verdict.data]
        facts = {"kind": verdict.kind, "problems": problems, "warnings": verdict.warnings}
        click.echo(json.dumps({"spec": str(spec), **facts, "exit_code": verdict.exit_code}))
        return verdict.exit_code
    log = boundary.make_log(PROGRAM, False, False)
    for warning in verdict.warnings:
        log.warn(warning)
    found = [*verdict.problems, *verdict.data]
    boundary.tell(PROGRAM, [line for text, hints in found for line in (("error", text), *(("hint", h) for h in hints))])
    counts = f"{_count(len(found), 'problem')}, {_count(len(verdict.warnings), 'warning')}"
    click.echo(f"{spec}: {f'{verdict.title}, ' if verdict.kind else ''}{counts}")
    return verdict.exit_code


@command.command("explain")
@click.argument("field", default="", metavar="[FIELD]")
@kind_option
@json_option
def explain_command(field: str, kind: str | None, as_json: bool) -> None:
    """Say what a field is: its documentation, type, default and limits.

    FIELD is a path (training_config.num_epochs), the end of one (adam.beta1) or a bare name; a section lists its
    fields, no FIELD the sections of a spec.
    """
    from tltpy.steps import spec

    found, entry = spec.describe(field, kind)
    if as_json:
        click.echo(json.dumps({"kind": found.name, **asdict(entry)}))
        return
    click.echo("\n".join(_explained(entry, found.title)))


@command.command("init")
@click.argument("kind", metavar="KIND")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="The file [default: stdout].")
@boundary.overwrite_option
@json_option
def init_command(kind: str, output: Path | None, overwrite: bool, as_json: bool) -> None:
    """Write a spec to begin with: every field with its comment and its default."""
    from tltpy.steps import spec

    text = spec.start(kind)
    if output is not None:
        spec.write(output, text, overwrite=overwrite)
    if as_json:
        click.echo(json.dumps({"kind": kind, "output": output and str(output), "text": text}))
    else:
        click.echo(text if output is None else str(output), nl=output is not None)


@command.command("migrate")
@spec_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="NEW", required=True, help="The new file.")
@kind_option
@boundary.overwrite_option
@json_option
def migrate_command(spec: Path, output: Path, kind: str | None, overwrite: bool, as_json: bool) -> None:
    """Bring a spec of TLT 2, TLT 3 or TAO into the current form, without loss.

    Comments and layout stay; every change is reported with its line. The forms of augmentation_config stay, too: they
    mean different things. SPEC itself is not touched.
    """
    from tltpy.steps import spec as step

    done = step.migrate(spec, kind)
    step.write(output, done.text, overwrite=overwrite)
    if as_json:
        facts = {"kind": done.kind, "changes": [asdict(each) for each in done.changes], "notes": done.notes}
        click.echo(json.dumps({"spec": str(spec), "output": str(output), **facts}))
        return
    log = boundary.make_log(PROGRAM, False, False)
    for note in done.notes:
        log.warn(note)
    for change in done.changes:
        click.echo(f"{spec}:{change.line}: {change.what}")
    click.echo(f"{output}: {_count(len(done.changes), 'change')}" if done.changes
               else f"{output}: the spec was in the current form already")  # fmt: skip


@command.command("diff")
@click.argument("first", type=click.Path(path_type=Path), metavar="A")
@click.argument("second", type=click.Path(path_type=Path), metavar="B")
@kind_option
@click.option("--exit-code", is_flag=True, help="End with 7 where the specs differ (else with 0).")
@json_option
def diff_command(first: Path, second: Path, kind: str | None, exit_code: bool, as_json: bool) -> int:
    """Compare what two specs mean, not how they are written: every default filled in, both generations in one form."""
    from tltpy.steps import spec

    compared = spec.diff(first, second, kind)
    if as_json:
        click.echo(json.dumps({"kind": compared.kind, "differences": [asdict(each) for each in compared.differences]}))
    else:
        click.echo("\n".join(_table(compared, first, second)) or "no difference")
    return QualityError.exit_code if exit_code and compared.differences else 0


def _table(compared: "Comparison", first: Path, second: Path) -> list[str]:
    rows = [(each.path, each.first or "-", each.second or "-") for each in compared.differences]
    return _columns([("field", str(first), str(second)), *rows]) if rows else []


def _explained(entry: "Entry", title: str) -> list[str]:
    lines = [entry.path or title]
    facts = [entry.type, "required" if entry.required else "", entry.limits,
             f"default {entry.default}" if entry.default else ""]  # fmt: skip
    if entry.path:
        lines.append("  " + "; ".join(fact for fact in facts if fact))
    lines += textwrap.wrap(entry.comment, WIDTH, initial_indent="  ", subsequent_indent="  ")
    if entry.ignored:
        lines.append(f"  It has no effect: {entry.ignored}")
    if entry.oneof:
        lines.append(f"  One of the {entry.oneof.replace('_', ' ')} fields: they exclude each other.")
    if entry.places:
        lines.append("  Also " + ", ".join(entry.places))
    lines += ["", *(f"  {line}" for line in _columns(entry.choices))] if entry.choices else []
    if entry.fields:
        rows = [(each.name, each.type, each.default or ("required" if each.required else ""), _first(each.comment))
                for each in entry.fields]  # fmt: skip
        lines += ["", *(f"  {line}" for line in _columns([("field", "type", "default", ""), *rows]))]
    return lines


def _first(comment: str) -> str:
    """The first sentence."""
    return comment.partition(". ")[0].removesuffix(".")


def _columns(rows: Any) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _count(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'s' * (number != 1)}"


def main() -> None:
    boundary.main(command, PROGRAM)


if __name__ == "__main__":
    main()
