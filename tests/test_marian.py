"""Marian models against transformers' own: ids, loss, search, loading and saving; pitfalls with their messages."""

import itertools
import json
import math
import pickle
import shutil
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import LEXICON, toy_sources, translated
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_graft import write_opus
from transformers import MarianMTModel, MarianTokenizer

from speechxfer.adapt.label_smoothing import LabelSmoothing
from speechxfer.demo.shrink import shrink
from speechxfer.errors import CheckpointError, ConfigError, ManifestError
from speechxfer.manifest import Example, Manifest, read_manifest
from speechxfer.models import load_checkpoint
from speechxfer.models.base import Batch, Noise
from speechxfer.models.graft import add_tokens
from speechxfer.models.languages import choose_code, target_codes
from speechxfer.models.marian import Marian
from speechxfer.models.marian_random import pieces_of, train_pieces, vocabulary
from speechxfer.models.pieces import Pieces
from speechxfer.optim import set_trainable
from speechxfer.task import Data, Decode
from speechxfer.text import normalise

pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")

FORMS = ("joint", "separate")
RAGGED = ("ab ba cad dac bcd", "dd", "abc cb ab", "ba", "cad dd cb abc", "dac ab", "bcd", "cb ba")
HINDI = "".join(sorted(set("".join(LEXICON.values()))))  # letters of the toy pair's target
is_nfc = partial(unicodedata.is_normalized, "NFC")  # ra and nukta are one letter then, which the toys do not have
GREEDY = Decode(beams=1)


@pytest.fixture(scope="module", params=FORMS)
def folder(request, toy_pair) -> Path:
    return toy_pair / request.param


@pytest.fixture
def model(folder) -> Marian:
    """With random weights, which write nonsense: for what must hold of any model."""
    return load_checkpoint(folder).eval()


@pytest.fixture(scope="module")
def learnt(pair_run) -> Marian:
    return load_checkpoint(pair_run[0] / "best").eval()


@pytest.fixture(scope="module")
def several(toy_pair, tmp_path_factory) -> Path:
    """A random model of several target languages."""
    return add_tokens(toy_pair / "joint", [">>hin<<", ">>mar<<", ">>back<<"], tmp_path_factory.mktemp("several") / "m")


def make_batch(model: Marian, sources: Sequence[str] = RAGGED) -> Batch:
    pairs = [Example(id=str(i), source=one, text=translated(one)) for i, one in enumerate(sources)]
    return model.frontend.collate([model.frontend.load(pair) for pair in pairs])


def plain(folder: Path) -> tuple[MarianMTModel, MarianTokenizer]:
    """As someone without this package loads it."""
    return MarianMTModel.from_pretrained(folder).eval(), MarianTokenizer.from_pretrained(folder)


def gradients(model: Marian) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def manifest(folder: Path, *rows: dict) -> Manifest:
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_manifest(folder / "m.jsonl")


def problems(model: Marian, found: Manifest) -> list[str]:
    return model.frontend.problems(found, model.frontend.lengths(found))


# --- ids -------------------------------------------------------------------------------------------------------------

words = st.sampled_from([*LEXICON, *LEXICON.values(), "x1", "http://a.b/?c=1", "<b>", "{0}"])
letters = st.text(alphabet=HINDI + "abcdXYZ019 .,!?%-()\u0964\u00e9\u4e2d\u200d", max_size=12)
texts = st.lists(words | letters, max_size=6).map(" ".join)


@pytest.fixture(scope="module")
def both(toy_pair) -> dict[str, tuple[Marian, MarianTokenizer]]:
    """form -> ours and theirs"""
    return {form: (load_checkpoint(toy_pair / form), plain(toy_pair / form)[1]) for form in FORMS}


@pytest.mark.parametrize("form", FORMS)
@given(texts, texts)
@settings(deadline=None, max_examples=60)
@example("", "")
@example("a  b", " \u0939\u0948\u0964 ")
@example("पानी", "ab")  # each side has what the other side's language is made of
@example("ab", "क\u094d\u093c")  # marks that NFC puts in the other order: targets are normalised, sources are not
def test_ids_are_those_of_marian_tokenizer(both, form, source, target):
    model, tokenizer = both[form]
    item = model.frontend.load(Example(id="x", source=source, text=target))
    target = normalise("nfc", target)
    theirs = tokenizer(source, text_target=target)
    assert item.source == theirs["input_ids"]
    assert (item.labels or [model.frontend.end]) == theirs["labels"]  # a target that is not there has not even an end
    counted = model.frontend.source.count([source])[0], model.frontend.target.count([target])[0]
    assert counted == (len(item.source) - 1, len(theirs["labels"]) - 1)


def test_ids_of_a_source_with_a_language_code(several):
    model, (_, tokenizer) = load_checkpoint(several), plain(several)
    for source in (">>hin<< ab ba", ">>mar<<cad", ">>back<< dd"):
        coded = source if "back" not in source else f">>hin<< {source}"
        item = model.frontend.load(Example(id="x", source=source, lang="hi"))
        if "back" not in source:
            assert item.source == tokenizer(coded)["input_ids"]
        else:  # the tag says what a source is, not which language to write
            codes = [tokenizer.convert_tokens_to_ids(token) for token in (">>hin<<", ">>back<<")]
            assert item.source == codes + tokenizer("dd")["input_ids"]


@pytest.mark.parametrize("form", FORMS)
@given(st.lists(st.text(alphabet=HINDI, min_size=1, max_size=8).filter(is_nfc), min_size=1, max_size=6))
@settings(deadline=None, max_examples=60)
def test_devanagari_comes_back_as_it_was(both, form, some):
    model, tokenizer = both[form]
    text = " ".join(some)
    item = model.frontend.load(Example(id="x", source="ab", text=text))
    assert model.frontend.target.unknown not in item.labels
    assert model.text(item.labels) == text
    assert model.text([model.frontend.pad, *item.labels, model.frontend.pad]) == text
    assert model.text(item.labels) == tokenizer.decode(item.labels, skip_special_tokens=True)


def test_what_the_vocabulary_lacks_is_shown(model):
    item = model.frontend.load(Example(id="x", source="ab \u4e2d", text="है \u4e2d घर"))
    assert item.source.count(model.frontend.source.unknown) == 1
    assert model.text(item.labels).split() == ["है", "\u2047", "घर"]


def test_the_target_is_normalised_and_the_source_is_not(toy_pair):
    frontend = load_checkpoint(toy_pair / "joint", normaliser="basic").frontend
    item = frontend.load(Example(id="x", source="Ab, ba!", text="Ab, ba!"))
    assert frontend.source.decode(item.source[:-1]) == "Ab, ba!"
    assert frontend.target.decode(item.labels[:-1]) == "ab ba"
    frontend = load_checkpoint(toy_pair / "joint").frontend
    one, composed = (frontend.load(Example(id="x", source="ab", text=text)) for text in ("क\u093c", "\u0958"))
    assert one == composed and frontend.target.unknown not in one.labels, "nfc, where nothing else is said"


def test_a_batch_is_padded_by_pad_and_its_labels_by_no_token(model):
    batch, end, pad = make_batch(model), model.frontend.end, model.frontend.pad
    ids, labels, before = batch.inputs["input_ids"], batch.labels, batch.inputs["decoder_input_ids"]
    assert torch.equal(batch.inputs["attention_mask"].bool(), ids != pad)
    for row, (source, target) in enumerate(zip(ids, labels, strict=True)):
        sources, targets = source[source != pad], target[target != -100]
        assert sources[-1] == targets[-1] == end and end not in sources[:-1] and end not in targets[:-1]
        assert (target[len(targets) :] == -100).all() and (source[len(sources) :] == pad).all()
        assert before[row, 0] == model.frontend.start == pad
        assert torch.equal(before[row, 1 : len(targets)], targets[:-1])
    assert -100 not in before
    assert batch.tokens == int((labels != -100).sum())
    assert batch.size == batch.tokens + int((ids != pad).sum())
    assert batch.padded == ids.numel() + labels.numel()


def test_lengths_are_those_of_the_items(model, several, tmp_path):
    rows = [{"id": str(i), "source": one, "text": translated(one), "lang": "hi"} for i, one in enumerate(RAGGED)]
    found = manifest(tmp_path, *rows)
    for one in (model, load_checkpoint(several)):
        items = [one.frontend.load(row) for row in found]
        assert one.frontend.lengths(found).tolist() == [[len(i.source), len(i.labels)] for i in items]
    alone = manifest(tmp_path, *({"source": row["source"]} for row in rows))
    assert model.frontend.lengths(alone).tolist() == [[len(model.frontend.load(row).source)] for row in alone]
    batch = model.frontend.collate([model.frontend.load(row) for row in alone])
    assert batch.tokens == 0 and batch.padded == batch.inputs["input_ids"].numel()


# --- loss ------------------------------------------------------------------------------------------------------------


def test_the_loss_is_that_of_a_slow_count_and_of_transformers(model, folder):
    batch, (net, tokenizer) = make_batch(model), plain(folder)
    output = model(batch)
    slow = []
    for source in RAGGED:
        given = tokenizer(source, return_tensors="pt")
        labels = tokenizer(text_target=translated(source))["input_ids"]
        said, loss = [net.config.decoder_start_token_id], 0.0
        for label in labels:  # token by token, each sentence alone
            logits = net(**given, decoder_input_ids=torch.tensor([said])).logits[0, -1]
            loss -= float(logits.log_softmax(-1)[label].detach())
            said.append(label)
        slow.append(loss)
    assert output.losses.tolist() == pytest.approx(slow, rel=1e-4)
    assert float(output.loss_sum.detach()) == pytest.approx(sum(slow), rel=1e-4)
    theirs = tokenizer(list(RAGGED), text_target=[*map(translated, RAGGED)], padding=True, return_tensors="pt")
    theirs["labels"][theirs["labels"] == tokenizer.pad_token_id] = -100
    mean = float(net(**theirs).loss.detach())
    assert float(output.loss_sum.detach()) == pytest.approx(mean * output.tokens, rel=1e-5)
    assert not output.losses.requires_grad
    assert output.tokens == sum(len(translated(source).split()) + 1 for source in RAGGED)


@pytest.mark.parametrize("sizes", [(1,) * 8, (4, 4), (1, 5, 2)], ids=str)
def test_losses_and_gradients_add_over_any_split_of_a_ragged_batch(model, sizes):
    whole = model(make_batch(model))
    (whole.loss_sum / whole.tokens).backward()
    expected, loss, tokens, rest = gradients(model), 0.0, 0, iter(RAGGED)
    for size in sizes:
        part = model(make_batch(model, list(itertools.islice(rest, size))))
        (part.loss_sum / whole.tokens).backward()
        loss, tokens = loss + part.loss_sum.item(), tokens + part.tokens
    assert tokens == whole.tokens
    assert loss == pytest.approx(whole.loss_sum.item(), rel=1e-5)
    found = gradients(model)
    assert found.keys() == expected.keys() and len(found) > 50
    total = torch.stack([gradient.norm() for gradient in expected.values()]).norm()
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() <= 1e-3 * gradient.norm() + 1e-6 * total, name


def test_label_smoothing_is_the_formula_and_off_in_eval(folder):
    model, share = load_checkpoint(folder, changes={"dropout": 0.0}), 0.2
    batch = make_batch(model)
    hard = model.eval()(batch)
    LabelSmoothing(share).setup(model)
    torch.testing.assert_close(model.eval()(batch).losses, hard.losses)
    log_probs = hard.logits.log_softmax(-1)
    # Szegedy et al. 2016, equation 7: of a target distribution (1 - e) one-hot + e / K
    rows = (batch.labels != -100).nonzero()[:, 0]
    spread = torch.zeros(len(batch.labels)).index_add(0, rows, -share * log_probs.mean(-1))
    torch.testing.assert_close(model.train()(batch).losses, (1 - share) * hard.losses + spread.detach())
    with pytest.raises(ConfigError, match="label smoothing of 1.5; expected a share >= 0 and < 1"):
        LabelSmoothing(1.5)


def test_the_loss_is_taken_in_float32_under_autocast(model):
    batch = make_batch(model)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(batch)
    assert output.losses.dtype == torch.float32
    assert float(output.loss_sum.detach()) == pytest.approx(float(model(batch).loss_sum.detach()), rel=0.02)


def test_positions_are_not_trained(model):
    fixed = frozenset(name for name, p in model.named_parameters() if not p.requires_grad)
    assert fixed == {f"net.model.{side}.embed_positions.weight" for side in ("encoder", "decoder")}
    learning = set_trainable(model, (), dict.fromkeys(dict(model.named_parameters()), 0), 0, fixed)
    model(make_batch(model)).loss_sum.backward()
    assert gradients(model).keys() == learning and not learning & fixed


def test_layers_hold_every_parameter_that_learns_from_bottom_to_top(toy_pair):
    for form in FORMS:
        model = load_checkpoint(toy_pair / form)
        names = [name for name, _ in model.layers()]
        assert names == ["source embedding", "encoder 0", "encoder 1", "target embedding", "decoder 0", "decoder 1"]
        inside = {id(p) for _, layer in model.layers() for p in layer.parameters()}
        assert {id(p) for p in model.parameters() if p.requires_grad} <= inside


# --- search ----------------------------------------------------------------------------------------------------------

SENTENCES = tuple(toy_sources(12, seed=7))


def pick(model: Marian, sources: Sequence[str]) -> Batch:
    return model.frontend.collate([model.frontend.load(Example(id=s, source=s)) for s in sources])


@pytest.mark.parametrize("decode", [GREEDY, Decode(beams=4), Decode(beams=3, length_penalty=0.5)], ids=str)
def test_padding_does_not_change_a_translation(learnt, decode):
    together = learnt.generate(pick(learnt, SENTENCES), decode)
    for source, found in zip(SENTENCES, together, strict=True):
        (alone,) = learnt.generate(pick(learnt, [source]), decode)
        assert alone.text == found.text
        assert alone.confidence == pytest.approx(found.confidence, abs=1e-4)
    right = sum(h.text == translated(s) for s, h in zip(SENTENCES, together, strict=True))
    assert right >= len(SENTENCES) - 2, "the comparison is of something"


@pytest.mark.parametrize("which", ["learnt", "random"])
@pytest.mark.parametrize("beams", [1, 4])
def test_search_is_that_of_transformers_called_plainly(pair_run, toy_pair, which, beams):
    folder = pair_run[0] / "best" if which == "learnt" else toy_pair / "joint"
    model, (net, tokenizer) = load_checkpoint(folder).eval(), plain(folder)
    batch = pick(model, SENTENCES)
    most = 3 * batch.inputs["input_ids"].shape[1] + 20
    given = tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
    theirs = net.generate(**given, num_beams=beams, max_new_tokens=min(most, model.frontend.positions - 1))
    ours = [hypothesis.text for hypothesis in model.generate(batch, Decode(beams=beams))]
    assert ours == tokenizer.batch_decode(theirs, skip_special_tokens=True)
    assert len(set(ours)) > 2


@pytest.mark.parametrize("penalty", [0.2, 3.0])
def test_the_length_penalty_reaches_the_search(model, penalty):
    batch = pick(model, SENTENCES)
    given = {name: batch.inputs[name] for name in ("input_ids", "attention_mask")}
    most = 3 * given["input_ids"].shape[1] + 20
    theirs = model.net.generate(**given, num_beams=4, length_penalty=penalty, max_new_tokens=most)
    assert torch.equal(model._search(batch, Decode(beams=4, length_penalty=penalty)), theirs[:, 1:])


def test_the_n_best_come_sorted_and_begin_with_the_best(learnt):
    batch = pick(learnt, SENTENCES)
    single = learnt.generate(batch, Decode(beams=4))
    for one, several in zip(single, learnt.generate(batch, Decode(beams=4, n_best=4)), strict=True):
        assert one.n_best == () and len(several.n_best) == 4
        assert (one.text, one.confidence) == (several.text, pytest.approx(several.confidence, abs=1e-6))
        assert several.n_best[0] == (several.text, several.confidence)
        confidences = [confidence for _, confidence in several.n_best]
        assert confidences == sorted(confidences, reverse=True)
        assert len({text for text, _ in several.n_best}) > 1
    drawn = learnt.generate(batch, Decode(n_best=3, temperature=3.0))
    for several in drawn:
        assert several.n_best[0] == (several.text, several.confidence)
        assert [c for _, c in several.n_best] == sorted((c for _, c in several.n_best), reverse=True)


def test_what_is_drawn_hangs_on_the_seed_and_the_batch_alone(model):
    batch, draw = pick(model, SENTENCES), Decode(temperature=1.5)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = model.generate(batch, draw)
    assert torch.equal(torch.random.get_rng_state(), before), "the loop's own noise must not move"
    torch.manual_seed(2)
    assert model.generate(batch, draw) == first
    assert model.generate(batch, replace(draw, seed=1)) != first
    renamed = replace(batch, ids=tuple(reversed(batch.ids)))
    assert model.generate(renamed, draw) != first
    # the narrower it is drawn, the nearer to the likeliest token
    greedy = [h.text for h in model.generate(batch, GREEDY)]
    assert [h.text for h in first] != greedy
    for narrow in (replace(draw, top_k=1), replace(draw, top_p=1e-6), replace(draw, temperature=1e-4)):
        assert [h.text for h in model.generate(batch, narrow)] == greedy


@pytest.mark.parametrize("decode", [GREEDY, Decode(beams=4), Decode(temperature=2.0)], ids=["greedy", "beam", "drawn"])
def test_confidence_is_the_geometric_mean_of_the_tokens_probabilities(learnt, decode):
    found = learnt.generate(pick(learnt, SENTENCES), decode)
    written = learnt._search(pick(learnt, SENTENCES), decode)
    lengths = set()
    for source, ids, hypothesis in zip(SENTENCES, written.tolist(), found, strict=True):
        inputs, said, logs = pick(learnt, [source]).inputs, [learnt.frontend.start], []
        for token in ids:
            inputs["decoder_input_ids"] = torch.tensor([said])
            logs.append(float(learnt.net(**inputs).logits[0, -1].log_softmax(-1)[token].detach()))
            said.append(token)
            if token == learnt.frontend.end:
                break
        lengths.add(len(logs))
        assert hypothesis.confidence == pytest.approx(math.exp(np.mean(logs)), abs=1e-4)
    assert len(lengths) > 3, "rows should end at different places"


def test_a_hypothesis_that_does_not_end_is_stopped(model):
    batch = pick(model, ["ab", "ab ba"])
    with torch.no_grad():
        model.net.final_logits_bias[0, model.frontend.end] = -1e4
    written = model._search(batch, GREEDY)
    assert written.shape[1] == 3 * batch.inputs["input_ids"].shape[1] + 20
    longest = pick(model, [" ".join(RAGGED[0].split() * 6)])
    assert model._search(longest, GREEDY).shape[1] == model.frontend.positions - 1
    assert all(0 <= h.confidence <= 1 for h in model.generate(longest, GREEDY))


def test_evaluate_is_forward_and_a_greedy_search(learnt):
    batch = make_batch(learnt)
    output, written = learnt.evaluate(batch)
    assert written == [h.text for h in learnt.generate(batch, GREEDY)]
    torch.testing.assert_close(output.loss_sum, learnt(batch).loss_sum)
    assert not output.loss_sum.requires_grad


# --- languages -------------------------------------------------------------------------------------------------------

INDIA = (">>hin<<", ">>hin_Latn<<", ">>mar<<", ">>ur<<")
CHOSEN = [
    ("hi", INDIA, ">>hin<<"),
    ("hin", INDIA, ">>hin<<"),
    ("hi-IN", INDIA, ">>hin<<"),
    ("hi_IN", INDIA, ">>hin<<"),
    ("hi-Latn", INDIA, ">>hin_Latn<<"),
    ("hin_Latn", INDIA, ">>hin_Latn<<"),
    ("hi-Latn-IN", INDIA, ">>hin_Latn<<"),
    ("ur", INDIA, ">>ur<<"),
    ("zh_Hans", (">>zho<<", ">>zho_Hans<<", ">>zho_Hant<<"), ">>zho_Hans<<"),
    ("zh", (">>zho<<", ">>zho_Hans<<", ">>zho_Hant<<"), ">>zho<<"),
    ("pt-BR", (">>pt<<", ">>pt_BR<<", ">>pt_PT<<"), ">>pt_BR<<"),
    ("pt-AO", (">>pt<<", ">>pt_BR<<", ">>pt_PT<<"), ">>pt<<"),
    ("sr-Latn", (">>srp_Cyrl<<", ">>srp_Latn<<"), ">>srp_Latn<<"),
    ("srp_Cyrl", (">>srp_Cyrl<<", ">>srp_Latn<<"), ">>srp_Cyrl<<"),
]


@pytest.mark.parametrize(("lang", "codes", "code"), CHOSEN)
def test_the_code_of_a_language(lang, codes, code):
    assert choose_code(lang, codes) == code


REFUSED = {
    None: "no lang, and the model writes several languages; expected one of >>hin<<, >>hin_Latn<<, >>mar<<, >>ur<<",
    "": "no lang, and the model writes several",
    "de": "lang is 'de'; expected one of >>hin<<, >>hin_Latn<<, >>mar<<, >>ur<<",
    "hi there": "lang is 'hi there'; expected one of >>hin<<",
    ">>hin<<": "lang is '>>hin<<'; expected one of >>hin<<",
}


@pytest.mark.parametrize("lang", REFUSED)
def test_a_language_that_it_does_not_write_is_refused_with_the_list(lang):
    with pytest.raises(ValueError) as error:
        choose_code(lang, INDIA)
    assert REFUSED[lang] in str(error.value)


def test_a_script_that_must_be_named_is_asked_for():
    with pytest.raises(ValueError, match="lang is 'sr'; expected one of >>srp_Cyrl<<, >>srp_Latn<<$"):
        choose_code("sr", (">>deu<<", ">>srp_Cyrl<<", ">>srp_Latn<<"))


def test_a_long_list_is_cut_with_its_length():
    codes = [f">>{a}{b}x<<" for a in "abcdef" for b in "abcdef"]
    with pytest.raises(ValueError, match=r">>aax<<, .* and 16 more$"):
        choose_code("hi", codes)


def test_tags_are_no_languages():
    assert target_codes(["</s>", ">>hin<<", ">>back<<", ">>pt_BR<<", "ab", ">>x y<<"]) == (">>hin<<", ">>pt_BR<<")


def test_the_code_is_chosen_from_lang_and_stands_first(several):
    frontend = load_checkpoint(several).frontend
    ids = {code: frontend.source.vocabulary[code] for code in frontend.codes}
    assert frontend.codes == (">>hin<<", ">>mar<<")
    for lang, code in (("hi", ">>hin<<"), ("mr-IN", ">>mar<<")):
        item = frontend.load(Example(id="x", source="ab ba", lang=lang))
        assert item.source[0] == ids[code] and not set(item.source[1:]) & set(ids.values())
    item = frontend.load(Example(id="x", source=">>mar<< ab ba", lang="hi"))
    assert item.source[0] == ids[">>mar<<"] and ids[">>hin<<"] not in item.source, "what the source says goes first"
    with pytest.raises(ManifestError, match="example x: lang is 'ta'; expected one of >>hin<<, >>mar<<"):
        frontend.load(Example(id="x", source="ab ba", lang="ta"))


def test_rows_of_a_language_that_it_does_not_write_are_named_by_line(several, tmp_path):
    rows = ({"lang": "hi"}, {"lang": "ta"}, {}, {"lang": "ta", "source": ">>mar<< ab"})
    found = problems(
        load_checkpoint(several), manifest(tmp_path, *({"source": "ab", "text": "पानी"} | r for r in rows))
    )
    assert [line.split(": ")[0] for line in found] == [f"{tmp_path}/m.jsonl:{line}" for line in (2, 3)]
    assert "lang is 'ta'" in found[0] and "no lang" in found[1]


def test_a_model_of_one_language_does_not_mind_lang(model, tmp_path):
    assert problems(model, manifest(tmp_path, {"source": "ab", "text": "पानी", "lang": "ta"})) == []


# --- what does not fit -----------------------------------------------------------------------------------------------


def test_sides_that_are_longer_than_the_positions_are_named_by_line(model, tmp_path):
    fits, long = "ab " * 39, "ab " * 40  # and the end
    rows = ((fits, "पानी"), (long, "पानी"), ("ab", "पानी " * 40), ("ab", "पानी " * 39))
    found = problems(model, manifest(tmp_path, *({"source": s, "text": t} for s, t in rows)))
    too_long = [line for line in found if "positions" in line]
    assert [line.split(": ")[0] for line in too_long] == [f"{tmp_path}/m.jsonl:{line}" for line in (2, 3)]
    assert "source has 41 tokens; expected at most 40, the positions of the model" in too_long[0]
    assert "text has 41 tokens; expected at most 40" in too_long[1]
    frontend, alone = model.frontend, manifest(tmp_path, *({"source": s, "text": t} for s, t in rows))
    (unfit,) = frontend.unfit(alone, frontend.lengths(alone))
    assert ".jsonl:2: source has 41" in unfit, "what is only translated may have any reference"
    item = frontend.load(Example(id="x", source=fits, text="पानी " * 39))
    assert float(model(frontend.collate([item])).loss_sum.detach()) > 0


def test_a_vocabulary_for_another_language_is_refused(model, tmp_path):
    chinese = {"source": "ab ba", "text": "\u6211\u4eec \u7684 \u5b66\u6821 \u5728 \u8fd9\u91cc"}
    (found,) = problems(model, manifest(tmp_path, *[chinese] * 3))
    assert "vocabulary lacks" in found and "of the tokens of text" in found and "`speechxfer graft`" in found
    right = {"source": "ab ba", "text": "घर पानी"}
    (found,) = problems(model, manifest(tmp_path, *[{"source": chinese["text"], "text": right["text"]}] * 3))
    assert "of the tokens of source" in found
    rare = manifest(tmp_path, *[right] * 100, chinese)
    assert problems(model, rare) == [], "a few unknown tokens are no other language"


def test_a_tag_without_a_row_is_refused(model, several, tmp_path):
    tagged = manifest(tmp_path, *[{"source": ">>back<< ab ba", "text": "घर पानी", "lang": "hi"}] * 3)
    (found,) = problems(model, tagged)
    assert "sources begin with >>back<<, which the model's vocabulary lacks" in found and "add_tokens" in found
    assert problems(load_checkpoint(several), tagged) == []


# --- SentencePiece sampling ------------------------------------------------------------------------------------------


def noise(seed: int, alpha: float = 0.1) -> Noise:
    return Noise(Data(sampling=alpha), 1.0, np.random.default_rng(seed))


def test_sampling_is_another_segmentation_of_the_same_text(model):
    source, text = "cad dac abc bcd", "हाथी जल्दी विद्या"
    pair = Example(id="x", source=source, text=text)
    drawn = [model.frontend.load(pair, noise(seed)) for seed in range(30)]
    assert drawn == [model.frontend.load(pair, noise(seed)) for seed in range(30)]
    assert drawn == [model.frontend.load(pair, noise(seed)) for seed in reversed(range(30))][::-1]
    assert len({tuple(item.source) for item in drawn}) > 5 and len({tuple(item.labels) for item in drawn}) > 5
    for item in drawn:
        assert item.source[-1] == item.labels[-1] == model.frontend.end
        assert model.frontend.source.decode(item.source[:-1]) == source
        assert model.text(item.labels) == text
    sure = model.frontend.load(pair)
    assert model.frontend.load(pair, noise(0, alpha=0.0)) == sure, "0 is off"
    gentle = [model.frontend.load(pair, noise(seed, alpha=5.0)) for seed in range(30)]
    assert sum(item == sure for item in gentle) > sum(item == sure for item in drawn)


def test_sampling_never_makes_a_side_longer_than_the_positions(model, several):
    pair = Example(id="x", source="cad dac abc " * 11, text="हाथी जल्दी " * 17, lang="hi")
    for one in (model, load_checkpoint(several)):
        items = [one.frontend.load(pair, noise(seed)) for seed in range(20)]
        assert max(max(len(item.source), len(item.labels)) for item in items) <= one.frontend.positions
    short = Example(id="x", source="cad dac", text="हाथी जल्दी", lang="hi")
    assert len({len(model.frontend.load(short, noise(seed)).labels) for seed in range(20)}) > 2


def test_a_code_is_not_cut_by_sampling(several):
    pieces = load_checkpoint(several).frontend.source
    rng = np.random.default_rng(0)
    for _ in range(10):
        assert pieces.sample(">>mar<< cad dac", 0.1, rng)[0] == pieces.vocabulary[">>mar<<"]


@pytest.fixture(scope="module")
def cutters(toy_pair) -> dict[str, Pieces]:
    texts, found = [translated(source) for source in toy_sources(200, seed=0)], {}
    for kind in ("unigram", "bpe"):
        model = train_pieces(texts, 150, kind)
        found[kind] = Pieces(model, vocabulary(pieces_of(model)))
    return found


DRAW = """
import json, pickle, sys
import numpy as np
pieces, rng = pickle.load(sys.stdin.buffer), np.random.default_rng(5)
print(json.dumps([pieces.sample("हाथी जल्दी विद्या", 0.1, rng) for _ in range(10)]))
"""


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_another_process_draws_the_same(cutters, kind):
    """As a resumed run does, and another rank. SentencePiece's own generator does not."""
    pieces, rng = cutters[kind], np.random.default_rng(5)
    here = [pieces.sample("हाथी जल्दी विद्या", 0.1, rng) for _ in range(10)]
    command = [sys.executable, "-c", DRAW]
    there = subprocess.run(command, input=pickle.dumps(pieces), capture_output=True, check=True, timeout=60)
    assert json.loads(there.stdout) == here and len({tuple(ids) for ids in here}) > 3


def test_unigram_pieces_are_drawn_as_sentencepiece_draws_them(cutters):
    pieces, text, n = cutters["unigram"], "हाथी घर", 3000
    rng = np.random.default_rng(0)
    ours = Counter(tuple(pieces.sample(text, 0.2, rng)) for _ in range(n))
    sampling = dict(enable_sampling=True, nbest_size=-1, alpha=0.2, out_type=str)
    theirs = Counter(tuple(pieces._found(pieces.model.encode(text, **sampling))) for _ in range(n))
    for cut in (theirs | ours).keys():
        share = (ours[cut] + theirs[cut]) / 2 / n
        assert abs(ours[cut] - theirs[cut]) / n < 5 * math.sqrt(2 * share / n)
    assert len(theirs) > 3


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@given(st.lists(st.sampled_from([*LEXICON.values(), "x\u4e2d1"]), max_size=5).map(" ".join), st.integers(0, 9))
@settings(deadline=None, max_examples=40)
def test_drawn_pieces_spell_the_text_and_are_the_best_at_the_limit(cutters, kind, text, seed):
    pieces, rng = cutters[kind], np.random.default_rng(seed)
    assert pieces.sample(text, {"unigram": 1e4, "bpe": 0.0}[kind], rng) == pieces.encode(text)
    written = pieces.decode(pieces.sample(text, 0.3, rng))
    assert written.replace(" \u2047 ", "\u4e2d") == text
    if kind == "bpe":  # all merges left out: letters
        letters = pieces.sample(text, 1.0, rng)
        assert len(letters) == len(text) + bool(text)


# --- loading and saving ----------------------------------------------------------------------------------------------


def test_plain_transformers_loads_what_we_save_and_translates_the_same(learnt, tmp_path):
    learnt.save(tmp_path / "saved")
    learnt.save(tmp_path / "saved")  # a second time over the first
    net, tokenizer = plain(tmp_path / "saved")
    given = tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
    theirs = tokenizer.batch_decode(net.generate(**given, num_beams=4), skip_special_tokens=True)
    assert theirs == [h.text for h in learnt.generate(pick(learnt, SENTENCES), Decode(beams=4))]
    again = load_checkpoint(tmp_path / "saved")
    assert again.frontend.files == learnt.frontend.files and again.frontend.normaliser == learnt.frontend.normaliser
    weights, saved = learnt.state_dict(), again.state_dict()
    assert weights.keys() == saved.keys() and all(torch.equal(weights[name], saved[name]) for name in weights)


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_as_opus_mt_ships_it_is_saved_as_one_that_loads(tmp_path, form):
    """Half precision, positions and tied weights left out, generation settings in config.json, padding last."""
    folder = write_opus(tmp_path / "opus", form == "joint")
    model = load_checkpoint(folder).eval()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.frontend.pad == model.frontend.start == model.net.config.vocab_size - 1
    model.save(tmp_path / "saved")
    net, tokenizer = plain(tmp_path / "saved")
    code = ">>deu<< " * (form == "joint")
    sources = [f"{code}the old cat", f"{code}red house"]
    given = tokenizer(sources, padding=True, return_tensors="pt")
    most = 3 * given["input_ids"].shape[1] + 20
    theirs = net.generate(**given, num_beams=3, max_new_tokens=most)
    assert net.generation_config.bad_words_ids == [[model.frontend.pad]]
    batch = pick(model, sources)
    assert torch.equal(batch.inputs["input_ids"], given["input_ids"])
    assert torch.equal(model._search(batch, Decode(beams=3)), theirs[:, 1:])


def test_half_precision_folders_load_as_float32(toy_pair, tmp_path):
    shrink(toy_pair / "joint", tmp_path / "half")
    stored = safetensors.torch.load_file(tmp_path / "half/model.safetensors")
    assert {t.dtype for t in stored.values()} == {torch.float16}
    model = load_checkpoint(tmp_path / "half")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    layer = "model.encoder.layers.1.fc1.weight"
    assert torch.equal(model.net.state_dict()[layer], stored[layer].float())
    model.save(tmp_path / "saved")
    saved = safetensors.torch.load_file(tmp_path / "saved/model.safetensors")
    assert {t.dtype for t in saved.values()} == {torch.float32}


@pytest.mark.parametrize("name", ["source.spm", "target.spm", "vocab.json", "target_vocab.json"])
def test_a_missing_file_is_named(toy_pair, tmp_path, name):
    folder = Path(shutil.copytree(toy_pair / "separate", tmp_path / "m"))
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"has no {name}; expected the files of a Marian tokenizer"):
        load_checkpoint(folder)


def edited(source: Path, target: Path, name: str, change) -> Path:
    folder = Path(shutil.copytree(source, target))
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))
    return folder


WRONG = {
    "config has 20 rows": ("config.json", lambda c: c.update(vocab_size=20, decoder_vocab_size=20)),
    "has no <unk>": ("vocab.json", lambda c: c.update(unk=c.pop("<unk>"))),
    "pad_token_id is 5 in config.json, and <pad> is 2 in vocab.json": (
        "config.json",
        lambda c: c.update(pad_token_id=5),
    ),
    "eos_token_id is 1 in config.json": ("config.json", lambda c: c.update(eos_token_id=1)),
    "other ids in vocab.json than in target_vocab.json": (
        "target_vocab.json",
        lambda c: c.update({"</s>": c["<unk>"], "<unk>": c["</s>"]}),
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_ids_that_do_not_fit_are_refused(toy_pair, tmp_path, message):
    with pytest.raises(CheckpointError, match=message) as error:
        load_checkpoint(edited(toy_pair / "separate", tmp_path / "m", *WRONG[message]))
    assert "\n" not in str(error.value)


def test_missing_weights_are_refused(toy_pair, tmp_path):
    folder = Path(shutil.copytree(toy_pair / "joint", tmp_path / "m"))
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weights.pop("model.decoder.layers.1.fc2.bias")
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="weights are missing: model.decoder.layers.1.fc2.bias"):
        load_checkpoint(folder)


def test_what_a_translation_model_does_not_do_is_refused(toy_pair):
    with pytest.raises(ConfigError, match="LayerDrop is not supported for Marian; set encoder_layerdrop"):
        load_checkpoint(toy_pair / "joint", changes={"decoder_layerdrop": 0.1})
    for other in ("extend", "rebuild"):
        with pytest.raises(ConfigError, match=f"data.vocabulary is '{other}'; .*`speechxfer graft`"):
            load_checkpoint(toy_pair / "joint", vocabulary=other)
    with pytest.raises(ConfigError, match="no field config.dropuot in a marian checkpoint; did you mean dropout"):
        load_checkpoint(toy_pair / "joint", changes={"dropuot": 0.1})


def test_changes_of_the_config_reach_the_network(toy_pair):
    model = load_checkpoint(toy_pair / "joint", changes={"dropout": 0.37})
    assert {layer.dropout for layer in model.net.model.encoder.layers} == {0.37}


def test_pieces_of_a_text_that_is_empty(toy_pair):
    pieces = Pieces(
        (toy_pair / "joint/source.spm").read_bytes(), json.loads((toy_pair / "joint/vocab.json").read_text())
    )
    assert pieces.encode("") == pieces.encode("  ") == [] and pieces.decode([]) == ""
    assert pieces.unknown_share([]) == 0 and pieces.count(["", "ab"]).tolist() == [0, 1]
