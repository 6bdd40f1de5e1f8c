"""Edit XMP packets: take places out, and state that the picture is not for training models.

A packet (ISO 16684-1) is read once by expat, which knows its namespaces; what goes and what comes
are then cut and put in at the places that expat named, so that all else stays as it was written.
Packets are of other people: document types, and with them entities, are refused, and so are
packets of over `MAX_BYTES`, broken ones, and encodings other than UTF-8 and UTF-16. The edited
packet is UTF-8 and has no padding.

The statement is the property plus:DataMining of the PLUS Coalition's vocabulary
(https://ns.useplus.org/LDF/ldf-XMPSpecification).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from functools import lru_cache
from xml.parsers import expat

MAX_BYTES = 1 << 20
DATA_MINING_NAMESPACE = "http://ns.useplus.org/ldf/xmp/1.0/"
PROHIBITED = "http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-AIMLTRAINING"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_OPENED = (
    f'<rdf:Description xmlns:rdf="{_RDF}" rdf:about="" xmlns:plus="{DATA_MINING_NAMESPACE}">'
).encode()
_CLOSED = b"</rdf:Description>"
_STATEMENT = _OPENED + f"<plus:DataMining>{PROHIBITED}</plus:DataMining>".encode() + _CLOSED
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

IsUnwanted = Callable[[str, str], bool]  # of a property's namespace and local name


class _Unreadable(Exception):
    """The packet cannot be read, or is not to be."""


@lru_cache(maxsize=1)  # every stage of a run asks for the same packet
def without_places(packet: bytes) -> bytes | None:
    """Returns the packet without GPS fields, None for one that cannot be read safely.

    A field is one whose name begins with GPS, in any case, namespace and nesting.
    """
    try:
        return _Edits(_in_utf8(packet), _is_place).applied()
    except _Unreadable:
        return None


def prohibit_training(packet: bytes | None) -> bytes:
    """Returns the packet with the statement, instead of any other plus:DataMining it had.

    A packet that is None, cannot be read safely or has no RDF is replaced.
    """
    edited = None
    if packet is not None:
        try:
            edited = _Edits(_in_utf8(packet), _is_statement).applied(_STATEMENT)
        except _Unreadable:
            edited = None
    return edited or _Edits(_EMPTY_PACKET, _is_statement).applied(_STATEMENT) or _EMPTY_PACKET


def _is_place(namespace: str, name: str) -> bool:
    return name[:3].lower() == "gps"


def _is_statement(namespace: str, name: str) -> bool:
    return (namespace, name) == (DATA_MINING_NAMESPACE, "DataMining")


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
    """What changes in a packet: spans of its bytes, each with what comes instead."""

    def __init__(self, content: bytes, is_unwanted: IsUnwanted) -> None:
        self._content, self._is_unwanted = content, is_unwanted
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
        parser.ProcessingInstructionHandler = self._instructed
        parser.StartDoctypeDeclHandler = self._refuse
        parser.XmlDeclHandler = self._check_encoding
        try:
            parser.Parse(content, True)
        except expat.ExpatError as error:
            raise _Unreadable from error

    def applied(self, statement: bytes = b"") -> bytes | None:
        """Returns the edited packet with `statement` at the end of its RDF; None without RDF."""
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
        return edited.replace(_OPENED + _CLOSED, b"")  # left of an earlier statement of ours

    def _started(self, name: str, attributes: list[str]) -> None:
        self._depth += 1
        if self._unwanted is not None:
            return
        start = self._parser.CurrentByteIndex
        if self._is_unwanted(*_parts(name)):
            self._unwanted = (self._depth, start)
            return
        unwanted = [self._is_unwanted(*_parts(each)) for each in attributes[::2]]
        if any(unwanted):
            self._cut_attributes(start, unwanted)
        if self._rdf is None and _parts(name) == (_RDF, "RDF"):
            self._rdf = (self._depth, start)

    def _ended(self, name: str) -> None:
        here = self._parser.CurrentByteIndex  # of an end tag; behind an element that has none
        if self._unwanted is not None and self._unwanted[0] == self._depth:
            start = self._unwanted[1]
            self._changes.append((start, self._end_of(start, here), b""))
            self._unwanted = None
            if self._depth == 1:  # nothing would be left
                raise _Unreadable
        elif self._rdf is not None and self._rdf_end is None and self._rdf[0] == self._depth:
            self._rdf_end = here
        self._depth -= 1

    def _instructed(self, target: str, data: str) -> None:
        if self._depth == 0 and target == "xpacket" and data.startswith("end"):
            self._packet_end = self._parser.CurrentByteIndex

    def _refuse(self, *declared: object) -> None:
        raise _Unreadable

    def _check_encoding(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.lower() != "utf-8":
            raise _Unreadable

    def _cut_attributes(self, start: int, unwanted: list[bool]) -> None:
        """Takes attributes out of the tag at `start`; `unwanted` has none for xmlns, like expat."""
        place = self._name_end(start)
        asked = iter(unwanted)
        while found := _ATTRIBUTE.match(self._content, place):
            if found[1].partition(b":")[0] != b"xmlns" and next(asked):
                self._changes.append((found.start(), found.end(), b""))
            place = found.end()

    def _inside(self, start: int, end: int, added: bytes) -> tuple[int, int, bytes]:
        """Returns the change that puts `added` last into the element at `start`."""
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
    """Returns namespace and local name of what expat calls them together."""
    namespace, _, local = name.rpartition(" ")
    return namespace, local
