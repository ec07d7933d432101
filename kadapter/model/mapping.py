"""The mapping network of map-tuning: entity embeddings of a knowledge graph become input embeddings of a frozen
language model, where its text mentions them (Zhang et al., "Plug-and-Play Knowledge Injection", ACL 2023, Section
3)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kadapter.errors import KAdapterError
from kadapter.graphs.embeddings import EntityEmbeddings
from kadapter.model.backbone import Backbone
from kadapter.tasks.links import NOTHING, ZERO

UNLINKED = ("nothing", "bias")


class MappingNetwork(nn.Module):
    """One affine layer, entity width -> width of the input embeddings, as published (TransE's 128 -> BERT's 768: 99,072
    parameters; TransR's 228 -> 768: 175,872); with `hidden` two, and a GELU between them."""

    def __init__(self, width: int, hidden_size: int, hidden: int | None = None) -> None:
        super().__init__()
        self.width, self.hidden_size, self.hidden = width, hidden_size, hidden
        if hidden is None:
            self.layers = nn.Sequential(nn.Linear(width, hidden_size))
        else:
            self.layers = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden_size))

    def forward(self, vectors: Float[Tensor, "entities width"]) -> Float[Tensor, "entities hidden"]:
        return self.layers(vectors)


class EntityMapping(nn.Module):
    """A mapping network and the entity embeddings that it reads; plugs into a `KnowledgeModel` by its name.

    Args:
        name: e.g. of the knowledge graph.
        network: see `MappingNetwork`.
        embeddings: of the entities of a knowledge graph.
        unlinked: what stands before a mention whose entity has no embedding: `nothing`, or what the network makes of
            zeros (`bias`), as in the official code for FewRel and Wiki80.

    Raises KAdapterError for another `unlinked`, and for embeddings of another width than the network reads.
    """

    def __init__(
        self, name: str, network: MappingNetwork, embeddings: EntityEmbeddings, unlinked: str = "nothing"
    ) -> None:
        super().__init__()
        if unlinked not in UNLINKED:
            raise KAdapterError(f"unlinked: found {unlinked!r}; expected {' or '.join(UNLINKED)}")
        if embeddings.width != network.width:
            raise KAdapterError(
                f"mapping {name!r} reads entity embeddings of width {network.width}, but these have {embeddings.width}"
            )
        self.name, self.network, self.embeddings, self.unlinked = name, network, embeddings, unlinked
        self.provenance: dict = {}  # what it was trained on; travels with the saved mapping
        self.made_for: dict | None = None  # the backbone it was loaded or saved with: name, revision, fingerprint

    def rows(self, entities: Sequence[str]) -> Int[np.ndarray, " entities"]:
        """The row of each entity; -1 (nothing is injected) or, with `unlinked="bias"`, -2 (zeros) for one without."""
        found = np.asarray(self.embeddings.rows(entities), dtype=np.int64)
        return np.where(found < 0, NOTHING if self.unlinked == "nothing" else ZERO, found)

    def forward(self, rows: Int[Tensor, " entities"]) -> Float[Tensor, "entities hidden"]:
        """The mapped vectors of rows; of -2 that of zeros."""
        unique, inverse = np.unique(rows.cpu().numpy(), return_inverse=True)
        vectors = np.zeros((len(unique), self.network.width), dtype=np.float32)
        vectors[unique >= 0] = self.embeddings.matrix[unique[unique >= 0]]
        weight = next(self.network.parameters())
        mapped = self.network(torch.from_numpy(vectors).to(weight.device, weight.dtype))
        return mapped[torch.from_numpy(inverse).to(weight.device)]

    # Persistence lives in kadapter.hub.mapping_folder, a wing above: the one door upward, opened when these are called.

    def save_pretrained(self, folder: str | Path, backbone: Backbone | None = None) -> Path:
        """Save configuration, weights and card as a folder (see `hub.mapping_folder.save_mapping`); returns it."""
        from kadapter.hub import mapping_folder

        return mapping_folder.save_mapping(self, folder, backbone)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        embeddings: EntityEmbeddings | str | Path | None = None,
        backbone: Backbone | None = None,
        revision: str | None = None,
        force: bool = False,
    ) -> "EntityMapping":
        """Load a saved mapping from a folder or a Hub repository (see `hub.mapping_folder.load_mapping`)."""
        from kadapter.hub import mapping_folder

        return mapping_folder.load_mapping(folder, embeddings, backbone, force=force, revision=revision)

    def push_to_hub(self, repo: str, backbone: Backbone | None = None, private: bool | None = None, **commit) -> str:
        """Save into a Hub repository, made if there is none (see `hub.adapter_folder.push`); returns the commit's
        URL."""
        from kadapter.hub import adapter_folder

        message = {"commit_message": "Upload a mapping network"}
        return adapter_folder.push(
            lambda folder: self.save_pretrained(folder, backbone), repo, private, **message | commit
        )


def build_mapping(
    name: str,
    embeddings: EntityEmbeddings,
    backbone: Backbone,
    hidden: int | None = None,
    unlinked: str = "nothing",
    seed: int = 0,
) -> EntityMapping:
    """A new mapping from these entity embeddings to the input embeddings of a backbone, from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = MappingNetwork(embeddings.width, backbone.embedding_size, hidden)
    return EntityMapping(name, network, embeddings, unlinked)


def injected(
    backbone: Backbone,
    mapping: EntityMapping | None,
    input_ids: Int[Tensor, "batch tokens"],
    link_rows: Int[Tensor, "batch tokens"],
) -> Float[Tensor, "batch tokens embedding"] | None:
    """The input embeddings of a batch with mapped vectors at its places; None where it has none, so that its ids are
    read as ever. Raises KAdapterError for places without a mapping to fill them."""
    places = link_rows != NOTHING
    if not bool(places.any()):
        if mapping is None or not (torch.is_grad_enabled() and any(p.requires_grad for p in mapping.parameters())):
            return None
        # A batch from which a mapping that trains learns nothing has a gradient all the same: zero.
        nothing = 0.0 * mapping(torch.full((1,), ZERO, device=link_rows.device)).sum()
        return backbone.input_embeddings(input_ids) + nothing
    if mapping is None:
        raise KAdapterError(
            "this batch has places for mapped vectors, and no mapping is plugged: plug_mapping() the one that it was "
            "encoded with, or encode it without"
        )
    embeds = backbone.input_embeddings(input_ids)
    return embeds.index_put((places,), mapping(link_rows[places]).to(embeds.dtype))


@torch.no_grad()
def nearest_tokens(
    mapping: EntityMapping, backbone: Backbone, rows: Sequence[int], k: int = 10
) -> tuple[Int[np.ndarray, "entities k"], Float[np.ndarray, "entities k"]]:
    """The tokens whose input embeddings are nearest (cosine) to each mapped vector: what the model reads there. Their
    ids, and the cosines, the nearest first."""
    table = nn.functional.normalize(backbone.input_embeddings.weight.float(), dim=-1)
    vectors = nn.functional.normalize(mapping(torch.as_tensor(list(rows))).float(), dim=-1)
    found = (vectors.to(table.device) @ table.T).topk(min(k, len(table)), dim=-1)
    return found.indices.cpu().numpy(), found.values.cpu().numpy()
