"""Few-shot scores of a model: the four settings of FewRel, each with an interval over episodes (Han et al., 2018; Zhang
et al., 2023, Section 4.2: a model trained on 5-way 1-shot episodes answers all four)."""

from collections.abc import Sequence

import pandas as pd
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from kadapter.data.episodes import episodes
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.scoring import statistics
from kadapter.training.batches import encode
from kadapter.training.predict import predict

SETTINGS = ((5, 1), (5, 5), (10, 1), (10, 5))


def few_shot(
    model: KnowledgeModel,
    tokenizer: PreTrainedTokenizerBase,
    dataset: Dataset,
    settings: Sequence[tuple[int, int]] = SETTINGS,
    asked: int = 5000,
    queries: int = 5,
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """A row for each setting (ways, shots): accuracy with its 95% interval, in percent, episodes and queries.

    Args:
        model: with a head of the task `fewshot`; a plugged mapping reads the dataset's column `links`.
        dataset: relation examples of classes that the model was not trained on.
        asked: queries of each setting, `queries` for each class of an episode, in whole episodes.
        seed: of the first episode.

    Raises KAdapterError where the dataset has too few classes or examples for a setting.
    """
    task = model.require_task()
    rows = []
    for ways, shots in settings:
        count = max(1, asked // (ways * queries))
        made = episodes(dataset, ways=ways, shots=shots, count=count, queries=queries, seed=seed)
        encoded = encode(task, tokenizer, made, progress=progress, mapping=model.mapping)
        found = predict(model, encoded, progress=progress)
        score = statistics.interval(found.counts[None], found.metric)
        percent = {
            name: 100 * score[key] for name, key in (("accuracy", "mean"), ("low", "ci_low"), ("high", "ci_high"))
        }
        rows.append({"ways": ways, "shots": shots} | percent | {"episodes": count, "queries": len(made)})
    return pd.DataFrame(rows)
