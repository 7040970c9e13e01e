"""A toy language that a tiny model can learn in seconds: every letter is a tone."""

import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the models are tiny: more threads only get in the way

from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 16_000
TONES = {"a": 300, "b": 700, "c": 1200, "d": 1900, " ": 0}
REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


def tones(text: str, rng: np.random.Generator) -> np.ndarray:
    """(n,) float32: 0.12 s of a letter's tone and 0.04 s of near silence, letter after letter."""
    time = np.arange(int(0.12 * RATE)) / RATE
    pieces = [np.zeros(400)]
    for letter in text:
        pieces += [0.3 * np.sin(2 * np.pi * TONES[letter] * time), np.zeros(int(0.04 * RATE))]
    samples = np.concatenate(pieces)
    return (samples + 0.003 * rng.standard_normal(len(samples))).astype(np.float32)


def write_toy(folder: Path, name: str, count: int, seed: int, group: dict[str, str] | None = None) -> Path:
    """A manifest of `count` utterances of two to eight letters, with its audio."""
    rng = np.random.default_rng(seed)
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(count):
        words = ["".join(rng.choice(list("abcd"), rng.integers(1, 4))) for _ in range(rng.integers(1, 4))]
        text, path = " ".join(words), f"audio/{name}-{i:03d}.wav"
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
def real_data() -> Path:
    """Real speech and text, where it is at hand."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"{REAL_DATA} is missing: tests on real speech need it")
    return REAL_DATA
