"""Grafts on tiny parents of exactly the form of opus-mt folders, judged by plain transformers."""

import filecmp
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from transformers import AutoTokenizer, MarianConfig, MarianMTModel, MarianTokenizer

from speechxfer.errors import CheckpointError, ConfigError
from speechxfer.models.folder import saved_normaliser
from speechxfer.models.graft import Graft, add_tokens, graft, read_mapping
from speechxfer.models.marian_random import Size, train_pieces, write_random

pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")

ENGLISH = [
    f"the {a} {n} {v} here ."
    for a in ("old", "small", "red")
    for n in ("cat", "house", "tree")
    for v in ("is", "was", "sat")
]
GERMAN = [
    f"das {a} {n} {v} hier ."
    for a in ("alte", "kleine", "rote")
    for n in ("Haus", "Kind", "Tier")
    for v in ("ist", "war", "saß")
]
ZWJ, ZWNJ, NUKTA = "\u200d", "\u200c", "\u093c"
WORDS = [
    "यह",
    "क" + NUKTA + "लम",
    "ज" + NUKTA + "रूरत",
    "क्" + ZWJ + "ष",
    "सन्" + ZWNJ + "यास",
    "विद्यार्थी",
    "हाथी",
    "है",
    "।",
]
HINDI = [" ".join(words) for words in itertools.permutations(WORDS, 3)]
CODES = [">>deu<<", ">>nld<<"]
SIDES = ("source", "target")


def write_opus(folder: Path, joint: bool) -> Path:
    """What transformers' convert_marian_to_pytorch writes: padding last, half precision, generation in config.json."""
    folder.mkdir()
    pieces = {}
    for side, texts in (("source", ENGLISH), ("target", GERMAN)):
        prefix = folder / side
        SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_prefix=str(prefix),
            vocab_size=60,
            hard_vocab_limit=False,
            minloglevel=2,
        )
        prefix.with_suffix(".model").rename(prefix.with_suffix(".spm"))
        prefix.with_suffix(".vocab").unlink()
        spm = SentencePieceProcessor(model_file=f"{prefix}.spm")
        pieces[side] = [spm.id_to_piece(i) for i in range(3, len(spm))]

    def write(name: str, tokens: list[str]) -> int:
        ids = {token: i for i, token in enumerate(dict.fromkeys(["</s>", "<unk>", *tokens, "<pad>"]))}
        (folder / name).write_text(json.dumps(ids))
        return len(ids)

    if joint:
        rows = write("vocab.json", [*pieces["source"], *pieces["target"], *CODES])
    else:  # the conversion takes two vocabularies of one size only
        count = min(map(len, pieces.values()))
        rows = write("vocab.json", pieces["source"][:count])
        assert write("target_vocab.json", pieces["target"][:count]) == rows
    pad = rows - 1
    tokenizer = {"target_lang": "de", "source_lang": "en", "separate_vocabs": not joint}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    sizes = dict(d_model=32, max_position_embeddings=64, encoder_layers=2, decoder_layers=2, init_std=0.2, dropout=0.1)
    sizes |= dict(encoder_ffn_dim=48, decoder_ffn_dim=48, encoder_attention_heads=4, decoder_attention_heads=4)
    ids = dict(pad_token_id=pad, eos_token_id=0, bos_token_id=0, forced_eos_token_id=0, decoder_start_token_id=pad)
    vocabularies = dict(vocab_size=rows, decoder_vocab_size=rows, share_encoder_decoder_embeddings=joint)
    config = (
        dict(activation_function="swish", scale_embedding=True, normalize_embedding=False) | sizes | ids | vocabularies
    )
    torch.manual_seed(0)
    net = MarianMTModel(MarianConfig(**config))
    net.final_logits_bias.normal_()
    generation = dict(num_beams=3, max_length=24, bad_words_ids=[[pad]], static_position_embeddings=True)
    config |= generation | {"model_type": "marian", "architectures": ["MarianMTModel"], "dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(config))
    state = {name: value for name, value in net.half().state_dict().items() if "embed_positions" not in name}
    torch.save(state, folder / "pytorch_model.bin")
    return folder


@pytest.fixture(scope="module")
def parents(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("parents")
    return {form: write_opus(folder / form, form == "joint") for form in ("joint", "separate")}


@pytest.fixture(scope="module")
def children(parents, tmp_path_factory) -> dict[tuple[str, str], Path]:
    """(form of the parent, side) -> a graft of Hindi."""
    folder = tmp_path_factory.mktemp("children")
    return {
        (form, side): graft(parents[form], HINDI, folder / f"{form}-{side}", side=side, lang="hi")
        for form in parents
        for side in SIDES
    }


def load(folder: Path) -> tuple[MarianMTModel, MarianTokenizer]:
    net, found = MarianMTModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not (found["missing_keys"] or found["unexpected_keys"] or found["mismatched_keys"])
    return net.eval(), AutoTokenizer.from_pretrained(folder)


def table(folder: Path, side: str) -> dict[str, list[float]]:
    """token -> its row in the weights; of the target with the output bias behind it."""
    net, tokenizer = load(folder)
    part = net.get_encoder() if side == "source" else net.get_decoder()
    rows, ids = part.embed_tokens.weight, tokenizer.encoder
    if side == "target":
        assert torch.equal(net.lm_head.weight, rows)
        rows = torch.cat([rows, net.final_logits_bias.T], 1)
        ids = tokenizer.target_encoder if tokenizer.separate_vocabs else tokenizer.encoder
    assert max(ids.values()) < len(rows)
    return {token: rows[i].tolist() for token, i in ids.items()}


each_child = pytest.mark.parametrize(("form", "side"), list(itertools.product(("joint", "separate"), SIDES)))
each_form = pytest.mark.parametrize("form", ["joint", "separate"])


# --- what stays ------------------------------------------------------------------------------------------------------


@each_child
def test_all_weights_but_the_new_rows_are_the_parents_to_the_bit(parents, children, form, side):
    old, new = load(parents[form])[0], load(children[form, side])[0]
    tables = ("embed_tokens", "shared", "lm_head", "final_logits")
    kept = {name for name in old.state_dict() if not any(part in name for part in tables)}
    assert len(kept) > 60
    for name in kept:
        assert torch.equal(old.state_dict()[name], new.state_dict()[name]), name
    other = "source" if side == "target" else "target"
    was, now = table(parents[form], other), table(children[form, side], other)
    assert {token: was[token] for token in now} == now
    assert form == "joint" or was.keys() == now.keys()


@each_child
def test_pieces_that_both_have_keep_their_rows(parents, children, form, side):
    was, now = table(parents[form], side), table(children[form, side], side)
    common = was.keys() & now.keys()
    assert {"</s>", "<unk>", "<pad>", ".", "a", "▁"} <= common
    assert {token: was[token] for token in common} == {token: now[token] for token in common}
    new = now.keys() - was.keys()
    assert any("य" in token for token in new)
    assert len({tuple(now[token]) for token in new}) == len(new)  # no twins


@each_form
def test_the_encoder_says_the_same_of_a_source_sentence(parents, children, form):
    texts = [*ENGLISH[:3], ENGLISH[3] + " " + ENGLISH[4]] + [">>nld<< the saß is here"] * (form == "joint")
    states = []
    for folder in (parents[form], children[form, "target"]):
        net, tokenizer = load(folder)
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        assert tokenizer.unk_token_id not in batch.input_ids[:3]
        hidden = net.get_encoder()(**batch).last_hidden_state
        states.append(hidden[batch.attention_mask.bool()])
    assert torch.equal(*states)


@each_form
def test_the_decoder_scores_the_kept_pieces_as_the_parent_did(parents, children, form):
    """With the same encoder states: the new language is on the other side."""
    hidden = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(1))
    scores = []
    for folder in (parents[form], children[form, "source"]):
        net, tokenizer = load(folder)
        labels = tokenizer(text_target=GERMAN[:2], padding=True, return_tensors="pt").input_ids
        pad = torch.full((2, 1), net.config.decoder_start_token_id)
        inputs = torch.cat([pad, labels[:, :-1]], 1)
        logits = net(encoder_outputs=(hidden,), decoder_input_ids=inputs).logits
        ids = tokenizer.target_encoder if tokenizer.separate_vocabs else tokenizer.encoder
        scores.append({token: logits[..., i] for token, i in ids.items()})
    was, now = scores
    assert now.keys() <= was.keys() and "▁das" in now or "▁" in now
    for token in now:
        torch.testing.assert_close(was[token], now[token])


def test_a_joint_vocabulary_is_pruned_to_what_each_side_can_write(parents, children):
    was = table(parents["joint"], "source")
    source, target = (table(children["joint", other], side) for side, other in zip(SIDES, SIDES[::-1], strict=True))
    assert len(source) < len(was) and len(target) < len(was)
    assert set(source) | set(target) == set(was)
    assert set(CODES) <= set(source) and not set(CODES) & set(target)
    assert set(CODES) <= set(table(children["joint", "source"], "source"))  # the new language is read for them too


# --- what plain transformers makes of it -----------------------------------------------------------------------------


@each_child
def test_transformers_translates_with_it(children, form, side):
    net, tokenizer = load(children[form, side])
    texts = ENGLISH[:2] if side == "target" else HINDI[:2]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    assert tokenizer.unk_token_id not in batch.input_ids
    ids = net.generate(**batch)
    assert (ids[:, 0] == net.config.decoder_start_token_id).all()
    assert all(tokenizer.eos_token_id in row[1:] for row in ids.tolist())
    assert ids.max() < len(tokenizer.target_encoder)
    assert len(tokenizer.batch_decode(ids, skip_special_tokens=True)) == 2
    labels = tokenizer(text_target=HINDI[:2] if side == "target" else GERMAN[:2], padding=True, return_tensors="pt")
    assert tokenizer.unk_token_id not in labels.input_ids
    assert torch.isfinite(net(**batch, labels=labels.input_ids).loss)


@each_child
def test_ids_agree_in_every_file_and_the_parents_decoding_stays(children, form, side):
    folder = children[form, side]
    net, tokenizer = load(folder)
    ids = {name: net.config.to_dict()[name] for name in ("pad_token_id", "eos_token_id", "decoder_start_token_id")}
    for vocabulary in (tokenizer.encoder, tokenizer.target_encoder):
        assert vocabulary["<pad>"] == ids["pad_token_id"] == tokenizer.pad_token_id == ids["decoder_start_token_id"]
        assert vocabulary["</s>"] == ids["eos_token_id"] == tokenizer.eos_token_id
        assert vocabulary["<unk>"] == tokenizer.unk_token_id
        assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    generation = net.generation_config.to_dict()
    assert ids.items() <= generation.items()
    assert generation["bad_words_ids"] == [[tokenizer.pad_token_id]] and generation["forced_eos_token_id"] == 0
    assert generation["num_beams"] == 3 and generation["max_length"] == 24
    config = json.loads((folder / "config.json").read_text())
    assert config["share_encoder_decoder_embeddings"] is False
    assert [config["vocab_size"], config["decoder_vocab_size"]] == [
        len(tokenizer.encoder),
        len(tokenizer.target_encoder),
    ]
    assert config.get("bad_words_ids", [[2]]) == [[2]]
    languages = [tokenizer.source_lang, tokenizer.target_lang]
    assert languages == (["en", "hi"] if side == "target" else ["hi", "de"])


WRITTEN = st.lists(st.sampled_from(WORDS) | st.text("".join(sorted(set("".join(WORDS)))), min_size=1), min_size=1)


@settings(max_examples=40)
@given(WRITTEN.map(" ".join))
def test_devanagari_is_decoded_as_it_was(saved_tokenizer, text):
    ids = saved_tokenizer(text_target=text).input_ids
    assert saved_tokenizer.unk_token_id not in ids
    assert saved_tokenizer.decode(ids, skip_special_tokens=True) == text


@pytest.fixture(scope="module")
def saved_tokenizer(children, tmp_path_factory) -> MarianTokenizer:
    """A child's tokenizer, saved once more by transformers, as a trained checkpoint would have it."""
    folder = tmp_path_factory.mktemp("saved")
    load(children["joint", "target"])[1].save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("text", ["https://x.org/a?b=1&c=%20 है", "<b>{name}</b> , 1,000.5 !", "यह है ? यह ' है", "%s $1"])
def test_what_must_be_copied_can_be_spelled(children, text):
    tokenizer = load(children["joint", "target"])[1]
    ids = tokenizer(text_target=text).input_ids
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


# --- how rows start --------------------------------------------------------------------------------------------------


def started(parents, out: Path, **choices) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """(rows of the new pieces, rows of the parent's target side) of a graft onto the separate parent."""
    folder = graft(parents["separate"], HINDI, out, settings=Graft(**choices))
    was, now = table(parents["separate"], "target"), table(folder, "target")
    own = {token: row for token, row in was.items() if token not in ("</s>", "<unk>", "<pad>")}
    return {token: row for token, row in now.items() if token not in was}, own


def test_without_noise_new_rows_are_the_mean(parents, tmp_path):
    new, was = started(parents, tmp_path / "out", noise=0.0)
    mean = torch.tensor(list(was.values())).mean(0)
    torch.testing.assert_close(torch.tensor(list(new.values())), mean.expand(len(new), -1), atol=1e-3, rtol=1e-3)


def test_noise_is_in_standard_deviations_of_the_parents_rows(parents, tmp_path):
    new, was = started(parents, tmp_path / "out", noise=0.5)
    rows, old = torch.tensor(list(new.values())), torch.tensor(list(was.values()))
    standard = (rows - old.mean(0)) / old.std(0)
    assert standard.std().item() == pytest.approx(0.5, rel=0.1)


def test_random_rows_have_the_configs_deviation_and_no_bias(parents, tmp_path):
    rows = torch.tensor(list(started(parents, tmp_path / "out", initial="random")[0].values()))
    assert rows[:, :-1].std().item() == pytest.approx(0.2, rel=0.1)
    assert abs(rows[:, :-1].mean().item()) < 0.05
    assert not rows[:, -1].any()


def test_a_mapping_gives_a_piece_the_mean_of_its_words_rows(parents, tmp_path):
    model = train_pieces(HINDI, 4000)
    spm = SentencePieceProcessor(model_proto=model)
    german = SentencePieceProcessor(model_file=str(parents["separate"] / "target.spm"))
    words = [("हाथी", "Tier"), ("यह", "das"), ("है", "ist"), ("है", "kleine"), ("है", "kleine")]
    mapping = tmp_path / "words.tsv"
    mapping.write_text("".join(f"{new}\t{old}\n" for new, old in words))
    assert len(german.encode("ist")) != len(german.encode("kleine"))  # each word counts as one all the same
    new, was = started(parents, tmp_path / "out", initial="mapping", mapping=mapping, noise=0.0)
    mean = torch.tensor(list(was.values())).mean(0)
    expected = {}
    for word, old in words:  # the slow way: a list of all that a piece was part of
        ids = [torch.tensor(was[piece]) for piece in german.encode(old, out_type=str) if piece in was]
        for piece in spm.encode(word, out_type=str):
            expected.setdefault(piece, []).append(torch.stack(ids).mean(0))
    assert expected.keys() & new.keys()
    for piece, row in new.items():
        right = torch.stack(expected[piece]).mean(0) if piece in expected else mean
        torch.testing.assert_close(torch.tensor(row), right, atol=2e-3, rtol=2e-3)


def test_a_joint_parent_takes_a_mapping_to_either_of_its_languages(parents, tmp_path, capsys):
    mapping = tmp_path / "words.tsv"
    mapping.write_text("\ufeffहाथी\thouse\r\n\r\nयह\tdas\r\n", encoding="utf-8")
    assert read_mapping(mapping) == [("हाथी", "house"), ("यह", "das")]
    choices = Graft(initial="mapping", mapping=mapping, noise=0.0)
    now = table(graft(parents["joint"], HINDI, tmp_path / "out", settings=choices), "target")
    was = table(parents["joint"], "target")
    new = SentencePieceProcessor(model_file=str(tmp_path / "out" / "target.spm"))
    mapped = set()
    for word, other, side in (("हाथी", "house", "source"), ("यह", "das", "target")):
        spm = SentencePieceProcessor(model_file=str(parents["joint"] / f"{side}.spm"))
        mean = torch.tensor([was[piece] for piece in spm.encode(other, out_type=str)]).mean(0)
        for piece in set(new.encode(word, out_type=str)) - was.keys():
            torch.testing.assert_close(torch.tensor(now[piece]), mean, atol=1e-5, rtol=1e-5)
            mapped.add(piece)
    assert f", {len(mapped)} mapped, " in capsys.readouterr().err


def test_the_same_call_gives_the_same_bytes(parents, children, tmp_path):
    torch.manual_seed(123)  # what was drawn before does not matter
    twin = graft(parents["joint"], iter(HINDI), tmp_path / "twin", lang="hi")
    first = children["joint", "target"]
    names = sorted(file.name for file in first.iterdir())
    assert names == sorted(file.name for file in twin.iterdir())
    assert filecmp.cmpfiles(first, twin, names, shallow=False)[1:] == ([], [])
    other = graft(parents["joint"], HINDI, tmp_path / "other", lang="hi", settings=Graft(seed=1))
    assert filecmp.cmpfiles(first, other, names, shallow=False)[1] == ["model.safetensors"]


def test_the_old_language_stays_when_its_texts_are_given_too(parents, tmp_path):
    both = graft(parents["separate"], [*HINDI, *GERMAN * 10], tmp_path / "both", settings=Graft(model_type="bpe"))
    tokenizer = load(both)[1]
    for text in (HINDI[0], GERMAN[0]):
        assert tokenizer.decode(tokenizer(text_target=text).input_ids, skip_special_tokens=True) == text


# --- tags ------------------------------------------------------------------------------------------------------------


@each_form
def test_an_added_tag_is_one_token_and_nothing_else_changes(parents, tmp_path, form):
    tags = [">>back<<", ">>hin<<"]
    folder = add_tokens(parents[form], [*tags, ">>back<<"], tmp_path / "out")
    (old, before), (new, after) = load(parents[form]), load(folder)
    assert after(ENGLISH[:2]) == before(ENGLISH[:2]) and after(text_target=GERMAN[0]) == before(text_target=GERMAN[0])
    for tag in tags:
        ids = after(f"{tag} {ENGLISH[0]}").input_ids
        assert ids[1:] == before(ENGLISH[0]).input_ids
        assert ids[0] >= old.config.vocab_size
    for side in SIDES:
        was, now = table(parents[form], side), table(folder, side)
        assert {token: now[token] for token in was} == was
        assert now.keys() - was.keys() == (set(tags) if side == "source" or form == "joint" else set())
    for name in ("num_beams", "max_length", "bad_words_ids", "pad_token_id", "eos_token_id", "forced_eos_token_id"):
        assert getattr(new.generation_config, name) == getattr(old.generation_config, name)
    new.generate(**after([f">>back<< {ENGLISH[0]}", ENGLISH[1]], padding=True, return_tensors="pt"))


def test_tags_that_are_there_write_nothing(parents, tmp_path, capsys):
    assert add_tokens(parents["joint"], CODES, tmp_path / "out") == parents["joint"]
    assert not (tmp_path / "out").exists()
    assert "already" in capsys.readouterr().err


def test_a_grafted_checkpoint_takes_tags_and_another_graft(children, tmp_path):
    tagged = add_tokens(children["joint", "target"], [">>back<<"], tmp_path / "tagged")
    (tagged / "speechxfer.json").write_text('{"normaliser": "indic"}')  # as training leaves it: of the target's texts
    again = graft(tagged, GERMAN, tmp_path / "again", side="source")
    assert saved_normaliser(again) == "indic"
    assert saved_normaliser(graft(tagged, GERMAN, tmp_path / "other")) is None
    tokenizer = load(again)[1]
    assert tokenizer(f">>back<< {GERMAN[0]}").input_ids[0] == tokenizer.encoder[">>back<<"]
    assert tokenizer.decode(tokenizer(text_target=HINDI[0]).input_ids, skip_special_tokens=True) == HINDI[0]


# --- a random parent -------------------------------------------------------------------------------------------------

TINY = dict(pieces=300, d_model=32, encoder_layers=2, decoder_layers=1, ffn=48, heads=4, positions=40)


@pytest.mark.parametrize("joint", [True, False])
def test_a_random_marian_loads_and_can_be_grafted(tmp_path, joint):
    size = Size(joint=joint, **TINY)
    parent = write_random(tmp_path / "parent", ENGLISH, GERMAN, size=size, languages=("en", "de"))
    twin = write_random(tmp_path / "twin", ENGLISH, GERMAN, size=size, languages=("en", "de"))
    names = [file.name for file in parent.iterdir()]
    assert filecmp.cmpfiles(parent, twin, names, shallow=False)[1:] == ([], [])
    net, tokenizer = load(parent)
    assert tokenizer.separate_vocabs is not joint and net.config.share_encoder_decoder_embeddings is joint
    assert net.config.activation_function == "swish" and net.config.scale_embedding
    net.generate(**tokenizer(ENGLISH[:2], padding=True, return_tensors="pt"))
    assert tokenizer.decode(tokenizer(text_target=GERMAN[0]).input_ids, skip_special_tokens=True) == GERMAN[0]
    load(graft(parent, HINDI, tmp_path / "child"))


# --- what is refused -------------------------------------------------------------------------------------------------


def copied(folder: Path, out: Path, without: str = "", **config) -> Path:
    out.mkdir()
    for file in folder.iterdir():
        if file.name != without:
            (out / file.name).write_bytes(file.read_bytes())
    (out / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | config))
    return out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict(model_type="wav2vec2"), "'wav2vec2'; expected a MarianMT"),
        (dict(without="target.spm"), "no target.spm"),
        (dict(without="target_vocab.json"), "no target_vocab.json"),
        (dict(without="pytorch_model.bin"), "no weights"),
        (dict(tie_word_embeddings=False), "tie_word_embeddings"),
        (dict(encoder_layers=3), "missing"),
        (dict(decoder_ffn_dim=50), "missing"),
    ],
)
def test_what_is_no_whole_marian_folder_is_refused(parents, tmp_path, change, said):
    parent = copied(parents["separate"], tmp_path / "parent", **change)
    with pytest.raises(CheckpointError, match=said) as error:
        graft(parent, HINDI, tmp_path / "out")
    assert str(parent) in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_vocabulary_that_does_not_fit_the_weights_is_refused(parents, tmp_path):
    for changes, said in (({"<unk>": None}, "no <unk>"), ({"viel": 5000}, "ids end at 5000")):
        parent = copied(parents["joint"], tmp_path / said[:2])
        ids = json.loads((parent / "vocab.json").read_text()) | changes
        (parent / "vocab.json").write_text(json.dumps({token: i for token, i in ids.items() if i is not None}))
        with pytest.raises(CheckpointError, match=said):
            graft(parent, HINDI, tmp_path / "out")


def test_settings_that_make_no_sense_are_refused_together():
    with pytest.raises(ConfigError) as error:
        Graft(model_type="word", initial="mapping", coverage=0.2, noise=-1)
    assert len(str(error.value).splitlines()) == 4


def test_graft_refuses_what_it_cannot_do(parents, tmp_path):
    parent, out = parents["joint"], tmp_path / "out"
    with pytest.raises(ConfigError, match="'left'; expected one of source, target"):
        graft(parent, HINDI, out, side="left")
    with pytest.raises(ConfigError, match="there are no texts"):
        graft(parent, ["", " "], out)
    with pytest.raises(ConfigError, match=r"pieces is 50.*50 vs 1\d\d"):
        graft(parent, HINDI, out, settings=Graft(pieces=50))
    with pytest.raises(ConfigError, match="'<back>'"):
        add_tokens(parent, [">>back<<", "<back>"], out)
    with pytest.raises(ConfigError, match="something here already"):
        graft(parent, HINDI, parent)
    with pytest.raises(ConfigError, match="d_model is 30"):
        write_random(out, ENGLISH, GERMAN, size=Size(d_model=30))
    assert not list(tmp_path.iterdir())


def test_a_mapping_is_refused_with_all_its_bad_lines(parents, tmp_path):
    mapping = tmp_path / "words.tsv"
    mapping.write_text("हाथी\tTier\nयह\nहै\tist\twar\n\tist\n")
    with pytest.raises(ConfigError, match=r"words\.tsv:2,3,4: expected two words"):
        read_mapping(mapping)
    mapping.write_text("Tier\tहाथी\n")  # columns the wrong way round
    with pytest.raises(ConfigError, match="no word gives a row"):
        graft(parents["joint"], HINDI, tmp_path / "out", settings=Graft(initial="mapping", mapping=mapping))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_mapping(tmp_path / "none.tsv")


def test_settings_can_be_named_without_loading_torch():
    code = "import sys, speechxfer.models.graft; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
