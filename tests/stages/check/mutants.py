"""Mutants of valid ONNX models: of their bytes, and of what the bytes mean."""

from collections.abc import Callable, Iterator, Sequence
from random import Random

from google.protobuf.message import DecodeError, EncodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, defs

_STANDARD = sorted({schema.name for schema in defs.get_all_schemas()})
_OPS = [*_STANDARD, "EfficientNMS_TRT", "YoloLayer", "", "x" * 300, "[/red]\x1b[2J"]
_DOMAINS = ["", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "com.microsoft", "local", "local", "\u202e"]
_WHOLE = [0, 1, -1, 2, 3, 4, 255, 2**31 - 1, 2**31, -(2**31), 2**40, 2**63 - 1, -(2**63)]
_REAL = [0.0, -0.0, 1e-45, 3.4e38, float("inf"), float("-inf"), float("nan")]
_TEXTS = [
    b"",
    b"linear",
    b"\xff\xfe",
    b"half_pixel",
    b"ij,jk->ik",
    b"...ii,->",
    b"i" * 400,
    b"->" * 50,
    b"\0",
]
_SIDES = [0, 1, -1, 2, 7, 2**31, 2**62, -(2**62)]
_TYPES = [*range(26), 99, -1]
_NAMES = ["", "x", "y", "weights", "a/b", "\u00e9\U0001f600", "'\"[bold]", "/model.22/Conv", "n" * 5000]
_PLACES = ["../secret.bin", "/etc/hostname", "secret.bin", "", ".", "a\0b", "x" * 300, "link", "~/.profile"]


def mutants_of(seeds: Sequence[bytes], count: int, *, seed: int) -> Iterator[bytes]:
    """Give so many mutants, one in four of the bytes, the others of the model; the same for one `seed`."""
    random = Random(seed)
    for _ in range(count):
        parent = random.choice(seeds)
        changed = None if random.random() < 0.25 else _change(parent, seeds, random)
        yield _change_bytes(parent, seeds, random) if changed is None else changed


def _change_bytes(parent: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    content = bytearray(parent)
    for _ in range(random.randint(1, 8)):
        start = random.randrange(len(content))
        end = min(len(content), start + random.randint(1, 40))
        other = random.choice(seeds)
        match random.randrange(6):
            case 0:
                del content[start:end]
            case 1:
                content[start:start] = content[start:end]
            case 2:
                content[start:end] = random.randbytes(end - start)
            case 3:
                offset = random.randrange(len(other))
                content[start:end] = other[offset : offset + end - start]
            case 4 if random.random() < 0.1:
                del content[start + 1 :]
            case _:
                content[start] ^= 1 << random.randrange(8)
        if not content:
            break
    return bytes(content)


def _change(parent: bytes, seeds: Sequence[bytes], random: Random) -> bytes | None:
    """Change a few things of a model; None where the result cannot be written."""
    model = ModelProto.FromString(parent)
    try:
        for _ in range(random.randint(1, 4)):
            _change_once(model, seeds, random)
        content = model.SerializeToString()
        ModelProto.FromString(content)
    except (DecodeError, EncodeError):  # nested too deep
        return None
    return content


def _change_once(model: ModelProto, seeds: Sequence[bytes], random: Random) -> None:
    graphs = [*_graphs(model.graph)]
    nodes = [node for graph in graphs for node in graph.node]
    kind = random.random()
    if kind < 0.6 and nodes:
        random.choice(_ON_NODES)(random.choice(nodes), random)
    elif kind < 0.8:
        random.choice(_ON_GRAPHS)(random.choice(graphs), random)
    else:
        random.choice(_ON_MODELS)(model, ModelProto.FromString(random.choice(seeds)), random)


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(body)


# ------------------------------------------------------------------------------------------------- nodes
def _other_operator(node: NodeProto, random: Random) -> None:
    node.op_type = random.choice(_OPS)


def _other_domain(node: NodeProto, random: Random) -> None:
    node.domain = random.choice(_DOMAINS)


def _other_name(node: NodeProto, random: Random) -> None:
    node.name = random.choice(_NAMES)


def _other_input(node: NodeProto, random: Random) -> None:
    names = [*node.input, *node.output, *_NAMES]
    match random.randrange(4):
        case 0 if node.input:
            del node.input[random.randrange(len(node.input))]
        case 1 if node.input:
            node.input[random.randrange(len(node.input))] = random.choice(names)
        case 2:
            node.input.extend(random.choice(names) for _ in range(random.choice([1, 2, 40])))
        case _:
            del node.input[:]


def _other_output(node: NodeProto, random: Random) -> None:
    match random.randrange(3):
        case 0 if node.output:
            node.output[random.randrange(len(node.output))] = random.choice([*node.input, *_NAMES])
        case 1:
            node.output.append(random.choice([*node.input, *_NAMES, "more"]))
        case _:
            del node.output[:]


def _other_attribute(node: NodeProto, random: Random) -> None:
    if not node.attribute or random.random() < 0.2:
        names = [name for schema in defs.get_all_schemas()[:40] for name in schema.attributes]
        node.attribute.add(name=random.choice([*names, "value", "axis", "body", "to", ""]), type=2, i=1)
    one = random.choice(node.attribute)
    random.choice(_ON_ATTRIBUTES)(one, random)


def _twice(node: NodeProto, random: Random) -> None:
    if node.attribute:
        node.attribute.append(random.choice(node.attribute))


def _no_attribute(node: NodeProto, random: Random) -> None:
    if node.attribute:
        del node.attribute[random.randrange(len(node.attribute))]


def _notes(node: NodeProto, random: Random) -> None:
    for key in ("pkg.torch.onnx.stack_trace", "pkg.torch.onnx.name_scopes"):
        value = random.choice(["", 'File "', "['a', 'b'", 'File "x.py", line 3', "'" * 999])
        node.metadata_props.add(key=key, value=value)


# -------------------------------------------------------------------------------------------- attributes
def _values(one: AttributeProto, random: Random) -> None:
    match random.randrange(6):
        case 0:
            one.i = random.choice(_WHOLE)
        case 1:
            one.f = random.choice(_REAL)
        case 2:
            one.s = random.choice(_TEXTS)
        case 3:
            one.ints.extend(random.choice(_WHOLE) for _ in range(random.randint(1, 9)))
        case 4:
            one.floats.extend(random.choice(_REAL) for _ in range(random.randint(1, 9)))
        case _:
            one.strings.extend(random.choice(_TEXTS) for _ in range(random.randint(1, 3)))


def _replaced_values(one: AttributeProto, random: Random) -> None:
    name, kind = one.name, one.type
    one.Clear()
    one.name, one.type = name, kind
    _values(one, random)


def _text(one: AttributeProto, random: Random) -> None:
    letters = bytearray(one.s or random.choice(_TEXTS))
    for _ in range(random.randint(1, 3)):
        place = random.randint(0, len(letters))
        letters[place : place + random.randint(0, 2)] = random.choice(
            [b",", b"->", b"...", b"i", b" ", b"\xc3"]
        )
    one.s = bytes(letters)


def _kind(one: AttributeProto, random: Random) -> None:
    one.type = random.randrange(15)


def _reference(one: AttributeProto, random: Random) -> None:
    one.ref_attr_name = random.choice(_NAMES)


def _tensor_value(one: AttributeProto, random: Random) -> None:
    _damage(one.t, random)
    if random.random() < 0.2:
        one.tensors.add().CopyFrom(one.t)


def _body(one: AttributeProto, random: Random) -> None:
    inner = AttributeProto()
    inner.CopyFrom(one)
    for _ in range(random.choice([1, 3, 30])):
        outer = AttributeProto(
            name=random.choice(["body", "then_branch", "else_branch"]), type=AttributeProto.GRAPH
        )
        kind = random.choice(["If", "Loop", "Scan", "Relu"])
        outer.g.node.add(op_type=kind, input=["x"], output=["y"]).attribute.add().CopyFrom(inner)
        outer.g.output.add(name="y")
        inner = outer
    one.CopyFrom(inner)


# ------------------------------------------------------------------------------------------------ graphs
def _damage(tensor: TensorProto, random: Random) -> None:
    match random.randrange(7):
        case 0:
            tensor.data_type = random.choice(_TYPES)
        case 1:
            tensor.dims.append(random.choice(_SIDES))
        case 2:
            del tensor.dims[:]
            tensor.dims.extend(random.choice(_SIDES) for _ in range(random.randint(0, 5)))
        case 3:
            tensor.raw_data = random.randbytes(random.choice([0, 1, 4, 8, 12]))
        case 4:
            tensor.int32_data.extend([1, -1])
        case 5:
            tensor.data_location = TensorProto.EXTERNAL
            for key in random.sample(["location", "offset", "length", "basepath"], random.randint(1, 4)):
                tensor.external_data.add(key=key, value=random.choice([*_PLACES, "0", "-1", "9" * 30]))
        case _:
            tensor.name = random.choice(_NAMES)


def _initializer(graph: GraphProto, random: Random) -> None:
    if not graph.initializer:
        graph.initializer.add(name="x", data_type=1, dims=[1], raw_data=bytes(4))
    one = random.choice(graph.initializer)
    _damage(one, random)
    if random.random() < 0.2:
        graph.initializer.append(one)


def _no_initializer(graph: GraphProto, random: Random) -> None:
    if graph.initializer:
        graph.initializer.pop(random.randrange(len(graph.initializer)))


def _sparse(graph: GraphProto, random: Random) -> None:
    sparse = graph.sparse_initializer.add(dims=[random.choice(_SIDES)])
    _damage(sparse.values, random)
    _damage(sparse.indices, random)


def _value(graph: GraphProto, random: Random) -> None:
    values = [*graph.input, *graph.output, *graph.value_info]
    one = random.choice(values) if values else graph.input.add(name="x")
    kind: TypeProto = one.type
    match random.randrange(7):
        case 0:
            kind.tensor_type.elem_type = random.choice(_TYPES)
        case 1:
            kind.tensor_type.shape.dim.add(dim_value=random.choice(_SIDES))
        case 2 if kind.tensor_type.shape.dim:
            side = random.choice(kind.tensor_type.shape.dim)
            random.choice([side.Clear, lambda: setattr(side, "dim_value", random.choice(_SIDES))])()
        case 3:
            kind.tensor_type.ClearField("shape")
        case 4:
            kind.sequence_type.elem_type.optional_type.elem_type.tensor_type.elem_type = 1
        case 5:
            one.ClearField("type")
        case _:
            one.name = random.choice(_NAMES)


def _order(graph: GraphProto, random: Random) -> None:
    nodes = [*graph.node]
    random.shuffle(nodes)
    del graph.node[:]
    graph.node.extend(nodes[: random.randint(0, len(nodes))] if random.random() < 0.3 else nodes)


def _circle(graph: GraphProto, random: Random) -> None:
    nodes = [node for node in graph.node if node.input and node.output]
    if len(nodes) > 1:
        early, late = sorted(random.sample(range(len(nodes)), 2))
        nodes[early].input[0] = nodes[late].output[0]


# ------------------------------------------------------------------------------------------------ models
def _opset(model: ModelProto, other: ModelProto, random: Random) -> None:
    del other
    if random.random() < 0.2:
        del model.opset_import[:]
    for _ in range(random.randint(0, 2)):
        versions = [0, -1, 1, 6, 11, 18, 22, 24, 99, 2**31, 2**63 - 1]
        model.opset_import.add(domain=random.choice(_DOMAINS), version=random.choice(versions))


def _ir(model: ModelProto, other: ModelProto, random: Random) -> None:
    del other
    model.ir_version = random.choice([0, -1, 1, 3, 4, 12, 99, 2**62])


def _function(model: ModelProto, other: ModelProto, random: Random) -> None:
    names = [node.op_type for node in model.graph.node] or ["f"]
    one = model.functions.add(domain=random.choice(_DOMAINS), name=random.choice(names))
    one.node.extend(random.choice([model, other]).graph.node)
    one.input.extend([*one.node[0].input] if one.node else ["x"])
    one.output.append(random.choice(["y", *(one.node[0].output if one.node else [])]))
    one.opset_import.add(domain="", version=random.choice([0, 17, 99]))


def _training(model: ModelProto, other: ModelProto, random: Random) -> None:
    one = model.training_info.add()
    random.choice([one.algorithm, one.initialization]).CopyFrom(other.graph)


def _graft(model: ModelProto, other: ModelProto, random: Random) -> None:
    """Put nodes of another model among those of this one, wired to whatever is there."""
    values = [name for node in model.graph.node for name in node.output] or ["x"]
    for node in random.sample([*other.graph.node], min(3, len(other.graph.node))):
        new = model.graph.node.add()
        new.CopyFrom(node)
        for place in range(len(new.input)):
            new.input[place] = random.choice([*values, new.input[place]])
    model.graph.initializer.extend(other.graph.initializer[:3])


_ON_NODES: list[Callable[[NodeProto, Random], None]] = [
    _other_operator,
    _other_domain,
    _other_name,
    _other_input,
    _other_output,
    _other_attribute,
    _other_attribute,
    _twice,
    _no_attribute,
    _notes,
]
_ON_ATTRIBUTES = [_values, _replaced_values, _text, _text, _kind, _reference, _tensor_value, _body]
_ON_GRAPHS = [_initializer, _initializer, _no_initializer, _sparse, _value, _value, _order, _circle]
_ON_MODELS = [_opset, _ir, _function, _training, _graft]
