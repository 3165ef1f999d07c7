"""One run as people read it in a terminal: what it was, how it learnt, what came out, where it lies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.markup import escape
from rich.table import Table

from ...boards.columns import OWN_METRICS
from ...boards.leaderboard import what_to_know
from ...boards.methods import short
from ...core.display import duration
from ...core.spec import RunSpec
from ...data.tasks import ICBHI_4, Task
from ...evaluation.selection import rule
from ...results.calls import OPERATING_POINTS
from ...results.rows import index_fitted_on, pretrained
from ...results.schema import IndexUsed, TaskUsed
from .terminal import column, narrow_table, sparkline

Known = Mapping[str, Any]

AT_A_POINT = {
    "sp": "Sp",
    "se": "Se",
    "score": "Score",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced\naccuracy",
}
RANKING = {"auroc_abnormal": "AUROC", "auprc_abnormal": "AUPRC"}  # before the AUROC of each finding
RANKING_TOO = {
    **{"macro_auroc": "macro-\nAUROC", "auroc_within_length": "AUROC\nwithin length"},
    **{"se_at_sp80": "Se at\nSp .8", "se_at_sp90": "Se at\nSp .9"},
}
CALIBRATION = {"nll": "NLL", "brier": "Brier", "ece": "ECE"}
PARTS = {"fit": "train on", "validation": "validate on", "test": "test on"}
CHOICES = ("loss", "backbone", "frontend", "quality")  # whose options have defaults of their own


def run_tables(known: Known, *, everything: bool = False) -> Iterator[Table]:
    """The tables of a run, those that it came far enough for.

    Args:
        known: its `results.document.document`.
        everything: every field of the spec, and the details under every selection rule instead of the first.
    """
    yield _about(known)
    elsewhere = "data" in known and known["data"].get("elsewhere")
    if "spec" in known and not elsewhere:
        yield _spec(known["spec"], everything=everything)
    if "data" in known:
        yield _data(known["data"])
    if "epochs" in known and not elsewhere:
        yield _curves(known)
    if "confusion" not in known:
        return
    rules = list(known["metrics"]) if everything else list(known["metrics"])[:1]
    for split in known["spec"]["data"]["test"]:
        yield _scores(known, split)
        yield _recalls(known, split)
        if _task(known).label_figures:
            yield _labels(known, split)
        yield _ranking(known, split)
        yield _calibration(known, split)
        for name in rules:
            yield _confusion(known, split, name)
            yield _devices(known, split, name)


def _about(known: Known) -> Table:
    table = narrow_table(known["run_id"], ["", ""], words=2)
    lines = {"state": _state(known), "in": known["path"], "origin": known["origin"]}
    elsewhere = known.get("data", {}).get("elsewhere")
    if elsewhere:
        lines["predictions"] = f"{elsewhere['kind']} of {', '.join(elsewhere['files'])}, made elsewhere"
        lines["declared"] = f"{elsewhere['declared']}; {_pretrained(known['data']['weights'])}"
    elif "data" in known:
        lines["weights"] = _weights(known["data"]["weights"])
    if "env" in known:
        lines["scored with" if elsewhere else "made with"] = _environment(known["env"])
    if "cost" in known and not elsewhere:
        lines["cost"] = _cost(known["cost"])
    for name, text in lines.items():
        table.add_row(name, escape(text))
    for warning in _warnings(known):
        table.add_row("note", escape(warning))
    return table


def _state(known: Known) -> str:
    status = known["status"]
    text = str(status["state"])
    if "at" in status:
        text += f", {status['at'].replace('T', ' ')}"
    if status["state"] != "done":
        trained, planned = len(known.get("epochs", ())), known.get("spec", {}).get("optim", {}).get("epochs")
        text += f", after {trained} of {planned} epochs" if planned else ", before its training began"
    return f"{text}\n{status['message']} (see error.txt there)" if "message" in status else text


def _weights(weights: Known) -> str:
    if weights["source"] == "none":
        return "none: from random initial values"
    known_of = {
        "from": weights["origin"],
        "licence": weights["licence"],
        "pretrained on": ", ".join(weights["pretrained_on"]),
        "sha256": short(weights["sha256"]),
    }
    told = ", ".join(f"{name} {value}" for name, value in known_of.items() if value)
    loaded = f", {weights['loaded']:.0%} of the backbone's tensors" if weights["loaded"] else ""
    return f"{weights['source']}: {told}{loaded}"


def _pretrained(weights: Known) -> str:
    learnt = ", ".join(weights["pretrained_on"])
    return f"weights pretrained on {learnt}" if learnt else "from random initial values"


def _environment(env: Known) -> str:
    libraries = ", ".join(f"{name} {version}" for name, version in env["libraries"].items())
    device = " ".join(filter(None, [env["device"], env["device_name"]]))
    return f"rsbench {env['code_version']} on {device}, {env['threads']} threads; Python {env['python']}, {libraries}"


def _cost(cost: Known) -> str:
    text = f"{duration(cost['seconds'])}, of which training {duration(cost['training_seconds'])}"
    text += f" ({cost['training_clips_per_s']:.0f} clips/s)"
    if cost.get("learning") is not None:
        text += f"; {cost['learning']:,} of {cost['parameters']:,} parameters learn"
    return text if cost["peak_gpu_mib"] is None else f"{text}, at most {cost['peak_gpu_mib']:.0f} MiB on the GPU"


def _warnings(known: Known) -> list[str]:
    """What a board would say below such a row."""
    if not {"data", "env"} <= known.keys():
        return []
    data = known["data"]
    tested = {data["splits"][split]["dataset"] for split in known["spec"]["data"]["test"]}
    seen = [pretrained(data["weights"]["pretrained_on"], dataset) for dataset in sorted(tested)]
    rows = pd.DataFrame({"pretrained": pd.Series(seen, dtype="str")})
    trained = [data["splits"][name]["dataset"] for name in known["spec"]["data"]["train"].split(",")]
    shared = {"code_version": known["env"]["code_version"], "synthetic": data["synthetic"], "partial": data["partial"]}
    if elsewhere := data.get("elsewhere"):
        shared |= {"declared": elsewhere["declared"], "loss": known["spec"]["loss"]["name"], "origin": known["origin"]}
    shared["fitted_on"] = index_fitted_on(IndexUsed(**data["quality_index"]), trained)
    return what_to_know(rows.assign(**shared), {})


def _spec(spec: Known, *, everything: bool) -> Table:
    """A line per part; a field that is not the common default stands first, the others only if asked for."""
    table = narrow_table("spec" if everything else "spec (--all: every field)", ["", ""], words=2)
    defaults = _defaults()
    for name, value in spec.items():
        if name in CHOICES:
            text = "none" if value is None else _choice(value)
        elif isinstance(value, Mapping):
            text = _fields(value, defaults[name], everything=everything)
        else:
            shown = everything or name == "seed" or value != defaults[name]
            text = _setting(value) if shown else ""
        if text:
            table.add_row(name, escape(text))
    return table


def _defaults() -> dict[str, Any]:
    choices = {name: {"name": ""} for name in CHOICES}
    bare = RunSpec.model_validate({**choices, "data": {"train": "", "test": ()}})
    return bare.model_dump(mode="json")


def _choice(choice: Known) -> str:
    options = ", ".join(f"{key} {_setting(value)}" for key, value in choice.items() if key != "name" and value != [])
    return f"{choice['name']} ({options})" if options else str(choice["name"])


def _fields(part: Known, defaults: Known, *, everything: bool) -> str:
    own = [key for key, value in part.items() if key not in defaults or value != defaults[key]]
    others = [key for key in part if key not in own] if everything else []
    return ", ".join(f"{key} {_setting(part[key])}" for key in [*own, *others])


def _setting(value: Any) -> str:
    return " + ".join(map(str, value)) or "none" if isinstance(value, list) else short(value)


def _data(data: Known) -> Table:
    classes = list(data["class_counts"])
    table = narrow_table("data", ["data set", "clips to", *classes, "all"], words=2)
    lines = []
    for name, dataset in data["datasets"].items():
        for part, use in PARTS.items():
            if part in dataset["clips_per_part"]:
                counts = [dataset["clips_per_part"][part].get(one, 0) for one in classes]
                table.add_row(name, use, *map(str, (*counts, sum(counts))))
        missing = f", {dataset['missing_recordings']} missing" if dataset["missing_recordings"] else ""
        labels = short(data["identity"]["labels"][name])
        lines += [f"{name}: {dataset['recordings']} recordings{missing}; labels {labels}", *dataset["notes"]]
    splits = ", ".join(f"{name} v{split['version']}" for name, split in data["splits"].items())
    label_map = f"{data['label_map']['name']} v{data['label_map']['version']}"
    patients = f"{data['train_patients']} patients to train on"
    if data["validation_patients"]:
        patients += f", {len(data['validation_patients'])} to validate on"
    if data["validation_folds"]:
        patients = f"{sum(map(len, data['folds']))} patients, each tested in one of {len(data['folds'])} folds"
    elif data["folds"]:
        patients += f", {len(data['folds'])} folds of them to choose by"
    lines += [patients, f"{data['track']}; splits {splits}; task {_task({'data': data}).name}, label map {label_map}"]
    table.caption = "\n".join(lines)
    return table


def _curves(known: Known) -> Table:
    """Training loss and every Score that was looked at, a bar per epoch, with the epoch that each rule chose."""
    curves = dict(_series(known))
    epochs = max(map(len, curves.values()))
    table = narrow_table(f"{epochs} epochs, a bar each" if epochs else "no epoch yet", ["", "", ""], words=3)
    for name, values in curves.items():
        known_values = [value for value in values if value is not None]
        ends = f"{known_values[0]:.3g} → {known_values[-1]:.3g}" if known_values else "–"
        table.add_row(escape(name), sparkline(values, epochs), ends)
    for selection, chosen in known.get("selection", {}).items():
        score = "" if chosen["score"] is None else f", {_decided(selection, chosen['score'])}"
        mark = " " * column(min(chosen["epoch"], epochs), epochs) + "▲"
        table.add_row("", mark, escape(f"{selection}: epoch {chosen['epoch']}{score}"))
    return table


def _decided(selection: str, figure: float) -> str:
    """The figure that chose an epoch, in words."""
    by_score = rule(selection.partition(":")[0]).figure == "score"
    return f"Score {figure:.1f}" if by_score else f"mean AUROC {figure:.3f}"


def _series(known: Known) -> Iterator[tuple[str, list[float | None]]]:
    rows: Sequence[Known] = known["epochs"]
    yield "training loss", [row["train_loss"] for row in rows]
    for name in rows[0] if rows else ():
        if name.endswith("_score"):
            selection = name.removesuffix("_score")
            judged = "validation Score" if rule(selection.partition(":")[0]).judged_on == "validation" else selection
            yield judged, [row[name] for row in rows]
        elif name.endswith("_mean_auroc"):
            yield "validation mean AUROC", [row[name] for row in rows]
    if "folds" in known and not known["data"]["validation_folds"]:  # whose means are rows already
        folds = pd.DataFrame(known["folds"])
        yield f"Score, mean of {folds['fold'].nunique()} folds", folds.groupby("epoch")["score"].mean().tolist()


def _scores(known: Known, split: str) -> Table:
    """Sp, Se, Score and what goes with them under every rule at every operating point."""
    metrics = known["metrics"]
    first = next(iter(metrics.values()))[split]
    version = known["data"]["splits"][split]["version"]
    title = f"{split} v{version}: {first['clips']} clips of {first['patients']} patients"
    own = {name: OWN_METRICS[name].heading for name in _task(known).metrics}
    shown = AT_A_POINT | own
    table = narrow_table(title, ["selected", "epoch", "at", *shown.values()], words=3)
    for name, of_splits in metrics.items():
        epoch = str(known["selection"][rule(name).selection(split)]["epoch"] or "–")
        for point, figures in _points(of_splits[split]):
            table.add_row(_selected(name), epoch, point, *(_number(figures[key], 1) for key in shown))
    points = {name: of_splits[split] for name, of_splits in metrics.items() if "val-bias" in of_splits[split]}
    offsets = [
        f"val-bias adds {_of_folds(figures['operating_point']['normal_offset'])} to the normal logit under {name}"
        for name, figures in points.items()
    ]
    table.caption = "\n".join(["always-normal scores 50", *offsets])
    return table


def _of_folds(chosen: float | Sequence[float], digits: str = ".3g") -> str:
    """A number, or that of each fold."""
    return ", ".join(f"{one:{digits}}" for one in (chosen if isinstance(chosen, list) else [chosen]))


def _recalls(known: Known, split: str) -> Table:
    """Recall per class; its support and effective patients in the heading."""
    first = next(iter(known["metrics"].values()))[split]
    patients = first["effective_patients"]
    headings = [f"{name}\n{first['argmax'][f'support_{name}']}\n{patients[name]:.1f}" for name in patients]
    table = narrow_table(f"recall by class, {split}", ["selected", "\n\nat", *headings], words=2)
    for name, of_splits in known["metrics"].items():
        for point, figures in _points(of_splits[split]):
            table.add_row(_selected(name), point, *(_number(figures[f"recall_{one}"], 1) for one in patients))
    table.caption = "below the class: its clips, and its effective number of patients (Kish)"
    return table


def _task(known: Known) -> Task:
    told = known["data"].get("task")
    return TaskUsed(**told).as_task() if told else ICBHI_4


def _labels(known: Known, split: str) -> Table:
    """Of a multi-label task sensitivity, specificity and F1 of each label."""
    named = _task(known).label_figures
    headings = [name.replace("_", "\n").replace("f1", "F1") for name in named]
    table = narrow_table(f"by label, {split}", ["selected", "at", *headings], words=2)
    for name, of_splits in known["metrics"].items():
        for point, figures in _points(of_splits[split]):
            table.add_row(_selected(name), point, *(_number(figures[one], 1) for one in named))
    return table


def _points(figures: Known) -> Iterator[tuple[str, Known]]:
    return ((point, figures[point]) for point in OPERATING_POINTS if point in figures)


def _ranking(known: Known, split: str) -> Table:
    """What does not depend on the operating point."""
    of_findings = {f"auroc_{name}": f"AUROC\n{name}" for name in _task(known).findings}
    shown = RANKING | of_findings | RANKING_TOO
    table = narrow_table(f"wherever the normal class begins, {split}", ["selected", *shown.values()], words=1)
    for name, of_splits in known["metrics"].items():
        figures = of_splits[split]["threshold_free"]
        cells = [_number(figures.get(key), 1 if key.startswith("se") else 3) for key in shown]
        table.add_row(_selected(name), *cells)
    return table


def _calibration(known: Known, split: str) -> Table:
    """How far probabilities can be believed, raw and after the temperature that was fitted on validation."""
    table = narrow_table(f"calibration, {split}", ["selected", "temperature", *CALIBRATION.values()], words=1)
    for name, of_splits in known["metrics"].items():
        figures, temperature = of_splits[split], of_splits[split].get("operating_point", {}).get("temperature")
        for suffix, divisor in (("", 1.0), ("_scaled", temperature)):
            if divisor is not None:
                cells = (_number(figures["calibration"][f"{key}{suffix}"], 3) for key in CALIBRATION)
                table.add_row("" if suffix else _selected(name), _of_folds(divisor, ".3f"), *cells)
    return table


def _confusion(known: Known, split: str, name: str) -> Table:
    """Clips by class, down, and what they were called, across, at each operating point."""
    matrices = known["confusion"][name][split]
    classes = list(known["data"]["class_counts"])
    headings = [f"{point}\n{one}" if one == classes[0] else one for point in matrices for one in classes]
    table = narrow_table(f"called, {split}, {_selected(name)}", ["is", *headings], words=1)
    for number, truth in enumerate(classes):
        table.add_row(truth, *(str(count) for matrix in matrices.values() for count in matrix[number]))
    return table


def _devices(known: Known, split: str, name: str) -> Table:
    title = f"by device, {split}, {_selected(name)}, at argmax"
    table = narrow_table(title, ["device", "Sp", "Se", "Score"], words=1)
    for device, found in known["metrics"][name][split]["by_device"].items():
        table.add_row(escape(device), *(_number(found[key], 1) for key in ("sp", "se", "score")))
    return table


def _selected(name: str) -> str:
    return "ORACLE (on test)" if rule(name).judged_on == "test" else name


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
