"""Who may import whom and who may touch what (docs/architecture.md), as data; every breach with file, line and reason.

The rules read the syntax tree, so they also see imports within functions. Each has a case of its own at the end of the
file that shows it can fail.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tltpy import tasks

ROOT = Path(__file__).resolve().parent.parent
EVERYONE_MAY = {"errors", "files", "tltpy"}
MAY_IMPORT = {
    "tltpy": set(),
    "errors": set(),
    "files": set(),
    "log": set(),
    "cli": {"log", "steps", "tasks", "spec", "synth"},
    "steps": {"log", "tasks", "contract", "spec", "detection", "data", "optim", "quant", "prune", "deploy", "artifact",
              "report"},
    "tasks": {"contract", "spec"},
    "contract": {"data", "report"},  # Draw: what an example is varied by; Picture: what there is to see
    "tasks/*": {"contract", "spec", "detection", "nn", "data", "metrics", "geometry", "report"},
    "detection": {"data", "geometry", "report"},
    "nn": {"geometry"},
    "data": {"geometry"},
    "metrics": {"geometry"},
    "geometry": set(),
    "optim": set(),
    "quant": set(),
    "prune": set(),
    "deploy": {"geometry"},
    "artifact": {"crypto"},
    "crypto": set(),
    "spec": set(),
    "report": set(),
    "synth": {"data", "geometry"},
}
# single modules that a room may import although the table does not give it the room they lie in
EXCEPTIONS = {
    ("cli", "tltpy.artifact"),  # the key is tried on the model file before torch is imported
    ("steps", "tltpy.nn.cost"),  # counts parameters and operations of a network; builds no layer
    ("steps", "tltpy.nn.census"),  # watches one run of whatever network it is given; builds no layer
    ("steps", "tltpy.nn.pretrained"),  # fills whatever backbone is in a network from tensors by name; builds no layer
}
WEIGHTS = "weights_only"
PURE = {"nn", "geometry", "metrics", "optim", "quant", "prune", "report"}  # tensors and modules in and out: no files
PURE_FILES = {"data", "loss", "decode", "model"}  # the same, within a task
LAZY_TORCH = {"tltpy", "errors", "files", "log", "cli", "spec", "crypto", "tasks", "report"}
BACKENDS = {"onnx", "onnxruntime", "onnxscript", "openvino", "tensorrt"}
FILE_CALLS = {"write_text", "write_bytes", "read_text", "read_bytes", "mkdir", "unlink", "touch", "imread", "imwrite"}
RANDOM_OBJECTS = {"Generator", "default_rng", "SeedSequence", "BitGenerator", "PCG64", "Philox", "Random"}
DRAWERS = {"utils", "util", "misc", "common", "helpers", "helper", "tools"}
FILE_LINES, FUNCTION_LINES = 400, 60


@dataclass(frozen=True)
class Module:
    path: str  # relative to the root
    text: str

    @property
    def tree(self) -> ast.Module:
        return _parse(self.text)

    @property
    def name(self) -> str:
        return Path(self.path).stem

    @property
    def room(self) -> str:
        parts = Path(self.path).with_suffix("").parts[1:]  # without tltpy/
        if parts[0] == "tasks":
            return "/".join(parts[:2]) if len(parts) > 2 else parts[1].replace("__init__", "tasks")
        return parts[0].replace("__init__", "tltpy")


@cache
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


def modules() -> list[Module]:
    paths = sorted(path for path in (ROOT / "tltpy").rglob("*.py") if not path.name.endswith("_pb2.py"))
    return [Module(path.relative_to(ROOT).as_posix(), path.read_text()) for path in paths]


Finding = tuple[int, str]
Rule = Callable[[Module], Iterator[Finding]]
RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    RULES.append(function)
    return function


@rule
def imports_only_the_rooms_below(module: Module) -> Iterator[Finding]:
    allowed = MAY_IMPORT.get("tasks/*" if module.room.startswith("tasks/") else module.room)
    if allowed is None:
        yield 1, f"the room {module.room} is not in the table MAY_IMPORT"
        return
    for line, target, _ in imports(module):
        if target.split(".")[0] == "tltpy":
            room = room_of(target)
            if room not in allowed | EVERYONE_MAY | {module.room} and (module.room, target) not in EXCEPTIONS:
                yield line, f"{module.room} may not import {room}"


@rule
def imports_are_absolute(module: Module) -> Iterator[Finding]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "relative import"


@rule
def torch_waits(module: Module) -> Iterator[Finding]:
    task_page = module.room.startswith("tasks/") and module.name == "__init__"
    if module.room in LAZY_TORCH or task_page:
        for line, target, top in imports(module):
            if top and target.split(".")[0] in {"torch", "torchvision"} | BACKENDS:
                yield line, f"{target} is imported when {module.path} is: --help would wait for it"


@rule
def backends_stay_in_deploy(module: Module) -> Iterator[Finding]:
    for line, target, top in imports(module):
        if target.split(".")[0] in BACKENDS and (module.room != "deploy" or top):
            yield line, f"{target}: backends are imported within the functions of deploy"


@rule
def cryptography_stays_in_crypto(module: Module) -> Iterator[Finding]:
    for line, target, _ in imports(module):
        if target.split(".")[0] == "cryptography" and module.room != "crypto":
            yield line, "only crypto uses cryptography"
        if target.split(".")[0] == "click" and module.room != "cli":
            yield line, "only cli uses click"


@rule
def nothing_is_pickled(module: Module) -> Iterator[Finding]:
    for line, target, _ in imports(module):
        if target.split(".")[0] in {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}:
            yield line, f"{target}: no pickle"
    for line, called, call in calls(module):
        if called == "torch.load" and module.room == "artifact":
            # checkpoints that others published are pickles; so opened, they run no code
            if [keyword.arg for keyword in call.keywords if getattr(keyword.value, "value", None) is True] != [WEIGHTS]:
                yield line, f"{called} without {WEIGHTS}=True runs code of the file"
        elif called in {"torch.save", "torch.load"}:
            yield line, f"{called} pickles; artifact is the only door to model files"


@rule
def only_cli_and_log_print(module: Module) -> Iterator[Finding]:
    if module.room in {"cli", "log"}:
        return
    for line, called, _ in calls(module):
        if called in {"print", "sys.exit", "exit", "input"} or called.startswith(("sys.stdout", "sys.stderr")):
            yield line, f"{called}: only cli prints and exits"
    for line, name in attributes(module):
        if name == "sys.argv":
            yield line, "only cli reads argv"


@rule
def pure_rooms_touch_no_files(module: Module) -> Iterator[Finding]:
    in_task = module.room.startswith("tasks/") and module.name in PURE_FILES
    if module.room not in PURE and not in_task:
        return
    for line, called, _ in calls(module):
        last = called.split(".")[-1]
        if called == "open" or last in FILE_CALLS or (last == "open" and called != "self.open"):
            yield line, f"{called}: {module.room} neither reads nor writes files"
    for line, target, _ in imports(module):
        if target.split(".")[0] == "logging" or target.startswith("tltpy.files"):
            yield line, f"{target}: {module.room} does no I/O"


@rule
def randomness_is_passed_in(module: Module) -> Iterator[Finding]:
    for line, name in attributes(module):
        found = re.fullmatch(r"(?:(?:np|numpy)\.)?random\.(\w+)", name)
        if found and found[1] not in RANDOM_OBJECTS:
            yield line, f"{name}: global random state; take a generator"


@rule
def no_device_is_chosen_below_steps(module: Module) -> Iterator[Finding]:
    if module.room.startswith("tasks/") or module.room in PURE - {"quant"} | {"detection", "data"}:
        for line, name in attributes(module):
            if name == "torch.cuda":
                yield line, f"{name}: steps choose the device"


@rule
def parts_of_a_task_know_their_place(module: Module) -> Iterator[Finding]:
    if not module.room.startswith("tasks/"):
        return
    for line, target, _ in imports(module):
        if module.name == "records" and target.split(".")[0] == "torch":
            yield line, "records are read without torch"
        if module.name == "model" and target.startswith("tltpy.spec"):
            yield line, "a model does not know the spec message"


@rule
def task_names_stay_in_tasks(module: Module) -> Iterator[Finding]:
    if module.room == "tasks" or module.room.startswith("tasks/"):
        return
    # not meant: yolo_txt, a layout of data sets; yolov4, a network of others that is recognised to be refused
    word = re.compile("|".join(f"{entry.name}(?!_?txt|_?v4)" for entry in tasks.TASKS), re.IGNORECASE)
    for line, text in spelled(module):
        if word.search(text):
            yield line, f"{text!r} names a task"


@rule
def files_and_functions_are_short(module: Module) -> Iterator[Finding]:
    lines = module.text.count("\n")
    if lines > FILE_LINES:
        yield 1, f"{lines} lines, more than {FILE_LINES}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield node.lineno, f"{node.name} has {length} lines, more than {FUNCTION_LINES}"


@rule
def nothing_is_left_for_later(module: Module) -> Iterator[Finding]:
    if module.name in DRAWERS:
        yield 1, f"a module called {module.name} becomes a drawer"
    later = r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|NotImplemented" r"Error|pragma: no cover|type: ignore(?!\[)"
    for number, line in enumerate(module.text.splitlines(), 1):
        if re.search(later, line):
            yield number, line.strip()


@rule
def every_file_says_what_it_is(module: Module) -> Iterator[Finding]:
    if module.tree.body and not ast.get_docstring(module.tree):
        yield 1, "no docstring"


@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__)
def test_rule(check: Rule) -> None:
    findings = [f"{module.path}:{line}: {reason}" for module in modules() for line, reason in check(module)]
    assert not findings, "\n" + "\n".join(findings)


def test_the_rules_see_the_whole_package() -> None:
    found = modules()
    assert len(found) > 60
    assert {module.room for module in found} >= set(MAY_IMPORT) - {"tasks/*"}
    assert sum(1 for module in found for _ in imports(module)) > 300


def test_no_executable_waits_for_torch() -> None:
    names = sorted(path.stem for path in (ROOT / "tltpy/cli").glob("*.py"))
    slow = sorted(BACKENDS | {"torch", "cv2", "matplotlib", "rich"})
    code = f"import sys, tltpy.artifact\nfor name in {names}: __import__('tltpy.cli.' + name)\n"
    code += f"print([name for name in {slow} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(names) >= 9
    assert done.stdout.strip() == "[]"


BREACHES = {
    "imports_only_the_rooms_below": ("tltpy/nn/layers.py", "def f():\n    from tltpy.tasks.yolo import model\n", 2),
    "imports_are_absolute": ("tltpy/nn/layers.py", "from . import blocks\n", 1),
    "torch_waits": ("tltpy/cli/train.py", "import os\nimport torch.nn\n", 2),
    "backends_stay_in_deploy": ("tltpy/deploy/onnx.py", "import onnx\n", 1),
    "cryptography_stays_in_crypto": ("tltpy/artifact/save.py", "from cryptography import fernet\n", 1),
    "nothing_is_pickled": ("tltpy/steps/train.py", "import torch\ntorch.save({}, 'x')\n", 2),
    "only_cli_and_log_print": ("tltpy/steps/train.py", "print(1)\n", 1),
    "pure_rooms_touch_no_files": ("tltpy/tasks/yolo/loss.py", "def f(path):\n    return path.read_text()\n", 2),
    "randomness_is_passed_in": ("tltpy/synth/scene.py", "import numpy as np\nnp.random.rand(3)\n", 2),
    "no_device_is_chosen_below_steps": ("tltpy/nn/layers.py", "import torch\ntorch.cuda.is_available()\n", 2),
    "parts_of_a_task_know_their_place": ("tltpy/tasks/yolo/model.py", "from tltpy.spec import yolo_pb2\n", 1),
    "task_names_stay_in_tasks": ("tltpy/steps/train.py", "def f(task):\n    return task == 'yolo'\n", 2),
    "files_and_functions_are_short": ("tltpy/nn/layers.py", "def f():\n" + "    pass\n" * 60, 1),
    "nothing_is_left_for_later": ("tltpy/nn/layers.py", "x = 1\ny = 2  # TODO\n", 2),
    "every_file_says_what_it_is": ("tltpy/nn/layers.py", "x = 1\n", 1),
}


@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__)
def test_rule_can_fail(check: Rule) -> None:
    path, text, line = BREACHES[check.__name__]
    assert [where for where, _ in check(Module(path, text))] == [line]


@pytest.mark.parametrize("options", ["", ", weights_only=False", ", mmap=True"])
def test_a_checkpoint_of_others_is_opened_without_running_its_code(options: str) -> None:
    text = "import torch\ntorch.load('x'%s)\n"
    assert [line for line, _ in nothing_is_pickled(Module("tltpy/artifact/plain.py", text % options))] == [2]
    assert not list(nothing_is_pickled(Module("tltpy/artifact/plain.py", text % ", weights_only=True")))
    assert list(nothing_is_pickled(Module("tltpy/steps/train.py", text % ", weights_only=True")))


def test_a_lazy_or_typing_import_does_not_make_help_wait() -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\ndef f():\n    import torch\n"
    assert not list(torch_waits(Module("tltpy/cli/train.py", text)))


def imports(module: Module) -> Iterator[tuple[int, str, bool]]:
    """Line, dotted name (a.b of `from a import b` where b is a module), and whether importing the module does it."""
    for node, top in _walk(module.tree, True):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield node.lineno, whole if _is_module(whole) else node.module, top
        elif isinstance(node, ast.Call) and _dotted(node.func).split(".")[-1] == "import_module":
            yield from ((node.lineno, str(name.value), top) for name in node.args if isinstance(name, ast.Constant))


def _walk(node: ast.AST, top: bool) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        typing_only = isinstance(child, ast.If) and _dotted(child.test).endswith("TYPE_CHECKING")
        function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield child, top
        yield from _walk(child, top and not typing_only and not function)


def _is_module(dotted: str) -> bool:
    place = ROOT.joinpath(*dotted.split("."))
    return dotted.startswith("tltpy.") and (place.is_dir() or place.with_suffix(".py").is_file())


def room_of(dotted: str) -> str:
    path = "/".join(dotted.split("."))
    return Module(f"{path}/__init__.py" if (ROOT / path).is_dir() else f"{path}.py", "").room


def calls(module: Module) -> Iterator[tuple[int, str, ast.Call]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            yield node.lineno, _dotted(node.func), node


def attributes(module: Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute):
            yield node.lineno, _dotted(node)


def _dotted(node: ast.AST) -> str:
    """a.b.c of an expression; what is not a name is left out: f(x).read_text is .read_text."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def spelled(module: Module) -> Iterator[tuple[int, str]]:
    """Every name and string of the code; comments and docstrings are free."""
    docstrings = {id(node.value) for node in ast.walk(module.tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.alias):
            yield node.lineno, node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value
    yield from ((1, part) for part in Path(module.path).parts)
