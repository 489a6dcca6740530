"""Makes rules.json: optimizers, schedules and losses of PyTorch in small numbers.

    python tests/golden/make_rules.py

The unit tests read the committed file, made with torch 2.15.0 in f64. Settings
are named as the tests name the cases; each test states its own again.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.optim import lr_scheduler as lrs

torch.set_default_dtype(torch.float64)
STEPS = 6


def optimizers():
    generator = torch.Generator().manual_seed(3)
    start = torch.rand(4, generator=generator) * 2 - 1
    gradients = torch.rand(STEPS, 4, generator=generator) * 2 - 1
    o = torch.optim
    cases = {
        "sgd": (o.SGD, dict(lr=0.1, weight_decay=0.25)),
        "sgd_dampened": (o.SGD, dict(lr=0.1, momentum=0.75, dampening=0.5, weight_decay=0.25)),
        "sgd_nesterov": (o.SGD, dict(lr=0.1, momentum=0.75, nesterov=True, weight_decay=0.25)),
        "adam": (o.Adam, dict(lr=0.1, betas=(0.75, 0.875), eps=0.0625, weight_decay=0.25)),
        "adamw": (o.AdamW, dict(lr=0.1, betas=(0.75, 0.875), eps=0.0625, weight_decay=0.25)),
        "rmsprop": (o.RMSprop, dict(lr=0.1, alpha=0.75, eps=0.0625, weight_decay=0.25)),
        "rmsprop_centered": (
            o.RMSprop,
            dict(lr=0.1, alpha=0.75, eps=0.0625, momentum=0.5, centered=True, weight_decay=0.25),
        ),
        "adagrad": (
            o.Adagrad,
            dict(lr=0.1, lr_decay=0.5, eps=0.0625, initial_accumulator_value=0.125, weight_decay=0.25),
        ),
    }
    made = {"start": start.tolist(), "gradients": gradients.tolist()}
    for name, (kind, settings) in cases.items():
        w = start.clone().requires_grad_()
        optimizer = kind([w], **settings)
        made[name] = []
        for g in gradients:
            w.grad = g.clone()
            optimizer.step()
            made[name].append(w.tolist())
    # The momentum of one-cycle goes into the bias correction too.
    w = start.clone().requires_grad_()
    optimizer = o.AdamW([w], lr=0.1, betas=(0.75, 0.875), eps=0.0625, weight_decay=0.25)
    scheduler = lrs.OneCycleLR(optimizer, max_lr=0.5, total_steps=STEPS + 1)
    made["adamw_one_cycle"] = []
    for g in gradients:
        w.grad = g.clone()
        optimizer.step()
        scheduler.step()
        made["adamw_one_cycle"].append(w.tolist())
    return made


def schedules():
    def one_cycle(**settings):
        return lambda o: lrs.OneCycleLR(o, max_lr=0.5, total_steps=20, **settings)

    def warmed(o):
        return lrs.SequentialLR(
            o, [lrs.LinearLR(o, 1 / 4, 1, 3), lrs.CosineAnnealingLR(o, 10, 0.0625)], milestones=[4]
        )

    cases = {
        "linear": (lambda o: lrs.LinearLR(o, 0.25, 0.75, 7), 12),
        "cosine": (lambda o: lrs.CosineAnnealingLR(o, 10, 0.0625), 25),
        "step": (lambda o: lrs.StepLR(o, 3, 0.5), 12),
        "exponential": (lambda o: lrs.ExponentialLR(o, 0.75), 12),
        "one_cycle": (one_cycle(), 20),
        "one_cycle_linear": (one_cycle(anneal_strategy="linear", div_factor=4.0, final_div_factor=8.0), 20),
        "one_cycle_three_phase": (one_cycle(three_phase=True, pct_start=0.25), 20),
        "warmup_cosine": (warmed, 20),
    }
    made = {}
    for name, (make, steps) in cases.items():
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.25, momentum=0.5)
        scheduler = make(optimizer)
        rates, momenta = [], []
        for step in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            momenta.append(optimizer.param_groups[0]["momentum"])
            optimizer.step()
            if step + 1 < steps:
                scheduler.step()
        made[name] = {"rates": rates, "momenta": momenta}
    losses = [3.0, 2.0, 2.0, 1.99, 1.5, 1.6, 1.6, 1.6, 1.6, 1.6, 1.6, 1.2, 1.3, 1.3, 1.3, 1.3, 1.3, 1.3, 1.3, 1.3, 1.3, 1.3]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.25)
    scheduler = lrs.ReduceLROnPlateau(optimizer, factor=0.25, patience=1, threshold=0.01, cooldown=2, min_lr=0.005)
    rates = []
    for loss in losses:
        scheduler.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    made["plateau"] = {"losses": losses, "rates": rates}
    return made


def losses():
    generator = torch.Generator().manual_seed(5)
    logits = (torch.rand(6, 5, generator=generator) * 6 - 3).requires_grad_()
    targets = torch.tensor([0, 4, -1, 2, 2, -1])
    weights = torch.tensor([0.5, 2.0, 1.5, 0.25, 3.0])
    made = {"logits": logits.flatten().tolist(), "targets": targets.tolist(), "weights": weights.tolist()}
    for name, settings in {
        "smooth": dict(label_smoothing=0.25),
        "weighted": dict(weight=weights),
        "weighted_smooth": dict(weight=weights, label_smoothing=0.25),
    }.items():
        loss = F.cross_entropy(logits, targets, ignore_index=-1, **settings)
        (gradient,) = torch.autograd.grad(loss, logits)
        made[name] = {"loss": loss.item(), "gradient": gradient.flatten().tolist()}
    y = torch.tensor([0.5, 1.0, -2.0, 30.0, -30.0, 0.25], requires_grad=True)
    t = torch.tensor([0.5, 0.5, 1.0, 1.0, 1.0, 0.0])
    made["predictions"], made["numbers"] = y.tolist(), t.tolist()
    for name, measure in {
        "mse": F.mse_loss,
        "l1": F.l1_loss,
        "huber": lambda y, t: F.huber_loss(y, t, delta=0.5),
        "bce_with_logits": F.binary_cross_entropy_with_logits,
    }.items():
        loss = measure(y, t)
        (gradient,) = torch.autograd.grad(loss, y)
        made[name] = {"loss": loss.item(), "gradient": gradient.tolist()}
    return made


if __name__ == "__main__":
    made = {"optimizers": optimizers(), "schedules": schedules(), "losses": losses()}
    text = json.dumps(made, indent=1)
    Path(__file__).with_name("rules.json").write_text(text + "\n")
