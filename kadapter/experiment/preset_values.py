"""What may stand in a preset: every key with the type, range, default and meaning of its value. `preset_check` says
what must agree with what."""

from typing import Annotated, Any

from pydantic import Field

from kadapter import catalog
from kadapter.experiment.shares import KINDS
from kadapter.model.config import AdapterConfig
from kadapter.model.tuning_config import TUNINGS
from kadapter.training.settings import Settings
from kadapter.values import Like, MaxLength, Name, OneOf, Seed, Values, Words, extended, of, value

SPLITS = ("train", "dev", "test")
OVERLAP = ("remove", "keep")

Files = str | Annotated[list[str], Field(min_length=1)]
Fusion = Annotated[
    str,
    OneOf("fusion", catalog.FUSIONS),
    value("how downstream models join the backbone's state and the adapters (kadapter.model.fusion)"),
]
Options = Annotated[dict[str, Any], value("options of the task, as listed below")]
Seeds = Annotated[list[Seed], value("one fine-tuning for each", least=1)]
Model = Annotated[
    str, Words(f"{', '.join(catalog.ROWS)} (an adapter without knowledge), or names of adapters joined by +")
]

OWN_SETTINGS = (*catalog.TUNED, catalog.RETRIEVAL)  # rows that train otherwise than those beside them
FULL_REGIMES = tuple(regime for regime in catalog.REGIMES if regime not in catalog.TUNED)
TRAINING = extended(of(Settings, ("regime", "seed")), max_length=(MaxLength, 64))
Training = Annotated[dict[str, Any], Like(TRAINING)]
TASK_TRAINING = extended(
    TRAINING,
    **{regime: (Annotated[Training, value(f"what differs in the regime {regime}")], {}) for regime in FULL_REGIMES},
    **{row: (Annotated[Training, value(f"what differs in the row {row}")], {}) for row in OWN_SETTINGS},
)


class Cut(Values):
    """`split`: one set of files cut into splits."""

    files: Annotated[Files, value("a file or a list of files, shuffled by the seed and cut", alias="from")]
    by: Annotated[
        str,
        OneOf("split.by", ("example", "sentence", "class")),
        value(
            "`sentence` keeps records of the same text (context, paragraphs) in one split, `class` those of one label"
        ),
    ]
    parts: Annotated[
        dict[Annotated[str, OneOf("part of a split", SPLITS)], Annotated[float, Field(gt=0, le=1)]],
        value("split: share, as {train: 0.8, dev: 0.2}; they sum to 1", least=1),
    ]
    seed: Annotated[Seed, value("of the shuffle")] = 0


def left_out(default: Any = None) -> Any:
    """A value that need not be given; where it is, null is none."""
    return Field(default=default)


class Dataset(Values):
    """An entry of `datasets`: files in one format."""

    format: Annotated[str, OneOf("format", catalog.FORMATS), value("how they are read (kadapter.catalog.FORMATS)")]
    path: Annotated[str, value("their folder, relative to the data folder or absolute")] = ""
    train: Annotated[Files, value("a file or a list of files, relative to that folder")] = left_out(None)
    dev: Annotated[Files, value("as train")] = left_out(None)
    test: Annotated[Files, value("as train")] = left_out(None)
    split: Annotated[Cut, value("instead: files to be cut into splits")] = left_out(None)
    deduplicate: Annotated[bool, value("drop from train what occurs twice, or in dev or test")] = False
    texts: Annotated[
        Files,
        value(
            "of `graph_text`: files that say what names mean, relative to the data folder, where none lies beside it"
        ),
    ] = left_out(None)
    optional: Annotated[bool, value("where its files are missing, the tasks on it are left out")] = False
    labels: Annotated[
        str,
        OneOf("labels", ("train", "all")),
        value("`train` (a label that training never saw is an error) or `all` (those of all splits)"),
    ] = "train"


class Data(Values):
    """`data`: the embedded corpus, the facts of the package, or a folder; without any that of KADAPTER_DATA."""

    world: Annotated[dict[str, Any], value("the embedded corpus, as {seed: 0, entities: 1000}")] = left_out(None)
    path: Annotated[str, value("a folder of files")] = left_out(None)
    facts: Annotated[dict[str, Any], value("real facts that come with the package, as {seed: 0}")] = left_out(None)


class LamaProbes(Values):
    """`probe.lama`: probes of LAMA, where the data folder has their files (of the embedded world: its own)."""

    probes: Annotated[
        list[Annotated[str, OneOf("probe", catalog.PROBES)]], value("in this order; LAMA-UHN beside each", least=1)
    ]
    words: Annotated[
        str,
        value(
            "the word list among which answers are looked for, a file or a name in the data folder; `objects`: those "
            "of the relation",
            least=1,
        ),
    ] = "common_vocab_cased.txt"
    limit: Annotated[int, value("facts of a relation, the first; 0 for all", 0, 10**9)] = 0
    names_by: Annotated[
        str, value("the masked model that guesses from persons' names (LAMA-UHN); left out: the first row's, if masked")
    ] = ""
    heads: Annotated[
        str,
        value(
            "the task `text` that trained a language head for each row; left out: rows speak with the backbone's own"
        ),
    ] = ""


class Probe(Values):
    """`probe`: what models are asked as they are, without any training for it."""

    datasets: Annotated[
        list[str],
        value(
            "entries of datasets with test: facts with [MASK], or plain text for its perplexity",
            least=1,
        ),
    ] = left_out(None)
    seeds: Annotated[list[Seed], value("one pre-training of every adapter for each", least=1)] = [0]
    lama: Annotated[LamaProbes, value("probes of LAMA")] = left_out(None)


FROZEN = "frozen"  # of map_tuning.tunings, beside those of kadapter.model.tuning
MAP_ROWS = (
    "chance", "plain", "mapping", "mapping_dev", "mapping_task", "mapping_tuned", "mapping_shuffled",
    "mapping_task_shuffled", "F", "F+mapping", "retrieval", "oracle",
)  # fmt: skip


GENERAL_ROWS = ("mapping", "mapping_dev", "mapping_tuned", "mapping_shuffled", "F+mapping")  # of a general mapping


class Episodes(Values):
    """`map_tuning.tasks.NAME.episodes`: of the task `fewshot`, of relations, no label twice."""

    ways: Annotated[int, value("classes of an episode of train and dev", 2, 1000)] = 5
    shots: Annotated[int, value("labelled examples of each", 1, 1000)] = 1
    queries: Annotated[int, value("questions for each class of an episode, in every split", 1, 1000)] = 5
    train: Annotated[int, value("episodes that are trained on", 1, 10_000_000)] = 3000
    dev: Annotated[int, value("episodes of dev", 1, 10_000_000)] = 100
    settings: Annotated[
        list[Annotated[list[Annotated[int, Field(ge=1, le=1000)]], Field(min_length=2, max_length=2)]],
        value(
            "[ways, shots] of the episodes that are asked: a row's task is called after each, as fewrel_10_1", least=1
        ),
    ] = [[5, 1], [5, 5], [10, 1], [10, 5]]
    asked: Annotated[int, value("questions of each setting", 1, 10_000_000)] = 5000


class MapTask(Values):
    """An entry of `map_tuning.tasks`: a downstream task whose models know nothing of the graph."""

    task: Annotated[str, OneOf("task", catalog.TASKS), value("what is asked")]
    dataset: Annotated[str, value("an entry of datasets, with train, dev and test, whose mentions have ids")]
    training: Annotated[
        dict[str, Any],
        Like(of(Settings, ("regime", "seed"))),
        value("settings of the downstream model, as listed below"),
    ]
    mapping: Annotated[
        dict[str, Any],
        Like(of(Settings, ("regime", "seed"))),
        value("settings of task-specific map-tuning, as listed below"),
    ]
    task_options: Options = {}
    max_length: MaxLength = 64
    episodes: Annotated[Episodes, value("how the task `fewshot` is asked")] = left_out({})
    rows: Annotated[bool, value("the data's ids are rows of the entity embeddings, as Wiki-ET's")] = False
    oracle: Annotated[
        str | None, value("an entry of datasets whose test asks for the same entities in contexts that tell")
    ] = None


class Tuning(Values):
    """An entry of `map_tuning.tunings`: how downstream models are tuned. `frozen` trains a new head alone; a language
    model, which has one, answers as it is."""

    options: Annotated[dict[str, Any], value("of the method, as the rank of LoRA")] = {}
    training: Annotated[
        dict[str, Any],
        Like(of(Settings, ("regime", "seed"))),
        value("settings over those of the task, as listed below"),
    ] = {}


class Domain(Values):
    """An entry of `map_tuning.domains.of`: a domain with a knowledge graph of its own."""

    graph: Annotated[str, value("an entry of datasets with train: its triples")]
    corpus: Annotated[str, value("an entry of datasets with train and dev: its sentences whose mentions have ids")]
    test: Annotated[str, value("an entry of datasets with test: what is asked about it")]


class Domains(Values):
    """`map_tuning.domains`: the mappings of several domains in one frozen model (Zhang et al., 2023, Section 5.4)."""

    task: Annotated[str, OneOf("task", catalog.TASKS), value("what is asked")]
    dataset: Annotated[str, value("an entry of datasets, with train and dev of all domains")]
    training: Annotated[
        dict[str, Any],
        Like(of(Settings, ("regime", "seed"))),
        value("settings of the downstream model, as listed below"),
    ]
    mapping: Annotated[
        dict[str, Any],
        Like(of(Settings, ("regime", "seed"))),
        value("settings of task-specific map-tuning, as listed below; left out: general mappings alone"),
    ] = {}
    task_options: Options = {}
    max_length: MaxLength = 64
    of: Annotated[dict[Name, Domain], value("name: a domain", least=2)]


class MapTuningSection(Values):
    """`map_tuning`: mappings of a knowledge graph, plugged into frozen downstream models (Zhang et al., 2023)."""

    corpus: Annotated[
        str,
        value(
            "an entry of datasets with train and dev: sentences whose mentions have ids; left out where no row has a "
            "general mapping"
        ),
    ] = ""
    graph: Annotated[str, value("an entry of datasets with train: triples to train embeddings from")] = ""
    embeddings: Annotated[
        dict[str, Any],
        value("settings of their training (kadapter.graphs.training), or {path: FOLDER} of embeddings that are there"),
    ] = {}
    facts: Annotated[
        str, value("an entry of datasets in graph_text with train: triples in words, for the row `retrieval`")
    ] = ""
    hidden: Annotated[int | None, value("width between a mapping's two layers; null: one affine layer", 1)] = None
    language: Annotated[Training, value("of a language layer, where the backbone has no head of its own")] = {}
    spoken: Annotated[
        str, value("an entry of datasets with train and dev: the sentences that layer learns from; left out: `corpus`")
    ] = ""
    general: Annotated[Training, value("of general map-tuning")] = {}
    dropouts: Annotated[
        list[Annotated[float, Field(ge=0, lt=1)]],
        value("of the frozen backbone; a mapping for each, the first is the one that is reported", least=1),
    ] = [0.25]
    tasks: Annotated[dict[str, MapTask], value("name: a downstream task", least=1)] = left_out(None)
    tunings: Annotated[
        dict[Annotated[str, OneOf("tuning", (*TUNINGS, FROZEN))], Tuning],
        value("how downstream models are tuned", least=1),
    ] = left_out(None)
    models: Annotated[list[Annotated[str, OneOf("row", MAP_ROWS)]], value("rows of the table", least=1)] = [*MAP_ROWS]
    domains: Annotated[Domains, value("mappings of several domains in one model")] = left_out({})


class Knowledge(Values):
    """An entry of `knowledge`: an adapter to pre-train."""

    knowledge: Annotated[str, OneOf("knowledge", catalog.KNOWLEDGE), value("its kind (kadapter.catalog.KNOWLEDGE)")]
    dataset: Annotated[str, value("an entry of datasets, with train and dev")]
    adapter: Annotated[
        dict[str, Any],
        Like(AdapterConfig, ("hidden_size",)),
        value("sizes, as listed below; what is left out scales with the backbone"),
    ]
    training: Annotated[Training, value("settings, as listed below")]
    task_options: Options = {}
    examples: Annotated[dict[str, Any], value("options of what makes the kind's examples, as listed below")] = {}
    test: Annotated[
        bool, value("score it on its dataset's split test, too, beside baselines that have not its knowledge")
    ] = False
    fusion: Annotated[Fusion, value("while it is pre-trained; the preset's where it is left out")] = "concat"
    seed: Annotated[
        Seed, value("of this pre-training: two entries that differ in it alone show how much another one matters")
    ] = 0


class Task(Values):
    """An entry of `tasks`: a downstream task."""

    task: Annotated[str, OneOf("task", catalog.TASKS), value("what is asked (kadapter.catalog.TASKS)")]
    dataset: Annotated[str, value("an entry of datasets, with train, dev and test")]
    regimes: Annotated[list[Annotated[str, OneOf("regime", catalog.REGIMES)]], value("of fine-tuning", least=1)]
    training: Annotated[
        dict[str, Any],
        Like(TASK_TRAINING),
        value("settings, as listed below; under a regime's name what differs in that regime"),
    ]
    task_options: Options = {}
    models: Annotated[
        dict[str, Annotated[list[Model], Field(min_length=1)]],
        value("regime: the rows that it has, where it has not all, as {paper: [backbone, F]}"),
    ] = {}


class Multitask(Values):
    """`multitask`: the backbone itself trained on knowledge (Figure 1a), for the row of this name."""

    knowledge: Annotated[list[str], value("names of entries of knowledge", least=1)] = left_out(None)
    training: Annotated[Training, value("settings, as listed below")] = left_out(None)


class Elastic(Values):
    """`continual.elastic`: the row `ewc` (`kadapter.training.ewc`)."""

    strength: Annotated[float, value("lambda: how tightly weights are held where earlier kinds need them", 0)] = 1e6
    samples: Annotated[int, value("training examples of a kind that its Fisher information is measured on", 1)] = 64


class Continual(Values):
    """`continual`: kinds of knowledge one after another, all of them scored again after each."""

    orders: Annotated[
        list[Annotated[list[str], Field(min_length=1)]],
        value("orders of learning: each has the same entries of knowledge, with test in their datasets", least=1),
    ] = left_out(None)
    task: Annotated[str, value("an entry of tasks: tested after each stage, only fusion and head trained")] = left_out(
        None
    )
    rows: Annotated[list[Annotated[str, OneOf("row", catalog.CONTINUAL)]], value("how they are learned", least=1)] = (
        list(catalog.CONTINUAL)
    )
    seeds: Seeds = [0]
    training: Annotated[
        dict[Annotated[str, OneOf("row", catalog.CONTINUAL)], Training],
        value("row: settings over those of the kinds"),
    ] = {}
    elastic: Annotated[Elastic, value("the row ewc")] = left_out({})


class Resources(Values):
    """An entry of `resources`: what a stage of this kind takes of a cluster's node."""

    cpus: Annotated[int, value("cores, as many threads", 1, 4096)] = left_out(None)
    gpus: Annotated[float, value("GPUs; a part of one is shared with other stages", 0, 64)] = left_out(None)
    memory: Annotated[float, value("GiB that a node must have free; 0 for any", 0, 2**16)] = left_out(None)
    hours: Annotated[float, value("limit of a job's time in a SLURM queue; 24 where it is left out", above=0)] = (
        left_out(None)
    )


class Brief(Values):
    """`brief`: the part that is run when nobody asks for more; `--set tasks=all` runs everything."""

    tasks: Annotated[list[str], value("names of entries of tasks", least=1)] = left_out(None)
    models: Annotated[list[Model], value("rows", least=1)] = left_out(None)


class Preset(Values):
    """The top of a preset."""

    name: Annotated[Name, value("that of the file, and of the folder of its runs")]
    about: Annotated[str, value("one sentence for `kadapter presets`")]
    citation: Annotated[str, value("of what is reproduced")] = ""
    backbone: Annotated[str, value("minilm, smollm2, a folder, or a Hub id", least=1)]
    fusion: Fusion = "concat"
    tuning: Annotated[
        dict[Annotated[str, OneOf("tuning", catalog.TUNED)], dict[str, Any]],
        value("row: options of how it tunes the backbone, as {lora: {r: 8}}, listed below"),
    ] = {}
    data: Annotated[Data, value("where the data is")] = left_out({})
    overlap: Annotated[
        str,
        OneOf("overlap", OVERLAP),
        value(
            "`remove` what adapters would learn from and dev or test of a task holds, too (kadapter.data.overlap), or "
            "`keep` it; it is counted both ways"
        ),
    ] = "remove"
    datasets: Annotated[dict[str, Dataset], value("name: files in one format")]
    knowledge: Annotated[dict[str, Knowledge], value("name: an adapter to pre-train")] = {}
    multitask: Annotated[Multitask, value("the row multitask")] = left_out({})
    tasks: Annotated[dict[str, Task], value("name: a downstream task")] = {}
    probe: Annotated[Probe, value("what models are asked as they are")] = left_out({})
    continual: Annotated[Continual, value("kinds of knowledge one after another")] = left_out({})
    map_tuning: Annotated[MapTuningSection, value("mappings of a knowledge graph")] = left_out({})
    models: Annotated[list[Model], value("rows of the tables", least=1)] = ["backbone"]
    seeds: Seeds = [0]
    resources: Annotated[
        dict[Annotated[str, OneOf("kind of stage", KINDS)], Resources],
        value("kind of stage (data, pretrain, finetune, ...): what it takes of a node, for `kadapter run --on`"),
    ] = {}
    pretraining_seeds: Annotated[
        list[Seed],
        value(
            "one pre-training of every adapter (and of the row multitask) for each, added to the entry's own seed; "
            "fine-tunings stand on them in turn, so that intervals cover both",
            least=1,
        ),
    ] = [0]
    brief: Annotated[Brief, value("what is run when nobody asks for more")] = left_out({})
