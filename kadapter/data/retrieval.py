"""Knowledge as text: what is known of an example's mentions, written in front of it, for a model that only reads. The
plain baseline beside adapters (Petroni et al., 2020, "How Context Affects Language Models' Factual Predictions")."""

from collections import defaultdict

from datasets import Dataset

from kadapter.errors import KAdapterError
from kadapter.world.facts import relation_name

OFFSETS = {"relation": ("subj_start", "subj_end", "obj_start", "obj_end"), "typing": ("start", "end")}


class Facts:
    """The facts that the sentences of a relation dataset are about, found by the names of both ends.

    Args:
        knowledge: rows of the schema `relation`, as factual adapters are pre-trained on.
        most: facts in front of one example.

    Raises KAdapterError for rows of another schema.
    """

    def __init__(self, knowledge: Dataset, most: int = 4) -> None:
        if not set(OFFSETS["relation"]) <= set(knowledge.column_names):
            raise KAdapterError(
                "retrieval: facts come from sentences with a subject, an object and their relation; found columns "
                f"{', '.join(knowledge.column_names)}"
            )
        self.most = most
        self.known: dict[str, dict[str, None]] = defaultdict(dict)  # name -> facts in words, in the order of the rows
        columns = (knowledge[name] for name in ("text", *OFFSETS["relation"], "label"))
        for text, a, b, c, d, label in zip(*columns, strict=True):
            said = f"{text[a:b]} {relation_name(label)} {text[c:d]} ."
            for name in (text[a:b], text[c:d]):
                self.known[name][said] = None

    def of(self, *names: str) -> list[str]:
        """At most `most` facts about names, those about all of them first, then in turn for each name."""
        known = [list(self.known.get(name, ())) for name in names]
        shared = [said for said in known[0] if all(said in others for others in known[1:])] if len(known) > 1 else []
        longest = max(map(len, known))
        in_turn = (facts[place] for place in range(longest) for facts in known if place < len(facts))
        return list(dict.fromkeys([*shared, *in_turn]))[: self.most]

    def before(self, examples: Dataset) -> Dataset:
        """Examples with the facts about their mentions in front of the text, positions moved accordingly. An example of
        whose mentions nothing is known stays as it is.

        Raises KAdapterError for examples without marked mentions.
        """
        schema = next((s for s, names in OFFSETS.items() if set(names) <= set(examples.column_names)), None)
        if schema is None:
            raise KAdapterError("retrieval: facts are put in front of relation and typing examples alone")
        return Dataset.from_list([self._moved(row, OFFSETS[schema]) for row in examples], features=examples.features)

    def _moved(self, row: dict, offsets: tuple[str, ...]) -> dict:
        places = zip(offsets[::2], offsets[1::2], strict=True)
        said = "".join(f"{fact} " for fact in self.of(*(row["text"][row[a] : row[b]] for a, b in places)))
        moved = {name: row[name] + len(said) for name in offsets}
        if "ents" in row:
            ends = ("start", "end")
            moved["ents"] = [e | {name: e[name] + len(said) for name in ends} for e in row["ents"]]
        else:
            moved["tokens"] = []  # of the text alone
        return row | moved | {"text": said + row["text"]}
