"""A network with quantizers: it observes, it computes with values rounded as integers will be, it can be trained."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from torch import Tensor, fx, nn

from tltpy.quant.fake import ActivationQuantizer, WeightQuantizer
from tltpy.quant.settings import Settings, matches, unknown
from tltpy.quant.weighted import Weighted


@dataclass(frozen=True)
class Op:
    """One operator, or one input of the network.

    quantizers: names of its parts that round: of its weights, of its output. macs: multiplications and additions of one
    example. activation: the rectifier that is computed with it.
    """

    name: str
    kind: str
    quantizers: tuple[str, ...]
    macs: int
    activation: str | None = None


@dataclass(frozen=True)
class Place:
    """The op behind which a quantizer stands, and the ops that take what it gives."""

    producer: str
    consumers: tuple[str, ...]


class Quantized(nn.Module):
    """{name: Tensor} -> {name: Tensor}, like the network it was made from.

    `unknown`: patterns of the settings that match no op. The state holds weights, scales, zero points and what the
    observers saw, and fits every Quantized of the same network and `keep_batch_norm`, whatever the other settings.
    """

    def __init__(
        self,
        graph: fx.GraphModule,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        ops: tuple[Op, ...],
        places: Mapping[str, Place],
        settings: Settings,
    ) -> None:
        super().__init__()
        self.graph = graph
        self.inputs, self.outputs = inputs, outputs
        self.ops, self.places = ops, dict(places)
        self.settings = settings
        self.unknown: tuple[str, ...] = ()
        self._assign()

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        found = self.graph(*(inputs[name] for name in self.inputs))
        return dict(zip(self.outputs, found, strict=True))

    def set_mode(self, *, observe: bool, quantize: bool, only: Collection[str] | None = None) -> None:
        """only: names of ops, or of single quantizers; the others neither observe nor quantize.

        Observing alone gathers what `finish` needs. Observing and quantizing in training moves the scales.
        """
        chosen = set(self.quantizers()) if only is None else self._named(only)
        for name, quantizer in self.quantizers().items():
            quantizer.quantizing = quantize and name in chosen
            if isinstance(quantizer, ActivationQuantizer):
                quantizer.observing = observe and name in chosen

    def finish(self) -> None:
        """Scales from what was observed. ModelFileError where values were no finite numbers."""
        for quantizer in self.activation_quantizers().values():
            quantizer.finish()

    def freeze_scales(self) -> None:
        """No training moves or learns the scales of activations from now on."""
        for quantizer in self.activation_quantizers().values():
            quantizer.averaging = 0.0
            quantizer.scale.requires_grad_(False)

    def fold(self) -> None:
        """Batch normalization that was kept becomes part of the convolutions, exactly."""
        for module in self.modules():
            if isinstance(module, Weighted):
                module.fold()
        self.settings = replace(self.settings, keep_batch_norm=False)

    def assign(self, *, int16: tuple[str, ...] | None = None, keep_float: tuple[str, ...] | None = None) -> None:
        """Changes which ops have 16 bits or stay float, as if the network had been prepared so. Scales of ops whose
        width changes are made anew from what was observed."""
        self.settings = replace(
            self.settings,
            int16=self.settings.int16 if int16 is None else int16,
            keep_float=self.settings.keep_float if keep_float is None else keep_float,
        )
        self._assign()

    def quantizers(self) -> dict[str, ActivationQuantizer | WeightQuantizer]:
        """By name, as in `Op.quantizers`."""
        kinds = (ActivationQuantizer, WeightQuantizer)
        return {name: module for name, module in self.graph.named_modules() if isinstance(module, kinds)}

    def activation_quantizers(self) -> dict[str, ActivationQuantizer]:
        return {name: part for name, part in self.quantizers().items() if isinstance(part, ActivationQuantizer)}

    def _assign(self) -> None:
        settings = self.settings
        self.unknown = unknown(settings.patterns(), [op.name for op in self.ops])
        kept = {op.name for op in self.ops if matches(op.name, settings.keep_float)}
        kept |= {op.name for op in self.ops if not op.quantizers}
        parts = self.quantizers()
        for op in self.ops:
            bits = 16 if matches(op.name, settings.int16) else 8
            reach = next((reach for pattern, reach in settings.fixed_ranges if matches(op.name, [pattern])), None)
            for name in op.quantizers:
                part = parts[name]
                if isinstance(part, WeightQuantizer):
                    part.active = op.name not in kept
                    continue
                place = self.places[name]
                # a float that an integer op takes has to become codes
                part.active = op.name not in kept or not kept.issuperset(place.consumers)
                part.fixed_reach = reach
                if part.bits != bits:
                    part.bits = bits
                    part.finish()

    def _named(self, only: Collection[str]) -> set[str]:
        """Names of quantizers, from names of ops and of quantizers. KeyError for a name of neither."""
        of_op = {op.name: op.quantizers for op in self.ops}
        names: set[str] = set()
        for name in only:
            names.update(of_op.get(name, (name,)))
        missing = names - set(self.quantizers())
        if missing:
            raise KeyError(f"no op or quantizer is called {sorted(missing)[0]!r}")
        return names
