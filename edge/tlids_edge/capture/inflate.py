"""A gzip stream -> what it holds, a bounded piece at a time (RFC 1952), from files and pipes alike."""

import zlib
from collections.abc import Callable

GZIP_MAGIC = b"\x1f\x8b"
_GZIP = 31  # zlib's wbits: a gzip header and trailer


class Inflated:
    """What `read` brings, inflated. A stream that is cut or damaged ends where it is, and `fault` says so."""

    def __init__(self, read: Callable[[int], bytes], start: bytes) -> None:
        """`start` are the bytes that were read already, to see what the stream is."""
        self.fault = ""
        self._read, self._pending = read, start
        self._inflater = zlib.decompressobj(_GZIP)

    def read(self, size: int) -> bytes:
        """At most `size` bytes, so that a small file cannot fill the memory; b"" at the end.

        As many as can be had without another read: thousands of members of a byte each are one piece.
        """
        found = bytearray()
        while not self.fault and len(found) < size:
            if self._inflater.eof:  # another member may follow: `cat a.gz b.gz`
                self._pending = self._inflater.unused_data or (b"" if found else self._read(size))
                if not self._pending:
                    break
                self._inflater = zlib.decompressobj(_GZIP)
            try:
                data = self._inflater.decompress(self._pending, size - len(found))
            except zlib.error:
                self.fault = "gzip damaged"
                break
            found += data
            self._pending = self._inflater.unconsumed_tail
            if not self._pending and not self._inflater.eof and not data:
                if found:
                    break
                self._pending = self._read(size)
                if not self._pending:
                    self.fault = "gzip cut short"
        return bytes(found)
