"""What does a question say, whichever of the usual ways it is said in?

A question becomes a sequence of words in which politeness, articles and inflection are gone, the usual frames ("how can I", "what is the
way to") are one, possessives and passives are turned round, and a few plain synonyms are one word. Everything else stays, in its
order: names, numbers, units, prepositions, negations. Two questions with the same sequence ask the same; of any others this module says
nothing, and does not try to.

The words are English. In other languages only case, punctuation and spacing are evened out, which makes hits rarer and no less safe.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from langroute.texts import facts_of

PROTECTED = re.compile(r"`[^`]*`|\"[^\"]*\"|“[^”]*”|https?://\S+|\S+@\S+\.\w+|(?:[\w.-]*[/\\][\w./\\-]+)|\b\w+(?:[_.]\w+)+\b")
"""Quoted text, code, addresses, paths and identifiers: they mean what they are, letter by letter."""

WORD = re.compile(
    r"\x00\d+\x00|\x01\S+|(?<![^\W_])-?\d[\d,]*(?:\.\d+)?|\d[\d,]*(?:\.\d+)?|[€$£¥₹%°#&+*/=<>^|~§@]|[^\W\d_]+(?:['’][^\W\d_]+)*"
)

NAMES = re.compile(
    r"\b[A-Z]{2,}s?\b|(?<=[a-z,;:)] )(?:Will|May|March|Mark|Bill|Rose|Jobs|Polish|Turkey|China|Apple|Amazon|Orange|Shell|Target|Gap|Nice"
    r"|Reading|Bath|Cork|Mobile|Chad|Jordan|Georgia|Java|Swift|Go|Rust|Ruby|Basic|Excel|Word|Access|Teams|Windows|Office|Square|Visa"
    r"|Slack|Zoom|Meta|Oracle|Sage|Hope|Faith|Grace|Art|Frank|Pat|Sue|Rob|Jack|Dick|Guy|Lady|Mercury|Venus|Saturn|Galaxy|Internet)\b"
)
"""Acronyms, and names that are common words when they are not capitalised."""

NUMBER_WORDS = {
    name: str(value)
    for value, name in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
    )
} | {
    "twenty": "20", "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90",
    "hundred": "100", "thousand": "1000", "million": "1000000", "billion": "1000000000", "dozen": "12", "twice": "2x", "once": "1x",
}  # fmt: skip

UNITS = {
    "kilometer": "km", "kilometers": "km", "kilometre": "km", "kilometres": "km", "kms": "km", "meters": "meter", "metres": "meter",
    "metre": "meter", "centimeter": "cm", "centimeters": "cm", "centimetre": "cm", "centimetres": "cm", "miles": "mile", "feet": "foot",
    "inches": "inch", "kilogram": "kg", "kilograms": "kg", "kilo": "kg", "kilos": "kg", "kgs": "kg", "grams": "gram", "pounds": "pound",
    "ounces": "ounce", "liter": "litre", "liters": "litre", "litres": "litre", "gallons": "gallon", "hours": "hour", "hrs": "hour",
    "minutes": "minute", "mins": "minute", "seconds": "second", "secs": "second", "days": "day", "weeks": "week", "months": "month",
    "years": "year", "percent": "%", "percentage": "%", "dollar": "$", "dollars": "$", "usd": "$", "euro": "€", "euros": "€", "eur": "€",
    "gbp": "£", "yen": "¥", "jpy": "¥", "rupees": "₹", "inr": "₹", "celsius": "°c", "fahrenheit": "°f", "gb": "gigabyte",
    "gigabytes": "gigabyte", "mb": "megabyte", "megabytes": "megabyte", "tb": "terabyte", "terabytes": "terabyte",
}  # fmt: skip

MONTHS = {
    "jan": "january", "feb": "february", "apr": "april", "jun": "june", "jul": "july", "aug": "august", "sep": "september",
    "sept": "september", "oct": "october", "nov": "november", "dec": "december", "tue": "tuesday", "tues": "tuesday",
    "wed": "wednesday", "thu": "thursday", "thurs": "thursday",
}  # fmt: skip

FILLERS = frozenset(
    ["a", "an", "the", "some", "any", "please", "kindly", "actually", "just", "really", "basically", "simply", "exactly", "ok", "okay", "hi", "hello", "hey", "dear", "thanks", "thank", "is", "are", "am", "be", "being", "been", "do", "does", "of", "'s", "to", "it", "its"]
)  # fmt: skip
"""Words that carry no question of their own. `was`, `did`, `will` and the like are none of them: they say when."""

INNER_FILLERS = frozenset(["that", "which"])
"""Words that carry none inside a question; at its beginning they ask."""

SYNONYMS = {
    "kid": "child", "kids": "children", "lady": "woman", "ladies": "women", "guy": "man", "guys": "men", "buy": "purchase",
    "begin": "start", "commence": "start", "movie": "film", "movies": "films", "automobile": "car", "automobiles": "cars",
    "telephone": "phone", "cellphone": "phone", "bike": "bicycle", "bikes": "bicycles", "shop": "store", "shops": "stores",
    "large": "big", "photo": "picture", "photos": "pictures", "photograph": "picture", "photographs": "pictures", "repair": "fix",
    "mend": "fix", "display": "show", "quick": "fast", "quickly": "fast", "rapid": "fast", "rapidly": "fast",
    "speedy": "fast", "tv": "television", "fridge": "refrigerator", "exam": "examination", "ad": "advertisement", "ads": "advertisements",
    "info": "information", "apartment": "flat", "holiday": "vacation", "holidays": "vacations", "couch": "sofa", "physician": "doctor",
    "assist": "help", "obtain": "get", "receive": "get", "forbid": "prohibit", "forbidden": "prohibited",
    "select": "choose", "modify": "change",
    "alter": "change", "reply": "answer", "respond": "answer", "colour": "color", "colours": "colors", "favourite": "favorite", "centre": "center", "organise": "organize",
    "analyse": "analyze", "cancelled": "canceled", "cancelling": "canceling", "licence": "license", "programme": "program",
    "mom": "mother", "mum": "mother", "dad": "father", "grandma": "grandmother",
    "grandpa": "grandfather", "autumn": "fall", "metro": "subway", "taxi": "cab", "attorney": "lawyer",
    "javascript": "javascript", "js": "javascript", "k8s": "kubernetes", "postgres": "postgresql", "py": "python", "config": "configuration",
    "repo": "repository", "repos": "repositories", "db": "database", "dbs": "databases", "app": "application", "apps": "applications",
    "docs": "documentation", "dir": "directory", "directory": "folder", "directories": "folders",
}  # fmt: skip
"""Words that ask the same wherever they stand. Short on purpose: a word that is sometimes another's synonym is not here."""

ENGLISH = frozenset(
    ["how", "what", "the", "where", "which", "when", "why", "does", "my", "your", "tell", "should", "could", "would", "with"]
)
"""Words that no other language written with these letters has among its most common ones."""

CONTRACTIONS = (
    (re.compile(r"\b(can)['’]?not\b|\bcan['’]t\b"), "can not"),
    (re.compile(r"\bwon['’]t\b"), "will not"),
    (re.compile(r"\bshan['’]t\b"), "shall not"),
    (re.compile(r"n['’]t\b"), " not"),
    (re.compile(r"['’]re\b"), " are"),
    (re.compile(r"['’]m\b"), " am"),
    (re.compile(r"['’]ve\b"), " have"),
    (re.compile(r"['’]ll\b"), " will"),
    (re.compile(r"\b(what|where|who|when|how|why|that|there|it|he|she|which)['’]s\b"), r"\1 is"),
    (re.compile(r"\b(i|you|we|they|he|she)['’]d\b"), r"\1 would"),
)

OPENINGS = re.compile(
    r"^(?:(?:hi|hello|hey|ok|okay|so|well|and|now|please|dear \w+|good (?:morning|evening|day|afternoon))(?: there| all| team)?\b[\s,.!:;-]*"
    r"|(?:could|can|would|will) (?:you|u|someone|anyone|somebody|anybody)(?: please| kindly| possibly)? "
    r"(?:tell|show|give|help|explain to|let)(?: me| us)?(?: to)?(?: know| understand| see)?\b[\s,:]*"
    r"|(?:please )?(?:tell|let)(?: me| us)(?: know)?\b[\s,:]*"
    r"|do you (?:happen to )?know\b[\s,:]*|any(?:one|body) knows?\b[\s,:]*|i (?:was|am|have been|'m) (?:just )?wondering(?: if you could tell me| if you know)?\b[\s,:]*"
    r"|i (?:would|'d) (?:like|love|want) to (?:know|learn|understand|find out|ask)(?: about)?\b[\s,:]*|i (?:want|need|wish) to (?:know|learn|understand|find out|ask)\b[\s,:]*"
    r"|(?:i have a |a |my |quick |one )?(?:quick |simple |short )?question\s*[:,-]\s*|(?:just )?curious\s*[:,-]\s*|could you\b(?= please)\s*)+"
)
"""Ways to open a question that say nothing of it."""

CLOSINGS = re.compile(
    r"(?:[\s,.!?;:-]*\b(?:please|thanks(?: a lot| so much| in advance)?|thank you(?: very much| so much| in advance)?|cheers|thx|pls|plz"
    r"|if you (?:know|can|do not mind|don['’]t mind)|any (?:idea|ideas)))+[\s.!?]*$"
)

FRAMES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^(?:what is|which is) the (?:way|method|procedure|process) (?:to|for|of)\b", "how"),
        (r"^(?:what are|which are) the (?:steps|ways|instructions) (?:to|for)\b", "how"),
        (
            r"^how (?:do|can|could|would|should|does|might|shall|must) (?:i|you|we|one|someone|somebody|a person|people)(?: go about)?\b",
            "how",
        ),
        (r"^(?:what do|what should|what must) i (?:need to |have to )?do (?:to|in order to)\b", "how"),
        (r"^(?:is there|are there) (?:a|any|some) (?:way|ways|method|possibility) (?:to|of|for)\b", "can"),
        (r"^(?:is it|would it be) possible (?:for me |for us )?to\b", "can"),
        (r"^(?:can|could) (?:i|we|one)\b", "can"),
        (r"^(?:may (?:i|we|one)|(?:am i|are we|is one|is it) (?:allowed|permitted) to)\b", "may"),
        (r"^what does (.+?) (?:mean|stand for|signify)\b", r"meaning \1"),
        (r"^what is meant by\b", "meaning"),
        (r"^what is the (?:meaning|definition) of\b", "meaning"),
        (r"^(?:define|give (?:me )?(?:a|the) definition of)\b", "meaning"),
        (r"^(?:what is|how much is) the (?:price|cost) (?:of|for)\b", "price"),
        (r"^how much (?:does|do|would|will) (.+?) cost\b", r"price \1"),
        (r"^what (?:does|do) (.+?) cost\b", r"price \1"),
        (r"^what is the age of\b", "age"),
        (r"^how old (?:is|are)\b", "age"),
        (r"^what is the height of\b", "height"),
        (r"^how (?:tall|high) (?:is|are)\b", "height"),
        (r"^what is the length of\b", "length"),
        (r"^what is the (?:weight|mass) of\b", "weight"),
        (r"^how heavy (?:is|are)\b", "weight"),
        (r"^how much (?:does|do) (.+?) weigh\b", r"weight \1"),
        (r"^(?:what is|which is) the population of\b", "population"),
        (r"^how many (?:people|inhabitants|residents) (?:live in|does) (.+?)(?: have)?$", r"population \1"),
        (r"^who (?:is|was) the (?:author|writer) of\b", "author"),
        (r"^(?:who wrote|who authored|by whom was (?=.+ written))\b", "author"),
        (r"^(?:what|which) (?:date|day) (?:is|was)\b", "date"),
        (r"^(?:what is|where is) the location of\b", "where"),
        (r"^where (?:is|are) (.+?) (?:located|situated|found)\b", r"where \1"),
        (r"^where (?:can|could|do|may) (?:i|you|we|one) find\b", "where"),
        (r"^(?:for what reason|how come|what is the reason)\b", "why"),
        (r"^(?:at )?what time (?:is|are|does|do|will)\b", "when"),
        (r"^(?:show|give|get)(?: me| us)\b", "give"),
        (
            r"^(?:summarise|summarize|give (?:me )?(?:a|the) summary of|write (?:a|the) summary of|provide (?:a|the) summary of)\b",
            "summary",
        ),
        (r"^(?:translate|give (?:me )?(?:a|the) translation of)\b", "translate"),
        (r"^(?:what|which) (?:one )?is\b", "what"),
        (r"^(?:what|which) are\b", "what"),
    )
)
"""The usual ways to begin a question → one of them."""

IRREGULAR = {
    "drunk": "drink", "held": "hold", "eaten": "eat", "ridden": "ride", "thrown": "throw", "driven": "drive", "written": "write",
    "sung": "sing", "worn": "wear", "shown": "show", "taken": "take", "given": "give", "broken": "break", "chosen": "choose",
    "spoken": "speak", "made": "make", "cut": "cut", "put": "put", "shot": "shoot", "caught": "catch", "fed": "feed", "built": "build",
    "sold": "sell", "bought": "buy", "brought": "bring", "sent": "send", "kept": "keep", "led": "lead", "read": "read", "hit": "hit",
    "swept": "sweep", "swum": "swim", "drawn": "draw", "flown": "fly", "known": "know", "grown": "grow", "blown": "blow", "torn": "tear",
    "beaten": "beat", "bitten": "bite", "hidden": "hide", "stolen": "steal", "frozen": "freeze", "done": "do", "seen": "see",
    "paid": "pay", "found": "find", "told": "tell", "taught": "teach", "thought": "think", "run": "run", "won": "win", "lost": "lose",
    "spread": "spread", "split": "split", "shut": "shut", "set": "set", "let": "let", "hung": "hang", "dug": "dig", "wrung": "wring",
    "woven": "weave", "shaken": "shake", "poured": "pour",
}  # fmt: skip
"""Participles that no rule finds."""

_PASSIVE = re.compile(
    r"^(?P<object>(?:[^\W_]+[ -]){1,7}?)(?P<be>is|are|was|were)(?P<not> not)?(?: being)? (?P<verb>[a-z]+(?:ed|en|wn|nk|ng|ld|de|ut|ot|ht|nt|lt|pt|id)) "
    r"by (?P<subject>(?:an?|the|some|one|two|three|four|my|our|his|her|their|several|many|another|[a-z]+'s) (?:[a-z]+ ){0,2}?[a-z]+)(?P<rest>$| (?:in|on|at|with|from|near|into|to|for|who|that|which|through|over|under|behind|and|by) .*$)"
)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")
_FRONTED = re.compile(r"^((?:in|on|for|with|using|at|from|under|within|during) [^,?!.;:]{1,40}), (.{6,})$")
_POSSESSIVE = re.compile(
    r"\b((?:[^\W_]+[ -]?){1})['’]s ([^\W\d_]+(?: [^\W\d_]+)?)(?=$| (?:is|are|was|were|in|on|at|of|to|for|and|or|with)\b)"
)


def stem(word: str) -> str:
    """A word without the endings of verbs in progress; plurals and past tenses stay, for they say something else.

    Example:
        >>> stem("frying") == stem("fry"), stem("running") == stem("run"), stem("files") == stem("file")
        (True, True, False)
    """
    if len(word) > 5 and word.endswith("ing") and re.search(r"[aeiouy]", word[:-3]):
        word = word[:-3]
        if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls":
            word = word[:-1]
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 2 and word.endswith("y") else word


def participle(word: str) -> str:
    """The verb that a participle comes from, as `stem` would give it."""
    if word in IRREGULAR:
        return stem(IRREGULAR[word])
    if word.endswith("ied"):
        return word[:-3] + "i"
    if word.endswith("ed"):
        word = word[:-2]
        if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls":
            word = word[:-1]
    elif word.endswith("en"):
        word = word[:-2]
    return stem(word) if not word.endswith("e") else word[:-1]


@lru_cache(maxsize=4096)
def wording(text: str) -> tuple[str, ...]:
    """A question as the sequence of words that decides what it asks.

    Example:
        >>> wording("Hi, could you tell me how I can reset my password, please?")
        ('how', 'reset', 'my', 'password')
        >>> wording("How do I reset my password?")
        ('how', 'reset', 'my', 'password')
        >>> wording("Some food is being fried by a woman") == wording("A woman is frying some food")
        True
        >>> wording("flights from Oslo to Rome") == wording("flights from Rome to Oslo")
        False
    """
    text = _CONTROLS.sub(" ", unicodedata.normalize("NFC", text)).strip()
    kept: list[str] = []

    def protect(found: re.Match[str]) -> str:
        piece = found.group().rstrip(".,;:!?")
        if not piece or piece.casefold() in UNITS:
            return found.group()
        kept.append(piece.strip('`"“”') if piece[0] in '`"“' else piece)
        return f" \x00{len(kept) - 1}\x00 " + found.group()[len(piece) :]

    text = re.sub(r"\s+", " ", PROTECTED.sub(protect, text)).strip()
    if not text.isupper():
        text = NAMES.sub(protect, text)
    lowered = re.sub(r"\s+", " ", text).casefold().strip()
    if not _english(text):
        return tuple(_spelled(word, kept) for word in WORD.findall(lowered))
    for pattern, replacement in CONTRACTIONS:
        lowered = pattern.sub(replacement, lowered)
    lowered = CLOSINGS.sub("", lowered).rstrip(" .!?;:,")
    lowered = re.sub(r"^there (?:is|are) ", "", _FRONTED.sub(r"\2 \1", lowered))
    lowered = _reordered(OPENINGS.sub("", lowered))
    for pattern, replacement in FRAMES:
        changed = pattern.sub(replacement, lowered, count=1)
        if changed != lowered:
            lowered = changed
            break
    lowered = _POSSESSIVE.sub(r"\2 of \1", lowered)
    lowered = _active(lowered)
    words: list[str] = []
    for word in WORD.findall(lowered):
        if word[0] == "\x00":
            words.append("\x00" + kept[int(word[1:-1])])
        elif word[0] == "\x01":
            words.append(word[1:])
        elif word[-1].isdigit():
            words.append(_number(word))
        elif word not in FILLERS and not (words and word in INNER_FILLERS):
            words.append(_plain(word))
    return tuple(words[1:] if _opens_with_article(words) else words)


def _english(text: str) -> bool:
    """The rules here may be used: the text is in English, or too short to tell and has no letters that English lacks."""
    if text.isascii() and not ENGLISH.isdisjoint(re.findall(r"[a-z]+", text.casefold())):
        return True
    language = facts_of(text).language
    return language == "en" or (language is None and text.isascii())


def _spelled(word: str, kept: list[str]) -> str:
    return "\x00" + kept[int(word[1:-1])] if word[0] == "\x00" else word


def _reordered(text: str) -> str:
    """An embedded question ("how I can", "where the station is") in the order of a direct one."""
    text = re.sub(r"^how (i|you|we|one) (can|could|should|would|might|must)\b", r"how \2 \1", text)
    text = re.sub(r"^how to\b", "how do i", text)
    return re.sub(r"^(where|what|who|when) (?!is |are |was |were )((?:[^\W_]+ ){0,4}?[^\W_]+) (is|are)$", r"\1 \3 \2", text)


def _active(text: str) -> str:
    """A short passive sentence turned round."""
    found = _PASSIVE.match(text)
    if found is None:
        return text
    when = "" if found["be"] in ("is", "are") else "was "
    verb = participle(found["verb"])
    return f"{found['subject']} {when}{(found['not'] or '').strip()} \x01{verb} {found['object'].strip()}{found['rest']}"


def _plain(word: str) -> str:
    word = word.replace("’", "'")
    if word in NUMBER_WORDS:
        return NUMBER_WORDS[word]
    if word in UNITS:
        return UNITS[word]
    if word in MONTHS:
        return MONTHS[word]
    if word in ("no", "never", "nobody", "none", "without", "nor", "neither", "cannot"):
        return "not" if word in ("no", "cannot") else word
    return stem(SYNONYMS.get(word, word))


def _number(text: str) -> str:
    text = text.replace(",", "")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    sign, text = ("-", text[1:]) if text[0] == "-" else ("", text)
    return sign + (text.lstrip("0") or "0")


def _opens_with_article(words: list[str]) -> bool:
    """`One man is singing`: an article rather than a number, where it opens a sentence before a plain word."""
    return len(words) > 2 and words[0] == "1" and words[1].isalpha()
