"""A small Whisper of its own vocabulary brought to the 51,865 entries by which CTranslate2 knows a multilingual one.

Importing this loads no torch.
"""

import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from speechxfer.errors import ConfigError
from speechxfer.models.folder import new_folder, read_json
from speechxfer.models.whisper_folder import config_of, save, write_tokenizer
from speechxfer.models.whisper_public import TEXT_PIECES

if TYPE_CHECKING:
    import torch

MARGIN = 20.0  # the filler pieces have less than exp(-20) = 2e-9 of the probability together


def pad_vocabulary(folder: Path, out: Path) -> Path:
    """Write the same model with text pieces that nobody uses, so that the special tokens have their public ids.

    No merge makes a filler piece, so no text has one. As output, a filler must never be likely, without a bias. The
    decoder's last hidden state is h = gain * z + bias of a layer norm, where z has mean 0; so the row c / gain has the
    logit c * (sum(z) + sum(bias / gain)) = c * sum(bias / gain) at every state: a constant, and c is chosen for it. By
    Jensen's inequality the real logits' log-sum-exp is at least log n + mean logit, which is least at a z that can be
    written down (|z| <= sqrt(d)); the constant lies `MARGIN` below that and the log of the number of fillers. So all
    fillers together have less than 2e-9 of the probability at any state whatever, and on states as they come about
    1e-16 or less. They are all the same row, which packs to nearly nothing.

    Raises ConfigError: more text pieces than the public vocabulary has, or a last norm whose bias is too small along
    1 / gain for such a row to survive rounding. `write_random` begins with one that is not; long training wears it
    down, and `lift` raises it again.
    """
    import torch
    from transformers import WhisperForConditionalGeneration

    from speechxfer.models.pretrained import quiet

    model = read_json(folder / "tokenizer.json")["model"]
    specials = [t["content"] for t in read_json(folder / "tokenizer.json")["added_tokens"]]
    vocabulary = dict(model["vocab"])
    pieces, missing = len(vocabulary), TEXT_PIECES - len(vocabulary)
    if missing < 0:
        raise ConfigError(f"{folder}: has {pieces} text pieces; expected at most {TEXT_PIECES}")
    vocabulary |= {f"<unused{i}>": pieces + i for i in range(missing)}
    multilingual = read_json(folder / "generation_config.json").get("is_multilingual", True)
    with new_folder(out) as partial, quiet(), torch.no_grad():
        net = WhisperForConditionalGeneration.from_pretrained(folder, dtype="auto")
        ids = write_tokenizer(partial, vocabulary, [tuple(pair) for pair in model["merges"]], specials)
        rows, norm = net.model.decoder.embed_tokens.weight, net.model.decoder.layer_norm
        if missing:
            filler = _constant_row(rows, norm.weight, norm.bias, missing, folder)
            padded = torch.cat([rows[:pieces], filler.to(rows.dtype).expand(missing, -1), rows[pieces:]])
            net.set_input_embeddings(torch.nn.Embedding.from_pretrained(padded, freeze=False))
            net.tie_weights()
        net.config = net.model.config = config_of(net.config.to_dict(), ids)
        save(partial, net, ids, multilingual, getattr(net.generation_config, "alignment_heads", None))
        _copy(folder, partial, "speechxfer.json")
    return out


def _constant_row(
    rows: "torch.Tensor", gain: "torch.Tensor", bias: "torch.Tensor", fillers: int, folder: Path
) -> "torch.Tensor":
    """(d,) of float64: the row of `fillers` tokens beside the rows (n, d) of real ones."""
    rows, gain, bias = rows.double(), gain.double(), bias.double()
    inverse = 1 / gain
    reach = inverse @ bias
    if not abs(reach) >= 0.2 * inverse.norm():  # int8 would put the logit off by a sixth of itself
        found = f"the bias of the decoder's last norm reaches {float(reach / inverse.norm()):.2f} along 1 / gain"
        raise ConfigError(f"{folder}: {found}; expected 0.2: `lift` it, and train on")
    mean = rows.mean(0)
    swing = gain * mean
    least = mean @ bias - math.sqrt(len(mean)) * (swing - swing.mean()).norm() + math.log(len(rows))
    return (least - math.log(fillers) - MARGIN) / reach * inverse


def lift(folder: Path, out: Path, reach: float = 1.0) -> Path:
    """Write the same model with a last norm whose bias has `reach` along u = gain^-1 / |gain^-1|.

    A state's part along u is that of the bias alone, so a row w adds (w u) (bias u) to its token's logit. Where the
    bias grows, w u shrinks towards the mean of the rows, and the logits stay as they were but for a constant. The rows
    are the decoder's inputs too, which they are no longer quite: train the model on. Raises ConfigError: `out` exists.
    """
    import torch
    from transformers import WhisperForConditionalGeneration

    from speechxfer.models.pretrained import quiet

    with new_folder(out) as partial, quiet(), torch.no_grad():
        net = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        rows, norm = net.model.decoder.embed_tokens.weight, net.model.decoder.layer_norm
        u = torch.nn.functional.normalize(1 / norm.weight.double(), dim=0)
        before, along = norm.bias.double() @ u, rows.double() @ u
        norm.bias += (reach - before) * u
        rows -= torch.outer((along - along.mean()) * (1 - before / reach), u)
        for file in folder.iterdir():
            _copy(folder, partial, file.name)
        net.save_pretrained(partial)
    return out


def _copy(source: Path, target: Path, name: str) -> None:
    if (source / name).is_file():
        shutil.copy(source / name, target / name)
