"""What is written is written where the user pointed; the right bytes are those that a plain file gets."""

import csv
import gzip
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys

import pytest
from case_commands import LIMIT_S, METER, NOBODY, as_nobody, capture_of, environment, shell
from edge_process import ended_in_time, events, run_edge, unread, wait_for, wait_until_told
from tlids_edge import outputs
from tlids_edge.cli import meter as meter_cli
from tlids_edge.errors import InputError

FLOWS = 400  # more bytes than a pipe holds at once


@pytest.fixture(scope="module")
def right(tmp_path_factory) -> bytes:
    """The CSV of the capture, from a plain file."""
    folder = tmp_path_factory.mktemp("right")
    (folder / "a.pcap").write_bytes(capture_of(FLOWS))
    assert meter_cli.main([str(folder / "a.pcap"), "-o", str(folder / "x"), "--no-l7"]) == 0
    assert len(list(csv.reader((folder / "x").open()))) == FLOWS + 1
    return (folder / "x").read_bytes()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.pcap").write_bytes(capture_of(FLOWS))
    return tmp_path


PLACES = {
    "a new file": ("", "new.csv", "cat new.csv"),
    "standard output by its device": ("", "/dev/stdout", ""),
    "standard output by /proc": ("", "/proc/self/fd/1", ""),
    "standard output by a link": ("ln -s /dev/stdout link", "link", ""),
    "a descriptor": ("exec 7> seven", "/dev/fd/7", "cat seven"),
    "a process substitution": ("", ">(gzip > x.gz)", "sleep 1; until gzip -t x.gz; do sleep 0.1; done; zcat x.gz"),
    "a link": ("touch file; ln -s file link", "link", "[ -L link ] && cat file"),
    "a chain of links": ("mkdir d; ln -s d e; ln -s e/file one; ln -s one two", "two", "[ -L two ] && cat d/file"),
    "a link to nothing": ("ln -s later link", "link", "[ -L link ] && cat later"),
    "a link to standard error": ("ln -s /dev/stderr link", "link", "", "2>&1 -q"),
    "a FIFO": ("mkfifo pipe; cat pipe > got & reader=$!", "pipe", "wait $reader; [ -p pipe ] && cat got"),
    "a FIFO by a link": ("mkfifo pipe; ln -s pipe link; cat pipe > got & reader=$!", "link", "wait $reader; cat got"),
    "a FIFO read late": ("mkfifo pipe; (sleep 1.5; cat pipe > got) & reader=$!", "pipe", "wait $reader; cat got"),
    "a second name": ("echo old > one; ln one two", "two", "cmp one two && cat one"),
    "a name of 255 letters": ("", "n" * 255, "cat nnnn*"),
    "a name with blanks and a newline": ("", "'a b\nc'", "cat 'a b\nc'"),
}


@pytest.mark.parametrize("name", PLACES)
def test_the_csv_goes_into_what_stands_at_the_place(name, folder, right):
    before, place, after, *options = PLACES[name]
    script = f"{before}\n{METER} a.pcap -o {place} --no-l7 {' '.join(options)} || exit\n{after}"
    done = shell(script, folder)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == right
    assert not list(folder.glob(".tlids-*"))


def test_a_device_stays_a_device(folder):
    done = shell(f"{METER} a.pcap -o /dev/null --no-l7 && [ -c /dev/null ]", folder)
    assert done.returncode == 0


def test_sigterm_leaves_what_was_read_and_nothing_half_written(folder, right):
    command = [sys.executable, "-m", "tlids_edge.cli.meter", "-", "-o", "x", "--no-l7"]
    with subprocess.Popen(
        command, cwd=folder, env=environment(), stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdin.write(capture_of(FLOWS))
        process.stdin.flush()
        wait_for(lambda: unread(process.stdin) == 0 and list(folder.glob(".tlids-*")), "the meter to read")
        wait_for(lambda: asleep(process.pid), "the meter to wait for more")
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
    assert (folder / "x").read_bytes() == right
    assert sorted(path.name for path in folder.iterdir()) == ["a.pcap", "x"]


def asleep(pid) -> bool:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "S"


def test_what_stands_before_and_after_in_a_redirected_file_stays(folder, right):
    done = shell(f"(echo before; {METER} a.pcap -o /dev/stdout --no-l7; echo after) > all", folder)
    assert (folder / "all").read_bytes() == b"before\n" + right + b"after\n", done.stderr


@pytest.mark.parametrize(
    ("before", "place", "found"),
    [
        ("mkdir d", "d", "Is a directory"),
        ("mkdir d; ln -s d link", "link", "Is a directory"),
        ("", "absent/", "Is a directory"),
        ("", "absent/x.csv", "No such file"),
        ("ln -s /absent/x.csv link", "link", "write link, which leads to /absent/x.csv, found: No such file"),
        ("ln -s /absent one; ln -s one two", "two/x.csv", "two/x.csv, which leads to /absent/x.csv, found: No such"),
        ("", "''", "an empty one"),
        ("ln -s link link", "link", "Too many levels"),
        ("", "/dev/fd/77", "Bad file descriptor"),
        ("", "/dev/full", "No space left"),
        ("touch x; exec 7< x", "/dev/fd/7", "Bad file descriptor"),
        ("", "a.pcap", "a.pcap as both"),
        ("ln -s a.pcap link", "link", "a.pcap as both"),
        ("ln a.pcap second", "second", "a.pcap as both"),
        ("exec >> a.pcap", "-", "a.pcap as both"),
        ("exec >> a.pcap", "/dev/stdout", "a.pcap as both"),
        ("exec >&-", "-", "it is closed"),
        ("exec >&-", "/dev/stdout", "it is closed"),
        ("exec > /dev/full", "-", "No space left"),
    ],
)
def test_a_place_that_takes_no_file_is_refused_in_one_sentence(folder, before, place, found):
    done = shell(f"{before}\n{METER} a.pcap -o {place} --no-l7", folder)
    said = done.stderr.decode()
    assert (done.returncode, said.count("\n"), found in said) == (2, 1, True), said
    assert (folder / "a.pcap").read_bytes() == capture_of(FLOWS)


def test_a_socket_is_refused(tmp_path):
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(tmp_path / "s"))
        with pytest.raises(InputError, match="found: Is a socket"), outputs.written(tmp_path / "s"):
            pass


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o4755])
def test_permissions_and_owner_are_kept(tmp_path, mode):
    path = tmp_path / "x"
    path.write_text("old, and longer than the new one")
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    path.chmod(mode)
    old = path.stat()
    with outputs.written(path) as stream:
        stream.write(b"new")
    new = path.stat()
    assert path.read_bytes() == b"new" and (new.st_mode, new.st_uid, new.st_gid) == (
        old.st_mode,
        old.st_uid,
        old.st_gid,
    )


def test_attributes_that_the_user_gave_a_file_are_kept(tmp_path):
    path = tmp_path / "x"
    path.write_text("old, and longer than the new one")
    try:
        os.setxattr(path, "user.origin", b"home")
    except OSError:
        pytest.skip("no extended attributes on this file system")
    with outputs.written(path) as stream:
        stream.write(b"new")
    assert path.read_bytes() == b"new" and os.getxattr(path, "user.origin") == b"home"


@pytest.mark.parametrize("kind", ["mount", "second name", "whole"])
def test_a_block_that_fails_leaves_the_old_file(tmp_path, kind):
    path = tmp_path / "x"
    path.write_text("old")
    if kind == "second name":
        os.link(path, tmp_path / "y")
    elif kind == "mount":
        mounted(path, tmp_path)
    try:
        with pytest.raises(InputError, match="No space left"), outputs.written(path) as stream:
            stream.write(b"half")
            raise OSError(28, "No space left on device")
        assert path.read_text() == "old" and not list(tmp_path.glob(".tlids-*"))
    finally:
        if kind == "mount":
            subprocess.run(["umount", path], check=True)


def mounted(path, folder):
    """Bind a file onto itself, as a container's volume is."""
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("needs root: it mounts")
    (folder / "source").write_text("old")
    if subprocess.run(["mount", "--bind", folder / "source", path], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")


def test_a_file_that_is_a_mount_point_is_written_in_place(folder, right):
    (folder / "x").touch()
    mounted(folder / "x", folder)
    try:
        assert meter_cli.main([str(folder / "a.pcap"), "-o", str(folder / "x"), "--no-l7"]) == 0
        assert (folder / "x").read_bytes() == (folder / "source").read_bytes() == right
    finally:
        subprocess.run(["umount", folder / "x"], check=True)
    assert not list(folder.glob(".tlids-*"))


def test_a_file_of_ours_in_a_folder_that_is_not_is_written_in_place(folder, right):
    (folder / "x").write_text("old")
    os.chmod(folder / "x", 0o666)
    done = as_nobody("tlids_edge.cli.meter", folder, "a.pcap", "-o", "x", "--no-l7")
    assert done.returncode == 0, done.stderr
    assert (folder / "x").read_bytes() == right and (folder / "x").stat().st_uid == 0


def test_a_file_that_is_protected_is_not_renamed_over(folder):
    place = folder / "open"
    place.mkdir()
    place.chmod(0o777)
    (place / "x").write_text("old")
    (place / "x").chmod(0o444)
    done = as_nobody("tlids_edge.cli.meter", folder, "a.pcap", "-o", "open/x", "--no-l7")
    assert done.returncode == 2 and b"Permission denied" in done.stderr
    assert (place / "x").read_text() == "old"


def test_a_pipe_that_does_not_block_loses_no_byte(folder, right):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    command = [sys.executable, "-m", "tlids_edge.cli.meter", "a.pcap", "--no-l7"]
    with subprocess.Popen(command, cwd=folder, stdout=writing, env=environment()) as process:
        os.close(writing)
        with open(reading, "rb") as stream, ended_in_time(process):
            assert stream.read() == right
    assert process.returncode == 0


def test_a_fifo_that_nobody_reads_is_told_of_and_an_interrupt_ends_the_wait(folder):
    os.mkfifo(folder / "pipe")
    command = [sys.executable, "-m", "tlids_edge.cli.meter", "a.pcap", "-o", "pipe", "--no-l7"]
    ready = dict(stderr=subprocess.PIPE, cwd=folder, env=environment())
    with (
        subprocess.Popen(
            command, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler), **ready
        ) as process,
        ended_in_time(process),
    ):
        wait_until_told(process, "waiting for somebody to read")
        process.send_signal(signal.SIGINT)
        said = process.communicate()[1]
    assert process.returncode == 130 and b"interrupted" in said and b"Traceback" not in said
    assert stat.S_ISFIFO(os.stat(folder / "pipe").st_mode)


def test_a_reader_of_a_fifo_that_has_seen_enough_is_no_error(folder):
    done = shell(
        f"mkfifo pipe; head -1 pipe > got & {METER} a.pcap -o pipe --no-l7; status=$?; wait; exit $status", folder
    )
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    assert (folder / "got").read_bytes().startswith(b"IPV4_SRC_ADDR")


@pytest.mark.parametrize("closed", ["2>&-", "2>&- <&-", "2>/dev/full", "<&-"])
def test_the_meter_says_nothing_where_standard_error_is_closed_or_full_and_writes_all(folder, right, closed):
    done = shell(f"{METER} a.pcap --no-l7 {closed}", folder)
    assert (done.returncode, done.stdout) == (0, right)


@pytest.mark.parametrize("output", ["-", "x"])
def test_a_capture_that_fails_before_its_first_flow_leaves_no_header_alone(folder, output):
    (folder / "b.pcap").write_bytes(b"no capture")
    (folder / "e.pcap").write_bytes(capture_of(0))
    done = shell(f"{METER} e.pcap b.pcap -o {output} --no-l7 2>&-", folder)
    assert (done.returncode, done.stdout) == (2, b"") and not (folder / "x").exists()


@pytest.mark.parametrize("closed", ["2>&-", "2>&- <&-", "2>/dev/full", "<&-", "2> >(exec sleep 3)"])
def test_no_status_line_is_among_the_json(model, folder, closed):
    options = f"--model {model} --source a.pcap --status 0.01 --all-flows --flow-alerts all"
    done = shell(f"{sys.executable} -m tlids_edge.cli.edge {options} {closed}", folder)
    assert done.returncode == 0
    assert len(events(done.stdout, "flow")) == FLOWS


def test_a_closed_standard_error_is_not_the_first_file_that_is_opened(model, folder):
    options = f"--model {model} --source a.pcap --status 0.01 --eve eve.json --all-flows --flow-alerts all"
    done = shell(f"{sys.executable} -m tlids_edge.cli.edge {options} <&- >&- 2>&-", folder)
    assert done.returncode == 0
    assert len(events((folder / "eve.json").read_bytes(), "flow")) == FLOWS


def test_a_closed_standard_output_is_refused_for_eve_lines(model, folder):
    done = shell(f"{sys.executable} -m tlids_edge.cli.edge --model {model} --source a.pcap >&-", folder)
    assert done.returncode == 2 and b"closed" in done.stderr


SAME_FOR_EVE = (
    "standard output by its device", "a process substitution", "a descriptor", "a link", "a link to nothing", "a FIFO",
    "a FIFO read late",
)  # fmt: skip
EVE_PLACES = {name: PLACES[name] for name in SAME_FOR_EVE} | {
    "a FIFO read slowly": (
        "mkfifo pipe; (exec 5< pipe; sleep 1.5; cat <&5 > got) & reader=$!",
        "pipe",
        "wait $reader; cat got",
    ),
}


@pytest.mark.parametrize("name", EVE_PLACES)
def test_eve_lines_go_into_what_stands_at_the_place(name, model, folder):
    plain = run_edge(model, str(folder / "a.pcap"), "--all-flows", "--flow-alerts", "all").stdout
    before, place, after = EVE_PLACES[name]
    options = f"--model {model} --source a.pcap --all-flows --flow-alerts all"
    done = shell(f"{before}\n{sys.executable} -m tlids_edge.cli.edge {options} --eve {place} || exit\n{after}", folder)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == plain and b"unwritten 0" in done.stderr


@pytest.mark.parametrize(
    ("before", "place", "found"),
    [
        ("mkdir d", "d", "Is a directory"),
        ("", "absent/eve.json", "No such file"),
        ("ln -s /absent/eve link", "link", "write link, which leads to /absent/eve, found: No such file"),
        ("", "a.pcap", "a.pcap as both"),
        ("ln -s a.pcap link", "link", "a.pcap as both"),
        ("", "/dev/fd/77", "Bad file descriptor"),
        ("ln -s link link", "link", "Too many levels"),
    ],
)
def test_a_place_that_takes_no_eve_lines_is_refused(model, folder, before, place, found):
    options = f"--model {model} --source a.pcap --eve {place}"
    done = shell(f"{before}\n{sys.executable} -m tlids_edge.cli.edge {options}", folder)
    said = done.stderr.decode()
    assert (done.returncode, said.count("tlids-edge: "), found in said) == (2, 1, True), said
    assert (folder / "a.pcap").read_bytes() == capture_of(FLOWS)


def test_a_gzip_behind_a_process_substitution_is_whole(folder, right):
    shell(f"{METER} a.pcap -o >(gzip > x.gz) --no-l7", folder)
    wait_for(lambda: whole(folder / "x.gz"), "gzip to end")
    assert gzip.decompress((folder / "x.gz").read_bytes()) == right


def whole(path) -> bool:
    try:
        return bool(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError):
        return False
