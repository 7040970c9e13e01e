"""Toys that tiny models learn in seconds: a language of which every letter is a tone, and a pair of languages."""

import contextlib
import io
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the models are tiny: more threads only get in the way

from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 16_000
TONES = {"a": 300, "b": 700, "c": 1200, "d": 1900, " ": 0}
# word -> its translation; a sentence of them is translated word by word, the last word first
LEXICON = {
    "ab": "पानी",
    "ba": "घर",
    "cad": "हाथी",
    "dac": "क\u093cलम",  # with a nukta of its own, as NFC has it
    "bcd": "विद्या",
    "dd": "मैं",
    "abc": "जल्दी",
    "cb": "है",
}
REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


def tones(text: str, rng: np.random.Generator) -> np.ndarray:
    """(n,) float32: 0.12 s of a letter's tone and 0.04 s of near silence, letter after letter."""
    time = np.arange(int(0.12 * RATE)) / RATE
    pieces = [np.zeros(400)]
    for letter in text:
        pieces += [0.3 * np.sin(2 * np.pi * TONES[letter] * time), np.zeros(int(0.04 * RATE))]
    samples = np.concatenate(pieces)
    return (samples + 0.003 * rng.standard_normal(len(samples))).astype(np.float32)


def write_toy(
    folder: Path, name: str, count: int, seed: int, group: dict[str, str] | None = None, words: int = 3
) -> Path:
    """A manifest of `count` utterances of at most so many words of one to three letters, with its audio."""
    rng = np.random.default_rng(seed)
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(count):
        said = ["".join(rng.choice(list("abcd"), rng.integers(1, 4))) for _ in range(rng.integers(1, words + 1))]
        text, path = " ".join(said), f"audio/{name}-{i:03d}.wav"
        samples = tones(text, rng)
        soundfile.write(folder / path, samples, RATE)
        row = {"id": f"{name}-{i:03d}", "audio": path, "text": text, "seconds": len(samples) / RATE}
        rows.append(row | {"group": {"speaker": f"{name}-{i % 4}"} | (group or {}), "lang": "xx"})
    manifest = folder / f"{name}.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def write_tiny(folder: Path, letters: str = "abcd", **changes) -> Path:
    """A random wav2vec2 CTC checkpoint of some 40,000 parameters, laid out like the "large" ones."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    from speechxfer.models.ctc_frontend import CtcFrontend
    from speechxfer.models.vocabulary import Vocabulary

    vocabulary = Vocabulary.from_texts([letters])
    settings = dict(
        vocab_size=len(vocabulary.ids),
        pad_token_id=vocabulary.blank,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        conv_dim=(16, 16, 32),
        conv_kernel=(10, 8, 8),
        conv_stride=(5, 8, 8),
        num_feat_extract_layers=3,
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        mask_time_prob=0.05,
        mask_time_length=2,
        layerdrop=0.2,
    )
    config = Wav2Vec2Config(**settings | changes)
    torch.manual_seed(0)
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    mask = config.feat_extract_norm == "layer"
    CtcFrontend(vocabulary, RATE, config.conv_kernel, config.conv_stride, mask=mask).save(folder)
    return folder


def translated(source: str) -> str:
    """What the toy pair's target language says for it."""
    first, *others = (LEXICON[word] for word in reversed(source.split()))
    return " ".join([first, *reversed(others)])


def toy_sources(count: int, seed: int) -> list[str]:
    """Sentences of one to five words, all different."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(list(LEXICON), rng.integers(1, 6), replace=False)) for _ in range(count)]


def write_toy_pairs(folder: Path, name: str, count: int, seed: int) -> Path:
    """A manifest of `count` sentences of the toy pair."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / f"{name}.jsonl"
    rows = [
        {"id": f"{name}-{i:03d}", "source": source, "text": translated(source), "lang": "hi"}
        for i, source in enumerate(toy_sources(count, seed))
    ]
    manifest.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return manifest


def write_tiny_marian(folder: Path, joint: bool = True, **size) -> Path:
    """A random Marian checkpoint of some 200,000 parameters that has the pieces of the toy pair."""
    from speechxfer.models.marian_random import Size, write_random

    settings = dict(pieces=150, d_model=64, encoder_layers=2, decoder_layers=2, ffn=128, heads=2, positions=40)
    sources = toy_sources(200, seed=0)
    targets = [translated(source) for source in sources]
    return write_random(folder, sources, targets, size=Size(joint=joint, **settings | size))


def write_tiny_whisper(folder: Path, **changes) -> Path:
    """A random Whisper of some 150,000 parameters, with bytes as pieces and all special tokens."""
    from speechxfer.models.whisper_random import Size, write_random

    settings = dict(pieces=300, d_model=32, encoder_layers=2, decoder_layers=2, heads=2, ffn=64)
    texts = ["ab cad a dd bcd", "नमस्ते दुनिया, कैसे हो?", "hello world"] * 10
    return write_random(folder, Size(**settings | changes), texts)


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Path:
    """A folder with train, dev and old (another source) manifests of the toy language, and a checkpoint `tiny`."""
    folder = tmp_path_factory.mktemp("toy")
    write_toy(folder, "train", 48, seed=1)
    write_toy(folder, "dev", 12, seed=2)
    write_toy(folder, "old", 30, seed=3)
    write_tiny(folder / "tiny")
    return folder


@pytest.fixture(scope="session")
def speech_run(toy, tmp_path_factory) -> Path:
    """A run folder in which the toy language was learnt in a few seconds of training."""
    from speechxfer.task import Data, Optim, Run, Task
    from speechxfer.train import train

    task = Task(
        name="toy",
        model=str(toy / "tiny"),
        train=str(toy / "train.jsonl"),
        dev=str(toy / "dev.jsonl"),
        data=Data(batch_seconds=12, workers=0),
        optim=Optim(lr=5e-3),
        run=Run(steps=300, eval_every=100, save_every=300, precision="fp32", device="cpu"),
    )
    out = tmp_path_factory.mktemp("speech-run") / "run"
    result = train(task, out)
    assert result.best < 0.1, "the toy model did not learn to speak: see tests/test_train.py"
    return out


@pytest.fixture(scope="session")
def toy_pair(tmp_path_factory) -> Path:
    """A folder with train, dev, test and old manifests of the toy pair, and checkpoints `joint` and `separate`."""
    folder = tmp_path_factory.mktemp("pair")
    for seed, (name, count) in enumerate((("train", 800), ("dev", 24), ("test", 40), ("old", 60))):
        write_toy_pairs(folder, name, count, seed + 1)
    for form in ("joint", "separate"):
        write_tiny_marian(folder / form, joint=form == "joint")
    return folder


@pytest.fixture(scope="session")
def pair_run(toy_pair, tmp_path_factory) -> tuple[Path, int, str]:
    """A run folder in which the toy pair was learnt by one command; its exit code, and what it printed."""
    from speechxfer.cli import main

    out = tmp_path_factory.mktemp("pair-run") / "run"
    settings = {"data.batch_tokens": 600, "data.workers": 0, "config.dropout": 0.0, "optim.lr": 3e-3, "run.steps": 260}
    settings |= {"run.eval_every": 130, "run.log_every": 20, "run.precision": "fp32", "run.device": "cpu"}
    command = ["run", "--model", str(toy_pair / "separate"), "--out", str(out), "--require", "chrf++ > 90"]
    command += [word for name in ("train", "dev", "test") for word in (f"--{name}", str(toy_pair / f"{name}.jsonl"))]
    with contextlib.redirect_stdout(io.StringIO()) as said, pytest.raises(SystemExit) as end:
        main(argv=[*command, *(f"--set={name}={value}" for name, value in settings.items())])
    return out, end.value.code, said.getvalue()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real speech and text, where it is at hand."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"{REAL_DATA} is missing: tests on real speech need it")
    return REAL_DATA
