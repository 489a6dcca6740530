"""Whether a case is worth committing: well conditioned, learning, and showing what it is there for.

The tests compare losses and norms to 1e-5 and weights to 1e-4 of a tensor's greatest element. That
is fair only where f32 itself stays well inside, and it proves something only where a setting that is
ignored comes out far outside.
"""

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from cases.training import IGNORE, Trained, loss_settings, loss_sum, loss_weight, train

# Of f32 against f64.
LOSS_PRECISION, WEIGHT_PRECISION = 2e-6, 2e-5
# Ten times what the tests let pass.
LOSS_VISIBLE, WEIGHT_VISIBLE = 1e-4, 1e-3
# How far the last loss is from what the weights of the start give.
LEARNT = 0.02

# For each type, what a setting is where it does nothing, or is PyTorch's default where it must be something.
NEUTRAL = {
    "sgd": {"momentum": 0.0, "dampening": 0.0, "nesterov": False, "weight_decay": 0.0},
    "adam": {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0},
    "adamw": {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0},
    "rmsprop": {"alpha": 0.99, "eps": 1e-8, "momentum": 0.0, "centered": False, "weight_decay": 0.0},
    "adagrad": {"lr_decay": 0.0, "initial_accumulator_value": 0.0, "weight_decay": 0.0},
    "cross_entropy": {"label_smoothing": 0.0, "class_weights": None},
    "huber": {"delta": 1.0},
    "linear": {"start_factor": 1.0 / 3.0, "end_factor": 1.0, "steps": 5},
    "cosine": {"steps": 50, "eta_min": 0.0},
    "step": {"step_size": 10, "gamma": 0.1},
    "exponential": {"gamma": 1.0},
    "plateau": {"factor": 0.1, "patience": 10, "threshold": 1e-4, "cooldown": 0, "min_lr": 0.0},
    "one_cycle": {
        "steps": 40,
        "pct_start": 0.3,
        "div_factor": 25.0,
        "final_div_factor": 1e4,
        "anneal": "cos",
        "cycle_momentum": False,
        "base_momentum": 0.85,
        "max_momentum": 0.95,
        "three_phase": False,
    },
}
NEUTRAL_LAYER = {
    "rnn": {"nonlinearity": "tanh"},
    "gru": {"reset_after": True},
    "gelu": {"approximate": "none"},
    "softplus": {"beta": 1.0, "threshold": 20.0},
    "leaky_relu": {"negative_slope": 0.01},
    "embedding": {"padding_idx": None},
}
NEUTRAL_TRAIN = {"clip_norm": None, "clip_value": None, "schedule": None, "warmup": None, "group": None}


@dataclass
class Findings:
    trained: Trained
    # Of f32 against f64: losses and norms, weights.
    loss_error: float
    weight_error: float
    learnt: float
    # How little any setting shows where it is ignored, in units of what the tests let pass; and which.
    least: float
    which: str


def changed(table, key, value):
    """A copy with the key set, or left out where the value is none."""
    table = {k: v for k, v in table.items() if k != key}
    return table if value is None else {**table, key: value}


def momentum_is_bound(run):
    """Nesterov's is refused without any, and a cycle of momentum replaces what the optimizer says."""
    return run["train"]["optimizer"].get("nesterov") or run["train"].get("schedule", {}).get("cycle_momentum")


def settings_ignored(run):
    """(what, run) for each setting that the run gives, as if it were not given."""
    for key in NEUTRAL_TRAIN.keys() & run["train"].keys():
        yield key, {**run, "train": changed(run["train"], key, None)}
    tables = {"optimizer": run["train"]["optimizer"], "loss": loss_settings(run)}
    if "schedule" in run["train"]:
        tables["schedule"] = run["train"]["schedule"]
    for section, table in tables.items():
        for key, neutral in NEUTRAL.get(table["type"], {}).items():
            if table.get(key, neutral) != neutral and not (key == "momentum" and momentum_is_bound(run)):
                without = changed(table, key, neutral)
                yield f"{section} {key}", {**run, "train": {**run["train"], section: without}}
    for i, layer in enumerate(run["layer"]):
        for key, neutral in NEUTRAL_LAYER.get(layer["type"], {}).items():
            if layer.get(key, neutral) != neutral:
                layers = [*run["layer"][:i], changed(layer, key, neutral), *run["layer"][i + 1 :]]
                yield f"{layer['name']} {key}", {**run, "layer": layers}


def data_ignored(case):
    """(what, data) for each tensor beside inputs and targets, as if it said nothing."""
    data = case.data
    if "reset" in data:
        yield "carried state", {**data, "reset": torch.ones_like(data["reset"])}
        if data["reset"][1:].any():
            only_first = torch.zeros_like(data["reset"])
            only_first[0] = 1
            yield "reset midway", {**data, "reset": only_first}
    if "lengths" in data:
        if case.task["targets"] != "classes" and case.task["time"] == "each":
            whole = torch.full_like(data["lengths"], data["inputs"].shape[1])
            yield "targets past the end", {**data, "target_lengths": whole}
        # What is read forwards and step by step does not know of the end.
        if any(layer["type"] == "last" or layer.get("bidirectional") for layer in case.run["layer"]):
            whole = torch.full_like(data["lengths"], data["inputs"].shape[1])
            yield "lengths", {**data, "lengths": whole, "target_lengths": data["lengths"]}


def apart(numbers, others):
    return max(abs(x - y) / max(abs(y), 1e-30) for x, y in zip(numbers, others))


def weights_apart(some, others):
    def of(name):
        return ((some[name].double() - others[name].double()).abs().max() / others[name].double().abs().max()).item()

    return max(of(name) for name in others)


def shown(trained, other):
    """How far another training is from this one, in units of what the tests let pass."""
    losses = apart(other.losses + other.grad_norms, trained.losses + trained.grad_norms)
    return max(losses / LOSS_VISIBLE, weights_apart(other.final, trained.final) / WEIGHT_VISIBLE)


def check(case):
    """Trains the case and asserts all of this."""
    trained = train(case)
    assert trained.losses == train(case).losses, f"{case.name} is not repeatable"
    exact = train(case, torch.float64)
    untrained = train(case, learning=False)
    ignored = [(what, train(case, run=run)) for what, run in settings_ignored(copy.deepcopy(case.run))]
    ignored += [(what, train(case, data=data)) for what, data in data_ignored(case)]
    shows = [(shown(trained, other), what) for what, other in ignored] or [(float("inf"), "-")]
    found = Findings(
        trained,
        apart(trained.losses + trained.grad_norms, exact.losses + exact.grad_norms),
        weights_apart(trained.final, exact.final),
        abs(trained.losses[-1] / untrained.losses[-1] - 1),
        *min(shows),
    )
    assert_rows_left_alone(case, trained)
    assert_clipping_comes_and_goes(case, trained)
    assert_means_are_pytorchs(case)
    return found


def assert_clipping_comes_and_goes(case, trained):
    max_norm = case.run["train"].get("clip_norm")
    clipped = [max_norm is not None and norm > max_norm for norm in trained.grad_norms]
    assert max_norm is None or 2 <= sum(clipped) <= len(clipped) - 2, (case.name, trained.grad_norms)


def assert_means_are_pytorchs(case):
    """A cross entropy's sum over its weight is what PyTorch calls the mean."""
    loss, targets = loss_settings(case.run), case.data["targets"][0].long()
    if loss["type"] != "cross_entropy":
        return
    outputs = torch.randn(*targets.shape, case.task["outputs"], dtype=torch.float64)
    weights = loss.get("class_weights")
    mean = F.cross_entropy(
        outputs.reshape(-1, outputs.shape[-1]),
        targets.reshape(-1),
        weight=None if weights is None else outputs.new_tensor(weights),
        ignore_index=IGNORE,
        label_smoothing=loss.get("label_smoothing", 0.0),
    )
    assert torch.isclose(loss_sum(loss, outputs, targets) / loss_weight(loss, targets), mean, rtol=1e-12)


def assert_rows_left_alone(case, trained):
    for layer in case.run["layer"]:
        if "padding_idx" in layer:
            name, row = f"{layer['name']}.weight", layer["padding_idx"]
            assert torch.equal(trained.final[name][row], trained.initial[name][row])
            assert (case.data["inputs"] == row).any() and trained.initial[name][row].any()


def complaints(found):
    """What is wrong with a case; nothing, for the committed ones."""
    limits = {
        f"losses differ from f64 by {found.loss_error:.1e}": found.loss_error < LOSS_PRECISION,
        f"weights differ from f64 by {found.weight_error:.1e}": found.weight_error < WEIGHT_PRECISION,
        f"the loss moves by {found.learnt:.1%}": found.learnt > LEARNT,
        f"{found.which} hardly shows": found.least > 1,
    }
    return [complaint for complaint, fine in limits.items() if not fine]
