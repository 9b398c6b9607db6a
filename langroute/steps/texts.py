"""Quick text analysis: language, share of code, and the step kind that a request asks for.

Only the beginning and the end of a long text are read, where requests stand. All results are heuristics that a policy may use as one
signal among others; none measures difficulty. Length is not used, because it is no measure of difficulty either.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from langroute.core.fast_dataclass import fast_dataclass

CLIP = 2000
"""Number of characters that are read at either end of a text."""

BEGINNING = 400
"""Number of characters by which the language is detected."""


@fast_dataclass
class TextFacts:
    """Facts about a text."""

    language: str | None
    """ISO 639-1 code; `None` if unknown."""

    code_share: float
    """Share of the characters that are code, 0 to 1."""

    intent: str | None
    """Step kind that the text explicitly asks for; `None` if there is none."""

    asks: bool
    """Whether it asks for something, in any language: more than a greeting or thanks."""


def facts_of(text: str) -> TextFacts:
    r"""Return the facts of a text.

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
    if len(text) > BEGINNING or "\n" in text:
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
    r"""Return the share of the characters in fenced blocks or in lines that look like code, 0 to 1.

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


@fast_dataclass
class _Intent:
    """How a kind of step is asked for."""

    kind: str
    pattern: str
    words: frozenset[str]
    """Words of which a text must contain at least one to match the pattern; a word lookup is many times faster than the pattern."""

    objects: frozenset[str] | None = None
    """Further words of which a text must contain at least one; `None` for no such condition."""


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


OPENING = 350
"""Most characters of a request; what follows them counts as material."""

ORDER = 200
"""Most characters of a last line that counts as an order."""

_VERBS = (
    "add|answer|break|categori[sz]e|change|classify|come up with|complete|condense|create|critique|debug|devise|draft|evaluate|extract|find"
    "|fix|generate|give|grade|implement|label|list|make|name|optimi[sz]e|outline|parse|patch|plan|port|proofread|propose|pull|recap|refactor"
    "|rename|return|review|rewrite|suggest|sum up|summari[sz]e|write"
)
"""Verbs that begin an order of a kind in `_INTENTS`."""

_OTHER_VERBS = (
    "advise|analy[sz]e|assess|ask|calculate|check|choose|cite|compare|compute|consider|convert|count|decide|define|describe|determine|discuss"
    "|do|elaborate|estimate|examine|explain|explore|figure|go|help|identify|improve|inspect|interpret|investigate|judge|justify|keep|let|look"
    "|predict|prepare|prove|provide|rank|rate|read|recommend|remember|reply|research|respond|say|scan|search|see|show|solve|spot|state|study"
    "|take|tell|test|think|translate|try|use|validate|verify|work"
)
"""Verbs that begin other orders."""

_QUESTIONS = "is|are|was|were|do|does|did|can|could|would|should|will|has|have|what|which|who|whose|whom|when|where|why|how"
"""Words that begin a question, in case the question mark is missing."""

_POLITE = (
    r"(?:(?:please|now|so|ok(?:ay)?|then|and|finally|first|next|thanks|kindly|hi|hello|hey|task|request|instructions?|question)\b[\s,:;.!-]*"
    r"|(?:can|could|would|will) you\b[\s,]*|(?:i|we)(?:'d| would) like (?:you )?to |(?:i|we) (?:want|need) you to "
    r"|(?:as|based on|from|for|given|using|in|with) [^,.:!?\n]{1,60}, *){0,4}"
)
_MATERIALS = "context|documents?|texts?|articles?|conversation|chat|transcript|messages?|input|contents?|source|e-?mails?|code|logs?|diff|report|notes"

# All of these are matched against lower-case text; `_regex` compiles one when a text first needs it.
_BEGINS = rf"[\W_]*{_POLITE}(?:(?:{_VERBS}|{_OTHER_VERBS}|{_QUESTIONS})\b|tl;?dr\b)"
"""Pattern of the beginning of a sentence that asks for something."""

_ORDERS = (
    rf"[\W_]*(?:{_POLITE}(?:(?:{_VERBS})\b(?! *[:=]| *\W*$)|tl;?dr\b)"
    rf"|(?:please|(?:can|could|would|will) you(?: please)?),? (?:{_VERBS})\b)"
)
"""Pattern of a line that begins with an order. A verb before a colon is a heading, and a verb alone is a word, unless the line says
please.
"""

_WRAPPED = (
    r"\s*(?:```|~~~|\"\"\"|<[a-z][\w-]{0,40}[^>\n]{0,100}>|> |(?:user|human|assistant|system|from|subject|date|to|sent): "
    rf"|(?:the |full |chat )?(?:{_MATERIALS})\b[^.?!:\n]{{0,40}}:\s*\n)"
)
"""Pattern of the beginning of a text that is all material: a fence, a tag, a quotation, a heading over it, a transcript, a mail."""

_STATES = (
    r"\W*(?:(?:the|an?|it|he|she|they|there|since|after|during)\b|(?:you are|i am|i'm|(?:i|we)(?:'ve| have|'m| are| had| got)|my)\b"
    r"|(?:(?!that |which |who )[\w'’.-]+ ){1,5}(?:is|are|was|were|has|had|will|shall|said|says)\b)"
)
"""Pattern of a sentence that states something and asks for nothing."""

_HANDS_OVER = r"\s*(?:here(?:'s|’s| is| are)|this is|these are)\b[^.:?!\n]{0,80}[.:]\s*?(?=\n)"
_GREETS = r"(?:hi|hello|hey|good (?:morning|evening|day|afternoon))\b[^.:?!\n]{0,40}[,!.]?"
_PARAGRAPHS = r"\n[^\S\n]*\n\s*"
_MATERIAL = rf"\n\s*(?:```|~~~|\"\"\"|<[a-z/]|>|---|===|\*\*\*)|\b(?:{_MATERIALS})\s*:[ \t]*\n"
"""Pattern of the place where material begins."""

_PHRASES = tuple(
    f" {phrase} "
    for phrase in (
        "please", "can you", "could you", "would you", "will you", "do you", "i d like", "i would like", "we d like", "we would like",
        "i want", "i need", "we want", "we need", "help me", "give me", "tell me", "let me", "let us", "task is to", "job is to", "goal is to",
    )
)  # fmt: skip
"""Phrases of a request, anywhere in a sentence."""

_SPEAKS = _set(
    "i me my mine we us our you your yours need needs want wants whether if how why what which following below attached above help question questions"
)
"""Words that address somebody. Beside them there may be a request that the patterns do not recognise."""

_ENDS = (".", "!", "?", ":", ";", "。", "！", "？", "：", "…")


def intent_of(text: str) -> str | None:
    """Return the step kind that a person's request explicitly asks for; only whole words count.

    The request is the first paragraph, before any pasted material, as far as it asks for something. If the beginning surely asks for
    nothing, the request is the last line or paragraph, provided that it is an order. Nothing else is read; in doubt the result is `None`,
    because the last lines of a document are not an order.

    Example:
        >>> intent_of("Please extract the invoice number."), intent_of("The train was planned for noon.")
        ('extract', None)
        >>> contract = "The lessee shall pay in advance. " * 100
        >>> print(intent_of("Is this contract sound?" + chr(10) + contract + chr(10) + "Summarize the text above."))
        None
        >>> intent_of(contract + chr(10) + "Summarize the text above.")
        'summarize'
    """
    if len(text) <= OPENING and "\n" not in text:
        return _named(text.lower())
    head, (body, last) = text[:OPENING].lower(), _parted(text)
    wrapped = _regex(_WRAPPED).match(head) is not None or _is_code(text[:OPENING].strip().partition("\n")[0])
    if not wrapped and _named(head) is not None:
        asked, kind = _opened(head)
        if asked:
            return kind
    last = last.lower()
    if len(last) > ORDER or _regex(_ORDERS).match(last) is None or (kind := _named(last)) is None:
        return None
    return kind if wrapped or _is_material(body[:OPENING]) else None


def job_of(prompt: str) -> str | None:
    """Return the step kind of a system prompt that names one narrow job, in what stands before its material.

    Example:
        >>> job_of("You write a title for this conversation in five words.")
        'title'
        >>> print(job_of("You are a tutor. Context:" + chr(10) + "summary of the last lesson"))
        None
    """
    return _named(_regex(_MATERIAL).split(prompt[: 2 * OPENING].lower(), maxsplit=1)[0])


@lru_cache(maxsize=16)
def _regex(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _named(low: str) -> str | None:
    return _intent(low, _WORD.findall(low))


def _asks(low: str) -> bool:
    """Return whether a lower-case text asks for something."""
    if "?" in low or "？" in low or "؟" in low:
        return True
    begins = _regex(_BEGINS).match
    if any(begins(sentence) is not None for sentence in _SENTENCE_ENDS.split(low)):
        return True
    words = f" {' '.join(_WORD.findall(low))} "
    return any(phrase in words for phrase in _PHRASES)


_SENTENCE_ENDS = re.compile(r"[.!:;\n]\s*")


def _opened(head: str) -> tuple[bool, str | None]:
    """Return whether the opening asks for something, and for which step kind.

    The first line that asks decides, because text after it may be pasted; so may text after a line that is not recognised.
    """
    for place, said in enumerate(_units(head)):
        if _asks(said) if place == 0 else _regex(_ORDERS).match(said) is not None:
            return True, _named(said)
        if not said.endswith(":") and _regex(_STATES).match(said) is None:
            break
    return False, None


def _units(head: str) -> list[str]:
    """Return the lines of the opening paragraph without greetings; a sentence that is broken across lines is joined."""
    head = _regex(_MATERIAL).split(head.lstrip(), maxsplit=1)[0]
    paragraphs = [paragraph.strip() for paragraph in _regex(_PARAGRAPHS).split(head) if paragraph.strip()]
    if len(paragraphs) > 1 and _regex(_GREETS).fullmatch(paragraphs[0]):
        del paragraphs[0]
    units: list[str] = []
    goes_on = False
    for line in paragraphs[0].splitlines() if paragraphs else ():
        if goes_on:
            units[-1] += f" {line.strip()}"
        else:
            units.append(line.strip())
        goes_on = not units[-1].endswith(_ENDS)
    return units


def _parted(text: str) -> tuple[str, str]:
    """Return a text and its possible closing order: the first line of a short last paragraph, else the last line."""
    whole = text.rstrip()
    tail = whole[-2 * OPENING :]
    paragraph = _regex(_PARAGRAPHS).split(tail)[-1]
    if len(paragraph) <= OPENING and len(paragraph) < len(tail):
        return whole[: -len(paragraph)], paragraph.partition("\n")[0].strip()
    last = tail.rpartition("\n")[2]
    return whole[: -len(last)], last.strip()


def _is_material(head: str) -> bool:
    """Return whether the beginning is material, not a request: it addresses nobody, and begins with a statement, title or code."""
    low = head.lower()
    handed = _regex(_HANDS_OVER).match(low)
    if handed is not None:
        head, low = head[handed.end() :], low[handed.end() :]
    line = head.strip().partition("\n")[0]
    if _is_code(line):
        return True
    if not _SPEAKS.isdisjoint(_WORD.findall(low)) or _asks(low):
        return False
    # A line that goes on and on without a sentence in it is no request either.
    long = len(_SENTENCE_ENDS.split(line, maxsplit=1)[0]) > ORDER
    return handed is not None or long or _regex(_STATES).match(line.lower()) is not None or _is_title(line)


def _is_code(line: str) -> bool:
    return code_share(line) > 0.5 and not _asks(line.lower())


def _is_title(line: str) -> bool:
    """Return whether a line is marked as a heading, or has capitals in all its longer words."""
    words = [word for word in _WORD.findall(line) if len(word) > 3]
    return line.startswith("#") or (bool(words) and all(word[0].isupper() for word in words) and not line.endswith(_ENDS))


def _intent(low: str, words: Sequence[str]) -> str | None:
    said = set(words)
    for intent in _INTENTS:
        if said.isdisjoint(intent.words) or (intent.objects is not None and said.isdisjoint(intent.objects)):
            continue
        if _pattern(intent.pattern).search(low):
            return intent.kind
    return None
