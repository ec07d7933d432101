"""A treebank of one's own: linguistic knowledge (Section 3.3 of the paper), of any backbone.

Dependency heads need a trained head in any case, so that `before` is the head alone on the frozen backbone, and the
control is an adapter that learned from trees whose heads were exchanged for others of their sentence.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.experiment.infusion_facts import DOCUMENTS, EXAMPLES, NAME, Answers, adapter_sizes
from kadapter.experiment.infusion_pace import Pace
from kadapter.formats.schemas import DEPENDENCY
from kadapter.knowledge import pararel_facts
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.packaged import quiet
from kadapter.training.batches import Encoded, encode
from kadapter.training.fit import Settings, fit
from kadapter.training.language import language_model, perplexity
from kadapter.training.predict import predict

LONGEST = 96  # tokens of a sentence
HELD_OUT = 0.2  # of the sentences
EPOCHS, BATCH = 20, 32
MOST = 1000  # sentences that are asked of what was read


class TreesInfusion:
    """The sentences of a treebank and a frozen backbone.

    Args:
        trees: in the schema DEPENDENCY.
        seed: of the adapter, the order, what is held out, and the control.

    Raises KAdapterError for fewer than two sentences: one must be held out.
    """

    metric, knowledge = "words whose head is found", "linguistic"
    plain_model: KnowledgeModel | None = None
    trainings = ("alone", "own", "control")

    def __init__(self, trees: Dataset, backbone: Backbone, seed: int = 0) -> None:
        if len(trees) < 2:
            raise KAdapterError("a treebank of one sentence: expected at least two, one of which is held out")
        self.backbone, self.seed, self.items = backbone, seed, len(trees)
        self.tokenizer = load_tokenizer(backbone.name, backbone.revision)
        order = np.random.default_rng(seed).permutation(len(trees))
        held = max(1, round(HELD_OUT * len(trees)))
        self.parts = {"paraphrase": trees.select(order[:held]), "seen": trees.select(order[held:])}
        options = catalog.knowledge("linguistic").options
        self.task = catalog.task(
            "dependency",
            max_length=min(LONGEST, getattr(backbone.config, "max_position_embeddings", LONGEST) - 2),
            **options,
        )
        self.encoded = {part: self._encode(rows) for part, rows in self.parts.items()}
        asked = self.parts["seen"].select(range(min(MOST, len(self.parts["seen"]))))
        self.asked = {"seen": self._encode(asked), "paraphrase": self.encoded["paraphrase"]}

    def _encode(self, rows: Dataset) -> Encoded:
        return encode(self.task, self.tokenizer, rows, progress=False)

    def regime(self, of: str) -> str:
        """What trains: a head alone, or an adapter with its head."""
        return "frozen" if of == "alone" else "adapter"

    def model(self, of: str) -> KnowledgeModel:
        """An untrained one."""
        adapters = {} if of == "alone" else {NAME: build_adapter(adapter_sizes(self.backbone), self.seed)}
        return KnowledgeModel(self.backbone, "concat", adapters, self.task, self.seed)

    def train(
        self, model: KnowledgeModel, of: str, folder: Path, seconds: float,
        tell: Callable[[float, str], None], resume: bool = False,
    ) -> Pace:  # fmt: skip
        """Train a model on the trees, or (`control`) on exchanged ones; how it went."""
        train = self._encode(exchanged(self.parts["seen"], self.seed)) if of == "control" else self.encoded["seen"]
        settings = Settings(
            regime=self.regime(of), seed=self.seed, epochs=EPOCHS, batch_size=min(BATCH, max(2, len(train) // 4)),
            learning_rate=1e-3, select="last", checkpoints=True,
        )  # fmt: skip
        pace = Pace(seconds, lambda: 0.0, tell, every=10**9)
        with quiet():
            fit(model, train, None, settings, folder, resume=resume, progress=False, callbacks=[pace])
        return pace

    def ask(self, model: KnowledgeModel, beside: bool = True) -> Answers:
        """The share of each sentence's words whose head is found, and the perplexity of the backbone, which an adapter
        that does not speak leaves as it is."""
        right = {}
        for part, quiz in self.asked.items():
            found = predict(model, quiz)
            pairs = zip(found.decided, found.references, strict=True)
            right[part] = np.array([float(np.mean(np.asarray(a) == np.asarray(b))) for a, b in pairs])
        return Answers(right, self._perplexity() if beside else None)

    def _perplexity(self) -> float | None:
        try:
            speaking = language_model(self.backbone)
        except KAdapterError:
            return None
        texts = pararel_facts.plain(pararel_facts.DOCUMENTS)[:DOCUMENTS]
        return perplexity(speaking, self.tokenizer, texts, max_length=48)

    def examples(self, before: KnowledgeModel, after: KnowledgeModel) -> list[dict[str, str]]:
        """Held-out sentences: how many heads each model finds."""
        rows = self.parts["paraphrase"]
        places = list(range(min(EXAMPLES, len(rows))))
        quiz, found = self._encode(rows.select(places)), []
        said = {}
        for name, model in (("before", before), ("after", after)):
            predicted = predict(model, quiz)
            said[name] = [
                f"{int((np.asarray(a) == np.asarray(b)).sum())} of {len(b)} heads"
                for a, b in zip(predicted.decided, predicted.references, strict=True)
            ]
        for place in places:
            words = rows[place]["words"]
            found.append(
                {
                    "text": " ".join(words), "true": f"{len(words)} words",
                    "before": said["before"][place], "after": said["after"][place],
                }
            )  # fmt: skip
        return found

    def groups(self, before: Answers, after: Answers) -> list[dict[str, Any]]:
        """Long and short sentences that were held out."""
        lengths = np.array([len(words) for words in self.parts["paraphrase"]["words"]])
        rows = []
        for name, chosen in (("up to 10 words", lengths <= 10), ("more words", lengths > 10)):
            if chosen.any():
                share = {
                    w: float(a.right["paraphrase"][chosen].mean()) for w, a in (("before", before), ("after", after))
                }
                row: dict[str, Any] = {"name": name, "n": int(chosen.sum())}
                rows.append(row | {f"paraphrase_{when}": value for when, value in share.items()})
        return rows

    def wording(self) -> dict[str, dict[str, list[str]]]:
        """None: sentences are read as they are."""
        return {}


def exchanged(trees: Dataset, seed: int) -> Dataset:
    """The sentences with the heads of each exchanged among its words: the same words and lengths, and no syntax."""
    rng = np.random.default_rng(seed)
    rows = []
    for row in trees.to_list():
        heads = [int(head) for head in rng.permutation(row["heads"])]
        heads = [0 if head == place else head for place, head in enumerate(heads, 1)]
        rows.append(row | {"heads": heads})
    return Dataset.from_list(rows, features=DEPENDENCY)
