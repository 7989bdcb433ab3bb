"""What people say in `make bench-wire`: lines of exactly 30 characters.

Written for measuring only: none of them is among the text model's phrases, none was made from one
of those, and nothing was tuned on them (test_wire.py checks the first). Not to be copied there.
"""

from __future__ import annotations

LINES = """\
The kettle broke, bring yours!
which knot did you tie at bow?
Snowing up here since midnight
meet us by the old water tower
no answer from hut 7 since six
Ivan sprained his ankle, slow.
we have eleven for dinner, ok?
bridge is out, take the detour
can hear you weakly, try ch. 9
The doctor comes by boat at 5.
kids are asleep, call me later
Forgot my gloves at your place
water is up to the third step!
Sold the goat, bought a heater
anchored behind the small isle
Lunch is beans again, sorry :(
we saw two bears at the creek!
my torch died, waiting for sun
Mila got the job at the bakery
truck stuck near km 12, no tow
four tents up, two still to go
Is the clinic open on Saturday
Reading you five by nine, over
her fever is down, slept well.
The mail plane didn't land yet
saw smoke over the east valley
We need diapers and some sugar
turn left at the burnt chapel.
generator coughs, filter dirty
Low tide at 15:20, then we go.
who has the key to the school?
Two ducks followed me all day!
bring the big pot, and matches
Fog so thick I can't see shore
got your letter, thank you Ana
radio check from ridge station
it works if you hold it higher
the mules won't cross the ford
Wait for me at the second gate
Dinner moved to Tom's, at 7:30""".splitlines()
