//! The shared functions of the scripts, placed before each script.
//!
//! Invariant: no whole 64-bit number is ever a double; sums are computed on halves.

/// Functions for scripts: sums of 64-bit numbers as 20 digits, in halves of ten digits, which a
/// double holds exactly; a value's deadline. The deadline of a damaged head is empty, and so less
/// than any number.
macro_rules! deadline {
    () => {
        r"
local MOST = '18446744073709551615'
local BLANK = '                    '
local function sum(a, b)
  if #a + #b ~= 40 or string.find(a .. b, '%D') then return '' end
  local low = tonumber(string.sub(a, 11, 20)) + tonumber(string.sub(b, 11, 20))
  local high = tonumber(string.sub(a, 1, 10)) + tonumber(string.sub(b, 1, 10))
  if low >= 1e10 then
    low = low - 1e10
    high = high + 1
  end
  local total = string.format('%010.0f%010.0f', high, low)
  if total > MOST then return MOST end
  return total
end
local function deadline(value, inactivity, absolute)
  local own = string.sub(value, 81, 100)
  if own ~= BLANK then inactivity = own end
  own = string.sub(value, 101, 120)
  if own ~= BLANK then absolute = own end
  local first = sum(string.sub(value, 21, 40), inactivity)
  local second = sum(string.sub(value, 61, 80), absolute)
  if first < second then return first end
  return second
end
"
    };
}

/// The functions of `deadline!`, and: a deadline as a score; a value's user; a key's bucket; a
/// user's entries in the index, and a digest of them; the removal of a record.
macro_rules! common {
    () => {
        concat!(
            deadline!(),
            r"
local function score(deadline)
  local number = tonumber(deadline)
  if not number then return '' end
  if number > 9007199254740992 then number = 9007199254740992 end
  return string.format('%.0f', number)
end
local function user_of(value)
  local length = tonumber(string.sub(value, 121, 123))
  if not length then return '' end
  return string.sub(value, 124, 123 + length)
end
local function bucket(key)
  return KEYS[3 + string.byte(key, 1)]
end
local function members(user)
  return redis.call('ZRANGEBYLEX', KEYS[2], '[' .. user, '(' .. string.sub(user, 1, -2) .. '\2')
end
local function fingerprint(user)
  return redis.sha1hex(table.concat(members(user)))
end
local function drop(hash, key, value)
  redis.call('HDEL', hash, key)
  redis.call('ZREM', KEYS[1], key)
  local user = user_of(value)
  if user ~= '' then redis.call('ZREM', KEYS[2], user .. key) end
end
"
        )
    };
}
