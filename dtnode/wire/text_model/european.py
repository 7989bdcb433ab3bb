"""Priming text of the text model: German, French, Spanish, Portuguese, Italian, Dutch.

Written for dtnode, not taken from anywhere. Phrases stand between bars or line ends.
`dtnode.wire.text_model.priming` puts them together. A change here changes what compressed bytes
mean: it needs a new TABLE_VERSION.
"""

PHRASES = """\
hallo|Hallo zusammen|Guten Morgen!|guten Abend|gute Nacht, schlaft gut|wie geht es dir?
wie geht es euch?|mir geht es gut, danke|uns geht es gut|alles gut bei uns|alles klar
alles in Ordnung|danke|vielen Dank für die Hilfe|bitte|kein Problem|ja|nein|ja, gerne|nein danke
noch nicht|vielleicht|bis bald|bis morgen|bis später|tschüss|viele Grüße|liebe Grüße an alle
ich liebe dich|ich vermisse dich|wo bist du?|wo seid ihr gerade?|wann kommst du?|wann seid ihr da?
wer ist noch da?|was ist passiert?|was machst du heute?|wie lange dauert das noch?
wie viel Wasser habt ihr noch?|hast du Zeit?|hast du meine Nachricht bekommen?|kannst du mir helfen?
Kannst du bitte Brot und Milch mitbringen?|könnt ihr uns hören?
habt ihr etwas von den anderen gehört?|ist jemand da?|ist das richtig?|weiß jemand, ob|ich bin da
ich bin unterwegs|ich bin gleich da|ich bin zu Hause|ich bin müde|ich komme morgen|ich komme später
ich weiß nicht|ich glaube nicht|ich habe keine Ahnung|ich habe es gefunden
ich habe keinen Empfang hier|ich melde mich später|ich rufe dich an|ich gehe jetzt schlafen
ich muss los|ich warte auf euch|wir sind gut angekommen|Wir sind auf der Hütte, es schneit.
wir sind noch unterwegs|wir sind in einer Stunde da|wir haben keinen Strom
Wir haben genug zu essen für drei Tage.|wir brauchen Hilfe|wir brauchen noch Diesel
wir brauchen dringend Trinkwasser und Decken|wir warten auf besseres Wetter
wir fahren morgen früh weiter|wir kommen am Samstag zurück|wir treffen uns um acht am Bahnhof
wir müssen umkehren|wir bleiben heute hier|das Wetter ist schön|das Wetter wird schlechter|es regnet
es regnet seit gestern|es ist kalt und windig|Sturm aus Nordwest, Stärke 8|starker Wind
leichter Wind aus Süden|Wellen|Gewitter|Nebel|Schnee|Sonne|15 Grad|die Straße ist gesperrt
die Brücke ist kaputt|der Motor läuft wieder|das Boot liegt im Hafen|der Anker hält
das Essen ist fertig|die Kinder schlafen schon|der Akku ist fast leer|der Arzt kommt am Montag
die Lage ist ruhig, keine Verletzten|Zwei Verletzte, bitte Rettungswagen schicken|Feuerwehr
Krankenhaus|Test|Test, bitte melden|gut zu empfangen|ich höre dich gut|schwaches Signal|Ende|Montag
Dienstag|Mittwoch|Donnerstag|Freitag|Samstag|Sonntag|heute|heute Abend|gestern|morgen früh|jetzt
gleich|immer|nie|nicht|auch|und|oder|aber|weil|wenn|dass|mit|ohne|für|von|nach|zu|zum|zur|auf der
auf dem|in der|im|am|bei|über|unter|ein|eine|einen|einer|kein|keine|mein|meine|dein|unser|unsere
euer|sehr|viel|mehr|wenig|groß|klein|schnell|Schöne Grüße aus den Bergen|Alles Gute zum Geburtstag!
Frohe Weihnachten|hier ist alles ruhig|schön|super|gut gemacht|Kaffee|Wasser|Brot|Haus|Schule|Arbeit
Auto|Zug|Schiff|Berg|See|Meer|Insel|Dorf|Stadt|Leute|Mutter|Vater|Oma|Opa|Bruder|Schwester|Freunde
Familie|eins|zwei|drei|vier|fünf|zehn|zwanzig|hundert|kommt ihr zum Abendessen?
Bitte denkt an warme Kleidung und Taschenlampen.|der Schlüssel liegt unter der Matte|bonjour
Bonjour à tous|bonsoir|bonne nuit|salut|coucou|ça va ?|Comment allez-vous ?|ça va bien, merci
tout va bien ici|merci|merci beaucoup pour votre aide|de rien|s'il vous plaît|s'il te plaît|oui|non
oui bien sûr|non merci|pas encore|peut-être|d'accord|à bientôt|à demain|à tout à l'heure|au revoir
bisous|je t'aime|tu me manques|où es-tu ?|où êtes-vous maintenant ?|quand est-ce que tu arrives ?
qui est là ?|qu'est-ce qui se passe ?|qu'est-ce que tu fais ?|combien de temps ?
combien d'eau vous reste-t-il ?|est-ce que tu as reçu mon message ?
est-ce que tout le monde va bien ?|Est-ce que quelqu'un peut nous aider ?|peux-tu m'appeler ?
tu peux acheter du pain ?|je suis là|je suis en route|je suis à la maison|je suis fatigué|j'arrive
j'arrive dans dix minutes|je ne sais pas|je n'ai pas compris|je n'ai pas de réseau ici|j'ai trouvé
j'ai besoin de toi|je vais dormir|je vous attends au port|je rentre demain|on est bien arrivés
on arrive|on mange à huit heures|on y va|nous sommes bien arrivés au camp|nous sommes en mer
nous avons besoin d'aide|nous avons besoin d'eau potable
nous avons assez de nourriture pour trois jours|nous partons demain matin|nous attendons la météo
Nous serons au village avant la nuit.|il fait beau|il fait froid|il pleut depuis hier|il y a du vent
il y a beaucoup de monde|il n'y a plus d'électricité|il n'y a pas de problème|c'est bon|c'est fini
c'est loin|ce n'est pas grave|vent de nord-ouest 20 nœuds|la mer est calme|la route est fermée
le pont est coupé|le moteur est en panne|la batterie est faible|le médecin arrive lundi
deux blessés, envoyez une ambulance|les enfants dorment|la situation est calme|essai radio
je vous reçois bien|terminé|aujourd'hui|hier|demain|ce soir|cette nuit|maintenant|toujours|jamais
lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|avec|sans|pour|dans|sur|chez|et|ou|mais
parce que|que|qui|le|la|les|des|du|une|un|mon|ma|mes|notre|votre|très|trop|plus|moins|beaucoup
un peu|grand|petit|bon|bonne|Bon anniversaire !|Joyeux Noël|bonne chance|bon voyage|bonne journée
mère|père|frère|sœur|amis|famille|l'eau|l'école|l'hôpital|ville|montagne|hola|¡Hola a todos!
buenos días|buenas tardes|buenas noches|¿cómo estás?|¿Cómo están todos?|estoy bien, gracias
todo bien por aquí|gracias|muchas gracias por la ayuda|de nada|por favor|sí|claro que sí|todavía no
tal vez|quizás mañana|vale|de acuerdo|hasta luego|hasta mañana|nos vemos pronto|adiós|un abrazo
besos|te quiero mucho|te extraño|¿dónde estás?|¿dónde están ahora?|¿cuándo llegas?|¿quién está ahí?
¿qué pasó?|¿qué haces?|¿cuánto falta?|¿cuánta agua les queda?|¿recibiste mi mensaje?|¿me escuchas?
¿puedes ayudarme?|¿Alguien puede traer pan y leche?|estoy en casa|estoy en camino|estoy cansado
ya voy|ya llegué|llego en diez minutos|no sé|no entiendo|no hay problema|no hay luz desde ayer
no tengo señal aquí|no puedo ir|tengo hambre|tengo que irme|voy a dormir|te llamo más tarde
llegamos bien|hemos llegado al puerto|estamos bien|estamos en el campamento
estamos esperando el barco|Salimos mañana temprano si el tiempo lo permite.|necesitamos ayuda
necesitamos agua potable y medicinas|tenemos comida para tres días|vamos a la playa|vamos|hace frío
hace calor|hace buen tiempo|está lloviendo mucho|viento del norte 15 nudos|mar en calma|tormenta
la carretera está cerrada|el puente está roto|el motor no funciona|la batería está baja
el médico viene el lunes|dos heridos|nadie está herido|los niños están durmiendo
la comida está lista|todo tranquilo|prueba de radio|cambio y fuera|hoy|ayer|mañana|esta noche
esta tarde|ahora|siempre|nunca|lunes|martes|miércoles|jueves|viernes|sábado|domingo|con|sin|para|por
desde|hasta|entre|sobre|y|pero|porque|cuando|el|los|las|una|del|mi|su|nuestro|muy|más|menos|mucho
poco|grande|pequeño|bueno|feliz cumpleaños|Feliz Navidad|buen viaje|buena suerte|madre|padre|hermano
hermana|amigos|familia|agua|casa|escuela|pueblo|ciudad|montaña|río|barco|isla|uno|dos|tres|cuatro
cinco|olá|oi|Oi pessoal, tudo bem?|bom dia|boa tarde|boa noite|tudo bem por aqui|como você está?
como estão todos?|estou bem, obrigado|obrigada|muito obrigado pela ajuda|sim|não|ainda não
talvez amanhã|até logo|até amanhã|tchau|beijos|um abraço|te amo|saudades|onde você está?
onde estão vocês?|quando você chega?|o que aconteceu?|quanto tempo falta?|recebeu a minha mensagem?
alguém pode ajudar?|você me ouve?|estou a caminho|estou em casa|estou chegando|não sei
não tem problema|não tenho sinal aqui|preciso de ajuda|vou dormir|chegamos bem
estamos bem, todos com saúde|estamos no barco|precisamos de água e comida
Saímos amanhã de manhã cedo.|temos comida para três dias|está chovendo|está frio|o mar está calmo
vento forte|a estrada está fechada|a ponte caiu|o motor não funciona|a bateria está fraca
o médico vem na segunda-feira|as crianças estão dormindo|hoje|ontem|amanhã|agora|à noite|segunda
terça|quarta|quinta|sexta|com|sem|uma|das|mas|quando|muito|feliz aniversário|boa viagem|boa sorte
mãe|pai|irmão|irmã|água|ciao|Ciao a tutti|buongiorno|buonasera|buona notte|come stai?|come va?
sto bene, grazie|tutto bene qui|grazie mille|prego|per favore|sì|va bene|non ancora|forse domani
a presto|a domani|ci vediamo|un abbraccio|baci|ti amo|mi manchi|dove sei?|dove siete adesso?
quando arrivi?|che cosa è successo?|quanto manca?|hai ricevuto il messaggio?|qualcuno può aiutarci?
mi senti?|sono a casa|sono in viaggio|sono stanco|arrivo subito|arrivo tra dieci minuti|non lo so
non c'è problema|non c'è corrente|non ho campo qui|ho fame|vado a dormire|siamo arrivati bene
siamo al rifugio|stiamo tutti bene|siamo in porto|abbiamo bisogno di aiuto
abbiamo bisogno di acqua e coperte|abbiamo cibo per tre giorni|Partiamo domani mattina presto.
aspettiamo il traghetto|piove|fa freddo|fa caldo|c'è molto vento|mare calmo|vento da nord 20 nodi
la strada è chiusa|il ponte è crollato|il motore è rotto|la batteria è scarica
il medico arriva lunedì|due feriti|i bambini dormono|la cena è pronta|oggi|ieri|domani|adesso
stasera|lunedì|martedì|mercoledì|giovedì|venerdì|sabato|domenica|senza|della|nella|sul|perché|che
molto|più|buon compleanno|Buon Natale|buon viaggio|in bocca al lupo|fratello|sorella|famiglia
hallo allemaal|hoi|goedemorgen|goedenavond|welterusten|hoe gaat het?|hoe is het met jullie?
goed, dank je|alles goed hier|bedankt|dank je wel|hartelijk dank voor de hulp|graag gedaan
alsjeblieft|nee|nog niet|misschien|tot morgen|tot straks|tot ziens|doei|groetjes|kus|ik hou van je
ik mis je|waar ben je?|waar zijn jullie nu?|wanneer kom je?|wat is er gebeurd?|hoe laat?
hoe lang duurt het nog?|heb je mijn bericht gekregen?|kan iemand helpen?|kun je me horen?
ik ben thuis|ik ben onderweg|ik ben moe|ik kom eraan|ik weet het niet|ik heb geen bereik hier
ik ga slapen|we zijn goed aangekomen|we zijn in de haven|het gaat goed met ons|we hebben hulp nodig
we hebben genoeg water en eten|We vertrekken morgenvroeg als het weer goed is.
we wachten op de veerboot|het regent|het is koud|veel wind|wind uit het westen, kracht 5|rustige zee
storm|de weg is afgesloten|de motor doet het weer|de batterij is bijna leeg|de dokter komt maandag
de kinderen slapen|het eten is klaar|geen gewonden|vandaag|gisteren|morgen|vanavond|nu|maandag
dinsdag|woensdag|donderdag|vrijdag|zaterdag|zondag|zonder|voor|van|naar|het|een|niet|ook|maar|omdat
als|zijn|heel|veel|meer|fijne verjaardag|gefeliciteerd|goede reis|moeder|vader|broer|zus|vrienden
huis|schip|dorp|stad|eiland|twee|drie|vijf|hej|god morgon|tack så mycket|vi är framme
allt är bra här|hvordan går det?|takk|bra|dzień dobry|dziękuję|jak się masz?|wszystko dobrze|ahoj
děkuji|jak se máš?|dobrý den|merhaba|nasılsın?|teşekkür ederim|iyiyim|günaydın|γεια σου|καλημέρα
ευχαριστώ|όλα καλά|szia|köszönöm|jó reggelt|bună ziua|mulțumesc|xin chào|cảm ơn|bạn khỏe không?
kumusta|salamat
"""
