"""Words of refusals, by language.

A refusal is a sentence in which the assistant says of itself that it cannot or will not (`unable`), followed by a word for helping
(`help`), or by one for doing (`deed`) with an object that is the request itself: "this", "such content", "your request" (`request`).
An object of its own ("order 7") makes it a report and no refusal. `opening` is what may stand before that: an apology, thanks, sympathy.
`persona` names the assistant's nature ("as an AI"), after which `unable` alone refuses.

Source: the grammar of each language (first person of can, may and will; helping, doing, answering), written down in November 2026;
measured on first sentences of refusals in public repositories, which are in the tests and not here. All patterns are matched against
lower-case text without contractions, of at most `refusals.CLAUSE` characters.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RefusalWords:
    """Patterns of one language."""

    marks: tuple[str, ...]
    """Pieces of text of which every refusal has one; a search for them is many times faster than the patterns."""

    opening: str
    unable: str
    help: str
    deed: str
    request: str
    persona: str = r"(?!)"
    declines: str = r"(?!)"
    """A sentence that refuses without any of the others."""

    reach: int = 200
    """Most characters between `unable` and the verb."""

    before: int = 8
    """Most characters before `unable` that need not be an opening: languages that put the object first have more."""


_EN_ABLE = r"(?:able|allowed|permitted|willing|comfortable|going|programmed|designed|authori[sz]ed|equipped|trained|qualified|in a position|here)"
_EN_ASKED = (
    r"(?:requests?|information|instructions?|guidance|advice|assistance|help|content|messages?|questions?|quer(?:y|ies)|prompts?|topics?|(?:kind|type|sort)s?"
    r"|tasks?|matters?|subjects?|conversations?|text|material|one|opinions?|role ?plays?)\b"
)

LANGUAGES: dict[str, RefusalWords] = {
    "en": RefusalWords(
        marks=(
            "not",
            "n't",
            "n’t",
            "unable",
            "refus",
            "declin",
            "violat",
            "beyond",
            "outside",
            "against",
            "prevent",
            "prohibit",
            "forbid",
        ),
        opening=r"(?:(?:i|we) (?:am |are |do |must )?(?:\w+ )?(?:sorry|afraid|apologi[sz]e|regret|understand|appreciate|hear)|(?:my |our )?(?:sincere )?apologies"
        r"|sorry|unfortunately|regrettably|while i|thank|thanks|hi\b|hello|no\b)",
        unable=r"(?:\b(?:i|we) (?:(?:\w+ly|just|also|still|do) ){0,2}(?:can not|will not|must not|may not)(?: and (?:can|will) not)?"
        rf"|\b(?:i|we) (?:(?:\w+ly|just|also|still) ){{0,2}}(?:(?:am|are|will|would) (?:not be |not )?(?:unable|{_EN_ABLE})"
        r"|do not feel comfortable|(?:do|can) not (?:have|hold|possess)|(?:would )?(?:rather|prefer) not|(?:do|can) not (?:think|believe) (?:that )?i (?:can|should))"
        rf"|\bnot something (?:that )?(?:i|we) (?:can|will|am {_EN_ABLE}|are {_EN_ABLE})|^(?:unable|not able|can not)\b)"
        rf"(?: be)?(?: {_EN_ABLE})?(?: to| doing)?(?: (?:(?!comply|reply|apply)\w+ly|in good conscience|even)){{0,2}}",
        help=r"^(?: be)?(?: of)?(?: any)? (?:help|assist|comply|oblige|accommodate|helping|assisting|complying)\w*\b(?! but\b| \w+self\b| \w+ing\b)",
        deed=r"^(?: (?:do|doing|fulfil\w*|complete|completing|answer\w*|provid\w+|generat\w+|creat\w+|writ\w+|produc\w+|discuss\w*|shar\w+|giv\w+|offer\w*"
        r"|process\w*|respond\w*|engag\w+|support\w*|facilitat\w+|carry\w*|proceed\w*|continu\w+|participat\w+|talk\w*|comment\w*|execut\w+|perform\w*"
        r"|honou?r\w*|grant\w*|condon\w+|encourag\w+|promot\w+|disclos\w+|reveal\w*|handl\w+|speculat\w+|role ?play\w*)\b|$)",
        # "This film" is something in particular; "this" alone, "this topic" and "such a film" are what was asked.
        request=rf"^ \w+(?: \w+){{0,3}}? (?:(?:that|this|it|those|these)(?:$|,| (?:for you|because|as|since|with you|here|at all|in any)\b| {_EN_ASKED})|such\b"
        rf"|(?:(?:your|any|the|an?|that|this|these|those) (?:\w+ )?)?{_EN_ASKED}|anything|(?:medical|legal|financial|personal) \w+)",
        declines=r"\b(?:i|we) (?:(?:must|have to|need to|will have to|am going to have to|\w+ly) ){0,3}(?:decline|refuse)\b(?! to (?:believe|accept))"
        r"|\b(?:my|our) (?:\w+ )?(?:guidelines|policies|policy|programming|principles|instructions) (?:do not|does not|prevents?|prohibits?|forbids?)\b"
        r"|\b(?:beyond|outside) (?:what (?:i|we) (?:can|am able)|(?:of )?my (?:scope|capabilities|abilities))"
        r"|\b(?:against|violat\w+) (?:my|our) (?:\w+ ){0,2}(?:guidelines|polic\w+|programming|principles|values)",
        persona=r"\b(?:as|am|am just|am only|being) an? (?:\w+ ){0,3}?(?:ai|language model|llm|chatbot)\b",
        reach=80,
    ),
    "de": RefusalWords(
        marks=("nicht", "kein", "ablehn", "verweiger"),
        opening=r"(?:es tut (?:mir|uns)|tut mir|entschuldig|verzeih|sorry|leider|bedaure|ich bedau|ich verstehe|danke|vielen dank|hallo|nein\b)",
        unable=r"\b(?:ich|wir)\b.{0,60}?\b(?:nichts?|keine?[nrs]?)\b|\b(?:ich|wir) (?:muss|müssen)\b.{0,40}\b(?:ablehnen|verweigern)",
        help=r"(?:helfen|weiterhelfen|behilflich|unterstützen|nachkommen|assistieren|dienen|ablehnen|verweigern)\b",
        deed=r"\b(?:tun|machen|beantworten|erfüllen|bearbeiten|geben|ausführen|antworten|sprechen|bereitstellen|erstellen|schreiben|liefern"
        r"|durchführen|anbieten|leisten|teilen|weitergeben|äußern|sagen|befolgen|umsetzen)\b",
        request=r"\b(?:das|dies\w*|so ?etwas|solche\w*|darauf|darüber|dazu|dabei|damit|\w*anfrage|bitte|informationen|auskunft|auskünfte|anleitung\w*|anweisung\w*"
        r"|ratschläge|rat|inhalte|nachricht|frage\w*)\b",
        persona=r"\bals (?:ki|ai|künstliche|sprachmodell|(?:ki|ai)\S+|\w*assistent\w*)\b",
        before=40,
    ),
    "nl": RefusalWords(
        marks=("niet", "geen"),
        opening=r"(?:het spijt|sorry|helaas|excuses|mijn excuses|ik begrijp|bedankt|hallo|nee\b)",
        unable=r"\b(?:ik|we|wij)\b.{0,60}?\b(?:niet|geen)\b",
        help=r"\b(?:helpen|assisteren|ondersteunen|bijstaan|meewerken|voldoen)\b",
        deed=r"\b(?:doen|beantwoorden|geven|uitvoeren|verstrekken|delen|schrijven|maken|genereren|bespreken|ingaan|verwerken)\b",
        request=r"\b(?:dat|dit|die|deze|daar\w*|hier\w*|zulke|zoiets|verzoek|vraag|bericht|informatie|instructies|advies)\b",
        persona=r"\bals (?:ai|taalmodel|kunstmatige|\w*assistent)\b",
        before=40,
    ),
    "sv": RefusalWords(
        marks=("inte", "ikke"),
        # Swedish, Danish and Norwegian.
        opening=r"(?:förlåt|ursäkta|tyvärr|jag är ledsen|jag beklagar|beklager|desværre|dessverre|undskyld|unnskyld|jeg er ked|jeg beklager|tack|hej|nej\b)",
        unable=r"\b(?:jag|jeg|vi)\b.{0,40}?\b(?:inte|ikke|ikkje)\b|\b(?:kan|vil) (?:jag|jeg|vi)\b.{0,30}?\b(?:inte|ikke)\b",
        help=r"\b(?:hjälpa|hjälpa|hjælpe|hjelpe|bistå|assistera|assistere)\b",
        deed=r"\b(?:göra|gøre|gjøre|svara|svare|ge|give|gi|besvara|besvare|utföra|utføre|udføre|skriva|skrive|dela|dele|diskutera)\b",
        request=r"\b(?:det|detta|dette|den|denna|denne|sådant|sådan\w*|slik\w*|begäran|meddelande|fråga\w*|spørgsmål\w*|spørsmål\w*|anmodning|forespørsel|information|informasjon|instruktioner)\b",
        persona=r"\bsom (?:en )?(?:ai|språkmodell|sprogmodel)\b",
        before=30,
    ),
    "fr": RefusalWords(
        marks=("ne ", "n'", "n’", "refus", "déclin", "imposs"),
        opening=r"(?:(?:je suis |nous sommes |vraiment )*(?:désolé|navré)|pardon|excuse|malheureusement|je regrette|je m.excuse|je comprends|toutes mes excuses|merci"
        r"|bonjour|non\b)",
        unable=r"\b(?:je|nous) (?:ne |n')(?:\w+ ){0,2}?(?:peux|puis|pouvons|pourrai|pourrais|suis|sommes|veux|souhaite)\b(?: pas| point)?"
        r"|\bil (?:ne )?m'est (?:pas possible|impossible)|\bje (?:dois |me dois de )?(?:refuse\w*|décline\w*)|\bde ne (?:pas )?pouvoir",
        help=r"\b(?:aider|assister|accéder|refuse\w*|décline\w*|satisfaire|accompagner)\b",
        deed=r"\b(?:faire|répondre|fournir|donner|traiter|effectuer|générer|créer|écrire|produire|discuter|partager|parler|exécuter|réaliser|donner suite)\b",
        request=r"\b(?:cela|ça|ceci|cette|ce|ces|y|tels?|telles?|telle|votre|ta|demande|requête|question|message|informations?|instructions|conseils?)\b",
        persona=r"\ben tant qu",
        reach=60,
    ),
    "es": RefusalWords(
        marks=("no ", "rechazar", "declinar"),
        opening=r"(?:lo siento|lo lamento|lamento|perdón|perdona|disculp|mis disculpas|desafortunadamente|lamentablemente|por desgracia|entiendo|comprendo|gracias|hola|no,)",
        unable=r"\bno (?:\w+ ){0,1}?(?:puedo|podemos|podré|podría|debo|voy a|quiero|poder|estoy|soy capaz|me es posible|me está permitido)\b|\b(?:debo|tengo que) (?:rechazar|declinar)",
        help=r"\b(?:ayudar\w*|asistir\w*|colaborar|apoyar\w*|complacer\w*|atender\w*|cumplir|rechazar|declinar)\b",
        deed=r"\b(?:hacer\w*|responder\w*|contestar\w*|proporcionar\w*|dar\w*|ofrecer\w*|brindar\w*|generar\w*|crear\w*|escribir\w*|discutir\w*|compartir\w*|hablar|realizar\w*"
        r"|procesar\w*|facilitar\w*|continuar)\b",
        request=r"(?:\b(?:eso|esto|ello|ese|esa|este|esta|esos|esas|estos|estas|tal|tales|tu|su|solicitud|petición|pregunta|mensaje|información|instrucciones|consejos?)\b|(?:ar|er|ir)lo\b)",
        persona=r"\bcomo (?:una? )?(?:ia|modelo|inteligencia|asistente)\b",
        reach=60,
    ),
    "it": RefusalWords(
        marks=("non ", "rifiut", "declin"),
        opening=r"(?:mi (?:dispiace|spiace|scuso)|scusa|scusi|spiacente|sono spiacente|purtroppo|capisco|grazie|ciao|no,)",
        unable=r"\bnon (?:\w+ ){0,1}?(?:posso|possiamo|potrò|potrei|sono in grado|siamo in grado|mi è possibile|intendo|voglio|poter)\b|\b(?:devo|debbo) (?:rifiutare|declinare)",
        help=r"\b(?:aiutar\w*|assister\w*|supportar\w*|esser\w+ (?:utile|d'aiuto)|accontentar\w*|rifiutare|declinare|soddisfare)\b",
        deed=r"\b(?:far\w*|risponder\w*|fornir\w*|dar\w*|offrir\w*|generar\w*|crear\w*|scriver\w*|discuter\w*|condivider\w*|parlar\w*|eseguir\w*|elaborar\w*)\b",
        request=r"(?:\b(?:questo|questa|quello|ciò|questi|queste|tale|tali|tua|sua|richiesta|domanda|messaggio|informazioni|istruzioni|consigli)\b|(?:ar|er|ir)lo\b)",
        persona=r"\b(?:come|in quanto) (?:una? )?(?:ia|ai|modello|intelligenza|assistente)\b",
        reach=60,
    ),
    "pt": RefusalWords(
        marks=("não", "recus", "declin"),
        opening=r"(?:desculp|sinto muito|lamento|perdão|infelizmente|peço desculpa|compreendo|entendo|obrigad|olá|não,)",
        unable=r"\bnão (?:\w+ ){0,1}?(?:posso|podemos|poderei|poderia|consigo|estou|sou capaz|vou|me é possível|devo|quero)\b|\b(?:devo|tenho que|preciso) (?:recusar|declinar)",
        help=r"\b(?:ajud\w+|auxili\w+|assist\w+|apoiar\w*|atender\w*|cumprir|recusar|declinar)\b",
        deed=r"\b(?:faz\w+|respond\w+|fornec\w+|dar\w*|oferec\w+|ger\w+|cri\w+|escrev\w+|discut\w+|compartilh\w+|partilh\w+|falar|realiz\w+|process\w+|continuar)\b",
        request=r"\b(?:isso|isto|esse|essa|este|esta|disso|nisso|tal|tais|seu|sua|solicitação|pedido|pergunta|mensagem|informações|instruções|conselhos?|fazê-lo)\b",
        persona=r"\bcomo (?:uma? )?(?:ia|modelo|inteligência|assistente)\b",
        reach=60,
    ),
    "pl": RefusalWords(
        marks=("nie ", "odmówi"),
        opening=r"(?:przepraszam|przykro mi|bardzo|naprawdę|niestety|wybacz|rozumiem|dziękuję|cześć|nie,)",
        unable=r"\bnie (?:\w+ ){0,1}?(?:mogę|możemy|jestem w stanie|będę|wolno mi|chcę)\b|\bmuszę odmówić",
        help=r"\b(?:pom[oó]\w+|pomagać|odmówić|wesprzeć)\b",
        deed=r"\b(?:zrobić|odpowiedzieć|udzielić|spełnić|wykonać|podać|stworzyć|napisać|dostarczyć|wygenerować|omawiać|udostępnić|zrealizować)\b",
        request=r"\b(?:tego|to|tym|tej|tą|taki\w*|twoj\w*|pa[nń]\w*|proś\w+|pytanie|wiadomość|żądani\w*|informacji|instrukcji|porad\w*)\b",
        persona=r"\bjako (?:ai|model|sztuczna|asystent)\b",
        reach=60,
    ),
    "cs": RefusalWords(
        marks=("nemo", "nemů", "nemô", "nesm", "nejsem", "nie som", "nebud", "odmít", "odmiet"),
        # Czech and Slovak.
        opening=r"(?:omlouvám|je mi líto|je mi ľúto|bohužel|žiaľ|bohužiaľ|promiňte|promiň|prepáčte|ospravedlňujem|rozumím|děkuj|ne,)",
        unable=r"\b(?:nemohu|nemůžu|nemůžeme|nemôžem\w*|nesmím|nesmiem|nejsem schop\w+|nie som schop\w+|nebudu|musím odmítnout|musím odmietnuť)\b",
        help=r"(?:pomoc\w*|pomoct|pomáhat|pomôcť|odmítnout|odmietnuť|vyhovět|vyhovieť)\b",
        deed=r"\b(?:udělat|urobiť|odpovědět|odpovedať|poskytnout|poskytnúť|splnit|splniť|provést|vytvořit|vytvoriť|napsat|napísať)\b",
        request=r"\b(?:to|toto|tomu|tohle|tuto|tento|tím|tým|takov\w*|tak\w+|žádost\w*|žiadosť|požadavek|požiadavk\w*|otázk\w+|informac\w+|informáci\w*)\b",
        persona=r"\bjako? (?:umělá|umelá|ai|jazykový)\b",
        before=40,
    ),
    "ru": RefusalWords(
        marks=("не ", "отказ"),
        opening=r"(?:извини\w*|прости\w*|к сожалению|сожалею|мне (?:очень )?жаль|прошу прощения|приношу|понимаю|я понимаю|спасибо|здравствуй\w*|нет\b)",
        unable=r"\bне (?:могу|можем|смогу|сможем|буду|имею права|в состоянии|вправе)\b|\b(?:вынужден\w*|должен|должна) отказа\w+",
        help=r"\b(?:помо\w+|содейств\w+|отказа\w+|поддержать)\b",
        deed=r"\b(?:сдела\w+|дела\w+|ответи\w+|отвеча\w+|предостав\w+|да\w+|выполни\w+|выполня\w+|созда\w+|написа\w+|обсужда\w+|сгенерировать|продолж\w+|раскры\w+)\b",
        request=r"\b(?:это\w*|эт\w+|так\w+|ваш\w*|тво\w+|запрос\w*|просьб\w+|вопрос\w*|сообщени\w+|информаци\w+|инструкци\w+|совет\w*)\b",
        persona=r"\bкак (?:ии|языков\w+|искусственн\w+|ai)\b",
        before=20,
    ),
    "uk": RefusalWords(
        marks=("не ", "відмов"),
        opening=r"(?:вибач\w*|пробач\w*|перепрошую|на жаль|мені (?:дуже )?(?:шкода|прикро)|розумію|дякую|ні\b)",
        unable=r"\bне (?:можу|можемо|зможу|буду|маю права|в змозі)\b|\b(?:змушен\w*|мушу) відмов\w+",
        help=r"\b(?:допомог\w+|допомагати|відмов\w+|сприяти)\b",
        deed=r"\b(?:зроби\w+|роби\w+|відпові\w+|нада\w+|викона\w+|створи\w+|написа\w+|обговор\w+)\b",
        request=r"\b(?:це|цього|цим|ць\w+|так\w+|ваш\w*|тв\w+|запит\w*|проханн\w+|питанн\w+|повідомленн\w+|інформаці\w+|інструкці\w+)\b",
        persona=r"\bяк (?:ші|мовна|штучн\w+)\b",
        before=20,
    ),
    "tr": RefusalWords(
        marks=("mem", "mam", "meyi", "mayı", "miyor", "mıyor", "müyor", "muyor", "meyece", "mayaca", "mümkün"),
        opening=r"(?:üzgünüm|maalesef|özür|kusura|ne yazık|anlıyorum|teşekkür|merhaba|hayır)",
        # The negation is in the verb: "edemem", "yapamam", "yardımcı olamıyorum".
        unable=r"\b\w{1,30}(?:[ae]m[ae]m|[ae]m[ıiuü]yoru[mz]|[ae]mey[ıi]z|[ae]may[ıi]z|[ae]meyece[gğ]im|[ae]mayaca[gğ]ım)\b|mümkün değil",
        help=r"yardım\w*",
        deed=r"\b(?:bunu|yerine|cevap\w*|yanıt\w*|yap\w+|sağla\w+|ver\w+|oluştur\w+|sun\w+|paylaş\w+)\b",
        request=r"\b(?:bu|bunu|buna|şunu|böyle|istek|isteği\w*|isteğin\w*|talep|taleb\w+|soru\w*|bilgi\w*|talimat\w*)\b",
        persona=r"\b(?:yapay zeka|dil modeli)\b",
        before=90,
    ),
    "zh": RefusalWords(
        marks=("无", "無", "不", "没", "沒", "拒", "未能"),
        opening=r"(?:很?抱歉|对不起|對不起|不好意思|很遗憾|很遺憾|遗憾|遺憾|非常抱歉|我(?:很|非常)?(?:抱歉|理解|明白)|感谢|感謝|您好|你好)",
        unable=r"(?:^|我们?.{0,6}?|[,，])(?:无法|無法|不能|不可以|不会|不便|不方便|没办法|沒辦法|不被允许|拒绝|拒絕|未能)",
        help=r"(?:帮助|幫助|帮忙|幫忙|帮(?:到)?[您你]|幫(?:到)?[您你]|协助|協助|效劳|满足|滿足)",
        deed=r"(?:提供|回答|完成|执行|執行|处理|處理|讨论|討論|生成|创作|協作|做|给出|給出|回应|回應|参与|參與|继续|繼續|透露)",
        request=r"(?:这|這|那|此|该|該|您的|你的|请求|請求|要求|问题|問題|消息|信息|資訊|内容|內容|任何|相关|相關|建议|建議)",
        persona=r"(?:作为|作為)",
        before=12,
    ),
    "ja": RefusalWords(
        marks=("ません", "できない", "断り"),
        opening=r"(?:申し訳|すみません|ごめん|恐れ入り|恐縮|残念|お役に立て|ご質問|お問い合わせ|ありがとう|こんにちは|大変)",
        unable=r"(?:できません|出来ません|できかねます|いたしかねます|致しかねます|かねます|られません|えません|できない|わけにはいきません|お断り)",
        help=r"(?:手伝|お役に|お力|支援|サポート|助け|お応え|応じ|お断り|協力)",
        deed=r"(?:対応|できません|回答|答え|提供|実行|行う|生成|作成|説明|教え|お伝え|議論|する|扱)",
        request=r"(?:それ|これ|その|この|あの|そのよう|ような|ご要望|リクエスト|依頼|質問|メッセージ|情報|内容|アドバイス|手順)",
        persona=r"(?:aiとして|言語モデル|aiアシスタント|aiです)",
        before=120,
    ),
    "ko": RefusalWords(
        marks=("없", "못", "어렵", "불가", "거절", "않", "안 "),
        opening=r"(?:죄송|미안|유감|안타깝|아쉽|이해합니다|감사|안녕)",
        unable=r"(?:수(?:는|가|도)? 없|못 ?(?:합니다|해요|하겠|드립|드려)|어렵습니다|불가능|거절|않습니다|안 됩니다)",
        help=r"(?:도와|도움|돕|지원|응할|응해|들어드|거절|협조)",
        deed=r"(?:답변|대답|제공|수행|처리|생성|작성|논의|말씀|알려|해 ?드릴|할|공유|진행)",
        request=r"(?:그|이|해당|그런|이런|요청|질문|메시지|정보|내용|부탁|조언|방법)",
        persona=r"(?:ai로서|인공지능|언어 ?모델)",
        before=120,
    ),
    "ar": RefusalWords(
        marks=("لا ", "لن ", "لست", "غير قادر", "ليس", "أرفض"),
        opening=r"(?:آسف|اسف|أنا آسف|أعتذر|اعتذر|عذر|عذرا|عذراً|معذرة|للأسف|يؤسفني|أفهم|شكر|مرحب)",
        unable=r"(?:لا (?:أستطيع|استطيع|يمكنني|يمكننا|نستطيع|أقدر|يسعني)|لن (?:أستطيع|أتمكن|أقوم|يمكنني)|لست قادر\w*|غير قادر\w*|ليس بإمكاني|أرفض)",
        help=r"(?:مساعد\w*|أساعد\w*|المساعد\w*|تلبي\w*|دعم\w*)",
        deed=r"(?:القيام|فعل|تقديم|الإجابة|إجابة|الرد|تنفيذ|توفير|إنشاء|كتابة|مناقشة|إعطاء|مشاركة|أقوم|أجيب)",
        request=r"(?:ذلك|هذا|هذه|بذلك|بهذا|طلبك|طلب|الطلب|السؤال|سؤالك|معلومات|تعليمات|نصائح|مثل)",
        persona=r"(?:بصفتي|كنموذج|ذكاء اصطناعي)",
        before=20,
    ),
    "hi": RefusalWords(
        marks=("नहीं",),
        opening=r"(?:क्षमा|माफ़|माफ|मुझे (?:खेद|अफ़सोस|अफसोस)|खेद|दुर्भाग्य|दुर्भाग्यवश|धन्यवाद|नमस्ते|नहीं)",
        unable=r"नहीं",
        help=r"(?:मदद|सहायता|सहयोग).{0,30}(?:सकता|सकती|सकते|पाऊँगा|पाऊंगा|पाऊँगी|पाऊंगी|असमर्थ)?",
        deed=r"(?:कर|दे|बता|उत्तर|जवाब|प्रदान|लिख|बना).{0,20}(?:सकता|सकती|सकते|पाऊँगा|पाऊंगा)",
        request=r"(?:यह|वह|इस|उस|ऐसा|ऐसी|इसमें|अनुरोध|प्रश्न|सवाल|जानकारी|निर्देश|सलाह)",
        persona=r"(?:एआई|भाषा मॉडल|ai)",
        before=120,
    ),
    "vi": RefusalWords(
        marks=("không",),
        opening=r"(?:xin lỗi|rất tiếc|tôi (?:rất )?(?:xin lỗi|tiếc|hiểu)|cảm ơn|xin chào|không,)",
        unable=r"\b(?:tôi|mình|chúng tôi) (?:\w+ ){0,2}?không (?:thể|được phép|có khả năng)|\bkhông thể",
        help=r"\b(?:giúp|hỗ trợ|trợ giúp|đáp ứng)\b",
        deed=r"\b(?:làm|trả lời|cung cấp|thực hiện|tạo|viết|thảo luận|chia sẻ)\b",
        request=r"\b(?:điều|việc|này|đó|như vậy|yêu cầu|câu hỏi|thông tin|hướng dẫn)\b",
        persona=r"\b(?:là một|với tư cách)\b",
        reach=60,
    ),
    "id": RefusalWords(
        marks=("tidak", "tak "),
        # Indonesian and Malay.
        opening=r"(?:maaf|mohon maaf|saya (?:mohon )?minta maaf|sayangnya|saya mengerti|saya memahami|terima kasih|halo|tidak,)",
        unable=r"\b(?:saya|kami) (?:\w+ ){0,2}?(?:tidak|tak) (?:bisa|dapat|boleh|mampu|akan)|\b(?:tidak|tak) (?:bisa|dapat) (?:saya|kami)?",
        help=r"\b(?:membantu|bantu|menolong|memenuhi)\b",
        deed=r"\b(?:melakukan\w*|menjawab|memberikan|menyediakan|membuat|menulis|membahas|memproses|berbagi)\b",
        request=r"\b(?:itu|ini|hal|tersebut|seperti|permintaan|pertanyaan|informasi|instruksi|nasihat)\b",
        persona=r"\bsebagai (?:ai|model|asisten|kecerdasan)\b",
        reach=60,
    ),
}
"""ISO 639-1 code → words of that language."""
