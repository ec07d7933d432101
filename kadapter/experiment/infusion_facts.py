"""Facts of one's own into a language model: what is read, what is asked before and after, and the control."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.experiment.infusion_pace import Pace
from kadapter.formats.lama import MASK
from kadapter.knowledge import pararel_facts
from kadapter.knowledge.facts import Fact, fill, in_words, plain
from kadapter.knowledge.wording import Ways
from kadapter.machine.device import best_device
from kadapter.model.adapter import AdapterConfig, build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.language_head import language_kind
from kadapter.model.packaged import quiet
from kadapter.probing.completions import ENDS, complete, first_sentence
from kadapter.tasks.prompts import word_ids
from kadapter.training.batches import Encoded, encode
from kadapter.training.fit import Settings, attach_store, computes_bf16, fit
from kadapter.training.language import language_model, perplexity, read_on, token_log_probabilities
from kadapter.training.predict import predict

Tell = Callable[[float, str], None]
NAME = "own"
LEARNING_RATE = 1e-3
STEPS = 120  # optimiser steps, where time allows
BATCH_TOKENS = 512  # of facts, and as many of plain text
KEPT = 120  # plain texts beside the facts
OTHERS = 1  # other subjects in each trained sentence, of whom nothing is to change
DOCUMENTS, ENTITIES, PROBES = 10, 10, 40  # texts and questions that tell what was not touched
LONGEST = 64  # tokens of a sentence
EXAMPLES = 10


@dataclass
class Answers:
    """What a model said to all questions.

    Attributes:
        right: of each part of the questions, as they were read (`seen`) and as they never were (`paraphrase`), how far
            each is right: 0 or 1 of a fact, a share of a sentence's words.
        perplexity: of plain text; None where it cannot be measured.
        probes: the share of other real facts that are answered; None where none can be asked.
    """

    right: dict[str, np.ndarray]
    perplexity: float | None = None
    probes: float | None = None

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return vars(self) | {"right": {part: right.astype(float).tolist() for part, right in self.right.items()}}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Answers":
        """From what `plain` gave."""
        return cls(**{**plain, "right": {part: np.array(right) for part, right in plain["right"].items()}})


def control_of(facts: Sequence[Fact], seed: int) -> list[Fact] | None:
    """The facts with their objects exchanged so that none keeps its own: within a relation of at least four facts, the
    others among each other. What is trained on them knows the words, and no fact. None where nothing can be exchanged.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for place, fact in enumerate(facts):
        groups[fact.relation].append(place)
    parts = [places for places in groups.values() if len(places) >= 4]
    rest = [place for places in groups.values() if len(places) < 4 for place in places]
    rng, out = np.random.default_rng(seed), list(facts)
    for places in [*parts, rest]:
        turned = [int(place) for place in rng.permutation(places)] if places else []
        for place, other in zip(turned, turned[1:] + turned[:1], strict=True):
            out[place] = replace(facts[place], object=facts[other].object)
    return out if any(new.object != old.object for new, old in zip(out, facts, strict=True)) else None


class FactsInfusion:
    """Facts, how they are said, and a frozen language model.

    Args:
        facts: as read.
        ways: relation -> how it is said.
        backbone: a masked or causal language model.
        seed: of the adapter, the order and the control.

    Raises KAdapterError for a backbone that does not speak.
    """

    metric, knowledge = "facts answered", "facts"

    def __init__(self, facts: Sequence[Fact], ways: Mapping[str, Ways], backbone: Backbone, seed: int = 0) -> None:
        self.facts, self.ways, self.backbone, self.seed = list(facts), dict(ways), backbone, seed
        self.tokenizer = load_tokenizer(backbone.name, backbone.revision)
        kind = speaking_kind(backbone)
        options = catalog.knowledge("facts").options | {"reading": kind}
        self.task = catalog.task("cloze", max_length=LONGEST, **options)
        self.causal = kind == "causal"
        self.plain_model: KnowledgeModel | None = language_model(backbone)
        self.control = control_of(self.facts, seed)
        self.asked = {part: self._said(self.facts, part) for part in ("seen", "dev", "paraphrase")}
        self.quiz = {part: self._encoded(rows) for part, rows in self.asked.items()}
        self.probes = self._probes()

    @property
    def items(self) -> int:
        """Facts."""
        return len(self.facts)

    def _said(self, facts: Sequence[Fact], part: str) -> Dataset:
        chosen = {
            "trained": lambda w: w.trained, "seen": lambda w: w.trained[:1], "dev": lambda w: w.dev,
            "paraphrase": lambda w: w.asked,
        }[part]  # fmt: skip
        return in_words(facts, {relation: chosen(w) for relation, w in self.ways.items()})

    def _encoded(self, rows: Dataset) -> Encoded:
        return encode(self.task, self.tokenizer, rows, progress=False)

    def _probes(self) -> tuple[Dataset, list[int]] | None:
        """Real facts of other relations, and the tokens among which their answers are looked for."""
        words = word_ids(self.tokenizer, pararel_facts.words())
        subjects = {fact.subject for fact in self.facts}
        found = [
            fact
            for fact in pararel_facts.facts()
            if fact.set == pararel_facts.UNTRAINED and fact.object in words and fact.subject not in subjects
        ]
        found = found[:: max(1, len(found) // PROBES)][:PROBES]
        if not found:
            return None
        patterns = {name: (p.lama,) for name, p in pararel_facts.patterns().items()}
        return in_words(found, patterns), list(words.values())

    # --- what is read ---

    def rows(self, facts: Sequence[Fact]) -> Dataset:
        """The facts in their trained sentences, and plain text in which nothing is to change: the beginnings of these
        sentences, the same sentences about others, and what the model says by itself."""
        ended = facts
        if self.causal:  # the end of the sentence is learned, too, so that an answer has an end
            ended = [f if f.object[-1] in ENDS else replace(f, object=f"{f.object}.") for f in facts]
        told = self._said(ended, "trained")
        rng = np.random.default_rng(self.seed)
        others = [fact for fact in pararel_facts.facts() if fact.set == pararel_facts.UNSEEN]
        same, begins = [], []
        for relation, said in self.ways.items():
            objects = [fact.object for fact in facts if fact.relation == relation]
            for template in said.trained:
                for other in rng.choice(len(others), OTHERS, replace=False) if objects else ():
                    text = fill(template, others[int(other)].subject)
                    same.append(text.replace(MASK, str(rng.choice(objects))))
        if self.causal:
            begins = list(dict.fromkeys(text.split(MASK)[0].rstrip() for text in told["text"]))
            begins = begins[:: max(1, len(begins) // len(self.facts))]
        kept = pararel_facts.plain(pararel_facts.KEEP)
        kept = kept[:: max(1, len(kept) // KEPT)][:KEPT]
        return concatenate_datasets([told, plain(text for text in [*begins, *same, *kept] if MASK not in text)])

    # --- training ---

    @property
    def trainings(self) -> tuple[str, ...]:
        """What is trained, in this order."""
        return ("own", "control") if self.control is not None else ("own",)

    def regime(self, of: str) -> str:
        """What trains."""
        return "adapter"

    def model(self, of: str) -> KnowledgeModel:
        """The backbone with an untrained adapter beside it, that learns to speak."""
        adapter = build_adapter(adapter_sizes(self.backbone), self.seed)
        return KnowledgeModel(self.backbone, "residual", {NAME: adapter}, self.task, self.seed)

    def train(
        self, model: KnowledgeModel, of: str, folder: Path, seconds: float, tell: Tell, resume: bool = False
    ) -> Pace:
        """Train a model on the facts (`own`) or on the control; how it went.

        Args:
            folder: for checkpoints, one after every pass.
            seconds: at most.
            resume: go on from the last checkpoint.
        """
        facts = self.facts if of == "own" else self.control
        assert facts is not None
        train = self._encoded(self.rows(facts))
        settings = self._settings(train)
        bf16 = computes_bf16(settings, best_device())
        model.to(best_device())
        questions = attach_store(model, self._encoded(self._said(facts, "dev")), settings, bf16)
        pace = Pace(seconds, lambda: float(self._right(model, questions, facts, "dev", bf16).mean()), tell)
        with quiet():
            fit(model, train, None, settings, folder, resume=resume, progress=False, callbacks=[pace])
        return pace

    def _settings(self, train: Encoded) -> Settings:
        """Batches of about a third of the facts, where they are few, and as many passes as make `STEPS`."""
        of_facts = train.lengths[np.asarray(train.columns["plain"]) == 0]
        tokens = int(min(BATCH_TOKENS, max(64, of_facts.sum() // 3)))
        steps = len(train.batches(32, self.seed, tokens)) // 2
        return Settings(
            regime="adapter", seed=self.seed, epochs=max(6, -(-STEPS // steps)), batch_tokens=tokens,
            gradient_accumulation=2, learning_rate=LEARNING_RATE, select="last", checkpoints=True,
        )  # fmt: skip

    # --- asking ---

    def _right(
        self, model: KnowledgeModel, quiz: Encoded, facts: Sequence[Fact], part: str, bf16: bool = False
    ) -> np.ndarray:
        """(questions,) whether the most probable answer, decoded greedily, is a right one: that of the fact, or of
        another with the same subject and relation."""
        ranks = np.stack(predict(model, quiz, bf16=bf16).outputs)[:, 0] == 1
        same: dict[tuple[str, str, int], list[int]] = defaultdict(list)
        keys = [
            (fact.subject, fact.relation, way)
            for fact in facts
            for way in range(len(getattr(self.ways[fact.relation], {"paraphrase": "asked"}.get(part, part), (0,))))
            if part != "seen" or way == 0
        ]
        for place, key in enumerate(keys):
            same[key].append(place)
        return np.array([ranks[same[key]].any() for key in keys])

    def ask(self, model: KnowledgeModel, parts: Sequence[str] = ("seen", "paraphrase"), beside: bool = True) -> Answers:
        """Ask all questions.

        Args:
            beside: also what was not read: perplexity and probes.
        """
        right = {part: self._right(model, self.quiz[part], self.facts, part) for part in parts}
        if not beside:
            return Answers(right)
        texts = pararel_facts.plain(pararel_facts.DOCUMENTS)[:DOCUMENTS]
        texts += pararel_facts.plain(pararel_facts.ENTITIES)[:ENTITIES]
        return Answers(right, perplexity(model, self.tokenizer, texts, max_length=48), self._probed(model))

    def _probed(self, model: KnowledgeModel) -> float | None:
        if self.probes is None:
            return None
        rows, columns = self.probes
        log = token_log_probabilities(model, self.tokenizer, rows["text"], columns)
        words = word_ids(self.tokenizer, rows["answer"])
        right = [columns.index(words[answer]) for answer in rows["answer"]]
        return float((log.argmax(1) == right).mean())

    def examples(self, before: KnowledgeModel, after: KnowledgeModel) -> list[dict[str, str]]:
        """Paraphrases that stand for all, evenly from the file: text, true answer, what each model says."""
        rows = self.asked["paraphrase"]
        places = np.linspace(0, len(rows) - 1, min(EXAMPLES, len(rows))).round().astype(int).tolist()
        found = []
        for row in (rows[place] for place in places):
            said = {"before": self.said(before, row["text"]), "after": self.said(after, row["text"])}
            found.append({"text": row["text"], "true": row["answer"]} | said)
        return found

    def groups(self, before: Answers, after: Answers) -> list[dict[str, Any]]:
        """A row for each relation: how many facts, and the share that is answered before and after."""
        relations = [fact.relation for fact in self.facts]
        rows = []
        for name in dict.fromkeys(relations):
            row: dict[str, Any] = {"name": name, "n": relations.count(name)}
            for part in ("seen", "paraphrase"):
                chosen = [relation == name for relation in self.asked[part]["relation"]]
                row |= {f"{part}_before": float(before.right[part][chosen].mean())}
                row |= {f"{part}_after": float(after.right[part][chosen].mean())}
            rows.append(row)
        return rows

    def wording(self) -> dict[str, dict[str, list[str]]]:
        """Relation -> the sentences that were read and those that ask."""
        return {name: {"trained": list(w.trained), "asked": list(w.asked)} for name, w in self.ways.items()}

    def said(self, model: KnowledgeModel, text: str) -> str:
        """What a model says where a text has [MASK]: its most probable word, read on as far as the longest object."""
        found = complete(model, self.tokenizer, text, k=1)
        if not self.causal:
            return found.words[0]
        longest = max(len(self.tokenizer(fact.object)["input_ids"]) for fact in self.facts)
        [tokens] = read_on(model, self.tokenizer, text, found.tokens, min(longest, 12))
        return first_sentence(str(self.tokenizer.decode(tokens)))


def adapter_sizes(backbone: Backbone) -> AdapterConfig:
    """A small adapter that reads a backbone at its beginning, middle and end: the sizes of the preset `probe`."""
    depth, width = backbone.depth, min(128, backbone.hidden_size)
    plugs = tuple(sorted({0, max(0, depth // 2 - 1), depth - 1}))
    return AdapterConfig.for_backbone(
        backbone, plug_layers=plugs, width=width, layers=1, heads=2, inner=2 * width, dropout=0.0, init_std=0.02
    )


def speaking_kind(backbone: Backbone) -> str:
    """`masked` or `causal`. Raises KAdapterError for a backbone that cannot be asked for facts."""
    try:
        language_model(backbone)
    except KAdapterError:
        raise KAdapterError(
            f"backbone '{backbone.name}' has no language head of its own and cannot be asked for facts: expected a "
            "language model, as smollm2 (a CoNLL-U file can be infused into any backbone)"
        ) from None
    kind = language_kind(backbone)
    assert kind is not None  # it speaks
    return kind
