"""Live pictures: network streams and cameras, with reconnects, never further behind than a short queue."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av

from whodrives.video.decoder import LIBAV_ERRORS, MAX_PIXELS, Decoder, SourceFrame, reason
from whodrives.video.errors import LiveStreamError, VideoError

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "srt", "tcp")
CAMERA = "camera"
# Without `file`: what a server sends must not make libav read files here.
_PROTOCOLS = "rtsp,rtsps,rtp,srtp,rtmp,rtmps,rtmpt,udp,srt,tcp,tls,http,https,httpproxy,hls,crypto"
_CAMERAS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
OPEN_SECONDS, READ_SECONDS = 10.0, 5.0
# Decoded pictures that wait for their turn; about a second, also of 1080p (100 MB), less of larger ones: 10 of 4K.
QUEUE = 32
QUEUE_BYTES = 128 * 2**20
# Pictures without a time that are passed over when a connection begins.
UNSTAMPED = 3
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
# host or host:port before a path, query or the end; anything else may hold a user and a password.
_PLAIN_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^/?#@:\[\]]*)(:\d*)?([/?#]|$)")
# What a recording may lack of its declared length at its end.
_LAST_SECOND = 1.0
_CHECK = "Check the address, and that the stream is on the air"


def is_live(source: str) -> bool:
    """Whether `source` names a network stream (``rtsp://...``) or a camera (``camera:0``) and not a file."""
    return source.split(":", 1)[0].lower() in (*SCHEMES, CAMERA) and ":" in source


def shown_address(source: str) -> str:
    """The address without user, password and query, for messages and reports."""
    scheme, mark, rest = source.partition("://")
    if not mark:
        return source
    # A password that was not percent-encoded may hold / ? # or @, so that only the last @ surely ends it. Rather hide
    # part of a path with an @ than show part of a password.
    if not _PLAIN_HOST.match(rest):
        rest = rest.rpartition("@")[2]
    return f"{scheme}://{re.split('[?#]', rest, maxsplit=1)[0]}"


class LiveSource(Decoder):
    """A network stream or camera; iterate once for `SourceFrame`s, see `Decoder`.

    Pictures are decoded by a thread of their own. When they are taken more slowly than they come, the oldest waiting
    ones are let go and counted in `overrun`: their times are missing, and nothing falls behind. When the stream
    breaks, it is opened again, and the first frame after that starts a new shot; `reconnects` counts. A recording on a
    server that has come to its declared end is over.

    Parameters
    ----------
    source : ``rtsp://...``, another of `SCHEMES`, or ``camera:NAME`` (on Linux ``camera:0``, ``camera:/dev/video0``).
    patience : seconds without a picture to try again for after a break; 0: the end of the stream is the end.
    opener, sleep : for tests, called with the source in place of libav, and with seconds in place of a wait that ends
        when the source is closed.

    Raises
    ------
    LiveStreamError
        The stream cannot be opened at first.
    """

    def __init__(
        self,
        source: str,
        patience: float = 30.0,
        opener: Callable[[str], Any] | None = None,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        super().__init__(Path(shown_address(source)), threading="SLICE")
        self._source, self.patience = source, patience
        self._open = opener or open_live
        self._closed = threading.Event()
        self._sleep = sleep or self._closed.wait
        self.reconnects = 0
        self.overrun = 0
        self._waited = 0.0  # seconds of trying again since the last picture
        self._running = False
        try:
            self._adopt(self._open(source))
        except LIBAV_ERRORS as error:
            raise LiveStreamError(shown_address(source), f"cannot be opened ({reason(error)})", _CHECK) from None
        except BaseException:
            self.close()
            raise

    def _packets(self) -> Iterator[Any]:
        # A read that failed means that the connection is gone; trying again belongs to `_connected`.
        try:
            yield from self._container.demux(self._stream)
        except LIBAV_ERRORS:
            self.errors += 1

    def _connected(self) -> Iterator[SourceFrame]:
        """Frames of one connection after another."""
        fresh = False
        while True:
            unstamped = 0
            first = last = None
            failures = self.errors
            try:
                for frame in super().__iter__():
                    # RTSP leaves the first picture without a time; guessed, it would stand far from the next one.
                    if frame.time is None and unstamped < UNSTAMPED:
                        unstamped += 1
                        continue
                    unstamped = UNSTAMPED
                    first, last = frame.time if first is None else first, frame.time
                    self._waited = 0.0
                    yield replace(frame, after_damage=True) if fresh else frame
                    fresh = False
            except VideoError:
                self.errors += 1  # a frame beyond the safety limits, say: this connection is no good
            seconds = last - first if first is not None and last is not None else 0.0
            if (self.errors == failures and self._ended(seconds)) or not self._again():
                return
            fresh = True

    def _ended(self, seconds: float) -> bool:
        """Whether a connection of so many seconds was a recording, shown to its end: again it would show the same."""
        declared: int = getattr(self._container, "duration", None) or 0
        return declared > 0 and seconds + _LAST_SECOND >= declared / 1_000_000

    def _again(self) -> bool:
        """Open the stream once more within the patience; False: it is over."""
        super().close()
        pause = FIRST_PAUSE
        while self._waited < self.patience and not self._closed.is_set():
            self._sleep(pause)
            self._waited += pause
            if self._closed.is_set():
                break
            begun = time.monotonic()
            try:
                self._adopt(self._open(self._source))
                self.reconnects += 1
                return True
            except (*LIBAV_ERRORS, VideoError):
                super().close()
                self._waited += time.monotonic() - begun
                pause = min(2 * pause, LONGEST_PAUSE)
        return False

    def __iter__(self) -> Iterator[SourceFrame]:
        waiting: deque[SourceFrame] = deque()
        ready = threading.Condition()
        over: list[BaseException | None] = []

        def decode() -> None:
            failed: BaseException | None = None
            try:
                for frame in self._connected():
                    if self._closed.is_set():
                        break
                    with ready:
                        while _full(waiting, frame):
                            gone = waiting.popleft()
                            self.overrun += 1
                            if gone.after_damage and waiting:
                                waiting[0] = replace(waiting[0], after_damage=True)
                        waiting.append(frame)
                        ready.notify()
            except BaseException as error:
                failed = error
            # Only this thread may close what it reads from.
            Decoder.close(self)
            with ready:
                over.append(failed)
                ready.notify()

        self._running = True
        worker = threading.Thread(target=decode, name="whodrives-live", daemon=True)
        worker.start()
        try:
            while True:
                with ready:
                    while not waiting and not over:
                        ready.wait()
                    if not waiting:
                        break
                    frame = waiting.popleft()
                yield frame
            if over[0] is not None:
                raise over[0]
        finally:
            self._closed.set()
            worker.join(timeout=READ_SECONDS)

    def close(self) -> None:
        """End the stream; where it is being read, that thread stops at its next picture. Safe to call twice."""
        self._closed.set()
        if not self._running:
            super().close()


def _full(waiting: deque[SourceFrame], frame: SourceFrame) -> bool:
    """Whether the oldest must go before `frame` may wait, too. However large, two may."""
    held = sum(plane.buffer_size for one in (*waiting, frame) for plane in one.frame.planes)
    return len(waiting) >= QUEUE or (len(waiting) >= 2 and held > QUEUE_BYTES)


def open_live(source: str) -> Any:
    """A PyAV container of a network stream or camera; libav's errors pass through."""
    options = {"max_pixels": str(MAX_PIXELS)}
    wait = (OPEN_SECONDS, READ_SECONDS)
    if source.startswith(f"{CAMERA}:"):
        name, kind = source.split(":", 1)[1], _CAMERAS.get(sys.platform, "v4l2")
        if kind == "v4l2" and name.isdigit():
            name = f"/dev/video{name}"
        return av.open(name, format=kind, options=options, timeout=wait)
    # TCP: lost UDP packets would smear the picture, which looks like motion.
    inner = {"rtsp_transport": "tcp", "flags": "low_delay", "protocol_whitelist": _PROTOCOLS}
    return av.open(source, options={**options, **inner}, timeout=wait, metadata_errors="replace")
