"""The statement is added to what a packet says, and takes the place of another one."""

import re
from xml.etree import ElementTree

from artscraper_runner.provenance.xmp import NAMESPACE, PROHIBITED, prohibit_training

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"


def statements(packet: bytes) -> list[str | None]:
    tree = ElementTree.fromstring(re.sub(rb"<\?xpacket[^>]*>", b"", packet))
    found = [element.text for element in tree.iter(f"{{{NAMESPACE}}}DataMining")]
    attribute = f"{{{NAMESPACE}}}DataMining"
    found += [element.get(attribute) for element in tree.iter() if element.get(attribute)]
    return found


def packet(inner: str, attributes: str = "") -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF'
        ' xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<r:Description r:about="" xmlns:p="{NAMESPACE}" xmlns:d="http://purl.org/dc/elements/1.1/"'
        f"{attributes}>{inner}</r:Description></r:RDF></x:xmpmeta>"
    ).encode()


def test_a_picture_without_xmp_gets_a_packet() -> None:
    for nothing in (None, b"", b"no xml", b"<x:xmpmeta/>"):
        assert statements(prohibit_training(nothing)) == [PROHIBITED]


def test_other_properties_stay() -> None:
    edited = prohibit_training(packet("<d:rights>me</d:rights>"))
    assert statements(edited) == [PROHIBITED]
    assert b"<d:rights>me</d:rights>" in edited


def test_another_statement_is_replaced_in_each_spelling() -> None:
    other = "http://ns.useplus.org/ldf/vocab/DMI-ALLOWED"
    spellings = [
        packet(f"<p:DataMining>{other}</p:DataMining>"),
        packet("", f' p:DataMining="{other}"'),
        packet(f'<p:DataMining r:resource="{other}"/>'),
    ]
    for spelling in spellings:
        assert statements(prohibit_training(spelling)) == [PROHIBITED]


def test_saying_it_twice_says_it_once() -> None:
    once = prohibit_training(None)
    assert prohibit_training(once) == once
