"""Priming text of the text model, English: what people write to each other, whatever they do.

Written for dtnode, not taken from anywhere; not a word list to check against. Phrases stand between
bars or line ends. `dtnode.wire.text_model.priming` puts them together. A change here changes what
compressed bytes mean: it needs a new TABLE_VERSION.
"""

PHRASES = """\
hi|hello|hey|Hi!|Hello!|hello everyone|Hello all|hi all, how are you?|hey there|Good morning
good morning|good morning everyone|Good morning all, did you sleep well?|Good evening|good night
Good night, sleep well|good afternoon|hi, how are you?|how are you doing?|How are you today?
how is it going|how are things|I'm fine, thanks|fine thanks, and you?|doing well here|all good here
All good.|all is well|everything ok|is everything all right?|everything is fine here|not too bad
a bit tired but ok|so far so good|ok|OK|Ok!|okay|okay, thanks|ok thanks|ok, will do|ok, got it
Ok, see you then|ok great|alright|sure|sure, no problem|no problem|No problem at all|yes|no|Yes.|No.
yes please|no thanks|yes, I think so|no, not yet|not yet|not really|maybe|maybe later|maybe tomorrow
probably|of course|Of course!|I think so too|I don't think so|I don't know|I don't know yet|no idea
not sure|I'm not sure about that|let me check|let me see|one moment|one moment please|just a minute
wait a minute|hang on|hold on a second|I'll check and let you know|thanks|thank you|Thank you!
thanks a lot|thank you very much|Thank you so much for your help|many thanks|thanks for the update
thanks for letting me know|thanks for asking|you're welcome|You are welcome!|sorry|I'm sorry
sorry for the delay|Sorry, I missed your call|sorry, I was asleep|sorry to hear that|sorry I'm late
excuse me|my mistake|my fault|never mind|don't worry|don't worry about it|take your time|no hurry
no rush|take care|Take care and stay safe|stay safe|be careful|good luck|Good luck!|have fun|enjoy
enjoy your meal|have a good day|Have a nice day!|have a good trip|safe travels|welcome back|welcome
welcome home|well done|good job|Great job everyone!|great|great news|Great, thanks!|good to hear
nice|nice one|very nice|cool|awesome|wonderful|perfect|excellent|that's great|That sounds good
sounds good to me|sounds like a plan|good idea|Good idea, let's do that|agreed|I agree|exactly|right
that's right|true|wrong|that's wrong|not true|really?|Really? That's amazing|are you sure?
are you serious?|haha|lol|hahaha|see you|see you soon|see you later|See you tomorrow!
see you tonight|see you there|talk to you later|talk soon|bye|bye for now|Goodbye|bye bye
until tomorrow|later|miss you|I miss you|I love you|love you too|love|lots of love|hugs
hugs and kisses|kisses|say hi to mum|say hello to your family from us|greetings
greetings from all of us|best wishes|Happy birthday!|happy birthday to you|Merry Christmas
happy new year|congratulations|Congratulations to you both!|what's up?|what's new?|any news?
Any news from the others?|no news yet|no news is good news|what happened?|what is going on there?
what do you mean?|what do you think?|What do you need?|what time is it?|what time do we meet?
What time will you be here?|what's the plan?|what is the plan for tomorrow?|what are you doing?
what was that?|which one?|which way did you go?|who is this?|who is with you?|who else is coming?
Who has the key?|who wants to come?|who can help?|where are you?|Where are you now?
where is everybody?|where do we meet?|Where did you put it?|where can I find it?
when are you coming?|When will you arrive?|when do you leave?|when is the next one?
when will you be back?|why?|why not?|why is it so late?|how?|how much?|how many?|how many people?
how long?|How long will it take?|how far is it?|how far away are you?|How much do we have left?
how much does it cost?|how do I do that?|how does it work?|how did it go?|How was your day?
how old is it?|how about you?|how about tomorrow morning?|is it ready?|is anyone there?
Is anybody there?|is there any?|is that you?|is it working now?|is it far?|are you there?
Are you there? Please answer|are you ok?|Are you all right?|are you coming?|are you ready?
are you at home?|are you still there?|Are you still awake?|are we there yet?
are there any questions?|do you copy?|do you read me?|do you have time?|Do you have any water?
do you know?|do you know where he is?|do you need anything?|Do you need help?|do you want to come?
do you see us?|do you see it?|do we have enough food?|did you get my message?|Did you see that?
did you eat?|did it work?|did he say anything?|have you seen her?|Have you heard from them?
have you got a minute?|have you eaten?|has anyone seen my knife?|can you hear me?
Can you hear me now?|can you see us?|can you help me?|Can you help us please?|can you call me?
Can you call me back later?|can you send it again?|can you repeat?
can you bring some bread and milk?|can you pick me up?|Can you pick up the kids from school?
can you come?|can you tell me more?|can I help?|can I come too?|can we meet at the bridge?
can't talk now|I can't come|I can't see anything|we can't get through|could you please check
Could you send me the list?|could be worse|could be|would you like to come?|Would be great
will you come?|will do|Will do, thanks|will be there soon|shall we go?|shall I wait?
should I wait for you?|should be fine|should be there in an hour|must go now|I have to go
I have to go now|gotta go|I need to go to bed|I need your help|I need more time|I need a new battery
we need help|We need more water and food here|we need to talk|we need to leave now
we need two more people|I want to go home|I want to know|we want to stay another day|I would like to
I'd like to come along|I'd love to|I'll be there|I'll be there in ten minutes
I'll be back in an hour|I'll be late|I'll call you later|I will call you when I get there|I'll try
I'll try again later|I'll do it tomorrow|I'll ask him|I'll tell her|I'll bring it
I will bring the tools|I'll wait for you here|I'll let you know as soon as I can
I'll send you the details|we'll see|We'll see what happens|we'll be there|we'll wait
we will try again tomorrow morning|we'll meet you at the station|I'm here|I'm on my way
I'm on my way home|I'm coming|I'm coming back|I'm at home|I'm at work|I'm in the office until five
I'm at the market|I'm at the hospital|I'm waiting|I'm still waiting|I'm ready|I'm busy
I'm busy right now|I'm tired|I'm so tired|I'm hungry|I'm cold|I'm sick|I'm lost|I'm outside|I'm back
I'm back online|I'm going to sleep|I'm going to the shop|I'm going to try something else
I'm not feeling well|I'm running late|I'm almost there|I'm happy|I'm glad you are safe|I'm afraid so
I am not sure if this works|I was wrong|I was there yesterday|I was thinking the same|I've got it
I've been there|I've seen it|I've never seen anything like it|I have it|I have one
I have no signal here|I have a question|I had a dream|I got your message|I got it|I got it, thanks
I got home safely|I found it|I found your phone|I forgot|I forgot to tell you|I lost my keys
I lost the signal|I know|I know that|I see|I see you|I saw it|I saw them this morning|I can see you
I can hear you|I can hear you loud and clear|I can do that|I can try|I can be there at six|I hope so
I hope you are well|I hope to see you soon|I think|I think we should wait|I think it's broken
I think we can make it before dark|I guess so|I believe so|I mean|I meant tomorrow|I just arrived
I just woke up|I just wanted to say hello|I just talked to her|I like it|I like that
I don't understand|I don't have it|I don't want to|I don't remember|I don't like the look of that
I didn't know that|I didn't sleep much|I didn't get your last message|I couldn't find it
I won't be there|I haven't heard anything from him|I haven't seen them since yesterday|it's me
it's ok|it's fine|it's late|it's cold here|it's too late|It's raining here|it's getting dark
it's getting late|it's very hot today|it's not far|it's not possible|it's not working
it's working now|It's working again!|it's broken|it's here|it's a long story|it's a beautiful day
it's been a long day|it's time to go|it's your turn|it's up to you|it is what it is|it was fun
it was very good|It was nice to meet you|it was a long way|it works|It works!|it doesn't work
it doesn't matter|it depends|it looks good|it looks like rain|it looks better now|it seems to be ok
it will take some time|it will be ready by Friday|it could take a while|it's about time|that's it
that's all|That's all for now|that's ok|that's enough|that's not what I meant|that's too much
that's a good question|that would be great|That would be nice|that will do|that was close
that depends|this is it|this is a test|This is just a test message|this one|this is my new number
this is great|there is|there it is|there are three of us|There are many people here
there is no one here|there is a problem|there's nothing to do|there was nobody there|here|here we go
here it is|Here is the list|here I am|here too|here are some photos from today|he is here|he is ok
he's on his way|He's not here|he left an hour ago|he said he would call|he went home|he is asleep
he has a fever|he will be back soon|she is fine|she's here|She's with me|she called|she said yes
she has arrived|she told me about it|she's looking for you|they are here|They are all safe
they're coming|they left this morning|they said it would be ready|they haven't arrived yet
they need our help|they will come back tomorrow|they want to know|we are here|we are ok
We are all ok|we're fine|we're safe|we're home|we're on our way|we're back|we're almost there
We're ready to go|we're leaving|We're leaving now|we are leaving at dawn|we're waiting for you
we are waiting for the ferry|we're going to be late|we're still here|We're still waiting for news
we are running out of time|we are out of bread|we are looking for a place to stay|we were lucky
we made it|We made it!|we made it to the top|we got here last night|we got lost|we had a good day
We had a great time|we had dinner together|we have arrived|We have everything we need
we have a problem|we have enough for two weeks|we have plenty of time|we have no power
we have had no power since Monday|we saw dolphins today|we saw a bear near the camp
we found a good place|we found water|we can do it|We can come on Saturday|we can wait|we should go
we should be there by noon|we should talk about it|we could go together|we couldn't start it
we must be careful|we hope to be there before sunset|we know|we don't know|we don't have any
We don't need anything|we didn't see anyone|we went for a walk|we went to see the doctor
we stayed at home|we just finished|let's go|Let's go!|let's meet at 7|let's wait|let's see
Let's see how it goes|let's try again|let's try channel 5|let's talk about it tonight|let's eat
let me know|Let me know if you need anything|let me know when you get home
let me know when you arrive|let us know|let me try|please|please wait|please help|please call me
please call back|Please call home|please answer|please send help|Please send more|please reply
please confirm|Please confirm receipt|please let me know|please come|please come quickly
please be quick|please be on time|please bring your own|please don't forget to close the door
please don't wait for me|please tell everyone|Please pass this on|please forward to all
please check your email|please write back soon|please read this|please share
please stay where you are|Please stay on this channel|please keep me informed|please repeat
please take care|tell me|tell me more|Tell me when you're ready|tell him to wait|tell her I called
tell them we are ok|tell everybody|ask him|ask her when she comes|ask at the office|call me
call me when you can|Call me later|call me back please|call the doctor|come|come here|come home
come back|come over|Come and see|come with us|come quickly|come as soon as you can|go|go home
go ahead|Go ahead, I'm listening|go to bed|go slowly|stop|stop it|wait|wait for me|wait for us
Wait here|wait until I'm back|stay there|stay where you are|look|look at this|look at that!|look out
listen|try again|Try again later|try this|try to rest|try to sleep|don't go|don't go there
Don't forget|don't forget your jacket|don't wait|don't wait up|don't do that|don't drink the water
don't touch it|don't tell anyone|don't be late|don't know|do it|do it now|do you?|did you?|bring
bring a torch|bring warm clothes|Bring your sleeping bag|get some rest|get well soon|get some sleep
get in touch|give me a call|Give me five minutes|give it to him|give them my love|help|help!
Help me please|help is on the way|hope to see you|hope you're well|Hope you had a good trip|hope so
hopefully|hopefully tomorrow|hurry up|keep going|keep in touch|Keep me posted|keep it up|keep quiet
keep the door closed|leave it|leave it there|leave a message|left|left side|make sure
Make sure it is off|make sure you have enough|meet me|meet me at the gate|meet you there|need
need more|need any help?|open|open the door|read this|remember|remember to eat|send|send it
send me a message|send me the file|Sent|sent you a photo|show me|speak soon|start|take it
take it easy|take a break|take the bus|Take the second left|turn left at the church
turn it off and on again|use the other one|write|write to me|write soon|yesterday|today|tomorrow
tonight|this morning|this afternoon|this evening|this week|this weekend|this month|this year
last night|last week|last month|last year|next week|next month|next time|next year|next Monday
in a week|on Monday|on Tuesday|on Wednesday|on Thursday|on Friday|on Saturday|on Sunday
Sunday morning|Monday evening|every day|every morning|every hour|every time|once a day|twice
three times|once more|again|always|never|often|sometimes|usually|already|still|still nothing|soon
as soon as possible|right now|now|just now|not now|later today|before lunch|after lunch|after dinner
after that|before that|before it gets dark|at night|at noon|at midnight|at six|at 8|at 10 am|at 3 pm
at half past nine|around five o'clock|quarter past four|in the morning|in the evening
in the afternoon|in an hour|in two hours|in half an hour|in a few minutes|in five minutes
in two days|in the next few days|an hour ago|two days ago|ten minutes ago|a while ago
a long time ago|since this morning|since last week|for now|for two days|for a few hours|all day
all night|until tonight|until Sunday|until further notice|by tomorrow|by Wednesday|January|February
March|April|May|June|July|August|September|October|November|December|spring|summer|autumn|winter
early|very early|late|too late|on time|just in time|the day after tomorrow|the day before yesterday
first thing in the morning|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen
twenty|thirty|forty|fifty|sixty|hundred|a hundred|thousand|half|half of it|quarter|first|second
third|last|both|all|all of us|all of them|some|some of us|any|many|so many|too many|much|not much
more|a little more|most|most of it|less|few|a few|a few days|none|nothing|something|something else
anything else?|everything|everything we have|everybody|someone|somebody|nobody|no one|enough
more than enough|not enough|a lot|a lot of people|a lot of work|a lot of rain|lots of things|a bit
a little|a bit better|about|about an hour|about the same|almost|nearly|very|very good|very bad
very cold|very tired|too|too much|too far|too big|so|so much|so what|quite|quite good|only
only one left|just|just one|even|even better|also|me too|you too|us too|same here|same to you
as usual|as always|as planned|good|good enough|better|much better|the best|bad|worse|the worst|big
small|long|short|old|new|young|high|low|fast|slow|hot|cold|warm|wet|dry|clean|dirty|full|empty|heavy
light|dark|strong|weak|easy|hard|difficult|important|ready|busy|free|closed|possible|impossible
different|same|safe|dangerous|sick|healthy|hungry|thirsty|happy|sad|angry|afraid|alone|together|near
far|far away|close|close to the road|straight ahead|up|down|up there|down here|inside|outside
behind the house|in front of the school|next to the shop|between the two villages|across the river
along the coast|around the corner|over the hill|under the bridge|through the forest
on the other side|on the left|on the right|on the way|on the phone|on the radio|on the map
on the table|on the roof|on the boat|on board|at the beach|at the top|at the bottom
at the end of the road|at the border|at the airport|at school|at the usual place|at the same time
at least|at first|at last|at once|to the north|to the south|in the house|in the village|in the city
in the town|in the mountains|in the middle|in the car|in the kitchen|in the water|in the harbour
in the garden|in case of emergency|in time|in touch|into the valley|from here|from there|from now on
from the beginning|from home|from my side|out of order|out of range|out of fuel|off|off the road
with me|with us|with you|with my brother|with the others|without|without you|without power|for you
for me|for us|for everyone|for example|for the children|for sure|because|because of the weather
because it was too late|but|but ok|but not today|but I'm not sure|and|and then|and you?
and what about the rest?|or|or so|or not|if|if you can|if you want|if possible|if not|if it rains
If you need anything just ask|if the weather is good|when|when you can|when we get there
when I was young|while|so that we can see it|that|that one|than|than before|then|then we can go
there|their|they|them|these|those|this|what|whatever|what a day|what a mess|which|who|whose is this?
how|however|well|well, I don't know|actually|anyway|by the way|instead|otherwise|perhaps
please and thank you|though|unfortunately|unfortunately not|finally|finally arrived|luckily|suddenly
slowly|quickly|carefully|especially|exactly the same|nearly there|mum|mom|dad|mother|father
my mother is ok|brother|sister|my sister is here|son|daughter|my daughter is 5 years old|wife
my wife|husband|my husband|baby|the baby is sleeping|the kids|the kids are fine|children
the children are asleep|grandmother|grandma|grandpa|uncle|aunt|cousin|friend|my friend|friends
a friend of mine|family|the whole family|the family sends|neighbour|neighbours|guys|hey guys|people
man|woman|boy|girl|doctor|nurse|teacher|driver|captain|crew|team|boss|everyone is here
everyone is safe|everybody is fine|Anna|Ben|Peter|Maria|John|Mary|David|Sarah|Tom|Thomas|Martin
Michael|Alex|Lisa|Laura|Julia|Paul|Mark|James|Sam|Max|Jan|Eva|Elena|Ali|Ahmed|Fatima|Mohamed|Omar
Jose|Carlos|Juan|Luis|Ana|Pedro|Pierre|Marie|Hans|Lars|Olga|Ivan|Kofi|Amina|Grace|Joseph
"""
