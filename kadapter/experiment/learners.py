"""The rows of continual infusion: what each of them does with one more kind of knowledge. They differ in the parts that
train (`REGIMES`), in what is kept from one kind to the next, and in nothing else: all train through `fit`.

The claim of Figure 1 of the paper, put beside what it stands against.
"""

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from kadapter.experiment.multitask import MixedExamples, MultitaskModel
from kadapter.model.adapter import AdapterConfig, KnowledgeAdapter, build_adapter
from kadapter.model.backbone import Backbone
from kadapter.model.fusion import Fusion
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.tasks.base import Task
from kadapter.training.batches import Encoded
from kadapter.training.ewc import ElasticWeights
from kadapter.training.fit import fit
from kadapter.training.settings import Settings


@dataclass(frozen=True)
class Kind:
    """A kind of knowledge as every row learns it: its task, examples and adapter sizes, and training settings without
    regime and seed."""

    name: str
    task: Task
    train: Encoded
    test: Encoded
    adapter: AdapterConfig
    training: Mapping[str, Any]


@dataclass(frozen=True)
class Cost:
    """What one stage took: seconds, seconds of the processor (of all its cores), parameters that trained (heads left
    out), and numbers kept beside them for it."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    trained: int = 0
    beside: int = 0


class Learner(ABC):
    """A row that learns kinds one after another.

    Args:
        kinds: name -> kind; heads and adapters of them all are made from `seed`.
        backbone: as it was loaded; never changed.
        training: settings of this row, over those of the kinds.
        cache: root of the stores of frozen states.
    """

    by_set = False  # what it knows depends on the kinds, not on their order: each set is learned from nothing

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        backbone: Backbone,
        fusion: str,
        training: Mapping[str, Any],
        seed: int,
        cache: Path,
    ) -> None:
        self.kinds, self.backbone, self.fusion = dict(kinds), backbone, fusion
        self.training, self.seed, self.cache = dict(training), seed, cache
        self.learned: tuple[str, ...] = ()
        self.models: dict[str, KnowledgeModel] = {}

    def learn(self, learned: Sequence[str]) -> Cost:
        """Go on from `learned[:-1]` to `learned`, of which one that is alone starts anew; () forgets everything."""
        self.learned = tuple(learned)
        if len(learned) <= 1:
            self.begin()
        return self.add(learned[-1]) if learned else Cost()

    @abstractmethod
    def begin(self) -> None:
        """Know nothing."""

    @abstractmethod
    def add(self, name: str) -> Cost:
        """Learn the kind `name`, the last of `learned`."""

    @abstractmethod
    def knowing(self, task: Task | None = None) -> KnowledgeModel:
        """What has been learned, all of it plugged in, with a new head for a task."""

    def answering(self, name: str) -> KnowledgeModel:
        """The model that answers on a kind, as it is now; one that was not learned yet has a new head."""
        return self.models[name] if name in self.models else self.knowing(self.kinds[name].task)

    def stored(self) -> int:
        """Parameters that are needed to answer, beyond the backbone as it was loaded; heads left out."""
        given = {id(p) for p in self.backbone.parameters()}
        model = self.knowing()
        return sum(p.numel() for p in {id(p): p for p in model.parameters()}.values() if id(p) not in given)

    def settings(self, kind: Kind, regime: str) -> Settings:
        """How this row trains on a kind. No epoch is chosen: nobody could score the kinds of before on their dev."""
        given = {**kind.training, **self.training, "regime": regime, "seed": self.seed, "select": "last"}
        given.pop("max_length", None)  # the task's
        return Settings.from_dict(given)

    def timed(self, model: Any, train: Any, settings: Settings, penalty: ElasticWeights | None = None) -> Cost:
        """Fit, and what it took."""
        started, cpu = time.perf_counter(), time.process_time()
        fit(model, train, None, settings, self.cache / "fit", progress=False, cache=self.cache, penalty=penalty)
        heads = {
            id(p)
            for m in model.modules()
            if isinstance(m, KnowledgeModel) and m.head is not None
            for p in m.head.parameters()
        }
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad and id(p) not in heads)
        return Cost(time.perf_counter() - started, time.process_time() - cpu, trained)


class KAdapter(Learner):
    """K-Adapter: a new adapter for every kind beside the frozen backbone, trained by itself."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.trained: dict[str, KnowledgeModel] = {}
        self.costs: dict[str, Cost] = {}

    def begin(self) -> None:
        self.models = {}

    def add(self, name: str) -> Cost:
        """An adapter depends on its kind alone, so that it is trained once for all orders."""
        if name not in self.trained:
            kind = self.kinds[name]
            adapter = build_adapter(kind.adapter, self.seed)
            model = KnowledgeModel(self.backbone, self.fusion, {name: adapter}, kind.task, self.seed)
            self.costs[name] = self.timed(model, kind.train, self.settings(kind, "adapter"))
            self.trained[name] = model
        self.models[name] = self.trained[name]
        return self.costs[name]

    def knowing(self, task: Task | None = None) -> KnowledgeModel:
        return KnowledgeModel(self.backbone, self.fusion, self._adapters(), task, self.seed)

    def answering(self, name: str) -> KnowledgeModel:
        """With the adapters of all kinds plugged in."""
        if name not in self.models:
            return KnowledgeModel(self.backbone, self.fusion, {}, self.kinds[name].task, self.seed)
        return among(self.models[name], self._adapters(), name)

    def _adapters(self) -> dict[str, KnowledgeAdapter]:
        return {name: self.models[name].adapters[name] for name in self.learned}


class ReadsOne(nn.Module):
    """A fusion that was made for one adapter, given the outputs of several: it reads the one at `place`."""

    def __init__(self, fusion: Fusion, place: int) -> None:
        super().__init__()
        self.own, self.kind, self.place = fusion, fusion.kind, place

    def forward(
        self, last: Float[Tensor, "batch tokens hidden"], outputs: Sequence[Float[Tensor, "batch tokens hidden"] | None]
    ) -> Float[Tensor, "batch tokens width"]:
        return self.own(last, [outputs[self.place]])


def among(own: KnowledgeModel, adapters: dict[str, KnowledgeAdapter], name: str) -> KnowledgeModel:
    """One kind's model while the adapters of other kinds are plugged in beside its own: all of them compute, its fusion
    and head read its own.

    Args:
        own: the model of the kind, with one adapter.
        adapters: those of all kinds.
        name: of the kind.
    """
    model: Any = KnowledgeModel(own.backbone, own.fusion.kind, adapters)  # Any: its fusion is exchanged
    model.fusion = ReadsOne(own.fusion, list(adapters).index(name))
    model.head, model.task = own.head, own.task
    return model.eval()


class InSequence(Learner):
    """The same weights trained on one kind after another, a new head for each."""

    regime = "paper"  # no adapters: the backbone, fusion and head

    def begin(self) -> None:
        self.models = {}
        self.base, self.adapters = self.own_backbone(), self.own_adapters()

    def own_backbone(self) -> Backbone:
        """The backbone that will train."""
        return copy.deepcopy(self.backbone)

    def own_adapters(self) -> dict[str, KnowledgeAdapter]:
        """The adapters that will train."""
        return {}

    def add(self, name: str) -> Cost:
        kind = self.kinds[name]
        model = self.knowing(kind.task)
        cost = self.train(model, kind)
        self.models[name] = model
        return cost

    def train(self, model: KnowledgeModel, kind: Kind) -> Cost:
        """Train on one kind."""
        return self.timed(model, kind.train, self.settings(kind, self.regime))

    def knowing(self, task: Task | None = None) -> KnowledgeModel:
        return KnowledgeModel(self.base, self.fusion, self.adapters, task, self.seed)


class Lora(InSequence):
    """LoRA (Hu et al., 2022): the same low-rank matrices in the frozen backbone for every kind."""

    regime = "lora"

    def own_backbone(self) -> Backbone:
        """One that shares the frozen weights."""
        return copy.deepcopy(self.backbone, {id(p): p for p in self.backbone.parameters()})


class Shared(InSequence):
    """One knowledge adapter beside the frozen backbone for every kind."""

    regime = "adapter"

    def own_backbone(self) -> Backbone:
        return self.backbone

    def own_adapters(self) -> dict[str, KnowledgeAdapter]:
        return {"shared": build_adapter(next(iter(self.kinds.values())).adapter, self.seed)}


class Elastic(InSequence):
    """Elastic weight consolidation (Kirkpatrick et al., 2017): full fine-tuning that is held near what it knew."""

    def __init__(self, *args: Any, strength: float, samples: int) -> None:
        super().__init__(*args)
        self.strength, self.samples = strength, samples

    def begin(self) -> None:
        super().begin()
        self.elastic = ElasticWeights(self.strength, self.samples, self.seed)

    def train(self, model: KnowledgeModel, kind: Kind) -> Cost:
        cost = self.timed(model, kind.train, self.settings(kind, self.regime), self.elastic)
        started, cpu = time.perf_counter(), time.process_time()
        self.elastic.remember(model, kind.train)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
        return Cost(cost.seconds + seconds, cost.cpu_seconds + cpu_seconds, cost.trained, self.elastic.parameters)


class Multitask(Learner):
    """A new copy of the backbone trained on all kinds so far at once (Figure 1a of the paper): nothing is forgotten,
    and every stage costs all stages. All kinds have the epochs of the one with most."""

    by_set = True

    def begin(self) -> None:
        self.models, self.base = {}, self.backbone

    def add(self, name: str) -> Cost:
        self.base = copy.deepcopy(self.backbone)
        kinds = [self.kinds[each] for each in self.kinds if each in self.learned]
        self.models = {kind.name: KnowledgeModel(self.base, self.fusion, {}, kind.task, self.seed) for kind in kinds}
        first = max(kinds, key=lambda kind: kind.training.get("epochs", Settings.epochs))
        model = MultitaskModel(self.models)
        return self.timed(model, MixedExamples([k.train for k in kinds]), self.settings(first, "paper"))

    def knowing(self, task: Task | None = None) -> KnowledgeModel:
        return KnowledgeModel(self.base, self.fusion, {}, task, self.seed)


LEARNERS: dict[str, type[Learner]] = {
    "kadapter": KAdapter,
    "full": InSequence,
    "lora": Lora,
    "ewc": Elastic,
    "shared": Shared,
    "multitask": Multitask,
}
"""Row -> how it learns; the names are `catalog.CONTINUAL`'s."""
