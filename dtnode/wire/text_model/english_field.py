"""Priming text of the text model, English: boats, expeditions, rescue, radio, villages, machines.

Written for dtnode, not taken from anywhere. Phrases stand between bars or line ends.
`dtnode.wire.text_model.priming` puts them together. A change here changes what compressed bytes
mean: it needs a new TABLE_VERSION.
"""

PHRASES = """\
weather|the weather is good|The weather is getting worse|weather forecast for tonight
the forecast is bad|What's the weather like there?|sunny and warm|clear sky|blue sky, light breeze
cloudy|overcast|some clouds|light rain|heavy rain all day|raining again|it rained all night
showers and thunder|thunderstorm coming|storm warning|gale warning for the next 12 hours
big storm expected on Friday|snow|snowing since midnight|30 cm of fresh snow|heavy snow on the pass
fog|thick fog|fog in the morning, clear later|visibility 2 miles|visibility is poor|ice on the road
black ice|frost tonight|minus 10 degrees|-15 C|+4 C and rain|28 degrees|temperature 22 C|temp 18
humidity 80%|pressure is falling|barometer 1013 and rising|1008 hPa|wind|no wind
light wind from the east|strong wind|wind NW 15 kn|wind is up to 30 knots|gusts of 40 knots
wind is dropping|The wind turned to the north|southerly wind, force 6|south-east|northwest
north-east|SW 4 to 5|westerly|sea is calm|sea state 3|rough sea|swell 2 m from the west
waves of 3 meters|high tide at 14:20|low tide|tide is going out|current is strong
water temperature 12|sunrise at 6:12|sunset 20:45|full moon|dry season|the rain has stopped
The river is rising|the river is too high to cross|water level is going down|flood|boat
the boat is ok|The boat is fine|ship|ship's time|sailing|we are sailing|motoring|under sail
under engine|sailing south at 6 knots|making good speed|speed 5.5 knots|course 240|heading east
heading for the harbour|heading back to port|course and speed unchanged|turning back
we're in the harbour|in port|at anchor|anchored|anchored in 8 m of water|anchor is holding
anchor dragging|we had to move the anchorage|moored|moored alongside|tied up at the pier|at the dock
left the dock at 0630|we left the marina at nine|mooring|main sail torn|the mainsail is repaired
reefed|two reefs in the main|jib|genoa|spinnaker|rudder|keel|mast|rigging|deck|cabin|hull|leak
small leak, pump is working|bilge pump|dinghy|life raft|life jackets|fenders|autopilot is broken
the autopilot works again|engine trouble|engine problems, need a tow|engine overheating
engine is running again|oil pressure low|changed the oil filter|the propeller is fouled
fishing net in the prop|fuel|we have 60 litres of diesel|fuel is low|low on fuel|fuel for three days
petrol|diesel|gas|a full tank|fresh water|fresh water for ten days|water tank is full|watermaker
waypoint|next waypoint|waypoint 7|lat|lon|position|our position is|My position:|position at noon
Position report|position unknown|send your position|what is your position?|What's your ETA?|ETA
ETA 1800|ETA tomorrow morning|ETA 2 hours|eta noon|60 miles to go|120 nm to go
15 nautical miles south of the island|3 nm off the cape|distance 25 km|5 km from camp
2 km north of the village|12 miles west of here|54.3210 N 10.1234 E|N 47 22.5 E 008 32.1
lat 36.8 lon -5.4|51.5074, -0.1278|40.7128 -74.0060|S 33 51.2 W 018 25.9|12°34'N 045°10'W|JO62QM
IO91|FN31pr|grid square KP20|island|the island|islands|bay|the bay|reef|cape|channel|strait|harbour
harbor entrance|port side|starboard|lighthouse|buoy|red buoy|green light|shallow|depth 4.5 m
depth 12 meters|aground|we ran aground|all aboard|man overboard|all crew safe|crew of four
crew is well|the crew is tired but happy|Everyone on board is fine|watch|my watch|night watch
on watch until four|log|logbook|chart|charts|compass|GPS|gps fix|radar|AIS|VHF|VHF channel 16|ch 72
coast guard|Coast guard informed|customs|passport|marina|fishing|good catch today|no fish today
caught two tuna|whales|dolphins|seagulls|sharks|camp|base camp|Base camp to team two|camp 1
high camp|we reached camp 3|tents are up|the tent is wet|tent|sleeping bag|stove|gas for the stove
rope|ropes fixed|crampons|ice axe|harness|helmet|gloves|boots|socks|jacket|headlamp|head torch
backpack|sled|skis|ski|dogs|the dogs are fine|summit|summit at 11:40|going for the summit tonight
on the ridge|ridge|glacier|crevasse|avalanche|avalanche risk is high|rock fall|altitude 4800 m
elevation 2,350 m|climbing|climbing down|descending|going down|we are going up tomorrow|trail
the trail is blocked|path|track|route|the route is clear|pass|valley|forest|hut|we are at the hut
shelter|cave|hill|lake|river crossing|waterfall|desert|oasis|dune|sand|sandstorm|jungle|swamp|steppe
ice|ice is thick enough|research station|station|samples|samples collected|drill|data logger
weather station|antenna|solar panel|solar panels|generator|the generator is running
generator stopped|battery|battery low|battery at 40%|batteries are charged|charging|battery 12.6 V
12 volts|5 watts|100 W|power is back|power is out|power cut since 3 pm|no electricity|cable|cables
spare parts|spare|spare wheel|flat tyre|puncture|the car broke down|truck|truck is stuck in the mud
trucks|convoy|convoy leaves at 7|bus|the bus is full|train|the train was late|bike|bicycle|motorbike
horse|donkey|helicopter|helicopter can't land|plane|plane arrives at 16:30|flight|flight cancelled
airfield|runway|road|the road is open|The road is closed|road blocked by trees|bridge is down
the bridge is damaged|detour|checkpoint|border closed|traffic|tunnel|rescue|rescue team
search and rescue|search continues|Rescue is coming|rescue helicopter on its way|emergency
This is an emergency|MAYDAY MAYDAY MAYDAY|PAN PAN|SOS|distress|evacuate|evacuation
Evacuation order for the whole area|evacuate to higher ground|earthquake|strong earthquake
aftershock|aftershocks all night|fire|forest fire|fire under control|smoke|landslide|hurricane
cyclone|tsunami warning|flooded|the village is flooded|houses destroyed|building collapsed
roof damaged|many damaged|people trapped|two people missing|3 missing|one missing person found
all accounted for|no casualties|injured|two injured|5 injured, 1 serious|not serious|wounded|dead
survivors|dozens of families|refugees|displaced people|shelter for 200 people
the school is used as a shelter|tents needed|blankets|300 blankets|need blankets and tents
need drinking water|clean water|drinking water is running out|boil the water
water purification tablets|food|food for 3 days|food supplies|rice|rice and beans|50 bags of rice
flour|bread|fresh bread|milk|eggs|cheese|butter|sugar|salt|oil|tea|coffee|no more coffee
coffee is ready|potatoes|onions|tomatoes|vegetables|fruit|apples|bananas|oranges|lemons|meat|chicken
fish|fish for dinner|soup|pasta|chocolate|beer|wine|breakfast|lunch|lunch is ready|dinner
Dinner at seven|dinner's ready|what's for dinner?|cooking|delicious|recipe|shopping list|groceries
market day|price|prices|cheap|expensive|money|pay|cash|dollars|euros|$20|100 EUR|medicine|medicines
medical kit|first aid|first aid kit|bandages|antibiotics|insulin|we need insulin urgently
painkillers|ibuprofen 400 mg|aspirin|vaccine|vaccination|oxygen|blood|blood type 0 negative
blood pressure 120/80|pulse 88|temperature 39.2|fever|high fever since yesterday|cough|headache
stomach ache|diarrhoea|vomiting|infection|wound|broken leg|broken arm|burns|pain|chest pain|allergic
patient|patient stable|patient is stable|patient transferred|hospital|clinic|ambulance|doctor needed
the doctor comes on Thursday|midwife|pregnant|birth|it's a girl!|a healthy boy|surgery
feeling better|he feels better today|she is recovering|get well|rest|needs rest|nurse on duty
dentist|glasses|team 1|team leader|Team 2 in position|volunteers|volunteers needed|20 volunteers
staff|Red Cross|police|army|fire brigade|mayor|meeting|meeting at 10|the meeting is at eight
Meeting moved to 15:00|meeting point|report|situation report|status|status report|Status: green
status ok|sitrep|update|update at 18:00|no change|nothing to report|nothing new here
Next update in 2 hours|next contact at 2100|next sked|next check|schedule|request|requesting
request support|request permission|supplies|supplies arrived|supply drop|delivery|delivered|order
we ordered|stock|list|inventory|quantity|boxes|10 boxes|kg|25 kg|litres|200 litres|tons|m|km|cm|mm
meters|metres|miles|feet|hours|hrs|minutes|min|seconds|days|weeks|h|UTC|0800 UTC|1200Z|06:00|07:15
09:30|10:00|11:45|12:00|13:30|16:20|17:00|18:45|19:00|20:30|21:15|22:00|23:59|2026-03-14|12/04
1st of May|5th|15 June|24 December|2 pm|7 am|9:30 pm|1 2 3 4 5 6 7 8 9 10
20 30 40 50 60 70 80 90 100|150 250 500 1000|radio|radio check|Radio check, over|over|over and out
out|roger|Roger that|roger, wilco|copy|copy that|Copied|say again|say again please|stand by
standing by|standing by on channel 12|loud and clear|5 by 5|weak signal|weak but readable|signal
signal is weak|no signal|bad signal here|signal lost|interference|noise|too much noise|static
antenna is down|antenna up 10 m|new antenna|dipole|vertical|yagi|tuner|SWR 1.5|feedline|repeater
the repeater is down|gateway|relay|relaying for|node|mesh|mesh node|node on the hill|link|link is up
link down|the link is working again|hop|hops|two hops|range|range test|in range|frequency|freq
14.300 MHz|7.074|3.5 MHz|145.500|433 MHz|868 MHz|915|20m band|40 m|80m|2m|70cm|HF|UHF|SSB|FM|CW|FT8
JS8|packet|packet radio|APRS|LoRa|lora|SNR|SNR 7 dB|RSSI -110|dB|dBm|QRP 5 W|QSO|QSL|QTH|QTH is|QRM
QRN|QSB|QRT|QRT now|QRV|QRX|QRX 5|QRZ?|QSY|QSY 7.110|QSP|CQ CQ CQ|CQ CQ de|73|73 de|88|de|UR RST 599
RST 579|TNX|TNX FER CALL|HW?|BK|SK|K|OM|YL|XYL|GM|GE|WX|RIG|ANT|name is|my name is|DL1ABC|DF7XYZ
G4ABC|W1AW|K7ABC|N0CALL|VK3ABC|ZL2AB|JA1XYZ|F5ABC|EA3XYZ|I2ABC|PA3XYZ|OE5ABC|HB9XYZ|SM0ABC|OH2XY
UR5ABC|RA3XYZ|PY2ABC|LU1XYZ|alpha|bravo|charlie|delta|echo|foxtrot|golf|hotel|india|juliet|kilo|lima
mike|november|oscar|papa|quebec|romeo|sierra|tango|uniform|victor|whiskey|x-ray|yankee|zulu|phone
my phone is dead|phone number|call|message|messages|text me|email|mail|photo|photos|picture|video
voice|file|internet|no internet|internet is down|internet is back|wifi|wifi password|network|online
offline|computer|laptop|software|update the software|reboot|restart|I restarted the server|server
password|code|test|test 1|test 2|testing|Testing 1 2 3|test ok|error|it says error|log file|settings
channel 3|room|group|new group|user|address|name|number|id|https://|http://|https://www.|.com|.org
.net|https://en.wikipedia.org/wiki/|https://www.youtube.com/watch?v=|https://github.com/
https://maps.google.com/?q=|https://osm.org/#map=|https://matrix.to/#/|.html|.pdf|.jpg
@user:example.org|name@example.com|info@|www.|index.html|README.md|sudo apt install|cd /etc
ping 192.168.1.1|10.0.0.1|localhost:8080|git pull|house|home|at home|the house is cold|door|window
roof|kitchen|bed|garden|school|the school is closed today|school starts at 8|class|books|exam|church
mosque|temple|shop|market|village|the village|our village|town|city|farm|farmer|field|fields|harvest
harvest was good|crops|seeds|maize|wheat|cattle|cow|cows|goats|sheep|chickens|dog|our dog|cat
the cat is back|animals|tree|trees|wood|firewood|the well is dry|the pump is broken|pump|water pump
pipe|tools|hammer|saw|knife|axe|shovel|nails|screws|paint|repair|repaired|I can repair it|fix|fixed
We fixed the roof today|build|building a wall|work|working|work tomorrow|at work|job|finished|done
All done|done for today|not finished|started|starting|party|wedding|The wedding is on Saturday
birthday party|funeral|football|the match|game|we won!|we lost 2:1|music|song|book|movie|film|play
holiday|trip|travel|walk|swim|run|dance|sing|sleep|slept|dream|drink|eat|eating|sit|stand
"""
