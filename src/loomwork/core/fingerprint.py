"""The code id of a step: a digest of every definition of the package that it reaches, found without importing anything.

What cannot be seen: third-party code (its versions are in `uses`), a table that another module fills or an attribute
that it sets without being mentioned, dispatch over names that are made up while running, data files. A step's
`version=` covers those.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from loomwork.core.artifact import digest
from loomwork.core.errors import InputError, did_you_mean
from loomwork.core.source import DYNAMIC, IMPORTER, Chain, Imports, Scan, Use, chain_of, imported, never_runs, parse

Parts = dict[str, str]
Stamp = tuple[int, int] | None  # (time, size) of a file or folder; None where there is none

# What these do is seen by people or by the runner, never in the bytes that a step writes.
NOT_FOLLOWED = frozenset({"loomwork.core.errors", "loomwork.core.context", "loomwork.core.step"})
OURS = Path(__file__).parent.parent
INSTALLED = {Path(p) for n, p in sysconfig.get_paths().items() if n in ("stdlib", "platstdlib", "purelib", "platlib")}
DIGITS = 16  # of a digest: enough to tell two versions apart


def code_parts(function_module: str, qualname: str) -> Parts:
    """Every definition that a step function reaches, with a digest of its syntax.

    Args:
        function_module: the module that defines it.
        qualname: its name there; of a method or an inner function, the class or function around it counts whole.

    Returns: {"loomwork.text.minhash:sign": digest, ...}; "module:*" is a whole module.

    Raises:
        InputError: there is no source, or no such name in it, or a file does not parse.
    """
    return _remembered(function_module, (qualname.split(".", 1)[0],))


def object_parts(package: str, name: str) -> Parts:
    """The same for an object that a setting names: a function or class in `package`, or a module of it.

    Args:
        package: where it is looked up; "" where the name is `module:function`.

    Raises:
        InputError: there is none of that name; the nearest are given.
    """
    if not package:
        module, colon, function = name.partition(":")
        if not colon:
            raise InputError(f"{name!r} names no function", "write module:function, as in my_rules:keep")
        return code_parts(module, function)
    chain = tuple(name.split("."))
    known = public_names(package)
    if chain[0] not in known:
        raise InputError(f"{package} has nothing called {name!r}", did_you_mean(name, known))
    return _remembered(package, chain)


def public_names(package: str) -> list[str]:
    """The public functions and classes of a module, and the public modules of a package."""
    finder = Finder(package)
    module = finder.require(package)
    names = {n for n in module.statements if not n.isupper()}
    if module.is_package:
        names |= {n for n, uses in module.imports.items() if any(finder.follows(m) for m, _ in uses)}
        names |= set(finder.submodules(module))
    return sorted(n for n in names if not n.startswith("_"))


_results: dict[tuple[str, Chain], tuple[Parts, dict[str, Stamp]]] = {}


def _remembered(module: str, chain: Chain) -> Parts:
    """The parts, computed again only when a file or folder that was looked at has changed."""
    known = _results.get((module, chain))
    if known and all(_stamp(path) == stamp for path, stamp in known[1].items()):
        return dict(known[0])
    finder = Finder(module)
    parts = _reached(finder, finder.require(module), chain)
    _results[module, chain] = parts, finder.stamps
    return dict(parts)


def _reached(finder: Finder, start: Module, chain: Chain) -> Parts:
    if not start.knows(chain[0]) and not (start.is_package and finder.find(f"{start.name}.{chain[0]}")):
        raise InputError(f"{start.path} defines no {chain[0]!r}", did_you_mean(chain[0], start.statements))
    parts: Parts = {}
    seen: set[Use] = set()
    todo: list[Use] = [(start.name, chain)]
    while todo:
        use = todo.pop()
        if use in seen:
            continue
        seen.add(use)
        module = finder.find(use[0])
        if module is not None and module.name not in NOT_FOLLOWED:
            todo += _resolve(finder, module, use[1], parts)
    return dict(sorted(parts.items()))


def _resolve(finder: Finder, module: Module, chain: Chain, parts: Parts) -> list[Use]:
    """Add what a chain of names means in a module to `parts`; returns what that uses in turn."""
    if not chain:
        parts[f"{module.name}:*"], uses = module.whole
        return [*uses, *((f"{module.name}.{name}", ()) for name in finder.submodules(module))]
    name, rest = chain[0], chain[1:]
    uses = []
    if module.knows(name):
        if name in module.statements or name in module.effects:
            parts[f"{module.name}:{name}"], used = module.entry(name)
            uses += used
        return uses + [(source, attributes + rest) for source, attributes in module.imports.get(name, ())]
    if module.is_package and finder.find(f"{module.name}.{name}"):
        return [(f"{module.name}.{name}", rest)]
    for star in module.stars:
        source = finder.find(star)
        if source and (source.knows(name) or source.stars):
            uses.append((star, chain))
    if uses or hasattr(builtins, name) or name.startswith("__"):
        return uses
    return [(module.name, ())]  # made at run time (a module's __getattr__): all of the module counts


class Module:
    """What one file binds at its top level."""

    def __init__(self, name: str, path: Path, is_package: bool, body: list[ast.stmt]) -> None:
        self.name, self.path, self.is_package = name, path, is_package
        self.statements: dict[str, list[int]] = {}  # which statements bind a name
        self.imports: Imports = {}
        self.stars: list[str] = []
        self._body = list(_that_run(body))
        self._scans: dict[int, Scan] = {}
        self._entries: dict[str, tuple[str, list[Use]]] = {}
        for i, statement in enumerate(self._body):
            self._add(i, statement)

    def _add(self, i: int, statement: ast.stmt) -> None:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self.statements.setdefault(statement.name, []).append(i)
            return
        if isinstance(statement, ast.Import | ast.ImportFrom):
            found = [(n, [target]) for n, target in imported(statement, self.name, self.is_package)]
        else:
            names = self._scan(i).names
            found = list(names.imports.items())
            for name in names.bound:
                self.statements.setdefault(name, []).append(i)
        for name, targets in found:
            if name == "*":
                self.stars += [source for source, _ in targets]
            else:
                self.imports.setdefault(name, []).extend(targets)

    def knows(self, name: str) -> bool:
        return name in self.statements or name in self.imports

    def _scan(self, i: int) -> Scan:
        if i not in self._scans:
            self._scans[i] = self._new_scan().run([self._body[i]])
        return self._scans[i]

    def _new_scan(self) -> Scan:
        importers = {name for name, targets in self.imports.items() if IMPORTER in targets}
        return Scan(self.name, self.is_package, self._is_step, importers)

    def _is_step(self, decorator: ast.expr) -> bool:
        chain = chain_of(decorator.func) if isinstance(decorator, ast.Call) else None
        for source, attributes in self.imports.get(chain[0], ()) if chain else ():
            full = (source, *attributes, *(chain or ())[1:])
            if full[0].split(".")[0] == "loomwork" and full[-1] == "step":
                return True
        return False

    def entry(self, name: str) -> tuple[str, list[Use]]:
        """The digest of a name, over all statements that bind or fill it, and what they use."""
        if name not in self._entries:
            self._entries[name] = self._joined({*self.statements.get(name, ()), *self.effects.get(name, ())})
        return self._entries[name]

    @cached_property
    def whole(self) -> tuple[str, list[Use]]:
        """The same for the module with all that it imports."""
        sha, uses = self._joined(set(range(len(self._body))))
        return sha, [*uses, *(t for targets in self.imports.values() for t in targets), *((s, ()) for s in self.stars)]

    def _joined(self, numbers: set[int]) -> tuple[str, list[Use]]:
        scans = [self._scan(i) for i in sorted(numbers)]
        chains: set[Chain] = set().union(*(s.names.uses for s in scans))
        uses: set[Use] = set().union(*(s.absolute for s in scans))
        meanings: dict[str, list[Use]] = {}  # a changed import changes what a name means
        for chain in chains:
            if chain in DYNAMIC or chain[:1] in DYNAMIC:
                uses.add((self.name, ()))
            elif chain[0] in self.statements or chain[0] in self.effects:
                if not numbers >= {*self.statements.get(chain[0], ()), *self.effects.get(chain[0], ())}:
                    uses.add((self.name, chain[:1]))
            elif self.stars or self.is_package:
                uses.add((self.name, chain))
            for source, attributes in self.imports.get(chain[0], ()):
                meanings[chain[0]] = self.imports[chain[0]]
                uses.add((source, attributes + chain[1:]))
        return digest([[s.digest for s in scans], meanings])[:DIGITS], sorted(uses)

    @cached_property
    def effects(self) -> dict[str, list[int]]:
        """Which statements may change the value of a name that another one binds: TABLE.update(...)."""
        found: dict[str, list[int]] = {}
        for i, statement in enumerate(self._body):
            for name in self._changed_by(i, statement):
                if i not in self.statements.get(name, ()):
                    found.setdefault(name, []).append(i)
        return found

    def _changed_by(self, i: int, statement: ast.stmt) -> set[str]:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            return set()
        declares = isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        scan = self._at_definition(statement) if declares else self._scan(i)
        names = scan.names
        changed = {n for n in names.mutated | names.passed if self.knows(n)}
        if declares or isinstance(statement, ast.Assign | ast.AnnAssign):
            # X = f(TABLE) may fill TABLE; X = np.array(1) does not change np, nor X = jit(g) g
            changed -= self.imports.keys() | (names.passed - names.mutated & self._functions)
        for helper in self._helpers({chain[0] for chain in names.uses}):
            inner = [self._scan(j).names for j in self.statements[helper]]
            touched = set().union(*(s.mutated | s.passed for s in inner))
            changed |= touched & self.statements.keys() - self._functions
        return changed

    def _at_definition(self, statement: ast.stmt) -> Scan:
        """What runs when a function or class is defined: its decorators and bases."""
        scan = self._new_scan()
        outer = [d for d in getattr(statement, "decorator_list", ()) if not self._is_step(d)]
        scan.run([*outer, *getattr(statement, "bases", ())])
        scan.names.mutated |= {chain[0] for d in outer if (chain := chain_of(d)) and len(chain) > 1}
        return scan

    def _helpers(self, names: set[str]) -> set[str]:
        """The functions and classes of this module among `names`, and those that they use."""
        found: set[str] = set()
        todo = names & self._functions
        while todo:
            name = todo.pop()
            found.add(name)
            uses = {chain[0] for j in self.statements[name] for chain in self._scan(j).names.uses}
            todo |= uses & self._functions - found
        return found

    @cached_property
    def _functions(self) -> set[str]:
        defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        return {n for n, numbers in self.statements.items() if all(isinstance(self._body[i], defined) for i in numbers)}


def _that_run(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if isinstance(statement, ast.If) and never_runs(statement):
            yield from _that_run(statement.orelse)
        elif not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
            yield statement


class Finder:
    """Finds the source of modules by path: of loomwork, and of the user's code around one module.

    Args:
        around: a module. Its root package is followed; if it lies in a project folder, so is the code beside it.
    """

    def __init__(self, around: str) -> None:
        self.stamps: dict[str, Stamp] = {}
        self._found: dict[str, Module | None] = {}
        self._main: Path | None = None
        self._places: list[tuple[Path, str]] = [(OURS.parent, OURS.name)]  # folder, the only root or "" for any
        root = around.split(".", 1)[0]
        if root == "__main__":
            self._main = Path(getattr(sys.modules[root], "__file__", None) or "__main__").absolute()
            self._places.append((self._main.parent, ""))
        elif root != OURS.name:
            for folder in _folders_of(root):
                self._places.append((folder, root if folder in INSTALLED else ""))

    def follows(self, module: str) -> bool:
        """Whether a module is ours or the user's own."""
        return self.find(module) is not None

    def require(self, name: str) -> Module:
        module = self.find(name)
        if module is None:
            raise InputError(f"the source of module {name!r} was not found", "steps must be defined in a .py file")
        return module

    def find(self, name: str) -> Module | None:
        if name not in self._found:
            self._found[name] = self._look(name)
        return self._found[name]

    def _look(self, name: str) -> Module | None:
        if name == "__main__" and self._main:
            return self._load(name, self._main, False)
        root = name.split(".", 1)[0]
        for folder, only in self._places:
            if only not in ("", root):
                continue
            base = folder / name.replace(".", "/")
            for path, is_package in ((base / "__init__.py", True), (base.with_name(base.name + ".py"), False)):
                if self._stamped(path):
                    return self._load(name, path, is_package)
            if base.is_dir() and self._stamped(base):
                return Module(name, base, True, [])  # a namespace package
        return None

    def _load(self, name: str, path: Path, is_package: bool) -> Module | None:
        stamp = self._stamped(path)
        known = _modules.get((name, path))
        if known and known[0] == stamp:
            return known[1]
        try:
            source = path.read_bytes()
        except OSError:
            return None
        module = Module(name, path, is_package, parse(path, source).body)
        _modules[name, path] = stamp, module
        return module

    def submodules(self, package: Module) -> list[str]:
        """The names of the modules in a package; none for a plain module."""
        if not package.is_package:
            return []
        folder = package.path if package.path.is_dir() else package.path.parent
        self._stamped(folder)
        with os.scandir(folder) as entries:
            names = [e.name.removesuffix(".py") for e in entries if e.name.endswith(".py") or _is_folder(e)]
        return sorted({n for n in names if n.isidentifier()} - {"__init__", "__main__", "__pycache__"})

    def _stamped(self, path: Path) -> Stamp:
        text = str(path)
        self.stamps[text] = _stamp(text)
        return self.stamps[text]


_modules: dict[tuple[str, Path], tuple[Stamp, Module]] = {}


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)  # noqa: PTH116 (hundreds of calls: a Path would cost three times as much)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)  # a link could lead back up


def _folders_of(root: str) -> list[Path]:
    """The folders that a top-level module or package lies in."""
    try:
        spec = importlib.util.find_spec(root)
    except ValueError:  # a module without a spec
        spec = None
    if spec is None:
        return []
    locations = list(spec.submodule_search_locations or [])
    return [Path(p).absolute().parent for p in locations or [spec.origin or "."]]
