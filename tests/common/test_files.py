"""Results get to their place whole or not at all."""

import os

import pytest

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError


def test_a_keyed_folder_that_another_has_finished_meanwhile_is_left_as_it_is(tmp_path):
    folder = tmp_path / "result"
    with files.written_whole(folder, keyed=True) as slow:
        with files.written_whole(folder, keyed=True) as fast:
            (fast / "flows").write_text("first")
        reader = (folder / "flows").stat().st_ino
        (slow / "flows").write_text("second")
    assert (folder / "flows").stat().st_ino == reader and (folder / "flows").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_a_keyed_folder_that_lacks_a_file_is_made_again(tmp_path):
    (tmp_path / "result").mkdir()
    with files.written_whole(tmp_path / "result", keyed=True) as scratch:
        (scratch / "flows").write_text("whole")
    assert (tmp_path / "result" / "flows").read_text() == "whole"


def test_a_folder_that_is_not_keyed_is_replaced_and_comes_back_when_that_fails(tmp_path):
    for text in ("old", "new"):
        with files.written_whole(tmp_path / "run") as scratch:
            (scratch / "result").write_text(text)
    assert (tmp_path / "run" / "result").read_text() == "new"
    with pytest.raises(InputError), files.written_whole(tmp_path / "run") as scratch:
        scratch.rmdir()  # nothing is left to take the old one's place
    assert (tmp_path / "run" / "result").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_file_that_cannot_be_written_is_one_sentence_with_the_place_and_the_reason(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError) as caught, files.written_whole(tmp_path / "file" / "result"):
        pass
    assert str(tmp_path / "file") in str(caught.value) and "Not a directory" in str(caught.value)


def test_a_stamp_tells_files_apart_by_name_size_time_and_either_end_but_not_by_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "END_BYTES", 4)

    def stamp(text: str, name: str = "flows.csv", time: int = 5) -> str:
        path = tmp_path / str(len(list(tmp_path.iterdir()))) / name
        path.parent.mkdir()
        path.write_text(text)
        os.utime(path, (time, time))
        return files.key_of(**files.stamp(path))

    assert stamp("one, two, three") == stamp("one, two, three")
    others = [stamp("one, two, threE"), stamp("One, two, three"), stamp("one, two, three."), stamp("ab")]
    others += [stamp("one, two, three", name="other.csv"), stamp("one, two, three", time=6)]
    assert len({stamp("one, two, three"), *others}) == 7
