"""Priming text of the text model, English: common words not in the other modules, in use.

Written for dtnode, not taken from anywhere. Phrases stand between bars or line ends.
`dtnode.wire.text_model.priming` puts them together. A change here changes what compressed bytes
mean: it needs a new TABLE_VERSION.
"""

PHRASES = """\
are you able to walk?|he won't be able to come|just above the water|I accept|they had an accident
according to plan|my account is blocked|act fast|action needed|still active|add some salt
I must admit|adults and children|any advice?|this will affect everyone|we can't afford it
against the wall|the agency called|he is alive|not allowed here|although|it's among the trees
a small amount|at this angle|an animal in the house|they will announce it on Monday|nobody appeared
apply some cream|ships are approaching|let's not argue about it|can you arrange transport?
an article about us|step aside|I assume so|under attack|attempt number three failed
attend the course|pay attention to the signs|is it available?|on average two a day
avoid the main road|she won an award|are you aware of that?|awful weather|balance|ball
the bank is shut|basic rules|a basket of apples|bath time|the battle is over|they beat us
it became too dangerous|it has become quite cold|in the bedroom|it began to rain|let's begin
behaviour|it belongs to me|tighten your belt|a big benefit|beside the bed|I bet it will rain
beyond the reef|pay the bill|a bird in the tree|a bite to eat|insect bite|don't blame me
a blanket for her|go blind|a block of wood|two blocks from here|blow it up|wind is blowing hard
his whole body hurts|a broken bone|born today|don't bother|a bottle of water|bottles|a bowl of rice
brain|branches on the line|brave girl|take a deep breath|breathe slowly|brick wall|keep it brief
broad daylight|brown bread|brush your teeth|a bucket of sand|over budget|a bug in the program
a bunch of keys|burned down|the pipe burst|bury it|bushes|business is good|don't buy it
we bought two|camera|they cancelled|light a candle|capable|a card for you|what's the cause?
the fire was caused by lightning|let's celebrate|cell phone|central|in the century|for certain
a broken chair|chain is loose|a real challenge|last chapter|free of charge|who is in charge?
they chased it away|nice chat|cheers|the chief says no|no choice|choose one|in a circle|citizens
she claims that|clever|click on the link|climate|we climbed the wall|the clock is wrong
a piece of cloth|dark clouds|at the club|collect the mail|what colour is it?|very comfortable
he is in command|no comment|common sense|communication is difficult|the community centre
good company|compared to yesterday|they complain about the noise|complete the form|my main concern
in good condition|connect the cable|not connected|good connection|consider it done
it contains alcohol|the content|sign the contract|a long conversation|correct|is that correct?
cotton|the council decided|I counted 35|another country|couple of days|have courage|of course not
see you in court|cover it with plastic|a crack in the hull|it crashed again|crazy idea|cream
who created this?|give him credit|a crime|crisis meeting|a big crowd|don't cry|culture|a cup of tea
is there a cure?|curious|daily report|how dare you|what's the date today?|a good deal
deal with it later|dear all|Dear friends,|a matter of life and death|no debate|pay the debt
I can't decide|the decision was made|to defend|definitely|20 degrees in the sun|they delivered it
there is no demand|fire department|describe it please|you deserve it|nice design|on my desk
it was destroyed|no details yet|things are developing fast|the device is switched off|in my diary
what's the difference?|we had to dig it out|direct line|in this direction|which direction?
the director|it disappeared|they discovered a new way|discuss it tonight|a disease|wash the dishes
divide by two|the document is signed|double the amount|no doubt|downstairs|a dozen eggs
drag it to the side|in the top drawer|a nice dress|I'll drive|don't drink and drive
he nearly drowned|drugs|dust everywhere|eager to start|my ear hurts|earn some money|on earth
easy to use|education|the effect was small|make an effort|either today or tomorrow|elected|the enemy
no energy left|save energy|the engineer looks at it|enter the code|the entire team|equal parts
check your equipment|they escaped|a special event|eventually we found it|did you ever see that?
no evidence|exact position|examine the wound|all except me|so excited!|exercise|does it exist?
use the back exit|I expect them at ten|good experience|an expert|explain it to me|explore the area
express mail|extremely cold|my eyes hurt|face to face|in fact|they failed|that's not fair
false alarm|famous|the fan is broken|a bit farther|too fat|a big favour|my favourite song|fear
feed the dog|I feel better|how do you feel?|feels like winter|he fell asleep|she fell into the water
I felt nothing|fetch some wood|they were fighting|in figures|fill the tank|fill in the form
the final result|my finger|the finish line|a firm grip|does it fit?|the flag is up|flames
a flash of light|it still floats|on the floor|the flow is low|flowers|flying tomorrow|fold it
follow the signs|follow me|fools|one foot in the water|foreign|forever|forgive me|fork in the road
a new form|frame|freezing cold|everything is frozen|in the freezer|a frog in the well|the future
gain height|mind the gap|in the garage|gather at the gate|he gave me the keys|be gentle
a gift for you|a glass of milk|global|no goal|gold|the government|grab a bite|thank God|grass
grey sky|it's growing|our guest|he is guilty|a gun|the guy from the shop|a bad habit|cut my hair
my hand|hands up|handle with care|it can happen|what happens next?|no harm done|I hate that|nice hat
good health|a heap of stones|my heart|in the heat|at that height|they held it|go to hell
hidden under the stones|hide it|hire a car|a bit of history|there's a hole in it|honestly
a jar of honey|in honour of|sound the horn|our host|human|hunting|ignore it|I feel ill
here is an image|imagine that|immediately|it's improving|includes everything|income|prices increased
very interesting|indeed|industry|more information soon|no injuries|insects|I insist
read the instructions|is there insurance?|introduce|they invited us|made of iron|an important issue
next item|traffic jam|a jar of jam|join us|just a joke|a long journey|what a joy|who is the judge?
a glass of juice|we jumped in|justice|keen|I kept it|put the kettle on|kick off|it can kill you
what kind?|very kind of you|kind regards|the king|a big kiss|my knee hurts|on your knees|I knew it
tie a knot|knowledge|in the lab|lack of sleep|up the ladder|bring a lamp|which language?|a large box
larger than that|they laughed|it's the law|lay it down|a layer of ice|so lazy|take the lead|leaves
learn by doing|leather|she led us|lend me a hand|what length?|a good lesson|I got your letter
at the library|driving licence|put the lid on|don't lie|lie down|that's life|lift it|speed limit
liquid|a list of names|a little bit|we live here|long live|load the truck|local people|lock the door
it's locked|lonely|a loose screw|big loss|so loud|lovely|lower the sails|pack your luggage|a lump
the machine|a magazine|a major problem|manage|can you manage?|the manager|wear a mask
a mass of people|no matter what|what's the matter?|material|measure the length|in memory of
did I mention that?|on the menu|made of metal|another method|it might rain|you might be right
military|minor damage|in the mirror|mix it well|which model?|modern|no money|good mood
move the mouse|movement|sore muscles|the museum|a rusty nail|very narrow|the nation|nature
stiff neck|needle and thread|neither do I|nervous|a bird's nest|back to normal|my nose|take note
a new novel|nuts|obviously|on this occasion|it occurs often|the ocean|odd|special offer|an officer
hold on to it|how do you operate this?|in my opinion|a good opportunity|another option|orange juice
perfectly ordinary|who organises it?|where is the origin?|you ought to see it|I owe you one|my own
the owner|pack your things|page 12|I paid for it|a pair of shoes|she looks pale|piece of paper
a parcel arrived|the parents|in the park|part of it|in particular|partly cloudy|my partner
five passengers|be patient|a pattern|short pause|peace|pen and pencil|salt and pepper
for a long period|permanent|personal things|a pet|the pig|a pile of wood|take two pills|the pilot
safety pin|a pink dress|plant trees|plastic bags|a plate of food|my pleasure|pull the plug
in my pocket|poison|a wooden pole|be polite|politics|poor thing|popular|the population|positive
it's possible that|by post|potato salad|a pot of soup|pounds|pour it out|powder|in practice
pray for us|we pray|I prefer tea|get prepared|prepare for the worst|a present for you|the president
press the button|pretty good|prevent fire|previous|proud of you|the priest|print it|prison|private
first prize|the process|our products|a professional|profit|the program|a new project|I promise|proof
done properly|protect your eyes|proved wrong|provide shelter|in public|pure|on purpose|push
push harder|pull the rope|a puzzle|good quality|the queen|a long queue|quit|race|on rails
raise the alarm|rarely|at that rate|I'd rather stay|raw fish|I can't reach him|how did they react?
real|I realise that now|the reason is simple|for some reason|I received it|recently|I recommend it
on record|reduce speed|he refused to go|regarding the meeting|in this region|no regrets
regular service|relax|what a relief|religion|it remains cold|remind me tomorrow|remove the cover
pay the rent|replace the bulb|no reply yet|we represent the village|what is required?|in reserve
with respect|no response|not responding|responsible|as a result|the results are good|return to base
return ticket|reveal|rich|get rid of it|ride a bike|the sun rises|his role|roll it up|the roots
a round table|the last row|in the living room|how many rooms?|rub it|rubbish|rude|rules are rules
rust|a salad|for sale|tomato sauce|on a scale of 1 to 10|don't be scared|the scene|the score is 3-2
just a scratch|a scream|the screen is black|a seat by the window|it's a secret|the next section
secure the load|it seems so|seldom|select all|senior|that makes sense|no sense of direction
so sensitive|one sentence|keep them separate|a series of tests|serious problem|dinner is served
out of service|several times|several people|severe weather|in the shade|shadow|shake it well
what a shame|share the food|sharp|a sheet of paper|on the shelf|empty shells|the sun is shining
a clean shirt|in shock|new shoes|shoot|on the shore|back on shore|my shoulder|shout|take a shower
shut the window|out of sight|no sign of them|a road sign|silence|don't be silly|silver|similar
it's simple|a single bed|good skills|dry skin|a slice of bread|it's sliding|slightly better
don't slip, it's icy|a steep slope|smart|what's that smell?|smells bad|smile|smooth landing|a snake!
soap|social|a pair of socks|soft ground|soil|soldiers|solid ground|no solution|we can solve it
somewhere near here|what sort of?|what was that sound?|in outer space|no space left
please speak slowly|a short speech|spell your name|we spend the night here|I spent too much|spilled
team spirit|split the group|it's spoiled|a spoon of sugar|sport|a good spot|it spreads fast
stage two|up the stairs|stamp|standard|bright stars|keep it steady|steal|it was stolen|made of steel
one step at a time|the stick|stiff|stone|in the store|strange|a stranger|across the street|stream
stressed|stretch your legs|the strike is over|a piece of string|cut it in strips
the structure is weak|still struggling|students|studying|all that stuff|stupid mistake
different subject|success!|such a nice day|he is suffering|how about sugar?|I suggest we wait
a suitcase|supper|I suppose so|on the surface|what a surprise|surrounded by water|we survived
suspect|I swear|sweat|sweep the floor|something sweet|swing|symptoms|the whole system|tail wind
it's taken|talented|tall trees|on target|a difficult task|good taste|tastes good|tax|a taxi|in tears
technology|on the telephone|television|temporary|terrible|a theatre|a thief|thin ice|a thread
sore throat|throw it away|he threw it|thumbs up|two tickets|keep it tidy|tie it to the tree
too tight|till then|a tin of beans|tiny|full title|my toe|the toilet is blocked|set the tone
a toothbrush|in total|a tour|towards the coast|a dry towel|toys for the kids|trade|translate
it's a trap|treat it with care|the treatment helps|try this trick|new trousers|I trust you
tell the truth|a tube|nice tune|a twisted ankle|ugly|take an umbrella|the union
in the whole universe|university|unless it rains|unlikely|the upper floor|upset stomach|go upstairs
very useful|valuable|what's the value?|various things|my vehicle|a victim|nice view|violent
come and visit|vote for me|the wage|up to the waist|don't wake him|a wall|they wander around|at war
a warm meal|we were warned|wash your hands|a huge wave|wealth|no weapons|what to wear?|the web
how much does it weigh?|weight|western|a whale!|whenever you want|wherever you are|whether or not
whisper|blow the whistle|wide open|wild animals|are you willing?|we will win|on the wing
wipe it clean|I wish you were here|wish you all the best|within an hour|a witness|I wonder why
wool socks|in a word|all over the world|a worried mother|I'm worried|worth a try|wrap it up|a wreck
my wrist|an old wrench|in the yard|yellow|youth|zero|the zone|apparently|attached|backup
a wooden bench|biscuits|a blister on my foot|nuts and bolts|bruises|light bulb|campfire|a canoe
canvas|under the carpet|carrots|in the cellar|cement|the chimney|chopping wood|a clamp|coil|concrete
a small cottage|a crate of beer|the crane|crawl|on crutches|in the cupboard|curtains|a deer
the car is in the ditch|a diver|the drain is blocked|drought|dusk|an eagle|elbow|the embassy
envelope|completely exhausted|fabric|fishermen|fire a flare|flashlight|a flask of tea|a fox
in the fridge|blown fuse|the gasket|gravel road|grease|close the hatch|headquarters|a hedge|hammock
heater|hinge|garden hose|kayak|kilometres|a lantern|laundry|lever|lifeboat|lighter|a mattress
the mechanic|mosquitoes|mould|a mountain|muddy|mule|oats|oven|paddle|pasture|peak|pillow|a pine tree
planks|plaster|pliers|ploughing|plywood|the pond|porch|porridge|postponed|poultry|a prayer|printer
pulley|on the quay|quilt|rack|a skin rash|rats|refill|rucksack|the saddle|sandbags|scissors
screwdriver|seal|in the shed|shutters|a signpost|sirens|a snack|socket|soldering iron|spade|spanner
a splinter|splint|sprained ankle|stall|four stitches|stool|stranded|strap|stretcher|sunburn|swallow
swelling|swollen|syringe|tarp|tarpaulin|telescope|thermometer|timber|toolbox|tractor|trailer
transformer|transmitter|trench|tripod|trolley|valve|the vet|vest|voltage is low|waterproof|weld
wheelbarrow|winch|zip|came|comes|went|goes|gone|got|gets|getting|made|makes|making|took|takes|taking
sees|seeing|said|says|saying|told|tells|asked|asks|asking|gives|giving|given|finds|finding|found
thinks|thinking|thought|knows|known|wanted|wants|used|uses|using|tried|tries|trying|called|calls
calling|needs|needed|felt|put|puts|putting|kept|keeps|keeping|turned|turns|turning|helps|helped
helping|shows|showed|heard|hears|played|plays|playing|runs|ran|moved|moves|moving|lived|lives|living
believes|brought|brings|bringing|happened|happens|happening|wrote|writes|writing|written|sat|stood
lost|loses|losing|pays|met|meets|sets|setting|learnt|changed|changes|changing|watched|watching
followed|follows|stopped|stops|stopping|spoke|speaks|reads|reading|grew|opened|opens|walked|walks
walking|won|wins|offered|remembered|bought|buys|buying|waited|waits|served|died|sent|sends|sending
built|stayed|stays|staying|fell|falls|cut|cuts|reached|reaches|killed|raised|passed|passing|sold
sells|decided|pulled|pulling|broke|breaks|breaking|carried|carries|carrying|caught|drove|drives
driving|ate|drank|woke|wakes|wore|wears|flew|swam|swimming|fished|cooked|cleaned|cleaning|washed
washing|filled|filling|covered|checked|checking|tested|switched|charged|connected|connects|packed
loaded|unloaded|planned|planning|hoped|hoping|worried|enjoyed|enjoying|missed|arriving|arrives
returning|returned|rescued|evacuated|treated|hurt
"""
