"""The first insight: a frozen model does not know, with an adapter it does, and without it again it does not (Figure
1b). Asked of the models that come with the package, so nothing is trained.

A demonstration is a list of `Round`s over the same questions; `of_the_world` makes that of the embedded world.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from datasets import Dataset

from kadapter.cases.cases import Cases
from kadapter.cases.inference import probabilities
from kadapter.experiment import shipped
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel

NOTHING = "(nothing)"
THRESHOLD = (
    "A type is part of the answer where the model gives it more than one half (a logit above 0): "
    "a model that is not sure answers nothing."
)


@dataclass(frozen=True)
class Round:
    """What one model said to all questions: `name` tells the model and what is plugged."""

    name: str
    cases: Cases

    @property
    def right(self) -> int:
        """Questions whose answer is the true one, as the score counts."""
        return int(self.cases.right[0].sum())

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Per question: sentence, true, answer, verdict (✓ or ✗), and beside the answer the label that the model finds
        most probable, with its probability."""
        logits, labels = self.cases.logits[0], self.cases.labels
        best = logits.argmax(-1)
        chances = probabilities(logits, self.cases.independent)[np.arange(len(best)), best]
        name = self.cases.models[0]
        return pd.DataFrame(
            {
                "sentence": [self.cases[i].marked() for i in range(len(best))],
                "true": [", ".join(true) for true in self.cases.frame["true"]],
                "answer": [", ".join(self.cases.answer(name, i)) or NOTHING for i in range(len(best))],
                "verdict": np.where(self.cases.right[0], "✓", "✗"),
                "most probable": [labels[place] for place in best],
                "probability": chances,
            }
        )


@dataclass(frozen=True)
class Demo:
    """Rounds of the same questions.

    Attributes:
        question, about: what is asked, and of what, in words.
        shown: the questions that stand for all.
        labels: how many answers there are to choose from.
    """

    question: str
    about: str
    rounds: list[Round]
    shown: list[int]
    labels: int

    @property
    def chance(self) -> float:
        """The share of questions that naming one label blindly has right."""
        return 1 / self.labels


def table(rounds: Sequence[Round]) -> pd.DataFrame:
    """Per round, over all questions: how many answers are right, of how many the most probable label is the true one,
    and what naming one label blindly would have."""
    n = len(rounds[0].cases)
    return pd.DataFrame(
        {
            "model": [each.name for each in rounds],
            "questions": n,
            "right answers": [each.right for each in rounds],
            "most probable is true": [int((f["most probable"] == f["true"]).sum()) for f in (r.frame for r in rounds)],
            "by chance": round(n / len(rounds[0].cases.labels)),
        }
    )


def ask(model: KnowledgeModel, name: str, questions: Dataset) -> Round:
    """What a model says to all questions, with whatever is plugged now."""
    backbone = model.backbone
    return Round(name, Cases.from_models({name: (model, load_tokenizer(backbone.name, backbone.revision))}, questions))


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
    labels = rounds[0].cases.labels
    return Demo(
        f"What does the name in [brackets] stand for? ({', '.join(labels)})",
        "The names are invented: no model has seen them, and the sentences give nothing away. The adapter F has read "
        "other sentences about them; the head that answers was trained on other names.",
        rounds,
        representative(rounds[1], shown),
        len(labels),
    )


def representative(round: Round, n: int) -> list[int]:
    """The first n questions of a round, right and wrong ones in the proportion of all."""
    right = np.flatnonzero(round.cases.right[0]).tolist()
    wrong = np.flatnonzero(~round.cases.right[0]).tolist()
    few = min(len(wrong), n - min(len(right), int(np.floor(n * len(right) / max(1, len(round.cases)) + 0.5))))
    return sorted([*right[: n - few], *wrong[:few]])
