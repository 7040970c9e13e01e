"""Pre-train the small recogniser that the demo starts from, on synthetic American voices.

    python tasks/pretrain_ctc.py train --out runs/pretrain

writes about 30 hours of espeak-ng speech (3.5 GB, minutes) into runs/pretrain-data, then trains a 5.6 M parameter
wav2vec2 from random weights.
"""

from pathlib import Path

from speechxfer.cli import main
from speechxfer.task import Data, Optim, Run, Task

DATA = Path("runs/pretrain-data")

TASK = Task(
    name="pretrain_ctc",
    model=str(DATA / "random"),
    train=str(DATA / "american-train.jsonl"),
    dev=str(DATA / "american-dev.jsonl"),
    test=str(DATA / "american-test.jsonl"),
    data=Data(batch_seconds=40, workers=1),
    optim=Optim(lr=1e-3, schedule="linear", warmup=0.06, weight_decay=0.01),
    run=Run(steps=5500, eval_every=250, save_every=100, best_by="wer", seed=1),
    require={"wer": "<= 0.08"},
)

# wav2vec2 in the layout of the "large" checkpoints, only narrower: layer norms throughout, so that padding is masked
# exactly, and the kernels, strides and positional convolution that CTranslate2 expects.
ARCHITECTURE = dict(
    hidden_size=256,
    num_hidden_layers=6,
    num_attention_heads=4,
    intermediate_size=1024,
    conv_dim=(32, 48, 64, 96, 128, 192, 256),
    conv_bias=True,
    feat_extract_norm="layer",
    do_stable_layer_norm=True,
    num_conv_pos_embeddings=128,
    num_conv_pos_embedding_groups=16,
    hidden_dropout=0.05,
    attention_dropout=0.05,
    activation_dropout=0.05,
    feat_proj_dropout=0.0,
    final_dropout=0.05,
    layerdrop=0.0,
    mask_time_prob=0.05,
    mask_time_length=8,
    mask_feature_prob=0.0,
)


def prepare() -> None:
    """Write the corpus and the random checkpoint, where they are missing."""
    from speechxfer.demo.corpus import CorpusSpec, write_corpus

    write_corpus(DATA, CorpusSpec("american", "train", minutes=1800, speakers=200, container="wav"))
    write_corpus(DATA, CorpusSpec("american", "dev", minutes=12))
    write_corpus(DATA, CorpusSpec("american", "test", minutes=20))
    write_random(DATA / "random", seed=1)


def write_random(folder: Path, seed: int) -> None:
    """The architecture with random weights and no head: a checkpoint like a self-supervised one."""
    if folder.exists():
        return
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(seed)
    Wav2Vec2Model(Wav2Vec2Config(**ARCHITECTURE)).save_pretrained(folder)


if __name__ == "__main__":
    main(TASK, prepare)
