"""Cases of losses, optimizers, schedules and layers, on small perceptrons."""

from cases import data
from cases.data import VOCABULARY
from cases.runs import (
    ADAM,
    HIDDEN,
    cell,
    embedding,
    function,
    linear,
    norm,
    perceptron,
    rows_case,
    sgd,
    tokens_case,
)

WEIGHTS = [0.5, 1.0, 2.0, 0.25, 1.5, 1.0, 3.0, 0.75, 1.0, 0.5, 2.5, 1.25, 1.0]


def losses():
    entropies = {
        "label_smoothing": ({"label_smoothing": 0.1}, 0.0),
        "class_weights": ({"class_weights": WEIGHTS}, 0.0),
        "class_weights_smoothing_ignored": ({"label_smoothing": 0.2, "class_weights": WEIGHTS}, 0.25),
    }
    for number, (name, (settings, ignored)) in enumerate(entropies.items()):
        yield rows_case(
            f"loss_{name}",
            f"Cross entropy with {name.replace('_', ' ')}.",
            data.classes(300 + number, ignored),
            perceptron(),
            ADAM,
            300 + number,
            loss={"type": "cross_entropy", **settings},
            accumulate=2 if ignored else 1,
        )
    numbers = {
        "mse": ("mse", 0.0),
        "mse_missing": ("mse", 0.25),
        "l1": ("l1", 0.0),
        "huber": ({"type": "huber", "delta": 0.5}, 0.0),
    }
    for number, (name, (loss, missing)) in enumerate(numbers.items()):
        yield rows_case(
            f"loss_{name}",
            f"The loss {name}{', with targets that are NaN: neither loss nor gradient' if missing else ''}.",
            data.numbers(310 + number, missing),
            perceptron(data.OUTPUTS),
            ADAM,
            310 + number,
            target="number",
            loss=loss,
            accumulate=2 if missing else 1,
        )
    yield rows_case(
        "loss_bce_with_logits",
        "Binary cross entropy of three bits a row.",
        data.bits(320),
        perceptron(data.OUTPUTS),
        ADAM,
        320,
        target="bit",
        loss="bce_with_logits",
    )


OPTIMIZERS = {
    "sgd": (sgd(0.5, weight_decay=0.05), {}),
    "sgd_momentum_dampening": (sgd(0.3, momentum=0.9, dampening=0.3, weight_decay=0.01), {"clip_norm": 0.9}),
    "sgd_nesterov": (sgd(0.1, momentum=0.9, nesterov=True, weight_decay=0.01), {"accumulate": 2}),
    "adam": (
        {"type": "adam", "learning_rate": 0.03, "betas": [0.8, 0.95], "eps": 1e-3, "weight_decay": 0.05},
        {"accumulate": 2, "clip_norm": 0.83},
    ),
    "adamw": (
        {"type": "adamw", "learning_rate": 0.03, "betas": [0.9, 0.99], "eps": 1e-4, "weight_decay": 0.3},
        {"clip_value": 0.02},
    ),
    "rmsprop": (
        {
            "type": "rmsprop",
            "learning_rate": 0.01,
            "alpha": 0.9,
            "eps": 1e-3,
            "momentum": 0.0,
            "centered": False,
            "weight_decay": 0.0,
        },
        {},
    ),
    "rmsprop_centered_momentum": (
        {
            "type": "rmsprop",
            "learning_rate": 0.003,
            "alpha": 0.95,
            "eps": 1e-2,
            "momentum": 0.8,
            "centered": True,
            "weight_decay": 0.05,
        },
        {"clip_norm": 0.83, "accumulate": 2},
    ),
    "adagrad": (
        {
            "type": "adagrad",
            "learning_rate": 0.1,
            "lr_decay": 0.05,
            "eps": 1e-10,
            "initial_accumulator_value": 0.01,
            "weight_decay": 0.02,
        },
        {},
    ),
}


def optimizers():
    for number, (name, (optimizer, more)) in enumerate(OPTIMIZERS.items()):
        seed = 400 + number
        yield rows_case(
            f"optimizer_{name}", f"The optimizer {name}.", data.classes(seed), perceptron(), optimizer, seed, **more
        )
    normed = [linear("hidden", HIDDEN), norm(), function("tanh"), linear("output", VOCABULARY)]
    yield rows_case(
        "groups_without_decay",
        "Biases and the normalisation do not decay; the first group that matches a parameter counts.",
        data.classes(420),
        normed,
        {"type": "adamw", "learning_rate": 0.03, "betas": [0.9, 0.99], "eps": 1e-4, "weight_decay": 1.0},
        420,
        group=[{"parameters": ["*.bias", "norm*"], "weight_decay": 0.0}],
    )
    yield rows_case(
        "groups_learning_rates",
        "One group learns faster and another decays; `output.bias` matches both and is of the first.\n"
        "The schedule multiplies every group's rate; `learning_rates` are those of what no group matches.",
        data.classes(421),
        perceptron(),
        sgd(0.1, momentum=0.9),
        421,
        schedule={"type": "exponential", "gamma": 0.97},
        group=[
            {"parameters": ["output.*"], "learning_rate": 0.3},
            {"parameters": ["*.bias"], "weight_decay": 0.5},
        ],
    )


def one_cycle(**changed):
    return {
        "type": "one_cycle",
        "max_lr": 0.08,
        "steps": 20,
        "pct_start": 0.3,
        "div_factor": 10.0,
        "final_div_factor": 100.0,
        "anneal": "cos",
        "cycle_momentum": True,
        "base_momentum": 0.85,
        "max_momentum": 0.95,
        "three_phase": False,
        **changed,
    }


PLAIN, MOMENTUM = sgd(0.5), sgd(0.2, momentum=0.9)
SCHEDULES = {
    "linear": (PLAIN, {"type": "linear", "start_factor": 0.2, "end_factor": 0.9, "steps": 12}, {}),
    "cosine": (ADAM, {"type": "cosine", "steps": 20, "eta_min": 0.002}, {}),
    "step": (MOMENTUM, {"type": "step", "step_size": 6, "gamma": 0.5}, {}),
    "exponential": (PLAIN, {"type": "exponential", "gamma": 0.9}, {}),
    "one_cycle_adam": (ADAM, one_cycle(), {}),
    "one_cycle_sgd": (
        MOMENTUM,
        one_cycle(max_lr=0.4, pct_start=0.4, three_phase=True, anneal="linear", base_momentum=0.8, max_momentum=0.9),
        {},
    ),
    "plateau": (
        MOMENTUM,
        {"type": "plateau", "factor": 0.5, "patience": 1, "threshold": 0.01, "cooldown": 1, "min_lr": 0.08},
        {"evaluate_every": 2},
    ),
    "warmup_cosine": (PLAIN, {"type": "cosine", "steps": 15, "eta_min": 0.02}, {"warmup": 5}),
}
SCHEDULE_NOTES = {
    "plateau": "\nAfter every second update it is fed the next of `validation`, whatever the model's own loss is.",
    "warmup_cosine": "\nUpdate t, from 0, has the rate learning_rate * (t + 1) / 5 below 5; at 5 the schedule is at 0.",
}
# The first; better by too little; worse, so halved; in cooldown; worse twice, so down to `min_lr`; in
# cooldown; better; worse twice, and no lower.
VALIDATION = [2.5, 2.49, 2.6, 2.55, 2.52, 2.51, 2.51, 2.3, 2.31, 2.32]


def schedules():
    for number, (name, (optimizer, schedule, more)) in enumerate(SCHEDULES.items()):
        yield rows_case(
            f"schedule_{name}",
            f"The schedule {name}, one step of it an update.{SCHEDULE_NOTES.get(name, '')}",
            data.classes(500 + number),
            perceptron(),
            optimizer,
            500 + number,
            schedule=schedule,
            validation=VALIDATION if name == "plateau" else None,
            **more,
        )


def between(*layers):
    """A perceptron with these layers between its two linear ones."""
    return [linear("hidden", HIDDEN), *layers, linear("output", VOCABULARY)]


def named(name, layer, **more):
    return {**layer, "name": name, **more}


STACKS = {
    "gelu": ("gelu, exact", between(function("gelu", approximate="none"))),
    "silu": ("silu", between(function("silu"))),
    "softplus": ("softplus; much of it is past the threshold", between(function("softplus", beta=2.0, threshold=1.0))),
    "leaky_relu": ("leaky_relu", between(function("leaky_relu", negative_slope=0.2))),
    "layer_norm": ("layer_norm, then gelu, exact", between(norm(), function("gelu", approximate="none"))),
    "layer_norm_without_bias": (
        "layer_norm without bias, then gelu by tanh",
        between(norm(bias=False), function("gelu", approximate="tanh")),
    ),
    "add": (
        "A residual sum of two layers",
        between(
            function("tanh"),
            linear("branch", HIDDEN),
            named("branch_tanh", function("tanh")),
            function("add", input=["tanh", "branch_tanh"]),
        ),
    ),
    "concat": (
        "Two branches of unequal width side by side, and a layer with several inputs",
        [
            linear("hidden", HIDDEN),
            function("tanh"),
            linear("branch", 5),
            named("branch_relu", function("relu")),
            function("concat", input=["tanh", "branch_relu"]),
            linear("output", VOCABULARY, input=["concat", "branch"]),
        ],
    ),
}


def layers():
    for number, (name, (note, stack)) in enumerate(STACKS.items()):
        # 3 rows of 5 features here and there: sizes that fit nothing.
        odd = {"batch": 3, "features": 5} if name == "layer_norm_without_bias" else {}
        yield rows_case(f"layer_{name}", f"{note}.", data.classes(600 + number, **odd), stack, ADAM, 600 + number)
    rnn = cell("rnn", nonlinearity="tanh")
    yield tokens_case(
        "layer_embedding_padding",
        "An embedding whose row 4 never learns, though it starts as numbers and is read.",
        data.token_sequences(620, ends=False),
        [embedding(padding_idx=4), rnn, linear("linear", VOCABULARY)],
        ADAM,
        620,
    )
    yield tokens_case(
        "layer_embedding_tied",
        "A linear layer whose weight is the embedding's; the gradients of both uses add up.",
        data.token_sequences(621, ends=False),
        [embedding(HIDDEN), rnn, linear("linear", VOCABULARY, tied="embedding")],
        ADAM,
        621,
        accumulate=2,
    )


def all_cases():
    for make in (losses, optimizers, schedules, layers):
        yield from make()
