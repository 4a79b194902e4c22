"""What a module uses of TensorRT, held against the API of every version in which that line runs.

Types are followed from `trt` through calls and assignments; where Python says nothing, the project's own
names for TensorRT's objects do (`NAMES`). A parameter that is `Any` and has none of these names is refused:
nobody could say what it is.
"""

import ast
import json
from dataclasses import dataclass, field
from pathlib import Path

TABLE = json.loads((Path(__file__).parents[2] / "trt_double" / "api.json").read_text())["versions"]
LINES = frozenset(TABLE)
MODULE, OURS, VALUE, STRANGE = "tensorrt", "ours", "value", "strange"
NAMES = {
    "trt": MODULE,
    "builder": "Builder",
    "config": "IBuilderConfig",
    "context": "IExecutionContext",
    "engine": "ICudaEngine",
    "error": "ParserError",
    "layer": "ILayer",
    "logger": "ILogger",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "runtime": "Runtime",
    "timing": "ITimingCache",
}
GIVES = {
    "create_network": "INetworkDefinition",
    "create_builder_config": "IBuilderConfig",
    "create_optimization_profile": "IOptimizationProfile",
    "build_serialized_network": "IHostMemory",
    "create_timing_cache": "ITimingCache",
    "deserialize_cuda_engine": "ICudaEngine",
    "create_execution_context": "IExecutionContext",
    "create_engine_inspector": "EngineInspector",
    "get_error": "ParserError",
    "get_layer": "ILayer",
    "get_input": "ITensor",
    "get_output": "ITensor",
    "load": MODULE,
}
_ENUM = {"name", "value", "__members__"}  # what every enum of pybind11 has


def members(version, kind):
    """Give the members of a class or enum in a version, and how each can be used; None if it has no such."""
    table = TABLE[version]
    if kind == MODULE:
        return dict.fromkeys([*table["classes"], *table["enums"], *table["values"], "__version__"], "r")
    if kind in table["enums"]:
        return dict.fromkeys([*table["enums"][kind], *_ENUM], "r")
    own = table["classes"].get(kind)
    return {**table["classes"]["ILogger"], **own} if kind == "Logger" else own  # the one that derives


# Nothing else has names like these: `execute_async_v3`, `MemoryPoolType`; but `dtype` and `name`.
TELLING = {
    name
    for line in LINES
    for kind in (MODULE, *TABLE[line]["classes"], *TABLE[line]["enums"])
    for name in members(line, kind)
    if not name.islower() or "_" in name.strip("_")
}


@dataclass
class Contract:
    """Reads modules.

    Attributes:
        features: Of each version, as `targets.trt.library.features` gives them.
        used: Kind and member of each use that was seen.
        unseen: Uses of names that TensorRT has, by what was taken for something else.
        problems: `file:line: what`.
    """

    features: dict
    used: set = field(default_factory=set)
    unseen: set = field(default_factory=set)
    problems: list = field(default_factory=list)
    _file: str = ""

    def read(self, text, file):
        """Read the source text of a module."""
        self._file = file
        self._block(ast.parse(text).body, {}, LINES)

    def _block(self, statements, env, live):
        for statement in statements:
            live = self._statement(statement, env, live)

    def _statement(self, node, env, live):
        """Read a statement; gives the versions that get past it."""
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            self._scope(node, dict(env), live)
        elif isinstance(node, ast.If):
            return self._branch(node, env, live)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            self._assignment(node, env, live)
        elif isinstance(node, ast.Import):
            env.update({one.asname or one.name: MODULE for one in node.names if one.name == MODULE})
        else:
            for _, value in ast.iter_fields(node):
                self._part(value, env, live, node)
        return live

    def _part(self, value, env, live, node):
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, (ast.ExceptHandler, ast.withitem)):
                self._statement(one, env, live)
                name = getattr(one, "name", None) or getattr(one, "optional_vars", None)
                env[name.id if isinstance(name, ast.Name) else name] = OURS
            elif isinstance(one, ast.stmt):
                live = self._statement(one, env, live)
            elif isinstance(one, ast.expr):
                self._expression(one, env, live)
        if isinstance(node, ast.For) and value is node.iter:
            self._bind(node.target, self._item(node.iter, env), env)

    def _scope(self, node, env, live):
        for decorator in node.decorator_list:
            self._expression(decorator, env, live)
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                self._expression(base, env, live)
        else:
            for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
                is_any = isinstance(argument.annotation, ast.Name) and argument.annotation.id == "Any"
                env[argument.arg] = NAMES.get(argument.arg, STRANGE) if is_any else OURS
        self._block(node.body, env, live)

    def _branch(self, node, env, live):
        self._expression(node.test, env, live)
        yes, no = self._holds(node.test, env)
        self._block(node.body, env, live & yes)
        self._block(node.orelse, env, live & no)
        leaves = isinstance(node.body[-1], (ast.Return, ast.Raise, ast.Continue))
        return live & no if leaves and not node.orelse else live

    def _assignment(self, node, env, live):
        if node.value is not None:
            self._expression(node.value, env, live)
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Attribute):
                self._expression(target.value, env, live)
                self._use(self._type(target.value, env), target, live, how="write")
            elif node.value is not None:
                kind = self._type(node.value, env)
                if isinstance(target, ast.Name) and kind == OURS and isinstance(node.value, ast.Call):
                    kind = NAMES.get(target.id, OURS)
                self._bind(target, kind, env, node.value)

    def _bind(self, target, kind, env, value=None):
        if isinstance(target, ast.Tuple):
            for place, one in enumerate(target.elts):
                inner = value.elts[place] if isinstance(value, ast.Tuple) else None
                self._bind(one, self._type(inner, env) if inner else OURS, env)
        elif isinstance(target, ast.Name):
            env[target.id] = kind

    def _expression(self, node, env, live):
        if isinstance(node, ast.Attribute):
            self._expression(node.value, env, live)
            self._use(self._type(node.value, env), node, live)
        elif isinstance(node, (ast.IfExp, ast.BoolOp)):
            self._condition(node, env, live)
        elif isinstance(node, (ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp)):
            self._comprehension(node, dict(env), live)
        else:
            if isinstance(node, ast.Call):
                self._call(node, env, live)
            for part in ast.iter_child_nodes(node):
                self._expression(part.value if isinstance(part, ast.keyword) else part, env, live)

    def _condition(self, node, env, live):
        """Read what is only looked at in versions in which what comes before it holds."""
        if isinstance(node, ast.BoolOp):
            for part in node.values:
                self._expression(part, env, live)
                live = live & self._holds(part, env)[isinstance(node.op, ast.Or)]
            return
        yes, no = self._holds(node.test, env)
        for part, versions in ((node.test, live), (node.body, live & yes), (node.orelse, live & no)):
            self._expression(part, env, versions)

    def _comprehension(self, node, env, live):
        for loop in node.generators:
            self._expression(loop.iter, env, live)
            self._bind(loop.target, self._item(loop.iter, env), env)
            for test in loop.ifs:
                self._expression(test, env, live)
        parts = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
        for part in parts:
            self._expression(part, env, live)

    def _type(self, node, env):
        """Give the class or enum of TensorRT that an expression has, or that it is not TensorRT's."""
        if isinstance(node, ast.Name):
            return env.get(node.id, OURS)
        if isinstance(node, ast.Attribute):
            return self._type_of_member(self._type(node.value, env), node.attr)
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                found = self._probe(node, env) or GIVES.get(node.func.id)
                return found or (self._type(node.func, env) if node.func.id in env else OURS)
            kind = self._type(node.func.value, env)
            return self._type(node.func, env) if kind == MODULE else GIVES.get(node.func.attr, OURS)
        return OURS

    @staticmethod
    def _type_of_member(kind, name):
        if kind == MODULE:
            return name if any(members(line, name) is not None for line in LINES) else VALUE
        if kind == OURS:
            return NAMES.get(name.lstrip("_"), OURS)
        return VALUE

    def _probe(self, node, env):
        """Give `?Kind.NAME` for getattr(Kind, "NAME", None) and hasattr(Kind, "NAME")."""
        if (node.func.id, len(node.args)) not in {("getattr", 3), ("hasattr", 2)}:
            return None
        return f"?{self._type(node.args[0], env)}.{node.args[1].value}"

    def _item(self, node, env):
        """Give the type of what one gets from iterating."""
        if not isinstance(node, (ast.GeneratorExp, ast.ListComp)):
            return OURS
        inner = dict(env)
        for loop in node.generators:
            self._bind(loop.target, self._item(loop.iter, env), inner)
        return self._type(node.elt, inner)

    def _holds(self, test, env):
        """Give the versions in which a condition can be true, and those in which it can be false."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return self._holds(test.operand, env)[::-1]
        if isinstance(test, ast.BoolOp):
            both = [self._holds(part, env) for part in test.values]
            every = frozenset.intersection(*[one[isinstance(test.op, ast.Or)] for one in both])
            some = frozenset.union(*[one[isinstance(test.op, ast.And)] for one in both])
            return (every, some) if isinstance(test.op, ast.And) else (some, every)
        is_none = isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Is)
        kind, _, name = self._type(test.left if is_none else test, env).partition(".")
        if kind.startswith("?"):
            having = self._having(kind[1:], name)
            return having[::-1] if is_none else having
        if isinstance(test, ast.Attribute) and ast.unparse(test.value).split(".")[-1] in {"has", "features"}:
            true = frozenset(line for line in LINES if getattr(self.features[line], test.attr))
            return true, LINES - true
        return LINES, LINES

    @staticmethod
    def _having(kind, name):
        has = frozenset(line for line in LINES if name in (members(line, kind) or ()))
        return has, LINES - has

    def _use(self, kind, node, live, *, how="read"):
        if kind in {OURS, VALUE} or kind.startswith("?"):
            if node.attr in TELLING:
                self.unseen.add(f"{self._file}:{node.lineno}: {ast.unparse(node)}")
            return
        if kind == STRANGE:
            self._complain(node, f"nobody says what this is of which .{node.attr} is used")
            return
        self.used.add((kind, node.attr))
        for line in sorted(live):
            found = (members(line, kind) or {}).get(node.attr)
            if found is None:
                self._complain(node, f"TensorRT {line} has no {kind}.{node.attr}")
            elif how == "write" and found != "rw":
                self._complain(node, f"{kind}.{node.attr} cannot be set in TensorRT {line}")

    def _call(self, node, env, live):
        if not isinstance(node.func, ast.Attribute):
            return
        kind, name = self._type(node.func.value, env), node.func.attr
        if kind == MODULE:
            kind, name = name, "__init__"
        for line in sorted(live):
            overloads = (members(line, kind) or {}).get(name)
            # An abstract class's constructor, and what has no signature in its docstring, takes anything.
            if isinstance(overloads, list) and overloads:
                unbound = isinstance(node.func.value, ast.Attribute) and node.func.value.attr == kind
                if not any(_fits(one[0 if unbound else 1 :], node) for one in overloads):
                    self._complain(node, f"TensorRT {line}: {kind}.{name} takes {overloads}")

    def _complain(self, node, what):
        self.problems.append(f"{self._file}:{node.lineno}: {what}")


def _fits(names, call):
    required = [name for name in names if not name.endswith("=")]
    names = [name.rstrip("=") for name in names]
    given = [*names[: len(call.args)], *[one.arg for one in call.keywords]]
    return len(call.args) <= len(names) and set(given) <= set(names) and set(required) <= set(given)
