"""Tables of English for the normalization of questions: names, units, synonyms, usual ways to begin and to end a question.

Short on purpose: what is not in them is a difference, which costs a call of the model, and a wrong line would answer another question.
"""

from __future__ import annotations

import re

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

UNIT_SYMBOLS = {
    "GB": "gigabytes", "MB": "megabytes", "TB": "terabytes", "USD": "dollars", "EUR": "euros", "GBP": "pounds sterling", "JPY": "yen",
    "INR": "rupees",
}  # fmt: skip
"""Symbols of units, with the capitals they must have (`Mb` is another unit than `MB`) → the word for them."""

UNITS = {
    "kilometer": "km", "kilometers": "km", "kilometre": "km", "kilometres": "km", "kms": "km", "meters": "meter", "metres": "meter",
    "metre": "meter", "centimeter": "cm", "centimeters": "cm", "centimetre": "cm", "centimetres": "cm", "miles": "mile", "feet": "foot",
    "inches": "inch", "kilogram": "kg", "kilograms": "kg", "kilo": "kg", "kilos": "kg", "kgs": "kg", "grams": "gram", "pounds": "pound",
    "ounces": "ounce", "liter": "litre", "liters": "litre", "litres": "litre", "gallons": "gallon", "hours": "hour", "hrs": "hour",
    "minutes": "minute", "mins": "minute", "seconds": "second", "secs": "second", "days": "day", "weeks": "week", "months": "month",
    "years": "year", "percent": "%", "percentage": "%", "dollar": "$", "dollars": "$", "usd": "$", "euro": "€", "euros": "€", "eur": "€",
    "yen": "¥", "rupees": "₹", "gigabytes": "gigabyte", "megabytes": "megabyte", "terabytes": "terabyte",
}  # fmt: skip

MONTHS = {
    "jan": "january", "feb": "february", "apr": "april", "jun": "june", "jul": "july", "aug": "august", "sep": "september",
    "sept": "september", "oct": "october", "nov": "november", "dec": "december", "tue": "tuesday", "tues": "tuesday",
    "wed": "wednesday", "thu": "thursday", "thurs": "thursday",
}  # fmt: skip

PRESENT = frozenset(["is", "are", "am"])
"""Forms of one verb that differ with their subject alone. `was`, `were` and the like are not among them: they tell the time."""

GRAMMAR = dict.fromkeys(["a", "an", "the", "some"], "a") | dict.fromkeys(PRESENT, "is") | {"do": "do", "does": "do"}
"""Words of which only the kind counts, such as articles before a noun. That one is there is not the same as none ("few", "a few";
"vitamin", "vitamin a"; "is he invited", "he invited"), and `any` is none of them: it asks another thing than `some`."""

AUXILIARY = re.compile(r"^((?:(?:what|why|when|where|how|which [^ ]+|how (?:many|much) [^ ]+) )?)(?:do|does) (?=[^ ]+ [^ ])")
"""The beginning of a question with the `do` that English asks with. Any other is what somebody does ("What does Redis do?")."""

ABOUT_WORDS = frozenset(
    ["word", "words", "letters", "spell", "spelled", "spelling", "pronounce", "pronounced", "pronunciation", "rhyme", "rhymes", "synonym", "synonyms", "antonym", "antonyms", "translate", "translated", "translation", "say", "says", "syllable", "syllables", "plural", "singular", "tense", "conjugate", "mean", "means", "meaning", "define", "definition", "anagram", "anagrams", "palindrome", "vowel", "vowels", "consonant", "consonants", "alphabet", "alphabetical", "abbreviation", "acronym", "phrase", "term", "terms", "called", "slang", "etymology", "idiom", "idioms", "verb", "noun", "adjective", "adverb", "grammar", "grammatical", "sentence", "sentences", "character", "characters", "prefix", "suffix", "uppercase", "lowercase", "difference", "differences", "differ", "opposite", "opposites", "versus", "vs", "typo", "homophone", "homonym", "scrabble"]
)  # fmt: skip
"""Words of a question that is about words: any of its others may be one that is asked about, and stands as it is."""

HUMAN_LANGUAGES = frozenset(
    ["arabic", "bengali", "bulgarian", "chinese", "croatian", "czech", "danish", "dutch", "english", "estonian", "finnish", "french", "german", "greek", "hebrew", "hindi", "hungarian", "indonesian", "irish", "italian", "japanese", "korean", "latin", "latvian", "lithuanian", "malay", "mandarin", "norwegian", "persian", "polish", "portuguese", "romanian", "russian", "serbian", "slovak", "slovenian", "spanish", "swahili", "swedish", "tamil", "thai", "turkish", "ukrainian", "urdu", "vietnamese", "welsh"]
)  # fmt: skip
"""Names of languages, after which a question is about words too ("What is big in French?")."""

SYNONYMS = {
    "kid": "child", "kids": "children", "lady": "woman", "ladies": "women", "guy": "man", "guys": "men", "buy": "purchase",
    "commence": "start", "movie": "film", "movies": "films", "automobile": "car", "automobiles": "cars",
    "telephone": "phone", "cellphone": "phone", "bike": "bicycle", "bikes": "bicycles", "photo": "picture", "photos": "pictures", "photograph": "picture", "photographs": "pictures", "repair": "fix",
    "mend": "fix", "tv": "television", "fridge": "refrigerator", "exam": "examination", "ad": "advertisement", "ads": "advertisements",
    "info": "information", "couch": "sofa", "physician": "doctor",
    "assist": "help", "forbid": "prohibit", "forbidden": "prohibited",
    "modify": "change",
    "alter": "change", "reply": "answer", "respond": "answer", "colour": "color", "colours": "colors", "favourite": "favorite", "centre": "center", "organise": "organize",
    "analyse": "analyze", "cancelled": "canceled", "cancelling": "canceling", "licence": "license", "programme": "program",
    "mom": "mother", "mum": "mother", "dad": "father", "grandma": "grandmother",
    "grandpa": "grandfather", "attorney": "lawyer",
    "js": "javascript", "k8s": "kubernetes", "postgres": "postgresql", "py": "python", "config": "configuration",
    "repo": "repository", "repos": "repositories", "db": "database", "dbs": "databases", "docs": "documentation", "dir": "directory", "directory": "folder", "directories": "folders",
}  # fmt: skip
"""Words that are synonyms in every context. The list is short on purpose: words that are synonyms only sometimes, or whose synonym has
another meaning besides ("shop" and "store"), are left out."""

ENGLISH = frozenset(
    ["how", "what", "the", "where", "which", "when", "why", "does", "my", "your", "tell", "should", "could", "would", "with"]
)
"""English words that are not among the most common words of another language in Latin script."""

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
    # A greeting with nothing after it may be the first word of the question: "Well water is safe?"
    r"^(?:(?:hi|hello|hey|ok|okay|so|well|and|now|please|dear \w+|good (?:morning|evening|day|afternoon))(?: there| all| team)?"
    r"(?:\s?[,.!:;-]+\s*|\s+(?=(?:what|which|who|when|where|why|how|can|could|would|i|please|tell|give|show|explain|help|define|translate|describe|list|write|find|make|summari[sz]e)\b))"
    r"|(?:could|can|would|will) (?:you|u|someone|anyone|somebody|anybody)(?: please| kindly| possibly)? "
    r"(?:tell|show|give|help|explain to|let)(?: me| us)?(?: to)?(?: know| understand| see)?\b[\s,:]*"
    r"|(?:please )?(?:tell|let)(?: me| us)(?: know)?\b[\s,:]*"
    r"|do you (?:happen to )?know\b[\s,:]*|any(?:one|body) knows?\b[\s,:]*|i (?:was|am|have been|'m) (?:just )?wondering(?: if you could tell me| if you know)?\b[\s,:]*"
    r"|i (?:would|'d) (?:like|love|want) to (?:know|learn|understand|find out|ask)(?: about)?\b[\s,:]*|i (?:want|need|wish) to (?:know|learn|understand|find out|ask)\b[\s,:]*"
    r"|(?:i have a |a |my |quick |one )?(?:quick |simple |short )?question\s*[:,-]\s*|(?:just )?curious\s*[:,-]\s*|could you\b(?= please)\s*)+"
)
"""Openings of a question that carry no meaning."""

CLOSINGS = re.compile(
    # Start where punctuation begins, so that a run of it is read once.
    r"(?:(?<![\s,.!?;:-])[\s,.!?;:-]*\b(?:please|thanks(?: a lot| so much| in advance)?|thank you(?: very much| so much| in advance)?|cheers|thx|pls|plz"
    r"|if you (?:know|can|do not mind|don['’]t mind)|any (?:idea|ideas)))+[\s.!?]*$"
)

FRAMES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^(?:what is|which is) the (?:way|method|procedure|process) (?:to|for|of)\b", "how"),
        (r"^(?:what are|which are) the (?:steps|instructions) (?:to|for)\b", "how"),
        (
            r"^how (?:do|can|could|would|does) (?:i|we|one)(?: go about)?\b",
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
        (r"^how tall (?:is|are)\b", "height"),
        (r"^what is the length of\b", "length"),
        (r"^what is the weight of\b", "weight"),
        (r"^how heavy (?:is|are)\b", "weight"),
        (r"^how much (?:does|do) (.+?) weigh\b", r"weight \1"),
        (r"^(?:what is|which is) the population of\b", "population"),
        (r"^how many (?:people|inhabitants|residents) (?:live in|does) (.+?)(?: have)?$", r"population \1"),
        (r"^who (?:is|was) the (?:author|writer) of\b", "author"),
        (r"^(?:who wrote|who authored|by whom was (?=.+ written))\b", "author"),
        (r"^(?:what|which) (date|day) is\b", r"\1"),
        (r"^(?:what is|where is) the location of\b", "where is"),
        (r"^where (?:is|are) (.+?) (?:located|situated|found)\b", r"where is \1"),
        (r"^where (?:can|could|do|may) (?:i|we|one) find\b", "where is"),
        (r"^(?:for what reason|how come|what is the reason)\b", "why"),
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
"""Patterns of usual ways to begin a question → the form that replaces them."""

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
"""Irregular participles → their verbs."""
