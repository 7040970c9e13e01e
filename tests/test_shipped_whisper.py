"""The small Whisper that is shipped: what it hears, when, in which files; and that learning an accent keeps the times.

Synthetic speech of unseen speakers and sentences, as its card has it. The bars stand well below what it reached.
"""

from dataclasses import replace
from pathlib import Path

import jiwer
import numpy as np
import pytest
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from speechxfer import Data, Decode, Optim, Run, Source, Task, load, read_manifest
from speechxfer.demo import WHISPER
from speechxfer.demo.corpus import CorpusSpec, write_corpus
from speechxfer.pieces import write_stitched
from speechxfer.task import Guards
from speechxfer.train import train

GREEDY = Decode(beams=1, guards=Guards(temperatures=()))  # a text is tried once, for time's sake
NEAR = 0.2  # seconds


@pytest.fixture(scope="module")
def spoken(tmp_path_factory) -> dict[str, Path]:
    """Manifests by name: minutes of two accents, and American speech joined to recordings of up to 10 s."""
    folder = tmp_path_factory.mktemp("spoken")
    made = {
        f"{accent}-{split}": write_corpus(folder, CorpusSpec(accent, split, minutes), progress=False, workers=1)
        for accent, split, minutes in (("american", "test", 1), ("american", "train", 1), ("scottish", "train", 1))
    }
    return made | {"long": write_stitched(made["american-test"], folder / "long.jsonl", seconds=10.0)}


def test_it_is_small_and_has_the_public_ids():
    assert sum(file.stat().st_size for file in WHISPER.iterdir()) < 20e6
    processor = WhisperProcessor.from_pretrained(WHISPER)
    net = WhisperForConditionalGeneration.from_pretrained(WHISPER)
    assert net.config.vocab_size == len(processor.tokenizer) == 51_865
    assert processor.tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|hi|>", "<|0.00|>"]) == [50257, 50276, 50364]


def test_it_hears_american_voices_it_has_not_heard_before(spoken):
    examples = list(read_manifest(spoken["american-test"]))
    heard = load(WHISPER, device="cpu").transcribe([e.audio for e in examples], decode=GREEDY)
    assert jiwer.wer([e.text for e in examples], [one.text for one in heard]) < 0.25


def times_of(checkpoint: Path, manifest: Path) -> float:
    """The share of starts and ends of phrases that were told within 0.2 s. Asserts that times are in order."""
    examples, near = list(read_manifest(manifest)), []
    heard = load(checkpoint, device="cpu").transcribe(
        [e.audio for e in examples], decode=replace(GREEDY, timestamps=True)
    )
    for example, found in zip(examples, heard, strict=True):
        told = [time for _, *ends in found.segments for time in ends]
        assert told == sorted(told)
        for _, *ends in example.segments:
            near += [min((abs(time - end) for time in told), default=np.inf) < NEAR for end in ends]
    return float(np.mean(near))


def test_times_of_phrases_are_right_before_and_after_learning_an_accent(spoken, tmp_path):
    before = times_of(WHISPER, spoken["long"])
    task = Task(
        name="scottish",
        model=str(WHISPER),
        train=(Source(str(spoken["scottish-train"])), Source(str(spoken["american-train"]))),
        dev=str(spoken["american-test"]),
        data=Data(batch_seconds=30, workers=0, stitch=0.5, max_seconds=10.0),
        optim=Optim(lr=1e-4),
        run=Run(steps=24, eval_every=24, device="cpu", precision="fp32"),
        allow_small=True,
    )
    train(task, tmp_path / "run")
    after = times_of(tmp_path / "run/last", spoken["long"])
    print(f"within {NEAR} s: {before:.3f} before, {after:.3f} after")
    assert before > 0.55 and after > 0.45, "by chance a third"
