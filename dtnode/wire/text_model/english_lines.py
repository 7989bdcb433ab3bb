"""Priming text of the text model, English: whole messages, as they are sent from anywhere.

Written for dtnode, not taken from anywhere. Phrases stand between bars or line ends.
`dtnode.wire.text_model.priming` puts them together. A change here changes what compressed bytes
mean: it needs a new TABLE_VERSION.
"""

PHRASES = """\
We reached the village before sunset, everybody is tired but happy.
the ferry was cancelled because of the storm, we stay another night
Can you please tell my parents that I arrived safely and that I will call on Sunday?
The generator stopped again this morning, I think there is dirt in the fuel.
Sorry for not writing, we had no signal in the valley for three days
we saw smoke behind the ridge, can anybody confirm?
I left the keys with the neighbours, just ring the bell and ask for them
could somebody bring more tea and sugar when you come up next week
the second truck will be late, it had to go around because the bridge is closed
If the wind stays like this we should be there on Wednesday afternoon.
Our solar panel is covered with snow, so we only switch on the radio twice a day
the doctor says he has to rest for at least a week and drink a lot
Please check the water level at the dam every two hours and report it here.
Twenty families are sleeping in the school, most of them need dry clothes and hot food
I talked to the captain, there is room for two more people on the boat
my battery is almost empty, I will switch off now and come back in the evening
Does anyone know if the shop by the harbour is open today?
We had to turn around 400 m below the summit because of strong wind and poor visibility.
the goats broke the fence again, can you help me to repair it after lunch?
Nothing special here, just reading and waiting for better weather
Thank you all for the birthday wishes, it made my day!
one of the children has a high fever, is there a nurse or a doctor near you?
The antenna came down in the storm but we could repair it with some wire and tape.
we'll be in the bar at eight if you want to join us
What is the price of maize at the market this week?
they need 40 blankets, 10 tents and as much drinking water as we can carry
I can see your lights from here, you should reach the camp in about twenty minutes.
Did you remember to take the medicine with you? It was on the kitchen table.
position at 1200 UTC 38 12.4 N 025 33.1 W, course 265, speed 5.8 kn
Position 17°32'S 149°34'W, all fine, making good progress under full sail
the mast is damaged but we can motor, no help needed at the moment
Slept badly, the boat was rolling all night, but the sun is out now and breakfast was good.
we changed the plan: first to the island for water, then straight to the mainland
The meeting about the new well is on Thursday at 5 in the school, please all come.
I am running the test from the hill now, tell me how many messages arrive
signal report please, I am using 2 watts and a wire antenna in a tree
you are 579 here with some fading, name is Peter, weather is rainy and 11 degrees
Thanks for the contact and see you again on this frequency tomorrow at 0700
The node on the water tower is offline since last night, maybe the battery.
does the link to the valley work for you? I get only half of the messages
team 3 is back at base, all members well, report follows in an hour
search of sector B finished, nothing found, moving on to sector C now
One person rescued from the river, cold but conscious, needs transport to hospital.
the road from the airport to the centre is open for trucks again
We can hear the helicopter but we can't see it yet, we will light a fire
please send someone with a chainsaw, two big trees are lying across the road
stay away from the beach, there is a warning for high waves until midnight
Aftershock a minute ago, everyone is outside, nobody hurt as far as I know
The clinic has run out of bandages and antibiotics, when does the next delivery come?
we are short of bread and baby milk, everything else is enough for a week
How are the roads on your side? We would like to leave early in the morning.
Left at 6, walked 14 km through deep snow, camp is at 2100 m near a small lake.
I took some beautiful pictures of the glacier, will send them when we have internet
Our guide says the weather will change on Friday so we start tomorrow night.
Can you hear the radio news there? What do they say about the border?
Mum, don't worry, I'm fine and eating well, the others are very nice
tell Grandpa that his old knife is the best tool in the whole camp
We named the boat after you, come and visit us when you are back!
I think we should sell the old car before winter, what do you say?
the kids built a snowman and now they are drinking hot chocolate
Please water the plants and feed the cat, food is under the sink.
somebody left a red jacket in the hut, size M, tell me if it is yours
there was a knock on the door and it was uncle Joe with a huge fish!
School is closed until Monday because there is no heating.
We finished the roof today, tomorrow we start with the windows and the door.
he was bitten by a dog, not bad, but can you ask if he needs an injection
The pump gives only a little water now, I guess the filter has to be cleaned.
how do I set the channel and the key on the new radio?
hold the button for five seconds until the green light comes on, then let go
you have to update both sides, otherwise they don't understand each other
it worked yesterday, so it must be the cable or the power supply
I sent you the file twice, the second one is the right version
Use the map that I made, the official one is old and the path is gone
the harvest was better than last year, we have 30 bags of rice to sell
Market is moved to Saturday because of the funeral.|Our cow had a calf last night, both are healthy!
rain at last! the children are dancing outside and the tank is filling up
The fishermen say there are strong currents near the cape, keep 2 miles off.
we lost one oar and some fishing gear, otherwise no damage
Dropped the hook in five metres, sand, good holding, very quiet place
customs were friendly, we have our stamps and can go ashore
A big container ship passed very close in the night, keep a good lookout!
watch out for floating logs at the river mouth, we hit one this morning
we're drifting slowly to the east, no danger, working on the motor
The current pushed us 10 miles to the south, new arrival time is late in the evening.
Wishing you fair winds and a safe passage!
may I ask where you bought the solar charger? mine died yesterday
It's snowing so hard that we can't see the next tent.|my fingers are too cold to type, more later
We have decided to wait one more day, safety first.
oxygen is at 91%, headache is gone, he wants to continue but I say no
the food cache was opened by a bear, we lost half of the supplies
all instruments are running, data from the last 24 hours was saved
Replaced the sensor at site 4, the old one was full of sand.
Ice thickness is 85 cm at the edge and more than 2 m in the middle
the plane can't land, clouds are too low, they try again at two o'clock
what do we do with the waste? the barrels are full
Happy new year from the southern end of the world!
who has the list of volunteers for the night shift?
I can take the shift from ten to two, but somebody has to bring me home
We need a translator for Arabic and French at the reception tent.
The old lady from house number 7 is fine, she is with her daughter
please write down name, age and place of everyone who arrives
Power should be back by Thursday, they are repairing the main line.
the mayor asks all people to save water and not to use cars today
Don't believe the rumours, the dam is safe, we were there an hour ago.
fire has crossed the road at km 12, everybody there must leave at once
wind has turned, the fire is moving away from the houses for now
we need more fuel for the pumps, at least 200 litres before tonight
Is anybody on the way to the hospital? I have a package for the pharmacy.
I saw a rainbow over the bay this morning and thought of you
missing you all a lot, only two more weeks
Good to hear your voice yesterday, even with all that noise!
I've been thinking about what you said and I believe you are right.
Let's keep this channel free for urgent messages, everything else on 2.
If nobody hears from me by 20:00 please inform the coast guard.
We lost contact with the second group an hour ago, the last position was near the old mine.
they just came in, wet and hungry but in good shape, so no worries
Great work today, thank you all, get some sleep and see you at six.
The new timetable: breakfast 7:00, start of work 7:45, lunch 12:30, dinner 18:30
he fixed it with a piece of wire and a rubber band, can you believe that
can't find the spare fuses, did you put them into the blue box?
third time lucky: the engine started!
as soon as the tide is high enough we will try to get her off the sand
There's a nice little restaurant behind the church, good fish and not expensive.
the last bus leaves at half past ten, don't miss it
Bring cash, cards don't work here since the network is down.
our flight was moved to tomorrow, so we will sleep at the airport
would you mind if I bring my sister? she has never seen the sea
do you still have that book about stars? I would like to borrow it
the moon is so bright tonight that we don't need lamps
Remember: clocks go forward one hour on Sunday.|Tea time! Come to the big tent, there is cake|😊|😀
😂|😂😂|🤣|😍|❤️|❤️❤️❤️|👍|👍🏻|🙏|🙏🙏|😢|😭|😎|🎉|🎂|🔥|☀️|🌧️|⛈️|❄️|🌊|⛵|🏔️|🚑|🚒|🆘|✅|❌|⚠️|📍
📷|🐟|🐶|🐱|🌙|⭐|👋|👏|💪|🤔|😅|😉|😘|🥰|🙂|😴|🤒|☕|🍺|🍞|🏠|💧|🔋|📡|📻|Good night 😴|thanks 🙏
Great! 👍|ok 👍|Love you ❤️|Happy birthday! 🎉🎂|haha 😂|:)|:-)|;)|:D|:(|<3|that's so funny 😂
see you soon 😊|on my way 👍|Nice! 😀|Welcome! 👋|well done 👏👏
"""
