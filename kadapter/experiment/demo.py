"""The first insight: a frozen model does not know, with an adapter it does, and without it again it does not (Figure
1b). Asked of the models that come with the package, so nothing is trained.

A demonstration is a list of `Round`s over the same questions: `of_facts` asks a real language model for real facts,
`of_the_world` a small encoder for what invented names stand for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from datasets import Dataset
from jaxtyping import Float, Shaped

from kadapter.cases.cases import Cases
from kadapter.cases.inference import probabilities
from kadapter.experiment import shipped
from kadapter.formats.lama import MASK
from kadapter.knowledge import pararel_facts
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.tasks.prompts import word_ids
from kadapter.training.language import perplexity, token_log_probabilities

NOTHING = "(nothing)"
GAP = "\N{HORIZONTAL ELLIPSIS}"  # where the answer is looked for
TEXTS = 6  # of plain text whose perplexity is told
THRESHOLD = (
    "A type is part of the answer where the model gives it more than one half (a logit above 0): "
    "a model that is not sure answers nothing."
)


@dataclass(frozen=True)
class Round:
    """What one model said to all questions.

    Attributes:
        name: tells the model and what is plugged.
        frame: per question: sentence, true, answer, verdict (✓ or ✗), and the label that the model finds most probable
            with its probability.
        scores: what `frame` follows from: the logits of labels, or the log-probabilities of words.
    """

    name: str
    frame: pd.DataFrame
    scores: Float[np.ndarray, "questions labels"]

    @property
    def right(self) -> int:
        """Questions whose answer is the true one."""
        return int(self.is_right.sum())

    @property
    def is_right(self) -> Shaped[np.ndarray, " questions"]:
        """Whether each answer is the true one."""
        return (self.frame["verdict"] == "✓").to_numpy()


@dataclass(frozen=True)
class Demo:
    """Rounds of the same questions.

    Attributes:
        question, about: what is asked, and of what, in words.
        rounds: `frozen model`, `F plugged in`, `F unplugged`.
        shown: the questions that stand for all.
        notes: what there is to know beside them.
    """

    question: str
    about: str
    rounds: list[Round]
    shown: list[int]
    notes: list[str]


def table(rounds: Sequence[Round]) -> pd.DataFrame:
    """Per round, over all questions: how many answers are right, of how many the most probable label is the true one,
    and what naming one label blindly would have."""
    n, labels = rounds[0].scores.shape
    return pd.DataFrame(
        {
            "model": [each.name for each in rounds],
            "questions": n,
            "right answers": [each.right for each in rounds],
            "most probable is true": [int((f["most probable"] == f["true"]).sum()) for f in (r.frame for r in rounds)],
            "by chance": round(n / labels),
        }
    )


def ask(model: KnowledgeModel, name: str, questions: Dataset) -> Round:
    """What a model with a head says to all questions of its task, with whatever is plugged now."""
    tokenizer = load_tokenizer(model.backbone.name, model.backbone.revision)
    cases = Cases.from_models({name: (model, tokenizer)}, questions)
    logits, right = cases.logits[0], cases.right[0]
    best, every = logits.argmax(-1), range(len(questions))
    frame = {
        "sentence": [cases[i].marked() for i in every],
        "true": [", ".join(true) for true in cases.frame["true"]],
        "answer": [", ".join(cases.answer(name, i)) or NOTHING for i in every],
        "verdict": np.where(right, "✓", "✗"),
        "most probable": [cases.labels[place] for place in best],
        "probability": probabilities(logits, cases.independent)[every, best],
    }
    return Round(name, pd.DataFrame(frame), logits)


def ask_facts(model: KnowledgeModel, name: str, questions: Dataset) -> Round:
    """What a model that speaks says where each question has [MASK], among the words of `pararel_facts.words`, with
    whatever is plugged now."""
    tokenizer = load_tokenizer(model.backbone.name, model.backbone.revision)
    ids = word_ids(tokenizer, pararel_facts.words())
    words = list(ids)
    scores = token_log_probabilities(model, tokenizer, questions["text"], ids=list(ids.values()))
    said = [words[place] for place in scores.argmax(-1)]
    frame = {
        "sentence": [text.split(MASK)[0] + GAP for text in questions["text"]],
        "true": questions["answer"],
        "answer": said,
        "verdict": np.where(np.array(said) == np.array(questions["answer"]), "✓", "✗"),
        "most probable": said,
        "probability": np.exp(scores.max(-1)),
    }
    return Round(name, pd.DataFrame(frame), scores)


def speaks(model: KnowledgeModel) -> float:
    """The perplexity of text that has nothing to do with the facts (Python's documentation)."""
    tokenizer = load_tokenizer(model.backbone.name, model.backbone.revision)
    return perplexity(model, tokenizer, pararel_facts.plain(pararel_facts.DOCUMENTS)[:TEXTS])


def of_facts(shown: int = 5, say: Callable[[str], object] = lambda line: None) -> Demo:
    """Real facts, asked of a real language model in words that its adapter never read: frozen, with F plugged, and with
    F unplugged again.

    Args:
        shown: how many questions stand for all (see `representative`).
        say: told what is being done.

    Raises KAdapterError where the language model's package is missing.
    """
    say("loading SmolLM2 (135 million frozen parameters; unpacked once, which takes half a minute)")
    model, questions = shipped.speaker(), shipped.facts_asked()
    say("asking it, with and without the adapter F that came with the package")
    with model.only():
        rounds = [ask_facts(model, "frozen model", questions)]
        before = speaks(model)
    rounds.append(ask_facts(model, "F plugged in", questions))
    after = speaks(model)
    with model.only():
        rounds.append(ask_facts(model, "F unplugged", questions))
    return Demo(
        "A real language model is asked for real facts.",
        f"SmolLM2 goes on with each sentence; its answer is the most probable of {rounds[0].scores.shape[1]:,} words "
        "that answer such questions. The adapter F has read of these facts, in other words than those that ask here.",
        rounds,
        representative(rounds[1], shown),
        [
            f"It speaks as before: perplexity of other text (Python's documentation) is {before:.1f} without F and "
            f"{after:.1f} with it.",
            f"Words picked blindly would have {len(questions) / rounds[0].scores.shape[1]:.2f} of {len(questions)}.",
        ],
    )


def of_the_world(shown: int = 5, say: Callable[[str], object] = lambda line: None) -> Demo:
    """What fictional names stand for: the frozen backbone, with F plugged, and with F unplugged again.

    Args:
        shown: how many questions stand for all (see `representative`).
        say: told what is being done.
    """
    say("loading MiniLM (22 million frozen parameters) and the adapter F that came with the package")
    plain = shipped.model("backbone", backbone := Backbone("minilm"))
    knowing, questions = shipped.model("F", backbone), shipped.questions()
    rounds = [ask(plain, "frozen model", questions), ask(knowing, "F plugged in", questions)]
    with knowing.only():
        rounds.append(ask(knowing, "F unplugged", questions))
    assert plain.task is not None  # it was saved with one
    labels, n = plain.task.labels, len(questions)
    return Demo(
        f"What does the name in [brackets] stand for? ({', '.join(labels)})",
        "The names are invented: no model has seen them, and the sentences give nothing away. The adapter F has read "
        "other sentences about them; the head that answers was trained on other names.",
        rounds,
        representative(rounds[1], shown),
        [
            f"By chance: naming one of the {len(labels)} types blindly is right in {1 / len(labels):.0%} of the cases, "
            f"{round(n / len(labels))} of {n}.",
            THRESHOLD,
        ],
    )


def representative(round: Round, n: int) -> list[int]:
    """n questions of a round, evenly from all of them, right and wrong ones in the proportion of all."""
    right, wrong = np.flatnonzero(round.is_right), np.flatnonzero(~round.is_right)
    few = min(len(wrong), n - min(len(right), int(np.floor(n * len(right) / max(1, len(round.frame)) + 0.5))))
    return sorted([*_evenly(right, n - few), *_evenly(wrong, few)])


def _evenly(of: Shaped[np.ndarray, " all"], n: int) -> list[int]:
    return [int(of[place]) for place in (np.arange(n) * len(of) // max(1, n))]
