"""The auxiliary CTC loss: its value by an oracle, what is a text token, its unit, and where the head lives."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from torch import distributed, nn

from speechxfer.adapt.auxiliary_ctc import AuxiliaryCtc
from speechxfer.errors import ConfigError
from speechxfer.models.base import Batch, Output

END = 3  # text tokens are 0, 1 and 2; the blank of the head is 3 too
WIDTH = 4


class Toy(nn.Module):
    """What the adaptation sees of a Whisper."""

    def __init__(self, kind: str = "whisper"):
        super().__init__()
        self.net = nn.Linear(1, 1)
        self.net.config = SimpleNamespace(model_type=kind, d_model=WIDTH)
        self.frontend = SimpleNamespace(tokens=SimpleNamespace(end=END))

    def forward(self, batch: Batch) -> Output:
        loss = self.net.weight.sum()
        hidden = batch.inputs["hidden"]
        return Output(loss, batch.tokens, torch.zeros(len(hidden)), hidden, hidden)


def make_batch(rows: list[list[int]], frames: list[int], tokens: int, seed: int = 0) -> Batch:
    hidden = torch.randn(len(rows), max(frames), WIDTH, generator=torch.Generator().manual_seed(seed))
    width = max(map(len, rows))
    labels = torch.tensor([row + [-100] * (width - len(row)) for row in rows])
    inputs = {"hidden": hidden, "encoder_lengths": torch.tensor(frames)}
    return Batch(inputs, labels, tokens, tuple(map(str, frames)), 1.0, 1.0)


def likelihood(log_probs: torch.Tensor, text: list[int]) -> float:
    """P(text) by summing over all paths of (frames, tokens + blank)."""
    total, blank = 0.0, log_probs.shape[1] - 1
    for path in itertools.product(range(blank + 1), repeat=len(log_probs)):
        if [k for k, _ in itertools.groupby(path) if k != blank] == text:
            total += math.exp(sum(log_probs[t, k].item() for t, k in enumerate(path)))
    return total


def loss_of(model: Toy, batch: Batch, adaptation: AuxiliaryCtc) -> torch.Tensor:
    return adaptation.extra_loss(model, batch, model(batch), step=0)


@pytest.fixture
def model() -> Toy:
    torch.manual_seed(0)
    toy = Toy()
    AuxiliaryCtc().setup(toy)
    return toy.train()


def test_loss_is_that_of_all_paths_of_the_text_tokens_per_target_token(model):
    # special tokens before, between and after the text; -100 for a prompt in front
    batch = make_batch([[7, 9, 1, 1, 11, 2, END], [-100, -100, 8, 0, END]], [5, 4], tokens=12)
    log_probs = model.ctc_head(batch.inputs["hidden"]).log_softmax(-1)
    expected = -math.log(likelihood(log_probs[0, :5], [1, 1, 2])) - math.log(likelihood(log_probs[1, :4], [0]))
    assert loss_of(model, batch, AuxiliaryCtc(0.3)).item() == pytest.approx(0.3 * expected / 12, rel=1e-5)


def test_losses_of_batches_add_up_by_their_tokens(model):
    rows, frames = [[5, 0, 1, END], [5, 2, END]], [6, 3]
    whole = make_batch(rows, frames, tokens=7)
    parts = [
        Batch(
            {"hidden": whole.inputs["hidden"][i : i + 1, : frames[i]], "encoder_lengths": torch.tensor([frames[i]])},
            whole.labels[i : i + 1],
            tokens,
            ("x",),
            1.0,
            1.0,
        )
        for i, tokens in enumerate((4, 3))
    ]
    added = sum(loss_of(model, part, AuxiliaryCtc()) * part.tokens for part in parts)
    torch.testing.assert_close(added, loss_of(model, whole, AuxiliaryCtc()) * 7)


def test_text_that_does_not_fit_its_frames_gives_nothing_and_no_text_is_all_blank(model):
    long = make_batch([[0, 0, END]], [2], tokens=3)  # a repeat needs a blank between: three frames
    assert loss_of(model, long, AuxiliaryCtc()).item() == 0
    silence = make_batch([[5, 6, END]], [3], tokens=3)
    blank = model.ctc_head(silence.inputs["hidden"]).log_softmax(-1)[0, :, END].sum()
    torch.testing.assert_close(loss_of(model, silence, AuxiliaryCtc(1.0)), -blank / 3)


def test_padding_changes_nothing(model):
    alone = make_batch([[5, 0, 1, END]], [6], tokens=4)
    padded = make_batch([[5, 0, 1, END, -100]], [6], tokens=4)
    padded.inputs["hidden"] = torch.cat([alone.inputs["hidden"], torch.full((1, 3, WIDTH), 50.0)], 1)
    torch.testing.assert_close(loss_of(model, padded, AuxiliaryCtc()), loss_of(model, alone, AuxiliaryCtc()))


def test_the_head_learns_is_state_of_the_model_and_not_of_its_net(model):
    assert {"ctc_head.weight", "ctc_head.bias"} <= model.state_dict().keys()
    assert not any("ctc" in name for name in model.net.state_dict())
    assert model.ctc_head.out_features == END + 1
    batch = make_batch([[5, 0, END]], [4], tokens=3)
    batch.inputs["hidden"].requires_grad_()
    loss_of(model, batch, AuxiliaryCtc()).backward()
    assert model.ctc_head.weight.grad.any() and batch.inputs["hidden"].grad.any()


def test_the_head_is_in_the_graph_of_training_and_not_in_its_loss(model):
    batch = make_batch([[5, 0, END]], [4], tokens=3)
    loss = model(batch).loss_sum
    assert loss == model.net.weight.sum()
    loss.backward()
    assert model.ctc_head.weight.grad is not None and not model.ctc_head.weight.grad.any()
    model.eval().zero_grad(set_to_none=True)
    model(batch).loss_sum.backward()
    assert model.ctc_head.weight.grad is None


def test_distributed_training_takes_the_head_for_what_it_is(model, tmp_path):
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)
        batch = make_batch([[5, 0, END]], [4], tokens=3)
        for _ in range(2):  # a second step finds the first one's gradients all arrived
            model.zero_grad(set_to_none=True)
            output = wrapped(batch)
            (output.loss_sum + AuxiliaryCtc().extra_loss(model, batch, output, 0)).backward()
        found = model.ctc_head.weight.grad.clone()
        model.zero_grad(set_to_none=True)
        loss_of(model, batch, AuxiliaryCtc()).backward()
        torch.testing.assert_close(found, model.ctc_head.weight.grad)
    finally:
        distributed.destroy_process_group()


def test_what_cannot_have_it_is_refused(model):
    with pytest.raises(ConfigError, match="this is a marian"):
        AuxiliaryCtc().setup(Toy("marian"))
    with pytest.raises(ConfigError, match="already"):
        AuxiliaryCtc().setup(model)
    for weight in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ConfigError, match="weight is"):
            AuxiliaryCtc(weight)
