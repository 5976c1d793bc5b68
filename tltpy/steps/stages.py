"""The stages after float training: what each starts from, how its network is made and found again in a file.

float -> calibration -> qat -> int_infer; int_infer may follow calibration at once. The network of a stage is captured
from the float one, so a file names the shapes of that (a pruned network goes through all stages) and the settings.
"""

import json
import math
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from tltpy import prune
from tltpy.errors import DataError, ModelFileError, UsageError
from tltpy.nn import cost
from tltpy.quant.fixed import FixedPoint, to_fixed_point
from tltpy.quant.prepare import prepare
from tltpy.quant.quantized import Quantized
from tltpy.quant.settings import Settings

if TYPE_CHECKING:
    from tltpy.artifact import ModelFile
    from tltpy.log import Log
    from tltpy.steps.models import Opened
    from tltpy.tasks.contract import Task

BEFORE = {"calibration": ("float",), "qat": ("calibration",), "int_infer": ("qat", "calibration")}
"""The stages that a stage may follow; the first is looked for in the results folder first."""

FILES = {"float": "best", "calibration": "calibration", "qat": "qat_best", "int_infer": "int_infer"}
"""What the file of a stage is called, after the stem."""


@dataclass(frozen=True)
class Restored:
    """The network of a stage's file, in eval mode, and what its float form costs."""

    network: Quantized | FixedPoint
    params: int


def settings(cfg: Any) -> Settings:
    """What the sections of the stages ask for."""
    calibration, qat, quant = cfg.calibration_config, cfg.qat_config, cfg.quant_config
    return Settings(
        weight_bits=quant.weight_bits,
        observer=calibration.observer,
        percentile=calibration.percentile,
        averaging=calibration.averaging_constant,
        keep_batch_norm=qat.qat_mode == qat.WITH_BN,
        learned_scales=qat.learned_scales,
        int16=(*quant.int16_ops, *(name for table in quant.sensitive_ops for name in _sensitive(table))),
        keep_float=tuple(quant.float_ops),
        fixed_ranges=tuple((row.name, row.threshold) for row in quant.fixed_ranges),
    )


def quantize(task: "Task", cfg: Any, network: nn.Module, wanted: Settings, log: "Log | None" = None) -> Quantized:
    """The network with quantizers; names in the settings that are those of no op are told."""
    quantized = prepare(network, example(task, cfg), wanted)
    if log:
        for pattern in quantized.unknown:
            log.warn(f'quant_config: no op is called "{pattern}"', "tlt-quant-analysis lists the names")
    return quantized


def example(task: "Task", cfg: Any) -> dict[str, Tensor]:
    """Inputs of a batch of two made-up examples."""
    rng = np.random.default_rng(0)
    batch = task.collate([task.sample(task.example(cfg, rng), cfg, None) for _ in range(2)])
    return task.inputs(batch, None, cfg)


def facts(network: nn.Module, wanted: Settings) -> dict[str, Any]:
    """What a file of a stage says of its network: the float network's shapes and parameters, the settings."""
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    return {"shapes": shapes, "params": cost.parameters(network), "settings": asdict(wanted)}


def restore(task: "Task", cfg: Any, file: "ModelFile", tensors: dict[str, Tensor]) -> Restored:
    """The network of a file of any stage but float. ModelFileError where it does not fit the spec."""
    stored = file.metadata.get("quantization")
    if not isinstance(stored, dict):
        raise ModelFileError(f"{file.path}: the file does not say how it was quantized", "make it again")
    network = task.build(cfg).eval()
    try:
        prune.fit(network, {name: tuple(shape) for name, shape in stored["shapes"].items()})
        quantized = quantize(task, cfg, network, _settings(stored["settings"]))
        made = to_fixed_point(quantized) if file.header.stage == "int_infer" else quantized
        made.load_state_dict(tensors)
    except (ModelFileError, RuntimeError, KeyError) as error:
        hint = "give the spec that the model was made with"
        raise ModelFileError(f"{file.path}: {str(error).splitlines()[0].lower()}", hint) from error
    if isinstance(made, Quantized):
        made.set_mode(observe=False, quantize=True)
    return Restored(made.eval(), int(stored["params"]))


def start_of(stage: str, model: Path | None, weights: Path, stem: str) -> Path:
    """The file that a stage starts from: -m, or what the stage before left in the results folder."""
    if model is not None:
        return model
    wanted = [weights / f"{stem}_{FILES[before]}.tlt" for before in BEFORE[stage]]
    for path in wanted:
        if path.exists():
            return path
    missing = " and no ".join(path.name for path in wanted)
    raise UsageError(
        f"{weights.parent}: there is no {missing} to start the stage {stage} from",
        f"run --stage {BEFORE[stage][0]} with the same results folder first, or name a model with -m",
    )


def refuse_order(stage: str, file: "ModelFile") -> None:
    """UsageError where a file is of a stage that this one cannot follow."""
    found = file.header.stage
    if found in BEFORE[stage]:
        return
    reasons = {
        ("calibration", "int_infer"): "it holds integers, which have no ranges left to observe",
        ("calibration", "qat"): "its scales are trained already: calibrate the float model",
        ("calibration", "calibration"): "it is calibrated already: calibrate the float model",
        ("qat", "float"): "its activations have no scales yet: run --stage calibration first",
        ("qat", "int_infer"): "it holds integers, which cannot be trained",
        ("qat", "qat"): "it went through qat already: go on with --resume, or start from the calibrated model",
        ("int_infer", "float"): "its activations have no scales yet: run --stage calibration first",
        ("int_infer", "int_infer"): "it is converted already",
    }
    reason = reasons.get((stage, found), f"--stage {stage} follows {' or '.join(BEFORE[stage])}")
    raise UsageError(f"{file.path}: a model of the stage {found} cannot start the stage {stage}", reason)


def in_integers(opened: "Opened") -> "Opened":
    """The same with a network in integers, where it has scales for them."""
    if isinstance(opened.network, Quantized):
        return replace(opened, network=to_fixed_point(opened.network))
    return opened


@contextmanager
def exporting(module: nn.Module) -> Iterator[None]:
    """Within, integer networks in the module are written as standard operators."""
    with ExitStack() as stack:
        for part in module.modules():
            if isinstance(part, FixedPoint):
                stack.enter_context(part.exporting())
        yield


def _settings(stored: dict[str, Any]) -> Settings:
    lists = {name: tuple(value) for name, value in stored.items() if isinstance(value, list)}
    lists["fixed_ranges"] = tuple((name, float(reach)) for name, reach in stored.get("fixed_ranges", ()))
    return Settings(**{**stored, **lists})


def _sensitive(table: Any) -> list[str]:
    """The names of the worst ops of a sensitivity table, as patterns."""
    path = Path(table.table)
    try:
        rows = json.loads(path.read_text())["rows"]
        names = [str(row["op"]) for row in rows]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {(error.strerror or '').lower()}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: this is no sensitivity table", "tlt-quant-analysis writes it as JSON") from error
    count = table.topk if table.HasField("topk") else math.ceil(table.ratio * len(names))
    return [re.escape(name) for name in names[:count]]
