"""Makes the folders beside this file, with the code of the commit before `kadapter/` became wings (4fce1ac):

    git worktree add /tmp/former 4fce1ac
    python tests/former/make.py /tmp/former

Everything is as small as it can be: a BERT of 2 layers and width 8 that knows a few words, 24 training sentences. A
preset is run from its beginning to its report; `expected.json` then holds what that code made of what it had saved:
outputs of adapter and models, the rows that `kadapter results` prints and those of the report.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ELSEWHERE = "/home/someone"  # stands in the runs where their absolute folder stood
WORDS = "arbon brill coxon dunes likes hates knows leads they often saw there very much . @ # a b".split()
IDS = [[2, 5, 9, 6, 18, 3], [2, 13, 15, 7, 16, 3]]  # two sentences, for which the outputs are kept
PRESET = """\
name: tiny
about: As small as a whole experiment can be, run by the code of a former version
backbone: backbone

data: {path: raw}

datasets:
  facts: {format: trex_rc, train: facts.json, dev: facts.json}
  mentions: {format: entity_typing, labels: all, train: mentions.json, dev: mentions.json, test: mentions.json}

knowledge:
  F:
    knowledge: factual
    dataset: facts
    task_options: {pooling: mean}
    adapter: {plug_layers: [0, 1], width: 4, layers: 1, heads: 2, inner: 8, dropout: 0.0, init_std: 0.2}
    training: {epochs: 2, batch_size: 8, learning_rate: 1.0e-2, max_length: 16, bf16: false}

tasks:
  typing:
    task: typing
    dataset: mentions
    task_options: {pooling: mean}
    regimes: [frozen, paper]
    training: {epochs: 4, batch_size: 8, learning_rate: 2.0e-2, max_length: 16, bf16: false}

models: [backbone, F]
seeds: [0, 1]
"""


def backbone(folder: Path) -> None:
    """A random BERT with a tokenizer of its own."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=24, initializer_range=0.5, **sizes)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)


def raw(folder: Path) -> None:
    """Sentences whose verb is the relation, and mentions whose name decides the types, in published formats."""
    folder.mkdir()
    names, verbs = ("Arbon", "Brill", "Coxon", "Dunes"), ("likes", "hates", "knows", "leads")
    facts, mentions = [], []
    for i in range(24):
        subject, verb, thing = names[i % 4], verbs[i // 4 % 4], names[(i + 1 + i // 8) % 4]
        tokens = [subject, verb, thing, *["very"] * (i % 3), "much", "."]
        places = {"subj_start": 0, "subj_end": 0, "obj_start": 2, "obj_end": 2, "subj_label": "", "obj_label": ""}
        facts.append({"docid": str(i), "token": tokens, "relation": verb, **places})
        text = f"They {'often ' * (i % 3)}saw {subject} there ."
        labels = (["person"], ["place"], ["person", "artist"], [])[i % 4]
        start = text.index(subject)
        mentions.append({"sent": text, "start": start, "end": start + len(subject), "labels": labels, "ents": []})
    (folder / "facts.json").write_text(json.dumps(facts))
    (folder / "mentions.json").write_text(json.dumps(mentions))


def expected() -> dict:
    """What the former code makes of the folders that it has saved."""
    import torch
    from kadapter.artifact import load_adapter
    from kadapter.backbone import Backbone

    from kadapter import report, runs
    from kadapter.model import KnowledgeModel

    frozen = Backbone("backbone")
    ids = torch.tensor(IDS)
    adapter = load_adapter("runs/tiny/pretrain/F/adapter", frozen)
    plugs = list(adapter.config.plug_layers)
    found: dict = {"fingerprint": frozen.fingerprint, "runs": [r.id for r in runs.find("runs", "tiny")]}
    with torch.no_grad():
        states = frozen.hidden_states(ids, torch.ones_like(ids), points=plugs)
        found["adapter"] = adapter([states[i] for i in range(len(plugs))], torch.ones_like(ids)).tolist()
        spans = torch.tensor([[[1, 2]], [[2, 4]]])
        for folder in sorted(Path("runs/tiny/finetune").iterdir()):
            model = KnowledgeModel.from_pretrained(folder / "model")
            found.setdefault("logits", {})[folder.name] = model(ids, spans=spans).logits.tolist()
        model = KnowledgeModel.from_adapter("runs/tiny/pretrain/F/adapter")
        found["pretraining"] = model(ids, spans=torch.tensor([[[1, 2], [3, 4]], [[1, 2], [3, 4]]])).logits.tolist()
    for name in ("rows", "comparisons", "table", "seed_scores", "by_slice", "by_label"):
        rows = getattr(report, name)("runs", "tiny")
        rows = rows if isinstance(rows, list) else json.loads(rows.to_json(orient="records", double_precision=15))
        found.setdefault("report", {})[name] = rows
    return found


def make(tree: Path) -> None:
    """All folders, from the worktree of the former commit."""
    environment = os.environ | {"PYTHONPATH": str(tree), "HF_HUB_OFFLINE": "1"}
    command = ("-c", "from kadapter.cli import main; main()")

    def again(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout

    for name in ("backbone", "raw", "runs"):
        shutil.rmtree(HERE / name, ignore_errors=True)
    os.chdir(HERE)
    backbone(HERE / "backbone")
    raw(HERE / "raw")
    Path("tiny.yaml").write_text(PRESET)
    again(*command, "run", "tiny.yaml", "--jobs", "1")
    shutil.rmtree("runs/tiny/report")
    printed = json.loads(again(*command, "results", "tiny.yaml", "--json"))
    found = json.loads(again(str(HERE / "make.py"), "expected")) | {"results": printed}
    Path("expected.json").write_text(json.dumps(found) + "\n")
    for path in Path("runs").rglob("*.ipynb"):  # pictures are not what is kept here
        subprocess.run([sys.executable, "-m", "nbstripout", "--keep-id", str(path)], check=True)
    for path in [*Path("runs").rglob("*.json"), *Path("runs").rglob("*.ipynb")]:  # this folder may lie anywhere
        text = path.read_text(encoding="utf-8").replace(str(HERE), ELSEWHERE).replace(str(tree), ELSEWHERE)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1] == "expected":
        print(json.dumps(expected()))
    else:
        make(Path(sys.argv[1]).resolve())
