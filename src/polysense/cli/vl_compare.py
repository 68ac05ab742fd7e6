"""`polysense vl compare`: ways to pre-train and to fine-tune, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from polysense.cli.options import Json, check_output, parse_options
from polysense.cli.reporting import GOES_ON, command, report


def compare(
    world: Annotated[Path, typer.Argument(help="A folder that vl world wrote.")],
    output: Annotated[Path, typer.Option(help="The JSON file for the numbers; table and curve go beside it.")],
    recipe: Annotated[list[str], typer.Option(help="Of pre-training. Repeatable.")] = ["cmal", "cmcl"],  # noqa: B006
    share: Annotated[list[float], typer.Option(help="Of the training scenes. Repeatable.")] = [1.0],  # noqa: B006
    task: Annotated[list[str] | None, typer.Option(help="vqa, nlvr2, snli-ve, rec: of the world. Repeatable.")] = None,
    corpus: Annotated[
        list[str] | None, typer.Option(help="nlvr, easy_vqa, flickr8k, snli_ve, coco_mini. Repeatable.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Fine-tune by it: mase, text, ...; on questions alone (--task vqa). Repeatable."),
    ] = None,
    baselines: Annotated[
        bool, typer.Option(help="Also without pre-training, and text alone; not where methods are compared.")
    ] = True,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 0, 1, ...; of a corpus without a test part, folds.")] = 3,
    backbone: Annotated[
        str, typer.Option(help="The BERT that all start from; small:WIDTH: random layers over MiniLM's words, reduced.")
    ] = "minilm",
    pretraining: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of every pre-training.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of the model.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of every fine-tuning, or PROBLEM.NAME=VALUE of one.")
    ] = None,
    cells: Annotated[Path, typer.Option(help="Folder of finished runs; several processes may share it.")] = Path(
        "build/vl-cells"
    ),
    as_json: Json = False,
) -> None:
    """Compare ways to pre-train, at several amounts of data, on downstream tasks over seeds."""
    from polysense.experiments.results import shown_score
    from polysense.experiments.vl_problems import (
        WORLD_TASKS,
        check_owners,
        check_questions,
        corpus_problems,
        world_problems,
    )
    from polysense.experiments.vl_report import save_study
    from polysense.experiments.vl_study import Start, Study

    def work() -> dict[str, Any]:
        check_output(output, ".json")
        settings = parse_options(setting or [], "--setting")
        pairs = [(name, part) for name in dict.fromkeys(recipe) for part in dict.fromkeys(share)]
        starts = [Start(name, name, part) for name, part in pairs]
        names = list(dict.fromkeys(task or []))
        if not task and not corpus:
            names = ["vqa"] if method else list(WORLD_TASKS)
        data = list(dict.fromkeys(corpus or []))
        check_owners(settings, [*names, *data])
        if method:
            check_questions([*names, *data])
            starts = [
                Start(f"{each.name}+{by}", each.recipe, each.share, method=by)
                for by in dict.fromkeys(method) for each in starts
            ]  # fmt: skip
        if baselines and not method:
            starts += [Start("none", None), Start("text", None, look=False)]
        study = Study(
            world / "train", cells, parse_options(pretraining or [], "--pretraining"), parse_options(option or []),
            backbone,
        )  # fmt: skip
        problems = world_problems(world, names, settings) + corpus_problems(data, settings)
        told = {
            "backbone": backbone,
            "pretraining": dict(study.pretraining),
            "model": dict(study.config),
            "fine_tuning": settings,
        }
        notes = [problem.note for problem in problems if problem.note]

        def save(found: list[dict[str, Any]]) -> dict[str, Any]:
            trained = [
                {"share": part, "seed": seed, **study.pretrained(name, part, seed), "backbone": backbone}
                for name, part in pairs for seed in dict.fromkeys(cell["seed"] for cell in found)
            ]  # fmt: skip
            return save_study(output, found, command(), trained, told, notes)

        return save(study.run(starts, problems, range(seeds), at_seed=save))

    def show(result: dict[str, Any], console: Console) -> None:
        table = Table("problem", "start", "share", "score", "mean ± std", title="Points of 100")
        for row in result["rows"]:
            part = "" if row["share"] is None else f"{100 * row['share']:g}%"
            table.add_row(row["problem"], row["method"], part, row["metric"], shown_score(row))
        console.print(table)
        console.print(f"[dim]the numbers are in {escape(str(output))}")

    report(work, show, as_json, lambda: GOES_ON)
