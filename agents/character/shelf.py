"""Where characters lie: those that come with the rig, and a person's own directories, which count for more."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from agents.character.character import Character
from agents.character.document import MAX_BYTES, read
from schemas import Invalid

__all__ = ["FILE", "SHIPPED", "Shelf", "load"]

FILE: Final = "character.json"
SHIPPED: Final = Path(__file__).parent.parent / "characters"


class Shelf:
    """Directories of directories, the first of them first."""

    def __init__(self, own: Sequence[Path] = ()) -> None:
        self._places = (*own, SHIPPED)

    def files(self) -> dict[str, Path]:
        """The file of each character, by its name."""
        found: dict[str, Path] = {}
        for place in reversed(self._places):
            found |= {file.parent.name: file for file in sorted(place.glob(f"*/{FILE}"))}
        return dict(sorted(found.items()))

    def find(self, text: str) -> Path:
        """The file that a name, a directory or a path means. Raises Invalid, naming who there is."""
        path = Path(text).expanduser()
        if "/" in text or path.suffix == ".json":
            return path / FILE if path.is_dir() else path
        known = self.files()
        if text not in known:
            places = ", ".join(str(place) for place in self._places[:-1])
            where = f"; one of yours belongs in {places}/NAME/{FILE}" if places else ""
            raise Invalid("character", [f"there is no {text!r}; there are {', '.join(known)}{where}"])
        return known[text]

    def load(self, text: str, *, secrets: Iterable[str] | None = None) -> Character:
        """The character that is meant; `secrets` as for `document.read`. Raises Invalid with every problem."""
        return load(self.find(text), secrets=secrets)


def load(file: Path, *, secrets: Iterable[str] | None = None) -> Character:
    """Reads one. A file that is called character.json must lie in a directory of its name. Raises Invalid."""
    try:
        with file.open("rb") as source:
            body = source.read(MAX_BYTES + 1)
    except OSError as error:
        raise Invalid("character", [f"{file} cannot be read: {error.strerror}"]) from None
    return read(body, directory=file.resolve().parent.name if file.name == FILE else None, secrets=secrets)
