"""A reading says what the mark says, as JSON and as values."""

from artscraper_runner.options import payload_of_text
from artscraper_runner.watermarks.tiled_spread_spectrum import Reading, embed, read_watermark

from .pictures import painting


def test_number_is_read_as_hex() -> None:
    reading = read_watermark(embed(painting(300, 400), bytes(range(8))))
    assert reading.payload == "0001020304050607"
    assert reading.text is None
    assert 0.5 < reading.confidence <= 1


def test_text_is_read_as_text_and_hex() -> None:
    reading = read_watermark(embed(painting(512, 512), payload_of_text("Ærø")))
    assert reading.text == "Ærø"
    assert reading.payload == "Ærø".encode().hex().ljust(20, "0")


def test_clean_picture_reads_as_none() -> None:
    assert read_watermark(painting(300, 400)) == Reading(None, None, 0.0)
    assert Reading(None, None, 0.0).to_json() == {
        "payload": None,
        "text": None,
        "confidence": 0.0,
    }
