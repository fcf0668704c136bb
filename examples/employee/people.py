"""The employees as a table that `certifair train` takes, and the policy that goes with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from certifair.errors import InputError

PEOPLE, LOW, HIGH = 1200, 30, 100
PROTECTED = {
    "Gender": ("Female", "Male"),
    "Single": ("0", "1"),
    "Age40": ("0", "1"),
    "Degree": ("0", "1"),
    "OverTime": ("No", "Yes"),
}
"""Five binary columns and their values. The paper says five, not which; with these its 63 inputs come out: 18 numbers,
43 categories one by one (a single person is one of them), and the two that are cut from numbers, `Age40` (40 or older)
and `Degree` (education level 4 or 5 of 5)."""
_RATE, _ID = "EmpHourlyRate", "EmpNumber"
FOUND = Path(__file__).resolve().parents[3] / "shared" / "data" / "raw" / "Employee_Performance.xls"


def read(path: Path) -> dict[str, list[Any]]:
    """The columns of the sheet. Raises InputError where there is no such file, or it is another one."""
    try:
        import xlrd
    except ModuleNotFoundError:
        raise InputError("an .xls file needs xlrd", advice="pip install xlrd") from None
    if not path.is_file():
        raise InputError("is not there", where=str(path), advice="name Employee_Performance.xls with --data")
    try:
        sheet = xlrd.open_workbook(path).sheet_by_index(0)
    except xlrd.XLRDError as error:
        raise InputError(f"is no .xls file ({error})", where=str(path)) from None
    columns = {str(sheet.cell_value(0, c)): sheet.col_values(c, 1) for c in range(sheet.ncols)}
    if not {_RATE, _ID, "Age", "MaritalStatus", "EmpEducationLevel", "Gender", "OverTime"} <= set(columns):
        raise InputError("is not the employee set", where=str(path), advice="name Employee_Performance.xls with --data")
    return columns


def table(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Everybody twice: once in the part that is trained on, once in the part that is served and certified.

    The experiment is in-sample, as the paper's: the policy says so by `held_out = false`.
    """
    found: dict[str, list[Any]] = {name: values for name, values in columns.items() if name not in (_RATE, _ID)}
    found["Single"] = [str(int(status == "Single")) for status in columns["MaritalStatus"]]
    found["Age40"] = [str(int(age >= 40)) for age in columns["Age"]]
    found["Degree"] = [str(int(level >= 4)) for level in columns["EmpEducationLevel"]]
    twice = {name: values + values for name, values in found.items()}
    twice["rate"] = [(rate - LOW) / (HIGH - LOW) for rate in columns[_RATE]] * 2
    twice["employee"] = [f"{name} (training)" for name in columns[_ID]] + columns[_ID]
    twice["part"] = ["train"] * len(columns[_ID]) + ["served"] * len(columns[_ID])
    return twice


def policy(columns: dict[str, list[Any]], method: str, epochs: int, rate: str, seed: int) -> str:
    """The policy of one method: a 63-5-1 network with LayerNorm, everybody at once, residual rows for ten groups."""
    inputs = [name for name in columns if name not in ("rate", "employee", "part", "Single")]
    features = list(PROTECTED)
    values = "\n".join(f"{name} = {_list(found)}" for name, found in PROTECTED.items())
    return f"""# The employee experiment: hourly rate, scaled to 0..1, from everything else.
[data]
id = "employee"
label = "rate"
sensitive_features = {_list(features)}
inputs = {_list(inputs)}
split = "part"
train = ["train"]
certify = ["served"]            # the same people again: in-sample, as the paper's

[data.values]
{values}

[system]
name = "employee-{method}"
version = "1"
frozen = false
held_out = false                # what is served was trained on

[model]
factory = "mlp"
hidden = [5]
layer_norm = true
final = "none"
seed = {seed}

[training]
method = "{method}"
epochs = {epochs}
batch = 0                       # everybody at once
learning_rate = {rate}
patience = 0
validation = 0
loss = "mse"

[layer]                         # mean residual of both groups of each feature: ten rows
metric = "equalized_residuals"
sensitive_features = {_list(features)}
epsilon = 0.0001
lower = 0
upper = 1

[serve]
batch = 0
labels_known = true             # a retrospective answer: the layer corrects rates that are known

[[property]]
id = "residuals"
kind = "feasibility"
metric = "equalized_residuals"
sensitive_features = {_list(features)}
epsilon = 0.0001

[[property]]
id = "replay"
kind = "replay"
epsilon = 0.000001
"""


def _list(items: Any) -> str:
    return "[" + ", ".join(f'"{item}"' for item in items) + "]"
