"""`polysense vl`: pre-training with pictures, downstream tasks, and questions about a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from polysense.cli.options import Json, Overwrite, check_output, parse_options
from polysense.cli.reporting import report

vl_app = typer.Typer(help="Vision and language: CMAL, its baseline CMCL, and downstream tasks.", no_args_is_help=True)

OutputDir = Annotated[Path, typer.Option(help="Where the result goes; it appears there whole, at the end.")]
LearningRate = Annotated[float | None, typer.Option(help="Of AdamW, at its peak.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Of training.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Examples a step.")]
Warmup = Annotated[float | None, typer.Option(help="Share of the steps over which the rate rises.")]
Bf16 = Annotated[bool, typer.Option("--bf16", help="Mixed precision: products in bfloat16.")]
GroupByLength = Annotated[
    bool, typer.Option("--group-by-length", help="Batches of texts of like length: less padding.")
]
Seed = Annotated[int | None, typer.Option(help="Of weights, order and all that is drawn.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")]
NoPictures = Annotated[bool, typer.Option("--no-pictures", help="Hide every region: the score of text alone.")]
DETECTORS = "segments, grid, both, or a Hugging Face detector's hub id or folder."
Detector = Annotated[str | None, typer.Option(help=DETECTORS)]


@vl_app.command()
def world(
    output_dir: OutputDir,
    scenes: Annotated[int, typer.Option(min=1, help="Of the training part.")] = 20_000,
    validation: Annotated[int, typer.Option(min=1, help="Scenes of the validation part.")] = 1_000,
    test: Annotated[
        int, typer.Option(min=1, help="Scenes of the test part, of kinds of object not seen in training.")
    ] = 2_000,
    test_seen: Annotated[
        int, typer.Option(min=1, help="Scenes of a second test part, new scenes of training's kinds.")
    ] = 2_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same world.")] = 0,
    pictures: Annotated[
        Literal["test", "all"], typer.Option(help="Keep pictures of: all parts, or all but train.")
    ] = "test",
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make a world of scenes to learn in: pictures with captions, questions, statements and expressions."""
    from polysense.vision_language.world.build import build_world

    def work() -> dict[str, Any]:
        build_world(
            output_dir, scenes=scenes, validation=validation, test=test, test_seen=test_seen, seed=seed,
            pictures=pictures, workers=workers, overwrite=overwrite,
        )  # fmt: skip
        sizes = {"train": scenes, "validation": validation, "test": test, "test_seen": test_seen}
        return {"world": str(output_dir), "scenes": sizes}

    report(work, lambda result, console: console.print(f"the world is in {escape(result['world'])}"), as_json)


@vl_app.command()
def extract(
    pictures: Annotated[Path, typer.Argument(help="A folder of pictures, searched with its subfolders.")],
    output: Annotated[Path, typer.Option(help="The HDF5 file of regions.")],
    detector: Annotated[str, typer.Option(help=DETECTORS)] = "segments",
    as_json: Json = False,
) -> None:
    """Find the regions of pictures and write them to a file; a picture is called by its file's name without ending."""
    from polysense.folder import write_json
    from polysense.vision_language.captions import detector_file
    from polysense.vision_language.detection.extraction import extract_regions, picture_files
    from polysense.vision_language.detection.opening import open_detector
    from polysense.vision_language.region_files import open_regions

    def work() -> dict[str, Any]:
        check_output(output)
        found = picture_files(pictures)
        extract_regions(found, open_detector(detector), output)
        write_json(detector_file(output), {"detector": detector})
        written = len(open_regions(output))
        return {"regions": str(output), "pictures": written, "left_out": len(found) - written}

    def show(result: dict[str, Any], console: Console) -> None:
        console.print(f"{result['pictures']} pictures, {result['left_out']} left out: {escape(result['regions'])}")

    report(work, show, as_json)


@vl_app.command()
def convert(
    regions: Annotated[Path, typer.Argument(help="Regions as published: TSV, a folder of NPZ, LMDB, or HDF5.")],
    output: Annotated[Path, typer.Option(help="The HDF5 file of regions.")],
    tag_names: Annotated[
        Path | None, typer.Option(help="The detector's class names, one a line; without them there are no anchors.")
    ] = None,
    sizes: Annotated[
        Path | None, typer.Option(help="The pictures' sizes: COCO's images or Visual Genome's image_data.json.")
    ] = None,
    ids: Annotated[Path | None, typer.Option(help="HDF5: which row each picture has.")] = None,
    as_json: Json = False,
) -> None:
    """Convert published regions to the HDF5 that the other verbs read quickest, with the names of their tags."""
    from polysense.vision_language.captions import convert_regions

    def work() -> dict[str, Any]:
        check_output(output)
        return convert_regions(regions, output, tag_names=tag_names, sizes=sizes, ids_file=ids)

    def show(result: dict[str, Any], console: Console) -> None:
        console.print(f"{result['pictures']} pictures, {result['with_tags']} with tags: {escape(result['regions'])}")

    report(work, show, as_json)


@vl_app.command()
def pretrain(
    data: Annotated[Path, typer.Argument(help="A folder with captions.json (COCO's format) and regions.h5.")],
    output_dir: OutputDir,
    recipe: Annotated[str, typer.Option(help="cmal, or cmcl: the contrastive baseline.")] = "cmal",
    objective: Annotated[
        list[str] | None, typer.Option(help="NAME=PROPORTION, instead of a recipe. Repeatable.")
    ] = None,
    regions: Annotated[
        Path | None, typer.Option(help="Another HDF5 file of regions; other formats are best put through vl convert.")
    ] = None,
    captions: Annotated[Path | None, typer.Option(help="Another file of captions: COCO's or Visual Genome's.")] = None,
    share: Annotated[float, typer.Option(help="Take only the first pictures' share, above 0 to 1.")] = 1.0,
    backbone: Annotated[str, typer.Option(help="The BERT to start from: minilm, a hub id or a folder.")] = "minilm",
    option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of the model, e.g. unified_layers=6, variant=released.")
    ] = None,
    max_regions: Annotated[int, typer.Option(min=1, help="Of a picture, the first ones.")] = 36,
    detector: Detector = None,
    synonyms: Annotated[Path | None, typer.Option(help="More synonyms for anchors: a table, see docs.")] = None,
    learning_rate: LearningRate = None,
    steps: Steps = None,
    batch_size: BatchSize = None,
    warmup: Warmup = None,
    bf16: Bf16 = False,
    group_by_length: GroupByLength = False,
    seed: Seed = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Pre-train a vision-language model on captions, by association at anchors."""
    from polysense.training.runs import what_is_kept
    from polysense.vision_language.captions import read_caption_folder, take_share
    from polysense.vision_language.lexicon import Lexicon
    from polysense.vision_language.pretraining import pretrain as run

    def work() -> dict[str, Any]:
        named: Any = parse_options(objective or [], "--objective")
        texts, found, default_detector = read_caption_folder(data, captions, regions)
        return run(
            output_dir,
            take_share(texts, share),
            found,
            recipe=named if objective else recipe,
            backbone=backbone,
            config=parse_options(option or []),
            max_regions=max_regions,
            detector=detector if detector is not None else default_detector,
            lexicon=None if synonyms is None else Lexicon.load(synonyms, extend=True),
            overwrite=overwrite,
            resume=resume,
            learning_rate=learning_rate,
            steps=steps,
            batch_size=batch_size,
            warmup=warmup,
            bf16=bf16,
            group_by_length=group_by_length,
            seed=seed,
        )

    def show(results: dict[str, Any], console: Console) -> None:
        table = Table("loss", "last tenth of the run", title=f"{results['captions']} captions")
        for name, value in results["losses"].items():
            table.add_row(name, f"{value:.3f}")
        console.print(table)
        console.print(
            f"{100 * results['with_anchors']:.0f}% of the captions have an anchor; {results['object_classes']} object "
            f"classes; {results['seconds']} s; the model is in {escape(str(output_dir))}"
        )

    report(work, show, as_json, lambda: what_is_kept(output_dir))


@vl_app.command()
def train(
    model: Annotated[Path, typer.Argument(help="A folder that vl pretrain wrote.")],
    output_dir: OutputDir,
    task: Annotated[str, typer.Option(help="vqa, nlvr2, snli-ve, rec or retrieval.")],
    data: Annotated[Path, typer.Option(help="A folder with train/, maybe validation/ and test/.")],
    method: Annotated[
        str | None, typer.Option(help="vqa: add the question's prototypes by text, mpb, macsc or mase.")
    ] = None,
    tower: Annotated[
        list[str] | None, typer.Option(help="MODALITY=TOWER of --method; image where none is given. Repeatable.")
    ] = None,
    option: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of --method. Repeatable.")] = None,
    fresh: Annotated[
        str | None, typer.Option(help="Start from this BERT, not from what pre-training learnt; for comparison.")
    ] = None,
    no_pictures: NoPictures = False,
    learning_rate: LearningRate = None,
    head_factor: Annotated[float | None, typer.Option(help="How many times that the head's rate is.")] = None,
    steps: Steps = None,
    batch_size: BatchSize = None,
    warmup: Warmup = None,
    bf16: Bf16 = False,
    group_by_length: GroupByLength = False,
    seed: Seed = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Fine-tune a pre-trained model on a downstream task, and score it on the other parts."""
    from polysense.errors import PolysenseError
    from polysense.training.runs import what_is_kept

    def work() -> dict[str, Any]:
        settings: dict[str, Any] = {
            "learning_rate": learning_rate, "head_factor": head_factor, "steps": steps, "batch_size": batch_size,
            "warmup": warmup, "bf16": bf16, "group_by_length": group_by_length, "seed": seed,
        }  # fmt: skip
        if method is None:
            for name, given in (("--tower", tower), ("--option", option)):
                if given:
                    raise PolysenseError(f"{name} {given[0]}: it is one of --method, which is not given; add it")
            from polysense.vision_language.fine_tuning import train as run

            return run(
                output_dir, task, data, model, fresh=fresh, look=not no_pictures, overwrite=overwrite, resume=resume,
                **settings,
            )  # fmt: skip
        if task != "vqa":
            raise PolysenseError(f"--method {method}: the question's prototypes are for --task vqa, not {task}")
        from polysense.training.train import DEFAULT_TOWERS
        from polysense.vision_language.with_method import train_with_method

        return train_with_method(
            output_dir, data, model, method, towers=tower or DEFAULT_TOWERS, options=parse_options(option or []),
            fresh=fresh, look=not no_pictures, overwrite=overwrite, resume=resume, **settings,
        )  # fmt: skip

    def show(results: dict[str, Any], console: Console) -> None:
        for split, scores in results["scores"].items():
            _score_table(console, f"{results['task']}, {split}, {results['rows'][split]} examples", scores)
        for reason, count in results.get("left_out", {}).items():
            console.print(f"[dim]{count} training examples left out: {escape(reason)}")
        console.print(f"[dim]{results['seconds']} s; the model is in {escape(str(output_dir))}")

    report(work, show, as_json, lambda: what_is_kept(output_dir))


@vl_app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A folder that vl train wrote.")],
    data: Annotated[Path, typer.Argument(help="The folder of one part, e.g. world/test.")],
    regions: Annotated[Path | None, typer.Option(help="Another file of regions, e.g. a detector's.")] = None,
    no_pictures: NoPictures = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples at once.")] = 64,
    as_json: Json = False,
) -> None:
    """Score a trained model on one part of a data folder."""
    from polysense.vision_language.fine_tuning import evaluate as run
    from polysense.vision_language.fine_tuning import has_method
    from polysense.vision_language.with_method import evaluate_with_method

    def work() -> dict[str, Any]:
        verb = evaluate_with_method if has_method(model) else run
        return verb(model, data, regions=regions, look=not no_pictures, batch_size=batch_size)

    def show(results: dict[str, Any], console: Console) -> None:
        _score_table(console, f"{results['task']}, {results['rows']} examples", results["scores"])

    report(work, show, as_json)


@vl_app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A folder that vl train wrote.")],
    text: Annotated[str, typer.Argument(help="A question, a statement, a hypothesis or an expression.")],
    image: Annotated[list[Path], typer.Option(help="The picture; twice for nlvr2, left first.")],
    detector: Detector = None,
    output: Annotated[Path | None, typer.Option(help="Write a picture of the regions it looked at (PNG).")] = None,
    as_json: Json = False,
) -> None:
    """Ask a model about a picture, and see which regions its answer rests on."""
    from polysense.durable import whole_file
    from polysense.vision_language.drawing import draw_prediction
    from polysense.vision_language.prediction import PicturePredictor

    def work() -> dict[str, Any]:
        check_output(output)
        predictor = PicturePredictor(model, detector)
        pictures = predictor.open(image)
        prediction = predictor.predict(text, pictures)
        if output is not None:
            with whole_file(output) as stream:
                stream.write(draw_prediction(prediction, pictures))
        return {"model": str(model), "task": predictor.task.name, **prediction.to_dict()}

    def show(result: dict[str, Any], console: Console) -> None:
        console.print(f"[bold]{escape(result['answer'])}[/] ({result['probability']:.2f})")
        if result["box"]:
            console.print("at " + ", ".join(f"{value:.0f}" for value in result["box"]))
        table = Table("region", "box", "weight", title="what it looked at")
        for region in result["regions"][:6]:
            box = ", ".join(f"{value:.0f}" for value in region["box"])
            table.add_row(escape(region["tag"]), box, f"{region['weight']:+.3f}")
        if result["regions"]:
            console.print(table)

    report(work, show, as_json)


def _score_table(console: Console, title: str, scores: dict[str, float]) -> None:
    table = Table("score", "value", title=escape(title))
    for name, value in scores.items():
        table.add_row(escape(name), f"{value:.1f}" if name.endswith("median_rank") else f"{100 * value:.1f}")
    console.print(table)
