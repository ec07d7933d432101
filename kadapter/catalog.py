"""The names: formats, tasks, kinds of knowledge and model rows. A new dataset or kind of knowledge is one line here."""

import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING

from kadapter.errors import KAdapterError, unknown

if TYPE_CHECKING:  # names are known without loading torch
    from datasets import Dataset

    from kadapter.tasks.base import Task

# format -> the module of kadapter.formats that reads and writes it
FORMATS = {
    "trex_rc": "T-REx relation classification: a JSON list, token indices",
    "conllu": "CoNLL-U treebank",
    "tacred": "TACRED: a JSON list, token indices, end inclusive",
    "entity_typing": "OpenEntity and FIGER in ERNIE's split: a JSON list, character offsets",
    "wiki_et": "Wiki-ET: one JSON per line, a mention's types and its entity",
    "opennre": "Wiki80 and other OpenNRE files: one JSON per line",
    "semeval": "SemEval-2010 Task 8: blocks of three lines",
    "figer_gold": "FIGER (GOLD): one token and tag per line",
    "fewrel": "FewRel: one JSON object, relation -> examples",
    "redocred": "Re-DocRED: documents, read as sentence-level pairs",
    "cosmosqa": "CosmosQA: csv or one JSON per line",
    "openqa": "SearchQA and Quasar-T in OpenQA's layout: questions (.txt) and their paragraphs (.json)",
    "lama": "LAMA's probes: facts with masked sentences, one JSON per line",
    "cloze": "sentences with [MASK] for their answer, and plain text: one JSON per line",
    "linked_cloze": "the same with linked mentions",
    "triples": "Knowledge graphs: head, relation and tail between tabs",
    "conceptnet": "ConceptNet's assertions: five columns between tabs",
    "ernie_wiki": "ERNIE's linked Wikipedia: word pieces, and beside them an entity for each",
    "wordnet": "WordNet's database (data.noun, ...), one synset a row",
    "graph_text": "Knowledge graphs in words: triples, and the texts of their names beside them (KG-BERT, CoDEx)",
    "pararel": "ParaRel: pairs of a relation, one JSON per line; patterns beside them",
    "entity_questions": "EntityQuestions: a JSON list of questions and answers",
    "text": "plain text: one text a line",
    "squad": "SQuAD and XQuAD: one JSON object, a question read with all paragraphs of its article",
}

# task -> "module:class"
TASKS = {
    "relation": "kadapter.tasks.relation:RelationTask",
    "dependency": "kadapter.tasks.dependency:DependencyTask",
    "typing": "kadapter.tasks.typing:TypingTask",
    "choice": "kadapter.tasks.choice:ChoiceTask",
    "span": "kadapter.tasks.span:SpanTask",
    "cloze": "kadapter.tasks.cloze:ClozeTask",
    "matching": "kadapter.tasks.matching:MatchingTask",
    "linking": "kadapter.tasks.linking:LinkingTask",
    "dependency_relation": "kadapter.tasks.dependency_relation:DependencyRelationTask",
    "mention": "kadapter.tasks.mention:MentionTask",
    "text": "kadapter.tasks.text:TextTask",
    "fewshot": "kadapter.tasks.fewshot:FewShotTask",
}
NO_OPTIONS = ("labels", "max_length")  # of a task's constructor: what the data and the training settings say
GIVEN = ("splits",)  # of a maker: what the dataset says
LABELLED = ("relation", "typing")  # tasks with a list of labels, whose logits can be compared case by case


@dataclass(frozen=True)
class Knowledge:
    """What an adapter is pre-trained on: a task, its options, and where the paper describes it.

    Where the examples that the task asks for are not those that published files hold (a fact that is none, another
    entity in a mention's place), `maker` makes them: the module of `kadapter.knowledge` whose function `examples` takes
    the splits of a dataset of one schema and gives the splits of another.
    """

    task: str
    options: dict = field(default_factory=dict)
    source: str = ""
    maker: str = ""


KNOWLEDGE = {
    "factual": Knowledge("relation", {"negative": None}, "Section 3.2: relation classification on T-REx"),
    "factual_sentences": Knowledge(
        "relation",
        {"negative": None},
        "the same on the sentences of LAMA's T-REx probe, their object put back",
        maker="restored",
    ),
    "linguistic": Knowledge("dependency", {"head_type": "position"}, "Section 3.3: dependency head prediction"),
    "facts": Knowledge(
        "cloze",
        {"reading": "causal", "keep": 10.0, "sampled": 1024},
        "facts in words, their object to be predicted, beside plain text that the model must go on saying as it did",
    ),
    "triple_truth": Knowledge(
        "relation",
        {"negative": None, "pooling": "mean"},
        "BERT-MK (He et al., 2020): is a fact in words real or corrupted",
        maker="truth",
    ),
    "replaced_entity": Knowledge(
        "relation",
        {"negative": None, "pooling": "mean"},
        "WKLM (Xiong et al., 2020): was this mention replaced by another entity of its type",
        maker="replaced",
    ),
    "supersense": Knowledge(
        "typing",
        {"masked": True, "at_least_one": True, "pooling": "mean"},
        "SenseBERT (Levine et al., 2020): the WordNet supersense of a masked word",
        maker="supersenses",
    ),
    "word_sense": Knowledge(
        "choice",
        {"pooling": "mean"},
        "KnowBERT (Peters et al., 2019): the synset of a word in its context, and what a synset is a kind of",
        maker="senses",
    ),
    "lexical_relation": Knowledge(
        "relation",
        {"negative": None, "pooling": "mean"},
        "LIBERT (Lauscher et al., 2020): are two words synonyms, is one above the other, or neither",
        maker="lexical",
    ),
    "matching_blanks": Knowledge(
        "matching",
        {"scorer": "product"},
        "Matching the Blanks (Baldini Soares et al., 2019): do two sentences with blanked entities hold the same pair",
        maker="blanks",
    ),
    "entity_linking": Knowledge(
        "linking",
        {"pooling": "mean"},
        "ERNIE (Zhang et al., 2019), KnowBERT (Peters et al., 2019): which entity a mention is, among candidates",
        maker="links",
    ),
    "entity_description": Knowledge(
        "matching",
        {"scorer": "translation"},
        "KEPLER (Wang et al., 2021): facts between descriptions, which are encoded, by TransE's loss",
        maker="descriptions",
    ),
    "dependency_relation": Knowledge(
        "dependency_relation",
        {"head_type": "biaffine"},
        "Table 1: the dependency relation of each word, its head and the relation to it",
    ),
    "commonsense": Knowledge(
        "relation",
        {"negative": None, "pooling": "mean"},
        "ConceptNet (Speer et al., 2017): is an everyday fact in words real or corrupted",
        maker="truth",
    ),
}

# A kind of knowledge may bring a task of its own: the class <Name>Task of kadapter/tasks/<name>.py.
TASKS |= {k.task: f"kadapter.tasks.{k.task}:{k.task.title()}Task" for k in KNOWLEDGE.values() if k.task not in TASKS}

# probe of LAMA -> its files in the data folder; kadapter.probing.questions says what is asked
PROBES = {
    "lama-trex": "lama/TREx/P*.jsonl",
    "lama-google-re": "lama/Google_RE/*_test.jsonl",
    "lama-conceptnet": "lama/ConceptNet/test.jsonl",
    "lama-squad": "lama/Squad/test.jsonl",
}

FUSIONS = ("concat", "project", "add", "residual", "gate", "attention")  # kadapter.model.fusion says what they are

# Of fine-tuning, in this order in every table; the last three train a part of the backbone that is small.
TUNED = ("houlsby", "lora", "bitfit")
REGIMES = ("frozen", "paper", "full", *TUNED)

# Model rows without a trained adapter: plain, with the backbone itself trained on all knowledge, an untrained adapter;
# what is done today instead: the backbone tuned in parts on the task's examples, the facts as text in front of them.
RETRIEVAL = "retrieval"
ROWS = ("backbone", "multitask", "none", *TUNED, RETRIEVAL)


# Rows of continual infusion, in this order everywhere: how kinds of knowledge are learned one after another
# (kadapter.experiment.learners).
CONTINUAL = ("kadapter", "full", "lora", "ewc", "shared", "multitask")


def format_module(name: str) -> ModuleType:
    """The module with `SCHEMA`, `read` and `write` of a format. Raises KAdapterError for an unknown name."""
    if name not in FORMATS:
        raise unknown("format", name, FORMATS)
    return importlib.import_module(f"kadapter.formats.{name}")


def task_class(name: str) -> "type[Task]":
    """A task's class. Raises KAdapterError for an unknown name."""
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    module, cls = TASKS[name].split(":")
    return getattr(importlib.import_module(module), cls)


def task(name: str, **options) -> "Task":
    """A task by name. Raises KAdapterError for an unknown name or option."""
    from kadapter import values  # brings pydantic

    cls = task_class(name)
    values.check(
        cls, {key: found for key, found in options.items() if key != "labels"}, noun=f"option of task {name!r}"
    )
    return cls(**options)


def knowledge(name: str) -> Knowledge:
    """A kind of knowledge by name. Raises KAdapterError for an unknown one."""
    if name not in KNOWLEDGE:
        raise unknown("knowledge", name, KNOWLEDGE)
    return KNOWLEDGE[name]


def maker(kind: Knowledge) -> Callable[..., "dict[str, Dataset]"] | None:
    """What makes a kind's examples from the splits of a dataset; None where they are taken as they are."""
    return importlib.import_module(f"kadapter.knowledge.{kind.maker}").examples if kind.maker else None


def check_examples(name: str, options: Mapping, at: str = "") -> None:
    """Raises KAdapterError for an option that the maker of a kind of knowledge does not take; `at` is their place."""
    from kadapter import values  # brings pydantic

    made = maker(knowledge(name))
    if made is not None:
        values.check(made, options, noun=f"option of the examples of {name!r}", at=at, leave_out=GIVEN)
    elif options:
        where = f"{at}: " if at else ""
        raise KAdapterError(f"{where}knowledge {name!r} takes its examples as they are; expected no options of them")


def adapters_of(model: str, known: Collection[str] | None = None) -> list[str]:
    """The trained adapters that a model row plugs in: none for those of `ROWS`, [F, L] for `F+L`.

    Raises KAdapterError for one that is not among `known` (None: any name will do).
    """
    names = [] if model in ROWS else model.split("+")
    for name in names:
        if known is not None and name not in known:
            raise unknown("model", model, [*ROWS, *known, "+".join(known)])
    return names
