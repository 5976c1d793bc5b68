"""The log: text to a stream, a bar on a terminal and lines elsewhere, events to status.json; rank zero alone."""

import io
import json
import re
from pathlib import Path

import pytest

from tltpy import log as log_module
from tltpy.errors import DataError
from tltpy.log import Log


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(**settings: object) -> str:
    stream = io.StringIO()
    log = Log("tlt-train", stream=stream, **settings)  # type: ignore[arg-type]
    log.info("info")
    log.detail("detail")
    log.warn("warning", "mend it")
    return stream.getvalue()


def test_what_is_said() -> None:
    warning = "tlt-train: warning: warning\ntlt-train: hint: mend it\n"
    assert written() == "info\n" + warning
    assert written(verbose=True) == "info\ndetail\n" + warning
    assert written(quiet=True) == warning
    assert written(rank=1) == ""


def test_status_is_one_json_object_a_line(tmp_path: Path) -> None:
    log = Log("tlt-train", stream=io.StringIO())
    log.status("RUNNING", "before there is a file")
    log.open_status(tmp_path)
    log.status("STARTED", "Starting.", epochs=3)
    log.status("RUNNING", "epoch 1", loss=1.5)
    first, second = map(json.loads, (tmp_path / "status.json").read_text().splitlines())
    assert (first["status"], first["message"], first["epochs"], second["loss"]) == ("STARTED", "Starting.", 3, 1.5)
    assert re.fullmatch(r"\d\d/\d\d/\d{4}", first["date"]) and re.fullmatch(r"\d\d:\d\d:\d\d", first["time"])

    resumed = Log("tlt-train", stream=io.StringIO())
    resumed.open_status(tmp_path, append=True)
    resumed.status("RUNNING", "epoch 2")
    assert len((tmp_path / "status.json").read_text().splitlines()) == 3
    resumed.open_status(tmp_path)
    assert (tmp_path / "status.json").read_text() == ""


def test_only_rank_zero_writes_status(tmp_path: Path) -> None:
    log = Log("tlt-train", stream=io.StringIO(), rank=1)
    log.open_status(tmp_path)
    log.status("STARTED", "Starting.")
    assert list(tmp_path.iterdir()) == []


def test_progress_without_a_terminal_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(log_module.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    with Log("tlt-train", stream=stream).progress("epoch 1/3", total=70) as progress:
        for _ in range(14):
            now[0] += 1.0
            progress.advance(5, "loss 1.25")
    assert stream.getvalue().splitlines() == [
        "epoch 1/3 25/70  loss 1.25  5.0 images/s  0:09 left",
        "epoch 1/3 50/70  loss 1.25  5.0 images/s  0:04 left",
    ]


def test_quiet_shows_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "PLAIN_INTERVAL_S", 0.0)
    for stream in (io.StringIO(), Terminal()):
        with Log("tlt-train", stream=stream, quiet=True).progress("epoch", total=2) as progress:
            progress.advance(2)
        assert stream.getvalue() == ""


def test_text_stays_above_the_bar_of_a_terminal() -> None:
    stream = Terminal()
    log = Log("tlt-train", stream=stream)
    with log.progress("epoch 1/3", total=4) as progress:
        progress.advance(2, "loss 1.25")
        log.info("saved [model].tlt")
    log.info("after")
    text = stream.getvalue()
    assert "epoch 1/3" in text and "2/4" in text and "loss 1.25" in text
    assert "saved [model].tlt" in text  # no markup
    assert text.endswith("after\n")


def test_the_bar_goes_when_the_work_breaks_off() -> None:
    stream = Terminal()
    log = Log("tlt-train", stream=stream)
    with pytest.raises(ValueError, match="stop"), log.progress("epoch", total=4):
        raise ValueError("stop")
    log.info("after")
    assert stream.getvalue().endswith("after\n")


def test_what_is_said_is_copied_to_a_file_as_well(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "run.log"
    for number in range(2):  # a second run goes on in the same file
        log = Log("tlt-train", stream=io.StringIO())
        log.info("before")
        log.copy_to(path)
        log.info(f"run {number}")
        log.detail("not said")
    assert path.read_text() == "run 0\nrun 1\n"
    with pytest.raises(DataError, match="cannot be written"):
        log.copy_to(tmp_path)


def test_half_a_line_of_a_killed_run_goes_when_the_run_goes_on(tmp_path: Path) -> None:
    whole = '{"status": "STARTED"}\n'
    (tmp_path / "status.json").write_text(whole + '{"status": "RUNN')
    log = Log("tlt-train", quiet=True)
    log.open_status(tmp_path, append=True)
    log.status("RUNNING", "epoch 2 finished")
    lines = (tmp_path / "status.json").read_text().splitlines()
    assert lines[0] == whole.strip() and [json.loads(line)["status"] for line in lines] == ["STARTED", "RUNNING"]
