"""Find: who signs, of what the command line and the environment name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.signing.command import CommandSigner
from pipeline.signing.keys import load_public, load_signer, read_key_file
from pipeline.signing.sign import Signer
from targets.errors import UsageError

KEY_VARIABLE = "EDGEBOUND_SIGNING_KEY"
PASSWORD_VARIABLE = "EDGEBOUND_KEY_PASSWORD"  # noqa: S105  # its name


@dataclass(frozen=True)
class KeySource:
    """Where a key may come from.

    Attributes:
        file: Private key, PEM.
        command: Another program that signs.
        public_key: The public key of that, PEM.
        environment: The process's: `EDGEBOUND_SIGNING_KEY` is the text of a private key, and
            `EDGEBOUND_KEY_PASSWORD` its password, or that of the file.
    """

    file: Path | None = None
    command: str = ""
    public_key: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_given(self) -> bool:
        """Whether a key is named at all."""
        return bool(self.file or self.command or self.environment.get(KEY_VARIABLE))


def find_signer(source: KeySource) -> Signer:
    """Give who signs. What the command line names counts before the environment.

    Raises:
        UsageError: Nobody does, two do, or a key cannot be read.
    """
    if bool(source.command) != bool(source.public_key) or (source.file and source.command):
        raise UsageError(
            "Who signs is not clear.",
            hint="--key FILE, or --sign-cmd COMMAND with --public-key FILE, or $EDGEBOUND_SIGNING_KEY alone.",
        )
    if source.command and source.public_key:
        return CommandSigner(source.command, load_public(source.public_key), source.environment)
    password = source.environment.get(PASSWORD_VARIABLE, "")
    if source.file:
        return load_signer(read_key_file(source.file), str(source.file), password)
    text = source.environment.get(KEY_VARIABLE, "")
    if text:
        return load_signer(text.encode(errors="replace"), f"${KEY_VARIABLE}", password)
    raise UsageError(
        "There is no key to sign with.",
        hint=f"--key FILE, or ${KEY_VARIABLE} with the PEM text; `pipeline key new` makes one.",
    )
