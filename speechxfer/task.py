"""A task is a value: which checkpoint, which manifests, how text is normalised, how to adapt, what to require.

A task module builds one frozen `Task`; a variant is `dataclasses.replace(task, ...)` or
`override(task, ["optim.lr=2e-5"])`. Nothing here loads torch, so a task can be read, changed and printed in no time.
"""

import ast
import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechxfer.adapt import Adaptation
from speechxfer.errors import ConfigError
from speechxfer.perturb import Perturb


@dataclass(frozen=True)
class Source:
    """One manifest of a mixture. An epoch sees the first source once and the others in proportion to the weights."""

    manifest: str
    weight: float = 1.0

    def __post_init__(self):
        if not 0 < self.weight < math.inf:
            raise ConfigError(f"{self.manifest}: weight is {self.weight}; expected a finite number > 0")


@dataclass(frozen=True)
class Data:
    """How examples become batches."""

    temperature: float = math.inf  # of the mixture: weights are multiplied by each source's size ** (1 / temperature)
    batch_seconds: float = 80.0  # padded audio in a batch, seconds
    batch_tokens: int = 4096  # of text instead: padded source and target tokens in a batch
    min_seconds: float = 0.1  # shorter examples are left out, counted and reported
    max_seconds: float | None = None  # longer ones too; none: 30, and longer ones are refused by name
    vocabulary: str = "keep"  # keep, extend or rebuild: what happens to a CTC head (see models.ctc_checkpoint)
    stitch: float | None = None  # share of the training audio, beside the other examples, that is neighbours joined to
    # one example of at most max_seconds or 30; a share of 0.5 makes an epoch twice as long; none: what the model needs
    perturb: Perturb = Perturb()  # of the training audio
    sampling: float = 0.0  # of the training text: other pieces for the same words, alpha of Kudo 2018; 0: the best ones
    workers: int = -1  # loader processes; -1: one less than the cores, at most 4

    def __post_init__(self):
        if not self.temperature >= 1:
            found = f"data.temperature is {self.temperature}; expected >= 1"
            raise ConfigError(f"{found}: 1 draws sources by their size, inf by their weights alone")
        if not 0 <= self.min_seconds < self.longest:
            found = f"data.min_seconds {self.min_seconds} and max_seconds {self.longest}"
            raise ConfigError(f"{found}: expected 0 <= min < max")
        if not self.sampling >= 0:
            raise ConfigError(f"data.sampling is {self.sampling}; expected >= 0")
        if self.stitch is not None and not 0 <= self.stitch < 1:
            raise ConfigError(f"data.stitch is {self.stitch}; expected a share, 0 <= share < 1")

    @property
    def longest(self) -> float:
        """Seconds of the longest example: recordings with segments are cut to it, neighbours are joined up to it."""
        return 30.0 if self.max_seconds is None else self.max_seconds


@dataclass(frozen=True)
class Speech:
    """What a Whisper model is told before it hears, and how much it hears at once. For no other family."""

    language: str = ""  # "hi" or "Hindi", of the text where a row has no `lang`; of the audio for task "translate"
    task: str = ""  # transcribe or translate (into English), where a row does not say; "" as the checkpoint was trained
    proxy: str = ""  # the language whose token stands for those that the checkpoint has none for
    # The encoder sees the audio's "own" length, or "full" 30 s, padded by silence. "auto" is "own" in training, and in
    # decoding what the checkpoint was trained with: "full" for one of the hub.
    context: str = "auto"
    timestamps: float = 0.5  # share of the training examples with known times that learn to write them

    def __post_init__(self):
        closed = {"task": ("", "transcribe", "translate"), "context": ("auto", "own", "full")}
        wrong = [
            f"speech.{name} is {getattr(self, name)!r}; expected one of {', '.join(choices)}"
            for name, choices in closed.items()
            if getattr(self, name) not in choices
        ]
        if not 0 <= self.timestamps <= 1:
            wrong.append(f"speech.timestamps is {self.timestamps}; expected 0 to 1")
        if wrong:
            raise ConfigError("\n".join(wrong))


@dataclass(frozen=True)
class Guards:
    """When a text of Whisper is not believed. Thresholds are OpenAI's defaults (whisper/transcribe.py).

    A row that fails is decoded again by drawing tokens, at each temperature until it passes; of texts that all failed,
    the likeliest one that does not repeat itself is kept (as faster-whisper does; OpenAI keeps the last, hottest one).
    """

    temperatures: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0)  # of the further tries; (): there are none
    compression_ratio: float = 2.4  # a text that compresses better repeats itself
    avg_logprob: float = -1.0  # nats per token; a text below it is not believed
    no_speech: float = 0.6  # above this probability, and below `avg_logprob`, nothing was said
    # A loop is the same tokens at least so many times on end, and so many tokens long: the search stops there, the row
    # is tried again, and of a loop that is kept the first round stays. 0: loops are not looked for.
    repeats: int = 6
    repeated_tokens: int = 48


@dataclass(frozen=True)
class Decode:
    """How the text of a source is found. CTC takes its best path, whatever stands here."""

    beams: int = 5
    length_penalty: float = 1.0  # above 1 favours long hypotheses
    n_best: int = 1  # hypotheses that are written down, at most `beams`
    temperature: float = 0.0  # above 0: draw each token, from the distribution sharpened or flattened by this
    top_k: int = 0  # draw from so many tokens; 0: from all
    top_p: float = 1.0  # draw from the likeliest tokens that have this share of the probability together
    seed: int = 0  # of what is drawn
    timestamps: bool = False  # Whisper: with the times of phrases
    guards: Guards = Guards()  # Whisper's

    def __post_init__(self):
        least = {"beams": 1, "n_best": 1, "temperature": 0, "top_k": 0, "seed": 0}
        wrong = [
            f"decode.{name} is {getattr(self, name)}; expected >= {low}"
            for name, low in least.items()
            if getattr(self, name) < low
        ]
        if not 0 < self.top_p <= 1:
            wrong.append(f"decode.top_p is {self.top_p}; expected > 0 and <= 1")
        if self.n_best > self.beams and not self.temperature:
            wrong.append(f"decode.n_best is {self.n_best}; expected at most decode.beams, {self.beams}")
        if wrong:
            raise ConfigError("\n".join(wrong))


@dataclass(frozen=True)
class Optim:
    """AdamW and its schedule."""

    lr: float = 1e-4
    schedule: str = "linear"  # linear, cosine, constant or tristage: from the peak at the end of the warm-up
    warmup: float = 0.1  # share of all steps
    final: float = 0.0  # learning rate at the end, as a share of `lr`
    weight_decay: float = 0.01  # of matrices and kernels only
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    clip: float = 1.0  # norm of the gradient of the mean loss per token


@dataclass(frozen=True)
class Run:
    """How long and where."""

    steps: int = 0  # 0: `epochs` decides
    epochs: float = 10.0
    seed: int = 0
    batches_per_step: int = 1  # over all ranks; what ranks do not share out is accumulated
    eval_every: int = 200  # steps
    save_every: int = 200  # steps
    log_every: int = 10  # steps
    keep: int = 2  # newest training states kept
    patience: int = 0  # evaluations without a better dev score before stopping; 0: never
    best_by: str = ""  # which checkpoint is kept as best: by loss or a metric on dev; by default the first metric
    precision: str = "auto"  # auto, fp32, bf16 or fp16
    attention: str = "auto"  # auto, sdpa, eager or flash_attention_2
    checkpointing: bool = False  # layers are computed again in the backward pass: less memory, a third more time
    compile: bool = False  # the first steps compile the layers, which takes minutes (benchmarks/compile.py)
    device: str = "auto"
    max_skips: int = 10  # steps with a loss that is not finite, before training stops

    def __post_init__(self):
        least = {"steps": 0, "seed": 0, "patience": 0, "batches_per_step": 1, "eval_every": 1, "save_every": 1}
        least |= {"log_every": 1, "keep": 1, "max_skips": 1}
        wrong = {name: value for name, value in vars(self).items() if name in least and value < least[name]}
        if wrong or not self.epochs > 0:
            found = ", ".join(f"run.{name} is {value}; expected >= {least[name]}" for name, value in wrong.items())
            raise ConfigError(found or f"run.epochs is {self.epochs}; expected > 0")
        if self.compile and self.checkpointing:  # torch 2.11 fails on some layers of Whisper
            raise ConfigError("run.compile and run.checkpointing are both true; expected one of them")


@dataclass(frozen=True)
class Task:
    """One job from manifest to verdict."""

    name: str
    model: str  # checkpoint folder or hub name
    train: str | Source | tuple[Source, ...] = ()
    dev: str = ""
    test: str = ""
    retain: str = ""  # what the checkpoint could do before, and must still be able to do
    normaliser: str = ""  # of the training targets, and of the texts that are scored; by default the checkpoint's
    score_normaliser: str = ""  # of the texts that are scored, where it is to be another
    equivalences: str = ""  # file of spellings that count as the same when scoring (see speechxfer.scoring.equivalence)
    glossary: str = ""  # file of terms and their translations, for the metric of that name (see scoring.glossary)
    config: dict[str, Any] = field(default_factory=dict)  # of the model's config.json: dropout, mask_time_prob ...
    data: Data = Data()
    speech: Speech = Speech()
    optim: Optim = Optim()
    run: Run = Run()
    decode: Decode = Decode()
    adapt: tuple[Adaptation, ...] = ()
    metrics: tuple[str, ...] = ()  # by default the family's: wer and cer of speech, bleu and chrf++ of translations
    # What the gate demands: {"wer": "<= 0.2"}, or whole lines where one score has several limits.
    require: dict[str, str] | tuple[str, ...] = field(default_factory=dict)
    lint: dict[str, str] = field(default_factory=dict)  # severities of lint's rules: {"audio-clipped": "off"}
    allow_small: bool = False  # the gate may pass a rule for which the test set is too small, unless it is broken

    def sources(self) -> tuple[Source, ...]:
        """The training mixture. Raises ConfigError when there is none."""
        train = self.train if isinstance(self.train, tuple) else (self.train,)
        sources = tuple(Source(s) if isinstance(s, (str, Path)) else s for s in train if s)
        if not sources:
            raise ConfigError("train is not set; expected a manifest: --train FILE or Task(train=...)")
        return sources

    def scored_by(self) -> str:
        """The normaliser of scoring."""
        return self.score_normaliser or self.normaliser or "basic"

    def manifest(self, name: str) -> str:
        """The manifest called dev, test or retain. Raises ConfigError when it is not set."""
        if not (value := getattr(self, name)):
            raise ConfigError(f"{name} is not set; expected a manifest: --{name} FILE or Task({name}=...)")
        return value


def override(task: Task, settings: Sequence[str]) -> Task:
    """A task with fields set from `path=value` strings, typed as the fields are.

    Raises ConfigError with every unknown field (and the nearest one) and every value of another type.
    """
    problems = []
    for setting in settings:
        path, equals, value = setting.partition("=")
        try:
            if not equals:
                raise ConfigError(f"--set {setting}: expected field=value, such as optim.lr=2e-5")
            task = _replaced(task, path.strip().split("."), value.strip(), path.strip())
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return task


def fields(value: Any, prefix: str = "") -> dict[str, Any]:
    """A nested dataclass as flat `path: value`, for printing, writing down and comparing."""
    flat = {}
    for f in dataclasses.fields(value):
        inner = getattr(value, f.name)
        if dataclasses.is_dataclass(inner):
            flat |= fields(inner, f"{prefix}{f.name}.")
        else:
            flat[prefix + f.name] = plain(inner)
    return flat


def plain(value: Any) -> Any:
    """A value as JSON can hold it; dataclasses as {"kind": class name, fields}."""
    if dataclasses.is_dataclass(value):
        names = [f.name for f in dataclasses.fields(value)]
        return {"kind": type(value).__name__} | {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    infinite = isinstance(value, float) and math.isinf(value)  # JSON has no word for it
    return str(value) if infinite or isinstance(value, Path) else value


def _replaced(section: Any, names: list[str], value: str, path: str) -> Any:
    known = [f.name for f in dataclasses.fields(section)]
    if names[0] not in known:
        near = _nearest(path)
        hint = f"did you mean {near}?" if near else f"expected one of {', '.join(known)}"
        raise ConfigError(f"no field {path}; {hint}")
    inner = getattr(section, names[0])
    if len(names) > 1 and isinstance(inner, dict):  # whose own names may hold dots: "retain.wer"
        return dataclasses.replace(section, **{names[0]: {**inner, ".".join(names[1:]): _literal(value)}})
    if len(names) > 1:
        if not dataclasses.is_dataclass(inner):
            raise ConfigError(f"no field {path}; {names[0]} has no fields of its own")
        return dataclasses.replace(section, **{names[0]: _replaced(inner, names[1:], value, path)})
    if dataclasses.is_dataclass(inner):
        raise ConfigError(f"{path} is a section; set one of {', '.join(path + '.' + n for n in fields(inner))}")
    kind = typing.get_type_hints(type(section))[names[0]]
    return dataclasses.replace(section, **{names[0]: parse(value, kind, path)})


def _nearest(path: str) -> str | None:
    """The field that was meant: of this very name in any section, else of a near one in this section, else in any."""
    parent, _, name = path.rpartition(".")
    anywhere = {field.rpartition(".")[2]: field for field in reversed(fields(Task(name="", model="")))}
    beside = {name: field for name, field in anywhere.items() if field.rpartition(".")[0] == parent}
    for choices, least in ((anywhere, 1.0), (beside, 0.6), (anywhere, 0.6)):
        if near := difflib.get_close_matches(name, choices, n=1, cutoff=least):
            return choices[near[0]]
    return None


def _literal(value: str) -> Any:
    """A Python literal, or the text itself where it is none."""
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError):
        return value


def parse(value: str, kind: Any, path: str) -> Any:
    """A value of the type `kind` from its text. Raises ConfigError naming the field and what it takes."""
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if type(None) in options and value.lower() == "none":
        return None
    if str in options:
        return value
    if bool in options and value.lower() in ("true", "false"):
        return value.lower() == "true"
    parsed = math.inf if value == "inf" else _literal(value)
    for option in options:
        base = typing.get_origin(option) or option
        if base is tuple and typing.get_args(option)[0] not in (str, float, int):
            raise ConfigError(f"{path} cannot be set from the command line; write a task module, or see --help")
        if base is tuple:
            parts = parsed if isinstance(parsed, (tuple, list)) else value.split(",") if value else ()
            kinds = typing.get_args(option)
            if kinds[-1] is not ... and len(parts) != len(kinds):
                raise ConfigError(f"{path} is {value!r}; expected {len(kinds)} values with a comma between them")
            return tuple(parse(str(part).strip(), kinds[0], path) for part in parts)
        if base is float and isinstance(parsed, (int, float)) and not isinstance(parsed, bool):
            return float(parsed)
        if base in (int, dict) and type(parsed) is base:
            return parsed
    expected = " or ".join(getattr(o, "__name__", str(o)) for o in options)
    raise ConfigError(f"{path} is {value!r}; expected {expected}")
