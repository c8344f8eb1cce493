"""Damaged CSV files: every physical line is kept or counted with its reason; what was lost is said, and stops."""

import gzip
import io
import zipfile

import case_rows as made
import pytest

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare, raw, show
from tlids_helpers.data.raw import Allowed
from tlids_helpers.data.source import prepare_source

# ---- zero bytes, web pages, line ends, ends that are missing

PLAIN = made.csv_lines(made.flows())
BYTES = made.text_of(PLAIN).encode()
MIDDLE = BYTES.index(PLAIN[151].encode())
DAMAGED = {
    "zeros at the end": (BYTES + bytes(4096), {}, {"nul_lines": 1}),
    "zeros at the end, after half a line": (BYTES[:-10] + bytes(500), {299}, {"nul_lines": 1}),
    "zeros in a row": (BYTES[:MIDDLE] + bytes(5) + BYTES[MIDDLE + 5 :], {150}, {"nul_lines": 1}),
    "zeros over line ends": (BYTES[:MIDDLE] + bytes(4000) + BYTES[MIDDLE:], {150}, {"nul_lines": 1}),
    "megabytes of zeros": (BYTES[:MIDDLE] + bytes(20 << 20) + BYTES[MIDDLE:], {150}, {"nul_lines": 1}),
    "zeros in two rows": (BYTES.replace(b",7,", b",\0,", 1).replace(b",8,", b",\0,", 1), {7, 8}, {"nul_lines": 2}),
    "a web page inside": (BYTES[:MIDDLE] + b"<html>\n<p>gone</p>\n" + BYTES[MIDDLE:], {}, {"html_lines": 2}),
    "one endless line": (BYTES[:MIDDLE] + b"x" * (3 << 20) + BYTES[MIDDLE:], {150}, {"malformed": 1}),
    "an endless line without an end": (BYTES + b"7," * (20 << 20), {}, {"malformed": 1}),
    "random bytes": (BYTES[:MIDDLE] + bytes(range(128, 256)) + b"\n" + BYTES[MIDDLE:], {}, {"malformed": 1}),
    "blank lines": (BYTES.replace(b"\n", b"\n\n"), {}, {"blank_lines": 301}),
    "blank lines, Windows": (BYTES.replace(b"\n", b"\r\n\r\n"), {}, {"blank_lines": 301}),
    "carriage returns alone": (BYTES.replace(b"\n", b"\r"), {}, {}),
    "some carriage returns": (BYTES[:MIDDLE] + BYTES[MIDDLE:].replace(b"\n", b"\r\n"), {}, {}),
    "no end of the last line": (BYTES[:-1], {}, {}),
    "a cut in the last line": (BYTES[:-20], {299}, {"malformed": 1}),
}  # fmt: skip


@pytest.mark.parametrize("block", [401, raw.BLOCK_BYTES])
@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_counted_and_costs_only_what_it_touches(kind, block, read, monkeypatch):
    content, lost, counts = DAMAGED[kind]
    if len(content) < 1 << 20:
        monkeypatch.setattr(raw, "BLOCK_BYTES", block)
    census, rows = read(content)
    assert rows == [row for row in range(300) if row not in lost] and made.dropped(census) == counts


@pytest.mark.parametrize("kind", ["zeros over line ends", "a web page inside", "blank lines"])
@pytest.mark.parametrize("name", ["own.csv.gz", "own.zip"])
def test_packed_files_are_counted_too(kind, name, read):
    content, lost, counts = DAMAGED[kind]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("own.csv", content)
    packed = gzip.compress(content) if name.endswith("gz") else buffer.getvalue()
    census, rows = read(packed, name, content.count(b"\n"))
    assert rows == [row for row in range(300) if row not in lost] and made.dropped(census) == counts


@pytest.mark.parametrize("missing", [1, 4, 8, 9, 100])
def test_a_gzip_file_that_is_cut_is_refused(missing, put, data_dir):
    path = put(gzip.compress(BYTES)[:-missing], "own.csv.gz")
    with pytest.raises(InputError, match="own.csv.gz whole, found that it cannot be read to its end"):
        prepare.prepare(str(path), data_dir)


def test_gzip_files_one_after_the_other_are_one(read):
    half = BYTES.index(PLAIN[151].encode())
    census, rows = read(gzip.compress(BYTES[:half]) + gzip.compress(BYTES[half:]), "own.csv.gz", 301)
    assert rows == list(range(300)) and made.dropped(census) == {}


MESSAGES = {
    "a word of a million letters": BYTES.replace(b",7,", b"," + b"x" * 900_000 + b",", 1),
    "a file of zeros": bytes(100_000),
    "zeros before the header": bytes(3000) + BYTES,
    "a first line without an end": b"x" * 200_000,
    "a label cut in no UTF-8": BYTES.replace(b",7,", b",\xff\xfe7,", 1),
    "a class of a thousand letters": b"\n".join([PLAIN[0].encode(), *[b"1,2,3,4,5,6,7,8,9," + b"y" * 1000] * 50]),
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_messages_quote_at_most_sixty_characters(kind, put, data_dir):
    with pytest.raises(InputError) as caught:
        prepare.prepare(str(put(MESSAGES[kind], "own.csv")), data_dir)
    text = str(caught.value)
    assert len(text) < 400 and text.isprintable() and max(map(len, text.split())) <= 62


# ---- what was lost is said, and a tenth lost stops


@pytest.mark.parametrize(("broken", "stops"), [(0, False), (3, False), (4, True)])
def test_more_than_one_per_cent_lost_stops_unless_it_is_allowed(broken, stops, put, data_dir):
    path = str(put(made.text_of([*PLAIN[: len(PLAIN) - broken], *["1,2"] * broken]), "own.csv"))
    if not stops:
        sentence = show.provenance(prepare.prepare(path, data_dir))
        kept = f"Of 300 rows read {300 - broken} were kept"
        assert kept in sentence and "\n" not in sentence and ("none dropped" in sentence) == (broken == 0)
        return
    with pytest.raises(InputError) as caught:
        prepare.prepare(path, data_dir)
    assert "4 of 300" in caught.value.fault and "another number of fields" in caught.value.fault
    assert "allow_loss=0.02" in caught.value.remedy
    assert prepare.prepare(path, data_dir, allowed=Allowed(loss=0.02)).size("test") == 60


@pytest.mark.parametrize("loss", [-0.1, 1.5, "0.1", float("nan")])
def test_a_loss_that_is_no_share_is_refused(loss, put, data_dir):
    with pytest.raises(InputError, match="allow_loss to be a share from 0 to 1"):
        prepare.prepare(str(put(made.text_of(PLAIN), "own.csv")), data_dir, allowed=Allowed(loss=loss))


def test_the_source_takes_what_is_allowed_as_the_target_does(netflow, put, data_dir):
    put(netflow({"Benign": 60, "ddos": 40}), "NF-ToN-IoT.csv")
    allowed = Allowed(subset=True, loss=0.5)
    target = prepare.prepare("nf-ton-iot", data_dir, allowed=allowed)
    assert prepare_source(target, "nf-ton-iot", "paper", data_dir, allowed) == target


# ---- the inputs that the faults were found on

SHARED = {
    "unbalanced-quote/quote.csv": ({"unclosed_quotes": 1}, 599, 2),
    "two-words-for-benign/merged.csv": ({}, 700, 3),
    "benign-called-none/none.csv": ({}, 500, 3),
    "days-with-other-columns/days.csv": ({"other_headers": 1}, 1000, 3),
    "session10-sorts-before-session2/ten.csv": ({}, 955, 2),
    "zero-bytes-after-power-loss/nul.csv": ({"nul_lines": 1}, 600, 2),
    "zero-bytes-after-power-loss/nulmid.csv": ({"nul_lines": 1}, 599, 2),
}


@pytest.mark.parametrize("name", SHARED)
def test_the_inputs_that_were_found_wanting(name, shared, data_dir):
    if not (shared / "cases" / name).exists():
        pytest.skip(f"no {name} at {shared / 'cases'}")
    counts, kept, classes = SHARED[name]
    prepared = prepare.prepare(str(shared / "cases" / name), data_dir)
    (part,) = prepared.parts.values()
    assert made.dropped(part["census"]) == counts and part["census"]["kept"] == kept
    assert len(prepared.classes) == classes and prepared.classes[0] == prepared.benign


@pytest.mark.parametrize("damage", [b"", bytes(500)], ids=["empty", "zeros"])
@pytest.mark.parametrize(("stage", "name"), [("clean", "meta.json"), ("s42", "test.parquet"), ("200rows", "meta.json")])
def test_a_cache_that_a_loss_of_power_has_emptied_is_made_again(damage, stage, name, put, data_dir):
    path = str(put(made.flows(), "own.csv"))
    before = prepare.prepare(path, data_dir, rows=200)
    folder = next(each for each in (data_dir / "prepared").iterdir() if stage in each.name.split("-", 1)[1])
    for each in [folder] if stage != "s42" else (data_dir / "prepared").glob("*-s42-*"):
        (each / name).write_bytes(damage)
    assert prepare.prepare(path, data_dir, rows=200) == before
    assert len(prepare.load(before, "test")[1]) == before.size("test")
