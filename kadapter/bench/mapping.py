"""What mapped vectors cost: the same sentences read as they are and with two mapped vectors each, in turns, so that
other work on the machine slows both alike."""

from collections.abc import Callable

import numpy as np
import torch

from kadapter.bench import rows
from kadapter.bench.examples import make_backbone, make_sentences
from kadapter.bench.machine import now
from kadapter.bench.rows import Report, Timed
from kadapter.graphs.embeddings import EntityEmbeddings
from kadapter.machine.device import best_device
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.mapping import build_mapping
from kadapter.tasks.links import NOTHING
from kadapter.training.batches import Encoded, Ragged

WIDTH, ENTITIES = 128, 100_000  # TransE's width


def with_links(encoded: Encoded, entities: int = ENTITIES, seed: int = 0) -> Encoded:
    """The sentences with a place and a `/` before each mention: two tokens more for each, as map-tuning reads them."""
    rng = np.random.default_rng(seed)
    spans = np.asarray(encoded.columns["spans"])
    ids, links = [], []
    for tokens, mentions in zip(encoded.tokens.rows(), spans, strict=True):
        starts = np.repeat(mentions[:, 0], 2)
        ids.append(np.insert(tokens, starts, tokens[0]).tolist())
        link = np.insert(
            np.full(len(tokens), NOTHING), starts, np.tile([int(rng.integers(entities)), NOTHING], len(mentions))
        )
        links.append(link.tolist())
    columns = encoded.columns | {"input_ids": Ragged.of(ids), "link_rows": Ragged.of(links)}
    return Encoded(columns, encoded.pads | {"link_rows": NOTHING})


@torch.no_grad()
def measure(
    backbone: str = "minilm",
    sentences: int = 256,
    steps: int = 8,
    batch_size: int = 32,
    tell: Callable[[str], object] = lambda row: None,
    matmul_seconds: float = 1.0,
) -> Report:
    """The rows of `kadapter bench mapping`: real tokens a second of reading batches, `plain` and `injected`."""
    device = best_device()
    report = rows.begin(backbone, device, matmul_seconds)
    made = make_backbone(backbone)
    vectors = np.random.default_rng(0).normal(size=(ENTITIES, WIDTH)).astype(np.float32)
    entities = EntityEmbeddings.from_arrays([f"Q{i}" for i in range(ENTITIES)], vectors)
    model = KnowledgeModel(made, mapping=build_mapping("bench", entities, made)).to(device).eval()
    plain = make_sentences(sentences, made.config.vocab_size)
    both = {"plain": plain, "injected": with_links(plain)}
    order = np.argsort(plain.lengths, kind="stable")
    chosen = [order[k : k + batch_size] for k in range(0, len(order), batch_size)]
    spent: dict[str, list[float]] = {name: [] for name in both}
    tokens: dict[str, list[int]] = {name: [] for name in both}
    tell("plain and injected, in turns")
    for step in range(steps + 1):
        places = chosen[step % len(chosen)]
        for name, encoded in both.items():
            batch = {k: v.to(device) for k, v in encoded.__getitems__(places).items() if k not in ("spans", "labels")}
            began = now(device)
            model(**batch)
            spent[name].append(now(device) - began)
            tokens[name].append(int(encoded.lengths[places].sum()))
    for name in both:
        ends = np.cumsum(spent[name]).tolist()
        report.rows.append(Timed(0.0, ends, [batch_size] * len(ends), tokens[name]).row(name))
    report.ratios["injected/plain, tokens a second"] = (
        report["injected"].tokens_per_second / report["plain"].tokens_per_second
    )
    return report
