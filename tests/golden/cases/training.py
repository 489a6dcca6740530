"""Trains a `Network` as a run file says, with PyTorch's own losses, optimizers and schedulers."""

import math
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.optim import lr_scheduler

from cases.network import Network

STEPS = 20
IGNORE = -1


@dataclass
class Trained:
    """What a training leaves behind; numbers are those of its dtype."""

    losses: list = field(default_factory=list)
    grad_norms: list = field(default_factory=list)
    learning_rates: list = field(default_factory=list)
    initial: dict = None
    final: dict = None
    # Of each recurrent layer and each layer stacked in it (S, B, H), where state is carried.
    final_state: list = None


# ---------------------------------------------------------------------- losses


def loss_settings(run):
    loss = run["train"]["loss"]
    return {"type": loss} if isinstance(loss, str) else loss


def loss_sum(loss, outputs, targets):
    """The loss summed over what is to be learnt, neither ids of -1 nor numbers that are NaN."""
    kind = loss["type"]
    if kind == "cross_entropy":
        weights = loss.get("class_weights")
        return F.cross_entropy(
            outputs.reshape(-1, outputs.shape[-1]),
            targets.reshape(-1).long(),
            weight=None if weights is None else outputs.new_tensor(weights),
            ignore_index=IGNORE,
            label_smoothing=loss.get("label_smoothing", 0.0),
            reduction="sum",
        )
    valid = ~targets.isnan()
    measure = {
        "mse": F.mse_loss,
        "l1": F.l1_loss,
        "huber": lambda x, y, reduction: F.huber_loss(x, y, reduction, loss["delta"]),
        "bce_with_logits": lambda x, y, reduction: F.binary_cross_entropy_with_logits(x, y, reduction=reduction),
    }[kind]
    return measure(outputs[valid], targets[valid], reduction="sum")


def loss_weight(loss, targets):
    """What the sum is divided by: how much there is to learn, or what its classes weigh."""
    if loss["type"] != "cross_entropy":
        return (~targets.isnan()).sum()
    valid = targets[targets != IGNORE].long()
    weights = loss.get("class_weights")
    return len(valid) if weights is None else torch.tensor(weights, dtype=torch.float64)[valid].sum()


# ------------------------------------------------------- optimizers, schedules


def parameter_groups(network, run):
    """PyTorch's groups: first what no `[[train.group]]` matches, then one for each of them."""
    wanted = run["train"].get("group", [])
    groups = [{"params": []}] + [{"params": [], **options(group)} for group in wanted]
    for name, value in network.named_parameters():
        matching = (i for i, group in enumerate(wanted) if any(fnmatchcase(name, p) for p in group["parameters"]))
        groups[next(matching, -1) + 1]["params"].append(value)
    assert all(group["params"] for group in groups)
    return groups


def options(group):
    renamed = {"learning_rate": "lr"}
    return {renamed.get(key, key): value for key, value in group.items() if key != "parameters"}


def make_optimizer(groups, run):
    settings = dict(run["train"]["optimizer"])
    kind = settings.pop("type")
    settings["lr"] = settings.pop("learning_rate")
    if "betas" in settings:
        settings["betas"] = tuple(settings["betas"])
    made = {
        "sgd": optim.SGD,
        "adam": optim.Adam,
        "adamw": optim.AdamW,
        "rmsprop": optim.RMSprop,
        "adagrad": optim.Adagrad,
    }[kind]
    return made(groups, foreach=False, **settings)


def make_scheduler(optimizer, schedule):
    settings = dict(schedule)
    kind = settings.pop("type")
    steps = settings.pop("steps", None)
    if kind == "constant":
        return None
    if kind == "linear":
        return lr_scheduler.LinearLR(optimizer, total_iters=steps, **settings)
    if kind == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps, **settings)
    if kind == "one_cycle":
        settings["anneal_strategy"] = settings.pop("anneal")
        return lr_scheduler.OneCycleLR(optimizer, total_steps=steps, **settings)
    made = {
        "step": lr_scheduler.StepLR,
        "exponential": lr_scheduler.ExponentialLR,
        "plateau": lr_scheduler.ReduceLROnPlateau,
    }[kind]
    return made(optimizer, **settings)


class Rate:
    """Moves the learning rate, and the momentum with it, from update to update."""

    def __init__(self, optimizer, train, validation):
        self.optimizer = optimizer
        self.schedule = train.get("schedule", {"type": "constant"})
        self.warmup = train.get("warmup", 0)
        self.every, self.validation = train.get("evaluate_every"), validation
        self.base = [group["lr"] for group in optimizer.param_groups]
        self.scheduler = None

    def before(self, step):
        """Sets the rates of update `step`, counted from 0."""
        if step <= self.warmup:
            for group, base in zip(self.optimizer.param_groups, self.base):
                group["lr"] = base if step == self.warmup else base * (step + 1) / self.warmup
        if step == self.warmup:
            # The schedule begins where the warm-up has ended, with its own step 0.
            self.scheduler = make_scheduler(self.optimizer, self.schedule)
        elif step > self.warmup and self.scheduler and self.schedule["type"] != "plateau":
            self.scheduler.step()

    def after(self, step):
        """Feeds the plateau after every `evaluate_every` updates."""
        if self.schedule["type"] == "plateau" and (step + 1) % self.every == 0:
            self.scheduler.step(self.validation[(step + 1) // self.every - 1])


# -------------------------------------------------------------------- training


def start(run, task, seed):
    """The network with the weights it starts from."""
    torch.manual_seed(seed)
    network = Network(run["layer"], task)
    for layer in run["layer"]:
        if "padding_idx" in layer:
            # PyTorch begins with zeros here; a row of numbers shows whether it is read, and left alone.
            nn.init.normal_(getattr(network, layer["name"]).weight.data)
    return network


def tensors_of(network):
    # A tied weight is one parameter, under the name of the layer that owns it.
    return {name: value.detach().clone().contiguous() for name, value in network.named_parameters()}


def prepared(data, task, dtype):
    """The tensors as PyTorch wants them, and NaN for numbers past a row's end."""
    data = {name: value.to(dtype) if value.is_floating_point() else value.long() for name, value in data.items()}
    if "lengths" in data and task["time"] == "each" and task["targets"] != "classes":
        ends = data.get("target_lengths", data["lengths"])
        past = torch.arange(data["targets"].shape[1])[None, :, None] >= ends[:, None, :]
        data["targets"] = data["targets"].masked_fill(past[..., None], math.nan)
    return data


def train(case, dtype=torch.float32, run=None, data=None, learning=True):
    """Trains `case`, or another `run` or `data` from the same start."""
    run, task = run or case.run, case.task
    data = prepared(data or case.data, task, dtype)
    network = start(run, task, case.seed)
    # The start is drawn in f32, and is the same number in every dtype.
    network.to(dtype)
    groups = parameter_groups(network, run)
    optimizer = make_optimizer(groups, run)
    rate = Rate(optimizer, run["train"], case.validation)
    loss, settings = loss_settings(run), run["train"]
    rows = settings["batch"]
    record, state = Trained(initial=tensors_of(network)), network.zero_state(rows)
    for step in range(STEPS):
        batch = {name: value[step] for name, value in data.items()}
        if settings.get("carry_state"):
            # The gradient stops at the window's edge; the value goes on, but for rows that start anew.
            keep = (batch["reset"] == 0)[:, None]
            state = {name: torch.where(keep, value.detach(), 0.0) for name, value in state.items()}
        else:
            state = network.zero_state(rows)
        if learning:
            rate.before(step)
        optimizer.zero_grad()
        total, state = add_gradients(network, loss, task, batch, state, settings.get("accumulate", 1))
        record.losses.append(total.item())
        record.grad_norms.append(clip(network, settings).item())
        record.learning_rates.append(optimizer.param_groups[0]["lr"])
        if learning:
            optimizer.step()
            rate.after(step)
    record.final = tensors_of(network)
    if settings.get("carry_state"):
        record.final_state = [stacked for value in state.values() for stacked in value.detach().unbind(1)]
    return record


def add_gradients(network, loss, task, batch, state, accumulate):
    """Adds up the gradients of equal groups of rows; returns the whole loss and the states."""
    rows_of_inputs = 0 if task["time"] == "none" else 1
    rows_of_targets = 1 if task["time"] == "each" else 0
    weight = loss_weight(loss, batch["targets"])
    total, ends = 0.0, []
    parts = zip(
        batch["inputs"].chunk(accumulate, rows_of_inputs),
        batch["targets"].chunk(accumulate, rows_of_targets),
        batch["lengths"].chunk(accumulate) if "lengths" in batch else [None] * accumulate,
        [{name: value.chunk(accumulate, 2)[i] for name, value in state.items()} for i in range(accumulate)],
    )
    for inputs, targets, lengths, part in parts:
        outputs, end = network(inputs, part, lengths)
        share = loss_sum(loss, outputs, targets) / weight
        share.backward()
        total += share.detach()
        ends.append(end)
    return total, {name: torch.cat([end[name] for end in ends], dim=2) for name in state}


def clip(network, settings):
    """Clips as the run says; returns the norm before it."""
    parameters = list(network.parameters())
    norm = nn.utils.get_total_norm([p.grad for p in parameters])
    if "clip_norm" in settings:
        nn.utils.clip_grad_norm_(parameters, settings["clip_norm"], foreach=False)
    if "clip_value" in settings:
        nn.utils.clip_grad_value_(parameters, settings["clip_value"], foreach=False)
    return norm
