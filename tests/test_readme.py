"""The README's promises that can be run."""

import re
from pathlib import Path

import pytest

import polysense

README = Path(__file__).parents[1] / "README.md"


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_readme_has_one_python_example_of_at_most_15_lines() -> None:
    (block,) = python_blocks()
    assert len(block.splitlines()) <= 15


def test_readme_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """As it stands, but on few rows: what it prints at the end are two colours."""
    full = polysense.train

    def short(*args: object, **kwargs: object) -> object:
        return full(*args, **kwargs, epochs=1, train_rows=32, progress=False)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(polysense, "train", short)
    exec(compile(python_blocks()[0], str(README), "exec"), {})  # noqa: S102 - the README is ours
    scores, colors = capsys.readouterr().out.strip().splitlines()[-2:]
    assert "coda_test" in scores
    known = polysense.Predictor.load(tmp_path / "models" / "color").label_names
    assert known is not None
    assert all(color in known for color in re.findall(r"'(\w+)'", colors))
    assert len(re.findall(r"'(\w+)'", colors)) == 2


def test_readme_names_only_files_that_exist() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []


def test_readme_names_both_commands() -> None:
    text = README.read_text(encoding="utf-8")
    assert "make demo" in text
    assert "make test" in text
