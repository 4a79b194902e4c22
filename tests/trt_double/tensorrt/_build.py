"""The builder: what it refuses, and the plan that it gives."""

import time

from . import _device, _faults, _layers, _plan, _refusals
from ._api import ENUMS, as_in_this_version, has, stored
from ._graph import INetworkDefinition
from ._logging import Voice

BuilderFlag = ENUMS["BuilderFlag"]
DeviceType = ENUMS["DeviceType"]


@as_in_this_version
class IOptimizationProfile:
    def __init__(self):
        self._shapes = {}

    def set_shape(self, input, min, opt, max):
        if not all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True)):
            raise RuntimeError("Shape provided for max is inconsistent with other shapes.")
        self._shapes[input] = [list(min), list(opt), list(max)]

    def get_shape(self, input):
        return self._shapes.get(input, [])


@as_in_this_version
class IBuilderConfig:
    def __init__(self, voice):
        self._voice = voice
        self.reset()

    def reset(self):
        self._profiles, self._cache, self._pools = [], None, {}
        self.__dict__.update(_flags=1 << BuilderFlag.TF32.value, _default_device_type=DeviceType.GPU)

    flags = stored("flags")
    default_device_type = stored("default_device_type")
    DLA_core = stored("DLA_core", -1)
    avg_timing_iterations = stored("avg_timing_iterations", 1)
    min_timing_iterations = stored("min_timing_iterations", 1)
    builder_optimization_level = stored("builder_optimization_level", 3)
    max_aux_streams = stored("max_aux_streams", -1)
    max_num_tactics = stored("max_num_tactics", -1)
    tiling_optimization_level = stored("tiling_optimization_level")
    l2_limit_for_tiling = stored("l2_limit_for_tiling", 0)
    hardware_compatibility_level = stored("hardware_compatibility_level")
    runtime_platform = stored("runtime_platform")
    engine_capability = stored("engine_capability", ENUMS["EngineCapability"].STANDARD)
    profiling_verbosity = stored("profiling_verbosity", ENUMS["ProfilingVerbosity"].LAYER_NAMES_ONLY)
    profile_stream = stored("profile_stream", 0)
    progress_monitor = stored("progress_monitor")
    num_optimization_profiles = property(lambda self: len(self._profiles))

    def set_flag(self, flag):
        self._flags |= 1 << _only(BuilderFlag, flag)

    def clear_flag(self, flag):
        self._flags &= ~(1 << _only(BuilderFlag, flag))

    def get_flag(self, flag):
        return bool(self._flags >> _only(BuilderFlag, flag) & 1)

    def set_memory_pool_limit(self, pool, pool_size):
        self._pools[ENUMS["MemoryPoolType"](_only(ENUMS["MemoryPoolType"], pool))] = pool_size

    def get_memory_pool_limit(self, pool):
        return self._pools.get(pool, 8192 << 20)

    def add_optimization_profile(self, profile):
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def create_timing_cache(self, serialized_timing_cache):
        return _plan.read_timing_cache(serialized_timing_cache, self._voice)

    def set_timing_cache(self, cache, ignore_mismatch):
        if getattr(cache, "_is_foreign", False) and not ignore_mismatch:
            return bool(
                self._voice.error("INVALID_ARGUMENT", "The timing cache is of another device or version.")
            )
        self._cache = cache
        return True

    def get_timing_cache(self):
        return self._cache

    def _has(self, name):
        return has("BuilderFlag", name) and self.get_flag(BuilderFlag[name])


def _only(kind, value):
    """Refuse a bare number, as pybind11 does: `flags` takes them, these calls do not."""
    if not isinstance(value, kind):
        raise TypeError(f"incompatible function arguments: a {kind.__name__} is wanted, not {value!r}")
    return value.value


@as_in_this_version
class Builder:
    def __init__(self, logger):
        self._voice = Voice(logger)
        if not _device.is_there():
            self._voice.error("FAILED_INITIALIZATION", "CUDA initialization failure with error: 100")
            raise TypeError("pybind11::init(): factory function returned nullptr")

    logger = property(lambda self: self._voice.logger)
    num_DLA_cores = property(lambda _self: _refusals.dla_cores())
    platform_has_fast_fp16 = property(lambda _self: True)
    platform_has_fast_int8 = property(lambda _self: True)
    platform_has_tf32 = property(lambda _self: _device.sm() >= "8")
    max_threads = stored("max_threads", 1)

    @property
    def error_recorder(self):
        return self._voice.recorder

    @error_recorder.setter
    def error_recorder(self, recorder):
        self._voice.recorder = recorder

    def create_network(self, flags=0):
        return INetworkDefinition(self._voice, int(flags))

    def create_builder_config(self):
        return IBuilderConfig(self._voice)

    def create_optimization_profile(self):
        return IOptimizationProfile()

    def is_network_supported(self, network, config):
        return _refusals.refusal(network, config) is None

    def build_serialized_network(self, network, config):
        refused = _refusals.refusal(network, config)
        if refused is not None:
            return self._voice.error(*refused)
        layers = _layers.describe(network._model)
        self._take_time(config, layers)
        refused = _refusals.failure(network._model, layers)
        if refused is not None:
            return self._voice.error(*refused)
        facts = {
            "layers": layers,
            "verbosity": config.profiling_verbosity.name,
            "profiles": [profile._shapes for profile in config._profiles],
            "dla": config.default_device_type is DeviceType.DLA,
            "precision": _layers.precision(network._model),
            "name": network.name,
        }
        return _plan.host_memory(_plan.write(facts, network._model.SerializeToString()))

    def build_engine_with_config(self, network, config):
        from ._runtime import Runtime

        plan = self.build_serialized_network(network, config)
        return None if plan is None else Runtime(self.logger).deserialize_cuda_engine(plan)

    def _take_time(self, config, layers):
        """Time each layer that the cache does not know, and tell the monitor."""
        monitor = config.progress_monitor if has("IBuilderConfig", "progress_monitor") else None
        known = config._cache._layers if config._cache is not None else {}
        unknown = [layer for layer in layers if _plan.layer_key(layer) not in known]
        self._voice.info(
            f"Local timing cache in use. {len(unknown)} of {len(layers)} layers are to be timed."
        )
        if monitor is not None:
            monitor.phase_start("Building Engine", None, max(len(layers), 1))
        for step, layer in enumerate(layers):
            time.sleep(_faults.build_seconds() / len(layers))
            if step == len(layers) // 2:
                _faults.crash()
            known[_plan.layer_key(layer)] = 1.0
            if monitor is not None and not monitor.step_complete("Building Engine", step):
                break
        if monitor is not None:
            monitor.phase_finish("Building Engine")
