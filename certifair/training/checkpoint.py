"""Where training stands, in one safetensors file: tensors, and JSON in its header. Nothing is unpickled.

One file and not two, so that weights, optimiser and history are always of the same epoch. No random state is kept: each
epoch draws from generators seeded with (seed, epoch), so that the epoch's number is all of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
import safetensors
import safetensors.torch
import torch

from certifair.errors import InputError
from certifair.evidence.files import read_input, write_atomic
from certifair.training.data import Dataset
from certifair.training.history import EpochRecord

FORMAT = "certifair-checkpoint-1"
Tensors = dict[str, torch.Tensor]


@final
@dataclass
class State:
    """What changes from epoch to epoch. `best` are the best weights so far, None before there are any."""

    records: list[EpochRecord] = field(default_factory=list)
    best: Tensors | None = None
    best_objective: float | None = None
    best_epoch: int = 0
    waited: int = 0


def save(
    path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: State, setting: Mapping[str, Any]
) -> None:
    """Write atomically. `setting`: what must be the same when training goes on. Raises InputError."""
    tensors = _prefixed("weights", model.state_dict()) | _prefixed("best", state.best or {})
    for index, found in optimizer.state_dict()["state"].items():
        tensors |= _prefixed(f"optimizer.{index}", found)
    record = {
        "format": FORMAT,
        "setting": dict(setting),
        "records": [asdict(record) for record in state.records],
        "best_objective": state.best_objective,
        "best_epoch": state.best_epoch,
        "waited": state.waited,
    }
    header = {"certifair": json.dumps(record, allow_nan=False, sort_keys=True)}
    write_atomic(path, safetensors.torch.save(tensors, header))


def restore(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, setting: Mapping[str, Any]) -> State:
    """Put model and optimiser where they were. Raises InputError for another file, model, setting or data."""
    content = read_input(path)
    record, tensors = _read(content, path)
    for name, value in setting.items():
        if record["setting"].get(name) != value:
            raise InputError(
                f"was trained with {name} = {record['setting'].get(name)!r}, not {value!r}",
                where=str(path),
                advice="resume with the same settings and data, or start anew",
            )
    parts: dict[str, Tensors] = {"weights": {}, "best": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = tensor
    moments: dict[int, Tensors] = {}
    try:
        for name, tensor in parts["optimizer"].items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = tensor
        groups = optimizer.state_dict()["param_groups"]
        model.load_state_dict(parts["weights"])
        optimizer.load_state_dict({"state": moments, "param_groups": groups})
        state = State(
            [EpochRecord.from_dict(item) for item in record["records"]],
            parts["best"] or None,
            record["best_objective"],
            record["best_epoch"],
            record["waited"],
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"does not fit this model ({_first_line(error)})", where=str(path)) from None
    return state


def fingerprint(*parts: Dataset | None) -> str:
    """SHA-256 of everything that is trained or measured on."""
    digest = hashlib.sha256()
    for data in parts:
        digest.update(b"none" if data is None else repr((tuple(data.inputs.shape), data.columns)).encode())
        if data is None:
            continue
        arrays = {"inputs": data.inputs, "labels": data.labels, "conditions": data.conditions, **data.sensitive}
        for name, values in arrays.items():
            plain = values.cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
            plain = plain.astype(np.str_) if plain.dtype.kind == "O" else plain
            digest.update(f"{name} {plain.dtype} {plain.shape}".encode())
            digest.update(np.ascontiguousarray(plain).tobytes())
    return digest.hexdigest()


def copied(model: torch.nn.Module) -> Tensors:
    """The weights as they are now, on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def _prefixed(prefix: str, tensors: Mapping[str, Any]) -> Tensors:
    """Own, contiguous copies: safetensors refuses shared memory."""
    found = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            raise InputError(f"{prefix}.{name} is no tensor and cannot be saved", where="checkpoint")
        found[f"{prefix}.{name}"] = tensor.detach().cpu().contiguous().clone()
    return found


def _read(content: bytes, path: Path) -> tuple[dict[str, Any], Tensors]:
    try:
        tensors = safetensors.torch.load(content)  # also checks the header's length and offsets
        length = int.from_bytes(content[:8], "little")
        record = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["certifair"])
        if record["format"] != FORMAT or not isinstance(record["setting"], dict):
            raise ValueError(f"its format is {record['format']!r}")
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"is no checkpoint of certifair ({_first_line(error)})", where=str(path)) from None
    return record, tensors


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
