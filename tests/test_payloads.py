"""Numbers and texts become payloads and come back; what cannot is refused with its reason."""

import pytest

from artscraper_runner.errors import InvalidOption, UnknownName
from artscraper_runner.options import (
    ProtectionOptions,
    payload_of_number,
    payload_of_text,
    text_of_payload,
)


@pytest.mark.parametrize("text", ["a", "artscraper", "日本語", "é" * 5, " "])
def test_text_round_trips(text: str) -> None:
    payload = payload_of_text(text)
    assert len(payload) == 10
    assert text_of_payload(payload) == text


@pytest.mark.parametrize("text", ["", "elevenbytes", "é" * 6, "\ud800", "a\0b"])
def test_too_long_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match="watermark_text"):
        ProtectionOptions(watermark_text=text)


def test_numbers_and_invalid_utf8_are_no_text() -> None:
    assert text_of_payload(bytes(8)) is None
    assert text_of_payload(b"\xff" * 10) is None


@pytest.mark.parametrize(
    "digits", ["", "12", "x" * 16, "0" * 15, "0" * 18, "00 00 00 00 00 00 00 00"]
)
def test_numbers_need_sixteen_hex_digits(digits: str) -> None:
    with pytest.raises(InvalidOption, match="16 hex digits"):
        ProtectionOptions(watermark_payload=digits)


def test_number_is_eight_bytes() -> None:
    assert payload_of_number("00ff" * 4) == b"\x00\xff" * 4


def test_unknown_method_lists_valid_ones() -> None:
    with pytest.raises(UnknownName, match="tiled, dwtDctSvd"):
        ProtectionOptions(watermark_method="dwtDct")


def test_payload_number_is_drawn_once_by_default() -> None:
    options = ProtectionOptions()
    one, other = options.with_payload(), options.with_payload()
    assert options.payload is None
    assert one.payload is not None
    assert one.payload != other.payload
    assert one.with_payload() is one
    text = ProtectionOptions(watermark_text="me")
    assert text.with_payload() is text
