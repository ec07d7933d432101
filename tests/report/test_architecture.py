"""Figures 1b and 2 of the paper show the modules that are there."""

import xml.etree.ElementTree as ET

import pytest

from kadapter import Backbone, KnowledgeModel, catalog
from kadapter.drawing import static
from kadapter.model.adapter import build_adapter
from kadapter.report import architecture
from tests import tiny


def texts(drawing: str) -> list[str]:
    return [
        "".join(node.itertext()).strip() for node in ET.fromstring(drawing).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_plug_layers_are_those_of_the_model(tiny_folder):
    model = KnowledgeModel(Backbone(str(tiny_folder)))
    model.plug("F", build_adapter(tiny.sizes())).plug("L", build_adapter(tiny.sizes(plug_layers=[1, 4])))
    figure = architecture.plug_layers(model)
    squares = [t for t in figure.data if t.marker.symbol == "square" and "adapter" in (t.hovertext or [""])[0]]
    assert [list(t.x) for t in squares] == [[0, 2, 3], [1, 4]]
    assert {"h0", "h4", "fusion", "adapter L"} <= set(texts(static.draw(figure)))
    model.set_task(catalog.task("relation", labels=["a", "b"])).unplug("L")
    figure = architecture.plug_layers(model)
    assert {"adapter L (unplugged)", "relation"} <= set(texts(static.draw(figure)))


@pytest.mark.parametrize("combine", ["add", "concat"])
def test_an_adapter_layer_says_the_sizes_of_its_modules(combine):
    adapter = build_adapter(tiny.sizes(combine=combine, layers=2))
    for layer, module in enumerate(adapter.layers):
        shown = texts(static.draw(architecture.adapter_layer(adapter, layer)))
        counted = [module.down, *module.transformer, module.up]
        for part in counted:
            assert sum(f"{sum(p.numel() for p in part.parameters()):,} parameters" in text for text in shown) >= 1
        wide = adapter.config.hidden_size * (2 if combine == "concat" and layer else 1)
        assert any(text.startswith(f"down-projection {wide} → {adapter.config.width}") for text in shown)
    total = sum(p.numel() for p in adapter.parameters())
    assert total == sum(p.numel() for layer in adapter.layers for p in layer.parameters())  # all of it is drawn
