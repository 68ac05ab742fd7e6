import gzip

import pytest

from polysense.tasks.tables import read_table


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "A.CSV", "a.v2.csv"])
def test_csv_in_every_wrapping(write, name):
    table = read_table(write(name, 'text,label\n"a, b",x\n"he said ""no""",y\n'))
    assert table.columns == {"text": ["a, b", 'he said "no"'], "label": ["x", "y"]}
    assert list(table.lines) == [2, 3]


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
def test_tsv(write, name):
    assert read_table(write(name, "text\tlabel\na, b\tx\n")).columns == {"text": ["a, b"], "label": ["x"]}


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.ndjson", "a.json"])
def test_json_lines_keep_types_and_fill_gaps(write, name):
    table = read_table(write(name, '{"text": "a", "label": 1}\n\n{"text": "b", "n": 0.5}\n'))
    assert table.columns == {"text": ["a", "b"], "label": [1, None], "n": [None, 0.5]}
    assert list(table.lines) == [1, 3]


def test_byte_order_mark_and_carriage_returns(write):
    data = b"\xef\xbb\xbftext,label\r\na,x\r\nb,y\r\n"
    assert read_table(write("a.csv", data)).columns == {"text": ["a", "b"], "label": ["x", "y"]}
    assert read_table(write("a.jsonl", b'\xef\xbb\xbf{"t": "a"}\r\n{"t": "b"}\r\n')).columns == {"t": ["a", "b"]}


def test_lines_count_quoted_line_breaks_and_blank_lines(write):
    table = read_table(write("a.csv", '\ntext,label\n"a\nb",x\n\nc,y\n'))
    assert table.columns["text"] == ["a\nb", "c"]
    assert list(table.lines) == [3, 6]


def test_a_blank_line_of_a_one_column_file_is_an_empty_text(write):
    assert read_table(write("a.csv", "text\na\n\nb\n")).columns == {"text": ["a", "", "b"]}


def test_line_separators_inside_json_strings_are_no_line_ends(write):
    text = "a\u2028b\u0085c"
    assert read_table(write("a.jsonl", f'{{"t": "{text}"}}\n')).texts("t") == [text]


def test_odd_unicode_is_kept_and_what_is_no_text_is_replaced(write):
    path = write("a.jsonl", '{"t": "\\ud83d\\ude00 \\ud800x \\u0000y"}\n{"t": "\u200d\ufeff\u0301"}\n')
    assert read_table(path).texts("t") == ["\U0001f600 \ufffdx \ufffdy", "\u200d\ufeff\u0301"]
    assert read_table(write("a.csv", "t,l\na\0b,1\n")).texts("t") == ["a\ufffdb"]


def test_texts_that_are_missing_or_numbers(write):
    path = write("a.jsonl", '{"t": null, "n": 1}\n{"n": 2}\n{"t": NaN}\n{"t": 1.5}\n{"t": ""}\n{"t": "x"}\n')
    assert read_table(path).texts("t") == ["", "", "", "1.5", "", "x"]


def test_a_text_may_be_long(write):
    long = "x" * 200_000
    assert read_table(write("a.csv", f"t,l\n{long},1\n")).texts("t") == [long]


def test_unquoted_files_keep_their_quotes_and_skip_rows_only_when_told(write, fails):
    path = write("a.tsv", 'a\tb\n"open\tx\nonly one\n" y\tz"\n')
    table = read_table(path, quoted=False, tolerant=True)
    assert table.columns == {"a": ['"open', '" y'], "b": ["x", 'z"']}
    assert (list(table.lines), table.skipped) == ([2, 4], 1)
    fails(["line 3", "1 fields where the header has 2"], read_table, path, quoted=False)


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.txt", "x", ["a.txt", "unknown kind of file .txt", ".jsonl"]),
        ("a", "x", ["(no ending)"]),
        ("a.gz", "x", ["unknown kind of file .gz"]),
        ("a.csv", "", ["a.csv", "is empty", "header"]),
        ("a.jsonl", "\n \n", ["is empty", "one JSON object a line"]),
        ("a.csv", "text,label\n", ["no rows"]),
        ("a.csv", "text,label,text\na,b,c\n", ["line 1", "two columns are named 'text'"]),
        ("a.csv", "text,label\na,b\na,b,c\n", ["line 3", "3 fields where the header has 2"]),
        ("a.csv", "text,label\na\n", ["line 2", "1 fields"]),
        ("a.csv", 'text,label\na,b\n"open,c\nd,e\n', ["line 3", "quoting"]),
        ("a.jsonl", '{"t": 1}\n{"t": \n', ["line 2", "broken JSON", "one JSON object a line"]),
        ("a.jsonl", '{"t": 1}\n[1]\n', ["line 2", "not a list"]),
        ("a.jsonl", '{"t": ' + "9" * 5000 + "}\n", ["line 1", "broken JSON"]),
        ("a.csv", b"text,label\na,b\ncaf\xe9,c\n", ["line 3", "0xe9", "not UTF-8"]),
        ("a.csv", "text,label\n".encode("utf-16"), ["line 1", "not UTF-8"]),
    ],
)
def test_errors_say_what_and_where(write, fails, name, content, parts):
    path = write(name, content)
    if name == "a.gz":
        path.write_text("x")
    fails([str(path), *parts], read_table, path)


def test_missing_files_broken_gzip_and_folders(tmp_path, write, fails):
    write("train.csv", "x\n1\n")
    fails(["trian.csv", "no such file", "did you mean 'train.csv'?"], read_table, tmp_path / "trian.csv")
    fails(["no such file"], read_table, tmp_path / "no" / "train.csv")
    plain = tmp_path / "plain.csv.gz"
    plain.write_text("text,label\n")
    fails(["broken gzip"], read_table, plain)
    plain.write_bytes(gzip.compress(b"text,label\na,b\n" * 50)[:-12])
    fails(["broken gzip"], read_table, plain)
    (tmp_path / "folder.csv").mkdir()
    fails(["folder.csv", "cannot be read"], read_table, tmp_path / "folder.csv")


def test_a_missing_column_is_named_with_those_there(write, fails):
    table = read_table(write("a.csv", "sentence,label\na,b\n"))
    fails(["no column 'sentense'", "did you mean 'sentence'?", "'sentence', 'label'"], table.column, "sentense")
    nested = read_table(write("a.jsonl", '{"t": "a"}\n{"t": ["b"]}\n'))
    fails(["column 't'", "line 2", "not a list"], nested.texts, "t")
