"""Decoding against a loop without a cache and against transformers' own; rows against the same rows alone; guards."""

import json
import math
import zlib
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from conftest import REAL_DATA
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperForConditionalGeneration

from speechxfer.models.whisper_decode import NO_FALLBACK, compression_ratio, decode, detect_language
from speechxfer.models.whisper_random import Size, write_random
from speechxfer.models.whisper_search import LEAST_TOKENS, TOKENS_PER_STATE, _Draw, loop_start
from speechxfer.models.whisper_tokens import Tokens
from speechxfer.task import Decode, Guards

TEXTS = ["the quick brown fox jumps", "hello world, how are you?", "मुझे पानी चाहिए", "क्षत्रिय ज्ञान"]
SIZE = Size(pieces=320, d_model=32, encoder_layers=1, decoder_layers=2, heads=2, ffn=64, text_positions=64)
LENGTHS = (40, 22, 7, 1)  # frames
OFF = Guards(temperatures=(), repeats=0, no_speech=1.0)  # what the search finds, as it is
GREEDY = Decode(beams=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_random(tmp_path_factory.mktemp("whisper") / "model", SIZE, TEXTS)


@pytest.fixture(scope="module")
def tokens(folder) -> Tokens:
    return Tokens.from_folder(folder)


@pytest.fixture(scope="module")
def net(folder) -> WhisperForConditionalGeneration:
    """With weights so large that it writes other nonsense for every audio, and comes to an end now and then."""
    net = WhisperForConditionalGeneration.from_pretrained(folder).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in net.model.decoder.named_parameters():
            if weight.dim() == 2 and "embed_positions" not in name:
                weight.copy_(0.5 * torch.randn(weight.shape, generator=generator))
    return net


@pytest.fixture(scope="module")
def states() -> torch.Tensor:
    return torch.randn(len(LENGTHS), max(LENGTHS), SIZE.d_model, generator=torch.Generator().manual_seed(2))


def run(net, tokens, states, prefix, how=GREEDY, guards=OFF, **more):
    """All rows, with one prefix."""
    return decode(
        net, tokens, states, torch.tensor(LENGTHS), [prefix] * len(states), replace(how, guards=guards), **more
    )


def forbidden(net, tokens, timed: bool) -> list[int]:
    times = {i for i in tokens.controls if tokens.seconds(i) is not None}
    never = set(tokens.controls) - {tokens.end} - (times if timed else set())
    return sorted(never | set(net.generation_config.suppress_tokens))


def log_probs(net, tokens, states, prefix, ids, timed=False) -> torch.Tensor:
    """(vocabulary,) of what comes next, of one row without padding, by the whole sequence through the plain model."""
    from transformers.modeling_outputs import BaseModelOutput

    given = torch.tensor([[*prefix, *ids]])
    with torch.no_grad():
        logits = net(encoder_outputs=BaseModelOutput(states), decoder_input_ids=given, use_cache=False).logits[0, -1]
    logits[forbidden(net, tokens, timed)] = -math.inf
    if not ids:
        logits[net.generation_config.begin_suppress_tokens] = -math.inf
    return logits.log_softmax(-1)


def naive(net, tokens, states, prefix) -> tuple[list[int], float]:
    """Greedy ids and their mean log probability."""
    ids, total = [], 0.0
    most = math.ceil(LEAST_TOKENS + TOKENS_PER_STATE * states.shape[1])
    while len(prefix) + len(ids) < net.config.max_target_positions:
        scores = log_probs(net, tokens, states, prefix, ids)
        best = int(scores.argmax()) if len(ids) < most else tokens.end
        total += float(scores[best])
        if best == tokens.end:
            return ids, total / (len(ids) + 1)
        ids.append(best)
    return ids, total / len(ids)


def test_greedy_is_the_loop_that_takes_the_likeliest_token_of_each_row_without_padding_or_cache(net, tokens, states):
    prefix = tokens.prefix("hi", "transcribe", timestamps=False)
    found = run(net, tokens, states, prefix)
    assert len({one.ids for one in found}) == len(LENGTHS)
    for i, (one, length) in enumerate(zip(found, LENGTHS, strict=True)):
        ids, mean = naive(net, tokens, states[i : i + 1, :length], prefix)
        assert list(one.ids) == ids
        assert one.avg_logprob == pytest.approx(mean, abs=1e-4)
        assert one.confidence == pytest.approx(math.exp(mean), rel=1e-3)
        assert one.text == tokens.decode(ids)
        assert (one.language, one.temperature, one.segments) == ("hi", 0.0, ())


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("beams", [1, 3])
def test_of_thirty_seconds_transformers_own_generate_finds_the_same_ids(net, tokens, timed, beams):
    features = torch.randn(2, 80, 3000, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        states = net.model.encoder(features).last_hidden_state
    theirs = WhisperForConditionalGeneration(net.config).eval()
    theirs.load_state_dict(net.state_dict())
    theirs.generation_config = type(net.generation_config).from_dict(net.generation_config.to_dict())
    theirs.generation_config.suppress_tokens = forbidden(net, tokens, timed)
    asked = {"language": "en", "task": "transcribe", "return_timestamps": timed, "num_beams": beams}
    expected = theirs.generate(features, **asked, force_unique_generate_call=True)
    prefix = tokens.prefix("en", "transcribe", timestamps=timed)
    lengths = torch.tensor([states.shape[1]] * 2)
    found = decode(net, tokens, states, lengths, [prefix] * 2, Decode(beams=beams, guards=OFF))
    for one, row in zip(found, expected.tolist(), strict=True):
        assert row[: len(prefix)] == prefix
        written = row[len(prefix) :]
        assert list(one.ids) == (written[: written.index(tokens.end)] if tokens.end in written else written)


def told(tokens) -> list[list[int]]:
    """A prefix for each row: of two lengths, with and without times, with a prompt, and of a language to be found."""
    prompt = [tokens.previous, *tokens.encode("hello")]
    return [
        tokens.prefix("en", "transcribe", timestamps=True),
        [*prompt, *tokens.prefix("hi", "translate", timestamps=False)],
        tokens.prefix(None, "transcribe", timestamps=False),
        tokens.prefix("hi", "transcribe", timestamps=True),
    ]


@pytest.mark.parametrize(
    "how",
    [GREEDY, Decode(beams=3, n_best=2), Decode(temperature=0.7, top_k=30, top_p=0.9, n_best=2)],
    ids=["greedy", "beam", "drawn"],
)
def test_a_row_becomes_what_it_becomes_alone(net, tokens, states, how):
    guards, prefixes, keys = Guards(temperatures=(0.4, 1.0)), told(tokens), list("abcd")
    how = replace(how, guards=guards)
    together = decode(net, tokens, states, torch.tensor(LENGTHS), prefixes, how, keys=keys)
    for i, length in enumerate(LENGTHS):
        alone = states[i : i + 1, :length]
        only = decode(net, tokens, alone, torch.tensor([length]), [prefixes[i]], how, keys=[keys[i]])
        assert only[0].ids == together[i].ids
        assert only[0].temperature == together[i].temperature
        assert [text for text, _ in only[0].n_best] == [text for text, _ in together[i].n_best]


def test_eager_attention_finds_what_the_fast_one_finds(net, tokens, states):
    fast = run(net, tokens, states, tokens.prefix("en"), Decode(beams=2))
    net.set_attn_implementation("eager")
    try:
        assert [one.ids for one in run(net, tokens, states, tokens.prefix("en"), Decode(beams=2))] == [
            one.ids for one in fast
        ]
    finally:
        net.set_attn_implementation("sdpa")


def test_times_come_in_order_and_end_with_the_audio(net, tokens, states):
    prefix = tokens.prefix("en", "transcribe", timestamps=True)
    audio = torch.tensor([30, 22, 5, 1])  # of 40, 22, 7, 1 frames: the rest is silence that was added
    for one, frames in zip(run(net, tokens, states, prefix, audio=audio), audio.tolist(), strict=True):
        times = [tokens.seconds(i) for i in one.ids if tokens.seconds(i) is not None]
        assert times and times == sorted(times)
        assert times[-1] <= frames * 0.02 + 1e-9
        assert one.segments == tokens.segments(one.ids)
    assert not any(tokens.seconds(i) for one in run(net, tokens, states, tokens.prefix("en")) for i in one.ids)


def test_a_language_that_is_not_said_is_the_likeliest_one_and_then_as_if_it_had_been_said(net, tokens, states):
    detected = detect_language(net, tokens, states, torch.tensor(LENGTHS))
    found = run(net, tokens, states, tokens.prefix(None, "transcribe"))
    for i, length in enumerate(LENGTHS):
        from transformers.modeling_outputs import BaseModelOutput

        alone = BaseModelOutput(states[i : i + 1, :length])
        with torch.no_grad():
            logits = net(encoder_outputs=alone, decoder_input_ids=torch.tensor([[tokens.start]])).logits[0, -1]
        assert detected[i] == max(tokens.languages, key=lambda code: logits[tokens.languages[code]])
        assert found[i].language == detected[i]
        assert list(found[i].prefix) == tokens.prefix(detected[i], "transcribe")
        said = decode(
            net, tokens, alone[0], torch.tensor([length]), [list(found[i].prefix)], replace(GREEDY, guards=OFF)
        )
        assert said[0].ids == found[i].ids
        assert found[i].no_speech == pytest.approx(float(logits.softmax(-1)[tokens.no_speech]), rel=1e-3)


def test_a_checkpoint_of_english_alone_has_no_language(net, tokens, states):
    alone = replace(tokens, languages={})
    assert {one.language for one in run(net, alone, states, [tokens.start, tokens.no_timestamps])} == {None}


def test_an_n_best_list_is_in_order_and_begins_with_the_text(net, tokens, states):
    for how in (Decode(beams=3, n_best=3), Decode(temperature=1.0, n_best=3)):
        for one in run(net, tokens, states, tokens.prefix("en"), how):
            assert len(one.n_best) == 3
            assert one.n_best[0] == (one.text, one.confidence)
    drawn = [confidence for _, confidence in one.n_best]
    assert drawn == sorted(drawn, reverse=True)
    assert len({text for text, _ in one.n_best}) == 3
    assert run(net, tokens, states, tokens.prefix("en"), Decode(beams=3))[0].n_best == ()


def test_tokens_are_drawn_as_often_as_they_are_likely():
    shares = torch.tensor([0.6, 0.3, 0.1, 0.0])
    rows = 4000
    drawn = _Draw(range(rows))(torch.zeros(rows, 1), shares.log().expand(rows, -1)).argmax(1)
    counts = torch.bincount(drawn, minlength=4) / rows
    assert counts[3] == 0
    assert torch.allclose(counts, shares, atol=4 * math.sqrt(0.25 / rows))


def test_what_is_drawn_hangs_on_seed_and_name_of_the_row(net, tokens, states):
    def drawn(seed=0, keys="abcd"):
        how = Decode(temperature=1.0, seed=seed)
        return [one.ids for one in run(net, tokens, states, tokens.prefix("en"), how, keys=list(keys))]

    first = drawn()
    assert drawn() == first
    assert drawn(seed=1)[0] != first[0]
    other = drawn(keys="xbcd")
    assert other[0] != first[0] and other[1:] == first[1:]


def test_a_text_that_fails_is_tried_hotter_and_the_likeliest_is_kept(net, tokens, states):
    """Of those that do not repeat themselves, where there is one."""
    prefix, tries = tokens.prefix("en"), (0.3, 2.0)
    attempts = [run(net, tokens, states, prefix, Decode(beams=1, temperature=t)) for t in (0.0, *tries)]
    limit = max(one.compression_ratio for one in attempts[-1])
    strict = replace(OFF, temperatures=tries, avg_logprob=0.0, compression_ratio=limit)
    settled = run(net, tokens, states, prefix, guards=strict)
    for one, *tried in zip(settled, *attempts, strict=True):
        assert one == max(tried, key=lambda attempt: (attempt.compression_ratio <= limit, attempt.avg_logprob))
    assert len({one.temperature for one in settled}) > 1


def test_a_text_that_passes_is_not_tried_again(net, tokens, states):
    prefix = tokens.prefix("en")
    first = run(net, tokens, states, prefix)
    line = sorted(one.avg_logprob for one in first)[2]
    guards = replace(OFF, temperatures=(0.2, 0.5), avg_logprob=line, compression_ratio=math.inf)
    for one, before in zip(run(net, tokens, states, prefix, guards=guards), first, strict=True):
        assert (one == before) if before.avg_logprob >= line else (one.avg_logprob >= before.avg_logprob)
    assert run(net, tokens, states, prefix, guards=replace(guards, temperatures=())) == first


def test_who_asks_for_drawn_tokens_gets_the_first_that_are_drawn(net, tokens, states):
    strict = replace(OFF, temperatures=(0.2, 0.4), avg_logprob=0.0)
    drawn = run(net, tokens, states, tokens.prefix("en"), Decode(temperature=1.0), guards=strict)
    assert {one.temperature for one in drawn} == {1.0}


def test_where_nothing_is_said_nothing_is_written_and_nothing_tried_again(net, tokens, states):
    heard = run(net, tokens, states, tokens.prefix("en"))
    line = sorted(one.no_speech for one in heard)[1]
    guards = Guards(no_speech=line, avg_logprob=0.0, temperatures=(1.0,))
    for one, before in zip(run(net, tokens, states, tokens.prefix("en"), guards=guards), heard, strict=True):
        silent = before.no_speech > line
        assert (one.text == "" and one.ids == () and one.temperature == 0.0) == silent
    likely = replace(guards, avg_logprob=-math.inf)  # a text that the model is sure of was said
    assert all(one.text for one in run(net, tokens, states, tokens.prefix("en"), guards=likely))


# --- loops -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def stuck(net) -> WhisperForConditionalGeneration:
    """Says the same piece for ever, whatever it hears."""
    same = WhisperForConditionalGeneration(net.config).eval()
    same.load_state_dict(net.state_dict())
    same.generation_config = net.generation_config
    with torch.no_grad():
        same.model.decoder.layer_norm.weight.zero_()
        same.model.decoder.layer_norm.bias.copy_(3 * net.model.decoder.embed_tokens.weight[70])
    return same


@pytest.mark.parametrize("timed", [False, True])
def test_a_loop_ends_the_search_and_its_first_round_stays(stuck, tokens, states, timed):
    prefix = tokens.prefix("en", "transcribe", timestamps=timed)
    guards = replace(NO_FALLBACK, repeats=4, repeated_tokens=20)
    steps = []
    hook = stuck.model.decoder.register_forward_hook(lambda *_: steps.append(1))
    found = run(stuck, tokens, states, prefix, guards=guards)
    hook.remove()
    assert len(steps) < 20 + 6  # the end, two times and the pass that judges it, where 60 tokens had room
    for one in found:
        assert one.looped
        assert [i for i in one.ids if tokens.seconds(i) is None] == [70]
        assert one.text == tokens.decode([70])
    assert not any(one.looped for one in run(stuck, tokens, states, prefix))


def test_a_loop_is_tried_again_even_if_the_model_is_sure_of_it(stuck, tokens, states):
    guards = Guards(temperatures=(0.2, 50.0), repeats=4, repeated_tokens=20)
    found = run(stuck, tokens, states, tokens.prefix("en"), guards=guards)
    assert [one.temperature for one in found] == [50.0] * len(found)
    assert not any(one.looped for one in found)


def test_a_beam_prefers_a_text_without_a_loop(net, tokens, states):
    """In which a loop can only end, at the price that its end has."""
    guards = replace(NO_FALLBACK, repeats=3, repeated_tokens=6)
    for one in run(net, tokens, states, tokens.prefix("en"), Decode(beams=4), guards=guards):
        assert loop_start(one.ids, guards) is None


@settings(max_examples=200, deadline=None)
@given(
    before=st.lists(st.integers(0, 5), max_size=12),
    unit=st.lists(st.integers(10, 15), min_size=1, max_size=6, unique=True),
    rounds=st.integers(1, 9),
    part=st.integers(0, 5),
)
def test_a_loop_is_so_many_rounds_and_so_many_tokens(before, unit, rounds, part):
    guards = Guards(repeats=4, repeated_tokens=9)
    end = unit * rounds + unit[: part % len(unit)]
    expected = len(before) + len(unit) if len(end) >= max(4 * len(unit), 9) else None
    assert loop_start(before + end, guards) == expected


def test_without_a_limit_there_are_no_loops():
    assert loop_start([1] * 100, Guards(repeats=0)) is None


# --- compression ratio ------------------------------------------------------------------------------------------------


@given(st.text(st.characters(codec="ascii"), max_size=200))
def test_of_ascii_the_ratio_is_openais(text):
    assert compression_ratio(text) == len(text.encode()) / len(zlib.compress(text.encode()))


def test_flawless_hindi_passes_and_hindi_that_repeats_itself_does_not():
    file = REAL_DATA / "text" / "tatoeba-en-hi" / "train.jsonl"
    if not file.is_file():
        pytest.skip("needs ../shared/data/text")
    with file.open(encoding="utf-8") as lines:
        sentences = [json.loads(line)["text"] for line in lines]
    flat = " ".join(sentences)
    passages = [flat[i : i + 450] for i in range(0, len(flat) - 450, 450)]
    bytewise = [len(text.encode()) / len(zlib.compress(text.encode())) for text in passages]
    limit = Guards().compression_ratio
    assert sum(ratio > limit for ratio in bytewise) > 0.9 * len(passages)  # as OpenAI counts it
    assert max(map(compression_ratio, passages)) < limit
    again = [" ".join([sentence] * 6) for sentence in sentences if len(sentence) > 30]
    assert sum(compression_ratio(text) > limit for text in again) > 0.99 * len(again)


def test_prefixes_that_are_not_one_for_each_row_are_refused(net, tokens, states):
    with pytest.raises(ValueError):
        decode(net, tokens, states, torch.tensor(LENGTHS), [tokens.prefix("en")], GREEDY)


def test_the_model_is_left_without_hooks(net, tokens, states):
    run(net, tokens, states, tokens.prefix("en"))
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in net.modules())
    broken = SimpleNamespace(**{**vars(tokens), "languages": {"xx": 10**9}})  # an id beyond the vocabulary
    with pytest.raises(IndexError):
        detect_language(net, broken, states, torch.tensor(LENGTHS))
    assert not any(module._forward_pre_hooks for module in net.modules())
