"""The measurement of a GPU: where there is none it says so; its parts run anywhere."""

import pytest
import torch

from kadapter.bench import gpu
from kadapter.errors import KAdapterError


def test_without_a_gpu_it_is_one_sentence_and_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(KAdapterError, match="^this measures a GPU, and torch sees none here; [^\n]*$"):
        gpu.measure(tmp_path / "gpu.txt")
    assert list(tmp_path.iterdir()) == []


def test_the_papers_pretraining_and_map_tuning_are_timed(tiny_folder, monkeypatch):
    monkeypatch.setattr(gpu, "ENTITIES", 50)
    report = gpu._training(str(tiny_folder), 2, lambda row: None)
    assert [row.name for row in report.rows] == [f"{gpu.PAPER}, F, 2 steps", "map_tuning, 2 steps"]
    assert all(row.tokens_per_second > row.sentences_per_second > 0 for row in report.rows)
