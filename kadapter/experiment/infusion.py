"""Knowledge of one's own into a model: from a file to an adapter, what it learned and what it did not touch.

`infuse` reads a file (`kadapter.knowledge.own`), asks the frozen model, trains an adapter and its control, asks again,
and leaves a folder that can be plugged: the adapter with its card, and `infusion.json` with all that was found.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tqdm.auto import tqdm

from kadapter import runs, values
from kadapter.errors import KAdapterError
from kadapter.experiment.infusion_facts import NAME, Answers, FactsInfusion, Tell
from kadapter.experiment.infusion_trees import TreesInfusion
from kadapter.experiment.infusion_work import Work
from kadapter.hub.adapter_folder import save_adapter
from kadapter.knowledge import own
from kadapter.knowledge.wording import read_templates, ways_of
from kadapter.model.adapter import PretrainingHead
from kadapter.model.backbone import Backbone
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.values import Name, Seed, value

REPORT = "infusion.json"
BEFORE = "before.json"
ASKING, TRAINING = 0.08, 0.84  # shares of the progress: asking before, all trainings
SAID = {"own": "reading", "control": "control", "alone": "without knowledge"}
Minutes = Annotated[
    float, value("how long it may take, the control and all questions included", above=0.0, high=100_000.0)
]


@dataclass
class Infusion:
    """What an infusion left.

    Attributes:
        summary: what `kadapter infuse --json` prints: kind, items, dropped, seen, paraphrase and perplexity before and
            after, control_after, seconds, adapter; shares are fractions, None where there is nothing to measure.
        details: what the page shows beside: file, backbone, how the kind was recognised, lines that were left out,
            examples, relations, probes, training.
        folder: of the adapter.
    """

    summary: dict[str, Any]
    details: dict[str, Any]
    folder: Path


def load(folder: str | Path) -> Infusion:
    """A finished infusion, as its folder keeps it. Raises KAdapterError for a folder that holds none."""
    path = Path(folder) / REPORT
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept.get("sha256", _hash(kept)) != _hash(kept):  # one of an older version has none
            raise ValueError("it is not what was written")
        return Infusion(kept["summary"], kept["details"], Path(folder))
    except (OSError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise KAdapterError(f"{path}: {error}; expected what kadapter infuse left") from None


def infuse(
    file: str | Path,
    backbone: str | Backbone = "smollm2",
    out: str | Path = "my_adapter",
    *,
    minutes: float | int = 2.0,
    kind: str | None = None,
    strict: bool = False,
    templates: str | Path | None = None,
    seed: int = 0,
    tell: Tell | None = None,
    progress: bool = True,
) -> Infusion:
    """Put the knowledge of a file into an adapter beside a frozen model.

    Args:
        file: triples, sentences with marked entities, questions with answers, or a CoNLL-U treebank.
        backbone: name, Hub id or folder, or a loaded one; for anything but a treebank a model that speaks.
        out: the adapter's folder, which must not exist. Interrupted, the same call goes on where it was.
        minutes: how long it may take, all in all.
        kind: one of `kadapter.knowledge.own.KINDS`; None to recognise it.
        strict: refuse a file with a line that is not of its kind.
        templates: a JSON file of how relations are said (see `kadapter.knowledge.wording.read_templates`).
        seed: of the adapter, the order and the control.
        tell: called with the share that is done and what is being done; what it raises ends the infusion, which can
            be gone on with.
        progress: show a bar.

    Raises KAdapterError for a value out of range, a folder that exists, an unusable file, and a backbone that cannot
    be loaded or does not speak.
    """
    out = Path(out).expanduser()
    values.check_value(Minutes, float(minutes), "minutes")
    values.check_value(Seed, seed, "seed")
    values.check_value(Name, out.name, "out")
    if out.exists():
        if (out / REPORT).is_file():
            Work(out, 0.0).clear()  # a kill after the last step left it
        raise KAdapterError(f"{out} is there already: choose another folder with --out, or remove it")
    known = own.read(file, kind, strict)
    given = read_templates(templates) if templates is not None else None
    form = "{desc:<44.44} {percentage:3.0f}%|{bar}| {elapsed}"
    with (
        Work(out, 60.0 * minutes).alone() as work,
        tqdm(total=100, bar_format=form, leave=False, disable=not progress) as bar,
    ):

        def said(share: float, text: str) -> None:
            bar.set_description_str(text, refresh=False)
            bar.update(round(100 * share) - bar.n)
            if tell is not None:
                tell(share, text)

        said(0.0, "loading the model")
        stand = backbone if isinstance(backbone, Backbone) else Backbone(backbone)
        ways = ways_of((fact.relation for fact in known.facts), given)
        work.begin(_request(known, stand, ways, seed))
        infusion: FactsInfusion | TreesInfusion
        if known.trees is None:
            infusion = FactsInfusion(known.facts, ways, stand, seed)
        else:
            infusion = TreesInfusion(known.trees, stand, seed)
        found = _carried_out(infusion, work, said)
        return _leave(infusion, found, known, work, out)


def _request(known: own.Own, backbone: Backbone, ways: Mapping, seed: int) -> dict[str, Any]:
    """What an interrupted infusion must agree with."""
    data = repr((known.facts, sorted(ways.items())))
    if known.trees is not None:
        data += json.dumps(known.trees.to_list())
    digest = hashlib.sha256(data.encode()).hexdigest()
    return {"data": digest, "kind": known.kind, "backbone": backbone.fingerprint, "seed": seed}


@dataclass
class _Found:
    """What was found out, and the model."""

    before: Answers
    after: Answers
    control: Answers | None
    examples: list[dict[str, str]]
    training: dict[str, Any]
    model: KnowledgeModel


def _carried_out(infusion: FactsInfusion | TreesInfusion, work: Work, tell: Tell) -> _Found:
    """Ask, train, ask again."""
    before = None
    if infusion.plain_model is not None:
        if (kept := work.read(BEFORE)) is not None:
            before = Answers.of(kept)
        else:
            tell(0.01, "asking the frozen model")
            begun = work.spent
            before = infusion.ask(infusion.plain_model)
            work.asking = work.spent - begun
            work.write(BEFORE, before.plain())
            work.keep_time()
    models: dict[str, KnowledgeModel] = {}
    went: dict[str, Any] = {}
    step = TRAINING / len(infusion.trainings)
    for number, of in enumerate(infusion.trainings):
        begin = ASKING + number * step

        def told(done: float, text: str, begin: float = begin, of: str = of) -> None:
            work.tick()
            tell(begin + done * step, f"{SAID[of]}: {text}")

        told(0.0, "reading on" if work.checkpoint(of) else "preparing")
        models[of], went[of] = _trained(infusion, of, work, work.share(len(infusion.trainings) - number), told)
    tell(ASKING + TRAINING, "asking the model with its adapter")
    plain = infusion.plain_model or models["alone"]
    before = before or infusion.ask(plain)
    after = infusion.ask(models["own"])
    control = infusion.ask(models["control"], beside=False) if "control" in models else None
    tell(0.97, "looking at examples")
    found = _Found(before, after, control, infusion.examples(plain, models["own"]), went, models["own"])
    tell(1.0, "done")
    return found


def _trained(
    infusion: FactsInfusion | TreesInfusion, of: str, work: Work, seconds: float, tell: Tell
) -> tuple[KnowledgeModel, dict[str, Any]]:
    """A trained model, now or by a former attempt, and how its training went."""
    model = infusion.model(of)
    model.train_only(infusion.regime(of))
    if (went := work.trained(of, model)) is not None:
        return model.eval(), went
    folder = work.folder / of
    pace = infusion.train(model, of, folder, seconds, tell, resume=work.checkpoint(of))
    went = {"stopped": pace.stopped, "steps": pace.steps, "on_the_way": pace.checks}
    work.keep(of, model, went)
    return model, went


def _leave(infusion: FactsInfusion | TreesInfusion, found: _Found, known: own.Own, work: Work, out: Path) -> Infusion:
    """Write the folder and give it its name."""
    mean = {when: {part: float(right.mean()) for part, right in a.right.items()} for when, a in _both(found).items()}
    summary = {
        "kind": known.kind,
        "items": infusion.items,
        "dropped": len(known.dropped),
        "seen_before": mean["before"]["seen"],
        "seen_after": mean["after"]["seen"],
        "paraphrase_before": mean["before"]["paraphrase"],
        "paraphrase_after": mean["after"]["paraphrase"],
        "control_after": None if found.control is None else float(found.control.right["paraphrase"].mean()),
        "perplexity_before": found.before.perplexity,
        "perplexity_after": found.after.perplexity,
        "seconds": round(work.spent, 1),
        "adapter": str(out),
    }
    backbone = infusion.backbone
    details = {
        "metric": infusion.metric,
        "file": str(known.path),
        "recognised": known.said,
        "left_out": [vars(one) for one in known.dropped],
        "told": known.told(),
        "backbone": {"name": backbone.name, "fingerprint": backbone.fingerprint},
        "probes_before": found.before.probes,
        "probes_after": found.after.probes,
        "control_seen": None if found.control is None else float(found.control.right["seen"].mean()),
        "groups": infusion.groups(found.before, found.after),
        "ways": infusion.wording(),
        "examples": found.examples,
        "training": found.training,
        "minutes": work.seconds / 60,
        "processor_seconds": round(work.processor, 1),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": runs.versions(),
        "machine": runs.machine(),
    }
    model = found.model
    adapter = model.adapters[NAME]
    adapter.provenance = {
        "name": out.name,
        "knowledge": infusion.knowledge,
        "dataset": known.path.name,
        "kind": known.kind,
        "examples": infusion.items,
        "training": {"regime": "adapter", "seed": infusion.seed} | found.training["own"],
        "perplexity": {"before": summary["perplexity_before"], "after": summary["perplexity_after"]},
        "seen_scores": {"accuracy": mean["after"]["seen"]},
        "paraphrase_scores": {"accuracy": mean["after"]["paraphrase"]},
    }
    task = model.require_task()
    weights = {f"fusion.{name}": leaf for name, leaf in model.fusion.state_dict().items()}
    assert model.head is not None  # a task gives one
    weights |= {f"head.{name}": leaf for name, leaf in model.head.state_dict().items()}
    adapter.pretraining_head = PretrainingHead(task.name, task.options(), model.fusion.kind, weights)
    whole = work.folder / "whole"
    shutil.rmtree(whole, ignore_errors=True)
    save_adapter(adapter, whole, backbone)
    found_all = json.loads(json.dumps({"summary": summary, "details": details}, default=_plain))
    text = json.dumps(found_all | {"sha256": _hash(found_all)}, ensure_ascii=False, indent=1)
    (whole / REPORT).write_text(text + "\n", encoding="utf-8")
    whole.rename(out)
    shutil.rmtree(work.folder, ignore_errors=True)
    return Infusion(summary, found_all["details"], out)


def _hash(kept: Mapping[str, Any]) -> str:
    told = json.dumps([kept["summary"], kept["details"]], sort_keys=True)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


def _both(found: _Found) -> dict[str, Answers]:
    return {"before": found.before, "after": found.after}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)
