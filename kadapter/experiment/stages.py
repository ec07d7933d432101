"""The two training stages as notebooks call them: pre-train one adapter (Figure 1b, left), fine-tune one model row
(right).

Both check every parameter before anything is loaded, train through `kadapter.training.fit.fit`, and leave a run.
"""

from kadapter.experiment.finetuning import Finetuning as Finetuning
from kadapter.experiment.pretraining import Pretraining as Pretraining
