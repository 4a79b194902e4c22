"""Signing: keys of those who release, and signatures that devices verify (`targets/trust`).

The only place that needs `cryptography`, and only where something is signed with a key file.
"""

from pipeline.signing.find import KeySource, find_signer
from pipeline.signing.sign import Signer, attach, sign_files

__all__ = ["KeySource", "Signer", "attach", "find_signer", "sign_files"]
