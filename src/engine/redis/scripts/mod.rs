//! The scripts: one for each operation, so that it is one step on the server and one round trip.
//!
//! Invariant: a script declares every key that it uses, so that a cluster which is moving the
//! store's slot refuses the script instead of showing it a part. `KEYS` begins with the index by
//! deadline and the index by user; the buckets follow: those named, or all 256 in order.
//!
//! Out of memory, Redis refuses a script at its first write that may need memory, but never after a
//! write. So scripts that extend or end sessions start with a removal, even an empty one.
//!
//! `deadline!` computes the same as
//! [`OwnTimeouts::deadline`](crate::time::timeouts::OwnTimeouts::deadline); the tests that need a
//! server compare the two.

#[macro_use]
mod lua;

/// A script, and its index in [`ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Script {
    pub(super) number: usize,
    pub(super) text: &'static str,
}

macro_rules! scripts {
    ($($(#[$about:meta])* $name:ident = $text:expr;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "as the constants")]
        enum Number { $($name),* }
        $($(#[$about])* pub(super) const $name: Script =
            Script { number: Number::$name as usize, text: $text };)*
        /// Every script, each at its number.
        pub(super) const ALL: &[Script] = &[$($name),*];
    };
}

scripts! {
    /// The two indexes, and the metadata. Uses every command by which scripts change something,
    /// and changes nothing.
    RIGHTS = r"
redis.call('ZREM', KEYS[1], '')
redis.call('ZADD', KEYS[1], 'XX', 0, '')
redis.call('ZREM', KEYS[2], '')
redis.call('HSET', KEYS[3], '', '')
redis.call('HDEL', KEYS[3], '')
return 'granted'
";
    /// One bucket. `key, now, now - inactivity, now - absolute, now - resolution, inactivity,
    /// absolute, resolution`. A difference below zero is empty, and so less than any number. If a
    /// session has its own inactivity timeout, the resolution is at most a tenth of that timeout.
    EXTEND = concat!(deadline!(), r"
local value = redis.call('HGET', KEYS[3], ARGV[1])
if not value then return false end
local active = string.sub(value, 21, 40)
local due = active <= ARGV[5]
if string.sub(value, 81, 120) == BLANK .. BLANK then
  if active <= ARGV[3] or string.sub(value, 61, 80) <= ARGV[4] then return false end
else
  local ends = deadline(value, ARGV[6], ARGV[7])
  if ends == '' then return value end
  if ARGV[2] >= ends then return false end
  local own = string.sub(value, 81, 100)
  if own ~= BLANK then
    local resolution = string.format('%020.0f', math.floor(tonumber(own) / 10))
    if ARGV[8] < resolution then resolution = ARGV[8] end
    due = sum(active, resolution) <= ARGV[2]
  end
end
if active < ARGV[2] and due then
  value = string.sub(value, 1, 20) .. ARGV[2] .. string.sub(value, 41)
  redis.call('ZREM', KEYS[1], '')
  redis.call('HSET', KEYS[3], ARGV[1], value)
end
return value
");
    /// The bucket of the key, and of each victim. `key, value, score, user, max, guard`, then each
    /// victim's key and `last_active`.
    INSERT = concat!(common!(), r"
if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 1 then return 'occupied' end
local victims = (#ARGV - 6) / 2
if ARGV[6] ~= '' and fingerprint(ARGV[4]) ~= ARGV[6] then return 'again' end
local values = {}
for at = 1, victims do
  local value = redis.call('HGET', KEYS[3 + at], ARGV[5 + 2 * at])
  if not value or string.sub(value, 21, 40) ~= ARGV[6 + 2 * at] then return 'again' end
  values[at] = value
end
if redis.call('ZCARD', KEYS[1]) - victims >= tonumber(ARGV[5]) then return 'full' end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
if ARGV[4] ~= '' then redis.call('ZADD', KEYS[2], 0, ARGV[4] .. ARGV[1]) end
for at = 1, victims do drop(KEYS[3 + at], ARGV[5 + 2 * at], values[at]) end
return 'done'
");
    /// The buckets of the old key, of the new key, of each victim. `old, new, revision, now,
    /// inactivity, absolute, value, score, user, guard`, then the victims. Without a new key the
    /// record keeps the old one.
    SAVE = concat!(common!(), r"
local before = redis.call('HGET', KEYS[3], ARGV[1])
local ends = before and deadline(before, ARGV[5], ARGV[6])
if not before or (ends ~= '' and ARGV[4] >= ends) then return 'missing' end
if ends == '' or string.sub(before, 1, 20) ~= ARGV[3] then return 'conflict' end
if ARGV[2] ~= '' and redis.call('HEXISTS', KEYS[4], ARGV[2]) == 1 then return 'occupied' end
local old_user, user, guard = user_of(before), ARGV[9], ARGV[10]
if guard == 'same' then
  if old_user ~= user then return 'other' end
elseif guard ~= '' and (old_user == user or fingerprint(user) ~= guard) then
  return 'again'
end
local victims = (#ARGV - 10) / 2
local values = {}
for at = 1, victims do
  local value = redis.call('HGET', KEYS[4 + at], ARGV[9 + 2 * at])
  if not value or string.sub(value, 21, 40) ~= ARGV[10 + 2 * at] then return 'again' end
  values[at] = value
end
local value, active = ARGV[7], string.sub(before, 21, 40)
if active > string.sub(value, 21, 40) then
  value = string.sub(value, 1, 20) .. active .. string.sub(value, 41)
end
if ARGV[2] == '' then
  redis.call('HSET', KEYS[3], ARGV[1], value)
  redis.call('ZADD', KEYS[1], ARGV[8], ARGV[1])
  if old_user ~= user then
    if user ~= '' then redis.call('ZADD', KEYS[2], 0, user .. ARGV[1]) end
    if old_user ~= '' then redis.call('ZREM', KEYS[2], old_user .. ARGV[1]) end
  end
else
  redis.call('HSET', KEYS[4], ARGV[2], value)
  redis.call('ZADD', KEYS[1], ARGV[8], ARGV[2])
  if user ~= '' then redis.call('ZADD', KEYS[2], 0, user .. ARGV[2]) end
  drop(KEYS[3], ARGV[1], before)
end
for at = 1, victims do drop(KEYS[4 + at], ARGV[9 + 2 * at], values[at]) end
return 'done' .. string.sub(value, 21, 40)
");
    /// All buckets. `user, key`. Returns whether the key exists, a digest of the user's records,
    /// and the key and the head of each record.
    ROOM = concat!(common!(), r"
local found = {redis.call('HEXISTS', bucket(ARGV[2]), ARGV[2]), fingerprint(ARGV[1])}
for _, member in ipairs(members(ARGV[1])) do
  local key = string.sub(member, -16)
  local value = redis.call('HGET', bucket(key), key)
  if value then
    found[#found + 1] = key
    found[#found + 1] = string.sub(value, 1, 120)
  end
end
return found
");
    /// One bucket. `key, now, inactivity, absolute, owner`.
    REMOVE = concat!(common!(), r"
local value = redis.call('HGET', KEYS[3], ARGV[1])
if not value then return false end
local user = user_of(value)
if ARGV[5] ~= '' and user ~= ARGV[5] then return false end
drop(KEYS[3], ARGV[1], value)
local ends = deadline(value, ARGV[3], ARGV[4])
if ends ~= '' and ARGV[2] >= ends then return 'expired' .. user end
return 'live' .. user
");
    /// All buckets. `user, keep, now, inactivity, absolute`. Removes every record of the user
    /// except `keep`; with `keep`, the user is that record's. Returns the user, the keys of the
    /// live ones, and those of the expired ones.
    REMOVE_USER = concat!(common!(), r"
local user = ARGV[1]
if ARGV[2] ~= '' then
  local kept = redis.call('HGET', bucket(ARGV[2]), ARGV[2])
  if not kept or ARGV[3] >= deadline(kept, ARGV[4], ARGV[5]) then return false end
  user = user_of(kept)
  if user == '' then return {'', '', ''} end
end
local live, expired = {}, {}
for _, member in ipairs(members(user)) do
  local key = string.sub(member, -16)
  if key ~= ARGV[2] then
    local value = redis.call('HGET', bucket(key), key)
    if value then
      local those, ends = live, deadline(value, ARGV[4], ARGV[5])
      if ends ~= '' and ARGV[3] >= ends then those = expired end
      those[#those + 1] = key
      drop(bucket(key), key, value)
    end
    redis.call('ZREM', KEYS[2], member)
  end
end
return {user, table.concat(live), table.concat(expired)}
");
    /// All buckets. `old, new, now, inactivity, absolute`. Returns how many were live.
    RENAME = concat!(common!(), r"
local live, length = 0, string.format('%03d', #ARGV[2])
for _, member in ipairs(members(ARGV[1])) do
  local key = string.sub(member, -16)
  local value = redis.call('HGET', bucket(key), key)
  local ends = value and deadline(value, ARGV[4], ARGV[5])
  local revision = value and sum(string.sub(value, 1, 20), '00000000000000000001')
  if value and user_of(value) == ARGV[1] and ends ~= '' and revision ~= '' then
    if ARGV[3] < ends then live = live + 1 end
    local rest = string.sub(value, 124 + #ARGV[1])
    value = revision .. string.sub(value, 21, 120) .. length .. ARGV[2] .. rest
    redis.call('HSET', bucket(key), key, value)
    redis.call('ZREM', KEYS[2], member)
    redis.call('ZADD', KEYS[2], 0, ARGV[2] .. key)
  end
end
return live
");
    /// All buckets. `user, after, limit, bytes`. Returns whether more follow, then keys and values.
    USER_PAGE = concat!(common!(), r"
local from = '[' .. ARGV[1]
if ARGV[2] ~= '' then from = '(' .. ARGV[1] .. ARGV[2] end
local to = '(' .. string.sub(ARGV[1], 1, -2) .. '\2'
local page = redis.call('ZRANGEBYLEX', KEYS[2], from, to, 'LIMIT', 0, ARGV[3])
local found, bytes = {0}, 0
if #page == tonumber(ARGV[3]) then found[1] = 1 end
for _, member in ipairs(page) do
  if bytes > tonumber(ARGV[4]) then
    found[1] = 1
    break
  end
  local key = string.sub(member, -16)
  local value = redis.call('HGET', bucket(key), key)
  if value then
    found[#found + 1] = key
    found[#found + 1] = value
    bytes = bytes + #value
  end
end
return found
");
    /// All buckets. `after, now, inactivity, absolute`. Returns whether more follow, then each user
    /// with the number of live records.
    USERS_PAGE = concat!(common!(), r"
local from, looked_at, found = '-', 0, {0}
if ARGV[1] ~= '' then from = '[' .. string.sub(ARGV[1], 1, -2) .. '\2' end
local current, live
while true do
  local page = redis.call('ZRANGEBYLEX', KEYS[2], from, '+', 'LIMIT', 0, 256)
  for _, member in ipairs(page) do
    local user, key = string.sub(member, 1, -17), string.sub(member, -16)
    if user ~= current then
      if current then
        found[#found + 1] = current
        found[#found + 1] = live
        if looked_at >= 1000 then
          found[1] = 1
          return found
        end
      end
      current, live = user, 0
    end
    local value = redis.call('HGET', bucket(key), key)
    if value and ARGV[2] < deadline(value, ARGV[3], ARGV[4]) then live = live + 1 end
    looked_at = looked_at + 1
    from = '(' .. member
  end
  if #page < 256 then break end
end
if current then
  found[#found + 1] = current
  found[#found + 1] = live
end
return found
");
    /// All buckets. `now, inactivity, absolute, limit, score of now`. Returns how many records were
    /// read, then the key and the user of each removed one.
    SWEEP = concat!(common!(), r"
local passed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[5], 'LIMIT', 0, ARGV[4])
local found = {#passed}
for _, key in ipairs(passed) do
  local hash = bucket(key)
  local value = redis.call('HGET', hash, key)
  if not value then
    redis.call('ZREM', KEYS[1], key)
  else
    local due = deadline(value, ARGV[2], ARGV[3])
    if ARGV[1] >= due then
      found[#found + 1] = key .. user_of(value)
      drop(hash, key, value)
    else
      redis.call('ZREM', KEYS[1], key)
      redis.call('HSET', hash, key, string.sub(value, 1, 40) .. due .. string.sub(value, 61))
      redis.call('ZADD', KEYS[1], score(due), key)
    end
  end
end
return found
");
    /// All buckets. `inactivity, absolute, bucket, cursor`. Returns the next place; bucket 256 is
    /// the end.
    REINDEX = concat!(common!(), r"
local number, cursor, looked_at = tonumber(ARGV[3]), ARGV[4], 0
while number < 256 and looked_at < 500 do
  local page = redis.call('HSCAN', KEYS[3 + number], cursor, 'COUNT', 200)
  cursor = page[1]
  for at = 1, #page[2], 2 do
    local key, value = page[2][at], page[2][at + 1]
    local due = deadline(value, ARGV[1], ARGV[2])
    if due ~= '' and due < string.sub(value, 41, 60) then
      value = string.sub(value, 1, 40) .. due .. string.sub(value, 61)
      redis.call('ZREM', KEYS[1], key)
      redis.call('HSET', KEYS[3 + number], key, value)
      redis.call('ZADD', KEYS[1], score(due), key)
    end
    looked_at = looked_at + 1
  end
  if cursor == '0' then number = number + 1 end
end
return {tostring(number), cursor}
");
    /// All buckets. `now, inactivity, absolute, score of now, offset`. Returns the number of
    /// records, of passed entries, of those that were read, and of expired records among the last.
    COUNT = concat!(common!(), r"
local passed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[4], 'LIMIT', ARGV[5], 5000)
local expired = 0
for _, key in ipairs(passed) do
  local value = redis.call('HGET', bucket(key), key)
  if value and ARGV[1] >= deadline(value, ARGV[2], ARGV[3]) then expired = expired + 1 end
end
return {redis.call('ZCARD', KEYS[1]), redis.call('ZCOUNT', KEYS[1], '-inf', ARGV[4]), #passed,
  expired}
");
    /// One bucket. `bytes`, then keys. Returns how many keys were read; for each its value, and
    /// whether the indexes by deadline and by user hold it.
    PAGE = concat!(common!(), r"
local found, bytes = {0}, 0
for at = 2, #ARGV do
  if bytes > tonumber(ARGV[1]) then break end
  local key = ARGV[at]
  local value = redis.call('HGET', KEYS[3], key)
  local expiry, owner = 0, 0
  if value then
    bytes = bytes + #value
    local found_at = redis.call('ZSCORE', KEYS[1], key)
    local digits = string.sub(value, 41, 60)
    if found_at and tonumber(found_at) == tonumber(score(digits)) then expiry = 1 end
    local user = user_of(value)
    if user == '' or redis.call('ZSCORE', KEYS[2], user .. key) then owner = 1 end
  end
  found[#found + 1] = value
  found[#found + 1] = expiry
  found[#found + 1] = owner
  found[1] = at - 1
end
return found
");
    /// All buckets. `which, cursor`. Returns the next cursor, then the members and scores of index
    /// entries that match no record. `which` is 1 for the index by deadline, 2 for the index by
    /// user.
    STRAYS = concat!(common!(), r"
local which = tonumber(ARGV[1])
local page = redis.call('ZSCAN', KEYS[which], ARGV[2], 'COUNT', 500)
local found = {page[1]}
for at = 1, #page[2], 2 do
  local member, number = page[2][at], page[2][at + 1]
  local key = string.sub(member, -16)
  local value = redis.call('HGET', bucket(key), key)
  local fits = false
  if value and which == 1 then
    fits = tonumber(number) == tonumber(score(string.sub(value, 41, 60)))
  elseif value then
    fits = user_of(value) .. key == member
  end
  if not fits then
    found[#found + 1] = member
    found[#found + 1] = number
  end
end
return found
");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_stands_at_its_number() {
        for (at, script) in ALL.iter().enumerate() {
            assert_eq!(script.number, at);
        }
    }
}
