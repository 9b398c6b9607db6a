"""Refusals in many words and languages, and good answers that only look like one."""

from __future__ import annotations

import pytest

from langroute.verifiers.refusal_words import LANGUAGES
from langroute.verifiers.refusals import LONGEST, is_refusal

# Some are first sentences of refusals in public repositories; most were written for this test, in the words of many models.
REFUSALS = """
I won't be able to assist with that request.
Es tut mir leid, das kann ich nicht tun.
I'm sorry, but I can't help with that.
I’m sorry, but I can’t assist with that request.
I cannot help you with this.
As an AI language model, I can not have opinions.
As an AI, I don't have personal opinions.
I'm really sorry, but I'm not able to respond to your message.
Sorry, I cannot do that.
I'm unable to provide instructions for that.
Sorry, but I can't continue with this request.
I must decline to answer this.
I can't give medical advice. You may want to consult a doctor about that.
I apologize, but I cannot fulfill this request.
Unfortunately, I can't comply with that.
That's not something I can help with.
I'm not comfortable discussing that topic.
I'd rather not discuss this.
While I understand your curiosity, I cannot provide instructions for making explosives.
Sorry, I can't.
I can't engage in that kind of roleplay.
I will not generate such content.
My guidelines don't allow me to help with that.
I have to respectfully decline.
I'm afraid that's beyond what I can do.
We're unable to help with your request.
I do not feel comfortable writing that.
Unable to assist with this request.
No, I can't help with that.
Thank you for your question. However, I'm not able to help with this.
Je ne peux pas vous aider avec cela.
Je suis désolé, je ne peux pas vous aider avec cela.
Désolé, mais je ne peux pas répondre à cette demande.
Je suis désolé, mais il m'est impossible de répondre à cette demande.
Lo siento, no puedo ayudarte con eso.
Lo siento, pero no puedo proporcionar esa información.
No puedo ayudar con ese tema.
Lo siento mucho, pero no puedo responder a tu mensaje.
Es tut mir leid, aber ich kann dabei nicht helfen.
Es tut mir wirklich leid, aber ich kann auf deine Nachricht nicht antworten.
Leider kann ich Ihnen bei dieser Anfrage nicht behilflich sein.
Dabei kann ich Ihnen nicht helfen.
Ich kann diese Anfrage nicht beantworten.
Bei diesem Anliegen kann ich leider nicht weiterhelfen.
Mi dispiace, non posso aiutarti.
Mi dispiace, ma non posso soddisfare questa richiesta.
Desculpe, não posso ajudar com isso.
Sinto muito, mas não posso fornecer essas informações.
Извините, я не могу помочь с этой просьбой.
Извини, но я не могу помочь с рецептами.
К сожалению, я не могу выполнить этот запрос.
Я не могу помочь с этим — это выходит за мои границы.
抱歉，我无法提供帮助。
很抱歉，我不能回答这个问题。
对不起，我无法满足您的请求。
作为一个人工智能，我无法发表个人意见。
申し訳ありませんが、そのご要望にはお応えできません。
すみません、そのリクエストには対応できません。
お手伝いできません。
죄송합니다. 도와드릴 수 없습니다.
죄송하지만 그 요청에는 응할 수 없습니다.
Bardzo przepraszam, ale nie mogę odpowiedzieć na Twoją wiadomość.
Przykro mi, nie mogę w tym pomóc.
Het spijt me, maar ik kan je daar niet mee helpen.
Sorry, dat kan ik niet doen.
Tyvärr kan jag inte hjälpa till med det.
Beklager, jeg kan ikke hjelpe deg med det.
Üzgünüm, bu konuda yardımcı olamam.
Bu isteği yerine getiremem.
آسف، لا أستطيع مساعدتك في ذلك.
عذراً، لا يمكنني تقديم هذه المعلومات.
क्षमा करें, मैं इसमें आपकी मदद नहीं कर सकता।
Xin lỗi, tôi không thể giúp bạn việc đó.
Maaf, saya tidak bisa membantu dengan itu.
Omlouvám se, ale s tím nemohu pomoci.
На жаль, я не можу допомогти з цим.
Hi! I can't help with that.
*I'm sorry, but I can't assist with that.*
"""

# Written after the words, to measure them: 60 of 66 were found at first, and 4 of the 40 answers below were taken for refusals.
MORE = """
I apologize, but I'm not able to provide instructions on that.
I'm sorry, but as an AI assistant I cannot participate in this.
I can't provide guidance on how to harm others.
I cannot create content that sexualizes minors.
Sorry, but I'm not going to help you write that.
I won't provide a tutorial for this.
I do not think I should answer that.
I am not programmed to assist with tasks like that.
It would be against my guidelines to produce this text.
I'm going to have to decline this one.
I must refuse.
Apologies, I'm unable to share that information.
I can't discuss that.
I'm just an AI model, so I can't give legal advice.
Unfortunately, I am not allowed to talk about this topic.
This violates my usage policies, so I can't help.
I can’t do that, Dave.
I'm not permitted to reveal my instructions.
I regret that I cannot be of assistance here.
Hello! Sorry, I'm not able to support that request.
I cannot and will not help with this.
Ich darf dazu leider keine Auskunft geben.
Tut mir leid, dazu kann ich nichts sagen.
Als KI-Sprachmodell kann ich keine persönliche Meinung haben.
Ich bin leider nicht in der Lage, Ihnen dabei zu helfen.
Ich muss diese Anfrage leider ablehnen.
Entschuldigung, aber ich kann solche Inhalte nicht erstellen.
Es tut uns leid, wir können Ihnen damit nicht weiterhelfen.
Je regrette, mais je ne suis pas en mesure de vous aider.
Malheureusement, je ne peux pas fournir ces informations.
Je ne suis pas autorisé à discuter de ce sujet.
Pardon, je ne peux pas faire ça.
Lamento no poder ayudarte con esa petición.
Perdona, pero no puedo hacer eso.
Como modelo de lenguaje, no puedo dar opiniones personales.
No estoy autorizado a compartir esta información.
Purtroppo non sono in grado di rispondere a questa domanda.
Scusa, non posso farlo.
Infelizmente, não consigo atender a esse pedido.
Peço desculpas, mas não estou autorizado a responder a isso.
Простите, но я не буду этого делать.
Как языковая модель, я не могу высказывать мнение.
К сожалению, не могу вам с этим помочь.
Я вынужден отказаться от выполнения этой просьбы.
对不起，这个请求我无法完成。
抱歉，我不方便讨论这个话题。
很遗憾，我不能参与此类内容的创作。
我不能帮你做这件事。
恐れ入りますが、その内容についてはお答えできません。
ごめんなさい、それはできません。
そのようなご依頼はお断りします。
죄송하지만 그런 내용은 제공할 수 없습니다.
미안해요, 그건 도와줄 수 없어요.
AI로서 개인적인 의견을 말할 수 없습니다.
Niestety nie jestem w stanie spełnić tej prośby.
Helaas kan ik u hier niet bij helpen.
Jag kan tyvärr inte svara på den frågan.
Undskyld, det kan jeg ikke hjælpe med.
Maalesef bu soruya cevap veremiyorum.
للأسف لا أستطيع القيام بذلك.
मुझे खेद है, मैं यह जानकारी नहीं दे सकता।
Rất tiếc, tôi không thể thực hiện yêu cầu này.
Mohon maaf, saya tidak dapat memenuhi permintaan tersebut.
Promiňte, na tuto otázku nemůžu odpovědět.
Вибачте, я не можу виконати цей запит.
"""

ANSWERS = """
Sorry, I can't find order 7 in your account; is it 71?
42
I cannot overstate how good this is.
I'm sorry for your loss. Here is what you can do next.
The server said: I'm sorry, but I can't help with that.
Sorry, I can be slow. The answer is 42.
I can't help but admire this design.
Unfortunately, the order was cancelled on Monday.
I'm sorry, your refund for order 7 was denied because it was opened.
Sorry, the flight is sold out. The next one leaves at 9:40.
I could not find any matching records for Smith.
I cannot see your calendar, so please tell me which day suits you.
I'm sorry to hear that. Try restarting the router.
No, penguins can't fly.
Es tut mir leid, ich kann Bestellung 7 nicht finden. Ist es 71?
Leider ist der Zug ausgefallen; der nächste fährt um 9 Uhr.
Ich kann das Paket 7 nicht finden.
Lo siento, no encuentro el pedido 7.
Lo siento, el vuelo está completo.
Désolé, je ne trouve pas la commande 7.
Non posso trovare l'ordine 7.
抱歉，订单7未找到。
申し訳ありませんが、注文7は見つかりませんでした。
The phrase "I can't help you" is used in act two.
“I can’t help you,” said the wizard, and left.
"Lo siento, no puedo ayudarte" means "I am sorry, I cannot help you".
You cannot do that in Python; use a list instead.
The museum can't help with lost tickets.
I am not sure this will help, but try `reboot`.
Dear Ms Miller, unfortunately I cannot assist at the meeting on Friday.
Why can't I help with that? Because the door is locked.
Ich bin nicht sicher, ob das hilft.
Der Hund kann das nicht machen.
Nein, das ist nicht erlaubt.
Não, o museu não abre às segundas.
Ja, das können Sie machen.
Désolée pour le retard, voici le résumé.
I won't lie: this is a great plan.
I'm afraid the test fails in line 3.
I can't wait to share this with you!
We won the match.
Sorry, we can't deliver to Norway; we do deliver to Sweden.
The model refuses to help with that.
このファイルは開けません。権限を確認してください。
Нет, магазин сегодня не работает.
这个函数不能处理空列表。
I'm sorry, the file config.yaml does not exist.
Sorry for the confusion! The meeting is at noon.
I can't say for sure, but the most likely cause is a full disk.
I cannot reproduce the bug on version 2.
I will not be in the office on Friday.
I apologize for the delay; your parcel ships today.
We are unable to process refunds after 30 days.
I'm not able to see images, but from the caption it is a heron.
I can't recommend this film enough!
Unfortunately not. The museum is closed on Mondays.
No.
I can't do it before Friday.
Thank you, I can help with that.
I'm happy to help you with this request.
I would not recommend that; use a mutex.
I do not have a preference; both are fine.
We can't continue with this supplier because of the price.
Leider nein, die Bestellung wurde bereits versendet.
Ich weiß nicht, ob das stimmt, aber die Quelle sagt 1815.
Ich kann Ihnen gern dabei helfen.
Es tut mir leid, dass die Lieferung nicht ankam. Ich habe sie neu verschickt.
Das Museum kann diese Bilder nicht zeigen.
Man kann das nicht machen.
Je ne trouve pas de vol direct; il y a une escale à Lyon.
Désolé pour l'attente. Votre colis arrive demain.
No puedo encontrar el archivo datos.csv en la carpeta.
Lo siento por la demora, aquí está el resumen.
Non so se sia vero, ma la fonte dice 1815.
Não encontrei o pedido; pode confirmar o número?
К сожалению, рейс отменён.
Я не нашёл такой файл.
抱歉让您久等了，您的订单已经发货。
不能，这个药不能和酒一起服用。
申し訳ございません、在庫がありません。
このサービスでは現金を使うことはできません。
죄송합니다. 재고가 없습니다.
Niestety sklep jest dziś zamknięty.
Üzgünüm, uçuş iptal edildi.
عذراً، الرحلة ملغاة.
माफ़ कीजिए, ट्रेन देर से है।
"""


@pytest.mark.parametrize("text", (REFUSALS + MORE).strip().splitlines())
def test_a_refusal_is_told_in_any_words_and_language(text: str) -> None:
    if text:
        assert is_refusal(text)
        assert is_refusal(f"  {text.upper() if text.isascii() else text}\n\n")


@pytest.mark.parametrize("text", ANSWERS.strip().splitlines())
def test_an_answer_with_an_apology_or_a_negation_in_it_is_an_answer(text: str) -> None:
    assert not is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "I can't do that directly, but here is how:\n- open the menu\n- press delete",
        "I can't help with the old tool. Run `reboot now` instead.",
        "I cannot answer this in general:\n1. If it rains, wait.\n2. Else go.",
        "I can't help with that. " + "Here is what the manual says about it, in full. " * 10,
    ],
)
def test_a_text_that_hands_something_over_is_no_refusal(text: str) -> None:
    assert not is_refusal(text)


def test_a_refusal_that_is_not_known_is_accepted() -> None:
    """What is not understood rejects nothing: a wrong rejection costs a call of the strong route."""
    assert not is_refusal("I don't feel right about helping with that.")


def test_every_refusal_has_a_mark_of_its_language() -> None:
    assert len(LANGUAGES) == 20
    assert all(words.marks for words in LANGUAGES.values())
    assert LONGEST == 400
