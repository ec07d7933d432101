"""The preset probe in small: a tiny random language model with SmolLM2's tokens, an adapter that reads a few facts."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from kadapter import runs
from kadapter.errors import KAdapterError
from kadapter.experiment import prepared, preset
from kadapter.experiment.graph import graph, pretrainings
from kadapter.experiment.probing_stages import Probing
from kadapter.experiment.stages import Pretraining
from kadapter.knowledge import pararel_facts
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.probing import kept
from kadapter.probing.leak import NEVER, NOT_READ, READ
from kadapter.report import facts, report
from kadapter.scoring.metrics import get
from kadapter.training.language import language_model, perplexity, token_log_probabilities
from widgets import CaseStudy

SIZES = {"plug_layers": [0, 1], "width": 16, "layers": 1, "heads": 1, "inner": 16, "init_std": 0.02}
SMALL = ("data.facts={relations: 2, per_relation: 3, keep: 8}", "probe.seeds=[0, 3]")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    tokenizer = load_tokenizer("smollm2")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, tie_word_embeddings=True, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape) * 0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def asked(tmp_path_factory, backbone):
    """The stage after it has asked, and its run."""
    root = tmp_path_factory.mktemp("runs")
    p = preset.load("probe", SMALL)
    data = root / "probe" / "data" / "all"
    prepared.prepare(data, p["datasets"], p["data"], preset.roles(p), p["overlap"])
    adapters: dict[str, list] = {"F": [], "shuffled": []}
    for name, folders in adapters.items():
        for run_name, seed in pretrainings(p, name).items():
            entry = p["knowledge"][name]
            stage = Pretraining(
                name=run_name, data=prepared.Data(data), dataset=entry["dataset"], knowledge="facts", backbone=backbone,
                adapter=SIZES, fusion="residual", seed=seed, task_options={"sampled": 64},
                training={"epochs": 2, "batch_tokens": 256, "gradient_accumulation": 2, "learning_rate": 0.02},
            )  # fmt: skip
            run = runs.begin(root / "probe" / "pretrain" / run_name, stage="pretrain", name=run_name, parameters={})
            stage.fit(run.folder, progress=False)
            folders.append(stage.finish(run, stage.predict()))
    stage = Probing(
        data=prepared.Data(data), datasets=p["probe"]["datasets"], text="facts", backbone=backbone, seeds=[0, 3],
        models=["backbone", "none", "shuffled", "F"], adapters=adapters, none_adapter=SIZES,
    )  # fmt: skip
    stage.run(progress=False)
    run = runs.begin(root / "probe" / "probe" / "all", stage="probe", name="all", parameters={"backbone": backbone})
    stage.finish(run)
    return stage, root, adapters


def test_the_preset_pre_trains_every_adapter_three_times_and_asks_all_models_at_once(monkeypatch):
    monkeypatch.delenv("KADAPTER_DATA", raising=False)  # with it LAMA is asked for, too
    stages = {stage.id: stage for stage in graph(preset.load("probe"))}
    pretrained = [f"pretrain/{name}" for name in ("F", "F-1", "F-2", "shuffled", "shuffled-1", "shuffled-2")]
    assert list(stages) == ["data/all", *pretrained, "probe/all", "cases/probe", "report/all"]
    assert [stages[name].parameters["seed"] for name in pretrained] == [0, 1, 2, 0, 1, 2]
    assert set(stages["probe/all"].needs) == {"data/all", *pretrained}


def test_every_task_has_its_rows_and_what_no_pre_training_changes_is_the_backbone_to_the_bit(asked):
    stage, _, _ = asked
    rows = stage.rows()
    assert set(rows["seed"]) == {0, 3}
    for task in stage.datasets:
        models = {"backbone", "none", "shuffled", "F"} | (set() if task.startswith("perplexity") else {"majority"})
        assert set(rows[rows["task"] == task]["model"]) == models
        assert np.array_equal(stage.counts[task, "none"], stage.counts[task, "backbone"])
        assert not np.array_equal(stage.counts["perplexity", "F"], stage.counts["perplexity", "backbone"])


def test_ranks_and_perplexity_are_those_of_the_model_by_itself(asked, backbone):
    stage, _, adapters = asked
    tokenizer = load_tokenizer(backbone)
    for name, model in (
        ("backbone", language_model(Backbone(backbone))),
        ("F", language_model(Backbone(backbone), {"F": adapters["F"][1] / "adapter"})),
    ):
        asked_for = stage.asked["facts_paraphrase"]
        log = token_log_probabilities(model, tokenizer, asked_for["text"], list(stage.words.values()))
        right = [list(stage.words).index(answer) for answer in asked_for["answer"]]
        ranks = 1 + (log > log[np.arange(len(log)), right][:, None]).sum(1)
        assert np.array_equal(stage.ranks["facts_paraphrase", name][1], ranks)
        total = stage.counts["perplexity", name][1].sum(axis=0)
        expected = perplexity(model, tokenizer, stage.asked["perplexity"]["text"])
        assert get("perplexity").reduce(total)["perplexity"] == pytest.approx(expected, rel=1e-5)


def test_majority_is_the_most_frequent_object_of_the_text(asked):
    stage, _, _ = asked
    unseen = stage.asked["facts_unseen"].to_pandas()
    read = stage.read.to_pandas().groupby("relation")["answer"].agg(lambda a: sorted(a.mode())[0])
    right = (unseen["answer"] == unseen["relation"].map(read)).groupby(unseen["relation"]).mean().mean()
    rows = stage.rows()
    row = rows[(rows["task"] == "facts_unseen") & (rows["model"] == "majority")]
    assert row["score"].tolist() == pytest.approx([right, right])


def test_the_leak_table_counts_every_probed_fact(asked):
    stage, root, _ = asked
    kinds = {row["task"]: row["kind"] for row in stage.leak().to_dict("records")}
    assert kinds == {
        "facts_seen": READ, "facts_paraphrase": READ, "facts_unseen": NOT_READ, "relations_untrained": NEVER,
    }  # fmt: skip
    assert stage.leak()["n"].sum() == sum(len(stage.asked[task]) for task in kinds)
    assert len(pd.read_csv(root / "probe" / "probe" / "all" / "leak.csv")) == 4


def test_each_relation_is_scored_by_itself_and_their_mean_is_the_score(asked):
    stage, root, _ = asked
    table = pd.read_csv(root / "probe" / "probe" / "all" / "relations.csv")
    means = table.groupby(["task", "model"])["P@1"].mean()
    rows = stage.rows()
    for (task, model), mean in means.items():
        assert mean == pytest.approx(rows[(rows["task"] == task) & (rows["model"] == model)]["score"].mean())
    of = table[(table["task"] == "facts_seen") & (table["model"] == "F")]
    asked_for = stage.asked["facts_seen"].to_pandas()
    for row in of.itertuples():
        inside = (asked_for["relation"] == row.relation).to_numpy()
        assert row.n == inside.sum() and row.MRR == pytest.approx(
            (1 / stage.ranks["facts_seen", "F"][:, inside]).mean()
        )


def test_table_6_has_the_words_that_the_model_itself_says(asked, backbone):
    stage, root, _ = asked
    answers = kept.read_top(root / "probe" / "probe" / "all")
    assert set(answers) == {"backbone", "none", "shuffled", "F"}
    first = answers["backbone"].iloc[0]
    log = token_log_probabilities(
        language_model(Backbone(backbone)), load_tokenizer(backbone), [first["text"]], list(stage.words.values())
    )[0]
    assert first["top"] == [list(stage.words)[k] for k in np.argsort(-log)[:5]]
    table = facts.of_runs(runs.find(root, "probe")).table6
    assert set(table.columns) == {"text", "answer", "model", "rank", "word", "right"}
    assert table.empty or table.groupby(["text", "model"])["rank"].apply(list).map(lambda r: r == [1, 2, 3, 4, 5]).all()


def test_what_was_asked_is_a_case_study(asked):
    stage, root, _ = asked
    study = CaseStudy.from_runs([root / "probe" / "probe" / "all"])
    cases = study.cases
    assert cases.models == stage.models and len(cases) == sum(len(stage.asked[name]) for name in stage._of_facts)
    for at, model in enumerate(cases.models):
        first = np.concatenate([stage.ranks[name, model][0] == 1 for name in stage._of_facts])
        assert (cases.right[at] == first).mean() > 0.99  # ties of float16
    case = cases[0]
    assert case.text.count("[MASK]") == 1 and case.marked().startswith("[")
    assert study.live not in study._body.children and "fixed" in study.picture()


def test_the_report_has_every_row_with_intervals_over_pre_trainings(asked, tmp_path):
    stage, root, _ = asked
    rows = report.rows(root, "probe")
    assert {(r["task"], r["model"]) for r in rows} == set(stage.counts)
    assert all(row["seeds"] == 2 and row["ci_low"] <= row["mean"] <= row["ci_high"] for row in rows)
    json.dumps(rows)
    compared = report.comparisons(root, "probe")
    pairs = {(r["model"], r["against"]) for r in compared.to_dict("records")}
    assert {("F", "shuffled"), ("F", "none"), ("F", "backbone"), ("shuffled", "backbone")} <= pairs
    page = report.write_html(root, "probe", tmp_path / "report.html").read_text(encoding="utf-8")
    assert "facts_paraphrase" in page and "the most frequent object" in page
    mean = next(r["mean"] for r in rows if r["task"] == "perplexity" and r["model"] == "backbone")
    assert f"<td>{mean:.1f}" in page or f">{mean:.1f}<" in page  # as it is, not in percent


def test_what_cannot_be_asked_is_told(asked, backbone):
    stage, _, adapters = asked
    named = {"data": stage.data, "datasets": ["facts_seen"], "text": "facts", "backbone": backbone}
    with pytest.raises(KAdapterError, match="unknown model 'G'"):
        Probing(**named, models=["G"], adapters=adapters, seeds=[0, 3], none_adapter=SIZES)
    with pytest.raises(KAdapterError, match="'F' has 2 pre-trainings for 1 seeds"):
        Probing(**named, models=["F"], adapters=adapters, seeds=[0], none_adapter=SIZES)
    with pytest.raises(KAdapterError, match="probe: the key 'datasets' is missing"):
        preset.load("probe", ["probe={seeds: [0]}"])
    with pytest.raises(KAdapterError, match="probe.datasets needs the split test of dataset 'facts'"):
        preset.load("probe", ["probe.datasets=[facts]"])


def test_the_words_are_named_and_sized_beside_the_scores(asked):
    words = runs.load(asked[1] / "probe" / "probe" / "all").words
    assert words["size"] == len(pararel_facts.words()) == 1531 and words["usable"] == 1357
