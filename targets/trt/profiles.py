"""Optimization profiles: TensorRT's min, opt and max shapes, for models whose batch is open."""

from typing import Any, Tuple

from targets.errors import UnsupportedError

MOST = 8
"""Pictures in a batch that a dynamic model is built for; the builder tunes it for one."""


def add_profile(builder: Any, config: Any, network: Any) -> None:
    """Give the builder the shapes of inputs with an open batch; a model of fixed shape needs none.

    Raises:
        UnsupportedError: Something other than the batch is open.
    """
    open_inputs = [
        (str(tensor.name), tuple(tensor.shape))
        for tensor in (network.get_input(place) for place in range(network.num_inputs))
        if -1 in tuple(tensor.shape)
    ]
    if not open_inputs:
        return
    profile = builder.create_optimization_profile()
    for name, shape in open_inputs:
        if -1 in shape[1:]:
            raise UnsupportedError(
                f"The input {name} has the open shape {shape}; only its batch may be open.",
                hint="Export the model with fixed height and width.",
            )
        profile.set_shape(name, _of(1, shape), _of(1, shape), _of(MOST, shape))
    config.add_optimization_profile(profile)


def _of(batch: int, shape: Tuple[int, ...]) -> Tuple[int, ...]:
    return (batch, *shape[1:])
