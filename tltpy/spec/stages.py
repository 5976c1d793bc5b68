"""The sections of the stages after float training: what they say against themselves, and the training of `qat`."""

import re
from typing import Any

from tltpy.spec.limits import Finding

LESS = 0.01  # of the float training's learning rate
STAGES = ("float", "calibration", "qat", "int_infer")


def check(cfg: Any) -> list[Finding]:
    """Problems of calibration_config, qat_config and quant_config that no field limit can express."""
    if "quant_config" not in cfg.DESCRIPTOR.fields_by_name:
        return []
    return [*_check_names(cfg.quant_config), *_check_tables(cfg.quant_config), *_check_scales(cfg.qat_config)]


def qat(cfg: Any) -> Any:
    """A copy whose training_config is that of the stage: what qat_config gives, and the rest as for float.

    Where qat_config has no learning rate it is LESS times the float training's, on the same schedule.
    """
    made = type(cfg)()
    made.CopyFrom(cfg)
    stage, training = made.qat_config, made.training_config
    training.num_epochs = stage.num_epochs
    if stage.HasField("learning_rate"):
        training.learning_rate.CopyFrom(stage.learning_rate)
    else:
        name = training.learning_rate.WhichOneof("learning_rate") or "soft_start_annealing_schedule"
        schedule = getattr(training.learning_rate, name)
        schedule.max_learning_rate *= LESS
        schedule.min_learning_rate *= LESS
    if stage.HasField("optimizer"):
        training.optimizer.CopyFrom(stage.optimizer)
    training.ClearField("load_model")
    return made


def _check_names(quant: Any) -> list[Finding]:
    found = []
    named = [(f"quant_config.{field}[{index}]", text)
             for field in ("int16_ops", "float_ops") for index, text in enumerate(getattr(quant, field))]  # fmt: skip
    named += [(f"quant_config.fixed_ranges[{index}].name", row.name) for index, row in enumerate(quant.fixed_ranges)]
    for path, text in named:
        try:
            re.compile(text)
        except re.error as error:
            found.append(Finding(path, f'"{text}" is no regular expression: {error}', ("a dot in a name is \\\\.",)))
    return found


def _check_tables(quant: Any) -> list[Finding]:
    return [
        Finding(f"quant_config.sensitive_ops[{index}]", "give topk or ratio, one of them")
        for index, table in enumerate(quant.sensitive_ops)
        if table.HasField("topk") == table.HasField("ratio")
    ]


def _check_scales(qat: Any) -> list[Finding]:
    if qat.learned_scales and qat.averaging_constant:
        text = "learned scales do not follow ranges: averaging_constant must be 0 beside learned_scales"
        return [Finding("qat_config.averaging_constant", text)]
    return []
