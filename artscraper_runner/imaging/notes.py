"""The fate of everything a picture file holds: one vocabulary for every interface.

summary.json, the command line, the HTTP API and the page show the same notes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from artscraper_runner.types import Json


class Action(StrEnum):
    """The treatment of a subject in every layer but the original."""

    KEPT = "kept"
    CHANGED = "changed"
    DROPPED = "dropped"


class Subject(StrEnum):
    """The subject of a note, in the order in which notes are listed."""

    ANIMATION = "animation"
    CROP = "crop"
    COLOUR_PROFILE = "colour-profile"
    COLOUR_MODEL = "colour-model"
    BIT_DEPTH = "bit-depth"
    ALPHA = "alpha"
    ENCODING = "encoding"
    PROGRESSIVE = "progressive"
    FILE_SIZE = "file-size"
    STRUCTURE = "structure"
    EXIF = "exif"
    GPS = "gps"
    MAKER_NOTE = "maker-note"
    XMP = "xmp"
    IPTC = "iptc"
    COMMENT = "comment"
    TEXT = "text"
    THUMBNAIL = "thumbnail"
    GAIN_MAP = "gain-map"
    MOTION_PHOTO = "motion-photo"
    EMBEDDED_PICTURES = "embedded-pictures"
    TRAILING_DATA = "trailing-data"
    OTHER_DATA = "other-data"
    C2PA = "c2pa"
    WATERMARK = "watermark"


_ACTION_ORDER = (Action.DROPPED, Action.CHANGED, Action.KEPT)


@dataclass(frozen=True)
class Note:
    """One line of the inventory; `detail` is a sentence without paths, for people."""

    subject: Subject
    action: Action
    detail: str

    @classmethod
    def kept(cls, subject: Subject, detail: str) -> Note:
        """Return a note on a part that layers keep."""
        return cls(subject, Action.KEPT, detail)

    @classmethod
    def changed(cls, subject: Subject, detail: str) -> Note:
        """Return a note on a part that layers hold in another form."""
        return cls(subject, Action.CHANGED, detail)

    @classmethod
    def dropped(cls, subject: Subject, detail: str) -> Note:
        """Return a note on a part that layers leave out."""
        return cls(subject, Action.DROPPED, detail)

    def to_json(self) -> Json:
        """Return the note for summary.json."""
        return {"subject": str(self.subject), "action": str(self.action), "detail": self.detail}


def sort_notes(notes: list[Note]) -> list[Note]:
    """Return the notes without duplicates: dropped parts first, then changed, then kept ones."""
    subjects = list(Subject)
    return sorted(
        dict.fromkeys(notes),
        key=lambda note: (_ACTION_ORDER.index(note.action), subjects.index(note.subject)),
    )
