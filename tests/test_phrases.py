"""The demo's pairs of sentences: each phenomenon of German and Hindi by sentences that were written by hand."""

import json
import random
import re
import sys
import unicodedata
from collections import Counter

import pytest

from speechxfer.demo import grammar, phrases
from speechxfer.demo.phrases import constructions as say
from speechxfer.demo.phrases import draw, english, german, hindi, idioms, moments
from speechxfer.demo.phrases.lexicon import Phrase, lexicon, text
from speechxfer.demo.phrases.syntax import NP, Clause, Copula
from speechxfer.errors import ConfigError
from speechxfer.text import normalise

ME, YOU, HE, SHE, WE, THEY = (NP(word) for word in ("i", "you", "he", "she", "we", "they"))
ANNA, PETER = NP("anna"), NP("peter")
BOY, GIRL, TEACHER = NP("boy", "the"), NP("girl", "the"), NP("teacher", "the")
BOYS, GIRLS = NP("boy", "the", plural=True), NP("girl", "the", plural=True)
MOTHER, FATHER, BROTHER = NP("mother", "my"), NP("father", "my"), NP("brother", "my")
TWO_BOOKS = NP("book", count=2)
TODAY, YESTERDAY, TOMORROW = (lexicon().phrase(word) for word in ("today", "yesterday", "tomorrow"))
EVENING, EVERY_DAY, OFTEN = (lexicon().phrase(word) for word in ("in the evening", "every day", "often"))
HOME, AT_HOME = lexicon().phrase("home"), lexicon().phrase("at home")
KITCHEN, MARKET, SCHOOL = NP("kitchen", "the"), NP("market", "the"), NP("school", "the")
TABLE = say.beside("on", NP("table", "the"))


def clause(subject, verb, thing=None, tense="present", **more):
    return say.sentence(Clause(subject, verb, thing, tense=tense, **more))


def is_(subject, adjective="", **more):
    return say.sentence(Copula(subject, adjective, **more))


SENTENCES = [
    # --- tenses: the verb agrees with the subject
    (
        clause(BOY, "read", NP("book", "a"), time=EVERY_DAY),
        "the boy reads a book every day",
        "der Junge liest jeden Tag ein Buch",
        "लड़का हर दिन एक किताब पढ़ता है",
    ),
    (clause(GIRLS, "eat", NP("rice")), "the girls eat rice", "die Mädchen essen Reis", "लड़कियाँ चावल खाती हैं"),
    (clause(ME, "work", often=OFTEN), "i often work", "ich arbeite oft", "मैं अक्सर काम करता हूँ"),
    (
        clause(GIRL, "write", NP("letter", "a"), "progressive"),
        "the girl is writing a letter",
        "das Mädchen schreibt gerade einen Brief",
        "लड़की एक चिट्ठी लिख रही है",
    ),
    (
        clause(BOYS, "sleep", tense="progressive", place=say.at(NP("room", "the"))),
        "the boys are sleeping in the room",
        "die Jungen schlafen gerade im Zimmer",
        "लड़के कमरे में सो रहे हैं",
    ),
    (
        clause(SHE, "drink", NP("milk"), "future", time=TOMORROW),
        "she will drink milk tomorrow",
        "sie wird morgen Milch trinken",
        "वह कल दूध पिएगी",
    ),
    (clause(WE, "go", tense="future", direction=HOME), "we will go home", "wir werden nach Hause gehen", "हम घर जाएँगे"),
    (
        clause(ME, "give", NP("key", "the"), "future", recipient=ANNA),
        "i will give anna the key",
        "ich werde Anna den Schlüssel geben",
        "मैं अन्ना को चाबी दूँगा",
    ),
    # --- the past of intransitive verbs
    (
        clause(GIRL, "come", tense="past", direction=HOME),
        "the girl came home",
        "das Mädchen ist nach Hause gekommen",
        "लड़की घर आई",
    ),
    (
        clause(GIRLS, "go", tense="past", direction=say.to(MARKET)),
        "the girls went to the market",
        "die Mädchen sind auf den Markt gegangen",
        "लड़कियाँ बाज़ार गईं",
    ),
    (
        clause(BOYS, "run:to", tense="past", direction=say.to(NP("garden", "the"))),
        "the boys ran to the garden",
        "die Jungen sind in den Garten gelaufen",
        "लड़के बगीचे में दौड़े",
    ),
    (clause(SHE, "sleep", tense="past"), "she slept", "sie hat geschlafen", "वह सोई"),
    (clause(HE, "know", ANNA, "past"), "he knew anna", "er kannte Anna", "वह अन्ना को जानता था"),
    # --- ergative: the verb agrees with the object, and with neither when both have a postposition
    (
        clause(BOY, "buy", TWO_BOOKS, "past"),
        "the boy bought two books",
        "der Junge hat zwei Bücher gekauft",
        "लड़के ने दो किताबें खरीदीं",
    ),
    (
        clause(GIRL, "eat", NP("banana", "a"), "past"),
        "the girl ate a banana",
        "das Mädchen hat eine Banane gegessen",
        "लड़की ने एक केला खाया",
    ),
    (clause(HE, "drink", NP("tea"), "past"), "he drank tea", "er hat Tee getrunken", "उसने चाय पी"),
    (
        clause(THEY, "see", GIRL, "past", time=YESTERDAY),
        "they saw the girl yesterday",
        "sie haben gestern das Mädchen gesehen",
        "उन्होंने कल लड़की को देखा",
    ),
    (clause(ME, "see", SHE, "past"), "i saw her", "ich habe sie gesehen", "मैंने उसे देखा"),
    (
        clause(ANNA, "help", PETER, "past"),
        "anna helped peter",
        "Anna hat Peter geholfen",
        "अन्ना ने पीटर की मदद की",
    ),
    (
        clause(WE, "wait for", NP("bus", "the"), "past"),
        "we waited for the bus",
        "wir haben auf den Bus gewartet",
        "हमने बस का इंतज़ार किया",
    ),
    (clause(PETER, "help", ME, "past"), "peter helped me", "Peter hat mir geholfen", "पीटर ने मेरी मदद की"),
    (clause(SHE, "meet", WE, "past"), "she met us", "sie hat uns getroffen", "वह हमसे मिली"),
    (
        clause(GIRL, "bring", NP("book", "the"), "past"),
        "the girl brought the book",
        "das Mädchen hat das Buch gebracht",
        "लड़की किताब लाई",
    ),
    (
        clause(HE, "lose", NP("key", "own"), "past"),
        "he lost his key",
        "er hat seinen Schlüssel verloren",
        "उसने अपनी चाबी खो दी",
    ),
    (
        clause(HE, "lose", NP("key", "own"), "past", negative="not"),
        "he did not lose his key",
        "er hat seinen Schlüssel nicht verloren",
        "उसने अपनी चाबी नहीं खोई",
    ),
    (
        clause(BOY, "buy", NP("cow", "the"), "past"),
        "the boy bought the cow",
        "der Junge hat die Kuh gekauft",
        "लड़के ने गाय को खरीदा",
    ),
    (
        clause(BOY, "buy", NP("cow", "a"), "past"),
        "the boy bought a cow",
        "der Junge hat eine Kuh gekauft",
        "लड़के ने एक गाय खरीदी",
    ),
    (
        clause(ANNA, "clean", NP("kitchen", "the"), "perfect", time=TODAY),
        "anna has cleaned the kitchen today",
        "Anna hat heute die Küche geputzt",
        "अन्ना ने आज रसोई साफ़ की है",
    ),
    (
        clause(ANNA, "wash", NP("shirt", count=3), "perfect"),
        "anna has washed three shirts",
        "Anna hat drei Hemden gewaschen",
        "अन्ना ने तीन कमीज़ें धोई हैं",
    ),
    # --- receivers, possession of what is the subject's own
    (
        clause(SHE, "give", NP("flower", "a"), "past", recipient=NP("friend", "own")),
        "she gave her friend a flower",
        "sie hat ihrem Freund eine Blume gegeben",
        "उसने अपने दोस्त को एक फूल दिया",
    ),
    (
        clause(ME, "read", NP("book", "my"), "progressive"),
        "i am reading my book",
        "ich lese gerade mein Buch",
        "मैं अपनी किताब पढ़ रहा हूँ",
    ),
    (
        clause(ANNA, "read", NP("book", "my"), "progressive"),
        "anna is reading my book",
        "Anna liest gerade mein Buch",
        "अन्ना मेरी किताब पढ़ रही है",
    ),
    (
        clause(HE, "see", NP("house", owner=ANNA), "past"),
        "he saw anna's house",
        "er hat Annas Haus gesehen",
        "उसने अन्ना का घर देखा",
    ),
    # --- persons to respect
    (
        clause(MOTHER, "cook", NP("rice"), "progressive"),
        "my mother is cooking rice",
        "meine Mutter kocht gerade Reis",
        "मेरी माँ चावल पका रही हैं",
    ),
    (clause(FATHER, "come", tense="past"), "my father came", "mein Vater ist gekommen", "मेरे पिता आए"),
    (clause(MOTHER, "come", tense="past"), "my mother came", "meine Mutter ist gekommen", "मेरी माँ आईं"),
    (is_(MOTHER, "tired"), "my mother is tired", "meine Mutter ist müde", "मेरी माँ थकी हुई हैं"),
    (clause(YOU, "work"), "you work", "Sie arbeiten", "आप काम करते हैं"),
    # --- negation
    (
        clause(BOY, "drink", NP("milk"), negative="not"),
        "the boy does not drink milk",
        "der Junge trinkt keine Milch",
        "लड़का दूध नहीं पीता है",
    ),
    (
        clause(SHE, "buy", NP("hat", "a"), "past", negative="not"),
        "she did not buy a hat",
        "sie hat keinen Hut gekauft",
        "उसने टोपी नहीं खरीदी",
    ),
    (
        clause(HE, "open", NP("door", "the"), "past", negative="not"),
        "he did not open the door",
        "er hat die Tür nicht aufgemacht",
        "उसने दरवाज़ा नहीं खोला",
    ),
    (
        clause(PETER, "eat", NP("egg", plural=True), negative="never"),
        "peter never eats eggs",
        "Peter isst nie Eier",
        "पीटर कभी अंडे नहीं खाता है",
    ),
    (
        clause(HE, "play:music", NP("guitar", "generic"), negative="not"),
        "he does not play the guitar",
        "er spielt nicht Gitarre",
        "वह गिटार नहीं बजाता है",
    ),
    # --- questions
    (
        clause(GIRL, "speak", NP("hindi"), ask="whether"),
        "does the girl speak hindi",
        "spricht das Mädchen Hindi",
        "क्या लड़की हिंदी बोलती है",
    ),
    (
        clause(PETER, "buy", NP("car", "the"), "past", ask="where"),
        "where did peter buy the car",
        "wo hat Peter das Auto gekauft",
        "पीटर ने गाड़ी कहाँ खरीदी",
    ),
    (
        clause(SHE, "go", tense="progressive", ask="where"),
        "where is she going",
        "wohin geht sie gerade",
        "वह कहाँ जा रही है",
    ),
    (
        clause(SHE, "swim", tense="past", ask="where"),
        "where did she swim",
        "wo ist sie geschwommen",
        "वह कहाँ तैरी",
    ),
    (
        clause(ANNA, "return", tense="future", ask="when"),
        "when will anna return",
        "wann wird Anna zurückkommen",
        "अन्ना कब लौटेगी",
    ),
    (
        clause(BOY, "cry", tense="progressive", ask="why"),
        "why is the boy crying",
        "warum weint der Junge gerade",
        "लड़का क्यों रो रहा है",
    ),
    (
        clause(ANNA, "read", NP("what"), "progressive", ask="object"),
        "what is anna reading",
        "was liest Anna gerade",
        "अन्ना क्या पढ़ रही है",
    ),
    (
        clause(NP("who"), "open", NP("window", "the"), "past", ask="subject"),
        "who opened the window",
        "wer hat das Fenster aufgemacht",
        "किसने खिड़की खोली",
    ),
    (
        clause(NP("who"), "go", tense="past", ask="subject", direction=say.to(NP("delhi"))),
        "who went to delhi",
        "wer ist nach Delhi gegangen",
        "कौन दिल्ली गया",
    ),
    (
        clause(ANNA, "buy", NP("book", "how many", plural=True), "past", ask="object"),
        "how many books did anna buy",
        "wie viele Bücher hat Anna gekauft",
        "अन्ना ने कितनी किताबें खरीदीं",
    ),
    (
        clause(HE, "wear", NP("coat", "which"), "past", ask="object"),
        "which coat did he wear",
        "welchen Mantel hat er getragen",
        "उसने कौन सा कोट पहना",
    ),
    # --- can, must, should, wants to, likes to
    (clause(GIRL, "swim", modal="can"), "the girl can swim", "das Mädchen kann schwimmen", "लड़की तैर सकती है"),
    (
        clause(ME, "go", modal="can", negative="not", direction=HOME),
        "i cannot go home",
        "ich kann nicht nach Hause gehen",
        "मैं घर नहीं जा सकता हूँ",
    ),
    (
        clause(BOY, "read", NP("book", "this"), modal="must"),
        "the boy must read this book",
        "der Junge muss dieses Buch lesen",
        "लड़के को यह किताब पढ़नी है",
    ),
    (
        clause(ME, "buy", NP("apple", count=2), "past", modal="must"),
        "i had to buy two apples",
        "ich musste zwei Äpfel kaufen",
        "मुझे दो सेब खरीदने थे",
    ),
    (
        clause(ANNA, "help", PETER, modal="must"),
        "anna must help peter",
        "Anna muss Peter helfen",
        "अन्ना को पीटर की मदद करनी है",
    ),
    (
        clause(YOU, "read", NP("newspaper", "the"), modal="should"),
        "you should read the newspaper",
        "Sie sollten die Zeitung lesen",
        "आपको अख़बार पढ़ना चाहिए",
    ),
    (
        clause(HE, "go", modal="should", negative="not", direction=say.to(SCHOOL)),
        "he should not go to the school",
        "er sollte nicht in die Schule gehen",
        "उसे स्कूल नहीं जाना चाहिए",
    ),
    (
        clause(GIRL, "sell", NP("bicycle", "own"), modal="want"),
        "the girl wants to sell her bicycle",
        "das Mädchen möchte sein Fahrrad verkaufen",
        "लड़की अपनी साइकिल बेचना चाहती है",
    ),
    (
        clause(THEY, "work", tense="past", modal="want", negative="not"),
        "they did not want to work",
        "sie wollten nicht arbeiten",
        "वे काम करना नहीं चाहते थे",
    ),
    (
        clause(SHE, "drink", NP("coffee"), modal="like"),
        "she likes to drink coffee",
        "sie trinkt gern Kaffee",
        "उसे कॉफ़ी पीना पसंद है",
    ),
    # --- adjectives, determiners, numerals, the oblique
    (
        clause(SHE, "sell", NP("car", "a", adjective="new"), "past"),
        "she sold a new car",
        "sie hat ein neues Auto verkauft",
        "उसने एक नई गाड़ी बेची",
    ),
    (
        clause(SHE, "look for", NP("hat", "own", adjective="red"), "progressive"),
        "she is looking for her red hat",
        "sie sucht gerade ihren roten Hut",
        "वह अपनी लाल टोपी ढूँढ रही है",
    ),
    (
        clause(HE, "talk to", NP("man", "the", adjective="old:person"), "past"),
        "he talked to the old man",
        "er hat mit dem alten Mann gesprochen",
        "उसने बूढ़े आदमी से बात की",
    ),
    (
        clause(NP("boy", "this"), "talk to", NP("girl", "the", plural=True), "progressive"),
        "this boy is talking to the girls",
        "dieser Junge spricht gerade mit den Mädchen",
        "यह लड़का लड़कियों से बात कर रहा है",
    ),
    (
        clause(NP("boy", "this"), "see", NP("dog", "many", plural=True), "past"),
        "this boy saw many dogs",
        "dieser Junge hat viele Hunde gesehen",
        "इस लड़के ने बहुत से कुत्ते देखे",
    ),
    (
        clause(NP("child", "all"), "drink", NP("water"), "past"),
        "all the children drank water",
        "alle Kinder haben Wasser getrunken",
        "सभी बच्चों ने पानी पिया",
    ),
    (
        clause(HE, "meet", NP("neighbour", "own"), "past"),
        "he met his neighbour",
        "er hat seinen Nachbarn getroffen",
        "वह अपने पड़ोसी से मिला",
    ),
    (
        clause(NP("anna", other=PETER), "laugh", tense="past"),
        "anna and peter laughed",
        "Anna und Peter haben gelacht",
        "अन्ना और पीटर हँसे",
    ),
    (
        clause(NP("anna", other=NP("maria")), "laugh", tense="past"),
        "anna and maria laughed",
        "Anna und Maria haben gelacht",
        "अन्ना और मारिया हँसीं",
    ),
    (
        is_(NP("room", "this"), "small", very=True),
        "this room is very small",
        "dieses Zimmer ist sehr klein",
        "यह कमरा बहुत छोटा है",
    ),
    (
        is_(NP("shoe", "the", plural=True), "old:thing", tense="past"),
        "the shoes were old",
        "die Schuhe waren alt",
        "जूते पुराने थे",
    ),
    (is_(ANNA, "tired", ask="why"), "why is anna tired", "warum ist Anna müde", "अन्ना थकी हुई क्यों है"),
    (is_(SHE, job="teacher"), "she is a teacher", "sie ist Lehrerin", "वह शिक्षिका है"),
    (
        is_(BROTHER, job="student", negative="not"),
        "my brother is not a student",
        "mein Bruder ist kein Student",
        "मेरा भाई छात्र नहीं है",
    ),
    # --- places
    (is_(NP("key", "the"), place=TABLE), "the key is on the table", "der Schlüssel ist auf dem Tisch", "चाबी मेज़ पर है"),
    (is_(GIRL, ask="where", tense="past"), "where was the girl", "wo war das Mädchen", "लड़की कहाँ थी"),
    (
        is_(WE, place=AT_HOME, tense="future", time=TOMORROW),
        "we will be at home tomorrow",
        "wir werden morgen zu Hause sein",
        "हम कल घर पर होंगे",
    ),
    (
        idioms.existence(NP("cat", "a"), say.beside("under", NP("bed", "the"))),
        "there is a cat under the bed",
        "unter dem Bett ist eine Katze",
        "पलंग के नीचे एक बिल्ली है",
    ),
    (
        idioms.existence(NP("milk", "no"), say.at(KITCHEN)),
        "there is no milk in the kitchen",
        "in der Küche ist keine Milch",
        "रसोई में दूध नहीं है",
    ),
    (
        idioms.how_many_are(NP("chair", "how many", plural=True), say.at(NP("room", "the"))),
        "how many chairs are in the room",
        "wie viele Stühle sind im Zimmer",
        "कमरे में कितनी कुर्सियाँ हैं",
    ),
    (
        clause(SHE, "travel", tense="past", direction=say.from_to(NP("vienna"), NP("munich"))),
        "she travelled from vienna to munich",
        "sie ist von Wien nach München gereist",
        "वह वियना से म्यूनिख गई",
    ),
    # --- to have, to like, to want, to need, to find, to be hungry
    (
        idioms.have(SHE, NP("dog", "a", adjective="black")),
        "she has a black dog",
        "sie hat einen schwarzen Hund",
        "उसके पास एक काला कुत्ता है",
    ),
    (idioms.have(ANNA, NP("brother", count=2)), "anna has two brothers", "Anna hat zwei Brüder", "अन्ना के दो भाई हैं"),
    (idioms.have(ME, NP("sister", "a")), "i have a sister", "ich habe eine Schwester", "मेरी एक बहन है"),
    (
        idioms.have(NP("boy", "the", plural=True), NP("money", "no")),
        "the boys do not have money",
        "die Jungen haben kein Geld",
        "लड़कों के पास पैसा नहीं है",
    ),
    (idioms.like(BOY, NP("mango", plural=True)), "the boy likes mangoes", "der Junge mag Mangos", "लड़के को आम पसंद हैं"),
    (
        idioms.like(HE, NP("tea"), negative=True),
        "he does not like tea",
        "er mag keinen Tee",
        "उसे चाय पसंद नहीं है",
    ),
    (
        idioms.want(TEACHER, NP("book", "a", adjective="good")),
        "the teacher wants a good book",
        "der Lehrer möchte ein gutes Buch",
        "शिक्षक को एक अच्छी किताब चाहिए",
    ),
    (
        idioms.need(WE, NP("house", "a", adjective="large")),
        "we need a large house",
        "wir brauchen ein großes Haus",
        "हमें एक बड़े घर की ज़रूरत है",
    ),
    (
        idioms.found(BOY, NP("key", "a"), say.at(KITCHEN)),
        "the boy found a key in the kitchen",
        "der Junge hat in der Küche einen Schlüssel gefunden",
        "लड़के को रसोई में एक चाबी मिली",
    ),
    (idioms.feels(ME, "hungry"), "i am hungry", "ich habe Hunger", "मुझे भूख लगी है"),
    (idioms.what_is_called(YOU), "what is your name", "wie heißen Sie", "आपका नाम क्या है"),
    (
        idioms.age(BROTHER, 25),
        "my brother is twenty five years old",
        "mein Bruder ist fünfundzwanzig Jahre alt",
        "मेरा भाई पच्चीस साल का है",
    ),
    (idioms.how_old(SHE), "how old is she", "wie alt ist sie", "वह कितने साल की है"),
    (
        idioms.price(NP("watch", "this"), 60, idioms.CURRENCIES[0]),
        "this watch costs sixty euros",
        "diese Uhr kostet sechzig Euro",
        "इस घड़ी की कीमत साठ यूरो है",
    ),
    (
        idioms.comparison(ANNA, "taller", PETER),
        "anna is taller than peter",
        "Anna ist größer als Peter",
        "अन्ना पीटर से लंबी है",
    ),
    # --- requests
    (
        say.request("open", NP("door", "the")),
        "please open the door",
        "bitte machen Sie die Tür auf",
        "कृपया दरवाज़ा खोलिए",
    ),
    (
        say.request("close", NP("window", "the"), negative=True),
        "please do not close the window",
        "bitte machen Sie das Fenster nicht zu",
        "कृपया खिड़की बंद मत कीजिए",
    ),
    (
        say.request("drink", NP("water", "the")),
        "please drink the water",
        "bitte trinken Sie das Wasser",
        "कृपया पानी पीजिए",
    ),
    # --- time and weather
    (
        clause(SHE, "come", tense="past", time=moments.ago(2, "week")),
        "she came two weeks ago",
        "sie ist vor zwei Wochen gekommen",
        "वह दो हफ़्ते पहले आई",
    ),
    (
        clause(HE, "work", tense="future", time=moments.on_day(0)),
        "he will work on monday",
        "er wird am Montag arbeiten",
        "वह सोमवार को काम करेगा",
    ),
    (
        clause(HE, "work", tense="future", time=moments.in_time(3, "day")),
        "he will work in three days",
        "er wird in drei Tagen arbeiten",
        "वह तीन दिन बाद काम करेगा",
    ),
    (moments.it_is_time(1), "it is one o'clock", "es ist ein Uhr", "एक बजा है"),
    (moments.it_is_time(1, 2), "it is half past one", "es ist halb zwei", "डेढ़ बजा है"),
    (moments.it_is_time(2, 2), "it is half past two", "es ist halb drei", "ढाई बजे हैं"),
    (moments.it_is_time(12, 3), "it is quarter to one", "es ist Viertel vor eins", "पौने एक बजा है"),
    (
        moments.leaves(NP("train", "the"), "leave", moments.o_clock(7, 2)),
        "the train leaves at half past seven",
        "der Zug fährt um halb acht ab",
        "ट्रेन साढ़े सात बजे चलती है",
    ),
    (
        moments.leaves(NP("shop", "the"), "close", moments.o_clock(5)),
        "the shop closes at five o'clock",
        "der Laden macht um fünf Uhr zu",
        "दुकान पाँच बजे बंद होती है",
    ),
    (
        moments.weather("cold", say.at(NP("delhi")), TODAY, very=True),
        "it is very cold in delhi today",
        "es ist heute in Delhi sehr kalt",
        "आज दिल्ली में बहुत ठंड है",
    ),
    (moments.day_is("yesterday", 6), "yesterday was sunday", "gestern war Sonntag", "कल रविवार था"),
    (
        moments.birthday(MOTHER, TOMORROW),
        "my mother's birthday is tomorrow",
        "der Geburtstag meiner Mutter ist morgen",
        "मेरी माँ का जन्मदिन कल है",
    ),
    # --- sentences in sentences
    (
        say.joined(Clause(GIRL, "come", tense="past", negative="not"), "because", Copula(SHE, "tired", tense="past")),
        "the girl did not come because she was tired",
        "das Mädchen ist nicht gekommen weil sie müde war",
        "लड़की नहीं आई क्योंकि वह थकी हुई थी",
    ),
    (
        say.joined(Clause(ANNA, "sing"), "but", Clause(PETER, "dance")),
        "anna sings but peter dances",
        "Anna singt aber Peter tanzt",
        "अन्ना गाती है लेकिन पीटर नाचता है",
    ),
    (
        say.said(ME, "think", Clause(HE, "open", NP("door", "the"), tense="past")),
        "i think that he opened the door",
        "ich glaube dass er die Tür aufgemacht hat",
        "मुझे लगता है कि उसने दरवाज़ा खोला",
    ),
    (
        say.said(SHE, "say", Clause(PETER, "close", NP("window", "the"))),
        "she says that peter closes the window",
        "sie sagt dass Peter das Fenster zumacht",
        "वह कहती है कि पीटर खिड़की बंद करता है",
    ),
    (
        say.if_it_rains(TOMORROW, Clause(WE, "play:game", NP("cricket"), tense="future")),
        "if it rains tomorrow we will play cricket",
        "wenn es morgen regnet werden wir Cricket spielen",
        "अगर कल बारिश होगी तो हम क्रिकेट खेलेंगे",
    ),
    (
        say.that_was_bought(ANNA, "buy", NP("book", "the", plural=True), "good"),
        "the books that anna bought are good",
        "die Bücher die Anna gekauft hat sind gut",
        "जो किताबें अन्ना ने खरीदीं वे अच्छी हैं",
    ),
    (
        clause(
            WE, "go", tense="past", direction=say.to(MARKET), purpose=say.purpose("buy", NP("apple", plural=True), WE)
        ),
        "we went to the market to buy apples",
        "wir sind auf den Markt gegangen um Äpfel zu kaufen",
        "हम सेब खरीदने के लिए बाज़ार गए",
    ),
    (
        say.it_is("important", "open", NP("window", "the")),
        "it is important to open the window",
        "es ist wichtig das Fenster aufzumachen",
        "खिड़की खोलना ज़रूरी है",
    ),
]


@pytest.mark.parametrize(("said", "en", "de", "hi"), SENTENCES, ids=[row[1] for row in SENTENCES])
def test_a_sentence_is_said_as_people_say_it(said, en, de, hi):
    assert said == Phrase(en, de, unicodedata.normalize("NFC", hi))


# --- forms


@pytest.mark.parametrize(
    ("word", "forms"),
    [  # direct and oblique, singular then plural
        ("boy", "लड़का लड़के लड़के लड़कों"),
        ("man", "आदमी आदमी आदमी आदमियों"),
        ("brother", "भाई भाई भाई भाइयों"),
        ("house", "घर घर घर घरों"),
        ("village", "गाँव गाँव गाँव गाँवों"),
        ("potato", "आलू आलू आलू आलुओं"),
        ("uncle", "चाचा चाचा चाचा चाचाओं"),
        ("girl", "लड़की लड़की लड़कियाँ लड़कियों"),
        ("book", "किताब किताब किताबें किताबों"),
        ("bird", "चिड़िया चिड़िया चिड़ियाँ चिड़ियों"),
        ("kitchen", "रसोई रसोई रसोइयाँ रसोइयों"),
        ("cow", "गाय गाय गायें गायों"),
        ("table", "मेज़ मेज़ मेज़ें मेज़ों"),
    ],
)
def test_hindi_nouns_have_four_forms(word, forms):
    entry = lexicon().nouns[word]
    made = [hindi.noun(entry, plural=plural, oblique=oblique) for plural in (False, True) for oblique in (False, True)]
    assert made == unicodedata.normalize("NFC", forms).split()


@pytest.mark.parametrize(
    ("np", "forms"),
    [  # nominative, accusative, dative, genitive
        (NP("boy", "the"), "der Junge, den Jungen, dem Jungen, des Jungen"),
        (
            NP("teacher", "a", adjective="good"),
            "ein guter Lehrer, einen guten Lehrer, einem guten Lehrer, eines guten Lehrers",
        ),
        (NP("child", "the", plural=True), "die Kinder, die Kinder, den Kindern, der Kinder"),
        (NP("woman", "my"), "meine Frau, meine Frau, meiner Frau, meiner Frau"),
        (NP("water", adjective="cold"), "kaltes Wasser, kaltes Wasser, kaltem Wasser, kalten Wassers"),
        (
            NP("man", count=3, adjective="old:person"),
            "drei alte Männer, drei alte Männer, drei alten Männern, drei alter Männer",
        ),
        (NP("friend", "this"), "dieser Freund, diesen Freund, diesem Freund, dieses Freundes"),
        (
            NP("car", "no", adjective="expensive"),
            "kein teures Auto, kein teures Auto, keinem teuren Auto, keines teuren Autos",
        ),
        (NP("name", "the"), "der Name, den Namen, dem Namen, des Namens"),
    ],
)  # fmt: skip
def test_german_noun_phrases_have_four_cases(np, forms):
    assert ", ".join(german.noun_phrase(np, case) for case in german.CASES) == forms


def test_numerals_are_in_words():
    for language in (english, german, hindi):
        made = [language.number(count) for count in range(101)]
        assert len(set(made)) == 101
        assert not any(re.search(r"\d", word) for word in made)
    assert [english.number(count) for count in (2, 12, 21, 100)] == ["two", "twelve", "twenty one", "one hundred"]
    assert [german.number(count) for count in (2, 16, 17, 21, 30, 67)] == [
        "zwei", "sechzehn", "siebzehn", "einundzwanzig", "dreißig", "siebenundsechzig",
    ]  # fmt: skip
    for count, word in {9: "नौ", 19: "उन्नीस", 29: "उनतीस", 35: "पैंतीस", 48: "अड़तालीस", 59: "उनसठ", 66: "छियासठ",
                        79: "उन्यासी", 89: "नवासी", 90: "नब्बे", 99: "निन्यानवे", 100: "सौ"}.items():  # fmt: skip
        assert hindi.number(count) == unicodedata.normalize("NFC", word)


def attributes():
    """Every adjective with every noun that it may describe."""
    for key, adjective in lexicon().adjectives.items():
        for word, noun in lexicon().nouns.items():
            if not adjective.kinds.isdisjoint(noun.kinds):
                yield key, adjective, word, noun


def test_hindi_adjectives_agree_with_their_noun():
    endings = {("m", False): "ा", ("m", True): "े", ("f", False): "ी", ("f", True): "ी"}
    letters = {"ा": "ाआ", "े": "ेए", "ी": "ीई"}
    seen = Counter()
    for key, adjective, word, noun in attributes():
        for plural in (False, True) if noun.is_counted else (False,):
            np = NP(word, "this", plural)
            said = say.sentence(Copula(np, key)).hi.split()
            shown = plural or (noun.kinds >= {"honoured"} and hindi.is_honoured(np))
            quality, verb = said[-1 - len(adjective.hi.split()) : -1], said[-1]
            assert verb == ("हैं" if shown else "है"), said
            for base, form in zip(adjective.hi.split(), quality, strict=True):
                if base[-1] in "ाआ":
                    assert form[-1] in letters[endings[noun.gender, shown]], said
                    seen[noun.gender, shown] += 1
                else:
                    assert form == base
    assert min(seen.values()) > 30 and len(seen) == 4


def test_german_adjectives_agree_with_their_noun():
    after_ein, after_der = {"m": "er", "f": "e", "n": "es"}, {"m": "e", "f": "e", "n": "e"}
    count = 0
    for key, adjective, word, noun in attributes():
        if not adjective.attributive or not noun.is_counted:
            continue
        ein, der = NP(word, "a", adjective=key), NP(word, "the", adjective=key)
        article = {"m": "der", "f": "die", "n": "das"}[noun.de_gender]
        feminine = "eine" if noun.de_gender == "f" else "ein"
        assert german.noun_phrase(ein) == f"{feminine} {adjective.de_stem}{after_ein[noun.de_gender]} {noun.de}"
        assert german.noun_phrase(der) == f"{article} {adjective.de_stem}{after_der[noun.de_gender]} {noun.de}"
        assert german.noun_phrase(NP(word, plural=True, adjective=key)) == f"{adjective.de_stem}e {noun.de_plural}"
        count += 1
    assert count > 250


def test_the_perfective_agrees_with_the_object_unless_it_is_marked():
    endings = {("m", False): "ा", ("m", True): "े", ("f", False): "ी", ("f", True): "ीं"}
    for word in ("book", "mango", "banana", "picture", "shoe", "chair", "camera"):
        for plural in (False, True):
            noun = lexicon().nouns[word]
            said = [
                say.sentence(Clause(subject, "buy", NP(word, "the", plural), tense="past")).hi
                for subject in (BOY, GIRLS, ME)
            ]
            assert {line.split()[-1] for line in said} == {"खरीद" + endings[noun.gender, plural]}
    for person in (GIRL, GIRLS, NP("maria"), SHE, NP("woman", "the", plural=True)):
        assert say.sentence(Clause(BOY, "see", person, tense="past")).hi.endswith("देखा")


# --- the lexicon


def vocabulary():
    """All words that the grammar of the recogniser's demo can say."""
    words = set()
    for kind, (alternatives, _, are_words) in grammar._rules().items():
        for entry in alternatives:
            if not are_words:
                words.update(re.findall(r"[a-z']+", re.sub(r"<[^>]*>", "|", entry)))
                continue
            forms = entry.replace("_", " ").split("/")
            forms += [grammar._form(entry, form) for form in ("sdng" if kind.startswith("v_") else ["pl"])]
            words.update(" ".join(forms).split())
    return words | {grammar.plural(word) for word in words}


@pytest.fixture(scope="module")
def stressed():
    """Sentences in which the rare words are as frequent as the others."""
    usual, draw.TAIL = draw.TAIL, 1
    try:
        rng = random.Random(0)
        return [phrases.drawn(rng) for _ in range(9000)]
    finally:
        draw.TAIL = usual


def test_english_has_only_words_that_the_recogniser_knows(stressed):
    known = vocabulary()
    for _, phrase in stressed:
        assert re.fullmatch(r"[a-z']+( [a-z']+){1,13}", phrase.en), phrase.en
        unknown = [word for word in phrase.en.split() if word not in known and word.removesuffix("'s") not in known]
        assert not unknown, (unknown, phrase.en)


def test_every_entry_is_used(stressed):
    said = Counter(word for _, phrase in stressed for word in phrase.en.split())
    joined = " | ".join(phrase.en for _, phrase in stressed)
    entries = lexicon()
    for noun in entries.nouns.values():
        assert said[noun.en] or said[noun.en_plural], noun.en
    for name in (name for names in entries.names.values() for name in names):
        assert said[name] or said[name + "'s"], name
    for adjective in (*entries.adjectives.values(), *entries.comparatives.values()):
        assert said[adjective.en], adjective.en
    for verb in entries.verbs.values():
        assert any(said[english.form(verb, ending).split()[0]] for ending in ("", "s", "d", "g", "n")), verb.en
    for fixed in (*entries.relations, *entries.manners, *(word for kind in entries.phrases.values() for word in kind)):
        assert re.search(rf"\b{fixed}\b", joined), fixed
    for place in entries.places:
        assert re.search(rf"\b(in|at|on) the {place}\b", joined) and re.search(rf"\bto the {place}\b", joined), place


def test_every_pattern_is_used_and_no_form_is_missing(stressed):
    assert {name for name, _ in stressed} == set(phrases.PATTERNS)
    assert len(phrases.PATTERNS) >= 50
    for _, phrase in stressed:
        assert re.fullmatch(r"[A-Za-zÄÖÜäöüß]+( [A-Za-zÄÖÜäöüß]+)*", phrase.de), phrase
        assert re.fullmatch(r"[\u0900-\u0963]+( [\u0900-\u0963]+)*", phrase.hi), phrase


def test_entries_are_whole():
    entries = lexicon()
    assert len(entries.nouns) >= 110 and len(entries.verbs) >= 60
    assert len(entries.adjectives) + len(entries.manners) + sum(map(len, entries.phrases.values())) >= 60
    assert sum(map(len, entries.names.values())) >= 38
    for noun in entries.nouns.values():
        assert noun.gender in ("m", "f") and noun.de[0].isupper() and noun.hi
        assert ("job" in noun.kinds) == bool(noun.feminine[0]), noun.en
    kinds = set().union(*(noun.kinds for noun in entries.nouns.values()), {"person_name"})
    for entry in (*entries.adjectives.values(), *entries.comparatives.values(), *entries.relations.values()):
        assert entry.kinds <= kinds, (entry.en, entry.kinds - kinds)
    for verb in entries.verbs.values():
        assert verb.objects <= kinds, (verb.en, verb.objects - kinds)
    for adverb in entries.manners.values():
        assert any(verb in entries.verbs for verb in adverb.kinds)


def test_the_lexicon_and_the_sentences_are_normalised(stressed):
    assert text() == unicodedata.normalize("NFC", text())
    for _, phrase in stressed:
        assert normalise("indic", phrase.hi) == phrase.hi
        assert phrase.de == unicodedata.normalize("NFC", phrase.de)


def test_a_word_that_there_is_not_is_named():
    with pytest.raises(ConfigError, match="'spaceship'"):
        clause(BOY, "buy", NP("spaceship", "a"))
    with pytest.raises(ConfigError, match="tense is 'pluperfect'"):
        Clause(BOY, "read", tense="pluperfect")
    with pytest.raises(ConfigError, match="determiner is 'an'"):
        NP("apple", "an")


# --- pairs and manifests


def test_splits_share_no_sentence_and_repeat_none():
    drawn = {split: phrases.pairs(split, 300, seed=1) for split in grammar.SPLITS}
    for split, pairs in drawn.items():
        assert len({phrase.en for phrase in pairs}) == 300
        assert {grammar.split_of(phrase.en) for phrase in pairs} == {split}
    with pytest.raises(ConfigError, match="'training'"):
        phrases.pairs("training", 1, seed=0)


def test_same_seed_same_pairs():
    assert phrases.pairs("train", 40, seed=7) == phrases.pairs("train", 40, seed=7)
    assert phrases.pairs("train", 40, seed=7)[:20] == phrases.pairs("train", 20, seed=7)
    assert not set(phrases.pairs("train", 40, seed=7)) >= set(phrases.pairs("train", 40, seed=8))
    assert phrases.pair(random.Random(3)) == phrases.pair(random.Random(3))


def test_five_hundred_pairs_cover_the_words_of_a_test():
    shares = []
    for seed in range(3):
        known = {word for phrase in phrases.pairs("train", 500, seed) for word in phrase.hi.split()}
        running = [word for phrase in phrases.pairs("test", 300, seed) for word in phrase.hi.split()]
        shares.append(sum(word in known for word in running) / len(running))
    assert sum(shares) / len(shares) > 0.965


def test_the_language_is_wide():
    pairs = phrases.pairs("train", 4000, seed=0)
    lengths = Counter(len(phrase.en.split()) for phrase in pairs)
    assert set(lengths) <= set(range(2, 15)) and sum(lengths[length] for length in range(4, 10)) > 0.8 * 4000
    assert len({phrase.hi for phrase in pairs}) > 0.97 * 4000  # कल is yesterday and tomorrow, वह he and she


def test_a_manifest_stands_for_its_pairs(tmp_path):
    manifest = phrases.write_pairs(tmp_path, "hi", "dev", 20, seed=2)
    assert manifest == tmp_path / "en-hi-dev.jsonl"
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    assert [(row["source"], row["text"]) for row in rows] == [(p.en, p.hi) for p in phrases.pairs("dev", 20, seed=2)]
    assert len({row["id"] for row in rows}) == 20
    assert {row["lang"] for row in rows} == {"hi"} and {row["group"]["pattern"] for row in rows} <= set(
        phrases.PATTERNS
    )

    written = manifest.stat().st_mtime_ns
    assert phrases.write_pairs(tmp_path, "hi", "dev", 20, seed=2).stat().st_mtime_ns == written
    phrases.write_pairs(tmp_path, "hi", "dev", 10, seed=2)
    assert len(manifest.read_text(encoding="utf-8").splitlines()) == 10
    german_rows = phrases.write_pairs(tmp_path, "de", "dev", 20, seed=2).read_text(encoding="utf-8").splitlines()
    assert [json.loads(row)["source"] for row in german_rows] == [row["source"] for row in rows]


def test_a_failed_manifest_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(phrases, "drawn", lambda rng: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        phrases.write_pairs(tmp_path, "de", "train", 5)
    assert not list(tmp_path.glob("*.jsonl*"))


def test_every_wrong_argument_is_named_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        phrases.write_pairs(tmp_path, "fr", "training", 0)
    for part in ("'fr'; expected one of de, hi", "'training'", "count is 0; expected > 0"):
        assert part in str(caught.value)


def test_the_fingerprint_follows_the_lexicon(monkeypatch):
    before = phrases.fingerprint()
    phrases.fingerprint.cache_clear()
    assert phrases.fingerprint() == before
    phrases.fingerprint.cache_clear()
    monkeypatch.setattr(phrases, "text", lambda: text() + "#")
    assert phrases.fingerprint() != before
    phrases.fingerprint.cache_clear()


def test_the_package_loads_no_torch(pytestconfig):
    import subprocess

    code = "import sys, speechxfer.demo.phrases; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=pytestconfig.rootpath).returncode == 0
