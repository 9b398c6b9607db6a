"""Generator of two thousand pairs of questions, labelled as same or different.

Generated from frames and fillers, the same ones every time. `kind` says what was done to the question. The paraphrases contain ways of
asking that the guard knows and ways it does not; nothing here was taken out because of what the guard makes of it.
"""

from __future__ import annotations

import random
from itertools import pairwise
from typing import NamedTuple


class Pair(NamedTuple):
    a: str
    b: str
    same: bool
    kind: str


TASKS = [
    ("reset my password", "resetting my password", "get a new password"),
    ("cancel my subscription", "cancelling my subscription", "end my subscription"),
    ("export all contacts to a CSV file", "exporting all contacts to a CSV file", "get a CSV of my contacts"),
    ("sort a list in Python", "sorting a list in Python", "order the elements of a Python list"),
    ("merge two branches in Git", "merging two branches in Git", "combine two Git branches"),
    ("change my delivery address", "changing my delivery address", "have my parcel sent somewhere else"),
    ("invite a colleague to my team", "inviting a colleague to my team", "add a coworker to my team"),
    ("renew my passport in Germany", "renewing my passport in Germany", "get a new German passport"),
    ("enable two-factor authentication", "enabling two-factor authentication", "turn on 2FA"),
    ("bake bread without yeast", "baking bread without yeast", "make yeast-free bread"),
    ("remove a stain from a carpet", "removing a stain from a carpet", "clean a dirty carpet"),
    ("transfer money to another account", "transferring money to another account", "send money to a different account"),
    ("install Docker on Ubuntu", "installing Docker on Ubuntu", "get Docker running on Ubuntu"),
    ("write a cover letter", "writing a cover letter", "compose a letter of application"),
    ("connect my printer to the network", "connecting my printer to the network", "set up a network printer"),
    ("claim a refund for a late train", "claiming a refund for a late train", "get my money back when the train is late"),
    ("plant tomatoes in a pot", "planting tomatoes in a pot", "grow potted tomatoes"),
    ("delete a branch on GitHub", "deleting a branch on GitHub", "get rid of a GitHub branch"),
    ("update the billing information", "updating the billing information", "change how I pay"),
    ("block a phone number", "blocking a phone number", "stop someone from calling me"),
    ("open a bank account in Spain", "opening a bank account in Spain", "become a customer of a Spanish bank"),
    ("read a JSON file in Java", "reading a JSON file in Java", "parse JSON with Java"),
    ("download my invoices", "downloading my invoices", "get my bills"),
    ("pause the nightly backup", "pausing the nightly backup", "stop backups for a while"),
]

FACTS = [
    ("capital", "France", "Spain"), ("population", "Brazil", "Argentina"), ("currency", "Japan", "China"), ("president", "Chile", "Peru"),
    ("largest city", "Canada", "Australia"), ("official language", "Egypt", "Kenya"), ("national anthem", "Italy", "Greece"),
    ("area", "Texas", "Nevada"), ("founder", "Microsoft", "Oracle"), ("height", "Mount Everest", "Mont Blanc"),
    ("author", "Dracula", "Frankenstein"), ("boiling point", "ethanol", "methanol"), ("length", "the Nile", "the Danube"),
    ("climate", "Norway", "Sweden"), ("flag", "Ghana", "Togo"), ("director", "Jaws", "Alien"), ("melting point", "iron", "copper"),
    ("chief executive", "Siemens", "Bosch"), ("time zone", "Lisbon", "Madrid"), ("dialling code", "Poland", "Hungary"),
]  # fmt: skip

COSTS = [
    "a ticket to Rome",
    "the family plan",
    "an extra suitcase",
    "a new battery",
    "the annual pass",
    "a visa for Canada",
    "one litre of milk",
    "a night in the hostel",
]
PLACES = [
    "the nearest pharmacy",
    "the main station",
    "the settings menu",
    "the Louvre",
    "your office",
    "the log file",
    "the emergency exit",
    "the museum of modern art",
]
TERMS = [
    "inflation",
    "idempotent",
    "a mortgage",
    "photosynthesis",
    "gross margin",
    "a quorum",
    "technical debt",
    "a monad",
    "herd immunity",
    "net present value",
]
ACTORS = [
    ("the committee", "approved", "approves", "the budget"), ("the dog", "bitten", "bites", "the postman"), ("the company", "acquired", "acquires", "the supplier"),
    ("the teacher", "praised", "praises", "the student"), ("the police", "questioned", "questions", "the witness"), ("the bank", "sued", "sues", "the broker"),
]  # fmt: skip
NUMBERED = [
    ("How do I make pancakes for {} people?", "2", "4"), ("What is {} percent of 300?", "15", "50"), ("Show the sales of {}.", "2023", "2024"),
    ("Convert {} miles to kilometers.", "10", "12"), ("What is the dose for a child of {} kg?", "12", "21"), ("Is {} a prime number?", "91", "97"),
    ("Which films came out in {}?", "1994", "1995"), ("Book a table for {} guests on Friday.", "6", "8"), ("What changed in version {}?", "3.11", "3.12"),
    ("How many calories do {} eggs have?", "two", "three"), ("Pay {} dollars to Ann.", "10", "10000"), ("List the top {} customers.", "5", "10"),
    ("What does error {} mean?", "404", "403"), ("What is the square root of {}?", "144", "-144"), ("Give me {} ideas for a party.", "7", "17"),
]  # fmt: skip
DATED = [
    ("What happened on {}?", "March 3", "May 3"), ("Are you open on {}?", "Monday", "Sunday"), ("What is the weather in Oslo on {}?", "June 5", "July 5"),
    ("Which flights leave on {}?", "12 January", "21 January"), ("Is the office closed on {}?", "Christmas Eve", "New Year's Eve"),
    ("What is due by the end of {}?", "October", "November"), ("Who won the election of {}?", "1912", "1921"), ("Show my meetings for {}.", "tomorrow", "yesterday"),
]  # fmt: skip
UNITS = [
    ("How many {} are in a mile?", "feet", "yards"), ("How warm is it in {}?", "Celsius", "Fahrenheit"), ("What is 70 kg in {}?", "pounds", "stones"),
    ("How long is the film in {}?", "minutes", "hours"), ("How large is the file in {}?", "MB", "GB"), ("How deep is the lake in {}?", "metres", "fathoms"),
    ("Show the speed in {}.", "km per hour", "miles per hour"), ("Give the area in {}.", "hectares", "acres"),
]  # fmt: skip
CURRENCIES = [
    ("What is the price in {}?", "euros", "dollars"), ("Convert 50 {} to pounds.", "francs", "kronor"), ("How much is a coffee in {}?", "yen", "won"),
    ("Pay the invoice in {}.", "EUR", "USD"), ("Is 20 {} enough for lunch?", "€", "$"), ("What is the exchange rate of the {}?", "peso", "real"),
]  # fmt: skip
LANGUAGES = [
    ("How do you say thank you in {}?", "Finnish", "Estonian"), ("Translate this text into {}.", "Portuguese", "Spanish"), ("Write hello world in {}.", "C", "C++"),
    ("What does bald mean in {}?", "German", "English"), ("How do I reverse a string in {}?", "JavaScript", "Java"), ("Summarize the report in {}.", "French", "Flemish"),
]  # fmt: skip
REVERSED = [
    ("Which trains go from {} to {}?", "Paris", "London"), ("Convert {} to {}.", "Celsius", "Fahrenheit"), ("Did {} beat {} in the final?", "Brazil", "Italy"),
    ("Is {} taller than {}?", "Ann", "Bob"), ("How do I move data from {} to {}?", "MySQL", "PostgreSQL"), ("Does {} cause {}?", "stress", "insomnia"),
    ("Should I take {} before {}?", "vitamins", "breakfast"), ("Who owes more, {} or {} after the split?", "Carol", "Dan"), ("Can {} report to {}?", "managers", "directors"),
    ("Forward the mail of {} to {}.", "Eve", "Mallory"), ("Translate from {} into {}.", "Dutch", "Danish"), ("Is {} older than {}?", "Rome", "Athens"),
    ("Why did {} sue {}?", "Apple", "Samsung"), ("How many {} fit in a {}?", "cups", "jug"), ("Replace {} by {} in the file.", "tabs", "spaces"),
]  # fmt: skip
OPPOSITES = [
    ("How do I {} my contract?", "cancel", "renew"), ("How do I {} the alarm?", "enable", "disable"), ("What is the {} temperature in July?", "highest", "lowest"),
    ("Which cities are {} of the river?", "north", "south"), ("How can I {} weight?", "lose", "gain"), ("Show the {} ten orders.", "first", "last"),
    ("When does the shop {}?", "open", "close"), ("What happens {} the meeting?", "before", "after"), ("Which plan costs {} than 20 euros?", "more", "less"),
    ("How do I turn {} the heating?", "on", "off"), ("Who {} the vote?", "won", "lost"), ("How do I {} a file?", "compress", "decompress"),
    ("What are the {} of remote work?", "advantages", "disadvantages"), ("Is it {} to park here?", "legal", "illegal"), ("How do I {} a user to the group?", "add", "invite"),
    ("How do I {} an image?", "upload", "download"), ("Which foods are {} in iron?", "high", "low"), ("Did prices {} in 2020?", "rise", "fall"),
    ("What is the {} salary?", "minimum", "maximum"), ("How do I {} a door?", "lock", "unlock"), ("Where do I {} my luggage?", "drop off", "pick up"),
    ("Is the {} engine on fire?", "left", "right"), ("How do I {} the rows?", "merge", "split"), ("Can I {} the app?", "install", "uninstall"),
]  # fmt: skip
NEGATED = [
    ("Which foods are {}allowed on a keto diet?", "", "not "), ("Why is my order {}shipped?", "", "not "), ("Which countries have {}signed the treaty?", "", "not "),
    ("Can I travel {} a visa?", "with", "without"), ("Which users have {} logged in?", "already", "never"), ("Is the medicine {}safe for children?", "", "un"),
    ("Are dogs {}permitted in the park?", "", "not "), ("Does the warranty {}cover water damage?", "", "not "), ("Why should I {}use a VPN?", "", "not "),
    ("Which items are {}in stock?", "", "not "), ("Who did {}vote for the motion?", "", "not "), ("Show tickets that are {}resolved.", "", "not "),
    ("What can {}be recycled?", "", "not "), ("Which tests {} pass?", "do", "don't"), ("Is the museum {}open on holidays?", "", "n't it "),
]  # fmt: skip
NAMES = [
    ("Who is {}?", "Alan Turing", "Alan Kay"), ("What is the balance of {}?", "Ann Smith", "Ann Smyth"), ("When was {} born?", "Mozart", "Beethoven"),
    ("Open the file {}.", "report_v1.pdf", "report_v2.pdf"), ("What does {} do?", "`os.walk`", "`os.scandir`"), ("Who plays {} in the film?", "Batman", "Robin"),
    ("Is {} down?", "api.example.com", "www.example.com"), ("Deploy to {}.", "staging", "production"), ("Tell me about {}.", "Georgia", "Armenia"),
    ("Where is {} located?", "gate B12", "gate B21"), ("Assign the ticket to {}.", "Lee", "Leigh"), ("What is {}?", "IT", "it"), ("Describe {}.", "US law", "us law"),
]  # fmt: skip
POLITE = [
    "Hi, {}",
    "Hello! {}",
    "Please tell me, {}",
    "{} Thanks!",
    "{} Thank you very much.",
    "Quick question: {}",
    "Could you tell me, {}",
    "So, {}",
    "{} Any ideas?",
]


def _lower(question: str) -> str:
    return question[0].lower() + question[1:]


def paraphrases() -> list[Pair]:
    found: list[Pair] = []

    def same(kind: str, *forms: str) -> None:
        found.extend(Pair(forms[0], form, True, kind) for form in forms[1:])

    for task, gerund, free in TASKS:
        how = f"How do I {task}?"
        same(
            "frame",
            how,
            f"How can I {task}?",
            f"How to {task}?",
            f"What is the best way to {task}?",
            f"What's the way to {task}?",
            f"What are the steps to {task}?",
        )
        same(
            "polite",
            how,
            f"Could you tell me how to {task}, please?",
            f"hi, how do i {task}",
            f"I'd like to know how I can {task}.",
            f"Do you know how to {task}?",
        )
        same(
            "polite",
            how,
            f"Can you please help me {task}?",
            f"I need help with {gerund}.",
            f"Please explain how to {task}. Thanks in advance!",
        )
        same("spelling", how, how.lower(), how.rstrip("?"), how.upper(), f"  {how}  ".replace(" ", "  "))
        same(
            "free",
            how,
            f"What do I have to do if I want to {free}?",
            f"{gerund[0].upper()}{gerund[1:]}: how does it work?",
            f"How do I {free}?",
            f"I want to {task}. What should I do?",
        )
        if " in " in task or " on " in task:
            mark = " in " if " in " in task else " on "
            what, _, where = task.partition(mark)
            same("order", how, f"{mark.strip().capitalize()} {where}, how do I {what}?")
    for what, first, other in FACTS:
        for of in (first, other):
            question = f"What is the {what} of {of}?"
            same("frame", question, f"What's the {what} of {of}?", f"Tell me the {what} of {of}.", f"Which is the {what} of {of}?")
            same("possessive", question, f"What is {of}'s {what}?", f"{of}'s {what}?")
            same(
                "polite",
                question,
                f"Could you tell me what the {what} of {of} is?",
                f"Do you know the {what} of {of}?",
                *[form.format(_lower(question)) for form in random.Random(of).sample(POLITE, 3)],
            )
            same("free", question, f"I am looking for the {what} of {of}.", f"{of}: {what}?", f"What {what} does {of} have?")
    for thing in COSTS:
        same(
            "frame",
            f"How much does {thing} cost?",
            f"What is the price of {thing}?",
            f"What does {thing} cost?",
            f"how much is {thing}",
            f"What would I pay for {thing}?",
            f"Price of {thing}?",
        )
    for place in PLACES:
        same(
            "frame",
            f"Where is {place}?",
            f"Where is {place} located?",
            f"Can you tell me where {place} is?",
            f"Where can I find {place}?",
            f"How do I get to {place}?",
            f"What is the location of {place}?",
        )
    for term in TERMS:
        same(
            "frame",
            f"What does {term} mean?",
            f"What is the meaning of {term}?",
            f"What is meant by {term}?",
            f"Define {term}.",
            f"Explain {term} to me.",
            f"what's the definition of {term}",
        )
    for actor, did, does, whom in ACTORS:
        same("passive", f"Why {'does' if does else ''} {actor} {does[:-1]} {whom}?", f"Why is {whom} {did} by {actor}?")
        same("passive", f"{actor.capitalize()} {does} {whom}.", f"{whom.capitalize()} is {did} by {actor}.")
    for frame, one, other, *_ in NUMBERED + DATED + UNITS + LANGUAGES + CURRENCIES + OPPOSITES + NAMES:
        for value in (one, other):
            question = frame.format(value)
            same(
                "polite",
                question,
                *[
                    form.format(_lower(question) if "{" in form[3:] else question)
                    for form in random.Random(question).sample(POLITE, 2)
                ],
            )
    return found


def differences() -> list[Pair]:
    found: list[Pair] = []

    def differ(kind: str, a: str, b: str) -> None:
        found.append(Pair(a, b, False, kind))
        # The same difference between questions that are put in other ways.
        dice = random.Random(a + b)
        for form in dice.sample(POLITE, 3):
            found.append(Pair(form.format(_lower(a)), b, False, kind))
            found.append(Pair(a, dice.choice(POLITE).format(_lower(b)), False, kind))

    for frame, one, other in NUMBERED:
        differ("number", frame.format(one), frame.format(other))
    for frame, one, other in DATED:
        differ("date", frame.format(one), frame.format(other))
    for frame, one, other in UNITS:
        differ("unit", frame.format(one), frame.format(other))
    for frame, one, other in CURRENCIES:
        differ("currency", frame.format(one), frame.format(other))
    for frame, one, other in LANGUAGES:
        differ("language", frame.format(one), frame.format(other))
    for frame, one, other in REVERSED:
        differ("reversal", frame.format(one, other), frame.format(other, one))
    for frame, one, other in OPPOSITES:
        differ("opposite", frame.format(one), frame.format(other))
    for frame, one, other in NEGATED:
        differ("negation", frame.format(one), frame.format(other))
    for frame, one, other in NAMES:
        differ("name", frame.format(one), frame.format(other))
    for what, one, other in FACTS:
        differ("name", f"What is the {what} of {one}?", f"What is the {what} of {other}?")
        differ("tense", f"What is the {what} of {one}?", f"What was the {what} of {one}?")
    for (task, *_), (other, *_) in pairwise(TASKS):
        differ("task", f"How do I {task}?", f"How do I {other}?")
        differ("who", f"How do I {task}?", f"How did I {task}?")
        differ("negation", f"How do I {task}?", f"How do I not {task}?")
        differ("question", f"How do I {task}?", f"Why do I {task}?")
    for actor, did, does, whom in ACTORS:
        differ("reversal", f"{actor.capitalize()} {does} {whom}.", f"{whom.capitalize()} {does} {actor}.")
        differ("reversal", f"{actor.capitalize()} {does} {whom}.", f"{actor.capitalize()} is {did} by {whom}.")
    return found


def all_pairs() -> list[Pair]:
    """All of them, each once."""
    return list(dict.fromkeys(paraphrases() + differences()))
