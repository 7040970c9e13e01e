"""The scores that can be asked for by name: what each counts of an item, and how sums of that become a score.

Every score is a function of sums over items, so corpora, groups and resamples are scored alike, and the average of
sentence scores cannot be reported by accident.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Literal

import numpy as np

from speechxfer.errors import ConfigError, ScoreError
from speechxfer.scoring import edits, glossary, survival, translation

SEGMENTS = "segments"  # the tokens of scores that were made elsewhere
EDIT_COLUMNS = ("insertions", "deletions", "substitutions", "hits")


@dataclass(frozen=True)
class Metric:
    """A score whose statistics add over items: value(sum of statistics) is the corpus's score.

    `name` as in a task or a rule; `tokens` what it counts, for the signature; `counter` the distribution that counts,
    whose version tells where a score came from; `columns` the names of the k statistics.
    `statistics` takes what `reads` names, in that order: the references of each item [n][>= 1], the hypotheses [n],
    the sources [n] that were translated; it gives float64 [n, k]. `value` takes sums [..., k] and gives [...]: NaN
    where there is nothing to divide by. `unit` is "rate" for a fraction that is shown in per cent, "points" for a
    number that is shown as it is. A `verbatim` metric scores the text as it is, in NFC; others the output of the task's
    normaliser. `bounds` enclose every value. A `sparse` metric counts what whole test sets may lack, such as numbers:
    where there is none of it there is no score, and no mistake either.
    """

    name: str
    tokens: str
    counter: str
    columns: tuple[str, ...]
    statistics: Callable[..., np.ndarray]
    value: Callable[[np.ndarray], np.ndarray]
    unit: Literal["rate", "points"]
    higher_is_better: bool
    verbatim: bool
    bounds: tuple[float, float]
    reads: tuple[Literal["sources", "references", "hypotheses"], ...] = ("references", "hypotheses")
    sparse: bool = False


# Error rates


def edit_statistics(
    tokens: Callable[[str], Sequence[str]], references: Sequence[Sequence[str]], hypotheses: Sequence[str]
) -> np.ndarray:
    """[n, 4], EDIT_COLUMNS, against the reference with the lowest error rate; of equals the longer, then the first."""
    if not all(references):
        raise ValueError("an item without a reference; expected at least one (it may be empty)")
    refs = (tokens(text) for texts in references for text in texts)
    hyps = (tokens(hyp) for texts, hyp in zip(references, hypotheses, strict=True) for _ in texts)
    counts = edits.edit_counts(refs, hyps).astype(np.float64)
    if len(counts) > len(references):
        item = np.repeat(np.arange(len(references)), [len(texts) for texts in references])
        length = counts[:, 1:].sum(axis=1)
        rate = counts[:, :3].sum(axis=1) / np.maximum(length, 1)  # as Counts.rate
        order = np.lexsort((-length, rate, item))  # keeps the order of equals
        counts = counts[order][np.flatnonzero(np.diff(item, prepend=-1))]
    return counts


def error_rate(sums: np.ndarray) -> np.ndarray:
    """Edits per reference token (WER, CER); may exceed 1."""
    insertions, deletions, substitutions, hits = np.moveaxis(sums, -1, 0)
    return _ratio(insertions + deletions + substitutions, hits + substitutions + deletions)


def match_error_rate(sums: np.ndarray) -> np.ndarray:
    """Edits per position of the alignment (MER), 0..1.

    Morris, Maier & Green 2004, "From WER and RIL to MER and WIL".
    """
    insertions, deletions, substitutions, hits = np.moveaxis(sums, -1, 0)
    edited = insertions + deletions + substitutions
    return np.where(hits + substitutions + deletions > 0, _ratio(edited, edited + hits), np.nan)


def information_lost(sums: np.ndarray) -> np.ndarray:
    """Word information lost (WIL), 0..1: 1 - the product of the hits' shares in reference and hypothesis (ibid.)."""
    insertions, deletions, substitutions, hits = np.moveaxis(sums, -1, 0)
    of_hypothesis = np.nan_to_num(_ratio(hits, hits + substitutions + insertions))  # an empty one keeps nothing
    return 1 - _ratio(hits, hits + substitutions + deletions) * of_hypothesis


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)


# wer, mer and wil share one function of the texts, so whoever wants all three can count once
_STATISTICS = {name: partial(edit_statistics, tokens) for name, tokens in edits.TOKENS.items()}
_OTHER_VALUES = {"mer": match_error_rate, "wil": information_lost}


def _edit_metric(name: str, references: Sequence[str]) -> Metric:
    tokens = edits.COUNTED[name]
    return Metric(
        name=name,
        tokens=tokens,
        counter="regex" if tokens == "graphemes" else "rapidfuzz",  # where clusters begin follows Unicode's version
        columns=EDIT_COLUMNS,
        statistics=_STATISTICS[tokens],
        value=_OTHER_VALUES.get(name, error_rate),
        unit="rate",
        higher_is_better=False,
        verbatim=False,
        bounds=(0.0, 1.0 if name in _OTHER_VALUES else math.inf),
    )


# Translation


def _translation_metric(name: str, tokens: str, columns, statistics, value, higher_is_better: bool = True) -> Metric:
    return Metric(
        name=name,
        tokens=tokens,
        counter="sacrebleu",
        columns=columns,
        statistics=statistics,
        value=value,
        unit="points",
        higher_is_better=higher_is_better,
        verbatim=True,
        bounds=(0.0, 100.0 if higher_is_better else math.inf),
    )


def _bleu(references: Sequence[str], tokeniser: str = "") -> Metric:
    name = f"bleu:{tokeniser}" if tokeniser else "bleu"
    tokens = tokeniser or translation.tokeniser(references)
    statistics = partial(translation.bleu_statistics, tokens)
    return _translation_metric(name, tokens, translation.BLEU_COLUMNS, statistics, translation.bleu_value)


def _ter(references: Sequence[str], tokeniser: str = "") -> Metric:
    """By default sacrebleu's own, where 13a would do; else the script's tokeniser before it."""
    name = f"ter:{tokeniser}" if tokeniser else "ter"
    tokens = tokeniser or translation.tokeniser(references)
    if not tokeniser and tokens == "13a":
        tokens = "none"
    label = "tercom" if tokens == "none" else f"{tokens}+tercom"
    statistics = partial(translation.ter_statistics, tokens)
    return _translation_metric(name, label, translation.TER_COLUMNS, statistics, translation.ter_value, False)


def _chrf(name: str, word_order: int, references: Sequence[str]) -> Metric:
    columns = translation.chrf_columns(word_order)
    tokens = f"char{translation.CHAR_ORDER}" + (f"+word{word_order}" if word_order else "")
    statistics = partial(translation.chrf_statistics, word_order)
    return _translation_metric(name, tokens, columns, statistics, translation.chrf_value)


# Against the source


def kept(numerals: survival.Numerals | None = None) -> Metric:
    """Of what must survive translation, how much does; `numerals` know numbers that are written in words."""
    return Metric(
        name="kept",
        tokens="+".join(survival.KINDS)
        + f".v{survival.VERSION}"
        + (f"+numerals:{numerals.signature}" if numerals else ""),
        counter="speechxfer",
        columns=survival.COLUMNS,
        statistics=partial(survival.statistics, numerals),
        value=survival.kept_value,
        unit="rate",
        higher_is_better=True,
        verbatim=True,
        bounds=(0.0, 1.0),
        reads=("sources", "references", "hypotheses"),
        sparse=True,
    )


def terms(given: glossary.Glossary | None = None) -> Metric:
    """Of the terms of a glossary in the sources, how many are translated by it. Without one there are no statistics."""
    return Metric(
        name="glossary",
        tokens=f"terms:{given.signature}" if given else "terms",
        counter="regex",
        columns=glossary.COLUMNS,
        statistics=partial(glossary.statistics, given),
        value=_quotient,
        unit="rate",
        higher_is_better=True,
        verbatim=True,
        bounds=(0.0, 1.0),
        reads=("sources", "hypotheses"),
        sparse=True,
    )


METRICS: dict[str, Callable[[Sequence[str]], Metric]] = {
    **{name: partial(_edit_metric, name) for name in edits.COUNTED},
    "bleu": _bleu,
    "chrf": partial(_chrf, "chrf", 0),
    "chrf++": partial(_chrf, "chrf++", translation.WORD_ORDER),
    "ter": _ter,
    "kept": lambda references: kept(),
    "glossary": lambda references: terms(),
}
TOKENISED = ("bleu", "ter")  # these take a tokeniser by name: bleu:13a


def find(name: str, references: Sequence[str], given: Sequence[str] = ()) -> Metric:
    """The metric of that name, for references in the script of this sample: bleu and ter choose a tokeniser by it.

    `bleu:13a`, `ter:intl` and so on name the tokeniser (one of `translation.TOKENISERS`). Raises ConfigError for an
    unknown name or tokeniser; `given` are the columns of scores that may have been meant.
    """
    base, colon, tokeniser = name.partition(":")
    if not colon and name in METRICS:
        return METRICS[name](references)
    if colon and base in TOKENISED:
        if tokeniser in translation.TOKENISERS:
            return METRICS[base](references, tokeniser)
        known = ", ".join(translation.TOKENISERS)
        if tokeniser in translation.REFUSED:
            why = translation.REFUSED[tokeniser]
            raise ConfigError(f"{name}: the tokeniser {tokeniser} is not used here: {why}; expected one of {known}")
        raise ConfigError(f"{name}: no tokeniser {tokeniser!r}; expected one of {known}")
    if colon and base in METRICS:
        raise ConfigError(f"{name}: {base} takes no tokeniser; expected {base!r}")
    near = get_close_matches(name, (*METRICS, *given), 1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join((*METRICS, *given))}"
    raise ConfigError(f"no metric {name!r}; {hint}")


# Scores made elsewhere


def column(name: str) -> Metric:
    """Scores of segments that another program gave (COMET): statistics [n, 2] (score, 1), the value is their mean.

    They cannot be found from texts: `statistics` raises ScoreError. Higher is taken for better.
    """
    return Metric(
        name=name,
        tokens=SEGMENTS,
        counter="speechxfer",
        columns=("sum", "items"),
        statistics=partial(_made_elsewhere, name),
        value=_quotient,
        unit="points",
        higher_is_better=True,
        verbatim=True,
        bounds=(-math.inf, math.inf),
    )


def _made_elsewhere(name: str, references: Sequence[Sequence[str]], hypotheses: Sequence[str]) -> np.ndarray:
    raise ScoreError(f"{name} is a column of scores made elsewhere; expected it with the predictions, not from texts")


def _quotient(sums: np.ndarray) -> np.ndarray:
    return _ratio(sums[..., 0], sums[..., 1])
