"""The model card of a saved adapter: Hugging Face Hub metadata and text, from what its training run recorded."""

import json
import re
from collections.abc import Iterator

from huggingface_hub import EvalResult, ModelCardData

from kadapter import catalog

CITATION = """@inproceedings{wang2021kadapter,
  title     = {{K-Adapter}: Infusing Knowledge into Pre-Trained Models with Adapters},
  author    = {Wang, Ruize and Tang, Duyu and Duan, Nan and Wei, Zhongyu and Huang, Xuanjing and Ji, Jianshu and Cao,
               Guihong and Jiang, Daxin and Zhou, Ming},
  booktitle = {Findings of the Association for Computational Linguistics: ACL-IJCNLP 2021},
  year      = {2021}
}"""
HUB_NAMES = {
    "minilm": "sentence-transformers/all-MiniLM-L6-v2",
    "smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct",
}  # our names that the Hub knows under another
HUB_TASKS = {"dependency": "token-classification", "relation": "text-classification", "typing": "text-classification"}
LICENSE = "mit"  # of an adapter whose training records no other

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def write(config: dict, parameters: int) -> str:
    """Hugging Face model card (Markdown with YAML metadata) for an `adapter_config.json`.

    Args:
        config: the contents of `adapter_config.json`. Of `trained_on`, `name`, `knowledge`, `dataset`, `license` and
            every `*_scores` have a place of their own (a score is a fraction, or what
            `kadapter.scoring.statistics.interval` returns); the rest is listed as it is.
        parameters: number of weights of the adapter.
    """
    return "\n".join(["---", metadata(config).to_yaml(), "---", "", *_text(config, parameters)])


def metadata(config: dict) -> ModelCardData:
    """What the Hub reads of an adapter: licence, base model, tags, data and scores."""
    backbone, trained = config["backbone"], config["trained_on"]
    knowledge, dataset = trained.get("knowledge"), trained.get("dataset")
    results = [
        EvalResult(
            task_type=_hub_task(config),
            dataset_type=str(dataset or "unknown"),
            dataset_name=str(dataset or "unknown"),
            dataset_split=split,
            metric_type=metric,
            metric_value=value,
        )
        for split, metric, value, _ in _scores(trained)
    ]
    return ModelCardData(
        license=trained.get("license", LICENSE),
        library_name="kadapter",
        base_model=base_model(backbone["name"]),
        tags=["k-adapter", "adapter", *([f"knowledge-{knowledge}"] if knowledge else [])],
        datasets=[dataset] if dataset and _HUB_ID.fullmatch(dataset) else None,
        metrics=sorted({r.metric_type for r in results}) or None,
        model_name=_title(config) if results else None,
        eval_results=results or None,
    )


def _hub_task(config: dict) -> str:
    kind = catalog.KNOWLEDGE.get(config["trained_on"].get("knowledge"))
    task = config["head"]["task"] if "head" in config else kind.task if kind else None
    return HUB_TASKS.get(task or "", "feature-extraction")


def _title(config: dict) -> str:
    trained = config["trained_on"]
    return str(trained.get("name") or trained.get("knowledge") or "without knowledge")


def _scores(trained: dict) -> Iterator[tuple[str, str, float, str]]:
    """(split, metric, fraction, interval in words) of every recorded score."""
    for key, scores in trained.items():
        if key.endswith("_scores"):
            for metric, score in scores.items():
                if isinstance(score, dict):
                    between = f"{score['ci_low']:.4f} .. {score['ci_high']:.4f}"
                    yield key.removesuffix("_scores"), metric, score["mean"], between
                else:
                    yield key.removesuffix("_scores"), metric, score, "-"


def _text(config: dict, parameters: int) -> list[str]:
    adapter, backbone, trained = config["adapter"], config["backbone"], config["trained_on"]
    plugs = adapter["plug_layers"]
    name = str(trained.get("name") or trained.get("knowledge") or "adapter").replace(".", "-")
    revision = f", {backbone['revision']!r}" if backbone.get("revision") else ""
    lines = [
        f"# Knowledge adapter: {_title(config)}",
        "",
        f"A K-Adapter (Wang et al., 2021) for the frozen backbone `{backbone['name']}`: {parameters:,} parameters "
        f"beside the model, fed from hidden states {plugs}. The backbone is unchanged and not part of this package.",
        "",
        f"- backbone: `{backbone['name']}`, revision {backbone.get('revision') or 'not pinned'}",
        f"- backbone fingerprint (SHA-256 of its weights): `{backbone.get('fingerprint') or 'not recorded'}`",
        f"- sizes: {len(plugs)} adapter layers of {adapter['layers']} transformer layers, width {adapter['width']}, "
        f"inner {adapter['inner']}, {adapter['heads']} heads, combine `{adapter['combine']}`, "
        f"padding {'masked' if adapter['mask_padding'] else 'attended to (as the official code does)'}",
        "",
        "## Trained on",
        "",
    ]
    lines += told(trained, "Nothing: its weights are the initial ones.")
    lines += [
        "",
        "## Use",
        "",
        "```python",
        "from kadapter import Backbone, KnowledgeModel",
        "",
        f"model = KnowledgeModel(Backbone({backbone['name']!r}{revision}))",
        f"model.plug({name!r}, 'path/to/this/folder')  # or this repository's id",
        "```",
        "",
    ]
    if "head" in config:
        lines += [
            f"Its pre-training head ({config['head']['task']}) is kept; the model that it was pre-trained in is",
            "",
            "```python",
            "model = KnowledgeModel.from_adapter('path/to/this/folder')",
            "```",
            "",
        ]
    return [*lines, "## Citation", "", "```bibtex", CITATION, "```", ""]


def told(trained: dict, nothing: str) -> list[str]:
    """What something was trained on as lines of Markdown: a list of facts, and a table of every `*_scores`; `nothing`
    where there are none."""
    scores = list(_scores(trained))
    lines = [] if trained else [nothing]
    for key, value in trained.items():
        if key.endswith("_scores"):
            continue
        if isinstance(value, dict):
            lines.append(f"- {key.replace('_', ' ')}:")
            lines += [f"  - {inner.replace('_', ' ')}: {_plain(v)}" for inner, v in value.items()]
        else:
            lines.append(f"- {key.replace('_', ' ')}: {_plain(value)}")
    if scores:
        lines += ["", "## Scores", "", "| split | metric | value | 95% interval |", "|---|---|---|---|"]
        lines += [f"| {split} | {metric} | {value:.4f} | {between} |" for split, metric, value, between in scores]
    return lines


def base_model(name: str) -> str | None:
    """What the Hub calls a backbone; None for a folder of one machine, which says nothing to others."""
    base = HUB_NAMES.get(name, name)
    return base if _HUB_ID.fullmatch(base) else None


def _plain(value: object) -> str:
    return json.dumps(value) if isinstance(value, list | dict | bool) or value is None else str(value)
