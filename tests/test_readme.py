"""The README's promises that can be run."""

import re
from pathlib import Path

import pytest

import polysense
from commands import parses

README = Path(__file__).parents[1] / "README.md"
DOCS = README.parent / "docs"


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def shell_commands() -> list[tuple[str, str]]:
    """The page and the words of each `polysense` command in the README, the guides and the tasks' pages."""
    found = []
    for page in (README, *sorted(DOCS.glob("*.md")), *sorted((DOCS / "tasks").glob("*.md"))):
        for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE):
            lines = block.replace("\\\n", " ").splitlines()
            found += [(page.name, line) for line in lines if line.startswith("polysense ")]
    return found


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


@pytest.mark.parametrize(("page", "command"), shell_commands())
def test_the_command_line_takes_each_command_that_a_page_shows(page: str, command: str) -> None:
    """It is not run: verbs, options and the values that need no files are looked at."""
    assert parses(command), f"{page}: no such verb"


def test_commands_of_every_page_are_found() -> None:
    pages = {page for page, _ in shell_commands()}
    tasks = {page.name for page in (DOCS / "tasks").glob("*.md")}
    assert pages >= {"README.md", "index.md", "towers.md", "vision-language.md"} | tasks
    assert any("--output-dir" in command for page, command in shell_commands() if page == "stsb.md")
    assert any(command.count("--tower") == 3 and "--output-dir" in command for _, command in shell_commands())


def test_a_misspelt_option_or_verb_is_not_taken() -> None:
    command = "polysense train --task coda --output-dir models/color"
    assert parses(command)
    assert not parses(command.replace("train", "trian"))
    with pytest.raises(Exception, match="--tsak"):
        parses(command.replace("--task", "--tsak"))
    with pytest.raises(Exception, match=r"output.dir"):
        parses("polysense train --task coda")
