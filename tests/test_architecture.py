"""Imports point one way, importing langroute does nothing else, and what is public is documented and its examples run."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import langroute
from langroute.core.errors import MissingExtraError

PACKAGE = Path(langroute.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__") for path in PACKAGE.rglob("*.py")
)

FLOORS = {
    **dict.fromkeys(("_version", "core", "embeddings"), 0),
    **dict.fromkeys(("providers", "routes", "steps", "prompt_cache", "ledger", "estimators", "state"), 1),
    **dict.fromkeys(("policies", "verifiers", "cache", "budgets", "adapt", "tracking", "local", "testing", "wire"), 2),
    **dict.fromkeys(("engine", "learning", "hooks"), 3),
    **dict.fromkeys(("hosts", "reports"), 4),
    **dict.fromkeys(("demo", "serving", "gateway"), 5),
    "cli": 6,
    "__main__": 7,
}
"""The floors of the house that `docs/design.md` draws. Every package and loose file has one."""

DESIGN = PACKAGE.parent / "docs" / "design.md"
MAPS = [DESIGN, DESIGN.parent / "contributing.md"]
"""The pages that say where things are."""

NEIGHBOURS = {("routes", "providers"), ("prompt_cache", "providers"), ("state", "ledger"), ("gateway", "serving")}
"""Who may import from a package of the same floor; the design page says why."""


def part(module: str) -> str:
    """The file or folder of the package that a module belongs to."""
    names = module.split(".")
    return names[1] if len(names) > 1 else ""


@cache
def imports(module: str) -> list[tuple[str, bool]]:
    """What a module imports of this package, and whether it does so when it is imported itself."""
    path = PACKAGE.parent / Path(*module.split("."))
    source = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST, eager: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                # No circle at run time, but a dependency all the same.
                visit(child, False)
                continue
            if isinstance(child, ast.ImportFrom) and (child.module or "").split(".")[0] == "langroute":
                found.append((str(child.module), eager))
            elif isinstance(child, ast.Import):
                found.extend((alias.name, eager) for alias in child.names if alias.name.split(".")[0] == "langroute")
            visit(child, eager and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))

    visit(ast.parse(source.read_text(encoding="utf-8")), True)
    return found


def test_every_part_has_its_floor() -> None:
    """A new package is put into the house, here and on the design page."""
    assert {part(module) for module in MODULES} - {""} == set(FLOORS)


def test_the_design_page_draws_these_floors() -> None:
    drawn: dict[str, int] = {}
    floor = -1
    house = DESIGN.read_text(encoding="utf-8").split("## The house")[1].split("```")[1]
    for number, name in re.findall(r"^ (\d| )  (\w+) +\S", house, re.MULTILINE):
        floor = int(number) if number.strip() else floor
        drawn[name] = floor
    assert drawn == {name: floor for name, floor in FLOORS.items() if not name.startswith("_")}, (
        "draw every package in The house of docs/design.md, on its floor"
    )


def test_the_design_page_says_who_may_import_a_neighbour() -> None:
    table = DESIGN.read_text(encoding="utf-8").split("| from | to | why |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| (\w+) \| (\w+) \|", table, re.MULTILINE)) == NEIGHBOURS


def missing_files(text: str) -> set[str]:
    """Files and folders that a text names, and that are neither in the repository nor in the package."""
    named = {name for name in re.findall(r"`([^`\s]+)`", text) if name.endswith((".py", ".js", ".md", "/"))}
    return {name for name in named if not any((root / name).exists() for root in (PACKAGE.parent, PACKAGE))}


@pytest.mark.parametrize("page", MAPS, ids=lambda page: page.stem)
def test_the_files_that_a_map_names_are_there(page: Path) -> None:
    """Under the path from the repository or from the package, so that a reader finds them by their name alone."""
    assert not missing_files(page.read_text(encoding="utf-8"))


def test_a_file_that_is_gone_is_seen() -> None:
    text = "`engine/release.py`, `tests/conftest.py` and `hosts/`, but `release.py` and `engine/gate.py`; `a.b(c)`"
    assert missing_files(text) == {"release.py", "engine/gate.py"}


@pytest.mark.parametrize("module", [module for module in MODULES if part(module)])
def test_a_module_imports_from_lower_floors_only(module: str) -> None:
    """Neither eagerly nor lazily, and not for types either."""
    mine = part(module)
    for imported, _ in imports(module):
        other = part(imported)
        if other in ("", mine) or (mine, other) in NEIGHBOURS:
            continue
        assert FLOORS[other] < FLOORS[mine], f"{module} (floor {FLOORS[mine]}) imports {imported} (floor {FLOORS[other]})"


def test_imports_form_no_circle() -> None:
    """Files and folders of the package can be put in an order in which each imports only from those before it."""
    needs: dict[str, set[str]] = {}
    for module in MODULES:
        mine = needs.setdefault(part(module), set())
        mine |= {part(imported) for imported, eager in imports(module) if eager} - {part(module), ""}
    needs.pop("", None)
    ordered: list[str] = []
    while needs:
        ready = sorted(name for name, wanted in needs.items() if wanted <= set(ordered))
        assert ready, (
            f"these import each other in a circle: { {name: sorted(wanted - set(ordered)) for name, wanted in needs.items()} }"
        )
        ordered += ready
        needs = {name: wanted for name, wanted in needs.items() if name not in ready}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_names_from_where_they_are_defined(module: str) -> None:
    assert not [imported for imported, _ in imports(module) if imported == "langroute" and module != "langroute"], (
        "import the module that defines a name, never `from langroute import ...`"
    )


ENVIRONMENT = {
    "langroute.ledger.resolve": "the ledger of routers and trackers that were given none; read when one is made",
    "langroute.engine.configured": "the keys of routes, in the variables that a configuration names",
    "langroute.local.fetching": "hands the environment on to pip",
}
"""Who else reads it, and why."""


@pytest.mark.parametrize("module", [module for module in MODULES if part(module) != "cli"])
def test_only_the_command_line_prints_and_reads_the_environment(module: str) -> None:
    path = PACKAGE.parent / Path(*module.split("."))
    source = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"{module} prints on line {node.lineno}"
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and module not in ENVIRONMENT:
            raise AssertionError(f"{module} reads the environment on line {node.lineno}")


MAKES_FILES = {"langroute.core.files": "the one place that does", "langroute.core.sqlite": "opens what `files` made"}
"""Who may make, replace or open files for writing."""


def opens_for_writing(node: ast.Call) -> bool:
    """A call makes a file, or opens one for more than reading, by a path rather than a descriptor."""
    called = ast.unparse(node.func)
    name = called.rpartition(".")[2]
    said = ast.unparse(node)
    if name in ("write_text", "write_bytes", "touch", "mkfifo", "mknod", "symlink_to", "copyfile", "NamedTemporaryFile", "mktemp"):
        return True
    if called == "os.open":
        return "O_CREAT" in said or "O_TRUNC" in said
    if called == "sqlite3.connect":
        return True
    if name == "open":
        texts = [one.value for one in [*node.args, *(key.value for key in node.keywords)] if isinstance(one, ast.Constant)]
        return any(
            isinstance(mode, str) and 0 < len(mode) <= 3 and set(mode) <= set("rwxabt+U") and set(mode) & set("wxa+")
            for mode in texts
        )
    return False


@pytest.mark.parametrize("module", [module for module in MODULES if module not in MAKES_FILES])
def test_only_one_place_makes_files(module: str) -> None:
    path = PACKAGE.parent / Path(*module.split("."))
    source = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and opens_for_writing(node):
            raise AssertionError(
                f"{module} makes a file on line {node.lineno}: write it with langroute.core.writing or langroute.core.files"
            )


@pytest.mark.parametrize(
    "code, makes",
    [
        ("open(path, 'w')", True),
        ("path.open(mode='r+b')", True),
        ("Path(name).write_text(text)", True),
        ("os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)", True),
        ("sqlite3.connect(path)", True),
        ("gzip.open(path, 'ab')", True),
        ("path.open('rb')", False),
        ("os.fdopen(descriptor, 'w')", False),
        ("os.open(os.devnull, os.O_RDWR)", False),
        ("codec.open(key, sealed)", False),
    ],
)
def test_making_a_file_is_seen(code: str, makes: bool) -> None:
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    assert opens_for_writing(call) is makes


ASKS_PROVISIONAL = {
    "langroute.engine.release": "the one place that says when tokens are shown",
    "langroute.engine.step_execution": "verifies what may be rejected, and stops after what may not",
    "langroute.core.subtask_pin": "says it of a whole subtask's attempt, which is no selection",
    "langroute.engine.policy_guard": "selects another route on the policy's terms",
}
"""Who reads `Selection.provisional` beside the policies, which set it, and why. A host asks `engine.release`."""


@pytest.mark.parametrize("module", [name for name in MODULES if part(name) != "policies" and name not in ASKS_PROVISIONAL])
def test_only_one_place_says_when_tokens_are_shown(module: str) -> None:
    path = PACKAGE.parent / Path(*module.split("."))
    source = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    lines = [
        node.lineno
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "provisional"
    ]
    assert not lines, f"{module} reads `provisional` on line {lines}: ask langroute.engine.release"


# Importing -------------------------------------------------------------------------------------------------------------

QUIET = """
import builtins, os, socket, sys, io

BLOCKED = {blocked!r}


class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name.split(".")[0])
        return None


sys.meta_path.insert(0, Missing())
# What it stands on may do as it likes; the tracer is there because it imports OpenTelemetry where that is installed.
import langchain_core.language_models, langchain_core.runnables, langchain_core.tools, langchain_core.tracers.langchain
BEFORE = set(sys.modules)


def audit(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "os.mkdir", "os.remove", "os.rename", "subprocess.Popen"):
        raise AssertionError(f"importing langroute does {{event}} {{args}}")
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        if not str(args[0]).endswith((".pyc", "nul", "null")) and "__pycache__" not in str(args[0]):
            raise AssertionError(f"importing langroute writes {{args[0]}}")


sys.dont_write_bytecode = True
sys.addaudithook(audit)
{code}
"""

OPTIONAL = [
    "langgraph", "langchain", "langchain_openai", "langchain_anthropic", "openai", "anthropic", "sqlalchemy", "sklearn", "redis",
    "psycopg", "plotly", "jinja2", "opentelemetry", "prometheus_client", "ecologits", "xllamacpp", "genai_prices", "numpy",
]  # fmt: skip


def python(code: str, *, blocked: list[str]) -> str:
    """Run code in a new interpreter in which some packages are not installed, and nothing may be written or called."""
    program = QUIET.format(blocked=set(blocked), code=code)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_langroute_does_nothing_else() -> None:
    """No file written, no network, no printing, and no package that the caller did not ask for."""
    printed = python(
        "import langroute\nloaded = {name.split('.')[0] for name in set(sys.modules) - BEFORE} & BLOCKED_NAMES\n".replace(
            "BLOCKED_NAMES", repr(set(OPTIONAL))
        )
        + "assert not loaded, loaded\n"
        "assert 'langroute.engine.router' not in sys.modules",
        blocked=[],
    )
    assert printed == ""


def test_a_router_is_imported_without_graphs_agents_and_providers() -> None:
    """Numbers of a second: LangGraph, LangChain and the providers' packages take several."""
    python(
        "from langroute import ChatRouter, Router, Route, RouterNode, task\n"
        f"heavy = {{name.split('.')[0] for name in set(sys.modules) - BEFORE}} & {set(OPTIONAL) - {'numpy'}!r}\n"
        "assert not heavy, heavy",
        blocked=[],
    )


def test_a_router_works_without_any_extra() -> None:
    extras = sorted(set(OPTIONAL) - {"langgraph", "sqlalchemy", "genai_prices", "numpy"})
    printed = python(
        "from langroute import ChatRouter, RouterNode\n"
        "from langroute.policies import Cascade\n"
        "from langroute.testing import ScriptedModel\n"
        "prices = {'scripted': {'input': 1, 'output': 2}}\n"
        "router = ChatRouter({'a': ScriptedModel('x'), 'b': ScriptedModel('y')}, policy=Cascade(), prices=prices)\n"
        "print(router.invoke('Hi.').content, RouterNode(router).invoke({'messages': 'Hi.'})['messages'][0].content)",
        blocked=extras,
    )
    assert printed == "x x\n"


def test_the_middleware_says_which_package_it_needs() -> None:
    printed = python(
        "try:\n    from langroute import RouterMiddleware\nexcept ImportError as error:\n    print(type(error).__name__, error)",
        blocked=["langchain"],
    )
    assert printed.startswith(
        "MissingExtraError RouterMiddleware needs 'langchain'. Install it with: pip install 'langroute[agents]'"
    )


def test_a_model_by_name_says_which_package_it_needs() -> None:
    printed = python(
        "from langroute import ChatRouter\n"
        "try:\n    ChatRouter({'a': 'anthropic:claude-opus-4-6'})\nexcept ImportError as error:\n    print(type(error).__name__, error)",
        blocked=["langchain", "langchain_anthropic"],
    )
    assert printed.startswith("MissingExtraError")
    assert "pip install 'langroute[" in printed


# Sizes and names -------------------------------------------------------------------------------------------------------

MOST_LINES = 450


def source_of(module: str) -> str:
    path = PACKAGE.parent / Path(*module.split("."))
    return (path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py").read_text("utf-8")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_short_enough_to_be_read(module: str) -> None:
    lines = len(source_of(module).splitlines())
    assert lines <= MOST_LINES, f"{module} has {lines} lines: look for the second subject in it"


SHARED_CLASS_NAMES: dict[str, str] = {}
"""Class names that occur in several modules, each with its reason or what is left to do."""


def test_a_class_name_occurs_in_one_module() -> None:
    """A reader who searches for a class finds one."""
    found: dict[str, set[str]] = {}
    for module in MODULES:
        for node in ast.walk(ast.parse(source_of(module))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, set()).add(module)
    shared = {name: sorted(modules) for name, modules in found.items() if len(modules) > 1}
    assert not set(shared) - set(SHARED_CLASS_NAMES), {name: shared[name] for name in set(shared) - set(SHARED_CLASS_NAMES)}
    assert set(SHARED_CLASS_NAMES) <= set(shared), "an exception is no longer needed"


# Words -----------------------------------------------------------------------------------------------------------------


def loaded(name: str) -> ModuleType:
    """The module, or a skip where what it needs is not installed."""
    try:
        return importlib.import_module(name)
    except MissingExtraError as error:
        pytest.skip(str(error))
    except ImportError as error:
        if (error.name or "").split(".")[0] == "langroute":
            raise
        pytest.skip(f"needs {error.name}")


@pytest.mark.parametrize("module", [name for name in MODULES if not name.endswith("_version")])
def test_a_module_has_a_docstring_and_its_examples_run(module: str) -> None:
    found = loaded(module)
    assert found.__doc__, f"{module} does not say what it is for"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        failed, _ = doctest.testmod(found, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert failed == 0


@pytest.mark.parametrize("name", [name for name in langroute.__all__ if not name.startswith("_")])
def test_a_public_name_exists_and_is_documented(name: str) -> None:
    value = getattr(langroute, name)
    assert inspect.getdoc(value)
    assert not (inspect.getdoc(value) or "").startswith(f"{name}(")
    if inspect.isclass(value):
        for method, function in vars(value).items():
            if inspect.isfunction(function) and not method.startswith("_"):
                assert inspect.getdoc(function), f"{name}.{method} is not documented"


OFFERING = ["policies", "verifiers", "cache", "ledger", "budgets", "hooks", "testing", "embeddings", "local"]
"""Packages whose names users import from the package itself, beside `langroute`."""


@pytest.mark.parametrize("name", ["langroute", *(f"langroute.{part}" for part in OFFERING)])
def test_a_package_lists_what_it_offers(name: str) -> None:
    """`dir()` and completion show the names that it offers, and nothing else."""
    package = importlib.import_module(name)
    assert dir(package) == sorted(package.__all__)
    assert len(set(package.__all__)) == len(package.__all__) > 0


@pytest.mark.parametrize("folder", [part for part in OFFERING if part != "testing"])
def test_asking_for_a_name_that_is_not_offered_is_an_attribute_error(folder: str) -> None:
    package = importlib.import_module(f"langroute.{folder}")
    with pytest.raises(AttributeError, match="Nonesuch"):
        _ = package.Nonesuch


def lazy_packages() -> list[str]:
    """Packages that import what they offer when it is first used."""
    return [
        path.parent.name
        for path in [PACKAGE / "__init__.py", *PACKAGE.glob("*/__init__.py")]
        if "_PLACES = {" in path.read_text("utf-8")
    ]


@pytest.mark.parametrize("folder", lazy_packages())
def test_a_type_checker_sees_what_a_package_imports_lazily(folder: str) -> None:
    """Each lazy name is imported for type checkers under its own name, which is how they know that it is public."""
    path = PACKAGE / "__init__.py" if folder == PACKAGE.name else PACKAGE / folder / "__init__.py"
    body = ast.parse(path.read_text("utf-8")).body
    (block,) = [node for node in body if isinstance(node, ast.If)]
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    package = importlib.import_module("langroute" if folder == PACKAGE.name else f"langroute.{folder}")
    (places,) = [node.value for node in body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_PLACES"]
    lazily = eval(ast.unparse(places))
    assert seen == {name: f"{package.__name__}.{place}" for name, place in lazily.items()}
    assert set(lazily) <= set(package.__all__)


@pytest.mark.parametrize("folder", ["policies", "verifiers", "cache", "budgets", "hooks", "embeddings", "local"])
def test_what_a_folder_offers_is_there(folder: str) -> None:
    package = importlib.import_module(f"langroute.{folder}")
    for name in package.__all__:
        try:
            value = getattr(package, name)
        except MissingExtraError:
            continue
        assert inspect.getdoc(value), f"langroute.{folder}.{name} is not documented"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="ChatRooter"):
        _ = langroute.ChatRooter
    assert {"ChatRouter", "RouterMiddleware"} <= set(dir(langroute))


def test_the_version_comes_from_one_place() -> None:
    from langroute._version import __version__

    assert langroute.__version__ == __version__


def test_every_folder_is_a_package() -> None:
    found = {name for _, name, _ in pkgutil.walk_packages([str(PACKAGE)], "langroute.")} | {"langroute"}
    assert set(MODULES) <= found
