"""The shared cache: results of steps that other machines made, fetched from a registry, and ours put there.

An entry is believed only if somebody signed it whom the trust policy trusts for the channel `cache`, and only
for the key that it was made for. Whatever goes wrong with it, the step is run here.
"""

from pipeline.cache.find import find_cache
from pipeline.cache.shared import CHANNEL, SharedCache

__all__ = ["CHANNEL", "SharedCache", "find_cache"]
