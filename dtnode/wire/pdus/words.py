"""The static tables: keys, values, event types and shapes of objects that Matrix rooms are full of.

Positions are for ever: whoever changes or adds anything raises TABLES_VERSION, and with it
dtnode.wire.limits.WIRE_VERSION, which the handshake tells. The first entries cost one byte
(dtnode.wire.pdus.codes), those after cost two.
"""

from __future__ import annotations

from typing import Final

TABLES_VERSION: Final = 1

_VALUES: Final = """
m.text m.annotation m.thread m.replace join leave m.notice m.emote m.megolm.v1.aes-sha2 m.image
m.file m.audio m.video m.location public invite shared m.reference 👍 👍️ ❤️ ❤
😂 😄 🎉 🚀 👀 😕 👎 👎️ ✅ ✔
✔️ 🙏 🔥 💯 😢 😮 🙂 😀 👌 👏 ok OK yes no ban knock restricted knock_restricted invited joined
world_readable can_join forbidden org.matrix.custom.html image/jpeg image/png v2 oct A256CTR
encrypt decrypt m.room_membership 10 11 12 m.self m.pin m.space * spam m.disclosed m.undisclosed
m.poll.disclosed m.poll.undisclosed m.key.verification.request 0 1 image/gif image/webp
image/svg+xml application/pdf application/zip application/json application/octet-stream text/plain
text/html text/csv text/markdown video/mp4 video/webm video/quicktime audio/ogg audio/mpeg
audio/mp4 audio/aac audio/wav audio/webm audio/flac audio/ogg;codecs=opus m.sas.v1
m.qr_code.scan.v1 m.qr_code.show.v1 m.reciprocate.v1 m.sas m.olm.v1.curve25519-aes-sha2 ed25519
curve25519 m.server_notice m.server_notice.usage_limit_reached m.login.password 3 4 5 6 7 8 9 13 2
on off hangup answer offer invite_timeout user_busy m.call application/geo+json m.poll.start
m.poll.response m.poll.end m.room.message m.room.name m.room.topic m.room.avatar m.room.member
m.room.encryption m.room.power_levels io.element.thread org.matrix.msc3381.poll.disclosed
org.matrix.msc3381.poll.undisclosed
🤔 😅 😊 😍 😎 🤣 🙌 💪 ☕ 🏠 🚗 🆘 ⚠️
⚠ ❌ ❓ ❗ ➕ 1️⃣ 2️⃣ 3️⃣ 📻 📡 🔋 🌧️ ☀️ ⛺
🧭 🗺️ en de fr es it tr ar uk ru
"""

_TYPES: Final = """
m.room.message m.reaction m.room.redaction m.room.encrypted m.room.member m.room.power_levels
m.room.create m.room.join_rules m.room.history_visibility m.room.name m.room.topic
m.room.encryption m.room.avatar m.room.canonical_alias m.room.pinned_events m.room.server_acl
m.room.tombstone m.room.guest_access m.room.third_party_invite m.room.aliases m.sticker
m.space.child m.space.parent m.poll.start m.poll.response m.poll.end org.matrix.msc3381.poll.start
org.matrix.msc3381.poll.response org.matrix.msc3381.poll.end m.beacon_info m.beacon
org.matrix.msc3672.beacon_info org.matrix.msc3672.beacon m.location m.key.verification.request
m.key.verification.ready m.key.verification.start m.key.verification.accept m.key.verification.key
m.key.verification.mac m.key.verification.done m.key.verification.cancel m.call.invite
m.call.candidates m.call.answer m.call.hangup m.call.reject m.call.select_answer m.call.negotiate
m.call.member org.matrix.msc3401.call.member m.policy.rule.user m.policy.rule.room
m.policy.rule.server m.room.policy m.room.retention m.room.bridging uk.half-shot.bridge m.bridge
im.vector.modular.widgets m.widget m.image_pack im.ponies.room_emotes m.dummy
m.room.message.feedback m.rtc.member m.voice m.audio m.image m.video m.file m.emote m.rtc.slot
m.rtc.notification
"""

_KEYS: Final = """
body msgtype m.relates_to event_id rel_type key m.mentions m.in_reply_to membership displayname
avatar_url algorithm ciphertext session_id sender_key device_id url info mimetype size file
formatted_body format reason redacts user_ids room m.new_content filename w h duration
thumbnail_info thumbnail_file thumbnail_url hashes iv v key_ops ext alg k kty sha256
is_falling_back ban events events_default historical invite kick redact state_default users
users_default notifications m.room.avatar m.room.canonical_alias m.room.encryption
m.room.history_visibility m.room.name m.room.power_levels m.room.server_acl m.room.tombstone
m.room.topic m.room.pinned_events m.room.member m.room.message m.room.redaction m.reaction
m.room.join_rules m.room.guest_access m.room.encrypted m.space.child m.space.parent join_rule
allow type room_id history_visibility room_version creator predecessor additional_creators
m.federate name topic alias alt_aliases rotation_period_ms rotation_period_msgs
join_authorised_via_users_server third_party_invite is_direct guest_access via order suggested
geo_uri waveform m.text m.html m.topic signed mxid token signatures display_name public_key
key_validity_url public_keys deny allow_ip_literals replacement_room pinned parent canonical
m.poll.start m.poll.response m.poll m.selections answers answers_text question kind max_selections
id uri description timeout live m.ts m.asset m.location m.beacon_info m.beacon timestamp accuracy
xyz.amorgan.blurhash blurhash external_url aliases replaces origin prev_state depth sender
origin_server_ts content prev_events auth_events unsigned state_key m.audio m.image m.video m.file
m.voice m.caption org.matrix.msc1767.text org.matrix.msc1767.file org.matrix.msc1767.audio
org.matrix.msc3245.voice org.matrix.msc3381.poll.start org.matrix.msc3381.poll.response answer
org.matrix.msc3488.location org.matrix.msc3488.asset org.matrix.msc3488.ts
org.matrix.msc3672.beacon_info org.matrix.msc3489.beacon_info from_device methods transaction_id
to keys mac commitment code hash key_agreement_protocol message_authentication_code
short_authentication_string version lifetime call_id party_id sdp candidates sdpMid sdpMLineIndex
candidate entity recommendation max_lifetime min_lifetime m.room.third_party_invite m.sticker
m.room.create m.call.member m.rtc.member org.matrix.msc3401.call.member im.vector.modular.widgets
ed25519:1 ed25519:0 data creatorUserId creatorId avatarUrl algorithms device_keys user_id
shortcode images pack usage m.space m.url m.call.invite m.policy.rule.user m.policy.rule.server
m.policy.rule.room invited_user scheduled title line notify channels network protocol bridgebot
"""

_SHAPES: Final = """\
body msgtype
body m.mentions msgtype
body m.mentions m.relates_to msgtype
body m.relates_to msgtype
body format formatted_body msgtype
body format formatted_body m.mentions msgtype
body format formatted_body m.mentions m.relates_to msgtype
body format formatted_body m.relates_to msgtype
m.relates_to
event_id key rel_type
event_id
m.in_reply_to
event_id rel_type
event_id is_falling_back m.in_reply_to rel_type
event_id m.in_reply_to rel_type
user_ids
room
membership
displayname membership
avatar_url displayname membership
membership reason
algorithm ciphertext device_id sender_key session_id
algorithm ciphertext session_id
algorithm ciphertext device_id m.relates_to sender_key session_id
algorithm ciphertext m.relates_to session_id
redacts
reason redacts
reason
body file filename info msgtype
body file info msgtype
body filename info msgtype url
body info msgtype url
hashes iv key url v
sha256
alg ext k key_ops kty
mimetype size
h mimetype size w
h mimetype size thumbnail_info thumbnail_url w
h mimetype size thumbnail_file thumbnail_info w
duration mimetype size
duration h mimetype size w
body m.mentions m.new_content m.relates_to msgtype
body m.new_content m.relates_to msgtype
name
topic
join_rule
history_visibility
room_version
creator room_version
additional_creators room_version
predecessor room_version
creator predecessor room_version
room_id
event_id room_id
room_version type
ban events events_default invite kick redact state_default users users_default
ban events events_default historical invite kick redact state_default users users_default
ban events events_default historical invite kick notifications redact state_default users \
users_default
ban events events_default invite kick notifications redact state_default users users_default
m.room.avatar m.room.canonical_alias m.room.encryption m.room.history_visibility m.room.name \
m.room.power_levels m.room.server_acl m.room.tombstone
m.room.avatar m.room.canonical_alias m.room.encryption m.room.history_visibility m.room.name \
m.room.power_levels m.room.server_acl m.room.tombstone m.room.topic
allow join_rule
room_id type
displayname join_authorised_via_users_server membership
avatar_url displayname join_authorised_via_users_server membership
displayname is_direct membership
avatar_url displayname is_direct membership
is_direct membership
join_authorised_via_users_server membership
displayname membership reason
algorithm
algorithm rotation_period_ms rotation_period_msgs
guest_access
pinned
alias
alias alt_aliases
alt_aliases
url
info url
body replacement_room
allow allow_ip_literals deny
via
order suggested via
suggested via
order via
canonical via
m.text
m.topic topic
body
body info url
m.poll.start m.text
m.relates_to org.matrix.msc3381.poll.response
answers kind max_selections question
m.relates_to m.selections
id m.text
org.matrix.msc1767.text org.matrix.msc3381.poll.start
id org.matrix.msc1767.text
answers
body msgtype org.matrix.msc1767.text question
body geo_uri msgtype
body geo_uri m.asset m.location m.text m.ts msgtype
description uri
type
description live m.asset m.ts timeout
m.asset m.location
m.location m.relates_to m.ts
m.relates_to org.matrix.msc3488.location org.matrix.msc3488.ts
uri
display_name key_validity_url public_key public_keys
key_validity_url public_key
display_name signed
mxid signatures token
displayname membership third_party_invite
ed25519:1
entity reason recommendation
max_lifetime
aliases
origin
"""

VALUES: Final = tuple(_VALUES.split())
TYPES: Final = tuple(_TYPES.split())
KEYS: Final = tuple(_KEYS.split())
SHAPES: Final[tuple[tuple[str, ...], ...]] = tuple(
    tuple(sorted(line.split())) for line in _SHAPES.splitlines()
)
"""The keys of an object, sorted."""
