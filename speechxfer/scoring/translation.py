"""BLEU, chrF and TER: sacrebleu's statistics of every segment, and its formulas over whole arrays of their sums.

A resampling test scores thousands of sums. The value functions do so at once, in sacrebleu's order of floating-point
operations, so their results are its results to the last bit. That includes its float32: sums of that type (as in its
bootstrap) are divided in that type.

sacrebleu's default tokeniser, 13a, knows the punctuation of ASCII alone: it leaves the danda of Hindi and the comma of
Arabic glued to the word. `tokeniser` chooses one that fits the script.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain, zip_longest

import numpy as np

BLEU_ORDER, CHAR_ORDER, WORD_ORDER = 4, 6, 2  # sacrebleu's defaults; the last is that of chrF++
BETA = 2  # chrF: recall counts BETA times as much as precision

BLEU_COLUMNS = (
    "hyp_tokens",
    "ref_tokens",
    *(f"matches_{n}" for n in range(1, BLEU_ORDER + 1)),
    *(f"hyp_{n}" for n in range(1, BLEU_ORDER + 1)),
)
TER_COLUMNS = ("edits", "ref_tokens")


def chrf_columns(word_order: int) -> tuple[str, ...]:
    """For each order of character and word n-grams: how many the hypothesis has, the reference has, and both have."""
    orders = [f"char_{n}" for n in range(1, CHAR_ORDER + 1)] + [f"word_{n}" for n in range(1, word_order + 1)]
    return tuple(f"{which}_{order}" for order in orders for which in ("hyp", "ref", "match"))


# Tokenisers

TOKENISERS: dict[str, str] = {
    "13a": "WMT's: splits off ASCII punctuation",
    "intl": "splits off all Unicode punctuation and symbols, but for punctuation after a digit",
    "zh": "each Chinese character for itself, the rest as 13a",
    "char": "each character for itself",
    "none": "the text is split at its spaces",
}
REFUSED: dict[str, str] = {
    "flores101": "it downloads a SentencePiece model when it is used",
    "flores200": "it downloads a SentencePiece model when it is used",
    "spm": "it downloads a SentencePiece model when it is used",
    "spBLEU-1K": "it downloads a SentencePiece model when it is used",
    "ja-mecab": "it needs MeCab and a dictionary, and scores depend on the dictionary's version; char does without",
    "ko-mecab": "it needs MeCab and a dictionary, and scores depend on the dictionary's version; intl does without",
}
KANA_SHARE = 0.1  # of Han and kana together: above it a text is Japanese (which has about a half), below it Chinese


def tokeniser(references: Iterable[str]) -> str:
    """The tokeniser for the script that most letters of the references are written in.

    13a for Latin, Cyrillic and Greek (and where there is no letter), as all the world's published scores; zh for
    Chinese; char for Japanese and for scripts without spaces between words (Thai, Lao, Khmer, Myanmar); intl for all
    others: Devanagari and the other scripts of India, Arabic, Hebrew, Ethiopic, Korean ...
    """
    import regex

    letters = Counter()
    for text in references:
        letters.update(text)
    share = Counter()
    for letter, times in letters.items():
        if regex.match(r"\p{L}", letter):
            share[_family(letter)] += times
    if not share:
        return "13a"
    chinese, kana = share.pop("han", 0), share.pop("kana", 0)
    share["char" if kana > KANA_SHARE * (chinese + kana) else "zh"] += chinese + kana
    return max(share, key=lambda name: (share[name], name))


def _family(letter: str) -> str:
    import regex

    if regex.match(r"[\p{Latin}\p{Cyrillic}\p{Greek}]", letter):
        return "13a"
    if regex.match(r"\p{Han}", letter):
        return "han"
    if regex.match(r"[\p{Hiragana}\p{Katakana}]", letter):
        return "kana"
    return "char" if regex.match(r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]", letter) else "intl"


@cache
def _scorer(kind: str, setting: str | int):
    """sacrebleu's object, kept: its tokenisers remember the lines that they have seen."""
    from sacrebleu.metrics import BLEU, CHRF, TER

    makers = {
        "bleu": lambda: BLEU(tokenize=setting, force=True),  # force: no warning that the text looks tokenised
        "chrf": lambda: CHRF(word_order=setting),
        "ter": TER,
    }
    return makers[kind]()


# Statistics of segments: (references of each item [n][>= 1], hypotheses [n]) -> float64 [n, k]


def bleu_statistics(tokeniser: str, references: Sequence[Sequence[str]], hypotheses: Sequence[str]) -> np.ndarray:
    """[n, 10], the columns of BLEU_COLUMNS; `ref_tokens` is the length of the reference that is closest in length."""
    return _extract(_scorer("bleu", tokeniser), references, hypotheses, len(BLEU_COLUMNS))


def chrf_statistics(word_order: int, references: Sequence[Sequence[str]], hypotheses: Sequence[str]) -> np.ndarray:
    """[n, 18 or 24], the columns of `chrf_columns`, against the reference with the best score."""
    return _extract(_scorer("chrf", word_order), references, hypotheses, len(chrf_columns(word_order)))


def ter_statistics(tokeniser: str, references: Sequence[Sequence[str]], hypotheses: Sequence[str]) -> np.ndarray:
    """[n, 2], TER_COLUMNS: edits to the nearest reference, and the average length of the references.

    sacrebleu's TER splits lower-cased text at spaces and leaves all punctuation glued on. "none" is just that; any
    other tokeniser is applied before.
    """
    if tokeniser != "none":
        split = _scorer("bleu", tokeniser).tokenizer
        references = [[split(text.rstrip()) for text in texts] for texts in references]
        hypotheses = [split(text.rstrip()) for text in hypotheses]
    return _extract(_scorer("ter", ""), references, hypotheses, len(TER_COLUMNS))


def _extract(scorer, references: Sequence[Sequence[str]], hypotheses: Sequence[str], columns: int) -> np.ndarray:
    """Through the function that sacrebleu's own significance tests use.

    It wants the first reference of all items, then the second: None where an item has no more.
    """
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} items with references and {len(hypotheses)} hypotheses; expected as many")
    if not hypotheses:
        return np.zeros((0, columns))
    rows = scorer._extract_corpus_statistics(hypotheses, list(zip_longest(*references)))
    return np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * columns).reshape(-1, columns)


# Values of sums: [..., k] -> [...]. NaN where the references have no token; else what sacrebleu gives.


def bleu_value(sums: np.ndarray) -> np.ndarray:
    """0..100. Papineni et al. 2002, with sacrebleu's defaults: up to 4-grams, exponential smoothing.

    Smoothing: the k-th order without a match counts as 1 / 2**k of a match (Chen & Cherry 2014, method 3).
    """
    sums = _floats(sums)
    hyp_tokens, ref_tokens = (sums[..., i].astype(np.float64) for i in range(2))
    matches, total = sums[..., 2 : 2 + BLEU_ORDER], sums[..., 2 + BLEU_ORDER :]
    missed = (matches == 0) & (total > 0)
    smooth = (2.0 ** missed.cumsum(axis=-1)).astype(sums.dtype)
    with np.errstate(divide="ignore", invalid="ignore"):
        precisions = np.where(missed, 100.0 / (smooth * total), 100.0 * matches / total)
        shorter = 1.0 - ref_tokens / hyp_tokens
    precisions = np.where(total > 0, precisions, 0.0).astype(np.float64)
    penalty = np.where(hyp_tokens < ref_tokens, np.float64(_exp(shorter)), 1.0)
    score = penalty * np.float64(_geometric_means(*np.moveaxis(precisions, -1, 0)))
    score = np.where(matches.any(axis=-1), score, 0.0)
    return np.where(ref_tokens > 0, score, np.nan)


def _geometric_mean(*precisions: float) -> float:
    return math.exp(sum(math.log(p) if p else -9999999999 for p in precisions) / len(precisions))


# element by element with Python's log, sum and exp, as sacrebleu: numpy's differ from them in the last bit
_geometric_means = np.frompyfunc(_geometric_mean, BLEU_ORDER, 1)
_exp = np.frompyfunc(math.exp, 1, 1)


def chrf_value(sums: np.ndarray) -> np.ndarray:
    """0..100. Popović 2015 and 2017, with sacrebleu's averaging over the orders that both sides have."""
    sums = _floats(sums)
    precision, recall, orders = (np.zeros(sums.shape[:-1], sums.dtype) for _ in range(3))
    with np.errstate(divide="ignore", invalid="ignore"):
        for i in range(0, sums.shape[-1], 3):
            hyp, ref, match = (sums[..., i + j] for j in range(3))
            both = (hyp > 0) & (ref > 0)
            precision += np.where(both, match / hyp, 0)
            recall += np.where(both, match / ref, 0)
            orders += both
        precision, recall = precision / orders, recall / orders
        score = (1 + BETA**2) * precision * recall
        score /= BETA**2 * precision + recall
        score = np.where(precision + recall > 0, 100 * score, 0)
    return np.where(sums[..., 1] > 0, score, np.nan)


def ter_value(sums: np.ndarray) -> np.ndarray:
    """Edits per 100 reference tokens; may exceed 100. Snover et al. 2006."""
    sums = _floats(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums[..., 1] > 0, 100 * (sums[..., 0] / sums[..., 1]), np.nan)


def _floats(sums: np.ndarray) -> np.ndarray:
    sums = np.asarray(sums)
    return sums if np.issubdtype(sums.dtype, np.floating) else sums.astype(np.float64)
