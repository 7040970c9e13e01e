"""`load(...).translate(...)`, files, and the verbs translate, graft and backtranslate, on a model that knows toys."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from conftest import LEXICON, toy_sources, translated
from transformers import MarianMTModel, MarianTokenizer

import speechxfer
from speechxfer import translator as module
from speechxfer.back_translation import back_translate
from speechxfer.cli import main
from speechxfer.errors import CheckpointError, ConfigError, ManifestError
from speechxfer.manifest import read_manifest
from speechxfer.models.base import Hypothesis
from speechxfer.models.graft import add_tokens
from speechxfer.models.marian import Marian
from speechxfer.predict import predict
from speechxfer.prediction import read_predictions
from speechxfer.recogniser import Recogniser
from speechxfer.task import Data, Decode
from speechxfer.translator import Translator, _split

pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")

SOURCES = toy_sources(14, seed=11)


@pytest.fixture(scope="module")
def best(pair_run) -> Path:
    return pair_run[0] / "best"


@pytest.fixture(scope="module")
def model(best) -> Translator:
    return speechxfer.load(best, device="cpu")


@pytest.fixture(scope="module")
def several(best, tmp_path_factory) -> Path:
    """The trained model, told that it writes several languages."""
    return add_tokens(best, [">>hin<<", ">>mar<<"], tmp_path_factory.mktemp("several") / "m")


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """The sentences that the search was given."""
    found, search = [], Translator.hypotheses

    def spy(self, sentences, **settings):
        found.extend(sentences)
        return search(self, sentences, **settings)

    monkeypatch.setattr(Translator, "hypotheses", spy)
    return found


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main(argv=[*map(str, arguments)])
    return end.value.code


def refused(capsys, *arguments: object) -> str:
    """The one line that is said."""
    capsys.readouterr()
    assert run(*arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("[transformers]")]
    assert len(lines) == 1 and lines[0].startswith("speechxfer: "), lines
    return lines[0]


# --- a text, and a list of them ---------------------------------------------------------------------------------------


def test_a_checkpoint_is_loaded_as_what_it_is(best, toy):
    assert isinstance(speechxfer.load(best, device="cpu"), Translator)
    assert isinstance(speechxfer.load(toy / "tiny", device="cpu"), Recogniser)


def test_a_text_and_a_list_in_its_order_with_its_blanks(model):
    assert model.translate("bcd abc ab") == translated("bcd abc ab")
    texts = ["", *SOURCES, "  ", "\t", "ab"]
    found = model.translate(texts)
    assert isinstance(found, list) and len(found) == len(texts)
    assert (found[0], found[-3], found[-2], found[-1]) == ("", "  ", "\t", "पानी")
    right = [got == translated(source) for source, got in zip(SOURCES, found[1:-3], strict=True)]
    assert sum(right) >= len(SOURCES) - 1
    assert model.translate(tuple(texts)) == found
    assert model.translate([]) == [] and model.translate("") == "" and model.translate(" \n") == " \n"
    assert [model.translate(text) for text in texts] == found, "alone as in company"


def test_the_size_of_a_batch_changes_no_translation(model):
    assert model.translate(SOURCES, batch_tokens=1) == model.translate(SOURCES) != SOURCES


def test_the_decoding_is_as_asked(model, best):
    drawn = Decode(temperature=5.0)
    assert model.translate(SOURCES, decode=drawn) != model.translate(SOURCES)
    assert model.translate(SOURCES, decode=drawn) == model.translate(SOURCES, decode=drawn)
    several = model.hypotheses(SOURCES, decode=Decode(beams=4, n_best=3))
    assert [len(h.n_best) for h in several] == [3] * len(SOURCES)
    assert [h.text for h in several] == model.translate(SOURCES, decode=Decode(beams=4))
    assert all(isinstance(h, Hypothesis) and 0 < h.confidence <= 1 for h in several)
    assert model.hypotheses([]) == []


def test_translating_leaves_no_gradients_and_no_noise(model):
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    model.translate(SOURCES, decode=Decode(temperature=1.0))
    assert torch.equal(state, torch.random.get_rng_state())
    assert not model.model.training and all(p.grad is None for p in model.model.parameters())


@pytest.mark.parametrize("settings", [{"precision": "bf16"}, {"attention": "eager"}])
def test_any_arithmetic_translates_the_same(best, model, settings):
    other = speechxfer.load(best, device="cpu", **settings)
    same = [a == b for a, b in zip(other.translate(SOURCES), model.translate(SOURCES), strict=True)]
    assert sum(same) >= len(same) - 1


# --- texts of several sentences ---------------------------------------------------------------------------------------

CUT = {
    "Go. Now! Why? So\u2026 End": ["Go.", "Now!", "Why?", "So\u2026", "End"],
    "मैं घर\u0964 है\u0965 पानी": ["मैं घर\u0964", "है\u0965", "पानी"],
    "\u6211\u3002\u4f60\uff01\u4ed6\uff1f\u5979": ["\u6211\u3002", "\u4f60\uff01", "\u4ed6\uff1f", "\u5979"],
    "\u06a9\u06cc\u0627\u061f \u06c1\u06d2\u06d4 \u06c1\u0648": [
        "\u06a9\u06cc\u0627\u061f",
        "\u06c1\u06d2\u06d4",
        "\u06c1\u0648",
    ],
    'He said "go." Then (he left.) And': ['He said "go."', "Then (he left.)", "And"],
    "It costs 3.50 at a.b.c now": ["It costs 3.50 at a.b.c now"],
    "  one.\n\ntwo.  ": ["one.", "two."],
}


@pytest.mark.parametrize("text", CUT)
def test_where_sentences_end(text):
    found = [sentence for sentence in _split(text) if sentence]
    assert found == CUT[text]
    assert "".join(found).replace(" ", "") == text.replace(" ", "").replace("\n", ""), "nothing is lost"


@pytest.mark.parametrize("end", [". ", "! ", "\u0964 ", "\u3002", "\u3002\n"])
def test_a_text_longer_than_the_positions_goes_sentence_by_sentence(model, asked, end):
    sentences = [source + end.strip() for source in SOURCES]
    text = "".join(source + end for source in SOURCES)
    found = model.translate(["ab", text, "ba"])
    assert asked == ["ab", *sentences, "ba"]
    assert found == ["पानी", " ".join(model.translate(sentences)), "घर"]


def test_a_text_that_fits_is_not_cut(model, asked):
    text = "ab. ba. cad. dac."
    model.translate(text)
    assert asked == [text]


def test_exactly_the_positions_fit(model, asked):
    fits = "ab " * 39
    model.translate(fits)
    assert asked == [fits]
    with pytest.raises(
        ConfigError, match=r"^the sentence 'ab ab .*'\.\.\. has 41 tokens; expected at most 40, the pos"
    ):
        model.translate(["ab", f"ab. {fits}ab"])
    with pytest.raises(ConfigError, match="has 41 tokens; expected at most 40"):
        model.hypotheses(["ab", "ab " * 40])


# --- languages --------------------------------------------------------------------------------------------------------


def test_the_language_is_told_or_stands_at_the_head(several):
    model = speechxfer.load(several, device="cpu")
    assert (
        model.translate("ab ba", lang="hi") == model.translate(">>hin<< ab ba") == model.translate("ab ba", lang="hin")
    )
    for lang in (None, "ta"):
        with pytest.raises(ConfigError, match="'ab ba': .*expected one of >>hin<<, >>mar<<"):
            model.translate("ab ba", lang=lang)
    assert model.translate(["", " "]) == ["", " "], "nothing to write needs no language"


def test_a_code_at_the_head_of_a_long_text_holds_for_all_its_sentences(several, asked):
    model = speechxfer.load(several, device="cpu")
    text = ". ".join(SOURCES)
    found = model.translate(f">>hin<< {text}")
    assert len(asked) == len(SOURCES) and all(sentence.startswith(">>hin<< ") for sentence in asked)
    assert found == model.translate(text, lang="hi")


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lines_at_a_time", [10_000, 3])
def test_a_file_line_by_line_with_its_blank_lines(model, tmp_path, monkeypatch, lines_at_a_time):
    monkeypatch.setattr(module, "LINES", lines_at_a_time)
    lines = ["", *SOURCES[:5], "", "", *SOURCES[5:], "  ", "ab\u2028ba\x0b\x85cad", ""]
    (tmp_path / "in.txt").write_bytes("\n".join(lines).encode() + b"\n")
    out = model.translate_file(tmp_path / "in.txt", tmp_path / "deep" / "out.txt")
    assert out == tmp_path / "deep" / "out.txt"
    written = out.read_bytes().decode()
    assert written.endswith("\n") and "\r" not in written
    found = written.split("\n")[:-1]
    assert len(found) == len(lines) and found == [" ".join(line.splitlines()) for line in model.translate(lines)]
    assert [not line.strip() for line in found] == [not line.strip() for line in lines]
    assert [path.name for path in out.parent.iterdir()] == ["out.txt"]


@pytest.mark.parametrize(
    "content",
    [b"ab ba\ncad\n", b"ab ba\r\ncad\r\n", b"\xef\xbb\xbfab ba\ncad\n", b"ab ba\ncad", b"\xef\xbb\xbfab ba\r\ncad"],
    ids=["plain", "crlf", "bom", "no final newline", "all"],
)
def test_line_ends_and_marks_of_other_systems(model, tmp_path, content):
    (tmp_path / "in.txt").write_bytes(content)
    out = model.translate_file(str(tmp_path / "in.txt"), str(tmp_path / "out.txt"))
    assert out.read_text() == translated("ab ba") + "\nहाथी\n"


def test_an_empty_file_is_an_empty_file(model, tmp_path):
    (tmp_path / "in.txt").write_bytes(b"")
    assert model.translate_file(tmp_path / "in.txt", tmp_path / "out.txt").read_bytes() == b""


def test_a_file_is_refused_before_the_work_with_all_its_lines(model, tmp_path, asked):
    file, out = tmp_path / "in.txt", tmp_path / "out.txt"
    out.write_text("old\n")
    long = "ab " * 50
    for content, lines in (
        ("\n".join(["ab", long, "ba", "", f"ab. {long}"]).encode(), {2: "has 51 tokens", 5: "has 51 tokens"}),
        (b"ab\nba\n\xff\xfe cad\n", {3: "invalid start byte at byte 0; expected UTF-8"}),
    ):
        file.write_bytes(content)
        with pytest.raises(ConfigError) as error:
            model.translate_file(file, out)
        said = str(error.value).splitlines()
        assert len(said) == len(lines)
        for line, (number, words) in zip(said, lines.items(), strict=True):
            assert line.startswith(f"{file}:{number}: ") and words in line
    assert out.read_text() == "old\n" and asked == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out.txt"]


def test_only_so_many_lines_are_named(model, tmp_path):
    (tmp_path / "in.txt").write_text(("ab " * 50 + "\n") * 90)
    with pytest.raises(ConfigError) as error:
        model.translate_file(tmp_path / "in.txt", tmp_path / "out.txt")
    assert len(str(error.value).splitlines()) == module.MOST_SAID


def test_a_file_that_is_not_there(model, tmp_path):
    with pytest.raises(ConfigError, match=r"none.txt: no such file; expected a text file, a sentence a line$"):
        model.translate_file(tmp_path / "none.txt", tmp_path / "out.txt")
    assert list(tmp_path.iterdir()) == []


def test_what_ends_in_the_middle_leaves_no_file(model, tmp_path, monkeypatch):
    (tmp_path / "in.txt").write_text("ab\nba\n")
    (tmp_path / "out.txt").write_text("old\n")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Translator, "hypotheses", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.translate_file(tmp_path / "in.txt", tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text() == "old\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out.txt"]


# --- speechxfer translate ---------------------------------------------------------------------------------------------


def test_translate_as_a_command(best, several, model, tmp_path, capsys):
    file, out = tmp_path / "in.txt", tmp_path / "out.txt"
    file.write_text("\n".join(["", *SOURCES, ""]))
    assert run("translate", file, "--checkpoint", best, "--out", out) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert out.read_text() == "\n".join(["", *model.translate(SOURCES)]) + "\n"
    assert run("translate", file, "--checkpoint", best, "--out", out, "--set", "decode.temperature=5") == 0
    assert (
        out.read_text() == "\n".join(["", *model.translate(["", *SOURCES], decode=Decode(temperature=5.0))[1:]]) + "\n"
    )
    assert run("translate", file, "--checkpoint", several, "--out", out, "--lang", "hi") == 0
    assert len(out.read_text().splitlines()) == len(SOURCES) + 1


def test_what_translate_refuses_it_says_in_one_line(best, several, toy, tmp_path, capsys):
    file, out = tmp_path / "in.txt", tmp_path / "out.txt"
    file.write_text("ab\n")
    for said, checkpoint, source, *more in (
        ("is a recogniser; expected a translation checkpoint", toy / "tiny", file),
        ("none.txt: no such file", best, tmp_path / "none.txt"),
        ("expected one of >>hin<<, >>mar<<", several, file),
        ("lang is 'de'", several, file, "--lang", "de"),
        ("decode.top_p is 2.0; expected > 0 and <= 1", best, file, "--set", "decode.top_p=2"),
        ("has no config.json", tmp_path, file),
    ):
        assert said in refused(capsys, "translate", source, "--checkpoint", checkpoint, "--out", out, *more)
        assert not out.exists()
    assert "is what is to be translated" in refused(capsys, "translate", file, "--checkpoint", best, "--out", file)
    assert file.read_text() == "ab\n"


# --- speechxfer graft -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def new_pair(tmp_path_factory) -> Path:
    """A manifest of a language that the parent does not write."""
    folder = tmp_path_factory.mktemp("new")
    words = dict(zip(LEXICON, ["вода", "дом", "слон", "перо", "знание", "я", "быстро", "есть"], strict=True))
    rows = [{"source": s, "text": " ".join(words[word] for word in s.split())} for s in toy_sources(60, seed=3)]
    (folder / "new.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    (folder / "words.tsv").write_text("".join(f"{new}\t{LEXICON[old]}\n" for old, new in words.items()))
    return folder


def test_graft_as_a_command_makes_a_checkpoint_that_can_be_trained(best, new_pair, tmp_path, capsys):
    out, manifest = tmp_path / "child", new_pair / "new.jsonl"
    train = ["train", "--train", manifest, "--dev", manifest, "--out", tmp_path / "run"]
    train += ["--set=run.steps=1", "--set=run.device=cpu", "--set=run.precision=fp32", "--set=data.workers=0"]
    assert run(*train, "--model", best) == 2
    assert "vocabulary lacks" in (said := capsys.readouterr().err) and "`speechxfer graft`" in said
    alone = tmp_path / "alone.jsonl"  # graft needs the new language only
    alone.write_text("".join(json.dumps({"text": e.text}) + "\n" for e in read_manifest(manifest)))
    command = ["graft", "--parent", best, "--texts", alone, "--out", out, "--lang", "ru", "--pieces", 150]
    assert run(*command, "--mapping", new_pair / "words.tsv") == 0
    assert capsys.readouterr().out == f"{out}\n"
    tokenizer = MarianTokenizer.from_pretrained(out)
    assert tokenizer.target_lang == "ru"
    ids = tokenizer(text_target="слон дом")["input_ids"]
    assert tokenizer.unk_token_id not in ids and tokenizer.decode(ids, skip_special_tokens=True) == "слон дом"
    assert MarianMTModel.from_pretrained(out).generate(**tokenizer("ab ba", return_tensors="pt")).shape[0] == 1
    assert isinstance(speechxfer.load(out, device="cpu").translate("ab ba"), str)
    assert run(*train, "--model", out) == 0
    assert "there is something here already" in refused(capsys, *command)


def test_the_parents_own_pairs_lead_a_graft_to_what_new_words_mean(best, new_pair, tmp_path, capsys):
    sources = [" ".join(sorted(s.split())) for s in toy_sources(200, seed=4)]
    rows = [{"source": s, "text": " ".join(LEXICON[word] for word in s.split())} for s in sources]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["graft", "--parent", best, "--texts", new_pair / "new.jsonl", "--lang", "ru", "--pieces", 150]
    command += ["--bridge", tmp_path / "own.jsonl"]
    assert run(*command, "--out", tmp_path / "child") == 0
    listed = set((tmp_path / "child-words.tsv").read_text().splitlines())
    true = set((new_pair / "words.tsv").read_text().splitlines())
    assert len(listed & true) >= len(true) - 2 and len(listed) <= len(true)
    assert "mapped" in capsys.readouterr().err
    both = [*command, "--out", tmp_path / "other", "--mapping", new_pair / "words.tsv"]
    assert "expected one of them" in refused(capsys, *both)


def test_what_graft_refuses_it_says_in_one_line(best, new_pair, toy, tmp_path, capsys):
    manifest = new_pair / "new.jsonl"
    (tmp_path / "bare.jsonl").write_text('{"source": "ab"}\n')
    for said, *changes in (
        ("expected a MarianMT checkpoint", "--parent", toy / "tiny"),
        ("no text", "--texts", tmp_path / "bare.jsonl"),
        ("coverage is 0.5; expected 0.9 to 1", "--coverage", 0.5),
        ("pieces is 20, which SentencePiece refuses", "--pieces", 20),
        ("cannot be read as UTF-8 text", "--mapping", tmp_path / "none.tsv"),
        ("none.jsonl: no such file", "--texts", tmp_path / "none.jsonl"),
    ):
        command = ["graft", "--parent", best, "--texts", manifest, "--out", tmp_path / "child", "--pieces", 150]
        assert said in refused(capsys, *command, *changes)
        assert not (tmp_path / "child").exists()


# --- speechxfer backtranslate -----------------------------------------------------------------------------------------


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


BEAM = ("--set", "decode.temperature=0", "--set", "decode.top_k=0")


def test_back_translation_of_a_text_file(best, model, tmp_path, capsys):
    """The toy model writes the first language of the pair that is made, as a reverse checkpoint does."""
    (tmp_path / "mono.txt").write_bytes(("\ufeff" + "\r\n".join(["", *SOURCES[:3], " ", *SOURCES[3:]])).encode())
    out = tmp_path / "made.jsonl"
    assert run("backtranslate", tmp_path / "mono.txt", "--checkpoint", best, "--out", out, *BEAM) == 0
    assert capsys.readouterr().out == f"{out}\n"
    made = rows(out)
    assert [row["text"] for row in made] == SOURCES
    assert [row["source"] for row in made] == [f">>back<< {one}" for one in model.translate(SOURCES)]
    assert [row["id"] for row in made] == [f"back-{line}" for line in (2, 3, 4, *range(6, 6 + len(SOURCES) - 3))]
    assert all(row["group"] == {"origin": "back-translation"} for row in made)
    assert len(read_manifest(out, require=("source", "text"))) == len(SOURCES)
    assert not (tmp_path / "made.jsonl.sources.jsonl").exists()


def test_back_translation_of_a_manifest_keeps_what_the_rows_say(best, tmp_path):
    manifest = tmp_path / "mono.jsonl"
    given = [{"id": f"m{i}", "text": s, "lang": "xx", "group": {"domain": "toys"}} for i, s in enumerate(SOURCES)]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in given))
    out = tmp_path / "made.jsonl"
    assert run("backtranslate", manifest, "--checkpoint", best, "--out", out, "--tag", ">>synthetic<<", *BEAM) == 0
    for was, row in zip(given, rows(out), strict=True):
        assert row["source"].startswith(">>synthetic<< ") and row["source"].split()[1] in LEXICON.values()
        assert (row["id"], row["text"], row["lang"]) == (f"back-{was['id']}", was["text"], "xx")
        assert row["group"] == {"domain": "toys", "origin": "back-translation"}


@pytest.mark.parametrize(
    "tag", ["back", "<back>", ">>a back<<", ">>back<< ", ">><<", "", ">>hi<<", ">>hin<<", ">>pt_BR<<"]
)
def test_a_tag_that_is_none_or_a_language_is_refused(best, tmp_path, capsys, tag):
    """Before anything is drawn: a language's code would make the model write that language."""
    (tmp_path / "mono.txt").write_text("ab\n")
    command = ["backtranslate", tmp_path / "mono.txt", "--checkpoint", best, "--out", tmp_path / "made.jsonl"]
    said = refused(capsys, *command, f"--tag={tag}")
    assert said.startswith(f"speechxfer: tag is {tag!r}; expected the form '>>name<<', without spaces")
    assert [path.name for path in tmp_path.iterdir()] == ["mono.txt"]


def test_it_is_drawn_unless_it_is_told_not_to_be(best, tmp_path):
    (tmp_path / "mono.txt").write_text("\n".join(SOURCES))

    def made(name: str, *settings: str) -> list[str]:
        command = ["backtranslate", tmp_path / "mono.txt", "--checkpoint", best, "--out", tmp_path / f"{name}.jsonl"]
        assert run(*command, *(f"--set={one}" for one in settings)) == 0
        return [row["source"] for row in rows(tmp_path / f"{name}.jsonl")]

    made("made")
    receipt = json.loads((tmp_path / "made.jsonl.predictions.receipt.json").read_text())
    assert (receipt["decode.temperature"], receipt["decode.top_k"]) == (1.0, 10)
    hot = made("hot", "decode.temperature=5")
    assert hot != made("seed", "decode.temperature=5", "decode.seed=1")
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps({"source": source}) + "\n" for source in SOURCES))
    plain = read_predictions(predict(best, tmp_path / "asked.jsonl", tmp_path / "plain.jsonl"))
    likeliest = made("beam", "decode.beams=5", "decode.temperature=0")
    assert likeliest == [f">>back<< {p.hyp}" for p in plain] != hot


def silent_about(monkeypatch, words: Sequence[str]) -> None:
    """Let the model write nothing for these sources."""
    generate = Marian.generate

    def partly(self, batch, decode):
        found = generate(self, batch, decode)
        texts = [self.frontend.source.decode(ids[:-1]) for ids in _ids(self, batch)]
        return [Hypothesis("", 0.5) if text in words else h for text, h in zip(texts, found, strict=True)]

    monkeypatch.setattr(Marian, "generate", partly)


def _ids(model: Marian, batch) -> list[list[int]]:
    return [[i for i in row if i != model.frontend.pad] for row in batch.inputs["input_ids"].tolist()]


def test_what_comes_back_empty_is_left_out_counted_and_said(best, tmp_path, monkeypatch, capsys):
    silent_about(monkeypatch, SOURCES[2:4])
    (tmp_path / "mono.txt").write_text("\n".join(SOURCES))
    out = back_translate(best, tmp_path / "mono.txt", tmp_path / "made.jsonl")
    assert [row["text"] for row in rows(out)] == SOURCES[:2] + SOURCES[4:]
    assert f"2 of {len(SOURCES)} texts came back empty: left out" in capsys.readouterr().err


def test_a_back_translation_goes_on_where_it_stopped(best, tmp_path, monkeypatch):
    (tmp_path / "mono.txt").write_text("\n".join(SOURCES))
    data, done, generate = Data(batch_tokens=20, workers=0), [], Marian.generate
    whole = back_translate(best, tmp_path / "mono.txt", tmp_path / "whole.jsonl", data=data).read_bytes()

    def stopping(self, batch, decode):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(batch.ids)
        return generate(self, batch, decode)

    with monkeypatch.context() as patch:
        patch.setattr(Marian, "generate", stopping)
        with pytest.raises(KeyboardInterrupt):
            back_translate(best, tmp_path / "mono.txt", tmp_path / "out.jsonl", data=data)
    assert not (tmp_path / "out.jsonl").exists()
    first = {one for ids in done for one in ids}
    later: list[str] = []
    monkeypatch.setattr(Marian, "generate", lambda self, b, d: later.extend(b.ids) or generate(self, b, d))
    out = back_translate(best, tmp_path / "mono.txt", tmp_path / "out.jsonl", data=data)
    assert out.read_bytes() == whole and later and not first & set(later)
    later.clear()
    assert back_translate(best, tmp_path / "mono.txt", out, data=data).read_bytes() == whole and later == []


def test_a_reverse_model_of_several_languages_is_told_which_one_to_write(several, tmp_path, capsys):
    (tmp_path / "mono.txt").write_text("ab ba\n")
    command = ["backtranslate", tmp_path / "mono.txt", "--checkpoint", several, "--out", tmp_path / "made.jsonl"]
    assert "expected one of >>hin<<, >>mar<<" in refused(capsys, *command)
    assert run(*command, "--lang", "hi") == 0
    (row,) = rows(tmp_path / "made.jsonl")
    assert row["text"] == "ab ba" and "lang" not in row, "it is the source's language, which a pair does not name"


def test_no_back_translation_overwrites_its_texts(tmp_path, capsys):
    (tmp_path / "mono.jsonl").write_text('{"text": "ab"}\n')
    (tmp_path / "there").symlink_to(tmp_path)
    for name, out in (("mono.jsonl", "mono.jsonl"), ("mono.jsonl", "there/mono.jsonl"), ("x.sources.jsonl", "x")):
        (tmp_path / name).write_text('{"text": "ab"}\n')
        said = refused(capsys, "backtranslate", tmp_path / name, "--checkpoint", "m", "--out", tmp_path / out)
        assert f"{name}: is what is to be translated, and would be overwritten" in said
        assert (tmp_path / name).read_text() == '{"text": "ab"}\n'


@pytest.mark.parametrize("verb", ["translate", "backtranslate"])
def test_several_processes_do_not_write_the_same_file(tmp_path, monkeypatch, capsys, verb):
    monkeypatch.setenv("WORLD_SIZE", "2")
    (tmp_path / "mono.txt").write_text("ab\n")
    said = refused(capsys, verb, tmp_path / "mono.txt", "--checkpoint", "m", "--out", tmp_path / "out.jsonl")
    assert said == f"speechxfer: {verb} works in one process, found 2 (WORLD_SIZE); start it without torchrun"
    assert [path.name for path in tmp_path.iterdir()] == ["mono.txt"]


def test_what_backtranslate_refuses_it_says_in_one_line(best, toy, tmp_path, capsys):
    (tmp_path / "bytes.txt").write_bytes(b"ab\n\xffba\n")
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "bare.jsonl").write_text('{"source": "ab"}\n')
    (tmp_path / "mono.txt").write_text("ab\n")
    for said, source, *more in (
        ("bytes.txt:2: invalid start byte", tmp_path / "bytes.txt"),
        ("empty.txt: no sentences", tmp_path / "empty.txt"),
        ("no text", tmp_path / "bare.jsonl"),
        ("none.txt: no such file", tmp_path / "none.txt"),
        ("expected audio", tmp_path / "mono.txt", "--checkpoint", toy / "tiny"),
    ):
        command = ["backtranslate", source, "--checkpoint", best, "--out", tmp_path / "made.jsonl", *more]
        line = refused(capsys, *command)
        assert said in line, line
        assert not (tmp_path / "made.jsonl").exists()
    with pytest.raises(CheckpointError, match="no config.json"):
        back_translate(tmp_path, tmp_path / "mono.txt", tmp_path / "made.jsonl")
    with pytest.raises(ManifestError, match="no such file"):
        back_translate(best, tmp_path / "none.jsonl", tmp_path / "made.jsonl")
