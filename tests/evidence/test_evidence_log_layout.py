"""Segments that say something of themselves that Arrow does not look at, and other readers believe."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from certifair.errors import InputError
from certifair.evidence.log import Header, LogWriter, columns_of, prove, read_log
from certifair.evidence.log.batches import schema_of
from certifair.evidence.log.chain import Segment
from certifair.evidence.log.records import segment_root
from certifair.evidence.log.segments import segment_bytes
from certifair.evidence.log.thrift import BINARY, FALSE, INT32, Members, Reader, Shape
from tests.evidence import log_cases as cases
from tests.evidence.log_cases import BINARY as TEXT
from tests.evidence.log_cases import FALSE as NO
from tests.evidence.log_cases import HEADER, I16, I32, I64, LIST, STRUCT, Struct, packed, ticking, unpacked, write

SIZES = [3, 7, 12, 1]
PREDICTION = HEADER.names.index("prediction")
SEX = HEADER.names.index("feature.sex")
"""A column with a dictionary, as the tests' prediction has none."""
Edit = Callable[[Struct], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs") / "log"
    write(folder, SIZES)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "log"))


def segment(folder: Path) -> Path:
    return folder / "00000002.parquet"


def group(footer: Struct) -> Struct:
    found: Struct = footer[4][1][1][0]
    return found


def chunk(footer: Struct, column: int = SEX) -> Struct:
    found: Struct = group(footer)[1][1][1][column]
    return found


def meta(footer: Struct, column: int = SEX) -> Struct:
    found: Struct = chunk(footer, column)[3][1]
    return found


def fault(folder: Path) -> str:
    """The one fault, of segment 2."""
    found = read_log(folder).faults
    assert [item.segment for item in found] == [2], found
    return found[0].what


def put(where: Callable[[Struct], Struct], number: int, kind: int, value: Any) -> Edit:
    return lambda footer: where(footer).update({number: (kind, value)})


def add(where: Callable[[Struct], Struct], number: int, change: int) -> Edit:
    def edit(footer: Struct) -> None:
        struct = where(footer)
        struct[number] = (struct[number][0], struct[number][1] + change)

    return edit


def less(where: Callable[[Struct], Struct], number: int) -> Edit:
    return lambda footer: where(footer).pop(number) and None


def root(footer: Struct) -> Struct:
    return footer


def prediction(footer: Struct) -> Struct:
    return meta(footer, PREDICTION)


def schema(column: int) -> Callable[[Struct], Struct]:
    def found(footer: Struct) -> Struct:
        struct: Struct = footer[2][1][1][column]
        return struct

    return found


def key_values(*, first: bool) -> Edit:
    def edit(footer: Struct) -> None:
        entries = footer[5][1][1]
        double = {1: entries[1][1], 2: (TEXT, b"{}")}
        entries.insert(0 if first else len(entries), double)

    return edit


def swap_chunks(footer: Struct) -> None:
    chunks = group(footer)[1][1][1]
    chunks[PREDICTION - 1], chunks[PREDICTION] = chunks[PREDICTION], chunks[PREDICTION - 1]


def overlap(footer: Struct) -> None:
    """A column that reads the pages of another: consistent but for its place."""
    one, other = meta(footer, PREDICTION - 1), meta(footer, PREDICTION)
    other.update({number: one[number] for number in (6, 7, 9)})


def more_columns(footer: Struct) -> None:
    footer[2][1][1].append(footer[2][1][1][-1])


def rows_elsewhere(footer: Struct) -> None:
    footer[3] = (I64, footer[3][1] - 1)


def _pages(kind: int, encoding: int, count: int) -> Struct:
    return {1: (I32, kind), 2: (I32, encoding), 3: (I32, count)}


UNSEEN = "believe unseen"
ALL_NULL = {3: (I64, 12)}


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (put(prediction, 11, I64, 1 << 20), "leave gaps, overlap, or begin"),
        (add(meta, 11, 1), "leave gaps, overlap, or begin"),
        (less(meta, 11), "leave gaps, overlap, or begin"),
        (add(meta, 9, 1), "do not fill"),
        (add(meta, 7, 1), "page that cannot be read|do not fill|another kind"),
        (add(meta, 6, 1), "do not fill"),
        (add(meta, 5, 1), "another number of values than rows"),
        (overlap, "leave gaps, overlap, or begin"),
        (swap_chunks, "to be of another column"),
        (put(meta, 3, LIST, (TEXT, [b"feature.race"])), "to be of another column"),
        (put(chunk, 2, I64, 4), "to be of another column, or elsewhere"),
        (put(meta, 4, I32, 5), "compressed in a way"),
        (put(meta, 13, LIST, (STRUCT, [_pages(2, 0, 1)])), "other encodings"),
        (put(meta, 13, LIST, (STRUCT, [_pages(2, 0, 1), _pages(0, 8, 2)])), "other encodings"),
        (put(meta, 13, LIST, (STRUCT, [_pages(2, 0, 1), _pages(0, 8, 1), _pages(0, 8, 1)])), "other encodings"),
        (put(meta, 7, I64, 0), "leave gaps, overlap, or begin"),
        (put(meta, 7, I64, -5), "leave gaps, overlap, or begin"),
        (put(lambda footer: meta(footer, -1), 7, I64, 1 << 40), "leave gaps, overlap, or begin"),
        (put(meta, 2, LIST, (I32, [3, 8])), "other encodings"),
        (put(meta, 12, STRUCT, ALL_NULL), UNSEEN),
        (put(meta, 12, STRUCT, {}), UNSEEN),
        (put(meta, 14, I64, 100), UNSEEN),
        (put(meta, 15, I32, 100), UNSEEN),
        (put(meta, 10, I64, 100), UNSEEN),
        (put(meta, 8, LIST, (STRUCT, [])), UNSEEN),
        (put(meta, 16, STRUCT, {1: (I64, 1), 2: (LIST, (I64, [])), 3: (LIST, (I64, [7]))}), "counts levels"),
        (put(meta, 16, STRUCT, {1: (I64, 1), 2: (LIST, (I64, [9])), 3: (LIST, (I64, []))}), "counts levels"),
        (put(meta, 16, STRUCT, {2: (LIST, (TEXT, [b"x"])), 3: (LIST, (I64, []))}), UNSEEN),
        (put(meta, 17, STRUCT, {}), UNSEEN),
        (put(chunk, 1, TEXT, b"elsewhere.parquet"), UNSEEN),
        (put(chunk, 4, I64, 100), UNSEEN),
        (put(chunk, 6, I64, 100), UNSEEN),
        (put(chunk, 8, STRUCT, {}), UNSEEN),
        (put(group, 4, LIST, (STRUCT, [])), UNSEEN),
        (put(group, 7, I16, 1), "not in order"),
        (add(group, 2, 1), "another place or size"),
        (add(group, 5, 1), "another place or size"),
        (add(group, 6, 1 << 40), "another place or size"),
        (add(group, 3, 1), "another number of rows"),
        (rows_elsewhere, "another number of rows"),
        (put(root, 1, I32, 1), "not written by Arrow"),
        (put(root, 6, TEXT, b"parquet-mr version 1.7.0 (build 1)"), "not written by Arrow"),
        (put(root, 8, STRUCT, {}), UNSEEN),
        (put(root, 99, TEXT, b"x"), "field 99 of its footer"),
        (less(root, 7), "no orders in its footer"),
        (put(root, 7, LIST, (STRUCT, [])), "orders of its columns"),
        (key_values(first=False), "take it for something else"),
        (more_columns, "other columns"),
        (put(schema(0), 3, I32, 2), "other columns"),
        (put(schema(SEX + 1), 5, I32, 0), "other columns"),
        (put(schema(SEX + 1), 3, I32, 1), "may lack a value in 'feature.sex'"),
        (put(schema(SEX + 1), 9, I32, 4), UNSEEN),
        (less(schema(SEX + 1), 6), "something else than text in 'feature.sex'"),
        (put(schema(PREDICTION + 1), 1, I32, 2), "something else than float64 in 'prediction'"),
    ],
)
def test_a_footer_with_something_else(folder: Path, edit: Edit, what: str) -> None:
    body, footer = unpacked(segment(folder).read_bytes())
    edit(footer)
    segment(folder).write_bytes(packed(body, footer))
    assert re.search(what, fault(folder))


def test_another_writer_hides_nothing(folder: Path) -> None:
    """Arrow shows no statistics of such a file, DuckDB believes them."""
    body, footer = unpacked(segment(folder).read_bytes())
    footer[6] = (TEXT, b"parquet-mr version 1.7.0 (build 1)")
    meta(footer)[12] = (STRUCT, ALL_NULL)
    segment(folder).write_bytes(packed(body, footer))
    assert not pq.read_metadata(segment(folder)).row_group(0).column(SEX).is_stats_set
    assert "field 12 of its chunks' metadata" in fault(folder)


def test_a_key_that_stands_twice_before(folder: Path) -> None:
    body, footer = unpacked(segment(folder).read_bytes())
    key_values(first=True)(footer)
    segment(folder).write_bytes(packed(body, footer))
    assert "take it for something else" in fault(folder)


def test_the_editor_changes_nothing_by_itself(folder: Path) -> None:
    content = segment(folder).read_bytes()
    assert packed(*unpacked(content)) == content


def test_nothing_lies_between_columns_and_footer(folder: Path) -> None:
    body, footer = unpacked(segment(folder).read_bytes())
    segment(folder).write_bytes(packed(body + bytes(5), footer))
    assert "bytes that belong to no column" in fault(folder)
    segment(folder).write_bytes(packed(b"PARE" + body[4:], footer))
    assert "bytes that belong to no column" in fault(folder)


def _page(footer: Struct, body: bytes, column: int, *, data: bool = False) -> tuple[int, Struct, int]:
    struct = meta(footer, column)
    start = struct[9][1] if data or 11 not in struct else struct[11][1]
    page, end = cases.thrift_struct(body, start)
    return start, page, end


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (put(lambda page: page[5][1], 2, I32, 5), "another encoding"),
        (put(lambda page: page[5][1], 2, I32, 0), "other encodings than its pages"),
        (put(lambda page: page[5][1], 3, I32, 4), "levels in another encoding"),
        (put(lambda page: page[5][1], 4, I32, 4), "levels in another encoding"),
        (add(lambda page: page[5][1], 1, -1), "do not fill"),
        (put(lambda page: page[5][1], 1, I32, -1), "negative"),
        (put(root, 1, I32, 3), "another kind"),
        (put(root, 4, I32, 7), "field 4 of its pages"),
        (put(lambda page: page[5][1], 5, STRUCT, ALL_NULL), "field 3 of its data pages' statistics"),
    ],
)
def test_a_page_with_something_else(folder: Path, edit: Edit, what: str) -> None:
    """Of a data page of the last column, so that nothing but the footer moves."""
    body, footer = unpacked(segment(folder).read_bytes())
    last = len(HEADER.names) - 1
    start, page, end = _page(footer, body, last, data=True)
    edit(page)
    header = cases.thrift_bytes(page)
    grown = len(header) - (end - start)
    for number in (6, 7):
        add(lambda footer: meta(footer, last), number, grown)(footer)
    add(group, 2, grown)(footer)
    add(group, 6, grown)(footer)
    segment(folder).write_bytes(packed(body[:start] + header + body[end:], footer))
    assert re.search(what, fault(folder))


def test_a_dictionary_that_says_to_be_sorted(folder: Path) -> None:
    body, footer = unpacked(segment(folder).read_bytes())
    _, page, end = _page(footer, body, SEX)
    assert page[7][1][3] == (NO, None)
    assert body[end - 3] == 0x10 | NO
    segment(folder).write_bytes(packed(body[: end - 3] + b"\x11" + body[end - 2 :], footer))
    assert "field 3 of its dictionaries" in fault(folder)


def test_a_page_that_is_not_compressed_has_one_size(folder: Path) -> None:
    content = segment(folder).read_bytes()
    _rewritten(segment(folder), compression="none")
    assert read_log(folder).faults == ()
    body, footer = unpacked(segment(folder).read_bytes())
    last = len(HEADER.names) - 1
    start, page, end = _page(footer, body, last, data=True)
    page[2] = (I32, page[2][1] + 1)
    for where, number in ((lambda footer: meta(footer, last), 6), (group, 2)):
        add(where, number, 1)(footer)
    segment(folder).write_bytes(packed(body[:start] + cases.thrift_bytes(page) + body[end:], footer))
    assert "another size than it states" in fault(folder)
    segment(folder).write_bytes(content)
    assert read_log(folder).faults == ()


def test_what_arrow_would_not_survive_is_not_given_to_it(folder: Path) -> None:
    body, footer = unpacked(segment(folder).read_bytes())
    meta(footer)[12] = (STRUCT, ALL_NULL)
    segment(folder).write_bytes(packed(body, footer))
    with pytest.raises(InputError, match="has what no segment has"):
        prove(folder, 12)


@pytest.mark.parametrize(
    ("footer", "what"),
    [
        (b"", "ends within"),
        (b"\x15", "ends within"),
        (b"\x15\x84\x00", "padded"),
        (b"\x15" + b"\xff" * 11, "padded or too long"),
        (b"\x15" + b"\xff\xff\xff\xff\x7f", "too long for its type"),
        (b"\x05\x02\x04\x00", "do not rise"),
        (b"\x15\x04\x05\x02\x04\x00", "do not rise"),
        (b"\x29\xf5\x02", "padded"),
        (b"\x1b\x00\x00", "of type 11"),
        (b"\x1c" * 30, "nested too deeply"),
        (b"\x00\x00", "does not end where"),
    ],
)
def test_a_footer_that_is_none(folder: Path, footer: bytes, what: str) -> None:
    body, _ = unpacked(segment(folder).read_bytes())
    segment(folder).write_bytes(packed(body, footer))
    with pytest.raises(InputError, match=rf"00000002\.parquet: cannot be read as Parquet \(.*{what}"):
        read_log(folder)
    with pytest.raises(InputError, match=rf"00000002\.parquet: cannot be read as Parquet \(.*{what}"):
        prove(folder, 1)


def test_a_file_without_a_footer(folder: Path) -> None:
    for content in (b"", b"PAR1", segment(folder).read_bytes()[:-1], b"\xff\xff\xff\x7fPAR1"):
        segment(folder).write_bytes(content)
        for read in (read_log, lambda folder: prove(folder, 1)):
            with pytest.raises(InputError, match=r"00000002\.parquet: cannot be read as Parquet"):
                read(folder)


def test_what_has_no_name_is_passed_over() -> None:
    shape = Shape("test", {1: ("no", FALSE), 15: ("text", BINARY), 16: ("numbers", Members(INT32))})
    skipped: Struct = {
        2: (STRUCT, {1: (LIST, (STRUCT, [{4: (I64, 5)}]))}),
        3: (LIST, (I64, [-1, 2**62] * 9)),
        40: (TEXT, b"xy"),
    }
    known: Struct = {1: (NO, None), 15: (TEXT, b"t"), 16: (LIST, (I32, [-(2**31), 2**31 - 1, 0] * 6))}
    content = cases.thrift_bytes({**skipped, **known})
    reader = Reader(b"??" + content, 2, 2 + len(content))
    assert reader.struct(shape) == {"no": False, "text": b"t", "numbers": [-(2**31), 2**31 - 1, 0] * 6}
    assert reader.strange == [f"field {number} of its test" for number in (2, 3, 40)]
    assert reader.at == 2 + len(content)
    # a byte, a double, a list of booleans; true where only false belongs
    reader = Reader(b"\x23\x05\x17" + bytes(8) + b"\x19\x21\x01\x02\x00", 0, 17)
    reader.struct(Shape("test"))
    assert reader.at == 16
    reader = Reader(b"\x11\x00", 0, 2)
    assert (reader.struct(Shape("test", {1: ("no", FALSE)})), len(reader.strange)) == ({}, 2)


def test_a_dictionary_that_is_given_up(tmp_path: Path) -> None:
    """Many pages, in two encodings, as this writer lays out large segments: nothing of it is odd."""
    header = Header("large", None, None, columns_of(["x"]))
    n = 70_000
    texts = pa.array([f"{k:040d}" for k in range(n)])
    ones, numbers = pa.array(np.ones(n, dtype=np.int64)), pa.array(np.arange(n) / 3)
    columns = [pa.array(np.arange(1, n + 1)), ones, ones, texts, texts, numbers, numbers]
    table = pa.Table.from_arrays(columns, schema=schema_of(header))
    place = Segment.after(header.to_bytes(), None, segment_root(table), n)
    (tmp_path / "00000001.parquet").write_bytes(segment_bytes(table, header.to_bytes(), place))
    group = pq.read_metadata(tmp_path / "00000001.parquet").row_group(0)
    assert {"PLAIN", "RLE_DICTIONARY"} <= set(group.column(4).encodings)
    log = read_log(tmp_path)
    assert (log.faults, log.records) == ((), n)


def _rewritten(path: Path, **options: Any) -> None:
    """By the library, with the same records and key-value metadata."""
    table, metadata = pq.read_table(path).replace_schema_metadata(None), pq.read_metadata(path).metadata
    size = options.pop("row_group_size", None)
    with pq.ParquetWriter(path, table.schema, store_schema=False, write_statistics=False, **options) as writer:
        writer.write_table(table, row_group_size=size)
        writer.add_key_value_metadata(metadata)


def test_row_groups_follow_one_another(folder: Path) -> None:
    _rewritten(segment(folder), row_group_size=5)
    assert pq.read_metadata(segment(folder)).num_row_groups == 3
    assert read_log(folder).faults == ()
    body, footer = unpacked(segment(folder).read_bytes())
    for number, ordinal in enumerate(footer[4][1][1]):  # as Arrow 18 wrote them
        ordinal[7] = (I16, number)
    segment(folder).write_bytes(packed(body, footer))
    assert read_log(folder).faults == ()
    groups = footer[4][1][1]
    groups[0], groups[1] = groups[1], groups[0]
    for ordinal in groups:
        del ordinal[7]
    segment(folder).write_bytes(packed(body, footer))
    assert "leave gaps, overlap" in fault(folder)


# ----------------------------------------------------------------------------------------------------- beside the files
def test_a_folder_within_a_log(folder: Path) -> None:
    (folder / "more").mkdir()
    assert [str(item) for item in read_log(folder).faults] == [
        "'more' is no segment, but readers of the folder would take it for one"
    ]


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert read_log(tmp_path / "link").faults == ()


def test_a_head_that_is_a_link(folder: Path, tmp_path: Path) -> None:
    head = folder / "head.json"
    head.rename(tmp_path / "head")
    for target in (tmp_path / "head", tmp_path / "nowhere"):
        head.symlink_to(target)
        with pytest.raises(InputError, match=r"head\.json: cannot be read"):
            read_log(folder)
        with pytest.raises(InputError, match=r"a signed head\.json"):
            LogWriter.open(folder, None, ticking())
        head.unlink()


def test_names_that_differ_in_case_only() -> None:
    for names in (["sex", "Sex"], ["straße", "STRASSE"]):
        with pytest.raises(InputError, match="two columns of one name"):
            Header("x", None, None, columns_of(names))
    with pytest.raises(InputError, match="two columns of one name"):
        Header("x", None, {"name": "paper"}, columns_of(["sex"], ["sex: f - m", "sex: F - m"]))
    # two forms of one letter: as before
    assert Header("x", None, None, columns_of(["\u00e9", "e\u0301"])).features == ("\u00e9", "e\u0301")
