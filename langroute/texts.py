"""What can be told from a text at a glance: its language, how much of it is code, what it asks for?

Only the beginning and the end of a long text are read, where requests stand. Everything here is a guess that a policy may use as one
signal among others; nothing is a verdict on difficulty. Length is no difficulty either, and is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from langroute.quick import quick

CLIP = 2000
"""Characters that are read at either end of a text."""

BEGINNING = 400
"""Characters by which a language is told."""


@quick
@dataclass(frozen=True, slots=True)
class TextFacts:
    """What was told from a text."""

    language: str | None
    """ISO 639-1 code, `None` where it cannot be told."""

    code_share: float
    """Share of the characters that stand in code, 0 to 1."""

    intent: str | None
    """The step kind that the text asks for in so many words, `None` where it does not."""

    asks: bool
    """It asks for something, in any language: more than a greeting or thanks."""


def facts_of(text: str) -> TextFacts:
    r"""Read a text.

    Example:
        >>> facts_of("Summarize this thread in three sentences.").intent
        'summarize'
        >>> facts_of("Wie komme ich zum Bahnhof?").language
        'de'
        >>> facts_of("thanks!").asks
        False
    """
    return _facts(text if len(text) <= 2 * CLIP else f"{text[:CLIP]}\n{text[-CLIP:]}")


@lru_cache(maxsize=1024)
def _facts(text: str) -> TextFacts:
    if len(text) > BEGINNING:
        words, intent = _WORD.findall(text[:BEGINNING].lower()), intent_of(text)
    else:
        low = text.lower()
        words = _WORD.findall(low)
        intent = _intent(low, words)
    return TextFacts(_language(text, words), code_share(text), intent, _SMALL_TALK.fullmatch(text.strip()) is None)


# Language ------------------------------------------------------------------------------------------------------------

_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af\u1100-\u11ff]")),
    ("zh", re.compile(r"[\u4e00-\u9fff]")),
    ("uk", re.compile(r"[іїєґІЇЄҐ]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
)

_COMMON = {
    "en": "the and is are of to in you that for with this what how please can it on be from my was were which",
    "de": "der die das und ist ich nicht ein eine zu wie wir mit auf für bitte den dem im zum von sind kann",
    "fr": "le la les et est je ne pas un une des que pour dans vous avec sur au comment du qui cette être",
    "es": "el los las y es que un una de por para con cómo no en mi del qué está se puedo lo como",
    "it": "il lo gli e è che un una di per con come non in mi del cosa sono questo della nel posso",
    "pt": "o os as e é que um uma de por para com como não em meu do da você está se posso no",
    "nl": "de het een en is ik niet van te hoe met voor op dat zijn wat mijn kan naar er je deze",
    "pl": "i w nie na jest się to że z do jak co czy dla mi proszę o po są mój",
    "sv": "och det att är jag en ett som på för med hur inte kan av till vad min om den",
    "tr": "ve bir bu için ne nasıl mi mı ile çok da de var değil ben olarak daha olan",
}
_BY_WORD: dict[str, tuple[str, ...]] = {}
for _code, _words in _COMMON.items():
    for _word in _words.split():
        _BY_WORD[_word] = (*_BY_WORD.get(_word, ()), _code)

_WORD = re.compile(r"[^\W\d_]+")


def _language(text: str, words: Sequence[str]) -> str | None:
    if not text.isascii():
        for code, script in _SCRIPTS:
            # One borrowed sign makes no language.
            if len(script.findall(text[:BEGINNING])) >= 2:
                return code
    scores: dict[str, int] = {}
    for word in words:
        if word in _BY_WORD:
            for code in _BY_WORD[word]:
                scores[code] = scores.get(code, 0) + 1
    if not scores:
        return None
    best = max(scores.values())
    leading = [code for code, score in scores.items() if score == best]
    return leading[0] if len(leading) == 1 else None


# Code ----------------------------------------------------------------------------------------------------------------

_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_CODE_LINE = re.compile(
    r"^(?:\s*(?:def |class |import |from \w+ import |return\b|async |await |function |const |let |var |public |private |package "
    r"|#include|fn |func |impl |struct |elif |else:|try:|except|for \(|if \(|while \(|SELECT |INSERT |UPDATE |CREATE |[}\])]+[;,]?\s*$)"
    r"|.*[;{]\s*$|\s*[\w.]+\(.*\)\s*$|\s*[\w.\[\]]+\s*[+\-*/]?=\s*\S+.*$|[+-]{3} |@@ )"
)


def code_share(text: str) -> float:
    r"""Share of the characters that stand in fenced blocks or in lines that look like code, 0 to 1.

    Example:
        >>> code_share("Please review the plan."), code_share("def f(x):\n    return x\n")
        (0.0, 1.0)
    """
    if not text:
        return 0.0
    fenced = sum(len(block) for block in _FENCED.findall(text)) if "```" in text else 0
    rest = _FENCED.sub("", text) if fenced else text
    if "\n" not in rest and "(" not in rest and ";" not in rest and "{" not in rest:
        return fenced / len(text)
    lines = sum(len(line) + 1 for line in rest.split("\n") if _CODE_LINE.match(line))
    return min(1.0, (fenced + lines) / len(text))


# What it asks for ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Intent:
    """How a kind of step is asked for."""

    kind: str
    pattern: str
    words: frozenset[str]
    """The pattern matches no text without one of these words; looking for words is many times faster."""

    objects: frozenset[str] | None = None
    """Nor without one of these, where there are any."""


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EDITED = "function|method|class|code|script|program|module|bug|tests?|unit tests?|endpoint|query|regex|component|sql"
_ENDINGS = "py|js|ts|tsx|go|rs|java|c|cpp|rb|php|sh|sql"

_INTENTS = (
    _Intent(
        "title",
        r"\b(?:title|headline|name) (?:for|of) (?:this|the|our) (?:conversation|chat|thread|session|discussion)\b"
        r"|\b(?:generate|write|create|give|suggest)\b.{0,40}\b(?:title|headline)\b",
        _set("title headline name"),
    ),
    _Intent(
        "summarize",
        r"\b(?:summari[sz]e|sum up|summary of|tl;?dr|condense|recap|compact)\b",
        _set("summarize summarise sum summary tl tldr condense recap compact"),
    ),
    _Intent(
        "classify",
        r"\b(?:classify|categori[sz]e|which (?:category|label|class)|label (?:the|this|each)|sentiment of"
        r"|is this (?:spam|toxic|positive|negative)|answer (?:only )?(?:with )?(?:yes or no|true or false))\b",
        _set("classify categorize categorise category label class sentiment spam toxic positive negative yes true"),
    ),
    _Intent(
        "extract",
        r"\b(?:extract|pull out|parse out|list all (?:the )?(?:names|dates|numbers|emails|entities)"
        r"|return (?:only )?(?:a |the )?json)\b",
        _set("extract pull parse list json"),
    ),
    _Intent(
        "review",
        r"\b(?:review (?:the|this|my|our|that|these)|critique|find (?:the )?(?:bugs?|mistakes|errors|problems) in"
        r"|proofread|grade (?:the|this)|evaluate (?:the|this) (?:answer|response|code|output))\b",
        _set("review critique find proofread grade evaluate"),
    ),
    _Intent(
        "plan",
        r"\b(?:make|write|create|draft|propose|outline|devise|come up with)\b.{0,24}\bplan\b|\bplan (?:the|out|how|for|this)\b"
        r"|\bbreak (?:it|this|the task) down into (?:steps|subtasks)\b|\bstep[- ]by[- ]step plan\b",
        _set("plan break"),
    ),
    _Intent(
        "edit",
        r"\b(?:write|implement|fix|refactor|rewrite|complete|debug|port|optimi[sz]e|add|change|rename|patch)\b.{0,60}"
        rf"\b(?:{_EDITED}|\w+\.(?:{_ENDINGS}))\b",
        _set("write implement fix refactor rewrite complete debug port optimize optimise add change rename patch"),
        _set(f"{_EDITED}|{_ENDINGS}|test".replace("unit ", "").replace("?", "").replace("|", " ")),
    ),
)


@lru_cache(maxsize=len(_INTENTS))
def _pattern(text: str) -> re.Pattern[str]:
    # Compiled when a text first needs it, so that importing costs nothing.
    return re.compile(text)


_SMALL_TALK = re.compile(
    r"(?:(?:hi|hey|hello|hello there|thanks?|thank you|thx|ok(?:ay)?|great|cool|nice|perfect|bye|good (?:morning|evening|night|day)"
    r"|hallo|danke|merci|bonjour|salut|hola|gracias|ciao|grazie|obrigad[oa]|ありがとう|こんにちは|谢谢|你好|спасибо|привет)"
    r"(?: (?:so much|very much|a lot|all|everyone|again|then))?[\s,.!?~]*)+",
    re.IGNORECASE,
)


def intent_of(text: str) -> str | None:
    """The step kind a text asks for in so many words; words inside words do not count.

    Example:
        >>> intent_of("Please extract the invoice number."), intent_of("The train was planned for noon.")
        ('extract', None)
    """
    # The request stands at the beginning or at the end; what lies between is material.
    low = (text if len(text) <= 700 else f"{text[:350]}\n{text[-350:]}").lower()
    return _intent(low, _WORD.findall(low))


def _intent(low: str, words: Sequence[str]) -> str | None:
    said = set(words)
    for intent in _INTENTS:
        if said.isdisjoint(intent.words) or (intent.objects is not None and said.isdisjoint(intent.objects)):
            continue
        if _pattern(intent.pattern).search(low):
            return intent.kind
    return None
