"""Which programs a shell command runs, whatever it holds."""

from __future__ import annotations

import sys

import pytest

from langroute.steps.commands import LONGEST, pipelines


def programs(command: str) -> list[str]:
    """Of each pipeline the first program."""
    return [stages[0].program for stages in pipelines(command) if stages[0].program]


@pytest.mark.parametrize(
    ("command", "run"),
    [
        ("pytest", ["pytest"]),
        ("cd a && b; c || d & e\nf", ["cd", "b", "c", "d", "e", "f"]),
        ("a | b |& c && d", ["a", "d"]),
        ("A=1 B='x y' ./bin/run --all", ["run"]),
        ('"/my tools/run" a', ["run"]),
        ("(cd a; b) && { c; }", ["cd", "b", "c"]),
        ("! a 2>&1 >out <in && b &>> log; > log c", ["a", "b", "c"]),
        ('echo \'a && b\' "c; \\" d" `e; f` \\; g', ["echo"]),
        ("find . -exec cat {} \\; | a", ["find"]),
        ("echo $(a; (b); c) ${X:-d;e} <(f; g) && h", ["echo", "h"]),
        ("a # b; don't\nc", ["a", "c"]),
        ("a#b; c", ["a#b", "c"]),
        ("a \\\n  b; c", ["a", "c"]),
        ("cat <<A <<-'B' | x && b\nc; d\nA\n\te\n\tB\nf", ["cat", "b", "f"]),
        ("cat <<A\nb; c", ["cat"]),
        ("cat <<< 'a; b'; c", ["cat", "c"]),
        ("if a; then b; else c; fi", ["a", "b", "c"]),
        ("echo 'a; b", ["echo"]),
        ("", []),
        (" ;; && ", []),
    ],
)
def test_the_programs_of_a_chain(command: str, run: list[str]) -> None:
    assert programs(command) == run


def test_no_character_ends_the_reading_of_a_command() -> None:
    spaces = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()]
    for character in [*spaces, *map(chr, range(128)), "\ud83d"]:
        assert programs(f"a {character} 'x' \"y\"\nb")[0] == "a", ascii(character)
        if character not in "'\"`(#":
            assert programs(f"a {character} x\nb")[-1] == "b", ascii(character)
    for space in spaces:
        assert programs(f"{space}cat{space}x;{space}b") == (["cat", "x", "b"] if space == "\n" else ["cat", "b"]), ascii(space)


@pytest.mark.parametrize(
    "piece", ["'", '"\\', "\\", "$(", "(", ")", "`", "${", "<<A\n", "<<A<<'", "A=b ", "&", "|&", "a\n", "#", "0", "\ud83d", "\x00"]
)
def test_a_hostile_command_is_read_to_its_bound(piece: str) -> None:
    command = piece * LONGEST
    assert programs(command) == programs(command[:LONGEST])
    assert len(programs(command)) <= LONGEST


def test_texts_of_many_names_are_passed_over() -> None:
    opened = "".join(f"<<a{place} " for place in range(2_000))
    assert programs(f"cat {opened}\nrm\n") == ["cat"]
