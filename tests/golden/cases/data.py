"""Made-up data with something to learn in it. Time is outermost: (steps, T, B, ..)."""

import math

import torch

from cases.training import IGNORE, STEPS

VOCABULARY, FEATURES, OUTPUTS = 13, 9, 3
BATCH, WINDOW = 6, 7
# Rows come in so few different batches that some steps teach what later ones ask.
DISTINCT = 4


def generator(seed):
    return torch.Generator().manual_seed(seed)


def chains(rows, length, seed):
    """(rows, length): ids that mostly follow a rule."""
    draw = generator(seed)
    follows = torch.rand(rows, length, generator=draw) < 0.8
    ids = torch.randint(VOCABULARY, (rows, length), generator=draw)
    for t in range(1, length):
        rule = (3 * ids[:, t - 1] + 1) % VOCABULARY
        ids[:, t] = torch.where(follows[:, t], rule, ids[:, t])
    return ids.to(torch.int32)


def streams(seed, batch=BATCH, reset_row=None):
    """Each row reads one text, window after window; `reset_row` starts anew midway."""
    ids = chains(batch, STEPS * WINDOW + 1, seed)
    cut = [ids[:, t : t + STEPS * WINDOW].T.reshape(STEPS, WINDOW, batch).contiguous() for t in (0, 1)]
    reset = torch.zeros(STEPS, batch, dtype=torch.int32)
    reset[0] = 1
    if reset_row is not None:
        reset[STEPS // 2, reset_row] = 1
    return {"inputs": cut[0], "targets": cut[1], "reset": reset}


def lengths(seed, batch):
    """(steps, B): ends from 1 to T, both of which occur."""
    drawn = torch.randint(1, WINDOW + 1, (STEPS, batch), generator=generator(seed), dtype=torch.int32)
    assert drawn.min() == 1 and drawn.max() == WINDOW
    return drawn


def token_sequences(seed, batch=BATCH, ends=True, whole=False):
    """Sequences of ids and the id that follows each, or, of a whole one, the id it ends with.

    Past a row's end the inputs are ids like any other, so that reading them shows, and the targets
    are ignored.
    """
    ids = chains(STEPS * batch, WINDOW + 1, seed).reshape(STEPS, batch, WINDOW + 1).transpose(1, 2)
    data = {"inputs": ids[:, :-1].contiguous(), "targets": ids[:, 1:].contiguous()}
    if ends:
        data["lengths"] = lengths(seed + 1, batch)
    if whole:
        last = data["lengths"].long() - 1
        data["targets"] = data["inputs"].gather(1, last[:, None]).squeeze(1).contiguous()
    elif ends:
        past = torch.arange(WINDOW)[None, :, None] >= data["lengths"][:, None]
        data["targets"] = data["targets"].masked_fill(past, IGNORE)
    return data


def feature_sequences(seed):
    """(steps, T, B, F) with each row's end."""
    draw = generator(seed)
    return torch.randn(STEPS, WINDOW, BATCH, FEATURES, generator=draw), lengths(seed + 1, BATCH), draw


def feature_sequence_classes(seed):
    """Sequences of features, each of a class that its mean up to its end decides."""
    x, ends, draw = feature_sequences(seed)
    within = torch.arange(WINDOW)[None, :, None] < ends[:, None]
    mean = (x * within[..., None]).sum(1) / ends[..., None].sqrt()
    classes = (mean @ torch.randn(FEATURES, VOCABULARY, generator=draw)).argmax(-1)
    return {"inputs": x, "targets": classes.to(torch.int32), "lengths": ends}


def feature_sequence_numbers(seed):
    """Sequences of features, and numbers for each step of what came before it; none is NaN."""
    x, ends, draw = feature_sequences(seed)
    targets = torch.tanh(x.cumsum(1) @ torch.randn(FEATURES, OUTPUTS, generator=draw) / math.sqrt(FEATURES))
    return {"inputs": x, "targets": targets.contiguous(), "lengths": ends}


def repeated(x):
    return x.repeat(STEPS // DISTINCT, *[1] * (x.dim() - 1)).contiguous()


def rows(seed, batch=BATCH, features=FEATURES):
    draw = generator(seed)
    return torch.randn(DISTINCT, batch, features, generator=draw), draw


def classes(seed, ignored=0.0, batch=BATCH, features=FEATURES):
    """Rows of features (steps, B, F) and their classes (steps, B), some of them ignored."""
    x, draw = rows(seed, batch, features)
    y = (x @ torch.randn(features, VOCABULARY, generator=draw)).argmax(-1).to(torch.int32)
    y[torch.rand(y.shape, generator=draw) < ignored] = IGNORE
    assert (y == IGNORE).any() == (ignored > 0)
    return {"inputs": repeated(x), "targets": repeated(y)}


def numbers(seed, missing=0.0):
    """Rows of features (steps, B, F) and numbers (steps, B, O), some of them missing: NaN."""
    x, draw = rows(seed)
    y = 2 * torch.tanh(x @ torch.randn(FEATURES, OUTPUTS, generator=draw))
    y[torch.rand(y.shape, generator=draw) < missing] = math.nan
    return {"inputs": repeated(x), "targets": repeated(y)}


def bits(seed):
    """Rows of features (steps, B, F) and bits (steps, B, O), as numbers 0 and 1."""
    x, draw = rows(seed)
    y = (x @ torch.randn(FEATURES, OUTPUTS, generator=draw) > 0).to(torch.float32)
    return {"inputs": repeated(x), "targets": repeated(y)}
