"""Holds what Redis does in one step for a group, and the rights that this takes.

Each script is text of Lua 5.1. Numbers stay below 2^53, which Lua keeps whole; what is compared as a version
is the first line of a value, which `shared_messages` checks against the value itself when it is read.
"""

from geodns.storage.shared_books import MAX_NUMBER
from geodns.storage.shared_messages import MAX_FIELD, MAX_VALUE

BEAT_LIFE = 10_000
"""Milliseconds that a heartbeat stays."""
VOTES_LIFE = 3600
SUMS_LIFE = 90 * 86400
NODES_LIFE = 30 * 86400
CLAIM_LIFE = 7 * 86400
OPEN_CLAIM_LIFE = 15 * 60
"""Seconds that a claim keeps others from a batch while its owner has not said that it is counted."""
LOG_LENGTH = 5000
"""Entries of the log, about."""
NODES = 100
"""Servers of a group, those heard last."""
NEWCOMERS = 10 * NODES
"""Names among which servers are looked for that are not known yet."""

_LOG = f"""
local function tell(log, mark, ...)
  local id = redis.call('XADD', log, 'MAXLEN', '~', {LOG_LENGTH}, '*', ...)
  redis.call('HSET', mark, 'last', id)
  return id
end
"""

_SHORT = f"""
local function short(key)
  if redis.call('STRLEN', key) > {MAX_VALUE} then return 'too long' end
  return redis.call('GET', key) or ''
end
"""
"""What is longer than any value is not sent: reading it would hold up the whole server."""

BEGIN = f"""{_SHORT}
-- KEYS mark, node, votes; ARGV a random mark. Writes at each call, so that a replica says what it is.
redis.call('HSETNX', KEYS[1], 'id', ARGV[1])
local mark = redis.call('HMGET', KEYS[1], 'id', 'last')
local votes = redis.call('HMGET', KEYS[3], '#epoch', '#seq')
local head = {{mark[1], mark[2] or '', short(KEYS[2]), votes[1] or '', votes[2] or ''}}
for i = 1, #head do head[i] = string.sub(head[i], 1, {MAX_VALUE}) end
return head
"""

BEAT = f"""{_SHORT}
-- KEYS mark, node, votes, nodes; ARGV node, token, value, the keys of nodes begin so, a random mark, a number
-- by which newcomers get their turn, then the nodes that are known, which no others keep out.
redis.call('HSETNX', KEYS[1], 'id', ARGV[5])
local before = short(KEYS[2])
local other = ''
if before ~= '' and string.sub(before, 1, #ARGV[2]) ~= ARGV[2] then other = before end
redis.call('SET', KEYS[2], ARGV[3], 'PX', {BEAT_LIFE})
redis.call('EXPIRE', KEYS[3], {VOTES_LIFE})
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[4], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - {NODES_LIFE * 1000})
redis.call('ZREMRANGEBYSCORE', KEYS[4], '(' .. now, '+inf')
local mark = redis.call('HMGET', KEYS[1], 'id', 'last')
local reply = {{now, mark[1], mark[2] or '', other}}
local asked, found = {{[ARGV[1]] = true}}, 0
local function ask(node, score)
  if asked[node] or found >= {NODES} then return end
  asked[node] = true
  if not score or tonumber(score) <= now - {BEAT_LIFE} then return end
  local value = short(ARGV[4] .. node)
  if value == '' then return end
  found = found + 1
  table.insert(reply, node)
  table.insert(reply, score)
  table.insert(reply, value)
end
for i = 7, #ARGV do ask(ARGV[i], redis.call('ZSCORE', KEYS[4], ARGV[i])) end
local nodes = redis.call('ZREVRANGE', KEYS[4], 0, {NEWCOMERS - 1}, 'WITHSCORES')
local first = #nodes > {2 * NODES} and tonumber(ARGV[6]) % (#nodes / 2) or 0
for i = 0, #nodes - 2, 2 do
  local at = (2 * first + i) % #nodes
  ask(nodes[at + 1], nodes[at + 2])
end
return reply
"""

END_OF_LOG = """
-- KEYS log. Returns the ID of the last entry, without what is in it.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
if last[1] then return last[1][1] end
return '0-0'
"""

REVISIONS = f"""{_SHORT}
-- KEYS revisions of zones. Returns them.
local found = {{}}
for i, key in ipairs(KEYS) do found[i] = string.sub(short(key), 1, 64) end
return found
"""

FIELDS = f"""
-- KEYS hash; ARGV fields. As HMGET, without the end of what is too long.
local found = redis.call('HMGET', KEYS[1], unpack(ARGV))
for i = 1, #ARGV do
  if found[i] then found[i] = string.sub(found[i], 1, {MAX_VALUE + 1}) end
end
return found
"""

SCAN = f"""
-- KEYS hash; ARGV cursor, count, digests of the slices that the caller knows to follow. As HSCAN, without the
-- end of what is too long. Returns how many slices are as known, then the next one that is not: the cursor
-- after it, its digest, its fields and values; none of these where the known ones end first.
local cursor, same = ARGV[1], 0
repeat
  local reply = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', ARGV[2])
  local fields = reply[2]
  for i = 1, #fields, 2 do
    fields[i] = string.sub(fields[i], 1, {MAX_FIELD + 1})
    fields[i + 1] = string.sub(fields[i + 1], 1, {MAX_VALUE + 1})
  end
  local digest = redis.sha1hex(table.concat(fields, '\\n'))
  cursor = reply[1]
  if digest ~= ARGV[3 + same] then return {{same, cursor, digest, fields}} end
  same = same + 1
until cursor == '0' or same == #ARGV - 2
return {{same, cursor, '', {{}}}}
"""

WRITE = f"""{_LOG}
-- KEYS mark, log, hash; ARGV kind, node, epoch, number, seconds that the hash stays, whether a new epoch
-- empties it, whether the log has the values, then fields and values; one that is empty, or begins with a
-- dash, deletes. Refuses what is older, but not for a number that no server reaches.
local epoch, number = tonumber(ARGV[3]), tonumber(ARGV[4])
local there = redis.call('HMGET', KEYS[3], '#epoch', '#seq')
local function reached(text, own)
  local found = tonumber(text or '0') or 0
  if found <= {MAX_NUMBER} or found == own then return found end
  return 0
end
local epoch_there, number_there = reached(there[1], epoch), reached(there[2], nil)
if epoch_there > epoch or (epoch_there == epoch and number_there >= number) then
  return {{0, string.sub(there[1] or '0', 1, 17), string.sub(there[2] or '0', 1, 17)}}
end
if epoch_there ~= epoch and ARGV[6] == '1' then redis.call('DEL', KEYS[3]) end
local told = {{'kind', ARGV[1], 'node', ARGV[2], 'epoch', ARGV[3], 'number', ARGV[4]}}
for i = 8, #ARGV, 2 do
  if ARGV[i + 1] == '' or string.sub(ARGV[i + 1], 1, 1) == '-' then redis.call('HDEL', KEYS[3], ARGV[i])
  else redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
  table.insert(told, ARGV[i])
  if ARGV[7] == '1' then table.insert(told, ARGV[i + 1]) else table.insert(told, '') end
end
redis.call('HSET', KEYS[3], '#epoch', ARGV[3], '#seq', ARGV[4])
redis.call('EXPIRE', KEYS[3], ARGV[5])
tell(KEYS[2], KEYS[1], unpack(told))
return {{1, ARGV[3], ARGV[4]}}
"""

PUT = f"""{_LOG}{_SHORT}
-- KEYS mark, log, orders, then the revisions of zones. ARGV fields at most, whether all or nothing is put,
-- number of zones, then of each zone whether its revision is checked and the one expected, then of each order
-- the number of its zone, field, counter, id, value, and what is there that cannot be read and may go.
-- Returns the revisions, then the status of each order and what is there instead.
local zones = tonumber(ARGV[3])
local revisions, moved = {{}}, {{}}
for i = 1, zones do
  revisions[i] = short(KEYS[3 + i])
  moved[i] = ARGV[2 + 2 * i] == '1' and revisions[i] ~= ARGV[3 + 2 * i]
end
local room = tonumber(ARGV[1]) - redis.call('HLEN', KEYS[3])
local found, told, changed, refused = {{}}, {{'kind', 'order'}}, {{}}, false
for i = 4 + 2 * zones, #ARGV, 6 do
  local zone, field, new, own = tonumber(ARGV[i]), ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
  local there = redis.call('HGET', KEYS[3], field) or ''
  if #there > {MAX_VALUE} then there = '' end
  local counter, id = string.match(there, '^(%d+) (%x+)\\n')
  local status = 4
  if there ~= '' and there ~= ARGV[i + 5] then
    counter = tonumber(counter or '0')
    if counter == new and id == own then status = 1
    elseif not id or counter > new or (counter == new and id > own) then status = 0 end
  end
  if status == 4 and moved[zone] then status = 2 end
  if status == 4 and there == '' then
    room = room - 1
    if room < 0 then status = 3 end
  end
  if status == 4 then
    table.insert(told, field)
    table.insert(told, ARGV[i + 4])
    changed[zone] = true
    found[#found + 1] = {{1, ''}}
  else
    refused = refused or status ~= 1
    found[#found + 1] = {{status, there}}
  end
end
if #told > 2 and not (refused and ARGV[2] == '1') then
  for i = 3, #told, 2 do redis.call('HSET', KEYS[3], told[i], told[i + 1]) end
  local id = tell(KEYS[2], KEYS[1], unpack(told))
  for zone in pairs(changed) do
    redis.call('SET', KEYS[3 + zone], id)
    revisions[zone] = id
  end
end
return {{revisions, found}}
"""

FORGET = """
-- KEYS hash; ARGV fields and the values that they must have to be deleted.
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
return 1
"""

CLAIM = f"""
-- KEYS claim; ARGV value.
local there = redis.call('GET', KEYS[1])
if there then return {{0, there}} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', {OPEN_CLAIM_LIFE * 1000})
return {{1, ARGV[1]}}
"""

SETTLE = f"""
-- KEYS claim; ARGV the value of the open claim, the one in its place; empty: release it. Another's stays.
local there = redis.call('GET', KEYS[1])
if there and there ~= ARGV[1] then return 0 end
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'PX', {CLAIM_LIFE * 1000})
elseif there then redis.call('DEL', KEYS[1]) end
return 1
"""

COMMANDS = (
    *("ping", "select", "evalsha", "script|load", "time"),
    *("get", "set", "strlen", "del", "expire"),
    *("hget", "hset", "hsetnx", "hmget", "hdel", "hlen", "hscan"),
    *("zadd", "zrange", "zscore", "zrevrange", "zremrangebyscore"),
    *("xadd", "xread", "xrevrange"),
)
"""What a user of the group runs, in scripts too; HELLO and AUTH are free to all."""


def acl(group: str, user: str) -> str:
    """Return the line that gives a user of Redis the rights which a group needs, and no others.

    The password's place holds a word to replace; Redis keeps only its hash.
    """
    return " ".join(
        [
            f"ACL SETUSER {user} reset on >PASSWORD ~{{geodns:{group}}}:*",
            *(f"+{command}" for command in COMMANDS),
        ]
    )
