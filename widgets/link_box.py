"""The mappings of models as switches, and the entities that stand in a text: which ones, under which vector, and what a
model reads there (map-tuning, Zhang et al., 2023)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets

from kadapter.errors import unknown
from kadapter.graphs.linking import in_text
from kadapter.graphs.surfaces import Surfaces
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.mapping import EntityMapping, nearest_tokens
from widgets import style
from widgets.adapter_switch import Plugs
from widgets.predictions import share

NONE = "no vector: nothing stands there"
NEAREST = 6  # input tokens that are shown of each vector
OFFERED = 500  # names that a field offers


class LinkBox(ipywidgets.VBox):
    """A switch for each mapping of each model, a field for each linked mention of a text with the entity whose vector
    stands there, and a table of the input tokens nearest to it.

    Args:
        surfaces: name -> ids of the entities that a text may name.
        toggled: called with model, mapping and whether it shall be plugged.
        swapped: called when another entity's vector shall stand at a mention.

    Attributes:
        toggles: (model, mapping) -> its button.
        fields: the linked mention's text -> the field of the entity whose vector stands there.
    """

    def __init__(
        self, surfaces: Surfaces, toggled: Callable[[str, str, bool], None], swapped: Callable[[], None]
    ) -> None:
        self.surfaces = dict(surfaces)
        self._names = {ids[0]: name for name, ids in reversed(self.surfaces.items()) if len(ids) == 1}  # id -> name
        self._toggled, self._swapped, self._quiet = toggled, swapped, False
        self.toggles: dict[tuple[str, str], ipywidgets.ToggleButton] = {}
        self.fields: dict[str, ipywidgets.Combobox] = {}
        self._replaced: dict[str, str] = {}  # a mention's text -> the id whose vector stands there instead of its own
        wrap = {"flex_flow": "row wrap"}
        self._switches, self._fields = ipywidgets.HBox(layout=wrap), ipywidgets.HBox(layout=wrap)
        self._message, self.table = ipywidgets.HTML(), ipywidgets.HTML()
        super().__init__([self._switches, self._fields, self._message, self.table], layout={"display": "none"})

    def show(self, plugs: Mapping[str, Plugs]) -> None:
        """The switches as the models are now; hidden while no model has a mapping."""
        self._quiet = True
        for model, own in plugs.items():
            for mapping in own.mappings:
                button = self.toggles.get((model, mapping)) or self._button(model, mapping)
                on = own.mapping == mapping
                button.value, button.icon = on, "check" if on else "times"
        self._quiet = False
        self._switches.children = [ipywidgets.HTML("Plugged mappings:"), *self.toggles.values()]
        self.layout.display = "" if self.toggles else "none"

    def _button(self, model: str, mapping: str) -> ipywidgets.ToggleButton:
        button = self.toggles[model, mapping] = ipywidgets.ToggleButton(
            description=share(model, mapping), layout={"width": "auto"},
            tooltip=f"Plug or unplug the mapping {mapping} of the model {model}; one is plugged at a time",
        )  # fmt: skip
        button.observe(lambda change: None if self._quiet else self._toggled(model, mapping, change["new"]), "value")
        return button

    def links(self, text: str) -> list[dict]:
        """The linked mentions of a text, each with the entity whose vector stands there."""
        return [
            link | {"entity": self._replaced.get(text[link["start"] : link["end"]], link["entity"])}
            for link in in_text(text, self.surfaces)
        ]

    def read(self, text: str) -> None:
        """Show a field for each linked mention of a text."""
        found = {text[link["start"] : link["end"]]: link["entity"] for link in self.links(text)}
        self._quiet = True
        self.fields = {mention: self.fields.get(mention) or self._field(mention) for mention in found}
        for mention, field in self.fields.items():
            field.value = self._names.get(found[mention], found[mention])
        self._quiet = False
        told = "Linked mentions, and the entity whose vector stands before each:" if found else "No linked mention."
        self._fields.children = [ipywidgets.HTML(told), *self.fields.values()]

    def _field(self, mention: str) -> ipywidgets.Combobox:
        field = ipywidgets.Combobox(
            description=mention, options=tuple(sorted(self._names.values())[:OFFERED]), ensure_option=False,
            continuous_update=False, layout={"width": "300px"}, style={"description_width": "initial"},
            tooltip=f"The entity whose vector stands before {mention}: a name or an id; empty for its own",
        )  # fmt: skip
        field.observe(lambda change: None if self._quiet else self._swap(mention, change["new"]), "value")
        return field

    def _swap(self, mention: str, name: str) -> None:
        name = name.strip()
        if not name or name == mention:
            self._replaced.pop(mention, None)
        else:
            ids = self.surfaces.get(name, [name] if name in self._names else [])
            if len(ids) != 1:
                said = unknown("entity", name, self.surfaces) if not ids else f"{name!r} names {len(ids)} entities"
                self._message.value = style.error(str(said))
                return
            self._replaced[mention] = ids[0]
        self._message.value = ""
        self._swapped()

    def nearest(self, text: str, models: Mapping[str, tuple[KnowledgeModel, Any]]) -> str:
        """The table of a text's linked mentions under each plugged mapping, as HTML: to be made where models compute,
        and put into `table`.

        Args:
            models: name -> model and its tokenizer.
        """
        rows = "".join(self._rows(text, models))
        head = "<tr><th>mention</th><th>vector of</th><th>mapping</th><th>nearest input tokens (cosine)</th></tr>"
        return f'<table class="kadapter-table kadapter-infused">{head}{rows}</table>' if rows else ""

    def _rows(self, text: str, models: Mapping[str, tuple[KnowledgeModel, Any]]) -> Iterator[str]:
        links = self.links(text)
        entities = [link["entity"] for link in links]
        for name, (model, tokenizer) in models.items():
            if model.mapping is None:
                continue
            for link, said in zip(links, _nearest(model.mapping, model, tokenizer, entities), strict=True):
                mention, entity = text[link["start"] : link["end"]], self._names.get(link["entity"], link["entity"])
                cells = (mention, entity, share(name, model.mapping.name), said)
                yield f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _nearest(mapping: EntityMapping, model: KnowledgeModel, tokenizer: Any, entities: Sequence[str]) -> list[str]:
    """Of each entity the input tokens nearest to its mapped vector, in words."""
    rows = mapping.rows(entities).tolist()
    if not (known := [row for row in rows if row >= 0]):
        return [NONE] * len(rows)
    ids, cosines = nearest_tokens(mapping, model.backbone, known, NEAREST)
    tokens = [tokenizer.convert_ids_to_tokens(own.tolist()) for own in ids]
    said = iter(
        " ".join(f"{token} {cosine:.2f}" for token, cosine in zip(own, near, strict=True))
        for own, near in zip(tokens, cosines.tolist(), strict=True)
    )
    return [next(said) if row >= 0 else NONE for row in rows]


def surfaces_of(dataset: Any) -> dict[str, list[str]]:
    """Name -> ids, of a dataset's linked mentions."""
    found: dict[str, list[str]] = {}
    if "links" not in dataset.column_names or "text" not in dataset.column_names:
        return found
    for text, links in zip(dataset["text"], dataset["links"], strict=True):
        for link in links:
            ids = found.setdefault(text[link["start"] : link["end"]], [])
            if link["entity"] not in ids:
                ids.append(link["entity"])
    return found


def offer(
    plugs: Mapping[str, Plugs],
    mappings: Mapping[str, EntityMapping | str | Path],
    models: Mapping[str, KnowledgeModel],
) -> None:
    """Let mappings, given themselves or as their folders, be plugged into each model whose input embeddings are as wide
    as what they give. Raises KAdapterError as `EntityMapping.from_pretrained` does."""
    for name, given in mappings.items():
        found = EntityMapping.from_pretrained(given) if isinstance(given, str | Path) else given
        mapping = EntityMapping(name, found.network, found.embeddings, found.unlinked)
        mapping.made_for = found.made_for
        for model, own in plugs.items():
            if models[model].backbone.embedding_size == mapping.network.hidden_size:
                own.offer([mapping])
