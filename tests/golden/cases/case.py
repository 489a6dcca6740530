"""A golden case: a run file, its data, and how both are written down."""

import json
import tomllib
from dataclasses import dataclass

import torch
from safetensors.torch import save_file

from cases.training import STEPS

MAX_FILE_BYTES = 60_000


@dataclass
class Case:
    name: str
    # What it is there to pin down; the first line of the run file.
    note: str
    run: dict
    task: dict
    data: dict
    # Of the weights it starts from.
    seed: int
    # The losses that a plateau schedule is fed, one after every `evaluate_every` updates.
    validation: list | None = None

    def write(self, folder, trained):
        """Writes NAME.toml, NAME.safetensors and NAME.json; returns their bytes together."""
        paths = [folder / f"{self.name}.{ending}" for ending in ("toml", "safetensors", "json")]
        text = toml_text(self.note, self.run)
        assert tomllib.loads(text) == self.run, self.name
        paths[0].write_text(text)
        weights = {f"initial.{name}": value for name, value in trained.initial.items()}
        weights |= {f"final.{name}": value for name, value in trained.final.items()}
        save_file({**self.data, **weights}, paths[1])
        paths[2].write_text(json_text(self.record(trained)))
        sizes = [path.stat().st_size for path in paths]
        assert max(sizes) < MAX_FILE_BYTES, (self.name, sizes)
        return sum(sizes)

    def record(self, trained):
        assert len(trained.losses) == STEPS
        record = {
            "torch_version": torch.__version__,
            "task": self.task,
            "losses": trained.losses,
            "grad_norms": trained.grad_norms,
            "learning_rates": trained.learning_rates,
        }
        if self.validation is not None:
            record["validation"] = self.validation
        if trained.final_state is not None:
            record["final_state"] = [state.flatten().tolist() for state in trained.final_state]
        return record


def json_text(record):
    """One line for each key. Python writes the shortest decimal that reads back as the same number."""
    lines = (f" {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in record.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def toml_text(note, run):
    """The run as a run file: tables for sections and layers, inline tables for what is smaller."""
    lines = [f"# {line}" for line in note.splitlines()]
    lines += [f"{key} = {value_text(value)}" for key, value in run.items() if not holds_tables(value)]
    for section, table in run.items():
        for entry in table if isinstance(table, list) else [table] if holds_tables(table) else []:
            lines += ["", f"[[{section}]]" if isinstance(table, list) else f"[{section}]"]
            lines += [f"{key} = {value_text(value)}" for key, value in entry.items() if key != "group"]
            for group in entry.get("group", []):
                lines += ["", f"[[{section}.group]]"]
                lines += [f"{key} = {value_text(value)}" for key, value in group.items()]
    return "\n".join(lines) + "\n"


def holds_tables(value):
    return isinstance(value, dict) or isinstance(value, list) and isinstance(value[0], dict)


def value_text(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {value_text(entry)}" for key, entry in value.items()) + " }"
    # JSON's strings, booleans, numbers and arrays are TOML's.
    return json.dumps(value)
