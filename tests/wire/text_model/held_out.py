"""Lines that the phrases don't hold and nothing was tuned on; what they shrink to is asserted.

Not to be copied into the phrases. Used by test_model.py and by measurements.
"""

from __future__ import annotations

ENGLISH = """\
Found a dry spot under the cliff, will sleep here
did the parcel from Hamburg come?
three of us have blisters, walking is slow
engine room is wet but pumps keep up
Dad fell off the ladder, wrist is swollen
can you lend me your drill for a day
lightning hit the mast, radio was off luckily
the choir meets at Julie's place instead
no eggs today, the fox was here again
Tide turns at 4, let's be off by then
My tooth hurts like hell, any dentist around?
queue at the border is about 3 km
we boiled the water twice, it still smells
ok but who feeds the horses on Sunday
She passed her exam!!! so proud
snow bridge collapsed, everyone roped, fine
helmet, gloves and a whistle for each kid
kayak rental closes at six, hurry
please check if valve 3 is really shut
signal report 4 by 7, try a longer wire
stuck behind a herd of sheep, 20 min more
the mosque has electricity, charge there
what's that noise on 27 MHz all evening?
lost sight of land at 0940, course 195
grandson born at 3:12, 3.4 kg, both fine!
ration is two biscuits and a tin of fish
thanks mate, owe you a beer
wasps in the attic, don't open the hatch
two canoes overdue since yesterday noon
bus leaves from platform 5 not 8""".splitlines()

OTHERS = """\
Wir haben das Zelt neben dem Fluss aufgebaut
Kann jemand den Hund am Mittwoch nehmen?
Le bateau est amarré derrière la digue
On n'a plus de pain, tu peux en ramener ?
Mañana cruzamos el río con las mulas
¿Alguien tiene una cuerda larga?
O caminhão ficou preso na lama ontem
Você viu o meu casaco azul?
Abbiamo trovato un sentiero più sicuro
Il gatto è tornato da solo stamattina
De fiets staat achter de schuur
Wie haalt de kinderen van school?
Ми знайшли сухі дрова біля річки
Корова втекла, шукаємо її в полі
Мы поставили палатку у озера
Кто видел мою красную лодку?
وجدنا مكانا جافا قرب النهر
هل عندك حبل طويل؟
हमें नदी के पास जगह मिली
क्या किसी के पास रस्सी है?
Perahu kami bocor tapi masih bisa jalan
Siapa yang punya tali panjang?
Tumepata maji safi karibu na mto
Nani ana kamba ndefu?
我们在河边找到了干木头
谁看见我的红色外套了？
川の近くで乾いた薪を見つけました
長いロープを持っている人はいますか
강가에서 마른 나무를 찾았어요
누가 내 빨간 배를 봤어요?""".splitlines()
