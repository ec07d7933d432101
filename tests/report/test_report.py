"""The report over runs that are written here: every number from the counts, every text escaped, one file offline."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from rich.console import Console

from kadapter import runs
from kadapter.errors import KAdapterError
from kadapter.report import published, rendering, report
from kadapter.scoring import metrics, slices, statistics

EVIL = "<script>alert('x')</script> & _L_"


def write_run(root: Path, name: str, row: dict, metric: dict, counts: np.ndarray, preset="synthetic", **more) -> Path:
    """A finished fine-tuning run as the fine-tuning stage leaves it."""
    run = runs.begin(
        root / preset / "finetune" / name, stage="finetune", name=name, parameters={"batch_size": 32} | row
    )
    np.savez_compressed(run.path("counts.npz"), counts=counts)
    scorer = metrics.get(metric["name"], **metric.get("options", {}))
    values = {key: float(value) for key, value in scorer.reduce(counts.sum(axis=(0, 1))).items()}
    seeds = more.pop("seeds", list(range(len(counts))))
    return run.finish(values, n=counts.shape[1], seeds=seeds, metric=metric, **row, **more)


def write_history(root: Path, name: str, score: str, top: float, preset="synthetic") -> None:
    """A finished pre-training run: its log as `fit` returns it."""
    history = []
    for epoch in range(1, 11):
        history.append(
            {"step": 50 * epoch, "epoch": float(epoch), "loss": 3 * top * 0.75**epoch, "learning_rate": 1e-3}
        )
        value = top * (1 - 0.7**epoch)
        history.append({"step": 50 * epoch, "epoch": epoch, f"eval_{score}": value, "eval_loss": 1 / epoch + 0.3})
    history.append({"step": 500, "epoch": 10.0, "train_runtime": 12.5, "train_loss": 0.4})
    run = runs.begin(root / preset / "pretrain" / name, stage="pretrain", name=name, parameters={"epochs": 10})
    run.finish({score: top, "loss": 0.31}, n=500, seeds=[0], history=history)


def simulated(rate: float, seeds: int, n: int, options: dict, rng: np.random.Generator) -> np.ndarray:
    """Counts of a classifier of ten labels that is right at a rate; label 0 is the negative one."""
    metric = metrics.get("micro_f1", **options)
    gold = np.arange(n) % 10
    difficulty = np.random.default_rng(5).random(n)  # shared by all models: what pairing is for
    per_seed = []
    for _ in range(seeds):
        right = 0.6 * difficulty + 0.4 * rng.random(n) < rate
        per_seed.append(metric.per_example(np.where(right, gold, rng.integers(0, 10, n)), gold))
    return np.stack(per_seed)


RATES = {"backbone": 0.16, "multitask": 0.3, "none": 0.17, "F": 0.62, "L": 0.24, "F+L": 0.6}


def write_all(root: Path, rates: dict[str, float] = RATES) -> None:
    """Two tasks, one of them in two regimes, every model row, three seeds, and two adapters' logs."""
    rng = np.random.default_rng(0)
    groups = [("relation", "frozen", 1.0), ("typing", "frozen", 0.9), ("typing", "paper", 1.2)]
    for task, regime, factor in groups:
        for model, rate in rates.items():
            counts = simulated(rate * factor, 3, 400, {"negative": 0}, rng)
            metric = {"name": "micro_f1", "options": {"negative": 0}}
            row = {"task": task, "dataset": f"world_{task}", "regime": regime, "model": model}
            write_run(root, f"{task}-{regime}-{model}", row, metric, counts, data_hash="0123456789abcdef")
    write_history(root, "F", "f1", 0.83)
    write_history(root, "L", "uas", 0.91)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_all(folder)
    return folder


@pytest.fixture(scope="module")
def rows(root) -> list[dict]:
    return report.rows(root, "synthetic")


@pytest.fixture(scope="module")
def compared(root) -> pd.DataFrame:
    return report.comparisons(root, "synthetic")


@pytest.fixture(scope="module")
def frame(root) -> pd.DataFrame:
    return report.table(root, "synthetic")


def row_of(rows: list[dict], task: str, model: str) -> dict:
    return next(row for row in rows if (row["task"], row["model"]) == (task, model))


def test_rows_are_what_the_counts_say(root, rows):
    assert len(rows) == 18
    keys = ["task", "model", "regime", "metric", "mean", "std", "ci_low", "ci_high", "seeds", "n", "trained_parameters"]
    assert all(list(row) == keys for row in rows)
    counts = np.load(root / "synthetic/finetune/relation-frozen-F/counts.npz")["counts"]
    f1 = [2 * correct / (predicted + gold) for correct, predicted, gold in counts.sum(axis=1)]
    row = row_of(rows, "relation", "F")
    assert row["mean"] == pytest.approx(np.mean(f1)) and row["std"] == pytest.approx(np.std(f1, ddof=1))
    assert (row["metric"], row["seeds"], row["n"]) == ("f1", 3, 400)
    assert row["ci_low"] < row["mean"] < row["ci_high"]
    json.dumps(rows, allow_nan=False)


def test_models_stand_in_the_order_of_the_paper(frame):
    for _, group in frame.groupby(["task", "regime"]):
        assert group["model"].tolist() == ["backbone", "multitask", "none", "F", "L", "F+L"]
    assert list(dict.fromkeys(zip(frame["task"], frame["regime"], strict=True))) == [
        ("relation", "frozen"),
        ("typing", "frozen"),
        ("typing", "paper"),
    ]
    assert sorted(["X", "F+L", "A", "F+X", "L", "backbone", "none"], key=rendering.by_model) == [
        *("backbone", "none", "L", "A", "X", "F+L", "F+X")
    ]


def test_comparisons_are_against_backbone_and_against_none(rows, compared):
    pairs = set(zip(compared["model"], compared["against"], strict=True))
    assert pairs == {(m, "backbone") for m in ("multitask", "none", "F", "L", "F+L")} | {("F", "none"), ("L", "none")}
    assert len(compared) == 3 * 7
    assert compared["p_holm"].tolist() == statistics.holm(compared["p"].tolist())
    by_pair = compared[compared["task"] == "relation"].set_index(["model", "against"])
    assert by_pair.loc[("F", "backbone"), "ci_low"] > 0.3 and by_pair.loc[("F", "backbone"), "p_holm"] < 0.05
    assert by_pair.loc[("F", "none"), "ci_low"] > 0.3
    assert by_pair.loc[("none", "backbone"), "p_holm"] > 0.05
    gain = row_of(rows, "relation", "F")["mean"] - row_of(rows, "relation", "backbone")["mean"]
    assert by_pair.loc[("F", "backbone"), "difference"] == pytest.approx(gain)


def test_table_carries_the_difference_to_backbone(frame, compared):
    frame = frame.set_index(["task", "regime", "model"])
    compared = compared.set_index(["task", "regime", "model", "against"])
    for key in [("relation", "frozen", "F"), ("typing", "paper", "L")]:
        assert frame.loc[key, "difference"] == compared.loc[(*key, "backbone"), "difference"]
    assert np.isnan(frame.loc[("relation", "frozen", "backbone"), "difference"])


def test_seed_scores_average_to_the_rows(root, rows):
    means = report.seed_scores(root, "synthetic").groupby(["task", "regime", "model"])["score"].mean()
    for row in rows:
        assert means[row["task"], row["regime"], row["model"]] == pytest.approx(row["mean"])


def test_only_common_seeds_are_compared(tmp_path):
    rng = np.random.default_rng(1)
    counts = simulated(0.5, 3, 100, {"negative": 0}, rng)
    metric = {"name": "micro_f1", "options": {"negative": 0}}
    row = {"task": "t", "dataset": "d", "regime": "frozen"}
    write_run(tmp_path, "a", row | {"model": "backbone"}, metric, counts, seeds=[0, 1, 2])
    write_run(tmp_path, "b", row | {"model": "F"}, metric, counts[[2, 1]], seeds=[2, 1])
    frame = report.comparisons(tmp_path, "synthetic")
    assert frame["seeds"].tolist() == [2]
    assert frame["difference"].tolist() == [0.0] and frame["p"].tolist() == [1.0]


def test_a_partial_run_is_not_read(tmp_path):
    write_all(tmp_path, {"backbone": 0.2})
    runs.begin(tmp_path / "synthetic/finetune/typing-frozen-F", stage="finetune", name="x", parameters={})
    assert len(report.rows(tmp_path, "synthetic")) == 3
    assert report.comparisons(tmp_path, "synthetic").empty


def test_no_runs_no_rows(tmp_path):
    assert report.rows(tmp_path, "nothing") == []
    assert report.table(tmp_path, "nothing").empty
    with pytest.raises(KAdapterError, match="preset 'nothing' has no finished fine-tuning run under"):
        report.write_html(tmp_path, "nothing", tmp_path / "x.html")


def test_pretty_shows_percent(frame, rows):
    screen = Console(file=io.StringIO(), width=120, force_terminal=False)
    screen.print(report.pretty(frame, "synthetic"))
    text = screen.file.getvalue()
    row = row_of(rows, "relation", "F")
    assert f"{100 * row['mean']:.1f}" in text and f"[{100 * row['ci_low']:.1f}, {100 * row['ci_high']:.1f}]" in text
    assert max(map(len, text.splitlines())) <= 80  # fits a usual terminal


def test_styled_shows_percent_and_escapes(tmp_path):
    counts = np.stack([np.r_[np.ones(8), np.zeros(2)], np.ones(10)], axis=1)[None]
    row = {"dataset": "d", "regime": "frozen", "task": EVIL}
    write_run(tmp_path, "a", row | {"model": "backbone"}, {"name": "accuracy"}, counts)
    html = report.styled(tmp_path, "synthetic").to_html()
    assert "80.0" in html and "&lt;script&gt;" in html and "<script>" not in html


def test_the_error_for_no_runs_says_what_makes_them(tmp_path):
    assert "preset 'mine' has no finished fine-tuning run under" in str(report.nothing(tmp_path, "mine"))


def test_exports_hold_the_same_numbers(root, frame, tmp_path):
    paths = report.export(root, "synthetic", tmp_path / "tables")
    read = pd.read_csv(paths["scores.csv"], keep_default_na=True, na_values=[""])
    pd.testing.assert_frame_equal(read, frame, check_dtype=False)
    tex = paths["scores.tex"].read_text()
    assert tex.count(r"\\") == 7 and tex.count("{rrr}") == 0 and r"\begin{tabular}{lrrr}" in tex
    body = [line for line in tex.splitlines() if line.startswith("F &")][0]
    means = frame[frame["model"] == "F"]["mean"]
    assert [float(x) for x in re.findall(r"& ([\d.]+) \{", body)] == pytest.approx([round(100 * m, 1) for m in means])
    assert len(pd.read_csv(paths["comparisons.csv"])) == 3 * (5 + 2)


def test_latex_escapes():
    frame = report.table(Path("nowhere"), "x")
    frame.loc[0] = ["a_b & 100%", "frozen", "f1", "F#1", 0.5, 0.0, 0.4, 0.6, 1, 9, *[np.nan] * 5]
    tex = report.latex(frame)
    assert r"a\_b \& 100\%, frozen (f1)" in tex and r"F\#1 & 50.0" in tex


@pytest.mark.parametrize(
    "value, sign, text", [(0.12345, "", "12.3"), (-0.0001, "+", "0.0"), (0.5, "+", "+50.0"), (float("nan"), "", "–")]
)
def test_percent(value, sign, text):
    assert rendering.percent(value, sign) == text


LEDGER = [  # spot values of the paper, by table
    ("open_entity", 2, "K-Adapter (F+L)", "f1", 77.61),
    ("open_entity", 2, "K-Adapter (w/o knowledge)", "precision", 74.47),
    ("figer", 2, "K-Adapter (F)", "macro_f1", 84.52),
    ("searchqa", 3, "RoBERTa", "exact_match", 59.01),
    ("quasart", 3, "K-Adapter (L)", "f1", 52.39),
    ("cosmosqa", 3, "K-Adapter (F+L)", "accuracy", 81.83),
    ("tacred", 4, "K-Adapter (L)", "recall", 75.37),
    ("tacred", 4, "BERT+MTB", "f1", 71.50),
    ("lama", 5, "K-Adapter", "uhn_trex", 23.0),
]


@pytest.mark.parametrize("dataset, number, model, metric, value", LEDGER)
def test_published_numbers(dataset, number, model, metric, value):
    frame = published.rows(dataset)
    found = frame[(frame["model"] == model) & (frame["metric"] == metric)]
    assert found["value"].tolist() == [value] and found["table"].tolist() == [number]


def test_published_f1_follow_from_their_precision_and_recall():
    """A check of every digit that can be checked: all but the row that the paper itself prints so."""
    off = []
    for dataset in ("open_entity", "tacred"):
        wide = published.rows(dataset).pivot(index="model", columns="metric", values="value").dropna()
        f1 = 2 * wide["precision"] * wide["recall"] / (wide["precision"] + wide["recall"])
        off += wide.index[(f1 - wide["f1"]).abs() > 0.06].tolist()
    assert off == ["K-Adapter (w/o knowledge)"]
    assert "as printed" in published.rows("open_entity")["note"].iloc[0]


def test_published_metrics_are_ours():
    named = {"open_entity": "multilabel", "figer": "figer", "searchqa": "squad", "quasart": "squad"}
    named |= {"cosmosqa": "accuracy", "tacred": "micro_f1"}
    for dataset, metric in named.items():
        keys = metrics.get(metric)([], [])
        assert set(published.rows(dataset)["metric"]) <= set(keys)


SIX = {  # dataset -> metric of its task, and one example's predictions and references that are right and wrong
    "open_entity": ("multilabel", lambda right: ([[1, 0]] if right else [[0, 1]], [[1, 0]])),
    "figer": ("figer", lambda right: ([[1, 0]] if right else [[0, 1]], [[1, 0]])),
    "searchqa": ("squad", lambda right: (["Rome" if right else "Oslo"], [["Rome"]])),
    "quasart": ("squad", lambda right: (["Rome" if right else "Oslo"], [["Rome"]])),
    "cosmosqa": ("accuracy", lambda right: ([int(right)], [1])),
    "tacred": ("micro_f1", lambda right: ([1 if right else 2], [1])),
}


@pytest.fixture(scope="module")
def six(tmp_path_factory) -> Path:
    """All six datasets under their published names, all six rows, two seeds; every score is near the published one."""
    root = tmp_path_factory.mktemp("six")
    for dataset, (name, examples) in SIX.items():
        metric = metrics.get(name)
        right, wrong = (metric.per_example(*examples(is_right))[0] for is_right in (True, False))
        for place, model in enumerate(rendering.ORDER):
            counts = np.stack(
                [np.stack([right] * (60 + place + seed) + [wrong] * (40 - place - seed)) for seed in (0, 1)]
            )
            row = {"task": dataset, "dataset": dataset, "regime": "paper", "model": model}
            write_run(root, f"{dataset}-paper-{model}", row, {"name": name}, counts, preset="embedded")
    return root


def test_every_dataset_stands_beside_its_published_rows(six):
    beside = report.beside_published(six, "embedded")
    without_none = {"cosmosqa", "searchqa", "quasart", "tacred"}  # Tables 3 and 4 have no row without knowledge
    for dataset in SIX:
        own, entry = beside[beside["dataset"] == dataset], published.datasets()[dataset]
        models = [model for model in rendering.ORDER if model != "none" or dataset not in without_none]
        assert sorted(zip(own["metric"], own["model"], strict=True)) == sorted(
            (metric, model) for metric in entry["metrics"] for model in models
        )
        assert set(own["table"]) == {entry["table"]}
    row = beside[(beside["dataset"] == "cosmosqa") & (beside["model"] == "F")].iloc[0]
    assert row["ours"] == pytest.approx(63.5) and row["difference"] == pytest.approx(63.5 - 80.93)
    assert not row["inside"] and row["ci_low"] < 63.5 < row["ci_high"] < row["published"]


def test_all_six_rows_of_all_six_datasets_are_printed(six):
    from typer.testing import CliRunner

    from kadapter.cli.main import app

    result = CliRunner().invoke(app, ["results", "embedded", "--root", str(six), "--json"])
    found = json.loads(result.stdout)
    assert [(row["task"], row["model"]) for row in found] == [(d, m) for d in sorted(SIX) for m in rendering.ORDER]
    assert len(report.comparisons(six, "embedded")) == 6 * (5 + 2)


def add_parts(root: Path, preset: str = "synthetic") -> None:
    """Slices and predictions to every run: a part of 100 and one of 300 examples; logits of three labels."""
    from tests.scoring.test_slices import write_predictions

    frame = pd.DataFrame({"entity": np.repeat(list(slices.ENTITY), [100, 300]), "words": ["0–10"] * 400})
    gold = (np.arange(400) % 3).tolist()
    for folder in (root / preset / "finetune").iterdir():
        frame.to_parquet(folder / slices.FILE)
        right = np.eye(3)[gold] if folder.name.endswith("F") else np.eye(3)[[0] * 400]
        write_predictions(folder, "relation", {"labels": ["<i>p", "q", "r"]}, gold, np.stack([right] * 3))


@pytest.fixture(scope="module")
def parted(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("parted")
    write_all(root, {"backbone": 0.2, "F": 0.6})
    add_parts(root)
    return root


def test_slices_are_scored_for_every_model(parted):
    frame = report.by_slice(parted, "synthetic")
    assert len(frame) == 3 * 3 * 2  # tasks and regimes, parts, models
    seen = frame[(frame["task"] == "relation") & (frame["slice"] == "in training")].set_index("model")
    counts = np.load(parted / "synthetic/finetune/relation-frozen-F/counts.npz")["counts"][:, :100]
    own = statistics.interval(counts, metrics.get("micro_f1", negative=0))
    assert seen.loc["F", list(own)].to_dict() == own
    assert seen.loc["F", "difference"] == pytest.approx(seen.loc["F", "mean"] - seen.loc["backbone", "mean"])
    assert seen.loc["F", "difference_low"] < seen.loc["F", "difference"] < seen.loc["F", "difference_high"]
    assert np.isnan(seen.loc["backbone", "difference"]) and seen["kind"].tolist() == ["entity"] * 2
    assert frame["n"].tolist()[:6] == [100, 100, 300, 300, 400, 400]


def test_labels_are_scored_for_every_model(parted):
    frame = report.by_label(parted, "synthetic")
    own = frame[(frame["task"] == "typing") & (frame["regime"] == "paper")].set_index(["model", "label"])
    assert own.loc[("F", "q"), ["n", "precision", "recall", "f1", "difference"]].tolist() == [133, 1.0, 1.0, 1.0, 1.0]
    assert own.loc[("backbone", "<i>p"), "precision"] == pytest.approx(134 / 400)
    assert own.loc[("backbone", "<i>p"), "recall"] == 1.0 and np.isnan(own.loc[("backbone", "q"), "difference"])
    f1 = 2 * 134 / (400 + 134)
    assert own.loc[("F", "<i>p"), "difference"] == pytest.approx(1 - f1)


def test_parts_are_in_the_page_and_in_the_tables(parted, tmp_path):
    from plotly.offline import get_plotlyjs

    text = report.write_html(parted, "synthetic", tmp_path / "report.html").read_text(encoding="utf-8")
    own = text.replace(get_plotlyjs(), "")
    assert all(f'id="{name}-picture"' in own for name in ("slices", "labels"))
    assert "Gained most by F, in points (test examples): q +100.0 (133), r +100.0 (133)" in own
    assert "<i>" not in own and "&lt;i&gt;p" in own and "precision 33.5, recall 100.0" in own
    paths = report.export(parted, "synthetic", tmp_path)
    read = pd.read_csv(paths["slices.csv"], keep_default_na=True, na_values=[""])
    pd.testing.assert_frame_equal(read, report.by_slice(parted, "synthetic"), check_dtype=False)
    assert len(pd.read_csv(paths["labels.csv"])) == len(report.by_label(parted, "synthetic"))


def test_runs_without_parts_have_none(root, tmp_path):
    assert report.by_slice(root, "synthetic").empty and report.by_label(root, "synthetic").empty
    text = report.write_html(root, "synthetic", tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="slices-picture"' not in text and 'id="labels-picture"' not in text


def test_a_run_whose_logits_are_no_numbers_is_reported(tmp_path):
    """What former versions left of a fit that diverged: the report says its score, which is that of no decision."""
    write_all(tmp_path, {"backbone": 0.2, "F": 0.6})
    add_parts(tmp_path)
    folder = tmp_path / "synthetic/finetune/relation-frozen-F"
    frame = pd.read_parquet(folder / "predictions.parquet")
    frame["logits"] = [np.full(3, np.nan, np.float32) for _ in range(len(frame))]
    frame.to_parquet(folder / "predictions.parquet")
    result = json.loads((folder / runs.RESULT).read_text())
    result["metrics"] |= {"f1": float("nan"), "loss": float("nan")}
    (folder / runs.RESULT).write_text(json.dumps(result))
    text = report.write_html(tmp_path, "synthetic", tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="labels-picture"' in text
    per_label = report.by_label(tmp_path, "synthetic").query("task == 'relation' and model == 'F'")
    assert len(per_label) == 3 and per_label["f1"].between(0, 1).all()


def test_a_run_that_changes_is_read_again(tmp_path):
    row = {"task": "t", "dataset": "d", "regime": "frozen", "model": "F"}
    write_run(tmp_path, "a", row, {"name": "accuracy"}, np.ones((1, 5, 2)))
    assert report.rows(tmp_path, "synthetic")[0]["n"] == 5
    assert report.run_scores(tmp_path, "synthetic")[0] is report.run_scores(tmp_path, "synthetic")[0]
    write_run(tmp_path, "a", row, {"name": "accuracy"}, np.ones((1, 6, 2)))
    assert report.rows(tmp_path, "synthetic")[0]["n"] == 6


def test_runs_with_other_slices_are_named(parted, tmp_path):
    write_all(tmp_path, {"backbone": 0.2, "F": 0.6})
    add_parts(tmp_path)
    other = pd.DataFrame({"entity": np.repeat(list(slices.ENTITY), [200, 200]), "words": ["0–10"] * 400})
    other.to_parquet(tmp_path / "synthetic/finetune/typing-paper-F" / slices.FILE)
    with pytest.raises(KAdapterError, match="typing-paper-F and .*typing-paper-backbone have not the same slices"):
        report.by_slice(tmp_path, "synthetic")


def test_the_picture_of_gains_shows_them(parted):
    from kadapter.report import figures

    frame = report.by_slice(parted, "synthetic")
    figure = figures.gains(frame)
    assert len(figure.data) == 3 and all(trace.x == ("F",) for trace in figure.data)
    shown = {(trace.y[line], trace.text[line][0]) for trace in figure.data for line in range(3)}
    gained = frame[frame["model"] == "F"]
    assert shown == {
        (f"{row.kind}: {row.slice} ({row.n})", rendering.percent(row.difference, "+")) for row in gained.itertuples()
    }
    few = frame.assign(n=np.where(frame["kind"] == "words", 9, frame["n"]))
    for panel in figures.gains(few).data:  # nine examples: a number without colour
        assert panel.z[2][0] == 0.0 != panel.z[1][0] and panel.text[2][0] != "+0.0"
    assert len(figures.gains(frame.assign(difference=np.nan)).data) == 0
    many = pd.DataFrame(
        {"label": [f"l{i}" for i in range(40)], "n": range(40), "task": "t", "regime": "r", "model": "F"}
    )
    (panel,) = figures.gains(many.assign(difference=0.1)).data
    assert list(panel.y) == [f"l{i} ({i})" for i in range(39, 39 - figures.LABELS, -1)]


def test_unknown_published_dataset():
    with pytest.raises(KAdapterError, match="unknown published dataset 'tacrad': did you mean 'tacred'"):
        published.rows("tacrad")


def test_ours_beside_the_published(tmp_path):
    """100 mentions, 78 of them right on one label each: P = R = F1 = 78%."""
    right = np.r_[np.ones(78), np.zeros(22)]
    counts = np.stack([right, np.ones(100), np.ones(100)], axis=1)[None]
    row = {"dataset": "open_entity", "regime": "paper", "task": "typing"}
    write_run(tmp_path, "a", row | {"model": "F"}, {"name": "multilabel"}, counts)
    write_run(tmp_path, "b", row | {"model": "X"}, {"name": "multilabel"}, counts)  # no such row in the paper
    fiction = {"dataset": "world_figer", "regime": "paper", "task": "figer", "model": "F"}
    write_run(tmp_path, "c", fiction, {"name": "multilabel"}, counts)
    frame = report.beside_published(tmp_path, "synthetic").set_index("metric")
    assert frame.index.tolist() == ["precision", "recall", "f1"] and set(frame["dataset"]) == {"open_entity"}
    assert frame.loc["f1", "published"] == 77.53 and frame.loc["f1", "ours"] == pytest.approx(78.0)
    assert frame.loc["f1", "difference"] == pytest.approx(0.47)
    assert frame["inside"].tolist() == [True, True, True] and set(frame["table"]) == {2}


def test_html_is_one_offline_file(root, rows, tmp_path):
    text = report.write_html(root, "synthetic", tmp_path / "report.html").read_text(encoding="utf-8")
    from plotly.offline import get_plotlyjs

    assert text.count(get_plotlyjs()) == 1
    own = text.replace(get_plotlyjs(), "")
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", own)
    assert all(f'id="{name}-picture"' in own for name in ("scores", "differences", "training"))
    assert "finetune/typing-paper-F+L" in own and "batch_size" in own and "Versions" in own
    row = row_of(rows, "relation", "F")
    assert f"{100 * row['mean']:.1f}" in own
    for number in (2, 3, 4, 5):
        assert f"Table {number} of the paper" in own


def test_html_escapes_every_text(tmp_path):
    counts = np.ones((1, 6, 2))
    for place, model in enumerate(("backbone", EVIL)):
        row = {"task": EVIL, "dataset": EVIL, "regime": "frozen", "model": model}
        write_run(tmp_path, f"run{place}", row, {"name": "accuracy"}, counts, preset="a <b>")
    write_history(tmp_path, "F<i>", "f1", 0.5, preset="a <b>")
    from plotly.offline import get_plotlyjs

    text = report.write_html(tmp_path, "a <b>", tmp_path / "report.html").read_text(encoding="utf-8")
    own = text.replace(get_plotlyjs(), "")
    assert "<script>alert" not in own and "<b>" not in re.sub(r"<b>[+–\d.-]+ points</b>", "", own)
    assert "F<i>" not in own and "&lt;script&gt;alert" in own
    assert "alert('x')\\u003c/script" not in own  # in pictures, too, it is text and not a tag of plotly's


def test_figures_show_the_numbers(root, frame, compared):
    from kadapter.report import figures

    figure = figures.scores(frame, report.seed_scores(root, "synthetic"))
    means = [trace.x[0] for trace in figure.data if trace.error_x.array is not None]
    assert means == pytest.approx((100 * frame["mean"]).tolist())
    first = next(trace for trace in figure.data if trace.error_x.array is not None)
    assert first.x[0] + first.error_x.array[0] == pytest.approx(100 * frame["ci_high"][0])
    forest = figures.differences(compared)
    opened = [trace.marker.symbol.endswith("-open") for trace in forest.data]
    assert opened == (compared["p_holm"] >= 0.05).tolist()
    for picture in (figure, forest):
        assert picture.layout.paper_bgcolor == "rgba(0, 0, 0, 0)"
    log = [{"epoch": 1.0, "loss": 2.0}, {"epoch": 1.0, "eval_f1": 0.5, "eval_loss": 1.0}]
    curves = {trace.hovertemplate.split(":")[0]: trace for trace in figures.training({"F": log}).data}
    assert curves["F, training loss"].y == (2.0,) and curves["F, dev f1"].y == (50.0,)


def test_cases_picture_counts_what_was_fixed_and_broken():
    from kadapter import catalog
    from kadapter.cases.cases import Cases
    from kadapter.cases.table import KINDS
    from kadapter.report import figures

    frame = pd.DataFrame(
        {"example_id": list("abcd"), "text": ["<b>Ada</b> codes"] * 4, "mentions": [[[3, 6, "mention"]]] * 4}
    )
    frame["true"] = [["x"], ["y"], ["x"], ["y"]]
    backbone = np.array([[1, 2], [2, 1], [3, 1], [2, 1]], np.float32)
    knowing = np.array([[4, 2], [2, 1], [1, 2], [1, 2]], np.float32)  # fixes the first and the fourth, breaks the third
    task = catalog.task("relation", labels=["x", "y"])
    cases = Cases(task, ["backbone", "F"], frame, np.stack([backbone, knowing]))
    assert cases.right.tolist() == [[False, False, True, False], [True, False, False, True]]
    figure = figures.cases(cases, "F", "backbone")
    counts = {trace.y[0]: trace.x[0] for trace in figure.data if trace.type == "bar"}
    assert counts == {"fixed": 2, "broken": 1, "both right": 0, "both wrong": 1} and set(counts) == set(KINDS)
    moved = next(trace for trace in figure.data if trace.type == "box" and trace.line.color == figures.CASES["fixed"])
    assert sorted(moved.x) == [1.0, 3.0] and "<b>" not in moved.text[0]


def test_each_model_has_one_colour_of_its_own():
    from kadapter.report import look

    assert list(look.COLOURS) == list(rendering.ORDER) == list(look.SYMBOLS)
    assert len(set(look.COLOURS.values())) == len(look.COLOURS)
    assert look.colour("mine") == look.colour("mine") not in look.COLOURS.values()


def _without(key: str):
    def change(folder: Path) -> None:
        data = json.loads((folder / "result.json").read_text())
        del data[key]
        (folder / "result.json").write_text(json.dumps(data))

    return change


def _with(key: str, value):
    def change(folder: Path) -> None:
        data = json.loads((folder / "result.json").read_text())
        (folder / "result.json").write_text(json.dumps(data | {key: value}))

    return change


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda folder: (folder / "counts.npz").unlink(), r"counts\.npz is missing or damaged"),
        (lambda folder: (folder / "counts.npz").write_bytes(b"PK not a zip"), r"counts\.npz is missing or damaged"),
        (lambda folder: np.savez(folder / "counts.npz", counts=np.ones((5, 2))), r"counts of shape \(5, 2\); expected"),
        (lambda folder: np.savez(folder / "counts.npz", other=np.ones(5)), r"counts\.npz is missing or damaged"),
        (_without("metric"), "has no 'metric': expected task"),
        (_with("metric", {"name": "acuracy"}), "unknown metric 'acuracy': did you mean 'accuracy'"),
        (_with("regime", "frozzen"), "unknown regime in finetune/a 'frozzen': did you mean 'frozen'"),
        (_with("seeds", [0, 1]), r"counts of shape \(1, 5, 2\); expected \(seeds, n, k\) with the 2 seeds"),
    ],
)
def test_a_broken_run_is_named(tmp_path, spoil, message):
    row = {"task": "t", "dataset": "d", "regime": "frozen", "model": "F"}
    spoil(write_run(tmp_path, "a", row, {"name": "accuracy"}, np.ones((1, 5, 2))))
    with pytest.raises(KAdapterError, match=message):
        report.rows(tmp_path, "synthetic")


def test_runs_on_other_examples_are_not_compared(tmp_path):
    row = {"task": "t", "dataset": "d", "regime": "frozen"}
    write_run(tmp_path, "a", row | {"model": "backbone"}, {"name": "accuracy"}, np.ones((1, 5, 2)))
    write_run(tmp_path, "b", row | {"model": "F"}, {"name": "accuracy"}, np.ones((1, 6, 2)))
    with pytest.raises(KAdapterError, match="finetune/b and finetune/a cannot be compared: .* examples 6 and 5"):
        report.comparisons(tmp_path, "synthetic")


def test_published_file_is_whole():
    """Every row has a score for each metric of its dataset, and names one of our rows or none."""
    data = yaml.safe_load((Path(report.__file__).parent / "published.yaml").read_text(encoding="utf-8"))
    assert set(data) == {"open_entity", "figer", "tacred", "cosmosqa", "searchqa", "quasart", "lama"}
    for entry in data.values():
        for row in entry["rows"]:
            assert len(row["scores"]) == len(entry["metrics"])
            assert row.get("ours", "none") in rendering.ORDER
