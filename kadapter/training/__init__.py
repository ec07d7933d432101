"""Running a model: batches, feature store, trainer, fit, predict."""
