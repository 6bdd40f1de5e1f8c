"""The XMP statement plus:DataMining: not for training AI or machine learning.

The property and its values are of the PLUS Coalition's vocabulary
(https://ns.useplus.org/LDF/ldf-XMPSpecification), the packet of ISO 16684-1.
"""

from __future__ import annotations

import re

NAMESPACE = "http://ns.useplus.org/ldf/xmp/1.0/"
PROHIBITED = "http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-AIMLTRAINING"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_RDF_END = re.compile(rb"</([\w.-]+):RDF\s*>")
_PREFIX = re.compile(rb"""xmlns:([\w.-]+)\s*=\s*["']""" + re.escape(NAMESPACE.encode()))
_EMPTY_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    f'<rdf:RDF xmlns:rdf="{_RDF}"></rdf:RDF>'
    '</x:xmpmeta><?xpacket end="w"?>'
).encode()


def prohibit_training(xmp: bytes | None) -> bytes:
    """Returns the packet with the statement, instead of any other plus:DataMining it had.

    A packet that is None, or has no RDF in UTF-8, is replaced.
    """
    packet = xmp if xmp is not None and _RDF_END.search(xmp) else _EMPTY_PACKET
    packet = _without_statement(packet)
    end = list(_RDF_END.finditer(packet))[-1]
    opened, closed = _description(end[1].decode())
    statement = f"{opened}<plus:DataMining>{PROHIBITED}</plus:DataMining>{closed}".encode()
    return packet[: end.start()] + statement + packet[end.start() :]


def _description(rdf: str) -> tuple[str, str]:
    opened = f'<{rdf}:Description {rdf}:about="" xmlns:plus="{NAMESPACE}">'
    return opened, f"</{rdf}:Description>"


def _without_statement(packet: bytes) -> bytes:
    for prefix in set(_PREFIX.findall(packet)):
        name = re.escape(prefix) + b":DataMining"
        packet = re.sub(rb"""\s+""" + name + rb"""\s*=\s*("[^"]*"|'[^']*')""", b"", packet)
        packet = re.sub(b"<" + name + rb"\b[^>]*/>", b"", packet)
        packet = re.sub(b"<" + name + rb"\b[^>]*>.*?</" + name + rb"\s*>", b"", packet, flags=re.S)
    for rdf in {match[1].decode() for match in _RDF_END.finditer(packet)}:
        packet = packet.replace("".join(_description(rdf)).encode(), b"")  # left by an earlier one
    return packet
