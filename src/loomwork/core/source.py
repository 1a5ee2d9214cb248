"""Source files read without importing them: the definitions of a module, each with a digest and the names it uses.

A digest is of the syntax tree: comments, layout, docstrings, `if TYPE_CHECKING:` blocks and the `@step(...)` decorator
are left out. Annotations stay in, because data classes, settings and dispatch read them.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import warnings
from collections.abc import Callable, Sequence, Set
from pathlib import Path

from loomwork.core.errors import InputError

Chain = tuple[str, ...]  # ("np", "linalg", "norm")
Use = tuple[str, Chain]  # a module, and a chain of attributes in it; () is the whole module
Imports = dict[str, list[Use]]  # what a name may stand for; several where branches differ

IMPORTER: Use = ("importlib", ("import_module",))
# Code that reads these can reach any name of its module.
DYNAMIC = {("globals",), ("eval",), ("exec",), ("sys", "modules")}


class Scope:
    """The names of one function, class, comprehension or module while it is scanned."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.bound: set[str] = set()
        self.globals: set[str] = set()
        self.imports: Imports = {}
        self.uses: set[Chain] = set()
        self.mutated: set[str] = set()  # roots of what is stored into, or has a method called
        self.passed: set[str] = set()  # roots of what is given to a call


class Scan:
    """One pass over statements: their digest, and the names of the module that they use.

    Args:
        module: the dotted name of the module, for relative imports.
        is_package: whether that is a package's `__init__`.
        is_step: tells the `@step(...)` decorator from others.
        importers: what the module calls importlib.import_module.
    """

    def __init__(
        self,
        module: str,
        is_package: bool,
        is_step: Callable[[ast.expr], bool] = lambda node: False,
        importers: Set[str] = frozenset(),
    ) -> None:
        self.module, self.is_package, self.is_step, self.importers = module, is_package, is_step, importers
        self.names = Scope("module")
        self.absolute: set[Use] = set()
        self._out: list[str] = []
        self._scopes = [self.names]

    def run(self, nodes: Sequence[ast.AST]) -> Scan:
        try:
            self._body(nodes)
        except RecursionError:
            line = getattr(nodes[0], "lineno", 1)
            raise InputError(f"{self.module}:{line}: an expression here is nested too deeply to be read") from None
        return self

    @property
    def digest(self) -> str:
        return hashlib.sha256("\0".join(self._out).encode("utf-8", "surrogatepass")).hexdigest()

    # -- the walk

    def _visit(self, node: ast.AST) -> None:
        handler = HANDLERS.get(node.__class__)
        if handler:
            handler(self, node)
        else:
            self._any(node)

    def _any(self, node: ast.AST) -> None:
        out = self._out
        out.append(node.__class__.__name__)
        for field in node._fields:
            value = getattr(node, field, None)
            if not value or field == "ctx":  # absent, empty and 0 mean the same in every field
                continue
            out.append(field)
            if isinstance(value, ast.AST):
                self._visit(value)
            elif isinstance(value, list):
                for item in value:
                    if isinstance(item, ast.AST):
                        self._visit(item)
                    else:
                        out.append(repr(item))
                out.append("]")
            else:
                out.append(repr(value))
        out.append(")")

    def _body(self, statements: Sequence[ast.AST]) -> None:
        for statement in statements:
            self._visit(statement)
        self._out.append("]")

    def _push(self, kind: str) -> None:
        self._scopes.append(Scope(kind))

    def _pop(self) -> None:
        """Leave a scope: what it does not bind itself belongs to the scope around it."""
        scope = self._scopes.pop()
        around = self._scopes[-1]
        for chain in scope.uses:
            root = chain[0]
            for module, attributes in scope.imports.get(root, ()):
                self.absolute.add((module, attributes + chain[1:]))
            if root in scope.globals:
                self.names.uses.add(chain)
            elif scope.kind == "class" or (root not in scope.bound and root not in scope.imports):
                around.uses.add(chain)
        used = {chain[0] for chain in scope.uses}
        for name, targets in scope.imports.items():
            if name not in used:  # imported for what the import does
                self.absolute.update(targets)
        for mine, theirs, top in (
            (scope.mutated, around.mutated, self.names.mutated),
            (scope.passed, around.passed, self.names.passed),
        ):
            theirs |= mine - scope.bound - scope.imports.keys()
            top |= mine & scope.globals

    def _bind(self, name: str, scope: Scope | None = None) -> None:
        scope = scope or self._scopes[-1]
        scope.bound.add(name)
        if name in scope.globals:
            scope.uses.add((name,))
            scope.mutated.add(name)

    # -- names

    def _name(self, node: ast.Name) -> None:
        self._out.append("$" + node.id)
        if isinstance(node.ctx, ast.Load):
            self._scopes[-1].uses.add((node.id,))
        else:
            self._bind(node.id)

    def _attribute(self, node: ast.Attribute) -> None:
        chain = chain_of(node)
        if chain is None:
            self._out.append(f".{node.attr}")
            self._visit(node.value)
            return
        self._out.append("$" + ".".join(chain))
        self._scopes[-1].uses.add(chain)
        if not isinstance(node.ctx, ast.Load):
            self._scopes[-1].mutated.add(chain[0])

    def _subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._touch(node.value, self._scopes[-1].mutated)
        self._any(node)

    def _augmented(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._scopes[-1].uses.add((node.target.id,))
            self._scopes[-1].mutated.add(node.target.id)
        self._any(node)

    def _call(self, node: ast.Call) -> None:
        scope = self._scopes[-1]
        if isinstance(node.func, ast.Attribute):
            self._touch(node.func.value, scope.mutated)
        for given in [*node.args, *(k.value for k in node.keywords)]:
            self._touch(given.value if isinstance(given, ast.Starred) else given, scope.passed)
        if self._imports(node.func):
            for name in [*node.args[:1], *(k.value for k in node.keywords if k.arg == "name")]:
                if isinstance(name, ast.Constant) and isinstance(name.value, str):
                    self.absolute.add((name.value, ()))
        self._any(node)

    def _imports(self, function: ast.expr) -> bool:
        """Whether it is import_module, under whatever name it was imported."""
        called = chain_of(function)
        if not called:
            return False
        inside = {n for scope in self._scopes for n, targets in scope.imports.items() if IMPORTER in targets}
        return called[-1] in ("import_module", "__import__") or (
            len(called) == 1 and called[0] in inside | self.importers
        )

    @staticmethod
    def _touch(node: ast.expr, roots: set[str]) -> None:
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        if isinstance(node, ast.Name):
            roots.add(node.id)

    def _constant(self, node: ast.Constant | ast.MatchSingleton) -> None:
        self._out.append(repr(node.value))

    def _walrus(self, node: ast.NamedExpr) -> None:
        self._out += [":=", node.target.id]
        self._bind(node.target.id, next(s for s in reversed(self._scopes) if s.kind != "comprehension"))
        self._visit(node.value)

    def _global(self, node: ast.Global) -> None:
        self._scopes[-1].globals.update(node.names)
        self._any(node)

    def _captured(self, node: ast.ExceptHandler | ast.MatchAs | ast.MatchStar | ast.MatchMapping) -> None:
        name = node.rest if isinstance(node, ast.MatchMapping) else node.name
        if name:
            self._bind(name)
        self._any(node)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for name, target in imported(node, self.module, self.is_package):
            self._scopes[-1].imports.setdefault(name, []).append(target)
        self._any(node)

    # -- scopes

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._out += [node.__class__.__name__, node.name]
        self._bind(node.name)
        for decorator in node.decorator_list:
            if not self.is_step(decorator):
                self._visit(decorator)
        self._generics(node)
        self._annotation(node.returns)
        self._signature(node.args, node.body)

    def _lambda(self, node: ast.Lambda) -> None:
        self._out.append("Lambda")
        self._signature(node.args, [node.body])

    def _signature(self, arguments: ast.arguments, body: Sequence[ast.AST]) -> None:
        groups = {
            "posonly": arguments.posonlyargs,
            "args": arguments.args,
            "vararg": [arguments.vararg] if arguments.vararg else [],
            "kwonly": arguments.kwonlyargs,
            "kwarg": [arguments.kwarg] if arguments.kwarg else [],
        }
        for group, found in groups.items():
            self._out.append(group)
            for argument in found:
                self._out.append(argument.arg)
                self._annotation(argument.annotation)
        for default in [*arguments.defaults, *arguments.kw_defaults]:
            if default is None:
                self._out.append("required")
            else:
                self._visit(default)
        self._push("function")
        for found in groups.values():
            self._scopes[-1].bound.update(a.arg for a in found)
        self._body(body)
        self._pop()

    def _class(self, node: ast.ClassDef) -> None:
        self._out += ["ClassDef", node.name]
        self._bind(node.name)
        self._generics(node)
        for outer in [*node.decorator_list, *node.bases, *node.keywords]:
            self._visit(outer)
        self._push("class")
        self._body(node.body)
        self._pop()

    def _generics(self, node: ast.AST) -> None:
        for parameter in getattr(node, "type_params", ()):  # Python 3.12: def f[T](...)
            self._visit(parameter)

    def _annotation(self, node: ast.expr | None) -> None:
        if node is None:
            return
        self._out.append(":")
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            with contextlib.suppress(SyntaxError):
                node = ast.parse(node.value, mode="eval").body
        self._visit(node)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        self._out.append(node.__class__.__name__)
        self._visit(node.generators[0].iter)  # the first one is evaluated outside
        self._push("comprehension")
        for i, loop in enumerate(node.generators):
            self._out.append("async for" if loop.is_async else "for")
            self._visit(loop.target)
            for inner in ([loop.iter] if i else []) + loop.ifs:
                self._visit(inner)
        for element in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self._visit(element)
        self._pop()

    # -- what does not count

    def _expression(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # docstrings, and strings used as comments
            self._any(node)

    def _if(self, node: ast.If) -> None:
        if never_runs(node):
            self._body(node.orelse)
        else:
            self._any(node)


HANDLERS: dict[type[ast.AST], Callable[..., None]] = {
    getattr(ast, kind): handler
    for kinds, handler in dict[str, Callable[..., None]](
        {
            "Name": Scan._name,
            "Attribute": Scan._attribute,
            "Subscript": Scan._subscript,
            "AugAssign": Scan._augmented,
            "Call": Scan._call,
            "Constant MatchSingleton": Scan._constant,
            "NamedExpr": Scan._walrus,
            "Global": Scan._global,
            "ExceptHandler MatchAs MatchStar MatchMapping": Scan._captured,
            "Import ImportFrom": Scan._import,
            "FunctionDef AsyncFunctionDef": Scan._function,
            "Lambda": Scan._lambda,
            "ClassDef": Scan._class,
            "ListComp SetComp GeneratorExp DictComp": Scan._comprehension,
            "Expr": Scan._expression,
            "If": Scan._if,
        }
    ).items()
    for kind in kinds.split()
}


def chain_of(node: ast.expr) -> Chain | None:
    """("a", "b", "c") for the expression a.b.c; None where the root is not a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else None


def never_runs(node: ast.If) -> bool:
    """Whether the body is for type checkers only, or for `python file.py` only."""
    chain = chain_of(node.test)
    if chain:
        return chain[-1] == "TYPE_CHECKING"
    return isinstance(node.test, ast.Compare) and ast.unparse(node.test) == "__name__ == '__main__'"


def imported(node: ast.Import | ast.ImportFrom, module: str, is_package: bool) -> list[tuple[str, Use]]:
    """The names that an import statement binds, and what each stands for; "*" for a star."""
    if isinstance(node, ast.Import):
        return [(a.asname, (a.name, ())) if a.asname else _first(a.name) for a in node.names]
    source = node.module or ""
    if node.level:
        base = module.split(".")
        base = base[: len(base) - node.level + is_package]
        source = ".".join([*base, source] if source else base)
    return [(a.asname or a.name, (source, (a.name,))) for a in node.names]


def _first(dotted: str) -> tuple[str, Use]:
    root = dotted.split(".", 1)[0]
    return root, (root, ())


def parse(path: Path, source: bytes) -> ast.Module:
    """The syntax tree of a file.

    Raises:
        InputError: it is not Python.
    """
    try:
        with warnings.catch_warnings():  # a bad escape is the author's business
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except SyntaxError as error:
        raise InputError(f"{path}:{error.lineno or 1}: not valid Python: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}:1: not valid Python: {error}") from None
