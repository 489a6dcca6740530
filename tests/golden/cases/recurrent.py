"""Cases of recurrent networks: every cell, with ends of rows and with carried state."""

from cases import data
from cases.data import VOCABULARY
from cases.runs import (
    ADAM,
    cell,
    embedding,
    features_sequence_case,
    function,
    linear,
    sgd,
    tokens_case,
)

CELLS = {
    "rnn_tanh": ("rnn", {"nonlinearity": "tanh"}),
    "rnn_relu": ("rnn", {"nonlinearity": "relu"}),
    "gru": ("gru", {"reset_after": True}),
    "gru_reset_before": ("gru", {"reset_after": False}),
    "lstm": ("lstm", {}),
}
# What the carried cases train with, so that not all of them are alike.
CARRIED = {
    "rnn_tanh": {"clip_norm": 0.65},
    "rnn_relu": {"accumulate": 2},
    "gru": {"clip_norm": 0.4, "accumulate": 2},
    "gru_reset_before": {"accumulate": 3},
    "lstm": {"clip_norm": 0.27},
}


def reader(kind, *above, size=None, **more):
    """embedding -> cell -> whatever is above it -> linear."""
    sizes = {} if size is None else {"hidden_size": size}
    table = embedding() if size is None else embedding(size)
    return [table, cell(kind, **sizes, **more), *above, linear("linear", VOCABULARY)]


def cells():
    for number, (name, (kind, options)) in enumerate(CELLS.items()):
        for layers in (1, 2):
            seed = 100 + 10 * number + layers
            depth = "1 layer" if layers == 1 else f"{layers} layers"
            yield tokens_case(
                f"{name}_{layers}_lengths",
                f"{name}, {depth}: sequences with ends of their own (pack_padded_sequence).",
                data.token_sequences(seed),
                reader(kind, layers=layers, **options),
                ADAM,
                seed,
            )
            row = 2 if layers == 2 or name == "lstm" else None
            midway = "" if row is None else f"; row {row} starts anew at step 10"
            yield tokens_case(
                f"{name}_{layers}_carried",
                f"{name}, {depth}: truncated back-propagation, the state carried and detached{midway}.",
                data.streams(seed + 5, reset_row=row),
                reader(kind, layers=layers, **options),
                ADAM,
                seed,
                **CARRIED[name],
            )


def directions():
    yield tokens_case(
        "lstm_bidirectional",
        "lstm both ways, 2 layers, awkward sizes: the backward direction begins at each row's own end.",
        data.token_sequences(200, batch=3),
        reader("lstm", size=5, layers=2, bidirectional=True),
        ADAM,
        200,
    )
    yield tokens_case(
        "gru_bidirectional",
        "gru both ways over whole sequences, all equally long.",
        data.token_sequences(210, ends=False),
        reader("gru", bidirectional=True, reset_after=True),
        ADAM,
        210,
    )
    yield tokens_case(
        "rnn_bidirectional",
        "rnn both ways with ends of rows and two micro-steps.",
        data.token_sequences(220),
        reader("rnn", bidirectional=True, nonlinearity="tanh"),
        sgd(0.5, momentum=0.9),
        220,
        accumulate=2,
    )


def ends():
    """A whole sequence read at each row's own end: what is past it must leave the state alone."""
    for number, (name, (kind, options)) in enumerate(CELLS.items()):
        if name != "lstm":
            yield tokens_case(
                f"{name}_last",
                f"{name}: the state at each row's own end says what the row ends with.",
                data.token_sequences(230 + number, whole=True),
                reader(kind, function("last"), **options),
                ADAM,
                230 + number,
            )
    yield features_sequence_case(
        "lstm_features_last",
        "lstm reading features: the state at each row's own end gives the row's class.",
        data.feature_sequence_classes(240),
        [cell("lstm"), function("last"), linear("linear", VOCABULARY)],
        ADAM,
        240,
        target="class",
        loss="cross_entropy",
    )


def others():
    yield tokens_case(
        "lstm_without_bias",
        "lstm without biases, awkward sizes, state carried.",
        data.streams(250, batch=3, reset_row=1),
        reader("lstm", size=5, bias=False),
        sgd(1.0, momentum=0.9),
        250,
    )
    yield features_sequence_case(
        "gru_features_numbers",
        "gru reading features, numbers at each step, mean squared error up to each row's end.\n"
        "Targets past the end are numbers like any other (none is NaN) and must not be learnt.",
        data.feature_sequence_numbers(260),
        [cell("gru", reset_after=True), linear("linear", data.OUTPUTS)],
        ADAM,
        260,
        target="number",
        loss="mse",
    )


def all_cases():
    for make in (cells, directions, ends, others):
        yield from make()
