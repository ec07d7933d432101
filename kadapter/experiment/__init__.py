"""From a preset to a graph of parameterized notebooks, executed by papermill; the stages that they call."""
