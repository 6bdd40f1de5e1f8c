"""Edit XMP packets: strip what layers must not carry, and prohibit training on the picture.

Stripped are GPS positions, embedded copies of the picture (thumbnails, depth and original pictures
in base64), and promises of parts that a layer does not have: gain maps, videos, extended packets.

A packet (ISO 16684-1) is read once by expat, which knows its namespaces; spans of its bytes are
then cut and inserted at the positions that expat reported, so that all else stays as it was.
Packets are untrusted: document types, and with them entities, are refused, and so are packets of
over `MAX_BYTES`, broken ones, and encodings other than UTF-8 and UTF-16. The edited packet is
UTF-8 and has no padding.

The statement is the property plus:DataMining of the PLUS Coalition's vocabulary
(https://ns.useplus.org/LDF/ldf-XMPSpecification).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from xml.parsers import expat
from xml.sax.saxutils import escape

from artscraper_runner.imaging.formats.embedded import holds_picture
from artscraper_runner.imaging.notes import Subject
from artscraper_runner.options import RightsStatement

MAX_BYTES = 1 << 20
DATA_MINING_NAMESPACE = "http://ns.useplus.org/ldf/xmp/1.0/"
PROHIBITED = "http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-AIMLTRAINING"
EXCEPT_SEARCH_ENGINES = "http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING"
NO_RIGHTS = RightsStatement()
_DC = "http://purl.org/dc/elements/1.1/"
_XMP_RIGHTS = "http://ns.adobe.com/xap/1.0/rights/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_OPENED = (
    f'<rdf:Description xmlns:rdf="{_RDF}" rdf:about="" xmlns:plus="{DATA_MINING_NAMESPACE}">'
).encode()
_CLOSED = b"</rdf:Description>"
_RIGHTS_OPENED = (
    f'<rdf:Description xmlns:rdf="{_RDF}" rdf:about="" xmlns:dc="{_DC}"'
    f' xmlns:xmpRights="{_XMP_RIGHTS}">'
).encode()
_EMPTY_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"></rdf:RDF></x:xmpmeta>'
    '<?xpacket end="w"?>'
).encode()
_PADDING = b" \t\r\n\0"
# On what expat has read these match in one way only, and keep no way back.
_TAG = re.compile(rb"""<[^\s/>]++(?:\s++[^\s=/>]++\s*+=\s*+(?:"[^"]*+"|'[^']*+'))*+\s*+(/?)>""")
_NAME = re.compile(rb"<[^\s/>]++")
_ATTRIBUTE = re.compile(rb"""\s++([^\s=/>]++)\s*+=\s*+(?:"[^"]*+"|'[^']*+')""")

_GOOGLE = "http://ns.google.com/photos/"
_THUMBNAIL_NAMESPACES = ("http://ns.adobe.com/xap/1.0/g/img/",)
_GAIN_MAP_NAMESPACES = ("http://ns.adobe.com/hdr-gain-map/", "http://ns.apple.com/HDRGainMap/")
_EMBEDDED_NAMESPACES = tuple(
    f"{_GOOGLE}{part}"
    for part in ("1.0/depthmap/", "1.0/image/", "1.0/audio/", "1.0/container/", "dd/")
)
_MOTION_NAMES = re.compile(r"MotionPhoto|MicroVideo")
# JPEG, PNG, GIF, RIFF (WebP), TIFF of both byte orders and HEIF's ftyp, in base64.
_ENCODED_PICTURE = re.compile(
    r"(?:data:image/|/9j/|iVBORw0KGgo|R0lGOD|UklGR|SUkqA|TU0AK|AAAA.{2}Z0eXB)"
)

Classify = Callable[[str, str], Subject | None]  # of a property's namespace and local name


@dataclass(frozen=True)
class StrippedXmp:
    """A packet that layers may carry, and the parts removed from it."""

    packet: bytes
    dropped: frozenset[Subject]


class _Unreadable(Exception):
    """The packet cannot be read, or is not to be."""


@lru_cache(maxsize=1)  # every stage of a run strips the same packet
def strip_xmp(packet: bytes) -> StrippedXmp | None:
    """Return the packet without what layers must not carry, None if it cannot be read safely.

    GPS fields are those whose name begins with GPS, in any case, namespace and nesting.
    """
    try:
        edits = _Edits(_in_utf8(packet), _private_subject, drop_pictures=True)
        edited = edits.applied()
    except _Unreadable:
        return None
    return None if edited is None else StrippedXmp(edited, frozenset(edits.dropped))


def prohibit_training(packet: bytes | None, rights: RightsStatement = NO_RIGHTS) -> bytes:
    """Return the packet with the statement, instead of any other plus:DataMining it had.

    Copyright notice and usage terms are replaced where `rights` has them. A packet that is None,
    cannot be read safely or has no RDF is replaced.
    """
    statement, classify = _statement(rights), _statement_subject(rights)
    edited = None
    if packet is not None:
        try:
            edited = _Edits(_in_utf8(packet), classify).applied(statement)
        except _Unreadable:
            edited = None
    return edited or _Edits(_EMPTY_PACKET, classify).applied(statement) or _EMPTY_PACKET


def _statement(rights: RightsStatement) -> bytes:
    """Return the RDF of the statement, and of copyright notice and usage terms."""
    value = EXCEPT_SEARCH_ENGINES if rights.allow_search_engines else PROHIBITED
    statement = _OPENED + f"<plus:DataMining>{value}</plus:DataMining>".encode() + _CLOSED
    texts = [
        f'<{name}><rdf:Alt><rdf:li xml:lang="x-default">{escape(text)}</rdf:li></rdf:Alt></{name}>'
        for name, text in (
            ("dc:rights", rights.copyright_notice),
            ("xmpRights:UsageTerms", rights.usage_terms),
        )
        if text is not None
    ]
    if not texts:
        return statement
    return statement + _RIGHTS_OPENED + "".join(texts).encode() + _CLOSED


def _private_subject(namespace: str, name: str) -> Subject | None:
    rules = (
        (Subject.GPS, name[:3].lower() == "gps"),
        (Subject.THUMBNAIL, name == "Thumbnails" or namespace.startswith(_THUMBNAIL_NAMESPACES)),
        (Subject.GAIN_MAP, namespace.startswith(_GAIN_MAP_NAMESPACES)),
        (Subject.MOTION_PHOTO, _MOTION_NAMES.match(name) is not None),
        (Subject.EMBEDDED_PICTURES, namespace.startswith(_EMBEDDED_NAMESPACES)),
        (Subject.XMP, name == "HasExtendedXMP"),
    )
    return next((subject for subject, applies in rules if applies), None)


def _statement_subject(rights: RightsStatement) -> Classify:
    """Return a function that finds the properties which `rights` replaces."""
    replaced = {(DATA_MINING_NAMESPACE, "DataMining")}
    if rights.copyright_notice is not None:
        replaced.add((_DC, "rights"))
    if rights.usage_terms is not None:
        replaced.add((_XMP_RIGHTS, "UsageTerms"))
    return lambda namespace, name: Subject.XMP if (namespace, name) in replaced else None


def _is_picture(value: str) -> bool:
    return _ENCODED_PICTURE.match(value.lstrip()) is not None or holds_picture(value)


def _in_utf8(packet: bytes) -> bytes:
    if len(packet) > MAX_BYTES:
        raise _Unreadable
    code = None
    if packet.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        code = "utf-16"
    elif packet.startswith((b"<\0", b"\0<")):
        code = "utf-16-le" if packet.startswith(b"<") else "utf-16-be"
    try:
        return (packet.decode(code).encode() if code else packet).rstrip(_PADDING)
    except UnicodeError as error:
        raise _Unreadable from error


class _Edits:
    """Changes of a packet: spans of its bytes, each with its replacement."""

    def __init__(self, content: bytes, classify: Classify, *, drop_pictures: bool = False) -> None:
        self._content, self._drop_pictures = content, drop_pictures
        self._classify = cache(classify)  # hostile packets repeat a name 100,000 times
        self.dropped: set[Subject] = set()
        self._open: list[tuple[int, list[str]]] = []  # start and text of each element
        self._changes: list[tuple[int, int, bytes]] = []
        self._depth = 0
        self._unwanted: tuple[int, int] | None = None  # depth and start of an open element
        self._rdf: tuple[int, int] | None = None  # the same of the first RDF element
        self._rdf_end: int | None = None
        self._packet_end: int | None = None
        self._parser = parser = expat.ParserCreate("utf-8", " ")
        parser.ordered_attributes = True
        parser.StartElementHandler = self._started
        parser.EndElementHandler = self._ended
        if drop_pictures:
            parser.CharacterDataHandler = self._read_text
        parser.ProcessingInstructionHandler = self._instructed
        parser.StartDoctypeDeclHandler = self._refuse
        parser.XmlDeclHandler = self._check_encoding
        try:
            parser.Parse(content, True)
        except expat.ExpatError as error:
            raise _Unreadable from error

    def applied(self, statement: bytes = b"") -> bytes | None:
        """Return the edited packet with `statement` at the end of its RDF; None without RDF."""
        changes = list(self._changes)
        if statement:
            if self._rdf is None or self._rdf_end is None:
                return None
            changes.append(self._inside(self._rdf[1], self._rdf_end, statement))
        if self._packet_end is not None:
            start = len(self._content[: self._packet_end].rstrip(_PADDING))
            changes.append((start, self._packet_end, b""))
        parts, place = [], 0
        for start, end, instead in sorted(changes):
            parts += [self._content[place:start], instead]
            place = end
        edited = b"".join([*parts, self._content[place:]])
        for opened in (_OPENED, _RIGHTS_OPENED):  # left of an earlier statement of ours
            edited = edited.replace(opened + _CLOSED, b"")
        return edited

    def _started(self, name: str, attributes: list[str]) -> None:
        self._depth += 1
        start = self._parser.CurrentByteIndex
        self._open.append((start, []))
        if self._unwanted is not None:
            return
        if (subject := self._classify(*_parts(name))) is not None:
            self.dropped.add(subject)
            self._unwanted = (self._depth, start)
            return
        unwanted = [
            self._drops_attribute(each, value)
            for each, value in zip(attributes[::2], attributes[1::2], strict=True)
        ]
        if any(unwanted):
            self._cut_attributes(start, unwanted)
        if self._rdf is None and _parts(name) == (_RDF, "RDF"):
            self._rdf = (self._depth, start)

    def _ended(self, name: str) -> None:
        here = self._parser.CurrentByteIndex  # of an end tag; behind an element that has none
        opened, text = self._open.pop()
        if self._unwanted is not None and self._unwanted[0] == self._depth:
            start = self._unwanted[1]
            self._changes.append((start, self._end_of(start, here), b""))
            self._unwanted = None
            if self._depth == 1:  # nothing would be left
                raise _Unreadable
        elif self._rdf is not None and self._rdf_end is None and self._rdf[0] == self._depth:
            self._rdf_end = here
        elif self._unwanted is None and text and _is_picture("".join(text)):
            self.dropped.add(Subject.THUMBNAIL)
            while self._changes and self._changes[-1][0] >= opened:
                self._changes.pop()  # inside of what goes as a whole
            self._changes.append((opened, self._end_of(opened, here), b""))
        self._depth -= 1

    def _read_text(self, text: str) -> None:
        self._open[-1][1].append(text)

    def _drops_attribute(self, name: str, value: str) -> bool:
        subject = self._classify(*_parts(name))
        if subject is None and self._drop_pictures and _is_picture(value):
            subject = Subject.THUMBNAIL
        if subject is not None:
            self.dropped.add(subject)
        return subject is not None

    def _instructed(self, target: str, data: str) -> None:
        if self._depth == 0 and target == "xpacket" and data.startswith("end"):
            self._packet_end = self._parser.CurrentByteIndex

    def _refuse(self, *declared: object) -> None:
        raise _Unreadable

    def _check_encoding(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.lower() != "utf-8":
            raise _Unreadable

    def _cut_attributes(self, start: int, unwanted: list[bool]) -> None:
        """Cut attributes out of the tag at `start`; `unwanted` has none for xmlns, like expat."""
        place = self._name_end(start)
        flags = iter(unwanted)
        while attribute := _ATTRIBUTE.match(self._content, place):
            if attribute[1].partition(b":")[0] != b"xmlns" and next(flags):
                self._changes.append((attribute.start(), attribute.end(), b""))
            place = attribute.end()

    def _inside(self, start: int, end: int, added: bytes) -> tuple[int, int, bytes]:
        """Return the change that puts `added` last into the element at `start`."""
        tag = self._tag(start)
        if not tag[1]:
            return end, end, added
        name = self._content[start + 1 : self._name_end(start)]
        return tag.end() - 2, tag.end(), b">" + added + b"</" + name + b">"

    def _end_of(self, start: int, here: int) -> int:
        tag = self._tag(start)
        return tag.end() if tag[1] else self._content.index(b">", here) + 1

    def _tag(self, start: int) -> re.Match[bytes]:
        if (tag := _TAG.match(self._content, start)) is None:
            raise _Unreadable
        return tag

    def _name_end(self, start: int) -> int:
        if (name := _NAME.match(self._content, start)) is None:
            raise _Unreadable
        return name.end()


def _parts(name: str) -> tuple[str, str]:
    """Return namespace and local name of what expat joins with a space."""
    namespace, _, local = name.rpartition(" ")
    return namespace, local
