"""A process with everything imported that forks one child a command: a step starts in milliseconds and can be killed.

stdin: one JSON object a line, {"executable", "arguments", "env", "spare_bytes"}; stdout: the child's pid, then its
wait status. The child's own output goes to the file named by "log".
"""

import json
import os
import resource
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

HEAVY = (
    "torch", "cv2", "onnx", "onnxscript", "onnxruntime", "numpy", "tltpy.steps.train", "tltpy.steps.export",
    "tltpy.steps.dataset_convert", "tltpy.steps.evaluate", "tltpy.steps.convert", "tltpy.tasks.yolo.task",
)  # fmt: skip


def serve() -> None:
    for name in HEAVY:
        import_module(name)
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if not pid:
            _child(order)
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


def _child(order: dict[str, Any]) -> None:
    os.setsid()  # its worker processes are killed with it
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(0)
    os.environ.update(order["env"])
    if order["spare_bytes"]:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + order["spare_bytes"]
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    sys.argv = [order["executable"], *order["arguments"]]
    code = 1
    try:
        import_module(f"tltpy.cli.{order['module']}").main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    os._exit(code)


if __name__ == "__main__":
    serve()
