"""The model card of a saved adapter, written from what its training run recorded."""

import json

CITATION = """@inproceedings{wang2021kadapter,
  title     = {{K-Adapter}: Infusing Knowledge into Pre-Trained Models with Adapters},
  author    = {Wang, Ruize and Tang, Duyu and Duan, Nan and Wei, Zhongyu and Huang, Xuanjing and Ji, Jianshu and Cao,
  Guihong
               and Jiang, Daxin and Zhou, Ming},
  booktitle = {Findings of the Association for Computational Linguistics: ACL-IJCNLP 2021},
  year      = {2021}
}"""


def write(config: dict, parameters: int) -> str:
    """Hugging Face model card (Markdown with YAML metadata) for an `adapter_config.json`.

    Args:
        config: the contents of `adapter_config.json`.
        parameters: number of weights of the adapter.
    """
    adapter, backbone, trained = config["adapter"], config["backbone"], config["trained_on"]
    knowledge = trained.get("knowledge", "none")
    base = "sentence-transformers/all-MiniLM-L6-v2" if backbone["name"] == "minilm" else backbone["name"]
    lines = ["---", "library_name: kadapter", f"base_model: {json.dumps(base)}"]
    lines += ["tags:", "- k-adapter", f"- knowledge-{knowledge}", "---", ""]
    lines += [f"# Knowledge adapter: {trained.get('name', knowledge)}", ""]
    lines += [
        f"A K-Adapter (Wang et al., 2021) for the frozen backbone `{backbone['name']}`: {parameters:,} parameters beside the model, "
        f"fed from hidden states {adapter['plug_layers']}.",
        "",
        f"- backbone fingerprint (SHA-256 of its weights): `{backbone['fingerprint']}`",
        f"- sizes: {len(adapter['plug_layers'])} adapter layers of {adapter['layers']} transformer layers, width {adapter['width']}, "
        f"inner {adapter['inner']}, {adapter['heads']} heads, combine `{adapter['combine']}`",
        "",
        "## Trained on",
        "",
    ]
    if not trained:
        lines += ["Nothing: its weights are the initial ones."]
    for key, value in trained.items():
        lines.append(f"- {key.replace('_', ' ')}: {json.dumps(value) if isinstance(value, dict | list) else value}")
    lines += [
        "",
        "## Use",
        "",
        "```python",
        "from kadapter import Backbone, KnowledgeModel",
        "",
        f"model = KnowledgeModel(Backbone({backbone['name']!r}))",
        f"model.plug({trained.get('name', knowledge)!r}, 'path/to/this/folder')",
        "```",
        "",
        "## Citation",
        "",
        "```bibtex",
        CITATION,
        "```",
        "",
    ]
    return "\n".join(lines)
