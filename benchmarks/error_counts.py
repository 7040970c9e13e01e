"""WER and CER of many utterances: counting edits against jiwer. Run: python benchmarks/error_counts.py

Sentences of 5 to 15 words from a Zipfian vocabulary, with word errors of about 15 % (some other word, some wrong by a
letter), as they come from a recogniser: both sides start from the strings. The two take turns in one run; seconds are
of this process's CPU, so that other work on the machine counts less; figures are medians over the rounds and (lowest to
highest). In each run the counts must be the same.
"""

import random
import time

import jiwer
import numpy as np

from speechxfer.scoring.edits import characters, edit_counts, words

SIZES, ROUNDS = (10_000, 100_000), 5
LETTERS = "etaoinshrdlucmfwypvbgkjqxz"


def pairs(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    rng = random.Random(seed)
    vocabulary = ["".join(rng.choices(LETTERS, k=rng.randint(1, 9))) for _ in range(20_000)]
    weights = [1 / rank for rank in range(3, 20_003)]
    drawn = iter(rng.choices(vocabulary, weights, k=count * 20))
    refs, hyps = [], []
    for _ in range(count):
        ref = [next(drawn) for _ in range(rng.randint(5, 15))]
        hyp = []
        for word in ref:
            chance = rng.random()
            if chance < 0.06:  # a letter wrong
                place = rng.randrange(len(word))
                hyp.append(word[:place] + rng.choice(LETTERS) + word[place + 1 :])
            elif chance < 0.10:
                hyp.append(next(drawn))
            elif chance < 0.125:
                hyp += [word, next(drawn)]
            elif chance > 0.025 + 0.125:
                hyp.append(word)
        refs.append(" ".join(ref))
        hyps.append(" ".join(hyp))
    return refs, hyps


def spread(values: list[float], form: str) -> str:
    return f"{np.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main() -> None:
    print(f"{'':4}{'pairs':>8}{'rate %':>8}{'ours, s':>25}{'jiwer, s':>22}{'jiwer / ours':>24}")
    for count in SIZES:
        refs, hyps = pairs(count)
        for name, tokens, peer in (
            ("wer", words, jiwer.process_words),
            ("cer", characters, jiwer.process_characters),
        ):
            ours, theirs = [], []
            for _ in range(ROUNDS):
                began = time.process_time()
                sums = edit_counts(map(tokens, refs), map(tokens, hyps)).sum(axis=0)
                ours.append(time.process_time() - began)
                began = time.process_time()
                output = peer(refs, hyps)
                theirs.append(time.process_time() - began)
                found = [output.insertions, output.deletions, output.substitutions, output.hits]
                if sums.tolist() != found:
                    raise SystemExit(f"{name}: insertions, deletions, substitutions, hits {sums}, but jiwer's {found}")
                del output  # its alignments would slow down whatever allocates next
            ratios = [their / our for our, their in zip(ours, theirs, strict=True)]
            rate = 100 * sums[:3].sum() / sums[1:].sum()
            print(
                f"{name:4}{count:8,}{rate:8.1f}{spread(ours, '.3f'):>25}{spread(theirs, '.2f'):>22}"
                f"{spread(ratios, '.1f'):>24}"
            )


if __name__ == "__main__":
    main()
