"""What loads what: the floors know nobody above them, and what needs no model loads no torch."""

import ast
import graphlib
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import speechxfer

PACKAGE = Path(speechxfer.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
    if path != PACKAGE / "__init__.py"
}
FLOORS = {
    "errors": set(),
    "text": {"errors"},
    "audio": {"errors"},
    "plan": {"errors"},
    "perturb": {"errors", "audio"},
    "atomic": set(),
    "prediction": {"atomic", "errors", "scoring.prediction_table"},
    "scoring.prediction_table": {"errors", "prediction", "columns"},
    "scoring.edits": {"errors"},
    "scoring.bands": set(),
    "scoring.interval": {"errors"},
    "scoring.significance": {"errors", "scoring.interval"},
    "scoring.equivalence": {"errors", "text"},
}
VERBS = {"train", "evaluate", "resume", "progress", "predict", "gate", "export"}
VERBS |= {"recogniser", "translator", "back_translation"}
TOP = {"verbs", "cli", "loading", "cascade"}


def imports(path: Path, *, late: bool) -> set[str]:
    """Names imported by a file, as `speechxfer.x.y` or `torch`; with `late` also in functions, never for types only."""
    found, waiting = set(), [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) and not late:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        waiting += ast.iter_child_nodes(node)
    return found


def ours(path: Path, *, late: bool = True) -> set[str]:
    """The package's modules among them."""
    return {name.removeprefix("speechxfer.") for name in imports(path, late=late)} & MODULES.keys()


def reached(start: str) -> set[str]:
    """Modules that this one may load, at once or later, through others too."""
    seen, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += ours(MODULES[name])
    return seen


def test_the_search_sees_imports():
    assert ours(MODULES["cli.task_flags"], late=False) >= {"errors", "task", "adapt.freeze"}
    assert "verbs" in ours(MODULES["cli.acts"]) - ours(MODULES["cli.acts"], late=False)
    assert "models.base" not in ours(MODULES["adapt"])  # for types only
    assert "torch" in imports(MODULES["train"], late=False)


@pytest.mark.parametrize("floor", FLOORS)
def test_floors_know_only_floors_below(floor):
    assert ours(MODULES[floor]) <= FLOORS[floor]


def test_nothing_imports_upwards():
    for name, path in MODULES.items():
        room = name.partition(".")[0]
        if room not in TOP | {"demo"}:
            assert not {other.partition(".")[0] for other in ours(path)} & TOP, name
        if room not in VERBS | TOP:
            assert not ours(path) & VERBS, name


def test_no_circles():
    graph = {name: ours(path, late=False) - {name} for name, path in MODULES.items()}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize(
    "name",
    ["text", "score", "gate", "report", *(f"scoring.{name}" for name in ("transcripts", "comparison", "diagnosis"))],
)
def test_right_of_the_predictions_nothing_ever_loads_torch(name):
    for module in reached(name):
        roots = {imported.partition(".")[0] for imported in imports(MODULES[module], late=True)}
        assert not roots & {"torch", "torchaudio", "transformers", "peft"}, module


def loaded(code: str) -> set[str]:
    """The packages that a fresh interpreter has loaded after `code`."""
    show = "import sys; print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{show}"], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_light_modules_load_no_torch():
    names = ("text", "score", "gate", "prediction", "task", "cli", "plan", "manifest", "adapt.freeze", "perturb")
    lines = ["import speechxfer", *(f"import speechxfer.{name}" for name in names)]
    packages = loaded("\n".join([*lines, "from speechxfer import Task, Source, Freeze, Perturb, read_manifest"]))
    assert "speechxfer" in packages and not packages & {"torch", "transformers", "datasets"}


def test_reading_a_manifest_loads_no_torch(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": "a", "source": "x", "text": "x"}\n')
    packages = loaded(f"import speechxfer\nassert len(speechxfer.read_manifest({str(tmp_path / 'a.jsonl')!r})) == 1")
    assert "datasets" in packages and not packages & {"torch", "transformers"}


def test_help_loads_no_torch():
    packages = loaded("import speechxfer.cli\ntry: speechxfer.cli.main(argv=['run', '-h'])\nexcept SystemExit: pass")
    assert "speechxfer" in packages and not packages & {"torch", "transformers", "datasets"}


def test_help_answers_at_once():
    """By the least processor time of five, which a busy machine stretches little."""
    command, taken = [sys.executable, "-m", "speechxfer.cli", "--help"], []
    for _ in range(5):
        began = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime)
        assert done.stdout.startswith("usage: speechxfer ")
    print(f"speechxfer --help: {statistics.median(taken):.3f} s, from {min(taken):.3f} to {max(taken):.3f}")
    assert min(taken) < 0.3
