"""train: the one training loop, for every task.

The order of the examples, their variation and so every number follows from (seed, epoch, step); a run that is stopped
and resumed therefore gives the bits of one that was not (on the CPU, with the same processes and threads).
"""

import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tltpy import artifact, files, tasks
from tltpy.data.loader import Loader
from tltpy.errors import DataError, Interrupted, TltError, UsageError
from tltpy.log import Log
from tltpy.optim.averaging import Average
from tltpy.spec import stages as stage_specs
from tltpy.steps import beginning, calibrate, checkpoint, evaluation, folder, memory, models, processes, recipe
from tltpy.steps.checkpoint import Position, Trainee
from tltpy.steps.history import Events, History, flat
from tltpy.steps.initial import epochs_behind
from tltpy.steps.processes import Group
from tltpy.steps.reporting import Reporter, about
from tltpy.steps.signals import Signals
from tltpy.tasks.contract import Records, Task

INHERITED = ("pruning", "pretrained", "quantization")  # of the metadata of the file that a run starts from


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """`cfg` is the canonical spec; `key` is None only in a dry run."""

    task: str
    cfg: Any
    results_dir: Path
    key: str | None
    model: Path | None = None
    pretrained: Path | None = None  # a backbone that torchvision published
    resume: bool = False
    initial_epoch: int = 1  # 1-based, as published
    use_amp: bool = False
    gpu_index: int = 0
    overwrite: bool = False
    dry_run: bool = False
    stage: str = "float"  # or calibration, qat, int_infer


def run(request: TrainRequest, log: Log) -> dict[str, Any]:
    """Trains; the result names the files written and the last and best measurement."""
    if not request.dry_run and not request.resume and request.stage == "float":
        folder.refuse_results(request.results_dir, request.overwrite)
    torch.manual_seed(request.cfg.random_seed)
    group = processes.join(request.gpu_index)
    log.rank = group.rank
    try:
        if request.stage in ("calibration", "int_infer"):
            return calibrate.run(request, group, log)
        return Training(request, group, log).run()
    except torch.OutOfMemoryError as error:
        hint = "lower batch_size_per_gpu or the input size, or add --use_amp"
        raise DataError(f"the GPU has too little memory: {str(error).splitlines()[0].lower()}", hint) from error
    finally:
        group.leave()


class Training:
    """One run of the loop: what stays the same (task, data, folders) and the trainee, which changes."""

    def __init__(self, request: TrainRequest, group: Group, log: Log) -> None:
        self.request, self.group, self.log = request, group, log
        qat = request.stage == "qat"
        self.cfg = stage_specs.qat(request.cfg) if qat else request.cfg
        self.config = self.cfg.training_config
        self.task: Task = tasks.load(request.task)
        self.stem = self.task.stem(self.cfg) + ("_qat" if qat else "")
        self.folder = request.results_dir / "qat" if qat else request.results_dir
        self.weights = request.results_dir / "weights"
        self.loader, self.validation = self._data()
        self.network, self.parent = self._network()
        self.trainee = self._trainee()
        self.schedule = recipe.schedule(self.config, group.world)
        self.penalty = recipe.penalty(self.network, self.config)
        self.amp = recipe.amp_dtype(self.config, group.device) if request.use_amp else None
        self.model: nn.Module = self.network
        if group.world > 1:
            ids = [group.device] if group.device.type == "cuda" else None
            self.model = nn.parallel.DistributedDataParallel(self.network, device_ids=ids)
        self.signals = Signals()
        self.metadata = {
            "spec": models.spec_text(self.cfg),
            "lineage": models.lineage(self.parent, "qat" if qat else "train"),
            **{name: value for name, value in self._inherited().items() if name in INHERITED},
            **({"pretrained": request.pretrained.name} if request.pretrained else {}),
        }

    def run(self) -> dict[str, Any]:
        if self.request.dry_run:
            return self._dry_run()
        position = self.trainee.position
        if self.group.first:
            self._open_folder()
        first_step = position.epoch * self.loader.steps + position.step
        self.history = History(self.folder, position.epoch)
        self.events = Events(self.folder, self.config.visualizer, first_step) if self.group.first else None
        self.reporter = Reporter(self.folder, self.loader, self.validation, self.log) if self.group.first else None
        result: dict[str, Any] = {}
        try:
            with self.signals.noted():
                while position.epoch < self.config.num_epochs:
                    result = self._epoch()
        except TltError as error:
            self.log.status("FAILURE", error.message)
            raise
        finally:
            self.loader.close()
            self.validation.close()
            if self.events:
                self.events.close()
        self.log.status("SUCCESS", "training finished", **result, warnings=self.log.warnings)
        if self.reporter:
            self.reporter.finish()
        return self._result(result)

    def _epoch(self) -> dict[str, Any]:
        """The steps of an epoch that are left, then measurement and files."""
        position, started = self.trainee.position, time.monotonic()
        epoch = position.epoch
        self.model.train()
        title = f"epoch {epoch + 1}/{self.config.num_epochs}"
        shown = (self.loader.steps - position.step) * self.loader.batch_size * self.group.world
        with self.log.progress(title, min(shown, len(self.loader.recipe.records))) as progress:
            for batch in self.loader.epoch(epoch, position.step):
                parts, rate = self._step(processes.to_device(batch, self.group.device), epoch)
                if self.group.first and (epoch, position.step) == (self.request.initial_epoch - 1, 1):
                    self._save_last()  # whoever kills the run from now on can resume it
                progress.advance(len(batch["index"]) * self.group.world, f"loss {parts['loss']:.4f}  lr {rate:.2e}")
                if self.group.any(self.signals.caught is not None):
                    self._stop()
        losses = {name: value / position.step for name, value in position.sums.items()}
        position.epoch, position.step, position.sums = epoch + 1, 0, {}
        measured, table = self._measure(epoch)
        if self.group.first:
            self._write(epoch, losses, measured, table, time.monotonic() - started)
        if self.group.any(self.signals.caught is not None):
            self._stop()
        return {"epoch": epoch + 1, "loss": losses["loss"], **measured}

    def _step(self, batch: dict[str, Any], epoch: int) -> tuple[dict[str, float], float]:
        """One batch: forward, backward, step. Returns the scalars of the loss and the learning rate."""
        trainee, position = self.trainee, self.trainee.position
        number = epoch * self.loader.steps + position.step
        if number == 0 and self.events:
            self.events.images(batch, 0)
        rate = self._rate(number)
        for group in trainee.optimizer.param_groups:
            group["lr"] = rate
        trainee.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.group.device.type, self.amp or torch.bfloat16, enabled=self.amp is not None):
            parts = self.task.loss(self.model, batch, self.cfg, self.group.mean)
        scaled: Tensor = trainee.scaler.scale(parts["loss"])
        scaled.backward()
        trainee.scaler.unscale_(trainee.optimizer)
        penalty = self.penalty.value()
        self.penalty.add_gradients()
        if self.config.gradient_clip_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.gradient_clip_norm)
        values = {name: float(value.detach()) for name, value in parts.items()}
        values["loss"] += float(penalty)
        self._refuse_nonfinite(values, batch, epoch)
        trainee.scaler.step(trainee.optimizer)
        trainee.scaler.update()
        if trainee.average:
            trainee.average.update(self.network)
        position.step += 1
        for name, value in values.items():
            position.sums[name] = position.sums.get(name, 0.0) + value
        if self.events:
            self.events.scalars({**{f"step/{name}": value for name, value in values.items()}, "step/lr": rate}, number)
        return values, rate

    def _rate(self, number: int) -> float:
        """The learning rate of a step, counted from the start of the training."""
        return self.schedule.at(number / (self.config.num_epochs * self.loader.steps))

    def _measure(self, epoch: int) -> tuple[dict[str, float], str]:
        """Numbers and table of the validation, when it is the turn of this epoch."""
        period = self.cfg.eval_config.validation_period_during_training or self.config.checkpoint_interval
        if (epoch + 1) % period and epoch + 1 < self.config.num_epochs:
            return {}, ""
        losses: list[Tensor] = []
        backup = (
            {name: value.clone() for name, value in self.network.state_dict().items()} if self.trainee.average else None
        )
        if backup:
            self.network.load_state_dict(checkpoint.weights(self.trainee))
        self.network.eval()
        try:
            graph = self.task.graphs(self.network, self.cfg)[0].module.to(self.group.device).eval()

            def watch(batch: dict[str, Any]) -> None:
                losses.append(self.task.loss(self.network, batch, self.cfg, lambda value: value)["loss"])

            metric = evaluation.measure(
                self.task, self.cfg, graph, self.validation, group=self.group, log=self.log, watch=watch
            )
        finally:
            if backup:
                self.network.load_state_dict(backup)
        total = torch.stack([torch.stack(losses).mean()]) if losses else torch.zeros(1, device=self.group.device)
        measured = flat({key: value for key, value in metric.result().items() if key != "truths"})
        measured["validation_loss"] = float(self.group.mean(total))
        better = self._remember_best(measured[metric.headline], metric.higher_is_better)
        if self.reporter:
            self.reporter.measured(metric, epoch + 1, better)
        return measured, f"{metric.table()}\nValidation loss: {measured['validation_loss']:.5f}"

    def _remember_best(self, value: float, higher_is_better: bool) -> bool:
        position = self.trainee.position
        better = position.best is None or (value > position.best if higher_is_better else value < position.best)
        if better:
            position.best, position.best_epoch = value, position.epoch
        return better

    def _write(
        self, epoch: int, losses: dict[str, float], measured: dict[str, float], table: str, seconds: float
    ) -> None:
        """The files of an epoch: log row, events, numbered, best and last model."""
        position, number = self.trainee.position, epoch + 1
        rate = self._rate(number * self.loader.steps - 1)
        self.history.add(epoch, {**losses, "lr": rate, **measured})
        if self.events:
            self.events.scalars({f"epoch/{name}": value for name, value in {**losses, **measured}.items()}, number)
            self.events.weights(self.network, number)
        if number % self.config.checkpoint_interval == 0 or number == self.config.num_epochs:
            self._save_weights(f"epoch_{number:03d}", number, measured)
        if measured and position.best_epoch == number:
            self._save_weights("best", number, measured)
        self._save_last()
        summary = ", ".join(
            f"{name} {value:.4f}" for name, value in {"loss": losses["loss"], **_short(measured)}.items()
        )
        self.log.info(f"epoch {number}/{self.config.num_epochs}: {summary}, {seconds:.1f} s")
        if table:
            self.log.info(table)
        left = seconds * (self.config.num_epochs - number)
        facts = {"epoch": number, "max_epoch": self.config.num_epochs, "time_per_epoch": seconds, "eta": left}
        graphical = {**losses, "learning_rate": rate, **measured}
        self.log.status("RUNNING", f"epoch {number} finished", **facts, graphical=graphical, kpi=measured)
        if measured and self.reporter and number < self.config.num_epochs:
            self.reporter.refresh()

    def _save_weights(self, name: str, epoch: int, measured: dict[str, float]) -> None:
        path = self.weights / f"{self.stem}_{name}.tlt"
        metadata = {**self.metadata, "epoch": epoch, "measured": measured}
        artifact.save_model(
            path,
            key=self.request.key,
            task=self.request.task,
            stage=self.request.stage,
            tensors=checkpoint.weights(self.trainee),
            metadata=metadata,
        )

    def _save_last(self) -> None:
        path = self.weights / f"{self.stem}_last.tlt"
        metadata = {**self.metadata, "epoch": self.trainee.position.epoch, "run": self._run_facts()}
        task, stage = self.request.task, self.request.stage
        checkpoint.save(path, self.trainee, key=self.request.key, task=task, stage=stage, metadata=metadata)

    def _stop(self) -> None:
        """Leaves a checkpoint and ends the step with the exit code of the signal."""
        if self.group.first:
            self._save_last()
            self.log.status("RUNNING", "state saved")
        terminated = self.group.any(self.signals.caught == signal.SIGTERM)
        position = self.trainee.position
        where = f"epoch {position.epoch + 1}, step {position.step}" if position.step else f"epoch {position.epoch}"
        word, code = ("terminated", 143) if terminated else ("interrupted", 130)
        raise Interrupted(
            f"{word} after {where}; the state is saved", "go on with the same command and --resume", exit_code=code
        )

    def _refuse_nonfinite(self, values: dict[str, float], batch: dict[str, Any], epoch: int) -> None:
        scaling = self.trainee.scaler.is_enabled()  # float16: an overflow of the gradients is skipped by the scaler
        if scaling or all(abs(value) < float("inf") for value in values.values()):
            return
        names = ", ".join(str(self.loader.recipe.records[index].id) for index in batch["index"])
        bad = ", ".join(f"{name} {value}" for name, value in values.items())
        raise DataError(
            f"the loss is not finite in epoch {epoch + 1}, step {self.trainee.position.step + 1}: {bad}",
            f"the batch: {names}",
            "lower max_learning_rate, raise soft_start or set gradient_clip_norm; the last saved state is untouched",
        )

    def _data(self) -> tuple[Loader, Loader]:
        loaders = []
        for split, size in (
            ("training", self.config.batch_size_per_gpu),
            ("validation", self.cfg.eval_config.batch_size),
        ):
            records: Records = self.task.read(self.cfg, split)
            for warning in records.warnings:
                self.log.warn(warning)
            if not len(records):
                raise DataError(
                    f"the {split} data is empty", "check dataset_config, and that the conversion wrote this fold"
                )
            loaders.append(
                evaluation.loader(
                    self.task, self.cfg, records, batch_size=size, training=split == "training", group=self.group
                )
            )
        self.log.info(
            f"{len(loaders[0].recipe.records)} training and {len(loaders[1].recipe.records)} validation examples"
        )
        return loaders[0], loaders[1]

    def _network(self) -> tuple[nn.Module, artifact.ModelFile | None]:
        network, parent = beginning.network(self.request, self.cfg, self.task, self._last, self.log)
        memory.refuse_small_limit(sum(value.nbytes for value in network.state_dict().values()))
        return network.to(self.group.device).to(memory_format=torch.channels_last), parent

    def _trainee(self) -> Trainee:
        optimizer = recipe.optimizer(self.network, self.config, 0.0)
        half = self.request.use_amp and recipe.amp_dtype(self.config, self.group.device) == torch.float16
        scaler = torch.amp.GradScaler(self.group.device.type, enabled=half)
        average = Average(self.network) if self.config.model_ema else None
        behind = epochs_behind(self.request, self.parent)
        start = Position(epoch=self.request.initial_epoch - 1 or behind)
        trainee = Trainee(self.network, optimizer, scaler, average, start)
        if self.request.resume or (behind and "training" in self._inherited()):
            assert self.parent is not None
            self._refuse_other_run(self.parent)
            checkpoint.load(self.parent, trainee)
            position = trainee.position
            self.log.info(f"going on after epoch {position.epoch}, step {position.step}")
        elif behind:
            self.log.warn(f"going on after epoch {start.epoch}, the optimizer anew", "..._last.tlt has its state")
        return trainee

    def _run_facts(self) -> dict[str, int]:
        """What a resumed run must share with this one, so that the position means the same."""
        batch = self.config.batch_size_per_gpu * self.group.world
        return {"examples": len(self.loader.recipe.records), "batch": batch, "seed": self.cfg.random_seed}

    def _refuse_other_run(self, file: artifact.ModelFile) -> None:
        run, now = file.metadata.get("run", {}), self._run_facts()
        other = [f"{name} {run[name]} then, {now[name]} now" for name in now if run.get(name, now[name]) != now[name]]
        if other:
            hint = "resume with the data, batch size, seed and number of processes of the run"
            raise UsageError(f"{file.path}: this is the state of another run: {'; '.join(other)}", hint)

    def _last(self) -> Path:
        path = self.weights / f"{self.stem}_last.tlt"
        if not path.exists():
            text = f"{self.request.results_dir}: nothing to resume: there is no {path.name} in weights"
            raise UsageError(text, "leave out --resume")
        return path

    def _inherited(self) -> dict[str, Any]:
        return self.parent.metadata if self.parent else {}

    def _open_folder(self) -> None:
        with files.translated(self.folder):
            for made in (self.weights, self.folder):
                made.mkdir(parents=True, exist_ok=True)
            files.sweep(self.weights)
            self.log.open_status(self.folder, append=self.request.resume)
        files.write_text(self.folder / "spec.txt", self.metadata["spec"])
        labels = self.task.graphs(self.network, self.cfg)[0].metadata.get("labels")
        if labels:
            files.write_text(self.folder / "model_output_labels.txt", "".join(f"{label}\n" for label in labels))
        self.log.status("STARTED", "training", **self._run_facts(), **about(self))

    def _dry_run(self) -> dict[str, Any]:
        """One step and one batch of validation; nothing is written."""
        self.history, self.events = None, None  # type: ignore[assignment]
        self.model.train()
        batch = next(iter(self.loader.epoch(0)))
        started = time.monotonic()
        parts, _ = self._step(processes.to_device(batch, self.group.device), 0)
        seconds = time.monotonic() - started
        self.loader.close()
        return {"dry_run": True, "steps_per_epoch": self.loader.steps, "seconds_per_step": seconds, **parts}

    def _result(self, last: dict[str, Any]) -> dict[str, Any]:
        position = self.trainee.position
        paths = {name: str(self.weights / f"{self.stem}_{name}.tlt") for name in ("best", "last")}
        return {**paths, "best_value": position.best, "best_epoch": position.best_epoch, "last_epoch": last}


def _short(measured: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in measured.items() if "_" not in name}
