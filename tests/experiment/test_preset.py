"""Presets: the ones that come along are whole, every mistake is one sentence, and the sizes are those of the paper."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.experiment import graph, preset
from kadapter.experiment.preset_values import SPLITS
from kadapter.model.fusion import Fusion


@pytest.mark.parametrize("name", preset.names())
def test_every_preset_is_whole(name):
    loaded = preset.load(name)
    assert loaded["name"] == name and loaded["about"]
    from kadapter.model.adapter import AdapterConfig
    from kadapter.training.fit import Settings

    for entry in loaded["knowledge"].values():
        sizes = entry["adapter"] | {"plug_layers": tuple(entry["adapter"]["plug_layers"])}
        assert AdapterConfig(hidden_size=384, **sizes).to_dict().items() >= entry["adapter"].items()
    for settings in [entry["training"] for entry in loaded["knowledge"].values()] + [
        preset.training_for(task, regime) for task in loaded["tasks"].values() for regime in task["regimes"]
    ]:
        assert settings.pop("max_length") > 0
        assert Settings(**settings).epochs > 0


def test_the_two_of_wang2021_differ_where_paper_and_scripts_differ():
    """The ledger of the project, row by row: what the paper says, what the official scripts run."""
    paper, official = (preset.load(f"wang2021_{source}_roberta_large") for source in ("kadapter", "official"))
    sizes = {"width": 768, "layers": 2, "heads": 12, "inner": 3072, "dropout": 0.1, "init_std": 2e-4}
    for entry in (*paper["knowledge"].values(), *official["knowledge"].values()):
        assert entry["adapter"].items() >= (sizes | {"activation": "gelu", "layer_norm_eps": 1e-5}).items()
    for loaded, adapter, fusion, pooling in (
        (paper, {"plug_layers": [0, 11, 23], "combine": "concat", "mask_padding": True}, "concat", "mean"),
        (official, {"plug_layers": [0, 11, 22], "combine": "add", "mask_padding": False}, "project", "marker"),
    ):
        assert loaded["backbone"] == "roberta-large" and loaded["fusion"] == fusion
        assert loaded["knowledge"]["F"]["task_options"] == {"pooling": pooling}
        for entry in loaded["knowledge"].values():
            assert entry["fusion"] == fusion
            assert entry["adapter"].items() >= adapter.items()
    columns = ("batch_size", "epochs", "max_length", "learning_rate", "warmup_steps")
    expected = {
        ("kadapter", "F"): (128, 5, 64, 2e-5, 1200),
        ("kadapter", "L"): (256, 10, 128, 1e-5, 500),
        ("official", "F"): (4 * 64, 5, 64, 5e-5, 1200),
        ("official", "L"): (4 * 32, 10, 64, 2e-5, 500),
    }
    for (source, name), values in expected.items():
        loaded = paper if source == "kadapter" else official
        assert tuple(loaded["knowledge"][name]["training"][c] for c in columns) == values, (source, name)
    for loaded in (paper, official):
        tuned = {name: preset.training_for(task, "paper") for name, task in loaded["tasks"].items()}
        assert (tuned["open_entity"]["batch_size"], tuned["open_entity"]["learning_rate"]) == (4, 5e-6)
        assert (tuned["tacred"]["batch_size"], tuned["tacred"]["learning_rate"]) == (4 * 8, 1e-5)


def test_the_names_are_those_of_the_modules():
    """Presets are checked without torch: the catalog holds the names of what needs it."""
    from kadapter.model.regimes import REGIMES

    assert {"adapter", "mapping", *catalog.REGIMES} == set(REGIMES)
    with pytest.raises(
        KAdapterError, match="unknown fusion 'sum': known: add, attention, concat, gate, project, residual"
    ):
        Fusion("sum", 4, 1)


def test_a_misspelt_key_is_refused_without_torch():
    code = (
        "import sys; from kadapter.experiment import preset\n"
        "try: preset.load('embedded', ['tasks.typing.training.frozen.epoch=1'])\n"
        "except ValueError as error: print(error)\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "unknown tasks.typing.training.frozen key 'epoch': did you mean 'epochs'?" in told


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sees=[1]", "unknown key 'sees': did you mean 'seeds'"),
        ("tasks.typng.training.epochs=1", "unknown task 'typng': did you mean 'typing'"),
        ("knowledge.G.training.epochs=1", "unknown knowledge entry 'G'.* known: F, L"),
        ("tasks.typing.training.epoch=1", "unknown tasks.typing.training key 'epoch': did you mean 'epochs'"),
        ("tasks.typing.training.frozen.epoch=1", "unknown tasks.typing.training.frozen key 'epoch'"),
        ("tasks.typing.training.epochs=1", r"for all regimes and for frozen: set .*training\.frozen\.epochs alone"),
        ("tasks.typing.training.batch_size=many", r"training\.batch_size: found 'many'; expected a whole"),
        ("tasks.typing.training.bf16=3", "bf16: found 3; expected yes or no or 'auto'"),
        ("tasks.typing.task=typin", "unknown task 'typin': did you mean 'typing'"),
        ("tasks.typing.regimes=[frosen]", "unknown regime 'frosen': did you mean 'frozen'"),
        ("tasks.typing.dataset=world_typin", "unknown dataset 'world_typin': did you mean 'world_typing'"),
        ("tasks.typing.dataset=world_factual", "tasks.typing needs the split test of dataset 'world_factual'"),
        ("knowledge.F.knowledge=factua", "unknown knowledge 'factua': did you mean 'factual'"),
        ("knowledge.F.adapter.widht=3", "unknown knowledge.F.adapter key 'widht': did you mean 'width'"),
        ("knowledge.F.adapter.plug_layers=3", "knowledge.F.adapter.plug_layers: found 3; expected a list"),
        ("knowledge.F.adapter.mask_padding=1", "mask_padding: found 1; expected yes or no"),
        ("knowledge.F.seed=one", "knowledge.F.seed: found 'one'; expected a whole number"),
        ("knowledge.a/b={}", "'a/b' is no name for a knowledge entry"),
        ("knowledge.none={}", "'none' is no name for a knowledge entry"),
        ("fusion=conct", "unknown fusion 'conct': did you mean 'concat'"),
        ("models=[F+Q]", r"unknown adapter in model 'F\+Q': 'Q'"),
        ("models=[bakbone]", "unknown model 'bakbone': did you mean 'backbone'"),
        ("models=[F+F]", r"'F\+F' plugs an adapter in twice"),
        ("models=[]", r"models: found \[\]; expected a list of at least 1"),
        ("seeds=[0,0]", "expected at least one, none twice"),
        ("seeds=0", "seeds: found 0; expected a list"),
        ("seeds=[0", "--set seeds=.* no YAML"),
        ("seeds", "--set seeds: found no key=value"),
        ("about.x=1", "--set about.x=1: about is .* and has no keys"),
        ("data.world.sed=1", "unknown data.world key 'sed': did you mean 'seed'"),
        ("data.path=/tmp", "found both world and path"),
        ("datasets.world_typing.format=entity", "unknown format 'entity': did you mean 'entity_typing'"),
        ("datasets.world_typing.split={from: a, by: sentence, parts: {train: 0.5}}", "shares above 0 that sum"),
        ("datasets.world_typing.split={from: a, by: sentence, parts: {train: 1.0}}", "both a file and a part of"),
        ("datasets.world_typing.split={from: a, by: word, parts: {train: 1.0}}", "unknown split.by 'word'"),
        ("datasets.world_typing.labels=some", "unknown labels 'some'"),
        ("overlap=kep", "unknown overlap 'kep': did you mean 'keep'"),
        ("backbone=[1]", r"backbone: found \[1\]; expected text"),
        ("name=../../evil", "name: found '../../evil'; expected a name of at most 100 letters, digits"),
        ("name=/tmp/evil", "name: found '/tmp/evil'; expected a name"),
        ("name=.", "name: found '.'; expected a name"),
        (f"name={'x' * 300}", "name: found 'xxxx.*; expected a name of at most 100 letters"),
        (f"knowledge.{'x' * 300}={{}}", "is no name for a knowledge entry"),
        ("tasks=[]", r"tasks: found \[\]; expected a list of at least 1, each text"),
        ("tasks=[[1]]", r"tasks\[0\]: found \[1\]; expected text"),
        ("tasks={}", "tasks: found none; expected at least one, a section probe or map_tuning, or knowledge"),
        ("tasks.typing.regimes=[]", r"tasks.typing.regimes: found \[\]; expected a list of at least 1, each one of"),
        ("tasks.typing.regimes=[frozen, frozen]", "regimes: .* expected at least one, none twice"),
        ("tasks.typing.models={paper: []}", r"tasks.typing.models.paper: found \[\]; expected a list of at least 1"),
        ("tasks.typing.models={papre: [F]}", "unknown regime 'papre': did you mean 'paper'"),
        ("seeds=[9223372036854775808]", r"seeds\[0\]: found 9223372036854775808; expected a whole number from 0 to"),
        ("seeds=[-1]", r"seeds\[0\]: found -1; expected a whole number from 0 to"),
        ("seeds=[true]", r"seeds\[0\]: found True; expected a whole number"),
        ("seeds=[[0]]", r"seeds\[0\]: found \[0\]; expected a whole number"),
        ("knowledge.F.seed=-1", "knowledge.F.seed: found -1; expected a whole number from 0"),
        ("knowledge.F.adapter.heads=0", "knowledge.F.adapter.heads: found 0; expected a whole number from 1 to 1,024"),
        ("knowledge.F.adapter.width=-64", "knowledge.F.adapter.width: found -64; expected a whole number from 1"),
        ("knowledge.F.adapter.width=0", "knowledge.F.adapter.width: found 0; expected"),
        ("knowledge.F.adapter.width=1e9", "knowledge.F.adapter.width: found 1000000000.0; expected a whole number"),
        ("knowledge.F.adapter.layers=-1", "knowledge.F.adapter.layers: found -1; expected a whole number from 1"),
        ("knowledge.F.adapter.layers=10000000", "knowledge.F.adapter.layers: found 10000000; expected .* to 128"),
        ("knowledge.F.adapter.dropout=2", "knowledge.F.adapter.dropout: found 2; expected a number from 0 to below 1"),
        ("knowledge.F.adapter.dropout=.nan", "knowledge.F.adapter.dropout: found nan; expected a number"),
        ("knowledge.F.adapter.plug_layers=[true]", r"adapter.plug_layers\[0\]: found True; expected a whole number"),
        ("knowledge.F.adapter.plug_layers=[]", r"adapter.plug_layers: found \[\]; expected a list of at least 1"),
        ("knowledge.F.adapter.combine=sum", "knowledge.F.adapter.combine: unknown combine 'sum'"),
        ("knowledge.F.adapter.hidden_size=384", "unknown knowledge.F.adapter key 'hidden_size'"),
        ("knowledge.F.adapter={width: 10, heads: 4}", "knowledge.F.adapter: adapter width 10 is not a multiple"),
        ("knowledge.F.adapter.plug_layers=[3, 1]", r"knowledge.F.adapter: plug_layers \[3, 1\]: expected .* ascending"),
        ("knowledge.F.training.batch_tokens=-7", "training.batch_tokens: found -7; expected a whole number from 0"),
        ("knowledge.F.training.weight_decay=-5", "training.weight_decay: found -5; expected a number from 0 to 1"),
        ("knowledge.F.training.head_rate=-1", "training.head_rate: found -1; expected a number above 0"),
        ("knowledge.F.training.warmup_ratio=-1", "training.warmup_ratio: found -1; expected a number from 0 to 1"),
        ("knowledge.F.training.max_length=100000", "training.max_length: found 100000; expected .* from 8 to 16,384"),
        ("knowledge.F.training.max_length=-1", "training.max_length: found -1; expected a whole number from 8"),
        ("knowledge.F.training.regime=full", "unknown knowledge.F.training key 'regime'"),
        ("tasks.typing.training.frozen.epochs=0", "training.frozen.epochs: found 0; expected a whole number from 1"),
        ("tasks.typing.training.frozen.learning_rate=.inf", "frozen.learning_rate: found inf; expected a number above"),
        ("tasks.typing.task_options={poolling: mean}", "unknown tasks.typing.task_options key 'poolling': did you"),
        ("tasks.typing.task_options={pooling: men}", "tasks.typing.task_options.pooling: unknown pooling 'men'"),
        ("tasks.typing.task_options={labels: [a]}", "unknown tasks.typing.task_options key 'labels'"),
        ("knowledge.F.task_options={negative: 3}", "knowledge.F.task_options.negative: found 3; expected text"),
        ("data.world.stated=.nan", "data.world.stated: found nan; expected a number from 0 to 1"),
        ("data.world.entities=1000000000000", "data.world.entities: found 1000000000000; expected a whole number from"),
        ("data.world.entities=2.5", "data.world.entities: found 2.5; expected a whole number"),
        ("data.world=[]", r"data.world: found \[\]; expected a mapping"),
        ("datasets.world_typing=3", "datasets.world_typing: found 3; expected a mapping"),
        ("datasets.world_typing.split=null", "datasets.world_typing.split: found None; expected a mapping"),
        ("datasets.world_typing.train=[]", r"train: found \[\]; expected text or a list of at least 1, each text"),
        ("datasets.world_typing.split={from: a, by: sentence, parts: {trian: 1.0}}", "unknown part of a split 'trian'"),
        ("brief.tasks=[]", r"brief.tasks: found \[\]; expected a list of at least 1"),
        (f"seeds={'[' * 5000}", "values stand too deep|no YAML"),
        ("about=2001-01-01", r"about: found datetime.date\(2001, 1, 1\); expected text"),
    ],
)
def test_a_mistake_is_one_sentence(override, message):
    with pytest.raises(KAdapterError, match=message) as error:
        preset.load("embedded", [override])
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


@pytest.mark.parametrize("override", ["seeds=[0,\n1", "a\nb", "seeds={a: 1\nb: [}"])
def test_an_override_of_two_lines_is_told_in_one(override):
    with pytest.raises(KAdapterError) as told:
        preset.load("embedded", [override])
    assert "\n" not in str(told.value) and "\\n" in str(told.value)


def test_overrides_set_single_values():
    changed = preset.load(
        "embedded",
        ["tasks.typing.training.frozen.learning_rate=5e-6", "seeds=[7]", "data.world.entities=50", "citation=a = b"],
    )
    assert preset.training_for(changed["tasks"]["typing"], "frozen")["learning_rate"] == 5e-6
    assert (changed["seeds"], changed["data"]["world"]["entities"], changed["citation"]) == ([7], 50, "a = b")
    same = preset.load("embedded")
    assert changed["tasks"]["relation"] == same["tasks"]["relation"], "what shares a YAML anchor is changed alone"
    assert changed["knowledge"] == same["knowledge"]


@given(st.floats(1e-12, 1e12), st.sampled_from(["{:.0e}", "{:.3e}", "{!r}"]))
def test_numbers_are_numbers_however_written(number, form):
    text = form.format(number)
    value = preset.load("embedded", [f"tasks.typing.training.frozen.learning_rate={text}"])
    assert preset.training_for(value["tasks"]["typing"], "frozen")["learning_rate"] == float(text)


def test_files_of_the_users(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(preset.read("embedded") | {"name": "mine"}))
    assert preset.load(str(path))["name"] == "mine"
    path.write_text(yaml.safe_dump(preset.read("embedded")))
    with pytest.raises(KAdapterError, match=r"mine\.yaml: name: found 'embedded'; expected 'mine'"):
        preset.load(str(path))
    path.write_text("name: [")
    with pytest.raises(KAdapterError, match=r"mine\.yaml, line 1: no YAML"):
        preset.load(str(path))
    path.write_text("- a")
    with pytest.raises(KAdapterError, match=r"mine\.yaml: found \['a'\]; expected a mapping of name, about"):
        preset.load(str(path))
    path.write_text("name: mine\nabout: x")
    with pytest.raises(KAdapterError, match="preset: the key 'backbone' is missing"):
        preset.load(str(path))
    with pytest.raises(KAdapterError, match="unknown preset 'miniatur': did you mean 'miniature'"):
        preset.load("miniatur")
    with pytest.raises(KAdapterError, match="unknown preset '.*other.yaml'"):
        preset.load(str(tmp_path / "other.yaml"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: \xff\xfe", "cannot be read: 'utf-8' codec can't decode"),
        (b"name: &a [*a]", "an anchor holds itself"),
        (b"a: &a [x, x, x, x, x, x, x, x, x, x]\n" + b"".join(
            b"%c: &%c [%s]\n" % (96 + i, 96 + i, b", ".join([b"*%c" % (95 + i)] * 10)) for i in range(2, 11)
        ), "found more than 100,000 values, its anchors put in"),
        (b"name: mine\nabout: \x00", "no YAML: unacceptable character #x0000: special characters are not allowed in"),
        (b"name: " + b"[" * 5000, "stand too deep in each other|no YAML"),
        (b"!!python/object/apply:os.system [touch evil]", "no YAML: could not determine a constructor"),
    ],
)  # fmt: skip
def test_a_hostile_file_is_refused_in_one_sentence(tmp_path, content, message):
    (tmp_path / "mine.yaml").write_bytes(content)
    with pytest.raises(KAdapterError, match=message) as error:
        preset.load(str(tmp_path / "mine.yaml"))
    assert "\n" not in str(error.value)
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(KAdapterError, match="folder.yaml' cannot be read: .*Is a directory"):
        preset.read(str(tmp_path / "folder.yaml"))


def test_data_files_are_found_or_named(tmp_path, monkeypatch):
    monkeypatch.delenv("KADAPTER_DATA", raising=False)
    loaded = preset.load("wang2021_kadapter_roberta_large")
    with pytest.raises(KAdapterError, match="no folder is named: set KADAPTER_DATA to the folder that holds them, or"):
        preset.data_files(loaded)
    monkeypatch.setenv("KADAPTER_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(KAdapterError, match="nowhere, is no folder: set KADAPTER_DATA"):
        preset.data_files(loaded)
    monkeypatch.setenv("KADAPTER_DATA", str(tmp_path))
    with pytest.raises(KAdapterError, match=f"{tmp_path}, is empty: set KADAPTER_DATA"):
        preset.data_files(loaded)
    (tmp_path / "trex-rc").mkdir()
    (tmp_path / "trex-rc" / "train.json").touch()
    with pytest.raises(KAdapterError, match="dataset 'trex_rc': there is no file .*rc/dev.json: .*trex_rc.path=FOLDER"):
        preset.data_files(loaded)
    monkeypatch.delenv("KADAPTER_DATA")

    corpora = tmp_path / "corpora"
    names = {"trex_rc": "trex-rc", "treebank": "treebank", "open_entity": "OpenEntity", "tacred": "TACRED"}
    for name, folder in names.items():
        for split in SPLITS:
            suffix = "conllu" if name == "treebank" else "json"
            file = corpora / folder / f"{split}.{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    together = preset.data_files(preset.load(loaded["name"], [f"data.path={corpora}"]))
    apart = preset.load(loaded["name"], [f"datasets.{name}.path={corpora / folder}" for name, folder in names.items()])
    assert preset.data_files(apart) == together
    assert [str(file.relative_to(corpora)) for file in together] == [
        *("trex-rc/train.json", "trex-rc/dev.json", "treebank/train.conllu", "treebank/dev.conllu"),
        *("OpenEntity/train.json", "OpenEntity/dev.json", "OpenEntity/test.json"),
        *("TACRED/train.json", "TACRED/dev.json", "TACRED/test.json"),
    ]
    assert preset.data_files(preset.load("embedded")) == []


def test_the_files_of_the_miniature_are_there(real_data, monkeypatch):
    monkeypatch.setenv("KADAPTER_DATA", str(real_data))
    files = preset.data_files(preset.load("miniature"))
    needed = {"wiki80", "ud_english_ewt", "semeval2010_task8", "figer_gold", "cosmosqa"}
    assert needed <= {file.parent.name for file in files} <= needed | {"re_docred", "fewrel"}
    assert len(files) >= 10


def test_the_world_takes_the_knobs_that_a_preset_may_set():
    from kadapter.world import World

    world = preset.load("embedded")["data"]["world"]
    assert world.keys() <= inspect.signature(World).parameters.keys()


def test_models_and_their_adapters():
    models = ["backbone", "none", "F", "F+L"]
    assert [catalog.adapters_of(model) for model in models] == [[], [], ["F"], ["F", "L"]]
    assert Path(preset.FOLDER).is_dir()


def test_brief_is_what_runs_when_nobody_asks_for_more():
    shown = preset.load("embedded")
    assert list(shown["tasks"]) == ["typing", "relation"] and shown["models"] == ["backbone", "none", "F", "L", "F+L"]
    whole = preset.load("embedded", ["tasks=all"])
    assert list(whole["tasks"]) == ["typing", "relation", "figer", "cosmosqa", "searchqa", "quasart", "text"]
    assert whole["models"] == ["backbone", "multitask", "none", "F", "L", "F+L"]
    assert whole["datasets"] == shown["datasets"]  # the data is made once for both
    one = preset.load("embedded", ["tasks=[quasart]", "models=[none, multitask]", "tasks.quasart.training.epochs=1"])
    assert list(one["tasks"]) == ["quasart"] and one["models"] == ["none", "multitask"]
    with pytest.raises(KAdapterError, match="unknown task 'quasar': did you mean 'quasart'"):
        preset.load("embedded", ["tasks=[quasar]"])


def _reading(tmp_path, **more):
    dataset = {"format": "tacred", "train": "a.json", "dev": "a.json", "test": "a.json"}
    task = {"task": "relation", "regimes": ["frozen"], "training": {"epochs": 1}}
    content = {
        "name": "p",
        "about": "a test",
        "backbone": "minilm",
        "data": {"path": str(tmp_path)},
        "datasets": {"here": dataset, "there": dataset | {"path": "there"} | more},
        "tasks": {"one": task | {"dataset": "here"}, "two": task | {"dataset": "there"}},
    }
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(content))
    (tmp_path / "a.json").write_text("[]")
    return str(path)


def test_optional_datasets_may_be_missing(tmp_path):
    optional = preset.load(_reading(tmp_path, optional=True))
    assert list(preset.present(optional)["tasks"]) == ["one"] and list(optional["tasks"]) == ["one", "two"]
    assert preset.data_files(optional) == [tmp_path / "a.json"] * 3
    needed = preset.load(_reading(tmp_path))
    assert list(preset.present(needed)["tasks"]) == ["one", "two"]
    with pytest.raises(KAdapterError, match="dataset 'there': there is no file"):
        preset.data_files(needed)
    chosen = preset.load(_reading(tmp_path), ["tasks=[one]"])  # what nothing reads need not be there
    assert preset.data_files(chosen) == [tmp_path / "a.json"] * 3


def test_data_of_an_adapter_that_no_row_uses_is_not_asked_for(tmp_path):
    """`models=[backbone, none, F]` does not need the treebank; multitask needs what its backbone learns."""
    name = "wang2021_kadapter_roberta_large"
    for models, read in (
        ("[backbone, none, F]", {"trex_rc"}),
        ("[backbone, none]", set()),
        ("[L]", {"treebank"}),
        ("[backbone, multitask]", {"trex_rc", "treebank"}),
    ):
        loaded = preset.load(name, [f"models={models}", "tasks=[tacred]"])
        assert set(loaded["datasets"]) == read | {"tacred"}
        assert preset.roles(loaded) == {
            "knowledge": [n for n in loaded["datasets"] if n in read],
            "downstream": ["tacred"],
        }
    fewer = preset.load(name, ["tasks.tacred.models={paper: [backbone, F]}", "tasks=[tacred]"])
    assert "treebank" not in fewer["datasets"]  # the preset has a row L, and no task has


def test_the_world_is_the_same_data_for_a_part_and_for_all():
    brief, whole = preset.load("embedded"), preset.load("embedded", ["tasks=all", "models=[backbone]"])
    assert preset.roles(brief) == preset.roles(whole) and brief["datasets"] == whole["datasets"]
    assert preset.roles(brief)["knowledge"] == ["world_factual", "world_linguistic"]


def test_what_is_wrong_with_multitask_and_brief(tmp_path):
    for override, message in (
        ("multitask.knowledge=[F, G]", "unknown knowledge entry 'G'"),
        ("multitask.knowledge=[]", r"multitask.knowledge: found \[\]; expected a list of at least 1"),
        ("multitask={}", "'multitask' is trained as the section multitask says, and there is none"),
        ("brief.tasks=[relaton]", "unknown task 'relaton': did you mean 'relation'"),
        ("brief.models=[X]", "unknown model 'X'"),
        ("datasets.world_factual.optional=true", "an adapter is pre-trained on it"),
    ):
        with pytest.raises(KAdapterError, match=message):
            preset.load("embedded", [override])


def test_rows_that_train_otherwise_have_settings_of_their_own():
    loaded = preset.load("embedded", ["models=[backbone,F,lora,retrieval]", "tuning.lora={r: 8}"])
    typing = loaded["tasks"]["typing"]
    frozen, lora = (preset.training_for(typing, "frozen", model) for model in ("F", "lora"))
    assert frozen["epochs"] != 3 == lora["epochs"] and lora["max_length"] == frozen["max_length"] == 48
    assert preset.training_for(typing, "frozen", "retrieval") == frozen | {"max_length": 112}
    stages = {stage.id: stage.parameters for stage in graph.graph(loaded)}
    assert stages["finetune/typing-frozen-lora"]["tuning"] == {"r": 8}
    assert stages["finetune/typing-frozen-retrieval"]["facts"] == "world_factual"
    assert stages["finetune/typing-frozen-F"]["facts"] == "" and "finetune/typing-paper-lora" not in stages
    with pytest.raises(KAdapterError, match="tuning.lora.*'rank'"):
        preset.load("embedded", ["tuning.lora={rank: 8}"])
    with pytest.raises(KAdapterError, match="'lora' is no name for a knowledge entry"):
        preset.load("embedded", ["knowledge.lora={}"])
    only_words = [
        "models=[backbone,retrieval]",
        "knowledge.F.knowledge=linguistic",
        "knowledge.F.dataset=world_linguistic",
    ]
    with pytest.raises(KAdapterError, match="'retrieval' reads the facts of a knowledge entry"):
        preset.load("embedded", [*only_words, "knowledge.F.task_options={}", "brief={}"])
