"""Imports point one way, importing langroute does nothing else, and what is public is documented and its examples run."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import langroute
from langroute.errors import MissingExtraError

PACKAGE = Path(langroute.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__") for path in PACKAGE.rglob("*.py")
)

LAYERS = {
    **dict.fromkeys(("_version", "records", "errors", "context", "quick", "notices"), 0),
    **dict.fromkeys(("protocols", "pricing", "routes", "failures", "answers"), 1),
    **dict.fromkeys(
        ("steps", "history", "texts", "tooling", "eligibility", "adapt", "policies", "verifiers", "cache", "ledger", "hooks"), 2
    ),
    **dict.fromkeys(("budgets", "warmth", "switching", "tab", "habits", "billing", "style"), 2),
    **dict.fromkeys(("router", "accounts", "drivers", "tally"), 3),
    **dict.fromkeys(("chat_model", "node", "middleware", "callbacks", "learning", "reports", "testing"), 4),
    "config": 5,
    "cli": 6,
}
"""The layers that the design draws. A module that is not in it may stand anywhere, as long as imports form no circle."""

SIBLINGS = ("policies", "verifiers", "cache", "ledger", "hooks", "budgets")
"""Folders of layer 2: none imports from another."""


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
                continue
            if isinstance(child, ast.ImportFrom) and (child.module or "").split(".")[0] == "langroute":
                found.append((str(child.module), eager))
            elif isinstance(child, ast.Import):
                found.extend((alias.name, eager) for alias in child.names if alias.name.split(".")[0] == "langroute")
            visit(child, eager and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))

    visit(ast.parse(source.read_text(encoding="utf-8")), True)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_its_own_layer_or_below(module: str) -> None:
    layer = LAYERS.get(part(module))
    for imported, _ in imports(module):
        below = LAYERS.get(part(imported))
        if part(module) == part(imported) or layer is None or below is None:
            continue
        assert below <= layer, f"{module} (layer {layer}) imports {imported} (layer {below})"
        if part(module) in SIBLINGS:
            assert part(imported) not in SIBLINGS, f"{module} imports from its sibling {imported}"


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
    "langroute.callbacks": "asked by LangChain, and only where the variable is set",
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
        "assert 'langroute.router' not in sys.modules",
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
def test_a_module_says_which_question_it_answers_and_its_examples_run(module: str) -> None:
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


@pytest.mark.parametrize("folder", ["policies", "verifiers"])
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
