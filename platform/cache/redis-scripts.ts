import { redisScript } from "../redis/redis-script.ts";

// A value is stored as "<epoch>|<version>|<json>", a lease to fill one as "<epoch>?<token>"; an epoch and a token have neither "|" nor "?".

/** KEYS epoch; ARGV new epoch. Makes all values unusable that were stored under this tag. */
export const newEpochScript = redisScript(`
redis.call('SET', KEYS[1], ARGV[1])
return 1`);

// An epoch that was evicted or flushed is replaced by another one, so that values which outlived it are not used.
const epochOf = `
local epoch = redis.call('GET', KEYS[1])
if not epoch then
  local time = redis.call('TIME')
  epoch = time[1] .. '.' .. time[2]
  redis.call('SET', KEYS[1], epoch)
end`;

/** KEYS epoch, value; ARGV version, json, ttl. */
export const setScript = redisScript(`${epochOf}
redis.call('SET', KEYS[2], epoch .. '|' .. ARGV[1] .. '|' .. ARGV[2], 'PX', ARGV[3])
return 1`);

/** KEYS epoch, value; ARGV token, ttl. Returns the epoch, and what is stored: the value, or the lease of the process that may fill it. */
export const leaseScript = redisScript(`${epochOf}
local stored = redis.call('GET', KEYS[2])
local kind = stored and string.sub(stored, 1, #epoch) == epoch and string.sub(stored, #epoch + 1, #epoch + 1)
if kind == '|' or kind == '?' then return { epoch, stored } end
local lease = epoch .. '?' .. ARGV[1]
redis.call('SET', KEYS[2], lease, 'PX', ARGV[2])
return { epoch, lease }`);

/** KEYS epoch, value; ARGV lease, version, json, ttl. Stores the value while the lease holds; returns the epoch, and what is stored otherwise. */
export const fillScript = redisScript(`
local epoch = redis.call('GET', KEYS[1])
local stored = redis.call('GET', KEYS[2])
if not epoch or stored ~= ARGV[1] or string.sub(stored, 1, #epoch + 1) ~= epoch .. '?' then return { epoch, stored } end
redis.call('SET', KEYS[2], epoch .. '|' .. ARGV[2] .. '|' .. ARGV[3], 'PX', ARGV[4])
return { epoch, false }`);

/** KEYS epoch, values; ARGV ttl, then of each value its version and json. */
export const replaceOlderScript = redisScript(`
local epoch = redis.call('GET', KEYS[1])
for nth = 2, #KEYS do
  local stored = redis.call('GET', KEYS[nth])
  if stored then
    local version = epoch and string.sub(stored, 1, #epoch + 1) == epoch .. '|' and string.match(stored, '^(%d+)|', #epoch + 2)
    if not version then redis.call('DEL', KEYS[nth])
    elseif tonumber(version) < tonumber(ARGV[2 * nth - 2]) then
      redis.call('SET', KEYS[nth], epoch .. '|' .. ARGV[2 * nth - 2] .. '|' .. ARGV[2 * nth - 1], 'PX', ARGV[1])
    end
  end
end
return 1`);

/** KEYS counter; ARGV by, ttl. Returns the count and its remaining time to live. By 0 or less it creates none; one that is 0 again is gone. */
export const incrementScript = redisScript(`
local by = tonumber(ARGV[1])
if by <= 0 and redis.call('EXISTS', KEYS[1]) == 0 then return { 0, 0 } end
local count = redis.call('INCRBY', KEYS[1], by)
if count <= 0 then
  redis.call('DEL', KEYS[1])
  return { 0, 0 }
end
local ttl = redis.call('PTTL', KEYS[1])
if ttl < 0 then
  ttl = tonumber(ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ttl)
end
return { count, ttl }`);

/**
 * KEYS lock, fence; ARGV ttl, the fence's ttl. Returns the fence, which is the owner's token too, or nil. It is the time in microseconds or one
 * more than the last, so that it rises across the lock's expiry and a flush as well.
 */
export const lockScript = redisScript(`
if redis.call('EXISTS', KEYS[1]) == 1 then return nil end
local time = redis.call('TIME')
local fence = string.format('%.0f', math.max(tonumber(redis.call('GET', KEYS[2]) or '0') + 1, time[1] * 1000000 + time[2]))
redis.call('SET', KEYS[2], fence, 'PX', ARGV[2])
redis.call('SET', KEYS[1], fence, 'PX', ARGV[1])
return fence`);

/** KEYS lock; ARGV fence. */
export const releaseScript = redisScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1`);
