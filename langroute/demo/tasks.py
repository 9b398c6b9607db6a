"""Tasks of the demo: small Python functions, from trivial to hard for a small model, each with its tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class DemoTask:
    """A function to write, and the results it must return.

    Example:
        >>> TASKS[0].name, TASKS[0].example
        ('add', 'add(2, 3) == 5')
    """

    signature: str
    """Signature of the function, such as `add(a, b)`."""

    wanted: str
    """Description of the function for the agent."""

    cases: tuple[tuple[tuple[Any, ...], Any], ...]
    """Arguments and the value to return. The agent is shown the first; the others are its tests."""

    @property
    def name(self) -> str:
        """Name of the function, and of the task."""
        return self.signature.partition("(")[0]

    @property
    def example(self) -> str:
        """The test case that the agent is shown."""
        arguments, expected = self.cases[0]
        return f"{self.name}({', '.join(map(repr, arguments))}) == {expected!r}"


TASKS: tuple[DemoTask, ...] = (
    DemoTask(
        "add(a, b)",
        "returns the sum of two numbers",
        (((2, 3), 5), ((0, 0), 0), ((-4, 1), -3), ((1.5, 2), 3.5)),
    ),
    DemoTask(
        "is_even(n)",
        "returns True if the integer n is even, else False",
        (((4,), True), ((7,), False), ((0,), True), ((-3,), False), ((-8,), True)),
    ),
    DemoTask(
        "largest(numbers)",
        "returns the largest number of a non-empty list",
        ((([3, 9, 2],), 9), (([5],), 5), (([-7, -2, -9],), -2), (([1, 1, 1],), 1)),
    ),
    DemoTask(
        "celsius(fahrenheit)",
        "converts degrees Fahrenheit to degrees Celsius",
        (((212,), 100), ((32,), 0), ((-40,), -40), ((98.6,), 37)),
    ),
    DemoTask(
        "average(numbers)",
        "returns the mean of a non-empty list of numbers",
        ((([1, 2, 3],), 2), (([5],), 5), (([1, 2],), 1.5), (([-1, 1],), 0)),
    ),
    DemoTask(
        "reverse_text(text)",
        "returns a text backwards",
        ((("abc",), "cba"), (("",), ""), (("A b",), "b A")),
    ),
    DemoTask(
        "evens(numbers)",
        "returns the even numbers of a list, in order",
        ((([1, 2, 3, 4],), [2, 4]), (([],), []), (([1, 3],), []), (([0, -2],), [0, -2])),
    ),
    DemoTask(
        "unique(items)",
        "returns the items of a list without duplicates, in the order of their first appearance",
        ((([1, 2, 1],), [1, 2]), (([],), []), ((["b", "a", "b"],), ["b", "a"])),
    ),
    DemoTask(
        "count_vowels(text)",
        "counts the vowels a, e, i, o, u in a text, in upper and lower case",
        ((("Banana",), 3), (("",), 0), (("AEIOU",), 5), (("rhythm",), 0), (("Hello World",), 3)),
    ),
    DemoTask(
        "is_palindrome(text)",
        "tells whether a text reads the same backwards, looking only at letters and digits and ignoring case",
        (
            (("Never odd or even",), True),
            (("hello",), False),
            (("A man, a plan, a canal: Panama!",), True),
            (("",), True),
            (("12 21",), True),
        ),
    ),
    DemoTask(
        "primes(n)",
        "returns the list of all prime numbers up to and including n, in order",
        (((10,), [2, 3, 5, 7]), ((1,), []), ((2,), [2]), ((29,), [2, 3, 5, 7, 11, 13, 17, 19, 23, 29])),
    ),
    DemoTask(
        "flatten(nested)",
        "returns a flat list of all the values in a list that holds lists in lists, however deep",
        ((([1, [2, [3, []]], 4],), [1, 2, 3, 4]), (([],), []), (([[[[5]]]],), [5]), ((["ab", ["c"]],), ["ab", "c"])),
    ),
    DemoTask(
        "roman(n)",
        "returns an integer from 1 to 3999 as a Roman numeral",
        (((14,), "XIV"), ((1,), "I"), ((40,), "XL"), ((1994,), "MCMXCIV"), ((3999,), "MMMCMXCIX")),
    ),
    DemoTask(
        "merge_intervals(intervals)",
        "merges all overlapping or touching intervals [start, end] of an unsorted list and returns the merged list, sorted by start",
        (
            (([[1, 3], [8, 10], [2, 6]],), [[1, 6], [8, 10]]),
            (([],), []),
            (([[1, 4], [4, 5]],), [[1, 5]]),
            (([[5, 6], [1, 10], [2, 3]],), [[1, 10]]),
        ),
    ),
    DemoTask(
        "edit_distance(a, b)",
        "returns the Levenshtein distance of two strings: the fewest insertions, deletions and substitutions of single characters",
        ((("kitten", "sitting"), 3), (("", ""), 0), (("abc", ""), 3), (("flaw", "lawn"), 2), (("same", "same"), 0)),
    ),
)
"""All tasks, easiest first."""

QUICK = ("is_even", "celsius", "evens", "count_vowels", "primes", "flatten")
"""Names of the tasks of a quick run, of every difficulty."""


SIZES = ("small", "middling", "large")
"""Labels of the tasks, as somebody who knows no model would put them on tickets: by their place among the tasks, which are in order."""


def size_of(task: DemoTask) -> str:
    """Return the label of a task.

    Example:
        >>> [size_of(task) for task in (TASKS[0], TASKS[-1])]
        ['small', 'large']
    """
    return SIZES[[one.name for one in TASKS].index(task.name) * len(SIZES) // len(TASKS)]


def tasks(names: Sequence[str] | None = None) -> tuple[DemoTask, ...]:
    """Return tasks by name, or all of them.

    Example:
        >>> [task.name for task in tasks(["roman"])]
        ['roman']
    """
    return TASKS if names is None else tuple(task for task in TASKS if task.name in names)
