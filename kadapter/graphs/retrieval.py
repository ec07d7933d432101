"""The plain baseline of knowledge in the input: triples of a text's entities as words behind it."""

from collections import defaultdict

from datasets import Dataset

from kadapter.errors import KAdapterError


def with_triples(dataset: Dataset, facts: Dataset, most: int = 3) -> Dataset:
    """The dataset with, behind each text, up to `most` triples of each linked entity, as `mention relation tail .`

    Args:
        dataset: with `text` and `links`.
        facts: triples of the FACT schema, whose heads are the entities' ids.
    """
    if "links" not in dataset.column_names:
        raise KAdapterError("triples are retrieved for linked mentions: expected a column 'links'")
    known: dict[str, list[str]] = defaultdict(list)
    for fact in facts:
        if len(known[fact["head"]]) < most:
            known[fact["head"]].append(f"{fact['relation_text']} {fact['tail_text']}")
    texts = []
    for text, links in zip(dataset["text"], dataset["links"], strict=True):
        said = [f"{text[k['start'] : k['end']]} {fact} ." for k in links for fact in known.get(k["entity"], ())]
        texts.append(" ".join([text, *said]))
    at = dataset.column_names.index("text")
    feature = dataset.features["text"]
    replaced = dataset.remove_columns("text").add_column("text", texts, feature=feature)
    return replaced.select_columns([*dataset.column_names[:at], "text", *dataset.column_names[at + 1 :]])
