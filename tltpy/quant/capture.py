"""A network as a graph of operators without side effects, for any batch size and, where it can be, any image size."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from tltpy.errors import UsageError
from tltpy.quant.operators import DROPOUT, IN_PLACE, A
from tltpy.quant.weighted import Weighted

EVERYTHING = 2**62  # where a slice that ends nowhere ends


Captured = tuple[fx.GraphModule, tuple[str, ...], tuple[str, ...]]


def capture(network: nn.Module, inputs: Mapping[str, Tensor]) -> Captured:
    """The graph of a copy of the network in evaluation mode, names of its inputs and of its outputs, in its order.

    UsageError where the network cannot be captured: its control flow depends on values, or it is not a function of a
    dict of tensors that returns one.
    """
    # a copy, since exporting must not touch the network; of two examples, since 1 would be taken for a constant
    example = {name: value if len(value) > 1 else torch.cat([value, value]) for name, value in inputs.items()}
    copied = copy.deepcopy(network).eval()
    program = _exported(copied, example)
    spec = program.call_spec.out_spec
    if spec is None or spec.type is not dict or any(not child.is_leaf() for child in spec.children()):
        raise UsageError("a network to be quantized must return a dict of tensors")
    module = program.module(check_guards=False)
    graph = module.graph
    graph.set_codegen(fx.graph.CodeGen())  # plain arguments and a tuple in place of dicts
    plain = fx.GraphModule(module, graph)  # one whose train() and eval() work
    _tidy(graph)
    graph.lint()
    plain.recompile()
    return plain.eval(), tuple(example), tuple(spec.context)


def check(graph: fx.GraphModule, network: nn.Module, inputs: Mapping[str, Tensor], outputs: tuple[str, ...]) -> None:
    """UsageError unless the graph computes what the network does."""
    with torch.no_grad():
        expected = copy.deepcopy(network).eval()({name: value.clone() for name, value in inputs.items()})
        found = graph(*inputs.values())
    for name, value in zip(outputs, found, strict=True):
        want = expected[name]
        if not torch.allclose(value, want, rtol=1e-3, atol=1e-4 * max(1.0, float(want.abs().max())), equal_nan=True):
            raise UsageError(f"the output {name} of the captured network is not that of the network")


def path_of(node: fx.Node) -> str:
    """Of the module that an operator came from; empty for the network itself."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return stack[-1][0].removeprefix("L['self'].").removeprefix("L['self']") if stack else ""


def macs(graph: fx.GraphModule, inputs: Mapping[str, Tensor]) -> dict[fx.Node, int]:
    """Multiplications and additions of every product, of one example."""
    counter = _Counter(graph)
    with torch.no_grad():
        counter.run(*inputs.values())
    return counter.found


class _Counter(fx.Interpreter):
    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.found: dict[fx.Node, int] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        args = self.fetch_args_kwargs_from_env(n)[0]
        if n.op == "call_module":
            module = self.fetch_attr(str(n.target))
            if isinstance(module, Weighted):
                # every value of the output (of a transposed convolution: of the input) meets this many weights
                counted = value if module.product.axis == 0 else args[0]
                self.found[n] = counted[0].numel() * module.weight[0].numel()
        elif n.op == "call_function" and n.target in (A.matmul.default, A.bmm.default):
            self.found[n] = value[0].numel() * args[0].shape[-1]
        return value


def _exported(network: nn.Module, example: dict[str, Tensor]) -> torch.export.ExportedProgram:
    auto = torch.export.Dim.AUTO
    batch_only = {name: {0: auto} for name in example}
    images = {name for name, value in example.items() if value.dim() == 4}
    sizes_too = {name: {0: auto, 2: auto, 3: auto} if name in images else {0: auto} for name in example}
    for shapes in (sizes_too, batch_only):
        try:
            return torch.export.export(network, (example,), dynamic_shapes=(shapes,))
        except Exception as error:  # the exporter has no error class of its own
            problem = error
    raise UsageError(
        "the network cannot be captured as a graph",
        f"torch.export says: {(str(problem).strip().splitlines() or [type(problem).__name__])[0]}",
    ) from problem


def _tidy(graph: fx.Graph) -> None:
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        if node.target in IN_PLACE:
            _out_of_place(node)
        if node.target in DROPOUT or _whole_slice(node):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
        elif "_assert" in str(node.target) and not node.users:
            graph.erase_node(node)
    graph.eliminate_dead_code()


def _out_of_place(node: fx.Node) -> None:
    """What comes later reads the changed tensor, under whichever name."""
    changed = node.args[0]
    assert isinstance(changed, fx.Node)
    later, after = set(), False
    for other in node.graph.nodes:
        after = after or other is node
        if after and other is not node:
            later.add(other)
    changed.replace_all_uses_with(node, delete_user_cb=lambda user: user in later)
    node.target = IN_PLACE[node.target]


def _whole_slice(node: fx.Node) -> bool:
    if node.target is not A.slice.Tensor:
        return False
    arguments: list[Any] = [*node.args, *(None, 0, None, None, 1)[len(node.args) :]]
    start, end, step = arguments[2:]
    return start in (0, None) and step == 1 and (end is None or (isinstance(end, int) and end >= EVERYTHING))
