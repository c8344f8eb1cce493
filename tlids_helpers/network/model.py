"""The network of Section 4.1 (Figs. 2 and 3), with its preprocessing inside.

Three models in a row, so that transfer learning can take them apart (Fig. 4):
    preprocessing   nine raw feature values -> log(1 + x), standardised
    backbone        reshape to (9, 1), three convolution blocks, flatten        -> 128 values
    head            dense 256, dense 512, softmax over the classes
"""

import numpy as np

from tlids_helpers.network.backend import keras
from tlids_helpers.network.shape import DENSE, FILTERS, KERNELS, N_FEATURES, POOL

DROPOUT = 0.05


def preprocessing(features: np.ndarray) -> keras.Model:
    """Layers that turn raw values (n, 9) into standardised logarithms (n, 9), fitted on `features` (m, 9).

    Give the training split and nothing else. Negative values count as 0: CICFlowMeter writes -1 for "not applicable".
    Only operations that LiteRT has built in.
    """
    inputs = keras.Input((N_FEATURES,), name="raw_features")
    positive = keras.layers.ReLU(name="negative_to_zero")(inputs)
    fitted = np.log1p(np.maximum(features, 0).astype(np.float64))
    variance = fitted.var(axis=0)
    # a constant feature has nothing to scale; dividing by its zero deviation would blow it up on the Pi
    scale = np.where(variance > 1e-12, variance, 1.0)
    normalise = keras.layers.Normalization(mean=fitted.mean(axis=0), variance=scale, name="standardise")
    outputs = normalise(keras.ops.log(positive + 1.0))
    return keras.Model(inputs, outputs, name="preprocessing")


def backbone(dropout: float = DROPOUT, momentum: float = 0.99) -> keras.Model:
    """Three blocks of two convolutions, batch normalisation, average pooling and dropout: (n, 9) -> (n, 128).

    `momentum` is batch normalisation's.
    """
    layers = keras.layers
    stack = [keras.Input((N_FEATURES,), name="features"), layers.Reshape((N_FEATURES, 1), name="reshape")]
    for block, (filters, kernel) in enumerate(zip(FILTERS, KERNELS, strict=True), start=1):
        for half in "ab":
            stack.append(
                layers.Conv1D(
                    filters, kernel, padding="same", activation="relu",
                    kernel_initializer="random_uniform", name=f"conv{block}{half}",
                )
            )  # fmt: skip
        stack += [
            layers.BatchNormalization(momentum=momentum, name=f"norm{block}"),
            layers.AveragePooling1D(POOL, name=f"pool{block}"),
            layers.Dropout(dropout, name=f"dropout{block}"),
        ]
    return keras.Sequential([*stack, layers.Flatten(name="flatten")], name="backbone")


def head(n_classes: int) -> keras.Model:
    """The layers that stay trainable in transfer: dense 256, dense 512, softmax over `n_classes`."""
    layers = keras.layers
    width = backbone_width()
    return keras.Sequential(
        [
            keras.Input((width,), name="flat"),
            layers.Dense(DENSE[0], activation="relu", name="dense1"),
            layers.Dense(DENSE[1], activation="relu", name="dense2"),
            layers.Dense(n_classes, activation="softmax", name="output"),
        ],
        name="head",
    )


def backbone_width() -> int:
    """Values the flatten layer gives: nine positions, halved three times (9 -> 4 -> 2 -> 1), by 128 filters."""
    positions = N_FEATURES
    for _ in FILTERS:
        positions //= POOL
    return positions * FILTERS[-1]


def chain(*models: keras.Model, name: str) -> keras.Model:
    """`models` one after the other as one model."""
    inputs = keras.Input(models[0].input_shape[1:], name="raw_features")
    outputs = inputs
    for model in models:
        outputs = model(outputs)
    return keras.Model(inputs, outputs, name=name)


def full_model(first: keras.Model, blocks: keras.Model, last: keras.Model) -> keras.Model:
    """The model that is saved and exported: nine raw feature values in, class probabilities out."""
    return chain(first, blocks, last, name="tlids_cnn")


def layer_table(model: keras.Model) -> list[dict]:
    """Every layer of the three parts with its output shape and weight count, as Fig. 3 lists them."""
    rows = []
    for part in model.layers:
        for layer in getattr(part, "layers", []):
            shape = tuple(layer.output.shape[1:])
            rows.append({"part": part.name, "layer": layer.name, "output": shape, "weights": layer.count_params()})
    return rows


def predict(model: keras.Model, features: np.ndarray) -> np.ndarray:
    """Class probabilities (n, C) for raw feature values (n, 9)."""
    return model.predict(features, batch_size=16384, verbose=0)
