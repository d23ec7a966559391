"""The bytes of one HTTP answer, parsed as they come. Knows no sockets."""

from geventhttpclient.response import HTTPParseError, HTTPResponse

__all__ = ["Answer", "HTTPParseError"]


class Answer(HTTPResponse):
    """The parser's events, gathered. Says when bytes follow a message that was complete."""

    def __init__(self, method: str) -> None:
        super().__init__(method=method)
        self._is_final = False
        self.has_trailing_bytes = False

    @property
    def has_head(self) -> bool:
        """Whether status and headers are there; an interim answer (1xx) is none."""
        return self._is_final

    def take_body(self) -> bytes:
        """The body bytes that came since the last call."""
        if not self._body_buffer:
            return b""
        body = bytes(self._body_buffer)
        self._body_buffer.clear()
        return body

    def take(self, data: bytes) -> None:
        """Parses; bytes beyond a complete message only make the connection unfit for reuse."""
        try:
            self.feed(data)
        except HTTPParseError:
            if not (self._is_final and self.message_complete):
                raise
            self.has_trailing_bytes = True

    def lower_headers(self) -> dict[str, str]:
        """Headers by lower-case name; repeated ones joined as RFC 9110 §5.3 allows."""
        found = {}
        for name in self._headers_index:
            value = self._headers_index[name]
            found[name] = value if isinstance(value, str) else ", ".join(value)
        return found

    def _on_message_begin(self) -> None:
        if self._is_final and self.message_complete:
            # The base class would throw our answer away and begin another.
            raise HTTPParseError("bytes after the answer")
        super()._on_message_begin()

    def _on_headers_complete(self) -> int | bool | None:
        skip_body = super()._on_headers_complete()
        self._is_final = self.get_code() >= 200
        return skip_body
