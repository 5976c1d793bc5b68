"""Inserts quantizers into a captured network, where engines find the patterns of their integer kernels.

One behind each input and each operator that changes values; behind a rectifier that follows a product or a sum, not
before it; between a product and any other activation, too. What only moves values keeps the codes of its input.
"""

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from tltpy.quant import capture
from tltpy.quant.fake import ActivationQuantizer
from tltpy.quant.operators import (
    NONNEGATIVE,
    OWN,
    SHARE,
    WEIGHTED,
    A,
    is_float_tensor,
    kind_of,
    only_user,
    rectifier,
)
from tltpy.quant.quantized import Op, Place, Quantized
from tltpy.quant.settings import Settings
from tltpy.quant.weighted import Product, Weighted

LIMITS = {"relu6": 6.0}
QUANTIZERS = "quantizers"


def prepare(network: nn.Module, inputs: dict[str, Tensor], settings: Settings) -> Quantized:
    """A copy of the network, in evaluation mode, that can observe and quantize; it does neither yet.

    inputs: an example of any batch size, on the network's device. Patterns of the settings that match nothing are in
    `Quantized.unknown`. UsageError where the network cannot be captured as a graph.
    """
    graph, names, outputs = capture.capture(network, inputs)
    _join_products(graph, network, settings)
    plan = _Plan(graph, names, settings)
    plan.insert()
    graph.graph.lint()
    graph.recompile()
    graph.eval()
    capture.check(graph, network, inputs, outputs)
    counted = capture.macs(graph, inputs)
    ops = tuple(
        Op(row.name, row.kind, tuple(row.quantizers), counted.get(row.node, 0), row.activation) for row in plan.rows
    )
    return Quantized(graph, names, outputs, ops, plan.places, settings).eval()


@dataclass
class _Row:
    node: fx.Node
    name: str
    kind: str
    quantizers: list[str] = field(default_factory=list)
    activation: str | None = None


class _Plan:
    """The graph while quantizers are put into it."""

    def __init__(self, graph: fx.GraphModule, inputs: tuple[str, ...], settings: Settings) -> None:
        self.module, self.graph, self.settings = graph, graph.graph, settings
        self.inputs = iter(inputs)
        self.rows: list[_Row] = []
        self.row_of: dict[fx.Node, _Row] = {}
        self.quantizer_of: dict[fx.Node, str] = {}
        self.names: Counter[str] = Counter()
        self.places: dict[str, Place] = {}
        graph.add_module(QUANTIZERS, nn.Module())

    def insert(self) -> None:
        for node in list(self.graph.nodes):
            module = weighted_of(self.module, node)
            if node.op == "placeholder":
                row = self._row(node, self._unique(next(self.inputs)), "input")
                if is_float_tensor(node):
                    self._behind(node, row)
            elif module is not None:
                self._weighted(node, module)
            elif node.op == "call_function":
                self._function(node)
        for name, producer in ((name, place.producer) for name, place in self.places.items()):
            users = sorted({row.name for node in self._quantizer_nodes(name) for row in self._consumers(node)})
            self.places[name] = Place(producer, tuple(users))

    def _weighted(self, node: fx.Node, module: Weighted) -> None:
        kind = module.product.kind
        row = self._row(node, self._name(node, kind), kind)
        row.activation = module.product.activation
        row.quantizers.append(f"{node.target}.weight_quantizer")
        source = node.args[0]
        assert isinstance(source, fx.Node)
        if source not in self.quantizer_of:  # an operator that is not in the table gave it
            other = kind_of(source)
            row_of_source = self.row_of.get(source) or self._row(source, self._name(source, other), other)
            source = self._behind(source, row_of_source)
        module.feed(self._quantizer(self.quantizer_of[source]))
        self._behind(node, row, row.activation)

    def _function(self, node: fx.Node) -> None:
        if node in self.row_of:  # a rectifier behind a sum
            return
        if node.target in SHARE:
            source = node.args[0]
            if isinstance(source, fx.Node) and source in self.quantizer_of:
                self.quantizer_of[node] = self.quantizer_of[source]
            return
        if not is_float_tensor(node):
            return
        kind = kind_of(node)
        row = self._row(node, self._name(node, kind), kind)
        if node.target not in OWN or not any(source in self.quantizer_of for source in node.all_input_nodes):
            return
        last, user = node, only_user(node)
        if node.target is A.add.Tensor and user is not None and rectifier(user):
            last, row.activation = user, rectifier(user)
            self.row_of[user] = row
        self._behind(last, row, row.activation or kind)

    def _behind(self, node: fx.Node, row: _Row, after: str | None = None) -> fx.Node:
        """Puts a quantizer behind a node; it belongs to the op of `row`, whose values come out of `after`."""
        name = f"{QUANTIZERS}.{self._key(row.name)}"
        quantizer = ActivationQuantizer(self.settings, nonnegative=after in NONNEGATIVE, limit=LIMITS.get(after or ""))
        self.module.add_submodule(name, quantizer)
        with self.graph.inserting_after(node):
            found = self.graph.call_module(name, (node,))
        node.replace_all_uses_with(found, delete_user_cb=lambda user: user is not found)
        found.meta = {key: node.meta[key] for key in ("val", "nn_module_stack") if key in node.meta}
        self.quantizer_of[found] = self.quantizer_of[node] = name
        row.quantizers.append(name)
        self.places[name] = Place(row.name, ())
        return found

    def _quantizer(self, name: str) -> ActivationQuantizer:
        found = self.module.get_submodule(name)
        assert isinstance(found, ActivationQuantizer)
        return found

    def _quantizer_nodes(self, name: str) -> Iterator[fx.Node]:
        return (node for node in self.graph.nodes if node.op == "call_module" and node.target == name)

    def _consumers(self, node: fx.Node) -> Iterator[_Row]:
        """Ops that take the value, moved or not."""
        for user in node.users:
            if user in self.row_of:
                yield self.row_of[user]
            elif user.op == "call_function" and user.target in SHARE:
                yield from self._consumers(user)

    def _row(self, node: fx.Node, name: str, kind: str) -> _Row:
        row = _Row(node, name, kind)
        self.rows.append(row)
        self.row_of[node] = row
        return row

    def _name(self, node: fx.Node, kind: str) -> str:
        path = capture.path_of(node)
        return self._unique(f"{path}:{kind}" if path else kind)

    def _unique(self, name: str) -> str:
        self.names[name] += 1
        return name if self.names[name] == 1 else f"{name}_{self.names[name]}"

    def _key(self, name: str) -> str:
        """The name as that of a module, which must hold no dot."""
        return self._unique("/" + name.replace(".", "/").replace(":", "/")).lstrip("/").replace("/", "__")


def weighted_of(graph: fx.GraphModule, node: fx.Node) -> Weighted | None:
    if node.op != "call_module":
        return None
    found = graph.get_submodule(str(node.target))
    return found if isinstance(found, Weighted) else None


def _join_products(graph: fx.GraphModule, network: nn.Module, settings: Settings) -> None:
    """Each product with its weights, the normalization behind it and the rectifier behind that becomes one module."""
    trained = {name for name, module in copy.deepcopy(network).train().named_modules() if module.training}
    for node in list(graph.graph.nodes):
        if node.op != "call_function" or node.target not in WEIGHTED or not _owns_weights(graph, node):
            continue
        last, user = node, only_user(node)
        batch_norm, frozen = None, False
        if user is not None and _joins(node, user):
            batch_norm = _batch_norm(graph, user)
            frozen = str(user.args[3].target).rpartition(".")[0] not in trained  # type: ignore[union-attr]
            last, user = user, only_user(user)
        activation = rectifier(user) if user is not None else None
        if user is not None and activation:
            last = user
        weight, bias, *arguments = (*node.args[1:], None)[: max(2, len(node.args) - 1)]
        assert isinstance(weight, fx.Node)
        module = Weighted(
            Product(WEIGHTED[node.target], tuple(arguments), activation),
            graph.get_parameter(str(weight.target)),
            graph.get_parameter(str(bias.target)) if isinstance(bias, fx.Node) else None,
            bits=settings.weight_bits,
            batch_norm=batch_norm,
            frozen=frozen,
        )
        if not settings.keep_batch_norm:
            module.fold()
        place = _place(graph, str(weight.target), node)
        graph.add_submodule(place, module)
        with graph.graph.inserting_before(node):
            joined = graph.graph.call_module(place, (node.args[0],))
        joined.meta = {key: node.meta[key] for key in ("val", "nn_module_stack") if key in node.meta}
        last.replace_all_uses_with(joined)
        graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()


def _owns_weights(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Whether weights and bias are parameters, and not computed."""
    named = dict(graph.named_parameters(remove_duplicate=False))
    return all(
        source is None or (isinstance(source, fx.Node) and source.op == "get_attr" and str(source.target) in named)
        for source in node.args[1:3]
    )


def _joins(product: fx.Node, user: fx.Node) -> bool:
    if user.op != "call_function" or user.target is not A.batch_norm.default or user.args[5]:
        return False
    groups = product.args[6] if WEIGHTED[product.target] == "conv_transpose2d" and len(product.args) > 6 else 1
    known = all(isinstance(source, fx.Node) and source.op == "get_attr" for source in user.args[3:5])
    return bool(known and groups == 1 and WEIGHTED[product.target] != "linear")


def _batch_norm(graph: fx.GraphModule, node: fx.Node) -> nn.BatchNorm2d:
    gamma, beta, mean, variance = (_tensor(graph, source) for source in node.args[1:5])
    assert mean is not None and variance is not None
    momentum, epsilon = node.args[6:8]
    found = nn.BatchNorm2d(len(mean), eps=float(epsilon), momentum=float(momentum), device=mean.device)  # type: ignore[arg-type]
    found.running_mean, found.running_var = mean, variance
    for name, value in (("weight", gamma), ("bias", beta)):
        if isinstance(value, nn.Parameter):
            setattr(found, name, value)
        else:
            getattr(found, name).requires_grad_(False)
    return found


def _tensor(graph: fx.GraphModule, source: Any) -> Tensor | None:
    if source is None:
        return None
    value: Any = graph
    for part in str(source.target).split("."):
        value = getattr(value, part)
    assert isinstance(value, torch.Tensor)
    return value


def _place(graph: fx.GraphModule, weight: str, node: fx.Node) -> str:
    """Where the module goes: in place of that which held the weights, if nothing else lies there."""
    path, _, name = weight.rpartition(".")
    if path and name == "weight":
        held = graph.get_submodule(path)
        plain = {key for key, _ in held.named_parameters()} <= {"weight", "bias"}
        if plain and not list(held.children()) and not list(held.buffers()) and not isinstance(held, Weighted):
            return path
    return f"products.{node.name}"
