"""Text files that people hand over: read whole, or refused in one sentence, and never waited for."""

from __future__ import annotations

import os
import threading

import pytest

from pct_mlops.config import PctError
from pct_mlops.config.texts import read_text


def read(path, max_bytes=1000):
    return read_text(path, wanted="a list", max_bytes=max_bytes)


def test_a_text_without_its_byte_order_mark_and_with_its_line_ends(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\n\xc3\xa4")
    assert read(tmp_path / "a.txt") == "one\r\nä"
    assert read(tmp_path / "a.txt", max_bytes=10) == "one\r\nä"


def test_what_is_no_such_file_is_one_sentence(tmp_path):
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    (tmp_path / "long").write_text("x" * 1001)
    (tmp_path / "loop").symlink_to("loop")
    cases = [
        ("missing", "There is no file"),
        ("latin", "it is not a text file in UTF-8: give the path of a list."),
        ("long", "has more than 0 KiB"),
        ("loop", "cannot be read"),
        (".", "Is a directory"),
        ("x" * 5000, "File name too long"),
        ("/dev/zero", "has more than"),
        ("a\0b", "cannot be read"),
    ]
    for name, says in cases:
        with pytest.raises(PctError) as error:
            read(tmp_path / name)
        assert says in str(error.value), name


@pytest.mark.timeout(20)
def test_a_pipe_is_read_and_one_without_a_writer_is_empty(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert read(tmp_path / "pipe") == ""
    out, into = os.pipe()  # as `<(command)` of a shell
    writer = threading.Timer(0.05, lambda: (os.write(into, b"one"), os.write(into, b" two"), os.close(into)))
    writer.start()
    assert read(f"/dev/fd/{out}") == "one two"
    os.close(out)
    writer.join()
