"""An infusion from a file to an adapter that can be plugged, on tiny language models: what it leaves, that it goes on
after a kill, the control, and what is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kadapter.errors import KAdapterError
from kadapter.experiment import infusion, infusion_facts
from kadapter.experiment.infusion import infuse, load
from kadapter.experiment.infusion_facts import Answers, FactsInfusion, control_of
from kadapter.experiment.infusion_pace import COOL, Pace
from kadapter.experiment.infusion_trees import exchanged
from kadapter.formats import conllu
from kadapter.knowledge.facts import Fact
from kadapter.model.backbone import Backbone
from kadapter.probing.completions import ask
from kadapter.report.infusion import page, write
from tests import speaking, tiny

ROOT = Path(__file__).resolve().parents[2]
KEYS = [
    "kind", "items", "dropped", "seen_before", "seen_after", "paraphrase_before", "paraphrase_after", "control_after",
    "perplexity_before", "perplexity_after", "seconds", "adapter",
]  # fmt: skip
PETS = "".join(f"person{i}\tpet\tdog\nperson{i}\thome\triver\n" for i in range(3))
SMALL = {"KEPT": 8, "PROBES": 4, "DOCUMENTS": 2, "ENTITIES": 2, "STEPS": 250}  # less to read and to ask


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(infusion_facts, name, value)
        yield


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Path:
    return speaking.make("llama", tmp_path_factory.mktemp("speaks") / "llama")


@pytest.fixture(scope="module")
def pets(llama) -> Path:
    file = llama.parent / "pets.tsv"
    file.write_text(PETS + "not a fact\n")
    return file


@pytest.fixture(scope="module")
def found(llama, pets) -> infusion.Infusion:
    before = Backbone(llama).fingerprint
    told: list[tuple[float, str]] = []
    done = infuse(
        pets, str(llama), llama.parent / "pets", minutes=5, progress=False, tell=lambda *now: told.append(now)
    )
    assert Backbone(llama).fingerprint == before
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[-1] == 1.0 and any("reading: step" in text for _, text in told)
    return done


def test_the_summary_says_what_was_learned(found, llama):
    s = found.summary
    assert list(s) == KEYS and (s["kind"], s["items"], s["dropped"]) == ("triples", 6, 1)
    assert s["seen_before"] < 0.5 and s["seen_after"] == 1.0 and found.details["control_seen"] < 1.0
    assert s["perplexity_after"] == pytest.approx(s["perplexity_before"], rel=0.2)  # little is read beside so few facts
    assert load(found.folder).summary == s and load(found.folder).details == found.details
    assert not list(llama.parent.glob("pets.infusing*"))


def test_the_adapter_can_be_plugged_and_asked(found, llama):
    text = "The pet of person0 is [MASK]."
    assert ask(str(llama), text, [found.folder]).words[0] == "dog"
    assert ask(str(found.folder), text).words == ask(str(llama), text, [found.folder]).words
    card = (found.folder / "README.md").read_text()
    assert "pets.tsv" in card and "paraphrase" in card


def test_the_page_says_the_same_and_escapes(found):
    html = write(found).read_text(encoding="utf-8")
    for share in ("paraphrase_after", "control_after", "seen_after"):
        assert f"{100 * found.summary[share]:.0f}%" in html
    assert html.count("<tr>") > 10 and "line 7" in html and "<script" not in html
    odd = infusion.Infusion(found.summary, found.details | {"file": "<b>x</b>"}, found.folder)
    assert "<b>x</b>" not in page(odd)


def test_a_changed_report_is_told(found, tmp_path):
    whole = (found.folder / "infusion.json").read_text()
    for content in (
        whole.replace("paraphrase_before", "paraphrase_befose"),
        whole[:-9],
        "[]",
        whole.replace("1.0", "0.9"),
    ):
        (tmp_path / "infusion.json").write_text(content)
        with pytest.raises(KAdapterError, match="infusion.json: .*; expected what kadapter infuse left") as error:
            load(tmp_path)
        assert "\n" not in str(error.value)
    kept = json.loads(whole)
    del kept["sha256"]  # as an older version wrote it
    (tmp_path / "infusion.json").write_text(json.dumps(kept))
    assert load(tmp_path).summary == found.summary


def test_an_existing_folder_is_refused(found, llama, pets):
    left = found.folder.with_name("pets.infusing")
    left.mkdir()
    with pytest.raises(KAdapterError, match="pets is there already: choose another folder"):
        infuse(pets, str(llama), found.folder)
    assert not left.exists(), "what a kill after the last step left"


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"minutes": 0}, "minutes: found 0.0; expected"),
        ({"minutes": float("nan")}, "minutes"),
        ({"backbone": "nowhere/such"}, "nowhere/such"),
        ({"backbone": "minilm"}, "'minilm' has no language head of its own and cannot be asked for facts"),
        ({"kind": "tripels"}, "unknown kind of file 'tripels'"),
        ({"strict": True}, "line 7: triples: found 'not a fact'"),
        ({"out": "..."}, "out"),
        ({"templates": "nowhere.json"}, "nowhere.json"),
        ({"file": "nowhere.tsv"}, "nowhere.tsv: cannot be read"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(change, sentence, llama, pets, tmp_path):
    given = {"file": pets, "backbone": str(llama), "out": tmp_path / "out", "progress": False} | change
    if "out" in change:
        given["out"] = tmp_path / change["out"]
    with pytest.raises(KAdapterError) as error:
        infuse(**given)
    assert sentence in str(error.value) and len(str(error.value).splitlines()) == 1
    assert not [path for path in tmp_path.iterdir() if path.name != "out.infusing"]


SCRIPT = f"""
import sys
from kadapter.experiment import infusion_facts
from kadapter.experiment.infusion import infuse
vars(infusion_facts).update({SMALL | {"STEPS": 30}})
infuse(*sys.argv[1:4], minutes=5, progress=False)
"""


def killed_when(there, *arguments: str) -> None:
    """Run an infusion in a process of its own, and kill it as soon as a file is there."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], env=environment, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not there() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and there()


def test_a_killed_infusion_goes_on(llama, pets, monkeypatch):
    """Killed between checkpoints, and again after the adapter was trained: what is finished is not trained again."""
    out = llama.parent / "again"
    work = out.with_name("again.infusing")
    arguments = (str(pets), str(llama), str(out))
    killed_when(lambda: any(work.glob("own/checkpoints/checkpoint-*/trainer_state.json")), *arguments)
    assert not out.exists()
    killed_when(lambda: (work / "own/went.json").is_file(), *arguments)
    assert not out.exists()
    other = llama.parent / "other.tsv"
    other.write_text(PETS.replace("dog", "fox"))
    with pytest.raises(KAdapterError, match="again.infusing holds an infusion of another file"):
        infuse(other, str(llama), out, progress=False)
    trained: list[str] = []
    train = FactsInfusion.train

    def recorded(self, model, of, *more, **named):
        trained.append(of)
        return train(self, model, of, *more, **named)

    monkeypatch.setattr(FactsInfusion, "train", recorded)
    monkeypatch.setattr(infusion_facts, "STEPS", 30)
    again = infuse(pets, str(llama), out, minutes=5, progress=False)
    assert trained == ["control"] and not work.exists()
    assert again.summary["dropped"] == 1 and again.details["training"]["own"]["steps"] >= 30
    assert again.summary["seconds"] > 0 and again.summary["control_after"] is not None


def test_what_a_caller_raises_ends_it_and_it_can_be_gone_on_with(llama, pets):
    class Enough(Exception):
        pass

    def tell(share: float, text: str) -> None:
        if "reading: step" in text:
            raise Enough

    out = llama.parent / "enough"
    with pytest.raises(Enough):
        infuse(pets, str(llama), out, progress=False, tell=tell)
    assert (out.with_name("enough.infusing") / "before.json").is_file() and not out.exists()


def test_interrupted_or_not_it_is_the_same_to_the_last_digit(llama, pets, tmp_path, monkeypatch):
    monkeypatch.setattr(infusion_facts, "STEPS", 30)

    class Enough(Exception):
        pass

    def at(text: str):
        def tell(share: float, said: str) -> None:
            if said.startswith(text):
                raise Enough

        return tell

    whole = infuse(pets, str(llama), tmp_path / "whole", minutes=100, progress=False)
    for text in ("reading: step 8", "reading: step 23", "control: step 14", "asking the model with"):
        with pytest.raises(Enough):
            infuse(pets, str(llama), tmp_path / "cut", minutes=100, progress=False, tell=at(text))
    cut = infuse(pets, str(llama), tmp_path / "cut", minutes=100, progress=False)
    weights = [(one.folder / "adapter.safetensors").read_bytes() for one in (whole, cut)]
    assert weights[0] == weights[1]
    for key in {*KEYS} - {"seconds", "adapter"}:
        assert whole.summary[key] == cut.summary[key], key
    assert whole.details["training"] == cut.details["training"]


def test_a_treebank_is_infused_into_any_backbone(tiny_folder, tmp_path):
    conllu.write(tiny.trees(40), tmp_path / "trees.conllu")
    done = infuse(tmp_path / "trees.conllu", str(tiny_folder), tmp_path / "syntax", minutes=5, progress=False)
    s = done.summary
    assert list(s) == KEYS and (s["kind"], s["items"]) == ("conllu", 40) and s["perplexity_before"] is None
    assert s["paraphrase_after"] > s["paraphrase_before"] and s["paraphrase_after"] > s["control_after"]
    assert "does not speak" in page(done)


def test_a_masked_model_learns_facts(tmp_path):
    folder = speaking.make("bert", tmp_path / "bert")
    file = tmp_path / "facts.tsv"
    file.write_text("person1\tpet\tdog\n")
    done = infuse(file, str(folder), tmp_path / "out", minutes=5, progress=False)
    assert done.summary["seen_after"] > done.summary["seen_before"]


# --- parts ---

names = st.sampled_from(["a", "b", "c", "d", "e"])


@given(st.lists(st.builds(Fact, names, st.sampled_from(["r", "s"]), names), min_size=1, max_size=12, unique=True))
def test_the_control_has_the_same_objects_and_no_fact_keeps_its_own_place(facts):
    control = control_of(facts, 0)
    if control is None:
        assert len({fact.object for fact in facts}) == 1 or len(facts) < 4
        return
    assert [(f.subject, f.relation) for f in control] == [(f.subject, f.relation) for f in facts]
    assert sorted(f.object for f in control) == sorted(f.object for f in facts)
    assert control == control_of(facts, 0)


def test_exchanged_trees_keep_their_words():
    trees = tiny.trees(10)
    other = exchanged(trees, 0)
    assert other["words"] == trees["words"] and other["heads"] != trees["heads"]
    assert all(head != place for row in other["heads"] for place, head in enumerate(row, 1))


def test_answers_come_back_from_json():
    answers = Answers({"seen": np.array([True, False])}, 3.5, None)
    again = Answers.of(json.loads(json.dumps(answers.plain())))
    assert again.right["seen"].tolist() == [1.0, 0.0] and (again.perplexity, again.probes) == (3.5, None)


class Now:
    """What a Trainer tells of the step."""

    def __init__(self, step: int, most: int = 1000) -> None:
        self.global_step, self.max_steps = step, most
        self.should_training_stop = False


def run(pace: Pace, most: int) -> tuple[list[float], Now]:
    class Optimizer:
        param_groups = [{"initial_lr": 2.0, "lr": 2.0}]

    rates, state = [], Now(0, most)
    pace.on_train_begin(None, state, state)
    while not state.should_training_stop:
        pace.on_step_begin(None, state, state, optimizer=Optimizer)
        rates.append(Optimizer.param_groups[0]["lr"])
        state.global_step += 1
        pace.on_step_end(None, state, state)
    return rates, state


def test_the_pace_ends_when_everything_is_known_and_cools_down_first():
    rates, state = run(Pace(1e6, lambda: 1.0, lambda *_: None, every=5), 1000)
    assert state.global_step == 10 + COOL and rates[-1] < 0.1 * max(rates) and max(rates) <= 2.0


def test_the_pace_depends_on_no_clock_where_time_is_enough():
    def waits() -> float:
        time.sleep(0.001)
        return 0.0

    slow, quick = (run(Pace(1e4, known, lambda *_: None, every=1), 40)[0] for known in (waits, lambda: 0.0))
    assert slow == quick


def test_the_pace_ends_with_the_steps_or_the_time():
    rates, state = run(pace := Pace(1e6, lambda: 0.0, lambda *_: None), 40)
    assert state.global_step == 40 and pace.stopped == "steps" and rates[-1] < 0.1 * max(rates)
    slow = Pace(0.2, lambda: 0.0, lambda *_: time.sleep(0.01))
    _, state = run(slow, 10**6)
    assert slow.stopped == "time" and state.global_step < 10**4
