"""Lines that the phrases don't hold and nothing was tuned on; what they shrink to is asserted.

Not to be copied into the phrases. Used by test_model.py and by measurements.
"""

from __future__ import annotations

ENGLISH = """\
the wheel bearing sounds awful, we drive at 40
is auntie Rose already out of the clinic?
Mist over the water, could hear a foghorn
pitched camp by the second stream
all cattle moved above the flood line
who borrowed my spanner set
raining cats and dogs, roof holds
we changed crew in Lisbon, two newcomers
please keep a bunk for me, in by ten
her contractions started, 8 minutes apart
Repeater on Mount Olga needs a new fuse
i'll trade you honey for candles
no trace of the yellow dinghy so far
quiet night, a few stars, cold feet
pharmacy got the inhalers, come get yours
Satellite phone costs 2 dollars a minute, so short
mending nets today, out again on Friday
landing strip too soft, try the gravel one
can't make choir practice, sore throat
the bees survived the winter
we owe the baker 14 loaves
two trees down near the chapel, saw needed
grandpa beat me at chess again lol
turning around, crevasses everywhere
what channel are the rangers using?
Bakery opens 6 sharp, bring coins
spotted an orca with calf off the point
propane is out, cooking on wood now
missed the tide by 20 minutes, so we wait
thank the nurse from me, arm is healing nicely""".splitlines()

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
