"""Places go and the statement comes, in packets of every spelling, and hostile ones end quickly."""

from xml.etree import ElementTree

import pytest

from artscraper_runner.imaging.xmp import (
    DATA_MINING_NAMESPACE,
    EXCEPT_SEARCH_ENGINES,
    MAX_BYTES,
    PROHIBITED,
    prohibit_training,
    strip_xmp,
)
from artscraper_runner.options import RightsStatement

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
EXIF = "http://ns.adobe.com/exif/1.0/"
OTHER = "http://ns.useplus.org/ldf/vocab/DMI-ALLOWED"


def packet(inner: str, attributes: str = "", *, after: str = "") -> bytes:
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="{RDF}">'
        f'<r:Description r:about="" xmlns:p="{DATA_MINING_NAMESPACE}" xmlns:e="{EXIF}"'
        f' xmlns:d="http://purl.org/dc/elements/1.1/"{attributes}>{inner}</r:Description></r:RDF>'
        f"{after}</x:xmpmeta>"
    ).encode()


def without_places(content: bytes) -> bytes | None:
    stripped = strip_xmp(content)
    return None if stripped is None else stripped.packet


def statements(content: bytes) -> list[str | None]:
    tree = ElementTree.fromstring(content)
    name = f"{{{DATA_MINING_NAMESPACE}}}DataMining"
    inside = tree.iter(f"{{{RDF}}}RDF")
    found = [element.text for rdf in inside for element in rdf.iter(name)]
    assert len(found) == len(list(tree.iter(name))), "every statement stands inside of the RDF"
    return found + [element.get(name) for element in tree.iter() if element.get(name)]


@pytest.mark.parametrize(
    ("attributes", "inner"),
    [
        (' e:GPSLatitude="48,1N"', ""),
        ("\n e:GPSLatitude = '48,1N' ", ""),
        (' d:a=">" e:GPSLatitude="48,1N" d:b="/>"', ""),
        ("", "<e:GPSLatitude>48,1N</e:GPSLatitude>"),
        ("", '<e:GPSAltitude d:q="1">48,1N</e:GPSAltitude >'),
        ("", '<e:GPSAltitude r:resource="48,1N"/>'),
        ("", "<e:GPSx><r:Seq><r:li>48,1N</r:li><e:GPSy/></r:Seq></e:GPSx>"),
        ("", f"<e:GPSLatitude>{'9' * 5000}48,1N</e:GPSLatitude>"),
        ("", f'<d:x xmlns:g="{EXIF}" g:GPSLatitude="48,1N"/>'),
        ("", f'<GPSLatitude xmlns="{EXIF}">48,1N</GPSLatitude>'),
        ("", "<e:GPSLatitude><![CDATA[</e:GPSLatitude>]]>48,1N</e:GPSLatitude>"),
        (' xmlns:drone="http://www.dji.com/drone-dji/1.0/" drone:GpsLatitude="48,1N"', ""),
    ],
)
@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_locations_are_removed_and_the_rest_is_kept(attributes: str, inner: str, code: str) -> None:
    before = f"<d:rights>Müller</d:rights>{inner}<d:title/>"
    whole = packet(before, f' d:format="x"{attributes}').decode().encode(code)
    cleaned = without_places(whole)
    assert cleaned is not None
    text = cleaned.decode()
    assert "48,1N" not in text and "GPSL" not in text and "Gps" not in text
    assert "<d:rights>Müller</d:rights>" in text and "<d:title/>" in text
    assert ' d:format="x"' in text
    ElementTree.fromstring(cleaned)


def test_packet_without_locations_is_unchanged() -> None:
    whole = b'<?xpacket begin="\xef\xbb\xbf" id="x"?>\n' + packet(
        "<e:Other>GPS</e:Other><d:GP>S</d:GP><!-- e:GPS --> &amp; &#228;", " d:a='\"GPS'"
    )
    assert without_places(whole) == whole


JPEG_TEXT = "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0a"


@pytest.mark.parametrize(
    ("namespace", "inner", "subject"),
    [
        (
            "http://ns.adobe.com/xap/1.0/",
            f"<n:Thumbnails><r:Alt><r:li><n:image>{JPEG_TEXT}</n:image></r:li></r:Alt></n:Thumbnails>",
            "thumbnail",
        ),
        ("http://example.org/own/", f"<n:Preview>\n {JPEG_TEXT}</n:Preview>", "thumbnail"),
        ("http://example.org/own/", f'<r:Description n:Preview="{JPEG_TEXT}"/>', "thumbnail"),
        ("http://example.org/own/", "<n:A><n:B>iVBORw0KGgoAAAA</n:B></n:A>", "thumbnail"),
        (
            "http://ns.adobe.com/hdr-gain-map/1.0/",
            '<r:Description n:Version="1.0" n:GainMapMax="3"/>',
            "gain-map",
        ),
        (
            "http://ns.apple.com/HDRGainMap/1.0/",
            "<n:HDRGainMapVersion>1</n:HDRGainMapVersion>",
            "gain-map",
        ),
        (
            "http://ns.google.com/photos/1.0/camera/",
            '<r:Description n:MotionPhoto="1" n:MicroVideoOffset="4096"/>',
            "motion-photo",
        ),
        (
            "http://ns.google.com/photos/1.0/container/",
            "<n:Directory><r:Seq><r:li/></r:Seq></n:Directory>",
            "embedded-pictures",
        ),
        (
            "http://ns.google.com/photos/1.0/image/",
            f"<n:Data>{JPEG_TEXT}</n:Data>",
            "embedded-pictures",
        ),
        ("http://ns.adobe.com/xmp/note/", '<r:Description n:HasExtendedXMP="AB"/>', "xmp"),
    ],
)
def test_embedded_copies_and_size_claims_are_removed(
    namespace: str, inner: str, subject: str
) -> None:
    whole = packet(f"<d:title>kept</d:title>{inner}<d:rights/>", f' xmlns:n="{namespace}"')
    stripped = strip_xmp(whole)
    assert stripped is not None
    assert stripped.dropped == {subject}
    tree = ElementTree.fromstring(stripped.packet)
    names = {element.tag for element in tree.iter()}
    names |= {name for element in tree.iter() for name in element.attrib}
    assert not any(name.startswith(f"{{{namespace}}}") and name[-1] != "A" for name in names)
    assert JPEG_TEXT.encode() not in stripped.packet
    assert b"<d:title>kept</d:title>" in stripped.packet and b"<d:rights/>" in stripped.packet


def test_padding_is_removed() -> None:
    inner = packet("<d:title>a  b</d:title>")
    begin, end = b'<?xpacket begin="" id="x"?>', b'<?xpacket end="w"?>'
    assert without_places(begin + inner + b" \n" * 9000 + end + b" \0\n") == begin + inner + end
    assert without_places(inner + b" " * 9000) == inner


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"no xml",
        b"\xff\xfe\x00\xd8",
        b"<d exif:GPSLatitude='48,1N'/>",
        b"<a><b></a>",
        packet("").replace(b"adobe", b"\xe4dobe"),
        b'<?xml version="1.0" encoding="iso-8859-1"?>' + packet(""),
        b'<!DOCTYPE x [<!ENTITY a "b">]>' + packet("&a;"),
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd">' + packet(""),
        packet(" " * MAX_BYTES),
    ],
)
def test_unsafe_xmp_is_dropped(broken: bytes) -> None:
    assert without_places(broken) is None


def test_picture_without_xmp_gets_a_packet() -> None:
    for nothing in (None, b"", b"no xml", b"<x:xmpmeta/>", b'<x:xmpmeta xmlns:x="a"/>'):
        assert statements(prohibit_training(nothing)) == [PROHIBITED]


def test_other_properties_are_kept() -> None:
    edited = prohibit_training(packet("<d:rights>me</d:rights>"))
    assert statements(edited) == [PROHIBITED]
    assert b"<d:rights>me</d:rights>" in edited


@pytest.mark.parametrize(
    "spelling",
    [
        packet(f"<p:DataMining>{OTHER}</p:DataMining>"),
        packet(f"<p:DataMining\n>{OTHER}</p:DataMining >"),
        packet("", f' p:DataMining="{OTHER}"'),
        packet("", f"\tp:DataMining = '{OTHER}'"),
        packet(f'<p:DataMining r:resource="{OTHER}"/>'),
        packet(f'<DataMining xmlns="{DATA_MINING_NAMESPACE}">{OTHER}</DataMining>'),
        packet(f"<p:DataMining>{OTHER}</p:DataMining>" * 3, f' p:DataMining="{OTHER}"'),
        packet(f"<p:DataMining>{OTHER}</p:DataMining>").decode().encode("utf-16"),
    ],
)
def test_earlier_statement_is_replaced_in_each_spelling(spelling: bytes) -> None:
    edited = prohibit_training(spelling)
    assert statements(edited) == [PROHIBITED]
    assert OTHER.encode() not in edited


@pytest.mark.parametrize(
    "spelling",
    [
        packet("", after="<!-- </r:RDF> -->"),
        packet("<!-- </r:RDF> -->"),
        packet("", ' d:a="</r:RDF>"'.replace("<", "&lt;")),
        packet("<d:a><![CDATA[</r:RDF>]]></d:a>"),
        f'<x xmlns:r="{RDF}"><r:RDF/></x>'.encode(),
        f'<RDF xmlns="{RDF}" ></RDF >'.encode(),
        f'<RDF xmlns="{RDF}" />'.encode(),
        f'<x xmlns:r="{RDF}"><r:RDF/><r:RDF></r:RDF></x>'.encode(),
        f'<x xmlns:r="{RDF}"><r:RDF><r:RDF></r:RDF></r:RDF></x>'.encode(),
        packet("<d:rights>me</d:rights>").decode().encode("utf-16"),
    ],
)
def test_statement_has_its_namespace_and_place(spelling: bytes) -> None:
    edited = prohibit_training(spelling)
    assert statements(edited) == [PROHIBITED]
    if "rights" in spelling.decode("latin-1").replace("\0", ""):
        assert b"<d:rights>me</d:rights>" in edited


def test_repeated_statement_is_written_once() -> None:
    for content in (None, packet("<d:rights>me</d:rights>")):
        once = prohibit_training(content)
        assert prohibit_training(once) == once


_RDF_OPEN = f'<r:RDF xmlns:r="{RDF}" xmlns:p="{DATA_MINING_NAMESPACE}" xmlns:e="{EXIF}">'
HOSTILE = {
    "spaces": " ",
    "open": "<p:DataMining>",
    "open attribute": "<p:DataMining ",
    "empty": "<p:DataMining/>",
    "one inside the other": "<d><p:DataMining/></d>",
    "places": "<e:GPSa/>",
    "place opened": "<e:GPSa>",
    "attribute": ' e:GPSa="',
    "ends": "</r:RDF>",
    "comments": "<!---->",
    "ends of packets": "<?xpacket end='w'?>",
    "characters": "&#32;",
    "sections": "<![CDATA[",
    "pictures": "<d>/9j/</d>",
    "pictures inside": "<d>/9j/<d>/9j/</d></d>",
    "pictures opened": "<d>/9j/",
}


def check_both_edits(content: bytes) -> None:
    """Quadratic work on a megabyte would take hours."""
    assert prohibit_training(content).count(PROHIBITED.encode()) == 1
    assert b"<e:GPS" not in (without_places(content) or b"")


@pytest.mark.parametrize("part", HOSTILE)
@pytest.mark.parametrize("is_closed", [True, False])
def test_hostile_packets_take_linear_time(part: str, *, is_closed: bool) -> None:
    # Unclosed packets are read in the same way up to their end: a quarter of the size suffices.
    room = (MAX_BYTES if is_closed else MAX_BYTES // 4) - len(_RDF_OPEN) - 20
    body = HOSTILE[part] * (room // len(HOSTILE[part]))
    check_both_edits((_RDF_OPEN + body + ("</r:RDF>" if is_closed else "")).encode())


@pytest.mark.parametrize(
    "attribute",
    [
        ' xmlns:n{n}="' + DATA_MINING_NAMESPACE + '"',
        ' xmlns:n{n}="a{n}" n{n}:GPSa=""',
        ' GPSa{n}=""',
        ' a{n}="&lt;&#32;"',
    ],
)
def test_tag_of_many_attributes_takes_linear_time(attribute: str) -> None:
    many = "".join(attribute.format(n=n) for n in range(20_000))
    content = f"{_RDF_OPEN}<r:Description{many}/></r:RDF>".encode()
    check_both_edits(content)
    assert b"GPS" not in (without_places(content) or b"")


@pytest.mark.parametrize(
    ("opened", "closed"), [("<d>", "</d>"), (f'<e:d xmlns:e="{EXIF}">', "</e:d>")]
)
def test_deep_packets_take_linear_time(opened: str, closed: str) -> None:
    depth = (MAX_BYTES - 400) // len(opened + closed)
    content = (_RDF_OPEN + opened * depth + closed * depth + "</r:RDF>").encode()
    assert without_places(content) == content
    check_both_edits(content)


def test_rights_replace_earlier_ones() -> None:
    earlier = "<d:rights><r:Alt><r:li xml:lang='x-default'>old</r:li></r:Alt></d:rights>"
    rights = RightsStatement('"new" <1> & 2', None, True)
    edited = prohibit_training(prohibit_training(packet(earlier), rights), rights)
    assert b"old" not in edited
    assert edited.count(b"<dc:rights>") == 1 and edited.count(b"xmpRights=") == 1
    assert statements(edited) == [EXCEPT_SEARCH_ENGINES]
    kept = prohibit_training(packet(earlier))
    assert b"old" in kept and b"dc:rights>" not in kept
