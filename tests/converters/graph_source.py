"""A source model that is a graph with weights, evaluated by the independent twin; parameters have origins."""

import dataclasses

import numpy as np
from graph_twin import evaluate


class GraphSource:
    def __init__(self, graph, masks=None):
        self.masks = masks or {}
        self.graph = dataclasses.replace(graph, values=dict(graph.values))
        for name, value in graph.values.items():
            if value.data is not None:
                value = dataclasses.replace(value, origin=f"{name}.weight")
                mask = self.masks.get(value.origin)
                data = value.data if mask is None else value.data * mask
                self.graph.values[name] = dataclasses.replace(value, data=data)

    def run(self, arrays):
        return self.values(arrays, self.graph.outputs)

    def values(self, arrays, names):
        wanted = dataclasses.replace(self.graph, outputs=list(names))
        return {name: array.astype(np.float32) for name, array in evaluate(wanted, arrays).items()}

    def masked(self, masks):
        assert all(self.graph.values[name.removesuffix(".weight")].shape == mask.shape for name, mask in masks.items())
        return GraphSource(self.graph, masks)
