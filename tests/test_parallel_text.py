import gzip
import json
import pickle
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from xml.sax.saxutils import escape

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechxfer import manifest as manifest_module
from speechxfer import parallel_text
from speechxfer import tmx as tmx_module
from speechxfer.errors import ManifestError
from speechxfer.manifest import Example, read_good_rows, read_manifest, write_manifest
from speechxfer.problems import Problems

HERE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name: str, content: str | bytes) -> str:
    content = content.encode() if isinstance(content, str) else content
    Path(name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return name


def pairs(source, **kwargs):
    return [(e.source, e.text) for e in read_manifest(source, **kwargs)]


def problem(source, **kwargs) -> str:
    with pytest.raises(ManifestError) as caught:
        read_manifest(source, **kwargs)
    return str(caught.value)


# Two line-aligned files


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_two_line_aligned_files_are_read_by_line(packed):
    write(f"c.en{packed}", "one\ntwo\nthree\n")
    write(f"c.hi{packed}", "एक\nदो\nतीन\n")
    manifest = read_manifest(f"c.en{packed}+c.hi{packed}", require=("source", "text"))
    assert list(manifest) == [
        Example("1", "एक", source="one", lang="hi"),
        Example("2", "दो", source="two", lang="hi"),
        Example("3", "तीन", source="three", lang="hi"),
    ]
    assert manifest.where(2) == f"c.en{packed}+c.hi{packed}:3"
    assert list(pickle.loads(pickle.dumps(manifest.select([2, 0])))) == [manifest[2], manifest[0]]
    write_manifest("c.jsonl", manifest)
    assert read_manifest("c.jsonl").sha256 == manifest.sha256


def test_only_a_line_feed_ends_a_line():
    write("c.en", "\ufeffa\u2028b\u2029c\r\nd\x0ce\x1c\x85f\rg\r\n\ufeffh")
    write("c.hi", "1\n2\n3\n")
    assert pairs("c.en+c.hi") == [("a\u2028b\u2029c", "1"), ("d\x0ce\x1c\x85f\rg", "2"), ("\ufeffh", "3")]


LINE = st.text(st.sampled_from("ab \r\u2028\x0c\x85\ufeffह"), max_size=5).map(lambda line: line.rstrip("\r"))


@HERE
@given(
    lines=st.lists(st.tuples(LINE, LINE), min_size=1, max_size=8),
    block=st.integers(1, 12),
    end=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_lines_are_those_of_a_plain_split_whatever_the_blocks(lines, block, end, mark):
    lines[0] = tuple(side.lstrip("\ufeff") for side in lines[0])
    for side, name in enumerate(["x.en", "x.hi"]):
        write(name, mark + "".join(line[side] + end for line in lines))
    expected = [(source if source.strip() else None, text if text.strip() else None) for source, text in lines]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel_text, "BLOCK", block)
        raw = parallel_text.line_aligned(Path("x.en"), Path("x.hi"))
    table = raw.table()
    assert list(zip(table["source"].to_pylist(), table["text"].to_pylist(), strict=True)) == expected
    assert [(row.get("source"), row.get("text")) for _, row in raw.rows(Problems("x"))] == expected


def test_sides_of_different_length_are_refused_with_both_counts():
    write("c.en", "a\nb\n")
    write("c.hi", "a\nb\n\n")
    assert problem("c.en+c.hi") == "c.en has 2 lines and c.hi has 3; expected as many of each"


def test_a_blank_side_is_a_problem_as_an_empty_cell_is():
    write("c.en", "a\n \nc\n\n")
    write("c.hi", "1\n2\n\t\n\n")
    write("c.tsv", "source\ttext\na\t1\n\t2\nc\t\n\t\n")
    wrong = [f"{line}: neither audio nor source; expected one of them" for line in (2, 4)]
    assert problem("c.en+c.hi") == "\n".join(f"c.en+c.hi:{one}" for one in wrong)
    wrong = [f"{line}: no source; expected one in every row" for line in (2, 4)]
    wrong += [f"{line}: no text; expected one in every row" for line in (3, 4)]
    assert problem("c.en+c.hi", require=("source", "text")) == "\n".join(f"c.en+c.hi:{one}" for one in wrong)
    assert len(problem("c.tsv", require=("source", "text")).splitlines()) == len(wrong)
    good, problems = read_good_rows("c.en+c.hi", require=("source", "text"))
    assert [e.id for e in good] == ["1"] and problems.lines == {2, 3, 4}


def test_what_is_not_utf8_is_named_by_file_and_line():
    write("c.en", b"a\n\xffb\nc\n")
    write("c.hi", b"1\n2\n3\xc3\n")
    assert problem("c.en+c.hi", require=("source", "text")).splitlines() == [
        "c.en+c.hi:2: c.en: invalid start byte at byte 0; expected UTF-8",
        "c.en+c.hi:3: c.hi: unexpected end of data at byte 1; expected UTF-8",
    ]
    good, _ = read_good_rows("c.en+c.hi", require=("source", "text"))
    assert list(good) == [Example("1", "1", source="a", lang="hi")]


@pytest.mark.parametrize(
    "name, lang",
    [
        *[("c.hi", "hi"), ("c.hin", "hin"), ("c.pt_BR", "pt_BR"), ("c.hin_Deva", "hin_Deva"), ("c.hi.gz", "hi")],
        *[("c.txt", None), ("c.tgt", None), ("c.TXT.gz", None), ("c", None), ("c.h", None), ("c.hindi", None)],
    ],
)
def test_the_language_of_the_text_is_the_ending_of_its_file(name, lang):
    write("a.en", "x\n")
    write(name, "y\n")
    assert read_manifest(f"a.en+{name}")[0].lang == lang


def test_files_with_a_plus_in_their_own_name():
    write("a+b.en", "x\n")
    write("c++.hi", "y\n")
    write("a+b.jsonl", '{"source": "p", "text": "q"}\n')
    assert pairs("a+b.en+c++.hi") == [("x", "y")]
    assert pairs("a+b.jsonl") == [("p", "q")]
    assert problem("none.en+c++.hi") == "none.en: no such file; expected one of two line-aligned files"
    found = problem("none.en+none.hi").splitlines()
    assert [line.split(":")[0] for line in found] == ["none.en", "none.hi"]
    datasets.Dataset(pa.table({"src": ["s"], "tgt": ["t"]})).save_to_disk("my+data")
    assert pairs("my+data") == pairs("my+data:train") == [("s", "t")]


def test_wrong_uses_are_told_what_is_right():
    write("a.en", "x\n")
    write("a.hi", "y\n")
    assert problem("a.en").endswith("or two line-aligned files, the source first: corpus.en+corpus.hi")
    assert problem("a.en+a.hi@en:hi").endswith("take no languages; expected a.en+a.hi, the source first")
    assert problem("a.jsonl@hi:hi") == "a.jsonl@hi:hi: both languages are hi; expected two, such as a.jsonl@en:hi"
    write("b.en.gz", "x\n" * 9_000)
    content = Path("b.en.gz").read_bytes()
    for broken in (content[:40], b"x\n", content[:20] + b"\0\0\0\0" + content[24:]):
        Path("b.en.gz").write_bytes(broken)
        assert problem("b.en.gz+a.hi").startswith("b.en.gz: ")


def test_no_line_becomes_a_python_object_while_reading(monkeypatch):
    write("c.en", "".join(f"sentence {i}\n" for i in range(200_000)))
    write("c.hi", "".join(f"वाक्य {i}\n" for i in range(200_000)))

    def slow(*arguments):
        raise AssertionError("read row by row")

    monkeypatch.setattr(manifest_module, "convert_rows", slow)
    manifest = read_manifest("c.en+c.hi")
    assert len(manifest) == 200_000 and manifest[199_999].text == "वाक्य 199999"


# Translation memories


def memory(*units: dict[str, str] | str, header: str = 'srclang="en"', doctype: str = "") -> str:
    """TMX, a unit a line from line 3 on; segments are given as XML."""

    def unit(variants):
        if isinstance(variants, str):
            return variants
        inside = "".join(f'<tuv xml:lang="{tag}"><seg>{seg}</seg></tuv>' for tag, seg in variants.items())
        return f"<tu>{inside}</tu>"

    lines = [f'<?xml version="1.0"?>{doctype}', f'<tmx version="1.4"><header {header}/><body>', *map(unit, units)]
    return "\n".join([*lines, "</body></tmx>"])


@pytest.mark.parametrize("name", ["m.tmx", "m.tmx.gz"])
def test_units_become_rows_with_their_lines(name):
    write(name, memory({"en": "one", "hi": "एक"}, "<!-- nothing -->", {"hi": "दो", "en": "two &lt;2&gt;"}))
    manifest = read_manifest(f"{name}@en:hi")
    expected = [("3", "one", "एक"), ("5", "two <2>", "दो")]
    assert list(manifest) == [Example(id, text, source=source, lang="hi") for id, source, text in expected]
    assert manifest.where(1) == f"{name}@en:hi:5"
    assert read_manifest(name).sha256 == manifest.sha256
    assert [(e.source, e.text, e.lang) for e in read_manifest(f"{name}@hi:en")][1] == ("दो", "two <2>", "en")
    write_manifest("m.jsonl", manifest)
    assert read_manifest("m.jsonl").sha256 == manifest.sha256


def test_units_on_one_line_are_told_apart_by_number():
    write("m.tmx", memory({"en": "a", "hi": "b"}, {"en": "alone"}, {"en": "c", "hi": ""}).replace("\n", " "))
    assert [e.id for e in read_manifest("m.tmx")] == ["1", "3"]
    assert problem("m.tmx", require=("text",)) == "m.tmx:3: no text; expected one in every row"


def test_codes_are_dropped_and_the_sentence_stays():
    segments = {
        "en": 'Click <bpt i="1">&lt;b&gt;<sub>alt</sub>&lt;i&gt;</bpt>here<ept i="1">&lt;/b&gt;</ept>, '
        "<hi>right <ph>%s</ph>now</hi>.<it pos='begin'>{</it><ut>}</ut>",
        "hi": "\n     यहाँ\n     <mrk>अभी</mrk> &amp;\u00a0फिर\n  ",
    }
    write("m.tmx", memory(segments))
    assert pairs("m.tmx@en:hi") == [("Click here, right now.", "यहाँ अभी &\u00a0फिर")]


SEGMENT = st.recursive(
    st.text("ab<&>ह€ ", max_size=4).map(escape),
    lambda inner: st.tuples(st.sampled_from(["hi", "mrk", "bpt", "ph", "it", "sub"]), inner, inner, inner).map(
        lambda drawn: f"{drawn[1]}<{drawn[0]}>{drawn[2]}</{drawn[0]}>{drawn[3]}"
    ),
    max_leaves=6,
)


def kept(element) -> str:
    """The oracle: the text of a tree without what is inside codes."""
    inside = "" if element.tag in tmx_module.CODES else (element.text or "") + "".join(map(kept, element))
    return inside + (element.tail or "")


@HERE
@given(drawn=st.lists(st.tuples(SEGMENT, SEGMENT), min_size=1, max_size=4), block=st.integers(1, 40))
def test_segments_are_those_of_a_parsed_tree_whatever_the_blocks(drawn, block):
    content = memory(*({"en": en, "hi": hi} for en, hi in drawn))
    write("x.tmx", content)
    segments = [kept(seg) for seg in ElementTree.fromstring(content).iter("seg")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tmx_module, "BLOCK", block)
        patch.setattr(tmx_module, "BATCH", 2)
        table = tmx_module.tmx(Path("x.tmx"), ("en", "hi")).table()
    found = [text for pair in zip(table["source"].to_pylist(), table["text"].to_pylist(), strict=True) for text in pair]
    assert found == [text if text.strip() else None for text in segments]
    assert table["line"].to_pylist() == list(range(3, 3 + len(drawn)))


def test_a_language_takes_its_varieties_and_the_very_one_first(capsys):
    units = {"en-US": "us", "HI_in": "१"}, {"en-GB": "gb", "en": "en", "hi": "२"}, {"eng": "eng", "hi": "३"}
    write("m.tmx", memory(*units, {"en-gb": "g", "EN-us": "u", "hi": "४"}))
    assert pairs("m.tmx@en:hi") == [("us", "१"), ("en", "२"), ("g", "४")]
    said = capsys.readouterr().err
    assert said == (
        "m.tmx@en:hi: leaves out 1 of 4 units: no en or no hi; "
        "takes the first of several versions in one language in 1 unit\n"
    )
    assert pairs("m.tmx@en_us:hi") == [("us", "१"), ("u", "४")]
    assert pairs("m.tmx@en-GB:en-US") == [("g", "u")]
    assert "en and en-US both take what is en-US" in problem("m.tmx@en:en-US")
    old = memory('<tu><tuv lang="en"><seg>a</seg></tuv><tuv lang="hi"><seg>b</seg></tuv></tu>')
    assert pairs(write("old.tmx", old)) == [("a", "b")]


def test_without_languages_the_header_decides_between_two():
    units = {"hi-IN": "b", "en-US": "a"}, {"en-GB": "c", "hi-IN": "d"}
    for source in ("en-US", "EN"):
        write("m.tmx", memory(*units, header=f'srclang="{source}"'))
        assert pairs("m.tmx") == [("a", "b"), ("c", "d")]
        assert {e.lang for e in read_manifest("m.tmx")} == {"hi"}
    write("v.tmx", memory({"pt-PT": "a", "pt-BR": "b"}, header='srclang="pt-PT"'))
    assert [(e.source, e.text, e.lang) for e in read_manifest("v.tmx")] == [("a", "b", "pt-br")]
    for source in ("*all*", "de"):
        write("m.tmx", memory(*units, header=f'srclang="{source}"'))
        assert f"srclang is '{source}'" in problem("m.tmx")
    write("m.tmx", memory({"en": "a", "de": "b"}, {"en": "c", "de": "d", "hi": "e"}, {"en": "f"}))
    assert problem("m.tmx") == (
        "m.tmx: found en in 3 units, de in 2 units, hi in 1 unit, and a header whose srclang is 'en'; "
        "expected the source and the text to be named, as in m.tmx@en:de"
    )
    assert problem("m.tmx@en:fr") == (
        "m.tmx: no unit has both en and fr; found en in 3 units, de in 2 units, hi in 1 unit"
    )
    assert problem(write("one.tmx", memory({"en": "a"}))) == (
        "one.tmx: found en in 1 unit; expected units in two languages"
    )
    assert problem(write("none.tmx", memory()) + "@en:hi") == "none.tmx@en:hi:1: no rows; expected at least one"


def test_a_doctype_is_allowed_and_entities_are_refused():
    pair = {"en": "a", "hi": "b"}
    assert pairs(write("m.tmx", memory(pair, doctype='<!DOCTYPE tmx SYSTEM "tmx14.dtd">'))) == [("a", "b")]
    inside = "<!DOCTYPE tmx [<!ELEMENT tmx (header, body)><!ATTLIST seg n CDATA '1'>]>"
    assert pairs(write("m.tmx", memory(pair, doctype=inside))) == [("a", "b")]
    for declared in ('a "boom"', 'a SYSTEM "file:///etc/hostname"', '% a "boom"', '% a SYSTEM "http://x.invalid/a"'):
        write("m.tmx", memory({"en": "&a;", "hi": "b"}, doctype=f"<!DOCTYPE tmx [\n<!ENTITY {declared}>]>"))
        assert problem("m.tmx@en:hi") == "m.tmx:2: declares entity a; expected none: write its text out"
    write("m.tmx", memory({"en": "a&nbsp;b", "hi": "b"}, doctype='<!DOCTYPE tmx SYSTEM "tmx14.dtd">'))
    assert problem("m.tmx@en:hi") == "m.tmx:3: unknown entity &nbsp; expected its text"


def test_encodings_are_those_that_the_file_declares():
    content = memory({"en": "café", "hi": "é"}).replace('version="1.0"', 'version="1.0" encoding="{}"')
    for encoding in ("utf-8", "utf-16", "windows-1252"):
        assert pairs(write("m.tmx", content.format(encoding).encode(encoding))) == [("café", "é")]
    assert "unknown encoding" in problem(write("m.tmx", content.format("klingon")))
    assert "multi-byte" in problem(write("m.tmx", content.format("shift_jis")))


@pytest.mark.parametrize(
    "content, expected",
    [
        ("", "m.tmx:1: no element found; expected TMX"),
        ("<xliff/>", "m.tmx:1: found <xliff>; expected <tmx>"),
        (memory({"en": "a", "hi": "b"})[:-9], "m.tmx:4: "),
        (memory({"en": "a &#x1f;", "hi": "b"}), "m.tmx:3: reference to invalid character number; expected TMX"),
        (memory({"en": "a", "": "b"}), "m.tmx:3: tuv without a language; expected xml:lang"),
        (memory("<tu><seg>a</seg></tu>"), "m.tmx:3: seg without a tuv; expected TMX"),
        (memory({"en": "a", "hi": "b"}).encode() + b"\xff", "m.tmx:4: not well-formed (invalid token); expected TMX"),
    ],
)
def test_files_that_are_no_tmx(content, expected):
    write("m.tmx", content)
    assert problem("m.tmx@en:hi").startswith(expected)


# Columns named by languages


@pytest.mark.parametrize("form", ["tsv", "csv", "tsv.gz", "csv.gz", "jsonl", "jsonl.gz", "parquet"])
def test_columns_named_by_languages(form, capsys):
    rows = [{"en": "one", "hi": "एक", "domain": "x"}, {"en": "two", "hi": "दो", "domain": "y"}]
    name = f"p.{form}"
    if form == "parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), name)
    elif "jsonl" in form:
        write(name, "".join(json.dumps(row) + "\n" for row in rows))
    else:
        mark = "," if "csv" in form else "\t"
        write(name, "\n".join([mark.join(rows[0]), *(mark.join(row.values()) for row in rows)]))
    one, two = read_manifest(f"{name}@en:hi", require=("source", "text"))
    assert (one.source, one.text, one.lang, one.group) == ("one", "एक", "hi", {"domain": "x"})
    assert capsys.readouterr().err == f"{name}@en:hi: reads en as source, hi as text\n"
    assert [(e.source, e.text, e.lang) for e in read_manifest(f"{name}@hi:en")][1] == ("दो", "two", "en")
    assert problem(f"{name}@en:de") == f"{name}: no column de; found en, hi, domain; expected one of that name"


def test_columns_of_other_meaning_give_way_and_varieties_are_taken(capsys):
    write("p.tsv", "en_US\tpt-BR\tsource\tlang\tage\na\tb\tTED\tmixed\t7\n")
    (example,) = read_manifest("p.tsv@en:pt-BR")
    assert example == Example("2", "b", source="a", lang="pt-BR", group={"age": "7"})
    assert capsys.readouterr().err.endswith("reads en_US as source, pt-BR as text; ignores source, lang\n")
    write("q.tsv", "en_US\ten_GB\thi\na\tb\tc\n")
    assert problem("q.tsv@en:hi") == "q.tsv: several columns are en; found en_US, en_GB; expected one of that name"
    assert pairs("q.tsv@en_GB:hi") == [("b", "c")]


def test_values_that_arrow_cannot_take_are_named(capsys):
    rows = [{"en": "a", "hi": "2020-01-01"}, {"en": 5, "hi": "b"}, {"hi": "c"}]
    write("p.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write("t.jsonl", "".join(json.dumps({"translation": row}) + "\n" for row in [*rows, "d", None]))
    for name, more in (("p.jsonl", []), ("t.jsonl", [5])):
        found = problem(f"{name}@en:hi").splitlines()
        assert f"{name}@en:hi:2: source is 5; expected a string" in found
        for line in [3, *more]:
            assert f"{name}@en:hi:{line}: neither audio nor source; expected one of them" in found
        assert len(found) == 2 + 2 * len(more)
    assert "t.jsonl@en:hi:4: translation is a str; expected an object" in found
    good, _ = read_good_rows("t.jsonl@en:hi")
    assert list(good) == [Example("1", "2020-01-01", source="a", lang="hi")]


# The column `translation` of datasets


def test_translations_of_datasets(monkeypatch):
    rows = [
        {"translation": {"en": "one", "hi": "एक"}, "id": "q"},
        {"translation": {"en": "two", "hi": "दो"}, "id": "r"},
    ]
    features = datasets.Features({"translation": datasets.Translation(["en", "hi"]), "id": datasets.Value("string")})
    dataset = datasets.Dataset.from_list(rows, features)
    dataset.save_to_disk("one")
    datasets.DatasetDict(dev=dataset, test=dataset.select([1])).save_to_disk("two@home")
    dataset.to_parquet("p.parquet")
    write("p.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    asked = []

    def load(name, config):
        asked.append((name, config))
        return datasets.DatasetDict(train=dataset)

    monkeypatch.setattr(datasets, "load_dataset", load)
    expected = [Example("q", "एक", source="one", lang="hi"), Example("r", "दो", source="two", lang="hi")]
    for name in ("one", "p.parquet", "p.jsonl", "two@home:dev", "opus100:en-hi:train"):
        assert list(read_manifest(f"{name}@en:hi")) == expected, name
        assert [(e.source, e.lang) for e in read_manifest(f"{name}@hi:en")][0] == ("एक", "en")
        assert problem(name).startswith(
            f"{name}: column translation holds en, hi; expected the source and the text to be named: {name}@en:hi"
        )
        assert problem(f"{name}@en:de") == f"{name}: no column de; found en, hi; expected one of that name"
    assert set(asked) == {("opus100", "en-hi")}
    assert list(read_manifest("two@home:test@en:hi")) == expected[1:]
    assert problem(dataset).startswith("dataset: column translation holds en, hi")
    flat = dataset.flatten().rename_columns({"translation.en": "source", "translation.hi": "text"})
    assert [(e.source, e.text) for e in read_manifest(flat)] == [("one", "एक"), ("two", "दो")]


def test_a_translation_that_is_not_needed_or_is_a_text(capsys):
    row = {"source": "a", "text": "b", "translation": {"en": "x", "hi": "y"}}
    assert pairs(write("m.jsonl", json.dumps(row))) == [("a", "b")]
    assert pairs(write("n.jsonl", '{"src": "a", "translation": "b"}')) == [("a", "b")]
    assert "translation as text" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["src", "source_text", "src_text"])
@pytest.mark.parametrize("text", ["target", "target_text", "tgt", "tgt_text", "trg", "translation"])
def test_names_of_other_toolkits(source, text):
    assert pairs(write("m.tsv", f"{source}\t{text}\na\tb\n"), require=("source", "text")) == [("a", "b")]


# Packed files


def test_packed_files_read_as_plain_ones():
    write("m.jsonl", '{"audio": "a.wav", "text": "x"}\n\n{"audio": "b.wav", "text": "y"}\n')
    write("m.tsv", "path\tsentence\na.wav\tx\n\nb.wav\ty\n")
    for name in ("m.jsonl", "m.tsv"):
        write(f"{name}.gz", Path(name).read_bytes())
        plain, packed = read_manifest(name), read_manifest(f"{name}.gz")
        assert list(packed) == list(plain) and packed.sha256 == plain.sha256
        assert packed.where(1) == plain.where(1).replace(name, f"{name}.gz")
        content = Path(f"{name}.gz").read_bytes()
        for broken in (content[:-12], b"not packed"):
            write(f"{name}.gz.part", broken)
            Path(f"{name}.gz.part").rename(f"{name}.gz")
            assert problem(f"{name}.gz").endswith("; expected a whole gzip file")
    write("bad.jsonl.gz", '{"audio": "a.wav"}\n{nope\n')
    assert problem("bad.jsonl.gz").startswith("bad.jsonl.gz:2: not JSON")


def test_parallel_text_is_read_without_torch():
    write("c.en", "a\n")
    write("c.hi", "b\n")
    write("m.tmx", memory({"en": "a", "hi": "b"}))
    code = """
import sys
from speechxfer.manifest import read_manifest
print([len(read_manifest(name)) for name in ("c.en+c.hi", "m.tmx@en:hi")], "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[1, 1] False", done.stderr


def test_real_captions_in_two_files(real_data):
    folder = next((real_data / "text/multi30k").rglob("train.*en.gz"), None)
    assert folder is not None
    names = {side: folder.with_name(folder.name.replace(".en.", f".{side}.")) for side in ("en", "de")}
    manifest = read_manifest(f"{names['en']}+{names['de']}", require=("source", "text"))
    with gzip.open(names["de"], "rt", encoding="utf-8", newline="\n") as file:
        expected = [line.rstrip("\r\n") for line in file]
    assert list(manifest.texts()) == expected and len(expected) > 1_000
    assert set(manifest.column("lang").to_pylist()) == {"de"}
    assert np.isnan(manifest.seconds).all()
