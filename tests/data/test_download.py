"""Downloads from a server on the loopback: slow, broken, changed, wrong. Nothing is half-written, nothing lost."""

import contextlib
import dataclasses
import gzip
import hashlib
import io
import random
import socket
import threading
import zipfile

import pandas as pd
import pytest
import requests
from http_files import PATIENCE_S, broken, head, ranged, refusing, serving, stuck, whole

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import check, download
from tlids_helpers.data import raw as flows
from tlids_helpers.data.catalog import DATASETS

CONTENT = random.Random(0).randbytes(4 * download.CHUNK_BYTES + 100)
OTHER = random.Random(1).randbytes(len(CONTENT))
CUT = 2 * download.CHUNK_BYTES + 500


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def tries(monkeypatch):
    """Set how often a connection that breaks is taken up again, and wait no time before."""

    def set_to(number: int) -> None:
        monkeypatch.setattr(download, "TRIES", number)
        monkeypatch.setattr(download, "WAIT_S", 0)

    return set_to


class Bar:
    """What a progress bar is told: (bytes so far, bytes in all), and what is done at each step."""

    def __init__(self, step=lambda: None):
        self.total, self.n, self.initial, self.told, self.step = None, 0, 0, [], step

    def refresh(self):
        self.told.append((self.n, self.total))
        self.step()

    def update(self, count):
        self.n += count
        self.refresh()


@pytest.fixture
def bar(monkeypatch):
    """The bar of the next download, in place of one on the screen."""
    made = Bar()
    monkeypatch.setattr(download.progress, "counter", lambda *_: contextlib.nullcontext(made))
    return made


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "nf-bot-iot").mkdir()
    return tmp_path / "nf-bot-iot"


@pytest.fixture
def raw(data_dir):
    return data_dir / "raw"


@pytest.fixture
def frame(netflow):
    return netflow({"Benign": 40, "DDoS": 30, "Theft": 5})


@pytest.fixture
def entry(frame):
    """NF-BoT-IoT as if it had been published with the rows of `frame`, and no checksum."""
    classes = {**dict.fromkeys(DATASETS["nf-bot-iot"].classes, 0), **frame["Attack"].value_counts().to_dict()}
    return dataclasses.replace(DATASETS["nf-bot-iot"], total=len(frame), classes=classes, sha256="", size=None)


@pytest.fixture
def broken_once(folder, tries):
    """A download that breaks, with nobody to try again; then the same with `after`. Its bytes and the requests."""

    def download_twice(*after):
        tries(1)
        with serving(broken(CONTENT, CUT, ETag='"one"'), *after) as server:
            with pytest.raises(InputError, match="connection broke after"):
                download.fetch(server.url, folder)
            had = (folder / "part").stat().st_size
            assert CUT - download.CHUNK_BYTES < had <= CUT
            found = download.fetch(server.url, folder).read_bytes()
        return found, had, server.seen

    return download_twice


def test_the_bar_advances_while_a_slow_server_is_still_sending(folder, bar):
    """Each piece is sent only when the client has told of the one before."""
    arrived = threading.Semaphore(0)
    bar.step = arrived.release

    def slow(handler):
        head(handler, 200, len(CONTENT))
        for start in range(0, len(CONTENT), download.CHUNK_BYTES):
            assert arrived.acquire(timeout=PATIENCE_S)
            handler.wfile.write(CONTENT[start : start + download.CHUNK_BYTES])
            handler.wfile.flush()

    with serving(slow) as server:
        assert download.fetch(server.url, folder).read_bytes() == CONTENT
    pieces = [min(n * download.CHUNK_BYTES, len(CONTENT)) for n in range(6)]
    assert bar.told == [(done, len(CONTENT)) for done in pieces]


def test_a_broken_download_goes_on_with_the_bytes_that_are_missing(broken_once):
    found, had, seen = broken_once(ranged(CONTENT, '"one"'))
    assert found == CONTENT
    assert "Range" not in seen[0] and seen[1]["Range"] == f"bytes={had}-" and seen[1]["If-Range"] == '"one"'


def test_a_connection_that_breaks_is_taken_up_again_by_itself(folder, bar, tries):
    tries(2)
    with serving(broken(CONTENT, CUT, ETag='"one"'), ranged(CONTENT, '"one"')) as server:
        assert download.fetch(server.url, folder).read_bytes() == CONTENT
    assert len(server.seen) == 2
    done = [at for at, _ in bar.told]
    assert done == sorted(done) and bar.told[-1] == (len(CONTENT), len(CONTENT))


def test_the_bar_goes_back_when_a_download_starts_over(folder, bar, tries):
    tries(2)
    with serving(broken(CONTENT, CUT, ETag='"one"'), whole(CONTENT)) as server:
        assert download.fetch(server.url, folder).read_bytes() == CONTENT
    assert [at for at, _ in bar.told].count(0) == 2 and bar.n == len(CONTENT)


def test_without_an_etag_the_last_modified_time_stands_for_the_file(folder, tries):
    tries(2)
    stamp = "Wed, 21 Oct 2015 07:28:00 GMT"
    with serving(broken(CONTENT, CUT, ETag='W/"weak"', Last_Modified=stamp), whole(CONTENT)) as server:
        assert download.fetch(server.url, folder).read_bytes() == CONTENT
    assert server.seen[1]["If-Range"] == stamp


def test_without_either_the_download_starts_over(folder, tries):
    tries(1)
    with serving(broken(CONTENT, CUT, ETag='W/"weak"'), whole(CONTENT)) as server:
        with pytest.raises(InputError, match="fetched whole"):
            download.fetch(server.url, folder)
        assert download.fetch(server.url, folder).read_bytes() == CONTENT
    assert "Range" not in server.seen[1]


def test_a_server_that_ignores_ranges_sends_it_whole_and_nothing_is_appended(broken_once):
    found, _, seen = broken_once(whole(CONTENT, ETag='"one"'))
    assert found == CONTENT and len(seen) == 2


def test_a_file_that_changed_meanwhile_is_fetched_whole(broken_once):
    found, _, seen = broken_once(ranged(OTHER, '"two"'))
    assert found == OTHER and len(seen) == 2


def test_a_part_of_another_address_is_not_gone_on_with(folder, tries):
    tries(1)
    with serving(broken(CONTENT, CUT, ETag='"one"'), ranged(OTHER, '"one"')) as server:
        with pytest.raises(InputError):
            download.fetch(server.url, folder)
        assert download.fetch(f"{server.url}2", folder).read_bytes() == OTHER
    assert "Range" not in server.seen[1]


def span(start: int, total: int, content: bytes, etag: str):
    """A partial answer that says it is `start` and on, of `total` bytes."""

    def answer(handler):
        head(handler, 206, len(content), ETag=etag, Content_Range=f"bytes {start}-{total - 1}/{total}")
        handler.wfile.write(content)

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        ranged(OTHER, '"two"', heeds_if_range=False),
        span(7, len(CONTENT), CONTENT[7:], '"one"'),
        span(CUT, len(CONTENT) + 1, OTHER[CUT:], '"one"'),
        refusing(416),
    ],
    ids=["another ETag", "another start", "another size", "range not satisfiable"],
)
def test_an_answer_that_is_not_the_rest_of_this_file_makes_the_download_start_over(answer, broken_once):
    found, _, seen = broken_once(answer, whole(CONTENT, ETag='"three"'))
    assert found == CONTENT
    assert "Range" in seen[1] and "Range" not in seen[2]


def test_a_refusal_keeps_what_has_come(folder, tries):
    tries(2)
    with serving(broken(CONTENT, CUT, ETag='"one"'), refusing(503), ranged(CONTENT, '"one"')) as server:
        with pytest.raises(InputError, match="503 Service Unavailable: try again later"):
            download.fetch(server.url, folder)
        assert download.fetch(server.url, folder).read_bytes() == CONTENT
    assert server.seen[2]["Range"]


@pytest.mark.parametrize(
    ("code", "words"), [(404, "404 Not Found"), (500, "500 Internal"), (416, "416 "), (206, "206 ")]
)
def test_a_server_that_refuses_is_one_sentence(code, words, folder):
    with serving(refusing(code)) as server, pytest.raises(InputError, match=f"the server answered {words}.*: ") as told:
        download.fetch(server.url, folder)
    assert "\n" not in str(told.value) and (folder / "part").stat().st_size == 0


def test_a_refused_connection_is_one_sentence(folder):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and never listens
        with pytest.raises(InputError, match=r"expected an answer from 127.0.0.1, found none \(Connection refused\): "):
            download.fetch(f"http://127.0.0.1:{unused.getsockname()[1]}/flows", folder)


@pytest.mark.parametrize("sends", [0, CUT])
def test_a_server_that_falls_silent_is_given_up_and_what_came_is_kept(sends, folder, tries, monkeypatch):
    """The client's patience is cut short once the answer has begun: a busy machine may take its time before that."""
    get, ended = requests.get, threading.Event()

    def impatient(*arguments, **options):
        response = get(*arguments, **options)
        response.raw._fp.fp.raw._sock.settimeout(1.0)
        return response

    monkeypatch.setattr(requests, "get", impatient)
    tries(1)
    with serving(stuck(CONTENT, sends, ended, ETag='"one"')) as server:
        with pytest.raises(InputError, match="connection broke after" if sends else "found none .*timed out"):
            download.fetch(server.url, folder)
        ended.set()
    assert (folder / "part").stat().st_size <= sends


def test_a_server_that_never_answers_is_given_up(folder, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT_S", (PATIENCE_S, 0.2))
    ended = threading.Event()
    with serving(lambda handler: ended.wait(PATIENCE_S)) as server:
        with pytest.raises(InputError, match=r"found none \(.*timed out"):
            download.fetch(server.url, folder)
        ended.set()


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/flows",
        "NF-BoT-IoT.csv",
        "http:///flows",
        "http://[::1",
        "",
        "http://a..b/x",
        "http://" + "a" * 64,
    ],
)
def test_only_web_addresses_are_fetched(url, folder):
    with pytest.raises(InputError, match="expected an address that begins with http"):
        download.fetch(url, folder)


def test_a_redirection_to_another_scheme_is_not_followed(folder):
    with serving(lambda handler: head(handler, 302, 0, Location="file:///etc/passwd")) as server:
        with pytest.raises(InputError, match="expected an answer"):
            download.fetch(server.url, folder)
    assert not (folder / "whole").exists()


def packed(frame: pd.DataFrame, ending: str) -> bytes:
    text, stream = frame.to_csv(index=False).encode(), io.BytesIO()
    if ending == ".csv.gz":
        return gzip.compress(text)
    if ending == ".zip":
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("NF-BoT-IoT.csv", text)
    elif ending == ".parquet":
        frame.to_parquet(stream, index=False)
    return stream.getvalue() or text


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".zip", ".parquet"])
def test_a_file_keeps_the_form_it_comes_in_whatever_its_address(ending, frame, entry, raw):
    content = packed(frame, ending)
    with serving(whole(content)) as server:
        finding = download.obtain(entry, raw, server.url)
    assert [path.name for path in raw.iterdir()] == [f"NF-BoT-IoT{ending}"]
    assert finding.path == flows.locate_file(entry, raw) and finding.path.read_bytes() == content
    assert (finding.verdict, finding.rows) == (check.WHOLE, 75)


def test_a_gzip_file_that_the_server_calls_an_encoding_stays_gzip(frame, entry, raw):
    content = packed(frame, ".csv.gz")
    with serving(whole(content, Content_Encoding="gzip", Content_Type="text/csv")) as server:
        assert download.obtain(entry, raw, server.url).path.read_bytes() == content
    assert server.seen[0]["Accept-Encoding"] == "identity"


def test_where_the_sha256_is_known_no_rows_are_counted(frame, entry, raw):
    """Zipped too: what is known is the CSV's."""
    size, sha256 = len(packed(frame, ".csv")), hashlib.sha256(packed(frame, ".csv")).hexdigest()
    entry = dataclasses.replace(entry, sha256=sha256, size=size)
    with serving(whole(packed(frame, ".zip"))) as server:
        finding = download.obtain(entry, raw, server.url)
    assert (finding.verdict, finding.sha256, finding.rows) == (check.WHOLE, "known", None)


def test_no_file_has_its_name_before_it_has_been_checked(frame, entry, raw, bar, monkeypatch):
    seen = []
    checked = check.check
    monkeypatch.setattr(check, "check", lambda *a: seen.append(flows.locate_file(entry, raw)) or checked(*a))
    bar.step = lambda: seen.append(flows.locate_file(entry, raw))
    with serving(whole(packed(frame, ".csv"))) as server:
        download.obtain(entry, raw, server.url)
    assert len(seen) > 2 and set(seen) == {None}
    assert flows.locate_file(entry, raw)


def wrong(frame: pd.DataFrame, netflow) -> dict[str, tuple[bytes, str]]:
    text = packed(frame, ".csv")
    return {
        "a web page": (b"<!DOCTYPE html><html><body>Please log in</body></html>", "found a web page"),
        "nothing": (b"", "empty"),
        "version 2": (packed(netflow({"Benign": 75}, version=2), ".csv"), "expected version 1.*found.*version 2"),
        "truncated CSV": (text[: len(text) // 2], "expected the 75 rows of NF-BoT-IoT, found"),
        "truncated gzip": (packed(frame, ".csv.gz")[:-200], "expected NF-BoT-IoT.csv.gz whole, found"),
        "truncated zip": (packed(frame, ".zip")[:-200], "expected a zip archive, found"),
        "other classes": (text.replace(b"Theft", b"DDoS"), "classes of other sizes"),
        "a header": (text.splitlines(keepends=True)[0], "only a header"),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "a web page", "nothing", "version 2", "truncated CSV", "truncated gzip", "truncated zip", "other classes",
        "a header",
    ],
)  # fmt: skip
def test_wrong_content_is_refused_in_one_sentence_and_leaves_nothing(kind, frame, entry, raw, netflow):
    content, words = wrong(frame, netflow)[kind]
    with serving(whole(content)) as server, pytest.raises(InputError, match=words) as told:
        download.obtain(entry, raw, server.url)
    assert "\n" not in str(told.value) and list(raw.rglob("*")) == []


def test_another_sha256_than_the_known_one_is_refused(frame, entry, raw):
    entry = dataclasses.replace(entry, sha256="0" * 64, size=1)
    with serving(whole(packed(frame, ".csv"))) as server:
        with pytest.raises(
            InputError, match=r"expected 1 bytes with SHA-256 000000000000\.\.\. as NF-BoT-IoT.csv, fou"
        ):
            download.obtain(entry, raw, server.url)
        assert list(raw.rglob("*")) == []
        subset = download.obtain(entry, raw, server.url, allow_subset=True)
    assert (subset.sha256, subset.rows) == ("other", 75)


def test_a_subset_is_taken_when_it_is_said_to_be_one(frame, entry, raw):
    with serving(whole(packed(frame.head(20), ".csv"))) as server:
        finding = download.obtain(entry, raw, server.url, allow_subset=True)
    assert (finding.verdict, finding.rows) == (check.SUBSET, 20)


def test_a_refusal_leaves_nothing_and_a_broken_download_its_part(frame, entry, raw, tries, monkeypatch):
    tries(1)
    monkeypatch.setattr(download, "CHUNK_BYTES", 256)  # so that whole pieces have come before it breaks
    content = packed(frame, ".csv")
    with serving(refusing(404), broken(content, 900, ETag='"one"'), ranged(content, '"one"')) as server:
        for left in ([], [".partial"]):
            with pytest.raises(InputError):
                download.obtain(entry, raw, server.url)
            assert [path.name for path in raw.iterdir()] == left
        download.obtain(entry, raw, server.url)
    assert server.seen[2]["Range"] and [path.name for path in raw.iterdir()] == ["NF-BoT-IoT.csv"]


def test_a_file_that_is_there_is_not_asked_for_again(frame, entry, raw, put):
    mine = put(frame.head(3), "NF-BoT-IoT.csv")
    before = mine.read_bytes()
    with (
        serving(whole(packed(frame, ".csv"))) as server,
        pytest.raises(InputError, match="expected no file of NF-BoT-IoT.*found NF-BoT-IoT.csv"),
    ):
        download.obtain(entry, raw, server.url)
    assert server.seen == [] and mine.read_bytes() == before


def test_a_file_is_replaced_only_by_one_that_has_been_checked(frame, entry, raw, put):
    mine = put(frame.head(3), "NF-BoT-IoT.csv")
    before = mine.read_bytes()
    with serving(whole(b"<html>"), whole(packed(frame, ".zip"))) as server:
        with pytest.raises(InputError, match="web page"):
            download.obtain(entry, raw, server.url, replace=True)
        assert mine.read_bytes() == before
        download.obtain(entry, raw, server.url, replace=True)
    assert [path.name for path in raw.iterdir()] == ["NF-BoT-IoT.zip"]


def test_a_file_behind_a_link_is_replaced_and_the_link_stays(frame, entry, raw, tmp_path):
    (tmp_path / "big").mkdir()
    kept = tmp_path / "big" / "flows"
    kept.write_text("old")
    (raw / "NF-BoT-IoT.zip").symlink_to(kept)
    with serving(whole(packed(frame, ".zip"))) as server:
        download.obtain(entry, raw, server.url, replace=True)
    assert (raw / "NF-BoT-IoT.zip").is_symlink() and kept.read_bytes() == packed(frame, ".zip")
    assert [path.name for path in raw.iterdir()] == ["NF-BoT-IoT.zip"]


def test_two_downloads_do_not_write_into_one_part(entry, raw):
    with download._alone(raw / ".partial" / entry.slug), serving(whole(b"")) as server:
        with pytest.raises(InputError, match="expected one download of nf-bot-iot at a time"):
            download.obtain(entry, raw, server.url)
    assert server.seen == []


def test_a_place_that_cannot_be_written_to_is_one_sentence(frame, entry, tmp_path):
    (tmp_path / "file").write_text("")
    with (
        serving(whole(packed(frame, ".csv"))) as server,
        pytest.raises(InputError, match="expected to write to .*/raw"),
    ):
        download.obtain(entry, tmp_path / "file" / "raw", server.url)


def test_a_full_disk_is_one_sentence_and_what_came_is_kept(entry, raw, bar):
    def full():
        if bar.n:
            raise OSError(28, "No space left on device")

    bar.step = full
    with serving(whole(CONTENT)) as server:
        with pytest.raises(InputError, match="expected to write to .*raw.*No space left on device"):
            download.obtain(entry, raw, server.url)
    assert (raw / ".partial" / entry.slug / "part").exists() and flows.locate_file(entry, raw) is None
