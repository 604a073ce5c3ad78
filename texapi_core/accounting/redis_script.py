"""One step on accounts of budgets, as a script that Redis runs at once.

Its argument and its answer are those of `RedisAccounts.step`. Numbers are exact up to 2⁵³ in a script, so
costs are in 10⁻⁹ USD. Keys: the id of this Redis, the calls settled lately, and five of each account: its
sums, its reservations by time, the parts of its window by time, the amounts of both, and its warnings.
"""

from __future__ import annotations

SCRIPT = """
local work = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local store_key, done = KEYS[1], KEYS[2]
local function text(number) return string.format('%.17g', number) end

local store = redis.call('GET', store_key)
if not store then
  store = work.candidate
  redis.call('SET', store_key, store)
end
if work.store ~= '' and work.store ~= store then return {'other', store} end

local SUMS = {'since', 'carried_at', 'carried_cost', 'carried_tokens', 'settled_cost', 'settled_tokens',
  'reserved_cost', 'reserved_tokens'}
local accounts, unknown = {}, {}
for i, given in ipairs(work.accounts) do
  local first = 3 + (i - 1) * 5
  local account = {key = KEYS[first], open = KEYS[first + 1], ended = KEYS[first + 2],
    amounts = KEYS[first + 3], warned = KEYS[first + 4], given = given}
  for n, value in ipairs(redis.call('HMGET', account.key, unpack(SUMS))) do
    account.is_new = account.is_new or not value
    account[SUMS[n]] = tonumber(value or 0)
  end
  if account.is_new and given.cost < 0 then unknown[#unknown + 1] = i end
  accounts[i] = account
end
if #unknown > 0 then return {'new', store, unpack(unknown)} end

local function add(account, kind, cost, tokens)
  account[kind .. '_cost'] = math.max(account[kind .. '_cost'] + cost, 0)
  account[kind .. '_tokens'] = math.max(account[kind .. '_tokens'] + tokens, 0)
end
local function amounts_of(account, member)
  local found = redis.call('HGET', account.amounts, member)
  if not found then return 0, 0 end
  local cost, tokens = string.match(found, '(%S+) (%S+)')
  return tonumber(cost), tonumber(tokens)
end
local function put(account, member, cost, tokens)
  redis.call('HSET', account.amounts, member, text(cost) .. ' ' .. text(tokens))
end
local function take(account, kind, set, member)
  local cost, tokens = amounts_of(account, member)
  add(account, kind, -cost, -tokens)
  redis.call('ZREM', set, member)
  redis.call('HDEL', account.amounts, member)
end
local function take_before(account, kind, set, moment)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', set, '-inf', '(' .. text(moment))) do
    take(account, kind, set, member)
  end
end

for _, account in ipairs(accounts) do
  local given = account.given
  -- Not back to a window that is over for another process, unless the clock of Redis was set back.
  if account.since <= given.since or account.since > now + 60 then account.since = given.since end
  take_before(account, 'reserved', account.open, math.max(account.since, now - work.expiry))
  take_before(account, 'settled', account.ended, account.since - given.rest)
  redis.call('ZREMRANGEBYSCORE', account.warned, '-inf', '(' .. text(account.since))
  if account.carried_at < account.since then account.carried_cost, account.carried_tokens = 0, 0 end
  if given.cost >= 0 and (account.is_new or given.is_lost) then
    account.carried_cost = math.max(account.carried_cost, given.cost)
    account.carried_tokens = math.max(account.carried_tokens, given.tokens)
    account.carried_at = math.max(now, account.since)
  end
end

for _, call in ipairs(work.ended) do
  local is_done = redis.call('ZSCORE', done, call.id)
  local is_charged = call.cost > 0 or call.tokens > 0
  for _, i in ipairs(call.accounts) do
    local account = accounts[i]
    local at = redis.call('ZSCORE', account.open, 'r' .. call.id)
    if at then take(account, 'reserved', account.open, 'r' .. call.id) end
    local started = tonumber(at or now - call.age)
    if is_charged and (at or not is_done) and started >= account.since then
      local given = account.given
      local origin = given.is_calendar and account.since or 0
      local part = origin + math.floor((started - origin) / given.width) * given.width
      local member = 's' .. text(part)
      local cost, tokens = amounts_of(account, member)
      put(account, member, cost + call.cost, tokens + call.tokens)
      redis.call('ZADD', account.ended, text(part), member)
      add(account, 'settled', call.cost, call.tokens)
    end
  end
  if is_charged then redis.call('ZADD', done, text(now), call.id) end
end
redis.call('ZREMRANGEBYSCORE', done, '-inf', text(now - work.known))

local refused, call = 0, work.call
if call then
  local member = 'r' .. call.id
  for _, i in ipairs(call.accounts) do
    if redis.call('ZSCORE', accounts[i].open, member) then  -- the script was sent twice
      take(accounts[i], 'reserved', accounts[i].open, member)
    end
  end
  for n, limit in ipairs(call.limits) do
    local account = accounts[limit[1]]
    local function total(unit)
      return account['carried' .. unit] + account['settled' .. unit] + account['reserved' .. unit]
    end
    if refused == 0 and ((limit[2] >= 0 and total('_cost') + call.cost > limit[2])
      or (limit[3] >= 0 and total('_tokens') + call.tokens > limit[3])) then refused = n end
  end
  for _, i in ipairs(refused == 0 and call.accounts or {}) do
    local account = accounts[i]
    redis.call('ZADD', account.open, text(math.max(now, account.since)), member)
    put(account, member, call.cost, call.tokens)
    add(account, 'reserved', call.cost, call.tokens)
  end
end

local answer = {'done', store, text(now), refused}
for _, account in ipairs(accounts) do
  local given = account.given
  local values = {'max_cost', given.max_cost, 'max_tokens', given.max_tokens}
  if account.is_new then
    for name, value in pairs(given.named) do
      values[#values + 1] = name
      values[#values + 1] = value
    end
  end
  for _, name in ipairs(SUMS) do
    values[#values + 1] = name
    values[#values + 1] = text(account[name])
    answer[#answer + 1] = text(account[name])
  end
  redis.call('HSET', account.key, unpack(values))
  for _, key in ipairs({account.key, account.open, account.ended, account.amounts, account.warned}) do
    redis.call('EXPIRE', key, given.kept)
  end
  answer[#answer + 1] = given.warns and redis.call('ZRANGE', account.warned, 0, -1, 'WITHSCORES') or {}
end
redis.call('EXPIRE', done, work.known)
return answer
"""
