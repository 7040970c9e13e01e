"""Word times: attention that is known gives times that are known; the steps against transformers' own; spelling."""
# ruff: noqa: F811  (fixtures are imported)

import math
from dataclasses import replace

import numpy as np
import pytest
import regex
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_whisper_decode import GREEDY, LENGTHS, OFF, folder, net, states, tokens  # noqa: F401
from transformers.models.whisper import generation_whisper as theirs

from speechxfer.models import whisper_words
from speechxfer.models.whisper_decode import Decoded, decode
from speechxfer.models.whisper_words import FRAME, alignment_heads, spelt, token_starts, word_times, words_of

HINDI = "क्षत्रिय को पानी, मुझे ज्ञान!"


def said(tokens, text: str, lang: str, timed: bool = False) -> Decoded:
    ids = tokens.encode(text, lang)
    ids = [tokens.first_timestamp, *ids, tokens.first_timestamp + 10] if timed else ids
    prefix = [tokens.previous, 40, 41, *tokens.prefix(lang, "transcribe", timestamps=timed)]
    return Decoded(tuple(prefix), tuple(ids), text, (), lang, -0.1, 0.0, 0.0, 1.0, False)


@pytest.fixture
def attentive(net):
    """Makes the cross-attention look where it is told: `look(owner)`, (batch, frames) the row of queries that each
    frame is seen by, counted from the token before the text."""
    hooks = []

    def look(owner: torch.Tensor, begin: int) -> None:
        codes = torch.eye(16)  # of a head; there are two heads, which do the same

        def queries(module, args, output):
            made = torch.zeros_like(output)
            rows = min(16, output.shape[1] - begin)
            made[:, begin : begin + rows] = 60 * torch.cat([codes[:rows]] * 2, -1)
            return made

        def keys(module, args, output):
            return torch.cat([codes[owner]] * 2, -1)

        for layer in net.model.decoder.layers:
            hooks.append(layer.encoder_attn.q_proj.register_forward_hook(queries))
            hooks.append(layer.encoder_attn.k_proj.register_forward_hook(keys))

    yield look
    for hook in hooks:
        hook.remove()


def test_words_are_timed_where_the_attention_looks(net, tokens, attentive):
    """Each token for frames of its own, other ones in each row; the second row is shorter, the rest is padding."""
    one = said(tokens, "hello quick fox", "en")
    other = said(tokens, "the brown fox", "en", timed=True)
    counts = [len(tokens.encode(text, "en")) for text in ("hello quick fox", "the brown fox")]
    assert max(counts) < 16
    rng = np.random.default_rng(0)
    frames, bounds = 400, []
    owner = torch.zeros(2, frames, dtype=torch.long)
    for row, count in enumerate(counts):
        bounds.append(np.cumsum([0, *rng.integers(8, 25, count)]))  # where each token begins, and the end of the text
        for i, start in enumerate(bounds[row]):
            owner[row, start:] = i
    lengths = torch.tensor([bounds[0][-1] + 20, bounds[1][-1] + 9])
    begin = len(tokens.prefix("en", "transcribe")) - 1  # in both: prompt and times are left out
    attentive(owner, begin)
    found = word_times(net, tokens, torch.randn(2, frames, 32), lengths, [one, other])
    for row, decoded in enumerate((one, other)):
        words = decoded.text.split()
        assert [word for word, _, _ in found[row]] == words
        done = 0
        for word, start, end in found[row]:
            pieces = len(tokens.encode(word, "en"))
            assert start == pytest.approx(bounds[row][done] * FRAME, abs=2 * FRAME)
            done += pieces
            assert end == pytest.approx(bounds[row][done] * FRAME, abs=2 * FRAME)


def test_times_of_any_attention_are_in_order_and_within_the_audio(net, tokens, states):
    """Of rows with nothing but times too, and of texts that fill all positions."""
    prefixes = [tokens.prefix("en", "transcribe", timestamps=timed) for timed in (True, False, True, False)]
    written = decode(net, tokens, states, torch.tensor(LENGTHS), prefixes, replace(GREEDY, guards=OFF))
    full = net.config.max_target_positions - len(written[1].prefix)
    written[1] = replace(written[1], ids=(*written[1].ids, *[written[1].ids[0]] * full)[:full])
    written[1] = replace(written[1], text=tokens.decode(written[1].ids))
    written[0] = replace(written[0], ids=(tokens.first_timestamp,))
    audio = torch.tensor([40, 15, 7, 1])
    found = word_times(net, tokens, states, torch.tensor(LENGTHS), written, audio)
    assert found[0] == ()
    for one, words, frames in zip(written[1:], found[1:], audio.tolist()[1:], strict=True):
        assert words and "".join(word for word, _, _ in words) == "".join(one.text.split())
        times = [time for _, start, end in words for time in (start, end)]
        assert times == sorted(times) and times[0] >= 0 and times[-1] <= frames * FRAME
    assert word_times(net, tokens, states[:1], torch.tensor([40]), written[:1]) == [()]


def test_words_of_a_row_are_those_of_the_row_alone(net, tokens, states):
    rows = [said(tokens, text, "hi", timed) for text, timed in ((HINDI, False), ("पानी", True), ("मुझे को", False))]
    together = word_times(net, tokens, states[:3], torch.tensor(LENGTHS[:3]), rows)
    for i, row in enumerate(rows):
        alone = states[i : i + 1, : LENGTHS[i]]
        assert word_times(net, tokens, alone, torch.tensor(LENGTHS[i : i + 1]), [row]) == [together[i]]


def test_the_matrix_is_that_of_the_attention_that_transformers_shows(net, tokens, states, monkeypatch):
    from transformers.modeling_outputs import BaseModelOutput

    one, length = said(tokens, HINDI, "hi"), LENGTHS[0]
    seen = []
    real = whisper_words.attention_matrix
    monkeypatch.setattr(whisper_words, "attention_matrix", lambda *args: seen.append(real(*args)) or seen[-1])
    monkeypatch.setattr(net.generation_config, "alignment_heads", [[0, 1], [1, 0]], raising=False)
    word_times(net, tokens, states[:1], torch.tensor([length]), [one])
    net.set_attn_implementation("eager")
    ids = torch.tensor([[*one.prefix[3:], *one.ids, tokens.end]])
    with torch.no_grad():
        shown = net(
            encoder_outputs=BaseModelOutput(states[:1]), decoder_input_ids=ids, output_attentions=True, use_cache=False
        ).cross_attentions
    net.set_attn_implementation("sdpa")
    weights = torch.stack([shown[0][0, 1], shown[1][0, 0]])
    weights = (weights - weights.mean(-2, keepdim=True)) / weights.std(-2, keepdim=True, unbiased=False)
    expected = theirs._median_filter(weights[None], 7)[0].mean(0)
    assert np.allclose(seen[0], expected.numpy(), atol=1e-3)


def test_heads_are_the_checkpoints_own_or_those_of_the_upper_half(net, monkeypatch):
    assert alignment_heads(net) == {1: [0, 1]}
    monkeypatch.setattr(net.generation_config, "alignment_heads", [[0, 1], [1, 0], [0, 0]], raising=False)
    assert alignment_heads(net) == {0: [1, 0], 1: [0]}


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_the_warping_is_transformers_slow_one(rows, frames, seed):
    matrix = np.random.default_rng(seed).standard_normal((rows, frames))
    text, time = theirs._dynamic_time_warping(-matrix)
    jumps = np.pad(np.diff(text), (1, 0), constant_values=1).astype(bool)
    assert token_starts(matrix).tolist() == time[jumps].tolist()


# --- spelling ---------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(letters=st.lists(st.sampled_from("ab é,.क्षत्रिय ज़\u200dー日本👩🏽"), unique=True, max_size=20))
def test_letters_are_the_text_and_their_tokens_are_in_order(tokens, letters):
    text = "".join(letters)
    ids = tokens.encode(text, "ja")
    letters = spelt(tokens, ids)
    assert "".join(letter.text for letter in letters) == text.strip()
    edges = [edge for letter in letters for edge in (letter.start, letter.end)]
    assert edges == sorted(edges) and all(0 <= edge <= len(ids) for edge in edges)
    for letter in letters:  # its bytes are in these tokens, and in no fewer
        first, last = int(letter.start), max(math.ceil(letter.end) - 1, int(letter.start))
        assert letter.text.strip() in tokens.tokenizer.decode(ids[first : last + 1])
        if last > first:
            assert letter.text not in tokens.tokenizer.decode(ids[first + 1 : last + 1])
            assert letter.text not in tokens.tokenizer.decode(ids[first:last])


def test_bytes_that_are_no_text_take_up_no_letter_of_their_neighbours(tokens):
    ids = tokens.encode("पानी", "hi")
    broken = [*ids[:-1], *tokens.encode("ab", "ja"), ids[-1]]
    text = "".join(letter.text for letter in spelt(tokens, broken))
    assert text.strip() == tokens.decode(broken)


def test_hindi_is_cut_at_its_spaces(tokens):
    ids = tokens.encode(HINDI, "hi")
    assert len(ids) > 20  # letters of three bytes, in pieces of any number of them
    words = words_of(tokens, ids, "hi", np.arange(len(ids) + 1))
    assert [word for word, _, _ in words] == HINDI.split()
    assert all(a[2] <= b[1] + 1e-9 for a, b in zip(words, words[1:], strict=False))


def test_a_language_without_spaces_is_cut_at_characters_as_readers_see_them(tokens):
    for text, language in (("กำลังน้ำที่", "th"), ("日本、がぎ OK 2024。", "ja"), ("क्षत्रियज्ञान", "lo")):
        ids = tokens.encode(text, language)
        words = [word for word, _, _ in words_of(tokens, ids, language, np.arange(len(ids) + 1))]
        assert "".join(words) == text.replace(" ", "")
        ends = set(np.cumsum([len(word) for word in words]))
        clusters = np.cumsum([len(cluster) for cluster in regex.findall(r"\X", text.replace(" ", ""))])
        assert ends <= set(clusters.tolist())
    ids = tokens.encode("日本、が OK 2024。", "ja")
    words = words_of(tokens, ids, "ja", np.arange(len(ids) + 1))
    assert [word for word, _, _ in words] == ["日", "本、", "が", "OK", "2024。"]


def test_letters_that_share_a_token_share_its_time(tokens):
    ids = tokens.encode("पानी", "ja")
    words = words_of(tokens, ids, "ja", np.arange(len(ids) + 1) * 10)
    assert "".join(word for word, _, _ in words) == "पानी"
    assert words[0][1] == 0 and words[-1][2] == pytest.approx(len(ids) * 10 * FRAME)
    assert all(start < end for _, start, end in words)
    assert all(a[2] == b[1] for a, b in zip(words, words[1:], strict=False))


def test_the_pause_after_a_word_is_its_commas(tokens):
    ids = tokens.encode("hello, fox", "en")
    letters = spelt(tokens, ids)
    comma = int(next(letter for letter in letters if letter.text == ",").start)
    assert tokens.tokenizer.decode([ids[comma]]) == ","
    starts = np.arange(len(ids) + 1) * 2
    starts[comma + 1 :] += 100  # two seconds of silence, in which the decoder looks for the comma
    (hello, begun, ended), (fox, start, end) = words_of(tokens, ids, "en", starts)
    assert (hello, fox) == ("hello,", "fox")
    assert ended == pytest.approx(starts[comma] * FRAME)
    assert start >= ended + 2.0
