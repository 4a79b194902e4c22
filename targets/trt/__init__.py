"""TensorRT 8.5 to 11: builder and runner. Enum members go by name: their values change between versions."""
