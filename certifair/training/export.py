"""A torch module as ONNX bytes: what the certificate's replay reads."""

from __future__ import annotations

import copy
import logging
import warnings
from typing import Any

import torch

from certifair.errors import InputError
from certifair.evidence.onnx_reader import read_network
from certifair.spec.network import Network


def export_onnx(backbone: torch.nn.Module, inputs: int) -> bytes:
    """The module in evaluation mode, from `inputs` numbers a person, in float64: its weights are widened, exactly.

    In float32 the exporter would fold constants with float32's rounding, and mean another network than what served.
    Without the exporter's notes, which name the files of this machine: the same weights give the same bytes. Raises
    InputError for a module that torch cannot export, or with an operation that replay cannot evaluate.
    """
    module = copy.deepcopy(backbone).cpu().double().eval()
    example = torch.zeros(2, inputs, dtype=torch.float64)
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter about itself
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                verbose=False,
                dynamic_shapes=({0: torch.export.Dim("people", min=1)},),
                input_names=["inputs"],
                output_names=["score"],
            )
    except Exception as error:  # whatever the exporter meets in a user's module
        reason = str(error).strip().split("\n", 1)[0]
        what = f"the model cannot be exported to ONNX ({reason})"
        raise InputError(what, advice="use layers that ONNX has") from None
    finally:
        logger.setLevel(level)
    assert program is not None
    content = _without_notes(program.model_proto)
    network_of(content)
    return content


def network_of(content: bytes) -> Network:
    """The network as replay reads it. Raises InputError for an operation that it does not know."""
    return read_network(content, "the exported model")


def _without_notes(model: Any) -> bytes:
    graph = model.graph
    for item in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        item.ClearField("doc_string")
        item.ClearField("metadata_props")
    del graph.value_info[:]
    content: bytes = model.SerializeToString(deterministic=True)
    return content
