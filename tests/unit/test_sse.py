"""Server-sent events: whatever the cuts, the same events."""

import itertools

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solrouter import sse
from solrouter.sse import Decoder, Event, EventTooLarge


def decoded(*pieces: bytes) -> list[Event]:
    decoder = Decoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_events_end_at_a_blank_line_of_any_kind(line_end: bytes) -> None:
    stream = line_end.join([b"data: one", b"", b"event: ping", b"data:two", b"", b""])
    assert decoded(stream) == [Event("message", b"one"), Event("ping", b"two")]


def test_several_data_lines_join_with_a_line_break() -> None:
    assert decoded(b"data: {\ndata:  1}\n\n") == [Event("message", b"{\n 1}")]


def test_comments_ids_and_retries_say_nothing() -> None:
    assert decoded(b": OPENROUTER PROCESSING\n\nid: 7\nretry: 5\ndata: x\n\n:\n") == [
        Event("message", b"x")
    ]


def test_a_named_event_without_data_is_none_and_its_name_is_forgotten() -> None:
    assert decoded(b"event: ping\n\ndata: x\n\n") == [Event("message", b"x")]


def test_the_last_event_needs_no_blank_line_and_no_line_end() -> None:
    assert decoded(b"data: [DONE]\n") == [Event("message", b"[DONE]")]
    assert decoded(b"data: [DONE]") == [Event("message", b"[DONE]")]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert decoded(b"\xef\xbb", b"\xbfdata: x\n\n") == [Event("message", b"x")]


def test_unicode_line_separators_end_no_line() -> None:
    payload = orjson.dumps({"text": "a\u2028b\u0085c\u2029"})
    assert decoded(b"data: " + payload + b"\n\n") == [Event("message", payload)]


def test_missing_blank_lines_between_whole_objects_are_tolerated() -> None:
    assert decoded(b'data: {"a":1}\ndata: {"b":2}\r\ndata: [DONE]\n') == [
        Event("message", b'{"a":1}'),
        Event("message", b'{"b":2}'),
        Event("message", b"[DONE]"),
    ]


def test_lines_that_only_look_like_objects_join() -> None:
    assert decoded(b"data: {1}\ndata: {2}\n\n") == [Event("message", b"{1}\n{2}")]


def test_missing_blank_lines_do_not_mix_up_names() -> None:
    stream = b"event: a\ndata: {}\nevent: b\ndata: {}\nevent: b\ndata: {}\ndata: {}\n"
    assert [event.name for event in decoded(stream)] == ["a", "b", "b", "message"]


def test_a_name_may_follow_its_data() -> None:
    assert decoded(b"data: {}\nevent: late\n\n") == [Event("late", b"{}")]


def test_lines_of_no_event_stream_are_kept_to_explain_it() -> None:
    decoder = Decoder()
    decoder.feed(b'{"error": {\n "message": "no"}\n}')
    assert decoder.end() == []
    assert orjson.loads(decoder.stray) == {"error": {"message": "no"}}


def test_stray_lines_have_a_limit() -> None:
    decoder = Decoder()
    decoder.feed(b"<p>html</p>\n" * 10_000)
    assert len(decoder.stray) == sse.STRAY_BYTES_MAX


@pytest.mark.parametrize("line_end", [b"", b"\ndata: "], ids=["one line", "many lines"])
def test_an_endless_event_is_refused(line_end: bytes) -> None:
    decoder = Decoder()
    decoder.feed(b"data: ")
    piece = b"x" * 1_000_000 + line_end
    with pytest.raises(EventTooLarge):
        for _ in range(sse.EVENT_BYTES_MAX // 1_000_000 + 1):
            decoder.feed(piece)


def test_many_small_events_are_not_one_large_event() -> None:
    decoder = Decoder()
    for _ in range(18):
        assert len(decoder.feed(b"data: " + b"x" * 1_000_000 + b"\n\n")) == 1


LINES = st.sampled_from(
    [
        b"data: {}",
        b'data: {"text":"\xe4\xb8\xad\xf0\x9f\x98\x80\xe2\x80\xa8"}',
        b"data:",
        b"data: [DONE]",
        b"data: half {",
        b"event: ping",
        b": comment",
        b"id: 1",
        b"garbage",
        b"",
        b"",
    ]
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"]))).map(
    lambda pairs: b"".join(line + end for line, end in pairs)
)


@given(stream=STREAMS, cuts=st.lists(st.integers(min_value=0, max_value=400)))
def test_no_cut_changes_the_events(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    pieces = [stream[a:b] for a, b in itertools.pairwise(edges)]
    assert decoded(*pieces) == decoded(stream)


@given(stream=STREAMS)
def test_byte_by_byte_brings_the_same_events(stream: bytes) -> None:
    assert decoded(*(stream[i : i + 1] for i in range(len(stream)))) == decoded(stream)


@given(noise=st.binary(max_size=300), cut=st.integers(min_value=0, max_value=300))
def test_noise_raises_nothing_and_is_cut_safe(noise: bytes, cut: int) -> None:
    assert decoded(noise[:cut], noise[cut:]) == decoded(noise)


@given(
    payloads=st.lists(
        st.dictionaries(st.text(max_size=5), st.text(), max_size=3).map(orjson.dumps), max_size=5
    )
)
def test_what_we_write_we_read(payloads: list[bytes]) -> None:
    stream = b"".join(sse.data_event(payload) + sse.KEEP_ALIVE for payload in payloads) + sse.DONE
    assert [event.data for event in decoded(stream)] == [*payloads, sse.DONE_DATA]


def test_a_written_line_break_becomes_a_second_data_line() -> None:
    assert sse.data_event(b"a\nb") == b"data: a\ndata: b\n\n"
    assert sse.named_event("ping", b"{}") == b"event: ping\ndata: {}\n\n"
