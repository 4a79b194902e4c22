"""Optimization profiles: TensorRT's min, opt and max shapes, for models whose batch is open."""

from typing import Any, List, Tuple

from targets.errors import UnsupportedError

MOST = 8
"""Pictures in a batch that a dynamic model is built for; the builder tunes it for one."""

OpenInputs = List[Tuple[str, Tuple[int, ...]]]


def add_profile(builder: Any, config: Any, inputs: OpenInputs) -> None:
    """Give the builder the shapes of inputs with an open batch; a model of fixed shape needs none.

    Raises:
        UnsupportedError: Something other than the batch is open.
    """
    if not inputs:
        return
    profile = builder.create_optimization_profile()
    for name, shape in inputs:
        if -1 in shape[1:]:
            raise UnsupportedError(
                f"The input {name} has the open shape {shape}; only its batch may be open.",
                hint="Export the model with fixed height and width.",
            )
        profile.set_shape(name, (1, *shape[1:]), (1, *shape[1:]), (MOST, *shape[1:]))
    config.add_optimization_profile(profile)
