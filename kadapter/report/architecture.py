"""What a model is made of, drawn from its own modules: Figure 1b (adapters beside the backbone) and Figure 2 (inside an
adapter layer)."""

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go
from torch import nn

from kadapter.model.adapter import AdapterLayer, KnowledgeAdapter
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.report.look import GRID, INK, colour, styled

_STATE, _WEIGHTS = "#8c8c8c", colour("F+L")


class _Plan:
    """A figure of nodes and lines on a grid."""

    def __init__(self) -> None:
        self.figure = go.Figure()

    def lines(self, points: Sequence[tuple], shade: str, width: int | float = 2, dash: str | None = None) -> None:
        xs, ys = zip(*points, strict=True)
        stroke = {"color": shade, "width": width, "dash": dash}
        self.figure.add_trace(go.Scatter(x=xs, y=ys, mode="lines", line=stroke, hoverinfo="skip"))

    def nodes(
        self,
        xs: list,
        y: int | float,
        names: list[str],
        hover: list[str],
        shade: str,
        symbol: str,
        size: int = 15,
        text: str = "top center",
    ) -> None:
        self.figure.add_trace(
            go.Scatter(
                x=xs,
                y=[y] * len(xs),
                mode="markers+text",
                marker={"color": shade, "symbol": symbol, "size": size},
                text=[escape(name) for name in names],
                textposition=text,
                textfont={"color": INK, "size": 12},
                hovertext=[escape(text) for text in hover],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )


def plug_layers(model: KnowledgeModel) -> go.Figure:
    """Figure 1b of the paper for this model: the backbone's hidden states from left to right, each adapter below with
    its layers where it reads, and what fusion and head make of them. An unplugged adapter is dotted.
    """
    depth, adapter_names = model.backbone.depth, model.adapter_names
    plan = _Plan()
    figure, lines, nodes = plan.figure, plan.lines, plan.nodes
    end, bottom = depth + 1.2, -len(adapter_names)

    lines([(0, 0), (depth, 0), (end, 0)], INK, 3)
    for row, name in enumerate(adapter_names, 1):
        plugged = name in model.adapters
        shade = colour(name) if plugged else INK
        reads = list(model.adapters[name].config.plug_layers) if plugged else []
        for point in reads:
            lines([(point, 0), (point, -row)], shade, 1.2, "dot")
        lines([(reads[0] if reads else 0, -row), (end, -row)], shade, 2, None if plugged else "dot")
        if plugged:
            config = model.adapters[name].config
            inside = f"{config.layers} transformer layers of width {config.width}"
            hover = [
                f"adapter {name}, layer {i}: reads hidden state {point}; {inside}" for i, point in enumerate(reads)
            ]
            nodes([float(p) for p in reads], -row, [""] * len(reads), hover, shade, "square", 18)
    lines([(end, 0), (end, bottom), (end, bottom / 2), (end + 1.2, bottom / 2)], INK)
    states = ["embedding", *(f"layer {i}" for i in range(1, depth + 1))]
    names = ["h0", *(f"h{i}" for i in range(1, depth + 1))]
    hover = [f"hidden state {i} of {model.backbone.name}: after {state}" for i, state in enumerate(states)]
    nodes(list(map(float, range(depth + 1))), 0.0, names, hover, "#8c8c8c", "circle")
    fusion = f"fusion {model.fusion.kind}: the last state and {len(adapter_names)} adapters"
    nodes([end], bottom / 2, ["fusion"], [fusion], INK, "diamond", 18, "top right")
    if model.task is not None:
        head = f"head for {model.task.name}" + (f", {len(model.task.labels)} labels" if model.task.labels else "")
        nodes([end + 1.2], bottom / 2, [model.task.name], [head], INK, "square", 18)
    labels = [
        f"{model.backbone.name}",
        *(f"adapter {n}" + ("" if n in model.adapters else " (unplugged)") for n in adapter_names),
    ]
    styled(figure, 130 + 62 * len(adapter_names)).update_layout(showlegend=False, margin={"t": 16, "b": 16})
    figure.update_xaxes(visible=False, range=[-0.6, end + 1.9])
    return figure.update_yaxes(
        tickvals=[-row for row in range(len(labels))],
        ticktext=[escape(label) for label in labels],
        range=[bottom - 0.6, 0.8],
        showgrid=False,
        gridcolor=GRID,
    )


def adapter_layer(adapter: KnowledgeAdapter, layer: int = 1) -> go.Figure:
    """Figure 2 of the paper for one layer of an adapter, from bottom to top: what it reads, the down-projection, its
    transformer layers, the up-projection, and the skip connection, with the sizes and parameters of its modules.

    Args:
        layer: which of the adapter's layers; from the second on a layer also reads the output of the one before.
    """
    config, module = adapter.config, adapter.layers[layer]
    assert isinstance(module, AdapterLayer)
    first = layer == 0
    read = f"h{config.plug_layers[layer]}" + ("" if first else f" and the output of layer {layer - 1}")
    joined = "concatenated" if module.concat else "added up"
    rows: list[tuple[str, nn.Module | None]] = [(f"input: {read}" + ("" if first else f", {joined}"), None)]
    rows += [(f"down-projection {module.down.in_features} → {config.width}", module.down)]
    shape = f"{config.heads} heads, inner {config.inner}, {config.activation}"
    rows += [(f"transformer layer {i}: {shape}", each) for i, each in enumerate(module.transformer, 1)]
    rows += [(f"up-projection {config.width} → {config.hidden_size}", module.up)]
    rows += [("sum with the skip connection" + ("" if first else " (both inputs added up)"), None)]
    plan, top = _Plan(), len(rows) - 1
    plan.lines([(0, 0), (0, top)], INK)
    plan.lines([(0, 0), (-0.6, 0), (-0.6, top), (0, top)], INK, 1.5, "dot")
    for y, (label, weights) in enumerate(rows):
        shade = _STATE if weights is None else _WEIGHTS
        count = "" if weights is None else f", {_parameters(weights):,} parameters"
        plan.nodes(
            [0], y, [f"  {label}{count}"], [label + count], shade, "square" if weights else "circle", 16, "middle right"
        )
    styled(plan.figure, 90 + 46 * len(rows)).update_layout(showlegend=False, margin={"t": 16, "b": 16})
    plan.figure.update_xaxes(visible=False, range=[-1, 5])
    return plan.figure.update_yaxes(visible=False, range=[-0.6, top + 0.6])


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
