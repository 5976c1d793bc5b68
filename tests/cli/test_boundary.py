"""The boundary of the executables: errors become lines on stderr and exit codes, whatever raised them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# a command whose body is given: what an executable does, without an executable
PROGRAM = """
import sys, time
import click
from tltpy import errors
from tltpy.cli import boundary

@click.command()
@click.argument("name", required=False)
@click.option("--results-dir", metavar="DIR")
@click.option("--count", type=int)
@boundary.key_option
@boundary.log_options
@boundary.overwrite_option
def command(**given):
    \"\"\"Does what the test wants.\"\"\"
    log = boundary.make_log("tlt-probe", given["quiet"], given["verbose"])
    {body}

boundary.main(command, "tlt-probe")
"""
Done = "subprocess.CompletedProcess[str]"


def probe(body: str, *args: str, env: dict[str, str] | None = None) -> Done:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{body}", body), *args],
        env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=60,
    )


def started(body: str) -> "subprocess.Popen[str]":
    # a shell that runs the tests in the background has told them, and so their children, to ignore Ctrl-C
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + PROGRAM
    arguments = [sys.executable, "-c", program.replace("{body}", body)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines(done: Done) -> list[str]:
    return done.stderr.splitlines()


def test_a_command_that_ends_well_says_nothing() -> None:
    done = probe("pass")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("error", "code"),
    [("TltError", 2), ("UsageError", 2), ("DataError", 4), ("ModelFileError", 5), ("WrongKeyError", 5),
     ("DamagedFileError", 5), ("TruncatedFileError", 5), ("ForeignFileError", 5), ("BackendError", 6),
     ("QualityError", 7), ("Interrupted", 130)],
)
def test_error_to_exit_code(error: str, code: int) -> None:
    done = probe(f"raise errors.{error}('a.tlt: it is so', 'do this', 'or that')")
    assert done.returncode == code
    assert done.stdout == ""
    assert lines(done) == ["tlt-probe: error: a.tlt: it is so", "tlt-probe: hint: do this", "tlt-probe: hint: or that"]


def test_all_problems_of_a_spec_are_printed_each_with_its_hints() -> None:
    done = probe("raise errors.SpecError([('s.txt:1:2: one', ('mend one',)), ('s.txt:3:4: two', ())])")
    assert done.returncode == 3
    expected = ["error: s.txt:1:2: one", "hint: mend one", "error: s.txt:3:4: two"]
    assert lines(done) == [f"tlt-probe: {line}" for line in expected]


def test_a_bug_shows_its_traceback_and_exits_with_1() -> None:
    done = probe("raise ZeroDivisionError('ours')")
    assert done.returncode == 1
    assert lines(done)[0].startswith("Traceback") and lines(done)[-1] == "ZeroDivisionError: ours"


@pytest.mark.parametrize(
    ("args", "says"),
    [(["--no-such"], "--no-such"), (["--count", "many"], "'many' is not a valid integer"),
     (["--results-dir"], "requires an argument"), (["one", "two"], "unexpected extra argument")],
)
def test_usage_errors(args: list[str], says: str) -> None:
    done = probe("pass", *args)
    assert done.returncode == 2
    assert done.stdout == ""
    error, hint = lines(done)
    assert error.startswith("tlt-probe: error: ") and says in error
    assert error.split(": ")[2][0].islower() or not error.split(": ")[2][0].isalpha()
    assert hint == "tlt-probe: hint: `tlt-probe --help` lists the flags"


def test_a_flag_nearly_right_is_answered_with_the_right_one() -> None:
    done = probe("pass", "--result-dir", "x")
    assert done.returncode == 2
    assert "--results-dir" in done.stderr


def test_help_goes_to_stdout() -> None:
    done = probe("pass", "--help")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "Usage: tlt-probe" in done.stdout and "--results-dir DIR" in done.stdout


@pytest.mark.parametrize(("given", "read"), [(["-k", "abc"], "abc"), (["--key", "a@b"], "a@b"), ([], "fromenv")])
def test_key(given: list[str], read: str) -> None:
    done = probe("print(given['key'])", *given, env={"TLT_KEY": "fromenv"})
    assert done.stdout == read + "\n"


def test_key_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret of the file\n")
    done = probe("print(given['key'])", "-k", f"@{tmp_path}/key")
    assert done.stdout == "secret of the file\n"
    by_environment = probe("print(given['key'])", env={"TLT_KEY": f"@{tmp_path}/key"})
    assert by_environment.stdout == "secret of the file\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read: no such file or directory"), (b" \n", "is empty"), (b"\xff\xfe\x00", "is not text")],
    ids=["missing", "empty", "binary"],
)
def test_key_file_that_holds_no_key(tmp_path: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    done = probe("pass", "-k", f"@{tmp_path}/key")
    assert done.returncode == 2
    assert lines(done) == [f"tlt-probe: error: {tmp_path}/key: the key file {says}"]


def test_log_goes_to_stderr_and_quiet_leaves_the_warnings() -> None:
    body = "log.info('working'); log.detail('closely'); log.warn('odd', 'look'); print('result')"
    warning = ["tlt-probe: warning: odd", "tlt-probe: hint: look"]
    assert lines(probe(body)) == ["working", *warning]
    assert lines(probe(body, "-v")) == ["working", "closely", *warning]
    assert lines(probe(body, "-q")) == warning
    assert lines(probe(body, env={"RANK": "1"})) == []
    assert probe(body, "-q").stdout == "result\n"


@pytest.mark.parametrize(
    ("sent", "code", "says"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_signals(sent: signal.Signals, code: int, says: str) -> None:
    with started("print('up', flush=True); time.sleep(60)") as process:
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        process.send_signal(sent)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == code
    assert stderr.lstrip("\n") == f"tlt-probe: error: {says}\n"  # a line break keeps it apart from the terminal's ^C


@pytest.mark.parametrize("count", [2, 100000], ids=["in the last flush", "while it writes"])
def test_a_reader_that_goes_away_is_no_error(count: int) -> None:
    body = f"print('up', flush=True); time.sleep(0.5); [print('line', number) for number in range({count})]"
    with started(body) as process:
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        process.stdout.close()
        stderr = process.stderr.read() if process.stderr else ""
    assert (process.returncode, stderr) == (0, "")


