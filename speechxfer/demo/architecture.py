"""The small wav2vec2 of the shipped checkpoint, with random weights: where pre-training and comparisons start."""

from pathlib import Path

# The layout of the "large" checkpoints, only narrower: layer norms throughout, so that padding is masked exactly, and
# the kernels, strides and positional convolution that CTranslate2 expects.
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


def write_random(folder: Path, seed: int = 1) -> Path:
    """Write the architecture with random weights, without head and vocabulary, where `folder` is not there yet."""
    if not folder.exists():
        import torch
        from transformers import Wav2Vec2Config, Wav2Vec2Model

        torch.manual_seed(seed)
        Wav2Vec2Model(Wav2Vec2Config(**ARCHITECTURE)).save_pretrained(folder)
    return folder
